"""How often a model is in memory: once per process, and who those processes are."""

import json
import pathlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from beam_batch_predict import cli
from beam_batch_predict.commands import run as run_command
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.runners import local
from beam_batch_predict.spec import SavedModel


@pytest.fixture
def run(tmp_path, tiny_model, capfd):
    """A function that runs a job of 100 rows with flags: its record."""
    (tmp_path / "in.jsonl").write_text("".join(f"{n}\n" for n in range(100)))
    job = {
        "displayName": "tiny",
        "unmanagedContainerModel": {"artifactUri": tiny_model},
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": [str(tmp_path / "in.jsonl")]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
        },
    }

    def run_job(*flags):
        path = tmp_path / "job.json"
        path.write_text(json.dumps(job))
        code = cli.main(["run", str(path), "--chunk_bytes=40", *flags])
        record = json.loads(capfd.readouterr().out)
        assert code == int(record["state"] != "JOB_STATE_SUCCEEDED")
        return record

    return run_job


def test_threads_that_ask_at_once_get_one_model(tiny_model):
    begin = Barrier(8)

    def load(_):
        begin.wait()
        return load_model(SavedModel(tiny_model, "total"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(load, range(8))))) == 1


def test_one_copy_per_machine_means_threads_and_no_process(run, monkeypatch):
    def refuse(*_):
        raise AssertionError("a process was started")

    monkeypatch.setattr(local._WorkerProcess, "start_worker", refuse)
    record = run("--direct_num_workers=2", "--model_copies=machine")
    assert record["completionStats"]["successfulCount"] == "100"
    assert files_of(record) == files_of(run())


@pytest.mark.parametrize("workers", ["0", "8"])
def test_a_job_of_one_chunk_starts_one_process(run, workers, monkeypatch):
    started = []
    start = local._WorkerProcess.start_worker
    monkeypatch.setattr(
        local._WorkerProcess, "start_worker", lambda self: (started.append(self), start(self))
    )
    record = run(f"--direct_num_workers={workers}", "--chunk_bytes=1000000")
    assert record["completionStats"]["successfulCount"] == "100"
    assert len(started) == 1


def files_of(record):
    directory = pathlib.Path(record["outputInfo"]["gcsOutputDirectory"])
    return {path.name: path.read_bytes() for path in directory.glob("*.jsonl")}


@pytest.mark.slow
def test_a_process_whose_workers_have_the_model_has_none(run, monkeypatch):
    def refuse(_):
        raise AssertionError("the model was loaded here")

    monkeypatch.setattr(run_command, "load_model", refuse)
    record = run("--direct_num_workers=2")
    assert record["completionStats"]["successfulCount"] == "100"


@pytest.mark.parametrize("flags", [[], ["--direct_num_workers=2"]], ids=["inside", "outside"])
def test_a_model_that_lacks_the_signature_fails_before_any_worker_starts(run, flags, monkeypatch):
    def refuse(*_):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(run_command._Launcher, "_run_pipelines", refuse)
    message = run("--signature_name=none", *flags)["error"]["message"]
    assert "no signature 'none'; the model has" in message
