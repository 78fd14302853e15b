"""Health checks and reflection."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from server.gates import GatedStore
from server.test_entry import EVERY_DIALECT
from server.wiretap import StreamMethod, wiretap
from unspool import MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.core.model import ReadRequest

OURS = ("unspool.v1.FileService", "demo.Files")
ALL = {
    *OURS,
    "google.bytestream.ByteStream",
    "unspool.v1.AdminService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


async def test_health_says_serving_and_while_draining_not_serving() -> None:
    """The health service reports SERVING for the server and each service, and NOT_SERVING as soon as the server drains."""
    store = GatedStore({"a": b"0123"})
    gate = store.close_at(0)
    server = Server(store)
    async with wiretap(await server.start()) as tap:
        health = health_pb2_grpc.HealthStub(tap.channel)

        async def said() -> set[str]:
            answers = [await health.Check(health_pb2.HealthCheckRequest(service=name)) for name in ("", *OURS)]
            return {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) for answer in answers}

        assert await said() == {"SERVING"}
        call = tap.read(ReadRequest("a"))
        while not server._service.active:
            await asyncio.sleep(0.001)
        stopping = asyncio.create_task(server.stop(grace=60))
        await asyncio.sleep(0)
        assert await said() == {"NOT_SERVING"}
        assert not stopping.done()
        gate.set()
        assert len(await tap.rest(call)) == 1
        await stopping


async def ask(channel: grpc.aio.Channel, **question: str) -> reflection_pb2.ServerReflectionResponse:
    """Call the reflection service of a server."""
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(**question)])
    )
    (answer,) = [answer async for answer in call]
    return answer


async def services(channel: grpc.aio.Channel) -> set[str]:
    """Return the services that a server lists."""
    answer = await ask(channel, list_services="")
    return {service.name for service in answer.list_services_response.service}


async def test_reflection_lists_the_services_and_describes_them() -> None:
    """Reflection lists and describes each service, so that tools need no .proto."""
    options = ServerOptions(service=EVERY_DIALECT)
    async with Server(MemoryStore(), options=options) as server, wiretap(server.address) as tap:
        listed = await services(tap.channel)
        assert listed == ALL
        for name in listed:
            answer = await ask(tap.channel, file_containing_symbol=name)
            assert answer.file_descriptor_response.file_descriptor_proto, name


async def test_without_the_dialect_it_is_not_there() -> None:
    """Without the demo dialect, its service is not listed, not healthy and not implemented."""
    options = ServerOptions(service=ServiceOptions(dialects=("unspool",)))
    async with Server(MemoryStore({"a": b"a"}), options=options) as server, wiretap(server.address) as tap:
        assert "demo.Files" not in await services(tap.channel)
        for method in ("/demo.Files/GetFile", "/unspool.v1.FileService/NoSuchMethod"):
            unary: StreamMethod = tap.channel.unary_stream(method)
            call = unary(b"")
            assert await call.code() == grpc.StatusCode.UNIMPLEMENTED
        health = health_pb2_grpc.HealthStub(tap.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="demo.Files"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
