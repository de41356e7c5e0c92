"""Compressed and binary files under any name: their content is read, or they are named."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import string
import subprocess
import tarfile
import zipfile
from contextlib import closing

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
import zstandard
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.encoding.tf_record import framed
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import match, open_file
from beam_batch_predict.sources.file_kinds import compression_of, problem_of
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import Csv, FileList, JsonLines, TfRecord
from beam_batch_predict.status import Code

TEXT = b"id,x\n" + b"".join(b"%d,7\n" % number for number in range(60))
ROWS = TEXT.splitlines()
TABLE = pa.table({"id": list(range(60)), "x": [7] * 60})
SIZES = pytest.mark.parametrize("chunk_bytes", [1000_000, 100, 9])


def by(command, content=TEXT):
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


COMPRESSED = {
    "gzip": lambda: gzip.compress(TEXT),
    "gzip of the command": lambda: by(["gzip", "-c"]),
    "bzip2": lambda: bz2.compress(TEXT),
    "zstd": lambda: zstandard.compress(TEXT),
    "two members": lambda: gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
}


def in_memory(write):
    """The bytes that a function writes to a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in.csv", TEXT)


def tarred(file, mode="w"):
    with tarfile.open(fileobj=file, mode=mode) as archive:
        member = tarfile.TarInfo("in.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))


def avro(file):
    schema = {"type": "record", "name": "r", "fields": [{"name": "x", "type": "int"}]}
    fastavro.writer(file, schema, [{"x": 7}] * 60)


def database():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table a (x)")
        return connection.serialize()


OTHERS = {
    "compressed with xz": lambda: lzma.compress(TEXT),
    "compressed with lz4": lambda: pa.compress(TEXT, codec="lz4", asbytes=True),
    "a ZIP archive": lambda: in_memory(zipped),
    "a tar archive": lambda: in_memory(tarred),
    "a tar archive ": lambda: in_memory(lambda file: tarred(file, "w:gz")),
    "a Parquet file": lambda: in_memory(lambda file: pa.parquet.write_table(TABLE, file)),
    "a Parquet file ": lambda: in_memory(
        lambda file: pa.parquet.write_table(TABLE.slice(0, 0), file)
    ),
    "an Avro file": lambda: in_memory(avro),
    "an ORC file": lambda: in_memory(lambda file: pyarrow.orc.write_table(TABLE, file)),
    "an Arrow file": lambda: in_memory(
        lambda file: pa.feather.write_feather(TABLE, file, compression="uncompressed")
    ),
    "a NumPy array": lambda: in_memory(lambda file: np.save(file, np.arange(60))),
    "a ZIP archive ": lambda: in_memory(lambda file: np.savez(file, np.arange(60))),
    "a Python pickle": lambda: pickle.dumps(list(range(60))),
    "an SQLite database": database,
    "UTF-16 text": lambda: TEXT.decode().encode("utf-16"),
    "UTF-16 text ": lambda: b"\xfe\xff" + TEXT.decode().encode("utf-16-be"),
    "UTF-16 text  ": lambda: TEXT.decode().encode("utf-16-le"),
    "UTF-16 text   ": lambda: TEXT.decode().encode("utf-16-be"),
    "UTF-32 text": lambda: TEXT.decode().encode("utf-32"),
    "a file of TFRecords": lambda: framed([b"a", b"b"] * 60),
    "a file of TFRecords ": lambda: gzip.compress(framed([b"a", b"b"] * 60)),
}
"""What a file is, and how it is made."""


@pytest.fixture
def store(tmp_path):
    """A function from the contents of files, by name, to the pattern of all."""

    def write(**contents):
        for name, content in contents.items():
            (tmp_path / name.replace("_", ".")).write_bytes(content)
        return str(tmp_path / "*")

    return write


def read(source):
    """The rows of all chunks of a source, their locations, and the failures."""
    rows, locations, failures = [], [], []
    for chunk in plan(source, match):
        for batch in read_chunk(chunk, open_file, 5):
            rows += batch.rows
            locations += [batch.location(at).rpartition("/")[2] for at in range(len(batch))]
            failures += batch.source_failures
    return rows, locations, failures


@SIZES
@pytest.mark.parametrize("name", ["b", "b_txt", "b_GZ", "b_gzip", "b_bz2", "b_jsonl_Gz"])
@pytest.mark.parametrize("compressed", COMPRESSED)
def test_a_compressed_file_is_read_whatever_its_name(store, compressed, name, chunk_bytes):
    content = COMPRESSED[compressed]()
    pattern = store(a=b"1\n", **{name: content}, c=b"2\n")
    rows, locations, failures = read(JsonLines(pattern, chunk_bytes))
    assert failures == []
    assert rows == [b"1", *ROWS, b"2"]
    name = name.replace("_", ".")
    offsets = [sum(len(row) + 1 for row in ROWS[:at]) for at in range(len(ROWS))]
    assert locations[1:-1] == [f"{name}, byte {offset}" for offset in offsets]


@SIZES
@pytest.mark.parametrize("options", [{}, {"multiline": True}, {"readers_per_file": 3}])
@pytest.mark.parametrize("compressed", COMPRESSED)
def test_a_csv_file_that_is_compressed_is_read_first_or_later(
    store, compressed, options, chunk_bytes
):
    content = COMPRESSED[compressed]()
    pattern = store(a=content, b=b"x,id\n7,0\n", c=content)
    rows, _, failures = read(Csv(pattern, chunk_bytes, **options))
    assert failures == []
    assert rows == [*ROWS[1:], b"0,7", *ROWS[1:]]


@SIZES
@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_that_is_no_text_is_one_failure_that_names_it(store, kind, chunk_bytes):
    pattern = store(a=b"id,x\n1,7\n", b_txt=OTHERS[kind](), c=b"2,7\n")
    sources = (
        (JsonLines(pattern, chunk_bytes), [b"id,x", b"1,7", b"2,7"]),
        (Csv(pattern, chunk_bytes), [b"1,7", b"2,7"]),
        (Csv(pattern, chunk_bytes, multiline=True, readers_per_file=3), [b"1,7", b"2,7"]),
    )
    for source, expected in sources:
        rows, _, failures = read(source)
        assert rows == expected
        (failure,) = failures
        assert failure.code is Code.INVALID_ARGUMENT
        assert f"b.txt: it is {kind.strip()}: " in failure.message


def test_a_list_of_files_that_is_an_image_is_named(store, tmp_path):
    image = b"\x89PNG\r\n\x1a\n" + bytes(100)
    pattern = store(a_png=image, b=f"{tmp_path}/a.png\n".encode())
    (row,), _, (failure,) = read(FileList(pattern))
    assert row.content == image  # the content of a listed file may be anything
    assert "a.png: it is an image: list the URIs of images in a text file" in failure.message


def test_a_first_csv_file_that_is_no_text_stops_the_job(store):
    for kind in OTHERS:
        with pytest.raises(SourceError, match=f"a: it is {kind.strip()}: "):
            plan(Csv(store(a=OTHERS[kind](), b=TEXT)), match)


def test_what_is_compressed_twice_is_named(store):
    _, _, (failure,) = read(JsonLines(store(a_gz=gzip.compress(gzip.compress(TEXT)))))
    assert "compressed once more, with gzip: decompress it once" in failure.message


@SIZES
@pytest.mark.parametrize(
    "content",
    [
        b"BZhong,3\nBZh9,4\n",
        b"PAR1,3\n2,4\nPAR2",
        b"PK,3\nPAR1",
        b"Obj,1\n",
        b"Rar!,7\n",
        b"\xef\xbb\xbfid\n7\n",
        b"7z,ustar\n",
        b"x\x01\n",
    ],
)
def test_text_that_begins_like_a_mark_is_text(store, content, chunk_bytes):
    rows, _, failures = read(JsonLines(store(a=content), chunk_bytes))
    assert failures == []
    assert rows == content.removeprefix(b"\xef\xbb\xbf").splitlines()


SIGNS = st.text(string.printable + "éß漢😀\ufeff", max_size=300)
BEGINNINGS = st.sampled_from(
    ["", "BZh9", "BZh91AY", "PK", "PAR1", "Obj", "Rar!", "7z", "ustar", "x"]
)


@settings(max_examples=examples(500))
@given(BEGINNINGS, SIGNS)
def test_no_ordinary_text_has_a_mark(beginning, rest):
    content = (beginning + rest).encode()
    assert compression_of(content) == ""
    assert problem_of(content, io.BytesIO(content + b"\n")) == ""


@settings(max_examples=examples(300))
@given(st.binary(max_size=600))
def test_any_bytes_can_be_looked_at(content):
    file = io.BytesIO(content)
    assert problem_of(content, file) == problem_of(content, file)
    assert file.tell() == 0


class Counted(io.RawIOBase):
    """A file whose reads are counted, as requests for an object are."""

    def __init__(self, content):
        self.content, self.at, self.reads = content, 0, []

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, len(self.content))[whence]
        return self.at

    def readinto(self, buffer):
        part = self.content[self.at : self.at + len(buffer)]
        buffer[: len(part)] = part
        if part:
            self.reads.append((self.at, len(part)))
        self.at += len(part)
        return len(part)


