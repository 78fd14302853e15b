"""One download is followed through its retries by the logs of both ends."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path
from random import Random

import pytest

from gate import Gate
from processes import eventually, outcome_of, running, serving, size_of, unspool
from unspool.client.events import AttemptBegan, Repairing, Restarting, Retrying, Started, TransferBegan, TransferEnded
from unspool.errors import FileChangedError, StalledError
from unspool.watch import clientlog
from unspool.watch.clientlog import ClientLog

MIB = 1 << 20


def test_one_download_is_followed_through_a_killed_server(tmp_path: Path) -> None:
    """Two servers after each other log the attempts that the client logs, under one id: none is missing on either side."""
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    (root / "big.bin").write_bytes(Random(5).randbytes(48 * MIB))
    with serving(root, tmp_path / "first", "--grace", "0") as first, Gate(first.address, 20 * MIB) as gate:
        arguments = "get", "--log-format", "json", "--json", "--jobs", "1", "--retry-budget", "30"
        with (
            (tmp_path / "client").open("wb") as log,
            running(*arguments, f"{gate.address}/big.bin", out, stderr=log) as client,
        ):
            eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
            first.process.send_signal(signal.SIGTERM)
            first.process.wait(30)
            with serving(root, tmp_path / "second", listen=first.address) as second:
                gate.open()
                result = json.loads(outcome_of(client).out)
                second.stop()
                served = [*first.reads(), *second.reads()]
    told = [json.loads(line) for line in (tmp_path / "client").read_text().splitlines()]
    (transfer,) = {line["transfer_id"] for line in told}
    assert {end["transfer_id"] for end in served} == {transfer}
    attempts = [line["attempt"] for line in told if line["event"] == "attempt"]
    assert attempts == list(range(1, result["attempts"] + 1))
    assert {end["attempt"] for end in served} <= set(attempts)
    assert len({end["attempt"] for end in served}) == len(served) >= 2, "each end has the same numbers, once"
    assert [end["outcome"] for end in served] == ["UNAVAILABLE"] * (len(served) - 1) + ["OK"]
    assert [told[0]["event"], told[-1]["event"], told[-1]["outcome"]] == ["began", "ended", "OK"]
    assert {line["reason"] for line in told if line["event"] == "retrying"} == {"UNAVAILABLE"}
    last = next(end for end in served if end["outcome"] == "OK")
    assert told[-1]["attempt"] == last["attempt"]
    assert out.read_bytes() == (root / "big.bin").read_bytes()


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_a_tree_is_logged_too(tmp_path: Path, log_format: str) -> None:
    """With -r each transfer has its lines, on standard error and in place of the progress; an error is still one line."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"a")
    with serving(root, tmp_path / "log") as server:
        done = unspool("get", "-r", "--log-format", log_format, server.address, tmp_path / "here")
        assert done.code == 0, done.err
        lines = done.err.splitlines()
        if log_format == "json":
            assert {line["call"] for line in map(json.loads, lines) if line["event"] == "began"} == {
                "stat",
                "get_tree",
                "batch",
            } - {"stat"}
        else:
            assert any("call='get_tree'" in line for line in lines)
        failed = unspool("get", "--log-format", log_format, f"{server.address}/nope", tmp_path / "x")
        assert failed.code == 3
        assert failed.err.splitlines()[-1].startswith("unspool: ")
        assert "FILE_NOT_FOUND" in failed.err.splitlines()[-2]


def test_every_event_has_its_transfer_and_attempt(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of each event says which attempt it is of, and trouble has a level of its own."""
    monkeypatch.setattr(clientlog, "_MOST", 1)
    log = ClientLog()
    error = StalledError("a: nothing for 30 s")
    with caplog.at_level(logging.INFO, "unspool.client"):
        for event in (
            TransferBegan("get", "a", "t"),
            AttemptBegan(1, "a:1", "t"),
            Started("a", 5, 0, "t"),
            Retrying(error, 1, 0.5, "t"),
            AttemptBegan(2, "a:1", "t"),
            Restarting(FileChangedError("changed"), 0.0, "t"),
            Repairing(3, "t"),
            TransferEnded("get", "a", "STALLED", "gave up", error, 2, 5, 1.5, "t"),
            TransferBegan("get", "b", "t"),
        ):
            log.notify(event)
        log.notify(AttemptBegan(1, "a:1", "u"))
        log.notify(AttemptBegan(1, "a:1", "v"))
        log.notify(Started("a", 5, 0, "u"))
    told = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [(one["event"], one["attempt"]) for one in told[:9]] == [
        ("began", 0),
        ("attempt", 1),
        ("started", 1),
        ("retrying", 1),
        ("attempt", 2),
        ("restarting", 2),
        ("repairing", 2),
        ("ended", 2),
        ("began", 0),
    ]
    assert [record.levelname for record in caplog.records[3:8:4]] == ["WARNING", "ERROR"]
    assert told[3]["reason"] == "STALLED"
    assert told[-1]["attempt"] == 0, "forgotten: there are too many"
