import pickle
import tracemalloc
from collections import Counter

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.messages import generalized, printable
from beam_batch_predict.models.calls.failures import status_of
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.tensors import TensorBatch, to_tensors
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.sinks.error_summary.groups import (
    MOST_GROUPS,
    OTHER_CAUSES,
    ErrorGroup,
    ErrorGroups,
    as_statuses,
    merge_groups,
    summary_lines,
)
from beam_batch_predict.spec import InstanceConfig, PredictSettings
from beam_batch_predict.status import Code, Status


def batch_failing(statuses, uri="in.jsonl", start=0):
    """A batch with a row for each status, which is None where the row has not failed."""
    size = len(statuses)
    batch = InstanceBatch([b""] * size, origins=((0, uri),), offsets=range(start, start + size))
    failures = [(row, status) for row, status in enumerate(statuses) if status]
    return InstanceBatch(
        batch.rows, origins=batch.origins, offsets=batch.offsets, statuses=batch.failing(failures)
    )


def failed_batch(messages, code=Code.INVALID_ARGUMENT, **where):
    return batch_failing([Status(code, message) for message in messages], **where)


def groups_of(*batches):
    groups = ErrorGroups()
    for batch in batches:
        groups.add(batch)
    return groups.groups()


X = TensorInfo("x", "float32", (None, 2))
S = TensorInfo("a, found b", "string", (None,))
I = TensorInfo("i1", "int8", (None,))  # noqa: E741
KEYED = InstanceConfig(key_field="id")
CELLS = {"format": "csv", "columns": ("a1", "b 2")}


def misfits(inputs, *values):
    return [status for _, status in to_tensors(values, range(len(values)), inputs).failures]


def unread(*rows, config=InstanceConfig(), **form):  # noqa: B008 - frozen
    failed = convert(InstanceBatch(rows, offsets=range(len(rows)), **form), config)
    return list(failed.statuses.values())


def refused(*texts):
    return [status_of(ValueError(text)) for text in texts]


@pytest.mark.parametrize(
    ("statuses", "cause"),
    [
        (
            misfits([X], [1, "five"], ["a, found b", 1], ['"', 1], "é" * 99),
            'input "x": expected float32, found a string',
        ),
        (misfits([I], 300, -129), 'input "i1": expected int8 (-128 to 127), found a number'),
        (
            misfits([X], [1], [1, 2, 3], [[1, 2]]),
            'input "x": expected shape [2], such as [0.0,0.0]',
        ),
        (misfits([X], [[1], [1, 2]], [[3], 4]), 'input "x": arrays of different shapes'),
        (
            misfits([S], 5, 6),
            'input "a, found b": expected string (a string or {"b64": …}), found a number',
        ),
        (
            misfits([X], {"c": 1}, {"d": 1}, {'e", "f': 1}),
            'expected an object with the one input "x"',
        ),
        (
            misfits([X, I], "a", "b (a number)"),
            'expected an object with the inputs "x", "i1", found a string',
        ),
        (
            misfits([X, I], {"x": [1, 2], "oops": 1}),
            'input "i1" is missing; the signature has no input "oops"',
        ),
        (unread(b'{"x": 1}', b'{"y": 1}', config=KEYED), 'key field "id" is missing'),
        (unread(b"1,2,3", b"1", **CELLS), 'expected 2 cells ("a1", "b 2")'),
        (unread(b"\xff", b"e\xfe"), "invalid UTF-8: byte N at column N; save the file as UTF-8"),
        (unread(b"[", b"[1,"), "invalid JSON: Expecting value at column N"),
        (refused("it has 3 values", "it has 1.5e-7 values"), "the model failed: it has N values"),
        (
            refused("x = [-1 2 3] at 2024-05-01T00:00:00", "x = [7] at 5"),
            "the model failed: x = [N] at N",
        ),
        (refused("rank 2 of 'a'", 'rank 3 of "b", `c`'), 'the model failed: rank N of "…"'),
    ],
)
def test_messages_that_differ_in_values_have_one_cause(statuses, cause):
    assert len({status.message for status in statuses}) == len(statuses) > 0
    assert {status.cause for status in statuses} == {cause}


@pytest.mark.parametrize(
    "text", ["the record's data doesn't match", "base64 of float32 and tfx-bsl in UTF-8"]
)
def test_words_are_not_taken_for_values(text):
    assert generalized(text) == text


def test_a_batch_of_several_files_has_the_first_location_in_the_right_one():
    batch = InstanceBatch(
        [b""] * 4, origins=((0, "a"), (1, "empty"), (1, "b")), offsets=[5, 0, 7, 9]
    )
    status = Status(Code.INVALID_ARGUMENT, "bad")
    batch = InstanceBatch(
        batch.rows,
        origins=batch.origins,
        offsets=batch.offsets,
        statuses=batch.failing([(3, status), (2, status), (0, Status(Code.INTERNAL, "bad"))]),
    )
    assert groups_of(batch) == (
        ErrorGroup(Code.INTERNAL, "bad", 1, "a, byte 5", "bad"),
        ErrorGroup(Code.INVALID_ARGUMENT, "bad", 2, "b, byte 7", "bad"),
    )


