"""The client's transport for `unspool.v1`. `unspool.client.transport` has the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.options import Metadata
from unspool.rpc import batchwire, wire
from unspool.rpc.bearer import Bearer
from unspool.rpc.connection import Connection

if TYPE_CHECKING:
    from unspool.core.uploading import DeleteRequest
    from unspool.rpc.certificates import Certificates
    from unspool.rpc.uploadstreams import GrpcBatchStream, GrpcUploadStream


class GrpcTransport:
    """Speaks unspool.v1 over a connection that it owns.

    Args:
        target, metadata, certificates, bearer, replica: see `Connection`.
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
        return self._connection.target

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        answer = await self._connection.call(f"/{wire.SERVICE}/StatFile", wire.encode_stat_request(name))
        return wire.decode_stat_response(answer)

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        return self._connection.stream(f"/{wire.SERVICE}/ListFiles", wire.encode_list_request(request), wire.decode_page)

    def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        asked = wire.encode_read_request(request)
        return self._connection.stream(f"/{wire.SERVICE}/ReadFile", asked, batchwire.decode_frame, _ends)

    def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        asked = batchwire.encode_batch_request(request)
        decode = partial(batchwire.decode_pieces, files=request.files)
        return self._connection.stream(f"/{wire.SERVICE}/ReadFiles", asked, decode)

    @asynccontextmanager
    async def write(self, name: str) -> AsyncGenerator[GrpcUploadStream, None]:
        """See `WritingTransport.write`."""
        from unspool.rpc.uploadstreams import GrpcUploadStream  # noqa: PLC0415 - most clients only read

        async with self._connection.two_way(f"/{wire.SERVICE}/WriteFile") as stream:
            yield GrpcUploadStream(stream, name)

    @asynccontextmanager
    async def write_files(self, *, transfer_id: str = "", attempt: int = 0) -> AsyncGenerator[GrpcBatchStream, None]:
        """See `WritingTransport.write_files`."""
        from unspool.rpc.uploadstreams import GrpcBatchStream  # noqa: PLC0415 - as above

        async with self._connection.two_way(f"/{wire.SERVICE}/WriteFiles") as stream:
            yield GrpcBatchStream(stream, transfer_id, attempt)

    async def abandon_upload(self, upload_id: bytes, name: str) -> None:
        """See `WritingTransport.abandon_upload`."""
        from unspool.rpc import writewire  # noqa: PLC0415 - as above

        await self._connection.call(f"/{wire.SERVICE}/AbandonUpload", writewire.encode_upload_name(upload_id, name))

    async def delete(self, request: DeleteRequest) -> FileInfo:
        """See `WritingTransport.delete`."""
        from unspool.rpc import deletewire  # noqa: PLC0415 - as above

        answer = await self._connection.call(f"/{wire.SERVICE}/DeleteFile", deletewire.encode_delete_request(request))
        return deletewire.decode_deleted(answer)

    async def storage(self, name: str, *, deletes: bool = False) -> str:
        """See `WritingTransport.storage`."""
        from unspool.rpc import writewire  # noqa: PLC0415 - as above

        request = writewire.encode_storage_request(name, deletes=deletes)
        return writewire.decode_storage(await self._connection.call(f"/{wire.SERVICE}/StatStorage", request))

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`."""
        self._connection.renew(window)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._connection.aclose()


def _ends(frame: Frame) -> bool:
    return frame.summary is not None
