"""Predictions as CSV, end to end on the local runner."""

import csv
import io
import json
from pathlib import Path

import apache_beam as beam
import pytest

import beam_batch_predict as bbp
from beam_batch_predict.spec import BatchPredictSpec

PENGUINS = Path(__file__).resolve().parents[2] / "examples" / "penguins"


@pytest.fixture
def run(run_transforms, tiny_model, tmp_path, published):
    """A function that predicts some rows, and gives the published files."""

    def run(source, text, *, chunk_bytes=10**6, **arguments):
        path = tmp_path / "in"
        path.write_text(text, newline="")
        return published(
            run_transforms(source(str(path), chunk_bytes), "csv", tiny_model, **arguments)
        )

    return run


def table(content, kind):
    """All rows of a kind; the header is the same in all files."""
    files = [
        list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))
        for name, text in sorted(content.items())
        if name.startswith(kind)
    ]
    assert all(file[0] == files[0][0] for file in files)
    return [files[0][0], *(row for file in files for row in file[1:])] if files else []


def errors_of(content):
    return [(*row[:-1], json.loads(row[-1])["code"]) for row in table(content, "errors")[1:]]


def test_objects_to_csv(run):
    text = '{"x": 1, "note": "a, b"}\n{"x": 2, "note": null}\n'
    content = run(bbp.JsonLines, text, excluded_fields=["note"])
    assert content == {"predictions_0001.csv": b'"x","note","prediction"\n1,"a, b",2.0\n2,,4.0\n'}


def test_numbers_to_csv(run):
    content = run(bbp.JsonLines, "1\noops\n2.5\n")
    assert content["predictions_0001.csv"] == b'"instance","prediction"\n1,2.0\n2.5,5.0\n'
    assert errors_of(content) == [("oops", 3)]


def test_csv_to_csv(run):
    content = run(bbp.Csv, 'x,y\n1,2\n0,oops\n2.5,3,4\n"a",\n.5,0\n', signature="total")
    assert content["predictions_0001.csv"] == b'"x","y","prediction"\n1,2,3.0\n".5",0,0.5\n'
    assert table(content, "errors")[0] == ["x", "y", "instance", "error"]
    assert errors_of(content) == [
        ("0", "oops", "", 3),
        ("", "", "2.5,3,4", 3),
        ("a", "", "", 3),
    ]


@pytest.mark.parametrize(
    ("source", "text", "signature"),
    [
        (bbp.Csv, 'id,x,y\n"a",1,1\n7,4,0\n"c","no number",1\n', "total"),
        (
            bbp.JsonLines,
            '{"id": "a", "x": 1}\n{"id": 7, "x": 2}\n{"id": "c", "x": "no"}\n',
            "serving_default",
        ),
    ],
)
def test_keys(source, text, signature, run):
    content = run(source, text, key_field="id", signature=signature)
    key = b'"7"' if source is bbp.Csv else b"7"  # the key of a CSV row is a text
    assert content["predictions_0001.csv"] == b'"key","prediction"\n"a",2.0\n%b,4.0\n' % key
    assert table(content, "errors")[0] == ["key", "error"]
    assert errors_of(content) == [("c", 3)]


def test_excluded_columns_follow(run):
    text = 'b,x,a,y\n"B",1,5,1\n"C",oops,6,1\n'
    content = run(bbp.Csv, text, excluded_fields=["a", "b"], signature="total")
    assert content["predictions_0001.csv"] == b'"x","y","a","b","prediction"\n1,1,5,"B",2.0\n'
    assert table(content, "errors")[0] == ["x", "y", "a", "b", "error"]
    assert errors_of(content) == [("oops", "1", "6", "C", 3)]


@pytest.mark.parametrize(
    ("source", "text", "header"),
    [
        (bbp.Csv, "x\n" + "oops\n" * 5, '"x"'),
        (bbp.JsonLines, "oops\n" * 5, '"instance"'),
    ],
)
def test_all_rows_failing(source, text, header, run):
    content = run(source, text, chunk_bytes=8)
    assert content["predictions_0001.csv"].decode() == f'{header},"prediction"\n'
    assert len(table(content, "errors")) == 6


