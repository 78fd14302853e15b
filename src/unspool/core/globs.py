r"""Glob patterns for names, with rclone's syntax: `*.txt`, `/top/**`, `img.{png,jp*g}`, `[a-z]?`.

Rule 1: for a given pattern, matching takes time proportional to the length of the name. Names come from a server, and one long
        name can keep a backtracking regular expression with a few stars busy for hours. So a pattern is compiled to an
        automaton that follows all possible matches at once. It caches the transitions it has computed, up to a limit.
Rule 2: rclone syntax that is not supported here is an error. It is never taken literally.

    *          any characters, but no `/`
    **         any characters
    ?          one character, but no `/`
    [a-z]      one of these characters; [!a-z] or [^a-z]: one of the others; never `/`
    {a,b}      one of these patterns; braces may be nested
    \c         the character c itself, where c is not a letter or a digit
    /          first: the match begins where the name begins. Without it a match may also begin after any `/`
    /          last: everything below that directory, as with `/**`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from unspool.core.abridged import ONE_LINE, abridged
from unspool.errors import InvalidRequestError

_MOST_STEPS = 10_000
"""Transitions in the cache, at about 100 bytes each. Usual patterns on ASCII names need a few hundred."""

_LONGEST = 1000
"""Longest pattern, in characters. Each may become a node, and a transition that is not cached visits all nodes."""

_Accepts: TypeAlias = Callable[[str], bool]


class Glob:
    """A pattern that names are matched against.

    Args:
        pattern: in the syntax described above.

    Raises:
        InvalidRequestError: the pattern is invalid, or uses unsupported syntax.
    """

    def __init__(self, pattern: str) -> None:
        self._graph = _Graph(pattern)
        self._forget()

    def matches(self, name: str) -> bool:
        """Whether a name, without a leading `/`, matches as a whole."""
        state = self._start
        for character in name:
            state = state.steps.get(character) or self._step(state, character)
        return state.matches

    def _forget(self) -> None:
        """Empty the cache of transitions."""
        self._states: dict[frozenset[int], _State] = {}
        self._remembered = 0
        self._start = self._state(self._graph.start)

    def _state(self, nodes: frozenset[int]) -> _State:
        state = self._states.get(nodes)
        if state is None:
            state = self._states[nodes] = _State(nodes, matches=self._graph.end in nodes)
        return state

    def _step(self, state: _State, character: str) -> _State:
        """Compute the state after a character, and cache it."""
        if self._remembered >= _MOST_STEPS:
            self._forget()
        self._remembered += 1
        after = state.steps[character] = self._state(self._graph.after(state.nodes, character))
        return after


class _State:
    """The set of nodes that are reachable after some characters, and the cached next state for each character."""

    __slots__ = ("matches", "nodes", "steps")

    def __init__(self, nodes: frozenset[int], *, matches: bool) -> None:
        self.nodes = nodes
        self.matches = matches
        self.steps: dict[str, _State] = {}


class _Graph:
    """A pattern as an automaton. Some edges consume a character, the others (`_free`) none.

    Attributes:
        start: the nodes where matching begins.
        end: the node that is reached if the name matches.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._steps: list[list[tuple[_Accepts, int]]] = []
        self._free: list[list[int]] = []
        self._at = 0
        if not pattern or len(pattern) > _LONGEST:
            raise self._error(f"a pattern has 1 to {_LONGEST} characters")
        self._text = pattern + "**" if pattern.endswith("/") else pattern
        first = node = self._node()
        if self._text.startswith("/"):
            self._at = 1
        else:
            node, before = self._node(), self._node()
            self._free[first] += [node, before]  # at the beginning of the name, or after any `/`
            self._steps[before] += [(_anything, before), (_is("/"), node)]
        self.end = self._parse(node)
        self.start = self._with_free({first})

    def after(self, nodes: Iterable[int], character: str) -> frozenset[int]:
        """Return the nodes that are reached from others by a character."""
        return self._with_free({to for node in nodes for accepts, to in self._steps[node] if accepts(character)})

    def _with_free(self, nodes: set[int]) -> frozenset[int]:
        left = list(nodes)
        while left:
            fresh = set(self._free[left.pop()]) - nodes
            nodes |= fresh
            left += fresh
        return frozenset(nodes)

    def _node(self) -> int:
        self._steps.append([])
        self._free.append([])
        return len(self._steps) - 1

    # Parsing: each part of the pattern adds edges from the node where the previous part ended to a new node.

    def _parse(self, node: int) -> int:
        """Add the pattern's nodes after `node`; return the last one."""
        groups: list[tuple[int, list[int]]] = []  # for each open brace: its first node, and the last node of each alternative
        while self._at < len(self._text):
            character = self._next()
            if character == "*":
                node = self._add_stars(node)
            elif character == "?":
                node = self._add(node, _no_slash)
            elif character == "[":
                node = self._add(node, self._class())
            elif character == "{":
                if self._peek() == "{":
                    raise self._error("regular expressions ({{ }}) are not supported")
                groups.append((node, []))
                node = self._branch(node)
            elif character == "," and groups:
                begin, ends = groups[-1]
                ends.append(node)
                node = self._branch(begin)
            elif character == "}" and groups:
                _, ends = groups.pop()
                node = self._join([*ends, node])
            elif character in "]}":
                raise self._error(f"{character!r} closes nothing; write \\{character} for the character itself")
            else:
                node = self._add(node, _is(self._escaped() if character == "\\" else character))
        if groups:
            raise self._error("a '{' is not closed; write \\{ for the character itself")
        return node

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _add(self, node: int, accepts: _Accepts) -> int:
        after = self._node()
        self._steps[node].append((accepts, after))
        return after

    def _add_stars(self, node: int) -> int:
        accepts: _Accepts = _no_slash
        if self._peek() == "*":
            self._at += 1
            accepts = _anything
            if self._peek() == "*":
                raise self._error("there are too many stars in a row: * is within a part of the name, ** is across parts")
        after = self._branch(node)
        self._steps[after].append((accepts, after))
        return after

    def _branch(self, node: int) -> int:
        after = self._node()
        self._free[node].append(after)
        return after

    def _join(self, nodes: Iterable[int]) -> int:
        after = self._node()
        for node in nodes:
            self._free[node].append(after)
        return after

    def _escaped(self) -> str:
        character = self._next()
        if not character:
            raise self._error("a backslash at the end escapes nothing")
        if character.isalnum():
            raise self._error(f"\\{character} is not supported: write a class of characters, as in [0-9]")
        return character

    def _class(self) -> _Accepts:
        """Parse a character class. Its opening bracket has been read."""
        negated = self._peek() in ("!", "^")
        if negated:
            self._at += 1
        ranges: list[tuple[str, str]] = []
        while (character := self._next()) != "]":
            if not character:
                raise self._error("a '[' is not closed; write \\[ for the character itself")
            if character == "[":
                raise self._error("a '[' within brackets is not supported; write \\[ for the character itself")
            low = high = self._escaped() if character == "\\" else character
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._next()
                high = self._escaped() if high == "\\" else high
                if high < low:
                    raise self._error(f"the range {low}-{high} is empty")
            ranges.append((low, high))
        if not ranges:
            raise self._error("the brackets are empty; write \\[ for the character itself")
        return lambda character: character != "/" and any(low <= character <= high for low, high in ranges) != negated

    def _error(self, what: str) -> InvalidRequestError:
        return InvalidRequestError(f"the pattern {abridged(self._pattern, ONE_LINE)!r} makes no sense: {what}")


def _anything(_: str) -> bool:
    return True


def _no_slash(character: str) -> bool:
    return character != "/"


def _is(wanted: str) -> _Accepts:
    return wanted.__eq__
