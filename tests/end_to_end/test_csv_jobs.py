"""Jobs on CSV files, end to end through the command line's main on the local runner."""

import csv
import json
import shutil
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_batch_predict import cli
from beam_batch_predict.spec import (
    BatchPredictSpec,
    Csv,
    GcsDestination,
    InstanceConfig,
    SavedModel,
)
from beam_batch_predict.spec.plain_way import PLAIN
from beam_batch_predict.transforms.batch_predict import BatchPredict

SHEET = (
    b'\xef\xbb\xbfsample id,"mass, g",width,taken on,price,share,note\r\n'
    b'A-1,"1,234.5",3,2024-05-01,$5,12%,"said ""hi"", left"\r\n'
    b'A-2,1234.5,3.5,01/05/2024,"1.000,50",0.12,\r\n'
    b"\r\n"
    b"A-3,,4,,,,\r\n"
    b"A-4,7,8,1 May,5 \xe2\x82\xac,-,caf\xc3\xa9\r\n"
    b'A-5,7,8,"1 May",5,-,caf\xe9\r\n'
    b"A-6,7,8,x,5,-,,\r\n"
    b",7,8,x,5,-,no key\r\n"
    b'A-8,7,8,x,5,-,6" pipe\r\n'
    b'A-9,1e2,NaN,x,5,-,"two\r\nlines"\r\n'
    b",,,,,,\r\n"
    b"007,1,2,x,5,-,last"
)


@pytest.fixture(scope="module")
def pair_model(tmp_path_factory):
    """A SavedModel of two numbers that are added, as an array and by name."""
    import tensorflow as tf

    class Pair(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def both(self, x):
            return {"sum": tf.reduce_sum(x, axis=1)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="width"),
                tf.TensorSpec([None], tf.string, name="name"),
            ]
        )
        def named(self, width, name):
            return {"y": width + tf.cast(tf.strings.length(name), tf.float32)}

    pair = Pair()
    path = str(tmp_path_factory.mktemp("pair") / "pair")
    tf.saved_model.save(pair, path, signatures={"serving_default": pair.both, "named": pair.named})
    return path


@pytest.fixture
def run_csv(tmp_path, pair_model):
    """A function that runs a job on files and gives its record and published lines."""

    def run(*contents, config=None, flags=(), exit_code=0, form="jsonl"):
        (tmp_path / "in").mkdir()
        for at, content in enumerate(contents):
            (tmp_path / "in" / f"{at}.csv").write_bytes(content)
        job = {
            "displayName": "sheet",
            "unmanagedContainerModel": {"artifactUri": pair_model},
            "inputConfig": {
                "instancesFormat": "csv",
                "gcsSource": {"uris": [str(tmp_path / "in" / "*.csv")]},
            },
            "outputConfig": {
                "predictionsFormat": form,
                "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
            },
        }
        if config:
            job["instanceConfig"] = config
        (tmp_path / "job.json").write_text(json.dumps(job))
        assert cli.main(["run", str(tmp_path / "job.json"), *flags]) == exit_code
        (directory,) = (tmp_path / "out").iterdir()
        record = json.loads((directory / "job.json").read_bytes())
        return record, lines(directory, "predictions"), lines(directory, "errors")

    return run


