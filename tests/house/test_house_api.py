"""The public names: exactly these, each with its word of explanation."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import unspool
import unspool.access
import unspool.client.events
import unspool.options
import unspool.stores
import unspool.testing
from house.documents import read

PUBLIC = [
    "Attributes",
    "CallEnd",
    "CallObserver",
    "Client",
    "DeleteTreeResult",
    "Entry",
    "Event",
    "Failure",
    "FileInfo",
    "FileService",
    "LimitOptions",
    "LocalStore",
    "MemoryStore",
    "Observer",
    "Omission",
    "OpenFile",
    "Page",
    "Prefix",
    "Progress",
    "PutResult",
    "PutTreeResult",
    "RateLimit",
    "Reader",
    "Reading",
    "Result",
    "RetryPolicy",
    "Server",
    "ServerOptions",
    "ServiceOptions",
    "Store",
    "TransferOptions",
    "TreePreviewPage",
    "TreeResult",
    "TreeVerification",
    "UnspoolError",
    "Writer",
    "Writing",
    "__version__",
    "delete",
    "delete_tree",
    "exists",
    "get",
    "get_tree",
    "list",
    "open",
    "open_write",
    "put",
    "put_tree",
    "read",
    "read_many",
    "stat",
    "verify",
    "verify_tree",
]
"""Adding a name is a promise, and taking one away breaks one: CHANGELOG.md has to say so."""

IN_MODULES = {
    unspool.access: [
        "Audit",
        "AuditFile",
        "Authenticate",
        "Authority",
        "Authorize",
        "Credentials",
        "Decision",
        "Extent",
        "JwtKeys",
        "Principal",
        "Right",
        "RulesFile",
        "TokenFile",
        "Verdict",
    ],
    unspool.client.events: [
        "Advanced",
        "AttemptBegan",
        "Event",
        "FileFailed",
        "Observer",
        "Observers",
        "Rechecked",
        "Repairing",
        "Restarting",
        "Retrying",
        "Started",
        "TransferBegan",
        "TransferEnded",
        "TreeAdvanced",
    ],
    unspool.options: [
        "Dialect",
        "IngestOptions",
        "LimitOptions",
        "MIB",
        "Metadata",
        "OnChange",
        "Security",
        "ServedDialect",
        "ServerOptions",
        "ServiceOptions",
        "Token",
        "TransferOptions",
    ],
    unspool.stores: [
        "ListRequest",
        "LocalStore",
        "MemoryStore",
        "NamedSpan",
        "ObjectStore",
        "OpenFile",
        "RunSize",
        "SmallFile",
        "Span",
        "Store",
        "check_name",
        "check_prefix",
        "open_store",
        "read_one_by_one",
        "read_span_by_span",
    ],
    unspool.testing: [
        "FakeClock",
        "FaultyStore",
        "FaultyTransport",
        "Recorder",
        "Stock",
        "StoreContract",
        "StoreTransport",
        "serve",
    ],
}
"""The names in the other modules that SECURITY.md promises; those of `unspool.errors` are its tree."""

SOURCE = Path(unspool.__file__)


def test_the_public_names_are_these() -> None:
    """What the package exposes is exactly what is listed here, to readers, to `dir` and to `import *`."""
    assert sorted(unspool.__all__) == PUBLIC
    assert sorted(dir(unspool)) == PUBLIC
    namespace: dict[str, object] = {}
    exec("from unspool import *", namespace)
    assert sorted(namespace.keys() - {"__builtins__"}) == PUBLIC


@pytest.mark.parametrize(("module", "names"), IN_MODULES.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_the_public_names_of_modules_are_these(module: ModuleType, names: list[str]) -> None:
    """What each documented module has of its own is what is listed here, and SECURITY.md promises the module."""
    own = getattr(module, "__all__", None) or [
        target.id
        for node in ast.parse(inspect.getsource(module)).body
        for target in getattr(node, "targets", [getattr(node, "target", None) or ast.Name(getattr(node, "name", "_"))])
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    ]
    assert sorted(own) == names
    assert f"`{module.__name__}`" in " ".join(read("SECURITY.md").split())


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
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue  # neither the version nor an alias can have a docstring of its own
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


def test_what_users_hold_says_what_it_is(tmp_path: Path) -> None:
    """The `repr` of a client, a server and a store names the server or the place, and shows no token."""
    client = unspool.Client("localhost:1,localhost:2", token="a-secret")
    assert repr(client) == "Client('localhost:1,localhost:2')"
    store = unspool.LocalStore(tmp_path)
    assert repr(store) == f"LocalStore({str(tmp_path)!r})"
    assert repr(unspool.Server(store, ["localhost:1", "unix:s"])) == "<Server localhost:1, unix:s (new)>"
    assert repr(unspool.MemoryStore({"a": b"", "b": b""})) == "<MemoryStore of 2 files>"
    assert repr(unspool.RateLimit(1e6)) == "RateLimit(1e+06)"
