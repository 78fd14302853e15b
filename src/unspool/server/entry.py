"""The one entry for every call of every dialect.

A dialect defines its methods, how to decode their requests, and what each request asks for. The entry makes the handlers, so
every method passes through the same steps, in this order:

    answering   an exception becomes the status of the call
    reported    the call is reported when it ends, however it does (report.py)
    identify    who makes the call (guard.py)
    concerns    the call is admitted and counted for that caller (admission.py, streams.py)
    request     the request is waited for, so long and no longer (requests.py)
    decode      the request is parsed only now, so a refused call costs little
    asked       the names in the request are known from here on
    authorize   whether the caller may do that, before the store is asked (guard.py)

Health and reflection have an entry of their own (probes.py), with the same limits, because they are open on purpose: they say
nothing about files, and a load balancer's probe, or a person exploring the server, should not need what a client needs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import grpc

from unspool.core.access import Credentials, Extent, Principal, Right, Verdict
from unspool.core.model import Page
from unspool.core.uploading import GoodSpan
from unspool.core.value import value
from unspool.errors import AccessError, ServerError, UnspoolError
from unspool.rpc import status
from unspool.server.inlet import Inlet
from unspool.server.outlet import ClientGoneError

log = logging.getLogger("unspool.server")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


@value
class Caller:
    """The client that makes a call.

    Attributes:
        address: its address as gRPC writes it, with the port: `ipv4:127.0.0.1:50000`.
        principal: who it is; None if it was not identified.
    """

    address: str
    principal: Principal | None = None

    @property
    def peer(self) -> str:
        """The name of the principal, or the host if there is none. Limits on one peer are counted by it."""
        return self.host if self.principal is None else f"principal {self.principal.name}"

    @property
    def host(self) -> str:
        """The address without the port: `ipv4:127.0.0.1`."""
        return self.address.rpartition(":")[0] if self.address.startswith(("ipv4:", "ipv6:")) else self.address


@value
class Asked:
    """What a call asks for.

    Attributes:
        names: the names of the files, or the prefix.
        start: first byte wanted, of the first file.
        transfer_id, attempt: as the client set them in the request.
        batch: whether it is a batch, even of one file.
        right: the right that the caller needs.
    """

    names: tuple[str, ...]
    start: int = 0
    transfer_id: str = ""
    attempt: int = 0
    batch: bool = False
    right: Right = "read"


@dataclass(slots=True)
class Sent:
    """What was handed to gRPC of one file of a batch.

    Attributes:
        bytes: how many bytes of its content.
        ended: whether its last piece was handed over.
        error: the error that ended it, or None.
    """

    bytes: int = 0
    ended: bool = False
    error: UnspoolError | None = None


class Call:
    """One call, from its arrival to its end.

    Attributes:
        method: the method's name, such as `ReadFile`.
        streams: whether the response is a stream.
        caller: the client that makes the call.
        context: gRPC's context of the call.
        asked: what the call asks for; empty until the request is decoded.
        bytes: file bytes handed to gRPC, or received by a call that writes.
        sent: what was handed to gRPC of each file of a batch, by its index. Files that were not begun are missing.
        credentials: what the caller showed. Not for logs.
        refusal: why the caller could not be identified; None if it could, or showed nothing.
        refused: the files of a batch that the caller may not read, by their index.
        extent: how much the caller may see of a listing.
        verdicts: what was decided about each name asked for, as far as it was decided.
        served: the revision and the span that are served of each name, by its index.
        coming: the span from the first byte that is missing of an upload to its end; None if that is not known.
        decided_at: the version of tokens and rules by which that was decided.
        recheck: decides again, if something has changed. None if nothing is decided about calls.
        earlier: how many files of a batch were answered and forgotten, and how many of these failed: a stream that writes has a
            batch in each message.
        waiting: files of a batch that was received and not answered.
        decide: decides about another batch of the call. Returns why files are refused, by their index.
        flush: tells the audit of the decisions so far. None if there is no audit.
        good: what the server has of the upload of the call, for its refusal.
        inlet: receives what comes after the first message.
        answered: whether the last message of a two-way stream was sent, so that nothing can be refused any more.
        shown: returns what the caller may see of a page of its listing, None for nothing. None if that is everything.
        hides: see `ListRequest.hides`.
        sees: whether the caller may see a name among the calls that it watches. None if it may see everything.
    """

    def __init__(self, method: Method, context: Context) -> None:
        self.method = method.name
        self.streams = method.streams
        self.caller = Caller(context.peer())  # read now: gRPC no longer knows it once the client has left
        self.context = context
        self.asked = Asked(())
        self.bytes = 0
        self.sent: dict[int, Sent] = {}
        self.credentials = Credentials(self.caller.address)
        self.refusal: AccessError | None = None
        self.refused: dict[int, AccessError] = {}
        self.extent: Extent = "all"
        self.verdicts: list[Verdict] = []
        self.served: dict[int, tuple[str, tuple[int, int] | None]] = {}
        self.coming: tuple[int, int] | None = None
        self.decided_at: tuple[object, ...] = ()
        self.recheck: Callable[[], Awaitable[None]] | None = None
        self.earlier = (0, 0)
        self.waiting = 0
        self.decide: Callable[[Asked], Mapping[int, AccessError]] = lambda _: {}
        self.flush: Callable[[], None] | None = None
        self.good: tuple[GoodSpan, ...] = ()
        self.answered = False
        self.inlet = Inlet(context)
        self.shown: Callable[[Page], Awaitable[Page | None]] | None = None
        self.hides: Callable[[str], bool] | None = None
        self.sees: Callable[[str], bool] | None = None


Refuse: TypeAlias = Callable[[Call, UnspoolError], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a dialect.

    Attributes:
        name: the method's name, such as `ReadFile`.
        decode: parses a request. Raises InvalidRequestError or a subclass if it is malformed.
        asks: returns what a request asks for.
        answer: answers a request. It sends messages through an outlet, or returns the last one, or the only one.
        streams: whether the response is a stream of messages, so that the call takes a place among the streams.
        returns: whether `answer` returns the last message, which leaves together with the status. A response that is no stream
            is always returned.
        refuses: tells the client of an error by a message, after which the call ends with OK. None: by the status of the call.
    """

    name: str
    decode: Callable[[bytes], Any]
    asks: Callable[[Any], Asked]
    answer: Callable[[Any, Call], Awaitable[bytes | None]]
    streams: bool = True
    returns: bool = False
    refuses: Refuse | None = None


