"""Wrong use of the public transforms: one sentence, when the pipeline is built if it can be."""

import dataclasses
import datetime
import json
import pathlib
from typing import TypeVar

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import FixedWindows
from apache_beam.typehints import Any

import beam_batch_predict as bbp

PENGUINS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "penguins"
MODEL = bbp.SavedModel("model")
T = TypeVar("T")
RAW = bbp.InstanceConfig(raw_strings=True)


def refused(pattern):
    """A context in which exactly `InvalidArgument` is raised."""
    return pytest.raises(bbp.InvalidArgument, match=pattern)


def hidden(p, rows=({"x": 1.0},)):
    """Rows whose type Beam does not know."""
    return p | beam.Create(list(rows)) | beam.Map(lambda row: row).with_output_types(Any)


@pytest.mark.parametrize("directory", ["models/penguins/7", pathlib.Path("models/penguins/7")])
def test_a_directory_is_a_model(directory):
    for transform in (bbp.Predict(directory), bbp.ConvertInstances(RAW, model=directory)):
        assert transform.model == bbp.SavedModel("models/penguins/7")
    assert isinstance(bbp.SavedModelHandler(directory), bbp.SavedModelHandler)


def test_a_path_is_a_destination(tmp_path):
    for prefix in (f"{tmp_path}/", tmp_path):
        assert bbp.WriteResults(prefix).directory.startswith(f"{tmp_path}/prediction-model-")
    assert bbp.WriteResults("bq://project").predictions_format == "bigquery"


def test_directories_and_paths_do_the_work(pipeline, tiny_model, tmp_path):
    with pipeline() as p:
        rows = p | beam.Create([1.0, 2.5])
        _ = rows | bbp.BatchInstances() | bbp.Predict(tiny_model) | bbp.WriteResults(tmp_path)
        results = rows | RunInference(bbp.SavedModelHandler(tiny_model))
        found = results | beam.Map(lambda result: result.inference)
        assert_that(found, equal_to([2.0, 5.0]))
    (published,) = tmp_path.glob("prediction-*/predictions_*.jsonl")
    predictions = [json.loads(line)["prediction"] for line in published.read_bytes().splitlines()]
    assert sorted(predictions) == [2.0, 5.0]


def test_a_job_is_the_path_of_its_file(tmp_path, monkeypatch):
    path = tmp_path / "job.json"
    path.write_bytes((PENGUINS / "job.json").read_bytes())
    wanted = bbp.BatchPredict(path.read_bytes()).spec
    monkeypatch.chdir(tmp_path)
    forms = (str(path), path, "job.json", path.read_text(), f"\n {path.read_text()}")
    for form in (*forms, json.loads(path.read_bytes())):
        assert bbp.BatchPredict(form).spec == wanted


def test_a_job_file_that_cannot_be_read_is_refused_by_its_name(tmp_path):
    for path in (f"{tmp_path}/none.json", tmp_path / "none.json"):
        with refused("the job file .*/none.json cannot be read: No such file or directory"):
            bbp.BatchPredict(path)
    with refused(f"the job file {tmp_path} cannot be read: Is a directory"):
        bbp.BatchPredict(tmp_path)


A_MODEL = "model: expected a SavedModel or the path of its directory, found "
A_SIZE = "batch_size: expected a whole number from 1, found "
A_MODE = "non_finite: expected NonFinite.STRING, NonFinite.NULL or NonFinite.ERROR, found "
A_TIME = "call_timeout_seconds: expected a number from 0, found "
A_JOB = "job: expected a job, a BatchPredictSpec, or a job file .*, found "
A_SOURCE = "source: expected JsonLines, Csv, TfRecord, FileList, Avro, Parquet or BigQuery, found "
A_DESTINATION = (
    "destination: expected a GcsDestination, a BigQueryDestination, a path or a URI, found "
)

