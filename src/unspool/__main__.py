"""Where the program begins: `unspool`, and `python -m unspool`.

Ctrl-C is handled before anything else is imported, because importing takes a tenth of a second, and Python would print a
traceback. There is nothing to keep or to clean up yet. A Ctrl-C before this module runs cannot be handled.
"""

import _signal  # type: ignore[import-not-found]  # not `signal`, which imports enum and takes longer
import gc
import os

_COLLECTIONS = 50_000, 20, 100
"""Thresholds of Python's garbage collector (default: 700, 10, 10). Imports and commands create few cycles. With the defaults,
collections took a tenth of the processor time of fetching a tree. The imports of a `get` make 35,000 objects; with 20,000,
collections took 3 % of its instructions (measured)."""


def main() -> None:
    """Run the command line."""
    gc.set_threshold(*_COLLECTIONS)
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:  # ignored if started in the background by a shell
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))  # `exits.INTERRUPTED`, which would have to be imported
    from unspool.cli.version import print_version  # noqa: PLC0415

    if not print_version():
        from unspool.cli import main as command_line  # noqa: PLC0415

        command_line()


if __name__ == "__main__":
    main()
