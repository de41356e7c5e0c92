"""The examples: their data, their model, their job file and the script that shows results."""

import csv
import doctest
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PENGUINS = EXAMPLES / "penguins"
NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
WORDS = ("island", "sex")

# What `penguins/README.md` promises, by file and line number.
BAD_ON_PURPOSE = {
    ("penguins-1.jsonl", 21): "not JSON",
    ("penguins-1.jsonl", 77): "bill_length_mm is text",
    ("penguins-1.jsonl", 133): "body_mass_g is missing",
    ("penguins-2.jsonl", 29): "wingspan_mm is not an input",
    ("penguins-2.jsonl", 130): "not UTF-8",
}
INCOMPLETE = {
    *(("penguins-1.jsonl", number) for number in (4, 9, 10, 11, 12, 49)),
    *(("penguins-2.jsonl", number) for number in (7, 48, 86, 98, 101)),
}


def load_script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_data = load_script(PENGUINS / "make_data.py")
show_results = load_script(EXAMPLES / "show_results.py")


def data_lines():
    """Each line of the data files by file name and line number."""
    return {
        (path.name, number): line
        for path in sorted((PENGUINS / "data").glob("*.jsonl"))
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
    }


def table_rows():
    with (PENGUINS / "penguins.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def problem_of(line):
    """Why the model cannot take a line; None where it can."""
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        return "not UTF-8"
    except ValueError:
        return "not JSON"
    row.pop("id")
    for name in (*NUMBERS, *WORDS):
        if name not in row:
            return f"{name} is missing"
        value = row.pop(name)
        if value is None:
            return "incomplete"
        if isinstance(value, str) != (name in WORDS):
            return f"{name} is text"
    return f"{next(iter(row))} is not an input" if row else None


class TestPenguinData:
    def test_all_penguins_are_there_once_and_in_order(self):
        on_purpose = BAD_ON_PURPOSE.keys()
        ids = [json.loads(v)["id"] for k, v in data_lines().items() if k not in on_purpose]

        assert ids == [f"penguin-{number:03}" for number in range(1, 345)]

    def test_lines_fail_where_and_why_the_readme_says(self):
        problems = {k: problem_of(v) for k, v in data_lines().items() if problem_of(v)}

        assert problems == {**BAD_ON_PURPOSE, **dict.fromkeys(INCOMPLETE, "incomplete")}
        assert len(data_lines()) - len(problems) == 333

    def test_the_script_says_what_is_wrong_with_its_bad_lines(self):
        problems = [line.problem for line in make_data.BAD_LINES]

        for problem, expected in zip(problems, BAD_ON_PURPOSE.values(), strict=True):
            assert problem.startswith(expected)

    def test_the_script_makes_the_same_bytes(self, tmp_path):
        made = make_data.make_data(PENGUINS / "penguins.csv", tmp_path)

        committed = sorted((PENGUINS / "data").iterdir())
        assert [path.name for path in made] == [path.name for path in committed]
        for path, expected in zip(made, committed, strict=True):
            assert path.read_bytes() == expected.read_bytes()


@pytest.fixture(scope="module")
def retrained(tmp_path_factory):
    """The directory of a model that `train.py` has just made."""
    pytest.importorskip("keras")
    out = tmp_path_factory.mktemp("train") / "model"
    command = [sys.executable, PENGUINS / "train.py", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "accuracy, held out: " in done.stdout
    return out


@pytest.fixture(scope="module", params=["committed", "retrained"])
def model_directory(request):
    if request.param == "committed":
        return PENGUINS / "model"
    return request.getfixturevalue("retrained")


@pytest.fixture(scope="module")
def signatures(model_directory):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tf = pytest.importorskip("tensorflow")
    model = tf.saved_model.load(str(model_directory))
    # The signatures do not keep the model alive, whose variables they read.
    yield model.signatures
    del model


def complete_rows():
    return [row for row in table_rows() if "NA" not in row.values()]


def model_inputs(rows):
    import tensorflow as tf

    numbers = {k: tf.constant([float(row[k]) for row in rows], tf.float32) for k in NUMBERS}
    words = {k: tf.constant([row[k] for row in rows], tf.string) for k in WORDS}
    return {**numbers, **words}


class TestPenguinModel:
    @pytest.mark.parametrize(
        ("name", "outputs"),
        [
            ("serving_default", {"species": "string", "probabilities": "float32"}),
            ("scores", {"scores": "float32"}),
        ],
    )
    def test_signatures_are_as_documented(self, signatures, name, outputs):
        inputs = signatures[name].structured_input_signature[1]

        assert {k: v.dtype.name for k, v in inputs.items()} == {
            **dict.fromkeys(NUMBERS, "float32"),
            **dict.fromkeys(WORDS, "string"),
        }
        assert all(spec.shape.as_list() == [None] for spec in inputs.values())
        found = {k: v.dtype.name for k, v in signatures[name].structured_outputs.items()}
        assert found == outputs

    def test_it_tells_the_species(self, signatures):
        rows = complete_rows()
        predicted = signatures["serving_default"](**model_inputs(rows))["species"].numpy()

        pairs = zip(rows, predicted, strict=True)
        right = sum(row["species"] == name.decode() for row, name in pairs)
        assert len(rows) == 333
        assert right / len(rows) > 0.95

    def test_both_signatures_agree(self, signatures):
        inputs = model_inputs(complete_rows()[:10])
        probabilities = signatures["serving_default"](**inputs)["probabilities"].numpy()
        scores = signatures["scores"](**inputs)["scores"].numpy()

        assert scores.shape == (10, 3)
        assert scores == pytest.approx(probabilities)
        assert scores.sum(axis=1) == pytest.approx([1.0] * 10, abs=1e-5)

    def test_words_that_it_never_saw_do_not_break_it(self, signatures):
        inputs = model_inputs([{**complete_rows()[0], "island": "Heard", "sex": "?"}])
        probabilities = signatures["serving_default"](**inputs)["probabilities"].numpy()

        assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)

    def test_it_is_small(self, model_directory):
        sizes = [path.stat().st_size for path in model_directory.rglob("*") if path.is_file()]

        assert sum(sizes) < 500_000


class TestPenguinJob:
    def test_googles_own_type_takes_it(self):
        aiplatform = pytest.importorskip("google.cloud.aiplatform_v1")
        job = aiplatform.BatchPredictionJob.from_json((PENGUINS / "job.json").read_text())

        assert job.display_name == "penguins"
        assert list(job.input_config.gcs_source.uris) == ["examples/penguins/data/*.jsonl"]
        assert job.instance_config.key_field == "id"
        assert job.manual_batch_tuning_parameters.batch_size == 64

    def test_its_paths_are_there(self):
        job = json.loads((PENGUINS / "job.json").read_text())
        root = EXAMPLES.parent
        (pattern,) = job["inputConfig"]["gcsSource"]["uris"]

        assert len(list(root.glob(pattern))) == 2
        assert (root / job["unmanagedContainerModel"]["artifactUri"] / "saved_model.pb").is_file()


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def finished_job(tmp_path, monkeypatch):
    """The job resource of a job that has run in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    directory = Path("out/prediction-penguins")
    directory.mkdir(parents=True)
    predictions = [{"key": f"p-{i}", "prediction": {"species": "Gentoo"}} for i in range(1, 5)]
    write_lines(directory / "predictions_0001.jsonl", predictions[:2])
    write_lines(directory / "predictions_0002.jsonl", predictions[2:])
    status = {"code": 3, "message": "sex: expected string, found null"}
    errors = [
        {"key": "p-5", "error": status},
        {"instance": "{\x00" + "long " * 50, "error": {"code": 3, "message": "not JSON"}},
        {"instance": {"a": 1}, "error": {"code": 13, "message": "x" * 300}},
    ]
    write_lines(directory / "errors_0001.jsonl", errors)
    record = {
        "displayName": "penguins",
        "state": "JOB_STATE_SUCCEEDED",
        "outputInfo": {"gcsOutputDirectory": str(directory)},
        "completionStats": {"successfulCount": "4", "failedCount": "3", "incompleteCount": "0"},
    }
    (directory / "job.json").write_text(json.dumps(record))
    return record


def shown(record, width=160):
    return list(show_results.describe(record, width))


class TestShowResults:
    def test_says_how_the_job_ended(self, finished_job):
        assert shown(finished_job)[:4] == [
            "job          penguins",
            "state        JOB_STATE_SUCCEEDED",
            "rows         4 successful, 3 failed, 0 incomplete",
            "output       out/prediction-penguins",
        ]

    def test_says_where_the_files_are_and_how_long(self, finished_job):
        assert shown(finished_job)[4:8] == [
            "predictions  out/prediction-penguins/predictions_0001.jsonl  (2 lines)",
            "predictions  out/prediction-penguins/predictions_0002.jsonl  (2 lines)",
            "errors       out/prediction-penguins/errors_0001.jsonl  (3 lines)",
            "job resource out/prediction-penguins/job.json  (1 line)",
        ]

    def test_shows_three_predictions_across_files(self, finished_job):
        lines = shown(finished_job)
        start = lines.index("the first 3 predictions:")

        assert lines[start + 1 : start + 5] == [
            *(f'  {{"key": "p-{i}", "prediction": {{"species": "Gentoo"}}}}' for i in (1, 2, 3)),
            "",
        ]

    def test_shows_all_errors_with_their_messages(self, finished_job):
        lines = shown(finished_job)
        errors = lines[lines.index("all 3 errors:") + 1 :]

        assert errors[0] == "  p-5                   code 3: sex: expected string, found null"
        assert errors[1].startswith("  {�long long")
        assert errors[1].endswith("…  code 3: not JSON")
        assert errors[2].startswith('  {"a": 1}              code 13: xxx')
        assert len(errors) == 3

    def test_fits_the_width(self, finished_job):
        lines = shown(finished_job, width=60)
        rows = lines[lines.index("the first 3 predictions:") :]

        assert max(map(len, rows)) == 60
        assert rows[-1].endswith("…")

    def test_shows_a_line_that_is_no_error_line_unchanged(self):
        assert show_results.describe_error("('message', 16)", 160) == "('message', 16)"
        assert show_results.describe_error('{"key": 1}', 160) == '{"key": 1}'
        assert show_results.describe_error("[1]", 160) == "[1]"

    def test_a_failed_job_without_output(self):
        record = {
            "state": "JOB_STATE_FAILED",
            "error": {"code": 5, "message": "no model"},
            "partialFailures": [{"code": 5, "message": "no such file"}],
            "completionStats": {"incompleteCount": "-1"},
        }

        assert shown(record) == [
            "job          (no name)",
            "state        JOB_STATE_FAILED",
            "rows         0 successful, 0 failed, unknown incomplete",
            "error        code 5: no model",
            "not read     code 5: no such file",
            "output       none",
        ]

    @pytest.mark.parametrize(
        ("info", "destination", "note"),
        [
            ({"gcsOutputDirectory": "gs://b/o"}, "gs://b/o", "not on this machine"),
            ({"bigqueryOutputDataset": "bq://p.d"}, "bq://p.d", "not on this machine"),
            ({"gcsOutputDirectory": "/nowhere"}, "/nowhere", "not found"),
        ],
    )
    def test_output_that_cannot_be_shown(self, info, destination, note):
        lines = shown({"outputInfo": info})

        assert lines[-2] == f"output       {destination}"
        assert note in lines[-1]

    def test_an_empty_directory(self, tmp_path):
        lines = shown({"outputInfo": {"gcsOutputDirectory": str(tmp_path)}})

        assert lines[-3:] == [
            "predictions  none",
            "errors       none",
            "job resource none",
        ]

    def test_runs_as_a_script_on_a_file_and_on_standard_input(self, finished_job):
        command = [sys.executable, EXAMPLES / "show_results.py"]
        record = "out/prediction-penguins/job.json"
        environment = {**os.environ, "PYTHONUTF8": "1"}
        run = {"capture_output": True, "encoding": "utf-8", "check": True, "env": environment}
        by_path = subprocess.run([*command, record], **run).stdout
        by_stdin = subprocess.run([*command, "-"], input=Path(record).read_text(), **run).stdout

        assert by_path == by_stdin
        assert by_path.splitlines() == shown(finished_job)

    @pytest.mark.parametrize(
        ("text", "message"),
        [("", "something else"), ("[1]", "expected a job resource"), (None, "No such file")],
    )
    def test_refuses_what_is_no_job_resource(self, tmp_path, capsys, text, message):
        path = tmp_path / "record.json"
        if text is not None:
            path.write_text(text)

        assert show_results.main([str(path)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"{path}: ")
        assert message in captured.err

    def test_its_documented_examples_are_true(self):
        assert doctest.testmod(show_results).failed == 0
