"""Which event loop runs the programs, and the one blocking door for scripts."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import unspool
from cli.serveddir import Served
from unspool.errors import InvalidRequestError, NotFoundError
from unspool.loops import run


async def loops_module() -> str:
    """Return where the running loop comes from."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_runs_it_where_there_is_one() -> None:
    """The faster loop is used where it is installed."""
    pytest.importorskip("uvloop")
    assert run(loops_module()) == "uvloop"


def test_asyncio_runs_it_where_there_is_none() -> None:
    """Without uvloop, asyncio's own loop is used."""
    program = (
        "import sys; sys.modules['uvloop'] = None\n"
        "from cli.test_cli_loops import loops_module, run\n"
        "assert run(loops_module()) == 'asyncio'\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent.parent, check=True)


def test_a_script_can_download_without_asyncio(served: Served, tmp_path: Path) -> None:
    """`unspool.get` blocks until the file is there, and raises the errors of unspool."""
    result = unspool.get(served.url("sub/data.bin"), tmp_path)
    assert result.path == str(tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == served.files["sub/data.bin"]
    with pytest.raises(NotFoundError):
        unspool.get(served.url("nope"), tmp_path)


async def test_inside_a_loop_it_is_refused(served: Served, tmp_path: Path) -> None:
    """Where a loop is running the blocking door cannot work, and says what to use instead."""
    with pytest.raises(InvalidRequestError, match=r"use unspool\.Client"):
        unspool.get(served.url("hello.txt"), tmp_path)
