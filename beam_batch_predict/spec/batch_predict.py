"""The description of one batch prediction, for jobs of any service."""

from __future__ import annotations

import dataclasses
from typing import Any

from beam_batch_predict.spec.checks import check_number, check_positive, check_type
from beam_batch_predict.spec.instance_config import InstanceConfig, check_applicable
from beam_batch_predict.spec.model import SavedModel
from beam_batch_predict.spec.outcome import JobRenderer
from beam_batch_predict.spec.output import (
    BigQueryDestination,
    Destination,
    GcsDestination,
    NonFinite,
    OutputSettings,
    RecordShape,
    check_predictions_format,
    file_names_of,
)
from beam_batch_predict.spec.predict_settings import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_CALL_TIMEOUT_SECONDS,
    PredictSettings,
)
from beam_batch_predict.spec.sources import SOURCES, BigQuery, Source

__all__ = ["DEFAULT_MAX_FAILED_FRACTION", "DEFAULT_MAX_FAILED_MIN_ROWS", "BatchPredictSpec"]

DEFAULT_MAX_FAILED_FRACTION = 0.5
"""A job fails if more than this fraction of its rows fails."""

DEFAULT_MAX_FAILED_MIN_ROWS = 100
"""The limit does not apply to fewer rows: a few failed rows do not show that the job is wrong."""


@dataclasses.dataclass(frozen=True)
class BatchPredictSpec:
    """One batch prediction.

    Args:
        source: the input.
        model: the model to call.
        destination: the destination.
        instances: how rows become instances.
        predictions_format: the format of the output files; for tables it is "bigquery".
        batch_size: the number of rows in one call of the model.
        non_finite: how NaN and infinities are written.
        record_shape: the shape of output records.
        max_failed_fraction: the run fails if a larger fraction of its rows fails; 1 is no limit.
        max_failed_min_rows: the number of rows from which that limit applies.
        call_timeout_seconds: the time limit of a call of the model; 0 is no limit.
        job: the job of this run, which renders the job resource.

    Raises:
        InvalidArgument: a value cannot work.

    Example:
        >>> from beam_batch_predict.spec import GcsDestination, JsonLines
        >>> spec = BatchPredictSpec(
        ...     JsonLines("in.jsonl"), SavedModel("model"), GcsDestination("out"))
        >>> spec.batch_size
        64
    """

    source: Source
    model: SavedModel
    destination: Destination
    instances: InstanceConfig = InstanceConfig()
    predictions_format: str = "jsonl"
    batch_size: int = DEFAULT_BATCH_SIZE
    non_finite: NonFinite = NonFinite.STRING
    record_shape: RecordShape = RecordShape.ECHO
    max_failed_fraction: float = DEFAULT_MAX_FAILED_FRACTION
    max_failed_min_rows: int = DEFAULT_MAX_FAILED_MIN_ROWS
    call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS
    job: JobRenderer | None = None

    def __post_init__(self) -> None:
        check_type(self.source, SOURCES, "source")
        check_type(self.model, SavedModel, "model")
        check_type(self.destination, (GcsDestination, BigQueryDestination), "destination")
        check_type(self.instances, InstanceConfig, "instances")
        check_type(self.record_shape, RecordShape, "record_shape")
        _ = self.predict_settings  # checks the values
        check_number(self.max_failed_fraction, "max_failed_fraction", 1)
        check_positive(self.max_failed_min_rows, "max_failed_min_rows")
        if isinstance(self.destination, BigQueryDestination):
            object.__setattr__(self, "predictions_format", "bigquery")
        else:
            check_predictions_format(self.predictions_format)
        check_applicable(self.instances, self.source.format)

    @property
    def output(self) -> OutputSettings:
        """The content and the names of the output files."""
        names = file_names_of(self.destination)
        return OutputSettings(self.predictions_format, self.record_shape, names, self.non_finite)

    @property
    def predict_settings(self) -> PredictSettings:
        """The settings of the calls of the model."""
        return PredictSettings(self.batch_size, self.non_finite, self.call_timeout_seconds)

    def paid_by(self, project: str) -> BatchPredictSpec:
        """Return a copy with a project to bill for BigQuery, if its clients have none.

        Example:
            >>> from beam_batch_predict.spec import BigQuery, GcsDestination
            >>> spec = BatchPredictSpec(
            ...     BigQuery("p.d.t"), SavedModel("model"), GcsDestination("out"))
            >>> spec.paid_by("mine").source.clients.project
            'mine'
        """
        paid: dict[str, Any] = {}
        for name in ("source", "destination"):
            table = getattr(self, name)
            if isinstance(table, (BigQuery, BigQueryDestination)) and not table.clients.project:
                clients = dataclasses.replace(table.clients, project=project)
                paid[name] = dataclasses.replace(table, clients=clients)
        return dataclasses.replace(self, **paid)
