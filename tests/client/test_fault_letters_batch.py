"""The letters of a script have the same effect on pieces of a batch as on frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import pytest

from client.lab import Lab
from contract.batch_contract import batch
from unspool.core.checksum import crc32c
from unspool.core.model import Piece
from unspool.errors import NotFoundError, UnreachableError
from unspool.stores import MemoryStore

NAMES = ("a", "b", "missing", "c")


def lab_of(script: str) -> Lab:
    """Return a lab with small files; a batch of them is one message."""
    return Lab(script, store=MemoryStore({"a": b"aaa", "b": b"bbb", "c": b"ccc", "dir/a.bin": b"x"}))


async def whole(script: str) -> tuple[Lab, list[Sequence[Piece]]]:
    """Return the messages of one batch under a script, heartbeats included."""
    lab = lab_of(script)
    async with aclosing(lab.transport.read_files(batch(*NAMES))) as messages:
        return lab, [message async for message in messages]


def indexes(messages: list[Sequence[Piece]]) -> list[list[int]]:
    """Return the indices of the files, message by message."""
    return [[piece.index for piece in message] for message in messages]


def data_of(message: Sequence[Piece], at: int) -> bytes:
    """Return the data of a piece."""
    frame = message[at].frame
    assert frame is not None
    assert frame.block is not None
    return bytes(frame.block.data)


async def test_no_letter_is_no_fault() -> None:
    """Dots, and the end of the script, change nothing; the batch is recorded."""
    lab, messages = await whole("..")
    assert indexes(messages) == [[0, 1, 2, 3]]
    assert isinstance(messages[0][2].error, NotFoundError)
    assert lab.transport.fired == ""
    assert lab.transport.batches == [batch(*NAMES)]


@pytest.mark.parametrize("at", range(4))
async def test_x_and_e_end_the_batch_after_what_came_before(at: int) -> None:
    """`x` and `E`: the pieces before it arrive; `x` is an error, `E` ends the stream with status OK."""
    lab, messages = await whole("." * at + "E")
    assert indexes(messages) == ([list(range(at))] if at else [])
    assert lab.transport.fired == "E"
    lab = lab_of("." * at + "x")
    got: list[Sequence[Piece]] = []

    async def read() -> None:
        async for message in lab.transport.read_files(batch(*NAMES)):
            got.append(message)  # noqa: PERF401 - the pieces before the error are wanted

    with pytest.raises(UnreachableError):
        await read()
    assert indexes(got) == ([list(range(at))] if at else [])
    assert lab.transport.fired == "x"


async def test_data_is_flipped_shortened_and_lengthened() -> None:
    """`!`, `<`, `>`: the data of one piece is wrong, and only `!` shows in its checksum; a piece with an error has no data."""
    lab, messages = await whole("!<>.")
    (message,) = messages
    assert data_of(message, 0) != b"aaa"
    assert data_of(message, 1) == b"bb"
    assert isinstance(message[2].error, NotFoundError)
    assert data_of(message, 3) == b"ccc"
    assert lab.transport.fired == "!<"
    lab, ((_, _, _, last),) = await whole("...>")
    assert last.frame is not None
    assert last.frame.block is not None
    assert (bytes(last.frame.block.data), last.frame.block.crc32c) == (b"ccc>", crc32c(b"ccc>"))


async def test_2_doubles_and_tilde_swaps() -> None:
    """`2`: a piece comes twice; `~`: it changes places with the next one; pieces with errors too."""
    assert indexes((await whole("2"))[1]) == [[0, 0, 1, 2, 3]]
    assert indexes((await whole("..2"))[1]) == [[0, 1, 2, 2, 3]]
    lab, messages = await whole(".~")
    assert indexes(messages) == [[0, 2, 1, 3]]
    assert lab.transport.fired == "~"
    lab, messages = await whole("...~")
    assert indexes(messages) == [[0, 1, 2], [3]]
    assert lab.transport.fired == ""


async def test_h_is_a_heartbeat_before_the_piece() -> None:
    """`h`: an empty message comes before the piece, whatever it is."""
    lab, messages = await whole(".hh")
    assert indexes(messages) == [[0], [], [1], [], [2, 3]]
    assert lab.transport.fired == "hh"


async def test_v_changes_the_file() -> None:
    """`v`: the file is changed when the piece comes, and the piece passes."""
    lab, messages = await whole("v")
    assert indexes(messages) == [[0, 1, 2, 3]]
    assert lab.transport.fired == "v"
    assert isinstance(lab.store, MemoryStore)
    assert (await lab.store.stat("dir/a.bin")).size > 1


async def test_z_stalls() -> None:
    """`z`: the pieces before it arrive, and then nothing more; the reader gives up by the clock."""
    lab = lab_of(".z")
    async with aclosing(lab.transport.read_files(batch(*NAMES))) as messages:
        assert indexes([await anext(messages)]) == [[0]]
        with pytest.raises(TimeoutError):
            async with lab.clock.timeout(30):
                await anext(messages)
    assert lab.clock.slept == [30]
    assert lab.transport.fired == "z"
