"""Listings of an object store.

Rule 1: a listing is passed on page by page. Only a listing of one level is collected first: obstore has no stream for it.
Rule 2: keys that cannot be names are omitted and reported. A key such as `a//b` makes obstore give up the page that has it (of
        1000 keys): then the directories before the key are listed one by one, and the listing goes on after it. Lost are the
        files before the key in its own directory, as far as they are in that page; the directory is reported.
Rule 3: an object whose key ends in `/` marks a directory, and obstore drops the slash. Empty objects are looked up before they
        are listed, so that no marker is listed as a file.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from unspool.core.extras import extra
from unspool.core.model import FileInfo, Omission, Page
from unspool.core.names import MAX_NAME_BYTES, check_name, is_hidden
from unspool.core.omissions import NAMED, Omissions, Reason
from unspool.core.reserved import is_reserved
from unspool.errors import DataLossError, InvalidNameError, NotFoundError
from unspool.stores.objecterrors import mapped
from unspool.stores.oddkeys import past

with extra("objects"):
    from obstore.exceptions import BaseError, InvalidPathError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore as Objects

_CHUNK = 1000
"""Keys that are taken from obstore at once: a page of S3, GCS and Azure."""

_LOOK_UPS = 32
"""Objects of a listing that are looked up at the same time."""

_LAST = "\U0010ffff"
"""Sorts after every character of a key."""

_KEY = re.compile(r'[Pp]ath "(.*?)"')
"""The key in the text of an InvalidPathError."""

_Found: TypeAlias = "ObjectMeta | Omission"

_Entry: TypeAlias = FileInfo | str | Omission
"""A file, a prefix or an omission."""


class Listing:
    """Lists an object store.

    Args:
        objects: the store.
        info_of: describes an object from its entry in a listing; None if the entry does not say enough.
        look_up: describes an object by asking for it. Raises NotFoundError if there is none.
        hidden: whether to list dotfiles.
        metadata: whether each object is looked up.
    """

    def __init__(
        self,
        objects: Objects,
        info_of: Callable[[ObjectMeta], FileInfo | None],
        look_up: Callable[[str], Awaitable[FileInfo]],
        *,
        hidden: bool,
        metadata: bool = False,
    ) -> None:
        self._objects = objects
        self._info_of = info_of
        self._look_up = look_up
        self._hidden = hidden
        self._metadata = metadata

    async def pages(self, directory: str, page_size: int, *, recursive: bool) -> AsyncGenerator[Page, None]:
        """Yield what is below a directory ("" is the whole store), in pages of at most `page_size` entries."""
        waiting: list[FileInfo | str] = []
        omissions = Omissions(NAMED)
        async for entries in self._tree(directory) if recursive else self._level(directory):
            for entry in entries:
                if isinstance(entry, Omission):
                    omissions.add(entry)
                else:
                    waiting.append(entry)
            while len(waiting) >= page_size:
                yield _page(waiting[:page_size], omissions)
                del waiting[:page_size]
                omissions = Omissions(NAMED)
        if waiting or omissions:
            yield _page(waiting, omissions)

    async def _level(self, directory: str) -> AsyncGenerator[list[_Entry], None]:
        """Yield the entries of one level."""
        try:
            with mapped(directory, InvalidPathError):
                result = await self._objects.list_with_delimiter_async(directory or None)
        except InvalidPathError:
            async for entries in self._level_of_tree(directory):
                yield entries
            return
        prefixes = map(self._checked_prefix, (_with_slash(prefix) for prefix in result["common_prefixes"]))
        yield [entry for entry in prefixes if entry is not None]
        files = await self._described(result["objects"], directory)
        yield [entry for entry in files if not isinstance(entry, str)]  # markers are among the prefixes

    async def _level_of_tree(self, directory: str) -> AsyncGenerator[list[_Entry], None]:
        """Do the same by listing all that is below, which gets past keys that obstore cannot take."""
        below = _with_slash(directory) if directory else ""
        last = ""
        async for found in self._all_below(directory):
            here: list[_Found] = []
            prefixes: list[_Entry] = []
            for meta in found:
                name = "" if isinstance(meta, Omission) else meta["path"].removeprefix(below)
                first, slash, _ = name.partition("/")
                if not slash:
                    here.append(meta)
                elif (prefix := f"{below}{first}/") != last:
                    last = prefix
                    if (checked := self._checked_prefix(prefix)) is not None:
                        prefixes.append(checked)
            yield prefixes
            yield [entry for entry in await self._described(here, directory) if not isinstance(entry, str)]

    async def _tree(self, directory: str) -> AsyncGenerator[list[_Entry], None]:
        """Yield all files below, and the marked directories that have none."""
        marker = ""
        async for found in self._all_below(directory):
            entries: list[_Entry] = []
            for entry in await self._described(found, directory):
                if marker and not _name_of(entry).startswith(marker):
                    entries.append(marker)
                marker = entry if isinstance(entry, str) else ""
                if not isinstance(entry, str):
                    entries.append(entry)
            yield entries
        if marker:
            yield [marker]

    async def _all_below(self, directory: str, after: str = "", before: str = _LAST) -> AsyncGenerator[Iterable[_Found], None]:
        """Yield the objects below a directory whose keys sort between `after` and `before`."""
        chunk_size = _CHUNK
        while after < before:
            stream = self._objects.list(directory or None, offset=after or None, chunk_size=chunk_size)
            try:
                while True:
                    with mapped(directory, InvalidPathError):
                        chunk = await anext(stream, None)
                    if chunk is None:
                        return
                    yield [meta for meta in chunk if meta["path"] < before]
                    after = chunk[-1]["path"]
                    if after >= before:
                        return
            except InvalidPathError as error:
                if chunk_size > 1:  # what obstore had collected of the pages before is lost, too: take each key as it comes
                    chunk_size = 1
                    continue
                chunk_size = _CHUNK
                key = self._key_in(error)
                if key <= after:  # nothing says where to go on
                    yield _lost(directory, key)
                    return
                yield [Omission("NAME", _short(key))]
                async for found in self._walk(directory, after, min(key, before)):
                    yield found
                after = past(key)
                if after < before:
                    yield await self._if_there(after)  # the next listing begins after it

    async def _if_there(self, name: str) -> list[_Found]:
        try:
            return [await self._objects.head_async(name)]
        except FileNotFoundError:
            return []

    async def _walk(self, directory: str, after: str, before: str) -> AsyncGenerator[Iterable[_Found], None]:
        """Do the same directory by directory, because obstore gives up the page that has the key `before`."""
        try:
            with mapped(directory, InvalidPathError):
                result = await self._objects.list_with_delimiter_async(directory or None)
        except InvalidPathError:
            yield [Omission("REFUSED", _short(_with_slash(directory)))]
            return
        yield [meta for meta in result["objects"] if after < meta["path"] < before]
        for prefix in result["common_prefixes"]:
            below = _with_slash(prefix)
            if below < before and below + _LAST > after:
                async for found in self._all_below(below[:-1], after if after.startswith(below) else "", before):
                    yield found

    def _key_in(self, error: BaseError) -> str:
        """Return the key that an InvalidPathError is about; "" if it does not say."""
        found = _KEY.search(str(error))
        prefix = getattr(self._objects, "prefix", None)  # stores in memory have none
        below = _with_slash(str(prefix)) if prefix else ""
        return found[1].removeprefix(below) if found and found[1].startswith(below) else ""

    async def _described(self, found: Iterable[_Found], directory: str) -> list[_Entry]:
        """Describe objects. A marker becomes the directory that it marks, except that of the listing itself."""
        entries: list[_Entry] = []
        doubtful: list[int] = []
        for meta in found:
            if isinstance(meta, Omission):
                entries.append(meta)
                continue
            name = meta["path"]
            if name == directory or (is_hidden(name) and not self._hidden):
                continue
            checked = _checked(name)
            if isinstance(checked, Omission):
                entries.append(checked)
                continue
            info = self._info_of(meta)
            if info is None or not info.size or self._metadata:
                doubtful.append(len(entries))
            entries.append(name if info is None else info)
        for at in range(0, len(doubtful), _LOOK_UPS):
            some = doubtful[at : at + _LOOK_UPS]
            answers = await asyncio.gather(*(self._sure(_name_of(entries[number])) for number in some))
            for number, answer in zip(some, answers, strict=True):
                entries[number] = answer
        return entries

    async def _sure(self, name: str) -> FileInfo | str | Omission:
        """Describe an object that may be a marker, or of which the listing says too little."""
        try:
            return await self._look_up(name)
        except NotFoundError:
            return f"{name}/"
        except DataLossError:  # it has no entity tag
            return Omission("OTHER", _short(name))

    def _checked_prefix(self, prefix: str) -> str | Omission | None:
        name = prefix.removesuffix("/")
        if is_hidden(name) and not self._hidden:
            return None
        checked = _checked(name)
        return checked if isinstance(checked, Omission) else prefix


def _checked(name: str) -> str | Omission:
    """Return a name that a client can ask for, or why it is omitted."""
    reason: Reason
    try:
        reason = "RESERVED" if any(map(is_reserved, check_name(name))) else "OTHER"
    except InvalidNameError:
        reason = "NAME"
    return name if reason == "OTHER" else Omission(reason, _short(name))


def _lost(directory: str, key: str) -> list[_Found]:
    """Return what is reported of a directory with a key that cannot be passed: the key, and the directory."""
    return [Omission("NAME", _short(key)), Omission("REFUSED", _short(_with_slash(directory)))]


def _with_slash(prefix: str) -> str:
    return f"{prefix.removesuffix('/')}/"


def _short(name: str) -> str:
    return name[:MAX_NAME_BYTES]


def _name_of(entry: FileInfo | str | Omission) -> str:
    return entry if isinstance(entry, str) else entry.name


def _page(entries: Iterable[FileInfo | str], omissions: Omissions) -> Page:
    entries = list(entries)
    return Page(
        files=tuple(entry for entry in entries if isinstance(entry, FileInfo)),
        prefixes=tuple(entry for entry in entries if isinstance(entry, str)),
        omitted=omissions.as_tuple(),
    )
