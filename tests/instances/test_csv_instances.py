"""Rows of CSV to instances: types of cells, agreement of the quick ways and the slow one."""

import json
import math

import numpy as np
import pytest
from helpers.examples import examples
from helpers.records import error_lines, prediction_lines
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch, Predictions
from beam_batch_predict.encoding.exact_number import ExactNumber
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.instances.fields import check_columns
from beam_batch_predict.models.inputs.tensors import to_tensors
from beam_batch_predict.spec import InstanceConfig, NonFinite
from beam_batch_predict.status import Code, Status

Config = InstanceConfig
OBJECT = Config(instance_type="object")


def batch_of(*rows, columns=("a", "b"), multiline=False, delimiter=","):
    sizes = [2 if isinstance(row, Status) else len(row) + 1 for row in rows]
    offsets = [sum(sizes[:at]) for at in range(len(rows))]
    return InstanceBatch(
        list(rows),
        offsets=offsets,
        origins=((0, "in.csv"),),
        columns=columns,
        format="csv-multiline" if multiline else "csv",
        delimiter=delimiter,
    )


def convert_rows(*rows, config=Config(), non_finite=NonFinite.STRING, inputs=(), **batch):  # noqa: B008
    return convert(batch_of(*rows, **batch), config, non_finite, inputs=inputs)


def lines_of(batch, non_finite=NonFinite.STRING):
    """What the output would say of each row, in row order, and the texts of errors."""
    predicted = batch.live
    columns = {"y": np.zeros(len(predicted))}
    done = InstanceBatch(
        **{
            name: getattr(batch, name)
            for name in ("rows", "instances", "texts", "keys", "attached", "statuses")
        },
        predictions=(Predictions(predicted, columns),),
    )
    good = prediction_lines(done, non_finite).splitlines()
    bad = error_lines(done, non_finite).splitlines()
    lines = dict(zip(predicted, good, strict=True))
    lines.update(zip(sorted(batch.statuses), bad, strict=True))
    return [lines[at] for at in range(len(batch))]


def same(a, b):
    """Equal as values and as types; a NaN equals a NaN."""
    return repr(a) == repr(b)


def cell_value(text, inputs=()):
    """The value of a single cell, in a row of its own and in two kinds of company."""
    found = []
    for head in (b"7,", b"x,"):
        for others in ([], [b"1,2"], [b'7,"x"'], [b"7,x"], [b"x,7"]):
            batch = convert_rows(head + text.encode(), *others, inputs=inputs)
            assert not batch.statuses, batch.statuses
            found.append(batch.instances[0][1])
    assert all(same(value, found[0]) for value in found)
    return found[0]


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (("id", "x"), b"id,x"),
        (("id", "x"), b'"ID", "X"'),
        (("id", "x"), b"Id,X"),
        (("column_1", "x"), b",x"),  # the name of the first column is made
        (("column_1", "column_2"), b"column_1,column_2"),
        (("0", "1"), b"0,1"),
        (("2019", "x"), b"2019,x"),
        (("größe", "名前"), "Größe,名前".encode()),
    ],
)
@pytest.mark.parametrize("others", [[], [b"1,2"], [b'7,"x"'], [b"7,x"], [b"x,7"], [b'"x"y,1']])
def test_a_row_that_repeats_the_header_is_an_error(columns, row, others):
    batch = convert_rows(row, *others, columns=columns)
    assert batch.statuses[0].message.startswith(
        "the row repeats the names of the columns: it is a header, as where files were joined"
    )
    assert json.loads(batch.texts[0]) == row.decode()


