"""Jobs whose files cannot be split, shared by several readers: the same rows, whoever reads."""

import bz2
import gzip
import json
import random
from pathlib import Path

import pytest
import zstandard

from beam_batch_predict import cli
from beam_batch_predict.commands.run import run_job
from beam_batch_predict.commands.verify import verify
from beam_batch_predict.encoding.tf_record import framed
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.jobs import read_job
from beam_batch_predict.runs.plan import chunks_of
from beam_batch_predict.sinks.parts.metadata import read_parts
from beam_batch_predict.spec import Csv, RunOptions, TfRecord
from beam_batch_predict.transforms import read_dofns

RANDOM = random.Random(3)
CELLS = ["oops" if n % 17 == 5 else f"{RANDOM.random() * n}" for n in range(2000)]
LINES = "".join(f"{cell}\n" for cell in CELLS).encode()
INPUTS = {
    "in.jsonl.gz": ("jsonl", gzip.compress(LINES, mtime=0)),
    "in.jsonl.zst": ("jsonl", b"".join(map(zstandard.compress, LINES.splitlines(keepends=True)))),
    "in.csv.bz2": ("csv", b"".join(bz2.compress(b"x\n" * (not at) + LINES[at : at + 900])
                                   for at in range(0, len(LINES), 900))),
    "in.csv": ("csv", b"x\n" + b"".join(b'"%s\n"\n' % line for line in LINES.split())),
    "in.tfrecord": ("tf-record", framed(LINES.split())),
    "in.tfrecord.gz": ("tf-record-gzip", gzip.compress(framed(LINES.split()), mtime=0)),
}  # fmt: skip


@pytest.fixture
def run(tmp_path, tiny_model):
    """A function that runs a job on a file of `INPUTS`: its record."""

    def run_shared(name="in.jsonl.gz", out="out", flags=(), content=None, **options):
        form, stored = INPUTS[name]
        path = tmp_path / name
        if not path.exists():
            path.write_bytes(stored if content is None else content)
        job = {
            "displayName": "tiny",
            "unmanagedContainerModel": {"artifactUri": tiny_model},
            "inputConfig": {"instancesFormat": form, "gcsSource": {"uris": [str(path)]}},
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": str(tmp_path / out)},
            },
        }
        if name == "in.csv" or form.startswith("tf-record"):
            options["signature_name"] = "length"
        options = {"chunk_bytes": 100, "csv_multiline": name == "in.csv", **options}
        return json.loads(run_job(read_job(job), RunOptions(**options), list(flags)).job)

    return run_shared


@pytest.fixture
def rows_of(published):
    """A function from a record to the lines of all its predictions, and those of all its errors."""

    def read(record):
        files = published(record["outputInfo"]["gcsOutputDirectory"])
        kinds = [[files[name] for name in files if name.startswith(k)] for k in ("pred", "err")]
        return [b"".join(kind).splitlines() for kind in kinds]

    return read


@pytest.mark.parametrize("name", INPUTS)
def test_several_readers_publish_the_rows_that_one_does(name, run, rows_of, published):
    whole = run(name, out="whole")
    shared = run(name, out="shared", readers_per_file=5)
    assert whole["state"] == shared["state"] == "JOB_STATE_SUCCEEDED"
    assert shared["completionStats"] == whole["completionStats"]
    assert rows_of(shared) == rows_of(whole)
    assert sum(map(len, rows_of(shared))) == len(CELLS)
    files = published(shared["outputInfo"]["gcsOutputDirectory"])
    assert sum(name.startswith("predictions") for name in files) == 5
    assert verify(shared["outputInfo"]["gcsOutputDirectory"]).wrong == ()


@pytest.mark.parametrize(
    "flags",
    [
        ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
        pytest.param(["--direct_num_workers=2"], marks=pytest.mark.slow),
        pytest.param(["--direct_num_workers=3"], marks=pytest.mark.slow),
    ],
)
def test_workers_write_the_same_bytes_however_many_there_are(flags, run, published):
    expected = run(out="one", readers_per_file=6)
    found = run(out="more", readers_per_file=6, flags=flags)
    directories = [record["outputInfo"]["gcsOutputDirectory"] for record in (expected, found)]
    assert published(directories[1]) == published(directories[0])
    assert len(published(directories[0])) == 12


