"""A client of uploads that shows the messages of a server unchanged, which unspool's own client would not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo
from unspool.core.uploading import (
    NewFile,
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

ID, OTHER_ID = bytes(range(16)), bytes(16)


class Uploader:
    """One stream of an upload."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes], name: str) -> None:
        self.call = call
        self.name = name

    async def send(self, request: UploadRequest) -> None:
        """Send a message."""
        await self.call.write(writewire.encode_upload_request(request))

    async def open(self, upload_id: bytes = ID, **more: Any) -> UploadAnswer:
        """Open the upload; return the answer."""
        await self.send(UploadRequest(open=UploadOpen(upload_id, self.name, **more)))
        return await self.answer()

    async def block(self, offset: int, data: bytes) -> None:
        """Send a block."""
        await self.send(UploadRequest(block=Block(offset, data, crc32c(data))))

    async def commit(self, data: bytes) -> UploadAnswer:
        """Commit a file of these bytes; return the answer."""
        await self.send(UploadRequest(commit=UploadCommit(len(data), crc32c(data))))
        return await self.answer()

    async def next(self) -> UploadAnswer | str:
        """Return the next message, a heartbeat as None; at the end the name of the status."""
        message = await self.call.read()
        if isinstance(message, bytes):
            return writewire.decode_upload_answer(message, name=self.name)
        return (await self.call.code()).name

    async def answer(self) -> UploadAnswer:
        """Return the next message that is neither a heartbeat nor progress."""
        while True:
            answer = await self.next()
            assert not isinstance(answer, str), f"the stream ended with {answer}"
            if isinstance(answer, UploadOpened | UploadCommitted | UploadRefused):
                return answer
            assert answer is None or isinstance(answer, UploadProgress)

    async def end(self) -> str:
        """End this side of the stream; return the name of the status."""
        await self.call.done_writing()
        while not isinstance(answer := await self.next(), str):
            pass
        return answer


@asynccontextmanager
async def uploader(address: str, name: str = "a.bin") -> AsyncGenerator[Uploader, None]:
    """Begin a stream of an upload. Leaving the block cancels it."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        make: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{wire.SERVICE}/WriteFile")
        call = make()
        try:
            yield Uploader(call, name)
        finally:
            call.cancel()


async def put(address: str, data: bytes, name: str = "a.bin", upload_id: bytes = ID, **more: Any) -> UploadAnswer:
    """Upload a file in one stream; return the last answer."""
    async with uploader(address, name) as one:
        answer = await one.open(upload_id, size=len(data), **more)
        if isinstance(answer, UploadOpened):
            start = answer.good[0].span.stop if answer.good else 0
            for offset in range(start, len(data), 1 << 20):
                await one.block(offset, data[offset : offset + (1 << 20)])
            answer = await one.commit(data)
        assert await one.end() == "OK"
        return answer


def error_of(answer: object) -> str:
    """Return the reason of a refusal."""
    assert isinstance(answer, UploadRefused), answer
    return answer.error.reason


@asynccontextmanager
async def batch(address: str) -> AsyncGenerator[grpc.aio.StreamStreamCall[bytes, bytes], None]:
    """Begin a stream of small files. Leaving the block cancels it."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        make: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{wire.SERVICE}/WriteFiles")
        call = make()
        try:
            yield call
        finally:
            call.cancel()


def new(name: str, data: bytes, **more: Any) -> NewFile:
    """Return a small file."""
    return NewFile(name, data, crc32c(data), **more)


async def send_files(call: grpc.aio.StreamStreamCall[bytes, bytes], *files: NewFile) -> list[str]:
    """Send small files in one message; return the answers: OK, or the reason of the error."""
    await call.write(writewire.encode_new_files(files))
    answers: list[str] = []
    while len(answers) < len(files):
        message = await call.read()
        assert isinstance(message, bytes), await call.code()
        names = [file.name for file in files][len(answers) :]
        answers += ["OK" if isinstance(one, FileInfo) else one.reason for one in writewire.decode_written(message, names)]
    return answers


async def status_of(call: grpc.aio.StreamStreamCall[bytes, bytes]) -> str:
    """End this side of a stream; return the name of the status."""
    await call.done_writing()
    return (await call.code()).name
