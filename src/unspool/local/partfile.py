"""Writes one download: a part file and its journal beside the destination, and an atomic commit.

Rule 1: the destination's directory entry changes once, from the old file to the complete one.
Rule 2: a symbolic link at the destination is replaced, and its target is not changed. A link to something other than a regular
        file (`/dev/stdout`) is refused, like its target.
Rule 3: all operations use the destination's directory as it was opened; no path is looked up twice.

`unspool.local.part` has the rules of the part file itself.
"""

from __future__ import annotations

import contextlib

from unspool.core.model import NO_ATTRIBUTES, Attributes
from unspool.local.destination import Destination
from unspool.local.entries import is_at, remove, sync
from unspool.local.oserrors import mapped
from unspool.local.part import Part, Place


class PartFile(Part):
    """The unfinished local copy of one file, beside its destination.

    Args:
        destination: the final name. It is closed together with the part file.
    """

    def __init__(self, destination: Destination) -> None:
        super().__init__(Place(destination.directory, destination.path.parent, destination.beside, destination.path))
        self.destination = destination

    def acquire(self) -> None:
        """See `Part.acquire`."""
        self.destination.check()
        super().acquire()

    def _is_finished(self) -> bool:
        return is_at(self._descriptor, self.destination.name, self._directory)

    def commit(self, size: int, *, overwrite: bool, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """Make the part file the destination, durably. The caller has verified its bytes.

        Order: truncate, permissions, attributes, fsync of the file, rename, fsync of the directory, removal of the journal.

        Args:
            size: size of the whole file.
            overwrite: whether an existing file may be replaced.
            attributes: attributes to set, as far as the file system supports them.

        Raises:
            DestinationExistsError: the destination exists, and `overwrite` is false.
        """
        with mapped(self.destination.path):
            self.destination.check_directory()
            self.destination.check()
            self.finish(size, self.destination, attributes)
            self.give_name(self.destination, overwrite=overwrite)
        # The complete file has its final name now, so errors from here on are not reported as a failed download.
        with contextlib.suppress(OSError):
            sync(self._directory)
        # The part file's name is removed last: while it exists and is locked, no other process writes a journal here.
        with contextlib.suppress(OSError):
            self._remove_journal()
        with contextlib.suppress(OSError):
            if self._is_ours():
                remove(self._names.part, self._directory)
        self._release()

    def _check_ours(self) -> None:
        if not self._is_ours():
            self.destination.check_directory()
        super()._check_ours()

    def close(self) -> None:
        """See `Part.close`."""
        super().close()
        self.destination.close()

    def _release(self) -> None:
        super()._release()
        self.destination.close()
