"""The promises of every fuzz target, on its seeds and on a few mutations of them."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from fuzz.driver import load, targets

HOSTILE = [
    *(b'"', b"\\", b"\n", b"\r", b"\r\n", b",", b"[", b"]", b"{", b"}", b"\0", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\\ud800", b"NaN", b"-Infinity", b"1e400", b"-0"),
    *(b'""', b'"a","a"', b"9" * 30, b"[" * 50, b"'", b"null", b"\xf0\x9f\x98\x80"),
]
"""What parsers stumble over."""

PIECE = st.sampled_from(HOSTILE) | st.binary(max_size=4)
EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 6), PIECE), max_size=4)


@pytest.mark.parametrize("name", targets())
def test_promises_hold_on_every_seed(name):
    target = load(name)
    assert target.SEEDS
    for seed in target.SEEDS:
        target.check(seed)


@pytest.mark.parametrize("name", targets())
@given(at=st.integers(0, 10**6), edits=EDITS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_promises_hold_on_seeds_with_pieces_put_in_and_taken_out(name, at, edits):
    target = load(name)
    data = target.SEEDS[at % len(target.SEEDS)]
    for place, length, piece in edits:
        start = place % (len(data) + 1)
        data = data[:start] + piece + data[start + length :]
    target.check(data)
