"""Locks the directories of Unix sockets, so that servers that start on sockets of one directory do so one after another.

Between the check that a socket is free (ports.py) and the moment gRPC listens on it, another server could pass the same check,
and gRPC would then replace the first server's socket.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from unspool.core.address import Listen, UnixSocket
from unspool.errors import InvalidRequestError

_PATIENCE = 5.0
"""Seconds to wait for another server to start. It takes milliseconds, unless a program keeps the directory locked."""

_INTERVAL = 0.01
"""Seconds between two tries: too short to be noticed, and 500 tries in all."""


@asynccontextmanager
async def lock_socket_directories(listen: Sequence[Listen]) -> AsyncGenerator[None, None]:
    """Lock the directories of Unix sockets (flock) inside the `with`, each once. Does nothing for other addresses.

    If a directory cannot be locked, because it cannot be read or its file system has no locks, servers start without.

    Raises:
        InvalidRequestError: a directory stays locked for five seconds.
    """
    sockets = {_directory(where.path): where for where in listen if isinstance(where, UnixSocket)}
    async with AsyncExitStack() as stack:
        for _, where in sorted(sockets.items()):  # in one order for all servers
            await stack.enter_async_context(_locked(where))
        yield


@asynccontextmanager
async def _locked(listen: UnixSocket) -> AsyncGenerator[None, None]:
    descriptor = await asyncio.to_thread(_open_directory, listen.path)
    if descriptor is None:
        yield
        return
    try:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not _lock(descriptor):  # noqa: ASYNC110 - another process unlocks it
                    await asyncio.sleep(_INTERVAL)
        except TimeoutError:
            raise InvalidRequestError(
                f"cannot listen on {listen}: another program keeps its directory locked; "
                "end that program, or choose another directory"
            ) from None
        yield
    finally:
        os.close(descriptor)  # which unlocks it


def _directory(path: str) -> str:
    return os.path.realpath(Path(path).parent)


def _open_directory(path: str) -> int | None:
    try:
        return os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None  # if there is no such directory, ports.py says so


def _lock(descriptor: int) -> bool:
    """Return False if another process has the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EINTR)
    return True
