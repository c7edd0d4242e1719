# %% [raw]
# title: "LeNet on MNIST: a complete project"
# part: II. Convolution
# minutes: 150
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
#   - max and average pooling
# teaches:
#   - LeNet-5
#   - training, validation and test data
#   - callbacks
#   - saving and loading a model
#   - accuracy and its standard error
#   - confusion matrix, precision, recall and F1
#   - McNemar's test
#   - inductive bias
#   - calibration
#   - input pipelines
# data: [MNIST]
# terms:
#   - term: inductive bias
#     means: what a model assumes before it sees data, such as that near pixels belong together
#     zh: 归纳偏置
#   - term: data leakage
#     means: information about the validation or test data that has reached the model or its author's choices
#     zh: 数据泄漏
#   - term: callback
#     means: an object whose methods are called at fixed moments of training
#     zh: 回调
#   - term: checkpoint
#     means: a file with the state of a model in training
#     zh: 检查点
#   - term: confusion matrix
#     means: counts of examples by true class (row) and predicted class (column)
#     zh: 混淆矩阵
#     symbol: '$\mathbf{C}$'
#   - term: accuracy
#     means: the share of examples whose class is predicted correctly; 1 minus the error rate
#     zh: 准确率
#     symbol: '$\mathrm{acc}$'
#   - term: standard error
#     means: the standard deviation of an estimate, such as an accuracy, over other samples of the same size
#     zh: 标准误
#     symbol: '$\mathrm{SE}$'
#   - term: precision
#     means: of all examples that are predicted as a class, the share that belongs to it
#     zh: 精确率
#     symbol: '$\mathrm{pre}$'
#   - term: recall
#     means: of all examples of a class, the share that is predicted as it
#     zh: 召回率
#     symbol: '$\mathrm{rec}$'
#   - term: F1
#     means: the harmonic mean of precision and recall
#     zh: F1分数
#     symbol: '$\mathrm{F1}$'
#   - term: p-value
#     means: how probable a result at least as extreme would be if there were nothing to find
#     zh: p值
#   - term: McNemar test
#     means: a test of two classifiers on the same examples, by those that only one of them classifies correctly
#     zh: McNemar检验
#   - term: confidence
#     means: the probability that a classifier gives to the class it predicts
#     zh: 置信度
#     symbol: '$\mathrm{conf}$'
#   - term: calibration
#     means: the agreement of confidence with accuracy
#     zh: 校准
#   - term: expected calibration error
#     means: the mean gap between accuracy and confidence over bins of confidence; ECE for short
#     zh: 期望校准误差
#     symbol: '$\mathrm{ECE}$'
#   - term: reliability diagram
#     means: a plot of accuracy against confidence, bin by bin
#     zh: 可靠性图
#   - term: input pipeline
#     means: the steps that turn stored examples into mini-batches, while training runs
#     zh: 输入流水线
#   - term: shuffle buffer
#     means: a store of a few examples from which the next one is drawn at random
#     zh: 打乱缓冲区
# symbols:
#   '$D_\text{in}$': 'inputs of a dense layer'
#   '$D_\text{out}$': 'outputs of a dense layer'
#   '$\Pi$': 'a permutation of the pixels, as a matrix (`order`)'
#   '$\mathcal{B}$': 'a bin: the examples whose confidence lies in one interval'
# sources:
#   - "McNemar, Note on the sampling error of the difference between correlated proportions or percentages, 1947"
#   - "LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998"
#   - "Prechelt, Early stopping - but when?, 1998"
#   - "Dietterich, Approximate statistical tests for comparing supervised classification learning algorithms, 1998"
#   - "Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015"
#   - "Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, 2017"
#   - "Zhang, Bengio, Hardt, Recht & Vinyals, Understanding deep learning requires rethinking generalization, 2017"
#   - "Opitz & Burst, Macro F1 and macro F1, 2019"

# %% [markdown]
# Here are twelve digits. Below stand the same twelve with their pixels in another order. The order was drawn once, and
# is the same for all: whatever was in the top left corner has gone to one and the same other place.

# %% tags=["aside"]
# @title Imports and settings
import math
import tempfile
import time
from pathlib import Path

from course import ask, budget, check, claim, data, plots, predict, prove, record, seed, start, sweep

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import stats
from sklearn import metrics

rng = start("06")  # seeds everything from COURSE_SEED and sets the style of the figures


def permuted(images, order):
    """Images (n, 28, 28, 1) with their 784 pixels in another order, one order for all of them."""
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


# %% tags=["aside"]
# @title Loads the digits and draws figure 6.1
mnist = data.mnist()
order = rng.permutation(28 * 28)
digits, test = mnist.x_train[..., None], (mnist.x_test[..., None], mnist.y_test)  # bytes (n, 28, 28, 1)
whole = len(digits) == 60_000  # the real MNIST, not the 5,000 embedded digits
plots.show_rows({"in place": test[0][:12], "permuted": permuted(test[0][:12], order)}, limits=(0, 255))

# %% [markdown]
# *Figure 6.1. Top: twelve test digits. Bottom: the same pixels, rearranged in the same way in every image.*
#
# Nothing is lost: whoever knows the order can put every pixel back. A dense layer connects every pixel
# with every unit, and has no reason to prefer one row to the other. A convolution looks at neighbours. So:
#
# **How much of what a convolutional network can do comes from what is built into it before it sees a single digit,
# namely that near pixels belong together?**
#
# The answer needs a network that is trained, tested and compared properly. The network of this chapter is LeNet-5; the
# work around it is the same for every network after it.
#
# ## What you will be able to do
#
# - build LeNet-5 in Keras, and count its sizes and parameters before Keras does;
# - keep training, validation and test data apart, and say what each may decide;
# - train with callbacks, save a model and load it;
# - judge it: error bars, precision, recall, F1, the pairs it confuses, and whether to trust its confidence;
# - say whether one of two networks is better, or only luckier;
# - recognise an evaluation that flatters itself.
#
# ## LeNet-5, stage by stage
#
# LeNet-5 (LeCun et al., 1998) alternates convolutions with pooling, and ends in dense layers:

# %% tags=["aside"]
# @title Draws figure 6.2
figure, axis = plt.subplots(figsize=(9, 2.1))
network = {
    "input": (0, 0, "input\n28 × 28 × 1"),
    "C1": (1, 0, "C1: 5 × 5, padding 2\n28 × 28 × 6", 0),
    "S2": (2, 0, "S2: max pooling, 2\n14 × 14 × 6", 1),
    "C3": (3, 0, "C3: 5 × 5\n10 × 10 × 16", 0),
    "S4": (4, 0, "S4: max pooling, 2\n5 × 5 × 16", 1),
    "C5": (4, 1, "C5: dense\n400 → 120", 2),
    "F6": (3, 1, "F6: dense\n120 → 84", 2),
    "output": (2, 1, "output: dense\n84 → 10 logits", 2),
}
plots.draw_blocks(axis, network, list(zip(network, list(network)[1:])), size=(2.75, 0.85))
figure.tight_layout(pad=0)
plt.show()

# %% [markdown]
# *Figure 6.2. LeNet-5. Above: convolutions with ReLU (blue) find patterns, pooling (orange) shrinks the maps. Below:
# the last maps, written as one vector of 400 numbers, pass three dense layers (green).*
#
# By (3.3), a convolution of stride 1 turns $n$ pixels into $n + 2p - k + 1$. Pooling by two halves that, and leaves out
# an odd last pixel:
#
# $$ o = \left\lfloor \frac{n + 2p - k + 1}{2} \right\rfloor \tag{6.1} $$
#
# So 28 pixels become 14 in the first stage ($k = 5$, $p = 2$), and 14 become 5 in the second ($k = 5$, $p = 0$). The
# parameters are those of (3.9), added up over all layers:
#
# $$ \sum_{\text{convolutions}} (k^2 C + 1)\, N \;+ \sum_{\text{dense}} (D_\text{in} + 1)\, D_\text{out} \tag{6.2} $$
#
# | C1 | C3 | C5 | F6 | output | all |
# |---|---|---|---|---|---|
# | 26 · 6 | 151 · 16 | 401 · 120 | 121 · 84 | 85 · 10 | |
# | 156 | 2,416 | 48,120 | 10,164 | 850 | **61,706** |
#
# The paper counts 60,000. In 1998 not every kernel of C3 saw all six maps, which left 1,516 parameters there; the ten
# output units had fixed weights, 850 fewer; and each pooled map had a trainable factor and bias, 44 more:
# $61{,}706 - 900 - 850 + 44 = 60{,}000$ exactly. Two more habits have changed: ReLU stands for a scaled tanh, and the
# maximum for the mean.


# %%
def lenet5(distort=False):
    """LeNet-5 for images (28, 28, 1) of bytes, 0 to 255; the ten outputs are logits.

    distort: move and turn each training digit a little, anew each time; these layers rest outside training.
    """
    inputs = x = keras.Input((28, 28, 1))
    if distort:
        x = layers.RandomTranslation(0.07, 0.07, fill_mode="constant")(x)
        x = layers.RandomRotation(0.03, fill_mode="constant")(x)
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(6, 5, padding="same", activation="relu", name="C1")(x)
    x = layers.MaxPooling2D(2, name="S2")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="C3")(x)
    x = layers.MaxPooling2D(2, name="S4")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(120, activation="relu", name="C5")(x)
    x = layers.Dense(84, activation="relu", name="F6")(x)
    return keras.Model(inputs, layers.Dense(10, name="output")(x))


# %% [markdown]
# The scaling of the pixels is a layer of the model, so nobody who uses it later can forget it. Now predict what Keras
# will say, for LeNet-5 and for random networks of the same make:


# %%
def stage_size(n, k, p):
    """Width of the map after a convolution (kernel k, padding p on each side) and a pooling by two."""
    return (n + 2 * p - k + 1) // 2  # (6.1)


def parameter_count(size, channels, convolutions, dense):
    """Parameters of stages of convolution and pooling, then dense layers, on images (size, size, channels).

    convolutions: (filters, kernel size, padding) of each. dense: the outputs of each dense layer.
    """
    total = 0
    for filters, k, p in convolutions:
        total += (k * k * channels + 1) * filters  # (6.2)
        size, channels = stage_size(size, k, p), filters
    inputs = size * size * channels
    for outputs in dense:
        total += (inputs + 1) * outputs
        inputs = outputs
    return total


LENET5 = (28, 1, ((6, 5, 2), (16, 5, 0)), (120, 84, 10))


# %% tags=["aside"]
# @title What proofs (6.1) and (6.2) compare with
def keras_stage_size(n, k, p):
    x = layers.ZeroPadding2D(p)(ops.zeros((1, n, n, 1)))
    return layers.MaxPooling2D(2)(layers.Conv2D(1, k)(x)).shape[1]


def stages(count):
    for _ in range(count):
        k = int(rng.integers(1, 8))
        yield int(rng.integers(k + 1, 40)), k, int(rng.integers(0, 4))


def keras_parameter_count(size, channels, convolutions, dense):
    if (size, channels, convolutions, dense) == LENET5:
        return lenet5().count_params()
    stack = [keras.Input((size, size, channels))]
    for filters, k, p in convolutions:
        stack += [layers.ZeroPadding2D(p), layers.Conv2D(filters, k), layers.MaxPooling2D(2)]
    return keras.Sequential([*stack, layers.Flatten(), *[layers.Dense(u) for u in dense]]).count_params()


def networks(count):
    yield LENET5
    for _ in range(count - 1):
        convolutions = tuple(
            (int(rng.integers(1, 9)), int(rng.choice([1, 3, 5])), 2) for _ in range(rng.integers(1, 3))
        )
        dense = tuple(int(u) for u in rng.integers(1, 30, size=rng.integers(1, 4)))
        yield int(rng.integers(8, 33)), int(rng.integers(1, 4)), convolutions, dense


# %%
prove("6.1", stage_size, keras_stage_size, cases=stages(40))
prove("6.2", parameter_count, keras_parameter_count, cases=networks(20))

# %% [markdown]
# **Question 6.a.** An image of 32 × 32 pixels passes two stages of convolution and pooling. All kernels are 3 × 3,
# without padding; the first convolution has 8 of them, the second 12. What is the shape of the output? Answer with a
# tuple (height, width, channels).

# %%
ask(
    "6.a",
    (6, 6, 12),
    why="By (6.1), 32 becomes 15 and 15 becomes 6: the odd last pixel of 13 is left out.",
    hint="Use (6.1) once for each stage. The channels are the number of kernels of the last convolution.",
)

