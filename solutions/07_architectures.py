# %% [raw]
# title: Deep architectures
# part: II. Convolution
# minutes: 150
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - activation functions
#   - softmax and cross-entropy
#   - backpropagation
#   - momentum
#   - Adam
#   - initialisation
#   - batch normalisation
#   - overfitting and validation
#   - weight decay
#   - dropout
#   - cross-correlation and convolution
#   - output size, stride, padding and dilation
#   - channels
#   - parameters and multiply-adds of a layer
#   - pointwise and depthwise separable convolution
#   - receptive field, jump and offset
#   - max and average pooling
#   - global pooling
#   - training, validation and test data
#   - LeNet-5
#   - accuracy and its standard error
# teaches:
#   - grouped convolution
#   - AlexNet and VGG
#   - stacked small kernels
#   - bottlenecks and the Inception module
#   - the degradation problem
#   - residual networks
#   - dense connections
#   - a complete recipe for CIFAR-10
# data: [CIFAR-10]
# sources:
#   - "Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional neural networks, 2012"
#   - "Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, 2015"
#   - "Szegedy et al., Going deeper with convolutions, 2015"
#   - "Russakovsky et al., ImageNet large scale visual recognition challenge, 2015"
#   - "He, Zhang, Ren & Sun, Deep residual learning for image recognition, 2016"
#   - "He, Zhang, Ren & Sun, Identity mappings in deep residual networks, 2016"
#   - "Veit, Wilber & Belongie, Residual networks behave like ensembles of relatively shallow networks, 2016"
#   - "Zagoruyko & Komodakis, Wide residual networks, 2016"
#   - "Huang, Liu, van der Maaten & Weinberger, Densely connected convolutional networks, 2017"
#   - "Balduzzi et al., The shattered gradients problem, 2017"
#   - "Yang, Pennington, Rao, Sohl-Dickstein & Schoenholz, A mean field theory of batch normalization, 2019"

# %% [markdown]
# Once a year from 2010 on, laboratories let their programs compete on ImageNet: a thousand kinds of things, more than
# a million photographs to learn from, five guesses for each picture. Two things happened to the winners.

# %%
import time
from math import prod
from typing import NamedTuple

from course import at_once, budget, check, claim, data, gradient, plots, predict, prove, record, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import signal

rng = start("07")  # seeds everything from COURSE_SEED and sets the style of the figures
BLUE, ORANGE, GREEN, PINK, SKY, RED = plots.COLOURS[:6]
CONTEST = {  # year: (name, layers with weights, test pictures named wrongly in five guesses, in %)
    2010: ("shallow", None, 28.2),
    2011: ("shallow", None, 25.8),
    2012: ("AlexNet", 8, 16.4),
    2013: ("Clarifai", 8, 11.7),
    2014: ("GoogLeNet", 22, 6.7),
    2015: ("ResNet", 152, 3.6),
}

# %%
figure, axis = plt.subplots(figsize=(7, 3.2))
for year, (name, depth, error) in CONTEST.items():
    axis.bar(year, error, color=BLUE if depth else "#bbbbbb", width=0.6)
    text = f"{name}\n{depth} layers" if depth else name
    axis.text(year, max(error, 5.1) + 0.5, text, ha="center", va="bottom", fontsize=9)
axis.axhline(5.1, color="black", linestyle="--", linewidth=1.2)
axis.text(2015.5, 5.1, "one person", va="center", fontsize=9)
axis.set(ylabel="wrong in five guesses, %", xticks=list(CONTEST), ylim=(0, 34), xlim=(2009.55, 2015.45))
plt.show()

# %% [markdown]
# *Figure 7.1. The winners of the ImageNet contest (Russakovsky et al., 2015; He et al., 2016). Grey: features made by
# hand. Blue: convolutional networks, several of one kind averaged, with their number of layers. 2012's bar is the
# entry without extra data. The dashed line is what one person who had trained for it reached.*
#
# The errors fell, and the networks became deep: eight layers, then 22, then 152. If depth is what helps, you may ask
# why anybody stopped at eight. Nobody lacked the wish. Stack more and more layers as you stacked LeNet's, and the
# network gets *worse*, even on the pictures that it is trained on.
#
# **What stands in the way of depth, and what did each of the great architectures change to get past it?**
#
# ## What you will be able to do
#
# - read a paper's table, and count its network's parameters and multiply-adds to the last digit;
# - say what AlexNet, VGG, GoogLeNet, ResNet and DenseNet each repaired in the one before, and what it left broken;
# - build all five from one set of parts;
# - show when depth hurts, measure why, and explain what a single plus sign changes;
# - train a network of less than five million parameters by a complete recipe;
# - recognise a shortcut that forgets the stride.
#
# ## A grammar for networks
#
# LeNet was a list of layers. The networks of this chapter need two more words: several paths that begin at the same
# place, and whose ends are **added** or **joined** along the channels. With them a network can be written down as
# plain data, a *plan*, and one plan serves twice: to build the Keras model, and to count without building anything.


# %%
class Conv(NamedTuple):
    """A convolution with filters of k x k pixels. groups: see "AlexNet"."""

    filters: int
    k: int = 3
    stride: int = 1
    padding: str = "same"
    groups: int = 1
    bias: bool = True


class Pool(NamedTuple):
    """Pooling over windows of k x k pixels. kind: "max" or "average"."""

    kind: str
    k: int
    stride: int
    padding: str = "same"


class Dense(NamedTuple):
    units: int


class Dropout(NamedTuple):
    rate: float


class Branches(NamedTuple):
    """Paths from one input, each a plan; an empty one passes it on. how: "add" or "join" (along the channels)."""

    how: str
    paths: list