def test_a_row_with_the_names_in_another_order_is_an_error():
    for others in ([], [b"1,2"], [b"x,7"]):
        batch = convert_rows(b"x,ID", *others, columns=("id", "x"))
        assert "the names of the columns in another order" in batch.statuses[0].message


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (("text",), b"text"),
        (("id", "x"), b"id,y"),
        (("id", "x"), b"id,id"),
        (("0", "1"), b"1,0"),
        (("0", "1"), b"0,1.0"),
        (("column_1", "x"), b"x,x"),
    ],
)
def test_a_row_with_some_names_of_columns_is_a_row(columns, row):
    for others in ([], [row, row]):
        assert not convert_rows(row, *others, columns=columns).statuses


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize(
    ("row", "values", "text"),
    [
        ("1.50_2", [1.5, 2], b"[1.50,2]"),
        ("1,5_007", ["1,5", 7], b'["1,5",7]'),
        ('"a_b"_ "c, ""d"""', ["a_b", 'c, "d"'], None),
        ("_x", [None, "x"], None),
        (' 1,5 _" y "', [" 1,5 ", " y "], None),
        ("größe_名前", ["größe", "名前"], None),
    ],
)
@pytest.mark.parametrize("others", [[], ["1_2"], ["x_7"], ['"x"_"y,z"'], ['"x"y_1', "1"]])
def test_another_delimiter_gives_the_same_values(delimiter, row, values, text, others):
    def written(row):
        return row.replace("_", delimiter).encode()

    values = [v.replace("_", delimiter) if isinstance(v, str) else v for v in values]
    batch = convert_rows(written(row), *map(written, others), delimiter=delimiter)
    assert 0 not in batch.statuses
    assert batch.instances[0] == values
    if text:
        shown = lines_of(batch)[0]
        assert shown.startswith(b'{"instance": ' + text + b",") or text.startswith(b'["')
    key = convert_rows(
        written(row), *map(written, others), delimiter=delimiter, config=Config(key_field="b")
    ).keys[0]
    assert key == ("007" if values[1] == 7 else str(values[1]))


def test_a_wrong_number_of_cells_names_another_separator():
    for others in ([], [b"1,2"]):
        batch = convert_rows(b"1,5;2,5", b'"x";"y"', b"1,2,3", *others)
        messages = [batch.statuses[at].message for at in range(3)]
        assert messages[0].startswith('expected 2 cells ("a", "b"), found 3; the cells seem to be')
        assert messages[0].endswith(
            'separated by ";": if those of all files are, set --csv_delimiter=";"'
        )
        assert messages[1].startswith("invalid CSV: there is text behind the quote at character 3")
        assert messages[1].endswith('--csv_delimiter=";"')
        assert messages[2] == 'expected 2 cells ("a", "b"), found 3'


