"""What some parts of unspool need and not everybody has: the extras of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unspool.errors import UnsupportedError


class MissingExtraError(UnsupportedError, ImportError):
    """A package is not installed that this part of unspool needs. The message says how to install it."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import the packages of an extra inside.

    Args:
        name: of the extra.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "unspool"}:
            raise
        raise MissingExtraError(f"the package {package} is not installed: run pip install 'unspool[{name}]'") from error
