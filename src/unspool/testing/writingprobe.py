"""Raw calls that write to a server under test: uploads message by message, small files, deletions."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress

import grpc
from google.protobuf.message import DecodeError

from unspool.core.checksum import crc32c
from unspool.rpc.wire import SERVICE
from unspool.testing.probe import Answer, PointFailedError, Probe, must, note
from unspool.v1 import file_service_pb2 as pb

_PATIENCE = 30.0
"""Seconds that each answer may take. The server drains a refused stream for 10."""

STEP = 64 << 10
"""Bytes of a block that every server takes."""


def block(offset: int, data: bytes, checksum: int | None = None) -> pb.Block:
    """Return a block; its checksum is right unless another one is given."""
    return pb.Block(offset=offset, data=data, crc32c=crc32c(data) if checksum is None else checksum)


class UploadCall:
    """One stream of an upload."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call

    async def send(self, **parts: object) -> None:
        """Send a message with some of `open`, `block` and `commit`. A stream that the server has ended is no error."""
        message = pb.WriteFileRequest(**parts)  # type: ignore[arg-type]  # fields by name
        with suppress(asyncio.InvalidStateError):
            await self._call.write(message.SerializeToString())

    async def answer(self) -> pb.WriteFileResponse:
        """Return the next message that is neither a heartbeat nor progress. The point fails if there is none."""
        while True:
            message = await self._next()
            if message is None:
                raise PointFailedError(f"the stream ended with {await self._status()}, and a message was to come")
            if message.HasField("opened") or message.HasField("committed") or message.HasField("refused"):
                return message

    async def opened(self) -> pb.UploadOpened:
        """Return what the server has. The point fails if that is not the answer."""
        answer = await self.answer()
        must(answer.HasField("opened"), f"the answer to an opening is {said(answer)}")
        return answer.opened

    async def committed(self) -> pb.FileInfo:
        """Return the committed file, and check that the stream ends well. The point fails if that is not the answer."""
        answer = await self.answer()
        must(answer.HasField("committed"), f"{said(answer)}, and it was to be committed")
        await self.end()
        return answer.committed

    async def refused(
        self, code: grpc.StatusCode, reason: str, offset: int | None = None, *, waits: bool = False
    ) -> pb.UploadRefused:
        """Check that the upload is refused by a message, and that the stream then ends with OK.

        This side of the stream is ended first, so that a server that does not refuse ends it, too; or `waits` for the refusal.
        """
        if not waits:
            await self._call.done_writing()
        answer = await self.answer()
        must(answer.HasField("refused"), f"{said(answer)}, and {reason} was to refuse it")
        error = answer.refused.error
        must(error.reason == reason, f"expected the reason {reason}, got {error.reason} ({error.message})")
        must(error.code == code.value[0], f"expected {code.name} with {reason}, got the code {error.code}")
        must(
            offset is None or error.offset == offset, f"the offset is {error.offset}, and {offset} is the first that is missing"
        )
        await self.end()
        return answer.refused

    async def end(self) -> None:
        """End this side. The point fails unless the stream then ends with OK, and nothing comes after the last message."""
        await self._call.done_writing()
        while (message := await self._next()) is not None:
            last = message.HasField("opened") or message.HasField("committed") or message.HasField("refused")
            must(not last, f"{said(message)} comes after the last message")
        code = await self._status()
        must(code == "OK", f"the stream ended with {code} ({await self._call.details()}) and not with OK")

    async def _next(self) -> pb.WriteFileResponse | None:
        async with asyncio.timeout(_PATIENCE):
            try:
                data = await self._call.read()
            except grpc.aio.AioRpcError as error:
                raise PointFailedError(f"the stream ended with {error.code().name} ({error.details()})") from None
        return pb.WriteFileResponse.FromString(data) if isinstance(data, bytes) else None

    async def _status(self) -> str:
        async with asyncio.timeout(_PATIENCE):
            return (await self._call.code()).name


def said(answer: pb.WriteFileResponse) -> str:
    """Return what an answer is."""
    if answer.HasField("refused"):
        return f"it was refused with {answer.refused.error.reason} ({answer.refused.error.message})"
    return "it was committed" if answer.HasField("committed") else "it was opened"


