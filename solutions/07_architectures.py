# %% [raw]
# title: Deep architectures
# part: II. Convolution
# minutes: 135
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
# terms:
#   - term: top-5 error rate
#     means: the share of test images whose class is in none of a classifier's five best guesses
#     zh: 前五错误率
#   - term: grouped convolution
#     means: a convolution whose channels are split into groups, each kernel seeing its own group only
#     zh: 分组卷积
#   - term: bottleneck
#     means: a 1 × 1 convolution with few filters, before a layer that would be costly on all channels
#     zh: 瓶颈层
#   - term: Inception module
#     means: paths with kernels of several sizes side by side, joined along the channels
#     zh: Inception模块
#   - term: auxiliary classifier
#     means: an extra output half-way up a deep network, whose loss feeds the lower layers in training
#     zh: 辅助分类器
#   - term: plain network
#     means: a network in which each layer reads the output of the layer before it and nothing else
#     zh: 普通网络
#   - term: degradation problem
#     means: with more layers, a trained plain network fits even its training data worse
#     zh: 退化问题
#   - term: shortcut
#     means: a path that carries a block's input past its layers; also called skip connection
#     zh: 捷径连接
#   - term: residual block
#     means: layers with a shortcut round them, whose output is added to their input
#     zh: 残差块
#   - term: dense block
#     means: layers each of which reads the outputs of all earlier ones, joined along the channels
#     zh: 稠密块
#   - term: growth rate
#     symbol: '$G$'
#     means: how many channels each layer of a dense block adds
#     zh: 增长率
#   - term: wide residual network
#     means: a residual network with few blocks of many channels
#     zh: 宽残差网络
# symbols:
#   '$Q$': 'number of groups of a grouped convolution (`groups`)'
#   '$C_b$': 'filters of a bottleneck'
#   '$R_l$': 'what the layers of a residual block compute'
#   '$h_l$': 'features behind block $l$ of a network'
#   '$\mathrm{Id}$': 'identity matrix (`np.eye(n)`)'
#   '$M$': 'number of blocks'
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
# From 2010 on, laboratories let their programs compete on ImageNet once a year: a thousand classes, more than a million
# training images, and five guesses for each test image. The share of test images whose class is in none of the five
# guesses is the **top-5 error rate**. Two things happened to the winners.

# %% tags=["aside"]
# @title Imports and settings
import logging
from functools import reduce
from itertools import compress, product
from math import prod

from course import (
    ask,
    at_once,
    budget,
    check,
    claim,
    data,
    gradient,
    plots,
    predict,
    prove,
    record,
    rewinder,
    seed,
    start,
    sweep,
)

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal

rng = start("07")  # seeds everything from COURSE_SEED and sets the style of the figures
BLUE, ORANGE = plots.COLOURS[:2]

# %% tags=["aside"]
# @title Draws figure 7.1
CONTEST = {  # year: (name, layers with weights, top-5 error rate in %)
    2010: ("by hand", None, 28.2),
    2011: ("by hand", None, 25.8),
    2012: ("AlexNet", 8, 16.4),
    2013: ("Clarifai", 8, 11.7),
    2014: ("GoogLeNet", 22, 6.7),
    2015: ("ResNet", 152, 3.6),
}
figure, axis = plt.subplots(figsize=(7, 3.2))
for year, (name, depth, error) in CONTEST.items():
    axis.bar(year, error, color=BLUE if depth else "#bbbbbb", width=0.6)
    text = f"{name}\n{depth} layers" if depth else name
    axis.text(year, max(error, 5.1) + 0.5, text, ha="center", va="bottom", fontsize=9)
axis.axhline(5.1, color="black", linestyle="--", linewidth=1.2)
axis.text(2015.5, 5.1, "one person", va="center", fontsize=9)
axis.set(ylabel="top-5 error rate, %", xticks=list(CONTEST), ylim=(0, 34), xlim=(2009.55, 2015.45))
plt.show()

# %% [markdown]
# *Figure 7.1. The winners of the ImageNet contest (Russakovsky et al., 2015; He et al., 2016a). Grey: features designed
# by hand. Blue: convolutional networks. Each entry averages several of them; the number of layers is that of the
# deepest. 2012 is the entry without extra training data. Dashed: one person who had trained for the task.*
#
# The errors fell, and the networks became deep: 8 layers, then 22, then 152. If depth helps, why did anybody stop at
# eight? Not for want of trying. Stack more and more layers as you stacked LeNet's, and from some depth on the network
# gets *worse*, even on the images that it is trained on.
#
# **What stands in the way of depth, and what did each of the great architectures change to get past it?**
#
# ## What you will be able to do
#
# - write the blocks of AlexNet, VGG, GoogLeNet, ResNet and DenseNet in Keras, in about ten lines each;
# - count the parameters and multiply-adds of any network, to the last digit of a paper's number;
# - show when depth hurts, measure the gradient that reaches the first layers, and say what one plus sign changes;
# - train a residual network by a complete recipe;
# - recognise a shortcut that forgets the stride.
#
# ## What does a network cost?
#
# All networks of this chapter are made of convolution, batch normalisation and ReLU. Write the three once:


# %%
def conv(x, filters, k=3, stride=1, groups=1, padding="same", norm=True, relu=True):
    """Convolution, batch normalisation and ReLU; without normalisation, the convolution has a bias."""
    settings = {"groups": groups, "use_bias": not norm, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, k, stride, padding, **settings)(x)
    if norm:
        x = layers.BatchNormalization(momentum=0.9)(x)  # Keras's 0.99 needs more steps than a short training has
    return layers.ReLU()(x) if relu else x


# %% [markdown]
# Its costs are chapter 03's, added up. A kernel sees $C/Q$ channels, where $Q$ is the number of groups: 1,
# until the next section. Batch normalisation keeps four numbers for each of its $C$ channels: scale and shift, which
# are learned, and the running mean and variance, which are not. A dense layer counts as a 1 × 1 convolution with a
# single place:
#
# $$ \text{parameters} = \sum_\text{kernels} \Bigl(k^2\,\tfrac{C}{Q} + 1\Bigr) N + \sum_\text{norms} 4\,C \tag{7.1} $$
#
# $$ \text{multiply-adds} = \sum_\text{kernels} H_o W_o\, k^2\, \tfrac{C}{Q}\, N \tag{7.2} $$
#
# The 1 stands for the bias, and is left out where there is none. Pooling, ReLU, normalisation and sums are not counted
# in (7.2), as is usual.


# %%
def layer_costs(layer):
    """Parameters of a Keras layer, and its multiply-adds for one image; the kernels are square."""
    if isinstance(layer, layers.BatchNormalization):
        return 4 * layer.input.shape[-1], 0
    if isinstance(layer, layers.Conv2D):
        k, groups, filters = layer.kernel_size[0], layer.groups, layer.filters
    elif isinstance(layer, layers.Dense):
        k, groups, filters = 1, 1, layer.units
    else:
        return 0, 0
    weights = k**2 * (layer.input.shape[-1] // groups) * filters
    return weights + layer.use_bias * filters, prod(layer.output.shape[1:-1]) * weights


def parameters(model):
    return sum(layer_costs(layer)[0] for layer in model.layers)  # (7.1)


def multiply_adds(model):
    return sum(layer_costs(layer)[1] for layer in model.layers)  # (7.2)


# %% tags=["aside"]
# @title What proofs (7.1) and (7.2) compare with
def keras_parameters(model):
    return model.count_params()


def keras_multiply_adds(model):
    """Each layer is run on a blank image: every number that comes out took as many products as a kernel has weights."""
    logging.getLogger("tensorflow").setLevel("ERROR")  # it traces each grouped convolution anew, and warns of it
    work = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            output = layer(ops.zeros((1, *layer.input.shape[1:])))
            work += prod(output.shape) * prod(layer.kernel.shape[:-1])
    return work


def random_network():
    """A small network with groups, strides, branches and dense layers, all sizes at random."""
    n, m, k, stride, groups = (int(rng.choice(values)) for values in ([4, 8], [4, 8], [1, 3, 5], [1, 2], [1, 2, 4]))
    inputs = keras.Input((*(int(i) for i in rng.integers(12, 18, 2)), 3))
    x = conv(inputs, m, 5, 2, padding="valid", norm=bool(rng.integers(2)))
    x = layers.Concatenate()([x, conv(x, n, k), conv(layers.MaxPooling2D(3, 1, "same")(x), 4, 1, norm=False)])
    path = conv(conv(x, n, k), m, 3, stride, groups, relu=False)
    x = layers.Add()([path, conv(x, m, 1, stride, relu=False)])
    x = layers.GlobalAveragePooling2D()(x) if rng.integers(2) else layers.Dense(7)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10, use_bias=bool(rng.integers(2)))(x))


# %%
prove("7.1", parameters, keras_parameters, cases=(random_network() for _ in range(6)))
prove("7.2", multiply_adds, keras_multiply_adds, cases=(random_network() for _ in range(6)), name="multiply-adds")

# %% [markdown]
# ## 2012, AlexNet: the same thing, larger
#
# AlexNet (Krizhevsky et al., 2012) is LeNet grown up: five convolutions and three dense layers, ReLU in place of tanh,
# pooling windows that overlap, dropout. It did not fit on one graphics card of its time, so each of two cards held half
# of every layer's kernels, and in three of the convolutions a kernel sees only the channels on its own card. That is a
# **grouped convolution**: the channels are split into $Q$ groups, and each kernel sees one group, with $1/Q$ of the
# weights.


# %%
def classifier(x, units, classes, drop):
    """What stands on top of AlexNet and VGG: two hidden dense layers with dropout, and the logits."""
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dropout(drop)(layers.Dense(units, "relu", kernel_initializer="he_normal")(x))
    return layers.Dense(classes)(x)


def alexnet(x, filters, units, classes, first=(11, 4), groups=2, norm=True, drop=0.5):
    """filters: of the five convolutions. first: kernel size and stride of the first one."""
    a, b, c, d, e = filters
    x = layers.MaxPooling2D(3, 2)(conv(x, a, *first, padding="valid", norm=norm))
    x = layers.MaxPooling2D(3, 2)(conv(x, b, 5, groups=groups, norm=norm))
    x = conv(x, c, norm=norm)
    x = conv(x, d, groups=groups, norm=norm)
    x = layers.MaxPooling2D(3, 2)(conv(x, e, groups=groups, norm=norm))
    return classifier(x, units, classes, drop)


# %% [markdown]
# Its kernels have 11, 5 and 3 pixels, and no rule says why.
#
# **Question 7.a.** A convolution with kernels of 3 × 3 goes from 64 channels to 64. How many weights has it, without
# biases, if it has 4 groups?

# %%
ask(
    "7.a",
    9216,
    why="Each of the 64 kernels sees 64/4 = 16 channels: 9 · 16 · 64 = 9,216, a quarter of the 36,864 of one group.",
    hint="There are still 64 kernels. How many channels does each of them see?",
)

# %% [markdown]
# ## 2014, VGG: only 3 × 3, but more of them
#
# Simonyan and Zisserman (2015) used one kernel size and put the freedom into depth. Recall chapter 04: at stride 1, $m$
# layers of 3 × 3 see $2m + 1$ pixels, as one kernel of that size does. At equal channels and with `"same"` padding,
# their weights and their multiply-adds stand in the ratio
#
# $$ \frac{9\,m}{(2m+1)^2}: \qquad \frac{18}{25} \;\text{ for } 5 \times 5, \qquad
#    \frac{27}{49} \;\text{ for } 7 \times 7 \tag{7.3} $$
#
# Is it the same layer, only cheaper? Leave out activation functions, biases and padding. Two layers in a row then
# correlate twice, and together they are one layer, whose kernel is the full convolution of the two:
#
# $$ (I \star K_1) \star K_2 = I \star (K_1 * K_2) \tag{7.4} $$
#
# So without ReLU, two 3 × 3 kernels are one 5 × 5 kernel, and not even any one: they have 18 numbers where it has 25.
# With ReLU in between, no single kernel can do what they do. VGG's bargain is cheaper *and* less linear.


# %%
def stacked_ratio(m):
    """Weights of m layers of 3 x 3 over those of one layer that sees as much, at equal channels (7.3)."""
    return 9 * m / (2 * m + 1) ** 2  # (7.3)


def merged(first, second):
    """The kernel that does what two kernels do, one after the other (7.4)."""
    return signal.convolve2d(first, second)  # (7.4)


def vgg(x, stages, units, classes, norm=True, drop=0.5):
    """stages: (filters, number of 3 x 3 convolutions) before each pooling."""
    for filters, count in stages:
        for _ in range(count):
            x = conv(x, filters, norm=norm)
        x = layers.MaxPooling2D(2)(x)
    return classifier(x, units, classes, drop)


