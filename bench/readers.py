"""Clients that measure themselves. Run them as `python -m bench.readers NAME ...`; the last line they print is JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

FILES, FILE_SIZE = 4, 64 << 20
"""The files whose spans are read."""

_FIRST_SPANS = 200
"""Spans that are read before time is taken."""


class Middle:
    """The middle half of one read: from 25 % to 75 % of its bytes, so that start-up and end are not measured."""

    def __init__(self, size: int) -> None:
        self._from, self._to = size // 4, size * 3 // 4
        self._passed = 0
        self._began: tuple[int, float, float] | None = None
        self._ended: tuple[int, float, float] | None = None

    def take(self, count: int) -> None:
        """Record that so many bytes arrived."""
        self._passed += count
        if self._began is None and self._passed >= self._from:
            self._began = (self._passed, time.perf_counter(), time.process_time())
        elif self._ended is None and self._passed >= self._to:
            self._ended = (self._passed, time.perf_counter(), time.process_time())

    def measured(self) -> dict[str, float]:
        """Return bytes, seconds and processor seconds."""
        if self._began is None or self._ended is None or self._began == self._ended:
            raise ValueError("too few messages arrived to measure the middle of the read")
        amount, seconds, cpu = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        return {"bytes": amount, "seconds": seconds, "cpu": cpu}


def steady_unspool(address: str, name: str, size: str) -> None:
    """The library: `Client.open`, verified blocks, discarded."""
    from unspool import Client

    async def main() -> dict[str, float]:
        middle = Middle(int(size))
        async with Client(address) as client, client.open(name) as reading:
            async for data in reading:
                middle.take(len(data))
        return middle.measured()

    _run(main)


def steady_grpc(address: str, name: str, size: str) -> None:
    """Raw gRPC: messages, discarded."""
    import grpc

    from unspool.rpc.connection import CHANNEL_OPTIONS

    async def main() -> dict[str, float]:
        middle = Middle(int(size))
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/raw.Raw/Read")
            async for message in read(name.encode()):
                middle.take(len(message))
        return middle.measured()

    _run(main)


def steady_flight(address: str, name: str, size: str) -> None:
    """Arrow Flight: record batches, discarded."""
    from pyarrow import flight

    middle = Middle(int(size))
    for chunk in flight.connect(f"grpc://{address}").do_get(flight.Ticket(name.encode())):
        middle.take(len(chunk.data.column(0)))
    _say(middle.measured())


def load(address: str, name: str, clients: str, seconds: str) -> None:
    """Many clients of the library at once, each with a connection of its own, reading the file again and again."""
    from unspool import Client

    count = 0
    begun = 0

    async def read_on(everybody: asyncio.Event) -> None:
        nonlocal count, begun
        async with Client(address) as client:
            first = True
            while True:
                async with client.open(name) as reading:
                    async for data in reading:
                        count += len(data)
                        if first:
                            first = False
                            begun += 1
                            if begun == int(clients):
                                everybody.set()

    async def main() -> dict[str, float]:
        everybody = asyncio.Event()
        readers = [asyncio.create_task(read_on(everybody)) for _ in range(int(clients))]
        waiting = asyncio.create_task(everybody.wait())
        await asyncio.wait({waiting, *readers}, return_when=asyncio.FIRST_COMPLETED)
        before, began = count, time.perf_counter()
        ended, _ = await asyncio.wait(readers, timeout=float(seconds), return_when=asyncio.FIRST_COMPLETED)
        measured = {"bytes": count - before, "seconds": time.perf_counter() - began, "all": count}
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for reader in ended:
            reader.result()  # raises its exception, if any
        return measured

    _run(main)


def spans_of(count: int, size: int) -> list[tuple[str, int, int]]:
    """Return random spans of the files `0.bin` to `3.bin`, the same for every reader."""
    random = Random(1)
    return [(f"{random.randrange(FILES)}.bin", random.randrange(FILE_SIZE - size), size) for _ in range(count)]


async def _timed(spans: list[tuple[str, int, int]], read: Callable[[list[tuple[str, int, int]]], Any]) -> dict[str, float]:
    """Read a few spans, and then all; return the seconds and the processor seconds of the latter."""
    await read(spans[:_FIRST_SPANS])
    began, used = time.perf_counter(), time.process_time()
    await read(spans)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used, "spans": len(spans)}


async def _some_at_once(
    spans: list[tuple[str, int, int]], at_once: int, read: Callable[[str, int, int], Coroutine[Any, Any, Any]]
) -> None:
    """Read each span by itself, so many at the same time; check their lengths."""
    rest = iter(spans)

    async def work() -> None:
        for name, start, length in rest:
            if len(await read(name, start, length)) != length:
                raise ValueError(f"{name}: other bytes came than were asked for")

    await asyncio.gather(*(work() for _ in range(at_once)))


def spans_many(address: str, count: str, size: str, _: str = "") -> None:
    """The library: `Client.read_many`, in calls of 2048 spans, whose bytes are all in memory at the same time."""
    from unspool import Client

    async def main() -> dict[str, float]:
        async with Client(address) as client:

            async def read(spans: list[tuple[str, int, int]]) -> None:
                for at in range(0, len(spans), 2048):
                    await client.read_many(spans[at : at + 2048])

            return await _timed(spans_of(int(count), int(size)), read)

    _run(main)


def spans_single(address: str, count: str, size: str, at_once: str) -> None:
    """The library: `Client.read` for each span."""
    from unspool import Client

    async def main() -> dict[str, float]:
        async with Client(address) as client:

            async def read(name: str, start: int, length: int) -> bytes:
                return await client.read(name, start=start, length=length)

            return await _timed(spans_of(int(count), int(size)), lambda spans: _some_at_once(spans, int(at_once), read))

    _run(main)


def spans_grpc(address: str, count: str, size: str, at_once: str) -> None:
    """Raw gRPC: a stream of one message for each span."""
    import grpc

    from unspool.rpc.connection import CHANNEL_OPTIONS

    async def main() -> dict[str, float]:
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            make: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/raw.Raw/Span")

            async def read(name: str, start: int, length: int) -> bytes:
                return b"".join([message async for message in make(f"{name} {start} {length}".encode())])

            return await _timed(spans_of(int(count), int(size)), lambda spans: _some_at_once(spans, int(at_once), read))

    _run(main)


def spans_aiohttp(address: str, count: str, size: str, at_once: str) -> None:
    """HTTP/1 range requests over a pool of connections."""
    import aiohttp

    async def main() -> dict[str, float]:
        async with aiohttp.ClientSession(f"http://{address}", connector=aiohttp.TCPConnector(limit=int(at_once))) as session:

            async def read(name: str, start: int, length: int) -> bytes:
                headers = {"Range": f"bytes={start}-{start + length - 1}"}
                async with session.get(f"/{name}", headers=headers) as answer:
                    return bytes(await answer.read())

            return await _timed(spans_of(int(count), int(size)), lambda spans: _some_at_once(spans, int(at_once), read))

    _run(main)


def spans_obstore(address: str, count: str, size: str, at_once: str) -> None:
    """Obstore's reads of ranges over HTTP, which run in threads of its own."""
    from obstore.store import HTTPStore

    async def main() -> dict[str, float]:
        store = HTTPStore.from_url(f"http://{address}", client_options={"allow_http": True})

        async def read(name: str, start: int, length: int) -> Any:
            return await store.get_range_async(name, start=start, length=length)

        return await _timed(spans_of(int(count), int(size)), lambda spans: _some_at_once(spans, int(at_once), read))

    _run(main)


