# %% [raw]
# title: The convolution operation
# part: II. Convolution
# minutes: 150
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
# terms:
#   - term: kernel
#     means: the small array of weights that slides over the image; also called filter
#     zh: 卷积核
#   - term: cross-correlation
#     means: at each place the sum of products of the kernel with the window below it
#     zh: 互相关
#   - term: convolution
#     means: cross-correlation with the kernel turned by 180°; deep learning says it for cross-correlation itself
#     zh: 卷积
#   - term: stride
#     means: by how many pixels the kernel jumps
#     zh: 步幅
#   - term: padding
#     means: zeros added around the image
#     zh: 填充
#   - term: dilation
#     means: the distance of neighbouring numbers of a kernel, in pixels
#     zh: 空洞率
#   - term: channel
#     means: one of the images that a layer takes in or puts out
#     zh: 通道
#   - term: feature map
#     means: an output channel, which is what one kernel answers at every place
#     zh: 特征图
#   - term: im2col
#     means: writing every window as a row of a matrix, so that a layer becomes one matrix product
#     zh: 图像块展开为矩阵
#   - term: locality
#     means: an output depends on a small window of the input only (sparse connections)
#     zh: 局部连接
#   - term: weight sharing
#     means: all places of an image use the same weights
#     zh: 权重共享
#   - term: multiply-add
#     means: one product and one addition, the unit in which a layer's work is counted
#     zh: 乘加运算
#   - term: 1 × 1 convolution
#     means: a dense layer that every pixel passes by itself; also called pointwise convolution
#     zh: 1×1卷积
#   - term: depthwise convolution
#     means: every channel has a kernel of its own, and no channels are mixed
#     zh: 逐通道卷积
#   - term: depthwise separable convolution
#     means: a depthwise convolution, then a 1 × 1 convolution
#     zh: 深度可分离卷积
#   - term: translation equivariance
#     means: move the input, and the output moves with it
#     zh: 平移等变性
#   - term: transposed convolution
#     means: multiplication by the transpose of a convolution's matrix, which makes images larger
#     zh: 转置卷积
#   - term: checkerboard artifact
#     means: a pattern in generated images where stamps of a transposed convolution overlap unevenly
#     zh: 棋盘伪影
# symbols:
#   '$I$': 'an image'
#   '$K$': 'kernel, or filter, of a convolution (`kernel`, of shape (height, width, channels in, channels out))'
#   '$n$': 'input size along one axis (`n`)'
#   '$k$': 'kernel size along one axis (`k`)'
#   '$s$': 'stride (`stride`)'
#   '$p$': 'padding (`padding`)'
#   '$d$': 'dilation (`dilation`)'
#   '$o$': 'output size along one axis'
#   '$H$': 'height'
#   '$W$': 'width'
#   '$C$': 'channels in'
#   '$N$': 'channels out: the number of filters'
#   '$\star$': 'cross-correlation (`correlate`)'
#   '$\lfloor\cdot\rfloor$': 'rounding down (`//`)'
#   '$\lceil\cdot\rceil$': 'rounding up (`math.ceil`)'
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
# beside those an image that was computed from the digit with nothing but these nine numbers.

# %% tags=["aside"]
# @title Imports and settings
import time

from course import ask, budget, check, claim, data, gradient, plots, prove, record, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, signal

rng = start("03")  # seeds everything from COURSE_SEED and sets the style of the figures
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])

# %% tags=["aside"]
# @title Draws figure 3.1
mnist = data.mnist()
images = mnist.x_train[: budget(quick=4000, full=60000, least=500)]
images = images.astype("float32") / 255  # from 0 (black) to 1 (white)
labels = mnist.y_train[: len(images)]
seven = images[labels == 7][0]

figure, axes = plt.subplots(2, 3, figsize=(7, 4.4), width_ratios=[1, 0.55, 1])
for row, (top, left), name in zip(axes, [(1, 1), (13, 17)], ["a seven", "the seven, moved"]):
    canvas = np.zeros((42, 46))
    canvas[top : top + 28, left : left + 28] = seven
    plots.draw_image(row[0], canvas, name)
    plots.draw_numbers(row[1], SOBEL, "nine numbers")
    plots.draw_image(row[2], signal.correlate2d(canvas, SOBEL, mode="valid"), "what they compute", signed=True)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.1. Left: a digit at two places. Right: what nine numbers compute from it, purple where the image gets
# brighter from left to right, orange where it gets darker, white where it does not change.*
#
# Nine numbers found the upright edges, and when the digit moved, the answer moved with it. A dense layer, which
# connects every pixel of this input with every pixel of this output, would need more than three million numbers, and
# would share none between two places. So:
#
# **What is this operation, why does its output move with its input, and what does it cost?**
#
# ## What you will be able to do
#
# - compute the operation by hand, in a loop and as one matrix product;
# - predict output size, parameters and work of any such layer;
# - say when it commutes with a shift, and where zero padding spoils that;
# - run it backwards, and explain its checkerboards;
# - train a layer until it finds Sobel's numbers, and know when it cannot.
#
# Indices count from 0, rows come before columns.
#
# ## One window, nine products
#
# Take an image small enough to do by hand: numbers, 1 where it is bright and 0 where it is dark.

# %% tags=["aside"]
# @title Draws figure 3.2
corner = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])
figure, axes = plt.subplots(1, 3, figsize=(7, 2.4), width_ratios=[5, 3, 3])
plots.draw_numbers(axes[0], corner, "input $I$", boxes=[(0, 1, 3, 3)])
plots.draw_numbers(axes[1], SOBEL, "kernel $K$")
plots.draw_numbers(axes[2], signal.correlate2d(corner, SOBEL, mode="valid"), "output $F$", boxes=[(0, 1, 1, 1)])
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.2. The kernel lies on the framed window of the input. Nine products, added, make the framed number of the
# output.*
#
# The nine numbers are called the **kernel** (or filter). Inside the frame each row reads 0, 1, 1. Multiply each pixel
# by the number of the kernel that lies on it and add: the first row gives $-1\cdot0+0\cdot1+1\cdot1=1$, the second 2,
# the third 1, together 4. Slide the frame by one pixel for the next number. With a bias $b$ that is added everywhere,
# this is **cross-correlation**:
#
# $$ F(u, v) = \sum_{i=0}^{k_h-1} \sum_{j=0}^{k_w-1} K(i, j)\, I(u+i,\, v+j) + b \tag{3.1} $$
#
# Deep learning calls this a **convolution** (Goodfellow et al., 2016). In mathematics convolution runs
# through the window against the direction of the kernel, which is the same as turning the kernel by 180° first. Over
# the windows inside the image:
#
# $$ G(u, v) = \sum_{i,\,j} K(i, j)\, I(u + k_h - 1 - i,\, v + k_w - 1 - j) \tag{3.2} $$


# %%
def correlate(image, kernel, bias=0.0):
    """Cross-correlation (3.1) of image (H, W) with kernel (kh, kw): an array (H - kh + 1, W - kw + 1)."""
    kh, kw = kernel.shape
    output = np.zeros((image.shape[0] - kh + 1, image.shape[1] - kw + 1))
    for u, v in np.ndindex(output.shape):
        window = image[u : u + kh, v : v + kw]
        output[u, v] = np.sum(kernel * window) + bias  # (3.1)
    return output


def convolve(image, kernel):
    """Convolution in the sense of mathematics (3.2); shapes as for `correlate`."""
    return correlate(image, kernel[::-1, ::-1])  # (3.2)


# %% [markdown]
# You need not trust these lines: they are held against Keras and SciPy, on random whole numbers, which float32 adds
# without rounding.


# %% tags=["aside"]
# @title What proofs (3.1) and (3.2) compare with
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


def images_and_kernels(count):
    for _ in range(count):
        yield whole(*rng.integers(5, 12, 2)), whole(*rng.integers(1, 6, 2))


# %%
prove("3.1", correlate, keras_correlate, cases=((*case, whole()) for case in images_and_kernels(100)))
prove("3.2", convolve, scipy_convolve, cases=images_and_kernels(200))

# %% [markdown]
# When does the turn by 180° matter? Ask with the simplest image there is, black with a single white pixel, and take a
# digit as the kernel.

# %% tags=["aside"]
# @title Draws figure 3.3
impulse = np.zeros((61, 61))
impulse[30, 30] = 1
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.1))
plots.draw_image(axes[0], impulse, "input: one pixel")
plots.draw_image(axes[1], seven, "kernel: a digit")
plots.draw_image(axes[2], signal.correlate2d(impulse, seven, mode="valid"), "cross-correlation")
plots.draw_image(axes[3], signal.convolve2d(impulse, seven, mode="valid"), "convolution")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.3. Fed with one white pixel, convolution draws the kernel as it is, cross-correlation draws it turned by
# 180° (in an output of 34 × 34 pixels).*
#
# For a kernel that is *learned* the difference is void: whoever turns the kernel learns the turned numbers. From here
# on, "convolution" means (3.1), as it does in Keras.
#
# ## What can a few numbers see?
#
# Before kernels were learned, they were designed by hand. To a flat patch each answers the sum of its numbers times the
# brightness.

# %%
by_hand = {
    "blur": np.ones((5, 5)) / 25,
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "Sobel →": SOBEL,
    "Sobel ↓": SOBEL.T,
}

# %% tags=["aside"]
# @title Draws figure 3.4
figure, axes = plt.subplots(2, 5, figsize=(7.5, 3.5))
for row, digit in zip(axes, [seven, images[labels == 3][0]]):
    plots.draw_image(row[0], digit, "input")
    for axis, (name, kernel) in zip(row[1:], by_hand.items()):
        plots.draw_image(axis, signal.correlate2d(digit, kernel, mode="same"), name, signed=True)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.4. Four kernels, two digits; purple is positive, orange negative, white zero. Each answer has its own
# scale.*
#
# Blur and sharpen sum to 1 and keep the brightness of a flat patch; both Sobel kernels sum to 0 and answer it with 0.
#
#
# ## How big is the output?
#
# Lay a kernel three pixels wide on a row of seven. It can start at pixel 0, 1, 2, 3 or 4; at 5 it would hang over the
# edge. So seven pixels become five. After three such layers one is left, and at a fourth Keras stops: *Computed output
# size would be zero or negative*. Three things change the count: a **stride** $s$ (the kernel jumps $s$ pixels at a
# time), a **padding** $p$ (zeros added on each side), and a **dilation** $d$ (the kernel's numbers stand $d$ pixels
# apart).


