"""unspool serve."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal

import click

from unspool.cli.command import command, printable
from unspool.cli.exits import DONE
from unspool.options import LimitOptions, ServerOptions, ServiceOptions

_DEFAULTS = ServerOptions()

_CLOSING = 5.0
"""Seconds after the grace time in which connections may close. gRPC would wait for one whose other end takes nothing until TCP
gives it up (`keepalive_timeout`); the end of the process closes it too."""


@click.command()
@click.argument("root")
@click.option("--listen", default="127.0.0.1:50051", show_default=True, help="HOST:PORT; port 0 picks a free one.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=_DEFAULTS.grace,
    show_default=True,
    help="Seconds that running streams may take to finish after SIGTERM or SIGINT.",
)
@click.option(
    "--block-size",
    type=click.IntRange(1, _DEFAULTS.service.largest_block),
    default=_DEFAULTS.service.block_size,
    show_default=True,
    help="Bytes per block, unless the client asks otherwise.",
)
@click.option(
    "--max-block-size",
    type=click.IntRange(1, 3 << 20),
    default=_DEFAULTS.service.largest_block,
    show_default=True,
    help="Most bytes per block that a client may ask for.",
)
@click.option(
    "--max-page-size",
    type=click.IntRange(1, 10_000),
    default=_DEFAULTS.service.largest_page,
    show_default=True,
    help="Most entries per page of a listing that a client may ask for.",
)
@click.option(
    "--max-streams",
    type=click.IntRange(1),
    default=_DEFAULTS.limits.streams,
    show_default=True,
    help="Streams running at the same time, in all.",
)
@click.option(
    "--max-streams-per-peer",
    type=click.IntRange(1),
    default=_DEFAULTS.limits.streams_per_peer,
    show_default=True,
    help="Streams running at the same time for one address.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    default=_DEFAULTS.limits.connections,
    show_default=True,
    help="Connections that have streams running.",
)
@click.option(
    "--max-requests",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.limits.requests,
    show_default=True,
    help="Requests per second from one address.",
)
@click.option(
    "--max-stream-age",
    type=click.FloatRange(0, min_open=True),
    default=None,
    help="Seconds after which a stream is ended between two blocks; its client goes on with another (default: never).",
)
@click.option(
    "--max-stream-bandwidth",
    type=click.IntRange(1),
    default=None,
    help="Bytes per second of one stream (default: as many as it takes).",
)
@click.option(
    "--max-bandwidth", type=click.IntRange(1), default=None, help="Bytes per second in all (default: as many as there are)."
)
@click.option("--demo/--no-demo", "demo_dialect", default=True, help="Also answer the tutorial's demo.Files (default: yes).")
@click.option("--log-format", type=click.Choice(["human", "json"]), default="human", show_default=True, help="Of the log.")
@click.option("--quiet", "-q", is_flag=True, help="Log warnings and errors only.")
@command
async def serve(
    *,
    root: str,
    listen: str,
    grace: float,
    block_size: int,
    max_block_size: int,
    max_page_size: int,
    max_streams: int,
    max_streams_per_peer: int,
    max_connections: int,
    max_requests: float,
    max_stream_age: float | None,
    max_stream_bandwidth: int | None,
    max_bandwidth: int | None,
    demo_dialect: bool,
    log_format: str,
    quiet: bool,
) -> None:
    """Serve the files below ROOT, a directory.

    Prints one line with the address when it is ready; logs a line per stream that ended, to standard error. SIGTERM or SIGINT
    drains: no new streams, running ones may finish within the grace time, then their clients are asked to come back.
    """
    import asyncio  # noqa: PLC0415

    from unspool.address import parse_target  # noqa: PLC0415
    from unspool.server import Server  # noqa: PLC0415
    from unspool.stores import open_store  # noqa: PLC0415

    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if log_format == "json" else _HumanLines())
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=[handler])

    options = ServerOptions(
        grace=grace,
        service=ServiceOptions(
            block_size=min(block_size, max_block_size),
            largest_block=max_block_size,
            page_size=min(_DEFAULTS.service.page_size, max_page_size),
            largest_page=max_page_size,
            demo_dialect=demo_dialect,
        ),
        limits=LimitOptions(
            streams=max_streams,
            streams_per_peer=max_streams_per_peer,
            connections=max_connections,
            requests=max_requests,
            stream_age=max_stream_age,
            stream_bandwidth=max_stream_bandwidth,
            bandwidth=max_bandwidth,
        ),
    )
    store = open_store(root)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with Server(store, parse_target(listen), options) as server:
            click.echo(printable(f"unspool: serving {root} on {server.address}"))
            await stop.wait()
            logging.getLogger("unspool.server").info("draining")
            asyncio.get_running_loop().call_later(grace + _CLOSING, os._exit, DONE)
    finally:
        await store.aclose()


class _HumanLines(logging.Formatter):
    """Time, level, message, on one line; a traceback follows, indented, so that no line of it can pass for one of the log."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line and perhaps a traceback; names of files come from outside."""
        lines = [f"{self.formatTime(record)} {record.levelname} {printable(record.getMessage())}"]
        if record.exc_info:
            lines += [f"    {printable(line)}" for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)


class _JsonLines(logging.Formatter):
    """One JSON object a line; the fields of a transfer's end stand on their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
        }
        end = getattr(record, "transfer", None)
        if end is None:
            fields["message"] = record.getMessage()
        else:
            fields.update(dataclasses.asdict(end))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)
