import pickle

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.models.isolation import Caller
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.models.tensors import TensorBatch
from beam_batch_predict.models.values import RowMisfit, check_value, name_values
from beam_batch_predict.safe_text import printable
from beam_batch_predict.sinks.error_causes import cause_text
from beam_batch_predict.sinks.error_groups import (
    MOST_ALIKE,
    MOST_GROUPS,
    OTHER_CAUSES,
    ErrorGroup,
    ErrorGroups,
    as_statuses,
    group_source_failures,
    merge_groups,
    summary_lines,
)
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.status import Code, Status
from beam_batch_predict.tensor_info import TensorInfo


def failed_batch(messages, uri="in.jsonl", start=0, code=Code.INVALID_ARGUMENT):
    batch = InstanceBatch(
        [b""] * len(messages),
        origins=((0, uri),),
        offsets=range(start, start + len(messages)),
    )
    failures = [(row, Status(code, text)) for row, text in enumerate(messages) if text is not None]
    return InstanceBatch(
        batch.rows, origins=batch.origins, offsets=batch.offsets, statuses=batch.failing(failures)
    )


def groups_of(*batches):
    groups = ErrorGroups()
    for batch in batches:
        groups.add(batch)
    return groups.groups()


def misfit(check, *args):
    with pytest.raises(RowMisfit) as raised:
        check(*args)
    return str(raised.value)


X = TensorInfo("x", "float32", (None, 2))
S = TensorInfo("a, found b", "string", (None,))
I = TensorInfo("i1", "int8", (None,))  # noqa: E741


@pytest.mark.parametrize(
    ("messages", "cause"),
    [
        (
            [misfit(check_value, [1, value], X) for value in ("five", "a, found b", '"', "é" * 99)],
            'input "x"[N]: expected float32, found a string',
        ),
        (
            [misfit(check_value, value, I) for value in (300, -129, 2**70)],
            'input "i1": expected int8 (-128 to 127), found a number',
        ),
        (
            [misfit(check_value, value, X) for value in ([1], [1, 2, 3], [[1, 2], [3, 4]])],
            'input "x": expected shape [2], found [N]',
        ),
        (
            [misfit(name_values, {"x": 1, name: 2}, [X, I]) for name in ("oops",)],
            'input "i1" is missing; the signature has no input "oops"',
        ),
        (
            [misfit(name_values, {name: 1, "b": 2}, [X]) for name in ("c", "d", 'e", "f')],
            'expected an object with the one input "x"; found "…"',
        ),
        (
            [misfit(name_values, value, [X, I]) for value in ("a", "b (a number)")],
            'expected an object with the inputs "x", "i1", found a string',
        ),
        (['input "x": expected float32, found null'], 'input "x": expected float32, found null'),
        (
            ['expected 2 cells ("a1", "b 2"), found 3', 'expected 2 cells ("a1", "b 2"), found 99'],
            'expected 2 cells ("a1", "b 2"), found N',
        ),
        (["invalid UTF-8: byte 0xff at column 3"], "invalid UTF-8: byte N at column N"),
        (["NaN is not a JSON number", "-Infinity is not a JSON number"], "N is not a JSON number"),
        (
            [
                "the model failed: Input to reshape is a tensor with 3 values",
                "the model failed: Input to reshape is a tensor with 12,000 values",
                "the model failed: Input to reshape is a tensor with 1.5e-7 values",
            ],
            "the model failed: Input to reshape is a tensor with N values",
        ),
        (
            [
                "the model failed: x = [-1 2 3] at 2024-05-01T00:00:00",
                "the model failed: x = [7] at 5",
            ],
            "the model failed: x = [N] at N",
        ),
        (
            ["the model failed: expected rank 2, found rank 3 of 'a'"],
            'the model failed: expected rank N, found rank N of "…"',
        ),
        (["output 'y' is not finite"], "output 'y' is not finite"),
        (["the record's data doesn't match"], "the record's data doesn't match"),
        (["base64 of float32 and tfx-bsl in UTF-8"], "base64 of float32 and tfx-bsl in UTF-8"),
    ],
)
def test_messages_that_differ_in_values_have_one_cause(messages, cause):
    assert {cause_text(message) for message in messages} == {cause}


