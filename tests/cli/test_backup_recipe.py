"""docs/backup.md, run: its rules, its server and its command, with this machine in the place of both."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from authority import Authority
from house.documents import REPO, fenced
from processes import serving, unspool

CONSOLE = "\n".join(fenced((REPO / "docs/backup.md").read_text(), "console"))


def command(start: str) -> list[str]:
    """Return the words of the command that begins so."""
    (line,) = re.findall(rf"^\$ (unspool {start}.*)$", CONSOLE, re.MULTILINE)
    return shlex.split(line)[1:]


def files_in(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_recipe_makes_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first night uploads all, the second what is new; the machine may not write elsewhere, and the files come back."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    vault, desk = tmp_path / "vault", tmp_path / "desk"
    (vault / "backup").mkdir(parents=True)
    (desk / "work" / ".cache").mkdir(parents=True)
    authority = Authority(tmp_path)
    pair = authority.issue("localhost")
    token = unspool(*command("token new"), cwd=vault)
    (desk / "token").write_bytes(token.out)
    (desk / "token").chmod(0o600)
    (vault / "rules.toml").write_text(CONSOLE.partition("$ cat rules.toml\n")[2].partition("$ ")[0])
    files = {".profile": b"export A=1\n", "a/b": bytes(100_000), "large": os.urandom(2_000_000)}
    for name, data in files.items():
        (desk / "work" / name).parent.mkdir(exist_ok=True)
        (desk / "work" / name).write_bytes(data)
    (desk / "work" / ".cache" / "x").write_bytes(b"not wanted")

    words = command("serve")
    assert words[:2] == ["serve", "/srv/backup"]
    here = {"tokens": vault / "tokens", "rules.toml": vault / "rules.toml", "vault.pem": pair.cert, "vault.key": pair.key}
    options = [str(here.get(word, word)) for word in words[2:]]
    at = options.index("--listen")
    del options[at : at + 2]
    with serving(vault / "backup", tmp_path / "log", *options, listen="localhost:0") as server:
        port = server.address.rpartition(":")[2]

        def put(*more: str) -> int:
            given = [word.replace("vault:50051", f"localhost:{port}") for word in command("put")]
            done = unspool(*given, "--ca", authority.file, *more, cwd=desk)
            assert not done.out
            assert done.code or not done.err, done.err
            return done.code

        assert put() == 0
        assert files_in(vault / "backup" / "desk") == files
        (desk / "work" / "new").write_bytes(b"new")
        assert put() == 0
        assert files_in(vault / "backup" / "desk") == files | {"new": b"new"}
        url = f"unspools://localhost:{port}"
        shared = ("--token-file", desk / "token", "--ca", authority.file)
        assert unspool("put", *shared, desk / "token", f"{url}/elsewhere", cwd=desk).code == 4
        assert unspool("get", "-r", "-q", *shared, f"{url}/desk", desk / "back", cwd=desk).code == 0
        back = {name: data for name, data in files_in(desk / "back").items() if not name.startswith(".unspool")}
        assert back == files | {"new": b"new"}
