"""PROTOCOL.md against the code: its tables and its examples are what the code does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from house.documents import octets, read, section, table_after, text_after
from unspool import ServiceOptions, errors
from unspool.core import acceptor
from unspool.core.checksum import combine, crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, ReadRequest, Span, Summary
from unspool.core.names import MAX_NAME_BYTES
from unspool.core.omissions import NAMED, REASONS
from unspool.core.receiver import TABLE, Event, Receiver, State
from unspool.core.retry import RetryBudget, RetryPolicy
from unspool.core.segments import SegmentTable
from unspool.core.uploading import UploadCommit, UploadOpen
from unspool.demo import files_pb2
from unspool.options import IngestOptions, ServerOptions, TransferOptions
from unspool.rpc import demowire, entrylimits, status, wire
from unspool.rpc.bytestream import bytestream_pb2
from unspool.server import writing
from unspool.v1 import file_service_pb2

DOCUMENT = read("PROTOCOL.md")

YES_NO = {"yes": True, "no": False}


def every_error() -> dict[str, type[errors.UnspoolError]]:
    """Return the whole tree by reason."""
    found: dict[str, type[errors.UnspoolError]] = {}
    todo = [errors.UnspoolError]
    while todo:
        kind = todo.pop()
        found[kind.reason] = kind
        todo += [below for below in kind.__subclasses__() if below.__module__ == errors.__name__]
    return found


def test_the_states_are_the_receivers() -> None:
    """The table of states in the document is the receiver's table, cell by cell."""
    columns = [Event.HEADER, Event.BLOCK, Event.SUMMARY, Event.HEARTBEAT, Event.END]
    rows = table_after(DOCUMENT, "<!-- table: states -->")
    assert [row[0] for row in rows] == ["opening", "receiving", "complete"]
    allowed = {}
    for name, *cells in rows:
        for event, cell in zip(columns, cells, strict=True):
            if cell == ("cut" if event is Event.END else "out of order"):
                continue
            allowed[State[name.upper()], event] = State[cell.upper()]
    assert allowed == TABLE


def test_the_reasons_are_those_a_server_may_give() -> None:
    """The table of reasons is total: every reason a server may give, its status, and whether trying again may help."""
    rows = table_after(DOCUMENT, "<!-- table: reasons -->")
    documented = {reason: (status, YES_NO[again]) for reason, status, again, _ in rows}
    assert documented == {reason: (status.STATUS[kind].name, kind.retryable) for reason, kind in status.FROM_REASON.items()}


def test_the_statuses_mean_what_the_client_makes_of_them() -> None:
    """The table of statuses is total: what an answer without a reason is treated as."""
    rows = table_after(DOCUMENT, "<!-- table: statuses -->")
    documented = {status: meaning.partition("`")[0] for status, meaning in rows}
    assert documented == {code.name: kind.reason for code, kind in status.FROM_STATUS.items() if code.name != "OK"}


def test_the_findings_are_the_errors_that_only_a_client_can_raise() -> None:
    """The table of findings has what a client finds out about a server by itself, and whether trying again may help."""
    documented = {name: YES_NO[again] for name, again, _ in table_after(DOCUMENT, "<!-- table: findings -->")}
    about_a_server = (errors.VerificationError, errors.TransferError)
    groups = {errors.VerificationError, errors.TransferError}
    assert documented == {
        reason: kind.retryable
        for reason, kind in every_error().items()
        if issubclass(kind, about_a_server) and kind not in {*groups, errors.NoSpaceError} and reason not in status.FROM_REASON
    }


KNOWN = FileInfo("a", 9, "r1", crc32c=1)
"""What the file is, where that is known already. The read begins at byte 3."""

TAIL = b"456789"
WRONG_SUMMARY = Summary(99, at_end=False, crc32c=2)