# %% tags=["aside"]
# @title Draws figure 3.5
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
# Count in the middle. The padded row has $n+2p=9$ pixels. Where it first stands, the kernel covers 3, so 6 are left
# to move over in jumps of 2: three jumps, four places. A jump that does not fit is not made, hence the floor. On the
# right the kernel covers $d(k-1)+1=5$ pixels instead of 3. In general:
#
# $$ o = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1 \tag{3.3} $$
#
# Keras offers two words for $p$. `"valid"` means $p=0$; `"same"` pads until the size depends on the kernel no longer:
#
# $$ o_\text{valid} = \left\lceil \frac{n - d(k-1)}{s} \right\rceil, \qquad
#    o_\text{same} = \left\lceil \frac{n}{s} \right\rceil \tag{3.4} $$
#
# For that, `"same"` must add $t$ zeros in all, and where $t$ is odd the extra zero goes *after* the image, at the
# right and at the bottom:
#
# $$ \begin{aligned} t &= \max\bigl((o_\text{same} - 1)\, s + d(k-1) + 1 - n,\; 0\bigr), \\
#    p_\text{before} &= \lfloor t/2 \rfloor, \qquad p_\text{after} = t - p_\text{before} \end{aligned} \tag{3.5} $$
#
# At stride 1, set $o=n$ in (3.3). The padding that keeps the size is a whole number if $d(k-1)$ is even, which is one
# reason why kernels have odd sizes:
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


