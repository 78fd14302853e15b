"""A store and the functions that change it, for the contract of stores; and helpers that read it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from unspool.core.extras import extra
from unspool.core.model import FileInfo, ListRequest, Span
from unspool.errors import UnspoolError
from unspool.stores.base import OpenFile, SmallFile, Store

with extra("contract"):
    import pytest
    from hypothesis import HealthCheck, settings
    from hypothesis import strategies as st


@dataclass(frozen=True)
class Stock:
    """A store that is empty at first, and functions that change its files, also while they are read.

    Attributes:
        put: stores bytes under a name, in a way that open files can notice (in a directory: by writing in place).
        remove: removes a file.
    """

    store: Store
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]


BYTES = bytes(range(251)) * 8
"""A small file whose bytes differ at neighbouring offsets."""

NOT_NAMES = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "./a",
    "a/./b",
    "a/.",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "a\\b",
    "..\\a",
    "\0",
    "a\0b",
    "\ud800",
    "a/\udcff",
    "x" * 4097,
    "ä" * 2049,
    "/".join(["deep"] * 1000),
]
UNUSUAL_NAMES = ["-rf", "...", "..a", " ", "a b", "ä", "日本.bin", "🙂", "a\nb", "data:,x", "a%2fb", "~", "*", "CON", "a" * 255]

in_one_fixture = settings(
    # The examples share one store, and each uses names of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow]
)
fewer_examples = settings(in_one_fixture, max_examples=max(10, in_one_fixture.max_examples // 3))

spans = st.tuples(st.integers(0, len(BYTES)), st.integers(0, len(BYTES))).map(lambda ends: Span(min(ends), max(ends)))
block_sizes = st.one_of(st.integers(1, 300), st.integers(1, 2 * len(BYTES)))
names = st.lists(st.sampled_from(["a", "b", "ab", "b.txt"]), min_size=1, max_size=4).map("/".join)


@st.composite
def trees(draw: st.DrawFn) -> frozenset[str]:
    """Names of which none is also a directory of another."""
    chosen = draw(st.frozensets(names, max_size=12))
    return frozenset(name for name in chosen if not any(other.startswith(f"{name}/") for other in chosen))


async def read(file: OpenFile, span: Span | None = None, block_size: int = 500) -> bytes:
    """Return the bytes of a span, by default of the whole file. Checks the sizes of the runs."""
    data = bytearray()
    async with aclosing(file.read(span or Span(0, file.info.size), lambda _: block_size)) as runs:
        async for run in runs:
            assert 1 <= len(run) <= block_size
            data += run
    return bytes(data)


async def read_file(store: Store, name: str) -> tuple[FileInfo, bytes]:
    """Open a file, read it completely and close it."""
    async with aclosing(await store.open(name)) as file:
        return file.info, await read(file)


async def read_all_small(store: Store, names: list[str], most_bytes: int) -> list[SmallFile]:
    """Read small files, in as many calls as it takes. None may be too large."""
    answers: list[SmallFile] = []
    while len(answers) < len(names):
        more = await store.read_small(names[len(answers) :], most_bytes)
        assert more, "a file that fits was not answered"
        answers += more
    return answers


def good(answer: SmallFile) -> tuple[FileInfo, bytes]:
    """Return the description and the bytes of a file; fail if it is an error."""
    assert not isinstance(answer, UnspoolError), answer
    return answer[0], bytes(answer[1])


async def listed(
    store: Store, prefix: str = "", *, recursive: bool = True, page_size: int = 1000
) -> tuple[dict[str, FileInfo], set[str]]:
    """Return the files and the prefixes of a listing. Checks that each is listed once, and that no page is empty or too large.

    A page that has only omissions is not empty.
    """
    files: list[FileInfo] = []
    prefixes: list[str] = []
    async with aclosing(store.list(ListRequest(prefix, recursive, page_size))) as pages:
        async for page in pages:
            assert page.omitted or page.files or page.prefixes
            assert len(page.files) + len(page.prefixes) <= page_size
            files += page.files
            prefixes += page.prefixes
    by_name = {info.name: info for info in files}
    assert len(by_name) == len(files), "a file is listed twice"
    assert len(set(prefixes)) == len(prefixes), "a prefix is listed twice"
    return by_name, set(prefixes)


class StoreTests(ABC):
    """The common base of all parts of the contract: a store to test.

    Attributes:
        impossible_names: the unusual names that no file of this store can have. They raise InvalidNameError.
    """

    impossible_names: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def stocked(self, directory: Path) -> AbstractAsyncContextManager[Stock]:
        """Open an empty store, which may use `directory`; leaving closes it."""

    @pytest.fixture
    async def stock(self, tmp_path: Path) -> AsyncGenerator[Stock, None]:
        """An empty store and the functions that change it."""
        async with self.stocked(tmp_path) as stock:
            yield stock
