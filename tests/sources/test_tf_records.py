"""TFRecord files, written by TensorFlow: whole, cut, damaged, large, many."""

import bz2
import gzip
import io
import lzma
import os
import struct
import tracemalloc

import google_crc32c
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.encoding.tf_record import framed
from beam_batch_predict.files import match, open_file
from beam_batch_predict.sources import compression, tf_records
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import TfRecord
from beam_batch_predict.status import Code, Status

RECORDS = [b"one", b"", b"three" * 5, b"\x00\xff", b"", b"last"]
DAMAGED = "the record's data does not match its checksum"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function from records to the bytes of a file that TensorFlow writes of them."""
    import tensorflow as tf

    directory = tmp_path_factory.mktemp("tf-records")

    def write(records, compressed=""):
        path = str(directory / "written")
        with tf.io.TFRecordWriter(path, compressed) as writer:
            for record in records:
                writer.write(record)
        with open(path, "rb") as file:
            return file.read()

    return write


@pytest.fixture
def stored(tmp_path):
    def store(content, name="in.tfrecord"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return store


def read(*paths, form="tf-record", batch_size=4, **limit):
    """Rows, offsets and failures of files."""
    chunk = Chunk(0, 1, tuple(map(Span, paths)), form)._replace(**limit)
    batches = list(read_chunk(chunk, open_file, batch_size))
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    return (
        [row for batch in batches for row in batch.rows],
        [offset for batch in batches for offset in batch.offsets],
        [failure for batch in batches for failure in batch.source_failures],
    )


def offsets_of(records):
    """Where records begin, and where the last ends."""
    found = [0]
    for record in records:
        found.append(found[-1] + 16 + len(record))
    return found


def head(length):
    packed = struct.pack("<Q", length)
    crc = google_crc32c.value(packed)
    return packed + struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def test_records_are_read_as_they_were_written(written, stored):
    rows, offsets, failures = read(stored(written(RECORDS)))
    assert (rows, offsets, failures) == (RECORDS, offsets_of(RECORDS)[:-1], [])


@pytest.mark.parametrize("block", [1, 2, 3, 7, 11, 12, 13, 16, 17, 64, 10_000])
def test_borders_between_blocks_do_not_show(written, stored, block, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    content = written(RECORDS)
    assert read(stored(content)) == (RECORDS, offsets_of(RECORDS)[:-1], [])
    pressed = stored(gzip.compress(content), "in.gz")
    assert read(pressed) == (RECORDS, offsets_of(RECORDS)[:-1], [])


@pytest.mark.parametrize("block", [5, 1000])
def test_a_file_cut_anywhere_keeps_whole_records_and_is_a_failure(
    written, stored, block, monkeypatch
):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    content, borders = written(RECORDS), offsets_of(RECORDS)
    for left in range(len(content)):
        path = stored(content[:left])
        whole = sum(border <= left for border in borders) - 1
        rows, offsets, failures = read(path)
        assert (rows, offsets) == (RECORDS[:whole], borders[:whole])
        if left in borders:
            assert failures == []
            continue
        message = f"{path}: cannot be read: the record at byte {borders[whole]} is cut short"
        assert failures == [Status(Code.DATA_LOSS, message)]


@pytest.mark.parametrize("block", [5, 1000])
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_anywhere_is_an_error_of_its_record(
    written, stored, block, flip, monkeypatch
):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    content, borders = written(RECORDS), offsets_of(RECORDS)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= flip
        path = stored(damaged)
        rows, offsets, failures = read(path)
        hit = sum(border <= at for border in borders) - 1
        if at - borders[hit] < 12:  # in the length or its checksum
            assert (rows, offsets) == (RECORDS[:hit], borders[:hit])
            message = f"the length of the record at byte {borders[hit]} is damaged"
            if hit == 0:  # it may as well be no file of records
                message = tf_records._NO_HEAD
            assert failures == [Status(Code.DATA_LOSS, f"{path}: cannot be read: {message}")]
        else:
            expected = [*RECORDS]
            expected[hit] = Status(Code.DATA_LOSS, DAMAGED)
            assert (rows, offsets, failures) == (expected, borders[:-1], [])


RUNS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=6)
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=3)


@settings(deadline=None)
@given(runs=RUNS, flips=FLIPS, cut=st.integers(0, 20), block=st.integers(1, 2000), span=st.data())
def test_records_that_are_cut_together_are_those_that_are_cut_alone(runs, flips, cut, block, span):
    content = bytearray(framed([bytes([at]) * length for length, at in runs for _ in range(at)]))
    for at, flip in flips if content else ():
        content[int(at * len(content))] ^= flip
    content = bytes(content[: len(content) - cut])
    borders = st.integers(0, len(content))
    start, stop = sorted([span.draw(borders), span.draw(borders)])
    limit = span.draw(st.sampled_from([10, 30, 1000]))

    def found(many):
        rows, fault = [], None
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(compression, "BLOCK_BYTES", block)
            patched.setattr(tf_records, "_MANY", many)
            try:
                for some in tf_records.read_records(
                    Span("a", start, stop), lambda _: io.BytesIO(content), limit
                ):
                    rows += zip(some.rows, some.offsets, strict=True)
            except (OSError, EOFError) as error:
                fault = type(error), str(error)
        return rows, fault

    assert found(1) == found(3) == found(10**6)


def test_a_damaged_file_does_not_touch_those_beside_it(written, stored):
    content = written(RECORDS)
    damaged = content[:3] + b"?" + content[4:]
    paths = [stored(c, name) for name, c in (("a", content), ("b", damaged), ("c", content))]
    rows, _, failures = read(*paths)
    assert rows == RECORDS * 2
    (failure,) = failures
    assert failure.message.startswith(f"{paths[1]}: cannot be read: the length of the record at")


def test_an_empty_file_has_no_records(stored):
    assert read(stored(b"")) == ([], [], [])


def test_a_record_of_many_blocks_is_read(written, stored, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", 1024)
    large = os.urandom(3_000_000)
    path = stored(written([b"a", large, b"b"]))
    rows, offsets, failures = read(path)
    assert rows == [b"a", large, b"b"]
    assert (offsets, failures) == ([0, 17, 17 + 16 + len(large)], [])


def test_a_record_of_many_blocks_is_put_together_once(written, stored, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", 1024)
    cut, cuts = tf_records._cut, []
    monkeypatch.setattr(tf_records, "_cut", lambda *arguments: cuts.append(1) or cut(*arguments))
    rows, _, _ = read(stored(written([b"a", bytes(3_000_000), b"b"])))
    assert len(rows) == 3
    assert len(cuts) <= 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"x": 1}\n' * 10, "it is text: set instancesFormat to jsonl or csv"),
        (
            gzip.compress(b"id,x\n" + b"1,2\n" * 10, mtime=0),
            "it is text: set instancesFormat to jsonl or csv",
        ),
        (b"1\n", "it is text: set instancesFormat to jsonl or csv"),
        (b"Obj\x01" + bytes(100), "it is an Avro file: set instancesFormat to avro"),
        (lzma.compress(b"records"), "it is compressed with xz: decompress it, or compress it with"),
    ],
)
@pytest.mark.parametrize("form", ["tf-record", "tf-record-gzip"])
def test_a_file_of_another_format_is_named(stored, content, words, form):
    path = stored(content)
    rows, _, (failure,) = read(path, form=form)
    assert rows == []
    assert failure.code is Code.INVALID_ARGUMENT
    assert failure.message.startswith(f"{path}: {words}")


@pytest.mark.parametrize("form", ["tf-record", "tf-record-gzip"])
def test_a_compression_that_is_not_read_is_advised_against(written, stored, form):
    """As TensorFlow writes snappy: the size of a block in four bytes, and the block."""
    block = pa.compress(written(RECORDS * 20), codec="snappy", asbytes=True)
    _, _, (failure,) = read(stored(struct.pack(">I", len(block)) + block), form=form)
    assert "or it has a compression that is not read, such as snappy" in failure.message


def test_bogus_lengths_are_not_allocated(stored, written):
    """Neither a damaged one nor one whose checksum says that it is right."""
    for first in (struct.pack("<QI", 2**62, 1), head(2**62), head(2**64 - 1)):
        path = stored(written([b"a"]) + first + bytes(20_000_000))
        tracemalloc.start()
        rows, _, failures = read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows[0] == b"a"
        assert len(failures) == 1
        assert peak < 4_000_000


@pytest.mark.parametrize("block", [1, 7, 20, 64, 100_000])
def test_a_record_that_is_too_large_is_an_error_and_the_rest_goes_on(
    written, stored, block, monkeypatch
):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    records = [b"a", b"x" * 30, b"y" * 31, b"b", b"z" * 500, b"w" * 40, b"c", b"v" * 99]
    error = "the record has {} bytes, more than --max_instance_bytes=30 allows".format
    expected = [
        record if len(record) <= 30 else Status(Code.OUT_OF_RANGE, error(len(record)))
        for record in records
    ]
    content = written(records)
    assert read(stored(content), max_instance_bytes=30) == (expected, offsets_of(records)[:-1], [])
    rows, _, failures = read(stored(content[:-1]), max_instance_bytes=30)
    assert rows == expected
    (failure,) = failures
    assert failure.message.endswith(f"the record that ends before byte {len(content)} is cut short")


def test_gzip_is_read_with_and_without_the_extension(written, stored):
    content = written(RECORDS, "GZIP")
    expected = (RECORDS, offsets_of(RECORDS)[:-1], [])
    assert read(stored(content, "a.tfrecord"), form="tf-record-gzip") == expected
    assert read(stored(content, "a.tfrecord.gz"), form="tf-record-gzip") == expected
    assert read(stored(content, "b.tfrecord.gz")) == expected
    other = stored(bz2.compress(written(RECORDS)), "c.tfrecord.bz2")
    assert read(other) == read(other, form="tf-record-gzip") == expected


@pytest.mark.parametrize("form", ["tf-record", "tf-record-gzip"])
@pytest.mark.parametrize("name", ["a", "a.tfrecord", "a.tfrecord.gz", "a.tfrecord.ZST"])
def test_the_content_shows_the_compression_whatever_name_and_format_say(
    written, stored, form, name
):
    expected = (RECORDS, offsets_of(RECORDS)[:-1], [])
    for content in (
        *(written(RECORDS, how) for how in ("", "GZIP", "ZLIB")),
        bz2.compress(written(RECORDS)),
        zstandard.compress(written(RECORDS)),
    ):
        assert read(stored(content, name), form=form) == expected
    if "." not in name:
        for how in ("", "ZLIB"):
            assert read(stored(written([], how), name), form=form) == ([], [], [])


def test_a_length_that_is_the_mark_of_a_compression_is_a_length(written, stored):
    """As the first bytes of a file show it: 0x088b1f."""
    records = [b"x" * 559903, b"y"]
    content = written(records)
    assert content.startswith(b"\x1f\x8b\x08\0\0\0\0\0")
    assert read(stored(content))[0] == records


def test_zlib_cut_anywhere_keeps_whole_records_and_is_a_failure(written, stored):
    content = written(RECORDS, "ZLIB")
    for left in range(1, len(content)):
        rows, _, failures = read(stored(content[:left]))
        assert rows == RECORDS[: len(rows)]
        assert len(failures) == 1


def test_gzip_cut_anywhere_keeps_whole_records_and_is_a_failure(written, stored):
    content = written(RECORDS, "GZIP")
    for left in range(1, len(content)):
        rows, _, failures = read(stored(content[:left]), form="tf-record-gzip")
        assert rows == RECORDS[: len(rows)]
        assert len(failures) == 1


def test_a_plan_reads_each_file_whole_and_small_files_together(tmp_path, written):
    content = written(RECORDS)
    for number in range(5):
        (tmp_path / f"{number}").write_bytes(content)
    source = TfRecord(str(tmp_path / "*"), chunk_bytes=len(content) * 2)
    chunks = plan(source, match)
    assert [[span.stop for span in chunk.spans] for chunk in chunks] == [[None] * 2] * 2 + [[None]]
    assert {chunk.format for chunk in chunks} == {"tf-record"}


def test_ten_thousand_tiny_files(tmp_path, written):
    content = written([b"a", b"bc"])
    for number in range(10_000):
        (tmp_path / f"{number:05}").write_bytes(content)
    rows = 0
    for chunk in plan(TfRecord(str(tmp_path / "*")), match):
        for batch in read_chunk(chunk, open_file, 64):
            rows += len(batch)
            assert not batch.source_failures
            if len(batch):
                assert batch.location(0).endswith((", byte 0", ", byte 17"))
    assert rows == 20_000
