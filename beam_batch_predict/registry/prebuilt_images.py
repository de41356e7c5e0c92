"""Container images of Vertex AI whose models can run here."""

from __future__ import annotations

import re

__all__ = ["is_prebuilt_tensorflow"]

_PREBUILT_TENSORFLOW = re.compile(
    r"(?:[a-z0-9-]+-docker\.pkg\.dev/vertex-ai(?:-restricted)?"
    r"|(?:[a-z]+\.)?gcr\.io/cloud-aiplatform)"
    r"/prediction/(?:tf2?-[cg]pu\.[0-9]+-[0-9]+|tf_opt-[a-z]+\.[a-z0-9-]+)"
    r"(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?"
)


def is_prebuilt_tensorflow(image_uri: str) -> bool:
    """Whether an image is one of Google's prebuilt TensorFlow images for prediction.

    These only serve the SavedModel at `artifactUri`, so that running the SavedModel directly gives
    the same predictions. `tensorflow/serving` is not one of them: the model that it serves depends
    on its flags and on the content of the image.

    Source: https://cloud.google.com/vertex-ai/docs/predictions/pre-built-containers and
    optimized-tensorflow-runtime beside it.

    Example:
        >>> is_prebuilt_tensorflow("us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest")
        True
        >>> is_prebuilt_tensorflow("tensorflow/serving:2.15.0")
        False
    """
    return bool(_PREBUILT_TENSORFLOW.fullmatch(image_uri))