# %% tags=["aside"]
# @title What proofs (3.3) to (3.6) compare with
def keras_row(n, k, stride, padding, dilation=1):
    """The size of what Keras makes of a row of n blank pixels; padding "valid", "same" or a number."""
    zeros = padding if isinstance(padding, int) else 0
    mode = "valid" if isinstance(padding, int) else padding
    steps = 1 if dilation > 1 else stride  # see keras_conv
    row, kernel = np.zeros((1, n + 2 * zeros, 1), "float32"), np.zeros((k, 1, 1), "float32")
    output = keras.ops.conv(row, kernel, strides=steps, padding=mode, dilation_rate=dilation)
    return len(range(0, output.shape[1], stride // steps))


def keras_same_padding(n, k, stride, dilation):
    """Found with a row 1, 2, ..., n and k kernels with a single 1 each: what comes out says which pixel it stood on,
    and a 0 that it stood on padding."""
    row, taps = np.arange(1, n + 1, dtype="float32")[None, :, None], np.eye(k, dtype="float32")[:, None]
    output = keras.ops.conv(row, taps, strides=stride, padding="same", dilation_rate=dilation)
    first, last = keras.ops.convert_to_numpy(output)[0, [0, -1]]
    i, j = np.argmax(first > 0), np.argmax(last > 0)  # the first tap that stands on a pixel
    reach = int(last[j]) - 1 + (k - 1 - j) * dilation  # where the last tap stands at last
    return int(i * dilation - (first[i] - 1)), max(int(reach) - (n - 1), 0)


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


def same_rows(count):
    """(n, k, stride, dilation), of which Keras takes one above 1 only."""
    for n, k, stride, _, dilation in rows(count):
        yield n, k, stride, 1
        yield n, k, 1, dilation


def odd_rows(count):
    for n, k, _, _, dilation in rows(count):
        yield n + dilation * (k - 1), 2 * k - 1, dilation


# %%
prove("3.3", output_size, keras_row, cases=rows(200))
prove("3.4", size_in_keras, keras_row, cases=named_rows(50))
prove("3.5", same_padding, keras_same_padding, cases=same_rows(50))
prove("3.6", keeping_padding, keras_keeping_padding, cases=odd_rows(20))

# %% [markdown]
#
# **Question 3.a.** A kernel of size 5 goes over a row of 32 pixels, with stride 2 and one zero of padding on each side.
# How many pixels come out?

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
# One kernel finds one thing. A layer needs many, and the next layer needs to look at all that they found. So there are
# $C$ **channels** in and $N$ channels out, each of which is a **feature map**. Each output channel has a kernel of its
# own, as deep as the input, adds up over all its channels, and has one bias. By hand, for two channels:

# %% tags=["aside"]
# @title Draws figure 3.6
first, second = np.array([[1, 2, 0], [3, 4, 1], [0, 1, 1]]), np.array([[0, 1, 1], [1, 0, 2], [2, 0, 1]])
kernels = np.array([[1, 0], [0, 1]]), np.array([[2, 2], [0, -1]])
answers = [signal.correlate2d(x, kernel, mode="valid") for x, kernel in zip((first, second), kernels)]
figure, axes = plt.subplots(2, 4, figsize=(7.5, 3.2), width_ratios=[3, 2, 2, 2])
for channel, (row, x, kernel, answer) in enumerate(zip(axes, (first, second), kernels, answers)):
    plots.draw_numbers(row[0], x, f"input, channel {channel}", boxes=[(0, 0, 2, 2)])
    plots.draw_numbers(row[1], kernel, f"kernel, channel {channel}")
    plots.draw_numbers(row[2], answer, "products, added", boxes=[(0, 0, 1, 1)])
plots.draw_numbers(axes[0, 3], sum(answers), "output", boxes=[(0, 0, 1, 1)])
axes[1, 3].axis("off")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.6. One output channel from two input channels. In the frames, $1+4=5$ from the first and $2=2\cdot1$ from
# the second: 7.*
#
# $$ \begin{aligned} F(u, v, m) = {} & \sum_{i,\,j,\,c} K(i, j, c, m)\; I(us + di,\, vs + dj,\, c) \\
#    & {} + b(m) \end{aligned} \tag{3.7} $$
#
# This is the whole of a `Conv2D` layer, on an image that is padded already. Read the shapes off it: image $(H,W,C)$,
# kernel $(k_h,k_w,C,N)$, output $(H_o,W_o,N)$. Keras puts the batch in front, and adds an activation if asked for one.


# %%
def pad(x, kernel_shape, stride, padding, dilation):
    """x (H, W, C) with the zeros around it that Keras adds for padding "valid" (none) or "same"."""
    if padding == "valid":
        return x
    sides = [same_padding(n, k, stride, dilation) for n, k in zip(x.shape[:2], kernel_shape)]
    return np.pad(x, [*sides, (0, 0)])


def conv2d_loops(x, kernel, bias, stride=1, padding="valid", dilation=1):
    """A convolutional layer (3.7). x (H, W, C), kernel (kh, kw, C, N), bias (N,) -> (Ho, Wo, N)."""
    kh, kw, _, filters = kernel.shape
    x = pad(x, (kh, kw), stride, padding, dilation)
    sizes = [output_size(n, k, stride, 0, dilation) for n, k in zip(x.shape, (kh, kw))]
    output = np.zeros((*sizes, filters))
    for u, v, m in np.ndindex(output.shape):
        window = x[u * stride :: dilation, v * stride :: dilation][:kh, :kw]  # (kh, kw, C)
        output[u, v, m] = np.sum(kernel[..., m] * window) + bias[m]  # (3.7)
    return output


# %% tags=["aside"]
# @title Random layers for the proofs
def layers(count):
    """Random (x, kernel, bias, stride, padding, dilation); a dilated layer with a stride only unpadded."""
    for _ in range(count):
        channels, filters, kh, kw, stride, dilation = (int(n) for n in rng.integers(1, 4, 6))
        padding = "valid" if stride > 1 and dilation > 1 else ["valid", "same"][rng.integers(2)]
        x = whole(*(dilation * np.array([kh - 1, kw - 1]) + rng.integers(1, 6, 2)), channels)
        yield x, whole(kh, kw, channels, filters), whole(filters), stride, padding, dilation


# %%
prove("3.7", conv2d_loops, keras_conv, cases=layers(60))

# %% [markdown]
# Two layers, their kernels chosen by hand. The first looks for edges that face left, right, up and down, and keeps
# positive answers only (**ReLU**: negative values become 0). The second adds the four maps.

# %%
edges = np.stack([SOBEL, -SOBEL, SOBEL.T, -SOBEL.T], axis=-1)[:, :, None]  # (3, 3, 1, 4)
maps = np.maximum(conv2d_loops(seven[..., None], edges, np.zeros(4)), 0)
outline = conv2d_loops(maps, np.ones((1, 1, 4, 1)), np.zeros(1))

# %% tags=["aside"]
# @title Draws figure 3.7
titles = ["1 channel in", *(f"channel {m}" for m in range(4)), "1 channel out"]
plots.show_images([seven, *maps.transpose(2, 0, 1), outline], titles, size=1.25)

# %% [markdown]
# *Figure 3.7. A digit, its four feature maps after the first layer, and their sum after the second: an outline.
# Exchange black and white and it stays as it is, which no single kernel that sums to 0 can do.*
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
# A Python loop over every output number is slow. So cut out every window and write it as one row of a matrix $P$ (for
# *patches*), write every kernel as one column of a matrix $\mathbf{K}$, and all output pixels of all channels are one
# matrix product, for which every machine has carefully tuned code:
#
# $$ \begin{gathered} F = P\,\mathbf{K} + b, \\
#    P \in \mathbb{R}^{H_o W_o \times k_h k_w C},\quad \mathbf{K} \in \mathbb{R}^{k_h k_w C \times N}
#    \end{gathered} \tag{3.8} $$
#
# This is called **im2col** (Chellapilla et al., 2006, who say unrolling). At stride 1 it stores most pixels $k_hk_w$
# times: memory is traded for speed.


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

# %% [markdown]
# In Keras all of this is one line. (It refuses a stride and a dilation above 1 at once.)

# %%
layer = keras.layers.Conv2D(16, 5, strides=2, padding="same", dilation_rate=1)
print("output", layer(images[:3, ..., None]).shape, "parameters", layer.count_params())


# %% tags=["aside"]
# @title Measures the times and draws figure 3.8
def milliseconds(function, repeats):
    """The least wall time of `repeats` calls: what else the machine does can only make a call longer."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return 1000 * min(times)


def time_layer(side, filters):
    """Milliseconds for one image of side x side x 4 through kernels of 3 x 3: a dict from name to time."""
    x = rng.normal(size=(side, side, 4)).astype("float32")
    kernel, bias = rng.normal(size=(3, 3, 4, filters)).astype("float32"), np.zeros(filters, "float32")
    windows = sliding_window_view(x, (3, 3), axis=(0, 1))
    layer, batch = keras.layers.Conv2D(filters, 3), keras.ops.convert_to_tensor(x[None])
    return {
        "loop (3.7)": milliseconds(lambda: conv2d_loops(x, kernel, bias), 2) if side <= 28 else np.nan,
        "windows, no matrix (einsum)": milliseconds(lambda: np.einsum("uvcij,ijcm->uvm", windows, kernel), 5),
        "im2col (3.8)": milliseconds(lambda: conv2d(x, kernel, bias), 20),
        "Keras": milliseconds(lambda: keras.ops.convert_to_numpy(layer(batch)), 20),
    }


def speed_up(times, name="im2col (3.8)"):
    return times["loop (3.7)"] / times[name]


sides = [8, 14, 28, 56, 112, 224]
timings = {side: time_layer(side, filters=16) for side in sides}
figure, axis = plt.subplots()
curves = {name: [times[name] for times in timings.values()] for name in timings[28]}
plots.draw_curves(axis, curves, "side of the image (pixels)", "milliseconds per image", x=sides)
axis.set(xscale="log", yscale="log", xticks=sides, xticklabels=sides)
axis.minorticks_off()
plt.show()

# %% [markdown]
# *Figure 3.8. Time for one image of 4 channels through 16 kernels of 3 × 3, on logarithmic scales. Keras's flat curve
# is the price of a call; on large images im2col loses its lead.*
#
# Both save the steps of Python's loop; the dashed curve does without a matrix. The control has a single output number.


# %%
def gains(times):
    """Whether im2col is 500 times as fast as the loop, and twice as fast as its windows without a matrix."""
    return speed_up(times) > 500 and speed_up(times) > 2 * speed_up(times, "windows, no matrix (einsum)")


claim(
    "3.1",
    "for 16 kernels on an image of 28 x 28, im2col is 500 times as fast as the loop, and twice as its windows",
    gains(timings[28]),
    control=gains(time_layer(side=3, filters=1)),
)

# %% [markdown]
# ## What does a layer cost?
#
# Take a digit, 28 × 28 × 1, and 8 kernels of 3 × 3. Each kernel has nine weights and one bias: 80 parameters, whatever
# the size of the image. A dense layer with as many outputs, $26\cdot26\cdot8=5408$, has 784 weights and a bias for
# each: more than four million. In general, for $N$ kernels and for a dense layer with $D$ outputs, both on
# $H\times W\times C$ numbers:
#
# $$ \text{parameters:} \quad (k_h k_w C + 1)\, N \quad \text{against} \quad H W C D + D \tag{3.9} $$
#
# Two ideas make the difference. **Locality** (sparse connections): an output looks at 9 of the 784 pixels, which leaves
# 54,080 parameters. **Weight sharing**: all places use the same kernel, which leaves 80 (LeCun et al., 1998). Sharing
# saves no work, for each weight is used again at every output pixel; locality does, 87 times in this example. Work is
# counted in **multiply-adds**, one product and one addition together:
#
# $$ \text{multiply-adds} = H_o W_o \cdot k_h k_w\, C N \tag{3.10} $$
#
# To lower it, look at what the layer mixes: space (the window) and channels, both at once. A **1 × 1 convolution**, or
# pointwise convolution (Lin et al., 2013), mixes channels only. It is a dense layer with weights $V$ that every pixel
# passes by itself:
#
# $$ F(u, v, m) = \sum_{c=0}^{C-1} V(c, m)\, I(u, v, c) + b(m) \tag{3.11} $$
#
# Now mix in two steps: a **depthwise convolution** gives every channel a kernel of its own and mixes no channels,
# then a 1 × 1 convolution mixes no space. Together they are a **depthwise separable convolution** (Sifre, 2014;
# Howard et al., 2017):
#
# $$ \begin{aligned} M(u, v, c) &= \sum_{i} \sum_{j} K(i, j, c)\, I(u+i, v+j, c), \\
#    F(u, v, m) &= \sum_{c} V(c, m)\, M(u, v, c) + b(m) \end{aligned} \tag{3.12} $$
#
# Per output pixel the two steps take $k^2C+CN$ multiply-adds instead of $k^2CN$. The weights without biases stand in
# the same ratio:
#
# $$ \frac{k^2 C + C N}{k^2 C N} = \frac{1}{N} + \frac{1}{k^2} \tag{3.13} $$
#
# With $k=3$ and $N=64$ that is $1/64+1/9$, about an eighth.


# %%
def parameters(height, width, channels, kh, kw, filters, units):
    """Parameters, biases included, of a convolution and of a dense layer on the same input (3.9)."""
    return (kh * kw * channels + 1) * filters, height * width * channels * units + units  # (3.9)


def multiply_adds(height, width, channels, kh, kw, filters, stride, dilation):
    """Multiply-adds of a convolution with padding "valid" on one image (3.10)."""
    places = output_size(height, kh, stride, 0, dilation) * output_size(width, kw, stride, 0, dilation)
    return places * kh * kw * channels * filters  # (3.10)


def pointwise(x, weights, bias):
    """A 1 x 1 convolution (3.11): x (H, W, C), weights (C, N), bias (N,) -> (H, W, N)."""
    return x @ weights + bias  # (3.11)


def separable(x, kernel, weights, bias):
    """The depthwise step and the whole of a depthwise separable convolution (3.12), padding "valid".

    x (H, W, C), kernel (kh, kw, C), weights (C, N), bias (N,) -> (Ho, Wo, C) and (Ho, Wo, N).
    """
    depthwise = np.stack([correlate(x[..., c], kernel[..., c]) for c in range(x.shape[2])], axis=-1)
    return depthwise, pointwise(depthwise, weights, bias)  # (3.12)


def cost_ratio(k, filters):
    """Cost of a depthwise separable convolution over that of a full one (3.13)."""
    return 1 / filters + 1 / k**2  # (3.13)


# %% [markdown]
# How do you make Keras count its own multiply-adds? With an image of ones and kernels of ones each output is the number
# of products that went into it.


# %% tags=["aside"]
# @title What proofs (3.9) to (3.13) compare with
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


# %%
prove("3.9", parameters, keras_parameters, cases=((*d, int(rng.integers(1, 20))) for d in descriptions(50)))
prove("3.10", multiply_adds, keras_multiply_adds, cases=strided(50))
prove("3.11", pointwise, keras_pointwise, cases=((x, weights, bias) for x, _, weights, bias in separables(50)))
prove("3.12", separable, keras_separable, cases=separables(50))
prove("3.13", cost_ratio, keras_cost_ratio, cases=((k, n) for k in (1, 2, 3, 5) for n in (1, 4, 64)))

# %%
for layer in (keras.layers.DepthwiseConv2D(3), keras.layers.SeparableConv2D(64, 3), keras.layers.Conv2D(64, 3)):
    print(type(layer).__name__, layer(np.zeros((1, 32, 32, 16))).shape, "parameters", layer.count_params())

# %% [markdown]
# ## Move the input, and the output moves
#
# Back to Figure 3.1. Write $T_{a,b}$ for "move everything down by $a$ and right by $b$ pixels", and $I\star K$ for
# (3.1). If what leaves the image on one side comes back on the other, and the kernel's window wraps round likewise,
# then you may first move and then convolve, or the other way round. With a stride $s$, which divides the size, the
# input moves by multiples of $s$:
#
# $$ \bigl(T_{sa,\,sb}\, I\bigr) \star K = T_{a,b}\,\bigl(I \star K\bigr) \tag{3.14} $$
#
# The reason is in (3.1), where the place $(u,v)$ occurs only as an offset: every place gets the same treatment. This is
# called **translation equivariance**. It is not *invariance*: the output does change, namely by moving.
#
# A real image has an edge where the world goes on and the data stop, and there `"same"` puts zeros. Let a camera see
# an $n \times n$ cut-out $I$ of the world, move it, and call the second cut-out $I'$, so that
# $I'(u,v)=I(u+a,v+b)$ wherever both exist. For an odd kernel, with $p=(k-1)/2$ zeros on each side:
#
# $$ \begin{gathered} (I' \star K)(u, v) = (I \star K)(u + a, v + b) \\
#    \text{if } u,\; v,\; u + a,\; v + b \text{ all lie in } [p,\; n - p) \end{gathered} \tag{3.15} $$


# %%
def move_then_convolve(image, kernel, a, b, stride):
    """The left side of (3.14): wrap-around padding of half an odd kernel, after a move by (stride a, stride b)."""
    moved = np.roll(image, (stride * a, stride * b), axis=(0, 1))
    wrapped = np.pad(moved, [(k // 2, k // 2) for k in kernel.shape], mode="wrap")
    return correlate(wrapped, kernel)[::stride, ::stride]  # (3.14)


def shared_interior(n, k, a, b):
    """The slices of the second and of the first output that (3.15) says are equal, for 0 <= a, b < n - k."""
    p = (k - 1) // 2
    second = slice(p, n - p - a), slice(p, n - p - b)
    first = slice(p + a, n - p), slice(p + b, n - p)
    return second, first  # (3.15)


# %% tags=["aside"]
# @title What proofs (3.14) and (3.15) compare with
def scipy_convolve_then_move(image, kernel, a, b, stride):
    return np.roll(ndimage.correlate(image, kernel, mode="wrap")[::stride, ::stride], (a, b), axis=(0, 1))


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


# %%
prove("3.14", move_then_convolve, scipy_convolve_then_move, cases=wrapped_moves(200))
prove("3.15", interior_after, scipy_interior_before, cases=camera_moves(200))

# %% [markdown]
# **Question 3.c.** You move the input by 6 pixels to the right, far from any edge. The convolution has stride 2. By how
# many pixels does its output move to the right?

# %%
ask(
    "3.c",
    3,
    why="In (3.14) the input moves by s · b and the output by b. With stride 2, 6 = 2 · 3.",
    hint="Look at (3.14): which of its two moves is that of the input?",
)

# %% [markdown]
# The proof allows a difference at the border. Is there one, and does it grow with depth? Put nine digits on a white
# ground as the world, move the camera by three rows and four columns, and pass both views through one, two and three
# layers with random kernels. The controls are the same layers with the image mirrored beyond its edge, and without
# padding.

# %%
world = 1 - np.block([[images[3 * row + column] for column in range(3)] for row in range(3)])


def differences(padding):
    """Where the outputs of the two views, laid on each other, differ after 1, 2, 3 layers: a list of arrays.

    padding: a mode of np.pad, or None. Each is the largest difference over the channels, as a fraction of the largest
    output."""
    x, found = np.stack([world[20:48, 20:48], world[23:51, 24:52]])[..., None], []
    for depth in range(3):
        if padding:
            x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=padding)
        layer = keras.layers.Conv2D(8, 3, activation="tanh", name=f"{padding}_{depth}")
        x = keras.ops.convert_to_numpy(layer(x))
        found.append(np.abs(x[1, :-3, :-4] - x[0, 3:, 4:]).max(axis=-1) / np.abs(x[0]).max())
    return found


changes = {padding: differences(padding) for padding in ("constant", "reflect", None)}

# %% tags=["aside"]
# @title Draws figure 3.9
figure, axes = plt.subplots(2, 5, figsize=(9, 4))
for axis, view, name in zip(axes[0], (world[20:48, 20:48], world[23:51, 24:52]), ("before the move", "after it")):
    plots.draw_image(axis, view, name, limits=(0, 1))
for axis in axes[1, :2]:
    axis.axis("off")
for row, padding, name in zip(axes[:, 2:], ("constant", "reflect"), ("zeros", "mirrored")):
    for depth, (axis, change) in enumerate(zip(row, changes[padding]), start=1):
        plots.draw_image(axis, change <= 1e-4, f"{name}, {depth} layer{'s' * (depth > 1)}", limits=(0, 1))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.9. Left: two views of one world. Right: where the two outputs, laid on each other, differ by more than
# 0.01 % (black). Every layer lets what stands beyond the edge seep in by one more pixel.*


# %%
def only_a_ring(changes):
    """Whether after n layers every pixel of a ring n pixels wide differs, and none within it."""
    for depth, change in enumerate(changes, start=1):
        ring = np.ones(change.shape, bool)
        ring[depth:-depth, depth:-depth] = False
        if not np.array_equal(change > 1e-4, ring):
            return False
    return True


claim(
    "3.2",
    "on white ground, zero padding spoils a ring of one, two, three pixels in one, two, three 3 x 3 layers, no more",
    only_a_ring(changes["constant"]),
    control=only_a_ring(changes["reflect"]) or only_a_ring(changes[None]),
)

# %% [markdown]
# Mirroring spoils as deep where a stroke crosses the edge: whatever is made up does not move with the world. **Try
# it**: let the world be a single digit, `world = np.pad(seven, 20)`. After one layer nothing is spoilt. Why?
#
# ## Convolution run backwards
#
# Each output pixel is a weighted sum of input pixels, so (3.1) without the bias is one matrix $A$ that multiplies the
# image written as one long column:
#
# $$ \begin{gathered} \operatorname{vec}(I \star K) = A \operatorname{vec}(I), \\
#    A_{(u,v),(r,t)} = K(r - us,\; t - vs), \text{ or 0 outside the kernel} \end{gathered} \tag{3.16} $$


# %%
def conv_matrix(kernel, height, width, stride=1):
    """The matrix A (Ho * Wo, height * width) of a convolution without padding (3.16)."""
    kh, kw = kernel.shape
    matrix = np.zeros((output_size(height, kh, stride), output_size(width, kw, stride), height, width))
    for u, v in np.ndindex(matrix.shape[:2]):
        matrix[u, v, u * stride : u * stride + kh, v * stride : v * stride + kw] = kernel  # (3.16)
    return matrix.reshape(-1, height * width)


# %% tags=["aside"]
# @title Draws figure 3.10
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.3), sharey=True)
for axis, matrix, title in [
    (axes[0], rng.normal(size=(16, 36)), "dense layer: 576 numbers"),
    (axes[1], conv_matrix(np.arange(1, 10).reshape(3, 3), 6, 6), "convolution: 9 numbers, repeated"),
]:
    axis.imshow(matrix, cmap="PuOr", vmin=-np.abs(matrix).max(), vmax=np.abs(matrix).max())
    axis.set(title=title, xlabel="input pixel", xticks=range(0, 36, 6), yticks=range(0, 16, 4))
axes[0].set_ylabel("output pixel")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.10. The matrix of a dense layer and of a 3 × 3 convolution, both from 6 × 6 to 4 × 4 pixels (white is 0). A
# convolution is a dense layer that is mostly zeros and says the same in every row, one pixel further.*
#
# A matrix has a transpose. $A$ sums windows into output pixels, so $A^\mathsf{T}$ spreads each output pixel over its
# window: it stamps the kernel, scaled by that pixel, and adds up where stamps overlap. Two pixels $1,2$ with the kernel
# $(1,1,1)$ and stride 2 become $(1,1,1{+}2,2,2)$. A transpose can change sides in a scalar product:
#
# $$ \langle A x,\; y \rangle = \langle x,\; A^\mathsf{T} y \rangle \quad \text{for all } x, y \tag{3.17} $$
#
# This is the **transposed convolution**. It is no inverse: a size comes back, the image does not. You will meet it
# as the gradient with respect to the input, and as `Conv2DTranspose` wherever a network has to make images larger. Its
# size is the smallest $n$ that solves (3.3):
#
# $$ \begin{gathered} (A^\mathsf{T} y)(r, t) = \sum_{u=0}^{H_o-1} \sum_{v=0}^{W_o-1} y(u, v)\, K(r - us,\; t - vs), \\
#    n = (o - 1)\, s + k \end{gathered} \tag{3.18} $$
#


# %%
def transposed(features, kernel, stride=1):
    """Transposed convolution (3.18): features (Ho, Wo), kernel (kh, kw) -> an image.

    For stride <= k. Where stamps leave gaps, Keras adds zeros behind the last one, up to o * stride pixels.
    """
    height, width = ((o - 1) * stride + k for o, k in zip(features.shape, kernel.shape))
    return (conv_matrix(kernel, height, width, stride).T @ features.ravel()).reshape(height, width)  # (3.18)


def product_in_output(x, kernel, y, stride):
    """The left side of (3.17), where A x is a convolution."""
    return np.sum(correlate(x, kernel)[::stride, ::stride] * y)  # (3.17)


# %% tags=["aside"]
# @title What proofs (3.16) to (3.18) compare with
def matrix_times_image(image, kernel, stride):
    return conv_matrix(kernel, *image.shape, stride) @ image.ravel()


def scipy_flat(image, kernel, stride):
    return signal.correlate2d(image, kernel, mode="valid")[::stride, ::stride].ravel()


def keras_transposed(features, kernel, stride):
    layer = keras.layers.Conv2DTranspose(1, kernel.shape, stride, kernel_initializer=these(kernel), use_bias=False)
    return keras.ops.convert_to_numpy(layer(features[None, ..., None]))[0, ..., 0]


def keras_product_in_input(x, kernel, y, stride):
    spread = keras_transposed(y, kernel, stride)
    return float(np.sum(x[: spread.shape[0], : spread.shape[1]] * spread))  # pixels that no window reached count 0


def strided_images(count):
    for image, kernel in images_and_kernels(count):
        yield image, kernel, int(rng.integers(1, min(3, *kernel.shape) + 1))


def pairs(count):
    for x, kernel, stride in strided_images(count):
        yield x, kernel, whole(*(output_size(n, k, stride) for n, k in zip(x.shape, kernel.shape))), stride


# %%
prove("3.16", matrix_times_image, scipy_flat, cases=strided_images(200))
prove("3.17", product_in_output, keras_product_in_input, cases=pairs(60))
prove("3.18", transposed, keras_transposed, cases=((y, kernel, stride) for _, kernel, y, stride in pairs(60)))

# %%
for padding in ("valid", "same"):
    layer = keras.layers.Conv2DTranspose(8, 3, strides=2, padding=padding)
    print(padding, layer(np.zeros((1, 5, 5, 4))).shape)  # "same" cuts the edges off until the size is o s

# %% [markdown]
# Stamps overlap, and not everywhere equally. Stamp squares of ones with stride 2 and count; then stamp a random kernel:

# %%
counts = {k: transposed(np.ones((5, 5)), np.ones((k, k)), stride=2) for k in (3, 4)}
random_stamps = transposed(np.ones((5, 5)), rng.normal(size=(4, 4)), stride=2)

# %% tags=["aside"]
# @title Draws figure 3.11
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, (k, values) in zip(axes, counts.items()):
    plots.draw_numbers(axis, values, f"$k = {k},\\ s = 2$", size=7)
plots.draw_image(axes[2], random_stamps, "random kernel, $k = 4$", signed=True)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.11. How many stamps land on each pixel. Where the stride does not divide the kernel size (left) the counts
# form a checkerboard; where it does (middle) they are even, but for the border. Right: unequal weights draw one all the
# same.*
#
# This is one source of the **checkerboard artifacts** in images that networks generate. A kernel size that the stride
# divides evens out the overlap; as learned weights can still make the pattern, Odena et al. (2016) enlarge the image
# first, and then convolve.
#
# ## Can a layer find the nine numbers by itself?
#
# Sobel's kernel came from a person. Give a layer nine random weights instead, show it digits with what Sobel makes of
# them, and let it learn by gradient descent: with a loss $L$ that measures the error, the **partial derivative**
# $\partial L/\partial K(i,j)$ says how fast $L$ grows with that weight, and all weights step a little against their
# derivatives, $K\leftarrow K-\alpha\,\partial L/\partial K$. For a convolution this gradient is a convolution as well.
# The weight $K(i,j)$ enters every output pixel $F(u,v)$, multiplied there by $I(u+i,v+j)$. With
# $\delta=\partial L/\partial F$ the chain rule adds up over all of them:
#
# $$ \frac{\partial L}{\partial K(i, j)} = \sum_{u} \sum_{v} \delta(u, v)\, I(u+i,\, v+j) \tag{3.19} $$
#
# That is (3.1) with $\delta$ as the kernel. The proof takes the squared error as $L$, so $\delta=2(F-\text{target})$,
# and lets automatic differentiation compute the left side.


# %%
def kernel_gradient(image, kernel, target):
    """The gradient of the summed squared error with respect to the kernel (3.19)."""
    delta = 2 * (correlate(image, kernel) - target)
    return correlate(image, delta)  # (3.19)


# %% tags=["aside"]
# @title What proof (3.19) compares with
def automatic_gradient(image, kernel, target):
    def loss(weights):
        return keras.ops.sum(keras.ops.square(keras.ops.conv(image[None, ..., None], weights) - wanted))

    wanted = keras.ops.convert_to_tensor(target[None, ..., None])
    return keras.ops.convert_to_numpy(gradient(loss, kernel[..., None, None]))[..., 0, 0]


def targets(count):
    for image, kernel in images_and_kernels(count):
        yield image, kernel, whole(*(n - k + 1 for n, k in zip(image.shape, kernel.shape)))


# %%
prove("3.19", kernel_gradient, automatic_gradient, cases=targets(40))

# %% [markdown]
# Now two groups of students with the same teacher. One group sees digits. The other sees bars only: images in which
# each column is all white or all black. A group is one layer with five kernels: five students, each from a random start
# of its own. Which group will find Sobel's kernel?

# %%
lessons = {
    "digits": images[:2000, ..., None],
    "bars": np.repeat(rng.random((2000, 1, 28, 1)) < 0.2, 28, axis=1).astype("float32"),
}
losses, learned = {}, {}
for name, shown in lessons.items():
    wanted = keras.ops.convert_to_numpy(keras.ops.conv(shown, SOBEL[..., None, None].astype("float32")))
    students = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(5, 3, use_bias=False)])
    students.compile(keras.optimizers.SGD(learning_rate=2.5), loss="mean_squared_error")  # 0.5 for each student
    history = students.fit(
        shown, np.repeat(wanted, 5, axis=-1), batch_size=32, epochs=budget(quick=12, full=30, least=4), verbose=0
    )
    losses[name] = history.history["loss"]
    learned[name] = students.get_weights()[0].squeeze().transpose(2, 0, 1)  # (5, 3, 3)

# %% tags=["aside"]
# @title Draws figure 3.12
figure, axes = plt.subplots(2, 5, figsize=(9, 4), width_ratios=[1.7, 1, 1, 1, 1])
for row, name in zip(axes, lessons):
    epochs = range(1, len(losses[name]) + 1)
    row[0].plot(epochs, losses[name], marker="o", markersize=3)
    row[0].set(xlabel="epoch", ylabel="mean squared error", yscale="log", title=f"the group that sees {name}")
    row[0].set_xticks(epochs[:: max(len(epochs) // 6, 1)])
    plots.draw_numbers(row[1], SOBEL, "Sobel", size=8)
    for number, (axis, kernel) in enumerate(zip(row[2:], learned[name]), start=1):
        plots.draw_numbers(axis, np.round(kernel, 2) + 0.0, f"student {number}", size=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.12. Left: the mean error of each group falls to almost nothing. Right: the teacher's weights, and those of
# three of the five students.*

# %%
errors = {name: np.abs(kernels - SOBEL).max(axis=(1, 2)) for name, kernels in learned.items()}  # of each student
claim(
    "3.3",
    "imitating Sobel on digits, all five students find every weight to within 0.05",
    errors["digits"].max() < 0.05,
    control=errors["bars"].max() < 0.05,
)


# %%
def agrees_without_knowing(name):
    return losses[name][-1] < 1e-4 and errors[name].min() > 0.2


claim(
    "3.4",
    "on bars the error falls below 0.0001, and each student has a weight that is wrong by more than 0.2",
    agrees_without_knowing("bars"),
    control=agrees_without_knowing("digits"),
)

# %% [markdown]
# Add up the columns of a kernel learned from bars: $-4$, $0$ and $4$, as in Sobel's. On bars nothing more can be
# known: all rows of a window are equal, so (3.19) has the same value for all $i$, and gradient descent never changes
# the *differences* between the rows. They are still the random numbers of the start. A small loss says that the outputs
# agree on what was shown. It does not say that the weights do. **Try it**: show a group random dots. Is it digits that
# teach, or images that vary along both axes?
#
# ## A look inside: what training adds to a kernel
#
# Does a layer that has to *classify* digits invent Sobel too? Train eight kernels of 5 × 5 below a dense layer with ten
# outputs, and keep the kernels from before.


# %%
def train_classifier(shown, classes):
    """Train on images (n, 28, 28): the layer, its kernels before, and what was added to them, (5, 5, 8) each."""
    conv = keras.layers.Conv2D(8, 5, strides=2, activation="relu")
    dense = keras.layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((28, 28, 1)), conv, keras.layers.Flatten(), dense])
    model.compile(keras.optimizers.SGD(learning_rate=0.1), "sparse_categorical_crossentropy")
    at_first = conv.get_weights()[0].squeeze()
    model.fit(shown[..., None], classes, epochs=budget(quick=3, full=10, least=1), verbose=0)
    return conv, at_first, conv.get_weights()[0].squeeze() - at_first


conv, at_first, added = train_classifier(images, labels)

# %% tags=["aside"]
# @title Draws figure 3.13
figure, axes = plt.subplots(4, 8, figsize=(7.5, 4.3))
response = keras.ops.convert_to_numpy(conv(seven[None, ..., None]))[0]
for m, column in enumerate(axes.T):
    for axis, kernels in zip(column, (at_first, added, at_first + added)):
        plots.draw_image(axis, kernels[..., m], signed=True, limits=np.abs(at_first + added).max())
    plots.draw_image(column[3], response[..., m], limits=(0, response.max()))
for axis, label in zip(axes[:, 0], ("at first", "+ added", "= learned", "response")):
    axis.set_ylabel(label)
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 3.13. Eight kernels before training, what training added, the sum, and what the sum answers to a seven (black
# is 0). Rows 1 to 3 share one scale, and so do the answers.*
#
# This is no gallery of edge detectors: much of the random start is left, and some kernels were hardly touched. But look
# at what *was* added. With plain gradient descent it is a weighted sum of windows of the training images: that is
# (3.19). Windows of digits are smooth, so what is added should be smooth, while the random start is not. To measure it,
# take off the mean of each kernel and compare neighbours: the mean product of adjacent weights, as a fraction of the
# mean square, is about 0 for random weights, 0.75 for an even ramp, and at most 0.85 for 5 × 5.


# %%
def smoothness(kernels):
    """Mean product of neighbouring weights over the mean squared weight, each kernel's mean taken off; (kh, kw, N)."""
    kernels = kernels - kernels.mean(axis=(0, 1))
    across, down = kernels[:, 1:] * kernels[:, :-1], kernels[1:] * kernels[:-1]
    return float((across.mean() + down.mean()) / 2 / np.square(kernels).mean())


shown = {
    "digits": (images, labels),
    "digits, labels shuffled": (images, rng.permutation(labels)),
    "pixels shuffled in each image": (rng.permuted(images.reshape(-1, 784), axis=1).reshape(images.shape), labels),
    "noise": (rng.random(images.shape).astype("float32"), labels),
}
smoother = {}
for name, (inputs, classes) in shown.items():
    _, before, change = train_classifier(inputs, classes)
    smoother[name] = smoothness(change) - smoothness(before)

# %% tags=["aside"]
# @title Draws figure 3.14
figure, axis = plt.subplots(figsize=(7, 2.2))
plots.draw_bars(axis, smoother, "smoothness of what is added, minus that of the start", highlight=["digits"])
plt.show()

# %% [markdown]
# *Figure 3.14. How much smoother what training adds is than the random start.*
#
# Images whose neighbouring pixels are unrelated teach nothing smooth: they are the controls. Shuffled *labels* teach
# much of it too, so most of the smoothness comes from the images, not from telling digits apart.

# %%
claim(
    "3.5",
    "what training on digits adds to the kernels is smoother than their start by more than 0.5",
    smoother["digits"] > 0.5,
    control=max(smoother["pixels shuffled in each image"], smoother["noise"]) > 0.5,
)

# %% [markdown]
# ## Debug it
#
# You will meet the convolutional layer defined, with indices that count from 1, by
#
# $$ y_{k,l} = \sum_{i} \sum_{j} w_{i,j}\; x_{k-i+1,\; l-j+1} $$
#
# and people translate it faithfully. It runs: no error, no warning, an output of the right size.


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


# %% tags=["aside"]
# @title Draws figure 3.15
disc = (np.hypot(*np.mgrid[-4:5, -4:5]) < 4.5).astype(float)
spot = np.zeros((38, 38))
spot[14, 12] = 1
figure, axes = plt.subplots(2, 3, figsize=(7, 4.9), width_ratios=[38, 30, 30])
for row, (image, kernel) in zip(axes, [(world[10:48, 10:48], disc), (spot, np.tri(9))]):
    plots.draw_image(row[0], image, "input")
    plots.draw_image(row[1], correlate(image, kernel), "what Conv2D gives")
    plots.draw_image(row[2], as_printed(image, kernel), "as printed")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 3.15. Top: a view of the world, blurred by a disc. Bottom: one white pixel and a triangular kernel.*
#
# The formula is true convolution: right in mathematics, with the kernel turned, and read from $k=k_h$ on it is (3.2).
# Read from $k=1$ on, as here, the window hangs over the edge. There $k-i+1$ falls below 1, and Python does not
# complain: index $-1$ is the last row, so the far edge bleeds into the near one. (Other pages have the minus at the
# output's index, $y_{i,j}=\sum_{k,l}w_{k,l}\,x_{k-i+1,\,l-j+1}$, which is right for nothing.) The repair is yours, in
# exercise 3.7. The habit to keep: **send in a single white pixel, and look.**
#
# ## This run

# %%
record(
    im2col_speed_up=speed_up(timings[28]),
    sobel_error_from_digits=errors["digits"].max(),
    sobel_error_from_bars=errors["bars"].min(),
)

# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use.
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
    yield 3, [(5, 1, 1, 1)]  # fits on its padding only
    yield 5, [(7, 1, 0, 1), (3, 1, 4, 1)]  # the second would have room again
    yield 4, [(3, 2, 0, 2), (1, 1, 3, 1)]
    yield 4, [(3, 3, 1, 2), (2, 1, 1, 1)]
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
    """Each layer takes in what the layer before it put out, not the first image again."""
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
# **Exercise 3.2 ★** A convolution can also just move an image. Which kernel does that, under (3.1) as it stands?


# %%
# Exercise 3.2
def shift_kernel(down, right):
    """A kernel that moves the content of an image by whole pixels, under cross-correlation
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
    moves = [(0, 0), (1, 0), (0, 1), (-2, 0), (0, -3), (2, 2), (-1, 2), (3, -1), (0, 6), (-5, 1)]
    for down, right in moves + [tuple(int(v) for v in rng.integers(-3, 4, 2)) for _ in range(12)]:
        yield rng.integers(1, 10, (8, 9)).astype(float), down, right


ex.shown_as("shift_kernel(down, right)")


@ex.drive
def called(answer, image, down, right):
    return answer(down, right)


@ex.measure
def moved(kernel, image, down, right):
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise ValueError(f"the kernel must be square and of odd size, and its shape is {kernel.shape}")
    full = correlate2d(image, kernel, mode="full")
    p = len(kernel) // 2
    return {"an image moved by it": full[p : p + image.shape[0], p : p + image.shape[1]]}


@ex.oracle
def _(image, down, right):
    return {"an image moved by it": shift(image, (down, right), order=0)}


def _single(down, right, row, column, value=1.0):
    reach = max(abs(down), abs(right))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    kernel[reach + row, reach + column] = value
    return kernel


@ex.wrong
def turned(down, right):
    """Your kernel moves the image the opposite way. In (3.1) a 1 below the middle fetches the pixel from below."""
    return _single(down, right, down, right)


@ex.wrong
def axes_exchanged(down, right):
    """Rows come before columns: your kernel moves by `right` rows and by `down` columns."""
    return _single(down, right, -right, -down)


@ex.wrong
def one_axis_turned(down, right):
    """One axis is right. Sideways your kernel still moves the image the opposite way."""
    return _single(down, right, -down, right)


@ex.wrong
def averaged(down, right):
    """The image arrives at the right place but darker: the numbers of a kernel that keeps brightness sum to 1."""
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


for name in (
    "its result of truth values in 'def shift_kernel(down, right):'",
    "by_rolling: its result of truth values in 'def by_rolling(down, right):'",
):
    ex.equivalent(name, "True and False move an image as 1 and 0 do")
for size in "68":
    ex.equivalent(f"by_rolling: '{size}' for '7' in 'middle = np.pad([[1.0]], 7)'", "large enough for the moves asked")


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
    yield from [(3, 9, 1, 1, 1), (4, 9, 1, 1, 1), (2, 3, 2, 3, 1), (3, 5, 3, 1, 1)]  # too small without padding
    yield from [(5, 3, 1, 1, 105), (6, 1, 4, 1, 60), (9, 3, 2, 1, 3), (8, 8, 5, 1, 2), (9, 2, 2, 1, 1)]
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
# **Exercise 3.4 ★★** A layer that Keras refuses: with `"same"`, and with a stride *and* a dilation, one for each axis.
#


# %%
# Exercise 3.4
def same_conv(x, kernel, stride, dilation):
    """A convolutional layer (3.7) without bias, on the image padded with zeros as (3.5) says.

    x (H, W, C), kernel (kh, kw, C, N): arrays of floats. stride, dilation: each two whole
    numbers >= 1, (down, right).
    Returns an array (ceil(H / down), ceil(W / right), N), with down and right of the stride.
    Example: on a row of four ones with a kernel 1 x 3 of ones, one channel each,
    same_conv(x, kernel, (1, 2), (1, 1))[..., 0] is [[3, 2]].
    """
    ### BEGIN SOLUTION
    sizes, filters = kernel.shape[:2], kernel.shape[-1]
    sides = [same_padding(n, k, s, d) for n, k, s, d in zip(x.shape, sizes, stride, dilation)]
    padded = np.pad(x, [*sides, (0, 0)])
    rows, columns = (-(-n // s) for n, s in zip(x.shape, stride))
    output = np.zeros((rows, columns, filters))
    for i, j in np.ndindex(sizes):
        seen = padded[i * dilation[0] :: stride[0], j * dilation[1] :: stride[1]]
        output += seen[:rows, :columns] @ kernel[i, j]
    return output
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("3.4", atol=1e-5)
ex.hints(
    "Pad first: `same_padding` knows the zeros on both sides of an axis, also for a stride and a dilation.",
    "A number of the kernel stands, over all outputs, on every stride-th pixel, beginning at i times the dilation.",
    "Add up over the kernel's places (i, j): the pixels that they stand on, times kernel[i, j], a matrix (C, N).",
)


@ex.cases
def _(rng):
    def draw(*shape):
        return rng.integers(-9, 10, shape) / 4

    yield np.ones((1, 4, 1)), np.ones((1, 3, 1, 1)), (1, 2), (1, 1)
    yield draw(6, 6, 2), draw(1, 1, 2, 3), (2, 2), (1, 1)
    yield draw(6, 9, 1), draw(5, 4, 1, 2), (3, 3), (1, 1)
    yield draw(8, 8, 1), draw(6, 6, 1, 1), (4, 2), (1, 1)
    yield draw(7, 9, 2), draw(3, 2, 2, 1), (1, 1), (2, 3)
    yield draw(7, 8, 2), draw(3, 3, 2, 2), (2, 3), (3, 2)
    yield draw(3, 4, 1), draw(3, 3, 1, 2), (1, 2), (4, 1)
    for _ in range(18):
        (height, width), (kh, kw) = rng.integers(5, 11, 2), rng.integers(1, 5, 2)
        channels, filters, *steps = (int(n) for n in rng.integers(1, 4, 6))
        yield draw(height, width, channels), draw(kh, kw, channels, filters), tuple(steps[:2]), tuple(steps[2:])


def _totals(x, kernel, stride, dilation):
    covered = [d * (k - 1) + 1 for k, d in zip(kernel.shape, dilation)]
    return [max((-(-n // s) - 1) * s + c - n, 0) for n, s, c in zip(x.shape, stride, covered)]


def _layer(x, kernel, stride, dilation, before, pixel=None):
    """Output by output; before: the zeros above and on the left. pixel: what stands at (r, c), else 0 outside."""
    (height, width), (kh, kw) = x.shape[:2], kernel.shape[:2]
    output = np.zeros((-(-height // stride[0]), -(-width // stride[1]), kernel.shape[-1]))
    for u, v in np.ndindex(output.shape[:2]):
        for i, j in np.ndindex(kh, kw):
            r, c = u * stride[0] + i * dilation[0] - before[0], v * stride[1] + j * dilation[1] - before[1]
            if pixel:
                output[u, v] += pixel(r, c) @ kernel[i, j]
            elif 0 <= r < height and 0 <= c < width:
                output[u, v] += x[r, c] @ kernel[i, j]
    return output


@ex.oracle
def _(x, kernel, stride, dilation):
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, stride, dilation)])


@ex.wrong
def zeros_first(x, kernel, stride, dilation):
    """Where the number of zeros is odd, Keras puts the extra one after the image; you put it before."""
    return _layer(x, kernel, stride, dilation, [t - t // 2 for t in _totals(x, kernel, stride, dilation)])


@ex.wrong
def padded_for_stride_1(x, kernel, stride, dilation):
    """These are the zeros for stride 1. With a stride fewer are needed (3.5), and the windows stand elsewhere."""
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, (1, 1), dilation)])


@ex.wrong
def padded_for_dilation_1(x, kernel, stride, dilation):
    """These are the zeros for a kernel without dilation. A dilated one covers d(k - 1) + 1 pixels (3.5)."""
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, stride, (1, 1))])


@ex.wrong
def turned(x, kernel, stride, dilation):
    """The kernel is turned by 180°: this is convolution in the sense of mathematics (3.2); a layer computes (3.7)."""
    before = [t // 2 for t in _totals(x, kernel, stride, dilation)]
    return _layer(x, kernel[::-1, ::-1], stride, dilation, before)


@ex.wrong
def stretched_edge(x, kernel, stride, dilation):
    """The padding repeats the edge of the image; "same" pads with zeros."""
    before = [t // 2 for t in _totals(x, kernel, stride, dilation)]
    (height, width), clip = x.shape[:2], lambda n, size: min(max(n, 0), size - 1)
    return _layer(x, kernel, stride, dilation, before, lambda r, c: x[clip(r, height), clip(c, width)])


@ex.wrong
def strides_exchanged(x, kernel, stride, dilation):
    """Rows come before columns: the first number of the stride counts pixels down, the second pixels to the right."""
    stride = stride[::-1]
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, stride, dilation)])


@ex.wrong
def dilations_exchanged(x, kernel, stride, dilation):
    """Rows come before columns: the first number of the dilation spreads the kernel down, the second to the right."""
    dilation = dilation[::-1]
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, stride, dilation)])


@ex.wrong
def one_stride(x, kernel, stride, dilation):
    """The stride has two numbers, one for each axis; you use the first for both."""
    stride = stride[0], stride[0]
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, stride, dilation)])


@ex.wrong
def one_dilation(x, kernel, stride, dilation):
    """The dilation has two numbers, one for each axis; you use the first for both."""
    dilation = dilation[0], dilation[0]
    return _layer(x, kernel, stride, dilation, [t // 2 for t in _totals(x, kernel, stride, dilation)])


@ex.wrong
def averaged(x, kernel, stride, dilation):
    """Each output is a sum of products over the window and the channels, and you return their mean."""
    before = [t // 2 for t in _totals(x, kernel, stride, dilation)]
    return _layer(x, kernel, stride, dilation, before) / np.prod(kernel.shape[:3])


@ex.right
def by_spreading_the_kernel(x, kernel, stride, dilation):
    (kh, kw), (down, right) = kernel.shape[:2], dilation
    spread = np.zeros((down * (kh - 1) + 1, right * (kw - 1) + 1, *kernel.shape[2:]))
    spread[::down, ::right] = kernel
    totals = _totals(x, kernel, stride, dilation)
    padded = np.pad(x, [*((t // 2, t - t // 2) for t in totals), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, spread.shape[:2], axis=(0, 1))
    return np.einsum("uvcij,ijcm->uvm", windows[:: stride[0], :: stride[1]], spread)


# %%
check("3.4", same_conv)

# %% [markdown]
# **Exercise 3.5 ★★** Count the parameters of a network from its description, before Keras does.


# %%
# Exercise 3.5
def count_parameters(height, width, channels, layers):
    """Number of parameters, biases included, of a chain of layers on images
    (height, width, channels).

    layers: list of tuples, first layer first. ("conv", k, N): k x k convolution with N
    kernels. ("depthwise", k): k x k depthwise convolution, one kernel and one bias a channel.
    Both have stride 1 and no padding. ("dense", D), at the end only: a dense layer with D
    outputs on all numbers of the last image. Returns a whole number.
    Example: count_parameters(28, 28, 1, [("conv", 3, 8), ("dense", 10)]) is 80 + 54090 =
    54170.
    """
    ### BEGIN SOLUTION
    count = 0
    for kind, *sizes in layers:
        if kind == "dense":
            (units,) = sizes
            count += (height * width * channels + 1) * units
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
    yield 8, 9, 3, []
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
    """Without padding the image shrinks at every k x k layer, so fewer numbers reach the dense layer."""
    return _count(layers, height, width, channels, _conv, _depthwise, _dense, shrink=0)


@ex.wrong
def dense_on_channels(height, width, channels, layers):
    """The dense layer is connected with every number of the last image: with all pixels, not only its channels."""
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
        (units,) = sizes
        return units * height * width * channels + units
    k = sizes[0]
    n = sizes[1] if kind == "conv" else channels
    weights = k * k * channels * (n if kind == "conv" else 1)
    return weights + n + by_recursion(height - k + 1, width - k + 1, n, rest)


ex.equivalent(
    "by_recursion: 'by_recursion(width - k + 1, height - k + 1, n, rest)' for "
    "'by_recursion(height - k + 1, width - k + 1, n, rest)' in "
    "'return weights + n + by_recursion(height - k + 1, width -...'",
    "a count of parameters is the same for an image and its transpose",
)


# %%
check("3.5", count_parameters)

# %% [markdown]
# **Exercise 3.6 ★★★** `transposed` builds a whole matrix and knows one channel only. Write the transpose of a full
# layer, (3.7) without dilation and bias, by stamping. What padding added on the way there comes off on the way back.


# %%
# Exercise 3.6
def transposed_conv(features, kernel, stride, padding):
    """Transposed convolution: the transpose of a convolution with this kernel, stride and zero
    padding.

    features (Ho, Wo, N): array of floats. kernel (kh, kw, C, N): the convolution's. stride:
    whole number >= 1. padding: whole number >= 0; so many rows and columns are taken off at
    each of the four edges.
    Returns an array ((Ho - 1) * stride + kh - 2 * padding, (Wo - 1) * stride + kw -
    2 * padding, C).
    Example: a row of two pixels 1 and 2 with a 1 x 3 kernel of ones and stride 2 becomes a row
    1, 1, 3, 2, 2: transposed_conv(np.array([[[1.0], [2.0]]]), np.ones((1, 3, 1, 1)), 2,
    0)[..., 0] is [[1, 1, 3, 2, 2]].
    """
    ### BEGIN SOLUTION
    (rows, columns, _), (kh, kw, channels, _) = features.shape, kernel.shape
    image = np.zeros(((rows - 1) * stride + kh, (columns - 1) * stride + kw, channels))
    for u in range(rows):
        for v in range(columns):
            stamp = kernel @ features[u, v]  # (kh, kw, C): the sum over the N kernels
            image[u * stride : u * stride + kh, v * stride : v * stride + kw] += stamp
    return image[padding : image.shape[0] - padding, padding : image.shape[1] - padding]
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
    yield rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 1, 1, 2)), 3, 0  # gaps between the stamps
    yield rng.normal(size=(3, 4, 1)), rng.normal(size=(5, 4, 2, 1)), 2, 2
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
    image = np.zeros(((rows - 1) * stride + kh, (columns - 1) * stride + kw, channels))
    for u, v in np.ndindex(rows, columns):
        window = image[u * stride : u * stride + kh, v * stride : v * stride + kw]
        window[:] = kernel @ features[u, v] + (0 if overwrite else window)
    return image


def _crop(image, padding):
    return image[padding : image.shape[0] - padding, padding : image.shape[1] - padding]


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
    image = _stamp(features, kernel, stride)
    return image[: image.shape[0] - 2 * padding, : image.shape[1] - 2 * padding]


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
    image = np.zeros(((rows - 1) * stride + kh, (columns - 1) * stride + kw, channels))
    for i, j in np.ndindex(kh, kw):
        image[i : i + rows * stride : stride, j : j + columns * stride : stride] += np.einsum(
            "uvm,cm->uvc", features, kernel[i, j]
        )
    return _crop(image, padding)


# %%
check("3.6", transposed_conv)

# %% [markdown]
# **Exercise 3.7 ★★** Repair the snippet of "Debug it", so that it computes what the formula means: *full* convolution,
# in which the turned kernel may hang over the edge, and products outside the image are left out. Then give it a
# dilation.


# %%
# Exercise 3.7
def conv_from_the_web(image, kernel, dilation=1):
    """Full convolution: y(k, l) = sum of kernel(i, j) * image(k - d (i - 1), l - d (j - 1)), with
    indices that count from 1 and d = dilation, over all i and j for which the pixel exists.

    image (H, W), kernel (kh, kw): arrays of floats, of any sizes >= 1. dilation: whole number
    >= 1.
    Returns an array (H + d (kh - 1), W + d (kw - 1)).
    Example: conv_from_the_web(np.array([[1, 2, 3]]), np.array([[10, 1]])) is
    [[10, 21, 32, 3]].
    """
    ### BEGIN SOLUTION
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height + dilation * (kh - 1), width + dilation * (kw - 1)))
    for k in range(1, output.shape[0] + 1):
        for l in range(1, output.shape[1] + 1):
            for i in range(1, kh + 1):
                for j in range(1, kw + 1):  # "- 1" because Python counts from 0
                    row, column = k - dilation * (i - 1), l - dilation * (j - 1)
                    if 1 <= row <= height and 1 <= column <= width:
                        output[k - 1, l - 1] += kernel[i - 1, j - 1] * image[row - 1, column - 1]
    return output
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import convolve2d

ex = exercise("3.7", atol=1e-5, start="as_printed")
ex.hints(
    "Run it on a row of three pixels with a kernel of two numbers, and compute the result by hand beside it.",
    "Two things are missing: some places of the output, and asking whether the pixel of a product exists.",
    "The first output uses one product only. The last one too: k goes up to H + kh - 1, without a dilation.",
)


@ex.cases
def _(rng):
    def draw(*shape):
        return rng.integers(-9, 10, shape) / 4

    yield np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 1.0]]), 1
    yield draw(3, 4), draw(3, 4), 1
    yield draw(2, 3), draw(4, 5), 1  # a kernel larger than the image
    yield draw(1, 1), draw(3, 1), 1
    yield draw(4, 3), draw(2, 3), 2
    yield draw(2, 2), draw(2, 2), 4  # gaps
    for _ in range(20):
        yield draw(*rng.integers(1, 8, 2)), draw(*rng.integers(1, 5, 2)), int(rng.integers(1, 4))


ex.shown_as("conv_from_the_web(image, kernel, dilation)")


@ex.drive
def called(answer, image, kernel, dilation):
    return answer(image, kernel) if dilation == 1 else answer(image, kernel, dilation)


def _spread(kernel, dilation):
    spread = np.zeros([dilation * (k - 1) + 1 for k in kernel.shape])
    spread[::dilation, ::dilation] = kernel
    return spread


@ex.oracle
def _(image, kernel, dilation):
    return convolve2d(image, _spread(kernel, dilation), mode="full")


@ex.wrong
def as_printed(image, kernel, dilation=1):
    """The output has to begin and to end where a single pixel of the image lies under the kernel, so it is larger than
    the image. And below 1 Python counts from the far end: a pixel that does not exist must be left out."""
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for k in range(1, height - kh + 2):
        for l in range(1, width - kw + 2):
            for i in range(1, kh + 1):
                for j in range(1, kw + 1):  # "- 1" because Python counts from 0
                    output[k - 1, l - 1] += kernel[i - 1, j - 1] * image[(k - i + 1) - 1, (l - j + 1) - 1]
    return output


def _full(image, kernel, dilation, pixel, sign=1):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height + dilation * (kh - 1), width + dilation * (kw - 1)))
    for k, l in np.ndindex(output.shape):
        for i, j in np.ndindex(kh, kw):
            output[k, l] += kernel[i, j] * pixel(image, sign * (k - dilation * i), sign * (l - dilation * j))
    return output


def _or_0(image, r, c):
    return image[r, c] if 0 <= r < image.shape[0] and 0 <= c < image.shape[1] else 0


@ex.wrong
def wraps_below(image, kernel, dilation=1):
    """The end of the image is looked after; at its beginning the row or column falls below 1, where Python counts from
    the far end."""

    def pixel(image, r, c):
        return image[r, c] if -image.shape[0] <= r < image.shape[0] and -image.shape[1] <= c < image.shape[1] else 0

    return _full(image, kernel, dilation, pixel)


@ex.wrong
def guards_without_size(image, kernel, dilation=1):
    """No index leaves the image any more, but the output still lacks the places where the kernel hangs over the edge:
    there are H + kh - 1 rows and W + kw - 1 columns, without a dilation."""
    rows, columns = (n - k + 1 for n, k in zip(image.shape, kernel.shape))
    return _full(image, kernel, dilation, _or_0)[: max(rows, 0), : max(columns, 0)]


@ex.wrong
def as_large_as_the_image(image, kernel, dilation=1):
    """The output is as large as the image. In full convolution it is larger, by one less than the kernel's size."""
    return _full(image, kernel, dilation, _or_0)[: image.shape[0], : image.shape[1]]


@ex.wrong
def without_dilation(image, kernel, dilation=1):
    """Right where the dilation is 1. With d, the kernel's numbers stand d pixels apart, and the output grows too."""
    return convolve2d(image, kernel, mode="full")


@ex.wrong
def correlated(image, kernel, dilation=1):
    """The kernel is not turned: this is full cross-correlation. The formula runs through the window backwards."""
    return convolve2d(image, _spread(kernel, dilation)[::-1, ::-1], mode="full")


@ex.wrong
def one_axis_turned(image, kernel, dilation=1):
    """One axis is right: the rows run backwards, as the formula says, and the columns do not."""
    return convolve2d(image, _spread(kernel, dilation)[:, ::-1], mode="full")


@ex.wrong
def walks_backwards(image, kernel, dilation=1):
    """The minus stands at the wrong index: the window walks backwards through the image while the output goes
    forward."""
    return _full(image, kernel, dilation, _or_0, sign=-1)


@ex.wrong
def loops_one_short(image, kernel, dilation=1):
    """The last row and the last column of the output stay empty: `range` ends before its second number."""
    output = convolve2d(image, _spread(kernel, dilation), mode="full")
    output[-1], output[:, -1] = 0, 0
    return output


@ex.right
def by_stamping(image, kernel, dilation=1):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height + dilation * (kh - 1), width + dilation * (kw - 1)))
    for (i, j), weight in np.ndenumerate(kernel):
        output[i * dilation : i * dilation + height, j * dilation : j * dilation + width] += weight * image
    return output


