"""The store in memory: the contract, and its own properties."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from unspool.core.checksum import crc32c
from unspool.core.model import Span
from unspool.errors import FileChangedError, InvalidNameError
from unspool.stores import MemoryStore
from unspool.testing.stock import BYTES, Stock, read, read_file
from unspool.testing.storecontract import StoreContract


class TestMemoryStore(StoreContract):
    """The contract."""

    @asynccontextmanager
    async def stocked(self, directory: Path) -> AsyncIterator[Stock]:
        """A dictionary."""
        store = MemoryStore()
        yield Stock(store, put=store.put, remove=store.remove)
        await store.aclose()


async def test_files_can_be_given_at_once() -> None:
    """The store has the files it was made with."""
    store = MemoryStore({"a.bin": BYTES, "dir/b.bin": b"b"})
    assert (await read_file(store, "a.bin"))[1] == BYTES
    assert (await read_file(store, "dir/b.bin"))[1] == b"b"


async def test_the_checksum_is_known() -> None:
    """The store knows every file's checksum from the start."""
    store = MemoryStore({"a.bin": BYTES})
    assert (await store.stat("a.bin")).crc32c == crc32c(BYTES)


def test_only_names_can_be_put() -> None:
    """An invalid name is refused when a file is added."""
    with pytest.raises(InvalidNameError):
        MemoryStore({"../a": b""})


@pytest.mark.parametrize("change", ["put", "remove"])
async def test_every_change_ends_a_read(change: str) -> None:
    """After a change, even to the same bytes, the next run is FileChangedError: the reference is as strict as possible."""
    store = MemoryStore({"a.bin": BYTES})
    async with aclosing(await store.open("a.bin")) as file, aclosing(file.read(Span(0, len(BYTES)), lambda _: 500)) as runs:
        assert await anext(runs) == BYTES[:500]
        if change == "put":
            store.put("a.bin", BYTES)
        else:
            store.remove("a.bin")
        with pytest.raises(FileChangedError) as caught:
            await anext(runs)
        assert (caught.value.name, caught.value.offset) == ("a.bin", 500)
        with pytest.raises(FileChangedError):
            await read(file)
