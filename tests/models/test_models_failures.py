"""What a model raised, as a status that a user can read."""

import numpy as np
import pytest

from beam_batch_predict.models.failures import is_out_of_memory, status_of
from beam_batch_predict.status import Code


class CodedError(Exception):
    def __init__(self, error_code):
        super().__init__("no")
        self.error_code = error_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("no"), Code.INVALID_ARGUMENT),
        (TypeError("no"), Code.INVALID_ARGUMENT),
        (MemoryError("no"), Code.RESOURCE_EXHAUSTED),
        (TimeoutError("no"), Code.DEADLINE_EXCEEDED),
        (RuntimeError("no"), Code.INTERNAL),
        (CodedError(8), Code.RESOURCE_EXHAUSTED),
        (CodedError(14), Code.UNAVAILABLE),
        (CodedError(99), Code.UNKNOWN),
        (CodedError("throttled"), Code.UNKNOWN),
        (CodedError(0), Code.INTERNAL),
    ],
)
def test_the_code_is_the_errors_own_or_that_of_its_type(error, code):
    assert status_of(error) == (code, "the model failed: no")
    assert is_out_of_memory(error) is (code is Code.RESOURCE_EXHAUSTED)


def test_an_error_without_words_is_named_by_its_type():
    assert status_of(RuntimeError()).message == "the model failed: RuntimeError"


def test_a_long_message_is_cut():
    message = status_of(ValueError("word " * 1000)).message
    assert message.endswith("…")
    assert len(message) < 1050


def test_a_message_is_one_line():
    assert status_of(ValueError("a\n\n  b\tc")).message == "the model failed: a b c"


@pytest.mark.parametrize(
    "text",
    [
        "the cause [[{{node x}}]] [Op:__inference_1]",
        "the cause [Op:AddV2]",
        "the cause\n\t [[{{node x}}]]\n\nCaused by op 'x', defined at: me",
        "the cause\n\nOriginal stack trace for 'x': here",
        "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
        "<stack traces unavailable>\nthe cause\n\t [[{{node x}}]] [Op:__inference_1]",
        "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
        '  File "a.py", line 1, in f\n\nthe cause\n\t [[{{node x}}]] [Op:__inference_1]',
    ],
)
def test_the_noise_of_the_graph_is_left_out(text):
    assert status_of(RuntimeError(text)).message == "the model failed: the cause"


def test_an_error_of_tensorflow_keeps_its_code_and_its_cause(load):
    with pytest.raises(Exception, match="Graph execution error") as caught:
        load("picky").model.call({"x": np.array([4, -5])})
    code, message = status_of(caught.value)
    assert code is Code.INVALID_ARGUMENT
    assert message.startswith("the model failed: assertion failed: [x must not be negative.")
    assert "node" not in message
    assert "Op:" not in message
