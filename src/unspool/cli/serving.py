"""Runs `unspool serve`: in one process, or as the parent of several."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from unspool.access.auditfile import descriptor_of
from unspool.cli import signals
from unspool.cli.descriptors import affordable, free
from unspool.cli.exits import DONE
from unspool.cli.logs import set_up_log
from unspool.cli.output import announce, printable
from unspool.cli.settings import Settings
from unspool.cli.systemd import Notifier, notifier
from unspool.cli.watching import say_metrics, watched_by_parent, watching_alone, watching_workers
from unspool.cli.workers import Workers
from unspool.core.address import HostPort, UnixSocket
from unspool.core.counted import counted
from unspool.core.oserrors import reason_of
from unspool.errors import InvalidRequestError, LocalFileError
from unspool.loops import giving_back_memory, use_one_heap
from unspool.options import ServerOptions
from unspool.server.exposure import exposure_warning
from unspool.server.ports import held
from unspool.server.server import Server
from unspool.server.siblings import Siblings

if TYPE_CHECKING:
    from unspool.watch.counts import Counts

_CLOSING = 5.0
"""Seconds for connections to close after the grace time. If a client reads nothing, gRPC waits until the keepalive fails
(`keepalive_timeout`). The process ends before that, which closes the connection, too."""

_PATIENCE = 5.0
"""Further seconds after which a worker that has not ended is killed."""

_DRAINING = "draining: streams that are running have %g s to end; Ctrl-C (or the signal) once more ends them at once"

log = logging.getLogger("unspool.server")


async def serve_alone(settings: Settings) -> None:
    """Serve in this process until a signal."""
    set_up_log(settings.log_format, quiet=settings.quiet)
    with watching_alone(settings.metrics) as (counts, url):
        manager = notifier()

        def say_ready(addresses: Sequence[str]) -> None:
            _say_ready(settings.root, addresses, manager)
            say_metrics(url)

        await _serve(settings, say_ready, counts=counts, manager=manager)


async def serve_as_worker(settings: Settings, number: int, directory: str | None, on_ready: Callable[[], None]) -> None:
    """Serve as one of several processes until a signal. The parent holds the port and passes its address.

    Args:
        settings: those of the server, with the address.
        number: of the worker, from 1.
        directory: where workers find each other; None if they need not.
        on_ready: called when it listens.
    """
    set_up_log(settings.log_format, quiet=settings.quiet, worker=number)
    async with AsyncExitStack() as stack:
        counts = await stack.enter_async_context(watched_by_parent(settings.metrics))
        siblings = None
        if directory is not None:
            siblings = await stack.enter_async_context(Siblings(Path(directory), number, settings.workers))
        await _serve(settings, lambda _: on_ready(), counts=counts, manager=Notifier(), share_port=True, siblings=siblings)


async def serve_by_workers(settings: Settings, *, debug: bool) -> None:
    """Hold the port and keep the workers running until a signal; then drain them."""
    set_up_log(settings.log_format, quiet=settings.quiet)
    # Reports an error once instead of once per worker.
    await settings.check_ingester()
    async with aclosing(settings.store()) as store:
        if (ingester := await settings.ingester(store)) is not None:
            await ingester.aclose()
    settings.check_checksums()
    access = settings.access()
    guarded = access.authenticate is not None or access.authorize is not None
    reloads = bool(access.reloaded) or settings.cert is not None
    started: list[Workers] = []

    manager = notifier()

    def reload() -> None:
        for workers in started:
            workers.signal(signal.SIGHUP)

    stop = _stopped_by_signals(partial(manager.reloading, reload) if reloads else None)
    listeners = settings.listeners()
    settings.check_certificates()  # as above
    with ExitStack() as stack:
        watching, url = stack.enter_context(watching_workers(settings.metrics))
        addresses, holding, warnings = [], [], []
        for listener in listeners:
            if isinstance(listener.where, UnixSocket):
                raise InvalidRequestError(f"{listener}: workers can share a port, but not a Unix socket; leave out --workers")
            with settings.at("listen"):
                port = stack.enter_context(held(listener.where))
            settings.check_exposure(listener, exposed=port.exposed)
            number = int(port.address.rpartition(":")[2])
            addresses.append(listener.address(number))
            holding.append(str(replace(listener, where=HostPort(listener.where.host, number))))
            said = exposure_warning(listener.mode, addresses[-1], guarded=guarded, writes=settings.write)
            if port.exposed and said is not None:
                warnings.append(said)
        directory = stack.enter_context(_directory_of_workers()) if settings.admin else None
        lines = [
            json.dumps(
                {"number": number, "settings": dataclasses.asdict(settings) | {"listen": holding}, "directory": directory}
            ).encode()
            for number in range(1, settings.workers + 1)
        ]
        # -P: like the installed program, do not import from the current directory.
        command = [sys.executable, "-P", "-m", "unspool.cli.worker", *(["--debug"] if debug else [])]
        descriptor = descriptor_of(settings.audit or "")
        inherited = () if descriptor is None else (descriptor,)
        async with Workers(command, lines, settings.grace + _CLOSING + _PATIENCE, inherited, watching) as running:
            started.append(running)
            for said in warnings:
                log.warning("%s", said)
            _say_ready(settings.root, addresses, manager)
            say_metrics(url)
            await stop.wait()
            manager.stopping(settings.grace + _CLOSING + _PATIENCE)
            log.info(_DRAINING, settings.grace)


async def _serve(
    settings: Settings,
    on_ready: Callable[[Sequence[str]], None],
    *,
    counts: Counts | None,
    manager: Notifier,
    share_port: bool = False,
    siblings: Siblings | None = None,
) -> None:
    use_one_heap()
    settings.listeners()  # for an error that names its line; the server parses them again
    await settings.check_ingester()
    store, observers = settings.store(), []
    try:
        ingester = await settings.ingester(store)
    except BaseException:
        await store.aclose()
        raise
    if counts is not None:
        store, observers = counts.watched(store), [counts]
        ingester = ingester and counts.receiving(ingester)
    try:
        access = settings.access()
        settings.check_certificates()
        server = Server(
            store,
            settings.listen,
            _affordable(settings.options()),
            observers,
            share_port=share_port,
            cert=settings.cert,
            key=settings.key,
            client_ca=settings.client_ca,
            insecure=settings.insecure,
            authenticate=access.authenticate,
            authorize=access.authorize,
            audit=access.audit,
            checksums=settings.checksums,
            siblings=siblings,
            ingester=ingester,
        )

        def reload() -> None:
            access.reload()
            if server.certificates is not None:
                server.certificates.current()

        reloads = access.reloaded or server.certificates is not None
        stop = _stopped_by_signals(partial(manager.reloading, reload) if reloads else None)
        async with AsyncExitStack() as running:
            with settings.at("listen"):
                await running.enter_async_context(server)
            await running.enter_async_context(giving_back_memory())
            on_ready(server.addresses)
            if counts is not None:
                counts.serving(server.certificates)
            await stop.wait()
            manager.stopping(settings.grace + _CLOSING)
            log.info(_DRAINING, settings.grace)
            asyncio.get_running_loop().call_later(settings.grace + _CLOSING, os._exit, DONE)
    finally:
        if ingester is not None:
            await ingester.aclose()
        await store.aclose()


@contextmanager
def _directory_of_workers() -> Iterator[str]:
    """Make a directory that only this user can enter, where workers find each other."""
    try:
        directory = TemporaryDirectory(prefix="unspool-", ignore_cleanup_errors=True)
    except OSError as error:
        said = reason_of(error)
        raise LocalFileError(f"--admin with --workers needs a directory for temporary files: {said}") from error
    with directory as path:
        yield path


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


def _stopped_by_signals(reload: Callable[[], None] | None) -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set. A second signal ends the process at once.

    Args:
        reload: called at SIGHUP; None if there is nothing to read again, and SIGHUP is to set the event, too.
    """
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)  # the status that shells report for a process killed by the signal
        stop.set()

    signals.on(signal.SIGTERM, signal.SIGINT, *(() if reload else (signal.SIGHUP,)), call=end)
    if reload is not None:
        signals.on(signal.SIGHUP, call=lambda _: reload())
    return stop


def _say_ready(root: str, addresses: Sequence[str], manager: Notifier) -> None:
    said = printable(f"serving {root} on {', '.join(addresses)}")
    announce(said)
    manager.ready(said)
