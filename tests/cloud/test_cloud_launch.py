"""A launch of the flex template of which everything is on Cloud Storage, as it is for real."""

import json

from apache_beam.portability.api import beam_runner_api_pb2

from pipelines import batch_predict


def test_a_launch_leaves_a_job_and_its_plan_in_buckets(bucket, put, model, contents, capfd):
    put({"in/a.jsonl": b'{"id": "a", "x": 1}\n', "in/b.jsonl": b'{"id": "b", "x": 2}\n'})
    uri = f"gs://{bucket}"
    parameters = {
        "instances_format": "jsonl",
        "input_uris": f"{uri}/in/*.jsonl",
        "model_uri": f"{uri}/{model()}",
        "key_field": "id",
        "batch_size": "",
        "output_uri_prefix": f"{uri}/out",
    }
    code = batch_predict.main(
        [
            *(f"--{name}={value}" for name, value in parameters.items()),
            "--runner=DataflowRunner",
            "--project=test-project",
            "--region=us-central1",
            "--job_name=launch",
            f"--temp_location={uri}/temp",
            f"--staging_location={uri}/staging",
            f"--template_location={uri}/staging/template_launches/1/job_object",
        ],
        {batch_predict.IMAGE: "r/i:1"},
    )
    out, err = capfd.readouterr()
    assert code == 0, err
    assert "error" not in err.lower(), err
    staged = contents("staging/")
    job = json.loads(staged.pop("staging/template_launches/1/job_object"))
    (pool,) = job["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == "r/i:1"
    # Nothing is to be installed on workers.
    packages = {package["name"] for package in pool.get("packages", [])}
    assert packages <= {"submission_environment_dependencies.txt"}
    (graph,) = (content for name, content in staged.items() if name.endswith("pipeline.pb"))
    steps = beam_runner_api_pb2.Pipeline.FromString(graph).components.transforms.values()
    assert "BatchPredict/WriteResults/Finish" in {step.unique_name for step in steps}
    written = contents("out/")
    assert len([name for name in written if name.endswith("run.plan")]) == 1
    (record,) = (content for name, content in written.items() if name.endswith("/job.json"))
    assert json.loads(record)["state"] == json.loads(out)["state"] == "JOB_STATE_PENDING"
