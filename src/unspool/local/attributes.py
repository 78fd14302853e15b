"""What is told of a file beside its bytes, given to the local one."""

from __future__ import annotations

import contextlib
import os

from unspool.core.model import Attributes


def apply(attributes: Attributes, descriptor: int) -> None:
    """Give an open file its attributes, as far as it can have them."""
    if attributes.modified_ns is not None:
        with contextlib.suppress(OSError, OverflowError):  # not ours to date, or a time that no file can have
            os.utime(descriptor, ns=(attributes.modified_ns, attributes.modified_ns))
