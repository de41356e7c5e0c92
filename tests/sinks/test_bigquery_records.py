"""Outcomes as the Parquet files that load jobs read, with the schema of their table."""

import datetime
import decimal
import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.sinks.columns.layout import FIELD, OUTCOME, Column, Schema, union
from beam_batch_predict.sinks.columns.typed_columns import of_arrow
from beam_batch_predict.sinks.columns.value_types import STRING
from beam_batch_predict.sinks.formats.bigquery import BigQueryRecords
from beam_batch_predict.sinks.formats.bigquery_types import (
    BIGNUMERIC,
    NUMERIC,
    count_fields,
    fields_of,
    suited,
)
from beam_batch_predict.spec import NonFinite, OutputSettings
from beam_batch_predict.status import Code, Status

RECORDS = BigQueryRecords()


def batch_of(instances, outputs=None, **changes):
    outputs = {"y": np.arange(len(instances))} if outputs is None else outputs
    predictions = (Predictions(range(len(instances)), outputs),) if len(instances) else ()
    return InstanceBatch(instances, instances=instances, predictions=predictions, **changes)


def written(batch, non_finite=NonFinite.STRING):
    """The table that a file of the predictions of a batch has, and the schema it is loaded in."""
    rows = BigQueryRecords(OutputSettings("bigquery", non_finite=non_finite)).predictions(batch)
    schema = RECORDS.schema(rows.layout)
    file = io.BytesIO()
    writer = RECORDS.writer(file, schema)
    writer.write(rows)
    writer.close()
    return pq.read_table(file), fields_of(schema)


def kinds(fields):
    return {field["name"]: (field["type"], field["mode"]) for field in fields}


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (np.ones(1, np.float32), ("FLOAT64", "NULLABLE")),
        (np.ones((1, 2), np.float64), ("FLOAT64", "REPEATED")),
        (np.ones((1, 2, 2)), ("STRING", "NULLABLE")),
        (np.ones(1, np.int8), ("INT64", "NULLABLE")),
        (np.ones(1, np.uint32), ("INT64", "NULLABLE")),
        (np.ones(1, np.uint64), ("NUMERIC", "NULLABLE")),
        (np.ones((1, 1), bool), ("BOOL", "REPEATED")),
        (np.array([b"a"], object), ("STRING", "NULLABLE")),
        (np.ones((1, 0), np.float32), ("FLOAT64", "REPEATED")),
    ],
)
def test_predictions_have_the_type_of_the_output(output, kind):
    table, fields = written(batch_of([1], {"y": output}))
    assert kinds(fields)["prediction"] == kind
    assert [field["name"] for field in fields] == table.column_names


def test_outputs_without_rows_have_the_type_of_the_signature():
    infos = (
        TensorInfo("p", "float32", (None, 3)),
        TensorInfo("q-r", "uint64", (None,)),
        TensorInfo("m", "float32", (None, 2, 2)),
        TensorInfo("s", "string", None),
    )
    rows = RECORDS.predictions(InstanceBatch([], instances=[], outputs=infos))
    assert rows.content is None
    (prediction,) = [
        field for field in fields_of(RECORDS.schema(rows.layout)) if field["name"] == "prediction"
    ]
    assert (prediction["type"], prediction["mode"]) == ("RECORD", "NULLABLE")
    assert kinds(prediction["fields"]) == {
        "p": ("FLOAT64", "REPEATED"),
        "q_r": ("NUMERIC", "NULLABLE"),
        "m": ("STRING", "NULLABLE"),
        "s": ("STRING", "NULLABLE"),
    }


def test_names_are_acceptable_at_every_level():
    instances = [{"a b": {"c d": [{"e-f": 1, "E_f": 2}]}, "error": 1, "Errors": 2}]
    table, fields = written(batch_of(instances, {"p q": np.ones(1), "p_q": np.zeros(1)}))
    assert table.to_pylist() == [
        {
            "a_b": {"c_d": [{"e_f": 1, "E_f_": 2}]},
            "error_": 1,
            "Errors_": 2,
            "prediction": {"p_q": 1.0, "p_q_": 0.0},
        }
    ]
    (record,) = [field for field in fields if field["name"] == "a_b"]
    assert kinds(record["fields"][0]["fields"]) == {
        "e_f": ("INT64", "NULLABLE"),
        "E_f_": ("INT64", "NULLABLE"),
    }
    assert count_fields(fields) == 9


