"""Functions for targets of text formats: files in memory, and the outcome of each row."""

import io

from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.sources.file_kinds import compression_of, problem_of
from beam_batch_predict.spec import InstanceConfig, NonFinite

CONFIGS = [
    InstanceConfig(),
    InstanceConfig("object"),
    InstanceConfig("array"),
    InstanceConfig(key_field="a"),
    InstanceConfig("array", included_fields=["b", "a"]),
    InstanceConfig(included_fields=["a"]),
    InstanceConfig(excluded_fields=["a"]),
    InstanceConfig(key_field="a", excluded_fields=["b"]),
]
NON_FINITE = list(NonFinite)


def opener(content):
    """Opens a file in memory under any name."""
    return lambda uri: io.BytesIO(content)


def is_stored_text(content):
    """Whether a file is read as the lines that it has, and not as compressed or other data."""
    return not compression_of(content) and not problem_of(content, io.BytesIO(content))


def outcomes(batch, non_finite):
    """Return all data of each row of a batch, as values that can be compared."""
    shown = NonFinite.STRING if non_finite is NonFinite.ERROR else non_finite
    return [
        (
            dumps(batch.instances[at]),
            dumps(batch.instances[at], shown) if batch.texts is None else batch.texts[at],
            dumps(batch.keys and batch.keys[at]),
            dumps(batch.attached and batch.attached[at]),
            batch.statuses.get(at),
        )
        for at in range(len(batch))
    ]
