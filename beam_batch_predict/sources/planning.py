"""The chunk plan: the files of the input, and the chunks in which they are read.

The same inputs and options give the same chunks with the same numbers, whenever and on any
machine. The order of rows, retries and the names of outputs depend on that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import Any, BinaryIO, NamedTuple

from beam_batch_predict.batch import Chunk, Span
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File, open_file
from beam_batch_predict.messages import quoted
from beam_batch_predict.sources.avro.files import read_avro_columns
from beam_batch_predict.sources.bigquery import Select, TableSession, open_session, session_chunks
from beam_batch_predict.sources.compression import is_compressed
from beam_batch_predict.sources.csv_files import read_columns
from beam_batch_predict.sources.file_checks import special_file_problem
from beam_batch_predict.sources.parquet.files import read_parquet_columns
from beam_batch_predict.spec.chunk_sizes import default_chunk_bytes
from beam_batch_predict.spec.sources import (
    Avro,
    BigQuery,
    Csv,
    FileSource,
    Parquet,
    SequentialSource,
    Source,
)

__all__ = [
    "Listing",
    "chunk_bytes_of",
    "chunks_of_listing",
    "list_files",
    "list_source",
    "list_source_files",
    "make_chunks",
    "plan",
]

FILES_PER_CHUNK = 256
"""The most files in one chunk: opening small files must not be most of the work."""

MOST_CHUNKS = 200_000
"""About the most chunks of a plan: it is in memory, so larger inputs have larger chunks."""

LISTED_AT_ONCE = 8
"""Patterns that are listed at the same time."""

MOST_JOINED = 20
"""The most pairs of patterns that are examined for a comma in a name."""

_PARQUET_METADATA = ("_metadata", "_common_metadata")
"""Files that describe other files; they have no rows.

