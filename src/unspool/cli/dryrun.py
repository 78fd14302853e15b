"""`--dry-run` of `get`, `put` and `rm`: prints what would be fetched, sent or deleted. Creates and writes nothing."""

from __future__ import annotations

import json as jsons
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unspool.cli.advice import with_flags
from unspool.cli.jsonresults import describe_omission
from unspool.cli.omissions import echo_omissions
from unspool.cli.output import in_short, printable
from unspool.cli.putcommand import STANDARD_INPUT, Source
from unspool.cli.targets import Target
from unspool.cli.units import say_bytes
from unspool.client.client import Client
from unspool.core.address import Address
from unspool.core.condition import check_present
from unspool.core.counted import counted
from unspool.core.model import FileInfo, Omission
from unspool.core.omissions import Omissions
from unspool.errors import (
    AccessError,
    IncompleteTreeError,
    LocalFileError,
    NotFoundError,
    UnspoolError,
    VerificationError,
)
from unspool.local.copy import LocalCopy

if TYPE_CHECKING:
    from unspool.core.filters import Filter


_MOST_NAMES = 1000
"""Names left out that are named, as in the result of a tree."""


class Plan:
    """The files that `get` would fetch, `put` would send, or `rm` would delete, printed as they become known.

    Args:
        quiet: print no totals.
        json: print objects, one a line, the last one with the totals.
        verbose: name what is left out.
        verb: what would be done with the files.
        place: where those are that are complete; "" if there can be none.
    """

    def __init__(self, *, quiet: bool, json: bool, verbose: bool = False, verb: str = "fetch", place: str = "here") -> None:
        self._verb = verb
        self._place = place
        self._quiet = quiet
        self._json = json
        self._verbose = verbose
        self._omissions = Omissions(_MOST_NAMES)
        self._files = self._size = self._kept = self._failed = 0

    def add(self, target: str, info: FileInfo) -> None:
        """Print and count a file that would be fetched from `target`, sent to it, or deleted there."""
        self._files += 1
        self._size += info.size
        if self._json:
            click.echo(jsons.dumps({"url": str(Address(target, info.name)), "name": info.name, "size": info.size}))
        else:
            click.echo(f"{info.size:>15}  {printable(info.name)}")

    def keep(self, count: int = 1) -> None:
        """Count files that are already here."""
        self._kept += count

    def omit(self, omitted: Iterable[Omission]) -> None:
        """Count names that are left out."""
        for omission in omitted:
            self._omissions.add(omission)

    def fail(self, name: str, error: UnspoolError) -> None:
        """Print and count a file that would fail."""
        self._failed += 1
        said = with_flags(error.message)
        message = said if name in said else f"{name}: {said}"
        click.echo(in_short(f"unspool: {message}"), err=True)

    def end(self) -> None:
        """Print the totals. Raises IncompleteTreeError if any file would fail."""
        if self._json:
            totals = {"files": self._files, "size": self._size, "kept": self._kept, "failed": self._failed}
            omitted = [describe_omission(omission) for omission in self._omissions.as_tuple()]
            click.echo(jsons.dumps(totals | {"omitted": omitted}))
        elif not self._quiet:
            failed = f", {self._failed} would fail" if self._failed else ""
            files = f"{counted(self._files, 'file')}, {say_bytes(self._size)}"
            kept = f"; {self._kept} already {self._place}" if self._place else ""
            click.echo(f"would {self._verb} {files}{kept}{failed}", err=True)
            echo_omissions(self._omissions.as_tuple(), verbose=self._verbose)
        if self._failed:
            raise IncompleteTreeError(f"{counted(self._failed, 'file')} would fail")


async def plan_tree(
    client: Client,
    address: Address,
    directory: str,
    filters: Sequence[Filter],
    *,
    record: str | bool,
    checksum: bool,
    plan: Plan,
) -> None:
    """Print what `get -r` would fetch."""
    async for page in client.preview_tree(address.name, directory, filters=filters, record=record, checksum=checksum):
        for info in page.wanted:
            plan.add(address.target, info)
        for failure in page.failures:
            plan.fail(failure.name, failure.error)
        plan.keep(page.kept)
        plan.omit(page.omitted)
    plan.end()


async def plan_file(client: Client, address: Address, dest: str | None, plan: Plan) -> None:
    """Print whether `get` would fetch a file."""
    path = Path(dest or ".")
    if os.path.isdir(path):  # noqa: PTH112, ASYNC240 - unlike Path.is_dir, this raises nothing
        path /= address.name.rpartition("/")[2]
    await _look(client, Target(address, path), plan, to_output=dest == "-")
    plan.end()


async def plan_files(targets: Sequence[Target], connect: Callable[[str], Client], plan: Plan) -> None:
    """Print which of several files `get` would fetch, server by server."""
    by_server: dict[str, list[Target]] = {}
    for target in targets:
        by_server.setdefault(target.address.target, []).append(target)
    for server, its_targets in by_server.items():
        async with connect(server) as client:
            for target in its_targets:
                try:
                    await _look(client, target, plan)
                except UnspoolError as error:
                    plan.fail(str(target.address), error)
    plan.end()


async def plan_uploads(client: Client, files: Sequence[Source], plan: Plan) -> None:
    """Print which files `put` would send. The size of standard input is not known, and counts as 0."""
    for file in files:
        name = file.address.name
        try:
            if file.path != STANDARD_INPUT:
                copy = LocalCopy(Path(file.path), file.path)
                size = copy.size()
                with suppress(NotFoundError, AccessError, VerificationError):
                    await client.verify(name, file.path)
                    plan.keep()
                    continue
            plan.add(file.address.target, FileInfo(name, size if file.path != STANDARD_INPUT else 0, ""))
        except LocalFileError as error:
            plan.fail(file.path, error)
    plan.end()


async def plan_upload_tree(
    client: Client, directory: str, address: Address, filters: Sequence[Filter], *, checksum: bool, plan: Plan
) -> None:
    """Print what `put -r` would send."""
    prefix = address.name.removesuffix("/")
    async for page in client.preview_put_tree(directory, prefix, filters=filters, checksum=checksum):
        for info in page.wanted:
            plan.add(address.target, info)
        for failure in page.failures:
            plan.fail(failure.name, failure.error)
        plan.keep(page.kept)
        plan.omit(page.omitted)
    plan.end()


async def plan_deletion(client: Client, address: Address, revision: str | None, plan: Plan, *, recursive: bool) -> None:
    """Print what `rm` would delete. Raises what it would raise, as far as is known without deleting."""
    if recursive:
        async for page in client.pages(address.name, recursive=True):
            for info in page.files:
                plan.add(address.target, info)
            plan.omit(page.omitted)
        return
    plan.add(address.target, check_present(address.name, revision, await client.stat(address.name)))


async def _look(client: Client, target: Target, plan: Plan, *, to_output: bool = False) -> None:
    name, path = target.address.name, target.path
    info = await client.stat(name)
    if not to_output and _size_of(path) == info.size:
        try:
            await client.verify(name, path)
        except VerificationError:
            pass
        else:
            plan.keep()
            return
    plan.add(target.address.target, info)


def _size_of(path: Path) -> int | None:
    """Return the size of a regular file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
