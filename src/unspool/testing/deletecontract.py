"""The contract of ingesters about deleting files (`unspool.testing.ingestcontract`)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from unspool.core.extras import extra
from unspool.core.uploading import IF_ABSENT, Condition
from unspool.errors import FileChangedError, NotFoundError
from unspool.testing.ingesting import OTHER_ID, Ingesting, IngestTests, send
from unspool.testing.stock import BYTES, listed, read_file

with extra("contract"):
    import pytest


class DeleteContract(IngestTests):
    """The contract about deleting."""

    async def test_what_is_deleted_is_gone(self, there: Ingesting) -> None:
        """A deleted file is not found, opened or listed; what is beside it stays. The answer is the file as it was."""
        info = await there.put(BYTES, "dir/a.bin")
        await there.put(b"other", "dir/b.bin", OTHER_ID)
        assert (await read_file(there.store, "dir/a.bin"))[1] == BYTES
        gone = await there.ingester.delete("dir/a.bin")
        assert (gone.name, gone.size, gone.revision) == ("dir/a.bin", len(BYTES), info.revision)
        with pytest.raises(NotFoundError):
            await there.store.stat("dir/a.bin")
        with pytest.raises(NotFoundError):
            await there.store.open("dir/a.bin")
        assert set((await listed(there.store))[0]) == {"dir/b.bin"}

    async def test_what_is_not_there_cannot_be_deleted(self, there: Ingesting) -> None:
        """NotFoundError, whatever the revision, also below a directory or a file that is not there, and the second time."""
        info = await there.put(BYTES)
        await there.ingester.delete("a.bin", info.revision)
        await there.put(BYTES, "b.bin", OTHER_ID)
        for name in ("a.bin", "never", "no/such/directory", "b.bin/below"):
            for revision in (None, info.revision):
                with pytest.raises(NotFoundError):
                    await there.ingester.delete(name, revision)

    async def test_only_the_revision_that_was_meant_is_deleted(self, there: Ingesting) -> None:
        """A file at another revision stays as it is."""
        old = await there.put(b"old", upload_id=OTHER_ID)
        newer = await there.put(BYTES)
        with pytest.raises(FileChangedError):
            await there.ingester.delete("a.bin", old.revision)
        assert (await read_file(there.store, "a.bin"))[1] == BYTES
        assert (await there.ingester.delete("a.bin", newer.revision)).revision == newer.revision

    async def test_of_several_that_delete_a_file_one_does(self, there: Ingesting) -> None:
        """Deletions at the same time, some of them of a revision: one is answered with the file, the others find none."""
        info = await there.put(BYTES)
        revisions = [None, info.revision] * 4
        ends = await asyncio.gather(*(there.ingester.delete("a.bin", one) for one in revisions), return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == ["FileInfo", *["NotFoundError"] * 7]

    async def test_deleting_a_file_is_a_change_of_it(self, there: Ingesting) -> None:
        """An upload that replaces a certain revision is not committed when that is gone, and one that needs a free name is."""
        old = await there.put(b"old", upload_id=OTHER_ID)
        async with aclosing(await there.open(condition=Condition(revision=old.revision))) as upload:
            await send(upload, BYTES)
            await there.ingester.delete("a.bin")
            with pytest.raises(FileChangedError):
                await upload.commit(len(BYTES))
        async with aclosing(await there.open(condition=IF_ABSENT)) as upload:
            assert upload.table.good_bytes == len(BYTES)
            await upload.commit(len(BYTES))
        assert (await read_file(there.store, "a.bin"))[1] == BYTES

    async def test_an_unfinished_upload_outlives_its_file(self, there: Ingesting) -> None:
        """Deleting the file of a name leaves what was received for it, also while it is received."""
        await there.put(b"old", upload_id=OTHER_ID)
        async with aclosing(await there.open()) as upload:
            await send(upload, BYTES[:600])
            await there.ingester.delete("a.bin")
            assert not upload.taken_over.is_set()
            await send(upload, BYTES[:900], 600)
        async with aclosing(await there.open()) as upload:
            assert upload.table.good_bytes == 900

    async def test_what_was_committed_stays_so_when_it_was_deleted(self, there: Ingesting) -> None:
        """A lost answer to a commit is told again, and a deleted file does not come back by that."""
        info = await there.put(BYTES)
        await there.ingester.delete("a.bin")
        again = await there.committed()
        assert (again.size, again.crc32c) == (info.size, info.crc32c)
        with pytest.raises(NotFoundError):
            await there.store.stat("a.bin")

    async def test_a_directory_is_not_deleted(self, there: Ingesting) -> None:
        """A name that has files below it is no file."""
        await there.put(BYTES, "dir/a.bin")
        with pytest.raises(NotFoundError):
            await there.ingester.delete("dir")
        assert (await read_file(there.store, "dir/a.bin"))[1] == BYTES