def test_rows_without_a_location_are_grouped_too():
    statuses = {row: Status(Code.INTERNAL, f"row {row} broke", "it broke") for row in range(3)}
    (group,) = groups_of(InstanceBatch([1, 2, 3], statuses=statuses))
    assert group == ErrorGroup(Code.INTERNAL, "it broke", 3, "", "row 0 broke")


def test_a_message_that_ends_like_a_location_is_kept():
    (group,) = groups_of(failed_batch(["odd (in.jsonl, byte 0)"] * 2))
    assert (group.count, group.example) == (2, "odd (in.jsonl, byte 0)")


def test_rows_with_one_message_and_two_codes_are_two_groups():
    codes = (Code.INTERNAL, Code.UNAVAILABLE, Code.INTERNAL)
    groups = groups_of(*(failed_batch(["no"], start=at, code=c) for at, c in enumerate(codes)))
    assert [(group.code, group.count) for group in groups] == [
        (Code.INTERNAL, 2),
        (Code.UNAVAILABLE, 1),
    ]


class _Broken:
    """A model that fails on everything."""

    signature = Signature("serving_default", (X,), ())
    repeatable = False
    most_in_flight = 1

    def call(self, inputs):
        raise ValueError("no table")

    def to_array(self, values, dtype):
        return np.array(values, dtype)


def test_rows_that_were_not_tried_alone_are_with_those_that_were():
    caller, settings = ModelCaller(_Broken()), PredictSettings(64, call_timeout_seconds=0)
    failures = []
    for size in (1, 64):
        found = caller.predict([TensorBatch(range(size), {"x": np.zeros((size, 2))})], settings)
        failures += found.failures
    statuses = dict(enumerate(status for _, status in failures))
    assert len(set(statuses.values())) == 2
    (group,) = groups_of(InstanceBatch([0] * 65, statuses=statuses))
    assert (group.cause, group.count) == ("the model failed: no table", 65)


def test_what_is_more_than_so_many_causes_is_counted_together():
    texts = [f"bad {n:04}" for n in range(5000)]
    groups = groups_of(failed_batch(texts), failed_batch(texts, start=5000))
    assert [group.cause for group in groups] == [*texts[:MOST_GROUPS], OTHER_CAUSES]
    assert [group.count for group in groups] == [2] * MOST_GROUPS + [9800]
    assert groups[-1].first == f"in.jsonl, byte {MOST_GROUPS}"
    merged = merge_groups([groups, groups_of(failed_batch(texts[200:], uri="b"))])
    assert [(group.count, group.cause) for group in merged[:2]] == [
        (9800 + 4800, OTHER_CAUSES),
        (2, "bad 0000"),
    ]
    assert len(merged) == MOST_GROUPS + 1


def test_the_largest_groups_are_named_however_late_they_begin():
    rare = [f"rare {n}" for n in range(3000)]
    often = ["often", *["late"] * 2]
    mixed = [text for at, one in enumerate(rare) for text in (one, often[at % 3])]
    groups = groups_of(failed_batch(rare[:500]), failed_batch(mixed, start=500))
    assert len(groups) <= MOST_GROUPS + 1
    counts = {group.cause: group.count for group in groups}
    assert (counts["often"], counts["late"]) == (1000, 2000)
    assert sum(counts.values()) == 6500
    firsts = {group.cause: group.first for group in groups}
    assert firsts["often"] == "in.jsonl, byte 501"
    assert firsts["late"] == "in.jsonl, byte 503"
    assert [group.cause for group in merge_groups([groups])[:3]] == [OTHER_CAUSES, "late", "often"]


