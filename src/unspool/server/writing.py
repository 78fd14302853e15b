"""The methods of `unspool.v1.FileService` that write: uploads, one stream each, batches of small files, and deletions.

Rule 1: a refusal and a success are messages. A status that ends a two-way stream early is lost in gRPC (grpc#36066), so after
        the last message the server reads on until the client has ended its side, for a limited time, and ends with OK.
Rule 2: heartbeats go out whatever the server waits for. A client that says nothing for too long is not waited for.
Rule 3: limits on age and bandwidth hold between two blocks, and so does what the caller may do: it is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace

from unspool.core.counted import counted
from unspool.core.names import check_name
from unspool.core.uploading import (
    DeleteRequest,
    NewFile,
    UploadAnswer,
    UploadCommitted,
    UploadIdentity,
    UploadProgress,
    UploadRefused,
    UploadRequest,
    WrittenFile,
)
from unspool.core.value import value
from unspool.errors import InvalidRequestError, UnreachableError, UnspoolError, UnsupportedError
from unspool.ingest.base import Ingester
from unspool.ingest.taking import Taking, state_of
from unspool.options import ServiceOptions
from unspool.rpc import deletewire, status, writewire
from unspool.server.entry import Asked, Call, Method, Sent
from unspool.server.outlet import ClientGoneError, Outlet
from unspool.server.streams import Streams

DRAINING = 10.0
"""Seconds that a client has to end its side of a stream after the last message (tusd's wrap-up after a cut: 10)."""


@value
class _FirstFiles:
    """The first message of a batch."""

    files: Sequence[NewFile]
    transfer_id: str
    attempt: int


class Writing:
    """Answers the methods that write, out of an ingester.

    Args:
        ingester: gets the files; None refuses all uploads.
        streams: how much each stream may send.
        options: sizes and intervals.
    """

    def __init__(self, ingester: Ingester | None, streams: Streams, options: ServiceOptions) -> None:
        self._ingester = ingester
        self._streams = streams
        self._options = options
        self._refusing = 0

    def methods(self) -> Sequence[Method]:
        """Return the methods that write."""
        return (
            Method("WriteFile", self._decode_first, _asked_of_open, self._write_file, refuses=self._refuse),
            Method("WriteFiles", self._decode_first_files, _asked_of_first, self._write_files, refuses=self._refuse_files),
            Method("StatUpload", self._decode_name, _asked_of_name, self._stat_upload, streams=False),
            Method("AbandonUpload", self._decode_name, _asked_of_name, self._abandon_upload, streams=False),
            Method("DeleteFile", self._decode_delete, _asked_of_delete, self._delete_file, streams=False),
            Method("StatStorage", self._decode_storage, _asked_of_storage, self._stat_storage, streams=False),
        )

    def _taking_files(self) -> Ingester:
        if self._ingester is None:
            raise UnsupportedError("this server takes no files: it was started without writing")
        return self._ingester

    def _decode_first(self, request: bytes) -> UploadRequest:
        self._taking_files()
        first = writewire.decode_upload_request(request)
        if first.open is None:
            raise InvalidRequestError("the first message of an upload must open it")
        return first

    def _decode_first_files(self, request: bytes) -> _FirstFiles:
        return _FirstFiles(self._decode_files(request), *writewire.decode_transfer(request))

    def _decode_files(self, request: bytes) -> Sequence[NewFile]:
        files = writewire.decode_new_files(request, self._options.largest_batch)
        if len(files) > (most := self._options.largest_batch):
            raise InvalidRequestError(f"{counted(len(files), 'file')} in one message: at most {most} are taken")
        return files

    def _decode_name(self, request: bytes) -> tuple[bytes, str]:
        self._taking_files()
        return writewire.decode_upload_name(request)

    async def _stat_upload(self, wanted: tuple[bytes, str], call: Call) -> bytes:
        ingester = self._taking_files()
        known = await ingester.stat(_identity(wanted, call))
        return writewire.encode_upload_state(state_of(known, ingester, self._options))

    async def _abandon_upload(self, wanted: tuple[bytes, str], call: Call) -> bytes:
        await self._taking_files().abandon(_identity(wanted, call))
        return b""

    def _decode_delete(self, request: bytes) -> DeleteRequest:
        self._taking_files()
        return deletewire.decode_delete_request(request)

    async def _delete_file(self, wanted: DeleteRequest, call: Call) -> bytes:
        info = await self._taking_files().delete(wanted.name, wanted.revision)
        call.served[0] = info.revision, None
        return deletewire.encode_deleted(info)

    def _decode_storage(self, request: bytes) -> tuple[str, bool]:
        self._taking_files()
        return writewire.decode_storage_request(request)

    async def _stat_storage(self, wanted: tuple[str, bool], call: Call) -> bytes:  # noqa: ARG002 - see Method
        check_name(wanted[0])
        return writewire.encode_storage(await self._taking_files().storage())

    async def _write_file(self, wanted: UploadRequest, call: Call) -> None:
        async with self._streams.outlet(call, writewire.encode_upload_answer(None), self._options.heartbeat) as outlet:
            options = replace(self._options, largest_block=self._streams.largest_block(self._options.largest_block))
            await _Stream(self._taking_files(), call, outlet, options).run(wanted)

    async def _write_files(self, wanted: _FirstFiles, call: Call) -> None:
        call.waiting = len(wanted.files)
        ingester, idle = self._taking_files(), self._options.upload_idle
        async with self._streams.outlet(call, writewire.encode_written(()), self._options.heartbeat) as outlet:
            files: Sequence[NewFile] | None = wanted.files
            while files is not None:
                if files:
                    await outlet.patiently(self._write_batch(files, call, ingester, outlet))
                files = await outlet.patiently(self._next_files(call, idle))

    async def _next_files(self, call: Call, idle: float) -> Sequence[NewFile] | None:
        message = await call.inlet.next(idle)
        return None if message is None else self._decode_files(message)

    @staticmethod
    async def _write_batch(files: Sequence[NewFile], call: Call, ingester: Ingester, outlet: Outlet) -> None:
        """Write the files of one message, and answer them."""
        call.waiting = len(files)
        call.asked = replace(_asked_of_files(files), transfer_id=call.asked.transfer_id, attempt=call.asked.attempt)
        await outlet.admit(sum(len(file.data) for file in files))
        refused = call.decide(call.asked)
        allowed = [file for at, file in enumerate(files) if at not in refused]
        written = iter(await ingester.write_small(allowed) if allowed else ())
        results: list[WrittenFile] = [refused[at] if at in refused else next(written) for at in range(len(files))]
        await outlet.say(writewire.encode_written(results))
        call.waiting = 0
        failed = 0
        for at, result in enumerate(results):
            if isinstance(result, UnspoolError):
                failed += 1
                call.sent[at] = Sent(0, ended=True, error=result)
            else:
                call.sent[at] = Sent(result.size, ended=True)
                call.served[at] = result.revision, (0, result.size)
                call.bytes += result.size
        if call.flush is not None:
            call.flush()
        call.earlier = call.earlier[0] + len(files), call.earlier[1] + failed
        call.asked = replace(call.asked, names=())
        call.verdicts, call.refused = [], {}
        call.sent.clear()
        call.served.clear()

    # Refusing

    async def _refuse(self, call: Call, error: UnspoolError) -> None:
        """Tell the client why its upload cannot go on."""
        if call.answered:
            return
        with self._counted() as there_is_room:
            if not there_is_room:
                await call.context.abort(*status.encode_error(error))
            with suppress(TimeoutError):  # the client may not read, either
                async with asyncio.timeout(DRAINING):
                    await call.context.write(writewire.encode_upload_answer(UploadRefused(error, call.good)))
                    await drain(call)

    async def _refuse_files(self, call: Call, error: UnspoolError) -> None:
        """Answer all files that still come with an error, and end the call with it when the client has ended its side."""
        with self._counted() as there_is_room, suppress(TimeoutError):
            async with asyncio.timeout(DRAINING if there_is_room else 0), aclosing(call.inlet.rest()) as rest:
                if call.waiting:
                    await call.context.write(writewire.encode_written([error] * call.waiting))
                async for message in rest:
                    with suppress(InvalidRequestError):
                        files = self._decode_files(message)
                        await call.context.write(writewire.encode_written([error] * len(files)))
        await call.context.abort(*status.encode_error(error))

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        """Count a call that is being refused. Yields whether it may stay until its client has ended its side.

        A refused call is no running stream any more, so there may be no more of them than of these: whoever opens calls to have
        them refused could keep them for `DRAINING` each.
        """
        self._refusing += 1
        try:
            yield self._refusing <= self._streams.most
        finally:
            self._refusing -= 1


class _Stream:
    """One stream of an upload."""

    def __init__(self, ingester: Ingester, call: Call, outlet: Outlet, options: ServiceOptions) -> None:
        self._call = call
        self._outlet = outlet
        self._idle = options.upload_idle
        self._taking = Taking(ingester, owner_of(call), options, tell=self._tell, interrupt=call.inlet.interrupt)

    async def run(self, first: UploadRequest) -> None:
        """Take the messages of the stream until its end."""
        async with self._taking:
            try:
                committed = await self._outlet.patiently(self._take_all(first))
            except UnspoolError as error:
                self._call.good = await self._taking.left(error)
                raise
        if committed is not None:
            self._call.served[0] = committed.info.revision, (0, committed.info.size)
            await self._say(committed)
            self._call.answered = True
            await drain(self._call)

    async def _take_all(self, first: UploadRequest) -> UploadCommitted | None:
        request: UploadRequest | None = first
        while request is not None:
            committed = await self._take(request)
            if committed is not None:
                return committed
            del request  # many streams wait for the next, and what they hold is looked through for garbage all the time
            request = await self._next()
        await self._taking.end()
        return None

    async def _take(self, request: UploadRequest) -> UploadCommitted | None:
        """Take one message; return the answer if it is the last one."""
        taking = self._taking
        if request.open is not None:
            answer = await taking.open(request.open)
            if isinstance(answer, UploadCommitted):
                return answer
            if request.open.size is not None:
                have = sum(good.span.stop - good.span.start for good in answer.good)
                self._call.coming = have, request.open.size
            await self._say(answer)
        if request.block is not None:
            size = len(request.block.data)
            await self._outlet.admit(size)
            await taking.take(request.block)
            self._call.bytes += size
        if request.commit is not None:
            if self._call.recheck is not None:
                await self._call.recheck()
            return await taking.commit(request.commit)
        if request.open is None and request.block is None:
            taking.heartbeat()
        return None

    async def _next(self) -> UploadRequest | None:
        """Return the client's next message; None if it has ended its side."""
        self._taking.check()
        try:
            message = await self._call.inlet.next(self._idle)
        except UnreachableError:
            self._taking.check()
            raise
        return None if message is None else writewire.decode_upload_request(message)

    async def _say(self, answer: UploadAnswer) -> None:
        await self._outlet.say(writewire.encode_upload_answer(answer))

    async def _tell(self, progress: UploadProgress) -> None:
        with suppress(ClientGoneError):  # the stream finds out by itself
            await self._say(progress)


async def drain(call: Call) -> None:
    """Read on until the client has ended its side of the stream."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAINING), aclosing(call.inlet.rest()) as rest:
            async for _ in rest:
                pass


def owner_of(call: Call) -> str:
    """Return whose uploads a call is about."""
    return "" if call.caller.principal is None else call.caller.principal.name


def _identity(wanted: tuple[bytes, str], call: Call) -> UploadIdentity:
    return UploadIdentity(*wanted, owner=owner_of(call))


def _asked_of_open(wanted: UploadRequest) -> Asked:
    opens = wanted.open
    assert opens is not None
    return Asked((opens.name,), 0, opens.transfer_id, opens.attempt, right="write")


def _asked_of_files(wanted: Sequence[NewFile]) -> Asked:
    return Asked(tuple([file.name for file in wanted]), batch=True, right="write")


def _asked_of_first(wanted: _FirstFiles) -> Asked:
    return replace(_asked_of_files(wanted.files), transfer_id=wanted.transfer_id, attempt=wanted.attempt)


def _asked_of_name(wanted: tuple[bytes, str]) -> Asked:
    return Asked((wanted[1],), right="write")


def _asked_of_storage(wanted: tuple[str, bool]) -> Asked:
    name, deletes = wanted
    return Asked((name,), right="delete" if deletes else "write")


def _asked_of_delete(wanted: DeleteRequest) -> Asked:
    return Asked((wanted.name,), 0, wanted.transfer_id, wanted.attempt, right="delete")
