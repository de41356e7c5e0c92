"""What docs/models.md says is run, in order, and what it shows is what comes out."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from beam_batch_predict.registry.names import parse_model_name
from beam_batch_predict.registry.versions_file import parse_pins

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "models.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each command of the page prints, by command, with the text that the page shows."""
    directory = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", directory / "examples")
    (directory / "bin").mkdir()
    program = directory / "bin" / "beam-batch-predict"
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m beam_batch_predict "$@"\n'
    )
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("BEAM_BATCH_PREDICT_MODEL_REGISTRY", None)

    def run(command):
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done

    found = {}
    command = ""
    for language, text in BLOCKS:
        if language == "json":
            (directory / "job.json").write_text(text)
        elif language == "python":
            run([sys.executable, "-c", text])
        elif language == "text":
            found[command]["shown"] = text
        elif language == "sh":
            for command in text.splitlines():
                done = run(["sh", "-c", command])
                found[command] = {"out": done.stdout, "err": done.stderr}
    return found


@pytest.mark.slow
def test_commands_print_what_the_page_shows(outputs):
    shown = [each for each in outputs.values() if "shown" in each]
    assert len(shown) == PAGE.count("```text") == 2
    for each in shown:
        assert each["out"] == each["shown"]


@pytest.mark.slow
def test_the_job_of_the_page_runs_on_the_version_that_it_names(outputs):
    (run,) = (each for command, each in outputs.items() if " run " in command)
    record = json.loads(run["out"])
    assert record["modelVersionId"] == "1"
    assert record["completionStats"]["successfulCount"] == "333"
    assert "note: model: penguins@1 is models/penguins/1.\n" in run["err"]


@pytest.mark.slow
def test_json_of_the_page_is_for_programs(outputs):
    listed, described = (json.loads(e["out"]) for c, e in outputs.items() if "--json" in c)
    assert [model["name"] for model in listed["models"]] == ["penguins"]
    assert described["version"] == "2"


def test_names_of_the_page_are_names():
    section = PAGE.split("### Names")[1].split("###")[0]
    names = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert len(names) == 5
    for name in names:
        assert parse_model_name(name.replace("/L/", "/l/")).model == "penguins"


def test_the_file_of_pins_is_one():
    (text,) = (text for language, text in BLOCKS if language == "yaml")
    pins = parse_pins(text.encode(), "versions.yaml")
    assert pins.default == 2
    assert pins.aliases == {"stable": 2, "candidate": 3, "v1": 1}
