"""Columns to tensors: the same as from the values that they stand for."""

import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.models.inputs.arrow import arrow_arrays
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.spec import PredictSettings

DTYPES = (
    *("float16", "bfloat16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "string"),
)

SMALL = st.integers(0, 3)
LEAVES = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): SMALL | st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): SMALL | st.integers(0, 2**64 - 1),
    pa.float16(): st.floats(width=16),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(-1e4, 1e4) | st.floats(),
    pa.decimal128(12, 3): st.decimals(-1000, 1000, places=3),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=3),
    pa.binary(): st.binary(max_size=3),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.date32(): st.dates(),
}
NUMBERS = [pa.int8(), pa.int64(), pa.float32(), pa.float64()]


@st.composite
def columns(draw, count, kinds):
    """A column whose lists are mostly of one length."""
    kind = draw(st.sampled_from(kinds))
    values = LEAVES[kind]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        size = draw(st.integers(0, 3))
        lengths = st.just(size) if draw(st.integers(0, 4)) else st.integers(0, 3)
        values = lengths.flatmap(lambda n, items=values: st.lists(items, min_size=n, max_size=n))
        fixed = draw(st.booleans()) and not pa.types.is_nested(kind)
        kind = pa.list_(kind) if not fixed else pa.large_list(kind)
    if not draw(st.integers(0, 3)):
        values = st.none() | values
    return pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind)


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    kinds = draw(st.sampled_from([list(LEAVES), NUMBERS, *([kind] for kind in LEAVES)]))
    made = draw(st.lists(columns(count, kinds), min_size=1, max_size=3))
    names = draw(st.permutations(["a", "b64", "x"]))[: len(made)]
    if draw(st.booleans()):
        made = made[:1] * len(made)
    return pa.record_batch(made, names=names)


SIZES = st.none() | st.integers(0, 3)
SHAPES = st.none() | st.lists(SIZES, max_size=3).map(lambda sizes: (None, *sizes))


@st.composite
def signatures(draw, names):
    named = draw(st.booleans())
    names = names if named else draw(st.sampled_from([["x"], ["b64"], ["a", "x"]]))
    dtypes = st.sampled_from(DTYPES)
    return [TensorInfo(name, draw(dtypes), draw(SHAPES)) for name in sorted(names)]


def by_row(tensors):
    """Each row's values as they went into arrays, and the messages of those that failed."""
    found = {}
    for batch in tensors.batches:
        for at, row in enumerate(batch.rows):
            assert row not in found
            found[row] = {
                name: (array.dtype.name, repr(array[at : at + 1].tolist()), array.shape[1:])
                for name, array in batch.inputs.items()
            }
    return found, dict(tensors.failures)


@given(tables(), st.booleans(), st.data())
def test_columns_make_the_tensors_that_their_values_make(table, as_arrays, data):
    rows = ArrowRows(table, as_arrays)
    inputs = data.draw(signatures(rows.names))
    live = data.draw(st.just(range(len(rows))) | st.sets(st.integers(0, len(rows) - 1)).map(sorted))
    expected = by_row(to_tensors(rows.values(), live, inputs, names=rows.names))
    found = by_row(to_tensors(rows, live, inputs, names=rows.names))
    assert found == expected
    assert sorted([*found[0], *found[1]]) == list(live)


@given(tables(), st.data())
def test_what_comes_from_columns_alone_is_right(table, data):
    rows = ArrowRows(table, as_arrays=True)
    inputs = data.draw(signatures(rows.names))
    arrays = arrow_arrays(rows, inputs)
    if arrays is not None:
        (batch,) = to_tensors(rows.values(), range(len(rows)), inputs, names=rows.names).batches
        assert list(batch.rows) == list(range(len(rows)))
        assert {n: a.dtype for n, a in arrays.items()} == {t.name: t.numpy_dtype for t in inputs}
        for name, array in arrays.items():
            assert repr(array.tolist()) == repr(batch.inputs[name].tolist())


