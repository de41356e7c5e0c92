"""Parquet files: rows in order, once each, whatever pieces their files are read in."""

import datetime
import decimal
import io
import itertools
import pickle
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File, open_file
from beam_batch_predict.sources.parquet import files as parquet_files
from beam_batch_predict.sources.parquet.files import read_parquet, read_parquet_columns
from beam_batch_predict.sources.planning import make_chunks
from beam_batch_predict.sources.reading import read_chunk

TABLE = pa.table(
    {
        "id": [f"user {number}" for number in range(60)],
        "x": pa.array([number / 4 for number in range(60)], pa.float32()),
        "n": pa.array([None if number % 5 == 0 else number for number in range(60)], pa.int64()),
        "tags": [["a", "b", "c"][: number % 4] for number in range(60)],
        "at": [{"day": number, "ok": [True]} if number % 3 else None for number in range(60)],
    }
)


def content_of(*tables, **options):
    """The bytes of a file with a row group for each table."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, tables[0].schema, **options) as writer:
        for table in tables:
            writer.write_table(table)
    return sink.getvalue()


def numbered(*sizes):
    """Tables of some sizes, whose rows are numbered through."""
    stops = list(itertools.accumulate(sizes))
    return [
        pa.table({"n": pa.array(range(stop - size, stop), pa.int64())})
        for size, stop in zip(sizes, stops, strict=True)
    ]


WHOLE = Span("in.parquet")


def read(content, columns=(), span=WHOLE):
    """Rows, their numbers and the failures of a file."""
    found = list(read_parquet(span, columns, lambda _: io.BytesIO(content)))
    return (
        [row for part in found for row in part.rows],
        [offset for part in found for offset in part.offsets],
        [failure.message for part in found for failure in part.failures],
    )


def test_rows_are_objects_of_columns_and_numbered_through_the_file():
    rows, offsets, failures = read(content_of(TABLE[:7], TABLE[7:50], TABLE[50:]))
    assert rows == TABLE.to_pylist()
    assert (offsets, failures) == (list(range(60)), [])


def test_locations_in_chunks_of_files_are_row_numbers(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(content_of(TABLE[:7], TABLE[7:]))
    spans = (Span(str(tmp_path / "a")), Span(str(tmp_path / "b")))
    batches = list(read_chunk(Chunk(0, 1, spans, "parquet"), open_file, 16))
    assert [row for batch in batches for row in batch.rows] == TABLE.to_pylist() * 2
    assert all(isinstance(batch.rows, ArrowRows) for batch in batches)
    assert batches[-1].location(len(batches[-1]) - 1) == f"{tmp_path / 'b'}, row 59"


def test_two_pieces_of_a_file_have_each_row_once_at_every_border():
    content = content_of(*numbered(3, 1, 0, 4, 2, 0, 5), compression="none", store_schema=False)
    for border in range(len(content) + 1):
        parts = [
            read(content, span=Span("in.parquet", 0, border)),
            read(content, span=Span("in.parquet", border, len(content))),
        ]
        assert [row["n"] for rows, _, _ in parts for row in rows] == list(range(15)), border
        assert [offset for _, offsets, _ in parts for offset in offsets] == list(range(15))
        assert not any(failures for _, _, failures in parts)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(16, 1500),
    st.sampled_from(["none", "snappy"]),
)
def test_chunks_of_any_size_have_each_row_once(sizes, chunk_bytes, compression):
    content = content_of(*numbered(*sizes), compression=compression)
    chunks = make_chunks([File("in.parquet", len(content))], chunk_bytes)
    parts = [read(content, span=span) for chunk in chunks for span in chunk.spans]
    assert [row["n"] for rows, _, _ in parts for row in rows] == list(range(sum(sizes)))
    assert [offset for _, offsets, _ in parts for offset in offsets] == list(range(sum(sizes)))


def test_row_groups_are_spread_over_the_chunks_of_a_file():
    content = content_of(*numbered(*[100] * 20))
    size = len(content) // 4
    counts = [
        len(read(content, span=Span("in.parquet", start, start + size))[0])
        for start in range(0, 4 * size, size)
    ]
    assert sum(counts) == 2000
    assert min(counts) >= 400


def test_a_file_is_opened_once_for_a_span():
    content, opened = content_of(TABLE), []

    def open_counted(uri):
        opened.append(uri)
        return io.BytesIO(content)

    list(read_parquet(Span("in.parquet"), (), open_counted))
    list(read_parquet(Span("in.parquet", 0, 10), (), open_counted))
    assert opened == ["in.parquet"] * 2


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_codecs_and_page_versions(compression, version):
    content = content_of(TABLE, compression=compression, data_page_version=version)
    assert read(content)[0] == TABLE.to_pylist()


@pytest.mark.parametrize(
    ("column", "encoding"),
    [
        ("id", "PLAIN"),
        ("id", "DELTA_BYTE_ARRAY"),
        ("id", "DELTA_LENGTH_BYTE_ARRAY"),
        ("n", "DELTA_BINARY_PACKED"),
        ("x", "BYTE_STREAM_SPLIT"),
        ("n", "BYTE_STREAM_SPLIT"),
    ],
)
def test_encodings(column, encoding):
    table = TABLE.select([column])
    content = content_of(table, use_dictionary=False, column_encoding={column: encoding})
    assert read(content)[0] == table.to_pylist()


def test_types_have_their_json_values():
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5)
    number = uuid.UUID(int=7)
    columns = {
        "half": (pa.array([1.5], pa.float16()), 1.5),
        "unsigned": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        "decimal": (pa.array([decimal.Decimal("-1.25")], pa.decimal128(9, 2)), -1.25),
        "wide": (pa.array([decimal.Decimal("1.5")], pa.decimal256(50, 1)), 1.5),
        "fixed": (pa.array([b"abc"], pa.binary(3)), {"b64": "YWJj"}),
        "uuid": (pa.array([number.bytes], pa.uuid()), str(number)),
        "json": (pa.array(['{"a":1}'], pa.json_()), '{"a":1}'),
        "zoned": (pa.array([moment], pa.timestamp("ms", "UTC")), "2020-01-02 03:04:05+00:00"),
        "local": (pa.array([moment], pa.timestamp("us")), "2020-01-02T03:04:05"),
        "date": (pa.array([moment.date()]), "2020-01-02"),
        "time": (pa.array([moment.time()], pa.time64("us")), "03:04:05"),
        "duration": (pa.array([datetime.timedelta(seconds=3.5)]), "3.5s"),
        "map": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), {"k": 1}),
        "pair": (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2]),
        "view": (pa.array(["v"], pa.string_view()), "v"),
        "null": (pa.nulls(1), None),
        "nested": (pa.array([[{"a": [None, 1]}, None]]), [{"a": [None, 1]}, None]),
    }
    table = pa.table({name: column for name, (column, _) in columns.items()})
    expected = [{name: value for name, (_, value) in columns.items()}]
    assert read(content_of(table))[0] == expected
    assert columns_of(content_of(table)) == tuple(columns)
    assert read(content_of(table.select(["local"]), use_deprecated_int96_timestamps=True))[0] == [
        {"local": "2020-01-02T03:04:05"}
    ]
    foreign = ["unsigned", "decimal", "fixed", "local", "date", "time", "map", "nested"]
    rows, _, _ = read(content_of(table.select(foreign), store_schema=False))
    assert rows == [{name: columns[name][1] for name in foreign}]


def test_files_without_rows_have_none():
    assert read(content_of(TABLE[:0])) == ([], [], [])
    sink = io.BytesIO()
    pq.ParquetWriter(sink, TABLE.schema).close()
    assert read(sink.getvalue()) == ([], [], [])


def test_columns_are_read_in_the_order_of_the_plan():
    rows, _, _ = read(content_of(TABLE), columns=("n", "id"))
    assert [list(row) for row in rows] == [["n", "id"]] * 60
    assert rows == TABLE.select(["n", "id"]).to_pylist()


def test_a_column_that_is_named_twice_is_read_once():
    assert read(content_of(TABLE[:1]), columns=("id", "id"))[0] == [{"id": "user 0"}]


def test_a_file_that_lacks_a_column_has_rows_without_it():
    assert read(content_of(TABLE[:2]), columns=("x", "gone"))[0] == [{"x": 0.0}, {"x": 0.25}]
    assert read(content_of(TABLE[:2]), columns=("gone",))[0] == [{}, {}]


def test_names_with_dots_are_no_paths():
    table = pa.table({"a": [{"b": 1, "c": 2}], "a.b": [3], "": [4]})
    content = content_of(table)
    assert read(content)[0] == table.to_pylist()
    assert read(content, columns=("a.b",))[0] == [{"a.b": 3}]
    assert read(content, columns=("a",))[0] == [{"a": {"b": 1, "c": 2}}]
    assert read(content, columns=("", "a.b", "a"))[0] == [{"": 4, "a.b": 3, "a": {"b": 1, "c": 2}}]


def test_the_index_that_pandas_adds_is_read_only_if_it_is_named():
    table = pa.table({"x": [1, 2], "city": ["A", "B"], "__index_level_0__": [5, 7]})
    content = content_of(table)
    assert read(content)[0] == [{"x": 1, "city": "A"}, {"x": 2, "city": "B"}]
    assert columns_of(content) == ("x", "city")
    named = ("__index_level_0__", "x")
    assert read(content, columns=named)[0] == table.select(named).to_pylist()
    others = pa.table({"__index_level_x__": [1], "__index_level___": [2], "index": [3]})
    assert read(content_of(others))[0] == others.to_pylist()


def columns_of(*contents):
    files = [File(str(number), len(content)) for number, content in enumerate(contents)]
    return read_parquet_columns(files, lambda uri: io.BytesIO(contents[int(uri)]))


def test_names_are_those_of_the_first_file_that_has_bytes():
    assert columns_of(b"", content_of(TABLE), b"not read") == tuple(TABLE.column_names)
    assert columns_of(content_of(TABLE[:0])) == tuple(TABLE.column_names)
    assert columns_of(b"") == columns_of() == ()


def two_of_a_name():
    return pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])


def two_fields_of_a_name():
    fields = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["q", "q"])
    return pa.table({"s": pa.array([[0]]), "t": pa.ListArray.from_arrays([0, 1], fields)})


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (two_of_a_name(), 'it has two columns with the name "x"'),
        (two_fields_of_a_name(), 'column "t": two fields have the name "q"'),
    ],
)
def test_names_that_are_there_twice_are_refused(table, problem):
    content = content_of(table)
    with pytest.raises(SourceError, match=f"0: cannot be read: {problem}"):
        columns_of(content)
    with pytest.raises(OSError, match=problem):
        read(content)
    assert read(content_of(two_fields_of_a_name()), columns=("s",))[0] == [{"s": [0]}]


def test_what_pandas_wrote_reads_as_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.5, None], "word": ["a", "b"]}, index=[3, 9])
    frame["kind"] = frame["word"].astype("category")
    expected = [{"x": 1.5, "word": "a", "kind": "a"}, {"x": None, "word": "b", "kind": "b"}]
    assert read(frame.to_parquet())[0] == expected
    named = frame.set_index("word")
    assert [list(row) for row in read(named.to_parquet())[0]] == [["x", "kind", "word"]] * 2


@pytest.mark.parametrize(
    "wrap",
    [
        lambda words: words,
        lambda words: pa.StructArray.from_arrays([words], ["word"]),
        lambda words: pa.ListArray.from_arrays(range(len(words) + 1), words),
        lambda words: pa.LargeListArray.from_arrays(range(len(words) + 1), words),
        lambda words: pa.FixedSizeListArray.from_arrays(words, 1),
        lambda words: pa.MapArray.from_arrays(
            range(len(words) + 1), words.dictionary_decode(), words
        ),
    ],
    ids=["itself", "struct", "list", "large list", "fixed size list", "map"],
)
def test_a_few_rows_travel_without_the_values_of_all(wrap):
    words = pa.array([f"{number:0100d}" for number in range(2000)]).dictionary_encode()
    table = pa.table({"words": wrap(words)})
    (found,) = read_parquet(Span("in"), (), lambda _: io.BytesIO(content_of(table)))
    assert list(found.rows) == list(ArrowRows(table.to_batches()[0]))
    assert len(pickle.dumps(found.rows[:2])) < 5000


def test_large_rows_come_few_at_a_time():
    row = "x" * (1024 * 1024)
    table = pa.table({"text": [f"{number}{row}" for number in range(20)]})
    found = list(
        read_parquet(Span("in"), (), lambda _: io.BytesIO(content_of(table, use_dictionary=False)))
    )
    assert max(len(part.rows) for part in found) <= 4
    assert sum(part.size for part in found) == pytest.approx(20 * len(row), rel=0.01)
    assert [row for part in found for row in part.rows.column("text")] == table["text"].to_pylist()


def test_large_row_groups_are_not_fetched_whole(monkeypatch):
    table = pa.table({"x": range(100_000), "y": range(100_000)})
    content = content_of(table, use_dictionary=False, compression="none")

    class Watched(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            found = super().read(size)
            Watched.largest = max(Watched.largest, len(found))
            return found

    monkeypatch.setattr(parquet_files, "BYTES_OF_PAGES", 200_000)
    found = list(read_parquet(Span("in"), (), lambda _: Watched(content)))
    assert [x for part in found for x in part.rows.column("x")] == list(range(100_000))
    assert Watched.largest <= 150_000


def test_many_small_files(tmp_path):
    spans = []
    for number in range(100):
        path = Path(tmp_path / f"{number:03}.parquet")
        path.write_bytes(content_of(*numbered(1)))
        spans.append(Span(str(path), 0, path.stat().st_size))
    (batch,) = read_chunk(Chunk(0, 1, tuple(spans), "parquet"), open_file, 128)
    assert len(batch) == 100
    assert batch.location(99) == f"{spans[99].uri}, row 0"
