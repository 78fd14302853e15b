"""Rules: the longest prefix decides alone, what is not granted is denied, and an error names its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.access import RIGHTS, Credentials, Principal, Right
from unspool.core.rules import Rule, Rules, parse_rules
from unspool.core.tokens import write_token
from unspool.errors import InvalidRequestError, UnspoolError

TEXT = """\
[groups]
staff = ["alice", "bob"]
"odd.one" = []

[[rule]]
prefix = "models"
who = ["@staff", "spiffe://example.org/trainer"]
may = ["list", "read"]

[[rule]]
prefix = "models/private"
who = "alice"
may = "read"

[[rule]]
prefix = "public/"
who = "@anyone"
may = ["read", "list"]

[[rule]]
prefix = "public/known"
who = "@identified"
may = "read"

[[rule]]
prefix = "public/known"
who = ["carol", "@odd.one"]
may = "list"

[[rule]]
prefix = "public/nobody"
who = []
may = []
"""

RULES = parse_rules(TEXT, "rules")

ALICE, BOB, CAROL = Principal(("alice",)), Principal(("bob",)), Principal(("carol",))
TRAINER = Principal(("dns:t.example", "spiffe://example.org/trainer"))


@pytest.mark.parametrize(
    ("who", "right", "name", "allowed", "line"),
    [
        (ALICE, "read", "models/a/b", True, 5),
        (BOB, "list", "models", True, 5),
        (TRAINER, "read", "models/a", True, 5),
        (CAROL, "read", "models/a", False, 5),
        (None, "read", "models/a", False, 5),
        (ALICE, "read", "models2/a", False, None),
        (ALICE, "read", "modelsprivate", False, None),
        (ALICE, "read", "models/private/a", True, 10),
        (ALICE, "list", "models/private/a", False, 10),
        (BOB, "read", "models/private/a", False, 10),
        (BOB, "read", "models/privately", True, 5),
        (None, "list", "public", True, 15),
        (None, "read", "public/known/a", False, 20),
        (BOB, "read", "public/known/a", True, 20),
        (CAROL, "list", "public/known", True, 25),
        (BOB, "list", "public/known", False, 20),
        (ALICE, "read", "public/nobody/a", False, 30),
        (ALICE, "read", "Models/a", False, None),
        (ALICE, "list", "", False, None),
    ],
)
def test_the_longest_prefix_decides(who: Principal | None, right: Right, name: str, *, allowed: bool, line: int | None) -> None:
    """The verdict, and the line that decided, are those of the rules of the longest prefix; without one, it is no."""
    verdict = RULES(who, right, name)
    assert verdict.allowed == allowed
    assert verdict.rule == (f"rules:{line}" if line else "rules: no rule")


@pytest.mark.parametrize(
    ("who", "right", "prefix", "extent"),
    [
        (ALICE, "read", "models", "all"),
        (ALICE, "list", "models", "some"),
        (ALICE, "list", "models/", "some"),
        (CAROL, "list", "models", "none"),
        (None, "list", "", "some"),
        (None, "list", "public", "some"),
        (None, "list", "public/other", "all"),
        (CAROL, "list", "public/known", "all"),
        (ALICE, "list", "models/private", "none"),
        (None, "list", "nothing", "none"),
    ],
)
def test_what_is_below(who: Principal | None, right: Right, prefix: str, extent: str) -> None:
    """Of the names below a prefix, all, some or none may be listed."""
    assert RULES.extent(who, right, prefix) == extent


@pytest.mark.parametrize(
    ("who", "name", "said"),
    [
        (ALICE, "models/a", 'alice may read models/a: rules line 5 grants it to @staff below "models"'),
        (
            BOB,
            "models/private/a",
            'bob may not read models/private/a: rules line 10 decides below "models/private", and does not grant it',
        ),
        (
            None,
            "public/known/a",
            '@anyone may not read public/known/a: rules line 20 and 25 decides below "public/known", and does not grant it',
        ),
        (BOB, "other", "bob may not read other: no prefix of rules covers it, and what is not granted is denied"),
    ],
)
def test_the_reason_is_said(who: Principal | None, name: str, said: str) -> None:
    """The explanation has the verdict, the line and the word that decided."""
    assert RULES.explain(who, "read", name) == said


def test_the_top_is_said_in_words() -> None:
    """The empty prefix is not an empty word in the explanation."""
    rules = parse_rules('[[rule]]\nprefix = ""\nwho = "@anyone"\nmay = "list"', "rules")
    assert rules.explain(None, "list", "a") == '@anyone may list a: rules line 1 grants it to @anyone below the top (prefix "")'
    assert len(rules) == 1


TOKEN = write_token(bytes(32))

ONE = '[[rule]]\nprefix = "a"\nwho = "b"\nmay = "read"\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, r"there is no \[\[rule\]\]"),
        ("rule = 3", 1, "there is no"),
        ("a = ", 1, "not TOML"),
        ("a = 1\na = 2", 2, "not TOML"),
        ("a = [", 1, "not TOML"),
        (f"a = {'9' * 5000}", 1, "not TOML"),
        (f"a = {'[' * 5000}", 1, "nested|not TOML"),
        (f"{ONE}[others]\n", 5, "neither"),
        (f"groups = 3\n{ONE}", 1, "is a table"),
        (f"[groups]\nanyone = []\n{ONE}", 2, "cannot name a group"),
        (f"[groups]\na = []\n'b c' = []\n{ONE}", 3, "cannot name a group"),
        (f"[groups]\na = ['@b']\n{ONE}", 2, "a group has no groups"),
        (f"[groups]\na = ['b c']\n{ONE}", 2, "cannot name a token"),
        (f"[groups]\na = 3\n{ONE}", 2, "a string or a list"),
        ('rule = [{prefix = "a", who = "b", may = "read"}]', 1, "begin each rule with a line of its own"),
        (f"{ONE}whom = 3", 5, "'whom' is not of a rule"),
        (f'{ONE}\n[[rule]]\nprefix = "c"\nwho = "d"', 6, "has no may"),
        (
            f'{ONE}\n[[rule]]\nwho = "d"\nmay = "reign"\nprefix = "c"',
            8,
            "'reign' is no right: .* list, read, write, delete and watch",
        ),
        (ONE.replace('"a"', "3"), 2, "prefix is a string"),
        (ONE.replace('"a"', '"a/../b"'), 2, "prefix: .*directly"),
        (ONE.replace('"a"', '"/"'), 2, "prefix: "),
        (ONE.replace('"b"', '"@c"'), 3, "no group 'c'"),
        (ONE.replace('"b"', "[1]"), 3, "a string or a list"),
        (ONE.replace('"b"', '"b c"'), 3, "cannot name"),
        (ONE.replace('"b"', f'"{TOKEN}"'), 3, "a token cannot name"),
        (ONE.replace('"b"', '"dns:\\u001b"'), 3, "cannot name"),
        ("rule = ['''\n[[rule]]\n''']", 2, "a rule is a table"),
        (ONE.replace('may = "read"', '"ma\\u0079" = "reign"') + ONE, 1, "'reign' is no right"),
    ],
)
def test_an_error_names_its_line(text: str, line: int, said: str) -> None:
    """Whatever is wrong with the file, the error says where and what, and repeats no token."""
    with pytest.raises(InvalidRequestError, match=f"^rules: line {line}: .*({said})") as error:
        parse_rules(text, "rules")
    assert TOKEN not in str(error.value)


@given(st.text() | st.text(alphabet='[]rule"=prefixwhomay@\\\n #.{}').map(lambda text: ONE + text))
def test_any_text_is_rules_or_an_error(text: str) -> None:
    """Whatever is in the file, it is read or refused with an error of ours that names a line."""
    said = "rules: line "
    try:
        parse_rules(text, "rules")
    except UnspoolError as error:
        said = error.message
    assert said.startswith("rules: line ")


PARTS = st.sampled_from(["a", "b", "c"])

NAMES = st.lists(PARTS, max_size=4).map("/".join)

WHO = st.sampled_from(["@anyone", "@identified", "x", "y"])

RULE = st.builds(
    lambda prefix, who, may: Rule(1, prefix, {one: one for one in who}, frozenset(may)),
    NAMES,
    st.lists(WHO, max_size=2),
    st.lists(st.sampled_from(RIGHTS), max_size=2),
)

CALLERS = st.sampled_from([None, Principal(("x",)), Principal(("z", "y"))])


def decided_slowly(rules: list[Rule], who: Principal | None, right: Right, name: str) -> bool:
    """Return the verdict as the document words it."""
    parts = name.split("/") if name else []
    covering = [rule for rule in rules if not rule.prefix or parts[: rule.prefix.count("/") + 1] == rule.prefix.split("/")]
    longest = max((len(rule.prefix) for rule in covering), default=0)
    named = {"@anyone", *((*who.names, "@identified") if who is not None else ())}
    return any(right in rule.may and named & set(rule.who) for rule in covering if len(rule.prefix) == longest)


@given(st.lists(RULE, max_size=6), CALLERS, st.sampled_from(RIGHTS), NAMES, st.lists(NAMES, max_size=4))
def test_the_verdict_is_what_the_document_says(
    rules: list[Rule], who: Principal | None, right: Right, name: str, below: list[str]
) -> None:
    """The quick search decides as the rule in words, and the extent holds for every name below."""
    made = Rules("rules", rules)
    assert made(who, right, name).allowed == decided_slowly(rules, who, right, name)
    extent = made.extent(who, right, name)
    for longer in [name, *(f"{name}/{rest}" if name and rest else name or rest for rest in below)]:
        if extent != "some":
            assert made(who, right, longer).allowed == (extent == "all")


def test_a_long_name_costs_no_more() -> None:
    """Only as many parts of a name are looked at as the longest rule has."""
    assert RULES(ALICE, "read", "models" + "/a" * 100_000).allowed


def test_no_secret_is_in_a_repr() -> None:
    """What a caller shows is not shown again."""
    shown = Credentials("ipv4:127.0.0.1:1", token=TOKEN, metadata=(("authorization", f"Bearer {TOKEN}"),))
    assert TOKEN not in repr(shown)
    assert "127.0.0.1" in repr(shown)
