"""JSON lines: each row by itself, valid JSON out, values as Python's own reader has them."""

import json
from contextlib import suppress

import orjson

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.json_lines import convert_json_lines
from beam_batch_predict.jsontext import NotJson, dumps, loads, loads_exact
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
    b"\x00\x00" + b"[" * 1024 + b"]" * 1024 + b"\n" + b"[" * 1023 + b"NaN" + b"]" * 1023,
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
        value = loads(row)
    except NotJson:
        try:
            expected = orjson.loads(row)
        except orjson.JSONDecodeError:
            return
        raise AssertionError(f"refused {expected!r}") from None
    if b"NaN" not in row and b"Infinity" not in row:
        with suppress(RecursionError, NumberTooLong):
            assert _same(value, _pythons(row))
        assert _same(loads(dumps(value)), value)
    dumps(value, NonFinite.NULL)
    if b"NaN" not in row and len(row) < 4000 and row.count(b"[") + row.count(b"{") < 500:
        assert _same(value, loads_exact(row))


class NumberTooLong(Exception):
    """More digits than Python takes."""


def _pythons(row: bytes):
    try:
        return json.loads(row)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise NumberTooLong from error


def _same(a, b):
    """Whether values are equal, integers beyond 64 bits as the floats that they become."""
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
        elif isinstance(a, float) and type(b) in (int, float):
            if repr(a) != repr(float(b)):
                return False
        elif (type(a), a) != (type(b), b):
            return False
    return True
