"""The Terraform example: parameters that the template has, and values that it lets through."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from beam_batch_predict.cli.job_from_flags import job_from_fields

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "templates" / "terraform"
MAIN = (EXAMPLE / "main.tf").read_text()

VALUES = {
    "project": "my-project",
    "region": "us-central1",
    "template": "gs://templates/batch-predict.json",
    "image_repository": "projects/my-project/locations/us-central1/repositories/dataflow",
    "job_name": "penguins-1",
    "input_uris": ["gs://in/a,1.jsonl", "gs://more/*.jsonl"],
    "model_uri": "gs://models/penguins/3",
    "output_uri_prefix": "gs://out/penguins",
    "temp_bucket": "temp",
}

PARAMETERS = re.search(r"^  parameters = (\{.*?^  \})", MAIN, re.MULTILINE | re.DOTALL)[1]


def terraform(*arguments, cwd=EXAMPLE):
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        ["terraform", *arguments],
        cwd=cwd,
        env={**environment, "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def without_providers(tmp_path_factory):
    """A copy of the example without what needs a provider, which has to be downloaded."""
    place = tmp_path_factory.mktemp("terraform")
    shutil.copy(EXAMPLE / "variables.tf", place)
    local_values = re.search(r"^locals \{.*?^\}", MAIN, re.MULTILINE | re.DOTALL)[0]
    outputs = {
        "parameters": PARAMETERS,
        "reads": "local.read_buckets",
        "writes": "local.write_buckets",
    }
    text = [
        local_values,
        *(f"output {json.dumps(k)} {{\n  value = {v}\n}}" for k, v in outputs.items()),
    ]
    (place / "main.tf").write_text("\n".join(text))
    done = terraform("init", "-backend=false", cwd=place)
    assert done.returncode == 0, done.stderr
    return place


def planned(place, **values):
    (place / "values.auto.tfvars.json").write_text(json.dumps({**VALUES, **values}))
    return terraform("plan", "-input=false", "-no-color", "-out=plan", cwd=place)


def test_it_is_formatted():
    done = terraform("fmt", "-check", "-diff")
    assert done.returncode == 0, done.stdout


def test_every_parameter_is_one_of_the_template():
    metadata = json.loads((ROOT / "templates" / "metadata.json").read_text())
    known = {parameter["name"] for parameter in metadata["parameters"]}
    given = re.findall(r"^      (\w+) +=", PARAMETERS, re.MULTILINE)
    assert {"instances_format", "input_uris", "model_uri", "output_uri_prefix"} <= set(given)
    assert set(given) <= known


def test_every_variable_is_explained_and_used():
    text = (EXAMPLE / "variables.tf").read_text()
    others = MAIN + (EXAMPLE / "versions.tf").read_text()
    for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL):
        assert re.search(r'description = ".{10,}"', body), name
        assert f"var.{name}" in others, name


def test_choices_are_those_of_the_template():
    metadata = json.loads((ROOT / "templates" / "metadata.json").read_text())
    text = (EXAMPLE / "variables.tf").read_text()
    for name in ("instances_format", "predictions_format"):
        (parameter,) = (p for p in metadata["parameters"] if p["name"] == name)
        files = {choice["value"] for choice in parameter["enumOptions"]} - {"bigquery"}
        (listed,) = re.findall(rf"\[([^\]]+)\],\s+var.{name}", text)
        assert set(re.findall(r'"(.+?)"', listed)) == files


def test_its_parameters_make_a_job_and_its_account_reaches_the_buckets(without_providers):
    done = planned(without_providers)
    assert done.returncode == 0, done.stderr
    shown = terraform("show", "-json", "plan", cwd=without_providers)
    outputs = json.loads(shown.stdout)["planned_values"]["outputs"]
    values = {name: output["value"] for name, output in outputs.items()}
    assert sorted(values["reads"]) == ["in", "models", "more"]
    assert sorted(values["writes"]) == ["out", "temp"]
    job = job_from_fields(values["parameters"]).to_json()
    assert job["inputConfig"]["gcsSource"]["uris"] == VALUES["input_uris"]
    assert "instanceConfig" not in job


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("region", "us-central1-a"),
        ("template", "batch-predict.json"),
        ("image_repository", "dataflow"),
        ("job_name", "Penguins"),
        ("instances_format", "bigquery"),
        ("input_uris", []),
        ("input_uris", ["in.jsonl"]),
        ("model_uri", "model"),
        ("output_uri_prefix", "out"),
        ("predictions_format", "jsnol"),
        ("max_workers", 0),
    ],
)
def test_a_value_that_cannot_work_is_refused(without_providers, variable, value):
    done = planned(without_providers, **{variable: value})
    assert done.returncode == 1
    assert "Invalid value for variable" in done.stderr
    assert f"var.{variable}" in done.stderr
