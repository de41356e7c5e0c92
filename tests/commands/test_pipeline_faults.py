"""Faults between reading and publishing: whatever a runner does, the files are the same."""

import itertools
import json
import threading
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import beam_batch_predict as bbp
from beam_batch_predict.batch import Chunk, InstanceBatch, Predictions, Span
from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms.read_dofns import ReadChunk
from beam_batch_predict.transforms.write_dofns import FinishRun, WriteParts

ROWS = 150
CHUNK_BYTES = 200


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    """Numbers, of which every seventeenth is none."""
    path = tmp_path_factory.mktemp("rows") / "in.jsonl"
    path.write_text("".join("oops\n" if n % 17 == 5 else f"{n}.5\n" for n in range(ROWS)))
    return str(path)


def batches_of_chunks(sizes):
    """Batches of chunks; sizes[c] has the number of rows of each batch of chunk c."""
    made = []
    for chunk, counts in enumerate(sizes):
        first = 0
        for at, count in enumerate(counts):
            texts = [b"%d" % (chunk * 100 + first + row) for row in range(count)]
            bad = [row for row in range(count) if (first + row) % 3 == 1]
            good = [row for row in range(count) if row not in bad]
            column = np.array([float(texts[row]) for row in good])
            made.append(
                InstanceBatch(
                    texts,
                    chunk=chunk,
                    chunks=len(sizes),
                    first_row=first,
                    last=at == len(counts) - 1,
                    instances=texts,
                    texts=texts,
                    statuses={row: Status(Code.INVALID_ARGUMENT, "bad") for row in bad},
                    predictions=(Predictions(good, {"y": column}),) if good else (),
                )
            )
            first += count
    return made


def run_bundle(dofn, batches):
    """What a bundle gives: parts of process, then those of finish_bundle without windows."""
    dofn.start_bundle()
    parts = [part for batch in batches for part in dofn.process(batch)]
    return parts + [windowed.value for windowed in dofn.finish_bundle()]


class Ending:
    """The end of a pipeline, driven by hand."""

    def __init__(self, directory):
        self.directory = directory
        self.record = Run(str(directory), now())
        self.finish = FinishRun(self.record, OutputSettings())

    def writer(self):
        return WriteParts(self.record, OutputSettings())

    def publish(self, parts):
        list(self.finish.process(None, parts, None))
        return {path.name: path.read_bytes() for path in self.directory.glob("*.jsonl")}


@st.composite
def bundles_of_batches(draw):
    """Chunks, and their batches over bundles, in any order that keeps rows in order inside."""
    sizes = draw(
        st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=4)
    )
    if draw(st.booleans()):
        sizes[-1].append(0)
    batches = batches_of_chunks(sizes)
    bundles = {}
    for batch in batches:
        bundles.setdefault(draw(st.integers(0, 3)), []).append(batch)
    mixed = []
    for bundle in draw(st.permutations(list(bundles.values()))):
        queues = [list(group) for _, group in itertools.groupby(bundle, lambda batch: batch.chunk)]
        order = draw(st.permutations([n for n, queue in enumerate(queues) for _ in queue]))
        mixed.append([queues[number].pop(0) for number in order])
    return sizes, mixed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=bundles_of_batches())
def test_any_bundles_of_batches_publish_the_same_bytes(case, tmp_path_factory):
    sizes, bundles = case
    whole = Ending(tmp_path_factory.mktemp("whole"))
    expected = whole.publish(run_bundle(whole.writer(), batches_of_chunks(sizes)))
    run = Ending(tmp_path_factory.mktemp("bundles"))
    parts = [part for bundle in bundles for part in run_bundle(run.writer(), bundle)]
    assert run.publish(parts) == expected
    assert expected["predictions_0001.jsonl"]


def test_more_open_chunks_than_a_bundle_keeps_open(tmp_path):
    sizes = [[2, 2]] * 100
    whole, run = Ending(tmp_path / "whole"), Ending(tmp_path / "mixed")
    expected = whole.publish(run_bundle(whole.writer(), batches_of_chunks(sizes)))
    mixed = sorted(batches_of_chunks(sizes), key=lambda batch: batch.first_row)
    assert run.publish(run_bundle(run.writer(), mixed)) == expected
    assert len(expected) == 200


@pytest.mark.parametrize("new_instance", [False, True])
def test_a_bundle_that_failed_and_was_done_again_counts_once(new_instance, tmp_path):
    sizes = [[3, 2], [2, 2]]
    whole, run = Ending(tmp_path / "whole"), Ending(tmp_path / "again")
    expected = whole.publish(run_bundle(whole.writer(), batches_of_chunks(sizes)))
    first = run.writer()
    first.start_bundle()
    for batch in batches_of_chunks(sizes)[:3]:  # a whole chunk, and half of the next
        list(first.process(batch))
    if new_instance:
        first.teardown()
    second = run.writer() if new_instance else first
    parts = run_bundle(second, batches_of_chunks(sizes))
    left = [path for path in Path(run.record.parts_directory).iterdir() if path.suffix == ".tmp"]
    assert left == []
    assert run.publish(parts) == expected


