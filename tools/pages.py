"""Lays out the pages of the site below the directory it is given; `make site` then runs Sphinx there.

The documents are copied as they are, at their places in the repository, so that their links stay right. What is not a page on
a site becomes one: a file that a document links to, a directory, the help of each command, the docstrings of the public names.
The navigation is the list in docs/README.md.
"""

from __future__ import annotations

import inspect
import json
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click

import unspool
from unspool.cli import main as program

ROOT = Path(__file__).resolve().parents[1]

LANGUAGES = {
    ".go": "go",
    ".java": "java",
    ".js": "javascript",
    ".json": "json",
    ".proto": "protobuf",
    ".py": "python",
    ".service": "ini",
    ".sh": "sh",
    ".xml": "xml",
    ".yaml": "yaml",
    ".yml": "yaml",
}

MODULES = ("errors", "options", "stores", "client.events", "testing")
"""What docs/library.md says is public, beside the names in `unspool`."""

LINK = re.compile(r"(?<=\]\()(?!https:|mailto:|#)([^)#]+)(#[^)]*)?(?=\))")


def tracked(root: Path) -> list[str]:
    """Return the files of the repository, and those that the next commit would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=root, check=True, stdout=subprocess.PIPE
    )
    return sorted({name for name in listed.stdout.decode().split("\0") if name and (root / name).is_file()})


def page_of(path: str, files: Iterable[str]) -> str:
    """Return the page of the site that stands for a path of the repository."""
    if path == "README.md":
        return "index.md"
    if path.endswith((".md", ".svg")):
        return path
    return f"{path}.md" if path in files else f"{path}/index.md"


def resolved(link: str, document: str) -> str:
    """Return the path of the repository that a link of a document leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(document), link))


def for_site(text: str, document: str, files: Iterable[str]) -> tuple[str, set[str]]:
    """Return a document with its links to files and directories turned to their pages, and the paths it links to."""
    paths = set()

    def turned(match: re.Match[str]) -> str:
        path = resolved(match[1], document)
        paths.add(path)
        return posixpath.relpath(page_of(path, files), posixpath.dirname(document) or ".") + (match[2] or "")

    return LINK.sub(turned, text), paths


def file_page(path: str, text: str) -> str:
    """Return the page that shows a file."""
    shown = notebook(text) if path.endswith(".ipynb") else fenced(text, LANGUAGES.get(posixpath.splitext(path)[1], "text"))
    return f"---\norphan: true\n---\n# {path}\n\n{shown}"


def fenced(text: str, language: str) -> str:
    """Return a block of code, which may have blocks of Markdown in it."""
    return f"``````{language}\n{text.rstrip()}\n``````\n"


