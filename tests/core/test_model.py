"""The description of files: the rules that the value classes check."""

from __future__ import annotations

import pytest

from core.served import Served
from unspool.core.model import HEARTBEAT, Frame, Piece
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
