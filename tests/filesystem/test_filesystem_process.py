"""The file system in a process of its own: forks, other processes, the end of the interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

from filesystem.conftest import Served
from processes import ENVIRONMENT

PRELUDE = """
import os, sys, threading, time
import fsspec
url = sys.argv[1]
fs = fsspec.filesystem("unspool")

def in_a_child(work):
    child = os.fork()
    if child == 0:
        try:
            print(work(), flush=True)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def main():
"""


def run(program: str, url: str, **environment: str) -> str:
    """Run a program of a user's to its end, with warnings as errors; return what it prints.

    Its output is not buffered, because a fork would double what was not written yet.
    """
    program = (
        PRELUDE + "".join(f"    {line}\n" for line in program.strip().splitlines()) + "\nif __name__ == '__main__': main()"
    )
    done = subprocess.run(
        [sys.executable, "-u", "-W", "error", "-c", program, url],
        env={**ENVIRONMENT, "GRPC_VERBOSITY": "NONE", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_fork_of_an_idle_one_goes_on(served: Served) -> None:
    """Parent and child read on after a fork, through the same file system and the same open file."""
    program = """
print(fs.cat_file(url, 0, 3))
file = fs.open(url)
in_a_child(lambda: (fs.cat_file(url, 4, 7), file.read(5), fsspec.filesystem("unspool").cat_file(url, -2)))
print(fs.cat_file(url, 4, 7), file.read(5))
"""
    assert run(program, served.url("dir/b.txt")) == "b'one'\n(b'two', b'one\\nt', b'ee')\nb'two' b'one\\nt'\n"


def test_a_fork_waits_for_short_calls(served: Served) -> None:
    """A program that forks while its threads read gets children that read too, and its threads read on."""
    program = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    reads = [pool.submit(fs.cat_file, url, number, number + 100_000) for number in range(200)]
    for _ in range(3):
        in_a_child(lambda: len(fs.cat_file(url, 0, 3)))
    print({len(read.result()) for read in reads})
"""
    assert run(program, served.url("a.bin")) == "3\n3\n3\n{100000}\n"


def test_a_fork_of_a_busy_one_says_so(served: Served) -> None:
    """A child that was forked while a long call ran gets a sentence from whatever it tries; the parent reads on."""
    program = """
import asyncio
async def hold():
    async with fs._hosts.call(url.split("/")[2]) as client, client.open("a.bin") as reading:
        held.set()
        await asyncio.to_thread(free.wait)
        return await reading.read()
held, free = threading.Event(), threading.Event()
future = asyncio.run_coroutine_threadsafe(hold(), fs.loop)
held.wait()
in_a_child(lambda: fs.cat_file(url))
in_a_child(lambda: fsspec.filesystem("unspool").cat_file(url))
free.set()
print(len(future.result()))
"""
    done = run(program, served.url("a.bin"), GRPC_ENABLE_FORK_SUPPORT="false")  # else gRPC's own handlers crash now and then
    first, second, third = done.splitlines()
    assert first == second
    assert first.startswith("InvalidRequestError this process was forked while a client or server of its parent was open")
    assert third == "3000000"


def test_a_fork_while_a_file_is_written(writable: Served) -> None:
    """The parent's file is whole after a fork; the child gets a sentence."""
    program = """
with fs.open(url, "wb", block_size=1 << 20) as file:
    file.write(bytes(3_000_000))
    assert not fs.exists(url)  # connected by now
    in_a_child(lambda: fs.cat_file(url))
    file.write(b"end")
print(fs.size(url))
"""
    done = run(program, writable.url("a"), GRPC_ENABLE_FORK_SUPPORT="false")  # as above
    assert done.startswith("InvalidRequestError this process was forked while a client or server of its parent was open")
    assert done.endswith("\n3000003\n")


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_other_processes_get_files_by_pickle(served: Served, method: str) -> None:
    """A pool of processes, however started, reads through the file system that it is given."""
    program = f"""
import multiprocessing, operator
print(fs.cat_file(url, 0, 3))
with multiprocessing.get_context("{method}").Pool(2) as pool:
    print(pool.map(operator.methodcaller("cat_file", url, 4, 7), [fs, fs]))
    print(pool.map(operator.methodcaller("read", 3), [fs.open(url)]))
"""
    assert run(program, served.url("dir/b.txt")) == "b'one'\n[b'two', b'two']\n[b'one']\n"


@pytest.mark.parametrize(
    "last_words",
    [
        "fs.cat_file(url)",
        "file = fs.open(url); file.read(10)",
        "threading.Thread(target=lambda: fs.cat_file(url), daemon=True).start()",
        "import asyncio; a = fsspec.filesystem('unspool', asynchronous=True); asyncio.run(a._cat_file(url))",
    ],
)
def test_the_end_of_the_interpreter_is_quiet(served: Served, last_words: str) -> None:
    """A program that ends with connections open ends at once, without a word."""
    assert run(last_words, served.url("a.bin")) == ""


def test_a_file_that_is_open_for_writing_does_not_hold_up_the_end(writable: Served) -> None:
    """A program that ends in the middle of a file ends at once, and the file is not written."""
    program = """
import warnings
warnings.simplefilter("ignore")
global file
file = fs.open(url, "wb", block_size=1 << 20)
file.write(bytes(3_000_000))
"""
    assert run(program, writable.url("a")) == ""
    assert not (writable.root / "a").exists()
