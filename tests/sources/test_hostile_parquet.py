"""Parquet files made to do harm: a bound, an error that says so, and the rows around it."""

import io
import struct
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources.test_parquet_faults import content_of, read

from beam_batch_predict.sources.parquet import bounds, footers
from beam_batch_predict.status import Code, Status


def varint(value):
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])


def element(name, children=0, repeated=False):
    """A SchemaElement: an int32 where it has no children."""
    kind = b"" if children else b"\x15\x02"
    repetition = (b"\x25" if kind else b"\x35") + (b"\x04" if repeated else b"\x00")
    count = b"\x15" + varint(2 * children) if children else b""
    return kind + repetition + b"\x18" + varint(len(name)) + name + count + b"\x00"


def without_rows(elements, before=b""):
    """A file that has a footer only, and says that it has a billion rows."""
    count = varint(len(elements))
    footer = b"\x15\x02" + before + b"\x19\xfc" + count + b"".join(elements)
    footer += b"\x16" + varint(2 * 10**9) + b"\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def nested(levels, repeated=False):
    inner = [element(b"a", 1, repeated)] * levels
    return without_rows([element(b"root", 1), *inner, element(b"x")])


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("levels", [30, 90, 110, 290, 310, 20_000])
def test_deep_schemas_are_read_or_reported_and_crash_no_process(levels, repeated):
    rows, _, (failure,) = read(nested(levels, repeated))
    assert rows == []
    if levels > 300:
        assert "its schema has more than the 300 levels that are allowed" in failure.message
    elif levels > 100:
        assert "nested deeper than the 100 levels that are allowed" in failure.message


def test_rows_that_only_the_footer_has_are_reported():
    rows, _, (failure,) = read(without_rows([element(b"root", 1), element(b"x")]))
    assert rows == []
    assert "the footer counts 1000000000 rows more than its row groups have" in failure.message


def test_lists_of_any_length_in_a_footer_take_no_time():
    huge = b"\x09\xf1" + varint(2**62)  # of booleans, in a field of the number 0
    rows, _, failures = read(without_rows([element(b"root", 1), element(b"x")], b"\x09\xf1" + huge))
    assert rows == []
    assert failures


def test_a_footer_larger_than_is_taken_is_not_read(monkeypatch):
    monkeypatch.setattr(footers, "LARGEST_FOOTER", 100)
    rows, _, (failure,) = read(content_of(pa.table({"x": [1]})))
    assert rows == []
    assert "more than the 100 that are allowed" in failure.message


def repeated_text(count, text):
    """So many rows of one text, which the file has once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))


@pytest.mark.parametrize("wrap", ["text", "list", "struct"])
def test_long_texts_of_a_dictionary_are_decoded_a_few_at_a_time(wrap, monkeypatch):
    monkeypatch.setattr(bounds, "BYTES_DECODED", 100_000)
    column = repeated_text(300, "x" * 10_000)
    if wrap == "list":
        column = pa.ListArray.from_arrays(pa.array(range(0, 301, 3), pa.int32()), column)
    if wrap == "struct":
        column = pa.StructArray.from_arrays([column], ["s"])
    sizes = []
    decoded_size = bounds.decoded_size

    content = content_of(pa.table({"c": column, "n": range(len(column))}), store_schema=False)
    real = bounds.parts

    def parts(batch):
        for part in real(batch):
            sizes.append(sum(map(decoded_size, part.columns)))
            yield part

    monkeypatch.setattr("beam_batch_predict.sources.parquet.files.parts", parts)
    rows, _, failures = read(content)
    assert failures == []
    value = {"text": "x" * 10_000, "list": ["x" * 10_000] * 3, "struct": {"s": "x" * 10_000}}[wrap]
    assert rows == [{"c": value, "n": at} for at in range(len(column))]
    assert 0 < max(sizes) <= 100_000


def test_a_row_above_the_size_limit_fails_alone(monkeypatch):
    monkeypatch.setattr(bounds, "BYTES_DECODED", 10_000)
    monkeypatch.setattr("beam_batch_predict.sources.parquet.files.LARGEST_ROW", 50_000)
    texts = pa.array(["short", "y" * 60_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 1], pa.int32()), texts)
    rows, offsets, failures = read(content_of(pa.table({"s": column}), store_schema=False))
    assert (offsets, failures) == ([0, 1, 2, 3], [])
    assert rows[0] == rows[2] == {"s": "short"}
    for row in (rows[1], rows[3]):
        assert isinstance(row, Status)
        assert row.code is Code.OUT_OF_RANGE
        assert row.message == "the row has 60000 bytes, more than the 50000 allowed"


def test_texts_of_encodings_without_dictionary_are_read_beside_long_ones():
    table = pa.table({"plain": ["a" * 9000, "b"], "long": repeated_text(2, "z" * 9000)})
    content = content_of(
        table,
        use_dictionary=["long"],
        column_encoding={"plain": "DELTA_BYTE_ARRAY"},
        store_schema=False,
    )
    assert read(content)[0] == [
        {"plain": "a" * 9000, "long": "z" * 9000},
        {"plain": "b", "long": "z" * 9000},
    ]


BOMB = """
import io, resource, sys
import pyarrow as pa, pyarrow.parquet as pq
from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.sources.reading import read_chunk
texts = pa.array(["x" * (8 << 20)])
column = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), texts)
sink = io.BytesIO()
options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30, "store_schema": False}
pq.write_table(pa.table({"s": column}), sink, **options)
content = sink.getvalue()
assert len(content) < 10_000, len(content)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
rows = 0
for batch in read_chunk(Chunk(0, 1, (Span("a"),), "parquet"), lambda _: io.BytesIO(content), 1):
    rows += len(batch.rows)
    assert not batch.source_failures, batch.source_failures
assert rows == 2000, rows
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_few_bytes_that_expand_to_16_gb_of_text_need_little_memory():
    ran = subprocess.run([sys.executable, "-c", BOMB], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert int(ran.stdout) < 1024 * 1024  # KiB


def test_int96_and_dates_beyond_python_are_values():
    moments = pa.array([0, 2**62, None], pa.timestamp("ns"))
    sink = io.BytesIO()
    pq.write_table(pa.table({"t": moments}), sink, use_deprecated_int96_timestamps=True)
    rows, _, failures = read(sink.getvalue())
    assert failures == []
    assert rows[0] == {"t": "1970-01-01T00:00:00"}
    assert rows[2] == {"t": None}
