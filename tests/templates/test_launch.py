"""A launch of the flex template: what gcloud sends, and what the launcher makes of it.

The launcher runs the main with each parameter as `--name=value`, and fields of the environment as
options of Beam; the main leaves a job at `--template_location`, which Dataflow starts.
"""

import functools
import json
import os
import pathlib
import shlex
import subprocess
import sys

import helpers.gcloud
import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from beam_batch_predict.cli.options import OPTIONS
from pipelines import batch_predict

ROOT = pathlib.Path(__file__).parents[2]
IMAGE = "us-central1-docker.pkg.dev/my-project/dataflow/batch-predict:0.1.0"

ENVIRONMENT = {
    "numWorkers": "num_workers",
    "maxWorkers": "max_num_workers",
    "machineType": "machine_type",
    "serviceAccountEmail": "service_account_email",
    "network": "network",
    "subnetwork": "subnetwork",
    "kmsKeyName": "dataflow_kms_key",
    "workerZone": "worker_zone",
    "workerRegion": "worker_region",
    "sdkContainerImage": "sdk_container_image",
    "diskSizeGb": "disk_size_gb",
    "autoscalingAlgorithm": "autoscaling_algorithm",
    "flexrsGoal": "flexrs_goal",
    "tempLocation": "temp_location",
    "stagingLocation": "staging_location",
}
"""Options of Beam by the fields of google.dataflow.v1beta3.FlexTemplateRuntimeEnvironment."""


def launcher_flags(name, parameters, environment):
    """What the launcher runs the main with."""
    flags = [f"--{key}={value}" for key, value in parameters.items()]
    flags += [f"--{ENVIRONMENT[k]}={v}" for k, v in environment.items() if k in ENVIRONMENT]
    flags += [f"--experiments={each}" for each in environment.get("additionalExperiments", [])]
    if environment.get("ipConfiguration") == "WORKER_IP_PRIVATE":
        flags.append("--no_use_public_ips")
    labels = {
        "goog-dataflow-provided-template-type": "flex",
        **environment.get("additionalUserLabels", {}),
    }
    flags += [f"--labels={json.dumps(labels)}", f"--job_name={name}"]
    return [*flags, "--runner=DataflowRunner", "--project=my-project", "--region=us-central1"]


@pytest.fixture
def gcloud(tmp_path):
    """A function that runs gcloud's line to launch a template: what Dataflow gets."""
    return functools.partial(helpers.gcloud.launch, home=tmp_path)


@pytest.fixture
def places(tmp_path):
    """Directories in the place of buckets; the launcher's are there already."""
    for name in ("staging", "temp", "template_launches"):
        (tmp_path / name).mkdir()
    (tmp_path / "in.jsonl").write_text('{"id": "a", "x": 1}\n')
    return tmp_path


@pytest.fixture
def launch(places, capfd):
    """A function that does what the launcher does: exit code, the job it finds, and what was said.

    The endpoint of Dataflow is one that no job may be sent to; as its name is localhost, Beam takes
    directories of this machine for buckets.
    """

    def run(flags, image=IMAGE):
        job = places / "template_launches" / "job_object"
        code = batch_predict.main(
            [
                *(each for each in flags if not each.startswith(("--temp_loc", "--staging"))),
                f"--staging_location={places}/staging",
                f"--temp_location={places}/temp",
                f"--template_location={job}",
                "--dataflow_endpoint=http://localhost:1",
                "--no_auth",
            ],
            {batch_predict.IMAGE: image},
        )
        out, err = capfd.readouterr()
        return code, json.loads(job.read_text()) if job.exists() else None, out, err

    return run


def line_of(places, model, **parameters):
    """gcloud's line to launch a job from its fields."""
    fields = {
        "instances_format": "jsonl",
        "input_uris": f"{places}/in.jsonl,{places}/in*.jsonl",
        "model_uri": str(model),
        "key_field": "id",
        "model_parameters": '{"x": 1, "names": "a=b"}',
        "included_fields": "",
        "output_uri_prefix": f"{places}/out",
        "chunk_bytes": "1024",
        **parameters,
    }
    if not fields["model_parameters"]:
        del fields["model_parameters"]
    given = "^~^" + "~".join(f"{name}={value}" for name, value in fields.items())
    return (
        "gcloud dataflow flex-template run penguins-1 --project=my-project --region=us-central1 "
        "--template-file-gcs-location=gs://bucket/batch-predict.json "
        f"--parameters={shlex.quote(given)} --num-workers=2 --max-workers=20 "
        "--worker-machine-type=n2-standard-4 --disable-public-ips "
        "--subnetwork=regions/us-central1/subnetworks/private "
        "--service-account-email=predict@my-project.iam.gserviceaccount.com "
        "--additional-user-labels=team=birds --additional-experiments=enable_prime,use_x "
        "--dataflow-kms-key=projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
    )


