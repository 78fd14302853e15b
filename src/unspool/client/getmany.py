"""Downloads several files from one or more servers, each as a separate download.

Rule 1: if one file fails, the others are still downloaded. Only a local disk error that affects every file ends the run.
Rule 2: if a server does not answer, all its files fail with that error, and the retry budget is spent only once.
Rule 3: at most `jobs` files are downloaded at the same time, each over its own connection. The connection is reused for the
        next file from the same server.
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
from unspool.client.endings import ENDS_ALL
from unspool.client.events import Event, Observer, Started
from unspool.client.results import Result
from unspool.client.tally import Relay, TreeTally
from unspool.client.tasks import JOBS, all_done
from unspool.client.treeresults import TreeResult
from unspool.core.address import Address
from unspool.errors import LocalFileError, UnspoolError
from unspool.local.oserrors import ends_everything
from unspool.local.outcome import Outcome
from unspool.options import TransferOptions

_MOST_SERVERS = 8
"""Connections that one worker keeps open. Most lists name few servers, and each connection takes a few file descriptors."""


Ended = Callable[[Address, Result | UnspoolError], None]
"""Called with the result or the error of each file."""


async def get_many(
    files: Sequence[tuple[Address, Path]],
    connect: Callable[[str], Client],
    options: TransferOptions,
    observer: Observer,
    ended: Ended,
) -> TreeResult:
    """Download each file to its path; return the totals as the result of a tree without a prefix.

    Args:
        files: the addresses of files and their local paths. No path may occur twice.
        connect: creates a client for a server (`HOST:PORT`). `get_many` closes it.
        options: of each download; `jobs` is the number of downloads at the same time.
        observer: notified of the events of a tree.
        ended: called with the result or the error of each file when it ends.

    Raises:
        LocalFileError: a local disk error that affects every file.
    """
    run = _Run(connect, options, observer, ended)
    await run.run(files)
    return run.result()


class _Run:
    def __init__(self, connect: Callable[[str], Client], options: TransferOptions, observer: Observer, ended: Ended) -> None:
        self._connect = connect
        self._jobs = options.jobs or JOBS
        # If the number of streams is limited, each download uses one of them.
        self._options = options if options.jobs is None else replace(options, jobs=1)
        self._observer = observer
        self._ended = ended
        self._tally = TreeTally(observer, "")  # no transfer id, because there is no listing
        self._unsized = 0  # files whose size is not known yet
        self._silent: dict[str, UnspoolError] = {}  # servers that do not answer
        self._clock = SystemClock()
        self._began = self._clock.monotonic()

    def result(self) -> TreeResult:
        """Return the totals."""
        return self._tally.result("", "", self._clock.monotonic() - self._began)

    async def run(self, files: Sequence[tuple[Address, Path]]) -> None:
        """Download all files."""
        self._unsized = len(files)
        self._tally.add(Outcome(listed=len(files)))
        queue = iter(files)
        await all_done([asyncio.create_task(self._work(queue)) for _ in range(min(self._jobs, len(files)))])

    async def _work(self, queue: Iterator[tuple[Address, Path]]) -> None:
        """Download one file after another until the queue is empty."""
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
        """Download a file, and report its result or error."""
        name = str(address)
        watcher = _Watcher(Relay(name, self._tally, self._observer), self._add_size)
        try:
            if address.target in self._silent:
                raise self._silent[address.target]
            if await asyncio.to_thread(os.path.isdir, path):  # `get` would put the file into the directory
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
            self._tally.forget(name)  # the result has another name; its bytes would count twice in the next event
            self._tally.add_download(result)
            self._ended(address, result)
        finally:
            self._tally.forget(name)
            if not watcher.sized:
                self._add_size(0)

    def _add_size(self, size: int) -> None:
        """Count the size of a file. When all sizes are known, the totals are complete."""
        self._unsized -= 1
        self._tally.add(Outcome(listed_bytes=size))
        if not self._unsized:
            self._tally.complete()


class _Watcher:
    """Passes on the events of a download. `sized` is whether the file's size is known."""

    def __init__(self, relay: Relay, add_size: Callable[[int], None]) -> None:
        self._relay = relay
        self._add_size = add_size
        self.sized = False

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, Started) and not self.sized:
            self.sized = True
            self._add_size(event.size or 0)
        self._relay.notify(event)
