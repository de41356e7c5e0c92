"""Lines decoded by type, as a block: the same outcomes as line by line, for any bytes."""

import dataclasses
import io
import pickle
import random

import numpy as np
import pytest
from helpers.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Predictions, Span
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.encoding.typed_values import TypedValues
from beam_batch_predict.instances import convert as converting
from beam_batch_predict.instances.convert import convert_in_parts
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.sinks.formats.json_lines import JsonLineRecords
from beam_batch_predict.sources import compression, reading
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.spec.plain_way import PLAIN

NUMBERS = [
    b"1.5",
    b"0",
    b"-0",
    b"-0.0",
    b"1",
    b"7",
    b"-3",
    b"1e3",
    b"0.1",
    b"1.50",
    b"1E-7",
    b"300",
]
NUMBERS += [b"16777217", b"0.30000000000000004", b"2147483647", b"-128", b"5e-324", b"3.4028235e38"]
LARGE = [b"1e39", b"9007199254740993", b"36893488147419103232", b"9223372036854775807", b"1e308"]
WRONG = [
    b"null",
    b"true",
    b'"1"',
    b"NaN",
    b"1e999",
    b"01",
    b"1.",
    b".5",
    b"+1",
    b"[1]",
    b"{}",
    b"-",
]
WRONG += [b"9" * 400, b"9" * 5000, b"Infinity", b"1e400", b"", b"[]", b"1 2", b'{"b64": "aGk="}']
TEXTS = [b'"a"', b'""', '"ä€"'.encode(), b'"\\u00e4\\n\\""', b'"\\\\"', b'"}"', b'"},{"', b'"\x7f"']
WRONG_TEXTS = [b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b"1", b"null", b'"a\tb"', b'"a', b'"\0"']
DEEP = b"[" * 300 + b"]" * 300
SEPARATORS = [b", ", b",", b" , ", b",\t"]
LINES = [
    b"{}",
    b"1",
    b"[1, 2]",
    b'"x"',
    b"",
    b" ",
    b"null",
    b"true",
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"{",
]
LINES += [b"[1,", b"2]", b'{"f": 1', b"}", b'{"f": 1}{"f": 2}', b"1 2", DEEP, b'{"id": %b}' % DEEP]
LINES += [b'{"instances": [1]}', b'{"b64": "aGk="}', b"\r", b'{"f": 1} ', b' {"f": 1}', b"\x0b"]


def tensor(name, dtype, *row_shape):
    return TensorInfo(name, dtype, (None, *row_shape))


NAMED = (tensor("f", "float32"), tensor("i", "int32"), tensor("t", "string"), tensor("b", "bool"))
SIGNATURES = {
    "named": NAMED,
    "floats": (tensor("f", "float32"), tensor("g", "float64")),
    "mixed": (tensor("f", "float32", 2), tensor("i", "uint8", 1), tensor("g", "bfloat16")),
    "scalar": (tensor("f", "float32"),),
    "wrapped": (tensor("f", "float16", 1),),
    "vector": (tensor("f", "float32", 3),),
    "open": (tensor("f", "float64", None),),
    "any": (TensorInfo("f", "float32", None),),
    "matrix": (tensor("f", "float32", 2, None),),
    "integers": (tensor("i", "int64", 2),),
    "large": (tensor("i", "uint64"),),
    "texts": (tensor("t", "string", 2),),
    "text": (tensor("t", "string"),),
    "flags": (tensor("b", "bool", 2),),
}
SHAPES = {"mixed": {"f": (2,), "i": (1,)}, "vector": (3,), "open": (2,), "any": (2,)}
SHAPES |= {"matrix": (2, 2), "integers": (2,), "texts": (2,), "flags": (2,)}
CONFIGS = [
    InstanceConfig(),
    InstanceConfig(key_field="id"),
    InstanceConfig(excluded_fields=["id"]),
    InstanceConfig(excluded_fields=["id", "other"]),
    InstanceConfig(key_field="id", excluded_fields=["note"]),
    InstanceConfig(location_as_key=True),
    InstanceConfig("object", key_field="id"),
    InstanceConfig("array"),
]


