"""The client's transport for the tutorial's dialect, `demo.Files/GetFile`.

It checks what the dialect allows to check: chunks are numbered in order, and only the last one is short.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.protobuf.message import DecodeError

from unspool.core.checksum import crc32c
from unspool.core.model import BatchRequest, Block, FileInfo, Frame, Header, ListRequest, Page, Piece, ReadRequest, Summary
from unspool.demo import files_pb2 as pb
from unspool.errors import ProtocolError, SequenceError, StartIgnoredError, StartPastEndError, UnsupportedError
from unspool.options import Metadata
from unspool.rpc.bearer import Bearer
from unspool.rpc.certificates import Certificates
from unspool.rpc.connection import Connection
from unspool.rpc.demowire import CHUNK_SIZE, SERVICE


class DemoTransport:
    """Speaks `demo.Files` to any server of the tutorial's protocol. It can read; it cannot stat or list.

    Frames carry no file information. Their checksums are computed here, so they do not detect damage on the network or the
    server.
    """

    def __init__(
        self,
        target: str,
        metadata: Metadata = (),
        certificates: Certificates | None = None,
        bearer: Bearer | None = None,
        *,
        replica: bool = False,
    ) -> None:
        self._connection = Connection(target, metadata, certificates, bearer, replica=replica)

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return f"demo:{self._connection.target}"

    async def stat(self, name: str) -> FileInfo:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"{name}: the demo dialect cannot stat files, only read them", name=name)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"{request.prefix}: the demo dialect cannot list files")
        yield Page()  # makes this a generator, as the protocol says

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[tuple[Piece, ...], None]:
        """Raise UnsupportedError: the dialect has no such call."""
        raise UnsupportedError(f"the demo dialect cannot read {len(request.files)} files at once")
        yield ()  # makes this a generator, as the protocol says

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`.

        The dialect has chunks and no lengths, so bytes before the span are dropped, and the call is cancelled after its end.
        """
        if request.sha256:
            raise UnsupportedError(f"{request.name}: the demo dialect has no SHA-256", name=request.name)
        if request.revision is not None:
            raise UnsupportedError(
                f"{request.name}: the demo dialect has no revisions: a download that has one cannot resume (resume=False)",
                name=request.name,
            )
        number, surplus = divmod(request.start, CHUNK_SIZE)
        if number and not surplus:
            # Start one chunk earlier: an empty first chunk could mean the end of this file or of a shorter one.
            number, surplus = number - 1, CHUNK_SIZE
        position = request.start
        stop = None if request.length is None else position + request.length
        header: Header | None = Header(None, request.start, None)
        first, short = True, False
        messages = self._connection.stream(
            f"/{SERVICE}/GetFile", pb.Request(name=request.name, start_at=number).SerializeToString(), bytes
        )
        async with aclosing(messages):
            async for data in messages:
                try:
                    message = pb.Response.FromString(data)
                except DecodeError as error:
                    raise ProtocolError(f"{request.name}: the message received is not a chunk", name=request.name) from error
                if first and message.chunk_number != number:
                    raise StartIgnoredError(
                        f"{request.name}: asked for the chunks from {number}, but the first is {message.chunk_number}",
                        name=request.name,
                        offset=position,
                    )
                if message.chunk_number != number or short:
                    raise SequenceError(
                        f"{request.name}: chunk {message.chunk_number} of {len(message.chunk)} bytes arrived where "
                        f"{'the file had ended' if short else f'chunk {number} was expected'}",
                        name=request.name,
                        offset=position,
                    )
                if len(message.chunk) > CHUNK_SIZE:
                    raise ProtocolError(
                        f"{request.name}: the server sends chunks of {len(message.chunk)} bytes, not {CHUNK_SIZE}",
                        name=request.name,
                    )
                if len(message.chunk) < surplus:
                    break
                short = len(message.chunk) < CHUNK_SIZE
                number += 1
                chunk = message.chunk[surplus : None if stop is None else surplus + stop - position]
                first, surplus = False, 0
                if chunk:
                    yield Frame(header, Block(position, chunk, crc32c(chunk)))
                    header = None
                    position += len(chunk)
                if position == stop:
                    break
        if surplus:
            raise StartPastEndError(
                f"{request.name}: asked for the bytes from {position}, but the file ends before",
                name=request.name,
                offset=position,
            )
        yield Frame(header, summary=Summary(position, at_end=position != stop))

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`."""
        self._connection.renew(window)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._connection.aclose()
