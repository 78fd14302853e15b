"""`unspool.v1.AdminService`: which calls a server is answering, told to those who may know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.uploading import uploader
from unspool import Client, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.access import TokenFile
from unspool.client.running import running
from unspool.core.access import Authenticate, Authorize, Extent, Principal, Right, Verdict
from unspool.core.rules import parse_rules
from unspool.core.running import Running, RunningCall
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.errors import PermissionDeniedError, UnauthenticatedError, UnreachableError, UnsupportedError
from unspool.ingest.memory import MemoryIngester
from unspool.options import Security
from unspool.server.entry import Asked, Call, Method, Sent
from unspool.server.running import RunningCalls
from unspool.server.siblings import Siblings
from unspool.testing import FaultyStore

ALICE, BOB = write_token(b"a" * 32), write_token(b"b" * 32)

FILES = {"a/1": b"1" * 100, "b/2": b"2" * 100}

RULES = """\
[[rule]]
prefix = ""
who = "alice"
may = ["read", "watch"]

[[rule]]
prefix = "b"
who = "alice"
may = "read"

[[rule]]
prefix = "b"
who = "bob"
may = "watch"
"""


@pytest.fixture
def known(tmp_path: Path) -> TokenFile:
    """Return what knows the tokens of alice and bob."""
    listed = [ListedToken("alice", digest_of(ALICE), 0), ListedToken("bob", digest_of(BOB), 0)]
    (tmp_path / "tokens").write_text("".join(f"{one.line()}\n" for one in listed))
    return TokenFile(tmp_path / "tokens")


@asynccontextmanager
async def held_up(
    authenticate: Authenticate | None = None, authorize: Authorize | None = None
) -> AsyncGenerator[tuple[Server, FaultyStore], None]:
    """Run a server whose reads wait, with a read of each file by alice."""
    store = FaultyStore(MemoryStore(FILES))
    options = ServerOptions(service=ServiceOptions(dialects=("unspool", "admin")), grace=0)
    async with (
        Server(store, options=options, authenticate=authenticate, authorize=authorize) as server,
        Client(server.address, token=ALICE if authenticate else None) as client,
        asyncio.TaskGroup() as group,
    ):
        store.pause()
        reads = [group.create_task(client.read(name)) for name in FILES]
        while store.open_files < len(FILES):
            await asyncio.sleep(0.001)
        yield server, store
        store.resume()
        for read in reads:
            await read


async def once(server: Server, token: str | None = None) -> Running:
    """Ask once."""
    (said,) = [one async for one in running(server.address, None, Security(token=token))]
    return said


async def test_a_call_is_told_with_who_and_how_far() -> None:
    """Each running call is told with its file, its caller, its transfer and its bytes; the watching call is not among them."""
    async with held_up() as (server, _):
        said = await once(server)
        (first, second) = sorted(said.calls, key=lambda call: call.name)
        assert (said.left_out, said.workers, said.silent) == (0, 1, 0)
        assert (first.method, first.name, first.attempt, first.sent, first.stalled) == ("ReadFile", "a/1", 1, 0, False)
        assert first.transfer_id != second.transfer_id
        assert first.id != second.id
        assert first.peer.startswith("ipv4:127.0.0.1:")
        assert 0 < first.seconds < 60
    assert second.name == "b/2"


async def test_a_right_below_a_prefix_shows_what_is_there(known: TokenFile) -> None:
    """A caller sees the calls for names that it may watch: the longest prefix decides. Without any, it is denied."""
    async with held_up(known, parse_rules(RULES, "rules")) as (server, _):
        assert [call.name for call in (await once(server, ALICE)).calls] == ["a/1"]
        (seen,) = (await once(server, BOB)).calls
        assert (seen.name, seen.principal) == ("b/2", "alice")
        with pytest.raises(UnauthenticatedError, match="may watch this"):
            await once(server)
    rules = parse_rules(RULES.replace("watch", "list"), "rules")
    async with held_up(known, rules) as (server, _):
        with pytest.raises(PermissionDeniedError, match="alice may not watch this"):
            await once(server, ALICE)


async def test_a_right_that_is_taken_away_ends_the_answers() -> None:
    """Whoever loses the right to what it watches sees it in no further answer; without any right the stream ends."""

    class Changing:
        def __init__(self) -> None:
            self.version = 0
            self.rules = parse_rules(RULES.replace('"alice"', '"@anyone"'), "rules")

        def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
            return self.rules(who, right, name)

        def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
            return self.rules.extent(who, right, prefix)

        def become(self, old: str, new: str) -> None:
            self.rules = parse_rules(RULES.replace('"alice"', '"@anyone"').replace(old, new), "rules")
            self.version += 1

    rules = Changing()
    async with held_up(authorize=rules) as (server, _), aclosing(running(server.address, 0.5, Security())) as several:
        assert [call.name for call in (await anext(several)).calls] == ["a/1"]
        rules.become('prefix = ""', 'prefix = "b"')  # nothing but b, where the right comes from two rules
        assert [call.name for call in (await anext(several)).calls] == ["b/2"]
        rules.become("watch", "list")
        with pytest.raises(UnauthenticatedError, match="may watch this"):
            await anext(several)


async def test_calls_are_told_again_until_the_server_drains() -> None:
    """With an interval, answers come again and again, and show what ended; a drain ends the stream and asks to come back."""
    async with held_up() as (server, store), aclosing(running(server.address, 0.5, Security())) as several:
        assert len((await anext(several)).calls) == 2
        store.resume()
        while (await anext(several)).calls:
            pass
        server._service._streams.drain()
        with pytest.raises(UnreachableError, match="going away"):
            await anext(several)


async def test_without_the_dialect_nothing_is_told() -> None:
    """A server tells nothing unless asked to when it is made."""
    async with Server(MemoryStore()) as server:
        with pytest.raises(UnsupportedError, match="does not tell which calls"):
            await once(server)


class Lab:
    """The calls of a process, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = RunningCalls(worker=7, clock=lambda: self.now)

    def begin(self, method: str, asked: Asked) -> tuple[Call, Callable[[], None]]:
        """Begin a call; return it and what ends it."""
        kind = Method(method, bytes, lambda _: asked, cast(Any, None))
        call = Call(kind, cast(Any, SimpleNamespace(peer=lambda: "unix:")))
        end = self.calls.begin(call)
        call.asked = asked
        return call, lambda: end(cast(Any, None))


