"""Models of Vertex AI's Model Registry, by Google's own client, from a server on this machine."""

import contextlib
import json
from concurrent import futures

import grpc
import pytest
from google.cloud.aiplatform_v1.types import (
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    ListModelVersionsRequest,
    ListModelVersionsResponse,
    Model,
    ModelContainerSpec,
    ModelSourceInfo,
)

from beam_batch_predict import cli
from beam_batch_predict.errors import InvalidJob, ModelError
from beam_batch_predict.jobs import read_job
from beam_batch_predict.registry.lookup import resolve
from beam_batch_predict.registry.resolved import REGISTRY_VARIABLE
from beam_batch_predict.registry.vertex import EMULATOR
from beam_batch_predict.status import Code

PARENT = "projects/p/locations/europe-west4"
TENSORFLOW = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
SERVICE = "google.cloud.aiplatform.v1.ModelService"


class Registry:
    """The part of Google's service that is asked: models by id, each with its versions."""

    def __init__(self):
        self.models = {}
        self.failures = []
        self.asked = []

    def add(self, model_id, version="1", aliases=("default",), source="CUSTOM", **fields):
        image = fields.pop("image", "")
        model = Model(
            name=f"{PARENT}/models/{model_id}",
            version_id=version,
            version_aliases=aliases,
            container_spec=ModelContainerSpec(image_uri=image) if image else None,
            model_source_info=ModelSourceInfo(source_type=source),
            **fields,
        )
        self.models.setdefault(model_id, []).append(model)

    def get(self, request, context):
        self.asked.append((request.name, dict(context.invocation_metadata())))
        if self.failures:
            context.abort(*self.failures.pop(0))
        name, _, version = request.name.rpartition("/")[2].partition("@")
        for model in self.models.get(name, ()):
            if (version or "default") in (model.version_id, *model.version_aliases):
                return model
        return context.abort(grpc.StatusCode.NOT_FOUND, f"The Model does not exist: {request.name}")

    def list(self, request, context):
        assert request.parent == PARENT
        return ListModelsResponse(models=[versions[0] for versions in self.models.values()])

    def list_versions(self, request, context):
        name = request.name.rpartition("/")[2]
        if name not in self.models:
            context.abort(grpc.StatusCode.NOT_FOUND, "The Model does not exist.")
        return ListModelVersionsResponse(models=self.models[name])


@contextlib.contextmanager
def serving(registry):
    methods = {
        "GetModel": (registry.get, GetModelRequest, Model),
        "ListModels": (registry.list, ListModelsRequest, ListModelsResponse),
        "ListModelVersions": (
            registry.list_versions,
            ListModelVersionsRequest,
            ListModelVersionsResponse,
        ),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            behaviour, request.deserialize, response.serialize
        )
        for name, (behaviour, request, response) in methods.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def vertex(monkeypatch):
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    registry = Registry()
    with serving(registry) as address:
        monkeypatch.setenv(EMULATOR, address)
        yield registry


def refused(name, code=Code.FAILED_PRECONDITION):
    with pytest.raises(ModelError) as raised:
        resolve(name)
    assert raised.value.code is code
    return str(raised.value)


def test_the_files_of_a_model_are_at_its_artifact_uri(vertex):
    vertex.add("123", display_name="Penguins, 2024", artifact_uri="gs://b/m", image=TENSORFLOW)
    assert resolve(f"{PARENT}/models/123")[:3] == ("gs://b/m", "Penguins, 2024", "1")
    [(name, metadata)] = vertex.asked
    assert name == f"{PARENT}/models/123"
    assert "name=projects" in metadata["x-goog-request-params"]


@pytest.mark.parametrize(("suffix", "uri"), [("@1", "one"), ("@golden", "two"), ("", "two")])
def test_a_version_is_found_by_number_and_alias(vertex, suffix, uri):
    vertex.add("m", "1", aliases=(), artifact_uri="gs://b/one")
    vertex.add("m", "2", aliases=("default", "golden"), artifact_uri="gs://b/two")
    assert resolve(f"{PARENT}/models/m{suffix}").uri == f"gs://b/{uri}"


def test_a_directory_of_models_replaces_the_service(vertex, tmp_path):
    (tmp_path / "m" / "4").mkdir(parents=True)
    (tmp_path / "m" / "4" / "saved_model.pb").write_text("")
    assert resolve(f"{PARENT}/models/m", registry=str(tmp_path)).uri == f"{tmp_path}/m/4"
    assert vertex.asked == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"image": "docker.io/my/server"},
            "of the container 'docker.io/my/server' only",
        ),
        ({"source": "AUTOML"}, "trained by AutoML"),
        ({"source": "BQML"}, "EXPORT MODEL"),
        ({"source": "MODEL_GARDEN"}, "Model Garden"),
        ({}, "its files stay in the service"),
        (
            {"image": "docker.io/my/server", "artifact_uri": "gs://b/m"},
            "if gs://b/m is a SavedModel that can run without the container",
        ),
    ],
)
def test_models_that_cannot_be_run_here_are_refused_with_the_reason(vertex, fields, words):
    vertex.add("m", **fields)
    text = refused(f"{PARENT}/models/m")
    assert words in text
    assert "unmanagedContainerModel.artifactUri" in text


