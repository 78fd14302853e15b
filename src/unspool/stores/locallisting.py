"""What the listing of a directory is made of: its levels, their entries, and pages."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from unspool.core.model import FileInfo, Omission, Page
from unspool.core.names import MAX_NAME_BYTES
from unspool.core.omissions import NAMED, Omissions, Reason
from unspool.stores.oserrors import GONE

Entries: TypeAlias = Generator[FileInfo | str | Omission, None, None]
"""The entries of a listing: files, prefixes and omissions."""


@dataclass(slots=True)
class Level:
    """A directory that is being listed: its descriptor, its remaining entries, and whether nothing in it was listed so far."""

    descriptor: int
    entries: Generator[os.DirEntry[str], None, None]
    prefix: str
    is_empty: bool = True


def page_of(entries: Entries, size: int) -> Page:
    """Return the next page of a listing. An empty page is the end."""
    files: list[FileInfo] = []
    prefixes: list[str] = []
    omissions = Omissions(NAMED)
    for entry in entries:
        if isinstance(entry, FileInfo):
            files.append(entry)
        elif isinstance(entry, str):
            prefixes.append(entry)
        else:
            omissions.add(entry)
        if len(files) + len(prefixes) == size:
            break
    return Page(tuple(files), tuple(prefixes), omissions.as_tuple())


def omission(reason: Reason, name: str) -> Omission:
    """Return the omission of a name, as people can read it."""
    return Omission(reason, os.fsencode(name).decode(errors="backslashreplace")[:MAX_NAME_BYTES])


def children(directory: int) -> Generator[os.DirEntry[str], None, None]:
    """Yield the entries of a directory, then close it. If it is removed meanwhile, the entries end."""
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except OSError as error:
        if error.errno not in GONE:
            raise
    finally:
        os.close(directory)