for name in (
    "'0' for '1' in 'for k in range(1, output.shape[0] + 1):'",
    "'2' for '1' in 'for k in range(1, output.shape[0] + 1):' (2)",
    "'0' for '1' in 'for l in range(1, output.shape[1] + 1):'",
    "'2' for '1' in 'for l in range(1, output.shape[1] + 1):' (3)",
):
    ex.equivalent(name, "one place more, on which no pixel of the image lies")


# %%
check("3.7", conv_from_the_web)

# %% [markdown]
# **Exercise 3.8 ★★★** Zeros beyond the edge also darken it. Many networks that make images mirror the image there
# instead (rival of claim 3.2), for which Keras's layers have no word. Write that layer.


# %%
# Exercise 3.8
class MirrorConv2D(keras.layers.Layer):
    """A convolutional layer of stride 1 that keeps the size: beyond the edge it sees the image
    mirrored at the edge pixel, which is not repeated (a row 1, 2, 3 goes on as 2, 1).

    MirrorConv2D(filters, kernel_size): whole numbers >= 1. The kernel is square.
    Raises ValueError on making it where kernel_size is even.
    Its weights: `kernel` (kernel_size, kernel_size, C, filters) and `bias` (filters,), in this
    order, made in `build`; the bias begins with zeros.
    Called on images (batch, H, W, C), with H and W > (kernel_size - 1) / 2: a tensor (batch,
    H, W, filters).
    Example: with a kernel of a single 1, in the middle, an image of one channel comes back as it is.
    """

    def __init__(self, filters, kernel_size):
        super().__init__()
        ### BEGIN SOLUTION
        if kernel_size % 2 == 0:
            raise ValueError(f"the size of the kernel must be odd, and it is {kernel_size}")
        self.filters, self.kernel_size = filters, kernel_size
        ### END SOLUTION

    def build(self, input_shape):
        ### BEGIN SOLUTION
        shape = self.kernel_size, self.kernel_size, input_shape[-1], self.filters
        self.kernel = self.add_weight(name="kernel", shape=shape)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        ### END SOLUTION

    def call(self, images):
        ### BEGIN SOLUTION
        p = self.kernel_size // 2
        mirrored = keras.ops.pad(images, [(0, 0), (p, p), (p, p), (0, 0)], mode="reflect")
        return keras.ops.conv(mirrored, self.kernel) + self.bias
        ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import keras
