"""A gRPC connection that sends and receives serialised messages, and raises errors of `unspool.errors` only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from unspool.core import windows
from unspool.core.address import is_loopback
from unspool.errors import (
    ConnectError,
    InvalidRequestError,
    StalledError,
    TokenRefusedError,
    UnauthenticatedError,
    UnspoolError,
)
from unspool.options import Metadata
from unspool.rpc import forks, status
from unspool.rpc.bearer import Bearer, Header
from unspool.rpc.taskmetadata import task_metadata
from unspool.rpc.tls import open_channel
from unspool.rpc.twoway import TwoWayStream

if TYPE_CHECKING:
    from unspool.rpc.certificates import Certificates, Pems

T = TypeVar("T")

# These settings take effect with any server.
CHANNEL_OPTIONS: list[tuple[str, int]] = [
    # The client's own budget decides when to retry. With gRPC's backoff (1 s growing to 120 s) an attempt could fail without
    # trying to connect.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # this is the timeout for connecting
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Retries made inside gRPC would not be counted.
    ("grpc.enable_retries", 0),
    # Otherwise channels of one process share connections, and a new channel would reuse the old connection.
    ("grpc.use_local_subchannel_pool", 1),
    # Largest HTTP/2 frame: a block in one frame instead of 64. Measured: +13 % (docs/measurements.md).
    ("grpc.http2.max_frame_size", 4 << 20),
]


_PING_SECONDS = 10

REPLICA_OPTIONS: list[tuple[str, int]] = [
    # gRPC pings on its own while data comes, to measure the link. It gives a connection up if the answer takes this long (60 s
    # by default), so a server that freezes is found sooner than by the idle timeout: measured, within a second of it.
    ("grpc.http2.ping_timeout_ms", _PING_SECONDS * 1000),
    # It does that only if keepalive is on. No other pings are wanted: servers allow one in 5 minutes while no data comes.
    ("grpc.keepalive_time_ms", 360_000),
]
"""For one of several servers. On a slow link the answer waits behind data: the next connection then has `slow_options`."""

_PING_TIMEOUT = "ping timeout"
"""gRPC's text about a connection that it gave up."""

_NO_PROXY = ("grpc.enable_http_proxy", 0)
"""gRPC uses the proxy in `grpc_proxy`, `https_proxy` or `http_proxy`. No proxy can reach this machine's loopback addresses."""

_LEAST_WINDOW = 16 * 1024
"""Bytes. gRPC enlarges the window itself while it waits for a larger message."""

_SLOW_PING_MS = 600_000


def slow_options(window: int) -> list[tuple[str, int]]:
    """Return the options of a channel over a slow network, for about `window` bytes in flight."""
    return [
        ("grpc.http2.lookahead_bytes", max(window, _LEAST_WINDOW)),
        # The answer to a ping waits behind all bytes in flight.
        ("grpc.http2.ping_timeout_ms", _SLOW_PING_MS),
    ]


def bounded_options(window: int) -> list[tuple[str, int]]:
    """Return the options of a channel, or of a server, each of whose calls receives at most `window` bytes ahead."""
    return [("grpc.http2.lookahead_bytes", window), ("grpc.http2.bdp_probe", 0)]