def breaking(*frames: Frame, opened: bool = False, pinned: FileInfo | None = None) -> str:
    """Return the name of the fault that a receiver finds in the last of some frames; those before it are good."""
    receiver = Receiver("a", 3, pinned=pinned)
    receiver.next_request(1)
    *before, last = (Frame(Header(KNOWN, 3, 6)), *frames) if opened else frames
    for frame in before:
        receiver.receive(frame)
    with pytest.raises(errors.UnspoolError) as caught:
        receiver.receive(last)
    assert receiver.position == 3 + sum(len(frame.block.data) for frame in before if frame.block)
    return caught.value.reason


def header(name: str = "a", size: int = 1, revision: str = "r1", *, start: int = 0, length: int = 99, crc: int = 2) -> Frame:
    """Return a message whose header is wrong in all that is not said, and with it a block and a summary that are wrong too."""
    info = FileInfo(name, size, revision, crc32c=crc)
    return Frame(Header(info, start, length), Block(7, b"", 1), WRONG_SUMMARY)


def block(offset: int, data: bytes, checksum: int = 1, summary: Summary = WRONG_SUMMARY) -> Frame:
    """Return a block with a checksum that is not its own, and a summary that is wrong."""
    return Frame(block=Block(offset, data, checksum), summary=summary)


CHECKS: dict[int, list[Callable[[], str]]] = {
    2: [lambda: breaking(header("b"), opened=True)],
    3: [
        lambda: breaking(header("b", revision="r2"), pinned=KNOWN),
        lambda: breaking(header(revision=""), pinned=KNOWN),
        lambda: breaking(header(size=-1, revision="r2"), pinned=KNOWN),
        lambda: breaking(header(length=-1, revision="r2"), pinned=KNOWN),
        lambda: breaking(Frame(Header(None, 0, 99)), pinned=KNOWN),
    ],
    4: [lambda: breaking(header(revision="r2"), pinned=KNOWN)],
    5: [lambda: breaking(header(), pinned=KNOWN), lambda: breaking(header(size=9), pinned=KNOWN)],
    6: [lambda: breaking(header()), lambda: breaking(header(size=9, crc=1), pinned=KNOWN)],
    7: [lambda: breaking(header(start=3))],
    8: [lambda: breaking(header(start=3, size=9)), lambda: breaking(header(start=3, size=9, length=5))],
    9: [lambda: breaking(block(7, b""))],
    10: [lambda: breaking(block(7, b""), opened=True), lambda: breaking(block(2, bytes(100)), opened=True)],
    11: [lambda: breaking(block(3, b""), opened=True)],
    12: [lambda: breaking(block(3, bytes(7)), opened=True)],
    13: [lambda: breaking(block(3, TAIL), opened=True)],
    14: [lambda: breaking(Frame(summary=WRONG_SUMMARY))],
    15: [
        lambda: breaking(block(3, TAIL, crc32c(TAIL)), opened=True),
        lambda: breaking(block(3, b"4", crc32c(b"4"), Summary(4, at_end=False, crc32c=2)), opened=True),
    ],
    16: [lambda: breaking(block(3, TAIL, crc32c(TAIL), Summary(9, at_end=False, crc32c=2)), opened=True)],
    17: [lambda: breaking(block(3, TAIL, crc32c(TAIL), Summary(9, at_end=True, crc32c=2)), opened=True)],
    18: [lambda: breaking(block(3, TAIL, crc32c(TAIL), Summary(9, at_end=True, crc32c=1)), Frame(), opened=True)],
}
"""For each check messages that fail it, and all later ones that can fail beside it."""


def test_faults_are_found_in_the_order_of_the_document() -> None:
    """Whatever else is wrong with a message, the first check of the document that fails names the fault."""
    rows = {int(number): (part, finding) for number, part, _, finding in table_after(DOCUMENT, "<!-- table: checks -->")}
    assert list(rows) == list(range(1, 19))
    with pytest.raises(errors.UnspoolError) as caught:
        wire.decode_frame(b"\xff")
    assert rows[1] == ("message", caught.value.reason)
    assert {number: {look() for look in looks} for number, looks in CHECKS.items()} == {
        number: {finding} for number, (_, finding) in rows.items() if number > 1
    }


