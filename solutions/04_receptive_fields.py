# %% [raw]
# title: Pooling, receptive fields, hierarchy
# part: II. Convolution
# minutes: 120
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - activation functions
#   - softmax and cross-entropy
#   - gradient descent
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
# sources:
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
#   - "Azulay & Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?, 2019"
#   - "Araujo, Norris & Sim, Computing receptive fields of convolutional neural networks, 2019"

# %% [markdown]
# Cover the figure with your hand, and uncover it column by column, from the left. Each row shows the middle of one
# picture, first through a window of 3 × 3 pixels, then of 8, 16 and 32. At which column do you know what it is?

# %%
import re
from functools import cache
from itertools import product
from typing import NamedTuple

from course import budget, check, claim, data, gradient, plots, prove, record, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, signal

rng = start("04")  # seeds everything from COURSE_SEED and sets the style of the figures


def frame(axis, title=""):
    """Take the ticks off and draw a thin frame around."""
    axis.set(xticks=[], yticks=[])
    axis.set_title(title)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def draw_numbers(axis, values, title="", k=None, bound=None):
    """Draw a small array as a grid of its numbers, purple where positive, orange where negative; k: the side of the
    windows to frame."""
    values = np.asarray(values)
    bound = bound or 2 * np.abs(values).max()
    axis.imshow(values, cmap="PuOr", vmin=-bound, vmax=bound)
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, f"{value:.3g}", ha="center", va="center")
    frame(axis, title)
    for row, column in product(*(range(0, size, k or size) for size in values.shape)):
        if k:
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), k, k, fill=False, lw=2.5, ec=plots.COLOURS[0]))


# %%
photos = data.cifar10()
examples = [photos.x_test[photos.y_test == label][0] for label in (0, 1, 3, 5, 7, 8)]
names = [photos.classes[label] for label in (0, 1, 3, 5, 7, 8)]

