# %% [raw]
# title: "LeNet on MNIST: a complete project"
# part: II. Convolution
# minutes: 120
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - softmax and cross-entropy
#   - gradient descent
#   - Adam
#   - overfitting and validation
#   - early stopping
#   - output size, stride, padding and dilation
#   - channels
#   - parameters and multiply-adds of a layer
# teaches:
#   - input pipelines
#   - training, validation and test data
#   - LeNet-5
#   - callbacks and early stopping
#   - saving and loading a model
#   - accuracy and its standard error
#   - confusion matrix, precision, recall and F1
#   - inductive bias
#   - calibration
# data: [MNIST]
# sources:
#   - "LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998"
#   - "Prechelt, Early stopping - but when?, 1998"
#   - "Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015"
#   - "Kingma & Ba, Adam: a method for stochastic optimization, 2015"
#   - "Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, 2017"
#   - "Zhang, Bengio, Hardt, Recht & Vinyals, Understanding deep learning requires rethinking generalization, 2017"
#   - "Opitz & Burst, Macro F1 and macro F1, 2019"

# %% [markdown]
# Here are eight digits, and below them the same eight once more, with their pixels in another order. The order was
# drawn once, and it is the same for all eight: whatever was in the top left corner has gone to one and the same other
# place.

# %%
import importlib.util
import tempfile
import time
from pathlib import Path

from course import ask, budget, check, claim, data, plots, prove, record, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import stats
from sklearn import metrics

rng = start("06")  # seeds everything from COURSE_SEED and sets the style of the figures


def permuted(images, order):
    """The images (n, 28, 28) with their 784 pixels in another order, one order for all of them."""
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


# %%
mnist = data.mnist()
order = rng.permutation(28 * 28)
plots.show_images([*mnist.x_test[:8], *permuted(mnist.x_test[:8], order)], columns=8)

# %% [markdown]
# *Figure 6.1. Top: the first eight test digits. Bottom: the same pixels, rearranged in the same way in every picture.*
#
# Nothing is lost in the lower row: whoever knows the order can put every pixel back. A network that joins every pixel
# with every unit, as a dense layer does, has no reason to prefer one row to the other. A convolution has: it looks at
# neighbours. So:
#
# **How much of what a convolutional network can do comes from what it is told before it sees a single digit, namely
# that near pixels belong together?**
#
# To answer you need a network that is trained, tested and compared properly, and that is the work of this chapter. The
# network is LeNet-5, which read cheques in the 1990s; the work around it is the same for every network after it.
#
# ## What you will be able to do
#
# - keep training, validation and test data apart, and say what each of them may decide;
# - feed a network with `tf.data`, and say what shuffling, caching and prefetching buy;
# - build LeNet-5 from a table, and count its sizes and parameters before Keras does;
# - train with early stopping and checkpoints, watch it in TensorBoard, save it and load it;
# - judge it: accuracy with an error bar, precision, recall, F1, the pairs that it confuses, and whether its confidence
#   can be trusted;
# - recognise an evaluation that flatters itself.
#
# ## Three parts, three questions
#
# A network sees its training digits many times and can learn them by heart. How well it reads can only be told by
# digits that had no part in making it. There are two ways of having a part. The **training** digits set the weights.
# The **validation** digits set everything that you choose by looking: when to stop, how fast to learn, which network
# to keep. The **test** digits decide nothing, and are looked at once, at the end.
#
# MNIST comes with its test digits set apart. Take a tenth of the others for validation, at random:


# %%
def split(count, share, rng):
    """Positions of the training and of the validation items: two arrays that together hold 0 to count - 1 once each."""
    shuffled = rng.permutation(count)
    return shuffled[int(share * count) :], shuffled[: int(share * count)]


def twins(some, others):
    """How many of some images occur, pixel by pixel, among the others."""
    seen = {image.tobytes() for image in others}
    return sum(image.tobytes() in seen for image in some)


# %%
for_training, for_validation = split(len(mnist.x_train), 0.1, rng)
train = mnist.x_train[for_training], mnist.y_train[for_training]
validation = mnist.x_train[for_validation], mnist.y_train[for_validation]
test = mnist.x_test, mnist.y_test
for name, (images, labels) in {"training": train, "validation": validation, "test": test}.items():
    of_each = np.bincount(labels)
    print(f"{name:10} {len(images):6,} digits, {of_each.min():,} to {of_each.max():,} of each class")

# %% [markdown]
# Splitting at random is not yet splitting well. If a picture is in the collection twice, one copy may land in each
# part, and the network is tested on what it has learned by heart. So look:

# %%
claim(
    "6.1",
    "no picture stands in two of the three parts",
    twins(train[0], validation[0]) + twins(train[0], test[0]) + twins(validation[0], test[0]) == 0,
)

# %% [markdown]
# There is a subtler leak. MNIST's makers saw to it that nobody who wrote a training digit wrote a test digit (LeCun et
# al., 1998). The random split above cannot promise that for the validation digits: you may well train on somebody's
# sevens and validate on another seven by the same hand. Exercise 6.3 is about closing that hole.
#
# **Question 6.a.** You try three learning rates and keep the network that reads best. By which digits may you choose:
# `"training"`, `"validation"` or `"test"`?

# %%
ask(
    "6.a",
    "validation",
    why="They decide what you choose by looking, and the test digits stay unseen until the end.",
    hint="Which digits set the weights? And which must have had no part in making the network?",
    choices=("training", "validation", "test"),
)

# %% [markdown]
# ## Feeding the network
#
# Training takes **batches**: some dozens of digits at a time, drawn without order, because a network that is shown all
# zeros first and all nines last forgets the zeros. Data sets that fit in memory are simply shuffled. Larger ones are
# read from a disk in the order in which they lie there, and shuffled on the way through a **buffer** of $b$ places:
# fill it, let one item out at random, put the next one in its place, and so on.


# %%
def through_buffer(count, b, rng):
    """The order in which the items 0 to count - 1 leave a shuffle buffer of b places: an array (count,)."""
    buffer, left = [], []
    for item in range(count):
        buffer.append(item)
        if len(buffer) == b:
            left.append(buffer.pop(rng.integers(b)))
    return np.array(left + [buffer[i] for i in rng.permutation(len(buffer))])


figure, axes = plt.subplots(1, 3, figsize=(8.5, 3.2), sharey=True)
for axis, b in zip(axes, (1, 100, 1000)):
    axis.scatter(np.arange(1000), through_buffer(1000, b, rng), s=3, color=plots.COLOURS[0])
    axis.plot([0, 1000 - b], [b, 1000], color=plots.COLOURS[1], linestyle="--")
    axis.set(title=f"buffer of {b}", xlabel="place in the epoch")
axes[0].set_ylabel("place on the disk")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.2. A thousand items pass through a shuffle buffer. One place changes nothing, a hundred blur the order, and
# only a buffer for all thousand mixes them.*
#
# In the middle picture no dot lies above the dashed line: an item can be late, but not very early. Item $i$ enters the
# buffer when $i - b + 1$ others have left it, so the earliest place at which it can come out is
#
# $$ e(i) = \max(0,\; i - b + 1) \tag{6.1} $$
#
# On a disk that is sorted by class, this means that every epoch begins without a single nine. Try all the ways in
# which six items can pass through a buffer:


# %%
def earliest(i, b):
    """The earliest place, counted from 0, at which item i can leave a shuffle buffer of b places."""
    return max(0, i - b + 1)  # (6.1)


def earliest_of_all_orders(i, b, count=6):
    """The same by trying every choice that the buffer could make."""

    def orders(buffer, waiting):
        while waiting and len(buffer) < b:
            buffer, waiting = [*buffer, waiting[0]], waiting[1:]
        if not buffer:
            yield []
        for item in buffer:
            for rest in orders([other for other in buffer if other != item], waiting):
                yield [item, *rest]

    return min(order.index(i) for order in orders([], list(range(count))))


# %%
prove("6.1", earliest, earliest_of_all_orders, cases=((i, b) for i in range(6) for b in range(1, 7)))

# %% [markdown]
# TensorFlow's `tf.data` is a tool box for such pipelines. You say what shall happen, step by step, and it happens
# while training runs. Keras takes such a pipeline on every backend, so this section, which is about TensorFlow itself,
# is the one that imports it; where it is not installed, the arrays themselves do.


# %%
def scaled(images):
    """uint8 images (n, 28, 28) as a network wants them: float32 (n, 28, 28, 1), from 0 (black) to 1 (white)."""
    return (images / np.float32(255))[..., None]


def feed(images, labels, batch):
    """Arguments for `model.fit` to train on uint8 images (n, 28, 28): a pipeline, or arrays without TensorFlow."""
    if importlib.util.find_spec("tensorflow") is None:
        print("TensorFlow is not installed: Keras itself shuffles the arrays and cuts them into batches.")
        return {"x": scaled(images), "y": labels, "batch_size": batch}
    import tensorflow as tf

    pipeline = tf.data.Dataset.from_tensor_slices((images, labels))
    pipeline = pipeline.shuffle(len(images), seed=seed())  # a buffer for all, mixed anew in each epoch
    pipeline = pipeline.batch(batch)
    pipeline = pipeline.map(lambda x, y: (tf.cast(x, "float32")[..., None] / 255, y))  # whole batches are cheaper
    return {"x": pipeline.prefetch(tf.data.AUTOTUNE)}


# %% [markdown]
# What do the steps buy? MNIST lies in memory, where there is little to gain. So make the case that you will meet
# later: sixty pictures of a megapixel as PNG files, which must be decoded and shrunk, and a GPU that is busy for ten
# milliseconds with each batch of six (a pause plays its part). `cache` keeps what the steps before it have made, so
# that the next epoch finds it ready; it needs the memory to keep it in. `prefetch` prepares the next batch while the
# present one is being worked on.


# %%
def time_pipelines(images, batch, busy, epochs=3):
    """Seconds of each epoch for four pipelines from PNG files: a dict from name to a list."""
    import tensorflow as tf

    large = np.kron(images, np.ones((1, 36, 36), dtype="uint8"))[..., None]  # a megapixel each
    files = tf.data.Dataset.from_tensor_slices([tf.io.encode_png(image).numpy() for image in large])
    small = files.map(lambda file: tf.image.resize(tf.io.decode_png(file), (28, 28), antialias=True) / 255)
    pipelines = {
        "neither": small.batch(batch),
        "prefetch": small.batch(batch).prefetch(4),
        "cache": small.cache().batch(batch),
        "cache and prefetch": small.cache().batch(batch).prefetch(4),
    }
    seconds = {name: [] for name in pipelines}
    for name, pipeline in pipelines.items():
        for _ in range(epochs):
            begin = time.perf_counter()
            for _ in pipeline:
                time.sleep(busy)
            seconds[name].append(time.perf_counter() - begin)
    return seconds


if importlib.util.find_spec("tensorflow"):
    seconds = time_pipelines(mnist.x_train[:60], batch=6, busy=0.01)
    figure, axis = plt.subplots(figsize=(6, 2.6))
    rows = np.arange(len(seconds))
    axis.barh(rows - 0.2, [s[0] for s in seconds.values()], 0.38, label="first epoch", color=plots.COLOURS[1])
    axis.barh(rows + 0.2, [min(s[1:]) for s in seconds.values()], 0.38, label="later epochs", color=plots.COLOURS[0])
    axis.axvline(10 * 0.01, color="black", linestyle=":", label="the pauses alone")
    axis.set(yticks=rows, yticklabels=seconds, xlabel="seconds for an epoch of 60 pictures")
    axis.invert_yaxis()
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plt.show()
else:
    print("TensorFlow is not installed: nothing to time here.")

