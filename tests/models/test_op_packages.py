"""Ops of other packages: modules that register them are imported, and messages name them."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from beam_batch_predict import cli
from beam_batch_predict.errors import InvalidArgument, ModelError
from beam_batch_predict.models.saved_model.loaded_model import load_model
from beam_batch_predict.models.saved_model.op_packages import packages_of
from beam_batch_predict.spec import SavedModel
from beam_batch_predict.transforms.model_handler import SavedModelHandler


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that makes a module with some code; its name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(name, code):
        (tmp_path / f"{name}.py").write_text(code)
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def with_op(tiny_model, tmp_path):
    """A function that makes a model with an op, written by a version of TensorFlow; its path."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    def make(op, version=tf.__version__):
        uri = tmp_path / "model"
        shutil.copytree(tiny_model, uri, dirs_exist_ok=True)
        path = uri / "saved_model.pb"
        described = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        graph = described.meta_graphs[0]
        graph.graph_def.library.function[0].node_def.add(name="new", op=op)
        graph.meta_info_def.stripped_op_list.op.add(name=op)
        graph.meta_info_def.tensorflow_version = version
        path.write_bytes(described.SerializeToString())
        return str(uri)

    return make


def refusal(uri, imports=()):
    with pytest.raises(ModelError) as caught:
        load_model(SavedModel(uri, imports=imports))
    return caught.value


def test_modules_are_imported_before_a_model_is_loaded_by_a_handler(module, tiny_model, tmp_path):
    name = module("registers_ops", "import sys; assert 'tensorflow' in sys.modules")
    # Another path, because a loaded model is not loaded again.
    uri = str(shutil.copytree(tiny_model, tmp_path / "model"))
    handler = SavedModelHandler(SavedModel(uri, imports=[name]))
    assert name not in sys.modules
    handler.load_model()
    assert name in sys.modules


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("TFText>RoundRobinTrim", "pip install tensorflow-text wherever"),
        ("SentencepieceOp", "--model_imports=tensorflow_text"),
        ("SimpleMLInferenceOpWithHandle", "--model_imports=ydf_tf"),
        ("Addons>EmbeddingBag", "imports=['tensorflow_addons'] to SavedModel"),
        ("IO>ParseAvro", "pip install tensorflow-io "),
        ("TFRA>CuckooHashTableFind", "--model_imports=tensorflow_recommenders_addons"),
        ("DecodeProtoSparseV4", "is one of struct2tensor"),
    ],
)
@pytest.mark.parametrize("version", ["1.5.0", None])
def test_a_missing_op_of_a_known_package_names_that_package(op, words, version, with_op):
    error = refusal(with_op(op, *filter(None, [version])))
    assert error.message.endswith(f"cannot be loaded: Op type not registered '{op}'")
    assert words in error.hint
    assert "export it again" not in error.hint


def test_an_unknown_op_of_the_same_tensorflow_is_no_reason_to_export_again(with_op):
    error = refusal(with_op("MyOwnOp"))
    assert "'MyOwnOp'" in error.message
    assert "--model_imports=MODULE" in error.hint
    assert "export" not in error.hint


def test_a_module_that_does_not_register_the_op_is_named(module, with_op):
    name = module("tensorflow_text", "")
    error = refusal(with_op("TFText>NewOp"), [name])
    assert error.hint == (
        "tensorflow_text does not register 'TFText>NewOp'; install a later version of "
        "tensorflow-text"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('undefined symbol: \\x1b[1m_ZN10')", r"OSError: undefined symbol: \x1b[1m"),
        ("import no_such_dependency", "No module named 'no_such_dependency'"),
        ("import sys; sys.exit('not here')", "SystemExit: not here"),
    ],
)
def test_a_module_that_fails_on_import_fails_the_model_with_its_reason(
    code, words, module, tiny_model, tmp_path
):
    uri = str(shutil.copytree(tiny_model, tmp_path / "model"))
    error = refusal(uri, [module("fails", code)])
    assert error.message.startswith("the import of fails, a module for the model, fails: ")
    assert words in error.message
    assert "fits TensorFlow" in error.hint


@pytest.mark.parametrize("name", ["no_such_module", "no_such_module.ops"])
def test_a_module_that_is_not_installed_says_how_and_where(name, tiny_model, tmp_path):
    uri = str(shutil.copytree(tiny_model, tmp_path / "model"))
    error = refusal(uri, [name])
    assert error.message == f"the module no_such_module is not installed in {sys.prefix}"
    assert error.hint == "pip install no-such-module, here and wherever workers load the model"


@pytest.mark.parametrize("imports", [["a b"], ["tensorflow-text"], [""], ["a..b"], ["import"], [7]])
def test_what_is_no_name_of_a_module_is_refused(imports):
    with pytest.raises(InvalidArgument, match="imports: expected names of Python modules"):
        SavedModel("m", imports=imports)
    with pytest.raises(InvalidArgument, match="expected a list of modules"):
        SavedModel("m", imports="tensorflow_text")


