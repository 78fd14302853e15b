"""Memory does not grow with the size of the file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crash.roomy import roomy
from processes import ENVIRONMENT, peak_memory, serving, size_of

MIB = 1 << 20

SIZE = 1024 * MIB

LIMIT = 150 * MIB

_STATUS = Path("/proc/self/status")

# Like `python -m unspool`, but at the end the process writes how much memory it has used.
CLIENT = """
import atexit, pathlib, sys
status = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: status.write_text(pathlib.Path("/proc/self/status").read_text()))
from unspool.cli import main
main()
"""


@pytest.mark.skipif(not _STATUS.exists(), reason="this system does not say how much memory a process has held")
@pytest.mark.parametrize("destination", ["file", "-"])
def test_a_gibibyte_needs_little_memory_on_both_sides(destination: str) -> None:
    """Client and server stay below 150 MB each for a file of 1 GiB, with a file and with a pipe as destination."""
    with roomy(2 * SIZE) as directory:
        root = directory / "root"
        root.mkdir()
        with (root / "big.bin").open("wb") as file:
            file.truncate(SIZE)
            file.seek(SIZE // 2)
            file.write(os.urandom(MIB))
        with serving(root, directory / "log", anew=True) as server:
            out = directory / "out"
            target = str(out) if destination == "file" else destination
            done = subprocess.run(
                [sys.executable, "-c", CLIENT, directory / "status", "get", "--quiet", f"{server.address}/big.bin", target],
                env=ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
            assert peak_memory(f"/proc/{server.process.pid}/status") < LIMIT
        assert peak_memory(directory / "status") < LIMIT
        if destination == "file":
            assert size_of(out) == SIZE
