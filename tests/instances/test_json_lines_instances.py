"""Lines of JSON to instances: what is sent, what is echoed, and what is a row error."""

import json
import re

import pytest
from helpers.examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.json_text import read_exact
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Code, Status

Config = InstanceConfig
DECIDED_BY_ROW = Config()
KEYED = Config(key_field="id")
INCLUDED = Config(included_fields=["b", "a"])
ARRAY = Config(instance_type="array", included_fields=["b", "a"])
EXCLUDED = Config(excluded_fields=["note", "id"])


def batch_of(*rows):
    offsets = [sum(len(row) + 1 for row in rows[:at]) for at in range(len(rows))]
    return InstanceBatch(list(rows), offsets=offsets, origins=((0, "in.jsonl"),))


def convert(*rows, config=DECIDED_BY_ROW, non_finite=NonFinite.STRING):
    return convert_json_lines(batch_of(*rows), config, non_finite)


def alone(row, config=DECIDED_BY_ROW, non_finite=NonFinite.STRING):
    """One line: (instance, text, key, attached), or the message of its error."""
    batch = convert(row, config=config, non_finite=non_finite)
    if batch.statuses:
        assert batch.statuses[0].code is Code.INVALID_ARGUMENT
        assert list(batch.live) == []
        return batch.statuses[0].message
    key = batch.keys[0] if batch.keys is not None else None
    attached = batch.attached[0] if batch.attached is not None else None
    return batch.instances[0], batch.texts[0], key, attached


OBJECT = b'{"a": 1.50, "b": [2], "id": "k", "note": null}'
WHOLE = {"a": 1.5, "b": [2], "id": "k", "note": None}

SENT = [
    # the line decides
    (OBJECT, Config(), (WHOLE, OBJECT, None, None)),
    (b"[1, 2]", Config(), ([1, 2], b"[1, 2]", None, None)),
    (b" 1.0 ", Config(), (1.0, b" 1.0 ", None, None)),
    (b'"x"', Config(), ("x", b'"x"', None, None)),
    (b"true", Config(), (True, b"true", None, None)),
    (b"false", Config(), (False, b"false", None, None)),
    (b"{}", Config(), ({}, b"{}", None, None)),
    # instanceType
    (OBJECT, Config("object"), (WHOLE, OBJECT, None, None)),
    (b"[1, 2]", Config("array"), ([1, 2], b"[1, 2]", None, None)),
    (OBJECT, ARRAY, ([[2], 1.5], b"[[2],1.50]", None, None)),
    # keyField: the key is not sent, whatever is echoed
    (OBJECT, KEYED, ({"a": 1.5, "b": [2], "note": None}, OBJECT, "k", None)),
    (b'{"id": 7}', KEYED, ({}, b'{"id": 7}', 7, None)),
    (b'{"id": 7.5}', KEYED, ({}, b'{"id": 7.5}', 7.5, None)),
    (b'{"id": ""}', KEYED, ({}, b'{"id": ""}', "", None)),
    (b'{"id": 1, "id": 2}', KEYED, ({}, b'{"id": 1, "id": 2}', 2, None)),
    (
        OBJECT,
        Config(key_field="id", included_fields=["a"]),
        ({"a": 1.5}, OBJECT, "k", None),
    ),
    (
        OBJECT,
        Config("array", key_field="id", included_fields=["b", "a"]),
        ([[2], 1.5], OBJECT, "k", None),
    ),
    (
        OBJECT,
        Config(key_field="id", excluded_fields=["note", "id"]),
        ({"a": 1.5, "b": [2]}, OBJECT, "k", None),
    ),
    # included and excluded fields, in their order
    (OBJECT, INCLUDED, ({"b": [2], "a": 1.5}, b'{"b":[2],"a":1.50}', None, None)),
    (
        OBJECT,
        EXCLUDED,
        ({"a": 1.5, "b": [2]}, b'{"a":1.50,"b":[2]}', None, {"note": None, "id": "k"}),
    ),
    (b'{"a": 1, "id": 2}', EXCLUDED, ({"a": 1}, b'{"a":1}', None, {"id": 2})),
    (b'{"a": 1}', EXCLUDED, ({"a": 1}, b'{"a":1}', None, {})),
    (b'{"a": 1, "b": 2, "a": 3}', INCLUDED, ({"b": 2, "a": 3}, b'{"b":2,"a":3}', None, None)),
    # numbers
    (
        b'{"x": 18446744073709551616}',
        Config(),
        ({"x": 2**64}, b'{"x": 18446744073709551616}', None, None),
    ),
    (b'{"id": 18446744073709551616}', KEYED, ({}, b'{"id": 18446744073709551616}', 2**64, None)),
    (
        b'{"id": -9223372036854775809}',
        KEYED,
        ({}, b'{"id": -9223372036854775809}', -(2**63) - 1, None),
    ),
    (b'{"id": 9007199254740993}', KEYED, ({}, b'{"id": 9007199254740993}', 2**53 + 1, None)),
    (
        b'{"a": 36893488147419103233, "b": 1}',
        Config(included_fields=["a"]),
        ({"a": 2**65 + 1}, b'{"a":36893488147419103233}', None, None),
    ),
    (
        b'{"a": 1, "id": 36893488147419103233}',
        EXCLUDED,
        ({"a": 1}, b'{"a":1}', None, {"id": 2**65 + 1}),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "config", "expected"), SENT)
