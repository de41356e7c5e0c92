"""What the page of the flex template says is run, or held against what there is."""

import functools
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import helpers.gcloud
import pytest
from google.cloud import dataflow_v1beta3
from google.protobuf import json_format
from runners.dataflow.stand_in import StandIn

from beam_batch_predict.cli.job_from_flags import job_from_fields
from pipelines import batch_predict

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flex-template.md").read_text()
PARAMETERS = {
    parameter["name"]
    for parameter in json.loads((ROOT / "templates" / "metadata.json").read_text())["parameters"]
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def commands(start):
    found = [line for line in COMMANDS if line.startswith(start)]
    assert found, start
    return found


@pytest.fixture
def gcloud(tmp_path):
    return functools.partial(helpers.gcloud.run, home=tmp_path)


def test_every_command_of_the_page_is_looked_at_here():
    starts = (
        "gcloud artifacts repositories create ",
        "templates/build ",
        "python templates/make_spec.py ",
        "python -m pipelines.batch_predict ",
        "gcloud dataflow flex-template run ",
        "terraform -chdir=templates/terraform fmt ",
    )
    assert [line for line in COMMANDS if not line.startswith(starts)] == []


@pytest.mark.parametrize("line", commands("templates/build"))
def test_the_template_is_built_as_the_page_says(gcloud, line):
    if "--print-only" not in line:
        line += " --print-only"
    done = gcloud(f"{ROOT}/{line}")
    assert done.returncode == 0, done.stderr
    spec = json.loads(done.stdout)
    assert f"--image={spec['image']}" in line
    environment = spec.get("defaultEnvironment", {})
    assert ("--max-workers=20" in line) == (environment.get("maxWorkers") == 20)


@pytest.mark.parametrize("line", commands("gcloud dataflow flex-template run"))
def test_a_launch_of_the_page_asks_for_a_job(tmp_path, line):
    sent = helpers.gcloud.launch(line, tmp_path)
    parameters = sent["parameters"]
    assert set(parameters) <= PARAMETERS
    assert sent["environment"]["maxWorkers"] == 20
    if set(parameters) != {"job"}:
        uris = job_from_fields(parameters).to_json()["inputConfig"]["gcsSource"]["uris"]
        assert uris == ["gs://my-bucket/in/*.jsonl", "gs://my-bucket/more.jsonl"]


def test_the_request_of_the_page_is_one_of_dataflow():
    (block,) = blocks("json")
    message = dataflow_v1beta3.LaunchFlexTemplateRequest.pb()()
    json_format.Parse(block, message)
    assert set(message.launch_parameter.parameters) <= PARAMETERS


def test_the_repository_is_made_with_flags_that_there_are(gcloud):
    (line,) = commands("gcloud artifacts")
    with StandIn() as service:
        endpoint = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY": f"{service.url}/"}
        done = gcloud(line, **endpoint)
    # Of another service it knows nothing, but it was asked.
    assert done.returncode == 1
    assert "no such method: /v1/projects/my-project/locations/us-central1" in done.stderr


def test_flags_of_gcloud_that_the_page_names_are_there(gcloud):
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert {"--launcher-machine-type", "--additional-pipeline-options"} <= named
    ours = (ROOT / "templates" / "build").read_text() + (ROOT / "templates/Dockerfile").read_text()
    help_text = gcloud("gcloud dataflow flex-template run --help").stdout
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", help_text)
    for flag in named:
        assert flag in plain or flag in ours, flag


def test_the_spec_of_the_page_is_made():
    (line,) = commands("python templates/make_spec.py")
    done = subprocess.run(
        [sys.executable, *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["defaultEnvironment"]["maxWorkers"] == 20


def test_the_job_of_the_page_runs_here(tmp_path, monkeypatch, capfd):
    (line,) = commands("python -m pipelines.batch_predict")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    code = batch_predict.main(shlex.split(line)[3:], {})
    out, err = capfd.readouterr()
    assert code == 0, err
    assert json.loads(out)["completionStats"]["successfulCount"] == "333"


def test_the_example_of_terraform_is_formatted_as_the_page_says():
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    (line,) = commands("terraform")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(shlex.split(line), cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0


def test_messages_that_the_page_explains_are_those_that_there_are():
    code = "".join(path.read_text() for path in (ROOT / "beam_batch_predict").rglob("*.py"))
    assert "`the job is given twice`" in PAGE
    assert "the job is given twice" in code
    image = (ROOT / "templates" / "Dockerfile").read_text()
    for argument in ("IMAGE", "LAUNCHER_IMAGE"):
        assert argument in PAGE
        assert f"ARG {argument}" in image
