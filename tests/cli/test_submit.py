"""`submit`: the flags of `gcloud ai-platform jobs submit prediction` and what becomes of them."""

import argparse
import json
import os
import shlex
import subprocess
import sys

import pytest

from beam_batch_predict import cli
from beam_batch_predict.cli import gcloud_flags
from beam_batch_predict.cli.arguments import separate
from beam_batch_predict.errors import InvalidArgument


@pytest.fixture(autouse=True)
def _no_project(monkeypatch):
    for name in ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("BEAM_BATCH_PREDICT_MODEL_REGISTRY", raising=False)


@pytest.fixture
def shell(capfd):
    """A function that runs a command line: exit code, standard output and standard error."""

    def run(line):
        program, *arguments = shlex.split(line)
        assert program == "beam-batch-predict"
        try:
            code = cli.main(arguments)
        except SystemExit as end:
            code = end.code
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def body_of(shell):
    """A function from a command line to the job that it asks for."""

    def ask(line):
        code, out, err = shell(f"{line} --dry-run")
        assert code == 0, err
        return json.loads(out)

    return ask


@pytest.fixture
def complaints_of(shell):
    """A function from a wrong command line to what is said of it."""

    def ask(line):
        code, out, err = shell(f"{line} --dry-run")
        assert (code, out) == (2, "")
        return err

    return ask


FILES = "--input-paths gs://b/in* --output-path gs://b/out --data-format text"
LEAST = f"beam-batch-predict submit job_1 --model-dir gs://b/m {FILES}"


def test_every_flag_has_its_field(body_of):
    line = (
        "beam-batch-predict submit job_1 --model flowers --version v1 --project my-project "
        "--input-paths gs://a/directory/*,gs://a/file.json,gs://a/data* --output-path gs://b/out "
        "--region us-central1 --data-format text --batch-size 128 --max-worker-count 5 "
        "--signature-name raw --runtime-version 2.11 --labels team=research,phase=test "
        "--accelerator-type nvidia-tesla-k80 --accelerator-count 1"
    )
    assert body_of(line) == {
        "jobId": "job_1",
        "predictionInput": {
            "dataFormat": "TEXT",
            "inputPaths": ["gs://a/directory/*", "gs://a/file.json", "gs://a/data*"],
            "outputPath": "gs://b/out",
            "versionName": "projects/my-project/models/flowers/versions/v1",
            "signatureName": "raw",
            "batchSize": "128",
            "maxWorkerCount": "5",
            "region": "us-central1",
            "runtimeVersion": "2.11",
            "accelerator": {"count": "1", "type": "nvidia-tesla-k80"},
        },
        "labels": {"team": "research", "phase": "test"},
    }


def test_the_example_of_the_document_with_one_word_changed(body_of):
    # As a shell hands it on, from the page's own lines.
    variables = {
        "JOB_NAME": "flowers_1",
        "MODEL_NAME": "flowers",
        "INPUT_PATHS": "gs://my-bucket/data/*",
        "OUTPUT_PATH": "gs://my-bucket/predictions",
        "REGION": "us-east1",
        "DATA_FORMAT": "text",
    }
    line = (
        "gcloud ai-platform jobs submit prediction $JOB_NAME --model $MODEL_NAME "
        "--input-paths $INPUT_PATHS --output-path $OUTPUT_PATH --region $REGION "
        "--data-format $DATA_FORMAT"
    )
    for name, value in variables.items():
        line = line.replace(f"${name}", value)
    changed = body_of(line.replace("gcloud", "beam-batch-predict", 1))
    assert changed == body_of(
        line.replace("gcloud ai-platform jobs submit prediction", "beam-batch-predict submit")
    )
    assert changed["jobId"] == "flowers_1"
    assert changed["predictionInput"]["modelName"] == "projects/local/models/flowers"


@pytest.mark.parametrize(
    "group", ["ai-platform", "ml-engine", "beta ai-platform", "alpha ml-engine"]
)
def test_all_groups_of_gcloud_that_had_the_command(group, body_of):
    line = LEAST.replace("submit", f"{group} jobs submit prediction")
    assert body_of(line) == body_of(LEAST)


@pytest.mark.parametrize(
    "words",
    [
        "ai-platform jobs describe job_1",
        "ai-platform jobs submit training job_1",
        "ml-engine predict",
        "beta ai-platform",
    ],
)
def test_other_commands_of_gcloud_are_refused(words, shell):
    code, out, err = shell(f"beam-batch-predict {words}")
    assert (code, out) == (2, "")
    assert "jobs submit prediction is accepted" in err


