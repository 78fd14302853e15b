"""The peers that are a few lines of Python around another library. Run them as `python -m bench.programs NAME ...`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

_PIECE = 1 << 20


def serve_tcp(root: str) -> None:
    """Raw TCP with sendfile: the client sends a name and a newline, the server sends the bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("ready", listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, (Path(root) / connection.makefile().readline().strip()).open("rb") as file:
                connection.sendfile(file)


def get_tcp(port: str, name: str, out: str) -> None:
    """The client: receives into one buffer and writes it to the file."""
    buffer = memoryview(bytearray(_PIECE))
    with socket.create_connection(("127.0.0.1", int(port))) as connection, open(out, "wb", buffering=0) as file:
        connection.sendall(f"{name}\n".encode())
        while count := connection.recv_into(buffer):
            file.write(buffer[:count])


def serve_flight(root: str) -> None:
    """Arrow Flight: record batches of one column of 1 MiB, directly from a memory map."""
    import pyarrow as pa
    from pyarrow import flight

    schema = pa.schema([("data", pa.uint8())])

    class Server(flight.FlightServerBase):
        def do_get(self, _context: object, ticket: flight.Ticket) -> flight.GeneratorStream:
            source = pa.memory_map(str(Path(root) / ticket.ticket.decode()))

            def batches() -> object:
                while len(piece := source.read_buffer(_PIECE)):
                    yield pa.record_batch([pa.Array.from_buffers(pa.uint8(), len(piece), [None, piece])], schema=schema)

            return flight.GeneratorStream(schema, batches())

    server = Server("grpc://127.0.0.1:0")
    print("ready", server.port, flush=True)
    server.serve()


def get_flight(port: str, name: str, out: str) -> None:
    """The client: writes every batch's buffer to the file."""
    from pyarrow import flight

    reader = flight.connect(f"grpc://127.0.0.1:{port}").do_get(flight.Ticket(name.encode()))
    with open(out, "wb", buffering=0) as file:
        for chunk in reader:
            file.write(chunk.data.column(0).buffers()[1])


def serve_grpc(root: str, workers: str = "1") -> None:
    """Raw gRPC, to show what unspool adds: grpc.aio, 1 MiB messages, unspool's channel options; no checksums, no protocol."""
    import subprocess

    from unspool.core.address import HostPort
    from unspool.server.ports import held

    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with held(HostPort("127.0.0.1", 0)) as port:
        command = [sys.executable, "-m", "bench.programs", "grpc_worker", root, port.address]
        children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(int(workers))]
        try:
            for child in children:
                assert child.stdout is not None
                child.stdout.readline()
            print("ready", port.address.rpartition(":")[2], flush=True)
            signal.sigwait(stop)
        finally:
            for child in children:
                child.kill()


def grpc_worker(root: str, address: str) -> None:
    """One of its processes."""
    import grpc
    import uvloop

    from unspool.loops import keep_freed_memory
    from unspool.rpc.connection import CHANNEL_OPTIONS

    keep_freed_memory()

    async def read(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        loop = asyncio.get_running_loop()
        with open(Path(root) / request.decode(), "rb", buffering=0) as file:
            while piece := await loop.run_in_executor(None, file.read, _PIECE):
                await context.write(piece)

    async def span(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        name, start, length = request.split()
        descriptor = os.open(Path(root) / name.decode(), os.O_RDONLY)
        try:
            await context.write(os.pread(descriptor, int(length), int(start)))
        finally:
            os.close(descriptor)

    async def write(messages: AsyncIterator[bytes], _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        loop = asyncio.get_running_loop()
        with open(Path(root) / (await anext(messages)).decode(), "wb", buffering=0) as file:
            async for message in messages:
                await loop.run_in_executor(None, file.write, message)
        return b""

    async def main() -> None:
        server = grpc.aio.server(options=CHANNEL_OPTIONS)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Read": grpc.unary_stream_rpc_method_handler(read),
            "Span": grpc.unary_stream_rpc_method_handler(span),
            "Write": grpc.stream_unary_rpc_method_handler(write),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("raw.Raw", handlers)])
        server.add_insecure_port(address)
        await server.start()
        print("ready", flush=True)
        await server.wait_for_termination()

    uvloop.run(main())


def get_grpc(port: str, name: str, out: str) -> None:
    """The client."""
    import grpc
    import uvloop

    from unspool.loops import keep_freed_memory
    from unspool.rpc.connection import CHANNEL_OPTIONS

    keep_freed_memory()

    async def main() -> None:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
            read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/raw.Raw/Read")
            async for message in read(name.encode()):
                os.write(descriptor, message)
        os.close(descriptor)

    uvloop.run(main())


def put_grpc(port: str, name: str, source: str) -> None:
    """The client that uploads."""
    import grpc
    import uvloop

    from unspool.loops import keep_freed_memory
    from unspool.rpc.connection import CHANNEL_OPTIONS

    keep_freed_memory()

    async def main() -> None:
        with open(source, "rb", buffering=0) as file:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
                write: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary("/raw.Raw/Write")
                call = write()
                await call.write(name.encode())
                while piece := file.read(_PIECE):
                    await call.write(piece)
                await call.done_writing()
                await call

    uvloop.run(main())


def get_tree(address: str, prefix: str, out: str) -> None:
    """The least that Python and gRPC need for a tree, from unspool's server: no checks, no syncs, no record, one stream."""
    import grpc

    from unspool.v1 import file_service_pb2 as pb

    made: set[str] = set()
    with grpc.insecure_channel(address) as channel:
        service = "/unspool.v1.FileService"
        pages = channel.unary_stream(
            f"{service}/ListFiles", pb.ListFilesRequest.SerializeToString, pb.ListFilesResponse.FromString
        )
        read = channel.unary_stream(
            f"{service}/ReadFiles", pb.ReadFilesRequest.SerializeToString, pb.ReadFilesResponse.FromString
        )
        for page in pages(pb.ListFilesRequest(prefix=prefix, recursive=True)):
            wanted, request = [], pb.ReadFilesRequest(packs=True)
            for file in page.files:
                path, modified = out + file.name[len(prefix) :], file.modified.ToNanoseconds()
                try:
                    status = os.lstat(path)
                    if (status.st_size, status.st_mtime_ns) == (file.size, modified):
                        continue
                except FileNotFoundError:
                    pass
                wanted.append((path, modified))
                request.files.add(name=file.name, revision=file.revision)
            for message in read(request) if wanted else ():
                data, start = memoryview(message.pack.data), 0
                for (path, modified), size in zip(wanted[message.pack.first :], message.pack.sizes, strict=False):
                    directory = path.rpartition("/")[0]
                    if directory not in made:
                        Path(directory).mkdir(parents=True, exist_ok=True)
                        made.add(directory)
                    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                    os.write(descriptor, data[start : start + size])
                    os.utime(descriptor, ns=(modified, modified))
                    os.close(descriptor)
                    start += size
    sys.stdout.flush()
    os._exit(0)  # as unspool ends


def serve_proxy(target: str, *settings: str) -> None:
    """The proxy of unspool, as one link that all connections share. The settings are its attributes, as KEY=VALUE."""
    import uvloop

    from unspool.testing.proxy import Proxy

    values = {key: float(value) for key, value in (setting.split("=") for setting in settings)}
    seed = values.pop("seed", None)

    async def main() -> None:
        async with Proxy(target, Random(seed)) as proxy:
            proxy.shared = True
            for key, value in values.items():
                setattr(proxy, key, value)
            print("ready", proxy.address.rpartition(":")[2], flush=True)
            await asyncio.Event().wait()

    uvloop.run(main())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
