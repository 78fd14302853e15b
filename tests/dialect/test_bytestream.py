"""`google.bytestream.ByteStream`: what its .proto says of reads, asked for over sockets by a client that is not unspool's."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from dialect.bytestream import ON, PATH, Peer, failed, peer, status_refused, write_refused
from processes import ENVIRONMENT, serving
from unspool import LimitOptions, LocalStore, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.core.access import Verdict
from unspool.errors import StartPastEndError
from unspool.rpc.bytestream import bytestream_pb2 as pb
from unspool.rpc.bytestreamwire import decode_read_request, encode_read_response
from unspool.server.report import CallEnd
from unspool.testing import FaultyStore, Recorder
from unspool.testing.proxy import Proxy

MIB = 1 << 20

DATA = Random(48).randbytes(3 * MIB + 7)


# What a read brings


async def test_a_read_brings_the_bytes_from_its_offset_up_to_its_limit() -> None:
    """At every border of blocks and of the file, with a limit of 0 (to the end), within the file, at its end and beyond."""
    offsets = (0, 1, MIB - 1, MIB, MIB + 1, len(DATA) - 1, len(DATA))
    limits = (0, 1, MIB, MIB + 1, len(DATA) - 1, len(DATA), len(DATA) + 1, (1 << 63) - 1)
    async with Server(MemoryStore({"a": DATA}), options=ON) as server, peer(server.address) as client:
        for offset, limit in itertools.product(offsets, limits):
            wanted = DATA[offset : offset + limit if limit else None]
            assert await client.read("a", offset, limit) == wanted, (offset, limit)


async def test_at_the_end_there_is_nothing_and_no_error() -> None:
    """An offset that is the size, and an empty file: the stream ends with OK and without a message."""
    async with Server(MemoryStore({"a": b"abc", "empty": b""}), options=ON) as server, peer(server.address) as client:
        assert await client.messages("a", 3) == []
        assert await client.messages("empty") == []
        assert await client.messages("empty", limit=5) == []


@pytest.mark.parametrize("block_size", [1000, MIB, 64 * MIB])
async def test_messages_are_well_below_4_mib_and_never_empty(block_size: int) -> None:
    """Whatever the server's block size, a client with gRPC's default limit can read: the largest block allowed is 2 MiB."""
    data = DATA * 12
    options = ServerOptions(service=ServiceOptions(dialects=("bytestream",), block_size=block_size))
    async with Server(MemoryStore({"a": data}), options=options) as server, peer(server.address) as client:
        messages = await client.messages("a", limit=300_000 if block_size < MIB else 0)
    assert 1 <= min(map(len, messages)) <= max(map(len, messages)) <= min(block_size, 2 * MIB)
    assert b"".join(messages) == data[: 300_000 if block_size < MIB else None]


async def test_a_resource_is_the_file_of_that_name(tmp_path: Path) -> None:
    """Names of blobs, as build tools have them, are names of files below directories."""
    blob = tmp_path / "blobs" / "ab12" / "3"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"abc")
    async with Server(LocalStore(tmp_path), options=ON) as server, peer(server.address) as client:
        assert await client.read("blobs/ab12/3") == b"abc"


# What a read is refused for


@pytest.mark.parametrize(
    ("name", "offset", "limit", "code", "said"),
    [
        ("a", 4, 0, grpc.StatusCode.OUT_OF_RANGE, "a: asked for the bytes from 4, but the file ends at 3"),
        ("a", 4, 1, grpc.StatusCode.OUT_OF_RANGE, "a: asked for the bytes from 4, but the file ends at 3"),
        ("a", (1 << 63) - 1, 0, grpc.StatusCode.OUT_OF_RANGE, f"from {(1 << 63) - 1}, but"),
        ("a", -1, 0, grpc.StatusCode.OUT_OF_RANGE, "a: read_offset -1 must not be negative"),
        ("a", -(1 << 63), 5, grpc.StatusCode.OUT_OF_RANGE, f"a: read_offset {-(1 << 63)} must not be negative"),
        ("a", 0, -1, grpc.StatusCode.INVALID_ARGUMENT, "a: read_limit -1 must not be negative"),
        ("no", 0, 0, grpc.StatusCode.NOT_FOUND, "no: no such file"),
        ("no", 9, 9, grpc.StatusCode.NOT_FOUND, "no: no such file"),
        ("a/b", 0, 0, grpc.StatusCode.NOT_FOUND, "a/b"),
        ("dir", 0, 0, grpc.StatusCode.FAILED_PRECONDITION, "dir"),
        ("out", 0, 0, grpc.StatusCode.PERMISSION_DENIED, "out"),
        ("", 0, 0, grpc.StatusCode.INVALID_ARGUMENT, "name"),
        ("/a", 0, 0, grpc.StatusCode.INVALID_ARGUMENT, "/a"),
        ("../secret", 0, 0, grpc.StatusCode.INVALID_ARGUMENT, "../secret"),
        ("a" * 4097, 0, 0, grpc.StatusCode.INVALID_ARGUMENT, "4097"),
    ],
    ids=str,
)
async def test_what_cannot_be_read_is_refused_with_the_status_of_the_proto(  # noqa: PLR0917
    tmp_path: Path, name: str, offset: int, limit: int, code: grpc.StatusCode, said: str
) -> None:
    """A directory is served; each refusal has the status that the .proto or PROTOCOL.md names, and a sentence."""
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "a").write_bytes(b"abc")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path / "secret")
    async with Server(LocalStore(root), options=ON) as server, peer(server.address) as client:
        status, text = await client.refused(name, offset, limit)
    assert status is code
    assert said in text


def some_data(count: int) -> Iterator[pb.WriteRequest]:
    """Yield so many requests of 1 MiB."""
    for number in range(count):
        yield pb.WriteRequest(resource_name="a", write_offset=number * MIB, data=bytes(MIB), finish_write=number == count - 1)


@pytest.mark.parametrize("requests", [1, 30])
async def test_writes_are_unimplemented_and_say_so(requests: int) -> None:
    """Write, however much it sends, and QueryWriteStatus are refused with a sentence; the file is what it was, and readable."""
    async with Server(MemoryStore({"a": b"abc"}), options=ON) as server, peer(server.address) as client:
        said = await asyncio.gather(
            asyncio.to_thread(write_refused, server.address, some_data(requests)), status_refused(client, "a")
        )
        for (code, text), method in zip(said, ("Write", "QueryWriteStatus"), strict=True):
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert text == f"a: this server does not write, so it has no {method}; of google.bytestream.ByteStream it has Read"
        assert await client.read("a") == b"abc"


# What goes wrong in the middle


async def until_it_fails(client: Peer, name: str) -> tuple[int, grpc.StatusCode]:
    """Return how many bytes came before the error, and its status."""
    received = 0
    try:
        async for message in client.begin(name):
            received += len(message.data)
    except grpc.aio.AioRpcError as error:
        return received, error.code()
    raise AssertionError("it did not fail")


async def test_a_store_that_stops_early_is_no_end_of_the_file() -> None:
    """An OK would tell the client that it has everything to the end: it is DATA_LOSS instead."""
    store = FaultyStore(MemoryStore({"a": DATA}))
    store.cut_short(at=2 * MIB + 5)
    async with Server(store, options=ON) as server, peer(server.address) as client:
        assert await until_it_fails(client, "a") == (2 * MIB + 5, grpc.StatusCode.DATA_LOSS)
    assert store.open_files == 0


async def test_a_file_that_changes_during_a_stream_ends_it(tmp_path: Path) -> None:
    """It is ABORTED, and no byte of the new file is sent after those of the old one."""
    (tmp_path / "a").write_bytes(b"1" * 64 * MIB)
    async with Server(LocalStore(tmp_path), options=ON) as server, peer(server.address) as client:
        call = client.begin("a")
        messages = aiter(call)
        first = await anext(messages)
        (tmp_path / "a").write_bytes(b"2" * 64 * MIB)
        received = bytearray(first.data)
        with suppress(grpc.aio.AioRpcError):
            async for message in messages:
                received += message.data
        assert await call.code() is grpc.StatusCode.ABORTED
        assert received.count(b"1") == len(received) < 64 * MIB


async def test_a_client_that_leaves_ends_the_read() -> None:
    """The stream is given back and the file closed; the log says CANCELLED and how far it came."""
    ended = Recorder[CallEnd]()
    store = FaultyStore(MemoryStore({"a": DATA * 20}))
    async with Server(store, options=ON, observers=[ended]) as server, peer(server.address) as client:
        call = client.begin("a", MIB)
        await anext(aiter(call))
        call.cancel()
        while not ended or server._service.active or store.open_files:
            await asyncio.sleep(0.001)
    (end,) = ended
    assert (end.method, end.name, end.start, end.outcome) == ("Read", "a", MIB, "CANCELLED")
    assert 0 < end.bytes < len(DATA) * 20


# What every call goes through


async def test_a_read_is_a_stream_like_others() -> None:
    """It takes a slot of its peer: over the limit the next one is refused, with RESOURCE_EXHAUSTED."""
    options = ServerOptions(service=ON.service, limits=LimitOptions(streams_per_peer=1))
    store = FaultyStore(MemoryStore({"a": DATA}))
    store.pause()
    async with Server(store, options=options) as server, peer(server.address) as client:
        call = client.begin("a")
        await store.until_paused()
        assert (await client.refused("a"))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        store.resume()
        assert b"".join([message.data async for message in call]) == DATA


async def test_a_right_that_is_taken_away_ends_the_read() -> None:
    """A running read ends at its next message when the rules change, and a new one does not begin."""

    class Rules:
        version = 0
        allowed = True

        def __call__(self, *_: object) -> Verdict:
            return Verdict(allowed=self.allowed)

    rules = Rules()
    store = FaultyStore(MemoryStore({"a": DATA * 20}))
    async with Server(store, options=ON, authorize=rules) as server, peer(server.address) as client:
        call = client.begin("a")
        await anext(aiter(call))
        rules.allowed, rules.version = False, 1
        received, code = MIB, None
        try:
            async for message in call:
                received += len(message.data)
        except grpc.aio.AioRpcError as error:
            code = error.code()
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert received < len(DATA) * 20
        reads = len(store.reads)
        assert (await client.refused("a"))[0] is grpc.StatusCode.UNAUTHENTICATED
        assert len(store.reads) == reads


async def test_a_drain_asks_the_client_to_come_again() -> None:
    """UNAVAILABLE: a build tool goes on elsewhere, or here, from the byte it has."""
    store = FaultyStore(MemoryStore({"a": DATA}))
    store.pause()
    server = Server(store, options=ON)
    async with peer(await server.start()) as client:
        call = client.begin("a")
        await store.until_paused()
        await server.stop(0)
        assert (await failed(call))[0] is grpc.StatusCode.UNAVAILABLE


# Resuming


async def test_reads_go_on_at_their_offset_through_a_proxy_that_cuts(tmp_path: Path) -> None:
    """A real server process behind a proxy that cuts every connection after 5 MB: the client has each byte, asked for once."""
    data = DATA * 8
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(data)
    with serving(tmp_path / "root", tmp_path / "log", "--bytestream") as server:
        async with Proxy(server.address) as proxy, peer(proxy.address) as client:
            proxy.cut_after = 5_000_000
            received, offsets = bytearray(), list[int]()
            while len(received) < len(data):
                offsets.append(len(received))
                assert len(offsets) <= 60, "it makes no progress"
                call = client.begin("a", len(received))
                with suppress(grpc.aio.AioRpcError):
                    async for message in call:
                        received += message.data
                assert await call.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK}
            assert proxy.stats.cut >= 5
            assert received == data
            assert offsets == sorted(offsets)
        log = server.reads()
    assert {entry["method"] for entry in log} == {"Read"}
    assert {entry["start"] for entry in log} <= set(offsets)


# Whether it is spoken


async def test_it_is_off_unless_it_is_asked_for() -> None:
    """A server of the library has it only if its options name it."""
    async with Server(MemoryStore({"a": b"abc"})) as server, peer(server.address) as client:
        assert (await client.refused("a"))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("options", "answered"),
    [
        ("", grpc.StatusCode.UNIMPLEMENTED),
        ("--no-bytestream", grpc.StatusCode.UNIMPLEMENTED),
        ("--bytestream", grpc.StatusCode.OK),
        ("--bytestream --no-demo --workers 2", grpc.StatusCode.OK),
    ],
)
async def test_the_command_speaks_it_if_told_to(tmp_path: Path, options: str, answered: grpc.StatusCode) -> None:
    """`unspool serve` needs `--bytestream`, with one process and with several."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"abc")
    with serving(tmp_path / "root", tmp_path / "log", *options.split()) as server:
        async with peer(server.address) as client:
            call, received = client.begin("a", 1), b""
            with suppress(grpc.aio.AioRpcError):
                async for message in call:
                    received += message.data
            assert await call.code() is answered
            assert received == (b"bc" if answered is grpc.StatusCode.OK else b"")


