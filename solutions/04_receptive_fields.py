# %% [raw]
# title: Pooling, receptive fields, hierarchy
# part: II. Convolution
# minutes: 150
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - activation functions
#   - softmax and cross-entropy
#   - backpropagation
#   - Adam
#   - initialisation
#   - batch normalisation
#   - cross-correlation and convolution
#   - output size, stride, padding and dilation
#   - channels
#   - parameters and multiply-adds of a layer
#   - translation equivariance
# teaches:
#   - receptive field, jump and offset
#   - max and average pooling
#   - invariance against equivariance
#   - global pooling
#   - effective receptive field
#   - feature hierarchy
#   - linear readout of a layer
# data: [MNIST, CIFAR-10]
# terms:
#   - term: unit
#     means: one number in a layer's output, at one place of one channel
#     zh: 单元
#   - term: receptive field
#     means: the part of the image that a unit can depend on; also its size along one axis
#     zh: 感受野
#     symbol: $r$
#   - term: jump
#     means: how many pixels lie between what two neighbouring units see; the product of all strides so far
#     zh: 累积步幅
#     symbol: $J$
#   - term: offset
#     means: the first pixel that unit 0 sees, negative where that pixel is padding
#     zh: 起始偏移
#     symbol: $a$
#   - term: max pooling
#     means: of each window of each channel, keep the largest number
#     zh: 最大池化
#   - term: average pooling
#     means: of each window of each channel, keep the mean
#     zh: 平均池化
#   - term: translation invariance
#     means: move the input, and the output stays as it was
#     zh: 平移不变性
#   - term: global pooling
#     means: pooling with one window, which is the whole feature map
#     zh: 全局池化
#   - term: effective receptive field
#     means: the part of the receptive field from which most of the gradient comes
#     zh: 有效感受野
#   - term: feature hierarchy
#     means: the order in which the layers' features go from edges and colours to parts and objects
#     zh: 特征层次
#   - term: dead channel
#     means: a feature map that is 0 on every image, behind a ReLU that no input opens
#     zh: 死亡通道
#   - term: purity
#     means: of the images with a channel's highest activations, the share of the most frequent class
#     zh: 纯度
#   - term: linear probe
#     means: a linear classifier on a layer's features, trained to find out what can be read from them
#     zh: 线性探针
# symbols:
#   '$l$': 'number of a layer, counted from 1; 0 is the image'
#   '$m$': 'number of layers of a stack'
#   '$\delta$': 'gradient of the loss with respect to the output of a layer (`delta`)'
# sources:
#   - "Sherrington, The integrative action of the nervous system, 1906"
#   - "Hartline, The response of single optic nerve fibers of the vertebrate eye, 1938"
#   - "Hubel & Wiesel, Receptive fields [...] in the cat's visual cortex, 1962"
#   - "Fukushima, Neocognitron, 1980"
#   - "Scherer, Müller & Behnke, Evaluation of pooling operations in convolutional architectures, 2010"
#   - "Lin, Chen & Yan, Network in network, 2013"
#   - "Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014"
#   - "Girshick, Donahue, Darrell & Malik, Rich feature hierarchies for accurate object detection, 2014"
#   - "Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, 2015"
#   - "Luo, Li, Urtasun & Zemel, Understanding the effective receptive field, 2016"
#   - "Yu & Koltun, Multi-scale context aggregation by dilated convolutions, 2016"
#   - "Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016"
#   - "Radenović, Tolias & Chum, Fine-tuning CNN image retrieval with no human annotation, 2019"
#   - "Azulay & Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?, 2019"
#   - "Araujo, Norris & Sim, Computing receptive fields of convolutional neural networks, 2019"

# %% [markdown]
# Cover the figure with your hand. Each strip of four shows the middle of one image, first through a window of 3 × 3
# pixels, then of 8, 16 and 32. Uncover them from left to right: where do you know what it is?

# %% tags=["aside"]
# @title Imports and settings
import re
from functools import cache
from itertools import product
from typing import NamedTuple

from course import ask, budget, check, claim, data, gradient, plots, predict, prove, record, seed, start, sweep

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

rng = start("04")  # seeds everything from COURSE_SEED and sets the style of the figures

# %% tags=["aside"]
# @title Draws figure 4.1
photos = data.cifar10()
examples = [photos.x_test[photos.y_test == label][0] for label in (0, 1, 3, 5, 7, 8)]
names = [photos.classes[label] for label in (0, 1, 3, 5, 7, 8)]

figure, axes = plt.subplots(3, 9, figsize=(8.6, 3.3), width_ratios=[1, 1, 1, 1, 0.25, 1, 1, 1, 1])
for i, (photo, name) in enumerate(zip(examples, names)):
    group = axes[i % 3, 5 * (i // 3) :][:4]
    for axis, side in zip(group, (3, 8, 16, 32)):
        begin = 16 - side // 2
        plots.draw_image(axis, photo[begin : begin + side, begin : begin + side], f"{side} px" if i % 3 == 0 else "")
    group[3].set_ylabel(name)
    group[3].yaxis.set_label_position("right")
for axis in axes[:, 4]:
    axis.axis("off")
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 4.1. Six images, each through four windows on its middle, with its class at the right.*
#
# The first window is all that a 3 × 3 kernel ever gets to see, and nobody can name the image from it. Yet networks of
# such kernels can. So:
#
# **How do windows of three pixels come to see a whole object, how much of their field do they really use, and what
# does each depth respond to?**
#
# ## What you will be able to do
#
# - compute which pixels a unit of any stack of layers can see, and measure it on the network itself;
# - say what small kernels, strides, pooling and dilation do to that field, and what they cost;
# - route a gradient through max and average pooling;
# - tell invariance from equivariance, and see why a popular test checks the wrong one;
# - explain why a unit looks mostly at the middle of its field;
# - look into a trained network, and measure what its channels respond to.
#
# ## Which pixels does a unit see?
#
# A **unit** is one number in the output of a layer: one place in one channel. Its **receptive field** is the part of
# the image that it can depend on, a name from physiology (Sherrington, 1906; for the eye, Hartline, 1938). Stack three
# layers of 3 × 3, take one unit of the third, and walk back, along one axis. It sees three units of the second layer.
# Those see five of the first, because neighbours share what they see, and those see seven pixels.
#
# A *pooling* layer (see below) puts one number in the place of each window of two, at a stride of 2. Walk back through
# *convolution, pool, convolution, pool, convolution*: 1 unit, 3, 6, 8, 16, 18 pixels.
#
# Figure 4.2 draws such walks. `conv3` is a convolution with a kernel of 3, `conv3s2p1` has stride 2 and one zero of
# padding on each side (not always Keras's `"same"`), `conv3d4` has dilation 4, and `pool2` is a pool of 2 with stride
# 2.


# %% tags=["aside"]
# @title Reads a stack of layers from words
class Layer(NamedTuple):
    """One layer of a stack, along one axis: all whole numbers, as in (3.3)."""

    kind: str  # "conv" or "pool"
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


def read(text):
    """A stack of layers from text: words such as conv3, conv3s2p1 (stride 2, padding 1), conv3d4 (dilation 4), pool2.

    A pool's windows lie side by side (stride = size) unless you say otherwise: pool3s2. Returns a tuple of Layers.
    """
    stack = []
    for word in text.split():
        found = re.fullmatch(r"(conv|pool)(\d+)((?:[spd]\d+)*)", word)
        if not found:
            raise ValueError(f"{word!r} is no layer; write for example conv3, conv3s2p1, conv3d2 or pool2")
        kernel = int(found[2])
        said = {"s": kernel if found[1] == "pool" else 1, "p": 0, "d": 1}
        said.update((letter, int(number)) for letter, number in re.findall(r"([spd])(\d+)", found[3]))
        if min(kernel, said["s"], said["d"]) < 1:
            raise ValueError(f"{word!r}: kernel, stride and dilation must be at least 1")
        stack.append(Layer(found[1], kernel, said["s"], said["p"], said["d"]))
    return tuple(stack)


def sizes(stack, n):
    """How many units each layer has along one axis of n pixels, the image first (3.3)."""
    counts = [n]
    for depth, layer in enumerate(stack, start=1):
        covered, there = layer.dilation * (layer.kernel - 1) + 1, counts[-1] + 2 * layer.padding
        if covered > there:
            raise ValueError(f"layer {depth} covers {covered} places of its input, which has {there} with its padding")
        counts.append((there - covered) // layer.stride + 1)
    return counts


# %% tags=["aside"]
# @title Draws figure 4.2
def draw_stack(axis, text, n):
    """Draw a stack of layers as `read` takes it, above n pixels, with all that one unit of the last layer sees."""
    stack, colour = read(text), plots.COLOURS[0]
    counts, jump, field, first = sizes(stack, n), 1, 1, 0
    geometry = [(jump, field, first)]  # of each row of units, the pixels first
    for layer in stack:
        first -= layer.padding * jump
        field += layer.dilation * (layer.kernel - 1) * jump
        jump *= layer.stride
        geometry.append((jump, field, first))

    def middle(depth, place):
        jump, field, first = geometry[depth]
        return first + place * jump + (field - 1) / 2

    reached = {counts[-1] // 2: 1}  # from the place of a unit to the number of paths to the top
    for depth in range(len(stack), -1, -1):
        for place in range(counts[depth]):
            paths = reached.get(place, 0)
            face = (colour, 0.2 + 0.8 * (paths / max(reached.values()))) if paths else "#e4e4e4"
            corner, width = (middle(depth, place) - 0.42 * geometry[depth][0], depth), 0.84 * geometry[depth][0]
            axis.add_patch(Rectangle(corner, width, 0.42, fc=face, ec="#666666", lw=0.5))
        if depth:
            layer, above, reached = stack[depth - 1], reached, {}
            for place, i in product(above, range(layer.kernel)):
                tap = place * layer.stride - layer.padding + i * layer.dilation
                if 0 <= tap < counts[depth - 1]:  # else it stands on padding
                    reached[tap] = reached.get(tap, 0) + above[place]
                    ends = middle(depth - 1, tap), middle(depth, place)
                    axis.plot(ends, [depth - 0.58, depth], color="#555555", lw=0.6, ls="-")
    labels = ["pixels", *(f"{word}: {row[1]}" for word, row in zip(text.split(), geometry[1:]))]
    axis.set(xlim=(-1.5, n + 0.5), ylim=(-0.3, len(geometry) - 0.3), xticks=[])
    axis.set_yticks(np.arange(len(geometry)) + 0.21, labels)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), width_ratios=[9, 20, 15])
draw_stack(axes[0], "conv3 conv3 conv3", n=9)
draw_stack(axes[1], "conv3 pool2 conv3 pool2 conv3", n=22)
draw_stack(axes[2], "conv3 conv3d2 conv3d4", n=17)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.2. What one unit of the last layer sees (blue), along one axis. At the left, the layers and their receptive
# fields. A unit is drawn above the middle of what it sees, as wide as its jump. The darker, the more paths lead from
# there to the top.*
#
# With dilations 1, 2 and 4, three kernels of three see 15 pixels, without a hole, and as all strides are 1,
# neighbouring units still look at neighbouring pixels (Yu & Koltun, 2016).
#
# Three numbers per layer say where a field lies and how large it is (Araujo et al., 2019).
#
# The **jump** $J$, in papers also the *effective* or *cumulative stride*: how many pixels lie between what two
# neighbouring units see. A stride multiplies it.
#
# $$ J_l = s_l\, J_{l-1} = \prod_{i=1}^{l} s_i, \qquad J_0 = 1 \tag{4.1} $$
#
# The size $r$ of the receptive field: a kernel reaches from its first to its last input unit over $d(k-1)$ steps, and
# each step is a jump of the layer below.
#
# $$ r_l = r_{l-1} + d_l\,(k_l - 1)\, J_{l-1}, \qquad r_0 = 1 \tag{4.2} $$
#
# The **offset** $a$: the first pixel that unit 0 sees, negative where that pixel is padding. Unit $u$ then sees the
# pixels from $a_l + uJ_l$ to the last one at
#
# $$ a_l + u J_l + r_l - 1, \qquad a_l = a_{l-1} - p_l\, J_{l-1}, \quad a_0 = 0 \tag{4.3} $$
#
# These are bounds. In between, a dilation may leave holes, and so may a stride larger than its kernel. Before pixel 0
# and after pixel $n-1$ there is padding, with nothing to see, and a zero that pads a *hidden* layer lets nothing
# through either (exercise 4.2). For Keras's `"same"`, $p_l$ is $p_\text{before}$ of (3.5).


# %%
def trace(stack):
    """Jump, receptive field and offset of each layer, the image first: a list of (J, r, a)."""
    jump, field, offset = 1, 1, 0
    rows = [(jump, field, offset)]
    for layer in stack:
        offset = offset - layer.padding * jump
        field = field + layer.dilation * (layer.kernel - 1) * jump  # (4.2)
        jump = layer.stride * jump  # (4.1)
        rows.append((jump, field, offset))
    return rows


def window_of(stack, unit):
    """The first and the last pixel that a unit of the last layer sees."""
    jump, field, offset = trace(stack)[-1]
    return offset + unit * jump, offset + unit * jump + field - 1  # (4.3)


# %% [markdown]
# The recursion is easily got wrong, by a stride taken one layer too early, say. So ask the network itself. Make all
# weights positive, so that nothing cancels, and take a unit far from the edges: it sees a pixel exactly if its gradient
# with respect to that pixel is not zero. Keras runs two hundred random stacks of convolutions and average pools on a
# row of 400 pixels.


# %% tags=["aside"]
# @title What proofs (4.1) to (4.3) compare with
def keras_stack(x, stack):
    """x (batch, n, 1) through a stack of 1-D layers without biases, all weights 1."""
    for layer in stack:
        x = ops.pad(x, [(0, 0), (layer.padding, layer.padding), (0, 0)])
        if layer.kind == "pool":
            x = ops.average_pool(x, layer.kernel, layer.stride)
        else:  # Keras refuses a stride and a dilation at once
            ones = np.ones((layer.kernel, 1, 1), "float32")
            x = ops.conv(x, ones, strides=1 if layer.dilation > 1 else layer.stride, dilation_rate=layer.dilation)
            x = x[:, :: layer.stride] if layer.dilation > 1 else x
    return x


@cache
def influence(stack, unit, n=400):
    """The gradients of `unit` and of `unit + 1` with respect to n pixels: an array (2, n)."""

    def both(x):
        y = keras_stack(x, stack)
        return y[0, unit, 0] + y[1, unit + 1, 0]

    return ops.convert_to_numpy(gradient(both, np.ones((2, n, 1), "float32")))[..., 0]


def measured_window(stack, unit):
    seen = np.flatnonzero(influence(stack, unit)[0])
    return int(seen[0]), int(seen[-1])


def measured_field(stack, unit):
    first, last = measured_window(stack, unit)
    return last - first + 1


def measured_jump(stack, unit):
    first, second = influence(stack, unit) != 0
    return int(np.argmax(second) - np.argmax(first))


def random_stacks(count):
    """The same random stacks at each call, each with a unit in the middle of its last layer."""
    own = np.random.default_rng(seed())
    for _ in range(count):
        stack = []
        for _ in range(own.integers(1, 5)):
            k, stride, padding, dilation = (int(v) for v in own.integers((1, 1, 0, 1), (6, 3, 3, 4)))
            pool = own.random() < 0.3
            stack.append(Layer("pool", max(k, 2), 2) if pool else Layer("conv", k, stride, padding, dilation))
        yield tuple(stack), sizes(stack, 400)[-1] // 2


# %%
prove("4.1", lambda stack, unit: trace(stack)[-1][0], measured_jump, random_stacks(200), name="jump")
prove("4.2", lambda stack, unit: trace(stack)[-1][1], measured_field, random_stacks(200), name="receptive field")
prove("4.3", window_of, measured_window, random_stacks(200), name="first and last pixel")

# %% [markdown]
# **Question 4.a.** What is the receptive field of a unit in the last layer of `conv5 pool2 conv3`?

# %%
ask(
    "4.a",
    10,
    why="5 pixels, then 5 + 1 = 6 after the pool, whose stride makes the jump 2, then 6 + 2 · 2 = 10.",
    hint="Go through (4.2) layer by layer. What is the jump below the last layer?",
)

# %% [markdown]
# Now type a stack of your own. You will train the one below.

# %%
TYPED = "conv3p1 conv3p1 pool2 conv3p1 conv3p1 pool2 conv3p1 conv3p1"  # type your own


# %% tags=["aside"]
# @title Draws figure 4.3
def draw_fields(axis, photo, text):
    """Draw on an image the field of one unit of each convolution: of the one whose field lies nearest the middle."""
    stack, n = read(text), len(photo)
    plots.draw_image(axis, photo)
    low, high = -1, n
    for depth in range(len(stack), 0, -1):
        if stack[depth - 1].kind == "conv":
            windows = [window_of(stack[:depth], unit) for unit in range(sizes(stack, n)[depth])]
            first, last = min(windows, key=lambda ends: abs(sum(ends) - (n - 1)))
            side, low, high = last - first + 1, min(low, first - 1), max(high, last + 1)
            axis.add_patch(Rectangle((first - 0.5, first - 0.5), side, side, fill=False, ec="black", lw=3.5))
            axis.add_patch(Rectangle((first - 0.5, first - 0.5), side, side, fill=False, ec="white", lw=1.5))
            if side >= 8:
                box = {"fc": "black", "lw": 0, "pad": 1}
                axis.text(first, first - 0.2, side, ha="left", va="top", color="white", fontsize=8, bbox=box)
    axis.set(xlim=(low - 0.5, high + 0.5), ylim=(high + 0.5, low - 0.5))


figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.9), width_ratios=[2.1, 1])
draw_stack(axes[0], TYPED, n=32)
draw_fields(axes[1], examples[3], TYPED)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.3. Left: the stack that you typed, above 32 pixels. Right: the fields of one unit of each convolution on an
# image, with their sizes from 8 on. Where a frame leaves the image, the unit sees zeros.*
#
# The last layer's field is as wide as the image, and yet no unit sees the whole image: by (4.3) the fields begin at
# $-14 + 4u$, so each of them hangs over an edge.
#
# **Try it.** Take the pools out: how many `conv3p1` do you need for at least this field? Put both pools at the end:
# what field is left, and why? Then type `conv3d2 conv3d2` and look for the pixels that the unit cannot see.
#
# ## Why are kernels so small?
#
# A single kernel of 7 × 7 sees as much as three layers of 3 × 3. VGG is built from the latter (Simonyan & Zisserman,
# 2015). With $C$ channels in and out, and without biases, $m$ layers of 3 × 3 at stride 1 see $2m+1$ pixels along each
# axis by (4.2), and one layer that sees as much needs a kernel of that size:
#
# $$ 9\, m\, C^2 \quad \text{weights against} \quad (2m+1)^2\, C^2 \tag{4.4} $$
#
# For $m = 2$ that is 18 to 25, for $m = 3$ it is 27 to 49, in units of $C^2$; and each small layer has an activation
# function. The saving comes from the second dimension: on a row of pixels it would be $3m$ against $2m+1$, and the
# large kernel would be the cheaper one. That is the control of the claim.


