"""The client's seam to a server: stat, list, read one file or many. Small enough to fake in ten lines.

Rule 1: a transport makes one attempt. It neither retries nor verifies: the drive loop and the receiver do.
Rule 2: it raises errors of unspool only. The caller's own cancellation passes through untouched.

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
        """Which server and dialect, for the journal and for messages."""
        ...

    async def stat(self, name: str) -> FileInfo:
        """Return what the file is now. Raises any error a server may answer, and UnsupportedError if it cannot say."""
        ...

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield pages as they arrive. A page with no entries is a heartbeat."""
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
        """Use another connection for what comes, because the one of a call that was given up is silent; others keep theirs.

        Args:
            window: bytes that may be on their way at once, about, because the way is slow; None leaves that to gRPC.
        """
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...
