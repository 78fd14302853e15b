"""One stream of an upload: what is sent and what comes back, at the same time.

    the disk -> the next block -> send         --+
                                                 +-- the sender decides (core/sender.py)
                                       receive --+

Rule 1: nothing but heartbeats is sent between `open` and its answer: a status that ends a stream while a message is being sent
        may be lost (grpc#36066).
Rule 2: an attempt stalls if within the idle timeout no answer comes and no block can be sent. The client sends heartbeats while
        its own disk takes long.
Rule 3: after the final answer the client ends its side and waits for the end of the stream, but not for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from unspool.client.events import Advanced
from unspool.client.heartbeats import OnlyAlive, silent_error
from unspool.client.material import Blocks, Material
from unspool.core.blocksizing import USUAL
from unspool.core.model import Span
from unspool.core.sender import Sender, State
from unspool.core.uploading import End, UploadOpened, UploadProgress, UploadRefused, UploadRequest
from unspool.errors import UnspoolError

if TYPE_CHECKING:
    from unspool.client.transfer import Transfer
    from unspool.client.transport import UploadStream

T = TypeVar("T")

_HEARTBEAT = 10.0
"""Seconds without a message after which a heartbeat is sent: as often as a server sends them."""

_FAREWELL = 5.0
"""Seconds to wait for the end of a stream whose outcome is known. A server ends it at once."""


class Listening:
    """Waits for the answers of one stream.

    Args:
        transfer: has the limits.
        about: the beginning of an error's message.

    Attributes:
        sent: how many messages with bytes of files were sent. The caller counts.
    """

    def __init__(self, transfer: Transfer, about: Callable[[], str]) -> None:
        self.sent = 0
        self._transfer = transfer
        self._about = about
        self._clock = transfer.seams.clock
        self._only_alive = OnlyAlive(transfer.options.heartbeat_limit, about)

    async def next(self, receive: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the next answer. A heartbeat is false.

        Raises:
            StalledError: within the idle timeout no answer came and no bytes could be sent, or only heartbeats came too long.
        """
        patience = self._transfer.options.idle_timeout
        begun = self._clock.monotonic()
        while True:
            sent = self.sent
            try:
                async with self._clock.timeout(patience):
                    answer = await receive()
                break
            except UnspoolError:
                raise
            except TimeoutError:
                if sent == self.sent:
                    raise silent_error(self._about(), patience) from None
        self._transfer.seams.contact.made = True
        self._only_alive.note(self._clock.monotonic() - begun, only_alive=not answer and sent == self.sent)
        return answer


class Exchange:
    """One stream of an upload.

    Args:
        transfer: of the upload.
        sender: decides what is sent.
        material: has the bytes.
        stream: open.
        agreed: called when the server has answered `open`, and what it has agrees with the file, with the number of bytes.
    """

    def __init__(
        self, transfer: Transfer, sender: Sender, material: Material, stream: UploadStream, agreed: Callable[[int], None]
    ) -> None:
        self._transfer = transfer
        self._sender = sender
        self._material = material
        self._stream = stream
        self._agreed = agreed
        self._clock = transfer.seams.clock
        self._sending = asyncio.Lock()
        self._answered = asyncio.Event()  # `open` was answered, or the stream is over
        self._outcome = False  # whether the final answer has come
        self._listening = Listening(transfer, sender.whereabouts)

    async def run(self, number: int) -> bool:
        """Send what the server lacks, and commit. Return False if the server has bytes that differ: then open again.

        Raises:
            UnspoolError: the server's refusal, or what broke the stream.
        """
        reading = asyncio.create_task(self._receive_all())
        writing = asyncio.create_task(self._send_all(number))
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            if writing.done() and (not reading.done() or writing.exception() is None):
                if not writing.result():
                    return False
                await asyncio.wait([reading])
            if self._outcome:
                await self._part(writing)
            reading.result()
            return True
        finally:
            for task in (reading, writing, beating):
                task.cancel()
            await asyncio.gather(reading, writing, beating, return_exceptions=True)

    # Sending

    async def _send_all(self, number: int) -> bool:
        """Send everything; return False if the stream is of no use because the server has bytes that differ."""
        sender, material = self._sender, self._material
        await self._send(UploadRequest(open=sender.next_open(number)))
        await self._answered.wait()
        if sender.state is not State.SENDING:
            return True
        ours = await material.checksums([one.span for one in sender.claimed]) if sender.claimed else []
        if not sender.compare(ours):
            return False
        self._agreed(sender.received)
        await self._send_blocks(sender.received)
        if sender.state is State.SENDING:
            await material.check()
            size = material.source.size
            assert size is not None
            checksum = await material.checksum(size)
            if sender.state is State.SENDING:
                await self._send(UploadRequest(commit=sender.commit(size, checksum)))
        return True

    async def _send_blocks(self, good: int) -> None:
        blocks = Blocks(self._material)
        while (span := self._next_span()) is not None:
            block = await blocks.next(span)
            if block is None or self._sender.state is not State.SENDING:
                return
            self._sender.sent(block)
            blocks.read_ahead(self._next_span())
            begun = self._clock.monotonic()
            if not await self._send(UploadRequest(block=block)):
                return
            self._listening.sent += 1
            size = len(block.data)
            good += size
            self._transfer.observer.notify(Advanced(good, self._transfer.id))
            await self._transfer.sent(size, self._clock.monotonic() - begun)

    def _next_span(self) -> Span | None:
        return self._sender.next_span(self._transfer.block_size or USUAL)

    async def _send(self, request: UploadRequest) -> bool:
        async with self._sending:
            return await self._stream.send(request)

    async def _beat(self) -> None:
        """Send a heartbeat whenever nothing else is being sent for long: the disk is slow, or a pipe is empty."""
        while True:
            waited = asyncio.Event()
            timer = self._clock.call_later(_HEARTBEAT, waited.set)
            sent = self._listening.sent
            try:
                await waited.wait()
            finally:
                timer.cancel()
            if sent == self._listening.sent and not self._sending.locked() and self._sender.state is State.SENDING:
                await self._send(UploadRequest())

    # Receiving

    async def _receive_all(self) -> None:
        """Receive until the final answer. Raises the refusal, or what broke the stream."""
        sender = self._sender
        try:
            while not sender.complete:
                answer = await self._listening.next(self._stream.receive)
                if isinstance(answer, End):
                    sender.end_of_stream()
                    return
                self._outcome = isinstance(answer, UploadRefused)
                sender.receive(answer)
                if isinstance(answer, UploadOpened):
                    self._answered.set()
                if isinstance(answer, UploadProgress):
                    self._material.source.forget(sender.durable)
            self._outcome = True
        finally:
            self._answered.set()

    async def _part(self, writing: asyncio.Task[bool]) -> None:
        """End our side of a stream whose outcome is known, and let the server end its own."""
        try:
            async with self._clock.timeout(_FAREWELL):
                await asyncio.wait([writing])
                await self._stream.finish()
                while not isinstance(await self._stream.receive(), End):
                    pass
        except Exception:  # noqa: BLE001, S110 - how a stream ends does not matter when its outcome is known
            pass
