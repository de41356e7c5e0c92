"""The handler in Beam's RunInference, with everything that Beam documents for its handlers."""

import decimal
import os
import shutil
import time

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import (
    KeyedModelHandler,
    KeyModelMapping,
    KeyModelPathMapping,
    ModelMetadata,
    RunInference,
)
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Timestamp

import beam_batch_predict as bbp


@pytest.fixture(scope="session")
def tripling_model(tmp_path_factory):
    """Return a SavedModel with the signature of the tiny model: y is three times x."""
    import tensorflow as tf

    class Tripling(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def thrice(self, x):
            return {"y": 3 * x}

    path = tmp_path_factory.mktemp("model") / "tripling"
    module = Tripling()
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.thrice})
    return str(path)


def values(results, label="Values"):
    return results | label >> beam.Map(lambda result: result.inference)


def keyed_values(results):
    return results | "Values" >> beam.MapTuple(lambda key, result: (key, result.inference))


def test_rows_are_those_of_batch_instances(pipeline, tiny_model):
    rows = [beam.Row(x=decimal.Decimal("1.5")), decimal.Decimal(2), {"x": {1}}]
    with pipeline() as p:
        elements = p | beam.Create([0]) | beam.FlatMap(lambda _: rows)
        results = elements | RunInference(bbp.SavedModelHandler(tiny_model))
        found = results | beam.Map(
            lambda result: (
                type(result.example).__name__,
                result.inference.message
                if isinstance(result.inference, bbp.Status)
                else result.inference,
                result.model_id,
            )
        )
        message = 'field "x": JSON has no value for a set'
        assert_that(
            found,
            equal_to(
                [
                    ("Row", 3.0, tiny_model),
                    ("Decimal", 4.0, tiny_model),
                    ("dict", message, tiny_model),
                ]
            ),
        )


def test_exception_handling_gives_results_of_rows_and_failed_calls(pipeline, tiny_model):
    def checked(row):
        return 1 / row

    def inverted(result):
        return 1 / result.inference

    handler = bbp.SavedModelHandler(tiny_model, max_batch_size=2)
    handler = handler.with_preprocess_fn(checked).with_postprocess_fn(inverted)
    with pipeline() as p:
        rows = p | beam.Create([4.0, 0.0, 2.0])
        main, other = rows | RunInference(handler).with_exception_handling()
        assert_that(main, equal_to([2.0, 1.0]))
        (before,), (after,) = other.failed_preprocessing, other.failed_postprocessing
        failed = before | "Before" >> beam.Map(lambda pair: pair[0])
        assert_that(failed, equal_to([0.0]), label="FailedBefore")
        assert_that(after, equal_to([]), label="FailedAfter")
        assert_that(other.failed_inferences, equal_to([]), label="FailedCalls")


def test_a_failed_row_is_a_result_and_a_failed_call_is_not(pipeline, tiny_model):
    mixed = [1.0, bbp.InstanceBatch([1.0], instances=[1.0])]
    handler = bbp.SavedModelHandler(tiny_model).with_no_batching()
    with pipeline() as p:
        batches = p | beam.Create([0]) | beam.FlatMap(lambda _: [[1.0, "bad"], mixed])
        main, other = batches | RunInference(handler).with_exception_handling()
        kinds = values(main) | beam.Map(lambda value: type(value).__name__)
        assert_that(kinds, equal_to(["float", "Status"]))
        failed = other.failed_inferences | beam.Map(lambda pair: (len(pair[0]), pair[1][0]))
        assert_that(failed, equal_to([(2, bbp.InvalidArgument)]), label="Failed")


def test_a_time_limit_of_exception_handling_holds(pipeline, tiny_model):
    with pipeline() as p:
        rows = p | beam.Create([1.0])
        run = RunInference(bbp.SavedModelHandler(tiny_model)).with_exception_handling(timeout=300)
        main, _ = rows | run
        assert_that(values(main), equal_to([2.0]))


def test_arguments_of_the_call_are_refused(tiny_model):
    handler = bbp.SavedModelHandler(tiny_model)
    message = (
        "(?s)inference_args: a SavedModel has no argument 'training', only the inputs of its "
        r"signature.*SavedModel\(uri, parameters=…\)"
    )
    for each in (handler, KeyedModelHandler(handler), handler.with_preprocess_fn(abs)):
        with pytest.raises(bbp.InvalidArgument, match=message):
            _ = (
                beam.Pipeline()
                | beam.Create([1.0])
                | RunInference(each, inference_args={"training": False})
            )
    assert handler.validate_inference_args({}) is None


def test_metadata_changes_the_model(pipeline, tiny_model, tripling_model):
    with pipeline() as p:
        metadata = p | "Path" >> beam.Create([ModelMetadata(tripling_model, "tripling")])
        rows = p | beam.Create([1.0, 2.0])
        results = rows | RunInference(
            bbp.SavedModelHandler(tiny_model), model_metadata_pcoll=metadata
        )
        found = results | beam.Map(lambda result: (result.inference, result.model_id))
        assert_that(found, equal_to([(3.0, tripling_model), (6.0, tripling_model)]))


