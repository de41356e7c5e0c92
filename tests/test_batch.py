"""The element: places, live rows and failures."""

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Span
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.status import Code, Status

BAD = Status(Code.INVALID_ARGUMENT, "bad")


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_every_row_knows_its_file_even_beside_files_without_rows(counts):
    starts = [sum(counts[:at]) for at in range(len(counts))]
    owners = [file for file, count in enumerate(counts) for _ in range(count)]
    batch = InstanceBatch(
        rows=owners,
        offsets=[10 * row for row in range(len(owners))],
        origins=tuple((start, f"f{file}") for file, start in enumerate(starts)),
    )
    assert [batch.location(row) for row in range(len(batch))] == [
        f"f{owner}, byte {10 * row}" for row, owner in enumerate(owners)
    ]


def test_a_batch_that_does_not_know_where_it_is_from_says_nothing():
    batch = InstanceBatch([1, 2])
    assert batch.location(1) == ""
    assert batch.failing([(1, BAD)]) == {1: BAD}


def test_failed_rows_are_not_live_and_keep_their_position():
    batch = InstanceBatch([b"a", b"b", b"c"], offsets=[0, 2, 4], origins=((0, "in"),))
    assert list(batch.live) == [0, 1, 2]
    failed = dataclasses.replace(batch, statuses=batch.failing([(1, BAD)]))
    assert list(failed.live) == [0, 2]
    assert failed.statuses == {1: BAD}
    assert len(failed) == 3
    again = dataclasses.replace(failed, statuses=failed.failing(iter([(0, BAD), (2, BAD)])))
    assert list(again.live) == []
    assert batch.statuses == {}


def test_a_batch_cannot_be_changed_and_can_be_sent():
    batch = InstanceBatch([b"a"], chunk=3, statuses={0: BAD}, source_failures=(BAD,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.chunk = 4
    sent = pickle.loads(pickle.dumps(batch))
    fields = [field.name for field in dataclasses.fields(batch)]
    assert [getattr(sent, name) for name in fields] == [getattr(batch, name) for name in fields]


def test_statuses_are_equal_by_code_and_message_and_keep_their_cause():
    status = Status(Code.INVALID_ARGUMENT, "found 7", "found a number")
    shown = Status(Code.INVALID_ARGUMENT, "found 7")
    assert (status, hash(status), repr(status)) == (shown, hash(shown), repr(shown))
    batch = InstanceBatch([b"7", b"["], statuses={0: status, 1: BAD})
    for sent in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch)):
        assert sent.statuses == batch.statuses
        assert [sent.statuses[row].cause for row in (0, 1)] == ["found a number", "bad"]


def test_a_span_without_a_stop_is_a_whole_file():
    assert Span("a")[:3] == ("a", 0, None)


def test_other_instances_replace_all_that_was_made_of_the_old():
    batch = InstanceBatch([b"1", b"2"], instances=[1, 2], texts=[b"1", b"2"], keys=["a", "b"])
    batch = dataclasses.replace(batch, statuses={1: BAD}, sent_features=object(), features=object())
    found = batch.with_instances([3, 2])
    assert (found.instances, found.keys, found.statuses) == ([3, 2], ["a", "b"], {1: BAD})
    assert (found.texts, found.sent_features, found.features) == (None, None, None)
    with pytest.raises(InvalidArgument, match="expected one for each of the 2 rows, found 1"):
        batch.with_instances([3])
