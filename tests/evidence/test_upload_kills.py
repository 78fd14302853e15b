"""Uploads whose client and server are killed at random moments: in the end the file is the same, and little is sent twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from processes import ENVIRONMENT, UNSPOOL
from unspool.core.segments import SEGMENT_SIZE

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

KILLS = 400 if DEEP else 3
EACH = 20 if DEEP else 3
"""Kills in one file."""

HERE = Path(__file__).parent.parent
MIB = 1 << 20
SIZE = 1024 * MIB if DEEP else 64 * MIB

UNDER_WAY = 16 * MIB
"""Bytes that a client may have handed to gRPC and that no server has seen, at most: what HTTP/2 windows and sockets hold."""


@contextmanager
def server(root: Path, log: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that takes files, on a port that stays the same; what is left of it at the end is killed."""
    command = [*UNSPOOL, "serve", str(root), "--write", "--listen", f"127.0.0.1:{port}"]
    with log.open("ab") as stderr, subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), log.read_text()
            yield process
        finally:
            process.kill()


class Loop:
    """One file, and the processes that upload it.

    Attributes:
        kills: how many processes were killed.
        sent: bytes that all clients have sent.
    """

    def __init__(self, base: Path, size: int, port: int) -> None:
        self.base = base
        self.root = base / "root"
        self.root.mkdir()
        self.source = base / "source"
        self.port = port
        self.kills = 0
        self.sent = 0
        with self.source.open("wb") as file:
            for _ in range(0, size, MIB):
                file.write(os.urandom(MIB))

    def client(self) -> subprocess.Popen[bytes]:
        """Start a client."""
        self.count = self.base / f"count{self.kills}"
        address = f"127.0.0.1:{self.port}"
        arguments = [address, str(self.source), "file", str(self.base / "key"), str(self.count)]
        command = [sys.executable, "-m", "evidence.putting", *arguments]
        return subprocess.Popen(command, cwd=HERE, env=ENVIRONMENT, stdout=subprocess.PIPE)

    def add_sent(self) -> None:
        """Add what the client that has just ended has sent."""
        if self.count.exists():
            self.sent += int(self.count.read_bytes() or b"0")

    def run(self, kills: int, seed: int) -> None:
        """Upload the file while clients and servers are killed, in turn, at random moments."""
        random = Random(seed)
        log = self.base / "log"
        serving = server(self.root, log, self.port)
        running = serving.__enter__()
        client = self.client()
        size = self.source.stat().st_size
        try:
            while self.kills < kills and client.poll() is None:
                # The kills are spread over the bytes of the file, and each comes at a random moment after its byte.
                self._wait_for(size * self.kills // (kills + 1), client)
                time.sleep(random.random() / 10)
                if client.poll() is not None:
                    break
                self.kills += 1
                assert not (self.root / "file").exists()
                if random.random() < 0.5:
                    running.send_signal(signal.SIGKILL)
                    serving.__exit__(None, None, None)
                    serving = server(self.root, log, self.port)
                    running = serving.__enter__()
                else:
                    client.send_signal(signal.SIGKILL)
                    client.communicate()
                    self.add_sent()
                    client = self.client()
            out, _ = client.communicate(timeout=300)
            self.add_sent()
            assert client.returncode == 0, out
        finally:
            client.kill()
            client.wait()
            serving.__exit__(None, None, None)

    def _wait_for(self, received: int, client: subprocess.Popen[bytes]) -> None:
        """Wait until the server has about so many bytes."""
        deadline = time.monotonic() + 120
        while client.poll() is None and self._received() < received:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _received(self) -> int:
        sizes = [0]
        for path in (self.root / ".unspool-uploads").rglob("*"):
            try:
                sizes.append(path.stat().st_blocks * 512 if path.is_file() else 0)
            except OSError:
                continue
        return max(sizes)

    def check(self) -> None:
        """The file is the same, nothing is left over, and little was sent twice."""
        assert (self.root / "file").stat().st_size == self.source.stat().st_size
        compared = subprocess.run(["cmp", str(self.root / "file"), str(self.source)], check=False)
        assert compared.returncode == 0
        twice = self.sent - self.source.stat().st_size
        assert twice <= self.kills * (SEGMENT_SIZE + UNDER_WAY)


def run(tmp_path: Path, size: int, kills: int, port: int, seed: int) -> Loop:
    """Upload a file with so many kills, and check the outcome."""
    loop = Loop(tmp_path, size, port)
    loop.run(kills, seed)
    loop.check()
    return loop


def free_port() -> int:
    """Return a port that nobody listens on."""
    import socket  # noqa: PLC0415 - only here

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("seed", range(KILLS // EACH))
def test_an_upload_whose_client_and_server_are_killed(tmp_path: Path, seed: int) -> None:
    """After kills of either side the file is whole, and for each at most a segment and what was under way is sent twice."""
    assert run(tmp_path, SIZE, EACH, free_port(), seed).kills >= EACH // 2