def test_values_may_follow_an_equals_sign_or_a_space_and_names_have_dashes_or_underscores(body_of):
    spaces = f"{LEAST} --batch-size 8 --signature-name raw"
    assert body_of(spaces) == body_of(
        "beam-batch-predict submit --model-dir=gs://b/m --input-paths=gs://b/in* --batch-size=8 "
        "--output-path=gs://b/out --data-format=text --signature-name=raw job_1"
    )
    assert body_of(spaces) == body_of(
        "beam-batch-predict submit --model_dir gs://b/m --input_paths gs://b/in* --batch_size 8 "
        "--output_path gs://b/out --data_format text --signature_name raw --chunk-bytes 7 job_1"
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("text", "TEXT"),
        ("tf-record", "TF_RECORD"),
        ("tf-record-gzip", "TF_RECORD_GZIP"),
        # As older versions of gcloud had them, and many scripts still do.
        ("TEXT", "TEXT"),
        ("TF_RECORD", "TF_RECORD"),
        ("TF_RECORD_GZIP", "TF_RECORD_GZIP"),
    ],
)
def test_data_formats(given, field, body_of):
    body = body_of(LEAST.replace("--data-format text", f"--data-format {given}"))
    assert body["predictionInput"]["dataFormat"] == field


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--model m", {"modelName": "projects/local/models/m"}),
        ("--model m --version 2", {"versionName": "projects/local/models/m/versions/2"}),
        ("--model projects/p/models/m", {"modelName": "projects/p/models/m"}),
        (
            "--model m --version projects/p/models/m/versions/2",
            {"versionName": "projects/p/models/m/versions/2"},
        ),
        ("--model-dir dir/m", {"uri": "dir/m"}),
    ],
)
def test_ways_to_name_a_model(flags, names, body_of):
    body = body_of(f"beam-batch-predict submit job_1 {flags} {FILES}")["predictionInput"]
    assert {name: body[name] for name in body if name in ("modelName", "versionName", "uri")} == (
        names
    )


@pytest.mark.parametrize(
    ("flag", "environment", "project"),
    [
        ("", {}, "local"),
        ("", {"GOOGLE_CLOUD_PROJECT": "g"}, "g"),
        ("", {"GOOGLE_CLOUD_PROJECT": "g", "CLOUDSDK_CORE_PROJECT": "c"}, "c"),
        ("--project f", {"CLOUDSDK_CORE_PROJECT": "c"}, "f"),
    ],
)
def test_the_project_of_a_model(flag, environment, project, body_of, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    body = body_of(f"beam-batch-predict submit job_1 --model m {flag} {FILES}")
    assert body["predictionInput"]["modelName"] == f"projects/{project}/models/m"


@pytest.mark.parametrize(
    ("flags", "labels"),
    [
        ("--labels a=b", {"a": "b"}),
        ("--labels a=b,c=", {"a": "b", "c": ""}),
        ("--labels a=b --labels c=d", {"a": "b", "c": "d"}),
        ("--labels ^:^a=b:c=d", {"a": "b", "c": "d"}),
    ],
)
def test_labels(flags, labels, body_of):
    assert body_of(f"{LEAST} {flags}")["labels"] == labels


def test_all_mistakes_are_reported_at_once_by_the_names_of_flags(complaints_of):
    err = complaints_of(
        "beam-batch-predict submit 1job --model m --model-dir d --input-paths gs://*/a "
        "--data-format parquet --batch-size x --max-worker-count 0 --labels a,B=c --format yaml"
    )
    for start in (
        "--model: expected exactly one of --model and --model-dir, found both",
        "--data-format: expected one of text, tf-record, tf-record-gzip; found 'parquet'",
        "--format: only json is printed, found 'yaml'",
        "--labels: expected KEY=VALUE, found 'a'",
        "--labels: the key holds 'B'",
        "--batch-size: expected a whole number of 64 bits, found the string 'x'",
        "--max-worker-count: expected a whole number from 1, found 0",
        "JOB_NAME: expected at most 128 letters",
        "--input-paths: expected no wildcard but one * at the end, found 'gs://*/a'",
        "--output-path: required: a directory",
    ):
        assert f"  {start}" in err
    assert "predictionInput" not in err
    assert err.count("--model: ") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "--model: expected exactly one of --model and --model-dir, found none"),
        ("--model-dir d --version 1", "--version: only for --model, not for --model-dir"),
        ("--version 1", "--model: expected exactly one of --model and --model-dir, found none"),
        ("--model a/b", "--model: expected projects/PROJECT/models/MODEL"),
    ],
)
def test_models_that_are_named_wrong(flags, words, complaints_of):
    err = complaints_of(f"beam-batch-predict submit job_1 {flags} {FILES}")
    assert words in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--input-path x", "unknown option --input-path"),
        ("--input-path x", "did you mean --input-paths?"),
        ("--flags-file x", "write its flags on the command line"),
        ("--access-token-file=x", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("--labels a=1,a=2", "the key 'a' is given more than once"),
        ("in/b.json", "unknown argument in/b.json"),
        ("--batch-size=1 in/b.json in/c.json", "quote a pattern of local files"),
    ],
)
def test_flags_that_are_refused(flags, words, complaints_of):
    assert words in complaints_of(f"{LEAST} {flags}")