def lines(directory, kind):
    return [
        json.loads(line)
        for path in sorted(directory.glob(f"{kind}_*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def counts(record):
    stats = record["completionStats"]
    return int(stats["successfulCount"]), int(stats["failedCount"])


PAIR = {"keyField": "sample id", "includedFields": ["mass, g", "width"]}


@pytest.mark.parametrize("chunk_bytes", [1_000_000, 100])
def test_a_spreadsheet_with_a_key(run_csv, chunk_bytes):
    record, good, bad = run_csv(
        SHEET, config=PAIR, flags=[f"--chunk_bytes={chunk_bytes}", "--runner=DirectRunner"]
    )
    assert good == [
        {"key": "A-2", "prediction": 1238.0},
        {"key": "A-4", "prediction": 15.0},
        {"key": "007", "prediction": 3.0},
    ]
    assert counts(record) == (3, 9)
    errors = [error["error"]["message"] for error in bad]
    for message, words in zip(
        errors,
        (
            'expected float32, found "1,234.5" (a string)',
            "found null",
            "invalid UTF-8: byte 0xe9",
            "expected 7 cells",
            'key field "sample id": expected a string or a number, found null',
            "there is a quote inside the cell",
            "--csv_multiline=true",
            "--csv_multiline=true",
            'key field "sample id": expected a string or a number, found null',
        ),
        strict=True,
    ):
        assert words in message
    at = SHEET.index(b"A-5")
    assert f"0.csv, byte {at}" in errors[2]
    assert bad[0]["key"] == "A-1"
    assert bad[4]["instance"] == [None, 7, 8, "x", 5, "-", "no key"]


def test_a_spreadsheet_with_line_breaks_in_cells(run_csv):
    record, good, bad = run_csv(SHEET, config=PAIR, flags=["--csv_multiline=true"])
    assert counts(record) == (4, 7)
    assert good[2] == {"key": "A-9", "prediction": "NaN"}
    assert not any("csv_multiline" in error["error"]["message"] for error in bad)


def test_rows_without_a_key_show_themselves_and_their_excluded_fields(run_csv):
    _, good, bad = run_csv(
        b'id,a,"b"\n"k, 1",1.50,2\n,3,4\n', b"id,a,b\nx,5,6\n", config={"excludedFields": ["id"]}
    )
    assert good == [
        {"instance": [1.5, 2], "id": "k, 1", "prediction": 3.5},
        {"instance": [3, 4], "id": None, "prediction": 7.0},
        {"instance": [5, 6], "id": "x", "prediction": 11.0},
    ]
    assert bad == []


def test_several_inputs_are_filled_by_column(run_csv):
    _, good, bad = run_csv(
        b'id,name,width\n1,Bob,2\n,Eve,3\n2,007,1\n3,"7",1\n4,Eve,"7"\n',
        config={"keyField": "id"},
        flags=["--signature_name=named"],
    )
    assert good == [
        {"key": "1", "prediction": 5.0},
        {"key": "2", "prediction": 4.0},
        {"key": "3", "prediction": 2.0},
    ]
    assert bad[0]["instance"] == [None, "Eve", 3]
    assert bad[1]["key"] == "4"
    assert 'input "width": expected float32' in bad[1]["error"]["message"]


def test_objects_fill_several_inputs(run_csv):
    _, good, _ = run_csv(
        b"name,width\nBob,2\n",
        config={"instanceType": "object"},
        flags=["--signature_name=named"],
    )
    assert good == [{"instance": {"name": "Bob", "width": 2}, "prediction": 5.0}]


def test_later_files_are_read_by_the_names_in_their_headers(run_csv):
    record, good, bad = run_csv(
        b"height,weight\n170,60\n",
        b"Weight, Height\n61,171\nweight,height\n",
        b"height,weight,age\n172,62,30\n",
        b"173,63\n",
        flags=["--chunk_bytes=10"],
    )
    assert [line["instance"] for line in good] == [[170, 60], [171, 61], [173, 63]]
    (repeated,) = bad
    assert "repeats the names of the columns" in repeated["error"]["message"]
    assert "1.csv, byte 22" in repeated["error"]["message"]
    failure, _ = record["partialFailures"]
    assert "2.csv: the header differs from that of the first file" in failure["message"]
    assert counts(record) == (3, 1)


def test_files_without_a_header_lose_no_row(run_csv):
    _, good, bad = run_csv(b"1.5,2\n3,4\n", b"5,6\n", flags=["--csv_header=none"])
    assert [line["instance"] for line in good] == [[1.5, 2], [3, 4], [5, 6]]
    assert not bad


@pytest.mark.parametrize(("option", "mark"), [(";", b";"), ("tab", b"\t"), (r"\t", b"\t")])
def test_cells_with_another_delimiter(run_csv, option, mark):
    contents = b"id_a_b\n007_1.50_2\n1,5_3_4\n", b"b_id_a\n6_x_5\n"
    _, good, bad = run_csv(
        *(content.replace(b"_", mark) for content in contents),
        flags=[f"--csv_delimiter={option}"],
        config={"keyField": "id"},
    )
    keys = [("007", 3.5), ("1,5", 7.0), ("x", 11.0)]
    assert [(line["key"], line["prediction"]) for line in good] == keys
    assert not bad


def test_a_first_row_of_numbers_needs_a_choice(run_csv):
    record, _, _ = run_csv(b"1.5,2\n3,4\n", exit_code=1)
    message = record["error"]["message"]
    assert '0.csv: the first row is not a header: it looks like data: "1.5", "2"' in message
    assert "--csv_header=none" in message
    assert "--csv_header=first_row" in message


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_keys_are_the_texts_of_their_cells_in_every_format(run_csv, form):
    keys = ["007", "7", "12E5", "1200000.0", "1.10", "+33612345678", "0E0", "0E8", "-0", "1" * 30]
    content = "id,a,b\n" + "".join(f"{key},1,2\n" for key in keys)
    record, good, _ = run_csv(content.encode(), config={"keyField": "id"}, form=form)
    (path,) = Path(record["outputInfo"]["gcsOutputDirectory"]).glob("predictions_*")
    if form == "parquet":
        column = pyarrow.parquet.read_table(path)["key"]
        assert column.type == pyarrow.string()
        found = column.to_pylist()
    elif form == "csv":
        found = [row[0] for row in csv.reader(path.read_text().splitlines())][1:]
    else:
        found = [line["key"] for line in good]
    assert found == keys


@pytest.mark.parametrize(
    ("content", "rows"), [(b"a,b\r\n", []), (b"a,b\n1,2", [3.0]), (b"", []), (b"\n \n", [])]
)
def test_files_of_next_to_nothing(run_csv, content, rows):
    record, good, bad = run_csv(content, config={"includedFields": ["a", "b"]})
    assert record["state"] == "JOB_STATE_SUCCEEDED"
    assert [line["prediction"] for line in good] == rows
    assert (counts(record), bad) == ((len(rows), 0), [])


@pytest.mark.parametrize(
    ("content", "config", "words"),
    [
        (b"ID,a\n1,2\n", {"keyField": "id"}, ('keyField: "id" is not a column', '"ID", "a"')),
        (b"a;b\n1;2\n", {"includedFields": ["a"]}, ("not a header", '--csv_delimiter=";"')),
        (b"a,b,a\n1,2,3\n", None, ("not a header", "columns 1 and 3", "rename all but one")),
        (b"a,b\r1,2\r3,4\r", None, ("not a header", "carriage return", r"`tr '\r' '\n'`")),
    ],
)
def test_a_job_that_cannot_work_ends_before_it_begins(run_csv, content, config, words):
    record, good, bad = run_csv(content, config=config, exit_code=1)
    assert record["state"] == "JOB_STATE_FAILED"
    assert all(word in record["error"]["message"] for word in words)
    assert "startTime" not in record
    assert not good
    assert not bad


def test_a_pipeline_of_ones_own_fails_at_its_plan(tmp_path, pair_model):
    (tmp_path / "in.csv").write_bytes(b"a,b\n1,2\n")
    spec = BatchPredictSpec(
        Csv(str(tmp_path / "in.csv")),
        SavedModel(pair_model),
        GcsDestination(str(tmp_path / "out")),
        InstanceConfig(key_field="id"),
    )
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | BatchPredict(spec)
    with pytest.raises(Exception, match='keyField: "id" is not a column') as caught:
        pipeline.run().wait_until_finish()
    assert "Plan" in str(caught.value)


MEASURED = b"sample id,mass,width\n" + b"".join(
    b"A-%d,%d.50,%d%b\n" % (row, row, row % 7, b"e-05" if row == 40 else b"") for row in range(3000)
)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("fields", [{"keyField": "sample id"}, {"excludedFields": ["sample id"]}])
def test_jobs_that_read_lines_as_blocks_and_one_by_one_write_the_same_bytes(
    run_csv, tmp_path, monkeypatch, form, fields
):
    odd = MEASURED.replace(b"A-2000,2000.50", b"A-2000,+2000.50").replace(b"A-9,9.50", b"A-9,x")
    written = []
    for plain in ("0", "1"):
        monkeypatch.setenv(PLAIN, plain)
        flags = ["--runner=DirectRunner", "--chunk_bytes=20000"]
        run_csv(MEASURED, odd, config=fields, form=form, flags=flags)
        (directory,) = (tmp_path / "out").iterdir()
        written.append({path.name: path.read_bytes() for path in directory.glob("*_*")})
        shutil.rmtree(tmp_path / "in")
        shutil.rmtree(tmp_path / "out")
    assert written[0] == written[1]
    assert any(name.startswith("errors_") for name in written[0])
