"""A real terminal, by tmux: a shell to type into, and the contents of the screen."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from processes import ENVIRONMENT, UNSPOOL, eventually

TMUX = shutil.which("tmux")

PROMPT = "ready>"

needs_tmux = pytest.mark.skipif(TMUX is None and os.environ.get("CI") != "true", reason="there is no tmux here")
"""For tests that look at a screen. In CI they fail without tmux, because a skipped test would look like a success."""


class Screen:
    """A terminal with a shell.

    Args:
        socket: the socket of a tmux server of its own.
        columns: the width of the terminal.
    """

    def __init__(self, socket: Path, columns: int) -> None:
        self._socket = socket
        self.columns = columns

    def tmux(self, *arguments: str) -> str:
        """Run a tmux command; return its output."""
        assert TMUX is not None
        # Without the user's settings.
        command = [TMUX, "-u", "-S", str(self._socket), "-f", os.devnull, *arguments]
        done = subprocess.run(command, env=ENVIRONMENT | {"LC_ALL": "C.UTF-8"}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def type(self, text: str) -> None:
        """Type text literally."""
        self.tmux("send-keys", "-l", text)

    def press(self, key: str) -> None:
        """Press a key by its name in tmux: `Enter`, `C-z`."""
        self.tmux("send-keys", key)

    def run(self, *arguments: str | Path) -> None:
        """Run a command in the shell, on an empty screen."""
        self.type(f"clear; {shlex.join(map(str, arguments))}")
        self.press("Enter")

    @property
    def lines(self) -> list[str]:
        """The present contents of the screen, without the empty lines at its end."""
        return [line.rstrip() for line in self.tmux("capture-pane", "-p").rstrip().split("\n")]

    @property
    def last(self) -> str:
        """The last line that is not empty."""
        return self.lines[-1]

    def until(self, enough: Callable[[list[str]], object], seconds: float = 30.0) -> list[str]:
        """Wait until the screen shows what is expected; return its lines."""
        found: list[str] = []

        def look() -> bool:
            found[:] = self.lines
            return bool(enough(found))

        try:
            eventually(look, seconds)
        except AssertionError:
            raise AssertionError("\n".join(["this is what the screen shows:", *found])) from None
        return found


@contextmanager
def screen(directory: Path, columns: int) -> Iterator[Screen]:
    """Open a terminal of this width, with a shell that has job control and finds `unspool`.

    Args:
        directory: the current directory of the shell.
        columns: the width.
    """
    # A socket's path must be short, and pytest's paths are not.
    with TemporaryDirectory(prefix="unspool-screen-") as own:
        program, settings = Path(own, "unspool"), Path(own, "settings")
        program.write_text(f'#!/bin/sh\nexec {shlex.join(UNSPOOL)} "$@"\n')
        program.chmod(0o755)
        settings.write_text(f"PS1='{PROMPT} '; unset HISTFILE; PATH={shlex.quote(own)}:$PATH\n")
        one = Screen(Path(own, "socket"), columns)
        shell = f"exec bash --noprofile --rcfile {shlex.quote(str(settings))} -i"
        one.tmux("new-session", "-d", "-x", str(columns), "-y", "12", "-c", str(directory), shell)
        try:
            one.until(lambda lines: lines[-1] == PROMPT)
            yield one
        finally:
            one.tmux("kill-server")
