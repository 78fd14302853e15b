"""The server's side of the tutorial's dialect, `demo.Files/GetFile`, with errors where the tutorial has none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from unspool.answers.frames import runs_of
from unspool.answers.patience import Patience, Sizes
from unspool.answers.spans import span_of, stopped_short_error
from unspool.core.model import Bytes, ReadRequest, Span
from unspool.options import ServiceOptions
from unspool.rpc.demowire import CHUNK_SIZE, SERVICE, decode_request, encode_response
from unspool.server.entry import Asked, Call, Method
from unspool.server.streams import Streams
from unspool.stores.base import OpenFile, Store


class Demo:
    """Serves a store's files by `demo.Files`, to unmodified clients of the tutorial.

    Where the tutorial answers UNKNOWN or nothing, it answers NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (negative start)
    and OUT_OF_RANGE (a start beyond the end). As in the tutorial, a stream ends with a chunk shorter than 32 KiB, which may
    be empty.

    Args:
        store: where the bytes come from. The dialect does not close it.
        streams: how much each stream may send.
        options: sizes and intervals.
    """

    service = SERVICE

    def __init__(self, store: Store, streams: Streams, options: ServiceOptions) -> None:
        self._store = store
        self._streams = streams
        self._options = options

    def methods(self) -> Sequence[Method]:
        """See `Dialect.methods`."""
        return (Method("GetFile", decode_request, lambda wanted: Asked((wanted.name,), wanted.start), self._get_file),)

    async def _get_file(self, wanted: ReadRequest, call: Call) -> None:
        outlet = self._streams.outlet(call, None, self._options.heartbeat)
        async with outlet, aclosing(await self._store.open(wanted.name)) as file:
            span = span_of(wanted, file.info)
            call.served[0] = file.info.revision, (span.start, span.stop)
            sizes = self._streams.block_sizes(max(self._options.block_size, CHUNK_SIZE))
            number = wanted.start // CHUNK_SIZE
            async with aclosing(_chunks(file, span, sizes, outlet)) as chunks:
                async for chunk in chunks:
                    await outlet.send(encode_response(chunk, number))
                    number += 1
                    call.bytes += len(chunk)


async def _chunks(file: OpenFile, span: Span, sizes: Sizes, patience: Patience) -> AsyncGenerator[Bytes, None]:
    """Yield a span in chunks of 32 KiB. The last chunk is shorter, and may be empty.

    The store is read in runs as long as the blocks of the native dialect: many chunks at a time, fewer for a slow client.

    Raises:
        DataLossError: the store returned fewer bytes than it said it holds.
    """
    rest, position = b"", span.start
    async with aclosing(runs_of(file, span, sizes, patience)) as runs:
        async for run in runs:
            position += len(run)
            view = memoryview(rest + run if rest else run)  # nearly always there is no rest
            whole = len(view) - len(view) % CHUNK_SIZE
            for at in range(0, whole, CHUNK_SIZE):
                yield view[at : at + CHUNK_SIZE]
            rest = bytes(view[whole:])
    if position != span.stop:
        # Without this error, the short chunk below would tell the client that the file ends here.
        raise stopped_short_error(file.info, position, span.stop)
    yield rest
