"""A tree whose record is kept elsewhere, or not at all: nothing is left in the destination, and no other's is believed."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from client.lab import Wrapper
from tree.treelab import FILES, TreeLab, files_in
from unspool.client.client import Client
from unspool.client.transport import Transport
from unspool.client.treeresults import TreeResult
from unspool.core.reserved import HOME
from unspool.errors import BusyError, LocalFileError
from unspool.local import home
from unspool.local.entries import open_ours
from unspool.local.record import NoRecord
from unspool.local.tree import TreeDestination

HERE = len(FILES)


async def get(
    lab: TreeLab, destination: Path, *, record: Path | bool, transport: Transport | None = None, resume: bool = True
) -> TreeResult:
    """Fetch the lab's tree with a record elsewhere, or with none."""
    client = Client(transport=transport or lab.faulty, clock=lab.clock, random=Random(0), options=lab.options)
    options = lab.options if resume else TreeLab(resume=False).options
    return await client.get_tree("", destination, record=record, options=options)


def rows_of(record: Path) -> list[object]:
    """Return what a record says."""
    with closing(sqlite3.connect(record / "record.sqlite")) as database:
        return database.execute("SELECT * FROM files").fetchall()


class Elsewhere(Wrapper):
    """The same files on another server."""

    source = "another:1"


async def test_a_record_elsewhere_vouches_for_what_is_here(tmp_path: Path) -> None:
    """With the record elsewhere nothing but files is in the destination, and the next run reads none of them."""
    lab, out, record = TreeLab(), tmp_path / "out", tmp_path / "record"
    assert (await get(lab, out, record=record)).fetched == HERE
    assert files_in(out) == FILES
    assert not (out / HOME).exists()
    assert sorted(path.name for path in record.iterdir()) == ["lock", "record.sqlite"]
    for name in FILES:
        path = out / name
        before = path.stat()
        path.write_bytes(bytes(len(FILES[name])))  # unseen: the record vouches for size, time and inode
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = await get(lab, out, record=record)
    assert (result.kept, result.fetched) == (HERE, 0)


async def test_without_a_record_everything_is_compared(tmp_path: Path) -> None:
    """With no record nothing but files is in the destination, and the next run finds what was edited unseen."""
    lab, out = TreeLab(), tmp_path / "out"
    await get(lab, out, record=False)
    assert sorted(path.name for path in out.iterdir()) == sorted({name.partition("/")[0] for name in FILES})
    path = out / "a.txt"
    before = path.stat()
    path.write_bytes(b"ALPHA")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = await get(lab, out, record=False)
    assert (result.kept, result.fetched) == (HERE - 1, 1)
    assert files_in(out) == FILES


async def test_a_record_in_the_destination_stays_when_another_is_used(tmp_path: Path) -> None:
    """A run with a record elsewhere, or without one, leaves the record in the destination as it is."""
    lab, out = TreeLab(), tmp_path / "out"
    await get(lab, out, record=True)
    before = (out / HOME / "record.sqlite").read_bytes()
    for record in (False, tmp_path / "record"):
        await get(lab, out, record=record)
        assert (out / HOME / "record.sqlite").read_bytes() == before
    assert (await get(lab, out, record=True)).kept == HERE


@pytest.mark.parametrize("what", ["directory", "server"])
async def test_a_record_of_another_tree_is_refused(tmp_path: Path, what: str) -> None:
    """The record of another directory or server is refused, named with whose it is, and left as it is."""
    lab, out, record = TreeLab(), tmp_path / "out", tmp_path / "record"
    await get(lab, out, record=record)
    before = rows_of(record)
    other = out if what == "server" else tmp_path / "other"
    transport = Elsewhere(lab.faulty) if what == "server" else None
    with pytest.raises(LocalFileError, match="is the record of") as caught:
        await get(lab, other, record=record, transport=transport)
    assert str(out) in caught.value.message
    assert "store" in caught.value.message
    assert rows_of(record) == before
    assert what == "server" or list(other.iterdir()) == []
    result = await get(lab, other, record=record, transport=transport, resume=False)  # which begins it anew
    assert result.fetched + result.kept == HERE
    assert (await get(lab, other, record=record, transport=transport)).kept == HERE


