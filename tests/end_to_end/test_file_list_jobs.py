"""Jobs on lists of images, end to end, with a model that decodes them."""

from pathlib import Path

import pytest

from beam_batch_predict import BatchPredict
from beam_batch_predict.jobs import read_job


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel from image files to their size and mean colour."""
    import tensorflow as tf

    def look(content):
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
        return tf.shape(image)[:2], tf.reduce_mean(tf.cast(image, tf.float32), [0, 1])

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def serve(self, image_bytes):
            types = (tf.int32, tf.float32)
            sizes, means = tf.map_fn(look, image_bytes, fn_output_signature=types)
            return {"size": tf.reshape(sizes, [-1, 2]), "mean": tf.reshape(means, [-1, 3])}

    made = Model()
    path = str(tmp_path_factory.mktemp("model") / "images")
    tf.saved_model.save(made, path, signatures={"serving_default": made.serve})
    return path


@pytest.fixture
def images(tmp_path):
    """Five JPEG and five PNG files, of sizes and colours of their own."""
    import tensorflow as tf

    paths = []
    for number in range(10):
        colour = tf.constant([number * 20, 0, 255 - number * 20], tf.uint8)
        image = tf.broadcast_to(colour, [number + 3, 2 * number + 1, 3])
        kind = "png" if number % 2 else "jpg"
        content = tf.io.encode_png(image) if number % 2 else tf.io.encode_jpeg(image, quality=100)
        path = tmp_path / f"image {number}.{kind}"
        path.write_bytes(content.numpy())
        paths.append(str(path))
    return paths


@pytest.fixture
def run(pipeline, tmp_path, model, outcome_in):
    """A function that runs a job on a list: its predictions, errors and record."""

    def run_job(*lines):
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
        job = read_job(
            {
                "displayName": "images",
                "unmanagedContainerModel": {"artifactUri": model},
                "inputConfig": {
                    "instancesFormat": "file-list",
                    "gcsSource": {"uris": [str(tmp_path / "list.csv")]},
                },
                "outputConfig": {
                    "predictionsFormat": "jsonl",
                    "gcsDestination": {"outputUriPrefix": str(tmp_path / "out")},
                },
            }
        )
        with pipeline() as p:
            predict = BatchPredict(job)
            _ = p | predict
        return outcome_in(predict.directory)

    return run_job


def test_images_are_predicted_in_the_order_of_the_list(run, images):
    order = [images[at] for at in (9, 0, 5, 2, 2, 7)]
    predictions, errors, record = run(*order)
    assert errors == []
    assert [line["instance"] for line in predictions] == order
    for path, line in zip(order, predictions, strict=True):
        number = images.index(path)
        assert line["prediction"]["size"] == [number + 3, 2 * number + 1]
        expected = [number * 20, 0, 255 - number * 20]
        assert line["prediction"]["mean"] == pytest.approx(expected, abs=3)
    assert record["completionStats"]["successfulCount"] == "6"


def test_files_that_are_no_images_fail_alone(run, images, tmp_path):
    (tmp_path / "empty").touch()
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(images[9]).read_bytes()[:40])
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    gone, directory = str(tmp_path / "gone.jpg"), str(tmp_path)
    bad = [str(tmp_path / "empty"), str(cut), str(text), gone, directory]
    lines = [line for pair in zip(bad, images, strict=False) for line in pair]
    predictions, errors, record = run(*(f'"{line}"' for line in lines), "", *images)
    assert [line["instance"] for line in predictions] == [*images[:5], *images]
    assert [line["instance"] for line in errors] == bad
    assert [line["error"]["code"] for line in errors][3:] == [5, 3]
    offset = sum(len(line) + 3 for line in lines[:6])
    assert errors[3]["error"]["message"] == (
        f"there is no such file ({tmp_path / 'list.csv'}, byte {offset})"
    )
    stats = record["completionStats"]
    assert (stats["successfulCount"], stats["failedCount"]) == ("15", "5")
    assert all(" failed: " in failure["message"] for failure in record["partialFailures"])
