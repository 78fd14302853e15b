"""Files that are received where revisions are made of the content: described right, and not read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from ingest.uploads import opened, put
from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, Block, FileInfo
from unspool.core.segments import SEGMENT_SIZE
from unspool.core.uploading import Condition
from unspool.errors import FileChangedError
from unspool.ingest.local import LocalIngester
from unspool.ingest.target import Target
from unspool.stores import LocalStore, contents
from unspool.stores.contents import Contents
from unspool.testing.ingestcontract import IngestContract
from unspool.testing.ingesting import OTHER_ID, Ingesting, new, send
from unspool.testing.stock import BYTES, read_file

OLD = Attributes(modified_ns=1_700_000_000_123_456_789)
"""So long ago that any write gives another time."""


@asynccontextmanager
async def by_content(directory: Path) -> AsyncIterator[Ingesting]:
    """Make a store whose revisions are made of the content, and its ingester."""
    store = LocalStore(directory, contents=Contents())
    ingester = LocalIngester(directory, contents=store.contents)
    yield Ingesting(ingester, store)
    await ingester.aclose()
    await store.aclose()


class TestByContent(IngestContract):
    """The contract."""

    @asynccontextmanager
    async def ingesting(self, directory: Path) -> AsyncIterator[Ingesting]:
        """See `IngestContract.ingesting`."""
        async with by_content(directory) as there:
            yield there


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Ingesting]:
    """A store and its ingester."""
    async with by_content(tmp_path) as there:
        yield there


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read for their revisions. A lease can be had on them, as on most disks."""
    names: list[str] = []
    whole = contents._read

    def counted(name: str, descriptor: int, status: os.stat_result) -> contents.Content:
        names.append(name)
        return whole(name, descriptor, status)

    monkeypatch.setattr(contents, "_read", counted)
    monkeypatch.setattr(contents, "every_write_shows", lambda *_: True)
    return names


def revision_of(data: bytes) -> str:
    """Return the revision of a file with these bytes."""
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


async def found(there: Ingesting, name: str = "a.bin") -> FileInfo:
    """Return what the store says of a file, and check that it has these bytes when it is read."""
    info = await there.store.stat(name)
    opened, data = await read_file(there.store, name)
    assert info.revision == opened.revision == revision_of(data)
    return info


@pytest.mark.parametrize("size", [0, 1, len(BYTES)])
async def test_what_was_received_is_not_read_for_its_revision(there: Ingesting, read: list[str], size: int) -> None:
    """The answer to the commit, the store and later conditions have the revision, and nobody has read the file for it."""
    data = BYTES[:size]
    info = await there.put(data, attributes=OLD)
    assert (info.revision, info.crc32c) == (revision_of(data), crc32c(data))
    assert await found(there) == info
    (small,) = await there.ingester.write_small([new("small", data, OLD)])
    assert isinstance(small, FileInfo)
    assert small.revision == info.revision
    assert (await found(there, "small")).revision == info.revision
    other = await there.put(b"other", upload_id=OTHER_ID, attributes=OLD, condition=Condition(revision=info.revision))
    assert other.revision == revision_of(b"other")
    with pytest.raises(FileChangedError):
        await there.ingester.delete("a.bin", info.revision)
    await there.ingester.delete("a.bin", other.revision)
    assert read == []


async def test_the_executable_bit_is_part_of_it(there: Ingesting) -> None:
    """As in the store: `-x` at the end."""
    info = await there.put(BYTES, attributes=Attributes(executable=True))
    assert info.revision == f"{revision_of(BYTES)}-x"
    assert (await there.store.stat("a.bin")).revision == info.revision


async def _out_of_order(there: Ingesting, data: bytes) -> FileInfo:
    """Upload the second segment first."""
    half = SEGMENT_SIZE
    async with aclosing(await there.open(attributes=OLD)) as upload:
        for start in (half, 0):
            run = data[start : start + half]
            await upload.write(Block(start, run, crc32c(run)))
        return await upload.commit(len(data))


async def _resumed(there: Ingesting, data: bytes) -> FileInfo:
    """Upload in two streams."""
    async with aclosing(await there.open(attributes=OLD)) as upload:
        await send(upload, data[:SEGMENT_SIZE], size=1 << 20)
    async with aclosing(await there.open(attributes=OLD)) as upload:
        await send(upload, data, SEGMENT_SIZE, size=1 << 20)
        return await upload.commit(len(data))


async def _replaced(there: Ingesting, data: bytes) -> FileInfo:
    """Write some bytes twice, the first time wrong ones."""
    async with aclosing(await there.open(attributes=OLD)) as upload:
        await send(upload, bytes(len(data)), size=1 << 20)
        await send(upload, data, size=1 << 20)
        return await upload.commit(len(data))


@pytest.mark.parametrize("way", [_out_of_order, _resumed, _replaced])
async def test_however_the_bytes_arrive_the_revision_is_of_them(
    there: Ingesting, read: list[str], way: Callable[[Ingesting, bytes], Awaitable[FileInfo]]
) -> None:
    """Blocks that come in another order, in several streams, or twice: what was not summed in order is read at the commit."""
    data = Random(1).randbytes(SEGMENT_SIZE + 1000)
    info = await way(there, data)
    assert info.revision == revision_of(data)
    assert await found(there) == info
    assert read == []


@pytest.mark.parametrize("small", [False, True])
async def test_a_program_that_writes_right_after_the_commit_is_seen(
    there: Ingesting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str], *, small: bool
) -> None:
    """What was received is not kept for a file that has been written to since it got its name."""
    keep = Target.keep

    def late(self: Target, before: os.stat_result, content: contents.Content) -> None:
        with (tmp_path / "a.bin").open("r+b") as file:
            file.write(b"X")
        keep(self, before, content)

    monkeypatch.setattr(Target, "keep", late)
    if small:
        await there.ingester.write_small([new("a.bin", BYTES, OLD)])
    else:
        await there.put(BYTES, attributes=OLD)
    assert (await found(there)).revision == revision_of(b"X" + BYTES[1:])
    assert read == ["a.bin"]


async def test_a_file_whose_time_is_now_is_read_when_it_is_asked_for(there: Ingesting, read: list[str]) -> None:
    """A write in the same tick of the clock would not show, so what was received is not believed."""
    info = await there.put(BYTES)
    assert info.revision == revision_of(BYTES)
    assert (await found(there)).revision == info.revision
    assert read in ([], ["a.bin"])  # a slow disk makes the time old


async def test_a_file_that_cannot_be_read_is_described_by_its_status(there: Ingesting, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it changes while it is read, it can be replaced all the same, but not at a revision of its content."""
    await put(there.ingester, BYTES)  # type: ignore[arg-type]  # it is one
    revision = (await there.store.stat("a.bin")).revision

    def changing(name: str, *_: object) -> contents.Content:
        raise FileChangedError(f"{name}: changed")

    monkeypatch.setattr(contents, "_read", changing)
    monkeypatch.setattr(Contents, "known", lambda *_: None)
    with pytest.raises(FileChangedError):
        await there.open(upload_id=OTHER_ID, condition=Condition(revision=revision))
    async with aclosing(await opened(there.ingester, upload_id=OTHER_ID)) as upload:  # type: ignore[arg-type]  # it is one
        await send(upload, b"new")
        assert (await upload.commit(3)).revision == revision_of(b"new")
