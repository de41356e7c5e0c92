"""What makes a signature fit for predicting row by row."""

import pytest

from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import ModelError
from beam_batch_predict.models.signature import Signature, shape_text

X = TensorInfo("x", "float32", (None, 2))
Y = TensorInfo("y", "float32", (None,))


def test_rows_in_and_rows_out_are_fine():
    Signature("s", (X,), (Y,)).check()
    Signature("s", (X._replace(shape=None),), (Y._replace(shape=None),)).check()
    Signature("s", (X, X._replace(name="z", shape=(8, 2))), (Y,)).check()


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        (
            [X],
            [Y, Y._replace(name="labels", shape=(3,))],
            "output 'labels' has shape [3], whose outer dimension is not the batch; "
            "leave it out of the signature, or repeat it for each row",
        ),
        ([X], [Y._replace(shape=(1, 5))], "output 'y' has shape [1, 5], whose outer dimension"),
        (
            [X._replace(shape=(4,))],
            [Y._replace(shape=(4,)), Y._replace(name="z", shape=(2,))],
            "output 'z' has shape [2]",
        ),
        ([X._replace(shape=None)], [Y._replace(shape=(0,))], "output 'y' has shape [0]"),
        (
            [X, X._replace(name="factor", shape=())],
            [Y],
            "input 'factor' is a scalar without a batch dimension; give",
        ),
        (
            [X._replace(shape=())],
            [Y._replace(shape=())],
            "its inputs have no batch dimension, it takes one instance in each call",
        ),
        ([X], [Y._replace(shape=())], "output 'y' is a scalar without a batch dimension"),
        ([X._replace(dtype="complex64")], [Y], "input 'x' is complex64, which JSON cannot hold"),
        ([X], [Y._replace(dtype="variant")], "output 'y' is variant, which JSON cannot hold"),
        ([], [Y], "it has no input that a row could fill"),
        (
            [X._replace(shape=(3,)), X._replace(shape=(4,))],
            [Y],
            "its inputs have batches of 3 and 4 rows",
        ),
    ],
)
def test_a_signature_that_cannot_predict_rows_is_refused(inputs, outputs, problem):
    with pytest.raises(ModelError) as caught:
        Signature("s", tuple(inputs), tuple(outputs)).check()
    assert caught.value.message.startswith("signature 's' cannot predict row by row: ")
    assert problem in caught.value.message


def test_all_problems_are_reported_at_once():
    inputs = (X._replace(shape=()), X._replace(name="z"))
    signature = Signature("s", inputs, (Y._replace(dtype="string_ref"),))
    with pytest.raises(ModelError, match=r"'x' is a scalar.*'y' is string_ref") as caught:
        signature.check()
    assert caught.value.message.count(";") == 2  # one of them before the remedy


def test_outputs_of_a_fixed_batch_have_its_size():
    Signature("s", (X._replace(shape=(4, 2)),), (Y._replace(shape=(4,)), Y)).check()


def test_a_fixed_batch_dimension_is_known():
    assert Signature("s", (X, X._replace(shape=(8, 2))), (Y,)).static_rows == 8
    assert Signature("s", (X, X._replace(shape=None)), (Y,)).static_rows is None


def test_shapes_read_as_users_write_them():
    assert [shape_text(shape) for shape in [(), (2,), (None, 3)]] == [
        "[] (a scalar)",
        "[2]",
        "[?, 3]",
    ]
