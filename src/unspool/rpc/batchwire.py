"""Encodes and decodes the messages of batches (`ReadFiles`). `unspool.rpc.wire` does the other methods.

On the wire a piece is a frame followed by the index of its file: the first three fields of a FilePiece are those of a
ReadFileResponse. Serialised fields may be concatenated, so a piece is written by writing a frame and then the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unspool import errors
from unspool.core.model import HEARTBEAT, BatchRequest, Bytes, Piece, WantedFile
from unspool.rpc import status
from unspool.rpc.wire import check_entries, check_number, filled, frame_of, frame_parts, has_more_fields, parsed, varint
from unspool.v1 import file_service_pb2 as pb

_OTHER_FIELDS = 64
"""Fields that a request may have besides its files: several times as many as today, to allow for later versions."""

_PIECES, _INDEX = b"\x0a", b"\x20"
"""The tags of ReadFilesResponse.pieces and FilePiece.index."""


def encode_batch_request(request: BatchRequest) -> bytes:
    """Serialise a ReadFilesRequest."""
    return filled(
        pb.ReadFilesRequest,
        files=[
            filled(
                pb.FileToRead,
                name=file.name,
                revision=file.revision,
                start=file.start or None,
                unless_revision=file.unless_revision,
                length=file.length,
            )
            for file in request.files
        ],
        block_size=request.block_size,
        transfer_id=request.transfer_id,
        attempt=request.attempt,
    ).SerializeToString()


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
    )


def encode_pieces(pieces: Iterable[Piece]) -> bytes:
    """Serialise a ReadFilesResponse. Without pieces it is a heartbeat."""
    message: list[Bytes] = []
    for piece in pieces:
        index = _INDEX + varint(piece.index) if piece.index else b""
        if piece.error is not None:
            parts: tuple[Bytes, ...] = (index, pb.FilePiece(error=status.encode_file_error(piece.error)).SerializeToString())
        else:
            parts = (*frame_parts(piece.frame or HEARTBEAT), index)
        message += (_PIECES, varint(sum(map(len, parts))), *parts)
    return b"".join(message)


def decode_pieces(data: bytes, files: Sequence[WantedFile] = ()) -> tuple[Piece, ...]:
    """Parse a ReadFilesResponse. Raises ProtocolError if it is malformed, or larger than a client accepts.

    Args:
        data: the message.
        files: the files of the request, so that an error can name its file.
    """
    check_entries(data)
    message = parsed(pb.ReadFilesResponse(), data, errors.ProtocolError)
    check_number(len(message.pieces))
    return tuple([_decode_piece(piece, files) for piece in message.pieces])


def _decode_piece(message: pb.FilePiece, files: Sequence[WantedFile]) -> Piece:
    index = message.index
    if not message.HasField("error"):
        return Piece(index, frame_of(message))
    name = files[index].name if 0 <= index < len(files) else None
    return Piece(index, error=status.decode_file_error(message.error, name=name))
