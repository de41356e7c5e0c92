"""CSV rows of predictions and errors: what is read back is what was written."""

import csv
import dataclasses
import io
import json
import math
import sys

import ml_dtypes
import numpy as np
import pytest
from helpers.batches import answered, converted
from hypothesis import assume, given
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.json_columns import join_rows
from beam_batch_predict.errors import DestinationError
from beam_batch_predict.instances.csv_cells import parse_cells
from beam_batch_predict.sinks.columns import layout
from beam_batch_predict.sinks.columns.layout import (
    ATTACHED,
    FIELD,
    INSTANCE,
    KEY,
    MOST_COLUMNS,
    OUTCOME,
    Column,
    union,
)
from beam_batch_predict.sinks.formats.csv import CsvRecords
from beam_batch_predict.sinks.formats.csv_cells import array_cells, value_cells
from beam_batch_predict.spec import NonFinite, OutputSettings
from beam_batch_predict.status import Code, Status

FAILED = Status(Code.INVALID_ARGUMENT, 'expected "x", found\nnothing')
CSV = CsvRecords()


def file_of(rows):
    file = io.BytesIO()
    writer = CSV.writer(file, CSV.schema(rows.layout))
    writer.write(rows)
    writer.close()
    return file.getvalue().decode()


def predictions(batch, policy=NonFinite.STRING):
    return file_of(CsvRecords(OutputSettings(non_finite=policy)).predictions(batch))


def errors(batch, policy=NonFinite.STRING):
    return file_of(CsvRecords(OutputSettings(non_finite=policy)).errors(batch))


def test_fields_of_objects_are_columns():
    batch = converted([b'{"x": 1.50, "s": "a, b"}', b'{"x": null, "s": "say \\"a\\""}'])
    assert predictions(batch) == ('"x","s","prediction"\n1.50,"a, b",1.5\n,"say ""a""",1.5\n')


def test_integers_of_any_size_stay_exact():
    batch = converted([b'{"big": 36893488147419103232, "in": [36893488147419103232]}'])
    assert predictions(batch).splitlines()[1] == (
        '36893488147419103232,"[36893488147419103232]",1.5'
    )


def test_fields_of_all_rows_are_columns_in_the_order_in_which_they_come():
    batch = converted([b'{"b": 1}', b'{"c": 2, "b": 3}', b"oops", b'{"a": 4}'])
    assert predictions(batch) == '"b","c","a","prediction"\n1,,,1.5\n3,2,,1.5\n,,4,1.5\n'
    assert list(csv.reader(io.StringIO(errors(batch))))[0] == ["instance", "error"]


def test_rows_that_are_no_objects_are_one_column():
    batch = converted([b'"text"', b"[1, 2]", b"3", b"true", b"{}", b'{"b64": "AA=="}'])
    assert predictions(batch) == (
        '"instance","prediction"\n"text",1.5\n"[1,2]",1.5\n3,1.5\ntrue,1.5\n"{}",1.5\n'
        '"{""b64"":""AA==""}",1.5\n'
    )


def test_arrays_have_the_columns_of_the_source():
    batch = InstanceBatch([b"1", b"2"], columns=("a", "b"), instances=[[1, "x"], [None, "y"]])
    assert predictions(answered(batch)) == '"a","b","prediction"\n1,"x",1.5\n,"y",1.5\n'


def test_a_row_that_does_not_have_the_columns_is_one_cell_behind_them():
    batch = InstanceBatch([b"1", b"2"], columns=("a", "b"), instances=[[1, "x"], "oops"])
    batch = dataclasses.replace(batch, statuses={0: FAILED, 1: FAILED})
    first, second = list(csv.DictReader(io.StringIO(errors(batch))))
    assert list(first) == ["a", "b", "instance", "error"]
    assert (first["a"], first["b"], first["instance"]) == ("1", "x", "")
    assert (second["a"], second["b"], second["instance"]) == ("", "", "oops")
    assert json.loads(second["error"]) == FAILED.to_json()


def test_a_key_replaces_the_instance():
    batch = converted([b'{"id": "a", "x": 1}', b'{"id": 7, "x": 1}'], key_field="id")
    assert predictions(batch) == '"key","prediction"\n"a",1.5\n7,1.5\n'


def test_a_row_whose_key_is_wrong_shows_its_instance():
    rows = [b'{"x": 1}', b'{"id": 2, "x": 1}', b"oops", b'{"id": 3, "x": 1}']
    batch = converted(rows, key_field="id")
    batch = dataclasses.replace(batch, predictions=())
    batch = answered(dataclasses.replace(batch, statuses={**batch.statuses, 3: FAILED}))
    found = [line[:3] for line in csv.reader(io.StringIO(errors(batch)))]
    assert found == [["key", "x", "instance"], ["", "1", ""], ["", "", "oops"], ["3", "", ""]]
    assert predictions(batch) == '"key","prediction"\n2,1.5\n'


def test_excluded_fields_follow_the_instance():
    batch = converted([b'{"a": 5, "x": 1}', b'{"x": 2}'], excluded_fields=["a"])
    assert predictions(batch) == '"x","a","prediction"\n1,5,1.5\n2,,1.5\n'


