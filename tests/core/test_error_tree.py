"""The error tree: its drawing, its exit codes, its words."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from unspool import errors
from unspool.cli.exits import EXIT_CODES
from unspool.core.model import Block, Span
from unspool.errors import UnspoolError

CLASSES: list[type[UnspoolError]] = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UnspoolError)
]


@dataclass(frozen=True)
class Drawn:
    """One line of the tree in the docstring."""

    parent: str | None
    exit_code: int | None
    retryable: bool


def drawing() -> dict[str, Drawn]:
    """Read the tree out of the module's docstring: each branch is four columns deeper than its parent's."""
    assert errors.__doc__ is not None
    tree: dict[str, Drawn] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    (?P<branch>[|` -]*)(?P<name>\w+)(?P<rest>.*)", line)
        if match is None or not (match["branch"] or match["name"] == "UnspoolError"):
            continue
        depth = len(match["branch"]) // 4
        exit_code = re.search(r"  exit (\d+)$", match["rest"])
        del above[depth:]
        tree[match["name"]] = Drawn(
            parent=above[-1] if above else None,
            exit_code=int(exit_code[1]) if exit_code else None,
            retryable=match["rest"].endswith("  retryable"),
        )
        above.append(match["name"])
    return tree


def test_the_drawn_tree_is_the_tree() -> None:
    """The tree shows every class below its parent, and no other class."""
    assert {name: drawn.parent for name, drawn in drawing().items()} == {
        kind.__name__: None if kind is UnspoolError else kind.__bases__[0].__name__ for kind in CLASSES
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_drawing_says_who_may_retry_and_how_it_exits(kind: type[UnspoolError]) -> None:
    """The tree shows `retryable` for exactly the retryable classes, and an exit code for each branch, shared by its classes."""
    drawn = drawing()[kind.__name__]
    assert drawn.retryable == kind.retryable
    parent = kind.__bases__[0]
    if parent is UnspoolError:
        assert drawn.exit_code == kind.exit_code
    elif kind is not UnspoolError:
        assert drawn.exit_code is None
        assert issubclass(parent, UnspoolError)
        assert kind.exit_code == parent.exit_code


def test_the_module_holds_the_tree_and_nothing_else() -> None:
    """Every error class of the module is in the tree."""
    assert [kind for kind in vars(errors).values() if isinstance(kind, type)] == CLASSES


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_word_and_a_known_exit_code(kind: type[UnspoolError]) -> None:
    """Every class has a docstring, a reason in UPPER_SNAKE and an exit code that the command line explains."""
    assert inspect.getdoc(kind)
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", kind.reason)
    assert kind.exit_code in EXIT_CODES


def test_no_two_errors_have_the_same_word() -> None:
    """A reason on the wire, in a log or in a metric means one class."""
    assert len({kind.reason for kind in CLASSES}) == len(CLASSES)


def test_an_error_carries_what_is_known() -> None:
    """The message is the line a person reads; name, byte and wait are there for programs."""
    error = errors.OverloadedError("a.bin: come back later", name="a.bin", offset=5, retry_after=1.5)
    assert str(error) == error.message == "a.bin: come back later"
    assert (error.name, error.offset, error.retry_after) == ("a.bin", 5, 1.5)


@pytest.mark.parametrize(("start", "stop"), [(-1, 0), (1, 0), (-2, -1)])
def test_a_span_is_a_span(start: int, stop: int) -> None:
    """Spans that end before they start, or start before the file, cannot be made."""
    with pytest.raises(ValueError, match="not a span"):
        Span(start, stop)


def test_a_block_ends_after_its_last_byte() -> None:
    """Ends are one past the last byte, everywhere."""
    assert Block(5, b"abc", 0).end == 8
    assert Span(5, 8).length == 3


def of_python() -> dict[str, str]:
    """Read out of the module's docstring which class of Python's each error is as well."""
    assert errors.__doc__ is not None
    return dict(re.findall(r"^    (\w+Error) +(ValueError|OSError|\w+Error)(?: +errno .*)?$", errors.__doc__, re.MULTILINE))


def test_the_classes_of_python_are_told() -> None:
    """Exactly the errors that the module lists are also built-in exceptions."""
    assert of_python() == {
        kind.__name__: kind.__bases__[1].__name__ for kind in CLASSES if len(kind.__bases__) > 1 and kind is not UnspoolError
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_can_be_handed_to_another_process(kind: type[UnspoolError], again: Callable[[UnspoolError], object]) -> None:
    """A copied or pickled error keeps its message and attributes, whatever its built-in base class."""
    error = kind("a.bin: gone", name="a.bin", offset=5, retry_after=1.5)
    if isinstance(error, OSError):
        error.errno = 28
    other = again(error)
    assert type(other) is kind
    assert str(other) == other.message == "a.bin: gone"
    assert (other.name, other.offset, other.retry_after) == ("a.bin", 5, 1.5)
    if isinstance(other, OSError):
        assert (other.errno, other.filename) == (28, "a.bin")
