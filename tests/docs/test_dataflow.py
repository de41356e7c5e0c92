"""The page on Dataflow, held against the code: its tables, and its commands in a dry run."""

import json
import pathlib
import re
import shlex

import pytest

from beam_batch_predict import cli
from beam_batch_predict.jobs import AiPlatformJob, BatchPredictionJob
from beam_batch_predict.runners.dataflow.options import dataflow_options

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "dataflow.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
KEY = "projects/p/locations/us-east1/keyRings/r/cryptoKeys/k"
MODEL = "projects/p-1/locations/us-east1/models/5"

VERTEX = BatchPredictionJob.parse(
    {
        "displayName": "penguins",
        "model": MODEL,
        "dedicatedResources": {
            "machineSpec": {"machineType": "n1-standard-4", "acceleratorType": "NVIDIA_L4"},
            "startingReplicaCount": 2,
            "maxReplicaCount": 5,
        },
        "serviceAccount": "a@b",
        "labels": {"a": "b"},
        "encryptionSpec": {"kmsKeyName": KEY},
    }
)
AI_PLATFORM = AiPlatformJob.parse(
    {
        "jobId": "penguins_1",
        "predictionInput": {
            "modelName": "projects/p-1/models/m",
            "region": "us-east1",
            "maxWorkerCount": 5,
            "accelerator": {"type": "nvidia-l4"},
        },
        "labels": {"a": "b"},
    }
)
_OF_SEVERAL = {"autoscaling_algorithm", "experiments", "number_of_worker_harness_threads"}


@pytest.mark.parametrize(("job", "table"), [(VERTEX, 0), (AI_PLATFORM, 1)])
def test_the_tables_have_every_field_and_its_option(job, table):
    text = PAGE.split("| field | option |")[1 + table].split("\n\n")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines()[2:]]
    said = {
        (field, option.strip(" `-"))
        for fields, option in rows
        for field in re.findall(r"`([\w.]+)`", fields)
    }
    planned = dataflow_options(job.resources, {"temp_location": "gs://bucket/tmp"})
    assert planned.violations == ()
    follows = {
        (option.source.split("labels.")[0] or "labels", option.name)
        for option in planned.options
        if option.name not in _OF_SEVERAL
    }
    assert follows <= said
    # The other places that project and region may come from.
    assert {field for field, _ in said - follows} <= {"name", "predictionInput.versionName"}


@pytest.fixture
def job_file(tmp_path, monkeypatch):
    """A job at job.json, in the directory that commands run in."""
    monkeypatch.chdir(tmp_path)
    job = {
        "displayName": "penguins",
        "unmanagedContainerModel": {"artifactUri": "gs://my-bucket/model"},
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://my-bucket/in"]}},
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": "gs://my-bucket/out"},
        },
        "dedicatedResources": {
            "machineSpec": {"machineType": "n1-standard-4"},
            "startingReplicaCount": 2,
            "maxReplicaCount": 5,
        },
    }
    (tmp_path / "job.json").write_text(json.dumps(job))


@pytest.mark.usefixtures("job_file")
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_taken(command, capfd):
    program, *arguments = shlex.split(command)
    assert program == "beam-batch-predict"
    assert cli.main([*arguments, "--dry-run"]) == 0, capfd.readouterr().err


@pytest.mark.usefixtures("job_file")
def test_a_dry_run_prints_what_the_page_shows(capfd):
    (command,) = (command for command in COMMANDS if "--max_num_workers" in command)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert cli.main(shlex.split(command)[1:]) == 0

    def without_time(text):
        return re.sub(r"penguins-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}", "penguins-…", text)

    assert without_time(capfd.readouterr().err) == without_time(printed)
