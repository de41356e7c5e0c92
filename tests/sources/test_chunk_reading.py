"""Chunks to batches: every row once, in order, at its place, whatever happens to files."""

import os

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.encoding import arrow_rows
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.files import File, open_file
from beam_batch_predict.sources import compression, reading
from beam_batch_predict.sources.planning import make_chunks
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.status import Code, Status


def store(directory, contents):
    """Files, and one chunk of all of them."""
    found = []
    for at, content in enumerate(contents):
        path = directory / f"{at}.jsonl"
        path.write_bytes(content)
        found.append(File(str(path), len(content)))
    return found


def chunk_of(files, total=1):
    return Chunk(0, total, tuple(Span(file.uri, 0, file.size) for file in files))


def check_batches(batches, batch_size):
    """What holds for the batches of any chunk."""
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert all(len(batch) and len(batch) % batch_size == 0 for batch in batches[:-1])
    row = 0
    for batch in batches:
        assert batch.first_row == row
        assert len(batch.offsets) == len(batch)
        row += len(batch)


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=examples(200),
)
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    batch_size=st.integers(1, 9),
    rows_per_batch=st.integers(1, 20),
    block=st.integers(5, 200),
    chunk_bytes=st.integers(1, 300),
    unlike=st.integers(0, 60),
)
def test_rows_are_read_once_in_order_with_their_location(
    counts, batch_size, rows_per_batch, block, chunk_bytes, unlike, tmp_path, monkeypatch
):
    monkeypatch.setattr(reading, "ROWS_PER_BATCH", rows_per_batch)
    monkeypatch.setattr(reading, "ROWS_PER_BLOCK", 2 * rows_per_batch)
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    contents, expected = [], []
    for file, count in enumerate(counts):
        content = b"\n \n" if file % 2 else b""
        for row in range(count):
            text = b"[%d, %d]" % (file, row)
            expected.append((text, f"{tmp_path}/{file}.jsonl, byte {len(content)}"))
            content += text + (b"\r\n" if row == unlike else b"\n")
        contents.append(content)
    found = []
    for chunk in make_chunks(store(tmp_path, contents), chunk_bytes):
        batches = list(read_chunk(chunk, open_file, batch_size))
        check_batches(batches, batch_size)
        assert {(batch.chunk, batch.chunks) for batch in batches} == {(chunk.number, chunk.total)}
        assert not any(batch.source_failures for batch in batches)
        found += [(b.rows[at], b.location(at)) for b in batches for at in range(len(b))]
    assert found == expected


@pytest.mark.parametrize("content", [b"\n\n \r\n", b"\xef\xbb\xbf\n"])
def test_a_chunk_without_rows_has_one_batch_without_rows(tmp_path, content):
    chunk = chunk_of(store(tmp_path, [content]), total=7)
    (batch,) = read_chunk(chunk, open_file, 64)
    assert (batch.rows, batch.last, batch.first_row, batch.chunks) == ([], True, 0, 7)


def test_a_chunk_that_fills_its_batches_ends_with_an_empty_one(tmp_path):
    chunk = chunk_of(store(tmp_path, [b"1\n" * 16384]))
    batches = list(read_chunk(chunk, open_file, 64))
    check_batches(batches, 64)
    assert [len(batch) for batch in batches] == [8192, 8192, 0]


SIZES = [(1, 1024, 8192), (100, 1000, 8100), (512, 1024, 8192), (3000, 3000, 6000)]


@pytest.mark.parametrize(("batch_size", "list_size", "block_size"), SIZES)
def test_batches_have_about_a_thousand_rows_in_a_list_and_eight_thousand_in_a_block(
    batch_size, list_size, block_size, tmp_path
):
    for end, usual in ((b"\r\n", list_size), (b"\n", block_size)):
        chunk = chunk_of(store(tmp_path, [(b"1" + end) * 30_000]))
        batches = list(read_chunk(chunk, open_file, batch_size))
        check_batches(batches, batch_size)
        assert {len(batch) for batch in batches[:-1]} == {usual}