OTHER_MODULE = """
import asyncio, sys
from google.protobuf import descriptor_pb2, descriptor_pool

def another():  # what a module generated from Google's own file does when it is imported, and that has more than ours
    file = descriptor_pb2.FileDescriptorProto(name="google/bytestream/bytestream.proto", package="google.bytestream")
    for name in ("ReadRequest", "ReadResponse", "SomethingNew"):
        file.message_type.add(name=name)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())

from unspool import FileService, MemoryStore, ServiceOptions
order = [another, lambda: FileService(MemoryStore(), ServiceOptions(dialects=("bytestream",)))]
for step in order if sys.argv[1] == "first" else reversed(order):
    step()
"""


@pytest.mark.parametrize("when", ["first", "last"])
def test_another_module_of_the_same_package_may_be_there(when: str) -> None:
    """A program that has Google's module, or a build tool's, can serve the dialect, whichever is imported first."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER_MODULE, when], env=ENVIRONMENT, cwd=os.sep, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


# The wire


@given(st.binary(max_size=300) | st.just(bytes(MIB)))
def test_a_response_is_written_as_the_generated_code_writes_it(data: bytes) -> None:
    """Any data comes out as the same bytes, also none."""
    assert encode_read_response(memoryview(data)) == pb.ReadResponse(data=data).SerializeToString()


@given(st.text(max_size=20), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 63) - 1))
def test_a_request_is_read_as_it_was_meant(name: str, offset: int, limit: int) -> None:
    """Any name, offset and limit come out as they went in, or the offset is refused; unknown fields are passed over."""
    sent = pb.ReadRequest(resource_name=name, read_offset=offset, read_limit=limit).SerializeToString() + b"\xfa\x01\x03new"
    if offset < 0:
        with pytest.raises(StartPastEndError):
            decode_read_request(sent)
        return
    wanted = decode_read_request(sent)
    assert (wanted.name, wanted.start, wanted.length) == (name, offset, limit or None)
    assert wanted.revision is None


def test_the_names_and_numbers_are_those_of_google() -> None:
    """The service, its methods and every field have the names, numbers and types by which others know them."""
    service = pb.DESCRIPTOR.services_by_name["ByteStream"]
    assert f"/{service.full_name}" == PATH
    streaming = {one.name: (one.client_streaming, one.server_streaming) for one in service.methods}
    assert streaming == {"Read": (False, True), "Write": (True, False), "QueryWriteStatus": (False, False)}
    types = {one.name: (one.input_type.name, one.output_type.name) for one in service.methods}
    assert types == {name: (f"{name}Request", f"{name}Response") for name in streaming}
    name, size = FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_INT64
    flag, data = FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_BYTES
    fields = {
        "ReadRequest": {("resource_name", 1, name), ("read_offset", 2, size), ("read_limit", 3, size)},
        "ReadResponse": {("data", 10, data)},
        "WriteRequest": {("resource_name", 1, name), ("write_offset", 2, size), ("finish_write", 3, flag), ("data", 10, data)},
        "WriteResponse": {("committed_size", 1, size)},
        "QueryWriteStatusRequest": {("resource_name", 1, name)},
        "QueryWriteStatusResponse": {("committed_size", 1, size), ("complete", 2, flag)},
    }
    messages = pb.DESCRIPTOR.message_types_by_name
    assert {message: {(f.name, f.number, f.type) for f in found.fields} for message, found in messages.items()} == fields