import numpy as np
from scipy.ndimage import correlate as ndimage_correlate

ex = exercise("3.8", rtol=1e-4, atol=1e-4)
ex.hints(
    "A layer has three methods: `__init__` keeps the sizes, `build` makes the weights, `call` computes.",
    "`keras.ops.pad` knows several modes. Only height and width are padded, not batch and channels.",
    "After padding by half a kernel on each side, `keras.ops.conv` without padding gives the size back.",
)


@ex.cases
def _(rng):
    def case(images, kernel):
        images, kernel = (rng.integers(-8, 9, shape) / 4 for shape in (images, kernel))
        return kernel.shape[3], len(kernel), images, kernel, rng.integers(-8, 9, kernel.shape[3]) / 4

    middle = np.zeros((3, 3, 1, 1))
    middle[1, 1] = 1
    yield 1, 3, np.arange(12.0).reshape(1, 3, 4, 1), middle, np.zeros(1)
    yield case((2, 4, 5, 3), (1, 1, 3, 2))
    yield case((1, 3, 3, 2), (5, 5, 2, 3))
    yield case((1, 6, 4, 2), (4, 4, 2, 3))
    yield case((1, 6, 4, 1), (2, 2, 1, 1))
    for _ in range(8):
        k, channels, filters = 2 * int(rng.integers(0, 3)) + 1, *(int(n) for n in rng.integers(1, 4, 2))
        yield case((int(rng.integers(1, 3)), *rng.integers(3, 8, 2), channels), (k, k, channels, filters))


