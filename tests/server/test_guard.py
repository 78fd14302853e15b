"""Authentication and authorization: they decide before the store gets a request, for every method, and again during streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.test_entry import EVERY_DIALECT, call, registering
from unspool import Client, LimitOptions, MemoryStore, RetryPolicy, Server, ServerOptions, ServiceOptions, TransferOptions
from unspool.access import RulesFile, TokenFile
from unspool.answers.refused import with_refused
from unspool.core.access import Credentials, Extent, Principal, Right, Verdict
from unspool.core.model import BatchRequest, FileInfo, ListRequest, NamedSpan, Omission, Page, Piece, WantedFile
from unspool.core.rules import parse_rules
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.core.uploading import NewFile, UploadOpen, UploadRequest
from unspool.errors import (
    AccessError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnspoolError,
)
from unspool.rpc import batchwire, wire, writewire
from unspool.server.guard import _is_here
from unspool.server.report import CallEnd
from unspool.server.streams import Streams
from unspool.stores import OpenFile, SmallFile
from unspool.stores.local import LocalStore
from unspool.testing import Recorder

ALICE, BOB = write_token(b"a" * 32), write_token(b"b" * 32)

ONCE = TransferOptions(retry=RetryPolicy(budget=1))

MIB = 1 << 20


def client(server: Server, token: str | None = None) -> Client:
    """Return a client that sends a token, and tries once."""
    return Client(server.address, options=ONCE, metadata=[("authorization", f"Bearer {token}")] if token else ())


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Return a file that lists the tokens of alice and bob."""
    path = tmp_path / "tokens"
    listed = [ListedToken("alice", digest_of(ALICE), 0), ListedToken("bob", digest_of(BOB), 0)]
    path.write_text("".join(f"{one.line()}\n" for one in listed))
    return path


RULES = """\
[[rule]]
prefix = "a"
who = "alice"
may = ["list", "read"]

[[rule]]
prefix = "a/b"
who = "bob"
may = ["list", "read"]

[[rule]]
prefix = "open"
who = "@anyone"
may = "read"
"""

FILES = {"a/1": b"1", "a/2": b"22", "a/b/3": b"333", "c/4": b"4444", "open/5": b"55555", "6": b"666666"}


