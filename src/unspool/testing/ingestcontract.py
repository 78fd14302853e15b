"""The contract of ingesters: the docstrings of `unspool.ingest.base` as tests for pytest.

The tests of an ingester inherit from `IngestContract` and define how to make one, with the store that gets its files. They need
pytest and pytest-asyncio in its mode `auto`: `pip install unspool[contract]`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from unspool.core.acceptor import good_spans
from unspool.core.checksum import crc32c
from unspool.core.extras import extra
from unspool.core.model import Attributes, Block, FileInfo, Span
from unspool.core.segments import SEGMENT_SIZE, SegmentTable
from unspool.core.uploading import IF_ABSENT, Condition, GoodSpan, NewFile, UploadIdentity, UploadOpen
from unspool.errors import (
    AlreadyExistsError,
    BlockCorruptError,
    FileChangedError,
    InvalidNameError,
    NotAFileError,
    NotFoundError,
    TakenOverError,
)
from unspool.testing.deletecontract import DeleteContract
from unspool.testing.ingesting import ID, OTHER_ID, Ingesting, new, send
from unspool.testing.stock import BYTES, NOT_NAMES, listed, read_file

with extra("contract"):
    import pytest


class IngestContract(DeleteContract):
    """The contract of an ingester."""

    # One file

    @pytest.mark.parametrize("size", [0, 1, 300, len(BYTES)])
    async def test_what_was_sent_is_what_is_there(self, there: Ingesting, size: int) -> None:
        """A committed file has its name, its bytes, and the revision that the store gives."""
        info = await there.put(BYTES[:size], "dir/deep/a.bin")
        assert (info.name, info.size, info.crc32c) == ("dir/deep/a.bin", size, crc32c(BYTES[:size]))
        found, data = await read_file(there.store, "dir/deep/a.bin")
        assert data == BYTES[:size]
        assert found.revision == info.revision

    async def test_nothing_is_there_before_the_commit(self, there: Ingesting) -> None:
        """A file that is received is neither found nor listed, and what was there before stays."""
        await there.put(b"old", "b.bin", OTHER_ID)
        for name in ("a.bin", "b.bin"):
            async with aclosing(await there.open(name)) as upload:
                await send(upload, BYTES)
        assert set((await listed(there.store))[0]) == {"b.bin"}
        assert (await read_file(there.store, "b.bin"))[1] == b"old"
        with pytest.raises(NotFoundError):
            await there.store.stat("a.bin")

    async def test_attributes_are_kept(self, there: Ingesting) -> None:
        """The modification time and the executable bit are those of the client."""
        info = await there.put(BYTES, attributes=Attributes(1_500_000_000_000_000_000, executable=True))
        found = (await there.store.stat("a.bin")).attributes
        assert (found.modified_ns, found.executable) == (1_500_000_000_000_000_000, True)
        assert info.attributes == found

    async def test_a_file_is_replaced(self, there: Ingesting) -> None:
        """A commit without a condition replaces what is there."""
        old = await there.put(b"old", upload_id=OTHER_ID)
        new = await there.put(BYTES)
        assert old.revision != new.revision
        assert (await read_file(there.store, "a.bin"))[1] == BYTES

    # Resuming

    async def test_an_upload_goes_on_where_it_was(self, there: Ingesting) -> None:
        """What was written is there when the upload is opened again, with its checksum."""
        async with aclosing(await there.open()) as upload:
            await send(upload, BYTES[:600])
        async with aclosing(await there.open()) as upload:
            assert good_spans(upload.table) == (GoodSpan(Span(0, 600), crc32c(BYTES[:600])),)
            assert await upload.checksum(Span(100, 500)) == crc32c(BYTES[100:500])
            await send(upload, BYTES, 600)
            await upload.commit(len(BYTES))
        assert (await read_file(there.store, "a.bin"))[1] == BYTES

    async def test_what_is_durable_never_falls(self, there: Ingesting) -> None:
        """`sync` returns no fewer bytes than before, also after the upload was opened again."""
        seen = [0]
        for stop in (300, 900, 1500):
            async with aclosing(await there.open()) as upload:
                seen.append(await upload.sync())
                await send(upload, BYTES[:stop], upload.table.good_bytes)
                seen.append(await upload.sync())
        assert seen == sorted(seen)
        assert seen[-1] == 1500

    @pytest.mark.parametrize("other", [{"upload_id": OTHER_ID}, {"owner": "bob"}, {"name": "b.bin"}])
    async def test_another_id_owner_or_name_is_another_upload(self, there: Ingesting, other: dict[str, Any]) -> None:
        """Only the same three are the same upload: nobody goes on with, asks for or removes another's."""
        async with aclosing(await there.open(owner="alice")) as upload:
            await send(upload, BYTES[:600])
            key = UploadIdentity(**({"upload_id": ID, "name": "a.bin", "owner": "alice"} | other))
            assert await there.ingester.stat(key) is None
            async with aclosing(await there.open(key.name, key.upload_id, key.owner)) as second:
                assert second.table.good_bytes == 0
            await there.ingester.abandon(key)
            await send(upload, BYTES, 600)
            await upload.commit(len(BYTES))

    async def test_spans_that_are_discarded_are_gone(self, there: Ingesting) -> None:
        """Segments that overlap a span of `discard` are missing, also when the upload is opened again."""
        async with aclosing(await there.open(size=SEGMENT_SIZE + 10)) as upload:
            run = bytes(SEGMENT_SIZE)
            await upload.write(Block(0, run, crc32c(run)))
            await upload.write(Block(SEGMENT_SIZE, b"0123456789", crc32c(b"0123456789")))
            await upload.sync()
        async with aclosing(await there.open(size=SEGMENT_SIZE + 10, discard=(Span(5, 6),))) as upload:
            assert [good.span for good in good_spans(upload.table)] == [Span(SEGMENT_SIZE, SEGMENT_SIZE + 10)]
        async with aclosing(await there.open(size=SEGMENT_SIZE + 10)) as upload:
            assert [good.span for good in good_spans(upload.table)] == [Span(SEGMENT_SIZE, SEGMENT_SIZE + 10)]

    async def test_a_file_that_became_shorter_has_no_bytes_beyond_its_end(self, there: Ingesting) -> None:
        """What was received beyond the size that is announced now is forgotten."""
        async with aclosing(await there.open(size=2000)) as upload:
            await send(upload, BYTES[:600])
        async with aclosing(await there.open(size=100)) as upload:
            assert upload.table.good_bytes == 0

    # Taking over

    async def test_opening_again_takes_over(self, there: Ingesting) -> None:
        """The older opening is told, and writes no more; the newer one has what was received."""
        older = await there.open()
        await send(older, BYTES[:600])
        async with aclosing(await there.open()) as newer:
            assert older.taken_over.is_set()
            assert newer.table.good_bytes == 600
            for refused in (older.write(Block(600, b"x", crc32c(b"x"))), older.sync(), older.commit(600)):
                with pytest.raises(TakenOverError):
                    await refused
            await older.aclose()
            await send(newer, BYTES, 600)
            await newer.commit(len(BYTES))
        assert (await read_file(there.store, "a.bin"))[1] == BYTES

    async def test_asking_changes_nothing(self, there: Ingesting) -> None:
        """`stat` tells what there is of an upload, open or not, and does not take it over."""
        key = UploadIdentity(ID, "a.bin")
        assert await there.ingester.stat(key) is None
        async with aclosing(await there.open()) as upload:
            await send(upload, BYTES[:600])
            known = await there.ingester.stat(key)
            assert isinstance(known, SegmentTable)
            assert good_spans(known) == (GoodSpan(Span(0, 600), crc32c(BYTES[:600])),)
            await send(upload, BYTES[:900], 600)
        known = await there.ingester.stat(key)
        assert isinstance(known, SegmentTable)
        assert known.good_bytes == 900

    async def test_what_is_abandoned_is_gone(self, there: Ingesting) -> None:
        """After `abandon` the upload is unknown; whoever has it open is told. Of an unknown upload it does nothing."""
        key = UploadIdentity(ID, "a.bin")
        upload = await there.open()
        await send(upload, BYTES[:600])
        await there.ingester.abandon(key)
        assert upload.taken_over.is_set()
        await upload.aclose()
        assert await there.ingester.stat(key) is None
        async with aclosing(await there.open()) as upload:
            await send(upload, BYTES[:300])
        await there.ingester.abandon(key)
        await there.ingester.abandon(key)
        assert await there.ingester.stat(key) is None

    # After the commit

    async def test_a_commit_is_answered_again(self, there: Ingesting) -> None:
        """If the reply is lost, opening the upload again returns the file, whatever the condition; so does asking."""
        info = await there.put(BYTES, condition=IF_ABSENT)
        assert await there.committed(condition=IF_ABSENT) == info
        assert await there.ingester.stat(UploadIdentity(ID, "a.bin")) == info
        await there.ingester.abandon(UploadIdentity(ID, "a.bin"))
        assert await there.committed(condition=Condition(revision="another")) == info

    async def test_a_commit_is_answered_again_though_the_file_was_replaced(self, there: Ingesting) -> None:
        """What was committed stays so when another file has the name: it is not committed a second time."""
        await there.put(BYTES)
        newer = await there.put(b"newer", upload_id=OTHER_ID)
        again = await there.committed()
        assert (again.size, again.crc32c) == (len(BYTES), crc32c(BYTES))
        assert again.revision != newer.revision
        assert (await read_file(there.store, "a.bin"))[1] == b"newer"

    async def test_a_file_that_is_there_already_is_not_sent_again(self, there: Ingesting) -> None:
        """If the name has the bytes, the file is returned at once, for an upload with another id; else it is not."""
        info = await there.put(BYTES)
        known: dict[str, Any] = {"size": len(BYTES), "crc32c": crc32c(BYTES)}
        assert await there.committed(upload_id=OTHER_ID, **known) == info
        assert await there.ingester.stat(UploadIdentity(OTHER_ID, "a.bin")) is None
        others: list[dict[str, Any]] = [known | {"crc32c": 1}, known | {"size": 1}, {"size": len(BYTES)}, {}]
        for other in others:
            await (await there.open(upload_id=OTHER_ID, **other)).aclose()
        with pytest.raises(AlreadyExistsError):
            await there.committed(upload_id=OTHER_ID, condition=IF_ABSENT, **known)

    # Conditions

    async def test_a_condition_is_checked_at_the_opening(self, there: Ingesting) -> None:
        """A condition that does not hold is refused before a byte is sent."""
        with pytest.raises(FileChangedError):
            await there.open(condition=Condition(revision="r"))
        info = await there.put(BYTES)
        with pytest.raises(AlreadyExistsError):
            await there.open(upload_id=OTHER_ID, condition=IF_ABSENT)
        with pytest.raises(FileChangedError):
            await there.open(upload_id=OTHER_ID, condition=Condition(revision="r"))
        await there.put(b"newer", upload_id=OTHER_ID, condition=Condition(revision=info.revision))

    async def test_a_condition_is_checked_at_the_commit_and_the_bytes_are_kept(self, there: Ingesting) -> None:
        """If it holds no more, the file does not get its name; it can be committed under another, and nothing is sent twice."""
        old = await there.put(b"old", "b.bin", OTHER_ID)
        for name, condition, error in (
            ("a.bin", IF_ABSENT, AlreadyExistsError),
            ("b.bin", Condition(revision=old.revision), FileChangedError),
        ):
            async with aclosing(await there.open(name, condition=condition)) as upload:
                await send(upload, BYTES)
                other = await there.put(b"other", name, bytes([7] * 16))
                with pytest.raises(error):
                    await upload.commit(len(BYTES))
            assert (await there.store.stat(name)).revision == other.revision
            async with aclosing(await there.open(name, condition=Condition(revision=other.revision))) as upload:
                assert upload.table.good_bytes == len(BYTES)
                await upload.commit(len(BYTES))
            assert (await read_file(there.store, name))[1] == BYTES

    async def test_of_several_that_must_be_the_first_one_is(self, there: Ingesting) -> None:
        """Files that are committed at the same time, each if the name is free: one gets it, and the others are refused."""
        uploads = [await there.open(upload_id=bytes([number] * 16), condition=IF_ABSENT) for number in range(8)]
        for number, upload in enumerate(uploads):
            await send(upload, bytes([number]) * 100)
        ends = await asyncio.gather(*(upload.commit(100) for upload in uploads), return_exceptions=True)
        for upload in uploads:
            await upload.aclose()
        (winner,) = [number for number, end in enumerate(ends) if isinstance(end, FileInfo)]
        assert {type(end) for end in ends} == {FileInfo, AlreadyExistsError}
        assert (await read_file(there.store, "a.bin"))[1] == bytes([winner]) * 100

    # Small files

    async def test_small_files_are_written_and_answered_in_their_order(self, there: Ingesting) -> None:
        """Each file has its bytes and attributes, and its answer is what the store says; an error is the answer of one file."""
        old = await there.put(b"old", "old.bin", OTHER_ID)
        await there.put(b"", "dir/there", OTHER_ID)
        run = Attributes(1_500_000_000_000_000_000, executable=True)
        files = [new(f"dir/{number % 3}/{number}.bin", BYTES[:number], run) for number in range(40)]
        wrong = [
            new("../a", b"1"),
            NewFile("b", b"1", 1),
            new("old.bin", b"1", condition=IF_ABSENT),
            new("old.bin", b"1", condition=Condition(revision="r")),
            new("old.bin/below", b"1"),
            new("dir", b"1"),
        ]
        answers = await there.ingester.write_small(
            [*wrong, *files, new("old.bin", b"new", condition=Condition(revision=old.revision))]
        )
        assert [type(answer) for answer in answers[: len(wrong)]] == [
            InvalidNameError,
            BlockCorruptError,
            AlreadyExistsError,
            FileChangedError,
            NotAFileError,
            NotAFileError,
        ]
        for file, answer in zip(files, answers[len(wrong) : -1], strict=True):
            info, data = await read_file(there.store, file.name)
            assert data == file.data
            assert answer == replace(info, crc32c=file.crc32c)
            assert (info.attributes.modified_ns, info.attributes.executable) == (run.modified_ns, True)
        assert (await read_file(there.store, "old.bin"))[1] == b"new"

    async def test_a_few_small_files_are_written_too(self, there: Ingesting) -> None:
        """A batch of one, of none, of the same name twice, and of an empty file."""
        assert list(await there.ingester.write_small([])) == []
        (one,) = await there.ingester.write_small([new("a", b"", condition=IF_ABSENT)])
        assert isinstance(one, FileInfo)
        first, second, third = await there.ingester.write_small(
            [new("b", b"1"), new("b", b"22"), new("b", b"3", condition=IF_ABSENT)]
        )
        assert isinstance(first, FileInfo)
        assert isinstance(second, FileInfo)
        assert isinstance(third, AlreadyExistsError)
        assert (await read_file(there.store, "b"))[1] == b"22"

    async def test_a_small_file_that_is_there_is_not_written_again(self, there: Ingesting) -> None:
        """If the name has the bytes, the answer is the file that is there, at its revision."""
        (first,) = await there.ingester.write_small([new("a", BYTES)])
        assert list(await there.ingester.write_small([new("a", BYTES)])) == [first]

    # Storage

    async def test_its_storage_has_an_id(self, there: Ingesting, tmp_path: Path) -> None:
        """The id is the same each time, files or none; a place that others write to has another one."""
        first = await there.ingester.storage()
        await there.put(BYTES, "dir/a.bin")
        assert first
        assert await there.ingester.storage() == first
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        async with self.ingesting(elsewhere) as other:
            assert await other.ingester.storage() not in ("", first)

    # Names

    @pytest.mark.parametrize("name", [name for name in NOT_NAMES if not name.startswith("/".join(["deep"] * 3))])
    async def test_a_name_that_is_none_is_refused(self, there: Ingesting, name: str) -> None:
        """An invalid name is InvalidNameError, whatever is asked."""
        key = UploadIdentity(ID, name)
        opening, deleting = there.ingester.open(UploadOpen(ID, name), ""), there.ingester.delete(name)
        for refused in (opening, there.ingester.stat(key), there.ingester.abandon(key), deleting):
            with pytest.raises(InvalidNameError):
                await refused

    async def test_a_file_is_no_directory(self, there: Ingesting) -> None:
        """A name that has files below it is refused."""
        await there.put(BYTES, "dir/a.bin")
        with pytest.raises(NotAFileError):
            await there.open("dir")
