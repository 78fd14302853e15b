"""The rows in which the wheel is tested, and the extras it is installed with."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

from tools.extras import USES
from tools.rows import ROOT, TESTS, find, supported


def pretend(path: Path, minor: int, level: str = "final", code: int | None = None) -> Path:
    """Make a program that is a Python of some version, or fails at once like a shim without one."""
    claims = f"import sys; sys.version_info = type('V', (tuple,), {{'releaselevel': {level!r}}})((3, {minor}))"
    body = f'exec "{sys.executable}" -c "{claims}; exec(sys.argv[1])" "$2"' if code is None else f"exit {code}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_name_of_a_python_is_not_taken_for_one(tmp_path: Path) -> None:
    """A shim that has no Python, one of another version, a preview, and what cannot be run are passed over for the next."""
    pretend(tmp_path / "shims/python3.11", 11, code=127)
    pretend(tmp_path / "wrong/python3.11", 12)
    pretend(tmp_path / "preview/python3.11", 11, level="candidate")
    pretend(tmp_path / "dull/python3.11", 11).chmod(0o644)
    right = pretend(tmp_path / "right/python3.11", 11)
    pretend(tmp_path / "later/python3.11", 11)
    path = os.pathsep.join(str(tmp_path / name) for name in ("none", "shims", "wrong", "preview", "dull", "right", "later"))
    assert find([11], path, None) == [right]


def test_pythons_are_found_on_the_path_and_where_pyenv_keeps_them(tmp_path: Path) -> None:
    """Each version counts once, in order, wherever it is; one that is not supported or not there does not count."""
    on_path = pretend(tmp_path / "bin/python3.12", 12)
    kept = [pretend(tmp_path / f"pyenv/versions/3.{minor}.1/bin/python3.{minor}", minor) for minor in (11, 12, 13, 14)]
    assert find([11, 12, 13], str(tmp_path / "bin"), tmp_path / "pyenv") == [kept[0], on_path, kept[2]]
    assert find([11, 12, 13], str(tmp_path / "bin"), None) == [on_path]


def test_what_is_supported_is_said_once() -> None:
    """The classifiers of pyproject.toml name the Pythons, and the lowest is the one that it requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">=3.{supported(project)[0]}"


def test_every_row_has_its_tests() -> None:
    """What the rows run is there."""
    assert [name for name in TESTS if not (ROOT / "tests" / name).exists()] == []


def test_every_extra_is_tried() -> None:
    """`make extras` has a program for each extra of pyproject.toml, in the same order."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert list(USES) == list(extras)