def test_errors_show_the_row_as_it_is_in_the_file():
    batch = convert_rows(b"1;2;3", b'1;"2', delimiter=";")
    assert [json.loads(text) for text in batch.texts] == ["1;2;3", '1;"2']


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("+5", 5),
        ("0", 0),
        ("-0", 0),
        ("-0.0", -0.0),
        ("007", 7),
        ("1.0", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1e5", 100000.0),
        ("1E+5", 100000.0),
        ("+1.5e-3", 0.0015),
        ("1e-999", 0.0),
        ("0.1234567890123456789", 0.1234567890123456789),
        ("0.00012345678901234567", 0.00012345678901234567),
        ("9223372036854775807", 2**63 - 1),
        ("18446744073709551616", 2**64),
        ("-123456789012345678901234567890", -123456789012345678901234567890),
        ("NaN", NAN),
        ("nan", NAN),
        ("inf", INF),
        ("-inf", -INF),
        ("Infinity", INF),
        ("+INFINITY", INF),
        (" 7 ", 7),
        ("\t1.5\t", 1.5),
        (" nan ", NAN),
        ("", None),
        (" ", None),
        ("\t \t", None),
        ('""', ""),
        ('"7"', "7"),
        (' "7" ', "7"),
        ('\t"7"', "7"),
        ('" 7 "', " 7 "),
        ('"say ""hi"""', 'say "hi"'),
        ('""""', '"'),
        ('"a,b"', "a,b"),
        ('"1],[2"', "1],[2"),
        ('"null"', "null"),
        ('"NaN"', "NaN"),
        ('"C:\\new"', "C:\\new"),
        ('"\\"', "\\"),
        ('"\\u0041"', "\\u0041"),
        ('"größe 名前 \U0001f427"', "größe 名前 \U0001f427"),
        ('"a\tb"', "a\tb"),
        ('"\x00"', "\x00"),
        ("\x00", "\x00"),
        ("Adelie", "Adelie"),
        (" Adelie ", " Adelie "),
        ("Zürich", "Zürich"),
        ("C:\\new", "C:\\new"),
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        ("None", "None"),
        ("NA", "NA"),
        ("N/A", "N/A"),
        ("[1", "[1"),
        ("1]", "1]"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("-", "-"),
        (".", "."),
        ("e5", "e5"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1 000", "1 000"),
        ("12%", "12%"),
        ("$5", "$5"),
        ("2024-05-01", "2024-05-01"),
        ("10:30", "10:30"),
        ("1.2.3", "1.2.3"),
        ("--1", "--1"),
        ("٣", "٣"),
        ("１", "１"),
        ("\u00a0", "\u00a0"),
        ("'7'", "'7'"),
        ("infinite", "infinite"),
        ("it's", "it's"),
        ("1\r", "1\r"),
        ("7" * 4000 + ".0e-3999", float("7" * 4000 + ".0e-3999")),
    ],
)
def test_cells_have_the_values_of_the_table(text, value):
    assert same(cell_value(text), value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"1,1e999", "invalid CSV: the number 1e999 is larger than any double"),
        (b"1," + b"9" * 5000, "is larger than any double"),
        (b"1", 'expected 2 cells ("a", "b"), found 1'),
        (b"1,2,3", 'expected 2 cells ("a", "b"), found 3'),
        (b"1,2,", 'expected 2 cells ("a", "b"), found 3'),
        (b'1,"2",""', 'expected 2 cells ("a", "b"), found 3'),
        (b"1;2", 'expected 2 cells ("a", "b"), found 1'),
        (b'1,5" pipe', "there is a quote inside the cell at character 3"),
        (b'"a"b,2', "there is text behind the quote at character 3, which closes the cell"),
        (b'1,"ab"c,d', "there is text behind the quote at character 6, which closes the cell"),
        (b'"a" "b",2', "there is text behind the quote at character 3, which closes the cell"),
        (b'{"x": 1},2', "there is a quote inside the cell at character 1"),
        (b'1,"a', "the quote at character 3 is not closed; if cells hold line breaks, set"),
        (b'b",2', "there is a quote inside the cell at character 1"),
        (b'1,"a""', "the quote at character 3 is not closed"),
        (b'1,"a \\"q\\" b"', "the backslash at character 6 does not escape the quote behind it"),
        (b'1,5\\" pipe', "the backslash at character 4 does not escape the quote"),
        (b'1,"a\\""', "the backslash at character 5 does not escape the quote"),
        (b"1,2\r3,4", "found 3; a carriage return stands outside quotes: if it ends lines"),
        (b'1,"2"\r"3",4', "end them with LF or CRLF"),
        (b"1,caf\xe9", "invalid UTF-8: byte 0xe9 at column 6; save the file as UTF-8"),
        (b"1,\xed\xa0\x80", "invalid UTF-8"),
    ],
)
@pytest.mark.parametrize("other", [b'"3","4"', b"3,4", b"x,4"])
def test_a_wrong_row_fails_alone_and_is_reported_with_its_location(row, words, other):
    batch = convert_rows(other, row, other)
    (status,) = batch.statuses.values()
    assert list(batch.statuses) == [1]
    assert status.code is Code.INVALID_ARGUMENT
    assert words in status.message
    assert same(batch.instances[0], convert_rows(other).instances[0])
    assert same(batch.instances[2], batch.instances[0])
    (line,) = error_lines(batch).splitlines()
    error = json.loads(line)["error"]["message"]
    assert error == f"{status.message} (in.csv, byte {len(other) + 1})"
    shown = json.loads(line)["instance"]
    assert shown == row.decode() if row.isascii() else set(shown) == {"b64"}


@pytest.mark.parametrize("row", [b"x\r1\r2", b"1,2", b"1\r2,3"])
def test_a_line_of_many_lines_is_no_single_cell(row):
    batch = convert_rows(b"1", row, b'"1\r2"', columns=("x",))
    assert batch.instances[::2] == [[1], ["1\r2"]]
    (status,) = batch.statuses.values()
    assert status.message.startswith('expected 1 cell ("x")')
    assert ("a carriage return stands outside quotes" in status.message) == (b"\r" in row)


def test_both_halves_of_a_broken_cell_name_the_option():
    batch = convert_rows(b'1,"a', b'b",2')
    assert all("--csv_multiline=true" in status.message for status in batch.statuses.values())
    batch = convert_rows(b'1,"a', multiline=True)
    assert "--csv_multiline" not in batch.statuses[0].message


def test_many_columns_are_not_all_named_in_an_error():
    columns = tuple(f"c{number}" for number in range(50))
    (status,) = convert_rows(b"1,2", columns=columns).statuses.values()
    assert '"c19" and 30 more), found 2' in status.message


