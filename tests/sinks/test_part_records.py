"""Records of parts: what is read is what was written, and which parts make up a chunk."""

import itertools

import pyarrow as pa
import pytest
from helpers.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.errors import LostRowsError
from beam_batch_predict.sinks.columns.layout import FIELD, KEY, Column
from beam_batch_predict.sinks.columns.value_types import BINARY, NULL, SMALL_INT, STRING
from beam_batch_predict.sinks.error_summary.groups import ErrorGroup
from beam_batch_predict.sinks.formats.feature_types import FeatureKind
from beam_batch_predict.sinks.parts.accounting import check_parts, complete_chunks
from beam_batch_predict.sinks.parts.metadata import (
    read_parts,
    remove_part_metadata,
    write_part_metadata,
)
from beam_batch_predict.sinks.parts.part import NO_FILE, Part, PartFile
from beam_batch_predict.sinks.parts.sections import Section
from beam_batch_predict.status import Code, Status

TYPES = [
    None,
    *(NULL, SMALL_INT, STRING, BINARY, pa.timestamp("us", "UTC"), pa.decimal128(38, 9)),
    pa.list_(pa.struct({"a": SMALL_INT, "b\n": pa.list_(STRING)})),
    FeatureKind(ints=True, texts=True),
]  # fmt: skip


def part_of(chunk=0, first_row=0, rows=1, last=True, chunks=1, **how):
    files = {"predictions": NO_FILE, "errors": NO_FILE, "failed": 0, "source_failures": ()}
    return Part(chunk, chunks, first_row, rows, last, seconds=0.5, **{**files, **how})


@pytest.mark.parametrize("lineage", [(), (2, 17)])
@pytest.mark.parametrize("of", TYPES, ids=str)
def test_a_part_is_read_as_it_was_written(of, lineage, tmp_path):
    columns = Column(KEY, "key"), Column(FIELD, 'mäß "\n\udcff', of)
    part = part_of(
        predictions=PartFile(f"{tmp_path}/chunk-000000-rows-0-1.predictions", 7, "ab"),
        source_failures=(Status(Code.NOT_FOUND, "gone: a\udcff"),),
        prediction_sections=(Section(columns, 7), Section((), 0)),
        error_groups=(ErrorGroup(Code.INTERNAL, "cause", 3, "a, byte 5", "cause 7"),),
        locations=("a, byte 0", "a, byte 7"),
        lineage=lineage,
    )
    write_part_metadata(part, str(tmp_path))
    assert read_parts(str(tmp_path)) == [part]
    assert read_parts(str(tmp_path), without=[0]) == []
    remove_part_metadata(part, str(tmp_path))
    assert read_parts(str(tmp_path)) == []


def test_rows_outside_a_plan_have_no_record(tmp_path):
    write_part_metadata(part_of(chunk=-1), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@st.composite
def fragments(draw):
    """How attempts have cut a chunk of some rows: pieces, of which some sets are whole."""
    rows = draw(st.integers(0, 6))
    pieces = set()
    for _ in range(draw(st.integers(1, 3))):
        cuts = sorted({0, rows, *draw(st.lists(st.integers(0, rows), max_size=3))})
        for start, stop in itertools.pairwise(cuts):
            pieces.add((start, stop, stop == rows and draw(st.booleans())))
        if draw(st.booleans()) or not rows:
            pieces.add((rows, rows, True))
    kept = [piece for piece in sorted(pieces) if draw(st.integers(0, 4))]
    return rows, draw(st.permutations(kept))


def is_whole(rows, pieces):
    """Whether some of the pieces follow each other to the end, by trying all ways."""
    ends = {start for start, stop, last in pieces if last and stop == rows}
    reached, waiting = set(), [0]
    while waiting:
        row = waiting.pop()
        if row in ends:
            return True
        more = {stop for start, stop, _ in pieces if start == row} - reached
        reached |= more
        waiting += more
    return False


@settings(max_examples=examples(300))
@given(fragments())
def test_a_chunk_is_whole_if_any_of_its_parts_follow_each_other_to_its_end(case):
    rows, pieces = case
    parts = [part_of(0, start, stop - start, last) for start, stop, last in pieces]
    if not is_whole(rows, pieces):
        assert complete_chunks(parts) == set()
        if parts:
            with pytest.raises(LostRowsError, match="chunk 0 is incomplete"):
                check_parts(parts, planned_input=True)
        return
    assert complete_chunks(parts) == {0}
    taken = check_parts(parts, planned_input=True)
    assert [part.first_row for part in taken] == [
        0, *itertools.accumulate(part.rows for part in taken[:-1])
    ]  # fmt: skip
    assert sum(part.rows for part in taken) == rows
    assert [part.last for part in taken] == [False] * (len(taken) - 1) + [True]


def test_many_fragments_without_an_end_are_seen_to_be_so_at_once():
    parts = [part_of(0, start, rows, False) for start in range(200) for rows in (1, 2, 3)]
    assert complete_chunks(parts) == set()
