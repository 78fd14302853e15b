"""Packs: they are decoded to the pieces that they stand for, and nothing else is packed or taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, BatchRequest, Block, FileInfo, Frame, Header, Piece, Summary, WantedFile
from unspool.core.receiver import whole_file
from unspool.errors import NotFoundError, ProtocolError
from unspool.rpc import batchwire
from unspool.rpc.entrylimits import MOST_ENTRIES
from unspool.rpc.packs import read_pack
from unspool.rpc.wire import varint
from unspool.v1 import file_service_pb2 as pb

CONTENTS = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5)


def infos_of(contents: Sequence[bytes]) -> list[FileInfo]:
    """Describe files, as a listing would."""
    return [FileInfo(f"d/{n}", len(data), f"r{n}", Attributes(n, "text/plain", n == 1)) for n, data in enumerate(contents)]


def pieces_of(contents: Sequence[bytes], infos: Sequence[FileInfo]) -> list[Piece]:
    """Return the pieces of small files."""
    pieces = []
    for index, (data, info) in enumerate(zip(contents, infos, strict=True)):
        block = Block(0, data, crc32c(data))
        pieces.append(
            Piece(index, Frame(Header(info, 0, info.size), block, Summary(info.size, at_end=True, crc32c=block.crc32c)))
        )
    return pieces


def asked(infos: Sequence[FileInfo], *, packs: bool = True) -> BatchRequest:
    """Ask for the files as they were listed."""
    return BatchRequest(tuple(WantedFile(info.name, info.revision) for info in infos), packs=packs)


@given(CONTENTS, st.integers(0, 3))
def test_a_pack_is_decoded_to_the_pieces_it_stands_for(contents: list[bytes], before: int) -> None:
    """Files come out of a pack as they went in, wherever in the batch they are; each passes for the file that was listed."""
    before = min(before, len(contents) - 1)
    infos = infos_of(contents)
    data = batchwire.encode_pieces(pieces_of(contents, infos)[before:], asked(infos))
    generated = pb.ReadFilesResponse.FromString(data)
    assert (generated.pack.first, list(generated.pack.sizes)) == (before, [info.size for info in infos[before:]])
    assert generated.SerializeToString() == data
    pieces = batchwire.decode_pieces(data, asked(infos).files)
    assert [piece.index for piece in pieces] == list(range(before, len(contents)))
    for piece in pieces:
        assert piece.frame is not None
        whole = whole_file(infos[piece.index], piece.frame)
        assert whole is not None
        assert bytes(whole.block.data) == contents[piece.index]
        assert whole.confirmed


def _second(change: Callable[[Piece], Piece]) -> Callable[[list[Piece]], list[Piece]]:
    return lambda pieces: [pieces[0], change(pieces[1]), *pieces[2:]]


def _reframed(**changes: object) -> Callable[[list[Piece]], list[Piece]]:
    def change(piece: Piece) -> Piece:
        assert piece.frame is not None
        return Piece(piece.index, replace(piece.frame, **changes))  # type: ignore[arg-type]  # fields by name

    return _second(change)


OTHERS: dict[str, Callable[[list[Piece]], list[Piece]]] = {
    "an error": _second(lambda piece: Piece(piece.index, error=NotFoundError("gone"))),
    "a gap": lambda pieces: [pieces[0], pieces[2]],
    "no header": _reframed(header=None),
    "no block": _reframed(block=None),
    "no summary": _reframed(summary=None),
    "another revision": _reframed(header=Header(FileInfo("d/1", 3, "other"), 0, 3)),
    "a part": _reframed(header=Header(FileInfo("d/1", 3, "r1"), 1, 2)),
    "a longer file": _reframed(header=Header(FileInfo("d/1", 4, "r1"), 0, 3)),
    "a summary of more": _reframed(summary=Summary(4, at_end=True, crc32c=crc32c(b"two"))),
    "no checksum of the whole": _reframed(summary=Summary(3, at_end=True)),
    "another checksum of the whole": _reframed(summary=Summary(3, at_end=True, crc32c=5)),
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_a_pack_cannot_say_comes_in_pieces(change: Callable[[list[Piece]], list[Piece]]) -> None:
    """A message with anything but whole files at the revisions asked for is made of pieces, which say all of it."""
    contents = [b"one", b"two", b"three"]
    infos = infos_of(contents)
    pieces = change(pieces_of(contents, infos))
    data = batchwire.encode_pieces(pieces, asked(infos))
    assert data == batchwire.encode_pieces(pieces)
    assert not pb.ReadFilesResponse.FromString(data).HasField("pack")


def test_nothing_is_packed_unless_asked_for() -> None:
    """Without the wish, and for files of any revision, there are pieces, with descriptions."""
    contents = [b"one", b"two"]
    infos = infos_of(contents)
    pieces = pieces_of(contents, infos)
    plain = batchwire.encode_pieces(pieces)
    assert batchwire.encode_pieces(pieces, asked(infos, packs=False)) == plain
    unpinned = BatchRequest(tuple(WantedFile(info.name) for info in infos), packs=True)
    assert batchwire.encode_pieces(pieces, unpinned) == plain


def pack(first: int = 0, sizes: Sequence[int] = (3, 3), checksums: int = 2, data: bytes = b"onetwo") -> pb.ReadFilesResponse:
    """Return a message with a pack."""
    return pb.ReadFilesResponse(pack=pb.FilePack(first=first, sizes=sizes, crc32c=[7] * checksums, data=data))


HOSTILE = {
    "nothing": pack(sizes=(), checksums=0, data=b""),
    "bytes without files": pack(sizes=(), checksums=0),
    "too few checksums": pack(checksums=1),
    "too many checksums": pack(checksums=3),
    "too few bytes": pack(data=b"onetw"),
    "too many bytes": pack(data=b"onetwo."),
    "an empty file": pack(sizes=(6, 0)),
    "a negative size": pack(sizes=(7, -1)),
    "a huge size": pack(sizes=(3, 2**63 - 1)),
    "before the first": pack(first=-1),
    "behind the last": pack(first=2),
    "very many": pack(sizes=[1] * (MOST_ENTRIES + 1), checksums=MOST_ENTRIES + 1, data=bytes(MOST_ENTRIES + 1)),
}


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
def test_a_pack_that_does_not_add_up_is_refused(message: pb.ReadFilesResponse) -> None:
    """Sizes, checksums and bytes must agree, and be of files that were asked for."""
    files = [WantedFile(f"d/{n}", "r") for n in range(3)]
    with pytest.raises(ProtocolError):
        batchwire.decode_pieces(message.SerializeToString(), files)


@pytest.mark.parametrize("second", [WantedFile("d/1"), WantedFile("d/1", "r", 1), WantedFile("d/1", "r", length=3)])
def test_a_pack_of_what_may_not_be_packed_is_refused(second: WantedFile) -> None:
    """A file of no revision, or a part of one, cannot come in a pack."""
    with pytest.raises(ProtocolError, match="d/1: came in a pack"):
        batchwire.decode_pieces(pack().SerializeToString(), [WantedFile("d/0", "r"), second])


@given(CONTENTS)
def test_a_pack_is_the_same_however_it_is_written(contents: list[bytes]) -> None:
    """A pack with its fields in another order, or twice, is decoded by the generated code, to the same pieces."""
    infos = infos_of(contents)
    files = asked(infos).files
    data = batchwire.encode_pieces(pieces_of(contents, infos), asked(infos))
    assert read_pack(data, files) is not None
    inner = pb.ReadFilesResponse.FromString(data).pack
    fields = [pb.FilePack(data=b"before"), pb.FilePack(data=inner.data), pb.FilePack(sizes=inner.sizes, crc32c=inner.crc32c)]
    body = b"".join(field.SerializeToString() for field in fields)
    other = pb.ReadFilesResponse(pack=pb.FilePack.FromString(body)).SerializeToString()
    assert other == data
    crooked = b"\x12" + varint(len(body)) + body
    assert read_pack(crooked, files) is None
    assert batchwire.decode_pieces(crooked, files) == batchwire.decode_pieces(data, files)


def test_pieces_and_a_pack_do_not_mix() -> None:
    """A message with both is refused: their order would be anybody's guess."""
    message = pack()
    message.pieces.add(index=2)
    with pytest.raises(ProtocolError, match="pieces and a pack"):
        batchwire.decode_pieces(message.SerializeToString(), [WantedFile(f"d/{n}", "r") for n in range(3)])