def test_cells_with_line_breaks_are_whole():
    row = b'1,"two\r\n\r\nlines, ""and""\nmore"'
    batch = convert_rows(b"1,2", row, multiline=True)
    assert batch.instances == [[1, 2], [1, 'two\r\n\r\nlines, "and"\nmore']]


HOSTILE = st.text('0179,"[]{}\\ +-.eEnulltrfasiNI\t\r\x00é名\u2028:', max_size=7)
QUOTED = HOSTILE.map(lambda text: '"{}"'.format(text.replace('"', '""')))
NUMBERS = st.integers(-(10**20), 10**20).map(str) | st.floats(allow_nan=False).map(repr)
ROWS = st.lists(HOSTILE | QUOTED | NUMBERS, min_size=1, max_size=3).map(",".join).map(str.encode)
CONFIGS = st.sampled_from(
    [
        Config(),
        OBJECT,
        Config(key_field="a"),
        Config(key_field="b", instance_type="object"),
        Config(included_fields=["b", "a"]),
        Config(included_fields=["a", "b"]),
        Config(included_fields="b"),
        Config(excluded_fields="a"),
        Config(excluded_fields=["b", "a"], instance_type="object"),
        Config(key_field="b", excluded_fields="a"),
    ]
)


@settings(deadline=None, max_examples=examples(1500))
@given(
    rows=st.lists(ROWS.filter(bytes.strip), min_size=1, max_size=6),
    config=CONFIGS,
    non_finite=st.sampled_from(NonFinite),
)
@example(rows=[b"1,2],[3,4", b"1,2"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b'1,"a', b'b",2', b"1,2],[3,4"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b"1.50,2", b"x,2"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b"1.50,2", b"x,2", b"1,y"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b"1,\r2", b"1,2"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b"x,[1", b"y,2]"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b'x,"1"', b"y,2"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b'x"y,1', b"y,2"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b"x", b"y,2"], config=Config(), non_finite=NonFinite.STRING)
@example(rows=[b"x,1.50", b"y,2e3"], config=Config(excluded_fields="a"), non_finite=NonFinite.NULL)
@example(rows=[b"nan,2", b"1,2"], config=Config(key_field="a"), non_finite=NonFinite.ERROR)
@example(rows=[b",2", b"1.5,2"], config=Config(key_field="a"), non_finite=NonFinite.NULL)
def test_what_becomes_of_a_row_depends_on_the_row_alone(rows, config, non_finite):
    check_rows_alone(rows, config, non_finite)


