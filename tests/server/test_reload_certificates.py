"""SIGHUP of a server that has certificates and nothing else to read again: it reads them, and does not drain."""

from __future__ import annotations

import signal
import ssl
from pathlib import Path

import pytest

from authority import Authority
from processes import eventually, serving, unspool


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_does_not_drain_a_server_with_certificates(tmp_path: Path, workers: int) -> None:
    """It goes on serving, with the new certificate, in one process and in several."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"a")
    authority = Authority(tmp_path / "certificates")
    pair = authority.issue("server")
    options = ("--cert", str(pair.cert), "--key", str(pair.key), "--workers", str(workers))
    with serving(tmp_path / "root", tmp_path / "log", *options) as server:
        host, _, port = server.address.removeprefix("unspools://").rpartition(":")
        before = ssl.get_server_certificate((host, int(port)))
        pair.become(authority.issue("fresh"))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: ssl.get_server_certificate((host, int(port))) != before)
        assert unspool("stat", "--ca", authority.file, f"{server.address}/a").code == 0
        assert server.process.poll() is None
        assert server.stop() == 0


def test_sighup_drains_a_server_with_nothing_to_read_again(tmp_path: Path) -> None:
    """As before there was anything to read: it ends well."""
    with serving(tmp_path, tmp_path / "log") as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(30) == 0
