"""Where the files of a tree belong, and which of them have to be fetched."""

from __future__ import annotations

import os.path
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.model import Attributes, FileInfo
from unspool.core.reserved import HOME, JOURNAL_SUFFIX, PART_SUFFIX, SCRATCH_SUFFIX
from unspool.core.tree import (
    FetchNeed,
    Local,
    Paths,
    Recorded,
    RelativePath,
    below,
    fetch_need,
    folded,
    lacks,
    made_executable,
    relative_path_of,
)
from unspool.errors import InvalidNameError, ProtocolError

PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


# Places


@given(st.one_of(st.just(""), NAMES), NAMES)
def test_a_files_place_is_its_name_below_the_prefix(prefix: str, name: str) -> None:
    """What is below the prefix keeps its name there, whatever characters it has."""
    for spelling in {prefix, f"{prefix}/" if prefix else ""}:
        place = relative_path_of(f"{prefix}/{name}" if prefix else name, below(spelling))
        assert str(place) == name


def path_or_error(path_of: Callable[[str], RelativePath | None], name: str) -> RelativePath | type[Exception] | None:
    """Return the path of a name, or the class of its error."""
    try:
        return path_of(name)
    except (InvalidNameError, ProtocolError) as error:
        return type(error)


ODD_PARTS = st.sampled_from(["a", "b", "", ".", "..", "\\", "a\0", "\u00e9", "\ud800", HOME, f"a{PART_SUFFIX}", "x" * 4090])


@given(st.sampled_from(["", "a/", "a/b/"]), st.lists(st.lists(ODD_PARTS, min_size=1, max_size=4).map("/".join), max_size=12))
def test_paths_of_many_names_are_those_of_each(prefix: str, names: list[str]) -> None:
    """What is remembered of the last file changes no path and accepts no other name, whatever names follow each other."""
    paths = Paths(prefix)
    for name in names:
        assert path_or_error(paths.of, name) == path_or_error(lambda name: relative_path_of(name, prefix), name)


@given(st.text(), st.text())
def test_no_name_leads_out_of_the_destination(name: str, prefix: str) -> None:
    """Whatever a server says is called a name, its place is below the destination, or it has none."""
    with suppress(InvalidNameError, ProtocolError):
        place = relative_path_of(name, below(prefix))
        if place is not None:
            path = f"/dest/{place}"
            assert os.path.normpath(path) == path
            assert path.startswith("/dest/")
            assert "\0" not in path


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/.", "", "a\0b", "a\\b", "\udc80", "x" * 4097]
)
def test_what_is_no_name_has_no_place(name: str) -> None:
    """Names that a file system could read as something else are refused, as everywhere."""
    with pytest.raises(InvalidNameError):
        relative_path_of(name, "")


@pytest.mark.parametrize("name", ["b/x", "ax", "a", "A/x"])
def test_what_is_not_below_the_prefix_has_no_place(name: str) -> None:
    """A server that lists what was not asked for is found out."""
    with pytest.raises(ProtocolError):
        relative_path_of(name, "a/b/")


def test_a_prefix_that_is_a_file_belongs_directly_below() -> None:
    """The listing of a file's name is that file, and it keeps the last part of its name."""
    assert relative_path_of("a/b.bin", below("a/b.bin")) == RelativePath("", "b.bin")


@pytest.mark.parametrize("suffix", [PART_SUFFIX, JOURNAL_SUFFIX, SCRATCH_SUFFIX])
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_what_unfinished_downloads_are_called_is_refused(suffix: str, spelling: Callable[[str], str]) -> None:
    """A file cannot take the place of another one's part file or journal, also where case makes no difference."""
    with pytest.raises(InvalidNameError, match="unfinished"):
        relative_path_of(f"d/a.bin{spelling(suffix)}", "")


@pytest.mark.parametrize("name", [HOME, f"{HOME}/record", f"a/{HOME}/lock", f"{HOME.upper()}/record"])
def test_another_trees_record_is_left_out(name: str) -> None:
    """A server may serve what was itself fetched as a tree: its record is of no use here, and no failure."""
    assert relative_path_of(name, "") is None
    assert relative_path_of(f"a/x{HOME}", "") == RelativePath("a", f"x{HOME}")


@given(NAMES)
def test_spellings_of_one_name_fold_to_one(name: str) -> None:
    """Names that differ in case or in Unicode's form are one to a file system that folds, and what differs more is not."""
    place = RelativePath("", name)
    for form in ("NFC", "NFD"):
        assert folded(RelativePath("", unicodedata.normalize(form, name))) == folded(place)
    assert folded(RelativePath("", f"{name}a")) == folded(RelativePath("", f"{name}A"))
    assert (
        folded(RelativePath("d", "caf\u00e9")) == folded(RelativePath("D", "CAFE\u0301")) != folded(RelativePath("d", "cafe"))
    )


