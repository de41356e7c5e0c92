"""Hashes of keys: alike for equal texts however they come, and counted within bounds."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict import files
from beam_batch_predict.sinks.parts import key_hashes
from beam_batch_predict.sinks.parts.key_hashes import KeyHashes, hashes_of, repeated
from beam_batch_predict.sinks.parts.part import new_file


@pytest.fixture
def write(tmp_path):
    """A function that writes the hashes of batches of keys: the URI of the file, or None."""

    def write(*batches):
        hashes = KeyHashes(lambda: new_file(str(tmp_path)))
        for keys in batches:
            hashes.add(keys)
        file = hashes.close()
        if file is None:
            return None
        uri = str(tmp_path / f"{random.random()}.keys")
        file.commit(uri)
        return uri

    return write


def read(uri):
    return np.frombuffer(files.read_file(uri), "<u8").tolist()


KEYS = st.one_of(
    st.text(),
    st.text(alphabet="ab\n\u00e9", max_size=80),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)


@given(batches=st.lists(st.lists(KEYS)))
def test_a_hash_depends_on_its_key_alone(batches, tmp_path_factory):
    hashes = KeyHashes(lambda: new_file(str(tmp_path_factory.getbasetemp())))
    for keys in batches:
        hashes.add(keys)
    flat = [key for keys in batches for key in keys if key is not None]
    file = hashes.close()
    found = []
    if file is not None:
        file.close()
        with file.open_written() as content:
            found = np.frombuffer(content.read(), "<u8").tolist()
        file.abandon()
    assert sorted(found) == sorted(hashes_of([key])[0] for key in flat)


@pytest.mark.parametrize(
    "keys",
    [
        [f"row-{n:07d}" for n in range(50_000)],
        [f"row-{n}" for n in range(50_000)],
        list(range(50_000)),
        ["x" * n for n in range(200)],
        [f"{'a' * 100}{n}" for n in range(1_000)],
        [f"{a}aaaaaaa{b}bbbbbbb" for a in "abcdefghijklmnop" for b in "abcdefghijklmnop"],
    ],
)
def test_different_keys_have_different_hashes(keys, write):
    uri = write(*(keys[start : start + 512] for start in range(0, len(keys), 512)))
    assert len(set(read(uri))) == len(keys)
    assert repeated([uri], len(keys)) == 0


def test_keys_are_counted_once_however_often_and_in_whatever_part_they_occur(write):
    parts = [write(["a", "b", "a", "a"], ["c\n", None]), write([7, 1.5], ["7", "c\n", "d"], ["b"])]
    count = sum(len(read(uri)) for uri in parts)
    assert count == 11
    assert repeated(parts, count) == 4  # a, b, "c\n" and 7


def test_without_a_key_there_is_no_file(write):
    assert write([], [None, None]) is None


def test_above_the_limit_nothing_is_read(monkeypatch):
    monkeypatch.setattr(key_hashes, "MOST_KEYS", 3)
    assert repeated(["no such file"], 4) is None


def test_no_keys_are_no_repeated_keys(write):
    assert repeated([write(["a"])], 1) == 0
    assert repeated([], 0) == 0
    assert repeated([write(["a", "a"])], 2) == 1
    assert json.dumps(repeated([write(["a", "a", "b", "b"])], 4)) == "2"
