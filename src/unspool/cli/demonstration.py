"""The demonstration of `unspool demo`, with real processes: serve, get, kill, get again, compare."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from unspool.cli.units import say_bytes

_CHUNK = 1 << 20


def show(size: int) -> None:
    """Run the demonstration in a temporary directory, with a file of `size` MiB, and print each step."""
    with tempfile.TemporaryDirectory(prefix="unspool-demo-") as directory:
        _show(Path(directory), size)


def _show(directory: Path, size: int) -> None:
    root, here = directory / "served", directory / "here"
    here.mkdir()
    # A real tree: this package as it is installed, and one big file of random bytes.
    shutil.copytree(Path(__file__).parent.parent, root / "unspool", ignore=shutil.ignore_patterns("__pycache__"))
    with (root / "big.bin").open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(_CHUNK))
    click.echo(f"1. A directory to serve: the unspool package and big.bin, {size} MiB of random bytes.")

    unspool = [sys.executable, "-m", "unspool"]
    with subprocess.Popen(
        [*unspool, "serve", str(root), "--listen", "127.0.0.1:0", "--quiet"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            click.echo(f"2. unspool serve {root.name} --listen 127.0.0.1:0       -> ready on {address}")
            _get_and_kill(unspool, address, here, size * _CHUNK)
            _get_again(unspool, address, here)
            _compare(unspool, address, root, here)
        finally:
            server.terminate()
            server.wait()


def _get_and_kill(unspool: list[str], address: str, here: Path, size: int) -> None:
    part = here / "big.bin.unspool-part"
    with subprocess.Popen([*unspool, "get", "--quiet", f"{address}/big.bin", str(here)]) as client:
        while client.poll() is None and not (part.exists() and part.stat().st_size > size // 2):
            time.sleep(0.001)
        client.send_signal(signal.SIGKILL)
        client.wait()
    if (here / "big.bin").exists():
        raise click.ClickException("the client was done before it could be killed: try a larger --size")
    click.echo(f"3. unspool get {address}/big.bin      -> killed with SIGKILL at {say_bytes(part.stat().st_size)}")
    click.echo(f"   at the final name: nothing; beside it: {', '.join(sorted(path.name for path in here.iterdir()))}")


def _get_again(unspool: list[str], address: str, here: Path) -> None:
    done = subprocess.run(
        [*unspool, "get", "--json", f"{address}/big.bin", str(here)], check=True, stdout=subprocess.PIPE, text=True
    )
    result = json.loads(done.stdout)
    click.echo(
        f"4. the same command again                    -> resumed from {say_bytes(result['resumed_from'])}, fetched "
        f"{say_bytes(result['bytes_received'])} in {result['seconds']:.2f} s, verified: {result['verified']}"
    )
    if not result["resumed_from"] or result["verified"] != "file":
        raise click.ClickException("it did not resume and verify: this is a bug")


def _compare(unspool: list[str], address: str, root: Path, here: Path) -> None:
    subprocess.run([*unspool, "verify", "--quiet", f"{address}/big.bin", str(here / "big.bin")], check=True)
    with (root / "big.bin").open("rb") as theirs, (here / "big.bin").open("rb") as ours:
        while (piece := theirs.read(_CHUNK)) == ours.read(_CHUNK):
            if not piece:
                break
        else:
            raise click.ClickException("the bytes differ: this is a bug")
    click.echo("5. unspool verify, and a comparison byte by byte -> the server's bytes, whole.")
    click.echo(
        f"   left beside it: {', '.join(sorted(path.name for path in here.iterdir() if path.name != 'big.bin')) or 'nothing'}"
    )
