"""Several processes behind one port (SO_REUSEPORT): kept running, ended together. See docs/decisions/0014.

Rule 1: the parent serves nothing. It holds the port (`unspool.server.ports`), so that it stays ours while workers come and go.
Rule 2: a worker that ends without having been told to is replaced, at once the first time and then more and more slowly. One
        that ends before it was ever ready ends all: what is wrong will not go away by itself.
Rule 3: no worker outlives its parent: a worker's standard input is a pipe that ends with the parent, however the parent ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from unspool.errors import UnspoolError

log = logging.getLogger("unspool.workers")

READY = b"ready\n"
"""What a worker writes to its standard output when it listens."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LONG_LIFE = 60.0
"""Seconds after which a worker's end is no longer put down to what ended the one before it."""


def pauses() -> Iterator[float]:
    """Yield how many seconds to wait before each replacement in a row."""
    yield 0.0
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


class Workers:
    """Worker processes, as an async context manager: all are ready inside, and ended after.

    Args:
        command: runs one. It reads its line of `told` from standard input, writes READY to standard output when it listens,
            drains at SIGTERM, and ends when its standard input does. Its standard error is ours.
        told: what each worker is told, a line without its end; their number is that of the workers.
        patience: seconds that a worker may take to end after SIGTERM; then it is killed.
    """

    def __init__(self, command: Sequence[str], told: Sequence[bytes], patience: float) -> None:
        self._command = command
        self._told = told
        self._patience = patience
        self.running: set[Process] = set()
        """Those that have begun and have not ended, ready or not."""
        self._stop = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start all. Raises UnspoolError if one of them ends before it is ready; it has said why."""
        begun = await asyncio.gather(*(self._begin(line) for line in self._told))
        for number, (process, ready) in enumerate(begun, start=1):
            if not ready:
                await self._end()
                raise UnspoolError(f"worker {number} ended before it was ready ({_say_end(await process.wait())})")
        self._keepers = [asyncio.create_task(self._keep(number, process)) for number, (process, _) in enumerate(begun, start=1)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    async def _begin(self, told: bytes) -> tuple[Process, bool]:
        """Start one; return it and whether it became ready. If not, it has ended or is about to."""
        # In a session of its own: a terminal's Ctrl-C is for the parent, which tells the workers in its own words.
        process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        self.running.add(process)
        if self._stop.is_set():
            _signal(process, signal.SIGTERM)
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(ConnectionError):  # it ended already, which shows in what it does not say
            process.stdin.write(told + b"\n")
            await process.stdin.drain()
        return process, await process.stdout.readline() == READY

    async def _keep(self, number: int, process: Process) -> None:
        """Replace a worker whenever it ends, until all are to end."""
        clock = asyncio.get_running_loop().time
        began, waits = clock(), pauses()
        while True:
            end = _say_end(await process.wait())
            self.running.discard(process)
            if self._stop.is_set():
                return
            if clock() - began > _LONG_LIFE:
                waits = pauses()
            pause = next(waits)
            log.warning("worker %d (process %d) ended (%s): another begins in %.1f s", number, process.pid, end, pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
                return
            began = clock()
            try:
                process, ready = await self._begin(self._told[number - 1])
            except OSError as error:  # no memory, no process: perhaps later
                log.warning("worker %d cannot begin: %s", number, error.strerror)
                continue
            if ready:
                log.info("worker %d is process %d", number, process.pid)

    async def _end(self) -> None:
        """Tell all to drain, wait for them, and kill those that take too long."""
        self._stop.set()
        for process in self.running:
            _signal(process, signal.SIGTERM)
        ends = [*self._keepers, *(asyncio.ensure_future(process.wait()) for process in self.running)]
        _, late = await asyncio.wait(ends, timeout=self._patience)
        if late:
            for process in self.running:
                _signal(process, signal.SIGKILL)
            await asyncio.wait(late)
        self.running.clear()


def _signal(process: Process, number: signal.Signals) -> None:
    # Not by send_signal: it would fetch the exit code of one that just ended, and nobody else could.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _say_end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
