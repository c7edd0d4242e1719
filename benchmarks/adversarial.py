"""Measure adversarial steps: chapter 17's two compiled models that take turns against a hand-written GradientTape step.

    .venv/bin/python benchmarks/adversarial.py [--runs 9] [--seconds 3]

A round trains the discriminator once and the generator once, on 64 pictures. There are two rivals with gradient tapes:
a `tf.function` for each player's step, so that the players may take turns as they like, and one for the whole round,
whose order is fixed. Losses are read as `train_on_batch` reads them. All begin from the same weights and see the same
batches, and must report the same losses, or they would not do the same work. They run in turns (A B C A B C ...), and
the ratios are taken turn by turn, so that a machine whose speed drifts does not matter.
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

from course.authoring import chapters
from course.lesson import recording

BATCH = 64
CHANNELS = 24  # of the chapter on its quick budget


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a run, about")
    options = parser.parse_args()
    machine = recording.machine()
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(f"{machine['device']}; {versions}\n")
    print("| networks | rival | rounds a second, rival | two models | ratio, median | range |")
    print("|---|---|---|---|---|---|")
    lesson = definitions("17")
    for name, shape, generator, discriminator in (
        (
            "DCGAN, 16 x 16",
            (16, 16, 1),
            lambda: lesson["dcgan_generator"](CHANNELS),
            lambda: lesson["dcgan_discriminator"](CHANNELS),
        ),
        (
            "dense, points in the plane",
            (2,),
            lambda: lesson["relu_network"](4, 2),
            lambda: lesson["relu_network"](2, 1),
        ),
    ):
        turns, *rivals = compare(lesson, shape, generator, discriminator, options)
        for rival, rounds in zip(("a function for each player", "one function for both"), rivals):
            ratios = [a / b for a, b in zip(turns, rounds)]
            span = f"{min(ratios):.2f} to {max(ratios):.2f}"
            speeds = f"{statistics.median(rounds):.0f} | {statistics.median(turns):.0f}"
            print(f"| {name} | {rival} | {speeds} | {statistics.median(ratios):.2f} | {span} |")


def definitions(number):
    """What the definition cells of a chapter define: dict from name to value."""
    chapter = chapters.read_chapter(chapters.select([number])[0])
    names = {"__name__": chapter.stem}
    for cell in chapter.cells:
        if cell.cell_type == "code" and cell.metadata["course"]["role"] == "definition":
            exec(compile(cell.source, chapter.path, "exec"), names)
    return names


def compare(lesson, shape, build_generator, build_discriminator, options):
    """Rounds a second of the two models and of both rivals: a list each, with one entry for every turn."""
    pairs = [(build_generator(), build_discriminator()) for _ in range(3)]
    for pair in pairs[1:]:
        for network, first in zip(pair, pairs[0]):
            network.set_weights(first.get_weights())
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, size=(50, BATCH, *shape)).astype("float32")
    noise = rng.normal(size=(2, 50, BATCH, pairs[0][0].input_shape[-1])).astype("float32")
    players = two_models(lesson, *pairs[0]), two_tapes(*pairs[1], fused=False), two_tapes(*pairs[2], fused=True)
    losses = [[play(pictures[i], *noise[:, i]) for i in range(3)] for play in players]
    for other in losses[1:]:
        if not np.allclose(losses[0], other, rtol=1e-3, atol=1e-4):
            sys.exit(f"they do not do the same work; the losses of their first rounds:\n{losses[0]}\n{other}")
    rounds = max(10, round(options.seconds * rate(players[0], pictures, noise, 10)))
    turns = [[rate(play, pictures, noise, rounds) for play in players] for _ in range(options.runs)]
    return list(zip(*turns))


def rate(play, pictures, noise, rounds):
    """Rounds a second."""
    begin = time.perf_counter()
    for i in range(rounds):
        play(pictures[i % 50], *noise[:, i % 50])
    return rounds / (time.perf_counter() - begin)


def two_models(lesson, generator, discriminator):
    """A round as chapter 17 plays it."""
    d_player = lesson["compiled"](lesson["DiscriminatorPlayer"](discriminator, generator), 2e-4)
    loss = lesson["non_saturating"]
    g_player = lesson["compiled"](lesson["GeneratorPlayer"](generator, discriminator, loss), 2e-4)

    def play(real, z_d, z_g):
        return float(d_player.train_on_batch((real, z_d))), float(g_player.train_on_batch(z_g))

    return play


def two_tapes(generator, discriminator, fused):
    """The same round by hand. fused: in one function, instead of one for each player's step."""
    d_adam, g_adam = (keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))
    d_adam.build(discriminator.trainable_variables)
    g_adam.build(generator.trainable_variables)

    @tf.function
    def d_step(real, z):
        fake = generator(z, training=True)
        with tf.GradientTape() as tape:
            judged = discriminator(real, training=True), discriminator(fake, training=True)
            loss = tf.reduce_mean(tf.nn.softplus(-judged[0])) + tf.reduce_mean(tf.nn.softplus(judged[1]))
        variables = discriminator.trainable_variables
        d_adam.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    @tf.function
    def g_step(z):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.softplus(-discriminator(generator(z, training=True), training=True)))
        variables = generator.trainable_variables
        g_adam.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    @tf.function
    def both(real, z_d, z_g):
        return d_step(real, z_d), g_step(z_g)

    def play(real, z_d, z_g):
        losses = both(real, z_d, z_g) if fused else (d_step(real, z_d), g_step(z_g))
        return tuple(float(loss) for loss in losses)

    return play


if __name__ == "__main__":
    main()
