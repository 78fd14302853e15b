"""The rules file: who may do what below which prefix.

    [groups]
    staff = ["alice", "bob"]

    [[rule]]
    prefix = "models"
    who = ["@staff", "spiffe://example.org/trainer"]
    may = ["list", "read"]

Rule 1: only the longest prefix that covers a name decides. `models` covers `models` and `models/a`, not `models2`. If several
        rules have that prefix, all of them count; rules of shorter prefixes do not. So a right below a prefix comes only from
        the prefix's own rules.
Rule 2: a right that is not granted is denied.
Rule 3: names are compared as they are, byte for byte: not by case, and not after normalisation.
Rule 4: an error in the file names its line.

`@anyone` means all callers, identified or not; `@identified` all callers that were identified; `@NAME` a group of the file.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unspool.core.access import RIGHTS, Extent, Principal, Right, Verdict
from unspool.core.names import check_name
from unspool.core.tokens import check_principal, looks_like_token
from unspool.core.tomlfile import TomlFile
from unspool.errors import InvalidRequestError

ANYONE, IDENTIFIED = "@anyone", "@identified"

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_HEADER = re.compile(r"\s*\[\[\s*rule\s*\]\]")

_KEYS = ("prefix", "who", "may")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file.

    Attributes:
        line: the line where it begins, from 1.
        prefix: the prefix that it applies to; "" is everything.
        who: the callers that it applies to, each with the word in the file that includes it: its own name, or a group.
        may: the rights that it grants.
    """

    line: int
    prefix: str
    who: Mapping[str, str]
    may: frozenset[str]

    def includes(self, who: Principal | None) -> str | None:
        """Return the word of the rule that includes a caller, or None."""
        names = self.who
        if ANYONE in names:
            return ANYONE
        if who is None:
            return None
        for name in who.names:
            if name in names:
                return names[name]
        return IDENTIFIED if IDENTIFIED in names else None


class Rules:
    """The rules of a file.

    Args:
        shown: the file, as verdicts and messages name it.
        rules: the rules, in the order of the file.
    """

    def __init__(self, shown: str, rules: Sequence[Rule]) -> None:
        self._shown = shown
        self._count = len(rules)
        self._at: dict[str, list[Rule]] = {}
        for rule in rules:
            self._at.setdefault(rule.prefix, []).append(rule)
        self._sorted = sorted(self._at)
        self._depth = max((prefix.count("/") + 1 for prefix in self._at), default=0)

    def __len__(self) -> int:
        return self._count

    def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
        """Return the verdict, with the line that decided it. See `Authorize`."""
        deciding = self._deciding(name)
        for rule in deciding:
            if right in rule.may and rule.includes(who) is not None:
                return Verdict(allowed=True, rule=f"{self._shown}:{rule.line}")
        return Verdict(allowed=False, rule=f"{self._shown}:{deciding[0].line}" if deciding else f"{self._shown}: no rule")

    def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
        """See `Authority.extent`."""
        prefix = prefix.removesuffix("/")
        found = {self._grants(self._deciding(prefix), who, right)}
        for rules in self._below(prefix):
            found.add(self._grants(rules, who, right))
            if len(found) > 1:
                return "some"
        return "all" if found == {True} else "none"

    def explain(self, who: Principal | None, right: Right, name: str) -> str:
        """Return the verdict and its reason, as a sentence."""
        asks = who.name if who is not None else ANYONE
        deciding = self._deciding(name)
        for rule in deciding:
            if right in rule.may and (word := rule.includes(who)) is not None:
                return f"{asks} may {right} {name}: {self._lines([rule])} grants it to {word} below {_say(rule.prefix)}"
        why = (
            f"{self._lines(deciding)} decides below {_say(deciding[0].prefix)}, and does not grant it"
            if deciding
            else (f"no prefix of {self._shown} covers it, and what is not granted is denied")
        )
        return f"{asks} may not {right} {name}: {why}"

    def _lines(self, rules: Sequence[Rule]) -> str:
        return f"{self._shown} line {' and '.join(str(rule.line) for rule in rules)}"

    def _deciding(self, name: str) -> Sequence[Rule]:
        """Return the rules of the longest prefix that covers a name."""
        at = self._at
        found: Sequence[Rule] = at.get("", ())
        end = -1
        for _ in range(self._depth):  # not for each part of the name, because a client may send very many parts
            end = name.find("/", end + 1)
            found = at.get(name if end < 0 else name[:end], found)
            if end < 0:
                break
        return found

    def _below(self, prefix: str) -> Iterator[Sequence[Rule]]:
        """Yield the rules of each prefix that is longer than this one and covered by it."""
        begins = f"{prefix}/" if prefix else ""
        for at in range(bisect_left(self._sorted, begins), len(self._sorted)):
            longer = self._sorted[at]
            if not longer.startswith(begins):
                return
            if longer != prefix:
                yield self._at[longer]

    @staticmethod
    def _grants(rules: Sequence[Rule], who: Principal | None, right: Right) -> bool:
        return any(right in rule.may and rule.includes(who) is not None for rule in rules)


