"""JSON lines: independent rows, valid JSON as output, the values of Python's own reader."""

import json
from contextlib import suppress

import orjson

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.encoding.json_text import NotJson, dumps, loads, read
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.spec import NonFinite
from beam_batch_predict.status import Code, Status
from fuzz.choices import Choices
from fuzz.rows import CONFIGS, NON_FINITE, outcomes

UNREAD = Status(Code.OUT_OF_RANGE, "too long")

SEEDS = [
    b'\x00\x00{"a": 1.50, "b": [2, "x"], "id": "k"}\n[1, 2]\n"x"\ntrue\nnull\n-0\n-0.0',
    b'\x03\x00{"a": 36893488147419103233, "b": {"": 1}}\n{"a": NaN}\n{"a": "\\ud83d\\ude00"}',
    b'\x05\x01{"a": "\\ud800"}\n{"a": 1e400}\n{"a": -Infinity, "a": 2}\n{"__proto__": 1, "a": 0}',
    b'\x06\x02{"a": {"b64": "!!"}, "c": "\\u0000"}\n\xef\xbb\xbf{"a": 1}\n{"a": "\xe2\x80\xa8"}',
    b"\x00\x00" + b"[" * 254 + b"]" * 254 + b"\n" + b"[" * 255 + b"NaN" + b"]" * 255,
    b"\x02\x00" + b"9" * 4400 + b"\n" + b'["\xff\xfe"]\n{"a": "' + b"\\" * 11,
    b'\x04\x00{"a": 1E-7, "b": 123456789012345678901234567890.5}\n{"b": [], "a": {}}',
]


def check(data: bytes) -> None:
    """Convert rows together and alone."""
    choices = Choices(data)
    config, non_finite = choices.one_of(CONFIGS), choices.one_of(NON_FINITE)
    rows = [row for row in choices.rest.split(b"\n") if row.strip()]
    batch = convert_json_lines(InstanceBatch(rows), config, non_finite)
    found = outcomes(batch, non_finite)
    assert len(found) == len(rows)
    for at, row in enumerate(rows):
        alone = convert_json_lines(InstanceBatch([row]), config, non_finite)
        assert outcomes(alone, non_finite) == [found[at]]
        if batch.texts[at] is not row:
            orjson.loads(batch.texts[at])
        _check_value(row)
    beside = convert_json_lines(InstanceBatch([UNREAD, *rows]), config, non_finite)
    assert beside.statuses[0] == UNREAD
    assert outcomes(beside, non_finite)[1:] == found


def _check_value(row: bytes) -> None:
    try:
        value, is_json = read(row)
    except NotJson:
        with suppress(orjson.JSONDecodeError):
            orjson.loads(row)
            assert row.count(b"[") + row.count(b"{") > 254, "refused valid JSON"
        return
    assert is_json or b"NaN" in row or b"Infinity" in row
    assert _same(value, json.loads(row))
    dumps(value, NonFinite.NULL)
    if is_json:
        assert _same(loads(dumps(value)), value)


def _same(a, b):
    """Return whether values are equal, and of equal types."""
    stack = [(a, b)]
    while stack:
        a, b = stack.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if list(a) != list(b):
                return False
            stack += [(a[name], b[name]) for name in a]
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            stack += zip(a, b, strict=True)
        elif (type(a), repr(a)) != (type(b), repr(b)):
            return False
    return True