@pytest.mark.parametrize("as_json", [False, True])
def test_describe_imports_modules_and_names_those_that_the_model_needs(
    as_json, module, with_op, capfd
):
    uri = with_op("CaseFoldUTF8")
    name = module("described", "print('imported')")
    flags = ["--json"] if as_json else []
    assert cli.main(["models", "describe", uri, f"--model_imports={name}", *flags]) == 0
    first, _, out = capfd.readouterr().out.partition("\n")
    assert first == "imported"
    if as_json:
        assert json.loads(out)["modelImports"] == ["tensorflow_text"]
    else:
        assert "has ops of tensorflow-text: run it with --model_imports=tensorflow_text\n" in out
    assert cli.main(["models", "describe", uri, "--model_imports=no_such_module"]) == 2
    assert "pip install no-such-module" in capfd.readouterr().err


def test_a_run_with_a_module_that_is_not_installed_does_not_start(tiny_model, tmp_path, capfd):
    flags = [
        *("--display_name=d", f"--model_uri={tiny_model}", "--instances_format=jsonl"),
        *("--input_uris=in.jsonl", "--predictions_format=jsonl"),
        f"--output_uri_prefix={tmp_path}/out",
    ]
    assert cli.main(["run", *flags, "--model_imports=no_such_module"]) == 2
    assert "the module no_such_module is not installed in" in capfd.readouterr().err
    assert cli.main(["run", *flags, "--model_imports=tensorflow-text"]) == 2
    assert "such as tensorflow_text; found 'tensorflow-text'" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_op_of_tensorflow_itself_belongs_to_a_package():
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    ops = op_def_pb2.OpList.FromString(
        pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    )
    assert len(ops.op) > 1000
    assert packages_of(op.name for op in ops.op) == ()


OP = """
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
using namespace tensorflow;
REGISTER_OP("BbpTest>AddOne").Input("x: float").Output("y: float")
    .SetShapeFn([](shape_inference::InferenceContext* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });
class AddOne : public OpKernel {
 public:
  explicit AddOne(OpKernelConstruction* context) : OpKernel(context) {}
  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    for (int i = 0; i < x.NumElements(); ++i) y->flat<float>()(i) = x.flat<float>()(i) + 1;
  }
};
REGISTER_KERNEL_BUILDER(Name("BbpTest>AddOne").Device(DEVICE_CPU), AddOne);
"""

MODULE = """
import pathlib
import tensorflow as tf
ops = tf.load_op_library(str(pathlib.Path(__file__).with_name("add_one.so")))
"""

SAVE = """
import sys
import tensorflow as tf
from add_one_ops import ops
class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def call(self, x):
        return {"y": ops.bbp_test_add_one(x=x)}
model = Model()
tf.saved_model.save(model, sys.argv[1], signatures=model.call)
"""


@pytest.fixture
def package(tmp_path):
    """A directory with a package that registers an op, and a model with that op."""
    import tensorflow as tf

    if not shutil.which("g++"):
        pytest.skip("there is no compiler")
    (tmp_path / "add_one.cc").write_text(OP)
    (tmp_path / "add_one_ops.py").write_text(MODULE)
    flags = ["-O0", "-w", "-shared", "-fPIC", *tf.sysconfig.get_compile_flags()]
    library = tmp_path / "add_one.so"
    command = ["g++", *flags, tmp_path / "add_one.cc", "-o", library]
    subprocess.run([*command, *tf.sysconfig.get_link_flags()], check=True)
    run_python(tmp_path, "-c", SAVE, tmp_path / "model")
    return tmp_path


def run_python(directory, *command):
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    return done


@pytest.mark.slow
@pytest.mark.timeout(900)  # TensorFlow's headers take a compiler long
def test_a_model_with_an_op_of_another_package_runs_in_this_process_and_in_workers(package):
    (package / "in.jsonl").write_text("1\n2\n3\n")
    common = ["-m", "beam_batch_predict", "run", "--display_name=d"]
    common += [f"--model_uri={package}/model", "--instances_format=jsonl"]
    common += [f"--input_uris={package}/in.jsonl", "--predictions_format=jsonl"]
    common += [f"--output_uri_prefix={package}/out", "--chunk_bytes=2"]
    for flags in ([], ["--direct_num_workers=2"]):
        done = run_python(package, *common, "--model_imports=add_one_ops", *flags)
        directory = pathlib.Path(json.loads(done.stdout)["outputInfo"]["gcsOutputDirectory"])
        lines = [path.read_text() for path in sorted(directory.glob("predictions_*"))]
        found = [json.loads(line)["prediction"] for text in lines for line in text.splitlines()]
        assert found == [2.0, 3.0, 4.0]
