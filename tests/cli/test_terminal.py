"""Texts of files and services on the terminal: no control characters, no files without end."""

import json
import os
import pty
import subprocess
import sys

import pytest

import beam_batch_predict as bbp
from beam_batch_predict import cli
from beam_batch_predict.cli.logs import silence_known_warnings
from beam_batch_predict.cli.summary import summary
from beam_batch_predict.runs.manifest import write_manifest

HOSTILE = "\x1b]0;title\x07\x9b31m\u202egpj.exe\u2066"
"""A title for the window, a color, a text that is written from right to left."""

SHOWN = r"\x1b]0;title\x07\x9b31m\u202egpj.exe\u2066"

JOB = {
    "displayName": "tiny",
    "unmanagedContainerModel": {"artifactUri": "no-model"},
    "inputConfig": {"instancesFormat": "csv", "gcsSource": {"uris": ["in.csv"]}},
    "instanceConfig": {"keyField": "id"},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out"},
    },
}


@pytest.fixture
def run_job(tmp_path, monkeypatch, capfd):
    """A function that runs a changed job in an empty directory: exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text(f"{HOSTILE},x\n1,2\n")

    def run(*flags, **changes):
        (tmp_path / "job.json").write_text(json.dumps({**JOB, **changes}))
        code = cli.main(["run", "job.json", *flags])
        return code, *capfd.readouterr()

    return run


def controls(text):
    return [char for char in text if not char.isprintable() and char not in "\n\t"]


def test_the_names_of_columns_are_escaped(run_job):
    code, _, err = run_job()
    assert code == 1
    assert "JOB_STATE_FAILED: " in err
    assert r"\u001b]0;title\u0007\x9b31m\u202egpj.exe\u2066" in err
    assert not controls(err)


@pytest.mark.parametrize("field", ["model", "input"])
def test_the_uris_of_a_job_are_escaped(field, run_job):
    source = {"instancesFormat": "jsonl", "gcsSource": {"uris": [f"in{HOSTILE}"]}}
    model = {"unmanagedContainerModel": {"artifactUri": f"m{HOSTILE}"}}
    code, _, err = run_job(**(model if field == "model" else {"inputConfig": source}))
    assert code == 1
    assert not controls(err)


def test_the_names_in_a_manifest_are_escaped(tmp_path, capfd):
    files = [
        {"name": f"{HOSTILE}\nx: 1 file, complete", "rows": 1, "bytes": 1, "sha256": ""},
        {"table": f"bq://{HOSTILE}", "rows": 1},
    ]
    manifest = {"format": 1, "run": "r", "rows": {"read": 2}, "files": files}
    write_manifest(manifest, str(tmp_path))
    assert cli.main(["verify", str(tmp_path)]) == 1
    out, err = capfd.readouterr()
    assert err == f"{tmp_path}: {SHOWN}\\nx: 1 file, complete is missing\n"
    assert not out


@pytest.mark.parametrize("content", [{}, {"files": 5}, {"files": [{"name": 5}]}, {"files": [5]}])
def test_a_manifest_that_no_run_wrote_is_damaged(content, tmp_path, capfd):
    write_manifest({"format": 1, **content}, str(tmp_path))
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert f"{tmp_path}: manifest.json is damaged: " in capfd.readouterr().err


def test_a_job_resource_is_escaped_on_a_terminal_only(tmp_path):
    name = "é\x9b31m\u202e"
    (tmp_path / "job.json").write_text(json.dumps({**JOB, "displayName": name}))
    command = [sys.executable, "-m", "beam_batch_predict", "run", "job.json", "--dry-run"]
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=True)
    assert name.encode() in piped.stdout
    main, terminal = pty.openpty()
    with subprocess.Popen(command, cwd=tmp_path, stdout=terminal, stderr=subprocess.PIPE):
        os.close(terminal)
        shown = b""
        while block := _read(main):
            shown += block
    os.close(main)
    assert r'"é\u009b31m\u202e"'.encode() in shown
    assert json.loads(shown)["displayName"] == name


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports the end of the other side as an error
        return b""


def test_output_that_nothing_reads_any_more_is_no_error(tiny_model):
    command = [sys.executable, "-m", "beam_batch_predict", "models", "describe", tiny_model]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert not done.stderr


# Files without end


def test_a_job_file_without_end_is_refused(capfd):
    assert cli.main(["run", "/dev/zero"]) == 2
    message = "the job file /dev/zero cannot be read: it is larger than the 67108864 bytes"
    assert message in capfd.readouterr().err


def test_a_job_file_can_be_a_pipe_and_one_without_writer_is_not_waited_for(tmp_path, capfd):
    os.mkfifo(tmp_path / "job")
    assert cli.main(["run", str(tmp_path / "job")]) == 2
    assert "the text is empty" in capfd.readouterr().err
    reader, writer = os.pipe()
    os.write(writer, json.dumps(JOB).encode())
    os.close(writer)
    assert cli.main(["run", f"/dev/fd/{reader}", "--dry-run"]) == 0
    assert json.loads(capfd.readouterr().out)["displayName"] == "tiny"
    os.close(reader)


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt", "variables/v.index"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("command", ["describe", "run"])
def test_a_model_of_pipes_or_devices_is_refused(command, kind, name, tmp_path, run_job, capfd):
    path = tmp_path / "no-model" / name
    path.parent.mkdir(parents=True)
    if name.startswith("variables"):
        (tmp_path / "no-model" / "saved_model.pb").write_bytes(b"")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    if command == "run":
        (tmp_path / "in.csv").write_text("id,x\n1,2\n")
        code, _, err = run_job()
    else:
        code = cli.main(["models", "describe", "./no-model"])
        err = capfd.readouterr().err
    assert code == 1
    assert ("it is not a regular file" in err) or (command == "describe" and "damaged" in err)


@pytest.mark.parametrize("name", ["manifest.json", "job.json"])
def test_a_directory_of_pipes_and_devices_is_not_verified(name, tmp_path, capfd):
    (tmp_path / name).symlink_to("/dev/zero")
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "it is not a regular file" in capfd.readouterr().err


def test_verify_accepts_the_manifest_of_a_run_for_its_directory(
    run_transforms, tiny_model, tmp_path, capfd
):
    (tmp_path / "in.jsonl").write_text("1\n")
    directory = run_transforms(bbp.JsonLines(str(tmp_path / "in.jsonl")), "jsonl", tiny_model)
    assert cli.main(["verify", f"{directory}/manifest.json"]) == 0
    assert capfd.readouterr().out.startswith(f"{directory}/manifest.json: 1 file, 1 row, ")


# Words


def test_a_path_that_is_no_model_leads_to_the_model(tiny_model, tmp_path, capfd):
    (tmp_path / "models").mkdir()
    for name in ("9", "10"):
        (tmp_path / "models" / name).symlink_to(tiny_model)
    assert cli.main(["models", "describe", str(tmp_path / "models")]) == 1
    assert f"name one of them, such as {tmp_path}/models/10" in capfd.readouterr().err
    assert cli.main(["models", "describe", f"{tiny_model}/saved_model.pb"]) == 1
    assert f"contains saved_model.pb: {tiny_model}\n" in capfd.readouterr().err


def test_notes_on_a_job_of_flags_have_the_names_of_flags(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    given = {"instances_format": "jsonl", "input_uris": "in", "model_uri": "m"}
    given |= {"output_uri_prefix": "out", "batch_size": "8", "job_labels": "a=b"}
    flags = [f"--{name}={value}" for name, value in given.items()]
    assert cli.main(["run", "--dry-run", *flags]) == 0
    (note,) = capfd.readouterr().err.splitlines()
    assert note.startswith("note: --job_labels: kept in the job resource, ")


def test_a_number_of_thousands_of_digits_is_named(run_job, tmp_path, capfd):
    text = json.dumps(JOB)[:-1] + ', "modelParameters": {"x": ' + "9" * 5000 + "}}"
    (tmp_path / "digits.json").write_text(text)
    assert cli.main(["run", "digits.json"]) == 2
    message = "cannot be read as JSON: a number has more than 4300 digits at line 1 column "
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("rows", [1, 2])
def test_one_row_is_not_rows(rows):
    job = {"state": "JOB_STATE_SUCCEEDED", "endTime": "", "completionStats": {}}
    job["completionStats"] = {"successfulCount": str(rows), "failedCount": "0"}
    noun = "row" if rows == 1 else "rows"
    expected = f"JOB_STATE_SUCCEEDED: {rows} {noun} predicted, 0 failed"
    assert summary(json.dumps(job).encode()).splitlines()[0] == expected


def test_warnings_of_the_end_of_support_are_silenced_in_all_processes(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    silence_known_warnings()
    silence_known_warnings()
    program = (
        "import warnings\n"
        "warnings.warn('You are using a non-supported Python version (3.10).', FutureWarning)\n"
        "warnings.warn('You are using a Python version (3.10) which', FutureWarning)\n"
        "warnings.warn('another', FutureWarning)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.count("FutureWarning: ") == 1
    assert "FutureWarning: another" in done.stderr
