"""`unspool serve` with tokens and rules that are replaced while it runs, with one process and with several."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path
from random import Random

import pytest

from authority import Authority
from processes import Serving, eventually, serving, unspool
from unspool import Client, RetryPolicy, TransferOptions
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.errors import AccessError, PermissionDeniedError, UnauthenticatedError

ALICE, BOB = write_token(b"a" * 32), write_token(b"b" * 32)

ONCE = TransferOptions(retry=RetryPolicy(budget=1))

RULES = '[[rule]]\nprefix = "{}"\nwho = ["alice", "bob"]\nmay = ["list", "read"]\n'


class Guarded:
    """A directory, tokens and rules, and a server of them."""

    def __init__(self, base: Path) -> None:
        self.root, self.tokens, self.rules = base / "root", base / "tokens", base / "rules.toml"
        for name in ("a", "b"):
            (self.root / name).mkdir(parents=True)
        self.data = Random(1).randbytes(8 << 20)
        for number in range(20):
            (self.root / "a" / str(number)).write_bytes(self.data)
        (self.root / "b" / "file").write_bytes(b"b")
        self.tokens.write_text("".join(f"{ListedToken(*one, 0).line()}\n" for one in self.listed()))
        self.rules.write_text(RULES.format("a"))

    @staticmethod
    def listed() -> list[tuple[str, str]]:
        """Return the names of the tokens at the beginning."""
        return [("alice", digest_of(ALICE)), ("bob", digest_of(BOB))]

    def options(self) -> list[str]:
        """Return the options of the server."""
        return ["--tokens", str(self.tokens), "--rules", str(self.rules)]


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """Return the served files."""
    return Guarded(tmp_path)


def outcome(server: Serving, name: str, token: str | None) -> str:
    """Return the result of a stat: the name of the error, or `ok`."""

    async def ask() -> str:
        metadata = [("authorization", f"Bearer {token}")] if token else ()
        async with Client(server.address, options=ONCE, metadata=metadata) as one:
            try:
                await one.stat(name)
            except AccessError as error:
                return type(error).__name__
            return "ok"

    return asyncio.run(ask())


DENIED, UNKNOWN = PermissionDeniedError.__name__, UnauthenticatedError.__name__


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("told", [False, True], ids=["by itself", "by SIGHUP"])
def test_changed_files_count_without_a_restart(guarded: Guarded, tmp_path: Path, workers: int, *, told: bool) -> None:
    """New rules and tokens apply in every process, at once after SIGHUP and soon without; an invalid file changes nothing."""
    with serving(guarded.root, tmp_path / "log", *guarded.options(), "--workers", str(workers)) as server:
        assert [outcome(server, "a/1", one) for one in (ALICE, BOB, None)] == ["ok", "ok", UNKNOWN]
        assert outcome(server, "b/file", ALICE) == DENIED
        guarded.rules.write_text(RULES.format("b"))
        guarded.tokens.write_text(ListedToken("bob", digest_of(BOB), 0).line())
        if told:
            server.process.send_signal(signal.SIGHUP)
        eventually(lambda: {outcome(server, "b/file", BOB) for _ in range(8)} == {"ok"})
        eventually(lambda: {outcome(server, "b/file", ALICE) for _ in range(8)} == {UNKNOWN})
        assert outcome(server, "a/1", BOB) == DENIED
        guarded.rules.write_text("[[rule]]\n")
        if told:
            server.process.send_signal(signal.SIGHUP)
        eventually(lambda: outcome(server, "b/file", BOB) == "ok" and "line 1" in server.log.read_text())
        assert outcome(server, "b/file", BOB) == "ok"
        assert server.stop() == 0


def test_transfers_go_on_while_files_are_replaced(guarded: Guarded, tmp_path: Path) -> None:
    """Twenty downloads over TLS end well, each with one attempt, while certificate, tokens and rules are replaced.

    New handshakes get the new certificate.
    """
    authority = Authority(tmp_path / "certificates")
    pair = authority.issue("server")

    def certificate_at(address: str) -> str:
        host, _, port = address.removeprefix("unspools://").rpartition(":")
        return ssl.get_server_certificate((host, int(port)))

    async def get_all(server: Serving) -> list[int]:
        async with Client(server.address, ca=authority.file, token=ALICE) as one:
            options = TransferOptions(jobs=1)
            gets = [one.get(f"a/{number}", tmp_path / f"got{number}", options=options) for number in range(20)]
            running = asyncio.gather(*gets)
            for number in range(6):
                guarded.rules.write_text(f"# {number}\n{RULES.format('a')}")
                with guarded.tokens.open("a") as file:
                    file.write(f"{ListedToken('carol', digest_of(str(number)), 0).line()}\n")
                before = certificate_at(server.address)
                pair.become(authority.issue("fresh"))
                server.process.send_signal(signal.SIGHUP)
                while certificate_at(server.address) == before:
                    await asyncio.sleep(0.05)
            assert not running.done()
            return [result.attempts for result in await running]

    slowly = ("--max-stream-bandwidth", "2M", "--cert", str(pair.cert), "--key", str(pair.key))
    with serving(guarded.root, tmp_path / "log", *guarded.options(), *slowly) as server:
        attempts = asyncio.run(get_all(server))
    assert attempts == [1] * 20
    assert all((tmp_path / f"got{number}").read_bytes() == guarded.data for number in range(20))


@pytest.mark.parametrize(
    ("tokens", "rules", "said", "workers"),
    [
        ("nonsense", RULES, "tokens: line 1", 1),
        ("", "[[rule]]", "rules.toml: line 1: this rule has no prefix", 2),
        (None, RULES, "tokens: no such file", 2),
    ],
)
def test_a_bad_file_at_the_start_is_one_line(guarded: Guarded, tokens: str | None, rules: str, said: str, workers: int) -> None:
    """A server does not start with invalid files: it prints the line once, with any number of processes."""
    guarded.rules.write_text(rules)
    guarded.tokens.unlink()
    if tokens is not None:
        guarded.tokens.write_text(tokens)
    done = unspool("serve", guarded.root, "--listen", "127.0.0.1:0", *guarded.options(), "--workers", str(workers))
    assert (done.code, said in done.complaint) == (8 if tokens is None else 2, True), done.err


def test_the_log_names_the_principal_and_no_secret(guarded: Guarded, tmp_path: Path) -> None:
    """The caller is in the log, in both formats; the token is in neither."""
    for form in ("json", "human"):
        log = tmp_path / form
        with serving(guarded.root, log, *guarded.options(), log_format=form) as server:
            assert outcome(server, "a/1", ALICE) == "ok"
            assert outcome(server, "a/1", "x" + ALICE) == UNKNOWN
        assert ("principal=alice" if form == "human" else '"principal": "alice"') in log.read_text()
        assert ALICE not in log.read_text()
