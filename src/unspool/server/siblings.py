"""What the worker processes of one server tell each other: which calls they are answering.

gRPC brings a call to one worker, and a caller who watches the server wants to know about all of them. So each worker listens on
a Unix socket in a directory of their parent's, which only their user can enter. It answers every connection with its running
calls and closes it. Nothing is said unless somebody watches.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from unspool.core.running import Running, merge_running
from unspool.errors import ProtocolError, UnspoolError
from unspool.rpc import adminwire

log = logging.getLogger("unspool.server")

_ANSWER = 1.0
"""Seconds that a worker has to answer. Its event loop is never busy for as long."""


class Siblings:
    """The workers of one server, seen from one of them. As an async context manager it answers the others inside the block.

    Args:
        directory: where their sockets are. Nobody else must be able to write there.
        number: of this worker, from 1.
        workers: how many there are.

    Attributes:
        number: as given.
    """

    def __init__(self, directory: Path, number: int, workers: int) -> None:
        self.number = number
        self._mine: Callable[[], Running] = Running
        self._directory = directory
        self._workers = workers
        self._server: asyncio.Server | None = None

    def with_mine(self, mine: Callable[[], Running]) -> Callable[[], Awaitable[Running]]:
        """Answer others with the calls that `mine` returns from now on; return a function that returns those of all workers."""
        self._mine = mine
        return self.everywhere

    async def everywhere(self) -> Running:
        """Return the calls of all workers. One that does not answer in time is counted as silent."""
        others = [number for number in range(1, self._workers + 1) if number != self.number]
        return merge_running([self._mine(), *await asyncio.gather(*map(self._ask, others))])

    async def _ask(self, number: int) -> Running | None:
        try:
            async with asyncio.timeout(_ANSWER):
                reader, writer = await asyncio.open_unix_connection(self._socket_of(number))
                try:
                    return adminwire.decode_running(await reader.read())
                finally:
                    writer.close()
        except ProtocolError:  # it ended in the middle of its answer
            return None
        except UnspoolError:
            raise
        except OSError:  # it is being replaced, or it is busy: a TimeoutError is one
            return None

    def _socket_of(self, number: int) -> Path:
        return self._directory / str(number)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(adminwire.encode_running(self._mine()))
        with suppress(OSError):  # who asked has left
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def __aenter__(self) -> Self:
        path = self._socket_of(self.number)
        try:
            path.unlink(missing_ok=True)  # of a worker that this one replaces
            self._server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            log.warning("other workers cannot see the calls of this one: %s: %s", path, error.strerror or error)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
