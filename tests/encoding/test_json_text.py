"""JSON text: numbers exact, NaN never written, columns joined as they were."""

import math

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beam_batch_predict.encoding.json_columns import column_pieces, join_lines, join_rows
from beam_batch_predict.encoding.json_text import (
    NonFiniteValue,
    NotJson,
    dumps,
    echo_text,
    fallback_text,
    loads,
    preview,
    quote,
    read,
)
from beam_batch_predict.spec import NonFinite

NAN, INF = math.nan, math.inf

WRITTEN = [
    ({"x": [1, 2.5, "é\n", None, True]}, '{"x":[1,2.5,"é\\n",null,true]}'),
    ((1, (2,)), "[1,[2]]"),
    (2**64 - 1, "18446744073709551615"),
    ([2**64, -(2**63) - 1, None], "[18446744073709551616,-9223372036854775809,null]"),
    (b"\xff\x00", '{"b64":"/wA="}'),
    ([b"", bytearray(b"a"), memoryview(b"a")], '[{"b64":""},{"b64":"YQ=="},{"b64":"YQ=="}]'),
    ("null", '"null"'),
    ({"null": "null"}, '{"null":"null"}'),
    (np.float64(0.1), "0.1"),
    (np.float32(0.5), "0.5"),
    (ml_dtypes.bfloat16(1.5), "1.5"),
    (np.int64(-3), "-3"),
    (np.bool_(True), "true"),
    (np.str_("a"), '"a"'),
    (np.array(7), "7"),
    (np.array([[1, 2], [3, 4]], dtype=np.int8), "[[1,2],[3,4]]"),
    (np.array([b"a", "b"], dtype=object), '[{"b64":"YQ=="},"b"]'),
    (np.zeros((2, 0)), "[[],[]]"),
    ({1: "x", 2: None}, '{"1":"x","2":null}'),
    (0.1 + 0.2, "0.30000000000000004"),
    (5e-324, "5e-324"),
    ("\ud800", '"\\ud800"'),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_values_are_written_compactly_and_exactly(value, text):
    assert dumps(value) == text.encode()
    assert dumps([value, 2**70]) == b"[%b,%d]" % (text.encode(), 2**70)


@pytest.mark.parametrize("value", [NAN, INF, -INF, np.float32(NAN), np.float64(-INF)])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"x": [None, v]}, lambda v: np.array([v])])
def test_no_policy_writes_a_number_that_json_has_not(value, wrap):
    name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    as_null = dumps(wrap(value), NonFinite.NULL)
    as_string = dumps(wrap(value), NonFinite.STRING)
    assert as_string == dumps(wrap(0.25)).replace(b"0.25", f'"{name}"'.encode())
    assert as_null == as_string.replace(f'"{name}"'.encode(), b"null")
    with pytest.raises(NonFiniteValue, match=f"^{name} is not a JSON number"):
        dumps(wrap(value), NonFinite.ERROR)


def test_null_is_no_error_where_nan_is_one():
    assert dumps([None, "null", 1.0], NonFinite.ERROR) == b'[null,"null",1.0]'


@pytest.mark.parametrize("value", [1j, object(), {1, 2}, np.longdouble(1), [np.complex64(1)]])
def test_what_json_has_no_form_for_is_a_type_error(value):
    with pytest.raises(TypeError):
        dumps(value)