def test_a_job_without_a_name_is_refused(shell):
    code, _, err = shell("beam-batch-predict submit --dry-run")
    assert code == 2
    assert "JOB_NAME" in err


def parsed(line):
    parser = argparse.ArgumentParser()
    gcloud_flags.add_submit_flags(parser)
    return parser.parse_args(separate("submit", line.split()).ours)


def test_flags_that_do_nothing_say_so():
    [note] = gcloud_flags.notes_of(parsed("job_1 --async -q --verbosity=info --account=me"))
    assert note.startswith("--async, --quiet, --verbosity, --account: accepted, not used: ")
    assert "put & after it" in note
    assert gcloud_flags.notes_of(parsed("job_1 --project=p")) == []


def test_flags_that_beam_has_too_are_handed_on():
    arguments = parsed(
        "job_1 --project p --region r --impersonate-service-account a@b --labels a=b"
    )
    assert gcloud_flags.beam_flags_of(arguments) == [
        "--project=p",
        "--region=r",
        "--impersonate_service_account=a@b",
    ]


def test_help_names_every_flag(shell):
    code, out, _ = shell("beam-batch-predict submit --help")
    assert code == 0
    for flag in gcloud_flags.FLAGS:
        assert f"--{flag.name} " in out or f"--{flag.name}\n" in out, flag.name
    assert "--signature_name" not in out
    assert "--max_failed_fraction" in out


def test_what_is_no_command_of_gcloud_is_left_alone():
    assert gcloud_flags.without_words_of_gcloud([]) == []
    assert gcloud_flags.without_words_of_gcloud(["run", "ai-platform"]) == ["run", "ai-platform"]
    with pytest.raises(InvalidArgument):
        gcloud_flags.without_words_of_gcloud(["ai-platform"])


def test_a_dry_run_imports_no_beam():
    code = (
        "import sys; from beam_batch_predict import cli; "
        f"cli.main({shlex.split(LEAST)[1:] + ['--dry-run']!r}); "
        "assert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=os.environ)


def test_a_submitted_job_runs(shell, tmp_path, tiny_model):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    os.symlink(tiny_model, tmp_path / "models" / "tiny" / "3")
    (tmp_path / "in_1").write_text("1\n2\noops\n")
    (tmp_path / "in_2").write_text("4\n")
    code, out, err = shell(
        f"beam-batch-predict ai-platform jobs submit prediction tiny_1 --model tiny "
        f"--model_registry {tmp_path}/models --runner DirectRunner --async "
        f"--input-paths {tmp_path}/in_* --output-path {tmp_path}/out --region us-central1 "
        "--data-format TEXT --format json --key location"
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["state"] == "SUCCEEDED"
    assert record["predictionOutput"]["predictionCount"] == "3"
    assert record["predictionOutput"]["errorCount"] == "1"
    assert json.loads((tmp_path / "out" / "job.json").read_text()) == record
    (results,) = (tmp_path / "out").glob("prediction.results-*")
    assert [json.loads(line) for line in results.read_text().splitlines()] == [
        {"key": f"{tmp_path}/in_1:0", "y": 2.0},
        {"key": f"{tmp_path}/in_1:2", "y": 4.0},
        {"key": f"{tmp_path}/in_2:0", "y": 8.0},
    ]
    assert f"note: model: tiny@3 is {tmp_path}/models/tiny/3." in err
    assert "note: --async: accepted, not used: the command ends with the job" in err
    assert "SUCCEEDED: 3 rows predicted, 1 failed" in err


def test_a_submitted_job_that_fails_ends_with_1(shell, tmp_path):
    (tmp_path / "in").write_text("1\n")
    code, out, err = shell(
        f"beam-batch-predict submit job_1 --model-dir {tmp_path}/nowhere --input-paths "
        f"{tmp_path}/in --output-path {tmp_path}/out --data-format text"
    )
    assert code == 1
    record = json.loads(out)
    assert record["state"] == "FAILED"
    assert "nowhere" in record["errorMessage"]
    assert f"FAILED: {record['errorMessage']}" in err
