"""Every data format, output and key of AI Platform, through a real model.

What is expected is written out by hand, from the service's documents and our docs.
"""

import gzip
import json
from pathlib import Path

import pytest
from helpers.ai_platform_bodies import body

import beam_batch_predict as bbp
from beam_batch_predict import files
from beam_batch_predict.cli import main
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.examples import takes_examples
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.runs.finish import finish_run
from beam_batch_predict.runs.location import OutputLocation
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.runs.run import now
from beam_batch_predict.sinks.parts.part import PartWriter
from beam_batch_predict.sinks.publish.files import remove_parts
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec import BatchPredictSpec, FileNames, RecordShape

ROWS = [{"id": "a", "x": 1.5}, {"id": 'b "2"', "x": -3.25}, {"id": "c", "x": 0.5}]
LINES = [json.dumps(row) for row in ROWS]
PLAIN_LINES = [json.dumps({"x": row["x"]}) for row in ROWS]
ANSWERS = [3.0, -6.5, 1.0]
LENGTHS = [len(line) for line in LINES]

SOURCES = {
    "JSON": ("in.json", bbp.JsonLines),
    "TEXT": ("in.txt", bbp.JsonLines),
    "TF_RECORD": ("in.tfrecord", bbp.TfRecord),
    "TF_RECORD_GZIP": ("in.tfrecord.gz", lambda uri: bbp.TfRecord(uri, gzip=True)),
}
KEYS = {
    "none": {},
    "field": {"key_field": "id"},
    "location": {"location_as_key": True},
}
CELLS = [(form, output, key) for form in SOURCES for output in ("JSON", "CSV") for key in KEYS]


def write(directory, lines):
    """The lines in all formats."""
    import tensorflow as tf

    for name in ("in.json", "in.txt"):
        (directory / name).write_text("".join(f"{line}\n" for line in lines))
    path = directory / "in.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for line in lines:
            writer.write(line.encode())
    (directory / "in.tfrecord.gz").write_bytes(gzip.compress(path.read_bytes()))


def spec_of(directory, model, signature, form, output, key):
    name, source = SOURCES[form]
    return BatchPredictSpec(
        source(str(directory / name)),
        bbp.SavedModel(model, signature),
        bbp.GcsDestination(
            str(directory / signature / f"{form} {output} {key}"),
            own_directory=False,
            file_names=FileNames.SHARDED,
        ),
        bbp.InstanceConfig(raw_strings=True, **KEYS[key]),
        predictions_format={"JSON": "jsonl", "CSV": "csv"}[output],
        record_shape=RecordShape.OUTPUTS,
    )


def run(spec, caller):
    """The steps of a run, one after the other."""
    takes_string = not takes_examples(caller.model.signature.inputs)
    record = OutputLocation(spec.destination, "", now()).run_in(spec.destination.output_uri_prefix)
    parts = []
    for chunk in chunks_of(spec.source, spec.instances):
        batches = iter(read_chunk(chunk, files.open_file, 2))
        first = next(batches)
        writer = PartWriter(record.parts_directory, first, spec.output, 0.0)
        for batch in (first, *batches):
            converted = convert(batch, spec.instances, takes_string=takes_string)
            writer.write(predict_batch(converted, caller, spec.predict_settings))
        parts.append(writer.commit())
    finish_run(parts, record, spec.output)
    remove_parts(record.parts_directory)


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_model):
    """Where a run of each cell is, with a signature that takes a number and one for a string."""
    directory = tmp_path_factory.mktemp("matrix")
    write(directory, LINES)
    plain = directory / "plain"
    plain.mkdir()
    write(plain, PLAIN_LINES)
    for signature in ("serving_default", "length"):
        caller = ModelCaller(load_model(bbp.SavedModel(tiny_model, signature)))
        for cell in CELLS:
            with_key = signature == "length" or cell[2] == "field"
            at = directory if with_key else plain
            run(spec_of(at, tiny_model, signature, *cell), caller)
    return directory


def key_of(at, form, key, row):
    if key == "field":
        return ROWS[row]["id"]
    return f"{at / SOURCES[form][0]}:{offset_of(at, form, row)}"


def offset_of(at, form, row):
    lengths = map(len, PLAIN_LINES if at.name == "plain" else LINES)
    beside = 1 if form in ("JSON", "TEXT") else 16  # a line end; lengths and checksums
    return sum(length + beside for length in list(lengths)[:row])


def expected_json(at, form, key, name, values):
    keyed = [{} if key == "none" else {"key": key_of(at, form, key, row)} for row in range(3)]
    lines = [json.dumps({**k, name: v}) for k, v in zip(keyed, values, strict=True)]
    return {"prediction.results-00000-of-00001": "".join(f"{line}\n" for line in lines)}


def expected_csv(at, form, key, name, values):
    keys = ["" if key == "none" else key_of(at, form, key, row) for row in range(3)]
    cells = ["" if key == "none" else '"{}",'.format(k.replace('"', '""')) for k in keys]
    rows = [f"{cell}{value}\n" for cell, value in zip(cells, values, strict=True)]
    return {
        "prediction.results_header.csv": f'"{name}"\n' if key == "none" else f'"key","{name}"\n',
        "prediction.results-00000-of-00001.csv": "".join(rows),
    }


EXPECTED = {"JSON": expected_json, "CSV": expected_csv}


def left_in(directory):
    found = {path.name: path.read_text() for path in Path(directory).iterdir()}
    assert found.pop("manifest.json")
    assert found.pop("prediction.errors_stats-00000-of-00001") == ""
    return found


@pytest.mark.parametrize(("form", "output", "key"), CELLS)
def test_numbers_are_what_lines_and_records_say(form, output, key, done):
    at = done if key == "field" else done / "plain"
    found = left_in(at / "serving_default" / f"{form} {output} {key}")
    assert found == EXPECTED[output](at, form, key, "y", ANSWERS)


@pytest.mark.parametrize(("form", "output", "key"), CELLS)
def test_a_lone_string_is_the_line_or_the_record_itself(form, output, key, done):
    found = left_in(done / "length" / f"{form} {output} {key}")
    assert found == EXPECTED[output](done, form, key, "n", LENGTHS)


@pytest.mark.parametrize(
    ("signature", "line", "noted"),
    [
        ("length", '{"s": "hello"}', True),
        ("length", "hello", False),
        ("length", '["hello"]', False),
        ("serving_default", '{"x": 1.5}', False),
    ],
)
def test_a_note_says_that_objects_are_not_parsed(
    signature, line, noted, tmp_path, tiny_model, capfd
):
    (tmp_path / "in.json").write_text(f"\n{line}\n")
    job = body(
        inputPaths=[f"{tmp_path}/in.json"],
        outputPath=f"{tmp_path}/out",
        uri=tiny_model,
        signatureName=signature,
    )
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert main(["run", str(tmp_path / "job.json")]) == 0
    note = (
        'note: the only input of the model, "s", is a string, and so it gets each line as it is, '
        "as in AI Platform: a JSON object is not parsed\n"
    )
    assert (note in capfd.readouterr().err) == noted
