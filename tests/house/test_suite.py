"""The suite itself: what it does not depend on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def test_it_passes_in_the_background_too() -> None:
    """Started with Ctrl-C ignored, as a script's background job is, the tests still interrupt the programs they start."""
    test = "tests/cli/test_cli_interrupt.py::test_every_command_can_be_interrupted"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-v", "-p", "no:cacheprovider", "-k", "stat", test],
        cwd=REPO,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
