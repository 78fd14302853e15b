"""Tests the built wheel, not the source tree, with the oldest and the newest versions that unspool supports.

There are two rows, each with its own environment below `build/rows`: the oldest supported Python on this machine with the
lowest dependencies that pyproject.toml allows, and the newest Python with the newest dependencies available. If there is only
one Python, it runs both rows. The tests are copied to a directory without `src`. Only tests that depend on a dependency or on
the version of Python run here; `make coverage` runs all others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tools.again import passed_alone

ROOT = Path(__file__).resolve().parents[1]

WORK = ROOT / "build" / "rows"

UV = Path(sys.executable).with_name("uv")

VERSION = "Programming Language :: Python :: 3."

TESTS = (
    "core",
    "rpc",  # grpc, protobuf and its generated code
    "local",
    "stores/test_local.py",
    "stores/test_memory.py",
    "client/test_main_job.py",
    "client/test_client_grpc.py",
    "server/test_server_health.py",
    "testing/test_faultserver.py",  # h2
    "cli/test_cli_get.py",  # click
    "cli/test_cli_loops.py",  # uvloop
)


def supported(project: dict[str, object]) -> list[int]:
    """Return the minor versions of Python 3 that pyproject.toml lists as supported."""
    classifiers = project["classifiers"]
    assert isinstance(classifiers, list)
    return sorted(int(one.removeprefix(VERSION)) for one in classifiers if one.startswith(VERSION))


def candidates(minor: int, path: str, pyenv: Path | None) -> Iterable[Path]:
    """Yield paths where a Python of this version may be: in each directory of PATH, and among pyenv's versions."""
    name = f"python3.{minor}"
    yield from (Path(directory) / name for directory in path.split(os.pathsep) if directory)
    if pyenv is not None:
        yield from sorted(pyenv.glob(f"versions/3.{minor}.*/bin/{name}"), reverse=True)


def runs(python: Path, minor: int) -> bool:
    """Whether a path is a final release of this version of Python. It is run to find out, because it may be a pyenv shim."""
    says = f"import sys; sys.exit(sys.version_info[:2] != (3, {minor}) or sys.version_info.releaselevel != 'final')"
    try:
        return subprocess.run([python, "-c", says], capture_output=True, check=False, timeout=60).returncode == 0
    except OSError:
        return False


def find(minors: Iterable[int], path: str, pyenv: Path | None) -> list[Path]:
    """Return one Python for each of the versions that are installed, in the order of `minors`."""
    there = ((python for python in candidates(minor, path, pyenv) if runs(python, minor)) for minor in minors)
    return [python for one in there if (python := next(one, None)) is not None]


def pyenv_root() -> Path | None:
    """Return pyenv's root directory, or None if there is no pyenv."""
    if not (pyenv := shutil.which("pyenv")):
        return None
    return Path(subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip())


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; raise if it fails."""
    subprocess.run(command, cwd=cwd, check=True)


def build() -> Path:
    """Build the wheel and return its path."""
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", WORK / "dist")
    (wheel,) = (WORK / "dist").glob("*.whl")
    return wheel


def test(row: str, python: Path, wheel: Path, resolution: str) -> None:
    """Install the wheel and its dependencies for one row, and run the tests there."""
    began = time.monotonic()
    env, place = WORK / row, WORK / f"{row}-tests"
    shutil.copytree(ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    run(UV, "venv", "--quiet", "--no-project", "--python", python, env)
    installed = env / "bin" / "python"
    install = (UV, "pip", "install", "--quiet", "--python", installed)
    run(*install, "--require-hashes", "--requirements", "requirements/rows.txt")
    run(*install, resolution, "--requirements", "pyproject.toml", "--extra", "testing")
    run(*install, f"{wheel}[testing]")
    run(UV, "pip", "freeze", "--quiet", "--python", installed)
    whose = "import sys, unspool; sys.exit(not unspool.__file__.startswith(sys.prefix) and f'{unspool.__file__} is tested')"
    run(installed, "-c", whose, cwd=place)
    print(f"-- {row}: installed ({time.monotonic() - began:.0f} s)", flush=True)
    suite = (installed, "-m", "pytest")
    done = subprocess.run([*suite, *(f"tests/{each}" for each in TESTS)], cwd=place, check=False)
    if done.returncode and not passed_alone(suite, place):
        sys.exit(f"-- {row}: failed")
    print(f"-- {row}: tested ({time.monotonic() - began:.0f} s)", flush=True)


def main() -> None:
    """Run both rows."""
    shutil.rmtree(WORK, ignore_errors=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    minors = supported(project)
    pythons = find(minors, os.environ.get("PATH", ""), pyenv_root())
    if not pythons:
        sys.exit(f"no supported Python is installed: 3.{minors[0]} to 3.{minors[-1]}")
    if len(pythons) == 1:
        print(f"-- only one supported Python is installed, {pythons[0]}: it runs both rows")
    wheel = build()
    rows = {"oldest": (pythons[0], "--resolution=lowest-direct"), "newest": (pythons[-1], "--upgrade")}
    for row, (python, resolution) in rows.items():
        print(f"-- {row}: {wheel.name}, {python}, {resolution}", flush=True)
        test(row, python, wheel, resolution)


if __name__ == "__main__":
    main()
