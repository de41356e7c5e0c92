"""Parquet files that are damaged: what is lost is told, and nothing else is lost."""

import gzip
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File
from beam_batch_predict.sources.parquet import files as parquet_files
from beam_batch_predict.sources.parquet.files import read_parquet_columns
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.status import Code, Status


def content_of(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(content, uri="in.parquet", columns=(), stop=None):
    """Rows, their numbers and the failures of a file."""
    chunk = Chunk(0, 1, (Span(uri, 0, stop),), "parquet", columns)
    batches = list(read_chunk(chunk, lambda _: io.BytesIO(content), 4))
    assert batches[-1].last
    return (
        [row for batch in batches for row in batch.rows],
        [offset for batch in batches for offset in batch.offsets],
        [failure for batch in batches for failure in batch.source_failures],
    )


def numbers(count):
    return pa.table({"n": pa.array(range(count), pa.int64())})


PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False}


@pytest.mark.parametrize(
    ("uri", "content", "reason"),
    [
        ("a", b"id,x\n1,2\n" * 9, "it is not a Parquet file"),
        ("a", b"x", "it is not a Parquet file: it is text: set instancesFormat to jsonl or csv"),
        ("a", b"Obj\x01\x04", "it is not a Parquet file: it is an Avro file: set instancesFormat"),
        ("a", b"\0" * 9, "it is not a Parquet file"),
        ("a", b"PAR1", "its footer cannot be read: Parquet file size is 4 bytes, smaller than"),
        ("a", content_of(numbers(9))[:-1], "it is cut short: its footer is missing"),
        ("a", content_of(numbers(9))[:50], "it is cut short: its footer is missing"),
        ("a", b"PAR1" + bytes(8) + b"PAR1", "its footer cannot be read: Couldn't deserialize"),
        ("a", b"PARE" + bytes(8) + b"PARE", "its footer is encrypted, and there is no key"),
        (
            "a.parquet.gz",
            gzip.compress(content_of(numbers(9))),
            "it is compressed as a whole: decompress it, Parquet compresses its pages itself",
        ),
    ],
)
def test_what_cannot_be_opened_says_why(uri, content, reason):
    rows, _, (failure,) = read(content, uri)
    assert rows == []
    assert failure.code is Code.DATA_LOSS
    assert failure.message.startswith(f"{uri}: cannot be read: {reason}")
    with pytest.raises(SourceError) as raised:
        read_parquet_columns([File(uri, len(content))], lambda _: io.BytesIO(content))
    assert raised.value.message.startswith(f"{uri}: cannot be read: {reason}")


def test_a_parquet_file_is_read_whatever_its_name():
    assert read(content_of(numbers(3)), "a.parquet.gz")[0] == [{"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(2, "No such file"), Code.NOT_FOUND),
        (PermissionError(13, "not yours"), Code.PERMISSION_DENIED),
        (ConnectionResetError(104, "reset"), Code.DATA_LOSS),
    ],
)
def test_what_the_file_system_says_is_passed_on(error, code):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise error

    chunk = Chunk(0, 1, (Span("in.parquet"),), "parquet")
    (batch,) = read_chunk(chunk, lambda _: Broken(content_of(numbers(3))), 4)
    expected = Status(code, f"in.parquet: cannot be read: {error.strerror}")
    assert batch.source_failures == (expected,)


def test_a_damaged_page_loses_its_row_group_only():
    content = content_of(numbers(50), row_group_size=10, write_page_checksum=True, **PLAIN)
    at = content.index((25).to_bytes(8, "little"))  # in row group 2
    damaged = content[:at] + b"\xff" + content[at + 1 :]
    rows, offsets, failures = read(damaged)
    kept = [*range(20), *range(30, 50)]
    assert ([row["n"] for row in rows], offsets) == (kept, kept)
    (failure,) = failures
    assert failure.code is Code.DATA_LOSS
    assert failure.message.startswith(
        "in.parquet, row group 2 (rows 20 to 29): cannot be read: could not verify page integrity"
    )


