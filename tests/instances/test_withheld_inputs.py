"""Configurations that take an input away from the rows are refused; others are not."""

import json

import pytest

from beam_batch_predict.cli import main
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.instances.withheld_inputs import check_no_input_is_withheld
from beam_batch_predict.spec import InstanceConfig

TEXT = TensorInfo("text", "string", (None,))
X = TensorInfo("x", "float32", (None,))
VECTOR = TensorInfo("x", "float32", (None, 2))


@pytest.mark.parametrize("has_columns", [False, True])
@pytest.mark.parametrize(
    ("inputs", "config", "message"),
    [
        ([TEXT, X], {"key_field": "x"}, 'the key field "x" is an input of the model'),
        ([TEXT, X], {"excluded_fields": ["id", "x"]}, 'excludedFields has "x"'),
        ([TEXT], {"key_field": "text"}, 'the key field "text" is an input of the model'),
        ([TEXT], {"excluded_fields": ["text"]}, 'excludedFields has "text"'),
        ([VECTOR], {"key_field": "x", "instance_type": "object"}, 'the key field "x"'),
    ],
)
def test_a_withheld_input_is_refused(has_columns, inputs, config, message):
    with pytest.raises(InvalidArgument, match=message):
        check_no_input_is_withheld(InstanceConfig(**config), inputs, has_columns)


@pytest.mark.parametrize(
    ("inputs", "config", "has_columns"),
    [
        ([TEXT, X], {"key_field": "id", "excluded_fields": ["note"]}, True),
        ([TEXT, X], {"included_fields": ["x", "text"]}, False),
        # the array of other columns is the input, whatever their names
        ([VECTOR], {"key_field": "x"}, True),
        ([VECTOR], {"included_fields": ["a", "b"], "instance_type": "array"}, False),
        ([TEXT], {"included_fields": ["other"]}, True),
    ],
)
def test_rows_that_can_fill_all_inputs_are_not_refused(inputs, config, has_columns):
    check_no_input_is_withheld(InstanceConfig(**config), inputs, has_columns)


def test_the_other_column_is_not_predicted_if_the_key_is_the_only_input(
    tmp_path, string_model, capfd
):
    (name, model) = string_model
    (tmp_path / "in.csv").write_text(f"{name},id\nhello,5\n")
    arguments = ["--instances_format=csv", f"--input_uris={tmp_path}/in.csv", f"--key_field={name}"]
    arguments += [f"--model_uri={model}", f"--output_uri_prefix={tmp_path}/out"]
    assert main(["run", *arguments]) == 1
    output = capfd.readouterr()
    assert f'the key field "{name}" is an input of the model' in output.err
    assert json.loads(output.out)["completionStats"]["successfulCount"] == "0"


@pytest.fixture(scope="module")
def string_model(tmp_path_factory):
    """The name of the input of a model of one string, and its directory."""
    import tensorflow as tf

    class Echo(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def run(self, text):
            return {"same": tf.identity(text)}

    path, module = str(tmp_path_factory.mktemp("echo") / "model"), Echo()
    tf.saved_model.save(module, path, signatures=module.run)
    return "text", path