def test_an_unknown_model_names_near_ones(vertex):
    vertex.add("penguins", display_name="Penguins")
    text = refused(f"{PARENT}/models/pinguins", Code.NOT_FOUND)
    assert "The Model does not exist" in text
    assert f"in {PARENT}, did you mean 'penguins'?" in text
    assert "gcloud ai models list --project=p --region=europe-west4" in text


def test_a_display_name_is_no_name_and_the_message_has_the_id(vertex):
    vertex.add("4711", display_name="penguins")
    text = refused(f"{PARENT}/models/penguins", Code.NOT_FOUND)
    assert "'penguins' is the display name of 4711" in text


def test_an_unknown_version_names_those_there_are(vertex):
    vertex.add("m", "1", aliases=("default", "stable"))
    text = refused(f"{PARENT}/models/m@stabel", Code.NOT_FOUND)
    assert "of its versions, did you mean 'stable'?" in text


def test_a_missing_permission_is_named(vertex):
    vertex.failures = [(grpc.StatusCode.PERMISSION_DENIED, "Permission denied on p")]
    text = refused(f"{PARENT}/models/m", Code.PERMISSION_DENIED)
    assert "Permission denied on p" in text
    assert "aiplatform.models.get" in text


def test_a_service_that_fails_for_a_time_is_called_again(vertex):
    vertex.add("m", artifact_uri="gs://b/m")
    vertex.failures = [(grpc.StatusCode.UNAVAILABLE, "try again")]
    assert resolve(f"{PARENT}/models/m").uri == "gs://b/m"
    assert len(vertex.asked) == 2


def test_without_credentials_it_says_how_to_log_in(monkeypatch, tmp_path):
    for name in (EMULATOR, REGISTRY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    text = refused(f"{PARENT}/models/m", Code.UNAUTHENTICATED)
    assert "none.json" in text
    assert "gcloud auth application-default login" in text


@pytest.mark.parametrize(
    ("formats", "config", "words"),
    [
        (
            {"supported_input_storage_formats": ["csv", "bigquery"]},
            "inputConfig.instancesFormat",
            "csv, bigquery; found 'jsonl'",
        ),
        (
            {"supported_output_storage_formats": ["bigquery"]},
            "outputConfig.predictionsFormat",
            "bigquery; found 'jsonl'",
        ),
    ],
)
def test_a_format_that_the_model_does_not_list_is_refused(vertex, formats, config, words):
    vertex.add("m", artifact_uri="gs://b/m", display_name="Penguins", **formats)
    with pytest.raises(InvalidJob) as raised:
        read_job(described("jsonl", "jsonl")).to_spec()
    [wrong] = raised.value.violations
    assert wrong.path == config
    assert "StorageFormats of the model Penguins@1, " in wrong.message
    assert words in wrong.message


@pytest.mark.parametrize(
    ("source", "output"), [("jsonl", "jsonl"), ("parquet", "tf-record"), ("avro", "parquet")]
)
def test_listed_formats_and_those_that_the_service_does_not_have_are_allowed(
    vertex, source, output
):
    formats = {
        "supported_input_storage_formats": ["jsonl", "tf-record"],
        "supported_output_storage_formats": ["jsonl", "bigquery"],
    }
    vertex.add("m", artifact_uri="gs://b/m", **formats)
    assert read_job(described(source, output)).to_spec().predictions_format == output


def described(source, output):
    return {
        "displayName": "registered",
        "model": f"{PARENT}/models/m",
        "inputConfig": {"instancesFormat": source, "gcsSource": {"uris": ["in"]}},
        "outputConfig": {
            "predictionsFormat": output,
            "gcsDestination": {"outputUriPrefix": "out"},
        },
    }


def test_a_job_runs_on_a_model_of_the_service(vertex, tiny_model, tmp_path, capfd):
    vertex.add("99", "3", display_name="Twice", artifact_uri=tiny_model, image=TENSORFLOW)
    (tmp_path / "in.jsonl").write_text("1\n2\n")
    job = {
        "displayName": "by name",
        "model": f"{PARENT}/models/99",
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": [str(tmp_path / "in.jsonl")]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
        },
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert cli.main(["run", str(tmp_path / "job.json")]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["modelVersionId"] == "3"
    assert record["completionStats"]["successfulCount"] == "2"
    assert "/prediction-Twice-" in record["outputInfo"]["gcsOutputDirectory"]
    assert len(vertex.asked) == 1
