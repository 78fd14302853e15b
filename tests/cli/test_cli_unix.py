"""Commands and blocking calls reach a server on a Unix socket by its URL: `unix:PATH:/NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import unspool as library
from processes import serving, unspool


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a file on a Unix socket with this address. Its path is short, and has a space."""
    base = tmp_path_factory.mktemp("u")
    (base / "root" / "sub").mkdir(parents=True)
    (base / "root" / "sub" / "a.txt").write_bytes(b"hello\n")
    with serving(base / "root", base / "log", listen=f"unix:{base}/x%20y.sock") as served:
        assert served.address == f"unix:{base}/x%20y.sock"
        yield served.address


def test_every_command_takes_the_url_of_a_unix_socket(server: str, tmp_path: Path) -> None:
    """`ls`, `stat`, `cat`, `get` and `verify` work as over TCP."""
    url = f"{server}:/sub/a.txt"
    assert unspool("ls", "-r", server).lines == ["sub/a.txt"]
    assert unspool("ls", f"{server}:/sub").lines == ["sub/a.txt"]
    assert "sub/a.txt" in unspool("stat", url).out.decode()
    assert unspool("cat", url).out == b"hello\n"
    assert unspool("get", url, tmp_path).code == 0
    assert (tmp_path / "a.txt").read_bytes() == b"hello\n"
    assert unspool("verify", url, tmp_path / "a.txt").code == 0
    assert unspool("get", "-r", server, tmp_path / "tree").code == 0
    assert (tmp_path / "tree" / "sub" / "a.txt").read_bytes() == b"hello\n"


def test_several_urls_of_a_unix_socket(server: str, tmp_path: Path) -> None:
    """Among several arguments the URL of a Unix socket is a URL, and the address alone is not a destination."""
    url = f"{server}:/sub/a.txt"
    (tmp_path / "list").write_text(f"{url}\n")
    assert unspool("get", "-i", tmp_path / "list", tmp_path).code == 0
    assert (tmp_path / "a.txt").read_bytes() == b"hello\n"
    assert "is a server" in unspool("get", url, server).complaint


def test_a_socket_without_a_name_is_explained(server: str) -> None:
    """A URL that only names the socket is refused by `get`, and the message shows the form with a name."""
    done = unspool("get", server)
    assert done.code == 2
    assert f"names a server and no file: write {server}:/NAME" in done.complaint


def test_blocking_calls_take_it_too(server: str) -> None:
    """`unspool.read`, `list` and `open` accept the same URLs."""
    url = f"{server}:/sub/a.txt"
    assert library.read(url) == b"hello\n"
    assert [entry.name for entry in library.list(server, recursive=True)] == ["sub/a.txt"]
    with library.open(url) as file:
        assert file.read() == b"hello\n"
