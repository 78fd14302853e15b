"""The scripted server: every fault at every boundary, over real sockets, with the real client; each fault is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from unspool import Client, MemoryStore, RetryPolicy, TransferOptions
from unspool.errors import FileMismatchError, ProtocolError, UnspoolError
from unspool.testing.conformance import check
from unspool.testing.faultscript import Fault
from unspool.testing.faultserver import SCRIPT_KEY, FaultServer

BLOCK = 64 * 1024
DATA = Random(0).randbytes(4 * BLOCK + 1234)
OPTIONS = TransferOptions(idle_timeout=0.25, retry=RetryPolicy(first_wait=0.001))
PATIENT = replace(OPTIONS, idle_timeout=10.0)
"""For faults other than stalls: on a busy machine a slow block could otherwise cause a request for smaller ones."""

BOUNDARIES = ("start", "0", "1", str(BLOCK - 1), str(BLOCK), "-1", "end", "status")
BREAKING = (
    "cut",
    "close",
    "reset:CANCEL",
    "reset:INTERNAL_ERROR",
    "reset:REFUSED_STREAM",
    "reset:NO_ERROR",
    "goaway",
    "tear",
    "end",
    "status:UNAVAILABLE",
    "status:INTERNAL",
    "status:UNKNOWN",
    "status:CANCELLED",
    "status:DEADLINE_EXCEEDED",
    "status:RESOURCE_EXHAUSTED,retry=0.001",
    "stall",
)
WRONG = ("flip", "flipsum", "offset", "duplicate", "swap")


async def _get(destination: Path, *faults: str) -> list[str]:
    """Get the file from a server with these faults, one for each attempt; return those that fired."""
    async with FaultServer(MemoryStore({"f": DATA}), block_size=BLOCK) as server:
        server.default = server.script(*faults)
        async with Client(server.address, options=OPTIONS) as client:
            await client.get("f", destination)
        return server.fired(server.default)


@pytest.mark.parametrize("kind", BREAKING)
async def test_a_stream_that_breaks_anywhere_is_gone_on_with(kind: str, tmp_path: Path) -> None:
    """However and wherever a stream breaks, the file arrives completely, and no received byte is fetched again."""
    for where in BOUNDARIES:
        fault = f"{kind}@{where}"
        out = tmp_path / where
        async with FaultServer(MemoryStore({"f": DATA}), block_size=BLOCK) as server:
            server.default = server.script(fault)
            async with Client(server.address, options=OPTIONS if kind == "stall" else PATIENT) as client:
                result = await client.get("f", out)
            assert server.fired(server.default) == [fault]
        assert out.read_bytes() == DATA
        assert result.verified == "file"
        assert result.bytes_received == len(DATA), fault
        # After the summary nothing is missing; a connection that is cut then may have lost the summary.
        assert result.attempts == 2 or (where == "status" and result.attempts == 1), fault


@pytest.mark.parametrize("kind", WRONG)
async def test_a_block_that_is_wrong_is_never_used(kind: str, tmp_path: Path) -> None:
    """A block with wrong bytes or at a wrong offset is refused and fetched again, wherever it is."""
    for where in ("0", "1", str(BLOCK - 1), str(BLOCK), "-1"):
        fault = f"{kind}@{where}"
        out = tmp_path / where
        fired = await _get(out, fault)
        assert fired == [fault]
        assert out.read_bytes() == DATA


@pytest.mark.parametrize("kind", ["short", "long"])
async def test_a_server_that_lies_consistently_is_found_out_by_the_whole(kind: str, tmp_path: Path) -> None:
    """A block of a wrong length, with a matching checksum, never reaches the final name."""
    for where in ("0", "1", str(BLOCK - 1), str(BLOCK), "-1"):
        out = tmp_path / where
        try:
            await _get(out, f"{kind}@{where}")
        except (FileMismatchError, ProtocolError):
            assert not out.exists()
        else:
            assert out.read_bytes() == DATA


async def test_messages_that_are_none_are_named(tmp_path: Path) -> None:
    """A server that sends malformed messages is reported as a protocol error."""
    with pytest.raises(ProtocolError, match="not a ReadFileResponse"):
        await _get(tmp_path / "out", "garbage@0")


async def test_a_proxy_that_answers_itself_is_gone_round(tmp_path: Path) -> None:
    """A 502 from a proxy is a failed attempt like any other, once the server has answered."""
    fired = await _get(tmp_path / "out", "end@1", "http:502@start")
    assert fired == ["end@1", "http:502@start"]
    assert (tmp_path / "out").read_bytes() == DATA


async def test_a_start_that_is_ignored_is_named(tmp_path: Path) -> None:
    """A server that answers a resumed read from zero gets its own error, and received bytes are kept."""
    async with FaultServer(MemoryStore({"f": DATA}), block_size=BLOCK) as server:
        server.default = server.script(f"end@{BLOCK}", "ignore@start")
        async with Client(server.address, options=OPTIONS) as client:
            with pytest.raises(UnspoolError, match="offers them from 0"):
                await client.get("f", tmp_path / "out")
            assert server.fired(server.default) == [f"end@{BLOCK}", "ignore@start"]
            result = await client.get("f", tmp_path / "out")
    assert result.resumed_from == BLOCK
    assert (tmp_path / "out").read_bytes() == DATA


async def test_a_script_is_selected_by_metadata_and_counts_for_itself(tmp_path: Path) -> None:
    """Two clients with two scripts get their own faults, and each script reports only its own."""
    async with FaultServer(MemoryStore({"f": DATA}), block_size=BLOCK) as server:
        first, second = server.script("cut@0", "", "end@1"), server.script("end@1")
        async with Client(server.address, options=OPTIONS, metadata=[(SCRIPT_KEY, first)]) as client:
            result = await client.get("f", tmp_path / "a")
            assert result.attempts == 2
            assert server.fired(first) == ["cut@0"]
            assert server.fired(second) == []
            assert (await client.get("f", tmp_path / "b")).attempts == 2
        assert server.fired(first) == ["cut@0", "end@1"]
        async with Client(server.address, options=OPTIONS) as client:
            assert (await client.get("f", tmp_path / "c")).attempts == 1


@pytest.mark.parametrize("text", ["", "cut", "cut@", "boom@0", "cut@middle", "flip@end", "http:502@1", "cut@0 "])
def test_a_fault_that_is_misspelt_is_refused(text: str) -> None:
    """A script with an unknown fault is an error."""
    with pytest.raises(ValueError, match=r"not a fault|happens"):
        Fault.parse(text)


async def test_without_a_script_it_keeps_to_the_protocol() -> None:
    """The scripted server without a script passes the conformance check, so its faults are its only faults."""
    async with FaultServer(MemoryStore({"d/f": DATA, "g": b"xyz"}), block_size=BLOCK) as server:
        findings = [finding async for finding in check(server.address)]
    assert [finding for finding in findings if finding.outcome != "pass"] == []