def test_what_is_read_again_is_what_was_written():
    instances = [
        {"a b": {"c d": [{"e-f": 1, "g": {}}], "n": None}, "t": [[1], None]},
        {"a b": None, "t": "x"},
    ]
    batch = batch_of(instances, {"p q": np.ones((2, 1)), "z": np.zeros(2)})
    rows = RECORDS.predictions(batch)
    schema = RECORDS.schema(rows.layout)
    first, second = io.BytesIO(), io.BytesIO()
    for file, source in ((first, [rows]), (second, RECORDS.rows(first, schema))):
        writer = RECORDS.writer(file, schema)
        for each in source:
            writer.write(each)
        writer.close()
        file.seek(0)
    assert pq.read_table(second).equals(pq.read_table(first))


def test_rows_of_one_name_are_one_column_in_both_tables():
    predicted = (Column(FIELD, "a b", STRING), Column(OUTCOME, "prediction", STRING))
    failed = (Column(FIELD, "a_b", STRING), Column(FIELD, "a b", STRING), Column(OUTCOME, "errors"))
    assert RECORDS.schema(predicted).names == ("a_b", "prediction")
    assert RECORDS.schema(failed, predicted).names == ("a_b_", "a_b", "errors")
    assert RECORDS.schema(failed, predicted) == Schema(failed, ("a_b_", "a_b", "errors"))


def test_errors_are_a_struct_of_code_and_message():
    statuses = {0: Status(Code.INVALID_ARGUMENT, "é")}
    batch = InstanceBatch([{"a": 1}], instances=[{"a": 1}], statuses=statuses)
    rows = RECORDS.errors(batch)
    assert fields_of(RECORDS.schema(rows.layout))[1] == {
        "name": "errors",
        "type": "RECORD",
        "mode": "NULLABLE",
        "fields": [
            {"name": "code", "type": "INT64", "mode": "NULLABLE"},
            {"name": "message", "type": "STRING", "mode": "NULLABLE"},
        ],
    }
    empty = RECORDS.schema(RECORDS.empty_errors(rows.layout[:1]))
    assert fields_of(empty) == fields_of(RECORDS.schema(rows.layout))


def test_arrays_with_null_are_text_and_others_are_not():
    table, fields = written(batch_of([{"l": [1, None]}, {"l": []}, {"l": None}]))
    assert table.column("l").to_pylist() == ["[1,null]", "[]", None]
    assert kinds(fields)["l"] == ("STRING", "NULLABLE")


def test_non_finite_numbers_are_numbers_or_null_as_is_wanted():
    outputs = {"y": np.array([np.nan, np.inf]), "z": np.array([[np.nan], [1.0]])}
    table, fields = written(batch_of([1, 2], outputs))
    assert (
        str(table.column("prediction").to_pylist())
        == "[{'y': nan, 'z': [nan]}, {'y': inf, 'z': [1.0]}]"
    )
    table, fields = written(batch_of([1, 2], outputs), NonFinite.NULL)
    assert table.column("prediction").to_pylist() == [
        {"y": None, "z": "[null]"},
        {"y": None, "z": "[1]"},
    ]


MOMENT = datetime.datetime(2024, 2, 29, 23, 59, 59)


def typed(array):
    found = of_arrow(array)
    return suited(found.type, found.array)


