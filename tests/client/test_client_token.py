"""The client's token: sent with every call, renewed when it is refused, and never sent where others could read it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

import unspool
from processes import ENVIRONMENT, eventually, running, serving
from processes import unspool as command
from unspool import Client, MemoryStore, Server, ServerOptions, ServiceOptions, TransferOptions
from unspool.cli.credentials import token_of
from unspool.core.access import Credentials, Principal
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.errors import InvalidRequestError, LocalFileError, UnauthenticatedError
from unspool.rpc.bearer import Bearer

ALICE = write_token(b"a" * 32)

MIB = 1 << 20

DATA = bytes(range(256)) * (8 * MIB // 256)


class Door:
    """Authentication that a test changes: it accepts one token."""

    def __init__(self) -> None:
        self.good = "first"
        self.version = 0
        self.seen: list[str | None] = []

    def __call__(self, shown: Credentials) -> Principal | None:
        """See `Authenticate`."""
        self.seen.append(shown.token)
        if shown.token != self.good:
            raise UnauthenticatedError("not this one")
        return Principal(("alice",))

    def change(self, good: str) -> None:
        """Accept another token from now on."""
        self.good = good
        self.version += 1


@pytest.fixture
def door() -> Door:
    """Return the authentication."""
    return Door()


@pytest.fixture
async def server(door: Door) -> AsyncGenerator[Server, None]:
    """Serve a file to callers with the token."""
    options = ServerOptions(service=ServiceOptions(block_size=64 * 1024))
    async with Server(MemoryStore({"a": DATA}), options=options, authenticate=door) as made:
        yield made


async def test_a_token_is_shown_with_every_call(server: Server, door: Door, tmp_path: Path) -> None:
    """Stat, listings, reads and downloads with several streams send the token, in both dialects."""
    async with Client(server.address, token="first") as one:
        assert (await one.stat("a")).size == len(DATA)
        assert [entry.name async for entry in one.list("")] == ["a"]
        assert await one.read("a") == DATA
        await one.get("a", tmp_path / "a", options=TransferOptions(jobs=3))
        await one.get_tree("", tmp_path / "tree")
    async with Client(server.address, dialect="demo", token="first") as one:
        assert await one.read("a") == DATA
    assert set(door.seen) == {"first"}


def sync_source(tokens: list[str]) -> Callable[[], str]:
    """Return a function that returns one token after the other."""
    return lambda: tokens.pop(0)


def async_source(tokens: list[str]) -> Callable[[], Awaitable[str]]:
    """Return such a coroutine function."""

    async def ask() -> str:
        return tokens.pop(0)

    return ask


@pytest.mark.parametrize("source", [sync_source, async_source])
async def test_a_function_is_asked_again_when_its_token_is_refused(
    server: Server, door: Door, source: Callable[[list[str]], Callable[[], str]], tmp_path: Path
) -> None:
    """A download whose token is refused in the middle continues with the next one, and received bytes are kept."""
    tokens = ["first", "second", "third"]
    changed: list[int] = []

    def change(done: int, total: int | None) -> None:
        if done > MIB and not changed:
            changed.append(done)
            door.change("second")

    async with Client(server.address, token=source(tokens)) as one:
        result = await one.get("a", tmp_path / "a", progress=change, options=TransferOptions(jobs=1))
        assert (tmp_path / "a").read_bytes() == DATA
        assert result.attempts == 2
        assert result.bytes_received == len(DATA)
        door.change("third")
        assert (await one.stat("a")).size == len(DATA)
    assert tokens == []


@pytest.mark.parametrize("token", ["wrong", lambda: "wrong"], ids=["text", "function"])
async def test_a_token_that_stays_refused_is_an_error_at_once(server: Server, door: Door, token: str) -> None:
    """A refused token is not tried a second time."""
    async with Client(server.address, token=token) as one:
        with pytest.raises(UnauthenticatedError, match="not this one"):
            await one.read("a")
    assert door.seen == ["wrong"]


@pytest.mark.parametrize(
    "token", ["", "two words", "line\n", "\u00e9", lambda: 7], ids=["empty", "words", "line", "letter", "number"]
)
async def test_what_cannot_be_a_token_is_not_sent(server: Server, door: Door, token: str) -> None:
    """A token that is not valid in a header is an error that does not quote it."""
    async with Client(server.address, token=token) as one:
        with pytest.raises(InvalidRequestError, match="one word of ASCII"):
            await one.stat("a")
    assert door.seen == []


@pytest.mark.parametrize("target", ["files.example:50051", "10.0.0.1:50051", "dns:files.example:1"])
def test_a_token_is_not_sent_where_others_could_read_it(target: str) -> None:
    """Without TLS, a token for another machine is refused before anything is sent; over TLS, or if allowed, it is sent."""
    with pytest.raises(InvalidRequestError, match="unspools://"):
        Client(target, token="secret")
    Client(target, token="secret", token_in_clear=True)
    for secure in ("unspools://files.example:50051", "localhost:50051", "[::1]:50051", "unix:/run/s"):
        Client(secure, token="secret")


def test_no_secret_is_in_a_repr() -> None:
    """The `repr` of the client and of its parts does not contain the token."""
    client = Client("localhost:1", token="secret")
    assert "secret" not in repr(client) + repr(vars(client)) + repr(Bearer("secret")) + repr(client._seams)


# Blocking calls and the command line


def test_commands_and_blocking_calls_show_a_token(tmp_path: Path) -> None:
    """Every command takes the token from a file or the environment; the library's functions have `token=`."""
    root, tokens, file = tmp_path / "root", tmp_path / "tokens", tmp_path / "token"
    root.mkdir()
    (root / "a").write_bytes(DATA)
    tokens.write_text(ListedToken("alice", digest_of(ALICE), 0).line())
    file.write_text(f"{ALICE}\n")
    with serving(root, tmp_path / "log", "--tokens", str(tokens)) as server:
        url = f"{server.address}/a"
        assert unspool.read(url, token=ALICE, length=4) == DATA[:4]
        for arguments in (
            ("stat", url),
            ("ls", server.address),
            ("cat", url, "--length", "1"),
            ("get", url, tmp_path / "a"),
            ("get", "-r", server.address, tmp_path / "tree"),
            ("verify", url, root / "a"),
            ("conformance", server.address),
        ):
            refused = command(*arguments)
            assert refused.code in {4, 6}, refused.err
            assert command(*arguments, "--token-file", file).code == 0, arguments
        assert command("stat", url, environment={"UNSPOOL_TOKEN": ALICE}).code == 0
        wrong = command("stat", url, "--json", "--debug", environment={"UNSPOOL_TOKEN": f"{ALICE}x"})
        assert wrong.code == 4
        assert ALICE not in wrong.err + wrong.out.decode()
        assert ALICE not in server.log.read_text()


