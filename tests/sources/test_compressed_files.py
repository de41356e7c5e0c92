"""Compressed files: whole, of several members, cut, damaged; never shorter without a word."""

import bz2
import gzip
import io
import random
import subprocess
import sys
import tracemalloc
import zlib

import pytest
import zstandard

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.files import match, open_file
from beam_batch_predict.sources import compression
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import JsonLines
from beam_batch_predict.status import Code

COMPRESS = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}
KINDS = pytest.mark.parametrize("kind", COMPRESS)

LINES = [b'{"id": %d}' % number for number in range(20)]


def read(path):
    """Rows, offsets and failures of a file."""
    chunk = Chunk(0, 1, (Span(str(path)),))
    batches = list(read_chunk(chunk, open_file, 4))
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    return (
        [row for batch in batches for row in batch.rows],
        [offset for batch in batches for offset in batch.offsets],
        [failure for batch in batches for failure in batch.source_failures],
    )


@pytest.fixture
def stored(tmp_path):
    def store(kind, content):
        path = tmp_path / f"in.jsonl{kind}"
        path.write_bytes(content)
        return path

    return store


@KINDS
@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_compressed_file_reads_as_its_content(stored, kind, ending):
    content = b"\xef\xbb\xbf" + b"\r\n".join(LINES) + ending
    rows, offsets, failures = read(stored(kind, COMPRESS[kind](content)))
    assert (rows, failures) == (LINES, [])
    assert all(content[at:].startswith(row) for at, row in zip(offsets[1:], rows[1:], strict=True))


@KINDS
def test_members_are_one_content_wherever_they_are_cut(stored, kind):
    content = b"\n".join(LINES)
    compress = COMPRESS[kind]
    for cut in (0, 1, 5, 11, 12, len(content)):
        path = stored(kind, compress(content[:cut]) + compress(b"") + compress(content[cut:]))
        assert read(path)[::2] == (LINES, [])


@KINDS
@pytest.mark.parametrize("taken", [1, 3, 64])
def test_borders_between_compressed_blocks_do_not_show(stored, kind, taken, monkeypatch):
    monkeypatch.setattr(compression, "PRESSED_BYTES", taken)
    monkeypatch.setattr(compression, "BLOCK_BYTES", taken)
    twice = COMPRESS[kind](b"\n".join(LINES) + b"\n") * 2
    assert read(stored(kind, twice))[::2] == (LINES * 2, [])


@KINDS
def test_a_file_cut_anywhere_keeps_whole_rows_and_is_a_failure(stored, kind):
    first, second = (COMPRESS[kind](b"\n".join(part) + b"\n") for part in (LINES[:10], LINES[10:]))
    whole = first + second
    for left in range(len(whole)):
        path = stored(kind, whole[:left])
        rows, _, failures = read(path)
        assert rows == LINES[: len(rows)]
        assert len(rows) >= (10 if left >= len(first) else 0)
        if left == len(first):  # a file that is whole in itself
            assert (len(rows), failures) == (10, [])
            continue
        (failure,) = failures
        assert failure.code is Code.DATA_LOSS
        assert failure.message.startswith(f"{path}: cannot be read: ")


@KINDS
@pytest.mark.parametrize(
    "garbage",
    [b"{}\n", b"\x1f\x8b\x08\xff garbage", b"BZh9 garbage", b"\x28\xb5\x2f\xfd\xff?", b"\0"],
)
def test_garbage_instead_of_compressed_data_is_a_failure(stored, kind, garbage):
    rows, _, failures = read(stored(kind, garbage))
    assert rows == []
    assert [failure.code for failure in failures] == [Code.DATA_LOSS]


@KINDS
def test_garbage_behind_compressed_data_is_a_failure_and_keeps_the_rows(stored, kind):
    whole = COMPRESS[kind](b"\n".join(LINES) + b"\n")
    rows, _, failures = read(stored(kind, whole + b"garbage of some length"))
    assert rows == LINES
    assert len(failures) == 1


@pytest.mark.parametrize("kind", [".gz", ".bz2"])  # zstandard checks sums only if it has them
def test_a_flipped_bit_is_never_silent(stored, kind):
    whole = COMPRESS[kind](b"\n".join(LINES))
    for at in random.Random(7).sample(range(len(whole) - 20, len(whole)), 8):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        rows, _, failures = read(stored(kind, bytes(damaged)))
        assert failures or rows == LINES


WITH_SUMS = {**COMPRESS, ".zst": zstandard.ZstdCompressor(write_checksum=True).compress}


@pytest.mark.parametrize("kind", WITH_SUMS)
@pytest.mark.parametrize("before", [0, 1, 30_000])
def test_a_wrong_checksum_takes_no_row_of_the_frames_before_it(stored, kind, before):
    """Of the last frame, and of frames that fill more than a piece before it."""
    lines = [b'{"x": %d}' % random.Random(at).getrandbits(60) for at in range(before)]
    first = WITH_SUMS[kind](b"".join(line + b"\n" for line in lines))
    damaged = bytearray(WITH_SUMS[kind](b"\n".join(LINES) + b"\n"))
    damaged[-1 if kind == ".zst" else -6] ^= 1
    rows, _, (failure,) = read(stored(kind, first * bool(before) + bytes(damaged)))
    assert rows == lines
    assert ("that were read from this file may be wrong" if before else "or damaged: ") in (
        failure.message
    )