# %% [markdown]
# ## Three parts of the data
#
# A network sees its training digits many times and can memorise them. How well it does on others is told only by digits
# that had no part in making it, and there are two ways of having a part. The *training* digits set the weights. The
# *validation* digits set everything that you choose by looking: when to stop, how fast to learn, which network to keep.
# The *test* digits decide nothing.
#
# MNIST comes with its test digits set apart. Take a tenth of the others for validation, at random:


# %%
def split(count, share, rng):
    """Positions of the training and of the validation examples: two arrays that hold 0 to count - 1 once each."""
    shuffled = rng.permutation(count)
    return shuffled[int(share * count) :], shuffled[: int(share * count)]


def twins(some, others):
    """How many of some images occur, pixel by pixel, among the others."""
    seen = {image.tobytes() for image in others}
    return sum(image.tobytes() in seen for image in some)


# %%
for_training, for_validation = split(len(digits), 0.1, rng)
train = digits[for_training], mnist.y_train[for_training]
validation = digits[for_validation], mnist.y_train[for_validation]
for name, (images, labels) in {"training": train, "validation": validation, "test": test}.items():
    of_each = np.bincount(labels)
    print(f"{name:10} {len(images):6,} digits, {of_each.min():,} to {of_each.max():,} of each class")

# %% [markdown]
# Splitting at random is not yet splitting well. **Data leakage** is information about the held-back data that reaches
# the model or its author. If an image is in the collection twice, one copy may land in each part, and the network is
# tested on what it has memorised. So look. The control is the same collection after a tenth of it was copied once more:

