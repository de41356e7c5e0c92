"""The graph that Dataflow gets, for every dialect and pair of formats."""

import hashlib
import itertools
import json

import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api
from runners.dataflow.translation import (
    FUSABLE,
    PARDO,
    chain,
    display_data,
    fn_of,
    pardo,
    stages,
    step_called,
    steps,
    translate,
)

from beam_batch_predict.jobs import (
    SUPPORTED_INSTANCES_FORMATS,
    SUPPORTED_PREDICTIONS_FORMATS,
    read_job,
)
from beam_batch_predict.jobs.ai_platform.types import INPUT_FORMATS, OUTPUT_FORMATS
from beam_batch_predict.sinks.naming import PARTS

MOST_BYTES = 80_000
"""Of a pipeline, however large its input; 50,000 are Beam's."""

NAMES = [
    "BatchPredict/Begin",
    "BatchPredict/ConvertInstances/Convert",
    "BatchPredict/Plan",
    "BatchPredict/Predict/RunInference/BeamML_RunInference",
    "BatchPredict/Predict/Settle",
    "BatchPredict/Read/ReadChunk",
    "BatchPredict/Read/SpreadChunks/AddRandomKeys",
    "BatchPredict/Read/SpreadChunks/RemoveRandomKeys",
    "BatchPredict/Read/SpreadChunks/ReshufflePerKey/FlatMap(restore_metadata_default_window)",
    "BatchPredict/Read/SpreadChunks/ReshufflePerKey/GroupByKey",
    "BatchPredict/Read/SpreadChunks/ReshufflePerKey/Map(reify_metadata_default_window)",
    "BatchPredict/Run/Impulse",
    "BatchPredict/Run/Map(decode)",
    "BatchPredict/WriteResults/CleanUp",
    "BatchPredict/WriteResults/Finish",
    "BatchPredict/WriteResults/InOneWindow",
    "BatchPredict/WriteResults/Once/Impulse",
    "BatchPredict/WriteResults/Once/Map(decode)",
    "BatchPredict/WriteResults/WriteParts",
]
"""Beside Create's own functions, which Beam names after a line of its source."""


def vertex(
    instances_format="jsonl", predictions_format="jsonl", uris=("gs://bucket/in/*",), **more
):
    source = {"gcsSource": {"uris": list(uris)}}
    if instances_format == "bigquery":
        source = {"bigquerySource": {"inputUri": "bq://my-project.dataset.table"}}
    destination = {"gcsDestination": {"outputUriPrefix": "gs://bucket/out"}}
    if predictions_format == "bigquery":
        destination = {"bigqueryDestination": {"outputUri": "bq://my-project.dataset"}}
    return read_job(
        {
            "displayName": "a job",
            "unmanagedContainerModel": {"artifactUri": "gs://bucket/model"},
            "inputConfig": {"instancesFormat": instances_format, **source},
            "outputConfig": {"predictionsFormat": predictions_format, **destination},
            **more,
        }
    )


def ai_platform(data_format, output_data_format):
    return read_job(
        {
            "jobId": "a_job",
            "predictionInput": {
                "dataFormat": data_format,
                "outputDataFormat": output_data_format,
                "inputPaths": ["gs://bucket/in/*"],
                "outputPath": "gs://bucket/out",
                "region": "us-central1",
                "uri": "gs://bucket/model",
            },
        }
    )


def pairs():
    """Each dialect's pairs of formats; most of those of formats that others have are slow."""
    vertex_pairs = itertools.product(SUPPORTED_INSTANCES_FORMATS, SUPPORTED_PREDICTIONS_FORMATS)
    for pair in vertex_pairs:
        yield vertex, pair, "jsonl" in pair or pair[0] == pair[1]
    for pair in itertools.product(sorted(INPUT_FORMATS), sorted(OUTPUT_FORMATS)):
        yield ai_platform, pair, pair[1] == "CSV"


PAIRS = [
    pytest.param(
        dialect,
        *pair,
        marks=() if every_time else pytest.mark.slow,
        id=f"{dialect.__name__} {pair[0]} {pair[1]}",
    )
    for dialect, pair, every_time in pairs()
]


@pytest.mark.parametrize(("dialect", "instances_format", "predictions_format"), PAIRS)
def test_from_read_to_part_is_one_stage(dialect, instances_format, predictions_format):
    pipeline = translate(dialect(instances_format, predictions_format))
    found = steps(pipeline)
    assert sorted(name for name in found if "<lambda" not in name) == NAMES
    assert pipeline.ByteSize() < MOST_BYTES
    check_one_stage(pipeline)
    check_work_arrives(found)


