"""The command line: in processes of its own, and in this one where another proves nothing."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from beam_batch_predict import cli

ROOT = Path(__file__).resolve().parents[2]
PENGUINS = ROOT / "examples" / "penguins"
COMMAND = [sys.executable, "-m", "beam_batch_predict", "run"]


@pytest.fixture
def job_file(tmp_path, tiny_model):
    """A function that writes a job: rows of a tiny model, to a directory `out`."""

    def write(rows="1\n2\noops\n", **changes):
        (tmp_path / "in.jsonl").write_text(rows)
        job = {
            "displayName": "tiny",
            "unmanagedContainerModel": {"artifactUri": changes.get("model", tiny_model)},
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": changes.get("uris", [str(tmp_path / "in.jsonl")])},
            },
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": changes.get("out", str(tmp_path / "out"))},
            },
        }
        path = tmp_path / "job.json"
        path.write_text(json.dumps(job))
        return path

    return write


def run(*arguments, command=COMMAND, **how):
    # A user's shell, which knows nothing of how loud these tests want TensorFlow to be.
    how.setdefault("env", {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"})
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=how.pop("cwd", ROOT),
        **how,
    )


@pytest.fixture
def run_here(capfd, monkeypatch):
    """A function like `run`, for a command in this process."""
    monkeypatch.chdir(ROOT)

    def run_command(*arguments):
        capfd.readouterr()
        try:
            code = cli.main(["run", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return run_command


def directory_of(record):
    return Path(record["outputInfo"]["gcsOutputDirectory"])


def succeeded(done, predicted=2, failed=1):
    """The record of a job that succeeded, which is all of standard output."""
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    stats = record["completionStats"]
    assert (stats["successfulCount"], stats["failedCount"]) == (str(predicted), str(failed))
    assert (directory_of(record) / "job.json").read_text().strip() == done.stdout.strip()
    rows = "1 row" if predicted == 1 else f"{predicted} rows"
    assert f"{rows} predicted, {failed} failed" in done.stderr
    return record


def job_failed(done, *words):
    """The record of a job that failed, with these words in its error and on the screen."""
    assert done.returncode == 1, done.stderr
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_FAILED"
    message = record["error"]["message"]
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert message in done.stderr
    assert len(done.stderr.splitlines()) < 25
    return record


def test_a_job_runs_and_standard_output_is_its_record(job_file):
    done = run(job_file())
    record = succeeded(done)
    assert done.stdout.endswith("}\n")
    assert sorted(path.name for path in directory_of(record).iterdir()) == [
        "errors_0001.jsonl",
        "job.json",
        "manifest.json",
        "predictions_0001.jsonl",
    ]
    assert done.stderr.splitlines() == [
        "JOB_STATE_SUCCEEDED: 2 rows predicted, 1 failed",
        record["partialFailures"][0]["message"],
        str(directory_of(record)),
    ]
    assert record["partialFailures"][0]["message"].startswith("1 row failed: invalid JSON: ")


def test_the_installed_command_and_the_runner_by_its_usual_name(job_file):
    command = [str(Path(sys.executable).with_name("beam-batch-predict")), "run"]
    if not Path(command[0]).exists():
        pytest.skip("the package is not installed")
    done = run(job_file(), "--runner=DirectRunner", command=command)
    succeeded(done)
    assert "rism" not in done.stderr


@pytest.mark.slow
def test_the_main_of_the_template(job_file):
    command = [sys.executable, "-m", "pipelines.batch_predict"]
    succeeded(run(f"--job={job_file()}", "--chunk_bytes=1", command=command))


@pytest.mark.slow
def test_several_processes_leave_standard_output_alone(job_file, run_here):
    rows = "".join(f"{n}\n" for n in range(100))
    flags = ["--direct_num_workers=2"]
    record = succeeded(run(job_file(rows), "--chunk_bytes=40", *flags), 100, 0)
    again = succeeded(run_here(job_file(rows), "--chunk_bytes=40"), 100, 0)
    files = [
        {path.name: path.read_bytes() for path in directory_of(each).glob("*.jsonl")}
        for each in (record, again)
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 5


@pytest.mark.slow
def test_runs_at_the_same_time_have_directories_of_their_own(job_file, tmp_path):
    runs = 8
    command = [*COMMAND, str(job_file())]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
        for _ in range(runs)
    ]
    records = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [record["state"] for record in records] == ["JOB_STATE_SUCCEEDED"] * runs
    assert len({directory_of(record) for record in records}) == runs
    assert len(list((tmp_path / "out").iterdir())) == runs


@pytest.mark.parametrize(
    ("rows", "predicted", "failed"),
    [
        ("", 0, 0),
        ("\n\n", 0, 0),
        ("1", 1, 0),
        ("x,y\r\n1\r\n2", 2, 1),
    ],
)
def test_few_rows_or_none(rows, predicted, failed, job_file, run_here):
    record = succeeded(run_here(job_file(rows), "--chunk_bytes=7"), predicted, failed)
    assert (directory_of(record) / "predictions_0001.jsonl").exists()
    assert (directory_of(record) / "errors_0001.jsonl").exists() == bool(failed)


def test_a_file_that_cannot_be_read_is_a_partial_failure(job_file, tmp_path, run_here):
    (tmp_path / "broken.jsonl.gz").write_bytes(b"this is not gzip")
    path = job_file("1\n2\n", uris=[str(tmp_path / "*.jsonl*")])
    record = succeeded(run_here(path), 2, 0)
    (failure,) = record["partialFailures"]
    assert "broken.jsonl.gz" in failure["message"]
    assert record["completionStats"]["incompleteCount"] == "-1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"displayName": 7, "labls": {}}', ["displayName: ", "labls: ", "labels"]),
        ("{", ["job.json"]),
    ],
)
def test_an_invalid_job_lists_what_is_wrong(text, words, tmp_path):
    (tmp_path / "job.json").write_text(text)
    done = run(tmp_path / "job.json", command=[sys.executable, "-X", "importtime", *COMMAND[1:]])
    assert (done.returncode, done.stdout) == (2, "")
    imported = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert not [line for line in imported if "apache_beam" in line or "tensorflow" in line]
    message = done.stderr.rpartition("import time:")[2]
    assert all(word in message for word in words), message
    assert "Traceback" not in done.stderr


def test_every_violation_is_reported(job_file, run_here):
    path = job_file()
    job = json.loads(path.read_text())
    del job["displayName"], job["outputConfig"]
    job["inputConfig"]["instancesFormat"] = "jsonll"
    path.write_text(json.dumps(job))
    done = run_here(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(f"\n  {field}" in done.stderr for field in ("displayName", "outputConfig"))
    assert "inputConfig.instancesFormat" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--chunk_byte=7"], "did you mean --chunk_bytes?"),
        (["--direct_num_worker=2"], "did you mean --direct_num_workers?"),
        (["--chunk_bytes=0"], "chunk_bytes"),
        (["--non_finite=zero"], "non_finite"),
        (["other.json"], "unknown argument other.json"),
    ],
)
def test_a_wrong_option_starts_nothing(flags, words, job_file, tmp_path, run_here):
    done = run_here(job_file(), *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_value_of_beam_before_the_job_file(job_file):
    succeeded(run("--runner", "DirectRunner", "--no_auth", job_file()))


@pytest.mark.parametrize("flag", ["--resume", "--resume=true"])
def test_nothing_to_resume(flag, job_file, tmp_path, run_here):
    done = run_here(flag, job_file())
    assert (done.returncode, done.stdout) == (2, "")
    assert "no unfinished run of 'tiny'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_job_file_that_is_not_there(tmp_path, run_here):
    done = run_here(tmp_path / "none.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.json cannot be read: No such file" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(command=[sys.executable, "-m", "pipelines.batch_predict"])
    assert done.returncode == 2
    assert "--job" in done.stderr


def test_a_pattern_that_matches_nothing(job_file, tmp_path, run_here):
    done = run_here(job_file(uris=[str(tmp_path / "none-*.jsonl")]))
    record = job_failed(done, "none-*.jsonl: matches no file")
    assert "Traceback" not in done.stderr
    (only,) = directory_of(record).iterdir()
    assert json.loads(only.read_text()) == record


def test_a_model_that_does_not_load(job_file, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"no model")
    done = run(job_file(model=str(tmp_path / "model")))
    job_failed(done, str(tmp_path / "model"), "cannot be loaded")
    assert "Traceback" not in done.stderr


def test_a_signature_that_is_not_there(job_file, run_here):
    done = run_here(job_file(), "--signature_name=other")
    job_failed(done, "no signature 'other'", "'length', 'serving_default', 'total'")
    assert "Traceback" not in done.stderr


def test_a_parameter_beyond_any_double_is_as_given_in_the_record(job_file, run_here):
    path = job_file()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modelParameters": {"p": 10**400}}))
    record = job_failed(run_here(path), "modelParameters has 'p'")
    assert record["modelParameters"] == {"p": 10**400}


def test_a_destination_that_cannot_be_written(job_file, tmp_path, run_here):
    (tmp_path / "file").write_text("not a directory")
    done = run_here(job_file(out=str(tmp_path / "file" / "out")))
    assert (done.returncode, done.stdout) == (1, "")
    assert "outputUriPrefix" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_that_looks_like_a_result(job_file, tmp_path):
    path = job_file("".join(f"{n}\n" for n in range(300_000)))
    process = subprocess.Popen(
        [*COMMAND, str(path), "--chunk_bytes=10000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if len(list((tmp_path / "out").glob("*/_parts/*/*.predictions"))) >= 3:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (directory,) = (tmp_path / "out").iterdir()
    assert sorted(each.name for each in directory.iterdir()) == ["_parts", "job.json"]
    assert json.loads((directory / "job.json").read_text())["state"] == "JOB_STATE_RUNNING"
    record = succeeded(run(path), 300_000, 0)
    assert directory_of(record) != directory


@contextlib.contextmanager
def small_disk(directory, size):
    directory.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root mounts a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_disk_that_is_full_is_the_reason_in_the_record(job_file, tmp_path, run_here):
    with small_disk(tmp_path / "disk", "64k"):
        path = job_file("1\n" * 20_000, out=str(tmp_path / "disk" / "out"))
        done = run_here(path)
        record = job_failed(done, "No space left on device")
        assert not list(directory_of(record).glob("*.jsonl"))
        assert json.loads((directory_of(record) / "job.json").read_text()) == record


def test_a_record_that_cannot_be_written_is_shown_all_the_same(job_file, tmp_path, run_here):
    with small_disk(tmp_path / "disk", "16k"):
        (tmp_path / "disk" / "full").write_bytes(b" " * 8192)
        with contextlib.suppress(OSError), (tmp_path / "disk" / "fill").open("wb", 0) as fill:
            while True:
                fill.write(b" " * 4096)
        full = run_here(job_file(out=str(tmp_path / "disk" / "out")))
        os.truncate(tmp_path / "disk" / "full", 4096)  # enough for the record of a job that begins
        done = run(job_file(out=str(tmp_path / "disk" / "out")))
        assert (full.returncode, full.stdout) == (1, "")
        assert "No space left on device" in full.stderr
        assert "Traceback" not in full.stderr
        job_failed(done, "No space left on device")
        assert "cannot write job.json" in done.stderr


def test_a_classic_template_is_written_without_waiting(job_file, tmp_path):
    (tmp_path / "temp").mkdir()
    done = run(
        job_file(),
        "--runner=DataflowRunner",
        f"--template_location={tmp_path / 'template.json'}",
        "--project=my-project",
        "--region=us-central1",
        f"--temp_location={tmp_path / 'temp'}",
        "--dataflow_endpoint=http://localhost:1",
        "--no_auth",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["state"] == "JOB_STATE_PENDING"
    assert done.stderr.splitlines()[-2] == "JOB_STATE_PENDING"
    assert json.loads((tmp_path / "template.json").read_text())


def test_what_tensorflow_says_when_it_cannot_be_imported_is_shown(job_file, tmp_path):
    (tmp_path / "path" / "tensorflow").mkdir(parents=True)
    (tmp_path / "path" / "tensorflow" / "__init__.py").write_text(
        "import os; os.write(2, b'native noise\\n'); raise ImportError('no such CPU')"
    )
    path = f"{tmp_path / 'path'}:{ROOT}"
    done = run(job_file(), env={**os.environ, "PYTHONPATH": path})
    job_failed(done, "no such CPU")
    assert "native noise" in done.stderr


def test_help_is_quick_and_names_the_options():
    code = (
        "import sys; from beam_batch_predict.cli import main\n"
        "try: main(['run', '--help'])\n"
        "finally: assert not {'apache_beam', 'tensorflow'} & set(sys.modules)"
    )
    done = run(code, command=[sys.executable, "-c"])
    assert done.returncode == 0, done.stderr
    assert all(
        flag in done.stdout for flag in ("--signature_name", "--chunk_bytes", "--non_finite")
    )
