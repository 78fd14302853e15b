"""The audit of a server: each decision about a name once, with the bytes served."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from processes import serving, unspool
from server.test_guard import ALICE, FILES, ONCE, RULES, Changing, client, tokens
from unspool import Client, LimitOptions, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.access import TokenFile
from unspool.core.access import Decision
from unspool.core.model import BatchRequest, WantedFile
from unspool.core.rules import parse_rules
from unspool.errors import AccessError, OverloadedError
from unspool.rpc import batchwire

__all__ = ["tokens"]  # a fixture


class Audit:
    """Keeps all decisions."""

    def __init__(self, *, grants: bool) -> None:
        self.grants = grants
        self.told: list[Decision] = []

    def notify(self, decision: Decision) -> None:
        """See `unspool.core.access.Audit`."""
        self.told.append(decision)

    def short(self) -> list[tuple[str | None, str, str, int, str]]:
        """Return caller, method, name, bytes and verdict of each decision."""
        return [(one.who, one.method, one.name, one.bytes, one.verdict) for one in self.told]


async def ask(server: Server, token: str | None, name: str, start: int = 0) -> None:
    """Read a name, stat it and list it, with any result."""
    async with client(server, token) as one:
        for call in (one.read(name, start=start), one.stat(name), anext(one.pages(name))):
            with suppress(AccessError, OverloadedError, StopAsyncIteration):
                await call


@pytest.mark.parametrize("grants", [False, True])
async def test_each_decision_is_told_once(tokens: Path, *, grants: bool) -> None:
    """The audit has all denials, and grants if wanted, each with the caller, the name, the rule, and the bytes served."""
    audit = Audit(grants=grants)
    store, rules = MemoryStore(FILES), parse_rules(RULES, "rules")
    async with Server(store, authenticate=TokenFile(tokens), authorize=rules, audit=audit) as server:
        await ask(server, ALICE, "a/2", start=1)
        await ask(server, ALICE, "c/4")
        await ask(server, None, "c/4")
        await ask(server, "guess", "a/1")
    granted = [("alice", "ReadFile", "a/2", 1, "granted"), ("alice", "StatFile", "a/2", 0, "granted")]
    granted.append(("alice", "ListFiles", "a/2", 0, "granted"))
    methods = ("ReadFile", "StatFile", "ListFiles")
    assert audit.short() == [
        *(granted if grants else ()),
        *(("alice", method, "c/4", 0, "denied") for method in methods),
        *((None, method, "c/4", 0, "denied") for method in methods),
        *((None, method, "", 0, "unidentified") for method in methods),
    ]
    assert {one.rule for one in audit.told} == {"rules: no rule", "the server does not know this token"} | (
        {"rules:1"} if grants else set()
    )
    if grants:
        info = await store.stat("a/2")
        assert [(one.revision, one.span) for one in audit.told[:3]] == [
            (info.revision, (1, 2)),
            (info.revision, None),
            (None, None),
        ]
    assert all(one.address.startswith("ipv4:127.0.0.1:") and one.seconds >= 0 for one in audit.told)


async def test_each_file_of_a_batch_is_a_decision(tokens: Path) -> None:
    """Each file of a batch has its own verdict, bytes and revision."""
    audit = Audit(grants=True)
    wanted = BatchRequest(tuple(WantedFile(name) for name in ("a/1", "c/4", "a/2")))
    rules = parse_rules(RULES, "rules")
    server = Server(MemoryStore(FILES), authenticate=TokenFile(tokens), authorize=rules, audit=audit)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/unspool.v1.FileService/ReadFiles")
        metadata = (("authorization", f"Bearer {ALICE}"),)
        async for _ in read(batchwire.encode_batch_request(wanted), metadata=metadata):
            pass
    assert [(one.name, one.verdict, one.bytes, one.span) for one in audit.told] == [
        ("a/1", "granted", 1, (0, 1)),
        ("c/4", "denied", 0, None),
        ("a/2", "granted", 2, (0, 2)),
    ]


async def test_calls_over_a_limit_are_not_told(tokens: Path) -> None:
    """Guessing tokens cannot fill the disk: calls over the limit on requests are not in the audit."""
    audit = Audit(grants=True)
    options = ServerOptions(limits=LimitOptions(requests=3))
    async with Server(MemoryStore(FILES), options=options, authenticate=TokenFile(tokens), audit=audit) as server:
        for _ in range(5):
            await ask(server, "guess", "a/1")
    assert 3 <= len(audit.told) < 15


async def test_without_rules_every_grant_is_told() -> None:
    """A server without rules can have an audit, too, also for the tutorial's dialect."""
    audit = Audit(grants=True)
    server = Server(MemoryStore(FILES), audit=audit)
    async with server, Client(server.address, dialect="demo", options=ONCE) as one:
        assert await one.read("c/4") == b"4444"
    assert audit.short() == [(None, "GetFile", "c/4", 4, "granted")]
    assert (audit.told[0].rule, audit.told[0].span) == ("no rules", (0, 4))


async def test_a_right_that_is_taken_away_is_told_as_a_denial() -> None:
    """A stream that was ended is recorded with the bytes that were sent until then."""
    audit, rules = Audit(grants=False), Changing()
    options = ServerOptions(service=ServiceOptions(block_size=64 * 1024))
    async with (
        Server(MemoryStore({"a": bytes(64 << 20)}), options=options, authorize=rules, audit=audit) as server,
        client(server) as one,
        one.open("a") as file,
    ):
        blocks = aiter(file)
        await anext(blocks)
        rules.deny("a")
        with pytest.raises(AccessError):
            async for _ in blocks:
                pass
    (decision,) = audit.told
    assert (decision.verdict, decision.name) == ("denied", "a")
    assert 0 < decision.bytes < 64 << 20


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_write_to_one_file_or_descriptor(tmp_path: Path, workers: int) -> None:
    """`--audit` appends to a file, or to an inherited descriptor, from every process."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"a")
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nprefix = "b"\nwho = "@anyone"\nmay = "read"\n')
    options = ("--rules", str(rules), "--workers", str(workers), "--audit")
    with serving(tmp_path / "root", tmp_path / "log", *options, str(tmp_path / "file")) as server:
        assert unspool("stat", f"{server.address}/a").code == 4
    # Every server has a descriptor for standard error.
    with serving(tmp_path / "root", tmp_path / "stderr", *options, "fd:2", "--quiet") as server:
        assert unspool("stat", f"{server.address}/a").code == 4
    for name in ("file", "stderr"):
        (line,) = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert (line["who"], line["name"], line["verdict"]) == (None, "a", "denied")
        assert line["rule"] == f"{rules}: no rule"


def test_an_audit_of_grants_needs_a_file(tmp_path: Path) -> None:
    """`--audit-grants` without `--audit` is a usage error."""
    done = unspool("serve", tmp_path, "--listen", "127.0.0.1:0", "--audit-grants")
    assert (done.code, "name its file" in done.complaint) == (2, True)
