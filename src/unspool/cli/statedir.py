"""Where the command line keeps the key of uploads: in the user's state directory (XDG Base Directory Specification)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from unspool.cli.output import in_short


def upload_key_file() -> Path | None:
    """Return the path of the key: `unspool/upload-key` in XDG_STATE_HOME, or in ~/.local/state. None if there is no home."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):  # the specification has relative ones ignored
        return Path(state, "unspool", "upload-key")
    try:
        return Path.home() / ".local" / "state" / "unspool" / "upload-key"
    except RuntimeError:
        return None


async def usable_key_file(*, quiet: bool) -> Path | None:
    """Return the path of the key, which is made if it does not exist. If it cannot be, say so and return None."""
    from unspool.errors import LocalFileError  # noqa: PLC0415 - only `put` needs it
    from unspool.local.uploadkey import upload_key  # noqa: PLC0415 - as above

    path = upload_key_file()
    try:
        if path is None:
            raise LocalFileError("there is no home directory for the key of uploads")
        await asyncio.to_thread(upload_key, path)
    except LocalFileError as error:
        if not quiet:
            said = f"unspool: {error.message}; if this run is ended, another one cannot go on with its uploads"
            click.echo(in_short(said), err=True)
        return None
    return path