@pytest.mark.parametrize("depth", [200, 254])
@pytest.mark.parametrize(
    ("leaf", "text"),
    [(1, b"1"), (NAN, b'"NaN"'), (2**70, b"%d" % 2**70), (b"a", b'{"b64":"YQ=="}')],
)
def test_values_as_deep_as_are_read_are_written(depth, leaf, text):
    value = leaf
    for _ in range(depth // 2):
        value = [0, {"k": value, "": ()}]
    around = b'[0,{"k":' * (depth // 2) + b"%b" + b',"":[]}]' * (depth // 2)
    assert dumps(value) == around % text


def test_values_too_deep_to_be_written_have_words():
    deep = []
    for _ in range(20_000):
        deep = [deep]
    endless = []
    endless.append(endless)
    for value, words in ((deep, "an array"), (endless, "[[...]]")):
        with pytest.raises(RecursionError):
            dumps(value)
        assert fallback_text(value) == words


READABLE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=10,
)  # fmt: skip


@given(value=READABLE)
def test_what_is_written_reads_back(value):
    text = dumps(value)
    assert b"\n" not in text
    assert repr(loads(text)) == repr(value)
    assert read(text) == (value, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[NaN, Infinity, -Infinity]", [NAN, INF, -INF]),
        (b'{"NaN": -Infinity}', {"NaN": -INF}),
        (b"[NaN, 18446744073709551616]", [NAN, 2**64]),
        (b"[NaN, %d]" % -(10**4298), [NAN, -(10**4298)]),
        (b"[NaN, 18446744073709551615, 1e2, -7]", [NAN, 2**64 - 1, 100.0, -7]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"%d" % 10**4298, 10**4298),
        (b"-0", 0),
        (b"[-0.0, 1e-999]", [-0.0, 0.0]),
    ],
)
def test_odd_tokens_are_read_and_numbers_are_alike_beside_them(text, value):
    assert repr(loads(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "invalid JSON: .* at column 1"),
        (b"[1", "invalid JSON: .* at column "),
        (b"-NaN", "invalid JSON: Expecting value at column 1"),
        (b"[nan]", "invalid JSON: .* at column 2"),
        (b"ab\xffc", "invalid UTF-8: byte 0xff at column 3"),
        (b"1\x00", "invalid JSON: .* at column 2"),
        (b'["\\udc00", NaN]', "surrogate"),
        (b'{"a": "\\ud800", "a": 1}', "invalid JSON: half of a surrogate pair in a string"),
        (b'"a\tb"', "^invalid JSON: Invalid control character at column 3$"),
        (b'["\\udc00"]', "invalid JSON: half of a surrogate pair in a string"),
        (b"-1e400", "invalid JSON: the number -1e400 is larger than any double"),
        (b"[NaN, %s.5]" % (b"9" * 400), "the number 9{40} is larger than any double"),
        (b"[NaN, %s]" % (b"9" * 5000), "invalid JSON: an integer of more than 4,300 digits"),
        (b"9" * 5000, "invalid JSON: an integer of more than 4,300 digits"),
        (b"\xef\xbb\xbf1", "invalid JSON: .*BOM.* at column 1"),
        (
            b"[" * 100_000 + b"]" * 100_000,
            "^nested too deep: more than 254 levels",
        ),
        (b"[" * 100_000 + b"NaN" + b"]" * 100_000, "^nested too deep: more than 254 levels"),
    ],
)
def test_what_is_not_json_says_why_and_where(text, message):
    with pytest.raises(NotJson, match=message):
        loads(text)


@given(text=st.binary())
@example(text=b"\xff")
@example(text=b'"\\')
def test_any_text_can_be_echoed(text):
    echoed = orjson.loads(echo_text(text))
    try:
        assert echoed == text.decode()
    except UnicodeDecodeError:
        assert list(echoed) == ["b64"]


ODD_STRINGS = ['","', '"', "\\", "a,b", "null", "", "é", "\x7f", "\n", "]", "],[", "},{", '":[{']
STRINGS = st.text() | st.sampled_from(ODD_STRINGS)
NUMBERS = st.floats() | st.integers(-(2**64), 2**64) | st.integers(-10, 10)
SCALARS = NUMBERS | STRINGS | st.none() | st.booleans()
VALUES = st.recursive(
    SCALARS,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(STRINGS, items, max_size=2),
    max_leaves=5,
)
COLUMNS = st.one_of(
    st.lists(STRINGS),
    st.lists(NUMBERS | st.booleans() | st.none()),
    st.lists(st.integers()),
    st.lists(st.lists(NUMBERS, max_size=3)),
    st.lists(st.lists(VALUES, max_size=3)),
    st.lists(st.dictionaries(STRINGS, VALUES, max_size=2)),
    st.lists(VALUES),
)