def test_two_attempts_at_the_same_time_leave_one_result(tmp_path):
    sizes = [[2, 3]] * 20
    whole, run = Ending(tmp_path / "whole"), Ending(tmp_path / "race")
    expected = whole.publish(run_bundle(whole.writer(), batches_of_chunks(sizes)))
    attempts = []
    barrier = threading.Barrier(2)

    def attempt():
        barrier.wait()
        attempts.append(run_bundle(run.writer(), batches_of_chunks(sizes)))

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(attempts) == 2
    assert run.publish(attempts[0]) == expected


def test_a_file_that_vanished_after_the_plan_is_a_partial_failure(tmp_path, rows_file):
    spans = (Span(str(tmp_path / "gone.jsonl"), 0, 10), Span(rows_file, 0, 8))
    *_, last = ReadChunk(4).process(Chunk(0, 1, spans))
    assert last.last
    assert [failure.code for failure in last.source_failures] == [Code.NOT_FOUND]
    assert "gone.jsonl" in last.source_failures[0].message
    assert list(last.rows) == [b"0.5", b"1.5"]


class Composed(beam.PTransform):
    """The README's pipeline, perhaps with a step between two of its steps."""

    def __init__(self, rows_file, model, out, between=()):
        super().__init__()
        self.source = bbp.JsonLines(rows_file, chunk_bytes=CHUNK_BYTES)
        self.model, self.out, self.between = model, out, between

    def broken(self, after):
        return [f"Between{after}" >> beam.Reshuffle()] if after in self.between else []

    def expand(self, begin):
        steps = [
            bbp.ReadInstances(self.source, batch_size=4),
            *self.broken("Read"),
            bbp.ConvertInstances(),
            *self.broken("Convert"),
            bbp.Predict(bbp.SavedModel(self.model), batch_size=4),
            *self.broken("Predict"),
            bbp.WriteResults(bbp.GcsDestination(self.out)),
        ]
        collection = begin
        for step in steps:
            collection = collection | step
        return collection


def run_composed(pipeline, *arguments, flags=()):
    with pipeline(*flags) as p:
        composed = Composed(*arguments)
        _ = p | composed
    (directory,) = Path(composed.out).iterdir()
    return {path.name: path.read_bytes() for path in directory.glob("*_*.jsonl")}


@pytest.fixture(scope="module")
def expected(rows_file):
    """What is to be published of the file, chunk by chunk: the plan's borders by hand."""
    text = Path(rows_file).read_bytes()
    chunks, start = {}, 0
    for line in text.splitlines(keepends=True):
        chunks.setdefault(start // CHUNK_BYTES, []).append(line.strip().decode())
        start += len(line)
    return [chunks[number] for number in sorted(chunks)]


def check_published(found, expected):
    predictions = [v for k, v in sorted(found.items()) if k.startswith("predictions")]
    errors = [v for k, v in sorted(found.items()) if k.startswith("errors")]
    assert [
        [(line["instance"], line["prediction"]) for line in map(json.loads, text.splitlines())]
        for text in predictions
    ] == [[(float(row), 2 * float(row)) for row in rows if row != "oops"] for rows in expected]
    failed = [line for text in errors for line in map(json.loads, text.splitlines())]
    assert len(failed) == sum(row == "oops" for rows in expected for row in rows) > 0
    assert len(found) == len(predictions) + len(errors)


@pytest.mark.parametrize("between", [("Read",), ("Convert",), ("Predict",), ("Read", "Predict")])
def test_a_stage_that_is_not_fused_publishes_the_same_files(
    between, pipeline, rows_file, tiny_model, tmp_path, expected
):
    fused = run_composed(pipeline, rows_file, tiny_model, str(tmp_path / "fused"))
    check_published(fused, expected)
    broken = run_composed(pipeline, rows_file, tiny_model, str(tmp_path / "broken"), between)
    assert broken == fused
    assert len(expected) > 3


def test_several_processes_publish_the_same_files(
    pipeline, rows_file, tiny_model, tmp_path, expected, monkeypatch
):
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    one = run_composed(pipeline, rows_file, tiny_model, str(tmp_path / "one"))
    two = run_composed(pipeline, rows_file, tiny_model, str(tmp_path / "two"), flags=flags)
    assert two == one
    check_published(one, expected)