def test_what_of_a_line_is_sent_echoed_and_attached(row, config, expected):
    found = alone(row, config)
    assert found == expected
    if isinstance(expected, tuple):
        assert [type(part) for part in found] == [type(part) for part in expected]
        assert str(found[0]) == str(expected[0])  # fields have an order


INFINITE = "invalid JSON: the number {} is larger than any double"
TOO_DEEP = "nested too deep: more than 254 levels may exceed Python's stack"

REFUSED = [
    (b"null", Config(), "expected an instance, found null"),
    (b"null", KEYED, "expected an instance, found null"),
    (b"[1]", Config("object"), "instanceType is object, found an array"),
    (b"1", Config("object"), "instanceType is object, found a number"),
    (b"true", Config("array"), "instanceType is array, found a boolean"),
    (b'"x"', Config("array"), "instanceType is array, found a string"),
    (
        b'{"a": 1}',
        Config("array"),
        "instanceType is array and the row is an object: includedFields must name its fields "
        "in the order of the array",
    ),
    (b"[1]", KEYED, "keyField needs rows that are objects, found an array"),
    (b'"x"', INCLUDED, "includedFields needs rows that are objects, found a string"),
    (b"[1, 2]", ARRAY, "includedFields needs rows that are objects, found an array"),
    (b"1", EXCLUDED, "excludedFields needs rows that are objects, found a number"),
    (b'{"a": 1, "b": 2}', KEYED, 'key field "id" is missing; the row has "a", "b"'),
    (b"{}", KEYED, 'key field "id" is missing; the row has no field'),
    (b'{"id": null}', KEYED, 'key field "id": expected a string or a number, found null'),
    (b'{"id": true}', KEYED, 'key field "id": expected a string or a number, found a boolean'),
    (b'{"id": [1]}', KEYED, 'key field "id": expected a string or a number, found an array'),
    (b'{"id": {}}', KEYED, 'key field "id": expected a string or a number, found an object'),
    (
        b'{"id": NaN}',
        KEYED,
        'key field "id": expected a string or a finite number, found NaN (a number)',
    ),
    (b'{"b": 1}', INCLUDED, 'included field "a" is missing; the row has "b"'),
    (b'{"b": 1}', ARRAY, 'included field "a" is missing; the row has "b"'),
    # … stands for the parser's own words
    (b"oops", Config(), "invalid JSON: … at column 1"),
    (b'{"a": 1,]', Config(), "invalid JSON: … at column 9"),
    (b"{'a': NaN}", Config(), "invalid JSON: … at column 2"),
    (b'{"a": -1e9, "a": -1e400}', INCLUDED, INFINITE.format("-1e400")),
    (b'[NaN, 1e999]', Config(), INFINITE.format("1e999")),
    (b'[NaN, "\\ud800"]', Config(), "invalid JSON: half of a surrogate pair in a string"),
    (b'"\\ud800"', Config(), "invalid JSON: half of a surrogate pair in a string"),
    (b"1e999", Config(), INFINITE.format("1e999")),
    (b"1" * 5000, Config(), "invalid JSON: an integer of more than 4,300 digits"),
    (b'["\xff"]', Config(), "invalid UTF-8: byte 0xff at column 3; save the file as UTF-8"),
    (b"\xef\xbb\xbf1", Config(), "invalid JSON: … at column 1"),
    (b"[" * 50_000 + b"]" * 50_000, Config(), TOO_DEEP),
    (b"[" * 50_000 + b"NaN" + b"]" * 50_000, Config(), TOO_DEEP),
    (b'{"a": 1}\r{"a": 2}\r', Config(), "invalid JSON: … at column 10"),
    (b"1\r2", Config(), "invalid JSON: … at column 3"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "config", "message"), REFUSED)
