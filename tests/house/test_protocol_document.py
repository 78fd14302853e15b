"""PROTOCOL.md against the code: its tables and its examples are what the code does."""

from __future__ import annotations

import pytest

from house.documents import octets, read, table_after, text_after
from unspool import ServiceOptions, errors
from unspool.core.checksum import combine, crc32c
from unspool.core.model import Block, FileInfo, Frame, Header, ReadRequest, Summary
from unspool.core.names import MAX_NAME_BYTES
from unspool.core.receiver import TABLE, Piece, Receiver, State
from unspool.demo import files_pb2
from unspool.rpc import demowire, status, wire
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
    columns = [Piece.HEADER, Piece.BLOCK, Piece.SUMMARY, Piece.HEARTBEAT, Piece.END]
    rows = table_after(DOCUMENT, "<!-- table: states -->")
    assert [row[0] for row in rows] == ["opening", "receiving", "complete"]
    allowed = {}
    for name, *cells in rows:
        for piece, cell in zip(columns, cells, strict=True):
            if cell == ("cut" if piece is Piece.END else "out of order"):
                continue
            allowed[State[name.upper()], piece] = State[cell.upper()]
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
        if issubclass(kind, about_a_server) and kind not in groups and reason not in status.FROM_REASON
    }


def test_the_limits_are_the_servers() -> None:
    """The table of limits has the numbers that the code has."""
    options = ServiceOptions()
    assert [float(value.split()[0]) for _, value in table_after(DOCUMENT, "<!-- table: limits -->")] == [
        MAX_NAME_BYTES,
        wire.LONGEST_REVISION,
        wire.MOST_ENTRIES,
        options.block_size,
        options.largest_block,
        options.page_size,
        options.largest_page,
        options.largest_batch,
        options.heartbeat,
    ]


def test_the_method_paths_are_the_services() -> None:
    """The paths in the document are those of the generated code, all of them."""
    service = file_service_pb2.DESCRIPTOR.services_by_name["FileService"]
    rows = table_after(DOCUMENT, "| method | path |")
    assert {(name, path) for name, path, _ in rows} == {(m.name, f"/{service.full_name}/{m.name}") for m in service.methods}
    tutorial = files_pb2.DESCRIPTOR.services_by_name["Files"]
    assert f"`/{tutorial.full_name}/{tutorial.methods[0].name}`" in DOCUMENT
    assert demowire.CHUNK_SIZE == 32 * 1024


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
