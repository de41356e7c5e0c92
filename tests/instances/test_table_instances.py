"""Rows of tables to instances: keys, fields, arrays and objects; columns stay columns."""

import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from helpers.records import error_lines, prediction_lines
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.sinks.formats.json_lines import error_records, prediction_records
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Code, Status

Config = InstanceConfig
TABLE = {"id": ["r1", "r2"], "x": [1, 2], "y": [0.5, None], "z": [[1], []]}


def batch_of(rows, file_format="parquet"):
    return InstanceBatch(
        rows,
        offsets=range(len(rows)),
        unit="row",
        origins=((0, "in.file"),),
        format=file_format,
    )


def convert_table(table, config=Config(), non_finite=NonFinite.STRING):  # noqa: B008
    return convert(batch_of(ArrowRows(pa.record_batch(table))), config, non_finite)


def convert_values(rows, config=Config(), non_finite=NonFinite.STRING):  # noqa: B008
    return convert(batch_of(rows, "avro"), config, non_finite)


def predicted(batch):
    """The batch with a prediction for each row that has not failed."""
    live = batch.live
    predictions = (Predictions(live, {"y": np.array(live, dtype=np.int64)}),)
    return dataclasses.replace(batch, predictions=predictions)


def records_of(batch, non_finite=NonFinite.STRING):
    """What the output says of each row, in row order."""
    done = predicted(batch)
    good = map(json.loads, prediction_lines(done, non_finite).splitlines())
    bad = map(json.loads, error_lines(done, non_finite).splitlines())
    found = dict(zip(done.live, good, strict=True))
    found.update(zip(sorted(done.statuses), bad, strict=True))
    return [found[row] for row in range(len(batch))]


CASES = [
    (Config(), [["r1", 1, 0.5, [1]], ["r2", 2, None, []]], ("id", "x", "y", "z")),
    (Config(instance_type="array"), [["r1", 1, 0.5, [1]], ["r2", 2, None, []]], tuple(TABLE)),
    (
        Config(instance_type="object"),
        [{"id": "r1", "x": 1, "y": 0.5, "z": [1]}, {"id": "r2", "x": 2, "y": None, "z": []}],
        ("id", "x", "y", "z"),
    ),
    (Config(key_field="id"), [[1, 0.5, [1]], [2, None, []]], ("x", "y", "z")),
    (Config(included_fields=["z", "x"]), [[[1], 1], [[], 2]], ("z", "x")),
    (
        Config(instance_type="object", included_fields=["z", "x"]),
        [{"z": [1], "x": 1}, {"z": [], "x": 2}],
        ("z", "x"),
    ),
    (Config(key_field="id", included_fields=["x"]), [[1], [2]], ("x",)),
    (Config(excluded_fields=["z", "id"]), [[1, 0.5], [2, None]], ("x", "y")),
    (Config(key_field="id", excluded_fields=["z"]), [[1, 0.5], [2, None]], ("x", "y")),
    (Config(excluded_fields=list(TABLE)), [[], []], ()),
]


@pytest.mark.parametrize(("config", "instances", "columns"), CASES)
def test_rows_are_what_the_config_says(config, instances, columns):
    values = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
    for batch in (convert_table(TABLE, config), convert_values(values, config)):
        assert list(batch.instances) == instances
        assert list(map(list, batch.instances)) == list(map(list, instances))  # orders of names
        assert batch.columns == columns
        assert (batch.keys and list(batch.keys)) == (["r1", "r2"] if config.key_field else None)
        assert batch.texts is None
        assert not batch.statuses


@pytest.mark.parametrize("config", [case[0] for case in CASES])
def test_columns_stay_columns(config):
    batch = convert_table(TABLE, config)
    assert isinstance(batch.instances, ArrowRows)
    assert batch.attached is None or isinstance(batch.attached, ArrowRows)