def test_messages_that_all_differ_take_little_memory():
    groups = ErrorGroups()
    tracemalloc.start()
    try:
        for start in range(0, 50_000, 100):
            groups.add(failed_batch([f"{n}{'x' * 5000}" for n in range(start, start + 100)]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(group.count for group in groups.groups()) == 50_000
    assert peak < 5_000_000


statuses_of_rows = st.one_of(
    st.none(),
    st.integers(0, 30).map(lambda n: Status(Code.NOT_FOUND, f'there is no input "c{n}"')),
    st.integers(0, 99).map(lambda n: Status(Code.INVALID_ARGUMENT, f"found {n}", "odd value")),
    st.integers(0, 40).map(lambda n: refused(f"bad: {n} {chr(97 + n % 7)}")[0]),
)


@given(
    st.lists(statuses_of_rows, max_size=120),
    st.lists(st.integers(0, 120), max_size=6),
    st.booleans(),
)
def test_groups_are_the_same_however_the_rows_were_shared_out(statuses, cuts, batched):
    """Batches of one part and parts of one run, cut anywhere, against all rows at once."""
    whole = merge_groups([groups_of(batch_failing(statuses))])
    edges = [0, *sorted(cut for cut in cuts if cut < len(statuses)), len(statuses)]
    pieces = [
        batch_failing(statuses[start:stop], start=start)
        for start, stop in zip(edges, edges[1:], strict=False)
    ]
    parts = [groups_of(*pieces)] if batched else [groups_of(piece) for piece in pieces]
    assert merge_groups(parts) == whole
    counts = Counter((s.code, s.cause) for s in statuses if s)
    assert {(group.code, group.cause): group.count for group in whole} == counts


some_group = st.builds(
    ErrorGroup,
    st.sampled_from([Code.INTERNAL, Code.NOT_FOUND]),
    st.one_of(st.integers(0, 150).map(str), st.just(OTHER_CAUSES)),
    st.integers(1, 9),
    st.just("a, byte 0"),
    st.just("example"),
)


@given(st.lists(st.lists(some_group, max_size=60), max_size=8), st.randoms())
def test_parts_merged_in_any_order_have_the_same_groups(parts, random):
    merged = merge_groups(parts)
    shuffled = random.sample(parts, len(parts))
    assert merge_groups(shuffled) == merged
    counts = Counter()
    for group in [group for part in parts for group in part]:
        counts[group.code, group.cause] += group.count
    named = {(g.code, g.cause): g.count for g in merged if g.cause != OTHER_CAUSES}
    assert len(named) <= MOST_GROUPS
    assert named.items() <= counts.items()
    left = [n for key, n in counts.items() if key not in named and key[1] != OTHER_CAUSES]
    assert not left or (len(named) == MOST_GROUPS and max(left) <= min(named.values()))
    assert sum(group.count for group in merged) == sum(counts.values())


def test_the_largest_group_comes_first_and_equal_ones_by_name():
    groups = merge_groups([groups_of(failed_batch(["b", "c", "a", "c"]))])
    assert [group.cause for group in groups] == ["c", "a", "b"]


HOSTILE = "x\x1b[2J\r\n\u202e\x9b31m\x00\ud800" + "y" * 1_000_000


def test_hostile_texts_are_safe_to_show_and_to_store():
    message = f'the signature has no input "{HOSTILE}"'
    groups = merge_groups([groups_of(failed_batch([message], uri=f"dir/{HOSTILE}"))])
    texts = [*summary_lines(groups), *(status.message for status in as_statuses(groups))]
    texts += [groups[0].cause, groups[0].first, groups[0].example]
    assert all(text.isprintable() for text in texts)
    assert all(len(text) < 2000 for text in texts)
    assert "\\x1b" in groups[0].example
    assert orjson.dumps([group.to_json() for group in groups])


@given(st.text())
def test_any_text_has_a_printable_cause_and_example(text):
    (group,) = groups_of(batch_failing([*refused(text)], uri=text))
    assert group.count == 1
    assert all(map(str.isprintable, (group.cause, group.first, group.example)))


def test_a_printable_text_stays_as_it_is():
    assert printable("größer als 日本") == "größer als 日本"


def test_groups_survive_json_and_pickling():
    groups = groups_of(failed_batch([HOSTILE, "b", 'found "é"']))
    stored = orjson.loads(orjson.dumps([group.to_json() for group in groups]))
    assert tuple(map(ErrorGroup.from_json, stored)) == groups
    assert pickle.loads(pickle.dumps(groups)) == groups


def some_groups(count):
    return [
        ErrorGroup(Code.INTERNAL, f"cause {chr(97 + n)}", 100 - n, "a, byte 0", f"cause {n}")
        for n in range(count)
    ]


def test_lines_for_people_are_few():
    lines = summary_lines(some_groups(5))
    assert lines[0] == "100 × INTERNAL: cause a (first: a, byte 0: cause 0)"
    assert len(lines) == 5
    lines = summary_lines(some_groups(7))
    assert len(lines) == 5
    assert lines[-1] == "285 more rows failed, with 3 more causes"
    assert summary_lines([]) == []


def test_entries_of_a_job_record_are_few():
    statuses = as_statuses(some_groups(25))
    assert len(statuses) == 20
    assert statuses[0] == Status(
        Code.INTERNAL, "100 rows failed: cause a; first: a, byte 0: cause 0"
    )
    assert (
        statuses[-1].message == f"{sum(100 - n for n in range(19, 25))} rows failed: 6 more causes"
    )


def test_secrets_in_messages_do_not_get_into_groups():
    text = "the file cannot be read: https://u:hunter2@h/a?X-Goog-Signature=0f3c"
    text += "&" * 380 + "token=hunter3 password=hunter45678"
    (group,) = groups_of(failed_batch([text]))
    assert "hunter" not in f"{group}"
    assert "0f3c" not in f"{group}"
