"""Matrices of tests: a slice that always runs, and the rest for `make test-slow`."""

import itertools

import pytest


def sliced(cells, together=2):
    """Return the cells of a matrix for `parametrize`; those outside the slice are slow.

    If a cell of the matrix contains some `together` values, a cell of the slice contains them too.

    Args:
        cells: tuples of values.
        together: 2 for all pairs of values, 1 for each value at least once.
    """
    cells = list(cells)
    wanted = set(itertools.chain.from_iterable(_groups(cell, together) for cell in cells))
    kept = set()
    while wanted:
        best = max(range(len(cells)), key=lambda at: len(wanted & _groups(cells[at], together)))
        kept.add(best)
        wanted -= _groups(cells[best], together)
    return [
        pytest.param(*cell, marks=() if at in kept else pytest.mark.slow)
        for at, cell in enumerate(cells)
    ]


def _groups(cell, together):
    return set(itertools.combinations(enumerate(cell), together))
