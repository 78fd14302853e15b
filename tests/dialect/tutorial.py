"""The tutorial's program in Go, as server and as client."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import tutorial_binary
from processes import ENVIRONMENT, Outcome

CHUNK = 32 * 1024

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 5_000_001]
"""Around the edges of a chunk, and several MiB."""


@contextmanager
def tutorial_serving(root: Path, *options: str, listen: str = "127.0.0.1:0") -> Iterator[str]:
    """Serve a directory with the tutorial's program, which is killed in the end; yields its address."""
    with subprocess.Popen(
        [tutorial_binary(), "serve", "--root", root, "--listen", listen, *options],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().split()[-1]
        finally:
            process.kill()


def tutorial_get(address: str, name: str, out: Path, *options: str) -> Outcome:
    """Fetch a file with the tutorial's program, which appends to `out` whatever comes."""
    done = subprocess.run(
        [tutorial_binary(), "get", "--addr", address, "--name", name, "--out", out, *options],
        capture_output=True,
        timeout=60,
        env=ENVIRONMENT,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr.decode())
