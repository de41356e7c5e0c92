"""The lines of predictions and errors files, and the records of PCollections."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from helpers.batches import answered, converted
from helpers.records import error_lines, prediction_lines
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.sinks.formats.json_lines import error_records, prediction_records
from beam_batch_predict.spec import NonFinite
from beam_batch_predict.status import Code, Status

FAILED = Status(Code.INVALID_ARGUMENT, 'expected "x"')


def strict(line):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(line, parse_constant=refuse)


def lines_of(text):
    assert not text or text.endswith(b"\n")
    return [strict(line) for line in text.splitlines()]


def test_an_instance_is_echoed_as_it_was_written():
    batch = converted([b'{"x": 1.50, "big": 36893488147419103232}'])
    assert prediction_lines(batch) == (
        b'{"instance": {"x": 1.50, "big": 36893488147419103232}, "prediction": 1.5}\n'
    )


def test_a_key_replaces_the_instance():
    batch = converted([b'{"id": "a", "x": 1}', b'{"id": 7, "x": 1}'], key_field="id")
    assert prediction_lines(batch) == (
        b'{"key": "a", "prediction": 1.5}\n{"key": 7, "prediction": 1.5}\n'
    )


def test_excluded_fields_stand_between_in_the_order_of_the_config():
    batch = converted([b'{"x": 1, "a": null, "b": [2]}'], excluded_fields=["b", "a"])
    (line,) = lines_of(prediction_lines(batch))
    assert list(line.items()) == [
        ("instance", {"x": 1}),
        ("b", [2]),
        ("a", None),
        ("prediction", 1.5),
    ]


def test_a_row_that_is_not_json_is_echoed_as_its_text():
    batch = converted([b"oops", b"1", b"\xff"])
    first, second = lines_of(error_lines(batch))
    assert list(first) == ["instance", "error"]
    assert first["instance"] == "oops"
    assert second["instance"] == {"b64": "/w=="}
    assert list(first["error"]) == ["code", "message"]
    assert lines_of(prediction_lines(batch)) == [{"instance": 1, "prediction": 1.5}]


def test_a_row_whose_key_is_wrong_is_echoed_as_its_instance():
    rows = [b'{"x": 1}', b'{"id": 2, "x": 1}', b'{"id": 3, "x": 1}']
    batch = converted(rows, key_field="id")
    batch = dataclasses.replace(batch, predictions=())
    batch = answered(dataclasses.replace(batch, statuses={**batch.statuses, 2: FAILED}))
    without, with_key = lines_of(error_lines(batch))
    assert without["instance"] == {"x": 1}
    assert list(with_key.items()) == [("key", 3), ("error", FAILED.to_json())]
    assert lines_of(prediction_lines(batch)) == [{"key": 2, "prediction": 1.5}]


def test_attached_fields_come_with_errors_too():
    batch = converted([b'{"x": 1, "a": 2}'], excluded_fields=["a"])
    batch = dataclasses.replace(batch, predictions=(), statuses={0: FAILED})
    assert error_lines(batch) == (
        b'{"instance": {"x":1}, "a": 2, "error": {"code": 3, "message": "expected \\"x\\""}}\n'
    )


def test_attached_fields_have_their_own_texts_in_the_rows_that_have_them():
    rows = [b'{"x": 1, "a": [1.50, 2]}', b'{"x": 2}', b'{"b": NaN, "x": 3, "a": "\\u00e9"}']
    for at in (0, 1, 2):
        batch = answered(converted(rows[at:], excluded_fields=["b", "a"]))
        expected = [
            b'{"instance": {"x":1}, "a": [1.50, 2]',
            b'{"instance": {"x":2}',
            b'{"instance": {"x":3}, "b": "NaN", "a": "\xc3\xa9"',
        ]
        assert heads(prediction_lines(batch)) == expected[at:]
    failed = dataclasses.replace(batch, predictions=(), statuses={0: FAILED})
    assert heads(error_lines(failed, NonFinite.NULL)) == [
        b'{"instance": {"x":3}, "b": null, "a": "\xc3\xa9"'
    ]


def heads(lines):
    """What is before the outcome in each line."""
    return [re.split(rb', "(?:prediction|error)"', line)[0] for line in lines.splitlines()]


def test_groups_of_several_shapes_come_out_in_row_order():
    batch = InstanceBatch([b"0", b"1", b"2", b"3"], texts=[b"0", b"1", b"2", b"3"])
    groups = (
        Predictions([1, 3], {"y": np.array([[1, 1], [3, 3]])}),
        Predictions([0, 2], {"y": np.array([0, 2])}),
    )
    batch = dataclasses.replace(batch, predictions=groups)
    predictions = [line["prediction"] for line in lines_of(prediction_lines(batch))]
    assert predictions == [0, [1, 1], 2, [3, 3]]


def test_several_outputs_are_an_object():
    columns = {"a": np.array([1]), "b": np.array([[0.5]])}
    batch = InstanceBatch([b"1"], texts=[b"1"], predictions=(Predictions([0], columns),))
    assert lines_of(prediction_lines(batch)) == [
        {"instance": 1, "prediction": {"a": 1, "b": [0.5]}}
    ]


@pytest.mark.parametrize(
    ("policy", "echo"),
    [(NonFinite.STRING, "NaN"), (NonFinite.NULL, None), (NonFinite.ERROR, "NaN")],
)
def test_nan_in_an_instance_never_breaks_a_line(policy, echo):
    rows = [math.nan, math.nan]
    batch = InstanceBatch(rows, instances=rows, statuses={1: FAILED})
    batch = answered(batch)
    assert lines_of(prediction_lines(batch, policy))[0]["instance"] == echo
    assert lines_of(error_lines(batch, policy))[0]["instance"] == echo


def test_an_instance_without_a_form_in_json_is_echoed_as_a_string():
    rows = [{1, 2}, {(1, 2): 3}]
    batch = InstanceBatch(rows, instances=rows, statuses={0: FAILED, 1: FAILED})
    assert [line["instance"] for line in lines_of(error_lines(batch))] == ["{1, 2}", "{(1, 2): 3}"]


def test_a_key_that_a_user_brought_may_be_null():
    batch = InstanceBatch([1, 2, 3], instances=[1, 2, 3], keys=[None, "k", None])
    batch = dataclasses.replace(batch, keyed_by_user=True, statuses={2: FAILED})
    assert [line["key"] for line in lines_of(prediction_lines(answered(batch)))] == [None, "k"]
    assert [line["key"] for line in lines_of(error_lines(batch))] == [None]


def test_records_are_what_the_lines_say():
    rows = [b'{"x": 1, "a": 5}', b"oops", b'{"x": 3, "a": 6}']
    batch = converted(rows, excluded_fields=["a"])
    assert [record for _, record in prediction_records(batch)] == lines_of(prediction_lines(batch))
    assert [record for _, record in error_records(batch)] == lines_of(error_lines(batch))
    assert [row for row, _ in prediction_records(batch)] == [0, 2]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.tuples(VALUES, VALUES, st.sampled_from([0, 1, 2])), max_size=8)


@given(ROWS, st.sampled_from(["bare", "keys", "attached"]), st.sampled_from(NonFinite))
def test_every_row_is_one_line_of_valid_json(rows, kind, policy):
    """Of each row (instance, key or attached value, outcome): outcome 2 is a failure."""
    groups = [[at for at, row in enumerate(rows) if row[2] == group] for group in (0, 1)]
    shapes = ((), (2,))
    predictions = tuple(
        Predictions(group, {"y": np.full((len(group), *shape), np.inf)})
        for group, shape in zip(groups, shapes, strict=True)
        if group
    )
    values = [row[0] for row in rows]
    batch = InstanceBatch(
        values,
        instances=values,
        keys=[row[1] for row in rows] if kind == "keys" else None,
        keyed_by_user=kind == "keys",
        attached=[{'a "b"': row[1]} for row in rows] if kind == "attached" else None,
        statuses={at: FAILED for at, row in enumerate(rows) if row[2] == 2},
        predictions=predictions,
    )
    head = {"bare": ["instance"], "keys": ["key"], "attached": ["instance", 'a "b"']}[kind]
    good = lines_of(prediction_lines(batch, policy))
    bad = lines_of(error_lines(batch, policy))
    assert len(good) + len(bad) == len(rows)
    assert all(list(line) == [*head, "prediction"] for line in good)
    assert all(list(line) == [*head, "error"] for line in bad)
    ranks = [int(isinstance(line["prediction"], list)) for line in good]
    assert ranks == [row[2] for row in rows if row[2] < 2]
