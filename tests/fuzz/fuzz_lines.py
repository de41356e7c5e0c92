"""Lines: each line once, for any ends of spans and blocks and any limit of length."""

from itertools import pairwise
from unittest.mock import patch

from beam_batch_predict.batch import Span
from beam_batch_predict.sources import compression
from beam_batch_predict.sources.lines import read_lines
from beam_batch_predict.status import Status
from fuzz.choices import Choices
from fuzz.rows import is_stored_text, opener

SEEDS = [
    b"\x05\x09\x02\x80\x90a\nbc\r\n\n \nlonger than ten bytes\nd",
    b"\x00\x01\x00\xef\xbb\xbf1\r\n2\r\r\n\x00\n\xff",
    b"\x14\x30\x04\x10\x20\x30\x40" + b"x" * 100 + b"\n1\n" + b"y" * 50,
    b"\x02\x02\x03\x10\x80\x81" + b"\r\n" * 30 + b"1",
]


def check(data: bytes) -> None:
    """Check that the spans of a file give the rows of the whole file, and that these are right."""
    choices = Choices(data)
    max_bytes, block = choices.number(1, 40), choices.number(1, 60)
    cut = [choices.number(0, 255) for _ in range(choices.number(0, 4))]
    content = choices.rest
    if not is_stored_text(content):
        return
    places = sorted({0, len(content), *(place * len(content) // 255 for place in cut)})
    with patch.object(compression, "BLOCK_BYTES", block):
        whole = _read(content, Span("a", 0, None), max_bytes)
        tiles = [
            row
            for start, stop in pairwise(places)
            for row in _read(content, Span("a", start, stop), max_bytes)
        ]
    assert whole == tiles
    assert [(at, isinstance(row, Status) or row) for at, row in whole] == list(
        _expected(content, max_bytes)
    )


def _read(content, span, max_bytes):
    return [
        pair
        for found in read_lines(span, opener(content), max_bytes)
        for pair in zip(found.offsets, found.rows, strict=True)
    ]


def _expected(content, max_bytes):
    at = 0
    for line in content.split(b"\n"):
        row = line.removesuffix(b"\r")
        row = row.removeprefix(b"\xef\xbb\xbf") if at == 0 else row
        if len(line) > max_bytes:
            yield at, True
        elif row.strip():
            yield at, row
        at += len(line) + 1
