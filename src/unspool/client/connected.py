"""What all calls of a client share: the server, the options and the observers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from os import PathLike
from random import Random
from types import TracebackType
from typing import Self, Unpack

from unspool.client.arguments import local_path
from unspool.client.clock import Clock, SystemClock
from unspool.client.events import Observer, Observers
from unspool.client.ratelimit import RateLimit
from unspool.client.replicas import ReplicaConnections
from unspool.client.seams import Seams
from unspool.client.security import transports
from unspool.client.transfer import Transfer
from unspool.client.transport import Transport
from unspool.errors import InvalidRequestError
from unspool.options import Dialect, Metadata, Security, TransferOptions


class Connected:
    """A connection to one server, or to several replicas, made at the first call; see `Client`."""

    def __init__(
        self,
        target: str = "",
        *,
        options: TransferOptions | None = None,
        dialect: Dialect = "unspool",
        metadata: Metadata = (),
        observers: Sequence[Observer] = (),
        limit_rate: float | RateLimit | None = None,
        transport: Transport | ReplicaConnections | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        upload_key: str | PathLike[str] | None = None,
        **security: Unpack[Security],
    ) -> None:
        self.options = options or TransferOptions()
        self._always = tuple(observers)
        self._closed = False
        self._key_file = None if upload_key is None else local_path(upload_key)
        self._key: bytes | None = None
        connect: Callable[[], Transport | ReplicaConnections] | None = None
        if transport is None:
            connect = transports(target, dialect, metadata, security)
            transport = connect()
        self._seams = Seams(
            transport=transport,
            clock=clock or SystemClock(),
            random=random or Random(),  # noqa: S311 - spreads retries and names transfers; guards nothing
            connect=connect,
            limit=limit_rate if limit_rate is None or isinstance(limit_rate, RateLimit) else RateLimit(limit_rate),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._seams.transport.source!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. Running transfers fail, and later calls raise InvalidRequestError."""
        self._closed = True
        await self._seams.transport.aclose()

    def _open_seams(self) -> Seams:
        if self._closed:
            raise InvalidRequestError(f"{self._seams.transport.source}: the client was closed: make another one")
        return self._seams

    def _transfer(self, options: TransferOptions | None, observers: Sequence[Observer]) -> Transfer:
        return Transfer(self._open_seams(), options or self.options, self._observers(observers))

    def _observers(self, more: Sequence[Observer]) -> Observers:
        return Observers(*self._always, *more)

    async def _upload_key(self) -> bytes:
        """Return the key of this client's uploads: from its file, or else a random one.

        Raises:
            LocalFileError: the file can be neither read nor made.
        """
        if self._key is None:
            import secrets  # noqa: PLC0415 - most clients only read

            from unspool.core.uploadid import KEY_BYTES  # noqa: PLC0415 - as below
            from unspool.local.uploadkey import upload_key  # noqa: PLC0415 - most clients only read

            path = self._key_file
            key = secrets.token_bytes(KEY_BYTES) if path is None else await asyncio.to_thread(upload_key, path)
            self._key = self._key or key  # another call may have been quicker
        return self._key
