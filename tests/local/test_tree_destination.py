"""The destination of a tree: nothing is written outside, names are given last, and the record is true."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.nobody import said_by_nobody
from tree.treelab import MODIFIED, files_in, own_files_in
from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.reserved import HOME, PART_SUFFIX
from unspool.core.treerecord import decode_row
from unspool.errors import BusyError, DestinationExistsError, LocalFileError
from unspool.local import outcome, staging
from unspool.local.oserrors import ends_everything
from unspool.local.outcome import Outcome, ReceivedFile, Wanted
from unspool.local.record import Record
from unspool.local.tree import TreeDestination

DATA = b"data"


def info(name: str, data: bytes = DATA, revision: str = "r1", *, known: bool = False) -> FileInfo:
    """Return how a server lists a file."""
    return FileInfo(name, len(data), revision, Attributes(MODIFIED), crc32c=crc32c(data) if known else None)


def whole(wanted: Wanted, data: bytes = DATA) -> ReceivedFile:
    """Return a file as it arrives, in two blocks."""
    return ReceivedFile(wanted, [data[:1], memoryview(data)[1:]], crc32c(data), confirmed=True)


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[TreeDestination]:
    """Open a destination."""
    place = TreeDestination(path, "", **{"overwrite": True, "resume": True, **options})
    place.open()
    try:
        yield place
    finally:
        place.close()


def fill(path: Path, *names: str, data: bytes = DATA, **options: Any) -> Outcome:
    """Write files to a tree; return all outcomes."""
    with opened(path, **options) as place:
        outcome = place.look([info(name, data) for name in names])
        place.write([whole(wanted, data) for wanted in outcome.wanted])
        end = place.finish()
        end.failures[:0] = outcome.failures
        end.kept = outcome.kept
        return end


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def write_all(place: TreeDestination, wanted: list[Wanted]) -> Outcome:
    """Have files arrive, and the tree end."""
    place.write(map(whole, wanted))
    return place.finish()


# Nothing leads out


@pytest.mark.parametrize("target", ["outside", "inside", "nowhere"])
def test_a_symbolic_link_to_a_directory_is_not_gone_through(tmp_path: Path, target: str) -> None:
    """Files that belong below a link fail, wherever it leads; the others arrive."""
    out = tmp_path / "out"
    (out / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (out / "link").symlink_to(tmp_path / target if target == "outside" else Path(target))
    outcome = fill(out, "link/a", "link/b/c", "d")
    assert {failure.name for failure in outcome.failures} == {"link/a", "link/b/c"}
    assert all("symbolic link" in failure.error.message for failure in outcome.failures)
    assert [path.name for path in (tmp_path / "outside").iterdir()] == []
    assert [path.name for path in (out / "inside").iterdir()] == []
    assert (out / "d").read_bytes() == DATA


@pytest.mark.parametrize("was_there", [True, False])
def test_a_link_that_appears_in_the_middle_is_not_gone_through(tmp_path: Path, *, was_there: bool) -> None:
    """A link that takes a directory's place between looking and naming leads nowhere."""
    directory = tmp_path / "out" / "dir"
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    if was_there:
        directory.mkdir()
    with opened(tmp_path / "out") as place:
        wanted = place.look([info("dir/a"), info("b")]).wanted
        place.write(map(whole, wanted))
        if was_there:
            directory.rmdir()
        directory.symlink_to(tmp_path / "outside")
        outcome = place.finish()
    assert [failure.name for failure in outcome.failures] == ["dir/a"]
    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "out" / "b").read_bytes() == DATA


def test_a_symbolic_link_at_a_files_place_is_replaced_itself(tmp_path: Path) -> None:
    """A link where a file belongs becomes the file; what it led to stays as it was."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "precious")
    assert fill(tmp_path / "out", "a").fetched == 1
    assert not (tmp_path / "out" / "a").is_symlink()
    assert (tmp_path / "out" / "a").read_bytes() == DATA
    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("what", [".unspool-tree", ".unspool-tree/lock", ".unspool-tree/record.sqlite"])
def test_a_link_in_place_of_what_is_unspools_own_is_refused(tmp_path: Path, what: str) -> None:
    """A link in place of the record or the lock is an error, and nothing is written through it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "file").write_bytes(b"precious")
    link = tmp_path / "out" / what
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / ("outside" if what == ".unspool-tree" else "file"))
    with pytest.raises(LocalFileError, match=f"{link}: .*remove it"), opened(tmp_path / "out"):
        pass
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_that_leads_nowhere_is_no_destination(tmp_path: Path) -> None:
    """The error says that it is a link; nothing is made at its other end."""
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(LocalFileError, match="out: is a symbolic link that leads nowhere"), opened(tmp_path / "out"):
        pass
    assert not (tmp_path / "nowhere").exists()


