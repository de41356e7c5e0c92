"""Rows as Beam's own sources give them, with their keys, fields and times."""

import dataclasses
import datetime
import decimal
import json
import typing
import uuid
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindows,
    Sessions,
    SlidingWindows,
    TimestampedValue,
)
from apache_beam.typehints import Any
from apache_beam.utils.timestamp import Timestamp

import beam_batch_predict as bbp
from beam_batch_predict.encoding.exact_number import exact_number

DAY = datetime.date(2026, 1, 31)
ID = uuid.UUID(int=7)


class Reading(typing.NamedTuple):
    id: str
    x: float


@dataclasses.dataclass
class Sample:
    id: str
    x: typing.Any


def hidden(p, rows):
    """Rows whose type Beam does not know."""
    return p | beam.Create([0]) | beam.FlatMap(lambda _: rows).with_output_types(Any)


def records_in(directory, kind):
    return [
        json.loads(line)
        for path in sorted(Path(directory).glob(f"prediction-*/{kind}_*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def test_rows_of_many_types_are_predicted(pipeline, tiny_model):
    rows = [
        beam.Row(x=decimal.Decimal("1.5")),
        {"x": np.float32(2.5)},
        np.float64(3.5),
        decimal.Decimal(4),
        beam.Row(x={"a", "b"}),
    ]
    with pipeline() as p:
        results = hidden(p, rows) | bbp.BatchInstances() | bbp.Predict(tiny_model) | bbp.Unbatch()
        assert_that(
            results.predictions,
            equal_to(
                [
                    {"instance": {"x": 1.5}, "prediction": 3.0},
                    {"instance": {"x": 2.5}, "prediction": 5.0},
                    {"instance": 3.5, "prediction": 7.0},
                    {"instance": 4.0, "prediction": 8.0},
                ]
            ),
        )
        messages = results.errors | beam.Map(lambda record: record["error"]["message"])
        assert_that(messages, equal_to(['field "x": JSON has no value for a set']), label="Errors")


@pytest.mark.parametrize("kind", [Reading, Sample, lambda id, x: beam.Row(id=id, x=x)])
def test_an_object_of_two_fields_is_no_pair(kind, pipeline, tiny_model):
    config = bbp.InstanceConfig(excluded_fields=["id"])
    with pipeline() as p:
        rows = hidden(p, [kind("a", 1.5)])
        results = rows | bbp.ConvertInstances(config) | bbp.Predict(tiny_model) | bbp.Unbatch()
        assert_that(
            results.predictions,
            equal_to([{"instance": {"x": 1.5}, "id": "a", "prediction": 3.0}]),
        )
        assert_that(results.errors, equal_to([]), label="Errors")
        batches = rows | bbp.BatchInstances()
        assert_that(
            batches | beam.Map(lambda batch: (batch.instances, batch.keys)),
            equal_to([([{"id": "a", "x": 1.5}], None)]),
            label="Batches",
        )


KEYS = [
    (decimal.Decimal("1.10"), exact_number("1.10")),
    (Timestamp(0), "1970-01-01 00:00:00+00:00"),
    (datetime.datetime(2026, 1, 31, 12), "2026-01-31T12:00:00"),
    (DAY, "2026-01-31"),
    (ID, str(ID)),
    (np.int64(7), 7),
    (np.float32(0.1), 0.1),
    (b"\xff", {"b64": "/w=="}),
    (("a", DAY), ["a", "2026-01-31"]),
    (beam.Row(id=ID), {"id": str(ID)}),
    (1j, "1j"),
]


@pytest.mark.parametrize("predictions_format", ["jsonl", "csv", "parquet", "tf-record"])
def test_keys_of_beam_are_written_in_all_formats(
    predictions_format, pipeline, tiny_model, tmp_path
):
    write = bbp.WriteResults(tmp_path, predictions_format)
    rows = [(key, float(at)) for at, (key, _) in enumerate(KEYS)]
    with pipeline() as p:
        predicted = hidden(p, [*rows, (DAY, "no number")]) | bbp.BatchInstances()
        files = predicted | bbp.Predict(tiny_model) | write
        assert_that(files | beam.Map(lambda file: file.rows), equal_to([len(KEYS), 1]))
    if predictions_format == "jsonl":
        assert [record["key"] for record in records_in(tmp_path, "predictions")] == [
            key for _, key in KEYS
        ]
        assert [record["key"] for record in records_in(tmp_path, "errors")] == ["2026-01-31"]
    if predictions_format == "parquet":
        (path,) = Path(write.directory).glob("predictions_*")
        keys = pq.read_table(path)["key"].to_pylist()
        assert keys[:5] == [str(key) for _, key in KEYS[:5]]


@pytest.mark.parametrize("key", [decimal.Decimal("1.10"), Timestamp(0), DAY])
def test_keys_come_back_as_they_were(key, pipeline, tiny_model):
    with pipeline() as p:
        rows = hidden(p, [(key, 1.0)])
        results = rows | bbp.BatchInstances() | bbp.Predict(tiny_model) | bbp.Unbatch()
        expected = [(key, {"instance": 1.0, "prediction": 2.0})]
        assert_that(results.predictions, equal_to(expected))


def test_rows_are_converted_by_the_whole_config(pipeline, tiny_model, tmp_path):
    config = bbp.InstanceConfig("array", key_field="id", included_fields=["b", "a"])
    model = bbp.SavedModel(tiny_model, "total")
    rows = [
        beam.Row(id=decimal.Decimal("0.10"), a=1.5, b=2, c="not sent"),
        {"id": DAY, "a": 1.0, "b": decimal.Decimal(3)},
        {"id": "short", "a": 1.0},
        {"id": "set", "a": 1.0, "b": {1}},
        {"a": 1.0, "b": 2.0},
        5.0,
    ]
    with pipeline() as p:
        batches = hidden(p, rows) | bbp.ConvertInstances(config, batch_size=100)
        _ = batches | bbp.Predict(model) | bbp.WriteResults(tmp_path)
        sent = batches | beam.Map(lambda batch: batch.instances[:2])
        assert_that(sent, equal_to([[[2, 1.5], [3.0, 1.0]]]))
    (path,) = tmp_path.rglob("predictions_*")
    assert b'"key": 0.10,' in path.read_bytes()
    assert records_in(tmp_path, "predictions") == [
        {"key": 0.1, "prediction": 3.5},
        {"key": "2026-01-31", "prediction": 4.0},
    ]
    errors = {
        str(record.get("key", record.get("instance"))): record["error"]["message"]
        for record in records_in(tmp_path, "errors")
    }
    assert errors == {
        "short": 'included field "b" is missing; the row has "id", "a"',
        "set": 'field "b": JSON has no value for a set',
        "{'a': 1.0, 'b': 2.0}": 'key field "id" is missing; the row has "a", "b"',
        "5.0": "keyField needs rows that are objects, found a number",
    }


TYPED = {
    "x": pa.array([1.5, 2.5, None], pa.float32()),
    "amount": pa.array([decimal.Decimal("12.50"), decimal.Decimal("-0.01"), None]),
    "day": pa.array([DAY, DAY, None]),
    "at": pa.array(
        [datetime.datetime(2026, 1, 31, 12, 0, 0, 7)] * 2 + [None], pa.timestamp("us", "UTC")
    ),
    "local": pa.array([datetime.datetime(2026, 1, 31, 12)] * 2 + [None], pa.timestamp("us")),
    "raw": pa.array([b"\xff", b"", None]),
    "names": pa.array([["a", None], [], None]),
    "inside": pa.array([{"n": 1, "d": DAY}, {"n": None, "d": None}, None]),
}


@pytest.mark.parametrize("read", ["dicts", "rows", "batches"])
def test_rows_are_converted_as_columns_are(read, pipeline, tiny_model, tmp_path):
    path = str(tmp_path / "in.parquet")
    # Beam's own rows have none of the other types of Parquet.
    names = ["x", "raw", "names"] if read == "rows" else list(TYPED)
    pq.write_table(pa.table(TYPED).select(names), path)
    config = bbp.InstanceConfig("object", excluded_fields=names[1:])
    with pipeline() as p:
        columns = p | bbp.ReadInstances(bbp.Parquet(path)) | bbp.ConvertInstances(config)
        _ = (
            columns
            | "A" >> bbp.Predict(tiny_model)
            | "WA" >> bbp.WriteResults(tmp_path / "columns")
        )
        rows = {
            "dicts": lambda: p | beam.io.ReadFromParquet(path),
            "rows": lambda: p | beam.io.ReadFromParquet(path, as_rows=True),
            "batches": lambda: (
                p
                | beam.io.ReadFromParquetBatched(path)
                | beam.FlatMap(lambda table: table.to_pylist())
            ),
        }[read]()
        converted = rows | "Rows" >> bbp.ConvertInstances(config)
        _ = converted | "B" >> bbp.Predict(tiny_model) | "WB" >> bbp.WriteResults(tmp_path / "rows")
    for kind in ("predictions", "errors"):
        found, expected = (records_in(tmp_path / name, kind) for name in ("rows", "columns"))
        assert [dict(record, error=None) for record in found] == [
            dict(record, error=None) for record in expected
        ]
        assert len(expected) == {"predictions": 2, "errors": 1}[kind]


def test_pairs_are_converted_beside_their_keys(pipeline, tiny_model):
    config = bbp.InstanceConfig(excluded_fields=["note"])
    with pipeline() as p:
        rows = hidden(p, [("k", {"x": 1.0, "note": DAY}), ("bad", None)])
        results = rows | bbp.ConvertInstances(config) | bbp.Predict(tiny_model) | bbp.Unbatch()
        record = {"instance": {"x": 1.0}, "note": "2026-01-31", "prediction": 2.0}
        assert_that(results.predictions, equal_to([("k", record)]))
        keys = results.errors | beam.MapTuple(lambda key, record: key)
        assert_that(keys, equal_to(["bad"]), label="Errors")


def test_two_keys_of_a_row_are_refused(pipeline):
    p = pipeline()
    _ = hidden(p, [("k", {"id": 1, "x": 1.0})]) | bbp.ConvertInstances(
        bbp.InstanceConfig(key_field="id")
    )
    with pytest.raises(Exception, match="(?s)pairs of a key and a row.*leave key_field out"):
        p.run()


@pytest.mark.parametrize(
    "config",
    [bbp.InstanceConfig(location_as_key=True), bbp.InstanceConfig(raw_strings=True)],
    ids=["location", "raw"],
)
def test_what_does_not_apply_to_rows_is_refused(config, pipeline):
    message = "InstanceConfig.(location_as_key|raw_strings) does not apply to 'rows' instances"
    convert = bbp.ConvertInstances(config, model="model")
    with pytest.raises(bbp.InvalidArgument, match=message):
        _ = beam.Pipeline() | beam.Create([{"x": 1.0}]) | convert
    if config.raw_strings:
        return
    p = pipeline()
    _ = hidden(p, [{"x": 1.0}]) | convert
    with pytest.raises(Exception, match=message):
        p.run()


def test_batches_and_rows_may_be_in_one_collection(pipeline, tiny_model, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    with pipeline() as p:
        read = p | bbp.ReadInstances(bbp.JsonLines(str(tmp_path / "in.jsonl")))
        both = (read, hidden(p, [{"x": 3.0}])) | beam.Flatten()
        results = both | bbp.ConvertInstances() | bbp.Predict(tiny_model) | bbp.Unbatch()
        found = results.predictions | beam.Map(lambda record: record["prediction"])
        assert_that(found, equal_to([2.0, 4.0, 6.0]))


def test_a_nan_fails_its_row_on_request(pipeline, tiny_model):
    convert = bbp.ConvertInstances(non_finite=bbp.NonFinite.ERROR)
    with pipeline() as p:
        rows = p | beam.Create([1.0, float("nan")])
        results = rows | convert | bbp.Predict(tiny_model) | bbp.Unbatch()
        found = results.predictions | beam.Map(lambda record: record["prediction"])
        assert_that(found, equal_to([2.0]))
        messages = results.errors | beam.Map(lambda record: record["error"]["message"])
        assert_that(messages, equal_to(["NaN is not a JSON number"]), label="Errors")


WINDOWS = {
    "global": (GlobalWindows(), 1),
    "fixed": (FixedWindows(2), 1),
    "sliding": (SlidingWindows(4, 2), 2),
    "sessions": (Sessions(1), 1),
}


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("name", WINDOWS)
def test_records_have_the_times_of_their_rows(name, shuffled, pipeline, tiny_model):
    windows, copies = WINDOWS[name]

    def in_window(record, time=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        assert window.start <= time < window.end or name == "global"
        return record["instance"], time.micros / 1e6

    def without_window(pair):
        return TimestampedValue(pair, 0)

    with pipeline() as p:
        rows = p | beam.Create([1000.5, 1001.0, 1002.0, 1003.0, 1004.0, "bad"])
        at = rows | beam.Map(lambda x: TimestampedValue(x, 1005 if x == "bad" else x))
        batches = at | beam.WindowInto(windows) | bbp.BatchInstances(batch_size=4)
        if shuffled:
            batches = batches | beam.Reshuffle()
        results = batches | bbp.Predict(tiny_model) | bbp.Unbatch()
        times = results | "Records" >> beam.Flatten() | "Times" >> beam.Map(in_window)
        expected = [(x, x) for x in (1000.5, 1001.0, 1002.0, 1003.0, 1004.0)] + [("bad", 1005.0)]
        again = times | "Global" >> beam.WindowInto(GlobalWindows())
        assert_that(again, equal_to(expected * copies))


def test_windows_behind_the_prediction_are_those_of_the_rows(pipeline, tiny_model):
    with pipeline() as p:
        rows = p | beam.Create([float(x) for x in range(1000, 1005)])
        at = rows | beam.Map(lambda x: TimestampedValue(x, x))
        results = at | bbp.BatchInstances(4) | bbp.Predict(tiny_model) | bbp.Unbatch()
        pairs = results.predictions | beam.Map(lambda record: ("all", record["instance"]))
        groups = pairs | beam.WindowInto(FixedWindows(2)) | beam.GroupByKey()
        found = groups | beam.MapTuple(lambda _, xs: sorted(xs))
        expected = [[1000.0, 1001.0], [1002.0, 1003.0], [1004.0]]
        assert_that(found | "Global" >> beam.WindowInto(GlobalWindows()), equal_to(expected))


def test_batches_of_files_carry_no_times(pipeline, tmp_path):
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    with pipeline() as p:
        read = p | bbp.ReadInstances(bbp.JsonLines(str(tmp_path / "in.jsonl")))
        times = read | bbp.ConvertInstances() | beam.Map(lambda batch: batch.timestamps)
        assert_that(times, equal_to([None]))
