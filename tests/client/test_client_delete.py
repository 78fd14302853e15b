"""Deleting, with faults from a script: what was meant is gone, and a lost answer is no error."""

from __future__ import annotations

import pytest

from unspool.client.client import Client
from unspool.core.retry import RetryPolicy
from unspool.errors import (
    FileChangedError,
    InvalidRequestError,
    NotAFileError,
    NotFoundError,
    OverloadedError,
    StalledError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, StoreTransport
from unspool.testing.uploads import UploadTransport


class Lab:
    """A client that deletes files of a server that follows a script."""

    def __init__(self, script: str = "", *, budget: int = 10) -> None:
        self.store = MemoryStore({"dir/a": b"a" * 10, "dir/b": b"b" * 20, "other": b"o"})
        self.clock = FakeClock()
        self.transport = UploadTransport(self.store, script, clock=self.clock, change=self.change)
        options = TransferOptions(retry=RetryPolicy(budget=budget))
        self.client = Client(transport=self.transport, clock=self.clock, options=options)

    def change(self) -> None:
        """Replace a file."""
        self.store.put("dir/a", b"newer")

    def names(self) -> set[str]:
        """Return the names of the files that are there."""
        return {name for name in ("dir/a", "dir/b", "other") if self.store.revision_of(name)}


async def test_a_file_is_deleted_and_described() -> None:
    """The answer is the file as it was; what is not there cannot be deleted."""
    lab = Lab()
    revision = lab.store.revision_of("dir/a")
    deleted = await lab.client.delete("dir/a", if_revision=revision)
    assert deleted is not None
    assert (deleted.name, deleted.size, deleted.revision) == ("dir/a", 10, revision)
    assert lab.names() == {"dir/b", "other"}
    with pytest.raises(NotFoundError):
        await lab.client.delete("dir/a")


@pytest.mark.parametrize("script", ["x", "r", "xrx", "l", "z", "xl"])
async def test_an_attempt_that_breaks_is_made_again(script: str) -> None:
    """If the answer was lost, the file is not there any more, and that is no error: nobody knows what was deleted."""
    lab = Lab(script)
    deleted = await lab.client.delete("dir/a")
    assert (deleted is None) is (script[-1] in "lz")
    assert lab.names() == {"dir/b", "other"}
    assert lab.transport.fired == script


async def test_a_file_that_was_never_there_is_not_found_by_a_later_attempt() -> None:
    """A server that was too busy for the first attempt has deleted nothing, so what is not there was not there."""
    with pytest.raises(NotFoundError):
        await Lab("r").client.delete("never")


async def test_a_newer_file_is_not_deleted_for_an_older_one() -> None:
    """With a revision, neither the first attempt nor one after a lost answer deletes what replaced the file."""
    lab = Lab("w")
    with pytest.raises(FileChangedError):
        await lab.client.delete("dir/a", if_revision=lab.store.revision_of("dir/a"))
    lab = Lab("lw")
    with pytest.raises(FileChangedError):
        await lab.client.delete("dir/a", if_revision=lab.store.revision_of("dir/a"))
    assert lab.names() == {"dir/a", "dir/b", "other"}


@pytest.mark.parametrize(("script", "error"), [("xx", UnreachableError), ("rr", OverloadedError), ("zz", StalledError)])
async def test_the_budget_is_bounded(script: str, error: type[UnspoolError], monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many attempts the error of the last one is raised."""
    lab = Lab(script, budget=2)
    if script == "zz":  # the second one must find the file, to stall
        monkeypatch.setattr(lab.store, "remove", lambda _: None)
    with pytest.raises(error):
        await lab.client.delete("dir/a")


async def test_a_directory_is_no_file_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else at the name is an error, whatever was lost before."""
    lab = Lab("x")

    def directory(_: object) -> None:
        raise NotAFileError("dir: is a directory", name="dir")

    monkeypatch.setattr(lab.transport.book, "delete", directory)
    with pytest.raises(NotAFileError):
        await lab.client.delete("dir")


async def test_who_cannot_write_cannot_delete() -> None:
    """A dialect without uploads is refused at once; so is a name that is none."""
    client = Client(transport=StoreTransport(MemoryStore({"a": b"a"})), clock=FakeClock())
    with pytest.raises(UnsupportedError):
        await client.delete("a")
    with pytest.raises(UnsupportedError):
        await client.delete_tree("")
    with pytest.raises(InvalidRequestError):
        await client.delete("../a")


# Trees


async def test_a_tree_is_deleted() -> None:
    """All files below the prefix, and no other."""
    lab = Lab("xl")
    result = await lab.client.delete_tree("dir")
    assert (result.files, result.size, result.deleted, result.failed) == (2, 30, 2, 0)
    assert lab.names() == {"other"}
    with pytest.raises(NotFoundError):
        await lab.client.delete_tree("dir")


async def test_what_changed_since_it_was_listed_stays() -> None:
    """Each file is deleted at the revision that was listed. The others are deleted all the same."""
    lab = Lab("w")
    result = await lab.client.delete_tree("", options=TransferOptions(jobs=1))
    assert (result.files, result.deleted, result.failed) == (3, 2, 1)
    assert [(one.name, type(one.error)) for one in result.failures] == [("dir/a", FileChangedError)]
    assert lab.names() == {"dir/a"}


async def test_what_somebody_else_deleted_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was deleted since it was listed is no failure; a directory in its place is one."""
    lab = Lab("w")
    monkeypatch.setattr(lab.transport, "change", lambda: lab.store.remove("dir/a"))
    result = await lab.client.delete_tree("", options=TransferOptions(jobs=1))
    assert (result.deleted, result.failed) == (3, 0)
    lab = Lab("w")
    monkeypatch.setattr(lab.transport, "change", lambda: _raise(NotAFileError("dir/a: is a directory", name="dir/a")))
    result = await lab.client.delete_tree("", options=TransferOptions(jobs=1))
    assert (result.deleted, result.failed) == (2, 1)


async def test_a_server_that_is_gone_ends_a_tree() -> None:
    """An error that every other file would get, too, is the error of the call."""
    with pytest.raises(UnreachableError):
        await Lab("." + "x" * 20, budget=1).client.delete_tree("")


def _raise(error: UnspoolError) -> None:
    raise error