# %%
copied = np.concatenate([digits, digits[: len(digits) // 10]])
careless = [copied[part] for part in split(len(copied), 0.1, rng)]
claim(
    "6.1",
    "no image stands in two of the three parts",
    twins(validation[0], train[0]) + twins(test[0], train[0]) + twins(test[0], validation[0]) == 0,
    control=twins(careless[1], careless[0]) == 0,
)

# %% [markdown]
# There is a subtler leak. MNIST's makers saw to it that nobody who wrote a training digit wrote a test digit (LeCun et
# al., 1998). The random split above promises nothing of the kind: you may well train on somebody's sevens and validate
# on another seven by the same hand. Exercise 6.3 closes that hole.
#
# **Question 6.b.** You try three learning rates and keep the network that classifies most digits correctly. Which
# digits may you count for this choice: `"training"`, `"validation"` or `"test"`?

# %%
ask(
    "6.b",
    "validation",
    why="They decide what you choose by looking, and the test digits stay unseen until the end.",
    hint="Which digits set the weights? And which must have had no part in making the network?",
    choices=("training", "validation", "test"),
)

# %% [markdown]
# ## Train it, keep it
#
# The loss is the cross-entropy of the logits (chapter 01). The optimiser is Adam (chapter 02), whose learning rate
# falls to zero along half a cosine, so that the last steps are small ones:


# %%
def fit(model, digits, held, epochs, batch, rate, callbacks=(), verbose=0):
    """Train a model of logits on digits = (images, labels), and watch it on held = (images, labels)."""
    steps = epochs * math.ceil(len(digits[0]) / batch)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model.fit(
        *digits, batch_size=batch, epochs=epochs, validation_data=held, callbacks=list(callbacks), verbose=verbose
    )


# %% [markdown]
# A **callback** is an object whose methods `fit` calls at the beginning and the end of every epoch and every
# mini-batch. Four belong to a serious run:
#
# - `EarlyStopping` ends the run when the validation loss has not improved for `patience` epochs, and goes back to the
#   best weights (Prechelt, 1998; chapter 02);
# - `ModelCheckpoint` writes the best model so far to a file, a **checkpoint**;
# - `BackupAndRestore` writes after each epoch where training stands. If the run is interrupted, the same call of `fit`
#   goes on from there; when it ends, the backup is deleted;
# - `TensorBoard` writes logs, which a page in the browser draws as curves while they grow.

# %%
folder = tempfile.TemporaryDirectory(prefix="lenet-")
checkpoint, logs = Path(folder.name, "best.keras"), Path(folder.name, "logs")
callbacks = [
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True),
    keras.callbacks.ModelCheckpoint(checkpoint, monitor="val_loss", save_best_only=True),
    keras.callbacks.BackupAndRestore(str(Path(folder.name, "backup"))),
    keras.callbacks.TensorBoard(logs, write_graph=False),
]
lenet = lenet5(distort=budget(quick=False, full=True))
epochs, batch = (budget(quick=3, full=25, least=1), 128) if whole else (budget(quick=15, full=40, least=1), 32)
fit(lenet, train, validation, epochs, batch, rate=5e-3, callbacks=callbacks, verbose=2)
for path in sorted(Path(folder.name).rglob("*")):
    print(path.relative_to(folder.name))

# %% [markdown]
# A quick run stops long before LeNet overfits, so early stopping is only a safety belt in it. The full budget trains
# for longer and distorts the digits a little, as the paper did for its best result. To see the curves, type
# `tensorboard --logdir` and the folder (`print(logs)`) in a terminal while this notebook is open.
#
# A `.keras` file holds the architecture, the weights and the state of the optimiser. Its promise is short. With
# $\hat{y}(x;\, \theta)$ for what the network predicts, for all inputs $x$ and parameters $\theta$:
#
# $$ \hat{y}\bigl(x;\; \mathrm{load}(\mathrm{save}(\theta))\bigr) = \hat{y}(x;\, \theta) \tag{6.3} $$


# %%
def after_loading(model, x):
    """What a model predicts after it was saved to a `.keras` file and loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return keras.saving.load_model(path)(x)  # (6.3)


def before_saving(model, x):
    return model(x)


def fresh_models(count):
    for _ in range(count):
        yield lenet5(), 255 * rng.random((8, 28, 28, 1), dtype="float32")


# %%
prove("6.3", after_loading, before_saving, cases=fresh_models(3))

# %% [markdown]
# From here on, `model` is not the network in memory but the one from the checkpoint: test what you will ship. The
# control is a network that was never trained.


# %%
def probabilities(model, images):
    """The probabilities (n, 10) that a model of logits gives to the classes of images (n, 28, 28, 1)."""
    return ops.convert_to_numpy(ops.softmax(predict(model, images)))


model = keras.saving.load_model(checkpoint)
given = probabilities(model, test[0])
predicted = given.argmax(axis=1)
correct = predicted == test[1]
untrained = probabilities(lenet5(), test[0]).argmax(axis=1) == test[1]
print(f"{correct.sum():,} of {len(correct):,} test digits classified correctly")

# %%
enough = budget(quick=0.987, full=0.993) if whole else 0.945
claim(
    "6.2",
    "LeNet classifies 98.7 % of MNIST's test digits correctly (full budget: 99.3 %; the embedded digits: 94.5 %)",
    correct.mean() >= enough,
    control=untrained.mean() >= enough,
)

# %% [markdown]
# ## How good is it?
#
# One number hides which digits go wrong. The **confusion matrix** counts them:
#
# $$ \mathbf{C}_{ij} = \text{examples of class } i \text{ that are predicted as } j \tag{6.4} $$
#
# What lies on its diagonal is correct. The share of it among all examples is the **accuracy**, and 1 minus that is the
# error rate. With other test digits it would come out otherwise. If each example of a data set $\mathcal{D}$ is
# classified correctly with the same probability, independently of the others, the count is binomial. The standard
# deviation of the accuracy, its **standard error**, is then estimated by
#
# $$ \mathrm{acc} = \frac{\sum_i \mathbf{C}_{ii}}{\sum_{i,j} \mathbf{C}_{ij}}, \qquad
#    \mathrm{SE} = \sqrt{\frac{\mathrm{acc}\,(1 - \mathrm{acc})}{|\mathcal{D}|}} \tag{6.5} $$
#
# For an accuracy of 0.99 on 10,000 digits this is 0.001: the fourth digit of an accuracy is mostly chance.
#
# For one class there are two ways of failing. **Precision** asks: of all that are predicted as class $i$, how many
# belong to it? **Recall** asks: of all that belong to class $i$, how many are predicted as it? A network that says
# "one" to everything has a recall of 1 on ones, and a bad precision.
#
# $$ \mathrm{pre}_i = \frac{\mathbf{C}_{ii}}{\sum_j \mathbf{C}_{ji}}, \qquad
#    \mathrm{rec}_i = \frac{\mathbf{C}_{ii}}{\sum_j \mathbf{C}_{ij}} \tag{6.6} $$
#
# **F1** is their harmonic mean, which is large only where both are:
#
# $$ \mathrm{F1}_i = \frac{2\; \mathrm{pre}_i\, \mathrm{rec}_i}{\mathrm{pre}_i + \mathrm{rec}_i} \tag{6.7} $$
#
# Where there is nothing to divide by, all three count as 0.


# %%
def confusion_matrix(y, predicted, classes):
    """Counts (classes, classes): a row for each true class, a column for each predicted one."""
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (y, predicted), 1)  # (6.4)
    return matrix


def accuracy(matrix):
    return np.trace(matrix) / matrix.sum()  # (6.5)


def standard_error(acc, count):
    return np.sqrt(acc * (1 - acc) / count)


def ratio(part, whole):
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def precision_and_recall(matrix):
    hits = np.diag(matrix)
    return ratio(hits, matrix.sum(axis=0)), ratio(hits, matrix.sum(axis=1))  # (6.6)


def f1(matrix):
    precision, recall = precision_and_recall(matrix)
    return ratio(2 * precision * recall, precision + recall)  # (6.7)


# %% tags=["aside"]
# @title What proofs (6.4) to (6.7) compare with
def accuracy_and_error(y, predicted, classes):
    acc = accuracy(confusion_matrix(y, predicted, classes))
    return acc, standard_error(acc, len(y))


def sklearn_and_binomial(y, predicted, classes):
    acc = metrics.accuracy_score(y, predicted)
    return acc, stats.binom(len(y), acc).std() / len(y)


def of_matrix(score):
    """A score of a confusion matrix as a function of labels and predictions, as scikit-learn has it."""

    def scored(y, predicted, classes):
        return score(confusion_matrix(y, predicted, classes))

    scored.__name__ = score.__name__
    return scored


def by_sklearn(*scores, **settings):
    def scored(y, predicted, classes):
        found = [score(y, predicted, labels=range(classes), **settings) for score in scores]
        return found[0] if len(found) == 1 else tuple(found)

    return scored


def predictions(count):
    """Random labels and predictions; some classes are missing in some."""
    for _ in range(count):
        n, classes = rng.integers(5, 60), int(rng.integers(2, 11))
        y, guess = rng.integers(classes, size=(2, n))
        yield y, np.where(rng.random(n) < 0.6, y, guess), classes


PER_CLASS = {"average": None, "zero_division": 0}
SKLEARN_SCORES = by_sklearn(metrics.precision_score, metrics.recall_score, **PER_CLASS)

# %%
prove("6.4", confusion_matrix, by_sklearn(metrics.confusion_matrix), cases=predictions(100))
prove("6.5", accuracy_and_error, sklearn_and_binomial, cases=predictions(100))
prove("6.6", of_matrix(precision_and_recall), SKLEARN_SCORES, cases=predictions(100))
prove("6.7", of_matrix(f1), by_sklearn(metrics.f1_score, **PER_CLASS), cases=predictions(100))

# %%
matrix = confusion_matrix(test[1], predicted, 10)
acc, (precision, recall) = accuracy(matrix), precision_and_recall(matrix)
print(f"accuracy {acc:.4f}, standard error {standard_error(acc, len(test[1])):.4f}, mean F1 {f1(matrix).mean():.4f}")
print("digit  precision  recall     F1  count")
for row in zip(mnist.classes, precision, recall, f1(matrix), matrix.sum(axis=1)):
    print("{:>5}  {:9.4f}  {:6.4f} {:6.4f}  {:5}".format(*row))

# %% [markdown]
# **Question 6.c.** There are 16 sevens among some test digits. A network predicts "7" for 10 digits, and 8 of these are
# sevens. What is its recall on the class 7?

# %%
ask(
    "6.c",
    0.5,
    why="8 of the 16 sevens were found. The precision is 8 of 10.",
    hint="Recall asks: of all that are sevens, how many were predicted as such?",
)

# %% [markdown]
# Off the diagonal you see where the network errs:

# %% tags=["aside"]
# @title Draws figure 6.3
figure, axis = plt.subplots(figsize=(5, 4.4))
plots.draw_confusion(axis, matrix)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.3. The confusion matrix of the test digits. The shade counts mistakes only.*

# %% tags=["aside"]
# @title Draws figure 6.4
mistakes = matrix - np.diag(np.diag(matrix))
pairs = zip(*np.unravel_index(np.argsort(-mistakes, axis=None)[:5], mistakes.shape))
worst = {}
for true, read in pairs:
    found = np.flatnonzero((test[1] == true) & (predicted == read))
    worst[f"{true} as {read}"] = test[0][found[np.argsort(-given[found, read])]][:10]
plots.show_rows({name: images for name, images in worst.items() if len(images)}, limits=(0, 255), width=6.5)

# %% [markdown]
# *Figure 6.4. The five most frequent confusions, in each row the digits that the network is surest of, surest first:
# "4 as 9" is a four, predicted as a nine.*
#
# Say aloud what you would have read. Some of these are slips of the writer; the others are what more data or a better
# network could still bring.
#
# ## Is it the convolution?
#
# Back to the two rows of Figure 6.1. The rival is a multi-layer perceptron (MLP) with ten times LeNet's parameters. For
# it the order of the pixels means nothing. Let $\Pi$ be the matrix that permutes the pixels. Whatever a dense layer
# with the weights $\mathbf{W}$ makes of $x$, the layer whose columns are permuted alike makes of $\Pi x$, because
# $\Pi^\mathsf{T} \Pi$ is the identity:
#
# $$ (\mathbf{W} \Pi^\mathsf{T})\, (\Pi x) + b = \mathbf{W} x + b \tag{6.8} $$


# %%
def mlp():
    """Dense layers only, for images (28, 28, 1) of bytes: 621,760 parameters; the ten outputs are logits."""
    stack = [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten()]
    stack += [layers.Dense(570, activation="relu"), layers.Dense(300, activation="relu")]
    return keras.Sequential([*stack, layers.Dense(10)])


def dense_on_permuted(x, weights, b, order):
    """A dense layer with permuted columns on permuted inputs x (n, inputs). weights (outputs, inputs), b (outputs,)."""
    return x[:, order] @ weights[:, order].T + b  # (6.8)


# %% tags=["aside"]
# @title What proof (6.8) compares with
def keras_dense(x, weights, b, order):
    layer = layers.Dense(len(b))
    layer.build(x.shape)
    layer.set_weights([weights.T, b])
    return layer(x)


def dense_layers(count):
    for _ in range(count):
        n, inputs, outputs = rng.integers(1, 40, size=3)
        shapes = (n, inputs), (outputs, inputs), (outputs,)
        yield *(rng.normal(size=shape).astype("float32") for shape in shapes), rng.permutation(inputs)


# %%
prove("6.8", dense_on_permuted, keras_dense, cases=dense_layers(100), atol=1e-4)

# %% [markdown]
# The MLP's initial weights are drawn independently, so every matrix is as likely as the same with permuted columns; and
# Adam treats every weight by itself. For the MLP the two rows of Figure 6.1 are one problem, and the order changes its
# result by chance only. A convolution has no such freedom: its 25 weights belong to 25 neighbours.
#
# **Question 6.d.** Before you look: both networks train on digits with permuted pixels, each at its best learning rate.
# Which has the higher accuracy, `"LeNet"`, `"MLP"` or `"neither"`?

# %%
ask(
    "6.d",
    "MLP",
    why="It does as well as before. LeNet looks at 25 'neighbours' that have nothing to do with each other.",
    hint="Which of the two networks does (6.8) speak of? What are neighbours in the lower row of Figure 6.1?",
    choices=("LeNet", "MLP", "neither"),
)

# %% [markdown]
# Two networks, two orders; the same training digits (4,000 at most in the quick budget), epochs and mini-batches for
# all, three runs each from new initial weights. Each of the four gets the best of four learning rates, which a recorded
# sweep chose by the *validation* digits.


# %%
NETWORKS, RATES = {"LeNet": lenet5, "MLP": mlp}, (0.001, 0.003, 0.01, 0.03)
few = slice(budget(quick=4_000, full=54_000, least=500))
laps = budget(quick=5, full=20, least=1) if whole else budget(quick=10, full=20, least=1)


def arranged(images, arrangement):
    return images if arrangement == "in place" else permuted(images, order)


def trained(name, arrangement, rate, run=0):
    """A network of this name, trained on some of the digits in this arrangement. run: draws other initial weights."""
    keras.utils.set_random_seed(10 * seed() + run)
    network = NETWORKS[name]()
    some, held = ((arranged(images, arrangement), labels) for images, labels in (train, validation))
    fit(network, (some[0][few], some[1][few]), (held[0][:1000], held[1][:1000]), laps, batch=100, rate=rate)
    return network


def held_accuracy(name, arrangement, rate):
    """For `course measure --sweep`: the accuracy on the validation digits."""
    logits = predict(trained(name, arrangement, rate), arranged(validation[0], arrangement))
    return np.mean(logits.argmax(axis=1) == validation[1])


# %%
settings = {"name": list(NETWORKS), "arrangement": ["in place", "permuted"], "rate": RATES}
table = sorted(sweep("6.5", settings, held_accuracy), key=lambda row: row["value"])
best = {(row["name"], row["arrangement"]): row["rate"] for row in table}
hits = {}  # by network and arrangement, whether each test digit is classified correctly: (runs, digits)
for arrangement in settings["arrangement"]:
    images = arranged(test[0], arrangement)
    for name in NETWORKS:
        found = [trained(name, arrangement, best.get((name, arrangement), 0.003), run) for run in (1, 2, 3)]
        hits[name, arrangement] = np.array([predict(one, images).argmax(axis=1) == test[1] for one in found])

# %% tags=["aside"]
# @title Draws figure 6.5
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), width_ratios=[1, 1.1])
for name in NETWORKS:
    for arrangement, line in (("in place", "-"), ("permuted", "--")):
        rows = sorted((r["rate"], r["value"]) for r in table if (r["name"], r["arrangement"]) == (name, arrangement))
        style = {"ls": line, "marker": "os"[name == "MLP"], "ms": 4, "color": plots.COLOURS[name == "MLP"]}
        axes[0].plot(
            [rate for rate, _ in rows], [100 * value for _, value in rows], label=f"{name}, {arrangement}", **style
        )
axes[0].set(xscale="log", xlabel="learning rate", ylabel="accuracy, validation digits, %")
axes[0].legend(fontsize=8)
errors = {f"{name}, {arrangement}": 100 * (1 - found.mean(axis=1)) for (name, arrangement), found in hits.items()}
plots.draw_bars(axes[1], errors, "error rate on the test digits, %", highlight=[n for n in errors if "LeNet" in n])
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.5. Left: the recorded sweep, one run for each setting; at 0.03 LeNet no longer learns. Right: the error
# rates at the best learning rates; the bar is the mean of three runs, the circles.*
#
# Is such a difference more than luck? Both networks classify the same digits, so their accuracies are not independent,
# and (6.5) is of little use. Look only at the digits on which they differ: $q_1$ that only the first gets right, $q_2$
# that only the second does. If neither is better, each of these is the toss of a fair coin. The **McNemar test**
# (McNemar, 1947; here in its exact form) asks how probable a split at least as uneven would then be, the **p-value**:
#
# $$ \text{p-value} = \min\left(1,\; \frac{2}{2^{q_1 + q_2}} \sum_{i=0}^{\min(q_1,\, q_2)} \binom{q_1 + q_2}{i}\right)
#    \tag{6.9} $$
#
# A split of 12 against 4 looks clear, and has a p-value of 0.077: no proof. Mind what is tested: these two trained
# networks, not how other initial weights would do (Dietterich, 1998). That is what the three runs are for.


# %%
def mcnemar(first, second):
    """The p-value of McNemar's exact test (6.9). first, second: what each of two classifiers gets right, bools (n,)."""
    q1, q2 = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    tail = sum(math.comb(q1 + q2, i) for i in range(min(q1, q2) + 1))
    return min(1.0, 2 * tail / 2 ** (q1 + q2))  # (6.9)


# %% tags=["aside"]
# @title What proof (6.9) compares with
def scipy_binomial_test(first, second):
    only_first, only_second = np.sum(first > second), np.sum(second > first)
    return stats.binomtest(only_first, only_first + only_second).pvalue


def two_classifiers(count):
    for _ in range(count):
        first, second = rng.random((2, rng.integers(20, 400))) < rng.uniform(0.3, 0.9, size=(2, 1))
        yield first, second


# %%
prove("6.9", mcnemar, scipy_binomial_test, cases=two_classifiers(100))

# %%
for arrangement in settings["arrangement"]:
    for one, other in zip(hits["LeNet", arrangement], hits["MLP", arrangement]):
        only = f"only LeNet {np.sum(one & ~other):4}, only the MLP {np.sum(other & ~one):4}"
        print(f"{arrangement:>8}: {only}, p-value {mcnemar(one, other):.1g}")


# %%
def beats(winner, loser, arrangement, level):
    """Whether one network is better than the other in each of three runs, with p-values below a level."""
    pairs = list(zip(hits[winner, arrangement], hits[loser, arrangement]))
    return all(one.mean() > other.mean() and mcnemar(one, other) < level for one, other in pairs)


level = 0.001 if whole else 1.0  # on 1,000 embedded test digits the difference is too small to be told from chance
claim(
    "6.3",
    "with the pixels in place LeNet beats an MLP with ten times its parameters in three runs of three, each at the "
    "best of four learning rates; on MNIST's 10,000 test digits with p-values below 0.001",
    mlp().count_params() > 10 * lenet5().count_params() and beats("LeNet", "MLP", "in place", level),
    control=beats("LeNet", "MLP", "permuted", level),
)

# %%
claim(
    "6.4",
    "with the pixels permuted once for all images the MLP beats LeNet, in three runs of three, with p-values below "
    "0.001",
    beats("MLP", "LeNet", "permuted", 0.001),
    control=beats("MLP", "LeNet", "in place", 0.001),
)


# %%
def lost(name):
    """How many points of accuracy the permutation costs a network, as means of three runs."""
    return 100 * (hits[name, "in place"].mean() - hits[name, "permuted"].mean())


claim(
    "6.5",
    "the permutation changes the MLP's mean accuracy by less than one point; the control is LeNet's",
    abs(lost("MLP")) < 1,
    control=abs(lost("LeNet")) < 1,
)

# %% [markdown]
# The permuted digits hold the same information; LeNet has the same parameters, the same digits and the same training.
# What it lost is that neighbours belong together. What a model assumes before it sees data is its **inductive bias**.
# Where it is true, it is worth more than ten times the parameters; where it is false, it is a burden. Zhang et al.
# (2017) found that convolutional networks fit even training images with permuted pixels to the last: the bias decides
# how well such a network generalises, not whether it can fit.
#
# %% [markdown]
# ## Does it know when it does not know?
#
# A network says "a seven, 0.9". The probability of the class that it predicts is its **confidence**. If that means
# anything, nine in ten such predictions are correct; this agreement is called **calibration**. Divide the range from 0
# to 1 into equal intervals, and let a bin $\mathcal{B}$ hold the examples whose confidence lies in one of them. In each
# bin compare the accuracy with the mean confidence. Weighted by the size of the bins, the mean gap is the **expected
# calibration error** (Naeini et al., 2015), ECE:
#
# $$ \mathrm{ECE} = \sum_{\mathcal{B}} \frac{|\mathcal{B}|}{|\mathcal{D}|}\,
#    \bigl| \mathrm{acc}(\mathcal{B}) - \mathrm{conf}(\mathcal{B}) \bigr| \tag{6.10} $$


# %%
def reliability(confidence, correct, bins=15):
    """The number of examples in each bin, their accuracy and mean confidence: three arrays (bins,), 0 in empty bins."""
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(number, minlength=bins)
    hits = np.bincount(number, weights=correct, minlength=bins)
    total = np.bincount(number, weights=confidence, minlength=bins)
    return count, ratio(hits, count), ratio(total, count)


def calibration_error(confidence, correct, bins=15):
    count, acc, conf = reliability(confidence, correct, bins)
    return np.sum(count / len(confidence) * np.abs(acc - conf))  # (6.10)


# %% tags=["aside"]
# @title What proof (6.10) compares with
def scipy_calibration_error(confidence, correct, bins):
    gaps = stats.binned_statistic(confidence, confidence - correct, "sum", bins, range=(0, 1)).statistic
    return np.abs(gaps).sum() / len(confidence)


def rated_predictions(count):
    for _ in range(count):
        n = rng.integers(1, 200)
        confidence = rng.random(n) ** rng.choice([0.2, 1.0])
        yield confidence, (rng.random(n) < confidence**2).astype(float), int(rng.integers(1, 20))


# %%
prove("6.10", calibration_error, scipy_calibration_error, cases=rated_predictions(200))

# %% [markdown]
# Ask the network about the same digits at three places: where they are, moved to the right by one pixel, and by four.
# Take only test digits whose last four columns are empty, so that no stroke leaves the image: you would classify all
# three alike. MNIST's digits are centred by their centre of mass, so the network has hardly seen one that stands four
# pixels to the right. The **reliability diagram** shows all bins:

# %%
room = ~test[0][:, :, -4:].any(axis=(1, 2, 3))  # nothing in the last four columns
print(f"{room.sum():,} of {len(room):,} test digits have room for four pixels")
rated, gaps, overconfidence = {}, {}, {}
for pixels in (0, 1, 4):
    p = probabilities(model, np.roll(test[0][room], pixels, axis=2))
    confidence, hit = p.max(axis=1), p.argmax(axis=1) == test[1][room]
    rated[pixels] = confidence, hit
    gaps[pixels], overconfidence[pixels] = calibration_error(confidence, hit), confidence.mean() - hit.mean()

# %% tags=["aside"]
# @title Draws figure 6.6
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), sharey=True)
for axis, (pixels, (confidence, hit)) in zip(axes, rated.items()):
    count, acc, conf = reliability(confidence, hit)
    full = count > 0
    axis.plot([0, 1], [0, 1], color="black", linestyle=":", label="calibrated")
    axis.vlines(conf[full], acc[full], conf[full], color=plots.COLOURS[1], label="gap")
    axis.scatter(conf[full], acc[full], s=12 + 300 * count[full] / count.sum(), color=plots.COLOURS[0], zorder=3)
    said = f"moved by {pixels} pixel{'s' * (pixels > 1)}" if pixels else "in place"
    axis.set(title=f"{said}\naccuracy {hit.mean():.3f}, ECE {gaps[pixels]:.3f}", xlabel="mean confidence in the bin")
    axis.set(xlim=(-0.05, 1.08), ylim=(-0.05, 1.08))
