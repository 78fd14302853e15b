"""A file on a server as a Python file object, for blocking code.

Rule 1: all reads are of the revision at which the file was opened.
Rule 2: the first read after a seek requests only the bytes that it needs. A read that continues where the last one ended opens
        a stream to the end of the file. So random access transfers only what is read, and sequential reading takes one request.
Rule 3: an error does not change the position; the next read sends a new request.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from unspool.client.client import Client
from unspool.client.events import Observer
from unspool.client.portal import Portal, portal
from unspool.client.reading import Reading
from unspool.core.address import Address
from unspool.core.model import FileInfo
from unspool.errors import FileChangedError, InvalidRangeError
from unspool.options import MIB, Security, TransferOptions

BUFFER = MIB
"""Bytes requested by a buffered read after a seek: one block, which a server sends in one message."""


class RemoteFile(io.RawIOBase):
    """A file on a server, unbuffered; see `unspool.open`.

    Attributes:
        info: the description of the file.
        name: its URL.
        mode: "rb".
    """

    info: FileInfo

    def __init__(
        self,
        address: Address,
        shared: Portal,
        options: TransferOptions | None,
        observers: Sequence[Observer],
        security: Security,
    ) -> None:
        self.name = str(address)
        self.mode = "rb"
        self._address = address
        self._connect = partial(Client, address.target, options=options, observers=observers, **security)
        self._portal = shared
        self._lock = threading.Lock()
        self._position = 0
        self._read_up_to = -1  # where the last read ended; a read from here on is sequential
        self._open = _Open()
        shared.resting.add(self)

    def look(self, revision: str | None) -> None:
        """Ask for the description of the file. Call this first. Raises FileChangedError if the revision is another one."""
        self.info = self._portal.call(self._stat)
        if revision is not None and self.info.revision != revision:
            name, there = self.info.name, self.info.revision
            raise FileChangedError(
                f"{name}: the file changed on the server: revision {revision} was asked for, {there} is there", name=name
            )

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position, which may be past the end of the file, and return it. Sends no request."""
        self._check_open()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.info.size}.get(whence)
        if base is None or base + offset < 0:
            raise InvalidRangeError(f"{self.info.name}: cannot seek to {offset} (whence {whence})", name=self.info.name)
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Read bytes into a buffer until it is full or the file ends; return their number."""
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return all bytes from the position to the end of the file."""
        return self._read(-1)

    def close(self) -> None:
        """Close the connection. Closing twice is allowed."""
        if not self.closed:
            super().close()
            self.rest()

    def rest(self) -> None:
        """See `Resting.rest`."""
        if self._lock.acquire(blocking=False):
            try:
                self._portal.dismiss(self._open.close)
            finally:
                self._lock.release()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _read(self, size: int) -> bytes:
        self._check_open()
        with self._lock:
            if not self._portal.is_here:  # this process is a fork of the one that opened it
                self._portal, self._open = portal(), _Open()
                self._portal.resting.add(self)
            left = max(self.info.size - self._position, 0)
            wanted = left if size < 0 else min(size, left)
            if not wanted:
                return b""
            data = self._portal.call(lambda: self._fetch(wanted))
            self._position += len(data)
            self._read_up_to = self._position
            return data

    # In the portal

    async def _stat(self) -> FileInfo:
        client = await self._open.client_of(self._connect)
        return await client.stat(self._address.name)

    async def _fetch(self, wanted: int) -> bytes:
        """Return up to `wanted` bytes from the position on."""
        start = self._position
        try:
            reading = self._open.reading
            if reading is None or not self._open.position == start < self._open.stop:
                await self._open.close_reading()
                client = await self._open.client_of(self._connect)
                stop = self.info.size if start == self._read_up_to else start + wanted
                reading = await self._open.begin(client, self.info, start, stop)
            data = await reading.read(min(wanted, self._open.stop - start))
        except BaseException:
            await self._open.close()
            raise
        self._open.position = start + len(data)
        return data


class _Open:
    """The client and the span that a file has open. Used only in the portal.

    Attributes:
        position, stop: offsets in the file: where the span is being read, and where it ends.
    """

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.position = self.stop = 0
        self._client: Client | None = None
        self._span = AsyncExitStack()

    async def client_of(self, connect: Callable[[], Client]) -> Client:
        """Return the client. Creates it if there is none."""
        if self._client is None:
            self._client = connect()
        return self._client

    async def begin(self, client: Client, info: FileInfo, start: int, stop: int) -> Reading:
        """Begin to read a span."""
        opened = client.open(info.name, start=start, length=stop - start, revision=info.revision)
        self.position, self.stop = start, stop
        self.reading = await self._span.enter_async_context(opened)
        return self.reading

    async def close_reading(self) -> None:
        """Close the span, if one is open."""
        self.reading = None
        await self._span.aclose()

    async def close(self) -> None:
        """Close the span and the client. Both can be opened again."""
        await self.close_reading()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
