"""Predictions as the model's outputs by name, in all formats; files with their number in it."""

import csv
import dataclasses
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import batches
from helpers.records import prediction_lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.sinks.columns import layout
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup
from beam_batch_predict.sinks.error_summary.stats import stats_lines
from beam_batch_predict.sinks.formats.by_name import record_formats
from beam_batch_predict.sinks.formats.tf_record import ExampleRecords
from beam_batch_predict.sinks.naming import ShardedNames, naming_of
from beam_batch_predict.spec import FileNames, NonFinite, OutputSettings, RecordShape
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms.write_dofns import FinishRun, WriteParts

BAD = Status(Code.INVALID_ARGUMENT, "not good")
OUTPUTS = (TensorInfo("y", "int64", (None,)),)


def outputs(columns, keys=None, rows=None):
    """A batch with predictions and what it is as JSON Lines."""
    count = len(next(iter(columns.values())))
    rows = range(count) if rows is None else rows
    texts = [b'"%d"' % at for at in range(count)]
    batch = InstanceBatch(
        texts, texts=texts, instances=texts, keys=keys, predictions=(Predictions(rows, columns),)
    )
    return prediction_lines(batch, shape=RecordShape.OUTPUTS).decode()


def test_a_record_is_an_object_of_the_outputs_also_where_there_is_but_one():
    assert outputs({"y": np.array([2.0, 0.5])}) == '{"y": 2.0}\n{"y": 0.5}\n'
    columns = {"a": np.array([[1, 2]]), 'b "': np.array([b"text"], object)}
    assert outputs(columns) == '{"a": [1,2], "b \\"": "text"}\n'


def test_a_key_is_before_the_outputs():
    assert (
        outputs({"y": np.array([2, 3])}, ["a", 7]) == '{"key": "a", "y": 2}\n{"key": 7, "y": 3}\n'
    )


def test_the_name_of_an_output_decides_whether_it_is_bytes():
    columns = {"t": np.array([b"a"], object), "t_bytes": np.array([b"a"], object)}
    assert outputs(columns) == '{"t": "a", "t_bytes": {"b64":"YQ=="}}\n'


def test_a_key_that_travels_through_the_model_keeps_its_name():
    columns = {"key": np.array([b"k"], object), "y": np.array([1])}
    assert outputs(columns) == '{"key": "k", "y": 1}\n'
    assert outputs(columns, ["mine"]) == '{"key_": "mine", "key": "k", "y": 1}\n'
    columns["key_"] = columns["y"]
    assert json.loads(outputs(columns, ["mine"]))["key__"] == "mine"


@pytest.mark.parametrize(
    ("policy", "text"), [(NonFinite.STRING, '"NaN"'), (NonFinite.NULL, "null")]
)
def test_what_is_no_number_of_json_is_written_as_the_policy_says(policy, text):
    batch = InstanceBatch([b"1"], predictions=(Predictions([0], {"y": np.array([np.nan])}),))
    line = prediction_lines(batch, policy, RecordShape.OUTPUTS)
    assert line.decode() == f'{{"y": {text}}}\n'


@given(
    rows=st.lists(st.tuples(st.text(max_size=3), st.integers(-5, 5)), min_size=1, max_size=8),
    random=st.randoms(use_true_random=False),
)
def test_rows_of_several_groups_are_in_their_order(rows, random):
    """Rows of different shape come from the model in groups."""
    of_group = [random.choice([0, 1]) for _ in rows]
    groups = []
    for group in (0, 1):
        taken = [at for at, number in enumerate(of_group) if number == group]
        if taken:
            groups.append(
                Predictions(taken, {"y": np.array([[rows[at][1]] * (group + 1) for at in taken])})
            )
    batch = InstanceBatch(
        [b""] * len(rows), keys=[key for key, _ in rows], predictions=tuple(groups)
    )
    lines = prediction_lines(batch, shape=RecordShape.OUTPUTS).splitlines()
    assert list(map(json.loads, lines)) == [
        {"key": key, "y": [value] * (group + 1)}
        for (key, value), group in zip(rows, of_group, strict=True)
    ]