def check_one_stage(pipeline):
    """Nothing between a chunk and its part makes a runner write rows somewhere."""
    walked = chain(pipeline, "/ReadChunk", "/WriteParts")
    assert [step.unique_name.rpartition("/")[2] for step in walked] == [
        *("ReadChunk", "Convert", "BeamML_RunInference", "Settle", "InOneWindow", "WriteParts")
    ]
    (environment,) = {step.environment_id for step in walked}
    assert environment in pipeline.components.environments
    consumers = [
        (of, step.unique_name) for step in steps(pipeline).values() for of in step.inputs.values()
    ]
    for step, following in itertools.pairwise(walked):
        assert step.spec.urn in FUSABLE
        (output,) = step.outputs.values()
        assert [name for of, name in consumers if of == output] == [following.unique_name]
    for step in walked:
        if step.spec.urn == PARDO:
            payload = pardo(step)
            assert not payload.restriction_coder_id
            assert not payload.state_specs
            assert not payload.timer_family_specs
            assert not payload.requests_finalization
            assert not payload.requires_stable_input
    names = {step.unique_name for step in walked}
    (stage,) = (stage for stage in stages(pipeline) if names & stage)
    assert names <= stage


def check_work_arrives(found):
    """What workers get can be unpickled; the only side inputs come from steps before."""
    for step in found.values():
        if step.spec.urn == PARDO:
            fn_of(step)
    with_side_inputs = {
        name.rpartition("/")[2]
        for name, step in found.items()
        if step.spec.urn == PARDO and pardo(step).side_inputs
    }
    assert with_side_inputs == {"WriteParts", "Finish", "CleanUp"}
    (begun,) = set(step_called(found, "/Begin").outputs.values())
    write = step_called(found, "/WriteParts")
    assert [write.inputs[name] for name in pardo(write).side_inputs] == [begun]


def test_the_graph_is_the_same_for_one_file_and_for_a_thousand(tmp_path):
    sizes = []
    for files in (1, 1000):
        directory = tmp_path / f"{files:04}"
        directory.mkdir()
        for number in range(files):
            # A name that compression does not shorten: 20 bytes of each file would show.
            name = hashlib.sha256(str(number).encode()).hexdigest()
            (directory / f"{name}.jsonl").write_text(json.dumps(f"a row {number}") * 20)
        pipeline = translate(vertex(uris=[str(directory / "*.jsonl")]))
        sizes.append((len(pipeline.components.transforms), pipeline.ByteSize()))
    (transforms, size), (same, about_the_same) = sizes
    assert transforms == same
    assert abs(size - about_the_same) < 2_000, "Beam compresses functions: sizes vary a little"


def test_ten_thousand_uris_in_a_job_file_are_no_megabyte():
    uris = [f"gs://bucket/in/day={n % 365}/part-{n:05}-of-10000.jsonl" for n in range(10_000)]
    assert translate(vertex(uris=uris)).ByteSize() < 1_000_000


def test_hints_are_for_every_step_alike():
    pipeline = translate(vertex(), "--resource_hints=min_ram=15GB", "--resource_hints=cpu_count=4")
    (environment,) = pipeline.components.environments.values()
    assert environment.resource_hints == {
        common_urns.resource_hints.MIN_RAM_BYTES.urn: b"15000000000",
        common_urns.resource_hints.CPU_COUNT.urn: b"4",
    }
    check_one_stage(pipeline)


def test_workers_start_from_beams_image_or_from_that_which_is_named():
    image = "europe-docker.pkg.dev/my-project/images/batch-predict:1"
    images = []
    for flags in ((), (f"--sdk_container_image={image}",)):
        (environment,) = translate(vertex(), *flags).components.environments.values()
        assert environment.urn == common_urns.environments.DOCKER.urn
        images.append(api.DockerPayload.FromString(environment.payload).container_image)
    assert images[0].startswith("gcr.io/cloud-dataflow/v1beta3/beam_python3.")
    assert images[1] == image


def test_keys_that_are_shuffled_have_one_encoding():
    pipeline = translate(vertex())
    coders = pipeline.components.coders
    shuffles = [s for s in steps(pipeline).values() if s.spec.urn.endswith("group_by_key:v1")]
    assert len(shuffles) == 1
    for shuffle in shuffles:
        (collection,) = shuffle.inputs.values()
        key, _ = coders[pipeline.components.pcollections[collection].coder_id].component_coder_ids
        assert coders[key].spec.urn == common_urns.coders.VARINT.urn


def test_batches_have_their_own_coder_at_every_step():
    pipeline = translate(vertex())
    components = pipeline.components
    for step in chain(pipeline, "/ReadChunk", "/InOneWindow"):
        (output,) = step.outputs.values()
        coder = components.coders[components.pcollections[output].coder_id]
        assert b"InstanceBatchCoder" in coder.spec.payload


def test_the_page_of_a_job_shows_nothing_of_its_data():
    job = vertex(labels={"owner": "marker"}, instanceConfig={"keyField": "marker"})
    shown = list(display_data(translate(job)))
    assert shown
    assert not [data for data in shown if b"marker" in data or PARTS.encode() in data]
