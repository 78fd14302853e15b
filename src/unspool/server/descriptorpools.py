"""The descriptor pools that reflection looks into, as if they were one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool

T = TypeVar("T")


@runtime_checkable
class HasPool(Protocol):
    """A dialect whose messages are not in the default pool.

    Attributes:
        pool: the pool in which they are.
    """

    pool: DescriptorPool


class DescriptorPools:
    """Answers what gRPC's reflection asks a pool: from the default pool, or else from another one.

    Args:
        others: the other pools.
    """

    def __init__(self, others: Sequence[DescriptorPool]) -> None:
        self._pools = (Default(), *others)

    def FindFileByName(self, name: str) -> FileDescriptor:  # noqa: N802 - the name that is called
        """See `DescriptorPool`. Raises KeyError, as do the others, if there is none in any pool."""
        return self._first(lambda pool: pool.FindFileByName(name), name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        """See `DescriptorPool`."""
        return self._first(lambda pool: pool.FindFileContainingSymbol(symbol), symbol)

    def FindMessageTypeByName(self, name: str) -> Descriptor:  # noqa: N802
        """See `DescriptorPool`."""
        return self._first(lambda pool: pool.FindMessageTypeByName(name), name)

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:  # noqa: N802
        """See `DescriptorPool`."""
        return message.file.pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> Sequence[FieldDescriptor]:  # noqa: N802
        """See `DescriptorPool`."""
        return message.file.pool.FindAllExtensions(message)

    def _first(self, find: Callable[[DescriptorPool], T], name: str) -> T:
        for pool in self._pools:
            try:
                return find(pool)
            except KeyError:
                continue
        raise KeyError(name)
