"""A resumed run ends as one that was not interrupted."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

from beam_batch_predict.commands import run as run_command
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.errors import InvalidArgument, TakenOver
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runs import finish
from beam_batch_predict.runs.resume import Unfinished, check_resumable
from beam_batch_predict.runs.run import now
from beam_batch_predict.sinks.parts import metadata
from beam_batch_predict.sinks.publish import files as publish_files
from beam_batch_predict.spec import (
    BatchPredictSpec,
    GcsDestination,
    JsonLines,
    RunOptions,
    SavedModel,
    chunk_sizes,
)
from beam_batch_predict.transforms import read_dofns, write_dofns

ROWS = "".join("oops\n" if n % 17 == 5 else f"{n}.5\n" for n in range(200))


@pytest.fixture
def run(tmp_path, tiny_model):
    """A function that runs a job on a file of rows, in several chunks: what `run_job` gives."""
    (tmp_path / "in.jsonl").write_text(ROWS)

    def run_again(resume=False, out="out", show=lambda line: None, **options):
        job = {
            "displayName": options.pop("display_name", "tiny"),
            "unmanagedContainerModel": {"artifactUri": options.pop("model", tiny_model)},
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [str(tmp_path / "in*.jsonl")]},
            },
            "instanceConfig": options.pop("config", {}),
            "outputConfig": {
                "predictionsFormat": options.pop("form", "jsonl"),
                "gcsDestination": {"outputUriPrefix": str(tmp_path / out)},
            },
        }
        options = RunOptions(**{"chunk_bytes": 200, "resume": resume, **options})
        finished = run_command.run_job(read_job(job), options, [], show)
        return json.loads(finished.job)

    return run_again


@pytest.fixture
def break_off(run, breaking_off):
    """A function that runs a job until so many parts are done: the directory that is left."""

    def broken(parts=2, **how):
        with breaking_off(parts):
            record = run(**how)
        assert record["state"] == "JOB_STATE_FAILED"
        return Path(record["outputInfo"]["gcsOutputDirectory"])

    return broken


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tf-record"])
def test_a_resumed_run_publishes_what_an_undisturbed_one_does(form, run, break_off, published):
    whole = run(out="whole", form=form)
    left = break_off(form=form)
    assert published(left) == {}
    record = run(resume=True, form=form)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert Path(record["outputInfo"]["gcsOutputDirectory"]) == left
    assert record["completionStats"] == whole["completionStats"]
    assert published(left) == published(whole["outputInfo"]["gcsOutputDirectory"])
    assert len(published(left)) > 6
    assert sorted(path.name for path in left.iterdir() if path.is_dir()) == []
    assert verify(str(left)).wrong == ()


@pytest.mark.parametrize(
    "flags", [[], pytest.param(["--direct_num_workers=2"], marks=pytest.mark.slow)]
)
def test_keys_that_occur_more_than_once_are_counted_over_all_attempts(
    flags, run, break_off, tmp_path, monkeypatch
):
    keys = [*range(150), *range(10), "7", *map(str, range(200, 240))]
    lines = (json.dumps({"id": key, "x": 1.0}) for key in keys)
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    config = {"keyField": "id"}
    left = break_off(parts=3, config=config)
    hashed = [part.key_hashes for part in metadata.read_parts(str(*left.glob("_parts/*")))]
    assert len(hashed) == 3
    run_job = run_command.run_job
    monkeypatch.setattr(run_command, "run_job", lambda job, o, _, show: run_job(job, o, flags))
    run(resume=True, config=config)
    manifest = json.loads((left / "manifest.json").read_text())
    assert manifest["keys"] == {"count": len(keys), "repeated": 10}


def test_chunks_that_are_done_are_not_done_again(run, break_off, monkeypatch):
    left = break_off(parts=3)
    done = {part.chunk for part in metadata.read_parts(str(*left.glob("_parts/*")))}
    read = []
    read_chunk = read_dofns.read_chunk

    def reading(chunk, *rest):
        read.append(chunk.number)
        return read_chunk(chunk, *rest)

    monkeypatch.setattr(read_dofns, "read_chunk", reading)
    run(resume=True)
    total = 1 + max(read)
    assert sorted(read) == sorted(set(range(total)) - done)
    assert len(done) == 3


def test_every_point_at_which_a_run_breaks_off_ends_the_same(run, break_off, published):
    whole = published(run(out="whole")["outputInfo"]["gcsOutputDirectory"])
    for parts in (0, 1, 4):
        left = break_off(parts=parts, out=f"out{parts}")
        run(resume=True, out=f"out{parts}")
        assert published(left) == whole


@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_a_part_that_has_changed_is_made_again(damage, run, break_off, published, caplog):
    whole = published(run(out="whole")["outputInfo"]["gcsOutputDirectory"])
    left = break_off(parts=3)
    path = sorted(left.glob("_parts/*/*.predictions"))[1]
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "cut" else content[:-9] + b"7" + content[-8:])
    record = run(resume=True)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert published(left) == whole
    assert "is damaged or gone; its chunk is processed again" in caplog.text


@pytest.mark.parametrize("moved", [0, 1, 7])
def test_a_run_killed_while_it_published_only_publishes_the_rest(
    moved, run, published, monkeypatch
):
    whole = published(run(out="whole")["outputInfo"]["gcsOutputDirectory"])
    rename = publish_files.files.rename

    def rename_some(sources, destinations, replace=True):
        if not replace:
            rename(sources[:moved], destinations[:moved], replace)
            raise RuntimeError("the power went")
        rename(sources, destinations, replace)

    with monkeypatch.context() as patch:
        patch.setattr(publish_files.files, "rename", rename_some)
        left = Path(run()["outputInfo"]["gcsOutputDirectory"])
    assert len(published(left)) == moved
    monkeypatch.setattr(read_dofns, "read_chunk", None)
    assert run(resume=True)["state"] == "JOB_STATE_SUCCEEDED"
    assert published(left) == whole
    assert verify(str(left)).wrong == ()


def test_a_run_killed_behind_its_publication_gets_its_record(run, published, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(finish, "write_manifest", lambda *_: 1 / 0)
        left = Path(run()["outputInfo"]["gcsOutputDirectory"])
    before = published(left)
    (tmp_path / "in2.jsonl").write_text("1\n")  # new inputs no longer matter
    assert run(resume=True)["state"] == "JOB_STATE_SUCCEEDED"
    assert published(left) == before
    assert verify(str(left)).wrong == ()


def test_inputs_that_have_changed_are_named(run, break_off, tmp_path):
    break_off()
    (tmp_path / "in2.jsonl").write_text("1\n")
    (tmp_path / "in.jsonl").write_text(ROWS + "7\n")
    with pytest.raises(InvalidArgument) as raised:
        run(resume=True)
    text = str(raised.value)
    assert " more\n" not in text
    size = len(ROWS)
    assert f"input {tmp_path}/in.jsonl was changed, from {size} to {size + 2} bytes" in text
    assert f"input {tmp_path}/in2.jsonl is new" in text
    assert "without --resume" in text
    for number in range(3, 8):
        (tmp_path / f"in{number}.jsonl").write_text("1\n")
    with pytest.raises(InvalidArgument) as raised:
        run(resume=True)
    changes = [line for line in str(raised.value).splitlines() if line.startswith("  ")]
    assert changes[4].endswith("/in5.jsonl is new")
    assert changes[5] == "  and 2 more"


def test_an_input_of_the_same_size_that_is_newer_has_changed(run, break_off, tmp_path):
    break_off()
    path = tmp_path / "in.jsonl"
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 5))
    with pytest.raises(InvalidArgument, match="was changed: it is newer, of the same size"):
        run(resume=True)


def test_options_that_have_changed_are_named(run, break_off):
    break_off()
    with pytest.raises(InvalidArgument, match="source.chunk_bytes is 300, and was 200"):
        run(resume=True, chunk_bytes=300)
    with pytest.raises(InvalidArgument, match="model.signature_name"):
        run(resume=True, signature_name="total")
    # What changes no result may change.
    assert run(resume=True, max_failed_fraction=0.9)["state"] == "JOB_STATE_SUCCEEDED"


def test_a_resumed_run_keeps_the_chunks_of_its_plan(run, break_off, published):
    whole = run(out="whole")
    left = break_off()
    record = run(resume=True, chunk_bytes=None)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert Path(record["outputInfo"]["gcsOutputDirectory"]) == left
    assert published(left) == published(whole["outputInfo"]["gcsOutputDirectory"])


def test_a_run_without_a_chunk_size_is_resumed_with_the_size_that_its_input_decided(
    run, breaking_off, published, monkeypatch
):
    monkeypatch.setattr(chunk_sizes, "LEAST_CHUNK_BYTES", 200)
    whole = run(out="whole")
    with breaking_off(2):
        left = run(chunk_bytes=None)["outputInfo"]["gcsOutputDirectory"]
    monkeypatch.setattr(chunk_sizes, "LEAST_CHUNK_BYTES", 300)  # as a later release may decide
    assert run(resume=True, chunk_bytes=None)["state"] == "JOB_STATE_SUCCEEDED"
    assert published(left) == published(whole["outputInfo"]["gcsOutputDirectory"])


def test_software_that_has_changed_is_named_and_the_run_resumed(run, break_off):
    (plan,) = break_off().glob("**/run.plan")
    first, *inputs = plan.read_text().splitlines(True)
    head = json.loads(first)
    head["versions"]["python"] = "2.7"
    plan.write_text("".join([json.dumps(head) + "\n", *inputs]))
    lines = []
    assert run(resume=True, show=lines.append)["state"] == "JOB_STATE_SUCCEEDED"
    (line,) = [line for line in lines if line.startswith("note: the software has changed")]
    assert ": python is " in line
    assert line.endswith('and was "2.7"')


def test_a_run_whose_plan_is_missing_is_refused(tmp_path):
    spec = BatchPredictSpec(JsonLines("in.jsonl"), SavedModel("m"), GcsDestination(str(tmp_path)))
    unfinished = Unfinished(str(tmp_path / "out"), now(), "run")
    with pytest.raises(
        InvalidArgument, match=rf"the run in {tmp_path}/out:\n  its plan is missing"
    ):
        check_resumable(unfinished, spec)


def test_a_run_of_a_release_that_keeps_it_otherwise_is_refused(run, break_off):
    (plan,) = break_off().glob("**/run.plan")
    first, *inputs = plan.read_text().splitlines(True)
    head = json.loads(first)
    plan.write_text("".join([json.dumps({**head, "format": head["format"] - 1}) + "\n", *inputs]))
    with pytest.raises(InvalidArgument, match="was written by another release"):
        run(resume=True)


def test_a_model_that_has_changed_is_named(run, break_off, tiny_model, tmp_path):
    model = tmp_path / "model" / "tiny"
    shutil.copytree(tiny_model, model)
    break_off(model=str(model))
    (model / "saved_model.pb").touch()
    with pytest.raises(InvalidArgument, match=r"model file .*saved_model.pb was changed"):
        run(resume=True, model=str(model))


def test_without_an_unfinished_run_there_is_nothing_to_resume(run, break_off):
    with pytest.raises(InvalidArgument, match="there is no unfinished run of 'tiny'"):
        run(resume=True)
    run()
    break_off(display_name="another")
    with pytest.raises(InvalidArgument, match="there is no unfinished run of 'tiny'"):
        run(resume=True)


def test_the_newest_unfinished_run_is_taken(run, break_off):
    older = break_off()
    newer = break_off(parts=1)
    run()
    assert run(resume=True)["outputInfo"]["gcsOutputDirectory"] == str(newer)
    assert run(resume=True)["outputInfo"]["gcsOutputDirectory"] == str(older)


def test_a_run_that_failed_before_it_began_leaves_nothing_to_resume(run, tmp_path):
    record = run(model=str(tmp_path / "nowhere"))
    assert record["state"] == "JOB_STATE_FAILED"
    directory = Path(record["outputInfo"]["gcsOutputDirectory"])
    assert [path.name for path in directory.iterdir()] == ["job.json"]


def test_a_run_that_another_process_works_on_is_left_to_it(run, break_off):
    left = break_off()
    (parts,) = left.glob("_parts/*")
    with open(parts / "lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InvalidArgument, match="another process works on the run in"):
            run(resume=True)
    assert run(resume=True)["state"] == "JOB_STATE_SUCCEEDED"


def test_a_run_that_works_is_passed_over_for_one_that_broke_off(run, break_off):
    older, newer = break_off(), break_off(parts=1)
    (newer.parent / newer.name.replace("-20", "-2x", 1)).mkdir()  # a stranger
    (newer.parent / newer.name.replace("-20", "-2x", 1) / "job.json").write_text("{}")
    (parts,) = newer.glob("_parts/*")
    with open(parts / "lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (others,) = older.glob("_parts/*")
        with open(others / "lock", "ab") as both:
            fcntl.flock(both, fcntl.LOCK_EX)
            with pytest.raises(InvalidArgument, match=f"works on the run in {newer}\n"):
                run(resume=True)
        assert run(resume=True)["outputInfo"]["gcsOutputDirectory"] == str(older)
        with pytest.raises(InvalidArgument) as raised:
            run(resume=True)
    assert str(raised.value).startswith(f"another process works on the run in {newer}\n")


def test_an_attempt_that_was_taken_over_says_so_and_touches_nothing(run, monkeypatch, tmp_path):
    finish = write_dofns.finish_run

    def late(parts, record, *rest):
        (Path(record.parts_directory) / "attempt").write_text("of another process")
        return finish(parts, record, *rest)

    monkeypatch.setattr(write_dofns, "finish_run", late)
    with pytest.raises(TakenOver, match="another process has resumed the run"):
        run()
    (directory,) = (tmp_path / "out").iterdir()
    assert json.loads((directory / "job.json").read_text())["state"] == "JOB_STATE_RUNNING"
    assert sorted(path.name for path in directory.iterdir()) == ["_parts", "job.json"]


def test_what_passes_is_tried_again_by_the_run_itself(run, published, monkeypatch):
    whole = published(run(out="whole")["outputInfo"]["gcsOutputDirectory"])
    failures = iter([1, 4, 4])
    fail_at = next(failures)
    written = []

    def write(part, directory):
        nonlocal fail_at
        if len(written) >= fail_at:
            fail_at = next(failures, 100)
            raise StorageUnavailable("gs://bucket/x: storage fails with HTTP 503")
        written.append(part.chunk)
        metadata.write_part_metadata(part, directory)

    monkeypatch.setattr(write_dofns, "write_part_metadata", write)
    monkeypatch.setattr(run_command, "WAIT_SECONDS", 0.01)
    lines = []
    record = run(show=lines.append)
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert published(record["outputInfo"]["gcsOutputDirectory"]) == whole
    assert len(written) == len(set(written))
    assert sum("resuming the run after: " in line for line in lines) == 3


def test_what_does_not_pass_ends_the_run_after_some_attempts(run, monkeypatch):
    monkeypatch.setattr(run_command, "WAIT_SECONDS", 0.01)
    tried = []

    def write(part, directory):
        tried.append(part)
        raise StorageUnavailable("gs://bucket/x: storage fails with HTTP 503")

    monkeypatch.setattr(write_dofns, "write_part_metadata", write)
    record = run()
    assert record["state"] == "JOB_STATE_FAILED"
    assert "storage fails with HTTP 503" in record["error"]["message"]
    assert len(tried) == run_command.MOST_ATTEMPTS


def test_an_input_that_changes_while_the_job_runs_is_a_partial_failure(run, tmp_path, monkeypatch):
    read_chunk = read_dofns.read_chunk
    path = tmp_path / "in.jsonl"

    def reading(chunk, *rest):
        yield from read_chunk(chunk, *rest)
        if chunk.number == 0:
            path.write_text(ROWS + "7\n")

    monkeypatch.setattr(read_dofns, "read_chunk", reading)
    record = run()
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert record["completionStats"]["incompleteCount"] == "-1"
    [first, *_] = record["partialFailures"]
    size = len(ROWS)
    assert first["message"].startswith(
        f"{path}: changed while the job ran, from {size} to {size + 2} bytes"
    )
    assert first["code"] == 10