def test_a_fault_in_deflated_data_takes_what_is_behind_it_and_a_piece_before_it(stored):
    numbers = random.Random(5)
    lines = [b'{"x": %d}' % numbers.getrandbits(60) for _ in range(30_000)]
    whole = COMPRESS[".gz"](b"".join(line + b"\n" for line in lines))
    # A member that ends in the middle: what follows is a block of a type that is not there.
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    cut = packer.compress(b"".join(line + b"\n" for line in lines))
    cut += packer.flush(zlib.Z_SYNC_FLUSH)
    rows, _, (failure,) = read(stored(".gz", whole + cut + b"\xff" * 100))
    lines_of_a_piece = len(lines) * compression.PRESSED_BYTES // len(cut)
    assert 2 * len(lines) - 2 * lines_of_a_piece < len(rows) < 2 * len(lines)
    assert rows[:-1] == (lines + lines)[: len(rows) - 1]
    assert "invalid block type" in failure.message


@KINDS
def test_a_file_that_is_not_compressed_says_so(stored, kind):
    rows, _, (failure,) = read(stored(kind, b'{"x": 1}\n'))
    assert rows == []
    assert ": it is not compressed with " in failure.message


def test_zeros_behind_gzip_members_are_padding(stored):
    member = COMPRESS[".gz"](b"1\n")
    path = stored(".gz", member + bytes(5) + member + bytes(10_000))
    assert read(path)[::2] == ([b"1", b"1"], [])


@KINDS
def test_an_empty_file_is_a_failure_and_a_compressed_nothing_is_none(stored, kind):
    rows, _, failures = read(stored(kind, b""))
    assert (rows, len(failures)) == ([], 1)
    assert read(stored(kind, COMPRESS[kind](b""))) == ([], [], [])


@KINDS
def test_equal_rows_come_out_in_blocks_of_bounded_size(stored, kind):
    content = b'{"x": 1}\n' * 1_000_000
    path = stored(kind, COMPRESS[kind](content))
    assert path.stat().st_size < len(content) / 200
    with open_file(str(path)) as file:
        sizes = [len(block) for block in compression.blocks(file, str(path))]
    assert sum(sizes) == len(content)
    assert max(sizes) <= compression.BLOCK_BYTES


BOMBS = {".gz": (2**25, 2**23), ".bz2": (2**25, 2**23), ".zst": (2**27, 80 * 2**20)}
"""How many bytes they are, and how much memory may be used."""


def bomb(kind, size):
    """Bytes that are all the same, compressed: far less than a thousandth of them."""
    piece = bytes(2**20)
    if kind == ".gz":
        packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    else:
        packer = bz2.BZ2Compressor() if kind == ".bz2" else zstandard.ZstdCompressor().compressobj()
    pieces = [packer.compress(piece) for _ in range(size // len(piece))]
    return b"".join([*pieces, packer.flush()])


def peak_of_reading(content, kind):
    """Bytes of the largest block, of all, and of the memory that reading took at its most."""
    found = taken = 0
    fault = None
    tracemalloc.start()
    try:
        for block in compression.blocks(io.BytesIO(content), f"a{kind}"):
            found += len(block)
            taken = max(taken, len(block))
    except OSError as error:
        fault = error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return taken, found, peak, fault


@KINDS
def test_a_bomb_is_read_in_little_memory(kind):
    """A few KB that are many MiB: without bounds, all of them would be in memory at once."""
    size, most = BOMBS[kind]
    content = bomb(kind, size)
    taken, found, peak, fault = peak_of_reading(content, kind)
    assert (taken, found, fault) == (compression.BLOCK_BYTES, size, None)
    assert peak < most


def test_a_bomb_of_one_line_is_a_row_that_failed(stored):
    path = stored(".bz2", bomb(".bz2", 2**25) + COMPRESS[".bz2"](b"\n7\n"))
    [chunk] = plan(JsonLines(str(path), max_instance_bytes=1000), match)
    [batch] = read_chunk(chunk, open_file, 1)
    assert [getattr(row, "code", row) for row in batch.rows] == [Code.OUT_OF_RANGE, b"7"]


@pytest.mark.parametrize(("log", "works"), [(27, True), (28, False), (31, False)])
def test_a_window_of_more_than_128_mebibytes_is_a_failure_that_says_so(stored, log, works):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=log)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    _, _, failures = read(stored(".zst", packer.compress(b"1\n" * 100) + packer.flush()))
    assert [("--long" in failure.message) for failure in failures] == [True] * (not works)


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPRESS)
def test_a_bomb_of_gigabytes_is_one_failed_row_in_the_memory_of_one_line(kind, tmp_path):
    """In a process of its own, whose memory the system counts."""
    path = tmp_path / f"bomb{kind}"
    path.write_bytes(bomb(kind, 2 * 2**30))
    program = (
        "import resource, sys\n"
        "from beam_batch_predict.batch import Span\n"
        "from beam_batch_predict.files import open_file\n"
        "from beam_batch_predict.sources.lines import read_lines\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = [row for part in read_lines(Span(sys.argv[1]), open_file) for row in part.rows]\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(rows), rows[0].code.name, (after - before) // 1024)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, code, megabytes = ended.stdout.split()
    assert (rows, code) == ("1", "OUT_OF_RANGE")
    assert int(megabytes) < 450