def test_a_watched_pattern_changes_the_model(pipeline, tiny_model, tripling_model, tmp_path):
    shutil.copytree(tripling_model, tmp_path / "models" / "2")
    later = time.time() + 3600  # Beam ignores files that are older than the pipeline
    os.utime(tmp_path / "models" / "2" / "saved_model.pb", (later, later))
    with pipeline() as p:
        rows = p | beam.Create([1.0])
        results = rows | RunInference(
            bbp.SavedModelHandler(tiny_model),
            watch_model_pattern=str(tmp_path / "models" / "*" / "saved_model.pb"),
            interval=1,
            stop_timestamp=Timestamp(time.time() + 1),
        )
        found = results | beam.Map(lambda result: (result.inference, result.model_id))
        assert_that(found, equal_to([(3.0, str(tmp_path / "models" / "2"))]))


def test_keys_stay_beside_results(pipeline, tiny_model):
    with pipeline() as p:
        rows = p | beam.Create([("a", 1.0), ("b", 2.0)])
        handler = KeyedModelHandler(bbp.SavedModelHandler(tiny_model))
        found = keyed_values(rows | RunInference(handler))
        assert_that(found, equal_to([("a", 2.0), ("b", 4.0)]))


def two_models(tiny_model, tripling_model, **options):
    return KeyedModelHandler(
        [
            KeyModelMapping(["a", "b"], bbp.SavedModelHandler(tiny_model)),
            KeyModelMapping(["c"], bbp.SavedModelHandler(tripling_model)),
        ],
        **options,
    )


@pytest.mark.parametrize("options", [{}, {"max_models_per_worker_hint": 1}], ids=["all", "one"])
def test_keys_select_models(options, pipeline, tiny_model, tripling_model):
    with pipeline() as p:
        rows = p | beam.Create([("a", 1.0), ("b", 2.0), ("c", 3.0)])
        found = keyed_values(rows | RunInference(two_models(tiny_model, tripling_model, **options)))
        assert_that(found, equal_to([("a", 2.0), ("b", 4.0), ("c", 9.0)]))


def test_functions_run_before_and_after_the_model(pipeline, tiny_model):
    handler = bbp.SavedModelHandler(tiny_model)
    handler = handler.with_preprocess_fn(float).with_preprocess_fn(lambda text: text.strip("x"))
    handler = handler.with_postprocess_fn(lambda result: result.inference)
    handler = handler.with_postprocess_fn(lambda value: value + 1)
    with pipeline() as p:
        found = p | beam.Create(["x1", "x2"]) | RunInference(handler)
        assert_that(found, equal_to([3.0, 5.0]))


def test_functions_stand_outside_of_keys(pipeline, tiny_model):
    handler = KeyedModelHandler(bbp.SavedModelHandler(tiny_model))
    handler = handler.with_preprocess_fn(lambda text: (text, float(text)))
    handler = handler.with_postprocess_fn(lambda pair: (pair[0], pair[1].inference))
    with pipeline() as p:
        found = p | beam.Create(["1", "2"]) | RunInference(handler)
        assert_that(found, equal_to([("1", 2.0), ("2", 4.0)]))


class Sizes(bbp.SavedModelHandler):
    """A handler whose results are the sizes of the batches."""

    def run_inference(self, batch, model, inference_args=None):
        results = super().run_inference(batch, model, inference_args)
        return [result._replace(inference=len(batch)) for result in results]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_batch_size": 4}, lambda sizes: max(sizes) <= 4),
        ({"min_batch_size": 5, "max_batch_size": 5}, lambda sizes: sizes == [5] * 20),
        ({"max_batch_duration_secs": 60, "max_batch_size": 3}, lambda sizes: max(sizes) <= 3),
    ],
    ids=["max", "min", "duration"],
)
def test_batches_have_the_sizes_that_are_set(options, expected, pipeline, tiny_model):
    def check(sizes):
        assert len(sizes) == 20
        assert expected(sizes), sizes

    with pipeline() as p:
        rows = p | beam.Create([float(x) for x in range(20)], reshuffle=False)
        assert_that(values(rows | RunInference(Sizes(tiny_model, **options))), check)


@pytest.mark.parametrize("options", [{"large_model": True}, {"model_copies": 2}], ids=str)
def test_processes_can_share_the_model(options, pipeline, tiny_model):
    with pipeline() as p:
        rows = p | beam.Create([1.0, "bad", 3.0])
        results = values(rows | RunInference(bbp.SavedModelHandler(tiny_model, **options)))
        found = results | beam.Map(lambda value: value if isinstance(value, float) else "failed")
        assert_that(found, equal_to([2.0, "failed", 6.0]))


def test_paths_of_keys_change_their_models(tiny_model, tripling_model):
    handler = two_models(tiny_model, tripling_model)
    handler.override_metrics("test")
    manager = handler.load_model()
    paths = [
        KeyModelPathMapping(["a", "b"], tripling_model, "new"),
        KeyModelPathMapping(["c"], tiny_model, "new"),
    ]
    handler.update_model_paths(manager, paths)
    results = dict(handler.run_inference([("a", 1.0), ("c", 1.0)], manager))
    assert {key: result.inference for key, result in results.items()} == {"a": 3.0, "c": 2.0}


@pytest.mark.parametrize("path", [None, ""])
def test_no_path_keeps_the_model(path, tiny_model):
    handler = bbp.SavedModelHandler(bbp.SavedModel(tiny_model, "length"))
    handler.update_model_path(path)
    (result,) = handler.run_inference(["abc"], handler.load_model())
    assert (result.inference, result.model_id) == (3, tiny_model)