# %% [markdown]
# *Figure 6.3. Four pipelines, timed. The dotted line is the work that no pipeline can save.*
#
# **Try it.** In `time_pipelines`, put `.shuffle(60)` before `.cache()`, and let each epoch print the mean of its first
# batch. The cache freezes the order too: all epochs begin alike. Cache first, then shuffle.
#
# ## LeNet, stage by stage
#
# LeNet-5 alternates two kinds of layer. A convolution looks for small patterns everywhere. A **pooling** layer then
# lays a window of two by two pixels side by side over each map, and keeps one number of each: their mean (average
# pooling, as in 1998) or the largest (max pooling, as is usual now). Each map shrinks to half its width and height,
# and a pattern may move by a pixel without moving in the result. Put the two together: by (3.3) a kernel of $k$ pixels
# with padding $p$ turns $n$ pixels into $n + 2p - k + 1$, and pooling halves that, leaving out an odd last pixel:
#
# $$ n' = \left\lfloor \frac{n + 2p - k + 1}{2} \right\rfloor \tag{6.2} $$
#
# A digit of 28 pixels goes $28 \to 14$ in the first stage ($k = 5$, $p = 2$) and $14 \to 5$ in the second ($k = 5$,
# $p = 0$). With $N$ kernels over $C$ channels in each convolution, and $u$ units on $d$ inputs in each dense layer,
# the parameters are those of chapter 03, added:
#
# $$ P = \sum_{\text{convolutions}} (k^2 C + 1)\, N + \sum_{\text{dense}} (d + 1)\, u \tag{6.3} $$
#
# | layer | kernels or units | output | parameters |
# |---|---|---|---|
# | input | | 28 × 28 × 1 | |
# | C1 convolution 5 × 5, padding 2 | 6 | 28 × 28 × 6 | (25 · 1 + 1) · 6 = 156 |
# | S2 pooling 2 × 2 | | 14 × 14 × 6 | |
# | C3 convolution 5 × 5 | 16 | 10 × 10 × 16 | (25 · 6 + 1) · 16 = 2,416 |
# | S4 pooling 2 × 2 | | 5 × 5 × 16 = 400 | |
# | C5 dense | 120 | 120 | 401 · 120 = 48,120 |
# | F6 dense | 84 | 84 | 121 · 84 = 10,164 |
# | output dense | 10 | 10 | 85 · 10 = 850 |
# | | | | **61,706** |
#
# The paper says 60,000, and both are right. In 1998 not every kernel of C3 saw all six maps: a table joined 60 pairs
# out of 96, which leaves 1,516 parameters. The ten output units had fixed weights, which takes 850 more away. And each
# pooled map had a trainable factor and bias, which adds 44. $61{,}706 - 900 - 850 + 44 = 60{,}000$ exactly.
#
# Two more habits have changed since: where the paper squashed every sum with a tanh, you write ReLU, and where it
# averaged, you take the maximum.


# %%
def lenet5(distort=False):
    """LeNet-5 for images (28, 28, 1) with values from 0 to 1; the ten outputs are logits.

    distort: move and turn each training digit a little, anew each time; this layer has no weights and rests in tests.
    """
    inputs = x = keras.Input((28, 28, 1))
    if distort:
        x = layers.RandomTranslation(0.07, 0.07, fill_mode="constant")(x)
        x = layers.RandomRotation(0.03, fill_mode="constant")(x)
    x = layers.Conv2D(6, 5, padding="same", activation="relu", name="C1")(x)
    x = layers.MaxPooling2D(2, name="S2")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="C3")(x)
    x = layers.MaxPooling2D(2, name="S4")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(120, activation="relu", name="C5")(x)
    x = layers.Dense(84, activation="relu", name="F6")(x)
    return keras.Model(inputs, layers.Dense(10, name="output")(x))


def stage_size(n, k, p):
    """Width of the map after a convolution (kernel k, padding p on each side) and a pooling by two."""
    return (n + 2 * p - k + 1) // 2  # (6.2)


def keras_stage_size(n, k, p):
    x = layers.ZeroPadding2D(p)(ops.zeros((1, n, n, 1)))
    return layers.AveragePooling2D(2)(layers.Conv2D(1, k)(x)).shape[1]


def stages(count):
    for _ in range(count):
        k = int(rng.integers(1, 8))
        yield int(rng.integers(k + 1, 40)), k, int(rng.integers(0, 4))


def parameter_count(size, channels, convolutions, units):
    """Parameters of a network of convolution-and-pooling stages, then dense layers.

    size, channels: of the input. convolutions: (kernels, kernel size, padding) of each. units: of each dense layer.
    """
    total = 0
    for kernels, k, p in convolutions:
        total += (k * k * channels + 1) * kernels  # (6.3)
        size, channels = stage_size(size, k, p), kernels
    inputs = size * size * channels
    for u in units:
        total += (inputs + 1) * u  # (6.3)
        inputs = u
    return total


def keras_parameter_count(size, channels, convolutions, units):
    if (size, channels, convolutions, units) == LENET5:
        return lenet5().count_params()
    stack = [keras.Input((size, size, channels))]
    for kernels, k, p in convolutions:
        stack += [layers.ZeroPadding2D(p), layers.Conv2D(kernels, k), layers.MaxPooling2D(2)]
    return keras.Sequential([*stack, layers.Flatten(), *[layers.Dense(u) for u in units]]).count_params()


def networks(count):
    yield LENET5
    for _ in range(count - 1):
        convolutions = tuple(
            (int(rng.integers(1, 9)), int(rng.choice([1, 3, 5])), 2) for _ in range(rng.integers(1, 3))
        )
        units = tuple(int(u) for u in rng.integers(1, 30, size=rng.integers(1, 4)))
        yield int(rng.integers(8, 33)), int(rng.integers(1, 4)), convolutions, units


LENET5 = (28, 1, ((6, 5, 2), (16, 5, 0)), (120, 84, 10))

# %%
prove("6.2", stage_size, keras_stage_size, cases=stages(40))
prove("6.3", parameter_count, keras_parameter_count, cases=networks(20))

# %%
claim(
    "6.2",
    "LeNet-5 has 61,706 parameters, more than three quarters of them in C5",
    lenet5().count_params() == 61_706 and lenet5().get_layer("C5").count_params() > 0.75 * 61_706,
)

# %% [markdown]
# **Question 6.b.** An image of 32 × 32 pixels goes through two stages of convolution and pooling. All kernels are
# 3 × 3, without padding; the first convolution has 8 of them, the second 12. What is the shape of the output? Answer
# with a tuple (height, width, channels).

# %%
ask(
    "6.b",
    (6, 6, 12),
    why="By (6.2), 32 becomes 15 and 15 becomes 6: the odd last pixel of 13 is left out.",
    hint="Use (6.2) once for each stage. The channels are the number of kernels of the last convolution.",
)

# %% [markdown]
# ## What training makes small
#
# The ten outputs are **logits** $z_0, \dots, z_9$: any real numbers. The **softmax** turns them into probabilities, by
# making them positive, $e^{z_k}$, and dividing by their sum. The loss of a digit is the **cross-entropy**: minus the
# logarithm of the probability that was given to its true class $y$. It is 0 for a network that is rightly certain, and
# grows without limit for one that is certain and wrong:
#
# $$ \ell(z, y) = -\log \frac{e^{z_y}}{\sum_k e^{z_k}} = \log \sum_k e^{z_k} - z_y \tag{6.4} $$
#
# The right-hand side is how to compute it. Take the largest logit out of the sum first, and no exponential overflows.


# %%
def cross_entropy(z, y):
    """The loss of each item. z: logits (n, classes). y: labels (n,). Returns (n,)."""
    largest = z.max(axis=1)
    log_of_sum = largest + np.log(np.exp(z - largest[:, None]).sum(axis=1))
    return log_of_sum - z[np.arange(len(y)), y]  # (6.4)


def keras_cross_entropy(z, y):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")(y, z)


def logits_and_labels(count):
    for _ in range(count):
        n, classes = rng.integers(1, 20), rng.integers(2, 12)
        scale = rng.choice([1, 10, 200])
        yield (scale * rng.normal(size=(n, classes))).astype("float32"), rng.integers(classes, size=n)


# %%
prove("6.4", cross_entropy, keras_cross_entropy, cases=logits_and_labels(200), atol=1e-4)

# %% [markdown]
# Training goes downhill on the mean loss. **Stochastic gradient descent** takes the gradient on one batch, moves all
# weights a little against it, and goes on with the next batch. **Adam** (Kingma & Ba, 2015) gives every weight a step
# of its own size, from running averages of its gradients. The learning rate scales all steps; here it falls to zero
# like $\frac12(1 + \cos \pi t)$, with $t$ going from 0 to 1, so that the last steps are small ones.
#
# ## When to stop
#
# Give LeNet too little to do: five hundred digits, thirty times over, at a constant learning rate.


# %%
def fit(model, digits, checks, epochs, batch, rate=5e-3, decay=True, callbacks=(), verbose=0):
    """Train a model on digits = (images, labels), watch it on checks = (images, labels); the losses as a dict."""
    steps = epochs * -(-len(digits[0]) // batch)
    rate = keras.optimizers.schedules.CosineDecay(rate, steps) if decay else rate
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return model.fit(
        **feed(*digits, batch),
        validation_data=(scaled(checks[0]), checks[1]),
        validation_batch_size=1000,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=verbose,
    ).history


# %%
few, others = (train[0][:500], train[1][:500]), (validation[0][:1000], validation[1][:1000])
history = fit(lenet5(), few, others, epochs=30, batch=50, rate=3e-3, decay=False)
best = int(np.argmin(history["val_loss"]))

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2))
for axis, name, limits in zip(axes, ("loss", "accuracy"), ((0, 1), (0.5, 1.02))):
    axis.plot(range(1, 31), history[name], label="training")
    axis.plot(range(1, 31), history[f"val_{name}"], label="validation")
    axis.axvline(best + 1, color="black", linestyle=":", label="stop here")
    axis.set(xlabel="epoch", ylabel=name, ylim=limits)
axes[1].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.4. LeNet on five hundred digits. Left: the training loss goes on towards 0 while the validation loss turns
# and rises. Right: the accuracy on the validation digits hardly changes meanwhile.*

# %%
claim(
    "6.3",
    "on five hundred digits the validation loss turns and rises while the training loss goes on falling",
    history["val_loss"][-1] > 1.05 * history["val_loss"][best] and history["loss"][-1] < history["loss"][best] / 2,
)

# %% [markdown]
# From the dotted line on the network learns by heart. **Early stopping** (Prechelt, 1998) ends training when the
# validation loss has not improved for a number of epochs, the *patience*, and returns to the best weights. Look at the
# right picture too: reading hardly suffers. But the mistakes that remain are made with growing certainty, and (6.4)
# punishes that. You will meet this again under calibration.
#
# ## The real run
#
# A **callback** is an object whose methods `fit` calls at the beginning and end of every epoch and batch. Three of
# them belong to every serious run: one stops early, one writes the best model so far to a file (so that a power cut
# costs one epoch), one writes logs for TensorBoard, a page in the browser that draws the curves while they grow.
#
# How long to train follows from the budget. The quick one stops long before LeNet learns by heart, so early stopping
# is only a safety belt there. The full one trains for longer and distorts the digits a little, as the paper did for
# its best result.

# %%
folder = tempfile.TemporaryDirectory(prefix="lenet-")
checkpoint, logs = Path(folder.name, "best.keras"), Path(folder.name, "logs")
whole = len(mnist.x_train) == 60_000  # the real MNIST, not the 5,000 embedded digits
callbacks = [
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=budget(quick=5, full=10), restore_best_weights=True),
    keras.callbacks.ModelCheckpoint(checkpoint, monitor="val_loss", save_best_only=True),
]
if importlib.util.find_spec("tensorflow"):  # Keras writes these logs with TensorFlow's help
    callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))

