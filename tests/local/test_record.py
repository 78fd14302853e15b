"""The record of a tree: it needs little memory, survives a kill, and is not believed when damaged."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from processes import ENVIRONMENT
from unspool.core.reserved import HOME
from unspool.core.tree import Recorded
from unspool.core.treerecord import decode_row, encode_row, key_of
from unspool.local import record
from unspool.local.record import Record

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

MIB = 1 << 20

NAME, JOURNAL = "record.sqlite", "record.sqlite-journal"


def files(count: int, *, revision: str = "r1", every: int = 1) -> dict[str, Recorded]:
    """Return entries for so many files."""
    return {f"d/{number:06}": Recorded(revision, number, number * 7, number - 5, number) for number in range(0, count, every)}


@contextmanager
def opened(tree: Path, *, anew: bool = False) -> Iterator[Record]:
    """Open the record of a tree."""
    (tree / HOME).mkdir(parents=True, exist_ok=True)
    home = os.open(tree / HOME, os.O_RDONLY)
    try:
        with closing(Record(home, tree, anew=anew)) as it:
            yield it
    finally:
        os.close(home)


def note(tree: Path, known: dict[str, Recorded]) -> None:
    """Add to the record of a tree."""
    with opened(tree) as it:
        it.add([encode_row(name, recorded) for name, recorded in known.items()])


def found_in(record: Record, names: Iterable[str]) -> dict[str, Recorded]:
    """Return the entries of these files in an open record."""
    names = list(names)
    rows = record.find([key_of(name) for name in names])
    entries = {name: decode_row(key_of(name), rows.get(key_of(name))) for name in names}
    return {name: recorded for name, recorded in entries.items() if recorded is not None}


def known_of(tree: Path, names: Iterable[str]) -> dict[str, Recorded]:
    """Return the entries of these files in the record of a tree."""
    with opened(tree) as it:
        return found_in(it, names)


def home_of(tree: Path) -> dict[str, bytes]:
    """Return what is in the home of a tree."""
    return {path.name: path.read_bytes() for path in (tree / HOME).iterdir()}


def restore(tree: Path, home: dict[str, bytes]) -> None:
    """Put a home back as it was."""
    for path in (tree / HOME).iterdir():
        path.unlink()
    for name, data in home.items():
        (tree / HOME / name).write_bytes(data)


# What it is for


def test_what_was_added_is_found(tmp_path: Path) -> None:
    """An added entry is found at once and in the next run; the last entry of a file counts, and other files have none."""
    first, second = files(3000), files(3000, revision="r2", every=2)
    with opened(tmp_path) as it:
        it.add([encode_row(name, recorded) for name, recorded in first.items()])
        assert found_in(it, first) == first
        it.add([encode_row(name, recorded) for name, recorded in second.items()])
    assert known_of(tmp_path, [*first, "d", "d/000000x", ""]) == first | second
    assert list(home_of(tmp_path)) == [NAME]


@pytest.mark.parametrize("every", [1, 2, 3, 50])
def test_files_are_found_whatever_lies_between_them(tmp_path: Path, every: int) -> None:
    """Some files of a directory are found, be there few others or many; what is not recorded is not found."""
    known = {**files(500), **{name.replace("d/", "e/"): recorded for name, recorded in files(10).items()}}
    note(tmp_path, known)
    names = [*list(known)[::every], "d/missing", "e/000003x", "f", ""]
    Random(every).shuffle(names)
    assert known_of(tmp_path, names) == {name: known[name] for name in names if name in known}


def test_any_text_may_be_asked_for(tmp_path: Path) -> None:
    """An invalid or overlong name is not found, and is no error; a revision too long for a row is not recorded."""
    odd = {
        "\udcff": Recorded("r", 1, 2, 3, 4),
        "a\0b": Recorded("\ud800", 1, 2, 3, 4),
        "é" * 2048: Recorded("r" * 9000, 1 << 64, 2, 3, 4),
    }
    note(tmp_path, odd | {"long": Recorded("r" * MIB, 1, 2, 3, 4)})
    assert known_of(tmp_path, [*odd, "x" * MIB, "long", "\udcfe"]) == odd


def test_nothing_is_believed_when_it_is_not_to_be(tmp_path: Path) -> None:
    """A record that is opened anew has no entries."""
    note(tmp_path, files(10))
    with opened(tmp_path, anew=True) as it:
        assert found_in(it, files(10)) == {}
    assert known_of(tmp_path, files(10)) == {}


def test_it_may_be_closed_by_another_thread(tmp_path: Path) -> None:
    """A record may be closed by another thread than the one that opened it."""
    known = files(2)
    first, second = (encode_row(name, recorded) for name, recorded in known.items())
    with opened(tmp_path) as it:
        it.add([first])
        thread = threading.Thread(target=it.add, args=([second],))
        thread.start()
        thread.join()
    assert known_of(tmp_path, known) == known


# Memory

FILL_AND_FIND = """
import os, sys
from pathlib import Path
from unspool.core.tree import Recorded
from unspool.core.treerecord import encode_row
from unspool.local.record import Record

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