def _say(prefix: str) -> str:
    return f'"{prefix}"' if prefix else 'the top (prefix "")'


def parse_rules(text: str, shown: str) -> Rules:
    """Parse a rules file. Messages and verdicts name it `shown`.

    Raises:
        InvalidRequestError: it is not TOML, or not rules; the message names the line.
    """
    return Rules(shown, _Parser(text, shown).rules())


class _Parser:
    """Parses one rules file."""

    def __init__(self, text: str, shown: str) -> None:
        self._file = TomlFile(text, shown)
        self._line_of, self._error = self._file.line_of, self._file.error

    def rules(self) -> list[Rule]:
        document = self._file.document()
        for key in document:
            if key not in ("groups", "rule"):
                raise self._error(self._line_of(key), f"{key!r} is neither [groups] nor [[rule]]")
        groups = self._groups(document.get("groups", {}))
        tables = document.get("rule")
        headers = [number for number, line in enumerate(self._file.lines, 1) if _HEADER.match(line)]
        if not isinstance(tables, list) or not tables:
            raise self._error(1, "there is no [[rule]], and so nobody may do anything; write one, if only for one name")
        if len(headers) != len(tables):
            raise self._error(self._line_of("rule"), "begin each rule with a line of its own: [[rule]]")
        return [self._rule(line, table, groups) for line, table in zip(headers, tables, strict=True)]

    def _groups(self, given: object) -> dict[str, tuple[str, ...]]:
        at = self._line_of("groups")
        if not isinstance(given, dict):
            raise self._error(at, "[groups] is a table of names: staff = ['alice', 'bob']")
        found: dict[str, tuple[str, ...]] = {}
        for name, members in given.items():
            line = self._line_of(name, at)
            if _GROUP.fullmatch(name) is None or f"@{name}" in (ANYONE, IDENTIFIED):
                raise self._error(line, f"{name!r} cannot name a group")
            for member in self._strings(members, line, f"the members of {name!r}"):
                if member.startswith("@"):
                    raise self._error(line, f"a group has no groups: {member}")
                found[f"@{name}"] = (*found.get(f"@{name}", ()), self._principal(member, line))
            found.setdefault(f"@{name}", ())
        return found

    def _rule(self, line: int, table: object, groups: Mapping[str, Sequence[str]]) -> Rule:
        if not isinstance(table, dict):
            raise self._error(line, "a rule is a table")
        for key in table:
            if key not in _KEYS:
                raise self._error(self._line_of(key, line), f"{key!r} is not of a rule, which has prefix, who and may")
        for key in _KEYS:
            if key not in table:
                raise self._error(line, f"this rule has no {key}")
        may_line = self._line_of("may", line)
        may = self._strings(table["may"], may_line, "may")
        for right in may:
            if right not in RIGHTS:
                raise self._error(may_line, f"{right!r} is no right: there are {', '.join(RIGHTS[:-1])} and {RIGHTS[-1]}")
        return Rule(
            line,
            self._prefix(table["prefix"], self._line_of("prefix", line)),
            self._who(table["who"], self._line_of("who", line), groups),
            frozenset(may),
        )

    def _prefix(self, given: object, line: int) -> str:
        if not isinstance(given, str):
            raise self._error(line, 'prefix is a string, as "models"; "" is everything')
        prefix = given.removesuffix("/")
        try:
            return "/".join(check_name(prefix)) if given else ""
        except InvalidRequestError as error:
            raise self._error(line, f"prefix: {error.message}") from None

    def _who(self, given: object, line: int, groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for word in self._strings(given, line, "who"):
            if not word.startswith("@"):
                found[self._principal(word, line)] = word
            elif word in (ANYONE, IDENTIFIED):
                found[word] = word
            elif word in groups:
                for member in groups[word]:
                    found.setdefault(member, word)
            else:
                raise self._error(line, f"there is no group {word[1:]!r} in [groups]")
        return found

    def _principal(self, name: str, line: int) -> str:
        """Check a name that a caller may have. A name with a colon begins with its kind, which authentication decides."""
        if ":" in name and name.isprintable() and not looks_like_token(name):
            return name
        try:
            return check_principal(name)
        except InvalidRequestError as error:
            raise self._error(line, error.message) from None

    def _strings(self, given: object, line: int, what: str) -> list[str]:
        several = [given] if isinstance(given, str) else given
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise self._error(line, f"{what}: write a string or a list of strings")
        return several
