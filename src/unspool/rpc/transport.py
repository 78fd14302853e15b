"""The client's transport for `unspool.v1`. `unspool.client.transport` has the contract."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.core.uploading import DeleteRequest, End, NewFile, UploadAnswer, UploadRequest, WrittenFile
from unspool.options import Metadata
from unspool.rpc import batchwire, deletewire, wire, writewire
from unspool.rpc.bearer import Bearer
from unspool.rpc.certificates import Certificates
from unspool.rpc.connection import Connection, TwoWayStream


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

    @asynccontextmanager
    async def write(self, name: str) -> AsyncGenerator[_UploadStream, None]:
        """See `WritingTransport.write`."""
        async with self._connection.two_way(f"/{wire.SERVICE}/WriteFile") as stream:
            yield _UploadStream(stream, name)

    @asynccontextmanager
    async def write_files(self, *, transfer_id: str = "", attempt: int = 0) -> AsyncGenerator[_BatchStream, None]:
        """See `WritingTransport.write_files`."""
        async with self._connection.two_way(f"/{wire.SERVICE}/WriteFiles") as stream:
            yield _BatchStream(stream, transfer_id, attempt)

    async def abandon_upload(self, upload_id: bytes, name: str) -> None:
        """See `WritingTransport.abandon_upload`."""
        await self._connection.call(f"/{wire.SERVICE}/AbandonUpload", writewire.encode_upload_name(upload_id, name))

    async def delete(self, request: DeleteRequest) -> FileInfo:
        """See `WritingTransport.delete`."""
        answer = await self._connection.call(f"/{wire.SERVICE}/DeleteFile", deletewire.encode_delete_request(request))
        return deletewire.decode_deleted(answer)

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`."""
        self._connection.renew(window)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._connection.aclose()


class _UploadStream:
    """See `UploadStream`."""

    def __init__(self, stream: TwoWayStream, name: str) -> None:
        self._stream = stream
        self._name = name
        self.finish = stream.finish

    async def send(self, request: UploadRequest) -> bool:
        """See `UploadStream.send`."""
        return await self._stream.send(writewire.encode_upload_request(request))

    async def receive(self) -> UploadAnswer | End:
        """See `UploadStream.receive`."""
        message = await self._stream.receive()
        return End.OF_STREAM if message is None else writewire.decode_upload_answer(message, name=self._name)


class _BatchStream:
    """See `BatchStream`."""

    def __init__(self, stream: TwoWayStream, transfer_id: str, attempt: int) -> None:
        self._stream = stream
        self._transfer_id = transfer_id
        self._attempt = attempt
        self._names: deque[str] = deque()  # of the files that have no answer yet
        self.finish = stream.finish

    async def send(self, files: Sequence[NewFile]) -> bool:
        """See `BatchStream.send`."""
        self._names.extend(file.name for file in files)
        return await self._stream.send(writewire.encode_new_files(files, transfer_id=self._transfer_id, attempt=self._attempt))

    async def receive(self) -> Sequence[WrittenFile] | End:
        """See `BatchStream.receive`."""
        message = await self._stream.receive()
        if message is None:
            return End.OF_STREAM
        results = writewire.decode_written(message, self._names)
        for _ in results:
            self._names.popleft()
        return results