lenet = lenet5(distort=budget(quick=False, full=True))
epochs, batch = (budget(quick=3, full=25, least=1), 128) if whole else (budget(quick=15, full=40, least=1), 32)
fit(lenet, train, validation, epochs, batch, callbacks=callbacks, verbose=2)
print(
    "written:", *sorted(str(path.relative_to(folder.name)) for path in Path(folder.name).rglob("*") if path.is_file())
)

# %% [markdown]
# To see the curves, type `tensorboard --logdir` and the folder (`print(logs)`) in a terminal, while this notebook is
# open: the folder is a temporary one.
#
# ## Save it, load it
#
# A model that cannot be put away and taken out again unchanged is of no use. A `.keras` file holds the architecture,
# the weights and the state of the optimiser. The promise is short. For all weights $\theta$ and all inputs $x$:
#
# $$ f_{\,\mathrm{load}(\mathrm{save}(\theta))}(x) = f_\theta(x) \tag{6.5} $$


# %%
def reloaded(model):
    """The model as it comes back from a `.keras` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return keras.saving.load_model(path)  # (6.5)


def after_loading(model, x):
    return reloaded(model)(x)


def before_saving(model, x):
    return model(x)


def fresh_models(count):
    for _ in range(count):
        yield lenet5(), rng.random((8, 28, 28, 1), dtype="float32")


# %%
prove("6.5", after_loading, before_saving, cases=fresh_models(5))

# %% [markdown]
# Below, `model` is not the network in memory but the one from the checkpoint: what you will ship is what you should
# test.

# %%
model = keras.saving.load_model(checkpoint)


def probabilities(model, images):
    """The probabilities (n, 10) that a model of logits gives to the classes of uint8 images (n, 28, 28)."""
    logits = model.predict(scaled(images), batch_size=1000, verbose=0)
    return ops.convert_to_numpy(ops.softmax(logits))


given = probabilities(model, test[0])
predicted = given.argmax(axis=1)
correct = predicted == test[1]
print(f"{correct.sum():,} of {len(correct):,} test digits right")

# %%
claim(
    "6.4",
    "LeNet reads 98.5 % of MNIST's test digits right (full budget: 99.3 %; the embedded 5,000 digits: 94.5 %)",
    correct.mean() >= (budget(quick=0.985, full=0.993) if whole else 0.945),
)

# %% [markdown]
# ## How good is it?
#
# One number hides which digits go wrong. The **confusion matrix** shows it: in row $i$ and column $j$ stands how many
# digits of class $i$ were read as $j$. The accuracy is what lies on its diagonal:
#
# $$ C_{ij} = \sum_{t} \mathbb{1}[y_t = i]\; \mathbb{1}[\hat y_t = j] \tag{6.6} $$
#
# $$ a = \frac{\sum_k C_{kk}}{\sum_{i,j} C_{ij}} \tag{6.7} $$
#
# The accuracy would come out otherwise with other test digits. If each of $n$ is read right with probability $a$, the
# count is binomial, and the accuracy has a standard deviation, its **standard error**, of
#
# $$ \mathrm{SE} = \sqrt{\frac{a (1 - a)}{n}} \tag{6.8} $$
#
# For $a = 0.99$ and $n = 10{,}000$ this is 0.001. Two networks that differ in the fourth digit have not been shown to
# differ.
#
# For one class $k$ there are two ways of failing. **Precision** asks: of all that were read as $k$, how many are $k$?
# **Recall** asks: of all that are $k$, how many were read so? A network that says "one" to everything has the recall 1
# on ones and a bad precision. **F1** is their harmonic mean, which is only large when both are. Where there is nothing
# to divide by, all three are counted as 0:
#
# $$ P_k = \frac{C_{kk}}{\sum_i C_{ik}} \tag{6.9} $$
#
# $$ R_k = \frac{C_{kk}}{\sum_j C_{kj}} \tag{6.10} $$
#
# $$ F_k = \frac{2 P_k R_k}{P_k + R_k} \tag{6.11} $$


# %%
def confusion_matrix(y, predicted, classes):
    """Counts (classes, classes): row for the true class, column for the predicted one."""
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (y, predicted), 1)  # (6.6)
    return matrix


def accuracy(matrix):
    return np.trace(matrix) / matrix.sum()  # (6.7)


def standard_error(a, n):
    return np.sqrt(a * (1 - a) / n)  # (6.8)


def ratio(part, whole):
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def precision(matrix):
    return ratio(np.diag(matrix), matrix.sum(axis=0))  # (6.9)


def recall(matrix):
    return ratio(np.diag(matrix), matrix.sum(axis=1))  # (6.10)


def f1(matrix):
    p, r = precision(matrix), recall(matrix)
    return ratio(2 * p * r, p + r)  # (6.11)


def of_matrix(score):
    """A score of a confusion matrix as a function of labels and predictions, as scikit-learn has it."""

    def scored(y, predicted, classes):
        return score(confusion_matrix(y, predicted, classes))

    scored.__name__ = score.__name__
    return scored


def by_sklearn(score, **settings):
    return lambda y, predicted, classes: score(y, predicted, labels=range(classes), **settings)


def binomial_spread(a, n):
    return stats.binom(n, a).std() / n


def readings(count):
    """Random labels and predictions; some classes are missing in some."""
    for _ in range(count):
        n, classes = rng.integers(5, 60), int(rng.integers(2, 11))
        y, guess = rng.integers(classes, size=(2, n))
        yield y, np.where(rng.random(n) < 0.6, y, guess), classes


# %%
per_class = {"average": None, "zero_division": 0}
prove("6.6", confusion_matrix, by_sklearn(metrics.confusion_matrix), cases=readings(100))
prove("6.7", of_matrix(accuracy), lambda y, predicted, _: metrics.accuracy_score(y, predicted), cases=readings(100))
prove("6.8", standard_error, binomial_spread, cases=((rng.random(), int(rng.integers(1, 20_000))) for _ in range(100)))
prove("6.9", of_matrix(precision), by_sklearn(metrics.precision_score, **per_class), cases=readings(100))
prove("6.10", of_matrix(recall), by_sklearn(metrics.recall_score, **per_class), cases=readings(100))
prove("6.11", of_matrix(f1), by_sklearn(metrics.f1_score, **per_class), cases=readings(100))

# %%
matrix = confusion_matrix(test[1], predicted, 10)
print("digit  precision  recall     F1  count")
for row in zip(mnist.classes, precision(matrix), recall(matrix), f1(matrix), matrix.sum(axis=1)):
    print("{:>5}  {:9.4f}  {:6.4f} {:6.4f}  {:5}".format(*row))
a = accuracy(matrix)
print(f"accuracy {a:.4f} ± {standard_error(a, len(test[1])):.4f}, mean F1 {f1(matrix).mean():.4f}")

# %% [markdown]
# **Question 6.c.** There are 16 sevens among some test digits. A network reads 10 digits as "7", and 8 of these are
# sevens. What is its recall on the class 7?

# %%
ask(
    "6.c",
    0.5,
    why="8 of the 16 sevens were found. The precision is 8 of 10.",
    hint="Recall asks: of all that are sevens, how many were read so?",
)

# %% [markdown]
# **Question 6.d.** A network reads 90 % of 900 test digits right. What is the standard error of this accuracy?

# %%
ask(
    "6.d",
    0.01,
    why="The root of 0.9 · 0.1 / 900. So 90 % and 91 % cannot be told apart with so few digits.",
    hint="Put a = 0.9 and n = 900 into (6.8).",
)

# %% [markdown]
# Off the diagonal you see where the network errs, and by how much which pair leads:

# %%
mistakes = matrix - np.diag(np.diag(matrix))
pairs = np.dstack(np.unravel_index(np.argsort(-mistakes, axis=None)[:8], mistakes.shape))[0]

figure, (left, beside) = plt.subplots(1, 2, figsize=(8.5, 3.8), width_ratios=[1.25, 1])
left.imshow(mistakes, cmap="Blues", vmax=1.3 * mistakes.max())
for (i, j), count in np.ndenumerate(matrix):
    if count:
        left.text(j, i, count, ha="center", va="center", fontsize=8, color="grey" if i == j else "black")
left.set(xticks=range(10), yticks=range(10), xlabel="read as", ylabel="true digit")
beside.barh([f"{i} read as {j}" for i, j in pairs], [mistakes[i, j] for i, j in pairs], color=plots.COLOURS[0])
beside.set(xlabel="test digits")
beside.invert_yaxis()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.5. Left: the confusion matrix; the shade counts mistakes only, right answers are in grey. Right: the pairs
# that are confused most often.*
#
# And these are the worst mistakes, the ones made with the most confidence:

# %%
wrong = np.flatnonzero(~correct)
worst = wrong[np.argsort(-given[wrong].max(axis=1))][:12]
titles = [f"{test[1][i]} read as {predicted[i]}" for i in worst]
plots.show_images(test[0][worst], titles, columns=6, size=1.4)

# %% [markdown]
# *Figure 6.6. The twelve wrong answers that the network is surest of, the surest first.*
#
# Say aloud what you would have read, before you blame the network. Some of these are errors of the writer, a few
# perhaps of whoever noted the label; the others are what more data or a better network could still bring.
#
# ## Is it the convolution?
#
# Now back to the two rows of Figure 6.1. The rival is a plain network of dense layers, with ten times LeNet's
# parameters. For such a network the order of the pixels means nothing. Let $P$ be the matrix that permutes the pixels.
# Whatever a dense layer with weights $W$ makes of $x$, one whose weights have their rows permuted alike makes of $Px$,
# because $P$ cancels out:
#
# $$ (P x)^\mathsf{T} (P W) + b = x^\mathsf{T} P^\mathsf{T} P\, W + b = x^\mathsf{T} W + b \tag{6.12} $$


# %%
def mlp():
    """Dense layers only, for images (28, 28, 1): 621,760 parameters; the ten outputs are logits."""
    hidden = [layers.Dense(570, activation="relu"), layers.Dense(300, activation="relu")]
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *hidden, layers.Dense(10)])


def dense_on_permuted(x, kernel, bias, order):
    """What a dense layer with permuted rows makes of permuted inputs. x: (n, d). kernel: (d, u). bias: (u,)."""
    return x[:, order] @ kernel[order] + bias  # (6.12)


def keras_dense(x, kernel, bias, order):
    layer = layers.Dense(kernel.shape[1])
    layer.build(x.shape)
    layer.set_weights([kernel, bias])
    return layer(x)


def dense_layers(count):
    for _ in range(count):
        n, d, u = rng.integers(1, 40, size=3)
        shapes = (n, d), (d, u), (u,)
        yield *(rng.normal(size=shape).astype("float32") for shape in shapes), rng.permutation(d)


# %%
prove("6.12", dense_on_permuted, keras_dense, cases=dense_layers(100), atol=0.05)  # a GPU may multiply roughly

# %% [markdown]
# Every weight matrix is as likely at the start as the same one with its rows permuted. So for the dense network the
# two rows of Figure 6.1 are one and the same problem, and the order should change its result by chance only. A
# convolution has no such rows to permute: its 25 weights belong to 25 neighbours.
#
# Four runs: two networks, two orders. All four have the same digits, epochs, batches and learning rate (in the quick
# budget with 6,000 training digits at most, and without distortions).

# %%
some = tuple(part[: budget(quick=6_000, full=60_000, least=500)] for part in train)
epochs = budget(quick=4, full=20, least=1) if whole else budget(quick=10, full=20, least=1)
share_right = {}  # of the test digits, by network and order
for arrangement in ("in place", "permuted"):
    place = (lambda x: x) if arrangement == "in place" else (lambda x: permuted(x, order))
    for name, network in {"LeNet": lenet5(), "MLP": mlp()}.items():
        fit(network, (place(some[0]), some[1]), (place(others[0]), others[1]), epochs, batch=100)
        answers = network.evaluate(scaled(place(test[0])), test[1], batch_size=1000, verbose=0)
        share_right[name, arrangement] = answers[1]

figure, axis = plt.subplots(figsize=(6.5, 3.2))
for offset, name, colour in ((-0.19, "LeNet", plots.COLOURS[0]), (0.19, "MLP", plots.COLOURS[1])):
    a = np.array([share_right[name, "in place"], share_right[name, "permuted"]])
    bars = standard_error(a, len(test[1]))
    positions = np.arange(2) + offset
    axis.bar(positions, 100 * (1 - a), 0.36, yerr=200 * bars, capsize=4, color=colour, label=name)
    axis.margins(y=0.15)
    for x, value, bar in zip(positions, a, bars):
        axis.text(x, 100 * (1 - value + 2 * bar) + 0.15, f"{100 * (1 - value):.1f} %", ha="center")
axis.set(xticks=[0, 1], xticklabels=["pixels in place", "pixels permuted"], ylabel="test digits read wrong, %")
axis.legend(loc="upper left")
plt.show()

# %% [markdown]
# *Figure 6.7. Errors of LeNet and of a dense network with ten times its parameters, on digits as they are and on
# digits whose pixels were permuted once for all. The thin bars are two standard errors up and down.*

# %%
claim(
    "6.5",
    "with the pixels in place LeNet beats a dense network with ten times its parameters",
    mlp().count_params() >= 10 * lenet5().count_params()
    and share_right["LeNet", "in place"] > share_right["MLP", "in place"],
)

# %%
claim(
    "6.6",
    "with the pixels permuted once for all images LeNet loses its lead",
    share_right["LeNet", "permuted"] < share_right["MLP", "permuted"],
)

# %% [markdown]
# The permuted digits hold the same information, and LeNet has the same parameters, the same number of digits, the same
# training. What it lost is that neighbours belong together. What a network assumes before it sees data is called its
# **inductive bias**; here it is worth more than ten times the parameters. Where it is false, it is a burden. Zhang et
# al. (2017) went further, and found that a convolutional network can even learn training pictures with permuted pixels
# by heart: the bias decides how well it generalises, not whether it can fit.
#
# ## Does it know when it does not know?
#
# A network says "a seven, 0.9". If that means anything, nine in ten such answers are right. Group the test digits by
# confidence (the largest probability) into $M$ bins, $B_m$ holding confidences from $(m-1)/M$ to $m/M$, and compare in
# each bin the accuracy with the mean confidence. Weighted by the size of the bins, the mean gap is the **expected
# calibration error** (Naeini et al., 2015):
#
# $$ \mathrm{ECE} = \sum_{m=1}^{M} \frac{|B_m|}{n}\, \bigl| \mathrm{acc}(B_m) - \mathrm{conf}(B_m) \bigr| \tag{6.13} $$


# %%
def reliability(confidence, correct, bins=15):
    """Of each bin the number of answers, their accuracy and mean confidence: three arrays (bins,), 0 in empty bins."""
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(number, minlength=bins)
    hits = np.bincount(number, weights=correct, minlength=bins)
    total = np.bincount(number, weights=confidence, minlength=bins)
    return count, ratio(hits, count), ratio(total, count)


def calibration_error(confidence, correct, bins=15):
    count, hit_rate, mean_confidence = reliability(confidence, correct, bins)
    return np.sum(count / len(confidence) * np.abs(hit_rate - mean_confidence))  # (6.13)


def scipy_calibration_error(confidence, correct, bins):
    gaps = stats.binned_statistic(confidence, confidence - correct, "sum", bins, range=(0, 1)).statistic
    return np.abs(gaps).sum() / len(confidence)


def rated_answers(count):
    for _ in range(count):
        n = rng.integers(1, 200)
        confidence = rng.random(n) ** rng.choice([0.2, 1.0])
        yield confidence, (rng.random(n) < confidence**2).astype(float), int(rng.integers(1, 20))


# %%
prove("6.13", calibration_error, scipy_calibration_error, cases=rated_answers(200))

# %% [markdown]
# Ask the network twice: on the test digits, and on the same digits moved four pixels to the right. No stroke leaves
# the picture, and you would not read a single one differently. The network has hardly seen a digit that far from the
# middle.

# %%
moved = np.zeros_like(test[0])
moved[:, :, 4:] = test[0][:, :, :-4]
elsewhere = probabilities(model, moved)

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
errors = {}
for axis, name, p in zip(axes, ("digits in the middle", "digits four pixels to the right"), (given, elsewhere)):
    confidence, hit = p.max(axis=1), (p.argmax(axis=1) == test[1]).astype(float)
    errors[name] = calibration_error(confidence, hit)
    count, hit_rate, mean_confidence = reliability(confidence, hit)
    full = count > 0
    axis.plot([0, 1], [0, 1], color="black", linestyle=":", label="honest")
    axis.vlines(mean_confidence[full], hit_rate[full], mean_confidence[full], color=plots.COLOURS[1], label="gap")
    sizes = 12 + 300 * count[full] / count.sum()
    axis.scatter(mean_confidence[full], hit_rate[full], s=sizes, color=plots.COLOURS[0], zorder=3, label="a bin")
    axis.set(title=f"{name}\naccuracy {hit.mean():.3f}, ECE {errors[name]:.3f}", xlabel="mean confidence in the bin")
    axis.set(xlim=(-0.05, 1.08), ylim=(-0.05, 1.08))
axes[0].set_ylabel("accuracy in the bin")
axes[0].legend(loc="upper left")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.8. Reliability diagrams. The area of a dot is its share of the digits; on the dotted line the confidence is
# honest, below it the network promises too much. The smallest dots are a handful of digits.*

# %%
claim(
    "6.7",
    "on digits that stand elsewhere LeNet errs more, and its confidence is less honest",
    errors["digits in the middle"] < errors["digits four pixels to the right"]
    and correct.mean() > np.mean(elsewhere.argmax(axis=1) == test[1]),
)

# %% [markdown]
# A small ECE is a statement about data like those it was measured on, no more. (And a convolution moves with its
# input, as chapter 03 proved; the dense layers at the end do not.) Guo et al. (2017) found large networks
# overconfident even on their own test data, and repair most of it with a single number. That repair is exercise 6.5.
#
# ## A look inside
#
# What do the layers see? A model of the same layers that returns their outputs instead of the last one tells:

# %%
watch = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("C1", "S2", "C3", "S4")])
seven = test[0][np.flatnonzero(test[1] == 7)[0]]
maps = [ops.convert_to_numpy(output)[0] for output in watch(scaled(seven[None]))]

figure = plt.figure(figsize=(10, 3.0))
grid = figure.add_gridspec(4, 17)
picture = figure.add_subplot(grid[:2, 9:13], title="input")
picture.imshow(seven)
picture.axis("off")
for row, (name, output) in enumerate(zip(("C1", "S2", "C3", "S4"), maps)):
    label = figure.add_subplot(grid[row, 0])
    label.text(0.4, 0.5, f"{name}\n{output.shape[0]} × {output.shape[1]}", ha="center", va="center", fontsize=9)
    label.axis("off")
    for channel in range(output.shape[2]):
        axis = figure.add_subplot(grid[row, 1 + channel])
        axis.imshow(output[:, :, channel], vmin=0, vmax=output.max())
        axis.axis("off")
plt.show()

# %% [markdown]
# *Figure 6.9. What the first test seven becomes: the six maps of C1 and S2, the sixteen of C3 and S4. Bright means a
# strong response.*
#
# The maps of C1 still show a seven each, with other edges of its strokes lit in each. Those of C3 answer to parts: the
# bar, the stem, the corner between them. In S4 no seven is left to see, only 400 numbers that say which part was found
# roughly where. From these the dense layers decide.
#
# ## Debug it
#
# The cell below stands in countless tutorials. It runs, the curves look fine, and the number at the end is what the
# author reports.


# %%
def reported_accuracy(model, train, test, epochs):
    stop = keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=5, restore_best_weights=True)
    model.fit(*train, validation_data=test, epochs=epochs, callbacks=[stop], verbose=0)
    return model.evaluate(*test, verbose=0)[1]


# %% [markdown]
# Before you read on: which of the three parts of the data is missing, and who does its work?
#
# The test digits choose the epoch, and are then asked how good the choice was. To see what that does, take the
# learning away. Let a "network" guess digits at random, anew in each of forty epochs, and test each on 1,000 digits.
# Nothing can be learned, and every epoch's true accuracy is 0.1. Report it twice: for an epoch chosen by *other*
# digits, and for the best epoch on the test digits themselves. Do it two thousand times.

# %%
scores = rng.binomial(1000, 0.1, size=(2000, 40)) / 1000  # tests of guesses, one row per experiment
chosen_elsewhere = scores[np.arange(2000), rng.integers(40, size=2000)]
chosen_by_test = scores.max(axis=1)

figure, axis = plt.subplots(figsize=(7, 2.8))
bins = np.arange(0.0645, 0.15, 0.003)
axis.hist(chosen_elsewhere, bins, color=plots.COLOURS[0], label="epoch chosen by others")
axis.hist(
    chosen_by_test, bins, color=plots.COLOURS[1], alpha=0.75, hatch="//", edgecolor="white", label="by the test digits"
)
axis.axvline(0.1, color="black", linestyle=":", label="the truth")
axis.set(xlabel="reported accuracy", ylabel="experiments")
axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()

# %% [markdown]
# *Figure 6.10. What is reported of guessing, when forty epochs are there to choose from.*

# %%
claim(
    "6.8",
    "choosing by the test digits makes even guessing look better than guessing, choosing by other digits does not",
    chosen_by_test.mean() > 0.1 + standard_error(0.1, 1000) and abs(chosen_elsewhere.mean() - 0.1) < 0.002,
)

# %% [markdown]
# The epochs of one training run resemble each other more than guesses do, so there the flattery is smaller. But the
# same happens with learning rates, widths and seeds, and all these choices together try far more than forty things.
# The repair is yours, in exercise 6.6. The habit to keep: **ask of every number that you report which choices it has
# already made.**
#
# ## This run

# %%
record(
    test_accuracy=correct.mean(),
    mean_f1=f1(matrix).mean(),
    calibration_error=errors["digits in the middle"],
    lenet_in_place=share_right["LeNet", "in place"],
    mlp_in_place=share_right["MLP", "in place"],
    lenet_permuted=share_right["LeNet", "permuted"],
    mlp_permuted=share_right["MLP", "permuted"],
    paper={"test_accuracy": 0.9905},
)

# %% [markdown]
# The paper reports an error of 0.95 % for LeNet-5, and of 0.8 % when the training digits were distorted as well.
#
# ## Exercises
#
# Each stands on its own. Write your answer in the cell, run it, and run the check below it.
#
# **Exercise 6.1 ★★** LeNet came as a table, and so do the networks of most papers. Write a function that turns such a
# table into a Keras model, whatever stands in it.


# %%
# Exercise 6.1
def from_table(size, channels, rows):
    """A Keras model from a table.

    size, channels: of the input, (size, size, channels). rows: a list of tuples, in order, each
    of them one of
        ("conv", kernels, kernel_size, padding)    padding is "same" or "valid"; stride 1; ends in ReLU
        ("pool",)                                  max pooling, 2 by 2
        ("dense", units)                           ends in ReLU, but for the last row, which gives logits
    Before the first dense row the maps are flattened; the last row is always a dense one.
    Returns a model that maps (n, size, size, channels) to logits (n, units of the last row).
    Raises ValueError where a row is of another kind.

    >>> rows = [("conv", 6, 5, "same"), ("pool",), ("conv", 16, 5, "valid"), ("pool",)]
    >>> from_table(28, 1, rows + [("dense", 120), ("dense", 84), ("dense", 10)]).count_params()
    61706
    """
    ### BEGIN SOLUTION
    stack = [keras.Input((size, size, channels))]
    flat = False
    for number, row in enumerate(rows):
        if row[0] == "conv":
            stack.append(layers.Conv2D(row[1], row[2], padding=row[3], activation="relu"))
        elif row[0] == "pool":
            stack.append(layers.MaxPooling2D(2))
        elif row[0] == "dense":
            if not flat:
                stack.append(layers.Flatten())
                flat = True
            stack.append(layers.Dense(row[1], activation=None if number == len(rows) - 1 else "relu"))
        else:
            raise ValueError(f"row {number} is {row}: the kinds are conv, pool and dense")
    return keras.Sequential(stack)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import layers

ex = exercise("6.1", rtol=1e-2, atol=0.02)  # a GPU may multiply with ten bits
ex.hints(
    "A list of layers, one after the other, makes a `keras.Sequential`. Go through the rows and append.",
    "Two things depend on the place of a row: a `Flatten` comes before the first dense one, no ReLU after the last.",
    "Ask for the kind by name, and raise ValueError for any other.",
)


@ex.cases
def _(rng):
    yield 8, 1, [("conv", 2, 3, "same"), ("pool",), ("dense", 4), ("dense", 3)], 1
    yield 7, 2, [("dense", 4)], 2
    yield (
        9,
        1,
        [("conv", 3, 3, "valid"), ("pool",), ("conv", 4, 2, "same"), ("dense", 5), ("dense", 6), ("dense", 2)],
        3,
    )
    yield 6, 1, [("conv", 2, 3, "same"), ("norm", 2), ("dense", 3)], 4
    yield 6, 1, [("drop", 0.5), ("dense", 3)], 5
    for number in range(8):
        rows = []
        for _ in range(rng.integers(1, 3)):
            rows.append(("conv", int(rng.integers(2, 5)), int(rng.choice([1, 3])), str(rng.choice(["same", "valid"]))))
            rows += [("pool",)] * int(rng.integers(0, 2))
        rows += [("dense", int(rng.integers(2, 7))) for _ in range(rng.integers(1, 4))]
        yield int(rng.integers(9, 13)), int(rng.integers(1, 3)), rows, 10 + number


def known(rng, shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]) / 2)).astype("float32")


ex.shown_as("from_table(size, channels, rows).summary()")


@ex.drive
def built(answer, size, channels, rows, weights_seed):
    model = answer(size, channels, rows)
    rng = np.random.default_rng(weights_seed)
    x = rng.normal(size=(3, size, size, channels)).astype("float32")
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights([known(rng, shape) for shape in shapes])
    return {
        "parameters": model.count_params(),
        "shapes of the weights": [list(shape) for shape in shapes],
        "outputs, with known weights": model(x),
    }


@ex.oracle
def _(size, channels, rows, weights_seed):  # in NumPy, with no layer
    rng = np.random.default_rng(weights_seed)
    x = rng.normal(size=(3, size, size, channels)).astype("float32")
    plan, width, depth, flat = [], size, channels, False
    for row in rows:
        if row[0] == "conv":
            plan += [(row[2], row[2], depth, row[1]), (row[1],)]
            width, depth = width if row[3] == "same" else width - row[2] + 1, row[1]
        elif row[0] == "pool":
            width //= 2
        elif row[0] == "dense":
            depth, flat = (depth if flat else depth * width * width), True
            plan += [(depth, row[1]), (row[1],)]
            depth = row[1]
        else:
            raise ValueError(row)
    drawn = iter([known(rng, shape) for shape in plan])
    for number, row in enumerate(rows):
        if row[0] == "pool":
            half = x.shape[1] // 2
            x = x[:, : 2 * half, : 2 * half].reshape(3, half, 2, half, 2, -1).max(axis=(2, 4))
            continue
        kernel, bias = next(drawn), next(drawn)
        if row[0] == "conv":
            k, more = row[2], row[2] - 1 if row[3] == "same" else 0
            x = np.pad(x, [(0, 0), (more // 2, more - more // 2), (more // 2, more - more // 2), (0, 0)])
            x = np.einsum("nabcij,ijcm->nabm", np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2)), kernel)
        else:
            x = x.reshape(3, -1) @ kernel
        x = x + bias
        if number < len(rows) - 1:
            x = np.maximum(x, 0)
    return {
        "parameters": sum(int(np.prod(shape)) for shape in plan),
        "shapes of the weights": [list(shape) for shape in plan],
        "outputs, with known weights": x,
    }


def stacked(size, channels, rows, hidden="relu", last=None, pool=layers.MaxPooling2D, padding=None, unknown="raise"):
    x = inputs = keras.Input((size, size, channels))
    for number, row in enumerate(rows):
        end = number == len(rows) - 1
        if row[0] == "conv":
            x = layers.Conv2D(row[1], row[2], padding=padding or row[3])(x)
            x = layers.Activation(hidden)(x) if hidden else x
        elif row[0] == "pool":
            x = pool(2)(x)
        elif row[0] == "dense":
            x = layers.Dense(row[1])(layers.Flatten()(x) if len(x.shape) > 2 else x)
            name = last if end else hidden
            x = layers.Activation(name)(x) if name else x
        elif unknown == "raise":
            raise ValueError(f"no row is of the kind {row[0]}")
    return keras.Model(inputs, x)


@ex.wrong
def softmax_at_the_end(size, channels, rows):
    """The outputs are probabilities: the last row is to give logits, so it ends in no softmax. The loss of this chapter
    contains the softmax already."""
    return stacked(size, channels, rows, last="softmax")


@ex.wrong
def relu_at_the_end(size, channels, rows):
    """The last row ends in ReLU as well, so no logit can be negative; the table asks for ReLU in the rows before it
    only."""
    return stacked(size, channels, rows, last="relu")


@ex.wrong
def no_activations(size, channels, rows):
    """There is no ReLU behind the hidden rows: without one, convolutions and dense layers in a row are together a
    linear map."""
    return stacked(size, channels, rows, hidden=None)


@ex.wrong
def always_valid(size, channels, rows):
    """The padding in a "conv" row is not passed on: every convolution shrinks its input, as Keras does by default."""
    return stacked(size, channels, rows, padding="valid")


@ex.wrong
def always_same(size, channels, rows):
    """Every convolution keeps the size of its input; the fourth entry of a "conv" row says which do."""
    return stacked(size, channels, rows, padding="same")


@ex.wrong
def averages(size, channels, rows):
    """The pooling takes the mean of its window, as LeNet did in 1998; the table asks for the largest value."""
    return stacked(size, channels, rows, pool=layers.AveragePooling2D)


@ex.wrong
def skips_what_it_does_not_know(size, channels, rows):
    """A row of an unknown kind is passed over in silence. Whoever misspells a row would get another network than the
    one in the paper: raise ValueError."""
    return stacked(size, channels, rows, unknown="skip")


@ex.right
def functional(size, channels, rows):
    return stacked(size, channels, rows)


# %%
check("6.1", from_table)

# %% [markdown]
# **Exercise 6.2 ★** The mean of the F1 of all classes, the *macro* F1, is what many competitions rank by. Two
# different formulas are in use under that name (Opitz & Burst, 2019); write the one of the docstring, from labels and
# predictions, without scikit-learn.


# %%
# Exercise 6.2
def macro_f1(y, predicted, classes):
    """The mean over all classes of F1, a float.

    y, predicted: true and predicted classes, int arrays (n,), values from 0 to classes - 1. A
    class's F1 is the harmonic mean of its precision and recall, as in (6.11), and 0 where it
    would be 0 / 0: a class that is neither present nor predicted counts as 0, and it does
    count.
    Raises ValueError where y and predicted differ in length or are empty.

    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2)   # 2/3 for each class
    0.6666666666666666
    """
    ### BEGIN SOLUTION
    if len(y) != len(predicted) or len(y) == 0:
        raise ValueError(f"{len(y)} labels and {len(predicted)} predictions: need as many of both, and one at least")
    total = 0.0
    for k in range(classes):
        both = np.sum((y == k) & (predicted == k))
        one_or_both = np.sum(y == k) + np.sum(predicted == k)
        total += 2 * both / one_or_both if one_or_both else 0.0
    return total / classes
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from sklearn import metrics

ex = exercise("6.2", rtol=1e-6, atol=1e-9)
ex.hints(
    "Write out the harmonic mean of precision and recall with the three counts: both, true, predicted.",
    "It becomes 2 * both / (true + predicted). When is that 0 / 0?",
)


@ex.cases
def _(rng):
    yield np.array([0, 0, 1]), np.array([0, 1, 1]), 2
    yield np.array([0, 0, 0, 0]), np.array([0, 0, 0, 0]), 3
    yield np.array([1, 1, 2]), np.array([2, 2, 1]), 3
    for _ in range(18):
        n, classes = int(rng.integers(6, 50)), int(rng.integers(2, 7))
        y = np.minimum(rng.integers(classes, size=n), rng.integers(classes, size=n))  # small classes are common
        predicted = np.where(rng.random(n) < 0.6, y, rng.integers(classes, size=n))
        yield y, predicted, classes
    yield np.array([0, 1, 1]), np.array([0, 1]), 2
    yield np.array([], dtype=int), np.array([], dtype=int), 2


@ex.oracle
def _(y, predicted, classes):
    if len(y) != len(predicted) or len(y) == 0:
        raise ValueError("lengths")
    return float(metrics.f1_score(y, predicted, labels=range(classes), average="macro", zero_division=0))


def counts(y, predicted, classes):
    if len(y) != len(predicted) or len(y) == 0:
        raise ValueError("lengths")
    hits = np.array([np.sum((y == k) & (predicted == k)) for k in range(classes)], dtype=float)
    return hits, np.bincount(predicted, minlength=classes), np.bincount(y, minlength=classes)


def over(part, whole):
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


@ex.wrong
def micro(y, predicted, classes):
    """The hits of all classes are added up before dividing: that is the micro F1, which here is the accuracy, and lets
    the common classes outvote the rare ones."""
    return float(counts(y, predicted, classes)[0].sum() / len(y))


@ex.wrong
def of_the_means(y, predicted, classes):
    """This is the F1 of the mean precision and the mean recall, the other formula in use. Here it is the mean of the
    classes' own F1: first each class's F1, then the mean."""
    hits, said, there = counts(y, predicted, classes)
    p, r = over(hits, said).mean(), over(hits, there).mean()
    return float(2 * p * r / (p + r)) if p + r else 0.0


@ex.wrong
def weighted(y, predicted, classes):
    """The classes are weighted by how often they occur; in the macro F1 every class weighs the same."""
    hits, said, there = counts(y, predicted, classes)
    return float(np.average(over(2 * hits, said + there), weights=there))


@ex.wrong
def only_classes_seen(y, predicted, classes):
    """Classes that do not occur are left out of the mean; the docstring counts them as 0, so divide by `classes`."""
    hits, said, there = counts(y, predicted, classes)
    return float(over(2 * hits, said + there)[said + there > 0].mean())


@ex.wrong
def nothing_over_nothing(y, predicted, classes):
    """A class that is neither present nor predicted gives 0 / 0, which is not a number and makes the mean one too;
    count it as 0."""
    hits, said, there = counts(y, predicted, classes)
    with np.errstate(invalid="ignore"):
        return float(np.mean(2 * hits / (said + there)))


@ex.wrong
def arithmetic(y, predicted, classes):
    """This averages precision and recall by halves. F1 is their harmonic mean, which is pulled towards the smaller."""
    hits, said, there = counts(y, predicted, classes)
    return float(((over(hits, said) + over(hits, there)) / 2).mean())


@ex.wrong
def recall_only(y, predicted, classes):
    """This is the mean recall: it does not see how often a class is predicted where it is not."""
    hits, _, there = counts(y, predicted, classes)
    return float(over(hits, there).mean())


@ex.wrong
def precision_only(y, predicted, classes):
    """This is the mean precision: it does not see how many of a class were missed."""
    hits, said, _ = counts(y, predicted, classes)
    return float(over(hits, said).mean())


@ex.wrong
def takes_anything(y, predicted, classes):
    """Labels and predictions of different lengths, or none at all, have no F1: raise ValueError."""
    n = min(len(y), len(predicted))
    y, predicted = y[:n], predicted[:n]
    hits = np.array([np.sum((y == k) & (predicted == k)) for k in range(classes)], dtype=float)
    return float(
        over(2 * hits, np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)).sum() / classes
    )


@ex.right
def by_matrix(y, predicted, classes):
    if len(y) == 0:
        raise ValueError("there is nothing to judge")
    matrix = np.zeros((classes, classes))
    for true, read in zip(y, predicted, strict=True):
        matrix[true, read] += 1
    scores = []
    for k in range(classes):
        p = matrix[k, k] / max(matrix[:, k].sum(), 1)
        r = matrix[k, k] / max(matrix[k].sum(), 1)
        scores.append(2 * p * r / (p + r) if p + r > 0 else 0)
    return float(np.mean(scores))


# %%
check("6.2", macro_f1)

# %% [markdown]
# **Exercise 6.3 ★★** You collect digits yourself, a hundred or so from each of some writers, and know who wrote which.
# Split them so that the validation digits are by people whom the network has never seen.


# %%
# Exercise 6.3
def split_by_writer(writers, share, seed):
    """Positions of the training and of the validation pictures, so that no writer has pictures
    in both.

    writers: int array (n,), the writer of each picture. share: the share of the pictures that
    is wanted for validation. seed: whole number; the same seed gives the same split, other
    seeds give others. Writers are drawn at random, one after another, and all pictures of each
    go to validation, until there are at least share * n pictures.
    Returns (train, validation): two int arrays of positions that together hold 0 to n - 1 once
    each.
    Raises ValueError unless 0 < share < 1.

    >>> train, validation = split_by_writer(np.array([7, 7, 9, 9]), share=0.5, seed=0)   # one writer's two in each
    >>> len(train), len(validation)
    (2, 2)
    """
    ### BEGIN SOLUTION
    if not 0 < share < 1:
        raise ValueError(f"the share must lie between 0 and 1, and is {share}")
    chosen = np.zeros(len(writers), dtype=bool)
    for writer in np.random.default_rng(seed).permutation(np.unique(writers)):
        if chosen.sum() >= share * len(writers):
            break
        chosen |= writers == writer
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("6.3")
ex.hints(
    "Draw writers, not images.",
    "Shuffle the distinct writers with a generator made from the seed. Take one after the other, until it is enough.",
)


@ex.cases
def _(rng):
    yield np.array([7, 7, 9, 9]), 0.5
    for _ in range(14):
        sizes = rng.integers(1, 30, size=rng.integers(8, 20))
        names = rng.choice(1000, size=len(sizes), replace=False)
        yield rng.permutation(np.repeat(names, sizes)), float(rng.choice([0.1, 0.2, 0.25, 0.3]))
    yield np.array([1, 1, 2, 3]), 0.0
    yield np.array([1, 1, 2, 3]), 1.5


ex.shown_as("[split_by_writer(writers, share, seed) for seed in range(10)]")


@ex.drive
def properties(answer, writers, share):
    splits = [tuple(np.asarray(part) for part in answer(writers.copy(), share, seed)) for seed in range(10)]
    train, validation = splits[0]
    again = [np.asarray(part) for part in answer(writers.copy(), share, 0)]
    n, largest = len(writers), np.unique(writers, return_counts=True)[1].max()
    whole = all(part.ndim == 1 and part.dtype.kind in "iu" for part in (train, validation))
    inside = whole and all(part.size == 0 or 0 <= part.min() <= part.max() < n for part in (train, validation))
    by = [set(writers[part].tolist()) if inside else set() for part in (train, validation)]
    return {
        "two arrays of positions": bool(inside),
        "no writer is in both parts": not by[0] & by[1],
        "every picture is in one part, once": sorted([*train.tolist(), *validation.tolist()]) == list(range(n)),
        "validation has share * n pictures at least": all(len(part) >= share * n for _, part in splits),
        "without the last writer it would have fewer": all(len(part) < share * n + largest for _, part in splits),
        "the same seed gives the same split": all(map(np.array_equal, splits[0], again)),
        "other seeds give other splits": n < 5 or len({tuple(sorted(part.tolist())) for _, part in splits}) > 1,
    }


@ex.oracle
def _(writers, share):
    if not 0 < share < 1:
        raise ValueError("share")
    return {
        "two arrays of positions": True,
        "no writer is in both parts": True,
        "every picture is in one part, once": True,
        "validation has share * n pictures at least": True,
        "without the last writer it would have fewer": True,
        "the same seed gives the same split": True,
        "other seeds give other splits": True,
    }


def drawn(writers, share, rng, shuffle=True):
    if not 0 < share < 1:
        raise ValueError("share")
    names = np.unique(writers)
    chosen = []
    for name in rng.permutation(names) if shuffle else names:
        if np.isin(writers, chosen).sum() >= share * len(writers):
            break
        chosen.append(name)
    inside = np.isin(writers, chosen)
    return np.flatnonzero(~inside), np.flatnonzero(inside)


@ex.wrong
def by_pictures(writers, share, seed):
    """This draws pictures, not writers: nearly every writer has some in both parts. Draw from the list of the different
    writers."""
    if not 0 < share < 1:
        raise ValueError("share")
    order = np.random.default_rng(seed).permutation(len(writers))
    count = int(np.ceil(share * len(writers)))
    return order[count:], order[:count]


@ex.wrong
def share_of_writers(writers, share, seed):
    """This takes a share of the writers. Some write much and some little, so count their pictures while you draw."""
    if not 0 < share < 1:
        raise ValueError("share")
    names = np.random.default_rng(seed).permutation(np.unique(writers))
    inside = np.isin(writers, names[: int(np.ceil(share * len(names)))])
    return np.flatnonzero(~inside), np.flatnonzero(inside)


@ex.wrong
def first_writers(writers, share, seed):
    """Validation always gets the same writers, the first ones in order. Draw them with a generator that has the
    seed."""
    return drawn(writers, share, np.random.default_rng(seed), shuffle=False)


@ex.wrong
def without_the_seed(writers, share, seed):
    """The same seed gives another split each time: make the generator from `seed`, or nobody can repeat your
    experiment."""
    return drawn(writers, share, np.random.default_rng())


@ex.wrong
def parts_exchanged(writers, share, seed):
    """The two parts are exchanged: training comes first in what is returned."""
    return drawn(writers, share, np.random.default_rng(seed))[::-1]


@ex.wrong
def training_on_all(writers, share, seed):
    """The validation pictures are still among the training pictures: take them out."""
    train, validation = drawn(writers, share, np.random.default_rng(seed))
    return np.concatenate([train, validation]), validation


@ex.wrong
def names_of_writers(writers, share, seed):
    """This returns the writers of the pictures, not the positions of the pictures in `writers`."""
    return tuple(writers[part] for part in drawn(writers, share, np.random.default_rng(seed)))


@ex.wrong
def stops_too_early(writers, share, seed):
    """Validation has fewer pictures than wanted: the writer with whom the share is reached belongs to it too."""
    train, validation = drawn(writers, share, np.random.default_rng(seed))
    last = writers == np.random.default_rng(seed).permutation(np.unique(writers))[len(set(writers[validation])) - 1]
    return np.union1d(train, np.flatnonzero(last)), np.setdiff1d(validation, np.flatnonzero(last))


@ex.wrong
def any_share(writers, share, seed):
    """A share that is not between 0 and 1 leaves one part without pictures, or asks for more than there are: raise
    ValueError."""
    share = share if 0 < share < 1 else 0.5
    return drawn(writers, share, np.random.default_rng(seed))


@ex.right
def by_cumulative_count(writers, share, seed):
    if share <= 0 or share >= 1:
        raise ValueError("share must be a fraction")
    names, number, count = np.unique(writers, return_inverse=True, return_counts=True)
    order = np.argsort(np.random.default_rng([seed, 1]).random(len(names)))
    before = np.concatenate([[0], np.cumsum(count[order])[:-1]])
    chosen = np.zeros(len(names), dtype=bool)
    chosen[order] = before < share * len(writers)
    positions = np.arange(len(writers))
    return positions[~chosen[number]], positions[chosen[number]]


# %%
check("6.3", split_by_writer)

# %% [markdown]
# **Exercise 6.4 ★★** Learning by heart shows in the gap between the accuracies on training and on validation data.
# Write a callback that keeps a list of this gap, and ends training when it has been too wide for too long.


# %%
# Exercise 6.4
class GapStop(keras.callbacks.Callback):
    """Ends training when the gap was wider than `limit` in `patience` epochs in a row.

    limit: a number. patience: whole number, 1 or more. The gap of an epoch is
    logs["accuracy"] - logs["val_accuracy"]. The attribute `gaps` lists the gaps of the present run, or of the
    last one: a run of `fit` begins with an empty list, and counts from 0, also where the same
    callback has served before.
    Raises ValueError at the end of an epoch whose logs have no "val_accuracy".

    >>> stop = GapStop(limit=0.1, patience=3)
    >>> model.fit(x, y, validation_data=(u, v), epochs=100, callbacks=[stop])
    """

    def __init__(self, limit, patience):
        super().__init__()
        ### BEGIN SOLUTION
        self.limit, self.patience = limit, patience
        self.gaps, self.wide = [], 0
        ### END SOLUTION

    def on_train_begin(self, logs=None):
        ### BEGIN SOLUTION
        self.gaps, self.wide = [], 0
        ### END SOLUTION

    def on_epoch_end(self, epoch, logs=None):
        ### BEGIN SOLUTION
        if "val_accuracy" not in (logs or {}):
            raise ValueError("GapStop needs validation_data in fit, and the metric accuracy")
        gap = logs["accuracy"] - logs["val_accuracy"]
        self.gaps.append(gap)
        self.wide = self.wide + 1 if gap > self.limit else 0
        if self.wide >= self.patience:
            self.model.stop_training = True
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras

ex = exercise("6.4")
ex.hints(
    "Which methods of a callback does `fit` call at the beginning of training, and which at the end of an epoch?",
    "Count how many epochs in a row were too wide; an epoch that is not sets the count back to 0.",
    "`self.model.stop_training = True` ends training.",
)


@ex.cases
def _(rng):
    def accuracies(epochs):  # in sixty-fourths, so that no gap suffers from rounding
        training = rng.integers(40, 65, size=epochs)
        return [(int(t) / 64, int(t - g) / 64) for t, g in zip(training, rng.integers(-4, 13, size=epochs))]

    yield 1 / 8, 2, [[(0.5, 0.5), (0.75, 0.5), (0.75, 0.5), (0.75, 0.5)]]
    yield 1 / 4, 1, [[(0.75, 0.5), (0.75, 0.5), (0.875, 0.5), (1.0, 0.5)]]  # a gap of exactly the limit
    yield 1 / 8, 2, [[(0.75, 0.5), (0.5, 0.5)] * 3]  # wide every second time
    yield 1 / 8, 2, [[(0.75, 0.5)], [(0.75, 0.5), (0.5, 0.5), (0.75, 0.5)]]  # two runs
    yield 1 / 8, 1, [[(0.5, 0.75), (0.5, 0.875), (0.5, 0.5)]]  # better on validation
    for _ in range(15):
        runs = [accuracies(int(rng.integers(4, 15))) for _ in range(rng.integers(1, 3))]
        yield int(rng.integers(1, 6)) / 64, int(rng.integers(1, 4)), runs
    yield 1 / 8, 2, [[(0.5, 0.5), (0.5, None)]]
    yield 1 / 8, 1, [[(0.5, None)]]


ex.shown_as("""
callback = GapStop(limit, patience)
callback.set_model(keras.Sequential())
for run in runs:
    callback.model.stop_training = False
    callback.on_train_begin()
    for epoch, (training, validation) in enumerate(run):
        logs = {"accuracy": training, "val_accuracy": validation}
        callback.on_epoch_end(epoch, {name: value for name, value in logs.items() if value is not None})
        print(callback.gaps, callback.model.stop_training)
