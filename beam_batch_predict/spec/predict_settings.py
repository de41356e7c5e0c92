"""The settings of prediction as one value."""

from __future__ import annotations

import dataclasses

from beam_batch_predict.spec.checks import check_number, check_positive, check_type
from beam_batch_predict.spec.output import NonFinite

__all__ = ["DEFAULT_BATCH_SIZE", "DEFAULT_CALL_TIMEOUT_SECONDS", "PredictSettings"]

DEFAULT_BATCH_SIZE = 64
"""`manualBatchTuningParameters.batchSize` if a job sets none (Vertex AI's default)."""

DEFAULT_CALL_TIMEOUT_SECONDS = 600.0
"""Ten minutes for one call of the model, the limit of the service for a container."""


@dataclasses.dataclass(frozen=True)
class PredictSettings:
    """The settings of the calls of a model, and of failed predictions.

    Args:
        batch_size: the number of rows in a call, at most.
        non_finite: ERROR fails a row whose prediction has a NaN or an infinity.
        call_timeout_seconds: the time limit of a call; 0 is no limit.

    Raises:
        InvalidArgument: a value has the wrong type or is out of range.

    Example:
        >>> PredictSettings(batch_size=512).call_timeout_seconds
        600.0
    """

    batch_size: int = DEFAULT_BATCH_SIZE
    non_finite: NonFinite = NonFinite.STRING
    call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        check_positive(self.batch_size, "batch_size")
        check_type(self.non_finite, NonFinite, "non_finite")
        check_number(self.call_timeout_seconds, "call_timeout_seconds")
