"""The server's side of `google.bytestream.ByteStream`, the dialect of build caches: Read. bytestreamwriting.py has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from unspool.answers.frames import runs_of
from unspool.answers.spans import span_of, stopped_short_error
from unspool.core.model import ReadRequest
from unspool.ingest.base import Ingester
from unspool.options import ServiceOptions
from unspool.rpc import bytestreamwire as wire
from unspool.server.bytestreamwriting import ByteStreamWriting
from unspool.server.entry import Asked, Call, Method
from unspool.server.streams import Streams
from unspool.stores.base import Store


class ByteStream:
    """Serves a store's files by `google.bytestream.ByteStream`. A resource is the file of that name.

    A stream that ends without an error has all bytes asked for. It has no heartbeats: the dialect leaves it to the server
    whether there are any, and no client has to expect them.

    Args:
        store: where the bytes come from. The dialect does not close it.
        streams: how much each stream may send.
        options: sizes and intervals.
        ingester: where files that are written go; None refuses them.
    """

    service = wire.SERVICE
    pool = wire.POOL

    def __init__(self, store: Store, streams: Streams, options: ServiceOptions, ingester: Ingester | None = None) -> None:
        self._writing = ByteStreamWriting(store, ingester, streams, options)
        self._store = store
        self._streams = streams
        self._options = options

    def methods(self) -> Sequence[Method]:
        """See `Dialect.methods`."""
        return (
            Method("Read", wire.decode_read_request, lambda wanted: Asked((wanted.name,), wanted.start), self._read),
            *self._writing.methods(),
        )

    async def _read(self, wanted: ReadRequest, call: Call) -> None:
        outlet = self._streams.outlet(call, None, self._options.heartbeat)
        async with outlet, aclosing(await self._store.open(wanted.name)) as file:
            span = span_of(wanted, file.info)
            call.served[0] = file.info.revision, (span.start, span.stop)
            position = span.start
            sizes = self._streams.block_sizes(min(self._options.block_size, self._options.largest_block))
            async with aclosing(runs_of(file, span, sizes, outlet)) as runs:
                async for run in runs:
                    await outlet.send(wire.encode_read_response(run))
                    position += len(run)
                    call.bytes += len(run)
            if position != span.stop:
                # Without this error, the end of the stream would tell the client that the file ends here.
                raise stopped_short_error(file.info, position, span.stop)
