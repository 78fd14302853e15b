"""Everything that reads bytes of others, each with what it may refuse and a law for what it takes.

To have another reader fuzzed, write a function that reads bytes and asserts the law, put it into `READERS`, and put a few good
inputs into a directory of its name in `corpus`.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from unspool import errors
from unspool.core import journal, treerecord
from unspool.core.address import parse_address, parse_listen, parse_target
from unspool.core.checksum import crc32c
from unspool.core.model import Frame
from unspool.core.names import check_name
from unspool.core.rules import parse_rules
from unspool.core.tokens import is_token, parse_tokens
from unspool.rpc import batchwire, bytestreamwire, deletewire, demowire, messages, status, wire, writewire
from unspool.v1 import file_service_pb2 as pb


@dataclass(frozen=True)
class Reader:
    """What reads, and the errors by which it may refuse. Anything else that it raises is a defect."""

    read: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...] = ()


def text_of(data: bytes) -> str:
    """Return text as it comes from a terminal or a file: with surrogates for what is no UTF-8."""
    return data.decode(errors="surrogateescape")


def frame(data: bytes) -> None:
    """A frame is what protobuf reads in the same bytes, although a message of one block is read by hand."""
    try:
        expected = wire.frame_of(messages.parsed(pb.ReadFileResponse(), data, errors.ProtocolError))
    except errors.ProtocolError:
        expected = None
    try:
        found = wire.decode_frame(data)
    except errors.ProtocolError:
        found = None
    assert _plain(found) == _plain(expected)


def _plain(frame: Frame | None) -> object:
    if frame is None or frame.block is None:
        return frame
    return frame.block.offset, bytes(frame.block.data), frame.block.crc32c, frame.header, frame.summary


def pieces(data: bytes) -> None:
    """The pieces of a message are what protobuf reads in the same bytes, although large ones are read by hand."""
    found = [_pieces(data, large) for large in (1, len(data) + 1)]
    assert found[0] == found[1]


def _pieces(data: bytes, large: int) -> object:
    before, batchwire._LARGE_PIECE = batchwire._LARGE_PIECE, large
    try:
        return [(piece.index, _plain(piece.frame), repr(piece.error)) for piece in batchwire.decode_pieces(data)]
    except errors.ProtocolError:
        return None
    finally:
        batchwire._LARGE_PIECE = before


def name(data: bytes) -> None:
    """A name that is taken stays below the directory that it is put to, and each part of it is one."""
    parts = check_name(text_of(data))
    path = os.path.join("/served", *parts)  # noqa: PTH118 - as text
    assert os.path.normpath(path) == path
    assert path.startswith("/served/")
    assert "\0" not in path
    assert "/".join(parts) == text_of(data)


def listen(data: bytes) -> None:
    """What is understood is written so that it is understood alike."""
    where = parse_listen(text_of(data))
    assert parse_listen(str(where)) == where


def journal_of(data: bytes) -> None:
    """A journal that is taken comes back alike when it is written and read again; its checksum is made right first."""
    body = data.partition(b"\n")[2].removesuffix(b"\n")
    for each in (data, b"unspool-journal 1 %08x\n%b\n" % (crc32c(body), body)):
        found = journal.decode(each)
        assert found is None or journal.decode(found.encode()) == found


def row(data: bytes) -> None:
    """A row of a record that is taken comes back alike; its checksum is made right first."""
    key = b"models/a.bin"
    for said in (data, treerecord._sum_of(key, data) + data):
        found = treerecord.decode_row(key, said)
        assert found is None or treerecord.decode_row(*treerecord.encode_row(key.decode(), found)) == found


def owner(data: bytes) -> None:
    """The owner of a record that is taken comes back alike; its checksum is made right first."""
    for said in (data, treerecord._sum_of(treerecord.OWNER, data) + data):
        found = treerecord.decode_owner(said)
        assert found is None or treerecord.decode_owner(treerecord.encode_owner(*found)[1]) == found


def details(data: bytes) -> None:
    """Whatever details a status has, it becomes an error of ours."""
    metadata = ((status.DETAILS_KEY, data),)
    assert isinstance(status.decode_error(grpc.StatusCode.INTERNAL, "no", metadata, server="s"), errors.UnspoolError)


def upload_request(data: bytes) -> None:
    """A message of an upload that is taken comes back alike when it is written and read again."""
    found = writewire.decode_upload_request(data)
    assert writewire.decode_upload_request(writewire.encode_upload_request(found)) == found


BAD_REQUEST = (errors.InvalidRequestError,)
BAD_ANSWER = (errors.ProtocolError,)

READERS: dict[str, Reader] = {
    "frame": Reader(frame),
    "page": Reader(wire.decode_page, BAD_ANSWER),
    "pieces": Reader(pieces),
    "stat-response": Reader(wire.decode_stat_response, BAD_ANSWER),
    "stat-request": Reader(wire.decode_stat_request, BAD_REQUEST),
    "read-request": Reader(wire.decode_read_request, BAD_REQUEST),
    "list-request": Reader(wire.decode_list_request, BAD_REQUEST),
    "batch-request": Reader(lambda data: batchwire.decode_batch_request(data, 1000), BAD_REQUEST),
    "upload-request": Reader(upload_request, BAD_REQUEST),
    "upload-name": Reader(writewire.decode_upload_name, BAD_REQUEST),
    "delete-request": Reader(deletewire.decode_delete_request, BAD_REQUEST),
    "deleted": Reader(deletewire.decode_deleted, BAD_ANSWER),
    "new-files": Reader(lambda data: writewire.decode_new_files(data, 1000), BAD_REQUEST),
    "demo-request": Reader(demowire.decode_request, BAD_REQUEST),
    "bytestream-read": Reader(bytestreamwire.decode_read_request, BAD_REQUEST),
    "bytestream-write": Reader(bytestreamwire.decode_write_request, BAD_REQUEST),
    "bytestream-status": Reader(bytestreamwire.decode_status_request, BAD_REQUEST),
    "status-details": Reader(details),
    "name": Reader(name, BAD_REQUEST),
    "url": Reader(lambda data: parse_address(text_of(data)), BAD_REQUEST),
    "target": Reader(lambda data: parse_target(text_of(data)), BAD_REQUEST),
    "listen": Reader(listen, BAD_REQUEST),
    "journal": Reader(journal_of),
    "record-row": Reader(row),
    "record-owner": Reader(owner),
    "rules": Reader(lambda data: parse_rules(text_of(data), "rules"), BAD_REQUEST),
    "tokens": Reader(lambda data: parse_tokens(text_of(data), "tokens"), BAD_REQUEST),
    "token": Reader(lambda data: is_token(text_of(data))),
}
"""The readers, by the names of their directories in `corpus`."""