Source: https://arrow.apache.org/docs/python/parquet.html#writing-metadata-and-common-metadata-files
"""


class Listing(NamedTuple):
    """The content of a source when it was listed; the chunk plan is made from it.

    Attributes:
        files: the files, in input order.
        columns: the chunks' `columns`.
        session: the read session of a table, which has no files.
    """

    files: tuple[File, ...] = ()
    columns: tuple[str, ...] = ()
    session: TableSession | None = None

    def to_json(self) -> dict[str, Any]:
        """The columns and the session as a JSON object, without the files."""
        session = None if self.session is None else self.session.to_json()
        return {"columns": list(self.columns), "session": session}

    @staticmethod
    def from_json(value: Mapping[str, Any], files: Iterable[File]) -> Listing:
        """The listing of such an object and the files."""
        session = value["session"] and TableSession.from_json(value["session"])
        return Listing(tuple(files), tuple(value["columns"]), session)


def plan(
    source: Source,
    match: Callable[[str], list[File]],
    open_file: Callable[[str], BinaryIO] = open_file,
    select: Select = lambda columns: columns,
) -> list[Chunk]:
    """List a source and return its chunks, in input order.

    Args:
        source: the source to read.
        match: lists the files that a pattern matches.
        open_file: opens a URI for reading bytes.
        select: see `list_source`.

    Raises:
        SourceError: see `list_source`.
    """
    return chunks_of_listing(source, list_source(source, match, open_file, select))


def list_source(
    source: Source,
    match: Callable[[str], list[File]],
    open_file: Callable[[str], BinaryIO] = open_file,
    select: Select = lambda columns: columns,
) -> Listing:
    """List a source.

    Args:
        source: the source to read.
        match: lists the files that a pattern matches.
        open_file: opens a URI for reading bytes.
        select: makes the chunks' `columns` from the names of all columns; of a source that selects
            columns, these are the columns to read, in their order. It may raise.

    Raises:
        SourceError: a pattern matches nothing, or cannot be listed; the first file that is not
            empty lacks the header that the format needs; no file has a schema; or a table cannot be
            read.
    """
    if isinstance(source, BigQuery):
        return Listing(session=open_session(source, select))
    if not isinstance(source, FileSource):
        raise TypeError(f"expected a source, found {quoted(source)}")
    files = list_source_files(source, match)
    return Listing(tuple(files), select(_columns(source, files, open_file)))


def list_source_files(source: FileSource, match: Callable[[str], list[File]]) -> list[File]:
    """The files of a source, in input order.

    Raises:
        SourceError: a pattern matches nothing, or cannot be listed.
    """
    return list_files(source.uris, _match_data(match) if isinstance(source, Parquet) else match)


def chunk_bytes_of(source: FileSource, listing: Listing) -> int:
    """The bytes of a chunk: those that the source names, or by the size of its files."""
    total = sum(file.size for file in listing.files)
    return max(source.chunk_bytes or default_chunk_bytes(total), -(-total // MOST_CHUNKS))


def chunks_of_listing(source: Source, listing: Listing) -> list[Chunk]:
    """The chunks of a listing, in input order."""
    if isinstance(source, BigQuery) and listing.session is not None:
        return session_chunks(source, listing.session)
    if not isinstance(source, FileSource):
        raise TypeError(f"expected a source of files, found {quoted(source)}")
    what: dict[str, Any] = {"format": source.reader, "columns": listing.columns}
    readers = 1
    if isinstance(source, SequentialSource):
        readers = source.readers_per_file
        what["max_instance_bytes"] = source.max_instance_bytes
    if isinstance(source, Csv):
        what |= {"csv_header": source.header, "csv_delimiter": source.delimiter}
    size = chunk_bytes_of(source, listing)
    chunks = make_chunks(listing.files, size, source.splits_files, readers)
    return [chunk._replace(**what) for chunk in chunks]


def _match_data(match: Callable[[str], list[File]]) -> Callable[[str], list[File]]:
    """Leave out the files of Parquet datasets without data, unless the pattern is their name."""

    def matched(pattern: str) -> list[File]:
        named = os.path.basename(pattern)
        return [
            file
            for file in match(pattern)
            if (name := os.path.basename(file.uri)) not in _PARQUET_METADATA or name == named
        ]

    return matched


def _columns(
    source: FileSource, files: Sequence[File], open_file: Callable[[str], BinaryIO]
) -> tuple[str, ...]:
    """The names of the columns of the first file that has columns."""
    if isinstance(source, Csv):
        return read_columns(
            files,
            open_file,
            source.multiline,
            source.max_instance_bytes,
            source.header,
            source.delimiter,
        )
    if isinstance(source, Parquet):
        return read_parquet_columns(files, open_file)
    if isinstance(source, Avro):
        return read_avro_columns(files, open_file)
    return ()


def list_files(patterns: Sequence[str], match: Callable[[str], list[File]]) -> list[File]:
    """The files of several patterns, in the order of the patterns, each once.

    Raises:
        SourceError: patterns match nothing, cannot be listed, or match a pipe or a device; the
            message names each.
    """
    found: dict[str, File] = {}
    problems = []
    for pattern, matched in zip(patterns, _match_each(patterns, match), strict=True):
        if isinstance(matched, Exception):
            reason = getattr(matched, "strerror", None) or matched
            problems.append(f"{pattern}: cannot be listed: {reason}")
            continue
        if not matched:
            problems.append(f"{pattern}: matches no file")
        odd = ((file.uri, special_file_problem(file.uri)) for file in matched if not file.size)
        problems += islice((f"{uri}: {reason}" for uri, reason in odd if reason), 1)
        for file in matched:
            found.setdefault(_identity(file.uri), file)
    if problems:
        raise SourceError(
            "input not found: " + "; ".join(problems),
            _name_with_comma(patterns, match)
            or "check the URIs of the input; a directory needs a wildcard, as in dir/*",
        )
    return list(found.values())


def _name_with_comma(patterns: Sequence[str], match: Callable[[str], list[File]]) -> str:
    """What to do if two patterns are one name with a comma; otherwise empty."""
    joined = [f"{one},{other}" for one, other in pairwise(patterns[: MOST_JOINED + 1])]
    name = next(
        (
            name
            for name, found in zip(joined, _match_each(joined, match), strict=True)
            if isinstance(found, list) and found
        ),
        "",
    )
    if not name:
        return ""
    return (
        f"{name} is one name with a comma: begin the list with ^;^ and separate its entries with "
        f"semicolons, as in --input_uris='^;^{name}', or write ? in place of the comma"
    )


def _match_each(
    patterns: Sequence[str], match: Callable[[str], list[File]]
) -> Iterator[list[File] | Exception]:
    """The files that each pattern matches, or the error of listing it."""

    def matched(pattern: str) -> list[File] | Exception:
        try:
            return match(pattern)
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(LISTED_AT_ONCE, "listing") as pool:
        yield from pool.map(matched, patterns)


def _identity(uri: str) -> str:
    """A normalized name: `a/x`, `./a/x` and `a//x` are the same local file."""
    return uri if "://" in uri else os.path.abspath(uri)


def make_chunks(
    files: Iterable[File], chunk_bytes: int, splits_files: bool = True, readers_per_file: int = 1
) -> list[Chunk]:
    """Cut large files into ranges and put small files together.

    Empty files hold no rows and are in no chunk.

    Args:
        files: the files, in input order.
        chunk_bytes: the bytes of a chunk.
        splits_files: whether a reader can begin anywhere in a file that is not compressed.
        readers_per_file: the most ranges of a file in which a reader cannot begin anywhere.

    Example:
        >>> chunks = make_chunks([File("a", 10), File("b", 3)], 8)
        >>> [[(span.uri, span.start, span.stop) for span in chunk.spans] for chunk in chunks]
        [[('a', 0, 8)], [('a', 8, 10), ('b', 0, 3)]]
    """
    spans = _spans(files, chunk_bytes, splits_files, readers_per_file)
    groups = list(_group(spans, chunk_bytes))
    return [Chunk(number, len(groups), tuple(group)) for number, group in enumerate(groups)]


def _spans(
    files: Iterable[File], chunk_bytes: int, splits_files: bool, readers_per_file: int
) -> Iterator[tuple[Span, int]]:
    """Yield the pieces of files, each with its size in bytes."""
    for file in files:
        known = (file.size, file.modified) if file.modified else ()
        length = chunk_bytes
        if not file.size:
            continue
        if file.is_gzip:
            yield Span(file.uri, 0, None, file.size, file.modified, is_gzip=True), file.size
            continue
        if not splits_files or is_compressed(file.uri):
            readers = min(-(-file.size // chunk_bytes), readers_per_file)
            if readers == 1:
                yield Span(file.uri, 0, None, *known), file.size
                continue
            length = -(-file.size // readers)
        for start in range(0, file.size, length):
            stop = min(start + length, file.size)
            yield Span(file.uri, start, stop, *known), stop - start


def _group(spans: Iterable[tuple[Span, int]], chunk_bytes: int) -> Iterator[list[Span]]:
    """Yield groups of consecutive pieces that together fill a chunk."""
    group: list[Span] = []
    filled = 0
    for span, size in spans:
        if group and (filled + size > chunk_bytes or len(group) == FILES_PER_CHUNK):
            yield group
            group, filled = [], 0
        group.append(span)
        filled += size
    if group:
        yield group
