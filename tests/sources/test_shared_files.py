"""Files that are read from their beginning only, by several readers: every row once."""

import bz2
import csv
import gzip
import io
import json
import random
import re
import struct
import tracemalloc
from itertools import pairwise

import google_crc32c
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.files import match, open_file
from beam_batch_predict.sources import compression
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import Csv, FileList, JsonLines, Parquet, TfRecord
from beam_batch_predict.status import Code


def in_pieces(content):
    return [content[at : at + 1500] for at in range(0, len(content), 1500)] or [b""]


def in_blocks(content):
    """zstd's blocks, which otherwise hold more than the files of these tests."""
    frame = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    made = [frame.compress(piece) + frame.flush(block) for piece in in_pieces(content)]
    return b"".join((*made, frame.flush()))


COMPRESS = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": lambda data: b"".join(map(bz2.compress, in_pieces(data))),
    ".zst": in_blocks,
}
FROM_FILE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)


def tf_record(records):
    """A TFRecord file."""

    def checked(data):
        crc = google_crc32c.value(data)
        return data + struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    return b"".join(checked(struct.pack("<Q", len(row))) + checked(row) for row in records)


def csv_rows(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


RANDOM = random.Random(5)
WORDS = [RANDOM.randbytes(RANDOM.choice([0, 1, 3, 10, 60, 400])).hex() for _ in range(120)]
LINES = "\r\n".join(json.dumps({"id": i, "w": word}) for i, word in enumerate(WORDS))
CELLS = [[i, word.replace("0", '"').replace("1", "\n")] for i, word in enumerate(WORDS)]

CONTENTS = {
    "jsonl": "\ufeff".encode() + LINES.encode(),
    "csv": b"\n" + csv_rows([["id", "w"], *enumerate(WORDS)]),
    "csv-multiline": csv_rows([["id", "w"], *CELLS]),
    "tf-record": tf_record(word.encode() for word in WORDS),
}
"""By the format; each has more than 10 KB, which do not compress well."""

SHARED = [
    (form, end)
    for form in CONTENTS
    for end in COMPRESS
    if end or form in ("csv-multiline", "tf-record")
]
OF_EACH = pytest.mark.parametrize(("form", "end"), SHARED)


def read(path, form, start=0, stop=None, **more):
    """Rows with their places, and failures, of a span."""
    columns = ("id", "w") if form.startswith("csv") else ()
    chunk = Chunk(0, 1, (Span(str(path), start, stop),), form, columns)._replace(**more)
    batches = list(read_chunk(chunk, open_file, 4))
    rows = [pair for batch in batches for pair in zip(batch.rows, batch.offsets, strict=True)]
    return rows, [failure for batch in batches for failure in batch.source_failures]


def read_all(path, form, borders, **more):
    """The same of all spans between borders, one behind the other."""
    size = path.stat().st_size
    cuts = sorted({0, size, *(border for border in borders if 0 < border < size)})
    found = [read(path, form, *cut, **more) for cut in pairwise(cuts)]
    return [row for rows, _ in found for row in rows], [each for _, each in found]


@pytest.fixture
def stored(tmp_path):
    """A function that stores content of a format, compressed: the path."""

    def store(content, form, end, compress=None):
        path = tmp_path / f"in.{form}{end}"
        path.write_bytes((compress or COMPRESS[end])(content))
        return path

    return store


@OF_EACH
@FROM_FILE
@given(
    borders=st.lists(st.integers(0, 9_000), max_size=5), pressed=st.sampled_from([10, 100, 1024])
)
def test_any_borders_give_each_row_once(form, end, stored, borders, pressed, monkeypatch):
    monkeypatch.setattr(compression, "PRESSED_BYTES", pressed)
    path = stored(CONTENTS[form], form, end)
    expected = read(path, form)
    assert len(expected[0]) == len(WORDS)
    assert expected[1] == []
    rows, failures = read_all(path, form, borders)
    assert rows == expected[0]
    assert not any(failures)


@OF_EACH
def test_every_single_border_gives_each_row_once(form, end, stored, monkeypatch):
    monkeypatch.setattr(compression, "PRESSED_BYTES", 1)
    monkeypatch.setattr(compression, "BLOCK_BYTES", 7)
    content = {
        "jsonl": b"\xef\xbb\xbf[1]\n\r\n\n2\r\n   \n3",
        "csv": b"\nid,w\n1,a\n\n2,b\r\nid,w\n3,c",
        "csv-multiline": b'id,w\n1,"a\nb"\n\n2,"\n\n"\n3,"c',
        "tf-record": tf_record([b"", b"one", b"", b"two"]),
    }[form]
    path = stored(content, form, end)
    expected = read(path, form)[0]
    assert len(expected) == {"csv": 4, "tf-record": 4}.get(form, 3)
    for border in range(1, path.stat().st_size):
        assert read_all(path, form, [border]) == (expected, [[], []])


@pytest.mark.parametrize("end", [".gz", ".bz2", ".zst"])
def test_members_are_one_content_for_all_readers(end, stored):
    pieces = [CONTENTS["jsonl"][at : at + 777] for at in range(0, len(CONTENTS["jsonl"]), 777)]
    path = stored(pieces, "jsonl", end, lambda pieces: b"".join(map(COMPRESS[end], pieces)))
    size = path.stat().st_size
    rows, failures = read_all(path, "jsonl", range(0, size, size // 9))
    assert rows == read(path, "jsonl")[0]
    assert len(rows) == len(WORDS)
    assert not any(failures)


@OF_EACH
def test_a_row_longer_than_shares_belongs_to_the_one_it_begins_in(form, end, stored):
    large = RANDOM.randbytes(200_000).hex()
    content = {
        "jsonl": f'1\n"{large}"\n2\n'.encode(),
        "csv": f"id,w\n1,a\n2,{large}\n3,b\n".encode(),
        "csv-multiline": f'id,w\n1,a\n2,"\n{large}"\n3,b\n'.encode(),
        "tf-record": tf_record([b"1", large.encode(), b"2"]),
    }[form]
    path = stored(content, form, end)
    size = path.stat().st_size
    expected = read(path, form)
    borders = range(0, size, size // 10)
    assert read_all(path, form, borders)[0] == expected[0]
    assert [len(row) > 300_000 for row, _ in expected[0]] == [False, True, False]
    rows, failures = read_all(path, form, borders, max_instance_bytes=1000)
    assert rows == read(path, form, max_instance_bytes=1000)[0]
    assert rows[1][0].code == Code.OUT_OF_RANGE
    assert not any(failures)


@OF_EACH
@pytest.mark.parametrize("readers", [2, 7])
def test_a_file_cut_short_has_the_rows_before_and_is_a_failure(form, end, readers, stored):
    cut = 9 * len(COMPRESS[end](CONTENTS[form])) // 10 + 1
    path = stored(CONTENTS[form], form, end, lambda content: COMPRESS[end](content)[:cut])
    rows, failures = read(path, form)
    tiled, shares = read_all(path, form, range(0, cut, cut // readers))
    assert tiled == rows
    assert len(rows) > 80
    if end or form == "tf-record":  # a CSV file has no end that could be missing
        assert failures[0].code == Code.DATA_LOSS
        assert shares[-1][0].code == Code.DATA_LOSS
        stored_as = " as they are stored" if end else ""
        assert re.search(rf"in.{form}{end}, bytes \d+ to {cut}{stored_as}: ", shares[-1][0].message)


@pytest.mark.parametrize(
    ("form", "end"), [each for each in SHARED if each != ("csv-multiline", "")]
)
def test_damage_is_a_failure_of_each_share_whose_rows_are_behind_it(form, end, stored):
    content = bytearray(COMPRESS[end](CONTENTS[form]))
    middle = len(content) // 2
    if end:
        content[middle : middle + 50] = b"\xff" * 50
    else:  # the length of a record; its data are the business of the record
        content[read(stored(CONTENTS[form], form, end), form)[0][50][1]] ^= 1
    path = stored(bytes(content), form, end, lambda content: content)
    rows, failures = read(path, form)
    tiled, shares = read_all(path, form, [part * len(content) // 5 for part in range(5)])
    assert tiled == rows
    assert len(failures) == 1
    failed = [bool(share) for share in shares]
    assert failed == sorted(failed)
    assert failed[-1]
    assert all(
        failures[0].message.rpartition(": ")[2] in share[0].message for share in shares if share
    )


def test_records_with_damaged_data_fail_in_their_share_alone(stored):
    content = bytearray(CONTENTS["tf-record"])
    path = stored(bytes(content), "tf-record", "")
    offsets = [offset for _, offset in read(path, "tf-record")[0]]
    longest = max(range(len(WORDS)), key=lambda row: len(WORDS[row]))
    content[offsets[longest] + 20] ^= 1
    path.write_bytes(content)
    rows, failures = read_all(path, "tf-record", [len(content) // 3, len(content) // 2])
    assert rows == read(path, "tf-record")[0]
    assert [row.code for row, _ in rows if not isinstance(row, bytes)] == [Code.DATA_LOSS]
    assert not any(failures)


def test_a_file_of_records_in_records_is_not_mistaken_for_them(stored):
    inner = CONTENTS["tf-record"]
    path = stored(tf_record([inner, b"x", inner]), "tf-record", "")
    rows, _ = read_all(path, "tf-record", range(0, path.stat().st_size, 500))
    assert [row for row, _ in rows] == [inner, b"x", inner]


def test_gzip_without_the_extension_is_shared_alike(stored):
    path = stored(CONTENTS["tf-record"], "tf-record", "", COMPRESS[".gz"])
    rows, failures = read_all(path, "tf-record-gzip", [500, 1500, 4000])
    assert [row.decode() for row, _ in rows] == WORDS
    assert not any(failures)


@OF_EACH
def test_nothing_but_a_header_or_blank_lines_has_no_rows(form, end, stored):
    content = {"jsonl": b"\n" * 5000, "tf-record": b""}.get(form, b"\n\nid,w\n" + b"\n" * 5000)
    path = stored(content, form, end)
    assert read_all(path, form, range(0, 5000, 10))[0] == []


def test_shares_of_a_bomb_are_read_in_the_memory_of_the_whole(stored):
    path = stored(b"1\n" + b"\n" * 20_000_000 + b"2\n", "jsonl", ".gz")
    peaks = []
    for borders in [], [path.stat().st_size // 2]:
        tracemalloc.start()
        rows, failures = read_all(path, "jsonl", borders)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert [row for row, _ in rows] == [b"1", b"2"]
        assert not any(failures)
    assert peaks[1] < 1.2 * peaks[0] < 30_000_000


SOURCES = {
    "in.jsonl.gz": lambda uri, **how: JsonLines(uri, **how),
    "in.csv.zst": lambda uri, **how: Csv(uri, **how),
    "in.csv": lambda uri, **how: Csv(uri, multiline=True, **how),
    "in.tfrecord": lambda uri, **how: TfRecord(uri, **how),
    "list.txt.bz2": lambda uri, **how: FileList(uri, **how),
}


def planned(directory, source, sizes, **how):
    """The spans of each chunk of files with such names."""
    for name, size in sizes.items():
        (directory / name).write_bytes(b"id" * (size // 2))
    chunks = plan(source(str(directory / "*"), **how), match, lambda uri: io.BytesIO(b"id\n"))
    return [[(span.uri[-1], span.start, span.stop) for span in chunk.spans] for chunk in chunks]


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_is_shared_by_the_requested_number_of_readers(name, tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "is_compressed", lambda uri: True)
    sizes, last = {name: 1000}, name[-1]
    spans = [[(last, 0, 334)], [(last, 334, 668)], [(last, 668, 1000)]]

    def read_header(*_):
        return ("id",)

    monkeypatch.setattr("beam_batch_predict.sources.planning.read_columns", read_header)
    found = planned(tmp_path, SOURCES[name], sizes, chunk_bytes=100, readers_per_file=3)
    assert found == spans
    assert planned(tmp_path, SOURCES[name], sizes, chunk_bytes=100) == [[(last, 0, None)]]


def test_shares_are_of_about_a_chunk_at_least(tmp_path):
    sizes = {"a.gz": 100, "b.gz": 120, "c.gz": 250, "d.gz": 0, "e.gz": 40}
    found = planned(tmp_path, JsonLines, sizes, chunk_bytes=100, readers_per_file=50)
    uris = [file.uri for file in match(str(tmp_path / "*"))]
    assert len(uris) == len(sizes)
    assert [[span[1:] for span in chunk] for chunk in found] == [
        [(0, None)], [(0, 60)], [(60, 120)], [(0, 84)], [(84, 168)], [(168, 250)], [(0, None)],
    ]  # fmt: skip


def test_files_that_can_be_split_are_split_as_ever(tmp_path):
    found = planned(tmp_path, JsonLines, {"a": 300}, chunk_bytes=100, readers_per_file=2)
    assert [chunk[0][1:] for chunk in found] == [(0, 100), (100, 200), (200, 300)]
    source = Parquet(str(tmp_path / "a.gz"), chunk_bytes=100)
    assert not hasattr(source, "readers_per_file")


@pytest.mark.parametrize("readers", [0, -1, 1.5, True, "2", None])
def test_a_number_of_readers_that_cannot_be_is_refused(readers):
    with pytest.raises(InvalidArgument, match="readers_per_file"):
        JsonLines("in.jsonl", readers_per_file=readers)


def test_what_is_listed_in_a_compressed_list_is_read_once(tmp_path):
    names = [tmp_path / f"{number}.txt" for number in range(100)]
    for path in names:
        path.write_text(path.name)
    listed = tmp_path / "list.gz"
    listed.write_bytes(gzip.compress("".join(f"{path}\n" for path in names).encode()))
    source = FileList(str(listed), chunk_bytes=1, readers_per_file=4)
    chunks = plan(source, match, open_file)
    assert len(chunks) == 4
    batches = [batch for chunk in chunks for batch in read_chunk(chunk, open_file, 64)]
    rows = [row for batch in batches for row in batch.rows]
    assert [row.content.decode() for row in rows] == [path.name for path in names]


@OF_EACH
def test_a_file_that_has_become_shorter_is_a_failure_of_the_shares_it_lacks(form, end, stored):
    path = stored(CONTENTS[form], form, end)
    size = path.stat().st_size
    for start in 0, size - 10:
        rows, failures = read(path, form, start, size + 100)
        expected = read(path, form, start, size)[0]
        assert rows in (expected, expected[:-1])  # a last line without an end may have lost it
        assert [failure.code for failure in failures] == [Code.DATA_LOSS]
        assert f"has become shorter: it had {size + 100} bytes or more" in failures[0].message
