"""The one entry for every call of every dialect.

A dialect says which methods there are, how a request is decoded, and what it asks for. The entry makes the handlers. So no
method can forget what all have in common, in this order:

    answering   what goes wrong becomes the status of the call
    concerns    each a small thing of its own: reported, admitted, counted (report.py, admission.py, streams.py)
    decode      only now: who is refused costs no more than that
    asked       what the request is about: from here on its names are known

Health and reflection do not come in here. They are gRPC's own, say nothing about files, and are open by choice: a balancer
that probes and a person who looks around should not need what a client needs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc

from unspool.core.value import value
from unspool.errors import ServerError, UnspoolError
from unspool.rpc import status
from unspool.server.outlet import ClientGoneError

log = logging.getLogger("unspool.server")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


@value
class Caller:
    """Who asks.

    Attributes:
        address: as gRPC writes it, with the port: `ipv4:127.0.0.1:50000`.
    """

    address: str

    @property
    def host(self) -> str:
        """The address without the port, by which limits are kept: `ipv4:127.0.0.1`."""
        return self.address.rpartition(":")[0] if self.address.startswith(("ipv4:", "ipv6:")) else self.address


@value
class Asked:
    """What a call is about.

    Attributes:
        names: of the files, or of the prefix.
        start: first byte wanted, of the first file.
        transfer_id, attempt: what the client calls it.
        batch: whether it is about several files, each with an end of its own, even if only one was named.
    """

    names: tuple[str, ...]
    start: int = 0
    transfer_id: str = ""
    attempt: int = 0
    batch: bool = False


@dataclass(slots=True)
class Sent:
    """What was handed to gRPC of one file of a batch.

    Attributes:
        bytes: of its content.
        ended: whether nothing more of it follows.
        error: that ended it, if one did.
    """

    bytes: int = 0
    ended: bool = False
    error: UnspoolError | None = None


class Call:
    """One call, from its coming in to its end.

    Attributes:
        method: `ReadFile`.
        streams: whether it is answered with a stream.
        caller: who asks.
        context: gRPC's side of it.
        asked: what it is about; nothing, until the request is decoded.
        bytes: of files that were handed to gRPC.
        sent: the same for each file of a batch that was begun, by its index.
    """

    def __init__(self, method: Method, context: Context) -> None:
        self.method = method.name
        self.streams = method.streams
        self.caller = Caller(context.peer())  # gRPC forgets it when the client has gone
        self.context = context
        self.asked = Asked(())
        self.bytes = 0
        self.sent: dict[int, Sent] = {}


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a dialect.

    Attributes:
        name: `ReadFile`.
        decode: parses a request; raises InvalidRequestError, or one of its kind, if it is not one.
        asks: says what a request is about.
        answer: answers it.
        streams: whether `answer` sends messages itself, by way of an outlet; else it returns the one message.
    """

    name: str
    decode: Callable[[bytes], Any]
    asks: Callable[[Any], Asked]
    answer: Callable[[Any, Call], Awaitable[bytes | None]]
    streams: bool = True


class Dialect(Protocol):
    """A protocol that the server speaks over its store."""

    @property
    def service(self) -> str:
        """The full name of the service, as gRPC knows it."""
        ...

    def methods(self) -> Sequence[Method]:
        """Return all methods of the service."""
        ...


Concern: TypeAlias = Callable[[Call], AbstractContextManager[object]]
"""Something that every call goes through: it may refuse the call when entered, and sees how the call ends."""


class Entry:
    """Makes the handlers of dialects.

    Args:
        concerns: what every call goes through, the outermost first.
    """

    def __init__(self, *concerns: Concern) -> None:
        self._concerns = concerns

    def handlers(self, dialect: Dialect) -> grpc.GenericRpcHandler:
        """Return what to hand to `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            dialect.service, {method.name: self._handler(method) for method in dialect.methods()}
        )

    # Without (de)serialisers, so that what does not parse is our error and not gRPC's log line.
    def _handler(self, method: Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def enter(request: bytes, context: Context) -> bytes | None:
            call = Call(method, context)
            async with answering(context):
                with ExitStack() as stack:
                    for concern in self._concerns:
                        stack.enter_context(concern(call))
                    wanted = method.decode(request)
                    call.asked = method.asks(wanted)
                    return await method.answer(wanted, call)
            return None

        if method.streams:
            return grpc.unary_stream_rpc_method_handler(enter)
        return grpc.unary_unary_rpc_method_handler(enter)


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Turn what goes wrong inside into the status of the call: the one place where that is done."""
    try:
        yield
    except ClientGoneError:
        return
    except UnspoolError as error:
        code, message, metadata = status.encode_error(error)
    except Exception as error:
        log.exception("a call failed in a way nobody foresaw")
        code, message, metadata = status.encode_error(ServerError(f"internal error: {type(error).__name__}"))
    else:
        return
    await context.abort(code, message, metadata)