ex.shown_as(
    "layer = MirrorConv2D(filters, kernel_size)\nlayer(images)\nlayer.set_weights([kernel, bias])\nlayer(images)"
)


@ex.drive
def used(answer, filters, kernel_size, images, kernel, bias):
    layer = answer(filters, kernel_size)
    if kernel_size % 2 == 0:
        return "a layer, though its kernel size is even"
    images, kernel, bias = (x.astype("float32") for x in (images, kernel, bias))
    symbolic = layer(keras.Input(images.shape[1:]))
    weights = [tuple(int(n) for n in weight.shape) for weight in (layer.kernel, layer.bias)]
    start = keras.ops.convert_to_numpy(layer.bias)
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)

    def squares(images, kernel, bias):
        given = {id(layer.kernel): kernel, id(layer.bias): bias}
        kinds = layer.trainable_variables, layer.non_trainable_variables
        output, _ = layer.stateless_call(*([given.get(id(one), one.value) for one in kind] for kind in kinds), images)
        return keras.ops.sum(keras.ops.square(output))

    return {
        "shapes of kernel and bias": weights,
        "bias at first": start,
        "shapes of the trainable weights": [tuple(int(n) for n in one.shape) for one in layer.trainable_weights],
        "shape of the output": tuple(symbolic.shape),
        "output": keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(images))),
        "gradient of the sum of squared outputs": {
            "for the kernel": keras.ops.convert_to_numpy(gradient(lambda k: squares(images, k, bias), kernel)),
            "for the bias": keras.ops.convert_to_numpy(gradient(lambda b: squares(images, kernel, b), bias)),
            "for the images": keras.ops.convert_to_numpy(gradient(lambda x: squares(x, kernel, bias), images)),
        },
    }


