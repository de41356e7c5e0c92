"""The flex template's metadata: what Dataflow and its form read, and what the main takes."""

import importlib.util
import itertools
import json
import pathlib
import re

import pytest
from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

from beam_batch_predict.cli.job_flags import FIELDS
from beam_batch_predict.cli.job_from_flags import job_from_fields
from beam_batch_predict.cli.options import GROUPS, OPTIONS

ROOT = pathlib.Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"

PAGE = ROOT / "docs" / "flex-template.md"

FIELD_NAMES = {field.name for field in FIELDS}


def written():
    return json.loads((TEMPLATES / "metadata.json").read_text())


def parameters():
    return {parameter["name"]: parameter for parameter in written()["parameters"]}


def example_of(parameter):
    return parameter["helpText"].rpartition(" Example: ")[2]


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_metadata", TEMPLATES / "make_metadata.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_file_is_what_the_options_give(generator):
    made = (TEMPLATES / "metadata.json").read_text()
    assert made == generator.text(), "run: python templates/make_metadata.py"


def test_the_committed_table_is_what_the_fields_give(generator):
    made = PAGE.read_text()
    assert made == generator.page(made), "run: python templates/make_metadata.py"
    with pytest.raises(ValueError, match="parameters: begin"):
        generator.page("# A page without markers")


def test_dataflow_knows_every_field_of_it():
    parsed = json_format.ParseDict(written(), dataflow_v1beta3.TemplateMetadata.pb()())
    assert len(parsed.parameters) == len(written()["parameters"])
    for parameter in parsed.parameters:
        # What google.dataflow.v1beta3 says is required.
        assert parameter.name
        assert parameter.label
        assert parameter.help_text


def test_its_parameters_are_the_job_file_the_fields_of_a_job_and_the_options():
    names = [parameter["name"] for parameter in written()["parameters"]]
    assert sorted(names) == sorted(["job", *FIELD_NAMES, *(option.name for option in OPTIONS)])


def test_the_docs_name_every_parameter():
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert documented == [name for name in parameters() if name == "job" or name in FIELD_NAMES]
    # Options of a run are in command-line.md: tests/docs/test_pages.py.
    assert "command-line.md" in PAGE.read_text()


def test_none_is_required_for_a_job_file_and_fields_are_two_ways():
    assert all(parameter["isOptional"] for parameter in written()["parameters"])


def test_what_a_form_fills_in_goes_with_a_job_file():
    filled_in = {name for name, parameter in parameters().items() if "defaultValue" in parameter}
    assert filled_in
    assert not filled_in & FIELD_NAMES


def test_the_default_of_an_option_is_taken_by_it():
    of_form = parameters()
    for option in OPTIONS:
        default = of_form[option.name].get("defaultValue", "")
        assert option.parse(default) == option.default if default else option.default in ("", None)


def test_groups_stand_together_and_in_their_order():
    names = [parameter["groupName"] for parameter in written()["parameters"]]
    assert [name for name, _ in itertools.groupby(names)] == [
        group for group in GROUPS if group in names
    ]


def test_labels_tell_parameters_apart():
    labels = [parameter["label"] for parameter in written()["parameters"]]
    assert len(set(labels)) == len(labels)
    assert all(label[0].isupper() and len(label) <= 40 for label in labels)


def test_help_needs_no_other_page():
    for name, parameter in parameters().items():
        text = parameter["helpText"]
        assert re.match(r"[A-Z].{15,}", text), name
        assert example_of(parameter), name
        # Neither flags nor names of fields in a job file: a form has labels.
        words = text.rpartition(" Example: ")[0].replace("saved_model.pb", "")
        assert not re.search(r"--\w|\b[a-z]+[A-Z]\w*|\b[a-z]+_[a-z]+", words), (name, words)


def test_regexes_match_defaults_examples_and_nothing_at_all():
    for name, parameter in parameters().items():
        for regex in parameter.get("regexes", []):
            assert re.match(r"\^.*\$$", regex), name
            for value in ("", parameter.get("defaultValue", ""), example_of(parameter)):
                assert re.search(regex, value), (name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("job", "job.json"),
        ("job", "gs://bucket"),
        ("model_uri", "/home/me/model"),
        ("output_uri_prefix", "bucket/out"),
        ("batch_size", "many"),
        ("batch_size", "-1"),
        ("chunk_bytes", "64MB"),
        ("max_failed_fraction", "5%"),
        ("key", "id"),
        ("kms_key_name", "my-key"),
        ("input_table", "a table"),
        ("display_name", "x" * 129),
    ],
)
def test_a_form_refuses_what_cannot_work(name, value):
    (regex,) = parameters()[name]["regexes"]
    assert not re.search(regex, value)


def test_enums_have_the_values_that_are_taken():
    of_form = parameters()
    for option in OPTIONS:
        for choice in of_form[option.name].get("enumOptions", []):
            option.parse(choice["value"])
    for name, parameter in of_form.items():
        assert (parameter["paramType"] == "ENUM") == ("enumOptions" in parameter), name
        if "enumOptions" in parameter:
            values = [choice["value"] for choice in parameter["enumOptions"]]
            assert example_of(parameter) in values
            assert parameter.get("defaultValue", values[0]) in values
            assert all(choice["label"] for choice in parameter["enumOptions"])


def test_types_are_those_of_the_values():
    types = {name: parameter["paramType"] for name, parameter in parameters().items()}
    assert types["job"] == "GCS_READ_FILE"
    assert types["model_uri"] == "GCS_READ_FOLDER"
    assert types["output_uri_prefix"] == "GCS_WRITE_FOLDER"
    assert types["input_table"] == "BIGQUERY_TABLE"
    assert types["kms_key_name"] == "KMS_KEY_NAME"
    assert types["batch_size"] == "NUMBER"
    for option in OPTIONS:
        if isinstance(option.default, bool):
            assert types[option.name] == "BOOLEAN"
        elif isinstance(option.default, int | float):
            assert types[option.name] == "NUMBER"


def test_a_parameter_that_waits_for_another_waits_for_a_value_that_it_can_have():
    of_form = parameters()
    waiting = [parameter for parameter in of_form.values() if "parentName" in parameter]
    assert {"input_table", "output_table"} <= {parameter["name"] for parameter in waiting}
    for parameter in waiting:
        choices = of_form[parameter["parentName"]]["enumOptions"]
        assert parameter["parentTriggerValues"]
        assert set(parameter["parentTriggerValues"]) <= {choice["value"] for choice in choices}
        # An option goes with a job file too, and that names no parent.
        assert parameter["name"] in FIELD_NAMES


def test_examples_of_options_are_taken_by_them():
    of_form = parameters()
    for option in OPTIONS:
        option.parse(example_of(of_form[option.name]))


def test_examples_of_fields_make_a_job():
    examples = {name: example_of(p) for name, p in parameters().items() if name in FIELD_NAMES}
    two_ways = {"input_uris": "input_table", "model_uri": "model"}
    two_ways["output_uri_prefix"] = "output_table"
    for ways in itertools.product(*two_ways.items()):
        fields = {name: value for name, value in examples.items() if name not in ways}
        del fields["included_fields" if "input_uris" in ways else "excluded_fields"]
        for left_out, format_ in (
            ("input_uris", "instances_format"),
            ("output_uri_prefix", "predictions_format"),
        ):
            if left_out in ways:
                fields[format_] = "bigquery"
        assert job_from_fields(fields).to_json()["labels"] == {"team": "birds", "stage": "test"}