INPUTS = st.lists(
    st.builds(
        TensorInfo,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["float32", "int64", "bool", "string"]),
        st.sampled_from([None, (None,), (None, 1), (None, 2)]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tensor: tensor.name,
)


@settings(deadline=None, max_examples=examples(500))
@given(
    rows=st.lists(ROWS.filter(bytes.strip), min_size=1, max_size=6),
    config=CONFIGS,
    non_finite=st.sampled_from(NonFinite),
    inputs=INPUTS,
)
def test_a_row_depends_on_itself_and_the_inputs_alone(rows, config, non_finite, inputs):
    check_rows_alone(rows, config, non_finite, inputs)


def check_rows_alone(rows, config, non_finite, inputs=()):
    given = {"config": config, "non_finite": non_finite, "inputs": inputs}
    together = convert_rows(*rows, **given)
    alone = [convert_rows(row, **given) for row in rows]
    assert same(list(together.instances), [batch.instances[0] for batch in alone])
    assert set(together.statuses) == {at for at, batch in enumerate(alone) if batch.statuses}
    for name in ("keys", "attached"):
        column = getattr(together, name)
        assert same(column, column and [getattr(batch, name)[0] for batch in alone])
    assert {batch.columns for batch in alone} == {together.columns}
    lines = lines_of(together, non_finite)
    assert lines == [lines_of(batch, non_finite)[0] for batch in alone]
    assert all(json.loads(line) for line in lines)


def split_slowly(row):
    """The cells of a row, character by character: (text, quoted), or None if it is wrong."""
    cells, state, text = [], "start", ""
    for c in [*row, "end"]:
        border = c in (",", "end")
        if state == "start" and c in (" ", "\t"):
            text += c
        elif state == "start" and c == '"':
            state, text = "quoted", ""
        elif state in ("start", "plain"):
            if c == '"':
                return None
            state, text = ("start", text) if border else ("plain", text + c)
            if border:
                cells.append((text, False))
                text = ""
        elif state == "quoted":
            if c == "end":
                return None
            state, text = ("closing", text) if c == '"' else ("quoted", text + c)
        elif state == "closing" and c == '"':
            state, text = "quoted", text + '"'
        elif border:
            cells.append((text, True))
            state, text = "start", ""
        elif c in (" ", "\t"):
            state = "closed"
        else:
            return None
    return cells


@settings(deadline=None, max_examples=examples(500))
@given(rows=st.lists(ROWS.filter(bytes.strip), min_size=1, max_size=4))
def test_cells_of_strings_are_their_text(rows):
    inputs = [TensorInfo("x", "string", (None, None))]
    cells = [split_slowly(row.decode()) for row in rows]
    batch = convert_rows(*rows, inputs=inputs)
    for at in batch.live:
        assert batch.instances[at] == [text for text, _ in cells[at]]


@settings(deadline=None, max_examples=examples(1500))
@given(row=ROWS.filter(bytes.strip))
@example(row=b'"a" "b"')
@example(row=b'" "')
def test_rows_are_cut_into_cells_as_the_grammar_says(row):
    cells = split_slowly(row.decode())
    columns = tuple(f"c{at}" for at in range(len(cells or "1")))
    batch = convert_rows(row, columns=columns)
    if cells is None:
        assert "quote" in batch.statuses[0].message
    elif not batch.statuses:
        values = batch.instances[0]
        assert len(values) == len(cells)
        for (text, quoted), value in zip(cells, values, strict=True):
            if quoted:
                assert same(value, text)
            elif isinstance(value, str):
                assert value == text
            elif value is None:
                assert not text.strip(" \t")
            else:
                assert same(value, int(text) if isinstance(value, int) else float(text))


def test_the_output_shows_the_own_text_of_plain_rows():
    batch = convert_rows(b"1.50, 2e3", b'"x",1', b"x,1.50", b",1.50")
    assert [json.loads(line)["instance"] for line in lines_of(batch)] == [
        [1.5, 2000.0],
        ["x", 1],
        ["x", 1.5],
        [None, 1.5],
    ]
    assert lines_of(batch)[0].startswith(b'{"instance": [1.50, 2e3],')
    assert lines_of(batch)[2].startswith(b'{"instance": ["x",1.50],')


WORDS = ("1e5", "007", "0E0", "Nan", "Inf", "+1", "-0", "1.10", "1e999", "true", "null", " 7 ", "")


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        *(("string", text, text) for text in (*WORDS, "  ", "1" * 5000, "Adelie", "1\r")),
        *(("string", f'"{text}"', text) for text in WORDS),
        *(("int64", text, 1) for text in ("1", "+1", "01", "1.0", "1.", "1e0", "10E-1", " 1.00 ")),
        ("int64", "9007199254740993", 2**53 + 1),
        ("int64", "9007199254740993.0", 2**53 + 1),
        ("int64", "9.007199254740993e15", 2**53 + 1),
        ("uint64", "18446744073709551615.0", 2**64 - 1),
        ("int64", "-0.0", 0),
        ("int64", "1e5", 100000),
        ("int64", "1.5", 1.5),
        ("int64", "9007199254740993.5", 9007199254740993.5),
        ("int64", "1e-999", 0.0),
        ("int64", "1e-99999999999999999999", 0.0),
        ("int64", "1e300", 1e300),
        ("int64", "nan", NAN),
        ("int64", '"1"', "1"),
        ("int64", "x", "x"),
        ("int64", "", None),
        *(("bool", text, True) for text in ("true", "True", "TRUE", " true ", "1")),
        *(("bool", text, False) for text in ("false", "False", "FALSE", "0")),
        *(("bool", text, value) for text, value in (("2", 2), ("1.0", 1.0), ("yes", "yes"))),
        ("bool", '"true"', "true"),
        ("bool", "", None),
        ("float32", "1", 1),
        ("float32", "1e5", 1e5),
        ("float32", "true", "true"),
        ("float32", "nan", NAN),
        ("float32", '"1"', "1"),
        ("float32", "", None),
    ],
)
def test_a_cell_is_a_value_of_the_input_that_it_fills(dtype, text, value):
    other = TensorInfo("a", "float32", (None,))
    assert same(cell_value(text, [other, TensorInfo("b", dtype, (None,))]), value)
    assert same(cell_value(text, [TensorInfo("x", dtype, (None, 2))]), value)
    assert same(cell_value(text, [TensorInfo("b", dtype, (None,))]), value)


