"""The two-way streams of a client that uploads. `unspool.client.transport` has the contracts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from unspool.core.uploading import End, NewFile, UploadAnswer, UploadRequest, WrittenFile
from unspool.rpc import writewire
from unspool.rpc.twoway import TwoWayStream


class GrpcUploadStream:
    """See `UploadStream`. `name` is the file's name, for errors."""

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


class GrpcBatchStream:
    """See `BatchStream`. The transfer's id and the number of the attempt are sent with every message."""

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
