"""tfx_bsl's model handler in Beam's `RunInference`, on serialized Examples.

`tfx_bsl.public.beam.RunInference` ignores the batch size. The handler from `CreateModelHandler`
uses the batch size, and is otherwise the same code.
"""

from __future__ import annotations

import json

import apache_beam as beam
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tfx_bsl.public.beam import run_inference
from tfx_bsl.public.proto import model_spec_pb2

from benchmarks.contestants.flags import Flags, finished, parse

__all__ = ["build", "main"]


def _keyed(serialized: bytes) -> tuple[str, bytes]:
    example = tf.train.Example.FromString(serialized)
    return example.features.feature["id"].bytes_list.value[0].decode(), serialized


def _line(keyed: tuple[str, PredictionLog]) -> str:
    key, log = keyed
    # One row: the result tensor has a batch dimension of 1.
    scores = tf.make_ndarray(log.predict_log.response.outputs["scores"])[0]
    return json.dumps({"key": key, "prediction": scores.tolist()})


def _inference_spec(flags: Flags) -> model_spec_pb2.InferenceSpecType:
    return model_spec_pb2.InferenceSpecType(
        saved_model_spec=model_spec_pb2.SavedModelSpec(
            model_path=str(flags.model), signature_name=["serving_default"]
        ),
        batch_parameters=model_spec_pb2.BatchParameters(
            min_batch_size=flags.batch_size, max_batch_size=flags.batch_size
        ),
    )


def build(pipeline: beam.Pipeline, flags: Flags) -> None:
    """Add the steps to a pipeline."""
    handler = run_inference.CreateModelHandler(_inference_spec(flags))
    _ = (
        pipeline
        | "Read" >> beam.io.ReadFromTFRecord(flags.input)
        | "Key" >> beam.Map(_keyed)
        | "Predict" >> RunInference(KeyedModelHandler(handler))
        | "Line" >> beam.Map(_line)
        | "Write" >> beam.io.WriteToText(str(flags.output / "predictions"), ".jsonl")
    )


def main() -> None:
    """Run the pipeline on one file, in memory with one worker."""
    flags = parse()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        build(pipeline, flags)
    finished(flags.output)


if __name__ == "__main__":
    # Pickled by name, not by value: see `beam_usual`.
    from benchmarks.contestants import tfx_bsl

    tfx_bsl.main()