@pytest.mark.parametrize("non_finite", NonFinite)
def test_the_output_shows_cells_of_strings_as_their_text(non_finite):
    inputs = [TensorInfo("a", "float32", (None,)), TensorInfo("b", "string", (None,))]
    for word in WORDS:
        for others in ([], [b'2,"x"'], [b"2,x"], [b"2.50,7"], [b'x"y,1']):
            row = b"1.50," + word.encode()
            batch = convert_rows(row, *others, inputs=inputs, non_finite=non_finite)
            assert 0 not in batch.statuses
            assert json.loads(lines_of(batch)[0])["instance"] == [1.5, word]
    batch = convert_rows(b'1.50,"7"', b"1.50,7", inputs=inputs)
    assert lines_of(batch)[0].startswith(b'{"instance": [1.50,"7"],')
    assert lines_of(batch)[1].startswith(b'{"instance": [1.50,"7"],')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("007", "+1", "1e5", "0E0", "12E5", "-0", ".5", "1.", "1e999")),
        *((text, text) for text in ("12345678901234567.5", "0.1234567890123456789", "Nan", "inf")),
        *((text, text) for text in (" 007 ", "1.0e0", "00.5", "Adelie", "true")),
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        (" 8 ", 8),
        ("12345678901234567890123", 12345678901234567890123),
        ("1.5", 1.5),
        ("1.50", 1.5),
        ("2.0", 2.0),
        ("-0.0", -0.0),
        ("-0.25", -0.25),
        ("0.00001", 0.00001),
        ("NaN", NAN),
        ("-Infinity", -INF),
        ("", None),
        ('"7"', "7"),
    ],
)
def test_a_cell_that_fills_no_input_is_a_number_only_if_that_shows_its_text(text, value):
    assert same(cell_value(text, [TensorInfo("a", "float32", (None,))]), value)
    excluded = Config(excluded_fields="b")
    shown = ExactNumber(text) if text == "1.50" else value
    for inputs in ((), [TensorInfo("a", "float32", (None,))]):
        for others in ([], [b"1,2"], [b'7,"x"'], [b"7,x"], [b"x,7"]):
            row = b"7," + text.encode()
            batch = convert_rows(row, *others, config=excluded, inputs=inputs)
            assert same(batch.attached[0], {"b": shown})


def test_a_column_that_fills_no_input_fails_no_row():
    inputs = [TensorInfo("b", "float32", (None,))]
    batch = convert_rows(b"1e999,1", b"Nan,2", b",3", b"x,4", inputs=inputs)
    assert not batch.statuses
    assert [row[1] for row in batch.instances] == [1, 2, 3, 4]
    assert "larger than any double" in convert_rows(b"1e999,1").statuses[0].message


@pytest.mark.parametrize("config", [Config(), OBJECT, Config(key_field="id")])
def test_the_cells_of_a_large_batch_are_right(config):
    inputs = [
        TensorInfo(name, dtype, (None,))
        for name, dtype in (("n", "int64"), ("s", "string"), ("t", "bool"), ("x", "float32"))
    ]
    for form in ("{0},{0}.0,{1},{2},{0}.5", '"{0}",{0}.0,"{1}",{2},{0}.5', "a{0},{0}.0,{1},{2},1"):
        rows = [form.format(at, f"0{at}", at % 2).encode() for at in range(300)]
        batch = convert_rows(
            *rows, columns=("id", "n", "s", "t", "x"), inputs=inputs, config=config
        )
        (made,) = to_tensors(batch.instances, batch.live, inputs, None, batch.columns).batches
        assert made.inputs["n"].tolist() == list(range(300))
        assert made.inputs["s"].tolist() == [b"0%d" % at for at in range(300)]
        assert made.inputs["t"].tolist() == [bool(at % 2) for at in range(300)]


IDS = b'"k1",1,2'


