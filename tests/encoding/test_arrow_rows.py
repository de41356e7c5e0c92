"""Rows of a table as a sequence: values, texts, slices and what pickles."""

import math
import pickle

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.encoding import arrow_rows
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.json_columns import join_rows
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.spec import NonFinite

COLUMNS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint8(): st.integers(0, 255),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.float16(): st.floats(width=16),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=4),
    pa.binary(): st.binary(max_size=4),
    pa.list_(pa.float32()): st.lists(st.none() | st.floats(width=32), max_size=3),
    pa.list_(pa.float32(), 2): st.lists(st.floats(width=32), min_size=2, max_size=2),
    pa.list_(pa.list_(pa.float64(), 2)): st.lists(
        st.lists(st.floats(), min_size=2, max_size=2), min_size=1, max_size=1
    ),
    pa.large_list(pa.int64()): st.lists(st.integers(-9, 9), min_size=1, max_size=1),
    pa.struct({"a": pa.int8(), 'b"': pa.string()}): st.fixed_dictionaries(
        {"a": st.integers(-128, 127), 'b"': st.text(max_size=3)}
    ),
}


@st.composite
def tables(draw):
    count = draw(st.integers(0, 5))
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), max_size=5))
    names = draw(
        st.lists(st.text(max_size=3), min_size=len(kinds), max_size=len(kinds), unique=True)
    )
    columns = []
    for kind in kinds:
        values = COLUMNS[kind] if draw(st.booleans()) else st.none() | COLUMNS[kind]
        columns.append(pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind))
    if not columns:
        return pa.record_batch({"x": [0] * count}).select([])
    return pa.record_batch(columns, names=names)


def texts(rows, non_finite=NonFinite.STRING):
    return [dumps(value, non_finite) for value in rows.values()]


@given(tables(), st.booleans(), st.sampled_from([NonFinite.STRING, NonFinite.NULL]))
def test_pieces_are_the_texts_of_the_values(table, as_arrays, non_finite):
    rows = ArrowRows(table, as_arrays)
    assert join_rows(rows.pieces(non_finite)) == texts(rows, non_finite)
    for name in rows.names:
        pieces = rows.column_pieces(name, non_finite)
        assert join_rows(pieces) == [dumps(v, non_finite) for v in rows.column(name)]


@given(tables(), st.booleans(), st.data())
def test_a_part_is_the_same_part_of_the_values(table, as_arrays, data):
    rows = ArrowRows(table, as_arrays)
    whole = list(map(repr, rows))
    assert len(whole) == len(rows) == table.num_rows
    bounds = st.none() | st.integers(-7, 7)
    part = slice(data.draw(bounds), data.draw(bounds), data.draw(st.sampled_from([None, 1, 2, -1])))
    assert list(map(repr, rows[part])) == whole[part]
    if whole:
        positions = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6))
        assert list(map(repr, rows.take(positions))) == [whole[at] for at in positions]
        assert [repr(rows[at]) for at in range(-len(rows), len(rows))] == whole * 2
    start = data.draw(st.integers(0, len(whole)))
    joined = rows[:start] + rows[start:]
    assert rows[:start].joins(rows[start:])
    assert list(map(repr, joined)) == whole


@given(tables(), st.booleans(), st.data())
def test_rows_survive_pickling_and_know_which_have_no_null(table, as_arrays, data):
    start = data.draw(st.integers(0, table.num_rows))
    rows = ArrowRows(table, as_arrays)[start:]
    again = pickle.loads(pickle.dumps(rows))
    assert (again.names, again.as_arrays) == (rows.names, as_arrays)
    assert list(map(repr, again)) == list(map(repr, rows))
    cells = [row if as_arrays else row.values() for row in again]
    assert again.without_null().tolist() == [None not in list(row) for row in cells]


def test_a_slice_pickles_without_the_rows_around_it():
    rows = ArrowRows(pa.record_batch({"x": list(range(100_000))}))
    assert len(pickle.dumps(rows[7:9])) < 2_000


def test_names_choose_columns_and_their_order():
    rows = ArrowRows(pa.record_batch({"a": [1], "b": ["x"], "c": [None]}))
    assert rows.select(["b", "a"]).values() == [{"b": "x", "a": 1}]
    assert rows.select(["b", "a"], as_arrays=True)[0] == ["x", 1]
    assert rows.select([]).values() == [{}]
    assert rows.select([], as_arrays=True).values() == [[]]
    assert join_rows([b"", *rows.select([]).pieces()]) == [b"{}"]
    with pytest.raises(KeyError):
        rows.select(["d"])


def test_rows_of_another_schema_or_shape_do_not_join():
    rows = ArrowRows(pa.record_batch({"a": [1]}))
    assert not rows.joins(ArrowRows(pa.record_batch({"b": [1]})))
    assert not rows.joins(ArrowRows(pa.record_batch({"a": ["1"]})))
    assert not rows.joins(ArrowRows(rows.table, as_arrays=True))
    assert not rows.joins([{"a": 1}])


def test_rows_of_many_bytes_do_not_join(monkeypatch):
    monkeypatch.setattr(arrow_rows, "MOST_BYTES", 3000)
    rows = ArrowRows(pa.record_batch({"x": ["a" * 1000] * 2}))
    assert rows[:1].joins(rows[:1])
    assert not rows.joins(rows[:1])


def test_a_row_that_is_not_there_is_an_index_error():
    rows = ArrowRows(pa.record_batch({"a": [1]}))
    for at in (1, -2):
        with pytest.raises(IndexError):
            rows[at]


def test_neighbouring_numbers_are_written_together_with_what_is_not_finite():
    rows = ArrowRows(
        pa.record_batch({"a": [1.5, math.nan], "b": [math.inf, 2.0], "c": ["x", None]}), True
    )
    assert join_rows(rows.pieces()) == [b'[1.5,"Infinity","x"]', b'["NaN",2.0,null]']
    assert join_rows(rows.pieces(NonFinite.NULL)) == [b'[1.5,null,"x"]', b"[null,2.0,null]"]


@pytest.mark.parametrize("number", [1e13, 9.999e12, 5e-6, 1e-5, 1.001e-5, 3e38, 1e-45, 0.1, -0.0])
def test_a_float32_is_written_in_the_same_way_in_any_company(number):
    text = dumps(number)
    for others in ([], [0.5], [None], [math.nan], [1e20]):
        column = pa.array([number, *others], pa.float32())
        rows = ArrowRows(pa.record_batch({"a": column, "b": column}), as_arrays=True)
        assert join_rows(rows.pieces())[0] == b"[%b,%b]" % (text, text)
        objects = ArrowRows(rows.table)
        assert join_rows(objects.pieces())[0] == b'{"a":%b,"b":%b}' % (text, text)