def test_excluded_fields_are_attached_in_their_order_where_there_is_no_key():
    rows = [{"id": "r1", "x": 1, "z": [1.5]}, {"id": "r2", "x": 2, "z": None}]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    config = Config(excluded_fields=["z", "id", "not there"])
    for batch in (convert_table(table, config), convert_values(rows, config)):
        assert prediction_lines(predicted(batch)).splitlines() == [
            b'{"instance": [1], "z": [1.5], "id": "r1", "prediction": 0}',
            b'{"instance": [2], "z": null, "id": "r2", "prediction": 1}',
        ]
        assert [record for _, record in prediction_records(predicted(batch))] == [
            {"instance": [1], "z": [1.5], "id": "r1", "prediction": 0},
            {"instance": [2], "z": None, "id": "r2", "prediction": 1},
        ]


BAD_KEYS = [
    (None, "expected a string or a number, found null"),
    (math.nan, "expected a string or a finite number, found NaN"),
    (math.inf, "expected a string or a finite number, found Infinity"),
]


@pytest.mark.parametrize(("key", "words"), BAD_KEYS)
def test_a_row_with_a_bad_key_fails_alone_and_shows_its_instance(key, words):
    rows = [{"id": 1.5, "x": 1}, {"id": key, "x": 2}, {"id": 2.0, "x": 3}]
    table = {"id": pa.array([row["id"] for row in rows], pa.float64()), "x": [1, 2, 3]}
    config = Config(key_field="id")
    columnar = convert_table(table, config)
    assert isinstance(columnar.instances, ArrowRows)
    for batch in (columnar, convert_values(rows, config)):
        message = f'key field "id": {words}'
        found = records_of(batch)
        assert found[0] == {"key": 1.5, "prediction": 0}
        assert found[1]["instance"] == [2]
        assert found[1]["error"]["message"].startswith(message)
        assert found[1]["error"]["message"].endswith("(in.file, row 1)")
        assert found[2] == {"key": 2.0, "prediction": 2}
        assert list(batch.keys) == [1.5, None, 2.0]


@pytest.mark.parametrize("keys", [[True], [[1]], [{"a": 1}]])
def test_other_types_are_no_keys(keys):
    batch = convert_table({"id": keys, "x": [1]}, Config(key_field="id"))
    assert batch.statuses[0].code is Code.INVALID_ARGUMENT
    assert 'key field "id": expected a string or a number' in batch.statuses[0].message


def test_keys_of_float32_are_the_shortest_numbers():
    batch = convert_table({"id": pa.array([0.1], pa.float32())}, Config(key_field="id"))
    assert list(batch.keys) == [0.1]
    assert records_of(batch) == [{"key": 0.1, "prediction": 0}]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(key_field="ID"), 'key field "ID" is missing; the row has "id", "x"'),
        (
            Config(included_fields=["x", "w"]),
            'included field "w" is missing; the row has "id", "x"',
        ),
    ],
)
def test_columns_that_a_file_lacks_fail_each_of_its_rows(config, words):
    rows = [{"id": "a", "x": 1}, {"id": "b", "x": 2}]
    for batch in (
        convert_table({"id": ["a", "b"], "x": [1, 2]}, config),
        convert_values(rows, config),
    ):
        assert sorted(batch.statuses) == [0, 1]
        assert batch.statuses[1].message == words
        assert [record["instance"] for _, record in error_records(batch)] == [["a", 1], ["b", 2]]


def test_rows_that_could_not_be_read_keep_their_positions():
    lost = Status(Code.DATA_LOSS, "the block is damaged")
    batch = convert_values([{"x": 1}, lost, {"x": 3}])
    assert (batch.live, batch.columns) == ([0, 2], ("x",))
    assert batch.statuses[1] == lost
    assert records_of(batch)[2] == {"instance": [3], "prediction": 2}


def test_rows_that_are_no_records_are_instances_themselves():
    batch = convert_values([1, "a", [1, 2], None])
    assert list(batch.instances) == [1, "a", [1, 2], None]
    assert batch.columns == ()
    assert batch.statuses[3].message == "expected an instance, found null"
    keyed = convert_values([7], Config(key_field="id"))
    assert "keyField needs rows that are objects, found a number" in keyed.statuses[0].message
    array = convert_values([7, [7]], Config(instance_type="array"))
    assert list(array.statuses) == [0]


