# %% [raw]
# title: The convolution operation
# part: II. Convolution
# minutes: 120
# needs: [Python, NumPy, school calculus, gradient descent]
# teaches:
#   - cross-correlation and convolution
#   - output size, stride, padding and dilation
#   - channels
#   - im2col
#   - parameters and multiply-adds of a layer
#   - pointwise and depthwise separable convolution
#   - translation equivariance
#   - transposed convolution
# data: [MNIST]
# sources:
#   - "LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998"
#   - "Chellapilla, Puri & Simard, High performance convolutional neural networks for document processing, 2006"
#   - "Lin, Chen & Yan, Network in network, 2013"
#   - "Sifre, Rigid-motion scattering for image classification, 2014"
#   - "Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016"
#   - "Goodfellow, Bengio & Courville, Deep learning, chapter 9, 2016"
#   - "Odena, Dumoulin & Olah, Deconvolution and checkerboard artifacts, 2016"
#   - "Howard et al., MobileNets, 2017"

# %% [markdown]
# Below is a seven, then the same seven moved down and to the right. Beside each stand the same nine numbers, and
# beside those a picture made from the digit with nothing but these nine numbers.

# %%
import time

from course import ask, budget, check, claim, data, gradient, plots, prove, record, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, signal

rng = start("03")  # seeds everything from COURSE_SEED and sets the style of the figures
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def frame(axis, title=""):
    """Take the ticks off and draw a thin frame around."""
    axis.set(xticks=[], yticks=[])
    axis.set_title(title)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def draw(axis, picture, title="", signed=False, bound=None):
    """Draw a picture in grey from 0 to `bound`; signed: 0 is white, positive purple, negative orange."""
    bound = bound or np.abs(picture).max() or 1
    axis.imshow(picture, cmap="PuOr" if signed else "gray", vmin=-bound if signed else 0, vmax=bound)
    frame(axis, title)


def draw_numbers(axis, values, title="", box=None):
    """Draw a small array as a grid of its numbers. box: (row, column, height, width) of a thick frame."""
    values = np.asarray(values)
    draw(axis, values, title, signed=True, bound=2 * np.abs(values).max())
    for (row, column), value in np.ndenumerate(values):
        axis.text(column, row, f"{value:.3g}", ha="center", va="center")
    if box:
        row, column, height, width = box
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, lw=3, ec=plots.COLOURS[0]))


# %%
mnist = data.mnist()
images = mnist.x_train[: budget(quick=4000, full=60000, least=500)]
images = images.astype("float32") / 255  # from 0 (black) to 1 (white)
labels = mnist.y_train[: len(images)]
seven = images[labels == 7][0]

figure, axes = plt.subplots(2, 3, figsize=(7, 4.4), width_ratios=[1, 0.55, 1])
for row, (top, left), name in zip(axes, [(1, 1), (13, 17)], ["a seven", "the seven, moved"]):
    canvas = np.zeros((42, 46))
    canvas[top : top + 28, left : left + 28] = seven
    draw(row[0], canvas, name)
    draw_numbers(row[1], SOBEL, "nine numbers")
    draw(row[2], signal.correlate2d(canvas, SOBEL, mode="valid"), "what they make of it", signed=True)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.1. Left: a digit at two places. Right: what nine numbers make of it, purple where the picture gets brighter
# from left to right, orange where it gets darker, white where it does not change.*
#
# Nine numbers found every upright edge, and when the digit moved, the answer moved with it. A dense layer, which
# connects every pixel of this input with every pixel of this output, would need more than three million numbers, and
# what it learns of a seven in one place tells it nothing of a seven in another. So:
#
# **What is this operation, why does its output move with its input, and what does it cost?**
#
# ## What you will be able to do
#
# - compute a convolution by hand, in loops and as one matrix product, and say where it differs from cross-correlation;
# - predict the output size, the parameters and the multiply-adds of any convolutional layer before you run it;
# - say exactly when convolution commutes with a shift, and where zero padding spoils it;
# - run a convolution backwards, and explain the checkerboards that this can draw;
# - train a layer until it has found Sobel's nine numbers by itself, and know when it cannot.
#
# You need Python, NumPy and school calculus. All indices count from 0, rows come before columns.
#
# ## One window, nine products
#
# Take a picture small enough to do by hand: white on the right, black on the left.

# %%
corner = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])
figure, axes = plt.subplots(1, 3, figsize=(7, 2.4), width_ratios=[5, 3, 3])
draw_numbers(axes[0], corner, "input $I$", box=(0, 1, 3, 3))
draw_numbers(axes[1], SOBEL, "kernel $K$")
draw_numbers(axes[2], signal.correlate2d(corner, SOBEL, mode="valid"), "output $F$", box=(0, 1, 1, 1))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.2. The kernel lies on the framed window of the input. Nine products, added, make the framed number of the
# output.*
#
# Inside the frame each row reads 0, 1, 1. Multiply each pixel by the number of the kernel that lies on it and add:
# the first row gives $-1 \cdot 0 + 0 \cdot 1 + 1 \cdot 1 = 1$, the second 2, the third 1, together 4. Slide the frame
# by one pixel for the next number. With a bias $b$ that is added everywhere, this is **cross-correlation**:
#
# $$ F(u, v) = \sum_{i=0}^{k_h-1} \sum_{j=0}^{k_w-1} K(i, j)\, I(u+i,\, v+j) + b \tag{3.1} $$
#
# Deep learning calls this a convolution (Goodfellow et al., 2016, section 9.1). Mathematicians mean something else by
# the word: they run through the window against the direction of the kernel, which is the same as turning the kernel by
# 180° first. Over the windows that lie wholly inside the picture:
#
# $$ G(u, v) = \sum_{i=0}^{k_h-1} \sum_{j=0}^{k_w-1} K(i, j)\, I(u + k_h - 1 - i,\, v + k_w - 1 - j) \tag{3.2} $$


# %%
def correlate(image, kernel, bias=0.0):
    """Cross-correlation (3.1) of image (H, W) with kernel (kh, kw): an array (H - kh + 1, W - kw + 1)."""
    (height, width), (kh, kw) = np.shape(image), np.shape(kernel)
    output = np.full((height - kh + 1, width - kw + 1), bias, dtype=float)
    for u in range(output.shape[0]):
        for v in range(output.shape[1]):
            for i in range(kh):
                for j in range(kw):
                    output[u, v] += kernel[i][j] * image[u + i][v + j]  # (3.1)
    return output


def convolve(image, kernel):
    """Convolution in the mathematicians' sense (3.2); shapes as for `correlate`."""
    return correlate(image, np.asarray(kernel)[::-1, ::-1])  # (3.2)


# %% [markdown]
# You need not trust these lines: they are held against code that is not ours, Keras for the first and SciPy for the
# second. The cases are random whole numbers, which float32 adds and multiplies without rounding, so that "equal" can
# mean equal.


# %%
def whole(*shape):
    """Random whole numbers from -5 to 5, as floats."""
    return rng.integers(-5, 6, shape).astype("float32")


def these(values):
    """An initializer that gives a layer these weights, or one number everywhere."""
    return lambda shape, dtype: np.resize(values, shape).astype(dtype)


def keras_conv(x, kernel, bias, stride=1, padding="valid", dilation=1):
    """x (H, W, C) through a Conv2D layer with these weights. Keras refuses a stride and a dilation at once, so
    there it runs at stride 1, and every stride-th output is kept (which is the same for padding="valid" only)."""
    steps = 1 if dilation > 1 else stride
    weights = {"kernel_initializer": these(kernel), "bias_initializer": these(bias)}
    layer = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], steps, padding, dilation_rate=dilation, **weights)
    keep = stride // steps
    return keras.ops.convert_to_numpy(layer(x[None]))[0, ::keep, ::keep]


def keras_correlate(image, kernel, bias):
    return keras_conv(image[..., None], kernel[..., None, None], bias)[..., 0]


def scipy_convolve(image, kernel):
    return signal.convolve2d(image, kernel, mode="valid")


def pictures_and_kernels(count):
    for _ in range(count):
        yield whole(*rng.integers(5, 12, 2)), whole(*rng.integers(1, 6, 2))


prove("3.1", correlate, keras_correlate, cases=((*case, whole()) for case in pictures_and_kernels(100)))
prove("3.2", convolve, scipy_convolve, cases=pictures_and_kernels(200))

# %% [markdown]
# When does the turn by 180° matter? Ask with the simplest picture there is, black with a single white pixel, and take a
# digit as the kernel.

# %%
impulse = np.zeros((61, 61))
impulse[30, 30] = 1
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.1))
draw(axes[0], impulse, "input: one pixel")
draw(axes[1], seven, "kernel: a digit")
draw(axes[2], signal.correlate2d(impulse, seven, mode="valid"), "cross-correlation")
draw(axes[3], signal.convolve2d(impulse, seven, mode="valid"), "convolution")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.3. Fed with one white pixel, convolution stamps the kernel as it is, cross-correlation stamps it upside
# down.*
#
# For a kernel that is *learned* the difference is void: whoever turns the kernel learns the turned numbers. It matters
# when you carry kernels from one library to another, and for algebra: convolution may exchange picture and kernel,
# cross-correlation may not. From here on, "convolution" means (3.1), as it does in Keras.
#
# **Try it.** Which kernels does the turn leave alone? Take one, and let `convolve` and `correlate` agree on it.
#
# ## What can a few numbers see?
#
# Long before kernels were learned, they were designed by hand. Read each by asking what it answers to a flat
# patch: the sum of its numbers times the brightness.

# %%
sharpen = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
by_hand = {"blur": np.ones((5, 5)) / 25, "sharpen": sharpen, "Sobel →": SOBEL, "Sobel ↓": np.transpose(SOBEL)}
figure, axes = plt.subplots(2, 5, figsize=(7.5, 3.5))
for row, digit in zip(axes, [seven, images[labels == 3][0]]):
    draw(row[0], digit, "input")
    for axis, (name, kernel) in zip(row[1:], by_hand.items()):
        draw(axis, signal.correlate2d(digit, kernel, mode="same"), name, signed=True)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.4. Four kernels, two digits; purple is positive, orange negative, white zero. Each answer has its own
# scale.*
#
# Blur and sharpen sum to 1 and keep the brightness of a flat patch; both Sobel kernels sum to 0 and answer a flat
# patch with silence. A sharpened picture is the picture plus the differences of each pixel from its four neighbours.
#
# **Try it.** Write a kernel that answers to strokes along one diagonal only.
#
# ## How big is the output?
#
# Lay a kernel three pixels wide on a row of seven. It can start at pixel 0, 1, 2, 3 or 4; at 5 it would hang over the
# edge. So seven pixels become five. After three such layers one is left, and at a fourth Keras stops: *Computed output
# size would be zero or negative*. Three things change the count: a **stride** $s$ (the kernel jumps $s$ pixels at a
# time), a **padding** $p$ (zeros added on each side), and a **dilation** $d$ (the kernel's numbers stand $d$ pixels
# apart).


