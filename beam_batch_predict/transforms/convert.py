"""Rows to instances."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.spec import (
    InstanceConfig,
    NonFinite,
)
from beam_batch_predict.transforms import coders as _coders  # noqa: F401 - registers the batch's coder

__all__ = ["ConvertInstances"]


@dataclasses.dataclass
class ConvertInstances(beam.PTransform):
    """Convert the rows of batches to the instances that the model gets.

    Args:
        config: key field, included and excluded fields, instance type.
        non_finite: how a NaN or an infinity of the input is echoed in the output.

    Example:
        >>> ConvertInstances(InstanceConfig(key_field="id")).config.key_field
        'id'
    """

    config: InstanceConfig = InstanceConfig()
    non_finite: NonFinite = NonFinite.STRING

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, batches: PCollection[InstanceBatch]) -> PCollection[InstanceBatch]:
        """Convert each batch."""
        return batches | "Convert" >> beam.Map(
            convert, config=self.config, non_finite=self.non_finite
        ).with_output_types(InstanceBatch)
