"""Several files, of one server or of several, each a download of its own.

Rule 1: a file that cannot be had stops no other. Only a disk that refuses everything ends the run.
Rule 2: a server that nobody answers at fails all of its files, and costs the retry budget once.
Rule 3: as many files are under way at the same time as `jobs` says, each over a connection of its own, which is used again for
        the next file from the same server.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from unspool.client.client import Client
from unspool.client.clock import SystemClock
from unspool.client.events import Event, Observer, Started
from unspool.client.results import Result, TreeResult
from unspool.client.tally import Relay, TreeTally
from unspool.client.tree import ENDS_ALL, JOBS
from unspool.core.address import Address
from unspool.errors import LocalFileError, UnspoolError
from unspool.local.outcome import Outcome
from unspool.local.staging import ends_everything
from unspool.options import TransferOptions

_MOST_SERVERS = 8
"""Connections that one worker keeps: lists are about few servers, mostly, and a connection takes a few descriptors."""


Ended = Callable[[Address, Result | UnspoolError], None]
"""Is told what became of a file."""


async def get_many(
    files: Sequence[tuple[Address, Path]],
    connect: Callable[[str], Client],
    options: TransferOptions,
    observer: Observer,
    ended: Ended,
) -> TreeResult:
    """Download each file to its path; return what all of that came to, as of a tree without a prefix.

    Args:
        files: what is to go where; no two to the same path.
        connect: makes a client of a server (`HOST:PORT`). It is closed here.
        options: of each download; `jobs` is how many are under way at the same time.
        observer: is told what happens, as of a tree.
        ended: is told what became of each file, as it ends.

    Raises:
        LocalFileError: the disk refuses everything.
    """
    run = _Run(connect, options, observer, ended)
    await run.run(files)
    return run.result()


class _Run:
    def __init__(self, connect: Callable[[str], Client], options: TransferOptions, observer: Observer, ended: Ended) -> None:
        self._connect = connect
        self._jobs = options.jobs or JOBS
        # With a number of streams to keep to, each download is one of them.
        self._options = options if options.jobs is None else replace(options, jobs=1)
        self._observer = observer
        self._ended = ended
        self._tally = TreeTally(observer, "")  # there is no listing, whose id would be told
        self._unheard = 0  # files of which the size is not known yet
        self._silent: dict[str, UnspoolError] = {}  # servers at which nobody answers
        self._clock = SystemClock()
        self._began = self._clock.monotonic()

    def result(self) -> TreeResult:
        """Return what it came to."""
        return self._tally.result("", "", self._clock.monotonic() - self._began)

    async def run(self, files: Sequence[tuple[Address, Path]]) -> None:
        """Do it all."""
        self._unheard = len(files)
        self._tally.add(Outcome(listed=len(files)))
        queue = iter(files)
        tasks = [asyncio.create_task(self._work(queue)) for _ in range(min(self._jobs, len(files)))]
        try:
            # Not a TaskGroup, for the reason given in fetch.py.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION) if tasks else ((), ())
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, queue: Iterator[tuple[Address, Path]]) -> None:
        """Download one file after another, until there are none."""
        clients: OrderedDict[str, Client] = OrderedDict()
        try:
            for address, path in queue:
                if address.target not in clients:
                    if len(clients) >= _MOST_SERVERS:
                        _, unused = clients.popitem(last=False)
                        await unused.aclose()
                    clients[address.target] = self._connect(address.target)
                clients.move_to_end(address.target)
                await self._get(address, path, clients[address.target])
        finally:
            for client in clients.values():
                await client.aclose()

    async def _get(self, address: Address, path: Path, client: Client) -> None:
        """Download a file, and tell what became of it."""
        name = str(address)
        watcher = _Watcher(Relay(name, self._tally, self._observer), self._hear_of)
        try:
            if address.target in self._silent:
                raise self._silent[address.target]
            if await asyncio.to_thread(os.path.isdir, path):  # the file would be put into it
                raise LocalFileError(f"{path}: is a directory")
            result = await client.get(address.name, path, options=self._options, observers=[watcher])
        except UnspoolError as error:
            if isinstance(error, LocalFileError) and ends_everything(error):
                raise
            if isinstance(error, ENDS_ALL):
                self._silent[address.target] = error
            self._tally.fail(name, error)
            self._ended(address, error)
        else:
            self._tally.add_download(result)
            self._ended(address, result)
        finally:
            self._tally.forget(name)
            if not watcher.heard:
                self._hear_of(0)

    def _hear_of(self, size: int) -> None:
        """Take note of a file's size, and whether all are known by now."""
        self._unheard -= 1
        self._tally.add(Outcome(listed_bytes=size))
        if not self._unheard:
            self._tally.complete()


class _Watcher:
    """Passes on what a download tells; `heard` is whether that was the file's size already."""

    def __init__(self, relay: Relay, hear_of: Callable[[int], None]) -> None:
        self._relay = relay
        self._hear_of = hear_of
        self.heard = False

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, Started) and not self.heard:
            self.heard = True
            self._hear_of(event.size or 0)
        self._relay.notify(event)