def test_a_name_with_the_words_of_a_message_cannot_hide_the_field():
    one, other = (misfit(check_value, value, S) for value in (5, [1]))
    assert one != other
    assert 'input "a' in cause_text(one)


def test_lines_that_are_not_json_are_grouped_by_what_is_wrong():
    rows = [b"{", b'{"x": nan}', b'{"x": inf}', b"\xff", b"1 2", b"{", b"[1,", b"7"]
    offsets = [10 * row for row in range(len(rows))]
    batch = InstanceBatch(rows, origins=((0, "a (b, byte 7).jsonl"),), offsets=offsets)
    groups = groups_of(convert_json_lines(batch, InstanceConfig()))
    assert sum(group.count for group in groups) == 7
    assert groups[0].first == "a (b, byte 7).jsonl, byte 0"
    assert all(group.cause.startswith(("invalid JSON: ", "invalid UTF-8: ")) for group in groups)
    assert not any("a (b" in group.example for group in groups)


def test_the_place_is_taken_off_exactly_once():
    texts = ["odd (in.jsonl, byte 7)", "odd (in.jsonl, byte 8)", "odd (in.jsonl, byte 99) end"]
    groups = groups_of(failed_batch(texts))
    assert [group.example for group in groups] == [texts[0], texts[2]]
    assert [group.count for group in groups] == [2, 1]


def test_rows_without_a_place_are_grouped_too():
    statuses = {row: Status(Code.INTERNAL, f"row {row} broke") for row in range(3)}
    (group,) = groups_of(InstanceBatch([1, 2, 3], statuses=statuses))
    assert group == ErrorGroup(Code.INTERNAL, "row N broke", 3, "", "row 0 broke")


def test_a_batch_of_several_files_tells_the_first_place_in_the_right_one():
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


def test_rows_with_one_message_and_two_codes_are_two_groups():
    same = "the model failed: no"
    codes = (Code.INTERNAL, Code.UNAVAILABLE, Code.INTERNAL)
    groups = groups_of(*(failed_batch([same], start=at, code=c) for at, c in enumerate(codes)))
    assert [(group.code, group.count) for group in groups] == [
        (Code.INTERNAL, 2),
        (Code.UNAVAILABLE, 1),
    ]


class _Broken:
    """A model that fails on everything."""

    signature = Signature("serving_default", (X,), ())

    def call(self, inputs):
        raise ValueError("no table")

    def to_array(self, values, dtype):
        return np.array(values, dtype)


def test_rows_that_were_not_tried_alone_are_with_those_that_were():
    caller = Caller(_Broken())
    failures = []
    for size in (1, 64):
        found = caller.predict(TensorBatch(range(size), {"x": np.zeros((size, 2))}), 64)
        failures += found.failures
    statuses = dict(enumerate(status for _, status in failures))
    assert len(set(statuses.values())) == 2
    (group,) = groups_of(InstanceBatch([0] * 65, statuses=statuses))
    assert (group.cause, group.count) == ("the model failed: no table", 65)


def test_many_names_become_one_cause_and_few_stay():
    texts = [f'the signature has no input "c{n}"' for n in range(MOST_ALIKE)]
    groups = groups_of(failed_batch(texts))
    assert [group.cause for group in groups] == texts
    groups = groups_of(failed_batch(["before", *texts, 'the signature has no input "z"', *texts]))
    assert [(group.cause, group.count) for group in groups] == [
        ("before", 1),
        ('the signature has no input "…"', 2 * MOST_ALIKE + 1),
    ]
    assert groups[1].first == "in.jsonl, byte 1"