# %% tags=["aside"]
# @title What proofs (7.3) and (7.4) compare with
def keras_stacked_ratio(m):
    """Weights and multiply-adds, which must stand in one ratio, whatever the number of channels."""
    ratios = set()
    for channels in (1, 4):
        inputs = small = keras.Input((9, 9, channels))
        for _ in range(m):
            small = layers.Conv2D(channels, 3, padding="same", use_bias=False)(small)
        large = layers.Conv2D(channels, 2 * m + 1, padding="same", use_bias=False)(inputs)
        small, large = keras.Model(inputs, small), keras.Model(inputs, large)
        ratios |= {small.count_params() / large.count_params(), keras_multiply_adds(small) / keras_multiply_adds(large)}
    (ratio,) = ratios
    return ratio


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
prove("7.3", stacked_ratio, keras_stacked_ratio, cases=(1, 2, 3))
prove("7.4", through_merged, through_both, cases=kernel_pairs(100), name="two kernels merged")

# %% [markdown]
# Where are the parameters of the two networks, at their papers' sizes, and where is their work?


# %% tags=["aside"]
# @title Two networks at their papers' sizes
def sketch(build, shape):
    """The Keras model that `build` makes of an input (height, width, 3), its weights described and not made."""
    with keras.StatelessScope(initialize_variables=False):
        inputs = keras.Input(shape)
        return keras.Model(inputs, build(inputs))


def paper_alexnet(x, groups=2):
    return alexnet(x, (96, 256, 384, 384, 256), 4096, 1000, groups=groups, norm=False)


def paper_vgg(x):
    return vgg(x, [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 4096, 1000, norm=False)


# %% tags=["aside"]
# @title Draws figure 7.2
def label(layer):
    """What a layer with a kernel is called in the figure."""
    if isinstance(layer, layers.Dense):
        return f"dense, {layer.units}"
    return f"{layer.kernel_size[0]}×{layer.kernel_size[0]}, {layer.filters}"


figure, axes = plt.subplots(1, 2, figsize=(8.2, 4.2))
for axis, name, build, side in zip(axes, ("AlexNet", "VGG-16"), (paper_alexnet, paper_vgg), (227, 224)):
    kernels = [layer for layer in sketch(build, (side, side, 3)).layers if hasattr(layer, "kernel")]
    costs = np.array([layer_costs(layer) for layer in kernels])
    rows, shares = np.arange(len(kernels)), 100 * costs / costs.sum(axis=0)
    for shift, share, what, colour in zip((-0.2, 0.2), shares.T, ("parameters", "multiply-adds"), (BLUE, ORANGE)):
        axis.barh(rows + shift, share, 0.4, label=what, color=colour)
    axis.set(yticks=rows, yticklabels=map(label, kernels), xlabel="share, %", title=name, xlim=(0, 80))
    axis.invert_yaxis()
axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.12))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.2. Shares of the layers of two networks in their parameters (blue) and multiply-adds (orange), from the
# input down. The convolutions do the work, for each of their weights is used at every place; the parameters stand in
# the dense layers, most of them in the first.*
#
# With a top-5 error rate of 7.3 %, VGG came second in 2014. What it left to mend is in the bars: more than 15 billion
# multiply-adds for one image, and one dense layer with 103 million parameters.
#
# ## 2014, GoogLeNet: narrow before you widen
#
# GoogLeNet (Szegedy et al., 2015) attacks both. Global average pooling instead of flattening (Lin et al., 2013) leaves
# 1,024 numbers to the last dense layer, where VGG's first has 25,088. A stem brings 224
# pixels down to 28 before the first module, and the modules have **bottlenecks**. Before a large kernel looks
# at $C$ channels, a 1 × 1 convolution squeezes them into $C_b$. Where height and width stay, $k^2 C N$ multiply-adds at
# a pixel become two smaller products, and the ratio is
#
# $$ \frac{C C_b + k^2 C_b N}{k^2 C N} = \frac{C_b}{k^2 N} + \frac{C_b}{C} \tag{7.5} $$
#
# In the first module, with $k = 5$, $C = 192$, $N = 32$ and $C_b = 16$, that is about a tenth. An **Inception module**
# is four paths side by side, joined along the channels, so that nobody has to choose a kernel size. With $N_1$ filters
# of 1 × 1, $N_3$ and $N_5$ of 3 × 3 and 5 × 5 behind bottlenecks of $q_3$ and $q_5$, and $N_p$ behind a pooling, its
# parameters, biases included and without normalisation, are
#
# $$ \begin{aligned} & (C + 1)(N_1 + q_3 + q_5 + N_p) \\
#    & {} + (9\, q_3 + 1)\, N_3 + (25\, q_5 + 1)\, N_5 \end{aligned} \tag{7.6} $$


# %%
def inception(x, n1, q3, n3, q5, n5, n_pool, norm=True):
    """An Inception module on a tensor (batch, H, W, C): (batch, H, W, n1 + n3 + n5 + n_pool)."""
    one = conv(x, n1, 1, norm=norm)
    three = conv(conv(x, q3, 1, norm=norm), n3, 3, norm=norm)
    five = conv(conv(x, q5, 1, norm=norm), n5, 5, norm=norm)
    pooled = conv(layers.MaxPooling2D(3, 1, "same")(x), n_pool, 1, norm=norm)
    return layers.Concatenate()([one, three, five, pooled])


def halve(x):
    return layers.MaxPooling2D(3, 2, "same")(x)


def googlenet(x, modules, classes, norm=True, drop=0.4):
    """modules: the six sizes of each Inception module in turn; None halves height and width."""
    for sizes in modules:
        x = inception(x, *sizes, norm=norm) if sizes else halve(x)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dense(classes)(layers.Dropout(drop)(x))


def bottleneck_ratio(k, channels, filters, q):
    return q / (k * k * filters) + q / channels  # (7.5)


def module_parameters(channels, n1, q3, n3, q5, n5, n_pool):
    return (channels + 1) * (n1 + q3 + q5 + n_pool) + (9 * q3 + 1) * n3 + (25 * q5 + 1) * n5  # (7.6)


# %% tags=["aside"]
# @title What proofs (7.5) and (7.6) compare with
def keras_bottleneck_ratio(k, channels, filters, q):
    inputs = keras.Input((6, 6, channels))
    wide, narrow = (keras.Model(inputs, conv(x, filters, k)) for x in (inputs, conv(inputs, q, 1)))
    return keras_multiply_adds(narrow) / keras_multiply_adds(wide)


def keras_module_parameters(channels, *sizes):
    return sketch(lambda x: inception(x, *sizes, norm=False), (4, 4, channels)).count_params()


def modules(count):
    return (tuple(int(n) for n in rng.integers(1, 20, 7)) for _ in range(count))


SOME_BOTTLENECKS = [(5, 192, 32, 16), (3, 64, 64, 16), (1, 8, 8, 2), (3, 16, 4, 16)]

# %%
prove("7.5", bottleneck_ratio, keras_bottleneck_ratio, cases=SOME_BOTTLENECKS)
prove("7.6", module_parameters, keras_module_parameters, cases=modules(10))

# %% [markdown]
# Seven million parameters, a twentieth of VGG-16's, at a tenth of its work, won the contest of 2014. But its authors
# feared for the gradient on its way down through 22 layers, and hung two **auxiliary classifiers** on half-way, to feed
# it there. Depth itself had become the problem.
#
# ## The wall
#
# Here is the experiment that this chapter turns on. Take a stem, a number of blocks of two 3 × 3 convolutions, all of
# the same width, and a head. That is a **plain network**: each layer reads the one before it. Its twin has the same
# layers and as many parameters. The one difference is a plus sign: what goes into a block is added to what comes out,
# before the block's last ReLU. This way past the layers is called a **shortcut**; its reason comes with the next
# section. Both have batch normalisation (Ioffe and Szegedy, 2015) and He's initial weights.


# %%
def stack(blocks, plus, norm=True, initializer="he_normal", width=16):
    """A network of a stem, so many blocks of two convolutions, and a head. plus: whether it has shortcuts."""

    def convolution(x, stride=1):
        settings = {"padding": "same", "use_bias": not norm, "kernel_initializer": initializer}
        x = layers.Conv2D(width, 3, stride, **settings)(x)
        return layers.BatchNormalization(momentum=0.9)(x) if norm else x

    inputs = keras.Input((32, 32, 3))
    x = layers.MaxPooling2D(2, name="end_0")(layers.ReLU()(convolution(inputs, stride=2)))
    for number in range(1, blocks + 1):
        path = convolution(layers.ReLU()(convolution(x)))
        x = layers.ReLU(name=f"end_{number}")(layers.Add()([path, x]) if plus else path)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def train(model, images, labels, epochs, batch, rate, runs=1):
    """Train by SGD with momentum, at a rate that falls to 0 along a cosine, `runs` times, each from random weights of
    its own. Yields the training loss of each epoch, while the model still is as trained."""
    steps = epochs * -(-len(images) // batch)
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(rate, steps), momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, steps_per_execution=at_once(10))
    optimizer.build(model.trainable_variables)
    rewind = rewinder(model)  # for each run: to compile the model anew takes longer than such a training
    for _ in range(runs):
        rewind()
        model.set_weights(keras.models.clone_model(model).get_weights())
        yield model.fit(images, labels, batch, epochs, verbose=0).history["loss"]


# %% tags=["aside"]
# @title Loads the images
def scaled(images):
    """uint8 images (n, 32, 32, 3) as float32 from -0.5 to 0.5."""
    return images.astype("float32") / 255 - 0.5


photos = data.cifar10()
x_small, y_small = scaled(photos.x_train[:2000]), photos.y_train[:2000]
x_test, y_test = (part[: budget(quick=2000, full=10000, least=500)] for part in (photos.x_test, photos.y_test))
x_test = scaled(x_test)

# %% [markdown]
# A fair comparison gives each network its own best learning rate, so that is looked for first.


# %%
EPOCHS, BATCH, RUNS = 6, 40, 2  # on the full budget too: the question is what a few hundred steps can do


def lowest_loss(kind, blocks, rate):
    keras.utils.set_random_seed(seed())
    (losses,) = train(stack(blocks, kind == "residual"), x_small, y_small, EPOCHS, BATCH, rate)
    return losses[-1]


KINDS, DEPTHS, RATES = ("plain", "residual"), {3: "8 layers", 9: "20 layers"}, (0.015, 0.05, 0.15)
table = sweep("7.3", {"kind": KINDS, "blocks": list(DEPTHS), "rate": RATES}, lowest_loss)
best = {(kind, blocks): 0.05 for kind in KINDS for blocks in DEPTHS}
best |= {(r["kind"], r["blocks"]): r["rate"] for r in sorted(table, key=lambda r: -r["value"])}
twins = {(kind, blocks): stack(blocks, kind == "residual") for kind, blocks in best}
losses = {one: np.array(list(train(twins[one], x_small, y_small, EPOCHS, BATCH, best[one], RUNS))) for one in twins}

# %% tags=["aside"]
# @title Draws figure 7.3
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
for axis, kind in zip(axes, KINDS):
    curves = {f"{name}, rate {best[kind, blocks]:g}": losses[kind, blocks] for blocks, name in DEPTHS.items()}
    plots.draw_curves(axis, curves, "epoch", "training loss" * (kind == "plain"), kind, levels={"guessing": np.log(10)})
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.3. Mean loss on the training images of two runs, with their range, each network at the best of three
# learning rates (a recorded sweep). The deep plain network fits its own training images worse than the shallow one.
# With shortcuts, it does not.*


# %%
def cost_of_depth(kind):
    """By how much the mean training loss at the end is higher with 20 layers than with 8."""
    return float(losses[kind, 9][:, -1].mean() - losses[kind, 3][:, -1].mean())


claim(
    "7.1",
    "after 300 steps at its best rate, the plain network's training loss is higher by 0.1 with 20 layers than with 8",
    cost_of_depth("plain") > 0.1,
    control=cost_of_depth("residual") > 0.1,
)