@pytest.mark.parametrize(
    ("array", "kind", "value"),
    [
        (pa.array([MOMENT], pa.timestamp("s", "Asia/Tokyo")), pa.timestamp("us", "UTC"), MOMENT),
        (pa.array([MOMENT], pa.timestamp("ms")), pa.timestamp("us"), MOMENT),
        (pa.array([1000], pa.timestamp("ns")), pa.timestamp("us"), None),
        (pa.array([1001], pa.timestamp("ns")), pa.string(), "1970-01-01T00:00:00.000001001"),
        (pa.array([-(2**62)], pa.timestamp("us")), pa.string(), None),
        (pa.array([1], pa.time32("s")), pa.time64("us"), datetime.time(0, 0, 1)),
        (pa.array([1], pa.time64("ns")), pa.string(), "00:00:00.000000001"),
        (pa.array([2_932_896], pa.date32()), pa.date32(), datetime.date(9999, 12, 31)),
        (pa.array([2_932_897], pa.date32()), pa.string(), None),
        (pa.array([-719_163], pa.date32()), pa.string(), None),
        (pa.array([2**64 - 1], pa.uint64()), NUMERIC, decimal.Decimal(2**64 - 1)),
        (pa.array(["1.5"]).cast(pa.decimal128(38, 9)), NUMERIC, decimal.Decimal("1.5")),
        (pa.array(["1.5"]).cast(pa.decimal128(38, 8)), BIGNUMERIC, decimal.Decimal("1.5")),
        (pa.array(["1.5"]).cast(pa.decimal128(20, 10)), BIGNUMERIC, decimal.Decimal("1.5")),
        (pa.array(["1.5"]).cast(pa.decimal256(50, 39)), pa.string(), None),
        (pa.array(["1.25"]).cast(pa.decimal256(60, 2)), pa.string(), "1.25"),
    ],
)
def test_values_have_the_type_that_loses_nothing(array, kind, value):
    found = typed(array)
    assert found.array.type == kind
    if value is not None:
        (one,) = found.array.to_pylist()
        assert (one.replace(tzinfo=None) if isinstance(value, datetime.datetime) else one) == value
    nothing = typed(pa.nulls(2, array.type))
    assert nothing.array.null_count == 2


@pytest.mark.parametrize(("levels", "kind"), [(15, "INT64"), (16, "STRING")])
def test_structs_end_where_bigquery_does(levels, kind):
    value = 1
    for _ in range(levels):
        value = {"a": value}
    rows = RECORDS.predictions(batch_of([{"d": value}]))
    field = fields_of(RECORDS.schema(rows.layout))[0]
    depth = 0
    while field["type"] == "RECORD":
        (field,), depth = field["fields"], depth + 1
    assert (depth, field["type"]) == (15, kind)


def test_parts_of_different_types_become_one():
    layouts = [
        RECORDS.predictions(batch_of([{"l": value}])).layout
        for value in ([1], [0.5], [None, 2], [[1]])
    ]
    (column,) = [column for column in union(*layouts) if column.role == FIELD]
    assert column.type == STRING


def test_columns_of_a_table_keep_their_arrow_types():
    rows = ArrowRows(pa.RecordBatch.from_pydict({"a": pa.array([1], pa.int16())}))
    table, fields = written(batch_of(rows, columns=("a",)))
    assert kinds(fields)["a"] == ("INT64", "NULLABLE")
    assert table.schema.field("a").type == pa.int16()


NAMES = st.sampled_from(["a", "A", "a b", "a_b", "é", "_table_x", "1", "key", "errors", "instance"])
LEAVES = st.sampled_from(
    [None, True, 1, 2**53 + 1, 2**70, 0.5, float("nan"), "é", "\ud800", {"b64": "AP8="}, {}]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def check_column(array, field):
    """That a column of a file is what load jobs take for a field."""
    if field["mode"] == "REPEATED":
        array = array.flatten()
        assert array.null_count == 0
    if field["type"] != "RECORD":
        assert not pa.types.is_nested(array.type)
        return
    assert [each.name for each in array.type] == [each["name"] for each in field["fields"]]
    check_names(field["fields"])
    for inner, each in zip(array.flatten(), field["fields"], strict=True):
        check_column(inner, each)


def check_names(fields):
    names = [field["name"] for field in fields]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4) | VALUES, min_size=1, max_size=5))
def test_any_rows_are_a_file_that_fits_the_schema_of_its_table(instances):
    parts = [RECORDS.predictions(batch_of([instance])) for instance in instances]
    schema = RECORDS.schema(union(*(part.layout for part in parts)))
    file = io.BytesIO()
    writer = RECORDS.writer(file, schema)
    for part in parts:
        writer.write(part)
    writer.close()
    table = pq.read_table(file)
    assert table.num_rows == len(instances)
    fields = fields_of(schema)
    check_names(fields)
    assert table.column_names == [field["name"] for field in fields]
    for column, field in zip(table.columns, fields, strict=True):
        check_column(pa.concat_arrays(column.chunks), field)
