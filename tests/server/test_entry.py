"""The single entry: no method of any dialect bypasses it, and its checks and observers apply to each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from unspool import FileService, LimitOptions, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.core.uploading import UploadRefused
from unspool.errors import InvalidRequestError
from unspool.ingest.memory import MemoryIngester
from unspool.rpc import status, writewire
from unspool.server import dialects
from unspool.server.report import CallEnd
from unspool.testing import Recorder

OPEN = {health.SERVICE_NAME, reflection.SERVICE_NAME}
"""The services that have an entry of their own: see unspool/server/probes.py, and test_server_requests.py."""

EVERY_DIALECT = ServiceOptions(dialects=("unspool", "demo", "bytestream", "admin"))
"""What a server is told so that it speaks all there are."""


@dataclass(frozen=True)
class Registered:
    """A registered method: `/service/method`, and whether it returns a stream."""

    path: str
    streams: bool


@asynccontextmanager
async def registering(
    patch: pytest.MonkeyPatch, server: Server, more: Iterable[grpc.GenericRpcHandler] = ()
) -> AsyncGenerator[list[Registered], None]:
    """Run a server; yields all methods that were registered with it, in any way, except those of the probes."""
    found: list[Registered] = []
    make = grpc.aio.server

    def watched(*args: Any, **kwargs: Any) -> grpc.aio.Server:
        inner = make(*args, **kwargs)
        add, add_registered = inner.add_generic_rpc_handlers, inner.add_registered_method_handlers

        def noting_generic(handlers: Iterable[Any]) -> None:
            for handler in handlers:
                found.extend(Registered(path, method.response_streaming) for path, method in handler._method_handlers.items())
            add(tuple(handlers))

        def noting(service: str, methods: dict[str, Any]) -> None:
            found.extend(Registered(f"/{service}/{name}", method.response_streaming) for name, method in methods.items())
            add_registered(service, methods)

        patch.setattr(inner, "add_generic_rpc_handlers", noting_generic)
        patch.setattr(inner, "add_registered_method_handlers", noting)
        inner.add_generic_rpc_handlers(more)
        return inner

    patch.setattr(grpc.aio, "server", watched)
    async with server:
        found[:] = {one.path: one for one in found if one.path.split("/")[1] not in OPEN}.values()
        yield found


async def call(address: str, method: Registered, request: bytes) -> grpc.StatusCode:
    """Call a method; return the status."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            if method.streams:
                stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method.path)
                async for message in stream(request):
                    if method.path.endswith("/WriteFile"):  # it refuses by a message
                        answer = writewire.decode_upload_answer(message, name="")
                        assert isinstance(answer, UploadRefused)
                        return status.STATUS[type(answer.error)]
            else:
                unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method.path)
                await unary(request)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


async def round_the_entry(server: Server, ended: Recorder[CallEnd], methods: Iterable[Registered]) -> list[str]:
    """Return the methods whose calls were not reported to an observer."""
    missing = []
    for method in methods:
        ended.clear()
        await call(server.address, method, b"")
        if [end.method for end in ended] != [method.path.rpartition("/")[2]]:
            missing.append(method.path)
    return missing


async def test_no_method_goes_round_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every registered method, unary ones included, is reported; and these are all methods of the dialects."""
    ended = Recorder[CallEnd]()
    server = Server(MemoryStore({"a": b"1"}), options=ServerOptions(service=EVERY_DIALECT), observers=[ended])
    async with registering(monkeypatch, server) as methods:
        assert await round_the_entry(server, ended, methods) == []
        assert {method.path for method in methods} == {
            "/unspool.v1.FileService/StatFile",
            "/unspool.v1.FileService/ReadFile",
            "/unspool.v1.FileService/ReadFiles",
            "/unspool.v1.FileService/ListFiles",
            "/unspool.v1.FileService/WriteFile",
            "/unspool.v1.FileService/WriteFiles",
            "/unspool.v1.FileService/StatUpload",
            "/unspool.v1.FileService/AbandonUpload",
            "/unspool.v1.FileService/DeleteFile",
            "/unspool.v1.FileService/StatStorage",
            "/demo.Files/GetFile",
            "/google.bytestream.ByteStream/Read",
            "/google.bytestream.ByteStream/Write",
            "/google.bytestream.ByteStream/QueryWriteStatus",
            "/unspool.v1.AdminService/WatchCalls",
        }


async def test_one_that_went_round_it_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above detects a method that was registered by other means."""

    async def answer(request: bytes, context: object) -> bytes:
        return request

    sly = grpc.method_handlers_generic_handler("sly.Files", {"Get": grpc.unary_unary_rpc_method_handler(answer)})
    ended = Recorder[CallEnd]()
    server = Server(MemoryStore(), observers=[ended])
    async with registering(monkeypatch, server, [sly]) as methods:
        assert await round_the_entry(server, ended, methods) == ["/sly.Files/Get"]