def tensor(dtype, *row_shape, name="x"):
    return TensorInfo(name, dtype, (None, *row_shape))


def fitting(table, *inputs, as_arrays=True):
    """The arrays that are made of columns alone."""
    return arrow_arrays(ArrowRows(pa.record_batch(table), as_arrays), inputs)


def only(table, *inputs, **more):
    arrays = fitting(table, *inputs, **more)
    assert arrays is not None
    ((_, array),) = arrays.items()
    assert array.dtype == inputs[0].numpy_dtype
    return array.tolist()


F32 = pa.float32()
LISTS = [[1.0, 2.0], [3.0, 4.0]]
COLUMNAR = [
    (
        "cells of a row",
        {"a": [1, 2], "b": [0.5, 1.5]},
        tensor("float32", 2),
        [[1.0, 0.5], [2, 1.5]],
    ),
    ("any shape", {"a": [1, 2], "b": [3, 4]}, TensorInfo("x", "int8", None), [[1, 3], [2, 4]]),
    ("one cell", {"a": [True, False]}, tensor("bool"), [True, False]),
    ("an array of one", {"a": [True, False]}, tensor("bool", 1), [[True], [False]]),
    ("a cell of one value", {"a": [1, 2]}, tensor("int8", 1, 1), [[[1]], [[2]]]),
    ("text", {"a": ["é", ""]}, tensor("string"), ["é".encode(), b""]),
    ("bytes", {"a": [b"\xff", b""]}, tensor("string", None), [[b"\xff"], [b""]]),
    ("bytes of one length", {"a": pa.array([b"ab"], pa.binary(2))}, tensor("string"), [b"ab"]),
    ("a list", {"a": LISTS}, tensor("float64", 2), LISTS),
    ("a list in an array", {"a": LISTS}, tensor("float64", 1, 2), [[r] for r in LISTS]),
    ("a list of one length", {"a": pa.array(LISTS, pa.list_(F32, 2))}, tensor("float32", 2), LISTS),
    ("nested lists", {"a": [LISTS, LISTS]}, tensor("float16", 2, None), [LISTS, LISTS]),
    ("two lists", {"a": LISTS, "b": LISTS}, tensor("float32", 2, 2), [[r, r] for r in LISTS]),
    ("a dictionary", {"a": pa.array(["u", "u"]).dictionary_encode()}, tensor("string"), [b"u"] * 2),
    ("decimals", {"a": [decimal.Decimal("0.1")]}, tensor("float64"), [0.1]),
    ("the shortest number", {"a": pa.array([0.1], F32)}, tensor("float64"), [0.1]),
    ("its own dtype", {"a": pa.array([0.1], F32)}, tensor("float32"), [float(np.float32(0.1))]),
    ("limits", {"a": pa.array([0, 255], pa.int64())}, tensor("uint8"), [0, 255]),
    ("infinity", {"a": [math.inf]}, tensor("float16"), [math.inf]),
]


@pytest.mark.parametrize(
    ("table", "wanted", "expected"), [case[1:] for case in COLUMNAR], ids=[c[0] for c in COLUMNAR]
)
def test_columns_that_fit_are_taken_without_their_values(table, wanted, expected):
    assert only(table, wanted) == expected


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ({"a": [1.0]}, tensor("int32")),
        ({"a": [256]}, tensor("uint8")),
        ({"a": [-1]}, tensor("uint64")),
        ({"a": [2**63]}, tensor("int64")),
        ({"a": [1e39]}, tensor("float32")),
        ({"a": [65536]}, tensor("float16")),
        ({"a": [True]}, tensor("float32")),
        ({"a": [1]}, tensor("bool")),
        ({"a": [1]}, tensor("string")),
        ({"a": ["1"]}, tensor("float32")),
        ({"a": [None, 1.0]}, tensor("float32")),
        ({"a": [[1.0, None]]}, tensor("float32", 2)),
        ({"a": [[1.0], [1.0, 2.0]]}, tensor("float32", None)),
        ({"a": [1.0]}, tensor("float32", 2)),
        ({"a": [[1.0]], "b": [1.0]}, tensor("float32", 2)),
        ({"a": [{"b64": "aGk="}]}, tensor("string")),
    ],
)
def test_columns_that_do_not_are_left_to_a_closer_look(table, wanted):
    table = {n: pa.array(v, pa.uint64()) if v == [2**63] else pa.array(v) for n, v in table.items()}
    assert fitting(table, wanted) is None


