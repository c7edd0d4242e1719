# %% [raw]
# title: Self-supervision by rotation
# part: V. Learning with fewer labels
# minutes: 125
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - softmax and cross-entropy
#   - empirical risk
#   - Adam
#   - batch normalisation
#   - cross-correlation and convolution
#   - output size, stride, padding and dilation
#   - channels
#   - global pooling
#   - linear readout of a layer
#   - training, validation and test data
#   - Kullback-Leibler divergence
#   - autoencoder
# teaches:
#   - self-supervised learning
#   - pretext task
#   - rotation prediction
#   - conditional entropy as the floor of a loss
#   - shortcuts
#   - linear probe
#   - comparing with few labels
# data: [MNIST, CIFAR-10]
# terms:
#   - term: self-supervised learning
#     means: training on a task whose labels are made from the images themselves
#     zh: 自监督学习
#   - term: pretext task
#     means: the task of self-supervised learning, solved for the sake of the features and not of its answers
#     zh: 前置任务
#   - term: downstream task
#     means: what the features are wanted for in the end
#     zh: 下游任务
#   - term: group
#     means: transformations that include "do nothing" and each one's inverse, and of which two in a row are a third
#     zh: 群
#   - term: backbone
#     means: the part of a network that makes features, which several heads can use
#     zh: 骨干网络
#   - term: head
#     means: the last layers of a network, which turn features into the answers of one task
#     zh: 任务头
#   - term: posterior probability
#     means: how probable a cause is once its effect has been seen
#     zh: 后验概率
#   - term: conditional entropy
#     means: the uncertainty that is left on average about one thing once another is known
#     symbol: '$\mathcal{H}$'
#     zh: 条件熵
#   - term: shortcut feature
#     means: a feature that solves the training task and is of no use for what is wanted
#     zh: 捷径特征
#   - term: frozen
#     means: said of weights that training does not change
#     zh: 冻结
#   - term: random features
#     means: the features of a network that was never trained
#     zh: 随机特征
#   - term: fine-tuning
#     means: training on from weights that another task has taught
#     zh: 微调
# symbols:
#   '$\mathcal{R}$': 'a quarter turn to the left (`quarter_turn`)'
#   '$t$': 'number of quarter turns to the left (`r`)'
#   '$\tilde{x}$': 'an image as it is shown, after a turn'
#   '$P$': 'a probability'
# sources:
#   - "Shannon, A mathematical theory of communication, 1948"
#   - "LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998"
#   - "Saxe et al., On random weights and unsupervised feature learning, 2011"
#   - "Doersch, Gupta & Efros, Unsupervised visual representation learning by context prediction, 2015"
#   - "Gidaris, Singh & Komodakis, Unsupervised representation learning by predicting image rotations, 2018"
#   - "Feng, Xu & Tao, Self-supervised representation learning by rotation feature decoupling, 2019"
#   - "Geirhos et al., Shortcut learning in deep neural networks, 2020"

# %% [markdown]
# Each of these ten digits was turned by 0°, 90°, 180° or 270°. Which ones stand upright?

# %% tags=["aside"]
# @title Imports and settings
from course import ask, at_once, budget, check, claim, data, plots, predict, prove, record, rewinder, seed, start, sweep

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import ndimage, special, stats
from sklearn.linear_model import Ridge

rng = start("20")  # seeds everything from COURSE_SEED and sets the style of the figures
ANGLES = ["0°", "90°", "180°", "270°"]  # to the left, as everywhere in this chapter
DIGITS = np.arange(10)


def as_input(images):
    """uint8 images (count, h, w) or (count, h, w, 3) as a network wants them: float32, (count, h, w, C), 0 to 1."""
    return (images[..., None] if images.ndim == 3 else images).astype("float32") / 255


# %% tags=["aside"]
# @title Draws figure 20.1
mnist = data.mnist()
count = budget(quick=4000, full=50_000, least=1000)
raw_images, labels = as_input(mnist.x_train[:-1000][:count]), mnist.y_train[:-1000][:count]
raw_held, held_labels = as_input(mnist.x_train[-1000:]), mnist.y_train[-1000:]  # held back, to choose settings by
count = budget(quick=2000, full=10_000, least=1000)
raw_tests, test_labels = as_input(mnist.x_test[:count]), mnist.y_test[:count]

asked = [np.flatnonzero(test_labels == digit)[1] for digit in (4, 1, 7, 6, 3, 0, 9, 2, 8, 5)]
TURNS = [2, 0, 0, 2, 3, 1, 0, 0, 2, 1]
plots.show_images([np.rot90(raw_tests[i, ..., 0], r) for i, r in zip(asked, TURNS)], columns=10)

# %% [markdown]
# *Figure 20.1. Ten test digits, some of them turned. The answer comes with Figure 20.5.*
#
# Some of them you know at once, for others it takes a second look, and for one or two no look is enough. Now turn the
# thought round. Whoever can say which way is up must know something about digits. And to *ask* the question takes
# nobody who knows: turn an image yourself, and you have both the question and its answer.
#
# **How much of what a digit is can a network learn from this one question, without a single label? And what can it
# not learn from it?**
#
# To train on labels that are made from the images themselves is called **self-supervised learning**. The invented task
# is the **pretext task**; what the features are wanted for, here to classify digits, is the **downstream task**. This
# pretext task is due to Gidaris, Singh and Komodakis (2018).
#
# Three experiments answer: a network learns the angles of digits whose classes it is never told; a linear classifier
# reads fifty labelled digits from its features; and the same network is trained from scratch on the same fifty.
#
# ## What you will be able to do
#
# - turn images without changing a pixel, and set up the pretext task in Keras so that its labels cannot get lost;
# - say, before any training, how well it can be solved at all;
# - find out that a network has solved it by a trick, take the trick away, and measure what it did to the features;
# - compare methods fairly when there are few labels, and say what is left beside the ordinary rival, augmentation.
#
# ## A quarter turn moves pixels and changes none
#
# Turn a square image $I$ of $n \times n$ pixels by 90° to the left. Its right column becomes its top row. So pixel
# $(u, v)$ of the turned image is found in row $v$ of the old one, in column $n - 1 - u$:
#
# $$ (\mathcal{R} I)(u, v) = I(v,\; n - 1 - u) \tag{20.1} $$
#
# With $n = 2$: the rows 1, 2 and 3, 4 become 2, 4 and 1, 3. Every pixel finds a place, none is blended with its
# neighbour, no corner is cut off. That is why the task stops at multiples of 90°: at 45° a network would only have to
# look for the blur, or for the black corners. Write $\mathcal{R}^t$ for $t$ quarter turns. Two turns in a row are a
# third, and four quarter turns are none, so the four rotations form a **group**:
#
# $$ \mathcal{R}^a \mathcal{R}^b = \mathcal{R}^{(a + b) \bmod 4} \tag{20.2} $$


# %%
def quarter_turn(x):
    """Images x (batch, n, n, C), turned by 90° to the left (20.1)."""
    return ops.flip(ops.transpose(x, (0, 2, 1, 3)), axis=1)  # (20.1)


def turned(x, r):
    """Images x (batch, n, n, C) after r quarter turns to the left; r is any whole number."""
    for _ in range(r % 4):  # (20.2)
        x = quarter_turn(x)
    return x


# %% tags=["aside"]
# @title What proofs (20.1) and (20.2) compare with
def turned_twice(x, a, b):
    return turned(turned(x, a), b)


def scipy_quarter_turn(x):
    return ndimage.rotate(x, 90, axes=(1, 2), order=1)


def numpy_turned(x, a, b):
    return np.rot90(x, a + b, axes=(1, 2))


def some_images(count, batch=3):
    """Random images in a few sizes, so that JAX has few shapes to compile."""
    for i in range(count):
        n, channels = [(4, 1), (5, 3), (2, 2)][i % 3]
        yield rng.normal(size=(batch, n, n, channels)).astype("float32")


def images_and_turns(count):
    for x in some_images(count):
        yield x, *(int(r) for r in rng.integers(-4, 9, 2))


# %%
prove("20.1", quarter_turn, scipy_quarter_turn, cases=some_images(60), rtol=0, atol=0)
prove("20.2", turned_twice, numpy_turned, cases=images_and_turns(60), rtol=0, atol=0)

# %% [markdown]
# **Question 20.a.** An image was turned by three quarter turns, then by a half turn. By how many quarter turns, from 0
# to 3, does the network see it turned?

# %%
ask("20.a", 1, why="3 + 2 = 5, and 5 mod 4 = 1.", hint="A half turn is two quarter turns. Put both into (20.2).")

# %% [markdown]
# ## Four questions about every image
#
# Show a network all four copies of every image, and let it say for each by how many quarter turns $t$ it was turned:
# a classification with four classes. With the network's logits $z$, its weights $\theta$ and $\hat y =
# \operatorname{softmax}(z)$, the loss is the cross-entropy, a mean over all copies of all images:
#
# $$ L(\theta) = -\frac{1}{4 |\mathcal{D}|} \sum_{x \in \mathcal{D}} \sum_{t=0}^{3} \log \hat y_t(\mathcal{R}^t x)
#    \tag{20.3} $$
#
# All four copies go into the *same* batch. Then the four classes are equally frequent in every step, so nothing is
# gained by favouring one, and batch normalisation sees all of them together. Put the turning *inside* the model, and
# labels and images cannot part ways: the labels of every image are 0, 1, 2, 3. (Mirror images, if you must, *before*
# the turn: after it, a mirror changes the label. Exercise 20.2 is about this.)


# %%
class FourTurns(layers.Layer):
    """Images (batch, n, n, C) -> (4 batch, n, n, C): first all upright, then all after 1, 2 and 3 quarter turns."""

    def call(self, x):
        return ops.concatenate([turned(x, r) for r in range(4)], axis=0)


class FourAnswers(layers.Layer):
    """The logits (4 batch, 4) of such copies -> (batch, 4, 4): for each image and each of its copies, four."""

    def call(self, z):
        return ops.transpose(ops.reshape(z, (4, -1, 4)), (1, 0, 2))

    def compute_output_shape(self, shape):  # else PyTorch tries a batch that four does not divide
        return None, 4, 4


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def angles_of(count):
    """The labels of the pretext task for so many images: (count, 4)."""
    return np.tile(np.arange(4), (count, 1))


# %% tags=["aside"]
# @title What proof (20.3) compares with
def pretext_loss(x, W):
    """The loss (20.3) of a network of one dense layer, x (batch, n, n, C), W (n n C, 4)."""
    z = FourAnswers()(ops.matmul(ops.reshape(FourTurns()(x), (4 * len(x), -1)), W))
    return CROSS_ENTROPY(angles_of(len(x)), z)  # (20.3)


def loss_one_by_one(x, W):
    return -np.mean([special.log_softmax(np.rot90(one, r).ravel() @ W)[r] for one in x for r in range(4)])


def images_and_weights(count):
    for x in some_images(count):
        yield x, rng.normal(size=(x[0].size, 4)).astype("float32")


# %%
prove("20.3", pretext_loss, loss_one_by_one, cases=images_and_weights(60), rtol=1e-4)

# %% [markdown]
# The network has two parts. The **backbone** makes features: four convolutions, three of them with stride 2, each
# followed by batch normalisation and ReLU. It returns the feature maps of all four blocks, for we shall look into each.
# The **head** turns the last maps into four logits.


# %%
def backbone(shape):
    """A network from images of this shape to the feature maps of its four blocks."""
    x = inputs = keras.Input(shape)
    blocks = []
    for filters, size, stride in [(16, 5, 2), (32, 3, 2), (64, 3, 1), (64, 3, 2)]:
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        blocks.append(x)
    return keras.Model(inputs, blocks)


def rotation_network(features):
    """From images to the logits (batch, 4, 4) of their four copies, through a backbone."""
    inputs = keras.Input(features.input_shape[1:])
    last = features(FourTurns()(inputs))[-1]
    z = layers.Dense(4)(layers.GlobalAveragePooling2D()(last))
    return keras.Model(inputs, FourAnswers()(z))


# %%
def prepare(model, steps, rate):
    """Compile a model for so many steps of Adam, with a learning rate that falls to 0."""
    decay = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(decay), CROSS_ENTROPY, steps_per_execution=at_once(10))
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice
    return model