class _Running:
    """Counts the running calls of the process."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()  # each event loop may have a thread of its own

    def add(self, calls: int) -> None:
        """Count calls that began, or with a negative number calls that ended."""
        with self._lock:
            self.count += calls


running = _Running()


class Connection:
    """A gRPC channel to one server. Calls take and return serialised messages, and raise errors of `unspool.errors` only.

    Args:
        target: `HOST:PORT`, or anything gRPC can resolve; after `unspools://` over TLS.
        metadata: sent with every call.
        certificates: for TLS; None connects without TLS. When they change, later calls use a new channel: an existing one keeps
            its certificates, and could not connect again once they have expired.
        bearer: the token that is sent with every call; None sends none.
        replica: whether there are other servers with the same files. Then a server that is frozen is noticed sooner.
    """

    def __init__(
        self,
        target: str,
        metadata: Metadata = (),
        certificates: Certificates | None = None,
        bearer: Bearer | None = None,
        *,
        replica: bool = False,
    ) -> None:
        self.target = target
        self._replica = replica
        self._bearer = bearer
        self._metadata = tuple(metadata)
        self._certificates = certificates
        self._closed = False
        self._answered = False  # whether the server has answered any call
        self._window: int | None = None
        self._channel: _Channel | None = None  # made on first use, because a channel belongs to the event loop it is made in
        self._replaced: list[_Channel] = []  # replaced channels that still have calls
        self._closing: set[asyncio.Task[None]] = set()

    def _open_channel(self) -> _Channel:
        if self._closed:
            raise self._closed_error()
        loop = asyncio.get_running_loop()
        if self._channel is not None and self._channel.loop is not loop:
            raise self._foreign_error(self._channel)
        pems = None if self._certificates is None else self._certificates.current()
        if self._channel is not None and self._channel.pems is not pems:
            self._replace_channel()
        present = None if self._channel is None else self._channel.window
        window = windows.window(running.count, present) if self._window is None else None
        if window != present:
            self._replace_channel()
        if self._channel is None:
            options: list[tuple[str, int | str]] = [*CHANNEL_OPTIONS]
            if self._window is not None:
                options += slow_options(self._window)
            elif self._replica:
                options += REPLICA_OPTIONS
            if window is not None:
                options += bounded_options(window)
            if self._certificates is not None and self._certificates.host is not None:
                options.append(("grpc.ssl_target_name_override", self._certificates.host))
            if is_loopback(self.target):
                options.append(_NO_PROXY)
            forks.check()
            channel = open_channel(self.target, pems, options)
            forks.note(channel)
            self._channel = _Channel(channel, loop, pems, window)
        return self._channel

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`. If several callers find the same channel silent, the first one replaces it for all."""
        if self._channel is not None and self._channel.given_up and not self._closed:
            self._window = window
            self._replace_channel()

    def _replace_channel(self) -> None:
        """Have the next call open another channel. Running calls keep theirs."""
        if self._channel is not None:
            self._replaced.append(self._channel)
            self._channel = None
            self._let_go()

    # Without (de)serialisers: a message that does not parse then raises our error, instead of being logged by gRPC.

    async def call(self, method: str, request: bytes) -> bytes:
        """Make a unary call."""
        shown = await self._shown()
        channel = self._open_channel()
        make: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.grpc_channel.unary_unary(method)
        call = make(request, metadata=(*self._metadata, *shown, *task_metadata()))
        async with _CallScope(self, call, channel, shown):
            return await call

    async def stream(
        self, method: str, request: bytes, decode: Callable[[bytes], T], ends: Callable[[T], bool] = lambda _: False
    ) -> AsyncGenerator[T, None]:
        """Yield a stream's messages, decoded. Closing the generator cancels the call.

        `ends` returns whether a message should be the last one: its status is right behind it. gRPC may note that before the
        end is asked for, which then takes no step of the network's thread.
        """
        shown = await self._shown()
        channel = self._open_channel()
        make: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.grpc_channel.unary_stream(method)
        call = make(request, metadata=(*self._metadata, *shown, *task_metadata()))
        async with _CallScope(self, call, channel, shown) as scope:
            while isinstance(message := await call.read(), bytes):  # anything else is grpc.aio.EOF
                scope.answered = True
                decoded = decode(message)
                yield decoded
                if ends(decoded):
                    await asyncio.sleep(0)

    @asynccontextmanager
    async def two_way(self, method: str) -> AsyncGenerator[TwoWayStream, None]:
        """Open a two-way stream. Leaving the block cancels what is still running."""
        shown = await self._shown()
        channel = self._open_channel()
        make: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.grpc_channel.stream_stream(method)
        call = make(metadata=(*self._metadata, *shown, *task_metadata()))
        async with _CallScope(self, call, channel, shown) as scope:
            yield TwoWayStream(call, scope)

    async def aclose(self) -> None:
        """Close the channel. Running calls fail."""
        loop = asyncio.get_running_loop()
        channels = [channel for channel in (self._channel, *self._replaced) if channel is not None]
        for channel in channels:
            if channel.loop is not loop and not channel.loop.is_closed():
                raise self._foreign_error(channel)
        self._closed = True
        for channel in channels:
            if channel.loop is loop:  # a channel of a loop that has ended cannot be closed
                await channel.grpc_channel.close()
        self._channel = None
        self._replaced.clear()
        await asyncio.gather(*(closing for closing in self._closing if closing.get_loop() is loop))

    def _let_go(self) -> None:
        """Close the replaced channels that have no calls left."""
        for channel in [channel for channel in self._replaced if not channel.calls and not self._closed]:
            self._replaced.remove(channel)
            closing = asyncio.ensure_future(channel.grpc_channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _shown(self) -> tuple[Header, ...]:
        """Return the metadata that holds the token, if there is one."""
        return () if self._bearer is None else (await self._bearer.header(),)

    async def _meaning(self, error: grpc.aio.AioRpcError, channel: _Channel, scope: _CallScope) -> UnspoolError:
        """Return the error that a call's status stands for."""
        from unspool.rpc.connecterrors import explain, is_no_grpc, may_be_tls  # noqa: PLC0415 - most calls end well

        metadata, details = error.trailing_metadata() or (), error.details() or ""
        # A proxy may send an answer without messages as headers only. Then the trailers arrive as headers: the status is lost
        # (gRPC reports UNKNOWN), and its details are in the initial metadata. Seen: Caddy with `flush_interval -1`.
        if not metadata and any(key == status.DETAILS_KEY for key, _ in error.initial_metadata() or ()):
            metadata = error.initial_metadata()
        # A server's answer carries metadata; a status that gRPC itself makes up locally does not.
        if not metadata and not scope.answered and (is_no_grpc(details) or channel.failed_to_connect()):
            fault = None
            # A server that has answered before may only be restarting.
            if not self._answered and may_be_tls(details):
                from unspool.rpc.tlsprobe import find_fault  # noqa: PLC0415 - it loads ssl and certificates

                fault = await asyncio.to_thread(find_fault, self.target, self._certificates)
            return fault or ConnectError(explain(self.target, details))
        if not metadata and _PING_TIMEOUT in details:
            channel.given_up = True
            return StalledError(f"{self.target}: the server did not answer a ping for {_PING_SECONDS} s")
        self._answered = self._answered or bool(metadata)
        meaning = status.decode_error(error.code(), details, metadata, server=self.target)
        if isinstance(meaning, UnauthenticatedError) and self._bearer is not None and await self._bearer.renewed(*scope.shown):
            return TokenRefusedError(meaning.message, name=meaning.name, retry_after=0.0)
        return meaning

    def _foreign_error(self, channel: _Channel) -> UnspoolError:
        how = "an event loop that has ended" if channel.loop.is_closed() else "another event loop"
        return InvalidRequestError(f"{self.target}: the client was first used in {how}: make a client for each loop")

    def _closed_error(self) -> UnspoolError:
        return InvalidRequestError(f"{self.target}: the client is closed: make a new one")


class _CallScope:
    """One call, from its beginning to its end. Leaving it cancels the call, and raises the error that its status stands for.

    Attributes:
        shown: the metadata with the token that was sent; empty without a token.
        answered: whether a message has arrived, which shows that the other side speaks gRPC.
    """

    __slots__ = ("_call", "_channel", "_connection", "answered", "shown")

    def __init__(self, connection: Connection, call: grpc.aio.Call, channel: _Channel, shown: tuple[Header, ...]) -> None:
        self._connection = connection
        self._call = call
        self._channel = channel
        self.shown = shown
        self.answered = False

    async def __aenter__(self) -> Self:
        self._channel.calls += 1
        running.add(1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._connection._answered = True
            elif isinstance(error, grpc.aio.AioRpcError):
                raise await self._connection._meaning(error, self._channel, self) from error
            elif isinstance(error, GeneratorExit):
                self._channel.given_up = True
            elif isinstance(error, asyncio.CancelledError):
                await self._cancelled(error)
        finally:
            self._call.cancel()
            self._channel.calls -= 1
            running.add(-1)
            self._connection._let_go()

    async def _cancelled(self, error: asyncio.CancelledError) -> None:
        """Raise the error of a call that others cancelled. Return if the caller was cancelled."""
        task = asyncio.current_task()
        if (task is not None and task.cancelling()) or not self._call.done():
            self._channel.given_up = True
            return
        # grpc.aio also raises CancelledError when the channel was closed, or (older versions) when the server cancelled.
        if self._connection._closed:
            raise self._connection._closed_error() from error
        metadata, details = await self._call.trailing_metadata(), await self._call.details()
        server = self._connection.target
        raise status.decode_error(grpc.StatusCode.CANCELLED, details, metadata or (), server=server) from error


@dataclass(slots=True, eq=False)
class _Channel:
    """One gRPC channel and the state of its calls.

    Attributes:
        loop: the event loop that it was made in, the only one it works in.
        pems: the certificates that it uses; None if it is without TLS.
        window: how many bytes each call receives ahead; None if gRPC decides that.
        calls: the number of running calls.
        given_up: whether a caller stopped waiting for one of its calls.
    """

    grpc_channel: grpc.aio.Channel
    loop: asyncio.AbstractEventLoop
    pems: Pems | None
    window: int | None = None
    calls: int = 0
    given_up: bool = False

    def failed_to_connect(self) -> bool:
        return self.grpc_channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
