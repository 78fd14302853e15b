"""Encodes and decodes the messages of batches (`ReadFiles`). `unspool.rpc.wire` does the other methods.

On the wire a piece is a frame followed by the index of its file: the first three fields of a FilePiece are those of a
ReadFileResponse. Serialised fields may be concatenated, so a piece is written by writing a frame and then the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from google.protobuf.message import DecodeError

from unspool import errors
from unspool.core.model import HEARTBEAT, BatchRequest, Block, Bytes, FileInfo, Frame, Header, Piece, Summary, WantedFile
from unspool.rpc import status, wire
from unspool.rpc.entrylimits import check_entries, check_number, has_more_fields
from unspool.rpc.messages import fitting, parsed
from unspool.rpc.packs import decode_pack, encode_pack, read_pack
from unspool.rpc.wire import decode_info, frame_of, frame_parts, varint
from unspool.v1 import file_service_pb2 as pb

_OTHER_FIELDS = 64
"""Fields that a request may have besides its files: several times as many as today, to allow for later versions."""

_PIECES, _INDEX = b"\x0a", b"\x20"
"""The tags of ReadFilesResponse.pieces and FilePiece.index."""

_LARGE_PIECE = 16 * 1024
"""Bytes from which on a piece is read by hand, with one copy of its data instead of three. Smaller ones are not faster so."""

_LARGEST_INDEX = (1 << 31) - 1

_LONGEST_NUMBER = 56
"""Bits of the longest number that is read by hand: eight bytes of seven. No file is so large."""

_last_info: tuple[bytes, FileInfo | None] = (b"", None)
"""The last description in a header that was read by hand: spans of one file follow each other."""


def encode_batch_request(request: BatchRequest) -> bytes:
    """Serialise a ReadFilesRequest."""
    with fitting():
        message = pb.ReadFilesRequest(
            block_size=request.block_size, transfer_id=request.transfer_id, attempt=request.attempt, packs=request.packs
        )
        for file in request.files:
            _fill_wanted(message.files.add(), file)
    return message.SerializeToString()


def _fill_wanted(message: pb.FileToRead, file: WantedFile) -> None:
    """Name a file in a message that is empty, in its place: 0.3 us, where making it with arguments takes 0.9 (measured)."""
    message.name = file.name
    if file.revision is not None:
        message.revision = file.revision
    if file.start:
        message.start = file.start
    if file.unless_revision is not None:
        message.unless_revision = file.unless_revision
    if file.length is not None:
        message.length = file.length


def decode_batch_request(data: bytes, most_files: int | None = None) -> BatchRequest:
    """Parse a ReadFilesRequest.

    Args:
        data: the message.
        most_files: a request with many more files is refused before it is parsed. None means no limit.

    Raises:
        InvalidRequestError: the message is malformed or exceeds the limit.
    """
    if most_files is not None and has_more_fields(data, most_files + _OTHER_FIELDS):
        raise errors.InvalidRequestError(f"more than {most_files} files are asked for at once: at most {most_files} can be")
    message = parsed(pb.ReadFilesRequest(), data, errors.InvalidRequestError)
    return BatchRequest(
        files=tuple(
            WantedFile(
                file.name,
                file.revision or None,
                file.start,
                file.unless_revision or None,
                file.length if file.HasField("length") else None,
            )
            for file in message.files
        ),
        block_size=message.block_size if message.block_size > 0 else None,
        transfer_id=message.transfer_id,
        attempt=message.attempt,
        packs=message.packs,
    )


def encode_pieces(pieces: Sequence[Piece], request: BatchRequest | None = None) -> bytes:
    """Serialise a ReadFilesResponse. Without pieces it is a heartbeat.

    Args:
        pieces: the pieces of the message.
        request: what they answer. If it says so, they may be sent as a pack.
    """
    if request is not None and request.packs and (packed := encode_pack(pieces, request.files)) is not None:
        return packed
    message: list[Bytes] = []
    for piece in pieces:
        index = _INDEX + varint(piece.index) if piece.index else b""
        if piece.error is not None:
            parts: tuple[Bytes, ...] = (index, pb.FilePiece(error=status.encode_file_error(piece.error)).SerializeToString())
        else:
            parts = (*frame_parts(piece.frame or HEARTBEAT), index)
        message += (_PIECES, varint(sum(map(len, parts))), *parts)
    return b"".join(message)


def decode_pieces(data: bytes, files: Sequence[WantedFile] = ()) -> Sequence[Piece]:
    """Parse a ReadFilesResponse. Raises ProtocolError if it is malformed, or larger than a client accepts.

    Args:
        data: the message.
        files: the files of the request, so that an error can name its file.
    """
    if len(data) > _LARGE_PIECE and (pieces := _large_pieces(data)) is not None:
        return pieces
    if (pack := read_pack(data, files)) is not None:
        return pack
    check_entries(data)
    message = parsed(pb.ReadFilesResponse(), data, errors.ProtocolError)
    if message.HasField("pack"):
        if message.pieces:
            raise errors.ProtocolError("the server sent pieces and a pack in one message")
        return decode_pack(message.pack, files)
    check_number(len(message.pieces))
    return tuple([_decode_piece(piece, files) for piece in message.pieces])


def decode_frame(data: bytes) -> Frame:
    """Parse a ReadFileResponse as `wire.decode_frame` does. A large one with a header is read as a piece without an index."""
    if len(data) >= _LARGE_PIECE and data[0] != wire.PLAIN_BLOCK:
        with suppress(IndexError):  # it ends within a number
            piece = _large_piece(data, 0, len(data))
            if piece is not None and piece.frame is not None and not piece.index:
                return piece.frame
    return wire.decode_frame(data)


def _decode_piece(message: pb.FilePiece, files: Sequence[WantedFile]) -> Piece:
    index = message.index
    if not message.HasField("error"):
        return Piece(index, frame_of(message))
    name = files[index].name if 0 <= index < len(files) else None
    return Piece(index, error=status.decode_file_error(message.error, name=name))


def _large_pieces(data: bytes) -> tuple[Piece, ...] | None:
    """Read a message of large pieces, encoded as `encode_pieces` does; return None for any other message.

    Raises:
        ProtocolError: a description in it is too long.
    """
    pieces: list[Piece] = []
    at = 0
    try:
        while at < len(data):
            if data[at] != _PIECES[0]:
                return None
            size, at = _number(data, at + 1)
            if size < _LARGE_PIECE or at + size > len(data):
                return None
            piece = _large_piece(data, at, at + size)
            if piece is None:
                return None
            pieces.append(piece)
            at += size
    except IndexError:  # it ends within a number
        return None
    return tuple(pieces)


def _large_piece(data: bytes, at: int, end: int) -> Piece | None:
    """Read a piece with a block between two offsets. Every part must end where it says, and nothing may be left over."""
    header = summary = None
    index = 0
    if data[at] == 0x0A:  # noqa: PLR2004 - tags, as in the proto
        size, at = _number(data, at + 1)
        header = _header(data, at, at + size)
        if header is None:
            return None
        at += size
    if data[at] != 0x12:  # noqa: PLR2004
        return None
    size, at = _number(data, at + 1)
    block_end = at + size
    offset = checksum = 0
    if data[at] == 0x08:  # noqa: PLR2004
        offset, at = _number(data, at + 1)
    if data[at] == 0x15:  # noqa: PLR2004
        checksum = int.from_bytes(data[at + 1 : at + 5], "little")
        at += 5
    if data[at] != 0x1A:  # noqa: PLR2004
        return None
    size, at = _number(data, at + 1)
    if at + size != block_end or block_end > end:
        return None
    block = Block(offset, data[at:block_end], checksum)
    at = block_end
    if at < end and data[at] == 0x1A:  # noqa: PLR2004
        size, at = _number(data, at + 1)
        summary = _summary(data, at, at + size)
        if summary is None:
            return None
        at += size
    if at < end and data[at] == _INDEX[0]:
        index, at = _number(data, at + 1)
    return Piece(index, Frame(header, block, summary)) if at == end and index <= _LARGEST_INDEX else None


def _header(data: bytes, at: int, end: int) -> Header | None:
    """Read a header with a description between two offsets, as `_large_piece` does."""
    global _last_info  # noqa: PLW0603 - a cache
    start = length = 0
    if data[at] != 0x0A:  # noqa: PLR2004
        return None
    size, at = _number(data, at + 1)
    encoded = data[at : at + size]
    last, info = _last_info
    if info is None or encoded != last:
        try:
            info = decode_info(pb.FileInfo.FromString(encoded))
        except DecodeError:
            return None
        _last_info = encoded, info
    at += size
    if at < end and data[at] == 0x10:  # noqa: PLR2004
        start, at = _number(data, at + 1)
    if at < end and data[at] == 0x18:  # noqa: PLR2004
        length, at = _number(data, at + 1)
    return Header(info, start, length) if at == end else None


def _summary(data: bytes, at: int, end: int) -> Summary | None:
    """Read a summary between two offsets, as `_large_piece` does."""
    stop, at_end, checksum = 0, False, None
    if at < end and data[at] == 0x08:  # noqa: PLR2004
        stop, at = _number(data, at + 1)
    if at < end and data[at] == 0x10:  # noqa: PLR2004
        said, at = _number(data, at + 1)
        at_end = bool(said)
    if at < end and data[at] == 0x1D:  # noqa: PLR2004
        checksum = int.from_bytes(data[at + 1 : at + 5], "little")
        at += 5
    return Summary(stop, at_end, checksum) if at == end else None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, of at most eight bytes, and its end. Raises IndexError if it is longer, or the data ends."""
    byte = data[at]
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:  # noqa: PLR2004
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > _LONGEST_NUMBER:
            raise IndexError(at)
    return value, at + 1