""")


@ex.drive
def told(answer, limit, patience, runs):
    class Network:
        stop_training = False

    callback, network = answer(limit, patience), Network()
    callback.set_params({})
    callback.set_model(network)
    report = []
    for run in runs:
        network.stop_training = False
        callback.on_train_begin()
        for epoch, (training, validation) in enumerate(run):
            callback.on_epoch_begin(epoch)
            logs = {"loss": 1.0, "accuracy": training, "val_loss": 1.0, "val_accuracy": validation}
            if validation is None:
                del logs["val_loss"], logs["val_accuracy"]
            callback.on_epoch_end(epoch, logs)
            if network.stop_training:
                break
        callback.on_train_end()
        report.append({"epochs trained": epoch + 1, "gaps": [float(gap) for gap in callback.gaps]})
    return report


@ex.oracle
def _(limit, patience, runs):
    report = []
    for run in runs:
        if any(validation is None for _, validation in run):
            raise ValueError("no val_accuracy")
        gaps = [training - validation for training, validation in run]
        wide = [gap > limit for gap in gaps]
        ends = [e for e in range(patience, len(run) + 1) if all(wide[e - patience : e])]
        end = ends[0] if ends else len(run)
        report.append({"epochs trained": end, "gaps": gaps[:end]})
    return report


class Gaps(keras.callbacks.Callback):
    def __init__(self, limit, patience):
        super().__init__()
        self.limit, self.patience, self.gaps, self.wide = limit, patience, [], 0

    def on_train_begin(self, logs=None):
        self.gaps, self.wide = [], 0

    def on_epoch_end(self, epoch, logs=None):
        if "val_accuracy" not in logs:
            raise ValueError("no val_accuracy")
        self.gaps.append(self.gap(logs))
        self.wide = self.counted(self.gaps[-1] > self.limit)
        if self.enough():
            self.model.stop_training = True

    def gap(self, logs):
        return logs["accuracy"] - logs["val_accuracy"]

    def counted(self, wide):
        return self.wide + 1 if wide else 0

    def enough(self):
        return self.wide >= self.patience


@ex.wrong
def not_in_a_row(limit, patience):
    """The count of wide epochs never goes back to 0, so they are counted together, not in a row."""

    class Answer(Gaps):
        def counted(self, wide):
            return self.wide + wide

    return Answer(limit, patience)


@ex.wrong
def goes_on_from_the_last_run(limit, patience):
    """A second run of `fit` with the same callback goes on from where the first one stood: begin anew in
    on_train_begin, which is called at the start of each run."""

    class Answer(Gaps):
        def on_train_begin(self, logs=None):
            pass

    return Answer(limit, patience)


@ex.wrong
def forgets_to_clear_the_list(limit, patience):
    """The count begins anew with each run, and the list `gaps` does not: empty it too."""

    class Answer(Gaps):
        def on_train_begin(self, logs=None):
            self.wide = 0

    return Answer(limit, patience)


@ex.wrong
def limit_counts_as_wide(limit, patience):
    """A gap of exactly the limit is not wider than the limit."""

    class Answer(Gaps):
        def on_epoch_end(self, epoch, logs=None):
            if "val_accuracy" not in logs:
                raise ValueError("no val_accuracy")
            self.gaps.append(self.gap(logs))
            self.wide = self.counted(self.gaps[-1] >= self.limit)
            if self.enough():
                self.model.stop_training = True

    return Answer(limit, patience)


@ex.wrong
def one_epoch_late(limit, patience):
    """Training ends one epoch late: after `patience` wide epochs, not when one more has been seen."""

    class Answer(Gaps):
        def enough(self):
            return self.wide > self.patience

    return Answer(limit, patience)


@ex.wrong
def tells_itself(limit, patience):
    """Training never ends early: `fit` looks at the stop_training of the model, which a callback reaches as
    self.model."""

    class Answer(Gaps):
        def enough(self):
            self.stop_training = True
            return False

    return Answer(limit, patience)


@ex.wrong
def other_way_round(limit, patience):
    """The gap has the wrong sign: it is the accuracy in training minus the one in validation, positive when the network
    has learned by heart."""

    class Answer(Gaps):
        def gap(self, logs):
            return logs["val_accuracy"] - logs["accuracy"]

    return Answer(limit, patience)


@ex.wrong
def without_sign(limit, patience):
    """The gap is taken without its sign, so a network that does better on validation data looks like one that learns by
    heart."""

    class Answer(Gaps):
        def gap(self, logs):
            return abs(logs["accuracy"] - logs["val_accuracy"])

    return Answer(limit, patience)


@ex.wrong
def silent_without_validation(limit, patience):
    """Without validation data there is no gap, and training goes on as if all were well. Raise ValueError, so that
    whoever forgot validation_data hears of it."""

    class Answer(Gaps):
        def on_epoch_end(self, epoch, logs=None):
            if "val_accuracy" in logs:
                super().on_epoch_end(epoch, logs)

    return Answer(limit, patience)


@ex.right
class FromTheList(keras.callbacks.Callback):
    """Keeps no count: looks at the end of the list."""

    def __init__(self, limit, patience):
        super().__init__()
        self.settings = limit, patience

    def on_train_begin(self, logs=None):
        self.gaps = []

    def on_epoch_end(self, epoch, logs=None):
        try:
            self.gaps += [logs["accuracy"] - logs["val_accuracy"]]
        except KeyError as error:
            raise ValueError(f"the logs lack {error}") from None
        limit, patience = self.settings
        if len(self.gaps) >= patience and min(self.gaps[-patience:]) > limit:
            self.model.stop_training = True


# %%
check("6.4", GapStop)

# %% [markdown]
# **Exercise 6.5 ★★★** *Temperature scaling* (Guo et al., 2017) makes an overconfident network honest. All logits are
# divided by one number $T$, the temperature, before the softmax. That changes no answer, since the largest logit stays
# the largest, but $T > 1$ makes every answer less sure. The best $T$ is the one with the smallest cross-entropy on
# validation data. Find it among some candidates.


# %%
# Exercise 6.5
def best_temperature(logits, y, temperatures):
    """The temperature T whose softmax(logits / T) has the smallest mean cross-entropy (6.4)
    with the labels.

    logits: floats (n, classes), of any size: 1000 must not overflow. y: labels, ints (n,).
    temperatures: candidates, an array of positive floats in any order. Returns one of them, a
    float.
    Raises ValueError where a candidate is 0 or negative.

    >>> logits = np.array([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0]])
    >>> best_temperature(logits, np.array([0, 0, 0, 1]), np.array([0.5, 1.0, 8.0]))   # sure of all, right in three of 4
    8.0
    """
    ### BEGIN SOLUTION
    if np.min(temperatures) <= 0:
        raise ValueError(f"temperatures must be positive: {temperatures}")
    losses = []
    for temperature in temperatures:
        z = logits / temperature
        z = z - z.max(axis=1, keepdims=True)
        losses.append(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]))
    return float(temperatures[np.argmin(losses)])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

ex = exercise("6.5")
ex.hints(
    "One loss for each candidate, then the candidate of the smallest loss.",
    "Take the largest logit out before the exponential, as in (6.4), but after dividing by T.",
)


@ex.cases
def _(rng):
    yield np.array([[9.0, 0.0]] * 4), np.array([0, 0, 0, 1]), np.array([0.5, 1.0, 8.0])
    for number in range(20):
        n, classes = int(rng.integers(60, 120)), int(rng.integers(3, 8))
        honest = 2 * rng.normal(size=(n, classes))
        y = np.array([rng.choice(classes, p=row) for row in softmax(honest, axis=1)])
        scale = float(rng.choice([0.4, 2.0, 5.0])) if number % 4 else 500.0
        temperatures = rng.permutation(np.array([0.1, 0.3, 0.6, 1.0, 1.6, 2.7, 4.5, 9.0, 400.0, 900.0]))
        yield scale * honest, y, temperatures
    yield rng.normal(size=(5, 3)), np.array([0, 1, 2, 0, 1]), np.array([1.0, 0.0, 2.0])
    yield rng.normal(size=(5, 3)), np.array([0, 1, 2, 0, 1]), np.array([-1.0, 1.0])


@ex.oracle
def _(logits, y, temperatures):
    if (temperatures <= 0).any():
        raise ValueError("temperature")
    losses = [-log_softmax(logits / t, axis=1)[range(len(y)), y].sum() for t in temperatures]
    return float(temperatures[np.argmin(losses)])


def best_by(score, logits, temperatures):
    if (temperatures <= 0).any():
        raise ValueError("temperature")
    with np.errstate(all="ignore"):
        return float(temperatures[np.argmax([score(logits, t) for t in temperatures])])


@ex.wrong
def multiplied(logits, y, temperatures):
    """The logits are multiplied by the temperature; they are to be divided by it, so that a high temperature makes the
    answers less sure."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: log_softmax(z * t, axis=1)[at].mean(), logits, temperatures)


