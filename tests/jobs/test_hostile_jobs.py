"""Job files that someone wrote to do harm: a message of bounded length, quickly, or a job."""

import copy
import json

import pytest

from beam_batch_predict.errors import InvalidJob
from beam_batch_predict.jobs import BatchPredictionJob, read_job
from beam_batch_predict.messages import show_location

JOB = {
    "displayName": "a",
    "labels": {"k": "v"},
    "unmanagedContainerModel": {"artifactUri": "models/a"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in.jsonl"]}},
    "instanceConfig": {"keyField": "id", "excludedFields": ["x"]},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out"},
    },
    "manualBatchTuningParameters": {"batchSize": 4},
}

STRINGS = [
    ("displayName",),
    ("labels", "k"),
    ("unmanagedContainerModel", "artifactUri"),
    ("inputConfig", "instancesFormat"),
    ("inputConfig", "gcsSource", "uris", 0),
    ("instanceConfig", "keyField"),
    ("instanceConfig", "excludedFields", 0),
    ("outputConfig", "predictionsFormat"),
    ("outputConfig", "gcsDestination", "outputUriPrefix"),
]

HOSTILE = [
    *("", "\0", "\n", "\x1b[2J\x1b]0;x\x07", "\x9b31m", "\u202egpj", "\u2028", "../..", "**" * 9),
    *("[", "[z-a]*", "gs://", "gs:///x", "bq://a.b.c", "nope://x", "{braces} %s", "__proto__"),
    *("x" * 1_000_000, "*" * 100_000, "é" * 5000, "'; DROP TABLE x; --", "$(reboot)", "\ufeff"),
]  # fmt: skip


def with_value(path, value):
    job = copy.deepcopy(JOB)
    holder = job
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    return job


def outcome(text):
    """A job's own text, or why it is none."""
    try:
        return read_job(text, "job.json").to_json_bytes().decode()
    except InvalidJob as error:
        return str(error)


@pytest.mark.parametrize("path", STRINGS, ids=show_location)
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:20]))
def test_a_hostile_string_gives_a_job_that_keeps_it_or_a_message_fit_to_be_shown(path, value):
    job = with_value(path, value)
    found = outcome(json.dumps(job))
    if found.startswith("{"):
        kept = json.loads(found)
        for part in path:
            kept = kept[part]
        assert kept == value
    else:
        assert len(found) < 3000
        assert all(line.isprintable() for line in found.splitlines())


@pytest.mark.parametrize("path", STRINGS, ids=show_location)
def test_half_of_a_surrogate_pair_is_refused_in_every_field_and_key(path):
    job, keyed = with_value(path, "a\ud800"), {"labels": {"\udfff": "v"}}
    for text in (json.dumps(job), json.dumps(keyed)):
        assert " hex escape at line 1 column " in outcome(text)
    for text in (job, keyed, json.dumps(keyed, ensure_ascii=False)):
        assert "surrogates not allowed" in outcome(text)


@pytest.mark.parametrize(
    "key", ["\x1b[2J", "\0", "a\nb", "\x9b31m", "\u202e", "x" * 1_000_000, '"' * 200, "\ufeffa"]
)
def test_a_hostile_key_is_shown_in_short_lines(key):
    for job in ({**JOB, key: 1}, {**JOB, "labels": {key: 5}}, {**JOB, "labels": {key: "A"}}):
        found = outcome(json.dumps(job)).splitlines()
        assert len(found) > 1
        assert all(line.isprintable() and len(line) < 1500 for line in found)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9" * 1_000_000, "a number has more than 4300 digits at line 1 column"),
        ("9" * 4000, "a huge number"),
        ("-" + "9" * 30, "a huge number"),
        ("9223372036854775808", "a huge number"),
        ("2147483648", "2147483648"),
        ("1e400", "batchSize: is not a finite number"),
        ("1e308", "a huge number"),
        ("7.5", "7.5"),
        ("-0", "batchSize"),
        ("NaN", "batchSize: is not a finite number"),
        ("true", "true"),
        ('"' + "9" * 100_000 + '"', "999…'"),
    ],
)
def test_a_hostile_number_is_refused_with_its_path(number, words):
    text = json.dumps(with_value(("manualBatchTuningParameters", "batchSize"), "@"))
    found = outcome(text.replace('"@"', number))
    assert words in found
    assert len(found) < 300


