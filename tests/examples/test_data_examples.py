"""The examples for those who look at data and train on it: the notebook and the dataset, each run."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from filesystem.conftest import Served, served_in_a_thread
from unspool.errors import FileChangedError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


async def test_the_notebook_runs_from_the_first_cell_to_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    """All cells run in their order where an event loop runs, as in Jupyter, and say what they should."""
    notebook = json.loads((EXAMPLES / "notebook" / "reading.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            code = compile("".join(cell["source"]), cell["id"], "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            made = eval(code, names)
            if inspect.isawaitable(made):
                await made
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("notes.txt")] == ["notes.txt 14"]
    assert said[3] == "b'two'"
    assert said[4].endswith("bytes, verified: file")
    assert said[-1] == "200000 ['c']"
    await asyncio.sleep(0)


# The dataset


@pytest.fixture(scope="module")
def streaming() -> ModuleType:
    """Return the example as a module."""
    found = importlib.util.spec_from_file_location("streaming", EXAMPLES / "dataset" / "streaming.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


SAMPLES = 40
SHARDS = 3


def write_shard(path: Path, shard: int) -> None:
    """Write a tar file with samples of two files each."""
    with tarfile.open(path, "w") as tar:
        for number in range(SAMPLES):
            for kind, data in (("bin", os.urandom(50_000)), ("cls", str(number).encode())):
                info = tarfile.TarInfo(f"{shard}-{number:04}.{kind}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve tar files of 2 MB."""
    root = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        write_shard(root / f"{shard}.tar", shard)
    with served_in_a_thread(root) as served:
        yield served


def urls(served: Served) -> list[str]:
    """Return the URLs of the tar files."""
    return [served.path(f"{shard}.tar") for shard in range(SHARDS)]


EVERY = [f"{shard}-{number:04}" for shard in range(SHARDS) for number in range(SAMPLES)]


def test_every_sample_is_read_once_and_each_shard_with_few_requests(shards: Served, streaming: ModuleType) -> None:
    """A dataset yields all samples in order, each with its files, and does so again; a shard is read by two requests."""
    dataset = streaming.TarStream(urls(shards))
    shards.calls(0)
    for _ in range(2):
        samples = list(dataset)
        assert [sample["__key__"] for sample in samples] == EVERY
        assert {len(sample["bin"]) for sample in samples} == {50_000}
        assert [int(sample["cls"]) for sample in samples] == list(range(SAMPLES)) * SHARDS
    assert len(shards.reads(1)) <= 2 * 2 * SHARDS


def test_workers_share_the_shards(shards: Served, streaming: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of several workers reads shards of its own, and together they read all."""
    found: list[str] = []
    for worker in range(2):
        told = SimpleNamespace(id=worker, num_workers=2)
        monkeypatch.setattr(streaming, "get_worker_info", lambda told=told: told)
        found += [sample["__key__"] for sample in streaming.TarStream(urls(shards))]
    assert sorted(found) == EVERY


@pytest.mark.parametrize("taken", [0, 1, SAMPLES - 1, SAMPLES, SAMPLES + 7, len(EVERY)])
def test_a_state_is_gone_on_from(shards: Served, streaming: ModuleType, taken: int) -> None:
    """From any sample on, another dataset yields the rest, and fetches nothing that comes before."""
    dataset = streaming.TarStream(urls(shards))
    samples = iter(dataset)
    for _ in range(taken):
        next(samples)
    state = json.loads(json.dumps(dataset.state_dict()))
    samples.close()
    with served_in_a_thread(shards.root) as other:  # which is asked by the second dataset only
        again = streaming.TarStream(urls(other))
        again.load_state_dict(state)
        assert [sample["__key__"] for sample in again] == EVERY[taken:]
        if taken < len(EVERY):
            assert min(read.start for read in other.reads(1) if read.name == f"{state['shard']}.tar") == state["offset"]


def test_a_shard_that_was_replaced_is_not_gone_on_with(streaming: ModuleType, tmp_path: Path) -> None:
    """A state belongs to one version of its shard."""
    write_shard(tmp_path / "0.tar", 0)
    with served_in_a_thread(tmp_path) as served:
        dataset = streaming.TarStream([served.path("0.tar")])
        samples = iter(dataset)
        next(samples)
        state = dataset.state_dict()
        samples.close()
        write_shard(tmp_path / "0.tar", 1)
        dataset.load_state_dict(state)
        with pytest.raises(FileChangedError):
            next(iter(dataset))
