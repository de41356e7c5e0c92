"""Input patterns that match outputs: of the run itself, and of earlier runs beside it."""

import datetime

import pytest

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.files import match
from beam_batch_predict.runs.own_outputs import refuse_outputs
from beam_batch_predict.runs.run import Run
from beam_batch_predict.sinks.naming import output_directory, shared_directory
from beam_batch_predict.spec import (
    BatchPredictSpec,
    FileNames,
    GcsDestination,
    JsonLines,
    SavedModel,
)

TIME = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
EARLIER = "data/prediction-m-2025-12-31T00:00:00.000Z"
OTHER = "data/prediction-other-2025-12-31T00:00:00.000Z"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with inputs, and the outputs of earlier runs."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "data/in.jsonl",
        "data/more/predictions_0001.jsonl",
        *(
            f"{directory}/{name}"
            for directory in (EARLIER, OTHER)
            for name in ("predictions_0001.jsonl", "errors_0001.jsonl", "job.json", "manifest.json")
        ),
        "old/prediction.results-00000-of-00001",
        "old/job.json",
        "old/manifest.json",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
    return tmp_path


def check(*patterns, prefix="data", form="jsonl", shared=False):
    """Check the patterns of a run that writes under a prefix."""
    names = FileNames.SHARDED if shared else FileNames.NUMBERED
    destination = GcsDestination(prefix, own_directory=not shared, file_names=names)
    spec = BatchPredictSpec(
        JsonLines(patterns), SavedModel("model"), destination, predictions_format=form
    )
    directory = shared_directory(prefix) if shared else output_directory(prefix, "m", TIME)
    run = Run(directory, TIME, file_names=names, own_directory=not shared)
    refuse_outputs(spec, [file for pattern in patterns for file in match(pattern)], run)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    ("pattern", "how", "name"),
    [
        ("data/**", {}, "job.json"),
        ("./data/*/*", {}, "job.json"),
        ("data/**.jsonl", {}, "predictions_0001.jsonl"),
        ("data/**/predictions_*", {"form": "csv"}, "predictions_0001.csv"),
        ("data/prediction-m-*/errors_*", {}, "errors_0001.jsonl"),
        ("data/*", {"shared": True}, "job.json"),
        ("data/", {"shared": True}, "job.json"),
        ("data/*.json", {"shared": True}, "job.json"),
        ("data/prediction.results-*", {"shared": True}, "prediction.results-00000-of-00001"),
        ("data/p*", {"shared": True, "prefix": "data/"}, "prediction.results-00000-of-00001"),
        ("data/*stats*", {"shared": True}, "prediction.errors_stats-00000-of-00001"),
        ("data/*header*", {"shared": True, "form": "csv"}, "prediction.results_header.csv"),
    ],
)
def test_a_pattern_that_matches_what_the_run_writes_is_refused(here, pattern, how, name, absolute):
    if absolute:
        pattern = f"{here}/{pattern}"
    words = f"{name}, which this run writes, is among its inputs: {pattern} matches it"
    with pytest.raises(InvalidArgument) as caught:
        check("data/in.jsonl", pattern, **how)
    assert words in str(caught.value)
    assert "use a narrower pattern" in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "prefix", "name"),
    [
        ("data/*/*0001.jsonl", "data", "predictions_0001.jsonl, which this run writes"),
        ("data/*other*/*.jsonl", "data", "errors_0001.jsonl, which an earlier run wrote"),
        (f"{EARLIER}/*", "out", "job.json, which an earlier run wrote"),
        (f"{EARLIER}/*.json", "data", "job.json, which an earlier run wrote"),
        ("old/*", "data", "job.json, which an earlier run wrote"),
        ("**/manifest.json", "data", "manifest.json, which this run writes"),
    ],
)
def test_a_pattern_that_matches_outputs_of_an_earlier_run_is_refused(here, pattern, prefix, name):
    with pytest.raises(InvalidArgument) as caught:
        check(pattern, prefix=prefix)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "how"),
    [
        ("data/*", {}),
        ("data/*.jsonl", {}),
        ("data/in.jsonl", {"shared": True}),
        ("data/i*", {"shared": True}),
        ("data/*.csv", {"shared": True}),
        ("data/**.jsonl", {"prefix": "out"}),
        ("data/more/*", {}),
        (f"{EARLIER}/predictions_*", {}),  # results that are meant
        (f"{EARLIER}/errors_*.jsonl", {"prefix": "out"}),
        (f"{OTHER}/predictions_0001.jsonl", {}),
        ("data/prediction-other-*/predictions_*", {}),
        ("old/prediction.results-*", {"shared": True}),
    ],
)
def test_a_pattern_that_matches_no_output_by_chance_is_accepted(here, pattern, how):
    check(pattern, **how)


def test_the_names_of_objects_are_compared_as_they_are():
    destination = GcsDestination("gs://b/data/")
    run = Run(output_directory("gs://b/data", "m", TIME), TIME)
    for pattern, refused in (
        ("gs://b/data/**", True),
        ("gs://b/**.json", True),
        ("gs://b/data/*.jsonl", False),
        ("gs://c/**", False),
    ):
        spec = BatchPredictSpec(JsonLines(pattern), SavedModel("model"), destination)
        try:
            refuse_outputs(spec, [], run)
            assert not refused
        except InvalidArgument:
            assert refused
