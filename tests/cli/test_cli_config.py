"""`unspool serve --config`: a file of options, what overrides it, and errors that point at the line."""

from __future__ import annotations

import socket
from pathlib import Path

import click
import pytest

from authority import Authority
from house.documents import read, text_after
from processes import running, unspool
from unspool.cli.config import places_of
from unspool.cli.program import _usage
from unspool.cli.serve import serve
from unspool.cli.settings import Settings
from unspool.errors import UnspoolError

FILE = """\
# a comment
root = "models"
listen = ["127.0.0.1:0", "unix:s"]
max-streams = 10
"max-requests" = 2
block-size = "512K"
max-block-size = 1048576
hidden = true
demo = false
log-format = "json"
"""


def parsed(path: Path, *words: str) -> click.Context:
    """Return what `serve` makes of a file and a command line."""
    context: click.Context = serve.make_context("serve", ["--config", str(path), *words])
    return context


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with many options."""
    path = tmp_path / "serve.toml"
    path.write_text(FILE)
    return path


def test_a_file_sets_what_nothing_else_sets(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line comes before the environment, the environment before the file, and the file before the defaults."""
    monkeypatch.setenv("UNSPOOL_BLOCK_SIZE", "64K")
    monkeypatch.setenv("UNSPOOL_MAX_STREAMS", "11")
    monkeypatch.setenv("UNSPOOL_DEMO", "yes")
    context = parsed(file, "--max-streams", "12", "--grace=3")
    wanted = {
        "root": "models",
        "listen": ("127.0.0.1:0", "unix:s"),
        "max_streams": 12,
        "max_requests": 2.0,
        "block_size": 64 << 10,
        "max_block_size": 1 << 20,
        "hidden": True,
        "demo": True,
        "log_format": "json",
        "grace": 3.0,
        "max_page_size": 5000,
    }
    assert {name: context.params[name] for name in wanted} == wanted


def test_it_is_known_which_line_a_setting_comes_from(file: Path) -> None:
    """What comes from the file has its line; what was overridden, or is a default, has none."""
    assert places_of(parsed(file, "--max-streams", "12", "other")) == {
        name: f"{file}: line {line}"
        for name, line in {
            "listen": 3,
            "max_requests": 5,
            "block_size": 6,
            "max_block_size": 7,
            "hidden": 8,
            "demo": 9,
            "log_format": 10,
        }.items()
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_bandwith = 3", "'max_bandwith' is no option of serve; did you mean max-bandwidth?"),
        ("[limits]\nstreams = 3", "'limits' is no option of serve"),
        ("config = 'a'", "'config' is no option of serve"),
        ("max-bandwidth = '3MB'", "max-bandwidth: '3MB' could mean powers of 1000 or of 1024: write M or MiB (powers of 1024)"),
        ("max-bandwidth = 0", "max-bandwidth: 0 is too small: the least is 1"),
        ("max-bandwidth = true", 'max-bandwidth: write a number of bytes, or a string with a unit, as "64K"'),
        ("workers = '3'", "workers: write a whole number, without quotes"),
        ("workers = true", "workers: write a whole number, without quotes"),
        ("grace = '3'", "grace: write a number, without quotes"),
        ("grace = nan", "grace: nan is not a number"),
        ("workers = 999", "workers: 999 is not in the range 1<=x<=256"),
        ("bytestream = 1", "bytestream: write true or false"),
        ("rules = 1", "rules: write a string, in quotes"),
        ('rules = "a\\u0000"', "rules: write a string, in quotes"),
        ("quiet = tru", "not TOML: invalid value"),
    ],
)
def test_an_error_points_at_its_line(file: Path, line: str, said: str) -> None:
    """An unknown option, a value of another type or one that is not allowed is one error, with its line."""
    file.write_text(FILE + line + "\n")
    with pytest.raises(click.ClickException) as caught:
        parsed(file)
    assert (caught.value.message, caught.value.exit_code) == (f"{file}: line 11: {said}", 2)


def test_an_address_may_be_a_string_and_not_a_number(file: Path) -> None:
    """`listen` takes a string as well as a list of them."""
    file.write_text('listen = "unix:s"\n')
    assert parsed(file).params["listen"] == ("unix:s",)
    for wrong in ("[]", "1", "[1]"):
        file.write_text(f"listen = {wrong}\n")
        with pytest.raises(click.ClickException, match="line 1: listen: write a string, or a list of strings"):
            parsed(file)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A file that is not there, not text or much too large is one error."""
    with pytest.raises(click.ClickException, match=r"nope\.toml: no such file") as caught:
        parsed(tmp_path / "nope.toml")
    assert caught.value.exit_code == 8
    (tmp_path / "a").write_bytes(b"root = 'a'\nlisten = '\xff'\n")
    with pytest.raises(click.ClickException, match="line 2: not UTF-8"):
        parsed(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(click.ClickException, match="too large"):
        parsed(tmp_path / "b")


def test_no_variable_is_one_that_kubernetes_sets() -> None:
    """For a service called `unspool` Kubernetes sets UNSPOOL_PORT, UNSPOOL_PORT_..., UNSPOOL_SERVICE_HOST and others."""
    assert not [one.name for one in serve.params if one.name and one.name.startswith(("port", "service"))]


def test_a_bad_variable_is_told_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a value comes from the environment, the error names the variable."""
    monkeypatch.setenv("UNSPOOL_WORKERS", "0")
    with pytest.raises(click.BadParameter) as caught:
        parsed(file)
    assert _usage(caught.value).startswith("serve: invalid value for UNSPOOL_WORKERS: 0 is not in the range")


