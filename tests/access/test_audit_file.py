"""The audit's file: one whole line for each decision, and a number for the lines that could not be written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from unspool.access import AuditFile
from unspool.core.access import Decision
from unspool.errors import InvalidRequestError, LocalFileError

DENIED = Decision("alice", "ipv4:127.0.0.1:1", "ReadFile", "a\nb\x1b", None, (0, 5), 0, "denied", "rules:1", 0.25)


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return what was written."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_decision_is_a_line(tmp_path: Path) -> None:
    """Every field is there, on one line whatever the name holds, in a file that only its owner reads."""
    path = tmp_path / "audit"
    audit = AuditFile(str(path), clock=lambda: 0)
    audit.notify(DENIED)
    (line,) = lines_of(path)
    assert list(line) == ["time", "who", "from", "method", "name", "revision", "span", "bytes", "verdict", "rule", "seconds"]
    assert (line["time"], line["name"], line["span"]) == ("1970-01-01T00:00:00.000000Z", "a\nb\x1b", [0, 5])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    audit.close()


def test_the_file_is_opened_again_after_it_was_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A program that rotates logs moves the file and has it opened again; if that fails, lines go on where they went."""
    path, old = tmp_path / "in" / "audit", tmp_path / "old"
    path.parent.mkdir()
    audit = AuditFile(str(path))
    audit.notify(DENIED)
    path.rename(old)
    audit.notify(DENIED)
    path.parent.rmdir()
    assert not audit.reload()
    assert "goes on where it was" in caplog.text
    audit.notify(DENIED)
    path.parent.mkdir()
    assert audit.reload()
    audit.notify(DENIED)
    assert (len(lines_of(old)), len(lines_of(path))) == (3, 1)
    audit.close()


def test_a_reader_that_does_not_keep_up_loses_lines_and_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A full pipe loses lines, which are counted; when it is read again, the next line says how many are missing."""
    reading, writing = os.pipe()
    audit = AuditFile(f"fd:{writing}")
    os.close(writing)  # it has one of its own
    assert audit.reload()
    while not audit.lost:
        audit.notify(DENIED)
    audit.notify(DENIED)
    assert caplog.text.count("lines are lost") == 1
    os.read(reading, 1 << 20)
    audit.notify(DENIED)
    lost, line = [json.loads(line) for line in os.read(reading, 1 << 20).splitlines()]
    assert (lost["lost"], line["who"]) == (2, "alice")
    assert "2 lines are missing" in caplog.text
    audit.notify(DENIED)
    assert len(os.read(reading, 1 << 20).splitlines()) == 1
    os.close(reading)
    audit.notify(DENIED)
    assert audit.lost == 3
    audit.close()


def test_a_full_disk_cuts_no_line_in_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of a line is ended, so that the next one is a line of its own."""
    path = tmp_path / "audit"
    audit = AuditFile(str(path))
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    audit.notify(DENIED)
    monkeypatch.undo()
    audit.notify(DENIED)
    cut, lost, line = path.read_text().splitlines()
    assert (len(cut), json.loads(lost)["lost"], json.loads(line)["who"]) == (10, 1, "alice")
    audit.close()


def test_what_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    """A directory that is missing, a descriptor that is closed or only for reading, and no number."""
    reading, writing = os.pipe()
    for where in (str(tmp_path / "none" / "audit"), "fd:9999", f"fd:{reading}"):
        with pytest.raises(LocalFileError, match=where):
            AuditFile(where)
    os.close(reading)
    os.close(writing)
    with pytest.raises(InvalidRequestError, match="a number"):
        AuditFile("fd:x")
