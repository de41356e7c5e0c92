"""Keys are written as the source has them: every source, every format of the output."""

import csv
import datetime
import io
import itertools
import json
import pickle
from decimal import Decimal

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.matrices import sliced

import beam_batch_predict as bbp
from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.tf_examples import example_class
from beam_batch_predict.encoding.tf_record import HEAD, TAIL
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.sinks.formats.bigquery import BigQueryRecords
from beam_batch_predict.sinks.formats.by_name import record_formats
from beam_batch_predict.spec import OutputSettings

FORMATS = ("jsonl", "csv", "parquet", "tf-record")

NUMBERS = (
    *("7", "1.10", "1.1", "12E5", "1200000.0", "-0.0", "-0", "0E0", "0E8", "1e400", "-1E-400"),
    *("12345678901234567890123", "0.1234567890123456789", "9007199254740993", "1e22"),
)
TEXTS = ("007", "7 ", "+33612345678", "1_0", "NaN", "\u00e9")


def jsonl(path):
    keys = [*NUMBERS, *map(json.dumps, TEXTS)]
    path.write_text("".join(f'{{"id": {key}, "x": 1}}\n' for key in keys))
    return bbp.JsonLines(str(path), 200), {**{key: key for key in NUMBERS}, **quoted(TEXTS)}


def cells(path):
    keys = [*NUMBERS, *TEXTS, ".5", "5."]
    path.write_text("id,x\n" + "".join(f"{key},1\n" for key in keys))
    return bbp.Csv(str(path), 50), quoted(keys)


def quoted(keys):
    return {key: json.dumps(key, ensure_ascii=False) for key in keys}


def parquet(path):
    keys = ["-12345678901234567890123.10", "0.10", "0.01", "7.00"]
    table = {"id": pa.array(map(Decimal, keys), pa.decimal128(30, 2)), "x": [1.0] * 4}
    pq.write_table(pa.table(table), path, row_group_size=2)
    return bbp.Parquet(str(path), 1), {key: key for key in keys}


def avro(path):
    keys = ["-12345678901234567890123.10", "0.10", "0.01", "7.00"]
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}
    fields = [{"name": "id", "type": kind}, {"name": "x", "type": "double"}]
    schema = {"type": "record", "name": "row", "fields": fields}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"id": Decimal(key), "x": 1.0} for key in keys])
    return bbp.Avro(str(path)), {key: key for key in keys}


SOURCES = (jsonl, cells, parquet, avro)


def shown(key):
    """The text of a key in a column of strings, from its JSON text."""
    return json.loads(key) if key.startswith('"') else key


def keys_in(content, name):
    """The keys of predictions: JSON texts, or texts where a format has no kinds."""
    if name == "jsonl":
        heads = [line.partition(', "prediction"')[0] for line in content.decode().splitlines()]
        return [head.removeprefix('{"key": ') for head in heads]
    if name == "csv":
        rows = [line.rpartition(",")[0] for line in content.decode().splitlines()[1:]]
        assert [row[0] for row in csv.reader(rows)] == [row.strip('"') for row in rows]
        return rows
    if name == "parquet":
        return pq.read_table(io.BytesIO(content)).column("key").to_pylist()
    return [keys[0].decode() for keys in example_keys(content)]


def example_keys(content):
    file = io.BytesIO(content)
    while head := file.read(HEAD.size):
        record = file.read(HEAD.unpack(head)[0])
        file.read(TAIL.size)
        yield example_class().FromString(record).features.feature["key"].bytes_list.value


@pytest.mark.parametrize(
    ("source", "name"), sliced(itertools.product(SOURCES, FORMATS), together=1)
)
def test_keys_come_out_as_they_are(source, name, run_transforms, tiny_model, tmp_path):
    made, expected = source(tmp_path / "in")
    directory = run_transforms(made, name, tiny_model, key_field="id", included_fields=["x"])
    if source is cells:  # the model has one input, and the rows are arrays
        assert not list(directory.glob("errors_*"))
    files = sorted(directory.glob("predictions_*"))
    found = [key for file in files for key in keys_in(file.read_bytes(), name)]
    if name in ("jsonl", "csv"):
        assert found == list(expected.values())
    elif source is parquet and name == "parquet":
        assert list(map(str, found)) == list(expected)
    else:
        assert found == [shown(key) for key in expected.values()]


UTC = datetime.timezone.utc

