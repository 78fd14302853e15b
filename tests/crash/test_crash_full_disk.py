"""A disk that is really full."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from processes import ENVIRONMENT, serving

MIB = 1 << 20

# In a mount namespace, so that nothing is left: a small disk, a download, more space, the same download again.
SCRIPT = """
mount -t tmpfs -o size={small}m none {disk} || exit 99
{get} --quiet {url} {disk}
echo $?
ls {disk}
echo --
mount -o remount,size={big}m {disk} || exit 99
{get} --json {url} {disk} && ls {disk} && cmp {disk}/big.bin {source}
"""


def can_mount(directory: Path) -> bool:
    """Whether this process may mount a file system."""
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", directory], capture_output=True, env=ENVIRONMENT, check=False
    )
    return tried.returncode == 0


@pytest.mark.parametrize("small", [5, 20])
def test_a_full_disk_is_exit_8_and_what_arrived_is_kept(tmp_path: Path, small: int) -> None:
    """On a full disk `get` ends with exit 8, one line and nothing at the final name; with free space it resumes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        if not can_mount(disk):
            pytest.skip("making a small disk needs the right to mount")
    except FileNotFoundError:
        pytest.skip("making a small disk needs `unshare`")
    root = tmp_path / "root"
    root.mkdir()
    (root / "big.bin").write_bytes(Random(5).randbytes(40 * MIB))
    with serving(root, tmp_path / "log") as server:
        script = SCRIPT.format(
            small=small,
            big=48,
            disk=shlex.quote(str(disk)),
            get=f"{shlex.quote(sys.executable)} -m unspool get",
            url=f"{server.address}/big.bin",
            source=shlex.quote(str(root / "big.bin")),
        )
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    (complaint,) = done.stderr.splitlines()
    assert "the disk is full; what arrived is kept" in complaint
    first, second = done.stdout.split("--\n")
    assert first.split() == ["8", "big.bin.unspool-journal", "big.bin.unspool-part"]
    result, *left = second.splitlines()
    assert left == ["big.bin"]
    # All that fits, except the journal's page and a partly written block.
    assert json.loads(result)["resumed_from"] >= (small - 2) * MIB
