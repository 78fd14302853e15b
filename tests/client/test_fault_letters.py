"""Each letter of a script has its effect once, and is recorded."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from client.lab import BLOCK, DATA, NAME, NEW, Lab
from contract.transport_contract import frames_of
from unspool.core.checksum import crc32c
from unspool.core.model import HEARTBEAT, Frame, ReadRequest
from unspool.errors import FileChangedError, UnreachableError
from unspool.stores import MemoryStore
from unspool.testing import FaultyTransport, StoreTransport

REQUEST = ReadRequest(NAME, block_size=BLOCK)


async def whole(script: str, request: ReadRequest = REQUEST) -> tuple[Lab, list[Frame]]:
    """Return the frames of one read under a script, heartbeats included."""
    lab = Lab(script)
    async with aclosing(lab.transport.read(request)) as frames:
        return lab, [frame async for frame in frames]


async def clean() -> list[Frame]:
    """Return the frames of a read without faults."""
    return (await whole(""))[1]


def starts(frames: list[Frame]) -> list[int]:
    """Return the offsets at which blocks begin."""
    return [frame.block.offset for frame in frames if frame.block]


async def test_no_letter_is_no_fault() -> None:
    """Dots, and the end of the script, change nothing."""
    lab, frames = await whole("...")
    assert frames == await clean()
    assert lab.transport.fired == ""


async def test_x_breaks_the_connection() -> None:
    """`x`: the frames before it arrive, the frame does not, and the error is that of a broken connection."""
    lab = Lab(".x")
    async with aclosing(lab.transport.read(REQUEST)) as frames:
        assert starts([await anext(frames)]) == [0]
        with pytest.raises(UnreachableError):
            await anext(frames)
    assert lab.transport.fired == "x"


async def test_e_ends_early() -> None:
    """`E`: the stream ends with status OK, without its summary."""
    lab, frames = await whole("..E")
    assert starts(frames) == [0, BLOCK]
    assert frames[-1].summary is None
    assert lab.transport.fired == "E"


async def test_exclamation_flips_a_bit() -> None:
    """`!`: one bit of the data differs, and nothing else."""
    lab, frames = await whole(".!")
    block, good = frames[1].block, (await clean())[1].block
    assert block is not None
    assert good is not None
    assert (block.offset, block.crc32c, len(block.data)) == (good.offset, good.crc32c, len(good.data))
    assert sum((a ^ b).bit_count() for a, b in zip(block.data, good.data, strict=True)) == 1
    assert lab.transport.fired == "!"


async def test_exclamation_without_data_flips_a_checksum() -> None:
    """`!` on a frame without data: one bit of the checksum of the whole file differs."""
    lab, frames = await whole("!", ReadRequest(NAME, len(DATA)))
    assert frames[0].summary is not None
    assert frames[0].summary.crc32c is not None
    assert (frames[0].summary.crc32c ^ crc32c(DATA)).bit_count() == 1
    assert lab.transport.fired == "!"


@pytest.mark.parametrize(("letter", "size"), [("<", BLOCK - 1), (">", BLOCK + 1)])
async def test_wrong_lengths_with_right_checksums(letter: str, size: int) -> None:
    """`<` and `>`: a block of another length, with a matching checksum, so that only its length is wrong."""
    lab, frames = await whole(f".{letter}")
    block = frames[1].block
    assert block is not None
    assert (block.offset, len(block.data)) == (BLOCK, size)
    assert block.crc32c == crc32c(block.data)
    assert lab.transport.fired == letter


async def test_2_sends_twice() -> None:
    """`2`: the frame comes twice."""
    lab, frames = await whole(".2")
    assert starts(frames)[:4] == [0, BLOCK, BLOCK, 2 * BLOCK]
    assert lab.transport.fired == "2"


async def test_tilde_swaps() -> None:
    """`~`: the frame comes after the next one, which has its own letter."""
    lab, frames = await whole(".~2")
    assert starts(frames)[:5] == [0, 2 * BLOCK, 2 * BLOCK, BLOCK, 3 * BLOCK]
    assert lab.transport.fired == "~2"


async def test_tilde_on_the_last_frame_is_no_fault() -> None:
    """`~` without a next frame has no effect."""
    lab, frames = await whole("." * 10 + "~")
    assert frames == await clean()
    assert lab.transport.fired == ""


async def test_z_stalls() -> None:
    """`z`: nothing arrives until the reader's timeout is over."""
    lab = Lab(".z")
    async with aclosing(lab.transport.read(REQUEST)) as frames:
        await anext(frames)
        with pytest.raises(TimeoutError):
            async with lab.clock.timeout(7):
                await anext(frames)
    assert lab.clock.now == 7
    assert lab.transport.fired == "z"


async def test_v_makes_another_revision() -> None:
    """`v`: the file changes from then on; the frame itself passes."""
    lab = Lab(".v")
    async with aclosing(lab.transport.read(REQUEST)) as frames:
        assert starts([await anext(frames), await anext(frames)]) == [0, BLOCK]
        with pytest.raises(FileChangedError):
            await anext(frames)
    assert (await lab.client.stat(NAME)).size == len(NEW)
    assert lab.transport.fired == "v"


async def test_circumflex_ignores_the_start() -> None:
    """`^`: the answer begins at byte 0, and its header says so."""
    lab, frames = await whole("^", ReadRequest(NAME, BLOCK, block_size=BLOCK))
    assert frames == await clean()
    assert lab.transport.fired == "^"
    assert lab.starts == [BLOCK]


async def test_circumflex_needs_a_start_to_ignore() -> None:
    """`^`: for a stream that begins at 0, or in the middle of a stream, it has no effect."""
    lab, frames = await whole("^.^")
    assert frames == await clean()
    assert lab.transport.fired == ""


async def test_h_is_a_heartbeat() -> None:
    """`h`: a heartbeat comes before the frame."""
    lab, frames = await whole(".h")
    assert frames[1] == HEARTBEAT
    assert frames[:1] + frames[2:] == await clean()
    assert lab.transport.fired == "h"


async def test_letters_go_on_over_attempts() -> None:
    """The next attempt continues the script where the last one stopped."""
    lab = Lab("x.x")
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await frames_of(lab.transport, REQUEST)
    assert await frames_of(lab.transport, REQUEST) == await clean()
    assert lab.transport.fired == "xx"
    assert lab.transport.requests == [REQUEST] * 3


def test_scripts_are_checked() -> None:
    """An unknown letter, and `v` without a function that changes the file, are errors of the test."""
    inner = StoreTransport(MemoryStore())
    with pytest.raises(ValueError, match="alphabet"):
        FaultyTransport(inner, "..q")
    with pytest.raises(ValueError, match="change"):
        FaultyTransport(inner, "v")
