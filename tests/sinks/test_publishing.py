"""From parts to published files: complete, in order, and never half there."""

import dataclasses
import itertools
import threading
import time
from pathlib import Path

import pytest

from beam_batch_predict import files
from beam_batch_predict.errors import DestinationError, LostRowsError
from beam_batch_predict.runs.finish import finish_run
from beam_batch_predict.runs.run import Run, fresh_time, now
from beam_batch_predict.sinks.naming import naming_of
from beam_batch_predict.sinks.parts.accounting import check_parts
from beam_batch_predict.sinks.parts.part import PartWriter
from beam_batch_predict.sinks.publish import files as publish_files
from beam_batch_predict.sinks.publish.files import publish, remove_parts, show_errors_of_failure
from beam_batch_predict.spec import FileNames, OutputSettings


@pytest.fixture
def parts_directory(tmp_path):
    return str(tmp_path / "_parts" / "run")


@pytest.fixture
def part(parts_directory, predicted):
    """A function that writes a part of one batch."""

    def write(count, **how):
        batch = predicted(count, **how)
        writer = PartWriter(parts_directory, batch, OutputSettings(), time.perf_counter())
        writer.write(batch)
        return writer.commit()

    return write


def three_chunks(part):
    return [
        part(2, chunk=0, chunks=3, last=True, bad=[1]),
        part(3, chunk=1, chunks=3, last=True),
        part(1, chunk=2, chunks=3, last=True, bad=[0]),
    ]


def test_files_are_numbered_in_input_order(tmp_path, parts_directory, part, published):
    parts = three_chunks(part)
    found = publish(check_parts(reversed(parts)), str(tmp_path), parts_directory, OutputSettings())
    assert [(Path(file.uri).name, file.rows) for file in found] == [
        ("predictions_0001.jsonl", 1),
        ("predictions_0002.jsonl", 3),
        ("errors_0001.jsonl", 1),
        ("errors_0002.jsonl", 1),
    ]
    content = published(tmp_path)
    assert b'"instance": 0' in content["predictions_0001.jsonl"]
    assert b'"instance": 1000' in content["predictions_0002.jsonl"]
    assert b"bad 2000" in content["errors_0002.jsonl"]


def test_fragments_of_a_chunk_give_the_bytes_of_the_whole(
    tmp_path, parts_directory, part, published
):
    fragments = [
        part(2, first_row=2, bad=[0]),
        part(2, bad=[1]),
        part(1, first_row=4),
        part(0, first_row=5, last=True),
    ]
    found = publish(check_parts(fragments), str(tmp_path), parts_directory, OutputSettings())
    in_fragments = published(tmp_path)
    Path(parts_directory, "publication.json").unlink()
    Path(parts_directory).with_name("publishing").unlink()
    assert not Path(parts_directory, "chunk-000000-rows-0-5.predictions").exists()
    whole = [part(5, bad=[1, 2], last=True)]
    (tmp_path / "other").mkdir()
    publish(check_parts(whole), str(tmp_path / "other"), parts_directory, OutputSettings())
    assert in_fragments == published(tmp_path / "other")
    assert [file.rows for file in found] == [3, 2]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_chunk_that_is_missing_is_a_loss(lost, part):
    parts = three_chunks(part)
    del parts[lost]
    with pytest.raises(LostRowsError, match=r"1 of 3 chunks have no part"):
        check_parts(parts)


def test_a_gap_in_a_chunk_is_a_loss(part):
    message = r"chunk 0 is incomplete: its parts have the rows \[\(0, 2\), \(3, 5\)\]"
    with pytest.raises(LostRowsError, match=message):
        check_parts([part(2), part(2, first_row=3, last=True)])


def test_a_chunk_without_its_end_is_a_loss(part):
    with pytest.raises(LostRowsError, match="chunk 0 is incomplete"):
        check_parts([part(2), part(2, first_row=2)])


def test_parts_of_different_plans_are_refused(part):
    with pytest.raises(LostRowsError, match=r"different plans .* \[1, 2\]"):
        check_parts([part(1, chunks=1, last=True), part(1, chunk=1, chunks=2, last=True)])


def test_no_part_of_a_plan_is_a_loss():
    assert check_parts([]) == []
    with pytest.raises(LostRowsError, match="no chunk"):
        check_parts([], planned_input=True)


def test_a_loss_publishes_nothing(tmp_path, part, published):
    record = Run(str(tmp_path), now(), name="run")
    with pytest.raises(LostRowsError):
        finish_run(three_chunks(part)[1:], record, OutputSettings())
    assert published(tmp_path) == {}


def test_parts_of_several_attempts_at_a_job_are_taken_once(part):
    once = three_chunks(part)
    again = [each._replace(seconds=each.seconds + 1) for each in once]
    given = itertools.chain(once, again, once)
    assert [each.chunk for each in check_parts(given, planned_input=True)] == [0, 1, 2]
    fragment = part(1, chunk=0, chunks=3)
    assert len(check_parts([*once, fragment], planned_input=True)) == 3