axes[0].set_ylabel("accuracy in the bin")
axes[0].legend(loc="upper left")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.6. Reliability diagrams. The area of a dot is the share of its bin; below the dotted line the network is
# overconfident. The smallest dots are a handful of digits.*


# %%
def overconfident(pixels):
    """Whether the mean confidence is five points above the accuracy, and the ECE five times that in place."""
    return overconfidence[pixels] > 0.05 and gaps[pixels] > 5 * gaps[0]


claim(
    "6.6",
    "on digits moved by four pixels the ECE is over five times that in place, and the mean confidence over five points "
    "above the accuracy; on digits moved by one pixel it is not so",
    overconfident(4),
    control=overconfident(1),
)

# %% [markdown]
# A small ECE is a statement about data like those it was measured on, no more, and worth something only beside the
# accuracy: whoever always answers 1, as confident as ones are frequent, is calibrated too. Guo et al. (2017) found
# large networks overconfident even on their own test data, and repair most of that with a single number, in exercise
# 6.5. It does not repair a shift.
#
# ## A look inside
#
# What do the layers see? A model of the same layers that returns their outputs tells:

# %%
watched = "C1", "S2", "C3", "S4"
watch = keras.Model(model.inputs[0], [model.get_layer(name).output for name in watched])
seven = test[0][test[1] == 7][:1]
maps = [ops.convert_to_numpy(output)[0] for output in watch(seven)]

# %% tags=["aside"]
# @title Draws figure 6.7
figure = plt.figure(figsize=(9, 2.9))
grid = figure.add_gridspec(4, 17, width_ratios=[1.6, *[1] * 16])
plots.draw_image(figure.add_subplot(grid[:2, 9:13]), seven[0], "input")
for row, (name, output) in enumerate(zip(watched, maps)):
    label = figure.add_subplot(grid[row, 0])
    label.text(0.4, 0.5, f"{name}\n{output.shape[0]} × {output.shape[1]}", ha="center", va="center", fontsize=9)
    label.axis("off")
    for channel in range(output.shape[2]):
        axis = figure.add_subplot(grid[row, 1 + channel])
        plots.draw_image(axis, output[:, :, channel], limits=(0, output.max()))
plt.show()

# %% [markdown]
# *Figure 6.7. What the first test seven becomes: the six maps of C1 and S2, the sixteen of C3 and S4. Bright is a
# strong response.*
#
# The maps of C1 still show a seven, each with other parts of its strokes and edges lit. Those of C3 answer to parts. In
# S4 the seven is hard to recognise: 400 numbers say which part was found roughly where, and from these the dense layers
# decide.
#
# ## When the images stay on the disk
#
# MNIST fits in memory. Larger data are read, decoded and shuffled while training runs. TensorFlow's `tf.data` builds
# such an **input pipeline** step by step, and `fit` takes it on every backend. The order of the steps matters:


# %%
def pipeline(read, batch, examples):
    """A pipeline for `model.fit`. read: a function that yields (image (28, 28, 1), label), as many as `examples`."""
    import tensorflow as tf

    kinds = tf.TensorSpec((28, 28, 1), "uint8"), tf.TensorSpec((), "int64")
    steps = tf.data.Dataset.from_generator(read, output_signature=kinds)
    steps = steps.cache()  # keeps what the steps above have made, if memory allows
    steps = steps.shuffle(examples, seed=seed())  # below the cache: a new order in every epoch
    steps = steps.batch(batch)
    return steps.prefetch(2)  # prepares the next mini-batches while this one is in use


# %%
steps = pipeline(lambda: zip(digits[:640], mnist.y_train[:640]), batch=8, examples=64)
for epoch in (1, 2):
    print(f"epoch {epoch} begins with", *[labels.numpy() for _, labels in steps][0])

# %% [markdown]
# What do caching and prefetching buy? Let the disk and the network each need 50 milliseconds for a mini-batch, both
# played by pauses, and write down who works when. (`tf.data` adds a prefetch of its own where the last step has none.
# Here that is switched off, so that you can see what it does.)

# %% tags=["aside"]
# @title Draws figure 6.8
PAUSE, COUNT = 0.05, 4  # seconds for a mini-batch, on the disk and in the network; mini-batches in an epoch
reads = []  # when the disk began and ended each mini-batch


def slow_disk():
    for i in range(COUNT):
        began = time.perf_counter()
        time.sleep(PAUSE)
        reads.append((began, time.perf_counter()))
        yield i


def four_pipelines():
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    read = tf.data.Dataset.from_generator(slow_disk, output_signature=tf.TensorSpec((), "int64"))
    steps = {"neither": read, "prefetch": read.prefetch(2), "cache": read.cache()}
    steps["cache and prefetch"] = read.cache().prefetch(2)
    return {name: one.with_options(options) for name, one in steps.items()}


def two_epochs(steps):
    """When the disk and when the network worked: two lists of (begin, end), in seconds."""
    reads.clear()
    start, uses = time.perf_counter(), []
    for _ in range(2):
        for _ in steps:
            began = time.perf_counter()
            time.sleep(PAUSE)
            uses.append((began, time.perf_counter()))
    return [[(a - start, b - start) for a, b in work] for work in (reads, uses)]


figure, axes = plt.subplots(4, 1, figsize=(8, 3.6), sharex=True)
for axis, (name, steps) in zip(axes, four_pipelines().items()):
    for row, (work, colour) in enumerate(zip(two_epochs(steps), (plots.COLOURS[1], plots.COLOURS[0]))):
        axis.broken_barh([(a, b - a) for a, b in work], (row - 0.4, 0.8), fc=colour, ec="white")
    axis.set(yticks=[0, 1], yticklabels=["disk", "network"], ylim=(1.5, -0.5))
    axis.set_title(name, loc="left", fontsize=9, pad=2)
axes[-1].set_xlabel("seconds")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.8. Who works when, in two epochs of four mini-batches. Without either step they take turns. Prefetching lets
# them work at the same time. With a cache the disk rests from the second epoch on.*


# %%
def read_meanwhile(steps):
    """How many mini-batches the disk reads while the network is busy with its first one, for a second at most."""
    reads.clear()
    iterator, until = iter(steps), time.perf_counter() + 1
    next(iterator)
    while len(reads) < 2 and time.perf_counter() < until:
        time.sleep(0.01)
    return len(reads) - 1


def works(prefetched, cached):
    return read_meanwhile(prefetched) > 0 and len(two_epochs(cached)[0]) == COUNT


steps = four_pipelines()
claim(
    "6.7",
    "prefetching reads on while the network is busy with its first mini-batch, and with a cache two epochs read each "
    "mini-batch once",
    works(steps["prefetch"], steps["cache"]),
    control=works(steps["neither"], steps["neither"]),
)

# %% [markdown]
# `shuffle` has a trap. It keeps a **shuffle buffer** of some examples, lets a random one out, and puts the next one
# from the disk in its place. Example $i$ enters a buffer of $B$ places only when $i - B + 1$ others have left it, so
# the earliest place at which it can come out is
#
# $$ \max(0,\; i - B + 1) \tag{6.11} $$


# %%
def earliest(i, places):
    """The earliest place, counted from 0, at which example i can leave a shuffle buffer."""
    return max(0, i - places + 1)  # (6.11)


def through_buffer(count, places, rng):
    """The order in which the examples 0 to count - 1 leave a shuffle buffer: an array (count,)."""
    buffer, left = [], []
    for example in range(count):
        buffer.append(example)
        if len(buffer) == places:
            left.append(buffer.pop(rng.integers(places)))
    return np.array(left + list(rng.permutation(buffer).astype(int)))


# %% tags=["aside"]
# @title What proof (6.11) compares with, and draws figure 6.9
def earliest_of_all_orders(i, places, count=6):
    """The same by trying every choice that the buffer could make."""

    def orders(buffer, waiting):
        while waiting and len(buffer) < places:
            buffer, waiting = [*buffer, waiting[0]], waiting[1:]
        if not buffer:
            yield []
        for example in buffer:
            for rest in orders([other for other in buffer if other != example], waiting):
                yield [example, *rest]

    return min(order.index(i) for order in orders([], list(range(count))))


def draw_buffers(sizes, count=1000):
    figure, axes = plt.subplots(1, len(sizes), figsize=(8.5, 2.9), sharey=True)
    for axis, places in zip(axes, sizes):
        axis.scatter(np.arange(count), through_buffer(count, places, rng), s=3, color=plots.COLOURS[0])
        axis.plot([0, count - places], [places - 1, count - 1], color=plots.COLOURS[1], linestyle="--")
        axis.set(title=f"$B = {places}$", xlabel="place in the epoch")
    axes[0].set_ylabel("place on the disk")
    figure.tight_layout()
    plt.show()


# %%
prove("6.11", earliest, earliest_of_all_orders, cases=((i, places) for i in range(6) for places in range(1, 7)))

# %%
draw_buffers((1, 100, 1000))

# %% [markdown]
# *Figure 6.9. A thousand examples pass a shuffle buffer. One place changes nothing, a hundred blur the order, and only
# a buffer for all mixes them. By (6.11) no dot lies above the dashed line.*
#
# On a disk that is sorted by class, a small buffer means that every epoch begins without a single nine. **Try it.** In
# `pipeline`, put `shuffle` above `cache`, and run the cell below it again: the cache has frozen the order.
#
# ## Debug it
#
# The cell below is typical of tutorials. It runs, and its last line is what the author reports. Which of the three
# parts of the data is missing, and who does its work?


# %%
def reported_accuracy(model, train, test, epochs):
    stop = keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=5, restore_best_weights=True)
    model.fit(*train, validation_data=test, epochs=epochs, callbacks=[stop], verbose=0)
    return model.evaluate(*test, verbose=0)[1]


# %% [markdown]
# The test digits choose the epoch, and are then asked how good the choice was. To see what that does, take the learning
# away. A "network" guesses digits at random, anew in each of forty epochs, and is tested on 1,000 digits. Every epoch's
# true accuracy is 0.1. Report it twice, in two thousand experiments: for an epoch that other digits have chosen, and
# for the best epoch on the test digits themselves.

# %%
scores = rng.binomial(1000, 0.1, size=(2000, 40)) / 1000  # tests of guesses, one row for each experiment
chosen_elsewhere = scores[np.arange(2000), rng.integers(40, size=2000)]
chosen_by_test = scores.max(axis=1)

# %% tags=["aside"]
# @title Draws figure 6.10
figure, axis = plt.subplots(figsize=(7.5, 2.6))
bins = np.arange(0.0645, 0.15, 0.003)
axis.hist(chosen_elsewhere, bins, color=plots.COLOURS[0], label="epoch chosen by others")
hatched = {"color": plots.COLOURS[1], "alpha": 0.75, "hatch": "//", "edgecolor": "white"}
axis.hist(chosen_by_test, bins, label="by the test digits", **hatched)
axis.axvline(0.1, color="black", linestyle=":", label="the truth")
axis.set(xlabel="reported accuracy", ylabel="experiments")
axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 6.10. What is reported of guessing, when forty epochs are there to choose from.*

