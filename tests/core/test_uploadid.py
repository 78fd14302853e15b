"""The id of an upload: the same for the same file, and another one for anything else."""

from __future__ import annotations

import pytest

from unspool.core.uploadid import KEY_BYTES, upload_id
from unspool.core.uploading import UPLOAD_ID_BYTES

KEY = bytes(range(KEY_BYTES))
SAME = (KEY, "dir/a.bin", 1000, 1_700_000_000_000_000_001, 0)


def test_the_same_upload_has_the_same_id_in_every_run() -> None:
    """The id depends on nothing but its arguments, and never changes between versions: the value is a promise."""
    assert len(upload_id(*SAME)) == UPLOAD_ID_BYTES
    assert upload_id(*SAME).hex() == "3641070c5c6b67993389a89ab0ed7d3a"


@pytest.mark.parametrize(
    "other",
    [
        (bytes(KEY_BYTES), *SAME[1:]),
        (KEY, "dir/b.bin", *SAME[2:]),
        (*SAME[:2], 1001, *SAME[3:]),
        (*SAME[:3], SAME[3] + 1, 0),
        (*SAME[:4], 1),
        (KEY, "0 dir/a.bin", *SAME[2:]),
    ],
)
def test_another_upload_has_another_id(other: tuple[bytes, str, int, int, int]) -> None:
    """Another key, name, size, time or generation is another upload."""
    assert upload_id(*other) != upload_id(*SAME)
