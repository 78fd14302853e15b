"""Servers that try to make a client wait, fill its memory or believe false data: real commands over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from client.handmade import Context, Handler, handmade, talking
from evidence.test_hostile_servers import run
from unspool import Client, TransferOptions
from unspool.core.retry import RetryPolicy
from unspool.errors import OverloadedError, ProtocolError
from unspool.rpc.status import DETAILS_KEY
from unspool.testing import FakeClock
from unspool.testing.http2 import Http2Connection
from unspool.v1 import file_service_pb2 as pb

MIB = 1 << 20

ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\n\x9b31m\u202egnp.exe"


def ended(address: str, *arguments: str | Path) -> tuple[int, int, str]:
    """Run a command with the address in place of `{}`; return its exit code, the most memory it used, and its output."""
    code, memory, said = run(*[each if isinstance(each, Path) else each.format(address) for each in arguments])
    return code, memory, said.decode()


async def outcome(address: str, *arguments: str | Path) -> tuple[int, int, str]:
    """Run a command beside the event loop, and limit it to 150 MiB and 30 s."""
    begun = time.monotonic()
    code, memory, said = await asyncio.to_thread(ended, address, *arguments)
    assert memory < 150 * MIB
    assert time.monotonic() - begun < 30
    assert len(said) < 20_000
    return code, memory, said


def info(**fields: object) -> pb.FileInfo:
    """Return a description of a file of four bytes, with other fields changed."""
    return pb.FileInfo(**{"name": "a", "size": 4, "revision": "r", **fields})  # type: ignore[arg-type]


def stating(said: pb.FileInfo) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """Answer every StatFile with this."""

    async def stat(_: bytes, __: Context) -> bytes:
        return pb.StatFileResponse(info=said).SerializeToString()

    return stat


def failing(message: str, code: grpc.StatusCode = grpc.StatusCode.INTERNAL, details: bytes = b"") -> Handler:
    """Answer every call with an error."""

    async def fail(_: bytes, context: Context) -> None:
        await context.abort(code, message, ((DETAILS_KEY, details),) if details else ())

    return fail


def reading(*frames: bytes, then: bytes | None = None, pause: float = 0.0) -> Handler:
    """Answer with these messages, and then repeat another one without end."""

    async def read(_: bytes, context: Context) -> None:
        for frame in frames:
            await context.write(frame)
        while then is not None:
            await context.write(then)
            await asyncio.sleep(pause)

    return read


def header(start: int = 0, length: int = 4, **fields: object) -> bytes:
    """Return a header."""
    return pb.ReadFileResponse(header=pb.Header(info=info(**fields), start=start, length=length)).SerializeToString()


def block(offset: int, data: bytes) -> bytes:
    """Return a block with a right checksum."""
    from unspool.core.checksum import crc32c  # noqa: PLC0415 - for this alone

    return pb.ReadFileResponse(block=pb.Block(offset=offset, data=data, crc32c=crc32c(data))).SerializeToString()


async def test_a_revision_of_a_megabyte_is_refused() -> None:
    """An overlong text is exit 6 and a line, and is neither printed nor kept."""
    async with handmade(stat=stating(info(revision="r" * 1_000_000))) as address:
        code, _, said = await outcome(address, "stat", "{}/a")
    assert code == 6
    assert "a revision of 1000000" in said


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize("command", [["cat", "{}/a"], ["ls", "{}"], ["get", "{}/a", "/dev/null/x"]])
async def test_the_text_of_an_error_does_nothing_to_the_terminal(command: list[str], debug: list[str]) -> None:
    """The text of a server's error is printed escaped, also in the traceback of --debug."""
    fails = failing(f"no: {ESCAPES}", grpc.StatusCode.NOT_FOUND)
    async with handmade(ReadFile=fails, ListFiles=fails, ReadFiles=fails) as address:
        code, _, said = await asyncio.to_thread(ended, address, *command, *debug)
    assert code != 0
    assert all(line.isprintable() for line in said.split("\n")), said


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, -1, -(1 << 63)])
async def test_a_size_that_no_disk_has_is_an_error(tmp_path: Path, size: int) -> None:
    """A size of 2^63 - 1 bytes, or below zero, is an error, and nothing is left at the destination."""
    frames = (header(length=size, size=size), block(0, b"1234"))
    async with handmade(ReadFile=reading(*frames)) as address:
        code, _, said = await outcome(address, "get", "--retry-budget", "0", "{}/a", tmp_path / "a")
    assert code in (6, 7, 8), said
    assert not (tmp_path / "a").exists()


