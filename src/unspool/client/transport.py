"""The client's interface to a server: stat, list, read one file or many. Small enough to fake in ten lines.

Rule 1: a transport makes one attempt. It neither retries nor verifies: `Transfer` and the receiver do.
Rule 2: it raises only errors of unspool. Cancellation by the caller passes through.

Importing this loads no gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest


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

    def read_files(self, request: BatchRequest) -> AsyncGenerator[tuple[Piece, ...], None]:
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
