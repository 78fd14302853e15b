"""Calls without a request, health watches and reflection, which need no rights: limited and timed like other calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from server.test_entry import EVERY_DIALECT
from unspool import Client, LimitOptions, MemoryStore, Server, ServerOptions

STAT = "/unspool.v1.FileService/StatFile"
READ = "/unspool.v1.FileService/ReadFile"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

EVERY = (
    STAT,
    READ,
    "/unspool.v1.FileService/ReadFiles",
    "/unspool.v1.FileService/ListFiles",
    "/demo.Files/GetFile",
    "/google.bytestream.ByteStream/Read",
    "/google.bytestream.ByteStream/Write",
    "/google.bytestream.ByteStream/QueryWriteStatus",
    "/unspool.v1.AdminService/WatchCalls",
    CHECK,
    WATCH,
    REFLECTION,
)

Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


@asynccontextmanager
async def served(limits: LimitOptions) -> AsyncGenerator[tuple[str, grpc.aio.Channel], None]:
    """Serve one file with these limits; yields the address and a channel to it."""
    async with (
        Server(MemoryStore({"a": b"1"}), options=ServerOptions(service=EVERY_DIALECT, limits=limits)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server.address, channel


async def opened(channel: grpc.aio.Channel, path: str, *requests: bytes) -> Call:
    """Open a call, send these requests and leave it open."""
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
    call = multi()
    for request in requests:
        await call.write(request)
    await call.wait_for_connection()
    return call


@pytest.mark.parametrize("path", EVERY)
async def test_a_call_without_a_request_ends_in_time(path: str) -> None:
    """For every method, the client is told how long the server waited, and may retry."""
    async with served(LimitOptions(request_timeout=0.1)) as (_, channel):
        call = await opened(channel, path)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await call.details() == "the request of the call did not come within 0.1 s"


@pytest.mark.parametrize("path", EVERY)
async def test_a_call_that_ends_without_a_request_is_refused(path: str) -> None:
    """A client that ends its call without a request is told that one is needed."""
    async with served(LimitOptions()) as (_, channel):
        call = await opened(channel, path)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_oldest_of_too_many_that_wait_ends() -> None:
    """With room for three, the fourth ends the first; a call that sends its request is answered meanwhile."""
    async with served(LimitOptions(streams=3)) as (address, channel):
        waiting = [await opened(channel, STAT) for _ in range(4)]
        assert await waiting[0].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await waiting[0].details() == "3 calls wait for their request: try again"
        async with Client(address) as client:
            assert (await client.stat("a")).size == 1
        assert await waiting[1].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not waiting[2].done()
        assert not waiting[3].done()
        await waiting[3].write(b"\n\x01a")
        assert await waiting[3].read()
        assert await waiting[3].code() is grpc.StatusCode.OK


async def test_a_stream_without_its_request_counts_as_a_stream() -> None:
    """Two reads that wait for their request count as two streams of their client, and a third is refused."""
    async with served(LimitOptions(streams_per_peer=2)) as (_, channel):
        waiting = [await opened(channel, READ) for _ in range(2)]
        third = await opened(channel, READ, b"\n\x01a")
        assert await third.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not any(call.done() for call in waiting)


@pytest.mark.parametrize(("path", "request_"), [(WATCH, b""), (REFLECTION, ServerReflectionRequest(list_services="*"))])
async def test_what_anybody_may_open_is_counted(path: str, request_: bytes | ServerReflectionRequest) -> None:
    """The third watch of a client with a limit of two is refused; health checks and reads are still answered."""
    asked = request_ if isinstance(request_, bytes) else request_.SerializeToString()
    async with served(LimitOptions(streams_per_peer=2)) as (address, channel):
        open_ = [await opened(channel, path, asked) for _ in range(2)]
        for call in open_:
            assert await call.read()
        third = await opened(channel, path, asked)
        assert await third.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "the limit for one peer" in (await third.details() or "")
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        assert HealthCheckResponse.FromString(await check(b"")).status == HealthCheckResponse.SERVING
        async with Client(address) as client:
            assert await client.read("a") == b"1"
        assert not any(call.done() for call in open_)


async def test_a_watch_ends_at_the_age_of_streams() -> None:
    """The limit on the age of streams applies to watches; the client is told to watch again."""
    async with served(LimitOptions(stream_age=0.1)) as (_, channel):
        call = await opened(channel, WATCH, b"")
        assert HealthCheckResponse.FromString(await _message(call)).status == HealthCheckResponse.SERVING
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await call.details() == "this server ends streams after 0.1 s: watch again"


async def test_a_watch_sees_each_change_and_what_it_does_not_know() -> None:
    """A watch reports SERVING, then NOT_SERVING when the server drains; for an unknown service, that it is unknown."""
    async with Server(MemoryStore()) as server, grpc.aio.insecure_channel(server.address) as channel:
        known = await opened(channel, WATCH, HealthCheckRequest(service="demo.Files").SerializeToString())
        other = await opened(channel, WATCH, HealthCheckRequest(service="no.Such").SerializeToString())
        assert HealthCheckResponse.FromString(await _message(known)).status == HealthCheckResponse.SERVING
        assert HealthCheckResponse.FromString(await _message(other)).status == HealthCheckResponse.SERVICE_UNKNOWN
        stopping = asyncio.create_task(server.stop(0))
        assert HealthCheckResponse.FromString(await _message(known)).status == HealthCheckResponse.NOT_SERVING
        await stopping


@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECTION])
async def test_a_long_question_is_refused(path: str) -> None:
    """A service name of 5,000 bytes is refused, because it would be kept as long as the watch."""
    question = HealthCheckRequest(service="n" * 5000).SerializeToString()
    async with served(LimitOptions()) as (_, channel):
        call = await opened(channel, path, question)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "4096 is the most" in (await call.details() or "")


async def test_an_unknown_service_is_not_found() -> None:
    """As gRPC's health protocol requires."""
    async with served(LimitOptions()) as (_, channel):
        call = await opened(channel, CHECK, HealthCheckRequest(service="no.Such").SerializeToString())
        assert await call.code() is grpc.StatusCode.NOT_FOUND


async def test_questions_of_one_call_are_counted_like_calls() -> None:
    """With two requests a second, the third question to reflection is refused, although it is in the same call."""
    question = ServerReflectionRequest(list_services="*").SerializeToString()
    async with served(LimitOptions(requests=2)) as (_, channel):
        call = await opened(channel, REFLECTION, question, question, question)
        answers = [ServerReflectionResponse.FromString(await _message(call)) for _ in range(2)]
        assert all(answer.HasField("list_services_response") for answer in answers)
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_reflection_waits_for_the_next_question_in_time() -> None:
    """After a question, a reflection call is ended if the next one does not arrive within `request_timeout`."""
    question = ServerReflectionRequest(list_services="*").SerializeToString()
    async with served(LimitOptions(request_timeout=0.1)) as (_, channel):
        call = await opened(channel, REFLECTION, question)
        assert await _message(call)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_large_request_that_is_refused_says_why() -> None:
    """Over a limit, a client that sends a request of 3 MiB gets the error, although the server does not read all of it."""
    async with served(LimitOptions(requests=0.001)) as (_, channel):
        read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(READ)
        stat: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(STAT)
        for _ in range(20):
            for call in (read(bytes(3 << 20)), stat(bytes(3 << 20))):
                assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _message(call: Call) -> bytes:
    message = await call.read()
    assert isinstance(message, bytes)
    return message