# %%
claim(
    "6.8",
    "of forty epochs of guessing, the one that 1,000 test digits choose is reported two standard errors too good in "
    "the mean of 2,000 experiments; one that others choose is not",
    chosen_by_test.mean() > 0.1 + 2 * standard_error(0.1, 1000),
    control=chosen_elsewhere.mean() > 0.1 + 2 * standard_error(0.1, 1000),
)

# %% [markdown]
# The epochs of one training run resemble each other more than guesses do, so there the flattery is smaller. But the
# same happens with learning rates, widths and seeds. The repair is yours, in exercise 6.6. The habit to keep: **ask of
# every number that you report which choices it has already made.**
#
# ## This run

# %%
record(
    test_accuracy=correct.mean(),
    mean_f1=f1(matrix).mean(),
    calibration_error=gaps[0],
    calibration_error_moved=gaps[4],
    lenet_in_place=hits["LeNet", "in place"].mean(),
    mlp_in_place=hits["MLP", "in place"].mean(),
    lenet_permuted=hits["LeNet", "permuted"].mean(),
    mlp_permuted=hits["MLP", "permuted"].mean(),
    paper={"test_accuracy": 0.9905},
)

# %% [markdown]
# The paper reports an error rate of 0.95 % for LeNet-5, and of 0.8 % with distorted training digits as well.
#
# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use.
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
    Raises ValueError where a row is of another kind; its message names the number of the row,
    counted from 1.

    >>> rows = [("conv", 6, 5, "same"), ("pool",), ("conv", 16, 5, "valid"), ("pool",)]
    >>> from_table(28, 1, rows + [("dense", 120), ("dense", 84), ("dense", 10)]).count_params()
    61706
    """
    ### BEGIN SOLUTION
    x = inputs = keras.Input((size, size, channels))
    for number, row in enumerate(rows, start=1):
        match row:
            case ("conv", kernels, kernel_size, padding):
                x = layers.Conv2D(kernels, kernel_size, padding=padding, activation="relu")(x)
            case ("pool",):
                x = layers.MaxPooling2D(2)(x)
            case ("dense", units):
                x = layers.Dense(units, activation=None if number == len(rows) else "relu")(layers.Flatten()(x))
            case _:
                raise ValueError(f"row {number} is {row}: the kinds are conv, pool and dense")
    return keras.Model(inputs, x)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import keras
import numpy as np
from keras import layers

ex = exercise("6.1", rtol=1e-2, atol=0.02)  # a GPU may multiply with ten bits
ex.hints(
    "Begin with `x = keras.Input(...)`, and let each row make a layer and apply it to `x`.",
    "Two things depend on the place of a row: a `Flatten` comes before the first dense one, no ReLU after the last.",
    "`enumerate(rows, start=1)` counts as the message must. Ask for the kind by name, and refuse any other.",
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
    yield 8, 1, [("conv", 2, 3, "same"), ("pool",), ("batch",), ("dense", 3)], 6
    yield 5, 1, [("dense", 3), ("dense", 3)], 7  # a hidden row like the last one
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
    for number, row in enumerate(rows, start=1):
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
            raise naming(ValueError, number)
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
    for number, row in enumerate(rows, start=1):
        if row[0] == "conv":
            x = layers.Conv2D(row[1], row[2], padding=padding or row[3])(x)
            x = layers.Activation(hidden)(x) if hidden else x
        elif row[0] == "pool":
            x = pool(2)(x)
        elif row[0] == "dense":
            x = layers.Dense(row[1])(layers.Flatten()(x) if len(x.shape) > 2 else x)
            name = last if number == len(rows) else hidden
            x = layers.Activation(name)(x) if name else x
        elif unknown == "raise":
            raise ValueError(f"row {number} is of no known kind")
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
def sequential(size, channels, rows):
    make = {
        "conv": lambda kernels, size, padding: [layers.Conv2D(kernels, size, padding=padding), layers.ReLU()],
        "pool": lambda: [layers.MaxPooling2D()],
        "dense": lambda units: [layers.Flatten(), layers.Dense(units), layers.ReLU()],
    }
    stack = []
    for kind, *sizes in rows:
        if kind not in make:
            raise ValueError(f"no row is {kind}, as number {[row[0] for row in rows].index(kind) + 1} is")
        stack += make[kind](*sizes)
    return keras.Sequential([keras.Input((size, size, channels)), *stack[:-1]])


# %%
check("6.1", from_table)

# %% [markdown]
# **Exercise 6.2 ★★★** The mean F1 of all classes is called *macro* F1, and many competitions rank by it (Opitz & Burst,
# 2019, warn of a second formula under that name). To watch it during training you would compute it for each mini-batch
# and take the mean, as much code on the web does. That is wrong: F1 is no mean over examples. Write a metric
# that counts over the whole epoch.


# %%
# Exercise 6.2
class MacroF1(keras.metrics.Metric):
    """The macro F1 of all examples since the last reset: the mean over all classes of F1 (6.7).

    MacroF1(classes, name="macro_f1"): classes is a whole number >= 2.
    update_state(y_true, y_pred, sample_weight=None) counts a mini-batch in. y_true: labels,
    ints (batch,). y_pred: logits (batch, classes), of which the largest is the prediction.
    sample_weight: floats (batch,), as how many examples each one counts; None: each as one.
    result(): the macro F1 so far, a number. Where a class's F1 would be 0 / 0, since it is
    neither present nor predicted, it is 0, and the class does count in the mean.
    reset_state(), which `fit` calls at the start of an epoch: nothing is counted yet.
    All counts are kept in variables of the metric, which `add_variable` makes: `fit` finds
    them there, and the `reset_state` of Keras sets them to 0.
    Example: two classes, labels 0, 0, 1 predicted as 0, 1, 1: both F1 are 2/3, and so is the mean.
    """

    def __init__(self, classes, name="macro_f1"):
        super().__init__(name=name)
        ### BEGIN SOLUTION
        self.classes = classes
        self.matrix = self.add_variable((classes, classes), initializer="zeros", name="confusion_matrix")
        ### END SOLUTION

    def update_state(self, y_true, y_pred, sample_weight=None):
        ### BEGIN SOLUTION
        true = ops.one_hot(y_true, self.classes)
        if sample_weight is not None:
            true = true * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        predicted = ops.one_hot(ops.argmax(y_pred, axis=1), self.classes)
        self.matrix.assign_add(ops.matmul(ops.transpose(true), predicted))
        ### END SOLUTION

    def result(self):
        ### BEGIN SOLUTION
        both = ops.diagonal(self.matrix)
        present_and_predicted = ops.sum(self.matrix, axis=0) + ops.sum(self.matrix, axis=1)
        return ops.mean(ops.divide_no_nan(2 * both, present_and_predicted))
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import ops

ex = exercise("6.2", rtol=1e-4, atol=1e-5)
ex.hints(
    "Which counts does F1 need, and can they be added up from one mini-batch to the next?",
    "A confusion matrix can. With labels and predictions as one-hot matrices it is one matrix product, and a sample's "
    "weight multiplies its row.",
    "F1 is 2 * both / (present + predicted), by rows, columns and diagonal of the matrix; `ops.divide_no_nan` gives 0 "
    "for 0 / 0.",
)


@ex.cases
def _(rng):
    def logits(predicted, classes):
        values = np.eye(classes)[predicted] * 4 - rng.integers(0, 9, (len(predicted), classes)) / 4 - 1
        return values.astype("float32")

    def case(classes, size, count, weighted):
        batches = []
        for _ in range(count):
            y = np.minimum(rng.integers(classes, size=size), rng.integers(classes, size=size))  # small ones are common
            guess = np.where(rng.random(size) < 0.6, y, rng.integers(classes, size=size))
            weights = (rng.integers(0, 13, size) / 4).astype("float32") if weighted else None
            batches.append((y, logits(guess, classes), weights))
        return classes, batches

    yield 2, [(np.array([0, 0, 1]), np.float32([[2.0, -1.0], [-1.0, 0.5], [0.0, 0.25]]), None)]
    yield 3, [(np.array([0, 0]), logits([0, 0], 3), None), (np.array([1]), logits([0], 3), None)]
    yield 4, [(np.array([3, 3, 1]), logits([3, 1, 3], 4), None)]
    yield 3, [(np.array([2, 1, 1]), logits([2, 2, 1], 3), np.float32([0.5, 2.0, 0.0]))]
    yield 3, [(np.array([2, 1]), logits([2, 2], 3), np.float32([0.0, 0.0]))]
    yield 3, [(np.array([2, 0]), logits([2, 0], 3), np.float32([0.25, 0.5]))]
    for number in range(10):
        yield case(int(rng.integers(2, 6)), int(rng.integers(4, 10)), int(rng.integers(2, 4)), number % 2 == 1)


ex.shown_as("""
metric = MacroF1(classes)
for y_true, y_pred, sample_weight in batches:
    metric.update_state(y_true, y_pred, sample_weight)
    print(float(metric.result()))
""")


@ex.drive
def counted(answer, classes, batches):
    metric, other = answer(classes), answer(classes + 1, name="another")
    results = []
    for y, logits, weights in batches:
        metric.update_state(y, logits, **({} if weights is None else {"sample_weight": weights}))
        results.append(metric.result())
    y, logits, _ = batches[0]
    of_other = [other.result()]
    other.update_state(np.append(y, classes), np.eye(classes + 1, dtype="float32")[np.append(y, 0)])
    of_other.append(other.result())
    values = [variable.value for variable in metric.variables]
    kept = metric.stateless_result(metric.stateless_update_state(values, y, logits))
    metric.reset_state()
    metric.update_state(y, logits)
    return {
        "names": [metric.name, other.name],
        "result after each mini-batch": results,
        "result of another one, before and after a mini-batch": of_other,
        "result after the first mini-batch once more, as `fit` computes it": kept,
        "result after a reset and the first mini-batch": metric.result(),
    }


@ex.oracle
def _(classes, batches):
    from sklearn.metrics import f1_score

    def macro(batches, classes):
        if not batches:
            return 0.0
        y = np.concatenate([y for y, _, _ in batches])
        predicted = np.concatenate([np.argmax(logits, axis=1) for _, logits, _ in batches])
        weights = np.concatenate([np.ones(len(y)) if weights is None else weights for y, _, weights in batches])
        settings = {"labels": range(classes), "average": "macro", "zero_division": 0}
        if not weights.any():  # which scikit-learn refuses
            return 0.0
        return float(f1_score(y, predicted, sample_weight=weights, **settings))

    y, logits, _ = batches[0]
    more = np.append(y, classes), np.eye(classes + 1)[np.append(y, 0)], None
    return {
        "names": ["macro_f1", "another"],
        "result after each mini-batch": [macro(batches[: i + 1], classes) for i in range(len(batches))],
        "result of another one, before and after a mini-batch": [0.0, macro([more], classes + 1)],
        "result after the first mini-batch once more, as `fit` computes it": macro(
            [*batches, (y, logits, None)], classes
        ),
        "result after a reset and the first mini-batch": macro([(y, logits, None)], classes),
    }


class _Base(keras.metrics.Metric):
    weighted = True

    def __init__(self, classes, name="macro_f1"):
        super().__init__(name=name)
        self.classes = classes
        self.matrix = self.add_variable((classes, classes), initializer="zeros")

    def counts(self, y_true, y_pred, sample_weight):
        true = ops.one_hot(y_true, self.classes)
        if sample_weight is not None and self.weighted:
            true = true * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        return ops.transpose(true) @ ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.matrix.assign_add(self.counts(y_true, y_pred, sample_weight))

    def parts(self):
        return ops.diagonal(self.matrix), ops.sum(self.matrix, axis=1), ops.sum(self.matrix, axis=0)

    def result(self):
        both, present, predicted = self.parts()
        return ops.mean(ops.divide_no_nan(2 * both, present + predicted))


@ex.wrong
class mean_of_batches(_Base):
    """This is the mean of the mini-batches' F1. F1 is no mean over examples: add up the counts, and divide at the
    end."""

    def __init__(self, classes, name="macro_f1"):
        super().__init__(classes, name)
        self.total = self.add_variable((), initializer="zeros")
        self.batches = self.add_variable((), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.matrix.assign(self.counts(y_true, y_pred, sample_weight))
        self.total.assign_add(_Base.result(self))
        self.batches.assign_add(1.0)

    def result(self):
        return ops.divide_no_nan(self.total, self.batches)


@ex.wrong
class last_batch(_Base):
    """Only the last mini-batch counts: `assign` replaces what was counted before, `assign_add` adds to it."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.matrix.assign(self.counts(y_true, y_pred, sample_weight))


