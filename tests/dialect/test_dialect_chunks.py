"""How a server cuts a store's bytes into the tutorial's chunks."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.answers.patience import AsWanted
from unspool.core.model import Bytes, FileInfo, Span
from unspool.demo import files_pb2 as pb
from unspool.errors import DataLossError
from unspool.rpc.demowire import CHUNK_SIZE, encode_response
from unspool.server.demo import _chunks
from unspool.stores.base import RunSize

T = TypeVar("T")


class RaggedFile:
    """A file whose store yields runs of whatever length it likes, as an object store's network does."""

    def __init__(self, data: bytes, runs: list[int], missing: int = 0) -> None:
        self.info = FileInfo("a", len(data), "r1")
        self._data = data[: len(data) - missing]
        self._runs = runs

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[bytes, None]:
        """See `OpenFile.read`."""
        position = span.start
        turn = 0
        while position < min(span.stop, len(self._data)):
            size = min(self._runs[turn % len(self._runs)], run_size(position), span.stop - position)
            data = self._data[position : position + size]
            yield data
            position += len(data)
            turn += 1

    async def steady(self) -> bool:
        """See `OpenFile.steady`."""
        return True

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""


class Patient:
    """Who just waits."""

    async def patiently(self, awaitable: Awaitable[T]) -> T:
        """See `Patience.patiently`."""
        return await awaitable

    crowded = False

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See `Patience.turn`."""
        return nullcontext()


async def chunks_of(file: RaggedFile, span: Span) -> list[Bytes]:
    """Return the chunks that would be sent."""
    async with aclosing(_chunks(file, span, AsWanted(4 * CHUNK_SIZE), Patient())) as chunks:
        return [chunk async for chunk in chunks]


@given(
    size=st.integers(0, 5 * CHUNK_SIZE),
    start=st.integers(0, 5),
    runs=st.lists(st.integers(1000, 5 * CHUNK_SIZE), min_size=1, max_size=5),
)
async def test_all_chunks_but_the_last_are_full(size: int, start: int, runs: list[int]) -> None:
    """However a store yields its bytes, every chunk but the last has 32 KiB, the last has fewer, and all make up the span."""
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    span = Span(min(start * CHUNK_SIZE, size), size)
    *full, last = await chunks_of(RaggedFile(data, runs), span)
    assert all(len(chunk) == CHUNK_SIZE for chunk in full)
    assert len(last) < CHUNK_SIZE
    assert b"".join([*full, last]) == data[span.start :]


@pytest.mark.parametrize("missing", [1, CHUNK_SIZE, 3 * CHUNK_SIZE])
async def test_a_store_that_stops_early_is_no_end_of_the_file(missing: int) -> None:
    """A store that returns fewer bytes than the file has is an error: a short chunk would say that the file ends there."""
    file = RaggedFile(bytes(3 * CHUNK_SIZE), [CHUNK_SIZE], missing)
    with pytest.raises(DataLossError):
        await chunks_of(file, Span(0, 3 * CHUNK_SIZE))


@given(st.binary(max_size=300) | st.just(bytes(CHUNK_SIZE)), st.integers(0, (1 << 31) - 1))
def test_a_response_is_written_as_the_generated_code_writes_it(chunk: bytes, number: int) -> None:
    """Any chunk with any number comes out as the same bytes, also the empty chunk and the first."""
    assert encode_response(memoryview(chunk), number) == pb.Response(chunk=chunk, chunk_number=number).SerializeToString()