def test_rows_that_come_twice_without_a_job_are_refused(part):
    once = three_chunks(part)
    assert check_parts([*once, *once]) == once  # each is the same part
    for more in (once[1]._replace(seconds=7.0), part(1, chunk=1, chunks=3)):
        message = r"chunk 1, rows 0 to .*: came more than once, .* nothing was published"
        with pytest.raises(LostRowsError, match=message):
            check_parts([*once, more])


def of_lineage(parts, *lineage):
    return [each._replace(lineage=lineage) for each in parts]


def lineages(parts):
    return [(each.lineage, each.chunk) for each in check_parts(parts)]


def test_parts_of_several_sources_and_models_are_numbered_as_one_plan(part):
    parts, whole = three_chunks(part), [part(4, last=True)]
    others = [*of_lineage(parts, 2, 4), *of_lineage(parts, 2, 3), *of_lineage(whole, 10, 3)]
    assert lineages(reversed(others)) == [
        *(((2, 3), chunk) for chunk in range(3)),
        *(((2, 4), chunk + 3) for chunk in range(3)),
        ((10, 3), 6),
    ]
    with pytest.raises(LostRowsError, match=r"1 of 3 chunks have no part; the first is 2"):
        check_parts([*of_lineage(parts, 2, 3), *of_lineage(parts[:2], 2, 4)])


def test_models_may_share_the_rows_of_a_source(part):
    first, second, third = three_chunks(part)
    halves = [part(1, chunk=1, chunks=3), part(2, chunk=1, chunks=3, first_row=1, last=True)]
    one, other = (*of_lineage([third], 1, 2), *of_lineage(halves[:1], 1, 2)), halves[1:] + [first]
    expected = [((1, 3), 0), ((1, 2), 1), ((1, 3), 1), ((1, 2), 2)]
    assert lineages([*one, *of_lineage(other, 1, 3)]) == expected
    with pytest.raises(LostRowsError, match="2 of 3 chunks|1 of 3 chunks|incomplete"):
        check_parts([*one, *of_lineage([first], 1, 3)])
    with pytest.raises(LostRowsError, match="chunk 1, rows 0 to 0: came more than once"):
        check_parts([*one, *of_lineage([second, *other], 1, 3)][::-1])


def test_rows_outside_a_plan_are_a_file_for_each_part(tmp_path, parts_directory, part, published):
    parts = [part(2, chunk=-1, chunks=0), part(1, chunk=-1, chunks=0)]
    publish(check_parts(parts), str(tmp_path), parts_directory, OutputSettings())
    assert sorted(len(text.splitlines()) for text in published(tmp_path).values()) == [1, 2]


def test_without_rows_there_is_an_empty_predictions_file(
    tmp_path, parts_directory, part, published
):
    parts = check_parts([part(0, last=True)])
    assert [
        file.rows for file in publish(parts, str(tmp_path), parts_directory, OutputSettings())
    ] == [0]
    assert published(tmp_path) == {"predictions_0001.jsonl": b""}


@pytest.mark.parametrize("fragmented", [False, True])
@pytest.mark.parametrize("renames", range(4))
def test_a_publication_that_broke_off_goes_on(
    renames, fragmented, tmp_path, parts_directory, part, published, monkeypatch
):
    parts = three_chunks(part)
    if fragmented:
        parts[1:2] = [
            part(1, chunk=1, chunks=3),
            part(2, chunk=1, chunks=3, first_row=1, last=True),
        ]
    parts = check_parts(parts)
    rename, done = files.rename, itertools.count()

    def rename_some(sources, destinations, replace=True):
        for source, destination in zip(sources, destinations, strict=True):
            if next(done) == renames:
                raise KeyboardInterrupt
            rename([source], [destination], replace)

    with monkeypatch.context() as patch:
        patch.setattr(publish_files.files, "rename", rename_some)
        with pytest.raises(KeyboardInterrupt):
            publish(parts, str(tmp_path), parts_directory, OutputSettings())
    assert len(published(tmp_path)) < 4
    found = publish(parts, str(tmp_path), parts_directory, OutputSettings())
    assert [file.rows for file in found] == [1, 3, 1, 1]
    assert len(published(tmp_path)) == 4
    assert len(published(tmp_path)["predictions_0002.jsonl"].splitlines()) == 3


def test_a_publication_done_twice_is_the_same(tmp_path, parts_directory, part, published):
    record = Run(str(tmp_path), now(), name="run")
    parts = three_chunks(part)
    first = finish_run(parts, record, OutputSettings())
    before = published(tmp_path)
    assert finish_run(parts, record, OutputSettings()) == first
    assert published(tmp_path) == before