def test_every_output_is_a_column():
    columns = {"label": np.array([b"A", b"\xff"]), "scores": np.array([[1.5, np.nan], [1, 2]])}
    batch = InstanceBatch([1, 2], instances=[1, 2], predictions=(Predictions([0, 1], columns),))
    assert predictions(batch) == (
        '"instance","label","scores"\n1,"A","[1.5,""NaN""]"\n2,"{""b64"":""/w==""}","[1.0,2.0]"\n'
    )


def test_groups_of_several_shapes_come_out_in_row_order():
    groups = (
        Predictions([1, 3], {"y": np.array([[1, 1], [3, 3]])}),
        Predictions([0, 2], {"y": np.array([0, 2])}),
    )
    batch = InstanceBatch([0] * 4, instances=[0, 1, 2, 3], predictions=groups)
    assert predictions(batch).splitlines()[1:] == ["0,0", '1,"[1,1]"', "2,2", '3,"[3,3]"']


@pytest.mark.parametrize(
    ("policy", "cell", "inside"),
    [
        (NonFinite.STRING, "-Infinity", '"[""-Infinity""]"'),
        (NonFinite.NULL, "", '"[null]"'),
        (NonFinite.ERROR, "-Infinity", '"[""-Infinity""]"'),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_infinity_is_a_number(policy, cell, inside, dtype):
    array = np.array([-np.inf, 0.5]).astype(dtype)
    assert join_rows(array_cells("y", array, policy)) == [cell.encode(), b"0.5"]
    assert join_rows(array_cells("y", array[:, None], policy))[0] == inside.encode()
    if policy is not NonFinite.ERROR:  # about what the model gives
        both = [cell.encode(), inside.encode()]
        assert join_rows(value_cells([-math.inf, [-math.inf]], policy)) == both


def names(*columns, taken=()):
    layout = union(Column(role, name) for role, name in columns)
    return list(CSV.schema(layout, taken).names)


def test_names_with_a_meaning_of_their_own_get_an_underscore():
    fields = [(FIELD, name) for name in ("key", "error", "prediction", "prediction_", "")]
    assert names(*fields, (OUTCOME, "prediction")) == [
        *("key_", "error_", "prediction_", "prediction__", "_"),
        "prediction",
    ]


def test_outputs_keep_their_names():
    columns = [(KEY, "key"), (INSTANCE, "instance"), (FIELD, "species"), (ATTACHED, "species_")]
    outputs = [(OUTCOME, "key"), (OUTCOME, "species"), (OUTCOME, "instance")]
    assert names(*columns, *outputs) == [
        *("key_", "species_", "instance_", "species__"),
        *("key", "species", "instance"),
    ]
    assert names((FIELD, "species"), (OUTCOME, "error"), taken=[Column(OUTCOME, "species")]) == [
        "species_",
        "error",
    ]


def test_more_columns_than_anyone_wants_are_refused():
    columns = [Column(FIELD, str(n)) for n in range(MOST_COLUMNS + 1)]
    assert len(union(columns[:-1])) == MOST_COLUMNS
    with pytest.raises(DestinationError, match="needs 20001 columns or more.* 20000") as raised:
        union(columns)
    assert all(word in raised.value.hint for word in ("jsonl", "includedFields", "keyField"))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text("ab"), SCALARS)


def as_read(value):
    if isinstance(value, bool):
        return "true" if value else "false"  # text, unless the reader knows booleans
    if isinstance(value, (list, dict)):
        return json.loads(dumped(value))
    return value


def dumped(value):
    def finite(item):
        return item if not isinstance(item, float) or math.isfinite(item) else None

    if isinstance(value, list):
        return json.dumps([finite(item) for item in value])
    return json.dumps({name: finite(item) for name, item in value.items()})


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
def test_cells_are_read_back_with_their_types(rows):
    batch = InstanceBatch(rows, columns=("a", "b"), instances=[list(row) for row in rows])
    one_column = value_cells([row[0] for row in rows], NonFinite.NULL)
    text = predictions(answered(batch), NonFinite.NULL)
    assume(sys.version_info >= (3, 11) or "\x00" not in text)  # before, csv takes no NUL
    parsed = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len(parsed) == len(rows) + 1
    for (value, _), cell in zip(rows, join_rows(one_column), strict=True):
        (typed,) = parse_cells(cell.decode())
        if isinstance(value, (list, dict)):
            assert json.loads(typed) == as_read(value)
        elif isinstance(value, float) and not math.isfinite(value):
            assert typed is None
        elif isinstance(value, bool):
            assert typed in (value, as_read(value))
        else:
            assert typed == value
            assert type(typed) is type(value)
    for cells, row in zip(parsed[1:], rows, strict=True):
        for cell, value in zip(cells, row, strict=False):
            if isinstance(value, str):
                assert cell == value


@given(
    st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=1, max_size=5),
    st.integers(1, 9),
)
def test_rows_in_more_columns_are_the_same_rows(rows, block):
    """Whatever is in the cells, and wherever blocks of the file end."""
    batch = answered(InstanceBatch(rows, columns=("a", "b"), instances=rows))
    written = CSV.predictions(batch)
    more = CSV.schema(union([Column(FIELD, "new"), Column(KEY, "key")], written.layout))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK_BYTES", block)
        file = io.BytesIO(file_of(written).encode())
        found = list(CSV.rows(file, CSV.schema(written.layout)))
    assert b"".join(piece.content(more) for piece in found) == written.content(more)
