"""Files, results and errors as what `--json` prints of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from unspool.cli.advice import with_flags
from unspool.cli.units import say_time
from unspool.core.model import FileInfo, Omission
from unspool.errors import UnspoolError

if TYPE_CHECKING:
    from unspool.client.treeresults import Failure, TreeResult, TreeVerification
    from unspool.client.writeresults import DeleteTreeResult, PutTreeResult


def describe_file(info: FileInfo) -> dict[str, object]:
    """Return what a file is, with the SHA-256 if that was asked for."""
    description: dict[str, object] = {
        "name": info.name,
        "size": info.size,
        "revision": info.revision,
        "modified": say_time(info.attributes.modified_ns) or None,
        "content_type": info.attributes.content_type,
        "executable": info.attributes.executable,
        "crc32c": info.crc32c,
    }
    return description if info.sha256 is None else description | {"sha256": info.sha256.hex()}


def describe_error(error: UnspoolError) -> dict[str, object]:
    """Return the error of one of several files."""
    return {"error": with_flags(error.message), "reason": error.reason, "exit_code": error.exit_code}


def describe_failure(failure: Failure) -> dict[str, str]:
    """Return a file of a tree that failed."""
    return {"name": failure.name, "reason": failure.error.reason, "message": with_flags(failure.error.message)}


def describe_omission(omission: Omission) -> dict[str, object]:
    """Return a name that is left out."""
    return dataclasses.asdict(omission) | {"name": omission.name or None}


def describe_tree(result: TreeResult | PutTreeResult | DeleteTreeResult | TreeVerification) -> dict[str, object]:
    """Return the result of a tree."""
    # Not asdict, which would copy the errors deeply.
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return fields | {
        "failures": [describe_failure(failure) for failure in result.failures],
        "omitted": [describe_omission(omission) for omission in result.omitted],
    }
