"""The tables of the docs are what their generator makes of the code."""

import importlib.util
import pathlib

import pytest

from beam_batch_predict.jobs import SUPPORTED_INSTANCES_FORMATS, SUPPORTED_PREDICTIONS_FORMATS

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_tables", DOCS / "make_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables(generator):
    return generator.tables()


def test_the_committed_tables_are_what_the_code_gives(generator, tables):
    between = (DOCS / "instances.md").read_text().split(generator.BEGIN)[1].split(generator.END)[0]
    assert between.strip() == tables.strip(), "run: python docs/make_tables.py"


def test_the_committed_rooms_are_those_that_the_test_of_the_architecture_has(generator):
    text = (DOCS / "architecture.md").read_text()
    assert generator.page(text, generator.ROOMS_BEGIN) == text, "run: python docs/make_tables.py"
    assert "| `jobs/` | The job resources of the services" in text


def test_every_format_has_its_cells(tables):
    for name in (*SUPPORTED_INSTANCES_FORMATS, *SUPPORTED_PREDICTIONS_FORMATS):
        assert f"`{name}`" in tables
    lines = [line.split("|")[1:-1] for line in tables.splitlines() if line.startswith("|")]
    assert all(cell.strip() for line in lines for cell in line)


def test_a_page_keeps_the_text_around_its_tables(generator, tables):
    made = generator.page(f"# A\n\n{generator.BEGIN}\nold\n{generator.END}\n\n# B\n")
    assert made == f"# A\n\n{generator.BEGIN}\n\n{tables}\n{generator.END}\n\n# B\n"
    assert generator.page(made) == made


@pytest.mark.parametrize("text", ["", "# A\n", "<!-- end -->"])
def test_a_page_without_markers_is_refused(generator, text):
    with pytest.raises(ValueError, match="instances table: begin"):
        generator.page(text)
