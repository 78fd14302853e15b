"""The command line. No other room reads the environment or prints.

Modules are imported when they are needed: `--version` needs nothing, and a command only its own.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers read it; `typing` itself takes a while to import
if TYPE_CHECKING:
    from unspool.cli.commands import main

__all__ = ["main"]


def __getattr__(name: str) -> object:
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from unspool.cli.commands import main as found  # noqa: PLC0415 - see above

    return found
