"""`unspool token`: tokens are made once, listed without the secret, revoked, and never lost by concurrent writes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from processes import ENVIRONMENT, UNSPOOL, unspool
from unspool.access.tokenfile import add_lines, read_tokens
from unspool.core.tokens import ListedToken, is_token
from unspool.errors import LocalFileError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the token file."""
    return tmp_path / "tokens"


def test_a_token_is_printed_once_and_kept_nowhere(file: Path) -> None:
    """Only the token goes to standard output; the file, of mode 0600, has its digest, and no listing shows the token."""
    made = unspool("token", "new", "alice", "--tokens", file, "--expires", "90d")
    token = made.out.decode().strip()
    assert made.code == 0
    assert is_token(token)
    assert token not in made.err
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (listed,) = [json.loads(line) for line in unspool("token", "list", "--json", "--tokens", file).lines]
    assert (listed["name"], listed["state"], listed["revoked"]) == ("alice", "valid", None)
    assert listed["id"] in made.err
    found = read_tokens(file).find(token)
    assert found is not None
    assert found.expires is not None
    assert found.expires - found.created == 90 * 86_400


def test_a_name_is_revoked_with_all_its_tokens_and_an_id_alone(file: Path) -> None:
    """Revoked tokens stay listed as revoked; others stay valid."""
    for name in ("alice", "alice", "bob"):
        assert unspool("token", "new", name, "--tokens", file).code == 0
    first, second, bob = (line.split() for line in unspool("token", "list", "--tokens", file).lines)
    assert unspool("token", "revoke", first[0], "--tokens", file).code == 0
    assert [one.revoked is None for one in read_tokens(file)] == [False, True, True]
    assert unspool("token", "revoke", "alice", "--tokens", file).code == 0
    assert [one.revoked is None for one in read_tokens(file)] == [False, False, True]
    assert [line.split()[1] for line in unspool("token", "list", "--tokens", file).lines] == ["revoked", "revoked", "valid"]
    again = unspool("token", "revoke", "alice", "--tokens", file)
    assert (again.code, "alice" in again.complaint) == (2, True)
    assert (second[-1], bob[-1]) == ("alice", "bob")


def test_what_is_written_at_the_same_time_is_all_there(file: Path) -> None:
    """Ten programs that add a token to one file at the same time add ten."""
    programs = [
        subprocess.Popen([*UNSPOOL, "token", "new", f"n{number}", "--tokens", str(file)], env=ENVIRONMENT, stdout=-1, stderr=-1)
        for number in range(10)
    ]
    tokens = [program.communicate(timeout=60)[0].decode().strip() for program in programs]
    found = read_tokens(file)
    assert len(found) == 10
    assert all(found.find(token) for token in tokens)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list"], 8, "no such file"),
        (["revoke", "alice"], 8, "no such file"),
        (["new", "@staff"], 2, "'@staff' cannot name a token"),
        (["new", "alice", "--expires", "90"], 2, "90d"),
        (["new", "alice", "--expires", "0s"], 2, "100 years"),
    ],
)
def test_what_cannot_be_done_is_said_and_makes_no_file(file: Path, arguments: list[str], code: int, said: str) -> None:
    """An invalid name, time or file is an error, and nothing is created."""
    done = unspool("token", *arguments, "--tokens", file)
    assert (done.code, said in done.complaint) == (code, True), done.err
    assert not file.exists()


def test_a_damaged_file_is_not_added_to(file: Path) -> None:
    """An invalid line in the file is an error that names the line, and the file is not changed."""
    file.write_text("# ours\nwhat is this\n")
    done = unspool("token", "new", "alice", "--tokens", file)
    assert (done.code, "line 2" in done.complaint) == (2, True)
    assert (done.out, file.read_text()) == (b"", "# ours\nwhat is this\n")


def test_an_append_is_whole_or_not_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full in the middle of a line, the file is as before; a last line without its newline gets one."""
    first, second = ListedToken("a", "a" * 64, 0).line(), ListedToken("b", "b" * 64, 0).line()
    file.write_text(first)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(LocalFileError, match="no space left"):
        add_lines(file, lambda _: [second])
    assert file.read_text() == first
    monkeypatch.undo()
    add_lines(file, lambda _: [second])
    assert file.read_text() == f"{first}\n{second}\n"
