"""The terminal at standard error, if a bar can be drawn on it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

_USUAL_COLUMNS = 80
"""Assumed if the terminal does not report its width."""

_DUMB = {"", "dumb", "unknown"}
"""Values of TERM for terminals that cannot erase a line. git treats them in the same way."""

_ERASE_REST = "\x1b[K"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
"""Turn line wrapping off and on. If a character is wider than Python thinks, the line is cut instead of wrapped."""


def terminal() -> Terminal | None:
    """Return the terminal at standard error; None if it is not a terminal, or too simple for a bar."""
    if os.environ.get("TERM", "") in _DUMB or not sys.stderr.isatty():
        return None
    return Terminal(sys.stderr)


class Terminal:
    """A terminal whose last line is redrawn.

    Write errors are ignored: they mean that the terminal is gone.

    Args:
        stream: the terminal's stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = False  # whether the cursor is in the drawn line

    @property
    def columns(self) -> int:
        """The present width."""
        with suppress(OSError):
            if (columns := os.get_terminal_size(self._stream.fileno()).columns) > 0:
                return columns
        return _USUAL_COLUMNS

    @property
    def is_ours(self) -> bool:
        """Whether this process may draw: it is in the foreground, or the terminal is not its controlling terminal."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except OSError:
            return True

    def encodable(self, text: str) -> str:
        """Return a text in which characters that the terminal's encoding does not have are escaped."""
        return text.encode(self._stream.encoding, "backslashreplace").decode(self._stream.encoding)

    def draw(self, line: str) -> None:
        """Draw a line over the one drawn before. Draws nothing in the background: the cursor is in another program's line."""
        if not self.is_ours:
            self._drawn = False
            return
        # End at the first column, so that the `^C` that the terminal echoes does not begin a second line.
        self._write(f"\r{_WRAP_OFF}{line}{_ERASE_REST}{_WRAP_ON}\r")
        self._drawn = True

    def erase(self) -> None:
        """Erase the drawn line."""
        if self._drawn and self.is_ours:
            self._write(f"\r{_ERASE_REST}")
        self._drawn = False

    def print(self, line: str) -> None:
        """Print a line that stays, in place of the drawn one."""
        self.erase()
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
