"""Train the example's model and export it as a SavedModel.

    python examples/penguins/train.py [--out DIRECTORY]

The model predicts the species of a penguin from four measurements, the island and the sex. It is
trained on four fifths of the complete rows of `penguins.csv` and evaluated on the rest.

The exported graph includes the preprocessing (scaling of numbers, encoding of words), so an
instance is the JSON object of the input files without its id.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Has an effect only before the import.

import keras
import make_data
import numpy as np
import tensorflow as tf

HERE = Path(__file__).resolve().parent
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
ISLANDS = ("Biscoe", "Dream", "Torgersen")
SEXES = ("female", "male")

SEED = 7
EPOCHS = 60
HELD_OUT = 0.2

Columns = dict[str, Any]
"""Arrays or tensors of one value per penguin, by input name."""


class Examples(NamedTuple):
    """Penguins whose species is known.

    Attributes:
        columns: the inputs, by name.
        labels: the species, as indexes into `SPECIES`.
    """

    columns: Columns
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> Examples:
        """Return the penguins with these indexes."""
        return Examples({k: v[rows] for k, v in self.columns.items()}, self.labels[rows])


def read_examples(csv_path: Path) -> Examples:
    """Read the rows of the CSV without missing values."""
    rows = [row for row in make_data.read_rows(csv_path) if "NA" not in row.values()]
    columns = {
        name: np.array([row[name] for row in rows], np.float32 if is_number(name) else np.bytes_)
        for name in make_data.FIELDS
    }
    return Examples(columns, np.array([SPECIES.index(row["species"]) for row in rows]))


def is_number(name: str) -> bool:
    """Return whether an input is a number; the other inputs are words."""
    return name in make_data.NUMBERS


def split(examples: Examples) -> tuple[Examples, Examples]:
    """Split the penguins at random into training data and held-out data."""
    order = np.random.default_rng(SEED).permutation(len(examples.labels))
    held_out = round(len(order) * HELD_OUT)
    return examples.take(order[held_out:]), examples.take(order[:held_out])


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A function from columns to the features of the network.

    Attributes:
        mean: the mean of each number; it is scaled to 0.
        spread: the standard deviation of each number; it is scaled to 1.
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def scaled_to(cls, columns: Columns) -> Encoder:
        """Make an encoder with the scale of these columns."""
        numbers = np.stack([columns[name] for name in make_data.NUMBERS], axis=1)
        return cls(numbers.mean(axis=0), numbers.std(axis=0))

    def __call__(self, columns: Columns) -> tf.Tensor:
        """Return a float32 tensor with one row per penguin.

        An unknown word becomes zeros, so the model ignores it.
        """
        numbers = tf.stack([columns[name] for name in make_data.NUMBERS], axis=1)
        return tf.concat(
            [
                (numbers - self.mean) / self.spread,
                one_hot(columns["island"], ISLANDS),
                one_hot(columns["sex"], SEXES),
            ],
            axis=1,
        )


def one_hot(words: tf.Tensor, vocabulary: tuple[str, ...]) -> tf.Tensor:
    """Return one column per word of the vocabulary: 1 for an equal word, else 0.

    For a few words, comparing all of them is simpler than a lookup table.
    """
    return tf.cast(tf.equal(tf.expand_dims(words, 1), tf.constant(vocabulary)), tf.float32)


def fit(features: tf.Tensor, labels: np.ndarray) -> keras.Model:
    """Train a small network that predicts a probability for each species."""
    keras.utils.set_random_seed(SEED)
    network = keras.Sequential(
        [
            keras.Input(shape=(features.shape[1],)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(len(SPECIES), activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    network.fit(features, labels, batch_size=32, epochs=EPOCHS, verbose=0)
    return network


def accuracy(network: keras.Model, features: tf.Tensor, labels: np.ndarray) -> float:
    """Return the share of penguins with a correct prediction."""
    return float(np.mean(np.argmax(network(features), axis=1) == labels))


def input_signature() -> list[tf.TensorSpec]:
    """Return the inputs of both signatures, each with one value per penguin."""
    return [
        tf.TensorSpec([None], tf.float32 if is_number(name) else tf.string, name)
        for name in make_data.FIELDS
    ]


def export(network: keras.Model, encode: Encoder, directory: Path) -> None:
    """Write the SavedModel; an existing one is replaced.

    Args:
        network: the trained network.
        encode: the encoder from inputs to features.
        directory: the directory of the SavedModel.
    """
    # An uncompiled copy has no optimizer; the state of an optimizer would double the size.
    bare = keras.models.clone_model(network)
    bare.set_weights(network.get_weights())

    def scores(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": bare(encode(dict(zip(make_data.FIELDS, inputs, strict=True))))}

    def classify(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = scores(*inputs)["scores"]
        species = tf.gather(tf.constant(SPECIES), tf.argmax(probabilities, axis=1))
        return {"species": species, "probabilities": probabilities}

    shutil.rmtree(directory, ignore_errors=True)
    archive = keras.export.ExportArchive()
    archive.track(bare)
    archive.add_endpoint("serving_default", classify, input_signature())
    archive.add_endpoint("scores", scores, input_signature())
    archive.write_out(directory, verbose=False)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description="Train and export the example's model.")
    parser.add_argument("--csv", type=Path, default=HERE / "penguins.csv", help="the table")
    parser.add_argument("--out", type=Path, default=HERE / "model", help="the SavedModel")
    args = parser.parse_args()

    examples = read_examples(args.csv)
    training, held_out = split(examples)
    encode = Encoder.scaled_to(training.columns)
    network = fit(encode(training.columns), training.labels)
    for what, part in (("training", training), ("held out", held_out), ("all", examples)):
        share = accuracy(network, encode(part.columns), part.labels)
        print(f"accuracy, {what}: {share:.1%} of {len(part.labels)}")
    export(network, encode, args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"exported to {args.out}: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