@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.csv", "in.tfrecord"])
def test_a_resumed_run_reads_only_the_shares_that_are_left(
    name, run, breaking_off, published, monkeypatch
):
    whole = run(name, out="whole", readers_per_file=7)
    with breaking_off(3):
        left = Path(run(name, readers_per_file=7)["outputInfo"]["gcsOutputDirectory"])
    done = {part.chunk for part in read_parts(str(*left.glob("_parts/*")))}
    read, read_chunk = set(), read_dofns.read_chunk

    def reading(chunk, *rest):
        read.add(chunk.number)
        return read_chunk(chunk, *rest)

    monkeypatch.setattr(read_dofns, "read_chunk", reading)
    assert run(name, readers_per_file=7, resume=True)["state"] == "JOB_STATE_SUCCEEDED"
    assert len(done) == 3
    assert read == set(range(7)) - done
    assert published(left) == published(whole["outputInfo"]["gcsOutputDirectory"])


def test_a_run_is_not_resumed_with_another_number_of_readers(run, breaking_off):
    with breaking_off(2):
        run(readers_per_file=7)
    with pytest.raises(InvalidArgument, match="readers_per_file is 3, and was 7"):
        run(readers_per_file=3, resume=True)


def test_rows_have_the_same_locations_with_any_reader(run, rows_of):
    whole = run(out="whole", key="location")
    shared = run(out="shared", key="location", readers_per_file=4)
    assert rows_of(shared) == rows_of(whole)
    places = [int(json.loads(row)["key"].rpartition(":")[2]) for row in rows_of(shared)[0]]
    assert places == sorted(set(places))
    assert places[-1] > len(INPUTS["in.jsonl.gz"][1])


def test_a_file_that_is_cut_short_gives_the_rows_before_and_says_so(run, rows_of):
    content = INPUTS["in.jsonl.gz"][1][:-1000]
    whole = run(out="whole", content=content)
    shared = run(out="shared", readers_per_file=3)
    assert rows_of(shared) == rows_of(whole)
    assert shared["completionStats"] == whole["completionStats"]
    assert shared["completionStats"]["incompleteCount"] == "-1"
    [failure] = [f for f in shared["partialFailures"] if "marker" in f["message"]]
    assert f"bytes {2 * -(-len(content) // 3)} to {len(content)} as they are" in failure["message"]


@pytest.mark.parametrize("name", ["in.tfrecord.gz", "in.tfrecord-gz", "in.csv.bz2", "in.tfrecord"])
def test_a_compressed_file_that_has_grown_is_not_what_was_planned(name, tmp_path):
    form, stored = INPUTS.get(name, INPUTS["in.tfrecord.gz"])
    path = tmp_path / name
    path.write_bytes(stored)
    source = TfRecord(str(path), 1000, form == "tf-record-gzip", readers_per_file=2)
    if form == "csv":
        source = Csv(str(path), 1000, readers_per_file=2)
    chunks = chunks_of(source)
    with path.open("ab") as file:
        file.write(stored)
    batches = [batch for chunk in chunks for batch in read_dofns.ReadChunk(64).process(chunk)]
    reasons = [failure.message for batch in batches for failure in batch.source_failures]
    if name == "in.tfrecord":
        assert (reasons, sum(map(len, batches))) == ([], len(CELLS))
    else:
        assert sum(map(len, batches)) == 0
        assert ["replaced after the job was planned" in reason for reason in reasons] == [True] * 2


def test_the_option_is_one_of_the_command_line_and_of_all_jobs_of_files(tmp_path, capsys):
    assert cli.main(["run", "job.json", "--readers_per_file=0"]) == 2
    assert "--readers_per_file" in capsys.readouterr().err
    for form in "jsonl", "csv", "tf-record", "tf-record-gzip", "file-list":
        job = {
            "displayName": "tiny",
            "unmanagedContainerModel": {"artifactUri": "model"},
            "inputConfig": {"instancesFormat": form, "gcsSource": {"uris": ["in.*"]}},
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": str(tmp_path)},
            },
        }
        assert read_job(job).to_spec(RunOptions(readers_per_file=3)).source.readers_per_file == 3
        assert read_job(job).to_spec().source.readers_per_file == 1
    for form in "JSON", "TF_RECORD", "TF_RECORD_GZIP":
        described = {
            "jobId": "tiny",
            "predictionInput": {
                "dataFormat": form,
                "inputPaths": ["in.*"],
                "outputPath": str(tmp_path),
                "region": "us-central1",
                "uri": "model",
            },
        }
        assert (
            read_job(described).to_spec(RunOptions(readers_per_file=3)).source.readers_per_file == 3
        )
