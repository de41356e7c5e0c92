"""Rows as they stand for a model of one string, what they say for any other; keys of locations."""

import json
import pickle

import pytest
from helpers.examples import examples
from helpers.records import error_lines, prediction_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.inputs.examples import takes_examples
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.sinks.formats.json_lines import error_records, prediction_records
from beam_batch_predict.spec import (
    InstanceConfig,
    NonFinite,
    PredictSettings,
    RecordShape,
    SavedModel,
)
from beam_batch_predict.status import Code, Status

DAMAGED = Status(Code.DATA_LOSS, "damaged")
LINE = b'{"id": "a", "s": "text"}'


@pytest.fixture(scope="module")
def callers(tiny_model):
    """Callers of models by the names of their signatures."""
    names = ("serving_default", "length", "total")
    return {name: ModelCaller(load_model(SavedModel(tiny_model, name))) for name in names}


def converted_for(caller, batch, **config):
    """A batch as `ConvertInstances` makes it of raw strings for the model of a caller."""
    takes_string = not takes_examples(caller.model.signature.inputs)
    return convert(batch, InstanceConfig(raw_strings=True, **config), takes_string=takes_string)


@pytest.fixture
def predict(callers):
    """A function from rows to the predicted batch."""

    def run(rows, signature="length", form="jsonl", **config):
        offsets = [10 * at for at in range(len(rows))]
        batch = InstanceBatch(rows, origins=((0, "in"),), offsets=offsets, format=form)
        converted = converted_for(callers[signature], batch, **config)
        return predict_batch(pickle.loads(pickle.dumps(converted)), callers[signature])

    return run


def test_json_records_with_line_breaks_are_single_lines_of_the_output():
    rows = [b'{"s":\n[1,\n2],\n"note": [1.50,\n2]}', b'{"s": "a\\nb",\n"note": 2}']
    for beside in ([], [b"[oops"]):
        for names in ([], ["note"]):
            batch = InstanceBatch([*rows, *beside], format="tf-record")
            config = InstanceConfig(raw_strings=True, excluded_fields=names)
            converted = convert(batch, config)
            assert not any(b"\n" in text for text in converted.texts)
            if names:
                assert converted.texts[:2] == [b'{"s":[1, 2]}', b'{"s":"a\\nb"}']
                assert converted.attached.texts("note")[:2] == [b"[1.50, 2]", b"2"]
            else:
                assert converted.texts[:2] == [row.replace(b"\n", b" ") for row in rows]


def answers(batch):
    """The prediction of each row, "NaN" for NaN, or the message of its error record."""
    found = {row: record["error"]["message"] for row, record in error_records(batch)}
    for group in batch.predictions:
        (values,) = group.columns.values()
        numbers = ("NaN" if value != value else value for value in values.tolist())
        found.update(zip(group.rows, numbers, strict=True))
    return [found[row] for row in range(len(batch))]


ANYTHING = st.one_of(
    st.binary(max_size=20).filter(lambda row: b"\n" not in row),
    st.sampled_from([LINE, b'{"s": {"b64": "AA=="}}', b'"text"', b"null", b"oops", b"\xff", b"1"]),
)


@pytest.mark.parametrize("form", ["jsonl", "tf-record"])
@settings(max_examples=50, deadline=None)
@given(rows=st.lists(ANYTHING, min_size=1, max_size=6))
def test_a_lone_string_is_the_bytes_of_the_row_whatever_they_are(rows, form, callers):
    batch = InstanceBatch(rows, format=form)
    converted = converted_for(callers["length"], batch)
    assert answers(predict_batch(converted, callers["length"])) == list(map(len, rows))


@settings(max_examples=examples(100), deadline=None)
@given(rows=st.lists(ANYTHING | st.sampled_from([b"2.5", b'{"x": 3}', DAMAGED]), max_size=6))
def test_other_signatures_get_what_lines_say_as_without_the_option(rows, callers):
    batch = InstanceBatch(rows, origins=((0, "in"),), offsets=list(range(len(rows))))
    caller = callers["serving_default"]
    raw, plain = (
        predict_batch(converted, caller, PredictSettings(4))
        for converted in (converted_for(caller, batch), convert(batch, InstanceConfig()))
    )
    assert answers(raw) == answers(plain)
    assert error_lines(raw) == error_lines(plain)
    assert prediction_lines(raw) == prediction_lines(plain)


def test_rows_that_could_not_be_read_fail_and_no_other(predict):
    batch = predict([b"ab", DAMAGED, b"{oops"])
    assert answers(batch) == [2, "damaged (in, byte 10)", 5]
    assert answers(predict([DAMAGED])) == ["damaged (in, byte 0)"]
    assert answers(predict([])) == []


def test_a_key_field_adds_a_key_and_changes_nothing_for_the_model(predict):
    batch = predict([LINE, b'{"s": "no id"}', b"oops"], key_field="id")
    assert batch.keys == ["a", None, None]
    good, missing, no_json = answers(batch)
    assert good == len(LINE)
    assert missing == 'key field "id" is missing; the row has "s" (in, byte 10)'
    assert no_json.startswith("invalid JSON: ")
    first, *bad = prediction_lines(batch, shape=RecordShape.OUTPUTS).splitlines()
    assert json.loads(first) == {"key": "a", "n": len(LINE)}
    assert bad == []


