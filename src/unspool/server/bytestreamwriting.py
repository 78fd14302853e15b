"""The methods of `google.bytestream.ByteStream` that write: Write and QueryWriteStatus.

Rule 1: a resource is the file of that name, which is all that names its upload. A client finds it again from any connection,
        and a second write of it takes over from the first.
Rule 2: the file gets its name when the last part has come, whole. There is no checksum of the whole: the client compares.
Rule 3: `committed_size` is durable as far as this process knows the upload to be running: a client may forget what it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from unspool.core.bytestreamwrite import ByteStreamWrite, WriteMessage
from unspool.core.model import FileInfo
from unspool.core.segments import SegmentTable
from unspool.core.uploadid import id_by_name
from unspool.core.uploading import UploadCommit, UploadCommitted, UploadIdentity, UploadOpen, UploadProgress
from unspool.errors import NotFoundError, ServerError, TakenOverError, UnreachableError, UnsupportedError
from unspool.ingest.base import Ingester, Known
from unspool.ingest.taking import Taking
from unspool.options import ServiceOptions
from unspool.rpc import bytestreamwire as wire
from unspool.server.entry import Asked, Call, Method
from unspool.server.outlet import Outlet
from unspool.server.streams import Streams
from unspool.server.writing import DRAINING, owner_of
from unspool.stores.base import Store

_MOST_GENERATIONS = 1000
"""How often a name may get a file and have none again in the time for which an ingester remembers what was committed."""


class ByteStreamWriting:
    """Answers Write and QueryWriteStatus, out of an ingester.

    Args:
        store: has the files that are there already.
        ingester: gets the files; None refuses all writes.
        streams: how much each stream may send.
        options: sizes and intervals.
    """

    def __init__(self, store: Store, ingester: Ingester | None, streams: Streams, options: ServiceOptions) -> None:
        self._store = store
        self._ingester = ingester
        self._streams = streams
        self._options = options
        self._running: dict[UploadIdentity, Taking] = {}

    def methods(self) -> Sequence[Method]:
        """Return the methods that write."""
        return (
            Method("Write", wire.decode_write_request, _asked_of_part, self._write),
            Method("QueryWriteStatus", wire.decode_status_request, _asked_of_name, self._status, streams=False),
        )

    def _ingester_for(self, name: str, call: Call) -> Ingester:
        if self._ingester is None:
            raise UnsupportedError(
                f"{name}: this server does not write, so it has no {call.method}; of google.bytestream.ByteStream it has Read",
                name=name,
            )
        return self._ingester

    # Write

    async def _write(self, first: WriteMessage, call: Call) -> None:
        ingester = self._ingester_for(first.name, call)
        async with self._streams.outlet(call, None, self._options.heartbeat) as outlet:
            identity, known = await self._find(first.name, await self._current(first.name), call)
            if first.offset == 0 and known is not None:
                await ingester.abandon(identity)
            taking = Taking(ingester, identity.owner, self._options, tell=_nobody, interrupt=call.inlet.interrupt)
            async with taking:
                opened = await taking.open(UploadOpen(identity.upload_id, identity.name))
                if isinstance(opened, UploadCommitted):
                    raise TakenOverError(f"{first.name}: another stream has just finished this upload", name=first.name)
                there = opened.good[0] if opened.good and opened.good[0].span.start == 0 else None
                parts = ByteStreamWrite(first.name, first.offset, *((there.span.stop, there.crc32c) if there else (0, 0)))
                self._running[identity] = taking
                try:
                    await self._take_all(first, parts, taking, call, outlet)
                    size = await self._end(parts, taking, call)
                finally:
                    if self._running.get(identity) is taking:
                        del self._running[identity]
            await outlet.say(wire.encode_write_response(size))

    async def _take_all(self, first: WriteMessage, parts: ByteStreamWrite, taking: Taking, call: Call, outlet: Outlet) -> None:
        """Take the client's messages until it has ended its side."""
        part: WriteMessage | None = first
        while part is not None:
            await outlet.admit(len(part.data))
            for block in parts.take(part, self._options.largest_block):
                await taking.take(block)
            call.bytes += len(part.data)
            part = await self._next(call, taking, finished=parts.finished)

    async def _next(self, call: Call, taking: Taking, *, finished: bool) -> WriteMessage | None:
        """Return the client's next message; None if it has ended its side, or if it has finished and says nothing."""
        taking.check()
        try:
            message = await call.inlet.next(DRAINING if finished else self._options.upload_idle)
        except UnreachableError:
            taking.check()
            if finished:
                return None
            raise
        return None if message is None else wire.decode_write_request(message)

    async def _end(self, parts: ByteStreamWrite, taking: Taking, call: Call) -> int:
        """Commit a file of which all has come; return how many bytes of it are durable."""
        if not parts.finished:
            await taking.end()
            return await taking.settle()
        if call.recheck is not None:
            await call.recheck()
        done = await taking.commit(UploadCommit(parts.position, parts.crc32c))
        call.served[0] = done.info.revision, (0, done.info.size)
        return done.info.size

    # QueryWriteStatus

    async def _status(self, name: str, call: Call) -> bytes:
        self._ingester_for(name, call)
        current = await self._current(name)
        identity, known = await self._find(name, current, call)
        if isinstance(known, SegmentTable):
            return wire.encode_status_response(await self._durable(identity, known), complete=False)
        if current is None:
            raise NotFoundError(f"{name}: no such file, and nothing of it was written", name=name)
        return wire.encode_status_response(current.size, complete=True)

    async def _durable(self, identity: UploadIdentity, known: SegmentTable) -> int:
        """Return how many bytes of an upload there are."""
        if (running := self._running.get(identity)) is not None:
            with suppress(TakenOverError, ServerError):  # it has just ended, and is known as it was left
                return await running.settle()
        gap = known.first_gap(None)
        assert gap is not None
        return gap.start

    # Finding an upload

    async def _current(self, name: str) -> FileInfo | None:
        """Return what is at a name; None if there is no file."""
        with suppress(NotFoundError):
            return await self._store.stat(name)
        return None

    async def _find(self, name: str, current: FileInfo | None, call: Call) -> tuple[UploadIdentity, Known]:
        """Return which upload replaces what is at a name, and what is known of it unless it was committed."""
        ingester = self._ingester_for(name, call)
        owner, revision = owner_of(call), "" if current is None else current.revision
        for generation in range(_MOST_GENERATIONS):
            identity = UploadIdentity(id_by_name(name, revision, generation), name, owner)
            known = await ingester.stat(identity)
            if not isinstance(known, FileInfo):
                return identity, known
        raise UnreachableError(f"{name}: was written and removed too often: try again tomorrow", name=name)


async def _nobody(progress: UploadProgress) -> None:
    """Tell nobody: the dialect has no progress."""


def _asked_of_part(part: WriteMessage) -> Asked:
    return Asked((part.name,), max(part.offset, 0), right="write")


def _asked_of_name(name: str) -> Asked:
    return Asked((name,), right="write")
