"""SavedModels: where they are looked for, which load, and what those are told that do not."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from beam_batch_predict import files
from beam_batch_predict.errors import ModelError
from beam_batch_predict.models.saved_model import loading
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.spec import SavedModel


def refusal(uri, signature_name="picky"):
    with pytest.raises(ModelError) as caught:
        load_model(SavedModel(str(uri), signature_name))
    return caught.value


def test_a_missing_directory_is_reported(tmp_path):
    error = refusal(tmp_path / "nowhere")
    assert error.message == (
        f"there is no SavedModel at {tmp_path}/nowhere: it holds no saved_model.pb"
    )
    assert error.hint == "name the directory of a TensorFlow SavedModel"


def test_an_empty_directory_is_reported(tmp_path):
    assert refusal(tmp_path).message.endswith("holds no saved_model.pb")


def test_a_directory_of_versions_lists_them(tmp_path):
    for name in ("00000123", "9", "1000", "no model", "more/1"):
        (tmp_path / name).mkdir(parents=True)
        if name != "no model":
            (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "no model" / "saved_model.pb.part").touch()
    error = refusal(f"{tmp_path}/")
    assert error.message == (
        f"there is no SavedModel at {tmp_path}/: it holds no saved_model.pb, "
        "but it has directories of models: 9, 00000123, 1000"
    )
    assert error.hint == f"name one of them, such as {tmp_path}/1000"


def test_of_many_versions_the_last_are_listed(tmp_path):
    for version in range(100):
        (tmp_path / f"{version}").mkdir()
        (tmp_path / f"{version}" / "saved_model.pbtxt").touch()
    error = refusal(tmp_path)
    assert error.message.endswith(
        "has directories of models: " + ", ".join(map(str, range(80, 100))) + ", and 80 before them"
    )


def test_an_unknown_file_system_is_reported():
    assert "nosuch://models/x cannot be read" in refusal("nosuch://models/x").message


@pytest.mark.parametrize("content", [b"junk", b""])
def test_a_corrupt_model_is_reported(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)
    error = refusal(tmp_path)
    assert f"the model at {tmp_path} cannot be loaded: " in error.message
    assert error.hint.startswith("its saved_model.pb is damaged or not a SavedModel")


def test_missing_variables_are_reported(model_uri, tmp_path):
    uri = tmp_path / "model"
    shutil.copytree(model_uri, uri)
    shutil.rmtree(uri / "variables")
    error = refusal(uri)
    assert f"the model at {uri} cannot be loaded: " in error.message
    assert "no variables/variables.index" in error.hint


def described(uri):
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString(pathlib.Path(uri, "saved_model.pb").read_bytes())


def test_a_graph_that_tensorflow_refuses_is_reported_with_the_reason(tf1_uri, tmp_path):
    import tensorflow as tf

    uri = tmp_path / "model"
    shutil.copytree(tf1_uri, uri)
    description = described(uri)
    description.meta_graphs[0].graph_def.node.add(name="new", op="NoSuchOperation")
    description.meta_graphs[0].meta_info_def.tensorflow_version = "1.5.0"
    (uri / "saved_model.pb").write_bytes(description.SerializeToString())
    error = refusal(uri)
    assert "NoSuchOperation" in error.message
    assert "\n" not in error.message
    assert error.hint == (
        f"the model was written by TensorFlow 1.5.0, and this is TensorFlow {tf.__version__}: "
        "export it again with this version"
    )
    description.meta_graphs[0].meta_info_def.tags[:] = ["eval"]
    (uri / "saved_model.pb").write_bytes(description.SerializeToString())
    assert refusal(uri).hint == (
        "it was not exported for serving: its tags are eval; export it for serving"
    )


@pytest.fixture(scope="module")
def slots_uri(tmp_path_factory):
    """A model as Keras 2 wrote them: with an optimizer that keeps a slot for each variable."""
    import tensorflow as tf

    class Optimizer(tf.Module):
        def get_slot_names(self):
            return ["m", "v"]

        def get_slot(self, variable, name):
            return slots[name] if variable is module.weights else None

    directory = tmp_path_factory.mktemp("slots")
    vocabulary = directory / "words.txt"
    vocabulary.write_text("red\ngreen\n")
    module = tf.Module()
    module.weights = tf.Variable([10.0, 20.0, 30.0])
    module.optimizer = Optimizer()
    slots = {name: tf.Variable([1.0, 2.0, 3.0], name=name) for name in ("m", "v")}
    words = tf.lookup.TextFileInitializer(
        str(vocabulary),
        *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
        *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
    )
    module.table = tf.lookup.StaticHashTable(words, 2)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "x")])
    def weigh(x):
        return {"y": tf.gather(module.weights, module.table.lookup(x))}

    module.weigh = weigh
    uri = directory / "model"
    tf.saved_model.save(module, str(uri), signatures=weigh)
    vocabulary.unlink()
    nodes = described(uri).meta_graphs[0].object_graph_def.nodes
    assert sum(len(node.slot_variables) for node in nodes) == 2
    return uri


def weights_of_words(uri):
    model = load_model(SavedModel(str(uri)))
    return model.call({"x": np.array([b"green", b"red", b"mauve"], object)})["y"].tolist()


def test_an_optimizer_that_tensorflow_cannot_revive_is_left_out(slots_uri, caplog):
    import tensorflow as tf

    with pytest.raises(AttributeError, match="add_slot"):
        tf.saved_model.load(str(slots_uri))
    caplog.clear()
    assert weights_of_words(slots_uri) == [20.0, 10.0, 30.0]
    assert caplog.messages == []


def test_a_model_without_its_slots_predicts_as_a_session_does(slots_uri):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        (signature,) = (
            definition
            for name, definition in v1.saved_model.load(
                session, ["serve"], str(slots_uri)
            ).signature_def.items()
            if name == "serving_default"
        )
        words = {signature.inputs["x"].name: ["green", "red", "mauve"]}
        expected = session.run(signature.outputs["y"].name, words).tolist()
    assert weights_of_words(slots_uri) == expected


def test_a_model_with_slots_written_as_text_loads(slots_uri, tmp_path):
    from google.protobuf import text_format

    uri = tmp_path / "model"
    shutil.copytree(slots_uri, uri)
    (uri / "saved_model.pbtxt").write_text(text_format.MessageToString(described(uri)))
    (uri / "saved_model.pb").unlink()
    assert weights_of_words(uri) == [20.0, 10.0, 30.0]


def test_a_model_with_slots_is_read_only(slots_uri, monkeypatch, tmp_path):
    def state():
        return {path: path.stat().st_mtime_ns for path in slots_uri.rglob("*")}

    monkeypatch.setattr(loading.tempfile, "tempdir", str(tmp_path))
    before = state()
    weights_of_words(f"{slots_uri}/")
    assert state() == before
    assert os.listdir(tmp_path) == []


def test_missing_variables_of_a_model_with_slots_are_reported(slots_uri, tmp_path):
    uri = tmp_path / "model"
    shutil.copytree(slots_uri, uri)
    shutil.rmtree(uri / "variables")
    assert "no variables/variables.index" in refusal(uri).hint


def test_of_several_graphs_the_one_for_serving_is_loaded(tmp_path):
    import tensorflow as tf

    v1, uri = tf.compat.v1, str(tmp_path / "model")
    builder = v1.saved_model.Builder(uri)
    for tags, factor in ((["train"], 2.0), (["serve"], 3.0), (["serve", "tpu"], 5.0)):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None])
            weights = v1.get_variable("weights", initializer=10.0)
            session.run(v1.global_variables_initializer())
            outputs = {"y": x * weights * factor}
            signature = v1.saved_model.predict_signature_def({"x": x}, outputs)
            signatures = {"serving_default": signature}
            if factor == 2.0:
                builder.add_meta_graph_and_variables(session, tags, signatures)
            else:
                builder.add_meta_graph(tags, signatures)
    builder.save()
    model = load_model(SavedModel(uri))
    assert model.call({"x": np.array([1, 2], np.float32)})["y"].tolist() == [30.0, 60.0]
    description = described(uri)
    del description.meta_graphs[1]
    pathlib.Path(uri, "saved_model.pb").write_bytes(description.SerializeToString())
    error = refusal(f"{uri}/", "serving_default")
    assert "'serve' could not be found" in error.message


def importing_a_tensorflow(directory, code, level):
    """A process that imports a module of that name with some code."""
    (directory / "tensorflow.py").write_text(f"import os; os.write(2, b'noise '); {code}")
    return subprocess.run(
        [
            sys.executable,
            "-Wignore::FutureWarning",  # Google's libraries say that they will leave Python 3.10
            "-c",
            "import os; from beam_batch_predict.models.saved_model import loading\n"
            "loading.import_tensorflow(); os.write(2, b'done'); loading.import_tensorflow()",
        ],
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": level,
            "PYTHONPATH": os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
    )


@pytest.mark.parametrize(("level", "shown"), [("0", b"noise done"), ("3", b"done")])
def test_tensorflow_is_imported_silently_if_requested(tmp_path, level, shown):
    assert importing_a_tensorflow(tmp_path, "", level).stderr == shown


def test_what_tensorflow_logged_is_shown_where_its_import_fails(tmp_path):
    run = importing_a_tensorflow(tmp_path, "1 / 0", "3")
    assert run.returncode == 1
    assert run.stderr.startswith(b"noise ")
    assert b"ZeroDivisionError" in run.stderr


def test_a_remote_model_is_copied_here_and_the_copy_removed(model_uri, monkeypatch, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(loading.tempfile, "tempdir", str(copies))
    monkeypatch.setattr(files, "is_local", lambda uri: False)
    model = load_model(SavedModel(model_uri + "/", "lookup"))
    assert os.listdir(copies) == []
    assert model.call({"x": np.array([b"green"], object)})["y"].tolist() == [1]


def test_a_copy_that_breaks_off_is_removed(model_uri, monkeypatch, tmp_path):
    def fail(uri):
        raise OSError(f"{uri} is gone")

    monkeypatch.setattr(loading.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(files, "is_local", lambda uri: False)
    monkeypatch.setattr(files, "open_file", fail)
    assert "cannot be read: " in refusal(model_uri + "/").message
    assert os.listdir(tmp_path) == []
