"""`unspool completion`: real shells complete what is typed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processes import ENVIRONMENT, unspool

BIN = Path(sys.executable).parent
"""The directory where `unspool` is installed."""

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(unspool completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(unspool completion zsh)"),
}
"""How to start an interactive shell without the user's settings, and load the completion."""

TAUGHT = "TAU" + "GHT"


def shell(name: str) -> str:
    """Return the path of a shell; skip the test if it is not installed."""
    path = shutil.which(name)
    if path is None or not (BIN / "unspool").exists():
        pytest.skip(f"{name} is not installed here" if path is None else "unspool is not installed as a command here")
    return path


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a shell in which `unspool` can be run."""
    return {**ENVIRONMENT, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb", "PS1": "$ "}


class Typed:
    """A terminal with a shell."""

    def __init__(self, terminal: int) -> None:
        self.terminal = terminal
        self.text = ""

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.terminal, text.encode())

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        """Wait until the terminal shows a text."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert select.select([self.terminal], [], [], max(deadline - time.monotonic(), 0))[0], self.text
            self.text += os.read(self.terminal, 1 << 16).decode(errors="replace")


@contextmanager
def typing_into(name: str, home: Path) -> Iterator[Typed]:
    """Run a shell with the completion loaded, in the directory `home`."""
    arguments, teach = START[name]
    path = shell(name)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [path, *arguments[1:]],
        env=environment(home),
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            typed = Typed(ours)
            typed.type(f"{teach}; echo TAU''GHT\n")
            typed.wait_for(TAUGHT)
            typed.text = ""
            yield typed
        finally:
            process.kill()
            os.close(ours)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_completes_what_is_typed(tmp_path: Path, name: str) -> None:
    """Tab completes a command, an option, an option's value, and a local file where a path is expected."""
    (tmp_path / "destination.bin").touch()
    with typing_into(name, tmp_path) as typed:
        for begun, completed in (
            ("unspool verif\t", "unspool verify "),
            ("unspool get --retr\t", "unspool get --retry-budget "),
            ("unspool get --on-change resta\t", "unspool get --on-change restart "),
            ("unspool get localhost:1/a destin\t", "destination.bin"),
        ):
            typed.type(begun)
            typed.wait_for(completed)
            typed.type("\x15")  # clear the line
            typed.text = ""


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("unspool verif", ["verify"]),
        ("unspool get --retr", ["--retry-budget"]),
        ("unspool completion ", ["bash", "fish", "zsh"]),
        ("unspool get localhost:1/a destin", ["destination.bin"]),
    ],
)
def test_fish_completes_what_is_typed(tmp_path: Path, line: str, offered: list[str]) -> None:
    """The shell fish itself offers the same completions."""
    (tmp_path / "destination.bin").touch()
    done = subprocess.run(
        [shell("fish"), "--no-config", "-c", f"unspool completion fish | source; complete -C '{line}'"],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(one.partition("\t")[0] for one in done.stdout.splitlines()) == offered


@pytest.mark.parametrize(
    "words", ["unspool ", "unspool get ", "unspool get --", "unspool get localhost:1/a ", "unspool ls local"]
)
def test_completing_loads_nothing_heavy_and_asks_nobody(words: str) -> None:
    """Completion needs no gRPC, asyncio or server, so it is as fast as help."""
    program = (
        "import sys; sys.argv = ['unspool']\n"
        "from unspool.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'google', 'rich', 'asyncio', 'uvloop', 'socket'} & set(sys.modules)\n"
        "sys.exit(','.join(heavy) or 0)"
    )
    asked = {"_UNSPOOL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    # When coverage is measured, it loads more modules into every process.
    plain = {key: value for key, value in ENVIRONMENT.items() if not key.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", program], env={**plain, **asked}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or words.startswith("unspool ls")


def test_another_shell_is_a_usage_error() -> None:
    """An unknown shell is exit 2, and the message lists the known ones."""
    done = unspool("completion", "csh")
    assert done.code == 2
    for name in ("bash", "zsh", "fish"):
        assert name in done.err