def leaves_of(kind):
    return {"string": TEXTS, "bool": [b"true", b"false"]}.get(kind, NUMBERS)


def nested(draw, leaves, shape):
    if not shape:
        return draw(st.sampled_from(leaves))
    items = [nested(draw, leaves, shape[1:]) for _ in range(shape[0])]
    return b"[%b]" % draw(st.sampled_from(SEPARATORS)).join(items)


@st.composite
def line_of(draw, name, named):
    """A line that fits a signature, or with a single fault."""
    shapes = SHAPES.get(name, ())
    fault = draw(st.integers(0, 60))
    values = {}
    for info in SIGNATURES[name]:
        shape = shapes.get(info.name, ()) if isinstance(shapes, dict) else shapes
        leaves = leaves_of(info.kind)
        if info.kind == "int":
            leaves = [leaf for leaf in leaves if leaf.lstrip(b"-").isdigit()]
        if fault == 1:
            leaves = LARGE if info.kind in ("float", "int") else WRONG_TEXTS
        values[info.name] = nested(draw, WRONG if fault == 2 else leaves, shape)
        if fault == 3:
            values[info.name] = nested(draw, leaves, (2, *shape)[: draw(st.integers(0, 2))])
    if not named:
        return b"".join(values.values())
    keys = (
        TEXTS + [b"7", b"12345678901234567890123"] if fault > 2 else WRONG + WRONG_TEXTS + [b"-0"]
    )
    fields = [(b'"id"', draw(st.sampled_from(keys)))]
    fields += [(b'"%b"' % key.encode(), value) for key, value in values.items()]
    if fault == 4:
        fields += draw(st.lists(st.sampled_from(fields), max_size=2))
    if fault == 5:
        fields.append(
            (draw(st.sampled_from([b'"other"', b'"note"', b'"\\u0066"', b"x"])), b"1e999")
        )
    if fault == 6:
        fields.pop(draw(st.integers(0, len(fields) - 1)))
    if fault == 7:
        draw(st.randoms()).shuffle(fields)
    separator = draw(st.sampled_from(SEPARATORS))
    return b"{%b}" % separator.join(b"%b: %b" % field for field in fields)


@st.composite
def contents(draw):
    name = draw(st.sampled_from(sorted(SIGNATURES)))
    named = draw(st.booleans()) or len(SIGNATURES[name]) > 1
    good = line_of(name, named)
    lines = draw(st.lists(good, min_size=1, max_size=12))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        odd = st.one_of(st.sampled_from(LINES), st.binary(max_size=6), good)
        lines.insert(draw(st.integers(0, len(lines))), draw(odd))
    end = draw(st.sampled_from([b"\n"] * 8 + [b"\r\n", b"\n\n", b" \n"]))
    config = draw(st.sampled_from(CONFIGS if named else [CONFIGS[0], CONFIGS[5], CONFIGS[7]]))
    if name == "named" and draw(st.booleans()):
        config = InstanceConfig(included_fields=["t", "b", "i", "f"])
    return name, config, end.join(lines) + draw(st.sampled_from([b"", end]))


def to_array(values, dtype):
    import tensorflow as tf

    return tf.constant(values, dtype).numpy()


