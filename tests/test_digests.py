"""The program that compares what two commits leave: equal for the same, and it can fail."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import digests
from benchmarks.digesting import inputs, jobs, left

NAMES = ("jsonl to csv, none", "jsonl to parquet, key", "csv to jsonl, excluded")


def found_in(directory, names=NAMES):
    directory.mkdir()
    return digests.digests(directory, [job for job in jobs.all_jobs() if job.name in names])


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return found_in(tmp_path_factory.mktemp("digests") / "first")


def test_two_runs_leave_the_same(first, tmp_path):
    again = found_in(tmp_path / "another place")
    assert digests.differences(first, again) == []
    assert list(again) == list(NAMES)
    for done in again.values():
        assert done["exit"] == [0]
        assert all(done["manifest"]["rows"].values())
        assert {name.split("_")[0] for name in done["files"]} == {"predictions", "errors"}


def test_a_changed_row_differs_where_it_is_read(first, tmp_path, monkeypatch):
    bad = [line.replace(b"7}", b"8}") for line in inputs.BAD_LINES]
    monkeypatch.setitem(inputs.WRITERS, "jsonl", lambda directory: write(directory, bad))
    said = digests.differences(first, found_in(tmp_path / "changed"))
    assert {line.partition(": ")[0] for line in said} == set(NAMES[:2])
    assert all(": files / " in line for line in said)


def test_a_lost_row_differs_in_counts_and_files(first, tmp_path, monkeypatch):
    monkeypatch.setitem(
        inputs.WRITERS, "jsonl", lambda directory: write(directory, inputs.BAD_LINES[1:])
    )
    name = NAMES[0]
    said = digests.differences({name: first[name]}, found_in(tmp_path / "lost", [name]))
    told = [line for line in said if line.startswith(f"{name}: manifest / rows / failed: ")]
    assert len(told) == 1
    assert any(line.startswith(f"{name}: files / errors_") for line in said)


def write(directory, bad):
    inputs.write_lines(directory, bad)


def errors_file(directory, form, message, code=3):
    directory.mkdir(exist_ok=True)
    path = directory / f"errors_0001.{form}"
    error = {"code": code, "message": message}
    if form == "jsonl":
        path.write_text(json.dumps({"key": 'a"}}', "error": error}) + "\n")
    elif form == "csv":
        with path.open("w", newline="") as file:
            rows = [["key", "error"], ['a"}', json.dumps(error)]]
            csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    elif form == "parquet":
        pq.write_table(pa.table({"key": ["a"], "error": [error]}), path)
    else:
        row = {"key": "a", "error/code": code, "error/message": message}
        (directory.parent / "in").mkdir(exist_ok=True)
        path.write_bytes(inputs.framed([inputs.example(row)]))
    return left.text_of(path)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "tfrecord"])
def test_the_digest_of_an_error_has_its_code_and_location_but_not_its_message(
    form, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    plain = errors_file(tmp_path / "a", form, 'found "é\\" (a, b) (in/a.jsonl, byte 7)')
    assert errors_file(tmp_path / "b", form, "other words (in/a.jsonl, byte 7)") == plain
    assert errors_file(tmp_path / "c", form, "other words (in/a.jsonl, byte 8)") != plain
    assert errors_file(tmp_path / "d", form, "other words (in/a.jsonl, byte 7)", 5) != plain


def test_differences_are_printed_and_end_with_1(tmp_path, monkeypatch, capsys):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text('{"one": {"exit": [0]}, "two": {"job": {"keys": ["k", "l"]}}}')
    b.write_text('{"one": {"exit": [1]}, "two": {"job": {"keys": ["k", "m"]}}, "three": {}}')
    monkeypatch.setattr("sys.argv", ["digests", "--compare", str(a), str(a)])
    assert digests.main() == 0
    monkeypatch.setattr("sys.argv", ["digests", "--compare", str(a), str(b)])
    assert digests.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        "one: exit: [0] → [1]",
        "three: only in the second",
        "two: job / keys: - l",
        "two: job / keys: + m",
    ]