# %% [markdown]
# This is not overfitting, for it is the loss on the *training* images that is higher. But a few hundred steps show only
# that the deep plain network learns more slowly. The **degradation problem** is a gap that is left at convergence: He
# et al. (2016a) gave their plain networks all the steps that ImageNet takes, and 34 layers still fitted it worse than
# 18.
# %% [markdown]
# ## 2015, ResNet: one plus sign
#
# A deep network can do what a shallow one can, if its additional layers pass on their input. So good weights exist;
# gradient descent does not find them. He et al. (2016a) turned the task round. Let passing on be easy: what a block
# does when its layers, $R_l$, give 0; they have to learn only what is to be changed. That is a **residual block**:
#
# $$ h_l = h_{l-1} + R_l(h_{l-1}) \tag{7.7} $$
#
# What this does to the gradient is one line of calculus. With $\mathrm{Id}$ for the identity matrix and $R_l'$ for the
# matrix of derivatives of $R_l$, its Jacobian, the Jacobian of a block is
#
# $$ \frac{\partial h_l}{\partial h_{l-1}} = \mathrm{Id} + R_l' \tag{7.8} $$
#
# and backpropagation multiplies those of all $M$ blocks. A plain network has only the product of the $R_l'$; if each
# shrinks the gradient, it vanishes. Multiply out the brackets of the residual one:
#
# $$ \frac{\partial h_M}{\partial h_0} = (\mathrm{Id} + R_M') \cdots (\mathrm{Id} + R_1')
#    = \!\!\sum_{S \subseteq \{1, \dots, M\}} \,\prod_{l \in S} R_l' \tag{7.9} $$
#
# (in each product the largest $l$ stands on the left). This is a sum over $2^M$ paths, one for each choice of the
# blocks that the gradient goes through (Veit et al., 2016). The shortest path passes by all of them, and it is
# $\mathrm{Id}$, whatever the blocks compute. (In the networks of 2015 a ReLU follows each sum, and masks every path; He
# et al., 2016b, drop it.) For the proof, let the blocks be dense:


# %%
def block_output(h, V, W):
    """A residual block of dense layers (7.7): h (n,), V (m, n), W (n, m). The activation is tanh."""
    return h + W @ np.tanh(V @ h)  # (7.7)


def block_jacobian(h, V, W):
    """The Jacobian of the block, (n, n), rows for outputs (7.8)."""
    return np.eye(len(h)) + W @ ((1 - np.tanh(V @ h) ** 2)[:, None] * V)  # (7.8)


def sum_over_paths(h, *weights):
    """The Jacobian of several blocks in a row, as the sum over all paths (7.9). weights: V and W of each block."""
    through = []
    for V, W in zip(weights[::2], weights[1::2]):
        through.append(block_jacobian(h, V, W) - np.eye(len(h)))  # R'
        h = block_output(h, V, W)
    choices = product([False, True], repeat=len(through))
    return sum(reduce(lambda path, R: R @ path, compress(through, S), np.eye(len(h))) for S in choices)  # (7.9)


# %% tags=["aside"]
# @title What proofs (7.7) to (7.9) compare with
def keras_blocks(weights):
    """The blocks as one Keras model."""
    h = inputs = keras.Input((weights[0].shape[1],))
    for V, W in zip(weights[::2], weights[1::2]):
        path = layers.Dense(len(V), "tanh", use_bias=False, kernel_initializer=lambda *_, V=V, **__: V.T)(h)
        path = layers.Dense(len(W), use_bias=False, kernel_initializer=lambda *_, W=W, **__: W.T)(path)
        h = layers.Add()([path, h])
    return keras.Model(inputs, h)


def keras_block_output(h, *weights):
    return keras_blocks(weights)(h[None])[0]


def keras_jacobian(h, *weights):
    """By automatic differentiation, one output after the other."""
    model = keras_blocks(weights)
    rows = [gradient(lambda h, i=i: model(h[None])[0, i], h) for i in range(len(h))]
    return np.stack([ops.convert_to_numpy(row) for row in rows])


def dense_blocks(count, depth):
    """Random inputs (4,) with the weights of so many blocks."""
    for _ in range(count):
        shapes = [(4,), *[(5, 4), (4, 5)] * depth]
        yield tuple(rng.normal(size=shape).astype("float32") / 2 for shape in shapes)


# %%
prove("7.7", block_output, keras_block_output, cases=dense_blocks(20, 1))
prove("7.8", block_jacobian, keras_jacobian, cases=dense_blocks(8, 1), atol=1e-5)
prove("7.9", sum_over_paths, keras_jacobian, cases=dense_blocks(5, 3), atol=1e-5)

# %% [markdown]
# **Question 7.b.** A residual network has 9 blocks. How many of the paths in (7.9) go through exactly 2 of them?

# %%
ask(
    "7.b",
    36,
    why="Choose 2 blocks of 9: 9 · 8 / 2 = 36 of the 512 paths. Only one path goes through all nine.",
    hint="A path is a choice of the blocks that it goes through. In how many ways can you choose 2 of 9?",
)

# %% [markdown]
# Does it show in a real network? Add zeros, a probe, to what leaves each block. The gradient of the loss with respect
# to a probe is the $\delta$ that arrives there, and one backward pass gives all of them. First look at networks without
# normalisation, with Keras's default weights (Glorot's), before training: each layer with ReLU about halves the mean
# square of $\delta$ on its way back (chapter 02), so a block of two halves its root. Then at those of Figure 7.3, with
# batch normalisation.


# %%
def arriving(model, images, labels):
    """Root mean square of the gradient that arrives behind the stem and behind each block of a `stack`."""
    blocks = sum(layer.name.startswith("end_") for layer in model.layers)

    def loss(probes):
        shortcut = x = images
        with keras.StatelessScope():  # batch normalisation, in training mode, keeps its running statistics
            for layer in model.layers[1:]:
                x = layer([x, shortcut] if isinstance(layer, layers.Add) else x, training=True)
                if layer.name.startswith("end_"):
                    shortcut = x = x + probes[int(layer.name[4:])]
        return ops.mean(keras.losses.sparse_categorical_crossentropy(labels, x, from_logits=True))

    shape = model.get_layer("end_0").output.shape[1:]
    delta = ops.convert_to_numpy(gradient(loss, np.zeros((blocks, len(images), *shape), "float32")))
    return np.sqrt(np.mean(delta**2, axis=(1, 2, 3, 4)))


def relative(plus, norm, initializer, blocks=9):
    """The same over what arrives behind the last block, for three draws of the weights: (3, blocks + 1)."""
    drawn = [arriving(stack(blocks, plus, norm, initializer), x_small[:64], y_small[:64]) for _ in range(3)]
    return np.array([sizes / sizes[-1] for sizes in drawn])


bare = {kind: relative(kind == "residual", False, "glorot_uniform") for kind in KINDS}
normed = {kind: relative(kind == "residual", True, "he_normal") for kind in KINDS}

# %% tags=["aside"]
# @title Draws figure 7.4
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
for axis, curves, title in zip(axes, (bare, normed), ("no normalisation, Glorot's weights", "batch normalisation")):
    plots.draw_curves(axis, curves, "blocks below", "", title, x=range(10))
    if curves is bare:
        axis.plot(2.0 ** np.arange(-9, 1), color="black", linestyle=":", label="halved by each block")
    axis.set(yscale="log", xticks=range(0, 10, 3))
    axis.legend()
axes[0].set_ylabel("gradient, relative to the last block's end")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.4. Root mean square of the gradient that arrives behind each of 9 blocks before training, on a logarithmic
# scale: the loss is on the right, the image on the left. Mean of three draws of the weights, with their range. Without
# normalisation it dies out in the plain network as predicted (dotted). With batch normalisation it grows.*

# %%
claim(
    "7.2",
    "without normalisation, less than a hundredth of the plain network's gradient is left after 9 blocks",
    bare["plain"][:, 0].max() < 0.01,
    control=bare["residual"][:, 0].max() < 0.01,
)

# %% [markdown]
# So do gradients vanish in the plain networks of Figure 7.3? No: they *grow* towards the input, as theory says of plain
# networks with batch normalisation before training (Yang et al., 2019, for dense layers). Nor is size everything: with
# depth, the gradients of similar inputs come to look like unrelated noise, and shortcuts slow that down (Balduzzi et
# al., 2017). "Vanishing gradients" is a true story about networks without normalisation whose weights, like Glorot's,
# are too small for ReLU. He's networks were normalised.
#
# Where the shape changes, input and output do not fit a sum. There the shortcut gets a 1 × 1 convolution
# with the same stride. The deepest networks use GoogLeNet's idea: 1 × 1 narrows, 3 × 3 works, 1 × 1 widens by four.


# %%
def residual(x, filters, stride=1):
    """A residual block of two 3 x 3 convolutions."""
    path = conv(conv(x, filters, 3, stride), filters, relu=False)
    if stride != 1 or x.shape[-1] != filters:
        x = conv(x, filters, 1, stride, relu=False)
    return layers.ReLU()(layers.Add()([path, x]))


def residual_bottleneck(x, filters, stride=1):
    """A residual block of ResNet-50, with 4 * filters channels at its end."""
    path = conv(conv(x, filters, 1, stride), filters)
    path = conv(path, 4 * filters, 1, relu=False)
    if stride != 1 or x.shape[-1] != 4 * filters:
        x = conv(x, 4 * filters, 1, stride, relu=False)
    return layers.ReLU()(layers.Add()([path, x]))


def resnet(x, stages, classes, block=residual):
    """stages: (filters, number of blocks) of each; all but the first halve height and width."""
    for stage, (filters, count) in enumerate(stages):
        for number in range(count):
            x = block(x, filters, 2 if stage > 0 and number == 0 else 1)
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


# %% [markdown]
# ## 2017, DenseNet: keep everything
#
# A residual block adds what it found to what was there. Huang et al. (2017) join instead of adding. In a **dense
# block** each layer reads the outputs of *all* earlier layers and adds $G$ channels of its own, the **growth rate**
# (their $k$). If $C_0$ channels come in, layer $l$ reads
#
# $$ C_l = C_0 + G\,(l - 1) \tag{7.10} $$
#
# channels. As all is kept, each layer can be narrow: $G = 32$ in DenseNet-121. But its input widens, so it begins with
# a bottleneck of $4G$ filters; and between blocks a transition halves channels, height and width. Normalisation not
# counted, $m$ layers take
#
# $$ \sum_{l=1}^{m} \bigl(4G\,C_l + 36\,G^2\bigr) = 4G \Bigl(C_0 m + G\,\tfrac{m(m-1)}{2}\Bigr) + 36\,G^2 m
#    \tag{7.11} $$
#
# weights. The square of $m$ is the price: what is kept is read again by all later layers.


# %%
def norm_relu_conv(x, filters, k=3, stride=1):
    """Batch normalisation, ReLU, then a convolution without bias."""
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return layers.Conv2D(filters, k, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)


def dense_layer(x, growth):
    """One layer of a dense block: x, and `growth` new channels behind it."""
    return layers.Concatenate()([x, norm_relu_conv(norm_relu_conv(x, 4 * growth, 1), growth)])


