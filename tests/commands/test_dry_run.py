"""`--dry-run`: what would be run, and nothing is started."""

import json
import shlex
import subprocess
import sys

import pytest

from beam_batch_predict import cli

JOB = {
    "displayName": "penguins",
    "unmanagedContainerModel": {"artifactUri": "gs://bucket/model"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://bucket/in*"]}},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "gs://bucket/out"},
    },
    "dedicatedResources": {"machineSpec": {"machineType": "n1-standard-4"}, "maxReplicaCount": 4},
    "serviceAccount": "a@b",
}
PLACE = "--project=p-1 --region=us-central1 --temp_location=gs://bucket/tmp"
SUBMIT = (
    "submit penguins_1 --model-dir gs://bucket/model --input-paths gs://bucket/in* "
    "--output-path gs://bucket/out --data-format text"
)


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    """A function that runs a command line with a job file JOB: exit code, result, what was said."""
    path = tmp_path / "job.json"
    monkeypatch.chdir(tmp_path)

    def run(line, **changes):
        path.write_text(json.dumps(JOB | changes))
        try:
            code = cli.main([str(path) if word == "JOB" else word for word in shlex.split(line)])
        except SystemExit as end:
            code = end.code
        return code, *capfd.readouterr()

    return run


def test_the_job_is_the_result_and_options_are_logged(shell, tmp_path):
    code, out, err = shell(f"run --dry-run JOB --runner DataflowRunner {PLACE} --num_workers 2")
    assert code == 0, err
    assert json.loads(out) == JOB
    lines = err.splitlines()
    assert lines[0].startswith("note: serviceAccount: used on Dataflow")
    told = [line.split() for line in lines if line.startswith("--")]
    assert [
        "--machine_type=n1-standard-4",
        "from",
        "dedicatedResources.machineSpec.machineType",
    ] in told
    assert ["--runner=DataflowRunner", "given"] in told
    assert ["--num_workers=2", "given"] in told
    assert ["--service_account_email=a@b", "from", "serviceAccount"] in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.json"]


@pytest.mark.parametrize(
    "line",
    [
        "run JOB --dry-run",
        "run --dry-run JOB",
        "run --dry_run JOB",
        "run JOB --dry_run",
        "run JOB --dry_run --runner=local",
    ],
)
def test_spellings(line, shell):
    code, out, err = shell(line)
    assert (code, json.loads(out)) == (0, JOB), err


def test_paths_that_workers_elsewhere_must_see_are_named(shell):
    model = {"unmanagedContainerModel": {"artifactUri": "/data/model"}}
    _, _, err = shell("run JOB --dry-run --runner=FlinkRunner --flink_master=host:8081", **model)
    note = "note: workers on other machines must share the files of this machine at: /data/model"
    assert note in err.splitlines()
    _, _, err = shell("run JOB --dry-run --runner=FlinkRunner", **model)
    assert "workers on other machines" not in err
    code, _, err = shell(f"run JOB --dry-run --runner=DataflowRunner {PLACE}", **model)
    assert code == 2
    assert "the model is at /data/model" in err
    here = "--dataflow_endpoint=http://localhost:1"
    assert shell(f"run JOB --dry-run --runner=DataflowRunner {PLACE} {here}", **model)[0] == 0


def test_submit_tells_options_too(shell):
    code, out, err = shell(
        f"{SUBMIT} --dry-run --region us-east1 --project p-1 --max-worker-count 3 --labels a=b "
        "--runner DataflowRunner --temp_location gs://bucket/tmp --async"
    )
    assert code == 0, err
    job = json.loads(out)
    assert job["predictionInput"]["maxWorkerCount"] == "3"
    told = [line.split() for line in err.splitlines()]
    assert ["--max_num_workers=3", "from", "predictionInput.maxWorkerCount"] in told
    assert ["--region=us-east1", "given"] in told
    assert ["--labels=a=b", "from", "labels.a"] in told
    assert "note: --async: accepted, not used: the command ends with the job" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --dry-run JOB --runner=DataflowRunner", "--project: required"),
        (f"run --dry-run JOB --runner=DataflowRunner {PLACE} --num_workers=9", "maxReplicaCount"),
        ("run --dry-run JOB --chunk_bytes=0", "--chunk_bytes"),
        ("run --dry-run JOB --key=field:a", "instanceConfig.keyField"),
        ("run --dry-run JOB --direct_num_worker=2", "did you mean --direct_num_workers?"),
        ("run --dry-run JOB --model_copies=two", "--model_copies"),
        (f"{SUBMIT} --dry-run --runner=DataflowRunner", "--temp_location: required"),
        (
            f"{SUBMIT.replace('gs://bucket/model', 'model')} --dry-run --runner=DataflowRunner "
            f"{PLACE}",
            "the model is at model",
        ),
    ],
)
def test_what_a_run_would_refuse_is_refused(line, words, shell):
    code, out, err = shell(line)
    assert (code, out) == (2, "")
    assert words in err


def test_a_model_that_is_named_is_not_looked_up(shell):
    job = {"model": "projects/p-1/locations/us-east1/models/5", "unmanagedContainerModel": None}
    code, out, err = shell(
        "run --dry-run JOB --runner=DataflowRunner --temp_location=gs://bucket/tmp", **job
    )
    assert code == 0, err
    assert json.loads(out)["model"] == job["model"]
    told = [line.split() for line in err.splitlines()]
    assert ["--project=p-1", "from", "model"] in told
    assert ["--region=us-east1", "from", "model"] in told


def test_neither_beam_nor_tensorflow_is_needed_to_show_a_local_run(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    line = f"run --dry-run {tmp_path}/job.json --model_copies=machine"
    flags = f"run --dry-run {tmp_path}/job.json --runner=DataflowRunner {PLACE}"
    code = (
        "import sys; from beam_batch_predict import cli; "
        f"assert cli.main({line.split()!r}) == 0; "
        "assert 'apache_beam' not in sys.modules; "
        f"assert cli.main({flags.split()!r}) == 0; "
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
