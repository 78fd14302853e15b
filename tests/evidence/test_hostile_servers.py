"""Servers that try to exhaust a client's memory or fill its terminal: real processes on both ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from client.handmade import Context, Handler, handmade
from processes import ENVIRONMENT, peak_memory
from unspool.v1 import file_service_pb2 as pb

MIB = 1 << 20

ENOUGH = 3000
"""Messages after which a server stops: 9 GB of the largest."""


def page(*files: pb.FileInfo) -> bytes:
    """Return a page of a listing."""
    return pb.ListFilesResponse(files=files).SerializeToString()


def long_revisions() -> Iterator[bytes]:
    """Files with revisions of a megabyte."""
    for number in range(ENOUGH):
        yield page(*(pb.FileInfo(name=f"{number}-{n}", size=1, revision="r" * 1_000_000) for n in range(3)))


def long_names() -> Iterator[bytes]:
    """Files with names of three megabytes."""
    for number in range(ENOUGH):
        yield page(pb.FileInfo(name=f"{number}" + "n" * 3_000_000, size=1, revision="r"))


def long_prefixes() -> Iterator[bytes]:
    """Prefixes of three megabytes."""
    for _ in range(ENOUGH):
        yield pb.ListFilesResponse(prefixes=["p" * 3_000_000 + "/"]).SerializeToString()


def long_omissions() -> Iterator[bytes]:
    """Omitted names of three megabytes."""
    for _ in range(ENOUGH):
        yield pb.ListFilesResponse(omitted=[pb.Omission(reason="NAME", name="o" * 3_000_000)]).SerializeToString()


def long_reasons() -> Iterator[bytes]:
    """Omissions with reasons of three megabytes."""
    for _ in range(ENOUGH):
        yield pb.ListFilesResponse(omitted=[pb.Omission(reason="R" * 3_000_000)]).SerializeToString()


def empty_omissions() -> Iterator[bytes]:
    """Two million omissions with empty names and reasons, in each message."""
    for _ in range(ENOUGH):
        yield b"\x1a\x00" * (2 * MIB - 100)


def endless_omissions() -> Iterator[bytes]:
    """Endless omissions, each with the longest name, a reason of its own, and control characters for terminals."""
    for number in range(300):
        yield pb.ListFilesResponse(
            omitted=[pb.Omission(reason=f"R{number}-{n}", name="\x1b[2J" * 1000, count=1 << 62) for n in range(100)]
        ).SerializeToString()


def empty_entries() -> Iterator[bytes]:
    """Two million files with empty names in each message."""
    for _ in range(ENOUGH):
        yield b"\x0a\x00" * (2 * MIB - 100)


def escapes() -> Iterator[bytes]:
    """Names of the greatest length, with control characters for terminals; none of the files can be read."""
    for number in range(300):
        yield page(*(pb.FileInfo(name=f"../{number}-{n}/" + "\x1b[2J" * 900, size=1, revision="r") for n in range(10)))


def one_file() -> Iterator[bytes]:
    """A correct listing."""
    yield page(pb.FileInfo(name="a", size=1, revision="r"))


def empty_pieces() -> Iterator[bytes]:
    """Two million empty pieces in each message."""
    return empty_entries()


def nothing() -> Iterator[bytes]:
    """No messages at all."""
    return iter(())


Messages = Callable[[], Iterator[bytes]]


def sending(messages: Messages) -> Handler:
    """Answer every call with these messages, whatever the request."""

    async def answer(_: bytes, context: Context) -> None:
        for message in messages():
            await context.write(message)

    return answer


COMMAND = """
import atexit, sys
status = sys.argv.pop(1)
atexit.register(lambda: print(open("/proc/self/status").read(), file=open(status, "w")))
from unspool.cli import main
main()
"""
"""The command line, which writes how much memory it used: the value of `wait4` includes that of the parent process."""


def run(*arguments: str | Path) -> tuple[int, int, bytes]:
    """Run a command to its end; return its exit code, the most memory it used, and its standard error."""
    with NamedTemporaryFile() as status:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, status.name, *map(str, arguments)],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        return done.returncode, peak_memory(status.name), done.stderr


def whole_run(listing: Messages, batch: Messages, *arguments: str | Path) -> tuple[int, int, bytes]:
    """Run a command against a hostile server; `{}` in the arguments is replaced by its address."""

    async def served() -> tuple[int, int, bytes]:
        async with handmade(ListFiles=sending(listing), ReadFiles=sending(batch), ReadFile=sending(batch)) as address:
            given = [argument if isinstance(argument, Path) else argument.format(address) for argument in arguments]
            work: Awaitable[tuple[int, int, bytes]] = asyncio.to_thread(run, *given)
            return await work

    return asyncio.run(served())


@pytest.mark.parametrize(
    "listing",
    [long_revisions, long_names, long_prefixes, long_omissions, long_reasons, empty_omissions, empty_entries],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("command", ["ls", "get -r"])
def test_a_listing_that_is_out_of_all_bounds_is_refused(tmp_path: Path, listing: Messages, command: str) -> None:
    """Every command that lists ends with exit 6 at the first page, one line, and at most 150 MiB."""
    rest = ["{}", tmp_path / "out"] if command == "get -r" else ["{}"]
    code, memory, said = whole_run(listing, nothing, *command.split(), *rest)
    assert code == 6, said[:1000]
    assert memory < 150 * MIB
    assert len(said) < 1000


def test_a_batch_that_is_out_of_all_bounds_is_refused(tmp_path: Path) -> None:
    """A message of two million empty pieces is refused before it is parsed, and the file fails: exit 10, at most 150 MiB."""
    code, memory, said = whole_run(one_file, empty_pieces, "get", "-r", "{}", tmp_path / "out")
    assert code == 10, said[:1000]
    assert memory < 150 * MIB
    assert len(said) < 2000


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_what_is_printed_of_a_server_is_short_and_does_nothing_to_the_terminal(tmp_path: Path, debug: list[str]) -> None:
    """Three thousand unreadable files with names of 3,600 characters: an escaped line of 300 for each, and few are kept."""
    code, memory, said = whole_run(escapes, nothing, "get", "-r", "--quiet", *debug, "{}", tmp_path / "out")
    lines = said.decode().splitlines()
    assert code == 10
    assert len(lines) >= 3000
    assert all(len(line) <= 320 and line.isprintable() for line in lines)
    assert memory < 150 * MIB


@pytest.mark.parametrize("command", ["ls", "get -r"])
def test_what_is_left_out_without_end_costs_little(tmp_path: Path, command: str) -> None:
    """30,000 omissions with as many reasons, with names of 4,000 characters: they count as one reason, and few are kept."""
    rest = ["{}", tmp_path / "out"] if command == "get -r" else ["{}"]
    code, memory, said = whole_run(endless_omissions, nothing, *command.split(), *rest)
    assert code == 0, said[:1000]
    assert memory < 150 * MIB
    assert f"{30_000 << 62} names were left out: {30_000 << 62} for other reasons (-v names them)" in said.decode()
    assert b"\x1b" not in said
