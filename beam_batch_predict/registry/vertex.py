"""Lookup of the files of a model in Vertex AI's Model Registry.

Models whose files are not available, or which Vertex AI would run in another way, are refused.
Publishers' models are already refused by their names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from beam_batch_predict.errors import ModelError
from beam_batch_predict.gcp.errors import google_errors
from beam_batch_predict.messages import quoted
from beam_batch_predict.registry.names import ModelName, near_names
from beam_batch_predict.registry.prebuilt_images import is_prebuilt_tensorflow
from beam_batch_predict.registry.resolved import ResolvedModel
from beam_batch_predict.status import Code

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
    from google.cloud.aiplatform_v1.types import Model

__all__ = ["EMULATOR", "vertex_model"]

ENDPOINT = "VERTEX_AI_ENDPOINT"
"""The variable with host:port of the service, if it is not Google's public one."""

EMULATOR = "VERTEX_AI_EMULATOR_HOST"
"""The variable with host:port of an emulator, for gRPC without credentials."""

SECONDS = 60.0
"""The time limit of a request, with its retries."""

_MOST_LISTED = 1000

_SOURCES = {
    "AUTOML": "it was trained by AutoML, which keeps its files; export it as a SavedModel",
    "BQML": "it is a model of BigQuery ML; export it with EXPORT MODEL",
    "MODEL_GARDEN": "it is a model of Model Garden, whose files are not available",
    "GENIE": "it is a tuned Google model, whose files are not available",
    "MARKETPLACE": "it is a model of the Marketplace, whose files are not available",
}


def vertex_model(wanted: ModelName) -> ResolvedModel:
    """Find the directory of a version of a model.

    Args:
        wanted: a full name.

    Raises:
        ModelError: the model or version does not exist or is not readable, or it has no SavedModel
            that can run without its container.
    """
    name = f"projects/{wanted.project}/locations/{wanted.location}/models/{wanted}"
    hints = {
        Code.PERMISSION_DENIED: "it requires the permission aiplatform.models.get, which roles/"
        f"aiplatform.viewer has, in the project {wanted.project}",
        Code.UNIMPLEMENTED: f"is {wanted.location} a location of Vertex AI?",
    }
    with contextlib.ExitStack() as stack:
        with google_errors(f"the model {name} cannot be looked up", ModelError, hints):
            client = stack.enter_context(_client(wanted.location))
        try:
            with google_errors(f"the model {name} cannot be looked up", ModelError, hints):
                model = client.get_model(name=name, **_retry_options())
        except ModelError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            found = _near(client, wanted)
            made = ModelError(
                "; ".join(filter(None, (error.message, found))), error.hint or _list(wanted)
            )
            made.code = Code.NOT_FOUND
            raise made from error
    return ResolvedModel(
        _directory(model, name),
        model.display_name or wanted.model,
        model.version_id,
        input_formats=tuple(model.supported_input_storage_formats),
        output_formats=tuple(model.supported_output_storage_formats),
    )


def _directory(model: Model, name: str) -> str:
    """Return the directory of the SavedModel of a model.

    Raises:
        ModelError: it has none, or Vertex AI would run it in a way that is not supported.
    """
    uri, image = model.artifact_uri, model.container_spec.image_uri
    if not uri:
        reason = _SOURCES.get(model.model_source_info.source_type.name)
        if image:
            reason = f"it consists of the container {quoted(image)} only, without files"
        raise ModelError(
            f"the model {name} cannot be run here: it has no artifactUri: "
            f"{reason or 'its files stay in the service'}",
            "give the directory of a SavedModel as unmanagedContainerModel.artifactUri",
        )
    if image and not is_prebuilt_tensorflow(image):
        raise ModelError(
            f"the model {name} is served by the container {quoted(image)}, which is not one "
            "of Google's prebuilt TensorFlow images, and other containers are not supported yet",
            f"if {uri} is a SavedModel that can run without the container, use it as "
            "unmanagedContainerModel.artifactUri",
        )
    return uri


def _near(client: ModelServiceClient, wanted: ModelName) -> str:
    """Suggest models or versions with names similar to an unknown one; "" if none."""
    parent = f"projects/{wanted.project}/locations/{wanted.location}"
    with contextlib.suppress(ModelError), google_errors("", ModelError):
        model = f"{parent}/models/{wanted.model}"
        if wanted.version:
            with contextlib.suppress(ModelError), google_errors("", ModelError):
                versions = client.list_model_versions(name=model, **_retry_options())
                known = [
                    text
                    for version in islice(versions, _MOST_LISTED)
                    for text in (version.version_id, *version.version_aliases)
                ]
                return f"of its versions, {near_names(wanted.version, known)}"
        models = islice(client.list_models(parent=parent, **_retry_options()), _MOST_LISTED)
        names = {each.name.rpartition("/")[2]: each.display_name for each in models}
        same = [key for key, shown in names.items() if shown == wanted.model]
        if same:
            return f"{quoted(wanted.model)} is the display name of {' and '.join(same)}"
        return f"in {parent}, {near_names(wanted.model, names)}"
    return ""


def _list(wanted: ModelName) -> str:
    return (
        f"list them with `gcloud ai models list --project={wanted.project} "
        f"--region={wanted.location}`"
    )


def _retry_options() -> dict[str, Any]:
    from google.api_core.retry import Retry, if_transient_error

    retry = Retry(predicate=if_transient_error, timeout=SECONDS)
    return {"retry": retry, "timeout": SECONDS}


@contextlib.contextmanager
def _client(location: str) -> Iterator[ModelServiceClient]:
    """Open a client of the service in a location.

    Raises:
        google.auth.exceptions.GoogleAuthError: there are no credentials.
    """
    from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
    from google.cloud.aiplatform_v1.services.model_service.transports.grpc import (
        ModelServiceGrpcTransport,
    )

    emulator = os.environ.get(EMULATOR, "")
    if emulator:
        import grpc

        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(emulator, options=options) as channel:
            yield ModelServiceClient(transport=ModelServiceGrpcTransport(channel=channel))
        return
    endpoint = os.environ.get(ENDPOINT) or f"{location}-aiplatform.googleapis.com"
    with ModelServiceClient(client_options={"api_endpoint": endpoint}) as client:
        yield client