# %%
def keras_layer(part, initializer):
    """The Keras layer for a part that is no Branches. A part without settings is a word, such as "relu"."""
    match part:
        case Conv(filters, k, stride, padding, groups, bias):
            rest = {"groups": groups, "use_bias": bias, "kernel_initializer": initializer}
            return layers.Conv2D(filters, k, stride, padding, **rest)
        case Pool(kind, k, stride, padding):
            return {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[kind](k, stride, padding)
        case Dense(units):
            return layers.Dense(units, kernel_initializer=initializer)
        case Dropout(rate):
            return layers.Dropout(rate)
        case "norm":
            return layers.BatchNormalization(momentum=0.9)  # Keras's 0.99 needs more steps than a short training has
    plain = {"relu": layers.ReLU, "flatten": layers.Flatten, "global": layers.GlobalAveragePooling2D}
    if not isinstance(part, str) or part not in plain:
        raise ValueError(f"{part!r} is no part of a plan; the words are norm, {', '.join(plain)}")
    return plain[part]()


def grow(plan, x, initializer="he_normal"):
    """Send a tensor through a plan, a list of parts, in order."""
    for part in plan:
        if isinstance(part, Branches):
            if part.how not in ("add", "join"):
                raise ValueError(f'how is {part.how!r}; it must be "add" or "join"')
            ends = [grow(path, x, initializer) for path in part.paths]
            x = layers.Add()(ends) if part.how == "add" else layers.Concatenate()(ends)
        else:
            x = keras_layer(part, initializer)(x)
    return x


def network(plan, shape=(32, 32, 3), initializer="he_normal"):
    """The Keras model of a plan, for inputs of this shape."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, grow(plan, inputs, initializer))


# %% [markdown]
# The counting is chapter 03's, added up. A kernel sees $C/g$ channels, where $g$ is the number of groups (1 unless
# said otherwise, see below); the 1 is for the bias and is left out where there is none; batch normalisation keeps
# four numbers for each of its $C$ channels, of which two are learned and two are running statistics; a dense layer
# has $u$ units on $d$ inputs:
#
# $$ P = \sum_\text{convolutions} \Bigl(k^2\,\tfrac{C}{g} + 1\Bigr) N \;+ \sum_\text{normalisations} 4\,C \;+
#    \sum_\text{dense} (d + 1)\, u \tag{7.1} $$
#
# $$ \text{multiply-adds} = \sum_\text{convolutions} H_o W_o\, k^2\, \tfrac{C}{g}\, N \;+
#    \sum_\text{dense} d\, u \tag{7.2} $$
#
# Pooling, ReLU, normalisation and the additions are left out of (7.2), as is usual.


# %%
def after(n, k, stride, padding):
    """Output size along one axis, as in Keras (3.4). -(-a // b) rounds a / b up."""
    if padding not in ("same", "valid"):
        raise ValueError(f'padding is {padding!r}; it must be "same" or "valid"')
    places = -(-(n if padding == "same" else n - k + 1) // stride)
    if places < 1:
        raise ValueError(f"a window of {k} does not fit into an axis of size {n}")
    return places


def joined_shape(how, ends):
    """The shape of what Branches makes of paths that end with these shapes (H, W, C)."""
    if how not in ("add", "join"):
        raise ValueError(f'how is {how!r}; it must be "add" or "join"')
    for axis, name in enumerate(("height", "width", "channels")[: 2 if how == "join" else 3]):
        sizes = {end[axis] for end in ends}
        if len(sizes) > 1:
            raise ValueError(f"paths to {how} differ along the axis of the {name}: {' and '.join(map(str, sizes))}")
    return ends[0] if how == "add" else (*ends[0][:2], sum(end[2] for end in ends))


# %%
def count(part, shape):
    """What one part of a plan makes of an input shape: (shape after it, parameters, multiply-adds) (7.1, 7.2)."""
    match part:
        case Conv() | Pool() if len(shape) != 3:
            raise ValueError(f"{part} needs three axes (height, width, channels), and gets {len(shape)}: {shape}")
        case Conv(filters, k, stride, padding, groups, bias):
            if shape[2] % groups:
                raise ValueError(f"the axis of the channels has size {shape[2]}, which {groups} groups cannot share")
            size = tuple(after(n, k, stride, padding) for n in shape[:2])
            weights = k * k * (shape[2] // groups) * filters
            return (*size, filters), weights + bias * filters, prod(size) * weights
        case Pool(_, k, stride, padding):
            return (*(after(n, k, stride, padding) for n in shape[:2]), shape[2]), 0, 0
        case Dense(units):
            if len(shape) > 1:
                raise ValueError(f"Dense needs one axis, and gets {len(shape)} of sizes {shape}: flatten or pool first")
            return (units,), (shape[0] + 1) * units, shape[0] * units
        case Branches(how, paths):
            ends, parameters, work = zip(*(cost(path, shape) for path in paths))
            return joined_shape(how, ends), sum(parameters), sum(work)
        case "flatten":
            return (prod(shape),), 0, 0
        case "global":
            return shape[-1:], 0, 0
        case "norm":
            return shape, 4 * shape[-1], 0
        case "relu" | Dropout():
            return shape, 0, 0
    raise ValueError(f"{part!r} is no part of a plan")


def cost(plan, shape=(32, 32, 3)):
    """(shape of the output, parameters, multiply-adds for one picture) of a plan on inputs of this shape."""
    parameters = work = 0
    for part in plan:
        shape, more_parameters, more_work = count(part, shape)
        parameters += more_parameters  # (7.1)
        work += more_work  # (7.2)
    return shape, parameters, work


def parameters_of(plan, shape):
    return cost(plan, shape)[1]


def multiply_adds_of(plan, shape):
    return cost(plan, shape)[2]


# %% [markdown]
# Keras is asked after its own sizes: of each layer, how many weights its kernel has, and at how many places it
# stands. No weight needs a value for that: inside a `StatelessScope` Keras only notes the shapes.


# %%
def sketch(plan, shape):
    """The Keras model of a plan, its weights without values."""
    with keras.StatelessScope(initialize_variables=False):
        return network(plan, shape)


def keras_parameters(plan, shape):
    return sketch(plan, shape).count_params()


def keras_multiply_adds(plan, shape):
    work = 0
    for layer in sketch(plan, shape).layers:
        if hasattr(layer, "kernel"):
            work += prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)
    return work


def random_plan():
    """A short random plan with branches, groups and strides, and the shape of its input."""
    n, m, k, stride, groups = (int(rng.choice(values)) for values in ([4, 8], [4, 8], [1, 3, 5], [1, 2], [1, 2, 4]))
    path = [Conv(n, k, bias=bool(rng.integers(2))), "norm", "relu", Conv(m, 3, stride, groups=groups), "norm"]
    shortcut = [Conv(m, 1, stride, bias=False)]
    join = Branches("join", [[], [Conv(n, k), "relu"], [Pool("max", 3, 1), Conv(4, 1)]])
    parts = [Conv(m, 5, 2, "valid"), "relu", join, Branches("add", [path, shortcut]), "relu"]
    end = ["global"] if rng.integers(2) else [Pool("average", 2, 2, "valid"), "flatten", Dense(7), "relu", Dropout(0.5)]
    return [*parts, *end, Dense(10)], (*(int(i) for i in rng.integers(12, 20, 2)), 3)


# %%
prove("7.1", parameters_of, keras_parameters, cases=(random_plan() for _ in range(10)), name="parameters")
prove("7.2", multiply_adds_of, keras_multiply_adds, cases=(random_plan() for _ in range(10)), name="multiply-adds")

# %% [markdown]
# **Try it.** Ask `cost` for LeNet's plan from chapter 06 on a shape of (28, 28, 1): it must say 61,706. Then break a
# plan, with a path that shrinks and a shortcut that does not.
#
# ## 2012, AlexNet: the same thing, larger
#
# AlexNet (Krizhevsky et al., 2012) is LeNet grown up: five convolutions, three dense layers, ReLU in place of tanh,
# pooling windows that overlap, and dropout in the dense layers. It was too large for one graphics card of the time.
# So most layers were cut in half, one half to a card: a **grouped convolution** splits the channels into $g$ groups,
# and each kernel sees its own group only, which divides its weights by $g$. That is the $C/g$ of (7.1).


# %%
def alexnet(filters, units, classes, first=(11, 4), groups=(1, 1, 1, 1, 1), rate=0.5):
    """A plan: five convolutions with so many filters, two hidden dense layers. first: kernel size and stride."""
    convolutions = [Conv(filters[0], *first, "valid"), *(Conv(n, k) for n, k in zip(filters[1:], (5, 3, 3, 3)))]
    a, b, c, d, e = (part._replace(groups=g) for part, g in zip(convolutions, groups))
    pool = Pool("max", 3, 2, "valid")
    features = [a, "relu", pool, b, "relu", pool, c, "relu", d, "relu", e, "relu", pool]
    return [*features, "flatten", *[Dense(units), "relu", Dropout(rate)] * 2, Dense(classes)]


ALEXNET = alexnet((96, 256, 384, 384, 256), 4096, 1000), (227, 227, 3)
ALEXNET_ON_TWO_CARDS = alexnet((96, 256, 384, 384, 256), 4096, 1000, groups=(1, 2, 1, 2, 2)), (227, 227, 3)

# %%
for name, (plan, shape) in {"on one card": ALEXNET, "on two cards": ALEXNET_ON_TWO_CARDS}.items():
    _, parameters, work = cost(plan, shape)
    _, dense, _ = cost(plan[plan.index("flatten") :], (6, 6, 256))
    print(f"AlexNet {name}: {parameters:11,} parameters, {dense:,} of them dense; {work:13,} multiply-adds")

# %% [markdown]
# The paper says 60 million, which is the second line. More than nineteen in twenty of them stand in the dense layers,
# and do a small part of the work: with (3.10) a kernel's weight is used at every place, a dense one once. And no rule
# says why the kernels have 11, 5 and 3 pixels.
#
# ## 2014, VGG: only 3 × 3, but more of them
#
# Simonyan and Zisserman (2015) used one kernel size and put the freedom into depth. Chapter 04 has counted why: $m$
# layers of 3 × 3 see $2m + 1$ pixels, as one kernel of that size does. At equal channels and "same" padding, their
# weights and their multiply-adds stand in the ratio
#
# $$ \frac{9\,m}{(2m+1)^2}: \qquad \frac{18}{25} \;\text{ for } 5 \times 5, \qquad
#    \frac{27}{49} \;\text{ for } 7 \times 7 \tag{7.3} $$
#
# Is it the same layer, only cheaper? Leave the activation functions and the padding out, and see. Two layers in a row
# then correlate twice. Collect what reaches one output pixel, and the two kernels turn out to be one, their full
# convolution:
#
# $$ (I \star K_1) \star K_2 = I \star (K_1 * K_2) \tag{7.4} $$
#
# So without ReLU, two 3 × 3 layers are a 5 × 5 layer, and not even any one: they have 18 numbers to choose where it
# has 25. With ReLU in between, no single kernel can do what they do. VGG's bargain is cheaper *and* less linear.


# %%
def stacked_ratio(m, channels):
    """Weights and multiply-adds of m layers of 3 x 3 over those of one layer that sees as much (7.3): a pair."""
    return (9 * m / (2 * m + 1) ** 2,) * 2  # (7.3)


def keras_stacked_ratio(m, channels):
    small, large = [Conv(channels, bias=False)] * m, [Conv(channels, 2 * m + 1, bias=False)]
    shape = 9, 9, channels
    pairs = [[f(plan, shape) for plan in (small, large)] for f in (keras_parameters, keras_multiply_adds)]
    return tuple(a / b for a, b in pairs)


def merged(first, second):
    """The kernel that does what two kernels do, one after the other, without an activation between them (7.4)."""
    return signal.convolve2d(first, second)  # (7.4)


def through_merged(image, first, second):
    kernel = merged(first, second).astype("float32")
    return ops.conv(image[None, ..., None], kernel[..., None, None], padding="valid")


def through_both(image, first, second):
    middle = ops.conv(image[None, ..., None], first[..., None, None], padding="valid")
    return ops.conv(middle, second[..., None, None], padding="valid")


def kernel_pairs(count):
    for _ in range(count):
        first, second = [((3, 3), (3, 3)), ((3, 2), (1, 3)), ((1, 1), (2, 3))][rng.integers(3)]
        yield tuple(rng.integers(-5, 6, size).astype("float32") for size in ((9, 9), first, second))


# %%
prove("7.3", stacked_ratio, keras_stacked_ratio, cases=((m, c) for m in (1, 2, 3) for c in (1, 4)))
prove("7.4", through_merged, through_both, cases=kernel_pairs(100), name="two kernels merged")


# %%
def vgg(stages, units, classes, rate=0.5):
    """A plan. stages: (filters, number of 3 x 3 convolutions) between one pooling and the next."""
    stage = [[*[Conv(n), "relu"] * repeats, Pool("max", 2, 2)] for n, repeats in stages]
    return [*sum(stage, []), "flatten", *[Dense(units), "relu", Dropout(rate)] * 2, Dense(classes)]


VGG16 = vgg([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 4096, 1000), (224, 224, 3)

# %% [markdown]
# Sixteen layers from two lines. Now look where their parameters are, and where their work:


# %%
def shares(plan, shape):
    """The layers with weights of a plan without branches: names, and their shares of parameters and multiply-adds."""
    names, parameters, work = [], [], []
    for part in plan:
        shape, p, w = count(part, shape)
        if p:
            names.append(f"dense {part.units}" if isinstance(part, Dense) else f"{part.k}×{part.k}, {part.filters}")
            parameters.append(p)
            work.append(w)
    return names, np.array(parameters) / sum(parameters), np.array(work) / sum(work)


figure, axes = plt.subplots(1, 2, figsize=(8.2, 4.2))
for axis, (name, network_) in zip(axes, {"AlexNet (one card)": ALEXNET, "VGG-16": VGG16}.items()):
    names, parameters, work = shares(*network_)
    rows = np.arange(len(names))
    axis.barh(rows - 0.2, 100 * parameters, 0.4, label="parameters", color=BLUE)
    axis.barh(rows + 0.2, 100 * work, 0.4, label="multiply-adds", color=ORANGE)
    axis.set(yticks=rows, yticklabels=names, xlabel="share, %", title=name, xlim=(0, 80))
    axis.invert_yaxis()
axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.12))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.2. Where the parameters and the multiply-adds of two networks are, layer by layer from the input down. The
# work is done by the convolutions, the parameters stand in the dense layers, most of them in the first.*
#
# With 7.3 % in Figure 7.1's measure, VGG made less than half of AlexNet's errors, and came second in 2014. What it
# left broken is in the orange and the blue bars: more than 15 billion multiply-adds for one picture, and one dense
# layer with 103 million parameters.
#
# ## 2014, GoogLeNet: narrow before you widen
#
# GoogLeNet (Szegedy et al., 2015) attacks both. The blue bar falls by an idea from chapter 04: global average pooling
# instead of flattening leaves 1,024 numbers for the last dense layer instead of 25,088. The orange ones fall by a
# **bottleneck**: before a large kernel looks at $C$ channels, a 1 × 1 convolution squeezes them into $r$. At equal
# height and width, the multiply-adds per pixel change from $k^2 C N$ to two smaller products, and the ratio is
#
# $$ \frac{C r + k^2 r N}{k^2 C N} = \frac{r}{k^2 N} + \frac{r}{C} \tag{7.5} $$
#
# With $k = 5$, $C = 192$, $N = 32$ and $r = 16$, as in the first module, that is about a tenth. The **Inception
# module** is four paths side by side, so that nobody has to choose a kernel size: the network learns how much of
# each it needs. Their ends are joined. With $n_1$ filters of 1 × 1, $n_3$ and $n_5$ of 3 × 3 and 5 × 5 behind
# bottlenecks of $r_3$ and $r_5$, and $n_p$ behind a pooling, its parameters are
#
# $$ (C + 1)(n_1 + r_3 + r_5 + n_p) + (9\, r_3 + 1)\, n_3 + (25\, r_5 + 1)\, n_5 \tag{7.6} $$


# %%
def bottleneck_ratio(k, channels, filters, narrow):
    """Multiply-adds of a k x k convolution behind a 1 x 1 bottleneck over those of the convolution alone (7.5)."""
    return narrow / (k * k * filters) + narrow / channels  # (7.5)


def keras_bottleneck_ratio(k, channels, filters, narrow):
    shape, wide = (6, 6, channels), [Conv(filters, k)]
    return keras_multiply_adds([Conv(narrow, 1), *wide], shape) / keras_multiply_adds(wide, shape)


def inception(n1, r3, n3, r5, n5, p):
    """An Inception module, as a part of a plan."""
    one, three, five = [Conv(n1, 1), "relu"], [Conv(r3, 1), "relu", Conv(n3, 3), "relu"], [Conv(r5, 1), "relu"]
    pooled = [Pool("max", 3, 1), Conv(p, 1), "relu"]
    return Branches("join", [one, three, [*five, Conv(n5, 5), "relu"], pooled])


def module_parameters(channels, n1, r3, n3, r5, n5, p):
    """Parameters of an Inception module on so many channels (7.6)."""
    return (channels + 1) * (n1 + r3 + r5 + p) + (9 * r3 + 1) * n3 + (25 * r5 + 1) * n5  # (7.6)


def keras_module_parameters(channels, *sizes):
    return keras_parameters([inception(*sizes)], (4, 4, channels))


# %%
def googlenet(stem, modules, classes, rate=0.4):
    """A plan. stem: how it begins. modules: Inception modules and poolings."""
    return [*stem, *modules, "global", Dropout(rate), Dense(classes)]


HALVE = Pool("max", 3, 2)
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
IN_THE_TABLE = {  # the paper's table 1, parameters in thousands
    **{"stem 1": 2.7, "stem 2": 112, "3a": 159, "3b": 380, "4a": 364, "4b": 437, "4c": 463, "4d": 580, "4e": 840},
    **{"5a": 1072, "5b": 1388, "linear": 1000},
}
STEM = [Conv(64, 7, 2), "relu", HALVE, Conv(64, 1), "relu", Conv(192), "relu", HALVE]
M = {name: inception(*sizes) for name, sizes in MODULES.items()}
FOURS = [M["4a"], M["4b"], M["4c"], M["4d"], M["4e"]]
GOOGLENET = googlenet(STEM, [M["3a"], M["3b"], HALVE, *FOURS, HALVE, M["5a"], M["5b"]], 1000), (224, 224, 3)


def wide_modules(count):
    for _ in range(count):
        yield tuple(int(n) for n in rng.integers(1, 20, 7))


# %%
SOME_BOTTLENECKS = [(5, 192, 32, 16), (3, 64, 64, 16), (1, 8, 8, 2), (3, 16, 4, 16)]
prove("7.5", bottleneck_ratio, keras_bottleneck_ratio, cases=SOME_BOTTLENECKS)
prove("7.6", module_parameters, keras_module_parameters, cases=wide_modules(10))

# %%
plan, shape = GOOGLENET
mine, reached = {"stem 1": cost(plan[:1], shape)[1], "stem 2": cost(plan[3:7], (56, 56, 64))[1]}, (28, 28, 192)
for part in plan[len(STEM) :]:
    reached, parameters, _ = count(part, reached)
    if isinstance(part, Branches):
        mine[next(name for name in M if M[name] is part)] = parameters
mine["linear"] = 1025 * 1000
for name, thousands in IN_THE_TABLE.items():
    print(f"{name:7} {mine[name]:9,} counted, {1000 * thousands:11,.0f} in the table")
print(f"in all  {sum(mine.values()):9,} counted, {1000 * sum(IN_THE_TABLE.values()):11,.0f} in the table")

# %% [markdown]
# The table's rows do not follow exactly from its own sizes: the first would need 9,472, and most others are a few per
# cent off. Whoever builds the network as it is described, with one bias for each filter, gets the numbers on the
# left.

# %%
claim(
    "7.1",
    "row by row, GoogLeNet's table is within a tenth of what its own sizes give, but for the first row",
    all(abs(1000 * k / mine[row] - 1) < 0.1 for row, k in IN_THE_TABLE.items() if row != "stem 1"),
)

# %% [markdown]
# Seven million parameters, a twentieth of VGG-16's, at a tenth of its work, and the contest of 2014 was won. But its
# authors feared for the gradient on its way down through 22 layers, and hung two extra classifiers on half-way, to
# feed it there. Depth itself had become the problem.
#
# ## The wall
#
# Here is the experiment that this chapter turns on. Take a stem, a number of blocks of two 3 × 3 convolutions, all
# with the same channels at the same size, and a head. That is the **plain** network. Its twin has the same layers, the
# same parameters, the same weights at the start and the same pictures in the same order; the one difference is a plus
# sign: what goes into a block is added to what comes out, before the block's last ReLU. Both are normalised by batch
# (Ioffe and Szegedy, 2015), so that no signal dies on the way forward. For now the plus sign has no reason; it comes
# with the next section.


# %%
def stack(blocks, plus, norm=True, width=16):
    """The plans of a stem, of so many blocks with two convolutions each, and of a head: a list of plans."""
    n = ["norm"] if norm else []
    path = [Conv(width, bias=not norm), *n, "relu", Conv(width, bias=not norm), *n]
    block = [Branches("add", [path, []]), "relu"] if plus else [*path, "relu"]
    stem = [Conv(width, 3, 2, bias=not norm), *n, "relu", Pool("max", 2, 2)]
    return [stem, *[block] * blocks, ["global", Dense(10)]]


def pieces(plans, shape=(32, 32, 3), initializer="he_normal"):
    """A Keras model for each of several plans that follow one another: a list."""
    models = []
    for plan in plans:
        models.append(network(plan, shape, initializer))
        shape = models[-1].output.shape[1:]
    return models


def chained(models):
    """One Keras model of several that follow one another; the weights are shared with them."""
    inputs = x = keras.Input(models[0].input.shape[1:])
    for model in models:
        x = model(x)
    return keras.Model(inputs, x)


# %%
def scaled(pictures):
    """uint8 pictures (n, 32, 32, 3) as float32 from -0.5 to 0.5."""
    return pictures.astype("float32") / 255 - 0.5


class StopWhereLost(keras.callbacks.Callback):
    """Ends a training run with a FloatingPointError where its loss is infinite or not a number."""

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"the loss is {logs['loss']} in epoch {epoch + 1}: try a smaller learning rate, and see whether every "
                "pixel is a number. The weights are spoilt; build the model anew."
            )


def fit(model, images, labels, epochs, batch, optimizer):
    """Train by cross-entropy on logits; returns Keras's history."""
    classes = model.output.shape[-1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels from {labels.min()} to {labels.max()} do not fit a network with {classes} outputs")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, steps_per_execution=at_once(10))
    optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice
    callbacks = [StopWhereLost()]
    return model.fit(images, labels, batch_size=batch, epochs=epochs, verbose=0, callbacks=callbacks).history


def falling(rate, epochs, count, batch):
    """A learning rate that falls to 0 along half a cosine over all steps of a training."""
    return keras.optimizers.schedules.CosineDecay(rate, epochs * -(-count // batch))


# %%
photos = data.cifar10()
x_train, y_train = photos.x_train[:2000], photos.y_train[:2000]
x_test, y_test = (part[: budget(quick=2000, full=10000, least=500)] for part in (photos.x_test, photos.y_test))
x_train, x_test = scaled(x_train), scaled(x_test)

# %%
shallow, deep, epochs, batch = 8, 26, 6, 40  # on the full budget too: the question is what few steps can do
twins, history = {}, {}
for depth in (shallow, deep):
    for kind in ("plain", "residual"):
        keras.utils.set_random_seed(seed())  # the same weights, and the same order of the pictures
        twins[kind, depth] = pieces(stack((depth - 2) // 2, plus=kind == "residual"))
        model = chained(twins[kind, depth])
        optimizer = keras.optimizers.SGD(falling(0.02, epochs, len(x_train), batch), momentum=0.9)
        history[kind, depth] = fit(model, x_train, y_train, epochs, batch, optimizer)["loss"]
        loss = history[kind, depth][-1]
        print(f"{kind:8} {depth:2} layers: {model.count_params():6,} parameters, training loss {loss:.2f}")

# %%
at_end = {name: losses[-1] for name, losses in history.items()}
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
styles = {"plain": (ORANGE, "o"), "residual": (BLUE, "s")}
for axis, kind in zip(axes, styles):
    for depth, line in ((shallow, "-"), (deep, "--")):
        colour, marker = styles[kind]
        losses = history[kind, depth]
        passes = np.arange(1, len(losses) + 1)
        axis.plot(passes, losses, line, color=colour, marker=marker, markersize=4, label=f"{depth} layers")
    axis.axhline(np.log(10), color="black", linestyle=":", linewidth=1)
    axis.set(title=kind, xlabel="epoch")
    axis.legend()
axes[0].set_ylabel("training loss")
axes[1].text(epochs, np.log(10) + 0.02, "guessing", ha="right", fontsize=9)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.3. Loss on the training pictures. Solid: 8 layers. Dashed: 26 layers. The deep plain network fits its own
# training pictures worse than the shallow one. Its residual twin begins with the same weights, and fits them
# better.*

# %%
claim(
    "7.2",
    "with more layers the plain network fits its own training pictures worse, at equal training",
    at_end["plain", deep] > at_end["plain", shallow],
)

# %%
price = {kind: at_end[kind, deep] - at_end[kind, shallow] for kind in ("plain", "residual")}
print(", ".join(f"{kind}: {extra:+.2f}" for kind, extra in price.items()), "in training loss for 18 layers more")

# %%
claim(
    "7.3",
    "with shortcuts and the same weights at the start, the deep network fits them better, and depth costs it less",
    price["residual"] < price["plain"] and at_end["residual", deep] < at_end["plain", deep],
)

# %% [markdown]
# This is the **degradation problem**. Take other seeds: the plain network always pays for depth, the residual one
# sometimes pays a little and mostly gains. It is not overfitting, for the loss is that of
# the *training* pictures. The conditions belong to the result: batch normalisation, He's weights, one width, one
# learning rate for all, and a few epochs only. With patience, plain networks of this depth can be trained. But
# patience does not make the problem go away: He et al. (2016) gave their plain networks all the steps that ImageNet
# takes, and 34 layers still fitted it worse than 18.
#
# ## 2015, ResNet: one plus sign
#
# A deep network can always do what a shallow one can: let the layers that it has more pass on their input. So the
# deep plain network did not fail because it has no good weights, but because gradient descent does not find them.
# Passing on is hard to learn for layers that begin with random weights. He et al. (2016) turned the task round: let
# passing on be what a block does when it has learned nothing, and let its layers $F$ learn the rest, the
# **residual**:
#
# $$ y = F(x) + x \tag{7.7} $$
#
# What this does to the gradient is one line of calculus. The Jacobian of a block is
#
# $$ \frac{\partial y}{\partial x} = I + \frac{\partial F}{\partial x} \tag{7.8} $$
#
# and the gradient at the input of many blocks is multiplied by the Jacobians of all of them. Write $J_l$ for
# $\partial F_l / \partial x_{l-1}$. A plain network multiplies the $J_l$, and where each is small, the product dies
# out. Now multiply out the brackets for the residual one:
#
# $$ \frac{\partial x_L}{\partial x_0} = (I + J_L) \cdots (I + J_1) = \sum_{S \subseteq \{1, \dots, L\}}
#    \;\prod_{l \in S} J_l \tag{7.9} $$
#
# (in each product the largest $l$ stands on the left). It is a sum over $2^L$ paths, one for each choice of the
# blocks that the gradient goes through and those that it passes by (Veit et al., 2016). Whatever the $J_l$ are, the
# shortest path is $I$.


# %%
def block_output(x, W1, W2):
    """A residual block of dense layers (7.7): x (n,), W1 (m, n), W2 (n, m). The activation is tanh."""
    return W2 @ np.tanh(W1 @ x) + x  # (7.7)


def block_jacobian(x, W1, W2):
    """The Jacobian of the block, (n, n), rows for outputs (7.8)."""
    return np.eye(len(x)) + W2 @ ((1 - np.tanh(W1 @ x) ** 2)[:, None] * W1)  # (7.8)


def sum_over_paths(x, *weights):
    """The Jacobian of several blocks in a row, as the sum over all paths (7.9). weights: W1 and W2 of each block."""
    jacobians = []
    for W1, W2 in zip(weights[::2], weights[1::2]):
        jacobians.append(block_jacobian(x, W1, W2) - np.eye(len(x)))
        x = block_output(x, W1, W2)
    total = np.zeros((len(x), len(x)))
    for taken in range(2 ** len(jacobians)):  # its binary digits say which blocks are gone through
        path = np.eye(len(x))
        for number, jacobian in enumerate(jacobians):
            path = jacobian @ path if taken >> number & 1 else path
        total += path  # (7.9)
    return total


# %%
def keras_blocks(weights):
    """The blocks as one Keras model."""
    x = inputs = keras.Input((weights[0].shape[1],))
    for W1, W2 in zip(weights[::2], weights[1::2]):
        path = layers.Dense(len(W1), "tanh", use_bias=False, kernel_initializer=lambda *_, W=W1, **__: W.T)(x)
        path = layers.Dense(len(W2), use_bias=False, kernel_initializer=lambda *_, W=W2, **__: W.T)(path)
        x = layers.Add()([path, x])
    return keras.Model(inputs, x)


def keras_block_output(x, *weights):
    return keras_blocks(weights)(x[None])[0]


def keras_jacobian(x, *weights):
    """By autodiff, one output after the other."""
    model = keras_blocks(weights)
    rows = [gradient(lambda x, i=i: model(x[None])[0, i], x) for i in range(len(x))]
    return np.stack([ops.convert_to_numpy(row) for row in rows])


def dense_blocks(count, depth):
    """Random inputs (4,) with the weights of so many blocks."""
    for _ in range(count):
        shapes = [(4,), *[(5, 4), (4, 5)] * depth]
        yield tuple(rng.normal(size=shape).astype("float32") / 2 for shape in shapes)


# %%
prove("7.7", block_output, keras_block_output, cases=dense_blocks(20, 1))
prove("7.8", block_jacobian, keras_jacobian, cases=dense_blocks(10, 1), atol=1e-5)
prove("7.9", sum_over_paths, keras_jacobian, cases=dense_blocks(5, 3), atol=1e-5)

# %% [markdown]
# (The ReLU behind the sum spoils this a little, for it closes where the sum is negative. Later networks move it into
# the path, and then the shortcut is free from end to end: He et al., 2016b.)
#
# Does it show in a real network? Put a tensor of zeros, a **probe**, in front of every block, and ask how the loss
# would change with it: the gradient with respect to a probe is the $\delta$ that arrives there, and one call gives
# all of them. First without normalisation and with Keras's default weights (Glorot's): there, by (2.16) of chapter
# 02, each layer with ReLU halves the mean square of $\delta$ on its way back. Then with batch normalisation, as in
# the experiment above. All networks are as they are before training.


# %%
def size_of_gradients(models, images, labels):
    """Root mean square of the gradient of the loss at the input of each block and of the head: an array.

    models: as `pieces` gives them, a stem first. Batch normalisation is in its training mode.
    """
    stem, *rest = models

    def loss(probes):
        with keras.StatelessScope():  # batch normalisation may not note its running statistics here
            x = stem(images, training=True)
            for number, model in enumerate(rest):
                x = model(x + probes[number], training=True)
        return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, x, from_logits=True))

    zeros = np.zeros((len(rest), len(images), *stem.output.shape[1:]), "float32")
    delta = ops.convert_to_numpy(gradient(loss, zeros))
    return np.sqrt(np.mean(delta**2, axis=(1, 2, 3, 4)))


# %%
BLOCKS = 12
arriving = {}
for norm, initializer in ((False, "glorot_uniform"), (True, "he_normal")):
    for plus in (False, True):
        keras.utils.set_random_seed(seed())
        models = pieces(stack(BLOCKS, plus, norm), initializer=initializer)
        arriving[norm, plus] = size_of_gradients(models, x_train[:64], y_train[:64])

figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
for axis, norm, title in zip(axes, (False, True), ("no normalisation, Glorot's weights", "batch normalisation")):
    for plus, name, colour, marker in ((False, "plain", ORANGE, "o"), (True, "residual", BLUE, "s")):
        sizes = arriving[norm, plus]
        axis.plot(sizes / sizes[-1], color=colour, marker=marker, markersize=4, label=name)
    if not norm:
        halved = 2.0 ** (np.arange(BLOCKS + 1) - BLOCKS)
        axis.plot(halved, color="black", linestyle=":", label="halved by each block")
    axis.set(yscale="log", xlabel="blocks below", title=title, xticks=range(0, BLOCKS + 1, 3))
axes[0].set_ylabel("gradient, relative to the last block's end")
axes[0].legend()
axes[1].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.4. Size of the gradient that arrives in front of each of 12 blocks, before training, on a logarithmic
# scale; the loss is on the right, the picture on the left. Without normalisation it dies out in the plain network, as
# fast as two halvings of the mean square per block predict. With batch normalisation it grows instead.*

# %%
claim(
    "7.4",
    "without normalisation, the plain network's gradient at the first block is less than a tenth of the residual one's",
    arriving[False, False][0] < 0.1 * arriving[False, True][0],
)

# %% [markdown]
# Now the right-hand side, which belongs to the networks of Figure 7.3. There the plain network's gradient does not die
# out. It *grows* towards the input, as it does in plain networks with batch normalisation whatever the variance of
# their initial weights (Yang et al., 2019, for dense layers). Nor is size everything. In deep plain networks the
# gradients of two similar pictures have less and less to do with each other, until they look like noise; shortcuts
# slow that down (Balduzzi et al., 2017). So "vanishing gradients" name one illness out of three. The cure is the same
# $I$ for all of them.
#
# A picture that has to become smaller, or to have more channels, does not fit the sum. There the shortcut gets a 1 ×
# 1 convolution with the same stride and as many filters. And for deep networks on large pictures the two 3 × 3 layers
# are replaced by GoogLeNet's bottleneck: 1 × 1 narrows, 3 × 3 works, 1 × 1 widens again by four.


# %%
def basic(filters, stride, project):
    """A residual block of two 3 x 3 convolutions, as parts of a plan. project: a 1 x 1 convolution in the shortcut."""
    path = [Conv(filters, 3, stride, bias=False), "norm", "relu", Conv(filters, bias=False), "norm"]
    return [Branches("add", [path, [Conv(filters, 1, stride, bias=False), "norm"] if project else []]), "relu"]


def bottleneck(filters, stride, project, bias=True):
    """A residual block of ResNet-50. Keras gives its convolutions biases, which the normalisation makes useless."""
    narrow = [Conv(filters, 1, stride, bias=bias), "norm", "relu", Conv(filters, 3, bias=bias), "norm", "relu"]
    shortcut = [Conv(4 * filters, 1, stride, bias=bias), "norm"] if project else []
    return [Branches("add", [[*narrow, Conv(4 * filters, 1, bias=bias), "norm"], shortcut]), "relu"]


def resnet(stem, stages, block, classes):
    """A plan. stages: (filters, number of blocks); each stage but the first halves height and width."""
    plan = list(stem)
    for stage, (filters, repeats) in enumerate(stages):
        for number in range(repeats):
            first = number == 0
            plan += block(filters, 2 if stage and first else 1, first and (stage > 0 or block is bottleneck))
    return [*plan, "global", Dense(classes)]


RESNET_STEM = [Conv(64, 7, 2), "norm", "relu", HALVE]
RESNET50 = resnet(RESNET_STEM, [(64, 3), (128, 4), (256, 6), (512, 3)], bottleneck, 1000), (224, 224, 3)

# %% [markdown]
# ## 2017, DenseNet: keep everything
#
# A residual block adds what it found to what was there. What later layers get is a sum, out of which no single term
# can be had again. Huang et al. (2017) join instead of adding: each layer reads the outputs of *all* layers before it
# and adds $k$ channels of its own, the **growth rate**. With $k_0$ channels at the start of a block, layer $l$ reads
#
# $$ c_l = k_0 + k\,(l - 1) \tag{7.10} $$
#
# channels. As nothing is lost, each layer can be narrow, $k = 32$ in DenseNet-121. But the input widens from layer to
# layer, so every layer begins with a bottleneck of $4k$ filters of 1 × 1, and between blocks a *transition* halves
# the channels. Without normalisation, $L$ layers take
#
# $$ \sum_{l=1}^{L} \bigl(4k\,c_l + 9 \cdot 4k \cdot k\bigr) = 4k \Bigl(k_0 L + k\,\tfrac{L(L-1)}{2}\Bigr) + 36\,k^2 L
#    \tag{7.11} $$
#
# weights. The square of $L$ in it is the price: what is kept has to be read again by all who come later.


# %%
def dense_layer(growth):
    """One layer of a dense block with its bottleneck, as a part of a plan."""
    narrow = ["norm", "relu", Conv(4 * growth, 1, bias=False)]
    return Branches("join", [[], [*narrow, "norm", "relu", Conv(growth, bias=False)]])


def densenet(stem, channels, blocks, growth, classes):
    """A plan. channels: after the stem. blocks: the number of layers in each dense block."""
    plan = list(stem)
    for number, repeats in enumerate(blocks):
        if number:
            channels //= 2
            plan += ["norm", "relu", Conv(channels, 1, bias=False), Pool("average", 2, 2)]
        plan += [dense_layer(growth)] * repeats
        channels += growth * repeats
    return [*plan, "norm", "relu", "global", Dense(classes)]


DENSENET_STEM = [Conv(64, 7, 2, bias=False), "norm", "relu", HALVE]
DENSENET121 = densenet(DENSENET_STEM, 64, (6, 12, 24, 16), 32, 1000), (224, 224, 3)


def channels_read(k0, growth, layer):
    """Channels that a layer of a dense block reads; layers count from 1 (7.10)."""
    return k0 + growth * (layer - 1)  # (7.10)


def dense_block_weights(k0, growth, depth):
    """Weights of the convolutions in a dense block of so many layers (7.11)."""
    return 4 * growth * (k0 * depth + growth * depth * (depth - 1) // 2) + 36 * growth**2 * depth  # (7.11)


def keras_channels_read(k0, growth, layer):
    return sketch([dense_layer(growth)] * layer, (4, 4, k0)).layers[-1].input[0].shape[-1]


def keras_dense_block_weights(k0, growth, depth):
    model = sketch([dense_layer(growth)] * depth, (4, 4, k0))
    return sum(layer.count_params() for layer in model.layers if isinstance(layer, layers.Conv2D))


def dense_sizes(count):
    return (tuple(int(n) for n in rng.integers(1, 6, 3)) for _ in range(count))


# %%
prove("7.10", channels_read, keras_channels_read, cases=dense_sizes(8))
prove("7.11", dense_block_weights, keras_dense_block_weights, cases=dense_sizes(8))


# %%
def words(part):
    """What a part is called in a drawing."""
    match part:
        case Conv(filters, k, stride):
            return f"{k}×{k}, {filters}" + (f", stride {stride}" if stride > 1 else "")
        case Pool(kind, k):
            return f"{kind} pool {k}×{k}"
    return str(part)


# %%
def draw_plan(axis, plan, x=0.0, y=0.0, width=1.0):
    """Draw a plan from the top down, paths of a branch side by side; returns the height that it ends at."""
    box = {"boxstyle": "round,pad=0.25", "lw": 0.8}
    for number, part in enumerate(plan):
        if number:
            axis.plot([x, x], [y + 1, y], color="#777777", linestyle="-", lw=1, zorder=0)
        if isinstance(part, Branches):
            places = [x + width * ((i + 0.5) / len(part.paths) - 0.5) for i in range(len(part.paths))]
            ends = [draw_plan(axis, path, at, y - 1, width / len(part.paths)) for path, at in zip(part.paths, places)]
            for at in places:
                axis.plot(
                    [x, at, at, x],
                    [y, y - 0.6, min(ends) - 0.4, min(ends) - 1],
                    color="#777777",
                    linestyle="-",
                    lw=1,
                    zorder=0,
                )
            y, text, face = min(ends) - 1, {"add": "+", "join": "joined"}[part.how], "#f2c14e"
        else:
            text, face = words(part), "#cfe3f1" if isinstance(part, Conv) else "#eeeeee"
        axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=box | {"fc": face, "ec": "#555555"})
        y -= 1
    return y


figure, axes = plt.subplots(1, 4, figsize=(9.5, 4.2), width_ratios=[1, 3.6, 1.6, 1.6])
blocks = {
    "VGG": [*[Conv(64), "relu"] * 2, Pool("max", 2, 2)],
    "Inception": [M["3a"]],
    "residual": basic(64, 1, project=False),
    "dense": [dense_layer(32)],
}
for axis, (name, block) in zip(axes, blocks.items()):
    bottom = draw_plan(axis, block)
    axis.set(xlim=(-0.6, 0.6), ylim=(-8.5, 1), title=name)
    axis.axis("off")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.5. One block of each kind, drawn from its plan, from the top down. VGG stacks; the Inception module looks
# at several scales at once, behind bottlenecks; a residual block adds its input to what it made of it; a dense layer
# joins them.*

# %% [markdown]
# ## Are the plans the papers' networks?
#
# Each plan is a claim about a paper. For three of them Keras has the network too; AlexNet and GoogLeNet are written
# down once more by hand, from the papers. At this size it matters that no weight is given a value.
#
# $$ \begin{aligned}
#    P_\text{AlexNet} &= 60{,}965{,}224, & P_\text{VGG-16} &= 138{,}357{,}544, & P_\text{GoogLeNet} &= 6{,}998{,}552, \\
#    P_\text{ResNet-50} &= 25{,}636{,}712, & P_\text{DenseNet-121} &= 8{,}062{,}504
#    \end{aligned} \tag{7.12} $$


# %%
PAPERS = {
    "AlexNet": ALEXNET_ON_TWO_CARDS,
    "VGG-16": VGG16,
    "GoogLeNet": GOOGLENET,
    "ResNet-50": RESNET50,
    "DenseNet-121": DENSENET121,
}


def paper_parameters(name):
    """Parameters of a network at its paper's size (7.12)."""
    return parameters_of(*PAPERS[name])  # (7.12)


def alexnet_by_hand():
    pool, settings = layers.MaxPooling2D(3, 2), {"padding": "same", "activation": "relu"}
    two_cards = settings | {"groups": 2}
    first = [keras.Input((227, 227, 3)), layers.Conv2D(96, 11, 4, activation="relu"), pool]
    middle = [layers.Conv2D(256, 5, **two_cards), layers.MaxPooling2D(3, 2), layers.Conv2D(384, 3, **settings)]
    last = [layers.Conv2D(384, 3, **two_cards), layers.Conv2D(256, 3, **two_cards), layers.MaxPooling2D(3, 2)]
    dense = [layers.Flatten(), *(layers.Dense(4096, "relu") for _ in range(2)), layers.Dense(1000)]
    return keras.Sequential([*first, *middle, *last, *dense])


def googlenet_by_hand():
    def conv(x, filters, k, stride=1):
        return layers.Conv2D(filters, k, stride, "same", activation="relu")(x)

    inputs = keras.Input((224, 224, 3))
    x = layers.MaxPooling2D(3, 2, "same")(conv(inputs, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, "same")(conv(conv(x, 64, 1), 192, 3))
    for name, (n1, r3, n3, r5, n5, p) in MODULES.items():
        x = layers.MaxPooling2D(3, 2, "same")(x) if name in ("4a", "5a") else x
        pooled = layers.MaxPooling2D(3, 1, "same")(x)
        paths = conv(x, n1, 1), conv(conv(x, r3, 1), n3, 3), conv(conv(x, r5, 1), n5, 5), conv(pooled, p, 1)
        x = layers.Concatenate()(paths)
    return keras.Model(inputs, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)))


BY_HAND = {"AlexNet": alexnet_by_hand, "GoogLeNet": googlenet_by_hand}


# %%
def independent_parameters(name):
    """The same from keras.applications, or from the network built by hand."""
    with keras.StatelessScope(initialize_variables=False):  # the weights are described, not made
        build = BY_HAND.get(name) or getattr(keras.applications, name.replace("-", ""))
        found = (build() if name in BY_HAND else build(weights=None)).count_params()
    keras.utils.clear_session()  # or Keras would make them all the next time that it makes a network
    return found


# %%
prove("7.12", paper_parameters, independent_parameters, cases=PAPERS)

# %%
for name, (plan, shape) in PAPERS.items():
    _, parameters, work = cost(plan, shape)
    print(f"{name:12} {parameters:11,} parameters  {work / 1e9:5.2f} billion multiply-adds")

# %% [markdown]
# The count of ResNet-50 is Keras's, with 26,560 biases that normalisation makes useless. Others quote 25,557,032 for
# the same network: without these biases, and only what is learned (exercise 7.1).
#
# ## Five networks, one budget
#
# Now small relatives of the five for pictures of 32 pixels, each with the ideas of its paper and none of the later
# ones: no normalisation before ResNet. None may spend more than four million multiply-adds on a picture, and all get
# the same pictures, the same steps and the same optimiser, Adam with a rate that falls along a cosine.


# %%
def small_five():
    """Plans for pictures (32, 32, 3) and ten classes, none of more than four million multiply-adds."""
    begin = [Conv(16, 3, 2, bias=False), "norm", "relu"]
    modules = [inception(24, 16, 40, 6, 16, 16), inception(32, 24, 48, 8, 16, 16), HALVE]
    modules.append(inception(48, 32, 64, 8, 24, 24))
    return {
        "AlexNet": alexnet((16, 24, 32, 32, 24), 128, 10, first=(5, 1), rate=0.2),
        "VGG": vgg([(8, 2), (16, 2), (32, 2), (64, 2)], 64, 10, rate=0.2),
        "GoogLeNet": googlenet([Conv(24, 5, 2), "relu", HALVE], modules, 10, rate=0.2),
        "ResNet": resnet(begin, [(16, 1), (32, 1), (64, 1)], basic, 10),
        "DenseNet": densenet([*begin, HALVE], 16, (4, 4), 10, 10),
    }


# %%
networks = small_five()
epochs, batch = budget(quick=5, full=20, least=1), budget(quick=50, full=250)
x_learn, y_learn = (part[: budget(quick=2000, full=50000, least=300)] for part in (photos.x_train, photos.y_train))
x_learn = scaled(x_learn)
rows, answers = {}, {}
for name, plan in networks.items():
    keras.utils.set_random_seed(seed())
    model = network(plan)
    optimizer = keras.optimizers.Adam(falling(0.002, epochs, len(x_learn), batch))
    begin = time.perf_counter()
    fit(model, x_learn, y_learn, epochs, batch, optimizer)
    seconds = time.perf_counter() - begin
    answers[name] = predict(model, x_test, 100).argmax(axis=1)
    accuracy = np.mean(answers[name] == y_test)
    _, parameters, work = cost(plan)
    rows[name] = parameters, work, accuracy, np.sqrt(accuracy * (1 - accuracy) / len(y_test)), seconds

print(f"{'':10} parameters  multiply-adds  accuracy           seconds")
for name, (parameters, work, accuracy, error, seconds) in rows.items():
    print(f"{name:10} {parameters:10,} {work:14,}  {accuracy:.3f} ± {error:.3f}  {seconds:8.1f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
for number, (name, (parameters, work, accuracy, error, _)) in enumerate(rows.items()):
    for axis, x in zip(axes, (parameters / 1e3, work / 1e6)):
        style = {"color": plots.COLOURS[number], "marker": "osD^v"[number], "capsize": 3, "markersize": 7}
        axis.errorbar(x, 100 * accuracy, yerr=200 * error, linestyle="", label=name, **style)
axes[0].set(xlabel="parameters, thousands", ylabel="test pictures right, %", xlim=(0, 110))
axes[1].set(xlabel="multiply-adds for a picture, millions", xlim=(0, 4.2))
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.6. Accuracy of the five small networks against their parameters (left) and their multiply-adds (right).
# The bars are two standard errors up and down, for the choice of the test pictures alone; another seed moves the
# points too.*

# %%
claim(
    "7.5",
    "with half of VGG's parameters and fewer multiply-adds, DenseNet names more test pictures rightly",
    rows["DenseNet"][2] > rows["VGG"][2]
    and rows["DenseNet"][0] < 0.5 * rows["VGG"][0]
    and rows["DenseNet"][1] < rows["VGG"][1],
)

# %% [markdown]
# Read this with care: one seed, small networks, seconds of training. ResNet and DenseNet differ from the others in
# two things, normalisation and short ways from end to end, and the table cannot tell which of them did what. Nor are
# multiply-adds seconds, and its last column does not follow them: many thin layers take more time than their
# arithmetic, to build and to run, which is one reason for the network of the next section.

# %% [markdown]
# ## A recipe for 94 %
#
# The quick comparison trains for seconds. What does such a network reach when it is trained properly? Here is a
# complete recipe with nothing left out, after Zagoruyko and Komodakis (2016), whose wide residual network of 2.2
# million parameters names 94.7 % of CIFAR-10's test pictures rightly. Each line of it answers a question that you can
# ask:
#
# | part | what it is for |
# |---|---|
# | wide residual network, 22 layers, widths 64, 128, 256 | fewer and wider blocks are faster than many narrow ones |
# | normalisation and ReLU *before* each convolution | nothing stands on the shortcut (He et al., 2016b) |
# | random crop after 4 pixels of padding, random flip | the same picture hardly ever comes twice |
# | SGD with Nesterov momentum 0.9 | the paper's optimiser |
# | rate rising to 0.1 over 2.5 epochs of 40, then a cosine | the first steps from random weights are the riskiest |
# | weight decay, not on offsets, factors and biases | keeps the kernels small |
# | half precision on a GPU | faster, in about half the memory; the weights are kept in single precision |
#
# Ours has twice the parameters of theirs and a fifth of their epochs, 40. Chapter 08 takes these parts apart.
# One trap is hidden in the last but one: the paper's decay of 0.0005 is a term of the *loss*, so it goes through the
# momentum, which lets each gradient act $1/(1 - 0.9) = 10$ times. Keras's `weight_decay` acts on the weights
# directly, outside the momentum. To do the same, it has to be 0.005.
#
# The full budget, one GPU, trains the network of the table; the quick one sends a small relative through the same
# lines, with all times shortened alike. Cropping and flipping happen in a layer, for each picture by itself. To cut
# out rows is to multiply by a matrix with at most one 1 in each row, which runs on every backend and on any device.


# %%
class CropAndFlip(layers.Layer):
    """In training: shifts each picture by up to `margin` pixels in both directions, with zeros where nothing is, and
    mirrors every second one, at random. Pictures (n, H, W, C). In tests it passes them on."""

    def __init__(self, margin=4, seed=None, **settings):
        super().__init__(**settings)
        if margin < 0:
            raise ValueError(f"margin is {margin}; it must be at least 0")
        self.margin = margin
        self.draw = keras.random.SeedGenerator(seed)

    def cut(self, count, size):
        """Matrices (count, size, size) that move a row of pixels by a random whole number."""
        shift = keras.random.randint((count, 1), -self.margin, self.margin + 1, seed=self.draw)
        pixels = ops.arange(size, dtype="int32")
        wanted = pixels[None] + ops.cast(shift, "int32")  # of each new pixel; outside the picture none is equal
        return ops.cast(wanted[:, :, None] == pixels[None, None], self.compute_dtype)

    def call(self, x, training=False):
        if len(x.shape) != 4:
            raise ValueError(f"pictures have four axes (n, H, W, C); these have {len(x.shape)}: {tuple(x.shape)}")
        if not training:
            return x
        count, height, width = ops.shape(x)[0], x.shape[1], x.shape[2]
        columns = self.cut(count, width)
        mirrored = keras.random.uniform((count, 1, 1), seed=self.draw) < 0.5
        columns = ops.where(mirrored, ops.flip(columns, axis=1), columns)
        x = ops.einsum("nij,njwc->niwc", self.cut(count, height), x)
        return ops.einsum("nij,nhjc->nhic", columns, x)


# %%
def wide_resnet(blocks, widths, classes):
    """A plan: three stages of `blocks` residual blocks with normalisation and ReLU before each convolution."""
    plan = [Conv(16, bias=False)]
    for stage, width in enumerate(widths):
        for number in range(blocks):
            stride = 2 if stage and number == 0 else 1
            path = [Conv(width, 3, stride, bias=False), "norm", "relu", Conv(width, bias=False)]
            if number == 0:
                project = [Conv(width, 1, stride, bias=False)]
                plan += ["norm", "relu", Branches("add", [path, project])]
            else:
                plan.append(Branches("add", [["norm", "relu", *path], []]))
    return [*plan, "norm", "relu", "global", Dense(classes)]


# %%
def by_recipe(plan, images, labels, epochs, batch, precision):
    """Train a plan on uint8 pictures (n, 32, 32, 3) by the recipe. precision: a Keras dtype policy.

    Returns the model, which takes such pictures as floats from 0 to 255, and the seconds that training took.
    """
    keras.config.set_dtype_policy(precision)
    inputs = keras.Input((32, 32, 3), dtype="float32")
    mean, deviation = images.mean((0, 1, 2)), images.std((0, 1, 2))
    x = layers.Normalization(mean=mean, variance=deviation**2)(inputs)
    x = grow(plan, CropAndFlip(seed=seed())(x))
    model = keras.Model(inputs, layers.Activation("linear", dtype="float32")(x))
    keras.config.set_dtype_policy("float32")

    steps = -(-len(images) // batch)
    warm = epochs * steps // 16
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * steps - warm, warmup_target=0.1 * batch / 128, warmup_steps=warm
    )
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.005)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    begin = time.perf_counter()
    fit(model, images.astype("float32"), labels, epochs, batch, optimizer)
    return model, time.perf_counter() - begin


# %%
PROPER = wide_resnet(3, (64, 128, 256), 10)
recipe_plan = budget(quick=wide_resnet(1, (8, 16, 32), 10), full=PROPER)
count_used = budget(quick=2000, full=50000, least=300)
model, recipe_seconds = by_recipe(
    recipe_plan,
    photos.x_train[:count_used],
    photos.y_train[:count_used],
    epochs=budget(quick=8, full=40, least=1),
    batch=budget(quick=50, full=125),
    precision=budget(quick="float32", full="mixed_float16"),
)
guessed = predict(model, photos.x_test[: len(y_test)].astype("float32"), 100).argmax(axis=1)
final = float(np.mean(guessed == y_test))
sizes = [parameters_of(some_plan, (32, 32, 3)) for some_plan in (recipe_plan, PROPER)]
print(f"{sizes[0]:,} parameters here, {sizes[1]:,} on the full budget")
print(f"{final:.1%} of the test pictures right after {recipe_seconds:.0f} s of training")

# %%
claim(
    "7.6",
    "the recipe makes a wide residual network right more than twice as often as guessing (full budget: 94 % on "
    "CIFAR-10, with less than five million parameters)",
    parameters_of(PROPER, (32, 32, 3)) < 5_000_000
    and final >= (0.94 if photos.name == "CIFAR-10" and budget(quick=False, full=True) else 0.2),
)

# %% [markdown]
# ## Look inside: take a block out
#
# If (7.9) is the right picture, a residual network is a crowd of paths of all lengths, and no single block should be
# indispensable. Veit et al. (2016) put that to the test with a pair of scissors: take a trained network, leave out one
# block, train nothing anew, and test. A block of the residual network is left out by keeping its shortcut only; of the
# plain one by joining its neighbours directly.


# %%
def share_right(models, images, labels):
    """The share of pictures that a chain of models names rightly."""
    x = images
    for model in models:
        x = model(x, training=False)
    return float(np.mean(ops.convert_to_numpy(x).argmax(axis=1) == labels))


def without_each(models, images, labels):
    """The same after one block was left out, for each block between the stem and the head: an array."""
    return np.array([share_right(models[:i] + models[i + 1 :], images, labels) for i in range(1, len(models) - 1)])


# %%
spared = {}
for kind, depth in (("plain", shallow), ("residual", shallow), ("residual", deep)):
    whole = share_right(twins[kind, depth], x_test[:1000], y_test[:1000])
    spared[kind, depth] = whole, without_each(twins[kind, depth], x_test[:1000], y_test[:1000])

figure, axes = plt.subplots(1, 3, figsize=(8.4, 3.2), sharey=True, width_ratios=[1, 1, 2.4])
for axis, ((kind, depth), (whole, after_loss)) in zip(axes, spared.items()):
    colour = ORANGE if kind == "plain" else BLUE
    axis.bar(np.arange(1, len(after_loss) + 1), 100 * after_loss, color=colour, width=0.7)
    axis.axhline(100 * whole, color="black", linestyle="--", linewidth=1.2, label="nothing left out")
    axis.axhline(10, color="black", linestyle=":", linewidth=1.2, label="guessing")
    axis.set(title=f"{kind}, {depth} layers", xlabel="block left out")
axes[0].set_ylabel("test pictures right, %")
figure.tight_layout()
figure.legend(*axes[2].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2)
plt.show()

# %% [markdown]
# *Figure 7.7. Accuracy of three networks of Figure 7.3 after one block was left out. In the deep residual network most
# blocks are hardly missed.*

# %%
kept = {name: np.mean(after_loss - 0.1) / (whole - 0.1) for name, (whole, after_loss) in spared.items()}
for (kind, depth), share in kept.items():
    print(f"{kind:8} {depth:2} layers: {share:4.0%} of the lead over guessing is kept, on average over the blocks")

# %%
claim(
    "7.7",
    "without one of its blocks, the deep residual network keeps more of its accuracy than the shallow plain one",
    kept["residual", deep] > kept["plain", shallow] + 0.1,
)

# %% [markdown]
# The five small networks fail too, and it is worth looking at where they fail together:

# %%
together = np.all([answer != y_test for answer in answers.values()], axis=0)
votes = [np.bincount([answer[i] for answer in answers.values()], minlength=10) for i in np.flatnonzero(together)]
order = np.argsort([-vote.max() for vote in votes], kind="stable")[:10]
missed = np.flatnonzero(together)[order]
names = [(photos.classes[y_test[i]], photos.classes[votes[j].argmax()]) for i, j in zip(missed, order)]
titles = [f"{name},\ntaken for {other}" for name, other in names]
plots.show_images(x_test[missed] + 0.5, titles, columns=5, size=1.5, limits=(0, 1))

# %% [markdown]
# *Figure 7.8. Test pictures that all five name wrongly, and alike where they can; above each its class, and what
# most of the networks took it for.*
#
# %% [markdown]
# ## Debug it
#
# Blocks like the following are all over the web. It works in the tests that its author made, with stride 1 and with
# more channels. Then somebody asks it for a stride.


# %%
def found_on_the_web(x, filters, stride):
    path = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(x)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.Conv2D(filters, 3, padding="same", use_bias=False)(path)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.BatchNormalization()(layers.Conv2D(4 * filters, 1, use_bias=False)(path))
    if x.shape[-1] != 4 * filters:
        x = layers.BatchNormalization()(layers.Conv2D(4 * filters, 1, use_bias=False)(x))
    return layers.ReLU()(layers.Add()([path, x]))


# %%
for channels, stride in ((16, 1), (32, 1), (16, 2)):
    try:
        end = found_on_the_web(keras.Input((8, 8, channels)), 8, stride)
        print(f"{channels} channels, stride {stride}: {end.shape}")
    except ValueError as error:
        print(f"{channels} channels, stride {stride}: {str(error).splitlines()[0]}")

# %% [markdown]
# The message is plain enough: the path has shrunk and the shortcut has not. The danger is in the repairs that make it
# go away. Take the stride out of the path, and all shapes agree; but no map shrinks any more, and the network's work
# multiplies. Or cut the shortcut to the path's size, and all shapes agree again, and nothing complains ever after.
# Ask the gradient which pixels reach the shortcut:


# %%
def reaching(shortcut, size=16):
    """Which pixels of a map (size, size) have a part in what a shortcut passes on: an array of True and False."""
    picture = np.ones((1, size, size, 1), "float32")
    return ops.convert_to_numpy(gradient(lambda x: ops.sum(shortcut(x)), picture))[0, :, :, 0] != 0


# %%
shortcuts = {
    "1 × 1 with the stride": lambda x: x[:, ::2, ::2],  # the places where it stands
    "cut to size": lambda x: x[:, :8, :8],
    "average pooling": lambda x: ops.average_pool(x, 2, 2),
}
maps = [np.where(reaching(shortcut), 0.3, 0.85) for shortcut in shortcuts.values()]
plots.show_images(maps, list(shortcuts), size=2.0, limits=(0, 1))
shrinking, staying = ([basic(32, stride, True), basic(64, stride, True)] for stride in (2, 1))
ratio = cost(sum(staying, []), (32, 32, 16))[2] / cost(sum(shrinking, []), (32, 32, 16))[2]
print(f"without the stride, two blocks cost {ratio:.1f} times the multiply-adds")

# %% [markdown]
# *Figure 7.9. Dark: pixels of a 16 × 16 map that reach the shortcut's 8 × 8 output. The strided convolution looks
# at every second pixel of the whole map, the cut one at one corner, enlarged to stand beside all of the picture;
# average pooling looks at everything, and is a good repair too.*
#
# How do you find such a thing? A shape that fits proves little. Ask the gradient which inputs reach which output, as
# here and in chapter 04, or feed a picture with a single bright corner. Exercise 7.7 asks for the repair.
#
# ## This run
#
# The recipe, and the two deep networks of Figure 7.3, beside the recorded runs. No paper's figure belongs to networks
# as small as those of the quick budget.

# %%
record(
    recipe_test_accuracy=final,
    recipe_seconds=recipe_seconds,
    plain_deep_training_loss=at_end["plain", deep],
    residual_deep_training_loss=at_end["residual", deep],
)

# %% [markdown]
# ## Exercises
#
# Each stands on the definitions above and on no training run. Where a network is to be built, `x` is a symbolic
# tensor such as `keras.Input` makes, and so is what you return; `layers` and `ops` are Keras's. The check puts
# weights of its own into your layers and compares what comes out, whatever order you made them in.
#
# **Exercise 7.1 ★★** Two libraries report different sizes for the same ResNet, because one counts all numbers that a
# layer keeps and the other only those that are learned. Count both, for a network with branches.


# %%
# Exercise 7.1
def learned_and_kept(channels, rows):
    """Parameters of a network: how many are learned, and how many are kept in all.

    channels: of the picture. rows: a list of tuples, in order, each one of
        ("conv", filters, k, groups, bias)    k x k kernels; bias: True or False
        ("norm",)                             batch normalisation
        ("pool",)                             halves height and width
        ("add", path, path, ...)              every path, a list of rows, starts from the same input; results added
        ("join", path, path, ...)             the same, results joined along the channels
        ("global",)                           the mean of each channel
        ("dense", units)                      with a bias; comes after "global" only
    An empty path passes on its input. Returns (learned, kept), two whole numbers: batch normalisation learns a factor
    and an offset for each channel, and keeps two running statistics besides.
    Raises ValueError where the paths of an "add" end with different channels, naming both numbers.

    >>> learned_and_kept(3, [("conv", 8, 3, 1, False), ("norm",), ("global",), ("dense", 10)])
    (322, 338)
    """
    ### BEGIN SOLUTION

    def count(channels, rows):
        learned = kept = 0
        for kind, *sizes in rows:
            if kind == "conv":
                filters, k, groups, bias = sizes
                here = (k * k * (channels // groups) + bias) * filters
                learned, kept, channels = learned + here, kept + here, filters
            elif kind == "norm":
                learned, kept = learned + 2 * channels, kept + 4 * channels
            elif kind == "dense":
                here = (channels + 1) * sizes[0]
                learned, kept, channels = learned + here, kept + here, sizes[0]
            elif kind in ("add", "join"):
                ends, some, more = zip(*(count(channels, path) for path in sizes))
                if kind == "add" and len(set(ends)) > 1:
                    raise ValueError(f"cannot add along the channel axis: the paths end with {ends} channels")
                learned, kept = learned + sum(some), kept + sum(more)
                channels = ends[0] if kind == "add" else sum(ends)
        return channels, learned, kept

    return count(channels, rows)[1:]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("7.1")

BOTTLENECK = [("conv", 8, 1, 1, True), ("norm",), ("conv", 8, 3, 1, True), ("norm",), ("conv", 32, 1, 1, True)]


def some_path(rng, channels, end=None):
    rows = []
    for _ in range(rng.integers(1, 3)):
        filters = 4 * int(rng.integers(1, 6))
        rows.append(("conv", filters, int(rng.choice([1, 3, 5])), int(rng.choice([1, 2, 4])), bool(rng.integers(2))))
        rows += [("norm",)] * int(rng.integers(2))
    return rows if end is None else [*rows, ("conv", end, 1, 1, False)]


@ex.cases
def _(rng):
    yield 3, [("conv", 8, 3, 1, False), ("norm",), ("global",), ("dense", 10)]
    yield 16, [("add", [*BOTTLENECK, ("norm",)], [("conv", 32, 1, 1, True), ("norm",)]), ("global",), ("dense", 5)]
    yield 4, [("join", [], [("conv", 6, 3, 2, False)]), ("norm",), ("global",), ("dense", 3)]
    yield 8, [("add", [], [("conv", 12, 3, 1, False)]), ("global",), ("dense", 3)]
    yield 8, [("add", [("conv", 4, 1, 1, False)], [("conv", 6, 1, 1, False)]), ("global",), ("dense", 3)]
    for _ in range(16):
        channels = 4 * int(rng.integers(1, 5))
        same = ("add", [], some_path(rng, channels, channels)), ("add", *(some_path(rng, channels, 8) for _ in "ab"))
        several = ("join", some_path(rng, channels), [("pool",)], some_path(rng, channels))
        branch = (*same, several)[int(rng.integers(3))]
        yield channels, [branch, ("norm",), ("pool",), ("global",), ("dense", int(rng.integers(2, 12)))]


def sums(channels, rows, conv=None, norm=(2, 4), join=sum, dense=None, strict=("add",), chained=False, add=max):
    """(channels, learned, kept); each setting replaces one rule."""
    conv = conv or (lambda k, c, groups, bias, n: (k * k * (c // groups) + bias) * n)
    dense = dense or (lambda d, units: (d + 1) * units)
    learned = kept = 0
    for kind, *sizes in rows:
        if kind == "conv":
            n, k, groups, bias = sizes
            here = conv(k, channels, groups, bias, n)
            learned, kept, channels = learned + here, kept + here, n
        elif kind == "norm":
            learned, kept = learned + norm[0] * channels, kept + norm[1] * channels
        elif kind == "dense":
            here = dense(channels, sizes[0])
            learned, kept, channels = learned + here, kept + here, sizes[0]
        elif kind in ("add", "join"):
            ends, start = [], channels
            for path in sizes:
                end, some, more = sums(start, path, conv, norm, join, dense, strict, chained, add)
                learned, kept, ends = learned + some, kept + more, [*ends, end]
                start = end if chained else channels
            if kind in strict and len(set(ends)) > 1:
                raise ValueError("channels differ")
            channels = ends[-1] if chained else (add if kind == "add" else join)(ends)
    return channels, learned, kept


@ex.oracle
def _(channels, rows):  # every array of every layer written down by its shape, then multiplied out
    learned, statistics = [], []

    def walk(depth, rows):
        for row in rows:
            if row[0] == "conv":
                learned.append((row[2], row[2], depth // row[3], row[1]))
                learned.extend([(row[1],)] if row[4] else [])
                depth = row[1]
            elif row[0] == "norm":
                learned.extend([(depth,)] * 2)
                statistics.extend([(depth,)] * 2)
            elif row[0] == "dense":
                learned.extend([(depth, row[1]), (row[1],)])
                depth = row[1]
            elif row[0] in ("add", "join"):
                ends = [walk(depth, path) for path in row[1:]]
                if row[0] == "add" and min(ends) != max(ends):
                    raise ValueError("the paths of an add end with different channels")
                depth = ends[0] if row[0] == "add" else sum(ends)
        return depth

    def numbers(shapes):
        total = 0
        for shape in shapes:
            size = 1
            for n in shape:
                size *= n
            total += size
        return total

    walk(channels, rows)
    return numbers(learned), numbers(learned) + numbers(statistics)


@ex.wrong
def all_learned(channels, rows):
    """The two running statistics of batch normalisation are kept, but no gradient ever changes them: they do not
    belong to what is learned."""
    return sums(channels, rows, norm=(4, 4))[1:]


@ex.wrong
def statistics_forgotten(channels, rows):
    """Batch normalisation keeps more than it learns: its running mean and variance are missing in what is kept."""
    return sums(channels, rows, norm=(2, 2))[1:]


@ex.wrong
def groups_ignored(channels, rows):
    """A kernel of a grouped convolution sees the channels of its own group only, not all of them."""
    return sums(channels, rows, conv=lambda k, c, groups, bias, n: (k * k * c + bias) * n)[1:]


@ex.wrong
def groups_twice(channels, rows):
    """In a grouped convolution each kernel is thinner, but there are as many kernels as before: divide by the groups
    once, not for the channels in and again for the filters."""
    return sums(channels, rows, conv=lambda k, c, groups, bias, n: k * k * c * n // groups**2 + bias * n)[1:]


@ex.wrong
def always_biased(channels, rows):
    """The last entry of a "conv" row says whether there is a bias; you count one in any case."""
    return sums(channels, rows, conv=lambda k, c, groups, bias, n: (k * k * (c // groups) + 1) * n)[1:]


@ex.wrong
def never_biased(channels, rows):
    """Where a "conv" row has a bias, there is one number more for each of its filters."""
    return sums(channels, rows, conv=lambda k, c, groups, bias, n: k * k * (c // groups) * n)[1:]


@ex.wrong
def joined_as_added(channels, rows):
    """Joined paths are laid side by side: afterwards there are as many channels as all paths have together. You go on
    with those of one path."""
    return sums(channels, rows, join=lambda ends: ends[-1])[1:]


@ex.wrong
def one_after_the_other(channels, rows):
    """Each path starts from what came into the branch, not from the end of the path before it."""
    return sums(channels, rows, chained=True)[1:]


@ex.wrong
def adds_anything(channels, rows):
    """Paths that end with different channels cannot be added: such a plan is to be refused with a ValueError."""
    return sums(channels, rows, strict=(), add=lambda ends: ends[-1])[1:]


@ex.wrong
def dense_without_bias(channels, rows):
    """The dense layer has a bias for each unit besides its weights."""
    return sums(channels, rows, dense=lambda d, units: d * units)[1:]


@ex.wrong
def joins_only_equals(channels, rows):
    """Only paths that are added need equal channels. Joined ones may end with any: do not refuse them."""
    return sums(channels, rows, strict=("add", "join"))[1:]


@ex.wrong
def added_as_joined(channels, rows):
    """Paths that are added end with as many channels as each of them has, not with the sum: only joining widens."""
    return sums(channels, rows, add=sum)[1:]


@ex.wrong
def one_bias_for_all(channels, rows):
    """There is a bias for each filter; you count one for the whole layer."""
    return sums(channels, rows, conv=lambda k, c, groups, bias, n: k * k * (c // groups) * n + bias)[1:]


@ex.wrong
def one_side(channels, rows):
    """A kernel has k rows and k columns, so its weights go with the square of k."""
    return sums(channels, rows, conv=lambda k, c, groups, bias, n: (k * (c // groups) + bias) * n)[1:]


@ex.wrong
def the_other_order(channels, rows):
    """The two numbers stand in the other order: first what is learned, then what is kept in all."""
    return sums(channels, rows)[:0:-1]


@ex.wrong
def statistics_alone(channels, rows):
    """What is kept in all includes what is learned; your second number is that of the running statistics alone."""
    _, learned, kept = sums(channels, rows)
    return learned, kept - learned


@ex.wrong
def first_path_only(channels, rows):
    """Joined paths are laid side by side: afterwards there are as many channels as all paths have together. You go on
    with those of the first path."""
    return sums(channels, rows, join=lambda ends: ends[0])[1:]


@ex.right
def head_and_rest(channels, rows):
    def go(c, rows):
        if not rows:
            return c, 0, 0
        (kind, *sizes), *rest = rows
        if kind in ("add", "join"):
            widths, learned, kept = map(list, zip(*[go(c, path) for path in sizes]))
            if kind == "add" and widths != widths[:1] * len(widths):
                raise ValueError("not as many channels in each path")
            here = sum(widths) if kind == "join" else widths[0], sum(learned), sum(kept)
        elif kind == "conv":
            here = sizes[0], sizes[0] * (sizes[1] ** 2 * c // sizes[2]) + sizes[0] * sizes[3], 0
            here = *here[:2], here[1]
        elif kind == "dense":
            here = sizes[0], sizes[0] * c + sizes[0], sizes[0] * c + sizes[0]
        else:
            here = c, 2 * c * (kind == "norm"), 4 * c * (kind == "norm")
        end, learned, kept = go(here[0], rest)
        return end, here[1] + learned, here[2] + kept

    return go(channels, rows)[1:]


# %%
check("7.1", learned_and_kept)

# %% [markdown]
# **Exercise 7.2 ★★★** Equation (7.4) merges two kernels of one channel. Merge two whole convolutional layers without
# an activation between them, channels, biases and all.


# %%
# Exercise 7.2
def merged_layers(first, first_bias, second, second_bias):
    """The kernel and the bias of the one layer that does what two layers do, one after the
    other, without padding.

    first (a, b, C, M), first_bias (M,), second (c, d, M, N), second_bias (N,): arrays of
    floats, in Keras's order.
    Returns a kernel (a + c - 1, b + d - 1, C, N) and a bias (N,).
    Raises ValueError where the first layer's filters are not the second's channels, naming the
    axis and both sizes.
    Example: a 1 x 1 layer that doubles and adds 1, then one that triples:
    merged_layers(np.full((1, 1, 1, 1), 2.0), np.ones(1), np.full((1, 1, 1, 1), 3.0),
    np.zeros(1)) is (array([[[[6.]]]]), array([3.])).
    """
    ### BEGIN SOLUTION
    (a, b, channels, maps), (c, d, maps_in, filters) = first.shape, second.shape
    if maps != maps_in:
        raise ValueError(f"axis 3 of the first kernel has size {maps}, axis 2 of the second has size {maps_in}")
    kernel = np.zeros((a + c - 1, b + d - 1, channels, filters))
    for i in range(c):
        for j in range(d):
            kernel[i : i + a, j : j + b] += first @ second[i, j]  # sums over the maps between the two layers
    return kernel, second_bias + first_bias @ second.sum(axis=(0, 1))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import convolve2d

ex = exercise("7.2", atol=1e-6)


@ex.cases
def _(rng):
    yield np.full((1, 1, 1, 1), 2.0), np.ones(1), np.full((1, 1, 1, 1), 3.0), np.zeros(1)
    yield rng.normal(size=(3, 3, 1, 1)), np.zeros(1), rng.normal(size=(3, 3, 1, 1)), np.zeros(1)
    for _ in range(18):
        (a, b, c, d), (channels, maps, filters) = rng.integers(1, 5, 4), rng.integers(1, 5, 3)
        first, second = rng.normal(size=(a, b, channels, maps)), rng.normal(size=(c, d, maps, filters))
        yield first, rng.normal(size=maps), second, rng.normal(size=filters)
    yield rng.normal(size=(3, 3, 2, 3)), np.zeros(3), rng.normal(size=(3, 3, 2, 3)), np.zeros(3)
    yield rng.normal(size=(1, 1, 2, 4)), np.zeros(4), rng.normal(size=(3, 3, 3, 2)), np.zeros(2)


def _refuse(first, second):
    if first.shape[3] != second.shape[2]:
        raise ValueError("sizes")


@ex.oracle
def _(first, first_bias, second, second_bias):
    _refuse(first, second)
    channels, maps, filters = first.shape[2], first.shape[3], second.shape[3]
    pairs = [
        [sum(convolve2d(first[:, :, c, m], second[:, :, m, n]) for m in range(maps)) for n in range(filters)]
        for c in range(channels)
    ]
    carried = [sum(first_bias[m] * second[:, :, m, n].sum() for m in range(maps)) for n in range(filters)]
    return np.array(pairs).transpose(2, 3, 0, 1), second_bias + np.array(carried)


def _merge(first, second):
    _refuse(first, second)
    (a, b, channels, _), (c, d, _, filters) = first.shape, second.shape
    kernel = np.zeros((a + c - 1, b + d - 1, channels, filters))
    for i, j in np.ndindex(c, d):
        kernel[i : i + a, j : j + b] += first @ second[i, j]
    return kernel


def _carry(first_bias, second, second_bias):
    return second_bias + np.einsum("m,ijmn->n", first_bias, second)


@ex.wrong
def turned(first, first_bias, second, second_bias):
    """The second kernel is turned by 180° before it is stamped: that is a correlation of the two kernels, and what is
    wanted is their convolution."""
    return _merge(first, second[::-1, ::-1]), _carry(first_bias, second, second_bias)


@ex.wrong
def bias_not_carried(first, first_bias, second, second_bias):
    """The first layer's bias reaches the output too: every weight of the second layer passes it on."""
    return _merge(first, second), second_bias


@ex.wrong
def bias_added(first, first_bias, second, second_bias):
    """The first layer's bias is added as it is. It goes through the second layer first, which mixes the maps and
    multiplies it by its weights."""
    _refuse(first, second)
    return _merge(first, second), second_bias + first_bias.sum()


@ex.wrong
def bias_through_one_tap(first, first_bias, second, second_bias):
    """The first layer's bias passes through all places of the second kernel, not through a single one: add up its
    weights over the window."""
    _refuse(first, second)
    return _merge(first, second), second_bias + first_bias @ second[0, 0]


@ex.wrong
def cut_to_the_first(first, first_bias, second, second_bias):
    """The merged kernel sees further than either of the two: it has a + c - 1 rows, and you cut it to the first's."""
    a, b = first.shape[:2]
    kernel = _merge(first, second)
    top, left = (kernel.shape[0] - a) // 2, (kernel.shape[1] - b) // 2
    return kernel[top : top + a, left : left + b], _carry(first_bias, second, second_bias)


@ex.wrong
def one_map_only(first, first_bias, second, second_bias):
    """Between the layers lie M maps, and every one of them carries something: sum over all, not only the first."""
    _refuse(first, second)
    return _merge(first[..., :1], second[:, :, :1]), _carry(first_bias, second, second_bias)


@ex.wrong
def averaged(first, first_bias, second, second_bias):
    """The contributions of the M maps are to be added up; you take their mean."""
    return _merge(first, second) / first.shape[3], _carry(first_bias, second, second_bias)


@ex.wrong
def never_refuses(first, first_bias, second, second_bias):
    """A first layer whose filters are not the second one's channels does not fit: raise ValueError, do not cut."""
    m = min(first.shape[3], second.shape[2])
    first, second = first[..., :m], second[:, :, :m]
    return _merge(first, second), _carry(first_bias[:m], second, second_bias)


@ex.wrong
def maps_mixed(first, first_bias, second, second_bias):
    """Each entry of the first layer's bias meets the weights of its own map only. You multiply the sum of all biases
    by the sum of all weights, which mixes the maps."""
    _refuse(first, second)
    return _merge(first, second), second_bias + first_bias.sum() * second.sum(axis=(0, 1, 2))


@ex.wrong
def bias_averaged(first, first_bias, second, second_bias):
    """The first layer's bias arrives through all places of the second kernel: add up its weights over the window. You
    take their mean."""
    _refuse(first, second)
    return _merge(first, second), second_bias + first_bias @ second.mean(axis=(0, 1))


@ex.wrong
def own_bias_forgotten(first, first_bias, second, second_bias):
    """The second layer's own bias is missing in the result."""
    return _merge(first, second), _carry(first_bias, second, 0)


@ex.wrong
def filters_before_channels(first, first_bias, second, second_bias):
    """The last two axes of the kernel are exchanged: Keras's order is channels, then filters."""
    return _merge(first, second).swapaxes(2, 3), _carry(first_bias, second, second_bias)


@ex.wrong
def first_turned(first, first_bias, second, second_bias):
    """The first kernel is turned by 180°. Neither is to be: what is wanted is their convolution, and that is what
    stamping one with the other gives."""
    return _merge(first[::-1, ::-1], second), _carry(first_bias, second, second_bias)


@ex.wrong
def one_row_too_many(first, first_bias, second, second_bias):
    """The kernel is a row and a column too large: two kernels that follow one another share one place, so they see
    a + c - 1 rows."""
    return np.pad(_merge(first, second), [(0, 1), (0, 1), (0, 0), (0, 0)]), _carry(first_bias, second, second_bias)


@ex.right
def by_frequency(first, first_bias, second, second_bias):
    _refuse(first, second)
    size = [first.shape[i] + second.shape[i] - 1 for i in (0, 1)]
    product = np.einsum("abcm,abmn->abcn", *(np.fft.fft2(kernel, s=size, axes=(0, 1)) for kernel in (first, second)))
    return np.fft.ifft2(product, axes=(0, 1)).real, np.tensordot(first_bias, second.sum((0, 1)), 1) + second_bias


# %%
check("7.2", merged_layers)

# %% [markdown]
# **Exercise 7.3 ★** Write the Inception module in plain Keras, without `Branches`.


# %%
# Exercise 7.3
def inception_module(x, n1, r3, n3, r5, n5, p):
    """An Inception module on a tensor x (batch, H, W, C), any C: a tensor
    (batch, H, W, n1 + n3 + n5 + p).

    Four paths, joined along the channels in this order: 1 x 1 with n1 filters; 1 x 1 with r3,
    then 3 x 3 with n3; 1 x 1 with r5, then 5 x 5 with n5; max pooling 3 x 3 at stride 1, then
    1 x 1 with p. All keep height and width (padding "same"). Each of the six convolutions has
    a bias and ends in ReLU, the narrow ones too.
    Example: on 192 channels, inception_module(x, 64, 96, 128, 16, 32, 32) has 256 channels
    (module 3a of GoogLeNet).
    """
    ### BEGIN SOLUTION

    def conv(x, filters, k):
        return layers.Conv2D(filters, k, padding="same", activation="relu")(x)

    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    return layers.Concatenate()(
        [conv(x, n1, 1), conv(conv(x, r3, 1), n3, 3), conv(conv(x, r5, 1), n5, 5), conv(pooled, p, 1)]
    )
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import layers

ex = exercise("7.3", rtol=1e-2, atol=0.02)  # a GPU may multiply with ten bits


@ex.cases
def _(rng):
    yield (5, 6, 4), (2, 3, 4, 5, 6, 7), 1
    yield (1, 1, 3), (1, 2, 1, 3, 1, 2), 2
    for number in range(6):
        shape = *(int(n) for n in rng.integers(3, 7, 2)), int(rng.integers(1, 5))
        yield shape, tuple(int(n) for n in rng.choice(np.arange(1, 9), 6, replace=False)), 10 + number


def known(seed, name, shape):
    """Weights that depend on a weight's name and shape alone, so that the order of the layers does not matter."""
    rng = np.random.default_rng([seed, len(name), *shape])
    scale = np.sqrt(2 / np.prod(shape[:-1])) if name == "kernel" else 0.5
    return (scale * rng.normal(size=shape)).astype("float32")


def picture(shape, seed):
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


def tensor(end):
    if not isinstance(end, keras.KerasTensor):
        raise TypeError(f"what is returned must be a tensor, and is a {type(end).__name__}")
    return end


ex.shown_as("""
inputs = keras.Input(shape)
keras.Model(inputs, inception_module(inputs, *sizes)).summary()
""")


@ex.drive
def built(answer, shape, sizes, seed):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, tensor(answer(inputs, *sizes)))
    for weight in model.weights:
        weight.assign(known(seed, weight.name, tuple(weight.shape)))
    return {"parameters": model.count_params(), "outputs, with known weights": model(picture(shape, seed))}


@ex.oracle
def _(shape, sizes, seed):  # in NumPy, with no layer
    (n1, r3, n3, r5, n5, p), parameters = sizes, []

    def windows(x, k, fill):
        x = np.pad(x, [(0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)], constant_values=fill)
        return np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))

    def conv(x, filters, k):
        kernel, bias = known(seed, "kernel", (k, k, x.shape[-1], filters)), known(seed, "bias", (filters,))
        parameters.append(kernel.size + bias.size)
        return np.maximum(np.einsum("nabcij,ijcm->nabm", windows(x, k, 0), kernel) + bias, 0)

    x = picture(shape, seed)
    pooled = windows(x, 3, -np.inf).max(axis=(-2, -1))
    ends = conv(x, n1, 1), conv(conv(x, r3, 1), n3, 3), conv(conv(x, r5, 1), n5, 5), conv(pooled, p, 1)
    return {"parameters": sum(parameters), "outputs, with known weights": np.concatenate(ends, axis=-1)}


def variant(
    x,
    n1,
    r3,
    n3,
    r5,
    n5,
    p,
    narrow="relu",
    wide="relu",
    order=(0, 1, 2, 3),
    pool="max",
    from_x=True,
    first=True,
    bias=True,
    large=5,
):
    def conv(x, filters, k, activation=wide):
        return layers.Conv2D(filters, k, padding="same", activation=activation, use_bias=bias)(x)

    pooling = layers.MaxPooling2D if pool == "max" else layers.AveragePooling2D
    one = conv(x, n1, 1)
    three = conv(conv(x, r3, 1, narrow) if from_x else conv(one, r3, 1, narrow), n3, 3)
    five = conv(conv(x, r5, 1, narrow) if from_x else conv(three, r5, 1, narrow), n5, large)
    pooled = x if pool is None else pooling(3, 1, "same")(x)
    last = conv(pooled, p, 1) if first else pooling(3, 1, "same")(conv(x, p, 1))
    ends = one, three, five, last
    return layers.Concatenate()([ends[i] for i in order])


@ex.wrong
def linear_bottlenecks(x, *sizes):
    """The narrow 1 x 1 layers end in ReLU as well. Without it, each is merged with the large kernel behind it into one
    linear map, as in (7.4)."""
    return variant(x, *sizes, narrow=None)


@ex.wrong
def linear_ends(x, *sizes):
    """The four paths have to end in ReLU: a negative number cannot come out of an Inception module."""
    return variant(x, *sizes, wide=None)


@ex.wrong
def no_bottlenecks(x, n1, r3, n3, r5, n5, p):
    """The large kernels look at the whole input: the 1 x 1 layers that make it narrow first, with r3 and r5 filters,
    are missing."""
    conv = [layers.Conv2D(n, k, padding="same", activation="relu")(x) for n, k in ((n1, 1), (n3, 3), (n5, 5))]
    pooled = layers.MaxPooling2D(3, 1, "same")(x)
    return layers.Concatenate()([*conv, layers.Conv2D(p, 1, activation="relu")(pooled)])


@ex.wrong
def no_pool_projection(x, n1, r3, n3, r5, n5, p):
    """The pooled path ends in a 1 x 1 layer with p filters. Without it the module passes on all channels that came in,
    and every module is wider than the one before."""
    conv = [layers.Conv2D(n1, 1, activation="relu")(x)]
    for r, n, k in ((r3, n3, 3), (r5, n5, 5)):
        thin = layers.Conv2D(r, 1, activation="relu")(x)
        conv.append(layers.Conv2D(n, k, padding="same", activation="relu")(thin))
    return layers.Concatenate()([*conv, layers.MaxPooling2D(3, 1, "same")(x)])


@ex.wrong
def average_pool(x, *sizes):
    """The fourth path takes the largest value of each window; you take the mean."""
    return variant(x, *sizes, pool="average")


@ex.wrong
def no_pool(x, *sizes):
    """There is no pooling in the fourth path, which makes it a second copy of the first."""
    return variant(x, *sizes, pool=None)


@ex.wrong
def pool_after(x, *sizes):
    """In the fourth path the pooling comes first and the 1 x 1 layer after it; you have them the other way round."""
    return variant(x, *sizes, first=False)


@ex.wrong
def one_after_the_other(x, *sizes):
    """All four paths start from the module's input; here each starts from what the one before it made."""
    return variant(x, *sizes, from_x=False)


@ex.wrong
def another_order(x, *sizes):
    """The channels are right but stand in another order: the docstring says in which order the paths are joined."""
    return variant(x, *sizes, order=(3, 0, 1, 2))


@ex.wrong
def ends_differ(x, n1, r3, n3, r5, n5, p):
    """Keras cannot put the four ends together. They are joined, not added, and each needs the height and width of x:
    look for a layer without padding "same", and for a pooling without strides=1, which steps by a whole window."""

    def conv(x, filters, k):
        return layers.Conv2D(filters, k, padding="same", activation="relu")(x)

    pooled = layers.MaxPooling2D(3, padding="same")(x)
    ends = conv(x, n1, 1), conv(conv(x, r3, 1), n3, 3), conv(conv(x, r5, 1), n5, 5), conv(pooled, p, 1)
    return layers.Concatenate()(list(ends))


@ex.wrong
def without_biases(x, *sizes):
    """Each of the six convolutions has a bias; yours have none."""
    return variant(x, *sizes, bias=False)


@ex.wrong
def narrowed_too_late(x, n1, r3, n3, r5, n5, p):
    """The 1 x 1 convolution comes first and makes the input narrow. Behind the large kernel it saves nothing."""

    def conv(x, filters, k):
        return layers.Conv2D(filters, k, padding="same", activation="relu")(x)

    pooled = layers.MaxPooling2D(3, 1, "same")(x)
    ends = conv(x, n1, 1), conv(conv(x, r3, 3), n3, 1), conv(conv(x, r5, 5), n5, 1), conv(pooled, p, 1)
    return layers.Concatenate()(list(ends))


@ex.wrong
def three_for_five(x, *sizes):
    """The third path has a kernel of 3 x 3, copied from the second; its own is 5 x 5."""
    return variant(x, *sizes, large=3)


@ex.wrong
def exchanged_bottlenecks(x, n1, r3, n3, r5, n5, p):
    """The bottlenecks are exchanged: r3 filters stand before the 3 x 3 kernel and r5 before the 5 x 5 one."""
    return variant(x, n1, r5, n3, r3, n5, p)


@ex.right
def with_separate_relus(x, n1, r3, n3, r5, n5, p):
    def conv(x, filters, k):
        return layers.ReLU()(layers.Conv2D(filters, (k, k), strides=1, padding="same")(x))

    five = conv(conv(x, r5, 1), n5, 5)
    three = conv(conv(x, r3, 1), n3, 3)
    pooled = conv(layers.MaxPool2D((3, 3), (1, 1), padding="same")(x), p, 1)
    return keras.ops.concatenate([conv(x, n1, 1), three, five, pooled], axis=-1)


# %%
check("7.3", inception_module)

# %% [markdown]
# **Exercise 7.4 ★★** Write the basic residual block of He et al. (2016), in plain Keras. The shortcut passes its
# input on untouched wherever that is possible, and only there.


# %%
# Exercise 7.4
def residual_block(x, filters, stride):
    """A basic residual block on a tensor x (batch, H, W, C): a tensor (batch,
    ceil(H / stride), ceil(W / stride), filters).

    The path: a 3 x 3 convolution with this stride, batch normalisation, ReLU, a 3 x 3
    convolution at stride 1, batch normalisation. The shortcut: x itself where x and the path's
    end have one shape; else a 1 x 1 convolution with this stride, and batch normalisation. The
    two are added, and the sum goes through ReLU. Padding is "same" everywhere, and no
    convolution has a bias.
    Example: on (batch, 8, 8, 16), residual_block(x, 16, 1) has 4,736 parameters, and its
    shortcut has none.
    """
    ### BEGIN SOLUTION
    path = layers.Conv2D(filters, 3, stride, "same", use_bias=False)(x)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(path))
    if stride > 1 or x.shape[-1] != filters:
        x = layers.BatchNormalization()(layers.Conv2D(filters, 1, stride, "same", use_bias=False)(x))
    return layers.ReLU()(layers.Add()([path, x]))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import layers

ex = exercise("7.4", rtol=1e-2, atol=0.03)  # a GPU may multiply with ten bits


@ex.cases
def _(rng):
    yield (6, 6, 4), 4, 1, 1
    yield (6, 6, 4), 4, 2, 2
    yield (5, 7, 3), 6, 1, 3
    yield (7, 5, 3), 6, 2, 4
    yield (5, 6, 3), 3, 1, 5
    yield (7, 7, 3), 3, 2, 6
    for number in range(4):
        shape = *(int(n) for n in rng.integers(4, 9, 2)), int(rng.integers(2, 6))
        yield shape, int(rng.integers(2, 6)), int(rng.integers(1, 4)), 10 + number


def known(seed, name, shape):
    """Weights that depend on a weight's name and shape alone, so that the order of the layers does not matter."""
    rng = np.random.default_rng([seed, len(name), *shape])
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    scale = np.sqrt(1 / np.prod(shape[:-1])) if name == "kernel" else 0.5
    return (scale * rng.normal(size=shape)).astype("float32")


def picture(shape, seed):
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


def tensor(end):
    if not isinstance(end, keras.KerasTensor):
        raise TypeError(f"what is returned must be a tensor, and is a {type(end).__name__}")
    return end


ex.shown_as("""
inputs = keras.Input(shape)
keras.Model(inputs, residual_block(inputs, filters, stride)).summary()
""")


@ex.drive
def built(answer, shape, filters, stride, seed):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, tensor(answer(inputs, filters, stride)))
    for weight in model.weights:
        weight.assign(known(seed, weight.name, tuple(weight.shape)))
    return {"parameters": model.count_params(), "outputs, with known weights": model(picture(shape, seed))}


@ex.oracle
def _(shape, filters, stride, seed):  # in NumPy, with no layer
    parameters = []

    def conv(x, k, stride):
        kernel = known(seed, "kernel", (k, k, x.shape[-1], filters))
        parameters.append(kernel.size)
        sides = [max((-(-n // stride) - 1) * stride + k - n, 0) for n in x.shape[1:3]]
        x = np.pad(x, [(0, 0), *((side // 2, side - side // 2) for side in sides), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))[:, ::stride, ::stride]
        return np.einsum("nabcij,ijcm->nabm", windows, kernel)

    def norm(x):
        names = "gamma", "beta", "moving_mean", "moving_variance"
        gamma, beta, mean, variance = (known(seed, name, x.shape[-1:]) for name in names)
        parameters.append(4 * x.shape[-1])
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    x = picture(shape, seed)
    path = norm(conv(np.maximum(norm(conv(x, 3, stride)), 0), 3, 1))
    shortcut = x if x.shape == path.shape else norm(conv(x, 1, stride))
    return {"parameters": sum(parameters), "outputs, with known weights": np.maximum(path + shortcut, 0)}


def variant(
    x,
    filters,
    stride,
    bias=False,
    strides=None,
    project=None,
    end="relu",
    normed=True,
    inner=True,
    join=None,
    across=1,
):
    first, second = strides or (stride, 1)
    path = layers.Conv2D(filters, 3, first, "same", use_bias=bias)(x)
    path = layers.BatchNormalization()(path)
    path = layers.ReLU()(path) if inner else path
    path = layers.Conv2D(filters, 3, second, "same", use_bias=bias)(path)
    path = layers.BatchNormalization()(path)
    if stride > 1 or x.shape[-1] != filters if project is None else project:
        x = layers.Conv2D(filters, across, stride, "same", use_bias=bias)(x)
        x = layers.BatchNormalization()(x) if normed else x
    if end == "before":
        return layers.Add()([layers.ReLU()(path), x])
    both = (join or layers.Add)()([path, x])
    return layers.ReLU()(both) if end == "relu" else both


@ex.wrong
def always_projected(x, filters, stride):
    """The shortcut has a convolution even where shapes agree. There it is to pass on x itself: that is the whole point
    of it, and it costs nothing."""
    return variant(x, filters, stride, project=True)


@ex.wrong
def projected_by_channels(x, filters, stride):
    """You look at the channels only. A stride changes the shape as well, and then x does not fit, even with as many
    channels as filters."""
    return variant(x, filters, stride, project=x.shape[-1] != filters)


@ex.wrong
def projected_by_stride(x, filters, stride):
    """You look at the stride only. Where the path has more or fewer channels than x, x does not fit either."""
    return variant(x, filters, stride, project=stride > 1)


@ex.wrong
def relu_before_the_sum(x, filters, stride):
    """The path is rectified before it is added, so the block can only ever add, never take away. First the sum, then
    ReLU."""
    return variant(x, filters, stride, end="before")


@ex.wrong
def no_last_relu(x, filters, stride):
    """After the sum comes one more ReLU."""
    return variant(x, filters, stride, end=None)


@ex.wrong
def no_inner_relu(x, filters, stride):
    """Between the two convolutions there is no ReLU, so that they are together a single linear map, as in (7.4)."""
    return variant(x, filters, stride, inner=False)


@ex.wrong
def strided_later(x, filters, stride):
    """The stride stands at the second convolution; the docstring has it at the first, which makes the second one
    cheaper."""
    return variant(x, filters, stride, strides=(1, stride))


@ex.wrong
def shortcut_not_normed(x, filters, stride):
    """Where the shortcut has a convolution, batch normalisation follows it there too."""
    return variant(x, filters, stride, normed=False)


@ex.wrong
def nothing_normed(x, filters, stride):
    """There is no batch normalisation; it follows each convolution, on the path and in the shortcut."""
    path = layers.Conv2D(filters, 3, stride, "same", use_bias=False, activation="relu")(x)
    path = layers.Conv2D(filters, 3, padding="same", use_bias=False)(path)
    if stride > 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, stride, use_bias=False)(x)
    return layers.ReLU()(layers.Add()([path, x]))


@ex.wrong
def three_in_the_shortcut(x, filters, stride):
    """The shortcut's convolution is 1 x 1: it is to match shapes, not to look at neighbours. Yours is 3 x 3."""
    return variant(x, filters, stride, across=3)


@ex.wrong
def with_biases(x, filters, stride):
    """The convolutions have biases. Batch normalisation takes away the mean that a bias adds, so they are left out."""
    return variant(x, filters, stride, bias=True)


@ex.wrong
def joined(x, filters, stride):
    """Path and shortcut are laid side by side; they are to be added up, number by number."""
    return variant(x, filters, stride, join=layers.Concatenate)


@ex.wrong
def ends_of_two_sizes(x, filters, stride):
    """Keras cannot add the two ends, for their shapes differ. Path and shortcut both shrink by the stride, and each of
    them once."""
    return variant(x, filters, stride, strides=(stride, stride))


@ex.wrong
def norm_before_each(x, filters, stride):
    """That is the later block, with normalisation and ReLU before each convolution (He et al., 2016b). Here they come
    after it, and the last ReLU after the sum."""
    path = x
    for step in (stride, 1):
        path = layers.ReLU()(layers.BatchNormalization()(path))
        path = layers.Conv2D(filters, 3, step, "same", use_bias=False)(path)
    if stride > 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, stride, use_bias=False)(x)
    return layers.Add()([path, x])


@ex.wrong
def one_norm_for_both(x, filters, stride):
    """One layer of batch normalisation is called twice, so that both places share its numbers. Make a new one for each
    place."""
    norm = layers.BatchNormalization()
    path = layers.ReLU()(norm(layers.Conv2D(filters, 3, stride, "same", use_bias=False)(x)))
    path = norm(layers.Conv2D(filters, 3, padding="same", use_bias=False)(path))
    if stride > 1 or x.shape[-1] != filters:
        x = layers.BatchNormalization()(layers.Conv2D(filters, 1, stride, use_bias=False)(x))
    return layers.ReLU()(layers.Add()([path, x]))


@ex.wrong
def begins_inside(x, filters, stride):
    """The shortcut begins behind the first convolution, because x was overwritten. Keep what came into the block."""
    x = layers.Conv2D(filters, 3, stride, "same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    path = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
    return layers.ReLU()(layers.Add()([path, x]))


@ex.right
def by_shapes(x, filters, stride):
    steps = [
        layers.Conv2D(filters, (3, 3), strides=(stride, stride), padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.Conv2D(filters, (3, 3), padding="same", use_bias=False),
        layers.BatchNormalization(),
    ]
    path = x
    for step in steps:
        path = step(path)
    if path.shape != x.shape:
        x = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
    return keras.ops.relu(path + x)


# %%
check("7.4", residual_block)

# %% [markdown]
# **Exercise 7.5 ★★** Send a gradient back through a residual block by hand, with (7.8). The block is dense, so that
# you need no more than chapter 01's backpropagation and one plus sign.


# %%
# Exercise 7.5
def residual_backward(x, W1, W2, delta):
    """The gradients of a loss L with respect to the input and the weights of y = x + W2
    relu(W1 x).

    x (n,): input. W1 (m, n), W2 (n, m): weights. delta (n,): the gradient of L with respect to
    y. Arrays of floats.
    Returns the gradients of L with respect to x (n,), W1 (m, n) and W2 (n, m).
    Raises ValueError where W1's columns or W2's rows are not as many as x's entries, or W2's
    columns not as many as W1's rows; the message names the axis and the two sizes.
    Example: with x = [1.0], W1 = [[2.0]], W2 = [[3.0]], delta = [1.0] they are [7.0], [[3.0]]
    and [[2.0]].
    """
    ### BEGIN SOLUTION
    if W1.shape[1] != len(x):
        raise ValueError(f"axis 1 of W1 has size {W1.shape[1]}, and x has {len(x)} entries")
    if W2.shape[0] != len(x):
        raise ValueError(f"axis 0 of W2 has size {W2.shape[0]}, and x has {len(x)} entries")
    if W2.shape[1] != len(W1):
        raise ValueError(f"axis 1 of W2 has size {W2.shape[1]}, and axis 0 of W1 has {len(W1)}")
    z = W1 @ x
    h = np.maximum(z, 0)
    at_z = (W2.T @ delta) * (z > 0)
    return delta + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("7.5", rtol=1e-4, atol=1e-5)


@ex.cases
def _(rng):
    yield np.array([1.0]), np.array([[2.0]]), np.array([[3.0]]), np.array([1.0])
    yield np.array([1.0, -1.0]), -np.eye(2), np.eye(2), np.array([1.0, 2.0])
    for _ in range(18):
        n, m = (int(i) for i in rng.integers(2, 6, 2))
        yield rng.normal(size=n), rng.normal(size=(m, n)), rng.normal(size=(n, m)), rng.normal(size=n)
    yield rng.normal(size=3), rng.normal(size=(3, 4)), rng.normal(size=(3, 3)), rng.normal(size=3)
    yield rng.normal(size=3), rng.normal(size=(1, 3)), rng.normal(size=(1, 1)), rng.normal(size=3)
    yield rng.normal(size=3), rng.normal(size=(4, 3)), rng.normal(size=(3, 1)), rng.normal(size=3)


def _refuse(x, W1, W2):
    if W1.shape[1] != len(x) or W2.shape != W1.shape[::-1]:
        raise ValueError("sizes")


@ex.oracle
def _(x, W1, W2, delta):  # by central differences: near a point the loss is linear in each single number
    _refuse(x, W1, W2)

    def loss(x, W1, W2):
        return delta @ (x + W2 @ np.maximum(W1 @ x, 0))

    def slopes(at):
        gradient = np.zeros(arrays[at].shape)
        for place in np.ndindex(gradient.shape):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [array.astype(float) for array in arrays]
                moved[at][place] += step
                sides.append(loss(*moved))
            gradient[place] = (sides[0] - sides[1]) / 2e-6
        return gradient

    arrays = x, W1, W2
    return tuple(slopes(at) for at in range(3))


def _parts(x, W1, W2, delta):
    _refuse(x, W1, W2)
    z = W1 @ x
    return z, np.maximum(z, 0), (W2.T @ delta) * (z > 0)


@ex.wrong
def plain(x, W1, W2, delta):
    """The gradient for x comes through the weights only. The shortcut carries delta back as well, unchanged: it is the
    identity in (7.8)."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)


@ex.wrong
def adds_x(x, W1, W2, delta):
    """What the shortcut carries back is the gradient delta, not the input x: the derivative of x with respect to x
    is 1."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return x + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)


@ex.wrong
def adds_one(x, W1, W2, delta):
    """In (7.8) the identity multiplies delta; you add a 1 to each entry instead of delta itself."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return 1 + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)


@ex.wrong
def relu_forgotten(x, W1, W2, delta):
    """Where W1 x is negative, ReLU is flat and lets no gradient through: the factor relu' is missing."""
    _refuse(x, W1, W2)
    at_z = W2.T @ delta
    return delta + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, np.maximum(W1 @ x, 0))


@ex.wrong
def without_activation(x, W1, W2, delta):
    """The gradient for W2 needs what W2 was multiplied with, relu(W1 x); you take W1 x before ReLU."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return delta + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, z)


@ex.wrong
def wrong_input(x, W1, W2, delta):
    """The gradient for W1 is taken with delta after the shortcut was added to it. The weights see only what comes
    through their own path."""
    z, h, at_z = _parts(x, W1, W2, delta)
    through = W2.T @ (delta + W1.T @ at_z) * (z > 0)
    return delta + W1.T @ at_z, np.outer(through, x), np.outer(delta, h)


@ex.wrong
def transposed(x, W1, W2, delta):
    """The gradients of the weights are transposed: a gradient has the shape of its weights, rows for outputs."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return delta + W1.T @ at_z, np.outer(x, at_z), np.outer(h, delta)


@ex.wrong
def broadcast(x, W1, W2, delta):
    """All right where sizes fit. A W1 or W2 that does not fit is to be refused with a ValueError; NumPy stretches an
    axis of size 1 in silence. Compare W2's columns with W1's rows, too."""
    if W2.shape[0] == 1:
        W2 = np.repeat(W2, len(x), axis=0)
    z = W1 @ x if W1.shape[1] == len(x) else W1[:, : len(x)] @ x
    at_z = (W2.T @ delta) * (z > 0)
    return delta + (W1.T @ at_z)[: len(x)], np.outer(at_z, x), np.outer(delta, np.maximum(z, 0))


@ex.wrong
def delta_changed(x, W1, W2, delta):
    """The gradient for W2 is taken with delta after the path's part was added to it. It needs delta as it came; after
    delta += ... that is gone."""
    z, h, at_z = _parts(x, W1, W2, delta)
    at_x = delta + W1.T @ at_z
    return at_x, np.outer(at_z, x), np.outer(at_x, h)


@ex.wrong
def times_the_value(x, W1, W2, delta):
    """The derivative of ReLU is 1 where its input is positive and 0 elsewhere; you multiply by its value."""
    z, h, _ = _parts(x, W1, W2, delta)
    at_z = (W2.T @ delta) * h
    return delta + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)


@ex.wrong
def not_transposed(x, W1, W2, delta):
    """On the way back through W2 its transpose is needed: delta has n entries, and m come out."""
    z, h, _ = _parts(x, W1, W2, delta)
    at_z = (W2 @ delta) * (z > 0)
    return delta + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)


@ex.wrong
def another_order(x, W1, W2, delta):
    """The three gradients stand in another order: x, W1, W2."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return delta + W1.T @ at_z, np.outer(delta, h), np.outer(at_z, x)


@ex.wrong
def rectified_sum(x, W1, W2, delta):
    """There is no ReLU behind the sum in this block, so the shortcut carries delta back whole."""
    z, h, _ = _parts(x, W1, W2, delta)
    delta = delta * (x + W2 @ h > 0)
    at_z = (W2.T @ delta) * (z > 0)
    return delta + W1.T @ at_z, np.outer(at_z, x), np.outer(delta, h)


@ex.wrong
def x_last(x, W1, W2, delta):
    """The gradient with respect to x comes first, then those for W1 and W2."""
    z, h, at_z = _parts(x, W1, W2, delta)
    return np.outer(at_z, x), np.outer(delta, h), delta + W1.T @ at_z


@ex.right
def by_jacobians(x, W1, W2, delta):
    _refuse(x, W1, W2)
    gate = np.diag((W1 @ x > 0).astype(float))
    jacobian = np.eye(len(x)) + W2 @ gate @ W1
    inner = delta @ W2 @ gate
    return delta @ jacobian, inner[:, None] * x, delta[:, None] * (gate @ W1 @ x)


# %%
check("7.5", residual_backward)

# %% [markdown]
# **Exercise 7.6 ★★** Write a dense block in plain Keras, in its first form, without the 1 × 1 bottlenecks.


# %%
# Exercise 7.6
def dense_block(x, growth, count):
    """A dense block of `count` layers on a tensor x (batch, H, W, k0): a tensor
    (batch, H, W, k0 + growth * count).

    Each layer reads all that is there: the block's input and the outputs of all layers before
    it. It is batch normalisation, ReLU and a 3 x 3 convolution without bias, with `growth`
    filters and padding "same"; what it makes is joined behind what it read.
    Raises ValueError where growth or count is not at least 1.
    Example: on (batch, 8, 8, 16), dense_block(x, 12, 2) has 40 channels and 4,932 parameters.
    """
    ### BEGIN SOLUTION
    if growth < 1 or count < 1:
        raise ValueError(f"growth is {growth} and count is {count}: both must be at least 1")
    for _ in range(count):
        new = layers.ReLU()(layers.BatchNormalization()(x))
        new = layers.Conv2D(growth, 3, padding="same", use_bias=False)(new)
        x = layers.Concatenate()([x, new])
    return x
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import layers

ex = exercise("7.6", rtol=1e-2, atol=0.03)  # a GPU may multiply with ten bits


@ex.cases
def _(rng):
    yield (4, 5, 3), 2, 1, 1
    yield (4, 4, 2), 3, 2, 2
    for number in range(5):
        shape = *(int(n) for n in rng.integers(3, 6, 2)), int(rng.integers(2, 5))
        yield shape, int(rng.integers(1, 4)), int(rng.integers(2, 4)), 10 + number
    yield (4, 4, 2), 0, 2, 3
    yield (4, 4, 2), 2, 0, 4


def known(seed, name, shape):
    """Weights that depend on a weight's name and shape alone, so that the order of the layers does not matter."""
    rng = np.random.default_rng([seed, len(name), *shape])
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    scale = np.sqrt(1 / np.prod(shape[:-1])) if name == "kernel" else 0.5
    return (scale * rng.normal(size=shape)).astype("float32")


def picture(shape, seed):
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


def tensor(end):
    if not isinstance(end, keras.KerasTensor):
        raise TypeError(f"what is returned must be a tensor, and is a {type(end).__name__}")
    return end


ex.shown_as("""
inputs = keras.Input(shape)
keras.Model(inputs, dense_block(inputs, growth, count)).summary()
""")


@ex.drive
def built(answer, shape, growth, count, seed):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, tensor(answer(inputs, growth, count)))
    for weight in model.weights:
        weight.assign(known(seed, weight.name, tuple(weight.shape)))
    return {"parameters": model.count_params(), "outputs, with known weights": model(picture(shape, seed))}


def _refuse(growth, count):
    if growth < 1 or count < 1:
        raise ValueError("at least 1")


@ex.oracle
def _(shape, growth, count, seed):  # in NumPy, with no layer
    _refuse(growth, count)
    x, parameters = picture(shape, seed), 0
    for _ in range(count):
        names = "gamma", "beta", "moving_mean", "moving_variance"
        gamma, beta, mean, variance = (known(seed, name, x.shape[-1:]) for name in names)
        kernel = known(seed, "kernel", (3, 3, x.shape[-1], growth))
        ready = np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, 0)
        ready = np.pad(ready, [(0, 0), (1, 1), (1, 1), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(ready, (3, 3), (1, 2))
        parameters += kernel.size + 4 * x.shape[-1]
        x = np.concatenate([x, np.einsum("nabcij,ijcm->nabm", windows, kernel)], axis=-1)
    return {"parameters": parameters, "outputs, with known weights": x}


def variant(x, growth, count, order="norm, relu, conv", bias=False, new_first=False, strict=True):
    if strict:
        _refuse(growth, count)
    for _ in range(count):
        new = x
        for step in order.split(", "):
            if step == "norm":
                new = layers.BatchNormalization()(new)
            elif step == "relu":
                new = layers.ReLU()(new)
            else:
                new = layers.Conv2D(growth, 3, padding="same", use_bias=bias)(new)
        x = layers.Concatenate()([new, x] if new_first else [x, new])
    return x


@ex.wrong
def chain(x, growth, count):
    """Each layer reads only what the layer before it made. In a dense block it reads the input and all earlier
    outputs, joined."""
    _refuse(growth, count)
    made, new = [x], x
    for _ in range(count):
        new = layers.ReLU()(layers.BatchNormalization()(new))
        new = layers.Conv2D(growth, 3, padding="same", use_bias=False)(new)
        made.append(new)
    return layers.Concatenate()(made)


@ex.wrong
def only_the_new(x, growth, count):
    """The block gives back what its layers made and loses its own input; that is to be passed on too."""
    _refuse(growth, count)
    given = x.shape[-1]
    return variant(x, growth, count)[..., given:]


@ex.wrong
def norm_last(x, growth, count):
    """The order inside a layer is another one: normalise and rectify first, convolve last. A later layer needs to
    normalise the joined channels for itself."""
    return variant(x, growth, count, order="conv, norm, relu")


@ex.wrong
def no_relu(x, growth, count):
    """There is no ReLU, so the whole block is one linear map of its input."""
    return variant(x, growth, count, order="norm, conv")


@ex.wrong
def no_norm(x, growth, count):
    """The batch normalisation in front of each layer is missing."""
    return variant(x, growth, count, order="relu, conv")


@ex.wrong
def with_biases(x, growth, count):
    """The convolutions have biases; the docstring says without."""
    return variant(x, growth, count, bias=True)


@ex.wrong
def new_in_front(x, growth, count):
    """The channels are right but in another order: what is new is joined behind what was there."""
    return variant(x, growth, count, new_first=True)


@ex.wrong
def grows_by_itself(x, growth, count):
    """The layers become wider from one to the next. In a dense block each adds the same number of channels, growth."""
    _refuse(growth, count)
    for number in range(count):
        new = layers.ReLU()(layers.BatchNormalization()(x))
        new = layers.Conv2D(growth * (number + 1), 3, padding="same", use_bias=False)(new)
        x = layers.Concatenate()([x, new])
    return x


@ex.wrong
def takes_anything(x, growth, count):
    """A growth or a count below 1 is to be refused with a ValueError; a block without a layer would pass unnoticed."""
    return variant(x, max(growth, 1), count, strict=False)


@ex.wrong
def rectified_first(x, growth, count):
    """ReLU and batch normalisation are exchanged: first normalise, then rectify."""
    return variant(x, growth, count, order="relu, norm, conv")


@ex.wrong
def all_read_the_input(x, growth, count):
    """Each layer reads the block's input only. From the second on they read the outputs of the earlier ones, too."""
    _refuse(growth, count)
    return layers.Concatenate()([x, *(variant(x, growth, 1)[..., x.shape[-1] :] for _ in range(count))])


@ex.wrong
def earlier_ones_lost(x, growth, count):
    """What a layer makes is joined to the block's input each time, and what earlier layers made is lost. Join it behind
    all that the layer read."""
    _refuse(growth, count)
    joined = x
    for _ in range(count):
        new = layers.ReLU()(layers.BatchNormalization()(joined))
        new = layers.Conv2D(growth, 3, padding="same", use_bias=False)(new)
        joined = layers.Concatenate()([x, new])
    return joined


@ex.wrong
def with_bottlenecks(x, growth, count):
    """That is the later form. Here each layer has a single convolution of 3 x 3, without a 1 x 1 before it."""
    _refuse(growth, count)
    for _ in range(count):
        new = layers.ReLU()(layers.BatchNormalization()(x))
        new = layers.Conv2D(4 * growth, 1, use_bias=False)(new)
        new = layers.ReLU()(layers.BatchNormalization()(new))
        new = layers.Conv2D(growth, 3, padding="same", use_bias=False)(new)
        x = layers.Concatenate()([x, new])
    return x


@ex.wrong
def not_connected(x, growth, count):
    """Keras cannot connect these layers. What a layer makes is joined to what it read, not added, along the channels
    and with equal height and width (padding "same"); and each layer has a convolution of its own."""
    return layers.Add()([x, variant(x, growth, count, new_first=True)])


@ex.right
def with_a_list(x, growth, count):
    if min(growth, count) < 1:
        raise ValueError("too small")
    made = [x]
    for _ in range(count):
        everything = made[0] if len(made) == 1 else keras.ops.concatenate(made, axis=-1)
        ready = keras.ops.relu(layers.BatchNormalization()(everything))
        made.append(layers.Conv2D(growth, (3, 3), strides=1, padding="same", use_bias=False)(ready))
    return keras.ops.concatenate(made, axis=-1)


# %%
check("7.6", dense_block)

# %% [markdown]
# **Exercise 7.7 ★★** Repair the block of "Debug it". It is to be the bottleneck block that ResNet-50 is made of, for
# every stride and any number of channels that come in.


# %%
# Exercise 7.7
def block_from_the_web(x, filters, stride):
    """A bottleneck block on a tensor x (batch, H, W, C): a tensor (batch, ceil(H / stride),
    ceil(W / stride), 4 * filters).

    The path: 1 x 1 with `filters` and this stride, 3 x 3 with `filters`, 1 x 1 with
    4 * filters; batch normalisation after each, ReLU after the first two. The shortcut: x
    itself where it has the shape of the path's end; else a 1 x 1 convolution with 4 * filters
    and this stride, and batch normalisation. Added, then ReLU. No convolution has a bias.
    Example: on (batch, 8, 8, 16), block_from_the_web(x, 8, 2) is (batch, 4, 4, 32).
    """
    ### BEGIN SOLUTION
    shortcut = x
    path = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(x)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.Conv2D(filters, 3, padding="same", use_bias=False)(path)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.BatchNormalization()(layers.Conv2D(4 * filters, 1, use_bias=False)(path))
    if shortcut.shape[-1] != 4 * filters or stride > 1:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    return layers.ReLU()(layers.Add()([path, shortcut]))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import layers

ex = exercise("7.7", rtol=1e-2, atol=0.03, start="as_found")  # a GPU may multiply with ten bits


@ex.cases
def _(rng):
    yield (6, 6, 4), 2, 2, 1
    yield (6, 6, 8), 2, 2, 2
    yield (6, 5, 8), 2, 1, 3
    yield (6, 5, 3), 2, 1, 4
    yield (6, 6, 4), 1, 2, 5
    yield (5, 6, 4), 1, 1, 6
    yield (6, 5, 5), 2, 1, 7
    for number in range(4):
        shape = *(int(n) for n in rng.integers(4, 9, 2)), int(rng.integers(2, 6))
        yield shape, int(rng.integers(1, 4)), int(rng.integers(2, 4)), 10 + number


def known(seed, name, shape):
    """Weights that depend on a weight's name and shape alone, so that the order of the layers does not matter."""
    rng = np.random.default_rng([seed, len(name), *shape])
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    scale = np.sqrt(1 / np.prod(shape[:-1])) if name == "kernel" else 0.5
    return (scale * rng.normal(size=shape)).astype("float32")


def picture(shape, seed):
    return np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32")


def tensor(end):
    if not isinstance(end, keras.KerasTensor):
        raise TypeError(f"what is returned must be a tensor, and is a {type(end).__name__}")
    return end


ex.shown_as("""
inputs = keras.Input(shape)
keras.Model(inputs, block_from_the_web(inputs, filters, stride)).summary()
""")


@ex.drive
def built(answer, shape, filters, stride, seed):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, tensor(answer(inputs, filters, stride)))
    for weight in model.weights:
        weight.assign(known(seed, weight.name, tuple(weight.shape)))
    return {"parameters": model.count_params(), "outputs, with known weights": model(picture(shape, seed))}


@ex.oracle
def _(shape, filters, stride, seed):  # in NumPy, with no layer
    parameters = []

    def conv(x, filters, k=1, stride=1):
        kernel = known(seed, "kernel", (k, k, x.shape[-1], filters))
        parameters.append(kernel.size)
        x = np.pad(x, [(0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))[:, ::stride, ::stride]
        return np.einsum("nabcij,ijcm->nabm", windows, kernel)

    def norm(x):
        names = "gamma", "beta", "moving_mean", "moving_variance"
        gamma, beta, mean, variance = (known(seed, name, x.shape[-1:]) for name in names)
        parameters.append(4 * x.shape[-1])
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    x = picture(shape, seed)
    path = np.maximum(norm(conv(x, filters, 1, stride)), 0)
    path = norm(conv(np.maximum(norm(conv(path, filters, 3)), 0), 4 * filters))
    shortcut = x if x.shape == path.shape else norm(conv(x, 4 * filters, 1, stride))
    return {"parameters": sum(parameters), "outputs, with known weights": np.maximum(path + shortcut, 0)}


def trunk(x, filters, strides):
    for n, k, stride in zip((filters, filters, 4 * filters), (1, 3, 1), strides):
        x = layers.Conv2D(n, k, stride, "same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x) if n == filters else x
    return x


def projected(x, filters, stride):
    x = layers.Conv2D(4 * filters, 1, stride, use_bias=False)(x)
    return layers.BatchNormalization()(x)


def summed(path, shortcut):
    return layers.ReLU()(layers.Add()([path, shortcut]))


@ex.wrong
def only_with_new_channels(x, filters, stride):
    """Half repaired: the projection has the stride now. But where the channels agree and only the stride changes the
    shape, there is still no projection."""
    return summed(trunk(x, filters, (stride, 1, 1)), x if x.shape[-1] == 4 * filters else projected(x, filters, stride))


@ex.wrong
def as_found(x, filters, stride):
    """The path makes height and width smaller, and the shortcut knows nothing of it. The stride belongs into the
    shortcut too, and a stride alone, without new channels, is a reason to need one."""
    shortcut = x
    path = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(x)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.Conv2D(filters, 3, padding="same", use_bias=False)(path)
    path = layers.ReLU()(layers.BatchNormalization()(path))
    path = layers.BatchNormalization()(layers.Conv2D(4 * filters, 1, use_bias=False)(path))
    if shortcut.shape[-1] != 4 * filters:
        shortcut = layers.Conv2D(4 * filters, 1, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    return layers.ReLU()(layers.Add()([path, shortcut]))


@ex.wrong
def stride_taken_out(x, filters, stride):
    """Now the shapes agree because nothing shrinks any more: the stride is gone from the path. It has to come into the
    shortcut instead."""
    return summed(trunk(x, filters, (1, 1, 1)), x if x.shape[-1] == 4 * filters else projected(x, filters, 1))


@ex.wrong
def corner_cut_out(x, filters, stride):
    """The shortcut is cut to the size of the path: shapes agree, but it shows the top left corner of the map beside a
    path that shows all of it. Step through the whole map instead."""
    path = trunk(x, filters, (stride, 1, 1))
    corner = x[:, : path.shape[1], : path.shape[2]]
    return summed(path, corner if stride == 1 and x.shape[-1] == 4 * filters else projected(corner, filters, 1))


@ex.wrong
def always_projected(x, filters, stride):
    """The shapes agree in all cases, but where x fits as it is, it is to be passed on untouched and without
    parameters."""
    return summed(trunk(x, filters, (stride, 1, 1)), projected(x, filters, stride))


@ex.wrong
def pooled(x, filters, stride):
    """The shortcut is pooled to the right size and then projected. That is a known variant, but the docstring asks for
    a strided 1 x 1 convolution."""
    path = trunk(x, filters, (stride, 1, 1))
    shortcut = layers.AveragePooling2D(stride, stride, "same")(x) if stride > 1 else x
    return summed(path, x if x.shape == path.shape else projected(shortcut, filters, 1))


@ex.wrong
def stride_in_the_middle(x, filters, stride):
    """The stride stands at the 3 x 3 convolution. Later versions of ResNet do that, and spend more work for it; the
    docstring has it at the first 1 x 1."""
    path = trunk(x, filters, (1, stride, 1))
    return summed(path, x if x.shape == path.shape else projected(x, filters, stride))


@ex.wrong
def not_normed(x, filters, stride):
    """Batch normalisation follows the shortcut's convolution, too."""
    path = trunk(x, filters, (stride, 1, 1))
    return summed(path, x if x.shape == path.shape else layers.Conv2D(4 * filters, 1, stride, use_bias=False)(x))


@ex.wrong
def only_with_a_stride(x, filters, stride):
    """A stride brings the projection now, but new channels alone do not. Either is reason enough."""
    return summed(trunk(x, filters, (stride, 1, 1)), projected(x, filters, stride) if stride > 1 else x)


@ex.wrong
def only_with_both(x, filters, stride):
    """New channels or a stride: either alone is reason enough for a projection. You ask for both at once."""
    both = stride > 1 and x.shape[-1] != 4 * filters
    return summed(trunk(x, filters, (stride, 1, 1)), projected(x, filters, stride) if both else x)


@ex.wrong
def strided_twice(x, filters, stride):
    """The path shrinks twice, for a second convolution has the stride as well; the first one only is to have it."""
    return summed(
        trunk(x, filters, (stride, stride, 1)),
        x if stride == 1 and x.shape[-1] == 4 * filters else projected(x, filters, stride),
    )


@ex.right
def sliced(x, filters, stride):
    path = trunk(x[:, ::stride, ::stride], filters, (1, 1, 1))
    fits = path.shape == x.shape
    return keras.ops.relu(path + (x if fits else projected(x[:, ::stride, ::stride], filters, 1)))


# %%
check("7.7", block_from_the_web)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | parameters | $\sum (k^2 C/g + 1) N + \sum 4C + \sum (d + 1) u$ | (7.1) |
# | multiply-adds | $\sum H_o W_o\, k^2\, (C/g)\, N + \sum d\,u$ | (7.2) |
# | $m$ layers of 3 × 3 for one that sees as much | cost $9m/(2m+1)^2$ of it | (7.3) |
# | without an activation between them | $(I \star K_1) \star K_2 = I \star (K_1 * K_2)$ | (7.4) |
# | bottleneck | costs $r/(k^2 N) + r/C$ of the wide layer | (7.5) |
# | Inception module | $(C + 1)(n_1 + r_3 + r_5 + n_p) + (9 r_3 + 1) n_3 + (25 r_5 + 1) n_5$ parameters | (7.6) |
# | residual block | $y = F(x) + x$ | (7.7) |
# | its Jacobian | $I + \partial F/\partial x$ | (7.8) |
# | many of them | $\prod_l (I + J_l)$, a sum over $2^L$ paths | (7.9) |
# | dense block, channels read by layer $l$ | $k_0 + k(l-1)$ | (7.10) |
# | its weights | $4k\,(k_0 L + k L(L-1)/2) + 36 k^2 L$ | (7.11) |
# | the papers' networks | 60,965,224; 138,357,544; 6,998,552; 25,636,712; 8,062,504 | (7.12) |
#
# ## References
#
# - D. Balduzzi et al., *The shattered gradients problem: if resnets are the answer, then what is the
#   question?*, 2017.
# - K. He, X. Zhang, S. Ren and J. Sun, *Deep residual learning for image recognition*, 2016, arXiv:1512.03385.
# - K. He, X. Zhang, S. Ren and J. Sun, *Identity mappings in deep residual networks*, 2016, arXiv:1603.05027 (2016b
#   in the text).
# - G. Huang, Z. Liu, L. van der Maaten and K. Weinberger, *Densely connected convolutional networks*, 2017,
#   arXiv:1608.06993.
# - S. Ioffe and C. Szegedy, *Batch normalization: accelerating deep network training by reducing internal covariate
#   shift*, 2015.
# - A. Krizhevsky, I. Sutskever and G. Hinton, *ImageNet classification with deep convolutional neural
#   networks*, 2012.
# - O. Russakovsky et al., *ImageNet large scale visual recognition challenge*, 2015, arXiv:1409.0575.
# - K. Simonyan and A. Zisserman, *Very deep convolutional networks for large-scale image recognition*, 2015,
#   arXiv:1409.1556.
# - C. Szegedy et al., *Going deeper with convolutions*, 2015, arXiv:1409.4842.
# - A. Veit, M. Wilber and S. Belongie, *Residual networks behave like ensembles of relatively shallow
#   networks*, 2016.
# - G. Yang et al., *A mean field theory of batch normalization*, 2019.
# - S. Zagoruyko and N. Komodakis, *Wide residual networks*, 2016, arXiv:1605.07146.