class WritingProbe(Probe):
    """Raw calls to a server under test that takes files, below a prefix of its own."""

    def __init__(self, channel: grpc.aio.Channel, prefix: str) -> None:
        super().__init__(channel, pb.FileInfo())
        self._prefix = f"{prefix.strip('/')}/unspool-conformance-{secrets.token_hex(4)}".lstrip("/")
        self._used: dict[str, set[bytes]] = {}

    def begin(self, point: str) -> None:
        """Begin a point, whose file has a name of its own."""
        self.name = self.named(point)

    def named(self, word: str) -> str:
        """Return a name below the prefix, which is cleaned up."""
        name = f"{self._prefix}/{word}"
        self._used.setdefault(name, set())
        return name

    def open(self, size: int | None = None, upload_id: bytes | None = None, **more: object) -> pb.UploadOpen:
        """Return the opening of an upload: with a new id, unless it is given."""
        upload_id = secrets.token_bytes(16) if upload_id is None else upload_id
        fields = {"upload_id": upload_id, "name": self.name, "size": size} | more
        opening = pb.UploadOpen(**fields)  # type: ignore[arg-type]  # fields by name
        self._used.setdefault(opening.name, set()).add(upload_id)
        return opening

    @asynccontextmanager
    async def upload(self) -> AsyncGenerator[UploadCall, None]:
        """Begin a stream of an upload. Leaving the block ends it."""
        make: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(f"/{SERVICE}/WriteFile")
        call = make()
        try:
            yield UploadCall(call)
        finally:
            call.cancel()

    async def put(self, data: bytes, opening: pb.UploadOpen | None = None) -> pb.FileInfo:
        """Upload a file in one stream, and return what was committed."""
        async with self.upload() as one:
            await one.send(open=self.open(len(data)) if opening is None else opening)
            await one.opened()
            await self.rest(one, data)
            return await one.committed()

    @staticmethod
    async def rest(one: UploadCall, data: bytes, start: int = 0) -> None:
        """Send the bytes of a file from `start` on, and the commit."""
        for offset in range(start, len(data), STEP):
            await one.send(block=block(offset, data[offset : offset + STEP]))
        await one.send(commit=pb.UploadCommit(size=len(data), crc32c=crc32c(data)))

    async def bytes_of(self, name: str) -> bytes | None:
        """Read a file; None if there is none."""
        answer = await self.read(name=name)
        if answer.code is grpc.StatusCode.NOT_FOUND:
            return None
        must(answer.code is grpc.StatusCode.OK, f"a read of {name} ended with {answer.code.name} ({answer.text})")
        return answer.data

    async def write_files(self, *files: pb.SmallFile) -> list[pb.WrittenFile]:
        """Call WriteFiles with one message, and return the results."""
        make: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(f"/{SERVICE}/WriteFiles")
        call = make()
        for file in files:
            self._used.setdefault(file.name, set())
        results: list[pb.WrittenFile] = []
        try:
            async with asyncio.timeout(_PATIENCE):
                await call.write(pb.WriteFilesRequest(files=files).SerializeToString())
                await call.done_writing()
                while isinstance(message := await call.read(), bytes):
                    results += pb.WriteFilesResponse.FromString(message).results
                code = await call.code()
                must(code is grpc.StatusCode.OK, f"the batch ended with {code.name} ({await call.details()})")
        except grpc.aio.AioRpcError as error:
            raise PointFailedError(f"the batch ended with {error.code().name} ({error.details()})") from None
        finally:
            call.cancel()
        return results

    async def stat_upload(self, opening: pb.UploadOpen) -> pb.StatUploadResponse:
        """Call StatUpload."""
        request = pb.StatUploadRequest(upload_id=opening.upload_id, name=opening.name)
        data, answer = await self._unary("StatUpload", request.SerializeToString())
        must(data is not None, f"StatUpload ended with {answer.code.name} ({answer.text})")
        return pb.StatUploadResponse.FromString(data or b"")

    async def abandon(self, opening: pb.UploadOpen) -> Answer:
        """Call AbandonUpload."""
        request = pb.AbandonUploadRequest(upload_id=opening.upload_id, name=opening.name)
        return (await self._unary("AbandonUpload", request.SerializeToString()))[1]

    async def storage(self, name: str, *, deletes: bool = False) -> tuple[str, Answer]:
        """Call StatStorage."""
        data, answer = await self._unary("StatStorage", pb.StatStorageRequest(name=name, deletes=deletes).SerializeToString())
        return "" if data is None else pb.StatStorageResponse.FromString(data).storage_id, answer

    async def delete(self, name: str, revision: str | None = None) -> tuple[pb.FileInfo | None, Answer]:
        """Call DeleteFile."""
        data, answer = await self._unary(
            "DeleteFile", pb.DeleteFileRequest(name=name, if_revision=revision).SerializeToString()
        )
        return None if data is None else pb.DeleteFileResponse.FromString(data).deleted, answer

    async def _unary(self, method: str, request: bytes) -> tuple[bytes | None, Answer]:
        answer = Answer()
        make: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(f"/{SERVICE}/{method}")
        try:
            async with asyncio.timeout(_PATIENCE):
                return await make(request), answer
        except grpc.aio.AioRpcError as error:
            note(answer, error)
            return None, answer

    async def clean(self) -> Iterable[str]:
        """Remove all files and uploads of the check; return the names that are still there."""
        left = []
        for name, ids in self._used.items():
            for upload_id in ids:
                with suppress(PointFailedError, TimeoutError):
                    await self.abandon(pb.UploadOpen(upload_id=upload_id, name=name))
            with suppress(PointFailedError, TimeoutError, DecodeError):
                await self.delete(name)
                if (await self.stat(name))[1].code is grpc.StatusCode.OK:
                    left.append(name)
        return left
