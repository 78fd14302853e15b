"""Health and reflection: what load balancers, orchestrators and tools ask a server about itself.

They are written as dialects, so that their calls go through an entry as the calls for files do: whoever opens watches without
end is refused like one who opens reads without end. Their limits are as large but counted apart: a balancer's probe is answered
while its address has all its streams running, and watches take no stream from those who read. They are not reported, because a
probe every few seconds says nothing about files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from unspool.core.abridged import abridged
from unspool.errors import InvalidRequestError, NotFoundError, StreamAgeError
from unspool.options import LimitOptions
from unspool.rpc.messages import parsed
from unspool.server.admission import Admission
from unspool.server.connections import Connections
from unspool.server.descriptorpools import DescriptorPools
from unspool.server.entry import Asked, Call, Entry, Method
from unspool.server.outlet import ClientGoneError
from unspool.server.requests import Requests
from unspool.server.streams import Streams

_LARGEST = 4096
"""Most bytes of a request. The longest are names of services and of .proto files; a watch keeps its name, and reflection sends
the request back."""

M = TypeVar("M", bound=Message)


class Probes:
    """The health and reflection services of a server.

    Args:
        services: the full names of the services that it has besides these two.
        limits: the limits on calls.
        connections: those that their calls use.
        pools: the descriptor pools, besides the default one, that describe the services.
    """

    def __init__(
        self,
        services: Sequence[str],
        limits: LimitOptions,
        connections: Connections,
        pools: Sequence[DescriptorPool] = (),
    ) -> None:
        self._connections = connections
        self._pools = pools
        self._services = services
        self._limits = limits
        self._health = Health(services, limits.stream_age)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the services with a server that has not been started."""
        requests = Requests(self._limits.request_timeout, self._limits.streams)
        admission, streams = Admission(self._limits), Streams(self._limits)
        names = [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        entry = Entry(self._connections.calling, admission.admitted, streams.running, requests=requests)
        described = Reflection(names, DescriptorPools(self._pools), requests, admission)
        server.add_generic_rpc_handlers([entry.handlers(self._health), entry.handlers(described)])

    def serving(self, *, yes: bool) -> None:
        """Say from now on whether the services answer, and tell those who watch."""
        self._health.serving(yes=yes)


class Health:
    """Answers `grpc.health.v1.Health`.

    Args:
        services: the full names of the services, besides "" for the server itself.
        age: seconds after which a watch ends, as other streams do; None for no limit.
    """

    service: str = health.SERVICE_NAME

    def __init__(self, services: Sequence[str], age: float | None) -> None:
        self._services = {"", *services}
        self._age = age
        self._serving = False
        self._changed = asyncio.Event()

    def methods(self) -> Sequence[Method]:
        """See `Dialect.methods`."""
        return (
            Method("Check", _decode_check, lambda name: Asked((name,)), self._check, streams=False),
            Method("Watch", _decode_check, lambda name: Asked((name,)), self._watch),
        )

    def serving(self, *, yes: bool) -> None:
        """See `Probes.serving`."""
        self._serving = yes
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, name: str, _: Call) -> bytes:
        if name not in self._services:
            raise NotFoundError(f"{abridged(name)}: this server has no such service")
        return self._status(name)

    async def _watch(self, name: str, call: Call) -> None:
        try:
            async with asyncio.timeout(self._age):
                while True:
                    changed = self._changed
                    await _send(call, self._status(name))
                    await changed.wait()
        except TimeoutError:
            raise StreamAgeError(f"this server ends streams after {self._age:g} s: watch again", retry_after=0.0) from None

    def _status(self, name: str) -> bytes:
        status = HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING
        if name not in self._services:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        message: bytes = HealthCheckResponse(status=status).SerializeToString()
        return message


class Reflection:
    """Answers `grpc.reflection.v1alpha.ServerReflection`. What it says is gRPC's own; when it is asked is limited here.

    Args:
        services: the full names that it lists.
        pools: what describes them.
        requests: receives the requests after the first, each in its time.
        admission: counts the requests after the first, like calls.
    """

    service: str = reflection.SERVICE_NAME

    def __init__(self, services: Sequence[str], pools: DescriptorPools, requests: Requests, admission: Admission) -> None:
        self._reflection = reflection.aio.ReflectionServicer(services, pools)
        self._requests = requests
        self._admission = admission

    def methods(self) -> Sequence[Method]:
        """See `Dialect.methods`."""
        return (Method("ServerReflectionInfo", _decode_question, lambda _: Asked(()), self._answer),)

    async def _answer(self, question: ServerReflectionRequest, call: Call) -> None:
        while True:
            async for answer in self._reflection.ServerReflectionInfo(_one(question), None):
                await _send(call, answer.SerializeToString())
            request = await self._requests.next(call)
            if request is None:
                return
            with self._admission.admitted(call):
                question = _decode_question(request)


async def _one(question: ServerReflectionRequest):  # type: ignore[no-untyped-def]  # noqa: ANN202
    yield question


def _decode_check(request: bytes) -> str:
    service: str = _decode(HealthCheckRequest(), request).service
    return service


def _decode_question(request: bytes) -> ServerReflectionRequest:
    return _decode(ServerReflectionRequest(), request)


def _decode(message: M, request: bytes) -> M:
    if len(request) > _LARGEST:
        raise InvalidRequestError(f"the request has {len(request)} bytes, and {_LARGEST} is the most")
    return parsed(message, request, InvalidRequestError)


async def _send(call: Call, message: bytes) -> None:
    """Send a message. Raises ClientGoneError if the client has left."""
    try:
        await call.context.write(message)
    except grpc.aio.InternalError as error:
        raise ClientGoneError from error
