"""Where the program begins: `unspool`, and `python -m unspool`.

Ctrl-C is taken care of before anything else is imported, which takes a tenth of a second: there is nothing to keep or to clean
up yet, and Python would answer with a traceback. What Python does before it comes here is out of our hands.
"""

import _signal  # type: ignore[import-not-found]  # not `signal`: that one imports enum, and takes a while
import os


def main() -> None:
    """Run the command line."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:  # whoever started us in the background wants it so
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))  # `exits.INTERRUPTED`, which would have to be imported
    from unspool.cli import main as command_line  # noqa: PLC0415

    command_line()


if __name__ == "__main__":
    main()