def train_pretext(x, angles, epochs, batch=50, rate=3e-3):
    """Train on images x (count, n, n, C) with the labels (count, 4): the backbone, and the whole network."""
    features = backbone(x.shape[1:])
    model = prepare(rotation_network(features), epochs * -(-len(x) // batch), rate)
    model.fit(x, angles, batch, epochs, verbose=0)
    return features, model


def turns_missing(model, x):
    """By how many quarter turns, 0 to 3, each answer is wrong: (count, 4)."""
    return (predict(model, x).argmax(axis=-1) - np.arange(4)) % 4


# %%
EPOCHS = budget(quick=3, full=10, least=1)
with_shortcut, its_network = train_pretext(raw_images, angles_of(len(raw_images)), EPOCHS)
first_off = turns_missing(its_network, raw_tests)
print(f"{np.mean(first_off == 0):.1%} of the angles of test digits are predicted correctly")


# %% tags=["aside"]
# @title Draws figure 20.2
def by_digit(which, of):
    """The mean of `which` (count, ...) over the images of each class: (10,)."""
    return np.array([np.mean(which[of == number]) for number in range(10)])


figure, axis = plt.subplots(figsize=(7, 2.6))
axis.bar(DIGITS, by_digit(first_off == 0, test_labels), color=plots.COLOURS[0])
axis.axhline(0.25, color="black", ls=":", label="guessing")
axis.axhline(0.5, color="black", ls="--", label="if a half turn changed nothing")
axis.set(xticks=DIGITS, xlabel="digit", ylabel="accuracy of the angle", ylim=(0, 1.35), yticks=[0, 0.25, 0.5, 0.75, 1])
axis.legend(loc="upper center", ncols=2)
plt.show()

# %% [markdown]
# *Figure 20.2. How often the network predicts the angle of a test digit correctly, digit by digit. Of an image that
# is its own half turn, at most half of the angles can be (dashed).*
#
# Look at the ones. A one is a stroke. Turned by 180° it is a stroke. You could not tell the second digit of Figure 20.1
# from its half turn, and the network nearly always can. Where a network does what you hold to be impossible, one of you
# is wrong, and you should find out which *before* you use it. So first: what exactly is impossible?
#
# ## What nobody could tell
#
# Let $P(x)$ be the probability of an upright image $x$, let $t$ be one of the four angles, all equally probable, and
# let $\tilde{x} = \mathcal{R}^t x$ be all that you are shown. By Bayes' rule, the **posterior probability** of an angle
# is in proportion to that of the upright image which you get by turning back:
#
# $$ P(t \mid \tilde{x}) = \frac{P(\mathcal{R}^{-t} \tilde{x})}
#    {\sum_{q=0}^{3} P(\mathcal{R}^{-q} \tilde{x})} \tag{20.4} $$
#
# No other answer has a smaller expected cross-entropy: it would cost a Kullback-Leibler divergence more, which is never
# negative. What even this answer costs on average is the **conditional entropy** of the angle given the image (Shannon,
# 1948), the floor of the loss. Put (20.4) into $-\log P(t \mid \tilde{x})$, with $\mathcal{R}^{-t} \tilde{x} = x$:
#
# $$ \mathcal{H}(t \mid \tilde{x}) = \mathbb{E}_{x}\left[\, \log
#    \frac{\sum_{q=0}^{3} P(\mathcal{R}^q x)}{P(x)} \right] \tag{20.5} $$
#
# Read it as a count of rivals:
#
# - If no turned copy of $x$ is ever met upright, the sum is $P(x)$ alone, and the floor is $\log 1 = 0$.
# - If $x$ is its own half turn, $P(x)$ occurs twice: $\log 2 \approx 0.69$.
# - If $x$ is a disc, $P(x)$ occurs four times: $\log 4 \approx 1.39$, the loss of guessing.
# - If a nine is a six on its head, and both are equally frequent, their probabilities add up to twice either: $\log 2$
#   again, though neither has any symmetry.


# %%
def posterior(shown, P):
    """The probabilities (4,) of an image's angles (20.4); P: dict from an upright image's bytes to its probability."""
    upright = np.array([P.get(np.rot90(shown, -r).tobytes(), 0.0) for r in range(4)])
    return upright / upright.sum()  # (20.4)


def floor_of_loss(x, p):
    """The floor of the loss (20.5) in a world of different upright images x (count, n, n) of probability p (count,)."""
    P = {one.tobytes(): share for one, share in zip(x, p)}
    rivals = np.array([sum(P.get(np.rot90(one, r).tobytes(), 0.0) for r in range(4)) for one in x])
    return np.sum(p * np.log(rivals / p))  # (20.5)


# %% [markdown]
# The proof makes small worlds of black-and-white images of 3 × 3 pixels, symmetric images and turned copies among them,
# with random probabilities. The oracle knows no Bayes' rule: it writes down every pair of an image and an angle in one
# table, and takes the table's entropies with SciPy.


# %% tags=["aside"]
# @title What proofs (20.4) and (20.5) compare with
def all_pairs(x, p):
    """The joint probabilities of what is shown (rows) and the angle (columns), and the rows' images."""
    shown, table = [], np.zeros((4 * len(x), 4))
    for one, share in zip(x, p):
        for r in range(4):
            copy = np.rot90(one, r).tolist()
            if copy not in shown:
                shown.append(copy)
            table[shown.index(copy), r] += share / 4
    return shown, table[: len(shown)]


def posterior_of_world(x, p):
    P = {one.tobytes(): share for one, share in zip(x, p)}
    return np.stack([posterior(np.array(copy), P) for copy in all_pairs(x, p)[0]])


def posterior_by_table(x, p):
    table = all_pairs(x, p)[1]
    return table / table.sum(axis=1, keepdims=True)


def floor_by_table(x, p):
    table = all_pairs(x, p)[1]
    return stats.entropy(table.ravel()) - stats.entropy(table.sum(axis=1))


def small_worlds(count):
    for _ in range(count):
        patterns = [np.array(list(f"{n:09b}"), dtype=int).reshape(3, 3) for n in rng.integers(512, size=4)]
        patterns.append(patterns[0] | np.rot90(patterns[0], 2))  # its own half turn
        patterns.append(np.rot90(patterns[1], rng.integers(4)))  # a turned copy
        x = np.unique(patterns, axis=0)
        yield x, rng.dirichlet(np.ones(len(x)))


# %%
prove("20.4", posterior_of_world, posterior_by_table, cases=small_worlds(60))
prove("20.5", floor_of_loss, floor_by_table, cases=small_worlds(200))

# %% [markdown]
# **Question 20.b.** A world has two upright images, equally frequent: an X that is its own quarter turn, and an L. What
# is the best possible accuracy of the angle, over all images and angles?

# %%
ask(
    "20.b",
    0.625,
    why="The X can only be guessed, 1/4; the L is certain. The mean of 1/4 and 1 is 5/8.",
    hint="Take the largest posterior probability of each image, and their mean.",
)

# %% [markdown]
# ## How did it know?
#
# No handwritten one is exactly its own half turn. That does not matter: what counts is whether its half turn is as
# likely as an upright one. So is its floor near $\log 2$, or near 0? Whatever the network used, it must turn with the
# image, and it must be there in nearly every digit. Try the simplest thing that turns with an image: its centre of
# mass, the mean position of its brightness, measured from the centre of the frame.


# %%
def centre_of_mass(x):
    """Where the brightness of images x (count, n, n, C) lies on average: (count, 2), rows down and columns right of
    the centre of the frame, in pixels."""
    n, mass = x.shape[1], x.sum(axis=(1, 2, 3))
    along = np.arange(n) - (n - 1) / 2
    return np.stack([x.sum(axis=(2, 3)) @ along, x.sum(axis=(1, 3)) @ along], axis=1) / mass[:, None]


def angle_by_mass(x):
    """Predict the angle by the quadrant of the centre of mass: of an upright digit it lies at the lower right."""
    down, right = (centre_of_mass(x) > 0).T
    return np.select([down & right, ~down & right, ~down & ~right], [0, 1, 2], default=3)


def centred(x):
    """Images with one black row more at the bottom and one black column more at the right."""
    return np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])


def four_rotations(x):
    return [np.rot90(x, r, axes=(1, 2)) for r in range(4)]


# %%
def accuracy_by_mass(x):
    return np.mean([angle_by_mass(copy) == r for r, copy in enumerate(four_rotations(x))])


as_it_comes, one_more = accuracy_by_mass(raw_tests), accuracy_by_mass(centred(raw_tests))
print(f"by the centre of mass: {as_it_comes:.1%} correct; with one row and column more: {one_more:.1%}")

# %% tags=["aside"]
# @title Draws figure 20.3
figure, axes = plt.subplots(1, 2, figsize=(8, 3.9), sharex=True, sharey=True)
for axis, title, x in zip(axes, ("MNIST as it comes", "one row and column more"), (raw_tests, centred(raw_tests))):
    for copy, marker, colour, angle in zip(four_rotations(x[:150]), "o^sx", plots.COLOURS, ANGLES):
        down, right = centre_of_mass(copy).T
        axis.scatter(right, down, s=14, marker=marker, color=colour, label=angle, linewidths=1)
    axis.axhline(0, color="#888888", lw=0.8, ls="-")
    axis.axvline(0, color="#888888", lw=0.8, ls="-")
    axis.set(title=title, xlabel="pixels to the right of the centre", aspect="equal")
axes[0].set(ylabel="pixels below the centre")
axes[0].invert_yaxis()
axes[1].legend(title="turned by", loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 20.3. The centres of mass of 150 test digits, each at the four angles. Left: the angle can be read off the
# quadrant. Right: the same digits with one black row below and one black column at the right.*

# %%
claim(
    "20.1",
    "in MNIST as it comes, the quadrant of the centre of mass gives more than 99.9 % of the angles",
    as_it_comes > 0.999,
    control=one_more > 0.999,
)

# %% [markdown]
# There it is. MNIST's makers moved every digit until its centre of mass lay at the centre of the frame (LeCun et al.,
# 1998): at pixel (14, 14), counted from 0, to the nearest pixel. But a frame of 28 pixels has no pixel at its centre.
# It turns about the point (13.5, 13.5). So *every* upright digit hangs about half a pixel too low and too far right.
# No need to know what a one is.
#
# This is a **shortcut feature** (Geirhos et al., 2020): it solves the pretext task and says nothing about digits. We
# found it because (20.5) told us where to look, in a data set that is older than the task, and it takes one line to
# remove: 29 pixels do have a central one. All that follows uses `centred` digits. What the shortcut did to the other
# features will be measured too. (Doersch et al., 2015, caught their network reading positions off the colour fringes
# of lenses.)
#
# **Question 20.c.** We train again without the shortcut. What will most of the wrong answers about ones be wrong by?

# %%
ask(
    "20.c",
    "a half turn",
    choices=("a quarter turn", "a half turn"),
    why="An upright one looks much like its half turn, and lying ones like each other.",
    hint="Which turned copy of a one might have been written upright?",
)

# %% [markdown]
# ## Which digits have an up?
#
# By (20.4) a digit is hard where a turned copy of it might have been written upright. That can be estimated *before*
# any training. Take a test digit and its three turned copies, and ask which of the four lies nearest to any upright
# training image. If it is a turned copy, the digit has a **rival**.


# %%
def has_rival(x, upright):
    """Which images x (count, n, n, C) have a turned copy that is nearer than they to some upright image: (count,)."""
    known = upright.reshape(len(upright), -1)
    length = (known**2).sum(axis=1)
    nearest = []
    for copy in four_rotations(x):
        squares = length - 2 * copy.reshape(len(x), -1) @ known.T  # the squared distances, less what all four share
        nearest.append(squares.min(axis=1))
    return np.argmin(nearest, axis=0) > 0


images, held, tests = centred(raw_images), centred(raw_held), centred(raw_tests)
rivals = has_rival(tests[:1000], images[:10_000])

# %% [markdown]
# Then train: the same network, the same images, as many steps, but one black row and column more.

# %%
angles = angles_of(len(images))
trained, network = train_pretext(images, angles, EPOCHS)
off = turns_missing(network, tests)
print(f"{np.mean(off == 0):.1%} of the angles of test digits are predicted correctly")


# %% tags=["aside"]
# @title Draws figure 20.4
def loss_by_image(network, x):
    """The loss (20.3) of each image of x, the mean of its four copies: (count,)."""
    logs = special.log_softmax(predict(network, x), axis=-1)
    return -np.mean(logs[:, np.arange(4), np.arange(4)], axis=1)


rival_share = by_digit(rivals, test_labels[:1000])
with_shortcut_accuracy = by_digit(first_off == 0, test_labels)
angle_accuracy = by_digit(off == 0, test_labels)
angle_loss = by_digit(loss_by_image(network, tests), test_labels)
order = np.argsort(-rival_share)
print("mean loss by digit:", ", ".join(f"{digit}: {value:.2f}" for digit, value in enumerate(angle_loss)))
figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.7), sharey=True, width_ratios=[0.8, 1.3, 1])
axes[0].barh(DIGITS, rival_share[order], color="#bbbbbb")
axes[0].set(yticks=DIGITS, yticklabels=order, ylabel="digit", xlabel="share with a rival", title="before training")
left = np.zeros(10)
for name, value, colour, hatch in (
    ("correct", 0, plots.COLOURS[0], None),
    ("wrong by a half turn", 2, plots.COLOURS[1], "///"),
):
    share = by_digit(off == value, test_labels)[order]
    axes[1].barh(DIGITS, share, left=left, color=colour, hatch=hatch, edgecolor="white", label=name)
    left += share
axes[1].barh(DIGITS, 1 - left, left=left, color="#dddddd", edgecolor="white", label="by a quarter turn")
axes[1].plot(with_shortcut_accuracy[order], DIGITS, "D", color="black", ms=5, ls="", label="correct with the shortcut")
axes[1].axvline(0.5, color="black", ls="--", lw=1)
axes[1].set(xlabel="share of the angles", xlim=(0, 1.01), title="after training: answers")
axes[2].plot(angle_loss[order], DIGITS, "o", color=plots.COLOURS[0], ms=7, ls="")
for level, name in ((np.log(2), "log 2"), (np.log(4), "log 4")):
    axes[2].axvline(level, color="black", ls=":", lw=1)
    axes[2].annotate(name, (level, 9.55), ha="center", size=8)
axes[2].set(xlabel="loss (20.3)", xlim=(0, 1.5), ylim=(-0.6, 10))
axes[2].set_title("after training: loss")
figure.legend(
    *axes[1].get_legend_handles_labels(), loc="lower center", bbox_to_anchor=(0.42, -0.09), ncols=4, fontsize=8
)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 20.4. Left: how many of each class have a rival, from the images alone, most at the bottom. Middle: the
# answers of the network without the shortcut; dashed: one half. Right: its losses, beside those of an image that is
# its own half turn (log 2) and of guessing (log 4).*

