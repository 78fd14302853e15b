"""unspool top."""

from __future__ import annotations

import json as jsons
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from unspool.cli.command import command
from unspool.cli.numbers import Number
from unspool.cli.output import printable
from unspool.cli.security import security_options
from unspool.options import Security

if TYPE_CHECKING:
    from unspool.core.running import Running

_PATIENCE = 5.0
"""Seconds beyond the interval after which a server that says nothing counts as gone. It needs one at most."""

_USUAL_ROWS = 24
"""Assumed if the terminal does not report its height."""

_BEGIN, _END = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""To the terminal's other screen, without a cursor and without wrapping; and back."""

_HOME, _ERASE_REST, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.argument("server")
@click.option(
    "--interval",
    type=Number(0.5, 60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often it is looked at.",
)
@click.option("--once", is_flag=True, help="Print the calls once, as when standard output is no terminal.")
@click.option("--json", is_flag=True, help="Print one JSON object, once.")
@command
@security_options
async def top(*, server: str, interval: float, once: bool, json: bool, security: Security) -> None:
    """Show the calls that SERVER (HOST:PORT) is answering: who fetches what, how far it is and how fast.

    The server must have been started with --admin. If it has rules, they must grant the right `watch`. Ctrl-C ends it.
    """
    from unspool.core.address import parse_server  # noqa: PLC0415

    target = parse_server(server)
    if once or json or not sys.stdout.isatty():
        await _once(target, security, json=json)
    else:
        await _live(target, interval, security)


async def _once(server: str, security: Security, *, json: bool) -> None:
    from unspool.cli.topview import heading, lines  # noqa: PLC0415

    async with aclosing(_watched(server, None, security)) as several:
        async for running in several:
            if json:
                click.echo(jsons.dumps(asdict(running)))
            else:
                click.echo("\n".join([heading(server, running), *lines(running)]))


async def _live(server: str, interval: float, security: Security) -> None:
    """Show the calls until Ctrl-C. A server that has answered once may go away and come back."""
    import asyncio  # noqa: PLC0415

    from unspool.cli import signals  # noqa: PLC0415
    from unspool.errors import TransferError  # noqa: PLC0415

    task, left = asyncio.current_task(), asyncio.Event()
    assert task is not None

    def leave(_: signal.Signals) -> None:
        left.set()
        task.cancel()

    signals.on(signal.SIGINT, call=leave)
    screen = _Screen(server)
    try:
        while True:
            try:
                async with aclosing(_watched(server, interval, security)) as several:
                    async for running in several:
                        screen.draw(running)
            except TransferError as error:
                if screen.running is None:
                    raise
                screen.draw(screen.running, f"{error.message}; trying again")
            await asyncio.sleep(interval)
    except asyncio.CancelledError:
        if not left.is_set():
            raise
    finally:
        screen.close()


async def _watched(server: str, interval: float | None, security: Security) -> AsyncGenerator[Running, None]:
    """Yield what the server says. Raises StalledError if it says nothing for too long."""
    import asyncio  # noqa: PLC0415

    from unspool.client.running import running  # noqa: PLC0415
    from unspool.errors import StalledError, UnspoolError  # noqa: PLC0415

    patience = (interval or 0.0) + _PATIENCE
    async with aclosing(running(server, interval, security)) as several:
        while True:
            try:
                async with asyncio.timeout(patience):
                    one = await anext(several, None)
            except UnspoolError:
                raise
            except TimeoutError:
                raise StalledError(f"{server}: no answer for {patience:g} s") from None
            if one is None:
                return
            yield one


class _Screen:
    """The terminal at standard output, on its other screen from the first drawing on.

    Attributes:
        running: what was drawn last; None before.
    """

    def __init__(self, server: str) -> None:
        self.running: Running | None = None
        self._server = server

    def draw(self, running: Running, trouble: str = "") -> None:
        """Draw the calls, or what is wrong and the calls as they were."""
        from unspool.cli.topview import heading, lines  # noqa: PLC0415

        begin = "" if self.running is not None else _BEGIN
        self.running = running
        rows = os.get_terminal_size(sys.stdout.fileno()).lines or _USUAL_ROWS
        text = [printable(trouble) or heading(self._server, running), "", *lines(running, rows - 2)]
        self._write(begin + _HOME + f"{_ERASE_REST}\r\n".join(text) + _ERASE_REST + _ERASE_BELOW)

    def close(self) -> None:
        """Go back to the usual screen."""
        if self.running is not None:
            self._write(_END)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
