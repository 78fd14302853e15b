"""The dialect of unspool's own: `unspool.v1.FileService`.

It decides nothing about files: the store does. What answers a request is made in `unspool.answers`; here it is written down
and sent.

Rule 1: one frame is one message, and no message of a listing is longer than gRPC allows by default.
Rule 2: while the store keeps a stream waiting, heartbeats go out. While the client keeps it waiting, nothing is read but one
        block ahead.
Rule 3: when the client has gone, reading stops: grpc.aio cancels the handler, and everything below it is awaited there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from unspool.answers.batch import BatchMaker
from unspool.answers.checksums import Checksums
from unspool.answers.frames import FrameMaker
from unspool.answers.kept import KeptChecksums
from unspool.answers.pages import PageMaker
from unspool.answers.refused import with_refused
from unspool.core.model import BatchRequest, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.ingest.base import Ingester
from unspool.options import ServiceOptions
from unspool.rpc import batchwire, wire
from unspool.server.entry import Asked, Call, Method, Sent
from unspool.server.outlet import Outlet
from unspool.server.streams import Streams
from unspool.server.writing import Writing
from unspool.stores.base import AtOnce, Store


class Native:
    """Answers `unspool.v1.FileService` out of a store.

    Args:
        store: where the bytes come from; not closed here.
        streams: how much each stream may send.
        options: sizes and intervals.
        kept: the file that keeps learned checksums; None keeps none.
        ingester: gets the files that clients write; not closed here. None refuses them.
    """

    service = wire.SERVICE

    def __init__(
        self,
        store: Store,
        streams: Streams,
        options: ServiceOptions,
        kept: KeptChecksums | None = None,
        ingester: Ingester | None = None,
    ) -> None:
        self._store = store
        self._at_once = store if isinstance(store, AtOnce) else None
        self._streams = streams
        self._options = options
        self._checksums = Checksums(kept)
        self._frames = FrameMaker(self._checksums, options, kept)
        self._batches = BatchMaker(store, self._frames, self._checksums, options)
        self._pages = PageMaker(store, self._checksums, options)
        self._writing = Writing(ingester, streams, options)

    def methods(self) -> Sequence[Method]:
        """See `Dialect.methods`."""
        return (
            Method("StatFile", wire.decode_stat_request, lambda name: Asked((name,)), self._stat_file, streams=False),
            Method("ReadFile", wire.decode_read_request, _asked_of_read, self._read_file, returns=True),
            Method("ReadFiles", self._decode_batch, _asked_of_batch, self._read_files),
            Method("ListFiles", wire.decode_list_request, _asked_of_list, self._list_files),
            *self._writing.methods(),
        )

    def _decode_batch(self, request: bytes) -> BatchRequest:
        return batchwire.decode_batch_request(request, self._options.largest_batch)

    async def _stat_file(self, name: str, call: Call) -> bytes:
        info = await self._store.stat(name)
        call.served[0] = info.revision, None
        return wire.encode_stat_response(self._checksums.added_to(info))

    async def _list_files(self, wanted: ListRequest, call: Call) -> None:
        outlet = self._streams.outlet(call, wire.encode_page(Page()), self._options.heartbeat)
        async with outlet, aclosing(self._pages.pages(replace(wanted, hides=call.hides), outlet)) as pages:
            async for page in pages:
                shown = page if call.shown is None else await call.shown(page)
                if shown is not None:
                    await outlet.send(wire.encode_page(shown))
                del page, shown  # many streams wait for the next, and what they hold is looked through for garbage all the time

    async def _read_file(self, wanted: ReadRequest, call: Call) -> bytes:
        outlet = self._streams.outlet(call, b"", self._options.heartbeat)  # an empty frame is a heartbeat
        if self._at_once is not None:
            only = self._frames.at_once(self._at_once, wanted, self._streams.block_sizes)
            if only is not None:
                _note_header(call, 0, only)
                return await _last(only, outlet, call)
        async with (
            outlet,
            aclosing(await outlet.patiently(self._store.open(wanted.name, wanted.revision))) as file,
            aclosing(self._frames.frames(file, wanted, outlet, self._streams.block_sizes)) as frames,
        ):
            async for frame in frames:
                _note_header(call, 0, frame)
                if frame.summary is not None:
                    return await _last(frame, outlet, call)
                await outlet.send(wire.encode_frame(frame))
                call.bytes += _bytes_in(frame)
        raise AssertionError("a read ends with a summary")

    async def _read_files(self, wanted: BatchRequest, call: Call) -> None:
        outlet = self._streams.outlet(call, batchwire.encode_pieces(()), self._options.heartbeat)
        made = with_refused(wanted, call.refused, lambda rest: self._batches.messages(rest, outlet, self._streams.block_sizes))
        async with outlet, aclosing(made) as messages:
            between_files = True
            async for pieces in messages:
                await outlet.send(batchwire.encode_pieces(pieces, wanted), may_end=between_files)
                between_files = pieces[-1].ends_file
                for piece in pieces:
                    _note(call, piece)
                del pieces  # as above


async def _last(frame: Frame, outlet: Outlet, call: Call) -> bytes:
    """Return the last message of a read, when it may be sent."""
    message = await outlet.last(wire.encode_frame(frame))
    call.bytes += _bytes_in(frame)
    return message


def _asked_of_read(wanted: ReadRequest) -> Asked:
    return Asked((wanted.name,), wanted.start, wanted.transfer_id, wanted.attempt)


def _asked_of_list(wanted: ListRequest) -> Asked:
    return Asked((wanted.prefix,), right="list")


def _asked_of_batch(wanted: BatchRequest) -> Asked:
    return Asked(tuple([file.name for file in wanted.files]), 0, wanted.transfer_id, wanted.attempt, batch=True)


def _note_header(call: Call, index: int, frame: Frame | None) -> None:
    """Keep what the header of a frame says is served."""
    if frame is not None and (header := frame.header) is not None and header.info is not None:
        stop = header.start + (header.length or 0)
        call.served[index] = header.info.revision, (header.start, stop)


def _note(call: Call, piece: Piece) -> None:
    """Count a piece of a batch that was handed to gRPC."""
    _note_header(call, piece.index, piece.frame)
    sent = call.sent.setdefault(piece.index, Sent())
    sent.bytes += (size := _bytes_in(piece.frame))
    sent.ended, sent.error = piece.ends_file, piece.error
    call.bytes += size


def _bytes_in(frame: Frame | None) -> int:
    return 0 if frame is None or frame.block is None else len(frame.block.data)
