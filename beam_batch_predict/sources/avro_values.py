"""Rows of Avro blocks, decoded by the file's schema, within bounds.

Source: https://avro.apache.org/docs/1.11.1/specification/.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import fastavro
import fastavro.read

# Its compiled reader knows no limit of recursion: deep data would end the process.
from fastavro._read_py import schemaless_reader as careful_reader

from beam_batch_predict.jsontext import quote
from beam_batch_predict.safe_text import generalized
from beam_batch_predict.sources.avro_json import JsonConverter, reason_of
from beam_batch_predict.sources.avro_schemas import (
    kind_of,
    least_size,
    most_without_bytes,
    plain_schema,
    refers_to_itself,
    refuse_negative_indexes,
    walk,
)
from beam_batch_predict.status import Code, Status

__all__ = ["RowDecoder", "Undecodable"]

MOST_EMPTY_ROWS = 1024 * 1024
"""Rows of a block that are taken where a row has no bytes: its size says nothing then."""

MOST_TOGETHER = 4 * 1024 * 1024
"""Values that a block may have, by its bytes, to be decoded as a whole: about 1 GiB at worst."""

MOST_VALUES = 8 * 1024 * 1024
"""Values that a row of a larger block may have: about 2 GiB at worst."""

GROUP = 256
"""Rows of a larger block that are read in one call."""

PIECE_BYTES = 1024 * 1024
"""Bytes or rows of a larger block that are decoded together, at least."""

MOST_WITHOUT_BYTES = 10_000
"""Values that may come for nothing: records of records of nulls have billions in a byte."""

MOST_TYPES = 250_000
"""Types in a schema; BigQuery allows 10,000 columns."""


class Undecodable(ValueError):
    """The data of a block are not its rows, or not all of them.

    Attributes:
        position: where the bytes begin that are no rows.
    """

    def __init__(self, reason: str, position: int = 0) -> None:
        super().__init__(reason)
        self.position = position


class _TooManyValues(Exception):  # noqa: N818 - it ends a row
    pass


class _Counted(io.BytesIO):
    """Bytes that can be read some times: with each time a value is made.

    Attributes:
        left: how often.
    """

    left = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise _TooManyValues
        return super().read(size)


class RowDecoder:
    """Decodes the blocks of a file.

    Args:
        schema: the schema of a row, as JSON has it.
        columns: the fields that `to_json` gives, in this order, as far as the record has
            them; empty for all.

    Attributes:
        names: the names of the fields; none where a row is no record.

    Raises:
        ValueError: the schema is wrong, or cannot be read safely.

    Example:
        >>> decoder = RowDecoder({"type": "map", "values": "float"})
        >>> list(decoder.decode(1, bytes.fromhex("020261cdcccc3d00")))
        [[{'a': 0.10000000149011612}]]
    """

    def __init__(self, schema: Any, columns: Sequence[str] = ()) -> None:
        self._source = schema
        self._named: dict[str, Any] = {}
        try:
            self._rows = _as_rows(plain_schema(schema), self._named)
            self._root = self._rows["fields"][0]["type"]["items"]
            nodes = list(islice(walk(self._root, self._named), MOST_TYPES + 1))
            self._least_size = least_size(self._root, self._named)
            self._recursive = refers_to_itself(self._root, self._named)
            refuse_negative_indexes(walk(self._rows, self._named))
            self._root = self._rows["fields"][0]["type"]["items"]
        except RecursionError as error:
            raise ValueError("the schema is nested too deep") from error
        except Exception as error:  # whatever a schema that nobody checked brings about
            raise ValueError(f"the schema is wrong: {reason_of(error)}") from error
        if len(nodes) > MOST_TYPES:
            raise ValueError(f"the schema has more than {MOST_TYPES} types")
        units = [self._root]  # what there can be any number of
        for node in nodes:
            if kind_of(node) in ("array", "map"):
                units.append(node["items" if kind_of(node) == "array" else "values"])
                if kind_of(node) == "array" and not least_size(units[-1], self._named):
                    raise ValueError(
                        "the schema has an array of items without bytes: no bound to its size"
                    )
        known: dict[str, int] = {}
        self._free = max(most_without_bytes(unit, self._named, known) for unit in units)
        if self._free > MOST_WITHOUT_BYTES:
            raise ValueError(
                f"the schema has a type of {self._free} values without bytes, more than the "
                f"{MOST_WITHOUT_BYTES} that are taken"
            )
        self._row = _with_type(self._rows, self._root)
        self._group = _with_type(self._rows, self._root, GROUP)
        self._bare: Any = None
        self._logical = any(isinstance(node, dict) and "logicalType" in node for node in nodes)
        record = kind_of(self._root) == "record"
        self._fields = {field["name"]: field for field in self._root["fields"]} if record else {}
        self.names = tuple(self._fields)
        self._converter = JsonConverter(self._root, self._named, columns)

    def decode(self, count: int, data: bytes) -> Iterator[list[Any]]:
        """The rows of a block, as `to_json` takes them, some at a time.

        A row with a value that Python has no object for, as a date of the year 12000, is
        a `Status`. The rows of a block that is not too large come together or not at all.

        Raises:
            Undecodable: the data are not so many rows; those before the fault in a large
                block have been yielded.
        """
        least = self._least_size
        if count > (len(data) // least if least else MOST_EMPTY_ROWS):
            raise Undecodable(f"its {len(data)} bytes cannot be {count} rows")
        if not count or not least:
            if data:  # behind rows without bytes it would be taken for the number of others
                reason = f"{count} rows" if count else "no row"
                raise Undecodable(f"its {len(data)} bytes cannot be {reason}")
            if not count:
                return
        if (count + len(data)) * (1 + self._free) > MOST_TOGETHER:
            yield from self._decode_pieces(count, data)
            return
        try:
            rows = self._decode_all(count, data)
        except RecursionError:  # of one row: those before it can be told
            yield from self._decode_pieces(count, data)
            return
        except Exception as error:  # whatever damaged bytes bring about
            if not self._logical:
                raise _undecodable(count, data, error) from error
            try:
                rows = self._decode_each(count, data)
            except Exception as error:
                raise _undecodable(count, data, error) from error
        yield rows

    def _decode_all(self, count: int, data: bytes) -> list[Any]:
        """The rows as an Avro array: count, items, and a zero behind the last."""
        stream = io.BytesIO(b"".join((_varint(count), data, b"\0")))
        rows: list[Any] = self._read(stream, self._rows)["rows"]
        if len(rows) != count or stream.read(1):
            raise EOFError
        return rows

    def _decode_each(self, count: int, data: bytes) -> list[Any]:
        """The rows one by one, so that one that cannot be told fails alone."""
        stream = io.BytesIO(data)
        rows = [self._decode_row(stream) for _ in range(count)]
        if stream.read(1):
            raise EOFError
        return rows

    def _decode_pieces(self, count: int, data: bytes) -> Iterator[list[Any]]:
        """The rows of a large block: a few of its bytes may be gigabytes of Python's objects."""
        stream = _Counted(data)
        rows: list[Any] = []
        taken = first = 0
        while taken < count:
            before = len(rows)
            try:
                self._decode_some(stream, min(count - taken, GROUP), rows)
            except Exception as error:
                taken += len(rows) - before
                if rows:
                    yield rows
                reason = self._why_unfinished(taken, count, len(data), error)
                raise Undecodable(reason, stream.tell()) from error
            taken += len(rows) - before
            if (len(rows) + stream.tell() - first) * (1 + self._free) >= PIECE_BYTES:
                yield rows
                rows, first = [], stream.tell()
        if rows:
            yield rows
        if stream.tell() < len(data):
            reason = f"its {len(data)} bytes are more than {count} rows"
            raise Undecodable(reason, stream.tell())

    def _decode_some(self, stream: _Counted, count: int, rows: list[Any]) -> None:
        """Add rows, and stand behind the last of them, whatever is raised."""
        start = stream.tell()
        stream.left = most = max(MOST_VALUES // (1 + self._free), 1)
        if count == GROUP:
            try:
                rows += self._read(stream, self._group).values()
                return
            except Exception:
                stream.seek(start)
        for _ in range(count):
            start, stream.left = stream.tell(), most
            try:
                rows.append(self._decode_row(stream))
            except Exception:
                stream.seek(start)
                raise

    def _why_unfinished(self, number: int, count: int, size: int, error: Exception) -> str:
        if isinstance(error, _TooManyValues):
            most = MOST_VALUES // (1 + self._free)
            return f"its record {number} has more than the {most} values that are taken"
        return _why_undecodable(count, size, error)

    def _decode_row(self, stream: io.BytesIO) -> Any:
        """The next row; a `Status` where only logical types are at fault, and it is passed."""
        start = stream.tell()
        try:
            return self._read(stream, self._row)[0]
        except _TooManyValues:
            raise
        except Exception as error:
            if not self._logical:
                raise
            stream.seek(start)
            where, reason = self._guilty_field(stream), reason_of(error)
        if self._bare is None:
            named: dict[str, Any] = {}
            rows = _as_rows(plain_schema(self._source, logical=False), named)
            refuse_negative_indexes(walk(rows, named))
            self._bare = _with_type(rows, rows["fields"][0]["type"]["items"])
        stream.seek(start)
        self._read(stream, self._bare)
        cause = f"{where}{generalized(reason)}"
        return Status(Code.INVALID_ARGUMENT, f"{where}{reason}", cause)

    def _guilty_field(self, stream: io.BytesIO) -> str:
        """The field of the next row that cannot be read; empty where a row is no record."""
        for name, field in self._fields.items():
            try:
                self._read(stream, _with_type(self._rows, field["type"]))
            except _TooManyValues:
                raise
            except Exception:
                return f"field {quote(name)}: "
        return ""

    def _read(self, stream: io.BytesIO, schema: Any) -> Any:
        read = careful_reader if self._recursive else fastavro.schemaless_reader
        return read(stream, schema, None, return_record_name=self._converter.told)

    def to_json(self, rows: list[Any]) -> list[Any]:
        """Rows as JSON has them; a `Status` stays, or stands for a row that has no JSON."""
        return self._converter.to_json(rows)


def _as_rows(schema: Any, named: dict[str, Any]) -> Any:
    """A schema of many rows; `named` gets the types that have names.

    It is a record of one field: what fastavro parses once, and not at each call, is a record.
    """
    rows = {"name": "rows", "type": {"type": "array", "items": schema}}
    record = {"type": "record", "name": "BeamBatchPredictRows", "fields": [rows]}
    return fastavro.parse_schema(record, named)


def _with_type(parsed: Any, kind: Any, count: int = 1) -> Any:
    """A parsed record with so many other fields; their type is of the same schema."""
    return {**parsed, "fields": [{"name": number, "type": kind} for number in range(count)]}


@functools.lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, "long", value)
    return stream.getvalue()


def _undecodable(count: int, data: bytes, error: Exception) -> Undecodable:
    return Undecodable(_why_undecodable(count, len(data), error))


def _why_undecodable(count: int, size: int, error: Exception) -> str:
    if isinstance(error, (EOFError, IndexError)):  # the latter within a number
        return f"its {size} bytes are not {count} rows"
    if isinstance(error, KeyError):
        return "a union has a branch, or an enum a symbol, that the schema has not"
    return f"it cannot be decoded: {reason_of(error)}"
