"""Blocks of CSV lines to arrays: the same outcomes as cell by cell."""

import pickle

import numpy as np
import pytest
from helpers.examples import examples
from helpers.records import error_lines, prediction_lines
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.line_block import LineBlock
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.typed_values import TypedValues
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.spec.plain_way import PLAIN

Config = InstanceConfig
NAMED = (TensorInfo("b", "float32", (None,)), TensorInfo("c", "int64", (None, 1)))
VECTOR = (TensorInfo("x", "float32", (None, 2)),)
KEY = Config(key_field="a")
ECHO = Config(excluded_fields="a")


def block_of(*rows, columns=("a", "b", "c"), delimiter=","):
    return InstanceBatch(
        LineBlock(b"".join(row + b"\n" for row in rows)),
        offsets=list(range(len(rows))),
        origins=((0, "in.csv"),),
        format="csv",
        columns=columns,
        delimiter=delimiter,
    )


def both_ways(batch, config, inputs, non_finite=NonFinite.STRING):
    """The batch as it is converted block by block, and cell by cell."""
    quick = convert(batch, config, non_finite, inputs=inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLAIN, "1")
        return quick, convert(batch, config, non_finite, inputs=inputs)


def lines_of(batch, non_finite):
    columns = {"y": np.zeros(len(batch.live))}
    done = InstanceBatch(
        **{
            name: getattr(batch, name)
            for name in ("rows", "instances", "texts", "keys", "attached", "statuses", "origins")
        },
        offsets=batch.offsets,
        predictions=(Predictions(batch.live, columns),),
    )
    return prediction_lines(done, non_finite), error_lines(done, non_finite)


def tensors_of(batch, inputs):
    found = to_tensors(batch.instances, batch.live, inputs, None, batch.columns)
    arrays = [
        (list(rows), {name: (a.dtype, a.shape, a.tobytes()) for name, a in found_inputs.items()})
        for rows, found_inputs in found.batches
        if not any(a.dtype == object for a in found_inputs.values())
    ]
    strings = [
        (list(rows), {name: a.tolist() for name, a in found_inputs.items()})
        for rows, found_inputs in found.batches
        if any(a.dtype == object for a in found_inputs.values())
    ]
    return arrays, repr(strings), found.failures


def check_both_ways(batch, config, inputs, non_finite=NonFinite.STRING):
    quick, slow = both_ways(batch, config, inputs, non_finite)
    assert isinstance(slow.instances, list)
    assert list(quick.rows) == list(batch.rows)
    assert quick.columns == slow.columns
    assert quick.statuses == slow.statuses
    assert repr(quick.keys) == repr(slow.keys)
    assert lines_of(quick, non_finite) == lines_of(slow, non_finite)
    assert tensors_of(quick, inputs) == tensors_of(slow, inputs)
    assert repr(list(quick.instances)) == repr(slow.instances)
    assert (quick.attached and list(quick.attached)) == slow.attached
    return isinstance(quick.instances, TypedValues)