def test_the_example_of_the_reference_is_a_configuration(tmp_path: Path) -> None:
    """The file that docs/cli.md shows is read without an error."""
    (tmp_path / "serve.toml").write_text(text_after(read("docs/cli.md"), "<!-- example: configuration -->"))
    assert parsed(tmp_path / "serve.toml").params["root"] == "/srv/files"


def test_without_a_root_nothing_is_served() -> None:
    """If neither the command line nor the environment nor a file names what to serve, that is a usage error."""
    ended = unspool("serve", "--check-config")
    assert (ended.code, ended.complaint) == (2, "unspool serve: missing argument 'ROOT'; see `unspool serve --help`")


async def test_everything_is_checked_and_nothing_is_created(tmp_path: Path) -> None:
    """`--check-config` opens what a start opens and names the line of what is wrong; it creates no file."""
    certificate = Authority(tmp_path / "ca").issue("localhost")
    (tmp_path / "models").mkdir()
    lines = [
        f"root = '{tmp_path / 'models'}'",
        "listen = '0.0.0.0:0'",
        f"cert = '{certificate.cert}'",
        f"key = '{certificate.key}'",
        f"rules = '{tmp_path / 'rules'}'",
        f"audit = '{tmp_path / 'audit'}'",
        f"checksums = '{tmp_path / 'sums'}'",
        "metrics = '9100'",
    ]
    (tmp_path / "rules").write_text("[[rule]]\nprefix = ''\nwho = '@anyone'\nmay = 'read'\n")
    file = tmp_path / "serve.toml"

    async def checked(changed: str = "") -> str:
        new = {line.partition(" ")[0]: line for line in [*lines, changed]}
        file.write_text("\n".join(new.values()))
        context = parsed(file)
        params = {name: value for name, value in context.params.items() if name not in {"debug", "check_config"}}
        try:
            await Settings(places=places_of(context), **params).check()
        except UnspoolError as error:
            return error.message.removeprefix(f"{file}: ")
        return ""

    assert await checked() == ""
    assert await checked("root = 'nope'") == "line 1: nope: no such directory"
    assert await checked("listen = 'x:y'") == (
        "line 2: 'x:y' is not an address to listen on: write HOST:PORT, PORT for all interfaces, or unix:PATH"
    )
    assert (await checked("listen = 'nohost.invalid:1'")).startswith("line 2: cannot listen on nohost.invalid:1: the host ")
    assert (await checked("listen = ['tls:1', 'plain:0.0.0.0:0']")).startswith("line 2: 0.0.0.0:0 is open to other machines")
    assert await checked("cert = 'nope'") == "line 3: nope: no such file or directory"
    assert (await checked("rules = 'nope'")).startswith("line 5: nope: ")
    assert (await checked("tokens = 'nope'")).startswith("line 9: nope: ")
    assert (await checked("jwt-issuer = 'nope'")).startswith("line 9: JWTs need all of ")
    assert await checked("audit = 'nope/audit'") == "line 6: nope/audit: cannot be written"
    assert await checked("checksums = 'nope/sums'") == "line 7: nope/sums: cannot be written"
    assert (await checked(f"checksums = '{certificate.cert}'")).startswith(f"line 7: {certificate.cert}: cannot be used as ")
    assert (await checked("metrics = 'unix:a'")).startswith("line 8: 'unix:a' is not an address for metrics")
    assert not (tmp_path / "audit").exists()
    assert not (tmp_path / "sums").exists()


def test_a_check_says_that_there_is_no_error(tmp_path: Path) -> None:
    """`--check-config` also checks what is given without a file."""
    ended = unspool("serve", tmp_path, "--check-config")
    assert (ended.code, ended.lines) == (0, ["unspool: the configuration has no error"])


def test_a_server_is_what_its_file_says_with_workers_too(tmp_path: Path) -> None:
    """A server that is started with a file alone serves what the file says, where it says, and by several processes."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".a").write_bytes(b"hidden\n")
    file = tmp_path / "serve.toml"
    file.write_text(f"root = '{tmp_path / 'models'}'\nlisten = '127.0.0.1:0'\nhidden = true\nworkers = 2\nquiet = true\n")
    with running("serve", "--config", file) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().rpartition(" on ")[2].strip()
        assert unspool("cat", f"{address}/.a").out == b"hidden\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_address_in_use_is_told_with_its_line(tmp_path: Path, workers: int) -> None:
    """A server that cannot listen where its file says names the line, whether one process would listen or several."""
    file = tmp_path / "serve.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f"root = '{tmp_path}'\nlisten = '127.0.0.1:{port}'\nworkers = {workers}\n")
        ended = unspool("serve", "--config", file)
    assert ended.code != 0
    assert ended.complaint.startswith(f"unspool: {file}: line 2: cannot listen on ")
    assert str(port) in ended.complaint