class Untouched:
    """A store that must not be called."""

    async def stat(self, name: str) -> FileInfo:
        """Fail the test."""
        raise AssertionError(name)

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """Fail the test."""
        raise AssertionError(name)

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """Fail the test."""
        raise AssertionError(names)

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """Fail the test."""
        raise AssertionError(wanted)

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Fail the test."""
        raise AssertionError(request.prefix)
        yield Page()

    async def aclose(self) -> None:
        """Do nothing."""


REQUESTS = {
    "/unspool.v1.FileService/StatFile": wire.encode_stat_request("a"),
    "/unspool.v1.FileService/ReadFile": b"\n\x01a",
    "/unspool.v1.FileService/ListFiles": wire.encode_list_request(ListRequest("a")),
    "/unspool.v1.FileService/ReadFiles": batchwire.encode_batch_request(BatchRequest((WantedFile("a"),))),
    "/unspool.v1.FileService/WriteFile": writewire.encode_upload_request(UploadRequest(UploadOpen(bytes(16), "a"))),
    "/unspool.v1.FileService/WriteFiles": writewire.encode_new_files([NewFile("a", b"", 0)]),
    "/unspool.v1.FileService/StatUpload": writewire.encode_upload_name(bytes(16), "a"),
    "/unspool.v1.FileService/AbandonUpload": writewire.encode_upload_name(bytes(16), "a"),
    "/unspool.v1.FileService/DeleteFile": b"\n\x01a",
    "/unspool.v1.FileService/StatStorage": b"\n\x01a",
    "/demo.Files/GetFile": b"\n\x01a",
    "/google.bytestream.ByteStream/Read": b"\n\x01a",
    "/google.bytestream.ByteStream/Write": b"\n\x01a",
    "/google.bytestream.ByteStream/QueryWriteStatus": b"\n\x01a",
    "/unspool.v1.AdminService/WatchCalls": b"",
}
"""A request for the name `a`, for each method that takes one."""

NEEDS = {
    "ListFiles": ("list", "a"),
    "WatchCalls": ("watch", ""),
    "WriteFile": ("write", "a"),
    "WriteFiles": ("write", "a"),
    "StatUpload": ("write", "a"),
    "AbandonUpload": ("write", "a"),
    "DeleteFile": ("delete", "a"),
    "StatStorage": ("write", "a"),
    "Write": ("write", "a"),
    "QueryWriteStatus": ("write", "a"),
}
"""The right that a method needs, and to what, if it is not to read `a`."""


@pytest.mark.parametrize(
    ("who", "code"), [(None, grpc.StatusCode.UNAUTHENTICATED), (Principal(("alice",)), grpc.StatusCode.PERMISSION_DENIED)]
)
async def test_every_method_asks_before_the_store_is_asked(
    monkeypatch: pytest.MonkeyPatch, who: Principal | None, code: grpc.StatusCode
) -> None:
    """Each registered method of each dialect is refused by the right that it needs, and the store is not called."""
    asked: list[tuple[Right, str]] = []

    def nobody(caller: Principal | None, right: Right, name: str) -> Verdict:
        assert caller == who
        asked.append((right, name))
        return Verdict(allowed=False)

    ended = Recorder[CallEnd]()
    options = ServerOptions(service=EVERY_DIALECT)
    untouched: Any = Untouched()
    server = Server(
        untouched, options=options, observers=[ended], authenticate=lambda _: who, authorize=nobody, ingester=untouched
    )
    async with registering(monkeypatch, server) as methods:
        assert {method.path for method in methods} == set(REQUESTS)
        for method in methods:
            asked.clear()
            said = await call(server.address, method, REQUESTS[method.path])
            assert set(asked) == {NEEDS.get(method.path.rpartition("/")[2], ("read", "a"))}
            # The files of a batch are refused one by one.
            assert said is (grpc.StatusCode.OK if method.path.endswith(("ReadFiles", "WriteFiles")) else code)
    assert {end.bytes for end in ended} == {0}
    assert {end.principal for end in ended} == {"" if who is None else "alice"}


async def test_who_cannot_be_identified_is_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method refuses an invalid token, whatever else was sent, even if rules allow anyone."""

    def refusing(shown: Credentials) -> Principal:
        raise UnauthenticatedError("no")

    options = ServerOptions(service=EVERY_DIALECT)
    server = Server(Untouched(), options=options, authenticate=refusing, authorize=lambda *_: Verdict(allowed=True))
    async with registering(monkeypatch, server) as methods:
        for method in methods:
            assert await call(server.address, method, b"\xff no message") is grpc.StatusCode.UNAUTHENTICATED


