"""The main of a template and of Beam users: a job file, or the fields of a job one by one."""

import io
import itertools
import json
import sys
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict import cli
from beam_batch_predict.cli.flag_values import entries
from beam_batch_predict.cli.job_flags import FIELDS
from beam_batch_predict.cli.job_from_flags import check_one_way, job_from_fields
from beam_batch_predict.cli.options import OPTIONS
from beam_batch_predict.errors import InvalidArgument, InvalidJob
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runners.pipeline_options import takes_value
from pipelines import batch_predict

LEAST = {
    "instances_format": "jsonl",
    "input_uris": "gs://b/in/*.jsonl",
    "model_uri": "gs://b/model",
    "output_uri_prefix": "gs://b/out",
}


@pytest.fixture
def main(capfd):
    """A function that runs the main: exit code, standard output and standard error."""

    def run(*arguments, environment=None):
        code = batch_predict.main(arguments, environment or {})
        return code, *capfd.readouterr()

    return run


def flags(fields):
    return [f"--{name}={value}" for name, value in fields.items()]


def job_of(**fields):
    return job_from_fields({**LEAST, **fields}).to_json()


def complaints(fields):
    with pytest.raises(InvalidJob) as refused:
        job_from_fields(fields)
    return {violation.path: violation.message for violation in refused.value.violations}


# -- the job that fields make --


def test_the_fields_make_the_job_that_a_file_would():
    fields = {
        "display_name": "penguins",
        "instances_format": "jsonl",
        "input_uris": "gs://b/a,gs://b/c/*",
        "instance_type": "object",
        "key_field": "id",
        "excluded_fields": "a,b",
        "model": "penguins@2",
        "model_parameters": '{"t": 0.5, "names": ["x"]}',
        "batch_size": "16",
        "predictions_format": "csv",
        "output_uri_prefix": "gs://b/out/",
        "kms_key_name": "projects/p/locations/us/keyRings/r/cryptoKeys/k",
        "job_labels": "team=birds,stage=test",
        "accelerator_type": "NVIDIA_L4",
        "accelerator_count": "2",
    }
    document = {
        "displayName": "penguins",
        "model": "penguins@2",
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": ["gs://b/a", "gs://b/c/*"]},
        },
        "instanceConfig": {
            "instanceType": "object",
            "keyField": "id",
            "excludedFields": ["a", "b"],
        },
        "modelParameters": {"t": 0.5, "names": ["x"]},
        "outputConfig": {
            "predictionsFormat": "csv",
            "gcsDestination": {"outputUriPrefix": "gs://b/out/"},
        },
        "dedicatedResources": {
            "machineSpec": {"acceleratorType": "NVIDIA_L4", "acceleratorCount": 2}
        },
        "manualBatchTuningParameters": {"batchSize": 16},
        "labels": {"team": "birds", "stage": "test"},
        "encryptionSpec": {"kmsKeyName": "projects/p/locations/us/keyRings/r/cryptoKeys/k"},
    }
    assert job_from_fields(fields) == read_job(document)
    left = {f.name for f in FIELDS} - fields.keys()
    assert left == {"input_table", "output_table", "included_fields", "model_uri"}


def test_what_is_left_out_is_left_out_of_the_job_too():
    assert job_of() == {
        "displayName": "batch-prediction",
        "unmanagedContainerModel": {"artifactUri": "gs://b/model"},
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": ["gs://b/in/*.jsonl"]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": "gs://b/out"},
        },
    }


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("p.d.t", "bq://p.d.t"),
        ("p:d.t", "bq://p.d.t"),
        ("bq://p.d.t", "bq://p.d.t"),
        (" p.d.t\n", "bq://p.d.t"),
        ("example.com:p.d.t", "bq://example.com:p.d.t"),
        ("example.com:p:d.t", "bq://example.com:p.d.t"),
    ],
)
def test_tables_are_taken_as_every_tool_of_google_writes_them(given, uri):
    fields = {"input_table": given, "output_table": given, "model_uri": "gs://b/m"}
    job = job_from_fields(fields).to_json()
    assert job["inputConfig"] == {
        "instancesFormat": "bigquery",
        "bigquerySource": {"inputUri": uri},
    }
    assert job["outputConfig"] == {
        "predictionsFormat": "bigquery",
        "bigqueryDestination": {"outputUri": uri},
    }


@pytest.mark.parametrize(
    ("place", "uri"),
    [("p", "bq://p"), ("p.d", "bq://p.d"), ("p:d", "bq://p.d"), ("a.com:p", "bq://a.com:p")],
)
def test_an_output_may_be_a_dataset_or_a_project(place, uri):
    fields = {"input_table": "p.d.t", "output_table": place, "model_uri": "gs://b/m"}
    output = job_from_fields(fields).to_json()["outputConfig"]
    assert output["bigqueryDestination"] == {"outputUri": uri}


def test_lists_have_commas_or_another_sign_between_their_entries():
    uris = job_of(input_uris="^;^gs://b/a,1.jsonl; gs://b/c.jsonl")["inputConfig"]["gcsSource"]
    assert uris == {"uris": ["gs://b/a,1.jsonl", "gs://b/c.jsonl"]}