@ex.wrong
class micro(_Base):
    """The hits of all classes are added up before dividing: that is the micro F1, which here is the accuracy, and lets
    the common classes outvote the rare ones."""

    def result(self):
        both, present, _ = self.parts()
        return ops.divide_no_nan(ops.sum(both), ops.sum(present))


@ex.wrong
class of_the_means(_Base):
    """This is the F1 of the mean precision and the mean recall, the second formula. Here it is the mean of the classes'
    own F1."""

    def result(self):
        both, present, predicted = self.parts()
        p, r = (ops.mean(ops.divide_no_nan(both, one)) for one in (predicted, present))
        return ops.divide_no_nan(2 * p * r, p + r)


@ex.wrong
class only_classes_seen(_Base):
    """Classes that are neither present nor predicted are left out of the mean; the docstring counts them as 0, so
    divide by the number of classes."""

    def result(self):
        both, present, predicted = self.parts()
        seen = ops.sum(ops.cast(present + predicted > 0, "float32"))
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(2 * both, present + predicted)), seen)


@ex.wrong
class nothing_over_nothing(_Base):
    """A class that is neither present nor predicted gives 0 / 0, which is not a number and makes the mean one too;
    count it as 0."""

    def result(self):
        both, present, predicted = self.parts()
        return ops.mean(2 * both / (present + predicted))


@ex.wrong
class without_weights(_Base):
    """`sample_weight` is not used: an example of weight 2 is to count as two, one of weight 0 not at all."""

    weighted = False


@ex.wrong
class arithmetic(_Base):
    """This averages precision and recall by halves. F1 is their harmonic mean, which is pulled towards the smaller."""

    def result(self):
        both, present, predicted = self.parts()
        return ops.mean(ops.divide_no_nan(both, present) + ops.divide_no_nan(both, predicted)) / 2


@ex.wrong
class recall_only(_Base):
    """This is the mean recall: it does not see how often a class is predicted where it is not."""

    def result(self):
        both, present, _ = self.parts()
        return ops.mean(ops.divide_no_nan(both, present))


@ex.wrong
class kept_outside(_Base):
    """The counts are kept in an attribute, where neither `fit` nor `reset_state` finds them: make a variable with
    `add_variable`, and change it by `assign_add`."""

    def __init__(self, classes, name="macro_f1"):
        super().__init__(classes, name)
        self.plain = 0.0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.plain = self.plain + self.counts(y_true, y_pred, sample_weight)

    def parts(self):
        matrix = ops.zeros((self.classes, self.classes)) + self.plain
        return ops.diagonal(matrix), ops.sum(matrix, axis=1), ops.sum(matrix, axis=0)


@ex.right
class by_three_counts(keras.metrics.Metric):
    def __init__(self, classes, name="macro_f1"):
        super().__init__(name=name)
        self.labels = np.arange(classes)[:, None]
        self.both = self.add_weight(shape=(classes,), initializer="zeros")
        self.either = self.add_weight(shape=(classes,), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, "float32")
        true = ops.cast(ops.equal(x1=self.labels, x2=y_true), "float32")
        predicted = ops.cast(ops.equal(x1=self.labels, x2=ops.argmax(y_pred, axis=-1)), "float32")
        self.both.assign(self.both + ops.sum(true * predicted * weight, axis=1))
        self.either.assign(self.either + ops.sum((true + predicted) * weight, axis=1))

    def result(self):
        return ops.mean(ops.where(self.either > 0, 2 * self.both / self.either, 0.0))


# %%
check("6.2", MacroF1)

# %% [markdown]
# **Exercise 6.3 ★** You collect digits yourself, many from each of some writers, and know who wrote which. Split them
# so that the validation digits are by people whom the network has never seen.


# %%
# Exercise 6.3
def split_by_writer(writers, order, share):
    """Positions of the training and of the validation images, so that no writer has images in
    both.

    writers: int array (n,), the writer of each image. order: int array, every writer once.
    share: the share of the images that is wanted for validation. All images of the writer
    order[0] go to validation, then all of order[1], and so on, until there are at least
    share * n images.
    Returns (train, validation): two int arrays of positions, each in increasing order, that
    together hold 0 to n - 1 once each.
    Raises ValueError unless 0 < share < 1, and its message names "share". Raises ValueError
    where no image would be left for training, and its message names "training".

    >>> split_by_writer(np.array([7, 9, 9, 7]), np.array([9, 7]), share=0.5)
    (array([0, 3]), array([1, 2]))
    """
    ### BEGIN SOLUTION
    if not 0 < share < 1:
        raise ValueError(f"the share must lie between 0 and 1, and is {share}")
    held = np.zeros(len(writers), dtype=bool)
    for writer in order:
        if held.sum() >= share * len(writers):
            break
        held |= writers == writer
    if held.all():
        raise ValueError("no image is left for training")
    return np.flatnonzero(~held), np.flatnonzero(held)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import numpy as np

ex = exercise("6.3")
ex.hints(
    "Take writers, not images, one after the other, until it is enough.",
    "Keep for each image whether it is held back. Before each writer, count how many are.",
    "`writers == writer` says which images are by one of them, and `np.flatnonzero` turns a mask into positions.",
)


@ex.cases
def _(rng):
    yield np.array([7, 9, 9, 7]), np.array([9, 7]), 0.5
    yield np.array([7, 9, 9, 7, 8]), np.array([8, 9, 7]), 0.5
    yield np.array([4, 4, 4, 5]), np.array([5, 4]), 0.25
    yield np.array([8, 8, 9, 9, 7]), np.array([8, 9, 7]), 0.5  # two and a half images
    yield np.array([5, 5, 5, 6, 6, 4, 4]), np.array([5, 6, 4]), 0.5
    yield np.array([1, 1, 2, 2, 2, 3, 3, 3, 3]), np.array([1, 2, 3]), 0.25
    for _ in range(14):
        sizes = rng.integers(1, 12, size=rng.integers(5, 10))
        names = rng.choice(100, size=len(sizes), replace=False)
        share = float(rng.choice([0.125, 0.25, 0.375, 0.5]))
        yield rng.permutation(np.repeat(names, sizes)), rng.permutation(names), share
    yield np.array([4, 4, 4, 5]), np.array([5, 4]), 0.5  # both writers are needed
    yield np.array([3, 3, 3]), np.array([3]), 0.25
    for share in (0.0, 1.0, 1.5, -0.25):
        yield np.array([1, 1, 2, 3]), np.array([3, 2, 1]), share


@ex.oracle
def _(writers, order, share):
    if share <= 0 or share >= 1:
        raise naming(ValueError, "share")
    images = {writer: [i for i, one in enumerate(writers) if one == writer] for writer in order}
    validation = []
    for writer in order:
        if len(validation) < share * len(writers):
            validation += images[writer]
    if len(validation) == len(writers):
        raise naming(ValueError, "training")
    train = [i for i in range(len(writers)) if i not in validation]
    return np.array(train), np.array(sorted(validation))


def taken(writers, order, share, enough=lambda held, share: held.sum() >= share * len(held), refuse=True):
    if refuse and not 0 < share < 1:
        raise ValueError("share")
    held = np.zeros(len(writers), dtype=bool)
    for writer in order:
        if enough(held, share):
            break
        held = held | (writers == writer)
    if refuse and held.all():
        raise ValueError("training")
    return np.flatnonzero(~held), np.flatnonzero(held)


@ex.wrong
def by_images(writers, order, share):
    """This splits images, not writers: some writers have images in both parts."""
    if not 0 < share < 1:
        raise ValueError("share")
    count = int(np.ceil(share * len(writers)))
    if len(order) == 1:
        raise ValueError("training")
    return np.arange(count, len(writers)), np.arange(count)


@ex.wrong
def share_of_writers(writers, order, share):
    """This takes a share of the writers. Some write much and some little, so count their images while you take them."""
    if not 0 < share < 1:
        raise ValueError("share")
    held = np.isin(writers, order[: int(np.ceil(share * len(order)))])
    if held.all():
        raise ValueError("training")
    return np.flatnonzero(~held), np.flatnonzero(held)


@ex.wrong
def in_another_order(writers, order, share):
    """The writers are not taken as `order` says, but in the order of their numbers."""
    return taken(writers, np.sort(order), share)


@ex.wrong
def parts_exchanged(writers, order, share):
    """The two parts are exchanged: training comes first in what is returned."""
    return taken(writers, order, share)[::-1]


@ex.wrong
def training_on_all(writers, order, share):
    """The validation images are still among the training images: take them out."""
    return np.arange(len(writers)), taken(writers, order, share)[1]


@ex.wrong
def names_of_writers(writers, order, share):
    """This returns the writers of the images, not the positions of the images in `writers`."""
    return tuple(writers[part] for part in taken(writers, order, share))


@ex.wrong
def one_too_many(writers, order, share):
    """One writer too many goes to validation where the share is met exactly: "at least" allows that."""
    return taken(writers, order, share, lambda held, share: held.sum() > share * len(held))


@ex.wrong
def truncates(writers, order, share):
    """`share * n` is cut to a whole number, so validation may have too few images: compare with share * n itself."""
    return taken(writers, order, share, lambda held, share: held.sum() >= int(share * len(held)))


@ex.wrong
def stops_too_early(writers, order, share):
    """Validation has fewer images than wanted: the writer with whom the share is reached belongs to it too."""
    chosen = taken(writers, order, share)[1]
    last = [writer for writer in order if writer in set(writers[chosen].tolist())][-1]
    inside = np.isin(np.arange(len(writers)), chosen) & (writers != last)
    return np.flatnonzero(~inside), np.flatnonzero(inside)


@ex.wrong
def refuses_nothing(writers, order, share):
    """A share that is not between 0 and 1 is to be refused, and so is a split that leaves nothing to train on: raise
    ValueError."""
    return taken(writers, order, share, refuse=False)


@ex.right
def by_cumulative_count(writers, order, share):
    if share <= 0 or share >= 1:
        raise ValueError("share must be a fraction")
    counts = [int(np.sum(writers == writer)) for writer in order]
    before = np.cumsum(counts) - counts  # how many images are held back when a writer's turn comes
    inside = np.isin(writers, order[before < share * len(writers)])
    if inside.all():
        raise ValueError("every writer is needed for validation, which leaves none for training")
    positions = np.arange(len(writers))
    return positions[~inside], positions[inside]


# %%
check("6.3", split_by_writer)

# %% [markdown]
# **Exercise 6.4 ★★** Overfitting shows in the gap between the accuracies on training and on validation data. Write a
# callback that keeps the gap of each epoch, and ends training when it has been too wide for too long.


# %%
# Exercise 6.4
class GapStop(keras.callbacks.Callback):
    """Ends training when the gap was wider than `limit` in `patience` epochs in a row.

    limit: a number. patience: whole number, 1 or more. The gap of an epoch is
    logs["accuracy"] - logs["val_accuracy"]. The attribute `gaps` is a dict from the number of
    an epoch, as `fit` gives it, to its gap, of the present run or of the last one: a run of
    `fit` begins with an empty dict, and counts anew, also where the same callback has served
    before. A stop that another callback has asked for stays.
    Raises ValueError at the end of an epoch whose logs have no "val_accuracy"; its message
    names "val_accuracy".

    >>> stop = GapStop(limit=0.1, patience=3)
    >>> model.fit(x, y, validation_data=(u, v), epochs=100, callbacks=[stop])
    """

    def __init__(self, limit, patience):
        super().__init__()
        ### BEGIN SOLUTION
        self.limit, self.patience = limit, patience
        ### END SOLUTION

    def on_train_begin(self, logs=None):
        ### BEGIN SOLUTION
        self.gaps, self.wide = {}, 0
        ### END SOLUTION

    def on_epoch_end(self, epoch, logs=None):
        ### BEGIN SOLUTION
        if "val_accuracy" not in logs:
            raise ValueError("there is no val_accuracy: give fit validation_data, and compile the metric accuracy")
        gap = self.gaps[epoch] = logs["accuracy"] - logs["val_accuracy"]
        self.wide = self.wide + 1 if gap > self.limit else 0
        if self.wide >= self.patience:
            self.model.stop_training = True
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

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

    yield 1 / 8, 2, [(0, [(0.5, 0.5), (0.75, 0.5), (0.75, 0.5), (0.75, 0.5)])]
    yield 1 / 4, 1, [(0, [(0.75, 0.5), (0.75, 0.5), (0.875, 0.5), (1.0, 0.5)])]  # a gap of exactly the limit
    yield 1 / 8, 2, [(0, [(0.75, 0.5), (0.5, 0.5)] * 3)]  # wide every second time
    yield 1 / 8, 2, [(0, [(0.75, 0.5)]), (0, [(0.75, 0.5), (0.5, 0.5), (0.75, 0.5)])]  # two runs
    yield 1 / 8, 3, [(0, [(0.75, 0.5)] * 2), (2, [(0.75, 0.5), (0.75, 0.5), (0.5, 0.5)])]  # the second from epoch 2 on
    yield 1 / 8, 1, [(0, [(0.5, 0.75), (0.5, 0.875), (0.5, 0.5)])]  # better on validation
    for _ in range(15):
        runs = [(int(rng.integers(0, 3)), accuracies(int(rng.integers(4, 15)))) for _ in range(rng.integers(1, 3))]
        yield int(rng.integers(1, 6)) / 64, int(rng.integers(1, 4)), runs
    yield 1 / 8, 2, [(0, [(0.5, 0.5), (0.5, None)])]
    yield 1 / 8, 1, [(0, [(0.5, None)])]