tree, count = Path(sys.argv[1]), int(sys.argv[2])
home = os.open(tree, os.O_RDONLY)

def go_through(begin, end):
    record = Record(home, tree)
    for at in range(begin, end, 1000):
        record.add([encode_row(f"directory/{n:09}", Recorded(f"{n:040}", n, n, n, n)) for n in range(at, at + 1000)])
    record.close()
    record = Record(home, tree)
    for at in range(begin, end, 1000):
        assert len(record.find([b"directory/%09d" % n for n in range(at, at + 1000)])) == 1000
    record.close()

go_through(0, 20_000)
before = peak()
go_through(20_000, count)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say how much memory is held")
def test_memory_does_not_grow_with_the_record(tmp_path: Path) -> None:
    """Ten times as many files, 200,000, need no more memory."""
    arguments = [sys.executable, "-c", FILL_AND_FIND, str(tmp_path), "200000"]
    done = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 << 10, "KiB"


@pytest.mark.parametrize(
    ("module", "later"),
    [
        ("client.client", ["local.record"]),
        ("client.tree", ["local.record", "client.batches", "client.download"]),
        ("client.puttree", ["client.tree", "client.download"]),
    ],
)
def test_what_only_some_downloads_need_is_loaded_later(module: str, later: list[str]) -> None:
    """What fetches one file does not load what loads SQLite, and a tree's listing is asked for before its files' modules load.

    Others, such as what measures coverage, may load SQLite.
    """
    program = f"import sys; import unspool.{module}; print(*[each for each in {later} if f'unspool.{{each}}' in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


# Death


@pytest.mark.parametrize("size", range(0, 40_000, 500 if DEEP else 4000))
def test_a_kill_in_the_middle_of_a_write_costs_what_was_being_added(tmp_path: Path, size: int) -> None:
    """After a kill in any write to database or journal, the record has all earlier entries, and accepts new ones."""
    before, more = files(600, every=2), files(600)
    note(tmp_path, before)
    whole = (tmp_path / HOME / NAME).stat().st_size
    child = os.fork()
    if not child:
        try:
            with opened(tmp_path) as it:
                # Who writes beyond this length is killed, in the middle of the write: the journal's, or the database's.
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                for name, recorded in more.items():
                    it.add([encode_row(name, recorded)])
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended == -signal.SIGXFSZ or size >= whole
    known = known_of(tmp_path, more)
    assert before.items() <= known.items() <= more.items()
    note(tmp_path, more)
    assert known_of(tmp_path, more) == more


# Damage