# Writing


def test_the_states_of_an_upload_are_the_acceptors() -> None:
    """The table of an upload's states in the document is the acceptor's table, cell by cell."""
    columns = [acceptor.Event.OPEN, acceptor.Event.BLOCK, acceptor.Event.COMMIT, acceptor.Event.HEARTBEAT, acceptor.Event.END]
    rows = table_after(DOCUMENT, "<!-- table: upload states -->")
    assert [row[0] for row in rows] == ["opening", "accepting", "ended"]
    allowed = {
        (acceptor.State[name.upper()], event): acceptor.State[cell.upper()]
        for name, *cells in rows
        for event, cell in zip(columns, cells, strict=True)
        if cell != "out of order"
    }
    assert allowed == acceptor.TABLE


def test_the_reasons_of_uploads_are_those_a_server_may_give() -> None:
    """The table has every reason that only uploads are refused with, its status, and whether trying again may help."""
    rows = table_after(DOCUMENT, "<!-- table: upload reasons -->")
    assert {reason: (said, YES_NO[again]) for reason, said, again, _ in rows} == {
        reason: (status.STATUS[kind].name, kind.retryable)
        for reason, kind in status.FROM_UPLOAD_REASON.items()
        if reason not in status.FROM_REASON
    }


def refusing(
    *messages: Block | UploadCommit,
    size: int | None = 9,
    there: bytes = b"",
    most: int | None = 9,
    discard: tuple[Span, ...] = (),
) -> str:
    """Return the reason with which an acceptor refuses the last of some messages, of an upload of which bytes are there."""
    taking = acceptor.Acceptor(block_size=5, most_bytes=most)
    table = SegmentTable(100)
    if there:
        table.record(Block(0, there, crc32c(there)))
    try:
        taking.open(UploadOpen(bytes(16), "a", size=size, discard=discard))
        taking.begin(table)
        for message in messages:
            assert taking.state is acceptor.State.ACCEPTING or message is messages[-1]
            if isinstance(message, Block):
                taking.accept(message)
            else:
                taking.commit(message)
    except errors.UnspoolError as error:
        return error.reason
    raise AssertionError("nothing is wrong")


NINE = UploadCommit(9, crc32c(b"123456789"))
LONG = Block(20, bytes(6), 1)

UPLOAD_CHECKS: dict[int, list[Callable[[], str]]] = {
    4: [lambda: refusing(size=99, discard=(Span(2, 3), Span(1, 2)))],
    5: [lambda: refusing(size=99)],
    9: [lambda: refusing(NINE, LONG, there=b"123456789")],
    10: [lambda: refusing(LONG), lambda: refusing(Block(20, b"", 1))],
    11: [lambda: refusing(Block(20, b"1", 1)), lambda: refusing(Block(-1, b"1", 1)), lambda: refusing(Block(8, b"12", 1))],
    12: [lambda: refusing(Block(20, b"1", 1), size=None)],
    13: [lambda: refusing(Block(5, b"1", 1))],
    14: [lambda: refusing(Block(5, b"1", crc32c(b"1"))), lambda: refusing(Block(0, b"12", crc32c(b"12")), there=b"1")],
    16: [lambda: refusing(NINE, UploadCommit(-1, 1), there=b"123456789")],
    17: [lambda: refusing(UploadCommit(-1, 1), size=None), lambda: refusing(UploadCommit(8, 1))],
    18: [lambda: refusing(UploadCommit(9, 1), there=b"1")],
    19: [
        lambda: refusing(UploadCommit(9, 1), there=b"123456789"),
        lambda: refusing(UploadCommit(1, 1), size=None, there=b"12"),
    ],
}
"""For each check of the acceptor messages that fail it, and later ones that can fail beside it. The others are checked by the
ingester and the server: tests/server/test_server_uploads.py."""


