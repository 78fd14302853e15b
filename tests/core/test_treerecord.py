"""The record of a tree: what it says is what was written, whatever happens to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.tree import Kept
from unspool.core.treerecord import HEAD, TreeRecord, line_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(1 << 70), 1 << 70)
KEPT = st.builds(Kept, TEXT, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
ENTRIES = st.dictionaries(TEXT, KEPT, max_size=5)


def written(entries: dict[str, Kept]) -> bytes:
    """Return a record."""
    return HEAD + b"".join(line_of(name, kept) for name, kept in entries.items())


def read(data: bytes) -> TreeRecord:
    """Read a record."""
    return TreeRecord(data.splitlines(keepends=True))


@given(ENTRIES)
def test_what_was_written_is_read(entries: dict[str, Kept]) -> None:
    """Every file's line comes back as it was, whatever its name is made of; and is said once."""
    record = read(written(entries))
    assert b"".join(record.lines()) == written(entries)
    assert {name: record.take(name) for name in entries} == entries
    assert all(record.take(name) is None for name in entries)
    assert record.readable


@given(ENTRIES.filter(len), st.data())
def test_damage_makes_a_file_unknown_and_never_wrong(entries: dict[str, Kept], data: st.DataObject) -> None:
    """After any byte was changed, each file is as it was written or not known at all, and the others are as they were."""
    raw = bytearray(written(entries))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    record = read(bytes(raw))
    said = {name: record.take(name) for name in entries}
    assert all(kept in (None, entries[name]) for name, kept in said.items())
    assert list(record.lines()) == [HEAD], "nothing is said of files that were never written"
    if at >= len(HEAD):
        assert sum(kept is None for kept in said.values()) <= 2, "a damaged line end costs two"


@given(ENTRIES, ENTRIES, st.data())
def test_a_torn_end_costs_its_own_line(entries: dict[str, Kept], more: dict[str, Kept], data: st.DataObject) -> None:
    """A record that ends in the middle of a line says all that the whole lines say, and nothing else."""
    raw = written(entries) + b"".join(line_of(name, kept) for name, kept in more.items())
    cut = data.draw(st.integers(0, len(raw)))
    whole = raw[:cut].count(b"\n") - 1
    lines = [*entries.items(), *more.items()][: max(whole, 0)]
    record = read(raw[:cut])
    expected = dict(lines)
    assert {name: record.take(name) for name in expected} == expected
    assert list(record.lines()) == [HEAD]


def test_the_later_of_two_lines_holds() -> None:
    """A file that was fetched again is what it is now."""
    old, new = Kept("r1", 1, 2, 3, 4), Kept("r2", 5, 6, 7, 8)
    record = read(HEAD + line_of("a", old) + line_of("b", old) + line_of("a", new))
    assert (record.take("a"), record.take("b")) == (new, old)


def test_another_version_says_nothing() -> None:
    """A record of an unknown version, or none, is not believed, and not added to."""
    line = line_of("a", Kept("r1", 1, 2, 3, 4))
    for head in (b"unspool-tree 2\n", b"unspool-tree 1", b"\n", b""):
        record = TreeRecord([head, line])
        assert not record.readable
        assert record.take("a") is None


def test_lines_that_make_no_sense_are_no_lines() -> None:
    """A line with the right checksum and the wrong kind of fields says nothing, whoever wrote it."""
    for said in (
        "",
        "null",
        "[]",
        "{}",
        '["r",1,2,3]',
        '["r",1,2,3,4,5]',
        '["r",1,2,3,"4"]',
        "[1,1,2,3,4]",
        '["r",1,2,3,true]',
        "[" * 2000,
    ):
        body = f'"a"\t{said}'.encode()
        assert read(HEAD + b"%08x %b\n" % (crc32c(body), body)).take("a") is None
    body = b'"a"\t["r",1,2,3,4]'
    assert read(HEAD + b"%08x %b\n" % (crc32c(body), body)).take("a") == Kept("r", 1, 2, 3, 4)


def test_a_record_is_wasteful_when_most_of_it_is_superseded() -> None:
    """A record that is added to over and over is found to be worth writing again, and an ordinary one is not."""
    line = line_of("a", Kept("r1", 1, 2, 3, 4))
    assert not TreeRecord([HEAD, *[line] * 1000]).wasteful
    assert TreeRecord([HEAD, *[line] * 2000]).wasteful
    assert not TreeRecord([HEAD, *(line_of(str(n), Kept("r1", 1, 2, 3, 4)) for n in range(2000))]).wasteful
