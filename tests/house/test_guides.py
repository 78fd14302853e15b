"""What the guides of docs/ show is run: their commands, their scripts and their Python."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority import Authority
from house.conversations import ADDRESS, conversations, python, replay, run, server
from house.documents import fenced, read
from processes import ENVIRONMENT, serving, unspool
from proxies.proxy import TOOLS, program_of
from unspool.cli.exits import EXIT_CODES

FILES = {
    "hello.txt": b"hello\n",
    "small/a.txt": b"a\n",
    "small/b.json": b'{"b": 1}\n',
    "model.bin": bytes(1000),
    "llama/model": bytes(100_000),
}

SIZE = 128 << 20
"""Of the quick start's model.bin: large enough to be interrupted."""


def stock(root: Path) -> Path:
    """Make the directory that the guides serve."""
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve it, and yield the address."""
    with serving(stock(tmp_path_factory.mktemp("models")), tmp_path_factory.mktemp("log") / "log") as one:
        yield one.address


def test_the_quick_start_goes_as_it_says(tmp_path: Path) -> None:
    """Its commands, in their order, print what it shows but for numbers, and its Python runs."""
    text = read("docs/quickstart.md")
    models = stock(tmp_path / "models")
    with (models / "model.bin").open("wb") as file:
        file.truncate(SIZE)
    here = tmp_path / "here"
    here.mkdir()
    first, getting, tree, second, putting = conversations(text)
    with server(tmp_path, *first[0]) as (address, pid):
        for line, shown in [*getting, *tree]:
            replay(line, shown, here, address, pid)
    with server(tmp_path, *second[0]) as (address, pid):
        for line, shown in putting:
            replay(line, shown, here, address, pid)
        [block] = fenced(text, "python")
        assert python(block.replace(ADDRESS, address), here) == [f"{SIZE} file", "b'hello\\n'"]
    assert (models / "copies" / "model.bin").stat().st_size == SIZE


def test_a_raised_limit_lets_a_large_message_pass(tmp_path: Path) -> None:
    """The code of streaming.md prints what its comments say."""
    [block] = fenced(read("docs/streaming.md"), "python")
    assert python(block, tmp_path) == ["RESOURCE_EXHAUSTED", "50000000"]


def script(block: str, *arguments: str, cwd: Path, wait: str = "0") -> tuple[int, str]:
    """Run a script of scripts.md; return its exit code and what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{ENVIRONMENT['PATH']}"
    done = subprocess.run(
        ["sh", "-c", block, "fetch.sh", *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, "PATH": path, "WAIT": wait},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_a_job_says_whether_to_run_it_again(tmp_path: Path, served: str) -> None:
    """fetch.sh ends with 0 if the file is there, with 75 if no server is, and with the command's code if a person must look."""
    fetch, _ = fenced(read("docs/scripts.md"), "sh")
    assert script(fetch, f"{served}/hello.txt", "hello", cwd=tmp_path) == (0, "")
    assert (tmp_path / "hello").read_bytes() == FILES["hello.txt"]
    assert script(fetch, f"{served}/missing", "missing", cwd=tmp_path) == (3, "")
    assert script(fetch.replace("--quiet", "--quiet --retry-budget 1"), "localhost:1/x", "x", cwd=tmp_path) == (75, "")
    assert {7, 9, 129, 130, 143} < set(EXIT_CODES)


def test_a_program_learns_what_came_of_it(tmp_path: Path, served: str) -> None:
    """The pipe of scripts.md prints how much was verified, or the error."""
    _, pipe = fenced(read("docs/scripts.md"), "sh")
    assert script(pipe, f"{served}/hello.txt", "hello", cwd=tmp_path) == (0, "file\n")
    assert "no such file" in script(pipe, f"{served}/missing", "missing", cwd=tmp_path)[1]


def test_errors_say_whether_to_try_again(tmp_path: Path, served: str) -> None:
    """The Python of scripts.md ends well, and says "never" where no server will change it."""
    [block] = fenced(read("docs/scripts.md"), "python")
    assert python(block.replace(ADDRESS, served), tmp_path) == ["file"]
    with pytest.raises(AssertionError, match="never: "):
        python(block.replace(ADDRESS, served).replace("/model.bin", "/missing"), tmp_path)


def test_models_are_served_as_the_guide_says(tmp_path: Path) -> None:
    """serving.md: who has the token gets what the rules say and nothing else, over TLS."""
    making, (serve,), (getting,) = conversations(read("docs/serving.md"))
    (token_new, _), (_, rules), (explain, explained) = making
    token = unspool(*shlex.split(token_new)[1:], cwd=tmp_path)
    (tmp_path / "token").write_bytes(token.out)
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "rules.toml").write_text("\n".join(rules))
    assert unspool(*shlex.split(explain)[1:], cwd=tmp_path).lines == explained
    authority = Authority(tmp_path)
    pair = authority.issue("localhost")

    words = shlex.split(serve[0])[1:]
    assert words[:2] == ["serve", "/srv/models"]
    here = {"models.pem": pair.cert, "models.key": pair.key}
    here |= {name: tmp_path / name for name in ("tokens", "rules.toml", "sums")}
    options = [str(here.get(word, word)) for word in words[2:]]
    at = options.index("--listen")
    del options[at : at + 2]
    with serving(stock(tmp_path / "models"), tmp_path / "log", *options, listen="localhost:0") as one:
        local = f"localhost:{one.address.rpartition(':')[2]}"
        arguments = shlex.split(getting[0].replace("models:50051", local).replace("ca.pem", str(authority.file)))[1:]
        done = unspool(*arguments, cwd=tmp_path)
        assert done.code == 0, done.err
        assert (tmp_path / "llama" / "model").read_bytes() == FILES["llama/model"]
        elsewhere = ("get", f"unspools://{local}/hello.txt", "--ca", authority.file, "--token-file", "token")
        assert unspool(*elsewhere, cwd=tmp_path).code == 4


def test_the_pod_of_the_guide_is_one(tmp_path: Path) -> None:
    """The manifest of kubernetes.md is valid, strictly, and its command is one of ours."""
    [manifest] = fenced(read("docs/kubernetes.md"), "yaml")
    (tmp_path / "pod.yaml").write_text(manifest)
    program = program_of("kubernetes-validate", "`make proxies` installs it")
    run([str(program), "-k", "1.32", "--strict", "pod.yaml"], tmp_path)
    said = "import yaml; print('\\n'.join(yaml.safe_load(open('pod.yaml'))['spec']['initContainers'][0]['args']))"
    arguments = run([str(TOOLS / "python"), "-c", said], tmp_path)
    tried = [word.replace("/models/", "").replace("unspool.models.svc:50051", "localhost:1") for word in arguments]
    tried = [word for word in tried if not word.startswith(("--ca", "--tls"))]
    assert unspool(*tried, "--wait=0", "--retry-budget=1", cwd=tmp_path).code == 7
