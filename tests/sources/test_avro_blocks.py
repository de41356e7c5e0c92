"""Avro object container files as bytes: cut anywhere, damaged anywhere, written by hand."""

import bz2
import gzip
import io
import struct
import tracemalloc
import zlib

import fastavro
import pytest
import zstandard
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Span
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File, open_file
from beam_batch_predict.messages import counted
from beam_batch_predict.sources.avro import blocks, codecs
from beam_batch_predict.sources.avro.files import read_avro, read_avro_columns
from beam_batch_predict.sources.compression import READ_ERRORS

SCHEMA = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "n", "type": "long"},
        {"name": "word", "type": "string"},
        {"name": "raw", "type": "bytes"},
    ],
}
SYNC = bytes(range(200, 216))
OURS = ["null", "deflate", "bzip2", "xz"]
"""The codecs that fastavro writes without further packages."""


def rows_of(count, raw=b""):
    return [{"n": i - 3, "word": f"w{i}", "raw": raw} for i in range(count)]


def told(rows):
    """The rows as JSON has them."""
    from beam_batch_predict.encoding.json_values import json_value

    return [json_value(row) for row in rows]


def written(rows, schema=SCHEMA, per_block=3, codec="null"):
    """A file of fastavro's with so many rows in a block."""
    stream = io.BytesIO()
    writer = fastavro.write.Writer(stream, schema, codec, sync_interval=1 << 30, sync_marker=SYNC)
    for start in range(0, len(rows), per_block):
        for row in rows[start : start + per_block]:
            writer.write(row)
        writer.dump()
    writer.flush()
    return stream.getvalue()


def long(value):
    """An integer as the specification has it, told apart from fastavro's writer."""
    value = (value << 1) ^ (value >> 63)
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])


def by_hand(*blocks, schema=b'"long"', codec=b"null"):
    """A file from (count, data) of its blocks."""
    meta = {b"avro.schema": schema, b"avro.codec": codec}
    entries = b"".join(long(len(k)) + k + long(len(v)) + v for k, v in meta.items())
    header = b"Obj\x01" + long(len(meta)) + entries + b"\0" + SYNC
    return header + b"".join(long(n) + long(len(data)) + data + SYNC for n, data in blocks)