# %%
def draw_stops(axis, n, k, stride=1, padding=0, dilation=1):
    """Draw every place where a kernel of size k stands on a row of n pixels, one place below the other."""
    starts = range(0, n + 2 * padding - dilation * (k - 1), stride)
    for row, begin in enumerate(starts):
        taps = range(begin, begin + dilation * k, dilation)
        for pixel in range(n + 2 * padding):
            inside = padding <= pixel < n + padding
            face = plots.COLOURS[0] if pixel in taps else "#dddddd" if inside else "white"
            hatch = None if inside else "////"
            axis.add_patch(Rectangle((pixel - padding, row), 0.9, 0.7, fc=face, ec="#777777", lw=0.5, hatch=hatch))
    axis.set(xlim=(-1.2, 8.2), ylim=(5, -0.2), yticks=np.arange(len(starts)) + 0.35, xticks=[])
    axis.set_yticklabels(range(len(starts)))
    axis.set_title(f"$s={stride},\\ p={padding},\\ d={dilation}$")


figure, axes = plt.subplots(1, 3, figsize=(8, 2.3))
draw_stops(axes[0], n=7, k=3)
draw_stops(axes[1], n=7, k=3, stride=2, padding=1)
draw_stops(axes[2], n=7, k=3, dilation=2)
axes[0].set_ylabel("output pixel")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.5. Each row is one place where a kernel of $k = 3$ (blue) can stand on $n = 7$ pixels (grey; padding
# hatched). The number of rows is the size of the output: 5, 4 and 3.*
#
# Count in the middle. The padded row has $n + 2p = 9$ pixels. Where it first stands, the kernel covers 3, so 6 are left
# to move over in jumps of 2: three jumps, four places. A jump that does not fit is not made, hence the floor. On the
# right the kernel covers $d(k-1)+1 = 5$ pixels instead of $k = 3$. In general:
#
# $$ o = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1 \tag{3.3} $$
#
# Keras does not ask for $p$, but offers two words. `"valid"` means $p = 0$; `"same"` pads until the size depends on the
# stride alone:
#
# $$ o_\text{valid} = \left\lceil \frac{n - d(k-1)}{s} \right\rceil, \qquad
#    o_\text{same} = \left\lceil \frac{n}{s} \right\rceil \tag{3.4} $$
#
# For that, `"same"` must add $t$ zeros in all, and where $t$ is odd the extra zero goes *after* the picture, at the
# right and at the bottom:
#
# $$ t = \max\bigl((o_\text{same} - 1)\, s + d(k-1) + 1 - n,\; 0\bigr), \qquad
#    p_\text{before} = \lfloor t/2 \rfloor, \quad p_\text{after} = t - p_\text{before} \tag{3.5} $$
#
# At stride 1, set $o = n$ in (3.3) and solve. The padding that keeps the size is a whole number if $d(k-1)$ is even,
# which is one reason why kernels have odd sizes:
#
# $$ p = \frac{d(k-1)}{2} \tag{3.6} $$


# %%
def output_size(n, k, stride=1, padding=0, dilation=1):
    """Number of places where a kernel fits along one axis (3.3); 0 where it does not fit at all.

    n: pixels of the input. k: kernel size. padding: zeros added on each side. All whole numbers.
    Source: Dumoulin & Visin, 2016, section 2 and 5.1.
    """
    return max((n + 2 * padding - dilation * (k - 1) - 1) // stride + 1, 0)  # (3.3)


def size_in_keras(n, k, stride, padding, dilation):
    """Output size for padding "valid" or "same", all as in Keras (3.4). -(-a // b) rounds a / b up."""
    return -(-(n if padding == "same" else n - dilation * (k - 1)) // stride)  # (3.4)


def same_padding(n, k, stride=1, dilation=1):
    """The zeros that Keras adds before and after n pixels for padding="same" (3.5)."""
    total = max((size_in_keras(n, k, stride, "same", dilation) - 1) * stride + dilation * (k - 1) + 1 - n, 0)
    return total // 2, total - total // 2  # (3.5)


def keeping_padding(n, k, dilation=1):
    """The padding that keeps the size at stride 1, for even d(k - 1) (3.6); it does not depend on n."""
    return dilation * (k - 1) // 2  # (3.6)


# %% [markdown]
# Each oracle below runs Keras on a row of pixels and looks at what comes out. The third hands it a row of ones and $k$
# kernels with a single 1 each: an output of 0 betrays a tap that stood on padding.


# %%
def keras_row(n, k, stride, padding, dilation=1):
    """The size of what Keras makes of a row of n blank pixels; padding "valid", "same" or a number."""
    zeros = padding if isinstance(padding, int) else 0
    mode = "valid" if isinstance(padding, int) else padding
    steps = 1 if dilation > 1 else stride  # see keras_conv
    row, kernel = np.zeros((1, n + 2 * zeros, 1), "float32"), np.zeros((k, 1, 1), "float32")
    output = keras.ops.conv(row, kernel, strides=steps, padding=mode, dilation_rate=dilation)
    return len(range(0, output.shape[1], stride // steps))


def keras_same_padding(n, k, stride):
    row, taps = np.ones((1, n, 1), "float32"), np.eye(k, dtype="float32")[:, None]
    seen = keras.ops.convert_to_numpy(keras.ops.conv(row, taps, strides=stride, padding="same"))[0]
    return int(np.argmax(seen[0] > 0)), int(np.argmax(seen[-1, ::-1] > 0))


def keras_keeping_padding(n, k, dilation):
    return next(p for p in range(n + k * dilation) if keras_row(n + 2 * p, k, 1, "valid", dilation) == n)


def rows(count):
    """Random (n, k, stride, padding, dilation) with a kernel that fits even without padding."""
    for _ in range(count):
        k, stride, padding, dilation = (int(rng.integers(1, high)) for high in (6, 5, 5, 4))
        yield dilation * (k - 1) + int(rng.integers(1, 30)), k, stride, padding - 1, dilation


def named_rows(count):
    for n, k, stride, _, dilation in rows(count):
        yield n, k, stride, "valid", dilation
        yield n, k, 1 if dilation > 1 else stride, "same", dilation


def odd_rows(count):
    for n, k, _, _, dilation in rows(count):
        yield n + dilation * (k - 1), 2 * k - 1, dilation


prove("3.3", output_size, keras_row, cases=rows(200))
prove("3.4", size_in_keras, keras_row, cases=named_rows(50))
prove("3.5", same_padding, keras_same_padding, cases=(row[:3] for row in rows(50)))
prove("3.6", keeping_padding, keras_keeping_padding, cases=odd_rows(20))

# %% [markdown]
# **Try it.** PyTorch's `Conv2d(..., padding=p)` adds $p$ zeros on both sides alike. For which $n$, $k$, $s$ can no such
# padding do what `"same"` does? (This is a classic source of small differences between a network and its translation.)
#
# **Question 3.a.** A kernel of size 5 goes over a row of 32 pixels, with stride 2, one zero of padding on each side and
# no dilation. How many pixels come out?

# %%
ask(
    "3.a",
    15,
    why="The padded row has 34 pixels. The first place covers 5, so 29 are left: 14 jumps of 2, and 15 places.",
    hint="Count the jumps on the padded row. A jump that does not fit is not made, and the first place counts too.",
)

# %% [markdown]
# ## Many channels in, many out
#
# One kernel finds one thing. A layer needs many, and the next layer needs to look at all that they found. So a picture
# becomes a stack: $C$ **channels** in, $N$ channels out. Each output channel has a kernel of its own that is as deep as
# the input, adds up over all its channels, and has one bias:
#
# $$ F(u, v, m) = \sum_{i} \sum_{j} \sum_{c=0}^{C-1} K(i, j, c, m)\; I(us + di,\; vs + dj,\; c) + b(m) \tag{3.7} $$
#
# This is the whole of a `Conv2D` layer, on a picture that is padded already. Read the shapes off it: the picture is
# $(H, W, C)$, the kernel $(k_h, k_w, C, N)$, the output $(H_o, W_o, N)$. Keras puts the batch in front.


# %%
def pad(x, kernel_shape, stride, padding, dilation):
    """x (H, W, C) with the zeros around it that Keras adds for padding "valid" (none) or "same"."""
    if padding == "valid":
        return x
    sides = [same_padding(n, k, stride, dilation) for n, k in zip(x.shape[:2], kernel_shape)]
    return np.pad(x, [*sides, (0, 0)])


def conv2d_loops(x, kernel, bias, stride=1, padding="valid", dilation=1):
    """A convolutional layer (3.7), loop by loop. x (H, W, C), kernel (kh, kw, C, N), bias (N,) -> (Ho, Wo, N)."""
    kh, kw, channels, filters = kernel.shape
    x = pad(x, (kh, kw), stride, padding, dilation)
    sizes = [output_size(n, k, stride, 0, dilation) for n, k in zip(x.shape, (kh, kw))]
    output = np.zeros((*sizes, filters))
    for u, v, m in np.ndindex(output.shape):
        total = bias[m]
        for i in range(kh):
            for j in range(kw):
                for c in range(channels):
                    total += kernel[i, j, c, m] * x[u * stride + dilation * i, v * stride + dilation * j, c]  # (3.7)
        output[u, v, m] = total
    return output


# %%
def layers(count):
    """Random (x, kernel, bias, stride, padding, dilation); a dilated layer with a stride only unpadded."""
    for _ in range(count):
        channels, filters, kh, kw, stride, dilation = (int(n) for n in rng.integers(1, 4, 6))
        padding = "valid" if stride > 1 and dilation > 1 else ["valid", "same"][rng.integers(2)]
        x = whole(*(dilation * np.array([kh - 1, kw - 1]) + rng.integers(1, 6, 2)), channels)
        yield x, whole(kh, kw, channels, filters), whole(filters), stride, padding, dilation


prove("3.7", conv2d_loops, keras_conv, cases=layers(60))

# %% [markdown]
# Two layers, their kernels chosen by hand. The first looks for edges that face left, right, up and down, and keeps only
# positive answers (ReLU: negative values become 0). The second adds the four maps with a kernel of one pixel.

# %%
edges = np.stack([SOBEL, np.negative(SOBEL), np.transpose(SOBEL), -np.transpose(SOBEL)], axis=-1)[:, :, None]
maps = np.maximum(conv2d_loops(seven[..., None], edges, np.zeros(4)), 0)
outline = conv2d_loops(maps, np.ones((1, 1, 4, 1)), np.zeros(1))
titles = ["1 channel in", *(f"channel {m}" for m in range(4)), "1 channel out"]
plots.show_images([seven, *maps.transpose(2, 0, 1), outline], titles, size=1.25)

# %% [markdown]
# *Figure 3.6. A digit, its four feature maps after the first layer, and their sum after the second: an outline.
# Exchange black and white, and it stays the same, while the answer of a single kernel that is silent on flat patches
# changes its sign: the layers do together what none of their kernels can do.*
#
# **Question 3.b.** A colour image of shape (32, 32, 3) goes through `Conv2D(16, 5)`. What is the shape of the layer's
# kernel, the array $K$ of (3.7)? Answer with a tuple.

# %%
ask(
    "3.b",
    (5, 5, 3, 16),
    why="Height, width, channels in, channels out: each of the 16 kernels is as deep as the input.",
    hint="Read it off (3.7): K has the indices i, j, c and m, in this order.",
)

# %% [markdown]
# ## Why is it fast?
#
# Six nested loops in Python are slow. Yet no line of (3.7) says in which order to add. Cut out every window, write it
# as one row of a matrix $P$ (for *patches*), write every kernel as one column of a matrix $\mathbf{K}$, and all output
# pixels of all channels are one matrix product, for which every machine has carefully tuned code:
#
# $$ F = P\,\mathbf{K} + b, \qquad P \in \mathbb{R}^{H_o W_o \times k_h k_w C},\quad
#    \mathbf{K} \in \mathbb{R}^{k_h k_w C \times N} \tag{3.8} $$
#
# The rearrangement is called **im2col** (Chellapilla et al., 2006). At stride 1 it stores most pixels $k_h k_w$ times:
# memory is traded for speed.


# %%
def im2col(x, kernel_shape, stride=1, dilation=1):
    """The matrix of patches P (Ho * Wo, kh * kw * C) of x (H, W, C)."""
    reach = [dilation * (k - 1) + 1 for k in kernel_shape]
    windows = sliding_window_view(x, reach, axis=(0, 1))  # (H', W', C, reach, reach), without a copy
    windows = windows[::stride, ::stride, :, ::dilation, ::dilation]
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, kernel_shape[0] * kernel_shape[1] * x.shape[2])


def conv2d(x, kernel, bias, stride=1, padding="valid", dilation=1):
    """A convolutional layer as one matrix product (3.8); shapes as for `conv2d_loops`."""
    kh, kw, _, filters = kernel.shape
    x = pad(x, (kh, kw), stride, padding, dilation)
    sizes = [output_size(n, k, stride, 0, dilation) for n, k in zip(x.shape, (kh, kw))]
    output = im2col(x, (kh, kw), stride, dilation) @ kernel.reshape(-1, filters) + bias  # (3.8)
    return output.reshape(*sizes, filters)


# %%
prove("3.8", conv2d, keras_conv, cases=layers(200))


# %%
def seconds(function, repeats):
    """The least wall time of `repeats` calls: what else the machine does can only make a call longer."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


sides = [8, 14, 20, 28]
kernel, bias = rng.normal(size=(3, 3, 4, 16)).astype("float32"), np.zeros(16, "float32")
layer = keras.layers.Conv2D(16, 3)
timings = {"loops (3.7)": [], "im2col (3.8)": [], "Keras": []}
for side in sides:
    x = rng.normal(size=(side, side, 4)).astype("float32")
    batch = keras.ops.convert_to_tensor(x[None])
    timings["loops (3.7)"].append(1e3 * seconds(lambda x=x: conv2d_loops(x, kernel, bias), 1))
    timings["im2col (3.8)"].append(1e3 * seconds(lambda x=x: conv2d(x, kernel, bias), 20))
    timings["Keras"].append(1e3 * seconds(lambda batch=batch: keras.ops.convert_to_numpy(layer(batch)), 20))
speed_up = timings["loops (3.7)"][-1] / timings["im2col (3.8)"][-1]
print(f"im2col is {speed_up:.0f} times as fast as the loops on a picture of {sides[-1]} x {sides[-1]} pixels")
plots.show_curves(
    timings, "side of the picture (pixels)", "milliseconds per picture", x=[str(n) for n in sides], log_y=True
)

# %% [markdown]
# *Figure 3.7. Time for one picture of 4 channels through 16 kernels of 3 × 3, on a logarithmic scale. Where
# Keras's curve is flat, you see the price of a call, not of the arithmetic.*

# %%
claim("3.1", "im2col is at least ten times as fast as the loops", speed_up > 10)

# %% [markdown]
# ## What does a layer cost?
#
# Take a digit, 28 × 28 × 1, and 8 kernels of 3 × 3. Each kernel has nine weights and one bias: 80 parameters, whatever
# the size of the picture. A dense layer with as many outputs, $26 \cdot 26 \cdot 8 = 5408$, has 784 weights and a
# bias for each: more than four million. In general, for a convolution with $N$ kernels and for a dense layer with $D$
# outputs, both on $H \times W \times C$ numbers:
#
# $$ \text{parameters:} \quad (k_h k_w C + 1)\, N \qquad \text{against} \qquad H W C D + D \tag{3.9} $$
#
# The saving comes from *sharing* the weights between all places (LeCun et al., 1998). It is no saving of work: each
# weight is used again at every output pixel. One product and one addition are
# counted together as a **multiply-add**:
#
# $$ \text{multiply-adds} = H_o W_o \cdot k_h k_w\, C N \tag{3.10} $$
#
# To lower it, look at what the layer mixes: space (the window) and channels, both at once. Let the kernel shrink to
# one pixel, and only channels are mixed. A **1 × 1 convolution** (Lin et al., 2013) is a dense layer with weights
# $V$ that every pixel passes by itself:
#
# $$ F(u, v, m) = \sum_{c=0}^{C-1} V(c, m)\, I(u, v, c) + b(m) \tag{3.11} $$
#
# Now mix in two steps: a **depthwise** convolution gives every channel a window of its own and mixes no channels,
# then a 1 × 1 convolution mixes no space. Together they are a **depthwise separable** convolution (Sifre, 2014;
# Howard et al., 2017):
#
# $$ M(u, v, c) = \sum_{i} \sum_{j} K(i, j, c)\, I(u+i, v+j, c), \qquad
#    F(u, v, m) = \sum_{c} V(c, m)\, M(u, v, c) + b(m) \tag{3.12} $$
#
# Per output pixel the two steps take $k^2 C + CN$ multiply-adds instead of $k^2 C N$. Divide, and $C$ cancels. The
# weights without biases stand in the same ratio:
#
# $$ \frac{k^2 C + C N}{k^2 C N} = \frac{1}{N} + \frac{1}{k^2} \tag{3.13} $$
#
# With $k = 3$ and $N = 64$ that is $1/64 + 1/9$, about an eighth of the work.


# %%
def parameters(height, width, channels, kh, kw, filters, units):
    """Parameters, biases included, of a convolution and of a dense layer on the same input (3.9)."""
    return (kh * kw * channels + 1) * filters, height * width * channels * units + units  # (3.9)


def multiply_adds(height, width, channels, kh, kw, filters, stride, dilation):
    """Multiply-adds of a convolution with padding "valid" on one picture (3.10)."""
    places = output_size(height, kh, stride, 0, dilation) * output_size(width, kw, stride, 0, dilation)
    return places * kh * kw * channels * filters  # (3.10)


def pointwise(x, weights, bias):
    """A 1 x 1 convolution (3.11): x (H, W, C), weights (C, N), bias (N,) -> (H, W, N)."""
    return x @ weights + bias  # (3.11)


def separable(x, kernel, weights, bias):
    """The depthwise step and the whole of a depthwise separable convolution (3.12), padding "valid".

    x (H, W, C), kernel (kh, kw, C), weights (C, N), bias (N,) -> (Ho, Wo, C) and (Ho, Wo, N).
    """
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
    depthwise = np.einsum("uvcij,ijc->uvc", windows, kernel)
    return depthwise, pointwise(depthwise, weights, bias)  # (3.12)


def cost_ratio(k, filters):
    """Cost of a depthwise separable convolution over that of a full one (3.13)."""
    return 1 / filters + 1 / k**2  # (3.13)


# %% [markdown]
# How do you make Keras count its own multiply-adds? Give it a picture of ones and kernels of ones: every product is 1,
# so each output is the number of products that went into it.


# %%
def keras_parameters(height, width, channels, kh, kw, filters, units):
    conv = keras.layers.Conv2D(filters, (kh, kw), kernel_initializer=these(0))
    dense = keras.layers.Dense(units, kernel_initializer=these(0))
    conv.build((None, height, width, channels))
    dense.build((None, height * width * channels))
    return conv.count_params(), dense.count_params()


def keras_multiply_adds(height, width, channels, kh, kw, filters, stride, dilation):
    ones = np.ones((height, width, channels), "float32"), np.ones((kh, kw, channels, filters), "float32")
    return int(np.sum(keras_conv(*ones, np.zeros(filters), stride, "valid", dilation)))


def keras_pointwise(x, weights, bias):
    return keras_conv(x, weights[None, None], bias)


def keras_separable(x, kernel, weights, bias):
    size, first = kernel.shape[:2], {"depthwise_initializer": these(kernel)}
    second = {"pointwise_initializer": these(weights), "bias_initializer": these(bias)}
    depthwise = keras.layers.DepthwiseConv2D(size, use_bias=False, **first)
    both = keras.layers.SeparableConv2D(len(bias), size, **first, **second)
    return [keras.ops.convert_to_numpy(layer(x[None]))[0] for layer in (depthwise, both)]


def keras_cost_ratio(k, filters):
    apart = {"depthwise_initializer": these(0), "pointwise_initializer": these(0)}
    cheap = keras.layers.SeparableConv2D(filters, k, use_bias=False, **apart)
    full = keras.layers.Conv2D(filters, k, use_bias=False, kernel_initializer=these(0))
    for layer in (cheap, full):
        layer.build((None, 28, 28, 5))
    return cheap.count_params() / full.count_params()


def descriptions(count):
    """Random (height, width, channels, kh, kw, filters)."""
    for _ in range(count):
        yield tuple(
            int(n) for n in [*rng.integers(10, 16, 2), rng.integers(1, 6), *rng.integers(1, 5, 2), rng.integers(1, 9)]
        )


def strided(count):
    return ((*d, *(int(n) for n in rng.integers(1, 4, 2))) for d in descriptions(count))


def separables(count):
    for h, w, c, kh, kw, n in descriptions(count):
        yield whole(h, w, c), whole(kh, kw, c), whole(c, n), whole(n)


prove("3.9", parameters, keras_parameters, cases=((*d, int(rng.integers(1, 20))) for d in descriptions(50)))
prove("3.10", multiply_adds, keras_multiply_adds, cases=strided(50))
prove("3.11", pointwise, keras_pointwise, cases=((x, weights, bias) for x, _, weights, bias in separables(50)))
prove("3.12", separable, keras_separable, cases=separables(50))
prove("3.13", cost_ratio, keras_cost_ratio, cases=((k, n) for k in (1, 2, 3, 5) for n in (1, 4, 64)))

# %% [markdown]
# **Try it.** Is a depthwise separable layer ever dearer than a full one? Ask (3.13) with $k = 1$ and with $N = 1$.
#
# **Question 3.c.** How many parameters, biases included, does the layer of question 3.b have?

# %%
ask(
    "3.c",
    1216,
    why="(5 · 5 · 3 + 1) · 16. The size of the image does not occur in it.",
    hint="Each kernel has a number for every pixel of its window in every channel, and one bias.",
)

# %% [markdown]
# ## Move the input, and the output moves
#
# Back to Figure 3.1. Write $T_{a,b}$ for "move everything down by $a$ and right by $b$ pixels", and $I \star K$ for
# (3.1). If what leaves the picture on one side comes back on the other, and the kernel's window wraps round likewise,
# then it makes no difference whether you first move and then convolve, or the other way round. With a stride $s$, the
# input moves by multiples of $s$, the size being a multiple of $s$ too:
#
# $$ \bigl(T_{sa,\,sb}\, I\bigr) \star K = T_{a,b}\,\bigl(I \star K\bigr) \tag{3.14} $$
#
# The reason is in (3.1), where the place $(u, v)$ occurs only as an offset into the picture: every place gets the same
# treatment. This is called **equivariance** to translation. It is not *invariance*: the output does change, namely by
# moving.
#
# A real picture has an edge where the world goes on and the data stop, and there `"same"` puts zeros. Let a camera see
# an $n \times n$ cut-out $I$ of the world, move it, and call the second cut-out $I'$, so that
# $I'(u,v) = I(u + a, v + b)$ wherever both exist. For an odd kernel, with $p = (k-1)/2$ zeros on each side:
#
# $$ (I' \star K)(u, v) = (I \star K)(u + a, v + b) \qquad
#    \text{if } u,\; v,\; u + a,\; v + b \text{ all lie in } [p,\; n - p) \tag{3.15} $$


# %%
def move_then_convolve(image, kernel, a, b, stride):
    """The left side of (3.14): wrap-around padding of half an odd kernel, after a move by (stride a, stride b)."""
    moved = np.roll(image, (stride * a, stride * b), axis=(0, 1))
    wrapped = np.pad(moved, [(k // 2, k // 2) for k in kernel.shape], mode="wrap")
    return conv2d(wrapped[..., None], kernel[..., None, None], np.zeros(1), stride)[..., 0]  # (3.14)


def scipy_convolve_then_move(image, kernel, a, b, stride):
    return np.roll(ndimage.correlate(image, kernel, mode="wrap")[::stride, ::stride], (a, b), axis=(0, 1))


def shared_interior(n, k, a, b):
    """The slices of the second and of the first output that (3.15) says are equal, for 0 <= a, b < n - k."""
    p = (k - 1) // 2
    second = slice(p, n - p - a), slice(p, n - p - b)
    first = slice(p + a, n - p), slice(p + b, n - p)
    return second, first  # (3.15)


def interior_after(world, kernel, n, a, b):
    second, _ = shared_interior(n, len(kernel), a, b)
    seen = world[a : a + n, b : b + n]
    return conv2d(seen[..., None], kernel[..., None, None], np.zeros(1), padding="same")[second][..., 0]


def scipy_interior_before(world, kernel, n, a, b):
    _, first = shared_interior(n, len(kernel), a, b)
    return signal.correlate2d(world[:n, :n], kernel, mode="same")[first]


def odd_kernels(count, stride_limit):
    for _ in range(count):
        k, stride = 2 * int(rng.integers(0, 3)) + 1, int(rng.integers(1, stride_limit + 1))
        yield k, stride, *(int(n) for n in rng.integers(0, 4, 2))


def wrapped_moves(count):
    for k, stride, a, b in odd_kernels(count, 3):
        yield whole(*(stride * rng.integers(3, 7, 2))), whole(k, k), a, b, stride


def camera_moves(count):
    for k, _, a, b in odd_kernels(count, 1):
        yield whole(20, 20), whole(k, k), int(rng.integers(10, 16)), a, b


prove("3.14", move_then_convolve, scipy_convolve_then_move, cases=wrapped_moves(200))
prove("3.15", interior_after, scipy_interior_before, cases=camera_moves(200))

# %% [markdown]
# **Question 3.d.** You move the input by 6 pixels to the right, far from any edge. The convolution has stride 2. By how
# many pixels does its output move to the right?

# %%
ask(
    "3.d",
    3,
    why="In (3.14) the input moves by s · b and the output by b. With stride 2, 6 = 2 · 3.",
    hint="Look at (3.14): which of its two moves is that of the input?",
)

# %% [markdown]
# The proof allows a difference outside the interior. Is there one, and does it grow with depth? Put nine digits on a
# white ground as the world, move the camera by three rows and four columns, and pass both views through one, two
# and three layers with random kernels.

# %%
world = 1 - np.concatenate([np.concatenate(list(images[3 * i : 3 * i + 3]), axis=1) for i in range(3)])
before, after = world[20:48, 20:48], world[23:51, 24:52]
network = [keras.layers.Conv2D(8, 3, padding="same", activation="tanh") for _ in range(3)]
views = keras.ops.convert_to_tensor(np.stack([before, after])[..., None].astype("float32"))
inside, border = [], []
figure, axes = plt.subplots(1, 5, figsize=(8, 2.1))
draw(axes[0], before, "before")
draw(axes[1], after, "after the move")
for depth, (axis, layer) in enumerate(zip(axes[2:], network), start=1):
    views = layer(views)
    first, second = keras.ops.convert_to_numpy(views)
    change = np.abs(second[:-3, :-4] - first[3:, 4:]).max(axis=-1) / np.abs(first).max()
    inside.append(change[depth:-depth, depth:-depth].max())
    border.append(change.max())
    draw(axis, change <= 1e-4, f"{depth} layer{'s' * (depth > 1)}")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.8. Left: two views of one world. Right: where the two outputs, laid on each other, differ (black). Every
# layer lets the zeros seep in by one more pixel.*

# %%
claim("3.2", "zero padding breaks equivariance at the border and nowhere else", max(inside) < 1e-4 < 1e-2 < min(border))

# %% [markdown]
# You would not have found this on a single digit: MNIST's margin is black, zeros beside zeros. With a stride,
# (3.14) promises nothing for moves that are not multiples of it.
#
# **Try it.** Write `world = np.concatenate(...)` without the `1 -`. Where is the frame now, and why not everywhere?
#
# ## Convolution run backwards
#
# Each output pixel is a weighted sum of input pixels, so the whole of (3.1) is one matrix $A$ that multiplies the
# picture written as one long column (without the bias):
#
# $$ \operatorname{vec}(I \star K) = A \operatorname{vec}(I), \qquad
#    A_{(u,v),(r,t)} = K(r - us,\; t - vs), \text{ or 0 outside the kernel} \tag{3.16} $$


# %%
def conv_matrix(kernel, height, width, stride=1):
    """The matrix A (Ho * Wo, height * width) of a convolution without padding (3.16)."""
    kh, kw = kernel.shape
    matrix = np.zeros((output_size(height, kh, stride), output_size(width, kw, stride), height, width))
    for u, v in np.ndindex(matrix.shape[:2]):
        matrix[u, v, u * stride : u * stride + kh, v * stride : v * stride + kw] = kernel  # (3.16)
    return matrix.reshape(-1, height * width)


def transposed(features, kernel, stride=1):
    """Transposed convolution (3.18): features (Ho, Wo), kernel (kh, kw) -> a picture."""
    height, width = ((o - 1) * stride + k for o, k in zip(features.shape, kernel.shape))
    return (conv_matrix(kernel, height, width, stride).T @ features.ravel()).reshape(height, width)  # (3.18)


# %%
kernel = np.arange(1, 10).reshape(3, 3)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.3), sharey=True)
for axis, matrix, title in [
    (axes[0], rng.normal(size=(16, 36)), "dense layer: 576 numbers"),
    (axes[1], conv_matrix(kernel, 6, 6), "convolution: 9 numbers, repeated"),
]:
    axis.imshow(matrix, cmap="PuOr", vmin=-np.abs(matrix).max(), vmax=np.abs(matrix).max())
    axis.set(title=title, xlabel="input pixel", xticks=range(0, 36, 6), yticks=range(0, 16, 4))
axes[0].set_ylabel("output pixel")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.9. The matrix of a dense layer and of a 3 × 3 convolution, both from 6 × 6 to 4 × 4 pixels (white is 0). A
# convolution is a dense layer that is mostly zeros and says the same in every row, one step further.*
#
# A matrix has a transpose. $A$ sums windows into output pixels, so $A^\mathsf{T}$ spreads each output pixel over its
# window: it **stamps** the kernel, scaled by that pixel, and adds up where stamps overlap. Two pixels $1, 2$ with the
# kernel $(1, 1, 1)$ and stride 2 become $(1, 1, 1{+}2, 2, 2)$. What makes it the transpose is that it can change sides
# in a scalar product:
#
# $$ \langle A x,\; y \rangle = \langle x,\; A^\mathsf{T} y \rangle \quad \text{for all } x, y \tag{3.17} $$
#
# It is no inverse: the shape comes back, the picture does not. You will meet it as the gradient with respect to
# the input, $A^\mathsf{T} \delta$ by the chain rule, where $\delta$ is the gradient with respect to the output; and as
# `Conv2DTranspose`, wherever a network has to make pictures larger. Solve (3.3) for $n$,
# with nothing left over, for the size of what it makes:
#
# $$ (A^\mathsf{T} y)(r, t) = \sum_{u=0}^{H_o-1} \sum_{v=0}^{W_o-1} y(u, v)\, K(r - us,\; t - vs), \qquad
#    n = (o - 1)\, s + k \tag{3.18} $$
#
# (For $s \le k$. Where stamps leave gaps, $s > k$, Keras adds zeros behind the last one, up to $o\,s$ pixels.)


# %%
def matrix_times_image(image, kernel, stride):
    return conv_matrix(kernel, *image.shape, stride) @ image.ravel()


def scipy_flat(image, kernel, stride):
    return signal.correlate2d(image, kernel, mode="valid")[::stride, ::stride].ravel()


def product_in_output(x, kernel, y, stride):
    return float(np.sum(conv2d(x[..., None], kernel[..., None, None], np.zeros(1), stride)[..., 0] * y))  # (3.17)


def keras_transposed(features, kernel, stride):
    layer = keras.layers.Conv2DTranspose(1, kernel.shape, stride, kernel_initializer=these(kernel), use_bias=False)
    return keras.ops.convert_to_numpy(layer(features[None, ..., None]))[0, ..., 0]


def keras_product_in_input(x, kernel, y, stride):
    spread = keras_transposed(y, kernel, stride)
    return float(np.sum(x[: spread.shape[0], : spread.shape[1]] * spread))  # pixels that no window reached count 0


def strided_pictures(count):
    for image, kernel in pictures_and_kernels(count):
        yield image, kernel, int(rng.integers(1, min(3, *kernel.shape) + 1))


def pairs(count):
    for x, kernel, stride in strided_pictures(count):
        yield x, kernel, whole(*(output_size(n, k, stride) for n, k in zip(x.shape, kernel.shape))), stride


prove("3.16", matrix_times_image, scipy_flat, cases=strided_pictures(200))
prove("3.17", product_in_output, keras_product_in_input, cases=pairs(60))
prove("3.18", transposed, keras_transposed, cases=((y, kernel, stride) for _, kernel, y, stride in pairs(60)))

# %% [markdown]
# Stamps overlap, and not everywhere equally. Stamp squares of ones with stride 2 and count:

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.4))
for axis, k in zip(axes, (3, 4)):
    counts = transposed(np.ones((5, 5)), np.ones((k, k)), stride=2)
    axis.imshow(counts, cmap="Greys", vmin=0, vmax=8)
    for (row, column), value in np.ndenumerate(counts):
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8)
    frame(axis, f"$k = {k},\\ s = 2$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.10. How many stamps land on each pixel. Where the stride does not divide the kernel size (left) the counts
# form a checkerboard; where it does (right) they are even, but for the border.*
#
# This is one source of the checkerboards in pictures that networks generate (Odena et al., 2016). A kernel size that
# the stride divides avoids it.
#
# ## Can a layer find the nine numbers by itself?
#
# Sobel's kernel came from a person. Give a layer nine random weights instead, show it digits with what Sobel makes of
# them, and let it learn. *Gradient descent* is this: measure with a loss $L$ how far the outputs are from the wanted
# ones; the gradient says for each weight how fast the loss grows when that weight grows; so change all weights a little
# against it, $K \leftarrow K - \alpha\, \partial L / \partial K$, and repeat. For a convolution the gradient is a
# convolution as well. The weight $K(i, j)$ enters every output pixel $F(u, v)$, multiplied there by $I(u+i, v+j)$. With
# $\delta = \partial L / \partial F$ the chain rule adds up over all of them:
#
# $$ \frac{\partial L}{\partial K(i, j)} = \sum_{u} \sum_{v} \delta(u, v)\, I(u+i,\, v+j) \tag{3.19} $$
#
# That is (3.1) with $\delta$ as the kernel. The proof takes the squared error as $L$, so
# $\delta = 2(F - \text{target})$, and lets automatic differentiation compute the left side.


# %%
def kernel_gradient(image, kernel, target):
    """The gradient of the summed squared error with respect to the kernel (3.19)."""
    delta = 2 * (correlate(image, kernel) - target)
    return correlate(image, delta)  # (3.19)


def automatic_gradient(image, kernel, target):
    def loss(weights):
        return keras.ops.sum(keras.ops.square(keras.ops.conv(image[None, ..., None], weights) - wanted))

    wanted = keras.ops.convert_to_tensor(target[None, ..., None])
    return keras.ops.convert_to_numpy(gradient(loss, kernel[..., None, None]))[..., 0, 0]


def targets(count):
    for image, kernel in pictures_and_kernels(count):
        yield image, kernel, whole(*(n - k + 1 for n, k in zip(image.shape, kernel.shape)))


prove("3.19", kernel_gradient, automatic_gradient, cases=targets(40))

# %% [markdown]
# Now two students of the same teacher. One sees digits. The other sees bars only: pictures in which each column is all
# white or all black. Which of them will find Sobel's kernel?

# %%
lessons = {
    "digits": images[:2000, ..., None],
    "bars": np.repeat(rng.random((2000, 1, 28, 1)) < 0.2, 28, axis=1).astype("float32"),
}
teacher = keras.layers.Conv2D(1, 3, use_bias=False, kernel_initializer=these(SOBEL))
losses, learned, students = {}, {}, {}
for name, pictures in lessons.items():
    student = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(1, 3, use_bias=False)])
    student.compile(keras.optimizers.SGD(learning_rate=0.5), loss="mean_squared_error")
    wanted = keras.ops.convert_to_numpy(teacher(pictures))
    history = student.fit(pictures, wanted, batch_size=32, epochs=budget(quick=12, full=30, least=4), verbose=0)
    losses[name], learned[name], students[name] = history.history["loss"], student.get_weights()[0].squeeze(), student

figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), width_ratios=[1.7, 1, 1, 1])
for name, values in losses.items():
    axes[0].plot(range(1, len(values) + 1), values, label=f"sees {name}")
axes[0].set(
    xlabel="epoch", ylabel="mean squared error", yscale="log", xticks=range(0, len(values) + 1, len(values) // 4)
)
axes[0].legend()
for axis, (title, kernel) in zip(axes[1:], {"Sobel": SOBEL, **learned}.items()):
    draw_numbers(axis, np.round(kernel, 2) + 0.0, title if title == "Sobel" else f"learned from {title}")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.11. Left: both students' error falls to almost nothing. Right: the teacher's weights, and the two
# students'.*

# %%
sobel_error = np.abs(learned["digits"] - SOBEL).max()
claim("3.3", "a layer that imitates Sobel on digits recovers Sobel's weights", sobel_error < 0.1)

# %%
bars_error = np.abs(learned["bars"] - SOBEL).max()
claim(
    "3.4",
    "on bars the imitation succeeds and the weights are not Sobel's",
    losses["bars"][-1] < 1e-4 < 0.2 < bars_error,
)

# %% [markdown]
# Add up the columns of the kernel learned from bars: $-4$, $0$ and $4$, as in Sobel's. On bars nothing more can be
# known: all rows of a window are equal, so (3.19) has the same value for all $i$, and gradient descent never changes
# the *differences* between the rows. They are still the random numbers of the start. A small loss says that the outputs
# agree on what was shown. It does not say that the weights do.
#
# ## A look inside: what digits teach a layer
#
# Does a layer that has to *tell digits apart* invent Sobel too? Train eight kernels of 5 × 5 below a dense layer with
# ten outputs, and keep the kernels from before. The figure shows also what training added to each.

# %%
conv = keras.layers.Conv2D(8, 5, strides=2, activation="relu")
classifier = keras.Sequential(
    [keras.Input((28, 28, 1)), conv, keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
)
classifier.compile(keras.optimizers.SGD(learning_rate=0.1), "sparse_categorical_crossentropy")
at_first = conv.get_weights()[0].squeeze()
classifier.fit(images[..., None], labels, epochs=budget(quick=3, full=10, least=1), verbose=0)
at_last = conv.get_weights()[0].squeeze()
added = at_last - at_first
figure, axes = plt.subplots(4, 8, figsize=(7.5, 4.3))
response = keras.ops.convert_to_numpy(conv(seven[None, ..., None]))[0]
for m, column in enumerate(axes.T):
    for axis, kernels in zip(column, (at_first, added, at_last)):
        draw(axis, kernels[..., m], signed=True, bound=np.abs(at_last).max())
    draw(column[3], response[..., m], bound=response.max())
for axis, label in zip(axes[:, 0], ("at first", "+ added", "= learned", "response")):
    axis.set_ylabel(label)
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 3.12. Eight kernels before training, what training added, the sum, and what the sum answers to a seven (black
# is 0). Rows 1 to 3 share one scale.*
#
# This is no gallery of edge detectors. Much of the random start is left, and where the second row is almost white,
# training has hardly touched a kernel: one that rarely answers above 0 gets almost no gradient through the ReLU. But
# look at what *was* added. With plain gradient descent, whatever is added to a kernel is a weighted sum of windows of
# the training pictures: that is (3.19). Windows of digits are smooth, so what is added is smooth, while the random
# start is not. To measure it, compare the neighbours: the mean product of adjacent weights, as a fraction of the mean
# square, is about 0 for random weights and nears 1 for a smooth kernel.


# %%
def smoothness(kernels):
    """Mean product of neighbouring weights over the mean squared weight; kernels (kh, kw, N)."""
    across, down = kernels[:, 1:] * kernels[:, :-1], kernels[1:] * kernels[:-1]
    return float((across.mean() + down.mean()) / 2 / np.square(kernels).mean())


claim(
    "3.5", "what training adds to a kernel is smoother than its start", smoothness(added) > smoothness(at_first) + 0.2
)

# %% [markdown]
# ## Debug it
#
# Many pages print the convolutional layer with indices that count from 1 as
#
# $$ y_{k,l} = \sum_{i} \sum_{j} w_{i,j}\; x_{k-i+1,\; l-j+1} $$
#
# and people translate it faithfully, as in the cell below. It runs. No error, no warning, an output of the right size.


# %%
def as_printed(image, kernel):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for k in range(1, height - kh + 2):
        for l in range(1, width - kw + 2):
            for i in range(1, kh + 1):
                for j in range(1, kw + 1):  # "- 1" because Python counts from 0
                    output[k - 1, l - 1] += kernel[i - 1, j - 1] * image[(k - i + 1) - 1, (l - j + 1) - 1]
    return output


disc = (np.hypot(*np.mgrid[-4:5, -4:5]) < 4.5).astype(float)
spot = np.zeros((38, 38))
spot[14, 12] = 1
figure, axes = plt.subplots(2, 3, figsize=(6.4, 4.5))
for row, (picture, kernel) in zip(axes, [(world[10:48, 10:48], disc), (spot, np.tri(9))]):
    draw(row[0], picture, "input")
    draw(row[1], correlate(picture, kernel), "what Conv2D gives")
    draw(row[2], as_printed(picture, kernel), "as printed")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.13. Top: a view of the world, blurred by a disc. Bottom: one white pixel and a triangular kernel.*
#
# Before you read on, say what the bottom row tells you, and what happens at the top and left edges of the upper one.
#
# The formula is right for something else: *full* convolution, where the kernel is turned and may hang over the edge,
# and products outside the picture are left out. Read as a layer that stays inside the picture, it makes three mistakes
# at once. The kernel is turned. The output stands too far down and right, by one pixel less than the
# kernel's size. And where $k - i + 1$ falls
# below 1, Python does not complain: index $-1$ is the last row, so the far edge bleeds into the near one. The repair is
# yours, in exercise 3.7. The habit to keep: **send in a single white pixel, and look.**
#
# ## This run

# %%
record(im2col_speed_up=speed_up, sobel_error_from_digits=sobel_error, sobel_error_from_bars=bars_error)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. A failed check names the input, what came out and what
# was expected. Plain Python and NumPy are enough, and the functions of the lesson are yours to use.
#
# **Exercise 3.1 ★** You plan a stack of layers and want to know what size comes out at the end, or which layer falls
# off the edge.


# %%
# Exercise 3.1
def stack_size(n, layers):
    """The size that is left of n pixels after a stack of convolutions, along one axis.

    n: pixels that go into the first layer. layers: list of tuples
    (kernel size, stride, padding, dilation) of whole numbers, first layer first; the padding
    is added on each side. Returns a whole number.
    Raises ValueError where a layer's kernel covers more pixels than its padded input has.
    Example: stack_size(28, [(5, 1, 0, 1), (3, 2, 1, 1)]) is 12, by way of 24.
    """
    ### BEGIN SOLUTION
    for k, stride, padding, dilation in layers:
        n = output_size(n, k, stride, padding, dilation)
        if n == 0:
            raise ValueError(f"a kernel of size {k} and dilation {dilation} does not fit")
    return n
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("3.1")
ex.hints(
    "Which function of the lesson gives the size after one layer?",
    "What goes into a layer is what came out of the one before: keep it in one variable, in a loop.",
    "`output_size` gives 0 where the kernel does not fit. There the function is to raise an error.",
)


@ex.cases
def _(rng):
    yield 28, [(5, 1, 0, 1), (3, 2, 1, 1)]
    yield 9, []
    yield 5, [(5, 3, 0, 1)]
    yield 6, [(3, 1, 0, 3)]
    yield 10, [(5, 2, 0, 1), (4, 1, 0, 1)]
    for _ in range(25):
        stack = [tuple(int(v) for v in rng.integers((1, 1, 0, 1), (6, 4, 4, 4))) for _ in range(rng.integers(1, 4))]
        yield int(rng.integers(12, 70)), stack


@ex.oracle
def _(n, layers):
    for k, stride, padding, dilation in layers:
        row = [0] * (padding + n + padding)
        starts = [u for u in range(0, len(row), stride) if u + (k - 1) * dilation < len(row)]
        if not starts:
            raise ValueError("does not fit")
        n = len(starts)
    return n


def _chain(size):
    def answer(n, layers):
        for layer in layers:
            n = size(n, *layer)
            if n <= 0:
                raise ValueError
        return n

    return answer


@ex.wrong
def one_sided(n, layers):
    """The padding is added on both sides of the row, so the row grows by twice as much."""
    return _chain(lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1)(n, layers)


@ex.wrong
def rounds_up(n, layers):
    """A jump that does not fit is not made: where the division leaves a rest, the count is rounded down."""
    return _chain(lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1)(n, layers)


@ex.wrong
def counts_jumps(n, layers):
    """You counted the jumps, not the places: the place where the kernel first stands is one more."""
    return _chain(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s)(n, layers)


@ex.wrong
def without_dilation(n, layers):
    """A dilated kernel covers more pixels than it has numbers: the fourth number of a layer is not used."""
    return _chain(lambda n, k, s, p, d: (n + 2 * p - k) // s + 1)(n, layers)


@ex.wrong
def never_refuses(n, layers):
    """The sizes are right, but a kernel that does not fit has to be refused with a ValueError, at whichever layer."""
    for k, s, p, d in layers:
        n = max((n + 2 * p - d * (k - 1) - 1) // s + 1, 0)
    return n


@ex.wrong
def not_chained(n, layers):
    """Each layer takes in what the layer before it put out, not the first picture again."""
    left = n
    for layer in layers:
        left = _chain(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s + 1)(n, [layer])
    return left


@ex.right
def by_ranges(n, layers):
    for k, s, p, d in layers:
        n = len(range(0, n + 2 * p - d * (k - 1), s))
        if not n:
            raise ValueError("the kernel covers more than there is")
    return n


# %%
check("3.1", stack_size)

# %% [markdown]
# **Exercise 3.2 ★** A convolution can also just move a picture. Which kernel does that, under (3.1) as it stands?


# %%
# Exercise 3.2
def shift_kernel(down, right):
    """A kernel that moves the content of a picture by whole pixels, under cross-correlation
    with zero padding.

    down, right: pixels to move by; negative for up and left. Returns a square array (k, k)
    with k odd, large enough for the move, whose middle lies on the pixel that is computed
    (as with padding="same").
    Example: shift_kernel(0, 0) may be [[1.0]], which moves nothing.
    """
    ### BEGIN SOLUTION
    reach = max(abs(down), abs(right))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    kernel[reach - down, reach - right] = 1  # the pixel that arrives here lies up and to the left
    return kernel
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.ndimage import shift
from scipy.signal import correlate2d

ex = exercise("3.2")
ex.hints(
    "A kernel with a single 1 copies one pixel of its window. Which pixel does `[[0, 0, 1]]` copy to the middle?",
    "To move the content right by 1, each pixel must take the value of its neighbour on the left.",
    "So the 1 stands `down` rows above the middle, and `right` columns to the left of it. How large must k be?",
)


@ex.cases
def _(rng):
    moves = [(0, 0), (1, 0), (0, 1), (-2, 0), (0, -3), (2, 2), (-1, 2), (3, -1)]
    for down, right in moves + [tuple(int(v) for v in rng.integers(-3, 4, 2)) for _ in range(12)]:
        yield rng.integers(1, 10, (8, 9)).astype(float), down, right


ex.shown_as("shift_kernel(down, right)")


@ex.drive
def moved(answer, picture, down, right):
    kernel = np.asarray(answer(down, right))
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise ValueError(f"the kernel must be square and of odd size, and its shape is {kernel.shape}")
    full = correlate2d(picture, kernel, mode="full")
    p = len(kernel) // 2
    return {"a picture moved by it": full[p : p + picture.shape[0], p : p + picture.shape[1]]}


@ex.oracle
def _(picture, down, right):
    return {"a picture moved by it": shift(picture, (down, right), order=0)}


def _single(down, right, row, column, value=1.0):
    reach = max(abs(down), abs(right))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    kernel[reach + row, reach + column] = value
    return kernel


@ex.wrong
def turned(down, right):
    """Your kernel moves the picture the opposite way. In (3.1) a 1 below the middle fetches the pixel from below."""
    return _single(down, right, down, right)


@ex.wrong
def axes_exchanged(down, right):
    """Rows come before columns: your kernel moves by `right` rows and by `down` columns."""
    return _single(down, right, -right, -down)


@ex.wrong
def one_axis_turned(down, right):
    """One axis is right. Sideways your kernel still moves the picture the opposite way."""
    return _single(down, right, -down, right)


@ex.wrong
def averaged(down, right):
    """The picture arrives at the right place but darker: the numbers of a kernel that keeps brightness sum to 1."""
    return _single(down, right, -down, -right, 1 / (2 * max(abs(down), abs(right)) + 1) ** 2)


@ex.wrong
def from_the_corner(down, right):
    """The kernel's origin is its middle, not its top left corner: count the place of the 1 from the middle."""
    kernel = np.zeros(2 * [2 * max(abs(down), abs(right)) + 1])
    kernel[-down, -right] = 1
    return kernel


@ex.right
def by_rolling(down, right):
    middle = np.pad([[1.0]], 7)
    return np.roll(middle, (-down, -right), axis=(0, 1))


# %%
check("3.2", shift_kernel)

# %% [markdown]
# **Exercise 3.3 ★★** Equation (3.3) backwards: which padding gives the size you want? Sometimes several do, sometimes
# none.


# %%
# Exercise 3.3
def padding_for(n, k, stride, dilation, wanted):
    """The smallest padding, added on each side, with which a convolution puts out `wanted`
    pixels along one axis.

    n: pixels of the input. k: kernel size. All are whole numbers >= 1. Returns a whole
    number >= 0.
    Raises ValueError where no such padding exists.
    Example: padding_for(7, 3, 1, 1, 7) is 1; padding_for(7, 4, 1, 1, 7) raises.
    """
    ### BEGIN SOLUTION
    missing = (wanted - 1) * stride + dilation * (k - 1) + 1 - n  # pixels that the last place needs beyond n
    padding = max(-(-missing // 2), 0)
    if output_size(n, k, stride, padding, dilation) != wanted:
        raise ValueError(f"no padding makes {wanted} pixels of {n}")
    return padding
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

ex = exercise("3.3")
ex.hints(
    "Try it on paper: to have `wanted` places, how many pixels must the padded row have at least?",
    "The last place begins at (wanted - 1) * stride and covers dilation * (k - 1) + 1 pixels.",
    "Padding 1 adds two pixels. Take the smallest that is enough, and ask `output_size` if it does not give more.",
)


@ex.cases
def _(rng):
    yield from [(7, 3, 1, 1, 7), (7, 4, 1, 1, 7), (28, 5, 1, 1, 28), (8, 3, 2, 1, 4), (9, 1, 1, 1, 5), (5, 3, 1, 1, 3)]
    yield 5, 3, 1, 1, 1  # a padding of -1 would do
    for _ in range(30):
        n, k, stride, dilation, padding = (int(v) for v in rng.integers((5, 1, 1, 1, 0), (30, 7, 5, 4, 8)))
        size = (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        yield n, k, stride, dilation, max(size + int(rng.choice([0, 0, 0, 1, -1])), 1)


@ex.oracle
def _(n, k, stride, dilation, wanted):
    for padding in range(500):
        if len(range(0, n + 2 * padding - dilation * (k - 1), stride)) == wanted:
            return padding
    raise ValueError("none")


def _solve(missing, n, k, s, d, wanted):
    p = max(-(-missing // 2), 0)
    if (n + 2 * p - d * (k - 1) - 1) // s + 1 != wanted:
        raise ValueError
    return p


@ex.wrong
def half_a_kernel(n, k, stride, dilation, wanted):
    """Half a kernel is the padding that keeps the size at stride 1; here the wanted size decides."""
    return (k - 1) // 2


@ex.wrong
def total(n, k, stride, dilation, wanted):
    """That is the number of zeros in all. Half of them, rounded up, go on each side."""
    p = max((wanted - 1) * stride + dilation * (k - 1) + 1 - n, 0)
    if (n + 2 * -(-p // 2) - dilation * (k - 1) - 1) // stride + 1 != wanted:
        raise ValueError
    return p


@ex.wrong
def without_dilation(n, k, stride, dilation, wanted):
    """Right where the dilation is 1. A dilated kernel covers d(k - 1) + 1 pixels."""
    missing = (wanted - 1) * stride + k - n
    p = max(-(-missing // 2), 0)
    if (n + 2 * p - k) // stride + 1 != wanted:
        raise ValueError
    return p


@ex.wrong
def never_refuses(n, k, stride, dilation, wanted):
    """The padding is right where there is one. Put it into (3.3): where the wanted size does not come out, raise."""
    return max(-(-((wanted - 1) * stride + dilation * (k - 1) + 1 - n) // 2), 0)


@ex.wrong
def negative(n, k, stride, dilation, wanted):
    """A padding cannot be negative, which would cut pixels off. Where 0 already makes too many pixels, raise."""
    p = -(-((wanted - 1) * stride + dilation * (k - 1) + 1 - n) // 2)
    if (n + 2 * p - dilation * (k - 1) - 1) // stride + 1 != wanted:
        raise ValueError
    return p


@ex.wrong
def rounded_down(n, k, stride, dilation, wanted):
    """Half an odd number of zeros is rounded up, or the last place of the kernel hangs over the edge by one pixel."""
    p = max(((wanted - 1) * stride + dilation * (k - 1) + 1 - n) // 2, 0)
    if (n + 2 * p - dilation * (k - 1) - 1) // stride + 1 != wanted:
        raise ValueError
    return p


@ex.wrong
def largest(n, k, stride, dilation, wanted):
    """That padding gives the wanted size, but a smaller one gives it too, where jumps leave pixels over."""
    most = (wanted * stride - 1 + dilation * (k - 1) + 1 - n) // 2
    if most < 0 or (n + 2 * most - dilation * (k - 1) - 1) // stride + 1 != wanted:
        raise ValueError
    return most


@ex.right
def by_trying(n, k, stride, dilation, wanted):
    padding = 0
    while n + 2 * padding < dilation * (k - 1) + 1 + (wanted - 1) * stride:
        padding += 1
    if n + 2 * padding >= dilation * (k - 1) + 1 + wanted * stride:
        raise ValueError("the size jumps over the wanted one")
    return padding


# %%
check("3.3", padding_for)

# %% [markdown]
# **Exercise 3.4 ★★** Now the values: a convolution with Keras's `"same"`, uneven zeros included, and with a stride for
# each axis (scanned pages and spectrograms are often reduced more along one than along the other).


# %%
# Exercise 3.4
def same_conv(image, kernel, stride):
    """Cross-correlation with zero padding and a stride, as keras.ops.conv(..., padding="same")
    computes it.

    image (H, W), kernel (kh, kw): arrays of floats. stride: two whole numbers >= 1,
    (down, right).
    Returns an array (ceil(H / down), ceil(W / right)).
    Example: on a row of four ones, same_conv(np.ones((1, 4)), np.ones((1, 3)),
    (1, 2)) is [[3, 2]].
    """
    ### BEGIN SOLUTION
    sides = [same_padding(n, k, s) for n, k, s in zip(image.shape, kernel.shape, stride)]
    return correlate(np.pad(image, sides), kernel)[:: stride[0], :: stride[1]]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import correlate2d

ex = exercise("3.4", atol=1e-5)
ex.hints(
    "Think of it in three steps: pad, correlate at stride 1, keep some of the result.",
    "The zeros on the two sides of an axis need not be equal: `same_padding` knows both. Ask it for each axis.",
    "After the correlation, keep every stride-th row and column, beginning with the first.",
)


@ex.cases
def _(rng):
    yield np.ones((1, 4)), np.ones((1, 3)), (1, 2)
    yield rng.normal(size=(6, 6)), rng.normal(size=(1, 1)), (2, 2)
    yield rng.normal(size=(6, 9)), rng.normal(size=(5, 4)), (3, 3)
    yield rng.normal(size=(8, 8)), rng.normal(size=(6, 6)), (4, 2)
    for _ in range(24):
        size, kernel, stride = rng.integers(5, 12, 2), rng.integers(1, 7, 2), rng.integers(1, 5, 2)
        yield rng.normal(size=size), rng.normal(size=kernel), tuple(int(v) for v in stride)


@ex.oracle
def _(image, kernel, stride):
    full = correlate2d(image, kernel, mode="full")
    picked = []
    for n, k, s in zip(image.shape, kernel.shape, stride):
        ends = s * (np.arange(-(-n // s))) + k - 1  # in `full`, without any padding before
        zeros = max(int(ends[-1]) + 1 - n, 0)
        picked.append(ends - zeros // 2)
    return full[np.ix_(*picked)]


def _padded(image, kernel, stride, sides):
    windows = sliding_window_view(np.pad(image, sides), kernel.shape)[:: stride[0], :: stride[1]]
    return np.einsum("uvij,ij->uv", windows, kernel)


def _totals(image, kernel, stride):
    return [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(image.shape, kernel.shape, stride)]


@ex.wrong
def zeros_first(image, kernel, stride):
    """Where the number of zeros is odd, Keras puts the extra one after the picture; you put it before."""
    return _padded(image, kernel, stride, [(t - t // 2, t // 2) for t in _totals(image, kernel, stride)])


@ex.wrong
def padded_for_stride_1(image, kernel, stride):
    """These are the zeros for stride 1. With a stride fewer are needed (3.5), and the windows stand elsewhere."""
    return _padded(image, kernel, stride, [(t // 2, t - t // 2) for t in _totals(image, kernel, (1, 1))])


@ex.wrong
def turned(image, kernel, stride):
    """The kernel is turned by 180°: this is the mathematicians' convolution (3.2), and a layer computes (3.1)."""
    sides = [(t // 2, t - t // 2) for t in _totals(image, kernel, stride)]
    return _padded(image, kernel[::-1, ::-1], stride, sides)


@ex.wrong
def stretched_edge(image, kernel, stride):
    """The padding repeats the edge of the picture; "same" pads with zeros."""
    sides = [(t // 2, t - t // 2) for t in _totals(image, kernel, stride)]
    windows = sliding_window_view(np.pad(image, sides, mode="edge"), kernel.shape)[:: stride[0], :: stride[1]]
    return np.einsum("uvij,ij->uv", windows, kernel)


@ex.wrong
def without_padding(image, kernel, stride):
    """There is no padding yet: this is what "valid" gives."""
    return _padded(image, kernel, stride, [(0, 0), (0, 0)])


@ex.wrong
def averaged(image, kernel, stride):
    """Each output is a sum of products, and you return their mean."""
    sides = [(t // 2, t - t // 2) for t in _totals(image, kernel, stride)]
    return _padded(image, kernel, stride, sides) / kernel.size


@ex.wrong
def strides_exchanged(image, kernel, stride):
    """Rows come before columns: the first number of the stride counts pixels down, the second pixels to the right."""
    stride = stride[::-1]
    return _padded(image, kernel, stride, [(t // 2, t - t // 2) for t in _totals(image, kernel, stride)])


@ex.right
def tap_by_tap(image, kernel, stride):
    rows, columns = (-(-n // s) for n, s in zip(image.shape, stride))
    top, left = (t // 2 for t in _totals(image, kernel, stride))
    output = np.zeros((rows, columns))
    for (u, v), _ in np.ndenumerate(output):
        for (i, j), weight in np.ndenumerate(kernel):
            r, c = u * stride[0] + i - top, v * stride[1] + j - left
            if 0 <= r < image.shape[0] and 0 <= c < image.shape[1]:
                output[u, v] += weight * image[r, c]
    return output


# %%
check("3.4", same_conv)

# %% [markdown]
# **Exercise 3.5 ★★** Count the parameters of a network from its description, before Keras does.


# %%
# Exercise 3.5
def count_parameters(height, width, channels, layers):
    """Number of parameters, biases included, of a chain of layers on pictures
    (height, width, channels).

    layers: list of tuples, first layer first. ("conv", k, N): k x k convolution with N
    kernels. ("depthwise", k): k x k depthwise convolution, one kernel and one bias a channel.
    Both have stride 1 and no padding. ("dense", D), at the end only: a dense layer with D
    outputs on all numbers of the last picture. Returns a whole number.
    Example: count_parameters(28, 28, 1, [("conv", 3, 8), ("dense", 10)]) is 80 + 54090 =
    54170.
    """
    ### BEGIN SOLUTION
    count = 0
    for kind, *sizes in layers:
        if kind == "dense":
            count += (height * width * channels + 1) * sizes[0]
        else:
            k = sizes[0]
            height, width = height - k + 1, width - k + 1
            if kind == "conv":
                count += (k * k * channels + 1) * sizes[1]
                channels = sizes[1]
            else:
                count += (k * k + 1) * channels
    return count
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np

ex = exercise("3.5")
ex.hints(
    "Walk through the layers with four variables: height, width, channels, and the count so far.",
    "A convolution changes height, width and channels; a depthwise one leaves the channels as they are.",
    "A dense layer sees height * width * channels numbers, of the image as it is at that point.",
)


@ex.cases
def _(rng):
    yield 28, 28, 1, [("conv", 3, 8), ("dense", 10)]
    yield 8, 9, 3, [("dense", 4)]
    yield 9, 8, 3, [("depthwise", 3)]
    yield 12, 12, 2, [("depthwise", 3), ("conv", 1, 6), ("dense", 5)]
    for _ in range(12):
        layers = []
        for _ in range(rng.integers(1, 4)):
            k, n = int(rng.integers(1, 4)), int(rng.integers(2, 9))
            layers.append(("conv", k, n) if rng.random() < 0.6 else ("depthwise", k))
        layers += [("dense", int(rng.integers(2, 12)))] * int(rng.random() < 0.6)
        yield *(int(v) for v in rng.integers(8, 15, 2)), int(rng.integers(2, 5)), layers


@ex.oracle
def _(height, width, channels, layers):
    def blank(shape, dtype):
        return np.zeros(shape, dtype)

    shape, count, empty = (None, height, width, channels), 0, {"bias_initializer": blank}
    for kind, *sizes in layers:
        if kind == "dense":
            layer = keras.layers.Dense(sizes[0], kernel_initializer=blank, **empty)
            shape = (None, int(np.prod(shape[1:])))
        elif kind == "conv":
            layer = keras.layers.Conv2D(sizes[1], sizes[0], kernel_initializer=blank, **empty)
        else:
            layer = keras.layers.DepthwiseConv2D(sizes[0], depthwise_initializer=blank, **empty)
        layer.build(shape)
        count, shape = count + layer.count_params(), layer.compute_output_shape(shape)
    return count


def _count(layers, height, width, channels, conv, depthwise, dense, shrink=1):
    count = 0
    for kind, *sizes in layers:
        if kind == "dense":
            count += dense(height, width, channels, sizes[0])
            continue
        count += conv(sizes[0], channels, sizes[1]) if kind == "conv" else depthwise(sizes[0], channels)
        height, width = height - shrink * (sizes[0] - 1), width - shrink * (sizes[0] - 1)
        channels = sizes[1] if kind == "conv" else channels
    return count


def _conv(k, c, n):
    return (k * k * c + 1) * n


def _depthwise(k, c):
    return (k * k + 1) * c


def _dense(h, w, c, d):
    return (h * w * c + 1) * d


@ex.wrong
def without_bias(height, width, channels, layers):
    """The biases are missing: one for every kernel and for every dense output."""
    parts = (lambda k, c, n: k * k * c * n), (lambda k, c: k * k * c), (lambda h, w, c, d: h * w * c * d)
    return _count(layers, height, width, channels, *parts)


@ex.wrong
def flat_kernels(height, width, channels, layers):
    """A kernel of a full convolution is as deep as its input: k * k weights for each of the channels that come in."""
    return _count(layers, height, width, channels, lambda k, c, n: (k * k + 1) * n, _depthwise, _dense)


@ex.wrong
def never_shrinks(height, width, channels, layers):
    """Without padding the picture shrinks at every k x k layer, so fewer numbers reach the dense layer."""
    return _count(layers, height, width, channels, _conv, _depthwise, _dense, shrink=0)


@ex.wrong
def dense_on_channels(height, width, channels, layers):
    """The dense layer is connected with every number of the last picture: with all pixels, not only its channels."""
    return _count(layers, height, width, channels, _conv, _depthwise, lambda h, w, c, d: (c + 1) * d)


@ex.wrong
def depthwise_as_full(height, width, channels, layers):
    """A depthwise kernel looks at its own channel only; you gave each one the depth of a full convolution's kernel."""
    return _count(layers, height, width, channels, _conv, lambda k, c: _conv(k, c, c), _dense)


@ex.wrong
def channel_bias(height, width, channels, layers):
    """There is one bias for each kernel of a convolution, not one for each kernel and input channel."""
    return _count(layers, height, width, channels, lambda k, c, n: (k * k + 1) * c * n, _depthwise, _dense)


@ex.right
def by_recursion(height, width, channels, layers):
    if not layers:
        return 0
    (kind, *sizes), *rest = layers
    if kind == "dense":
        return sizes[0] * height * width * channels + sizes[0]
    k = sizes[0]
    n = sizes[1] if kind == "conv" else channels
    weights = k * k * channels * (n if kind == "conv" else 1)
    return weights + n + by_recursion(height - k + 1, width - k + 1, n, rest)


# %%
check("3.5", count_parameters)

# %% [markdown]
# **Exercise 3.6 ★★★** `transposed` in the lesson builds a whole matrix and knows one channel only. Write the transpose
# of a full layer, (3.7) without dilation and bias, by stamping. What padding added on the way there comes off on the
# way back.


# %%
# Exercise 3.6
def transposed_conv(features, kernel, stride, padding):
    """Transposed convolution: the transpose of a convolution with this kernel, stride and zero
    padding.

    features (Ho, Wo, N): array of floats. kernel (kh, kw, C, N): the convolution's, kh and
    kw >= stride. stride: whole number >= 1. padding: whole number >= 0; so many rows and
    columns are taken off at each of the four edges.
    Returns an array ((Ho - 1) * stride + kh - 2 * padding, (Wo - 1) * stride + kw -
    2 * padding, C).
    Example: a row of two pixels 1 and 2 with a 1 x 3 kernel of ones and stride 2 becomes a row
    1, 1, 3, 2, 2: transposed_conv(np.array([[[1.0], [2.0]]]), np.ones((1, 3, 1, 1)), 2,
    0)[..., 0] is [[1, 1, 3, 2, 2]].
    """
    ### BEGIN SOLUTION
    (rows, columns, _), (kh, kw, channels, _) = features.shape, kernel.shape
    picture = np.zeros(((rows - 1) * stride + kh, (columns - 1) * stride + kw, channels))
    for u in range(rows):
        for v in range(columns):
            stamp = kernel @ features[u, v]  # (kh, kw, C): the sum over the N kernels
            picture[u * stride : u * stride + kh, v * stride : v * stride + kw] += stamp
    return picture[padding : picture.shape[0] - padding, padding : picture.shape[1] - padding]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import convolve2d

ex = exercise("3.6", atol=1e-5)
ex.hints(
    "On the way there, a window of the image becomes one pixel. On the way back, one pixel becomes a window.",
    "Begin with zeros, the padding not yet taken off. Pixel (u, v) adds a stamp at (u * stride, v * stride).",
    "The stamp (kh, kw, C) is the kernel, its last axis multiplied by the N features of the pixel and added up.",
)


@ex.cases
def _(rng):
    yield np.array([[[1.0], [2.0]]]), np.ones((1, 3, 1, 1)), 2, 0
    yield rng.normal(size=(3, 3, 1)), rng.normal(size=(3, 3, 1, 1)), 1, 1
    yield rng.normal(size=(1, 1, 2)), rng.normal(size=(4, 3, 3, 2)), 2, 0
    for _ in range(24):
        stride = int(rng.integers(1, 4))
        (kh, kw), (channels, filters) = rng.integers(max(stride, 2), 6, 2), rng.integers(1, 4, 2)
        features = rng.normal(size=(*rng.integers(2, 6, 2), filters))
        yield features, rng.normal(size=(kh, kw, channels, filters)), stride, int(rng.integers(0, 2))


@ex.oracle
def _(features, kernel, stride, padding):
    # Zeros between the pixels, then the mathematicians' convolution with everything that it can reach.
    spread = np.zeros([(o - 1) * stride + 1 for o in features.shape[:2]] + [features.shape[2]])
    spread[::stride, ::stride] = features
    filters = range(features.shape[2])
    maps = [sum(convolve2d(spread[..., m], kernel[:, :, c, m]) for m in filters) for c in range(kernel.shape[2])]
    rows, columns = (n - 2 * padding for n in maps[0].shape)
    return np.stack(maps, axis=-1)[padding:][:rows, padding:][:, :columns]


def _stamp(features, kernel, stride, overwrite=False):
    (rows, columns, _), (kh, kw, channels, _) = features.shape, kernel.shape
    picture = np.zeros(((rows - 1) * stride + kh, (columns - 1) * stride + kw, channels))
    for u, v in np.ndindex(rows, columns):
        window = picture[u * stride : u * stride + kh, v * stride : v * stride + kw]
        window[:] = kernel @ features[u, v] + (0 if overwrite else window)
    return picture


def _crop(picture, padding):
    return picture[padding : picture.shape[0] - padding, padding : picture.shape[1] - padding]


@ex.wrong
def turned(features, kernel, stride, padding):
    """The kernel is turned by 180°. The transpose of a correlation stamps the kernel as it is."""
    return _crop(_stamp(features, kernel[::-1, ::-1], stride), padding)


@ex.wrong
def overwritten(features, kernel, stride, padding):
    """Where two stamps overlap, both count: add to what is there already, do not replace it."""
    return _crop(_stamp(features, kernel, stride, overwrite=True), padding)


@ex.wrong
def padding_ignored(features, kernel, stride, padding):
    """Right without padding. With it, so many rows and columns have to come off at each of the four edges."""
    return _stamp(features, kernel, stride)


@ex.wrong
def padding_added(features, kernel, stride, padding):
    """A convolution's padding makes its input larger, so the way back takes it off; you added it."""
    return np.pad(_stamp(features, kernel, stride), [(padding, padding), (padding, padding), (0, 0)])


@ex.wrong
def cropped_at_the_end(features, kernel, stride, padding):
    """The size is right, but all that comes off comes off at the bottom and right; it is half at each end."""
    picture = _stamp(features, kernel, stride)
    return picture[: picture.shape[0] - 2 * padding, : picture.shape[1] - 2 * padding]


@ex.wrong
def minus_zero(features, kernel, stride, padding):
    """The slice a[p:-p] is empty where p is 0, for -0 is 0: count the end from the front."""
    return _stamp(features, kernel, stride)[padding:-padding, padding:-padding]


@ex.wrong
def averaged(features, kernel, stride, padding):
    """The N feature maps are added up, each with its own kernel; you take their mean."""
    return _crop(_stamp(features, kernel, stride), padding) / features.shape[2]


@ex.wrong
def one_map(features, kernel, stride, padding):
    """Only the first of the N feature maps is used; every one of them stamps its own kernel."""
    return _crop(_stamp(features[..., :1], kernel[..., :1], stride), padding)


@ex.right
def tap_by_tap(features, kernel, stride, padding):
    (rows, columns, _), (kh, kw, channels, _) = features.shape, kernel.shape
    picture = np.zeros(((rows - 1) * stride + kh, (columns - 1) * stride + kw, channels))
    for i, j in np.ndindex(kh, kw):
        picture[i : i + rows * stride : stride, j : j + columns * stride : stride] += np.einsum(
            "uvm,cm->uvc", features, kernel[i, j]
        )
    return _crop(picture, padding)


# %%
check("3.6", transposed_conv)

# %% [markdown]
# **Exercise 3.7 ★★** Repair the snippet of "Debug it". It is to do what a `Conv2D` layer without padding does: (3.1),
# with a bias of 0.


# %%
# Exercise 3.7
def conv_from_the_web(image, kernel):
    """Cross-correlation (3.1) without padding or bias.

    image (H, W), kernel (kh, kw): arrays of floats, the kernel no larger than the image.
    Returns an array (H - kh + 1, W - kw + 1).
    Example: conv_from_the_web(np.array([[1, 2, 3]]), np.array([[0, 1]])) is [[2, 3]].
    """
    ### BEGIN SOLUTION
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for k in range(1, height - kh + 2):
        for l in range(1, width - kw + 2):
            for i in range(1, kh + 1):
                for j in range(1, kw + 1):  # "- 1" because Python counts from 0
                    output[k - 1, l - 1] += kernel[i - 1, j - 1] * image[(k + i - 1) - 1, (l + j - 1) - 1]
    return output
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import correlate2d

ex = exercise("3.7", atol=1e-5, start="as_printed")
ex.hints(
    "Run it on an image of 3 x 3 with a kernel of 2 x 2, and compare with `correlate`.",
    "The formulas on the web count from 1, and Python from 0. Write down which pixel the first product should use.",
    "Check each index by itself, of the output, the kernel and the image, and the ends of all four loops.",
)


@ex.cases
def _(rng):
    yield np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 1.0]])
    yield rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    for _ in range(22):
        kernel = rng.integers(1, 5, 2)
        yield rng.normal(size=kernel + rng.integers(0, 6, 2)), rng.normal(size=kernel)


@ex.oracle
def _(image, kernel):
    return correlate2d(image, kernel, mode="valid")


@ex.wrong
def as_printed(image, kernel):
    """The window has to start at pixel (k, l) and go on from there. In this formula it runs backwards from (k, l), and
    below 1 Python counts from the far end of the picture."""
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for k in range(1, height - kh + 2):
        for l in range(1, width - kw + 2):
            for i in range(1, kh + 1):
                for j in range(1, kw + 1):  # "- 1" because Python counts from 0
                    output[k - 1, l - 1] += kernel[i - 1, j - 1] * image[(k - i + 1) - 1, (l - j + 1) - 1]
    return output


def _sum(image, kernel, row, column):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for u, v in np.ndindex(output.shape):
        for i, j in np.ndindex(kh, kw):
            output[u, v] += kernel[i, j] * image[row(u, i, kh), column(v, j, kw)]
    return output


@ex.wrong
def one_axis(image, kernel):
    """One axis is repaired: the rows are right, and the columns still run backwards."""
    return _sum(image, kernel, lambda u, i, _: u + i, lambda v, j, _: v - j)


@ex.wrong
def other_axis(image, kernel):
    """One axis is repaired: the columns are right, and the rows still run backwards."""
    return _sum(image, kernel, lambda u, i, _: u - i, lambda v, j, _: v + j)


@ex.wrong
def still_turned(image, kernel):
    """The window stands at the right place now, but the kernel is still turned by 180°: this is (3.2)."""
    return _sum(image, kernel, lambda u, i, k: u + k - 1 - i, lambda v, j, k: v + k - 1 - j)


@ex.wrong
def zeros_outside(image, kernel):
    """No row wraps round any more, but products are now left out: this is a corner of the full, turned convolution. No
    window of (3.1) leaves the picture at all."""
    return _sum(
        np.pad(image, [(k - 1, 0) for k in kernel.shape]),
        kernel,
        lambda u, i, k: u + k - 1 - i,
        lambda v, j, k: v + k - 1 - j,
    )


@ex.wrong
def one_too_far(image, kernel):
    """The window runs the right way, one pixel too far: for i = 1 it has to lie on pixel k itself."""
    return _sum(image, kernel, lambda u, i, _: u + i + 1, lambda v, j, _: v + j + 1)


@ex.right
def by_shifting(image, kernel):
    rows, columns = (n - k + 1 for n, k in zip(image.shape, kernel.shape))
    return sum(w * image[i : i + rows, j : j + columns] for (i, j), w in np.ndenumerate(kernel))


# %%
check("3.7", conv_from_the_web)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | cross-correlation | $F(u,v) = \sum_{i,j} K(i,j)\, I(u+i, v+j) + b$ | (3.1) |
# | convolution | the same with the kernel turned by 180° | (3.2) |
# | output size | $o = \lfloor (n + 2p - d(k-1) - 1)/s \rfloor + 1$ | (3.3) |
# | Keras's two words | valid: $\lceil (n - d(k-1))/s \rceil$; same: $\lceil n/s \rceil$ | (3.4) |
# | zeros for `"same"` | $\max((o-1)s + d(k-1) + 1 - n, 0)$, an odd one after the picture | (3.5) |
# | size kept at $s = 1$ | $p = d(k-1)/2$ | (3.6) |
# | a layer | $F(u,v,m) = \sum_{i,j,c} K(i,j,c,m)\, I(us+di, vs+dj, c) + b(m)$ | (3.7) |
# | im2col | $F = P\,\mathbf{K} + b$ | (3.8) |
# | parameters | $(k_h k_w C + 1)N$; dense: $HWCD + D$ | (3.9) |
# | multiply-adds | $H_o W_o\, k_h k_w\, C N$ | (3.10) |
# | 1 × 1 | a dense layer at every pixel | (3.11) |
# | depthwise separable | space first, then channels; costs $1/N + 1/k^2$ of a full one | (3.12), (3.13) |
# | equivariance | $(T_{sa,sb} I) \star K = T_{a,b}(I \star K)$; with zeros, $p$ pixels from the edge | (3.14), (3.15) |
# | as a matrix | $\operatorname{vec}(I \star K) = A \operatorname{vec}(I)$ | (3.16) |
# | transposed | $\langle Ax, y\rangle = \langle x, A^\mathsf{T}y\rangle$; size $(o-1)s + k$ | (3.17), (3.18) |
# | gradient | $\partial L/\partial K = I \star \delta$ | (3.19) |
#
# ## References
#
# - K. Chellapilla, S. Puri and P. Simard, *High performance convolutional neural networks for document processing*,
#   2006.
# - V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning*, 2016, arXiv:1603.07285.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep learning*, 2016, chapter 9.
# - A. Howard et al., *MobileNets: efficient convolutional neural networks for mobile vision applications*, 2017,
#   arXiv:1704.04861.
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-based learning applied to document recognition*, 1998.
# - M. Lin, Q. Chen and S. Yan, *Network in network*, 2013, arXiv:1312.4400.
# - A. Odena, V. Dumoulin and C. Olah, *Deconvolution and checkerboard artifacts*, 2016, Distill.
# - L. Sifre, *Rigid-motion scattering for image classification*, 2014.
