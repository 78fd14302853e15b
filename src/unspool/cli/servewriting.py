"""The options of `serve` that say what clients may write, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unspool.cli.durations import Duration
from unspool.cli.sizes import Size
from unspool.options import IngestOptions
from unspool.stores import is_directory

if TYPE_CHECKING:
    from unspool.ingest.base import Ingester
    from unspool.ingest.objects import ObjectIngester
    from unspool.stores.base import Store

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS = IngestOptions()


def write_options(work: F) -> F:
    """Add the options of `WriteSettings` to `serve`, which gets them under these names."""
    for option in (
        click.option(
            "--upload-window",
            type=Size(64 << 10),
            default=None,
            help="Bytes that are received ahead of each upload that comes too fast (default: gRPC decides, up to 16M).",
        ),
        click.option(
            "--max-upload-bytes",
            type=Size(1),
            default=None,
            help="Most bytes of the unfinished uploads of one principal (default: no limit but the disk).",
        ),
        click.option(
            "--max-uploads",
            type=click.IntRange(1),
            default=_DEFAULTS.uploads,
            show_default=True,
            help="Most unfinished uploads of one principal.",
        ),
        click.option(
            "--max-file-size",
            type=Size(1),
            default=None,
            help="Most bytes of a file that clients may write (default: no limit but the disk).",
        ),
        click.option(
            "--keep-uploads",
            type=Duration(),
            default=f"{_DEFAULTS.keep / 86_400:g}d",
            show_default=True,
            help="How long an unfinished upload is kept after the last byte of it.",
        ),
        click.option("--write", is_flag=True, help="Let clients write files below ROOT; --rules say who."),
    ):
        work = option(work)
    return work


@dataclass(frozen=True, kw_only=True)  # without slots: no class can have two bases with slots
class WriteSettings:
    """The options of `write_options`, under the same names."""

    write: bool = False
    keep_uploads: float = _DEFAULTS.keep
    max_file_size: int | None = None
    max_uploads: int = _DEFAULTS.uploads
    max_upload_bytes: int | None = None
    upload_window: int | None = None

    async def open_ingester(self, root: str, store: Store, *, hidden: bool, allow_http: bool) -> Ingester | None:
        """Open what receives files for the store of `root`; None if clients may not write.

        Raises:
            InvalidRequestError: see `check_writable`.
            NotFoundError, PermissionDeniedError: the directory cannot be opened, or the object store denies access.
            LocalFileError: the directory for uploads cannot be made or used.
            UnsupportedError: the object store cannot be written to safely, or the extra `objects` is not installed.
            ServerError: the object store cannot be reached.
        """
        if not self.write:
            return None
        if is_directory(root):
            from unspool.ingest.local import LocalIngester  # noqa: PLC0415
            from unspool.stores.local import LocalStore  # noqa: PLC0415

            contents = store.contents if isinstance(store, LocalStore) else None
            return LocalIngester(root.removeprefix("file://"), self._ingest_options(), hidden=hidden, contents=contents)
        ingester = self._into_objects(root, hidden=hidden, allow_http=allow_http)
        try:
            await ingester.check(root)
        except BaseException:
            await ingester.aclose()
            raise
        return ingester

    def _into_objects(self, root: str, *, hidden: bool, allow_http: bool) -> ObjectIngester:
        from unspool.ingest.objects import open_url  # noqa: PLC0415

        return open_url(root, os.environ, self._ingest_options(), hidden=hidden, allow_http=allow_http)

    def _ingest_options(self) -> IngestOptions:
        return IngestOptions(
            largest_file=self.max_file_size, uploads=self.max_uploads, bytes=self.max_upload_bytes, keep=self.keep_uploads
        )

    async def check_writable(self, root: str, *, allow_http: bool) -> None:
        """Raise InvalidRequestError if clients may write, and the store at `root` cannot be written to. Makes no request."""
        if self.write and not is_directory(root):
            await self._into_objects(root, hidden=False, allow_http=allow_http).aclose()
