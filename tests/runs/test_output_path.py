"""Runs whose files are right under an output path, as AI Platform had them."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest

import beam_batch_predict as bbp
from beam_batch_predict.commands import run as run_command
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.errors import DestinationError, InvalidArgument
from beam_batch_predict.sinks.publish import files as publish_files
from beam_batch_predict.spec import BatchPredictSpec, FileNames, RecordShape, RunOptions
from beam_batch_predict.spec.resources import Resources

ROWS = "".join(
    "oops\n" if n % 17 == 5 else "[1]\n" if n % 40 == 1 else f"{n}\n" for n in range(200)
)
BAD = [n for n in range(200) if n % 17 == 5 or n % 40 == 1]


@dataclasses.dataclass(frozen=True)
class Job:
    """A job of another service, as far as a run knows jobs."""

    spec: BatchPredictSpec
    display_name: str = "old_job"
    resources: Resources = Resources()

    def to_spec(self, options=None):
        source = self.spec.source
        if options is not None:
            source = dataclasses.replace(source, chunk_bytes=options.chunk_bytes)
        return dataclasses.replace(self.spec, source=source, job=self)

    def render(self, outcome):
        state = "RUNNING" if outcome.start_time else "QUEUED"
        if outcome.end_time:
            state = "FAILED" if outcome.error else "SUCCEEDED"
        record = {
            "jobId": self.display_name,
            "createTime": outcome.create_time.isoformat(timespec="milliseconds")[:-6] + "Z",
            "state": state,
            "predictionOutput": {
                "outputPath": outcome.output_directory,
                "predictionCount": outcome.successful_count,
                "errorCount": outcome.failed_count,
            },
        }
        if outcome.error:
            record["errorMessage"] = outcome.error.message
        return json.dumps(record).encode()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(tmp_path, tiny_model, out):
    """A function that runs a job on a file of rows, in several chunks: its record."""
    (tmp_path / "in.jsonl").write_text(ROWS)

    def run_again(
        resume=False, out=out, flags=(), name="old_job", model=tiny_model, uri="in.jsonl", **how
    ):
        spec = BatchPredictSpec(
            bbp.JsonLines(str(tmp_path / uri)),
            bbp.SavedModel(model),
            bbp.GcsDestination(f"{out}/", own_directory=False, file_names=FileNames.SHARDED),
            bbp.InstanceConfig(location_as_key=True),
            record_shape=RecordShape.OUTPUTS,
            **how,
        )
        options = RunOptions(chunk_bytes=200, resume=resume)
        finished = run_command.run_job(Job(spec, name), options, list(flags), lambda line: None)
        return json.loads(finished.job)

    return run_again


def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


def results(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.glob("prediction.*"))}


def lines_of(content, kind):
    found = [text for name, text in content.items() if name.startswith(f"{kind}-")]
    return [json.loads(line) for text in found for line in text.splitlines()]


def test_files_are_right_under_the_path_and_named_with_their_number(run, out):
    record = run()
    assert record["state"] == "SUCCEEDED"
    assert record["predictionOutput"] == {
        "outputPath": str(out),
        "predictionCount": 200 - len(BAD),
        "errorCount": len(BAD),
    }
    content = results(out)
    chunks = -(-len(ROWS) // 200)
    assert chunks == 4
    assert names_in(out) == [
        "job.json",
        "manifest.json",
        *(f"prediction.errors-0000{n}-of-00004" for n in range(4)),
        "prediction.errors_stats-00000-of-00001",
        *(f"prediction.results-0000{n}-of-00004" for n in range(4)),
    ]
    place = f"{out.parent}/in.jsonl"
    at = [0]
    for line in ROWS.splitlines():
        at.append(at[-1] + len(line) + 1)
    assert lines_of(content, "prediction.results") == [
        {"key": f"{place}:{at[n]}", "y": 2.0 * n} for n in range(200) if n not in BAD
    ]
    errors = lines_of(content, "prediction.errors")
    assert [line["key"] for line in errors] == [f"{place}:{at[n]}" for n in BAD]
    assert {line["error"]["code"] for line in errors} == {3}
    assert verify(str(out)).wrong == ()
    assert verify(str(out)).rows == 200


def test_statistics_count_the_rows_that_failed_by_message(run, out):
    run()
    stats = (out / "prediction.errors_stats-00000-of-00001").read_text().splitlines()
    found = [ast.literal_eval(line) for line in stats]
    assert all(line == repr(pair) for line, pair in zip(stats, found, strict=True))
    assert [count for _, count in found] == sorted((count for _, count in found), reverse=True)
    assert sum(count for _, count in found) == len(BAD)
    assert found[0][1] == sum(n % 17 == 5 for n in range(200))
    assert found[1] == ('input "x": expected shape [] (a scalar), such as 0.0', 5)


def test_without_errors_statistics_are_empty_and_there_is_no_other_file(run, out, tmp_path):
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    run()
    content = results(out)
    assert sorted(content) == [
        "prediction.errors_stats-00000-of-00001",
        "prediction.results-00000-of-00001",
    ]
    assert content["prediction.errors_stats-00000-of-00001"] == b""


def test_without_predictions_there_is_an_empty_file(run, out, tmp_path):
    (tmp_path / "in.jsonl").write_text("oops\n" * 3)
    assert run(max_failed_fraction=1)["predictionOutput"]["errorCount"] == 3
    content = results(out)
    assert content["prediction.results-00000-of-00001"] == b""
    assert len(lines_of(content, "prediction.errors")) == 3


@pytest.mark.slow
def test_two_workers_leave_what_one_does(run, tmp_path):
    run(out=tmp_path / "one")
    run(out=tmp_path / "two", flags=["--direct_num_workers=2"])
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_a_path_may_be_that_of_the_inputs(run, out, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "in.jsonl").write_text("1\n2\n")
    assert run(out=tmp_path / "more", uri="more/in*")["state"] == "SUCCEEDED"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "in.jsonl").write_text("1\n2\n")
    for pattern in "*", "*.json":
        record = run(out=tmp_path / "other", uri=f"other/{pattern}")
        assert "job.json, which this run writes, is among its inputs: " in record["errorMessage"]
    assert run(out=tmp_path / "other", uri="other/i*")["state"] == "SUCCEEDED"


def test_a_path_with_files_of_others_is_taken_as_it_is(run, out):
    out.mkdir()
    (out / "README").write_text("mine")
    (out / "predictions").mkdir()
    assert run()["state"] == "SUCCEEDED"
    assert (out / "README").read_text() == "mine"
    assert (out / "predictions").is_dir()


@pytest.mark.parametrize(
    "name",
    [
        "job.json",
        "manifest.json",
        "prediction.results-00000-of-00001",
        "prediction.results_header.csv",
        "prediction.errors_stats-00000-of-00001",
        "_parts/0123/chunk-000000-rows-0-1.predictions",
    ],
)
def test_a_path_with_results_of_another_run_is_refused(name, run, out):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("theirs")
    before = names_in(out)
    shown = name.partition("/")[0]
    with pytest.raises(DestinationError, match=f"{shown} exists already: another run") as caught:
        run()
    assert "output path" in str(caught.value)
    assert names_in(out) == before
    assert (out / name).read_text() == "theirs"


def test_a_path_that_is_a_file_is_refused(run, out):
    out.write_text("mine")
    with pytest.raises(DestinationError, match="cannot make the output directory"):
        run()
    assert out.read_text() == "mine"


def test_a_path_with_a_finished_run_is_refused(run, out):
    run()
    before = results(out) | {"job.json": (out / "job.json").read_bytes()}
    with pytest.raises(DestinationError, match="another run has published"):
        run()
    assert results(out) | {"job.json": (out / "job.json").read_bytes()} == before


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "JOB_STATE_CANCELLED"])
def test_the_record_of_a_job_that_ended_and_left_nothing_gives_way(state, run, out):
    out.mkdir()
    (out / "job.json").write_text(json.dumps({"state": state}))
    assert run()["state"] == "SUCCEEDED"


def test_of_jobs_that_come_together_one_gets_the_path(run, out, monkeypatch):
    from beam_batch_predict.runs import output_path

    claim = output_path.Run.claim

    def late(record):
        (out / "job.json").write_text("of the other job")
        return claim(record)

    out.mkdir()
    monkeypatch.setattr(output_path.Run, "claim", late)
    with pytest.raises(DestinationError, match=r"job\.json exists already"):
        run()
    assert names_in(out) == ["job.json"]


def test_a_job_that_failed_before_it_began_does_not_stand_in_the_way(run, out):
    assert "nothing*.jsonl" in run(uri="nothing*.jsonl")["errorMessage"]
    assert json.loads((out / "job.json").read_text())["state"] == "FAILED"
    assert names_in(out) == ["job.json"]
    assert run()["state"] == "SUCCEEDED"
    assert verify(str(out)).wrong == ()


@pytest.mark.parametrize(
    ("parts", "form"),
    [
        (1, "csv"),
        pytest.param(0, "jsonl", marks=pytest.mark.slow),
        pytest.param(3, "jsonl", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_leaves_what_an_undisturbed_one_does(
    parts, form, run, out, tmp_path, breaking_off
):
    whole = tmp_path / "whole"
    record = run(out=whole, predictions_format=form)
    with breaking_off(parts):
        broken = run(predictions_format=form)
    assert broken["state"] == "FAILED"
    assert results(out) == {}
    with pytest.raises(DestinationError, match="use --resume for an interrupted run"):
        run()
    resumed = run(resume=True, predictions_format=form)
    assert resumed["createTime"] == broken["createTime"]
    assert resumed["state"] == record["state"] == "SUCCEEDED"
    assert results(out) == results(whole)
    assert names_in(out) == names_in(whole)
    assert verify(str(out)).wrong == ()


@pytest.mark.parametrize(
    "moved", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 8, 9))]
)
def test_a_run_killed_while_it_published_only_publishes_the_rest(
    moved, run, out, tmp_path, monkeypatch
):
    run(out=tmp_path / "whole")
    rename = publish_files.files.rename

    def dying(sources, names, replace=True):
        if replace:
            return rename(sources, names)
        rename(sources[:moved], names[:moved], replace)
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(publish_files.files, "rename", dying)
        assert run()["state"] == "FAILED"
    assert len(results(out)) == moved
    run(resume=True)
    assert results(out) == results(tmp_path / "whole")
    assert verify(str(out)).wrong == ()


def test_a_run_of_another_job_is_not_resumed(run, out, breaking_off):
    with breaking_off(1):
        run()
    with pytest.raises(InvalidArgument, match="no unfinished run of 'another'"):
        run(resume=True, name="another")


def test_too_many_failed_rows_show_errors_and_no_results(run, out, tmp_path):
    (tmp_path / "in.jsonl").write_text("oops\n" * 200)
    record = run()
    assert record["state"] == "FAILED"
    content = results(out)
    assert not any(name.startswith("prediction.results") for name in content)
    assert lines_of(content, "prediction.errors")[0]["key"] == f"{tmp_path}/in.jsonl:0"
    (line,) = content["prediction.errors_stats-00000-of-00001"].decode().splitlines()
    assert ast.literal_eval(line)[1] == len(lines_of(content, "prediction.errors"))


def test_what_is_changed_or_added_afterwards_is_found(run, out):
    run()
    (out / "prediction.results-00004-of-00005").write_text("")
    (out / "errors_of_mine").write_text("")
    (out / "prediction.errors_stats-00000-of-00001").write_text("('no', 7)\n")
    wrong = verify(str(out)).wrong
    assert [each.split()[0] for each in wrong] == [
        "prediction.errors_stats-00000-of-00001",
        "prediction.results-00004-of-00005",
    ]


def test_in_a_pipeline_of_ones_own_the_path_is_taken_when_it_runs(
    out, tmp_path, tiny_model, pipeline
):
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    destination = bbp.GcsDestination(str(out), own_directory=False, file_names=FileNames.SHARDED)

    def go():
        with pipeline() as p:
            _ = (
                p
                | bbp.ReadInstances(bbp.JsonLines(str(tmp_path / "in.jsonl")))
                | bbp.ConvertInstances()
                | bbp.Predict(bbp.SavedModel(tiny_model))
                | bbp.WriteResults(destination, record_shape=RecordShape.OUTPUTS)
            )

    go()
    assert lines_of(results(out), "prediction.results") == [{"y": 2.0}, {"y": 4.0}]
    assert verify(str(out)).wrong == ()
    before = results(out)
    with pytest.raises(Exception, match="another run has published"):
        go()
    assert results(out) == before


def test_a_job_in_a_pipeline_takes_the_path_too(out, tmp_path, tiny_model, pipeline):
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    spec = BatchPredictSpec(
        bbp.JsonLines(str(tmp_path / "in.jsonl")),
        bbp.SavedModel(tiny_model),
        bbp.GcsDestination(str(out), own_directory=False),
    )

    def go():
        with pipeline() as p:
            _ = p | bbp.BatchPredict(Job(spec))

    go()
    assert names_in(out) == ["job.json", "manifest.json", "predictions_0001.jsonl"]
    assert json.loads((out / "job.json").read_text())["state"] == "SUCCEEDED"
    with pytest.raises(Exception, match="another run has published"):
        go()


def test_directories_of_their_own_can_have_these_names_too(tmp_path, tiny_model, pipeline):
    destination = bbp.GcsDestination(str(tmp_path / "out"), file_names=FileNames.SHARDED)
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    spec = BatchPredictSpec(
        bbp.JsonLines(str(tmp_path / "in.jsonl")), bbp.SavedModel(tiny_model), destination
    )
    with pipeline() as p:
        predict = bbp.BatchPredict(spec)
        _ = p | predict
    assert lines_of(results(Path(predict.directory)), "prediction.results") == [
        {"instance": 1, "prediction": 2.0},
        {"instance": 2, "prediction": 4.0},
    ]
    assert verify(predict.directory).wrong == ()
