"""`unspool serve --workers`: several processes on one port, which clients see as one server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gate import Gate
from processes import Serving, eventually, outcome_of, running, serving, size_of, small_and_big, unspool
from unspool import Client

MIB = 1 << 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small and a big file."""
    return small_and_big(tmp_path_factory.mktemp("root"))


def workers_of(server: Serving) -> set[int]:
    """Return the process ids of a server's workers."""
    pid = server.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def read_once(address: str) -> None:
    """Read the small file over a new connection."""
    async with Client(address) as client:
        assert await client.read("hello.txt") == b"hello, world\n"


async def test_clients_are_spread_over_the_workers(root: Path, tmp_path: Path) -> None:
    """Every client is served, each worker serves some of them, and the log says which one did."""
    with serving(root, tmp_path / "log", "--workers", "2") as server:
        assert len(workers_of(server)) == 2
        asked = 0
        while asked < 64 and {read["worker"] for read in server.reads()} != {1, 2}:
            await read_once(server.address)
            asked += 1
        assert server.stop() == 0
        assert [read["worker"] in (1, 2) and read["outcome"] for read in server.reads()] == ["OK"] * asked
        assert {read["worker"] for read in server.reads()} == {1, 2}
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b"", "one line says where, whatever the number of workers"


def test_people_too_are_told_which_worker(root: Path, tmp_path: Path) -> None:
    """The log for people says which worker wrote a line, too."""
    with serving(root, tmp_path / "log", "--workers", "2", log_format="human") as server:
        assert unspool("cat", f"{server.address}/hello.txt").code == 0
        server.stop()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.partition("INFO ")[2].partition(": ReadFile hello.txt")[0] for line in lines if "ReadFile" in line] in (
        ["worker 1"],
        ["worker 2"],
    )
    assert sorted(line.partition("INFO ")[2].partition(": streams")[0] for line in lines if "draining" in line) == [
        "draining",
        "worker 1: draining",
        "worker 2: draining",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_downloads_finish_after_a_signal(root: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A signal to the parent drains all workers: a running download gets the rest, then all end, the parent with 0."""
    out = tmp_path / "out"
    with serving(root, tmp_path / "log", "--workers", "2", "--grace", "60") as server, Gate(server.address, 20 * MIB) as gate:
        workers = workers_of(server)
        with running("get", "--quiet", f"{gate.address}/big.bin", out) as client:
            eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
            server.process.send_signal(number)
            eventually(lambda: len(server.entries()) == 3)
            assert server.process.poll() is None
            gate.open()
            assert outcome_of(client).code == 0
        assert server.process.wait(30) == 0
        assert not any(map(is_running, workers))
        assert [(read["outcome"], read["attempt"]) for read in server.reads()] == [("OK", 1)]
    assert out.read_bytes() == (root / "big.bin").read_bytes()


def test_a_killed_worker_is_replaced_and_its_client_goes_on(root: Path, tmp_path: Path) -> None:
    """A worker that is killed is replaced, and the download that it served resumes."""
    out = tmp_path / "out"
    with (
        serving(root, tmp_path / "log", "--workers", "2") as server,
        Gate(server.address, 20 * MIB) as gate,
        running("get", "--json", "--retry-budget", "30", f"{gate.address}/big.bin", out) as client,
    ):
        eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
        killed = workers_of(server)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(workers_of(server) - killed) == 2)
        gate.open()
        done = outcome_of(client)
        assert server.stop() == 0
        said = [str(entry["message"]) for entry in server.entries() if entry["level"] == "WARNING"]
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["verified"] == "file"
    assert result["bytes_received"] == result["size"], "no byte was fetched twice"
    assert result["attempts"] >= 2
    assert out.read_bytes() == (root / "big.bin").read_bytes()
    assert sorted(line.split()[1] for line in said) == ["1", "2"]
    assert all("SIGKILL" in line for line in said)


def test_nobody_is_left_of_a_parent_that_was_killed(root: Path, tmp_path: Path) -> None:
    """If the parent is killed with SIGKILL during a download, the workers end too, and the port is free again."""
    with serving(root, tmp_path / "log", "--workers", "2") as server, Gate(server.address, 4 * MIB) as gate:
        workers = workers_of(server)
        assert len(workers) == 2
        with running("get", "--quiet", f"{gate.address}/big.bin", tmp_path / "out"):
            eventually(lambda: gate.passed >= 4 * MIB)
            server.process.kill()
            eventually(lambda: not any(map(is_running, workers)))
        with serving(root, tmp_path / "second", listen=server.address) as second:
            assert unspool("cat", f"{second.address}/hello.txt").code == 0


@pytest.mark.parametrize(("first", "second"), [("2", "1"), ("1", "2"), ("2", "2")])
def test_an_address_in_use_is_one_line(root: Path, tmp_path: Path, first: str, second: str) -> None:
    """A second server on the port is refused with exit 2 and one line, whichever of the two has several workers."""
    with serving(root, tmp_path / "log", "--workers", first) as server:
        refused = unspool("serve", root, "--listen", server.address, "--workers", second)
        assert refused.code == 2
        assert server.address in refused.complaint
        assert refused.out == b""
        assert unspool("stat", f"{server.address}/hello.txt").code == 0


def test_what_is_wrong_with_the_root_is_said_once(tmp_path: Path) -> None:
    """A missing root is one line and its exit code, with any number of workers."""
    refused = unspool("serve", tmp_path / "nope", "--listen", "127.0.0.1:0", "--workers", "3")
    assert refused.code == 3
    assert "nope" in refused.complaint


def test_nothing_is_imported_from_where_it_runs(root: Path, tmp_path: Path) -> None:
    """A file in the current directory with the name of a module is not run by the workers."""
    (tmp_path / "grpc.py").write_text("raise SystemExit('this is not gRPC')\n")
    program = "import sys; sys.path.remove(''); from unspool.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "serve", str(root), "--listen", "127.0.0.1:0", "--workers", "2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert b"serving" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