@ex.oracle
def _(filters, kernel_size, images, kernel, bias):
    if kernel_size % 2 == 0:
        raise ValueError("even")
    p, (count, height, width, channels) = kernel_size // 2, images.shape
    rows, columns = ([abs(i) if i < n else 2 * (n - 1) - i for i in range(-p, n + p)] for n in (height, width))
    output, slope, back = np.zeros((count, height, width, filters)), np.zeros(kernel.shape), np.zeros(images.shape)
    for n, m in np.ndindex(count, filters):
        maps = [ndimage_correlate(images[n, :, :, c], kernel[:, :, c, m], mode="mirror") for c in range(channels)]
        output[n, :, :, m] = sum(maps) + bias[m]
    for u, v, i, j in np.ndindex(height, width, kernel_size, kernel_size):
        r, c = rows[u + i], columns[v + j]
        slope[i, j] += images[:, r, c].T @ (2 * output[:, u, v])
        back[:, r, c] += 2 * output[:, u, v] @ kernel[i, j].T
    return {
        "shapes of kernel and bias": [kernel.shape, bias.shape],
        "bias at first": np.zeros(filters),
        "shapes of the trainable weights": [kernel.shape, bias.shape],
        "shape of the output": (None, height, width, filters),
        "output": output,
        "gradient of the sum of squared outputs": {
            "for the kernel": slope,
            "for the bias": 2 * output.sum(axis=(0, 1, 2)),
            "for the images": back,
        },
    }