def test_a_line_that_cannot_be_sent_says_why_and_is_echoed(row, config, message):
    batch = convert(b"0", row, config=config)
    status = batch.statuses[1]
    assert status.code is Code.INVALID_ARGUMENT
    start, _, end = message.partition("…")
    assert re.fullmatch(re.escape(start) + ".*" * bool(end) + re.escape(end), status.message)
    echoed = json.loads(batch.texts[1])
    if message.startswith("invalid UTF-8"):
        assert batch.texts[1] == b'{"b64":"WyL/Il0="}'
    elif message.startswith(("invalid JSON", "nested")):
        assert echoed == row.decode()
    elif b"NaN" not in row:
        assert batch.texts[1] == row


def nested(levels, inside):
    return b'{"a": ' * (levels - inside) + b"[" * inside + b"]" * inside + b"}" * (levels - inside)


@pytest.mark.parametrize("config", [EXCLUDED, Config("array", excluded_fields=["note", "id"])])
@pytest.mark.parametrize("inside", [1, 253])
def test_what_is_attached_nests_no_deeper_than_can_always_be_written(config, inside):
    rows = [b'{"x": 1, "note": %b}' % nested(levels, inside) for levels in (253, 254, 500)]
    batch = convert(*rows, b'{"x": [%b], "b": 1}' % nested(300, 1), config=config)
    assert batch.attached[0] == {"note": json.loads(nested(253, inside))}
    refused = [batch.statuses[row].message.partition(" (")[0] for row in (1, 2, 3)]
    assert refused == [TOO_DEEP] * 3
    assert batch.attached[1:] == [{}] * 3
    assert [json.loads(text) for text in batch.texts[1:3]] == [row.decode() for row in rows[1:]]
    # Nothing is attached of these: their own texts show them.
    assert not convert(*rows, config=Config()).statuses
    assert not convert(*rows, config=Config(included_fields=["x"])).statuses


def test_a_row_without_an_included_field_still_has_its_key():
    config = Config(key_field="id", included_fields=["a"])
    batch = convert(b'{"id": 18446744073709551617}', b'{"a": 1}', config=config)
    assert batch.keys == [2**64 + 1, None]
    assert sorted(batch.statuses) == [0, 1]


def test_a_message_names_only_some_of_many_fields():
    row = json.dumps({f"f{number}": number for number in range(500)}).encode()
    message = alone(row, KEYED)
    assert message.endswith('"f18", "f19", …')
    assert len(message) < 300


