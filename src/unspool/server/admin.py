"""The server's side of `unspool.v1.AdminService`: who reads what at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from unspool.core.running import Running
from unspool.options import ServiceOptions
from unspool.rpc import adminwire as wire
from unspool.server.entry import Asked, Call, Method
from unspool.server.streams import Streams, going_away_error


class Admin:
    """Tells callers that may watch which calls are running.

    Args:
        everywhere: returns the calls of all processes of the server.
        streams: how much each stream may send.
        options: sizes and intervals.
    """

    service = wire.SERVICE

    def __init__(self, everywhere: Callable[[], Awaitable[Running]], streams: Streams, options: ServiceOptions) -> None:
        self._everywhere = everywhere
        self._streams = streams
        self._options = options

    def methods(self) -> Sequence[Method]:
        """See `Dialect.methods`."""
        return (Method(wire.WATCH_CALLS, wire.decode_watch_request, lambda _: Asked(("",), right="watch"), self._watch),)

    async def _watch(self, interval: float | None, call: Call) -> None:
        async with self._streams.outlet(call, None, self._options.heartbeat) as outlet:
            while True:
                if call.recheck is not None:
                    await call.recheck()  # `sees` may change
                running = await self._everywhere()
                if (sees := call.sees) is not None:
                    calls = tuple([one for one in running.calls if one.name and sees(one.name)])
                    running = Running(calls, 0, running.workers, running.silent)
                await outlet.send(wire.encode_running(running.limited()))
                if interval is None:
                    return
                await asyncio.sleep(interval)
                if self._streams.draining:
                    raise going_away_error()
