"""The part file on the local file system keeps the contract."""

from __future__ import annotations

from pathlib import Path

from contract.partfile_contract import PartFileContract, part_at
from unspool.local.partfile import PartFile


class TestPartFile(PartFileContract):
    """The only one there is."""

    def make(self, destination: Path) -> PartFile:
        """See `PartFileContract.make`."""
        return part_at(destination)