TYPED = {
    "int64": (pa.array([2**53 + 1, -(2**63)]), ["9007199254740993", "-9223372036854775808"]),
    "uint64": (pa.array([2**64 - 1, 7], pa.uint64()), ["18446744073709551615", "7"]),
    "float32": (pa.array([0.1, -0.0], pa.float32()), ["0.1", "-0.0"]),
    "float64": (pa.array([1200000.0, -0.0]), ["1200000.0", "-0.0"]),
    "numeric": (
        pa.array([Decimal("12345678901234567890123456789.123456789"), Decimal("7")]).cast(
            pa.decimal128(38, 9)
        ),
        ["12345678901234567890123456789.123456789", "7"],
    ),
    "bignumeric": (
        pa.array([Decimal("1e-38"), Decimal("1.1")]).cast(pa.decimal256(76, 38)),
        ["0.00000000000000000000000000000000000001", "1.1"],
    ),
    "decimal": (pa.array([Decimal("1.10"), Decimal("2.00")]), ["1.10", "2.00"]),
    "timestamp": (
        pa.array([1, 0], pa.timestamp("ns", "UTC")),
        ['"1970-01-01 00:00:00.000000001+00:00"', '"1970-01-01 00:00:00+00:00"'],
    ),
    "date": (pa.array([datetime.date(2024, 5, 1)] * 2), ['"2024-05-01"'] * 2),
    "bytes": (pa.array([b"\xff\0", b"ab"]), ['{"b64":"/wA="}', '{"b64":"YWI="}']),
    "string": (pa.array(["007", "7"]), ['"007"', '"7"']),
}


def batch_of(array):
    table = pa.record_batch({"id": array, "x": pa.array([1.0] * len(array))})
    batch = InstanceBatch(ArrowRows(table), format="parquet", columns=("id", "x"))
    converted = convert(batch, bbp.InstanceConfig(key_field="id"))
    assert not converted.statuses
    outcome = Predictions(range(len(array)), {"y": np.zeros(len(array), np.float32)})
    return InstanceBatch(
        converted.rows, keys=converted.keys, instances=converted.instances, predictions=(outcome,)
    )


def file_of(record_format, *batches):
    from beam_batch_predict.sinks.columns.layout import union

    rows = [record_format.predictions(batch) for batch in batches]
    file = io.BytesIO()
    writer = record_format.writer(
        file, record_format.schema(union(*(each.layout for each in rows)))
    )
    for each in rows:
        writer.write(each)
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize("kind", TYPED)
def test_keys_of_typed_columns_keep_their_type_and_their_digits(kind):
    array, expected = TYPED[kind]
    batch = batch_of(array)
    files = {
        name: file_of(record_formats(OutputSettings(name)).predictions, batch) for name in FORMATS
    }
    assert keys_in(files["jsonl"], "jsonl") == expected
    column = pq.read_table(io.BytesIO(files["parquet"])).column("key")
    assert column.type == array.type
    assert column.to_pylist() == array.to_pylist()
    assert list(map(str, column.to_pylist())) == list(map(str, array.to_pylist()))  # -0.0
    cells = [line.rpartition(",")[0] for line in files["csv"].decode().splitlines()[1:]]
    text_of = {key: key if key[0] not in '"{' else quoted_cell(key) for key in expected}
    assert cells == [text_of[key] for key in expected]
    if kind == "int64":
        return
    found = [keys[0] for keys in example_keys(files["tf-record"])]
    if kind == "bytes":
        assert found == array.to_pylist()
    else:
        assert [key.decode() for key in found] == [shown(key) for key in expected]


def quoted_cell(key):
    text = json.loads(key) if key.startswith('"') else key
    return '"{}"'.format(text.replace('"', '""'))


BIGQUERY = {
    "int64": pa.int64(),
    "uint64": pa.decimal128(38, 9),
    "float32": pa.float64(),
    "float64": pa.float64(),
    "numeric": pa.decimal128(38, 9),
    "bignumeric": pa.decimal256(76, 38),
    "decimal": pa.decimal128(38, 9),
    "timestamp": pa.string(),  # nanoseconds
    "date": pa.date32(),
    "bytes": pa.binary(),
    "string": pa.string(),
}


@pytest.mark.parametrize("kind", TYPED)
def test_keys_in_bigquery_keep_their_type_and_their_digits(kind):
    array, expected = TYPED[kind]
    content = file_of(BigQueryRecords(), batch_of(array))
    column = pq.read_table(io.BytesIO(content)).column("key")
    assert column.type == BIGQUERY[kind]
    if kind == "bytes":
        assert column.to_pylist() == array.to_pylist()
    elif kind in ("uint64", "decimal", "numeric", "bignumeric"):
        assert column.to_pylist() == list(map(Decimal, expected))
    else:
        assert list(map(str, column.to_pylist())) == [str(shown(key)) for key in expected]


@pytest.mark.parametrize(
    ("records", "decimals"),
    [
        (record_formats(OutputSettings("parquet")).predictions, ["1.10", "2.00"]),
        (BigQueryRecords(), ["1.1", "2"]),  # NUMERIC has no scale of a value
    ],
)
def test_keys_of_different_kinds_are_strings_with_their_exact_texts(records, decimals):
    kinds = [kind for kind in TYPED if kind != "bytes"]
    texts = {kind: list(map(shown, TYPED[kind][1])) for kind in kinds} | {"decimal": decimals}
    for order in (kinds, kinds[::-1]):
        content = file_of(records, *(batch_of(TYPED[kind][0]) for kind in order))
        column = pq.read_table(io.BytesIO(content)).column("key")
        assert column.type == pa.string()
        assert column.to_pylist() == [text for kind in order for text in texts[kind]]