@pytest.mark.parametrize(
    ("config", "instance", "key", "attached"),
    [
        (Config(), ["k1", 1, 2], None, None),
        (Config("array"), ["k1", 1, 2], None, None),
        (OBJECT, {"id": "k1", "a": 1, "b": 2}, None, None),
        (Config(key_field="id"), [1, 2], "k1", None),
        (Config(key_field="a"), ["k1", 2], "1", None),
        (Config("object", key_field="id"), {"a": 1, "b": 2}, "k1", None),
        (Config(included_fields=["b", "a"]), [2, 1], None, None),
        (Config("array", included_fields=["b", "id"]), [2, "k1"], None, None),
        (Config("object", included_fields=["b", "id"]), {"b": 2, "id": "k1"}, None, None),
        (Config(key_field="id", included_fields=["b"]), [2], "k1", None),
        (Config(excluded_fields=["a", "id"]), [2], None, {"a": 1, "id": "k1"}),
        (Config("object", excluded_fields="id"), {"a": 1, "b": 2}, None, {"id": "k1"}),
        (Config(key_field="id", excluded_fields="a"), [2], "k1", None),
    ],
)
@pytest.mark.parametrize("odd", [None, b"", b"x", b'"z",1,"\\"'])
def test_fields_are_taken_out_of_rows_as_the_config_says(config, instance, key, attached, odd):
    rows = [IDS] if odd is None else [IDS, odd]
    batch = convert_rows(*rows, config=config, columns=("id", "a", "b"))
    assert same(batch.instances[0], instance)
    if isinstance(instance, dict):
        assert list(batch.instances[0]) == list(instance) == list(batch.columns)
    assert (batch.keys and batch.keys[0]) == key
    assert (batch.attached and batch.attached[0]) == attached
    shown = json.loads(lines_of(batch)[0])
    assert shown.pop("prediction") == 0
    assert shown == ({"key": key} if key else {"instance": instance, **(attached or {})})


@pytest.mark.parametrize(("cell", "found"), [(b"", "null"), (b" \t", "null")])
def test_a_cell_that_cannot_be_a_key_is_an_error_that_shows_the_row(cell, found):
    batch = convert_rows(b"1,2", cell + b",3", b"k,4", config=Config(key_field="a"))
    assert batch.keys == ["1", None, "k"]
    assert batch.statuses[1].message.startswith('key field "a": expected a string or a')
    assert found in batch.statuses[1].message
    assert json.loads(error_lines(batch))["instance"][1] == 3


KEYS = [
    "007",
    "7",
    "-7",
    "+33612345678",
    "12E5",
    "1200000.0",
    "1.10",
    "0E0",
    "0E8",
    "-0",
    "1e999",
    "12345678901234567890123",
    "0.1234567890123456789",
    "NaN",
    "Inf",
    " 7 ",
    "9" * 5000,
    "x",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("at", [0, 1])
def test_a_key_is_the_text_of_its_cell(key, at):
    def row(cell, other):
        return f"{cell},{other}".encode() if at == 0 else f"{other},{cell}".encode()

    config = Config(key_field="ab"[at])
    quoted_key = f'"{key}"'
    for others in ([], [row("7", 2)], [row("x", 2)], [row('"x"', 2)], [row(",", '"open')]):
        for cell in (key, quoted_key):
            batch = convert_rows(row(cell, 1), row(cell, '"1,2"'), *others, config=config)
            assert batch.keys[:2] == [key, key]
            assert list(batch.instances[:2]) == [[1], ["1,2"]]
            assert lines_of(batch)[0].startswith(b'{"key": "' + key.encode() + b'",')


def test_all_keys_stay_different():
    for non_finite in NonFinite:
        rows = [key.encode() + b",1" for key in KEYS]
        batch = convert_rows(*rows, config=Config(key_field="a"), non_finite=non_finite)
        assert (list(batch.keys), batch.statuses) == (KEYS, {})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(key_field="ID"), 'instanceConfig.keyField: "ID" is not a column'),
        (Config(included_fields=["a", "z", "y"]), 'includedFields: "z", "y" is not a column'),
        (Config(key_field="id", excluded_fields="z"), 'excludedFields: "z" is not a column'),
    ],
)
def test_a_field_that_is_no_column_is_refused_with_the_names_there_are(config, words):
    with pytest.raises(InvalidArgument) as caught:
        check_columns(("id", "a"), config)
    assert words in caught.value.message
    assert caught.value.message.endswith('which have "id", "a"')
    check_columns((), config)  # files without rows need no columns