def test_words_behind_a_colon_become_one_cause():
    texts = [f"the model failed: cannot convert string: {chr(97 + n)}x" for n in range(26)]
    (group,) = groups_of(failed_batch(texts))
    assert group.cause == "the model failed: cannot convert string: …"
    assert group.example == texts[0]


def test_groups_stay_bounded_and_count_every_row():
    texts = ["".join(chr(97 + int(digit)) for digit in str(n)) for n in range(5000)]
    groups = groups_of(failed_batch(texts), failed_batch(texts, start=5000))
    assert len(groups) == MOST_GROUPS + 1
    assert sum(group.count for group in groups) == 10_000
    assert groups[-1].cause == OTHER_CAUSES
    merged = merge_groups([groups, groups_of(failed_batch(texts, uri="b"))])
    assert sum(group.count for group in merged) == 15_000
    assert merged[0].cause == OTHER_CAUSES


causes = st.one_of(
    st.none(),
    st.integers(0, 30).map(lambda n: f'the signature has no input "c{n}"'),
    st.integers(0, 40).map(lambda n: f"the model failed: bad: {chr(97 + n)}: {chr(97 + n % 7)}"),
    st.integers(0, 999).map(lambda n: f"expected 7, found {n} (a number)"),
)


@given(st.lists(causes, max_size=120), st.lists(st.integers(0, 120), max_size=6), st.booleans())
def test_groups_are_the_same_however_the_rows_were_shared_out(messages, cuts, batched):
    """Batches of one part and parts of one run, cut anywhere, against all rows at once."""
    whole = merge_groups([groups_of(failed_batch(messages))])
    edges = [0, *sorted(cut for cut in cuts if cut < len(messages)), len(messages)]
    pieces = [
        failed_batch(messages[start:stop], start=start)
        for start, stop in zip(edges, edges[1:], strict=False)
    ]
    if batched:
        shared = merge_groups([groups_of(*pieces)])
    else:
        shared = merge_groups([groups_of(piece) for piece in pieces])
    assert shared == whole
    assert sum(group.count for group in whole) == len([text for text in messages if text])


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
    (group,) = groups_of(failed_batch([text], uri=text)) or (None,)
    assert group.count == 1
    assert all(map(str.isprintable, (group.cause, group.first, group.example)))
    assert cause_text(text) == group.cause


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
    assert lines[-1] == "285 × 3 more causes"
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


def test_inputs_that_cannot_be_read_are_grouped_by_reason():
    failures = [
        Status(Code.NOT_FOUND, f"gs://b/{n}.jsonl, bytes 0 to 9: cannot be read: no such object")
        for n in range(1000)
    ]
    failures.append(Status(Code.DATA_LOSS, "a.avro, byte 96: its 7 bytes are not 9 rows"))
    groups = group_source_failures(failures)
    assert groups == (
        ErrorGroup(
            Code.NOT_FOUND,
            "cannot be read: no such object",
            1000,
            "gs://b/0.jsonl, bytes 0 to 9",
            "cannot be read: no such object",
        ),
        ErrorGroup(
            Code.DATA_LOSS,
            "its N bytes are not N rows",
            1,
            "a.avro, byte 96",
            "its 7 bytes are not 9 rows",
        ),
    )
    assert as_statuses(groups, "input")[1].message.startswith("1 input failed: its N bytes")
    assert as_statuses(groups, "input")[0].message == (
        "1000 inputs failed: cannot be read: no such object; first: gs://b/0.jsonl, bytes 0 to 9"
    )


def test_secrets_in_messages_do_not_get_into_groups():
    text = "the file cannot be read: https://u:hunter2@h/a?X-Goog-Signature=0f3c"
    text += "&" * 380 + "token=hunter3 password=hunter45678"
    (group,) = groups_of(failed_batch([text]))
    assert "hunter" not in f"{group}"
    assert "0f3c" not in f"{group}"
