"""The file of checksums: what a server learned is known at its next start, and a damaged file never makes a wrong answer."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from processes import serving, unspool
from unspool.answers import kept as kept_module
from unspool.answers.checksums import Checksums
from unspool.answers.kept import KeptChecksums, Row
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo
from unspool.errors import InvalidRequestError

A = Row("a", "r1", 17, None)


def rows_of(path: Path) -> list[Row]:
    """Return what a file keeps."""
    kept = KeptChecksums(path)
    kept.close()
    return kept.rows


def keep(path: Path, *rows: Row) -> None:
    """Keep rows in a file."""
    kept = KeptChecksums(path)
    for row in rows:
        kept.put(row)
    kept.close()


def test_what_is_kept_is_there_the_next_time(tmp_path: Path) -> None:
    """Rows are read back in the order in which they were written; a later one of a name replaces the earlier one."""
    path = tmp_path / "checksums"
    b, c = Row("b", "r1", None, b"\1" * 32), Row("ü/\n", "", 0, b"\2" * 32)
    keep(path, A, b, c)
    assert rows_of(path) == [A, b, c]
    keep(path, Row("a", "r2", 18, None))
    assert rows_of(path) == [b, c, Row("a", "r2", 18, None)]


def test_two_checksums_of_one_revision_are_merged(tmp_path: Path) -> None:
    """A SHA-256 that is learned later does not forget the CRC32C, and the other way round; another revision forgets both."""
    path = tmp_path / "checksums"
    keep(path, A, Row("a", "r1", None, b"\1" * 32))
    assert rows_of(path) == [Row("a", "r1", 17, b"\1" * 32)]
    keep(path, Row("a", "r2", None, b"\3" * 32))
    assert rows_of(path) == [Row("a", "r2", None, b"\3" * 32)]


def test_the_oldest_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has at most so many rows: those that were written last."""
    monkeypatch.setattr(kept_module, "MOST", 5)
    path = tmp_path / "checksums"
    rows = [Row(f"{number}", "r", number, None) for number in range(20)]
    keep(path, *rows)
    assert rows_of(path) == rows[-5:]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM checksums").fetchone() == (5,)


@pytest.mark.parametrize(
    "damage",
    ["crc32c = 18", "revision = 'r2'", "name = 'b'", "sha256 = x'00'", "crc32c = 'x'", "name = x'ff'", "seal = 0"],
)
def test_a_damaged_row_is_no_row(tmp_path: Path, damage: str) -> None:
    """A row of which anything was changed is ignored, and the others are not."""
    path = tmp_path / "checksums"
    other = Row("other", "r", 3, None)
    keep(path, A, other)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE checksums SET {damage} WHERE name = 'a'")
    assert rows_of(path) == [other]


def test_any_damage_to_the_file_makes_no_wrong_row(tmp_path: Path) -> None:
    """Whatever bytes of the file are changed, it is refused, or has only rows that were written."""
    path = tmp_path / "checksums"
    rows = [Row(f"name{number}", f"revision{number}", number * 1000, None) for number in range(50)]
    keep(path, *rows)
    whole = path.read_bytes()
    random = Random(5)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 20)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            found = rows_of(path)
        except InvalidRequestError:
            continue
        assert all(row in rows for row in found)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """A file that is no database, another program's database, and a path that cannot be a file are errors with the path."""
    text = tmp_path / "text"
    text.write_text("these are notes, and no database at all\n" * 100)
    database = tmp_path / "database"
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("CREATE TABLE t (x)")
    for path in (text, database, tmp_path, tmp_path / "none" / "file"):
        with pytest.raises(InvalidRequestError, match="cannot be used as a file of checksums") as caught:
            KeptChecksums(path)
        assert str(path) in caught.value.message
    assert text.read_text().startswith("these are notes")


def test_a_disk_that_fails_stops_keeping_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If rows cannot be written, that is logged once, and learning goes on."""
    path = tmp_path / "checksums"
    kept = KeptChecksums(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE checksums")
    with caplog.at_level(logging.WARNING, "unspool.server"):
        table = Checksums(kept)
        for number in range(10):
            info = FileInfo(f"{number}", 3, "r")
            table.record(info, Block(0, b"abc", crc32c(b"abc")))
            assert table.added_to(info).crc32c == crc32c(b"abc")
        kept.close()
    assert [record.message for record in caplog.records] == [
        f"{path}: checksums are not kept any more: no such table: checksums"
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_started_again_reads_no_file_again(tmp_path: Path, workers: str) -> None:
    """What one server learned, the next one knows: the checksum is in the listing, and the SHA-256 is not computed again."""
    root, path = tmp_path / "root", tmp_path / "checksums"
    root.mkdir()
    data = Random(1).randbytes(3 << 20)
    (root / "a.bin").write_bytes(data)
    options = ("--checksums", str(path), "--workers", workers)
    with serving(root, tmp_path / "log", *options) as server:
        assert unspool("get", "-q", f"{server.address}/a.bin", tmp_path / "got").code == 0
        first = unspool("stat", "--sha256", f"{server.address}/a.bin").lines
        assert server.stop() == 0
    (row,) = rows_of(path)
    assert (row.name, row.crc32c, row.sha256 is not None) == ("a.bin", crc32c(data), True)
    with serving(root, tmp_path / "log", *options) as server:
        listed = unspool("ls", "--json", f"{server.address}")
        assert f'"crc32c": {crc32c(data)}' in listed.out.decode()
        assert unspool("stat", "--sha256", f"{server.address}/a.bin").lines == first
        (root / "a.bin").write_bytes(data[::-1])
        assert unspool("verify", f"{server.address}/a.bin", root / "a.bin").code == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, workers: str) -> None:
    """`serve` refuses to start with a bad file of checksums, in one line and with exit code 2, also with several workers."""
    done = unspool("serve", tmp_path, "--listen", "127.0.0.1:0", "--workers", workers, "--checksums", tmp_path)
    assert done.code == 2
    assert "cannot be used as a file of checksums" in done.complaint