@ex.wrong
def worst(logits, y, temperatures):
    """This is the temperature with the largest cross-entropy. The loss has a minus sign: small is good."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: -log_softmax(z / t, axis=1)[at].mean(), logits, temperatures)


@ex.wrong
def by_accuracy(logits, y, temperatures):
    """This compares accuracies, and no temperature changes an accuracy: the largest logit stays the largest. Compare
    the cross-entropy."""
    return best_by(lambda z, t: np.mean(softmax(z / t, axis=1).argmax(axis=1) == y), logits, temperatures)


@ex.wrong
def mean_probability(logits, y, temperatures):
    """This compares the mean probability of the true class. Take the logarithm of each first, then the mean: it is the
    logarithm that punishes certain mistakes."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: softmax(z / t, axis=1)[at].mean(), logits, temperatures)


@ex.wrong
def of_the_predicted_class(logits, y, temperatures):
    """This takes the probability of the class with the largest logit instead of the true one, so the surest answers win
    and no label counts."""
    return best_by(lambda z, t: log_softmax(z / t, axis=1).max(axis=1).mean(), logits, temperatures)


@ex.wrong
def overflowing(logits, y, temperatures):
    """The exponential of a large logit overflows, and what comes of it is not a number. Subtract the largest logit of
    each row before the exponential."""
    at = np.arange(len(y)), y

    def score(z, t):
        e = np.exp(z / t)
        return np.log(e / e.sum(axis=1, keepdims=True))[at].mean()

    return best_by(score, logits, temperatures)