ex.shown_as("""
callback = GapStop(limit, patience)
callback.set_model(keras.Sequential())
for first_epoch, run in runs:
    callback.model.stop_training = False
    callback.on_train_begin()
    for epoch, (training, validation) in enumerate(run, start=first_epoch):
        if epoch == first_epoch + len(run) - 1:
            callback.model.stop_training = True
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
    for first_epoch, run in runs:
        network.stop_training = False
        callback.on_train_begin()
        for epoch, (training, validation) in enumerate(run, start=first_epoch):
            callback.on_epoch_begin(epoch)
            network.stop_training = epoch == first_epoch + len(run) - 1  # as another callback may have asked
            logs = {"loss": 1.0, "accuracy": training, "val_loss": 1.0, "val_accuracy": validation}
            if validation is None:
                del logs["val_loss"], logs["val_accuracy"]
            callback.on_epoch_end(epoch, logs)
            if network.stop_training:
                break
        callback.on_train_end()
        trained = {"epochs trained": epoch + 1 - first_epoch, "stopped at the end": bool(network.stop_training)}
        report.append(trained | {"gaps": dict(callback.gaps)})
    return report


@ex.oracle
def _(limit, patience, runs):
    report = []
    for first_epoch, run in runs:
        if any(validation is None for _, validation in run):
            raise naming(ValueError, "val_accuracy")
        gaps = [training - validation for training, validation in run]
        wide = [gap > limit for gap in gaps]
        ends = [e for e in range(patience, len(run) + 1) if all(wide[e - patience : e])]
        end = ends[0] if ends else len(run)
        trained = {"epochs trained": end, "stopped at the end": True}
        report.append(trained | {"gaps": {first_epoch + i: gap for i, gap in enumerate(gaps[:end])}})
    return report


class Gaps(keras.callbacks.Callback):
    def __init__(self, limit, patience):
        super().__init__()
        self.limit, self.patience, self.gaps, self.wide = limit, patience, {}, 0

    def on_train_begin(self, logs=None):
        self.gaps, self.wide = {}, 0

    def on_epoch_end(self, epoch, logs=None):
        if "val_accuracy" not in logs:
            raise ValueError("no val_accuracy")
        gap = self.gaps[self.number(epoch)] = self.gap(logs)
        self.wide = self.counted(self.too_wide(gap))
        if self.enough():
            self.model.stop_training = True

    def number(self, epoch):
        return epoch

    def gap(self, logs):
        return logs["accuracy"] - logs["val_accuracy"]

    def too_wide(self, gap):
        return gap > self.limit

    def counted(self, wide):
        return self.wide + 1 if wide else 0

    def enough(self):
        return self.wide >= self.patience


@ex.wrong
class not_in_a_row(Gaps):
    """The count of wide epochs never goes back to 0, so they are counted together, not in a row."""

    def counted(self, wide):
        return self.wide + wide


@ex.wrong
class goes_on_from_the_last_run(Gaps):
    """A second run of `fit` with the same callback goes on from where the first one stood: begin anew in
    on_train_begin, which is called at the start of each run."""

    def on_train_begin(self, logs=None):
        pass


@ex.wrong
class forgets_to_clear_the_gaps(Gaps):
    """The count begins anew with each run, and `gaps` does not: empty it too."""

    def on_train_begin(self, logs=None):
        self.wide = 0


@ex.wrong
class limit_counts_as_wide(Gaps):
    """A gap of exactly the limit is not wider than the limit."""

    def too_wide(self, gap):
        return gap >= self.limit


@ex.wrong
class one_epoch_late(Gaps):
    """Training ends one epoch late: after `patience` wide epochs, not when one more has been seen."""

    def enough(self):
        return self.wide > self.patience


@ex.wrong
class tells_itself(Gaps):
    """Training never ends early: `fit` looks at the stop_training of the model, which a callback reaches as
    self.model."""

    def enough(self):
        self.stop_training = True
        return False


@ex.wrong
class cancels(Gaps):
    """In an epoch that is not too wide, you set stop_training to False, and so undo the stop that another callback has
    asked for: only ever set it to True."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.model.stop_training = self.enough()


@ex.wrong
class other_way_round(Gaps):
    """The gap has the wrong sign: it is the accuracy in training minus the one in validation, positive when the network
    overfits."""

    def gap(self, logs):
        return logs["val_accuracy"] - logs["accuracy"]


@ex.wrong
class without_sign(Gaps):
    """The gap is taken without its sign, so a network that does better on validation data looks like one that
    overfits."""

    def gap(self, logs):
        return abs(logs["accuracy"] - logs["val_accuracy"])


@ex.wrong
class counts_from_1(Gaps):
    """The keys of `gaps` are one too large: an epoch's number is the one that `fit` gives, which counts from 0."""

    def number(self, epoch):
        return epoch + 1


@ex.wrong
class silent_without_validation(Gaps):
    """Without validation data there is no gap, and training goes on as if all were well. Raise ValueError, so that
    whoever forgot validation_data hears of it."""

    def on_epoch_end(self, epoch, logs=None):
        if "val_accuracy" in logs:
            super().on_epoch_end(epoch, logs)


@ex.right
class FromTheDict(keras.callbacks.Callback):
    """Keeps no count: looks at the last gaps."""

    def __init__(self, *settings):
        super().__init__()
        self.limit, self.patience = settings

    def on_train_begin(self, *_):
        self.gaps = {}

    def on_epoch_end(self, epoch, logs):
        try:
            self.gaps.update({epoch: logs["accuracy"] - logs["val_accuracy"]})
        except KeyError as error:
            raise ValueError(f"the logs lack {error}") from None
        last = [*self.gaps.values()][-self.patience :]
        if len(last) == self.patience and min(last) > self.limit:
            self.model.stop_training = True


for name in (
    "nothing in 'super().__init__()'",
    "FromTheDict: nothing in 'super().__init__()'",
):
    ex.equivalent(name, "set_params and set_model give a callback what it would have set")
for name in (
    "logs is always its default in 'def on_train_begin(self, logs=None):'",
    "logs is always the first one in 'def on_train_begin(self, logs=None):'",
):
    ex.equivalent(name, "at the beginning of training the logs are empty")

# %%
check("6.4", GapStop)

# %% [markdown]
# **Exercise 6.5 ★★★** *Temperature scaling* (Guo et al., 2017) makes many a network less overconfident. All logits
# are divided by one number $T$, the temperature, before the softmax. That changes no prediction, since the largest
# logit stays the largest, but $T > 1$ lowers every confidence. The best $T$ is the one with the smallest cross-entropy
# on validation data. Find it among some candidates.


# %%
# Exercise 6.5
def best_temperature(logits, y, temperatures):
    """The temperature T whose softmax(logits / T) has the smallest mean cross-entropy with the
    labels, and that cross-entropy.

    logits: floats (n, classes), of any size: 1000 must not overflow. y: labels, ints (n,).
    temperatures: candidates, an array of floats in any order. Returns (temperature,
    cross-entropy), two floats.
    Raises ValueError where a candidate is 0 or negative.

    >>> logits = np.array([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [9.0, 0.0]])
    >>> best_temperature(logits, np.array([0, 0, 0, 1]), np.array([0.5, 1.0, 8.0]))   # sure of all, right in three of 4
    (8.0, 0.5624348...)
    """
    ### BEGIN SOLUTION
    if np.min(temperatures) <= 0:
        raise ValueError(f"temperatures must be positive: {temperatures}")
    losses = []
    for temperature in temperatures:
        z = logits / temperature
        z = z - z.max(axis=1, keepdims=True)
        losses.append(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]))
    best = np.argmin(losses)
    return float(temperatures[best]), float(losses[best])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

ex = exercise("6.5")
ex.hints(
    "One loss for each candidate, then the candidate of the smallest loss.",
    "The cross-entropy of logits z is log(sum(exp(z))) - z[y]: write it for all rows at once.",
    "Subtract the largest logit of each row before the exponential; it cancels out.",
)


@ex.cases
def _(rng):
    yield np.array([[9.0, 0.0]] * 4), np.array([0, 0, 0, 1]), np.array([0.5, 1.0, 8.0])
    far = np.array([[1000.0, 998.0, -1000.0]] * 8)
    yield far, np.array([0, 0, 0, 1, 0, 0, 0, 0]), np.array([8.0, 1.0, 0.25])
    yield far[:, ::-1], np.array([2, 2, 2, 1, 2, 2, 1, 2]), np.array([0.25, 8.0, 2.0])
    yield np.array([[1000.0, 0.0]]), np.array([1]), np.array([1.0, 2.0])  # a probability that no float holds
    yield np.array([[0.0, 800.0, -5.0]]), np.array([0]), np.array([4.0, 1.0])
    for number in range(14):
        n, classes = int(rng.integers(12, 24)), int(rng.integers(3, 6))
        honest = 2 * rng.normal(size=(n, classes))
        y = np.array([rng.choice(classes, p=row) for row in softmax(honest, axis=1)])
        scale = float(rng.choice([0.4, 2.0, 5.0])) if number % 4 else 500.0
        temperatures = rng.permutation(np.array([0.1, 0.3, 0.6, 1.0, 1.6, 2.7, 4.5, 9.0, 400.0, 900.0]))
        yield np.round(scale * honest, 2), y, temperatures
    yield np.array([[1.0, 2.0]]), np.array([1]), np.array([1.0, 0.0, 2.0])
    yield np.array([[1.0, 2.0]]), np.array([0]), np.array([-1.0, 1.0])
    yield np.array([[1.0, 2.0]]), np.array([0]), np.array([-0.25, 0.5])


@ex.oracle
def _(logits, y, temperatures):
    if (temperatures <= 0).any():
        raise ValueError("temperature")
    losses = [-log_softmax(logits / t, axis=1)[range(len(y)), y].mean() for t in temperatures]
    return float(temperatures[np.argmin(losses)]), float(np.min(losses))


def best_by(score, logits, temperatures, refuse=True):
    if refuse and (temperatures <= 0).any():
        raise ValueError("temperature")
    with np.errstate(all="ignore"):
        scores = [score(logits, t) for t in temperatures]
    best = int(np.argmax(scores))
    return float(temperatures[best]), -float(scores[best])