@pytest.mark.parametrize(
    ("non_finite", "echo"),
    [(NonFinite.STRING, b'["NaN","Infinity","-Infinity"]'), (NonFinite.NULL, b"[null,null,null]")],
)
def test_tokens_that_json_has_not_are_numbers_and_echoed_by_the_policy(non_finite, echo):
    instance, text, *_ = alone(b"[NaN, Infinity, -Infinity]", non_finite=non_finite)
    assert str(instance) == "[nan, inf, -inf]"
    assert text == echo
    config = Config(included_fields=["x"])
    row = b'{"x": [NaN, Infinity, -Infinity], "y": 1}'
    assert alone(row, config, non_finite)[1] == b'{"x":' + echo + b"}"


def test_tokens_that_json_has_not_fail_their_row_where_the_policy_says_so():
    for row, config in ((b"[NaN]", Config()), (b'{"x": 1, "id": NaN}', EXCLUDED)):
        assert alone(row, config, NonFinite.ERROR) == "NaN is not a JSON number"


@pytest.mark.parametrize("config", [Config(), KEYED, INCLUDED, EXCLUDED])
@pytest.mark.parametrize("leaf", [b"", b"18446744073709551616", b"1.50"])
def test_a_line_nested_as_deeply_as_is_taken_is_sent(config, leaf):
    for depth in (200, 253):  # in an object
        deep = b"[" * depth + leaf + b"]" * depth
        row = b'{"id": 1, "b": 2, "a": ' + deep + b"}"
        batch = convert(row, b'{"id": 1, "b": 2, "a": 3}', config=config)
        assert batch.statuses == {}
        assert deep.replace(b"1.50", b"1.5") in batch.texts[0].replace(b"1.50", b"1.5")


@pytest.mark.parametrize("config", [Config(), KEYED, INCLUDED, EXCLUDED])
@pytest.mark.parametrize("levels", [255, 900, 2000, 50_000])
def test_a_line_nested_deeper_is_sent_or_fails_alone_and_is_echoed_as_text(config, levels):
    deep = b"[" * levels + b"]" * levels
    row = b'{"id": 1, "b": 2, "a": ' + deep + b"}"
    batch = convert(b'{"id": 1, "b": 2, "a": 3}', row, config=config)
    if levels < 50_000 and not batch.statuses:
        assert deep in batch.texts[1]
        return
    assert list(batch.statuses) == [1]
    assert batch.statuses[1].message == TOO_DEEP
    assert json.loads(batch.texts[1]) == row.decode()


@pytest.mark.parametrize("config", [Config(), KEYED, INCLUDED, ARRAY, EXCLUDED])
def test_a_batch_without_rows_stays_one(config):
    batch = convert(config=config)
    assert (len(batch), list(batch.instances), batch.statuses) == (0, [], {})


def test_rows_that_failed_before_keep_their_status():
    before = Status(Code.UNAVAILABLE, "earlier")
    batch = InstanceBatch([b"1", b"x"], offsets=[0, 2], statuses={0: before})
    assert convert_json_lines(batch, Config()).statuses[0] == before


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**18, 10**30]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3)
    | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=4,
)  # fmt: skip
KEYS = NUMBERS | st.text(max_size=4)
OBJECTS = st.fixed_dictionaries(
    {"id": KEYS, "a": VALUES, "b": VALUES}, optional={"note": VALUES, "more": VALUES}
)
CONFIGS = [
    Config(), Config("object"), Config("array"), KEYED, INCLUDED, ARRAY, EXCLUDED,
    Config(key_field="id", included_fields=["a"]),
    Config("array", key_field="id", included_fields=["a", "b"]),
    Config("object", key_field="id", excluded_fields=["b"]),
]  # fmt: skip
BAD = [b"oops", b"null", b"[NaN]", b'{"id": null}', b"\xff", b"[]", b"1"]


