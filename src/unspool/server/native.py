"""The servicer: a store in, messages out.

It decides nothing about files: the store does. It decides how they are told; what answers a read is told in `unspool.answers`.

Rule 1: one frame is one message, and no message of a listing is longer than gRPC allows by default.
Rule 2: while the store keeps a stream waiting, heartbeats go out. While the client keeps it waiting, nothing is read but one
        block ahead.
Rule 3: when the client has gone, reading stops: grpc.aio cancels the handler, and everything below it is awaited there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import grpc

from unspool.answers.batch import BatchMaker
from unspool.answers.checksums import Checksums
from unspool.answers.frames import FrameMaker
from unspool.core.model import HEARTBEAT, BatchRequest, FileInfo, Frame, Page, ReadRequest
from unspool.options import ServiceOptions
from unspool.rpc import batchwire, wire
from unspool.server.calls import Calls, Context, answering
from unspool.stores.base import Store

_LARGEST_PAGE_BYTES = 1 << 20
"""Most bytes of names in one message of a listing; with what stands around them, well below gRPC's 4 MiB."""


class FileService:
    """Answers `unspool.v1.FileService` out of a store.

    Args:
        store: where the bytes come from; not closed by the service.
        calls: counts and reports what it answers.
        options: sizes and intervals.
    """

    def __init__(self, store: Store, calls: Calls, options: ServiceOptions) -> None:
        self._store = store
        self._calls = calls
        self._options = options
        self._checksums = Checksums()
        self._maker = FrameMaker(self._checksums, options)
        self._batch_maker = BatchMaker(store, self._maker, self._checksums, options)

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what to hand to `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            wire.SERVICE,
            {
                "StatFile": grpc.unary_unary_rpc_method_handler(self._stat_file),
                "ReadFile": grpc.unary_stream_rpc_method_handler(self._read_file),
                "ReadFiles": grpc.unary_stream_rpc_method_handler(self._read_files),
                "ListFiles": grpc.unary_stream_rpc_method_handler(self._list_files),
            },
        )

    async def _stat_file(self, request: bytes, context: Context) -> bytes:
        async with answering(context):
            self._calls.admit(context)
            info = await self._store.stat(wire.decode_stat_request(request))
            return wire.encode_stat_response(self._checksums.added_to(info))
        raise AssertionError("answering() returned from an error")  # for the type checker: abort() raises

    async def _list_files(self, request: bytes, context: Context) -> None:
        async with answering(context):
            wanted = wire.decode_list_request(request)
            page_size = min(wanted.page_size or self._options.page_size, self._options.largest_page)
            outlet = self._calls.outlet(context, wire.encode_page(Page()), self._options.heartbeat)
            pages = self._store.list(replace(wanted, page_size=page_size))
            with self._calls.streaming(context):
                async with outlet, aclosing(pages):
                    while (page := await outlet.patiently(anext(pages, None))) is not None:
                        for part in _small_enough(page):
                            known = tuple(map(self._checksums.added_to, part.files))
                            await outlet.send(wire.encode_page(replace(part, files=known)))

    async def _read_file(self, request: bytes, context: Context) -> None:
        async with answering(context):
            wanted = wire.decode_read_request(request)
            outlet = self._calls.outlet(context, wire.encode_frame(HEARTBEAT), self._options.heartbeat)
            with self._calls.reading("ReadFile", wanted, context) as report:
                async with (
                    outlet,
                    aclosing(await outlet.patiently(self._store.open(wanted.name))) as file,
                    aclosing(self._maker.frames(file, wanted, outlet, self._calls.block_sizes)) as frames,
                ):
                    async for frame in frames:
                        await outlet.send(wire.encode_frame(frame))
                        if frame.block is not None:
                            report.bytes += len(frame.block.data)

    async def _read_files(self, request: bytes, context: Context) -> None:
        async with answering(context):
            wanted = batchwire.decode_batch_request(request)
            outlet = self._calls.outlet(context, batchwire.encode_pieces(()), self._options.heartbeat)
            with self._calls.reading("ReadFiles", _in_short(wanted), context) as report:
                messages = self._batch_maker.messages(wanted, outlet, self._calls.block_sizes)
                async with outlet, aclosing(messages):
                    between_files = True
                    async for pieces in messages:
                        await outlet.send(batchwire.encode_pieces(pieces), may_end=between_files)
                        between_files = pieces[-1].ends_file
                        report.bytes += sum(_bytes_in(piece.frame) for piece in pieces)


def _in_short(wanted: BatchRequest) -> ReadRequest:
    """Return what the log says of a batch: which file it begins with, and how many follow."""
    name = wanted.files[0].name if wanted.files else ""
    more = f" and {len(wanted.files) - 1} more" if len(wanted.files) > 1 else ""
    return ReadRequest(name + more, transfer_id=wanted.transfer_id, attempt=wanted.attempt)


def _bytes_in(frame: Frame | None) -> int:
    return 0 if frame is None or frame.block is None else len(frame.block.data)


def _small_enough(page: Page) -> Iterator[Page]:
    """Split a page so that each part is one message; nearly always it is one already."""
    files: list[FileInfo] = []
    prefixes: list[str] = []
    size = 0
    for info in page.files:
        files.append(info)
        size += len(info.name) * 4
        if size > _LARGEST_PAGE_BYTES:
            yield Page(files=tuple(files))
            files, size = [], 0
    for prefix in page.prefixes:
        prefixes.append(prefix)
        size += len(prefix) * 4
        if size > _LARGEST_PAGE_BYTES:
            yield Page(tuple(files), tuple(prefixes))
            files, prefixes, size = [], [], 0
    if files or prefixes:
        yield Page(tuple(files), tuple(prefixes))
