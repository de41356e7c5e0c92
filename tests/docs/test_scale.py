"""What docs/scale.md says of plans, and the program behind its figures."""

import re
from pathlib import Path

import pytest

from beam_batch_predict.files import File
from beam_batch_predict.sources.planning import Listing, chunks_of_listing
from beam_batch_predict.spec.sources import JsonLines
from benchmarks import scale

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def chunks(count, size):
    files = tuple(File(f"gs://bucket/{number:07d}.jsonl", size, 1.0) for number in range(count))
    return chunks_of_listing(JsonLines("gs://bucket/*"), Listing(files))


@pytest.mark.parametrize(
    ("row", "count", "size"),
    [
        ("1 file of 100 MB", 1, 10**8),
        ("1 file of 1 GB", 1, 10**9),
        ("1 file of 10 TB", 1, 10**13),
        ("100 TB", 1, 10**14),
    ],
)
def test_an_input_is_cut_as_the_page_says(row, count, size):
    (said,) = re.findall(rf"^\| {row} \| ([\d,]+)", PAGE.read_text(), re.MULTILINE)
    assert len(chunks(count, size)) == pytest.approx(int(said.replace(",", "")), rel=1e-4)


@pytest.mark.parametrize(("size", "together"), [(10_000, 256), (1_000_000, 67)])
def test_small_files_share_a_chunk_as_the_page_says(size, together):
    assert f"of {together} files each" in PAGE.read_text()
    assert {len(chunk.spans) for chunk in chunks(300 * together, size)} == {together}


def test_planning_and_publishing_can_be_measured(capsys):
    assert scale.main(["plan", "--files", "300", "--bytes", "1MB"]) == 0
    assert scale.main(["publish", "--parts", "3"]) == 0
    table = capsys.readouterr().out
    assert "| 5 chunks |" in table
    assert "| 3 files |" in table
    assert table.count("| the same |") == 2
    assert "OTHER" not in table
