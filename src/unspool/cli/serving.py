"""Runs `unspool serve`: in one process, or as the parent of several."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Literal

import click

from unspool.cli import signals
from unspool.cli.command import printable
from unspool.cli.descriptors import affordable, free
from unspool.cli.exits import DONE
from unspool.cli.logs import set_up_log
from unspool.cli.workers import Workers
from unspool.core.address import UnixSocket, parse_listen
from unspool.core.counted import counted
from unspool.errors import InvalidRequestError
from unspool.options import LimitOptions, ServerOptions, ServiceOptions
from unspool.server.ports import held
from unspool.server.server import EXPOSED, Server
from unspool.stores import open_store

_CLOSING = 5.0
"""Seconds for connections to close after the grace time. If a client reads nothing, gRPC waits until the keepalive fails
(`keepalive_timeout`). The process ends before that, which closes the connection, too."""

_PATIENCE = 5.0
"""Further seconds after which a worker that has not ended is killed."""

_DRAINING = "draining: streams that are running have %g s to end; Ctrl-C (or the signal) once more ends them at once"

log = logging.getLogger("unspool.server")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of `unspool serve`, under the same names."""

    root: str
    listen: str
    hidden: bool
    workers: int
    grace: float
    block_size: int
    max_block_size: int
    max_page_size: int
    max_streams: int
    max_streams_per_peer: int
    max_connections: int
    max_requests: float
    max_stream_age: float | None
    max_stream_bandwidth: int | None
    max_bandwidth: int | None
    demo_dialect: bool
    log_format: Literal["human", "json"]
    quiet: bool

    def options(self) -> ServerOptions:
        """Return the options of one process. It gets an equal part of each total limit, rounded up."""
        defaults = ServerOptions()
        return ServerOptions(
            grace=self.grace,
            service=ServiceOptions(
                block_size=min(self.block_size, self.max_block_size),
                largest_block=self.max_block_size,
                page_size=min(defaults.service.page_size, self.max_page_size),
                largest_page=self.max_page_size,
                dialects=("unspool", "demo") if self.demo_dialect else ("unspool",),
            ),
            limits=LimitOptions(
                streams=self._part(self.max_streams),
                streams_per_peer=self.max_streams_per_peer,
                connections=self._part(self.max_connections),
                requests=self.max_requests,
                stream_age=self.max_stream_age,
                stream_bandwidth=self.max_stream_bandwidth,
                bandwidth=None if self.max_bandwidth is None else self._part(self.max_bandwidth),
                memory=self._part(defaults.limits.memory),
            ),
        )

    def _part(self, whole: int) -> int:
        return math.ceil(whole / self.workers)


async def serve_alone(settings: Settings) -> None:
    """Serve in this process until a signal."""
    set_up_log(settings.log_format, quiet=settings.quiet)
    await _serve(settings, lambda address: _say_ready(settings.root, address), share_port=False)


async def serve_as_worker(settings: Settings, number: int, on_ready: Callable[[], None]) -> None:
    """Serve as one of several processes until a signal. The parent holds the port and passes its address."""
    set_up_log(settings.log_format, quiet=settings.quiet, worker=number)
    await _serve(settings, lambda _: on_ready(), share_port=True)


async def serve_by_workers(settings: Settings, *, debug: bool) -> None:
    """Hold the port and keep the workers running until a signal; then drain them."""
    set_up_log(settings.log_format, quiet=settings.quiet)
    await open_store(settings.root, hidden=settings.hidden).aclose()  # reports an error once instead of once per worker
    stop = _stopped_by_signals()
    listen = parse_listen(settings.listen)
    if isinstance(listen, UnixSocket):
        raise InvalidRequestError(f"{settings.listen}: workers can share a port, but not a Unix socket; leave out --workers")
    with held(listen) as port:
        told = [
            json.dumps({"number": number, "settings": dataclasses.asdict(settings) | {"listen": port.address}}).encode()
            for number in range(1, settings.workers + 1)
        ]
        # -P: like the installed program, do not import from the current directory.
        command = [sys.executable, "-P", "-m", "unspool.cli.worker", *(["--debug"] if debug else [])]
        async with Workers(command, told, settings.grace + _CLOSING + _PATIENCE):
            if port.exposed:
                log.warning(EXPOSED, port.address)
            _say_ready(settings.root, port.address)
            await stop.wait()
            log.info(_DRAINING, settings.grace)


async def _serve(settings: Settings, on_ready: Callable[[str], None], *, share_port: bool) -> None:
    store = open_store(settings.root, hidden=settings.hidden)
    stop = _stopped_by_signals()
    try:
        options = _affordable(settings.options())
        async with Server(store, settings.listen, options, share_port=share_port) as server:
            on_ready(server.address)
            await stop.wait()
            log.info(_DRAINING, settings.grace)
            asyncio.get_running_loop().call_later(settings.grace + _CLOSING, os._exit, DONE)
    finally:
        await store.aclose()


def _affordable(options: ServerOptions) -> ServerOptions:
    """Return options with limits that the process's file descriptors are enough for."""
    limits = affordable(options.limits, free())
    if limits.streams < options.limits.streams:
        log.warning(
            "%s at the same time instead of %d: the file descriptors allowed (`ulimit -n`) are not enough for more",
            counted(limits.streams, "stream"),
            options.limits.streams,
        )
    return dataclasses.replace(options, limits=limits)


def _stopped_by_signals() -> asyncio.Event:
    """Return an event that SIGTERM, SIGINT and SIGHUP set. A second signal ends the process at once."""
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)  # the status that shells report for a process killed by the signal
        stop.set()

    signals.on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, call=end)
    return stop


def _say_ready(root: str, address: str) -> None:
    click.echo(printable(f"unspool: serving {root} on {address}"))
