"""The error with which a command ends of which some files failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unspool.core.address import Address
from unspool.core.counted import counted
from unspool.errors import IncompleteTreeError, UnspoolError

if TYPE_CHECKING:
    from unspool.client.treeresults import TreeResult
    from unspool.client.writeresults import DeleteTreeResult, PutTreeResult


def error_of_some(failed: Sequence[UnspoolError], total: int, where: str) -> UnspoolError:
    """Return the error for `failed` of `total` files; the others are `where`.

    If all failed with the same exit code, it is of the class of the first failure; else an IncompleteTreeError.
    """
    alike = len(failed) == total and len({error.exit_code for error in failed}) == 1
    kind = type(failed[0]) if alike else IncompleteTreeError
    return kind(_said(len(failed), total, where))


def check_tree(result: TreeResult | PutTreeResult | DeleteTreeResult, address: Address, where: str) -> None:
    """Raise IncompleteTreeError if files of a tree failed; the others are `where`."""
    if result.failed:
        raise IncompleteTreeError(f"{address}: {_said(result.failed, result.files, where)}")


def _said(failed: int, total: int, where: str) -> str:
    others = f"; the others are {where}" if failed < total else ""
    return f"{failed} of {counted(total, 'file')} failed{others}"