@given(st.lists(st.text(st.characters(exclude_characters="^;"), min_size=1), min_size=1))
def test_a_list_has_the_entries_that_went_into_it(wanted):
    assert entries("^;^" + ";".join(wanted)) == wanted


@pytest.mark.parametrize("name", [f.name for f in FIELDS])
@pytest.mark.parametrize("value", ['"', "a\nb", "--x", "{", "$(x)", ",,", "^", "\x00", "é" * 9999])
def test_any_value_of_a_field_is_kept_or_refused_by_its_name(name, value):
    fields = {**LEAST, name: value}
    for one, other in (("input_uris", "input_table"), ("model_uri", "model")):
        if name == other:
            del fields[one]
    if name == "output_table":
        del fields["output_uri_prefix"]
    if name == "accelerator_count":
        fields["accelerator_type"] = "NVIDIA_L4"
    refused = {}
    try:
        job = job_from_fields(fields)
    except InvalidJob as error:
        refused = {violation.path for violation in error.violations}
    kept = not refused and json.dumps(value)[1:-1] in json.dumps(job.to_json())
    assert kept or f"--{name}" in refused


# -- what is wrong with fields --


def test_all_mistakes_are_reported_at_once_by_flag():
    wrong = complaints(
        {
            "instances_format": "jsnol",
            "input_uris": "gs://b/a,,",
            "model": "a/b",
            "model_parameters": "{",
            "batch_size": "many",
            "output_table": "p.d.t.x.y",
            "job_labels": "Team",
            "accelerator_count": "2",
        }
    )
    assert set(wrong) == {
        "--accelerator_type",
        "--batch_size",
        "--input_uris",
        "--instances_format",
        "--job_labels",
        "--model",
        "--model_parameters",
        "--output_table",
    }
    assert "did you mean 'jsonl'" in wrong["--instances_format"]
    assert "EOF while parsing an object at line 1 column 1" in wrong["--model_parameters"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("input_uris", "input_table"),
        ("model_uri", "model"),
        ("output_uri_prefix", "output_table"),
    ],
)
def test_one_of_two_is_needed_and_not_both(one, other):
    without = {name: value for name, value in LEAST.items() if name != one}
    assert complaints(without) == {
        f"--{one}": f"required: exactly one of --{one} and --{other}",
    }
    both = complaints({**LEAST, other: "p.d.t"})
    assert f"expected exactly one of --{one} and --{other}, found both" == both[f"--{one}"]


def test_no_message_has_a_name_that_only_job_files_have():
    values = {field.name: field.example for field in FIELDS}
    values["instances_format"] = "file-list"
    names = [name for name in values if name not in ("job_labels", "display_name")]
    for left_out in [(), *itertools.combinations(names, 1)]:
        fields = {name: value for name, value in values.items() if name not in left_out}
        for path, message in complaints(fields).items():
            assert path.startswith("--"), (path, message)
            for camel in ("gcsSource", "Field", "Format", "Uri", "Config"):
                assert camel not in message


def test_names_in_quotes_are_the_users_own():
    wrong = complaints({**LEAST, "key_field": "keyField", "included_fields": "keyField"})
    assert wrong == {"--included_fields": "names the --key_field 'keyField', never sent"}


@pytest.mark.parametrize("format_", ["jsonl", "bigquery"])
def test_a_format_that_does_not_fit_the_destination_names_the_destination_that_it_needs(format_):
    table = format_ == "jsonl"
    fields = {**LEAST, "instances_format": format_}
    if table:
        del fields["input_uris"]
        fields["input_table"] = "p.d.t"
    needed = "--input_uris" if table else "--input_table"
    assert complaints(fields) == {
        "--instances_format": f"{format_!r} is read from {needed}, which is not set"
    }


# -- the main --


def test_a_job_runs_from_its_fields(main, tiny_model, tmp_path, outcome_in):
    (tmp_path / "in.jsonl").write_text('{"id": "a", "x": 1}\n{"id": "b", "x": 2.5}\n{\n')
    fields = {
        "instances_format": "jsonl",
        "input_uris": str(tmp_path / "in.jsonl"),
        "model_uri": str(tiny_model),
        "key_field": "id",
        "output_uri_prefix": str(tmp_path / "out"),
    }
    left_open = {f.name: "" for f in FIELDS} | {o.name: "" for o in OPTIONS} | {"job": ""}
    code, out, err = main(*flags({**left_open, **fields}))
    assert code == 0, err
    directory = json.loads(out)["outputInfo"]["gcsOutputDirectory"]
    predictions, errors, record = outcome_in(directory)
    assert predictions == [
        {"key": "a", "prediction": 2.0},
        {"key": "b", "prediction": 5.0},
    ]
    assert len(errors) == 1
    assert record["displayName"] == "batch-prediction"