def test_rows_of_different_fields_have_no_columns():
    batch = convert_values([{"a": 1}, {"b": 2}])
    assert (list(batch.instances), batch.columns) == ([[1], [2]], ())


@pytest.mark.parametrize("non_finite", list(NonFinite))
def test_what_is_not_finite_is_shown_or_fails_as_the_policy_says(non_finite):
    table = {
        "id": ["a", "b", "c", "d"],
        "x": pa.array([1.0, math.nan, None, 4.0], pa.float32()),
        "y": [[1.0], [2.0], [3.0], [-math.inf]],
    }
    rows = ArrowRows(pa.record_batch(table)).values()
    shown = {"string": ["NaN", "-Infinity"], "null": [None, None], "error": ["NaN", "-Infinity"]}
    for batch in (
        convert_table(table, non_finite=non_finite),
        convert_values(rows, non_finite=non_finite),
    ):
        failed = [1, 3] if non_finite is NonFinite.ERROR else []
        assert sorted(batch.statuses) == failed
        assert all("is not a JSON number" in batch.statuses[row].message for row in failed)
        records = records_of(batch, non_finite)
        nan, infinity = shown[non_finite.value]
        assert [records[at]["instance"] for at in (1, 3)] == [
            ["b", nan, [2.0]],
            ["d", 4.0, [infinity]],
        ]


def test_what_is_not_sent_may_be_anything():
    table = {"id": ["a"], "x": [math.nan]}
    config = Config(key_field="id", excluded_fields=["x"])
    assert not convert_table(table, config, NonFinite.ERROR).statuses


def test_rows_that_are_alike_and_rows_with_a_bad_one_among_them_agree():
    rows = [{"id": at, "x": at / 2, "z": [at]} for at in range(3)]
    for case in CASES:
        alike = convert_values(rows, case[0])
        mixed = convert_values([*rows, 7], case[0])
        assert list(mixed.instances[:3]) == list(alike.instances)
        assert not {0, 1, 2} & set(mixed.statuses)
        assert alike.keys is None or mixed.keys[:3] == list(alike.keys)
        assert alike.attached is None or mixed.attached[:3] == alike.attached
        assert mixed.columns == alike.columns


def test_no_rows_at_all():
    batch = convert_table({"id": pa.array([], pa.string()), "x": pa.array([], pa.int8())})
    assert (len(batch), len(batch.instances)) == (0, 0)
    assert convert_values([]).columns == ()


KEYS = st.none() | st.integers(-5, 5) | st.booleans() | st.floats() | st.text(max_size=2)
CELLS = st.none() | st.floats(width=64) | st.text(max_size=2) | st.lists(st.floats(), max_size=2)
CONFIGS = [
    *(case[0] for case in CASES),
    Config(instance_type="object", key_field="id"),
    Config(instance_type="object", excluded_fields=["z", "w"]),
    Config(included_fields=["w"]),
]


@st.composite
def typed_columns(draw):
    """Columns of one type each, as Arrow and as values."""
    count = draw(st.integers(1, 4))
    columns = {}
    for name in ("id", "x", "y", "z"):
        kind = draw(st.sampled_from([pa.int8(), pa.float64(), pa.string(), pa.list_(pa.float64())]))
        values = {
            pa.int8(): st.integers(-128, 127),
            pa.float64(): st.floats(),
            pa.string(): st.text(max_size=2),
        }.get(kind, st.lists(st.floats(), max_size=2))
        if draw(st.booleans()):
            values = values | st.none()
        columns[name] = pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind)
    return columns


@given(typed_columns(), st.sampled_from(CONFIGS), st.sampled_from(list(NonFinite)))
def test_columns_and_values_have_the_same_outcomes(columns, config, non_finite):
    columnar = convert_table(columns, config, non_finite)
    values = ArrowRows(pa.record_batch(columns)).values()
    by_value = convert_values(values, config, non_finite)
    assert records_of(columnar, non_finite) == records_of(by_value, non_finite)
    assert columnar.columns == by_value.columns
    assert prediction_lines(predicted(columnar)) == prediction_lines(predicted(by_value))
