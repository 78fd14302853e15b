"""The terminal that standard error is, if it is one that a bar can be drawn on."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

_USUAL_COLUMNS = 80
"""Of a terminal that does not say."""

_DUMB = {"", "dumb", "unknown"}
"""Kinds of terminals that cannot erase a line: so git has it too."""

_ERASE_REST = "\x1b[K"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
"""A character may be wider on the terminal than Python says. Then the end of the line is cut, and no second line begins."""


def terminal() -> Terminal | None:
    """Return the terminal that standard error is; None if it is something else, or too simple for a bar."""
    if os.environ.get("TERM", "") in _DUMB or not sys.stderr.isatty():
        return None
    return Terminal(sys.stderr)


class Terminal:
    """A terminal with at most one line at its end that is drawn over and over.

    Errors in writing are ignored: when the terminal is gone, nobody looks at it any more.

    Args:
        stream: is written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = False  # whether the cursor is in a line that was drawn

    @property
    def columns(self) -> int:
        """How wide it is now."""
        with suppress(OSError):
            if (columns := os.get_terminal_size(self._stream.fileno()).columns) > 0:
                return columns
        return _USUAL_COLUMNS

    @property
    def is_ours(self) -> bool:
        """Whether this process may draw: it is in the foreground, or the terminal is not the one it is controlled from."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except OSError:
            return True

    def encodable(self, text: str) -> str:
        """Return a text with what the terminal's encoding does not have escaped."""
        return text.encode(self._stream.encoding, "backslashreplace").decode(self._stream.encoding)

    def draw(self, line: str) -> None:
        """Draw the line, over the one drawn before. In the background draw nothing: the cursor is in somebody else's line."""
        if not self.is_ours:
            self._drawn = False
            return
        # The cursor goes back to the beginning: the terminal's own `^C` should not begin a second line.
        self._write(f"\r{_WRAP_OFF}{line}{_ERASE_REST}{_WRAP_ON}\r")
        self._drawn = True

    def erase(self) -> None:
        """Erase the line that was drawn."""
        if self._drawn and self.is_ours:
            self._write(f"\r{_ERASE_REST}")
        self._drawn = False

    def print(self, line: str) -> None:
        """Print a line that stays, in place of the one that was drawn."""
        self.erase()
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