def test_what_gcloud_sends_becomes_a_job_that_dataflow_can_start(
    gcloud, launch, places, tiny_model
):
    sent = gcloud(line_of(places, tiny_model, model_parameters=""))
    assert sent["jobName"] == "penguins-1"
    flags = launcher_flags(sent["jobName"], sent["parameters"], sent["environment"])
    code, job, out, err = launch(flags)
    assert code == 0, err

    environment, (pool,) = job["environment"], job["environment"]["workerPools"]
    assert job["name"] == "penguins-1"
    assert job["labels"]["team"] == "birds"
    assert job["labels"]["goog-dataflow-provided-template-type"] == "flex"
    assert environment["serviceAccountEmail"] == "predict@my-project.iam.gserviceaccount.com"
    assert environment["serviceKmsKeyName"].endswith("/k")
    assert {"enable_prime", "use_x"} <= set(environment["experiments"])
    assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (2, 20)
    assert pool["machineType"] == "n2-standard-4"
    assert pool["subnetwork"] == "regions/us-central1/subnetworks/private"
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    images = {each["containerImage"] for each in pool["sdkHarnessContainerImages"]}
    assert images == {pool["workerHarnessContainerImage"]} == {IMAGE}

    # The work that comes after the model is in the graph: nobody waits for the job here.
    graph = beam_runner_api_pb2.Pipeline.FromString((places / "staging/pipeline.pb").read_bytes())
    names = [each.unique_name for each in graph.components.transforms.values()]
    for step in ("Begin", "Plan", "Predict", "WriteResults/Finish"):
        assert f"BatchPredict/{step}" in names

    record = json.loads(out)
    assert record["state"] == "JOB_STATE_PENDING"
    (directory,) = (places / "out").iterdir()
    assert record["outputInfo"]["gcsOutputDirectory"] == str(directory)
    assert len(list(directory.rglob("run.plan"))) == 1
    for word in ("error", "fail", "warn", "traceback", "cancel", "0 rows"):
        assert word not in err.lower(), err


@pytest.mark.slow
def test_the_job_that_a_launch_leaves_comes_to_its_end_by_itself(
    launch, places, tiny_model, outcome_in
):
    fields = {
        "instances_format": "jsonl",
        "input_uris": f"{places}/in.jsonl",
        "model_uri": str(tiny_model),
        "key_field": "id",
        "output_uri_prefix": f"{places}/out",
    }
    (places / "in.jsonl").write_text('{"id": "a", "x": 1}\n{\n{"id": "b", "x": 2}\n')
    code, job, _, err = launch(launcher_flags("job", fields, {}))
    assert code == 0, err
    options = places / "options.json"
    options.write_text(json.dumps(job["environment"]["sdkPipelineOptions"]["options"]))
    run_staged = ROOT / "tests" / "runners" / "dataflow" / "run_staged.py"
    subprocess.run(
        [sys.executable, run_staged, places / "staging" / "pipeline.pb", options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=200,
    )
    (directory,) = (places / "out").iterdir()
    predictions, errors, record = outcome_in(directory)
    assert [row["key"] for row in predictions] == ["a", "b"]
    assert len(errors) == 1
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["successfulCount"] == "2"


def test_a_value_arrives_as_it_was_typed(gcloud, places):
    typed = {
        "model_parameters": '{"x": 1, "names": "a=b, \\"c\\""}',
        "bigquery_row_restriction": "name = 'O''Brien' AND x > 1",
        "display_name": "--penguins, week 21",
    }
    sent = gcloud(line_of(places, "gs://b/model", **typed))
    assert {name: sent["parameters"][name] for name in typed} == typed
    assert sent["parameters"]["included_fields"] == ""


def test_a_launch_from_a_job_file(launch, places, tiny_model):
    (places / "job.json").write_text(
        json.dumps(
            {
                "displayName": "x",
                "unmanagedContainerModel": {"artifactUri": str(tiny_model)},
                "inputConfig": {
                    "instancesFormat": "jsonl",
                    "gcsSource": {"uris": [f"{places}/in.jsonl"]},
                },
                "outputConfig": {
                    "predictionsFormat": "jsonl",
                    "gcsDestination": {"outputUriPrefix": f"{places}/out"},
                },
            }
        )
    )
    # A form sends what it has filled in, and what was left open.
    metadata = json.loads((ROOT / "templates" / "metadata.json").read_text())
    form = {each["name"]: each.get("defaultValue", "") for each in metadata["parameters"]}
    form["job"] = str(places / "job.json")
    code, job, _, err = launch(launcher_flags("from-a-form", form, {}))
    assert code == 0, err
    assert job["name"] == "from-a-form"


def test_an_image_that_the_launch_names_is_the_workers(launch, places, tiny_model):
    flags = [
        "--instances_format=jsonl",
        f"--input_uris={places}/in.jsonl",
        f"--model_uri={tiny_model}",
        f"--output_uri_prefix={places}/out",
    ]
    sent = launcher_flags("job", {}, {"sdkContainerImage": "other/image:2"})
    code, job, _, err = launch([*flags, *sent])
    assert code == 0, err
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == "other/image:2"


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({}, 2, "there is no job"),
        ({"input_uris": "gs://b/a"}, 2, "--model_uri: required"),
        ({"job": "gs://b/job.json", "model_uri": "gs://b/m"}, 2, "the job is given twice"),
        ({"job": "{places}/nothing.json"}, 2, "cannot be read"),
        ({"wingspan": "5", "job": "{places}/nothing.json"}, 2, "cannot be read"),
    ],
)
def test_a_launch_that_cannot_work_says_so_and_leaves_nothing(
    launch, places, parameters, code, message
):
    filled_in = {name: value.format(places=places) for name, value in parameters.items()}
    found, job, out, err = launch(launcher_flags("job", filled_in, {}))
    assert (found, job, out) == (code, None, "")
    assert message in err
    assert not (places / "out").exists()


