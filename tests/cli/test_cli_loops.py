"""The event loop of unspool's programs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from unspool.loops import run


async def loops_module() -> str:
    """Return the module of the running loop."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_runs_it_where_there_is_one() -> None:
    """If uvloop is installed, it is used."""
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
