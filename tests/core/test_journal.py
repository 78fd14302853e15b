"""The journal: reading returns what was written, and anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.journal import Journal, decode
from unspool.core.segments import MAX_SEGMENTS, Segment, segment_size_for

SEGMENT_SIZE = 1 << 24

sizes = st.integers(0, 2**63 - 1)


@st.composite
def journals(draw: st.DrawFn) -> Journal:
    """Valid journals."""
    size = draw(st.none() | sizes)
    segment_size = draw(st.sampled_from([1, 4096, segment_size_for(size)]))
    limit = 2**63 - 1 if size is None else size
    segments: dict[int, Segment] = {}
    if limit:
        for number in draw(st.sets(st.integers(0, (limit - 1) // segment_size), max_size=8)):
            length = draw(st.integers(1, min(segment_size, limit - number * segment_size)))
            segments[number] = Segment(length, draw(st.integers(0, 2**32 - 1)))
    return Journal(
        name=draw(st.text(min_size=1, max_size=50)),
        source=draw(st.text(max_size=50)),
        revision=draw(st.none() | st.text(min_size=1, max_size=50)),
        size=size,
        segment_size=segment_size,
        segments=segments,
    )


@given(journals())
def test_what_was_written_is_what_is_read(journal: Journal) -> None:
    """Every journal comes back as it was."""
    assert decode(journal.encode()) == journal


SAMPLE = Journal(
    name="models/ä.bin",
    source="host:50051",
    revision="r1",
    size=3 * SEGMENT_SIZE + 5,
    segment_size=SEGMENT_SIZE,
    segments={0: Segment(SEGMENT_SIZE, 0xDEADBEEF), 2: Segment(17, 0), 3: Segment(5, 1)},
)


def test_the_format_is_the_one_that_is_described() -> None:
    """Version 1 reads as the module says: a line with a checksum, a line of JSON with sorted keys and no white space."""
    head, body, rest = SAMPLE.encode().split(b"\n")
    assert head == b"unspool-journal 1 %08x" % crc32c(body)
    assert json.loads(body)["segments"] == [[0, SEGMENT_SIZE, 0xDEADBEEF], [2, 17, 0], [3, 5, 1]]
    assert body == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    assert rest == b""


def test_every_flipped_bit_is_found() -> None:
    """A journal with any single bit flipped is refused."""
    good = SAMPLE.encode()
    for at in range(len(good)):
        for bit in range(8):
            damaged = bytearray(good)
            damaged[at] ^= 1 << bit
            assert decode(bytes(damaged)) is None, (at, bit)


def test_every_truncation_is_found() -> None:
    """A truncated journal is refused, at every length."""
    good = SAMPLE.encode()
    assert [length for length in range(len(good)) if decode(good[:length]) is not None] == []


@given(journals(), st.binary(min_size=1, max_size=20))
def test_nothing_may_follow(journal: Journal, more: bytes) -> None:
    """A journal with extra bytes after its end is refused."""
    assert decode(journal.encode() + more) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_journal_or_none(data: bytes) -> None:
    """Random bytes are refused without an exception."""
    assert decode(data) is None
    assert decode(b"unspool-journal 1 %08x\n" % crc32c(data) + data + b"\n") is None


@pytest.mark.parametrize("version", [0, 2, 10, 11])
def test_an_unknown_version_is_no_journal(version: int) -> None:
    """A journal of another version is refused, even if its checksum is right."""
    assert decode(SAMPLE.encode().replace(b"unspool-journal 1 ", b"unspool-journal %d " % version)) is None


def forged(**changes: Any) -> bytes:
    """Return SAMPLE with some fields changed, and a checksum that agrees with that."""
    fields = json.loads(SAMPLE.encode().partition(b"\n")[2]) | changes
    body = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return b"unspool-journal 1 %08x\n" % crc32c(body) + body + b"\n"


NONSENSE: dict[str, dict[str, Any]] = {
    "segment size 0": {"segment_size": 0},
    "segment size 0 of no segments": {"segment_size": 0, "segments": []},
    "negative segment size": {"segment_size": -1},
    "fractional segment size": {"segment_size": 1.5},
    "segment size as text": {"segment_size": "16777216"},
    "segment size true": {"segment_size": True, "segments": []},
    "negative size": {"size": -1, "segments": []},
    "fractional size": {"size": 1e9},
    "infinite size": {"size": float("inf")},
    "size that is no number": {"size": float("nan")},
    "size beyond any file": {"size": 2**63},
    "size as text": {"size": "5"},
    "segment beyond the size": {"segments": [[3, 6, 1]]},
    "segment far beyond the size": {"segments": [[4, 1, 1]]},
    "segment beyond any file": {"size": None, "segments": [[2**40, 1, 1]]},
    "segment longer than a segment": {"segments": [[0, SEGMENT_SIZE + 1, 1]]},
    "empty segment": {"segments": [[0, 0, 0]]},
    "negative length": {"segments": [[0, -1, 0]]},
    "fractional length": {"segments": [[0, 1.5, 0]]},
    "length true": {"segments": [[0, True, 0]]},
    "negative number": {"segments": [[-1, 1, 0]]},
    "number as text": {"segments": [["0", 1, 0]]},
    "number true": {"segments": [[True, 1, 0]]},
    "negative checksum": {"segments": [[0, 1, -1]]},
    "checksum of 33 bits": {"segments": [[0, 1, 2**32]]},
    "checksum as text": {"segments": [[0, 1, "0"]]},
    "no checksum": {"segments": [[0, 1]]},
    "a number too many": {"segments": [[0, 1, 2, 3]]},
    "the same segment twice": {"segments": [[0, 1, 2], [0, 1, 2]]},
    "segments out of order": {"segments": [[2, 1, 2], [0, 1, 2]]},
    "segments that are no list": {"segments": 5},
    "segments that are an object": {"segments": {}},
    "no segments": {"segments": None},
    "name that is no text": {"name": 5},
    "no name": {"name": None},
    "source that is no text": {"source": ["host"]},
    "revision that is no text": {"revision": 0},
    "revision false": {"revision": False},
    "a field too many": {"colour": "blue"},
}


@pytest.mark.parametrize("changes", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_no_journal_whoever_wrote_it(changes: dict[str, Any]) -> None:
    """Impossible field values are refused even if the checksum is right."""
    assert decode(forged()) == SAMPLE
    assert decode(forged(**changes)) is None


@pytest.mark.parametrize("field", ["name", "revision", "segment_size", "segments", "size", "source"])
def test_a_missing_field_is_no_journal(field: str) -> None:
    """Every field is needed."""
    fields = json.loads(SAMPLE.encode().partition(b"\n")[2])
    del fields[field]
    body = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert decode(b"unspool-journal 1 %08x\n" % crc32c(body) + body + b"\n") is None


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"null", b"{}", b"[" * 100_000, b"\xff", b'{"name":'])
def test_other_json_is_no_journal(body: bytes) -> None:
    """A body that is no object, or no JSON, or nested beyond reason is refused, with no exception."""
    assert decode(b"unspool-journal 1 %08x\n" % crc32c(body) + body + b"\n") is None


def test_a_second_spelling_is_no_journal() -> None:
    """A journal with white space, another order of keys or unneeded escapes is refused, because unspool never writes one."""
    fields = json.loads(SAMPLE.encode().partition(b"\n")[2])
    for body in (
        json.dumps(fields, sort_keys=True).encode(),
        json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode(),
        json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(),
    ):
        assert decode(b"unspool-journal 1 %08x\n" % crc32c(body) + body + b"\n") is None


@settings(max_examples=20)
@given(sizes.filter(lambda size: size > 0), st.integers(0, 2**32 - 1))
def test_the_largest_table_stays_small(size: int, checksum: int) -> None:
    """Whatever the size of the file, its full journal is below 256 KiB; up to 16 TiB, below 128 KiB."""
    segment_size = segment_size_for(size)
    count = -(-size // segment_size)
    segments = {number: Segment(min(segment_size, size - number * segment_size), checksum | 1 << 31) for number in range(count)}
    journal = replace(SAMPLE, name="n" * 1024, source="s" * 256, size=size, segment_size=segment_size, segments=segments)
    assert count <= MAX_SEGMENTS
    assert len(journal.encode()) < (128 << 10 if size <= 16 << 40 else 256 << 10)


@pytest.mark.parametrize("size", [MAX_SEGMENTS << 24, 16 << 40, 2**63 - 1])
def test_the_largest_tables_come_back(size: int) -> None:
    """A table of 4096 segments is written and read like any other."""
    segment_size = segment_size_for(size)
    segments = {n: Segment(min(segment_size, size - n * segment_size), 2**32 - 1 - n) for n in range(MAX_SEGMENTS)}
    journal = replace(SAMPLE, size=size, segment_size=segment_size, segments=segments)
    assert decode(journal.encode()) == journal
    assert len(journal.encode()) < (128 << 10 if size <= 16 << 40 else 256 << 10)


def test_whose_journal_it_is() -> None:
    """A journal with a revision is valid for any server, one without only for its own, neither for another name.

    Over TLS, none is valid whose bytes came in clear.
    """
    pinned, unpinned = SAMPLE, replace(SAMPLE, revision=None)
    assert pinned.is_about(SAMPLE.name, SAMPLE.source)
    assert pinned.is_about(SAMPLE.name, "elsewhere:1")
    assert unpinned.is_about(SAMPLE.name, SAMPLE.source)
    assert not unpinned.is_about(SAMPLE.name, "elsewhere:1")
    assert not pinned.is_about("models/b.bin", SAMPLE.source)
    over_tls = replace(SAMPLE, source="demo:unspools://host:50051")
    assert over_tls.is_about(SAMPLE.name, "unspools://elsewhere:1")
    assert over_tls.is_about(SAMPLE.name, "elsewhere:1")
    assert not pinned.is_about(SAMPLE.name, "unspools://host:50051")
    assert not unpinned.is_about("models/b.bin", SAMPLE.source)
