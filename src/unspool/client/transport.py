"""The client's interface to a server: stat, list, read one file or many. Small enough to fake in ten lines.

Rule 1: a transport makes one attempt. It neither retries nor verifies: `Transfer` and the receiver do.
Rule 2: it raises only errors of unspool. Cancellation by the caller passes through.

Importing this loads no gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest

if TYPE_CHECKING:
    from unspool.core.uploading import DeleteRequest, End, NewFile, UploadAnswer, UploadRequest, WrittenFile


class Transport(Protocol):
    """One server, as the client sees it."""

    @property
    def source(self) -> str:
        """The server and the dialect, for the journal and for messages."""
        ...

    async def stat(self, name: str) -> FileInfo:
        """Return the description of the file. Raises the server's error, or UnsupportedError if there is no such call."""
        ...

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield pages as they arrive. An empty page is a heartbeat."""
        ...

    def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """Yield the frames of one attempt, as they arrive. Closing the iterator ends the stream."""
        ...

    def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """Yield the pieces of one attempt at a batch, message by message. An empty tuple is a heartbeat.

        Closing the iterator ends the stream. Raises UnsupportedError if the server, or the dialect, has no batches.
        """
        ...

    def renew(self, window: int | None = None) -> None:
        """Use a new connection for later calls, because a call over the present one stalled. Running calls keep theirs.

        Args:
            window: about how many bytes may be in flight, for a slow link; None leaves that to gRPC.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


class UploadStream(Protocol):
    """The two-way stream of one attempt at an upload. One task may send while another one receives."""

    async def send(self, request: UploadRequest) -> bool:
        """Send a message, and return once it is on its way. False: the server has ended the stream; `receive` says how."""
        ...

    async def finish(self) -> None:
        """Say that nothing more is sent."""
        ...

    async def receive(self) -> UploadAnswer | End:
        """Return the next answer. A caller that stops waiting for it, and calls again, misses nothing."""
        ...


Answers: TypeAlias = "Sequence[WrittenFile] | End"
"""The answers for the next files of a batch, or the end of the stream. Without any it is a heartbeat."""


class BatchStream(Protocol):
    """The two-way stream of one attempt at a batch of small files. One task may send while another one receives."""

    async def send(self, files: Sequence[NewFile]) -> bool:
        """Send files, and return once they are on their way. False: the server has ended the stream; `receive` says how."""
        ...

    async def finish(self) -> None:
        """Say that nothing more is sent."""
        ...

    async def receive(self) -> Answers:
        """Return the next answers, in the order of the files. A caller that stops waiting, and calls again, misses nothing."""
        ...


@runtime_checkable
class WritingTransport(Transport, Protocol):
    """One server that takes files, as the client sees it."""

    def write(self, name: str) -> AbstractAsyncContextManager[UploadStream]:
        """Open the stream of one attempt at an upload to that name. Leaving the block ends the stream.

        An error of the stream may be raised when the block is left with it.
        """
        ...

    def write_files(self, *, transfer_id: str = "", attempt: int = 0) -> AbstractAsyncContextManager[BatchStream]:
        """Open the stream of one attempt at a batch. Leaving the block ends the stream. Errors as `write`.

        Raises UnsupportedError if the server has no batches.
        """
        ...

    async def abandon_upload(self, upload_id: bytes, name: str) -> None:
        """Have the server remove what it has of an upload that is not committed."""
        ...

    async def delete(self, request: DeleteRequest) -> FileInfo:
        """Have the server delete a file, and return the file as it was. Raises the server's error."""
        ...

    async def storage(self, name: str, *, deletes: bool = False) -> str:
        """Return the id of the storage that the server writes to. Raises the server's error.

        Args:
            name: of a file that is to be written, or deleted: whoever asks must have the right to do so.
            deletes: whether it is to be deleted.
        """
        ...
