"""The check that the protocol stays compatible: `tools/breaking.sh`, in a repository made for it, with our own proto."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

BUF = Path(sys.executable).with_name("buf")

PROTO = "proto/unspool/v1/file_service.proto"

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
"""In a hook, git tells where it works, and that is not here."""

AFTER = "message StatFileRequest {"
"""Behind it a field can be added."""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository with our protocol in its one commit."""
    shutil.copytree(REPO / "proto", tmp_path / "proto")
    shutil.copy(REPO / "buf.yaml", tmp_path)
    git(tmp_path, "init", "--quiet")
    committed(tmp_path)
    return tmp_path


def git(repository: Path, *arguments: str) -> None:
    """Run git, whatever the user has told it to do elsewhere."""
    someone = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false")
    subprocess.run(["git", *someone, *arguments], cwd=repository, env=ENVIRONMENT, check=True, capture_output=True)


def committed(repository: Path, *tags: str) -> None:
    """Commit everything, and tag it."""
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "x")
    for tag in tags:
        git(repository, "tag", tag)


def changed(repository: Path, old: str, new: str) -> None:
    """Change the protocol in one place."""
    text = (repository / PROTO).read_text()
    assert old in text
    (repository / PROTO).write_text(text.replace(old, new, 1))


def check(repository: Path) -> tuple[int, str]:
    """Run the check, and return its exit code and what it said."""
    done = subprocess.run(
        ["sh", str(REPO / "tools/breaking.sh"), str(BUF)],
        cwd=repository,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_without_a_release_nothing_can_break(history: Path) -> None:
    """As long as there is no release tag the check passes, and says why; a tag of another kind is none."""
    changed(history, "string name = 1;", "int64 name = 1;")
    committed(history, "nightly", "very-old")
    code, said = check(history)
    assert (code, "no release tag" in said) == (0, True), said


def test_where_git_has_nothing_to_say_the_check_fails(tmp_path: Path) -> None:
    """What cannot be compared because git does not answer is not taken for compatible."""
    code, said = check(tmp_path)
    assert code != 0, said


def test_a_change_that_the_release_would_misread_fails(history: Path) -> None:
    """A field whose type changes breaks what was released, committed or not, and the check names the release and the field."""
    committed(history, "v0.1.0")
    changed(history, "string name = 1;", "int64 name = 1;")
    for _ in range(2):
        code, said = check(history)
        assert code != 0, said
        assert "against v0.1.0" in said
        assert PROTO in said
        committed(history)


def test_a_new_field_passes(history: Path) -> None:
    """What the release does not know and can ignore is compatible."""
    committed(history, "v0.1.0")
    changed(history, AFTER, f"{AFTER}\n  string new = 999;")
    code, said = check(history)
    assert (code, "against v0.1.0" in said) == (0, True), said


def test_the_last_release_is_what_counts(history: Path) -> None:
    """Of several releases the highest version counts: v0.10.0 comes after v0.10.0-rc1, and that after v0.9.0."""
    committed(history, "v0.9.0")
    changed(history, AFTER, f"{AFTER}\n  string new = 999;")
    committed(history, "v0.10.0-rc1")
    committed(history, "v0.10.0")
    changed(history, "string new = 999;", "int64 new = 999;")
    code, said = check(history)
    assert (code != 0, "against v0.10.0\n" in said) == (True, True), said