# %%
def weights_for(m, channels):
    """Weights of m layers of 3 x 3, and of one layer that sees as much (4.4)."""
    return 9 * m * channels**2, (2 * m + 1) ** 2 * channels**2  # (4.4)


# %% tags=["aside"]
# @title What proof (4.4) and claim 4.1 compare with
def small_and_large(m, channels, axes=2):
    """Two Keras models without biases, on 2m + 5 pixels: m layers of size 3, and one whose kernel covers 2m + 1. axes:
    2 for images, 1 for rows of pixels."""
    conv, shape = [layers.Conv1D, layers.Conv2D][axes - 1], keras.Input((2 * m + 5,) * axes + (channels,))
    small = [conv(channels, 3, use_bias=False, activation="tanh") for _ in range(m)]
    large = [conv(channels, 2 * m + 1, use_bias=False, activation="tanh")]
    return keras.Sequential([shape, *small]), keras.Sequential([shape, *large])


def keras_weights_for(m, channels):
    return tuple(model.count_params() for model in small_and_large(m, channels))


def as_much_for_less(axes):
    """Whether two small layers see 5 pixels along each axis, three see 7, and both have fewer weights than the large
    layer. What the unit in the middle sees is measured: the pixels with a gradient, two from each edge."""
    fine, middle = True, (0,) + (2,) * axes
    for m in (2, 3):
        pair, wanted = small_and_large(m, 8, axes), np.zeros((2 * m + 5,) * axes, bool)
        wanted[(slice(2, 2 * m + 3),) * axes] = True
        for model in pair:
            x = rng.normal(size=(1, *model.input_shape[1:])).astype("float32")
            change = gradient(lambda x, model=model: ops.sum(model(x)[middle]), x)
            fine = fine and np.array_equal(ops.convert_to_numpy(change)[0].any(axis=-1), wanted)
        fine = fine and pair[0].count_params() < pair[1].count_params()
    return fine


# %%
prove("4.4", weights_for, keras_weights_for, cases=((m, c) for m in (1, 2, 3, 4) for c in (1, 3, 16)))

# %%
claim(
    "4.1",
    "two 3 × 3 layers see 5 × 5 pixels and three see 7 × 7, with fewer weights than one layer that sees as much",
    as_much_for_less(axes=2),
    control=as_much_for_less(axes=1),
)

# %% [markdown]
# ## Pooling
#
# A pooling layer lays a window over each channel, mostly of 2 × 2 pixels and side by side, and keeps one number of
# each: the largest (**max pooling**) or the mean (**average pooling**). It has no weights and mixes no channels:
#
# $$ \begin{aligned} F_\text{max}(u, v, c) &= \max_{0 \le i,j < k} I(us + i,\, vs + j,\, c), \\
#    F_\text{avg}(u, v, c) &= \frac{1}{k^2} \sum_{i=0}^{k-1} \sum_{j=0}^{k-1} I(us + i,\, vs + j,\, c)
#    \end{aligned} \tag{4.5} $$
#
# Say $\delta(u, v)$, the gradient of the loss with respect to the output, has arrived from above. Average pooling
# weighs each pixel of the window by $1/k^2$, so each gets the same share. Max pooling depends on one pixel only, which
# gets everything: to change any other a little would change nothing. For one channel, windows side by side ($s = k$)
# and no ties:
#
# $$ \frac{\partial L}{\partial I(uk + i,\, vk + j)} = \begin{cases}
#    \delta(u, v) & \text{max, at its pixel} \\
#    0 & \text{max, elsewhere} \\
#    \delta(u, v) / k^2 & \text{average} \end{cases} \tag{4.6} $$
#
# Windows may overlap, as in `MaxPooling2D(3, strides=2, padding="same")`; a pixel then adds up what it gets from each.
# Where pixels tie, Keras on TensorFlow and a CPU gives all to the first. Which kind is better? In Scherer et al. (2010)
# the maximum won, but against an average with a trainable factor, a bias and a tanh. Fukushima's Neocognitron (1980)
# stacks convolutions and pools in turn, after the cat's visual cortex (Hubel & Wiesel, 1962).


# %%
def pool(x, k, stride, kind):
    """Pooling (4.5) of x (H, W, C), kind "max" or "average": an array (Ho, Wo, C)."""
    windows = sliding_window_view(x, (k, k), axis=(0, 1))[::stride, ::stride]
    return windows.max(axis=(3, 4)) if kind == "max" else windows.mean(axis=(3, 4))  # (4.5)


def unpool(x, delta, k, kind):
    """The gradient (4.6) with respect to x (H, W), for windows of k x k side by side; delta (H // k, W // k)."""
    spread = np.kron(delta, np.ones((k, k)))  # each number of delta, over its window
    covered = x[: len(spread), : spread.shape[1]]  # pixels that no window reaches get nothing
    if kind == "max":
        largest = np.kron(pool(x[..., None], k, k, "max")[..., 0], np.ones((k, k)))
        share = covered == largest
    else:
        share = 1 / k**2
    result = np.zeros(x.shape)
    result[: len(spread), : spread.shape[1]] = spread * share  # (4.6)
    return result


# %% tags=["aside"]
# @title Draws figure 4.4
small = np.array([[1, 3, 2, 0], [5, 2, 1, 1], [0, 1, 7, 4], [2, 6, 3, 8]])
delta = np.array([[4, -8], [12, 2]])
quarters = [(row, column, 2, 2) for row in (0, 2) for column in (0, 2)]
figure, axes = plt.subplots(1, 6, figsize=(9.5, 2.1), width_ratios=[4, 2.6, 2.6, 2.6, 4, 4])
plots.draw_numbers(axes[0], small, "input $I$", 16, quarters)
plots.draw_numbers(axes[1], pool(small[..., None], 2, 2, "max")[..., 0], "max", 16)
plots.draw_numbers(axes[2], pool(small[..., None], 2, 2, "average")[..., 0], "average", 16)
plots.draw_numbers(axes[3], delta, "$\\delta$ from above", 24)
plots.draw_numbers(axes[4], unpool(small, delta, 2, "max") + 0.0, "… through max", 24, quarters)
plots.draw_numbers(axes[5], unpool(small, delta, 2, "average"), "… through average", 24, quarters)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.4. Left: windows of 2 × 2 and what pooling keeps of them. Right: how both kinds of pooling hand down a
# gradient that arrives from above.*


# %% tags=["aside"]
# @title What proofs (4.5) and (4.6) compare with
def whole(*shape):
    """Random whole numbers from -5 to 5, as floats."""
    return rng.integers(-5, 6, shape).astype("float32")


