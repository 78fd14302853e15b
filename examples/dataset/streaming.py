"""A dataset in tar files on a server, read as it arrives: for training on more data than fits onto the disk.

    from torch.utils.data import DataLoader

    shards = [f"files.example:50051/train/{number:05}.tar" for number in range(512)]
    loader = DataLoader(TarStream(shards), batch_size=None, num_workers=4, multiprocessing_context="spawn")

A sample is all files of a shard that follow one another and have the same name up to its first dot, as in WebDataset:
`0001.jpg` and `0001.cls` are `{"__key__": "0001", "jpg": ..., "cls": ...}`. Each worker of the loader reads every n-th shard.
All bytes are verified, and a connection that breaks is resumed in the middle of a shard.

`state_dict` says where the next sample begins, and a dataset that was given it by `load_state_dict` fetches nothing that comes
before; torchdata's StatefulDataLoader asks for these two. If a shard was replaced in between, that is an error. torch is not
needed: without it, a dataset is an iterable.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import unspool

try:
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError:
    IterableDataset: Any = object  # type: ignore[no-redef]

    def get_worker_info() -> Any:
        """Return None: without torch there is one worker."""


Sample: TypeAlias = dict[str, str | bytes]

State: TypeAlias = dict[str, Any]

_START: State = {"shard": 0, "offset": 0, "revision": None}


class TarStream(IterableDataset):  # type: ignore[misc]
    """The samples of several tar files.

    Args:
        urls: of the files.
        security: `token`, `ca` and so on, as for `unspool.open`.
    """

    def __init__(self, urls: Sequence[str], **security: Any) -> None:
        super().__init__()
        self._urls = list(urls)
        self._security = security
        self._begin = self._next = _START

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples of this worker's shards: all of them, or those that follow a state that was loaded."""
        info = get_worker_info()
        mine = self._urls if info is None else self._urls[info.id :: info.num_workers]
        at, self._begin = self._begin, _START
        while at["shard"] < len(mine):
            after = _START | {"shard": at["shard"] + 1}
            for sample, following in self._samples(mine[at["shard"]], at, after):
                self._next = following
                yield sample
            at = after
        self._next = _START

    def _samples(self, url: str, at: State, after: State) -> Iterator[tuple[Sample, State]]:
        """Yield the samples of one shard, each with the state after it."""
        sample: Sample = {}
        with unspool.open(url, revision=at["revision"], **self._security) as file:
            revision = file.raw.info.revision  # type: ignore[attr-defined]
            file.seek(at["offset"])  # the next read asks for the rest of the file, and for nothing before
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    if content is None:  # a directory
                        continue
                    key, _, kind = member.name.partition(".")
                    if sample and sample["__key__"] != key:
                        yield sample, at | {"offset": at["offset"] + member.offset, "revision": revision}
                        sample = {}
                    sample["__key__"], sample[kind] = key, content.read()
        if sample:
            yield sample, after

    def state_dict(self) -> State:
        """Return where the next sample begins."""
        return self._next

    def load_state_dict(self, state: State) -> None:
        """Begin the next iteration where another dataset of the same files was."""
        self._begin = self._next = state