def test_two_publications_at_the_same_time_both_succeed(tmp_path, parts_directory, part, published):
    parts = [part(2, chunk=number, chunks=40, bad=[0]) for number in range(40)]
    parts += [part(1, chunk=n, chunks=40, first_row=2, last=True) for n in range(40)]
    results = []

    def run():
        results.append(
            publish(check_parts(parts), str(tmp_path), parts_directory, OutputSettings())
        )

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert len(published(tmp_path)) == 80


def test_files_that_another_worker_of_the_run_publishes_meanwhile_are_its_own(
    tmp_path, parts_directory, part, published, monkeypatch
):
    parts = check_parts(three_chunks(part))
    refuse = publish_files.refuse_published
    found = []

    def late(directory, names):
        monkeypatch.setattr(publish_files, "refuse_published", refuse)
        found.append(publish(parts, str(tmp_path), parts_directory, OutputSettings()))
        refuse(directory, names)

    monkeypatch.setattr(publish_files, "refuse_published", late)
    found.append(publish(parts, str(tmp_path), parts_directory, OutputSettings()))
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(published(tmp_path)) == 4


def test_a_part_that_is_gone_is_an_error(tmp_path, parts_directory, part):
    parts = check_parts(three_chunks(part))
    Path(parts[1].predictions.uri).unlink()
    with pytest.raises(OSError, match="chunk-000001"):
        publish(parts, str(tmp_path), parts_directory, OutputSettings())


@pytest.mark.parametrize("kind", ["predictions", "errors"])
def test_files_of_another_run_are_not_overwritten(kind, tmp_path, part, published):
    (tmp_path / f"{kind}_0001.jsonl").write_bytes(b"theirs")
    (tmp_path / "job.json").write_bytes(b"theirs too")

    class Job:
        def render(self, outcome):
            return b"{}"

    record = Run(str(tmp_path), now(), Job(), name="run")
    with pytest.raises(DestinationError, match="another run has published"):
        finish_run(three_chunks(part), record, OutputSettings())
    assert published(tmp_path) == {f"{kind}_0001.jsonl": b"theirs"}
    assert (tmp_path / "job.json").read_bytes() == b"theirs too"


def test_errors_of_a_failure_are_copied_whole(tmp_path, part, published):
    parts = [part(2, chunk=0, chunks=2, last=True), part(9, chunk=1, chunks=2, last=True, bad=[4])]
    errors = Path(parts[1].errors.uri)
    errors.write_bytes(errors.read_bytes() * 40_000)
    assert errors.stat().st_size > 2 * 1024 * 1024
    show_errors_of_failure(parts, str(tmp_path), OutputSettings())
    assert published(tmp_path) == {"errors_0002.jsonl": errors.read_bytes()}


def test_a_copy_of_errors_that_breaks_off_leaves_nothing(tmp_path, part):
    failed = part(2, last=True, bad=[1])
    unreadable = failed.errors._replace(uri="/proc/self/mem")  # it opens; reading it fails
    with pytest.raises(OSError, match="Input/output error"):
        show_errors_of_failure(
            [failed._replace(errors=unreadable)], str(tmp_path), OutputSettings()
        )
    assert [path.name for path in tmp_path.iterdir()] == ["_parts"]


def test_names_sort_in_order_beyond_9999():
    naming = naming_of(FileNames.NUMBERED)
    names = naming.predictions("jsonl", 12_345)
    assert names == sorted(names)
    assert names[0] == "predictions_00001.jsonl"
    assert naming.errors("jsonl", 9999)[-1] == "errors_9999.jsonl"


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?b", "[!x]"])
def test_a_directory_may_have_characters_of_patterns(name, tmp_path, predicted, published):
    (tmp_path / "a1").mkdir()
    (tmp_path / "a1" / "predictions_0001.jsonl").write_bytes(b"of a neighbour")
    record = Run(str(tmp_path / name), now(), name="run")
    batch = predicted(2, last=True)
    directory = str(tmp_path / name / "_parts" / "run")
    writer = PartWriter(directory, batch, OutputSettings(), time.perf_counter())
    writer.write(batch)
    parts = [writer.commit()]
    finish_run(parts, record, OutputSettings())
    assert list(published(tmp_path / name)) == ["predictions_0001.jsonl"]
    with pytest.raises(DestinationError):
        finish_run(parts, dataclasses.replace(record, name="another"), OutputSettings())
    remove_parts(directory)
    assert not (tmp_path / name / "_parts" / "run").exists()


def test_parts_of_another_run_are_left(tmp_path, parts_directory, part):
    part(1)
    other = tmp_path / "_parts" / "other"
    other.mkdir()
    remove_parts(parts_directory)
    assert [path.name for path in (tmp_path / "_parts").iterdir()] == ["other"]
    remove_parts(str(other))
    assert not (tmp_path / "_parts").exists()


def test_times_for_directories_are_never_the_same():
    times = [fresh_time() for _ in range(50)]
    assert len({time.isoformat(timespec="milliseconds") for time in times}) == 50