# %% tags=["aside"]
# @title Defines what claims 20.2 and 20.3 measure
fall = with_shortcut_accuracy - angle_accuracy  # what taking the shortcut away costs each digit
five = np.argsort(-rival_share)[:5]  # the digits with the most rivals


def gap(accuracy):
    """How much more accurate the angles of the five digits with fewer rivals are; accuracy: by digit."""
    return np.delete(accuracy, five).mean() - accuracy[five].mean()


# %%
claim(
    "20.2",
    "without the shortcut the angles of ones are predicted more than 30 points less accurately",
    fall[1] > 0.3,
    control=fall[4] > 0.3,  # a four has an up
)

# %%
claim(
    "20.3",
    "the angles of the five digits with the most rivals are more than 15 points less accurate, on average, than those "
    "of the others",
    gap(angle_accuracy) > 0.15,
    control=gap(with_shortcut_accuracy) > 0.15,
)

# %% [markdown]
# The images alone name the hard digits before any training: 0, 1 and 8, nearly their own half turns, and 2 and 5, which
# are so in the shapes of a pocket calculator. And the floor holds. In the recorded run the loss of ones is 0.73, just
# above $\log 2 \approx 0.69$: a handwritten one *is* its own half turn, as far as this network can tell. Zeros cost
# 0.95: some are near their quarter turns too. One digit is missed by so crude a count: the six, whose loss of 0.66 is
# above that of twos and fives.
#
# And now the answer to Figure 20.1:

# %% tags=["aside"]
# @title Draws figure 20.5
shown = np.stack([np.rot90(tests[i], r) for i, r in zip(asked, TURNS)])
answers = special.softmax(predict(network, shown)[:, 0], axis=-1)  # of the copy that is not turned once more
titles = [
    f"true {ANGLES[r]}\nsays {ANGLES[one.argmax()]}\n{'right' if one.argmax() == r else 'WRONG'}, {one.max():.0%}"
    for r, one in zip(TURNS, answers)
]
plots.show_images(shown, titles, columns=10)

# %% [markdown]
# *Figure 20.5. The digits of Figure 20.1: by what they were turned, what the network says, and how probable it
# holds its answer to be.*
#
# ## Debug it
#
# A snippet of a kind that is common on the web prepares the images before they are turned:


# %%
def from_the_web(x, like):
    """Bring every pixel to mean 0 and variance 1 over the training images `like`; the turns come after it."""
    return (x - like.mean(axis=0)) / (like.std(axis=0) + 1e-3)


# %% [markdown]
# It is sound advice elsewhere. Here even the angle of a one becomes easy again. Why? Ask what (20.5) says of a black
# image. It is its own quarter turn, so nobody can tell how it was turned, and a sound preparation must leave it so.

# %%
black = from_the_web(np.zeros_like(tests[:1]), like=images)
ghosts = four_rotations(black)  # what the pretext task makes of a black image
plots.show_images([ghost[0] for ghost in ghosts], [f"black, {angle}" for angle in ANGLES], columns=4, size=1.5)

# %% [markdown]
# *Figure 20.6. What the snippet makes of a black image, at the four angles.*
#
# The snippet subtracts the mean of *that pixel*, and so leaves the ghost of all digits, upright, in every image. Then
# the ghost is turned along. To read the angle, no digit is needed: count for each angle the pixels that agree with the
# ghost.


# %%
def accuracy_by_ghost(prepare):
    """How often an angle is told by the number of pixels that are those of a black image, prepared and turned alike."""
    ghosts = four_rotations(prepare(np.zeros_like(tests[:1])))
    agree = [
        [np.isclose(copy, ghost).sum(axis=(1, 2, 3)) for ghost in ghosts] for copy in four_rotations(prepare(tests))
    ]
    return np.mean(np.argmax(agree, axis=1) == np.arange(4)[:, None])


claim(
    "20.4",
    "prepared pixel by pixel, the background alone gives more than 99 % of the angles",
    accuracy_by_ghost(lambda x: from_the_web(x, like=images)) > 0.99,
    control=accuracy_by_ghost(lambda x: (x - images.mean()) / images.std()) > 0.99,
)

# %% [markdown]
# The control is the repair: one mean and one deviation for *all* pixels, which no turn can change. And the test to
# keep: **prepare turned images, and turn prepared ones: both have to be equal.** What is in the data themselves, such
# as the half pixel above, no such test sees. We train on the ghosts too, for the next question: what does a shortcut do
# to the features?

# %%
haunted, haunted_network = train_pretext(from_the_web(images, like=images), angles, EPOCHS)
ghost_off = turns_missing(haunted_network, from_the_web(tests, like=images))
print(f"with the ghost {np.mean(ghost_off == 0):.1%} of the angles are predicted correctly")

# %% [markdown]
# ## What has it learned?
#
# The angles were never of any interest: we want the features, for digits. To judge them, keep the backbone **frozen**
# and fit a linear probe to few labels. With $h$ for a block's features and $y$ for the one-hot class, minimise
#
# $$ \frac{1}{|\mathcal{D}|} \sum_{(h,\, y) \in \mathcal{D}} \bigl\| \mathbf{W} h + b - y \bigr\|^2
#    + \lambda \|\mathbf{W}\|^2 \tag{20.6} $$
#
# Squared errors are used because then there is a formula, and nothing about the training of the probe to argue about.
# There are fewer labels than features, so it solves as many equations as there are labels.


# %%
def probe(h, y, penalty):
    """Weights (10, d) and biases (10,) that minimise (20.6) for features h (count, d) and labels y (count,)."""
    truth, centre = np.eye(10)[y], h.mean(axis=0)
    level = truth.mean(axis=0)
    H = h - centre
    products = H @ H.T + len(y) * penalty * np.eye(len(y))
    W = np.linalg.solve(products, truth - level).T.astype(h.dtype) @ H  # (20.6)
    return W, level - W @ centre


# %% tags=["aside"]
# @title What proof (20.6) compares with
def sklearn_probe(h, y, penalty):
    fitted = Ridge(alpha=len(y) * penalty).fit(h, np.eye(10)[y])
    return fitted.coef_, fitted.intercept_


def labelled_features(count):
    for _ in range(count):
        m, d = (int(n) for n in rng.integers(5, 40, 2))
        yield rng.normal(1, 1, size=(m, d)), rng.integers(10, size=m), float(rng.uniform(0.01, 1))


# %%
prove("20.6", probe, sklearn_probe, cases=labelled_features(100))

# %% [markdown]
# A comparison with few labels is easily unfair. The rules here:
#
# - **The same labels.** Five of each digit, drawn at random, twenty times, the same draws for everybody.
# - **The same architecture.** The first rival is the same backbone, *untrained* (three of them): **random features**,
#   better than their name (Saxe et al., 2011). Its batch normalisation has seen the unlabelled images too.
# - **The same view.** Each block's maps are averaged down to 4 × 4 places and centred, then divided by a deviation over
#   2,000 unlabelled images: each number by its own, or all by one common deviation, so that rarely lit places are not
#   blown up.
# - **Everybody's best setting.** Block, scale and penalty $\lambda$ are chosen for each rival by itself, on digits that
#   were held back. (With fifty labels in earnest you would not have these: exercise 20.6.)


# %%
def draw(y, count, rng):
    """Positions of `count` items of each class, drawn at random."""
    return np.concatenate([rng.permutation(np.flatnonzero(y == label))[:count] for label in np.unique(y)])


def features_of(network, x):
    """What each block makes of images x, its maps averaged down to 4 x 4 places: a list of arrays (count, d)."""
    outputs = []
    for h in network.outputs:
        side = -(-h.shape[1] // 4)
        outputs.append(layers.Flatten()(layers.AveragePooling2D(side, side, "same")(h)))
    model = keras.Model(network.input, outputs)
    parts = [model(x[i : i + 500], training=False) for i in range(0, len(x), 500)]
    return [np.concatenate([ops.convert_to_numpy(h) for h in block]) for block in zip(*parts)]


def predicted(h, penalty, draws, y):
    """The classes of new images (draws, count), by a probe for each draw; h: features of labelled and of new images."""
    fits = [probe(h[0][chosen], y[chosen], penalty) for chosen in draws]
    return np.array([(h[1] @ W.T + b).argmax(axis=1) for W, b in fits])


# %% tags=["aside"]
# @title Makes the features of all rivals ready
def scaled(parts, scale):
    """Arrays of features (count, d), centred over the first and divided by a deviation over it: "own", each number by
    its own, or "common". Then by the root of d, so that an image's mean squared length is 1 and penalties compare."""
    centre, spread = parts[0].mean(axis=0), parts[0].std(axis=0)
    spread = np.sqrt(np.mean(spread**2)) if scale == "common" else spread + 1e-3
    return [((part - centre) / (spread * np.sqrt(part.shape[1]))).astype("float32") for part in parts]


def all_features(network, prepare=lambda x: x):
    """For each block the features of the unlabelled, the held-back and the test images."""
    return list(zip(*(features_of(network, prepare(x)) for x in (pool, held, tests))))


def of_maps(blocks):
    """The mean of each map over its 4 x 4 places, in such a list."""
    return [[part.reshape(len(part), 16, -1).mean(axis=1) for part in parts] for parts in blocks]


def untrained_backbone(x):
    """A backbone whose batch normalisation has seen images x, and whose weights are random."""
    network = backbone(x.shape[1:])
    for i in range(0, min(len(x), 10_000), 250):
        network(x[i : i + 250], training=True)
    return network


def blurred(x):
    return ndimage.gaussian_filter(x, (0, 1.5, 1.5, 0))


# %% tags=["aside"]
# @title Computes the features of all rivals
pool, pool_labels = images[:2000], labels[:2000]  # the labelled images are drawn from these
half_pixel = backbone(images.shape[1:])
half_pixel.set_weights(with_shortcut.get_weights())  # the same weights serve images of 29 pixels
found = {
    "rotation": [all_features(trained)],
    "half-pixel shortcut": [all_features(half_pixel)],
    "ghost": [all_features(haunted, lambda x: from_the_web(x, like=images))],
    "untrained": [all_features(untrained_backbone(images)) for _ in range(3)],
    "pixels": [[[x.reshape(len(x), -1) for x in (pool, held, tests)]]],
    "blurred pixels": [[[blurred(x).reshape(len(x), -1) for x in (pool, held, tests)]]],
}


# %%
draws = [draw(pool_labels, 5, rng) for _ in range(20)]


def held_back_accuracy(rival, block, scale, penalty):
    """For `course measure --sweep`: the mean accuracy on held-back digits of a rival's first network."""
    known, held_back, _ = scaled(found[rival][0][block - 1], scale)
    return np.mean(predicted((known, held_back), penalty, draws, pool_labels) == held_labels)


VIEWS = [(scale, penalty) for scale in ("own", "common") for penalty in (1e-3, 1e-2, 1e-1)]
settings = [
    {"rival": rival, "block": block, "scale": scale, "penalty": penalty}
    for rival in found
    for block in range(1, len(found[rival][0]) + 1)
    for scale, penalty in VIEWS
]
table = sweep("20.4", settings, held_back_accuracy)
best = {rival: (min(3, len(networks[0])), "common", 1e-2) for rival, networks in found.items()}
for row in sorted(table, key=lambda row: row["value"]):
    best[row["rival"]] = row["block"], row["scale"], row["penalty"]
for rival, (block, scale, penalty) in best.items():
    print(f"{rival:>20}: block {block}, {scale} deviation, penalty {penalty}")


# %%
def correct(rival, draws=draws):
    """Which test digits a rival's probes, at its best setting, classify correctly: (networks, draws, count)."""
    block, scale, penalty = best[rival]
    views = [scaled(network[block - 1], scale) for network in found[rival]]
    return np.array([predicted((known, new), penalty, draws, pool_labels) == test_labels for known, _, new in views])


verdicts = {rival: correct(rival) for rival in found}
accuracy = {rival: right.mean(axis=2) for rival, right in verdicts.items()}  # (networks, draws)
for rival, values in accuracy.items():
    print(f"{rival:>20}: {values.mean():.1%} of the test digits, ± {values.mean(axis=0).std():.1%} from draw to draw")


# %% tags=["aside"]
# @title Sweeps the autoencoder, a rival that needs no labels either
def autoencoder(features):
    """Chapter 16's idea around a backbone: 32 numbers between it and a decoder."""
    z = layers.Dense(32)(layers.Flatten()(features.outputs[-1]))
    h = layers.Reshape((4, 4, 64))(layers.Dense(1024, activation="relu")(z))
    for filters in (32, 16):
        h = layers.Conv2DTranspose(filters, 3, 2, "same", activation="relu")(h)
    h = layers.Conv2DTranspose(1, 3, 2, "same", activation="sigmoid")(h)
    return keras.Model(features.input, layers.Cropping2D(((0, 3), (0, 3)))(h))


def autoencoder_accuracy(rate):
    """For `course measure --sweep`: train one on as many images in as many steps, take its best view on held-back
    digits, and say the accuracy of its probes there and on test digits."""
    keras.utils.set_random_seed(seed())
    features, epochs, batch = backbone(images.shape[1:]), 4 * EPOCHS, 200
    model = autoencoder(features)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, epochs * len(images) // batch)))
    model.compile(model.optimizer, "binary_crossentropy", steps_per_execution=at_once(10))
    model.fit(images, images, batch, epochs, verbose=0)
    results = []
    for block, parts in enumerate(all_features(features), start=1):
        for scale, penalty in VIEWS:
            known, *new = scaled(parts, scale)
            values = [np.mean(predicted((known, h), penalty, draws, pool_labels) == y) for h, y in zip(new, truths)]
            results.append((*values, block))
    return dict(zip(("held", "test", "block"), max(results)))


truths = held_labels, test_labels
rows = sweep("20.5", {"rate": (1e-3, 3e-3, 1e-2)}, autoencoder_accuracy)
if rows:
    row = max(rows, key=lambda row: row["held"])
    print(f"autoencoder, rate {row['rate']}: {row['test']:.1%} of the test digits")
    accuracy["autoencoder, recorded"] = np.array([[row["test"]]])


# %% tags=["aside"]
# @title Draws figure 20.7
def by_block(networks, scale, penalty):
    """The accuracy on test digits at each block, (networks, blocks)."""
    few, views = draws[:10], [[scaled(parts, scale) for parts in network] for network in networks]
    return np.array(
        [[np.mean(predicted((k, new), penalty, few, pool_labels) == test_labels) for k, _, new in v] for v in views]
    )


FOUR = ("rotation", "half-pixel shortcut", "ghost", "untrained")
maps = {name: by_block(found[name], *best[name][1:]) for name in FOUR}
means = {name: by_block([of_maps(network) for network in found[name]], "common", 1e-2) for name in FOUR[::3]}
figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.5), width_ratios=[1, 1, 1.1])
plots.draw_curves(axes[0], maps, "block", "accuracy, test digits", "4 × 4 places of each map")
plots.draw_curves(axes[1], means, "block", "accuracy, test digits", "mean of each map")
for axis in axes[:2]:
    axis.set(xticks=[1, 2, 3, 4], ylim=(0.2, 0.85))
