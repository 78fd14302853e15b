"""The commands of PROTOCOL.md for those who look at a server by hand, run as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from house.documents import read, text_after
from peers import grpcurl
from processes import ENVIRONMENT, Serving, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """Serve one file."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "hello.txt").write_bytes(b"hello, world\n")
    with serving(tmp_path / "root", tmp_path / "log") as one:
        yield one


def outputs(tool: str, server: Serving, *path: Path) -> list[str]:
    """Run the commands for a tool; return what each one printed."""
    commands = text_after(read("PROTOCOL.md"), f"<!-- example: {tool} -->").splitlines()
    found = []
    for command in commands:
        done = subprocess.run(
            command.replace("localhost:50051", server.address),
            shell=True,
            env=ENVIRONMENT | {"PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        found.append(done.stdout)
    return found


def test_buf_curl_calls_every_method(server: Serving) -> None:
    """The tool finds the methods by reflection, and describes, lists and reads a file."""
    methods, stat, listing, reading = outputs("buf", server, Path(sys.executable).parent)
    assert "unspool.v1.FileService/ReadFile\n" in methods
    assert '"size": "13"' in stat
    assert '"name": "hello.txt"' in listing
    assert '"data": "d29ybGQK"' in reading  # world and a newline


@pytest.mark.deep
def test_grpcurl_calls_every_method(server: Serving) -> None:
    """So does this tool."""
    services, described, stat, listing, reading = outputs("grpcurl", server, grpcurl().parent)
    assert "unspool.v1.FileService\n" in services
    assert "optional int64 start" in described
    assert '"size": "13"' in stat
    assert '"name": "hello.txt"' in listing
    assert '"data": "d29ybGQK"' in reading