def notebook(text: str) -> str:
    """Return the cells of a notebook as Markdown."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(fenced(source, "python") if kind == "code" else re.sub(r"^#", "##", source) for kind, source in cells)


def directory_page(path: str, files: Iterable[str], titles: dict[str, str]) -> str:
    """Return the page of a directory: its files, documents by their titles and in the navigation."""
    below = [name for name in files if name.startswith(f"{path}/")]
    lines = [f"- [{titles.get(name, name)}]({posixpath.relpath(page_of(name, files), path)})" for name in below]
    head = f"# {path}\n\n" if not set(below) <= set(titles) else f"# {posixpath.basename(path).capitalize()}\n\n"
    tree = toctree("", [posixpath.relpath(name, path) for name in below if name in titles])
    return ("" if tree else "---\norphan: true\n---\n") + head + "\n".join(lines) + "\n" + tree


def toctree(caption: str, entries: list[str]) -> str:
    """Return a part of the navigation; nothing, if it would be empty."""
    options = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n{options}\n" + "\n".join(entries) + "\n```\n" if entries else ""


def navigation(listing: str, files: Iterable[str]) -> str:
    """Return the navigation, which is the list of docs/README.md, with the pages that only the site has."""
    parts = [toctree("", ["docs/README"])]
    for caption, body in re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", listing, re.MULTILINE):
        paths = [resolved(link, "docs/README.md") for link, anchor in LINK.findall(body) if not anchor]
        entries = [page_of(path, files).removesuffix(".md") for path in paths if path != "README.md"]
        parts.append(toctree(caption, entries + (["reference/help", "reference/python"] if caption == "Reference" else [])))
    return "".join(parts)


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield each command with the context that its help is shown in."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
        yield command, inner
        if isinstance(command, click.Group):
            yield from commands(command, inner)


def help_page() -> str:
    """Return what `--help` prints of each command."""
    top = click.Context(program, info_name="unspool", terminal_width=100, max_content_width=100)
    shown = [(command, inner) for command, inner in [(program, top), *commands(program, top)]]
    parts = [f"## {inner.command_path} --help\n\n{fenced(command.get_help(inner), 'text')}" for command, inner in shown]
    return "# Help\n\nWhat each command prints. [The command line](../docs/cli.md) says more.\n\n" + "\n".join(parts)


def python_page() -> str:
    """Return the page of the docstrings: of the names in `unspool`, then of what the public modules have beside these."""
    seen = set()

    def described(module: ModuleType, name: str) -> str:
        thing = getattr(module, name)
        if thing in seen:
            return ""
        seen.add(thing)
        if inspect.isfunction(thing):
            return f".. autofunction:: {module.__name__}.{name}\n"
        if not inspect.isclass(thing):
            return f".. autodata:: {module.__name__}.{name}\n"
        options = "   :members:\n   :inherited-members: object, BaseException, Protocol\n"
        options += "   :show-inheritance:\n" if thing.__bases__ != (object,) else ""
        return f".. autoclass:: {module.__name__}.{name}\n{options}"

    parts = ["# Python reference\n\nThe docstrings. [The library](../docs/library.md) has examples.\n"]
    for module in (unspool, *(import_module(f"unspool.{name}") for name in MODULES)):
        own = (name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__)
        names = [name for name in getattr(module, "__all__", own) if not name.startswith("_")]
        shown = fenced("\n".join(filter(None, (described(module, name) for name in names))), "{eval-rst}")
        parts.append(f"## {module.__name__}\n\n{inspect.getdoc(module)}\n\n{shown}")
    return "\n".join(parts)


def layout(root: Path) -> dict[str, str]:
    """Return the pages of the site, each with its text."""
    files = tracked(root)
    documents = [name for name in files if name.endswith(".md") and ("/" not in name or name.startswith("docs/"))]
    titles = {name: (root / name).read_text().partition("\n")[0].removeprefix("# ") for name in documents}
    pages, linked = {}, set()
    for name in documents:
        pages[page_of(name, files)], paths = for_site((root / name).read_text(), name, files)
        linked |= paths
    for path in sorted(linked - set(documents)):
        if path in files:
            linked_files = [path]
        else:
            pages[f"{path}/index.md"] = directory_page(path, files, titles)
            linked_files = [name for name in files if name.startswith(f"{path}/")]
        for name in linked_files:
            if name not in documents and not name.endswith(".svg"):
                pages[f"{name}.md"] = file_page(name, (root / name).read_text())
    pages["index.md"] += navigation((root / "docs" / "README.md").read_text(), files)
    return pages | {"reference/help.md": help_page(), "reference/python.md": python_page()}


def main() -> None:
    """Write all pages and pictures below the directory given."""
    (into,) = map(Path, sys.argv[1:])
    shutil.rmtree(into, ignore_errors=True)
    pages = layout(ROOT)
    pictures = {name: (ROOT / name).read_text() for name in tracked(ROOT) if name.startswith("docs/") and name.endswith(".svg")}
    for name, text in {**pages, **pictures}.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(text)
    print(f"{len(pages)} pages")


if __name__ == "__main__":
    main()
