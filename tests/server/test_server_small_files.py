"""Batches of small files at the server: each file has an answer, whatever happens to the others."""

from __future__ import annotations

import gc
import logging

import pytest

from server.uploading import batch, new, send_files, status_of
from unspool import LimitOptions, MemoryStore, Server, ServerOptions, ServiceOptions
from unspool.core.access import Decision, Principal, Right, Verdict
from unspool.core.uploading import IF_ABSENT, NewFile
from unspool.ingest.memory import MemoryIngester
from unspool.rpc import writewire
from unspool.server import writing
from unspool.server.report import CallEnd
from unspool.testing import Recorder, serve


async def test_files_are_answered_in_their_order(address: str, store: MemoryStore) -> None:
    """Several messages, heartbeats between them: each file is written or has its own error, and the stream ends with OK."""
    async with batch(address) as call:
        await call.write(writewire.encode_new_files([]))
        assert await send_files(call, new("a", b"1"), new("../b", b"2"), new("c", b"")) == ["OK", "INVALID_NAME", "OK"]
        assert await send_files(call, new("a", b"3", condition=IF_ABSENT), NewFile("d", b"4", 1)) == [
            "ALREADY_EXISTS",
            "BLOCK_CORRUPT",
        ]
        assert await status_of(call) == "OK"
    assert {name: data for name, (_, data) in store._files.items()} == {"a": b"1", "c": b""}


async def test_files_that_a_caller_may_not_write_are_refused_one_by_one(store: MemoryStore) -> None:
    """In every message, each file is decided about; the audit has all of them, and the report counts them."""

    def rules(who: Principal | None, right: Right, name: str) -> Verdict:
        return Verdict(allowed=right == "write" and name.startswith("mine/"))

    class Audit:
        grants = True

        def __init__(self) -> None:
            self.decisions: list[Decision] = []

        def notify(self, decision: Decision) -> None:
            self.decisions.append(decision)

    audit, ended = Audit(), Recorder[CallEnd]()
    server = Server(store, observers=[ended], authorize=rules, audit=audit, ingester=MemoryIngester(store))
    async with server, batch(server.address) as call:
        assert await send_files(call, new("mine/a", b"1"), new("b", b"2"), new("mine/c", b"33")) == [
            "OK",
            "UNAUTHENTICATED",
            "OK",
        ]
        assert await send_files(call, new("d", b"4"), new("mine/e", b"5")) == ["UNAUTHENTICATED", "OK"]
        assert await status_of(call) == "OK"
    assert sorted(store._files) == ["mine/a", "mine/c", "mine/e"]
    assert [(one.name, one.verdict, one.bytes) for one in audit.decisions] == [
        ("mine/a", "granted", 1),
        ("b", "denied", 0),
        ("mine/c", "granted", 2),
        ("d", "denied", 0),
        ("mine/e", "granted", 1),
    ]
    (end,) = ended
    assert end.batch is not None
    assert (end.batch.count, end.batch.failed, end.bytes, end.outcome) == (5, 2, 4, "OK")


async def test_what_ends_the_stream_answers_every_file_that_still_comes(store: MemoryStore) -> None:
    """A server that cannot go on answers each file with the error, and ends with its status after the client has ended."""
    options = ServerOptions(limits=LimitOptions(streams=1))
    async with serve(store, options, ingester=MemoryIngester(store)) as address, batch(address) as first:
        assert await send_files(first, new("a", b"1")) == ["OK"]
        async with batch(address) as second:
            assert await send_files(second, new("b", b"1"), new("c", b"1")) == ["OVERLOADED"] * 2
            assert await send_files(second, new("d", b"1")) == ["OVERLOADED"]
            assert await status_of(second) == "RESOURCE_EXHAUSTED"
    async with serve(store) as address, batch(address) as call:
        assert await send_files(call, new("a", b"1")) == ["UNSUPPORTED"]
        assert await status_of(call) == "UNIMPLEMENTED"


async def test_an_old_stream_answers_the_files_that_were_not_written(store: MemoryStore) -> None:
    """The files of a message that comes too late are refused with STREAM_AGE; those before were written."""
    options = ServerOptions(limits=LimitOptions(stream_age=0.0))
    async with serve(store, options, ingester=MemoryIngester(store)) as address, batch(address) as call:
        assert await send_files(call, new("a", b"1")) == ["OK"]
        assert await send_files(call, new("b", b"1"), new("c", b"1")) == ["STREAM_AGE"] * 2
        assert await status_of(call) == "UNAVAILABLE"
    assert sorted(store._files) == ["a"]


async def test_too_many_files_in_a_message_are_refused(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message with more files than a batch may have ends the stream; so does a silent client. No error is logged."""
    monkeypatch.setattr(writing, "DRAINING", 0.05)
    options = ServerOptions(service=ServiceOptions(largest_batch=2, upload_idle=0.1))
    async with serve(store, options, ingester=MemoryIngester(store)) as address:
        async with batch(address) as call:
            await call.write(writewire.encode_new_files([new(name, b"") for name in "abc"]))
            assert await status_of(call) == "INVALID_ARGUMENT"
        async with batch(address) as call:
            assert await send_files(call, new("a", b"1")) == ["OK"]
            assert (await call.code()).name == "UNAVAILABLE"
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
