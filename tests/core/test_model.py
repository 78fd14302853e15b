"""The description of files: the rules that the value classes check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.served import Served
from unspool.core.model import HEARTBEAT, Attributes, FileInfo, Frame, Pack, Piece, WantedFile, piece_of, with_crc32c
from unspool.errors import NotFoundError

FILE = Served()


@pytest.mark.parametrize(
    ("piece", "ends"),
    [
        (Piece(0, Frame(FILE.header())), False),
        (Piece(0, Frame(block=FILE.block(0, 10))), False),
        (Piece(0, HEARTBEAT), False),
        (Piece(0), False),
        (Piece(0, Frame(FILE.header(), FILE.block(0, 100), FILE.summary())), True),
        (Piece(0, Frame(summary=FILE.summary())), True),
        (Piece(0, error=NotFoundError("models/a.bin: no such file")), True),
    ],
    ids=["header", "block", "heartbeat", "nothing", "whole file", "summary", "error"],
)
def test_a_file_of_a_batch_ends_with_its_summary_or_its_error(piece: Piece, *, ends: bool) -> None:
    """A file of a batch ends with its summary or an error, and with nothing else."""
    assert piece.ends_file is ends


def test_a_checksum_is_added_to_all_that_is_known_of_a_file() -> None:
    """A description with a checksum has every other field of the description, those that are added later too."""
    known = FileInfo("a", 1, "r", Attributes(5, "text/plain", executable=True), crc32c=1, sha256=bytes(32))
    assert with_crc32c(known, 7) == replace(known, crc32c=7)


def test_a_pack_is_the_sequence_of_its_pieces() -> None:
    """A message with a pack is used and compared as the one with its pieces would be."""
    files = [WantedFile(name, "r") for name in "abc"]
    pack = Pack(1, files, [2, 1], [7, 8], memoryview(b"xyz"))
    pieces = (piece_of(1, files[1], b"xy", 7), piece_of(2, files[2], b"z", 8))
    assert pack == pieces
    assert pieces == pack
    assert pack != pieces[:1]
    assert pack != 2
    assert (len(pack), pack[1], tuple(pack[:1])) == (2, pieces[1], pieces[:1])
