"""Parts with headers: whatever a runner does, all files have one header and the same bytes."""

import csv
import io

import pytest
from helpers import batches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.runs.run import Run, now
from beam_batch_predict.sinks.columns import layout
from beam_batch_predict.sinks.parts import final_files
from beam_batch_predict.spec import OutputSettings
from beam_batch_predict.status import Code, Status
from beam_batch_predict.transforms.write_dofns import FinishRun, WriteParts

BAD = Status(Code.INVALID_ARGUMENT, 'not "good"')
CSV = OutputSettings("csv")


def batches_of(chunks, size):
    return batches.batches_of(chunks, size, BAD)


def run(directory, bundles):
    """Publish what some bundles of batches give."""
    record = Run(str(directory), now())
    finish, writer = FinishRun(record, CSV), WriteParts(record, CSV)
    parts = []
    for bundle in bundles:
        writer.start_bundle()
        parts += [part for batch in bundle for part in writer.process(batch)]
        parts += [windowed.value for windowed in writer.finish_bundle()]
    return finish.process(None, parts, None)


def rows_of(content, kind):
    """The header and the rows of all files of a kind; the header is the same in all."""
    files = [
        list(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))
        for name, text in content.items()
        if name.startswith(kind)
    ]
    assert all(file[0] == files[0][0] for file in files)
    return files[0][0] if files else None, [row for file in files for row in file[1:]]


INSTANCES = st.dictionaries(
    st.sampled_from(["a", "b", "c,\n", "error"]), st.sampled_from([1, 'x"\n,', None])
) | st.sampled_from([5, "text"])
CHUNKS = st.lists(st.lists(st.tuples(INSTANCES, st.booleans()), max_size=6), min_size=1, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=CHUNKS, size=st.integers(1, 3), random=st.randoms(use_true_random=False))
def test_any_split_into_bundles_gives_the_same_bytes(
    chunks, size, random, tmp_path_factory, published
):
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    run(one, [batches_of(chunks, 100)])
    batches = batches_of(chunks, size)
    random.shuffle(batches)
    cuts = sorted(random.choices(range(len(batches) + 1), k=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK_BYTES", 5)
        run(other, [batches[: cuts[0]], batches[cuts[0] : cuts[1]], batches[cuts[1] :]])
    content = published(one)
    assert published(other) == content
    header, good = rows_of(content, "predictions")
    failed_header, bad = rows_of(content, "errors")
    rows = [row for chunk in chunks for row in chunk]
    assert len(good) == sum(not fails for _, fails in rows)
    assert len(bad) == sum(fails for _, fails in rows)
    assert header[-1] == "prediction"
    if bad and good:
        assert failed_header[-1] == "error"
        assert [name for name in failed_header if name in header] == header[:-1]


def test_parts_with_the_header_of_all_are_moved_as_they_are(tmp_path, published, monkeypatch):
    monkeypatch.setattr(final_files, "copy_sections", None)
    chunks = [[({"a": 1}, False)], [({"a": 2}, False), ({"a": 3}, True)]]
    run(tmp_path, [batches_of(chunks, 10)])
    assert published(tmp_path) == {
        "errors_0001.csv": b'"a","error"\n3,"{""code"": 3, ""message"": ""not \\""good\\""""}"\n',
        "predictions_0001.csv": b'"a","prediction"\n1,0\n',
        "predictions_0002.csv": b'"a","prediction"\n2,0\n',
    }


def test_a_column_that_comes_late_is_in_every_file(tmp_path, published):
    chunks = [[({"a": 1}, False)], [({"b": "x"}, False), ({"a": 3}, True)]]
    run(tmp_path, [batches_of(chunks, 1)])
    content = published(tmp_path)
    assert content["predictions_0001.csv"] == b'"a","b","prediction"\n1,,0\n'
    assert content["predictions_0002.csv"] == b'"a","b","prediction"\n,"x",0\n'
    assert content["errors_0001.csv"].startswith(b'"a","b","error"\n3,,"{')


@pytest.mark.parametrize("rows", [[], [("oops", True)]])
def test_without_predictions_there_is_a_header(rows, tmp_path, published):
    found = run(tmp_path, [batches_of([rows], 10)])
    content = published(tmp_path)
    assert content["predictions_0001.csv"] == b'"instance","prediction"\n'
    assert len(content) == 1 + len(rows)
    assert [file.rows for file in found] == [0, *(1 for _ in rows)]


def test_published_again_the_files_are_the_same(tmp_path, published):
    chunks = [[({"a": 1}, False)], [({"b": "x"}, False)]]
    record = Run(str(tmp_path), now())
    finish, writer = FinishRun(record, CSV), WriteParts(record, CSV)
    writer.start_bundle()
    parts = [part for batch in batches_of(chunks, 1) for part in writer.process(batch)]
    first, once = finish.process(None, parts, None), published(tmp_path)
    assert finish.process(None, parts, None) == first
    assert published(tmp_path) == once