def test_keys_of_examples_keep_their_kind():
    feature = {"i": 2**60 + 1, "f": 0.1, "b": b"\xff", "t": b"007"}
    expected = {"i": "1152921504606846977", "f": "0.1", "b": '{"b64":"/w=="}', "t": '"007"'}
    record = example_class()()
    record.features.feature["i"].int64_list.value.append(feature["i"])
    record.features.feature["f"].float_list.value.append(feature["f"])
    for name in "bt":
        record.features.feature[name].bytes_list.value.append(feature[name])
    for name, text in expected.items():
        rows = InstanceBatch([record.SerializeToString()], format="tf-record")
        batch = convert(rows, bbp.InstanceConfig(key_field=name))
        outcome = Predictions([0], {"y": np.zeros(1, np.float32)})
        batch = InstanceBatch(batch.rows, keys=batch.keys, predictions=(outcome,))
        content = file_of(record_formats(OutputSettings("jsonl")).predictions, batch)
        assert keys_in(content, "jsonl") == [text]


ODD = ("1.10", "12E5", "-0", "0.12345678901234567890", "1200000.0")


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_echoes_and_excluded_fields_have_the_numbers_of_the_line(
    name, run_transforms, tiny_model, tmp_path
):
    path = tmp_path / "in"
    rows = (f'{{"note": {n}, "x": {n}}}\n{{"note": [{n}], "x": 2.0}}\n' for n in ODD)
    path.write_text("".join(rows))
    source = bbp.JsonLines(str(path))
    directory = run_transforms(source, name, tiny_model, excluded_fields=["note"])
    (file,) = directory.glob("predictions_*")
    lines = iter(file.read_text().splitlines()[-2 * len(ODD) :])
    for number, first, second in zip(ODD, lines, lines, strict=True):
        if name == "jsonl":
            assert first.startswith(f'{{"instance": {{"x":{number}}}, "note": {number}, "pred')
            assert second.startswith(f'{{"instance": {{"x":2.0}}, "note": [{number}], "pred')
        else:
            assert first.startswith(f"{number},{number},")
            assert second.startswith(f'2.0,"[{number}]",')


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_cells_are_shown_with_their_own_texts(name, run_transforms, tiny_model, tmp_path):
    path = tmp_path / "in"
    path.write_text("note,x\n1.10,1.50\n007,007\n+5,12E5\nabc,-0\n")
    directory = run_transforms(bbp.Csv(str(path)), name, tiny_model, excluded_fields=["note"])
    (file,) = directory.glob("predictions_*")
    lines = file.read_text().splitlines()[-4:]
    cells = [("1.10", "1.50"), ('"007"', '"007"'), ('"+5"', "12E5"), ('"abc"', "-0")]
    for line, (note, x) in zip(lines, cells, strict=True):
        head = f'{{"instance": [{x}], "note": {note}, "pred' if name == "jsonl" else f"{x},{note},"
        assert line.startswith(head)


def test_a_number_that_no_float_holds_is_a_key_and_an_excluded_field_but_not_an_input():
    rows = [b'{"id": 1e400, "note": [1e999], "x": 1.0}', b'{"id": 2, "note": 3, "x": 1e400}']
    keyed = convert(InstanceBatch(rows), bbp.InstanceConfig(key_field="id"))
    assert sorted(keyed.statuses) == [0, 1]  # the note is sent too
    config = bbp.InstanceConfig(key_field="id", excluded_fields=["note"])
    keyed = convert(InstanceBatch(rows), config)
    assert sorted(keyed.statuses) == [1]
    assert str(keyed.keys[0]) == "1e400"
    excluded = convert(InstanceBatch(rows), bbp.InstanceConfig(excluded_fields=["id", "note"]))
    assert sorted(excluded.statuses) == [1]
    assert str(excluded.attached[0]) == "{'id': 1e400, 'note': [1e999]}"


def test_bytes_are_keys_in_lines():
    batch = convert(InstanceBatch([b'{"id": {"b64": "/w=="}}']), bbp.InstanceConfig(key_field="id"))
    assert batch.keys == [{"b64": "/w=="}]
    assert not batch.statuses


def test_keys_survive_a_worker():
    for keys in (batch_of(TYPED["decimal"][0]).keys, [ExactNumber("1.10")]):
        copied = pickle.loads(pickle.dumps(keys))
        assert list(map(str, copied)) == list(map(str, keys))
        assert str(copied[0]) == "1.10"
