"""What docs/pipelines.md says is run, in order, and its messages are those of the code."""

import ast
import contextlib
import io
import json
import pathlib
import re
import shutil

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.transforms.periodicsequence import PeriodicImpulse

import beam_batch_predict as bbp

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pipelines.md").read_text()
TABLE = PAGE.split("### Orders that are refused")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What each example prints, and the files that it writes, by the title of its section."""
    directory = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", directory / "examples")
    names = {"__name__": "__main__"}
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        for section in PAGE.split("\n## ")[1:]:
            known = set(directory.rglob("*"))
            with contextlib.redirect_stdout(io.StringIO()) as out:
                for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
                    exec(compile(block, "docs/pipelines.md", "exec"), names)
            written = sorted(path for path in set(directory.rglob("*")) - known if path.is_file())
            found[section.splitlines()[0]] = out.getvalue(), written
    return found


def records_in(written, name):
    return [
        json.loads(line)
        for path in written
        if re.search(name, str(path))
        for line in path.read_bytes().splitlines()
    ]


def test_two_models_have_the_same_rows_in_the_same_order(ran):
    _, written = ran["Several models on the same rows"]
    species, scores = (
        records_in(written, f"{name}-.*/predictions_") for name in ("species", "scores")
    )
    assert [each["key"] for each in species] == [each["key"] for each in scores]
    assert len(species) == 333
    assert len(scores[0]["prediction"]) == 3


def test_rows_go_from_one_model_to_the_next(ran):
    printed, _ = ran["One model after another"]
    records = dict(map(ast.literal_eval, printed.splitlines()))
    assert len(records["a"]["prediction"]) == 3
    assert records["b"]["error"]["code"] == 3


def test_two_sources_are_in_one_output_in_order(ran):
    _, written = ran["Two sources in one output"]
    keys = [each["key"] for each in records_in(written, "predictions_")]
    assert len(keys) == 333
    assert keys == sorted(keys)


def test_enriched_rows_are_predicted(ran):
    _, written = ran["Enrichment between reading and predicting"]
    assert len(records_in(written, "predictions_")) == 333 + 10
    assert len(records_in(written, "errors_")) == 16 - 10


def test_windows_and_failures_keep_the_times_of_rows(ran):
    printed, (table,) = ran["Windows, and a table of failed rows"]
    assert sorted(printed.splitlines()) == ["('Gentoo', 1)", "('Gentoo', 2)"]
    (failure,) = pq.read_table(table).to_pylist()
    assert failure["time"] == "1970-01-01T00:00:05Z"
    assert json.loads(failure["instance"]) == {"island": "Dream"}
    assert failure["code"] == 3


def read(p):
    return p | bbp.ReadInstances(bbp.JsonLines("a.jsonl"))


def rows(p):
    return p | beam.Create([{"x": 1.0}])


def predicted(p):
    return rows(p) | bbp.BatchInstances() | bbp.Predict("model")


def unbounded(p):
    ticks = p | PeriodicImpulse() | beam.Map(lambda at: {"x": at})
    return ticks | bbp.BatchInstances() | bbp.Predict("model")


REFUSED = [
    lambda p: read(p) | bbp.Predict("model"),
    lambda p: rows(p) | bbp.BatchInstances() | bbp.ConvertInstances(),
    lambda p: read(p) | bbp.BatchInstances(),
    lambda p: rows(p) | bbp.BatchInstances() | bbp.Unbatch(),
    lambda p: predicted(p) | "Again" >> bbp.Predict("model"),
    lambda p: rows(p) | bbp.Predict("model"),
    lambda p: (predicted(p) | bbp.Unbatch()).predictions | bbp.WriteResults("out"),
    lambda p: predicted(p) | bbp.WriteResults("out") | "Again" >> bbp.Predict("model"),
    lambda p: predicted(p) | bbp.Unbatch() | bbp.WriteResults("out"),
    lambda p: (read(p), rows(p)) | bbp.Predict("model"),
    lambda p: unbounded(p) | bbp.WriteResults("out"),
]
"""For each row of the table except the last, which workers refuse, a pipeline."""


@pytest.mark.parametrize("at", range(len(REFUSED)))
def test_messages_of_the_page_are_those_of_refused_pipelines(at):
    messages = re.findall(r"^\| [^|]*\| `([^`]*)`.*\|$", TABLE, re.MULTILINE)
    assert len(messages) == len(REFUSED) + 1
    with pytest.raises(bbp.InvalidArgument) as raised:
        REFUSED[at](beam.Pipeline())
    assert str(raised.value).splitlines()[0] == messages[at]
