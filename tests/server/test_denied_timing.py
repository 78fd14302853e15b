"""The time of a denial does not show whether the file exists: measured."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import grpc
import pytest

from unspool import LocalStore, Server
from unspool.core.access import Principal
from unspool.core.rules import parse_rules
from unspool.rpc import wire

RULES = parse_rules('[[rule]]\nprefix = "open"\nwho = "alice"\nmay = ["list", "read"]\n', "rules")

TIMES = 2000

METHODS = ["StatFile", "ReadFile", "ListFiles"]


@pytest.mark.deep
@pytest.mark.parametrize("method", METHODS)
async def test_time_does_not_tell(tmp_path: Path, method: str) -> None:
    """The medians of 2,000 denials of an existing file and of 2,000 of a missing one differ by less than their spread.

    The spread is the distance between the quartiles. The calls alternate, so that other load affects both alike.
    """
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "there").write_bytes(bytes(1 << 20))
    taken: dict[str, list[float]] = {"closed/there": [], "closed/gone!": []}
    store = LocalStore(tmp_path)
    async with (
        Server(store, authenticate=lambda _: Principal(("alice",)), authorize=RULES) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"/{wire.SERVICE}/{method}")
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{wire.SERVICE}/{method}")
        for number in range(2 * TIMES + 200):
            name = ("closed/there", "closed/gone!")[number % 2]
            began = time.perf_counter()
            call = stream(wire.encode_stat_request(name)) if method != "StatFile" else unary(wire.encode_stat_request(name))
            assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
            if number >= 200:
                taken[name].append(time.perf_counter() - began)
    await store.aclose()
    there, gone = taken.values()
    spread = max(_spread(there), _spread(gone))
    apart = abs(statistics.median(there) - statistics.median(gone))
    assert apart < spread, f"{apart * 1e6:.1f} us apart, with a spread of {spread * 1e6:.1f} us"


def _spread(times: list[float]) -> float:
    first, _, third = statistics.quantiles(times, n=4)
    return third - first
