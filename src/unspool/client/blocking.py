"""The door for scripts: returns when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from unspool.client.client import Client
from unspool.client.events import Observer
from unspool.client.results import Result
from unspool.client.writer import Writer
from unspool.core.address import parse_address
from unspool.loops import run
from unspool.options import Dialect, TransferOptions


def get(
    url: str,
    destination: str | PathLike[str] | Writer,
    *,
    options: TransferOptions | None = None,
    dialect: Dialect = "unspool",
    observers: Sequence[Observer] = (),
) -> Result:
    """Download a file, blocking until it is done: `unspool.get("host:50051/model.bin", "model.bin")`.

    For scripts; where an event loop is running, use `Client`. Arguments and errors as `Client.get`, with the server and the
    file's name in one URL, `HOST:PORT/NAME` or `unspool://HOST:PORT/NAME`.
    """
    address = parse_address(url)

    async def main() -> Result:
        async with Client(address.target, dialect=dialect, options=options) as client:
            return await client.get(address.name, destination, observers=observers)

    return run(main())
