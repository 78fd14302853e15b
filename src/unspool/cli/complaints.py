"""Standard error, which must not end a command: what cannot be written there is lost.

A command whose log is on a full disk goes on, and its exit code says how it ended, as with curl and wget. Only a reader that
has left ends it: `unspool ... 2>&1 | head`.
"""

from __future__ import annotations

import io
import sys
from typing import Any


class _Losing(io.FileIO):
    """A descriptor that loses what the system does not take."""

    def write(self, data: Any, /) -> int:
        """See `io.RawIOBase`. Raises BrokenPipeError if nobody reads it any more."""
        written: int | None = None
        try:
            written = super().write(data)
        except BrokenPipeError:
            raise
        except OSError:
            pass
        return memoryview(data).nbytes if written is None else written


def lose_what_cannot_be_written() -> None:
    """Replace `sys.stderr`, if it is still what Python opened. It is None if it was closed when the process began."""
    there = sys.__stderr__
    if there is not None and there is sys.stderr:
        raw = _Losing(there.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), there.encoding, there.errors, line_buffering=True)