class _Base(keras.layers.Layer):
    mode, axes, turned = "reflect", (1, 2), False

    def __init__(self, filters, kernel_size):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError("even")
        self.filters, self.kernel_size = filters, kernel_size

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters))
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros")

    def padded(self, images):
        p = self.kernel_size // 2
        return keras.ops.pad(images, [(p, p) if axis in self.axes else (0, 0) for axis in range(4)], mode=self.mode)

    def call(self, images):
        return keras.ops.conv(self.padded(images), self.kernel) + self.bias


@ex.wrong
class zeros(_Base):
    """At the border your layer sees zeros, as padding="same" does; it is to see the image mirrored."""

    mode = "constant"


@ex.wrong
class edge_repeated(_Base):
    """The edge pixel itself is repeated. Mirrored at the edge pixel, a row 1, 2, 3 goes on as 2, 1."""

    mode = "symmetric"


@ex.wrong
class without_padding(_Base):
    """The output is smaller than the image: nothing is added beyond the edge yet."""

    axes = ()


@ex.wrong
class without_bias(_Base):
    """The bias is a weight of your layer, but it is not added to the output."""

    def call(self, images):
        return keras.ops.conv(self.padded(images), self.kernel)


@ex.wrong
class turned(_Base):
    """The kernel is turned by 180°: this is convolution in the sense of mathematics, and a layer computes (3.1)."""

    def call(self, images):
        return keras.ops.conv(self.padded(images), keras.ops.flip(self.kernel, (0, 1))) + self.bias


@ex.wrong
class even_sizes_too(_Base):
    """An even kernel size has to be refused with a ValueError as soon as the layer is made, in `__init__`."""

    def __init__(self, filters, kernel_size):
        keras.layers.Layer.__init__(self)
        self.filters, self.kernel_size = filters, kernel_size


@ex.wrong
class without_gradient(_Base):
    """The output is right, but the layer cannot learn: on the way the numbers leave Keras. Use `keras.ops`."""

    def call(self, images):
        return keras.ops.stop_gradient(keras.ops.conv(self.padded(images), self.kernel)) + self.bias


@ex.wrong
class images_without_gradient(_Base):
    """The output is right, but no gradient reaches the images: layers below yours could not learn."""

    def call(self, images):
        return super().call(keras.ops.stop_gradient(images))


@ex.wrong
class frozen_kernel(_Base):
    """Kernel and bias are both to be trained: `add_weight` makes trainable weights unless it is told otherwise."""

    def build(self, input_shape):
        shape = self.kernel_size, self.kernel_size, input_shape[-1], self.filters
        self.kernel = self.add_weight(shape=shape, trainable=False)
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros")


@ex.wrong
class bias_first(_Base):
    """The weights stand in the wrong order: make the kernel first, then the bias."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros")
        self.kernel = self.add_weight(shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters))


@ex.wrong
class bias_of_ones(_Base):
    """The bias is to begin with zeros; `add_weight` takes an initializer."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters))
        self.bias = self.add_weight(shape=(self.filters,), initializer="ones")


@ex.right
class by_a_layer_within(keras.layers.Layer):
    def __init__(self, filters, kernel_size):
        super().__init__()
        if not kernel_size % 2:
            raise ValueError("the kernel size is even")
        self.p, self.inner = kernel_size // 2, keras.layers.Conv2D(filters, kernel_size)

    def build(self, input_shape):
        self.inner.build((None, None, None, input_shape[-1]))
        self.kernel, self.bias = self.inner.kernel, self.inner.bias

    def call(self, images):
        for axis in (1, 2):
            size = images.shape[axis]
            places = [abs(i) if i < size else 2 * (size - 1) - i for i in range(-self.p, size + self.p)]
            images = keras.ops.take(images, places, axis=axis)
        return self.inner(images)


ex.equivalent(
    "'self.kernel_size / 2' for 'self.kernel_size // 2' in 'p = self.kernel_size // 2'",
    "the widths of a padding are made whole numbers by Keras, rounded down",
)

# %%
check("3.8", MirrorConv2D)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | cross-correlation | $F(u,v)=\sum_{i,j}K(i,j)\,I(u{+}i,v{+}j)+b$ | (3.1) |
# | convolution | the kernel turned by 180° | (3.2) |
# | output size | $o=\lfloor(n+2p-d(k{-}1)-1)/s\rfloor+1$ | (3.3) |
# | Keras | valid: $\lceil(n-d(k{-}1))/s\rceil$; same: $\lceil n/s\rceil$ | (3.4) |
# | zeros for `"same"` | $\max((o{-}1)s+d(k{-}1)+1-n,0)$, an odd one after the image | (3.5) |
# | size kept at $s=1$ | $p=d(k{-}1)/2$ | (3.6) |
# | a layer | $F(u,v,m)=\sum_{i,j,c}K(i,j,c,m)\,I(us{+}di,vs{+}dj,c)+b(m)$ | (3.7) |
# | im2col | $F=P\,\mathbf{K}+b$ | (3.8) |
# | parameters | $(k_hk_wC+1)N$; dense: $HWCD+D$ | (3.9) |
# | multiply-adds | $H_oW_o\,k_hk_w\,CN$ | (3.10) |
# | 1 × 1 | a dense layer at every pixel | (3.11) |
# | depthwise separable | space, then channels; costs $1/N+1/k^2$ of a full one | (3.12), (3.13) |
# | equivariance | $(T_{sa,sb}I)\star K=T_{a,b}(I\star K)$; with zeros, $p$ pixels from the edge | (3.14), (3.15) |
# | as a matrix | $\operatorname{vec}(I\star K)=A\operatorname{vec}(I)$ | (3.16) |
# | transposed | $\langle Ax,y\rangle=\langle x,A^\mathsf{T}y\rangle$; size $(o{-}1)s+k$ | (3.17), (3.18) |
# | gradient | $\partial L/\partial K=I\star\delta$ | (3.19) |
#
# ## References
#
# - Chellapilla, Puri, Simard, *High performance convolutional neural networks for document processing*, 2006.
# - Dumoulin, Visin, *A guide to convolution arithmetic for deep learning*, 2016, arXiv:1603.07285.
# - Goodfellow, Bengio, Courville, *Deep learning*, 2016, chapter 9.
# - Howard et al., *MobileNets*, 2017, arXiv:1704.04861.
# - LeCun, Bottou, Bengio, Haffner, *Gradient-based learning applied to document recognition*, 1998.
# - Lin, Chen, Yan, *Network in network*, 2013, arXiv:1312.4400.
# - Odena, Dumoulin, Olah, *Deconvolution and checkerboard artifacts*, 2016, Distill.
# - Sifre, *Rigid-motion scattering for image classification*, 2014.
