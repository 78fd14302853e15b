"""The output of a progress bar on a terminal: its events, and when and where it is drawn."""

import io
import os
import pty
import termios
from contextlib import suppress

import pytest

from cli.test_cli_progress import STYLE
from unspool.cli.bar import Bar
from unspool.cli.meter import Amounts
from unspool.cli.progress import progress
from unspool.cli.terminal import Terminal, terminal
from unspool.client.events import Advanced, Event, Rechecked, Restarting, Retrying, Started
from unspool.errors import FileChangedError, OverloadedError, StalledError, TruncatedError, UnreachableError

MIB = 1 << 20


class FakeTerminal(Terminal):
    """A terminal that keeps all output, and is ours while `foreground` is true."""

    def __init__(self) -> None:
        super().__init__(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
        self.foreground = True
        self.lines: list[str] = []
        """The output, in order."""

    @property
    def columns(self) -> int:
        """See `Terminal.columns`."""
        return 80

    @property
    def is_ours(self) -> bool:
        """See `Terminal.is_ours`."""
        return self.foreground

    def _write(self, text: str) -> None:
        self.lines.append(STYLE.sub("", text))

    def take(self) -> list[str]:
        """Return the output since the last call."""
        taken, self.lines = self.lines, []
        return taken


class Drawn:
    """A bar that the test draws, with a clock that the test sets."""

    def __init__(self, name: str = "a.bin") -> None:
        self.now = 0.0
        self.terminal = FakeTerminal()
        self.bar = Bar(name, self.terminal, lambda: self.now)

    def at(self, now: float) -> list[str]:
        """Return the output of drawing the bar at a time."""
        self.now = now
        self.bar.draw()
        return self.terminal.take()


def test_a_bar_appears_after_a_second_and_shows_what_it_was_told_last() -> None:
    """Nothing is drawn in the first second; each drawing shows the latest state, however much happened since the last one."""
    drawn = Drawn()
    drawn.bar.begin(Amounts(total=48 * MIB))
    for count in range(1, 8):
        drawn.bar.amounts = Amounts(count * MIB, total=48 * MIB)
    assert drawn.at(0.8) == []
    (line,) = drawn.at(1.0)
    assert " 7.0/48.0 MiB" in line
    drawn.bar.end()
    assert drawn.terminal.take() == ["\r"]
    assert drawn.at(1.2) == []


def test_a_line_stands_above_the_bar() -> None:
    """A line that is printed replaces the bar, and the bar is drawn again below it."""
    drawn = Drawn()
    drawn.bar.say("early")
    assert drawn.terminal.take() == ["early\n"]
    drawn.at(1.0)
    drawn.bar.say("late")
    erased, said, again = drawn.terminal.take()
    assert (erased, said) == ("\r", "late\n")
    assert again.startswith("\ra.bin")


def test_a_bar_in_the_background_is_not_drawn_and_not_erased() -> None:
    """In the background nothing is drawn over the terminal or erased; in the foreground again, the bar is drawn."""
    drawn = Drawn()
    assert len(drawn.at(1.0)) == 1
    drawn.terminal.foreground = False
    drawn.bar.say("said")
    assert drawn.terminal.take() == ["said\n"]
    assert drawn.at(1.2) == []
    drawn.terminal.foreground = True
    assert len(drawn.at(1.4)) == 1
    drawn.terminal.foreground = False
    drawn.bar.end()
    assert drawn.terminal.take() == []


def test_what_arrived_before_a_failure_does_not_end_it() -> None:
    """Bytes that arrive just before the server disappears are shown, and also that it is gone."""
    drawn = Drawn()
    drawn.at(1.0)
    drawn.bar.amounts = Amounts(MIB, total=48 * MIB)
    drawn.bar.broke("server gone", 3)
    (line,) = drawn.at(1.2)
    assert line.rstrip().endswith("1.0/48.0 MiB  server gone, trying again in 3 s")


def test_a_name_that_the_terminal_cannot_show_is_escaped() -> None:
    """Characters that the terminal's encoding does not have are escaped before the line is measured."""
    (line,) = Drawn("模.bin").at(1.0)
    assert line.startswith("\r\\u6a21.bin ")


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False), ("unknown", False), ("", False), (None, False)])
def test_a_bar_is_for_terminals_that_can_erase_a_line(
    monkeypatch: pytest.MonkeyPatch, term: str | None, *, drawn: bool
) -> None:
    """A terminal with TERM=dumb, or without TERM, gets no bar."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.delenv("TERM", raising=False)
        if term is not None:
            monkeypatch.setenv("TERM", term)
        assert (terminal() is not None) == drawn


def test_a_terminal_that_is_gone_is_no_error() -> None:
    """After the terminal was closed, drawing and printing do nothing."""
    reached = False
    ours, theirs = pty.openpty()
    with suppress(OSError), os.fdopen(theirs, "w") as stream:  # closing it writes once more
        one = Terminal(stream)
        assert one.columns == 80, "it does not say"
        termios.tcsetwinsize(theirs, (20, 33))
        assert one.columns == 33
        assert one.is_ours, "it is not what this process is controlled from"
        os.close(ours)
        one.draw("a bar")
        one.print("a line")
        reached = True
    assert reached


def test_a_bar_says_what_happens_to_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event of a download changes the bar, and important ones print a line above it."""
    fake = FakeTerminal()
    monkeypatch.setattr("unspool.cli.progress.terminal", lambda: fake)
    monkeypatch.setattr("unspool.cli.bar.DELAY", 0.0)

    def told(event: Event) -> tuple[str, str]:
        """Return the line that an event prints, and the bar below it."""
        fake.take()
        observer.notify(event)
        written = fake.take()
        at = next(at for at, text in enumerate(written) if text.endswith("\n"))
        return written[at], written[at + 1]

    with progress("a.bin", quiet=False) as observer:
        observer.notify(Rechecked(MIB, 7, "t"))
        observer.notify(Started("a.bin", 48 * MIB, 2 * MIB, "t"))
        assert "a.bin: resumed at 4 %\n" in fake.take()
        observer.notify(Advanced(9 * MIB, "t"))
        for error, said in [
            (UnreachableError("gone"), "server gone, trying again in 3 s"),
            (StalledError("silent"), "no answer, trying again in 3 s"),
            (OverloadedError("busy"), "server busy, trying again in 3 s"),
            (TruncatedError("cut"), "trying again in 3 s"),
        ]:
            line, drawn = told(Retrying(error, 1, 3.0, "t"))
            assert line == f"a.bin: retrying in 3.0 s: {error.message}\n"
            assert drawn.rstrip().endswith(f" 9.0/48.0 MiB  {said}")
        _, drawn = told(Restarting(FileChangedError("changed"), 2.5, "t"))
        assert drawn.rstrip().endswith(" 9.0/48.0 MiB  file changed, trying again in 3 s")