ARGUMENTS = {
    "a format for tables": (
        lambda: bbp.WriteResults("bq://project", "csv"),
        "predictions_format: tables of BigQuery have no format, found 'csv'",
    ),
    "a destination in capitals": (
        lambda: bbp.WriteResults("BQ://project"),
        "output_uri: expected bq://project, .*, found 'BQ://project'",
    ),
    "a file for the destination": (
        lambda: bbp.WriteResults(__file__),
        f"destination: {__file__} is an existing file",
    ),
    "a directory in a file": (
        lambda: bbp.BatchPredict(
            bbp.BatchPredictSpec(
                bbp.JsonLines("a"), MODEL, bbp.GcsDestination(pathlib.Path(__file__) / "out/")
            )
        ),
        f"destination: {__file__} is an existing file",
    ),
    "a model that is none": (lambda: bbp.Predict(None), A_MODEL + "None"),
    "a config for the model": (lambda: bbp.Predict(RAW), A_MODEL + r"InstanceConfig\("),
    "a class for the model": (lambda: bbp.Predict(bbp.SavedModel), A_MODEL + "SavedModel$"),
    "an empty directory": (lambda: bbp.Predict(""), "uri: expected a non-empty string"),
    "a size as text": (lambda: bbp.Predict(MODEL, "64"), A_SIZE + "'64'"),
    "a policy for the size": (
        lambda: bbp.Predict(MODEL, bbp.NonFinite.NULL),
        A_SIZE + "<NonFinite",
    ),
    "a policy as text": (lambda: bbp.Predict(MODEL, 64, "null"), A_MODE + "'null'"),
    "a time for the policy": (lambda: bbp.Predict(MODEL, 64, 60.0), A_MODE + "60.0"),
    "a time as text": (lambda: bbp.Predict(MODEL, call_timeout_seconds="1"), A_TIME + "'1'"),
    "a handler of no model": (lambda: bbp.SavedModelHandler(None), A_MODEL + "None"),
    "a handler's time": (
        lambda: bbp.SavedModelHandler(MODEL, call_timeout_seconds=None),
        A_TIME + "None",
    ),
    "a handler's least batch as text": (
        lambda: bbp.SavedModelHandler(MODEL, min_batch_size="3"),
        "min_batch_size: expected a whole number from 1, found '3'",
    ),
    "a handler's largest batch": (
        lambda: bbp.SavedModelHandler(MODEL, max_batch_size=0),
        "max_batch_size: expected a whole number from 1, found 0",
    ),
    "a handler's batches that are none": (
        lambda: bbp.SavedModelHandler(MODEL, min_batch_size=8, max_batch_size=4),
        "min_batch_size: expected at most the max_batch_size, 4, found 8",
    ),
    "a handler for the model": (
        lambda: bbp.Predict(bbp.SavedModelHandler(MODEL)),
        A_MODEL + "an object of type SavedModelHandler$",
    ),
    "options for the run": (
        lambda: bbp.BatchPredict(
            bbp.BatchPredictSpec(bbp.JsonLines("a"), MODEL, bbp.GcsDestination("out")),
            run=bbp.RunOptions(),
        ),
        r"run: expected Run or None, found RunOptions\(",
    ),
    "a handler's batch size": (
        lambda: bbp.SavedModelHandler(MODEL, batch_size=64),
        "(?s)SavedModelHandler has no argument 'batch_size'.*max_batch_size",
    ),
    "a pattern for the source": (lambda: bbp.ReadInstances("*.jsonl"), A_SOURCE + r"'\*.jsonl'"),
    "a class for the source": (lambda: bbp.ReadInstances(bbp.Csv), A_SOURCE + "Csv$"),
    "a size that is none": (lambda: bbp.ReadInstances(bbp.JsonLines("a"), None), A_SIZE + "None"),
    "a model for the config": (
        lambda: bbp.ConvertInstances(MODEL),
        r"config: expected InstanceConfig, found SavedModel\(",
    ),
    "a field for the config": (
        lambda: bbp.ConvertInstances("id"),
        "config: expected InstanceConfig, found 'id'",
    ),
    "a policy of the conversion": (lambda: bbp.ConvertInstances(RAW, True), A_MODE + "True"),
    "raw strings for no model": (
        lambda: bbp.ConvertInstances(RAW),
        "raw_strings depends on the signature of the model, and no model is given",
    ),
    "raw strings for a number": (lambda: bbp.ConvertInstances(RAW, model=7), A_MODEL + "7"),
    "rows of a batch": (lambda: bbp.BatchInstances([1.0]), A_SIZE + r"\[1.0\]"),
    "a destination that is none": (lambda: bbp.WriteResults(None), A_DESTINATION + "None"),
    "a model to write": (lambda: bbp.WriteResults(MODEL), A_DESTINATION + r"SavedModel\("),
    "a policy for the format": (
        lambda: bbp.WriteResults("out", bbp.NonFinite.NULL),
        "predictions_format: expected one of jsonl, csv, parquet, tf-record; found <NonFinite",
    ),
    "a name that is none": (
        lambda: bbp.WriteResults("out", model_display_name=None),
        "model_display_name: expected a string, found None",
    ),
    "a policy to write": (lambda: bbp.WriteResults("out", non_finite=""), A_MODE + "''"),
    "a date for the time": (
        lambda: bbp.WriteResults("out", create_time=datetime.date(2026, 1, 1)),
        r"create_time: expected datetime or None, found datetime.date\(",
    ),
    "a shape as text": (
        lambda: bbp.WriteResults("out", record_shape="echo"),
        "record_shape: expected RecordShape.ECHO or RecordShape.OUTPUTS, found 'echo'",
    ),
    "a job that is none": (lambda: bbp.BatchPredict(None), A_JOB + "None"),
    "a model for the job": (lambda: bbp.BatchPredict(MODEL), A_JOB + r"SavedModel\("),
    "a class for the job": (
        lambda: bbp.BatchPredict(bbp.BatchPredictionJob),
        A_JOB + "BatchPredictionJob$",
    ),
    "a spec's model": (
        lambda: bbp.BatchPredictSpec(bbp.JsonLines("a"), "model", bbp.GcsDestination("out")),
        "model: expected SavedModel, found 'model'",
    ),
    "a spec's source": (
        lambda: bbp.BatchPredictSpec("a", MODEL, bbp.GcsDestination("out")),
        A_SOURCE + "'a'",
    ),
    "a spec's destination": (
        lambda: bbp.BatchPredictSpec(bbp.JsonLines("a"), MODEL, "out"),
        "destination: expected GcsDestination or BigQueryDestination, found 'out'",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_that_do_not_fit_are_refused_by_name(case):
    make, message = ARGUMENTS[case]
    with refused(message):
        make()


TAKE_BATCHES = {
    "Predict": lambda: bbp.Predict(MODEL),
    "Unbatch": bbp.Unbatch,
    "WriteResults": lambda: bbp.WriteResults("out"),
}

ROWS = {
    "objects": ([{"x": 1.0}], r"Dict\[str, float\]"),
    "numbers": ([1.0], "float"),
    "numbers and texts": ([1, "a"], r"Union\[int, str\]"),
    "lists": ([[1.0]], r"List\[float\]"),
    "pairs": ([("k", 1.0)], r"Tuple\[str, float\]"),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", TAKE_BATCHES)
def test_plain_rows_are_refused_when_the_pipeline_is_built(name, rows):
    elements, hint = ROWS[rows]
    found = beam.Pipeline() | beam.Create(elements)
    for label, each in (("First", found), ("Second", found | beam.Map(lambda row: row))):
        with refused(
            f"{name} expects a PCollection of InstanceBatch, found a PCollection of {hint}"
        ):
            _ = each | label >> TAKE_BATCHES[name]()


@pytest.mark.parametrize("name", TAKE_BATCHES)
def test_the_message_names_the_step_that_is_missing(name):
    with refused(r"write rows \| BatchInstances\(\) \| Predict\(model\)"):
        _ = beam.Pipeline() | beam.Create([1.0]) | TAKE_BATCHES[name]()


@pytest.mark.parametrize("name", TAKE_BATCHES)
def test_what_is_no_collection_is_refused_when_the_pipeline_is_built(name):
    p = beam.Pipeline()
    one, other = (p | label >> beam.Create([1]) for label in "ab")
    with refused(f"{name} expects a PCollection of InstanceBatch, found the pipeline itself"):
        _ = p | TAKE_BATCHES[name]()
    with refused(f"{name} expects a PCollection of InstanceBatch, found an object of type tuple"):
        _ = (one, other) | "Two" >> TAKE_BATCHES[name]()
    with refused(f"{name} expects a PCollection of InstanceBatch, found a PCollection of int"):
        _ = [1, 2] | "List" >> TAKE_BATCHES[name]()


def test_what_is_no_collection_is_not_converted():
    wanted = "ConvertInstances expects a PCollection of InstanceBatch or of rows, found "
    with refused(wanted + "the pipeline itself"):
        _ = beam.Pipeline() | bbp.ConvertInstances()
    with refused(wanted + "an object of type tuple"):
        _ = (beam.Pipeline() | beam.Create([1]),) * 2 | bbp.ConvertInstances()


@pytest.mark.parametrize("name", TAKE_BATCHES)
def test_rows_of_an_unknown_type_are_refused_by_the_worker(name, pipeline, tiny_model, tmp_path):
    transforms = {
        **TAKE_BATCHES,
        "Predict": lambda: bbp.Predict(tiny_model),
        "WriteResults": lambda: bbp.WriteResults(tmp_path),
    }
    p = pipeline()
    _ = hidden(p) | transforms[name]()
    message = f"{name} expects a PCollection of InstanceBatch, found an element of type dict"
    with pytest.raises(Exception, match=message) as raised:
        p.run()
    assert "AttributeError" not in str(raised.value)
    assert "BatchInstances" in str(raised.value)


def test_batches_whose_type_is_unknown_are_taken(pipeline, tiny_model):
    with pipeline() as p:
        batches = hidden(p, [1.0]) | bbp.BatchInstances()
        unknown = batches | "Same" >> beam.Map(lambda b: b).with_output_types(Any)
        mixed = (batches, unknown) | beam.Flatten()
        results = mixed | bbp.Predict(tiny_model) | bbp.Unbatch()
        found = results.predictions | beam.Map(lambda record: record["prediction"])
        assert_that(found, equal_to([2.0, 2.0]))


def hinted(batch: bbp.InstanceBatch) -> bbp.InstanceBatch:
    return batch


def optional(batch) -> bbp.InstanceBatch | None:
    return batch


def of_any_type(batch) -> object:
    return batch


def generic(batch: T) -> T:
    return batch


BETWEEN = {
    "inferred": beam.Map(lambda batch: batch),
    "hinted": beam.Map(hinted),
    "optional": beam.Map(optional),
    "of any type": beam.Map(of_any_type),
    "generic": beam.Map(generic),
    "shuffled": beam.Reshuffle(),
    "in windows": beam.WindowInto(FixedWindows(10)),
}


@pytest.mark.parametrize("step", BETWEEN)
def test_steps_between_do_not_make_batches_wrong(step):
    batches = beam.Pipeline() | beam.Create([1.0]) | bbp.BatchInstances()
    predicted = batches | "Between" >> BETWEEN[step] | bbp.Predict(MODEL)
    assert predicted.element_type is bbp.InstanceBatch


def test_batches_are_no_rows():
    batches = beam.Pipeline() | beam.Create([1.0]) | "First" >> bbp.BatchInstances()
    with refused(
        "BatchInstances expects a PCollection of rows, found a PCollection of InstanceBatch"
    ):
        _ = batches | bbp.BatchInstances()
    with refused("BatchInstances expects a PCollection of rows, found the pipeline itself"):
        _ = beam.Pipeline() | bbp.BatchInstances()


def test_batches_of_an_unknown_type_are_no_rows_either(pipeline):
    p = pipeline()
    _ = hidden(p, [bbp.InstanceBatch([1.0])]) | bbp.BatchInstances()
    with pytest.raises(
        Exception, match="BatchInstances expects a PCollection of rows, found an elem"
    ):
        p.run()


def test_keys_of_any_type_are_written(pipeline, tiny_model, tmp_path):
    rows = [(1j, 1.0), ((1, 2), 2.0), (frozenset([1]), 3.0), ("k", 4.0), ({(1, 2): 3}, "bad")]
    with pipeline() as p:
        batches = p | beam.Create(rows) | bbp.BatchInstances()
        _ = batches | bbp.Predict(tiny_model) | bbp.WriteResults(tmp_path)
    predictions, errors = (
        [json.loads(line) for line in next(tmp_path.glob(f"*/{kind}_*")).read_text().splitlines()]
        for kind in ("predictions", "errors")
    )
    assert [record["key"] for record in predictions] == ["1j", [1, 2], "frozenset({1})", "k"]
    assert [record["key"] for record in errors] == [[{"key": [1, 2], "value": 3}]]


def test_rows_and_batches_in_one_collection_are_refused(pipeline, tiny_model):
    p = pipeline()
    both = hidden(p, [1.0, bbp.InstanceBatch([1.0], instances=[1.0])])
    _ = both | RunInference(bbp.SavedModelHandler(tiny_model, min_batch_size=2, max_batch_size=2))
    with pytest.raises(Exception, match="expects rows or InstanceBatches, found both"):
        p.run()


@pytest.mark.parametrize("name", ["ReadInstances", "BatchPredict"])
def test_what_begins_a_pipeline_takes_no_rows(name, tmp_path):
    job = bbp.BatchPredictSpec(bbp.JsonLines("a"), MODEL, bbp.GcsDestination(str(tmp_path)))
    first = {
        "ReadInstances": lambda: bbp.ReadInstances(bbp.JsonLines("a")),
        "BatchPredict": lambda: bbp.BatchPredict(job),
    }
    rows = beam.Pipeline() | beam.Create([1.0])
    with refused(f"{name} expects the pipeline itself, found a PCollection of float"):
        _ = rows | first[name]()


def test_batches_beside_keys_are_no_rows(pipeline):
    p = pipeline()
    _ = hidden(p, [("k", bbp.InstanceBatch([1.0]))]) | bbp.BatchInstances()
    with pytest.raises(Exception, match="(?s)found an element of type InstanceBatch.*leave Batch"):
        p.run()


@pytest.mark.parametrize("name", TAKE_BATCHES)
def test_records_and_published_files_are_no_batches(name, tmp_path):
    job = bbp.BatchPredictSpec(bbp.JsonLines("a"), MODEL, bbp.GcsDestination(str(tmp_path)))
    results = predicted(beam.Pipeline()) | "Split" >> bbp.Unbatch()
    again = "leave one Unbatch out" if name == "Unbatch" else f"apply {name} to the batches before"
    for label, each in results._asdict().items():
        with refused(f"(?s){name} expects .* InstanceBatch, found the records of Unbatch.*{again}"):
            _ = each | label >> TAKE_BATCHES[name]()
    with refused("found the records of Unbatch"):
        _ = results | "All" >> beam.Flatten() | "Flat" >> TAKE_BATCHES[name]()
    written = predicted(beam.Pipeline()) | "Write" >> bbp.WriteResults(tmp_path)
    for files in (written, beam.Pipeline() | bbp.BatchPredict(job)):
        with refused(f"(?s)found published files.*apply {name} to the batches that are written"):
            _ = files | "Then" >> TAKE_BATCHES[name]()


def test_records_of_a_step_of_the_user_are_rows():
    records = (predicted(beam.Pipeline()) | bbp.Unbatch()).predictions
    rows = records | beam.Map(lambda record: record["instance"])
    batches = rows | "Again" >> bbp.BatchInstances() | "Second" >> bbp.Predict(MODEL)
    _ = batches | "Last" >> bbp.Unbatch()


def halves(p):
    return predicted(p) | beam.Partition(lambda batch, count: 0, 2)


@pytest.mark.parametrize("name", TAKE_BATCHES)
@pytest.mark.parametrize(
    "several", [lambda p: {"a": predicted(p)}, lambda p: [predicted(p)], halves]
)
def test_several_collections_are_to_be_flattened(name, several):
    with refused(f"apply {name} to each PCollection, or .*collections . beam.Flatten"):
        _ = several(beam.Pipeline()) | "Then" >> TAKE_BATCHES[name]()


def test_an_unbounded_collection_is_not_written(tmp_path):
    ticks = beam.Pipeline() | PeriodicImpulse() | beam.Map(lambda at: {"x": at})
    results = ticks | bbp.BatchInstances() | bbp.Predict(MODEL)
    with refused("(?s)WriteResults publishes when all rows are written.*unbounded.*Unbatch"):
        _ = results | bbp.WriteResults(tmp_path)
    _ = results | bbp.Unbatch()


def read(p, directory):
    (directory / "in.jsonl").write_text("1.0\n")
    return p | bbp.ReadInstances(bbp.JsonLines(str(directory / "in.jsonl")))


FIRST = {
    "files": lambda p, directory, model: read(p, directory),
    "converted files": lambda p, directory, model: read(p, directory) | bbp.ConvertInstances(),
    "rows": lambda p, directory, model: p | beam.Create(["bad"]) | bbp.BatchInstances(),
    "converted rows": lambda p, directory, model: (
        p | beam.Create([{"x": 1.0}]) | bbp.ConvertInstances()
    ),
    "predictions": lambda p, directory, model: predicted(p, model),
}

NOT_PREDICTED = "(?s)no predictions.*put Predict before "
NOT_CONVERTED = "(?s)no predictions.*put ConvertInstances and Predict before "
CONVERTED = "(?s)instances already.*leave one step out: ConvertInstances takes the batches of Read"

WRONG_STATES = {
    ("files", "Predict"): "(?s)not been converted.*put ConvertInstances between ReadInstances and",
    ("files", "Unbatch"): NOT_CONVERTED + "Unbatch",
    ("files", "WriteResults"): NOT_CONVERTED + "WriteResults",
    ("converted files", "ConvertInstances"): CONVERTED,
    ("converted files", "Unbatch"): NOT_PREDICTED + "Unbatch",
    ("converted files", "WriteResults"): NOT_PREDICTED + "WriteResults",
    ("rows", "ConvertInstances"): CONVERTED,
    ("rows", "Unbatch"): NOT_PREDICTED + "Unbatch",
    ("rows", "WriteResults"): NOT_PREDICTED + "WriteResults",
    ("converted rows", "ConvertInstances"): CONVERTED,
    ("converted rows", "Unbatch"): NOT_PREDICTED + "Unbatch",
    ("converted rows", "WriteResults"): NOT_PREDICTED + "WriteResults",
    ("predictions", "ConvertInstances"): CONVERTED,
    ("predictions", "Predict"): "(?s)is predicted already.*Unbatch and BatchInstances between",
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("name", ["ConvertInstances", *TAKE_BATCHES])
def test_a_step_at_the_wrong_position_is_refused_when_the_pipeline_is_built(first, name, tmp_path):
    step = {**TAKE_BATCHES, "ConvertInstances": bbp.ConvertInstances}[name]
    batches = FIRST[first](beam.Pipeline(), tmp_path, MODEL)
    shuffled = batches | "Shuffle" >> beam.Reshuffle()
    windowed = shuffled | "Window" >> beam.WindowInto(FixedWindows(10))
    other = batches.pipeline | "Other" >> beam.Create([]).with_output_types(bbp.InstanceBatch)
    found = (batches, windowed, (other, windowed) | beam.Flatten())
    for label, each in zip("ABC", found, strict=True):
        if (first, name) in WRONG_STATES:
            with refused(WRONG_STATES[first, name]):
                _ = each | label >> step()
        else:
            _ = each | label >> step()


@pytest.mark.parametrize(("first", "name"), WRONG_STATES)
def test_a_step_at_the_wrong_position_is_refused_by_the_worker(
    first, name, pipeline, tiny_model, tmp_path
):
    steps = {
        "ConvertInstances": bbp.ConvertInstances,
        "Predict": lambda: bbp.Predict(tiny_model),
        "Unbatch": bbp.Unbatch,
        "WriteResults": lambda: bbp.WriteResults(tmp_path),
    }
    p = pipeline()
    batches = FIRST[first](p, tmp_path, tiny_model)
    _ = batches | "Own" >> beam.Map(hinted) | "Last" >> steps[name]()
    with pytest.raises(Exception, match=WRONG_STATES[first, name]):
        p.run()


@pytest.mark.parametrize("name", ["Unbatch", "WriteResults"])
def test_a_batch_that_lost_predictions_is_refused(name, pipeline, tiny_model, tmp_path):
    step = {"Unbatch": bbp.Unbatch, "WriteResults": lambda: bbp.WriteResults(tmp_path)}[name]
    p = pipeline()
    rows = p | beam.Create([1.0, 2.0, "bad"]) | bbp.BatchInstances() | bbp.Predict(tiny_model)
    lost = rows | "Lose" >> beam.Map(lambda batch: dataclasses.replace(batch, predictions=()))
    _ = lost | step()
    message = "1 predictions and errors for 3 rows"
    with pytest.raises(Exception, match=f"{name} expects one outcome for each row.*{message}"):
        p.run()


def test_batches_without_rows_are_in_no_state(pipeline, tiny_model, tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    p = pipeline()
    batches = p | bbp.ReadInstances(bbp.JsonLines(str(tmp_path / "in.jsonl")))
    results = batches | "Own" >> beam.Map(hinted) | bbp.Predict(tiny_model) | bbp.Unbatch()
    assert_that(results.predictions, equal_to([]))
    p.run()


def predicted(p, model=MODEL):
    return p | "Rows" >> beam.Create([1.0]) | bbp.BatchInstances() | bbp.Predict(model)


@pytest.mark.parametrize("then", [lambda: beam.Map(print), lambda: "Show" >> beam.Map(print)])
def test_three_outputs_are_not_one_collection(then):
    outputs = r"(?s)Unbatch gives three PCollections.*\.predictions.*\.errors.*\.unread"
    with refused(outputs):
        _ = predicted(beam.Pipeline()) | bbp.Unbatch() | then()
    with refused(outputs):
        _ = predicted(beam.Pipeline()) | "Records" >> (bbp.Unbatch() | then())
    with refused(outputs):
        _ = predicted(beam.Pipeline()) | bbp.Unbatch() | bbp.WriteResults("out")


def test_the_outputs_can_be_flattened_and_unpacked(pipeline, tiny_model):
    with pipeline() as p:
        rows = p | beam.Create([1.0, "a"]) | bbp.BatchInstances() | bbp.Predict(tiny_model)
        results = rows | bbp.Unbatch()
        predictions, errors, unread = results
        assert (predictions, errors) == (results.predictions, results.errors)
        assert unread == results.unread
        records = results | "All" >> beam.Flatten() | beam.Map(lambda record: record["instance"])
        assert_that(records, equal_to([1.0, "a"]))
