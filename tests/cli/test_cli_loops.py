"""The event loop of unspool's programs."""

import asyncio
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from unspool.loops import run

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")


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


@glibc
def test_freed_memory_is_given_back() -> None:
    """Memory that was freed in pieces, and that glibc would keep, goes back to the kernel within the interval."""
    program = (
        "import asyncio, re\n"
        "from pathlib import Path\n"
        "from unspool.loops import giving_back_memory, keep_freed_memory, run\n"
        "def used():\n"
        "    return int(re.search(r'VmRSS:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) << 10\n"
        "async def main():\n"
        "    pieces = [bytes(30_000) for _ in range(4_000)]\n"
        "    kept = pieces[::10]\n"
        "    most = used()\n"
        "    del pieces\n"
        "    assert most - used() < 50 << 20, 'it went by itself'\n"
        "    async with giving_back_memory(0.01):\n"
        "        while most - used() < 80 << 20:\n"
        "            await asyncio.sleep(0.01)\n"
        "    assert len(kept) == 400\n"
        "keep_freed_memory()\n"
        "run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@glibc
def test_garbage_is_freed() -> None:
    """Objects in cycles, which Python would keep until there are as many new ones again, are freed within the interval."""
    program = (
        "import asyncio, gc\n"
        "from unspool.loops import giving_back_memory, run\n"
        "class Cycle:\n"
        "    left = 0\n"
        "    def __init__(self):\n"
        "        self.me = self\n"
        "        Cycle.left += 1\n"
        "    def __del__(self):\n"
        "        Cycle.left -= 1\n"
        "async def main():\n"
        "    gc.disable()\n"
        "    async with giving_back_memory(0.01):\n"
        "        await asyncio.sleep(0)\n"
        "        for _ in range(100_000):\n"
        "            Cycle()\n"
        "        assert Cycle.left == 100_000\n"
        "        while Cycle.left:\n"
        "            await asyncio.sleep(0.01)\n"
        "run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@glibc
def test_threads_share_one_heap() -> None:
    """After `use_one_heap`, threads have no heap of their own, for which glibc reserves 64 MiB at a multiple of that."""
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from unspool.loops import use_one_heap\n"
        "if sys.argv[1:]:\n"
        "    use_one_heap()\n"
        "barrier, held = threading.Barrier(9), []\n"
        "def allocate():\n"
        "    held.append(bytes(100_000))\n"
        "    barrier.wait()\n"
        "    barrier.wait()\n"
        "for _ in range(8):\n"
        "    threading.Thread(target=allocate).start()\n"
        "barrier.wait()\n"
        "maps = Path('/proc/self/maps').read_text().splitlines()\n"
        "barrier.wait()\n"
        "spans = [tuple(int(end, 16) for end in line.split()[0].split('-')) + (line.split()[1],) for line in maps]\n"
        "print(sum(\n"
        "    begin % (64 << 20) == 0 and used == 'rw-p' and unused == '---p' and middle == also and end == begin + (64 << 20)\n"
        "    for (begin, middle, used), (also, end, unused) in zip(spans, spans[1:])\n"
        "))\n"
    )
    counts = [
        int(subprocess.run([sys.executable, "-c", program, *one], check=True, capture_output=True, timeout=60).stdout)
        for one in ([], ["one"])
    ]
    assert counts == [8, 0]
