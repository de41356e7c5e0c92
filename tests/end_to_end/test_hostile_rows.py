"""Hostile rows in whole runs: each fails alone, and the rows around it come out the same."""

import json

import pytest

import beam_batch_predict as bbp

LINES = [
    *(b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"1e400", b'"\\ud800"', b'{"x": "\\udfff"}'),
    *(b"\xff\xfe", b'{"x": 1', b"\0", b'{"x": "\0"}', b'"' + b"\\" * 9999, b"x" * 60_000),
    *(b'{"x": "' + b"a" * 100_000 + b'"}', b"{}", b"null", b"true", b'{"": 1}'),
    *(b'{"x": {"b64": "!!"}}', b'{"x": [1, [2]]}', b"1 2", b"'1'", b'{"x": 1}}', b"\xef\xbb\xbf1"),
    *(b'{"x": 1e999}', b'{"x": null}', b'{"x": [[[[[]]]]]}', b'{"x": "NaN "}', b"-", b"+1", b"01"),
]

CELLS = [
    *(b"9" * 5000, b"1e400", b'"', b'"a', b'a"b', b'"" ""', b"\xff", b"\0", b"=1+1", b"1\r2", b","),
    *(b"x" * 100_000, b'"' + b"y" * 100_000 + b'"', b'""' * 30_001 + b'"', b"," * 50_000, b"[1]"),
    *(b"9" * 400, b"1" * 300_000 + b"x", b"-", b"0x10", b"1_000", b"\xe2\x80\xa8", b"\xd9\xa3"),
]
"""None of them is a number."""


def outcome(source, run_transforms, model):
    directory = run_transforms(source, "jsonl", model)
    predictions, errors = [], []
    for path in sorted(directory.glob("predictions_*")):
        predictions += map(json.loads, path.read_bytes().splitlines())
    for path in sorted(directory.glob("errors_*")):
        errors += map(json.loads, path.read_bytes().splitlines())
    return predictions, errors


@pytest.mark.parametrize("chunk_bytes", [50_000, 10**8])
def test_hostile_lines_fail_one_by_one(tmp_path, run_transforms, tiny_model, chunk_bytes):
    good = [b'{"x": %d}' % number for number in range(len(LINES))]
    mixed = [line for pair in zip(good, LINES, strict=True) for line in pair]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(mixed))
    source = bbp.JsonLines(str(tmp_path / "in.jsonl"), chunk_bytes, max_instance_bytes=150_000)
    predictions, errors = outcome(source, run_transforms, tiny_model)
    assert [row["prediction"] for row in predictions] == [2.0 * at for at in range(len(LINES))]
    assert len(errors) == len(LINES)
    places = [error["error"]["message"].rpartition("byte ")[2] for error in errors]
    assert len(set(places)) == len(LINES)
    assert sum("longer than" in error["error"]["message"] for error in errors) == 1
    assert max(len(error["error"]["message"]) for error in errors) < 2000


@pytest.mark.parametrize("multiline", [False, True])
def test_hostile_cells_fail_row_by_row(tmp_path, run_transforms, tiny_model, multiline):
    cells = [cell for cell in CELLS if not multiline or cell.count(b'"') % 2 == 0]
    good = [b"%d" % number for number in range(len(cells))]
    mixed = [line for pair in zip(good, cells, strict=True) for line in pair]
    (tmp_path / "in.csv").write_bytes(b"x\n" + b"\n".join(mixed))
    source = bbp.Csv(str(tmp_path / "in.csv"), multiline=multiline, max_instance_bytes=350_000)
    predictions, errors = outcome(source, run_transforms, tiny_model)
    assert [row["prediction"] for row in predictions] == [2.0 * at for at in range(len(cells))]
    assert len(errors) == len(cells)
    assert max(len(error["error"]["message"]) for error in errors) < 2000