def test_a_block_has_about_a_megabyte_but_no_less_rows_than_a_list(tmp_path):
    for size, usual in ((256, 4080), (2560, 1024), (5120, 816)):
        chunk = chunk_of(store(tmp_path, [(b"x" * (size - 1) + b"\n") * 10_000]))
        batches = list(read_chunk(chunk, open_file, 16))
        assert len(batches[0]) == usual


def test_one_line_that_is_unlike_the_others_makes_a_list_of_its_piece_only(tmp_path):
    content = b"1\n" * 100_000
    for text, count in ((content, 100_000), (b" \n" + content, 100_000), (content + b"2", 100_001)):
        batches = list(read_chunk(chunk_of(store(tmp_path, [text])), open_file, 64))
        lists = sum(len(batch) for batch in batches if isinstance(batch.rows, list))
        assert sum(map(len, batches)) == count
        assert lists <= (131_072 if text.startswith(b" ") else 0)


def test_large_rows_come_in_small_batches(tmp_path):
    row = b"x" * 300_000 + b"\n"
    chunk = chunk_of(store(tmp_path, [row * 40, b"1\n" * 2048]))
    batches = list(read_chunk(chunk, open_file, 4))
    check_batches(batches, 4)
    assert [len(batch) for batch in batches[:3]] == [12, 12, 12]
    assert max(len(batch) for batch in batches) >= 1000


@pytest.mark.parametrize("large", [100_000, 3_000_000, 50_000_000])
def test_no_batch_has_less_than_the_model_takes(tmp_path, large):
    chunk = chunk_of(store(tmp_path, [b"1\n" * 10 + b"x" * large + b"\n" + b"2\n" * 10]))
    batches = list(read_chunk(chunk, open_file, 8))
    check_batches(batches, 8)
    assert sum(map(len, batches)) == 21


def read_around_fault(directory, break_second):
    files = store(directory, [b"1\n2\n", b"3\n4\n", b"5\n6\n"])
    chunk = chunk_of(files)
    break_second(files[1].uri)
    batches = list(read_chunk(chunk, open_file, 1))
    check_batches(batches, 1)
    (failure,) = [failure for batch in batches for failure in batch.source_failures]
    return files[1].uri, failure, [row for batch in batches for row in batch.rows]


def test_a_file_that_vanished_is_a_failure_and_the_rest_goes_on(tmp_path):
    uri, failure, rows = read_around_fault(tmp_path, os.remove)
    assert failure == Status(
        Code.NOT_FOUND,
        f"{uri}, bytes 0 to 4: cannot be read: No such file or directory",
    )
    assert rows == [b"1", b"2", b"5", b"6"]


def test_the_bytes_of_a_compressed_file_are_those_that_are_stored(tmp_path):
    uri = str(tmp_path / "gone.jsonl.gz")
    (batch,) = read_chunk(Chunk(0, 1, (Span(uri, 20, 40),)), open_file, 1)
    assert batch.source_failures == (
        Status(
            Code.NOT_FOUND,
            f"{uri}, bytes 20 to 40 as they are stored: cannot be read: No such file or directory",
        ),
    )


def test_a_dangling_link_is_a_failure_and_the_rest_goes_on(tmp_path):
    def dangle(uri):
        os.remove(uri)
        os.symlink("nowhere", uri)

    _, failure, rows = read_around_fault(tmp_path, dangle)
    assert failure.code is Code.NOT_FOUND
    assert rows == [b"1", b"2", b"5", b"6"]


def test_a_file_that_became_a_directory_is_a_failure_and_the_rest_goes_on(tmp_path):
    def to_directory(uri):
        os.remove(uri)
        os.mkdir(uri)

    uri, failure, rows = read_around_fault(tmp_path, to_directory)
    assert failure == Status(Code.DATA_LOSS, f"{uri}, bytes 0 to 4: cannot be read: Is a directory")
    assert rows == [b"1", b"2", b"5", b"6"]


def test_a_file_that_may_not_be_read_is_reported(tmp_path):
    def refuse(uri):
        if uri.endswith("1.jsonl"):
            raise PermissionError(13, "Permission denied", uri)
        return open_file(uri)

    chunk = chunk_of(store(tmp_path, [b"1\n", b"2\n"]))
    (batch,) = read_chunk(chunk, refuse, 2)
    assert [status.code for status in batch.source_failures] == [Code.PERMISSION_DENIED]
    assert batch.rows == [b"1"]