def test_several_inputs_take_columns_by_name_from_arrays_and_objects():
    table = {"b": [[1], [2]], "a": ["u", "v"]}
    inputs = [tensor("string", name="a"), tensor("int32", 1, name="b")]
    for as_arrays in (True, False):
        arrays = fitting(table, *inputs, as_arrays=as_arrays)
        assert arrays["a"].tolist() == [b"u", b"v"]
        assert arrays["b"].tolist() == [[1], [2]]
        arrays = fitting({**table, "b": [1, 2]}, *inputs, as_arrays=as_arrays)
        assert arrays["b"].tolist() == [[1], [2]]
    assert fitting({**table, "c": [1, 2]}, *inputs) is None
    assert fitting({"a": ["u"]}, *inputs) is None


def test_an_object_with_the_one_name_b64_is_an_encoded_value():
    encoded = ArrowRows(pa.record_batch({"b64": ["aGk="]}))
    for name in ("x", "b64"):
        (batch,) = to_tensors(encoded, [0], [tensor("string", name=name)]).batches
        assert batch.inputs[name].tolist() == [b"hi"]


def test_rows_with_a_null_fail_alone_and_say_where():
    table = pa.record_batch({"a": [1.0, None, 3.0, 4.0], "b": [1.0, 2.0, None, 4.0]})
    tensors = to_tensors(ArrowRows(table, True), [0, 1, 2, 3], [tensor("float32", 2)])
    (batch,) = tensors.batches
    assert (list(batch.rows), batch.inputs["x"].tolist()) == ([0, 3], [[1, 1], [4, 4]])
    assert [(row, status.message) for row, status in tensors.failures] == [
        (1, 'input "x"[0]: expected float32, found null'),
        (2, 'input "x"[1]: expected float32, found null'),
    ]


def test_only_live_rows_are_taken_and_keep_their_positions():
    rows = ArrowRows(pa.record_batch({"a": [1, 2, None, 4, 5]}), True)
    tensors = to_tensors(rows, [1, 2, 4], [tensor("int32")])
    (batch,) = tensors.batches
    assert (list(batch.rows), batch.inputs["x"].tolist()) == ([1, 4], [2, 5])
    assert [row for row, _ in tensors.failures] == [2]
    assert to_tensors(rows, [], [tensor("int32")]) == ([], [])


@given(st.lists(st.floats(width=32), min_size=1), st.sampled_from(["float16", "bfloat16"]))
@example([0.1, 65504.0, 65520.0], "float16")
def test_floats_are_rounded_once_from_their_decimal_form(floats, dtype):
    rows = ArrowRows(pa.record_batch({"a": pa.array(floats, F32)}), True)
    expected = by_row(to_tensors(rows.values(), range(len(rows)), [tensor(dtype, 1)]))
    assert by_row(to_tensors(rows, range(len(rows)), [tensor(dtype, 1)])) == expected


ONE_COLUMN = [
    ([5], (), 5),
    ([5], (1,), [5]),
    ([5], (None,), [5]),
    ([5], None, [5]),
    ([[1, 2]], (2,), [1, 2]),
    ([[1, 2]], (1, 2), [[1, 2]]),
    ([[1, 2]], None, [[1, 2]]),
    ([[]], (None,), []),
]


