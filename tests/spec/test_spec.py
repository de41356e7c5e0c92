"""The neutral description: what it refuses, and the names it finds."""

import pathlib
import subprocess
import sys

import pytest

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.spec import (
    BatchPredictSpec,
    BigQuery,
    BigQueryDestination,
    Csv,
    FileList,
    GcsDestination,
    InstanceConfig,
    JsonLines,
    RunOptions,
    SavedModel,
    TfRecord,
)
from beam_batch_predict.spec.instance_config import RESERVED_FIELDS, instance_config_problems

PARTS = JsonLines("in.jsonl"), SavedModel("model"), GcsDestination("out")

REFUSED = [
    (lambda: JsonLines([]), "uris: expected at least one path or URI, found none"),
    (lambda: JsonLines(""), "uris: expected a non-empty string, found ''"),
    (lambda: JsonLines(["a", 5]), "uris: expected a non-empty string, found 5"),
    (lambda: JsonLines(None), "uris: expected strings, found None"),
    (lambda: JsonLines("a", 0), "chunk_bytes: expected a whole number from 1, found 0"),
    (lambda: JsonLines("a", True), "chunk_bytes: expected a whole number from 1, found True"),
    (lambda: JsonLines("a", 1.5), "chunk_bytes: expected a whole number from 1, found 1.5"),
    (lambda: GcsDestination(""), "output_uri_prefix: expected a non-empty string, found ''"),
    (lambda: SavedModel(""), "uri: expected a non-empty string"),
    (lambda: SavedModel("m", ""), "signature_name: expected a non-empty string"),
    (lambda: SavedModel("m", parameters=[1]), "parameters: expected an object of values"),
    (lambda: SavedModel("m", parameters={"": 1}), "parameters: expected an input name with each"),
    (lambda: SavedModel("m", parameters={1: 1}), "parameters: expected an input name with each"),
    (lambda: BatchPredictSpec(*PARTS, batch_size=0), "batch_size: expected a whole number from 1"),
    (
        lambda: BatchPredictSpec(*PARTS, predictions_format="xlsx"),
        "predictions_format: expected one of jsonl, csv, parquet, tf-record; found 'xlsx'",
    ),
    (
        lambda: InstanceConfig("list", included_fields=["a"], excluded_fields=["b", "b"]),
        'InstanceConfig: instance_type: expected "object" or "array", found \'list\'; '
        "excluded_fields: must be empty if included_fields is set; "
        "excluded_fields: names 'b' more than once",
    ),
    (lambda: InstanceConfig(included_fields=[""]), "included_fields: expected a non-empty"),
    (lambda: InstanceConfig(raw_strings="no"), "raw_strings: expected True or False, found 'no'"),
    (
        lambda: InstanceConfig(location_as_key="id"),
        "location_as_key: expected True or False, found 'id'",
    ),
    (lambda: JsonLines(b"a"), "uris: expected strings, found b'a'"),
    (lambda: JsonLines({"a": 1}), "uris: expected strings, found {'a': 1}"),
    (lambda: JsonLines({"a"}), "uris: expected strings, found {'a'}"),
    (lambda: Csv("a", multiline="false"), "multiline: expected True or False, found 'false'"),
    (lambda: TfRecord("a", gzip=1), "gzip: expected True or False, found 1"),
    (lambda: BigQuery(None), "table: expected a string, found None"),
    (lambda: BigQuery("p.d.t", clients="p"), "clients: expected BigQueryClients, found 'p'"),
    (
        lambda: BigQuery("p.d.t", snapshot_time="2026-01-01"),
        "snapshot_time: expected datetime or None, found '2026-01-01'",
    ),
    (lambda: SavedModel(None), "uri: expected a non-empty string, found None"),
    (lambda: SavedModel("m", {"x": 1}), "signature_name: expected a non-empty string, found {'x'"),
    (lambda: SavedModel("m", display_name=3), "display_name: expected a string, found 3"),
    (
        lambda: GcsDestination(["a", "b"]),
        "output_uri_prefix: expected a non-empty string, found ['a', 'b']",
    ),
    (
        lambda: GcsDestination("a", own_directory="no"),
        "own_directory: expected True or False, found 'no'",
    ),
    (
        lambda: GcsDestination("a", file_names="sharded"),
        "file_names: expected FileNames.NUMBERED or FileNames.SHARDED, found 'sharded'",
    ),
    (lambda: BigQueryDestination("p.d", location=3), "location: expected a string, found 3"),
    (lambda: BigQueryDestination("p.d", labels="a=b"), "labels: expected a dict, found 'a=b'"),
    (
        lambda: BigQueryDestination("p.d", clients="p"),
        "clients: expected BigQueryClients, found 'p'",
    ),
    (lambda: RunOptions(resume="false"), "resume: expected True or False, found 'false'"),
    (lambda: RunOptions(chunk_bytes="1"), "chunk_bytes: expected a whole number from 1, found '1'"),
    (lambda: RunOptions(key="id"), 'key: expected "location" or "field:NAME", found \'id\''),
    (lambda: RunOptions(key=None), "key: expected a string, found None"),
    (lambda: RunOptions(max_failed_fraction=9), "max_failed_fraction: expected a number from 0 to"),
    (
        lambda: RunOptions(non_finite="null"),
        "non_finite: expected NonFinite.STRING, NonFinite.NULL",
    ),
    (lambda: RunOptions(model_copies="machine"), "model_copies: expected ModelCopies.AUTO, "),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_values_that_cannot_work_are_refused_by_name(make, message):
    with pytest.raises(InvalidArgument) as error:
        make()
    assert error.value.message.startswith(message)


def test_paths_are_taken_as_text():
    path = pathlib.Path("data") / "a"
    assert JsonLines(path) == JsonLines("data/a")
    assert (
        JsonLines([path, "b"])
        == JsonLines(path for path in (path, "b"))
        == JsonLines(["data/a", "b"])
    )
    assert SavedModel(path) == SavedModel("data/a")
    assert GcsDestination(path) == GcsDestination("data/a")


PROBLEMS = [
    (("object", "id", ["a", "b"], []), []),
    ((None, None, [], ["a"]), []),
    (("array", None, [], []), []),
    (("objects", None, [], []), ["instance_type"]),
    ((None, "", [], []), ["key_field"]),
    ((None, 5, [], []), ["key_field"]),
    ((None, None, ["a"], ["b"]), ["excluded_fields"]),
    ((None, None, ["a", "a"], []), ["included_fields"]),
    ((None, "id", ["a", "id"], []), ["included_fields"]),
    ((None, "id", [], ["id"]), []),
    (("x", "", ["a", "a"], ["b", "b"]), [
        "instance_type", "key_field", "excluded_fields", "included_fields", "excluded_fields",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "names"), PROBLEMS)
def test_every_contradiction_is_found_at_once(arguments, names):
    assert [name for name, _ in instance_config_problems(*arguments)] == names


@pytest.mark.parametrize("field", sorted(RESERVED_FIELDS))
def test_a_field_cannot_be_attached_under_a_name_that_means_something(field):
    with pytest.raises(InvalidArgument, match=f"'{field}' cannot be attached"):
        InstanceConfig(excluded_fields=["x", field])
    assert InstanceConfig(key_field="id", excluded_fields=[field]).attached_fields == ()


def test_one_field_may_stand_alone_and_fields_keep_their_order():
    config = InstanceConfig(excluded_fields="z")
    assert config.excluded_fields == config.attached_fields == ("z",)
    config = InstanceConfig(key_field="id", excluded_fields=["b", "a"])
    assert config.unsent_fields == {"id", "a", "b"}
    assert InstanceConfig(excluded_fields=["b", "a"]).attached_fields == ("b", "a")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("gs://models/penguins/3", "penguins"),
        ("gs://models/penguins/3/1/", "penguins"),
        ("./penguins/", "penguins"),
        ("/a/b/./", "b"),
        ("7", "7"),
        ("gs://bucket", "bucket"),
        ("gs://123/4", "123"),
        (r"C:\models\penguins\3", "penguins"),
        (".", "model"),
        ("/", "model"),
    ],
)
def test_a_model_is_called_after_its_directory_and_not_its_version(uri, name):
    assert SavedModel(uri).display_name == name
    assert SavedModel(uri, display_name="mine").display_name == "mine"


def test_describing_work_imports_neither_beam_nor_tensorflow():
    code = (
        "import sys, beam_batch_predict.spec, beam_batch_predict.encoding.json_text;"
        "print(*{'apache_beam', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == ""


@pytest.mark.parametrize(
    ("source", "config"),
    [
        (FileList("files.txt"), InstanceConfig(key_field="id")),
        (FileList("files.txt"), InstanceConfig(excluded_fields=["id"])),
        (TfRecord("a.tfrecord"), InstanceConfig(instance_type="array")),
        (TfRecord("a.tfrecord", gzip=True), InstanceConfig(instance_type="object")),
    ],
)
def test_a_config_that_means_nothing_in_the_format_is_refused(source, config):
    with pytest.raises(InvalidArgument, match="does not apply to .* instances\n.*leave it out"):
        BatchPredictSpec(source, SavedModel("m"), GcsDestination("out"), config)
    with pytest.raises(InvalidArgument, match="does not apply to .* instances\n.*leave it out"):
        convert(InstanceBatch([], format=source.reader), config)
