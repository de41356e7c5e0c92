"""Pipelines composed at random: refused when they are built, or no row vanishes."""

import gzip
import json
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import BeamAssertException, assert_that
from helpers.examples import IN_FULL
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import beam_batch_predict as bbp
from beam_batch_predict.errors import LostRowsError, RunFailed
from beam_batch_predict.runners.job_options import make_engine

LOSSY = ("cut file", "damaged file")
ROWS = st.lists(st.sampled_from([1.5, -2.0, "oops", {"x": 3.0}, [1.0]]), max_size=9)
STEPS = st.sampled_from(["batch", "convert", "predict", "predict total", "reshuffle"])
KINDS = ["file", "chunked file", "csv", "empty file", "rows", *LOSSY]
FORMATS = st.sampled_from(["jsonl", "csv", "parquet", "tf-record"])


@st.composite
def compositions(draw):
    """Draw branches (a kind of source, rows, steps) and steps after them; most can be built."""
    branches = draw(st.lists(st.tuples(st.sampled_from(KINDS), ROWS), min_size=1, max_size=2))
    if draw(st.integers(0, 2)) == 0:
        chains = st.lists(STEPS, max_size=3)
        return [(*branch, draw(chains)) for branch in branches], draw(chains)
    models = st.sampled_from([["predict"], ["reshuffle", "predict"], ["predict total"]])
    after = draw(st.one_of(st.just([]), models))
    first = {"rows": st.sampled_from(["batch", "convert"])}
    chains = [
        [draw(first.get(kind, st.just("convert"))), *([] if after else draw(models))]
        for kind, _ in branches
    ]
    return [(*branch, chain) for branch, chain in zip(branches, chains, strict=True)], after


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("random")


def content_of(kind, rows):
    """Return the bytes of a file; those of lossy kinds are cut or damaged."""
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind in ("empty file", "chunked file"):
        return lines if kind == "chunked file" else b""
    if kind == "csv":
        return b"x\n" + lines.replace(b'{"x": 3.0}', b"3.0").replace(b"[1.0]", b"a")
    data = bytearray(gzip.compress(lines))
    if kind == "damaged file":
        data[-8] ^= 0xFF  # the checksum
    return bytes(data[:-8] if kind == "cut file" else data)


class Composed:
    """A pipeline that is built step by step; rows that may be lost are in files that are cut."""

    def __init__(self, directory, model):
        self.directory, self.model = directory, model
        self.pipeline = make_engine(()).make_pipeline()
        self.whole = self.cut = 0

    def apply(self, collection, step):
        return collection | f"{len(self.pipeline.applied_labels)}" >> step

    def source(self, kind, rows):
        if kind == "rows":
            self.count(kind, rows)
            return self.apply(self.pipeline, beam.Create(rows))
        self.count(kind, rows)
        path = self.directory / f"{len(list(self.directory.iterdir()))}.txt"
        path.write_bytes(content_of(kind, rows))
        sources = {
            "csv": lambda uri: bbp.Csv(uri, header="first_row", chunk_bytes=20),
            "chunked file": lambda uri: bbp.JsonLines(uri, chunk_bytes=10),
        }
        source = sources.get(kind, bbp.JsonLines)(str(path))
        return self.apply(self.pipeline, bbp.ReadInstances(source, 2))

    def count(self, kind, rows):
        """Count the rows of a source."""
        if kind in LOSSY:
            self.cut += len(rows)
        elif kind != "empty file":
            self.whole += len(rows)

    def steps(self, collection, names):
        made = {
            "batch": lambda: bbp.BatchInstances(2),
            "convert": bbp.ConvertInstances,
            "predict": lambda: bbp.Predict(self.model, 2),
            "predict total": lambda: bbp.Predict(bbp.SavedModel(self.model, "total")),
            "reshuffle": beam.Reshuffle,
        }
        for name in names:
            collection = self.apply(collection, made[name]())
        return collection

    def check_rows(self, results, unread):
        """Check that the rows of `Unbatch` are those of the sources."""

        def check(found, whole=self.whole, cut=self.cut):
            rows = sum(kind != "unread" for kind in found)
            failures = len(found) - rows
            if not whole <= rows <= whole + cut or failures != unread:
                raise BeamAssertException(f"{rows} rows of {whole} to {whole + cut}, {failures}")

        tagged = [
            self.apply(output, beam.Map(lambda _, kind=kind: kind))
            for kind, output in results._asdict().items()
        ]
        assert_that(self.apply(tagged, beam.Flatten()), check)


@settings(max_examples=40 if IN_FULL else 8, suppress_health_check=list(HealthCheck))
@given(composition=compositions(), shared=st.booleans(), form=FORMATS)
def test_a_pipeline_is_refused_when_built_or_has_each_row_once(
    composition, shared, form, directory, tiny_model
):
    branches, after = composition
    composed = Composed(directory, tiny_model)
    unread = sum(kind in LOSSY for kind, *_ in branches)
    write = bbp.WriteResults(directory / "out", form)
    try:
        collections = [composed.source(kind, rows) for kind, rows, _ in branches]
        if shared and len(branches) == 2:  # the second chain gets the rows of the first source too
            collections = [collections[0], *collections]
            kind, rows, _ = branches[0]
            composed.count(kind, rows)
            unread += kind in LOSSY
            chains = [branches[0][2], branches[1][2], branches[1][2]]
        else:
            chains = [chain for *_, chain in branches]
        ends = [composed.steps(*each) for each in zip(collections, chains, strict=True)]
        batches = composed.steps(composed.apply(ends, beam.Flatten()), after)
        results = composed.apply(batches, bbp.Unbatch())
        _ = composed.apply(batches, write)
    except bbp.InvalidArgument:
        event("refused")
        return
    composed.check_rows(results, unread)
    failure = None
    try:
        composed.pipeline.run().wait_until_finish()
    except (LostRowsError, RunFailed) as error:
        failure = error
    if failure is not None:
        twice = shared and "came more than once, through the same" in str(failure)
        assert twice or (unread and "no input could be read" in str(failure))
        event(type(failure).__name__)
        return
    event("run")
    manifest = json.loads(Path(write.directory, "manifest.json").read_bytes())
    read = manifest["rows"]["read"]
    assert read == manifest["rows"]["predicted"] + manifest["rows"]["failed"]
    assert read == sum(file["rows"] for file in manifest["files"])
    assert composed.whole <= read <= composed.whole + composed.cut
    assert len(manifest["unread"]) == unread
