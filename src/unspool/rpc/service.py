"""The servicer: a store in, frames out.

It decides nothing about files: the store does. It decides how they are told:

Rule 1: a small file is one message. The header travels with the first block, the summary with the last.
Rule 2: the whole file's CRC32C is put together from the blocks that went out, whoever asked for them. What is missing of it
        is read, once per revision, when a client reads to the end of the file without giving a length; a read with a length
        never costs more than its own bytes.
Rule 3: while the store keeps a stream waiting, heartbeats go out. While the client keeps it waiting, nothing is read but one
        block ahead.
Rule 4: when the client has gone, reading stops: grpc.aio cancels the handler, and everything below it is awaited there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace

import grpc

from unspool.core.checksum import crc32c
from unspool.core.model import HEARTBEAT, Block, FileInfo, Frame, Header, Page, ReadRequest, Span, Summary
from unspool.errors import FileChangedError, ServerError
from unspool.options import ServiceOptions
from unspool.rpc import wire
from unspool.rpc.calls import Calls, Context, Outlet, answering, span_of
from unspool.rpc.checksums import Checksums
from unspool.stores.base import OpenFile, Store

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

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what to hand to `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            wire.SERVICE,
            {
                "StatFile": grpc.unary_unary_rpc_method_handler(self._stat_file),
                "ReadFile": grpc.unary_stream_rpc_method_handler(self._read_file),
                "ListFiles": grpc.unary_stream_rpc_method_handler(self._list_files),
            },
        )

    async def _stat_file(self, request: bytes, context: Context) -> bytes:
        async with answering(context):
            info = await self._store.stat(wire.decode_stat_request(request))
            return wire.encode_stat_response(self._checksums.added_to(info))
        raise AssertionError("answering() returned from an error")  # for the type checker: abort() raises

    async def _list_files(self, request: bytes, context: Context) -> None:
        async with answering(context):
            wanted = wire.decode_list_request(request)
            page_size = min(wanted.page_size or self._options.page_size, self._options.largest_page)
            outlet = Outlet(context.write, wire.encode_page(Page()), self._options.heartbeat)
            pages = self._store.list(replace(wanted, page_size=page_size))
            with self._calls.streaming():
                async with outlet, aclosing(pages):
                    while (page := await outlet.patiently(anext(pages, None))) is not None:
                        self._calls.check_not_cut()
                        for part in _small_enough(page):
                            known = tuple(map(self._checksums.added_to, part.files))
                            await outlet.send(wire.encode_page(replace(part, files=known)))

    async def _read_file(self, request: bytes, context: Context) -> None:
        async with answering(context):
            wanted = wire.decode_read_request(request)
            outlet = Outlet(context.write, wire.encode_frame(HEARTBEAT), self._options.heartbeat)
            with self._calls.reading("ReadFile", wanted, context) as report:
                async with (
                    outlet,
                    aclosing(await outlet.patiently(self._store.open(wanted.name))) as file,
                    aclosing(self._frames(file, wanted, outlet)) as frames,
                ):
                    async for frame in frames:
                        await outlet.send(wire.encode_frame(frame))
                        if frame.block is not None:
                            report.bytes += len(frame.block.data)

    async def _frames(self, file: OpenFile, wanted: ReadRequest, outlet: Outlet) -> AsyncGenerator[Frame, None]:
        """Yield the frames that answer a read."""
        info = self._checksums.added_to(file.info)
        if wanted.revision is not None and wanted.revision != info.revision:
            raise FileChangedError(f"{info.name}: is now at revision {info.revision}, not at {wanted.revision}", name=info.name)
        span = span_of(wanted, info)
        block_size = min(wanted.block_size or self._options.block_size, self._options.largest_block)
        header: Header | None = Header(info, span.start, span.length)
        summary = None if span.length else self._summary(file, wanted, span)
        position = span.start
        async with aclosing(file.read(span, block_size)) as runs:
            while (data := await outlet.patiently(anext(runs, None))) is not None:
                self._calls.check_not_cut()
                block = Block(position, data, crc32c(data))
                self._checksums.record(file.info, block)
                position = block.end
                if position == span.stop:
                    summary = self._summary(file, wanted, span)
                yield Frame(header, block, summary)
                header = None
                if summary is not None:
                    return
        if summary is None:
            if header is not None:
                yield Frame(header)
                header = None
            checksum = await outlet.patiently(self._learn_checksum(file))
            summary = Summary(span.stop, at_end=True, crc32c=checksum)
        yield Frame(header, summary=summary)

    def _summary(self, file: OpenFile, wanted: ReadRequest, span: Span) -> Summary | None:
        """Return the summary, or None if the checksum has to be learned first (rule 2)."""
        info = self._checksums.added_to(file.info)
        if info.crc32c is None and wanted.length is None:
            return None
        return Summary(span.stop, at_end=span.stop == info.size, crc32c=info.crc32c)

    async def _learn_checksum(self, file: OpenFile) -> int:
        """Read what is missing for the whole file's checksum, and return it."""
        for gap in self._checksums.gaps(file.info):
            position = gap.start
            async with aclosing(file.read(gap, self._options.block_size)) as runs:
                async for data in runs:
                    self._calls.check_not_cut()
                    self._checksums.record(file.info, Block(position, data, crc32c(data)))
                    position += len(data)
        checksum = self._checksums.added_to(file.info).crc32c
        if checksum is None:
            # Forgotten while it was being put together, because very many other files are being read: come back.
            raise ServerError(f"{file.info.name}: its checksum could not be put together", name=file.info.name)
        return checksum


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
