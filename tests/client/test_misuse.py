"""Misuse is reported at once, as an error of unspool that says what to do: never an AttributeError, never a hang."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import unspool
from client.lab import NAME, Lab
from unspool import Client, MemoryStore, Server
from unspool.client.obspec import ObspecStore
from unspool.errors import InvalidRequestError
from unspool.options import TransferOptions
from unspool.testing import serve

ANYWHERE = "localhost:1"


class BytesPath:
    """A path made of bytes."""

    def __fspath__(self) -> bytes:
        return b"x"


@pytest.mark.parametrize("destination", [5, None, b"a.bin", object(), 1.5, ["a.bin"], BytesPath()])
async def test_what_is_no_destination_is_refused(destination: Any) -> None:
    """A destination that is neither a path nor a writer is refused without a request; the error shows it."""
    lab = Lab()
    with pytest.raises(InvalidRequestError, match=r"path"):
        await lab.client.get(NAME, destination)
    for method in (lab.client.get_tree, lab.client.verify):
        with pytest.raises(InvalidRequestError, match="not a path"):
            await method(NAME, destination)
    assert lab.starts == []


@pytest.mark.parametrize("name", [5, None, b"a.bin", Path("a.bin")])
async def test_what_is_no_name_is_refused(name: Any, tmp_path: Path) -> None:
    """The names of files and servers must be strings."""
    client = Lab().client
    for asking in (client.stat(name), client.get(name, tmp_path / "b"), client.read(name), anext(client.list(name))):
        with pytest.raises(InvalidRequestError, match="not a string"):
            await asking
    for make in (Client, lambda url: unspool.get(url, tmp_path / "b")):
        with pytest.raises(InvalidRequestError, match="not a string"):
            make(name)


@pytest.mark.parametrize(
    "value",
    [
        *({"on_change": "Fail"}, {"on_change": None}, {"jobs": 0}, {"jobs": -1}, {"block_size": 0}, {"block_size": -1}),
        *({"idle_timeout": 0}, {"idle_timeout": -1}, {"idle_timeout": float("nan")}, {"heartbeat_limit": 0.0}),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(value: dict[str, Any]) -> None:
    """The error names the option, before anything is asked: `on_change="Fail"` would mean `restart`, for instance."""
    with pytest.raises(InvalidRequestError, match=f"{next(iter(value))} is .*must be"):
        TransferOptions(**value)


UNKNOWN: dict[str, Callable[[Path], object]] = {
    "Client": lambda _: Client(ANYWHERE, tsl=True),  # type: ignore[call-arg]
    "get": lambda path: unspool.get(f"{ANYWHERE}/a", path, on_change="fail"),  # type: ignore[call-arg]
    "get_tree": lambda path: unspool.get_tree(ANYWHERE, path, overwrite=False),  # type: ignore[call-arg]
    "put": lambda path: unspool.put(path, f"{ANYWHERE}/a", if_missing=True),  # type: ignore[call-arg]
    "read": lambda _: unspool.read(f"{ANYWHERE}/a", offset=7),  # type: ignore[call-arg]
    "open": lambda _: unspool.open(f"{ANYWHERE}/a", mode="rb"),  # type: ignore[call-arg]
    "list": lambda _: next(unspool.list(ANYWHERE, depth=1)),  # type: ignore[call-overload]
    "ObspecStore": lambda _: ObspecStore(ANYWHERE, ca_file="ca.pem"),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("call", list(UNKNOWN))
def test_a_keyword_that_a_call_does_not_have_is_refused(call: str, tmp_path: Path) -> None:
    """A misspelt keyword is a TypeError, as of any Python function: to ignore it would be to do something else than asked."""
    (tmp_path / "b").touch()
    with pytest.raises(TypeError, match=r"unexpected keyword argument '\w+'"):
        UNKNOWN[call](tmp_path / "b")


async def test_a_text_file_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    """A writer in text mode is refused: at once if that can be seen, else at the first block."""
    lab = Lab()
    with (tmp_path / "b").open("w") as text, pytest.raises(InvalidRequestError, match="mode 'wb'"):
        await lab.client.get(NAME, text)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="mode 'wb'"):
        await lab.client.get(NAME, io.StringIO())  # type: ignore[arg-type]
    assert lab.starts == []
    with tempfile.NamedTemporaryFile("w") as wrapped, pytest.raises(InvalidRequestError, match="mode 'wb'"):
        await lab.client.get(NAME, wrapped)


async def test_a_writer_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    """A closed file, or one opened for reading, is an error of unspool, too."""
    (tmp_path / "b").touch()
    closed = (tmp_path / "b").open("wb")
    closed.close()
    with (tmp_path / "b").open("rb") as reader:
        for writer in (closed, reader):
            with pytest.raises(InvalidRequestError, match="the writer refused the bytes"):
                await Lab().client.get(NAME, writer)


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "stat": lambda client: client.stat("a"),
    "get": lambda client: client.get("a", "there"),
    "get-writer": lambda client: client.get("a", io.BytesIO()),
    "get_tree": lambda client: client.get_tree("", "there"),
    "read": lambda client: client.read("a"),
    "list": lambda client: anext(client.list()),
    "verify": lambda client: client.verify("a", "/dev/null"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dialect", ["unspool", "demo"])
async def test_a_closed_client_says_so(call: str, dialect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of a closed client is refused with advice, and creates nothing on the disk."""
    monkeypatch.chdir(tmp_path)
    client = Client(ANYWHERE, dialect=dialect)
    await client.aclose()
    await client.aclose()
    with pytest.raises(InvalidRequestError, match="was closed: make another one"):
        await CALLS[call](client)
    assert list(tmp_path.iterdir()) == []


