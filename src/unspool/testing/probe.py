"""Raw calls to a server under test: the messages of the generated code, and how the call ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from unspool.client.security import bearer_of, secured
from unspool.errors import VerificationError
from unspool.options import Security
from unspool.rpc.status import DETAILS_KEY, DOMAIN
from unspool.rpc.tls import open_channel
from unspool.rpc.wire import SERVICE
from unspool.testing.tokeninterceptors import interceptors
from unspool.v1 import file_service_pb2 as pb

LARGEST_SAMPLE = 64 << 20
"""Bytes of the largest file that the check picks by itself."""

_PATIENCE = 30.0
"""Seconds that each call may take."""


@dataclass(slots=True)
class Answer:
    """One call's answer: its messages, or the pieces and packs of a batch, and how it ended."""

    messages: list[pb.ReadFileResponse] = field(default_factory=list)
    pieces: list[pb.FilePiece] = field(default_factory=list)
    packs: list[pb.FilePack] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str | None = None
    text: str = ""

    @property
    def data(self) -> bytes:
        """All bytes received."""
        return b"".join(message.block.data for message in self.messages)

    @property
    def header(self) -> pb.Header:
        """The header of the first message."""
        must(bool(self.messages), f"no message came ({self.code.name}: {self.text})")
        return self.messages[0].header

    @property
    def summary(self) -> pb.Summary:
        """The summary of the last message."""
        must(bool(self.messages), f"no message came ({self.code.name}: {self.text})")
        return self.messages[-1].summary


class PointFailedError(Exception):
    """The point does not hold. The message says what was seen instead."""


class PointSkippedError(Exception):
    """The point cannot be checked. The message says why."""


def must(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Fail the point with this message unless the condition holds."""
    if not holds:
        raise PointFailedError(otherwise)


class Probe:
    """Raw calls to the server under test, and the file to read."""

    def __init__(self, channel: grpc.aio.Channel, sample: pb.FileInfo) -> None:
        self.channel = channel
        self.sample = sample
        self.name = sample.name
        self.size = sample.size

    async def read(self, request: pb.ReadFileRequest | bytes | None = None, **fields: object) -> Answer:
        """Call ReadFile and return all messages."""
        if request is None:
            request = pb.ReadFileRequest(**{"name": self.name, **fields})  # type: ignore[arg-type]  # fields by name
        answer = Answer()
        async for message in self._stream("ReadFile", request, answer):
            try:
                answer.messages.append(pb.ReadFileResponse.FromString(message))
            except DecodeError:
                raise PointFailedError("a message came that is not a ReadFileResponse") from None
            answer.sizes.append(len(message))
        answer.messages = [m for m in answer.messages if m.HasField("header") or m.HasField("block") or m.HasField("summary")]
        return answer

    async def read_files(self, *files: pb.FileToRead, block_size: int | None = None, packs: bool = False) -> Answer:
        """Call ReadFiles and return all messages. The point is skipped if the server does not have the method."""
        answer = Answer()
        request = pb.ReadFilesRequest(files=files, block_size=block_size, packs=packs)
        async for message in self._stream("ReadFiles", request, answer):
            try:
                response = pb.ReadFilesResponse.FromString(message)
            except DecodeError:
                raise PointFailedError("a message came that is not a ReadFilesResponse") from None
            must(not (response.pieces and response.HasField("pack")), "a message has pieces and a pack")
            answer.pieces += response.pieces
            answer.packs += [response.pack] if response.HasField("pack") else []
            answer.sizes.append(len(message))
        if answer.code is grpc.StatusCode.UNIMPLEMENTED:
            raise PointSkippedError("the server has no ReadFiles")
        must(answer.code is grpc.StatusCode.OK, f"the batch ended with {answer.code.name} ({answer.text})")
        return answer

    async def list(self, **fields: object) -> tuple[list[pb.ListFilesResponse], Answer]:
        """Call ListFiles and return all messages."""
        answer = Answer()
        request = pb.ListFilesRequest(**fields)  # type: ignore[arg-type]  # fields by name
        pages = [pb.ListFilesResponse.FromString(page) async for page in self._stream("ListFiles", request, answer)]
        return pages, answer

    async def entries(self, **fields: object) -> set[str]:
        """Call ListFiles and return the names and prefixes. The point fails if the call does."""
        pages, answer = await self.list(**fields)
        must(answer.code is grpc.StatusCode.OK, f"a listing ended with {answer.code.name} ({answer.text})")
        return {entry for page in pages for entry in (*(info.name for info in page.files), *page.prefixes)}

    async def stat(self, name: str) -> tuple[pb.FileInfo | None, Answer]:
        """Call StatFile."""
        answer = Answer()
        try:
            async with asyncio.timeout(_PATIENCE):
                method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(f"/{SERVICE}/StatFile")
                data = await method(pb.StatFileRequest(name=name).SerializeToString())
        except grpc.aio.AioRpcError as error:
            note(answer, error)
            return None, answer
        return pb.StatFileResponse.FromString(data).info, answer

    async def _stream(
        self, method: str, request: pb.ReadFileRequest | pb.ReadFilesRequest | pb.ListFilesRequest | bytes, answer: Answer
    ) -> AsyncGenerator[bytes, None]:
        data = request if isinstance(request, bytes) else request.SerializeToString()
        make: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self.channel.unary_stream(f"/{SERVICE}/{method}")
        call = make(data)
        try:
            async with asyncio.timeout(_PATIENCE):
                while isinstance(message := await call.read(), bytes):
                    yield message
        except grpc.aio.AioRpcError as error:
            note(answer, error)
        except TimeoutError:
            raise PointFailedError(f"{method} was not done after {_PATIENCE:g} s") from None
        finally:
            call.cancel()

    async def refused(self, answer: Answer, code: grpc.StatusCode, reason: str) -> None:
        """Check that a call was refused, with the right code and reason."""
        must(answer.code is code, f"expected {code.name}, got {answer.code.name} ({answer.text})")
        must(answer.reason == reason, f"expected the reason {reason}, got {answer.reason}")


def note(answer: Answer, error: grpc.aio.AioRpcError) -> None:
    """Keep the status of a call, and the reason in its details."""
    answer.code, answer.text = error.code(), error.details() or ""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
                    answer.reason = info.reason


def channel_to(target: str, security: Security) -> grpc.aio.Channel:
    """Return a channel to a server that makes each call once. Raises what `Client` raises for the same arguments."""
    target, certificates = secured(target, security)
    pems = None if certificates is None else certificates.current()
    shown = interceptors(bearer_of(target, security))
    return open_channel(target, pems, [("grpc.enable_retries", 0)], shown)


async def sample(channel: grpc.aio.Channel, name: str | None) -> pb.FileInfo:
    """Return the file for the check: the named one, or the largest listed one of at most 64 MiB.

    Raises:
        VerificationError: there is no such file of at least two bytes.
    """
    probe = Probe(channel, pb.FileInfo(name=name or ""))
    if name is not None:
        info, answer = await probe.stat(name)
        if info is None or info.size <= 1:
            raise VerificationError(f"{name}: cannot be read to check the server: {answer.text or 'it is too small'}")
        return info
    best: pb.FileInfo | None = None
    pages, answer = await probe.list(recursive=True)
    for page in pages:
        for info in page.files:
            if 1 < info.size <= LARGEST_SAMPLE and (best is None or info.size > best.size):
                best = info
    if best is None:
        said = f": {answer.code.name}: {answer.text}" if answer.code is not grpc.StatusCode.OK else ""
        raise VerificationError(f"the listing has no file of 2 bytes to 64 MiB to read{said}; give the name of one (name=)")
    return best
