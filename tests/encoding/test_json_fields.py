"""Fields of rows as texts: values are made on demand, and have the numbers of the texts."""

import math
import pickle

import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.json_fields import JsonFields
from beam_batch_predict.encoding.json_text import dumps, read_exact
from beam_batch_predict.spec import NonFinite

TEXTS = st.sampled_from(
    [b"1", b"1.5", b"1.50", b"-0", b"1e400", b"[ 1.0, 2 ]", b'"\\u00e9"', b'{"a":1,"a":2}', b"null"]
)


@settings(deadline=None, max_examples=examples(200))
@given(rows=st.lists(st.tuples(TEXTS | st.none(), TEXTS | st.none())))
def test_values_are_those_of_the_texts_that_a_row_has(rows):
    columns = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    fields = JsonFields(columns)
    expected = [
        {name: read_exact(text) for name, text in zip("ab", row, strict=True) if text is not None}
        for row in rows
    ]
    assert repr(list(fields)) == repr(expected)
    assert [fields.texts(name) for name in fields.names] == list(columns.values())
    assert repr(pickle.loads(pickle.dumps(fields))) == repr(expected)
    odd = list(range(1, len(rows), 2))
    assert repr(list(fields.take(odd))) == repr([expected[row] for row in odd])
    assert len(fields) == len(rows)


def test_a_number_that_a_float_would_show_in_another_way_keeps_its_text():
    (first, second) = JsonFields({"a": [b"1.50", b"1.5"]})
    assert (type(first["a"]), type(second["a"])) == (ExactNumber, float)
    assert dumps(first) == b'{"a":1.50}'


@pytest.mark.parametrize(
    ("policy", "text"), [(NonFinite.STRING, b'"NaN"'), (NonFinite.NULL, b"null")]
)
def test_a_value_without_a_strict_text_is_written_by_the_policy(policy, text):
    fields = JsonFields({"a": [b"1.50", None, None]}, [{"a": 1.5}, {"a": math.nan}, {}])
    assert fields.texts("a", policy) == [b"1.50", text, None]
    assert fields.take([2, 1]).texts("a", policy) == [None, text]
    assert math.isnan(fields.values()[1]["a"])
