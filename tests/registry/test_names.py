"""How models are named, and that no name leads out of a registry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.registry.names import (
    ModelName,
    near_names,
    parse_model_name,
    version_number,
)

NAMES = {
    "penguins": ModelName("penguins"),
    "penguins@2": ModelName("penguins", "2"),
    "penguins@002": ModelName("penguins", "2"),
    "penguins@stable": ModelName("penguins", "stable"),
    "my model.v2": ModelName("my model.v2"),
    "projects/p/models/m": ModelName("m", "", "p"),
    "projects/p/models/m/versions/v1": ModelName("m", "v1", "p"),
    "projects/example.com:p/models/m/versions/01": ModelName("m", "1", "example.com:p"),
    "projects/123/locations/europe-west4/models/456": ModelName("456", "", "123", "europe-west4"),
    "projects/p/locations/l/models/m@7": ModelName("m", "7", "p", "l"),
    "projects/p/locations/l/models/m@golden": ModelName("m", "golden", "p", "l"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_systems_are_read(name):
    assert parse_model_name(name) == NAMES[name]


def test_a_version_may_be_given_beside_the_name():
    assert parse_model_name("m", "2") == ModelName("m", "2")
    assert parse_model_name("projects/p/models/m", "v1").version == "v1"
    assert parse_model_name("projects/p/models/m/versions/1", "01").version == "1"


def test_two_different_versions_are_refused():
    with pytest.raises(InvalidArgument, match="two versions: '1' and '2'"):
        parse_model_name("m@1", "2")


HOSTILE = [
    *("", "@1", ".", "..", "../m", "m/..", "a/b", "/etc", "/", "\\m", "m\\..\\..", "C:\\x"),
    *("m\0", "m\n", "\x1b[2J", "m\ud800", "\u202em", "m@../../x", "m@..", "m@a/b", "m@", "a@b@c"),
    *("projects/p/models/..", "projects/p/models/m/versions/..", "projects/p/models/a/b"),
    *("projects/p/models/", "projects//models/m", "projects/p/models/m/versions/"),
    *("projects/p/locations/l/models/..", "projects/p/locations/l/models/m@..", "x" * 256),
    *("projects/p/locations/evil.example/models/m", "projects/p/locations/l:1#/models/m"),
    *("projects/p/locations/a@evil/models/m", "projects/p\n/locations/l/models/m"),
    *("gs://bucket/m", "projects/p", "projects/p/endpoints/1", "publishers/p"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InvalidArgument) as raised:
        parse_model_name(name)
    assert str(raised.value).isprintable() or raised.value.hint


@pytest.mark.parametrize(
    "name",
    ["publishers/google/models/gemini-2", "projects/p/locations/l/publishers/meta/models/llama@1"],
)
def test_models_of_publishers_are_refused_with_the_reason(name):
    with pytest.raises(InvalidArgument, match="it runs only in Google's service"):
        parse_model_name(name)


@given(st.text(alphabet=st.sampled_from("ab1@./\\:-_ \0projectsmdelvn")), st.text(max_size=3))
def test_a_name_that_is_taken_is_one_part_of_a_path(name, version):
    try:
        found = parse_model_name(name, version)
    except InvalidArgument:
        return
    for part in (found.model, found.version or "1"):
        assert part not in ("", ".", "..")
        assert not {"/", "\\", "\0"} & set(part)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        (str(2**63 - 1), 2**63 - 1),
        *((text, None) for text in ("", "-1", "+1", " 1", "1.0", "1_0", "٣", "v1", str(2**63))),
        ("0" * 5000, None),
    ],
)
def test_versions_are_numbers_of_64_bits(text, number):
    assert version_number(text) == number


def test_near_names_are_few():
    many = [f"model-{n}" for n in range(100)]
    assert near_names("zzz", many).endswith("and 80 more")
    assert near_names("Model-7", many).startswith("did you mean 'model-7'")