@pytest.mark.parametrize(
    ("start", "stop", "reads"),
    [
        (0, None, [(0, 600_000)]),
        (0, 200_000, [(0, 600_000)]),
        (400_000, 600_000, [(0, 65536), (399_999, 200_001)]),
    ],
)
def test_only_a_chunk_from_the_middle_of_a_file_reads_once_more_and_little(start, stop, reads):
    raw = Counted(b"1234567\n" * 75_000)
    chunk = Chunk(0, 1, (Span("a", start, stop),))
    list(read_chunk(chunk, lambda uri: io.BufferedReader(raw, 1_000_000), 64))
    assert raw.reads == reads


DOCUMENTS = {
    "a JSON array over several lines": b'[\n  {"x": 1},\n  {"x": 2}\n]\n',
    "a JSON array over several lines ": b'[{"x": 1},\n{"x": NaN},\n{"x": 3}]',
    "JSON over several lines": b'{\n  "x": 1\n}\n',
    "JSON over several lines ": b'\xef\xbb\xbf\n{\n  "x": 1\n}\r\n{\n  "x": 2\n}\n',
    "the body of a request for online prediction": b'{"instances": [\n{"x": 1},\n{"x": 2}\n]}\n',
    "the body of a request for online prediction ": (
        b'{\n "signature_name": "a",\n "instances": [\n 1, 2, 3\n ]\n}'
    ),
    "JSON over several lines  ": b'{\n  "x": 1\n}\n' * 20_000,
    "a JSON array over several lines  ": b"[\n" + b'  {"x": 1.5},\n' * 20_000 + b"1]\n",
}


