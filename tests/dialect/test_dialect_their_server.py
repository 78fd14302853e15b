"""Our client, and the tutorial's unmodified server, in Go."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dialect.tutorial import CHUNK, SIZES, tutorial_serving
from gate import Gate
from interrupted import interrupt_get
from processes import eventually, outcome_of, running, size_of, unspool
from unspool import Client

MIB = 1 << 20


@pytest.fixture(scope="module")
def theirs(root: Path) -> Iterator[str]:
    """Serve the directory with the tutorial's program."""
    with tutorial_serving(root) as address:
        yield address


def get(address: str, name: str, out: Path) -> dict[str, object]:
    """Run `unspool get --dialect demo --json` and return what it printed."""
    done = unspool("get", "--dialect", "demo", "--json", f"{address}/{name}", out)
    assert done.code == 0, done.err
    result: dict[str, object] = json.loads(done.out)
    assert (result["verified"], result["revision"], result["restarts"]) == ("none", None, 0)
    return result


@pytest.mark.parametrize("size", SIZES)
def test_we_get_a_file_whole(theirs: str, root: Path, tmp_path: Path, size: int) -> None:
    """`get --dialect demo` gets exactly the bytes, whatever the size, and does not claim to have verified them."""
    result = get(theirs, f"{size}.bin", tmp_path / "out")
    assert (result["size"], result["bytes_received"], result["attempts"]) == (size, size, 1)
    assert (tmp_path / "out").read_bytes() == (root / f"{size}.bin").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_we_say_that_nothing_was_verified(theirs: str, tmp_path: Path) -> None:
    """The line for people says NOT verified."""
    done = unspool("get", "--dialect", "demo", f"{theirs}/1.bin", tmp_path / "out")
    assert done.code == 0
    assert "NOT verified" in done.complaint


@pytest.mark.parametrize("after", [0, 1, 7, 152, 153])
def test_a_stream_that_breaks_goes_on_by_itself(root: Path, tmp_path: Path, after: int) -> None:
    """A server that breaks off after some chunks, even all of them: the next attempt goes on there, and no byte comes twice."""
    with tutorial_serving(root, "--fail-after", str(after)) as address:
        result = get(address, "5000001.bin", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (root / "5000001.bin").read_bytes()
    assert result["attempts"] == 2
    assert result["bytes_received"] == 5_000_001
    assert result["resumed_from"] == 0


def test_a_killed_download_resumes_at_its_chunk(theirs: str, root: Path, tmp_path: Path) -> None:
    """After SIGKILL the same command goes on by chunk number from what is good, and the bytes are right."""
    out = tmp_path / "out"
    with Gate(theirs, 20 * MIB) as gate:
        with running("get", "--dialect", "demo", "--quiet", f"{gate.address}/big.bin", out) as client:
            eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 18 * MIB)
            client.kill()
            client.wait()
        assert not out.exists()
        gate.open()
        result = get(gate.address, "big.bin", out)
    resumed_from, received = result["resumed_from"], result["bytes_received"]
    assert isinstance(resumed_from, int)
    assert isinstance(received, int)
    assert resumed_from >= 16 * MIB
    assert resumed_from + received == 48 * MIB
    assert out.read_bytes() == (root / "big.bin").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_server_that_comes_back_is_gone_on_with(root: Path, tmp_path: Path) -> None:
    """A server that is killed in the middle and comes back: the client goes on at its chunk, and no byte comes twice."""
    out = tmp_path / "out"
    with ExitStack() as first:
        address = first.enter_context(tutorial_serving(root))
        with (
            Gate(address, 20 * MIB) as gate,
            running("get", "--dialect", "demo", "--json", "--retry-budget", "30", f"{gate.address}/big.bin", out) as client,
        ):
            eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 16 * MIB)
            first.close()
            gate.open()
            with tutorial_serving(root, listen=address):
                done = outcome_of(client)
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["attempts"] >= 2
    assert result["bytes_received"] == 48 * MIB
    assert out.read_bytes() == (root / "big.bin").read_bytes()


def test_another_servers_bytes_are_not_built_upon(theirs: str, root: Path, tmp_path: Path) -> None:
    """Without revisions, only the same server may go on with a file: another one begins from zero."""
    out = tmp_path / "out"
    assert interrupt_get(theirs, "big.bin", out, 20 * MIB, "--dialect", "demo").code == 130
    result = get(theirs, "big.bin", out)
    assert (result["resumed_from"], result["bytes_received"]) == (0, 48 * MIB)
    assert out.read_bytes() == (root / "big.bin").read_bytes()


@pytest.mark.parametrize("surplus", [0, 1, CHUNK - 1])
async def test_we_read_beyond_4_gib(theirs: str, root: Path, surplus: int) -> None:
    """A start beyond 4 GiB is exact, also within a chunk, to the end and with a length."""
    size = (root / "huge.bin").stat().st_size
    start = (size // CHUNK - 2) * CHUNK + surplus
    with (root / "huge.bin").open("rb") as file:
        file.seek(start)
        tail = file.read()
    async with Client(theirs, dialect="demo") as client:
        assert await client.read("huge.bin", start=start) == tail
        assert await client.read("huge.bin", start=start, length=CHUNK + 5) == tail[: CHUNK + 5]


def test_a_missing_file_is_an_error(theirs: str, tmp_path: Path) -> None:
    """The tutorial answers UNKNOWN for a missing file: that is a broken transfer for us, exit 7, and nothing is left."""
    done = unspool("get", "--dialect", "demo", "--quiet", "--retry-budget", "1", f"{theirs}/nope.bin", tmp_path / "out")
    assert done.code == 7
    assert "nope.bin" in done.complaint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunk_size", ["16384", "65536"])
def test_another_chunk_size_is_found_out(root: Path, tmp_path: Path, chunk_size: str) -> None:
    """A server that counts in other chunks than ours is refused: going on by chunk number would go wrong."""
    with tutorial_serving(root, "--chunk-size", chunk_size) as address:
        done = unspool("get", "--dialect", "demo", "--quiet", "--retry-budget", "1", f"{address}/5000001.bin", tmp_path / "out")
    assert done.code == 6
    assert not (tmp_path / "out").exists()


def test_a_server_that_speaks_only_the_dialect_is_told_apart(theirs: str, tmp_path: Path) -> None:
    """A client that expects unspool.v1 of such a server is told which option it lacks."""
    done = unspool("get", "--quiet", f"{theirs}/1.bin", tmp_path / "out")
    assert done.code == 2
    assert "--dialect demo" in done.complaint