# Verdicts

INFO = FileInfo("a", 5, "r1", Attributes(1_000), crc32c=None)
KEPT = Recorded("r1", 5, 77, modified_ns=1_000, inode=3)
LOCAL = Local(5, 1_000, 3)


@pytest.mark.parametrize(
    ("info", "recorded", "local", "needed"),
    [
        (INFO, KEPT, LOCAL, (FetchNeed.NOTHING, None)),
        (replace(INFO, crc32c=77), KEPT, LOCAL, (FetchNeed.NOTHING, None)),
        # Something is not as the record says.
        (INFO, KEPT, None, (FetchNeed.FETCH, None)),
        (INFO, KEPT, replace(LOCAL, size=4), (FetchNeed.FETCH, None)),
        (INFO, KEPT, replace(LOCAL, modified_ns=1_001), (FetchNeed.COMPARE, 77)),
        (INFO, KEPT, replace(LOCAL, inode=4), (FetchNeed.COMPARE, 77)),
        # The record is of other bytes.
        (INFO, replace(KEPT, revision="r0"), LOCAL, (FetchNeed.FETCH, None)),
        (INFO, replace(KEPT, size=4), LOCAL, (FetchNeed.FETCH, None)),
        (replace(INFO, crc32c=78), replace(KEPT, revision="r0"), LOCAL, (FetchNeed.COMPARE, 78)),
        (replace(INFO, crc32c=78), KEPT, LOCAL, (FetchNeed.COMPARE, 78)),
        # There is no record.
        (INFO, None, LOCAL, (FetchNeed.FETCH, None)),
        (INFO, None, None, (FetchNeed.FETCH, None)),
        (replace(INFO, crc32c=78), None, LOCAL, (FetchNeed.COMPARE, 78)),
        (replace(INFO, crc32c=78), None, replace(LOCAL, size=4), (FetchNeed.FETCH, None)),
    ],
)
def test_a_file_is_here_only_if_something_vouches_for_it(
    info: FileInfo, recorded: Recorded | None, local: Local | None, needed: tuple[FetchNeed, int | None]
) -> None:
    """The record vouches for the file it was made of; a checksum for one that agrees with it; size and time for nothing."""
    assert fetch_need(info, recorded, local) == needed


@pytest.mark.parametrize(
    ("info", "recorded", "local", "needed"),
    [
        (INFO, KEPT, LOCAL, (FetchNeed.COMPARE, 77)),
        (replace(INFO, crc32c=77), KEPT, LOCAL, (FetchNeed.COMPARE, 77)),
        (replace(INFO, crc32c=78), KEPT, LOCAL, (FetchNeed.COMPARE, 78)),
        (INFO, KEPT, None, (FetchNeed.FETCH, None)),
        (INFO, None, LOCAL, (FetchNeed.FETCH, None)),
    ],
)
def test_a_reread_believes_no_file(
    info: FileInfo, recorded: Recorded | None, local: Local | None, needed: tuple[FetchNeed, int | None]
) -> None:
    """If files are to be read again, the record only supplies a checksum to compare with."""
    assert fetch_need(info, recorded, local, reread=True) == needed


# Attributes

TOLD = replace(KEPT, given=Attributes(500, executable=True))


@pytest.mark.parametrize(
    ("attributes", "recorded", "local", "lacking"),
    [
        (Attributes(), KEPT, LOCAL, False),
        # The time is that which the server told, not that which the file system made of it.
        (Attributes(500), TOLD, LOCAL, False),
        (Attributes(501), TOLD, LOCAL, True),
        (Attributes(1_000), KEPT, LOCAL, True),
        (Attributes(executable=True), KEPT, LOCAL, True),
        (Attributes(executable=True), KEPT, replace(LOCAL, executable=True), False),
        # What we made executable is made so no longer; what a user made so stays.
        (Attributes(executable=False), TOLD, replace(LOCAL, executable=True), True),
        (Attributes(executable=False), KEPT, replace(LOCAL, executable=True), False),
        (Attributes(executable=False), TOLD, LOCAL, False),
    ],
)
def test_what_a_file_that_is_here_lacks(attributes: Attributes, recorded: Recorded, local: Local, *, lacking: bool) -> None:
    """A file whose bytes are here is given what the server tells of it, and nothing is taken that a user gave."""
    assert lacks(attributes, recorded, local) is lacking


def test_only_the_file_of_the_record_was_made_executable_by_us() -> None:
    """A file that somebody has put in its place, or that is not in the record, is as its user wants it."""
    assert made_executable(TOLD, LOCAL)
    assert not made_executable(KEPT, LOCAL)
    assert not made_executable(None, LOCAL)
    assert not made_executable(TOLD, replace(LOCAL, inode=4))
