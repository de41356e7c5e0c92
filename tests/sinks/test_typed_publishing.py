"""Parquet and TFRecord files: whatever a runner does, the same bytes of one schema."""

import dataclasses
import io
import pathlib
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import batches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Predictions
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.sinks.columns import layout
from beam_batch_predict.sinks.formats import parquet, tf_record
from beam_batch_predict.sinks.formats.parquet import ParquetRecords
from beam_batch_predict.sinks.formats.tf_record import ExampleRecords
from beam_batch_predict.sinks.parts import final_files
from beam_batch_predict.sinks.parts.part import PartWriter
from beam_batch_predict.sinks.publish import files as publish_files
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms.write_dofns import FinishRun, WriteParts

BAD = Status(Code.INVALID_ARGUMENT, "not good")
OUTPUTS = (TensorInfo("y", "int64", (None,)),)
FORMATS = ["parquet", "tf-record"]


def batches_of(chunks, size, outputs=OUTPUTS):
    return batches.batches_of(chunks, size, BAD, outputs)


def record_of(directory):
    return Run(str(directory), now())


def parts_of(record, bundles, form):
    writer = WriteParts(record, OutputSettings(form))
    parts = []
    for bundle in bundles:
        writer.start_bundle()
        parts += [part for batch in bundle for part in writer.process(batch)]
        parts += [windowed.value for windowed in writer.finish_bundle()]
    return parts


def run(directory, bundles, form):
    """Publish what some bundles of batches give."""
    record = record_of(directory)
    finish = FinishRun(record, OutputSettings(form))
    return finish.process(None, parts_of(record, bundles, form), None)


def tables_of(content, kind):
    return [
        pq.read_table(io.BytesIO(file)) for name, file in content.items() if name.startswith(kind)
    ]


def examples_of(content, kind):
    """The Examples of all files of a kind: {feature: (kind, values)} of each."""
    from tensorflow.core.example.example_pb2 import Example

    found = []
    for name, file in content.items():
        if name.startswith(kind):
            rows = ExampleRecords().rows(io.BytesIO(file), layout.Schema((), ()))
            for records in (row.content.args[0] for row in rows):
                found += map(Example.FromString, records)
    return [
        {
            name: (kind := feature.WhichOneof("kind"), list(getattr(feature, kind).value))
            for name, feature in example.features.feature.items()
        }
        for example in found
    ]


VALUES = st.sampled_from(
    [
        *(
            None,
            1,
            0.5,
            "text",
            [1, 2],
            [0.1],
            {"in": 1},
            {"in": [None]},
            True,
            2**60,
            {"b64": "AA=="},
        )
    ]
)
INSTANCES = st.dictionaries(st.sampled_from(["a", "b", "c.d", "error"]), VALUES) | st.sampled_from(
    [5, "text", 0.25]
)
CHUNKS = st.lists(st.lists(st.tuples(INSTANCES, st.booleans()), max_size=6), min_size=1, max_size=3)


@pytest.mark.parametrize("form", FORMATS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chunks=CHUNKS, size=st.integers(1, 3), random=st.randoms(use_true_random=False))
def test_any_split_into_bundles_gives_the_same_bytes(
    form, chunks, size, random, tmp_path_factory, published
):
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", 3)
        patch.setattr(parquet, "ROW_GROUP_BYTES", 60)
        run(one, [batches_of(chunks, 100)], form)
        batches = batches_of(chunks, size)
        random.shuffle(batches)
        cuts = sorted(random.choices(range(len(batches) + 1), k=2))
        patch.setattr(tf_record, "BLOCK_BYTES", 50)
        patch.setattr(parquet, "READ_ROWS", 2)
        run(other, [batches[: cuts[0]], batches[cuts[0] : cuts[1]], batches[cuts[1] :]], form)
    content = published(one)
    assert published(other) == content
    rows = [row for chunk in chunks for row in chunk]
    counts = (sum(not fails for _, fails in rows), sum(fails for _, fails in rows))
    if form == "parquet":
        good, bad = (tables_of(content, kind) for kind in ("predictions", "errors"))
        assert (sum(map(len, good)), sum(map(len, bad))) == counts
        for files in (good, bad):
            assert all(file.schema.equals(files[0].schema) for file in files)
        assert good[0].schema.field("prediction").type == pa.int64()
    else:
        for kind, count in zip(("predictions", "errors"), counts, strict=True):
            found = examples_of(content, kind)
            assert len(found) == count
            lists = {(name, kind) for row in found for name, (kind, _) in row.items()}
            assert len(lists) == len({name for name, _ in lists})


@pytest.mark.parametrize("form", FORMATS)
def test_parts_with_the_columns_of_all_are_moved_as_they_are(
    form, tmp_path, published, monkeypatch
):
    monkeypatch.setattr(final_files, "copy_sections", None)
    chunks = [[({"a": 1}, False)], [({"a": 2}, False), ({"a": 3}, True)]]
    run(tmp_path, [batches_of(chunks, 10)], form)
    assert len(published(tmp_path)) == 3


def test_a_part_of_features_that_all_are_right_is_moved_as_it_is(tmp_path, published, monkeypatch):
    """Other records of the run may have more features."""
    monkeypatch.setattr(final_files, "copy_sections", None)
    chunks = [[({"a": 1}, False)], [({"a": 2, "b": 0.5}, False), ({"c": "x"}, False)]]
    run(tmp_path, [batches_of(chunks, 1)], "tf-record")
    assert examples_of(published(tmp_path), "predictions")[1] == {
        "a": ("int64_list", [2]),
        "b": ("float_list", [0.5]),
        "prediction": ("int64_list", [0]),
    }


def test_the_types_of_all_parts_are_those_of_every_file(tmp_path, published):
    chunks = [[({"a": 1}, False)], [({"a": 0.5}, False), ({"b": ["x"]}, False)]]
    run(tmp_path, [batches_of(chunks, 1)], "parquet")
    first, second = tables_of(published(tmp_path), "predictions")
    assert first.to_pylist() == [{"a": 1.0, "b": None, "prediction": 0}]
    assert second.to_pylist() == [
        {"a": 0.5, "b": None, "prediction": 0},
        {"a": None, "b": ["x"], "prediction": 1},
    ]
    assert first.schema.equals(second.schema)


@pytest.mark.parametrize("rows", [[], [("oops", True)]])
@pytest.mark.parametrize("form", FORMATS)
def test_without_predictions_there_is_a_file_without_rows(form, rows, tmp_path, published):
    found = run(tmp_path, [batches_of([rows], 10)], form)
    content = published(tmp_path)
    assert [file.rows for file in found] == [0, *(1 for _ in rows)]
    if form == "tf-record":
        assert content["predictions_0001.tfrecord"] == b""
        assert examples_of(content, "errors") == [
            {
                "instance": ("bytes_list", [b"oops"]),
                "error/code": ("int64_list", [3]),
                "error/message": ("bytes_list", [b"not good"]),
            }
        ] * len(rows)
        return
    (table,) = tables_of(content, "predictions")
    assert (len(table), table.schema.names) == (0, ["instance", "prediction"])
    assert table.schema.types == [pa.string(), pa.int64()]
    if rows:
        (errors,) = tables_of(content, "errors")
        assert errors.to_pylist() == [
            {"instance": "oops", "error": {"code": 3, "message": "not good"}}
        ]
        assert errors.schema.field("error").type.field("code").type == pa.int32()


@pytest.mark.parametrize("form", FORMATS)
def test_a_publication_that_broke_off_goes_on(form, tmp_path, published, monkeypatch):
    chunks = [[({"a": 1}, False)], [({"a": "x"}, False)], [({"a": 0.5}, False)]]
    record = record_of(tmp_path)
    finish = FinishRun(record, OutputSettings(form))
    parts = parts_of(record, [batches_of(chunks, 1)], form)
    rename = publish_files.files.rename

    def rename_some(sources, destinations, replace=True):
        rename(sources[:1], destinations[:1])
        if len(sources) > 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish_files.files, "rename", rename_some)
        with pytest.raises(KeyboardInterrupt):
            finish.process(None, parts, None)
    assert len(published(tmp_path)) == 1
    first = finish.process(None, parts, None)
    once = published(tmp_path)
    assert [file.rows for file in first] == [1, 1, 1]
    assert finish.process(None, parts, None) == first
    assert published(tmp_path) == once
    other = tmp_path / "other"
    run(other, [batches_of(chunks, 1)], form)
    assert published(other) == once


def test_a_row_group_ends_at_the_same_row_however_rows_come(monkeypatch):
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 1000)
    form = ParquetRecords()
    (batch,) = batches_of([[({"a": "x" * (n % 40)}, False) for n in range(200)]], 200)
    contents = []
    for size in (200, 7):
        pieces = [rows_between(batch, at, min(at + size, 200)) for at in range(0, 200, size)]
        file = io.BytesIO()
        rows = [form.predictions(piece) for piece in pieces]
        writer = form.writer(file, form.schema(rows[0].layout))
        for each in rows:
            writer.write(each)
        writer.close()
        contents.append(file.getvalue())
    assert contents[0] == contents[1]
    metadata = pq.ParquetFile(io.BytesIO(contents[0])).metadata
    sizes = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert sum(sizes) == 200
    assert 3 < len(sizes) < 20


def rows_between(batch, start, stop):
    column = batch.predictions[0].columns["y"][start:stop]
    return dataclasses.replace(
        batch,
        rows=batch.rows[start:stop],
        instances=batch.instances[start:stop],
        predictions=(Predictions(range(stop - start), {"y": column}),),
    )


def test_outputs_whose_rank_differs_are_text(tmp_path, published):
    groups = (
        Predictions([1], {"y": np.array([[0.5, 2]], np.float32)}),
        Predictions([0], {"y": np.array([0.1], np.float32)}),
    )
    outputs = (TensorInfo("y", "float32", None),)
    (batch,) = batches_of([[(1, False), (2, False)]], 2, outputs)
    run(tmp_path, [[dataclasses.replace(batch, predictions=groups)]], "parquet")
    (found,) = tables_of(published(tmp_path), "predictions")
    assert found["prediction"].to_pylist() == ["0.1", "[0.5,2]"]


def test_several_outputs_are_a_struct_of_the_signature_where_nothing_was_predicted(
    tmp_path, published
):
    outputs = (TensorInfo("a", "float32", (None, 2)), TensorInfo("b_bytes", "string", (None,)))
    run(tmp_path, [batches_of([[(1, True)]], 1, outputs)], "parquet")
    (found,) = tables_of(published(tmp_path), "predictions")
    expected = pa.struct([("a", pa.list_(pa.float32())), ("b_bytes", pa.binary())])
    assert found.schema.field("prediction").type == expected


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_without_predictions_do_not_decide_types_if_others_have_some(
    size, tmp_path, published
):
    rows = [({"x": 1, "z": "a"}, True), ({"x": 2, "z": "b"}, False), ({"x": 3, "z": "c"}, False)]
    *full, last = batches_of([rows], size)
    empty = dataclasses.replace(batches_of([[]], 1)[0], first_row=3)
    found = [*full, dataclasses.replace(last, last=False), empty]
    inputs = (TensorInfo("x", "float32", (None,)), TensorInfo("z", "string", (None,)))
    told = [dataclasses.replace(batch, format="jsonl", inputs=inputs) for batch in found]
    run(tmp_path, [told], "parquet")
    content = published(tmp_path)
    for kind in ("predictions", "errors"):
        (table,) = tables_of(content, kind)
        assert table.schema.types[:2] == [pa.int64(), pa.string()]


def test_where_no_batch_tells_a_type_there_are_strings(tmp_path, published):
    run(tmp_path, [batches_of([[(None, True)]], 1, ())], "parquet")
    (found,) = tables_of(published(tmp_path), "predictions")
    assert found.schema.types == [pa.string(), pa.string()]
    (errors,) = tables_of(published(tmp_path), "errors")
    assert errors["instance"].to_pylist() == [None]


def test_a_part_cut_short_is_a_loss(tmp_path):
    record = record_of(tmp_path)
    finish = FinishRun(record, OutputSettings("parquet"))
    chunks = [[({"a": 1}, False)], [({"a": "x"}, False)]]
    parts = parts_of(record, [batches_of(chunks, 1)], "parquet")
    path = pathlib.Path(parts[0].predictions.uri)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LostRowsError, match="shorter than it was"):
        finish.process(None, parts, None)


@pytest.mark.parametrize("form", FORMATS)
def test_an_abandoned_part_leaves_nothing(form, tmp_path):
    (first, second) = batches_of([[({"a": 1}, False), ({"a": "x"}, True)]], 1)
    writer = PartWriter(str(tmp_path), first, OutputSettings(form), time.perf_counter())
    writer.write(first)
    writer.write(second)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []
