"""Models by name in directories: what is found, and what is said where nothing is."""

import json
import os
import shutil

import pytest

from beam_batch_predict import cli
from beam_batch_predict.errors import InvalidArgument, ModelError
from beam_batch_predict.jobs import BatchPredictionJob
from beam_batch_predict.registry.directory import list_models
from beam_batch_predict.registry.lookup import resolve
from beam_batch_predict.registry.resolved import REGISTRY_VARIABLE, ResolvedModel
from beam_batch_predict.registry.versions_file import MOST_BYTES, Pins, parse_pins
from beam_batch_predict.spec import RunOptions


@pytest.fixture(autouse=True)
def _no_registry(monkeypatch):
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)


@pytest.fixture
def registry(tmp_path):
    """A function that makes files in a registry, by path and content; its directory."""

    def make(files):
        directory = tmp_path / "models"
        for path, content in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(content)
        return str(directory)

    return make


def versions(*names, model="m"):
    return {f"{model}/{name}/saved_model.pb": "" for name in names}


def found(name, directory, version=""):
    resolved = resolve(name, version, directory)
    return os.path.relpath(resolved.uri, directory), resolved.version


def test_the_default_is_the_highest_number_and_not_the_last_name(registry):
    directory = registry(versions("1", "9", "10"))
    assert resolve("m", registry=directory) == ResolvedModel(f"{directory}/m/10", "m", "10")


@pytest.mark.parametrize(
    "name",
    [
        "m@7",
        "m@007",
        "projects/p/models/m/versions/7",
        "projects/p/locations/l/models/m@7",
        "projects/p/locations/l/models/m@stable",
        "projects/p/models/m/versions/stable",
    ],
)
def test_a_version_is_found_by_number_or_alias_under_names_of_all_systems(registry, name):
    directory = registry({**versions("007", "8"), "m/versions.yaml": "aliases: {stable: 7}"})
    assert found(name, directory) == ("m/007", "7")


def test_the_pinned_default_wins_over_the_highest(registry):
    directory = registry({**versions("1", "2"), "m/versions.yaml": "default: 1"})
    assert found("m", directory) == ("m/1", "1")
    assert found("m@default", directory) == ("m/1", "1")
    assert found("m", directory, "2") == ("m/2", "2")


def test_other_names_are_no_versions(registry):
    others = versions("-1", "+3", "v4", "5.0", "٦", "latest", "tmp-7", str(2**63))
    directory = registry({**versions("0"), **others, "m/8": "a file"})
    assert found("m", directory) == ("m/0", "0")


def test_a_version_that_is_not_whole_is_passed_over_with_a_note(registry):
    directory = registry({**versions("1"), "m/2/variables/variables.index": ""})
    resolved = resolve("m", registry=directory)
    assert resolved.version == "1"
    [note] = resolved.notes
    assert "version 2 is not complete" in note
    assert resolve("m@1", registry=directory).notes == ()
    with pytest.raises(ModelError, match=r"version 2 is not complete: .*m/2 has no saved_model.pb"):
        resolve("m@2", registry=directory)


def test_of_two_directories_for_a_version_none_is_taken(registry):
    directory = registry(versions("7", "007", "6"))
    assert found("m", directory) == ("m/6", "6")
    with pytest.raises(ModelError, match="version 7 has two directories, 007 and 7"):
        resolve("m@7", registry=directory)


def test_a_model_in_text_form_is_whole(registry):
    assert found("m", registry({"m/3/saved_model.pbtxt": ""})) == ("m/3", "3")


def test_links_are_followed(registry, tmp_path):
    directory = registry(versions("1"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "saved_model.pb").write_text("")
    os.symlink(tmp_path / "elsewhere", f"{directory}/m/2")
    os.symlink(f"{directory}/m", f"{directory}/also")
    assert found("also", directory) == ("also/2", "2")


@pytest.mark.parametrize("name", ["a model", "[x]", "m*", "m?", "modèle", "-m", "m.v2"])
def test_names_may_have_any_signs_that_lead_nowhere(registry, name):
    directory = registry({**versions("1", model=name), **versions("2", model="mm")})
    assert found(name, directory) == (f"{name}/1", "1")


@pytest.mark.parametrize("name", ["..", "../outside", "/etc", "", "m\0", ".", "a/b", "m@../../x"])
def test_no_name_leads_out_of_the_registry(registry, name, tmp_path):
    directory = registry(versions("1"))
    for place in ("outside/1", "1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "saved_model.pb").write_text("")
    with pytest.raises(InvalidArgument):
        resolve(name, registry=directory)


def test_an_unknown_model_names_near_ones_and_says_where_was_looked(registry):
    directory = registry({**versions("1", model="penguins"), **versions("1", model="irises")})
    with pytest.raises(InvalidArgument) as raised:
        resolve("pinguins", registry=directory)
    assert str(raised.value) == (
        f"there is no model 'pinguins' in the registry {directory}; did you mean 'penguins'?"
    )
    with pytest.raises(InvalidArgument, match="there are 'irises', 'penguins'"):
        resolve("x", registry=directory)


def test_a_directory_of_versions_is_no_registry(registry):
    directory = registry(versions("1", "2"))
    with pytest.raises(InvalidArgument, match="these look like versions: use the directory above"):
        resolve("m", registry=f"{directory}/m")


def test_an_unknown_version_names_near_ones(registry):
    directory = registry({**versions("1", "2"), "m/versions.yaml": "aliases: {stable: 1, no: 9}"})
    with pytest.raises(InvalidArgument, match="no version 'stabel'; did you mean 'stable'"):
        resolve("m@stabel", registry=directory)
    with pytest.raises(InvalidArgument, match="no version '3'; there are 'stable', 'no', '2', '1'"):
        resolve("m@3", registry=directory)
    with pytest.raises(
        InvalidArgument, match="'no' is version 9 in .*versions.yaml, but version 9 does not"
    ):
        resolve("m@no", registry=directory)


def test_a_pinned_default_that_is_gone_is_not_replaced_by_another(registry):
    directory = registry({**versions("1"), "m/versions.yaml": "default: 2"})
    with pytest.raises(InvalidArgument, match="'default' is version 2 in"):
        resolve("m", registry=directory)


def test_a_model_without_versions_says_what_is_missing(registry):
    directory = registry({"m/readme.txt": "", "whole/saved_model.pb": "", "half/1/x": ""})
    with pytest.raises(InvalidArgument, match="no directory whose name is a number"):
        resolve("m", registry=directory)
    with pytest.raises(InvalidArgument, match=r"whole is a SavedModel without versions; move"):
        resolve("whole", registry=directory)
    with pytest.raises(InvalidArgument, match="version 1 is not complete"):
        resolve("half", registry=directory)


def test_where_there_is_no_registry_it_says_so(tmp_path):
    with pytest.raises(InvalidArgument, match="no model registry at .*/nowhere"):
        resolve("m", registry=str(tmp_path / "nowhere"))
    for name in ("m", "projects/p/models/m"):
        with pytest.raises(InvalidArgument, match="no model registry is set") as raised:
            resolve(name)
        assert "--model_registry=DIR" in raised.value.hint
        assert REGISTRY_VARIABLE in raised.value.hint


def test_the_environment_names_the_registry_and_the_option_wins(registry, monkeypatch, tmp_path):
    monkeypatch.setenv(REGISTRY_VARIABLE, registry(versions("1")))
    assert resolve("m").version == "1"
    with pytest.raises(InvalidArgument):
        resolve("m", registry=str(tmp_path / "nowhere"))


def test_a_registry_that_cannot_be_read_says_so(registry):
    directory = registry({**versions("1"), "m/versions.yaml": ""})
    os.remove(f"{directory}/m/versions.yaml")
    os.mkfifo(f"{directory}/m/versions.yaml")
    with pytest.raises(
        ModelError, match="cannot be read at .*/m/versions.yaml: it is not a regular"
    ):
        resolve("m", registry=directory)


def test_all_models_are_listed_with_what_is_wrong_with_them(registry):
    directory = registry(
        {
            **versions("1", "2", model="b"),
            **versions("1", model="a"),
            **versions("1", model=".hidden"),
            "b/versions.yaml": "default: 1\naliases: {new: 2, gone: 3}",
            "a/2/x": "",
            "broken/versions.yaml": "- x",
            "direct/saved_model.pb": "",
            "docs/readme.txt": "",
            "file": "",
        }
    )
    models = {model.name: model for model in list_models(directory)}
    assert list(models) == ["a", "b", "broken", "direct"]
    assert [version.number for version in models["b"].versions] == [1, 2]
    assert models["b"].default == 1
    assert "gone is version 3, which does not exist" in " ".join(models["b"].notes())
    assert "version 2 is not complete" in " ".join(models["a"].notes())
    assert "versions.yaml, line 1" in " ".join(models["broken"].notes())
    assert "is a SavedModel" in " ".join(models["direct"].notes())


# versions.yaml


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        ("", Pins()),
        ("# nothing\n", Pins()),
        ("default: 2", Pins(2)),
        ("default: '2'", Pins(2)),
        ("default: 010", Pins(10)),
        ("aliases:\n", Pins()),
        ("aliases: {on: 1, stable: 002}", Pins(None, {"on": 1, "stable": 2})),
    ],
)
def test_pins_are_read_as_they_are_written(text, pins):
    assert parse_pins(text.encode(), "versions.yaml") == pins


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("default: 1\nalias: {}", "line 2: unknown field 'alias'; did you mean 'aliases'?"),
        ("default: v2", "line 1: expected the number of a version, found 'v2'"),
        ("default: -1", "found '-1'"),
        ("default: 1.0", "found '1.0'"),
        ("default: 0x10", "found '0x10'"),
        ("default:", "found ''"),
        ("default: [1]", "expected the number of a version"),
        ("default: 1\ndefault: 2", "line 2: 'default' is given twice"),
        ("aliases: {a: 1, a: 2}", "'a' is given twice"),
        ("aliases: [a]", "expected versions by name"),
        ("aliases: {2: 1}", "'2' cannot be an alias"),
        ("aliases: {default: 1}", "'default' cannot be an alias"),
        ("aliases: {'': 1}", "'' cannot be an alias"),
        ("- default", "expected the fields default and aliases"),
        ("? [a]\n: 1", "expected the fields default and aliases"),
        ("default: !!python/object/apply:os.system ['touch hacked']", "expected the number"),
        ("!!python/object/new:os.system [x]", "expected the fields"),
        ("default: 1\n---\ndefault: 2", "it is not YAML"),
        ("[" * 3000, "it is not YAML"),
        ("\0", "it is not YAML"),
        ("default: *x", "it is not YAML"),
        ("#" * (MOST_BYTES + 1), "larger than"),
    ],
)
def test_pins_that_cannot_be_meant_are_refused_with_their_line(text, words):
    with pytest.raises(ModelError) as raised:
        parse_pins(text.encode(), "versions.yaml")
    assert words in str(raised.value)
    assert len(str(raised.value)) < 400