DIGITS = st.sampled_from(["0", "00", "1", "-0", "-1", "+1", "01", "-07", "9" * 17, "1" * 40])
FRACTIONS = st.sampled_from(["", ".", ".0", ".5", ".50", ".4999999999999999999"])
EXPONENTS = st.sampled_from(["", "", "e5", "E-05", "e+7", "e40", "e400", "e-400", "e"])
PARTS = st.tuples(DIGITS | st.just(""), FRACTIONS, EXPONENTS).map("".join)
USUAL = st.floats(-1e6, 1e6).map(repr) | st.integers(-(10**20), 10**20).map(str)
ODD = st.sampled_from([" 1", "1\t", "1 2", "nan", "-inf", "nan(1)", "0x1f", "1_0", "1d5", ""])
WORDS = st.sampled_from(["true", "FALSE", "tRUE", "a", "A", "b", "Adelie", "é", "\ufeff", "null"])
TEXTS = st.text(' 07,"[\\-.e\r\x00名;\x1c\x85', max_size=3)
CELLS = st.one_of(USUAL, PARTS, ODD, WORDS, TEXTS)
FLOATS = st.one_of(USUAL, USUAL, USUAL, PARTS, ODD)
INTEGERS = st.one_of(*[st.integers(-200, 2**63).map(str)] * 5, DIGITS)
IDS = st.text("ab-7é .e", min_size=1, max_size=4) | st.integers(0, 99).map(str)
NUMBERS = st.lists(st.tuples(IDS, FLOATS, INTEGERS).map(",".join), min_size=1, max_size=4)
MIXED = st.lists(st.tuples(IDS | CELLS, CELLS, CELLS).map(",".join), min_size=1, max_size=4)
ROWS = NUMBERS.map(lambda rows: [row.encode() for row in rows]) | MIXED.map(
    lambda rows: [row.encode() for row in rows if row.strip()]
)
USUAL_INPUTS = st.sampled_from(
    [NAMED, VECTOR, (TensorInfo("b", "float64", (None,)),), (TensorInfo("x", "float64", None),)]
)
INPUTS = st.lists(
    st.builds(
        TensorInfo,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(
            [
                "float32",
                "float64",
                "float16",
                "bfloat16",
                "int64",
                "int8",
                "uint64",
                "bool",
                "string",
            ]
        ),
        st.sampled_from([None, (None,), (None, 1), (None, 2), (None, 1, 1), (None, 3)]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tensor: tensor.name,
).map(tuple)
CONFIGS = st.builds(
    Config,
    key_field=st.sampled_from([None, "a", "b"]),
    instance_type=st.sampled_from([None, "array", "object"]),
) | st.sampled_from(
    [
        ECHO,
        Config(excluded_fields="c"),
        Config(excluded_fields=["a", "c"]),
        Config(included_fields=["b", "c"]),
        Config(included_fields=["c", "b"]),
        Config(key_field="b", excluded_fields="a"),
    ]
)


@settings(deadline=None, max_examples=examples(3000))
@given(
    rows=ROWS.filter(bool),
    config=st.sampled_from([KEY, ECHO]) | CONFIGS,
    inputs=st.one_of(USUAL_INPUTS, USUAL_INPUTS, INPUTS),
    non_finite=st.sampled_from(NonFinite),
)
@example(rows=[b"a,1,2", b"\xff,1,2"], config=KEY, inputs=NAMED, non_finite=NonFinite.STRING)
@example(rows=[b"a,-0,2", b"a,-0.0,2"], config=KEY, inputs=NAMED, non_finite=NonFinite.STRING)
@example(rows=[b"a,1,2", b"a,b,c"], config=KEY, inputs=NAMED, non_finite=NonFinite.STRING)
@example(rows=[b"a,1,0x2", b"a,0x1,2"], config=KEY, inputs=NAMED, non_finite=NonFinite.STRING)
@example(rows=[b"a,1,2,3", b"4,5"], config=KEY, inputs=NAMED, non_finite=NonFinite.STRING)
def test_a_block_becomes_what_its_cells_become(rows, config, inputs, non_finite):
    typed = check_both_ways(block_of(*rows), config, inputs, non_finite)
    event(f"typed: {typed}")


@settings(deadline=None, max_examples=examples(1000))
@given(content=st.binary(min_size=1) | st.text('a1.,-e"\n\r 0', min_size=1).map(str.encode))
def test_any_bytes_become_the_same_by_both_ways(content):
    rows = [row for row in content.split(b"\n") if row.strip()]
    for inputs in (NAMED, VECTOR) if rows else ():
        for config in (KEY, ECHO, Config()):
            check_both_ways(block_of(*rows), config, inputs)


@pytest.mark.parametrize(
    ("rows", "config", "inputs"),
    [
        ([b"k1,1.5,2", b"k2,-3,4"], KEY, NAMED),
        ([b"7,1.5,2"], KEY, VECTOR),
        ([b"007,+1,1."], KEY, VECTOR),
        ([b"k1,1.5,2", b"k2,-0.0,4e-05"], ECHO, VECTOR),
        ([b"7,1.5,2", b"8,1.50,2"], ECHO, VECTOR),
        ([b"1,1.5,2"], Config(excluded_fields="c"), VECTOR),
        ([b"1.5,2,3"], Config(), (TensorInfo("x", "float64", (None, 3)),)),
        ([b"k1,true,a b", b"k2,0,"], KEY, (TensorInfo("b", "bool", (None,)), NAMED[1])),
    ],
)
def test_plain_rows_are_read_without_an_object_per_number(rows, config, inputs):
    if inputs[0].dtype == "bool":
        inputs = (inputs[0], TensorInfo("c", "string", (None,)), TensorInfo("d", "int32", (None,)))
        batch = block_of(*(row + b",7" for row in rows), columns=("a", "b", "c", "d"))
    else:
        batch = block_of(*rows)
    assert check_both_ways(batch, config, inputs)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_rows_with_another_delimiter_are_read_the_same_way(delimiter):
    rows = [delimiter.join(["k1", "1.5", "2"]).encode(), delimiter.join(["k2", "3", "4"]).encode()]
    for config in (KEY, ECHO):
        assert check_both_ways(block_of(*rows, delimiter=delimiter), config, VECTOR)
        mixed = block_of(*rows, delimiter.join(["k3", "1,5", "2"]).encode(), delimiter=delimiter)
        assert not check_both_ways(mixed, config, VECTOR)


def test_a_converted_block_can_travel_to_another_process():
    batch = convert(block_of(b"k1,1.50,2"), ECHO, inputs=VECTOR)
    moved = pickle.loads(pickle.dumps(batch))
    assert moved.instances[0] == [1.5, 2]
    assert moved.instances.arrays["x"].tolist() == [[1.5, 2.0]]
    assert moved.texts == [b"[1.50,2]"]