@pytest.mark.parametrize("seed", range(40 if DEEP else 1))
def test_no_damage_is_believed_or_ends_a_run(tmp_path: Path, seed: int) -> None:
    """If any byte is changed, every entry that is found is correct, and new entries can be added."""
    random = Random(seed)
    known, more = files(300), files(300, revision="r2", every=3)
    note(tmp_path, known)
    sound = home_of(tmp_path)
    data = sound[NAME]
    lost = 0
    # The first page's header says how the rest is read: each of its bytes.
    places = [*range(120), *(random.randrange(len(data)) for _ in range(150))]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= random.choice([1, 2, 0x80, 0xFF, random.randrange(1, 256)])
        restore(tmp_path, {NAME: bytes(damaged)})
        with opened(tmp_path) as it:
            found = found_in(it, known)
            assert found.items() <= known.items(), place
            lost += len(known) - len(found)
            it.add([encode_row(name, recorded) for name, recorded in more.items()])
            assert found_in(it, more) == more, place
        with opened(tmp_path) as it:
            assert found_in(it, more) == more, place
    assert lost > 0, "the damage did some"


@pytest.mark.parametrize("seed", range(400 if DEEP else 40))
def test_any_garbage_is_replaced(tmp_path: Path, seed: int) -> None:
    """A record that was truncated, zeroed, shuffled or overwritten returns nothing wrong, and entries can be added again."""
    random = Random(seed)
    known = files(500)
    note(tmp_path, known)
    data = home_of(tmp_path)[NAME]
    cut, other = sorted(random.randrange(len(data)) for _ in range(2))
    page = random.randrange(1, len(data) // 4096)
    damaged = [
        data[:cut],
        b"",
        bytes(len(data)),
        random.randbytes(len(data)),
        data[:100] + random.randbytes(len(data) - 100),
        data[:cut] + random.randbytes(other - cut) + data[other:],
        data[:cut] + bytes(other - cut) + data[other:],
        data[: 4096 * page] + data[4096:8192] + data[4096 * (page + 1) :],
    ][seed % 8]
    restore(tmp_path, {NAME: damaged})
    with opened(tmp_path) as it:
        assert found_in(it, known).items() <= known.items()
        it.add([encode_row(name, recorded) for name, recorded in known.items()])
        assert found_in(it, known) == known
    assert known_of(tmp_path, known) == known


@pytest.mark.parametrize("kind", ["another table", "a view", "one more", "another version", "another program's", "a log"])
def test_another_database_is_no_record(tmp_path: Path, kind: str) -> None:
    """A database that differs in any way from those of unspool is not used and not changed."""
    note(tmp_path, files(10))
    path = tmp_path / HOME / NAME
    statements = {
        "another table": "DROP TABLE files; CREATE TABLE files (name, said)",
        "a view": "DROP TABLE files; CREATE VIEW files AS SELECT 'd/000001' AS name, randomblob(100) AS said",
        "one more": "CREATE TRIGGER t AFTER INSERT ON files BEGIN DELETE FROM files; END",
        "another version": "PRAGMA user_version=1",
        "another program's": "PRAGMA application_id=0",
        "a log": "PRAGMA journal_mode=WAL",
    }
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statements[kind])
    precious = tmp_path / "precious"
    precious.hardlink_to(path)
    before = precious.read_bytes()
    assert known_of(tmp_path, files(10)) == {}
    note(tmp_path, files(10))
    assert known_of(tmp_path, files(10)) == files(10)
    assert precious.read_bytes() == before


def test_an_empty_file_with_another_name_stays_empty(tmp_path: Path) -> None:
    """A hard link to somebody's empty file in the record's place is replaced, not written to."""
    (tmp_path / HOME).mkdir()
    (tmp_path / "precious").touch()
    (tmp_path / HOME / NAME).hardlink_to(tmp_path / "precious")
    note(tmp_path, files(10))
    assert (tmp_path / "precious").read_bytes() == b""
    assert known_of(tmp_path, files(10)) == files(10)


# What is in the way, or leads away


