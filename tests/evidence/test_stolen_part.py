"""Two real clients with one destination, when the first one's part file is removed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from gate import Gate
from processes import eventually, serving

MIB = 1 << 20


def size_of(path: Path) -> int:
    """Return the length of a file, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def test_a_commit_never_gives_the_name_to_another_downloads_bytes(tmp_path: Path) -> None:
    """The first client ends with an error that names the part file; the second one's unfinished bytes stay in a part file."""
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    (root / "a.bin").write_bytes(random.Random(1).randbytes(40 * MIB))
    part, journal = tmp_path / "out.unspool-part", tmp_path / "out.unspool-journal"
    command = [sys.executable, "-m", "unspool", "get", "--jobs", "1"]
    with (
        serving(root, tmp_path / "log") as server,
        Gate(server.address, 36 * MIB) as first,
        Gate(server.address, 20 * MIB) as second,
        subprocess.Popen([*command, f"{first.address}/a.bin", out], stderr=subprocess.PIPE, text=True) as one,
    ):
        eventually(lambda: size_of(part) >= 32 * MIB)
        part.unlink()
        journal.unlink()
        with subprocess.Popen([*command, "--quiet", f"{second.address}/a.bin", out]) as two:
            eventually(lambda: size_of(part) >= 16 * MIB)
            first.open()
            _, said = one.communicate(timeout=60)
            assert one.returncode == 8, said
            assert f"{part}: it was removed meanwhile, or replaced" in said
            assert not out.exists()
            second.open()
            assert two.wait(60) == 0
    assert out.read_bytes() == (root / "a.bin").read_bytes()
    assert not part.exists()
