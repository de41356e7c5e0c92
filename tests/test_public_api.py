"""What `import beam_batch_predict` gives."""

import inspect
import json
import subprocess
import sys

import pytest

import beam_batch_predict as bbp

WITHOUT_EXAMPLE = {
    "BatchPredictError",
    "BatchPredictionJob",
    "DestinationError",
    "InvalidArgument",
    "InvalidJob",
    "LostRowsError",
    "ModelError",
    "NonFinite",
    "SourceError",
    "read_job",
}


def modules_after(code):
    code += "; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_names_are_sorted_and_each_is_there():
    assert bbp.__all__ == sorted(bbp.__all__)
    assert len(bbp.__all__) == len(set(bbp.__all__))
    assert all(getattr(bbp, name) is not None for name in bbp.__all__)


def test_dir_shows_every_name():
    assert set(bbp.__all__) <= set(dir(bbp))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Predictt'"):
        _ = bbp.Predictt


@pytest.mark.parametrize("name", bbp.__all__)
def test_every_name_says_what_it_is(name):
    text = inspect.getdoc(getattr(bbp, name))
    assert text
    assert text.splitlines()[0].endswith((".", ":"))
    if name not in WITHOUT_EXAMPLE:
        assert "Example:\n    >>> " in text


def test_the_import_is_cheap():
    modules = modules_after("import beam_batch_predict as b; dir(b); b.JsonLines('in')")
    assert not modules & {"apache_beam", "tensorflow", "pydantic", "numpy"}


def test_reading_a_job_imports_neither_beam_nor_tensorflow():
    modules = modules_after("import beam_batch_predict.cli.app as c; c._parser()")
    assert "pydantic" in modules
    assert not modules & {"apache_beam", "tensorflow"}


def test_transforms_do_not_import_tensorflow():
    modules = modules_after(
        "import beam_batch_predict as b; b.Predict(b.SavedModel('m')); b.SavedModelHandler"
    )
    assert "apache_beam" in modules
    assert "tensorflow" not in modules