def test_rows_before_a_damaged_page_are_kept(monkeypatch):
    monkeypatch.setattr(parquet_files, "ROWS_AT_ONCE", 10)
    pages = {"write_batch_size": 10, "data_page_size": 1, "write_page_checksum": True}
    content = content_of(numbers(50), **pages, **PLAIN)
    at = content.index((25).to_bytes(8, "little"))
    damaged = content[:at] + b"\xff" + content[at + 1 :]
    rows, offsets, (failure,) = read(damaged)
    assert ([row["n"] for row in rows], offsets) == (list(range(20)), list(range(20)))
    assert failure.message.startswith("in.parquet, row group 0 (rows 20 to 49): cannot be read: ")


def with_row_count(content, of_file, count):
    """A file of 5000 rows whose footer says that it, or its row group, has another number."""
    number = b"\x16" + varint(2 * 5000)
    at = content.index(number) if of_file else content.rindex(number)
    changed = content[:at] + b"\x16" + varint(2 * count) + content[at + len(number) :]
    metadata = pq.ParquetFile(io.BytesIO(changed)).metadata
    assert (metadata.num_rows if of_file else metadata.row_group(0).num_rows) == count
    return changed


def varint(number):
    """Two bytes, as Thrift's compact protocol has them; the last bit is the sign."""
    return bytes([number & 0x7F | 0x80, number >> 7])


def test_row_groups_that_end_early_are_reported():
    content = with_row_count(content_of(numbers(5000), **PLAIN), of_file=False, count=6000)
    rows, _, (failure, *_) = read(content)
    assert len(rows) == 5000
    assert failure.message == (
        "in.parquet, row group 0 (rows 5000 to 5999): it has 5000 of the 6000 rows in the footer"
    )


def test_row_groups_with_more_rows_than_declared_are_reported():
    content = with_row_count(content_of(numbers(5000), **PLAIN), of_file=False, count=4000)
    rows, offsets, (failure,) = read(content)
    assert [row["n"] for row in rows] == offsets == list(range(4000))
    assert (
        failure.message == "in.parquet: the footer counts 1000 rows more than its row groups have"
    )


@pytest.mark.parametrize("stop", [None, 100])
def test_rows_that_are_in_no_row_group_are_reported(stop):
    content = with_row_count(content_of(numbers(5000), **PLAIN), of_file=True, count=5001)
    rows, _, (failure,) = read(content, stop=stop)
    assert len(rows) == 5000
    assert failure.message == "in.parquet: the footer counts 1 row more than its row groups have"


def test_fewer_rows_in_the_footer_than_in_row_groups_lose_none():
    content = with_row_count(content_of(numbers(5000), **PLAIN), of_file=True, count=4999)
    rows, _, failures = read(content)
    assert (len(rows), failures) == (5000, [])


def test_a_negative_number_of_rows_is_damage():
    content = content_of(numbers(5000), **PLAIN)
    number = b"\x16" + varint(2 * 5000)
    at = content.rindex(number)
    content = content[:at] + b"\x16" + varint(2 * 5000 - 1) + content[at + 3 :]
    rows, _, (failure,) = read(content)
    assert rows == []
    assert failure.message == (
        "in.parquet: cannot be read: its footer is damaged: row group 0 has -5000 rows"
    )


def test_rows_are_counted_where_no_column_is_read():
    content = with_row_count(content_of(numbers(5000), **PLAIN), of_file=False, count=8000)
    rows, _, (failure, *_) = read(content, columns=("gone",))
    assert rows == [{}] * 5000
    assert "it has 5000 of the 8000 rows" in failure.message


