"""What files that failed come to, of several or of a tree: JSON, and the error with which the command ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unspool.cli.advice import with_flags
from unspool.cli.omissions import describe_omission
from unspool.core.address import Address
from unspool.core.counted import counted
from unspool.errors import IncompleteTreeError, UnspoolError

if TYPE_CHECKING:
    from unspool.client.treeresults import Failure, TreeResult
    from unspool.client.writeresults import DeleteTreeResult, PutTreeResult


def describe_error(error: UnspoolError) -> dict[str, object]:
    """Return the error of one of several files, for JSON."""
    return {"error": with_flags(error.message), "reason": error.reason, "exit_code": error.exit_code}


def error_of_some(failed: Sequence[UnspoolError], total: int, where: str) -> UnspoolError:
    """Return the error for `failed` of `total` files; the others are `where`.

    If all failed with the same exit code, it is of the class of the first failure; else an IncompleteTreeError.
    """
    alike = len(failed) == total and len({error.exit_code for error in failed}) == 1
    kind = type(failed[0]) if alike else IncompleteTreeError
    return kind(f"{len(failed)} of {counted(total, 'file')} failed" + ("" if alike else f"; the others are {where}"))


def describe_failure(failure: Failure) -> dict[str, str]:
    """Return a failure of a tree, for JSON."""
    return {"name": failure.name, "reason": failure.error.reason, "message": with_flags(failure.error.message)}


def describe_tree(result: TreeResult | PutTreeResult | DeleteTreeResult) -> dict[str, object]:
    """Return the result of a tree, for JSON."""
    # Not asdict, which would copy the errors deeply.
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return fields | {
        "failures": [describe_failure(failure) for failure in result.failures],
        "omitted": [describe_omission(omission) for omission in result.omitted],
    }


def check_tree(result: TreeResult | PutTreeResult | DeleteTreeResult, address: Address, where: str) -> None:
    """Raise IncompleteTreeError if files of a tree failed; the others are `where`."""
    if result.failed:
        said = f"{address}: {result.failed} of {counted(result.files, 'file')} failed; the others are {where}"
        raise IncompleteTreeError(said)
