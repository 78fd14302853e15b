"""Uploads a file in a process of its own, and writes down the bytes that it sends: one number for each process.

python -m evidence.putting ADDRESS FILE NAME KEY COUNT
"""

from __future__ import annotations

import asyncio
import os
import sys

from unspool.client.client import Client
from unspool.client.events import Advanced, Event, Started
from unspool.core.retry import RetryPolicy
from unspool.options import TransferOptions


class Counter:
    """Writes the number of bytes sent to a file after each block."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._sent = self._good = 0

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        if isinstance(event, Started):
            self._good = event.resumed_from
        elif isinstance(event, Advanced):
            # After a cut the count begins again at what the server has: then one block has been sent.
            self._sent += event.good - self._good if event.good > self._good else 1 << 20
            self._good = event.good
            os.pwrite(self._descriptor, b"%20d" % self._sent, 0)


async def main(address: str, path: str, name: str, key: str, count: str) -> None:
    """Upload the file, and retry for as long as a server takes to start."""
    options = TransferOptions(retry=RetryPolicy(budget=30, connect_wait=60.0), idle_timeout=20.0)
    async with Client(address, options=options, observers=[Counter(count)], upload_key=key) as client:
        await client.put(path, name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
