"""Lines decoded by type, as a block: the same outcomes as line by line, for any bytes."""

import dataclasses
import io
import pickle

import numpy as np
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
