"""A worker process of `unspool serve --workers`. Its parent starts it and passes its settings; it ends when the parent ends."""

from __future__ import annotations

import json
import os
import sys
import threading

import click

from unspool.cli.command import command
from unspool.cli.program import leaving

_STDIN = 0


@click.command()
@command
async def worker() -> None:
    """Serve with the settings in the first line of standard input. End at once when standard input is closed."""
    from unspool.cli.serving import serve_as_worker  # noqa: PLC0415
    from unspool.cli.settings import Settings  # noqa: PLC0415
    from unspool.cli.workers import READY  # noqa: PLC0415

    # Not sys.stdin: the thread below would hold its lock all the time, and the interpreter waits for that lock at exit.
    with open(_STDIN, "rb", buffering=0, closefd=False) as stdin:  # noqa: ASYNC230 - a pipe; the parent writes at once
        line = stdin.readline()
    if not line:  # the parent ended before it wrote the settings
        os._exit(1)
    told = json.loads(line)
    # In a thread, because the event loop may be blocked.
    threading.Thread(target=_end_with_the_parent, daemon=True).start()

    def say_ready() -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()

    await serve_as_worker(Settings(**told["settings"]), told["number"], told["directory"], say_ready)


def _end_with_the_parent() -> None:
    """Exit at once when the parent has ended: without it no process would replace or drain this worker."""
    os.read(_STDIN, 1)
    os._exit(1)


if __name__ == "__main__":
    with leaving():
        worker()
