"""A client of uploads that comes back whatever happens, and counts what it sends."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TypeAlias

import grpc

from unspool.core.checksum import crc32c
from unspool.core.model import Block
from unspool.core.uploading import (
    ANYTHING,
    Condition,
    UploadAnswer,
    UploadCommit,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadRefused,
    UploadRequest,
)
from unspool.rpc import wire, writewire

Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"

MIB = 1 << 20


class Persistent:
    """One upload.

    Attributes:
        sent: bytes that were sent, those of broken streams included.
        breaks: how many streams broke.
    """

    def __init__(self, address: str, name: str, data: bytes, condition: Condition = ANYTHING) -> None:
        self.sent = self.breaks = 0
        self._address = address
        self._name = name
        self._data = data
        self._whole = crc32c(data)
        self._opens = UploadOpen(secrets.token_bytes(16), name, condition, len(data), self._whole)
        self._call: Call | None = None
        self._durable = 0

    def cut(self) -> None:
        """Break the stream that runs."""
        if self._call is not None:
            self._call.cancel()

    async def run(self) -> None:
        """Upload the file, in as many streams as it takes."""
        while True:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
                if await self._attempt():
                    return
            self.breaks += 1
            await asyncio.sleep(0.02)

    async def _attempt(self) -> bool:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            stream = await self.begin(channel)
            self._call = stream.call
            answer = await stream.answer()
            if isinstance(answer, UploadOpened):
                assert all(good.crc32c == crc32c(self._data[good.span.start : good.span.stop]) for good in answer.good)
                there = answer.good[0].span.stop if answer.good else 0
                assert there >= self._durable, "less is there than was said to be durable"
                for offset in range(there, len(self._data), MIB):
                    run = self._data[offset : offset + MIB]
                    await stream.send(UploadRequest(block=Block(offset, run, crc32c(run))))
                    self.sent += len(run)
                await stream.send(UploadRequest(commit=UploadCommit(len(self._data), self._whole)))
                answer = await stream.answer(self._note)
            if isinstance(answer, UploadRefused):
                assert answer.error.retryable or answer.error.reason == "TAKEN_OVER", answer.error
                return False
            assert isinstance(answer, UploadCommitted)
            return answer.info.crc32c == self._whole

    def _note(self, progress: UploadProgress) -> None:
        assert progress.durable >= self._durable
        self._durable = progress.durable

    async def begin(self, channel: grpc.aio.Channel) -> Stream:
        """Open the upload in a stream."""
        make: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{wire.SERVICE}/WriteFile")
        stream = Stream(make(), self._name, self._data)
        await stream.send(UploadRequest(open=self._opens))
        return stream


class Stream:
    """A stream of an upload."""

    def __init__(self, call: Call, name: str, data: bytes) -> None:
        self.call = call
        self._name = name
        self._data = data
        self._position = 0

    async def send(self, request: UploadRequest) -> None:
        """Send a message."""
        await self.call.write(writewire.encode_upload_request(request))

    async def answer(self, note: object = None) -> UploadAnswer:
        """Return the next message that is neither a heartbeat nor progress, which is passed to `note`."""
        while True:
            message = await self.call.read()
            if not isinstance(message, bytes):
                raise asyncio.InvalidStateError
            answer = writewire.decode_upload_answer(message, name=self._name)
            if isinstance(answer, UploadProgress):
                if callable(note):
                    note(answer)
            elif answer is not None:
                return answer

    async def slowly(self) -> UploadAnswer:
        """Send a little; return the answer to the opening, once."""
        first = not self._position
        run = self._data[self._position : self._position + 100_000]
        await self.send(UploadRequest(block=Block(self._position, run, crc32c(run))))
        self._position += len(run)
        return await self.answer() if first else None
