"""The version, printed without click, which takes longer to import than everything else that it needs."""

from __future__ import annotations

import sys

from unspool._version import __version__


def print_version() -> bool:
    """Print what click would, if that is all that is asked for. Return whether it was; click handles all else, and errors."""
    if sys.argv[1:] != ["--version"] or sys.stdout is None:
        return False
    try:
        sys.stdout.write(f"unspool, version {__version__}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True
