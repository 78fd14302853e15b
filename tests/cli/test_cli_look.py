"""`unspool ls`, `stat`, `cat` and `verify`."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from crc32c import crc32c

from cli.serveddir import ODD, Served
from damaging import damage
from processes import ENVIRONMENT, UNSPOOL, unspool
from unspool.cli.output import printable


def test_ls_shows_one_level(served: Served) -> None:
    """`ls` lists the files and, with a trailing slash, the prefixes of one level; links that lead outside are omitted."""
    done = unspool("ls", served.url())
    assert done.code == 0
    assert sorted(done.lines) == sorted(["big.bin", "empty", "hello.txt", "many/", "sub/", printable(ODD)])
    assert b"\x1b" not in done.out


def test_ls_shows_all_files_below(served: Served) -> None:
    """`ls -r` lists every file below, and no prefixes."""
    assert sorted(unspool("ls", "-r", served.url()).lines) == sorted(map(printable, served.files))
    assert sorted(unspool("ls", "-r", served.url("sub")).lines) == ["sub/data.bin", "sub/deeper/leaf"]
    assert sorted(unspool("ls", served.url("sub/")).lines) == ["sub/data.bin", "sub/deeper/"]


def test_ls_of_a_file_is_that_file(served: Served) -> None:
    """`ls` of a file lists that file."""
    assert unspool("ls", served.url("sub/data.bin")).lines == ["sub/data.bin"]


def test_ls_long_shows_sizes_and_times(served: Served) -> None:
    """`ls -l` adds the size in bytes and the modification time in UTC, and a dash for prefixes."""
    rows = {line.split(maxsplit=2)[-1].split()[-1]: line.split() for line in unspool("ls", "-l", served.url()).lines}
    size, modified, _ = rows["hello.txt"]
    assert int(size) == len(served.files["hello.txt"])
    assert modified.endswith("Z")
    assert rows["sub/"][0] == "-"


def test_ls_json_is_one_object_a_line(served: Served) -> None:
    """`ls --json` prints one object a line: a description for a file, `prefix` for a prefix."""
    objects = [json.loads(line) for line in unspool("ls", "--json", served.url()).lines]
    assert sorted(one["prefix"] for one in objects if "prefix" in one) == ["many/", "sub/"]
    files = {one["name"]: one for one in objects if "name" in one}
    assert set(files) == {"big.bin", "empty", "hello.txt", ODD}
    assert set(files["hello.txt"]) == {"name", "size", "revision", "modified", "content_type", "executable", "crc32c"}
    assert files["hello.txt"]["size"] == len(served.files["hello.txt"])


def test_ls_of_very_many_files_arrives_in_pages(served: Served) -> None:
    """A listing longer than two pages arrives completely, each name once."""
    names = unspool("ls", served.url("many")).lines
    assert len(names) == 2500
    assert sorted(names) == [name for name in served.files if name.startswith("many/")]


def test_stat_says_what_the_file_is(served: Served) -> None:
    """`stat` prints name, size, revision and time, one a line; `stat --json` prints the same as one object."""
    said = dict(line.split(maxsplit=1) for line in unspool("stat", served.url("hello.txt")).lines)
    one = json.loads(unspool("stat", "--json", served.url("hello.txt")).out)
    assert said["name"] == one["name"] == "hello.txt"
    assert int(said["size"]) == one["size"] == len(served.files["hello.txt"])
    assert said["revision"] == one["revision"] != ""
    assert said["modified"] == one["modified"]
    assert one["content_type"] == "text/plain"
    assert (said["executable"], one["executable"]) == ("no", False)


def test_stat_knows_the_checksum_once_the_file_was_read(served: Served) -> None:
    """`stat` prints the checksum of a file that was read before, as eight hex digits."""
    assert unspool("cat", served.url("sub/deeper/leaf")).out == b"leaf"
    said = dict(line.split(maxsplit=1) for line in unspool("stat", served.url("sub/deeper/leaf")).lines)
    assert said["crc32c"] == f"{crc32c(b'leaf'):08x}"


@pytest.mark.parametrize(
    ("offset", "length"), [(0, None), (0, 0), (0, 1), (1_048_575, 2), (2_999_999, 100), (3_000_001, None), (1, 2_999_999)]
)
def test_cat_writes_exactly_the_span(served: Served, offset: int, length: int | None) -> None:
    """`cat` writes exactly the requested bytes, cut at the end of the file."""
    options = ["--offset", str(offset)] + (["--length", str(length)] if length is not None else [])
    done = unspool("cat", *options, served.url("sub/data.bin"))
    assert (done.code, done.err) == (0, "")
    stop = None if length is None else offset + length
    assert done.out == served.files["sub/data.bin"][offset:stop]


@pytest.mark.parametrize("command", ["cat BIG", "get BIG -", "get --quiet BIG -", "ls --json MANY"])
def test_a_reader_that_has_enough_ends_it_quietly(served: Served, command: str) -> None:
    """`unspool ... | head` ends silently with exit 141 when head has enough, and does not report success."""
    arguments = command.replace("BIG", served.url("big.bin")).replace("MANY", served.url("many")).split()
    with subprocess.Popen([*UNSPOOL, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_verify_says_whether_the_bytes_are_the_same(served: Served, tmp_path: Path) -> None:
    """`verify` is exit 0 for the same bytes, 6 for others of the same size and for another size, and changes nothing."""
    data = served.files["sub/data.bin"]
    mine = tmp_path / "mine"
    mine.write_bytes(data)
    good = unspool("verify", served.url("sub/data.bin"), mine)
    assert good.code == 0
    assert f"{crc32c(data):08x}" in good.out.decode()
    assert unspool("verify", "--quiet", served.url("sub/data.bin"), mine).out == b""
    for other in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], data + b"x"):
        mine.write_bytes(other)
        bad = unspool("verify", served.url("sub/data.bin"), mine)
        assert bad.code == 6
        assert str(mine) in bad.complaint
        assert mine.read_bytes() == other


def test_stat_and_verify_with_sha256(served: Served, tmp_path: Path) -> None:
    """`--sha256` prints what `sha256sum` does, also as JSON; `verify --sha256` compares it."""
    path = served.root / "sub" / "data.bin"
    digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    said = dict(line.split(maxsplit=1) for line in unspool("stat", "--sha256", served.url("sub/data.bin")).lines)
    assert said["sha256"] == digest
    assert json.loads(unspool("stat", "--json", "--sha256", served.url("sub/data.bin")).out)["sha256"] == digest
    assert "sha256" not in json.loads(unspool("stat", "--json", served.url("sub/data.bin")).out)
    done = unspool("verify", "--sha256", served.url("sub/data.bin"), path)
    assert (done.code, done.lines[0].endswith(f", sha256 {digest}")) == (0, True)
    other = bytearray(path.read_bytes())
    other[7] ^= 1
    (tmp_path / "other").write_bytes(other)
    assert unspool("verify", "--sha256", served.url("sub/data.bin"), tmp_path / "other").code == 6


def test_verify_compares_a_tree(served: Served, tmp_path: Path) -> None:
    """`verify -r` is exit 0 if every file is the server's, else 6; each difference is a line, and the last line has totals."""
    out = tmp_path / "out"
    assert unspool("get", "-r", "-q", served.url("sub"), out).code == 0
    good = unspool("verify", "-r", served.url("sub"), out)
    assert good.code == 0
    assert re.search(r"out: 2 files, 2\.9 MiB below .* in .* s: 2 as on the server$", good.lines[-1])
    path = out / "data.bin"
    damage(path)
    bad = unspool("verify", "-r", served.url("sub"), out)
    assert (bad.code, len(bad.complaint.splitlines())) == (6, 1)
    assert re.search(rf"^unspool: {path}: has other bytes than sub/data.bin on the server", bad.complaint)
    assert bad.lines[-1].endswith("1 as on the server, 1 not")
    told = json.loads(unspool("verify", "-r", "--json", served.url("sub"), out).out)
    assert (told["files"], told["same"], told["failed"]) == (2, 1, 1)
    assert [(failure["name"], failure["reason"]) for failure in told["failures"]] == [("sub/data.bin", "FILE_MISMATCH")]
    assert unspool("verify", "-r", "-q", "--exclude", "data.bin", served.url("sub"), out).code == 0
    assert "1 fetched" in unspool("get", "-r", "--checksum", served.url("sub"), out).complaint
    assert unspool("verify", "-r", served.url("sub"), out).code == 0


def test_verify_prints_json(served: Served) -> None:
    """`verify --json` prints what `stat --json` does, and the path; a difference is the object of an error."""
    path = served.root / "sub" / "data.bin"
    told = json.loads(unspool("verify", "--json", served.url("sub/data.bin"), path).out)
    assert told == json.loads(unspool("stat", "--json", served.url("sub/data.bin")).out) | {"path": str(path)}
    bad = unspool("verify", "--json", served.url("sub/data.bin"), served.root / "hello.txt")
    assert (bad.code, json.loads(bad.out)["reason"]) == (6, "FILE_MISMATCH")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("verify --include * URL out", "add --recursive"),
        ("get --checksum URL out", "a single file is always compared"),
    ],
)
def test_what_needs_a_tree_says_so(served: Served, arguments: str, words: str) -> None:
    """Options for trees are a usage error without `-r`."""
    done = unspool(*arguments.replace("URL", served.url("hello.txt")).split())
    assert done.code == 2
    assert words in done.complaint