@given(values=COLUMNS, non_finite=st.sampled_from(NonFinite))
@example(values=["a", ["p", "q", "r"], "b"], non_finite=NonFinite.STRING)
@example(values=["a", 1], non_finite=NonFinite.STRING)
@example(values=[1, True], non_finite=NonFinite.STRING)
@example(values=[2**64, 1], non_finite=NonFinite.STRING)
@example(values=["\ud800"], non_finite=NonFinite.STRING)
@example(values=[""], non_finite=NonFinite.STRING)
@example(values=["", ""], non_finite=NonFinite.STRING)
@example(values=['",', "b"], non_finite=NonFinite.STRING)
@example(values=[[], [], [1]], non_finite=NonFinite.STRING)
@example(values=[{}, {"a": [{}, {}]}, {}], non_finite=NonFinite.STRING)
@example(values=[["],["], [], [1]], non_finite=NonFinite.STRING)
@example(values=[[1], [[2], [3]]], non_finite=NonFinite.STRING)
@example(values=[0.5, math.nan, None, 1], non_finite=NonFinite.NULL)
@example(values=[["null"], [math.inf, None], []], non_finite=NonFinite.STRING)
def test_a_column_in_pieces_is_the_text_of_each_value(values, non_finite):
    try:
        expected = [dumps(value, non_finite) for value in values]
    except NonFiniteValue:
        with pytest.raises(NonFiniteValue):
            column_pieces(values, non_finite)
        return
    assert join_rows([b"", *column_pieces(values, non_finite)]) == expected


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ([[1, 2.5], [3]], [b"1,2.5", b"3"]),
        ([{"a": [1]}, {"b": "x"}], [b'"a":[1]', b'"b":"x"']),
        ([1, 2.5, True], [b"1", b"2.5", b"true"]),
        ([0.5, math.nan], [b"0.5", b'"NaN"']),
        ([[1, None], [math.nan]], [b"1,null", b'"NaN"']),
    ],
)
def test_a_column_of_one_type_is_cut_apart(column, texts):
    _, found, _ = column_pieces(column)
    assert found == texts


def test_deep_values_are_written_one_by_one():
    deep = []
    for _ in range(300):
        deep = [deep]
    assert join_rows(column_pieces([deep, 1])) == [b"[" * 301 + b"]" * 301, b"1"]
    assert join_rows(column_pieces([{"a": deep}] * 2)) == [b'{"a":%b}' % dumps(deep)] * 2


TEXTS = st.binary(max_size=3)


@given(
    shape=st.lists(st.none() | TEXTS, max_size=7),
    rows=st.integers(0, 4),
    data=st.data(),
)
def test_pieces_are_joined_row_by_row(shape, rows, data):
    column = st.lists(TEXTS, min_size=rows, max_size=rows)
    pieces = [data.draw(column) if piece is None else piece for piece in [*shape, None]]
    expected = [
        b"".join(piece if isinstance(piece, bytes) else piece[row] for piece in pieces)
        for row in range(rows)
    ]
    assert join_rows(pieces) == expected
    assert join_lines(pieces) == b"".join(expected)


@pytest.mark.parametrize("rows", range(4))
def test_two_columns_between_constants_are_joined_row_by_row(rows):
    first, second = ([b"%s%d" % (name, row) for row in range(rows)] for name in (b"a", b"b"))
    lines = b"".join(b"<a%d|b%d>" % (row, row) for row in range(rows))
    assert join_lines([b"<", first, b"|", second, b">"]) == lines


@pytest.mark.parametrize(
    "pieces", [[[b"a"], [b"b", b"c"]], [[b"a"], b"", [b"b", b"c"], b"", [b"d", b"e"]]]
)
def test_columns_of_different_length_are_never_joined(pieces):
    for join in (join_rows, join_lines):
        with pytest.raises(ValueError, match="zip"):
            join(pieces)


def test_previews_are_short_and_say_the_type():
    assert preview([1, 2]) == "[1, 2] (an array)"
    assert preview("x" * 1000) == '"' + "x" * 59 + "… (a string)"
    assert preview(b"\xff") == "\"b'\\\\xff'\" (a bytes)"
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert preview(deep) in ("an array", "[" * 60 + "… (an array)")
    assert quote('é"') == '"é\\""'