@pytest.mark.parametrize(
    ("source", "text", "config", "header"),
    [
        (bbp.Csv, "x,y\n", {}, '"x","y"'),
        (bbp.Csv, "x,y\n", {"key_field": "y"}, '"key"'),
        (bbp.JsonLines, "\n", {}, '"instance"'),
        (bbp.JsonLines, "", {}, '"instance"'),
    ],
)
def test_no_rows(source, text, config, header, run):
    content = run(source, text, **config)
    assert content == {"predictions_0001.csv": f'{header},"prediction"\n'.encode()}


ROWS = ["oops" if n in (0, 1, 2, 9) else f'{{"x": {n}, "f{n % 3}": "{n}"}}' for n in range(20)]


def test_chunks_have_one_header_whatever_the_runner_does(run):
    text = "".join(f"{row}\n" for row in ROWS)
    config = {"included_fields": ["x"]}
    once = run(bbp.JsonLines, text, chunk_bytes=64, **config)
    again = run(bbp.JsonLines, text, chunk_bytes=64, steps=[beam.Reshuffle()], **config)
    assert again == once
    assert len([name for name in once if name.startswith("predictions")]) > 3
    assert table(once, "predictions")[1:] == [
        [str(n), f"{2.0 * n}"] for n in range(20) if ROWS[n] != "oops"
    ]
    assert table(once, "errors")[0] == ["x", "instance", "error"]
    assert errors_of(once) == [("", "oops", 3)] * 4


def test_rows_of_different_fields_have_one_header(pipeline, tmp_path, tiny_model, published):
    rows = [{"x": 1.0}, {"x": 2.0, "extra": "fails"}, {"x": 3.0}, {"other": 1}]
    write = bbp.WriteResults(bbp.GcsDestination(str(tmp_path)), "csv")
    with pipeline() as p:
        predicted = p | beam.Create(rows, reshuffle=False) | bbp.BatchInstances(1)
        _ = predicted | bbp.Predict(bbp.SavedModel(tiny_model)) | write
    content = published(write.directory)
    good, bad = table(content, "predictions"), table(content, "errors")
    assert len(good) + len(bad) == 4 + 2
    assert set(good[0]) <= {*bad[0], "prediction"}


def test_what_is_written_can_be_read(run):
    text = 'x,y,s\n1,0,"a, ""b"""\n2.5,0,\n3,0,"7"\n'
    config = {"signature": "total", "excluded_fields": ["s"]}
    first = run(bbp.Csv, text, **config)["predictions_0001.csv"]
    second = run(bbp.Csv, first.decode(), signature="total", included_fields=["x", "prediction"])
    assert second["predictions_0001.csv"] == (
        b'"x","prediction_","prediction"\n1,1.0,2.0\n2.5,2.5,5.0\n3,3.0,6.0\n'
    )
    third = run(bbp.Csv, first.decode(), key_field="s", signature="total")
    assert [row[0] for row in table(third, "errors")[1:]] == ['a, "b"', "", "7"]


def test_a_job_of_several_outputs(pipeline, tmp_path, published):
    def job(source, **config):
        model = bbp.SavedModel(str(PENGUINS / "model"))
        instances = bbp.InstanceConfig(**config)
        destination = bbp.GcsDestination(str(tmp_path))
        return bbp.BatchPredict(BatchPredictSpec(source, model, destination, instances, "csv"))

    source = bbp.JsonLines(str(PENGUINS / "data" / "*.jsonl"), chunk_bytes=8000)
    keyed, plain = job(source, key_field="id"), job(source, excluded_fields=["id"])
    with pipeline() as p:
        _ = p | "Keyed" >> keyed
        _ = p | "Plain" >> plain
    content = published(keyed.directory)
    good, bad = table(content, "predictions"), table(content, "errors")
    assert good[0][0] == "key"
    assert "prediction" not in good[0]
    assert len(good[0]) > 2
    assert bad[0] == ["key", "instance", "error"]  # one row is no UTF-8, and has no key
    assert (len(good) - 1, len(bad) - 1) == (333, 16)
    ids = [row[0] for row in good[1:]]
    assert ids == sorted(ids)
    other = table(published(plain.directory), "predictions")
    assert "id" in other[0]
    assert [row[other[0].index("id")] for row in other[1:]] == ids
    width = len(good[0]) - 1
    assert other[0][-width:] == good[0][-width:]
    assert [row[-width:] for row in other] == [row[-width:] for row in good]