async def test_blocks_that_are_not_what_the_header_promised_are_refused(tmp_path: Path) -> None:
    """More bytes than promised, or bytes at another offset, are exit 6 or 7, and no file."""
    for frames in ((header(), block(0, b"12345")), (header(), block(2, b"34")), (header(start=1, length=3), block(1, b"234"))):
        async with handmade(ReadFile=reading(*frames)) as address:
            code, _, said = await outcome(address, "get", "--retry-budget", "0", "{}/a", tmp_path / "a")
        assert code in (6, 7), said
        assert not (tmp_path / "a").exists()


async def test_empty_blocks_without_end_are_refused(tmp_path: Path) -> None:
    """The first one is an error."""
    async with handmade(ReadFile=reading(header(), then=block(0, b""))) as address:
        code, _, said = await outcome(address, "get", "{}/a", tmp_path / "a")
    assert code == 6
    assert "an empty block arrived" in said


@pytest.mark.parametrize("command", [["get", "{}/a", "a"], ["cat", "{}/a"], ["ls", "{}"], ["get", "-r", "{}", "d"]])
async def test_heartbeats_without_end_end_where_a_limit_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    """With --heartbeat-limit 0.3 a server that sends only heartbeats is stalled: exit 7, and the line says so."""
    monkeypatch.chdir(tmp_path)
    alive = reading(then=b"", pause=0.01)
    async with handmade(ReadFile=alive, ListFiles=alive, ReadFiles=alive) as address:
        code, _, said = await outcome(address, *command, "--heartbeat-limit", "0.3", "--retry-budget", "1")
    assert code == 7, said
    assert "for 0.3 s the server has only said that it is alive" in said


async def test_heartbeats_in_a_batch_end_too(tmp_path: Path) -> None:
    """A tree with a correct listing whose files never arrive is exit 7."""
    listing = reading(pb.ListFilesResponse(files=[info(), info(name="b")]).SerializeToString())
    alive = reading(then=b"", pause=0.01)
    async with handmade(ReadFile=alive, ListFiles=listing, ReadFiles=alive) as address:
        arguments = ("get", "-r", "{}", tmp_path / "d", "--heartbeat-limit", "0.3", "--retry-budget", "0")
        code, _, said = await outcome(address, *arguments)
    assert code == 7, said
    assert "has only said that it is alive" in said


@pytest.mark.parametrize("command", [["ls", "{}"], ["get", "-r", "{}", "d"]])
async def test_a_listing_that_repeats_itself_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]) -> None:
    """A listing that repeats one page is exit 6."""
    monkeypatch.chdir(tmp_path)
    page = pb.ListFilesResponse(files=[info(), info(name="b")]).SerializeToString()
    one = header(), block(0, b"1234")
    async with handmade(ListFiles=reading(then=page), ReadFiles=reading(), ReadFile=reading(*one)) as address:
        code, _, said = await outcome(address, *command, "--retry-budget", "0")
    assert code in (6, 10), said
    assert "the listing repeats itself" in said


