"""A tree that is cancelled, at every place where it waits: nothing is left running, and what is whole is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.cancelling import cancelling, nothing_left
from tree.treelab import FILES, TreeLab, files_in, own_files_in


@pytest.mark.parametrize("late", [False, True])
async def test_a_tree_can_be_cancelled_anywhere(tmp_path: Path, *, late: bool) -> None:
    """Wherever it is cancelled, no task, thread or file stays open, every file is whole, and the next run gets there."""
    _, places = await cancelling(TreeLab(jobs=2).get(tmp_path / "never"), 1 << 30, late=late)
    cancelled = kept = 0
    for place in range(places):
        here = tmp_path / f"{place}"
        lab = TreeLab(jobs=2)
        with nothing_left():
            task, _ = await cancelling(lab.get(here), place, late=late)
        if task.cancelled():
            cancelled += 1
        else:
            assert task.result().failed == 0
        named = {name: data for name, data in files_in(here).items() if name in FILES} if here.exists() else {}
        assert all(FILES[name] == data for name, data in named.items())
        kept += len(named)
        result = await lab.get(here)
        assert (result.fetched + result.kept, result.failed) == (len(FILES), 0)
        assert files_in(here) == FILES
        assert own_files_in(here) == ["lock", "record.sqlite"]
    assert cancelled > 10
    assert kept > 0, "what had arrived was kept"