@ex.wrong
def multiplied(logits, y, temperatures):
    """The logits are multiplied by the temperature; they are to be divided by it, so that a high temperature makes the
    network less sure."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: log_softmax(z * t, axis=1)[at].mean(), logits, temperatures)


@ex.wrong
def worst(logits, y, temperatures):
    """This is the temperature with the largest cross-entropy. The loss has a minus sign: small is good."""
    at = np.arange(len(y)), y
    temperature, loss = best_by(lambda z, t: -log_softmax(z / t, axis=1)[at].mean(), logits, temperatures)
    return temperature, -loss


@ex.wrong
def by_accuracy(logits, y, temperatures):
    """This compares accuracies, and no temperature changes an accuracy: the largest logit stays the largest. Compare
    the cross-entropy."""
    temperature, _ = best_by(lambda z, t: np.mean(z.argmax(axis=1) == y), logits, temperatures)
    return temperature, -float(log_softmax(logits / temperature, axis=1)[np.arange(len(y)), y].mean())


@ex.wrong
def mean_probability(logits, y, temperatures):
    """This compares the mean probability of the true class. Take the logarithm of each first, then the mean: it is the
    logarithm that punishes certain mistakes."""
    at = np.arange(len(y)), y
    temperature, _ = best_by(lambda z, t: softmax(z / t, axis=1)[at].mean(), logits, temperatures)
    return temperature, -float(np.log(softmax(logits / temperature, axis=1)[at].mean()))


@ex.wrong
def of_the_predicted_class(logits, y, temperatures):
    """This takes the probability of the class with the largest logit instead of the true one, so the surest predictions
    win and no label counts."""
    return best_by(lambda z, t: log_softmax(z / t, axis=1).max(axis=1).mean(), logits, temperatures)


@ex.wrong
def summed(logits, y, temperatures):
    """The temperature is right. The cross-entropy is the sum over the examples, and the docstring asks for the mean."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: log_softmax(z / t, axis=1)[at].sum(), logits, temperatures)


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
def clipped(logits, y, temperatures):
    """A probability that is too small for a float is 0, and a small number added to it hides how wrong the network was.
    Compute the logarithm without the probability: log(sum(exp(z))) - z[y]."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: np.log(softmax(z / t, axis=1) + 1e-7)[at].mean(), logits, temperatures)


@ex.wrong
def position(logits, y, temperatures):
    """This is the position of the best temperature among the candidates; return the temperature itself."""
    at = np.arange(len(y)), y
    best, loss = best_by(lambda z, t: log_softmax(z / t, axis=1)[at].mean(), logits, temperatures)
    return int(np.flatnonzero(temperatures == best)[0]), loss


@ex.wrong
def any_temperature(logits, y, temperatures):
    """A temperature of 0 or below divides by nothing or turns the order of the classes round: raise ValueError."""
    at = np.arange(len(y)), y
    return best_by(lambda z, t: log_softmax(z / t, axis=1)[at].mean(), logits, temperatures, refuse=False)


@ex.right
def all_at_once(logits, y, temperatures):
    if not np.all(temperatures > 0):
        raise ValueError("a temperature must be above 0")
    z = logits[None] / temperatures[:, None, None]
    margins = z - z[:, np.arange(len(y)), y][:, :, None]  # how far each class is above the true one
    losses = logsumexp(margins, axis=2).mean(axis=1)
    return temperatures[losses.argmin()], losses.min()


# %%
check("6.5", best_temperature)

# %% [markdown]
# **Exercise 6.6 ★★** Debug it. Several networks were trained, say with several learning rates, and what they reached
# after each epoch stands in a table. The function below chooses a network and an epoch, and reports its accuracy. It
# makes the mistake of the "Debug it" above. Repair it.


# %%
# Exercise 6.6
def honest_report(val_losses, test_accuracies, patience):
    """Which of several runs to keep, which epoch of it, and the accuracy to report.

    val_losses, test_accuracies: floats (runs, epochs), after each epoch. patience: whole number
    >= 1. In each run early stopping watches the validation loss. It goes back to the epoch with
    the smallest loss, the first one of equal losses. What comes after `patience` epochs without
    a smaller loss was never trained, and does not count. The run to keep is the one whose
    smallest loss is the smallest, the first one of equals. The test data are used once, for
    the network that is kept.
    Returns (run, epoch, accuracy): two whole numbers that count from 0, and a float.

    >>> honest_report(np.array([[0.5, 0.4, 0.6, 0.1]]), np.array([[0.7, 0.8, 0.9, 0.6]]), patience=1)
    (0, 1, 0.8)
    """
    ### BEGIN SOLUTION
    kept = []
    for run, losses in enumerate(val_losses):
        low = np.inf
        for epoch, loss in enumerate(losses):
            if loss < low:
                low, best = loss, epoch
            elif epoch - best == patience:
                break
        kept.append((low, run, best))
    _, run, epoch = min(kept)
    return run, epoch, float(test_accuracies[run, epoch])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("6.6", start="peeking")
ex.hints(
    "Which table may choose the run and the epoch? What is the other one for?",
    "First each run by itself: go through its epochs, keep the smallest loss so far, and stop `patience` epochs later.",
    "Then compare the runs by the losses that you kept, and look up one accuracy.",
)


@ex.cases
def _(rng):
    yield np.array([[0.5, 0.4, 0.6, 0.1]]), np.array([[0.7, 0.8, 0.9, 0.6]]), 1
    yield np.array([[0.5, 0.4, 0.6, 0.1]]), np.array([[0.7, 0.8, 0.9, 0.6]]), 2
    yield np.array([[0.5, 0.4, 0.6, 0.5, 0.1]]), np.array([[0.7, 0.8, 0.9, 0.5, 0.6]]), 2
    yield np.array([[0.5, 0.3, 0.3, 0.2]]), np.array([[0.9, 0.7, 0.8, 0.6]]), 2  # an equal loss is not smaller
    yield np.array([[0.5, 0.3, 0.3, 0.2]]), np.array([[0.9, 0.7, 0.8, 0.6]]), 1
    yield np.array([[0.3, 0.5, 0.6], [0.4, 0.3, 0.5]]), np.array([[0.8, 0.9, 0.7], [0.6, 0.5, 0.7]]), 3  # equal runs
    yield np.array([[0.4, 0.5, 0.6], [0.5, 0.4, 0.3]]), np.array([[0.8, 0.9, 0.7], [0.6, 0.5, 0.7]]), 3
    yield np.array([[0.9], [0.7], [0.8]]), np.array([[0.8], [0.5], [0.9]]), 4
    rises = np.array([[0.7, 0.6, 0.8, 0.5, 0.9]])
    yield np.array([[0.5, 0.6, 0.4, 0.5, 0.3]]), rises, 2  # the count begins anew with each smaller loss
    yield np.array([[0.5, 0.6, 0.4, 0.6, 0.3]]), rises, 2
    again = np.array([[0.5, 0.4, 0.6, 0.3, 0.6, 0.7, 0.8, 0.1]])  # better once more, and then much later
    yield again, np.array([[0.5, 0.6, 0.9, 0.8, 0.7, 0.4, 0.3, 0.2]]), 1
    yield again - 0.05, np.array([[0.5, 0.6, 0.9, 0.8, 0.7, 0.4, 0.3, 0.2]]), 1
    for _ in range(14):
        runs, epochs = int(rng.integers(2, 5)), int(rng.integers(5, 11))
        turn = rng.uniform(1, epochs - 2, size=(runs, 1))
        losses = 0.3 + 0.005 * (np.arange(epochs) - turn) ** 2 + 0.1 * rng.random((runs, epochs))
        yield np.round(losses, 2), np.round(rng.uniform(0.6, 0.99, (runs, epochs)), 3), int(rng.integers(1, 5))


@ex.oracle
def _(val_losses, test_accuracies, patience):
    runs = []
    for losses in val_losses.tolist():
        ends = [e for e in range(patience, len(losses)) if min(losses[: e - patience + 1]) <= min(losses[: e + 1])]
        trained = losses[: ends[0] + 1] if ends else losses
        runs.append(trained.index(min(trained)))
    lowest = [losses[best] for losses, best in zip(val_losses, runs)]
    run = int(np.argmin(lowest))
    return run, runs[run], float(test_accuracies[run][runs[run]])


def stopped(losses, patience):
    """(the best epoch, the last epoch that was trained) of one run."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best, epoch


@ex.wrong
def peeking(val_losses, test_accuracies, patience):
    """The test data choose the run and the epoch, and are then asked how good the choice was. The validation losses are
    to choose."""
    best = test_accuracies.max(axis=1)
    run = int(best.argmax())
    epoch = int(test_accuracies[run].argmax())
    return run, epoch, float(test_accuracies[run, epoch])


@ex.wrong
def run_by_test(val_losses, test_accuracies, patience):
    """The validation losses choose the epochs, but the test data choose among the runs, and are used once for each."""
    epochs = [stopped(losses, patience)[0] for losses in val_losses]
    run = int(np.argmax([row[epoch] for row, epoch in zip(test_accuracies, epochs)]))
    return run, epochs[run], float(test_accuracies[run, epochs[run]])


@ex.wrong
def without_patience(val_losses, test_accuracies, patience):
    """Epochs count that were never trained: early stopping ends a run after `patience` epochs without a smaller
    loss."""
    run, epoch = np.unravel_index(np.argmin(val_losses), val_losses.shape)
    return int(run), int(epoch), float(test_accuracies[run, epoch])


def kept(val_losses, test_accuracies, patience, last=False):
    found = [stopped(losses, patience) for losses in val_losses]
    run = int(np.argmin([losses[one[last]] for losses, one in zip(val_losses, found)]))
    return run, found[run][last], float(test_accuracies[run, found[run][last]])


@ex.wrong
def last_weights(val_losses, test_accuracies, patience):
    """What is reported are the weights of the last epoch, `patience` epochs after the best one; early stopping is to go
    back to the best."""
    return kept(val_losses, test_accuracies, patience, last=True)


@ex.wrong
def one_epoch_late(val_losses, test_accuracies, patience):
    """A run goes on for one epoch too many: it ends with the epoch that is `patience` epochs after the best."""
    return kept(val_losses, test_accuracies, patience + 1)


@ex.wrong
def never_begins_anew(val_losses, test_accuracies, patience):
    """The count of epochs without a smaller loss goes on from where it stood: it begins anew with each smaller loss."""
    epochs = []
    for losses in val_losses:
        best, waited = 0, 0
        for epoch in range(1, len(losses)):
            if losses[epoch] < losses[best]:
                best = epoch
            else:
                waited += 1
            if waited == patience:
                break
        epochs.append(best)
    run = int(np.argmin([losses[epoch] for losses, epoch in zip(val_losses, epochs)]))
    return run, epochs[run], float(test_accuracies[run, epochs[run]])


@ex.wrong
def best_of_the_run(val_losses, test_accuracies, patience):
    """Run and epoch are right, but the accuracy is the best one of the run. The test data are to be asked at the epoch
    that was kept, and nowhere else."""
    run, epoch, _ = kept(val_losses, test_accuracies, patience)
    return run, epoch, float(test_accuracies[run].max())


@ex.wrong
def counts_from_1(val_losses, test_accuracies, patience):
    """The epoch is one too large: it counts from 0."""
    run, epoch, accuracy = kept(val_losses, test_accuracies, patience)
    return run, epoch + 1, accuracy


@ex.right
def by_running_minimum(val_losses, test_accuracies, patience):
    chosen = []
    for losses in val_losses:
        epochs = np.arange(len(losses))
        best = [int(losses[: epoch + 1].argmin()) for epoch in epochs]
        ended = np.flatnonzero(epochs - best >= patience)
        chosen.append(best[ended[0]] if len(ended) else best[-1])
    run = int(np.take_along_axis(val_losses, np.c_[chosen], -1).argmin())
    return run, chosen[run], float(test_accuracies[run, chosen[run]])


# %%
check("6.6", honest_report)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | convolution, then pooling by two | $o = \lfloor (n + 2p - k + 1)/2 \rfloor$ | (6.1) |
# | parameters; LeNet-5 has 61,706 | $\sum (k^2 C + 1) N + \sum (D_\text{in} + 1) D_\text{out}$ | (6.2) |
# | saving changes nothing | $\hat{y}(x; \mathrm{load}(\mathrm{save}(\theta))) = \hat{y}(x; \theta)$ | (6.3) |
# | confusion matrix | $\mathbf{C}_{ij}$: class $i$, predicted as $j$ | (6.4) |
# | accuracy and SE | the diagonal's share; $\sqrt{\mathrm{acc}(1 - \mathrm{acc})/\lvert\mathcal{D}\rvert}$ | (6.5) |
# | precision, recall | $\mathbf{C}_{ii}$ over its column's sum, over its row's sum | (6.6) |
# | F1 | their harmonic mean | (6.7) |
# | the order of inputs is nothing to a dense layer | $(\mathbf{W}\Pi^\mathsf{T})(\Pi x) = \mathbf{W}x$ | (6.8) |
# | McNemar test | is a split of the differing predictions more uneven than coins? | (6.9) |
# | expected calibration error | mean gap between accuracy and confidence over the bins | (6.10) |
# | earliest place out of a shuffle buffer | $\max(0, i - B + 1)$ | (6.11) |
#
# Training data set the weights, validation data make the choices, test data make none. Cache, then shuffle with a
# buffer for all, then batch, then prefetch.
#
# ## References
#
# - Dietterich, *Approximate statistical tests for comparing supervised classification learning algorithms*, 1998,
#   Neural Computation 10(7).
# - Guo, Pleiss, Sun, Weinberger, *On calibration of modern neural networks*, 2017, ICML.
# - LeCun, Bottou, Bengio, Haffner, *Gradient-based learning applied to document recognition*, 1998, Proceedings of the
#   IEEE 86(11).
# - McNemar, *Note on the sampling error of the difference between correlated proportions or percentages*, 1947,
#   Psychometrika 12(2).
# - Naeini, Cooper, Hauskrecht, *Obtaining well calibrated probabilities using Bayesian binning*, 2015, AAAI.
# - Opitz, Burst, *Macro F1 and macro F1*, 2019, arXiv:1911.03347.
# - Prechelt, *Early stopping - but when?*, 1998, in: Neural Networks: Tricks of the Trade, Springer.
# - Zhang, Bengio, Hardt, Recht, Vinyals, *Understanding deep learning requires rethinking generalization*, 2017, ICLR.
