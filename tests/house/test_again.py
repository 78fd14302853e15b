"""Failed tests run again, alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.again import MOST, NAMES, objection, passed_alone

COMMAND = [sys.executable, "-m", "pytest", "-p", "xdist", "-q"]

TEST = """
from pathlib import Path

def test_it():
    runs = Path("runs")
    runs.write_text(runs.read_text() + "." if runs.exists() else ".")
    assert len(runs.read_text()) not in {failing}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory with a test of its own."""
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)


def suite(failing: set[int]) -> int:
    """Write a test that fails in some of its runs, run it once and return pytest's exit code."""
    Path("tests/test_a.py").write_text(TEST.format(failing=failing))
    return subprocess.run(COMMAND, check=False, stdout=subprocess.DEVNULL).returncode


def test_one_that_fails_once_is_named() -> None:
    """A test that fails, and then passes three times alone, does not count as failed, and its name is kept."""
    assert suite({1}) == 1
    assert passed_alone(COMMAND)
    assert Path("runs").read_text() == "...."
    assert NAMES.read_text() == "tests/test_a.py::test_it\n"


@pytest.mark.parametrize("second", [2, 3, 4])
def test_one_that_fails_twice_has_failed(second: int) -> None:
    """A test that fails again in any of the three runs has failed."""
    assert suite({1, second}) == 1
    assert not passed_alone(COMMAND)
    assert not NAMES.exists()


def test_a_run_that_broke_off_has_failed() -> None:
    """If pytest names no test, or a module could not be loaded, nothing is run again."""
    assert not passed_alone(COMMAND)
    Path("tests/test_a.py").write_text("import nothing_of_this_name")
    assert subprocess.run(COMMAND, check=False, stdout=subprocess.DEVNULL).returncode == 2
    assert not passed_alone(COMMAND)


@pytest.mark.parametrize("room", ["core", "evidence", "fuzz"])
def test_what_may_not_depend_on_chance_is_not_run_again(room: str) -> None:
    """A test of the core, of the evidence or of the fuzzers that fails has failed."""
    assert objection([f"tests/{room}/test_a.py::test_it"]) == f"tests/{room}/test_a.py::test_it may not fail even once"


def test_many_failures_are_no_accident() -> None:
    """Up to three tests may be run again, and not a fourth."""
    failed = [f"tests/cli/test_a.py::test_{number}" for number in range(MOST + 1)]
    assert objection(failed[:MOST]) is None
    assert objection(failed) == "4 tests failed, more than 3"
