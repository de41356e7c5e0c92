"""What CONTRIBUTING.md and docs/architecture.md name is there."""

import pathlib
import re

import pytest

import beam_batch_predict

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / beam_batch_predict.__name__
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [CONTRIBUTING, ROOT / "docs" / "architecture.md"]

PATH = re.compile(r"`((?:\.?[\w*-]+/)+(?:[\w*-]+\.\w+)?|[\w*-]+\.(?:py|md|toml|lock))`")
"""A file or folder in backticks, of the repository, the package or the tests."""

OF_A_RECIPE = re.compile(r"(^|/|_)x([_./])")
"""`x` is the name that the reader chooses; `models/x/` and `test_x.py` are not there."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_the_pages_name_are_there(page):
    named = {name for name in PATH.findall(page.read_text()) if not OF_A_RECIPE.search(name)}
    assert len(named) > 15
    assert {name for name in named if not is_there(name)} == set()


def is_there(name):
    """Whether there is a file of this path; a name alone is looked for in every folder."""
    pattern = name if "/" in name else f"**/{name}"
    folders = (PACKAGE, ROOT / "tests") if "/" not in name else (ROOT, PACKAGE, ROOT / "tests")
    return (ROOT / name).exists() or any(
        list(folder.glob(pattern.rstrip("/"))) for folder in folders
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_and_constants_that_the_pages_name_are_there(page):
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "Makefile"]
    code = "\n".join(path.read_text() for path in files)
    named = set(re.findall(r"`(_?[A-Z]+(?:_[A-Z]+)+|READERS|ROOMS|INSIDE)\b", page.read_text()))
    assert named
    assert {name for name in named if not re.search(rf"^ *{name}\b", code, re.MULTILINE)} == set()


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", CONTRIBUTING.read_text(), re.MULTILINE))
    tests = {"test", *re.findall(r"^(test-[a-z-]+):", makefile, re.MULTILINE)}
    assert tests <= named
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_the_package_has_one_version():
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{beam_batch_predict.__version__}"\n' in project