@pytest.mark.parametrize("name", [NAME, JOURNAL, f"{NAME}-wal"])
@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "link to nowhere"])
def test_only_regular_files_are_used(tmp_path: Path, name: str, kind: str) -> None:
    """What is no regular file where one of the database's belongs is an error that names it, and nothing happens to it."""
    note(tmp_path, files(10))
    path = tmp_path / HOME / name
    path.unlink(missing_ok=True)
    (tmp_path / "precious").write_bytes(b"precious")
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(tmp_path / "precious")
        case _:
            path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError) as caught, opened(tmp_path):
        pass
    assert caught.value.filename == name
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_journal_that_names_another_file_does_not_have_it_removed(tmp_path: Path) -> None:
    """SQLite removes a file that a journal names as its master; no such journal reaches it."""
    note(tmp_path, files(10))
    precious = tmp_path / "precious"
    precious.write_bytes(b"\0")
    path = tmp_path / HOME / NAME
    name = os.fsencode(precious)
    page = path.read_bytes()[:4096]
    total = sum(page[at] for at in range(4096 - 200, 0, -200)) & 0xFFFFFFFF
    magic = bytes.fromhex("d9d505f920a163d7")
    words = [1, 0, path.stat().st_size // 4096, 512, 4096]
    journal = (magic + b"".join(word.to_bytes(4, "big") for word in words)).ljust(512, b"\0")
    journal += (1).to_bytes(4, "big") + page + total.to_bytes(4, "big")
    signed = sum(byte - 256 if byte > 127 else byte for byte in name) & 0xFFFFFFFF
    journal += (0x40000000 // 4096 + 1).to_bytes(4, "big") + name
    journal += len(name).to_bytes(4, "big") + signed.to_bytes(4, "big") + magic
    (tmp_path / HOME / JOURNAL).write_bytes(journal)
    note(tmp_path, files(20))
    assert precious.exists()
    assert known_of(tmp_path, files(20)) == files(20)


def test_a_directory_that_is_exchanged_leads_no_record_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the path leads to another tree's home just as SQLite opens it, that one's record is neither read nor added to."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    note(ours, files(10))
    note(theirs, files(20))
    before = home_of(ours), home_of(theirs)
    real = sqlite3.connect

    def misled(path: str, **options: bool) -> sqlite3.Connection:
        return real(path.replace("ours", "theirs"), **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(record, "Path", lambda path: Path("/nowhere" if "proc" in path else path))
    monkeypatch.setattr(sqlite3, "connect", misled)
    with opened(ours) as it:
        assert found_in(it, files(20)) == {}
        it.add([encode_row(name, recorded) for name, recorded in files(20).items()])
    assert (home_of(ours), home_of(theirs)) == before


def test_a_tree_that_is_moved_meanwhile_takes_its_record_along(tmp_path: Path) -> None:
    """Once it is open the record is where the home is, and nothing is made where the home was."""
    old, new = tmp_path / "old", tmp_path / "new"
    with opened(old) as it:
        old.rename(new)
        (old / HOME).mkdir(parents=True)
        it.add([encode_row(name, recorded) for name, recorded in files(2000).items()])
    assert home_of(old) == {}
    assert list(home_of(new)) == [NAME]
    assert known_of(new, files(2000)) == files(2000)


def test_a_place_that_only_a_descriptor_leads_to(tmp_path: Path) -> None:
    """If the path is too long for SQLite, the tree has no record, which is not an error."""
    deep = tmp_path.joinpath(*["d" * 200] * 10)
    note(deep, files(10))
    assert known_of(deep, files(10)) in ({}, files(10))


@pytest.mark.parametrize("way", ["proc", "path"])
def test_without_proc_the_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """On a system that shows no descriptors as directories the record is opened by its path, whatever is in that."""
    if way == "path":
        monkeypatch.setattr(record, "Path", lambda path: Path("/nowhere"))
    tree = tmp_path / "odd ?#%20é\udcff"
    note(tree, files(10))
    assert known_of(tree, files(10)) == files(10)
    assert [path.name for path in tmp_path.iterdir()] == [tree.name]


# A disk that refuses


def test_a_full_disk_costs_no_record(tmp_path: Path) -> None:
    """If no entries can be added, the existing ones are still found, now and in the next run."""
    note(tmp_path, files(500))
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            with opened(tmp_path) as it:
                it.add([encode_row("new", Recorded("r", 1, 2, 3, 4))])
                code = 0 if found_in(it, [*files(500), "new"]) == files(500) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert known_of(tmp_path, files(500)) == files(500)