@ex.wrong
def position(logits, y, temperatures):
    """This is the position of the best temperature among the candidates; return the temperature itself."""
    at = np.arange(len(y)), y
    best = best_by(lambda z, t: log_softmax(z / t, axis=1)[at].mean(), logits, temperatures)
    return int(np.flatnonzero(temperatures == best)[0])


@ex.wrong
def any_temperature(logits, y, temperatures):
    """A temperature of 0 or below divides by nothing or turns the order of the classes round: raise ValueError."""
    at = np.arange(len(y)), y
    with np.errstate(all="ignore"):
        scores = [log_softmax(logits / t, axis=1)[at].mean() for t in temperatures]
    return float(temperatures[np.nanargmax(scores)])


@ex.right
def all_at_once(logits, y, temperatures):
    if not np.all(np.asarray(temperatures) > 0):
        raise ValueError("a temperature must be above 0")
    z = logits[None] / np.reshape(temperatures, (-1, 1, 1))
    margins = z - z[:, np.arange(len(y)), y][:, :, None]  # how far each class is above the true one
    losses = logsumexp(margins, axis=2).mean(axis=1)
    return min(zip(losses.tolist(), np.asarray(temperatures).tolist()))[1]


# %%
check("6.5", best_temperature)

# %% [markdown]
# **Exercise 6.6 ★★** Debug it. The function below is to train with early stopping and to report an honest test
# accuracy. It makes the mistake of the cell above, with the validation data in its hands. Repair it.