async def test_a_record_that_does_not_say_whose_it_is_begins_anew(tmp_path: Path) -> None:
    """A record with a damaged row of its owner is not believed: all files are compared, and it then belongs to this tree."""
    lab, out, record = TreeLab(), tmp_path / "out", tmp_path / "record"
    await get(lab, out, record=record)
    database = sqlite3.connect(record / "record.sqlite")
    database.execute("UPDATE files SET said = x'00' WHERE name = x''")
    database.commit()
    database.close()
    path = out / "a.txt"
    before = path.stat()
    path.write_bytes(b"ALPHA")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = await get(lab, out, record=record)
    assert (result.kept, result.fetched) == (HERE - 1, 1)
    assert (await get(lab, out, record=record)).kept == HERE


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("file", "is not a directory"),
        ("full", "holds 'mine', and a record needs a directory of its own"),
        ("theirs", "holds 'record.sqlite', and a record needs"),
        ("nodir/record", "there is no such directory"),
        ("out/record", "is part of the tree itself"),
        ("out", "is part of the tree itself"),
        (f"other/{HOME}", "another tree keeps its own record there"),
        ("link", "another tree keeps its own record there"),
    ],
)
async def test_a_place_that_is_no_record_is_refused(tmp_path: Path, where: str, words: str) -> None:
    """What is not a directory of a record's own is refused in one line, and nothing in it is touched."""
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "record.sqlite").write_bytes(b"theirs")
    (tmp_path / "other" / HOME).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "other" / HOME)
    with pytest.raises(LocalFileError, match=words):
        await get(TreeLab(), tmp_path / "out", record=tmp_path / where)
    assert files_in(tmp_path / "out") == {}
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    assert (tmp_path / "theirs" / "record.sqlite").read_bytes() == b"theirs"
    assert list((tmp_path / "other" / HOME).iterdir()) == []


async def test_two_trees_do_not_share_a_record(tmp_path: Path) -> None:
    """A record that another process is using is busy."""
    record = tmp_path / "record"
    record.mkdir()
    with (record / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="is using this record"):
            await get(TreeLab(), tmp_path / "out", record=record)


def opened(path: Path) -> TreeDestination:
    """Open a destination without a record."""
    place = TreeDestination(path, "", overwrite=True, resume=True, record=False)
    place.open()
    return place


def test_one_writer_without_a_record_too(tmp_path: Path) -> None:
    """A destination without a record is locked while it is being filled, and free afterwards."""
    first = opened(tmp_path / "out")
    with pytest.raises(BusyError):
        opened(tmp_path / "out")
    first.close()
    assert list((tmp_path / "out").iterdir()) == []
    opened(tmp_path / "out").close()


def test_a_lock_that_was_removed_meanwhile_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that locks a home which was just removed locks the new one instead, so there is one writer."""
    out = tmp_path / "out"
    first = opened(out)
    removed: list[str] = []

    def open_and_let_go(name: str, directory: int, flags: int) -> int:
        descriptor = open_ours(name, directory, flags)
        if not removed:
            removed.append(name)
            first.close()  # removes the lock that has been opened just now, and its directory
        return descriptor

    monkeypatch.setattr(home, "open_ours", open_and_let_go)
    second = opened(out)
    assert removed == ["lock"]
    with pytest.raises(BusyError):
        opened(out)
    second.close()


def test_no_record_knows_nothing() -> None:
    """Without a record no entry is found, and adding one has no effect."""
    none = NoRecord()
    none.add([(b"a", b"b")])
    assert none.find([b"a"]) == {}
    none.close()