async def test_spans_batches_rates_and_stalls() -> None:
    """The span is known from the header on; a batch counts its files; a rate is at first that since the beginning."""
    lab = Lab()
    call, end = lab.begin("ReadFile", Asked(("x" * 1000,), 5))
    batch, _ = lab.begin("ReadFiles", Asked(("a", "b", "c"), batch=True))
    lab.begin("ListFiles", Asked(("models",)))
    waiting, _ = lab.begin("ReadFile", Asked(()))
    lab.now = 0.5
    call.served[0] = "r1", (5, 105)
    call.bytes = 50
    batch.sent[0] = Sent()
    one, two, three, four = lab.calls.now().calls
    assert (one.id, len(one.name), one.start, one.length, one.sent, one.rate, one.seconds) == ("7-1", 299, 5, 100, 50, 100, 0.5)
    assert (two.name, two.files, two.files_begun, two.length) == ("a", 3, 1, None)
    assert (three.name, three.files, four.name, waiting.caller.peer) == ("models", 0, "", "unix:")
    for lab.now in (10.0, 21.0):
        lab.calls._tick()
    assert [seen.stalled for seen in lab.calls.now().calls] == [True, True, False, True]
    assert lab.calls.now().calls[0].rate < 5
    end()
    assert [seen.id for seen in lab.calls.now().calls] == ["7-2", "7-3", "7-4"]
    assert lab.calls._timer is not None
    lab.calls._timer.cancel()


async def test_workers_tell_each_other_and_count_who_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker tells the calls of all; one that is not there, hangs or says nonsense is counted, and no more."""

    def mine(number: int) -> Callable[[], Running]:
        return lambda: Running((RunningCall(f"{number}-1", "ReadFile", seconds=number),))

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff")
        writer.close()
        await writer.wait_closed()

    gone = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    (tmp_path / "1").write_bytes(b"")  # left by the one before
    async with Siblings(tmp_path, 1, 3) as one, Siblings(tmp_path, 2, 3) as two:
        ask = one.with_mine(mine(1))
        two.with_mine(mine(2))
        said = await ask()
        assert ([call.id for call in said.calls], said.workers, said.silent) == (["2-1", "1-1"], 3, 1)
        async with await asyncio.start_unix_server(nonsense, tmp_path / "3"):
            assert await ask() == said
        monkeypatch.setattr("unspool.server.siblings._ANSWER", 0.05)
        async with await asyncio.start_unix_server(silence, tmp_path / "3"):
            assert await ask() == said
            await gone.wait()
    async with Siblings(tmp_path / "nowhere", 1, 2) as alone:
        assert (await alone.everywhere()).silent == 1


async def test_an_upload_is_shown_with_what_is_to_come_of_it() -> None:
    """Of an upload that goes on, the first byte that is missing, how many are, and how many have come."""
    store = MemoryStore()
    options = ServerOptions(service=ServiceOptions(dialects=("unspool", "admin")), grace=0)
    async with Server(store, options=options, ingester=MemoryIngester(store)) as server:
        for start in (0, 100):
            async with uploader(server.address, "up.bin") as one:
                await one.open(size=1000, attempt=2, transfer_id="t")
                await one.block(start, bytes(100))
                call = None
                while call is None or not call.sent:
                    (said,) = [one async for one in running(server.address, None, Security())]
                    call = next((call for call in said.calls if call.method == "WriteFile"), None)
                assert (call.name, call.start, call.length, call.sent, call.attempt) == ("up.bin", start, 1000 - start, 100, 2)
                await one.end()
