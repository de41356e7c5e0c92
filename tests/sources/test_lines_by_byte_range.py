"""Lines by byte range: every line once, whatever the borders of spans and of blocks."""

import io
import re
import time
import tracemalloc
from itertools import pairwise

import pytest
from helpers.examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Span
from beam_batch_predict.files import match, open_file
from beam_batch_predict.sources import compression
from beam_batch_predict.sources.lines import read_lines, split_lines
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import JsonLines
from beam_batch_predict.status import Code, Status

PIECES = [
    b"\n", b"\r\n", b"\r", b"\r\r", b"\x00", b" ", b"\t", b"\xef\xbb\xbf", b"\xff", b"1", b"ab",
    b'{"x": 1}', b"\n\n", b" \n", b"long" * 20,
]  # fmt: skip
CONTENTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=40).map(b"".join)
BORDERS = st.lists(st.integers(0, 200), max_size=12)
FROM_FILE = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=examples(300),
)


def rows_expected(content):
    """The rules again, in the plainest words."""
    rows, at = [], 0
    for line in content.split(b"\n"):
        row = line.removesuffix(b"\r")
        row = row.removeprefix(b"\xef\xbb\xbf") if at == 0 else row
        if row.strip():
            rows.append((at, row))
        at += len(line) + 1
    return rows


def rows_read(path, start, stop):
    return [
        pair
        for lines in read_lines(Span(str(path), start, stop), open_file)
        for pair in zip(lines.offsets, lines.rows, strict=True)
    ]


