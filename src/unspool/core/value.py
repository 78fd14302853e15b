"""Values: two of them are equal if what is in them is, and nobody changes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(kind: type[T]) -> type[T]:
    """Make a class a dataclass with slots that is hashed by what is in it and is never changed.

    That nobody changes it the type checker sees to. Python would at every assignment, and with that a value takes 0.4 to 0.8 us
    to make instead of 0.1 (measured); of each small file a dozen are made.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)
