"""What the README shows is run: its commands, with the output it shows, and its Python."""

from __future__ import annotations

import re
from pathlib import Path

from house.conversations import ADDRESS, conversations, python, replay, server
from house.documents import REPO, fenced, read

README = read("README.md")


def test_what_the_readme_shows_is_what_happens(tmp_path: Path) -> None:
    """The README's commands, in their order, print what the README shows but for numbers, and its Python runs."""
    (serving, *getting) = conversations(README)
    [(command, shown)] = serving
    (tmp_path / "models").mkdir()
    with (tmp_path / "models" / "model.bin").open("wb") as file:
        file.truncate(256 << 20)
    (tmp_path / "models" / "hello.txt").write_text("hello\n")
    here = tmp_path / "here"
    here.mkdir()

    with server(tmp_path, command, shown) as (address, pid):
        for line, expected in [step for conversation in getting for step in conversation]:
            replay(line, expected, here, address, pid)
        assert (here / "model.bin").stat().st_size == 256 << 20
        assert (here / "hello.txt").read_text() == "hello\n"

        [script] = fenced(README, "python")
        printed = python(script.replace(ADDRESS, address), here)
        assert printed[0] == "file"
        assert "model.bin" in printed[1:]
        assert sorted(path.name for path in here.iterdir()) == ["copy.bin", "hello.txt", "model.bin"]


def test_the_readmes_make_targets_are_there() -> None:
    """Every `make` that the README and CONTRIBUTING show is a target."""
    targets = re.findall(r"^([\w-]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
    shown = re.findall(r"^    make ([\w-]+)", README + read("CONTRIBUTING.md"), re.MULTILINE)
    assert {"demo", "test"} <= set(shown) <= set(targets)
