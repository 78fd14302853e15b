"""Spans of transfers and calls, over real connections and with OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from client.lab import NAME, Lab
from unspool import Client, LimitOptions, MemoryStore, Server, ServerOptions, TransferOptions
from unspool.client.events import Repairing, Restarting, TransferBegan, TransferEnded
from unspool.errors import FileChangedError, NotFoundError, UnspoolError
from unspool.rpc.status import STATUS
from unspool.rpc.taskmetadata import task_metadata
from unspool.watch.tracing import NUMBERS, ClientTracing, ServerTracing

MIB = 1 << 20


class Collected:
    """What an SDK collects."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.client, self.server = ClientTracing(self.provider), ServerTracing(self.provider)

    def spans(self, kind: SpanKind) -> Sequence[ReadableSpan]:
        """Return the spans that have ended, of one side."""
        return [span for span in self._exporter.get_finished_spans() if span.kind is kind]


@pytest.fixture
def collected() -> Collected:
    """What is collected in a test."""
    return Collected()


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return span.parent.span_id if span.parent is not None else None


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


async def test_a_transfer_is_one_span_with_its_attempts(collected: Collected, tmp_path: Path) -> None:
    """However many streams it takes, a download is one span below the caller's, and each stream a span below that."""
    limits = ServerOptions(limits=LimitOptions(stream_age=0.0))
    options = TransferOptions(jobs=1)
    async with (
        Server(MemoryStore({"a": bytes(4 * MIB)}), options=limits, observers=[collected.server]) as server,
        Client(server.address, options=options, observers=[collected.client], metadata=[("mine", "kept")]) as client,
    ):
        with collected.provider.get_tracer("test").start_as_current_span("caller") as caller:
            result = await client.get("a", tmp_path / "a")
    (transfer,) = collected.spans(SpanKind.CLIENT)
    calls = collected.spans(SpanKind.SERVER)
    assert result.attempts > 2
    assert transfer.name == "unspool get"
    assert parent_of(transfer) == caller.get_span_context().span_id
    attempts = [
        event.attributes["unspool.attempt"] for event in transfer.events if event.name == "attempt" and event.attributes
    ]
    assert attempts == list(range(1, result.attempts + 1))
    assert sum(event.name == "retrying" for event in transfer.events) == result.attempts - 1
    assert transfer.status.status_code is StatusCode.UNSET
    assert transfer.context is not None
    assert {parent_of(call) for call in calls} == {transfer.context.span_id}
    assert {call.context.trace_id for call in calls if call.context} == {caller.get_span_context().trace_id}
    assert sorted(int(str(attributes_of(call)["unspool.attempt"])) for call in calls) == attempts
    ended = {str(attributes_of(call)["unspool.outcome"]): call for call in calls}
    assert ended.keys() == {"OK", "STREAM_AGE"}
    assert ended["STREAM_AGE"].status.status_code is StatusCode.ERROR
    assert attributes_of(ended["STREAM_AGE"])["rpc.grpc.status_code"] == 14
    assert (ended["OK"].status.status_code, attributes_of(ended["OK"])["rpc.grpc.status_code"]) == (StatusCode.UNSET, 0)
    assert task_metadata() == ()


async def test_a_stream_that_was_left_is_no_success(collected: Collected) -> None:
    """A client that leaves in the middle is CANCELLED at the server, with gRPC's number for that, and not OK."""
    async with (
        Server(MemoryStore({"a": bytes(64 * MIB)}), observers=[collected.server]) as server,
        Client(server.address, observers=[collected.client]) as client,
    ):
        async with client.open("a") as reading:
            await anext(aiter(reading))
        while not collected.spans(SpanKind.SERVER):
            await asyncio.sleep(0.01)
    (call,) = collected.spans(SpanKind.SERVER)
    assert attributes_of(call)["rpc.grpc.status_code"] == 1
    assert attributes_of(call)["unspool.outcome"] == "CANCELLED"


async def test_errors_have_their_status(collected: Collected) -> None:
    """A file that is not there is an error of the client's span, and not the server's fault."""
    async with (
        Server(MemoryStore(), observers=[collected.server]) as server,
        Client(server.address, observers=[collected.client]) as client,
    ):
        with pytest.raises(NotFoundError):
            await client.stat("nope")
    (transfer,), (call,) = collected.spans(SpanKind.CLIENT), collected.spans(SpanKind.SERVER)
    assert (transfer.status.status_code, transfer.status.description) == (StatusCode.ERROR, "nope: no such file")
    assert (call.status.status_code, attributes_of(call)["rpc.grpc.status_code"]) == (StatusCode.UNSET, 5)


async def test_a_transfer_that_is_cancelled_is_an_error_of_its_span(collected: Collected) -> None:
    """A caller that is cancelled leaves an ended span, with the outcome CANCELLED."""
    lab = Lab()
    async with lab.client_of(lab.transport) as client:
        listing = client.list(observers=[collected.client])
        await anext(listing)
        await listing.aclose()
    (transfer,) = collected.spans(SpanKind.CLIENT)
    assert (transfer.status.status_code, transfer.status.description) == (StatusCode.ERROR, "CANCELLED")


async def test_transfers_side_by_side_keep_their_contexts(collected: Collected) -> None:
    """Two reads of one task, taking turns, send each its own context: their calls are below the right transfers."""
    async with (
        Server(MemoryStore({"a": bytes(9), "b": bytes(9)}), observers=[collected.server]) as server,
        Client(server.address, observers=[collected.client]) as client,
        client.open("a") as first,
        client.open("b") as second,
    ):
        assert len(await second.read()) == len(await first.read()) == 9
    transfers = {attributes_of(span)["unspool.name"]: span.context for span in collected.spans(SpanKind.CLIENT)}
    calls = {attributes_of(span)["unspool.name"]: parent_of(span) for span in collected.spans(SpanKind.SERVER)}
    assert calls == {name: context.span_id for name, context in transfers.items() if context}


def test_restarts_and_repairs_are_events(collected: Collected) -> None:
    """What happens in a transfer besides attempts is an event of its span; of unknown transfers nothing is kept."""
    for event in (
        Repairing(5, "unknown"),
        TransferBegan("get", NAME, "t"),
        Restarting(FileChangedError("changed"), 0.5, "t"),
        Repairing(16, "t"),
        TransferEnded("get", NAME, "OK", "", None, 1, 5, 0.5, "t"),
    ):
        collected.client.notify(event)
    (span,) = collected.spans(SpanKind.CLIENT)
    assert [event.name for event in span.events] == ["restarting", "repairing"]


def test_every_outcome_has_a_number() -> None:
    """The status of a span is the status of the call, for every error there is."""
    for kind, code in STATUS.items():
        assert issubclass(kind, UnspoolError)
        assert NUMBERS[kind.reason] == code.value[0]
