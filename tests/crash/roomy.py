"""A directory for big files."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def roomy(size: int) -> Iterator[Path]:
    """A temporary directory with room for `size` bytes: in memory if there is enough, to spare the disk."""
    in_memory = _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > 2 * size
    with tempfile.TemporaryDirectory(prefix="unspool-test-", dir=_SHARED_MEMORY if in_memory else None) as directory:
        yield Path(directory)