def test_the_destination_itself_may_be_a_link(tmp_path: Path) -> None:
    """The directory that a user names is the one meant, also through a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    fill(tmp_path / "out", "a")
    assert (tmp_path / "real" / "a").read_bytes() == DATA


# What stands in the way of one file


def test_files_and_directories_do_not_replace_each_other(tmp_path: Path) -> None:
    """A file where a directory is needed, a directory or a pipe where a file belongs: each fails, and stays as it is."""
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "directory" / "below").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    outcome = fill(tmp_path, "file/a", "directory", "pipe", "ok")
    assert {failure.name for failure in outcome.failures} == {"file/a", "directory", "pipe"}
    assert outcome.fetched == 1
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert (tmp_path / "directory" / "below").is_dir()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_tree_in_which_a_name_is_file_and_directory_has_one_of_them(tmp_path: Path) -> None:
    """Object stores can have `a` and `a/b`: the first arrives, the other fails."""
    outcome = fill(tmp_path, "a", "a/b", "c")
    assert outcome.fetched == 2
    assert [failure.name for failure in outcome.failures] == ["a/b"]
    assert files_in(tmp_path) == {"a": DATA, "c": DATA}
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, f"{'x' * 256}/a", f"{'d' * 200}/" * 19 + "a"])
def test_names_that_are_too_long_for_this_disk_fail_alone(tmp_path: Path, name: str) -> None:
    """A part that the file system does not take is that file's failure. How deep a tree is does not matter."""
    outcome = fill(tmp_path, name, "ok")
    assert outcome.fetched + len(outcome.failures) == 2
    assert (len(outcome.failures) == 0) == name.startswith("dd")
    assert (tmp_path / "ok").read_bytes() == DATA


@pytest.mark.parametrize(
    "name", ["x" * 255, "é" * 127, "odd \x1b]0;\a\n", "-rf", "~", "*", "'\"$(x)`", " ", "\u202e", "a:b", "CON"]
)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    """Any name that the file system accepts is used, even if it leaves no room for a suffix or looks special."""
    assert fill(tmp_path, name, f"{name}/{name}x"[: 255 if len(name) < 200 else 0] or "ok").fetched >= 1
    assert (tmp_path / name).read_bytes() == DATA
    assert fill(tmp_path, name).kept == 1


def test_more_directories_than_are_kept_open(tmp_path: Path) -> None:
    """A tree may have far more directories than a process may have open files, in any order."""
    names = [f"{number % 300}/{number % 7}/{number}" for number in range(900)]
    before = descriptors()
    with opened(tmp_path) as place:
        outcome = write_all(place, place.look(map(info, names)).wanted)
        assert descriptors() < before + 100
    assert (outcome.fetched, outcome.failures) == (900, [])
    assert set(files_in(tmp_path)) == set(names)
    assert descriptors() == before


# Names that a file system takes for one


def test_where_case_makes_no_difference_the_second_name_fails(tmp_path: Path) -> None:
    """On a file system that folds names, of two files that would be one the first arrives and the second fails."""
    names = ("README", "readme", "dir/Café", "DIR/cafe\u0301", "other")
    outcome = fill(tmp_path, *names, folds=True)
    assert [failure.name for failure in outcome.failures] == ["readme", "DIR/cafe\u0301"]
    assert set(files_in(tmp_path)) == {"README", "dir/Café", "other"}


def test_whether_names_are_folded_is_found_out(tmp_path: Path) -> None:
    """Where names that differ in case are two, both arrive, and the probe leaves nothing behind."""
    assert fill(tmp_path, "README", "readme").fetched == (2 if not _folds(tmp_path) else 1)
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]


def _folds(directory: Path) -> bool:
    (directory / "Probe").touch()
    folds = (directory / "probe").exists()
    (directory / "Probe").unlink()
    return folds


