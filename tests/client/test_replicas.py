"""Several replicas: a transfer that fails at one goes on at another, at the same byte and the same revision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from client.lab import BLOCK, DATA, NAME, NEW, Lab, Wrapper
from unspool.client.client import Client
from unspool.client.events import Restarting, Retrying
from unspool.client.replicas import ReplicaConnections, Route
from unspool.client.transport import Transport
from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.core.replicas import Replicas
from unspool.errors import ConnectError, FileChangedError, NotFoundError, OverloadedError, UnreachableError, UnspoolError
from unspool.stores import MemoryStore

REST = len(DATA) - 4 * BLOCK


class Replica(Wrapper):
    """A replica, which refuses all calls with `error` while that is set. Counts the calls."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner)
        self.error: UnspoolError | None = None
        self.calls = 0

    def _be_here(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        self._be_here()
        return await self.inner.stat(name)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        self._be_here()
        async for page in self.inner.list(request):
            yield page

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self._be_here()
        async for frame in super().read(request):
            yield frame

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        self._be_here()
        async for message in super().read_files(request):
            yield message


class Set:
    """Labs as the replicas `a:1`, `b:1`, ... of one client, with the clock of the first one."""

    def __init__(self, *labs: Lab, **options: Any) -> None:
        self.first = labs[0]
        self.replicas = [Replica(lab.transport) for lab in labs]
        self.servers = {f"{letter}:1": replica for letter, replica in zip("abc", self.replicas, strict=False)}
        connections = ReplicaConnections(",".join(self.servers), Replicas(self.servers), self.servers.__getitem__)
        self.client = Client(transport=connections, clock=self.first.clock, options=self.first.options)

    async def get(self, destination: Path) -> Any:
        """Download the file, as the first lab observes."""
        return await self.client.get(NAME, destination, observers=[self.first])


def changed() -> MemoryStore:
    """Return what a replica has that got the new file already."""
    store = MemoryStore({NAME: DATA})
    store.put(NAME, NEW)
    return store


def refused(name: str) -> ConnectError:
    """Return the error of a replica that does not listen."""
    return ConnectError(f"{name}: nobody listens there")


@pytest.mark.parametrize("fault", ["x", "E", "!", "z"])
async def test_a_download_goes_on_at_another_replica(tmp_path: Path, fault: str) -> None:
    """After a fault in mid-stream another replica sends the rest, at once, and no byte is fetched twice."""
    labs = Lab("...." + fault), Lab()
    replicas = Set(*labs)
    result = await replicas.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert result.attempts == 2
    assert result.servers == {"a:1": 4 * BLOCK, "b:1": REST}
    assert [retry.wait for retry in labs[0].told(Retrying)] == [0.0]


async def test_all_replicas_are_tried_before_the_budget_is(tmp_path: Path) -> None:
    """A round of failures at all of them counts as one attempt without progress: with a budget of 2 there are two rounds."""
    labs = Lab(budget=2), Lab(), Lab()
    replicas = Set(*labs)
    await replicas.client.stat(NAME)
    for name, replica in replicas.servers.items():
        replica.error, replica.calls = UnreachableError(f"{name}: gone"), 0
    with pytest.raises(UnreachableError):
        await replicas.get(tmp_path / "b.bin")
    assert [replica.calls for replica in replicas.replicas] == [2, 2, 2]
    assert len([retry for retry in labs[0].told(Retrying) if retry.wait]) == 1


async def test_a_replica_that_was_never_there_costs_nothing_but_a_try(tmp_path: Path) -> None:
    """Although no server has answered before, a refused connection sends the client to the next replica, at once."""
    labs = Lab(), Lab()
    replicas = Set(*labs)
    replicas.replicas[0].error = refused("a:1")
    result = await replicas.get(tmp_path / "b.bin")
    assert (result.servers, result.attempts) == ({"b:1": len(DATA)}, 2)
    assert labs[0].clock.slept == []


async def test_replicas_that_were_never_there_are_all_named() -> None:
    """If no replica answers at first contact, the call fails at once, and the error says what is wrong with each."""
    replicas = Set(Lab(), Lab())
    for name, replica in replicas.servers.items():
        replica.error = refused(name)
    with pytest.raises(ConnectError, match="a:1: nobody listens there; b:1: nobody listens there"):
        await replicas.client.stat(NAME)
    assert replicas.first.clock.slept == []


async def test_the_client_remembers_who_is_well() -> None:
    """After one call has found a replica gone, others do not begin there, until its rest is over."""
    labs = Lab(), Lab()
    replicas = Set(*labs)
    gone = replicas.replicas[0]
    gone.error = refused("a:1")
    for _ in range(4):
        await replicas.client.stat(NAME)
    assert gone.calls == 1
    gone.error = None
    await labs[0].clock.sleep(1.0)
    await replicas.client.stat(NAME)
    assert gone.calls == 2


async def test_a_caller_that_leaves_says_nothing_of_the_server() -> None:
    """A call that is cancelled ends the attempt, and a replica that did not answer before is not well because of it."""
    known = Replicas(["a:1", "b:1"])
    servers = {"a:1": Lab().transport, "b:1": Lab().transport}
    lab = Lab()
    route = Route(ReplicaConnections("a:1,b:1", known, servers.__getitem__), lab.clock, set())
    await route.begin()
    assert route.server == "a:1"
    known.failed("a:1", UnreachableError("gone"), lab.clock.monotonic())
    route.end(asyncio.CancelledError())
    assert [known.begin(lab.clock.monotonic()) for _ in range(3)] == ["b:1"] * 3


async def test_an_overloaded_replica_is_left_alone(tmp_path: Path) -> None:
    """The transfer goes on elsewhere at once, and comes back not before the server wants it."""
    labs = Lab(), Lab()
    replicas = Set(*labs)
    replicas.replicas[0].error = OverloadedError("later", retry_after=20.0)
    await replicas.get(tmp_path / "b.bin")
    replicas.replicas[0].error = None
    calls = replicas.replicas[0].calls
    await labs[0].clock.sleep(19.0)
    await replicas.client.stat(NAME)
    await replicas.client.stat(NAME)
    assert replicas.replicas[0].calls == calls
    await labs[0].clock.sleep(1.5)
    await replicas.client.stat(NAME)
    assert replicas.replicas[0].calls == calls + 1


async def test_calls_at_the_same_time_are_spread_over_the_replicas() -> None:
    """Each begins at the replica with the fewest running attempts."""
    replicas = Set(Lab(), Lab(), Lab())
    await asyncio.gather(*(replicas.client.read(NAME) for _ in range(6)))
    assert [replica.calls for replica in replicas.replicas] == [2, 2, 2]


# Revisions


async def test_a_transfer_stays_with_its_revision(tmp_path: Path) -> None:
    """When its replica gets a new file, the transfer asks the others for the revision it has pinned, and goes on there."""
    labs = Lab("....v"), Lab()
    result = await Set(*labs).get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert (result.restarts, result.without) == (0, ("a:1",))
    assert result.servers == {"a:1": 5 * BLOCK, "b:1": REST - BLOCK}


async def test_a_replica_that_is_behind_does_not_take_part(tmp_path: Path) -> None:
    """When the connection breaks, a replica with another revision is asked and left, and the transfer goes on at a third."""
    labs = Lab("....x"), Lab(store=changed()), Lab()
    replicas = Set(*labs)
    replicas.replicas[0].error = None
    result = await replicas.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert (result.restarts, result.without) == (0, ("b:1",))
    assert result.servers == {"a:1": 4 * BLOCK, "c:1": REST}


async def test_a_revision_that_no_replica_has_any_more_is_given_up_once(tmp_path: Path) -> None:
    """Then the download begins again with what is there, once, and the event says that all were asked."""
    labs = Lab("....v"), Lab(store=changed())
    result = await Set(*labs).get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == NEW
    assert (result.restarts, result.without) == (1, ())
    (restart,) = labs[0].told(Restarting)
    assert "2 servers of 2 answered so" in restart.error.message


async def test_a_replica_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """While the only replica with the pinned revision is away for a moment, the transfer does not begin again elsewhere."""
    labs = Lab("....x"), Lab(store=changed())
    replicas = Set(*labs)
    result = await replicas.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert result.restarts == 0
    assert result.servers == {"a:1": len(DATA)}


async def test_a_replica_that_stays_away_takes_its_revision_along(tmp_path: Path) -> None:
    """When the budget is spent and the others have another revision, the download begins again, and says why."""
    labs = Lab("....x", budget=3), Lab(store=changed())
    replicas = Set(*labs)

    def notify(event: object) -> None:
        labs[0].events.append(event)  # type: ignore[arg-type]
        if isinstance(event, Retrying):
            replicas.replicas[0].error = UnreachableError("a:1: gone")

    watching = type("Watching", (), {"notify": staticmethod(notify)})()
    result = await replicas.client.get(NAME, tmp_path / "b.bin", observers=[watching])
    assert (tmp_path / "b.bin").read_bytes() == NEW
    assert result.restarts == 1
    (restart,) = labs[0].told(Restarting)
    assert "1 server of 2 answered so, and 1 other cannot be asked" in restart.error.message


async def test_a_change_may_be_an_error(tmp_path: Path) -> None:
    """With `on_change="fail"` the download ends when no replica has the revision, not before."""
    labs = Lab("....v", on_change="fail"), Lab(store=changed())
    with pytest.raises(FileChangedError, match="2 servers of 2"):
        await Set(*labs).get(tmp_path / "b.bin")
    labs = Lab("....v", on_change="fail"), Lab()
    assert (await Set(*labs).get(tmp_path / "c.bin")).size == len(DATA)


async def test_a_file_that_one_replica_has_is_found(tmp_path: Path) -> None:
    """A replica that does not have the file yet is passed over; only if none has it, it is not found."""
    labs = Lab(store=MemoryStore({})), Lab()
    assert (await Set(*labs).get(tmp_path / "b.bin")).size == len(DATA)
    with pytest.raises(NotFoundError):
        await Set(Lab(store=MemoryStore({})), Lab(store=MemoryStore({}))).get(tmp_path / "c.bin")


async def test_a_missing_file_is_reported_although_a_replica_is_away() -> None:
    """Nobody waits for a replica that is away to say that a name does not exist, either."""
    replicas = Set(Lab(), Lab(store=MemoryStore({})))
    replicas.replicas[0].error = UnreachableError("a:1: gone")
    with pytest.raises(NotFoundError):
        await replicas.client.stat(NAME)
    assert replicas.first.clock.slept == []


async def test_a_download_is_resumed_at_another_replica(tmp_path: Path) -> None:
    """The part file of a download from one server, or list, is taken up from another that has the revision."""
    broken = Lab("....x", budget=0)
    with pytest.raises(UnreachableError):
        await broken.get(tmp_path / "b.bin")
    result = await Set(Lab(), Lab()).get(tmp_path / "b.bin")
    assert (result.resumed_from, result.bytes_received) == (4 * BLOCK, REST)