# %%
# Exercise 6.6
def train_and_test(model, train, validation, test, epochs, patience):
    """Train with early stopping, then report the accuracy on the test data, a float.

    model: compiled, with metrics=["accuracy"]. train, validation, test: pairs
    (images, labels). Trains for at most `epochs` epochs, stops when the loss on the validation
    data has not improved for `patience` epochs, and goes back to the weights of the epoch in
    which it was smallest. The test data are used once, after that.
    """
    ### BEGIN SOLUTION
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)
    model.fit(*train, validation_data=validation, epochs=epochs, callbacks=[stop], verbose=0)
    loss, accuracy = model.evaluate(*test, verbose=0)
    return accuracy
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np

ex = exercise("6.6", start="peeking")
ex.hints(
    "Which data does each line look at? Compare with the docstring.",
    "What must early stopping watch, and to which weights must it go back? Look at its arguments.",
)
PARTS = ("train", "validation", "test")


class Scripted:
    """Behaves like a compiled Keras model whose loss and accuracy after each epoch are written down beforehand."""

    def __init__(self, losses, accuracies):
        self.losses, self.accuracies = losses, accuracies  # of each part, a list over the epochs
        self.epoch, self.stop_training, self.metrics = 0, False, []
        self.looked_at, self.trained_on = [], []
        sizes = dict(zip(PARTS, (40, 12, 20)))
        self.data = {part: (np.full((n, 2), i), np.full(n, i)) for i, (part, n) in enumerate(sizes.items())}

    def part(self, x, y):
        for name, (images, labels) in self.data.items():
            if np.array_equal(np.asarray(x), images) and np.array_equal(np.asarray(y), labels):
                return name
        return "a mixture"

    def scores(self, part):
        part = "train" if part == "a mixture" else part
        at = min(self.epoch, len(self.losses[part])) - 1
        return {"loss": self.losses[part][at], "accuracy": self.accuracies[part][at]}

    def fit(self, x=None, y=None, validation_data=None, epochs=1, callbacks=None, validation_split=0, **_):
        self.trained_on.append(self.part(x, y))
        self.stop_training, history = False, {}
        for callback in callbacks or []:
            callback.set_params({"epochs": epochs})
            callback.set_model(self)
            callback.on_train_begin()
        for epoch in range(epochs):
            self.epoch += 1
            logs = self.scores(self.trained_on[-1])
            if validation_data is not None:
                self.looked_at.append(self.part(*validation_data))
            if validation_data is not None or validation_split:
                watched = self.scores(self.looked_at[-1] if validation_data is not None else "train")
                logs |= {f"val_{name}": value for name, value in watched.items()}
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
            for callback in callbacks or []:
                callback.on_epoch_end(epoch, dict(logs))
            if self.stop_training:
                break
        for callback in callbacks or []:
            callback.on_train_end()
        return type("History", (), {"history": history})()

    def evaluate(self, x=None, y=None, return_dict=False, **_):
        self.looked_at.append(self.part(x, y))
        scores = self.scores(self.looked_at[-1])
        return scores if return_dict else [scores["loss"], scores["accuracy"]]

    def get_weights(self):
        return [np.array([self.epoch])]

    def set_weights(self, weights):
        self.epoch = int(weights[0][0])


