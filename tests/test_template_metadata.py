"""The flex template's metadata: what Dataflow reads, and what the main takes."""

import importlib.util
import json
import pathlib
import re

from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

from beam_batch_predict.options import OPTIONS

TEMPLATES = pathlib.Path(__file__).parent.parent / "templates"


def written():
    return json.loads((TEMPLATES / "metadata.json").read_text())


def test_the_committed_file_is_what_the_options_give():
    spec = importlib.util.spec_from_file_location("make_metadata", TEMPLATES / "make_metadata.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert written() == module.metadata()


def test_dataflow_knows_every_field_of_it():
    parsed = json_format.ParseDict(written(), dataflow_v1beta3.types.TemplateMetadata.pb()())
    assert [parameter.name for parameter in parsed.parameters] == [
        "job",
        *(option.name for option in OPTIONS),
    ]


def test_regexes_compile_and_the_default_of_an_option_is_taken_by_it():
    for parameter in written()["parameters"]:
        for regex in parameter.get("regexes", []):
            assert re.compile(regex).match("gs://bucket/job.json")
    defaults = {p["name"]: p["defaultValue"] for p in written()["parameters"][1:]}
    for option in OPTIONS:
        assert option.parse(defaults[option.name]) == option.default
