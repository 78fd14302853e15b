"""`google.bytestream.ByteStream`: what its .proto says of writes, done over sockets by a client that is not unspool's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Self

import grpc
import pytest

from dialect.bytestream import peer, status_refused, write, write_refused
from processes import serving
from unspool import CallEnd, LimitOptions, LocalStore, Server, ServerOptions, ServiceOptions
from unspool.access import Verdict
from unspool.ingest.local import LocalIngester
from unspool.rpc.bytestream import bytestream_pb2 as pb
from unspool.testing import Recorder
from unspool.testing.proxy import Proxy

MIB = 1 << 20

DATA = Random(50).randbytes(5 * MIB + 3)


def parts(
    name: str = "a", data: bytes = DATA, *, start: int = 0, stop: int | None = None, size: int = 700_000, finish: bool = True
) -> Iterator[pb.WriteRequest]:
    """Yield the messages of a write of some of the data, the name only in the first one, as the .proto allows."""
    stop = len(data) if stop is None else stop
    position = start
    while True:
        end = min(position + size, stop)
        yield pb.WriteRequest(
            resource_name=name if position == start else "",
            write_offset=position,
            data=data[position:end],
            finish_write=finish and end == stop,
        )
        position = end
        if position == stop:
            return


class Writable:
    """A server that reads and writes a directory."""

    def __init__(self, root: Path, limits: LimitOptions | None = None, **more: object) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.ended = Recorder[CallEnd]()
        self.store, self.ingester = LocalStore(root), LocalIngester(root)
        service = ServiceOptions(dialects=("unspool", "bytestream"), upload_idle=1.0)
        options = ServerOptions(service=service, limits=limits or LimitOptions())
        self.server = Server(
            self.store,
            "127.0.0.1:0",
            options,
            [self.ended],
            ingester=self.ingester,
            **more,  # type: ignore[arg-type]
        )

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(0)
        await self.ingester.aclose()
        await self.store.aclose()

    async def write(self, requests: Iterator[pb.WriteRequest]) -> int:
        """See `write`."""
        return await asyncio.to_thread(write, self.server.address, requests)

    async def refused(self, requests: Iterator[pb.WriteRequest]) -> tuple[grpc.StatusCode, str]:
        """See `write_refused`."""
        return await asyncio.to_thread(write_refused, self.server.address, requests)

    async def status(self, name: str = "a") -> tuple[int, bool]:
        """Ask how much was written, and whether that is all."""
        async with peer(self.server.address) as client:
            answer = await client.status(name)
        return answer.committed_size, answer.complete


# The whole of it


@pytest.mark.parametrize("size", [1, 3 * MIB, 4 * MIB - 100], ids=["bytes", "3 MiB", "almost 4 MiB"])
async def test_a_write_makes_the_file(tmp_path: Path, size: int) -> None:
    """With messages of any size that gRPC takes, the file has the bytes, and the answer their number."""
    data = DATA[:300] if size == 1 else DATA
    async with Writable(tmp_path / "root") as there:
        assert await there.write(parts("dir/a", data, size=size)) == len(data)
        assert (there.root / "dir" / "a").read_bytes() == data
        assert await there.status("dir/a") == (len(data), True)
    (end,) = [end for end in there.ended if end.method == "Write"]
    assert (end.name, end.bytes, end.outcome) == ("dir/a", len(data), "OK")


async def test_an_empty_file_and_messages_without_bytes(tmp_path: Path) -> None:
    """A message may be empty, and so may the file; `finish_write` may come alone."""
    async with Writable(tmp_path / "root") as there:
        assert await there.write(parts("empty", b"")) == 0
        assert (there.root / "empty").read_bytes() == b""
        alive = pb.WriteRequest(write_offset=3)
        first = pb.WriteRequest(resource_name="a", write_offset=0, data=b"abc")
        last = pb.WriteRequest(resource_name="a", write_offset=3, finish_write=True)
        assert await there.write(iter([first, alive, alive, last])) == 3
        assert (there.root / "a").read_bytes() == b"abc"


async def test_a_file_is_replaced_when_the_write_is_finished(tmp_path: Path) -> None:
    """Until then the name has the old bytes. Writing the same name again and again works, also after it was removed."""
    async with Writable(tmp_path / "root") as there:
        for number in range(3):
            data = bytes([number]) * MIB
            assert await there.write(parts(data=data, finish=False)) == MIB
            assert await there.status() == (MIB, False)
            assert (there.root / "a").exists() == (number > 0)
            assert await there.write(parts(data=data, start=MIB)) == MIB
            assert await there.status() == (MIB, True)
            assert (there.root / "a").read_bytes() == data
        for _ in range(2):
            (there.root / "a").unlink()
            assert await there.write(parts(data=b"again")) == 5
            assert (there.root / "a").read_bytes() == b"again"


# Resuming


async def test_a_write_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """`committed_size` is where the next write begins, in the answer to a write that was not finished and when asked."""
    async with Writable(tmp_path / "root") as there:
        async with peer(there.server.address) as client:
            assert (await status_refused(client, "a"))[0] is grpc.StatusCode.NOT_FOUND
        for stop in (1, MIB, 3 * MIB + 5):
            start = (await there.status())[0] if stop > 1 else 0
            assert await there.write(parts(start=start, stop=stop, finish=False)) == stop
            assert await there.status() == (stop, False)
        assert not (there.root / "a").exists()
        assert await there.write(parts(start=3 * MIB + 5)) == len(DATA)
        assert (there.root / "a").read_bytes() == DATA


async def test_a_write_through_a_proxy_that_cuts_resumes(tmp_path: Path) -> None:
    """A real server process, and a client that asks where to go on whenever it is cut: no byte is lost."""
    data = DATA * 8
    (tmp_path / "root").mkdir()
    with serving(tmp_path / "root", tmp_path / "log", "--bytestream", "--write") as server:
        async with Proxy(server.address) as proxy, peer(server.address) as client:
            loop, offsets = asyncio.get_running_loop(), [0]

            def cutting(start: int) -> Iterator[pb.WriteRequest]:
                for number, request in enumerate(parts(data=data, start=start), 1):
                    yield request
                    if number % 15 == 0:
                        loop.call_soon_threadsafe(proxy.cut)

            while len(offsets) < 60:
                with suppress(grpc.RpcError):
                    await asyncio.to_thread(write, proxy.address, cutting(offsets[-1]))
                with suppress(grpc.aio.AioRpcError):  # NOT_FOUND, if it was cut before any byte
                    answer = await client.status("a")
                    if answer.complete:
                        break
                    offsets.append(answer.committed_size)
    assert (tmp_path / "root" / "a").read_bytes() == data
    assert offsets == sorted(offsets)
    assert len(set(offsets)) >= 4


async def test_what_a_killed_server_has_said_it_has_it_has(tmp_path: Path) -> None:
    """`committed_size` of a running write is on the disk: after kill -9 a new server says no less, and the write goes on."""
    (tmp_path / "root").mkdir()
    go_on = threading.Event()

    def slow() -> Iterator[pb.WriteRequest]:
        yield from parts(stop=3 * MIB, finish=False)
        go_on.wait(60)

    with serving(tmp_path / "root", tmp_path / "log", "--bytestream", "--write", anew=True) as server:
        writing = asyncio.create_task(asyncio.to_thread(write_refused, server.address, slow()))
        async with peer(server.address) as client:
            said = 0
            while said < 3 * MIB:
                with suppress(grpc.aio.AioRpcError):
                    said = (await client.status("a")).committed_size
        server.process.kill()
        go_on.set()
        await writing
    with serving(tmp_path / "root", tmp_path / "log", "--bytestream", "--write", anew=True) as server:
        async with peer(server.address) as client:
            answer = await client.status("a")
        assert (answer.committed_size, answer.complete) == (3 * MIB, False)
        assert await asyncio.to_thread(write, server.address, parts(start=3 * MIB)) == len(DATA)
    assert (tmp_path / "root" / "a").read_bytes() == DATA


async def test_bytes_that_the_server_has_are_compared(tmp_path: Path) -> None:
    """A write may begin before the end of what is there, with the same bytes, not with others; from 0 all is new."""
    other = bytes(len(DATA))
    async with Writable(tmp_path / "root") as there:
        await there.write(parts(stop=3 * MIB, finish=False))
        code, said = await there.refused(parts(data=other, start=MIB))
        assert code is grpc.StatusCode.DATA_LOSS, said
        assert await there.write(parts(start=2 * MIB + 1)) == len(DATA)
        assert (there.root / "a").read_bytes() == DATA
        await there.write(parts(stop=3 * MIB, finish=False))
        assert await there.write(parts(data=other)) == len(other)
        assert (there.root / "a").read_bytes() == other


async def test_a_second_write_takes_over_from_the_first(tmp_path: Path) -> None:
    """A client whose connection hangs begins again on another one: the first stream ends, and the bytes of both are there."""
    waits = threading.Event()

    def hanging() -> Iterator[pb.WriteRequest]:
        yield from parts(stop=2 * MIB, finish=False)
        waits.wait(60)

    async with Writable(tmp_path / "root") as there:
        first = asyncio.create_task(there.refused(hanging()))
        committed = 0
        while committed < 2 * MIB:
            with suppress(grpc.aio.AioRpcError):
                committed, _ = await there.status()
        assert await there.write(parts(start=committed)) == len(DATA)
        code, said = await first
        waits.set()
        assert code is grpc.StatusCode.ABORTED
        assert "another stream goes on" in said
        assert (there.root / "a").read_bytes() == DATA


# What is refused


async def test_offsets_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """Beyond what is there, negative, out of order, after the last part, of another file: an error, and nothing is lost."""
    asked = pb.WriteRequest
    cases = [
        ([asked(resource_name="a", write_offset=4, data=b"x")], "write_offset is 4, and of this upload the server has 3"),
        ([asked(resource_name="a", write_offset=-1, data=b"x")], "write_offset is -1"),
        ([asked(resource_name="b", write_offset=1, data=b"x")], "write_offset is 1, and of this upload the server has 0"),
        ([asked(resource_name="a", write_offset=3, data=b"x"), asked(write_offset=3, data=b"y")], "the next byte is 4"),
        ([asked(resource_name="c", finish_write=True), asked(write_offset=0)], "after the one with finish_write"),
        ([asked(resource_name="d", data=b"x"), asked(resource_name="e", write_offset=1)], "is about 'e'"),
        ([asked(data=b"x")], "name"),
        ([asked(resource_name="../a", data=b"x")], "../a"),
    ]
    async with Writable(tmp_path / "root") as there:
        await there.write(parts(data=b"abc", finish=False))
        for requests, expected in cases:
            code, said = await there.refused(iter(requests))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert expected in said
        assert await there.status() == (4, False)  # the x of the fourth
        assert [path for path in there.root.iterdir() if path.is_file()] == []


async def test_a_client_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that hangs ends with UNAVAILABLE, and what came of it is kept. After the last part it is finished."""
    monkeypatch.setattr("unspool.server.bytestreamwriting.DRAINING", 1.0)  # as long as the other wait
    waits = threading.Event()

    def hanging(requests: Iterator[pb.WriteRequest]) -> Iterator[pb.WriteRequest]:
        yield from requests
        waits.wait(60)

    async with Writable(tmp_path / "root") as there:
        code, said = await there.refused(hanging(parts(stop=MIB, finish=False)))
        assert (code, said) == (grpc.StatusCode.UNAVAILABLE, "nothing came from the client for 1 s")
        assert await there.status() == (MIB, False)
        assert await there.write(hanging(parts())) == len(DATA)
        assert await there.status() == (len(DATA), True)
        waits.set()


async def test_a_write_is_a_stream_that_needs_the_right_to_write(tmp_path: Path) -> None:
    """Limits and rules hold as for uploads: one stream too many, and a caller who may only read, are refused."""

    def may(_: object, right: str, name: str) -> Verdict:
        return Verdict(allowed=right == "read" or name.startswith("in/"))

    async with Writable(tmp_path / "root", authorize=may) as there:
        assert await there.write(parts("in/a")) == len(DATA)
        code, _ = await there.refused(parts("out/a"))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        async with peer(there.server.address) as client:
            assert (await status_refused(client, "out/a"))[0] is grpc.StatusCode.UNAUTHENTICATED
    waits = threading.Event()

    def hanging() -> Iterator[pb.WriteRequest]:
        yield from parts(stop=MIB, finish=False)
        waits.wait(60)

    async with Writable(tmp_path / "other", LimitOptions(streams_per_peer=1)) as there:
        first = asyncio.create_task(there.write(hanging()))
        while not there.server._service.active:
            await asyncio.sleep(0.01)
        assert (await there.refused(parts("b")))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        waits.set()
        assert await first == MIB