async def test_with_tokens_alone_whoever_has_one_may_do_everything(tokens: Path) -> None:
    """Without rules, a token allows everything, and without a token nothing is allowed."""
    async with Server(MemoryStore(FILES), authenticate=TokenFile(tokens)) as server:
        async with client(server, ALICE) as alice:
            assert await alice.read("c/4") == b"4444"
            assert {entry.name async for entry in alice.list("", recursive=True)} == set(FILES)
        async with client(server) as nobody:
            for refused in (nobody.read("c/4"), nobody.stat("nothing")):
                with pytest.raises(UnauthenticatedError, match="only callers that the server knows"):
                    await refused


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (write_token(b"c" * 32), "does not know this token"),
        (ALICE[:-1] + ("x" if ALICE[-1] != "x" else "y"), "typing error"),
        (ALICE[:40], "cut short"),
        ("hello", "does not know this token"),
        ("", "does not know this token"),
    ],
)
async def test_a_token_that_is_not_good_is_refused_and_not_repeated(
    tokens: Path, token: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says what is wrong; the token is in no message and no log."""
    caplog.set_level(logging.DEBUG)
    async with Server(MemoryStore(FILES), authenticate=TokenFile(tokens)) as server:
        metadata = [("authorization", f"Bearer {token}")]
        async with Client(server.address, options=ONCE, metadata=metadata) as one:
            with pytest.raises(UnauthenticatedError, match=said) as error:
                await one.read("a/1")
    assert not token or token not in str(error.value) + caplog.text


async def test_revoked_and_expired_tokens_are_refused_by_their_id(tmp_path: Path) -> None:
    """For an expired or revoked token, the error says which one it was, and why."""
    old, gone = ListedToken("alice", digest_of(ALICE), 0, 100), ListedToken("bob", digest_of(BOB), 0)
    path = tmp_path / "tokens"
    path.write_text(f"{old.line()}\n{gone.line()}\n{gone.revocation(5)}\n")
    async with Server(MemoryStore(FILES), authenticate=TokenFile(path)) as server:
        for token, listed, said in ((ALICE, old, "expired"), (BOB, gone, "revoked")):
            async with client(server, token) as one:
                with pytest.raises(UnauthenticatedError, match=f"{listed.id} of {listed.name} is {said}"):
                    await one.stat("a/1")


@pytest.fixture
async def guarded(tokens: Path) -> AsyncGenerator[Server, None]:
    """Serve the files under the rules."""
    async with Server(MemoryStore(FILES), authenticate=TokenFile(tokens), authorize=parse_rules(RULES, "rules")) as server:
        yield server


async def test_there_and_not_there_are_denied_alike(guarded: Server) -> None:
    """Every call gets the same status and text for a denied name, whether or not the file exists."""
    async with client(guarded, ALICE) as alice, client(guarded) as nobody:
        for one, kind in ((alice, PermissionDeniedError), (nobody, UnauthenticatedError)):
            said = set()
            for name in ("c/4", "c/5", "c/4/x", "Z"):
                for refused in (one.stat(name), one.read(name), _listed(one, name)):
                    with pytest.raises(AccessError) as error:
                        await refused
                    assert type(error.value) is kind
                    said.add(str(error.value).replace(name, "NAME").replace("list", "read"))
            assert len(said) == 1


async def _listed(one: Client, prefix: str, *, recursive: bool = False) -> set[str]:
    return {
        name
        async for page in one.pages(prefix, recursive=recursive)
        for name in (*page.prefixes, *(info.name for info in page.files))
    }


async def test_listings_leave_out_what_is_denied(guarded: Server) -> None:
    """A listing shows files to callers who may list them, and directories if they may list something below."""
    async with client(guarded, ALICE) as alice, client(guarded, BOB) as bob, client(guarded) as nobody:
        assert await _listed(alice, "") == {"a/"}
        assert await _listed(alice, "a") == {"a/1", "a/2"}
        assert await _listed(alice, "", recursive=True) == {"a/1", "a/2"}
        assert await _listed(bob, "") == {"a/"}
        assert await _listed(bob, "a") == {"a/b/"}
        assert await _listed(bob, "a/b/") == {"a/b/3"}
        assert await bob.read("a/b/3") == b"333"
        assert await nobody.read("open/5") == b"55555"
        with pytest.raises(NotFoundError):
            await alice.stat("a/9")
        with pytest.raises(UnauthenticatedError, match="the top"):
            await _listed(nobody, "")


async def test_a_listing_does_not_look_into_what_is_denied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A recursive listing of a directory does not open directories below which the caller may list nothing.

    A name that cannot be listed is logged when the directory is read.
    """
    for directory in ("a", "a/deep", "c", "c/deep"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "bad\\name").touch()
        (tmp_path / directory / "file").touch()
    rules = parse_rules(RULES, "rules")
    server = Server(LocalStore(tmp_path), authenticate=lambda _: Principal(("alice",)), authorize=rules)
    with caplog.at_level("WARNING", "unspool.stores"):
        async with server, client(server) as alice:
            assert await _listed(alice, "", recursive=True) == {"a/file", "a/deep/file"}
            assert await _listed(alice, "") == {"a/"}
    read = {record.getMessage().split(": ")[1] for record in caplog.records}
    assert read == {repr("a/bad\\name"), repr("a/deep/bad\\name")}


async def test_what_a_listing_omits_is_omitted_too() -> None:
    """Omitted names are shown to callers who may list them; counts only to those who may list everything."""

    class Omitting(MemoryStore):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            yield Page(omitted=(Omission("SPECIAL", "a/x"), Omission("SPECIAL", "c/x"), Omission("SPECIAL", count=7)))

    for who, omitted in (("alice", [("a/x", 1)]), ("root", [("a/x", 1), ("c/x", 1), ("", 7)])):
        rules = parse_rules(RULES if who == "alice" else '[[rule]]\nprefix=""\nwho="root"\nmay="list"', "rules")
        principal = Principal((who,))
        server = Server(Omitting(), authenticate=lambda _, one=principal: one, authorize=rules)  # type: ignore[misc]
        async with server, client(server) as one:
            pages = [page async for page in one.pages("")]
        assert [(one.name, one.count) for page in pages for one in page.omitted] == omitted


async def test_the_files_of_a_batch_are_decided_one_by_one(guarded: Server, tmp_path: Path) -> None:
    """A tree is fetched without its denied files; in a batch, each denied file has its error, and the others arrive."""
    async with client(guarded, ALICE) as alice:
        result = await alice.get_tree("a", tmp_path / "a")
        assert (result.files, result.failed) == (2, 0)
    wanted = BatchRequest(tuple(WantedFile(name) for name in ("c/4", "a/1", "a/b/3", "a/9", "a/2", "6")))
    async with grpc.aio.insecure_channel(guarded.address) as channel:
        read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/unspool.v1.FileService/ReadFiles")
        answers = read(batchwire.encode_batch_request(wanted), metadata=(("authorization", f"bearer {ALICE}"),))
        pieces = [piece async for answer in answers for piece in batchwire.decode_pieces(answer, wanted.files)]
    assert [piece.index for piece in pieces] == [0, 1, 2, 3, 4, 5]
    errors = [None if piece.error is None else type(piece.error) for piece in pieces]
    assert errors == [PermissionDeniedError, None, PermissionDeniedError, NotFoundError, None, PermissionDeniedError]


@given(st.lists(st.booleans(), min_size=1, max_size=600), st.integers(1, 7))
async def test_refused_files_are_answered_in_their_place(allowed: list[bool], together: int) -> None:
    """Whichever files are refused, every file has one last piece, in order, and the store is asked only for the others."""
    wanted = BatchRequest(tuple(WantedFile(str(number)) for number in range(len(allowed))))
    refused: dict[int, UnspoolError] = {
        index: PermissionDeniedError(str(index)) for index, good in enumerate(allowed) if not good
    }

    async def answer(rest: BatchRequest) -> AsyncGenerator[tuple[Piece, ...], None]:
        assert [int(file.name) for file in rest.files] == [index for index, good in enumerate(allowed) if good]
        pieces = [Piece(index, error=NotFoundError(file.name)) for index, file in enumerate(rest.files)]
        for first in range(0, len(pieces), together):
            yield tuple(pieces[first : first + together])

    async with aclosing(with_refused(wanted, refused, answer)) as messages:
        made = [message async for message in messages]
    assert all(0 < len(message) <= 256 + together for message in made)
    pieces = [piece for message in made for piece in message]
    assert [piece.index for piece in pieces] == list(range(len(allowed)))
    for piece, good in zip(pieces, allowed, strict=True):
        assert type(piece.error) is (NotFoundError if good else PermissionDeniedError)
        assert str(piece.error) == str(piece.index)


# During streams


@dataclass
class Changing:
    """Rules that a test changes, with or without a version."""

    denied: set[str] = field(default_factory=set)
    version: int = 0

    def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
        """See `Authorize`."""
        return Verdict(name not in self.denied)

    def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
        """See `Authority.extent`."""
        return "some" if self(who, right, prefix).allowed else "none"

    def deny(self, *names: str) -> None:
        """Revoke the right to these names."""
        self.denied |= set(names)
        self.version += 1


BLOCKS = ServerOptions(service=ServiceOptions(block_size=64 * 1024))


async def test_a_stream_ends_at_its_next_block_when_its_right_is_taken_away() -> None:
    """A running read ends when the right is revoked; bytes sent before have arrived, and other streams go on."""
    rules = Changing()
    ended = Recorder[CallEnd]()
    data = bytes(64 * MIB)
    async with (
        Server(MemoryStore({"a": data, "b": data}), options=BLOCKS, authorize=rules, observers=[ended]) as server,
        client(server) as one,
        one.open("a") as lost,
        one.open("b") as kept,
    ):
        await anext(aiter(lost))
        await anext(aiter(kept))
        rules.deny("a")
        with pytest.raises(UnauthenticatedError, match="a: only callers that the server knows"):
            async for _ in lost:
                pass
        async for _ in kept:
            pass
    outcomes = {end.name: (end.outcome, end.bytes) for end in ended}
    assert outcomes["b"] == ("OK", len(data))
    assert outcomes["a"][0] == "UNAUTHENTICATED"
    assert 0 < outcomes["a"][1] < len(data)


async def test_a_batch_asks_again_when_rights_are_taken_away(tmp_path: Path) -> None:
    """If files of a tree are denied during the download, only these files fail; the others arrive."""
    rules = Changing()
    names = [f"t/{number:03}" for number in range(300)]

    class Denying(MemoryStore):
        reads = 0

        async def read_small(
            self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()
        ) -> Sequence[SmallFile]:
            self.reads += 1
            if self.reads == 3:
                rules.deny(*(f"t/{number:03}" for number in range(200, 300)))
            return await super().read_small(names, most_bytes, known)

    store = Denying({name: bytes(100_000) for name in names})
    async with Server(store, authorize=rules) as server, Client(server.address, options=TransferOptions(jobs=1)) as one:
        result = await one.get_tree("t", tmp_path / "t")
    assert result.failed == 100
    assert {type(failure.error) for failure in result.failures} == {UnauthenticatedError}
    assert {failure.name for failure in result.failures} == set(names[200:])
    assert len(list((tmp_path / "t").glob("[0-9]*"))) == 200


async def test_a_listing_hides_what_is_denied_meanwhile() -> None:
    """Pages after a change follow the new rules."""
    rules = Changing()
    names = {f"t/{number:04}" for number in range(1000)}
    async with Server(MemoryStore(dict.fromkeys(names, b"")), authorize=rules) as server, client(server) as one:
        seen: set[str] = set()
        async for page in one.pages("t", page_size=1):
            seen |= {info.name for info in page.files}
            rules.deny(*(names - seen))
        assert 0 < len(seen) < 1000
        rules.deny("t")
        with pytest.raises(UnauthenticatedError):
            await _listed(one, "t")


async def test_a_stream_ends_when_its_token_expires(monkeypatch: pytest.MonkeyPatch, tokens: Path) -> None:
    """A stream ends when its token does."""
    now = [0.0]
    monkeypatch.setattr("unspool.server.guard.time.time", lambda: now[0])
    path = tokens.with_name("short")
    path.write_text(ListedToken("alice", digest_of(ALICE), 0, 100).line())
    known = TokenFile(path, lambda: now[0])
    data = bytes(64 * MIB)
    async with (
        Server(MemoryStore({"a": data}), options=BLOCKS, authenticate=known) as server,
        client(server, ALICE) as one,
        one.open("a") as file,
    ):
        blocks = aiter(file)
        await anext(blocks)
        now[0] = 100.0
        with pytest.raises(UnauthenticatedError, match="is expired"):
            async for _ in blocks:
                pass


async def test_what_tells_no_version_is_asked_again_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions without a `version` are called again for running streams every second."""
    allowed = True
    clock = [0.0]
    monkeypatch.setattr("unspool.server.guard.time.monotonic", lambda: clock[0])
    data = bytes(64 * MIB)
    async with (
        Server(MemoryStore({"a": data}), options=BLOCKS, authorize=lambda *_: Verdict(allowed=allowed)) as server,
        client(server) as one,
        one.open("a") as file,
    ):
        blocks = aiter(file)
        await anext(blocks)
        allowed = False
        await anext(blocks)
        clock[0] = 1.0
        with pytest.raises(UnauthenticatedError):
            async for _ in blocks:
                pass


async def test_files_that_change_are_heeded(tokens: Path, tmp_path: Path) -> None:
    """Tokens and rules that were read again apply to the next call."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    known, decided = TokenFile(tokens), RulesFile(rules)
    async with Server(MemoryStore(FILES), authenticate=known, authorize=decided) as server, client(server, ALICE) as alice:
        assert await alice.read("a/1") == b"1"
        rules.write_text(RULES.replace('"a"', '"c"'))
        assert decided.reload()
        assert await alice.read("c/4") == b"4444"
        with pytest.raises(PermissionDeniedError):
            await alice.read("a/1")
        rules.write_text("nonsense")
        assert not decided.reload()
        assert await alice.read("c/4") == b"4444"
        tokens.write_text(ListedToken("bob", digest_of(BOB), 0).line())
        assert known.reload()
        with pytest.raises(UnauthenticatedError):
            await alice.read("c/4")
        assert (known.refused, decided.refused, known.version, decided.version) == (0, 1, 1, 1)


# Limits


async def test_limits_are_counted_by_principal(tokens: Path) -> None:
    """Two principals at one address have separate limits on requests; callers without a valid token share their address's."""
    options = ServerOptions(limits=LimitOptions(requests=3))
    async with Server(MemoryStore(FILES), options=options, authenticate=TokenFile(tokens)) as server:
        outcomes: dict[str, list[type]] = {}
        for who, token in (("alice", ALICE), ("nobody", None), ("guesser", "hello"), ("bob", BOB)):
            async with client(server, token) as one:
                for _ in range(4):
                    try:
                        await one.stat("a/1")
                        outcomes.setdefault(who, []).append(FileInfo)
                    except UnspoolError as error:
                        outcomes.setdefault(who, []).append(type(error))
    assert outcomes["alice"] == outcomes["bob"] == [FileInfo] * 3 + [OverloadedError]
    assert outcomes["nobody"] == [UnauthenticatedError] * 3 + [OverloadedError]
    assert outcomes["guesser"] == [OverloadedError] * 4


async def test_streams_are_counted_by_principal(tokens: Path) -> None:
    """A principal at its limit of streams is refused another one, and another principal is not."""
    options = ServerOptions(limits=LimitOptions(streams_per_peer=1))
    store = MemoryStore({"a": bytes(64 * MIB)})
    async with (
        Server(store, options=options, authenticate=TokenFile(tokens)) as server,
        client(server, ALICE) as alice,
        client(server, BOB) as bob,
        alice.open("a") as running,
    ):
        await anext(aiter(running))
        with pytest.raises(OverloadedError, match="1 running stream, is reached by principal alice"):
            await alice.read("a", length=1)
        assert await bob.read("a", length=1) == b"\0"


async def test_bandwidth_is_shared_by_the_streams_of_a_principal(tokens: Path) -> None:
    """All streams of a principal together keep to its rate, and do not slow down those of another one."""
    options = ServerOptions(limits=LimitOptions(bandwidth_per_peer=4 * MIB))
    streams = Streams(options.limits)
    alices = [streams._peers.of(f"principal {who}") for who in ("alice", "alice", "bob")] if streams._peers else []
    assert alices[0] is alices[1] is not alices[2]
    async with (
        Server(MemoryStore({"a": bytes(2 * MIB)}), options=options, authenticate=TokenFile(tokens)) as server,
        client(server, ALICE) as alice,
        client(server, BOB) as bob,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        ends = dict.fromkeys(("alice", "bob"), 0.0)

        async def read(who: str, one: Client) -> None:
            await one.read("a")
            ends[who] = loop.time() - began

        await asyncio.gather(read("alice", alice), read("alice", alice), read("alice", alice), read("bob", bob))
    # Six MiB at four a second, one of them at once; and two.
    assert ends["alice"] > 1.2
    assert ends["bob"] < ends["alice"]


# Embedding programs


async def test_authentication_can_be_awaited_and_see_all_metadata() -> None:
    """An embedding program's function may be a coroutine function, and use any part of the credentials."""
    seen: list[Credentials] = []

    async def ask(shown: Credentials) -> Principal | None:
        seen.append(shown)
        return Principal((str(dict(shown.metadata)["x-who"]),))

    async with (
        Server(MemoryStore(FILES), authenticate=ask) as server,
        Client(server.address, options=ONCE, metadata=[("x-who", "carol")]) as one,
    ):
        assert await one.read("6") == b"666666"
    assert seen[0].token is None
    assert seen[0].secure
    assert seen[0].address.startswith("ipv4:127.0.0.1:")


async def test_a_failing_authentication_lets_nobody_in() -> None:
    """An exception in the embedding program's function is an internal error, and the call is refused."""

    def broken(shown: Credentials) -> Principal:
        raise ZeroDivisionError

    async with Server(Untouched(), authenticate=broken) as server, client(server) as one:
        with pytest.raises(UnspoolError, match="internal error"):
            await one.stat("a")


ADDRESSES: list[tuple[str, bool]] = [
    ("ipv4:127.0.0.1", True),
    ("ipv6:%5B::1%5D", True),
    ("ipv6:[::1]", True),
    ("unix", True),
    ("ipv4:10.0.0.1", False),
    ("ipv6:%5B2001:db8::1%5D", False),
    ("ipv6:%5B::ffff:10.0.0.1%5D", False),
    ("vsock:1", False),
]


@pytest.mark.parametrize(("address", "secure"), ADDRESSES)
def test_which_addresses_others_cannot_listen_to(address: str, *, secure: bool) -> None:
    """A token from this machine cannot have been read on the way."""
    assert _is_here(address) == secure


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("in_clear", [False, True])
async def test_a_token_in_clear_is_refused(
    monkeypatch: pytest.MonkeyPatch, tokens: Path, *, secure: bool, in_clear: bool
) -> None:
    """A token over an insecure connection is refused unless that is allowed; calls without a token are not affected."""
    monkeypatch.setattr("unspool.server.guard._is_here", lambda _: secure)
    async with (
        Server(MemoryStore(FILES), authenticate=TokenFile(tokens), insecure=in_clear) as server,
        client(server, ALICE) as alice,
        client(server) as nobody,
    ):
        if secure or in_clear:
            assert await alice.read("6") == b"666666"
        else:
            with pytest.raises(UnauthenticatedError, match="in clear"):
                await alice.read("6")
        with pytest.raises(UnauthenticatedError, match="only callers that the server knows"):
            await nobody.read("6")
