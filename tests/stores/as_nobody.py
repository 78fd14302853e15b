"""A program that prints, as JSON, a store's answers to a process without read permission. Root becomes nobody first.

python as_nobody.py ROOT NAME... passes every NAME to `stat`, `open` and `list`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable
from contextlib import aclosing

from unspool.core.model import ListRequest, Span
from unspool.errors import UnspoolError
from unspool.stores import LocalStore

NOBODY = 65534


async def read(store: LocalStore, name: str) -> str:
    """Return the contents of a file."""
    async with aclosing(await store.open(name)) as file:
        return b"".join([run async for run in file.read(Span(0, file.info.size), lambda _: 100)]).decode()


async def names(store: LocalStore, prefix: str) -> list[str]:
    """Return the names of a recursive listing."""
    return sorted(
        [info.name async for page in store.list(ListRequest(prefix, recursive=True, page_size=9)) for info in page.files]
    )


async def outcome(asking: Awaitable[object]) -> object:
    """Return the answer, or the name of the error."""
    try:
        return await asking
    except UnspoolError as error:
        return type(error).__name__


async def main(root: str, *asked: str) -> None:
    """Pass each name to every method."""
    store = LocalStore(root)
    if os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    answers = {}
    for name in asked:
        size = await outcome(store.stat(name))
        answers[name] = [
            size if isinstance(size, str) else "found",
            await outcome(read(store, name)),
            await outcome(names(store, name)),
        ]
    await store.aclose()
    print(json.dumps(answers))  # noqa: T201 - a program


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
