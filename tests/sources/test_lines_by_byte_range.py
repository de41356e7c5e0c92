"""Lines by byte range: every line once, whatever the borders of spans and of blocks."""

import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Span
from beam_batch_predict.files import open_file
from beam_batch_predict.sources import compression
from beam_batch_predict.sources.text import read_lines, split_lines

PIECES = [
    b"\n", b"\r\n", b"\r", b"\r\r", b"\x00", b" ", b"\t", b"\xef\xbb\xbf", b"\xff", b"1", b"ab",
    b'{"x": 1}', b"\n\n", b" \n", b"long" * 20,
]  # fmt: skip
CONTENTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=40).map(b"".join)
BORDERS = st.lists(st.integers(0, 200), max_size=12)
FROM_FILE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300
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