axes[0].legend(fontsize=8, loc="lower left")
axes[1].legend(fontsize=8, loc="upper left")
bars = {name: accuracy[name].mean(axis=0) for name in sorted(accuracy, key=lambda name: -accuracy[name].mean())}
plots.draw_bars(axes[2], bars, "accuracy, test digits", "each at its best", highlight=["rotation"])
axes[2].set_xlim(0.5, 0.85)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 20.7. Five labels of each digit. Left and middle: what a linear probe finds in each block (mean, lowest and
# highest network; ten draws). Right: every method at its best setting; circles: the draws. The axis begins at 0.5.*

# %%
others = max(accuracy[name].mean() for name in ("untrained", "pixels", "blurred pixels"))
claim(
    "20.5",
    "with five labels of each digit, a probe of rotation's features beats those of random features and of pixels, "
    "sharp or blurred, by more than 4 points, each at its best setting",
    accuracy["rotation"].mean() > others + 0.04,
    control=accuracy["ghost"].mean() > others + 0.04,
)

# %%
claim(
    "20.6",
    "even features that were trained with the half pixel in sight beat random ones by more than 2 points",
    accuracy["half-pixel shortcut"].mean() > accuracy["untrained"].mean() + 0.02,
    control=accuracy["ghost"].mean() > accuracy["untrained"].mean() + 0.02,
)

# %% [markdown]
# **What a shortcut does.** Both networks with a shortcut know nearly every angle. Their features differ widely: of the
# 8 points that rotation gains over random features, the half pixel costs 3, the ghost all 8. So neither the accuracy of
# the pretext task nor the presence of a shortcut says what the features are worth: probe them.
#
# **Look at the rivals.** Random features do best in their first block: at block 3 alone rotation would look better than
# it is. So it would if each number were divided by its own deviation: on held-back digits random features lose 4 points
# by it, rotation's 3. And an autoencoder (chapter 16) with the same backbone, images and steps, at the best of three
# rates, reaches 71 % (recorded), two thirds of the gain without an angle.
#
# **Which block?** The head sees no more of the last block than the mean of each of its 64 maps. Block 3 has 64 maps as
# well, so the comparison of these means is fair:

# %%
claim(
    "20.7",
    "the 64 channel means of block 3 tell more about digits than those of the last block, by more than 3 points",
    means["rotation"][:, 2].mean() > means["rotation"][:, 3].mean() + 0.03,
    control=means["untrained"][:, 2].mean() > means["untrained"][:, 3].mean() + 0.03,
)

# %% [markdown]
# What does not serve the answer may be dropped on the way to it. Gidaris et al. (2018) saw it on CIFAR-10: of four
# blocks the second told most about the classes, the last one least.
#
# ## How much is left once everyone augments?
#
# And training from scratch? The same backbone with a dense layer on its last block, on the same fifty labels: once from
# fresh weights, once from those that rotation has taught, all free to move, which is called **fine-tuning**. And each
# of them once more with what everybody does who has few labels: every image that is shown is warped a little, at random
# (turned by at most 15°, shifted, sheared, scaled), which is called *augmentation* (chapter 8).


# %%
def warped(x, rng):
    """Each image x (count, n, n, C) turned, sheared, scaled and shifted a little, by random amounts of its own."""
    turn, shear, size = rng.uniform(-1, 1, (3, len(x))) * [[np.pi / 12], [0.2], [0.13]]
    size, shear = np.exp(size), np.tan(shear)
    right = np.stack([np.cos(turn), np.sin(turn)]) * size  # where one step to the right leads
    down = np.stack([-np.sin(turn), np.cos(turn)]) * size + shear * right
    centre = (x.shape[1] - 1) / 2
    shift = centre - centre * (right + down) + rng.uniform(-1.5, 1.5, (2, len(x)))
    none = np.zeros(len(x))
    maps = np.stack([right[0], down[0], shift[0], right[1], down[1], shift[1], none, none], axis=1)
    return ops.convert_to_numpy(ops.image.affine_transform(x, maps.astype("float32")))


# %%
def trained_on_labels(begin, augment, rate, draws, new):
    """The classes (draws, count) that networks trained on these draws of labels give new images.

    begin: "fresh" weights, or those of "rotation". augment: whether the images are warped."""
    own = np.random.default_rng(seed())
    features = backbone(images.shape[1:])
    model = keras.Model(features.input, layers.Dense(10)(layers.Flatten()(features.outputs[-1])))
    rewind, classes = rewinder(prepare(model, STEPS, rate)), []
    for chosen in draws:
        rewind()
        source = trained if begin == "rotation" else backbone(images.shape[1:])
        features.set_weights(source.get_weights())
        rounds = -(-STEPS * 25 // len(chosen))
        seen = np.concatenate([own.permutation(chosen) for _ in range(rounds)])[: STEPS * 25]
        x = warped(images[seen], own) if augment else images[seen]
        model.fit(x, labels[seen], 25, shuffle=False, verbose=0)
        classes.append(predict(model, new).argmax(axis=1))
    return np.array(classes)


# %% tags=["aside"]
# @title Sweeps the rate of training from scratch and of fine-tuning, with and without augmentation
STEPS = budget(quick=300, full=2000, least=20)


def tuned_accuracy(begin, augment, rate, count):
    """For `course measure --sweep`: the mean accuracies on held-back and on test digits over three draws."""
    keras.utils.set_random_seed(seed())
    few = draws[:3] if count == 5 else [draw(pool_labels, count, np.random.default_rng(i)) for i in range(3)]
    right = trained_on_labels(begin, augment, rate, few, np.concatenate([held, tests])) == np.concatenate(truths)
    return {"held": right[:, : len(held)].mean(), "test": right[:, len(held) :].mean()}


def best_trained(begin, augment, count):
    """The row of the recorded sweep that is best on held-back digits, or one that a first sweep may do without."""
    wanted = {"begin": begin, "augment": augment, "count": count}
    rows = [row for row in trainings if wanted.items() <= row.items()]
    return max(rows, key=lambda row: row["held"], default=wanted | {"rate": 3e-3, "held": np.nan, "test": np.nan})


RATES = {"fresh": (3e-3, 1e-2, 3e-2), "rotation": (3e-4, 1e-3, 3e-3)}
settings = [
    {"begin": begin, "augment": augment, "rate": rate, "count": 5}
    for begin, rates in RATES.items()
    for augment in (False, True)
    for rate in rates
]
settings += [
    {"begin": "fresh", "augment": augment, "rate": 1e-2, "count": count}
    for count in (1, 20)
    for augment in (False, True)
]
beyond = [  # the edges at which two of them ended, and fine-tuning with fewer and with more labels
    {"begin": "fresh", "augment": False, "rate": 1e-1, "count": 5},
    {"begin": "rotation", "augment": True, "rate": 1e-2, "count": 5},
    {"begin": "rotation", "augment": True, "rate": 3e-3, "count": 1},
    {"begin": "rotation", "augment": True, "rate": 3e-3, "count": 20},
]
trainings = sweep("20.6", settings, tuned_accuracy) + sweep("20.9", beyond, tuned_accuracy)

# %%
for name, augment in (("from scratch", False), ("from scratch, augmented", True)):
    rate = best_trained("fresh", augment, 5)["rate"]
    right = trained_on_labels("fresh", augment, rate, draws[:3], tests) == test_labels
    accuracy[name] = right.mean(axis=1)[None]
    print(f"{name}, rate {rate}: {accuracy[name].mean():.1%} of the test digits, over three draws")

# %% tags=["aside"]
# @title Draws figure 20.8
COUNTS = (1, 2, 5, 10, 20, 50)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), width_ratios=[1, 1.1])
bars = {
    f"{name}, {'augmented' if augment else 'plain'}": best_trained(begin, augment, 5)["test"]
    for name, begin in (("from scratch", "fresh"), ("fine-tuned", "rotation"))
    for augment in (False, True)
}
plots.draw_bars(
    axes[0], bars, "accuracy, test digits", "five labels of each digit", highlight=["fine-tuned, augmented"]
)
for row, value in enumerate(bars.values()):
    axes[0].text(value + 0.005, row, f"{value:.3f}", va="center", size=9)
axes[0].set_xlim(0.5, 0.9)
for rival, line, marker, colour in (("rotation", "-", "o", 0), ("untrained", "--", "s", 1)):
    curve = [correct(rival, [draw(pool_labels, count, rng) for _ in range(6)]).mean() for count in COUNTS]
    axes[1].plot(COUNTS, curve, marker, ls=line, color=plots.COLOURS[colour], ms=5, label=f"frozen probe, {rival}")
for name, begin, augment, marker, line in (
    ("from scratch, plain", "fresh", False, "x", ":"),
    ("from scratch, augmented", "fresh", True, "^", ":"),
    ("fine-tuned, augmented", "rotation", True, "v", "-."),
):
    curve = [best_trained(begin, augment, count)["test"] for count in (1, 5, 20)]
    axes[1].plot((1, 5, 20), curve, marker, ls=line, color="black", ms=6, mfc="white", label=name)
axes[1].set(
    xscale="log", xticks=COUNTS, xticklabels=COUNTS, xlabel="labels of each digit", ylabel="accuracy, test digits"
)
axes[1].minorticks_off()
axes[1].legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 20.8. Left: four trainings of all weights, each at its best rate (recorded; mean of three draws). Right:
# accuracy against the number of labels; only the probes are of this run.*

# %%
claim(
    "20.8",
    "trained from scratch on augmented images, the network beats the frozen probe of rotation's features by more than "
    "3 points",
    accuracy["from scratch, augmented"].mean() > accuracy["rotation"][:, :3].mean() + 0.03,
    control=accuracy["from scratch"].mean() > accuracy["rotation"][:, :3].mean() + 0.03,
)

# %% [markdown]
# The ordinary rival reverses the order. Warped images add 20 points to training from scratch, 13 to fine-tuning, and
# both leave the frozen probe behind. With five labels of each digit next to nothing is left of rotation once everyone
# augments: 82.1 % against 81.7 %. With *one* label of each, 8 points are left (56 % against 48 %), with twenty 1 or 2.
# Without augmentation you would have read 7 points at five labels. Fine-tuning without augmentation (69 %) does not
# even reach the probe; it reads block 4, the probe block 3.
#
# ## Which labels does it teach?
#
# An accuracy over all digits hides the answer to the question of this chapter. So take the probes apart, digit by
# digit. And if eights are read better, is it because the network was asked about eights? Three more networks were
# trained on the pretext task, in as many steps, without a single zero or eight (recorded).


# %% tags=["aside"]
# @title Trains without zeros and eights under `course measure --sweep`
def without_two(start):
    """For `course measure --sweep`: the recall of each test digit with features of a network that met no 0 and no 8."""
    keras.utils.set_random_seed(seed() + start)
    rest = images[~np.isin(labels, [0, 8])]
    features, _ = train_pretext(rest, angles_of(len(rest)), round(EPOCHS * len(images) / len(rest)))
    found["without 0 and 8"], best["without 0 and 8"] = [all_features(features)], best["rotation"]
    right = correct("without 0 and 8").mean(axis=(0, 1))
    return {str(digit): value for digit, value in enumerate(by_digit(right, test_labels))}


rows = sweep("20.7", {"start": (1, 2, 3)}, without_two)
recall = {name: by_digit(right.mean(axis=(0, 1)), test_labels) for name, right in verdicts.items()}
recall["without 0 and 8, recorded"] = np.mean([[row[str(digit)] for digit in DIGITS] for row in rows], axis=0)

# %% [markdown]
# **Question 20.d.** These networks met no eight. Does a probe of their features, which gets five labels of each digit
# as always, classify eights better, or no better, than one of random features?

