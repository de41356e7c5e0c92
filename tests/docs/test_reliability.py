"""The chapter of docs/reliability.md on what is never done silently names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
CHAPTER = PAGE.split("\n## What is never done silently\n")[1].split("\n## ")[0]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", CHAPTER)


def rows_of(chapter):
    """The cells of the rows of all tables, without their headings."""
    lines = [line for line in chapter.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[-1] != "tests"]


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_each_named_test_exists(path):
    tree = ast.parse((ROOT / path).read_text())
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {name for file, name in NAMED if file == path} <= found


def test_each_line_has_a_result_and_its_tests():
    rows = rows_of(CHAPTER)
    assert len(rows) > 50
    for row in rows:
        what, instead, tests = row
        assert all((what, instead)), row
        assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`(, `tests/[\w/]+\.py::test_\w+`)*", tests)


def test_each_part_of_a_job_has_a_table():
    titles = re.findall(r"^### (.+)$", CHAPTER, re.MULTILINE)
    assert titles == ["Rows", "Keys", "Columns", "Files", "Outputs", "Options and job fields"]


def test_no_line_comes_twice():
    whats = [what for what, _, _ in rows_of(CHAPTER)]
    assert len(whats) == len(set(whats))
