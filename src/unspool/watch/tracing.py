"""Traces by OpenTelemetry (the extra `otel`, which is its API only: an SDK of your choice collects them).

    client = unspool.Client("host:50051", observers=[ClientTracing()])
    server = unspool.Server(store, observers=[ServerTracing()])

A transfer is one span, with its attempts as events. Each call that reaches a server is a span there, a child of the transfer's,
because the attempt carries its context in the metadata. See docs/decisions/0042.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from unspool._version import __version__
from unspool.client.events import (
    AttemptBegan,
    Event,
    Repairing,
    Restarting,
    Retrying,
    Started,
    TransferBegan,
    TransferEnded,
)
from unspool.core.extras import extra
from unspool.options import Metadata
from unspool.rpc.status import STATUS
from unspool.rpc.taskmetadata import set_task_metadata, task_metadata
from unspool.server.entry import Call
from unspool.server.report import CallEnd

with extra("otel"):
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

_Attributes: TypeAlias = Mapping[str, str | int | float]

_CANCELLED = 1
"""The number of gRPC's status for a call whose client left."""

NUMBERS: dict[str, int] = {
    "OK": 0,
    "CANCELLED": _CANCELLED,
    **{kind.reason: code.value[0] for kind, code in STATUS.items()},
}
"""The number of gRPC's status for each outcome of a call."""

_SERVERS_FAULT = {2, 4, 12, 13, 14, 15}
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: OpenTelemetry's conventions call these errors of
a server. The others, such as a file that is not there or a client that left, are not."""


class ClientTracing:
    """An observer of clients: makes a span of each transfer, below the span that is current when the transfer begins.

    Args:
        provider: makes the tracer; the global one if not given.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("unspool.client", __version__, provider)
        self._open: dict[str, _Open] = {}

    def notify(self, event: Event) -> None:
        """See `unspool.Observer`."""
        if isinstance(event, TransferBegan):
            attributes: _Attributes = {"unspool.transfer_id": event.transfer, "unspool.name": event.name}
            span = self._tracer.start_span(f"unspool {event.call}", kind=SpanKind.CLIENT, attributes=attributes)
            self._open[event.transfer] = _Open(span, task_metadata())
        elif (there := self._open.get(event.transfer)) is not None:
            self._tell(there, event)

    def _tell(self, there: _Open, event: Event) -> None:
        span = there.span
        match event:
            case AttemptBegan(attempt):
                span.add_event("attempt", {"unspool.attempt": attempt})
                carrier: dict[str, str] = {}
                propagate.inject(carrier, trace.set_span_in_context(span))
                set_task_metadata((*there.before, *carrier.items()))
            case Started(_, size, resumed_from):
                span.set_attributes({"unspool.size": -1 if size is None else size, "unspool.resumed_from": resumed_from})
            case Retrying(error, attempt, wait):
                about: _Attributes = {"unspool.attempt": attempt, "unspool.wait": wait}
                span.add_event("retrying", {"unspool.reason": error.reason, "unspool.message": error.message, **about})
            case Restarting(error, wait):
                span.add_event("restarting", {"unspool.reason": error.reason, "unspool.wait": wait})
            case Repairing(bad):
                span.add_event("repairing", {"unspool.bytes": bad})
            case TransferEnded():
                del self._open[event.transfer]
                set_task_metadata(there.before)
                span.set_attributes(
                    {
                        "unspool.outcome": event.outcome,
                        "unspool.attempts": event.attempts,
                        "unspool.bytes_received": event.bytes_received,
                        "unspool.bytes_sent": event.bytes_sent,
                    }
                )
                if event.outcome != "OK":
                    span.set_status(StatusCode.ERROR, event.message or event.outcome)
                span.end()


@dataclass(frozen=True, slots=True)
class _Open:
    """A span that has not ended.

    Attributes:
        before: the metadata that the task sent along before the transfer.
    """

    span: Span
    before: Metadata


class ServerTracing:
    """An observer of servers: makes a span of each call, below that of the transfer which made it.

    Args:
        provider: makes the tracer; the global one if not given.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("unspool.server", __version__, provider)

    def begin(self, call: Call) -> Callable[[CallEnd], None]:
        """See `unspool.server.report.CallWatcher`."""
        sent = {key: value for key, value in call.context.invocation_metadata() or () if isinstance(value, str)}
        attributes: _Attributes = {"rpc.system": "grpc", "rpc.method": call.method}
        span = self._tracer.start_span(
            f"unspool {call.method}", propagate.extract(sent), kind=SpanKind.SERVER, attributes=attributes
        )

        def end(event: CallEnd) -> None:
            code = NUMBERS.get(event.outcome, NUMBERS["SERVER_ERROR"])
            span.set_attributes(
                {
                    "rpc.grpc.status_code": code,
                    "unspool.outcome": event.outcome,
                    "unspool.name": event.name,
                    "unspool.start": event.start,
                    "unspool.bytes": event.bytes,
                    "unspool.attempt": event.attempt,
                    "unspool.transfer_id": event.transfer_id,
                }
            )
            if code in _SERVERS_FAULT:
                span.set_status(StatusCode.ERROR, event.message or event.outcome)
            span.end()

        return end