def without_ties(*shape):
    """Different whole numbers in random order, of both signs."""
    return (rng.permutation(np.prod(shape)) - np.prod(shape) // 2).reshape(shape).astype("float32")


def keras_pool(x, k, stride, kind):
    layer = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[kind](k, stride)
    return layer(x[None])[0]


def automatic_unpool(x, delta, k, kind):
    layer = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[kind](k)
    delta = ops.convert_to_tensor(delta)
    return gradient(lambda x: ops.sum(layer(x)[0, ..., 0] * delta), x[None, ..., None])[0, ..., 0]


def images_to_pool(count):
    for _ in range(count):
        k, stride = (int(v) for v in rng.integers(1, 4, 2))
        yield whole(*rng.integers(4, 9, 2), 2), k, stride, ["max", "average"][rng.integers(2)]


def gradients_to_route(count):
    for _ in range(count):
        k, (height, width) = int(rng.integers(1, 4)), rng.integers(4, 9, 2)
        yield without_ties(height, width), whole(height // k, width // k), k, ["max", "average"][rng.integers(2)]


# %%
prove("4.5", pool, keras_pool, cases=images_to_pool(100))
prove("4.6", unpool, automatic_unpool, cases=gradients_to_route(100), name="gradient through pooling")

# %% [markdown]
# **Try it.** A strided convolution shrinks an image too. Which weights make it average pooling? Can any make it max
# pooling?
#
# ## Does pooling make features stand still?
#
# A convolution is equivariant: when the image moves, the output moves. The answer "cat" should not change at all, which
# is **translation invariance**. Pooling is said to bring some of it: if the largest number of a window moves by a
# pixel, it is often still in the window.
#
# Try it, against the plain alternative: keep every second pixel, and drop the others. Take cut-outs of 24 pixels from
# the colour images, move the camera to the right pixel by pixel, and pass the views through two rounds of convolution
# (16 random kernels, then ReLU) and shrinking. The control keeps one pixel of each window too, at a random place. The
# yardstick is the distance between the features of two *different* images.


# %%
def shrink(x, kind):
    """x (batch, H, W, C) at half the size: one number for each window of 2 x 2."""
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    if kind == "max pooling":
        return windows.max(axis=(2, 4))
    if kind == "average pooling":
        return windows.mean(axis=(2, 4))
    if kind == "stride":
        return windows[:, :, 0, :, 0]
    u, v = np.indices((height // 2, width // 2))
    row, column = np.random.default_rng(0).integers(2, size=(2, *u.shape))  # "random pixel": the same in all views
    return windows[:, u, row, v, column]


def distances(some, others):
    return np.sqrt(np.square(some - others).sum(axis=(1, 2, 3)))


def change_by_moving(convolutions, kind):
    """How far the features change as the camera moves by 0 to 8 pixels, and the distance between two images."""
    features = []
    for move in range(9):
        x = views[:, 4:28, move : move + 24]
        for convolution in convolutions:
            x = shrink(ops.convert_to_numpy(convolution(x)), kind)
        features.append(x)
    yardstick = distances(features[0], np.roll(features[0], 1, axis=0)).mean()
    return [distances(f, features[0]).mean() for f in features], yardstick


# %%
views = photos.x_test[: budget(quick=200, full=2000, least=50)].astype("float32") / 255 - 0.5
draws = [[layers.Conv2D(16, 3, padding="same", activation="relu") for _ in range(2)] for _ in range(5)]
distance, change = {}, {}
for kind in ("stride", "max pooling", "average pooling", "random pixel"):
    moved, yardsticks = zip(*(change_by_moving(convolutions, kind) for convolutions in draws))
    distance[kind] = np.array(moved)  # (draws, moves)
    change[kind] = distance[kind] / np.array(yardsticks)[:, None]
for kind in ("max pooling", "average pooling"):
    plain, relative = ((by[kind][:, 1] / by["stride"][:, 1]).mean() for by in (distance, change))
    print(f"a move by 1 pixel, {kind} over stride: {plain:.2f}; in units of the yardstick: {relative:.2f}")

# %% tags=["aside"]
# @title Draws figure 4.5
figure, axis = plt.subplots(figsize=(7, 3.4))
plots.draw_curves(axis, change, "the camera moves by so many pixels", "change of the features", x=range(9))
axis.set(ylim=(0, 0.9))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.5. How much the features change when the camera moves, as a share of the distance between two images: mean,
# lowest and highest of five draws of the kernels.*


# %%
def steadier(kind, part):
    """Whether, for each draw of the kernels, a move by one pixel changes less than this part of what striding does."""
    return np.all(change[kind][:, 1] < part * change["stride"][:, 1])


claim(
    "4.2",
    "in units of the distance between two images, a move by one pixel changes max-pooled features by less than 0.9, "
    "average-pooled ones by less than 0.6 of what it changes strided ones",
    steadier("max pooling", 0.9) and steadier("average pooling", 0.6),
    control=steadier("random pixel", 0.9),
)

# %% [markdown]
# The yardstick matters. In plain distance only the average is steadier: max-pooled features move about as far as
# strided ones, but the features of two images lie further apart. And the lead shrinks as the camera moves on. Azulay
# and Weiss (2019) found deep networks that change their minds about a photograph moved by one pixel: for one thing,
# layers subsample without asking what gets lost between the pixels that they keep (chapter 05).
#
# To be invariant, take a window that nothing can leave: the whole feature map. **Global pooling** keeps one number of
# each channel, the mean (Lin et al., 2013) or the maximum over all places. Write $T$ for a
# move by a multiple of the stride, which divides the size, with wrap-around edges, $f$ for any function of single
# numbers, and $\operatorname{gp}$ for global pooling:
#
# $$ \begin{gathered}
#    \operatorname{gp}\bigl(f\bigl((T I) \star K\bigr)\bigr) = \operatorname{gp}\bigl(f(I \star K)\bigr), \\
#    \operatorname{gp}(F) = \frac{1}{H_o W_o} \sum_{u, v} F(u, v) \;\text{ or }\; \max_{u, v} F(u, v)
#    \end{gathered} \tag{4.7} $$
#
# (3.14) says that a move of the image moves $I \star K$; $f$ acts at each place alone; and global pooling forgets the
# place. With zeros at the edges it holds as long as what moves, on a black ground, stays clear of the edge by the
# receptive field. For a stack, the move must be a multiple of its jump.


# %%
def globally_pooled(image, kernel, down, right, stride):
    """The mean and the maximum of the rectified features of an image that is moved by multiples of the stride (4.7)."""
    moved = np.roll(image, (stride * down, stride * right), axis=(0, 1))
    wrapped = np.pad(moved, [(k // 2, k // 2) for k in kernel.shape], mode="wrap")
    features = ops.relu(ops.conv(wrapped[None, ..., None], kernel[..., None, None], strides=stride))
    return ops.mean(features), ops.max(features)  # (4.7)


# %% tags=["aside"]
# @title What proof (4.7) compares with
def scipy_unmoved(image, kernel, down, right, stride):
    features = np.maximum(ndimage.correlate(image, kernel, mode="wrap")[::stride, ::stride], 0)
    return features.mean(), features.max()


def moves(count):
    for _ in range(count):
        stride, k = int(rng.integers(1, 4)), 2 * int(rng.integers(0, 3)) + 1
        yield whole(*(stride * rng.integers(3, 7, 2))), whole(k, k), *(int(v) for v in rng.integers(0, 9, 2)), stride


# %%
prove("4.7", globally_pooled, scipy_unmoved, cases=moves(100))

# %% [markdown]
# **Question 4.b.** An image of 32 × 32 moves by two pixels, wrapping round. Which output does **not** change, whatever
# the image? "A": that of 2 × 2 max pooling with stride 2. "B": the same, then global average pooling. "C": 4 × 4 max
# pooling with stride 4, then global average pooling.

# %%
ask(
    "4.b",
    "B",
    choices=("A", "B", "C"),
    why="The pooled map moves by one place, and the mean over all places does not notice.",
    hint="By how many places does each pooled map move? By a whole number of them?",
)

# %% [markdown]
# ## How much of its field does a unit use?
#
# In Figure 4.2 the pixel in the middle of the field is dark and those at its ends are pale. For three layers of 3, the
# seven pixels have 1, 3, 6, 7, 6, 3 and 1 paths to the top. A path is a choice of one tap in each layer, and where it
# ends is a sum of independent steps. Draw a path at random, all being equally likely, and the variances of the steps
# add up. A tap is one of $0, 1, \dots, k-1$, which has variance $(k^2-1)/12$, and a step is $d_l J_{l-1}$ pixels long.
# So for the pixel $x$ where a path through $m$ layers ends:
#
# $$ \mathrm{Var}[x] = \sum_{l=1}^{m} \bigl(d_l\, J_{l-1}\bigr)^2\, \frac{k_l^2 - 1}{12} \tag{4.8} $$
#
# For equal layers at stride 1 the standard deviation $\sqrt{m\,(k^2-1)/12}$ grows as the *square root* of depth, while
# the field $r = m(k-1)+1$ grows with depth itself.
#
# A gradient adds up, over all paths, the product of the weights on the path. If all weights are 1, it *is* the number
# of paths: so (4.8) is held against Keras's gradients for the two hundred stacks. If they are independent, with mean 0
# and one variance for each layer, and there is no activation function, the products of different paths cancel on
# average in the *square* of the gradient, which is then proportional to the number of paths (Luo et al., 2016).


# %%
def spread_of(stack):
    """The standard deviation, in pixels, of where a path ends: the root of (4.8)."""
    jumps = [row[0] for row in trace(stack)]
    variances = [(la.dilation * jump) ** 2 * (la.kernel**2 - 1) / 12 for la, jump in zip(stack, jumps)]
    return np.sqrt(sum(variances))  # (4.8)


# %% tags=["aside"]
# @title What proof (4.8) compares with
def measured_spread(stack, unit):
    share, pixel = influence(stack, unit)[0].astype(float), np.arange(400)
    mean = np.sum(share * pixel) / share.sum()
    return np.sqrt(np.sum(share * (pixel - mean) ** 2) / share.sum())


# %%
prove("4.8", lambda stack, unit: spread_of(stack), measured_spread, random_stacks(200), name="spread of the field")

# %% [markdown]
# Real networks have many channels and ReLUs. So measure: random networks with eight channels and ReLU, on random images
# as large as the receptive field. For each pixel, take its share in the squared gradient of what is left at the top,
# averaged over draws of the weights, which all count alike. The **effective receptive field** is the part where it is
# not negligible; say, the smallest centred square that holds nine tenths of it. One kind of network has 2 to 32 layers
# of 3 × 3. The other has a 2 × 2 max pool after each of 1 to 5.


# %%
def squared_gradient(stack, draws):
    """The share of each pixel of the receptive field in the squared gradient of random networks: (r, r)."""
    side, shares = trace(stack)[-1][1], []
    for _ in range(draws):
        widths = [3] + [8] * (len(stack) - 1)
        kernels = [rng.normal(0, np.sqrt(2 / (9 * c)), (3, 3, c, 8)).astype("float32") for c in widths]  # He et al.
        weights = rng.normal(size=8).astype("float32")  # of the eight channels at the one place that is left

        def top(x, kernels=kernels, weights=weights):
            for layer, kernel in zip(stack, kernels):
                x = ops.relu(ops.conv(x, kernel)) if layer.kind == "conv" else ops.max_pool(x, 2)
            return ops.sum(x * weights)

        images = rng.normal(size=(8, side, side, 3)).astype("float32")
        squares = np.square(ops.convert_to_numpy(gradient(top, images))).sum(axis=(0, 3))
        if squares.any():  # else the network is 0 on all images
            shares.append(squares / squares.sum())
    return np.mean(shares, axis=0)


def effective_side(share, part=0.9):
    """The side of the smallest centred square that holds this part of a map (n, n), which sums to 1."""
    n = len(share)
    cuts = [cut for cut in range((n + 1) // 2) if share[cut : n - cut, cut : n - cut].sum() >= part]
    return n - 2 * max(cuts)


def spread_along(share):
    """The standard deviation of a map along its two axes, averaged as variances."""
    place, lines = np.arange(len(share)), [share.sum(axis=axis) for axis in (0, 1)]
    return np.sqrt(np.mean([line @ place**2 - (line @ place) ** 2 for line in lines]))


# %%
stacks = {
    "3 × 3 only": [read("conv3 " * depth) for depth in (2, 4, 8, 16, 32)],
    "3 × 3 and pool": [read("conv3 pool2 " * rounds) for rounds in (1, 2, 3, 4, 5)],
}
maps, field, effective = {}, {}, {}
for name, group in stacks.items():
    draws = budget(quick=256, full=1024, least=32)  # over the layers: more of the shallow networks, which vary more
    maps[name] = [squared_gradient(stack, draws // len(stack)) for stack in group]
    field[name] = np.array([len(share) for share in maps[name]])
    effective[name] = np.array([effective_side(share) for share in maps[name]])
    share = effective[name][-1] / field[name][-1]
    print(f"{name}: of the last network's field, {field[name][-1]} pixels, {share:.2f} is effective")

# %% tags=["aside"]
# @title Draws figure 4.6
figure = plt.figure(figsize=(9.5, 3.7))
grid = figure.add_gridspec(2, 4, width_ratios=[1, 1, 1.9, 1.9])
for i, (stack, share) in enumerate(list(zip(stacks["3 × 3 only"], maps["3 × 3 only"]))[:4]):
    axis = figure.add_subplot(grid[i // 2, i % 2])
    axis.imshow(np.sqrt(share), cmap="Greys")
    plots.frame(axis)
    axis.set_title(f"{len(stack)} layers, {len(share)} px", fontsize=9)
used, spread = figure.add_subplot(grid[:, 2]), figure.add_subplot(grid[:, 3])
used.plot([3, 100], [3, 100], color="black", ls=":", lw=1)
used.text(9, 11, "the whole field", rotation=38, ha="center", fontsize=8)
for (name, group), marker, line in zip(stacks.items(), "os", ("-", "--")):
    used.plot(field[name], effective[name], marker=marker, ls=line, label=name)
    measured = [spread_along(share) for share in maps[name]]
    spread.plot([spread_of(stack) for stack in group], measured, marker=marker, ls="", label=name)
spread.plot([0.8, 20], [0.8, 20], color="black", ls=":", lw=1)
used.set(xlabel="receptive field, by (4.2)", ylabel="side of the effective field", ylim=(3, 160))
spread.set(xlabel="spread, by (4.8)", ylabel="spread, measured", ylim=(0.8, 32))
for axis, ticks in ((used, [5, 10, 20, 40, 80]), (spread, [1, 2, 4, 8, 16])):
    axis.set(xscale="log", yscale="log", xticks=ticks, yticks=ticks, xticklabels=ticks, yticklabels=ticks)
    axis.minorticks_off()
    axis.legend(loc="upper left", fontsize=9)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.6. Left: the root of the mean share in the squared gradient, for 3 × 3 layers, over the whole receptive
# field. Middle: the square that holds nine tenths of it; on the dotted line a unit would use all of its field. Right:
# the standard deviation along one axis.*


# %%
def falls_behind(name):
    """Whether the effective field is above 0.75 of the field for the second network, and below 0.35 for the last."""
    share_used = effective[name] / field[name]
    return share_used[-1] < 0.35 < 0.75 < share_used[1]


claim(
    "4.3",
    "with 3 × 3 layers only, the effective field is above 0.75 of the field of 9 pixels at 4 layers, and below 0.35 of "
    "the field of 65 at 32",
    falls_behind("3 × 3 only"),
    control=falls_behind("3 × 3 and pool"),
)

# %%
measured = np.array([spread_along(share) for share in maps["3 × 3 only"]])
evenly_used = np.sqrt((field["3 × 3 only"] ** 2 - 1) / 12)  # if each pixel of the field counted alike
claim(
    "4.4",
    "(4.8), which counts paths, predicts the spread in random ReLU networks of 2 to 32 layers to within 4 %",
    np.allclose([spread_of(stack) for stack in stacks["3 × 3 only"]], measured, rtol=0.04),
    control=np.allclose(evenly_used, measured, rtol=0.04),
)

# %% [markdown]
# So the receptive field is an upper bound, and for many small kernels a generous one: plan for a field well beyond the
# object. With pools in between it does not fall behind, even where it is larger: in (4.8) each round counts four times
# as much as the one before, so spread and field double together.
#
# **Question 4.c.** A stack of 3 × 3 layers at stride 1 is made four times as deep. By what factor does the spread of
# (4.8) grow?

# %%
ask(
    "4.c",
    2,
    why="The root of 4. The field itself grows about four times.",
    hint="The standard deviation for m equal layers stands below (4.8). Replace m by 4m.",
)

# %% [markdown]
# ## Look inside: what each depth responds to
#
# Time to train the stack of Figure 4.3 on colour images. Every convolution is followed by batch normalisation and ReLU,
# the channels double where the image shrinks, and at the top are global average pooling and ten logits. There are two
# controls. One is not trained. The other is, but its kernels after the first are 1 × 1: as deep and as wide, but with 6
# pixels to see instead of 32 (and with fewer weights).


# %%
def conv_block(x, channels, kernel):
    """Convolution, batch normalisation, ReLU; the image keeps its size."""
    x = layers.Conv2D(channels, kernel, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x)


def network(kernel=3):
    """A classifier of images (32, 32, 3) from 0 to 255, and a model that puts out its six feature maps.

    kernel: size of the kernels of all convolutions but the first."""
    inputs = keras.Input((32, 32, 3))
    x, maps = layers.Rescaling(1 / 64, offset=-2)(inputs), []
    for channels in (16, 32, 64):
        x = layers.MaxPooling2D(2)(x) if maps else x
        for _ in range(2):
            x = conv_block(x, channels, kernel if maps else 3)
            maps.append(x)
    logits = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, logits), keras.Model(inputs, maps)


STACK = read("conv3p1 conv3p1 pool2 conv3p1 conv3p1 pool2 conv3p1 conv3p1")  # the same, for `trace`

# %%
x_train, y_train = (part[: budget(quick=3500, full=50000, least=500)] for part in (photos.x_train, photos.y_train))
x_test, y_test = (part[: budget(quick=2000, full=10000, least=500)] for part in (photos.x_test, photos.y_test))
epochs = budget(quick=4, full=30, least=1)
feature_maps, accuracy = {}, {}
for name, kernel, count in (("trained", 3, 2), ("trained, 1 × 1", 1, 1)):
    networks = [network(kernel) for _ in range(count)]
    for net, _ in networks:
        rate = keras.optimizers.schedules.CosineDecay(0.002, epochs * len(x_train) // 32)  # falls from 0.002 to 0
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        net.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=0)
    accuracy[name] = [net.evaluate(x_test, y_test, batch_size=250, verbose=0)[1] for net, _ in networks]
    feature_maps[name] = [maps for _, maps in networks]
    print(f"{name}: {net.count_params():,} parameters; test accuracy", *(f"{one:.1%}" for one in accuracy[name]))
feature_maps["untrained"] = [network()[1] for _ in range(2)]

# %% [markdown]
# What does a channel respond to? Find in each test image the place of its highest activation, and cut out what is seen
# from there, by (4.3) (Zeiler & Fergus, 2014; Girshick et al., 2014).
#
# Such a gallery can deceive by the choice of what is shown, so choose by a rule. For each channel, take the 25 images
# with its highest activations: the share of the most frequent class among them is its **purity**. The figure shows the
# two purest channels of each layer (left and middle) and the least pure one (right), but no **dead channel**, which is
# 0 on every image. How pure are 25 *random* images, and how pure the best of 16, 32 or 64 such channels?


# %%
def purity(highest, labels, count=25):
    """For each channel the most frequent class among the `count` images with the highest activations, and its share.

    highest: (images, channels), the highest activation in each image. labels: (images,)."""
    top = labels[np.argsort(-highest, axis=0, kind="stable")[:count]]
    votes = [np.bincount(column, minlength=10) for column in top.T]
    return np.argmax(votes, axis=1), np.max(votes, axis=1) / count


# %%
by_chance = purity(rng.random((len(x_test), 640)), y_test)[1]
best = [by_chance.reshape(-1, channels).max(axis=1).mean() for channels in (16, 32, 64)]
print(f"purity by chance: {by_chance.mean():.0%}; the purest of 16, 32 and 64:", *(f"{one:.0%}" for one in best))


# %% tags=["aside"]
# @title Reads the activations, and draws figure 4.7
def responses(model, images):
    """What each channel of each layer responds to each image (n, 32, 32, 3).

    Returns a list with a dict for each layer: "mean", "highest" and "place", arrays (n, channels): the mean and the
    highest activation over all places, and the place of the highest, counted row by row.
    """
    found = [{"mean": [], "highest": [], "place": []} for _ in model.outputs]
    for begin in range(0, len(images), 250):
        for kept, maps in zip(found, model(images[begin : begin + 250].astype("float32"), training=False)):
            flat = ops.convert_to_numpy(maps).reshape(maps.shape[0], -1, maps.shape[3])
            kept["mean"].append(flat.mean(axis=1))
            kept["highest"].append(flat.max(axis=1))
            kept["place"].append(flat.argmax(axis=1))
    return [{name: np.concatenate(parts) for name, parts in kept.items()} for kept in found]


def patch(image, place, places, row):
    """What a unit sees of an image (H, W, 3), grey where there is none, enlarged to 64 pixels.

    place: the unit's, counted row by row with `places` in a row. row: (J, r, a) of its layer.
    """
    jump, side, first = row
    top, left = (first + p * jump + side for p in divmod(int(place), places))
    padded = np.pad(image, [(side, side), (side, side), (0, 0)], constant_values=128)
    near = np.arange(64) * side // 64
    return padded[top : top + side, left : left + side][near][:, near]


fields = [row for row, layer in zip(trace(STACK)[1:], STACK) if layer.kind == "conv"]  # (J, r, a) of each convolution
widths = [count for count, layer in zip(sizes(STACK, 32)[1:], STACK) if layer.kind == "conv"]
found = {name: [responses(model, x_test) for model in models] for name, models in feature_maps.items()}

figure, axes = plt.subplots(len(fields), 3, figsize=(9.5, 0.85 * len(fields)))
for axis_row, response, field_row, places in zip(axes, found["trained"][0], fields, widths):
    alive = np.flatnonzero(response["highest"].max(axis=0) > 0)  # the others are dead
    classes, shares = purity(response["highest"][:, alive], y_test)
    order = np.argsort(-shares, kind="stable")
    for axis, i in zip(axis_row, (order[0], order[1], order[-1])):
        channel, strip = alive[i], []
        for image in np.argsort(-response["highest"][:, channel], kind="stable")[:6]:
            strip += [patch(x_test[image], response["place"][image, channel], places, field_row)]
            strip += [np.full((64, 6, 3), 255, np.uint8)]
        axis.imshow(np.concatenate(strip, axis=1))
        axis.axis("off")
        axis.set_title(f"{photos.classes[classes[i]]} {shares[i]:.0%}", fontsize=8, loc="left", pad=2)
    axis_row[0].text(-14, 32, f"{field_row[1]} px", ha="right", va="center")
figure.tight_layout(pad=0.3)
plt.show()

# %% [markdown]
# *Figure 4.7. For three channels at each depth of the first network (rows, with the receptive field), the six patches
# with the highest activations; grey lies outside the image. Above each: the most frequent class and its share.*
#
# Go down the left and the middle column. At 3 pixels no patch could be named, and much of the purity is that of the
# best of 16. Further down the patches begin to show the same *part* of different objects, and in the last row often the
# same kind of object. This order is called a **feature hierarchy**. At the right, each depth has channels that collect
# something from many classes: training asks no unit to mean something to you.
#
# A second question: *what can be read out of a layer?* Take the mean of each channel over all places, and fit the
# simplest classifier, ten weighted sums: a **linear probe** (Alain & Bengio, 2016). It is fitted by least squares on
# one half of the test images and tried on the other, which neither the network nor the probe has seen.


# %%
def probe(features, labels):
    """The accuracy, on the second half of the images, of ten weighted sums of the features (n, channels), which are
    fitted by least squares to the labels of the first half. A small penalty keeps the weights of idle channels at 0."""
    half = len(features) // 2
    features = (features - features[:half].mean(axis=0)) / (features[:half].std(axis=0) + 1e-6)
    features = np.column_stack([np.ones(len(features)), features]).astype(float)
    wanted, known = np.eye(10)[labels[:half]], features[:half]
    fitted = np.linalg.solve(known.T @ known + 1e-2 * half * np.eye(known.shape[1]), known.T @ wanted)
    return float(np.mean((features[half:] @ fitted).argmax(axis=1) == labels[half:]))


# %%
def without_dead(highest):
    """The columns (images, channels) of the channels that are not dead."""
    return highest[:, highest.max(axis=0) > 0]


# %%
pure, read_out = {}, {}
for name, networks in found.items():  # arrays (networks, layers)
    pure[name] = np.array([[purity(without_dead(la["highest"]), y_test)[1].mean() for la in net] for net in networks])
    read_out[name] = np.array([[probe(la["mean"], y_test) for la in net] for net in networks])
grey = np.repeat(x_test.mean(axis=-1, keepdims=True), 3, axis=-1)
read_out_of_grey = [probe(responses(model, grey)[0]["mean"], y_test) for model in feature_maps["trained"]]
print("probe of the first layer:", read_out["trained"][:, 0].round(2), "in grey:", np.round(read_out_of_grey, 2))

# %% tags=["aside"]
# @title Draws figure 4.8
figure, axes = plt.subplots(1, 2, figsize=(9, 3.1))
depths = range(1, len(fields) + 1)
plots.draw_curves(
    axes[0],
    pure,
    "convolution, and its field with 3 × 3",
    "mean purity of a channel",
    levels={"chance": by_chance.mean()},
)
plots.draw_curves(
    axes[1], read_out, "convolution, and its field with 3 × 3", "accuracy of a linear probe", levels={"chance": 0.1}
)
for axis in axes:
    axis.set(xticks=depths, xticklabels=[f"{i}\n{row[1]} px" for i, row in zip(depths, fields)], ylim=(0, None))
    axis.legend(loc="upper left", fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.8. Purity of the channels (left) and accuracy of a linear probe (right) at each depth: one network with
# kernels of 1 × 1, and two of each other kind (mean, lowest, highest).*


# %%
def gain(values):
    """How much the last layer has more than the first, on average over the networks."""
    return (values[:, -1] - values[:, 0]).mean()


def most_of_controls(values):
    """The larger gain of the two controls."""
    return max(gain(values["untrained"]), gain(values["trained, 1 × 1"]))


claim(
    "4.5",
    "trained, and with 3 × 3 kernels, the last layer's channels are purer than the first one's by more than 0.15",
    gain(pure["trained"]) > 0.15,
    control=most_of_controls(pure) > 0.15,
)

# %%
claim(
    "4.6",
    "trained, and with 3 × 3 kernels, a linear probe of the last layer is more accurate than one of the first by more "
    "than 0.15",
    gain(read_out["trained"]) > 0.15,
    control=most_of_controls(read_out) > 0.15,
)

# %% [markdown]
# A field of three pixels already tells something: how much edge and light there is. With the colour taken out the probe
# is as good. The receptive field says what *can* be seen. Neither a larger one nor training alone adds as much as both
# together.
#
# And the *effective* field? Luo et al. saw it grow in training. Look at one unit near the middle of the last layer:


# %%
def spread_in_image(model):
    """The spread of the squared gradient of unit (4, 4) of the last layer, over test images."""
    change = gradient(lambda x: ops.sum(model(x, training=False)[-1][:, 4, 4]), x_test[:200].astype("float32"))
    squares = np.square(ops.convert_to_numpy(change)).sum(axis=(0, 3))
    return spread_along(squares / squares.sum())


for name in ("untrained", "trained"):
    print(f"{name}:", *(f"{spread_in_image(model):.2f}" for model in feature_maps[name]), "pixels")
print(f"by (4.8): {spread_of(STACK):.2f} pixels")

# %% [markdown]
# Here it does not: it gets smaller.
#
# ## Debug it
#
# "Convolutional networks are translation invariant", says many a page, and offers a test like this one, which prints
# True. So should a network that has learned digits at one place read them anywhere?


# %%
def is_invariant(layer, image, pixels):
    """From the web: does it make a difference whether the image is moved before the layer or after it?"""
    moved = np.roll(image, pixels, axis=1)
    return np.allclose(np.roll(layer(image), pixels, axis=1), layer(moved), atol=1e-5)


# %% [markdown]
# Train small networks on digits of 14 × 14 at one place of a wide black canvas, and move the test digits. One network
# flattens the last feature maps, the other keeps the maximum of each. The third flattens too, and trains on digits
# moved at random by 0 to 4 pixels.


# %%
def digit_reader(top, rate=0.005):
    """A small network that reads digits; `top` turns the last feature maps into a vector."""
    x = inputs = keras.Input((16, 46, 1))
    x = layers.MaxPooling2D(2)(layers.Conv2D(8, 3, activation="relu")(x))
    x = layers.Conv2D(32, 5, activation="relu")(x)  # jump 2, receptive field 12
    net = keras.Model(inputs, layers.Dense(10)(top(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return net


MOVES = range(-2, 9)  # pixels to the right


def trained_reader(top, furthest=0, rate=0.005):
    """A network trained with digits moved by 0 to `furthest` pixels."""
    net = digit_reader(top(), rate)
    shown = on_canvas(digits, rng.integers(0, furthest + 1, len(digits)))
    net.fit(shown, labels, epochs=budget(quick=4, full=8, least=1), verbose=0)
    return net


def logits_when_moved(net, moves=MOVES):
    """What the network makes of the test digits at each move: (moves, digits, 10)."""
    return np.array([predict(net, on_canvas(unseen, np.full(len(unseen), move))) for move in moves])


def accuracies(logits):
    return np.mean(np.argmax(logits, axis=-1) == unseen_labels, axis=-1)


# %% tags=["aside"]
# @title Makes the digits ready
def halved(images):
    """uint8 images (n, 28, 28) as (n, 14, 14) from 0 to 1: the means of 2 x 2 pixels."""
    return (images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255).astype("float32")


def on_canvas(images, right):
    """Images (n, 14, 14) on black canvases of 16 x 46, each moved to the right by its number of pixels."""
    canvas = np.zeros((len(images), 16, 46, 1), "float32")
    for one, image, move in zip(canvas, images, right):
        one[1:15, 13 + move : 27 + move, 0] = image
    return canvas


mnist = data.mnist()
digits, labels = (part[: budget(quick=1500, full=60000, least=500)] for part in (mnist.x_train, mnist.y_train))
unseen, unseen_labels = (part[: budget(quick=500, full=10000, least=250)] for part in (mnist.x_test, mnist.y_test))
digits, unseen = halved(digits), halved(unseen)

# %%
conv = layers.Conv2D(8, 5, padding="same")
digit = on_canvas(unseen[:1], [0])[0, ..., 0]
print(is_invariant(lambda image: ops.convert_to_numpy(conv(image[None, ..., None]))[0], digit, pixels=4))

kinds = {
    "flattened": (layers.Flatten, 0),
    "global max pooling": (layers.GlobalMaxPooling2D, 0),
    "flattened, trained on moves of 0 to 4": (layers.Flatten, 4),
}
logits, read_correctly = {}, {}
for name, (top, furthest) in kinds.items():  # arrays (networks, moves, digits, 10) and (networks, moves)
    logits[name] = np.array([logits_when_moved(trained_reader(top, furthest)) for _ in range(2)])
    read_correctly[name] = accuracies(logits[name])

# %% tags=["aside"]
# @title Draws figure 4.9
figure, axes = plt.subplots(1, 2, figsize=(9, 3.1), width_ratios=[1, 1.5])
pair = np.concatenate([on_canvas(unseen[:1], [move])[0] for move in (0, 4)])
plots.draw_image(axes[0], pair, "a test digit, moved by 0 and by 4 pixels", limits=(0, 1))
axes[0].axhline(15.5, color=plots.COLOURS[1], lw=1, ls="-")
plots.draw_curves(axes[1], read_correctly, "digits moved to the right by so many pixels", "test accuracy", x=MOVES)
axes[1].set(xticks=MOVES, ylim=(0, 1.3), yticks=np.arange(0, 1.1, 0.2))
axes[1].legend(loc="upper left", fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.9. Left: a test digit at two places. Right: test accuracy of networks with the same convolutions (two of
# each kind: mean, lowest, highest).*


# %%
def correct(name, move):
    """The accuracy of each network of a kind for digits that are moved so far."""
    return read_correctly[name][:, MOVES.index(move)]


def lost(name):
    """The accuracy lost by a move of four pixels, of each network."""
    return correct(name, 0) - correct(name, 4)


claim(
    "4.7",
    "moved by four pixels, digits take more than 0.6 from the accuracy of a network that flattens",
    lost("flattened").min() > 0.6,
    control=lost("flattened, trained on moves of 0 to 4").min() > 0.6,
)


# %%
def invariant(name):
    """Whether no logit changes for moves by multiples of the jump, and the digits in place are read correctly."""
    changes = np.abs(logits[name][:, ::2] - logits[name][:, [MOVES.index(0)]])
    return changes.max() < 1e-4 and correct(name, 0).min() > 0.75


claim(
    "4.8",
    "moved by -2 to 8 pixels, in steps of the jump 2, digits change no logit of a network with global max pooling by "
    "0.0001, and in place it classifies more than 0.75 of them correctly",
    invariant("global max pooling"),
    control=invariant("flattened"),
)


# %%
def as_far_as_shown(name):
    """Whether digits are read at moves of 0 to 4, and not at a move of 8."""
    return min(correct(name, move).min() for move in range(5)) > 0.7 and correct(name, 8).max() < 0.4


claim(
    "4.9",
    "trained on moves of 0 to 4, a network that flattens is right on more than 0.7 of the digits at each of them, and "
    "on less than 0.4 at a move of 8",
    as_far_as_shown("flattened, trained on moves of 0 to 4"),
    control=as_far_as_shown("global max pooling"),
)

# %% [markdown]
# The test moves the *output* too before it compares: that is (3.14), **equi**variance. The features of the moved digit
# are all there, four pixels further on, where a dense layer on the flattened maps has other weights. To test
# invariance, compare with the output as it was, in exercise 4.6. The globally pooled network does what (4.7) says: for
# even moves, multiples of its jump, its maxima stay as they were. For odd ones the pool in between sees other windows.
#
# The third curve is the other way to invariance: show the digits at many places. It reaches little further than the
# moves that were shown.
#
# Is it the learning rate? Each kind of network at six of them, in place → moved by 4:


# %%
TOPS = {"flatten": layers.Flatten, "max": layers.GlobalMaxPooling2D, "mean": layers.GlobalAveragePooling2D}
RATES = (0.0001, 0.0005, 0.0015, 0.005, 0.015, 0.05)


def at_rate(top, rate):
    """For `course measure --sweep`: one network at one learning rate, on digits at their place and moved."""
    keras.utils.set_random_seed(seed())
    in_place, moved = accuracies(logits_when_moved(trained_reader(TOPS[top], rate=rate), (0, 4)))
    return {"in place": in_place, "moved by 4": moved}


table = sweep("4.9", {"top": list(TOPS), "rate": RATES}, at_rate)
for rate in RATES:
    rows = [row for row in table if row["rate"] == rate]
    print(f"{rate:<7}", *(f"{row['top']:>9} {row['in place']:.2f} → {row['moved by 4']:.2f}" for row in rows))

# %% [markdown]
# No rate from 0.0001 to 0.05 helps the network that flattens. And invariance has its price: each at its best rate, the
# mean over all places is far behind flattening in place, and the maximum a little. They have forgotten where anything
# was.
#
# ## This run

# %%
record(
    test_accuracy=float(np.mean(accuracy["trained"])),
    readout_of_first_layer=read_out["trained"][:, 0].mean(),
    readout_of_last_layer=read_out["trained"][:, -1].mean(),
    field_used_at_32_layers=(effective["3 × 3 only"] / field["3 × 3 only"])[-1],
    accuracy_lost_by_flattening=lost("flattened").mean(),
)

# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use.
#
# **Exercise 4.1 ★★** Networks come as Keras layers, not as words. Read the fields of a network off its layers.


# %%
# Exercise 4.1
def receptive_fields(stack, n, axis):
    """The jump, the receptive field and the offset after each of some Keras layers, along one axis.

    stack: list of Keras layers, in the order in which an image goes through them: Conv2D,
    MaxPooling2D, AveragePooling2D, and BatchNormalization and ReLU, which look at one place
    only. Their padding is "valid" or "same"; for "same", count the zeros before the first
    pixel, p_before of (3.5). n: pixels of the image along the axis, so many that each kernel
    fits. axis: 0 for the height, 1 for the width, in which kernels and strides may differ.
    Returns a list of tuples (J, r, a) of whole numbers, one for each layer. Raises ValueError
    for a layer of another kind, with the layer's name in its message.
    Example: for [Conv2D(8, 3), ReLU(), MaxPooling2D(3, strides=2, padding="same")] and n = 8 it
    is [(1, 3, 0), (1, 3, 0), (2, 5, 0)]: the pool has 6 places before it and 3 after it, and
    its one zero comes at the end. With n = 9 the last is (2, 5, -1).
    For the 18 convolutions and pools of VGG-16 and n = 224 the last is (32, 212, -90).
    """
    ### BEGIN SOLUTION
    jump, field, offset, rows = 1, 1, 0, []
    for layer in stack:
        k = stride = dilation = 1
        if isinstance(layer, keras.layers.Conv2D):
            k, stride, dilation = (one[axis] for one in (layer.kernel_size, layer.strides, layer.dilation_rate))
        elif isinstance(layer, (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)):
            k, stride = layer.pool_size[axis], layer.strides[axis]
        elif not isinstance(layer, (keras.layers.BatchNormalization, keras.layers.ReLU)):
            raise ValueError(f"{layer.name} is no layer whose field is known here")
        reach = dilation * (k - 1)
        if getattr(layer, "padding", "valid") == "same":
            places = -(-n // stride)
            offset -= max((places - 1) * stride + reach + 1 - n, 0) // 2 * jump
        else:
            places = (n - reach - 1) // stride + 1
        n, field, jump = places, field + reach * jump, jump * stride
        rows.append((jump, field, offset))
    return rows
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import keras

ex = exercise("4.1")
ex.hints(
    "Which attributes of a layer say what k, s and d are? Print `vars(layer)` of a Conv2D and of a MaxPooling2D.",
    '(4.1) to (4.3) do the rest, layer by layer. For the zeros of "same" you need the size of each layer\'s input.',
    'Carry n along: "same" leaves n / s places, rounded up, and "valid" the number of (3.3); (3.5) gives p_before.',
)

_VGG = [
    *(("Conv2D", {"filters": 1, "kernel_size": 3, "padding": "same"}),) * 2,
    ("MaxPooling2D", {}),
    *(("Conv2D", {"filters": 1, "kernel_size": 3, "padding": "same"}),) * 2,
    ("MaxPooling2D", {}),
    *((*(("Conv2D", {"filters": 1, "kernel_size": 3, "padding": "same"}),) * 3, ("MaxPooling2D", {})) * 3),
]


@ex.cases
def _(rng):
    conv = {"filters": 1}
    pool = ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"})
    for n in (8, 9):
        yield [("Conv2D", conv | {"kernel_size": 3}), ("ReLU", {}), pool], n, 0
    for axis in (0, 1):
        yield [("Conv2D", conv | {"kernel_size": [1, 5], "strides": [2, 1], "padding": "same"})], 10, axis
        yield (
            [("AveragePooling2D", {"pool_size": [2, 4], "strides": [3, 1]}), ("Conv2D", conv | {"kernel_size": 2})],
            20,
            axis,
        )
        yield [pool, ("Conv2D", conv | {"kernel_size": 3, "dilation_rate": [3, 2], "padding": "same"}), pool], 17, axis
    yield [], 5, 0
    yield _VGG, 224, 1
    yield [("MaxPooling2D", {"padding": "same"}), ("MaxPooling2D", {"padding": "same"}), pool], 13, 1
    yield [("Conv2D", conv | {"kernel_size": 1, "strides": 4, "padding": "same"}), pool, pool], 30, 0  # needs no zeros
    yield [("Conv2D", conv | {"kernel_size": 3, "strides": 3}), pool, pool], 26, 1
    yield [("BatchNormalization", {}), ("Conv2D", conv | {"kernel_size": 4, "padding": "same"})], 7, 0
    third = ("MaxPooling2D", {"pool_size": 3, "strides": 3, "padding": "same"})
    for n in (6, 7):
        yield [("Conv2D", conv | {"kernel_size": 3}), third], n, 0  # the zeros depend on the size that is left
    yield [("BatchNormalization", {}), ("ReLU", {}), pool], 9, 1
    yield [("Flatten", {"name": "flat"})], 9, 0
    yield [pool, ("Conv2DTranspose", conv | {"kernel_size": 3, "name": "widened"})], 9, 1
    yield [("GlobalMaxPooling2D", {"name": "top"}), ("Dense", {"units": 2})], 9, 1
    yield [("ReLU", {}), ("DepthwiseConv2D", {"kernel_size": 3, "name": "by_channel"}), pool], 12, 0
    for _ in range(10):
        found = []
        for _ in range(rng.integers(2, 4)):
            k, s = [[int(v) for v in rng.integers(1, top, 2)] for top in (6, 4)]
            options = {"padding": ["valid", "same"][rng.integers(2)]}
            kind = ["Conv2D", "MaxPooling2D", "AveragePooling2D", "Conv2D"][rng.integers(4)]
            if kind != "Conv2D":
                options |= {"pool_size": k, "strides": s}
            elif rng.random() < 0.5:
                options |= conv | {"kernel_size": k, "strides": s}
            else:  # Keras refuses a stride and a dilation at once
                options |= conv | {"kernel_size": k, "dilation_rate": s}
            found.append((kind, options))
        yield found, int(rng.integers(150, 200)), int(rng.integers(2))


ex.shown_as("receptive_fields([getattr(keras.layers, kind)(**options) for kind, options in stack], n, axis)")


@ex.drive
def used(answer, stack, n, axis):
    made = [getattr(keras.layers, kind)(**options) for kind, options in stack]
    return {"fields": answer(made, n, axis), "layers afterwards": [type(layer).__name__ for layer in made]}


def _numbers(kind, options, axis):
    """k, s, d and whether zeros are added, of a layer that is given by its kind and options."""
    if kind in ("ReLU", "BatchNormalization"):
        return 1, 1, 1, False
    pool = kind.endswith("Pooling2D")

    def along(name, otherwise):
        value = options.get(name, otherwise)
        return value[axis] if isinstance(value, list) else value

    k = along("pool_size", 2) if pool else along("kernel_size", None)
    return k, along("strides", k if pool else 1), along("dilation_rate", 1), options.get("padding") == "same"


KNOWN = ("Conv2D", "MaxPooling2D", "AveragePooling2D", "BatchNormalization", "ReLU")


@ex.oracle
def _(stack, n, axis):
    # Which places of the image do units 0 and 1 look at, those on padding counted in? Walk down from each layer.
    below = []  # of each layer: stride, dilation, kernel and zeros before
    rows = []
    for kind, options in stack:
        if kind not in KNOWN:
            raise naming(ValueError, options["name"])
        k, s, d, same = _numbers(kind, options, axis)
        starts = range(0, n, s) if same else range(0, n - d * (k - 1), s)
        zeros = max(starts[-1] + d * (k - 1) + 1 - n, 0)
        below.append((s, d, k, zeros // 2))
        n = len(starts)
        first, second = {0}, {1}
        for s, d, k, before in below[::-1]:
            first, second = (
                {place * s - before + i * d for place in places for i in range(k)} for places in (first, second)
            )
        rows.append((min(second) - min(first), max(first) - min(first) + 1, min(first)))
    return {"fields": rows, "layers afterwards": [kind for kind, _ in stack]}


class _Walk:
    """The walk upwards; a wrong answer overrides what it gets wrong. Layers are Keras layers here."""

    known = keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D
    still = keras.layers.BatchNormalization, keras.layers.ReLU

    def numbers(self, layer, axis):
        if not isinstance(layer, self.known):
            return 1, 1, 1
        window = layer.kernel_size if isinstance(layer, self.known[0]) else layer.pool_size
        return window[axis], layer.strides[axis], getattr(layer, "dilation_rate", (1, 1))[axis]

    def reach(self, layer, k, d):
        return d * (k - 1)

    def same(self, layer):
        return getattr(layer, "padding", "valid") == "same"

    def before(self, n, k, s, d):
        return max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) // 2

    def places(self, n, k, s, d, same):
        return -(-n // s) if same else (n - d * (k - 1) - 1) // s + 1

    def step(self, jump, s):
        return jump

    def refuse(self, layer):
        raise ValueError(layer.name)

    def __call__(self, stack, n, axis):
        jump, field, offset, rows = 1, 1, 0, []
        for layer in stack:
            if not isinstance(layer, (*self.known, *self.still)):
                self.refuse(layer)
            k, s, d = self.numbers(layer, axis)
            if self.same(layer):
                offset -= self.before(n, k, s, d) * self.step(jump, s)
            field += self.reach(layer, k, d) * self.step(jump, s)
            n, jump = self.places(n, k, s, d, self.same(layer)), jump * s
            rows.append((jump, field, offset))
        return rows


@ex.wrong
def own_stride(stack, n, axis):
    """A step of the kernel is as long as the jump *below* the layer; you multiplied by the layer's own stride first."""

    class Walk(_Walk):
        def step(self, jump, s):
            return jump * s

    return Walk()(stack, n, axis)


@ex.wrong
def without_dilation(stack, n, axis):
    """A dilated kernel reaches further than it has numbers: `dilation_rate` is not used."""

    class Walk(_Walk):
        def numbers(self, layer, axis):
            return *super().numbers(layer, axis)[:2], 1

    return Walk()(stack, n, axis)


@ex.wrong
def dilation_times_kernel(stack, n, axis):
    """From its first to its last number a kernel makes k - 1 steps, not k: it covers d (k - 1) + 1 places."""

    class Walk(_Walk):
        def reach(self, layer, k, d):
            return d * k - 1

    return Walk()(stack, n, axis)


@ex.wrong
def height_only(stack, n, axis):
    """Kernels, strides and dilations are pairs, (height, width): you take the first number along the width too."""
    return _Walk()(stack, n, 0)


@ex.wrong
def other_axis(stack, n, axis):
    """Axis 0 is the height and axis 1 the width: you exchanged the two."""
    return _Walk()(stack, n, 1 - axis)


@ex.wrong
def half_a_kernel(stack, n, axis):
    """Half a kernel of zeros is right at stride 1. With a stride, the zeros of "same" depend on the size too: (3.5)."""

    class Walk(_Walk):
        def before(self, n, k, s, d):
            return d * (k - 1) // 2

    return Walk()(stack, n, axis)


@ex.wrong
def all_the_zeros(stack, n, axis):
    """Only the zeros before the first pixel move the field to the left: half of all, rounded down."""

    class Walk(_Walk):
        def before(self, n, k, s, d):
            return max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)

    return Walk()(stack, n, axis)


@ex.wrong
def rounded_up(stack, n, axis):
    """Where the zeros of "same" are an odd number, the larger half comes at the end: round down."""

    class Walk(_Walk):
        def before(self, n, k, s, d):
            return -(-max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) // 2)

    return Walk()(stack, n, axis)


@ex.wrong
def size_of_the_image(stack, n, axis):
    """The zeros of "same" depend on the size of the *layer's* input; you took that of the image for each."""

    class Walk(_Walk):
        def places(self, n, k, s, d, same):
            return n

    return Walk()(stack, n, axis)


@ex.wrong
def always_padded(stack, n, axis):
    """Padding "valid" adds no zeros, and does not move the field."""

    class Walk(_Walk):
        def same(self, layer):
            return isinstance(layer, self.known)

    return Walk()(stack, n, axis)


@ex.wrong
def never_padded(stack, n, axis):
    """Jump and size are right. But padding "same" moves the field to the left, before pixel 0."""

    class Walk(_Walk):
        def before(self, n, k, s, d):
            return 0

    return Walk()(stack, n, axis)


@ex.wrong
def pools_without_a_window(stack, n, axis):
    """A pool has a window too, `pool_size`, and makes the field larger, not only the jump."""

    class Walk(_Walk):
        def reach(self, layer, k, d):
            return d * (k - 1) * isinstance(layer, self.known[0])

    return Walk()(stack, n, axis)


@ex.wrong
def only_where_it_grows(stack, n, axis):
    """Each layer has a row of its own, also one that looks at one place only and leaves everything as it was."""
    rows, still = _Walk()(stack, n, axis), _Walk.still
    return [row for row, layer in zip(rows, stack) if not isinstance(layer, still)]


@ex.wrong
def never_refuses(stack, n, axis):
    """The fields are right, but a layer of a kind that is not listed has to be refused with a ValueError."""

    class Walk(_Walk):
        def refuse(self, layer):
            pass

        def same(self, layer):
            return isinstance(layer, self.known) and super().same(layer)

    return Walk()(stack, n, axis)


@ex.wrong
def without_its_name(stack, n, axis):
    """Right, but the message of the ValueError has to say which layer it is: `layer.name`."""

    class Walk(_Walk):
        def refuse(self, layer):
            raise ValueError("a layer of another kind")

    return Walk()(stack, n, axis)


@ex.right
def by_first_and_last(stack, n, axis):
    rows, first, second, last = [], 0, 1, 0  # pixels: where units 0 and 1 begin, and where unit 0 ends
    for layer in stack:
        config, kind = layer.get_config(), type(layer).__name__
        if kind not in ("Conv2D", "MaxPooling2D", "AveragePooling2D", "BatchNormalization", "ReLU"):
            raise ValueError(f"what is {layer.name}?")
        window = config.get("kernel_size") or config.get("pool_size") or (1, 1)
        covered = config.get("dilation_rate", (1, 1))[axis] * (window[axis] - 1) + 1
        stride, step = config.get("strides", (1, 1))[axis], second - first
        starts = range(0, n if config.get("padding") == "same" else n - covered + 1, stride)
        moved = (max(starts[-1] + covered, n) - n) // 2
        first, last = first - moved * step, last + (covered - 1 - moved) * step
        n, second = len(starts), first + stride * step
        rows.append((second - first, last - first + 1, first))
    return rows


ex.equivalent(
    "'1' for '0' in 'offset -= max((places - 1) * stride + reach + 1 - n, 0) /...'",
    "half of one zero, rounded down, is none",
)

# %%
check("4.1", receptive_fields)

# %% [markdown]
# **Exercise 4.2 ★** The field as it really is: with its holes, and without what stands on padding, at whichever layer.


# %%
# Exercise 4.2
def pixels_of(n, layers, unit):
    """The pixels that one unit of the last layer depends on, along one axis.

    n: pixels of the image, numbered from 0. layers: list of tuples
    (kernel size, stride, padding, dilation) of whole numbers, first layer first; each layer
    pads its input with `padding` zeros on each side. unit: whole number >= 0.
    Returns the numbers of the pixels in ascending order, each once: an array of whole numbers,
    which is empty for a unit that stands on padding alone.
    Raises ValueError where the last layer has no such unit, or a kernel does not fit on its
    padded input.
    Example: pixels_of(8, [(3, 1, 0, 2), (2, 2, 0, 1)], 1) is [2, 3, 4, 5, 6, 7]: unit 1 sees
    the units 2 and 3 of the first layer, and these see the pixels 2, 4, 6 and 3, 5, 7.
    """
    ### BEGIN SOLUTION
    counts = [n]
    for k, stride, padding, dilation in layers:
        counts.append((counts[-1] + 2 * padding - dilation * (k - 1) - 1) // stride + 1)
        if counts[-1] < 1:
            raise ValueError("a kernel does not fit")
    if not 0 <= unit < counts[-1]:
        raise ValueError(f"the last layer has {counts[-1]} units, and there is no unit {unit}")
    places = {unit}
    for (k, stride, padding, dilation), below in zip(layers[::-1], counts[-2::-1]):
        places = {place * stride - padding + i * dilation for place in places for i in range(k)}
        places = {place for place in places if 0 <= place < below}
    return np.array(sorted(places), dtype=int)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("4.2")
ex.hints(
    "Which places of its input does one unit of one layer look at? Write down the one that its first tap stands on.",
    "Keep a set of places, and go down from the last layer. At each layer, drop the places that are padding.",
    "To know what is padding you need the size of each layer, by (3.3), before the walk begins. A size below 1 is an "
    "error.",
)


def _counts(n, layers, fitting=True):
    counts = [n]
    for k, s, p, d in layers:
        counts.append((counts[-1] + 2 * p - d * (k - 1) - 1) // s + 1)
        if counts[-1] < 1 and fitting:
            raise ValueError("a kernel does not fit")
    return counts


def _taps(n, layers, unit, clip=(True, True), use_padding=True, use_dilation=True, refuse=True, fitting=True):
    """The walk down; clip: whether taps on padding are dropped in hidden layers, and in the image."""
    counts = _counts(n, layers, fitting)
    if refuse and not 0 <= unit < counts[-1]:
        raise ValueError
    places = {unit}
    for depth in range(len(layers) - 1, -1, -1):
        k, s, p, d = layers[depth]
        places = {q * s - p * use_padding + i * (d if use_dilation else 1) for q in places for i in range(k)}
        if clip[depth == 0]:
            places = {q for q in places if 0 <= q < counts[depth]}
    return np.array(sorted(places), dtype=int)


@ex.cases
def _(rng):
    yield 8, [(3, 1, 0, 2), (2, 2, 0, 1)], 1
    yield 8, [(3, 1, 1, 1), (3, 1, 1, 1)], 0
    yield 8, [(3, 1, 1, 1), (3, 1, 1, 1)], 8
    yield 9, [(3, 2, 1, 1), (3, 2, 1, 1), (3, 1, 1, 1)], 2
    yield 10, [(3, 1, 0, 2), (3, 1, 0, 2)], 1
    yield 6, [(3, 1, 2, 1), (3, 1, 2, 1)], 9
    yield 5, [(3, 1, 0, 3)], 0
    yield 7, [(3, 1, 0, 3)], 0  # it just fits
    yield 3, [(5, 1, 1, 1)], 0  # on its padding only
    yield 6, [(3, 1, 0, 1), (5, 1, 0, 1)], 0
    yield 8, [(3, 1, 1, 1)], -1
    yield 9, [(3, 2, 0, 1), (2, 1, 0, 1)], -2
    yield 8, [(3, 2, 0, 1)], 3
    yield 5, [(7, 1, 0, 1), (3, 1, 4, 1)], 2  # the second would have room again
    yield 4, [(3, 1, 0, 2), (1, 1, 2, 1)], 1
    yield 4, [(3, 1, 0, 2), (2, 1, 2, 1)], 0
    yield 10, [(1, 3, 0, 1)], 2
    yield 10, [(2, 3, 0, 1), (2, 1, 0, 1)], 1
    yield 2, [(1, 1, 1, 1)], 0  # padding alone
    yield 3, [(1, 1, 2, 1), (2, 1, 0, 1)], 5
    yield 6, [(3, 1, 0, 1), (1, 1, 2, 1)], 6  # on hidden padding alone, behind the layer and before it
    yield 6, [(3, 1, 0, 1), (1, 1, 2, 1)], 1
    yield 7, [(3, 1, 0, 1), (2, 1, 2, 1)], 7
    yield 7, [(3, 1, 0, 1), (2, 1, 2, 1)], 0
    yield 8, [(3, 1, 0, 1), (7, 1, 0, 1), (3, 1, 4, 1)], 2  # the second does not fit, and the third has room again
    yield 9, [(2, 1, 0, 1), (3, 1, 0, 4), (1, 1, 2, 1)], 1
    yield 4, [], 3
    yield 4, [], 4
    for _ in range(22):
        stack = []
        for _ in range(rng.integers(1, 4)):
            k, stride, dilation = (int(v) for v in rng.integers((2, 1, 1), (5, 3, 4)))
            stack.append((k, stride, int(rng.integers(0, 3)), dilation))
        n = int(rng.integers(14, 30))
        try:
            last = _counts(n, stack)[-1]
        except ValueError:
            continue
        yield n, stack, int(rng.choice([0, last - 1, rng.integers(last), last if rng.random() < 0.3 else 0]))


ex.shown_as("pixels_of(n, layers, unit)")


@ex.drive
def seen(answer, n, layers, unit):
    pixels = answer(n, layers, unit)
    empty = pixels is not None and np.size(pixels) == 0  # an empty list or array has no type to judge
    return np.zeros(np.shape(pixels), int) if empty else pixels


@ex.oracle
def _(n, layers, unit):
    # Light one pixel after the other, and look whether the unit notices.
    rows = np.eye(n)
    for k, s, p, d in layers:
        padded = np.pad(rows, [(0, 0), (p, p)])
        starts = range(0, padded.shape[1] - d * (k - 1), s)
        if not starts:
            raise ValueError("a kernel does not fit")
        rows = np.stack([padded[:, a : a + d * (k - 1) + 1 : d].sum(axis=1) for a in starts], axis=1)
    if not 0 <= unit < rows.shape[1]:
        raise ValueError("no such unit")
    return np.flatnonzero(rows[:, unit])


@ex.wrong
def clipped_at_the_end(n, layers, unit):
    """The edge of the image is right. But a hidden layer has padding too, and through a zero that was put there
    nothing is seen: such places have to be left out at each layer on the way down."""
    return _taps(n, layers, unit, clip=(False, True))


@ex.wrong
def hidden_edge_forgotten(n, layers, unit):
    """Numbers below 0 are left out at each layer. In a hidden layer those from its own size on are padding as well:
    you ask for that in the image alone."""
    _taps(n, layers, unit)
    places = {unit}
    for k, s, p, d in layers[::-1]:
        places = {q * s - p + i * d for q in places for i in range(k)}
        places = {q for q in places if q >= 0}
    return np.array(sorted(q for q in places if q < n), dtype=int)


@ex.wrong
def cut_at_n_everywhere(n, layers, unit):
    """A hidden layer has fewer places than the image: what is padding there depends on its own size, not on n."""
    _taps(n, layers, unit)
    places = {unit}
    for k, s, p, d in layers[::-1]:
        places = {q * s - p + i * d for q in places for i in range(k)}
        places = {q for q in places if 0 <= q < n}
    return np.array(sorted(places), dtype=int)


@ex.wrong
def by_the_bounds(n, layers, unit):
    """These are all pixels between the bounds of (4.3). There may be holes between them, and a zero that pads a hidden
    layer lets nothing through: go down layer by layer, with a set of places."""
    _taps(n, layers, unit)
    jump, field, offset = 1, 1, 0
    for k, s, p, d in layers:
        offset, field, jump = offset - p * jump, field + d * (k - 1) * jump, jump * s
    return np.arange(max(offset + unit * jump, 0), min(offset + unit * jump + field, n))


@ex.wrong
def more_than_once(n, layers, unit):
    """Several paths lead to one pixel. Each pixel is asked for once: keep the places in a set."""
    _taps(n, layers, unit)
    counts, places = _counts(n, layers), [unit]
    for (k, s, p, d), below in zip(layers[::-1], counts[-2::-1]):
        places = [q * s - p + i * d for q in places for i in range(k)]
        places = [q for q in places if 0 <= q < below]
    return np.array(sorted(places), dtype=int)


@ex.wrong
def padding_times_stride(n, layers, unit):
    """Unit u begins at u times the stride, less the padding. You took the padding off first, so that the stride
    multiplies it too."""
    _taps(n, layers, unit)
    counts, places = _counts(n, layers), {unit}
    for (k, s, p, d), below in zip(layers[::-1], counts[-2::-1]):
        places = {(q - p) * s + i * d for q in places for i in range(k)}
        places = {q for q in places if 0 <= q < below}
    return np.array(sorted(places), dtype=int)


@ex.wrong
def without_holes(n, layers, unit):
    """Between the taps of a dilated kernel there are pixels that the unit does not see; you filled them in."""
    taps = _taps(n, layers, unit)
    return np.arange(taps.min(), taps.max() + 1) if len(taps) else taps


@ex.wrong
def padding_forgotten(n, layers, unit):
    """Padding moves the image to the right under the kernel: the first tap stands so many places further left."""
    return _taps(n, layers, unit, use_padding=False)


@ex.wrong
def outside_too(n, layers, unit):
    """Numbers below 0, or from n on, are no pixels but padding."""
    return _taps(n, layers, unit, clip=(False, False))


@ex.wrong
def dilation_forgotten(n, layers, unit):
    """Right where the dilation is 1. The taps of a dilated kernel stand so many places apart."""
    return _taps(n, layers, unit, use_dilation=False)


@ex.wrong
def no_negative_units(n, layers, unit):
    """Units are numbered from 0. There is no unit below 0 either, and asking for one has to be refused."""
    if unit >= _counts(n, layers)[-1]:
        raise ValueError
    return _taps(n, layers, unit, refuse=False)


@ex.wrong
def never_refuses(n, layers, unit):
    """The pixels are right, but a unit that the last layer does not have must be refused with a ValueError."""
    return _taps(n, layers, unit, refuse=False)


@ex.wrong
def first_and_last(n, layers, unit):
    """These are the first and the last pixel only. All of those that count are asked for."""
    taps = _taps(n, layers, unit)
    return taps[[0, -1]] if len(taps) else taps


@ex.wrong
def fit_unasked(n, layers, unit):
    """A kernel that does not fit has to be refused at each layer, also where the padding of a later layer would make
    room again."""
    return _taps(n, layers, unit, fitting=False)


@ex.wrong
def fit_at_the_first_only(n, layers, unit):
    """Whether a kernel fits is asked at the first layer alone. A later one that does not fit has to be refused as well,
    also where the padding of the layer after it would make room again."""
    _counts(n, layers[:1])
    return _taps(n, layers, unit, fitting=False)


@ex.right
def by_matrices(n, layers, unit):
    sees = np.eye(n)
    for k, s, p, d in layers:
        count = len(range(0, sees.shape[0] + 2 * p - d * (k - 1), s))
        if count < 1:
            raise ValueError("a kernel does not fit")
        layer = np.zeros((count, sees.shape[0] + 2 * p))
        for u in range(count):
            layer[u, u * s : u * s + d * (k - 1) + 1 : d] = 1
        sees = layer[:, p : p + sees.shape[0]] @ sees
    if unit < 0 or unit >= len(sees):
        raise ValueError("no such unit")
    return np.nonzero(sees[unit])[0]


ex.equivalent(
    "'2' for '1' in 'if counts[-1] < 1:'",
    "a last layer without units has not the unit that is asked for either, and is refused all the same",
)
ex.equivalent(
    "'np.array(sorted(places))' for 'np.array(sorted(places), dtype=int)' in 'return "
    "np.array(sorted(places), dtype=int)'",
    "only an empty array has another type without it, and the driver asks no type of that",
)
ex.equivalent(
    "by_matrices: '3' for '2' in 'layer = np.zeros((count, sees.shape[0] + 2 * p))'",
    "the columns behind the image are cut off in the end",
)
ex.equivalent(
    "by_matrices: '1' for '2' in 'layer = np.zeros((count, sees.shape[0] + 2 * p))'",
    "the columns behind the image are cut off in the end, and NumPy cuts a slice that is too long",
)
ex.equivalent(
    "by_matrices: '2' for '1' in 'layer[u, u * s:u * s + d * (k - 1) + 1:d] = 1' (3)",
    "only whether a number of the matrix is 0 counts",
)
ex.equivalent(
    "by_matrices: '-1' for '0' in 'return np.nonzero(sees[unit])[0]'",
    "a row has one axis, the first and the last",
)

# %%
check("4.2", pixels_of)

# %% [markdown]
# **Exercise 4.3 ★** `unpool` needs windows side by side and no ties. Write the gradient of max pooling without these
# limits.


# %%
# Exercise 4.3
def maxpool_backward(x, delta, k, stride):
    """The gradient of the loss with respect to the input of a max pool without padding.

    x: array (H, W), the input. delta: array (Ho, Wo), the gradient with respect to the output,
    with Ho = (H - k) // stride + 1 and likewise Wo. Both of whole numbers or floats, and left
    as they are. k, stride: whole numbers >= 1, with k <= H and k <= W. Where several pixels of
    a window are equally large, the first of them counts, row by row.
    Returns an array (H, W) of floats. Raises ValueError where delta does not have the shape of
    the output.
    Example: for x = [[1, 3, 2]], delta = [[5, 7]], k = 1 and stride = 2 it is [[5, 0, 7]].
    """
    ### BEGIN SOLUTION
    rows, columns = ((size - k) // stride + 1 for size in x.shape)
    if delta.shape != (rows, columns):
        raise ValueError(f"delta has shape {delta.shape}, and the output of the pool has {rows, columns}")
    result = np.zeros(x.shape)
    for u in range(rows):
        for v in range(columns):
            window = x[u * stride : u * stride + k, v * stride : v * stride + k]
            i, j = divmod(int(window.argmax()), k)  # argmax finds the first, row by row
            result[u * stride + i, v * stride + j] += delta[u, v]
    return result
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

ex = exercise("4.3")
ex.hints(
    "Two loops, over the places of the output. Which pixels of x does the output at (u, v) look at?",
    "`argmax` gives the first of the largest, counted row by row in the window, and `divmod` makes a row and a column.",
    "Begin with zeros of type float, and *add* delta(u, v) at the place of the maximum: windows may share it.",
)


@ex.cases
def _(rng):
    yield np.array([[1.0, 3.0, 2.0]]), np.array([[5.0, 7.0]]), 1, 2
    yield np.array([[1.0, 9, 2], [3, 4, 5], [6, 7, 8]]), np.array([[1.0, 2], [3, 4]]), 2, 1
    yield np.full((4, 4), 2.0), np.array([[1.0, 2], [3, 4]]), 2, 2
    yield np.zeros((5, 5)), np.ones((3, 3)), 2, 2  # too large by one row and column
    yield np.array([[1, 3, 2], [4, 0, 5]]), np.array([[0.5, -0.25]]), 2, 1  # whole numbers in, fractions out
    yield np.array([[3, 3], [1, 2]]), np.array([[0.75]]), 2, 2
    yield -np.arange(1.0, 21).reshape(4, 5), np.array([[1.5, -2], [0.5, 4]]), 2, 2  # all negative
    yield -np.arange(1.0, 17).reshape(4, 4), np.array([[-1.0]]), 4, 1
    yield np.array([[1, 3, 2], [4, 0, 5]]), np.array([[2, -3]]), 2, 1  # whole numbers in, and floats out all the same
    yield np.array([[0.5, 0.25], [0.75, 1.0]]), np.array([[1, 2], [3, 4]]), 1, 1
    yield rng.integers(-9, 9, (4, 6)).astype(float), np.ones((3, 2)), 2, 2  # transposed
    yield rng.integers(-9, 9, (6, 4)).astype(float), np.array([[1.0, 2, 3], [4, 5, 6]]), 2, 2
    yield rng.integers(-9, 9, (6, 4)).astype(float), np.ones((1, 2)), 2, 2  # NumPy would broadcast these
    yield rng.integers(-9, 9, (6, 4)).astype(float), np.ones((3, 1)), 2, 2
    yield rng.integers(-9, 9, (4, 4)).astype(float), np.ones((1, 1)), 2, 2
    yield rng.integers(-9, 9, (5, 5)).astype(float), np.ones((2, 2)), 3, 1  # too small
    for _ in range(18):
        k, stride = int(rng.integers(2, 4)), int(rng.integers(1, 4))
        x = rng.integers(0, rng.choice([4, 50]), rng.integers(4, 9, 2)) - float(rng.choice([0, 30]))
        shape = [(size - k) // stride + 1 for size in x.shape]
        yield x, rng.integers(-9, 10, shape) / 4, k, stride


ex.shown_as("maxpool_backward(x, delta, k, stride)")


@ex.drive
def used(answer, x, delta, k, stride):
    result = answer(x, delta, k, stride)
    try:
        numbers = {"f": "floats", "i": "whole numbers"}.get(np.asarray(result).dtype.kind, "others")
    except (TypeError, ValueError):
        numbers = "others"
    return {"gradient": result, "its numbers": numbers, "x afterwards": x, "delta afterwards": delta}


@ex.oracle
def _(x, delta, k, stride):
    # Finite differences: each pixel a little larger, after ties were broken in favour of the earlier pixel. All numbers
    # are whole multiples of powers of two, so nothing is rounded.
    if delta.shape != tuple((size - k) // stride + 1 for size in x.shape):
        raise ValueError("delta has another shape than the output")
    broken = x - np.arange(x.size).reshape(x.shape) * 2.0**-10
    result = np.zeros(x.shape)
    before = x.copy()
    for place in np.ndindex(x.shape):
        raised = broken.copy()
        raised[place] += 2.0**-20
        change = [sliding_window_view(image, (k, k))[::stride, ::stride].max(axis=(2, 3)) for image in (broken, raised)]
        result[place] = np.sum((change[1] - change[0]) * delta) * 2.0**20
    return {"gradient": result, "its numbers": "floats", "x afterwards": before, "delta afterwards": delta}


def _route(x, delta, k, stride, put):
    rows, columns = ((size - k) // stride + 1 for size in x.shape)
    if delta.shape != (rows, columns):
        raise ValueError
    result = np.zeros(x.shape)
    for u, v in np.ndindex(rows, columns):
        there = slice(u * stride, u * stride + k), slice(v * stride, v * stride + k)
        put(result, there, x[there], delta[u, v])
    return result


def _first(window):
    mask = np.zeros(window.shape)
    mask[np.unravel_index(window.argmax(), window.shape)] = 1
    return mask


def _add(result, there, window, d):
    result[there] += d * _first(window)


@ex.wrong
def to_all_ties(x, delta, k, stride):
    """Where several pixels of a window are equally large, only the first gets the gradient; you gave it to each."""

    def put(result, there, window, d):
        result[there] += d * (window == window.max())

    return _route(x, delta, k, stride, put)


@ex.wrong
def overwritten(x, delta, k, stride):
    """A pixel that wins in several windows adds up what it gets from each; you replaced what was there."""

    def put(result, there, window, d):
        result[there] = np.where(_first(window) > 0, d, result[there])

    return _route(x, delta, k, stride, put)


@ex.wrong
def last_of_ties(x, delta, k, stride):
    """Among equals the first pixel counts, row by row; yours is the last."""

    def put(result, there, window, d):
        result[there] += d * _first(window[::-1, ::-1])[::-1, ::-1]

    return _route(x, delta, k, stride, put)


@ex.wrong
def column_by_column(x, delta, k, stride):
    """Among equals you take the first one column by column; count row by row."""

    def put(result, there, window, d):
        result[there] += d * _first(window.T).T

    return _route(x, delta, k, stride, put)


@ex.wrong
def averaged(x, delta, k, stride):
    """This is average pooling, which gives each pixel of the window the same share. A maximum listens to one pixel."""

    def put(result, there, window, d):
        result[there] += d / k**2

    return _route(x, delta, k, stride, put)


@ex.wrong
def place_in_the_window(x, delta, k, stride):
    """The place of the largest pixel is counted from the corner of its window; add where the window stands."""

    def put(result, there, window, d):
        result[np.unravel_index(window.argmax(), window.shape)] += d

    return _route(x, delta, k, stride, put)


@ex.wrong
def value_times_delta(x, delta, k, stride):
    """The derivative of a maximum with respect to its largest pixel is 1, not that pixel's value."""

    def put(result, there, window, d):
        result[there] += d * window.max() * _first(window)

    return _route(x, delta, k, stride, put)


@ex.wrong
def side_by_side(x, delta, k, stride):
    """Right where the stride equals k. Otherwise the windows do not stand side by side: window u starts at u times the
    stride."""
    rows, columns = ((size - k) // stride + 1 for size in x.shape)
    if delta.shape != (rows, columns):
        raise ValueError
    result = np.zeros(x.shape)
    for u, v in np.ndindex(rows, columns):
        window = x[u * k : u * k + k, v * k : v * k + k]
        if window.size:
            i, j = np.unravel_index(window.argmax(), window.shape)
            result[u * k + i, v * k + j] += delta[u, v]
    return result


@ex.wrong
def rounded_down(x, delta, k, stride):
    """Your result takes on the type of x. Where x holds whole numbers, fractions of delta are cut off: begin with
    zeros of type float."""
    return _route(x, delta, k, stride, _add).astype(x.dtype)


@ex.wrong
def type_of_delta(x, delta, k, stride):
    """The numbers are right, but where delta holds whole numbers, so does your result. Floats are asked for: begin with
    zeros of type float."""
    return _route(x, delta, k, stride, _add).astype(delta.dtype)


@ex.wrong
def against_zero(x, delta, k, stride):
    """Right where the largest pixel of a window is positive. The maximum of a window may be negative too."""

    def put(result, there, window, d):
        result[there] += d * _first(window) * (window > 0)

    return _route(x, delta, k, stride, put)


@ex.wrong
def only_the_size(x, delta, k, stride):
    """You compare how many numbers delta has. Its shape is asked for: exchanged axes have to be refused too."""
    if delta.size != np.prod([(size - k) // stride + 1 for size in x.shape]):
        raise ValueError
    shape = [(size - k) // stride + 1 for size in x.shape]
    return _route(x, delta.reshape(shape), k, stride, _add)


@ex.wrong
def broadcast(x, delta, k, stride):
    """A delta with a single row or column is not refused: NumPy repeats it silently. Compare the shapes."""
    return _route(x, np.broadcast_to(delta, [(size - k) // stride + 1 for size in x.shape]), k, stride, _add)


@ex.wrong
def changes_x(x, delta, k, stride):
    """The gradient is right, but x or delta has been changed on the way. Both belong to the caller."""
    result = _route(x, delta, k, stride, _add)
    x[:] = 0
    return result


@ex.wrong
def never_refuses(x, delta, k, stride):
    """The gradient is right, but a delta that does not have the shape of the output must be refused with a
    ValueError."""
    result = np.zeros(x.shape)
    for (u, v), d in np.ndenumerate(delta):
        window = x[u * stride : u * stride + k, v * stride : v * stride + k]
        if window.size:
            i, j = np.unravel_index(window.argmax(), window.shape)
            result[u * stride + i, v * stride + j] += d
    return result


@ex.right
def by_flat_places(x, delta, k, stride):
    places = sliding_window_view(np.arange(x.size).reshape(x.shape), (k, k))[::stride, ::stride]
    windows = sliding_window_view(x, (k, k))[::stride, ::stride]
    if windows.shape[:2] != delta.shape:
        raise ValueError("delta has another shape than the output")
    flat = places.reshape(*delta.shape, -1)
    best = windows.reshape(*delta.shape, -1).argmax(axis=-1)
    winners = np.take_along_axis(flat, best[..., None], axis=-1)
    return np.bincount(winners.ravel(), delta.ravel(), x.size).reshape(x.shape)


ex.equivalent(
    "by_flat_places: '2' for '1' in 'flat = places.reshape(*delta.shape, -1)'",
    "NumPy takes any negative number for the size that is left open",
)
ex.equivalent(
    "by_flat_places: '2' for '1' in 'best = windows.reshape(*delta.shape, -1).argmax(axis=-1)'",
    "NumPy takes any negative number for the size that is left open",
)
ex.equivalent(
    "by_flat_places: 'np.take_along_axis(flat, best[..., None])' for 'np.take_along_axis(flat, best[..., "
    "None], axis=-1)' in 'winners = np.take_along_axis(flat, best[..., None], axis=-1)'",
    "the last axis is the default",
)

# %%
check("4.3", maxpool_backward)

# %% [markdown]
# **Exercise 4.4 ★★★** Design a stack that sees at least so many pixels, leaves at least so many places, and has as few
# weights as can be.


# %%
# Exercise 4.4
def cheapest_stack(field, side, keep):
    """A stack of layers with a receptive field of at least `field` pixels, with as few weights
    as possible.

    The layers, as words: "conv3", "conv5" and "conv7", with stride 1 and padded so that the
    image keeps its size; and "pool2", 2 x 2 with stride 2, which halves the size, rounding
    down. All layers have the same number of channels, so a convolution has k * k weights for
    each pair of channels, and a pool has none. A pool may only stand directly after a
    convolution. side: pixels of the image along one axis; keep: after the last layer at
    least so many places along one axis must be left. All are whole numbers >= 1, with
    keep <= side.
    Returns a list of words, first layer first. Where several stacks are cheapest, any of them
    will do.
    Example: cheapest_stack(7, 32, 32) must be three times "conv3". cheapest_stack(8, 32, 16)
    may be ["conv3", "pool2", "conv3"], which has 18 weights for each pair of channels.
    """
    ### BEGIN SOLUTION
    stack, seen, jump = [], 1, 1
    while seen < field:
        stack.append("conv3")
        seen += 2 * jump
        if side // 2 >= keep and seen < field:  # a pool costs nothing, and everything after it sees twice as far
            stack.append("pool2")
            seen, jump, side = seen + jump, 2 * jump, side // 2
    return stack
    ### END SOLUTION


# %% tags=["grading"]
import heapq

from course.exercises import exercise

ex = exercise("4.4")

ex.hints(
    "Which of the kernels is the cheapest for each pixel that it adds? See (4.4).",
    "A pool costs nothing and doubles what every layer after it adds. So where in the stack does it help most?",
    "From the image upwards: a small kernel, then a pool where the size allows it, and stop as soon as enough is seen.",
)

KERNELS = {"conv3": 3, "conv5": 5, "conv7": 7}


@ex.cases
def _(rng):
    yield from [(7, 32, 32), (8, 32, 16), (32, 32, 8), (32, 32, 1), (1, 8, 8), (4, 16, 8), (3, 16, 1), (64, 64, 4)]
    yield from [
        (1, 1, 1),
        (2, 2, 1),
        (5, 3, 1),
        (6, 3, 2),
        (33, 32, 3),
        (20, 28, 7),
        (20, 28, 8),
        (224, 224, 7),
        (10, 9, 2),
    ]
    for _ in range(15):
        side = int(rng.integers(12, 100))
        yield int(rng.integers(2, 90)), side, int(rng.integers(1, side // 2))


ex.shown_as("cheapest_stack(field, side, keep)")


@ex.drive
def weighed(answer, field, side, keep):
    words = list(answer(field, side, keep))
    seen, jump, weights, astray = 1, 1, 0, 0
    for i, word in enumerate(words):
        if word in KERNELS:
            seen, weights = seen + (KERNELS[word] - 1) * jump, weights + KERNELS[word] ** 2
        elif word == "pool2":
            astray += i == 0 or words[i - 1] == "pool2"
            seen, jump, side = seen + jump, 2 * jump, side // 2
        else:
            raise ValueError(f"{word!r} is none of the layers conv3, conv5, conv7 and pool2")
    return {
        "pixels seen, up to `field`": min(seen, field),
        "places left, up to `keep`": min(side, keep),
        "pools that stand after no convolution": astray,
        "weights for each pair of channels": weights,
    }


@ex.oracle
def _(field, side, keep):
    # Dijkstra: the cheapest way through all states (field, jump, size, whether a pool may follow).
    heap, done = [(0, 1, 1, side, False)], set()
    while True:
        cost, *state = heapq.heappop(heap)
        seen, jump, size, pool = state
        if seen >= field:
            break
        if tuple(state) in done:
            continue
        done.add(tuple(state))
        for k in (3, 5, 7):
            heapq.heappush(heap, (cost + k * k, min(seen + (k - 1) * jump, field), jump, size, True))
        if pool and size // 2 >= keep:
            heapq.heappush(heap, (cost, min(seen + jump, field), 2 * jump, size // 2, False))
    return {
        "pixels seen, up to `field`": field,
        "places left, up to `keep`": keep,
        "pools that stand after no convolution": 0,
        "weights for each pair of channels": cost,
    }


def _greedy(field, side, keep, word="conv3", enough=lambda seen, field: seen >= field, pools=True, own=True):
    stack, seen, jump = [], 1, 1
    while not enough(seen, field):
        stack.append(word)
        seen += (KERNELS[word] - 1) * jump
        if pools and side // 2 >= keep and not enough(seen, field):
            stack.append("pool2")
            seen, jump, side = seen + jump * own, 2 * jump, side // 2
    return stack


@ex.wrong
def never_pools(field, side, keep):
    """It sees enough, but a pool has no weights and doubles what each convolution after it adds to the field."""
    return _greedy(field, side, keep, pools=False)


@ex.wrong
def large_kernels(field, side, keep):
    """Two kernels of 3 x 3 see as much as one of 5 x 5, with fewer weights: (4.4)."""
    return _greedy(field, side, keep, "conv5")


@ex.wrong
def pools_last(field, side, keep):
    """The order matters: a pool helps the convolutions that come after it. Yours come at the end, where they help
    none, and the stack sees too little."""
    return sorted(_greedy(field, side, keep))


@ex.wrong
def pools_first(field, side, keep):
    """Each pool has to stand directly after a convolution; you put several pools in a row, or one at the very start."""
    stack, seen, jump = [], 1, 1
    while side // 2 >= keep and seen < field:
        stack.append("pool2")
        seen, jump, side = seen + jump, 2 * jump, side // 2
    while seen < field:
        stack.append("conv3")
        seen += 2 * jump
    return stack


@ex.wrong
def keeps_too_little(field, side, keep):
    """The last pool is one too many: after it fewer places are left than have to be kept."""
    return _greedy(field, side, keep / 2)


def _while(field, side, keep, may_pool, halved=lambda side: side // 2):
    stack, seen, jump = [], 1, 1
    while seen < field:
        stack.append("conv3")
        seen += 2 * jump
        if may_pool(side, keep) and seen < field:
            stack.append("pool2")
            seen, jump, side = seen + jump, 2 * jump, halved(side)
    return stack


@ex.wrong
def keep_not_asked(field, side, keep):
    """Your stack leaves fewer places than have to be kept: ask for `keep` before each pool."""
    return _while(field, side, keep, lambda side, keep: side // 2 >= 1)


@ex.wrong
def asked_before_the_pool(field, side, keep):
    """Enough places have to be left *after* the pool: compare with `keep` what the size will be once it is halved."""
    return _while(field, side, keep, lambda side, keep: side >= keep and side > 1)


@ex.wrong
def size_not_halved(field, side, keep):
    """After each pool the size is half of what it was; you compare half of the image's own size with `keep` each
    time."""
    return _while(field, side, keep, lambda side, keep: side // 2 >= keep, halved=lambda side: side)


@ex.wrong
def size_rounded_up(field, side, keep):
    """A pool rounds an odd size down: of 3 places it leaves 1."""
    return _while(field, side, keep, lambda side, keep: side > 1 and -(-side // 2) >= keep, lambda side: -(-side // 2))


@ex.wrong
def strictly_more(field, side, keep):
    """Just as many places as have to be kept are enough: you stop one pool too early."""
    return _while(field, side, keep, lambda side, keep: side // 2 > keep)


@ex.wrong
def pool_sees_nothing(field, side, keep):
    """A pool has a kernel too, of size 2, and adds one jump of the layer below it to the field. Without counting that,
    you sometimes use a convolution too many."""
    return _greedy(field, side, keep, own=False)


@ex.wrong
def one_too_many(field, side, keep):
    """The field has to be at least as large as asked, not larger: where it is just as large you go on."""
    return _greedy(field, side, keep, enough=lambda seen, field: seen > field)


@ex.wrong
def one_pool(field, side, keep):
    """One pool is good, more are better, as long as enough places are left and a convolution stands before each."""
    stack, seen, jump = [], 1, 1
    while seen < field:
        stack.append("conv3")
        seen += 2 * jump
        if jump == 1 and side // 2 >= keep and seen < field:
            stack.append("pool2")
            seen, jump = seen + jump, 2
    return stack


@ex.right
def by_counting_pools(field, side, keep):
    best = None
    most = 0
    while side >> (most + 1) >= keep:
        most += 1
    for pools in range(most + 1):
        stack = ["conv3", "pool2"] * pools
        seen = 1 + sum(3 * 2**i for i in range(pools))
        while seen < field:
            stack.append("conv3")
            seen += 2 ** (pools + 1)
        if best is None or stack.count("conv3") < best.count("conv3"):
            best = stack
    return best


ex.equivalent(
    "'side // 2 >= keep' for 'side // 2 >= keep and seen < field' in 'if side // 2 >= keep and seen < field:'",
    "a last pool costs nothing",
)
ex.equivalent(
    "'side / 2' for 'side // 2' in 'if side // 2 >= keep and seen < field:'",
    "keep is a whole number, so the half and its floor reach it together",
)
ex.equivalent(
    "'seen <= field' for 'seen < field' in 'if side // 2 >= keep and seen < field:'",
    "a last pool costs nothing",
)
ex.equivalent(
    "'side / 2' for 'side // 2' in 'seen, jump, side = (seen + jump, 2 * jump, side // 2)'",
    "keep is a whole number, and rounding down at each halving or only in the end is the same",
)
ex.equivalent(
    "by_counting_pools: '-1' for '0' in 'most = 0'",
    "keep <= side, so the loop begins with one step more",
)
ex.equivalent(
    "by_counting_pools: 'stack.count('conv3') <= best.count('conv3')' for 'stack.count('conv3') < "
    "best.count('conv3')' in 'if best is None or stack.count('conv3') < best.count('con...'",
    "of several cheapest stacks, any will do",
)

# %%
check("4.4", cheapest_stack)

# %% [markdown]
# **Exercise 4.5 ★** A path hands on the product of the weights on it. Add up all paths, for kernels that are known.


# %%
# Exercise 4.5
def influence_of(layers):
    """The derivative of one unit of the last layer with respect to each pixel of its receptive
    field, along one axis.

    layers: list of tuples (kernel, stride), first layer first: kernel is an array or a list of
    k numbers, which stays as it is; stride is a whole number >= 1. Each layer is
    y(u) = sum over i of kernel(i) x(u * stride + i), without bias or activation.
    Returns an array as long as the receptive field, from its first pixel to its last; without
    layers it is [1].
    Example: for [([1, 1, 1], 1), ([1, 1, 1], 1)] it is [1, 2, 3, 2, 1].
    """
    ### BEGIN SOLUTION
    effect = np.ones(1)
    for kernel, stride in reversed(layers):
        spread = np.zeros((len(effect) - 1) * stride + 1)
        spread[::stride] = effect  # the units that count stand a stride apart
        effect = np.convolve(spread, kernel)
    return effect
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("4.5")
ex.hints(
    "For one layer the answer is its kernel. What is it for two layers of stride 1? Try [1, 2] and then [1, 10].",
    "Go down from the unit at the top. Each place passes its value on to k places below it, times a weight.",
    "Place u of a layer passes on to the places u * stride + i of its input; where several arrive, they add up.",
)


@ex.cases
def _(rng):
    yield ([([1, 1, 1], 1), ([1, 1, 1], 1)],)
    yield ([(np.array([1.0, 2.0, 4.0]), 1)],)
    yield ([],)
    yield ([([2, -1, 0.5], 3), ([3], 2), ([1, 4], 1)],)
    yield ([(np.array([0.5]), 1), (np.array([0.0, 2.0]), 4)],)
    yield ([(np.array([1.0, -3.0]), 2), (np.array([1.0, 2.0]), 1), (np.ones(2), 1)],)
    yield ([(np.array([2.0]), 3)],)
    for _ in range(20):
        kernels = [rng.integers(-8, 9, rng.integers(2, 5)) / 4 for _ in range(rng.integers(2, 5))]
        yield ([(kernel + (np.arange(len(kernel)) == 0), int(rng.integers(1, 4))) for kernel in kernels],)


ex.shown_as("influence_of(layers)")


@ex.drive
def used(answer, layers):
    return {"derivatives": answer(layers), "kernels afterwards": [np.array(kernel, float) for kernel, _ in layers]}


@ex.oracle
def _(layers):
    # Lay the whole network on a row of single lit pixels that is exactly as long as unit 0 needs.
    n = 1
    for kernel, stride in layers[::-1]:
        n = (n - 1) * stride + len(kernel)
    rows = np.eye(n)
    for kernel, stride in layers:
        starts = range(0, rows.shape[1] - len(kernel) + 1, stride)
        rows = np.stack([rows[:, a : a + len(kernel)] @ kernel for a in starts], axis=1)
    return {"derivatives": rows[:, 0], "kernels afterwards": [np.array(kernel, float) for kernel, _ in layers]}


def _spread(effect, stride):
    spread = np.zeros((len(effect) - 1) * stride + 1)
    spread[::stride] = effect
    return spread


def _push(layers, combine=np.convolve, spread=_spread):
    effect = np.ones(1)
    for kernel, stride in layers:
        effect = combine(spread(effect, stride), kernel)
    return effect


@ex.wrong
def first_layer_first(layers):
    """The walk goes from the unit at the top down to the pixels, so the last layer of the list comes first."""
    return _push(layers)


@ex.wrong
def kernels_turned(layers):
    """Each kernel is turned round. Number i of a kernel belongs to the input i places after the first."""
    return _push(layers[::-1], lambda spread, kernel: np.convolve(spread, kernel[::-1]))


@ex.wrong
def strides_forgotten(layers):
    """Right where all strides are 1. With a stride, neighbouring units stand so many places apart in the input."""
    return _push(layers[::-1], spread=lambda effect, stride: effect)


@ex.wrong
def stretched(layers):
    """Between units that stand a stride apart there are places that pass nothing on: put zeros there, do not repeat."""
    return _push(
        layers[::-1], spread=lambda effect, stride: np.repeat(effect, stride)[: (len(effect) - 1) * stride + 1]
    )


@ex.wrong
def stride_after(layers):
    """A layer's stride sets its units apart in its input. You spread after the kernel was laid down, not before."""
    effect = np.ones(1)
    for kernel, stride in layers[::-1]:
        effect = _spread(np.convolve(effect, kernel), stride)
    return effect


@ex.wrong
def ways_only(layers):
    """This counts the paths. Each path has to be weighed by the product of the numbers on it."""
    return _push([(np.ones(len(kernel)), stride) for kernel, stride in layers[::-1]])


@ex.wrong
def as_shares(layers):
    """The derivatives themselves are asked for, not their shares: do not divide by the sum."""
    effect = _push(layers[::-1])
    return effect / (effect.sum() or 1.0)


@ex.wrong
def absolute(layers):
    """A pixel may also lower the unit: keep the sign."""
    return np.abs(_push(layers[::-1]))


@ex.right
def path_by_path(layers):
    effect = {0: 1.0}
    for kernel, stride in layers[::-1]:
        below = {}
        for place, value in effect.items():
            for i, weight in enumerate(kernel):
                below[place * stride + i] = below.get(place * stride + i, 0.0) + value * weight
        effect = below
    return np.array([effect.get(place, 0.0) for place in range(max(effect) + 1)])


ex.equivalent(
    "'np.convolve(kernel, spread)' for 'np.convolve(spread, kernel)' in 'effect = np.convolve(spread, kernel)'",
    "a convolution's two arguments may be exchanged",
)

# %%
check("4.5", influence_of)

# %% [markdown]
# **Exercise 4.6 ★** Repair the test of "Debug it", so that it measures what its name says, and how much is missing.


# %%
# Exercise 4.6
def invariance_gap(layer, image, down, right):
    """The largest absolute change of a layer's output when its input moves; 0 for a layer that
    is invariant.

    layer: function from an image (H, W) to an array of features (h, w), of whatever size.
    image (H, W): array of floats, which stays as it is. down, right: whole pixels to move the
    content by, negative for up and left; what leaves at one edge comes back at the other.
    Returns a float.
    Example: for layer = np.copy, image = [[0, 3, 5]], down = 0 and right = 1 it is 5:
    [[5, 0, 3]] against [[0, 3, 5]].
    """
    ### BEGIN SOLUTION
    moved = np.roll(image, (down, right), axis=(0, 1))
    return float(np.abs(layer(moved) - layer(image)).max())
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy import ndimage

ex = exercise("4.6", start="moved_along")
ex.hints(
    "What does a layer that is invariant put out for the moved image, and what for the image as it was?",
    "The broken test moves three things. Which of them must not move, if the output has to stay as it was?",
    "Compare layer(moved image) with layer(image), place by place, and take the largest absolute difference.",
)


ENDS = {  # what a layer makes of its features f
    "f": lambda f: f,
    "ndimage.maximum_filter(f, 2)[1::2, 1::2]": lambda f: ndimage.maximum_filter(f, 2)[1::2, 1::2],  # 2 x 2 pooling
    "np.maximum(f, 0).mean(keepdims=True)": lambda f: np.maximum(f, 0).mean(keepdims=True),
    "f.mean(axis=1, keepdims=True)": lambda f: f.mean(axis=1, keepdims=True),
    "f.min(axis=0, keepdims=True)": lambda f: f.min(axis=0, keepdims=True),
}
CONVOLUTION, POOL, GLOBAL_MEAN, MEAN_OF_ROWS, LEAST_OF_COLUMNS = ENDS


def _layer(end, kernel):
    return lambda image: ENDS[end](ndimage.correlate(np.asarray(image, float), kernel, mode="wrap"))


@ex.cases
def _(rng):
    one = np.ones((1, 1))
    yield CONVOLUTION, one, np.array([[0.0, 3.0, 5.0]]), 0, 1
    falling = np.array([[9.0, 0, 0, 0], [0, 0, 0, 0]])
    yield from ((POOL, one, falling, 0, right) for right in (1, -1, 2))
    yield LEAST_OF_COLUMNS, one, np.array([[5.0, 1.0, 1.0]]), 0, -1
    yield CONVOLUTION, one, falling, 0, 0
    yield CONVOLUTION, one, falling, -1, -3
    yield CONVOLUTION, one, falling, 3, 9  # further than the image is large
    for i in range(25):
        image, kernel = rng.integers(-20, 20, rng.integers(4, 9, 2)) / 4, rng.integers(-4, 5, (3, 3)) / 2
        yield list(ENDS)[i % 5], kernel, image, *(int(v) for v in rng.integers(-3, 5, 2))


ex.shown_as("""
from scipy import ndimage
def layer(x):
    f = ndimage.correlate(x, kernel, mode="wrap")
    return eval(end)
invariance_gap(layer, image, down, right)
""")


@ex.drive
def built(answer, end, kernel, image, down, right):
    gap = answer(_layer(end, kernel), image, down, right)
    return {"gap": gap, "image afterwards": image}


@ex.oracle
def _(end, kernel, image, down, right):
    # What moves by (down, right) under a still layer: fetch each pixel from where it was.
    rows, columns = (np.arange(size) for size in image.shape)
    came_from = np.ix_((rows - down) % len(rows), (columns - right) % len(columns))
    difference = _layer(end, kernel)(image[came_from]) - _layer(end, kernel)(image)
    return {"gap": float(max(difference.max(), -difference.min())), "image afterwards": image}


@ex.wrong
def moved_along(layer, image, down, right):
    """The output of the still image is moved along before it is compared. That asks for equivariance; for invariance
    the output has to stay as it was."""
    moved = np.roll(image, (down, right), axis=(0, 1))
    return float(np.abs(layer(moved) - np.roll(layer(image), (down, right), axis=(0, 1))).max())


@ex.wrong
def input_changes(layer, image, down, right):
    """This measures how much the image changes. How much the layer's output changes is asked for."""
    return float(np.abs(np.roll(image, (down, right), axis=(0, 1)) - image).max())


@ex.wrong
def signed(layer, image, down, right):
    """A change downwards counts as much as one upwards: the largest *absolute* change is asked for."""
    return float((layer(np.roll(image, (down, right), axis=(0, 1))) - layer(image)).max())


@ex.wrong
def on_average(layer, image, down, right):
    """This is the mean of the absolute changes. A mean can hide one large change; take the largest."""
    return float(np.abs(layer(np.roll(image, (down, right), axis=(0, 1))) - layer(image)).mean())


@ex.wrong
def difference_of_maxima(layer, image, down, right):
    """You compared the largest output before with the largest one after, wherever they are. Compare place by place, and
    take the maximum at the end."""
    return float(abs(layer(np.roll(image, (down, right), axis=(0, 1))).max() - layer(image).max()))


@ex.wrong
def axes_exchanged(layer, image, down, right):
    """Rows come before columns: you moved the image down by `right` and to the right by `down`."""
    return float(np.abs(layer(np.roll(image, (right, down), axis=(0, 1))) - layer(image)).max())


@ex.wrong
def zeros_move_in(layer, image, down, right):
    """What leaves the image at one edge has to come back at the other; you let zeros in."""
    moved = ndimage.shift(image, (down, right), order=0)
    return float(np.abs(layer(moved) - layer(image)).max())


@ex.wrong
def opposite(layer, image, down, right):
    """Your image moves up and to the left; positive numbers ask for down and right."""
    return float(np.abs(layer(np.roll(image, (-down, -right), axis=(0, 1))) - layer(image)).max())


@ex.wrong
def moves_the_image_itself(layer, image, down, right):
    """You write the moved image into `image` itself, which belongs to the caller. Make a new array of it."""
    image[:] = np.roll(image, (down, right), axis=(0, 1))
    return float(np.abs(layer(image) - layer(image)).max())


@ex.wrong
def rows_only(layer, image, down, right):
    """The image has to move along both axes; yours moves down and not to the right."""
    return float(np.abs(layer(np.roll(image, down, axis=0)) - layer(image)).max())


@ex.right
def by_fetching(layer, image, down, right):
    rows, columns = (np.arange(size) - move for size, move in zip(image.shape, (down, right)))
    moved = image.take(rows, axis=0, mode="wrap").take(columns, axis=1, mode="wrap")
    return float(np.linalg.norm(np.ravel(layer(moved) - layer(image)), np.inf))


ex.equivalent(
    "'layer(image) - layer(moved)' for 'layer(moved) - layer(image)' in 'return "
    "float(np.abs(layer(moved) - layer(image)).max())'",
    "the sign of a difference does not count in its absolute value",
)
ex.equivalent(
    "by_fetching: 'layer(image) - layer(moved)' for 'layer(moved) - layer(image)' in 'return "
    "float(np.linalg.norm(np.ravel(layer(moved) - layer...'",
    "the sign of a difference does not count in its absolute value",
)

# %%
check("4.6", invariance_gap)

# %% [markdown]
# **Exercise 4.7 ★★★** Mean or maximum? Let the network decide: write a Keras layer for global pooling that lies in
# between, with one trained number.


# %%
# Exercise 4.7
class GeneralizedMean(keras.layers.Layer):
    """Global pooling by the generalised mean (Radenović et al., 2019). For each channel, with
    the mean over all places: (mean of max(x, 0.001) ** p) ** (1 / p).

    GeneralizedMean(p=3.0): a number >= 1, with which the layer's only weight begins. The weight
    has shape () and is trained. Raises ValueError on making the layer where p is less than 1.
    Called on feature maps (batch, H, W, C) of float32: a tensor (batch, C), through which
    gradients flow to the feature maps and to the weight.
    Example: for the feature map [[0, 1], [1, 2]] it is 1.000 with p = 1, which is the mean, and
    1.866 with p = 20, not far from the maximum.
    """

    def __init__(self, p=3.0):
        super().__init__()
        ### BEGIN SOLUTION
        if p < 1:
            raise ValueError(f"p must be at least 1, and it is {p}")
        self.p = self.add_weight(shape=(), initializer=keras.initializers.Constant(p), name="p")
        ### END SOLUTION

    def call(self, features):
        ### BEGIN SOLUTION
        powers = keras.ops.power(keras.ops.maximum(features, 0.001), self.p)
        return keras.ops.power(keras.ops.mean(powers, axis=(1, 2)), 1 / self.p)
        ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import keras
import numpy as np

ex = exercise("4.7", rtol=1e-3, atol=1e-5)
ex.hints(
    "`add_weight` makes a weight; in `__init__` already, for its shape depends on no input.",
    "`keras.initializers.Constant(p)` begins a weight with p. In `call`, use the weight, not the number it began with.",
    "Clip, power, mean over the axes 1 and 2, and the power 1 / p at the end, all with functions of `keras.ops`.",
)


@ex.cases
def _(rng):
    small = np.array([[0.0, 1.0], [1.0, 2.0]])[None, :, :, None]
    yield {"p": 1.0}, small, 20.0
    yield {"p": 20.0}, small, 1.0
    yield {}, small, 2.0
    yield {}, 2 - small, 4.0
    yield {"p": 1}, -small, 2.0
    yield {"p": 1.5}, np.arange(-3.0, 9).reshape(1, 2, 3, 2) / 4, 2.5
    for p in (0.99, 0, -1.0):
        yield {"p": p}, small, 2.0
    for _ in range(8):
        shape = *rng.integers(1, 4, 1), *rng.integers(2, 6, 2), *rng.integers(1, 4, 1)
        p, learned = (float(p) for p in rng.integers(4, 25, 2) / 4)
        yield {"p": p}, rng.integers(-2, 13, shape) / 4, learned


ex.shown_as(
    "layer = GeneralizedMean(**options)\nlayer(features.astype('float32'))\nlayer.set_weights([np.array(learned)])\n"
    "layer(features.astype('float32'))"
)


@ex.drive
def used(answer, options, features, learned):
    layer = answer(**options)
    if options.get("p", 3.0) < 1:
        return "a layer"  # an error that comes later comes too late
    features = features.astype("float32")
    symbolic = layer(keras.Input(features.shape[1:]))
    found = {
        "shape of the output": tuple(symbolic.shape),
        "shapes of the trained weights": [tuple(int(n) for n in one.shape) for one in layer.trainable_variables],
        "output": keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(features))),
    }
    if found["shapes of the trained weights"] != [()]:
        return found | dict.fromkeys(("output after training", "gradient of the summed output"), "not asked for")
    layer.trainable_variables[0].assign(learned)

    def total(features, p):
        fixed = [one.value for one in layer.non_trainable_variables]
        return keras.ops.sum(layer.stateless_call([p], fixed, features)[0])

    p = np.float32(learned)
    return found | {
        "output after training": keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(features))),
        "gradient of the summed output": {
            "for the features": keras.ops.convert_to_numpy(gradient(lambda x: total(x, p), features)),
            "for the weight": keras.ops.convert_to_numpy(gradient(lambda p: total(features, p), p)),
        },
    }


@ex.oracle
def _(options, features, learned):
    p = options.get("p", 3.0)
    if p < 1:
        raise ValueError("p is less than 1")
    x = np.maximum(features, 0.001)
    outputs = [np.mean(x**power, axis=(1, 2), keepdims=True) ** (1 / power) for power in (p, learned)]
    shares = (x / outputs[1]) ** learned / (x.shape[1] * x.shape[2])  # they sum to 1 over the places
    by_p = outputs[1] / learned * (np.sum(shares * np.log(x), axis=(1, 2), keepdims=True) - np.log(outputs[1]))
    return {
        "shape of the output": (None, features.shape[3]),
        "shapes of the trained weights": [()],
        "output": outputs[0][:, 0, 0],
        "output after training": outputs[1][:, 0, 0],
        "gradient of the summed output": {
            "for the features": np.where(features > 0.001, shares * outputs[1] / x, 0),
            "for the weight": by_p.sum(),
        },
    }


class _Base(keras.layers.Layer):
    axes, trainable_p = (1, 2), True

    def __init__(self, p=3.0):
        super().__init__()
        self.check(p)
        self.number = p
        self.p = self.add_weight(shape=(), initializer=keras.initializers.Constant(p), trainable=self.trainable_p)

    def check(self, p):
        if p < 1:
            raise ValueError("p is less than 1")

    def exponent(self):
        return self.p

    def call(self, x):
        powers = keras.ops.power(self.clipped(x), self.exponent())
        return self.root(self.over_places(powers))

    def clipped(self, x):
        return keras.ops.maximum(x, 0.001)

    def over_places(self, powers):
        return keras.ops.mean(powers, axis=self.axes)

    def root(self, mean):
        return keras.ops.power(mean, 1 / self.exponent())


@ex.wrong
class number_kept(_Base):
    """Your layer has a weight, but computes with the number that it began with: training would change nothing."""

    def exponent(self):
        return float(self.number)


@ex.wrong
class not_trained(_Base):
    """p has to be a weight that is trained; your layer has none. A plain number, or trainable=False, stays as it is."""

    trainable_p = False


@ex.wrong
class in_brackets(_Base):
    """The weight is a single number, of shape (); yours is an array of shape (1,) that holds one."""

    def __init__(self, p=3.0):
        keras.layers.Layer.__init__(self)
        self.check(p)
        self.p = self.add_weight(shape=(1,), initializer=keras.initializers.Constant(p))


@ex.wrong
class one_for_each_channel(_Base):
    """One number for all channels is asked for, a weight of shape (); yours has one for each channel."""

    def __init__(self, p=3.0):
        keras.layers.Layer.__init__(self)
        self.check(p)
        self.number = p

    def build(self, shape):
        self.p = self.add_weight(shape=(shape[-1],), initializer=keras.initializers.Constant(self.number))


@ex.wrong
class without_root(_Base):
    """This is the mean of the powers. The power 1 / p of that mean is still missing."""

    def root(self, mean):
        return mean


@ex.wrong
class a_sum(_Base):
    """You took the sum over the places, which is a p-norm. The mean is asked for, so that p = 1 gives average
    pooling."""

    def over_places(self, powers):
        return keras.ops.sum(powers, axis=self.axes)


@ex.wrong
class over_channels_too(_Base):
    """Each channel has its own mean: pool over height and width, the axes 1 and 2, and keep batch and channels."""

    axes = (1, 2, 3)


@ex.wrong
class keeps_the_places(_Base):
    """The output has the shape (batch, C); yours still has the two axes of the places, of size 1."""

    def over_places(self, powers):
        return keras.ops.mean(powers, axis=self.axes, keepdims=True)


@ex.wrong
class absolute_values(_Base):
    """Negative numbers count as 0.001; you took their absolute values."""

    def clipped(self, x):
        return keras.ops.maximum(keras.ops.abs(x), 0.001)


@ex.wrong
class never_refuses(_Base):
    """The pooling is right, but a p of less than 1 has to be refused with a ValueError when the layer is made, in
    `__init__`."""

    def check(self, p):
        pass


@ex.wrong
class refuses_one(_Base):
    """p = 1 is allowed: it gives average pooling. Only less than 1 has to be refused."""

    def check(self, p):
        if p <= 1:
            raise ValueError("p is too small")


@ex.wrong
class without_gradient(_Base):
    """The output is right, but no gradient reaches the feature maps: layers below yours could not learn."""

    def clipped(self, x):
        return keras.ops.stop_gradient(keras.ops.maximum(x, 0.001))


@ex.right
class by_logarithms(keras.layers.Layer):
    def __init__(self, p=3.0):
        super().__init__()
        if not p >= 1:
            raise ValueError("p is too small")
        self.start = float(p)

    def build(self, _):
        self.exponent = self.add_weight(initializer=lambda shape, dtype: keras.ops.full(shape, self.start, dtype))

    def call(self, x):
        logarithms = keras.ops.log(keras.ops.maximum(x, 0.001)) * self.exponent
        places = x.shape[1] * x.shape[2]
        mean = keras.ops.logsumexp(logarithms, axis=(1, 2)) - np.log(places)
        return keras.ops.exp(mean / self.exponent)


ex.equivalent(
    "'self.add_weight(initializer=keras.initializers.Constant(p...' for 'self.add_weight(shape=(), "
    "initializer=keras.initializers....' in 'self.p = self.add_weight(shape=(), "
    "initializer=keras.init...'",
    "() is the default shape",
)
ex.equivalent(
    "features is changed in place in 'def call(self, features):'",
    "a tensor of TensorFlow cannot be changed in place",
)
ex.equivalent(
    "by_logarithms: _ is always the first one in 'def build(self, _):'",
    "the shape of the input is not used",
)
ex.equivalent(
    "by_logarithms: x is changed in place in 'def call(self, x):'",
    "a tensor of TensorFlow cannot be changed in place",
)

# %%
check("4.7", GeneralizedMean)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | jump | $J_l = s_l J_{l-1}$ | (4.1) |
# | receptive field | $r_l = r_{l-1} + d_l (k_l - 1) J_{l-1}$ | (4.2) |
# | offset | $a_l = a_{l-1} - p_l J_{l-1}$; unit $u$ sees from $a_l{+}uJ_l$ on | (4.3) |
# | small kernels | $9mC^2$ weights against $(2m+1)^2C^2$ | (4.4) |
# | pooling | maximum or mean of each window of each channel | (4.5) |
# | its gradient | all to the largest pixel, or equal shares | (4.6) |
# | invariance | global pooling does not change when features move | (4.7) |
# | effective field | $\mathrm{Var}[x] = \sum_l (d_l J_{l-1})^2 (k_l^2 - 1)/12$ | (4.8) |
#
# ## References
#
# - Alain, Bengio, *Linear classifier probes*, 2016, arXiv:1610.01644.
# - Araujo, Norris, Sim, *Computing receptive fields*, 2019, Distill.
# - Azulay, Weiss, *Why do deep convolutional networks generalize so poorly [...]?*, 2019.
# - Fukushima, *Neocognitron*, 1980.
# - Girshick, Donahue, Darrell, Malik, *Rich feature hierarchies*, 2014.
# - Hartline, *The response of single optic nerve fibers [...]*, 1938.
# - Hubel, Wiesel, *Receptive fields [...] in the cat's visual cortex*, 1962.
# - Lin, Chen, Yan, *Network in network*, 2013, arXiv:1312.4400.
# - Luo et al., *Understanding the effective receptive field*, 2016, arXiv:1701.04128.
# - Radenović, Tolias, Chum, *Fine-tuning CNN image retrieval*, 2019, arXiv:1711.02512.
# - Scherer, Müller, Behnke, *Evaluation of pooling operations*, 2010.
# - Sherrington, *The integrative action of the nervous system*, 1906.
# - Simonyan, Zisserman, *Very deep convolutional networks*, 2015, arXiv:1409.1556.
# - Yu, Koltun, *Multi-scale context aggregation*, 2016, arXiv:1511.07122.
# - Zeiler, Fergus, *Visualizing and understanding convolutional networks*, 2014, arXiv:1311.2901.
