"""Several worker processes that share one port (SO_REUSEPORT). See docs/decisions/0014.

Rule 1: the parent serves nothing. It holds the port (`unspool.server.ports`), so that the port stays reserved while workers
        are replaced.
Rule 2: a worker that ends unexpectedly is replaced, at once the first time and then after longer and longer pauses. If a worker
        ends at the start before it is ready, the whole server ends: a restart would not help.
Rule 3: what workers say on standard output after they are ready goes to who watches them.
Rule 4: no worker outlives its parent. A worker's standard input is a pipe that closes when the parent ends, for any reason.
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

from unspool.cli.watching import NOBODY, Watching
from unspool.errors import UnspoolError

log = logging.getLogger("unspool.workers")

READY = b"ready\n"
"""A worker writes this to standard output when it listens."""

_LONGEST_LINE = 4 << 20
"""Bytes of what a worker may say at once. A thousand reads and every metric are 300 KiB."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LONG_LIFE = 60.0
"""If a worker has run for so many seconds, its end does not count as a repetition: the pauses begin again from zero."""


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each replacement in a row."""
    yield 0.0
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


class Workers:
    """Worker processes, as an async context manager. All are ready inside the `async with`, and have ended after it.

    Args:
        command: starts a worker. A worker reads its line of `settings` from standard input, writes READY to standard output
            when it listens, drains at SIGTERM, and ends when its standard input is closed. It shares our standard error.
        settings: of each worker, as a line without its line end. There is one worker per line.
        patience: seconds that a worker may take to end after SIGTERM; then it is killed.
        inherited: descriptors that the workers get, besides the standard ones.
        watching: takes the lines that workers write to standard output.
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: Sequence[bytes],
        patience: float,
        inherited: Sequence[int] = (),
        watching: Watching = NOBODY,
    ) -> None:
        self._inherited = inherited
        self._command = command
        self._settings = settings
        self._patience = patience
        self._watching = watching
        self.running: set[Process] = set()
        """Workers that were started and have not ended, whether ready or not."""
        self._stop = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start all workers. Raises UnspoolError if one ends before it is ready; that worker has logged the reason."""
        begun = await asyncio.gather(*(self._begin(line) for line in self._settings))
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

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all workers."""
        for process in self.running:
            _signal(process, number)

    async def _begin(self, settings: bytes) -> tuple[Process, bool]:
        """Start a worker; return it and whether it became ready. If not, it has ended or will end soon."""
        # In a session of its own, so that Ctrl-C on the terminal reaches only the parent, which then sends SIGTERM.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            pass_fds=self._inherited,
            limit=_LONGEST_LINE,
        )
        self.running.add(process)
        if self._stop.is_set():
            _signal(process, signal.SIGTERM)
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(ConnectionError):  # the worker has ended: then the next read is not READY
            process.stdin.write(settings + b"\n")
            await process.stdin.drain()
        ready = await process.stdout.readline() == READY
        if ready:
            self._watching.began(process)
        return process, ready

    async def _follow(self, process: Process) -> int:
        """Take what a worker says, until it ends. Return its exit code."""
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
                if not line:
                    break
                self._watching.said(process, line)
            except ValueError as error:  # the worker ended in the middle of a line, or a module that it uses prints
                log.warning("process %d said what is not understood: %s", process.pid, error)
        code = await process.wait()
        self._watching.ended(process, by_itself=not self._stop.is_set())
        return code

    async def _keep(self, number: int, process: Process) -> None:
        """Replace a worker whenever it ends, until the server stops."""
        clock = asyncio.get_running_loop().time
        began, waits = clock(), pauses()
        while True:
            end = _say_end(await self._follow(process))
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
                process, ready = await self._begin(self._settings[number - 1])
            except OSError as error:  # out of memory or processes: try again later
                log.warning("worker %d cannot begin: %s", number, error.strerror)
                continue
            if ready:
                log.info("worker %d is process %d", number, process.pid)

    async def _end(self) -> None:
        """Drain all workers, wait for them, and kill those that take too long."""
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
    # Not send_signal: it may reap a process that has just ended, and then asyncio never learns the exit code.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _say_end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