# %%
ask(
    "20.d",
    "better",
    choices=("better", "no better"),
    why="The features that other digits have taught serve eights too.",
    hint="The features are the same for all digits. What do an eight and a three have in common?",
)

# %% tags=["aside"]
# @title Draws figure 20.9
gain = {name: values - recall["untrained"] for name, values in recall.items()}
for name, values in recall.items():
    zeros, *_, eights, _ = np.broadcast_to(values, 10)
    print(f"{name:>25}: {zeros:.1%} of the zeros, {eights:.1%} of the eights")
figure, axis = plt.subplots(figsize=(7.5, 3.6))
axis.hlines(DIGITS, recall["untrained"][order], recall["rotation"][order], color="#999999", lw=2, ls="-")
for name, marker, colour in (("untrained", "s", 1), ("rotation", "o", 0), ("without 0 and 8, recorded", "D", 2)):
    values, face = np.broadcast_to(recall[name], 10)[order], "none" if marker == "D" else None
    axis.plot(values, DIGITS, marker, color=plots.COLOURS[colour], mfc=face, mew=1.5, ls="", label=name)
axis.set(yticks=DIGITS, yticklabels=order, ylabel="digit", xlabel="share of its test images classified correctly")
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 20.9. How much of each digit a probe classifies correctly, with random features, with rotation's, and with
# those of networks that met no zero and no eight.*

# %%
claim(
    "20.9",
    "with rotation's features a probe classifies over 4 points more of the eights correctly than with random features",
    gain["rotation"][8] > 0.04,
    control=gain["ghost"][8] > 0.04,
)

# %% [markdown]
# A label does not have to be *in* the question. In the recorded run a probe of random features classifies 50 % of the
# eights, of rotation's 61 %, and without a zero or an eight in the pretext task 59 %. What the network finds to place
# other digits serves eights as well.
#
# What makes no difference to the angle need not be learned. Threes, fours and sevens all have a sure up, and nothing in
# (20.3) asks to keep them apart. Feng et al. (2019) therefore train one part of the features on a question that no turn
# affects. The next chapter turns the thought round: there the network is told what should make *no* difference.
#
# ## And photographs?
#
# Rotation was invented for photographs, where up is where the sky is. The same backbone, on 8,000 images of CIFAR-10
# (recorded):


# %% tags=["aside"]
# @title Trains on photographs under `course measure --sweep`, and draws figure 20.10
def photographs(epochs):
    """For `course measure --sweep`: the accuracy of the angle, class by class, and that of probes on 50 labels of each
    class, at their best view on held-back photographs, with rotation's features and with random ones."""
    keras.utils.set_random_seed(seed())
    own, cifar = np.random.default_rng(seed()), data.cifar10()
    x, y = as_input(cifar.x_train[:8000]), cifar.y_train[:8000]
    sets = [(x[:2000], y[:2000]), (as_input(cifar.x_train[-1000:]), cifar.y_train[-1000:])]
    sets.append((as_input(cifar.x_test[:2000]), cifar.y_test[:2000]))
    features, network = train_pretext(x, angles_of(len(x)), epochs)
    results = dict(zip(cifar.classes, by_digit(turns_missing(network, sets[2][0]) == 0, sets[2][1])))
    few = [draw(sets[0][1], 50, own) for _ in range(5)]
    for name, network in (("probe of rotation", features), ("probe of untrained", untrained_backbone(x))):
        seen = []
        for parts in zip(*(features_of(network, images) for images, _ in sets)):
            for scale, penalty in VIEWS:
                known, *new = scaled(parts, scale)
                right = [predicted((known, h), penalty, few, sets[0][1]) == z for h, (_, z) in zip(new, sets[1:])]
                seen.append([one.mean() for one in right])
        results[name] = max(seen)[1]
    return results


rows = sweep("20.8", {"epochs": (3,)}, photographs)
if rows:
    of_classes = {name: value for name, value in rows[0].items() if " " not in name and name != "epochs"}
    bars = {name: of_classes[name] for name in sorted(of_classes, key=of_classes.get, reverse=True)}
    figure, axis = plt.subplots(figsize=(6.5, 3))
    plots.draw_bars(axis, bars, "accuracy of the angle, test photographs", levels={"guessing": 0.25})
    axis.set_xlim(0, 1)
    plt.show()
    print({name: round(value, 3) for name, value in rows[0].items() if name.startswith("probe")})

# %% [markdown]
# *Figure 20.10. How often the angle of a test photograph is predicted correctly, class by class (recorded).*
#
# Trucks, ships, cars and horses have an up; of cats and dogs the network has hardly found one. With fifty labels of
# each class, probes reach 37.7 %, and 36.8 % with random features: next to no gain in three epochs.
#
# ## This run

# %%
record(
    angle_accuracy=np.mean(off == 0),
    probe_of_rotation=accuracy["rotation"].mean(),
    probe_of_untrained=accuracy["untrained"].mean(),
    probe_of_pixels=accuracy["pixels"].mean(),
    probe_of_half_pixel=accuracy["half-pixel shortcut"].mean(),
    probe_of_ghost=accuracy["ghost"].mean(),
    from_scratch=accuracy["from scratch"].mean(),
    from_scratch_augmented=accuracy["from scratch, augmented"].mean(),
)

# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use. Angles are counted in quarter turns to the left.
#
# **Exercise 20.1 ★** `FourTurns` puts out all upright images first. With NumPy, make a batch in which the four copies
# of one image stand together.


# %%
# Exercise 20.1
def four_copies(images):
    """Every image at its four angles, and the labels of the pretext task.

    images: array (count, n, n, C). Returns copies (4 count, n, n, C) and labels (4 count,),
    whole numbers. Copy 4 i + r is image i after r quarter turns to the left, and has label r.
    Raises ValueError where the images are not square; its message names the number of rows and
    the number of columns.
    Example: four_copies(np.array([[[[1], [2]], [[3], [4]]]]))[0][1, :, :, 0] is
    [[2, 4], [1, 3]].
    """
    ### BEGIN SOLUTION
    rows, columns = images.shape[1:3]
    if rows != columns:
        raise ValueError(f"the images have {rows} rows and {columns} columns")
    copies = np.stack([np.rot90(images, r, axes=(1, 2)) for r in range(4)], axis=1)
    return copies.reshape(4 * len(images), *images.shape[1:]), np.tile(np.arange(4), len(images))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import numpy as np

ex = exercise("20.1")
ex.hints(
    "Do it for one image of 2 x 2 numbers, with paper and pencil, before you do it for many.",
    "`np.rot90` turns in the plane of two axes. Which two axes of a batch hold rows and columns?",
    "Stack the four turned batches along a new axis 1, behind that of the images; then merge the two axes into one.",
)


@ex.cases
def _(rng):
    def whole(*shape):
        return rng.integers(0, 10, shape)

    yield (np.array([[[[1], [2]], [[3], [4]]]]),)
    yield (whole(1, 3, 3, 2),)
    yield (whole(3, 3, 3, 1),)  # as many images as rows
    yield (whole(2, 1, 1, 2),)
    yield (whole(4, 2, 2, 4),)
    for _ in range(7):
        n, channels, count = (int(v) for v in rng.integers((2, 1, 1), (5, 4, 5)))
        yield (whole(count, n, n, channels),)
    yield (rng.integers(0, 40, (2, 3, 3, 1)) / 4,)
    yield (whole(3, 4, 5, 1),)
    yield (whole(2, 6, 3, 2),)
    yield (whole(4, 4, 7, 1),)
    yield (whole(2, 3, 5, 3),)


@ex.oracle
def _(images):
    # Pixel by pixel: where does each number come from?
    count, n, width, _ = images.shape
    if n != width:
        raise naming(ValueError, n, width)
    copies = np.zeros((4 * count, *images.shape[1:]))  # floats, for which whole numbers may stand
    for i, u, v in np.ndindex(count, n, n):
        copies[4 * i, u, v] = images[i, u, v]
        copies[4 * i + 1, u, v] = images[i, v, n - 1 - u]
        copies[4 * i + 2, u, v] = images[i, n - 1 - u, n - 1 - v]
        copies[4 * i + 3, u, v] = images[i, n - 1 - v, u]
    return copies, np.array([0, 1, 2, 3] * count)


def _left(images, r):
    return np.rot90(images, r, axes=(1, 2))


def _copies(images, turn=_left):
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"{images.shape[1]} rows, {images.shape[2]} columns")
    return np.stack([turn(images, r) for r in range(4)], axis=1).reshape(-1, *images.shape[1:])


def _labels(images):
    return np.tile(np.arange(4), len(images))


def _in_blocks(images):
    _copies(images)
    return np.concatenate([_left(images, r) for r in range(4)])


@ex.wrong
def to_the_right(images):
    """Your images turn to the right. The order of the two axes says which way a quarter turn goes."""
    return _copies(images, lambda x, r: np.rot90(x, r, axes=(2, 1))), _labels(images)


@ex.wrong
def labels_in_blocks(images):
    """The copies are in the right order and the labels are not: yours come in blocks of equal ones, while the four
    copies of an image stand together and have four labels."""
    return _copies(images), np.repeat(np.arange(4), len(images))


@ex.wrong
def angle_by_angle(images):
    """Copies and labels belong together, but stand in the order of the angles; the four copies of one image have to
    stand together."""
    return _in_blocks(images), np.repeat(np.arange(4), len(images))


@ex.wrong
def copies_in_blocks(images):
    """The copies come angle by angle, and the labels as for copies that stand together. The labels are what the
    docstring asks for; let the copies follow them, image by image."""
    return _in_blocks(images), _labels(images)


@ex.wrong
def one_angle(images):
    """All copies but the first are turned alike. Copy r needs r quarter turns, not one."""
    return _copies(images, lambda x, r: _left(x, min(r, 1))), _labels(images)


@ex.wrong
def mirrored(images):
    """Exchanging rows and columns mirrors an image at its diagonal. A quarter turn needs one more flip."""
    return _copies(
        images, lambda x, r: (x.transpose(0, 2, 1, 3) if r % 2 else x)[:, :: -1 if r > 1 else 1, :]
    ), _labels(images)


@ex.wrong
def upside_down(images):
    """A half turn reverses the rows and the columns. Reversing the rows alone gives a mirror image."""
    return _copies(images, lambda x, r: x[:, ::-1] if r == 2 else _left(x, r)), _labels(images)


@ex.wrong
def degrees_for_turns(images):
    """np.rot90 counts quarter turns, not degrees: 90 of them are two, and 180 are none."""
    return _copies(images, lambda x, r: _left(x, 90 * r)), _labels(images)


@ex.wrong
def first_two_axes(images):
    """np.rot90 without `axes` turns the first two axes, so images and rows change places. The axes of the rows and
    the columns are 1 and 2."""
    return _copies(images, np.rot90), _labels(images)


@ex.wrong
def in_degrees(images):
    """The images are right. The labels have to be the numbers of quarter turns, 0 to 3, not degrees: they are
    classes."""
    return _copies(images), 90 * _labels(images)


@ex.wrong
def labels_of_images(images):
    """Your label says which image a copy was made from. The pretext task asks by how much it was turned."""
    return _copies(images), np.repeat(np.arange(len(images)), 4)


@ex.wrong
def silent(images):
    """The copies are right. Images that are not square are refused with a ValueError whose message names both sizes."""
    if images.shape[1] != images.shape[2]:
        raise ValueError("not square")
    return _copies(images), _labels(images)


@ex.right
def turn_by_turn(images):
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"{images.shape[1]} by {images.shape[2]} is not square")
    copies, labels = [], []
    for image in images:
        for r in range(4):
            copies.append(image)
            labels.append(r)
            image = image.transpose(1, 0, 2)[::-1]
    return np.array(copies), np.array(labels)


@ex.right
def filled_in(images):
    count, rows, columns, channels = images.shape
    if rows != columns:
        raise ValueError(f"{rows} rows, {columns} columns")
    copies = np.zeros((4 * count, rows, columns, channels))
    for r in range(4):
        copies[r::4] = np.rot90(images, r, axes=(1, 2))
    return copies, np.arange(4 * count) % 4


# %%
check("20.1", four_copies)

# %% [markdown]
# **Exercise 20.2 ★★** An image in the batch of the pretext task is turned or mirrored once more. What is its label now?
# (The mirror image of an upright image counts as upright. Turn a sheet of paper if you have to.)


# %%
# Exercise 20.2
def label_after(label, moves):
    """The label of the pretext task after some more moves.

    label: 0 to 3, the quarter turns to the left that the image has had. moves: list of texts,
    made one after the other, and possibly none: "left" or "right" (a quarter turn), "half" (a
    half turn) or "mirror" (left and right exchanged). The list stays as it is.
    Returns a whole number from 0 to 3. Raises ValueError for any other label or move.
    Example: label_after(0, ["left", "mirror"]) is 3.
    """
    ### BEGIN SOLUTION
    if label not in range(4):
        raise ValueError(f"a label is 0, 1, 2 or 3, not {label}")
    for move in moves:
        if move == "mirror":
            label = -label  # what turned to the left has turned to the right
        elif move in ("left", "half", "right"):
            label += {"left": 1, "half": 2, "right": 3}[move]
        else:
            raise ValueError(f"{move!r} is no move")
    return label % 4
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("20.2")
ex.hints(
    "Draw an arrow that points up. Where does it point after a quarter turn to the left, and after the mirror?",
    "A mirror leaves an arrow as it is that points up or down, and exchanges the other two.",
    "Turns add to the label, modulo 4. A mirror changes its sign: r quarter turns to the left become r to the right.",
)
MOVES = ["left", "right", "half", "mirror"]


