"""Parquet files: no extra rows, each row in one span, and pyarrow's values."""

import datetime
import io
import math
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.arrow_values import json_values
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.sources.compression import READ_ERRORS
from beam_batch_predict.sources.parquet.files import read_parquet
from beam_batch_predict.status import Status
from fuzz.choices import Choices
from fuzz.rows import opener

MOST_ROWS = 200_000
"""The most rows: a damaged footer may declare any number of rows for null columns."""

MOMENT = datetime.datetime(2020, 1, 2, 3, 4, 5)
TABLES = [
    pa.table(
        {
            "s": [f"text {number % 3}" for number in range(9)],
            "x": [number / 3 for number in range(9)],
            "n": [None if number % 4 else number for number in range(9)],
        }
    ),
    pa.table(
        {
            "l": [["a", "b"], [], None, ["a"]],
            "t": [{"p": 1, "q": "z"}, None, {"p": None, "q": "z"}, {"p": 4, "q": ""}],
            "m": pa.array([[("k", 1)], [], None, [("k", 2), ("j", 3)]], pa.map_("string", "int8")),
        }
    ),
    pa.table(
        {
            "d": pa.array([Decimal("1.25"), None, Decimal("-9.99")], pa.decimal128(9, 2)),
            "at": pa.array([MOMENT, None, MOMENT], pa.timestamp("ns", "UTC")),
            "day": pa.array([MOMENT.date(), MOMENT.date(), None]),
            "b": [b"\xff", b"", None],
            "h": pa.array([1.5, math.nan, None], pa.float16()),
            "flag": [True, None, False],
        }
    ),
]


def _written(number, **options):
    stream = io.BytesIO()
    pq.write_table(TABLES[number], stream, **options)
    return stream.getvalue()


SEEDS = [
    b"\x40\x00" + _written(0, row_group_size=4, compression="none"),
    b"\x80\x00" + _written(0, use_dictionary=False, compression="zstd", write_page_checksum=True),
    b"\x20\x00" + _written(1, compression="none", data_page_version="2.0"),
    b"\x60\x00" + _written(1, row_group_size=2, store_schema=False),
    b"\xa0\x00" + _written(2, compression="gzip", write_statistics=False),
    b"\xc0\x00" + _written(2, use_deprecated_int96_timestamps=True, compression="none"),
    b"\xc0\x03\x50\x00\xff\x90\x80\x00\x20\x30\x01" + _written(0, compression="none"),
    b"\x10\x02\xff\xff\x01\xf0\xf0\x02" + _written(1, compression="none"),
]


def check(data: bytes) -> None:
    """Read a file with some changed bytes, as a whole and in two spans."""
    choices = Choices(data)
    border = choices.number(0, 255)
    edits = [[choices.number(0, 255) for _ in range(3)] for _ in range(choices.number(0, 3))]
    content = bytearray(choices.rest)
    for high, low, byte in edits if content else ():
        content[(high << 8 | low) % len(content)] = byte
    content = bytes(content)
    whole = _read(content, [Span("a", 0, len(content))])
    rows, places, failures = whole
    if len(rows) == MOST_ROWS:
        return
    assert places == sorted(set(places)), content
    border = border * len(content) // 255
    spans = [Span("a", 0, border), Span("a", border, len(content))]
    split = _read(content, spans)
    assert split[:2] == whole[:2], content
    if not failures:
        _check_against_pyarrow(content, rows)


def _read(content, spans):
    rows, places, failures = [], [], []
    for span in spans:
        try:
            for found in read_parquet(span, (), opener(content)):
                if len(rows) >= MOST_ROWS:
                    break
                assert len(found.rows) == len(found.offsets)
                rows += [row if isinstance(row, Status) else dumps(row) for row in found.rows]
                places += found.offsets
                failures += found.failures
        except READ_ERRORS as error:
            failures.append(str(error))
    return rows[:MOST_ROWS], places[:MOST_ROWS], failures


def _check_against_pyarrow(content, rows):
    try:
        table = pq.ParquetFile(io.BytesIO(content)).read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return
    assert table.num_rows == len(rows)
    if any(isinstance(row, Status) for row in rows) or not table.num_columns:
        return
    columns = [json_values(column.combine_chunks()) for column in table.columns]
    names = table.column_names
    expected = [dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    assert rows == expected, content