def test_the_command_takes_fields_too_and_values_behind_spaces(capfd):
    arguments = [word for name, value in LEAST.items() for word in (f"--{name}", value)]
    assert cli.main(["run", *arguments, "--key_field", "id", "--dry-run"]) == 0
    assert json.loads(capfd.readouterr().out) == job_of(key_field="id")
    assert cli.main(["run", "job.json", *arguments]) == 2
    assert "by the job file job.json, and by --instances_format" in capfd.readouterr().err


def test_nothing_at_all_says_what_there_could_be(main):
    left_open = {f.name: "" for f in FIELDS} | {o.name: " " for o in OPTIONS} | {"job": ""}
    for arguments in ([], flags(left_open)):
        code, out, err = main(*arguments)
        assert (code, out) == (2, "")
        assert "there is no job" in err
        assert "--input_uris or --input_table" in err


def test_a_job_file_with_fields_beside_it_is_refused_with_both_named(main, tmp_path):
    code, out, err = main("--job=gs://b/job.json", "--key_field=id", "--model_uri=gs://b/m")
    assert (code, out) == (2, "")
    assert "by the job file gs://b/job.json, and by --key_field, --model_uri" in err


def test_every_field_beside_a_job_file_is_refused():
    for field in FIELDS:
        with pytest.raises(InvalidArgument, match=f"by --{field.name}\\n") as refused:
            check_one_way("job.json", {field.name: field.example})
        assert "job.json" in refused.value.message


def test_options_of_a_run_go_with_a_job_file(main, tmp_path):
    code, _, err = main("--job=nothing-here.json", "--chunk_bytes=1", "--key=location")
    assert code == 2
    assert "the job file nothing-here.json cannot be read" in err


@pytest.mark.parametrize("job", ["--x", "-", "-h"])
def test_a_job_file_is_no_flag(capfd, job):
    with pytest.raises(SystemExit) as ended:
        batch_predict.main([f"--job={job}"], {})
    assert ended.value.code == 2
    assert "--job: expected a path or a URI" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("flag", "near"), [("--input_uri=a", "--input_uris"), ("--output_uri=a", "--output_uri_prefix")]
)
def test_a_misspelt_field_is_refused_with_the_nearest_name(main, flag, near):
    given = [f for f in flags(LEAST) if not f.startswith(near)]
    code, _, err = main(*given, flag)
    assert code == 2
    assert f"did you mean {near}?" in err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--chunk_bytes=64MB", "--chunk_bytes: expected BYTES, such as 16777216; found '64MB'"),
        ("--resume=maybe", "--resume: expected true|false; found 'maybe'"),
        ("--non_finite=0", "--non_finite: expected string|null|error; found '0'"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_refused_with_one_that_it_does(
    capfd, flag, message
):
    assert batch_predict.main([*flags(LEAST), flag], {}) == 2
    assert message in capfd.readouterr().err


def test_an_unknown_parameter_is_refused(main):
    code, _, err = main(*flags(LEAST), "--wingspan=5")
    assert code == 2
    assert "unknown option --wingspan" in err


@pytest.mark.parametrize("flag", ['--labels={"a": "b"}', "--wingspan=5 cm", "--wing span"])
def test_a_flag_with_a_space_in_it_is_no_job_file(main, flag):
    code, _, err = main(flag)
    assert code == 2
    assert "there is no job" in err or "unknown option --wing" in err
    code, _, err = main(flag, "--job=nothing-here.json")
    assert code == 2
    assert "the job file nothing-here.json" in err


def test_help_has_every_field_and_option_under_its_heading():
    out = io.StringIO()
    with redirect_stdout(out):
        assert batch_predict.main(["--help"], {}) == 0
    text = out.getvalue()
    options = [*FIELDS, *OPTIONS]
    for option in options:
        _, heading, below = text.partition(f"\n{option.group.lower()}:\n")
        assert heading, option.group
        assert f"--{option.name} " in below.split("\n\n")[0]


def test_no_field_has_the_name_of_an_option_of_ours_or_of_beams():
    names = [field.name for field in FIELDS] + [option.name for option in OPTIONS] + ["job"]
    assert len(names) == len(set(names))
    # What Dataflow's launcher sends, for one: --labels, --job_name.
    assert not [name for name in names if takes_value(f"--{name}")]


# -- workers have the image of the launcher --


@pytest.mark.parametrize(
    ("given_flags", "image", "added"),
    [
        ([], "r/i:1", ["--sdk_container_image=r/i:1"]),
        ([], "", []),
        (["--sdk_container_image=other"], "r/i:1", []),
        (["--sdk_container_image", "other"], "r/i:1", []),
        (["--worker_harness_container_image=other"], "r/i:1", []),
    ],
)
def test_the_image_of_a_template_is_its_workers_too(given_flags, image, added):
    assert batch_predict._image(given_flags, {batch_predict.IMAGE: image}) == added


def test_it_is_what_the_process_was_given_where_there_are_no_arguments(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["batch_predict.py", "--job=nothing-here.json"])
    assert batch_predict.main() == 2
    assert "nothing-here.json" in capsys.readouterr().err
