"""Measure adversarial steps: chapter 17's two compiled models that take turns against a hand-written GradientTape step.

    .venv/bin/python benchmarks/adversarial.py [--runs 9] [--seconds 3]

A round trains the discriminator once and the generator once, on 64 pictures. The rival is one `tf.function` with two
gradient tapes, its losses read after each round as `train_on_batch` reads them. Both begin from the same weights and
see the same batches, and must report the same losses, or they would not do the same work. They run in turns
(A B A B ...) and the ratio is taken pair by pair, so that a machine whose speed drifts does not matter.
"""

import argparse
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # the rival is TensorFlow's
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from course import chapters, results

BATCH = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a run, about")
    options = parser.parse_args()
    machine = results.machine()
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(f"{machine['device']}; {versions}\n")
    print(f"| networks | two models, rounds a second | GradientTape | ratio (median of {options.runs} pairs) | range |")
    print("|---|---|---|---|---|")
    lesson = definitions("17")
    for name, shape, generator, discriminator in (
        ("DCGAN, 28 x 28", (28, 28, 1), lesson["dcgan_generator"], lesson["dcgan_discriminator"]),
        (
            "dense, points in the plane",
            (2,),
            lambda: lesson["relu_network"](4, 2),
            lambda: lesson["relu_network"](2, 1),
        ),
    ):
        turns, tape, ratios = compare(lesson, shape, generator, discriminator, options)
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"| {name} | {turns:.0f} | {tape:.0f} | {statistics.median(ratios):.2f} | {span} |")


def definitions(number):
    """What the definition cells of a chapter define: dict from name to value."""
    chapter = chapters.read_chapter(chapters.select([number])[0])
    names = {"__name__": chapter.stem}
    for cell in chapter.cells:
        if cell.cell_type == "code" and cell.metadata["course"]["role"] == "definition":
            exec(compile(cell.source, chapter.path, "exec"), names)
    return names


def compare(lesson, shape, build_generator, build_discriminator, options):
    """Rounds a second of both, medians, and the ratio of each pair of runs."""
    first = build_generator(), build_discriminator()
    second = build_generator(), build_discriminator()
    for mine, other in zip(first, second):
        other.set_weights(mine.get_weights())
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, size=(50, BATCH, *shape)).astype("float32")
    noise = rng.normal(size=(2, 50, BATCH, first[0].input_shape[-1])).astype("float32")
    rivals = two_models(lesson, *first), two_tapes(*second)
    losses = [[rival(pictures[i], *noise[:, i]) for i in range(3)] for rival in rivals]
    if not np.allclose(*losses, rtol=1e-3, atol=1e-4):
        sys.exit(f"the two do not do the same work; the losses of their first rounds:\n{losses[0]}\n{losses[1]}")
    rounds = max(10, round(options.seconds * rate(rivals[0], pictures, noise, 10)))
    pairs = [[rate(rival, pictures, noise, rounds) for rival in rivals] for _ in range(options.runs)]
    turns, tape = (statistics.median(column) for column in zip(*pairs))
    return turns, tape, [a / b for a, b in pairs]


def rate(rival, pictures, noise, rounds):
    """Rounds a second."""
    begin = time.perf_counter()
    for i in range(rounds):
        rival(pictures[i % 50], *noise[:, i % 50])
    return rounds / (time.perf_counter() - begin)


def two_models(lesson, generator, discriminator):
    """A round as chapter 17 plays it."""
    d_player = lesson["compiled"](lesson["DiscriminatorPlayer"](discriminator, generator), 2e-4)
    loss = lesson["non_saturating"]
    g_player = lesson["compiled"](lesson["GeneratorPlayer"](generator, discriminator, loss), 2e-4)

    def play(real, z_d, z_g):
        return float(d_player.train_on_batch((real, z_d))), float(g_player.train_on_batch(z_g))

    return play


def two_tapes(generator, discriminator):
    """The same round by hand."""
    d_adam, g_adam = (keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
    d_adam.build(discriminator.trainable_variables)
    g_adam.build(generator.trainable_variables)

    @tf.function
    def step(real, z_d, z_g):
        fake = generator(z_d, training=True)
        with tf.GradientTape() as tape:
            judged = discriminator(real, training=True), discriminator(fake, training=True)
            d_loss = tf.reduce_mean(tf.nn.softplus(-judged[0])) + tf.reduce_mean(tf.nn.softplus(judged[1]))
        variables = discriminator.trainable_variables
        d_adam.apply_gradients(zip(tape.gradient(d_loss, variables), variables))
        with tf.GradientTape() as tape:
            g_loss = tf.reduce_mean(tf.nn.softplus(-discriminator(generator(z_g, training=True), training=True)))
        variables = generator.trainable_variables
        g_adam.apply_gradients(zip(tape.gradient(g_loss, variables), variables))
        return d_loss, g_loss

    def play(real, z_d, z_g):
        return tuple(float(loss) for loss in step(real, z_d, z_g))

    return play


if __name__ == "__main__":
    main()
