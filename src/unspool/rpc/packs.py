"""Encodes and decodes packs: small files of a batch, one after another, without their descriptions.

For a file of 4 KiB the description is a hundred bytes, and costs both ends more time than its data. A client that fetches a
tree has it from the listing, and names its revision in the request. So a pack is only the sizes, the checksums and the bytes.
It is decoded to the same pieces as the files would be without it, and these are checked in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from unspool.core.model import Bytes, Pack, Piece, WantedFile
from unspool.errors import ProtocolError
from unspool.rpc.entrylimits import check_number, read_any_varint
from unspool.rpc.messages import parsed
from unspool.rpc.wire import varint
from unspool.v1 import file_service_pb2 as pb

_PACK, _DATA = b"\x12", b"\x22"
"""The tags of ReadFilesResponse.pack and FilePack.data."""

_FIRST, _LISTS = 0x08, (0x12, 0x1A)
"""The tags of FilePack's other fields: `first`, and `sizes` and `crc32c`."""


def encode_pack(pieces: Sequence[Piece], files: Sequence[WantedFile]) -> bytes | None:
    """Serialise a ReadFilesResponse with a pack; return None if the pieces are not those of whole files that may be packed."""
    if not pieces:
        return None
    first = pieces[0].index
    sizes: list[int] = []
    checksums: list[int] = []
    data = []
    for index, piece in enumerate(pieces, first):
        frame = piece.frame
        if frame is None or piece.index != index:
            return None
        header, block, summary = frame.header, frame.block, frame.summary
        if header is None or block is None or summary is None or header.info is None:
            return None
        size = len(block.data)
        if (
            (header.start, header.info.size, summary.end) != (0, size, size)
            or (summary.crc32c, header.info.revision) != (block.crc32c, files[index].revision)
            or not size
        ):
            return None
        sizes.append(size)
        checksums.append(block.crc32c)
        data.append(block.data)
    total = sum(sizes)
    head = pb.FilePack(first=first, sizes=sizes, crc32c=checksums).SerializeToString() + _DATA + varint(total)
    return b"".join([_PACK, varint(len(head) + total), head, *data])  # by hand, to copy the data once


def read_pack(message: bytes, files: Sequence[WantedFile]) -> Pack | None:
    """Read a message with only a pack, encoded as `encode_pack` does, without a copy of its data; return None for any other.

    Raises as `decode_pack`.
    """
    if message[:1] != _PACK:
        return None
    length, begin = read_any_varint(message, 1)
    at = begin
    while at < len(message) and (tag := message[at]) != _DATA[0]:
        number, at = read_any_varint(message, at + 1)
        if tag in _LISTS:
            at += number
        elif tag != _FIRST:
            return None
    size, data = read_any_varint(message, at + 1)
    if not begin + length == data + size == len(message):
        return None
    return decode_pack(parsed(pb.FilePack(), message[begin:at], ProtocolError), files, memoryview(message)[data:])


def decode_pack(pack: pb.FilePack, files: Sequence[WantedFile], data: Bytes | None = None) -> Pack:
    """Return the pieces that a pack stands for. Raises ProtocolError if it is not one of the files requested.

    Args:
        pack: the message.
        files: the files of the request.
        data: the bytes of the files, if the message is without them.
    """
    check_number(len(pack.sizes))
    first, sizes, checksums = pack.first, list(pack.sizes), list(pack.crc32c)
    data = memoryview(pack.data if data is None else data)
    if len(checksums) != len(sizes) or min(sizes, default=0) <= 0 or sum(sizes) != len(data):
        raise ProtocolError("the server sent a pack whose sizes, checksums and bytes do not agree")
    if not 0 <= first <= len(files) - len(sizes):
        raise ProtocolError(f"the server sent a pack of {len(sizes)} files from file {first} of {len(files)} on")
    for file in files[first : first + len(sizes)]:
        if file.revision is None or file.start or file.length is not None:
            raise ProtocolError(f"{file.name}: came in a pack, though not a whole file of a revision was asked for")
    return Pack(first, files, sizes, checksums, data)
