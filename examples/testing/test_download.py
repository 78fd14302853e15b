"""Tests of a program that downloads, with a real server on loopback, whose files and faults a test sets.

    pytest examples/testing

Copy the fixture into your conftest.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import unspool
from unspool import MemoryStore
from unspool.errors import DataLossError, NotFoundError, ServerError
from unspool.testing import FaultyStore, serve


@dataclass(frozen=True)
class FileServer:
    """A running server.

    Attributes:
        address: `HOST:PORT`.
        files: what it serves: `files.put("a.bin", b"...")`.
        faults: makes reads fail: `faults.fail(error, at=1000)`, `faults.cut_short(at=1000)`.
    """

    address: str
    files: MemoryStore
    faults: FaultyStore


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """Run a server in a thread, so that blocking code can be tested, too."""
    files = MemoryStore()
    faults = FaultyStore(files)
    loop = asyncio.new_event_loop()
    server = serve(faults)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    address = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
    yield FileServer(address, files, faults)
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


MODEL = bytes(range(256)) * 4096


def fetch_model(server: str, name: str, directory: Path) -> Path:
    """Stand for your program: fetch a model unless it is there, and return its path."""
    path = directory / "model.bin"
    unspool.get(f"{server}/{name}", path)
    return path


def test_a_model_arrives(file_server: FileServer, tmp_path: Path) -> None:
    """The program gets the file that the test has put there."""
    file_server.files.put("models/a", MODEL)
    assert fetch_model(file_server.address, "models/a", tmp_path).read_bytes() == MODEL


def test_a_server_that_fails_is_asked_again(file_server: FileServer, tmp_path: Path) -> None:
    """A read that fails in the middle goes on from there, and the program notices nothing."""
    file_server.files.put("models/a", MODEL)
    file_server.faults.fail(ServerError("restarting"), at=500_000)
    assert fetch_model(file_server.address, "models/a", tmp_path).read_bytes() == MODEL


def test_damage_leaves_no_model(file_server: FileServer, tmp_path: Path) -> None:
    """If the server has lost bytes, the program fails, and there is no file that could be mistaken for a model."""
    file_server.files.put("models/a", MODEL)
    file_server.faults.fail(DataLossError("the disk is broken"), at=500_000)
    with pytest.raises(DataLossError):
        fetch_model(file_server.address, "models/a", tmp_path)
    assert not (tmp_path / "model.bin").exists()


def test_a_missing_model_is_told(file_server: FileServer, tmp_path: Path) -> None:
    """If there is no such file, the program fails by name."""
    with pytest.raises(NotFoundError, match="models/b"):
        fetch_model(file_server.address, "models/b", tmp_path)