def outcomes(content, config, inputs, batch_size=2):
    """What becomes of each row, and the lines written of all: read, convert, tensors, write."""
    chunk = Chunk(0, 1, (Span("in.jsonl", 0, len(content)),), max_instance_bytes=4096)
    rows, lines, typed = [], [b"", b""], 0
    for batch in read_chunk(chunk, lambda _: io.BytesIO(content), batch_size):
        for made in convert_in_parts(batch, config, inputs=inputs):
            part = pickle.loads(pickle.dumps(made)) if len(rows) % 2 else made
            typed += isinstance(part.instances, TypedValues)
            predicted, tensors = predicted_by(part, inputs)
            for at in range(len(part)):
                key = None if part.keys is None else part.keys[at]
                fields = None if part.attached is None else part.attached[at]
                row = (part.location(at), key, part.instances[at], fields, part.statuses.get(at))
                rows.append((repr(row), tensors.get(at)))
            records = JsonLineRecords()
            lines[0] += records.prediction_lines(predicted)
            lines[1] += records.error_lines(predicted)
    return rows, lines, typed


def predicted_by(batch, inputs):
    """The batch with the sum of all bytes of each row's tensors as its prediction."""
    if not len(batch):
        return batch, {}
    found = to_tensors(batch.instances, batch.live, inputs, to_array, ())
    tensors, groups = {}, []
    for group in found.batches:
        for at, row in enumerate(group.rows):
            values = [group.inputs[info.name][at] for info in inputs]
            tensors[row] = [
                (value.tolist() if value.dtype == object else value.tobytes(), value.shape)
                for value in map(np.asarray, values)
            ]
            dtypes = [group.inputs[info.name].dtype for info in inputs]
            assert dtypes == [info.numpy_dtype for info in inputs]
        sums = [float(sum(repr(tensors[row]).encode())) for row in group.rows]
        groups.append(Predictions(list(group.rows), {"y": np.array(sums)}))
    statuses = batch.failing(found.failures)
    return dataclasses.replace(batch, predictions=tuple(groups), statuses=statuses), tensors