@pytest.mark.parametrize("chunk_bytes", [1000_000, 100_000, 10])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_json_document_is_one_failure_that_says_what_to_do(store, kind, chunk_bytes):
    content = DOCUMENTS[kind]
    chunk_bytes = max(chunk_bytes, len(content) // 20)
    rows, _, (failure,) = read(JsonLines(store(a=content, b=b"7\n"), chunk_bytes))
    assert rows == [b"7"]
    assert failure.code is Code.INVALID_ARGUMENT
    assert f"a: it is {kind.strip()}, " in failure.message
    assert "not JSON Lines: write each instance on a line of its own, as jq -c" in failure.message


@pytest.mark.parametrize(
    "content",
    [
        b'[\n{"x": 1}\n',  # one bad row
        b'{"x":\n{"x": 1}\n{"x": 2}\n',
        b'{"x":\n1}\n{"x": 2}\n',  # a row with a line break
        b'{"x": 1}\n{"x":\n2}\n',
        b'{"x": [1,\n' + b'{"x": [1, 2]}\n' * 20_000,
        b'{"instances": [1, 2]}\n{"instances": [3]}\n',
        b'[{"x": 1}, {"x": 2}]\n',
        b"[1, 2]\n[3, 4]\n",
        b"[text]\nmore\n",
        b'"a\nb"\n',
        b"[" * 100_000 + b"\n1\n",
        b'{"x": ' + b"9" * 5_000 + b'}\n{"x": 1}\n',
    ],
)
def test_lines_with_a_bad_row_are_lines(store, content):
    rows, _, failures = read(JsonLines(store(a=content)))
    assert failures == []
    assert rows == content.splitlines()


def test_a_document_is_lines_for_other_formats(store):
    content = DOCUMENTS["a JSON array over several lines"]
    rows, _, failures = read(Csv(store(a=b"x\n1\n", b=content)))
    assert failures == []
    assert rows == [b"1", *content.splitlines()]


def test_a_compressed_file_of_records_is_read_by_several_readers(store):
    content = gzip.compress(framed([b"%d" % number for number in range(1000)]))
    source = TfRecord(store(a=content), chunk_bytes=300, readers_per_file=4)
    assert len(plan(source, match)) == 4
    rows, _, failures = read(source)
    assert failures == []
    assert rows == [b"%d" % number for number in range(1000)]
