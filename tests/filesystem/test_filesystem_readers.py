"""Programs that people read and write data with, through fsspec at a real server, with the bytes and requests counted.

Those that are not installed are left out; `make readers` installs them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from filesystem.conftest import Served, served_in_a_thread
from unspool.filesystem import UnspoolFileSystem

ROWS = 200_000
GROUPS = 4


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a Parquet file of 8 columns in 4 groups of rows, 12.8 MB that cannot be compressed."""
    root = tmp_path_factory.mktemp("data")
    columns = {f"c{number}": pa.array(memoryview(Random(number).randbytes(8 * ROWS)).cast("q").tolist()) for number in range(7)}
    columns["rising"] = pa.array(range(ROWS))
    options: dict[str, Any] = {"compression": None, "use_dictionary": False, "row_group_size": ROWS // GROUPS}
    parquet.write_table(pa.table(columns), root / "table.parquet", **options)
    with served_in_a_thread(root) as served:
        yield served


@pytest.fixture
def table(stocked: Served) -> Served:
    """Return the server, with nothing counted yet."""
    stocked.calls(0)
    return stocked


def size_of(table: Served) -> int:
    """Return the bytes of the whole file."""
    return (table.root / "table.parquet").stat().st_size


def spent(table: Served) -> tuple[int, int]:
    """Return the reads, and the bytes that were sent, since this was last asked."""
    reads = table.reads(1)
    assert {read.outcome for read in reads} == {"OK"}
    return len(reads), sum(read.bytes for read in reads)


COLUMN = 8 * ROWS


def test_pyarrow_fetches_one_column(table: Served, fs: UnspoolFileSystem) -> None:
    """A column of eight costs little more than its own bytes, and few requests."""
    got = parquet.read_table(table.path("table.parquet"), filesystem=fs, columns=["c3"])
    assert got.num_rows == ROWS
    assert got["c3"][0].as_py() == memoryview(Random(3).randbytes(8)).cast("q")[0]
    requests, sent = spent(table)
    assert COLUMN <= sent <= 1.1 * COLUMN
    assert requests <= GROUPS + 2


def test_pyarrow_fetches_one_group_of_rows(table: Served, fs: UnspoolFileSystem) -> None:
    """A filter on a column that rises fetches only the group of rows that may match."""
    found = dataset.dataset(table.path("table.parquet"), filesystem=fs)
    got = found.to_table(columns=["c1"], filter=dataset.field("rising") >= ROWS - 10)
    assert got.num_rows == 10
    requests, sent = spent(table)
    assert sent <= 1.2 * 2 * COLUMN / GROUPS
    assert requests <= 8


def test_pyarrow_reads_a_whole_file(table: Served, fs: UnspoolFileSystem) -> None:
    """The whole table costs no byte twice, but for its end."""
    assert parquet.read_table(table.path("table.parquet"), filesystem=fs).num_columns == 8
    requests, sent = spent(table)
    assert sent <= 1.02 * size_of(table)
    assert requests <= 4 * GROUPS


def test_pandas_fetches_one_column(table: Served) -> None:
    """`pandas.read_parquet` takes the URL, and fetches one column."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(table.url("table.parquet"), columns=["rising"])
    assert frame["rising"].sum() == ROWS * (ROWS - 1) // 2
    requests, sent = spent(table)
    assert COLUMN <= sent <= 1.1 * COLUMN
    assert requests <= GROUPS + 2


def test_pandas_reads_text_in_few_requests(table: Served) -> None:
    """`pandas.read_csv` takes the URL; every byte comes once."""
    pandas = pytest.importorskip("pandas")
    (table.root / "table.csv").write_text("a,b\n" + "".join(f"{number},{number}\n" for number in range(100_000)))
    assert pandas.read_csv(table.url("table.csv"))["b"].sum() == sum(range(100_000))
    requests, sent = spent(table)
    assert sent == (table.root / "table.csv").stat().st_size
    assert requests <= 6


def test_polars_fetches_one_column(table: Served) -> None:
    """`polars.read_parquet` takes the URL if pyarrow reads for it, and fetches one column."""
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(table.url("table.parquet"), columns=["rising"], use_pyarrow=True)
    assert frame["rising"].sum() == ROWS * (ROWS - 1) // 2
    requests, sent = spent(table)
    assert COLUMN <= sent <= 1.1 * COLUMN
    assert requests <= GROUPS + 2


def test_polars_scans_a_dataset_lazily(table: Served, fs: UnspoolFileSystem) -> None:
    """A lazy query over a dataset of pyarrow's fetches the columns and the groups of rows that it needs."""
    polars = pytest.importorskip("polars")
    found = dataset.dataset(table.path("table.parquet"), filesystem=fs)
    query = polars.scan_pyarrow_dataset(found).filter(polars.col("rising") >= ROWS - 10).select(polars.col("c1").len())
    assert query.collect().item() == 10
    requests, sent = spent(table)
    assert sent <= 1.2 * 2 * COLUMN / GROUPS
    assert requests <= 8


def test_duckdb_fetches_one_column_of_one_group(table: Served, fs: UnspoolFileSystem) -> None:
    """DuckDB, told of the file system, fetches the columns and the groups of rows that a query needs."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        url = table.url("table.parquet")
        assert connection.sql(f"select sum(rising) from '{url}'").fetchall() == [(ROWS * (ROWS - 1) // 2,)]
        requests, sent = spent(table)
        assert COLUMN <= sent <= 1.2 * COLUMN
        assert requests <= 4 * GROUPS
        assert connection.sql(f"select count(c1) from '{url}' where rising >= {ROWS - 10}").fetchall() == [(10,)]
        _, sent = spent(table)
        assert sent <= 1.2 * 2 * COLUMN / GROUPS
        assert connection.sql(f"select count(*) from '{table.url()}*.parquet'").fetchall() == [(ROWS,)]


def test_zarr_fetches_the_chunks_of_a_selection(table: Served) -> None:
    """Zarr takes the URL, finds that some chunks are absent, and fetches those of a selection, each once."""
    zarr = pytest.importorskip("zarr")
    numpy = pytest.importorskip("numpy")
    array = zarr.create_array(str(table.root / "a.zarr"), shape=(1000, 1000), chunks=(100, 100), dtype="i8", compressors=None)
    array[:500] = numpy.arange(500_000).reshape(500, 1000)
    table.calls(0)
    read = zarr.open_array(table.url("a.zarr"), mode="r")
    assert (read[150:250, 350:360] == numpy.arange(1000_000).reshape(1000, 1000)[150:250, 350:360]).all()
    assert not read[900, 900]
    chunks = [call for call in table.reads(2) if "/c/" in call.name and call.outcome == "OK"]
    assert sorted(chunk.name for chunk in chunks) == ["a.zarr/c/1/3", "a.zarr/c/2/3"]
    assert [chunk.bytes for chunk in chunks] == [80_000, 80_000]


def test_one_tensor_of_a_file_of_safetensors(table: Served, fs: UnspoolFileSystem) -> None:
    """The header of a file and the bytes of one tensor are all that is fetched to have that tensor."""
    safetensors = pytest.importorskip("safetensors.numpy")
    numpy = pytest.importorskip("numpy")
    safetensors.save_file(
        {f"t{number}": numpy.full((250, 1000), number, "f4") for number in range(8)}, table.root / "m.safetensors"
    )
    with fs.open(table.url("m.safetensors")) as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        start, stop = (8 + length + offset for offset in header["t5"]["data_offsets"])
        file.seek(start)
        tensor = numpy.frombuffer(file.read(stop - start), "f4").reshape(header["t5"]["shape"])
    assert (tensor == 5).all()
    requests, sent = spent(table)
    assert sent <= 1_000_000 + 2 * (8 + length)
    assert requests == 3


async def test_many_chunks_at_once_in_a_loop(table: Served) -> None:
    """An asynchronous reader that asks for a thousand spans at once gets them all, in few requests where they are near."""
    fs = UnspoolFileSystem(asynchronous=True, skip_instance_cache=True)
    data = await asyncio.to_thread((table.root / "table.parquet").read_bytes)
    starts = [number * 1000 for number in range(1000)]
    got = await fs._cat_ranges([table.path("table.parquet")] * 1000, starts, [start + 500 for start in starts])
    await fs.aclose()
    assert got == [data[start : start + 500] for start in starts]
    assert (await asyncio.to_thread(spent, table))[0] == 1


def test_another_cache_is_used_if_asked_for(table: Served, fs: UnspoolFileSystem) -> None:
    """A cache of fsspec's works, and its reads are not read ahead for twice."""
    with fs.open(table.url("table.parquet"), cache_type="readahead", block_size=1 << 20) as file:
        file.seek(1_000_000)
        file.read(10)
    assert spent(table) == (1, (1 << 20) + 10)


def test_a_copy_is_a_download(table: Served, tmp_path: Path) -> None:
    """A copy of a whole file comes with one request, and not in pieces."""
    fs = UnspoolFileSystem(skip_instance_cache=True)
    fs.get(table.url("table.parquet"), str(tmp_path / "copy.parquet"))
    assert (tmp_path / "copy.parquet").read_bytes() == (table.root / "table.parquet").read_bytes()
    assert spent(table) == (1, size_of(table))


def test_pyarrow_writes_what_it_reads(writable: Served, fs: UnspoolFileSystem) -> None:
    """A Parquet file, and a dataset in directories, are the same when they are read back."""
    table = pa.table({"a": list(range(100_000)), "part": [number % 3 for number in range(100_000)]})
    parquet.write_table(table, writable.path("one.parquet"), filesystem=fs)
    assert parquet.read_table(writable.path("one.parquet"), filesystem=fs) == table
    dataset.write_dataset(table, writable.path("many"), format="parquet", partitioning=["part"], filesystem=fs)
    many = dataset.dataset(writable.path("many"), partitioning=["part"], filesystem=fs)
    assert len(many.files) == 3
    assert many.to_table().sort_by("a")["a"] == table["a"]


def test_pandas_writes_what_it_reads(writable: Served) -> None:
    """`to_parquet` and `to_csv` take the URL, compressed too."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": range(1000), "b": [str(number) for number in range(1000)]})
    frame.to_parquet(writable.url("a.parquet"))
    assert pandas.read_parquet(writable.url("a.parquet")).equals(frame)
    frame.to_csv(writable.url("a.csv.gz"), index=False)
    assert pandas.read_csv(writable.url("a.csv.gz"), dtype={"b": str}).equals(frame)


def test_polars_writes_what_it_reads(writable: Served, fs: UnspoolFileSystem) -> None:
    """`write_parquet` takes an open file."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": range(1000)})
    with fs.open(writable.url("a.parquet"), "wb") as file:
        frame.write_parquet(file)
    assert polars.read_parquet(writable.url("a.parquet"), use_pyarrow=True).equals(frame)


def test_zarr_writes_what_it_reads(writable: Served) -> None:
    """An array that zarr makes at a URL has the values that were assigned."""
    zarr = pytest.importorskip("zarr")
    numpy = pytest.importorskip("numpy")
    array = zarr.create_array(writable.url("a.zarr"), shape=(100, 100), chunks=(50, 50), dtype="i8")
    array[10:60] = 7
    read = zarr.open_array(writable.url("a.zarr"), mode="r")[:]
    assert (read[10:60] == 7).all()
    assert int(numpy.sum(read)) == 50 * 100 * 7


def test_duckdb_writes_what_it_reads(writable: Served, fs: UnspoolFileSystem) -> None:
    """`copy ... to` takes the URL of a file."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        connection.sql("create table t as select range as a from range(100000)")
        connection.sql(f"copy t to '{writable.url('a.parquet')}' (format parquet)")
        assert connection.sql(f"select sum(a) from '{writable.url('a.parquet')}'").fetchall() == [(4_999_950_000,)]