def both_ways(monkeypatch, *args):
    monkeypatch.setenv(PLAIN, "1")
    *plain, typed = outcomes(*args)
    assert not typed
    monkeypatch.setenv(PLAIN, "0")
    *fast, typed = outcomes(*args)
    return plain, fast, typed


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=examples(3000),
)
@given(
    found=contents(),
    block=st.sampled_from([7, 100, 10**6]),
    rows=st.sampled_from([2, 4, 100]),
    part=st.sampled_from([2, 100]),
)
def test_any_lines_have_the_same_outcomes_both_ways(found, block, rows, part, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    monkeypatch.setattr(reading, "ROWS_PER_BLOCK", rows)
    monkeypatch.setattr(reading, "ROWS_PER_BATCH", 2)
    monkeypatch.setattr(converting, "ROWS_PER_PART", part)
    name, config, content = found
    plain, fast, _ = both_ways(monkeypatch, content, config, SIGNATURES[name])
    assert fast == plain


KEYED = InstanceConfig(key_field="id")
FITTING = [
    ("named", KEYED, b'{"id": "a", "f": 1.5, "i": 2, "t": "x", "b": true}'),
    ("named", KEYED, b'{"b": false, "t": "", "i": -2, "f": 1, "id": 7}'),
    ("floats", KEYED, b'{"id": "a", "f": 1.5, "g": 2}'),
    ("floats", InstanceConfig(excluded_fields=["id"]), b'{"id": [1.50], "f": 1.5, "g": 2}'),
    ("floats", InstanceConfig(included_fields=["g", "f"]), b'{"id": {}, "f": 1.5, "g": 2}'),
    ("mixed", InstanceConfig(), b'{"f": [1, 2], "i": [3], "g": 1e9}'),
    ("scalar", InstanceConfig(), b"1.5"),
    ("scalar", InstanceConfig(location_as_key=True), b'{"f": -0}'),
    ("wrapped", InstanceConfig(), b"1.5"),
    ("wrapped", InstanceConfig("array"), b"[1.5]"),
    ("vector", KEYED, b'{"id": "a", "f": [1.5, 2, 3]}'),
    ("open", InstanceConfig(), b"[1.5, 2, 3]"),
    ("open", KEYED, b'{"id": "a", "f": [%b]}' % b",".join([b"1.5"] * 300)),
    ("any", InstanceConfig(), b"[[1.5, 2], [3, 4]]"),
    ("matrix", InstanceConfig(), b'{"f": [[1.5], [2]]}'),
    ("integers", KEYED, b'{"id": "a", "i": [9223372036854775807, 1]}'),
    ("large", InstanceConfig(), b"7"),
    ("texts", InstanceConfig(), b'["a", "b"]'),
    ("text", InstanceConfig(), b'"a"'),
    ("flags", InstanceConfig(), b"[true, false]"),
]


@pytest.mark.parametrize(("name", "config", "line"), FITTING)
def test_lines_that_fit_the_signature_are_decoded_by_type(name, config, line, monkeypatch):
    plain, fast, typed = both_ways(monkeypatch, (line + b"\n") * 5, config, SIGNATURES[name])
    assert typed > 0
    assert fast == plain
    assert not fast[1][1]


GOOD = b'{"id": "a", "f": 1.5, "g": 2}\n'
TRAPS = {
    "two rows on one line, and one on two": GOOD[:-1] + GOOD + GOOD.replace(b", ", b",\n", 1),
    "two rows on one line, and a blank one": GOOD[:-1] + GOOD + b"\n",
    "a space at the end of a line": GOOD[:-1] + b" \n",
    "carriage returns": GOOD.replace(b"\n", b"\r\n"),
    "a carriage return inside": GOOD.replace(b", ", b",\r"),
    "a line over the limit": GOOD.replace(b"a", b"a" * 5000),
    "an integer beyond float32": GOOD.replace(b"1.5", b"9" * 39),
    "a number beyond float32": GOOD.replace(b"1.5", b"1e39"),
    "a number beyond float64": GOOD.replace(b"2}", b"1e309}"),
    "an integer of 5,000 digits": GOOD.replace(b"1.5", b"9" * 4000),
    "a boolean for a number": GOOD.replace(b"1.5", b"true"),
    "null for a number": GOOD.replace(b"1.5", b"null"),
    "a string for a number": GOOD.replace(b"1.5", b'"1.5"'),
    "NaN": GOOD.replace(b"1.5", b"NaN"),
    "a zero before a number": GOOD.replace(b"1.5", b"01"),
    "no digit behind the point": GOOD.replace(b"1.5", b"1."),
    "no digit before the point": GOOD.replace(b"1.5", b".5"),
    "a plus": GOOD.replace(b"1.5", b"+1"),
    "a key of a float": GOOD.replace(b'"a"', b"1.5"),
    "a key of minus zero": GOOD.replace(b'"a"', b"-0"),
    "a key of base64": GOOD.replace(b'"a"', b'{"b64": "aGk="}'),
    "no key": GOOD.replace(b'"id": "a", ', b""),
    "half of a surrogate pair": GOOD.replace(b'"a"', b'"\\ud800"'),
    "wrong UTF-8 in a key": GOOD.replace(b'"a"', b'"\xff"'),
    "wrong UTF-8 in a name": GOOD.replace(b'"g"', b'"\xff"'),
    "an unknown field": GOOD.replace(b'"g"', b'"h": 1, "g"'),
    "a missing field": GOOD.replace(b', "g": 2', b""),
}
AS_GOOD = {
    "escapes": GOOD.replace(b'"a"', b'"\\u0061\\n\\""'),
    "an escape in a name": GOOD.replace(b'"f"', b'"\\u0066"'),
    "a repeated name": GOOD.replace(b'"g"', b'"f": 2.5, "g"'),
    "another order": b'{"g": 2, "id": "a", "f": 1.5}\n',
    "minus zero": GOOD.replace(b"1.5", b"-0"),
    "an integer beyond 2^53": GOOD.replace(b"1.5", b"9007199254740993"),
    "an integer of 100 digits": GOOD.replace(b"2}", b"1" * 100 + b"}"),
    "a large key": GOOD.replace(b'"a"', b"12345678901234567890123"),
    "blanks": GOOD.replace(b", ", b" ,\t"),
}


@pytest.mark.parametrize("trap", sorted(TRAPS | AS_GOOD))
@pytest.mark.parametrize("at", [0, 2])
def test_a_trap_in_a_block_has_the_outcome_of_its_line(trap, at, monkeypatch):
    content = GOOD * at + (TRAPS | AS_GOOD)[trap] + GOOD * (3 - at)
    plain, fast, typed = both_ways(monkeypatch, content, KEYED, SIGNATURES["floats"], 100)
    assert fast == plain
    numbers_too_large = trap.endswith("beyond float32")  # seen only when numbers are cast
    assert bool(typed) is (trap in AS_GOOD or numbers_too_large)


HIDDEN = {
    "wrong UTF-8": b'"\xff"',
    "a number of any size": b"1e999",
    "many digits": b"9" * 3000,
    "nested too deep": DEEP,
    "nested far too deep": b"[" * 1500 + b"]" * 1500,
    "no JSON": b"nul",
}


@pytest.mark.parametrize("trap", sorted(HIDDEN))
@pytest.mark.parametrize(
    "config",
    [
        InstanceConfig(included_fields=["f", "g"]),
        InstanceConfig(excluded_fields=["id"]),
        InstanceConfig(key_field="k", excluded_fields=["id"]),
    ],
)
def test_a_field_that_no_input_takes_is_checked_too(trap, config, monkeypatch):
    good = GOOD.replace(b'"id"', b'"k": 1, "id"') if config.key_field else GOOD
    content = good + good.replace(b'"a"', HIDDEN[trap]) + good
    plain, fast, _ = both_ways(monkeypatch, content, config, SIGNATURES["floats"], 100)
    assert fast == plain


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_numbers_of_any_text_have_the_same_bits_both_ways(dtype, monkeypatch):
    rng = random.Random(5)
    texts = [repr(rng.uniform(-2, 2)) for _ in range(2000)]
    texts += [repr(rng.choice([1, -1]) * 2.0 ** rng.uniform(-140, 15)) for _ in range(2000)]
    texts += [str(rng.getrandbits(rng.randint(1, 100)) % 60_000) for _ in range(500)]
    texts += [f"{rng.getrandbits(8)}.{rng.getrandbits(60)}" for _ in range(500)]
    texts += [f"{(1 + (2 * k + 1) / 2**s) * 2**4!r}" for k in range(300) for s in (8, 11, 24)]
    monkeypatch.setattr(reading, "ROWS_PER_BATCH", 100)
    content = "".join(f"{text}\n" for text in texts).encode()
    plain, fast, typed = both_ways(
        monkeypatch, content, InstanceConfig(), (tensor("f", dtype),), 100
    )
    assert typed
    assert fast == plain


def test_a_block_that_does_not_fit_is_converted_in_parts_with_whole_batches(monkeypatch):
    monkeypatch.setattr(converting, "ROWS_PER_PART", 5)
    content = GOOD * 3 + GOOD.replace(b"1.5", b"null") + GOOD * 6
    chunk = Chunk(0, 1, (Span("in.jsonl", 0, len(content)),))
    [batch] = read_chunk(chunk, lambda _: io.BytesIO(content), 2)
    batch = dataclasses.replace(batch, source_failures=("a failure",))
    parts = list(convert_in_parts(batch, KEYED, inputs=SIGNATURES["floats"]))
    assert [(part.first_row, len(part), part.last) for part in parts] == [
        (0, 4, False),
        (4, 4, False),
        (8, 2, True),
    ]
    assert [isinstance(part.instances, TypedValues) for part in parts] == [False, True, True]
    assert [part.source_failures for part in parts] == [("a failure",), (), ()]
    locations = [part.location(at) for part in parts for at in range(len(part))]
    assert locations == [batch.location(at) for at in range(len(batch))]
