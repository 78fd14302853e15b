"""Prints the test coverage of each package from the output of `coverage json`: `covered.py < report.json`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

COLUMNS = ("num_statements", "missing_lines", "num_branches", "missing_branches")
"""The counts in coverage's report."""


def by_package(report: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Return the sums by package: one for each directory in `unspool`, and one for the modules directly in it."""
    sums: dict[str, Counter[str]] = {}
    for path, file in report["files"].items():
        inside = PurePath(path).parts[PurePath(path).parts.index("unspool") + 1 :]
        package = f"{inside[0]}/" if len(inside) > 1 else "unspool"
        summary = file["summary"]
        sums.setdefault(package, Counter()).update({column: summary[column] for column in COLUMNS})
    return sums


def percent(sums: Counter[str]) -> float:
    """Return the percentage of lines and branches that were run, computed as coverage does."""
    there = sums["num_statements"] + sums["num_branches"]
    missing = sums["missing_lines"] + sums["missing_branches"]
    return 100 * (there - missing) / there if there else 100.0


def table(sums: Mapping[str, Counter[str]]) -> Iterator[str]:
    """Yield the lines of the table, and the total."""
    yield f"{'package':12}{'lines':>8}{'missing':>9}{'branches':>10}{'missing':>9}{'covered':>10}"
    rows = {**dict(sorted(sums.items())), "total": sum(sums.values(), Counter())}
    for name, row in rows.items():
        lines, lost, branches, untaken = (row[column] for column in COLUMNS)
        # Rounded down, so that 100.0 % means all.
        yield f"{name:12}{lines:8}{lost:9}{branches:10}{untaken:9}{int(10 * percent(row)) / 10:8.1f} %"


if __name__ == "__main__":
    print(*table(by_package(json.load(sys.stdin))), sep="\n")
