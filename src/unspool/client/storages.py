"""Whether what is written to several servers is written to one storage: they are asked before they get anything.

Rule 1: a server gets nothing before it has said which storage it writes to, and another one of the list, as far as it can be
        asked, writes to the same. A file that is at one of several servers only would be found or not, as chance has it.
Rule 2: the first one that is written to says it, and meanwhile the others are asked, too: so a wrong list is refused before
        anything is written. One that cannot be reached does not count until it is used.
Rule 3: what a server has said counts until it fails. If two differ, all are asked once more: they may have been restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unspool.client.replicas import ReplicaConnections
from unspool.client.transport import Transport, WritingTransport
from unspool.errors import UnreachableError, UnspoolError, UnsupportedError

if TYPE_CHECKING:
    from unspool.client.transfer import Transfer

_OTHERS = 2.0
"""Seconds to wait for the others: several round trips of any link. One that is silent for longer is asked when it is used."""


def writing(transport: Transport) -> WritingTransport:
    """Return a transport that writes. Raises UnsupportedError if its dialect cannot."""
    if not isinstance(transport, WritingTransport):
        raise UnsupportedError(f"{transport.source}: this dialect has no uploads")
    return transport


def check_writes(to: Transport | ReplicaConnections) -> None:
    """Raise UnsupportedError if a dialect cannot write. Of several servers nothing is known before they are asked."""
    if not isinstance(to, ReplicaConnections):
        writing(to)


async def writable(transfer: Transfer, name: str, *, deletes: bool = False) -> WritingTransport:
    """Return the transport of the attempt that runs, for writing.

    Args:
        transfer: makes the attempts.
        name: name of the file that is written, or deleted.
        deletes: whether it is deleted.

    Raises:
        UnsupportedError: its dialect, or one of several servers, takes no files; or the servers do not share one storage.
        UnspoolError: the server cannot be asked.
    """
    several = transfer.route.several
    if several is not None:
        asking = _Asking(several, transfer, name, deletes=deletes)
        await asking.ask()
        transfer.route.shares_storage()
    return writing(transfer.transport)


class _Asking:
    """Asks servers for their storage."""

    def __init__(self, several: ReplicaConnections, transfer: Transfer, name: str, *, deletes: bool) -> None:
        self._several = several
        self._transfer = transfer
        self._server = transfer.route.server
        self._name = name
        self._deletes = deletes

    async def ask(self) -> None:
        """Ask the server of the attempt that runs, if it has not said it.

        Raises:
            UnsupportedError: another one writes elsewhere, or one of them nowhere.
        """
        replicas = self._several.replicas
        if self._server not in replicas.names:
            raise UnreachableError(f"{self._server}: is not an address of the host any more")
        if self._server in (unsure := replicas.unsure()):
            await self._ask_all(unsure)
        if replicas.apart(self._server) is not None:
            await self._ask_all(replicas.names)
        if (other := replicas.apart(self._server)) is not None:
            raise UnsupportedError(
                f"{self._server} and {other} do not write to the same storage: a file would be at one of them only, so name one"
            )

    async def _ask_all(self, servers: Sequence[str]) -> None:
        """Ask the server of the attempt, and meanwhile the others. Raises its error, or UnsupportedError of any of them."""
        others = [asyncio.create_task(self._ask_other(server)) for server in servers if server != self._server]
        try:
            await self._transfer.bounded(self._ask(self._server), lambda: self._name)
            await asyncio.gather(*others)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _ask_other(self, server: str) -> None:
        try:
            async with self._transfer.seams.clock.timeout(_OTHERS):
                await self._ask(server)
        except UnsupportedError:
            raise
        except (UnspoolError, TimeoutError):
            pass  # it is asked again before it is used

    async def _ask(self, server: str) -> None:
        try:
            storage = await writing(self._several.to(server)).storage(self._name, deletes=self._deletes)
        except UnsupportedError as error:
            raise UnsupportedError(f"{server}: {error.message}; of several servers, each must take files") from error
        self._several.replicas.writes_to(server, storage)
