"""Files beside a `grpc.server`, the kind that has a thread for each call.

    python beside_threads.py DIRECTORY

`FileService` cannot be added to such a server: a download would hold one of its few threads for hours. The same process serves
files on another port instead, from an event loop in a thread of its own: `files_served` does that, and can be copied.
"""

import asyncio
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from unspool import LocalStore, Server
from unspool.stores import Store


@contextmanager
def files_served(store: Store, *arguments: Any, **options: Any) -> Iterator[str]:
    """Run an `unspool.Server` in a thread while inside the `with`; at the end drain it and close the store. Yields its address.

    Takes what `unspool.Server` takes, and raises what it raises.
    """
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            server = Server(store, *arguments, **options)
            address = await server.start()
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            started.set_exception(error)
            return
        started.set_result((address, asyncio.get_running_loop(), stop))
        await stop.wait()
        await server.stop()
        await store.aclose()

    thread = Thread(target=lambda: asyncio.run(serve()), name="files")
    thread.start()
    try:
        address, loop, stop = started.result()
        try:
            yield address
        finally:
            loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join()


def hello(request: StringValue, _: grpc.ServicerContext) -> StringValue:
    """Answer your own method, in a thread."""
    return StringValue(value=f"hello, {request.value}")


def main(directory: str) -> None:
    """Serve until SIGTERM."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    method = grpc.unary_unary_rpc_method_handler(hello, StringValue.FromString, StringValue.SerializeToString)
    yours = grpc.server(ThreadPoolExecutor(10))
    yours.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("example.Greeter", {"Hello": method})])
    port = yours.add_insecure_port("127.0.0.1:0")
    with files_served(LocalStore(directory), "127.0.0.1:0") as address:
        yours.start()
        print(f"yours on 127.0.0.1:{port}, files on {address}", flush=True)
        stop.wait()
        yours.stop(2).wait()


if __name__ == "__main__":
    main(sys.argv[1])
