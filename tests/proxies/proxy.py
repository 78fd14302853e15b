"""Real proxies on loopback, run with the files of examples/proxies."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from processes import ENVIRONMENT, eventually

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "examples" / "proxies"
TOOLS = REPO / "build" / "proxies" / "bin"
"""Where `make proxies` puts the programs that are Python packages."""

THEIR_PORT, OUR_PORT = "50051", "8080"
"""The ports in the examples: of the server, and of the proxy."""


@dataclass(frozen=True)
class Kind:
    """A proxy: its program, its files, and the limits in them.

    Attributes:
        program: the name of the program.
        files: its files in examples/proxies; the first is the one it is started with.
        start: its arguments, with `{config}` and `{home}`.
        had_from: how to come by it.
        silence: the lines that limit silence, as patterns; the limit is the group. Empty: it has no such limit.
        recommended: lines that we recommend and that differ from the proxy's defaults or spell them out.
    """

    program: str
    files: tuple[str, ...]
    start: tuple[str, ...]
    had_from: str = "`make proxies` installs it"
    silence: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "envoy": Kind(
        "envoy",
        ("envoy.yaml",),
        ("-c", "{config}", "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"),
        silence=(r"stream_idle_timeout: (\d+s)",),
        recommended=(r"\n +stream_idle_timeout: .*", r"\n +timeout: 0s.*"),
    ),
    "nginx": Kind(
        "nginx",
        ("nginx.conf",),
        ("-p", "{home}", "-e", "{home}/error.log", "-c", "{config}", "-g", "daemon off; pid {home}/pid;"),
        "`apt-get install nginx-light` brings it",
        silence=(r"grpc_read_timeout (\d+s);", r"grpc_send_timeout (\d+s);"),
        recommended=(r"\n +grpc_\w+_timeout .*", r"\n +send_timeout .*", r"\n +client_max_body_size .*"),
    ),
    "haproxy": Kind(
        "haproxy",
        ("haproxy.cfg",),
        ("-f", "{config}"),
        "`apt-get install haproxy` brings it",
        silence=(r"timeout client (\d+s)", r"timeout server (\d+s)"),
    ),
    "traefik": Kind(
        "traefik",
        ("traefik.yaml", "traefik-routes.yaml"),
        ("--configfile={config}",),
        recommended=(r"\n    transport:(?:\n      .*)+",),
    ),
    "caddy": Kind("caddy", ("Caddyfile",), ("run", "--config", "{config}", "--adapter", "caddyfile")),
}


@dataclass
class Change:
    """What to change in an example before it is run, so that a test need not wait.

    Attributes:
        silence: the limit for silence instead of the one in the file; None leaves it.
        whole: the limit for a whole stream (Envoy's `timeout`); None leaves it.
        defaults: remove what we recommend, so that the proxy's own defaults hold.
        tls: use the lines for TLS, with certificate and key out of this directory; its `ca.pem` has signed them.
        more: other texts of the file, and what stands there instead.
    """

    silence: str | None = None
    whole: str | None = None
    defaults: bool = False
    tls: Path | None = None
    more: dict[str, str] = field(default_factory=dict)

    def apply(self, kind: Kind, text: str) -> str:
        """Return the changed file. What is to be changed has to be there."""
        if self.silence is not None:
            for pattern in kind.silence:
                text, times = re.subn(pattern, lambda found: found[0].replace(found[1], str(self.silence)), text)
                assert times == 1, pattern
        if self.whole is not None:
            text = _replaced(text, " timeout: 0s", f" timeout: {self.whole}")
        for pattern in kind.recommended if self.defaults else ():
            text, times = re.subn(pattern, "", text)
            assert times, pattern
        for old, new in self.more.items():
            text = _replaced(text, old, new)
        return text


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


def _with_tls(text: str, directory: Path) -> str:
    """Return a file with the lines for TLS in use, and without those for cleartext."""
    text = re.sub(r"^.* # clear\n", "", text, flags=re.MULTILINE)
    return text.replace("#tls: ", "").replace("/etc/unspool", str(directory))


def _with_ports(text: str, theirs: str, ours: str) -> str:
    """Return a file with other ports."""
    return re.sub(rf"\b(?:{THEIR_PORT}|{OUR_PORT})\b", lambda found: theirs if found[0] == THEIR_PORT else ours, text)


def program_of(name: str, had_from: str) -> str:
    """Return the path of a program. If it is not here, the calling test is skipped, except in CI."""
    found = shutil.which(name, path=f"{TOOLS}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        _missing(f"{name} is not here: {had_from}")
    return found


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        raise RuntimeError(reason)
    pytest.skip(reason)


@contextmanager
def behind(name: str, server: str, home: Path, change: Change | None = None) -> Iterator[str]:
    """Run a proxy in front of a server, with its example; yields the address of the proxy.

    When entered, the server answers through it. In an event loop that serves, enter it in a thread.
    """
    kind = KINDS[name]
    program = program_of(kind.program, kind.had_from)
    home.mkdir(exist_ok=True)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]  # none of them can be told to pick a free one
    for number, file in enumerate(kind.files):
        text = (EXAMPLES / file).read_text()
        if number == 0 and change is not None:
            text = change.apply(kind, text)
        if change is not None and change.tls is not None:
            text = _with_tls(text, change.tls)
        (home / file).write_text(_with_ports(text, server.rpartition(":")[2], str(port)))
    arguments = [argument.format(config=kind.files[0], home=home) for argument in kind.start]
    log = home / "log"
    environment = {**ENVIRONMENT, "HOME": str(home)}
    with (
        log.open("wb") as output,
        subprocess.Popen([program, *arguments], cwd=home, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            eventually(lambda: process.poll() is not None or _leads_somewhere(f"127.0.0.1:{port}", change), 60)
            assert process.poll() is None, log.read_text()
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


def _leads_somewhere(address: str, change: Change | None) -> bool:
    """Whether a server answers through the proxy: Traefik and Envoy listen before they know where to."""
    options = [("grpc.enable_http_proxy", 0)]
    if change is None or change.tls is None:
        channel = grpc.insecure_channel(address, options)
    else:
        trusted = grpc.ssl_channel_credentials((change.tls / "ca.pem").read_bytes())
        channel = grpc.secure_channel(address, trusted, options)
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
