"""The client's transport for `unspool.v1`. `unspool.client.transport` has the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.options import Metadata
from unspool.rpc import batchwire, wire
from unspool.rpc.bearer import Bearer
from unspool.rpc.certificates import Certificates
from unspool.rpc.connection import Connection


class GrpcTransport:
    """Speaks unspool.v1 over a connection that it owns.

    Args:
        target, metadata, certificates, bearer: see `Connection`.
    """

    def __init__(
        self,
        target: str,
        metadata: Metadata = (),
        certificates: Certificates | None = None,
        bearer: Bearer | None = None,
    ) -> None:
        self._connection = Connection(target, metadata, certificates, bearer)

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return self._connection.target

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        answer = await self._connection.call(f"/{wire.SERVICE}/StatFile", wire.encode_stat_request(name))
        return wire.decode_stat_response(answer)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        messages = self._connection.stream(f"/{wire.SERVICE}/ListFiles", wire.encode_list_request(request))
        async with aclosing(messages):
            async for message in messages:
                yield wire.decode_page(message)

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        messages = self._connection.stream(f"/{wire.SERVICE}/ReadFile", wire.encode_read_request(request))
        async with aclosing(messages):
            async for message in messages:
                yield wire.decode_frame(message)

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[tuple[Piece, ...], None]:
        """See `Transport.read_files`."""
        messages = self._connection.stream(f"/{wire.SERVICE}/ReadFiles", batchwire.encode_batch_request(request))
        async with aclosing(messages):
            async for message in messages:
                yield batchwire.decode_pieces(message, request.files)

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`."""
        self._connection.renew(window)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._connection.aclose()
