"""The receiving side of a two-way stream: no message is lost or taken twice, whoever waits for it and however that ends."""

from __future__ import annotations

import asyncio
from random import Random
from typing import cast

import grpc
import pytest

from unspool.errors import UnreachableError
from unspool.server.entry import Context
from unspool.server.inlet import Inlet


class Client:
    """A client's side of a stream. Each of its messages needs some turns of the event loop to arrive."""

    def __init__(self, *messages: tuple[int, object]) -> None:
        self.coming = list(messages)
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()

    async def read(self) -> object:
        """Return the next message, as gRPC does."""
        self.reads += 1
        await self.open.wait()
        turns, message = self.coming.pop(0) if self.coming else (0, grpc.aio.EOF)
        for _ in range(turns):
            await asyncio.sleep(0)
        if isinstance(message, Exception):
            raise message
        return message


def inlet_of(client: Client) -> Inlet:
    """Return the server's side."""
    return Inlet(cast(Context, client))


@pytest.mark.parametrize("seed", range(50))
async def test_messages_come_in_their_order_however_fast_they_are(seed: int) -> None:
    """Whether a message is there before it is wanted, or at the same moment, or later, each comes once."""
    random = Random(seed)
    inlet = inlet_of(Client(*[(random.randrange(4), b"%d" % number) for number in range(30)]))
    for number in range(30):
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        assert await inlet.next(30.0) == b"%d" % number
    assert [await inlet.next(30.0), await inlet.next(30.0)] == [None, None]


async def test_one_message_is_received_ahead_and_no_more() -> None:
    """While a message is processed, the next one is received, so that a slow server slows its client down."""
    client = Client((0, b"a"), (0, b"b"), (0, b"c"))
    inlet = inlet_of(client)
    await asyncio.sleep(0.01)
    assert client.reads == 0
    assert await inlet.next(30.0) == b"a"
    await asyncio.sleep(0.01)
    assert client.reads == 2


async def test_a_wait_that_ends_early_loses_no_message() -> None:
    """A message that comes after a limit, an interruption or a cancellation is what the next wait returns."""
    client = Client((0, b"a"), (0, b"b"), (0, b"c"), (0, b"d"))
    inlet = inlet_of(client)
    assert await inlet.next(30.0) == b"a"
    assert await inlet.next(30.0) == b"b"
    await asyncio.sleep(0.01)
    client.open.clear()
    assert await inlet.next(30.0) == b"c"  # it was received before
    with pytest.raises(UnreachableError, match=r"nothing came from the client for 0\.001 s"):
        await inlet.next(0.001)
    waiting = asyncio.create_task(inlet.next(30.0))
    await asyncio.sleep(0)
    inlet.interrupt()
    with pytest.raises(UnreachableError):
        await waiting
    waiting = asyncio.create_task(inlet.next(30.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    client.open.set()
    assert [message async for message in inlet.rest()] == [b"d"]
    inlet.interrupt()  # nobody waits
    assert await inlet.next(30.0) is None


async def test_a_read_that_fails_is_an_error_for_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a read is raised where its message is wanted; if nobody wants it, nothing is logged."""
    inlet = inlet_of(Client((1, b"a"), (1, ValueError("broken"))))
    assert await inlet.next(30.0) == b"a"
    with pytest.raises(ValueError, match="broken"):
        await inlet.next(30.0)
    inlet = inlet_of(Client((1, b"a"), (1, ValueError("broken"))))
    assert await inlet.next(30.0) == b"a"
    await asyncio.sleep(0.01)
    del inlet
    assert caplog.text == ""
