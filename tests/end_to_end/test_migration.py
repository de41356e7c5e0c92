"""The commands of the guide to migration are run, and its fields are those of the jobs."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from beam_batch_predict import cli
from beam_batch_predict.cli import gcloud_flags
from beam_batch_predict.jobs import AiPlatformJob, BatchPredictionJob, read_job
from beam_batch_predict.jobs.ai_platform.types import PredictionInput, PredictionOutput

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "migration.md").read_text()
REFERENCE = (ROOT / "docs" / "ai-platform.md").read_text()
SUBMIT = "gcloud ai-platform jobs submit prediction"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def commands():
    """The commands of the guide, each on one line."""
    text = "".join(blocks("sh")).replace("\\\n", " ")
    return [re.sub(" +", " ", line) for line in text.splitlines()]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A directory that looks like a checkout, and is the current one."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    )
    monkeypatch.delenv("CLOUDSDK_CORE_PROJECT", raising=False)
    return tmp_path


@pytest.fixture
def enter(checkout, capfd, monkeypatch):
    """A function that does what a command of the guide says: what it prints."""

    def do(command):
        words = shlex.split(command)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
            return ""
        if words[0] == "beam-batch-predict":
            assert cli.main(words[1:]) == 0, capfd.readouterr().err
            return capfd.readouterr().out
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        return done.stdout

    return do


def bytes_of(directory):
    return {path.name: path.read_bytes() for path in directory.glob("prediction.*")}


def test_the_commands_of_the_guide_one_after_the_other(enter, checkout):
    printed = {}
    for command in commands():
        word = command.split()[0]
        if command.startswith(SUBMIT):
            changed = command.replace("gcloud", "beam-batch-predict", 1)
            enter(changed.replace("out/", "changed/"))
        elif word in ("mkdir", "cp", "printf", "export", "sed", "python", "beam-batch-predict"):
            printed[command] = enter(command)
    # One word changed, and the whole of it changed, are the same job.
    before, after = (bytes_of(checkout / name / "flowers_1") for name in ("changed", "out"))
    assert before == after
    assert sorted(before) == [
        "prediction.errors-00000-of-00001",
        "prediction.errors_stats-00000-of-00001",
        "prediction.results-00000-of-00001",
    ]
    (state,) = (text for command, text in printed.items() if command.startswith("python"))
    assert state == "SUCCEEDED\n"
    runs = [json.loads(text) for command, text in printed.items() if " run " in command]
    assert [run["state"] for run in runs] == ["SUCCEEDED", "JOB_STATE_SUCCEEDED"]
    (verified,) = (text for command, text in printed.items() if " verify " in command)
    assert "complete and unchanged" in verified


def test_the_python_of_the_guide(checkout, enter):
    for command in commands():
        if command.split()[0] in ("mkdir", "cp", "printf", "export"):
            enter(command)
    before, after = blocks("python")
    assert "googleapiclient" in before
    exec(compile(after, "migration.md", "exec"), {})
    record = json.loads((checkout / "out" / "flowers_2" / "job.json").read_text())
    assert record["predictionOutput"]["predictionCount"] == "333"
    results = (checkout / "out" / "flowers_2" / "prediction.results-00000-of-00001").read_text()
    assert json.loads(results.splitlines()[0])["key"] == "penguin-001"


def test_a_body_that_the_services_own_sample_makes_runs(checkout, enter):
    for command in commands():
        if command.split()[0] in ("mkdir", "cp", "printf", "export"):
            enter(command)
    names = {}
    exec((ROOT / "tests" / "jobs" / "make_batch_job_body.txt").read_text(), names)
    body = names["make_batch_job_body"](
        "my-project",
        "examples/penguins/data/penguins-1.jsonl,examples/penguins/data/penguins-2*",
        "out/sample",
        "flowers",
        "us-central1",
        version_name="v1",
        max_worker_count=2,
        runtime_version="2.11",
    )
    pathlib.Path("body.json").write_text(json.dumps(body))
    record = json.loads(enter("beam-batch-predict run body.json --key=field:id"))
    assert record["state"] == "SUCCEEDED"
    assert record["jobId"].startswith("my_project_flowers_")
    assert record["predictionOutput"]["predictionCount"] == "333"
    assert record["predictionOutput"]["errorCount"] == "16"


def test_the_function_of_the_guide_replaces_gcloud(checkout):
    (function,) = (block for block in blocks("sh") if block.startswith("gcloud() {"))
    line = f"{SUBMIT} j --model m --input-paths a --output-path b --data-format text --dry-run"
    programs = checkout / "programs"
    programs.mkdir()
    for name, text in (
        ("gcloud", "echo the real one: $1"),
        ("beam-batch-predict", f'exec {sys.executable} -m beam_batch_predict "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    script = f"{function}\n{line}\ngcloud storage ls\n"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    body, _, rest = done.stdout.rpartition("}\n")
    assert json.loads(body + "}")["jobId"] == "j"
    assert rest == "the real one: storage\n"


def test_the_example_is_a_job():
    text = (ROOT / "examples" / "penguins" / "ai_platform_job.json").read_text()
    job = read_job(text)
    assert isinstance(job, AiPlatformJob)
    assert [note.split(":")[0] for note in job.notes] == ["predictionInput.region", "labels"]
    assert job.to_json() == json.loads(text)


def test_every_field_of_a_job_of_ai_platform_is_documented():
    for name in AiPlatformJob.json_names():
        assert re.search(rf"`{name}[`.]", REFERENCE), name
    for cls, field in (
        (PredictionInput, "predictionInput"),
        (PredictionOutput, "predictionOutput"),
    ):
        for name in cls.json_names():
            assert f"`{field}.{name}`" in REFERENCE, name


def test_every_flag_is_documented():
    _, _, section = REFERENCE.partition("## submit")
    for flag in gcloud_flags.FLAGS:
        assert f"`--{flag.name}`" in section, flag.name


@pytest.mark.parametrize(
    ("title", "fields"),
    [
        (
            "## From AI Platform Prediction",
            set(PredictionInput.json_names()) - {"framework", "accelerator"},
        ),
        (
            "## From Vertex AI",
            set(BatchPredictionJob.json_names())
            # Its name and its times need no guide.
            - {"displayName", "name", "state", "createTime", "startTime", "endTime", "updateTime"}
            - {"modelVersionId", "satisfiesPzs", "satisfiesPzi"},
        ),
    ],
)
def test_the_guide_has_every_field_that_a_user_sets(title, fields):
    section = GUIDE.partition(title)[2].partition("\n## ")[0]
    for name in fields:
        assert re.search(rf"`{name}[`.]", section), name
