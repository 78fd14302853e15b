"""A file at a server that is written like a local one, with blocking calls."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from unspool.client.client import Client
from unspool.client.portal import Portal
from unspool.client.writeresults import PutResult
from unspool.core.address import Address

_BUFFER = 1 << 20
"""Bytes that are collected before they are passed to the thread that uploads: a call of it costs 0.1 ms."""


class _Raw(io.RawIOBase):
    """Passes bytes to an upload in the portal. Once it has ended, what is written is dropped: `RemoteWriter` has raised why."""

    def __init__(self, address: Address, shared: Portal, client: Client, conditions: dict[str, Any]) -> None:
        self.name = str(address)
        self.mode = "wb"
        self._portal = shared
        self._client = client
        self._opened = client.open_write(address.name, **conditions)
        self.writing = shared.call(self._opened.__aenter__)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any, /) -> int:
        """Write bytes; return their number."""
        part = bytes(data)
        if not self.writing.ended:
            self._portal.call(partial(self.writing.write, part))
        return len(part)

    def commit(self) -> None:
        """Give the file its name."""
        self._portal.call(self.writing.commit)

    def abort(self) -> None:
        """Give the file up."""
        self._portal.dismiss(self.writing.abort)

    def close(self) -> None:
        """Close the connection. What is not committed is given up."""
        if not self.closed:
            super().close()
            self._portal.dismiss(self._close)

    async def _close(self) -> None:
        await self.writing.abort()
        with suppress(Exception):  # it was raised already
            await self._opened.__aexit__(None, None, None)
        await self._client.aclose()


class RemoteWriter(io.BufferedWriter):
    """A file that is written to a server; see `unspool.open_write`. It gets its name when it is closed.

    A `with` block that is left by an exception gives it up, and so does forgetting to close it, with a RuntimeWarning.

    Args:
        address: the file.
        shared: runs the upload.
        client: of the server; closed with the file.
        conditions: of `Client.open_write`.
    """

    def __init__(self, address: Address, shared: Portal, client: Client, conditions: dict[str, Any]) -> None:
        self._file = _Raw(address, shared, client, conditions)
        super().__init__(self._file, _BUFFER)

    @property
    def result(self) -> PutResult | None:
        """The result of the upload, once the file is closed; None before, and if it was given up."""
        return self._file.writing.result

    def close(self) -> None:
        """Give the file its name, and close the connection. Raises what `Client.put` raises; the name has what it had then."""
        if self.closed:
            return
        try:
            if not self._file.writing.ended:
                self.flush()
                self._file.commit()
        finally:
            self._file.abort()  # nothing, after a commit
            super().close()

    def abort(self) -> None:
        """Give the file up: the name has what it had."""
        if not self.closed:
            self._file.abort()
            super().close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        if hasattr(self, "_file") and not self.closed:
            self.abort()
            warnings.warn(f"{self._file.name}: the file was never closed, so it was not written", RuntimeWarning, stacklevel=2)
