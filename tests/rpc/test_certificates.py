"""Certificate files: new contents are used when they are complete and valid; until then the old ones are used."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from authority import Authority, Pair
from unspool.rpc import certificates as module
from unspool.rpc.certificates import Certificates, Pems


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority."""
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """Return the pair in use."""
    return authority.issue("used")


@pytest.fixture
def other(authority: Authority) -> Pair:
    """Return the pair that comes after it."""
    return authority.issue("other")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged warnings."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def has(pems: Pems, pair: Pair) -> bool:
    """Whether the contents in use are exactly this pair."""
    return (pems.chain, pems.key) == (pair.cert.read_bytes(), pair.key.read_bytes())


def test_what_has_not_changed_is_the_same_object(pair: Pair, authority: Authority) -> None:
    """A file that is only touched, or replaced by the same bytes, changes nothing."""
    files = Certificates(authority.file, pair.cert, pair.key)
    first = files.current()
    pair.cert.touch()
    assert files.current() is first
    pair.become(pair)
    assert files.current() is first


def test_files_that_rest_are_not_read_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time after the last change, a check costs only a stat of each file."""
    files = Certificates(None, pair.cert, pair.key)
    monkeypatch.setattr(module, "_SETTLED", -10.0)
    first = files.current()
    monkeypatch.setattr(module, "_read", None)  # calling it would raise TypeError
    for _ in range(3):
        assert files.current() is first


@pytest.mark.parametrize("order", ["certificate first", "key first"])
def test_a_pair_is_used_when_both_are_there(pair: Pair, other: Pair, caplog: pytest.LogCaptureFixture, order: str) -> None:
    """While only one of the two files is replaced, the old pair is used; then the new pair."""
    files = Certificates(None, pair.cert, pair.key)
    first = files.current()
    steps = [(pair.cert, other.cert), (pair.key, other.key)]
    for number, (ours, theirs) in enumerate(steps if order == "certificate first" else steps[::-1]):
        ours.write_bytes(theirs.read_bytes())  # in place, and of nearly the same size
        current = files.current()
        assert (current is first) == (number == 0)
    assert has(current, other)
    assert files.current() is current
    assert len(warnings(caplog)) == files.refused == 1


@pytest.mark.parametrize("bad", ["empty", "half", "gone", "garbage", "directory", "another key", "locked"])
def test_a_bad_file_is_told_of_once_and_not_used(pair: Pair, other: Pair, caplog: pytest.LogCaptureFixture, bad: str) -> None:
    """While the files are invalid in any way, the old pair is used and the log says so once; valid files are used again."""
    files = Certificates(None, pair.cert, pair.key)
    first = files.current()
    good = pair.cert.read_bytes()
    match bad:
        case "empty":
            pair.cert.write_bytes(b"")
        case "half":
            pair.cert.write_bytes(good[: len(good) // 2])
        case "gone":
            pair.cert.unlink()
        case "garbage":
            pair.cert.write_bytes(os.urandom(1000))
        case "directory":
            pair.cert.unlink()
            pair.cert.mkdir()
        case "another key":
            pair.key.write_bytes(other.key.read_bytes())
        case "locked":
            pair.key.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    for _ in range(5):
        assert files.current() is first
    (said,) = warnings(caplog)
    assert files.refused == 1
    assert said.startswith((f"{pair.cert}: ", f"{pair.key}: "))
    assert said.endswith("; what was there before stays in use (bad changes so far: 1)")
    if bad == "directory":
        pair.cert.rmdir()
    pair.become(other)
    assert has(files.current(), other)


def test_a_link_that_leads_elsewhere_is_a_change(pair: Pair, other: Pair, tmp_path: Path) -> None:
    """A change of the symbolic link to their directory, as Kubernetes makes it, is noticed."""
    for name, each in (("one", pair), ("two", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(each.cert.read_bytes())
        (tmp_path / name / "tls.key").write_bytes(each.key.read_bytes())
    link = tmp_path / "data"
    link.symlink_to("one")
    files = Certificates(None, link / "tls.crt", link / "tls.key")
    assert has(files.current(), pair)
    fresh = tmp_path / "fresh"
    fresh.symlink_to("two")
    fresh.replace(link)
    assert has(files.current(), other)
    assert files.refused == 0


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_files_that_change_while_they_are_checked_are_looked_at_again(
    authority: Authority, pair: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The contents in use are those that were checked; a replacement during a check is noticed, and not an invalid file."""
    fresh = authority.issue("fresh")
    files = Certificates(None, pair.cert, pair.key)
    if when == "later":
        files.current()
        pair.cert.write_bytes(b"bad, for a moment")
    check = Certificates._checked
    replaced: list[bool] = []

    def check_slowly(self: Certificates, contents: module._Contents) -> Pems:
        if not replaced:
            replaced.append(True)
            pair.become(fresh)
        return check(self, contents)

    monkeypatch.setattr(Certificates, "_checked", check_slowly)
    files.current()
    assert has(files.current(), fresh)
    assert replaced
    assert warnings(caplog) == []
    assert files.refused == 0


def test_authorities_change_too(authority: Authority, tmp_path: Path) -> None:
    """Changes of the file of authorities are noticed too; comments may be in any language."""
    files = Certificates(authority.file)
    first = files.current()
    assert first.certificate is None
    authority.file.write_bytes("# Autorité\n".encode() + Authority(tmp_path, "new").file.read_bytes())
    assert files.current() is not first
    assert files.refused == 0
