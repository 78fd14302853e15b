"""`unspool serve` as a process: its ready line, its log, its end, and a restart under its clients."""

import json
import re
import signal
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate import Gate
from processes import ENVIRONMENT, Serving, eventually, outcome_of, running, serving, size_of, small_and_big, unspool
from unspool import Client

MIB = 1 << 20

LOGGED = {
    "time",
    "level",
    "logger",
    "method",
    "name",
    "start",
    "bytes",
    "seconds",
    "outcome",
    "message",
    "attempt",
    "transfer_id",
    "peer",
    "principal",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small and a big file."""
    return small_and_big(tmp_path_factory.mktemp("root"))


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_the_ready_line_says_where(root: Path, tmp_path: Path, listen: str) -> None:
    """Port 0 picks a free port; the line on standard output has it, in a form that clients accept."""
    host = listen.rpartition(":")[0]
    if host == "[::1]" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with serving(root, tmp_path / "log", listen=listen) as server:
        assert re.fullmatch(rf"{re.escape(host)}:[1-9][0-9]*", server.address)
        assert unspool("cat", f"{server.address}/hello.txt").out == b"hello, world\n"
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b""


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_an_address_in_use_is_one_line(root: Path, tmp_path: Path) -> None:
    """A second server on an address in use ends at once, with exit 2 and one line that names the address."""
    with serving(root, tmp_path / "log") as server:
        second = unspool("serve", root, "--listen", server.address)
        assert second.code == 2
        assert server.address in second.complaint
        assert second.out == b""
        assert unspool("stat", f"{server.address}/hello.txt").code == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_name_is_had_whole_or_refused(root: Path, tmp_path: Path, workers: str) -> None:
    """If another server has 127.0.0.1, localhost at that port is refused with exit 2 and one line that names 127.0.0.1."""
    with serving(root, tmp_path / "log") as server:
        port = server.address.rpartition(":")[2]
        refused = unspool("serve", root, "--listen", f"localhost:{port}", "--workers", workers)
    assert refused.code == 2
    assert f"cannot listen on localhost:{port}: {server.address} is in use" in refused.complaint
    assert refused.out == b""


@pytest.mark.parametrize("options", [(), ("--quiet",), ("--workers", "2")], ids=" ".join)
@pytest.mark.parametrize("log_format", ["human", "json"])
def test_an_address_that_others_reach_is_one_warning(
    root: Path, tmp_path: Path, options: tuple[str, ...], log_format: str
) -> None:
    """A server on all interfaces logs one warning line, even with --quiet, and with any number of workers."""
    with serving(root, tmp_path / "log", "--insecure", *options, listen=":0", log_format=log_format) as server:
        assert server.address.startswith("[::]:")
        said = (tmp_path / "log").read_text().splitlines()
        port = server.address.rpartition(":")[2]
        assert unspool("cat", f"127.0.0.1:{port}/hello.txt").out == b"hello, world\n"
    (line,) = said
    assert "WARNING" in line
    assert f"{server.address} is open to other machines: there is no TLS and no authentication" in line


async def test_a_unix_socket_is_served_again_after_a_kill(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A Unix socket that a killed server left behind is replaced, one in use is refused, and SIGTERM removes it."""
    directory = tmp_path_factory.mktemp("u")
    path = directory / "x.sock"
    with serving(root, directory / "first", listen=f"unix://{path}") as first:
        assert first.address == f"unix:{path}"
        refused = unspool("serve", root, "--listen", f"unix:{path}")
        assert refused.code == 2
        assert "another server answers on it" in refused.complaint
        first.process.kill()
        first.process.wait(30)
    assert path.is_socket()
    with serving(root, directory / "second", listen=f"unix:{path}") as second:
        async with Client(second.address) as client:
            assert await client.read("hello.txt") == b"hello, world\n"
        assert second.stop() == 0
    assert not path.exists()


def test_a_unix_socket_has_no_workers(root: Path, tmp_path: Path) -> None:
    """Workers on a Unix socket are refused with exit 2 and one line that says what to leave out."""
    refused = unspool("serve", root, "--listen", f"unix:{tmp_path}/x.sock", "--workers", "2")
    assert refused.code == 2
    assert "leave out --workers" in refused.complaint


@pytest.mark.parametrize("workers", ["1", "2"])
def test_dotfiles_are_served_only_if_asked_for(tmp_path: Path, workers: str) -> None:
    """`serve` does not serve a dotfile by name (exit 3) or list it; `serve --hidden` does."""
    root = tmp_path / "root"
    root.mkdir()
    (root / ".env").write_bytes(b"secret\n")
    for options, code, listed in (((), 3, []), (("--hidden",), 0, [".env"])):
        with serving(root, tmp_path / "log", "--workers", workers, *options) as server:
            assert unspool("cat", f"{server.address}/.env").code == code
            assert unspool("ls", server.address).lines == listed
            assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_proxy_variables_mean_nothing_to_a_server(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    """With every proxy variable set, `serve` starts, listens on a name and answers, and the proxy sees no connection."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, ExitStack() as stack:
        with monkeypatch.context() as patch:
            for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                patch.setitem(ENVIRONMENT, name, "http://{}:{}".format(*proxy.getsockname()))
            options = ("--workers", workers)
            server = stack.enter_context(serving(root, tmp_path / "log", *options, listen="localhost:0"))
        async with Client(server.address) as client:
            assert await client.read("hello.txt") == b"hello, world\n"
        assert server.stop() == 0
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(root: Path, tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end an idle server at once, with exit 0."""
    with serving(root, tmp_path / "log", "--grace", "60") as server:
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < 10
        (said,) = [str(entry["message"]) for entry in server.entries()]
        assert said.startswith("draining: streams that are running have 60 s to end; Ctrl-C")


def test_running_downloads_finish_after_sigterm(root: Path, tmp_path: Path) -> None:
    """On SIGTERM a running download gets the rest within the grace time, and then the server ends with 0."""
    out = tmp_path / "out"
    with serving(root, tmp_path / "log", "--grace", "60") as server, Gate(server.address, 20 * MIB) as gate:
        with running("get", "--quiet", f"{gate.address}/big.bin", out) as client:
            eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
            server.process.send_signal(signal.SIGTERM)
            eventually(server.entries)
            refused = unspool("get", "--retry-budget", "1", f"{server.address}/hello.txt", tmp_path)
            assert refused.code == 7
            assert "going away" in refused.err
            gate.open()
            assert outcome_of(client).code == 0
        assert server.process.wait(30) == 0
        # The request of a refused call is not decoded, so its file is not known.
        assert [(read["outcome"], read["attempt"]) for read in server.reads()] == [("UNAVAILABLE", 0), ("OK", 1)]
    assert out.read_bytes() == (root / "big.bin").read_bytes()


def test_readers_that_stall_cannot_hold_it(root: Path, tmp_path: Path) -> None:
    """On SIGTERM with clients that do not read, the server ends after the grace time, with 0."""
    with serving(root, tmp_path / "log", "--grace", "0.2") as server, ExitStack() as clients:
        gates = [clients.enter_context(Gate(server.address, 16 * MIB)) for _ in range(4)]
        for number, gate in enumerate(gates):
            clients.enter_context(running("get", "--quiet", f"{gate.address}/big.bin", tmp_path / f"out{number}"))
        eventually(lambda: all(gate.passed == 16 * MIB for gate in gates))
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        reads = server.reads()
    assert [read["outcome"] for read in reads] == ["UNAVAILABLE"] * 4
    assert all("going away" in str(read["message"]) for read in reads)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_survives_a_restart_by_itself(root: Path, tmp_path: Path, number: signal.Signals) -> None:
    """If a server is ended or killed in the middle and restarted on the same port, the client continues, to exit 0."""
    out = tmp_path / "out"
    with (
        serving(root, tmp_path / "first", "--grace", "0") as first,
        Gate(first.address, 20 * MIB) as gate,
        running("get", "--json", "--retry-budget", "30", f"{gate.address}/big.bin", out) as client,
    ):
        eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
        first.process.send_signal(number)
        if number == signal.SIGTERM:
            eventually(first.reads)  # from now on nothing more of this stream is sent
            gate.open()
        assert first.process.wait(30) == (0 if number == signal.SIGTERM else -number)
        gate.open()
        with serving(root, tmp_path / "second", listen=first.address) as second:
            done = outcome_of(client)
            reads = second.reads()
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["verified"] == "file"
    assert result["attempts"] >= 2
    assert result["bytes_received"] == result["size"], "no byte was fetched twice"
    assert out.read_bytes() == (root / "big.bin").read_bytes()
    assert reads[-1]["outcome"] == "OK"
    assert isinstance(reads[-1]["start"], int)
    assert reads[-1]["start"] >= 16 * MIB


# The log


def test_the_json_log_has_one_object_per_read(root: Path, tmp_path: Path) -> None:
    """Every read that ended is one JSON object with the documented fields."""
    with serving(root, tmp_path / "log") as server:
        unspool("get", f"{server.address}/hello.txt", tmp_path / "out")
        unspool("cat", "--offset", "7", "--length", "5", f"{server.address}/hello.txt")
        unspool("cat", f"{server.address}/nope")
        reads = eventually(lambda: len(found := server.reads()) == 3 and found)
    assert isinstance(reads, list)
    for read in reads:
        assert set(read) == LOGGED
        assert read["level"] == "INFO"
        assert isinstance(read["seconds"], float)
        assert str(read["peer"]).startswith("ipv4:127.0.0.1:")
    assert [(read["name"], read["start"], read["bytes"], read["outcome"]) for read in reads] == [
        ("hello.txt", 0, 13, "OK"),
        ("hello.txt", 7, 5, "OK"),
        ("nope", 0, 0, "FILE_NOT_FOUND"),
    ]
    assert [read["attempt"] for read in reads] == [1, 1, 1]
    assert len({read["transfer_id"] for read in reads}) == 3


def test_the_json_log_has_the_files_of_a_batch_as_data(root: Path, tmp_path: Path) -> None:
    """For a tree fetched with a batch, the log has a list of its files, each with its bytes and outcome."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, size in (("a", 3), ('b "quoted", and 2 more', 5)):
        (tree / name).write_bytes(bytes(size))
    with serving(tree, tmp_path / "log") as server:
        assert unspool("get", "-r", server.address, tmp_path / "out").code == 0
        (batch,) = [read for read in server.reads() if read["method"] == "ReadFiles"]
    assert set(batch) == LOGGED | {"batch"}
    assert (batch["name"], batch["bytes"], batch["outcome"]) == ("", 8, "OK")
    told = batch["batch"]
    assert isinstance(told, dict)
    assert sorted(told.pop("files"), key=lambda file: str(file["name"])) == [
        {"name": "a", "bytes": 3, "outcome": "OK", "message": ""},
        {"name": 'b "quoted", and 2 more', "bytes": 5, "outcome": "OK", "message": ""},
    ]
    assert told == {"count": 2, "failed": 0, "left_out": 0}


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
def test_the_json_log_has_times_of_rfc_3339(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """The time of a line is RFC 3339 in UTC with fractions of a second, in any time zone of the server."""
    monkeypatch.setitem(ENVIRONMENT, "TZ", zone)
    before = datetime.now(UTC)
    with serving(root, tmp_path / "log") as server:
        assert unspool("cat", f"{server.address}/hello.txt").code == 0
        (read,) = eventually(server.reads)
    text = str(read["time"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)


def test_the_human_log_has_one_line_per_read(root: Path, tmp_path: Path) -> None:
    """The log for people has time, level, name, bytes, seconds, outcome and attempt on one line."""
    with serving(root, tmp_path / "log", log_format="human") as server:
        unspool("get", f"{server.address}/hello.txt", tmp_path / "out")
        server.stop()
    first, last = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO ReadFile hello\.txt from=0 bytes=13 seconds=\d+\.\d{3} "
        r"outcome=OK attempt=1 transfer=[0-9a-f]{32} peer=ipv4:127\.0\.0\.1:\d+",
        first,
    )
    assert " INFO draining: " in last


def test_a_quiet_server_logs_no_reads(root: Path, tmp_path: Path) -> None:
    """--quiet logs warnings and errors only."""
    with serving(root, tmp_path / "log", "--quiet") as server:
        assert unspool("get", f"{server.address}/hello.txt", tmp_path / "out").code == 0
        assert server.stop() == 0
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_name_cannot_fake_a_line_of_the_log(root: Path, tmp_path: Path, log_format: str) -> None:
    """A name with line breaks and escape sequences is escaped, so that it stays on its line."""
    name = "a\n2026-01-01 00:00:00,000 INFO fake\r\x1b[31m\u2028red"
    with serving(root, tmp_path / "log", log_format=log_format) as server:
        assert unspool("cat", f"{server.address}/{name}").code == 3
        server.stop()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].isprintable()
    assert "fake" in lines[0]
    if log_format == "json":
        assert json.loads(lines[0])["name"] == name


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_client_that_was_killed_is_one_line(root: Path, tmp_path: Path, log_format: str) -> None:
    """A client that is killed in the middle is logged as CANCELLED on one line, without a traceback."""
    with serving(root, tmp_path / "log", log_format=log_format) as server, Gate(server.address, 4 * MIB) as gate:
        with running("get", "--quiet", f"{gate.address}/big.bin", tmp_path / "out"):
            eventually(lambda: gate.passed >= 4 * MIB)
        (line,) = eventually(lambda: _lines(server))
        server.stop()
    assert "CANCELLED" in line
    assert len(_lines(server)) == 2
    if log_format == "json":
        assert json.loads(line)["outcome"] == "CANCELLED"
        assert 0 < json.loads(line)["bytes"] < 48 * MIB


def _lines(server: Serving) -> list[str]:
    return server.log.read_text().splitlines()
