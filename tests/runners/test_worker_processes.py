"""Worker processes: how many, when they start, and who does what."""

import json
import os
import subprocess
import sys
import time

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions
from helpers.processes import wait_for

from beam_batch_predict import cli
from beam_batch_predict.runners import worker_count, worker_processes
from beam_batch_predict.runners.job_options import runner_options
from beam_batch_predict.runners.worker_count import workers_ahead, workers_worth
from beam_batch_predict.runners.worker_processes import start_work, waiting_workers
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources
from beam_batch_predict.spec.sources import BigQuery, JsonLines, TfRecord

TWO, AUTO = "--direct_num_workers=2", "--direct_num_workers=auto"
MiB = 1 << 20


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A directory with files of 1000, 1000 and 30 bytes, and no others of their names."""
    monkeypatch.chdir(tmp_path)
    for name, size in (("a.jsonl", 1000), ("b.jsonl", 1000), ("c.jsonl.gz", 30), ("empty", 0)):
        (tmp_path / name).write_bytes(bytes(size))
    return tmp_path


@pytest.fixture
def many_cores(monkeypatch):
    """A machine with 16 cores, on which a worker is worth 500 bytes of input."""
    monkeypatch.setattr(worker_count, "usable_cores", lambda: 16)
    monkeypatch.setattr(worker_count, "BYTES_PER_WORKER", 500)


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ([], 0),
        (["--direct_num_workers=1"], 0),
        (["--direct_num_workers=1", "--direct_running_mode=multi_processing"], 1),
        ([TWO], 2),
        (["--direct-num-workers=3", "--runner=DirectRunner"], 3),
        ([AUTO], 4),
        ([TWO, "--direct_running_mode=multi_threading"], 0),
        ([TWO, "--runner=FlinkRunner"], 0),
        (["--direct_num_workers=x"], 0),
        (["--direct_num_workers=-1"], 0),
        (["--region=x", "--streaming"], 0),
    ],
)
def test_processes_start_ahead_where_the_flags_ask_for_processes(flags, count, inputs, many_cores):
    assert workers_ahead(flags, ModelCopies.AUTO, JsonLines("*.jsonl", 100)) == count
    assert workers_ahead(flags, ModelCopies.MACHINE, JsonLines("*.jsonl", 100)) == 0


@pytest.mark.parametrize(
    ("source", "count"),
    [
        (JsonLines("*.jsonl", 500), 4),
        (JsonLines("*.jsonl", 700), 3),
        (JsonLines(["a.jsonl", "b.jsonl", "./a.jsonl"], 500), 4),
        (JsonLines("*.jsonl"), 1),
        (JsonLines("*.gz", 1), 1),
        (TfRecord("*.jsonl", 1), 2),
        (JsonLines("empty"), 0),
        (JsonLines("nothing*"), 0),
        (JsonLines("gs://bucket/*"), 0),
        (BigQuery("p.d.t"), 0),
    ],
)
def test_no_more_processes_start_ahead_than_there_are_chunks(source, count, inputs):
    assert workers_ahead(["--direct_num_workers=50"], ModelCopies.AUTO, source) == count


@pytest.mark.parametrize(
    ("size", "chunks", "workers", "mode"),
    [
        (0, 1, 1, "in_memory"),
        (999, 9, 1, "in_memory"),
        (1000, 1, 1, "in_memory"),
        (1000, 9, 2, "multi_processing"),
        (10**9, 9, 9, "multi_processing"),
        (10**9, 99, 16, "multi_processing"),
    ],
)
def test_the_input_decides_on_the_workers(size, chunks, workers, mode, many_cores):
    engine = runner_options(Resources(), [AUTO]).engine()
    engine.limit_workers(chunks, size)
    options = engine.options.view_as(DirectOptions)
    assert (options.direct_num_workers, options.direct_running_mode) == (workers, mode)
    assert engine.workers_in_process is (mode == "in_memory")


def test_with_one_copy_of_the_model_the_input_decides_on_the_threads(many_cores):
    engine = runner_options(Resources(), [AUTO], ModelCopies.MACHINE).engine()
    engine.limit_workers(9, 1500)
    options = engine.options.view_as(DirectOptions)
    assert (options.direct_num_workers, options.direct_running_mode) == (3, "multi_threading")


def test_a_small_input_is_worth_one_worker_and_a_large_one_all_cores(monkeypatch):
    monkeypatch.setattr(worker_count, "usable_cores", lambda: 4)
    assert [workers_worth(size * MiB) for size in (0, 10, 10_000_000)] == [1, 1, 4]


def test_workers_that_get_no_work_end():
    with waiting_workers(2):
        waiting = list(worker_processes._waiting)
        assert [process.poll() for process in waiting] == [None, None]
    assert all(process.returncode is not None for process in waiting)
    assert worker_processes._waiting == []


def test_a_worker_that_waits_ends_with_the_process_that_started_it():
    code = (
        "import os, sys; from beam_batch_predict.runners import worker_processes as w\n"
        "with w.waiting_workers(1):\n"
        "    print(w._waiting[0].pid, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as launcher:
        pid = int(launcher.stdout.readline())
        assert os.path.exists(f"/proc/{pid}")
        launcher.kill()
    wait_for(lambda: has_ended(pid))


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_work_goes_to_a_worker_that_waits(monkeypatch):
    echo = [sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"]
    monkeypatch.setattr(worker_processes, "COMMAND", echo)
    with waiting_workers(1):
        (waiting,) = worker_processes._waiting
        assert start_work({"a": "b"}) is waiting
        another = start_work({"a": ""})
    assert (waiting.wait(60), another.wait(60)) == (11, 10)


def test_work_for_a_worker_that_has_ended_is_not_an_error_here(monkeypatch):
    monkeypatch.setattr(worker_processes, "COMMAND", ["false"])
    with waiting_workers(1):
        worker_processes._waiting[0].wait(60)
        assert start_work({"a": "b"}).wait(60) == 1


def test_the_workers_that_start_ahead_are_those_that_work(tmp_path, tiny_model, capfd, monkeypatch):
    started = []
    start = worker_processes._start
    monkeypatch.setattr(worker_processes, "_start", lambda: started.append(start()) or started[-1])
    (tmp_path / "in.jsonl").write_text("".join(f"{n}\n" for n in range(100)))
    flags = [
        "--instances_format=jsonl",
        f"--input_uris={tmp_path}/in.jsonl",
        f"--model_uri={tiny_model}",
        f"--output_uri_prefix={tmp_path}/out",
        "--chunk_bytes=20",
    ]
    begun = []
    monkeypatch.setattr(cli.app, "_checked", lambda _, flags: begun.append(len(started)) or flags)
    assert cli.main(["run", *flags, TWO]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["completionStats"]["successfulCount"] == "100"
    assert (begun, len(started)) == ([2], 2)
    assert [process.returncode for process in started] == [0, 0]


def test_a_worker_takes_the_next_bundle_while_another_is_busy(tmp_path):
    engine = runner_options(Resources(), [TWO]).engine()
    directory, count = str(tmp_path), 9

    def work(number):
        """Finish at once; the first one only when all others are done."""
        until = time.monotonic() + 120
        while number == 0 and len(os.listdir(directory)) < count and time.monotonic() < until:
            time.sleep(0.01)
        done = len(os.listdir(directory))
        open(os.path.join(directory, str(number)), "w").close()
        return number, done

    def check(found):
        assert dict(found)[0] == count, found

    with engine.make_pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create(range(count + 1))
            | beam.Reshuffle()
            | beam.Map(work)
            | beam.GroupBy(lambda _: 0)
            | beam.MapTuple(lambda _, found: check(found))
        )
    assert len(os.listdir(directory)) == count + 1


def test_an_error_in_one_bundle_ends_the_pipeline():
    engine = runner_options(Resources(), [TWO]).engine()

    def refuse_three(number):
        if number == 3:
            raise ValueError("no number 3")

    with pytest.raises(Exception, match="no number 3"), engine.make_pipeline() as pipeline:
        _ = pipeline | beam.Create(range(10)) | beam.Reshuffle() | beam.Map(refuse_three)


FAILS_WHILE_ANOTHER_WORKER_WORKS = """
import time
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from beam_batch_predict.runners.local import LocalEngine

def work(number):
    time.sleep(1 if number == 3 else 3)
    if number == 3:
        raise ValueError("element 3")

if __name__ == "__main__":
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    options = PipelineOptions(flags)
    with beam.Pipeline(runner=LocalEngine(options).make_runner(), options=options) as pipeline:
        pipeline | beam.Create(range(8)) | beam.Reshuffle() | beam.Map(work)
"""


@pytest.mark.slow
def test_a_pipeline_that_fails_while_another_worker_works_lets_the_process_end(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(FAILS_WHILE_ANOTHER_WORKER_WORKS)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "element 3" in ended.stderr
