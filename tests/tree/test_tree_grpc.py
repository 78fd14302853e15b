"""Trees from real servers, over real sockets."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from tree.treelab import files_in
from unspool import Client, LocalStore, MemoryStore, ServerOptions, ServiceOptions, TransferOptions
from unspool.errors import InvalidRequestError
from unspool.options import LimitOptions
from unspool.testing import FaultyStore, serve

ODD = {
    "plain": b"plain",
    "empty": b"",
    "with space/and\ttab": b"1",
    "line\nbreak": b"2",
    "\x1b]0;title\a": b"3",
    "日本語/ファイル": b"4",
    "cafe\u0301": b"decomposed",
    "caf\u00e9": b"composed",
    "-rf": b"5",
    "~": b"6",
    "%2e%2e": b"7",
    "...": b"8",
    "x" * 255: b"9",
    "a/b/c/d/e/f/g": b"10",
    "\U0001f4a9": b"11",
    "big": Random(1).randbytes(3 << 20),
    "exactly": bytes(1 << 20),
    "one more": bytes((1 << 20) + 1),
}


def served(root: Path) -> None:
    """Put the odd files somewhere, each with a time of its own."""
    for number, (name, data) in enumerate(ODD.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(0, 1_500_000_000_000_000_001 + number))


async def test_odd_names_arrive_with_their_bytes_and_times(tmp_path: Path) -> None:
    """A tree of a directory is that directory again, whatever its files are called; and the second time nothing moves."""
    served(tmp_path / "root")
    async with serve(LocalStore(tmp_path / "root", hidden=True)) as address, Client(address) as client:
        first = await client.get_tree("", tmp_path / "out")
        again = await client.get_tree("", tmp_path / "out")
    assert (first.fetched, first.failed, first.verified) == (len(ODD), 0, "file")
    assert (again.kept, again.bytes_received) == (len(ODD), 0)
    assert files_in(tmp_path / "out") == ODD
    for name in ODD:
        assert (tmp_path / "out" / name).stat().st_mtime_ns == (tmp_path / "root" / name).stat().st_mtime_ns


async def test_a_tree_of_a_tree_is_that_tree(tmp_path: Path) -> None:
    """What was fetched can be served and fetched again: its record is not served, and nothing fails."""
    served(tmp_path / "root")
    async with serve(LocalStore(tmp_path / "root", hidden=True)) as address, Client(address) as client:
        await client.get_tree("", tmp_path / "out")
    async with serve(LocalStore(tmp_path / "out", hidden=True)) as address, Client(address) as client:
        result = await client.get_tree("", tmp_path / "copy")
    assert (result.fetched, result.failed, result.left_out) == (len(ODD), 0, 0)
    assert files_in(tmp_path / "copy") == ODD


async def test_a_server_that_ends_streams_early_is_no_hindrance(tmp_path: Path) -> None:
    """If streams end because of their age, the tree continues with new ones until it is complete."""
    files = {f"{number:03}": Random(number).randbytes(60_000) for number in range(100)}
    limits = LimitOptions(stream_age=0.05, stream_bandwidth=20e6)
    async with serve(MemoryStore(files), ServerOptions(limits=limits)) as address, Client(address) as client:
        result = await client.get_tree("", tmp_path)
    assert (result.fetched, result.failed) == (100, 0)
    assert files_in(tmp_path) == files


async def test_a_server_that_takes_smaller_batches_is_asked_file_by_file(tmp_path: Path) -> None:
    """A server whose limit on a batch is lower than ours refuses the batch, and not the files."""
    files = {f"{number}": bytes([number]) for number in range(30)}
    options = ServerOptions(service=ServiceOptions(largest_batch=10))
    async with serve(MemoryStore(files), options) as address, Client(address) as client:
        result = await client.get_tree("", tmp_path)
    assert (result.fetched, result.failed) == (30, 0)
    assert files_in(tmp_path) == files


async def test_an_error_in_the_store_is_one_files(tmp_path: Path) -> None:
    """A file that the store cannot open fails alone, over a real connection too."""
    files = {f"{number}": bytes([number]) for number in range(30)}
    store = FaultyStore(MemoryStore(files))
    store.fail(InvalidRequestError("this one not"))
    options = TransferOptions(jobs=1)
    async with serve(store) as address, Client(address, options=options) as client:
        result = await client.get_tree("", tmp_path)
    assert (result.fetched, result.failed) == (29, 1)
    assert result.failures[0].error.message == "this one not"


async def test_a_chmod_on_the_server_costs_no_transfer_of_what_is_here_whole(tmp_path: Path) -> None:
    """A new revision of the same bytes: what has its own download is compared and mended; a small file of a tree is fetched."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "large").write_bytes(bytes((1 << 20) + 1))
    (root / "small").write_bytes(b"small")
    async with serve(LocalStore(root)) as address, Client(address) as client:
        await client.get_tree("", tmp_path / "out")
        await client.get("small", tmp_path / "alone")
        for name in ("large", "small"):
            (root / name).chmod(0o755)
        tree = await client.get_tree("", tmp_path / "out")
        alone = await client.get("small", tmp_path / "alone")
    assert (tree.kept, tree.fetched, tree.bytes_received) == (1, 1, len(b"small"))
    assert alone.bytes_received == 0
    assert all(os.access(tmp_path / name, os.X_OK) for name in ("out/large", "out/small", "alone"))
