"""The tutorial's unmodified client, in Go, and our server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dialect.tutorial import CHUNK, SIZES, tutorial_get
from processes import Serving, serving

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve the directory with `unspool serve`."""
    with serving(root, tmp_path_factory.mktemp("ours") / "log") as one:
        yield one


@pytest.mark.parametrize("size", SIZES)
def test_it_gets_a_file_whole(server: Serving, root: Path, tmp_path: Path, size: int) -> None:
    """The tutorial's client gets exactly the bytes, whatever the size."""
    done = tutorial_get(server.address, f"{size}.bin", tmp_path / "out")
    assert done.code == 0, done.err
    assert (tmp_path / "out").read_bytes() == (root / f"{size}.bin").read_bytes()


@pytest.mark.parametrize("size", [size for size in SIZES if size >= CHUNK])
def test_it_resumes_after_the_first_chunk(server: Serving, root: Path, tmp_path: Path, size: int) -> None:
    """The tutorial's way to resume: keep the first chunk, ask from the second one, append what comes."""
    out = tmp_path / "out"
    first = tutorial_get(server.address, f"{size}.bin", out, "--only-first")
    assert first.code == 0, first.err
    assert out.stat().st_size == CHUNK
    rest = tutorial_get(server.address, f"{size}.bin", out, "--start-at", "1")
    assert rest.code == 0, rest.err
    assert out.read_bytes() == (root / f"{size}.bin").read_bytes()


@pytest.mark.parametrize(
    ("name", "start", "code"),
    [
        ("nope.bin", 0, "NotFound"),
        ("nope.bin", 7, "NotFound"),
        ("sub", 0, "FailedPrecondition"),
        ("1.bin", -1, "InvalidArgument"),
        ("", 0, "InvalidArgument"),
        ("../secret", 0, "InvalidArgument"),
        ("1.bin", 1, "OutOfRange"),
        (f"{CHUNK}.bin", 2, "OutOfRange"),
        ("0.bin", 2**31 - 1, "OutOfRange"),
        ("outside", 0, "PermissionDenied"),
    ],
)
def test_it_is_told_what_is_wrong(server: Serving, tmp_path: Path, name: str, start: int, code: str) -> None:
    """What the tutorial answers with UNKNOWN, with nothing, or with somebody's secrets, has a status of its own."""
    done = tutorial_get(server.address, name, tmp_path / "out", "--start-at", str(start))
    assert done.code == 1
    assert done.err.startswith(f"code = {code} ")


def test_it_reads_beyond_4_gib(server: Serving, root: Path, tmp_path: Path) -> None:
    """A start beyond 4 GiB is exact: the last chunks of a huge file arrive, and nothing else."""
    size = (root / "huge.bin").stat().st_size
    start = size // CHUNK - 2
    done = tutorial_get(server.address, "huge.bin", tmp_path / "out", "--start-at", str(start))
    assert done.code == 0, done.err
    with (root / "huge.bin").open("rb") as file:
        file.seek(start * CHUNK)
        assert (tmp_path / "out").read_bytes() == file.read()


@pytest.mark.parametrize("block_size", ["1", "40000", "2097152"])
def test_the_servers_block_size_does_not_matter(root: Path, tmp_path: Path, block_size: str) -> None:
    """Chunks are 32 KiB whatever blocks the server reads in: both sides count in them."""
    with serving(root, tmp_path / "log", "--block-size", block_size) as server:
        for options in ([], ["--start-at", "2"]):
            out = tmp_path / f"out{len(options)}"
            assert tutorial_get(server.address, "5000001.bin", out, *options).code == 0
            assert out.read_bytes() == (root / "5000001.bin").read_bytes()[CHUNK * len(options) :]


def test_reads_in_the_dialect_are_logged_like_others(root: Path, tmp_path: Path) -> None:
    """The log has a line for each, with the method's name and the start in bytes."""
    with serving(root, tmp_path / "log") as server:
        tutorial_get(server.address, "5000001.bin", tmp_path / "out", "--start-at", "3")
        tutorial_get(server.address, "nope.bin", tmp_path / "out")
        server.stop()
        good, bad = server.reads()
    assert (good["method"], good["start"], good["bytes"], good["outcome"]) == (
        "GetFile",
        3 * CHUNK,
        5_000_001 - 3 * CHUNK,
        "OK",
    )
    assert (bad["method"], bad["outcome"]) == ("GetFile", "FILE_NOT_FOUND")
