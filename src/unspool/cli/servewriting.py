"""The options of `serve` that say what clients may write, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unspool.cli.durations import Duration
from unspool.cli.sizes import Size
from unspool.errors import InvalidRequestError
from unspool.options import IngestOptions

if TYPE_CHECKING:
    from unspool.ingest.base import Ingester

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS = IngestOptions()


def write_options(work: F) -> F:
    """Add the options of `WriteSettings` to `serve`, which gets them under these names."""
    for option in (
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

    def ingester(self, root: str, *, hidden: bool) -> Ingester | None:
        """Open what receives files for the store at `root`; None if clients may not write.

        Raises:
            InvalidRequestError: see `check_writable`.
            NotFoundError, PermissionDeniedError: the directory cannot be opened.
            LocalFileError: the directory for uploads cannot be made or used.
        """
        if not self.write:
            return None
        self.check_writable(root)
        from unspool.ingest.local import LocalIngester  # noqa: PLC0415

        options = IngestOptions(
            largest_file=self.max_file_size, uploads=self.max_uploads, bytes=self.max_upload_bytes, keep=self.keep_uploads
        )
        return LocalIngester(root.removeprefix("file://"), options, hidden=hidden)

    def check_writable(self, root: str) -> None:
        """Raise InvalidRequestError if clients may write, and the store at `root` is not a directory."""
        scheme, separator, _ = root.partition("://")
        if self.write and separator and scheme != "file":
            raise InvalidRequestError(f"{root}: files can be written below a directory only, not into an object store")