@settings(deadline=None, max_examples=examples(400))
@given(
    config=st.sampled_from(CONFIGS),
    values=st.lists(OBJECTS | VALUES, min_size=1, max_size=5) | st.lists(OBJECTS, min_size=1),
    bad=st.sampled_from(BAD),
    at=st.integers(0, 5),
)
@example(config=KEYED, values=[{"id": 2**64, "x": 2**64}], bad=b"oops", at=0)
@example(config=Config(), values=[[2**64]], bad=b"oops", at=0)
@example(config=ARRAY, values=[{"id": 1, "a": 2**64, "b": 0.1}], bad=b"oops", at=1)
def test_a_bad_row_changes_nothing_about_its_neighbours(config, values, bad, at):
    rows = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    at = min(at, len(rows))
    without = convert(*rows, config=config)
    beside = convert(*rows[:at], bad, *rows[at:], config=config)

    def seen(batch, position):
        keys = batch.keys and batch.keys[position]
        attached = batch.attached and batch.attached[position]
        status = batch.statuses.get(position)
        return repr((
            batch.instances[position], batch.texts[position], keys, attached,
            status,
        ))  # fmt: skip

    for position in range(len(rows)):
        assert seen(without, position) == seen(beside, position + (position >= at))


@settings(deadline=None, max_examples=examples(300))
@given(config=st.sampled_from(CONFIGS), value=OBJECTS)
def test_echoed_texts_and_fields_read_back_exactly(config, value):
    row = json.dumps(value, ensure_ascii=False).encode()
    batch = convert(row, config=config)
    if batch.statuses:
        assert config == Config("array")
        return
    if config.key_field or not (config.included_fields or config.excluded_fields):
        assert batch.texts[0] == row
    elif config.included_fields:
        chosen = {name: value[name] for name in config.included_fields}
        expected = list(chosen.values()) if config.instance_type == "array" else chosen
        assert json.loads(batch.texts[0]) == expected
    else:
        assert json.loads(batch.texts[0]) | batch.attached[0] == value
    if config.key_field:
        assert batch.keys == [value["id"]]


@pytest.mark.parametrize("config", [Config(), KEYED, INCLUDED, EXCLUDED, ARRAY])
def test_a_row_that_was_too_long_to_read_has_an_empty_text_and_harms_no_other(config):
    too_long = Status(Code.OUT_OF_RANGE, "too long")
    batch = convert_json_lines(InstanceBatch([OBJECT, too_long, OBJECT]), config)
    assert batch.texts[1] == b'""'
    assert batch.instances[1] == ""
    if batch.keys:
        assert batch.keys[1] is None
    assert batch.statuses[1] == too_long
    alone_batch = convert_json_lines(InstanceBatch([OBJECT]), config)
    for at in (0, 2):
        assert batch.texts[at] == alone_batch.texts[0]
        assert batch.instances[at] == alone_batch.instances[0]


def test_rows_that_are_made_to_take_long_do_not():
    """Work that grows with the square of any of these would take hours."""
    many = 300_000
    rows = [
        *(b"[" * many, b'{"a":' * many, b'"' * many, b'"' + b"\\" * many, b"9" * many),
        *(b"-0." + b"9" * many, b"1e-" + b"9" * many, b"[" * many + b"NaN" + b"]" * many),
        *(b'["' + b"\\ud800" * many + b'",NaN]', b"[" + b"NaN," * 100_000 + b"]"),
        b'{"id":1' + b"".join(b',"k%d":1' % number for number in range(100_000)) + b"}",
        b'{"id":1' + b',"k":99999999999999999999' * 100_000 + b"}",
    ]
    for config in (Config(), KEYED, EXCLUDED):
        batch = convert(*rows, b'{"id": 5, "a": 1}', config=config)
        assert len(batch.texts) == len(rows) + 1
        assert len(rows) not in batch.statuses
        assert max(len(status.message) for status in batch.statuses.values()) < 1000


