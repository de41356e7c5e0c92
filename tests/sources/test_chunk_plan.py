"""The plan: the same chunks every time, every byte in one of them, each file once."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict import files
from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.sources import planning
from beam_batch_predict.sources.headers import first_columns
from beam_batch_predict.sources.planning import FILES_PER_CHUNK, list_files, make_chunks, plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec import JsonLines
from beam_batch_predict.spec.chunk_sizes import default_chunk_bytes
from beam_batch_predict.spec.sources import Parquet

SIZES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", ".gz", ".zst"])), max_size=40)


@given(sizes=SIZES, chunk_bytes=st.integers(1, 100))
def test_every_byte_is_in_one_chunk_and_in_order(sizes, chunk_bytes):
    inputs = [File(f"{at:03}{ext}", size) for at, (size, ext) in enumerate(sizes)]
    chunks = make_chunks(inputs, chunk_bytes)
    assert chunks == make_chunks(iter(inputs), chunk_bytes)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert {chunk.total for chunk in chunks} <= {len(chunks)}
    spans = [span for chunk in chunks for span in chunk.spans]
    bytes_planned = [
        (span.uri, at)
        for span in spans
        for at in range(span.start, files_size(inputs, span) if span.stop is None else span.stop)
    ]
    assert bytes_planned == [(file.uri, at) for file in inputs for at in range(file.size)]
    assert all((span.stop is None) == span.uri.endswith((".gz", ".zst")) for span in spans)
    for chunk in chunks:
        filled = sum((span.stop or files_size(inputs, span)) - span.start for span in chunk.spans)
        assert filled <= chunk_bytes or len(chunk.spans) == 1


def files_size(inputs, span):
    return {file.uri: file.size for file in inputs}[span.uri]


@given(sizes=st.lists(st.integers(1, 60), min_size=2), chunk_bytes=st.integers(1, 100))
def test_neighbours_that_fit_together_share_a_chunk(sizes, chunk_bytes):
    chunks = make_chunks([File(str(at), size) for at, size in enumerate(sizes)], chunk_bytes)
    filled = [sum(span.stop - span.start for span in chunk.spans) for chunk in chunks]
    firsts = [chunk.spans[0].stop - chunk.spans[0].start for chunk in chunks[1:]]
    assert all(size + more > chunk_bytes for size, more in zip(filled, firsts, strict=False))


@given(total=st.integers(1, 1 << 42))
def test_the_input_alone_decides_the_size_of_its_chunks(total):
    size = default_chunk_bytes(total)
    assert 8 << 20 <= size <= 64 << 20
    count = -(-total // size)
    assert count >= 16 or size == 8 << 20
    assert count <= 64 or size == 64 << 20
    listing = planning.Listing((File("a", total),))
    chunks = planning.chunks_of_listing(JsonLines("a"), listing)
    assert chunks == planning.chunks_of_listing(JsonLines("a", size), listing)


@given(
    files_of_lines=st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=6),
    sizes=st.tuples(st.integers(1, 400), st.integers(1, 400)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_come_in_the_same_order_whatever_the_size_of_chunks(files_of_lines, sizes, tmp_path):
    for path in tmp_path.iterdir():
        path.unlink()
    for number, lengths in enumerate(files_of_lines):
        lines = (f'"{number} {at} {"x" * length}"\n' for at, length in enumerate(lengths))
        (tmp_path / f"{number}.jsonl").write_text("".join(lines))
    if not files_of_lines:
        return
    one, other = (
        [
            (batch.rows[at], batch.location(at))
            for chunk in plan(JsonLines(f"{tmp_path}/*", size), files.match)
            for batch in read_chunk(chunk, files.open_file, 4)
            for at in range(len(batch.rows))
        ]
        for size in sizes
    )
    assert one == other
    assert len(one) == sum(map(len, files_of_lines))


def test_many_tiny_files_share_chunks_but_not_without_end():
    chunks = make_chunks([File(str(at), 1) for at in range(FILES_PER_CHUNK * 2 + 1)], 10**9)
    assert [len(chunk.spans) for chunk in chunks] == [FILES_PER_CHUNK, FILES_PER_CHUNK, 1]


def test_empty_files_are_in_no_chunk():
    assert make_chunks([File("a", 0), File("b.gz", 0)], 10) == []
    assert make_chunks([File("a", 0), File("b", 2), File("c", 0)], 10) == [
        Chunk(0, 1, (Span("b", 0, 2),))
    ]


def test_an_input_of_three_chunks_cut_at_seven_bytes_reads_in_order(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a":1}\n[2]\n3\n4567\n')
    chunks = plan(JsonLines(str(path), chunk_bytes=7), files.match)
    assert [span.stop for chunk in chunks for span in chunk.spans] == [7, 14, 19]
    rows = [
        [bytes(row) for batch in read_chunk(chunk, files.open_file, 2) for row in batch.rows]
        for chunk in chunks
    ]
    assert rows == [[b'{"a":1}'], [b"[2]", b"3"], [b"4567"]]


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jsonl", "a.jsonl", "sub/a.jsonl", "sub/c [1].jsonl", "new\nline.jsonl"):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(b"1\n")
    return tmp_path


def names(*patterns):
    return [file.uri for file in list_files(patterns, files.match)]


def test_files_come_in_the_order_of_patterns_then_of_names(inputs):
    assert names("sub/*", "*.jsonl") == [
        "sub/a.jsonl", "sub/c [1].jsonl", "a.jsonl", "b.jsonl", "new\nline.jsonl",
    ]  # fmt: skip


def test_a_file_matched_twice_is_read_once_where_it_first_came(inputs):
    assert names("b.jsonl", "./b.jsonl", f"{inputs}/b.jsonl", "sub/../b.jsonl") == ["b.jsonl"]
    assert names("./*.jsonl", "b.jsonl", "a.*") == ["./a.jsonl", "./b.jsonl", "./new\nline.jsonl"]


def test_remote_names_are_taken_as_they_are():
    matches = {
        "gs://b/*": [File("gs://b/x", 1), File("gs://b//x", 1)],
        "gs://b/x": [File("gs://b/x", 1)],
    }
    found = list_files(list(matches), matches.__getitem__)
    assert [file.uri for file in found] == ["gs://b/x", "gs://b//x"]


def test_a_file_may_have_the_name_of_a_pattern(inputs):
    assert names("sub/c [1].jsonl") == ["sub/c [1].jsonl"]
    assert names("sub/c ?1*") == ["sub/c [1].jsonl"]
    assert names("new\nline.jsonl") == ["new\nline.jsonl"]


def test_everything_that_is_not_found_is_in_one_message(inputs):
    with pytest.raises(SourceError) as error:
        names("nothing/*.jsonl", "b.jsonl", "sub", "missing.jsonl", "nofs://x/y")
    message = error.value.message
    assert message.startswith("input not found: nothing/*.jsonl: matches no file; sub: matches no")
    assert "missing.jsonl: matches no file" in message
    assert "nofs://x/y: cannot be listed: " in message
    assert "b.jsonl" not in message
    assert "wildcard" in error.value.hint


def test_a_comma_in_a_name_is_found_and_the_remedy_named(tmp_path):
    (tmp_path / "a, 1.jsonl").write_text("1\n")
    (tmp_path / "b.jsonl").write_text("1\n")
    patterns = [f"{tmp_path}/b.jsonl", f"{tmp_path}/a", " 1.jsonl"]
    with pytest.raises(SourceError, match=r"/a: matches no file;  1\.jsonl: matches no") as caught:
        list_files(patterns, files.match)
    assert "/a, 1.jsonl is one name with a comma: begin the list with ^;^ and" in caught.value.hint
    assert f"as in --input_uris='^;^{tmp_path}/a, 1.jsonl'" in caught.value.hint
    with pytest.raises(SourceError) as caught:
        list_files(patterns[1:2], files.match)
    assert "^;^" not in caught.value.hint


def test_the_plan_of_a_source_is_the_same_every_time(inputs):
    source = JsonLines(["*.jsonl", "sub/*"], chunk_bytes=3)
    assert plan(source, files.match) == plan(source, files.match)
    assert [[span[:3] for span in chunk.spans] for chunk in plan(source, files.match)] == [
        [(name, 0, 2)]
        for name in ("a.jsonl", "b.jsonl", "new\nline.jsonl", "sub/a.jsonl", "sub/c [1].jsonl")
    ]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["d/*"], ["d/a", "d/b"]),
        (["d/_*"], []),
        (["d/**"], ["d/a", "d/b", "d/part=1/c"]),
        (["d/_metadata"], ["d/_metadata"]),
        (["d/*", "*/_common_metadata"], ["d/a", "d/b", "d/_common_metadata"]),
    ],
)
def test_files_beside_parquet_data_are_no_data_unless_they_are_named(
    tmp_path, monkeypatch, patterns, found
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d/part=1").mkdir(parents=True)
    for name in ("a", "b", "part=1/c", "_metadata", "_common_metadata", ".a.crc"):
        pq.write_table(pa.table({"x": [1]}), tmp_path / "d" / name)
    if not found:
        with pytest.raises(SourceError, match="matches no file"):
            plan(Parquet(patterns), files.match)
        return
    chunks = plan(Parquet(patterns), files.match)
    assert [span.uri for chunk in chunks for span in chunk.spans] == found


def columns_of(*names, broken=()):
    """The columns of files, of which some cannot be read."""

    def read(uri):
        if uri in broken:
            raise OSError(f"no {uri}")
        return [f"of {uri}"]

    return first_columns([File(name, name != "empty") for name in names], read)


def test_the_columns_are_those_of_the_first_file_that_can_be_read():
    assert columns_of("empty", "a", "b") == ("of a",)
    assert columns_of("empty", "a", "b", "c", broken="ab") == ("of c",)
    assert columns_of() == columns_of("empty") == ()


def test_where_no_file_can_be_read_the_first_says_why():
    names = [str(number) for number in range(30)]
    with pytest.raises(SourceError, match="^a: cannot be read: no a$"):
        columns_of("a", "b", broken="ab")
    assert columns_of(*names, broken=names[:19]) == ("of 19",)
    with pytest.raises(SourceError, match="^0: cannot be read: no 0$"):
        columns_of(*names, broken=names[:20])


def test_storage_that_may_answer_later_gives_no_other_columns():
    def read(uri):
        raise files.StorageUnavailable(uri)

    with pytest.raises(files.StorageUnavailable):
        first_columns([File("a", 1), File("b", 1)], read)


@pytest.mark.parametrize("damaged", ["0", "1"])
def test_a_damaged_file_is_a_failure_at_any_position(tmp_path, damaged):
    good = tmp_path / ("1" if damaged == "0" else "0")
    pq.write_table(pa.table({"x": [1], "y": [2]}), good)
    (tmp_path / damaged).write_bytes(b"PAR1 and nothing else")
    (chunk,) = plan(Parquet(str(tmp_path / "*")), files.match)
    assert chunk.columns == ("x", "y")
    batches = list(read_chunk(chunk, files.open_file, 4))
    assert [row for batch in batches for row in batch.rows] == [{"x": 1, "y": 2}]
    (failure,) = [failure for batch in batches for failure in batch.source_failures]
    assert str(tmp_path / damaged) in failure.message


def test_the_chunk_plan_of_a_petabyte_fits_into_memory(monkeypatch):
    monkeypatch.setattr(planning, "MOST_CHUNKS", 100)
    source = JsonLines("in", chunk_bytes=1000)
    listing = planning.Listing((File("a", 10**15), File("b", 5)))
    chunks = planning.chunks_of_listing(source, listing)
    assert 100 <= len(chunks) <= 101
    assert chunks == planning.chunks_of_listing(source, listing)
    spans = [span for chunk in chunks for span in chunk.spans if span.uri == "a"]
    assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
    assert spans[-1].stop == 10**15
