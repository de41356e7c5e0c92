"""The neutral description: what it refuses, and the names it finds."""

import subprocess
import sys

import pytest

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.spec import (
    BatchPredictSpec,
    Csv,
    FileList,
    GcsDestination,
    InstanceConfig,
    JsonLines,
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
    *(
        (lambda text=text: Csv("a", delimiter=text), "delimiter: expected one character such as")
        for text in ("", ";;", "1", "x", '"', "\n", "\r", " ", ".", "-", "\\", "é", None)
    ),
    (lambda: Csv("a", header="no"), "header: expected one of auto, first_row, none, found 'no'"),
    (lambda: InstanceConfig(included_fields=[""]), "included_fields: expected a non-empty"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_values_that_cannot_work_are_refused_by_name(make, message):
    with pytest.raises(InvalidArgument) as error:
        make()
    assert error.value.message.startswith(message)


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
