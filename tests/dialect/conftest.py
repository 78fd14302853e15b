"""What both directions serve."""

from pathlib import Path
from random import Random

import pytest

from dialect.tutorial import CHUNK, SIZES

HUGE = (4 << 30) + 5 * CHUNK + 7


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a file of every interesting size, one beyond 4 GiB (with a hole), and a way out of it."""
    base = tmp_path_factory.mktemp("dialect")
    (base / "secret").write_bytes(b"secret")
    directory = base / "root"
    directory.mkdir()
    random = Random(6)
    for size in SIZES:
        (directory / f"{size}.bin").write_bytes(random.randbytes(size))
    (directory / "big.bin").write_bytes(random.randbytes(48 << 20))
    with (directory / "huge.bin").open("wb") as file:
        file.seek(HUGE - 4 * CHUNK)
        file.write(random.randbytes(4 * CHUNK))
    (directory / "sub").mkdir()
    (directory / "outside").symlink_to(base / "secret")
    return directory