def get_by_threads(address: str, ca: str, name: str, out: str, jobs: str) -> None:
    """`Client.get`: the processor seconds of each kind of thread, from a tenth of the bytes to nine tenths."""
    from unspool import Client, TransferOptions

    seen: list[tuple[int, float, dict[str, float]]] = []

    def progress(done: int, total: int | None) -> None:
        if len(seen) < 2 and total is not None and done >= total * (0.9 if seen else 0.1):
            seen.append((done, time.perf_counter(), _seconds_of_threads()))

    async def main() -> dict[str, float]:
        async with Client(address, options=TransferOptions(jobs=int(jobs)), ca=ca or None) as client:
            await client.get(name, out, progress=progress)
        (done, began, before), (all_done, ended, after) = seen
        return {
            "bytes": all_done - done,
            "seconds": ended - began,
            **{kind: cpu - before.get(kind, 0.0) for kind, cpu in after.items()},
        }

    _run(main)


def _seconds_of_threads() -> dict[str, float]:
    """Return the processor seconds of this process by kind of thread: the event loop, gRPC's own, and all others."""
    seconds: dict[str, float] = {}
    for thread in Path("/proc/self/task").iterdir():
        of_grpc = (thread / "comm").read_text().startswith(("event_engine", "grpc", "lifeguard"))
        kind = "loop" if thread.name == str(os.getpid()) else "grpc" if of_grpc else "writer"
        seconds[kind] = seconds.get(kind, 0.0) + int((thread / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def listing(address: str, prefix: str) -> None:
    """The library's listing: seconds from the request to the first page that is not empty, and to the end."""
    from unspool import Client

    async def main() -> dict[str, float]:
        entries, first = 0, 0.0
        async with Client(address) as client:
            began = time.perf_counter()
            async for page in client.pages(prefix, recursive=True):
                if not entries and page.files:
                    first = time.perf_counter() - began
                entries += len(page.files)
            return {"first": first, "seconds": time.perf_counter() - began, "entries": entries, "cpu": time.process_time()}

    _run(main)


def watched_get(*arguments: str) -> None:
    """`unspool get ARGUMENTS`, which prints when it re-checked and when the first new byte arrived, by the system clock."""
    import unspool.cli.progress
    from unspool.cli import main
    from unspool.client.events import Advanced, Event, Rechecked

    seen: dict[str, float] = {}

    class Watch:
        def notify(self, event: Event) -> None:
            now = time.monotonic()
            if isinstance(event, Rechecked):
                seen.setdefault("first_check", now)
                seen.setdefault("first_left", event.left)
                seen.update(last_check=now, last_left=event.left, good=event.good)
            elif isinstance(event, Advanced) and "advanced" not in seen:
                seen["advanced"] = now

    @contextmanager
    def watch(*_: object, **__: object) -> Iterator[Watch]:
        yield Watch()

    unspool.cli.progress.progress = watch
    main(["get", "-q", *arguments], standalone_mode=False)
    _say(seen)


def _run(main: Callable[[], Coroutine[Any, Any, dict[str, float]]]) -> None:
    """Run a coroutine in the same way as unspool's own programs."""
    from unspool.loops import keep_freed_memory, run

    keep_freed_memory()
    _say(run(main()))


def _say(measured: dict[str, float]) -> None:
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
