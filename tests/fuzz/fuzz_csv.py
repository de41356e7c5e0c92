"""CSV: no byte lost between borders, each row by itself, cells as the grammar has them."""

from itertools import pairwise
from unittest.mock import patch

import orjson

from beam_batch_predict.batch import InstanceBatch, Span
from beam_batch_predict.encoding.csv_text import CsvError, leaves_open, split_cells
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.instances.csv_rows import convert_csv
from beam_batch_predict.sources import compression, csv_files
from beam_batch_predict.sources.csv_files import read_columns, read_csv_lines, read_csv_records
from beam_batch_predict.status import Code, Status
from fuzz.choices import Choices
from fuzz.rows import CONFIGS, NON_FINITE, is_stored_text, opener, outcomes

UNREAD = Status(Code.OUT_OF_RANGE, "too long")

SEEDS = [
    b'\x30\x20\x00\x00\x02\x40\x80a,b\n1,"x"\n"2", "y, ""z"""\n3,\n,4\r\n\n007,1e400\n+.5,-inf',
    b'\x10\x05\x01\x00\x01\x44a,b\n1,"two\r\n\r\nlines"\n2,"never closed\n3,4\n5,6" pipe\n7,8',
    b'\x20\x30\x02\x01\x00\xef\xbb\xbf"a" , b\r\n1.,2\n[1,2]\nnull,{"a":1}\n1\r2,3\n\xff,1',
    b"\x08\x03\x05\x02\x03\x10\x20\x30a,b\n"
    + b"9" * 30
    + b",-0\nnan,1\n\\,\\n\n1,2],[3,4\nx,[1\ny,2]",
    b'\x05\x02\x03\x01\x00b,a\n1,"' + b"\n" * 40 + b'"\n1,2\n"' + b"z" * 60 + b'",1\n"\n"\n',
    b"\x00\x00\x00\x00\x00,a,\n1,2,3\n1111111111111111111111111x,+,-\n",
]


def check(data: bytes) -> None:
    """Read a file in two ways, whole and in spans, and convert its rows."""
    choices = Choices(data)
    max_bytes, block = choices.number(4, 100), choices.number(1, 60)
    config, non_finite = choices.one_of(CONFIGS), choices.one_of(NON_FINITE)
    cut = [choices.number(0, 255) for _ in range(choices.number(0, 4))]
    content = choices.rest
    if not is_stored_text(content):
        return
    with (
        patch.object(compression, "BLOCK_BYTES", block),
        patch.object(csv_files, "LONGEST_RECORD", 300),
    ):
        for multiline in (False, True):
            try:
                columns = read_columns(
                    [File("a", len(content))], opener(content), multiline, max_bytes
                )
            except SourceError as error:
                str(error).encode()
                columns = ("x", "y")  # no header of the seeds, whose cells would be moved
            read = read_csv_records if multiline else read_csv_lines
            rows = _read(read, columns, content, Span("a"), max_bytes)
            if multiline:
                _check_nothing_lost(content, columns, rows)
            else:
                places = sorted({0, len(content), *(at * len(content) // 255 for at in cut)})
                spans = [Span("a", *pair) for pair in pairwise(places)]
                tiles = [_read(read, columns, content, span, max_bytes) for span in spans]
                assert [row for tile in tiles for row in tile] == rows
            reader = "csv-multiline" if multiline else "csv"
            made = InstanceBatch([row for _, row in rows], format=reader, columns=columns)
            _check_rows(made, config, non_finite)


def _read(read, columns, content, span, max_bytes):
    return [
        pair
        for found in read(span, columns, opener(content), max_bytes)
        for pair in zip(found.offsets, found.rows, strict=True)
    ]


def _check_nothing_lost(content, columns, rows):
    """Every line is in a record, or blank, or too long, or the header."""
    offsets = [at for at, _ in rows]
    assert offsets == sorted(set(offsets))
    end = 0
    for number, (at, row) in enumerate(rows):
        between = content[end:at].removeprefix(b"\xef\xbb\xbf") if end == 0 else content[end:at]
        assert not between.strip() or number == 0, (content, columns, rows)
        if isinstance(row, Status):  # the test does not know the part that was read
            end = rows[number + 1][0] if number + 1 < len(rows) else len(content)
            continue
        assert row in content[at:]
        end = content.index(row, at) + len(row)
    assert not rows or not content[end:].strip()


def _check_rows(batch, config, non_finite):
    together = convert_csv(batch, config, non_finite)
    found = outcomes(together, non_finite)
    assert len(found) == len(batch)
    for at, row in enumerate(batch.rows):
        alone = InstanceBatch([row], format=batch.format, columns=batch.columns)
        made = convert_csv(alone, config, non_finite)
        assert outcomes(made, non_finite) == [found[at]]
        orjson.loads(dumps(together.instances[at]) if not together.texts else together.texts[at])
        if isinstance(row, bytes):
            _check_cells(row)
    beside = InstanceBatch([UNREAD, *batch.rows], format=batch.format, columns=batch.columns)
    made = convert_csv(beside, config, non_finite)
    assert outcomes(made, non_finite)[1:] == found


def _check_cells(row):
    try:
        text = row.decode()
    except UnicodeDecodeError:
        return
    try:
        cells = split_cells(text)
    except CsvError as error:
        str(error).encode()
        return
    assert not leaves_open(row)
    quoted = ('"' + cell.text.replace('"', '""') + '"' for cell in cells)
    assert [cell.text for cell in split_cells(",".join(quoted))] == [cell.text for cell in cells]
