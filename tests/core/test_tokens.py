"""Tokens: any that was written is known, no typing error passes, and a file of them says what is wrong with it."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.tokens import (
    ListedToken,
    Tokens,
    check_principal,
    digest_of,
    is_token,
    looks_like_token,
    parse_tokens,
    write_time,
    write_token,
)
from unspool.errors import InvalidRequestError, UnspoolError

SECRETS = st.binary(min_size=32, max_size=32)

DIGESTS = SECRETS.map(lambda secret: sha256(secret).hexdigest())

TIMES = st.integers(0, 4_000_000_000)

LISTED = st.builds(
    ListedToken, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,20}", fullmatch=True), DIGESTS, TIMES, st.none() | TIMES
)

NEVER = ListedToken("alice", "a" * 64, 0)


@given(SECRETS)
def test_a_token_is_known_as_one_and_found_by_scanners(secret: bytes) -> None:
    """Every token passes its own check, and is what the documented pattern finds."""
    token = write_token(secret)
    assert is_token(token)
    assert looks_like_token(token)
    assert re.fullmatch("unspool_[0-9A-Za-z]{49}", token)
    assert digest_of(token) == sha256(token.encode()).hexdigest()


@given(SECRETS, SECRETS)
def test_two_secrets_are_two_tokens(one: bytes, other: bytes) -> None:
    """No two secrets give the same token."""
    assert (write_token(one) == write_token(other)) == (one == other)


@given(SECRETS, st.integers(8, 56), st.sampled_from("0aAzZ9"))
def test_a_typing_error_is_noticed(secret: bytes, place: int, typed: str) -> None:
    """A token with one character replaced is none, unless the character is the same."""
    token = write_token(secret)
    assert is_token(token[:place] + typed + token[place + 1 :]) == (token[place] == typed)


@given(st.text())
def test_other_texts_are_no_tokens(text: str) -> None:
    """A text that does not begin as a token is none, and has a digest whatever it holds."""
    assert not is_token(text)
    assert len(digest_of(text)) == 64


def test_a_token_has_256_bits() -> None:
    """A secret of another length is an error of the program."""
    with pytest.raises(ValueError, match="32"):
        write_token(b"short")


@given(st.lists(LISTED, unique_by=lambda token: token.digest), st.data())
def test_a_file_says_what_was_written_into_it(listed: list[ListedToken], data: st.DataObject) -> None:
    """Tokens and revocations are read as they were written, among comments and blank lines."""
    revoked = data.draw(st.lists(st.sampled_from(listed), unique_by=lambda token: token.digest)) if listed else []
    lines = ["# who is known", *(token.line() for token in listed), "", *(token.revocation(7) for token in revoked)]
    found = parse_tokens("\n".join(lines) + "\n", "tokens")
    assert len(found) == len(listed)
    assert {token.digest for token in found if token.revoked == 7} == {token.digest for token in revoked}
    for token in listed:
        read = found.by_digest[token.digest]
        assert (read.name, read.created, read.expires) == (token.name, token.created, token.expires)


def test_a_token_is_found_by_itself_only() -> None:
    """The file has no token, and still finds the one it lists."""
    token = write_token(bytes(32))
    found = parse_tokens(ListedToken("alice", digest_of(token), 0).line(), "tokens")
    assert found.find(token) is not None
    assert found.find(write_token(b"\1" * 32)) is None


@pytest.mark.parametrize(
    ("token", "state"),
    [
        (NEVER, "valid"),
        (ListedToken("a", "a" * 64, 0, 100), "expired"),
        (ListedToken("a", "a" * 64, 0, 101), "valid"),
        (ListedToken("a", "a" * 64, 0, None, 5), "revoked"),
    ],
)
def test_the_state_of_a_token(token: ListedToken, state: str) -> None:
    """A token is valid until it expires or is revoked: at the second it expires it is not."""
    assert token.state(100) == state


def test_tokens_are_named_by_id_or_by_whom_they_identify() -> None:
    """A name stands for all its tokens, an id for one; what is revoked already, or not there, is an error."""
    other = ListedToken("alice", "b" * 64, 0)
    gone = ListedToken("bob", "c" * 64, 0, None, 1)
    tokens = Tokens({token.digest: token for token in (NEVER, other, gone)})
    assert tokens.named("alice") == [NEVER, other]
    assert tokens.named(other.id) == [other]
    for nobody in ("bob", "carol"):
        with pytest.raises(InvalidRequestError, match=nobody):
            tokens.named(nobody)


TOKEN = write_token(bytes(range(32)))


def test_a_token_in_place_of_a_name_is_not_repeated() -> None:
    """Whoever mistakes a token for a name is told so without the token."""
    for wrong in (lambda: Tokens().named(TOKEN), lambda: check_principal(TOKEN)):
        with pytest.raises(InvalidRequestError) as error:
            wrong()
        assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice", "neither"),
        (f"token alice {'a' * 63} {write_time(0)} -", "neither"),
        (f"token @staff {'c' * 64} {write_time(0)} -", "cannot name"),
        (f"token alice {'b' * 64} {write_time(0)} -", "already"),
        (f"token alice {'c' * 64} 2026-02-30T00:00:00Z -", "not a time"),
        (f"token alice {'c' * 64} {write_time(0)} tomorrow", "not a time"),
        (f"revoke {'c' * 64} {write_time(0)}", "no line before"),
        (f"token {TOKEN} {'c' * 64} {write_time(0)} -", "a token cannot name"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(line: str, said: str) -> None:
    """The error says which line of which file, and why, and repeats no secret that may stand there."""
    first = ListedToken("first", "b" * 64, 0).line()
    with pytest.raises(InvalidRequestError, match=f"^tokens: line 3: .*{said}") as error:
        parse_tokens(f"{first}\n\n{line}\n", "tokens")
    assert TOKEN not in str(error.value)


@given(st.text())
def test_any_text_is_a_file_or_an_error(text: str) -> None:
    """Whatever is in the file, it is read or refused with an error of ours."""
    said = "tokens: line "
    try:
        parse_tokens(text, "tokens")
    except UnspoolError as error:
        said = error.message
    assert said.startswith("tokens: line ")
