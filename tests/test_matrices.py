"""The slice of a matrix that `make test` runs."""

import itertools

import pytest
from helpers.matrices import sliced

CELLS = [cell for cell in itertools.product("abcd", "xyz", (1, 2)) if cell != ("a", "x", 1)]


def kept(cells):
    return [cell.values for cell in cells if not cell.marks]


@pytest.mark.parametrize("together", [1, 2])
def test_values_that_meet_in_the_matrix_meet_in_the_slice(together):
    def groups(cells):
        return {
            group for cell in cells for group in itertools.combinations(enumerate(cell), together)
        }

    cells = sliced(CELLS, together)
    assert [cell.values for cell in cells] == CELLS
    assert groups(kept(cells)) == groups(CELLS)
    assert len(kept(cells)) < len(CELLS)


def test_cells_outside_the_slice_are_slow():
    marks = {mark.name for cell in sliced(CELLS, 1) for mark in cell.marks}
    assert marks == {"slow"}