@pytest.fixture
def stored(tmp_path):
    def store(content, name="in.avro"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return store


def opener(content):
    return lambda uri: io.BytesIO(content)


def read(content, start=0, stop=None, uri="in.avro", whole=False):
    """Rows, offsets and failures of a span of a file."""
    stop = None if whole else len(content) if stop is None else stop
    rows, offsets, failures = [], [], []
    try:
        for found in read_avro(Span(uri, start, stop), (), opener(content)):
            assert len(found.rows) == len(found.offsets)
            rows += found.rows
            offsets += found.offsets
            failures += [status.message for status in found.failures]
    except READ_ERRORS as error:
        failures.append(str(error))
    return rows, offsets, failures


@pytest.mark.parametrize("codec", OURS)
def test_rows_and_where_they_stand(codec):
    rows = rows_of(8)
    content = written(rows, codec=codec)
    blocks = list(fastavro.block_reader(io.BytesIO(content)))
    offsets = [f"{block.offset}, record {i}" for block in blocks for i in range(block.num_records)]

    assert read(content) == (told(rows), offsets, [])


def test_what_others_compress(stored):
    values = long(1) + long(-70) + long(2**63 - 1) + long(-(2**63))
    rows = [1, -70, 2**63 - 1, -(2**63)]
    literal = long(len(values))[:0] + bytes([len(values), (len(values) - 1) << 2]) + values
    snappy = literal + zlib.crc32(values).to_bytes(4, "big")
    streaming = zstandard.ZstdCompressor().compressobj()
    zstd = streaming.compress(values) + streaming.flush()

    assert read(by_hand((4, snappy), codec=b"snappy"))[::2] == (rows, [])
    assert read(by_hand((4, zstd), codec=b"zstandard"))[::2] == (rows, [])
    sized = zstandard.compress(values)
    assert read(by_hand((4, sized), codec=b"zstandard"))[::2] == (rows, [])
    assert read(by_hand((4, bz2.compress(values)), codec=b"bzip2"))[::2] == (rows, [])


def test_a_snappy_block_that_does_not_match_its_checksum_is_lost():
    good = b"\x01\x00\x02" + zlib.crc32(b"\x02").to_bytes(4, "big")
    bad = b"\x01\x00\x04" + zlib.crc32(b"\x02").to_bytes(4, "big")
    rows, _, failures = read(by_hand((1, good), (1, bad), (1, good), codec=b"snappy"))

    assert rows == [1, 1]
    assert len(failures) == 1
    assert "the checksum does not match" in failures[0]


@pytest.mark.parametrize("per_block", [1, 3])
def test_every_border_gives_each_row_to_one_span(per_block):
    rows = rows_of(7, raw=SYNC[:5])
    content = written(rows, per_block=per_block)
    whole = read(content)
    assert whole[::2] == (told(rows), [])
    for border in range(len(content) + 1):
        first, second = read(content, 0, border), read(content, border)
        assert [a + b for a, b in zip(first, second, strict=True)] == [*whole], border


@given(st.lists(st.integers(0, 400), max_size=12), st.integers(1, 4), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_many_borders(borders, per_block, buffer_bytes):
    rows = rows_of(9)
    content = written(rows, per_block=per_block)
    cuts = sorted({0, len(content), *(min(border, len(content)) for border in borders)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beam_batch_predict.sources.compression.BLOCK_BYTES", buffer_bytes)
        found = [read(content, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert [row for rows, _, _ in found for row in rows] == told(rows)
    assert not any(failures for *_, failures in found)


def check_every_border(content, rows, borders):
    """Whatever a span takes for the end of a block: no row is wrong, double or lost in silence."""
    whole = read(content)
    assert whole[::2] == (told(rows), [])
    expected = dict(zip(whole[1], whole[0], strict=True))
    for border in borders:
        first, second = read(content, 0, border), read(content, border)
        found, places, failures = (a + b for a, b in zip(first, second, strict=True))
        assert len(set(places)) == len(places), border
        assert all(expected[place] == row for place, row in zip(places, found, strict=True)), border
        assert len(found) == len(rows) or len(failures) == 1, border


def test_a_marker_in_the_data_loses_no_row_in_silence():
    nonsense = [b"", b"\x01\x01", b"\xff" * 30, long(2) + long(4) + b"abcd" + b"e" * 16]
    rows = [{"n": 1, "word": "w", "raw": b"x" * 9 + SYNC + tail} for tail in nonsense]
    content = written(rows, per_block=2)
    check_every_border(content, rows, range(len(content) + 1))


def test_data_of_nothing_but_markers_are_no_trap():
    rows = [{"n": i, "word": "w", "raw": SYNC * 2000} for i in range(3)]
    content = written(rows, per_block=1)
    check_every_border(content, rows, (200, 16_000, 33_001, 50_000, len(content) - 20))


def test_blocks_within_blocks_are_no_trap():
    inner = b""
    for _ in range(3000):
        inner = SYNC + long(1) + long(len(inner)) + inner + SYNC
    rows, _, failures = read(by_hand((1, b"\x02"), (1, inner), (1, b"\x04")))
    assert rows == [1, 2]
    assert 1 <= len(failures) <= 3


def test_a_header_without_blocks():
    content = written([])
    assert read(content) == ([], [], [])
    assert read(by_hand((0, b""), (0, b""))) == ([], [], [])


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, zstandard.compress])
def test_compressed_files(packed):
    extension = {gzip.compress: ".gz", bz2.compress: ".bz2"}.get(packed, ".zst")
    rows = rows_of(200)
    content = packed(written(rows))
    found = read(content, uri=f"in.avro{extension}", whole=True)
    assert found[::2] == (told(rows), [])

    rows, _, failures = read(content[:-9], uri=f"in.avro{extension}", whole=True)
    assert rows == told(rows_of(200))[: len(rows)]
    assert len(failures) == 1


def test_a_truncated_file_keeps_the_blocks_before():
    rows = rows_of(7)
    content = written(rows, per_block=2)
    starts = [block.offset for block in fastavro.block_reader(io.BytesIO(content))]
    for cut in range(starts[0], len(content)):
        found, _, failures = read(content[:cut])
        whole = sum(1 for start in [*starts[1:], len(content)] if start <= cut)
        assert found == told(rows)[: 2 * whole]
        if cut in starts:
            assert failures == []
        else:
            block = max(start for start in starts if start < cut)
            assert [f"in.avro, byte {block}: " in message for message in failures] == [True]


def test_a_file_shorter_than_planned_is_reported():
    content = written(rows_of(6))
    border = list(fastavro.block_reader(io.BytesIO(content)))[-1].offset
    rows, _, failures = read(content[:border], 0, len(content))
    assert rows == told(rows_of(3))
    assert failures == [f"the file has become shorter: it had {len(content)} bytes or more"]
    assert read(content[:border], border + 2, len(content))[2] == failures


def test_a_damaged_marker_ends_its_span():
    """The block behind it begins where no reader looks: the failure says up to where."""
    rows = rows_of(12)
    content = bytearray(written(rows))
    starts = [block.offset for block in fastavro.block_reader(io.BytesIO(content))]
    content[starts[2] - 4] ^= 1
    for border in range(len(content) + 1):
        first, second = read(bytes(content), 0, border), read(bytes(content), border)
        behind = rows[9:] if starts[1] < border <= starts[3] else []
        assert first[0] + second[0] == told(rows[:3] + behind), border
        (failure,) = first[2] + second[2]
        stop = border if border > starts[1] else len(content)
        assert failure == (
            f"in.avro, byte {starts[1]}: no block can be read: the block does not end with the "
            f"file's sync marker; the rows from here to byte {stop}, and to the first sync marker "
            "after it, are lost"
        )


def test_a_damaged_size_ends_its_span():
    rows = rows_of(12)
    content = bytearray(written(rows))
    starts = [block.offset for block in fastavro.block_reader(io.BytesIO(content))]
    for size in (0, 6, 0x7E, 0x7F, 0xFF):
        content[starts[1] + 1] = size
        for border in range(len(content) + 1):
            first, second = read(bytes(content), 0, border), read(bytes(content), border)
            found = [2, 3] if starts[1] < border else []
            behind = [row for at in found if starts[at] >= border for row in rows[3 * at :][:3]]
            assert first[0] + second[0] == told(rows[:3] + behind), border
            (failure,) = first[2] + second[2]
            assert failure.startswith(f"in.avro, byte {starts[1]}: no block can be read: ")


def test_sizes_beyond_reason_take_no_memory():
    huge = by_hand((1, b"\x02")) + long(1) + long(2**62) + b"\x02" + SYNC + long(1) + long(1)
    tracemalloc.start()
    try:
        rows, _, failures = read(huge + b"\x04" + SYNC)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == [1]
    assert f"a block of {2**62} bytes, more than the" in failures[0]
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("count", "data", "schema", "reason"),
    [
        (2**62, b"\x02", b'"long"', f"data (1 byte) are not {2**62} rows"),
        (2**62, b"", b'"null"', f"data (0 bytes) are not {2**62} rows"),
        (3, b"\x02\x02", b'"long"', "data (2 bytes) are not 3 rows"),
        (1, b"\x02\x02", b'"long"', "data (2 bytes) are not 1 row"),
        (1, b"\x02\x00", b'"long"', "data (2 bytes) are not 1 row"),
        (0, b"\x02", b'"long"', "data (1 byte) are not 0 rows"),
        (1, b"\x08abc", b'"string"', "data (4 bytes) are not 1 row"),
        (1, b"\x04\xff\xfe", b'"string"', "invalid start byte"),
        (-1, b"\x02", b'"long"', "data (1 byte) are not -1 rows"),
        (1, b"\x0a", b'["null", "long"]', "data (1 byte) are not 1 row"),
    ],
)
def test_data_that_are_no_rows(count, data, schema, reason):
    good = {b'"null"': b"", b'"string"': b"\x00", b'["null", "long"]': b"\x00"}
    good = good.get(schema, b"\x00")
    content = by_hand((1, good), (count, data), (1, good), schema=schema)
    rows, _, failures = read(content)
    assert len(rows) == 2
    assert len(failures) == 1
    assert reason in failures[0]
    assert f"the block and its {counted(count, 'row')} are lost" in failures[0]


@pytest.mark.parametrize("codec", ["deflate", "bzip2", "xz", "zstandard", "snappy"])
def test_a_bomb_is_not_inflated(codec, monkeypatch):
    import lzma

    import pyarrow as pa

    monkeypatch.setattr(codecs, "LARGEST_CONTENT", 1 << 20)
    content = bytes(1 << 26)
    raw = zlib.compressobj(wbits=-15)
    bombs = {
        "deflate": lambda: raw.compress(content) + raw.flush(),
        "bzip2": lambda: bz2.compress(content),
        "xz": lambda: lzma.compress(content),
        "zstandard": lambda: zstandard.compress(content),
        "snappy": lambda: pa.compress(content, codec="snappy", asbytes=True) + bytes(4),
    }
    bomb = bombs[codec]()
    file = by_hand((1 << 26, bomb), schema=b'"long"', codec=codec.encode())
    tracemalloc.start()
    try:
        rows, _, failures = read(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == []
    assert "it holds more than the 1048576 bytes that are allowed" in failures[0]
    assert peak < 48 * 1024 * 1024  # of 64 MiB


@pytest.mark.parametrize("codec", OURS)
def test_any_damaged_byte_is_reported_or_changes_no_count(codec):
    """Data under no checksum may change; rows are not lost or doubled without a word."""
    rows = rows_of(6)
    content = written(rows, per_block=2, codec=codec)
    for position in range(len(content)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= mask
            found, offsets, failures = read(bytes(damaged))
            assert failures or len(found) == len(rows), (position, mask)
            assert len(set(offsets)) == len(offsets)


@given(st.binary(max_size=300))
@settings(max_examples=examples(200), deadline=None)
def test_garbage_behind_a_header(garbage):
    content = by_hand((1, b"\x02"))
    rows, _, failures = read(content + garbage + SYNC + long(1) + long(1) + b"\x04" + SYNC)
    assert rows[0] == 1
    assert failures or rows[-1] == 2


@pytest.mark.parametrize("depth", [10, 200, 400, 600, 900, 990])
def test_deep_schemas_are_read_or_reported(depth):
    schema = b'{"type": "array", "items": ' * depth + b'"int"' + b"}" * depth
    rows, _, failures = read(by_hand((1, b"\0"), schema=schema))
    assert rows == [[]] or failures == ["the schema is nested too deep"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x05\0", "it does not begin with 'Obj'"),
        (b"x", "it is text: set instancesFormat to jsonl or csv"),
        (b"PAR1" + bytes(100), "it is a Parquet file: set instancesFormat to parquet"),
        (b"Obj\x01", "the header is cut short or damaged"),
        (by_hand()[:-1], "the header is cut short or damaged"),
        (by_hand(schema=b"{"), "the header is damaged"),
        (by_hand(schema=b'"no such type"'), "the schema is wrong"),
        (by_hand(schema=b"17"), "the schema is wrong"),
        (by_hand(schema=b'{"type": "record", "name": "R"}'), "the schema is wrong"),
        (by_hand(schema=b"[" * 5000 + b"]" * 5000), "the schema is nested too deep"),
        (by_hand(schema=b'{"type": "array", "items": "null"}'), "an array of items without bytes"),
        (by_hand(codec=b"lz4"), 'the codec "lz4" is not known: expected one of null, deflate'),
    ],
)
def test_a_file_that_cannot_be_read(stored, content, reason):
    rows, _, failures = read(content)
    assert rows == []
    assert len(failures) == 1
    assert reason in failures[0]
    path = stored(content)
    with pytest.raises(SourceError) as raised:
        read_avro_columns([File(path, len(content))], open_file)
    assert f"{path}: cannot be read: " in str(raised.value)
    assert reason in str(raised.value)


def test_a_header_larger_than_is_taken(monkeypatch):
    monkeypatch.setattr(blocks, "_LARGEST_HEADER", 20_000)
    assert read(written(rows_of(4), {**SCHEMA, "doc": "x" * 10_000}))[2] == []
    rows, _, failures = read(written(rows_of(4), {**SCHEMA, "doc": "x" * 20_000}))
    assert rows == []
    assert "the header is damaged: 20" in failures[0]
    assert "bytes, more than the 19" in failures[0]


def test_a_header_of_many_pieces():
    schema = {**SCHEMA, "doc": "x" * 200_000}
    assert read(written(rows_of(4), schema))[0] == told(rows_of(4))


def test_names_of_the_columns(stored):
    files = [File("gone", 0)]
    assert read_avro_columns(files, open_file) == ()
    first = stored(written(rows_of(1)), "a.avro")
    files.append(File(first, 1))
    assert read_avro_columns(files, open_file) == ("n", "word", "raw")
    packed = stored(gzip.compress(written(rows_of(1))), "b.avro.gz")
    assert read_avro_columns([File(packed, 1)], open_file) == ("n", "word", "raw")
    plain = stored(by_hand((1, struct.pack("<d", 0.5)), schema=b'"double"'), "c.avro")
    assert read_avro_columns([File(plain, 1)], open_file) == ()
    damaged = stored(b"Obj\x01", "d.avro")
    behind = [File("missing.avro", 1), File(damaged, 4), files[1]]
    assert read_avro_columns(behind, open_file) == ("n", "word", "raw")
    with pytest.raises(SourceError, match="missing.avro: cannot be read"):
        read_avro_columns([File("missing.avro", 1)], open_file)