def test_pins_in_no_encoding_are_refused():
    with pytest.raises(ModelError, match="it is not YAML"):
        parse_pins(b"default: \xff", "versions.yaml")


# Jobs


@pytest.fixture
def job(tmp_path):
    """A function that writes a job on a model by its name."""
    (tmp_path / "in.jsonl").write_text("1\n2\n3\n")

    def write(model):
        path = tmp_path / "job.json"
        described = {
            "displayName": "by name",
            "model": model,
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [str(tmp_path / "in.jsonl")]},
            },
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
            },
        }
        path.write_text(json.dumps(described))
        return str(path)

    return write


def copies(registry, tiny_model, *names):
    for name in names:
        shutil.copytree(tiny_model, f"{registry}/twice/{name}")


def test_a_job_runs_on_a_model_by_name_and_records_the_version(
    registry, job, tiny_model, capfd, outcome_in
):
    directory = registry({})
    copies(directory, tiny_model, "1", "2")
    os.mkdir(f"{directory}/twice/3")
    path = job("projects/p/locations/europe-west4/models/twice")
    assert cli.main(["run", path, f"--model_registry={directory}"]) == 0
    said = capfd.readouterr()
    assert f"note: model: twice@2 is {directory}/twice/2.\n" in said.err
    assert "note: model: version 3 is not complete" in said.err
    record = json.loads(said.out)
    assert record["modelVersionId"] == "2"
    assert record["model"] == "projects/p/locations/europe-west4/models/twice"
    assert record["name"].startswith("projects/p/locations/europe-west4/batchPredictionJobs/")
    output = record["outputInfo"]["gcsOutputDirectory"]
    assert "/prediction-twice-" in output
    predictions, errors, kept = outcome_in(output)
    assert [row["prediction"] for row in predictions] == [2.0, 4.0, 6.0]
    assert errors == []
    assert kept["modelVersionId"] == "2"


def test_a_job_that_is_run_goes_on_only_with_the_version_that_it_began_with(
    registry, job, tiny_model, capfd, breaking_off, outcome_in
):
    directory = registry({})
    copies(directory, tiny_model, "1")
    arguments = ["run", job("twice"), f"--model_registry={directory}", "--chunk_bytes=2"]
    with breaking_off(1):
        assert cli.main(arguments) == 1
    copies(directory, tiny_model, "2")
    capfd.readouterr()
    assert cli.main([*arguments, "--resume"]) == 2
    said = capfd.readouterr().err
    assert f'model.uri is "{directory}/twice/2", and was "{directory}/twice/1"' in said
    job("twice@1")
    assert cli.main([*arguments, "--resume"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["modelVersionId"] == "1"
    predictions, _, _ = outcome_in(record["outputInfo"]["gcsOutputDirectory"])
    assert [row["prediction"] for row in predictions] == [2.0, 4.0, 6.0]


def test_a_job_on_an_unknown_model_starts_nothing(registry, job, capfd, tmp_path):
    directory = registry(versions("1", model="once"))
    assert cli.main(["run", job("twice"), f"--model_registry={directory}"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "error: there is no model 'twice' in the registry" in said.err
    assert not (tmp_path / "out").exists()


def test_a_job_is_resolved_once(registry, job):
    directory = registry(versions("1"))
    with open(job("m")) as file:
        resolved = BatchPredictionJob.parse(file.read()).resolved(directory)
    registry(versions("2"))
    assert resolved.resolved(directory) is resolved
    made = resolved.to_spec(RunOptions(model_registry=directory))
    assert (made.model.uri, made.model.display_name) == (f"{directory}/m/1", "m")
    assert made.job.notes == (f"model: m@1 is {directory}/m/1.",)


def test_the_same_job_may_be_resolved_to_different_versions(registry, job):
    directory = registry(versions("1"))
    with open(job("m")) as file:
        read = BatchPredictionJob.parse(file.read())
    assert read.to_spec(RunOptions(model_registry=directory)).model.uri == f"{directory}/m/1"
    registry(versions("2"))
    assert read.to_spec(RunOptions(model_registry=directory)).model.uri == f"{directory}/m/2"
    assert read.notes == ()