@ex.cases
def _(rng):
    yield 0, ["left", "mirror"]
    yield 1, ["mirror", "left"]
    for label in range(4):
        yield label, []
        for move in MOVES:
            yield label, [move]
        yield label, ["left", "left"]
        yield label, ["right", "right", "right"]
    for _ in range(14):
        yield int(rng.integers(4)), [MOVES[i] for i in rng.integers(4, size=rng.integers(2, 7))]
    yield from [(4, ["left"]), (4, []), (-1, ["mirror"]), (-1, []), (90, ["half"])]
    yield from [(2, ["left", "up"]), (1, ["up"]), (0, ["Left"]), (3, ["mirror", "", "left"])]


@ex.oracle
def _(label, moves):
    # Do it to an arrow, which is its own mirror image, and look where it points.
    if label not in (0, 1, 2, 3):
        raise ValueError("no such label")
    arrow = np.pad(np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]), [(0, 0), (1, 1)])
    image = np.rot90(arrow, label)
    for move in moves:
        if move == "mirror":
            image = image[:, ::-1]
        elif move in ("left", "right", "half"):
            image = np.rot90(image, ["left", "half", "right"].index(move) + 1)
        else:
            raise ValueError("no such move")
    return next(r for r in range(4) if np.array_equal(image, np.rot90(arrow, r)))


def _walk(label, moves, mirror, left=1, modulo=True, labels=range(4), known=MOVES):
    if label not in labels:
        raise ValueError(f"no label: {label}")
    for move in moves:
        if move not in MOVES and known is MOVES:
            raise ValueError(f"no move: {move}")
        label = mirror(label) if move == "mirror" else label + {"left": left, "half": 2, "right": -left}.get(move, 0)
    return label % 4 if modulo else label


@ex.wrong
def last_move_first(label, moves):
    """You made the moves in the reverse order. With a mirror among them, the order matters."""
    return _walk(label, moves[::-1], lambda r: -r)


@ex.wrong
def mirror_ignored(label, moves):
    """A mirror leaves an upright image and one that stands on its head as they are, and exchanges the other two."""
    return _walk(label, moves, lambda r: r)


@ex.wrong
def mirror_as_half_turn(label, moves):
    """A mirror that exchanges left and right does not turn an image on its head: it is no half turn."""
    return _walk(label, moves, lambda r: r + 2)


@ex.wrong
def top_and_bottom(label, moves):
    """This is the mirror that exchanges top and bottom. The one that is meant exchanges left and right."""
    return _walk(label, moves, lambda r: 2 - r)


@ex.wrong
def off_by_one(label, moves):
    """Your mirror makes 3 - r of the label r, and so turns an upright image. Label 0 has to stay 0, and 2 has to
    stay 2."""
    return _walk(label, moves, lambda r: 3 - r)


@ex.wrong
def mirror_sets_upright(label, moves):
    """After your mirror every image counts as upright. Only the mirror image of an *upright* one does; one that
    points to the left points to the right afterwards."""
    return _walk(label, moves, lambda r: 0)


@ex.wrong
def left_for_right(label, moves):
    """Left and right are exchanged: labels count the quarter turns to the left."""
    return _walk(label, moves, lambda r: -r, left=-1)


@ex.wrong
def never_wraps(label, moves):
    """Four quarter turns are none: the label has to come back into the range from 0 to 3."""
    return _walk(label, moves, lambda r: -r, modulo=False)


@ex.wrong
def any_label(label, moves):
    """Right for good labels. One outside 0 to 3 has to be refused with a ValueError, even where no move follows."""
    return _walk(label, moves, lambda r: -r, labels=range(-1000, 1000))


@ex.wrong
def any_move(label, moves):
    """Right for good moves. An unknown one has to be refused with a ValueError; you pass over it."""
    return _walk(label, moves, lambda r: -r, known=None)


@ex.right
def by_table(label, moves):
    after = {"left": [1, 2, 3, 0], "half": [2, 3, 0, 1], "right": [3, 0, 1, 2], "mirror": [0, 3, 2, 1]}
    if label not in after["left"]:
        raise ValueError(label)
    for move in moves:
        if move not in after:
            raise ValueError(move)
        label = after[move][label]
    return label


# %%
check("20.2", label_after)

# %% [markdown]
# **Exercise 20.3 ★★★** (20.5) is the floor of the loss. Accuracy has a ceiling, too: compute it for any finite world,
# with everything that can happen in one: symmetric images, images that are each other's turned copy, and an image that
# is listed twice.


# %%
# Exercise 20.3
def best_angle_accuracy(images, counts):
    """The largest share of angles that any function can predict correctly from what it is shown.

    images: array (K, n, n). counts: array (K,) of whole numbers >= 0: how often each image is met
    upright. Every image is shown at all four angles, equally often. The same image may be
    listed more than once.
    Returns a float. Raises ValueError where the images are not square, or where all counts
    are 0.
    Example: for images = [[[1, 0], [0, 0]]] and counts = [3] it is 1; for [[[1, 0], [0, 1]]]
    and [1] it is 0.5.
    """
    ### BEGIN SOLUTION
    if images.shape[1] != images.shape[2]:
        raise ValueError("only square images keep their shape when they are turned")
    if not np.any(counts):
        raise ValueError("no image is ever met")
    met = {}
    for image, count in zip(images, counts):
        for r in range(4):
            met.setdefault(np.rot90(image, r).tobytes(), np.zeros(4))[r] += count
    return float(sum(max(row) for row in met.values()) / (4 * np.sum(counts)))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("20.3")
ex.hints(
    "What is the best thing to say when an image is shown? Which of its angles led to it most often?",
    "Make a table: a row for each different image that can be shown, a column for each angle, counts in it.",
    "From each row you win the largest count. Divide their sum by the sum of the whole table.",
)


@ex.cases
def _(rng):
    corner, other, line = [[1, 0], [0, 0]], [[0, 0], [0, 1]], [[1, 0], [0, 1]]
    yield np.array([corner]), np.array([3])
    yield np.array([line]), np.array([1])
    yield np.ones((1, 3, 3), int), np.array([2])
    yield np.array([corner, other]), np.array([1, 1])
    yield np.array([corner, other]), np.array([9, 1])
    yield np.array([corner, other]), np.array([4, 0])
    yield np.array([corner, other]), np.array([0, 4])
    yield np.array([corner, corner]), np.array([1, 3])
    yield np.array([corner, corner, other]), np.array([2, 2, 3])
    yield np.array([line, corner, np.rot90(corner)]), np.array([5, 2, 3])
    yield np.array([np.ones((2, 2), int), line]), np.array([1, 6])
    for i in range(14):
        images = rng.integers(0, 2, size=(int(rng.integers(3, 7)), 2 + i % 2, 2 + i % 2))
        images[-1] = np.rot90(images[0], rng.integers(4))
        if i % 3 == 0:
            images[1] = images[1] | np.rot90(images[1], 2)
        if i % 4 == 0:
            images[1] = images[0]
        counts = rng.integers(0, 6, size=len(images))
        counts[0] += 1
        yield images, counts
    yield rng.integers(0, 2, size=(2, 3, 4)), np.array([1, 2])
    yield rng.integers(0, 2, size=(3, 2, 1)), np.array([1, 0, 2])
    yield np.array([corner, line]), np.array([0, 0])
    yield np.zeros((1, 3, 3), int), np.array([0])


@ex.oracle
def _(images, counts):
    # Write the world down, image by image, and win the commonest angle of whatever is shown.
    if images.shape[1] != images.shape[2] or not counts.any():
        raise ValueError("refused")
    world = [(np.rot90(x, r).tolist(), r) for x, c in zip(images, counts) for r in range(4) for _ in range(c)]
    different = [shown for i, (shown, _) in enumerate(world) if shown not in [other for other, _ in world[:i]]]
    won = sum(max(world.count((shown, r)) for r in range(4)) for shown in different)
    return won / len(world)


def _refuse(images, counts):
    if images.shape[1] != images.shape[2] or not np.any(counts):
        raise ValueError("refused")


def _same(image):
    return sum(np.array_equal(image, np.rot90(image, r)) for r in range(4))


def _table(images, counts, add=lambda old, count: old + count):
    met = {}
    for image, count in zip(images, counts):
        for r in range(4):
            row = met.setdefault(np.rot90(image, r).tobytes(), np.zeros(4))
            row[r] = add(row[r], count)
    return list(met.values())


@ex.wrong
def symmetry_only(images, counts):
    """You counted the turns that leave an image as it is. An image can also be the turned copy of another one in the
    list, and then the two cannot be told apart either."""
    _refuse(images, counts)
    return float(sum(count / _same(image) for image, count in zip(images, counts)) / np.sum(counts))


@ex.wrong
def each_image_alike(images, counts):
    """Not all images are met equally often: weigh each by its count."""
    _refuse(images, counts)
    rows = _table(images, counts)
    share = {image.tobytes(): max(row) / max(sum(row), 1) for image, row in _rows(images, rows)}
    return float(np.mean([share[image.tobytes()] for image in images]))


def _rows(images, rows):
    keys = []
    for image in images:
        for r in range(4):
            key = np.rot90(image, r)
            if not any(np.array_equal(key, known) for known in keys):
                keys.append(key)
    return zip(keys, rows)


@ex.wrong
def last_twin_counts(images, counts):
    """Where two images, turned, become the same one, your table keeps the count of the last and forgets those before.
    They add up."""
    _refuse(images, counts)
    return float(sum(max(row) for row in _table(images, counts, lambda old, count: count)) / (4 * np.sum(counts)))


@ex.wrong
def commonest_image_wins(images, counts):
    """You say the angle of the largest single entry. An image that is listed twice is one image, with the sum of both
    counts."""
    _refuse(images, counts)
    return float(sum(max(row) for row in _table(images, counts, max)) / (4 * np.sum(counts)))


@ex.wrong
def by_lot(images, counts):
    """This is the accuracy of saying each angle with its own probability. It is better to say the most probable one
    every time."""
    _refuse(images, counts)
    rows = [row for row in _table(images, counts) if row.sum()]
    return float(sum(np.sum(row**2) / row.sum() for row in rows) / (4 * np.sum(counts)))


@ex.wrong
def four_times(images, counts):
    """Four times too much: every image is shown at four angles, so there are four times as many answers as images."""
    _refuse(images, counts)
    return float(sum(max(row) for row in _table(images, counts)) / np.sum(counts))


@ex.wrong
def half_turns_only(images, counts):
    """You looked at the half turn only. An image can be unchanged by quarter turns as well, or be another one's quarter
    turn."""
    _refuse(images, counts)
    met = {}
    for image, count in zip(images, counts):
        for r in (0, 2):
            met.setdefault(np.rot90(image, r).tobytes(), np.zeros(4))[r] += count
    return float(sum(max(row) for row in met.values()) / (2 * np.sum(counts)))


@ex.wrong
def refuses_nothing(images, counts):
    """Right for good input. Images that are not square, and counts that are all 0, have to be refused."""
    return float(sum(max(row) for row in _table(images, counts)) / (4 * max(np.sum(counts), 1)))


@ex.right
def by_posterior(images, counts):
    if images.shape[1] != images.shape[2]:
        raise ValueError("not square")
    if not any(counts):
        raise ValueError("an empty world")
    won = 0
    for image, count in zip(images, counts):
        for r in range(4):  # the image is shown after r turns: is r what is said, and by how many ways is it tied?
            shown = np.rot90(image, r)
            ways = [sum(c for x, c in zip(images, counts) if np.array_equal(np.rot90(x, q), shown)) for q in range(4)]
            won += count * (ways[r] == max(ways)) / ways.count(max(ways))
    return float(won / sum(counts) / 4)


ex.equivalent(
    "'5' for '4' in 'met.setdefault(np.rot90(image, r).tobytes(), np.zeros(4))...'",
    "room for an angle that never occurs",
)

# %%
check("20.3", best_angle_accuracy)

# %% [markdown]
# **Exercise 20.4 ★** Which images get a label? A fair draw takes as many of each class, in a random order, which is
# handed to you.


# %%
# Exercise 20.4
def few_labels(labels, count, order):
    """Positions of the images whose labels may be used: `count` of each class.

    labels: array (n,) of whole numbers. count: whole number >= 1. order: array (n,), a
    permutation of 0 to n - 1: of each class, take those that come first in this order.
    Returns the positions in increasing order. Raises ValueError where a class that
    occurs in `labels` has fewer than `count` members.
    Example: few_labels(np.array([7, 3, 7, 3, 7]), 1, np.array([4, 3, 2, 1, 0])) is [3, 4].
    """
    ### BEGIN SOLUTION
    chosen = []
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        if len(of_class) < count:
            raise ValueError(f"class {label} has {len(of_class)} images, and {count} are asked for")
        chosen.append(of_class[:count])
    return np.sort(np.concatenate(chosen))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("20.4")
ex.hints(
    "What is `labels[order]`? Print it for the example.",
    "For one class: the places of the order at which an image of that class stands, and the first few of them.",
    "Collect `order[labels[order] == label][:count]` for every class, refuse where it is too short, sort at the end.",
)


