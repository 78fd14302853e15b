"""Several files at the same time: the cost of an unreachable server, and the number of connections."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from client.lab import content
from unspool.client import getmany
from unspool.client.client import Client
from unspool.client.events import Event, FileFailed, TreeAdvanced
from unspool.client.getmany import get_many
from unspool.client.results import Result
from unspool.client.treeresults import TreeResult
from unspool.core.address import Address
from unspool.core.retry import RetryPolicy
from unspool.errors import LocalFileError, UnreachableError, UnspoolError
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, FaultyTransport, StoreTransport


class Servers:
    """Several servers. Those whose name begins with `dead` do not answer. Counts the clients and the requests.

    Attributes:
        made: the servers for which clients were created, in order.
        open: the number of open clients now, and `most` at the same time.
        asked: transports of dead servers.
        events, ended: the events, and the results.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.made: list[str] = []
        self.open = self.most = 0
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.ended: dict[str, Result | UnspoolError] = {}
        self.options = TransferOptions(retry=RetryPolicy(budget=2), jobs=2)

    def connect(self, target: str) -> Client:
        """Create a client."""
        servers = self
        servers.made.append(target)
        servers.open += 1
        servers.most = max(servers.most, servers.open)

        class Counted(FaultyTransport):
            async def aclose(self) -> None:
                servers.open -= 1
                await super().aclose()

        script = "x" * 100 if target.startswith("dead") else ""
        transport = Counted(StoreTransport(MemoryStore(self.files)), script, clock=self.clock)
        return Client(transport=transport, clock=self.clock, random=Random(0))

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)

    async def get(self, *urls: str, into: Path) -> TreeResult:
        """Get files into a directory."""
        addresses = [Address(*url.split("/", 1)) for url in urls]
        files = [(address, into / f"{at}-{address.name}") for at, address in enumerate(addresses)]
        return await get_many(
            files, self.connect, self.options, self, lambda address, outcome: self.ended.update({str(address): outcome})
        )


async def test_connections_are_used_again(tmp_path: Path) -> None:
    """Ten files of two servers take at most one connection to each server for each job, and all are closed at the end."""
    servers = Servers({f"{number}": content(100 + number, number) for number in range(10)})
    result = await servers.get(*(f"{'ab'[number % 2]}/{number}" for number in range(10)), into=tmp_path)
    assert (result.files, result.fetched, result.failed) == (10, 10, 0)
    assert len(servers.made) <= 4
    assert servers.open == 0
    assert {str(number): (tmp_path / f"{number}-{number}").read_bytes() for number in range(10)} == servers.files


async def test_very_many_servers_do_not_take_very_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job keeps its most recently used connections and closes the others."""
    monkeypatch.setattr(getmany, "_MOST_SERVERS", 2)
    servers = Servers({"f": b"f"})
    await servers.get(*(f"s{number}/f" for number in range(30)), into=tmp_path)
    assert len(servers.made) == 30
    assert servers.most <= 4
    assert servers.open == 0


async def test_a_dead_server_costs_its_budget_once(tmp_path: Path) -> None:
    """If a server does not answer, its other files fail with the same error at once; files of other servers arrive."""
    servers = Servers({"f": b"f"})
    result = await servers.get(*["dead/f"] * 20, "alive/f", into=tmp_path)
    assert (result.files, result.fetched, result.failed) == (21, 1, 20)
    assert isinstance(servers.ended["dead/f"], UnreachableError)
    assert isinstance(servers.ended["alive/f"], Result)
    assert len([event for event in servers.events if isinstance(event, FileFailed)]) == 20
    assert len(servers.clock.slept) <= 2 * 2, "two jobs tried, twice again each"


async def test_a_finished_file_counts_once(tmp_path: Path) -> None:
    """No event counts the bytes of a file twice, also at the moment when the file is finished."""
    servers = Servers({"a": content(100), "b": content(200)})
    await servers.get("s/a", "s/b", into=tmp_path)
    await servers.get("s/a", "s/b", into=tmp_path)
    told = [event for event in servers.events if isinstance(event, TreeAdvanced)]
    assert max(event.good for event in told) == 300
    assert max(event.kept for event in told) == 300, "in the second run both files are here"


async def test_progress_counts_all_files(tmp_path: Path) -> None:
    """The last event has all files and bytes; the total is known once the size of every file is known."""
    servers = Servers({"a": content(100), "b": content(200)})
    await servers.get("s/a", "s/b", "s/missing", into=tmp_path)
    *_, last = [event for event in servers.events if isinstance(event, TreeAdvanced)]
    assert (last.files, last.listed_files, last.good, last.listed_bytes, last.listed_all) == (3, 3, 300, 300, True)


async def test_a_disk_that_refuses_everything_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk ends the run instead of failing file by file."""
    monkeypatch.setattr(getmany, "ends_everything", lambda _: True)
    servers = Servers({"f": b"f"})
    (tmp_path / "0-f").mkdir()
    with pytest.raises(LocalFileError):
        await servers.get("s/f", "s/f", "s/f", into=tmp_path)
    assert servers.open == 0