@pytest.mark.parametrize(("row", "row_shape", "expected"), ONE_COLUMN)
def test_the_only_cell_of_a_row_fits_an_input_of_its_rank(row, row_shape, expected):
    x = TensorInfo("x", "int32", None if row_shape is None else (None, *row_shape))
    for instances in ([row], ArrowRows(pa.record_batch({"c": pa.array(row)}), True)):
        (batch,) = to_tensors(instances, [0], [x], names=["c"]).batches
        assert batch.inputs["x"].tolist() == [expected]


def test_without_names_an_array_of_one_is_an_array():
    assert to_tensors([[5]], [0], [tensor("int32")]).failures


def test_each_row_decides_for_itself_whether_its_cell_fits():
    rows = [[1], [[2]], [None]]
    tensors = to_tensors(rows, range(3), [tensor("int32")], names=["c"])
    assert [list(batch.rows) for batch in tensors.batches] == [[0]]
    assert [row for row, _ in tensors.failures] == [1, 2]
    assert tensors.failures[1][1].message == 'input "x": expected int32, found null'


def predicted(rows, caller, batch_size):
    """What the model says of each row, and the messages of the rows that failed."""
    batch = InstanceBatch(rows, instances=rows, columns=rows.names if rows.as_arrays else ())
    done = predict_batch(batch, caller, PredictSettings(batch_size))
    found = {
        row: {name: array.tolist()[at] for name, array in group.columns.items()}
        for group in done.predictions
        for at, row in enumerate(group.rows)
    }
    return found, {row: status.message for row, status in done.statuses.items()}


def test_a_model_takes_columns(load):
    table = {"a": pa.array([1, 2, 3, 4, 5], F32), "b": [0.5, None, 1.0, 2.0, 0.25]}
    found, failed = predicted(ArrowRows(pa.record_batch(table), True), load("weighed"), 2)
    assert found == {0: {"y": 20}, 2: {"y": 50}, 3: {"y": 80}, 4: {"y": 55}}
    assert failed == {1: 'input "x"[1]: expected float32, found null'}


def test_a_model_fails_on_a_row_of_columns_alone(load):
    rows = ArrowRows(pa.record_batch({"x": [1, -2, 3]}))
    found, failed = predicted(rows, load("picky"), 3)
    assert found == {0: {"y": 2}, 2: {"y": 6}}
    assert "x must not be negative" in failed[1]


def test_several_inputs_of_a_model_take_columns_by_name(load):
    pairs = {name: [[value, 0.0]] * 2 for name, value in (("a", 1.0), ("B", 2.0), ("zz", 3.0))}
    for as_arrays in (True, False):
        found, _ = predicted(ArrowRows(pa.record_batch(pairs), as_arrays), load("digits"), 2)
        assert found == {row: {"y": [312, 0]} for row in range(2)}


def test_a_model_of_strings_takes_text_and_bytes(load):
    for column in (["a", "é"], pa.array(["a", "é"]).dictionary_encode(), [b"a", "é".encode()]):
        found, _ = predicted(ArrowRows(pa.record_batch({"c": column}), True), load("words"), 2)
        assert [found[row]["text"] for row in range(2)] == [b"a", "é".encode()]


def test_the_only_column_of_rows_that_are_values_fits_an_input_of_its_rank(load):
    rows = [["a"], ["b"]]
    batch = InstanceBatch(rows, instances=rows, columns=("c",))
    (group,) = predict_batch(batch, load("words"), PredictSettings(2)).predictions
    assert group.columns["text"].tolist() == [b"a", b"b"]


EXTRA = pa.record_batch(
    {
        "id": ["a", None, "c"],
        "x": [1.5, 2.5, 3.5],
        "n": [1, 2, None],
        "odd": [None, [{"a": 1}], []],
    }
)