@pytest.mark.parametrize("opened", ["[", '{"a":', "[[{}],"])
@pytest.mark.parametrize("closed", ["", "]"])
def test_a_hundred_thousand_levels_are_refused(opened, closed):
    text = '{"modelParameters": ' + opened * 100_000 + closed * 100_000
    found = outcome(text)
    assert found.startswith("job.json is not a valid job")
    assert len(found) < 300


def test_a_hundred_thousand_uris_are_read():
    uris = [f"gs://bucket/{number}.jsonl" for number in range(100_000)]
    job = read_job(json.dumps(with_value(("inputConfig", "gcsSource", "uris"), uris)))
    assert list(job.to_spec().source.uris) == uris


def test_many_keys_of_which_some_are_repeated_are_distinguished_quickly():
    """Each key against each other would be 10,000,000,000 comparisons."""
    pairs = ",".join(f'"k{number}": "v"' for number in range(100_000))
    found = outcome(f'{{"labels": {{{pairs}, "k7": "w"}}}}')
    assert 'duplicate key "k7" at line 1 column 1388909' in found


def test_a_hostile_key_that_is_given_twice_is_shown_in_a_short_line():
    for key in ("\x1b[2J", "\u202e", "x" * 1_000_000, " at line 7" * 100):
        (line,) = outcome(f"{{{json.dumps(key)}: 1, {json.dumps(key)}: 2}}").splitlines()[1:]
        assert line.isprintable()
        assert len(line) < 400
        assert "duplicate key" in line
        assert " at line 1 column " in line


def test_megabytes_of_garbage_are_refused_in_a_line():
    for text in (
        b'{"' + b'\\"' * 5_000_000,
        b"\xff" * 10_000_000,
        b" " * 10_000_000,
        b"\0" * 10**7,
    ):
        assert len(outcome(text)) < 300


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "*" * 100_000,
            "in/***",
            "**" * 28 + "x",
            "*a*a*a*a*b",
            "a/*1*2*3*4*5/b",
            "gs://b/" + "**/" * 4,
        ),
    ],
    ids=lambda uri: uri[:12],
)
def test_a_pattern_that_takes_forever_to_match_is_refused(uri):
    found = outcome(json.dumps(with_value(("inputConfig", "gcsSource", "uris"), ["in", uri])))
    assert "inputConfig.gcsSource.uris[1]: " in found
    assert "wildcards" in found
    assert len(found) < 400


@pytest.mark.parametrize(
    "uri",
    ["gs://b/dt=*/h=*/*/part-*-of-*.gz", "in/**/x-*", "a/**/b/**/*.jsonl", "*", "**", "a?[*]?????"],
)
def test_patterns_as_people_write_them_are_taken(uri):
    assert outcome(json.dumps(with_value(("inputConfig", "gcsSource", "uris"), [uri])))[0] == "{"


def test_what_a_job_keeps_can_be_read_again():
    labels = {"é中": "v", "a-b_c": ""}
    job = read_job(json.dumps({**JOB, "displayName": "\x1b[2J\n\0 é", "labels": labels}))
    assert BatchPredictionJob.parse(job.to_json_bytes()).to_json() == job.to_json()


def test_a_report_of_very_many_mistakes_is_short():
    uris = [5] * 5_000
    with pytest.raises(InvalidJob) as raised:
        read_job({"inputConfig": {"gcsSource": {"uris": uris}}})
    assert len(raised.value.violations) > 5_000
    assert len(str(raised.value)) < 20_000
    assert str(raised.value).splitlines()[-1].endswith(" more")
