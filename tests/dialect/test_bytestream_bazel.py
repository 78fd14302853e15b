"""A real Bazel fetches and stores blobs by `google.bytestream.ByteStream`, through a proxy that cuts its connections.

Tried with Bazel 4.2.3 (Debian's bazel-bootstrap). Bazel also asks what a server can do, for the results of actions and for
missing blobs. Those calls are answered here by services beside unspool's on the same server. Where a blob is only fetched, the
action fails if it is run, so a build that succeeds took everything from the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import grpc
import pytest

from processes import ENVIRONMENT
from unspool import FileService, LocalStore, ServiceOptions
from unspool.core.model import FileInfo
from unspool.core.uploading import UploadIdentity, UploadOpen
from unspool.ingest.base import Known
from unspool.ingest.local import LocalIngester
from unspool.ingest.localupload import LocalUpload
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


# Storing


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a protobuf message that have a length."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = number()
        if tag & 7 == 2:
            length = number()
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            number()


UPLOADED = re.compile(r"uploads/[0-9a-f-]{36}/(blobs/[0-9a-f]{64}/[0-9]+)")


def place_of(name: str) -> str:
    """Return where the blob of a resource is: Bazel uploads `uploads/UUID/blobs/HASH/SIZE`, and fetches `blobs/HASH/SIZE`."""
    match = UPLOADED.fullmatch(name)
    return name if match is None else match[1]


class Blobs(LocalStore):
    """A store that knows Bazel's names."""

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        return await super().stat(place_of(name))


class Uploads(LocalIngester):
    """An ingester that knows Bazel's names."""

    async def open(self, opens: UploadOpen, owner: str) -> LocalUpload | FileInfo:
        """See `Ingester.open`."""
        return await super().open(replace(opens, name=place_of(opens.name)), owner)

    async def stat(self, identity: UploadIdentity) -> Known:
        """See `Ingester.stat`."""
        return await super().stat(replace(identity, name=place_of(identity.name)))

    async def abandon(self, identity: UploadIdentity) -> None:
        """See `Ingester.abandon`."""
        await super().abandon(replace(identity, name=place_of(identity.name)))


@asynccontextmanager
async def writable_cache(root: Path, ended: Recorder[CallEnd]) -> AsyncGenerator[str, None]:
    """Serve a directory to Bazel, which stores the results of actions and their outputs. Yields the address."""
    results: dict[bytes, bytes] = {}

    async def capabilities(_: bytes, __: object) -> bytes:
        return field(1, field(1, varint(1)) + field(2, field(1, 1))) + field(4, VERSION) + field(5, VERSION)

    async def get_result(request: bytes, context: Any) -> bytes:
        key = dict(fields(request))[2]
        if key not in results:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such result")
        return results[key]

    async def update_result(request: bytes, _: object) -> bytes:
        parts = dict(fields(request))
        results[parts[2]] = parts[3]
        return parts[3]

    async def find_missing(request: bytes, _: object) -> bytes:
        hashes = [(digest, dict(fields(digest))[1].decode()) for number, digest in fields(request) if number == 2]
        return b"".join(field(2, digest) for digest, name in hashes if not list((root / "blobs" / name).glob("*")))

    interface = "build.bazel.remote.execution.v2"
    server = grpc.aio.server()
    for service, methods in (
        ("Capabilities", {"GetCapabilities": capabilities}),
        ("ActionCache", {"GetActionResult": get_result, "UpdateActionResult": update_result}),
        ("ContentAddressableStorage", {"FindMissingBlobs": find_missing}),
    ):
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(f"{interface}.{service}", handlers)])
    store, uploads = Blobs(root), Uploads(root)
    FileService(store, ServiceOptions(dialects=("bytestream",)), observers=[ended], ingester=uploads).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        await uploads.aclose()
        await store.aclose()


async def test_bazel_stores_what_it_built_through_a_proxy_that_cuts(tmp_path: Path) -> None:
    """Bazel asks where to go on and does, and another build takes the result from the store."""
    workspace, root = tmp_path / "workspace", tmp_path / "store"
    workspace.mkdir()
    root.mkdir()
    (workspace / "WORKSPACE").touch()
    (workspace / "BUILD").write_text('genrule(name = "x", outs = ["x.bin"], cmd = "seq 1 6000000 >$@")\n')
    ended = Recorder[CallEnd]()
    async with writable_cache(root, ended) as address, Proxy(address) as proxy:

        async def cut() -> None:
            """Cut the connections whenever 10 MB more have been received."""
            for number in range(1, 4):
                while sum(path.stat().st_size for path in (root / ".unspool-uploads").rglob("*-part")) < number * 10_000_000:
                    await asyncio.sleep(0.002)
                proxy.cut()

        options = ("--remote_retries=20", "--spawn_strategy=local", "--color=no", "--curses=no", "//:x")
        cutting = asyncio.create_task(cut())
        code, said = await bazel(tmp_path, "build", f"--remote_cache=grpc://{proxy.address}", *options)
        cutting.cancel()
        assert code == 0, said
        calls = list(ended)
        code, _ = await bazel(tmp_path, "clean")
        assert code == 0
        code, said = await bazel(tmp_path, "build", f"--remote_cache=grpc://{address}", *options)
    assert code == 0, said
    assert "1 remote cache hit" in said
    blobs = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in blobs) > 40_000_000
    for path in blobs:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name
    large = [call for call in calls if call.method == "Write" and call.name.endswith(str(max(p.stat().st_size for p in blobs)))]
    assert len(large) >= 3
    assert sum(call.start > 0 for call in large) >= 2
    assert "QueryWriteStatus" in {call.method for call in calls}