def densenet(x, blocks, growth, classes):
    """blocks: the number of layers in each dense block."""
    for number, count in enumerate(blocks):
        if number > 0:
            x = layers.AveragePooling2D(2)(norm_relu_conv(x, x.shape[-1] // 2, 1))
        for _ in range(count):
            x = dense_layer(x, growth)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


def channels_read(c0, growth, layer):
    return c0 + growth * (layer - 1)  # (7.10)


def dense_block_weights(c0, growth, m):
    return 4 * growth * (c0 * m + growth * m * (m - 1) // 2) + 36 * growth**2 * m  # (7.11)


# %% tags=["aside"]
# @title What proofs (7.10) and (7.11) compare with
def dense_block_of(c0, growth, m):
    def block(x):
        for _ in range(m):
            x = dense_layer(x, growth)
        return x

    return sketch(block, (4, 4, c0)).layers


def keras_channels_read(c0, growth, layer):
    return dense_block_of(c0, growth, layer)[-1].input[0].shape[-1]


def keras_dense_block_weights(c0, growth, m):
    return sum(one.count_params() for one in dense_block_of(c0, growth, m) if isinstance(one, layers.Conv2D))


def dense_sizes(count):
    return (tuple(int(n) for n in rng.integers(1, 6, 3)) for _ in range(count))


# %%
prove("7.10", channels_read, keras_channels_read, cases=dense_sizes(8))
prove("7.11", dense_block_weights, keras_dense_block_weights, cases=dense_sizes(8))


# %% tags=["aside"]
# @title Draws figure 7.5
def column(*texts, at=0.0, top=0.0):
    """Blocks below one another, and the arrows between them."""
    names = [f"{at} {top + row}" for row in range(len(texts))]
    return {n: (at, top + row, text) for row, (n, text) in enumerate(zip(names, texts))}, list(zip(names, names[1:]))


figure, axes = plt.subplots(1, 4, figsize=(10, 4), width_ratios=[1, 4, 1.25, 1.25])
blocks, arrows = column("input", "3×3, 64", "3×3, 64", "max pool")
plots.draw_blocks(axes[0], blocks, arrows, title="VGG")
blocks, arrows = {"in": (1.5, 0, "input"), "join": (1.5, 3, "joined", 1)}, []
for at, texts in enumerate((["1×1, 64"], ["1×1, 96", "3×3, 128"], ["1×1, 16", "5×5, 32"], ["max pool", "1×1, 32"])):
    path, between = column(*texts, at=at, top=1)
    blocks, arrows = blocks | path, [*arrows, *between, ("in", list(path)[0]), (list(path)[-1], "join")]
plots.draw_blocks(axes[1], blocks, arrows, title="Inception")
blocks, arrows = column("input", "3×3, 64", "3×3, 64", "+")
plots.draw_blocks(axes[2], blocks, [*arrows, ("0.0 0.0", "0.0 3.0")], title="residual")
blocks, arrows = column("input", "1×1, 128", "3×3, 32", "joined")
plots.draw_blocks(axes[3], blocks, [*arrows, ("0.0 0.0", "0.0 3.0")], title="dense")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.5. One block of each kind (normalisation and ReLU left out). VGG stacks; the Inception module looks at
# several scales, behind bottlenecks; the residual block adds its input to what it made of it; the dense layer joins the
# two.*
#
# ## Are these the papers' networks?
#
# Then they must have the papers' parameters. Three of the networks come with Keras, and AlexNet's and GoogLeNet's
# numbers are added up from the sizes in their papers. (Keras's ResNet-50 has 26,560 more: biases in front of
# normalisations, which take away whatever a bias adds.)
#
# $$ \begin{aligned}
#    \text{AlexNet} &: 60{,}965{,}224 & \text{VGG-16} &: 138{,}357{,}544 \\
#    \text{GoogLeNet} &: 6{,}998{,}552 & \text{ResNet-50} &: 25{,}610{,}152 \\
#    \text{DenseNet-121} &: 8{,}062{,}504 & &
#    \end{aligned} \tag{7.12} $$


# %% tags=["aside"]
# @title The networks at their papers' sizes, and what proof (7.12) compares with
GOOGLENET = [  # the six sizes of each module; None halves height and width
    *[(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None],
    *[(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)],
    *[(112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None],
    *[(256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)],
]


def paper_googlenet(x):
    x = conv(halve(conv(x, 64, 7, 2, norm=False)), 64, 1, norm=False)
    return googlenet(halve(conv(x, 192, norm=False)), GOOGLENET, 1000, norm=False)


def paper_resnet(x):
    return resnet(halve(conv(x, 64, 7, 2)), [(64, 3), (128, 4), (256, 6), (512, 3)], 1000, residual_bottleneck)


def paper_densenet(x):
    return densenet(halve(conv(x, 64, 7, 2)), (6, 12, 24, 16), 32, 1000)


PAPERS = {  # the network, and the number in (7.12)
    "AlexNet": (paper_alexnet, 60_965_224),
    "VGG-16": (paper_vgg, 138_357_544),
    "GoogLeNet": (paper_googlenet, 6_998_552),
    "ResNet-50": (paper_resnet, 25_610_152),
    "DenseNet-121": (paper_densenet, 8_062_504),
}
ALEXNET_TEXT = [  # weights of a kernel or a unit, and how many of them
    *[(11 * 11 * 3, 96), (5 * 5 * 48, 256), (3 * 3 * 256, 384), (3 * 3 * 192, 384), (3 * 3 * 192, 256)],
    *[(6 * 6 * 256, 4096), (4096, 4096), (4096, 1000)],
]


def paper_network(name):
    return sketch(PAPERS[name][0], (227, 227, 3) if name == "AlexNet" else (224, 224, 3))


def paper_parameters(name):
    """Parameters of a network at its paper's size, and what (7.12) says."""
    return parameters(paper_network(name)), PAPERS[name][1]  # (7.12)


def independent_parameters(name):
    """Both from keras.applications, or from the sizes in the paper's text."""
    if name == "AlexNet":
        total = sum((weights + 1) * count for weights, count in ALEXNET_TEXT)
    elif name == "GoogLeNet":
        total, channels = (7 * 7 * 3 + 1) * 64 + (64 + 1) * 64 + (9 * 64 + 1) * 192 + (1024 + 1) * 1000, 192
        for n1, q3, n3, q5, n5, n_pool in filter(None, GOOGLENET):
            total += module_parameters(channels, n1, q3, n3, q5, n5, n_pool)
            channels = n1 + n3 + n5 + n_pool
    else:
        with keras.StatelessScope(initialize_variables=False):
            model = getattr(keras.applications, name.replace("-", ""))(weights=None)
        total = model.count_params()
        if name == "ResNet-50":
            total -= sum(layer.filters for layer in model.layers if isinstance(layer, layers.Conv2D))
        keras.utils.clear_session()  # or Keras would make these weights the next time that it makes a network
    return total, total


# %%
prove("7.12", paper_parameters, independent_parameters, cases=PAPERS)

# %% tags=["aside"]
# @title Prints what the five cost
for name in PAPERS:
    model = paper_network(name)
    print(f"{name:12} {parameters(model):11,} parameters  {multiply_adds(model) / 1e9:5.2f} billion multiply-adds")

# %% [markdown]
# ## Five networks, one budget
#
# Now small relatives of the five for images of 32 pixels. All have batch normalisation, the older ones too, or you
# could not tell its effect from the architecture's. None spends more than four million multiply-adds on an image. All
# get the same images, steps and schedule, and each its best learning rate of five, chosen on held-back images (a
# recorded sweep).

# %%
SMALL = {
    "AlexNet": lambda x: alexnet(x, (16, 24, 32, 32, 24), 128, 10, first=(5, 1), groups=1, drop=0.2),
    "VGG": lambda x: vgg(x, [(8, 2), (16, 2), (32, 2), (64, 2)], 64, 10, drop=0.2),
    "GoogLeNet": lambda x: googlenet(
        halve(conv(x, 24, 5, 2)), [(24, 16, 40, 6, 16, 16), (32, 24, 48, 8, 16, 16), None, (48, 32, 64, 8, 24, 24)], 10
    ),
    "ResNet": lambda x: resnet(conv(x, 16, 3, 2), [(16, 1), (32, 1), (64, 1)], 10),
    "DenseNet": lambda x: densenet(halve(conv(x, 16, 3, 2)), (4, 4), 10, 10),
}


# %% tags=["aside"]
# @title The images for the five, and how long they train
EPOCHS_FIVE, BATCH_FIVE = budget(quick=5, full=10, least=1), budget(quick=50, full=125)
COUNT_FIVE = budget(quick=2000, full=45000, least=300)
x_learn, y_learn = scaled(photos.x_train[:COUNT_FIVE]), photos.y_train[:COUNT_FIVE]
x_held_back, y_held_back = scaled(photos.x_train[-1000:]), photos.y_train[-1000:]


# %%
def small_network(name):
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, SMALL[name](inputs))


def held_back_accuracy(name, rate):
    keras.utils.set_random_seed(seed())
    model = small_network(name)
    list(train(model, x_learn, y_learn, EPOCHS_FIVE, BATCH_FIVE, rate))
    return np.mean(predict(model, x_held_back).argmax(axis=1) == y_held_back)


table = sweep("7.6", {"name": list(SMALL), "rate": (0.005, 0.015, 0.05, 0.15, 0.5)}, held_back_accuracy)
best_rate = dict.fromkeys(SMALL, 0.05) | {r["name"]: r["rate"] for r in sorted(table, key=lambda r: r["value"])}
five, answers = {}, {}
for name in SMALL:
    model, accuracies = small_network(name), []
    for _ in train(model, x_learn, y_learn, EPOCHS_FIVE, BATCH_FIVE, best_rate[name], runs=2):
        answers[name] = predict(model, x_test).argmax(axis=1)
        accuracies.append(np.mean(answers[name] == y_test))
    five[name] = parameters(model), multiply_adds(model), accuracies

# %% tags=["aside"]
# @title Draws figure 7.6
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), sharey=True)
for number, (name, (size, work, accuracies)) in enumerate(five.items()):
    for axis, x in zip(axes, (size / 1e3, work / 1e6)):
        style = {"color": plots.COLOURS[number], "marker": plots.MARKERS[number], "linestyle": "-", "markersize": 7}
        axis.plot([x] * len(accuracies), 100 * np.array(accuracies), label=name, **style)
axes[0].set(xlabel="parameters, thousands", ylabel="test accuracy, %", xlim=(0, None))
axes[1].set(xlabel="multiply-adds for an image, millions", xlim=(0, 4.2))
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 7.6. Test accuracy of five small networks, two runs each, against their parameters (left) and their
# multiply-adds (right).*
#
# Read it with care: small networks, and seconds of training. In the recorded sweep on CIFAR-10, the three that end in
# global pooling are ahead of the two that end in dense layers; which of their other ideas helped, five points cannot
# tell. Nor are multiply-adds seconds: many thin layers take more time than their arithmetic, which is one reason for
# the next network.
#
# ## A recipe for 94 %
#
# What does such a network reach when it is trained properly? Here is a recipe after Zagoruyko and Komodakis (2016).
# Their **wide residual network** of 40 layers with 2.2 million parameters classifies 94.7 % of CIFAR-10's test images
# correctly, after 200 epochs, on whitened images. Ours has 22 layers, twice the parameters and 40 epochs; it
# standardises the colours instead of whitening, and its learning rate follows a cosine instead of steps.
#
# | part | what it is for |
# |---|---|
# | 22 layers of widths 64, 128, 256 | few wide blocks run faster than many narrow ones |
# | normalisation and ReLU *before* each convolution | nothing stands on the shortcut (He et al., 2016b) |
# | random crop after 4 pixels of padding, random flip | 162 views of each image instead of one |
# | SGD with Nesterov momentum 0.9 | the paper's optimiser |
# | rate rising to 0.1 over 2.5 epochs of 40, then a cosine | large steps from random weights can diverge |
# | weight decay, not on scales, shifts and biases | regularisation (chapter 02) |
# | half precision on a GPU | faster, less memory; the weights are kept in single precision |
#
# One trap is in the last row but one. The paper's decay of 0.0005 is a term of the *loss*, so it goes through the
# momentum, which lets each gradient act $1/(1 - 0.9) = 10$ times in all. Keras's `weight_decay` acts on the weights
# directly, outside the momentum. To do the same it has to be 0.005.


# %%
def crop_and_flip(images, margin=4):
    """Each image (n, H, W, C) moved by up to `margin` pixels, mirrored at its edges, and flipped at random."""
    count, height, width, _ = images.shape
    padded = np.pad(images, [(0, 0), (margin, margin), (margin, margin), (0, 0)], mode="reflect")
    windows = sliding_window_view(padded, (height, width), axis=(1, 2))  # (n, 9, 9, C, H, W), without a copy
    down, right = rng.integers(0, 2 * margin + 1, (2, count))
    cut = windows[np.arange(count), down, right].transpose(0, 2, 3, 1)
    flipped = rng.random((count, 1, 1, 1)) < 0.5
    return np.where(flipped, cut[:, :, ::-1], cut)


def wide_resnet(x, count, widths, classes):
    """Three stages of `count` residual blocks, with normalisation and ReLU before each convolution."""
    for stage, width in enumerate(widths):
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            path = norm_relu_conv(norm_relu_conv(x, width, 3, stride), width)
            if stride != 1 or x.shape[-1] != width:
                x = norm_relu_conv(x, width, 1, stride)
            x = layers.Add()([path, x])
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


# %%
def by_recipe(build, images, labels, epochs, batch, precision):
    """Train by the recipe, on uint8 images (n, 32, 32, 3); the model takes such images. precision: a dtype policy."""
    keras.config.set_dtype_policy(precision)
    inputs = keras.Input((32, 32, 3))
    x = layers.Normalization(mean=images.mean((0, 1, 2)), variance=images.var((0, 1, 2)))(inputs)
    model = keras.Model(inputs, layers.Activation("linear", dtype="float32")(build(x)))
    keras.config.set_dtype_policy("float32")

    steps, warm = (epochs * -(-len(images) // batch) // part for part in (1, 16))
    settings = {"warmup_target": 0.1 * batch / 128, "warmup_steps": warm}
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - warm, **settings)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.005)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, steps_per_execution=at_once(10))
    for _ in range(epochs):
        model.fit(crop_and_flip(images), labels, batch, verbose=0)  # other views in each epoch
    return model


def proper(x):
    """The network of the full budget."""
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return wide_resnet(x, 3, (64, 128, 256), 10)


def quick(x):
    """Its small relative, for a laptop."""
    x = layers.Conv2D(16, 3, 2, "same", use_bias=False, kernel_initializer="he_normal")(x)
    return wide_resnet(x, 1, (16, 32, 64), 10)


# %%
COUNT = budget(quick=10000, full=50000, least=130)
model = by_recipe(
    budget(quick=quick, full=proper),
    photos.x_train[:COUNT],
    photos.y_train[:COUNT],
    epochs=budget(quick=6, full=40, least=1),
    batch=budget(quick=50, full=125),
    precision=budget(quick="float32", full="mixed_float16"),
)
final = float(np.mean(predict(model, photos.x_test[: len(y_test)]).argmax(axis=1) == y_test))
proper_size = parameters(sketch(proper, (32, 32, 3)))
print(f"{parameters(model):,} parameters here, {proper_size:,} on the full budget; test accuracy {final:.1%}")

# %%
GOAL = 0.55 if budget(quick=True, full=False) else 0.94
best_of_five = max(np.mean(accuracies) for *_, accuracies in five.values())
claim(
    "7.3",
    "the recipe trains a residual network to 55 % of the test images (full budget: less than 5 million "
    "parameters, 94 %)",
    final > GOAL and proper_size < 5_000_000,
    control=best_of_five > GOAL,
)

# %% [markdown]
# The control is the best of the five networks above. It had a fifth of the images and a sixth of the steps, so the
# claim is about recipe and work together; chapter 08 takes the recipe apart.
#
# ## Look inside: take a block out
#
# By (7.9) a residual network is many paths of all lengths, and half of them do not go through a given block. Veit et
# al. (2016) put that to the test: take a trained network, leave one block out, train nothing anew, and test. All blocks
# of a `stack` have the same shapes, so a network without a block is a `stack` with one block less and the other blocks'
# weights.
#
# **Question 7.c.** How much of its lead over guessing will the *plain* network of 8 layers keep without one of its
# three blocks, `"most"` or `"little"`?

# %%
ask(
    "7.c",
    "little",
    choices=("most", "little"),
    why="There is one path only, and each layer has learned to read what the one before it writes.",
    hint="In a plain network every path of (7.9) but one is missing. Which one is left, and what becomes of it?",
)


# %%
def without_block(model, number):
    """A trained `stack` with one block left out; blocks count from 1."""
    weights = model.get_weights()  # 5 arrays of the stem, 10 of each block, 2 of the head
    plus, blocks = any(isinstance(layer, layers.Add) for layer in model.layers), (len(weights) - 7) // 10
    smaller = stack(blocks - 1, plus)
    smaller.set_weights(weights[: 10 * number - 5] + weights[10 * number + 5 :])
    return smaller


def accuracy(model):
    return np.mean(predict(model, x_test[:1000]).argmax(axis=1) == y_test[:1000])


cut = {
    one: (accuracy(twins[one]), [accuracy(without_block(twins[one], number)) for number in range(1, one[1] + 1)])
    for one in (("plain", 3), ("residual", 3), ("residual", 9))
}

# %% tags=["aside"]
# @title Draws figure 7.7
figure, axes = plt.subplots(1, 3, figsize=(8.4, 3.2), sharey=True, width_ratios=[1, 1, 2.4])
for axis, ((kind, blocks), (whole, left)) in zip(axes, cut.items()):
    axis.bar(range(1, blocks + 1), 100 * np.array(left), color=ORANGE if kind == "plain" else BLUE, width=0.7)
    axis.axhline(100 * whole, color="black", linestyle="--", linewidth=1.2, label="nothing left out")
    axis.axhline(10, color="black", linestyle=":", linewidth=1.2, label="guessing")
    axis.set(title=f"{kind}, {DEPTHS[blocks]}", xlabel="block left out")
axes[0].set_ylabel("test accuracy, %")
figure.tight_layout()
figure.legend(*axes[2].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2)
plt.show()

# %% [markdown]
# *Figure 7.7. Test accuracy of networks of Figure 7.3 after one block was left out.*


# %%
def kept(one):
    """The share of the lead over guessing that is left without a block, on average over the blocks."""
    whole, left = cut[one]
    return (np.mean(left) - 0.1) / (whole - 0.1)


claim(
    "7.4",
    "without one of its blocks, the deep residual network keeps half of its lead over guessing, on average",
    kept(("residual", 9)) > 0.5,
    control=kept(("plain", 3)) > 0.5,
)

# %% tags=["aside"]
# @title Draws figure 7.8
together = np.all([answer != y_test for answer in answers.values()], axis=0)
votes = [np.bincount([answer[i] for answer in answers.values()], minlength=10) for i in np.flatnonzero(together)]
order = np.argsort([-vote.max() for vote in votes], kind="stable")[:10]
missed = np.flatnonzero(together)[order]
names = [(photos.classes[y_test[i]], photos.classes[votes[j].argmax()]) for i, j in zip(missed, order)]
titles = [f"{name},\ntaken for {other}" for name, other in names]
plots.show_images(x_test[missed] + 0.5, titles, columns=5, size=1.5, limits=(0, 1))

# %% [markdown]
# *Figure 7.8. Failures: test images that all five networks of Figure 7.6 classify wrongly, and alike where there are
# such; above each its class, and what most of them took it for.*
#
# ## Debug it
#
# Blocks like this are all over the web. It works in its author's tests, with stride 1 and with more channels. Then
# somebody asks it for a stride.


# %%
def found_on_the_web(x, filters, stride):
    path = conv(x, filters, 1, stride)
    path = conv(path, filters, 3)
    path = conv(path, 4 * filters, 1, relu=False)
    if x.shape[-1] != 4 * filters:
        x = conv(x, 4 * filters, 1, relu=False)
    return layers.ReLU()(layers.Add()([path, x]))


for channels, stride in ((16, 1), (32, 1), (16, 2)):
    try:
        end = found_on_the_web(keras.Input((8, 8, channels)), 8, stride)
        print(f"{channels} channels, stride {stride}: {end.shape}")
    except ValueError as error:
        print(f"{channels} channels, stride {stride}: {str(error).splitlines()[0]}")

# %% [markdown]
# The path has shrunk and the shortcut has not. The danger is in the repairs that make the message go away. Take the
# stride out of the path, and all shapes agree; but no feature map shrinks any more, and the work multiplies. Or cut the
# shortcut to the path's size, and all shapes agree, and nothing complains ever after. Ask the gradient which pixels
# reach it:


# %%
def reaching(shortcut, size=16):
    """Which pixels of a map (size, size) have a part in what a shortcut passes on: an array of True and False."""
    ones = np.ones((1, size, size, 1), "float32")
    return ops.convert_to_numpy(gradient(lambda x: ops.sum(shortcut(x)), ones))[0, :, :, 0] != 0


maps = {
    "1 × 1 with the stride": reaching(lambda x: x[:, ::2, ::2]),  # the places where it stands
    "cut to size": reaching(lambda x: x[:, :8, :8]),
    "average pooling": reaching(lambda x: ops.average_pool(x, 2, 2)),
}

# %% tags=["aside"]
# @title Draws figure 7.9
plots.show_images([np.where(found, 0.3, 0.85) for found in maps.values()], list(maps), size=2.0, limits=(0, 1))

# %% [markdown]
# *Figure 7.9. Dark: pixels of a 16 × 16 map that reach the shortcut's 8 × 8 output. The strided convolution looks at
# every second row and column of the whole map; what is cut to size is one corner, and it is added to a path that sees
# the whole. Average pooling looks at everything, and is a good repair too.*
#
# A shape that fits proves little: ask the gradient which inputs reach which outputs. A cousin of this shortcut waits in
# exercise 7.6.
#
# ## This run

# %%
record(
    recipe_test_accuracy=final,
    best_of_five_test_accuracy=best_of_five,
    plain_deep_training_loss=losses["plain", 9][:, -1].mean(),
    residual_deep_training_loss=losses["residual", 9][:, -1].mean(),
    kept_without_a_block=kept(("residual", 9)),
)

# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use; `layers` and `ops` are Keras's.
#
# **Exercise 7.1 ★★** Two libraries report different sizes for the same ResNet: one counts all numbers that a layer
# keeps, the other those that are learned. Count both, for a network with branches, which may have branches within.


# %%
# Exercise 7.1
def learned_and_kept(channels, rows):
    """Parameters of a network: how many are learned, and how many are kept in all.

    channels: of the image. rows: a list of tuples, in order, each one of
        ("conv", filters, k, groups, bias)    k x k kernels; bias: True or False
        ("norm",)                             batch normalisation
        ("pool",)                             halves height and width
        ("add", path, path, ...)              each path, a list of rows, starts from the same
                                              input; the results are added
        ("join", path, path, ...)             the same, results joined along the channels
        ("global",)                           the mean of each channel
        ("dense", units)                      with a bias; comes after "global" only
    An "add" or "join" has one path or more; an empty path passes on its input, and a path may
    hold further ones. Returns (learned, kept), two whole numbers: batch normalisation learns a
    scale and a shift for each channel, and keeps two running statistics besides.
    Raises ValueError where the paths of an "add" end with different numbers of channels; its
    message names each of these numbers.

    >>> learned_and_kept(3, [("conv", 8, 3, 1, False), ("norm",), ("global",), ("dense", 10)])
    (322, 338)
    """
    ### BEGIN SOLUTION

    def count(channels, rows):
        learned = statistics = 0
        for kind, *sizes in rows:
            if kind == "conv":
                filters, k, groups, bias = sizes
                learned += (k * k * (channels // groups) + bias) * filters
                channels = filters
            elif kind == "norm":
                learned += 2 * channels
                statistics += 2 * channels
            elif kind == "dense":
                (units,) = sizes
                learned += (channels + 1) * units
                channels = units
            elif kind in ("add", "join"):
                ends, some, more = zip(*(count(channels, path) for path in sizes))
                learned, statistics = learned + sum(some), statistics + sum(more)
                if kind == "add" and len({*ends}) > 1:
                    raise ValueError(f"paths that end with {', '.join(map(str, ends))} channels cannot be added")
                channels = sum(ends) if kind == "join" else ends[0]
        return channels, learned, statistics

    _, learned, statistics = count(channels, rows)
    return learned, learned + statistics
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

ex = exercise("7.1")
ex.hints(
    "Walk through the rows with the number of channels in hand: each row changes it, or adds to a count, or both.",
    "(7.1) has a 4 for each channel of a normalisation. Two of the four are learned.",
    "A path is a list of rows like the whole network: let the function, or one inside it, call itself for each path, "
    "and let it return with how many channels the path ends.",
)

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
    yield 4, [("join", [("conv", 4, 1, 1, True)], [], [("conv", 8, 3, 1, True), ("norm",)], [("norm",)]), ("norm",)]
    yield 4, [("add", [], [("norm",)], [("conv", 4, 3, 4, True), ("norm",)], [("conv", 4, 1, 2, False)]), ("norm",)]
    yield 6, [("add", [("conv", 10, 3, 2, True)]), ("norm",), ("global",), ("dense", 2)]
    yield 6, [("join", [("conv", 10, 3, 2, True)]), ("norm",), ("global",), ("dense", 2)]
    nested = ("join", [("add", [], [("conv", 8, 3, 1, False), ("norm",)]), ("conv", 4, 1, 1, False)], [("norm",)])
    yield 8, [nested, ("norm",), ("pool",), ("conv", 4, 1, 1, True), ("global",), ("dense", 3)]
    yield 8, [("add", [("join", [], [("conv", 4, 1, 1, True)])], [("conv", 12, 3, 2, False), ("norm",)]), ("norm",)]
    yield 8, [("add", [], [("conv", 12, 3, 1, False)]), ("global",), ("dense", 3)]
    yield 8, [("add", [("conv", 4, 1, 1, False)], [("conv", 6, 1, 1, False)]), ("global",), ("dense", 3)]
    yield 8, [("add", [], [("norm",)], [("conv", 9, 1, 1, True)])]
    yield 8, [("norm",), ("join", [], [("add", [("conv", 5, 1, 1, True)], [("norm",)])])]
    for _ in range(12):
        channels = 4 * int(rng.integers(1, 5))
        same = ("add", [], some_path(rng, channels, channels)), ("add", *(some_path(rng, channels, 8) for _ in "abc"))
        several = ("join", some_path(rng, channels), [("pool",), same[0]], some_path(rng, channels))
        branch = (*same, several)[int(rng.integers(3))]
        yield channels, [branch, ("norm",), ("pool",), ("global",), ("dense", int(rng.integers(2, 12)))]


def sums(
    channels, rows, conv=None, norm=(2, 4), join=sum, dense=None, strict=("add",), chained=False, add=max, some=None
):
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
            for path in sizes[:some]:
                end, few, more = sums(start, path, conv, norm, join, dense, strict, chained, add, some)
                learned, kept, ends = learned + few, kept + more, [*ends, end]
                start = end if chained else channels
            if kind in strict and len(set(ends)) > 1:
                raise ValueError(f"channels differ: {ends}")
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
                    raise naming(ValueError, *sorted(set(ends)))
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
    """Paths that end with different channels cannot be added: such a network is to be refused with a ValueError."""
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


@ex.wrong
def two_paths_only(channels, rows):
    """An "add" or "join" may have more than two paths: take all that follow its name."""
    return sums(channels, rows, some=2)[1:]


@ex.right
def by_match(channels, rows):
    counts = {"learned": 0, "statistics": 0}

    def follow(width, rows):
        for row in rows:
            match row:
                case ("conv", filters, k, groups, bias):
                    counts["learned"] += filters * (k**2 * width // groups) + (filters if bias else 0)
                    width = filters
                case ("norm",):
                    counts["learned"] += 2 * width
                    counts["statistics"] += 2 * width
                case ("dense", units):
                    counts["learned"] += width * units + units
                    width = units
                case ("join", *paths):
                    width = sum(follow(width, path) for path in paths)
                case ("add", *paths):
                    ends = {follow(width, path) for path in paths}
                    if len(ends) != 1:
                        raise ValueError(f"not as many channels in each path: {ends}")
                    width = ends.pop()
        return width

    follow(channels, rows)
    return counts["learned"], sum(counts.values())


ex.equivalent(
    "'-1' for '0' in 'channels = sum(ends) if kind == 'join' else ends[0]'",
    "paths that are added end with equal numbers of channels",
)


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
    Raises ValueError where the first layer's filters are not the second's channels; its
    message has the word "axis" and names both sizes.
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
from course.exercises import exercise, naming

import numpy as np
from scipy.signal import convolve2d

ex = exercise("7.2", atol=1e-6)
ex.hints(
    "Leave the biases out at first, and take 1 × 1 kernels: what is the merged kernel then?",
    "One weight of the second kernel, at (i, j), reads the first layer's output there. So it stamps a copy of the "
    "first"
    "kernel into the merged one, moved by (i, j). All its places and all M maps add up.",
    "For each place (i, j) of the second kernel, `first @ second[i, j]` is that copy with the maps summed over. "
    "The first"
    "bias goes through the second layer like a constant image.",
)


@ex.cases
def _(rng):
    def some(*shape):
        return rng.integers(-9, 10, shape) / 8

    yield np.full((1, 1, 1, 1), 2.0), np.ones(1), np.full((1, 1, 1, 1), 3.0), np.zeros(1)
    yield some(3, 3, 1, 1), np.zeros(1), some(3, 3, 1, 1), np.zeros(1)
    yield some(2, 3, 2, 3), some(3), some(3, 2, 3, 2), some(2)
    yield some(3, 1, 3, 2), some(2), some(1, 4, 2, 4), some(4)
    yield some(3, 3, 2, 3), np.zeros(3), some(3, 3, 2, 3), np.zeros(3)
    yield some(1, 1, 2, 4), np.zeros(4), some(3, 3, 3, 2), np.zeros(2)
    yield some(2, 2, 2, 1), np.zeros(1), some(2, 2, 3, 2), np.zeros(2)
    yield some(2, 2, 2, 3), np.zeros(3), some(2, 2, 1, 2), np.zeros(2)
    for _ in range(12):
        (a, b, c, d), (channels, maps, filters) = rng.integers(1, 4, 4), rng.integers(1, 4, 3)
        yield some(a, b, channels, maps), some(maps), some(c, d, maps, filters), some(filters)


def _refuse(first, second):
    if first.shape[3] != second.shape[2]:
        raise naming(ValueError, "axis", first.shape[3], second.shape[2])


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
    if len(first_bias) != second.shape[2]:
        raise ValueError(f"axis 3 has size {len(first_bias)} and axis 2 has size {second.shape[2]}")
    size = [first.shape[i] + second.shape[i] - 1 for i in (0, 1)]
    product = np.einsum("abcm,abmn->abcn", *(np.fft.fft2(kernel, s=size, axes=(0, 1)) for kernel in (first, second)))
    return np.fft.ifft2(product, axes=(0, 1)).real, np.tensordot(first_bias, second.sum((0, 1)), 1) + second_bias


# %%
check("7.2", merged_layers)

# %% [markdown]
# **Exercise 7.3 ★★** A block of 2018 that you can put behind any other: it looks at the whole image, and decides which
# channels matter for it. It is called *squeeze and excitation*.


# %%
# Exercise 7.3
def squeeze_and_excite(x, ratio):
    """Weigh the channels of a tensor x (batch, H, W, C): a tensor of the same shape.

    In turn: the mean of each channel over height and width; a dense layer with C // ratio
    units, but at least 1, and ReLU; a dense layer with C units and sigmoid. The C numbers that
    come out are between 0 and 1, and multiply the channels of x. Both dense layers have biases.
    x is a symbolic tensor such as keras.Input makes, and so is the result.
    ratio: a whole number. Raises ValueError where it is less than 1; its message names it.
    Example: on (batch, 8, 8, 16), squeeze_and_excite(x, 4) has 148 parameters.
    Source: Hu, Shen and Sun, Squeeze-and-excitation networks, 2018.
    """
    ### BEGIN SOLUTION
    if ratio < 1:
        raise ValueError(f"ratio is {ratio}; it must be at least 1")
    channels = x.shape[-1]
    weights = layers.Dense(max(channels // ratio, 1), activation="relu")(layers.GlobalAveragePooling2D()(x))
    weights = layers.Dense(channels, activation="sigmoid")(weights)
    return layers.Multiply()([x, layers.Reshape((1, 1, channels))(weights)])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import keras
import numpy as np
from keras import layers

ex = exercise("7.3", rtol=1e-2, atol=0.02)  # a GPU may multiply with ten bits
ex.hints(
    "Follow the shapes: (batch, H, W, C), then one number a channel, then C // ratio numbers, then C again.",
    "`GlobalAveragePooling2D(keepdims=True)` leaves (batch, 1, 1, C), which multiplies a map of any size.",
    "Four layers: global average pooling, `Dense` with ReLU, `Dense` with sigmoid, `Multiply` with x.",
)


@ex.cases
def _(rng):
    yield (2, 3, 8), 4, 1
    yield (3, 2, 3), 4, 2
    yield (1, 1, 7), 2, 3
    yield (2, 2, 4), 1, 4
    yield (2, 2, 5), 2, 5
    yield (2, 2, 4), 0, 6
    yield (2, 3, 4), -2, 7
    for number in range(4):
        shape = *(int(n) for n in rng.integers(1, 4, 2)), int(rng.integers(2, 9))
        yield shape, int(rng.integers(1, 4)), 10 + number


def known(seed, shape):
    """Weights that depend on a shape alone, but for axes of size 1, so that a 1 x 1 convolution may stand for a dense
    layer, and the order of the layers does not matter."""
    sizes = [n for n in shape if n > 1]
    return np.random.default_rng([seed, *sizes]).integers(-8, 9, sizes).reshape(shape).astype("float32") / 8


def image(shape, seed):
    return np.random.default_rng(seed).integers(-8, 9, (2, *shape)).astype("float32") / 4


ex.shown_as("""
inputs = keras.Input(shape)
keras.Model(inputs, squeeze_and_excite(inputs, ratio)).summary()
""")


@ex.drive
def built(answer, shape, ratio, seed):
    inputs = keras.Input(shape)
    end = answer(inputs, ratio)
    if not isinstance(end, keras.KerasTensor):
        raise TypeError(f"what is returned must be a tensor, and is a {type(end).__name__}")
    model = keras.Model(inputs, end)
    for weight in model.weights:
        weight.assign(known(seed, tuple(weight.shape)))
    return {"parameters": model.count_params(), "outputs, with known weights": model(image(shape, seed))}


@ex.oracle
def _(shape, ratio, seed):  # in NumPy, with no layer
    if ratio < 1:
        raise naming(ValueError, str(ratio))
    channels, hidden = shape[-1], max(shape[-1] // ratio, 1)
    x = image(shape, seed)
    squeezed = np.maximum(x.mean(axis=(1, 2)) @ known(seed, (channels, hidden)) + known(seed, (hidden,)), 0)
    z = squeezed @ known(seed, (hidden, channels)) + known(seed, (channels,))
    outputs = x / (1 + np.exp(-z))[:, None, None]
    return {"parameters": 2 * channels * hidden + hidden + channels, "outputs, with known weights": outputs.round(4)}


def variant(
    x, ratio, pool="Average", hidden="relu", last="sigmoid", bias=True, least=1, join=layers.Multiply, wide=False
):
    if ratio < 1:
        raise ValueError(f"ratio is {ratio}")
    pooling = getattr(layers, f"Global{pool}Pooling2D")
    units = x.shape[-1] * ratio if wide else max(x.shape[-1] // ratio, least)
    weights = layers.Dense(units, hidden, use_bias=bias)(pooling(keepdims=True)(x))
    return join()([x, layers.Dense(x.shape[-1], last, use_bias=bias)(weights)])


@ex.wrong
def largest(x, ratio):
    """Each channel is summed up by its mean over height and width; you take its largest value."""
    return variant(x, ratio, pool="Max")


@ex.wrong
def linear_middle(x, ratio):
    """Between the two dense layers there is a ReLU. Without it they are one linear map."""
    return variant(x, ratio, hidden=None)


@ex.wrong
def relu_last(x, ratio):
    """The second dense layer ends in sigmoid, not in ReLU: each channel is multiplied by a number between 0 and 1."""
    return variant(x, ratio, last="relu")


@ex.wrong
def softmax_last(x, ratio):
    """With softmax the channels compete, for their numbers add up to 1. Each is to have a number of its own: "
    "sigmoid."""
    return variant(x, ratio, last="softmax")


@ex.wrong
def without_biases(x, ratio):
    """Both dense layers have biases; yours have none."""
    return variant(x, ratio, bias=False)


@ex.wrong
def added(x, ratio):
    """The numbers of the channels multiply x; you add them."""
    return variant(x, ratio, join=layers.Add)


@ex.wrong
def widened(x, ratio):
    """The first dense layer has C // ratio units: it narrows. Yours has C times ratio."""
    return variant(x, ratio, wide=True)


@ex.wrong
def one_layer(x, ratio):
    """There are two dense layers, the first of them narrow; you have one."""
    if ratio < 1:
        raise ValueError(f"ratio is {ratio}")
    weights = layers.Dense(x.shape[-1], "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, weights])


@ex.wrong
def at_least_two(x, ratio):
    """The first dense layer has at least one unit; yours has at least two."""
    return variant(x, ratio, least=2)


@ex.wrong
def takes_anything(x, ratio):
    """A ratio of less than 1 is to be refused with a ValueError."""
    return variant(x, max(ratio, 1))


@ex.wrong
def numbers_alone(x, ratio):
    """You give back the numbers of the channels, one for each image and channel. They are to multiply x."""
    return variant(x, ratio, join=lambda: lambda pair: pair[1])


@ex.wrong
def at_every_pixel(x, ratio):
    """Nothing is averaged over height and width, so every pixel weighs its channels by itself. First the mean of each
    channel."""
    if ratio < 1:
        raise ValueError(f"ratio is {ratio}")
    weights = layers.Dense(max(x.shape[-1] // ratio, 1), "relu")(x)
    return layers.Multiply()([x, layers.Dense(x.shape[-1], "sigmoid")(weights)])


@ex.right
def by_convolution(x, ratio):
    if ratio <= 0:
        raise ValueError(f"{ratio} is too small")
    mean = keras.ops.mean(x, axis=(1, 2), keepdims=True)
    narrow = keras.ops.relu(layers.Conv2D(max(1, x.shape[3] // ratio), 1)(mean))
    return x * keras.ops.sigmoid(layers.Conv2D(x.shape[3], 1)(narrow))


ex.equivalent(
    "'weights' for 'layers.Reshape((1, 1, channels))(weights)' in "
    "'return layers.Multiply()([x, layers.Reshape((1, 1, channe...'",
    "Multiply puts axes for height and width behind the batch by itself",
)

# %%
check("7.3", squeeze_and_excite)

# %% [markdown]
# **Exercise 7.4 ★★** Send a gradient back through a residual block by hand, with (7.8). The block is dense, so that
# you need no more than chapter 01's backpropagation and one plus sign.


# %%
# Exercise 7.4
def residual_backward(h, V, W, delta):
    """The gradients of a loss with respect to the input and the weights of the residual block
    h + W relu(V h).

    h (n,): input. V (m, n), W (n, m): weights. delta (n,): the gradient of the loss with
    respect to the block's output. Arrays of floats.
    Returns the gradients with respect to h (n,), V (m, n) and W (n, m); the derivative of relu
    at 0 counts as 0.
    Raises ValueError where V's columns or W's rows are not as many as h's entries, or W's
    columns not as many as V's rows; its message has the word "axis" and names the two sizes.
    Example: with h = [1.0], V = [[2.0]], W = [[3.0]], delta = [1.0] they are [7.0], [[3.0]]
    and [[2.0]].
    """
    ### BEGIN SOLUTION
    if V.shape[1] != len(h):
        raise ValueError(f"axis 1 of V has size {V.shape[1]}, and h has {len(h)} entries")
    if W.shape[0] != len(h):
        raise ValueError(f"axis 0 of W has size {W.shape[0]}, and h has {len(h)} entries")
    if W.shape[1] != len(V):
        raise ValueError(f"axis 1 of W has size {W.shape[1]}, and axis 0 of V has {len(V)}")
    z = V @ h
    at_z = (W.T @ delta) * (z > 0)
    return delta + V.T @ at_z, np.outer(at_z, h), np.outer(delta, np.maximum(z, 0))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import numpy as np

ex = exercise("7.4", rtol=1e-4, atol=1e-5)
ex.hints(
    "Name what lies between: z = V h, then relu(z), then W relu(z). Go back through them one by one.",
    "The block's output is a sum of two terms that both hold h. The gradient with respect to h has two terms too.",
    "Through W comes W.T @ delta; relu lets it through where z > 0; V.T carries it to h, where delta itself is added.",
)


@ex.cases
def _(rng):
    def some(*shape):
        return rng.integers(-9, 10, shape) / 4

    yield np.array([1.0]), np.array([[2.0]]), np.array([[3.0]]), np.array([1.0])
    yield np.array([1.0, -1.0]), -np.eye(2), np.eye(2), np.array([1.0, 2.0])
    yield (
        np.array([1.0, -1.0]),
        np.array([[1.0, 1.0], [2.0, 0.5], [0.0, 0.0]]),
        np.array([[1.0, 2, 3], [4, 5, 6]]),
        np.ones(2),
    )
    for _ in range(14):
        n, m = (int(i) for i in rng.integers(2, 5, 2))
        yield some(n), some(m, n), some(n, m), some(n)
    yield some(3), some(3, 4), some(3, 3), some(3)
    yield some(3), some(2, 1), some(3, 2), some(3)
    yield some(3), some(2, 1), some(1, 2), some(3)
    yield some(3), some(2, 4), some(4, 2), some(3)
    yield some(3), some(2, 3), some(1, 2), some(3)
    yield some(3), some(2, 3), some(4, 2), some(3)
    yield some(3), some(1, 3), some(3, 4), some(3)
    yield some(3), some(4, 3), some(3, 1), some(3)


def _refuse(h, V, W):
    for size, wanted in ((V.shape[1], len(h)), (W.shape[0], len(h)), (W.shape[1], len(V))):
        if size != wanted:
            raise naming(ValueError, "axis", size, wanted)


@ex.oracle
def _(h, V, W, delta):  # number by number, with no matrix
    _refuse(h, V, W)
    units, entries = range(len(V)), range(len(h))
    z = [sum(V[i, j] * h[j] for j in entries) for i in units]
    at_z = [sum(W[j, i] * delta[j] for j in entries) if z[i] > 0 else 0.0 for i in units]
    at_h = [delta[j] + sum(at_z[i] * V[i, j] for i in units) for j in entries]
    at_V = [[at_z[i] * h[j] for j in entries] for i in units]
    at_W = [[delta[j] * max(z[i], 0.0) for i in units] for j in entries]
    return np.array(at_h), np.array(at_V), np.array(at_W)


def _parts(h, V, W, delta):
    _refuse(h, V, W)
    z = V @ h
    return z, np.maximum(z, 0), (W.T @ delta) * (z > 0)


@ex.wrong
def plain(h, V, W, delta):
    """The gradient for h comes through the weights only. The shortcut carries delta back as well, unchanged: it is the
    identity in (7.8)."""
    z, relu, at_z = _parts(h, V, W, delta)
    return V.T @ at_z, np.outer(at_z, h), np.outer(delta, relu)


@ex.wrong
def adds_input(h, V, W, delta):
    """What the shortcut carries back is the gradient delta, not the input h: the derivative of h with respect to h
    is 1."""
    z, relu, at_z = _parts(h, V, W, delta)
    return h + V.T @ at_z, np.outer(at_z, h), np.outer(delta, relu)


@ex.wrong
def adds_one(h, V, W, delta):
    """In (7.8) the identity multiplies delta; you add a 1 to each entry instead of delta itself."""
    z, relu, at_z = _parts(h, V, W, delta)
    return 1 + V.T @ at_z, np.outer(at_z, h), np.outer(delta, relu)


@ex.wrong
def relu_forgotten(h, V, W, delta):
    """Where V h is negative, relu is flat and lets no gradient through: the factor relu' is missing."""
    _refuse(h, V, W)
    at_z = W.T @ delta
    return delta + V.T @ at_z, np.outer(at_z, h), np.outer(delta, np.maximum(V @ h, 0))


@ex.wrong
def without_activation(h, V, W, delta):
    """The gradient for W needs what W was multiplied with, relu(V h); you take V h before relu."""
    z, relu, at_z = _parts(h, V, W, delta)
    return delta + V.T @ at_z, np.outer(at_z, h), np.outer(delta, z)


@ex.wrong
def wrong_input(h, V, W, delta):
    """The gradient for V is taken with delta after the shortcut was added to it. The weights see only what comes
    through their own path."""
    z, relu, at_z = _parts(h, V, W, delta)
    through = W.T @ (delta + V.T @ at_z) * (z > 0)
    return delta + V.T @ at_z, np.outer(through, h), np.outer(delta, relu)


@ex.wrong
def transposed(h, V, W, delta):
    """The gradients of the weights are transposed: a gradient has the shape of its weights, rows for outputs."""
    z, relu, at_z = _parts(h, V, W, delta)
    return delta + V.T @ at_z, np.outer(h, at_z), np.outer(relu, delta)


@ex.wrong
def stretched(h, V, W, delta):
    """All right where sizes fit. A V or W that does not fit is to be refused with a ValueError; NumPy stretches an
    axis of size 1 in silence."""
    m, n = max(len(V), W.shape[1]), max(len(h), len(W), V.shape[1])
    V, W, h, delta = (np.resize(array, size) for array, size in ((V, (m, n)), (W, (n, m)), (h, n), (delta, n)))
    z, relu, at_z = _parts(h, V, W, delta)
    return delta + V.T @ at_z, np.outer(at_z, h), np.outer(delta, relu)


@ex.wrong
def delta_changed(h, V, W, delta):
    """The gradient for W is taken with delta after the path's part was added to it. It needs delta as it came; after
    delta += ... that is gone."""
    z, relu, at_z = _parts(h, V, W, delta)
    at_h = delta + V.T @ at_z
    return at_h, np.outer(at_z, h), np.outer(at_h, relu)


@ex.wrong
def times_the_value(h, V, W, delta):
    """The derivative of relu is 1 where its input is positive and 0 elsewhere; you multiply by its value."""
    z, relu, _ = _parts(h, V, W, delta)
    at_z = (W.T @ delta) * relu
    return delta + V.T @ at_z, np.outer(at_z, h), np.outer(delta, relu)


@ex.wrong
def another_order(h, V, W, delta):
    """The three gradients stand in another order: h, V, W."""
    z, relu, at_z = _parts(h, V, W, delta)
    return delta + V.T @ at_z, np.outer(delta, relu), np.outer(at_z, h)


@ex.wrong
def rectified_sum(h, V, W, delta):
    """There is no relu behind the sum in this block, so the shortcut carries delta back whole."""
    z, relu, _ = _parts(h, V, W, delta)
    delta = delta * (h + W @ relu > 0)
    at_z = (W.T @ delta) * (z > 0)
    return delta + V.T @ at_z, np.outer(at_z, h), np.outer(delta, relu)


@ex.wrong
def input_last(h, V, W, delta):
    """The gradient with respect to h comes first, then those for V and W."""
    z, relu, at_z = _parts(h, V, W, delta)
    return np.outer(at_z, h), np.outer(delta, relu), delta + V.T @ at_z


@ex.right
def by_jacobian(h, V, W, delta):
    m, n = V.shape
    if n != len(h) or W.shape != (n, m):
        raise ValueError(f"an axis does not fit: V {V.shape}, W {W.shape}, h {h.shape}")
    open_units = (V @ h > 0).astype(float)
    through = np.einsum("j,ji,i->i", delta, W, open_units)
    jacobian = np.eye(n) + np.einsum("ji,i,ik->jk", W, open_units, V)
    return delta @ jacobian, through[:, None] * h, delta[:, None] * (open_units * (V @ h))


# %%
check("7.4", residual_backward)

# %% [markdown]
# **Exercise 7.5 ★★** You are given a limit, as on a phone: so many parameters and no more. How wide may a residual
# network be?


# %%
# Exercise 7.5
def widest(limit, blocks, classes):
    """The widest residual network that has no more than `limit` parameters.

    The network of width w: conv(x, w) on images with three channels, then `resnet` with three
    stages of w, 2w and 4w filters, each of `blocks` blocks of the kind `residual`. All that
    layers keep counts, the running statistics too.
    limit, blocks, classes: whole numbers; blocks and classes are at least 1.
    Returns (w, the network's parameters) for the largest w, two whole numbers.
    Raises ValueError where even w = 1 is too wide; its message names the parameters that it
    would take.
    Example: widest(3000, 1, 10) is (2, 1504).
    """
    ### BEGIN SOLUTION

    def size(width):
        total = (27 + 4) * width + (4 * width + 1) * classes
        before = width
        for filters in (width, 2 * width, 4 * width):
            for _ in range(blocks):
                total += 9 * (before + filters) * filters + 8 * filters
                if before != filters:
                    total += before * filters + 4 * filters  # the shortcut's convolution and normalisation
                before = filters
        return total

    if size(1) > limit:
        raise ValueError(f"a network of width 1 has {size(1)} parameters already")
    width = 1
    while size(width + 1) <= limit:
        width += 1
    return width, size(width)
    ### END SOLUTION


# %% tags=["grading"]
from math import isqrt

from course.exercises import exercise, naming

ex = exercise("7.5")
ex.hints(
    "Write a function that counts the parameters for one width. Then try 1, 2, 3, ...",
    "`conv` has no bias and four numbers a channel for its normalisation. Which blocks need a convolution in their "
    "shortcut?",
    "A block on c channels has 9cn + 9nn + 8n parameters, and cn + 4n more where c is not n, its number of filters.",
)


def count(w, blocks, classes, bias=0, norm=4, head=1, projected=(1, 2), wide=9, thin=1, stem=3):
    """Parameters for width w; each setting replaces one rule."""
    total = (9 * stem + norm + bias) * w + (4 * w + head) * classes
    for stage, n in enumerate((w, 2 * w, 4 * w)):
        before = w if stage == 0 else n // 2
        total += blocks * 2 * (9 * n * n + (norm + bias) * n) - 9 * n * (n - before)
        total += (thin * before * n + (norm + bias) * n) * (stage in projected)
    return total


def search(limit, blocks, classes, below=False, strict=True, more=0, **rules):
    sizes = [count(w, blocks, classes, **rules) for w in range(1, 500)]
    fitting = sum(size < limit if below else size <= limit for size in sizes)
    if not fitting and strict:
        raise ValueError(f"{sizes[0]} at least")
    width = fitting + more
    return width, count(width, blocks, classes, **rules)


@ex.cases
def _(rng):
    yield 3000, 1, 10
    yield count(3, 2, 4), 2, 4
    yield count(3, 2, 4) - 1, 2, 4
    yield count(1, 1, 1), 1, 1
    yield count(1, 1, 1) - 1, 1, 1
    yield count(1, 3, 10) - 1, 3, 10
    yield 0, 2, 2
    yield count(12, 1, 10) + 5, 1, 10
    yield count(51, 2, 3), 2, 3
    yield count(407, 1, 10) + 77, 1, 10
    for _ in range(10):
        blocks, classes = int(rng.integers(1, 4)), int(rng.integers(1, 12))
        yield count(int(rng.integers(1, 7)), blocks, classes) + int(rng.integers(0, 90)), blocks, classes


@ex.oracle
def _(limit, blocks, classes):  # a polynomial of the second degree in w, and w by halving
    square = 2 * 9 * blocks * (1 + 4 + 16) - 9 * (2 + 8) + 2 + 8
    linear = 27 + 4 + 4 * classes + 8 * blocks * (1 + 2 + 4) + 4 * (2 + 4)

    def size(w):
        return square * w * w + linear * w + classes

    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= limit else (low, middle)
    if low == 0:
        raise naming(ValueError, size(1))
    return low, size(low)


@ex.wrong
def with_biases(limit, blocks, classes):
    """`conv` leaves the bias out where normalisation follows; you count one for each filter."""
    return search(limit, blocks, classes, bias=1)


@ex.wrong
def learned_only(limit, blocks, classes):
    """The running statistics count too: batch normalisation keeps four numbers a channel, and you count two."""
    return search(limit, blocks, classes, norm=2)


@ex.wrong
def no_norm(limit, blocks, classes):
    """Batch normalisation keeps four numbers a channel; you do not count it."""
    return search(limit, blocks, classes, norm=0)


@ex.wrong
def no_projections(limit, blocks, classes):
    """Where the number of channels changes, the shortcut has a 1 x 1 convolution with normalisation; you leave "
    "it out."""
    return search(limit, blocks, classes, projected=())


@ex.wrong
def projection_everywhere(limit, blocks, classes):
    """In the first stage the channels do not change, and its shortcuts have no convolution: look at when `residual`
    makes one."""
    return search(limit, blocks, classes, projected=(0, 1, 2))


@ex.wrong
def wide_projections(limit, blocks, classes):
    """The convolution in a shortcut is 1 x 1; you count 3 x 3."""
    return search(limit, blocks, classes, thin=9)


@ex.wrong
def head_without_bias(limit, blocks, classes):
    """The dense layer at the end has a bias for each class."""
    return search(limit, blocks, classes, head=0)


@ex.wrong
def strictly_below(limit, blocks, classes):
    """A network with exactly as many parameters as the limit is allowed: no more than, not less than."""
    return search(limit, blocks, classes, below=True)


@ex.wrong
def stops_at_ten(limit, blocks, classes):
    """You try widths up to a bound of your own. There is none: go on until the limit is passed."""
    width, _ = search(limit, blocks, classes)
    return min(width, 10), count(min(width, 10), blocks, classes)


@ex.wrong
def one_too_wide(limit, blocks, classes):
    """You return the first width that is too much; the one before it is wanted."""
    return search(limit, blocks, classes, more=1)


@ex.wrong
def one_channel(limit, blocks, classes):
    """The image has three channels, so a kernel of the first convolution has 27 weights; you count 9."""
    return search(limit, blocks, classes, stem=1)


@ex.wrong
def never_refuses(limit, blocks, classes):
    """Where a network of width 1 has too many parameters already, raise a ValueError."""
    return search(limit, blocks, classes, strict=False)


@ex.right
def from_above(limit, blocks, classes):
    def layers_of(w):
        yield 27 * w, w
        for number, n in enumerate([w] * blocks + [2 * w] * blocks + [4 * w] * blocks):
            grows = number in (blocks, 2 * blocks)
            yield 9 * n * (n // 2 if grows else n), n
            yield 9 * n * n, n
            if grows:
                yield n * n // 2, n

    one, two, three = (sum(size + 4 * n for size, n in layers_of(w)) + (4 * w + 1) * classes for w in (1, 2, 3))
    square = (three - 2 * two + one) // 2
    linear = two - one - 3 * square
    constant = one - linear - square
    w = (isqrt(linear**2 + 4 * square * (limit - constant)) - linear) // (2 * square)
    if w < 1:
        raise ValueError(f"{one} are needed")
    return w, square * w * w + linear * w + constant


ex.equivalent("'0' for '1' in 'width = 1'", "a network of width 1 is known to fit, so the search may begin before it")

# %%
check("7.5", widest)

# %% [markdown]
# **Exercise 7.6 ★★** He et al. (2016a) trained their networks for CIFAR-10 with shortcuts that have no parameters at
# all. This one is from the web, and it has the fault of "Debug it" and two others. Repair it.


# %%
# Exercise 7.6
def shortcut_from_the_web(x, filters, stride):
    """A shortcut without parameters: a tensor (batch, ceil(H / stride), ceil(W / stride),
    filters) of a tensor x (batch, H, W, C).

    Every stride-th row and every stride-th column of x, beginning with the first of each; then
    filters - C channels of zeros behind the C channels of x.
    filters, stride: whole numbers >= 1.
    Raises ValueError where filters is less than C; its message names both numbers.
    Example: shortcut_from_the_web(np.ones((1, 4, 4, 1)), 3, 2) has the shape (1, 2, 2, 3).
    """
    ### BEGIN SOLUTION
    missing = filters - x.shape[-1]
    if missing < 0:
        raise ValueError(f"{filters} filters are fewer than the {x.shape[-1]} channels of x")
    return ops.pad(x[:, ::stride, ::stride], [(0, 0), (0, 0), (0, 0), (0, missing)])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import numpy as np
from keras import ops

ex = exercise("7.6", start="as_found")
ex.hints(
    "Call it on a small x whose numbers you can follow, such as np.arange(16.0).reshape(1, 4, 4, 1), with stride 2.",
    "Which rows and columns does `[:height, :width]` take? And how many channels are there, at most, after x and "
    "as many"
    "zeros are joined?",
    "A slice with a step takes every stride-th row. `ops.pad` adds zeros behind the last axis, as many as are missing.",
)


@ex.cases
def _(rng):
    def case(shape, filters, stride):
        return (rng.integers(-9, 10, shape) / 8).astype("float32"), filters, stride

    yield np.ones((1, 4, 4, 1), "float32"), 3, 2
    yield case((1, 5, 4, 2), 2, 1)
    yield case((2, 5, 6, 2), 3, 2)
    yield case((1, 7, 4, 1), 4, 3)
    yield case((1, 1, 1, 2), 5, 2)
    yield case((1, 2, 3, 2), 7, 1)
    yield case((1, 3, 2, 3), 2, 1)
    yield case((1, 4, 4, 5), 1, 2)
    for _ in range(6):
        shape = tuple(int(n) for n in rng.integers((1, 2, 2, 1), (3, 7, 7, 4)))
        yield case(shape, shape[-1] + int(rng.integers(0, 5)), int(rng.integers(1, 4)))


@ex.oracle
def _(x, filters, stride):  # number by number
    count, height, width, channels = x.shape
    if filters < channels:
        raise naming(ValueError, filters, channels)
    output = np.zeros((count, -(-height // stride), -(-width // stride), filters), "float32")
    for n, u, v, c in np.ndindex(output.shape):
        output[n, u, v, c] = x[n, u * stride, v * stride, c] if c < channels else 0
    return output


def ends(x, stride):
    return -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def widened(x, filters, behind=True, strict=True):
    missing = filters - x.shape[-1]
    if strict and missing < 0:
        raise ValueError(f"{filters} filters, {x.shape[-1]} channels")
    zeros = np.zeros((*x.shape[:3], max(missing, 0)), "float32")
    return np.concatenate([x, zeros] if behind else [zeros, x], axis=-1)[..., :filters]


@ex.wrong
def as_found(x, filters, stride):
    """Three faults: it takes a corner of x in place of every stride-th row and column, it has no more than 2C channels,
    and it drops channels in silence where filters is less than C."""
    height, width = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    x = x[:, :height, :width]
    return ops.concatenate([x, ops.zeros_like(x)], axis=-1)[..., :filters]


@ex.wrong
def corner(x, filters, stride):
    """It still takes the top left corner of x, not every stride-th row and column of all of it."""
    height, width = ends(x, stride)
    return widened(x[:, :height, :width], filters)


@ex.wrong
def twice_at_most(x, filters, stride):
    """It joins as many zeros as there are channels, so where filters is more than 2C, channels are missing."""
    x = np.asarray(x)[:, ::stride, ::stride]
    if filters < x.shape[-1]:
        raise ValueError(f"{filters} filters, {x.shape[-1]} channels")
    return np.concatenate([x, np.zeros_like(x)], axis=-1)[..., :filters]


@ex.wrong
def drops_channels(x, filters, stride):
    """Where filters is less than C, channels of x are dropped in silence: raise a ValueError."""
    return widened(x[:, ::stride, ::stride], filters, strict=False)


@ex.wrong
def zeros_first(x, filters, stride):
    """The channels of zeros stand in front of those of x; they belong behind them."""
    return widened(x[:, ::stride, ::stride], filters, behind=False)


@ex.wrong
def zeros_on_both_sides(x, filters, stride):
    """Half of the zeros stand in front of the channels of x. The docstring has all of them behind."""
    missing = filters - x.shape[-1]
    if missing < 0:
        raise ValueError(f"{filters} filters, {x.shape[-1]} channels")
    sides = missing // 2, missing - missing // 2
    return np.pad(x[:, ::stride, ::stride], [(0, 0), (0, 0), (0, 0), sides])


@ex.wrong
def repeated(x, filters, stride):
    """The channels that are missing are copies of those of x; they are to be zeros."""
    if filters < x.shape[-1]:
        raise ValueError(f"{filters} filters, {x.shape[-1]} channels")
    return np.take(x[:, ::stride, ::stride], np.arange(filters) % x.shape[-1], axis=-1)


@ex.wrong
def from_the_end(x, filters, stride):
    """It takes every stride-th row and column, but begins with the second kind: begin with the first row and the first
    column."""
    late = min(stride - 1, x.shape[1] - 1), min(stride - 1, x.shape[2] - 1)
    height, width = ends(x, stride)
    rows, columns = (
        np.minimum(s + stride * np.arange(n), m - 1) for s, n, m in zip(late, (height, width), x.shape[1:3])
    )
    return widened(np.asarray(x)[:, rows][:, :, columns], filters)


@ex.wrong
def rows_only(x, filters, stride):
    """The stride holds for columns too: only the rows are thinned out, and the columns are cut off."""
    return widened(x[:, ::stride, : ends(x, stride)[1]], filters)


@ex.wrong
def averaged(x, filters, stride):
    """Windows of stride × stride pixels are averaged. The docstring asks for single rows and columns."""
    height, width = ends(x, stride)
    parts = [
        [x[:, u * stride : (u + 1) * stride, v * stride : (v + 1) * stride].mean((1, 2)) for v in range(width)]
        for u in range(height)
    ]
    return widened(np.array(parts, "float32").transpose(2, 0, 1, 3), filters)


@ex.right
def by_matrix(x, filters, stride):
    channels = x.shape[-1]
    if channels > filters:
        raise ValueError(f"there are {channels} channels and only {filters} filters")
    x = ops.take(ops.take(x, list(range(0, x.shape[1], stride)), axis=1), list(range(0, x.shape[2], stride)), axis=2)
    return ops.matmul(x, np.eye(channels, filters))


# %%
check("7.6", shortcut_from_the_web)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | parameters | $\sum (k^2 C/Q + 1) N + \sum 4C$ | (7.1) |
# | multiply-adds | $\sum H_o W_o\, k^2\, (C/Q)\, N$ | (7.2) |
# | $m$ layers of 3 × 3 for one that sees as much | cost $9m/(2m+1)^2$ of it | (7.3) |
# | without an activation between them | $(I \star K_1) \star K_2 = I \star (K_1 * K_2)$ | (7.4) |
# | bottleneck | costs $C_b/(k^2 N) + C_b/C$ of the wide layer | (7.5) |
# | Inception module | four paths, joined; its parameters | (7.6) |
# | residual block | $h_l = h_{l-1} + R_l(h_{l-1})$ | (7.7) |
# | its Jacobian | $\mathrm{Id} + R_l'$ | (7.8) |
# | many of them | $\prod_l (\mathrm{Id} + R_l')$, a sum over $2^M$ paths | (7.9) |
# | dense block, channels read by layer $l$ | $C_0 + G(l-1)$ | (7.10) |
# | its weights | $4G\,(C_0 m + G m(m-1)/2) + 36\,G^2 m$ | (7.11) |
# | the papers' networks | 7 to 138 million parameters | (7.12) |
#
# ## References
#
# - Balduzzi et al., *The shattered gradients problem: if resnets are the answer, then what is the question?*, 2017.
# - He, Zhang, Ren, Sun, *Deep residual learning for image recognition*, 2016, arXiv:1512.03385 (2016a in the text).
# - He, Zhang, Ren, Sun, *Identity mappings in deep residual networks*, 2016, arXiv:1603.05027 (2016b).
# - Hu, Shen, Sun, *Squeeze-and-excitation networks*, 2018, arXiv:1709.01507.
# - Huang, Liu, van der Maaten, Weinberger, *Densely connected convolutional networks*, 2017, arXiv:1608.06993.
# - Ioffe, Szegedy, *Batch normalization: accelerating deep network training by reducing internal covariate shift*,
#   2015.
# - Krizhevsky, Sutskever, Hinton, *ImageNet classification with deep convolutional neural networks*, 2012.
# - Lin, Chen, Yan, *Network in network*, 2013, arXiv:1312.4400.
# - Russakovsky et al., *ImageNet large scale visual recognition challenge*, 2015, arXiv:1409.0575.
# - Simonyan, Zisserman, *Very deep convolutional networks for large-scale image recognition*, 2015, arXiv:1409.1556.
# - Szegedy et al., *Going deeper with convolutions*, 2015, arXiv:1409.4842.
# - Veit, Wilber, Belongie, *Residual networks behave like ensembles of relatively shallow networks*, 2016.
# - Yang et al., *A mean field theory of batch normalization*, 2019.
# - Zagoruyko, Komodakis, *Wide residual networks*, 2016, arXiv:1605.07146.
