"""Jobs on Dataflow, of which everything is on Cloud Storage, what is staged too."""

import json
import os

import pytest
from runners.dataflow.stand_in import StandIn
from runners.dataflow.workers import Workers

from beam_batch_predict import cli

pytestmark = pytest.mark.slow

VARIABLES = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "PYTHONPATH")


def test_what_is_staged_on_cloud_storage_is_all_that_workers_need(
    job, put, run, contents, bucket, cloud_flags, tmp_path, capfd
):
    put({f"in/{at}.x": "".join(f"{n}\n" for n in range(20 * at, 20 * at + 20)) for at in range(3)})
    chunks = "--chunk_bytes=30"
    record, here = run(job(), chunks)
    assert record["completionStats"]["successfulCount"] == "60"
    before = set(contents("out/"))

    workers = Workers(tmp_path, **{name: os.environ[name] for name in VARIABLES})

    def work(name, body):
        staging = tmp_path / "staging"
        staging.mkdir()
        for each, content in contents("tmp/").items():
            (staging / each.rpartition("/")[2]).write_bytes(content)
        assert sorted(path.name for path in staging.iterdir() if path.suffix != ".whl") == [
            *("extra_packages.txt", "pipeline.pb", "submission_environment_dependencies.txt")
        ]
        assert body["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"].startswith(
            f"gs://{bucket}/tmp/"
        )
        workers(name, body)

    with StandIn("PENDING", on_create=work) as workers.service:
        flags = [
            *("--runner=DataflowRunner", "--no_auth", "--region=us-central1", *cloud_flags),
            f"--dataflow_endpoint={workers.service.url}",
            "--beam_plugins=emulators.content_ids",
        ]
        put({"job.json": json.dumps(job())})
        capfd.readouterr()
        code = cli.main(["run", f"gs://{bucket}/job.json", chunks, *flags])
    out, err = capfd.readouterr()
    assert code == 0, err + workers.said
    assert json.loads(out)["completionStats"] == record["completionStats"]
    left = ("/job.json", "/manifest.json")
    there = {
        name.rpartition("/")[2]: content
        for name, content in contents("out/").items()
        if name not in before and not name.endswith(left)
    }
    assert there == here
    assert len(there) > 3
