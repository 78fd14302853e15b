"""Runs failed tests again, alone: `again.py PYTEST-COMMAND...` after that command has failed.

Thousands of tests with real processes run on a busy machine, and now and then one of them waits in vain. Such a test must not
keep a change out, and must not be forgotten: it is run again, three times with nothing beside it, and named at the end.

Rule 1: tests of the core, of the evidence and of the fuzzers are not run again: they say that no order of events breaks a
        promise.
Rule 2: more than three failures are not an accident.
Rule 3: a test that fails once more has failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
"""Where pytest keeps which tests of its last run failed, below the directory in which it ran."""

NAMES = Path("build/again.txt")
"""Where the names of tests that passed only alone are kept, for whoever reads the end of the output."""

MOST = 3
TIMES = 3

NEVER = ("tests/core/", "tests/evidence/", "tests/fuzz/")


def objection(failed: Iterable[str]) -> str | None:
    """Return why these tests are not run again; None if they may be."""
    failed = list(failed)
    if not failed:
        return "pytest names no test that failed"
    if len(failed) > MOST:
        return f"{len(failed)} tests failed, more than {MOST}"
    for test in failed:
        if "::" not in test:
            return f"{test} could not be loaded"
        if test.startswith(NEVER):
            return f"{test} may not fail even once"
    return None


def passed_alone(command: Sequence[str | Path], directory: Path = Path()) -> bool:
    """Run the tests that failed when `command` ran in `directory`; return whether all of them pass, each time."""
    kept = directory / FAILED
    failed = sorted(json.loads(kept.read_text())) if kept.exists() else []
    against = objection(failed)
    if against is not None:
        print(f"-- not again: {against}", flush=True)
        return False
    for number in range(1, TIMES + 1):
        print(f"-- again, {number} of {TIMES}: {' '.join(failed)}", flush=True)
        if subprocess.run([*command, "-n0", *failed], cwd=directory, check=False).returncode:
            return False
    NAMES.parent.mkdir(exist_ok=True)
    with NAMES.open("a") as names:
        names.writelines(f"{test}\n" for test in failed)
    return True


if __name__ == "__main__":
    sys.exit(not passed_alone(sys.argv[1:]))
