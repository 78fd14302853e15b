"""The table of coverage by package."""

from __future__ import annotations

from tools.covered import by_package, table


def counted(lines: int, missing: int = 0, branches: int = 0, untaken: int = 0) -> dict[str, dict[str, int]]:
    """Return one file of coverage's report."""
    return {
        "summary": {
            "num_statements": lines,
            "missing_lines": missing,
            "num_branches": branches,
            "missing_branches": untaken,
        }
    }


def test_packages_are_summed_by_themselves_and_all_together() -> None:
    """Each package has its row, the modules of no package have one, and only what was run whole is at 100 %."""
    report = {
        "files": {
            "src/unspool/core/a.py": counted(10, branches=4),
            "src/unspool/core/b.py": counted(5),
            "src/unspool/cli/c.py": counted(990, branches=9, untaken=1),
            "src/unspool/errors.py": counted(6, missing=2, branches=4, untaken=3),
        }
    }
    assert [line.split() for line in table(by_package(report))][1:] == [
        ["cli/", "990", "0", "9", "1", "99.8", "%"],
        ["core/", "15", "0", "4", "0", "100.0", "%"],
        ["unspool", "6", "2", "4", "3", "50.0", "%"],
        ["total", "1011", "2", "17", "4", "99.4", "%"],
    ]
