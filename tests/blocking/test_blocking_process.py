"""Blocking calls in a process of their own: Ctrl-C, forks, the end of the interpreter, its allocator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blocking.conftest import Served
from processes import ENVIRONMENT, eventually, size_of

PRELUDE = "import os, signal, sys, threading, time\nimport unspool\nurl, here = sys.argv[1:]\n"


def run(program: str, url: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of a user's to its end, with warnings as errors.

    Its output is not buffered, because a fork would double what was not written yet, and a kill lose it.
    """
    return subprocess.run(
        [sys.executable, "-u", "-W", "error", "-c", PRELUDE + program, url, str(here)],
        env={**ENVIRONMENT, "GRPC_VERBOSITY": "NONE"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process stand still while inside."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


GET_TWICE = """
try:
    unspool.get(url, here)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
print("resumed" if unspool.get(url, here).resumed_from else "anew")
"""


def test_ctrl_c_keeps_progress(served: Served, tmp_path: Path) -> None:
    """Ctrl-C in a blocking call is a KeyboardInterrupt once what has arrived is noted; the same call goes on from there."""
    with (served.root / "big.bin").open("wb") as file:
        file.truncate(256 << 20)
    here = tmp_path / "big.bin"
    part = tmp_path / "big.bin.unspool-part"
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + GET_TWICE, served.url("big.bin"), str(here)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: size_of(part))
        with stopped(served.server.process.pid):
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.readline() == "interrupted\n"
        assert (tmp_path / "big.bin.unspool-journal").exists()
        out, err = process.communicate("go on\n", timeout=60)
    assert (out, err, process.returncode) == ("resumed\n", "", 0)
    assert here.stat().st_size == 256 << 20


STUBBORN = """
import asyncio
from unspool.client.portal import portal

began = threading.Event()

async def never():
    began.set()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("cleaning up", flush=True)

def interrupt():
    began.wait()
    os.kill(os.getpid(), signal.SIGINT)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    portal().call(never)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    """The first Ctrl-C waits until what runs has cleaned up, the second does not."""
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + STUBBORN, "", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning up\n"
        out, _ = process.communicate("\n", timeout=60)
    assert (out, process.returncode) == ("interrupted\n", 0)


FORKED = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of every fork with threads
file = unspool.open(url, buffer_size=1000)
start = file.read(1500)
for child in range(3):
    pid = os.fork()
    if not pid:
        file.seek(0)
        good = file.read(1500) == start and unspool.stat(url).size == len(unspool.read(url))
        os._exit(0 if good else 3)
    assert os.waitpid(pid, 0)[1] == 0, child
assert start + file.read() == unspool.read(url)
print("good")
"""


def test_a_forked_child_has_a_portal_of_its_own(served: Served, tmp_path: Path) -> None:
    """After blocking calls, and with a file open, a child that was forked can ask and read on, and so can its parent."""
    done = run(FORKED, served.url("a.bin"), tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("good\n", "", 0)


FORKED_IN_USE = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of every fork with threads
import asyncio
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
client = unspool.Client(url.partition("/")[0])
asyncio.run_coroutine_threadsafe(client.stat("a.bin"), loop).result()
listing = unspool.list(url.partition("/")[0], page_size=1)
next(listing)
pid = os.fork()
if not pid:
    for call in (lambda: unspool.stat(url), lambda: [next(listing) for _ in range(3)]):
        try:
            call()
        except unspool.UnspoolError as error:
            print(type(error).__name__, error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(unspool.stat(url).name)
os._exit(0)
"""


def test_a_child_forked_while_a_client_was_open_is_told(served: Served, tmp_path: Path) -> None:
    """GRPC does not work in a child of a process that was using it: that is an error with the way out, and not a hang."""
    done = run(FORKED_IN_USE, served.url("a.bin"), tmp_path)
    assert done.stdout.count("\n") == 3, (done.stdout, done.stderr)
    forked, begun, parent = done.stdout.splitlines()
    assert forked.startswith("InvalidRequestError this process was forked while a client")
    assert "'spawn'" in forked
    assert begun.startswith("InvalidRequestError this was opened before the process was forked")
    assert parent == "a.bin"


LEFT_OPEN = """
file = unspool.open(url, buffer_size=1000)
file.read(1500)
listing = unspool.list(url.partition("/")[0], page_size=1)
next(listing)
threading.Thread(target=unspool.read, args=[url], daemon=True).start()
print("end")
"""


def test_the_interpreter_ends_by_itself(served: Served, tmp_path: Path) -> None:
    """Open files, unfinished listings and calls of daemon threads keep nobody waiting at the end, and say nothing."""
    with (served.root / "long.bin").open("wb") as file:
        file.truncate(256 << 20)
    done = run(LEFT_OPEN, served.url("long.bin"), tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)


@pytest.mark.parametrize(
    ("program", "kept"),
    [
        ("unspool.get(url, here)", []),
        ("from unspool.cli import main\nmain(['get', '-q', url, here], standalone_mode=False)", [True]),
    ],
)
def test_only_the_command_line_sets_the_allocator(served: Served, tmp_path: Path, program: str, kept: list[bool]) -> None:
    """A library that is asked for a file leaves its host's allocator alone; the command, whose process it is, does not."""
    watched = "import unspool.loops\nkept = []\nunspool.loops.keep_freed_memory = lambda: kept.append(True)\n"
    done = run(f"{watched}{program}\nprint(kept)", served.url("dir/b.txt"), tmp_path)
    assert (done.stdout, done.stderr) == (f"{kept}\n", "")
