"""The tutorial's dialect, `demo.Files/GetFile`, answered: its holes are closed without changing a message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc

from unspool.answers.frames import span_of
from unspool.core.model import Bytes, Span
from unspool.errors import DataLossError
from unspool.options import ServiceOptions
from unspool.rpc.demowire import CHUNK_SIZE, SERVICE, decode_request, encode_response
from unspool.server.calls import Calls, Context, answering
from unspool.stores.base import OpenFile, Store


class DemoService:
    """Answers `demo.Files` out of a store, as an unmodified client of the tutorial expects.

    Where the tutorial answers UNKNOWN or nothing, it answers NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (negative start)
    and OUT_OF_RANGE (a start beyond the end). As in the tutorial, a stream ends with a chunk shorter than 32 KiB, empty if
    need be.
    """

    def __init__(self, store: Store, calls: Calls, options: ServiceOptions) -> None:
        self._store = store
        self._calls = calls
        self._options = options

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what to hand to `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(SERVICE, {"GetFile": grpc.unary_stream_rpc_method_handler(self._get_file)})

    async def _get_file(self, request: bytes, context: Context) -> None:
        async with answering(context):
            wanted = decode_request(request)
            outlet = self._calls.outlet(context, None, self._options.heartbeat)
            with self._calls.reading("GetFile", wanted, context) as report:
                async with outlet, aclosing(await self._store.open(wanted.name)) as file:
                    span = span_of(wanted, file.info)
                    run_size = max(self._options.block_size // CHUNK_SIZE, 1) * CHUNK_SIZE
                    number = wanted.start // CHUNK_SIZE
                    async with aclosing(_chunks(file, span, run_size)) as chunks:
                        async for chunk in chunks:
                            await outlet.send(encode_response(chunk, number))
                            number += 1
                            report.bytes += len(chunk)


async def _chunks(file: OpenFile, span: Span, run_size: int) -> AsyncGenerator[Bytes, None]:
    """Yield a span in chunks, all of 32 KiB but the last, which is shorter and perhaps empty.

    Raises:
        DataLossError: the store returned fewer bytes than it said it holds.
    """
    rest, position = b"", span.start
    async with aclosing(file.read(span, run_size)) as runs:
        async for run in runs:
            position += len(run)
            view = memoryview(rest + run if rest else run)  # nearly always there is no rest
            whole = len(view) - len(view) % CHUNK_SIZE
            for at in range(0, whole, CHUNK_SIZE):
                yield view[at : at + CHUNK_SIZE]
            rest = bytes(view[whole:])
    if position != span.stop:
        # A short chunk would say that the file ends here.
        name = file.info.name
        raise DataLossError(f"{name}: the store stopped at byte {position}, before {span.stop}", name=name, offset=position)
    yield rest
