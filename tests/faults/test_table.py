"""The table of faults in docs/reliability.md names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
DOCUMENT = TESTS.parent / "docs" / "reliability.md"


def test_every_test_that_the_table_names_is_there():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    cells = [row.rpartition("| ")[2].rstrip(" |") for row in rows]
    named = [re.match(r"(test_\w+\.py)(?:::(test_\w+))?", cell) for cell in cells]
    found = [match for match in named if match]
    assert len(found) > 30
    for match in found:
        (path,) = TESTS.rglob(match[1])
        assert match[2] is None or f"def {match[2]}(" in path.read_text(), match[0]
