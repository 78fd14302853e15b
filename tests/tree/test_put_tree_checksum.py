"""`put_tree` with `checksum`, and its preview, against a server that has not computed any checksum yet."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from unspool import Client, LocalStore
from unspool.core.access import Principal, Right, Verdict
from unspool.errors import LocalFileError
from unspool.ingest.local import LocalIngester
from unspool.options import MIB
from unspool.server.report import CallEnd
from unspool.server.server import Server

FILES = {f"d{number % 3}/{number:03}": Random(number).randbytes(number * 10 + 1) for number in range(120)}
LARGE = {"large.bin": Random(1).randbytes(2 * MIB), "other.bin": Random(2).randbytes(2 * MIB)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory to upload."""
    for name, data in (FILES | LARGE).items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "tree"


class Ends:
    """Keeps how calls ended."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def notify(self, event: CallEnd) -> None:
        """See `CallObserver`."""
        self.methods.append(event.method)


@asynccontextmanager
async def started(root: Path, ends: Ends, *, reads: bool = True) -> AsyncIterator[Client]:
    """Start a server that knows no checksum; yield a client."""
    root.mkdir(exist_ok=True)
    store, ingester = LocalStore(root), LocalIngester(root)

    def authorize(_: Principal | None, right: Right, __: str) -> Verdict:
        return Verdict(allowed=reads or right != "read")

    async with (
        Server(store, ingester=ingester, observers=[ends], authorize=authorize) as server,
        Client(server.address) as client,
    ):
        yield client
    await ingester.aclose()
    await store.aclose()


async def test_checksums_that_are_not_listed_are_asked_for(tree: Path, tmp_path: Path) -> None:
    """Nothing is sent again, few calls are made for many small files, and an edit that hides is found, small or large."""
    async with started(tmp_path / "root", Ends()) as client:
        assert (await client.put_tree(tree, "there")).sent == len(FILES) + 2
    ends = Ends()
    async with started(tmp_path / "root", ends) as client:
        again = await client.put_tree(tree, "there", checksum=True)
    assert (again.sent, again.kept, again.bytes_sent) == (0, len(FILES) + 2, 0)
    assert len(ends.methods) < 15, ends.methods
    for name in ("d1/100", "large.bin"):
        before = (tree / name).stat()
        (tree / name).write_bytes(bytes(before.st_size))
        os.utime(tree / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    async with started(tmp_path / "root", Ends()) as client:
        assert (await client.put_tree(tree, "there")).sent == 0
        edited = await client.put_tree(tree, "there", checksum=True)
        assert (edited.sent, edited.bytes_sent) == (2, 2 * MIB + 1001)
    assert (tmp_path / "root/there/large.bin").read_bytes() == bytes(2 * MIB)


async def test_who_may_not_read_sends_what_cannot_be_compared(tree: Path, tmp_path: Path) -> None:
    """A server that says no checksum is sent the files; it finds out that it has the large ones."""
    async with started(tmp_path / "root", Ends(), reads=False) as client:
        await client.put_tree(tree, "there")
    async with started(tmp_path / "root", Ends(), reads=False) as client:
        again = await client.put_tree(tree, "there", checksum=True)
    assert (again.failed, again.sent + again.kept) == (0, len(FILES) + 2)


async def test_a_preview_sends_nothing_and_says_what_would_be_sent(tree: Path, tmp_path: Path) -> None:
    """Before, all; afterwards, what differs: by size and time, or with `checksum` by the bytes. What cannot be read fails."""

    async def preview(client: Client, *, checksum: bool = False) -> tuple[set[str], int, list[str]]:
        wanted, kept, failed = set[str](), 0, list[str]()
        async for page in client.preview_put_tree(tree, "there", filters=[("exclude", "other.bin")], checksum=checksum):
            wanted |= {info.name for info in page.wanted}
            kept += page.kept
            assert all(isinstance(failure.error, LocalFileError) for failure in page.failures)
            failed += [failure.name for failure in page.failures]
        return wanted, kept, failed

    ends = Ends()
    async with started(tmp_path / "root", ends) as client:
        assert await preview(client) == ({f"there/{name}" for name in [*FILES, "large.bin"]}, 0, [])
        assert not (tmp_path / "root/there").exists()
        await client.put_tree(tree, "there")
        assert await preview(client) == (set(), len(FILES) + 1, [])
        before = (tree / "d1/100").stat()
        (tree / "d1/100").write_bytes(bytes(before.st_size))
        os.utime(tree / "d1/100", ns=(before.st_atime_ns, before.st_mtime_ns))
        os.utime(tree / "d0/003", (1, 1))
        (tree / "new").write_bytes(b"new")
        assert await preview(client) == ({"there/new", "there/d0/003"}, len(FILES), [])  # its checksum is not listed
        assert await preview(client, checksum=True) == ({"there/new", "there/d1/100"}, len(FILES), [])
        (tree / "d0/003").unlink()
        (tree / "d0/003").symlink_to("nowhere")
        assert (await preview(client, checksum=True))[1:] == (len(FILES) - 1, [])


def test_the_command_previews_a_tree(tree: Path, tmp_path: Path) -> None:
    """`put -rn` prints what would be sent; nothing is at the server."""
    from processes import serving, unspool  # noqa: PLC0415 - only here

    (tmp_path / "root").mkdir()
    with serving(tmp_path / "root", tmp_path / "log", "--write") as server:
        planned = unspool("put", "-rn", tree, f"{server.address}/there", "--include", "d0/**")
        assert planned.code == 0
        assert {line.split()[1] for line in planned.lines} == {f"there/{name}" for name in FILES if name.startswith("d0/")}
        assert planned.err.startswith("would send 40 files, ")
        assert planned.err.endswith("; 0 already there\n")
        assert not (tmp_path / "root/there").exists()
