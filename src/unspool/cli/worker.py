"""One of the processes of `unspool serve --workers`: run by their parent, told by it what to do, ended with it."""

from __future__ import annotations

import json
import os
import sys
import threading

import click

from unspool.cli.command import command

_STDIN = 0


@click.command()
@command
async def worker() -> None:
    """Serve what the line on standard input says; end at once when standard input does."""
    from unspool.cli.serving import Settings, serve_as_worker  # noqa: PLC0415
    from unspool.cli.workers import READY  # noqa: PLC0415

    # Not by sys.stdin: its lock would be held by the thread for as long as the process runs, and its end waits for that.
    with open(_STDIN, "rb", buffering=0, closefd=False) as stdin:  # noqa: ASYNC230 - no path; the line is there, or soon
        line = stdin.readline()
    if not line:  # the parent ended before it said anything
        os._exit(1)
    told = json.loads(line)
    # In a thread, because the event loop may be waiting for something that never ends.
    threading.Thread(target=_end_with_the_parent, daemon=True).start()

    def say_ready() -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()

    await serve_as_worker(Settings(**told["settings"]), told["number"], say_ready)


def _end_with_the_parent() -> None:
    """End this process, as a kill would, when its parent has ended: nobody would replace it or tell it to drain."""
    os.read(_STDIN, 1)
    os._exit(1)


if __name__ == "__main__":
    worker()
