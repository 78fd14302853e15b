"""A real Bazel fetches a blob from a store by `google.bytestream.ByteStream`, through a proxy that cuts its connections.

Tried with Bazel 4.2.3 (Debian's bazel-bootstrap). Bazel also asks what a server can do, for the results of actions and for
missing blobs. Those calls are answered here by services beside unspool's on the same server. The action fails if it is run, so
a build that succeeds took everything from the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TypeAlias

import grpc
import pytest

from processes import ENVIRONMENT
from unspool import FileService, LocalStore, ServiceOptions
from unspool.rpc.wire import varint
from unspool.server.report import CallEnd
from unspool.testing import Recorder
from unspool.testing.proxy import Proxy

BAZEL = shutil.which("bazel")

pytestmark = [
    pytest.mark.deep,  # 30 s; and the package, with a JDK, took 73 s to install
    pytest.mark.skipif(BAZEL is None, reason="there is no Bazel here: apt-get install bazel-bootstrap"),
]

BLOB = Random(49).randbytes(24 << 20)

DIGEST = hashlib.sha256(BLOB).hexdigest()

Method: TypeAlias = Callable[[bytes, object], Awaitable[bytes]]


def field(number: int, value: bytes | int) -> bytes:
    """Return a field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


VERSION = field(1, 2)
CAPABILITIES = field(1, field(1, varint(1))) + field(4, VERSION) + field(5, VERSION)
"""ServerCapabilities: a cache by SHA-256, of version 2 of the interface."""


def result(path: str) -> bytes:
    """Return the ActionResult of an action that wrote the blob to a path."""
    digest = field(1, DIGEST.encode()) + field(2, len(BLOB))
    return field(2, field(1, path.encode()) + field(2, digest))


async def bazel(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run Bazel in a workspace below a directory; return its exit code and what it said."""
    assert BAZEL is not None
    startup = ["--batch", "--nohome_rc", "--noworkspace_rc", f"--output_user_root={directory / 'root'}"]
    process = await asyncio.create_subprocess_exec(
        BAZEL,
        *startup,
        *arguments,
        cwd=directory / "workspace",
        env={**ENVIRONMENT, "HOME": str(directory)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@asynccontextmanager
async def cache(root: Path, path: str, ended: Recorder[CallEnd]) -> AsyncGenerator[str, None]:
    """Serve a directory to Bazel, which is told that every action wrote the blob to this path. Yields the address."""

    def answering(message: bytes) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def answer(_: bytes, __: object) -> bytes:
            return message

        return grpc.unary_unary_rpc_method_handler(answer)

    interface = "build.bazel.remote.execution.v2"
    server = grpc.aio.server()
    for service, method, message in (
        ("Capabilities", "GetCapabilities", CAPABILITIES),
        ("ActionCache", "GetActionResult", result(path)),
        ("ContentAddressableStorage", "FindMissingBlobs", b""),
    ):
        handlers = {method: answering(message)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(f"{interface}.{service}", handlers)])
    store = LocalStore(root)
    FileService(store, ServiceOptions(dialects=("bytestream",)), observers=[ended]).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        await store.aclose()


@pytest.mark.parametrize("last", [BLOB[-1], BLOB[-1] ^ 1], ids=["good", "damaged"])
async def test_bazel_builds_from_a_store_through_a_proxy_that_cuts(tmp_path: Path, last: int) -> None:
    """Bazel resumes at the byte it has, four times or more, and gets the blob. It does not accept one with a wrong byte."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "WORKSPACE").touch()
    (workspace / "BUILD").write_text('genrule(name = "x", outs = ["x.bin"], cmd = "echo it was run; exit 7")\n')
    blob = tmp_path / "store" / "blobs" / DIGEST / str(len(BLOB))
    blob.parent.mkdir(parents=True)
    blob.write_bytes(BLOB[:-1] + bytes([last]))
    code, said = await bazel(tmp_path, "info", "bazel-bin", "execution_root")
    assert code == 0, said
    places = dict(line.split(": ", 1) for line in said.splitlines() if line.startswith(("bazel-bin: ", "execution_root: ")))
    built = Path(places["bazel-bin"]) / "x.bin"
    ended = Recorder[CallEnd]()
    async with (
        cache(tmp_path / "store", os.path.relpath(built, places["execution_root"]), ended) as address,
        Proxy(address) as proxy,
    ):
        proxy.cut_after = 5_000_000
        options = (
            f"--remote_cache=grpc://{proxy.address}",
            "--noremote_upload_local_results",
            "--remote_retries=20",
            "--spawn_strategy=local",
        )
        code, said = await bazel(tmp_path, "build", *options, "--color=no", "--curses=no", "//:x")
    reads = [(end.name, end.start) for end in ended]
    assert {name for name, _ in reads} == {f"blobs/{DIGEST}/{len(BLOB)}"}
    starts = [start for _, start in reads]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert len(set(starts)) >= 5
    assert proxy.stats.cut >= 4
    if last != BLOB[-1]:
        assert code != 0
        assert "download failed: Expected digest" in said
        assert "it was run" in said
    else:
        assert code == 0, said
        assert "1 remote cache hit" in said
        assert built.read_bytes() == BLOB