# Whole, durable, then named


class Log:
    """The system calls, in order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._patch = patch

    def begin(self) -> None:
        """Take notes from now on."""
        for name in ("write", "fsync", "rename"):
            self._patch.setattr(os, name, self._logging(name, getattr(os, name)))
        self._patch.setattr(Record, "add", self._logging("note", Record.add))

    def _logging(self, name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            return real(*args, **kwargs)

        return call

    def sync_all(self, descriptor: int) -> None:
        """Replace the call that syncs the whole file system."""
        self.calls.append("sync all")


@pytest.mark.parametrize("count", [1, 500])
def test_no_file_has_its_name_before_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Every byte is written and synced before the first name is given, and the names are synced before the end."""
    with opened(tmp_path, sync_all=(log := Log(monkeypatch)).sync_all) as place:
        wanted = place.look([info(f"{number}") for number in range(count)]).wanted
        log.begin()
        place.write(map(whole, wanted))
        assert "rename" not in log.calls
        log.calls.append("finish")
        place.finish()
    before, _, after = "|".join(log.calls).partition("|rename|")
    written, _, synced = before.partition("|finish|")
    assert written.count("write") == 2 * count
    assert synced.split("|") == (["sync all"] if count > 32 else ["fsync"] * count)
    assert after.split("|")[count - 1 :] == (["note", "sync all"] if count > 32 else ["fsync", "note"])


def test_without_syncing_all_at_once_each_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system cannot sync a file system at once, every file and every directory is synced by itself."""
    log = Log(monkeypatch)
    with opened(tmp_path, sync_all=None) as place:
        wanted = place.look([info(f"{number % 3}/{number}") for number in range(90)]).wanted
        log.begin()
        place.write(map(whole, wanted))
        place.finish()
    first = log.calls.index("rename")
    assert log.calls[:first].count("fsync") == 90
    assert log.calls[first:].count("fsync") == 4, "three directories, and the one they are in"


def test_a_group_is_named_when_it_is_large_or_its_time_is_up(tmp_path: Path) -> None:
    """The cost of a kill is bounded: a group is committed after a thousand files, or when the caller commits it."""
    with opened(tmp_path) as place:
        wanted = place.look([info(f"{number}") for number in range(1002)]).wanted
        assert place.write([whole(one) for one in wanted[:999]]).fetched == 0
        assert place.write([whole(wanted[999])]).fetched == 1000
        assert place.write([whole(wanted[1000]), whole(wanted[1001])]).fetched == 0
        assert place.name_staged().fetched == 2
        assert place.name_staged().fetched == 0


def test_a_group_of_many_bytes_is_named(tmp_path: Path) -> None:
    """Sixty-four MiB are a group, however few files they are."""
    data = bytes(1 << 20)
    with opened(tmp_path) as place:
        wanted = place.look([info(f"{number}", data) for number in range(64)]).wanted
        assert [place.write([whole(one, data)]).fetched for one in wanted] == [0] * 63 + [64]


def test_what_has_no_name_is_removed(tmp_path: Path) -> None:
    """Staged files without a final name are removed at the end, and after a kill by the next run."""
    with opened(tmp_path) as place:
        place.write([whole(place.look([info("a")]).wanted[0])])
        assert len(own_files_in(tmp_path)) == 4
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]
    (tmp_path / ".unspool-tree" / "17").write_bytes(b"left by a kill")
    (tmp_path / ".unspool-tree" / "18-Café").write_bytes(b"")
    (tmp_path / ".unspool-tree" / "record.sqlite-journal").write_bytes(b"")
    with opened(tmp_path):
        assert own_files_in(tmp_path) == ["lock", "record.sqlite", "record.sqlite-journal"]
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]


def test_permissions_of_what_is_replaced_stay(tmp_path: Path) -> None:
    """A file that is replaced keeps its permissions, without the right to run as somebody else."""
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "a").chmod(0o4750)
    fill(tmp_path, "a", "b")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o750
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "b").stat().st_mode & 0o7777 == 0o666 & ~umask


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """With overwrite off, what another process puts there between looking and naming stays."""
    with opened(tmp_path, overwrite=False) as place:
        wanted = place.look([info("a"), info("b")]).wanted
        place.write(map(whole, wanted))
        (tmp_path / "a").write_bytes(b"mine")
        outcome = place.finish()
    assert [type(failure.error) for failure in outcome.failures] == [DestinationExistsError]
    assert files_in(tmp_path) == {"a": b"mine", "b": DATA}
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]


def refusing(monkeypatch: pytest.MonkeyPatch, call: str, number: int, *, times: int = 1 << 30) -> None:
    """Have a system call fail, so many times."""
    real = getattr(os, call)
    left = [times]

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, refuse)


def test_without_links_a_file_that_is_there_stays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that cannot link, overwrite off looks before it renames."""
    refusing(monkeypatch, "link", errno.EPERM)
    with opened(tmp_path, overwrite=False) as place:
        wanted = place.look([info("a"), info("b")]).wanted
        place.write(map(whole, wanted))
        (tmp_path / "a").write_bytes(b"mine")
        assert [failure.name for failure in place.finish().failures] == ["a"]
    assert files_in(tmp_path) == {"a": b"mine", "b": DATA}


