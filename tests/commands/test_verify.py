"""`verify` knows an untouched directory from any other."""

import json
from pathlib import Path

import pytest

import beam_batch_predict as bbp
from beam_batch_predict import cli
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.errors import SourceError


@pytest.fixture
def directory(run_job, tmp_path, tiny_model):
    """What a job left, of two chunks with an error each."""
    (tmp_path / "in.jsonl").write_text("1\noops\n2\n" * 4)
    run_job("jsonl", "in.jsonl", tiny_model, chunk_bytes=20)
    (found,) = (tmp_path / "out").iterdir()
    return found


def test_an_untouched_directory_is_complete(directory):
    found = verify(str(directory))
    assert found.wrong == ()
    assert (found.files, found.rows) == (len(list(directory.glob("*_*.jsonl"))), 12)
    assert found.bytes == sum(path.stat().st_size for path in directory.glob("*_*.jsonl"))


def flip(path):
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)


def edit(path):
    found = json.loads(path.read_text())
    found.get("rows", found)["predicted"] = 7
    path.write_text(json.dumps(found))


def fail(path):
    path.write_text(path.read_text().replace("JOB_STATE_SUCCEEDED", "JOB_STATE_RUNNING"))


CHANGES = {
    "a flipped bit": ("predictions_0001.jsonl", flip, "predictions_0001.jsonl was changed"),
    "a cut file": (
        "errors_0001.jsonl", lambda p: p.write_bytes(p.read_bytes()[:-1]), "errors_0001.jsonl has",
    ),
    "a file gone": ("predictions_0002.jsonl", Path.unlink, "predictions_0002.jsonl is missing"),
    "a file too many": (
        "predictions_0099.jsonl", Path.touch, "predictions_0099.jsonl does not belong to this run",
    ),
    "no manifest": ("manifest.json", Path.unlink, "there is no manifest.json"),
    "a cut manifest": (
        "manifest.json", lambda p: p.write_text(p.read_text()[:90]), "manifest.json is damaged",
    ),
    "an edited manifest": ("manifest.json", edit, "manifest.json was changed"),
    "no record": ("job.json", Path.unlink, "job.json is missing"),
    "an edited record": ("job.json", edit, "job.json was changed"),
    "a run that goes on": ("job.json", fail, "job.json: the run is JOB_STATE_RUNNING"),
    "no JSON": ("job.json", lambda path: path.write_text("{"), "job.json: the run is in no known"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_named(change, directory, capfd):
    name, how, message = CHANGES[change]
    how(directory / name)
    (wrong,) = verify(str(directory)).wrong
    assert wrong.startswith(message)
    assert cli.main(["verify", str(directory)]) == 1
    assert message in capfd.readouterr().err


def test_the_command_says_what_it_has_seen(directory, capfd):
    assert cli.main(["verify", str(directory)]) == 0
    assert "12 rows" in capfd.readouterr().out


def test_what_is_no_run_is_refused(tmp_path, capfd):
    with pytest.raises(SourceError, match="is not the directory of a run"):
        verify(str(tmp_path))
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "is not the directory of a run" in capfd.readouterr().err


def test_the_outputs_of_transforms_can_be_verified(run_transforms, tiny_model, tmp_path):
    (tmp_path / "in.jsonl").write_text("1\noops\n")
    found = run_transforms(bbp.JsonLines(str(tmp_path / "in.jsonl")), "csv", tiny_model)
    assert verify(str(found)) == ((), 2, 2, sum(p.stat().st_size for p in found.glob("*.csv")), ())
    flip(found / "predictions_0001.csv")
    assert len(verify(str(found)).wrong) == 1
