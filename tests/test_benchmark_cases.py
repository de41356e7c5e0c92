"""The arithmetic of the benchmark's cases, their inputs and the check of outputs."""

import dataclasses
import json

import orjson
import pytest

from benchmarks import generate
from benchmarks.arena import Run
from benchmarks.cache import LAYOUTS
from benchmarks.cases import CASES, main
from benchmarks.check import check
from benchmarks.contestants import OURS, OURS_VS
from benchmarks.measure import BenchmarkError, Measurement
from benchmarks.report import Line


def runs(case, seconds):
    """Runs of one round in which start-up takes a second, and the rows take these seconds."""
    return {
        each.name: [
            Run(
                each,
                1100,
                Measurement(1.0, 1.0, 500.0),
                Measurement(1 + seconds[each.name], 1 + seconds[each.name], 500.0),
            )
        ]
        for each in case.contestants("other" if OURS_VS in seconds else None)
    }


def ratios(name, seconds):
    return [line.ratio.median for line in CASES[name].lines(runs(CASES[name], seconds))]


def test_a_ratio_is_of_rows_per_second_net_of_start_up():
    assert ratios("named", {OURS: 2.0, "loop": 5.0}) == pytest.approx([2.5])


def test_csv_is_compared_with_the_faster_loop():
    seconds = {OURS: 2.0, "loop_csv": 3.0, "loop_arrow": 1.0}
    assert ratios("csv", seconds) == pytest.approx([0.5])


def test_overlap_is_the_time_as_a_multiple_of_the_longer_part():
    seconds = {OURS: 6.0, "model_alone": 5.0, "rest_alone": 2.0}
    assert ratios("dense", seconds) == pytest.approx([1.2])


def test_two_workers_are_compared_with_one():
    assert ratios("workers", {OURS: 9.0, "ours_2_workers": 5.0}) == pytest.approx([1.8])


def test_another_commit_has_a_line_of_its_own():
    seconds = {OURS: 2.0, "loop": 5.0, OURS_VS: 4.0}
    assert ratios("named", seconds) == pytest.approx([2.5, 2.0])
    assert ratios("wide", {OURS: 2.0, OURS_VS: 3.0}) == pytest.approx([1.5])


def test_a_line_survives_the_file_of_raw_numbers():
    (line,) = CASES["named"].lines(runs(CASES["named"], {OURS: 2.0, "loop": 5.0}))
    assert Line.from_json(json.loads(json.dumps(dataclasses.asdict(line)))) == line


def test_a_case_that_only_another_commit_can_judge_needs_one(capsys):
    with pytest.raises(SystemExit):
        main(["wide"])
    assert "--vs is needed" in capsys.readouterr().err


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_have_what_their_layout_says(layout, tmp_path):
    generate._write_jsonl(tmp_path / "rows", 3, layout)
    shape = LAYOUTS[layout]
    rows = [orjson.loads(line) for line in (tmp_path / "rows").read_bytes().splitlines()]
    assert len(rows) == 3
    assert all(list(row) == ["id"] * shape.has_id + list(shape.names) for row in rows)
    if not shape.named:
        assert {len(row["x"]) for row in rows} == {shape.features}


def test_each_ragged_row_has_another_shape():
    rows = [row for _, block in generate._ragged(30_000) for row in block]
    assert len({tuple(map(len, row)) for row in rows}) == len(rows) == 30_000


class TestCheck:
    SCORES = [0.2, 0.7, 0.1]

    @pytest.fixture
    def checked(self, tmp_path):
        def check_records(*records, **how):
            wanted = [{"label": 1, "scores": self.SCORES}, {"label": 1, "scores": [0.3, 0.6, 0.1]}]
            expected = tmp_path / "expected"
            expected.write_text(
                "\n".join(
                    json.dumps({"key": f"row-000000{at}", "prediction": each, "x": [float(at)]})
                    for at, each in enumerate(wanted)
                )
            )
            lines = tmp_path / "predictions-0.jsonl"
            lines.write_text("".join(json.dumps(record) + "\n" for record in records))
            check(tmp_path, 2, expected, **how)

        return check_records

    def record(self, at, label=1, x=None):
        scores = [self.SCORES, [0.3, 0.6, 0.1]][at]
        prediction = {"label": label, "scores": scores}
        if x is None:
            return {"key": f"row-000000{at}", "prediction": prediction}
        return {"instance": {"x": [x]}, "prediction": prediction}

    def test_the_right_predictions_pass(self, checked):
        checked(self.record(0), self.record(1))
        checked(self.record(1), self.record(0))

    def test_a_label_that_is_not_that_of_the_largest_score_is_wrong(self, checked):
        with pytest.raises(BenchmarkError, match="row-0000000: expected"):
            checked(self.record(0, label=0), self.record(1))

    def test_a_missing_row_is_found(self, checked):
        with pytest.raises(BenchmarkError, match="1 of 2 rows"):
            checked(self.record(0))

    def test_rows_without_id_are_told_by_their_order(self, checked):
        checked(self.record(0, x=0.0), self.record(1, x=1.0), echo=True, in_order=True)
        with pytest.raises(BenchmarkError, match="row-0000000"):
            checked(self.record(1, x=1.0), self.record(0, x=0.0), echo=True, in_order=True)

    def test_a_row_too_many_is_found(self, checked):
        rows = [self.record(0, x=0.0), self.record(1, x=1.0), self.record(1, x=1.0)]
        with pytest.raises(BenchmarkError, match="not a prediction"):
            checked(*rows, echo=True, in_order=True)