def test_no_token_is_in_the_list_of_processes(tmp_path: Path) -> None:
    """While a command runs, its arguments, which every user can see, do not contain the token."""
    file = tmp_path / "token"
    file.write_text(ALICE)
    with running("get", "--wait", "60", "--token-file", file, "localhost:1/a", tmp_path / "a", anew=True) as process:
        cmdline = Path(f"/proc/{process.pid}/cmdline")
        arguments = eventually(lambda: b"--token-file" in (read := cmdline.read_bytes()) and read)  # once it is our program
    assert isinstance(arguments, bytes)
    assert ALICE.encode() not in arguments


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--token-file", ALICE], 2, "revoke it"),
        (["--token-file", "/nowhere/token"], 8, "/nowhere/token: no such file"),
    ],
)
def test_where_no_token_can_be_read(arguments: list[str], code: int, said: str) -> None:
    """A missing file is named; a token in place of a file name is not quoted."""
    done = command("stat", "localhost:1/a", *arguments)
    assert (done.code, said in done.complaint, ALICE in done.err) == (code, True, False)


def test_a_command_sends_no_token_in_clear() -> None:
    """The error names the flags of the command line."""
    done = command("stat", "files.example:1/a", environment={**ENVIRONMENT, "UNSPOOL_TOKEN": ALICE})
    assert done.code == 2
    assert "--tls" in done.complaint
    assert "--token-in-clear" in done.complaint


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    """If the token in the file is renewed, the next request for one gets the new token."""
    file = tmp_path / "token"
    file.write_text("one\n")
    source = token_of(str(file))
    assert callable(source)
    file.write_text("two")
    assert source() == "two"
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidRequestError, match="not text"):
        source()
    file.unlink()
    with pytest.raises(LocalFileError):
        source()
