"""The public names: exactly these, each with its word of explanation."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import UnionType

import pytest

import unspool
import unspool.stores
import unspool.testing

PUBLIC = [
    "Client",
    "Entry",
    "FileInfo",
    "FileService",
    "LimitOptions",
    "LocalStore",
    "MemoryStore",
    "Page",
    "Prefix",
    "Reading",
    "Result",
    "RetryPolicy",
    "Server",
    "ServerOptions",
    "ServiceOptions",
    "TransferOptions",
    "TreeResult",
    "UnspoolError",
    "__version__",
    "exists",
    "get",
    "get_tree",
    "list",
    "open",
    "read",
    "stat",
    "verify",
]
"""Adding a name is a promise, and taking one away breaks one: CHANGELOG.md has to say so."""

SOURCE = Path(unspool.__file__)


def test_the_public_names_are_these() -> None:
    """What the package exposes is exactly what is listed here, to readers, to `dir` and to `import *`."""
    assert sorted(unspool.__all__) == PUBLIC
    assert sorted(dir(unspool)) == PUBLIC
    namespace: dict[str, object] = {}
    exec("from unspool import *", namespace)
    assert sorted(namespace.keys() - {"__builtins__"}) == PUBLIC


def test_type_checkers_see_the_same_names() -> None:
    """The names that a type checker sees are those that are imported at run time, each from the same room."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("unspool.")
        for alias in node.names
    }
    assert seen == {name: f"unspool.{room}" for name, room in unspool._HOMES.items()}
    assert {*seen, "__version__"} == set(PUBLIC)


def test_other_names_are_not_there() -> None:
    """A name that is not public is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        unspool.nonsense  # noqa: B018  # type: ignore[attr-defined]


def public_things() -> Iterator[tuple[str, object]]:
    """Yield each public name with what it stands for, and the public methods of the classes among them."""
    for package in (unspool, unspool.stores, unspool.testing):
        for name in package.__all__:
            thing = getattr(package, name)
            if name == "__version__" or isinstance(thing, UnionType):
                continue  # neither can have a docstring of its own
            yield f"{package.__name__}.{name}", thing
            if inspect.isclass(thing):
                for member, value in vars(thing).items():
                    if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                        yield f"{package.__name__}.{name}.{member}", value


@pytest.mark.parametrize(("name", "thing"), list(public_things()))
def test_every_public_name_is_explained(name: str, thing: object) -> None:
    """Every public name and method has a docstring of its own that begins with a sentence."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    first = text.split("\n\n")[0]
    assert first.endswith((".", ":")), f"{name}: {first!r}"
    assert not first.startswith(f"{name.rpartition('.')[2]}("), "that docstring was made by a machine"