figure, axes = plt.subplots(3, 9, figsize=(8.6, 3.3), width_ratios=[1, 1, 1, 1, 0.25, 1, 1, 1, 1])
for i, (photo, name) in enumerate(zip(examples, names)):
    group = axes[i % 3, 5 * (i // 3) :][:4]
    for axis, side in zip(group, (3, 8, 16, 32)):
        begin = 16 - side // 2
        axis.imshow(photo[begin : begin + side, begin : begin + side])
        frame(axis, f"{side} px" if i % 3 == 0 else "")
    group[3].set_ylabel(name)
    group[3].yaxis.set_label_position("right")
for axis in axes[:, 4]:
    axis.axis("off")
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 4.1. Six pictures, each through four windows on its middle, all drawn at the same size. The name stands at
# the right of the whole picture.*
#
# The first column is all that a 3 × 3 kernel ever gets to see, and nobody can name the picture from it. Yet networks
# that are built from such kernels can. So:
#
# **How do windows of three pixels come to see the whole picture, how much of it do they really use, and what does each
# depth see in it?**
#
# ## What you will be able to do
#
# - compute which pixels any unit of any stack of layers can see, and draw it;
# - say what small kernels, strides, pooling and dilation each do to that field, and what each costs;
# - route a gradient through max and average pooling;
# - tell invariance from equivariance, and test for the one that you mean;
# - explain why a unit looks mostly at the middle of its field;
# - look into a trained network, depth by depth, and say what its units answer to, and which answer to nothing useful.
#
# ## Which pixels does a unit see?
#
# A *unit* is one number in the output of a layer: one place in one channel. Its **receptive field** is the part of
# the picture that it depends on; the name comes from physiology, where Hubel and Wiesel (1962) asked the same of
# single nerve cells in a cat. Stack three layers of 3 × 3, take one unit of the third, and walk back, along one
# axis. It sees three units of the second layer. Those see five of the first, because neighbours share what they see;
# and those see seven pixels.
#
# With a **pooling** layer the walk is faster. You will meet pooling properly below; here it is enough that it puts one
# number in the place of each window of two, and that the windows lie side by side, which is a stride of 2. Walk back
# through *convolution, pool, convolution, pool, convolution*: 1 unit, 3, 6, 8, 16, 18 pixels.
#
# The program below does the walk for any stack that you type; further down it is drawn.


# %%
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
    """How many units each layer has along one axis of n pixels, the picture first (3.3)."""
    counts = [n]
    for depth, layer in enumerate(stack, start=1):
        covered, there = layer.dilation * (layer.kernel - 1) + 1, counts[-1] + 2 * layer.padding
        if covered > there:
            raise ValueError(f"layer {depth} covers {covered} places of its input, which has {there} with its padding")
        counts.append((there - covered) // layer.stride + 1)
    return counts


def walk_back(stack, n, unit):
    """Which units of each layer reach one unit of the last: dicts from place to number of ways, the picture first."""
    counts, ways = sizes(stack, n), [{unit: 1}]
    for layer, below in zip(stack[::-1], counts[-2::-1]):
        reached = {}
        for place, number in ways[-1].items():
            for i in range(layer.kernel):
                tap = place * layer.stride - layer.padding + i * layer.dilation
                if 0 <= tap < below:  # else it stands on padding
                    reached[tap] = reached.get(tap, 0) + number
        ways.append(reached)
    return ways[::-1]


# %% [markdown]
# The walk lists every single unit. To know where a field lies and how large it is, three numbers per layer are enough,
# and they follow from those of the layer before.
#
# The **jump** $J$: how many pixels lie between what two neighbouring units see. A stride multiplies it.
#
# $$ J_l = s_l\, J_{l-1} = \prod_{i=1}^{l} s_i, \qquad J_0 = 1 \tag{4.1} $$
#
# The size $r$ of the **receptive field**: a kernel reaches from its first to its last input unit over $d(k-1)$ steps,
# and each step is a jump of the layer below.
#
# $$ r_l = r_{l-1} + d_l\,(k_l - 1)\, J_{l-1}, \qquad r_0 = 1 \tag{4.2} $$
#
# The **offset** $a$: the first pixel that unit 0 sees, negative where that pixel is padding. Unit $u$ then sees the
# pixels from $a_l + uJ_l$ to the last one at
#
# $$ a_l + u J_l + r_l - 1, \qquad a_l = a_{l-1} - p_l\, J_{l-1}, \quad a_0 = 0 \tag{4.3} $$
#
# These are the first and the last pixel. In between, a dilation may leave holes, and so may a stride larger than its
# kernel. And what lies before pixel 0 or after pixel $n-1$ is padding: zeros, behind which there is nothing to see.


# %%
def trace(stack):
    """Jump, receptive field and offset of each layer, the picture first: a list of (J, r, a)."""
    jump, field, first = 1, 1, 0
    rows = [(jump, field, first)]
    for layer in stack:
        first = first - layer.padding * jump
        field = field + layer.dilation * (layer.kernel - 1) * jump  # (4.2)
        jump = layer.stride * jump  # (4.1)
        rows.append((jump, field, first))
    return rows


def jump_of(stack):
    return trace(stack)[-1][0]


def receptive_field(stack):
    return trace(stack)[-1][1]


def window_of(stack, unit):
    """The first and the last pixel that a unit of the last layer sees."""
    jump, field, first = trace(stack)[-1]
    return first + unit * jump, first + unit * jump + field - 1  # (4.3)


# %%
def draw_stack(axis, text, n, unit=None):
    """Draw a stack of layers as `read` takes it, above n pixels, with all that one unit of the last layer sees."""
    stack, colour = read(text), plots.COLOURS[0]
    counts, rows = sizes(stack, n), trace(stack)
    unit = counts[-1] // 2 if unit is None else unit
    ways = walk_back(stack, n, unit)
    for depth, (count, (jump, field, first)) in enumerate(zip(counts, rows)):
        for place in range(count):
            middle, number = first + place * jump + (field - 1) / 2, ways[depth].get(place, 0)
            shade = 0.2 + 0.8 * (number / max(ways[depth].values()))
            face = (colour, shade) if number else "#e4e4e4"
            axis.add_patch(Rectangle((middle - 0.42 * jump, depth), 0.84 * jump, 0.42, fc=face, ec="#666666", lw=0.5))
        if depth:
            (below_jump, below_field, below_first), layer = rows[depth - 1], stack[depth - 1]
            for place in ways[depth]:
                for i in range(layer.kernel):
                    tap = place * layer.stride - layer.padding + i * layer.dilation
                    if tap in ways[depth - 1]:
                        ends = (
                            below_first + tap * below_jump + (below_field - 1) / 2,
                            first + place * jump + (field - 1) / 2,
                        )
                        axis.plot(ends, [depth - 0.58, depth], color="#555555", lw=0.6, ls="-")
    labels = ["pixels", *(f"{word}: {row[1]}" for word, row in zip(text.split(), rows[1:]))]
    axis.set(xlim=(-1.5, n + 0.5), ylim=(-0.3, len(rows) - 0.3), xticks=[])
    axis.set_yticks(np.arange(len(rows)) + 0.21, labels)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), width_ratios=[9, 20, 15])
draw_stack(axes[0], "conv3 conv3 conv3", n=9)
draw_stack(axes[1], "conv3 pool2 conv3 pool2 conv3", n=22)
draw_stack(axes[2], "conv3 conv3d2 conv3d4", n=17)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.2. What one unit of the last layer sees (blue), through three stacks along one axis. Each row is a layer,
# with its words and its receptive field at the left; a unit is drawn above the middle of what it sees, as wide as its
# jump. The darker, the more ways lead from there to the unit at the top.*
#
# Three kernels of three see 7 pixels; with two pools in between, 18; with dilations 1, 2 and 4, 15 without losing a
# single place (Yu & Koltun, 2016).
#
# The recursion is easily got wrong, by a stride taken one layer too early, say. So let the network itself be asked. A
# unit depends on a pixel exactly if its gradient with respect to that pixel is not zero (for weights that are all
# positive, so that nothing cancels). Keras runs two hundred random stacks, with convolutions and average pools,
# and automatic differentiation says which pixels of a row of 400 count.


# %%
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
prove("4.1", lambda stack, unit: jump_of(stack), measured_jump, cases=random_stacks(200), name="jump")
prove("4.2", lambda stack, unit: receptive_field(stack), measured_field, random_stacks(200), name="receptive field")
prove("4.3", window_of, measured_window, cases=random_stacks(200), name="first and last pixel")

# %% [markdown]
# Now type a stack of your own. The one below has six convolutions and two pools; you will train it further down.


# %%
def draw_fields(axis, photo, text, unit):
    """Draw on a picture the field of one unit of each convolution: of the one at (unit, unit) in the last, and of one
    in the middle of what it sees in the others."""
    stack = read(text)
    ways = walk_back(stack, len(photo), unit)
    axis.imshow(photo)
    frame(axis)
    low, high = -1, len(photo)
    for depth, layer in reversed(list(enumerate(stack, start=1))):
        if layer.kind == "conv":
            first, last = window_of(stack[:depth], sorted(ways[depth])[len(ways[depth]) // 2])
            side, low, high = last - first + 1, min(low, first - 1), max(high, last + 1)
            axis.add_patch(Rectangle((first - 0.5, first - 0.5), side, side, fill=False, ec="black", lw=3.5))
            axis.add_patch(Rectangle((first - 0.5, first - 0.5), side, side, fill=False, ec="white", lw=1.5))
            if side >= 8:
                box = {"fc": "black", "lw": 0, "pad": 1}
                axis.text(first, first - 0.2, side, ha="left", va="top", color="white", fontsize=8, bbox=box)
    axis.set(xlim=(low - 0.5, high + 0.5), ylim=(high + 0.5, low - 0.5))


STACK = "conv3p1 conv3p1 pool2 conv3p1 conv3p1 pool2 conv3p1 conv3p1"  # type your own
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.9), width_ratios=[2.1, 1])
draw_stack(axes[0], STACK, n=32)
draw_fields(axes[1], examples[3], STACK, unit=sizes(read(STACK), 32)[-1] // 2)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.3. Left: the stack that you typed, above 32 pixels. Right: the fields in two dimensions, of one unit of each
# convolution, drawn on a picture (the smallest without their numbers); where a frame leaves the picture, the unit sees
# zeros.*
#
# **Try it.** Take the pools out: how many layers of `conv3p1` do you need for the same field? Put both pools at the
# end: what field is left, and why is a late pool nearly worthless for it? Then type `conv3d2 conv3d2` and look for the
# pixels between the blue ones, which the unit cannot see at all.
#
# ## Why are kernels so small?
#
# A single kernel of 7 × 7 sees as much as three layers of 3 × 3. Simonyan and Zisserman (2015) built all of VGG from
# the latter, and this is their sum. With $C$ channels in and out, and biases left aside, $m$ layers of 3 × 3 see
# $2m+1$ pixels along each axis by (4.2), and one layer that sees as much needs a kernel of that size:
#
# $$ 9\, m\, C^2 \quad \text{weights against} \quad (2m+1)^2\, C^2 \tag{4.4} $$
#
# For $m = 2$ that is 18 to 25, for $m = 3$ it is 27 to 49; and the small ones have an activation function after each
# layer, so the stack can do more than add up weighted pixels.


# %%
def weights_for(m, channels):
    """Weights of m layers of 3 x 3, and of one layer that sees as much (4.4)."""
    return 9 * m * channels**2, (2 * m + 1) ** 2 * channels**2  # (4.4)


def small_and_large(m, channels):
    """Two Keras models without biases, on 2m + 1 pixels: m layers of 3 x 3, and one kernel that covers all."""
    shape = keras.Input((2 * m + 1, 2 * m + 1, channels))
    small = [layers.Conv2D(channels, 3, use_bias=False, activation="tanh") for _ in range(m)]
    large = [layers.Conv2D(channels, 2 * m + 1, use_bias=False, activation="tanh")]
    return keras.Sequential([shape, *small]), keras.Sequential([shape, *large])


def keras_weights_for(m, channels):
    return tuple(model.count_params() for model in small_and_large(m, channels))


# %%
prove("4.4", weights_for, keras_weights_for, cases=((m, c) for m in (1, 2, 3, 4) for c in (1, 3, 16)))

# %%
seen, weights = {}, {}
for m in (2, 3):
    for name, model in zip(("small", "large"), small_and_large(m, 8)):
        picture = rng.normal(size=(1, 2 * m + 1, 2 * m + 1, 8)).astype("float32")
        change = ops.convert_to_numpy(gradient(lambda x, model=model: ops.sum(ops.square(model(x))), picture))
        seen[m, name], weights[m, name] = np.ptp(np.argwhere(change[0].any(axis=-1)), axis=0) + 1, model.count_params()
        print(f"{m if name == 'small' else 1} layer(s): sees {seen[m, name]}, {weights[m, name]:,} weights")

# %%
claim(
    "4.1",
    "two 3 × 3 layers see 5 × 5 pixels and three see 7 × 7, with fewer weights than one layer that sees as much",
    all(np.all(seen[m, name] == 2 * m + 1) for m in (2, 3) for name in ("small", "large"))
    and all(weights[m, "small"] < weights[m, "large"] for m in (2, 3)),
)

# %% [markdown]
# **Try it.** How many layers of 3 × 3, at stride 1, until one unit sees a photograph of 224 pixels? Solve (4.2). This
# is why no network does it by small kernels alone: something must make the jump grow.
#
# ## Pooling
#
# A **pooling** layer lays a window over each channel, mostly of 2 × 2 pixels and side by side, and keeps one number of
# each: the largest (**max pooling**) or the mean (**average pooling**). It has no weights. Channels are not mixed:
#
# $$ M(u, v, c) = \max_{0 \le i,j < k} I(us + i,\, vs + j,\, c), \qquad
#    A(u, v, c) = \frac{1}{k^2} \sum_{i=0}^{k-1} \sum_{j=0}^{k-1} I(us + i,\, vs + j,\, c) \tag{4.5} $$
#
# To learn, the layers below need to hear what the loss thinks of them. Say $\delta(u, v) = \partial L / \partial
# (\text{output})$ has arrived from above. Average pooling gave each pixel of the window the same say, so it hands each
# the same share. Max pooling listened to a single pixel and hands that one everything: to change any other a little
# would have changed nothing. For windows side by side ($s = k$), with $u = \lfloor r/k \rfloor$ and
# $v = \lfloor c/k \rfloor$ the window in which pixel $(r, c)$ lies, and no ties:
#
# $$ \frac{\partial L}{\partial I(r, c)} =
#    \begin{cases} \delta(u, v) & \text{if } I(r, c) = M(u, v) \\ 0 & \text{else} \end{cases}
#    \quad \text{(max)}, \qquad
#    \frac{\partial L}{\partial I(r, c)} = \frac{\delta(u, v)}{k^2} \quad \text{(average)} \tag{4.6} $$
#
# Where windows overlap, a pixel adds up what it gets from each; where two pixels tie, the libraries take the first.
# Which kind is better? Scherer et al. (2010) put both into otherwise equal networks for recognising objects, and the
# maximum won.


# %%
def pool(x, k, stride, kind):
    """Pooling (4.5) of x (H, W, C), kind "max" or "average": an array (Ho, Wo, C)."""
    windows = sliding_window_view(x, (k, k), axis=(0, 1))[::stride, ::stride]
    return windows.max(axis=(3, 4)) if kind == "max" else windows.mean(axis=(3, 4))  # (4.5)


def unpool(x, delta, k, kind):
    """The gradient (4.6) with respect to x (H, W), for windows of k x k side by side; delta (H // k, W // k)."""
    if delta.shape != (x.shape[0] // k, x.shape[1] // k):
        raise ValueError(f"delta has shape {delta.shape}, and pooling x makes {x.shape[0] // k, x.shape[1] // k}")
    spread = delta.repeat(k, axis=0).repeat(k, axis=1)
    if kind == "max":
        largest = pool(x[..., None], k, k, "max")[..., 0].repeat(k, axis=0).repeat(k, axis=1)
        share = x[: len(spread), : spread.shape[1]] == largest
    else:
        share = 1 / k**2
    result = np.zeros(x.shape)  # pixels that no window reached get nothing
    result[: len(spread), : spread.shape[1]] = spread * share  # (4.6)
    return result


# %%
small = np.array([[1, 3, 2, 0], [5, 2, 1, 1], [0, 1, 7, 4], [2, 6, 3, 8]])
delta = np.array([[4, -8], [12, 2]])
figure, axes = plt.subplots(1, 6, figsize=(9.5, 2.1), width_ratios=[4, 2.6, 2.6, 2.6, 4, 4])
draw_numbers(axes[0], small, "input $I$", k=2, bound=16)
draw_numbers(axes[1], pool(small[..., None], 2, 2, "max")[..., 0], "max", bound=16)
draw_numbers(axes[2], pool(small[..., None], 2, 2, "average")[..., 0], "average", bound=16)
draw_numbers(axes[3], delta, "$\\delta$ from above", bound=24)
draw_numbers(axes[4], unpool(small, delta, 2, "max"), "… through max", k=2, bound=24)
draw_numbers(axes[5], unpool(small, delta, 2, "average"), "… through average", k=2, bound=24)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.4. Left: windows of 2 × 2 and what pooling keeps of them. Right: a gradient of the loss that arrives from
# above, and how the two kinds of pooling hand it down.*


# %%
def whole(*shape):
    """Random whole numbers from -5 to 5, as floats."""
    return rng.integers(-5, 6, shape).astype("float32")


def without_ties(*shape):
    """Different whole numbers in random order."""
    return rng.permutation(np.prod(shape)).reshape(shape).astype("float32")


def keras_pool(x, k, stride, kind):
    layer = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[kind](k, stride)
    return layer(x[None])[0]


def automatic_unpool(x, delta, k, kind):
    layer = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[kind](k)
    delta = ops.convert_to_tensor(delta)
    return gradient(lambda x: ops.sum(layer(x)[0, ..., 0] * delta), x[None, ..., None])[0, ..., 0]


def pictures_to_pool(count):
    for _ in range(count):
        k, stride = (int(v) for v in rng.integers(1, 4, 2))
        yield whole(*rng.integers(4, 9, 2), 2), k, stride, ["max", "average"][rng.integers(2)]


def gradients_to_route(count):
    for _ in range(count):
        k, (height, width) = int(rng.integers(1, 4)), rng.integers(4, 9, 2)
        yield without_ties(height, width), whole(height // k, width // k), k, ["max", "average"][rng.integers(2)]


prove("4.5", pool, keras_pool, cases=pictures_to_pool(100))
prove("4.6", unpool, automatic_unpool, cases=gradients_to_route(100), name="gradient through pooling")

# %% [markdown]
# **Try it.** A strided convolution shrinks a picture too, and its weights are learned. Which weights make it average
# pooling? Can any weights make it max pooling?
#
# ## Does pooling make features stand still?
#
# A convolution is equivariant: when the picture moves, the output moves. For the answer "cat" that is the wrong thing;
# it should not change at all. That is **invariance**. The usual claim for pooling is that it brings some of it: if the
# largest number of a window moves by a pixel, chances are that it is still in the window.
#
# Try it, against the plain alternative: keep every second pixel, and drop the others. Take cut-outs of 24 pixels from
# the colour pictures, move the camera to the right pixel by pixel, and pass the views through two rounds of convolution
# and shrinking. Convolutions (16 random kernels, then ReLU) and output size are the same for all three; only the way of
# shrinking differs. What counts as a large change? As a yardstick take the distance between the features of two
# *different* pictures: 1 means that the move has changed the features as much as another picture would have.


# %%
def shrink(x, kind):
    """Half the size: every second pixel ("stride"), or 2 x 2 pooling."""
    if kind == "stride":
        return x[:, ::2, ::2]
    return (ops.max_pool if kind == "max pooling" else ops.average_pool)(x, 2, 2)


def distances(some, others):
    return np.sqrt(np.square(some - others).sum(axis=(1, 2, 3)))


# %%
views = photos.x_test[: budget(quick=200, full=2000, least=50)].astype("float32") / 255 - 0.5
convolutions = [layers.Conv2D(16, 3, padding="same", activation="relu") for _ in range(2)]
change = {}
for kind in ("stride", "max pooling", "average pooling"):
    features = []
    for move in range(9):
        x = ops.convert_to_tensor(views[:, 4:28, move : move + 24])
        for convolution in convolutions:
            x = shrink(convolution(x), kind)
        features.append(ops.convert_to_numpy(x))
    yardstick = distances(features[0], np.roll(features[0], 1, axis=0)).mean()
    change[kind] = [distances(f, features[0]).mean() / yardstick for f in features]
plots.show_curves(change, "the camera moves by so many pixels", "change of the features", x=range(9))

# %% [markdown]
# *Figure 4.5. How much the features change when the camera moves, as a share of the distance between two different
# pictures.*

# %%
claim(
    "4.2",
    "pooled features are steadier under a one-pixel shift than strided ones",
    max(change["max pooling"][1], change["average pooling"][1]) < 0.95 * change["stride"][1],
)

# %% [markdown]
# So there is something in it, and it is less than is often said: the pooled features do move. (A layer that always
# puts out 0 would be the steadiest of all; the yardstick is there to rule that out.) Azulay and Weiss (2019)
# found deep networks that change their minds about a photograph moved by one pixel. The reason is that every second
# pixel is dropped without asking what gets lost between them, and chapter 05 asks just that.
#
# True invariance needs a window that nothing can leave: the whole picture. **Global pooling** (Lin et al., 2013)
# keeps one number of each channel, the mean or the maximum over all places. Over all places it does not matter in
# which order they come, so when the features only move, nothing changes. With wrap-around edges, a stride $s$ that
# divides the size, and any function $f$ of single numbers:
#
# $$ G\bigl(f\bigl((T_{sa,\,sb}\, I) \star K\bigr)\bigr) = G\bigl(f(I \star K)\bigr), \qquad
#    G(F) = \frac{1}{H_o W_o} \sum_{u, v} F(u, v) \;\text{ or }\; \max_{u, v} F(u, v) \tag{4.7} $$
#
# (3.14) says that a move of the picture moves $I \star K$; $f$ acts at each place alone; and $G$ forgets the place.
# With zeros at the edges it holds as long as what moves, on a black ground, stays clear of the edge by the receptive
# field.


# %%
def globally_pooled(image, kernel, down, right, stride):
    """The mean and the maximum of the rectified features of an image that is moved by multiples of the stride (4.7)."""
    moved = np.roll(image, (stride * down, stride * right), axis=(0, 1))
    wrapped = np.pad(moved, [(k // 2, k // 2) for k in kernel.shape], mode="wrap")
    features = ops.relu(ops.conv(wrapped[None, ..., None], kernel[..., None, None], strides=stride))
    return ops.mean(features), ops.max(features)  # (4.7)


def scipy_unmoved(image, kernel, down, right, stride):
    features = np.maximum(ndimage.correlate(image, kernel, mode="wrap")[::stride, ::stride], 0)
    return features.mean(), features.max()


def moves(count):
    for _ in range(count):
        stride, k = int(rng.integers(1, 4)), 2 * int(rng.integers(0, 3)) + 1
        yield whole(*(stride * rng.integers(3, 7, 2))), whole(k, k), *(int(v) for v in rng.integers(0, 9, 2)), stride


prove("4.7", globally_pooled, scipy_unmoved, cases=moves(100))

# %% [markdown]
# **Try it.** Which of these are invariant to a move by two pixels (wrapping round): a 2 × 2 max pool with stride 2; the
# same, followed by global average pooling; global average pooling with stride 4 below it?
#
# ## How much of its field does a unit use?
#
# Look at the blue in Figure 4.2 again. The pixel in the middle of the field is dark and those at its ends are pale:
# seven ways lead from the middle up to the unit, and one from each end. Count the ways for three layers of 3: from the
# seven pixels lead 1, 3, 6, 7, 6, 3 and 1. A way is a choice of one tap in each layer, and where it ends is a sum
# of independent steps. Draw a way at random, and the variances of the steps add up. A tap is one of $0, 1, \dots, k-1$,
# equally likely, which has variance $(k^2-1)/12$, and a step is $d_l J_{l-1}$ pixels long:
#
# $$ \sigma_L^2 = \sum_{l=1}^{L} \bigl(d_l\, J_{l-1}\bigr)^2\, \frac{k_l^2 - 1}{12} \tag{4.8} $$
#
# For $L$ equal layers at stride 1, $\sigma = \sqrt{L\,(k^2-1)/12}$ grows as the *square root* of depth, while the
# field $r = L(k-1)+1$ grows with depth itself. And a sum of many independent steps is close to a Gaussian: the bell
# that you know from throwing many dice.
#
# So far that counts ways. What does it say about gradients? A gradient adds up, over all ways, the product of the
# weights on the way. If all weights are 1, it *is* the number of ways. If they are random, independent, with mean 0
# and variance $v$, ways cancel on average; but in the *square* of the gradient $g$, averaged over the draw of
# weights, all mixed products vanish and each way leaves $v^L$ (one channel, no activation function):
#
# $$ \mathbb{E}\bigl[g(x)^2\bigr] = v^L\, N(x), \qquad N(x) = \text{number of ways from pixel } x \tag{4.9} $$


# %%
def ways_from(stack):
    """N of (4.9): the number of ways from each pixel of the receptive field to one unit of the last layer."""
    ways = np.ones(1)
    for layer in stack[::-1]:
        covered = (len(ways) - 1) * layer.stride + 1
        below = np.zeros(covered + layer.dilation * (layer.kernel - 1))
        for i in range(layer.kernel):
            below[i * layer.dilation : i * layer.dilation + covered : layer.stride] += ways
        ways = below
    return ways


def spread_of(stack):
    """The standard deviation, in pixels, of where a way begins (4.8)."""
    jumps = [row[0] for row in trace(stack)]
    return np.sqrt(sum((la.dilation * j) ** 2 * (la.kernel**2 - 1) / 12 for la, j in zip(stack, jumps)))  # (4.8)


def mean_squared_gradient(stack, variance):
    return variance ** len(stack) * ways_from(stack)  # (4.9)


# %% [markdown]
# The first is held against Keras's gradients for the two hundred stacks from before. For the second, weights that
# are $+\sqrt{v}$ or $-\sqrt{v}$ have mean 0 and variance $v$, and there are few enough of them to take *all* draws:
# every pattern of signs, through SciPy.


# %%
def measured_spread(stack, unit):
    share, pixel = influence(stack, unit)[0].astype(float), np.arange(400)
    mean = np.sum(share * pixel) / share.sum()
    return np.sqrt(np.sum(share * (pixel - mean) ** 2) / share.sum())


def over_all_signs(stack, variance):
    total, patterns = 0, list(product([-1, 1], repeat=sum(layer.kernel for layer in stack)))
    for signs in patterns:
        effect, rest = np.ones(1), list(signs)
        for layer in stack[::-1]:
            kernel, spread = (
                np.zeros(layer.dilation * (layer.kernel - 1) + 1),
                np.zeros((len(effect) - 1) * layer.stride + 1),
            )
            kernel[:: layer.dilation], rest = np.sqrt(variance) * np.array(rest[: layer.kernel]), rest[layer.kernel :]
            spread[:: layer.stride] = effect
            effect = signal.convolve(spread, kernel, method="direct")
        total = total + effect**2
    return total / len(patterns)


def short_stacks():
    texts = ["conv3", "conv3 conv3", "conv2 conv2 conv2", "conv3s2 conv3", "conv2d2 conv3", "conv3d2 conv3d3", "conv5"]
    return ((read(text), variance) for text in texts for variance in (1.0, 0.25))


prove("4.8", lambda stack, unit: spread_of(stack), measured_spread, random_stacks(200), name="spread of the field")
prove("4.9", mean_squared_gradient, over_all_signs, cases=short_stacks())

# %% [markdown]
# Real networks have many channels and ReLUs, for which (4.9) promises nothing. So measure: random networks of up to 32
# layers of 3 × 3, eight channels and ReLU, on random pictures exactly as large as the receptive field. For each pixel,
# take the squared gradient of the one unit at the top, averaged over pictures and draws of the weights. The
# **effective receptive field** (Luo et al., 2016) is where it is not negligible; say, the smallest centred square that
# holds nine tenths of it.


# %%
def squared_gradient(depth, draws, batch=8):
    """The share of each pixel in the squared gradient of a random network: an array (2 depth + 1, 2 depth + 1)."""
    side = 2 * depth + 1
    total = np.zeros((side, side))
    for _ in range(draws):
        net = [layers.Conv2D(8, 3, activation="relu", kernel_initializer="he_normal") for _ in range(depth - 1)]
        net.append(layers.Conv2D(1, 3))

        def output(x, net=net):
            for layer in net:
                x = layer(x)
            return ops.sum(x)

        pictures = rng.normal(size=(batch, side, side, 3)).astype("float32")
        total += np.square(ops.convert_to_numpy(gradient(output, pictures))).sum(axis=(0, 3))
    return total / total.sum()


def effective_side(share, part=0.9):
    """The side of the smallest centred square that holds a part of a map (n, n) with n odd, which sums to 1."""
    middle = len(share) // 2
    inside = [share[middle - h : middle + h + 1, middle - h : middle + h + 1].sum() for h in range(middle + 1)]
    return 2 * int(np.argmax(np.array(inside) >= part)) + 1


def spread_along(share):
    """The standard deviation of a map along its two axes, averaged as variances."""
    place = np.arange(len(share)) - len(share) // 2
    return np.sqrt(sum(np.sum(share.sum(axis=axis) * place**2) for axis in (0, 1)) / 2)


# %%
depths = [1, 2, 4, 8, 16, 32]
maps = [squared_gradient(depth, draws=budget(quick=6, full=30, least=1)) for depth in depths]
field = [2 * depth + 1 for depth in depths]
effective = [effective_side(share) for share in maps]

figure = plt.figure(figsize=(9.5, 3.6))
grid = figure.add_gridspec(2, 3, width_ratios=[1, 1, 2.8])
for i, (depth, share) in enumerate(list(zip(depths, maps))[1:5]):
    axis = figure.add_subplot(grid[i // 2, i % 2])
    axis.imshow(np.sqrt(share), cmap="Greys")
    frame(axis, f"{depth} layers, {len(share)} px")
axis = figure.add_subplot(grid[:, 2])
axis.plot(depths, field, marker="o", label="receptive field $r$ (4.2)")
axis.plot(depths, effective, marker="s", label="square with 9/10 of the squared gradient")
axis.plot(depths, [spread_along(share) for share in maps], marker="^", ls="", label="its spread, measured")
predicted = [spread_of(read("conv3 " * depth)) for depth in depths]
axis.plot(depths, predicted, color="black", ls=":", label="its spread, by (4.8)")
axis.set(xscale="log", yscale="log", xticks=depths, xticklabels=depths, xlabel="layers of 3 × 3", ylabel="pixels")
axis.set(ylim=(0.6, 250), yticks=[1, 3, 10, 30], yticklabels=[1, 3, 10, 30])
axis.minorticks_off()
axis.legend(loc="upper left", fontsize=9)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.6. Left: the root of the squared gradient over the whole receptive field, for four depths; each picture is
# as large as the field. Right: the field grows with depth, what is used of it with the root of depth (spread: the
# standard deviation along one axis).*

# %%
share_used = [e / f for e, f in zip(effective, field)]
claim(
    "4.3",
    "a random network's effective field falls behind its receptive field as depth grows, and follows the square root",
    share_used[-1] < 0.4 < 0.6 < share_used[1]
    and np.allclose(predicted[2:], [spread_along(m) for m in maps[2:]], rtol=0.2),
)

# %% [markdown]
# So the receptive field is an upper bound, and a generous one. When a unit has to see an object of some size, plan for
# a field well beyond it. (Training helps: Luo et al. saw the effective field grow in it.)
#
# **Try it.** Does `conv3 pool2` repeated also fall behind? Work out (4.8) and (4.2) for a few rounds: which layers
# give the sum most of its value, and what does their $J$ do?
#
# ## Look inside: what each depth answers to
#
# Time to train the stack of Figure 4.3 on colour pictures, and to look at it layer by layer. Every convolution is
# followed by batch normalisation and ReLU (chapters 02 and 01), and at the top are global average pooling and ten
# outputs. A layer has 16 times as many channels as its jump: they double where the picture shrinks.


# %%
def network(stack):
    """A classifier of pictures (32, 32, 3) with values from 0 to 255, whose body is a stack of layers. Ten logits."""
    net, jump = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 64, offset=-2)]), 1
    for depth, layer in enumerate(stack, start=1):
        if layer.kind == "pool":
            net.add(layers.MaxPooling2D(layer.kernel, layer.stride))
        else:
            net.add(layers.ZeroPadding2D(layer.padding))
            net.add(layers.Conv2D(16 * jump, layer.kernel, layer.stride, dilation_rate=layer.dilation, use_bias=False))
            net.add(layers.BatchNormalization(momentum=0.9))
            net.add(layers.ReLU(name=f"depth{depth}"))
        jump *= layer.stride
    net.add(layers.GlobalAveragePooling2D())
    net.add(layers.Dense(10))
    return net


def features_of(net, stack):
    """A model that puts out the features after each convolution, a list."""
    convolutions = [depth for depth, layer in enumerate(stack, start=1) if layer.kind == "conv"]
    return keras.Model(net.inputs, [net.get_layer(f"depth{depth}").output for depth in convolutions])


# %%
stack = read(STACK)
fields = [row for row, layer in zip(trace(stack)[1:], stack) if layer.kind == "conv"]  # (J, r, a) of each convolution
x_train, y_train = (part[: budget(quick=4000, full=50000, least=500)] for part in (photos.x_train, photos.y_train))
x_test, y_test = (part[: budget(quick=2000, full=10000, least=500)] for part in (photos.x_test, photos.y_test))
untrained, net = network(stack), network(stack)
widths = [count for count, layer in zip(sizes(stack, 32)[1:], stack) if layer.kind == "conv"]
epochs = budget(quick=4, full=30, least=1)
rate = keras.optimizers.schedules.CosineDecay(0.002, epochs * len(x_train) // 32)  # falls from 0.002 to 0
net.compile(
    keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
net.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=0)
accuracy = net.evaluate(x_test, y_test, batch_size=250, verbose=0)[1]
print(f"{net.count_params():,} parameters; {accuracy:.1%} of the test pictures named rightly")

# %% [markdown]
# What does a unit answer to? Show it all test pictures, find for each the place where its channel answers most
# strongly, and cut out what is seen from there: that is what (4.3) is for. The patches that excite it most are its
# portrait (Zeiler & Fergus, 2014; Girshick et al., 2014).
#
# A portrait gallery can deceive by the choice of who is in it. So the channels are chosen by a rule. For each, take the
# 25 pictures that excite it most and count how many show the most frequent class among them: its **purity**. At each
# depth the figure shows the two purest channels and the least pure one.


# %%
def answers_of(net, stack, images):
    """What each channel of each convolution of a network answers to each picture (n, 32, 32, 3).

    Returns a list with a dict for each convolution: "mean", "best" and "place", arrays (n, channels): the mean and the
    strongest answer over all places, and the place of the strongest, counted row by row.
    """
    outputs = []
    for depth, layer in enumerate(stack, start=1):
        if layer.kind == "conv":
            maps = net.get_layer(f"depth{depth}").output
            flat = ops.reshape(maps, (-1, maps.shape[1] * maps.shape[2], maps.shape[3]))
            outputs.append({"mean": ops.mean(flat, 1), "best": ops.max(flat, 1), "place": ops.argmax(flat, 1)})
    return keras.Model(net.inputs, outputs).predict(images, batch_size=250, verbose=0)


def purity(best, labels, count=25):
    """For each channel the most frequent class among the `count` pictures with the strongest answers, and its share."""
    top = labels[np.argsort(-best, axis=0, kind="stable")[:count]]
    votes = [np.bincount(column, minlength=10) for column in top.T]
    return np.argmax(votes, axis=1), np.max(votes, axis=1) / count


def patch(image, place, places, row):
    """What a unit sees of an image (H, W, 3), grey where there is none, enlarged to 64 pixels.

    place: the unit's, counted row by row with `places` in a row. row: (J, r, a) of its layer.
    """
    jump, side, first = row
    top, left = (first + p * jump + side for p in divmod(int(place), places))
    padded = np.pad(image, [(side, side), (side, side), (0, 0)], constant_values=128)
    near = np.arange(64) * side // 64
    return padded[top : top + side, left : left + side][near][:, near]


# %%
answers = answers_of(net, stack, x_test)
figure, axes = plt.subplots(len(fields), 3, figsize=(9.5, 0.85 * len(fields)))
for axis_row, answer, field_row, places in zip(axes, answers, fields, widths):
    answering = np.flatnonzero((answer["best"] > 0).mean(axis=0) > 0.01)  # the others are dead
    classes, shares = purity(answer["best"][:, answering], y_test)
    order = np.argsort(-shares, kind="stable")
    for axis, i in zip(axis_row, (order[0], order[1], order[-1])):
        channel, strip = answering[i], []
        for picture in np.argsort(-answer["best"][:, channel], kind="stable")[:6]:
            strip += [patch(x_test[picture], answer["place"][picture, channel], places, field_row)]
            strip += [np.full((64, 6, 3), 255, np.uint8)]
        axis.imshow(np.concatenate(strip, axis=1))
        axis.axis("off")
        axis.set_title(f"{photos.classes[classes[i]]} {shares[i]:.0%}", fontsize=8, loc="left", pad=2)
    axis_row[0].text(-14, 32, f"{field_row[1]} px", ha="right", va="center")
figure.tight_layout(pad=0.3)
plt.show()

# %% [markdown]
# *Figure 4.7. For three channels at each depth (rows; the receptive field is at the left), the six patches of test
# pictures that excite them most, all drawn at the same size; grey lies outside the picture. Above each: the most
# frequent class among the best 25 pictures, and its share. Left and middle: the two purest channels. Right: the
# least pure.*

# %% [markdown]
# Go down the left and the middle column. At 3 pixels no patch could be named; what is pure there is a colour or an edge
# that one class happens to have more often than others. Further down the patches of a strip begin to show the same
# *part* of different objects, and in the last row, which sees the whole picture, often the same object.
#
# Then go down the right column. Those are the failures, if you hoped for a meaning in every unit: at any depth there
# are channels that collect a colour, an edge or a texture from all classes alike. Nothing in the training asks a
# unit to mean something to you. It asks that the ten outputs can make something of all of them together.
#
# Is it depth that does it, the larger field, or training? An untrained network of the same stack sees just as far, so
# compare. And put a second question to both: *what can be read out of a layer?* Take the mean of each channel over all
# places, and fit the simplest reader that there is, ten weighted sums. This is a **linear readout**, or probe
# (Alain & Bengio, 2016). The weights are fitted by least squares on one half of the test pictures and tried on the
# other, so that neither the network nor the reader has seen what it is asked.


# %%
def linear_readout(features, labels, half):
    """The accuracy, on the items from `half` on, of ten weighted sums of the features (n, channels) that are fitted by
    least squares to the labels of the items before it. A small penalty keeps the weights of idle channels at 0."""
    features = (features - features[:half].mean(axis=0)) / (features[:half].std(axis=0) + 1e-6)
    features = np.column_stack([np.ones(len(features)), features]).astype(float)
    wanted, known = np.eye(10)[labels[:half]], features[:half]
    fitted = np.linalg.solve(known.T @ known + 1e-2 * half * np.eye(known.shape[1]), known.T @ wanted)
    return float(np.mean((features[half:] @ fitted).argmax(axis=1) == labels[half:]))


# %%
pure, read_out = {}, {}
for name, found in (("trained", answers), ("untrained", answers_of(untrained, stack, x_test))):
    pure[name] = [purity(answer["best"], y_test)[1].mean() for answer in found]
    read_out[name] = [linear_readout(answer["mean"], y_test, len(x_test) // 2) for answer in found]

figure, axes = plt.subplots(1, 2, figsize=(9, 2.9))
for axis, figures, title in zip(
    axes, (pure, read_out), ("purity of a channel, on average", "accuracy of a linear readout")
):
    for (name, values), marker in zip(figures.items(), "os"):
        axis.plot([row[1] for row in fields], values, marker=marker, label=name)
    axis.set(xlabel="receptive field (pixels)", title=title, xticks=[row[1] for row in fields], ylim=(0, None))
    axis.legend(loc="lower right")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 4.8. Purity of the channels and what can be read out of a layer, against the receptive field of its units, for
# the trained network and for one with random weights. By chance a readout is right in one case of ten.*

# %%
claim(
    "4.4",
    "the deepest channels are purer than the first ones and than those of an untrained network that sees as much",
    pure["trained"][-1] > max(pure["trained"][0], pure["untrained"][-1]) + 0.08,
)

# %%
claim(
    "4.5",
    "more can be read out of the deepest layer than of the first, and than of the same layer without training",
    read_out["trained"][-1] > max(read_out["trained"][0], read_out["untrained"][-1]) + 0.08,
)

# %% [markdown]
# This answers the question of Figure 4.1, as far as this network goes. A field of three pixels already tells something,
# mostly by colour; what a larger field adds, it adds only where training has made use of it. The receptive field says
# what *can* be seen. (The layers differ in more than their field: the deeper ones have more channels as well. The
# untrained network has just as many.)
#
# The idea is old. Hubel and Wiesel's cat had cells that answer to edges at one place, and others that answer to the
# same edge anywhere in a small neighbourhood. Fukushima (1980) stacked the two kinds in turn in his Neocognitron:
# convolution and pooling, as here.
#
# ## Debug it
#
# "Convolutional networks are translation invariant", says many a page, and offers a test like the one below. It prints
# True. So a network that has learned centred digits should read them anywhere?


# %%
def is_invariant(layer, image, pixels):
    """From the web: does it make a difference whether the picture is moved before the layer or after it?"""
    moved = np.roll(image, pixels, axis=1)
    return np.allclose(np.roll(layer(image), pixels, axis=1), layer(moved), atol=1e-5)


def on_canvas(digits, right=0):
    """uint8 digits (n, 28, 28) in the middle of 36 x 36 pixels, or moved from there to the right, from 0 to 1."""
    canvas = np.zeros((len(digits), 36, 36, 1), "float32")
    canvas[:, 4:32, 4 + right : 32 + right, 0] = digits / np.float32(255)
    return canvas


def reader(top):
    """A small network that reads digits on 36 x 36 pixels; `top` turns the last feature maps into a vector."""
    inputs = x = keras.Input((36, 36, 1))
    x = layers.MaxPooling2D(2)(layers.Conv2D(8, 5, activation="relu")(x))
    x = layers.Conv2D(32, 5, activation="relu")(x)
    net = keras.Model(inputs, layers.Dense(10)(top(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    return net


# %%
mnist = data.mnist()
digits, labels = (part[: budget(quick=3000, full=60000, least=500)] for part in (mnist.x_train, mnist.y_train))
unseen, answers_to_them = (part[: budget(quick=1000, full=10000, least=250)] for part in (mnist.x_test, mnist.y_test))
layer = layers.Conv2D(8, 5, padding="same")
first_digit = on_canvas(unseen[:1])[0, ..., 0]
print(is_invariant(lambda image: ops.convert_to_numpy(layer(image[None, ..., None]))[0], first_digit, pixels=4))

read_right, moved_by = {}, range(5)  # pixels
for name, top in (("flattened", layers.Flatten()), ("global max pooling", layers.GlobalMaxPooling2D())):
    digit_reader = reader(top)
    digit_reader.fit(on_canvas(digits), labels, epochs=budget(quick=3, full=6, least=1), verbose=0)
    read_right[name] = [
        digit_reader.evaluate(on_canvas(unseen, move), answers_to_them, batch_size=250, verbose=0)[1]
        for move in moved_by
    ]
plots.show_curves(
    read_right, "digits moved to the right by so many pixels", "digits read rightly", x=[str(n) for n in moved_by]
)

# %% [markdown]
# *Figure 4.9. Two networks with the same convolutions, trained on centred digits and tested on moved ones. One flattens
# the last maps into one long vector, the other keeps the maximum of each map.*

# %%
lost = {name: values[0] - values[-1] for name, values in read_right.items()}
claim(
    "4.6",
    "moved by four pixels, digits are lost far more often on a network that flattens than on one with global pooling",
    lost["flattened"] > 0.15 and lost["flattened"] > 2 * lost["global max pooling"],
)

# %% [markdown]
# What does the test test? It moves the *output* too before it compares: that is (3.14), **equi**variance. The features
# of the moved digit are all there, four pixels further on, and a dense layer on the flattened maps has other weights
# there. It must learn every place by itself. To test invariance, compare with the output as it was; the repair is
# exercise 4.6. (Where the globally pooled network loses a little, (4.7) says why: the pool in between makes a jump of
# 2, and at the edge of the canvas windows are missing that the digit had before it moved.)
#
# Invariance has its price. A maximum over all places has forgotten where anything was, and whatever a class owes to the
# arrangement of its parts, the units below must have seen within their fields.
#
# ## This run

# %%
record(
    test_accuracy=accuracy,
    readout_of_first_layer=read_out["trained"][0],
    readout_of_last_layer=read_out["trained"][-1],
    field_used_at_32_layers=share_used[-1],
)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. A failed check names the input, what came out and what
# was expected. Plain Python and NumPy are enough.
#
# **Exercise 4.1 ★** The walk from the top. Equation (4.2) goes through the layers from the picture upwards; you can as
# well begin with some neighbouring units of the last layer and go down, as in the text above Figure 4.2.


# %%
# Exercise 4.1
def pixels_seen(units, layers):
    """How many pixels some neighbouring units of the last layer see together, along one axis.

    units: how many units, a whole number >= 1. layers: list of tuples
    (kernel size, stride, dilation) of whole numbers, first layer first. Count from the first
    pixel that is seen to the last; the picture is as large as you like.
    Returns a whole number. Raises ValueError where units is less than 1.
    Example: pixels_seen(1, [(3, 1, 1), (2, 2, 1), (3, 1, 1)]) is 8, by way of 3 and 6; for two
    units it is 10.
    """
    ### BEGIN SOLUTION
    if units < 1:
        raise ValueError(f"there must be at least 1 unit, not {units}")
    for k, stride, dilation in reversed(layers):
        units = (units - 1) * stride + dilation * (k - 1) + 1
    return units
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("4.1")


@ex.cases
def _(rng):
    yield 1, [(3, 1, 1), (2, 2, 1), (3, 1, 1)]
    yield 2, [(3, 1, 1), (2, 2, 1), (3, 1, 1)]
    yield 1, []
    yield 5, []
    yield 0, [(3, 1, 1)]
    yield -1, [(2, 1, 1)]
    yield 1, [(3, 1, 4)]
    for _ in range(24):
        stack = [tuple(int(v) for v in rng.integers((2, 1, 1), (6, 4, 4))) for _ in range(rng.integers(2, 5))]
        yield int(rng.integers(1, 4)), stack


@ex.oracle
def _(units, layers):
    if units < 1:
        raise ValueError("no unit")
    places = set(range(units))
    for k, stride, dilation in layers[::-1]:
        places = {place * stride + i * dilation for place in places for i in range(k)}
    return max(places) - min(places) + 1


def _down(units, layers):
    if units < 1:
        raise ValueError
    for k, s, d in layers:
        units = (units - 1) * s + d * (k - 1) + 1
    return units


@ex.wrong
def upwards(units, layers):
    """Each step is right, but the order is not: the walk down begins with the last layer of the list."""
    return _down(units, layers)


@ex.wrong
def without_dilation(units, layers):
    """A dilated kernel reaches further than it has numbers: the third number of a layer is not used."""
    return _down(units, [(k, s, 1) for k, s, _ in layers[::-1]])


@ex.wrong
def all_strides_1(units, layers):
    """With a stride, neighbouring units stand several places apart in the layer below: the stride is not used."""
    return _down(units, [(k, 1, d) for k, _, d in layers[::-1]])


@ex.wrong
def one_jump_too_many(units, layers):
    """Between some units there is one gap fewer than there are units; you made a jump for each unit."""
    if units < 1:
        raise ValueError
    for k, s, d in layers[::-1]:
        units = units * s + d * (k - 1)
    return units


@ex.wrong
def one_unit(units, layers):
    """Right for a single unit. Several units see more than one, though less than so many times as much."""
    if units < 1:
        raise ValueError
    return _down(1, layers[::-1])


@ex.wrong
def no_overlap(units, layers):
    """What neighbouring units see overlaps: their fields cannot simply be laid end to end."""
    if units < 1:
        raise ValueError
    return units * _down(1, layers[::-1])


@ex.wrong
def own_stride(units, layers):
    """The step of a kernel is the jump of the layer below it. You have multiplied by the layer's own stride already."""
    if units < 1:
        raise ValueError
    field, jump = 1, 1
    for k, s, d in layers:
        jump *= s
        field += d * (k - 1) * jump
    return field + (units - 1) * jump


@ex.wrong
def never_refuses(units, layers):
    """The count is right for one unit and more. Less than one unit has to be refused with a ValueError."""
    for k, s, d in layers[::-1]:
        units = (units - 1) * s + d * (k - 1) + 1
    return units


@ex.right
def by_recursion(units, layers):
    if units < 1:
        raise ValueError("no unit")
    field, jump = 1, 1
    for k, s, d in layers:
        field, jump = field + d * (k - 1) * jump, jump * s
    return field + (units - 1) * jump


# %%
check("4.1", pixels_seen)

# %% [markdown]
# **Exercise 4.2 ★★** The field as it really is: with holes where dilation leaves them, and without what stands on
# padding, at whichever layer the padding is.


# %%
# Exercise 4.2
def pixels_of(n, layers, unit):
    """The pixels that one unit of the last layer depends on, along one axis.

    n: pixels of the picture, numbered from 0. layers: list of tuples
    (kernel size, stride, padding, dilation) of whole numbers, first layer first; each layer
    pads its input with `padding` zeros on each side. unit: whole number >= 0.
    Returns the numbers of the pixels in ascending order, each once: an array of whole numbers.
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
    return np.array(sorted(places))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("4.2")


def _counts(n, layers):
    counts = [n]
    for k, s, p, d in layers:
        counts.append((counts[-1] + 2 * p - d * (k - 1) - 1) // s + 1)
        if counts[-1] < 1:
            raise ValueError("a kernel does not fit")
    return counts


def _taps(n, layers, unit, clip=(True, True), use_padding=True, use_dilation=True, refuse=True):
    """The walk down; clip: whether taps on padding are dropped in hidden layers, and in the picture."""
    counts = _counts(n, layers)
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
    for _ in range(30):
        stack = []
        for _ in range(rng.integers(1, 4)):
            k, stride, dilation = (int(v) for v in rng.integers((2, 1, 1), (5, 3, 4)))
            stack.append((k, stride, int(rng.integers(0, 3)), dilation))
        n = int(rng.integers(14, 30))
        try:
            last = _counts(n, stack)[-1]
        except ValueError:
            continue
        unit = int(rng.choice([0, last - 1, rng.integers(last), last if rng.random() < 0.3 else 0]))
        if unit == last or len(_taps(n, stack, unit)):  # a unit that sees nothing but padding asks nothing
            yield n, stack, unit


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
    """The edge of the picture is right. But a hidden layer has padding too, and through a zero that was put there
    nothing is seen: such places have to be left out at each layer on the way down."""
    return _taps(n, layers, unit, clip=(False, True))


@ex.wrong
def without_holes(n, layers, unit):
    """Between the taps of a dilated kernel there are pixels that the unit does not see; you filled them in."""
    taps = _taps(n, layers, unit)
    return np.arange(taps.min(), taps.max() + 1)


@ex.wrong
def padding_forgotten(n, layers, unit):
    """Padding moves the picture to the right under the kernel: the first tap stands so many places further left."""
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
def never_refuses(n, layers, unit):
    """The pixels are right, but a unit that the last layer does not have must be refused with a ValueError."""
    return _taps(n, layers, unit, refuse=False)


@ex.wrong
def first_and_last(n, layers, unit):
    """These are the first and the last pixel only. All of those that count are asked for."""
    taps = _taps(n, layers, unit)
    return np.array([taps.min(), taps.max()])


@ex.right
def by_matrices(n, layers, unit):
    sees = np.eye(n, dtype=int)
    for k, s, p, d in layers:
        count = len(range(0, sees.shape[0] + 2 * p - d * (k - 1), s))
        if count < 1:
            raise ValueError("a kernel does not fit")
        layer = np.zeros((count, sees.shape[0] + 2 * p), dtype=int)
        for u in range(count):
            layer[u, u * s : u * s + d * (k - 1) + 1 : d] = 1
        sees = layer[:, p : p + sees.shape[0]] @ sees
    if unit < 0 or unit >= len(sees):
        raise ValueError("no such unit")
    return np.nonzero(sees[unit])[0]


# %%
check("4.2", pixels_of)

# %% [markdown]
# **Exercise 4.3 ★★** `unpool` in the lesson needs windows side by side. Write the gradient of max pooling for windows
# that overlap, or leave gaps, and for ties.


# %%
# Exercise 4.3
def maxpool_backward(x, delta, k, stride):
    """The gradient of the loss with respect to the input of a max pool without padding.

    x: array (H, W), the input. delta: array (Ho, Wo), the gradient with respect to the output,
    with Ho = (H - k) // stride + 1 and likewise Wo. k, stride: whole numbers >= 1. Where
    several pixels of a window are equally large, the first of them counts, row by row.
    Returns an array (H, W). Raises ValueError where delta does not have the shape of the
    output.
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


@ex.cases
def _(rng):
    yield np.array([[1.0, 3.0, 2.0]]), np.array([[5.0, 7.0]]), 1, 2
    yield np.array([[1.0, 9, 2], [3, 4, 5], [6, 7, 8]]), np.array([[1.0, 2], [3, 4]]), 2, 1
    yield np.full((4, 4), 2.0), np.array([[1.0, 2], [3, 4]]), 2, 2
    yield np.zeros((5, 5)), np.ones((3, 3)), 2, 2
    for _ in range(26):
        k, stride = int(rng.integers(2, 4)), int(rng.integers(1, 4))
        x = rng.integers(0, rng.choice([4, 50]), rng.integers(4, 9, 2)).astype(float)
        shape = [(size - k) // stride + 1 for size in x.shape]
        if rng.random() < 0.1:
            shape[rng.integers(2)] += 1
        yield x, rng.integers(1, 10, shape).astype(float), k, stride


@ex.oracle
def _(x, delta, k, stride):
    # Finite differences: each pixel a little larger, after ties were broken in favour of the earlier pixel. All numbers
    # are whole multiples of powers of two, so nothing is rounded.
    if delta.shape != tuple((size - k) // stride + 1 for size in x.shape):
        raise ValueError("delta has another shape than the output")
    broken = x - np.arange(x.size).reshape(x.shape) * 2.0**-10
    result = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        raised = broken.copy()
        raised[place] += 2.0**-20
        change = [
            sliding_window_view(picture, (k, k))[::stride, ::stride].max(axis=(2, 3)) for picture in (broken, raised)
        ]
        result[place] = np.sum((change[1] - change[0]) * delta) * 2.0**20
    return result


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


# %%
check("4.3", maxpool_backward)

# %% [markdown]
# **Exercise 4.4 ★★★** Design a stack: it is to see at least so many pixels, must leave at least so many places of the
# picture, and shall have as few weights as can be.


# %%
# Exercise 4.4
def cheapest_stack(field, side, keep):
    """A stack of layers with a receptive field of at least `field` pixels, with as few weights
    as possible.

    The bricks, as words: "conv3", "conv5" and "conv7", with stride 1 and padded so that the
    picture keeps its size; and "pool2", 2 x 2 with stride 2, which halves the size, rounding
    down. All layers have the same number of channels, so a convolution has k * k weights for
    each pair of channels, and a pool has none. A pool may only stand directly after a
    convolution. side: pixels of the picture along one axis; keep: after the last layer at
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

KERNELS = {"conv3": 3, "conv5": 5, "conv7": 7}


@ex.cases
def _(rng):
    yield from [(7, 32, 32), (8, 32, 16), (32, 32, 8), (32, 32, 1), (1, 8, 8), (4, 16, 8), (3, 16, 1), (64, 64, 4)]
    yield from [(33, 32, 3), (20, 28, 7), (20, 28, 8), (224, 224, 7), (10, 9, 2)]
    for _ in range(15):
        side = int(rng.integers(12, 100))
        yield int(rng.integers(2, 90)), side, int(rng.integers(1, side // 2))


ex.shown_as("cheapest_stack(field, side, keep)")


@ex.drive
def weighed(answer, field, side, keep):
    words = list(answer(field, side, keep))
    seen, jump, weights, allowed = 1, 1, 0, True
    for i, word in enumerate(words):
        if word in KERNELS:
            seen, weights = seen + (KERNELS[word] - 1) * jump, weights + KERNELS[word] ** 2
        elif word == "pool2":
            allowed = allowed and i > 0 and words[i - 1] != "pool2"
            seen, jump, side = seen + jump, 2 * jump, side // 2
        else:
            raise ValueError(f"{word!r} is none of the bricks conv3, conv5, conv7 and pool2")
    return {
        "sees enough pixels": seen >= field,
        "keeps enough places": side >= keep,
        "every pool stands after a convolution": bool(allowed),
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
        "sees enough pixels": True,
        "keeps enough places": True,
        "every pool stands after a convolution": True,
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


# %%
check("4.4", cheapest_stack)

# %% [markdown]
# **Exercise 4.5 ★★** `ways_from` counts each way as 1. Weigh the ways instead: for linear layers with known kernels,
# how much does each pixel of the field change the unit at the top?


# %%
# Exercise 4.5
def influence_of(layers):
    """The derivative of one unit of the last layer with respect to each pixel of its receptive
    field, along one axis.

    layers: list of tuples (kernel, stride), first layer first: kernel is an array (k,) of
    floats, stride a whole number >= 1. Each layer is y(u) = sum over i of kernel(i)
    x(u * stride + i), without bias or activation.
    Returns an array as long as the receptive field, from its first pixel to its last.
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


@ex.cases
def _(rng):
    yield ([(np.ones(3), 1), (np.ones(3), 1)],)
    yield ([(np.array([1.0, 2.0, 4.0]), 1)],)
    yield ([(np.array([1.0, -3.0]), 2), (np.array([1.0, 2.0]), 1), (np.ones(2), 1)],)
    yield ([(np.array([2.0]), 3)],)
    for _ in range(24):
        yield ([(rng.normal(size=rng.integers(2, 5)), int(rng.integers(1, 4))) for _ in range(rng.integers(2, 5))],)


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
    return rows[:, 0]


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
    """This counts the ways. Each way has to be weighed by the product of the numbers on it."""
    return _push([(np.ones(len(kernel)), stride) for kernel, stride in layers[::-1]])


@ex.wrong
def as_shares(layers):
    """The derivatives themselves are asked for, not their shares: do not divide by the sum."""
    effect = _push(layers[::-1])
    return effect / effect.sum()


@ex.wrong
def absolute(layers):
    """A pixel may also lower the unit: keep the sign."""
    return np.abs(_push(layers[::-1]))


@ex.right
def way_by_way(layers):
    effect = {0: 1.0}
    for kernel, stride in layers[::-1]:
        below = {}
        for place, value in effect.items():
            for i, weight in enumerate(kernel):
                below[place * stride + i] = below.get(place * stride + i, 0.0) + value * weight
        effect = below
    return np.array([effect.get(place, 0.0) for place in range(max(effect) + 1)])


# %%
check("4.5", influence_of)

# %% [markdown]
# **Exercise 4.6 ★★** Repair the test of "Debug it", so that it measures what its name says, and how much is missing.


# %%
# Exercise 4.6
def invariance_gap(layer, image, down, right):
    """The largest absolute change of a layer's output when its input moves; 0 for a layer that
    is invariant.

    layer: function from an image (H, W) to an array of features (h, w), of whatever size.
    image (H, W): array of floats. down, right: whole pixels to move the content by; what
    leaves at one edge comes back at the other.
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


def _layer(kind, kernel):
    def apply(image):
        features = ndimage.correlate(np.asarray(image, float), kernel, mode="wrap")
        if kind == "pool":
            height, width = (size // 2 for size in features.shape)
            return features[: 2 * height, : 2 * width].reshape(height, 2, width, 2).max(axis=(1, 3))
        if kind == "global mean":
            return np.maximum(features, 0).mean(keepdims=True)
        return features.mean(axis=1, keepdims=True) if kind == "mean of each row" else features

    return apply


@ex.cases
def _(rng):
    yield "convolution", np.ones((1, 1)), np.array([[0.0, 3.0, 5.0]]), 0, 1
    kinds = ["convolution", "pool", "global mean", "mean of each row"]
    for i in range(24):
        image, kernel = rng.normal(size=rng.integers(4, 9, 2)), rng.normal(size=(3, 3))
        yield kinds[i % 4], kernel, image, *(int(v) for v in rng.integers(0, 4, 2))


ex.shown_as("""
from scipy import ndimage
end = {
    "convolution": lambda f: f,
    "pool": lambda f: f[: len(f) // 2 * 2, : f.shape[1] // 2 * 2].reshape(len(f) // 2, 2, -1, 2).max(axis=(1, 3)),
    "global mean": lambda f: np.maximum(f, 0).mean(keepdims=True),
    "mean of each row": lambda f: f.mean(axis=1, keepdims=True),
}[kind]
invariance_gap(lambda x: end(ndimage.correlate(x, kernel, mode="wrap")), image, down, right)
""")


@ex.drive
def built(answer, kind, kernel, image, down, right):
    return answer(_layer(kind, kernel), image, down, right)


@ex.oracle
def _(kind, kernel, image, down, right):
    # What moves by (down, right) under a still layer: fetch each pixel from where it was.
    rows, columns = (np.arange(size) for size in image.shape)
    came_from = np.ix_((rows - down) % len(rows), (columns - right) % len(columns))
    difference = _layer(kind, kernel)(image[came_from]) - _layer(kind, kernel)(image)
    return float(max(difference.max(), -difference.min()))


@ex.wrong
def moved_along(layer, image, down, right):
    """The output of the still image is moved along before it is compared. That asks for equivariance; for invariance
    the output has to stay as it was."""
    moved = np.roll(image, (down, right), axis=(0, 1))
    return float(np.abs(layer(moved) - np.roll(layer(image), (down, right), axis=(0, 1))).max())


@ex.wrong
def input_changes(layer, image, down, right):
    """This measures how much the picture changes. How much the layer's output changes is asked for."""
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
    """Rows come before columns: you moved the picture down by `right` and to the right by `down`."""
    return float(np.abs(layer(np.roll(image, (right, down), axis=(0, 1))) - layer(image)).max())


@ex.wrong
def zeros_move_in(layer, image, down, right):
    """What leaves the picture at one edge has to come back at the other; you let zeros in."""
    moved = np.zeros(image.shape)
    moved[down:, right:] = image[: image.shape[0] - down, : image.shape[1] - right]
    return float(np.abs(layer(moved) - layer(image)).max())


@ex.wrong
def rows_only(layer, image, down, right):
    """The picture has to move along both axes; yours moves down and not to the right."""
    return float(np.abs(layer(np.roll(image, down, axis=0)) - layer(image)).max())


@ex.right
def by_cutting(layer, image, down, right):
    height, width = image.shape
    tiled = np.tile(image, (3, 3))
    top, left = height - down % height, width - right % width
    after, before = layer(tiled[top : top + height, left : left + width]), layer(image)
    return max(float(abs(a - b)) for a, b in zip(np.ravel(after), np.ravel(before)))


# %%
check("4.6", invariance_gap)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | jump | $J_l = s_l J_{l-1}$ | (4.1) |
# | receptive field | $r_l = r_{l-1} + d_l (k_l - 1) J_{l-1}$ | (4.2) |
# | offset | $a_l = a_{l-1} - p_l J_{l-1}$; unit $u$ sees $a_l + uJ_l$ to $a_l + uJ_l + r_l - 1$ | (4.3) |
# | small kernels | $m$ layers of 3 × 3: $9mC^2$ weights; one of as much sight: $(2m+1)^2C^2$ | (4.4) |
# | pooling | the maximum, or the mean, of each window of each channel | (4.5) |
# | its gradient | all to the largest pixel; or the same share to each | (4.6) |
# | invariance | a mean or maximum over all places does not change when features move | (4.7) |
# | effective field | $\sigma^2 = \sum_l (d_l J_{l-1})^2 (k_l^2 - 1)/12$, so $\sqrt{L}$ against $L$ | (4.8) |
# | random weights | $\mathbb{E}[g^2] = v^L \cdot$ number of ways | (4.9) |
#
# ## References
#
# - G. Alain and Y. Bengio, *Understanding intermediate layers using linear classifier probes*, 2016, arXiv:1610.01644.
# - A. Araujo, W. Norris and J. Sim, *Computing receptive fields of convolutional neural networks*, 2019, Distill.
# - A. Azulay and Y. Weiss, *Why do deep convolutional networks generalize so poorly to small image transformations?*,
#   2019, Journal of Machine Learning Research.
# - K. Fukushima, *Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition
#   unaffected by shift in position*, 1980.
# - R. Girshick, J. Donahue, T. Darrell and J. Malik, *Rich feature hierarchies for accurate object detection and
#   semantic segmentation*, 2014.
# - D. Hubel and T. Wiesel, *Receptive fields, binocular interaction and functional architecture in the cat's visual
#   cortex*, 1962.
# - M. Lin, Q. Chen and S. Yan, *Network in network*, 2013, arXiv:1312.4400.
# - W. Luo, Y. Li, R. Urtasun and R. Zemel, *Understanding the effective receptive field in deep convolutional neural
#   networks*, 2016, arXiv:1701.04128.
# - D. Scherer, A. Müller and S. Behnke, *Evaluation of pooling operations in convolutional architectures for object
#   recognition*, 2010.
# - K. Simonyan and A. Zisserman, *Very deep convolutional networks for large-scale image recognition*, 2015,
#   arXiv:1409.1556.
# - F. Yu and V. Koltun, *Multi-scale context aggregation by dilated convolutions*, 2016, arXiv:1511.07122.
# - M. Zeiler and R. Fergus, *Visualizing and understanding convolutional networks*, 2014, arXiv:1311.2901.