def test_a_launch_without_input_fails_in_its_record_too(launch, places, tiny_model):
    fields = {
        "instances_format": "jsonl",
        "input_uris": f"{places}/nothing*.jsonl",
        "model_uri": str(tiny_model),
        "output_uri_prefix": f"{places}/out",
    }
    code, job, out, err = launch(launcher_flags("job", fields, {}))
    assert (code, job) == (1, None)
    assert "nothing*.jsonl" in err
    record = json.loads(out)
    assert record["state"] == "JOB_STATE_FAILED"
    assert "nothing*.jsonl" in record["error"]["message"]


def test_every_parameter_and_every_field_of_the_environment_is_taken(capfd):
    metadata = json.loads((ROOT / "templates" / "metadata.json").read_text())
    examples = {
        each["name"]: each["helpText"].rpartition(" Example: ")[2]
        for each in metadata["parameters"]
    }
    others = {
        *("job", "input_table", "model", "output_table", "included_fields", "instance_type"),
        *("bigquery_query", "bigquery_row_restriction", "key"),
    }
    parameters = {name: value for name, value in examples.items() if name not in others}
    parameters["kms_key_name"] = "projects/p-1/locations/us-central1/keyRings/r/cryptoKeys/k"
    environment = {
        "numWorkers": 2,
        "maxWorkers": 20,
        "machineType": "n1-standard-4",
        "serviceAccountEmail": "predict@my-project.iam.gserviceaccount.com",
        "network": "net",
        "subnetwork": "regions/us-central1/subnetworks/private",
        "workerZone": "us-central1-a",
        "sdkContainerImage": IMAGE,
        "diskSizeGb": 50,
        "autoscalingAlgorithm": "THROUGHPUT_BASED",
        "flexrsGoal": "COST_OPTIMIZED",
        "tempLocation": "gs://bucket/temp",
        "stagingLocation": "gs://bucket/staging",
        "ipConfiguration": "WORKER_IP_PRIVATE",
        "additionalExperiments": ["enable_prime"],
        "additionalUserLabels": {"team": "birds"},
    }
    flags = launcher_flags("job", parameters, environment)
    flags.append("--template_location=gs://bucket/staging/template_launches/1/job_object")
    assert batch_predict.main([*flags, "--dry-run"], {}) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["displayName"] == parameters["display_name"]
    assert f"--sdk_container_image={IMAGE}" in err
    assert len(parameters) > len(OPTIONS)


def test_the_launcher_sees_a_failure_by_the_exit_code(places):
    main = ROOT / "pipelines" / "batch_predict.py"
    flags = launcher_flags("job", {"input_uris": "gs://b/a"}, {})
    done = subprocess.run(
        [sys.executable, main, *flags, f"--template_location={places}/job_object"],
        cwd=places,  # not the checkout: the launcher runs the main by its path
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--model_uri: required: exactly one of --model_uri and --model" in done.stderr
    assert "Traceback" not in done.stderr