def run(directory, bundles, form, names=FileNames.SHARDED):
    """Publish what some bundles of batches give."""
    record = Run(str(directory), now(), file_names=names, own_directory=False)
    output = OutputSettings(form, RecordShape.OUTPUTS, names)
    writer = WriteParts(record, output)
    parts = []
    for bundle in bundles:
        writer.start_bundle()
        parts += [part for batch in bundle for part in writer.process(batch)]
        parts += [windowed.value for windowed in writer.finish_bundle()]
    return FinishRun(record, output).process(None, parts, None)


def files_in(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def keyed(batch, first="k"):
    return dataclasses.replace(batch, keys=[f"{first}{at}" for at in range(len(batch))])


CHUNK = [("a", False), ("b", True), ("c", False)]


@pytest.mark.parametrize("names", FileNames)
def test_csv_has_a_column_for_each_output_and_one_for_the_key(names, tmp_path):
    (batch,) = batches.batches_of([CHUNK], 5, BAD, OUTPUTS)
    run(tmp_path, [[keyed(batch)]], "csv", names)
    found = files_in(tmp_path)
    found.pop("manifest.json")
    if names is FileNames.NUMBERED:
        assert found["predictions_0001.csv"] == b'"key","y"\n"k0",0\n"k2",2\n'
        assert found["errors_0001.csv"].startswith(b'"key","error"\n"k1","{""code"": 3')
    else:
        assert found == {
            "prediction.results_header.csv": b'"key","y"\n',
            "prediction.results-00000-of-00001.csv": b'"k0",0\n"k2",2\n',
            "prediction.errors-00000-of-00001": (
                b'{"key": "k1", "error": {"code": 3, "message": "not good"}}\n'
            ),
            "prediction.errors_stats-00000-of-00001": b"('not good', 1)\n",
        }
    assert verify(str(tmp_path)).wrong == ()


def test_parquet_and_examples_have_a_column_for_each_output_too(tmp_path):
    from tensorflow.core.example.example_pb2 import Example

    columns = {"key": np.array([5, 6]), "y": np.array([[1.5], [2.5]], np.float32)}
    batch = InstanceBatch(
        [b"1", b"2"],
        chunk=0,
        chunks=1,
        last=True,
        instances=[1, 2],
        keys=["a", "b"],
        predictions=(Predictions(range(2), columns),),
    )
    for form in ("parquet", "tf-record"):
        run(tmp_path / form, [[batch]], form)
    path = tmp_path / "parquet" / "prediction.results-00000-of-00001.parquet"
    assert pq.read_table(path).to_pylist() == [
        {"key_": "a", "key": 5, "y": [1.5]},
        {"key_": "b", "key": 6, "y": [2.5]},
    ]
    path = tmp_path / "tf-record" / "prediction.results-00000-of-00001.tfrecord"
    rows = ExampleRecords().rows(io.BytesIO(path.read_bytes()), layout.Schema((), ()))
    (records,) = (row.content.args[0] for row in rows)
    features = Example.FromString(records[1]).features.feature
    assert sorted(features) == ["key", "key_", "y"]
    assert list(features["key_"].bytes_list.value) == [b"b"]
    assert list(features["y"].float_list.value) == [2.5]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tf-record"])
@pytest.mark.parametrize("outputs", [OUTPUTS, ()])
def test_a_run_without_predictions_has_one_empty_file(form, outputs, tmp_path):
    run(tmp_path, [batches.batches_of([[("a", True)]], 5, BAD, outputs)], form)
    found = files_in(tmp_path)
    extension = record_formats(OutputSettings(form)).predictions.extension
    content = found[ShardedNames().predictions(extension, 1)[0]]
    if form == "parquet":
        table = pq.read_table(io.BytesIO(content))
        assert len(table) == 0
        assert [name for name in table.column_names if outputs] == ["y"] * len(outputs)
    else:
        assert content == b""
    header = found.get("prediction.results_header.csv")
    assert header == (b'"y"\n' if form == "csv" and outputs else None)
    assert verify(str(tmp_path)).wrong == ()


CHUNKS = st.lists(
    st.lists(st.tuples(st.sampled_from(["a", "b", 5]), st.booleans()), max_size=6),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tf-record"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chunks=CHUNKS,
    size=st.integers(1, 3),
    with_keys=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_any_split_into_bundles_gives_the_same_bytes(
    chunks, size, with_keys, random, form, tmp_path_factory
):
    def made(size):
        found = batches.batches_of(chunks, size, BAD, OUTPUTS)
        if not with_keys:
            return found
        return [
            dataclasses.replace(b, keys=[f"{b.chunk} {b.first_row + at}" for at in range(len(b))])
            for b in found
        ]

    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    run(one, [made(100)], form)
    shuffled = made(size)
    random.shuffle(shuffled)
    cuts = sorted(random.choices(range(len(shuffled) + 1), k=2))
    run(other, [shuffled[: cuts[0]], shuffled[cuts[0] : cuts[1]], shuffled[cuts[1] :]], form)
    content = files_in(one)
    manifest = json.loads(content.pop("manifest.json"))
    assert {k: v for k, v in files_in(other).items() if k != "manifest.json"} == content
    assert verify(str(one)).wrong == verify(str(other)).wrong == ()
    assert {file["name"] for file in manifest["files"]} == set(content)
    failed = sum(fails for chunk in chunks for _, fails in chunk)
    stats = content["prediction.errors_stats-00000-of-00001"]
    assert stats == (f"('not good', {failed})\n".encode() if failed else b"")
    rows = [row for chunk in chunks for row in chunk]
    names = [name for name in sorted(content) if name.startswith("prediction.results-")]
    if form == "csv":
        cells = [row for name in names for row in csv.reader(io.StringIO(content[name].decode()))]
        assert len(cells) == len(rows) - failed
    if form == "jsonl":
        lines = [json.loads(line) for name in names for line in content[name].splitlines()]
        expected = [
            ({"key": f"{number} {at}"} if with_keys else {}) | {"y": at}
            for number, chunk in enumerate(chunks)
            for at, (_, fails) in enumerate(chunk)
            if not fails
        ]
        assert lines == expected


def test_statistics_have_a_line_for_a_message_the_most_frequent_first():
    groups = [
        ErrorGroup(Code.NOT_FOUND, "no file N", 2, "a, byte 0", "no file 7"),
        ErrorGroup(Code.INTERNAL, "it's N", 1, "", "it's 5"),
        ErrorGroup(Code.INTERNAL, 'say "…"', 7, "", ""),
        ErrorGroup(Code.UNKNOWN, "no file N", 6, "", ""),
        ErrorGroup(Code.UNKNOWN, "é\n", 1, "", "é\n"),
    ]
    assert stats_lines(groups).decode().splitlines() == [
        "('no file N', 8)",
        "('say \"…\"', 7)",
        '("it\'s 5", 1)',
        "('é\\n', 1)",
    ]
    assert stats_lines([]) == b""


def test_names_sort_in_order_beyond_99999():
    naming = naming_of(FileNames.SHARDED)
    names = naming.predictions("jsonl", 123_456)
    assert names == sorted(names)
    assert names[0] == "prediction.results-000000-of-123456"
    assert naming.predictions("jsonl", 99_999)[-1] == "prediction.results-99998-of-99999"


def test_tables_of_bigquery_have_no_such_shape():
    with pytest.raises(InvalidArgument, match="record_shape: BigQuery tables"):
        OutputSettings("bigquery", RecordShape.OUTPUTS)


def test_tables_of_errors_do_not_depend_on_names_of_files():
    formats = record_formats(OutputSettings("bigquery", file_names=FileNames.SHARDED))
    assert formats.errors is formats.predictions