@ex.cases
def _(rng):
    yield np.array([7, 3, 7, 3, 7]), 1, np.array([4, 3, 2, 1, 0])
    yield np.array([5, 5, 2]), 1, np.array([2, 0, 1])
    yield np.array([5, 5, 5, 2]), 1, np.array([1, 3, 0, 2])
    yield np.array([4, 4]), 2, np.array([1, 0])
    for _ in range(18):
        classes, count = rng.choice(12, size=int(rng.integers(2, 5)), replace=False), int(rng.integers(1, 4))
        labels = rng.permutation(np.concatenate([np.repeat(classes, count), rng.choice(classes, size=10)]))
        yield labels, count, rng.permutation(len(labels))
    yield np.array([0, 0, 1, 0, 0]), 2, np.array([2, 0, 1, 4, 3])
    yield np.array([6, 6, 6]), 4, np.array([2, 0, 1])
    yield np.array([9, 9, 0]), 2, np.array([2, 0, 1])
    yield np.array([0, 9, 9]), 2, np.array([2, 0, 1])
    yield rng.integers(0, 3, size=8), 9, rng.permutation(8)


@ex.oracle
def _(labels, count, order):
    taken = {int(label): [] for label in labels}
    for place in order.tolist():
        if len(taken[int(labels[place])]) < count:
            taken[int(labels[place])].append(place)
    if any(len(places) < count for places in taken.values()):
        raise ValueError("a class is too small")
    return np.array(sorted(place for places in taken.values() for place in places))


def _enough(labels, count):
    if np.unique(labels, return_counts=True)[1].min() < count:
        raise ValueError("too few")


@ex.wrong
def not_stratified(labels, count, order):
    """You took the right number in all, whatever their classes: some class may get no label. Take `count` of each."""
    _enough(labels, count)
    return np.sort(order[: count * len(np.unique(labels))])


@ex.wrong
def first_in_the_file(labels, count, order):
    """You took the first of each class in the data set, for every order the same. The order that you are handed
    decides."""
    _enough(labels, count)
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


@ex.wrong
def places_in_the_order(labels, count, order):
    """These are positions within `order`. Look up which image stands there."""
    _enough(labels, count)
    shuffled = labels[order]
    return np.sort(np.concatenate([np.flatnonzero(shuffled == label)[:count] for label in np.unique(labels)]))


@ex.wrong
def mask_on_the_order(labels, count, order):
    """A mask made from `labels` picks by position in the data set; you applied it to `order`, where place 5 is some
    other image. Ask for the label of the image that stands at each place of the order."""
    _enough(labels, count)
    return np.sort(np.concatenate([order[labels == label][:count] for label in np.unique(labels)]))


@ex.wrong
def last_ones(labels, count, order):
    """You took those that come last in the order; it is the first."""
    _enough(labels, count)
    return np.sort(np.concatenate([order[labels[order] == label][-count:] for label in np.unique(labels)]))


@ex.wrong
def class_by_class(labels, count, order):
    """The right images, class by class. Return their positions in increasing order."""
    _enough(labels, count)
    return np.concatenate([order[labels[order] == label][:count] for label in np.unique(labels)])


@ex.wrong
def in_the_order(labels, count, order):
    """The right images, in the order that you were handed. Return their positions in increasing order."""
    _enough(labels, count)
    chosen = np.concatenate([order[labels[order] == label][:count] for label in np.unique(labels)])
    return order[np.isin(order, chosen)]


@ex.wrong
def order_as_ranks(labels, count, order):
    """You read order[i] as the rank of image i. It is the image that comes at place i."""
    _enough(labels, count)
    return small_classes_pass(labels, count, np.argsort(order))


@ex.wrong
def just_enough_refused(labels, count, order):
    """You refuse a class that has exactly `count` members. That is enough: fewer are too few."""
    _enough(labels, count + 1)
    return small_classes_pass(labels, count, order)


@ex.wrong
def small_classes_pass(labels, count, order):
    """Where a class has too few members you return what there is, and a comparison would go on with fewer labels than
    it says. Refuse."""
    return np.sort(np.concatenate([order[labels[order] == label][:count] for label in np.unique(labels)]))


@ex.wrong
def their_labels(labels, count, order):
    """These are the labels of the chosen images. Asked for are their positions."""
    _enough(labels, count)
    return labels[small_classes_pass(labels, count, order)]


@ex.right
def by_rank(labels, count, order):
    if min(np.sum(labels == label) for label in labels) < count:
        raise ValueError("too few")
    place = np.argsort(order)
    before = [np.sum((labels == label) & (place < at)) for label, at in zip(labels, place)]
    return np.flatnonzero(np.array(before) < count)


# %%
check("20.4", few_labels)

# %% [markdown]
# **Exercise 20.5 ★★** Many programs show each image at *one* random angle instead of all four. Write the layer that
# turns every image of a batch by an angle of its own.


# %%
# Exercise 20.5
class TurnEach(keras.layers.Layer):
    """Turns every image of a batch by an angle of its own; a layer without weights.

    Called as layer(images, turns): images (batch, n, n, C); turns (batch,), whole numbers of
    quarter turns to the left, which may be negative or greater than 3. Returns a tensor
    (batch, n, n, C), with gradients for the images. It also works in a functional model.
    Raises ValueError where the images are not square.
    Example: on one image with the rows 1, 2 and 3, 4 and turns [1] it gives the rows 2, 4 and
    1, 3.
    """

    def call(self, images, turns):
        ### BEGIN SOLUTION
        if images.shape[1] != images.shape[2]:
            raise ValueError(f"images of {images.shape[1]} x {images.shape[2]} are not square")
        result, turns = images, ops.reshape(turns, (-1, 1, 1, 1)) % 4
        for r in range(1, 4):
            result = ops.where(turns == r, turned(images, r), result)
        return result
        ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import keras
import numpy as np
from keras import ops

ex = exercise("20.5")
ex.hints(
    "A batch has no single angle, so no `if` will do. But you can compute all four turned batches.",
    "`turned(images, r)` of the lesson turns the whole batch. `ops.where` picks, number by number, one of two tensors.",
    "One number an image has to stand beside n x n x C pixels: what shape must the angles have, and which are equal?",
)


ex.equivalent("'0' for '1' in 'for r in range(1, 4):'", "no turn leaves an image as it is")
ex.equivalent("'5' for '4' in 'for r in range(1, 4):'", "an angle modulo 4 is never 4")


@ex.cases
def _(rng):
    def case(count, n, channels, turns, width=None):
        shape = count, n, width or n, channels
        return rng.integers(-9, 10, shape), np.array(turns), rng.integers(-3, 4, shape)

    yield np.array([[[[1], [2]], [[3], [4]]]]), np.array([1]), np.ones((1, 2, 2, 1), int)
    yield case(4, 3, 2, [0, 1, 2, 3])
    yield case(4, 2, 1, [3, 2, 1, 0])
    yield case(5, 3, 1, [-1, -2, -3, -4, -5])
    yield case(5, 3, 3, [4, 5, 6, 7, 8])
    yield case(3, 3, 2, [2, 2, 2])
    yield case(1, 4, 1, [-7])
    for _ in range(6):
        count, n, channels = (int(v) for v in rng.integers((2, 2, 1), (6, 5, 4)))
        yield case(count, n, channels, rng.integers(-5, 9, count))
    yield case(2, 3, 1, [0, 1], width=4)
    yield case(2, 4, 2, [2, 0], width=3)


ex.shown_as("layer = TurnEach()\nlayer(images.astype('float32'), turns)")


@ex.drive
def used(answer, images, turns, weights):
    layer = answer()
    images, turns = images.astype("float32"), turns.astype("int32")
    if images.shape[1] != images.shape[2]:
        layer(images, turns)
        return "an output"
    symbolic = layer(keras.Input(images.shape[1:]), keras.Input((), dtype="int32"))

    def weighted(x):
        return ops.sum(layer(x, ops.convert_to_tensor(turns)) * weights.astype("float32"))

    return {
        "output": ops.convert_to_numpy(layer(ops.convert_to_tensor(images), ops.convert_to_tensor(turns))),
        "shape in a functional model": tuple(symbolic.shape),
        "number of weights": len(layer.weights),
        "gradient of a weighted sum of the output": ops.convert_to_numpy(gradient(weighted, images)),
    }


@ex.oracle
def _(images, turns, weights):
    if images.shape[1] != images.shape[2]:
        raise ValueError("not square")
    return {
        "output": np.stack([np.rot90(x, r) for x, r in zip(images, turns)]).astype("float32"),
        "shape in a functional model": (None, *images.shape[1:]),
        "number of weights": 0,
        "gradient of a weighted sum of the output": np.stack([np.rot90(w, -r) for w, r in zip(weights, turns)]).astype(
            "float32"
        ),
    }


class _Base(keras.layers.Layer):
    sign, limit = 1, True

    def one_turn(self, x):
        return ops.flip(ops.transpose(x, (0, 2, 1, 3)), axis=1)

    def chosen(self, turns):
        return ops.reshape(self.sign * turns, (-1, 1, 1, 1)) % 4

    def call(self, images, turns):
        if images.shape[1] != images.shape[2]:
            raise ValueError("not square")
        return self.picked(images, self.chosen(turns))

    def picked(self, images, turns):
        result = copy = images
        for r in (1, 2, 3):
            copy = self.one_turn(copy)
            result = ops.where(turns == r, copy, result)
        return result


@ex.wrong
class to_the_right(_Base):
    """Your images turn to the right: r counts quarter turns to the left."""

    sign = -1


@ex.wrong
class mirrored(_Base):
    """Exchanging rows and columns mirrors an image at its diagonal. A quarter turn needs one more flip."""

    def one_turn(self, x):
        return ops.transpose(x, (0, 2, 1, 3))


@ex.wrong
class first_angle_for_all(_Base):
    """All images of your batch get the angle of the first one. Each has its own."""

    def chosen(self, turns):
        return super().chosen(turns)[:1]


@ex.wrong
class no_modulo(_Base):
    """Right for 0 to 3. Other whole numbers of turns count too: take them modulo 4."""

    def chosen(self, turns):
        return ops.reshape(turns, (-1, 1, 1, 1))


@ex.wrong
class without_gradient(_Base):
    """The output is right, but no gradient reaches the images: layers below yours could not learn."""

    def picked(self, images, turns):
        return super().picked(ops.stop_gradient(images), turns)


@ex.wrong
class any_shape(_Base):
    """Images that are not square have to be refused with a ValueError; `ops.where` would only complain about shapes, or
    spread a single row."""

    def call(self, images, turns):
        return images if images.shape[1] != images.shape[2] else super().call(images, turns)


@ex.wrong
class channels_turned(_Base):
    """You turn rows and channels, or columns and channels. The axes of rows and columns are 1 and 2."""

    def one_turn(self, x):
        return ops.flip(x, axis=1)


@ex.right
class by_taking_one(keras.layers.Layer):
    def call(self, images, turns):
        if images.shape[1] != images.shape[2]:
            raise ValueError("rows and columns")
        upright = images
        across = ops.flip(ops.transpose(images, (0, 2, 1, 3)), axis=1)
        copies = ops.stack([upright, across, ops.flip(upright, axis=(1, 2)), ops.flip(across, axis=(1, 2))], axis=1)
        which = ops.one_hot(ops.mod(turns, 4), 4)
        return ops.einsum("br,brijc->bijc", which, copies)


# %%
check("20.5", TurnEach)

# %% [markdown]
# **Exercise 20.6 ★★★** With fifty labels nothing is to spare for held-back digits. Choose the penalty by *leaving one
# out*: each labelled item is held back once, and the probe is fitted to all the others.


# %%
# Exercise 20.6
def best_penalty(h, y, penalties):
    """The penalty with which a linear probe (20.6) classifies most items that it was not
    fitted to.

    h (count, d): features. y (count,): their classes, whole numbers from 0 to 9. penalties:
    list of numbers > 0, in any order. For each penalty and each item, fit a probe to the
    other items, and see whether the item's largest score is that of its class.
    Returns the penalty with the most items classified correctly; of several, the largest.
    Raises ValueError where there are fewer than two items.
    Example: best_penalty(np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]),
    [0.1, 1.0]) is 1.0, for both classify all four correctly.
    """
    ### BEGIN SOLUTION
    if len(y) < 2:
        raise ValueError(f"{len(y)} items: none is left to fit the probe to")

    def correct(penalty):
        probes = [probe(np.delete(h, i, axis=0), np.delete(y, i), penalty) for i in range(len(y))]
        return sum(np.argmax(W @ item + b) == label for (W, b), item, label in zip(probes, h, y))

    return max(sorted(penalties, reverse=True), key=correct)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from sklearn.linear_model import Ridge

ex = exercise("20.6")
ex.hints(
    "Count for one penalty first: how many items are classified correctly, each by a probe that never saw it?",
    "`np.delete(h, i, axis=0)` are the features of all items but i. `probe` gives W and b; scores are W @ h[i] + b.",
    "Go through the penalties from the largest to the smallest, and change your choice only where the count is larger.",
)
PENALTIES = [0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0]


