"""A directory as the place of uploads: the one that a local store serves.

Rule 1: an upload is received by one process and one stream at a time. Opening it again takes it over: in this process at once;
        from another process, which finds the part file locked, by a file in `wanted/` that the holder looks for.
Rule 2: what comes from an earlier run is read again before it is used. What this process closed itself, and nobody has changed
        since, is not.
Rule 3: system calls that may wait for a disk run in worker threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from unspool.core.condition import check_condition, check_present, may_be_same
from unspool.core.counted import counted
from unspool.core.journal import Journal
from unspool.core.model import FileInfo
from unspool.core.reserved import UPLOADS
from unspool.core.segments import SegmentTable, segment_size_for
from unspool.core.uploading import NewFile, UploadIdentity, UploadOpen, WrittenFile
from unspool.errors import BusyError, NoSpaceError, UnreachableError, UnspoolError
from unspool.ingest.base import Known
from unspool.ingest.describing import Describing
from unspool.ingest.limits import check_count, check_share, check_size
from unspool.ingest.localupload import Home, LocalUpload
from unspool.ingest.refusals import refusing
from unspool.ingest.small import SmallFiles
from unspool.ingest.staging import Staging, key_of
from unspool.ingest.sweep import sweep
from unspool.ingest.target import Targets
from unspool.ingest.uploadfile import CommittedError, UploadFile, info_of_record, look, settle
from unspool.local.entries import status_of
from unspool.options import IngestOptions
from unspool.stores.contents import Contents
from unspool.stores.revisions import RevisionOf, by_status
from unspool.stores.threads import Threads

log = logging.getLogger("unspool.ingest")

T = TypeVar("T")

_THREADS = 64
"""Most worker threads, as for a local store."""

_LOOKS = 0.2
"""Seconds between two looks at what other processes want. A look is one system call on an empty directory."""

_TRIES = 0.05
"""Seconds between two tries to lock what another process lets go of."""

_PATIENCE = 10.0
"""Seconds to wait for another process to let go: it may be in the middle of a sync."""

_STAMPS = 1000
"""Uploads of which is remembered how they were left."""

_Stamp = tuple[int, int, int, int]


class LocalIngester:
    """Receives files into one directory. See `Ingester`.

    Uploads are kept in the directory `.unspool-uploads` below it, also over a restart. Several processes may receive into one
    directory.

    Args:
        root: the directory. It is opened at once.
        options: what is taken, and how long it is kept.
        hidden: whether dotfiles may be written, as the store has it.
        revision_of: makes revisions, as the store has it.
        contents: what the files contain, if revisions are made of that: the store's (`LocalStore.contents`). Not closed here.
        clock: returns the seconds since 1970.

    Raises:
        NotFoundError, PermissionDeniedError: the directory cannot be opened.
        LocalFileError: the directory for uploads cannot be made or used.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        options: IngestOptions | None = None,
        *,
        hidden: bool = False,
        revision_of: RevisionOf = by_status,
        contents: Contents | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options or IngestOptions()
        self._clock = clock
        self._root = os.fspath(root)
        self._targets = Targets(self._root, hidden=hidden, describing=Describing(revision_of, contents))
        try:
            self._staging = Staging(self._targets.descriptor, Path(self._root) / UPLOADS)
        except BaseException:
            self._targets.close()
            raise
        self._small = SmallFiles(self._staging, self._targets)
        self._threads = Threads(_THREADS)
        self._live: dict[str, LocalUpload] = {}
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._stamps: OrderedDict[str, _Stamp] = OrderedDict()
        self._watch: asyncio.Task[None] | None = None

    @property
    def largest_file(self) -> int | None:
        """See `Ingester.largest_file`."""
        return self._options.largest_file

    @property
    def expires_after(self) -> float | None:
        """See `Ingester.expires_after`."""
        return self._options.keep

    # Opening

    async def open(self, opens: UploadOpen, owner: str) -> LocalUpload | FileInfo:
        """See `Ingester.open`."""
        self._targets.check(opens.name)
        check_size(opens.name, opens.size, self._options.largest_file)
        key = key_of(UploadIdentity(opens.upload_id, opens.name, owner))
        lock = self._opening.setdefault(key, asyncio.Lock())
        async with lock:
            part = await self._take_over(key, opens.name, lambda: self._open(key, opens, owner))
            if isinstance(part, FileInfo):
                return part
            upload: LocalUpload | None = None
            try:
                while await self._in_thread(opens.name, part.recheck):
                    pass
                if opens.discard:
                    await self._in_thread(opens.name, partial(part.discard_spans, opens.discard))
                home = Home(self._staging, self._targets, self._threads)
                upload = LocalUpload(
                    *(part, opens, home),
                    room=partial(self._room, key, opens.name, owner),
                    let_go=partial(self._forget, key),
                    left=partial(self._note, key),
                )
            finally:
                if upload is None:
                    self._threads.submit(part.close)
            self._live[key] = upload
            if self._watch is None or self._watch.done():
                self._watch = asyncio.create_task(self._let_others_have())
            return upload

    async def _take_over(self, key: str, name: str, work: Callable[[], UploadFile | FileInfo]) -> UploadFile | FileInfo:
        """Do work that locks an upload, after whoever has it has let go of it."""
        if (older := self._live.get(key)) is not None:
            await older.give_up()
        waited = 0.0
        try:
            while True:
                try:
                    return await self._threads.open(lambda: _mapped(name, work), _close)
                except BusyError:
                    if waited >= _PATIENCE:
                        said = f"{name}: another process of the server does not let go of this upload: try again"
                        raise UnreachableError(said, name=name, retry_after=1.0) from None
                await self._threads.run(lambda: self._staging.want(key))
                await asyncio.sleep(_TRIES)
                waited += _TRIES
        finally:
            if waited:
                self._staging.unwant(key)

    async def _in_thread(self, name: str, work: Callable[[], T]) -> T:
        return await self._threads.run(lambda: _mapped(name, work))

    def _open(self, key: str, opens: UploadOpen, owner: str) -> UploadFile | FileInfo:
        """Lock an upload and see what there is of it."""
        name = opens.name
        self._staging.mend()
        if status_of(key, self._staging.done) is not None and (info := self._committed(key, name)) is not None:
            self._settle(key, name)  # a power cut may have brought back what was removed
            return info
        part = UploadFile(self._staging.place(key, name), key, self._targets.final(name))
        try:
            part.acquire()
        except CommittedError:
            self._settle(key, name)
            info = self._committed(key, name)
            assert info is not None
            return info
        keeps = False
        try:
            if status_of(key, self._staging.done) is not None:  # another process has committed it just now
                info = self._committed(key, name)
                assert info is not None
                return info
            if (info := self._there_already(opens)) is not None:
                part.discard()
                return info
            self._check_space(key, opens, owner, os.fstat(part.descriptor).st_size)
            source = f"upload {opens.upload_id.hex()} of {owner!r}"
            if part.journal is None or (part.journal.name, part.journal.source) != (name, source):
                part.begin(Journal(name, source, None, opens.size, segment_size_for(opens.size)))
            elif self._stamps.pop(key, None) == _stamp(os.fstat(part.descriptor)):
                part.trust()
            part.announce(opens.size)
            part.touch()
            keeps = True
        finally:
            if not keeps:
                part.close()
        return part

    def _settle(self, key: str, name: str) -> None:
        settle(key, self._staging.place(key, name).names.journal, self._staging.descriptor, self._staging.done)

    def _committed(self, key: str, name: str) -> FileInfo | None:
        """Return the file of an upload that is committed; else None."""
        known = look(key, self._staging.place(key, name), self._staging.done, self._targets.final(name))
        return self._described(known, name) if isinstance(known, Journal) else None

    def _described(self, record: Journal, name: str) -> FileInfo:
        current = None
        with suppress(OSError, UnspoolError), self._targets.at(name) as target:
            current = None if target is None else target.current()
        return info_of_record(record, name, current)

    def _there_already(self, opens: UploadOpen) -> FileInfo | None:
        """Check the condition; return the file if it has the bytes of the upload already."""
        with self._targets.at(opens.name) as target:
            found = None if target is None else target.current()
            current = found and found[0]
            check_condition(opens.name, opens.condition, current)
            if target is not None and current is not None and may_be_same(opens, current) and target.has(opens):
                return replace(current, crc32c=opens.crc32c, sha256=opens.sha256)
        return None

    def _check_space(self, key: str, opens: UploadOpen, owner: str, there: int) -> None:
        """Raise NoSpaceError if there is no space for an upload of which there are `there` bytes."""
        name, size = opens.name, max(opens.size or 0, there)
        count, used = self._staging.used_by(owner, key)
        check_count(name, count, self._options)
        check_share(name, size, used, self._options)
        if size - there > (free := self._staging.free()):
            raise NoSpaceError(
                f"{name}: {counted(size - there, 'byte')} are to come, and the server has room for {free}", name=name
            )

    def _room(self, key: str, name: str, owner: str, end: int) -> int:
        """See `LocalUpload`. Other uploads of the owner grow meanwhile, so it is asked again, but not with every block."""
        used = 0 if self._options.bytes is None else self._staging.used_by(owner, key)[1]
        return check_share(name, end, used, self._options)

    # Other ways to an upload

    async def stat(self, identity: UploadIdentity) -> Known:
        """See `Ingester.stat`."""
        self._targets.check(identity.name)
        key = key_of(identity)
        if (live := self._live.get(key)) is not None:
            return live.known()
        return await self._threads.run(lambda: self._look(key, identity.name))

    def _look(self, key: str, name: str) -> Known:
        with refusing(name):
            known = look(key, self._staging.place(key, name), self._staging.done, self._targets.final(name))
            return self._described(known, name) if isinstance(known, Journal) else known

    async def abandon(self, identity: UploadIdentity) -> None:
        """See `Ingester.abandon`."""
        self._targets.check(identity.name)
        key = key_of(identity)
        async with self._opening.setdefault(key, asyncio.Lock()):
            if isinstance(await self._threads.run(lambda: self._look(key, identity.name)), SegmentTable) or key in self._live:
                await self._take_over(key, identity.name, lambda: self._discard(key, identity.name))

    def _discard(self, key: str, name: str) -> UploadFile:
        part = UploadFile(self._staging.place(key, name), key, self._targets.final(name))
        with suppress(CommittedError):
            part.acquire()
            part.discard()
        return part

    async def write_small(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        return await self._threads.run(lambda: self._small.write(files))

    async def delete(self, name: str, revision: str | None = None) -> FileInfo:
        """See `Ingester.delete`."""
        self._targets.check(name)
        return await self._threads.run(lambda: self._delete(name, revision))

    def _delete(self, name: str, revision: str | None) -> FileInfo:
        with refusing(name):
            self._staging.mend()
            with self._staging.locked(name), self._targets.at(name) as target:
                found = None if target is None else target.current()
                info = check_present(name, revision, found and found[0])
                assert target is not None
                target.remove()
                return info

    async def storage(self) -> str:
        """See `Ingester.storage`. Servers that share the directory over a network have the same id; copies of it do not."""
        return await self._threads.run(self._storage_id)

    def _storage_id(self) -> str:
        with refusing(UPLOADS):
            self._staging.mend()
            return self._staging.storage()

    async def sweep(self) -> int:
        """See `Ingester.sweep`."""
        return await self._threads.run(lambda: sweep(self._staging, self._options, self._clock()))

    # Taking over

    async def _let_others_have(self) -> None:
        """Let go of the uploads that other processes want, as long as there are any here."""
        while self._live:
            await asyncio.sleep(_LOOKS)
            for key in await self._threads.run(self._staging.all_wanted):
                if (upload := self._live.get(key)) is not None:
                    self._staging.unwant(key)
                    await upload.give_up()

    def _forget(self, key: str, upload: LocalUpload) -> None:
        if self._live.get(key) is upload:
            del self._live[key]

    def _note(self, key: str, left: os.stat_result) -> None:
        """Note how an upload was left."""
        self._stamps[key] = _stamp(left)
        while len(self._stamps) > _STAMPS:
            self._stamps.popitem(last=False)

    async def aclose(self) -> None:
        """See `Ingester.aclose`."""
        if self._watch is not None:
            self._watch.cancel()
        for upload in list(self._live.values()):
            await upload.aclose()
        self._threads.close()
        self._staging.close()
        self._targets.close()


def _mapped(name: str, work: Callable[[], T]) -> T:
    """Do work for the file `name`, with errors that a client may be told."""
    with refusing(name):
        return work()


def _close(part: UploadFile | FileInfo) -> None:
    if isinstance(part, UploadFile):
        part.close()


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