def test_without_a_plan_rows_tell_which_field_is_missing():
    batch = convert_rows(b"1,2", config=Config(key_field="id"))
    assert 'key field "id" is missing; the row has "a", "b"' in batch.statuses[0].message


def test_a_batch_without_rows_stays_one():
    batch = convert_rows(config=Config(key_field="a"))
    assert (list(batch.instances), list(batch.keys), batch.columns) == ([], [], ("b",))


TWO_INPUTS = [TensorInfo("b", "float32", (None,)), TensorInfo("a", "string", (None,))]


def test_arrays_fill_several_inputs_by_the_names_of_their_columns():
    batch = convert_rows(b"x,1", b"y,2.5")
    (made,) = to_tensors(batch.instances, [0, 1], TWO_INPUTS, None, batch.columns).batches
    assert made.inputs["b"].tolist() == [1.0, 2.5]
    assert made.inputs["a"].tolist() == [b"x", b"y"]


def test_a_row_that_does_not_fit_several_inputs_fails_alone():
    batch = convert_rows(b"x,1", b"3,1", b",", b"y,2", b"1,2,3")
    made = to_tensors(batch.instances, batch.live, TWO_INPUTS, None, batch.columns)
    assert [group.rows for group in made.batches] == [[0, 3]]
    assert [row for row, _ in made.failures] == [1, 2]
    assert 'input "a": expected string' in made.failures[0][1].message


def test_columns_that_are_no_inputs_are_left_out():
    columns = ("z", "a", "y", "b")
    for config in (Config(), OBJECT):
        batch = convert_rows(
            b"1e999,x,,1", b",y,7,2", columns=columns, inputs=TWO_INPUTS, config=config
        )
        (made,) = to_tensors(batch.instances, [0, 1], TWO_INPUTS, None, batch.columns).batches
        assert made.inputs["a"].tolist() == [b"x", b"y"]
        assert made.inputs["b"].tolist() == [1.0, 2.0]


def test_columns_that_are_no_inputs_are_named_if_one_is_missing():
    batch = convert_rows(b"x,1", columns=("a", "z"))
    made = to_tensors(batch.instances, [0], TWO_INPUTS, None, batch.columns)
    assert '"z"' in made.failures[0][1].message


@pytest.mark.parametrize("config", [Config(), OBJECT, Config(key_field="a")])
def test_a_row_that_was_too_long_to_read_has_an_empty_text_and_harms_no_other(config):
    too_long = Status(Code.OUT_OF_RANGE, "too long")
    batch = convert_rows(b"1.50,x", too_long, b"1.50,x", config=config)
    single = convert_rows(b"1.50,x", config=config)
    assert batch.statuses[1].message.startswith("too long")
    assert set(batch.statuses) == {1}
    assert (batch.instances[1], batch.texts[1]) == ("", b'""')
    lines, [expected] = lines_of(batch), lines_of(single)
    assert len(lines) == 3
    assert [line == expected for line in lines].count(True) >= 1
    assert [batch.instances[at] for at in (0, 2)] == [single.instances[0]] * 2


def test_rows_that_are_made_to_take_long_do_not():
    """Work that grows with the square of any of these would take hours."""
    many = 300_000
    rows = [
        *(b"1" * many + b"x,2", b"1" * many + b".5.x,2", b"1e" + b"1" * many + b"x,2"),
        *(b"+" * many + b",2", b" \t" * many + b'"x,2', b'"' * many, b'"' * (many + 1)),
        *(b'"",' * 50_000 + b'"', b"[" * many + b",2", b'{"a":' * many + b",2"),
        *(b"\r" * many, b"\0" * many + b",2", b"\\" * many + b",2"),
    ]
    for fine in ([b"1,2"], [b'"a",2']):
        batch = convert_rows(*rows, *fine)
        assert len(batch.instances) == len(rows) + len(fine)
        assert len(rows) not in batch.statuses
        assert max(len(status.message) for status in batch.statuses.values()) < 1000


def test_a_hundred_thousand_columns_are_a_row():
    columns = tuple(f"c{number}" for number in range(100_000))
    row = b",".join([b"1"] * len(columns))
    batch = convert_rows(row, row + b",1", row[:-2], columns=columns)
    assert list(map(len, batch.instances[:1])) == [100_000]
    assert set(batch.statuses) == {1, 2}
    assert max(len(status.message) for status in batch.statuses.values()) < 1000
