"""Rows of Avro blocks as JSON values, decoded by the file's schema, within bounds.

Source: https://avro.apache.org/docs/1.11.1/specification/.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import fastavro

# The compiled reader has no limit of recursion: deep data would end the process.
from fastavro._read_py import schemaless_reader as careful_reader

from beam_batch_predict.messages import counted
from beam_batch_predict.sources.avro.json_values import (
    Budget,
    TooManyValues,
    fault_of,
    reason_of,
    shortened,
    shortened_lists,
)
from beam_batch_predict.sources.avro.schemas import (
    bare,
    bound_values,
    depth,
    has_bytes,
    is_array_of_floats,
    is_float,
    json_schema,
    kind_of,
    number_branches,
)
from beam_batch_predict.status import Status

__all__ = ["RowDecoder"]

MOST_EMPTY_ROWS = 1024 * 1024
"""The most rows of a block whose rows have no bytes, so that its size is no bound."""

MOST_UNCOUNTED = 4 * 1024 * 1024
"""The most bytes of a block whose values are not counted: about 1 GiB of objects at worst."""

MOST_VALUES = 8 * 1024 * 1024
"""The most values of a row if they are counted: about 2 GiB at worst."""

GROUP = 256
"""Rows that are read in one call."""

PIECE_BYTES = 1024 * 1024
"""Bytes or rows of a block that are yielded together, at least."""

DEEPEST = 100
"""The most levels of values for which fastavro's compiled reader is used."""


class Undecodable(ValueError):
    """The data of a block cannot be decoded to all of its rows."""


class _Counted(io.BytesIO):
    """A stream of bytes; each read counts against a budget, because it makes a value."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        super().__init__(data)
        self._take = budget.take

    def read(self, size: int | None = -1, /) -> bytes:
        self._take()
        return super().read(size)


class RowDecoder:
    """Decodes the blocks of a file.

    Args:
        schema: the schema of a row, as a JSON value.
        columns: the fields to decode, in this order, without those that the record lacks; empty for
            all.

    Attributes:
        names: the names of the fields; none if rows are not records.

    Raises:
        ValueError: the schema is wrong, or cannot be read safely.

    Example:
        >>> decoder = RowDecoder({"type": "map", "values": "float"})
        >>> list(decoder.decode(1, bytes.fromhex("020261cdcccc3d00")))
        [([{'a': 0.1}], 9)]
    """

    def __init__(self, schema: Any, columns: Sequence[str] = ()) -> None:
        self._faults: list[Status] = []
        self._budget = Budget()
        named: dict[str, Any] = {}
        try:
            root = self._parse(schema, named)
            bound_values(root, named, self._budget)
            is_deep = depth(root, named) > DEEPEST
        except RecursionError as error:
            raise ValueError("the schema is nested too deep") from error
        except Exception as error:  # fastavro raises many types for wrong schemas
            raise ValueError(f"the schema is wrong: {reason_of(error)}") from error
        self._read_data = careful_reader if is_deep else fastavro.schemaless_reader
        self._is_empty = not has_bytes(root, named, {})
        self._of_record = kind_of(root) == "record"
        self.names: tuple[str, ...] = ()
        self._wanted: list[str] = []
        self._floats: list[str] = []
        self._arrays: list[str] = []
        if self._of_record:
            root = self._select(root, columns)
        self._group = [{"name": number, "type": root} for number in range(GROUP)]

    def _parse(self, schema: Any, named: dict[str, Any]) -> Any:
        """The schema of a row; `named` gets the types that have names.

        The schema is inside a record, because fastavro parses other schemas again at each call.
        """
        row = {"name": "row", "type": json_schema(schema, self._faults)}
        record = {"type": "record", "name": "BeamBatchPredictRows", "fields": [row]}
        self._rows = fastavro.parse_schema(record, named)
        number_branches(self._rows)
        return self._rows["fields"][0]["type"]

    def _select(self, root: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
        """The schema of a row that converts only needed fields to JSON.

        It does not convert floats: converting a whole column later takes a fraction of the time.
        """
        kinds = {field["name"]: field["type"] for field in root["fields"]}
        self.names = tuple(kinds)
        self._wanted = [name for name in columns or self.names if name in kinds]
        self._floats = [name for name in self._wanted if is_float(kinds[name])]
        self._arrays = [name for name in self._wanted if is_array_of_floats(kinds[name])]
        plain = {*kinds} - {*self._wanted} | {*self._floats, *self._arrays}
        fields = [
            {**field, "type": bare(field["type"])} if field["name"] in plain else field
            for field in root["fields"]
        ]
        return {**root, "fields": fields}

    def decode(self, count: int, data: bytes) -> Iterator[tuple[list[Any], int]]:
        """The rows of a block, some at a time, and about how many bytes they have.

        A row with a value that JSON cannot represent, such as a date of the year 12000, is a
        `Status`. All rows of a block that is not large are yielded together, or none is.

        Raises:
            Undecodable: the data are not `count` rows; those before the fault in a large block
                may have been yielded.
        """
        wrong = Undecodable(
            f"its data ({counted(len(data), 'byte')}) are not {counted(count, 'row')}"
        )
        if not 0 <= count <= (MOST_EMPTY_ROWS if self._is_empty else len(data)):
            raise wrong
        is_large = len(data) > MOST_UNCOUNTED
        stream = _Counted(data, self._budget) if is_large else io.BytesIO(data)
        rows: list[Any] = []
        taken, size, together = 0, 0, GROUP
        while taken < count:
            start, together = stream.tell(), min(together, count - taken)
            try:
                found = self._read(stream, together)
            except TooManyValues as error:
                if together == 1:
                    most = f"more than the {MOST_VALUES} values that are allowed"
                    raise Undecodable(f"its record {taken} has {most}") from error
                stream.seek(start)
                together //= 2
                continue
            except (EOFError, LookupError) as error:  # an IndexError occurs also inside a number
                raise wrong from error
            except Exception as error:  # fastavro raises many types for damaged bytes
                raise Undecodable(f"it cannot be decoded: {reason_of(error)}") from error
            taken += together
            rows += found
            size += together + stream.tell() - start + MOST_VALUES - self._budget.left
            if size >= PIECE_BYTES:
                yield self._finished(rows), size
                rows, size = [], 0
        if stream.tell() < len(data):
            raise wrong
        if rows:
            yield self._finished(rows), size

    def _read(self, stream: io.BytesIO, count: int) -> list[Any]:
        """The next rows, as fields of a record."""
        self._budget.left = MOST_VALUES
        schema = {**self._rows, "fields": self._group[:count]}
        return [*self._read_data(stream, schema, None).values()]

    def _finished(self, rows: list[Any]) -> list[Any]:
        """The rows with their shortest floats, and with the requested fields only."""
        for shorten, names in ((shortened, self._floats), (shortened_lists, self._arrays)):
            for name in names:
                column = shorten([row[name] for row in rows])
                for row, value in zip(rows, column, strict=True):
                    row[name] = value
        if self._wanted != [*self.names]:
            rows = [{name: row[name] for name in self._wanted} for row in rows]
        if self._faults:
            self._faults.clear()
            rows = [fault_of(row, self._of_record) or row for row in rows]
        return rows
