"""Models by name in a bucket."""

import json
from pathlib import Path

import pytest

from beam_batch_predict import cli
from beam_batch_predict.errors import InvalidArgument, ModelError
from beam_batch_predict.registry.directory import list_models
from beam_batch_predict.registry.lookup import resolve
from beam_batch_predict.registry.resolved import REGISTRY_VARIABLE


@pytest.fixture
def registry(put, bucket, monkeypatch):
    """A function that makes empty objects in a registry; its URI."""
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)

    def make(*names):
        put({f"models [1]/{name}": b"" for name in names})
        return f"gs://{bucket}/models [1]"

    return make


def test_versions_are_found_among_objects(registry, put, bucket):
    uri = registry(
        *("m/1/saved_model.pb", "m/1/variables/variables.index", "m/10/saved_model.pb"),
        *("m/9/saved_model.pb", "m/11/variables/variables.index", "m/x/saved_model.pb"),
        # Markers of folders, an object with the name of a folder, and models with longer names.
        *("m/", "m/1/", "m/12/", "m/10", "mm/99/saved_model.pb", "m", "notes.txt"),
    )
    put({"models [1]/m/versions.yaml": "aliases: {stable: 9}"})
    resolved = resolve("m", registry=uri)
    assert (resolved.uri, resolved.version) == (f"{uri}/m/10", "10")
    assert "version 11 is not complete" in resolved.notes[0]
    assert resolve("m@stable", registry=f"{uri}/").uri == f"{uri}/m/9"
    listed = list_models(uri)
    assert [model.name for model in listed] == ["m", "mm"]
    assert [version.number for version in listed[0].versions] == [1, 9, 10]
    assert listed[0].pins.aliases == {"stable": 9}


def test_a_bucket_may_be_a_registry(registry, put, bucket):
    put({"m/2/saved_model.pb": b""})
    assert resolve("m", registry=f"gs://{bucket}").uri == f"gs://{bucket}/m/2"
    assert [model.name for model in list_models(f"gs://{bucket}/")] == ["m"]


def test_what_is_not_there_names_what_is(registry, bucket):
    uri = registry("penguins/1/saved_model.pb")
    with pytest.raises(InvalidArgument, match="did you mean 'penguins'"):
        resolve("pinguins", registry=uri)
    with pytest.raises(InvalidArgument, match="no version '2'; there are '1'"):
        resolve("penguins@2", registry=uri)
    with pytest.raises(InvalidArgument, match="there is no model registry at gs://"):
        resolve("penguins", registry=f"gs://{bucket}/elsewhere")


def test_a_bucket_that_is_not_there_says_so(registry):
    with pytest.raises((ModelError, InvalidArgument), match="no-such-bucket"):
        resolve("penguins", registry="gs://no-such-bucket/models")


def test_a_job_runs_on_a_model_by_name(registry, put, bucket, tiny_model, run, job, capfd):
    below = Path(tiny_model)
    objects = {
        f"models [1]/twice/4/{path.relative_to(below)}": path.read_bytes()
        for path in below.rglob("*")
        if path.is_file()
    }
    put(objects | {"in/a.x": b"1\n2\n"})
    uri = registry("twice/5/variables/variables.index")
    described = job(model="projects/p/locations/l/models/twice")
    del described["unmanagedContainerModel"]
    record, published = run(described, f"--model_registry={uri}")
    assert record["modelVersionId"] == "4"
    assert f"note: model: twice@4 is {uri}/twice/4." in capfd.readouterr().err
    lines = published["predictions_0001.jsonl"].splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == [2.0, 4.0]
    assert cli.main(["models", "describe", "twice", f"--model_registry={uri}"]) == 0
    assert capfd.readouterr().out.startswith(f"twice@4: {uri}/twice/4\n")