@pytest.mark.parametrize("as_arrays", [True, False])
@pytest.mark.parametrize("of_values", [True, False])
def test_columns_that_are_no_inputs_are_left_out(as_arrays, of_values):
    rows = ArrowRows(EXTRA, as_arrays)
    instances = rows.values() if of_values else rows
    inputs = [tensor("float32"), tensor("int64", name="n")]
    found, failures = by_row(to_tensors(instances, range(3), inputs, names=rows.names))
    assert {row: [found[row][name][1] for name in ("x", "n")] for row in found} == {
        0: ["[1.5]", "[1]"],
        1: ["[2.5]", "[2]"],
    }
    assert failures[2].message == 'input "n": expected int64, found null'


@pytest.mark.parametrize("as_arrays", [True, False])
@pytest.mark.parametrize("of_values", [True, False])
@pytest.mark.parametrize("row_shape", [(), (1,), (1, 1)])
def test_a_single_input_takes_the_column_with_its_name(as_arrays, of_values, row_shape):
    rows = ArrowRows(EXTRA, as_arrays)
    instances = rows.values() if of_values else rows
    found = to_tensors(instances, range(3), [tensor("float32", *row_shape)], names=rows.names)
    (batch,) = found.batches
    assert batch.inputs["x"].reshape(-1).tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("of_values", [True, False])
def test_a_single_input_takes_the_column_of_arrays_with_its_name(of_values):
    rows = ArrowRows(
        pa.record_batch({"id": ["a", "b", "c"], "x": [[1.5, 2.5], [3, 4], None]}), as_arrays=True
    )
    instances = rows.values() if of_values else rows
    found, failures = by_row(
        to_tensors(instances, range(3), [tensor("float32", 2)], names=rows.names)
    )
    assert [found[row]["x"][1] for row in found] == ["[[1.5, 2.5]]", "[[3.0, 4.0]]"]
    assert failures[2].message == 'input "x": expected float32, found null'


@pytest.mark.parametrize("row_shape", [(2,), (None,), None])
@pytest.mark.parametrize("of_values", [True, False])
def test_a_single_input_takes_all_cells_if_one_does_not_have_its_rank(row_shape, of_values):
    rows = ArrowRows(pa.record_batch({"x": [1.0, 2.0], "y": [3.0, 4.0]}), as_arrays=True)
    instances = rows.values() if of_values else rows
    shape = None if row_shape is None else (None, *row_shape)
    found = to_tensors(instances, [0, 1], [TensorInfo("x", "float32", shape)], names=rows.names)
    assert found.batches[0].inputs["x"].tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_cells_that_are_objects_may_have_no_other_names():
    rows = ArrowRows(pa.record_batch({"x": [{"x": 1.0, "y": 2.0}]}), as_arrays=True)
    ((_, status),) = to_tensors(rows, [0], [tensor("float32")], names=rows.names).failures
    assert status.message == 'expected an object with the one input "x"; found "x", "y"'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, None], 'input "x"[1]: expected float32, found null'),
        ([None, 1.0], 'input "x"[0]: expected float32, found null'),
        (None, 'input "x": expected float32, found null'),
    ],
)
@pytest.mark.parametrize("more", [{}, {"id": ["a", "b"]}])
def test_a_null_in_a_column_of_arrays_is_located(value, message, more):
    rows = ArrowRows(pa.record_batch({"x": [[1.0, 2.0], value], **more}), as_arrays=True)
    found = to_tensors(rows, [0, 1], [tensor("float32", 2)], names=rows.names)
    assert [(row, status.message) for row, status in found.failures] == [(1, message)]


def test_a_null_in_place_of_an_inner_array_is_located():
    column = [[[1.0, 2.0], [3.0, 4.0]], [None, [3.0, 4.0]]]
    rows = ArrowRows(pa.record_batch({"x": column}), as_arrays=True)
    found = to_tensors(rows, [0, 1], [tensor("float32", 2, 2)], names=rows.names)
    assert [status.message for _, status in found.failures] == [
        'input "x"[0]: expected float32, found null'
    ]