def test_a_file_that_was_cut_keeps_the_rows_before_the_fault(tmp_path):
    uri, failure, rows = read_around_fault(tmp_path, lambda uri: os.truncate(uri, 3))
    assert failure.code is Code.DATA_LOSS
    assert failure.message.startswith(f"{uri}, bytes 0 to 4: cannot be read: the file has become")
    assert rows == [b"1", b"2", b"3", b"5", b"6"]


def test_a_failure_of_the_last_file_is_in_the_last_batch(tmp_path):
    files = store(tmp_path, [b"1\n" * 8192, b"2\n"])
    os.remove(files[1].uri)
    batches = list(read_chunk(chunk_of(files), open_file, 1))
    assert [len(batch.source_failures) for batch in batches] == [0, 1]


def test_of_a_chunk_with_many_faults_the_first_hundred_are_listed_and_the_others_counted(tmp_path):
    (tmp_path / "good.jsonl").write_bytes(b"1\n2\n")
    gone = [Span(str(tmp_path / f"gone-{number}")) for number in range(150)]
    chunk = Chunk(0, 1, (*gone, Span(str(tmp_path / "good.jsonl"))))
    batches = list(read_chunk(chunk, open_file, 1))
    told = [failure for batch in batches for failure in batch.source_failures]
    assert [row for batch in batches for row in batch.rows] == [b"1", b"2"]
    assert len(told) - 1 == reading.MOST_FAILURES == 100
    assert "gone-0:" in told[0].message
    assert "gone-99:" in told[-2].message
    expected = "50 more faults in files of this chunk: only the first 100 are listed"
    assert told[-1] == Status(Code.DATA_LOSS, expected)


@pytest.mark.parametrize("limit", ["bytes", "Arrow"])
def test_columns_that_are_too_large_together_stay_in_batches_of_their_own(
    tmp_path, monkeypatch, limit
):
    rows = [{"x": str(number) * 1000} for number in range(9)]
    path = str(tmp_path / "in.parquet")
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    if limit == "bytes":
        monkeypatch.setattr(arrow_rows, "MOST_BYTES", 4500)
    else:

        def refuse(rows, more):
            if len(rows) + len(more) > 4:
                raise pa.ArrowInvalid("offset overflow while concatenating arrays")
            return plainly(rows, more)

        plainly = ArrowRows.__add__
        monkeypatch.setattr(ArrowRows, "__add__", refuse)
    batches = list(read_chunk(Chunk(0, 1, (Span(path),), "parquet"), open_file, 100))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert [batch.first_row for batch in batches] == [0, 4, 8]
    assert [row for batch in batches for row in batch.rows] == rows
    assert [place for batch in batches for place in batch.offsets] == list(range(9))
    assert batches[-1].location(0) == f"{path}, row 8"


def test_records_of_different_fields_are_in_batches_of_their_own(tmp_path):
    expected = []
    for number, names in enumerate(("a", "ab", "ab")):
        fields = [{"name": name, "type": "int"} for name in names]
        expected.append([dict.fromkeys(names, number)] * 2)
        with open(tmp_path / f"{number}.avro", "wb") as file:
            schema = {"type": "record", "name": "row", "fields": fields}
            fastavro.writer(file, schema, expected[-1])
    spans = tuple(Span(f"{tmp_path}/{number}.avro") for number in range(3))
    batches = list(read_chunk(Chunk(0, 1, spans, "avro"), open_file, 100))
    assert [batch.rows for batch in batches] == [expected[0], expected[1] + expected[2]]
    assert [batch.first_row for batch in batches] == [0, 2]


def test_rows_too_large_for_a_batch_are_in_smaller_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 3_500)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(b'"%s"\n' % (b"x" * 1_000) for _ in range(10)))
    batches = list(read_chunk(Chunk(0, 1, (Span(str(path)),)), open_file, 64))
    assert [len(batch) for batch in batches] == [3, 3, 3, 1]
    assert [batch.first_row for batch in batches] == [0, 3, 6, 9]
