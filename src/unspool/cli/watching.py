"""`unspool serve --metrics`: what is counted, on the way from each process to one page."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Protocol

from unspool.cli.output import announce
from unspool.core.address import HostPort, parse_listen
from unspool.core.extras import extra
from unspool.errors import InvalidRequestError

if TYPE_CHECKING:
    from unspool.watch.counts import Counts
    from unspool.watch.figures import Figures

_STDOUT = 1

LOOPBACK = "127.0.0.1"


class Watching(Protocol):
    """Takes what worker processes have counted."""

    def began(self, worker: Process) -> None:
        """A worker is ready."""

    def said(self, worker: Process, line: bytes) -> None:
        """A worker wrote a line."""

    def ended(self, worker: Process, *, by_itself: bool) -> None:
        """A worker ended, and all of its lines were taken."""


class _Nobody:
    """Takes nothing: metrics are not wanted."""

    def began(self, worker: Process) -> None: ...

    def said(self, worker: Process, line: bytes) -> None: ...

    def ended(self, worker: Process, *, by_itself: bool) -> None: ...


NOBODY: Watching = _Nobody()


@contextmanager
def watching_workers(metrics: str | None) -> Iterator[tuple[Watching, str | None]]:
    """Serve the metrics of all workers inside the `with`. Yields who takes their lines, and the URL."""
    if metrics is None:
        yield NOBODY, None
        return
    listen = parse_metrics_address(metrics)
    _require()
    from unspool.watch.figures import decode  # noqa: PLC0415 - only if metrics are wanted
    from unspool.watch.metrics import ServerPage  # noqa: PLC0415
    from unspool.watch.pageserver import served  # noqa: PLC0415

    class Taking(ServerPage):
        def said(self, worker: Process, line: bytes) -> None:
            self.update(worker, decode(line))

    page = Taking()
    with served(page, listen) as url:
        yield page, url


@contextmanager
def watching_alone(metrics: str | None) -> Iterator[tuple[Counts | None, str | None]]:
    """Serve the metrics of this process inside the `with`. Yields what counts, and the URL."""
    if metrics is None:
        yield None, None
        return
    listen = parse_metrics_address(metrics)
    _require()
    from unspool.watch.counts import Counts  # noqa: PLC0415 - only if metrics are wanted
    from unspool.watch.metrics import ServerPage  # noqa: PLC0415
    from unspool.watch.pageserver import served  # noqa: PLC0415

    page = ServerPage()
    page.began(page)

    def take(figures: Figures) -> bool:
        page.update(page, figures)
        return True

    with served(page, listen) as url:
        yield Counts(take), url


@asynccontextmanager
async def watched_by_parent(metrics: str | None) -> AsyncIterator[Counts | None]:
    """Send what this worker counts to its parent, over standard output. Yields what counts."""
    if metrics is None:
        yield None
        return
    from unspool.watch.counts import Counts  # noqa: PLC0415 - only if metrics are wanted

    loop = asyncio.get_running_loop()
    # A copy of the descriptor, because the transport closes its own.
    ours = os.fdopen(os.dup(_STDOUT), "wb", buffering=0)
    pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, ours)

    def send(figures: Figures) -> bool:
        if pipe.get_write_buffer_size():
            return False  # the parent does not read at the moment, and what is sent later will contain this
        pipe.write(figures.encode() + b"\n")
        return True

    counts = Counts(send)
    try:
        yield counts
    finally:
        counts.close()
        pipe.close()


def say_metrics(url: str | None) -> None:
    """Print where the metrics are, if anywhere."""
    if url is not None:
        announce(f"metrics on {url}")


def parse_metrics_address(text: str) -> HostPort:
    """Parse the address for metrics: a port alone is one of this machine only. Raises InvalidRequestError."""
    port = text.removeprefix(":")
    listen = parse_listen(f"{LOOPBACK}:{port}" if port.isdecimal() else text)
    if not isinstance(listen, HostPort):
        raise InvalidRequestError(f"{text!r} is not an address for metrics: Prometheus reads them from HOST:PORT")
    return listen


def check_metrics(text: str) -> None:
    """Check the address for metrics, and that their package is installed. Raises InvalidRequestError, MissingExtraError."""
    parse_metrics_address(text)
    _require()


def _require() -> None:
    with extra("metrics"):
        import prometheus_client  # noqa: F401, PLC0415