OWN = st.recursive(
    st.sampled_from(
        ["1", "1.0", "1.50", "-0", "1E5", "12e-1", "0.10000000000000000000001", "null", "true"]
        + ["18446744073709551617", '""', '"\\u00e9"', '"\\/"', '"é, \\"b\\": "', '"a\u2028b"']
    ),
    lambda inside: (
        st.lists(inside, max_size=3).map(lambda texts: f"[ {' ,'.join(texts)}]")
        | st.lists(inside, max_size=3).map(
            lambda texts: "{" + ", ".join(f'"n\\u0061" :{text}' for text in texts) + " }"
        )
    ),
    max_leaves=4,
)
"""Texts of values in forms that no JSON writer here has; objects repeat a name."""
NAMES = {'"id"': "id", '"a"': "a", '"\\u0062"': "b", '"é"': "é", '"q\\""': 'q"', '"note"': "note"}


@settings(deadline=None, max_examples=examples(300))
@given(
    config=st.sampled_from(
        [
            INCLUDED,
            ARRAY,
            EXCLUDED,
            Config(excluded_fields=["id", 'q"', "é"]),
            Config(included_fields=["b", 'q"']),
            Config("array", included_fields=["b"]),
            Config(included_fields=["é"]),
        ]
    ),
    rows=st.lists(st.dictionaries(st.sampled_from(list(NAMES)), OWN), min_size=1, max_size=4),
    blank=st.sampled_from(["", " ", "\t "]),
    beside=st.sampled_from([[], [b"oops"], [b'{"a": NaN, "b": [1.50, NaN]}']]),
)
@example(INCLUDED, [{'"a"': "1.50", '"\\u0062"': "[ 1 ,2]"}], " ", [b'{"b": -1e400, "a": 1}'])
def test_a_field_keeps_its_own_text_by_both_ways(config, rows, blank, beside):
    def line(row):
        fields = f",{blank}".join(f"{name}{blank}:{blank}{text}" for name, text in row.items())
        return f"{blank}{{{fields}}}{blank}".encode()

    lines = [line(row) for row in rows]
    batch = convert(*lines, *beside, config=config)
    for at, row in enumerate(rows):
        own = {NAMES[name]: text for name, text in row.items()}
        if not own.keys() >= set(config.included_fields):
            assert at in batch.statuses
            assert batch.texts[at] == lines[at]
        else:
            sent = {name: own[name] for name in config.included_fields or own}
            for name in () if config.included_fields else config.excluded_fields:
                sent.pop(name, None)
            shown = ",".join(f"{json.dumps(n, ensure_ascii=False)}:{t}" for n, t in sent.items())
            array = f"[{','.join(sent.values())}]"
            expected = array if config.instance_type == "array" else f"{{{shown}}}"
            assert batch.texts[at].decode() == expected
        for name in config.attached_fields:
            text = batch.attached.texts(name)[at]
            assert (text and text.decode()) == own.get(name)
            assert repr(batch.attached[at].get(name)) == repr(
                read_exact(own[name].encode()) if name in own else None
            )


def test_a_line_that_is_not_strict_json_is_written_again():
    config = Config(excluded_fields=["note", "id"])
    rows = [b'{"x": [1.50, NaN], "note": [1.50,  NaN], "id": 2.50}', b'{"x": [1.50, 2], "id": 1}']
    batch = convert(*rows, config=config)
    assert batch.texts == [b'{"x":[1.50,"NaN"]}', b'{"x":[1.50, 2]}']
    assert batch.attached.texts("note") == [b'[1.50,"NaN"]', None]
    assert batch.attached.texts("note", NonFinite.NULL) == [b"[1.50,null]", None]
    assert batch.attached.texts("id") == [b"2.50", b"1"]


def test_a_number_larger_than_any_double_keeps_its_line_as_it_is():
    batch = convert(b'{"x": [1.50, 2], "id": [1e400, 2]}', config=EXCLUDED)
    assert batch.texts == [b'{"x":[1.50, 2]}']
    assert batch.attached.texts("id") == [b"[1e400, 2]"]
    assert repr(batch.attached[0]) == "{'id': [1e400, 2]}"