def test_fields_that_are_chosen_are_sent_alone(predict):
    row = json.dumps({"id": 7, "s": "text"}).encode()
    assert answers(predict([row], excluded_fields="id")) == [4]
    assert answers(predict([row], included_fields="s")) == [4]


@pytest.mark.tfx_bsl
def test_other_signatures_get_what_records_say(predict):
    rows = [b'{"x": 2.5}', b"4", DAMAGED, b'{"x": "a"}', b"NaN", b'{"x": 1', b"\x00\x01"]
    found = answers(predict(rows, "serving_default", "tf-record"))
    assert found[:3] == [5.0, 8.0, "damaged (in, byte 20)"]
    assert found[3].startswith('input "x": expected float32, found "a"')
    assert found[4] == "NaN"
    assert found[5].startswith("invalid JSON: ")
    assert found[6].startswith("the record is not a tf.train.Example")
    assert all(
        text.endswith(f"(in, byte {10 * at})") for at, text in enumerate(found) if at in (3, 5, 6)
    )
    rows = [b"[1, 2]", b'{"v": [0.5, 0.25]}']
    assert answers(predict(rows, "total", "tf-record-gzip")) == [3.0, 0.75]


def example(**features):
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList

    def feature(value):
        if isinstance(value, bytes):
            return Feature(bytes_list=BytesList(value=[value]))
        return Feature(float_list=FloatList(value=[value]))

    found = {name: feature(value) for name, value in features.items()}
    return Example(features=Features(feature=found)).SerializeToString(deterministic=True)


@pytest.mark.tfx_bsl
def test_examples_and_texts_may_stand_beside_each_other(predict):
    rows = [example(x=1.5), b'{"x": 2.5}', example(x=3.0)]
    assert answers(predict(rows[::2], "serving_default", "tf-record")) == [3.0, 6.0]
    assert answers(predict(rows, "serving_default", "tf-record")) == [3.0, 5.0, 6.0]


@pytest.mark.tfx_bsl
def test_examples_and_texts_have_keys_and_locations(predict):
    rows = [example(x=1.5, id=b"a"), b'{"x": 2.5, "id": 7}', example(x=3.0), b'{"x": 1}']
    batch = predict(rows, "serving_default", "tf-record", key_field="id")
    assert batch.keys == ["a", 7, None, None]
    assert answers(batch) == [
        3.0,
        5.0,
        'key feature "id" is missing; the Example has "x" (in, byte 20)',
        'key field "id" is missing; the row has "x" (in, byte 30)',
    ]
    batch = predict(rows[1:3], "serving_default", "tf-record", location_as_key=True)
    assert batch.keys == ["in:0", "in:10"]


@pytest.mark.tfx_bsl
@pytest.mark.parametrize("length", [34, 45, 48, 91, 110, 116, 123])
def test_an_example_whose_length_looks_like_json_is_an_example(length, predict):
    records = (example(x=1.5, **{"p" * size: 0.0}) for size in range(1, 200))
    record = next(record for record in records if record[1] == length)
    assert record[:2] == b"\n" + bytes([length])
    assert answers(predict([record], "serving_default", "tf-record")) == [3.0]


def test_rows_of_a_pipeline_show_the_line_as_text(predict):
    batch = predict([b'{"id": 1}', DAMAGED])
    assert list(prediction_records(batch)) == [(0, {"instance": '{"id": 1}', "prediction": 9})]
    ((_, error),) = error_records(batch)
    assert error["instance"] == ""


def test_what_a_raw_row_is_shown_as(predict):
    rows = [b'say "a"', b"\xff", b'{"id": 1}']
    batch = predict(rows)
    lines = prediction_lines(batch).splitlines()
    assert [json.loads(line)["instance"] for line in lines] == [
        'say "a"',
        {"b64": "/w=="},
        '{"id": 1}',
    ]
    lines = prediction_lines(predict(rows, form="tf-record")).splitlines()
    assert [json.loads(line)["instance"] for line in lines][1] == {"b64": "/w=="}


SOURCES = {
    "jsonl": [b"1", b"oops", b'{"x": 2}'],
    "csv": [b"1", b"oops,2", b"3"],
    "tf-record": [b"a", b"b", DAMAGED],
}


@pytest.mark.parametrize("form", SOURCES)
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("takes_string", [False, True])
def test_keys_are_locations_for_every_row_and_format(takes_string, raw, form):
    origins, offsets = ((0, "a%s"), (2, 'b"\\')), [0, 7, 0]
    columns = ("x",) if form == "csv" else ()
    batch = InstanceBatch(
        SOURCES[form], origins=origins, offsets=offsets, format=form, columns=columns
    )
    config = InstanceConfig(location_as_key=True, raw_strings=raw)
    converted = convert(batch, config, takes_string=takes_string)
    assert converted.keys == ["a%s:0", "a%s:7", 'b"\\:0']
    for line in error_lines(converted, NonFinite.STRING).splitlines():
        assert json.loads(line)["key"] in converted.keys


def test_fields_of_rows_stay_with_a_location_as_key(predict):
    batch = predict([b'{"x": 2}'], "serving_default", location_as_key=True)
    assert answers(batch) == [4.0]
    assert prediction_lines(batch, shape=RecordShape.OUTPUTS) == b'{"key": "in:0", "y": 4.0}\n'
