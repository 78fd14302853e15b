"""Arbitrary values of the model: for tests of encoding and decoding."""

from __future__ import annotations

from hypothesis import strategies as st

from unspool.core.model import Attributes, FileInfo

int64s = st.integers(-(2**63), 2**63 - 1)
sizes = st.integers(0, 2**63 - 1)
uint32s = st.integers(0, 2**32 - 1)
positive_int32s = st.integers(1, 2**31 - 1)

file_infos = st.builds(
    FileInfo,
    name=st.text(max_size=30),
    size=sizes,
    revision=st.text(max_size=30),
    attributes=st.builds(
        Attributes,
        st.none() | st.integers(-(2**63) * 10**9, 2**63 * 10**9 - 1),
        content_type=st.text(max_size=10),
        executable=st.none() | st.booleans(),
    ),
    crc32c=st.none() | uint32s,
    sha256=st.none() | st.binary(min_size=32, max_size=32),
)
