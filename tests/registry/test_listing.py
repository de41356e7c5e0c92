"""The commands `models list` and `models describe`: without loading, and as the model has it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from beam_batch_predict import cli
from beam_batch_predict.batch import InstanceBatch
from beam_batch_predict.commands.describe_model import describe_model, example_of
from beam_batch_predict.encoding.json_text import dumps
from beam_batch_predict.encoding.tensor_info import TensorInfo
from beam_batch_predict.errors import ModelError
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.models.calls.isolation import ModelCaller
from beam_batch_predict.models.predict import predict_batch
from beam_batch_predict.models.saved_model import proto
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.models.saved_model.proto import read_signatures
from beam_batch_predict.models.signature import Signature
from beam_batch_predict.registry.resolved import REGISTRY_VARIABLE
from beam_batch_predict.spec import InstanceConfig, SavedModel


@pytest.fixture(autouse=True)
def _no_registry(monkeypatch):
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)


@pytest.fixture(scope="session")
def varied(tmp_path_factory):
    """A SavedModel with signatures of many types and shapes, some of which no row can fill."""
    import tensorflow as tf

    module = tf.Module()

    def make(function, **specs):
        return tf.function(function).get_concrete_function(
            **{name: tf.TensorSpec(*spec, name=name) for name, spec in specs.items()}
        )

    def echo(**inputs):
        return {name: tf.identity(value) for name, value in inputs.items()}

    dtypes = (
        *("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "bool", "string"),
    )
    signatures = {
        "serving_default": make(lambda x: {"y": 2 * x}, x=([None], tf.float32)),
        "dtypes": make(echo, **{dtype: ([None, None, 2], dtype) for dtype in dtypes}),
        "any_shape": make(lambda x: {"y": x + 1.0}, x=(None, tf.float32)),
        "b64": make(lambda b64: {"n": tf.strings.length(b64)}, b64=([None], tf.string)),
        "bytes": make(lambda s_bytes: {"y_bytes": s_bytes}, s_bytes=([None], tf.string)),
        "scaled": make(
            lambda x, factor: {"y": x * factor}, x=([None], tf.float32), factor=([], tf.float32)
        ),
        "fours": make(lambda x: {"y": x * 2}, x=([4], tf.float32)),
        "images": make(
            lambda x: {"mean": tf.reduce_mean(x, [1, 2, 3])}, x=([None, 224, 224, 3], tf.uint8)
        ),
        "empty": make(lambda x: {"n": tf.reduce_sum(x, 1)}, x=([None, 0], tf.float32)),
        "complex": make(lambda x: {"y": tf.math.real(x)}, x=([None], tf.complex64)),
        "classes": make(
            lambda x: {"y": 2 * x, "labels": tf.constant(["cat", "dog"])}, x=([None], tf.float32)
        ),
        "summed": make(lambda x: {"y": tf.reduce_sum(x)}, x=([None], tf.float32)),
        'a "name" \N{SNOWMAN}': make(lambda x: {"y": x}, x=([None], tf.string)),
    }
    uri = str(tmp_path_factory.mktemp("varied") / "model")
    tf.saved_model.save(module, uri, signatures=signatures)
    return uri


NOT_BY_ROW = {"classes", "complex", "summed"}


def test_signatures_are_those_of_the_loaded_model(varied):
    read = {signature.name: signature for signature in read_signatures(varied).signatures}
    for name in set(read) - NOT_BY_ROW - {"scaled"}:
        loaded = load_model(SavedModel(varied, name)).signature
        assert read[name] == loaded, name
    import tensorflow as tf

    assert set(read) == set(tf.saved_model.load(varied).signatures)


def test_each_example_is_predicted_as_a_line_of_a_job(varied):
    described = read_signatures(varied).signatures
    predicted = set()
    for signature in described:
        example = example_of(signature)
        if example.problem:
            continue
        rows = InstanceBatch([dumps(example.instance)], chunk=0, chunks=1)
        caller = ModelCaller(load_model(SavedModel(varied, signature.name, example.parameters)))
        result = predict_batch(convert(rows, InstanceConfig()), caller)
        assert result.statuses == {}, signature.name
        assert len(result.predictions[0].rows) == 1
        predicted.add(signature.name)
    assert predicted == {signature.name for signature in described} - NOT_BY_ROW


@pytest.mark.parametrize("name", sorted(NOT_BY_ROW))
def test_a_signature_that_no_job_takes_shows_why(varied, name):
    (signature,) = (s for s in read_signatures(varied).signatures if s.name == name)
    with pytest.raises(ModelError) as caught:
        load_model(SavedModel(varied, name))
    assert caught.value.message == f"the model at {varied}: {example_of(signature).problem}"


def test_examples_have_the_shape_and_the_type_that_the_signature_says():
    x = TensorInfo("x", "int64", (None, 2, None))
    image = TensorInfo("image_bytes", "string", (None,))
    factor = TensorInfo("factor", "float32", ())
    example = example_of(Signature("s", (factor, image, x), ()))
    assert example.instance == {"image_bytes": {"b64": "dGV4dA=="}, "x": [[0], [0]]}
    assert example.parameters == {"factor": 0.0}


@pytest.mark.parametrize("dtype", ["sparse float32", "resource", "type 77"])
def test_what_no_row_can_fill_has_no_example(dtype):
    example = example_of(Signature("s", (TensorInfo("x", dtype, (None,)),), ()))
    assert f"input 'x' is {dtype}, which JSON cannot hold" in example.problem


def test_an_instance_of_gigabytes_is_not_made():
    tensor = TensorInfo("x", "float32", (None, 1_000_000, 1_000_000))
    example = example_of(Signature("s", (tensor,), ()))
    assert example.problem == "an instance has 1000000000000 values, which are too many to show"


def test_dtypes_have_the_numbers_that_tensorflow_gives_them():
    from tensorflow.core.framework import types_pb2

    for number, name in proto._DTYPES.items():
        enum = f"DT_{proto._ENUM_NAMES.get(name, name.upper())}"
        assert types_pb2.DataType.Value(enum) == number
        assert types_pb2.DataType.Value(f"{enum}_REF") == number + proto._REFERENCE


def test_fields_have_the_numbers_that_tensorflow_gives_them():
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    theirs = {
        "SavedModel": saved_model_pb2.SavedModel,
        "MetaGraph": meta_graph_pb2.MetaGraphDef,
        "MetaInfo": meta_graph_pb2.MetaGraphDef.MetaInfoDef,
        "Ops": op_def_pb2.OpList,
        "Op": op_def_pb2.OpDef,
        "Signature": meta_graph_pb2.SignatureDef,
        "Tensor": meta_graph_pb2.TensorInfo,
        "Shape": TensorShapeProto,
        "Dimension": TensorShapeProto.Dim,
    }
    for message, fields in proto._MESSAGES.items():
        for field, (number, _) in fields.items():
            assert theirs[message].DESCRIPTOR.fields_by_name[field].number == number


def test_a_model_in_text_form_is_read(varied, tmp_path):
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    with open(f"{varied}/saved_model.pb", "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    del model.meta_graphs[0].graph_def.library.function[:]
    (tmp_path / "saved_model.pbtxt").write_text(text_format.MessageToString(model))
    assert read_signatures(str(tmp_path)) == read_signatures(varied)


def test_of_several_graphs_the_one_for_serving_is_read(varied, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    with open(f"{varied}/saved_model.pb", "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    training = saved_model_pb2.SavedModel()
    graph = training.meta_graphs.add()
    graph.meta_info_def.tags.append("train")
    training.meta_graphs.append(model.meta_graphs[0])
    (tmp_path / "saved_model.pb").write_bytes(training.SerializeToString())
    assert read_signatures(str(tmp_path)).tags == ("serve",)
    assert len(read_signatures(str(tmp_path)).signatures) == len(read_signatures(varied).signatures)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x0a\xff", bytes(range(256)) * 10])
def test_a_damaged_file_is_no_model(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match="its saved_model.pb is damaged or not a SavedModel"):
        read_signatures(str(tmp_path))


def test_a_directory_without_a_model_says_so(tmp_path, capfd):
    assert cli.main(["models", "describe", str(tmp_path)]) == 1
    assert "there is no SavedModel at" in capfd.readouterr().err


def test_a_description_for_people(varied, capfd):
    assert cli.main(["models", "describe", varied]) == 0
    said = capfd.readouterr().out
    lines = said.splitlines()
    assert lines[0] == varied
    at = lines.index("signature serving_default")
    assert lines[at : at + 7] == [
        "signature serving_default",
        "  inputs",
        "    x  float32  [?]",
        "  outputs",
        "    y  float32  [?]",
        "  an instance",
        '    {"x":0.0}',
    ]
    assert "… 224 in all]" in said
    assert max(map(len, lines)) < 500
    assert "cannot predict row by row: input 'x' is complex64" in said
    assert '    {"factor":0.0}' in said
    assert said.isascii() or all(line.isprintable() for line in lines)


def test_a_description_for_programs(varied, capfd):
    assert cli.main(["models", "describe", "--json", varied]) == 0
    described = json.loads(capfd.readouterr().out)
    assert described["tags"] == ["serve"]
    signatures = {each["name"]: each for each in described["signatures"]}
    assert signatures["serving_default"] == {
        "name": "serving_default",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [None]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [None]}],
        "exampleInstance": {"x": 0.0},
    }
    assert signatures["any_shape"]["inputs"][0]["shape"] is None
    assert np.shape(signatures["images"]["exampleInstance"]["x"]) == (224, 224, 3)
    assert signatures["scaled"]["modelParameters"] == {"factor": 0.0}
    assert "exampleInstance" not in signatures["summed"]
    assert "problem" in signatures["summed"]


def test_describing_a_model_imports_no_tensorflow(varied):
    code = (
        "import sys; from beam_batch_predict import cli;"
        f"cli.main(['models', 'describe', {varied!r}]);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def registry(tmp_path, varied):
    """A registry of two models, whose files are links."""
    for place in ("penguins/1", "penguins/12", "irises/3"):
        (tmp_path / "models" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / place).symlink_to(varied)
    (tmp_path / "models" / "irises" / "4").mkdir()
    (tmp_path / "models" / "penguins" / "versions.yaml").write_text("aliases: {stable: 1}")
    return str(tmp_path / "models")


def test_a_list_for_people(registry, capfd):
    assert cli.main(["models", "list", "--model_registry", registry]) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "NAME      DEFAULT  VERSIONS  ALIASES",
        "irises    3        3",
        "penguins  12       12, 1     stable=1",
    ]
    assert "note: irises: version 4 is not complete" in said.err


def test_a_list_for_programs(registry, capfd, monkeypatch):
    monkeypatch.setenv(REGISTRY_VARIABLE, registry)
    assert cli.main(["models", "list", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert listed["registry"] == registry
    irises, penguins = listed["models"]
    assert penguins == {
        "name": "penguins",
        "uri": f"{registry}/penguins",
        "default": "12",
        "versions": [
            {"version": "1", "uri": f"{registry}/penguins/1"},
            {"version": "12", "uri": f"{registry}/penguins/12"},
        ],
        "aliases": {"stable": "1"},
        "notes": [],
    }
    assert len(irises["notes"]) == 1


def test_a_model_is_described_by_name(registry, capfd):
    arguments = ["models", "describe", "penguins@stable", f"--model_registry={registry}"]
    assert cli.main(arguments) == 0
    assert capfd.readouterr().out.startswith(f"penguins@1: {registry}/penguins/1\n")
    assert cli.main([*arguments, "--json"]) == 0
    described = json.loads(capfd.readouterr().out)
    assert (described["name"], described["version"]) == ("penguins", "1")


def test_a_name_is_no_directory_where_there_is_a_registry(registry, tmp_path, monkeypatch):
    (tmp_path / "here" / "penguins").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert describe_model("penguins", registry).uri == f"{registry}/penguins/12"
    with pytest.raises(ModelError, match="no SavedModel at penguins"):
        describe_model("penguins")
    with pytest.raises(ModelError, match=r"no SavedModel at \./penguins"):
        describe_model("./penguins", registry)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list"], "no model registry is set"),
        (["list", "--model_registry=/nowhere/at/all"], "no model registry at /nowhere/at/all"),
        (["describe", "penguins"], "no model registry is set"),
        (["describe", ".."], "there is no SavedModel at .."),
        (["describe", "projects/p/models/.."], "it refers to another directory"),
    ],
)
def test_a_missing_model_or_directory_is_reported(arguments, words, capfd):
    assert cli.main(["models", *arguments]) in (1, 2)
    said = capfd.readouterr()
    assert words in said.err
    assert said.out == ""


def test_an_empty_registry_is_no_error(tmp_path, capfd):
    assert cli.main(["models", "list", f"--model_registry={tmp_path}"]) == 0
    assert "has no models" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["list", "x"], ["describe"]])
def test_wrong_arguments_are_refused_with_the_help_to_read(arguments, capfd):
    assert cli.main(["models", *arguments]) == 2
    assert "hint: see beam-batch-predict" in capfd.readouterr().err
