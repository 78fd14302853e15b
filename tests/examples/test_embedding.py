"""The examples of embedding: files beside somebody's own service, on a `grpc.aio` server and beside a `grpc.server`."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from authority import Authority
from processes import ENVIRONMENT
from unspool import Client, RetryPolicy, TransferOptions
from unspool.errors import InvalidRequestError, UnauthenticatedError
from unspool.stores import MemoryStore

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "embedding"

ONCE = TransferOptions(retry=RetryPolicy(budget=1))

MIB = 1 << 20


@contextmanager
def example(name: str, *arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run an example while inside; yields it and the line that it prints when it is ready."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


async def greeted(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> str:
    """Call the service that is not ours."""
    call: grpc.aio.UnaryUnaryMultiCallable[StringValue, StringValue] = channel.unary_unary(
        "/example.Greeter/Hello", StringValue.SerializeToString, StringValue.FromString
    )
    return (await call(StringValue(value="you"), metadata=metadata)).value


async def test_files_are_served_behind_what_the_server_has(tmp_path: Path) -> None:
    """Files have the server's certificate and its interceptor; a drain lets a running download finish."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("localhost")
    data = bytes(range(256)) * (MIB // 16)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.bin").write_bytes(data)
    with example("beside_yours.py", tmp_path / "files", "localhost:0", pair.cert, pair.key, "secret") as (process, ready):
        address = f"localhost:{ready.split()[-1]}"
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
        async with grpc.aio.secure_channel(address, credentials) as channel:
            assert await greeted(channel, ("authorization", "Bearer secret")) == "hello, you"
            with pytest.raises(grpc.aio.AioRpcError, match="show the token"):
                await greeted(channel)
        async with Client(address, tls=True, ca=authority.file, options=ONCE) as stranger:
            for refused in (stranger.stat("a.bin"), stranger.read("a.bin")):
                with pytest.raises(UnauthenticatedError, match="show the token"):
                    await refused
        async with Client(address, tls=True, ca=authority.file, token="secret", options=ONCE) as client:
            async with client.open("a.bin") as reading:
                process.send_signal(signal.SIGTERM)
                assert await reading.read() == data
            assert await asyncio.to_thread(process.wait, 30) == 0


async def test_files_are_served_beside_a_server_of_threads(tmp_path: Path) -> None:
    """One process answers calls in threads, and serves files on another port; SIGTERM ends both."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    with example("beside_threads.py", tmp_path) as (process, ready):
        found = re.fullmatch(r"yours on (\S+), files on (\S+)\n", ready)
        assert found
        async with grpc.aio.insecure_channel(found[1]) as channel, Client(found[2]) as client:
            assert await greeted(channel) == "hello, you"
            assert await client.read("a.bin") == b"abc"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0


def test_a_server_in_a_thread_raises_where_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server of the example cannot start, the error is raised in the thread that wants it."""
    monkeypatch.syspath_prepend(EXAMPLES)
    from beside_threads import files_served  # type: ignore[import-not-found]  # noqa: PLC0415

    with pytest.raises(InvalidRequestError, match="nohost"), files_served(MemoryStore(), "nohost.invalid:1"):
        pass
