"""The plan file of a run, from which a resumed run takes its inputs."""

import pytest

from beam_batch_predict.files import File
from beam_batch_predict.runs.plan_file import RunPlan, read_plan, write_plan

INPUTS = (File("in/a.jsonl", 3, 1.5), File("in/b.jsonl", 0, 2.5))


@pytest.fixture
def plan():
    """A plan with two inputs."""
    return RunPlan({"batch": 3}, {"python": "3"}, (File("model/pb", 5, 0.5),), 2, {}, INPUTS)


def test_a_plan_that_is_read_is_what_was_written(plan, tmp_path):
    assert read_plan(str(tmp_path)) is None
    write_plan(plan, str(tmp_path))
    assert read_plan(str(tmp_path)) == plan


@pytest.mark.parametrize("left", [1, 2])
def test_a_plan_without_some_of_its_inputs_is_refused(left, plan, tmp_path):
    write_plan(plan, str(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:left]))
    with pytest.raises(ValueError, match=rf"run\.plan has {left - 1} of 2 inputs"):
        read_plan(str(tmp_path))


def test_a_plan_of_another_format_is_refused(plan, tmp_path):
    write_plan(plan, str(tmp_path))
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    assert '"format": 4' in text
    path.write_text(text.replace('"format": 4', '"format": 5'))
    with pytest.raises(ValueError, match="was written by another release"):
        read_plan(str(tmp_path))
