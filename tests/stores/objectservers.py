"""Object stores for the tests: real servers, each started once, and obstore's own store in memory.

A server is found on PATH or below `build/objects`, where `make objects` installs it. Without it, its tests are skipped.
"""

from __future__ import annotations

import base64
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from obstore.exceptions import BaseError
from obstore.store import AzureStore, ObjectStore, S3Store

if TYPE_CHECKING:
    from obstore.store import RetryConfig

_INSTALLED = Path(__file__).resolve().parents[2] / "build" / "objects"
_WHERE = [str(_INSTALLED / "bin"), str(_INSTALLED / "node_modules" / ".bin"), os.environ.get("PATH", "")]

_READY = 30.0
"""Seconds in which a server must answer."""

BUCKET = "unspool"
KEY, SECRET = "unspool-test", "unspool-test-secret"

AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that Azurite has, and its key, as Azure's documentation gives them: they protect nothing."""


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name, path=os.pathsep.join(_WHERE))
    if found is None:
        pytest.skip(f"there is no {name}: `make objects` installs it")
    return found


def free_ports(count: int) -> list[int]:
    """Return free ports of the loopback interface."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def running(
    command: list[str], directory: Path, is_ready: Callable[[], bool], env: dict[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the `with` ends. It gets a signal to end, and is killed if it does not."""
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + _READY
        while not is_ready():
            assert process.poll() is None, (directory / "log").read_text(errors="replace")[-2000:]
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def s3_store(port: int, bucket: str = BUCKET, prefix: str | None = None, retry_config: RetryConfig | None = None) -> S3Store:
    """Return obstore's store for a server on this machine."""
    return S3Store(
        bucket,
        prefix=prefix,
        config={
            "endpoint": f"http://127.0.0.1:{port}",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "region": "us-east-1",
        },
        client_options={"allow_http": True},
        retry_config=retry_config,
    )


def s3_environment(port: int) -> dict[str, str]:
    """Return the environment that names a server on this machine, as programs have it."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


def azure_environment(port: int) -> dict[str, str]:
    """Return the environment that names an Azurite on this machine, as programs have it."""
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
        "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}",
    }


def azure_store(port: int, prefix: str | None = None) -> AzureStore:
    """Return obstore's store for an Azurite on this machine."""
    return AzureStore(
        BUCKET,
        prefix=prefix,
        config={
            "account_name": AZURE_ACCOUNT,
            "account_key": AZURE_KEY,
            "endpoint": f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}",
        },
        client_options={"allow_http": True},
    )


def answers(store: ObjectStore) -> bool:
    """Return whether an object can be put."""
    try:
        store.put("ready", b"yes")
        store.delete("ready")
    except (BaseError, OSError):
        return False
    return True


@contextmanager
def seaweedfs(directory: Path) -> Iterator[int]:
    """Run SeaweedFS with one bucket; yields the port of its S3 service."""
    weed = program("weed")
    master, volume, filer, s3, webdav, admin, *grpc = free_ports(11)
    command = [
        weed,
        "mini",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-s3.port={s3}",
        f"-webdav.port={webdav}",
        f"-admin.port={admin}",
        f"-master.port.grpc={grpc[0]}",
        f"-volume.port.grpc={grpc[1]}",
        f"-filer.port.grpc={grpc[2]}",
        f"-s3.port.grpc={grpc[3]}",
        f"-admin.port.grpc={grpc[4]}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        f"-bucket={BUCKET}",
    ]
    env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with running(command, directory, lambda: answers(s3_store(s3)), env):
        yield s3


@contextmanager
def versitygw(directory: Path) -> Iterator[int]:
    """Run versitygw over a directory, with one bucket; yields its port."""
    gateway = program("versitygw")
    (port,) = free_ports(1)
    root = directory / "root"
    (root / BUCKET).mkdir(parents=True)
    command = [gateway, "-a", KEY, "-s", SECRET, "-p", f"127.0.0.1:{port}", "-q", "--keep-alive", "posix", str(root)]
    with running(command, directory, lambda: answers(s3_store(port))):
        yield port


@contextmanager
def azurite(directory: Path) -> Iterator[int]:
    """Run Azurite, the emulator of Azure's blob storage, with one container; yields its port."""
    server = program("azurite-blob")
    (port,) = free_ports(1)
    command = [
        server,
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "-l",
        str(directory),
        "--silent",
        "--skipApiVersionCheck",
    ]

    def is_ready() -> bool:
        try:
            _create_container(port)
        except OSError:
            return False
        return True

    with running(command, directory, is_ready):
        yield port


def _create_container(port: int) -> None:
    """Create the container, which obstore cannot. The request is signed with the account's key (Azure's "Shared Key")."""
    date = formatdate(usegmt=True)
    version = "2023-11-03"
    path = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}"
    signed = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n{path}\nrestype:container"
    digest = hmac.digest(base64.b64decode(AZURE_KEY), signed.encode(), "sha256")
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}",
        "Content-Length": "0",
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}/{BUCKET}?restype=container", method="PUT", headers=headers
    )
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it exists already
            raise