async def test_a_listing_without_end_ends_at_the_limit() -> None:
    """A hundred thousand entries are refused if ten thousand are the limit."""

    async def listing(_: bytes, context: Context) -> None:
        for number in itertools.count():
            files = [info(name=f"{number}-{n}") for n in range(1000)]
            await context.write(pb.ListFilesResponse(files=files).SerializeToString())

    options = TransferOptions(listing_limit=10_000)
    taken = 0

    async def counted(client: Client) -> None:
        nonlocal taken
        async for _ in client.list():
            taken += 1

    async with handmade(ListFiles=listing) as address, Client(address, options=options) as client:
        with pytest.raises(ProtocolError, match="more than 10000 entries"):
            await counted(client)
    assert taken == 10_000


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "a\0b", "a\\..\\b", ".", "a//b", "x" * 5000])
async def test_a_name_that_leads_out_is_not_followed(tmp_path: Path, name: str) -> None:
    """Such a file fails, and nothing is created beside the directory of the tree."""
    listing = reading(pb.ListFilesResponse(files=[info(name=name)]).SerializeToString())
    frames = (header(name=name), block(0, b"1234"))
    root = tmp_path / "one" / "two"
    root.mkdir(parents=True)
    async with handmade(ListFiles=listing, ReadFile=reading(*frames), ReadFiles=reading()) as address:
        code, _, said = await outcome(address, "get", "-r", "--retry-budget", "0", "{}", root / "d")
    assert code in (6, 10), said
    assert [path.name for path in root.iterdir() if path.name != "d"] == []
    assert [path.name for path in root.glob("d/*") if path.name != ".unspool-tree"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


async def test_details_of_8_mib_are_an_error() -> None:
    """A status with 8 MiB of details is refused by gRPC before it is kept, and the command ends."""
    fails = failing("no", grpc.StatusCode.NOT_FOUND, bytes(8 * MIB))
    async with handmade(ReadFile=fails) as address:
        code, _, said = await outcome(address, "cat", "{}/a", "--retry-budget", "1")
    assert code in (3, 6, 7), said


async def test_a_message_that_is_a_bomb_is_refused() -> None:
    """64 MiB of zeros in 64 KiB of gzip are not decompressed beyond gRPC's 4 MiB: exit 6."""
    bomb = gzip.compress(bytes(64 * MIB))

    async def answer(connection: Http2Connection, stream: int, _: dict[str, str], __: bytes) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")]
        connection.http.send_headers(stream, headers)
        connection.flush()
        await connection.send_data(stream, b"\1" + len(bomb).to_bytes(4, "big") + bomb)

    async with speaking(answer) as address:
        code, _, said = await outcome(address, "cat", "{}/a", "--retry-budget", "1")
    assert code in (6, 7), said


async def test_a_wait_of_years_is_cut_to_minutes() -> None:
    """A server that asks for a wait of a hundred years gets the next attempt after five minutes and the client's own wait."""
    retry = Status(code=8)
    delay = RetryInfo()
    delay.retry_delay.FromSeconds(100 * 365 * 86400)
    retry.details.add().Pack(delay)
    clock = FakeClock()
    options = TransferOptions(retry=RetryPolicy(budget=2))
    fails = failing("later", grpc.StatusCode.RESOURCE_EXHAUSTED, retry.SerializeToString())
    async with handmade(ReadFile=fails) as address, Client(address, options=options, clock=clock) as client:
        with pytest.raises(OverloadedError):
            await client.read("a")
    assert 300 <= clock.monotonic() < 400


async def test_goaways_without_end_spend_the_budget() -> None:
    """If every connection sends GOAWAY at once, the command ends with exit 7 after ten attempts."""

    async def talk(__: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        for _ in range(10):
            writer.write(bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + bytes(8))
        await writer.drain()
        await asyncio.sleep(0.05)

    async with talking(talk) as address:
        code, _, said = await outcome(address, "cat", "{}/a", "--retry-budget", "3")
    assert code == 7, said


@asynccontextmanager
async def speaking(
    answer: Callable[[Http2Connection, int, dict[str, str], bytes], Awaitable[None]],
) -> AsyncGenerator[str, None]:
    """Serve handwritten HTTP/2; yields `HOST:PORT`."""
    connections: set[Http2Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http2Connection(answer, connections), "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.gather(*[connection.aclose() for connection in list(connections)])
