"""One job over every format of files, on every engine: the same bytes as on the local runner."""

import re

import pytest
from engines.jobs import FILES, FORMATS, ROWS, is_bad

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

FAILED = sum(map(is_bad, range(FILES * ROWS)))


@pytest.fixture(scope="session")
def there(engine, run_all):
    """What the engine makes of the jobs."""
    return run_all(*engine.flags)


EACH_OUTPUT = ("jsonl", "csv", "tf-record-gzip", "file-list", "JSON")
"""Formats of input whose jobs write one of each output."""


@pytest.fixture(scope="module")
def two_workers(run_all):
    """What two processes of the local runner make of some of the jobs."""
    return run_all("--direct_num_workers=2", formats=EACH_OUTPUT)


@pytest.mark.parametrize("form", FORMATS)
def test_the_local_runner_loses_no_row(form, local):
    _, results = local[form]
    assert results.manifest["rows"] == {
        "read": FILES * ROWS,
        "predicted": FILES * ROWS - FAILED,
        "failed": FAILED,
    }
    assert len(results.files) >= 2 * FILES


@pytest.mark.parametrize("form", EACH_OUTPUT)
def test_two_local_workers_publish_the_same_bytes(form, local, two_workers):
    assert two_workers[form][1] == local[form][1]


@pytest.mark.parametrize("form", FORMATS)
def test_an_engine_publishes_the_same_bytes(form, local, there):
    assert there[form][1] == local[form][1]


@pytest.mark.parametrize("form", FORMATS)
def test_an_engine_says_what_the_local_runner_says(form, local, there):
    note, *said = [line for line in said_by(there[form][0]) if not PROGRESS.fullmatch(line)]
    assert note.startswith(
        "note: workers on other machines must share the files of this machine at: "
    )
    assert said == [line for line in said_by(local[form][0]) if not PROGRESS.fullmatch(line)]


@pytest.mark.parametrize("form", FORMATS)
def test_progress_never_goes_back_nor_beyond_the_plan(form, there):
    found = [match for match in map(PROGRESS.fullmatch, said_by(there[form][0])) if match]
    done = [int(match["done"]) for match in found]
    assert done == sorted(done)
    assert all(int(match["done"]) <= int(match["all"]) for match in found)


PROGRESS = re.compile(r"(?P<done>\d+) of (?P<all>\d+) chunks done after \d+ s")


def said_by(done):
    """The lines for people, but for the directory of the results."""
    return [line for line in done.stderr.splitlines() if not line.startswith("/")]
