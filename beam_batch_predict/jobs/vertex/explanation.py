"""The types of `explanationSpec`: how feature attributions would be computed.

Source: `explanation.proto` and `explanation_metadata.proto` of `google.cloud.aiplatform.v1`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from beam_batch_predict.jobs.resource import Resource
from beam_batch_predict.jobs.scalars import Float, Int32, ProtoEnum, Text
from beam_batch_predict.jobs.vertex.types import GcsSource

__all__ = [
    "BlurBaselineConfig",
    "ColorMap",
    "DataFormat",
    "Encoding",
    "ExampleGcsSource",
    "Examples",
    "ExplanationMetadata",
    "ExplanationParameters",
    "ExplanationSpec",
    "FeatureNoiseSigma",
    "FeatureValueDomain",
    "InputMetadata",
    "IntegratedGradientsAttribution",
    "Modality",
    "NoiseSigmaForFeature",
    "OutputMetadata",
    "OverlayType",
    "Polarity",
    "Presets",
    "Query",
    "SampledShapleyAttribution",
    "SmoothGradConfig",
    "Visualization",
    "VisualizationType",
    "XraiAttribution",
]


class SampledShapleyAttribution(Resource):
    """Attribution by sampling the orders in which features are added."""

    path_count: Int32 | None = None


class NoiseSigmaForFeature(Resource):
    """The noise added to one feature."""

    name: Text | None = None
    sigma: Float | None = None


class FeatureNoiseSigma(Resource):
    """The noise added, feature by feature."""

    noise_sigma: tuple[NoiseSigmaForFeature, ...] = ()


class SmoothGradConfig(Resource):
    """Averaging of gradients over noisy copies of the input."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("noise_sigma", "feature_noise_sigma"),)

    noise_sigma: Float | None = None
    feature_noise_sigma: FeatureNoiseSigma | None = None
    noisy_sample_count: Int32 | None = None


class BlurBaselineConfig(Resource):
    """A blurred input as the baseline."""

    max_blur_sigma: Float | None = None


class IntegratedGradientsAttribution(Resource):
    """Attribution by gradients along the way from a baseline to the input."""

    step_count: Int32 | None = None
    smooth_grad_config: SmoothGradConfig | None = None
    blur_baseline_config: BlurBaselineConfig | None = None


class XraiAttribution(Resource):
    """Attribution to regions of an image."""

    step_count: Int32 | None = None
    smooth_grad_config: SmoothGradConfig | None = None
    blur_baseline_config: BlurBaselineConfig | None = None


class DataFormat(ProtoEnum):
    """The format of files with examples."""

    DATA_FORMAT_UNSPECIFIED = 0
    JSONL = 1


class Query(ProtoEnum):
    """Whether a search of neighbours is precise or fast."""

    PRECISE = 0
    FAST = 1


class Modality(ProtoEnum):
    """What kind of data the examples are."""

    MODALITY_UNSPECIFIED = 0
    IMAGE = 1
    TEXT = 2
    TABULAR = 3


class ExampleGcsSource(Resource):
    """Files with examples."""

    data_format: DataFormat | None = None
    gcs_source: GcsSource | None = None


class Presets(Resource):
    """Ready settings for a search of neighbours."""

    query: Query | None = None
    modality: Modality | None = None


class Examples(Resource):
    """Explanation by the nearest examples."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("nearest_neighbor_search_config", "presets"),)

    example_gcs_source: ExampleGcsSource | None = None
    nearest_neighbor_search_config: JsonValue = None
    presets: Presets | None = None
    neighbor_count: Int32 | None = None


class ExplanationParameters(Resource):
    """The method of explanation and its settings."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        (
            "sampled_shapley_attribution",
            "integrated_gradients_attribution",
            "xrai_attribution",
            "examples",
        ),
    )

    sampled_shapley_attribution: SampledShapleyAttribution | None = None
    integrated_gradients_attribution: IntegratedGradientsAttribution | None = None
    xrai_attribution: XraiAttribution | None = None
    examples: Examples | None = None
    top_k: Int32 | None = None
    output_indices: tuple[JsonValue, ...] = ()


class Encoding(ProtoEnum):
    """How a feature is encoded in its tensor."""

    ENCODING_UNSPECIFIED = 0
    IDENTITY = 1
    BAG_OF_FEATURES = 2
    BAG_OF_FEATURES_SPARSE = 3
    INDICATOR = 4
    COMBINED_EMBEDDING = 5
    CONCAT_EMBEDDING = 6


class FeatureValueDomain(Resource):
    """The range of a feature's values, or how they were normalised."""

    min_value: Float | None = None
    max_value: Float | None = None
    original_mean: Float | None = None
    original_stddev: Float | None = None


class VisualizationType(ProtoEnum):
    """How attributions are drawn on an image."""

    TYPE_UNSPECIFIED = 0
    PIXELS = 1
    OUTLINES = 2


class Polarity(ProtoEnum):
    """Whether positive or negative attributions are drawn."""

    POLARITY_UNSPECIFIED = 0
    POSITIVE = 1
    NEGATIVE = 2
    BOTH = 3


class ColorMap(ProtoEnum):
    """The colours in which attributions are drawn."""

    COLOR_MAP_UNSPECIFIED = 0
    PINK_GREEN = 1
    VIRIDIS = 2
    RED = 3
    GREEN = 4
    PINK_WHITE_GREEN = 5
    RED_GREEN = 6


class OverlayType(ProtoEnum):
    """How the image is visible below the drawing."""

    OVERLAY_TYPE_UNSPECIFIED = 0
    NONE = 1
    ORIGINAL = 2
    GRAYSCALE = 3
    MASK_BLACK = 4


class Visualization(Resource):
    """How attributions of an image are drawn."""

    type_: VisualizationType | None = None
    polarity: Polarity | None = None
    color_map: ColorMap | None = None
    clip_percent_upperbound: Float | None = None
    clip_percent_lowerbound: Float | None = None
    overlay_type: OverlayType | None = None


class InputMetadata(Resource):
    """The meaning of an input of the model."""

    input_baselines: tuple[JsonValue, ...] = ()
    input_tensor_name: Text | None = None
    encoding: Encoding | None = None
    modality: Text | None = None
    feature_value_domain: FeatureValueDomain | None = None
    indices_tensor_name: Text | None = None
    dense_shape_tensor_name: Text | None = None
    index_feature_mapping: tuple[Text, ...] = ()
    encoded_tensor_name: Text | None = None
    encoded_baselines: tuple[JsonValue, ...] = ()
    visualization: Visualization | None = None
    group_name: Text | None = None


class OutputMetadata(Resource):
    """The meaning of an output of the model."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("index_display_name_mapping", "display_name_mapping_key"),
    )

    index_display_name_mapping: JsonValue = None
    display_name_mapping_key: Text | None = None
    output_tensor_name: Text | None = None


class ExplanationMetadata(Resource):
    """The meaning of the inputs and outputs of the model."""

    inputs: dict[str, InputMetadata] = {}
    outputs: dict[str, OutputMetadata] = {}
    feature_attributions_schema_uri: Text | None = None
    latent_space_source: Text | None = None


class ExplanationSpec(Resource):
    """How predictions are explained."""

    parameters: ExplanationParameters | None = None
    metadata: ExplanationMetadata | None = None
