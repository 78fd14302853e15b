"""Files beside a service of yours, on your own `grpc.aio` server: with your interceptors, your credentials and your drain.

    python beside_yours.py DIRECTORY HOST:PORT CERT KEY TOKEN

Three lines are unspool's: they are marked.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from unspool import FileService, LocalStore

HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether request and response are streams. All methods of unspool take a stream, whatever their .proto says."""


class WithToken(grpc.aio.ServerInterceptor):
    """Your interceptor: it refuses calls that do not show the token, of every service on the server."""

    def __init__(self, token: str) -> None:
        self._wanted = ("authorization", f"Bearer {token}")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Let a call pass, or refuse it."""
        handler = await continuation(handler_call_details)
        if handler is None or self._wanted in (handler_call_details.invocation_metadata or ()):
            return handler

        async def refuse(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "show the token")

        return HANDLERS[handler.request_streaming, handler.response_streaming](refuse)


async def hello(request: StringValue, _: grpc.aio.ServicerContext[Any, Any]) -> StringValue:
    """Answer your own method."""
    return StringValue(value=f"hello, {request.value}")


def yours() -> grpc.GenericRpcHandler:
    """Return your own service, which would usually come from generated code."""
    method = grpc.unary_unary_rpc_method_handler(hello, StringValue.FromString, StringValue.SerializeToString)
    return grpc.method_handlers_generic_handler("example.Greeter", {"Hello": method})


async def main(directory: str, listen: str, cert: str, key: str, token: str) -> None:
    """Serve until SIGTERM."""
    store = LocalStore(directory)
    files = FileService(store)  # unspool's

    server = grpc.aio.server(interceptors=[WithToken(token)])
    server.add_generic_rpc_handlers([yours()])
    files.add_to(server)  # unspool's
    pair = (Path(key).read_bytes(), Path(cert).read_bytes())  # noqa: ASYNC240 - before anything is served
    port = server.add_secure_port(listen, grpc.ssl_server_credentials([pair]))
    await server.start()
    print(f"serving {directory} on port {port}", flush=True)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await files.drain(10)  # unspool's: new streams are refused, running ones have 10 s, then their clients are asked to retry
    await server.stop(2)
    await store.aclose()


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    asyncio.run(main(*arguments))