async def test_who_is_refused_is_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a limit, every method refuses the call, and does not decode its request."""
    ended = Recorder[CallEnd]()
    options = ServerOptions(service=EVERY_DIALECT, limits=LimitOptions(requests=0.001))
    server = Server(MemoryStore({"a": b"1"}), options=options, observers=[ended])
    async with registering(monkeypatch, server) as methods:
        await call(server.address, methods[0], b"")  # the burst is one
        for method in methods:
            assert await call(server.address, method, b"\xff not a message") is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert {end.outcome for end in ended[1:]} == {"OVERLOADED"}
    assert all(end.name == "" for end in ended[1:])


async def test_what_does_not_parse_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed request is INVALID_ARGUMENT for every method, and is reported."""
    ended = Recorder[CallEnd]()
    store = MemoryStore()
    options = ServerOptions(service=EVERY_DIALECT)
    server = Server(store, options=options, observers=[ended], ingester=MemoryIngester(store))
    async with registering(monkeypatch, server) as methods:
        for method in methods:
            assert await call(server.address, method, b"\xff") is grpc.StatusCode.INVALID_ARGUMENT
        assert {end.outcome for end in ended} == {"INVALID_REQUEST"}
        assert len(ended) == len(methods)


async def test_an_observer_that_fails_concerns_no_call(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of an observer is logged; the next observer is notified, and the client gets its answer."""

    class Failing:
        def notify(self, event: CallEnd) -> None:
            raise ZeroDivisionError

    ended = Recorder[CallEnd]()
    async with Server(MemoryStore({"a": b"1"}), observers=[Failing(), ended]) as server:
        stat = Registered("/unspool.v1.FileService/StatFile", streams=False)
        assert await call(server.address, stat, b"\n\x01a") is grpc.StatusCode.OK
    assert [end.name for end in ended] == ["a"]
    assert "an observer failed" in caplog.text


# In another program's server


@pytest.fixture
def free_port() -> Callable[[grpc.aio.Server], str]:
    """Return a function that makes a server listen on a free port of loopback."""
    return lambda server: f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"


async def test_the_service_can_be_added_to_anybodys_server(free_port: Callable[[grpc.aio.Server], str]) -> None:
    """The service runs beside another one, with its own limits, observers and drain; the other one goes on while it drains."""

    async def echo(request: bytes, context: object) -> bytes:
        return request

    theirs = grpc.aio.server()
    theirs.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("their.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})]
    )
    ended = Recorder[CallEnd]()
    service = FileService(MemoryStore({"a": b"1"}), ServiceOptions(dialects=("unspool",)), observers=[ended])
    service.add_to(theirs)
    address = free_port(theirs)
    await theirs.start()
    read, other = Registered("/unspool.v1.FileService/ReadFile", streams=True), Registered("/their.Echo/Echo", streams=False)
    try:
        assert service.services == ("unspool.v1.FileService",)
        assert await call(address, read, b"\n\x01a") is grpc.StatusCode.OK
        assert await call(address, Registered("/demo.Files/GetFile", streams=True), b"") is grpc.StatusCode.UNIMPLEMENTED
        await service.drain(1)
        assert await call(address, read, b"\n\x01a") is grpc.StatusCode.UNAVAILABLE
        assert await call(address, other, b"1") is grpc.StatusCode.OK
    finally:
        await theirs.stop(0)
    assert [(end.method, end.outcome) for end in ended] == [("ReadFile", "OK"), ("ReadFile", "UNAVAILABLE")]


def test_a_server_of_another_kind_is_refused() -> None:
    """A `grpc.server`, which uses threads, is refused with an error that names `grpc.aio`."""
    with pytest.raises(InvalidRequestError, match=r"made by grpc\.aio"):
        FileService(MemoryStore()).add_to(object())  # type: ignore[arg-type]


def test_a_dialect_that_is_none_is_refused() -> None:
    """An unknown dialect is an error that lists the known ones."""
    with pytest.raises(InvalidRequestError, match="there are unspool, demo, bytestream, admin"):
        FileService(MemoryStore(), ServiceOptions(dialects=("klingon",)))  # type: ignore[arg-type]
    assert set(dialects._HOMES) == set(EVERY_DIALECT.dialects)