def test_a_file_that_belongs_on_another_file_system_is_handed_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another file system is mounted in the tree, the file is given back to be downloaded beside its place."""
    with opened(tmp_path) as place:
        wanted = place.look([info("a"), info("b")]).wanted
        place.write(map(whole, wanted))
        refusing(monkeypatch, "rename", errno.EXDEV, times=1)
        outcome = place.finish()
    assert (outcome.elsewhere, outcome.fetched, outcome.failures) == ([wanted[0]], 1, [])
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]


@pytest.mark.parametrize(("call", "number"), [("write", errno.ENOSPC), ("rename", errno.ENOSPC), ("rename", errno.EROFS)])
def test_a_full_disk_ends_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """An error that every other file would get too ends the tree, and no staged file is left."""
    with opened(tmp_path) as place:
        wanted = place.look([info("a"), info("b")]).wanted
        with monkeypatch.context() as patch:
            refusing(patch, call, number)
            with pytest.raises(LocalFileError) as caught:
                write_all(place, wanted)
        assert ends_everything(caught.value)
    assert files_in(tmp_path) == {}
    assert own_files_in(tmp_path) == ["lock", "record.sqlite"]


def test_a_name_the_disk_refuses_does_not_end_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that concerns one name fails that file only."""
    with opened(tmp_path) as place:
        wanted = place.look([info("a"), info("b")]).wanted
        place.write(map(whole, wanted))
        refusing(monkeypatch, "rename", errno.EACCES, times=1)
        (failure,) = place.finish().failures
    assert failure.name == "a"
    assert isinstance(failure.error, LocalFileError)
    assert not ends_everything(failure.error)


# The record


def test_the_record_never_leads_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a row is added to the record, the file it is about is there already, and is the one it describes."""
    seen: list[bytes] = []
    real = Record.add

    def checking(record: Record, rows: list[tuple[bytes, bytes]]) -> None:
        for key, said in rows:
            kept, status = decode_row(key, said), (tmp_path / key.decode()).stat()
            assert kept is not None
            assert (kept.size, kept.modified_ns, kept.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)
        seen.extend(key for key, _ in rows)
        real(record, rows)

    monkeypatch.setattr(Record, "add", checking)
    fill(tmp_path, "a", "b")
    assert seen == [b"a", b"b"]


def test_what_could_not_be_noted_is_compared(tmp_path: Path) -> None:
    """Without a record files are compared where there is a checksum to compare with, and fetched where there is none."""
    fill(tmp_path, "a", "b")
    (tmp_path / ".unspool-tree" / "record.sqlite").unlink()
    with opened(tmp_path) as place:
        outcome = place.look([info("a", known=True), info("b")])
    assert outcome.kept == 1
    assert [wanted.info.name for wanted in outcome.wanted] == ["b"]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"SQLite format 3\0", b"\0" * 100])
def test_a_record_that_is_none_is_replaced(tmp_path: Path, damage: bytes) -> None:
    """A record of another version, or damaged from the start, is begun anew and good again after the run."""
    fill(tmp_path, "a")
    (tmp_path / ".unspool-tree" / "record.sqlite").write_bytes(damage)
    assert fill(tmp_path, "a").fetched == 1
    assert fill(tmp_path, "a").kept == 1


@pytest.mark.parametrize("what", ["lock", "record.sqlite"])
def test_what_is_in_the_records_way_is_named(tmp_path: Path, what: str) -> None:
    """A directory where the record or the lock belongs is an error that says which, and stays."""
    (tmp_path / ".unspool-tree" / what).mkdir(parents=True)
    with pytest.raises(LocalFileError, match=f"{tmp_path}/.unspool-tree/{what}: .*remove it"), opened(tmp_path):
        pass
    assert (tmp_path / ".unspool-tree" / what).is_dir()


def test_a_record_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Adding an entry for the same file again and again does not enlarge the record."""
    fill(tmp_path, "a", "b")
    size = (tmp_path / ".unspool-tree" / "record.sqlite").stat().st_size
    for number in range(20):
        fill(tmp_path, "a", "b", data=b"%d" % number)
    assert fill(tmp_path, "a", "b", data=b"19").kept == 2
    assert (tmp_path / ".unspool-tree" / "record.sqlite").stat().st_size == size