class Dialect(Protocol):
    """A protocol that the server speaks over its store."""

    @property
    def service(self) -> str:
        """The full name of the gRPC service."""
        ...

    def methods(self) -> Sequence[Method]:
        """Return all methods of the service."""
        ...


class Requests(Protocol):
    """Receives the requests of calls; see requests.py."""

    async def first(self, call: Call) -> bytes:
        """Return the first request of a call. Raises an UnspoolError if none comes, or not in time."""
        ...


Concern: TypeAlias = Callable[[Call], AbstractContextManager[object]]
"""A context manager around every call. It may refuse the call by raising, and it sees how the call ends."""


class Access(Protocol):
    """Decides who makes a call, and whether it may; see guard.py."""

    async def identify(self, call: Call) -> None:
        """Find out who makes a call. Raises nothing: a failure is for `authorize` to raise."""
        ...

    def authorize(self, call: Call) -> None:
        """Decide about a call. Raises AccessError if it is refused."""
        ...


class Entry:
    """Makes the handlers of dialects.

    Args:
        reported: the context manager that sees how a call ends.
        concerns: the context managers around every call whose caller is known, outermost first.
        requests: receives the requests.
        access: decides about every call; None if everybody may do everything.
    """

    def __init__(self, reported: Concern, *concerns: Concern, requests: Requests, access: Access | None = None) -> None:
        self._reported = reported
        self._concerns = concerns
        self._requests = requests
        self._access = access

    def handlers(self, dialect: Dialect) -> grpc.GenericRpcHandler:
        """Return what to hand to `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            dialect.service, {method.name: self._handler(method) for method in dialect.methods()}
        )

    # Without (de)serialisers: a request that does not parse is then answered with our error, instead of logged by gRPC.
    # Registered as methods that take a stream of requests, which is the same on the wire: gRPC runs the handler of any other
    # only after the request has come, and waits for that without a limit, where nothing counts the call.
    def _handler(self, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def enter(_: object, context: Context) -> bytes | None:
            call = Call(method, context)
            async with answering(context, method.refuses and partial(method.refuses, call)):
                with ExitStack() as stack:
                    stack.enter_context(self._reported(call))
                    if self._access is not None:
                        await self._access.identify(call)
                    for concern in self._concerns:
                        stack.enter_context(concern(call))
                    if call.refusal is not None:
                        raise call.refusal
                    wanted = method.decode(await self._requests.first(call))
                    call.asked = method.asks(wanted)
                    if self._access is not None:
                        self._access.authorize(call)
                        call.decide = partial(_decide, self._access, call)
                    return await method.answer(wanted, call)
            return None

        # On the wire a single response is a stream of one. gRPC sends what a handler of such a method returns together with the
        # status, in one step instead of two, and takes messages before it from any handler (decision 0092).
        if method.streams and not method.returns:
            return grpc.stream_stream_rpc_method_handler(enter)
        return grpc.stream_unary_rpc_method_handler(enter)


def _decide(access: Access, call: Call, asked: Asked) -> Mapping[int, AccessError]:
    call.asked = asked
    access.authorize(call)
    return call.refused


@asynccontextmanager
async def answering(context: Context, refuse: Callable[[UnspoolError], Awaitable[None]] | None = None) -> AsyncIterator[None]:
    """Turn an exception into the status of the call, or into a refusal. Nothing else does."""
    try:
        yield
    except ClientGoneError:
        # Returning would have gRPC send a status, which fails, and log that with a traceback: a client could fill the log.
        raise asyncio.CancelledError from None
    except UnspoolError as error:
        failed = error
    except Exception as error:
        log.exception("a call failed with an unexpected error")
        failed = ServerError(f"internal error: {type(error).__name__}")
    else:
        return
    try:
        if refuse is None:
            await context.abort(*status.encode_error(failed))
        else:
            await refuse(failed)
    except grpc.aio.InternalError:  # the client has left meanwhile; see above
        raise asyncio.CancelledError from None
