"""The words of `unspool put`: the files, the URL, and what each file is called; and where the key of uploads is."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from unspool.cli import main
from unspool.cli.advice import advice
from unspool.cli.progress import say
from unspool.cli.putcommand import placed
from unspool.cli.statedir import upload_key_file, usable_key_file
from unspool.cli.units import say_put
from unspool.client.events import Repairing, Restarting, Started
from unspool.client.writeresults import PutResult
from unspool.errors import AlreadyExistsError, InvalidNameError, SourceChangedError


def names(sources: list[str], url: str) -> list[str]:
    """Return the names that files get."""
    return [one.address.name for one in placed(sources, url)]


def test_a_url_with_a_name_is_the_files_name_and_one_that_ends_in_a_slash_is_a_directory() -> None:
    """As with cp: a directory keeps the file's own name."""
    assert names(["here/a.bin"], "host:1/b.bin") == ["b.bin"]
    assert names(["here/a.bin"], "host:1/dir/") == ["dir/a.bin"]
    assert names(["here/a.bin", "/b"], "unspool://host") == ["a.bin", "b"]
    assert names(["-"], "host:1/b.bin") == ["b.bin"]


@pytest.mark.parametrize(
    ("sources", "url", "said"),
    [
        (["a", "b"], "host:1/c", "need a directory"),
        (["a", "x/a"], "host:1/", "would both be"),
        (["-"], "host:1/", "standard input has no name"),
        ([".."], "host:1/", "has no name"),
    ],
)
def test_what_has_no_name_of_its_own_is_refused(sources: list[str], url: str, said: str) -> None:
    """The error says how to write it."""
    with pytest.raises(click.UsageError, match=said):
        placed(sources, url)


def test_a_name_that_no_server_takes_is_refused_before_it_is_asked() -> None:
    """The rules of names are those of reading."""
    with pytest.raises(InvalidNameError):
        placed(["a"], "host:1/b/../c")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'FILE'"),
        (["a"], "Missing argument 'URL'"),
        (["host:1/x", "a"], "comes last"),
        (["-", "a", "host:1/"], "uploaded alone"),
        (["--if-absent", "--if-revision", "r", "a", "host:1/"], "exclude each other"),
        (["--if-revision", "r", "a", "b", "host:1/"], "is for one file"),
    ],
)
def test_words_that_make_no_sense_are_a_usage_error(words: list[str], said: str) -> None:
    """One line, before anything is opened."""
    with pytest.raises(click.UsageError, match=said) as caught:
        main.main(["put", *words], standalone_mode=False)
    assert caught.value.ctx is not None
    assert caught.value.ctx.command_path.endswith("put")


def test_the_key_is_in_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_STATE_HOME if it is absolute, as its specification says, and ~/.local/state otherwise."""
    monkeypatch.setenv("HOME", "/users/ada")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert upload_key_file() == Path("/state/unspool/upload-key")
    for other in ("relative", ""):
        monkeypatch.setenv("XDG_STATE_HOME", other)
        assert upload_key_file() == Path("/users/ada/.local/state/unspool/upload-key")


async def test_without_a_place_for_the_key_a_line_says_what_that_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The upload is made all the same, and the line says that another run cannot go on with it."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert await usable_key_file(quiet=False) is None
    said = capsys.readouterr().err
    assert "another one cannot go on" in said
    assert said.count("\n") == 1
    assert await usable_key_file(quiet=True) is None
    assert not capsys.readouterr().err
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert await usable_key_file(quiet=False) == tmp_path / "state" / "unspool" / "upload-key"


RESULT = PutResult(
    name="a",
    path="a",
    size=1 << 20,
    revision="r",
    verified="file",
    crc32c=1,
    bytes_sent=1 << 19,
    resumed_from=1 << 19,
    attempts=2,
    restarts=0,
    seconds=0.5,
)


def test_a_finished_upload_is_one_line() -> None:
    """It says where the file is, how much was sent, where it was resumed, and what was verified."""
    said = say_put(RESULT, "h:1/a")
    assert said == "h:1/a: 1.0 MiB, 512.0 KiB in 0.5 s (1.0 MiB/s), resumed at 50 %, the whole file verified"


def test_events_of_an_upload_have_words_of_their_own() -> None:
    """Nothing is fetched, and nothing begins again from zero without a reason."""
    changed = SourceChangedError("a: changed")
    assert say(Restarting(changed, 0.0, "t"), sending=True) == "what the server has is not used: a: changed"
    assert say(Repairing(1024, "t"), sending=True) == "1.0 KiB were damaged at the server, sending them again"
    assert say(Started("a", 4, 2, "t"), sending=True) == "resumed at 50 %"


def test_advice_for_an_upload_does_not_speak_of_downloads() -> None:
    """The end of the line says what to do about this command."""
    assert "get" not in advice(SourceChangedError("a: changed"), "h:1/a", command="put")
    assert "without `--if-absent`" in advice(AlreadyExistsError("a: exists"), "h:1/a", command="put")