def test_a_codec_that_is_not_there_is_named():
    content = content_of(numbers(3), compression="snappy", use_dictionary=False)
    codec, lzo = b"\x15\x02\x16\x06", b"\x15\x06\x16\x06"  # before the number of values
    assert content.count(codec) == 1
    rows, _, (failure,) = read(content.replace(codec, lzo))
    assert rows == []
    assert failure.message.startswith("in.parquet, row group 0 (rows 0 to 2): cannot be read: ")
    assert "LZO" in failure.message


def text_of(values):
    """Strings of any bytes."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


def test_rows_with_invalid_text_are_errors_and_the_others_are_not():
    values = [b"ok", b"\xff", b"", b"\xc3"]
    nested = pa.StructArray.from_arrays([text_of([b"a", b"b", b"\xfe", b"d"])], ["q"])
    table = pa.table({"s": text_of(values), "t": nested, "d": text_of(values).dictionary_encode()})
    rows, offsets, failures = read(content_of(table.select(["s", "t"])))
    bad_s, bad_t = (Status(Code.INVALID_ARGUMENT, f'column "{c}": invalid UTF-8') for c in "st")
    assert rows == [{"s": "ok", "t": {"q": "a"}}, bad_s, bad_t, bad_s]
    assert (offsets, failures) == ([0, 1, 2, 3], [])
    rows, _, _ = read(content_of(table.select(["d"])))
    bad = Status(Code.INVALID_ARGUMENT, 'column "d": invalid UTF-8')
    assert rows == [{"d": "ok"}, bad, {"d": ""}, bad]


def test_invalid_text_in_a_column_that_is_not_read_is_no_error():
    table = pa.table({"s": text_of([b"\xff", b"a"]), "x": [1, 2]})
    assert read(content_of(table), columns=("x",))[0] == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize("columns", [(), ("x",)])
def test_names_that_are_not_utf8_are_a_fault_of_the_file(columns):
    nested = pa.table({"x": [[{"field_name": 1}]]})
    content = content_of(nested, store_schema=False).replace(b"field_name", b"field_\xffame")
    rows, _, (failure,) = read(content, columns=columns)
    assert rows == []
    assert failure.message.startswith(
        "in.parquet: cannot be read: its footer cannot be read: 'utf-8'"
    )


def test_encrypted_columns_say_so_and_the_others_are_read():
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Keys(encryption.KmsClient):
        def wrap_key(self, key, name):
            return key.hex()

        def unwrap_key(self, key, name):
            return bytes.fromhex(key)

    config = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["secret"]}, plaintext_footer=True
    )
    factory = encryption.CryptoFactory(lambda _: Keys())
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
    table = pa.table({"secret": [1, 2], "x": [3, 4]})
    content = content_of(table, encryption_properties=properties)
    rows, _, (failure,) = read(content, stop=len(content))
    assert rows == []
    assert failure.message.startswith(
        "in.parquet, row group 0 (rows 0 to 1): cannot be read: it is encrypted, and there is no"
    )
    assert read(content, columns=("x",))[0] == [{"x": 3}, {"x": 4}]


def test_garbage_anywhere_is_a_failure_or_values_and_never_more_rows():
    table = pa.table(
        {
            "s": [f"text {number % 7}" for number in range(40)],
            "l": [[number] * (number % 3) for number in range(40)],
            "x": [number / 3 for number in range(40)],
        }
    )
    content = content_of(table, row_group_size=13, write_page_checksum=True)
    chance = random.Random(3)
    told = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 1, 3])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        rows, offsets, failures = read(bytes(damaged), stop=len(content))
        assert len(rows) == len(offsets) == len(set(offsets))
        assert offsets == sorted(offsets)
        assert len(rows) == 40 or failures
        told += bool(failures)
    assert told > 200


def test_rows_that_are_sound_stay_columns():
    content = content_of(numbers(10))
    chunk = Chunk(0, 1, (Span("in.parquet"),), "parquet")
    (batch,) = read_chunk(chunk, lambda _: io.BytesIO(content), 4)
    assert isinstance(batch.rows, ArrowRows)