@ex.cases
def _(rng):
    for _ in range(16):
        epochs = int(rng.integers(8, 20))
        t = np.arange(epochs)
        losses = {"train": list(1.5 * 0.8**t)}
        for part in PARTS[1:]:
            turn = rng.uniform(1, epochs - 3)
            losses[part] = list(0.3 + 0.01 * (t - turn) ** 2 + 0.06 * rng.random(epochs))
        accuracies = {
            part: list(rng.permutation(np.linspace(0.5, 0.97, epochs)) + 0.01 * i) for i, part in enumerate(PARTS)
        }
        yield losses, accuracies, epochs, int(rng.integers(1, 5))


ex.shown_as(
    "train_and_test(model, train, validation, test, epochs, patience)",
    where="the model has the losses {losses} and the accuracies {accuracies} after its epochs",
)


@ex.drive
def reported(answer, losses, accuracies, epochs, patience):
    model = Scripted(losses, accuracies)
    value = answer(model, *model.data.values(), epochs, patience)
    before = set(model.looked_at[:-1]) - {"train"}
    return {
        "trained on": sorted(set(model.trained_on)),
        "looked at before the end": sorted(before),
        "reported": float(value),
    }


@ex.oracle
def _(losses, accuracies, epochs, patience):
    best = 0
    for epoch, loss in enumerate(losses["validation"][:epochs]):
        if loss < losses["validation"][best]:
            best = epoch
        if epoch - best >= patience:
            break
    return {
        "trained on": ["train"],
        "looked at before the end": ["validation"],
        "reported": float(accuracies["test"][best]),
    }


def stopper(patience, monitor="val_loss", restore=True):
    return keras.callbacks.EarlyStopping(monitor=monitor, patience=patience, restore_best_weights=restore)


@ex.wrong
def peeking(model, train, validation, test, epochs, patience):
    """The test data choose the epoch, and are then asked how good the choice was. Early stopping must watch data that
    are not reported."""
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)
    model.fit(*train, validation_data=test, epochs=epochs, callbacks=[stop], verbose=0)
    loss, accuracy = model.evaluate(*test, verbose=0)
    return accuracy


@ex.wrong
def last_weights(model, train, validation, test, epochs, patience):
    """What is tested are the weights of the last epoch, `patience` epochs after the best one: early stopping does not
    go back by itself, it has to be told to restore."""
    model.fit(*train, validation_data=validation, epochs=epochs, callbacks=[stopper(patience, restore=False)])
    return model.evaluate(*test)[1]


@ex.wrong
def reports_validation(model, train, validation, test, epochs, patience):
    """The accuracy that is reported is the one on the validation data, which have chosen the epoch already. Nobody has
    looked at the test data yet."""
    model.fit(*train, validation_data=validation, epochs=epochs, callbacks=[stopper(patience)])
    return model.evaluate(*validation)[1]


@ex.wrong
def watches_training(model, train, validation, test, epochs, patience):
    """Early stopping watches the training loss, which goes on falling while the network learns by heart."""
    model.fit(*train, validation_data=validation, epochs=epochs, callbacks=[stopper(patience, monitor="loss")])
    return model.evaluate(*test)[1]


@ex.wrong
def part_of_training(model, train, validation, test, epochs, patience):
    """The epoch is chosen by a part cut off from the training data, and the validation data lie unused."""
    model.fit(*train, validation_split=0.2, epochs=epochs, callbacks=[stopper(patience)])
    return model.evaluate(*test)[1]


@ex.wrong
def validation_in_training(model, train, validation, test, epochs, patience):
    """The validation data are among the training data, so they cannot tell when the network begins to learn by
    heart."""
    both = [np.concatenate(pair) for pair in zip(train, validation)]
    model.fit(*both, validation_data=validation, epochs=epochs, callbacks=[stopper(patience)])
    return model.evaluate(*test)[1]


@ex.wrong
def loss_for_accuracy(model, train, validation, test, epochs, patience):
    """This is the loss on the test data: evaluate returns the loss first, then the metrics."""
    model.fit(*train, validation_data=validation, epochs=epochs, callbacks=[stopper(patience)])
    return model.evaluate(*test)[0]


@ex.wrong
def best_in_history(model, train, validation, test, epochs, patience):
    """This is the best validation accuracy of all epochs: the largest of many lucky numbers, and not from the test
    data."""
    history = model.fit(*train, validation_data=validation, epochs=epochs, callbacks=[stopper(patience)]).history
    model.evaluate(*test)
    return max(history["val_accuracy"])


@ex.right
def by_hand(model, train, validation, test, epochs, patience):
    smallest, kept, waited = float("inf"), None, 0
    for _ in range(epochs):
        model.fit(*train, epochs=1, verbose=0)
        loss = model.evaluate(*validation, return_dict=True)["loss"]
        if loss < smallest:
            smallest, kept, waited = loss, model.get_weights(), 0
        else:
            waited += 1
        if waited >= patience:
            break
    model.set_weights(kept)
    return model.evaluate(*test, return_dict=True)["accuracy"]


# %%
check("6.6", train_and_test)

# %% [markdown]
# ## Summary card
#
# | | |
# |---|---|
# | (6.1) earliest place out of a shuffle buffer | $\max(0,\; i - b + 1)$ |
# | (6.2) convolution, then pooling by two | $n' = \lfloor (n + 2p - k + 1)/2 \rfloor$ |
# | (6.3) parameters; LeNet-5 has 61,706 | $\sum (k^2 C + 1) N + \sum (d + 1) u$ |
# | (6.4) cross-entropy of logits | $\log \sum_k e^{z_k} - z_y$ |
# | (6.5) saving changes nothing | $f_{\mathrm{load}(\mathrm{save}(\theta))} = f_\theta$ |
# | (6.6) confusion matrix | $C_{ij}$: true class $i$, read as $j$ |
# | (6.7), (6.8) accuracy and its standard error | $a = \sum_k C_{kk} / \sum_{ij} C_{ij}$, $\sqrt{a(1-a)/n}$ |
# | (6.9) precision: down a column | $C_{kk} / \sum_i C_{ik}$ |
# | (6.10) recall: along a row | $C_{kk} / \sum_j C_{kj}$ |
# | (6.11) F1 | $2PR/(P + R)$ |
# | (6.12) a dense layer does not care for the order of its inputs | $(Px)^\mathsf{T}(PW) = x^\mathsf{T}W$ |
# | (6.13) expected calibration error | mean gap between accuracy and confidence over the bins |
#
# Training data set the weights, validation data make the choices, test data make none. Cache, then shuffle with a
# buffer for all, then batch, then prefetch.
#
# ## References
#
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. Proceedings of
#   the IEEE 86(11), 1998.
# - L. Prechelt: Early stopping - but when? In: Neural Networks: Tricks of the Trade, Springer, 1998.
# - M. P. Naeini, G. F. Cooper, M. Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning. AAAI,
#   2015.
# - D. P. Kingma, J. Ba: Adam: a method for stochastic optimization. ICLR, 2015.
# - C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks. ICML, 2017.
# - C. Zhang, S. Bengio, M. Hardt, B. Recht, O. Vinyals: Understanding deep learning requires rethinking
#   generalization. ICLR, 2017.
# - J. Opitz, S. Burst: Macro F1 and macro F1. arXiv:1911.03347, 2019.