@ex.cases
def _(rng):
    def case(count, d, classes, noise, few):
        y = rng.integers(0, 10, classes)[rng.integers(0, classes, count)]
        h = np.round(noise * rng.normal(size=(count, d)) + (y[:, None] % 4 == np.arange(d)) + y[:, None] / 9, 2)
        return h, y, [float(p) for p in rng.permutation(PENALTIES)[:few]]

    yield np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]), [0.1, 1.0]
    yield np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([3, 3, 9, 9]), [1.0, 0.5, 0.1]
    yield np.array([[-2.0, 1.0], [-1.0, 0.5]]), np.array([3, 3]), [0.1, 1.0, 10.0]
    yield np.array([[-2.0], [3.0], [0.5]]), np.array([0, 1, 1]), [0.0625]
    # The first item decides, the last one, and how many items the others are.
    three = [0.125, 2.0, 0.5]
    yield np.array([[0.0, -1.0], [1.0, 1.0], [-2.0, -1.0], [2.0, 1.0]]), np.array([1, 0, 1, 0]), three
    yield np.array([[2.0, 1.0], [0.0, -2.0], [0.0, -3.0], [1.0, 3.0], [1.0, 2.0]]), np.array([4, 4, 4, 7, 7]), three
    yield np.array([[-3.0], [-1.0], [0.0], [3.0], [0.0]]), np.array([2, 2, 2, 5, 5]), three
    yield np.array([[1.0, 3.0], [1.0, 1.0], [0.0, -3.0], [-3.0, 1.0], [1.0, 0.0]]), np.array([0, 9, 9, 9, 0]), three
    for i in range(12):
        yield case(int(rng.integers(6, 10)), int(rng.integers(2, 5)), 2 + i % 3, 0.5 + 0.5 * (i % 2), 3 + i % 3)
    yield np.array([[1.0, 2.0]]), np.array([4]), [0.1, 1.0]
    yield np.zeros((0, 3)), np.zeros(0, int), [0.1]


def _scores(h, y, new, penalty):
    return Ridge(alpha=len(y) * penalty, solver="svd").fit(h, np.eye(10)[y]).predict(new)


def _held_back(h, y, penalty):
    """The scores (count, 10) of each item from a probe on the others."""
    if len(y) < 2:
        raise ValueError("too few")
    rows = [np.arange(len(y)) != i for i in range(len(y))]
    return np.concatenate([_scores(h[row], y[row], h[i : i + 1], penalty) for i, row in enumerate(rows)])


def _choose(h, y, penalties, quality):
    found = {penalty: quality(penalty) for penalty in penalties}
    return max(found, key=lambda penalty: (found[penalty], penalty))


def _count(h, y):
    return lambda penalty: np.sum(_held_back(h, y, penalty).argmax(axis=1) == y)


@ex.oracle
def _(h, y, penalties):
    return _choose(h, y, penalties, _count(h, y))


@ex.wrong
def on_itself(h, y, penalties):
    """You count how many of the items that the probe was fitted to it classifies correctly. Leave each one out before
    you fit."""
    _refuse_one(y)
    return _choose(h, y, penalties, lambda p: np.sum(_scores(h, y, h, p).argmax(axis=1) == y))


def _refuse_one(y):
    if len(y) < 2:
        raise ValueError("too few")


@ex.wrong
def smallest_of_equals(h, y, penalties):
    """Where several penalties are equally good you return the smallest; the largest is asked for."""
    count = _count(h, y)
    found = {penalty: count(penalty) for penalty in penalties}
    return min(found, key=lambda penalty: (-found[penalty], penalty))


@ex.wrong
def first_of_equals(h, y, penalties):
    """Where several penalties are equally good you return the one that comes first in the list; the largest is asked
    for."""
    count = _count(h, y)
    return max(penalties, key=count)


@ex.wrong
def by_squared_error(h, y, penalties):
    """You compare squared errors on the items left out. Compare how many of them are classified correctly."""
    _refuse_one(y)
    return _choose(h, y, penalties, lambda p: -np.square(_held_back(h, y, p) - np.eye(10)[y]).sum())


@ex.wrong
def worst(h, y, penalties):
    """This is the penalty with the fewest items classified correctly."""
    count = _count(h, y)
    return _choose(h, y, penalties, lambda penalty: -count(penalty))


@ex.wrong
def its_count(h, y, penalties):
    """This is the number of items that the best penalty classifies correctly. Return the penalty."""
    count = _count(h, y)
    return float(max(count(penalty) for penalty in penalties))


@ex.wrong
def one_item_only(h, y, penalties):
    """You held back one item only. Hold back each of them in turn, and count over all."""
    _refuse_one(y)
    return _choose(h, y, penalties, lambda p: _scores(h[1:], y[1:], h[:1], p).argmax() == y[0])


@ex.wrong
def one_item_passes(h, y, penalties):
    """Right for two items and more. With fewer nothing is left to fit a probe to: raise a ValueError."""
    return _choose(h, y, penalties, _count(h, y)) if len(y) > 1 else max(penalties)


@ex.right
def by_smoothing_matrix(h, y, penalties):
    count = len(y)
    if count < 2:
        raise ValueError("two items at least")
    found = {}
    for penalty in penalties:
        one = np.column_stack([np.ones(count), h])
        D = np.diag([0.0] + [(count - 1) * penalty] * h.shape[1])
        hat = one @ np.linalg.solve(one.T @ one + D, one.T)
        left_out = np.eye(10)[y] - (np.eye(10)[y] - hat @ np.eye(10)[y]) / (1 - np.diag(hat))[:, None]
        found[penalty] = np.count_nonzero(np.argmax(left_out, axis=1) == y), penalty
    return max(found, key=found.get)


for mutant in ("never 'count < 2' in 'if count < 2:'", "'1' for '2' in 'if count < 2:'"):
    ex.equivalent(f"by_smoothing_matrix: {mutant}", "solve refuses one item too: its LinAlgError is a ValueError")


# %%
check("20.6", best_penalty)

# %% [markdown]
# **Exercise 20.7 ★★** Repair the snippet of "Debug it", and let it serve colour images too.


# %%
# Exercise 20.7
def standardised(images, like):
    """Images with mean 0 and variance 1, so that it makes no difference whether they are turned
    before or after.

    images (count, n, n, C) and like (any number, n, n, C): floats. Each channel has one mean and
    one standard deviation, taken over all pixels of all images of `like`. A channel that is
    the same number everywhere in `like` is only shifted, and not scaled.
    Returns an array (count, n, n, C).
    Example: standardised(np.ones((1, 2, 2, 1)), np.array([[[[3.0], [5.0]], [[5.0], [3.0]]]])) is
    -3 everywhere.
    """
    ### BEGIN SOLUTION
    mean, deviation = like.mean(axis=(0, 1, 2)), like.std(axis=(0, 1, 2))
    constant = like.max(axis=(0, 1, 2)) == like.min(axis=(0, 1, 2))  # by rounding, its deviation may not be 0
    return (images - mean) / np.where(constant, 1, deviation)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("20.7", start="from_the_web")
ex.hints(
    "Which pixel's mean is subtracted from the top left pixel? And after a quarter turn of the image?",
    "What must be true of an image that is subtracted, if a turn is to leave it as it is? An image of one number is.",
    "Take mean and deviation over the axes of images, rows and columns at once. Then mind channels of one number.",
)


@ex.cases
def _(rng):
    def quarters(*shape):
        return rng.integers(-8, 9, shape) / 4

    yield np.ones((1, 2, 2, 1)), np.array([[[[3.0], [5.0]], [[5.0], [3.0]]]])
    yield quarters(1, 3, 3, 1), quarters(4, 3, 3, 1)
    yield quarters(2, 3, 3, 2), 5 * quarters(3, 3, 3, 2) + 4
    yield quarters(2, 2, 2, 1), quarters(1, 2, 2, 1) / 4
    yield quarters(2, 2, 2, 1), np.full((2, 2, 2, 1), 0.5)
    yield quarters(1, 3, 3, 1), np.full((2, 3, 3, 1), 0.1)  # whose mean is not quite 0.1
    yield quarters(1, 3, 3, 2), np.full((3, 3, 3, 2), [0.7, 0.1])
    flat = quarters(2, 3, 3, 3)
    flat[..., 1] = 0.75
    yield quarters(2, 3, 3, 3), flat
    for _ in range(8):
        n, channels, count, many = (int(v) for v in rng.integers((2, 1, 1, 1), (5, 4, 4, 4)))
        yield quarters(count, n, n, channels), quarters(many, n, n, channels) * np.arange(1, channels + 1)


@ex.oracle
def _(images, like):
    result = np.array(images, dtype=float)
    for c in range(images.shape[3]):
        numbers = [float(v) for v in like[..., c].ravel()]
        mean = sum(numbers) / len(numbers)
        spread = (sum((v - mean) ** 2 for v in numbers) / len(numbers)) ** 0.5
        result[..., c] = (images[..., c] - mean) / (spread if max(numbers) > min(numbers) else 1)
    return result


def _by(images, like, axes, where=None, deviation=np.std, exact=True):
    spread = deviation(like if where is None else where, axis=axes)
    mean, constant = like.mean(axis=axes), np.ptp(like, axis=axes) == 0
    return (images - mean) / np.where(constant if exact else spread == 0, 1, spread)


@ex.wrong
def deviation_of_rounding(images, like):
    """The deviation of numbers that are all 0.1 is not quite 0, by rounding, and you divide by it: ask whether all
    numbers of the channel are equal."""
    return _by(images, like, (0, 1, 2), exact=False)


@ex.wrong
def from_the_web(images, like):
    """Each pixel still has a mean and a deviation of its own, and with them an image of all that stood upright is
    subtracted. One mean and one deviation a channel, for all pixels."""
    return (images - like.mean(axis=0)) / (like.std(axis=0) + 1e-3)


@ex.wrong
def pixel_by_pixel(images, like):
    """The division is safe now, but each pixel still has a mean and a deviation of its own. One mean and one deviation
    a channel, for all pixels."""
    return _by(images, like, 0)


@ex.wrong
def channels_together(images, like):
    """You took one mean and one deviation for all channels together. Each channel has its own."""
    return _by(images, like, None)


@ex.wrong
def channels_together_and_unsafe(images, like):
    """You took one mean and one deviation for all channels together. Each channel has its own."""
    with np.errstate(all="ignore"):
        return (images - like.mean()) / like.std()


@ex.wrong
def image_by_image(images, like):
    """You scaled each image by its own mean and deviation, so a pale image looks like a strong one. Use those of
    `like`."""
    spread = images.std(axis=(1, 2), keepdims=True)
    return (images - images.mean(axis=(1, 2), keepdims=True)) / np.where(spread > 0, spread, 1)


@ex.wrong
def by_themselves(images, like):
    """You took mean and deviation of the images themselves. At inference these are another set: use those of `like`."""
    return _by(images, images, (0, 1, 2))


@ex.wrong
def a_bit_more(images, like):
    """You add a small number to the deviation. Divide by the deviation itself; only where it is 0, by 1."""
    return (images - like.mean(axis=(0, 1, 2))) / (like.std(axis=(0, 1, 2)) + 1e-3)


@ex.wrong
def by_the_variance(images, like):
    """You divide by the variance. Its square root, the standard deviation, makes the variance 1."""
    return _by(images, like, (0, 1, 2), deviation=np.var)


@ex.wrong
def unbiased(images, like):
    """You divide the squares by one less than their number. Here the variance is the mean of the squares."""
    return _by(images, like, (0, 1, 2), deviation=lambda x, axis: np.std(x, axis=axis, ddof=1))


@ex.wrong
def divides_by_zero(images, like):
    """Right where every channel varies. One that does not has deviation 0, and you divide by it."""
    with np.errstate(all="ignore"):
        return (images - like.mean(axis=(0, 1, 2))) / like.std(axis=(0, 1, 2))


@ex.wrong
def not_shifted(images, like):
    """The scale is right, and the mean has not been subtracted."""
    return _by(images, like - like.mean(axis=(0, 1, 2)), (0, 1, 2))


@ex.right
def channel_by_channel(images, like):
    done = []
    for c in range(images.shape[-1]):
        numbers = like[..., c]
        spread = np.std(numbers) if np.ptp(numbers) else 1.0
        done.append((images[..., c] - np.mean(numbers)) / spread)
    return np.stack(done, axis=-1)


# %%
check("20.7", standardised)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | a quarter turn to the left | $(\mathcal{R} I)(u, v) = I(v,\; n - 1 - u)$ | (20.1) |
# | the group | $\mathcal{R}^a \mathcal{R}^b = \mathcal{R}^{(a+b) \bmod 4}$ | (20.2) |
# | the pretext task | mean cross-entropy of the angle, over all four copies of each image | (20.3) |
# | the best answer | $P(t \mid \tilde{x}) \propto P(\mathcal{R}^{-t} \tilde{x})$ | (20.4) |
# | the floor of the loss | $\mathbb{E}_x \log \bigl( \sum_q P(\mathcal{R}^q x) / P(x) \bigr)$ | (20.5) |
# | the linear probe | least squares on frozen features, with a penalty on $\mathbf{W}$ | (20.6) |
#
# A pretext task that is solved better than you thought possible is solved by a trick. Same labels, same architecture,
# several draws, and everybody at their best.
#
# ## References
#
# - C. Doersch, A. Gupta and A. Efros, *Unsupervised visual representation learning by context prediction*, 2015,
#   arXiv:1505.05192.
# - Z. Feng, C. Xu and D. Tao, *Self-supervised representation learning by rotation feature decoupling*, 2019, CVPR.
# - R. Geirhos et al., *Shortcut learning in deep neural networks*, 2020, arXiv:2004.07780.
# - S. Gidaris, P. Singh and N. Komodakis, *Unsupervised representation learning by predicting image rotations*, 2018,
#   arXiv:1803.07728.
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-based learning applied to document recognition*, 1998.
# - A. Saxe, P. W. Koh, Z. Chen, M. Bhand, B. Suresh and A. Ng, *On random weights and unsupervised feature learning*,
#   2011, ICML.
# - C. Shannon, *A mathematical theory of communication*, 1948, Bell System Technical Journal.