def test_faults_of_uploads_are_found_in_the_order_of_the_document() -> None:
    """Whatever else is wrong with a message, the first check of the document that fails names the reason."""
    rows = {int(number): finding for number, _, _, finding in table_after(DOCUMENT, "<!-- table: upload checks -->")}
    assert list(rows) == list(range(1, 21))
    assert {number: {look() for look in looks} for number, looks in UPLOAD_CHECKS.items()} == {
        number: {rows[number]} for number in UPLOAD_CHECKS
    }


def test_the_waits_of_uploads_are_the_servers() -> None:
    """The document says how long a silent client is waited for, also after the last message, and how large a batch is."""
    options, text = ServiceOptions(), " ".join(section(DOCUMENT, "## 14. Writing").split())
    assert f"if nothing comes for {options.upload_idle:g} s" in text
    assert f"for {writing.DRAINING:g} s at most" in text
    assert f"with up to {options.largest_batch} files and 4 MiB in one message" in text
    assert IngestOptions().remember == 86400.0


def test_the_waits_are_the_clients() -> None:
    """The table of waits has the numbers that the client uses unless told otherwise."""
    options = TransferOptions()
    retry = options.retry
    assert [float(value.split()[0]) for _, value in table_after(DOCUMENT, "<!-- table: waits -->")] == [
        options.idle_timeout,
        retry.budget,
        retry.first_wait,
        retry.longest_wait,
        retry.longest_retry_after,
        retry.restarts,
        retry.restart_wait,
    ]


def test_the_budget_counts_attempts() -> None:
    """What the document says of the budget: ten attempts, nine waits; what brings bytes begins anew; delays are added."""
    budget = RetryBudget(RetryPolicy(), lambda: 1.0)
    overloaded = errors.OverloadedError("full", retry_after=1000.0)
    waits = [budget.next_wait(overloaded, progressed=False) for _ in range(10)]
    assert waits == [300 + min(30.0, 0.25 * 2**at) for at in range(9)] + [None]
    assert budget.next_wait(errors.StreamAgeError("old"), progressed=True) == 0.25
    assert budget.next_wait(errors.ProtocolError("wrong"), progressed=True) is None
    restarts = [budget.next_restart() for _ in range(6)]
    assert restarts == [0.0, 1.0, 2.0, 4.0, 8.0, None]


def test_the_pings_are_the_servers() -> None:
    """The document says when a server pings, how long it waits for the answer, and when it closes what nobody uses."""
    options = ServerOptions()
    text = " ".join(section(DOCUMENT, "### Pings").split())
    assert (
        f"heard nothing for {options.keepalive:g} s, and closes it if no answer comes within {options.keepalive_timeout:g} s"
        in text
    )
    assert f"A server closes a connection without calls after {options.connection_idle:g} s" in text
    assert f"for a while ({options.grace:g} s)" in " ".join(DOCUMENT.split())


def test_the_messages_of_google_are_described_as_they_are() -> None:
    """The fields of google.rpc that a client needs have the numbers and types that the document gives them."""
    kinds = {message.DESCRIPTOR.full_name: message.DESCRIPTOR for message in (Status, ErrorInfo, RetryInfo, Any, Duration)}
    documented = table_after(DOCUMENT, "<!-- table: google.rpc -->")
    assert [[row[0], row[1], int(row[2])] for row in documented] == [
        [name, field.name, field.number] for name, kind in kinds.items() for field in kind.fields
    ]
    types = {5: "int32", 3: "int64", 9: "string", 12: "bytes"}
    for message, name, _, said in documented:
        field = kinds[message].fields_by_name[name]
        if said.startswith("map"):
            assert field.message_type is not None
            assert field.message_type.GetOptions().map_entry
        else:
            kind = field.message_type.full_name if field.message_type else types[field.type]
            assert said.removeprefix("repeated ") == kind


