"""How a client is created: targets, event loops and observers."""

from __future__ import annotations

import asyncio
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from unspool import Client, MemoryStore, RetryPolicy, TransferOptions
from unspool.client.events import Event, Started, TransferBegan, TransferEnded, TreeAdvanced
from unspool.core.address import DEFAULT_PORT, parse_server
from unspool.errors import InvalidRequestError
from unspool.server.report import CallEnd
from unspool.testing import Recorder, serve

DATA = b"some bytes"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("localhost", f"localhost:{DEFAULT_PORT}"),
        ("localhost:1234", "localhost:1234"),
        ("unspool://localhost", f"localhost:{DEFAULT_PORT}"),
        ("unspool://localhost:1234/", "localhost:1234"),
        ("[::1]", f"[::1]:{DEFAULT_PORT}"),
        ("unspool://[::1]:1234", "[::1]:1234"),
        ("unix:/run/unspool.sock", "unix:/run/unspool.sock"),
        ("unix:///run/unspool.sock", "unix:///run/unspool.sock"),
        ("dns:///files.example:1234", "dns:///files.example:1234"),
        ("dns:1234", "dns:1234"),
        ("ipv4:127.0.0.1:1234", "ipv4:127.0.0.1:1234"),
    ],
)
def test_a_server_is_named_as_on_the_command_line(text: str, target: str) -> None:
    """A target may have a scheme, a port, and an IPv6 host in brackets; gRPC's own target names are accepted."""
    assert parse_server(text) == target


@pytest.mark.parametrize(
    "text", ["", ":1", "localhost:port", "http://localhost", "localhost/a.bin", "::1", "[::1", "localhost:99999"]
)
def test_what_names_no_server_is_told_at_once(text: str) -> None:
    """An invalid target is an error when the client is created."""
    with pytest.raises(InvalidRequestError):
        Client(text)


def test_a_client_may_be_made_where_no_loop_runs() -> None:
    """The client connects at the first call, in its event loop, so a module may create it before `asyncio.run`."""

    async def use(client: Client, address: str) -> bytes:
        async with client:
            assert client.options.jobs is None
            return await client.read("a")

    async def main() -> bytes:
        async with serve(MemoryStore({"a": DATA})) as address:
            made = await asyncio.to_thread(lambda: Client(f"unspool://{address}"))  # in a thread that has no loop
            return await use(made, address)

    assert asyncio.run(main()) == DATA


def test_making_a_client_starts_nothing() -> None:
    """A client that is never used can be dropped without an event loop, and leaves nothing behind."""
    program = "import unspool; unspool.Client('localhost:1'); unspool.Client('localhost:1', dialect='demo')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_client_that_was_never_used_can_be_closed() -> None:
    """A client that is made and closed does not connect."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with Client(f"127.0.0.1:{server.getsockname()[1]}"):
            pass
        assert select.select([server], [], [], 0) == ([], [], [])


async def test_observers_are_told_in_their_order(tmp_path: Path) -> None:
    """The client's observers are notified before those of the call. Events have the transfer id of the server's log."""
    always, once = Recorder[Event](), Recorder[Event]()
    ended = Recorder[CallEnd]()
    store = MemoryStore({"a": DATA, "b": DATA})
    async with serve(store, observers=[ended]) as address, Client(address, observers=[always]) as client:
        await client.get("a", tmp_path / "a")
        await client.get("b", tmp_path / "b", observers=[once])
    assert [event for event in always if event.transfer == once[0].transfer] == once
    names = {event.transfer: event.name for event in always if isinstance(event, Started)}
    assert {end.transfer_id: end.name for end in ended} == names
    assert sorted(names.values()) == ["a", "b"]


async def test_a_trees_events_say_of_which_transfer_they_are(tmp_path: Path) -> None:
    """Events of a tree have the id of its listing; events of a file's own download have another id."""
    told = Recorder[Event]()
    files = {"small": DATA, "large": bytes((1 << 20) + 1)}
    options = TransferOptions(retry=RetryPolicy(budget=1))
    async with serve(MemoryStore(files)) as address, Client(address, options=options) as client:
        await client.get_tree("", tmp_path / "tree", observers=[told])
    assert len({event.transfer for event in told if isinstance(event, TreeAdvanced)}) == 1
    began = {event.transfer: (event.call, event.name) for event in told if isinstance(event, TransferBegan)}
    assert sorted(began.values()) == [("batch", ""), ("get", "large"), ("get_tree", "")]
    assert {event.transfer for event in told} == set(began)
    assert {event.transfer: event.outcome for event in told if isinstance(event, TransferEnded)} == dict.fromkeys(began, "OK")


def test_the_transport_protocol_loads_no_grpc() -> None:
    """A transport of one's own can be written without importing gRPC."""
    program = "import sys, unspool.client.transport; sys.exit('grpc' in sys.modules or 'google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
