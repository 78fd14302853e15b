"""Protobuf messages built from raw fields, as no generated code would: for tests of parsers."""

from __future__ import annotations

from hypothesis import strategies as st

VARINT, FIXED64, DELIMITED, GROUP_START, GROUP_END, FIXED32 = range(6)

Encoded = st.SearchStrategy[bytes]


def varint(value: int, padding: int = 0) -> bytes:
    """Return a number as a varint, `padding` bytes longer than necessary."""
    out = bytearray()
    value &= 2**64 - 1
    while value >= 0x80 or padding:
        padding -= value < 0x80
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Mostly none; sometimes as many as still fit, or more than ever fit.
paddings = st.sampled_from([0] * 20 + [1, 2, 4, 5, 8, 9, 10])

numbers = st.one_of(
    st.integers(0, 300),
    st.sampled_from([2**bits + off for bits in (7, 14, 31, 32, 35, 56, 62, 63) for off in (-1, 0, 1)]),
    st.integers(-(2**63), 2**64 - 1),
)

varints = st.builds(varint, numbers, paddings)
fixed32 = st.binary(min_size=4, max_size=4)


def field(number: int, wire_type: int, payloads: Encoded) -> Encoded:
    """Fields with a number and a wire type; sometimes the tag is longer than necessary."""
    return st.builds(lambda padding, payload: varint(number << 3 | wire_type, padding) + payload, paddings, payloads)


def delimited(number: int, payloads: Encoded) -> Encoded:
    """Fields that hold bytes, text or a message; sometimes their length is longer than necessary, or wrong."""

    def encoded(payload: bytes, padding: int, error: int) -> bytes:
        return varint(max(len(payload) + error, 0), padding) + payload

    errors = st.sampled_from([0] * 30 + [-2, -1, 1, 2, 100])
    return field(number, DELIMITED, st.builds(encoded, payloads, paddings, errors))


def any_field(field_numbers: st.SearchStrategy[int]) -> Encoded:
    """Fields of any wire type, including invalid ones, with any payload, including too long ones."""
    payloads = st.one_of(varints, fixed32, st.binary(max_size=12), st.just(b""))
    groups = field_numbers.map(lambda number: varint(number << 3 | GROUP_START) + varint(number << 3 | GROUP_END))
    return st.one_of(
        field_numbers.flatmap(lambda number: field(number, VARINT, varints)),
        field_numbers.flatmap(lambda number: field(number, FIXED64, st.binary(min_size=8, max_size=8))),
        field_numbers.flatmap(lambda number: delimited(number, st.binary(max_size=8))),
        field_numbers.flatmap(lambda number: field(number, FIXED32, fixed32)),
        groups,
        st.tuples(field_numbers, st.integers(0, 7)).flatmap(lambda pair: field(*pair, payloads)),
    )


def message(*known: Encoded, largest: int) -> Encoded:
    """Messages of any of the known fields, in any order and number; sometimes with unknown or mistyped fields in between."""
    strange = any_field(st.one_of(st.integers(0, 8), st.sampled_from([15, 16, 100, 19000, 2**29 - 1])))
    return st.lists(st.one_of(*known, *known, *known, strange), max_size=largest).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn, messages: Encoded) -> bytes:
    """Messages unchanged, truncated, with a flipped bit, with a byte more or less, or followed by another message."""
    data = draw(messages)
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    match draw(st.sampled_from(["as it was"] * 5 + ["cut", "flip", "more", "less", "two"])):
        case "cut":
            return data[:at]
        case "flip" if data:
            return data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        case "more":
            return data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at:]
        case "less":
            return data[:at] + data[at + 1 :]
        case "two":
            return data + draw(messages)
        case _:
            return data
