"""Errors of unspool that are also built-in exceptions, caught around real calls."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from client.lab import DATA, NAME, Lab
from processes import free_port
from unspool import Client, LocalStore, MemoryStore, RetryPolicy, TransferOptions
from unspool.access import RulesFile, TokenFile
from unspool.errors import (
    DestinationExistsError,
    InvalidNameError,
    LocalFileError,
    NotAFileError,
    NotFoundError,
    PermissionDeniedError,
    StalledError,
    UnreachableError,
)
from unspool.local.oserrors import mapped as mapped_here
from unspool.local.uploadkey import upload_key
from unspool.rpc.certificates import Certificates
from unspool.stores.oserrors import mapped as mapped_there
from unspool.testing import FaultyStore, serve

ONCE = TransferOptions(retry=RetryPolicy(budget=0))


async def test_a_file_that_is_not_there_is_a_file_not_found_error(tmp_path: Path) -> None:
    """`except FileNotFoundError` catches the errors for a missing file and for a directory, from a real server."""
    (tmp_path / "dir").mkdir()
    store = LocalStore(tmp_path)
    async with serve(store) as address, Client(address) as client:
        for name, kind in (("missing", NotFoundError), ("dir", NotAFileError)):
            with pytest.raises(FileNotFoundError) as caught:
                await client.get(name, tmp_path / "here")
            assert type(caught.value) is kind
            assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, name)
            assert str(caught.value).startswith(f"{name}: ")
    await store.aclose()


async def test_a_refusal_is_a_permission_error() -> None:
    """`except PermissionError` catches a server's refusal, with the server's message."""
    store = FaultyStore(MemoryStore({"a": b"a"}))
    store.fail(PermissionDeniedError("a: not for you", name="a"))
    async with serve(store) as address, Client(address) as client:
        with pytest.raises(PermissionError, match=r"^a: not for you$") as caught:
            await client.read("a")
    assert caught.value.errno == errno.EACCES


async def test_nobody_there_is_a_connection_error() -> None:
    """`except ConnectionError` catches that no server listens."""
    with free_port() as port:
        async with Client(f"127.0.0.1:{port}", options=ONCE) as client:
            with pytest.raises(ConnectionError) as caught:
                await client.stat("a")
    assert isinstance(caught.value, UnreachableError)


async def test_a_stall_is_a_timeout_error(tmp_path: Path) -> None:
    """`except TimeoutError` catches a silent server; the message states the time once."""
    lab = Lab("z", budget=0)
    with pytest.raises(TimeoutError, match=r"the server sent nothing for 30 s$") as caught:
        await lab.get(tmp_path / "b.bin")
    assert isinstance(caught.value, StalledError)


async def test_what_may_not_be_replaced_is_a_file_exists_error(tmp_path: Path) -> None:
    """`except FileExistsError` catches a different file at the destination."""
    (tmp_path / "b.bin").write_bytes(b"mine")
    with pytest.raises(FileExistsError) as caught:
        await Lab(overwrite=False).get(tmp_path / "b.bin")
    assert isinstance(caught.value, DestinationExistsError)
    assert caught.value.errno == errno.EEXIST


async def test_what_the_disk_says_is_an_os_error(tmp_path: Path) -> None:
    """`except OSError` catches a refusal of the local file system, with its errno."""
    with pytest.raises(OSError, match="no such directory") as caught:
        await Lab().get(tmp_path / "none" / "b.bin")
    assert isinstance(caught.value, LocalFileError)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="cannot be read") as caught:
        await Lab().client.verify(NAME, tmp_path / "none")
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("reader", [TokenFile, RulesFile, lambda path: Certificates(path).current(), upload_key])
def test_a_file_that_may_not_be_read_is_an_os_error(reader: Callable[[Path], object], tmp_path: Path) -> None:
    """Files of tokens, rules, certificates and keys that the disk refuses are errors with its errno, too."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/inside: .*not a directory$") as caught:
        reader(tmp_path / "file" / "inside")
    assert isinstance(caught.value, LocalFileError)
    assert caught.value.errno == errno.ENOTDIR


class Full:
    """A writer whose disk is full."""

    def write(self, data: object) -> int:
        """Raise the error of a full disk."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_what_a_writer_raises_keeps_its_number() -> None:
    """The errno of a writer's OSError is kept."""
    with pytest.raises(OSError, match="the writer refused") as caught:
        await Lab().client.get(NAME, Full())
    assert (type(caught.value), caught.value.errno) == (LocalFileError, errno.ENOSPC)


async def test_a_name_that_is_none_is_a_value_error() -> None:
    """`except ValueError` catches invalid arguments."""
    with pytest.raises(ValueError, match=r"\.\./a") as caught:
        await Lab().client.stat("../a")
    assert isinstance(caught.value, InvalidNameError)


@pytest.mark.parametrize("error", [LocalFileError("is a directory"), NotFoundError("no"), PermissionDeniedError("no")])
def test_an_error_of_ours_is_not_mapped_twice(error: Exception, tmp_path: Path) -> None:
    """Code that maps errors of the operating system passes errors of unspool unchanged, even if they are OSErrors."""
    for seam in (mapped_here(tmp_path), mapped_there("a")):
        with pytest.raises(type(error)) as caught, seam:
            raise error
        assert caught.value is error


async def test_a_stall_that_the_server_tells_of_is_not_called_ours() -> None:
    """A server's own DEADLINE_EXCEEDED is a StalledError too, and keeps its message."""

    async def told() -> None:
        raise StalledError("the proxy gave up")

    transfer = Lab().client._transfer(None, ())
    with pytest.raises(StalledError, match=r"^the proxy gave up$"):
        await transfer.bounded(told(), lambda: NAME)


async def test_a_whole_download_raises_nothing_that_asyncio_takes_for_its_own(tmp_path: Path) -> None:
    """A caller's own `asyncio.timeout` is not confused with an error of unspool that is a TimeoutError."""
    with pytest.raises(StalledError):
        async with asyncio.timeout(60):
            await Lab("z", budget=0).get(tmp_path / "b.bin")
    async with asyncio.timeout(60):
        await Lab().get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA
