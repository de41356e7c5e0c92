"""The PTransforms, in real pipelines on the local runner."""

import dataclasses
import json
import pickle
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue

import beam_batch_predict as bbp
from beam_batch_predict.spec import BatchPredictSpec

PENGUINS = Path(__file__).resolve().parents[2] / "examples" / "penguins"


def counters(result):
    found = result.metrics().query(
        beam.metrics.MetricsFilter().with_namespace("beam_batch_predict")
    )
    return {counter.key.metric.name: counter.committed for counter in found["counters"]}


def lines_in(directory, kind):
    return [
        json.loads(line)
        for path in sorted(Path(directory).glob(f"{kind}_*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def test_the_steps_of_a_pipeline_of_files(pipeline, tmp_path):
    destination = bbp.GcsDestination(str(tmp_path))
    p = pipeline()
    write = bbp.WriteResults(destination, predictions_format="jsonl")
    files = (
        p
        | bbp.ReadInstances(bbp.JsonLines(str(PENGUINS / "data" / "*.jsonl")))
        | bbp.ConvertInstances(bbp.InstanceConfig(key_field="id"))
        | bbp.Predict(bbp.SavedModel(str(PENGUINS / "model")), batch_size=64)
        | write
    )
    assert_that(
        files | beam.Map(lambda file: (file.uri.rpartition("/")[2], file.rows)),
        equal_to([("predictions_0001.jsonl", 333), ("errors_0001.jsonl", 16)]),
    )
    result = p.run()
    result.wait_until_finish()
    assert len(lines_in(write.directory, "predictions")) == 333
    assert {"key", "prediction"} == set(lines_in(write.directory, "predictions")[0])
    assert sorted(path.name for path in Path(write.directory).iterdir()) == [
        "errors_0001.jsonl",
        "manifest.json",
        "predictions_0001.jsonl",
    ]
    counts = counters(result)
    assert counts["instances_read"] == 349
    assert counts["instances_predicted"] + counts["instances_failed"] == 349
    assert counts["instances_failed"] == 16


@pytest.mark.parametrize(
    ("signature", "rows", "expected"),
    [
        ("serving_default", [1, 2.5], [2.0, 5.0]),
        ("serving_default", [{"x": 1.5}], [3.0]),
        ("serving_default", [np.float32(4)], [8.0]),
        ("length", ["abc", ""], [3, 0]),
        ("length", [b"\xff\xfe"], [2]),
        ("total", [[1, 2]], [3.0]),
        ("total", [np.array([1.5, 2.0])], [3.5]),
    ],
)
def test_rows_of_many_kinds_are_predicted(signature, rows, expected, pipeline, tiny_model):
    with pipeline() as p:
        results = (
            p
            | beam.Create(rows)
            | bbp.BatchInstances(batch_size=2)
            | bbp.Predict(bbp.SavedModel(tiny_model, signature))
            | bbp.Unbatch()
        )
        predictions = results.predictions | beam.Map(lambda record: record["prediction"])
        assert_that(predictions, equal_to(expected))
        assert_that(results.errors, equal_to([]), label="Errors")


def test_keys_beside_rows_come_out_beside_outcomes(pipeline, tiny_model):
    with pipeline() as p:
        results = (
            p
            | beam.Create([(("a", 1), 2.0), (None, 3.0), ("bad", "text")])
            | bbp.BatchInstances()
            | bbp.Predict(bbp.SavedModel(tiny_model))
            | bbp.Unbatch()
        )
        assert_that(
            results.predictions,
            equal_to(
                [
                    (("a", 1), {"instance": 2.0, "prediction": 4.0}),
                    (None, {"instance": 3.0, "prediction": 6.0}),
                ]
            ),
        )
        errors = results.errors | beam.MapTuple(lambda key, record: (key, record["error"]["code"]))
        assert_that(errors, equal_to([("bad", 3)]), label="Errors")


def test_rows_and_pairs_may_be_mixed(pipeline, tiny_model):
    with pipeline() as p:
        results = (
            p
            | beam.Create([("k", 1.0), 2.0])
            | bbp.BatchInstances()
            | bbp.Predict(bbp.SavedModel(tiny_model))
            | bbp.Unbatch()
        )
        assert_that(
            results.predictions,
            equal_to(
                [
                    ("k", {"instance": 1.0, "prediction": 2.0}),
                    {"instance": 2.0, "prediction": 4.0},
                ]
            ),
        )


def in_windows(p):
    return (
        p
        | beam.Create(list(range(20)))
        | beam.Map(lambda n: TimestampedValue(n, n % 4 * 10 + n / 100))
        | beam.WindowInto(FixedWindows(10))
        | bbp.BatchInstances(batch_size=3)
    )


def test_rows_of_different_windows_share_no_batch(pipeline):
    def describe(batch, window=beam.DoFn.WindowParam):
        return {n % 4 for n in batch.rows} == {int(window.start) // 10} and len(batch) <= 3

    with pipeline() as p:
        batches = in_windows(p)
        assert_that(
            batches | beam.Map(describe) | "One" >> beam.WindowInto(beam.window.GlobalWindows()),
            equal_to([True] * 8),
        )
        rows = batches | beam.FlatMap(lambda batch: batch.rows)
        assert_that(
            rows | "Global" >> beam.WindowInto(beam.window.GlobalWindows()),
            equal_to(list(range(20))),
            label="Rows",
        )


@pytest.mark.parametrize("broken", [False, True])
def test_rows_in_windows_are_written(broken, pipeline, tiny_model, tmp_path):
    write = bbp.WriteResults(bbp.GcsDestination(str(tmp_path)))
    with pipeline() as p:
        predicted = in_windows(p) | bbp.Predict(bbp.SavedModel(tiny_model))
        if broken:
            predicted = predicted | beam.Reshuffle()
        _ = predicted | write
    lines = lines_in(write.directory, "predictions")
    assert sorted(line["instance"] for line in lines) == list(range(20))
    assert all(line["prediction"] == 2 * line["instance"] for line in lines)


def test_a_row_that_json_cannot_hold_fails_alone(pipeline, tiny_model, tmp_path):
    write = bbp.WriteResults(bbp.GcsDestination(str(tmp_path)), non_finite=bbp.NonFinite.ERROR)
    with pipeline() as p:
        _ = (
            p
            | beam.Create([1.0, {1, 2}, float("nan")])
            | bbp.BatchInstances()
            | bbp.Predict(bbp.SavedModel(tiny_model), non_finite=bbp.NonFinite.ERROR)
            | write
        )
    assert lines_in(write.directory, "predictions") == [{"instance": 1.0, "prediction": 2.0}]
    failed = lines_in(write.directory, "errors")
    assert sorted(line["instance"] for line in failed) == ["NaN", "{1, 2}"]


@pytest.fixture
def job(tmp_path):
    record = json.loads((PENGUINS / "job.json").read_bytes())
    record["unmanagedContainerModel"] = {"artifactUri": str(PENGUINS / "model")}
    record["inputConfig"]["gcsSource"]["uris"] = [str(PENGUINS / "data" / "*.jsonl")]
    record["outputConfig"]["gcsDestination"]["outputUriPrefix"] = str(tmp_path / "out")
    return bbp.read_job(record)


def test_a_job_runs_beside_another_branch(job, pipeline):
    batch_predict = bbp.BatchPredict(job)
    with pipeline() as p:
        files = p | batch_predict
        other = p | beam.Create([1, 2]) | "Double" >> beam.Map(lambda n: 2 * n)
        assert_that(other, equal_to([2, 4]))
        assert_that(files | beam.Map(lambda file: file.rows), equal_to([333, 16]), label="Files")
    record = json.loads((Path(batch_predict.directory) / "job.json").read_bytes())
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["successfulCount"] == "333"
    assert record["startTime"] <= record["endTime"]


def test_a_job_comes_as_text_as_an_object_or_as_a_path(job, tmp_path):
    text = job.to_json_bytes()
    path = tmp_path / "job.json"
    path.write_bytes(text)
    wanted = bbp.BatchPredict(job).spec
    for form in (text, text.decode(), json.loads(text), path, wanted):
        assert bbp.BatchPredict(form).spec == wanted
    with pytest.raises(bbp.InvalidJob, match="displayName"):
        bbp.BatchPredict({})
    with pytest.raises(bbp.InvalidArgument, match="expected a job, a BatchPredictSpec.*found 5"):
        bbp.BatchPredict(5)


def test_a_spec_without_a_job_leaves_no_record(pipeline, tiny_model, tmp_path):
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    spec = BatchPredictSpec(
        bbp.JsonLines(str(tmp_path / "in.jsonl")),
        bbp.SavedModel(tiny_model),
        bbp.GcsDestination(str(tmp_path / "out")),
    )
    batch_predict = bbp.BatchPredict(spec)
    with pipeline() as p:
        _ = p | batch_predict
    assert sorted(path.name for path in Path(batch_predict.directory).iterdir()) == [
        "manifest.json",
        "predictions_0001.jsonl",
    ]


def test_two_of_each_fit_in_one_pipeline(job, pipeline, tiny_model, tmp_path):
    first, second = bbp.BatchPredict(job), bbp.BatchPredict(job)
    assert first.directory != second.directory
    writes = [bbp.WriteResults(bbp.GcsDestination(str(tmp_path / "rows"))) for _ in range(2)]
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    with pipeline() as p:
        _ = p | "One" >> first
        _ = p | "Two" >> second
        for label, write in zip("AB", writes, strict=True):
            _ = (
                p
                | f"Read{label}" >> bbp.ReadInstances(bbp.JsonLines(str(tmp_path / "in.jsonl")))
                | f"Convert{label}" >> bbp.ConvertInstances()
                | f"Predict{label}" >> bbp.Predict(bbp.SavedModel(tiny_model))
                | f"Write{label}" >> write
            )
    for each in (first, second):
        assert len(lines_in(each.directory, "predictions")) == 333
    for write in writes:
        assert len(lines_in(write.directory, "predictions")) == 2


def test_a_pipeline_that_runs_twice_does_not_overwrite_its_result(job, pipeline):
    batch_predict = bbp.BatchPredict(job)
    p = pipeline()
    _ = p | batch_predict
    p.run().wait_until_finish()
    before = {path: path.read_bytes() for path in Path(batch_predict.directory).iterdir()}
    with pytest.raises(Exception, match="another run has published"):
        p.run().wait_until_finish()
    assert {path: path.read_bytes() for path in Path(batch_predict.directory).iterdir()} == before


def every_transform(model="model"):
    spec = BatchPredictSpec(
        bbp.JsonLines("in.jsonl"), bbp.SavedModel(model), bbp.GcsDestination("out")
    )
    return [
        bbp.ReadInstances(bbp.JsonLines("in.jsonl")),
        bbp.ConvertInstances(),
        bbp.Predict(bbp.SavedModel(model)),
        bbp.WriteResults(bbp.GcsDestination("out")),
        bbp.BatchInstances(),
        bbp.Unbatch(),
        bbp.BatchPredict(spec),
    ]


@pytest.mark.parametrize("transform", every_transform(), ids=lambda each: type(each).__name__)
def test_transforms_pickle(transform):
    copy = pickle.loads(pickle.dumps(transform))
    assert type(copy) is type(transform)
    public = [name for name in vars(transform) if not name.startswith("_") and name != "label"]
    assert all(getattr(copy, name) == getattr(transform, name) for name in public)


def test_labels_are_names_in_camel_case(job, pipeline):
    p = pipeline()
    rows = p | beam.Create([1]) | bbp.BatchInstances()
    _ = rows | bbp.Predict(bbp.SavedModel("model")) | bbp.Unbatch()
    _ = p | bbp.BatchPredict(job)
    _ = (
        p
        | bbp.ReadInstances(bbp.JsonLines("in"))
        | bbp.ConvertInstances()
        | "PredictFiles" >> bbp.Predict(bbp.SavedModel("model"))
        | bbp.WriteResults(bbp.GcsDestination("out"))
    )
    labels = []
    p.visit(_Labels(labels))
    ours = {label for label in labels if not label.startswith("Create")}
    assert {
        "BatchPredict/Plan",
        "WriteResults/WriteRun/Finish",
        "ReadInstances/Read/ReadChunk",
    } <= ours
    parts = {part for label in ours for part in label.split("/")[:3]}
    assert [part for part in parts if part.startswith("_") or not part[:1].isupper()] == []


class _Labels(beam.pipeline.PipelineVisitor):
    def __init__(self, labels):
        self.labels = labels

    def visit_transform(self, node):
        self.labels.append(node.full_label)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bbp.BatchInstances(0),
        lambda: bbp.ReadInstances(bbp.JsonLines("in"), batch_size=0),
        lambda: bbp.Predict(bbp.SavedModel("m"), batch_size=True),
        lambda: bbp.WriteResults(bbp.GcsDestination("out"), "xml"),
        lambda: bbp.BatchPredict({"displayName": "a job that was not read"}),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_once(make):
    with pytest.raises(bbp.InvalidArgument):
        make()


def test_a_pattern_without_a_match_fails_a_job_and_its_record(job, pipeline, tmp_path):
    spec = job.to_spec()
    spec = dataclasses.replace(spec, source=bbp.JsonLines(str(tmp_path / "none*")))
    batch_predict = bbp.BatchPredict(spec)
    with pytest.raises(Exception, match="matches no file"), pipeline() as p:
        _ = p | batch_predict
    record = json.loads((Path(batch_predict.directory) / "job.json").read_bytes())
    assert record["state"] == "JOB_STATE_FAILED"
    assert "matches no file" in record["error"]["message"]


LINES = '{"x": 2.5}\n4\noops\n'
RAW = bbp.InstanceConfig(raw_strings=True)


@pytest.mark.parametrize(("signature", "expected"), [("length", [10, 1, 4]), (None, [5.0, 8.0])])
def test_raw_strings_are_for_a_signature_of_one_string(
    signature, expected, pipeline, tiny_model, tmp_path
):
    (tmp_path / "in.jsonl").write_text(LINES)
    source, model = bbp.JsonLines(str(tmp_path / "in.jsonl")), bbp.SavedModel(tiny_model)
    model = dataclasses.replace(model, signature_name=signature) if signature else model
    spec = BatchPredictSpec(source, model, bbp.GcsDestination(str(tmp_path / "out")), RAW)
    whole = bbp.BatchPredict(spec)
    steps = bbp.WriteResults(tmp_path / "steps")
    with pipeline() as p:
        _ = p | whole
        converted = p | bbp.ReadInstances(source) | bbp.ConvertInstances(RAW, model=model)
        _ = converted | bbp.Predict(model) | steps
    for directory in (whole.directory, steps.directory):
        predictions = [line["prediction"] for line in lines_in(directory, "predictions")]
        assert predictions == expected
        assert len(lines_in(directory, "errors")) == 3 - len(expected)


def test_only_workers_read_the_signature_of_raw_strings(job, pipeline):
    model = bbp.SavedModel("not/here")
    whole = bbp.BatchPredict(dataclasses.replace(job.to_spec(), model=model, instances=RAW))
    p = pipeline()
    _ = p | whole
    with pytest.raises(Exception, match="there is no SavedModel at not/here"):
        p.run().wait_until_finish()
    record = json.loads((Path(whole.directory) / "job.json").read_bytes())
    assert "there is no SavedModel at not/here" in record["error"]["message"]


def test_instances_of_columns_can_be_changed_between_reading_and_predicting(
    pipeline, tiny_model, tmp_path
):
    (tmp_path / "in.csv").write_text("x,id\n1.50,a\nbad,b\n")

    def negative(batch):
        live = set(batch.live)
        rows = enumerate(batch.instances)
        return batch.with_instances(
            [[-row[0]] if at in live and type(row[0]) is not str else row for at, row in rows]
        )

    write = bbp.WriteResults(tmp_path / "out")
    with pipeline() as p:
        batches = p | bbp.ReadInstances(bbp.Csv(str(tmp_path / "in.csv")))
        converted = batches | bbp.ConvertInstances(bbp.InstanceConfig(excluded_fields=["id"]))
        _ = converted | beam.Map(negative) | bbp.Predict(tiny_model) | write
    (record,) = lines_in(write.directory, "predictions")
    assert record == {"instance": [-1.5], "id": "a", "prediction": -3.0}
    (failed,) = lines_in(write.directory, "errors")
    assert failed["instance"] == ["bad"]
    assert failed["id"] == "b"
