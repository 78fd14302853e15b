"""First contact: if a server has never answered, a call fails soon; if it has, the client retries."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from client.lab import DATA, NAME, Lab, Wrapper
from unspool.client.client import Client
from unspool.client.transport import Transport
from unspool.core.model import FileInfo, Frame, ReadRequest
from unspool.core.retry import RetryPolicy
from unspool.errors import ConnectError, OverloadedError, StalledError, UnreachableError, UnspoolError
from unspool.options import TransferOptions

REFUSED = "files:1: nobody listens there"


class Away(Wrapper):
    """A server that answers calls with these errors, one each, and then correctly. None stands for a correct answer."""

    def __init__(self, inner: Transport, *errors: UnspoolError | None) -> None:
        super().__init__(inner)
        self.errors = list(errors)

    def _answer(self) -> None:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        self._answer()
        return await self.inner.stat(name)

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        self._answer()
        async for frame in self.inner.read(request):
            yield frame


def refused() -> ConnectError:
    """Return the error of a transport that cannot connect."""
    return ConnectError(REFUSED)


async def test_a_server_that_never_answered_ends_a_transfer_at_once(tmp_path: Path) -> None:
    """One failure to connect ends the call without a wait, and the error says why."""
    lab = Lab()
    with pytest.raises(ConnectError, match="nobody listens"):
        await lab.get(tmp_path / "b.bin", lab.client_of(Away(lab.transport, refused(), refused())))
    assert lab.clock.slept == []
    assert list(tmp_path.iterdir()) == []


async def test_a_server_that_goes_away_is_tried_again(tmp_path: Path) -> None:
    """After the first answer, a refused connection counts against the budget, and the error is a plain UnreachableError."""
    lab = Lab("...x", budget=3)
    transport = Away(lab.transport, None, refused(), refused())
    result = await lab.get(tmp_path / "b.bin", lab.client_of(transport))
    assert (result.size, result.attempts) == (len(DATA), 4)
    gone = lab.client_of(Away(lab.transport, None, *[refused() for _ in range(3)]))
    await gone.stat(NAME)
    with pytest.raises(UnreachableError, match="nobody listens") as caught:
        await gone.stat(NAME)
    assert type(caught.value) is UnreachableError


@pytest.mark.parametrize("answer", [OverloadedError("later"), UnreachableError("the connection broke")])
async def test_an_error_from_the_server_is_an_answer(answer: UnspoolError) -> None:
    """After a server has refused a call or broken one off, it counts as reached, and the client retries."""
    lab = Lab(budget=5)
    client = lab.client_of(Away(lab.transport, answer, refused(), refused()))
    assert (await client.stat(NAME)).name == NAME


async def test_silence_is_no_answer() -> None:
    """After a stall the server does not yet count as reached."""
    lab = Lab(budget=5)
    client = lab.client_of(Away(lab.transport, StalledError("silence"), refused()))
    with pytest.raises(ConnectError):
        await client.stat(NAME)


async def test_a_server_may_be_waited_for() -> None:
    """With `connect_wait` the client tries to connect for that many seconds, whatever the budget."""
    lab = Lab()
    options = TransferOptions(retry=RetryPolicy(budget=0, connect_wait=30))
    up = Away(lab.transport, *[refused() for _ in range(20)])
    assert (await Client(transport=up, clock=lab.clock, options=options).stat(NAME)).name == NAME
    began = lab.clock.monotonic()
    down = Away(lab.transport, *[refused() for _ in range(200)])
    with pytest.raises(ConnectError):
        await Client(transport=down, clock=lab.clock, options=options).stat(NAME)
    assert lab.clock.monotonic() - began == pytest.approx(30, abs=0.001)