async def in_a_loop_of_its_own(main: Callable[[], Awaitable[object]]) -> object:
    """Run a coroutine in another thread, in an event loop of its own."""

    async def run() -> object:
        return await main()

    return await asyncio.to_thread(asyncio.run, run())


async def test_a_client_belongs_to_the_loop_it_was_first_used_in() -> None:
    """A client that is used in a second event loop, after the first has ended or not, raises an error that says so."""
    async with serve(MemoryStore({"a": b"a"})) as address:
        client = Client(address)
        assert await in_a_loop_of_its_own(lambda: client.read("a")) == b"a"
        for call in ("stat", "read", "list"):
            with pytest.raises(InvalidRequestError, match="first used in an event loop that has ended: make a client for each"):
                await CALLS[call](client)
        await client.aclose()

        async with Client(address) as here:
            await here.read("a")
            for what in (lambda: here.read("a"), here.aclose):
                with pytest.raises(InvalidRequestError, match="first used in another event loop"):
                    await in_a_loop_of_its_own(what)


def test_a_client_that_outlives_its_loop_leaves_no_noise() -> None:
    """A program that does this ends soon with only our error, and prints nothing at exit."""
    program = (
        "import asyncio, unspool\n"
        "from unspool.testing import serve\n"
        "client = None\n"
        "async def first():\n"
        "    global client\n"
        "    async with serve(unspool.MemoryStore({'a': b'a'})) as address:\n"
        "        client = unspool.Client(address)\n"
        "        await client.read('a')\n"
        "asyncio.run(first())\n"
        "try:\n"
        "    asyncio.run(client.stat('a'))\n"
        "except unspool.UnspoolError as error:\n"
        "    print(type(error).__name__)\n"
        "asyncio.run(client.aclose())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "InvalidRequestError\n", "")


async def test_a_server_can_be_stopped_whatever_became_of_it() -> None:
    """Stopping a server that never listened, or was stopped, does nothing, so it may stand in a `finally`."""
    server = Server(MemoryStore({}))
    await server.stop()
    taken = Server(MemoryStore({}), await server.start())
    with pytest.raises(InvalidRequestError, match="cannot listen"):
        await taken.start()
    await taken.stop()
    await server.stop(0)
    await server.stop()


async def test_a_server_is_started_once() -> None:
    """Starting a server a second time is an error that says what to do."""
    server = Server(MemoryStore({}))
    await server.start()
    with pytest.raises(InvalidRequestError, match="started already: make another one"):
        await server.start()
    await server.stop(0)
    with pytest.raises(InvalidRequestError, match="stopped already: make another one"):
        await server.start()
