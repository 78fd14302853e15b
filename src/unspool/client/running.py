"""Watches which calls a server is answering (`unspool.v1.AdminService`). It retries nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from unspool.client.security import bearer_of, secured
from unspool.core.running import Running
from unspool.errors import UnsupportedError
from unspool.options import Security


async def running(target: str, interval: float | None, security: Security) -> AsyncGenerator[Running, None]:
    """Yield the calls that a server is answering, again and again.

    Args:
        target: as `Client` takes it.
        interval: seconds between two answers; None for one answer.
        security: see `Security`.

    Raises:
        UnsupportedError: the server does not tell.
        AccessError: it does not tell this caller.
        TransferError: the stream broke.
    """
    from unspool.rpc import adminwire  # noqa: PLC0415 - loads gRPC
    from unspool.rpc.connection import Connection  # noqa: PLC0415

    target, certificates = secured(target, security)
    connection = Connection(target, (), certificates, bearer_of(target, security))
    request = adminwire.encode_watch_request(interval)
    try:
        method = f"/{adminwire.SERVICE}/{adminwire.WATCH_CALLS}"
        async with aclosing(connection.stream(method, request, adminwire.decode_running)) as messages:
            async for message in messages:
                yield message
    except UnsupportedError as error:
        raise UnsupportedError(f"{target}: this server does not tell which calls it is answering (AdminService)") from error
    finally:
        await connection.aclose()
