"""Files that never stop changing, served from a real directory: downloads end with an error instead of going on for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import serving, unspool
from unspool.client.client import Client
from unspool.core.retry import RetryPolicy
from unspool.errors import FileKeepsChangingError
from unspool.options import TransferOptions
from unspool.server.server import Server
from unspool.stores.local import LocalStore

MIB = 1 << 20


def appended(file: Path) -> None:
    """Append a line, as to a log."""
    with file.open("ab") as log:
        log.write(b"one more line\n")


def linked(file: Path) -> None:
    """Create or remove a hard link: the bytes of the file stay the same, its change time does not."""
    other = file.with_name("other")
    try:
        os.link(file, other)
    except FileExistsError:
        other.unlink()


@pytest.mark.parametrize(("trouble", "interval"), [(appended, 0.01), (linked, 0.02)])
async def test_a_file_that_never_rests_ends_the_download(
    tmp_path: Path, trouble: Callable[[Path], None], interval: float
) -> None:
    """For a growing log, and for a hard link that comes and goes, a download begins again five times and then fails."""
    (tmp_path / "root").mkdir()
    file = tmp_path / "root" / "a.log"
    file.write_bytes(os.urandom(64 * MIB))

    async def never_rest() -> None:
        while True:
            trouble(file)
            await asyncio.sleep(interval)

    store = LocalStore(tmp_path / "root")
    async with contextlib.aclosing(store), Server(store) as server:
        options = TransferOptions(retry=RetryPolicy(restart_wait=0.05))
        async with Client(server.address, options=options) as client:
            restless = asyncio.create_task(never_rest())
            with pytest.raises(FileKeepsChangingError, match="begun again 5 times already"):
                await client.get("a.log", tmp_path / "out")
            restless.cancel()
    assert not (tmp_path / "out").exists()


@pytest.mark.deep
def test_the_command_says_what_to_do(tmp_path: Path) -> None:
    """With its default options `get` ends with exit code 5 and advice."""
    (tmp_path / "root").mkdir()
    file = tmp_path / "root" / "a.log"
    file.write_bytes(os.urandom(64 * MIB))
    restless = 'import sys, time\nwhile True: open(sys.argv[1], "ab").write(b"x"); time.sleep(0.05)'
    with (
        serving(tmp_path / "root", tmp_path / "log") as server,
        subprocess.Popen([sys.executable, "-c", restless, file]) as writer,
    ):
        try:
            done = unspool("get", f"{server.address}/a.log", tmp_path / "out")
        finally:
            writer.kill()
    assert done.code == 5
    assert "begun again 5 times already" in done.err
    assert "copy it aside on the server" in done.err
    assert not (tmp_path / "out").exists()