def test_the_limits_are_the_servers() -> None:
    """The table of limits has the numbers that the code has."""
    options = ServiceOptions()
    assert [float(value.split()[0]) for _, value in table_after(DOCUMENT, "<!-- table: limits -->")] == [
        MAX_NAME_BYTES,
        wire.LONGEST_REVISION,
        entrylimits.MOST_ENTRIES,
        NAMED,
        options.block_size,
        options.largest_block,
        options.page_size,
        options.largest_page,
        options.largest_batch,
        options.heartbeat,
    ]


def test_the_reasons_for_leaving_out_are_those_of_the_code() -> None:
    """The table of what a listing leaves out has each reason that this project's server may give, and no other."""
    assert {reason for reason, _ in table_after(DOCUMENT, "<!-- table: omissions -->")} == REASONS


def test_the_method_paths_are_the_services() -> None:
    """The paths in the document are those of the generated code, all of them."""
    service = file_service_pb2.DESCRIPTOR.services_by_name["FileService"]
    rows = table_after(DOCUMENT, "| method | path |")
    assert {(name, path) for name, path, _ in rows} == {(m.name, f"/{service.full_name}/{m.name}") for m in service.methods}
    tutorial = files_pb2.DESCRIPTOR.services_by_name["Files"]
    assert f"`/{tutorial.full_name}/{tutorial.methods[0].name}`" in DOCUMENT
    assert demowire.CHUNK_SIZE == 32 * 1024
    blobs = bytestream_pb2.DESCRIPTOR.services_by_name["ByteStream"]
    rows = table_after(DOCUMENT, "<!-- table: bytestream -->")
    assert {(name, path) for name, path, _ in rows} == {(m.name, f"/{blobs.full_name}/{m.name}") for m in blobs.methods}


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ("none", b""),
        ("the ASCII digits `123456789", b"123456789"),
        ("1234", b"1234"),
        ("56789", b"56789"),
        ("32 bytes of `00", bytes(32)),
        ("32 bytes of `ff", b"\xff" * 32),
        ("hello` and a newline", b"hello\n"),
    ],
)
def test_the_checksums_in_the_document_are_right(said: str, data: bytes) -> None:
    """Every vector of CRC32C in the document is what the code computes."""
    vectors = dict(table_after(DOCUMENT, "<!-- table: crc32c -->"))
    assert len(vectors) == 7
    assert int(vectors[said], 16) == crc32c(data)


def test_the_example_of_a_combination_is_right() -> None:
    """The combined checksum in the document is what the code computes."""
    assert "`combine(f63af4ee, 83b565d8, 5) = e3069283`" in DOCUMENT
    assert combine(0xF63AF4EE, 0x83B565D8, 5) == 0xE3069283


def test_the_messages_in_the_document_are_those_of_the_code() -> None:
    """The hex dumps are, byte for byte, what our client and server send, and they are received as a whole file."""
    data = b"hello\n"
    whole = crc32c(data)
    frame = Frame(
        Header(FileInfo("hello.txt", len(data), "r1"), 0, len(data)),
        Block(0, data, whole),
        Summary(len(data), at_end=True, crc32c=whole),
    )
    response = octets(text_after(DOCUMENT, "<!-- vector: response -->"))
    assert response == wire.encode_frame(frame)
    request = octets(text_after(DOCUMENT, "<!-- vector: request -->"))
    assert request == wire.encode_read_request(ReadRequest("hello.txt"))
    resume = octets(text_after(DOCUMENT, "<!-- vector: resume -->"))
    assert resume == wire.encode_read_request(ReadRequest("hello.txt", start=4, revision="r1", attempt=2))

    receiver = Receiver("hello.txt")
    receiver.next_request(1)
    block = receiver.receive(wire.decode_frame(response))
    receiver.end_of_stream()
    assert block is not None
    assert bytes(block.data) == data