def test_a_record_that_cannot_be_written_costs_no_file(tmp_path: Path) -> None:
    """The record is of use to the next run only: a disk that refuses it does not fail this one."""
    with opened(tmp_path) as place:
        place.write([whole(place.look([info("a")]).wanted[0])])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            assert place.finish().fetched == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_in(tmp_path) == {"a": DATA}
    assert fill(tmp_path, "a").kept == 0


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A directory that is being filled is refused, and free again afterwards; nothing of the first one's is touched."""
    with opened(tmp_path) as place:
        place.write([whole(place.look([info("a")]).wanted[0])])
        with pytest.raises(BusyError), opened(tmp_path):
            pass
        assert place.finish().fetched == 1
    with opened(tmp_path):
        pass


def test_what_could_not_be_opened_is_closed(tmp_path: Path) -> None:
    """A destination that is refused keeps no descriptor."""
    (tmp_path / ".unspool-tree").write_bytes(b"")
    before = descriptors()
    for _ in range(3):
        with pytest.raises(LocalFileError), opened(tmp_path):
            pass
    assert descriptors() == before


def test_a_disk_that_is_full_from_the_start_keeps_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If opening a destination fails half-way, it is closed and unlocked."""
    before = descriptors()
    refusing(monkeypatch, "rename", errno.ENOSPC, times=2)
    for _ in range(2):
        with pytest.raises(LocalFileError), opened(tmp_path):
            pass
    assert descriptors() == before
    assert fill(tmp_path, "a").fetched == 1


def test_the_groups_bounds_are_those_documented() -> None:
    """A batch of the largest number of small files is one group."""
    assert (staging._GROUP_FILES, staging._GROUP_BYTES, outcome.GROUP_SECONDS) == (1000, 64 << 20, 2.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="a process without rights is made by one that has them all")
def test_a_umask_that_takes_our_own_rights_does_not_stop_a_tree() -> None:
    """With umask 277 a tree has directories that can be filled, also by the next run."""

    def twice(directory: Path) -> str:
        first = fill(directory / "out", "d/e/a", "b")
        second = fill(directory / "out", "d/e/a", "b", "d/e/c")
        return f"{first.fetched} {second.kept} {second.fetched} {len(first.failures + second.failures)}"

    assert said_by_nobody(twice, 0o277) == "2 2 1 0"


@pytest.mark.parametrize("name", [HOME, HOME.upper(), f"x{PART_SUFFIX}"])
def test_a_directory_with_a_name_of_ours_is_no_destination(tmp_path: Path, name: str) -> None:
    """A tree cannot be written to a directory that is the record of another tree."""
    with pytest.raises(LocalFileError, match="name another destination"), opened(tmp_path / name):
        pass
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_empty_directories_are_durable(tmp_path: Path, *, at_once: bool) -> None:
    """If only directories were made, the file system or each changed directory is synced; otherwise nothing is."""
    synced: list[int] = []
    with pytest.MonkeyPatch.context() as patched, opened(tmp_path, sync_all=synced.append if at_once else None) as place:
        patched.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
        assert place.make_directories(["a/b/", "c/"]).directories == 2
        place.finish()
        if not at_once:
            assert set(synced) == {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino}
        assert synced
        synced.clear()
        assert place.make_directories(["a/b/", "c/"]).directories == 2
        place.finish()
        assert synced == []