@FROM_FILE
@given(content=CONTENTS, borders=BORDERS, block=st.integers(1, 50))
@example(content=b"a\r\nb", borders=[2], block=2)
@example(content=b"\xef\xbb\xbf1\n2", borders=[1, 2, 3, 4], block=1)
@example(content=b"\xef\xbb\xbf\n2", borders=[], block=100)
@example(content=b"a\n", borders=[1, 2], block=100)
@example(content=b"a\r", borders=[1], block=1)
def test_any_tiling_into_spans_gives_each_line_once(content, borders, block, tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    cuts = sorted({0, len(content), *(border for border in borders if border < len(content))})
    tiles = [row for start, stop in pairwise(cuts) for row in rows_read(path, start, stop)]
    assert tiles == rows_expected(content)
    assert tiles == rows_read(path, 0, None)


def test_every_single_border_of_a_file_gives_each_line_once(tmp_path):
    content = b'\xef\xbb\xbf{"a": 1}\r\n\r\n\n[2]\r\n  \n"\r"\n3'
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    expected = rows_expected(content)
    assert [row for _, row in expected] == [b'{"a": 1}', b"[2]", b'"\r"', b"3"]
    for border in range(1, len(content)):
        assert rows_read(path, 0, border) + rows_read(path, border, len(content)) == expected


@given(content=CONTENTS, cuts=BORDERS, at=st.integers(0, 10**12))
@settings(deadline=None)
def test_borders_between_blocks_do_not_show(content, cuts, at):
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    blocks = [content[start:stop] for start, stop in pairwise(edges)]
    found = list(split_lines(blocks, at))
    lines = content.split(b"\n")
    assert [row for part in found for row in part.rows] == lines[: len(lines) - (not lines[-1])]
    offsets = [offset - at for part in found for offset in part.offsets]
    assert [content[:offset].count(b"\n") for offset in offsets] == list(range(len(offsets)))
    assert all(part.returns for part in found if any(b"\r" in row for row in part.rows))


def test_a_line_far_longer_than_its_chunk_belongs_to_the_chunk_it_begins_in(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n" + b"x" * 1000 + b"\n2\n")
    found = [rows_read(path, start, min(start + 7, 1005)) for start in range(0, 1005, 7)]
    assert found[0] == [(0, b"1"), (2, b"x" * 1000)]
    assert found[-1] == [(1003, b"2")]
    assert not any(found[1:-1])


def test_a_line_of_100_megabytes_is_one_row_and_read_quickly(tmp_path):
    path = tmp_path / "in.jsonl"
    long = b'"' + b"x" * 100_000_000 + b'"'
    path.write_bytes(b"1\n" + long + b"\r\n2\n")
    size = path.stat().st_size
    began = time.process_time()
    first, second = rows_read(path, 0, 50_000_000), rows_read(path, 50_000_000, size)
    assert time.process_time() - began < 10
    assert [offset for offset, _ in first] == [0, 2]
    assert first[1][1] == long
    assert second == [(size - 2, b"2")]


@pytest.mark.parametrize("left", range(9))
def test_a_file_that_lost_its_end_is_an_error_and_its_cut_line_no_row(tmp_path, left):
    path = tmp_path / "in.jsonl"
    content = b"12\n34\n567"
    path.write_bytes(content[:left])
    found = []
    parts = read_lines(Span(str(path), 0, len(content)), open_file)
    with pytest.raises(EOFError, match="has become shorter"):
        found.extend(row for lines in parts for row in lines.rows)
    assert found == content[:left].split(b"\n")[:-1]


@pytest.mark.parametrize("start", [3, 4, 7])
@pytest.mark.parametrize("left", [0, 2, 5, 8])
def test_a_later_span_of_a_file_that_lost_its_end_is_an_error(tmp_path, start, left):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"12\n34\n567"[:left])
    with pytest.raises(EOFError, match="has become shorter"):
        rows_read(path, start, 9)


def test_lines_that_came_after_the_plan_are_not_read(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n2\n3\n")
    assert rows_read(path, 0, 4) == [(0, b"1"), (2, b"2")]


TOO_LONG = "the line is longer than the 10 bytes that --max_instance_bytes allows"


def outcomes_expected(content, max_bytes):
    """The rules of long lines; a line counts with its carriage return, a blank one too."""
    kept = dict(rows_expected(content))
    for line in re.finditer(rb"[^\n]+", content):
        if len(line[0]) > max_bytes:
            kept[line.start()] = Code.OUT_OF_RANGE
    return sorted(kept.items())


def outcomes(path, start, stop, max_bytes):
    return [
        (offset, row.code if isinstance(row, Status) else row)
        for lines in read_lines(Span(str(path), start, stop), open_file, max_bytes)
        for offset, row in zip(lines.offsets, lines.rows, strict=True)
    ]


@FROM_FILE
@given(content=CONTENTS, borders=BORDERS, block=st.integers(1, 50), limit=st.integers(1, 30))
@example(content=b"x" * 11 + b"\n1", borders=[5, 11, 12], block=3, limit=10)
@example(content=b"x" * 10 + b"\r\n1", borders=[10], block=100, limit=10)
@example(content=b"\n" * 40 + b"1", borders=[7], block=8, limit=30)
def test_a_line_that_is_too_long_is_one_row_with_its_location_for_all_spans(
    content, borders, block, limit, tmp_path, monkeypatch
):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    cuts = sorted({0, len(content), *(border for border in borders if border < len(content))})
    tiles = [row for pair in pairwise(cuts) for row in outcomes(path, *pair, limit)]
    assert tiles == outcomes_expected(content, limit)
    assert tiles == outcomes(path, 0, None, limit)


def test_a_line_that_is_too_long_says_so_and_the_lines_around_it_go_on(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"1\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\n2")
    [source] = plan(JsonLines(str(path), max_instance_bytes=10), match)
    [batch] = read_chunk(source, open_file, 1)
    before, long, *behind = batch.rows
    assert [before, *behind] == [b"1", b"y" * 10, b"2"]
    assert long.code is Code.OUT_OF_RANGE
    assert long.message.startswith(TOO_LONG)
    assert batch.location(1) == f"{path}, byte 2"


class Endless(io.RawIOBase):
    """A file of many bytes that are all the same, which counts those it gave."""

    def __init__(self, byte, size):
        self.byte, self.size, self.given = byte, size, 0

    def seek(self, offset, whence=0):
        self.size -= offset
        return offset

    def read(self, size=-1):
        part = self.byte * min(size, self.size)
        self.size -= len(part)
        self.given += len(part)
        return part


@pytest.mark.parametrize(("start", "rows"), [(0, 1), (64_000_000, 0)])
def test_no_span_reads_or_keeps_all_of_an_endless_line(start, rows):
    """Of a file without line ends, each worker reads its own bytes, the first the limit more."""
    file = Endless(b"x", 10**12)
    span = Span("a", start, start + 64_000_000)
    tracemalloc.start()
    found = [row for lines in read_lines(span, lambda uri: file, 1_000_000) for row in lines.rows]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == rows
    assert file.given < 66_000_000
    assert peak < 4_000_000


@pytest.mark.parametrize("byte", [b"\n", b"x", b"\0", b" "])
def test_a_hundred_megabytes_without_an_instance_take_little_memory(byte):
    tracemalloc.start()
    found = [
        row
        for lines in read_lines(Span("a"), lambda uri: Endless(byte, 10**8), 1_000_000)
        for row in lines.rows
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == (byte != b"\n")
    assert peak < 4_000_000
