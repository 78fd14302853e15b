"""A file that is uploaded while a program writes it.

Rule 1: it gets its name by `commit`, whole, or not at all. What is left by an exception is given up, and the server removes it.
Rule 2: memory is bounded: `write` waits when the server is slower.
"""

from __future__ import annotations

import asyncio

from unspool.client.feed import Feed
from unspool.client.writeresults import PutResult
from unspool.core.model import Bytes
from unspool.errors import InvalidRequestError

_PART = 1 << 20
"""Bytes that are passed on at once, as large as a block. Fewer would cost a visit to a thread for each call of `write`."""

GIVING_UP = 10.0
"""Seconds to end an upload that is given up: it asks the server to remove what it has, for 5 s at most."""


class Writing:
    """A file that is written. Created by `Client.open_write`.

    Attributes:
        result: the result of the upload, when it is committed; else None.
        ended: whether it was committed, given up, or has failed.
    """

    def __init__(self, name: str, feed: Feed, upload: asyncio.Task[PutResult]) -> None:
        self.result: PutResult | None = None
        self._name = name
        self._feed = feed
        self._upload = upload
        self._upload.add_done_callback(lambda _: feed.close())
        self._waiting = bytearray()
        self.ended = False

    async def write(self, data: Bytes) -> None:
        """Write bytes. It returns when they are on their way, or kept for the next call.

        Raises:
            UnspoolError: the upload has failed; see `Client.put`.
            InvalidRequestError: the file was committed or given up.
        """
        self._check()
        self._waiting += data
        if len(self._waiting) >= _PART:
            await self._pass_on()

    async def commit(self) -> PutResult:
        """Give the file its name, and return the result of the upload. A second call returns it again.

        Raises:
            UnspoolError: see `Client.put`. The name has what it had.
        """
        if self.result is None:
            self._check()
            await self._pass_on()
            self.ended = True
            self._feed.finish()
            self.result = await asyncio.shield(self._upload)
        return self.result

    async def abort(self) -> None:
        """Give the file up: the name has what it had. After a commit this does nothing."""
        self.ended = True
        self._feed.abort()
        try:
            await asyncio.wait([self._upload], timeout=GIVING_UP)
        finally:
            self._upload.cancel()
        await asyncio.gather(self._upload, return_exceptions=True)

    def _check(self) -> None:
        if self.ended:
            raise InvalidRequestError(f"{self._name}: was committed or given up: open it again", name=self._name)

    async def _pass_on(self) -> None:
        """Hand over what was written. Raises what ended the upload."""
        data, self._waiting = bytes(self._waiting), bytearray()
        taken = not data or await asyncio.to_thread(self._feed.put, data)
        if not taken or self._upload.done():
            self.ended = True
            self.result = await asyncio.shield(self._upload)
            raise InvalidRequestError(f"{self._name}: the upload ended before the file did", name=self._name)
