"""Which local files a tree's upload skips, compares or sends."""

from __future__ import annotations

import pytest

from unspool.core.model import Attributes, FileInfo
from unspool.core.uptodate import SendNeed, send_need

TIME = 1_700_000_001_123_456_789


def there(size: int = 5, modified_ns: int | None = TIME, crc32c: int | None = 7) -> FileInfo:
    """Return what the server lists."""
    return FileInfo("a", size, "r", Attributes(modified_ns), crc32c)


@pytest.mark.parametrize(
    ("info", "how", "what"),
    [
        (None, "", SendNeed.SEND),
        (there(size=6), "", SendNeed.SEND),
        (there(), "", SendNeed.NOTHING),
        (there(modified_ns=TIME - TIME % 1000), "", SendNeed.NOTHING),
        (there(modified_ns=1_700_000_001_000_000_000), "", SendNeed.NOTHING),
        (there(modified_ns=1_700_000_000_000_000_000), "", SendNeed.NOTHING),
        (there(modified_ns=TIME + 1), "", SendNeed.COMPARE),
        (there(modified_ns=TIME - 1), "", SendNeed.COMPARE),
        (there(modified_ns=None), "", SendNeed.COMPARE),
        (there(modified_ns=None, crc32c=None), "", SendNeed.SEND),
        (there(), "checksum", SendNeed.COMPARE),
        (there(crc32c=None), "checksum", SendNeed.SEND),
    ],
    ids=str,
)
def test_what_is_needed(info: FileInfo | None, how: str, what: SendNeed) -> None:
    """The same size and time: nothing. The same size: a comparison, if the server lists a checksum. Otherwise the bytes."""
    assert send_need(5, TIME, info, checksum=how == "checksum") is what
