# %% [raw]
# title: Convolution and frequency
# part: II. Convolution
# minutes: 180
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - Adam
#   - batch normalisation
#   - weight decay
#   - cross-correlation and convolution
#   - output size, stride, padding and dilation
#   - channels
#   - parameters and multiply-adds of a layer
#   - translation equivariance
#   - max and average pooling
# teaches:
#   - frequency response
#   - discrete Fourier transform
#   - convolution theorem
#   - fast Fourier transform
#   - aliasing and the sampling theorem
#   - anti-aliased pooling
# data: [MNIST, CIFAR-10]
# terms:
#   - term: zone plate
#     means: a test image of rings that get finer from the middle outwards
#     zh: 波带片
#   - term: frequency
#     symbol: '$\xi$'
#     means: how many periods of a wave there are per pixel (`xi`); in images one number per axis, $\xi_u$ and $\xi_v$
#     zh: 频率
#   - term: magnitude
#     means: the length of a complex number
#     zh: 幅值
#   - term: phase
#     means: the angle of a complex number; of a wave, where its crests are
#     zh: 相位
#   - term: complex exponential
#     means: a cosine and a sine carried as one complex number that turns at a constant rate
#     zh: 复指数
#   - term: frequency response
#     symbol: '$R_K$'
#     means: by which complex number a kernel multiplies each wave (`response`)
#     zh: 频率响应
#   - term: side lobe
#     means: a weaker range of high frequencies that a blur lets through, some with the opposite sign
#     zh: 旁瓣
#   - term: low-pass filter
#     means: a kernel that keeps low frequencies and weakens high ones
#     zh: 低通滤波器
#   - term: high-pass filter
#     means: a kernel that keeps high frequencies and weakens low ones
#     zh: 高通滤波器
#   - term: band-pass filter
#     means: a kernel that keeps a range of frequencies and weakens those below and above
#     zh: 带通滤波器
#   - term: discrete Fourier transform
#     means: the weights of the waves of which an image is the sum; DFT for short
#     zh: 离散傅里叶变换
#   - term: spectrum
#     means: the discrete Fourier transform of one image, all its weights together
#     zh: 频谱
#   - term: energy
#     means: the sum of the squared pixels, which is also a sum over the waves
#     zh: 能量
#   - term: convolution theorem
#     means: the spectrum of a convolution is the product of the two spectra
#     zh: 卷积定理
#   - term: circular convolution
#     means: convolution in which the window wraps round at the edges
#     zh: 循环卷积
#   - term: fast Fourier transform
#     means: an algorithm that computes the discrete Fourier transform by halves; FFT for short
#     zh: 快速傅里叶变换
#   - term: aliasing
#     means: after a stride, a high frequency looks exactly like a lower one
#     zh: 混叠
#   - term: Nyquist frequency
#     means: half a cycle per pixel that is kept, above which a stride causes aliasing
#     zh: 奈奎斯特频率
#   - term: sampling theorem
#     means: what has no frequency at or above the Nyquist frequency can be had back from its samples
#     zh: 采样定理
#   - term: anti-aliasing
#     means: a low-pass filter before a stride
#     zh: 抗混叠
#   - term: equivariance error
#     means: the difference between moving and then pooling, and pooling and then moving by as much
#     zh: 等变误差
# symbols:
#   '$*$': 'convolution (`convolve`)'
#   '$\mathrm{i}$': 'the imaginary unit (`1j`)'
#   '$E_\xi$': 'the complex wave of frequency $\xi$ (`wave`)'
#   '$\sigma_K$': 'standard deviation of a Gaussian kernel, in pixels'
#   '$\hat{I}$': 'discrete Fourier transform of an image, or of what else carries the hat (`np.fft.fft2(image)`)'
#   '$\overline{\hat K}$': 'complex conjugate (`np.conj`)'
#   '$\mathcal{F}$': 'the discrete Fourier transform as an operation'
#   '$x_{\downarrow s}$': 'every $s$-th pixel of a row (`row[::stride]`)'
# sources:
#   - "Shannon, Communication in the presence of noise, 1949"
#   - "Cooley & Tukey, An algorithm for the machine calculation of complex Fourier series, 1965"
#   - "Oliva, Torralba & Schyns, Hybrid images, 2006"
#   - "Oppenheim & Lim, The importance of phase in signals, 1981"
#   - "Field, Relations between the statistics of natural images and the response properties of cortical cells, 1987"
#   - "Mathieu, Henaff & LeCun, Fast training of convolutional networks through FFTs, 2014"
#   - "Azulay & Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?, 2019"
#   - "Zhang, Making convolutional networks shift-invariant again, 2019"

# %% [markdown]
# On the left is a **zone plate**: rings that get finer from the middle outwards. The two images beside it are computed
# from it by what layers do all day: a mean over 5 × 5 pixels, and a stride.

# %% tags=["aside"]
# @title Imports and settings
import time

from course import ask, budget, check, claim, data, plots, predict, prove, record, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from scipy import ndimage, signal

rng = start("05")  # seeds everything from COURSE_SEED and sets the style of the figures
SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
MEAN = np.full((5, 5), 1 / 25)
HIGHEST = 0.4  # cycles per pixel, where the rings of the zone plate meet the middle of an edge


# %% tags=["aside"]
# @title The zone plate, and a row of images
def zone_plate(n):
    """A zone plate (n, n), from 0 to 1: rings whose frequency grows in proportion to the distance from the middle."""
    u = np.arange(n) - n // 2
    distance = np.hypot(u[:, None], u)
    frequency = 2 * HIGHEST * distance / n
    contrast = np.clip((0.45 - frequency) / 0.05, 0, 1)  # fades out where the rings would be too fine to draw
    return 0.5 + 0.5 * contrast * np.cos(np.pi * frequency * distance)


def draw(axis, image, title="", signed=False, bound=1):
    """Draw an image on a common scale, from 0 to 1, or signed from -bound to bound; what lies outside is cut off."""
    image = np.clip(image, -bound if signed else 0, bound)
    plots.draw_image(axis, image, title, limits=bound if signed else (0, 1), signed=signed)


def show_row(images, size=2.4):
    """Show named images side by side, so large that no screen pixel is skipped: that would draw false rings."""
    figure, axes = plt.subplots(1, len(images), figsize=(len(images) * size * 1.06, size * 1.15))
    for axis, (title, image) in zip(axes, images.items()):
        draw(axis, image, title)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.88, wspace=0.06)
    plt.show()


# %% tags=["aside"]
# @title Draws figure 5.1
plate = zone_plate(120)
blurred_plate = signal.correlate2d(plate - 0.5, MEAN, mode="same")
show_row(
    {
        "zone plate": plate,
        "5 × 5 mean (contrast × 2)": 0.5 + 2 * blurred_plate,
        "every 4th pixel": plate[::4, ::4],
    }
)

# %% [markdown]
# *Figure 5.1. Left: rings, finest towards the edges. Middle: the mean over 5 × 5 pixels; the rings vanish, and further
# out they come back with black and white exchanged. Right: every 4th pixel of every 4th row; there are centres where
# the image has none.*
#
# A blur should take fine detail away, and it gave back a negative of it. A stride should drop
# pixels, and it drew eight new sets of rings. An average pooling layer does both.
#
# **What does a convolution do to detail of each size, and what does a stride do to detail that is too fine for it?**
#
# ## What you will be able to do
#
# - say what a kernel does to every wave;
# - take an image apart into waves and put it together again;
# - compute a convolution as a product, and say when that is faster;
# - predict which false pattern a stride draws, and what it costs in equivariance;
# - write a pooling layer that avoids it, and measure which frequencies a network uses.
#
# ## Send a wave through a kernel
#
# Take one fineness at a time. A wave of **frequency** $\xi$ has $\xi$ periods per pixel: $\xi=1/12$ is one period in
# twelve pixels, and $\xi=1/2$ is black, white, black, white, the finest there is. Take the mean of three neighbours:

# %% tags=["aside"]
# @title Draws figure 5.2
figure, axes = plt.subplots(1, 3, figsize=(8, 2.5), sharey=True)
u, fine = np.arange(13), np.linspace(0, 12, 400)
for axis, period in zip(axes, (12, 3, 2)):
    before = np.cos(2 * np.pi * np.arange(-1, 14) / period)
    factor = (1 + 2 * np.cos(2 * np.pi / period)) / 3
    axis.plot(fine, np.cos(2 * np.pi * fine / period), color="#bbbbbb", linewidth=1, linestyle="-")
    axis.plot(u, before[1:-1], "o", markersize=4, label="wave")
    axis.plot(u, np.convolve(before, np.ones(3) / 3, "valid"), "s", markersize=6, mfc="none", label="mean of three")
    axis.set(title=f"$\\xi = 1/{period}$: times {factor:.2f}".replace("-", "−"), xlabel="pixel", xticks=range(0, 13, 4))
axes[0].set_ylabel("brightness, less its mean")
axes[0].legend(loc="upper center", fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.2. Three waves (dots) and the mean of three neighbours (squares). The squares lie on the same wave,
# multiplied by one number.*
#
# On the right, every window holds $-1, 1, -1$ or $1, -1, 1$: the mean is a third of the middle pixel, *with the
# opposite sign*. This is the negative of Figure 5.1. In the middle, each window is a whole period: nothing is left.
#
# ## A number that turns
#
# The mean is symmetric. Take $(-1,0,1)$ instead, and the wave does not only change its size, it also *moves* (Figure
# 5.3, right). Two changes need two numbers, and a complex number holds two: its length, the **magnitude**, and its
# angle, the **phase**. Multiplying two of them multiplies magnitudes and adds phases.
#
# Think of a clock hand of length 1 that turns by the angle $2\pi\xi$ from each pixel to the next. At pixel $u$ it
# points at $e^{2\pi\mathrm{i}\xi u}=\cos(2\pi\xi u)+\mathrm{i}\sin(2\pi\xi u)$ (an upright $\mathrm{i}$ is the
# imaginary unit; $i$ still counts the rows of a kernel). This **complex exponential** carries two waves at once: its
# horizontal part is the cosine, its vertical part the sine.

# %% tags=["aside"]
# @title Draws figure 5.3
figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.9), width_ratios=[1, 1, 1.5])
angles = 2 * np.pi * np.arange(12) / 12
ARROW = {"head_width": 0.09, "length_includes_head": True, "linewidth": 1.5}
for axis in axes[:2]:
    axis.plot(*[f(np.linspace(0, 2 * np.pi, 200)) for f in (np.cos, np.sin)], color="#bbbbbb", lw=1, ls="-")
    for x, y in [([-1.15, 1.15], [0, 0]), ([0, 0], [-1.15, 1.15])]:
        axis.plot(x, y, color="#bbbbbb", linewidth=0.8, linestyle="-")
    plots.frame(axis)
    axis.set(xlim=(-1.45, 1.45), ylim=(-1.45, 1.45), aspect="equal")
for number, angle in enumerate(angles):
    axes[0].plot(np.cos(angle), np.sin(angle), "o", color=plots.COLOURS[0], markersize=4)
    axes[0].text(1.25 * np.cos(angle), 1.25 * np.sin(angle), number, ha="center", va="center", fontsize=8)
axes[0].arrow(0, 0, np.cos(angles[1]), np.sin(angles[1]), color=plots.COLOURS[0], **ARROW)
axes[0].set_title("the hand, pixel by pixel")
left, right = -np.exp(-1j * angles[1]), np.exp(1j * angles[1])
for end, colour, name, at in [(left, 0, "$-E(-1)$", (-0.85, 0.66)), (right, 1, "$E(1)$", (0.85, 0.66))]:
    axes[1].arrow(0, 0, end.real, end.imag, color=plots.COLOURS[colour], **ARROW)
    axes[1].text(*at, name, ha="center", fontsize=9)
axes[1].arrow(0, 0, 0, 1, color=plots.COLOURS[5], **ARROW)
axes[1].text(0, 1.12, "their sum", ha="center", fontsize=9)
axes[1].set_title("$(-1, 0, 1)$ at pixel 0")
axes[2].plot(u, np.cos(2 * np.pi * u / 12), marker="o", markersize=4, label="wave")
axes[2].plot(u, np.cos(2 * np.pi * (u + 3) / 12), marker="s", markersize=5, mfc="none", label="after $(-1, 0, 1)$")
axes[2].set(xlabel="pixel", xticks=range(0, 13, 3), ylim=(-1.1, 1.9), title="the horizontal parts")
axes[2].legend(loc="upper center", fontsize=8, ncols=2)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.3. All for $\xi=1/12$. Left: the hand at pixels 0 to 11. Middle: the kernel $(-1,0,1)$ on pixel 0 adds up
# two products, to $\mathrm{i}$. Right: multiplied by $\mathrm{i}$, the wave keeps its size and moves to the left by a
# quarter of a period.*
#
# Here is why that helps. Move the wave by $j$ pixels, and the hand is turned by the same angle at *every* pixel:
# $e^{2\pi\mathrm{i}\xi(u+j)}=e^{2\pi\mathrm{i}\xi j}\cdot e^{2\pi\mathrm{i}\xi u}$. A moved wave is the wave times a
# number. (In general, a moved cosine is no multiple of the cosine.) A kernel adds up moved waves, each times a weight
# (3.1). So the result is the wave times a sum of numbers. In an image, with $\xi_u$ cycles per pixel downwards and
# $\xi_v$ to the right:
#
# $$ E_\xi \star K = R_K(\xi)\; E_\xi, \qquad E_\xi(u, v) = e^{2\pi\mathrm{i}(\xi_u u + \xi_v v)} \tag{5.1} $$
#
# $$ R_K(\xi_u, \xi_v) = \sum_{i} \sum_{j} K(i, j)\, e^{2\pi\mathrm{i}(\xi_u i + \xi_v j)} \tag{5.2} $$
#
# $R_K$ is the kernel's **frequency response**. Its magnitude says by how much the wave grows, its phase by how much it
# moves. For $(-1,0,1)$, counted from the middle, it is
# $e^{2\pi\mathrm{i}\xi}-e^{-2\pi\mathrm{i}\xi}=2\mathrm{i}\sin(2\pi\xi)$. The response of a symmetric kernel is real:
# nothing moves, but the sign may change.


# %%
def wave(shape, xi_u, xi_v):
    """The complex wave of (5.1) on pixels (H, W), with xi_u cycles per pixel downwards and xi_v to the right."""
    u, v = np.ogrid[: shape[0], : shape[1]]
    return np.exp(2j * np.pi * (xi_u * u + xi_v * v))


def response(kernel, xi_u, xi_v, centred=True):
    """Frequency response (5.2) of kernel (kh, kw): xi_u, xi_v are numbers or arrays of one shape, in cycles per pixel.

    centred: whether i and j count from the kernel's middle (odd sizes), else from its first row and column.
    """
    i, j = (np.arange(k) - (k // 2 if centred else 0) for k in np.shape(kernel))
    rows, columns = (np.exp(2j * np.pi * np.multiply.outer(xi, at)) for xi, at in [(xi_u, i), (xi_v, j)])
    return np.einsum("...i,ij,...j->...", rows, kernel, columns)  # (5.2)


def wave_through(kernel, xi_u, xi_v):
    """A wave of 12 × 12 pixels after the kernel, where it fits, by the kernel's response."""
    size = [12 - k + 1 for k in kernel.shape]
    return response(kernel, xi_u, xi_v, centred=False) * wave(size, xi_u, xi_v)  # (5.1)


# %% tags=["aside"]
# @title What proofs (5.1) and (5.2) compare with
def keras_wave_through(kernel, xi_u, xi_v):
    image = wave((12, 12), xi_u, xi_v)
    parts = np.stack([image.real, image.imag])[..., None].astype("float32")
    output = keras.ops.conv(parts, kernel[..., None, None].astype("float32"))
    real, imaginary = keras.ops.convert_to_numpy(output)[..., 0]
    return real + 1j * imaginary


def scipy_response(kernel, xi_u, xi_v):
    along_rows = [signal.freqz(row, worN=[2 * np.pi * xi_v])[1][0] for row in kernel]
    return np.conj(signal.freqz(along_rows, worN=[2 * np.pi * xi_u])[1][0])  # freqz counts against the wave


def from_the_corner(kernel, xi_u, xi_v):
    return response(kernel, xi_u, xi_v, centred=False)


def kernels_and_waves(count):
    for _ in range(count):
        yield rng.normal(size=rng.integers(1, 7, 2)), *(float(xi) for xi in rng.uniform(-0.5, 0.5, 2))


# %%
prove("5.1", wave_through, keras_wave_through, cases=kernels_and_waves(100), rtol=1e-4, atol=1e-4)
prove("5.2", from_the_corner, scipy_response, cases=kernels_and_waves(200), name="frequency response")

# %% [markdown]
# **Question 5.a.** By what number does the kernel $(1/4,\ 1/2,\ 1/4)$ multiply a wave of period 4?

# %%
ask(
    "5.a",
    0.5,
    why="1/2 + 2 · 1/4 · cos(2π/4). For period 2 it is 0: this kernel erases the finest wave.",
    hint="Write down (5.2) with i from -1 to 1 and a frequency of 1/4. Or take the row 1, 0, -1, 0 and try.",
)

# %% [markdown]
# ## Four kernels, read by frequency
#
# For simple kernels the sum (5.2) can be done by hand. The mean of $k$ neighbours ($k$ odd) is a geometric series:
#
# $$ R_\text{mean}(\xi) = \frac{\sin \pi k \xi}{k \sin \pi \xi}, \qquad R_\text{mean}(0) = 1 \tag{5.3} $$
#
# For $k>1$ it is 0 at $\xi=1/k$ and negative from there to $2/k$. A Gaussian, $K(i)=e^{-i^2/2\sigma_K^2} /
# (\sigma_K\sqrt{2\pi})$ for all whole $i$, has a response that is nowhere negative: Gaussian too, and the narrower the
# wider the blur.
#
# $$ \begin{aligned} R_\text{Gauss}(\xi) &= \sum_{m=-\infty}^{\infty} e^{-2\pi^2\sigma_K^2(\xi - m)^2} \\
#    &\approx e^{-2\pi^2\sigma_K^2\xi^2} \quad \text{for } \sigma_K \ge 1,\; |\xi| \le \tfrac12
#    \end{aligned} \tag{5.4} $$
#
# (to within 0.01). The kernel knows the Gaussian at whole pixels only, so there are copies of the curve at all whole
# $m$. They will come back as the false rings. Sobel's kernel is the difference from above along the rows, and a blur
# $1, 2, 1$ along the columns:
#
# $$ R_\text{Sobel}(\xi_u, \xi_v) = 4\,\mathrm{i}\, \sin(2\pi\xi_v)\, \bigl(1 + \cos 2\pi\xi_u\bigr) \tag{5.5} $$
#
# It answers flat patches with 0, and also the finest columns, $\xi_v=1/2$: the two pixels that it compares are then
# alike.


# %%
def mean_response(k, xi):
    """Response (5.3) of the mean of k neighbours, k odd, at xi cycles per pixel."""
    return 1.0 if xi % 1 == 0 else np.sin(np.pi * k * xi) / (k * np.sin(np.pi * xi))  # (5.3)


def gaussian_response(sigma, xi):
    """Response (5.4) of a Gaussian of standard deviation sigma pixels, taken at whole pixels."""
    return np.exp(-2 * (np.pi * sigma * (xi - np.arange(-20, 21))) ** 2).sum()  # (5.4)


def sobel_response(xi_u, xi_v):
    """Response (5.5) of Sobel's kernel for upright edges, centred."""
    return 4j * np.sin(2 * np.pi * xi_v) * (1 + np.cos(2 * np.pi * xi_u))  # (5.5)


def gaussian(sigma, radius):
    """Gaussian weights (2 radius + 1,), as in (5.4)."""
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


# %% tags=["aside"]
# @title What proofs (5.3) to (5.5) compare with
def centred_freqz(weights, xi):
    """SciPy's response of a symmetric row of weights, its origin moved to the middle."""
    angle = 2 * np.pi * xi
    return float((signal.freqz(weights, worN=[angle])[1][0] * np.exp(1j * angle * (len(weights) // 2))).real)


def scipy_mean(k, xi):
    return centred_freqz(np.ones(k) / k, xi)


def scipy_gaussian(sigma, xi):
    return centred_freqz(gaussian(sigma, 60), xi)


def scipy_sobel(xi_u, xi_v):
    """Ask scipy.ndimage's own Sobel filter, at a pixel far from the edge of a wave."""
    image = wave((9, 9), xi_u, xi_v)
    parts = [ndimage.sobel(part, axis=1) for part in (image.real, image.imag)]
    return (parts[0] + 1j * parts[1])[4, 4] / image[4, 4]


def frequencies(count):
    return (float(xi) for xi in rng.uniform(-0.5, 0.5, count))


def means():
    return ((k, xi) for k in (1, 3, 5, 9) for xi in [0.0, 0.5, *frequencies(20)])


def gaussians():
    return ((sigma, xi) for sigma in (0.5, 1.0, 3.0) for xi in frequencies(30))


# %%
prove("5.3", mean_response, scipy_mean, cases=means())
prove("5.4", gaussian_response, scipy_gaussian, cases=gaussians())
prove("5.5", sobel_response, scipy_sobel, cases=zip(frequencies(100), frequencies(100)))

# %% [markdown]
# The zone plate holds every wave up to 0.4 cycles per pixel: $\xi_u$ grows downwards from the middle,
# and $\xi_v$ to the right. So a filtered zone plate is very nearly a *photograph of the filter's response*:

# %%
by_hand = {
    "5 × 5 mean": MEAN,
    "Gaussian, $\\sigma_K = 1$": np.outer(gaussian(1, 3), gaussian(1, 3)),
    "Sobel": SOBEL,
    "Laplace": np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]),
}

# %% tags=["aside"]
# @title Draws figure 5.4
figure, axes = plt.subplots(2, 4, figsize=(8.4, 4.5))
grid = (np.arange(100) + 0.5 - 50) / 100
for (above, below), (name, kernel) in zip(axes.T, by_hand.items()):
    values = response(kernel, *np.meshgrid(grid, grid, indexing="ij"))
    values = values.imag if name == "Sobel" else values.real
    top = np.abs(values).max()
    above.imshow(values, cmap="PuOr", vmin=-top, vmax=top, extent=(-0.5, 0.5, 0.5, -0.5))
    negative = above.contourf(grid, grid, values, levels=[-2 * top, -0.01 * top], colors="none", hatches=["////"])
    negative.set(edgecolor=plots.COLOURS[5], linewidth=0)
    above.add_patch(plt.Rectangle([-HIGHEST] * 2, *[2 * HIGHEST] * 2, fill=False, ls=":", lw=0.8))
    above.set(xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
    above.set_title(f"{name}: {values.min():.2g} to {values.max():.2g}".replace("-", "−"), fontsize=9)
    draw(below, signal.correlate2d(plate - 0.5, kernel, mode="same"), signed=True, bound=top / 2)
for axis in axes[0, 1:]:
    axis.set(xticklabels=[], yticklabels=[])
axes[0, 0].set(ylabel="$\\xi_u$ (down, cycles/pixel)", xlabel="$\\xi_v$ (right)")
axes[1, 0].set_ylabel("zone plate, filtered")
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 5.4. Above: responses by (5.2), purple positive, orange and hatched negative; of Sobel the imaginary part.
# Below: the zone plate, which reaches to the dotted frame, after each kernel. Where the response is pale the rings are
# gone; where that of the mean is hatched they have changed their sign.*
#
# A mean keeps what is wide and weakens what is fine: it is a **low-pass
# filter**. But through its **side lobes** a negative of fine detail comes back. A Gaussian is a low-pass filter
# without them. The Laplace kernel is a **high-pass filter**. Sobel, which answers neither flat patches nor the finest
# columns, is a **band-pass filter** in the direction of $\xi_v$.
#
# ## An image is a sum of waves
#
# A row of $n$ pixels is a weighted sum of the $n$ waves that have a whole number of periods in it. For an image, the
# weight of the wave with $q$ periods downwards and $r$ to the right is the **discrete Fourier transform**, DFT for
# short. All weights together are the image's **spectrum**:
#
# $$ \hat I(q, r) = \sum_{u=0}^{H-1} \sum_{v=0}^{W-1} I(u, v)\, e^{-2\pi\mathrm{i}(qu/H + rv/W)} \tag{5.6} $$
#
# The weights are complex, twice as many numbers as pixels; but half of them tell the rest. For real pixels, the
# conjugate of (5.6) is the weight of the opposite wave:
#
# $$ \hat I(-q, -r) = \overline{\hat I(q, r)} \tag{5.7} $$
#
# Two such waves add up to a real one, and all of them to the image:
#
# $$ I(u, v) = \frac{1}{HW} \sum_{q=0}^{H-1} \sum_{r=0}^{W-1}
#    \hat I(q, r)\, e^{2\pi\mathrm{i}(qu/H + rv/W)} \tag{5.8} $$
#
# The wave $q$ has the frequency $q/H$. One more cycle per pixel changes nothing, so $q$ and $q-H$ are the same wave,
# and every $q>H/2$ is better read as the negative $q-H$ (`np.fft.fftfreq` does). The **energy**, the sum of the
# squared pixels, can be read off the spectrum too. Moving an image changes the phases of $\hat I$ and not its
# magnitudes, if what leaves on one side comes back on the other, as in (3.14):
#
# $$ \sum_{u,v} I(u, v)^2 = \frac{1}{HW} \sum_{q,r} \bigl|\hat I(q, r)\bigr|^2 \tag{5.9} $$
#
# $$ \widehat{T_{a,b} I}\,(q, r) = e^{-2\pi\mathrm{i}(qa/H + rb/W)}\; \hat I(q, r) \tag{5.10} $$


# %%
def dft(image):
    """The discrete Fourier transform (5.6) of image (H, W): complex (H, W)."""
    down, right = (np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in image.shape)
    return down @ image @ right  # (5.6)


def opposite(spectrum):
    """The weights at (-q, -r) of the spectrum of a real image (5.7)."""
    return np.conj(spectrum)  # (5.7)


def inverse_dft(spectrum):
    """The image (H, W), complex, of a spectrum (5.8): the same sum, with the other sign in the exponent."""
    return np.conj(dft(np.conj(spectrum))) / spectrum.size  # (5.8)


def energy(spectrum):
    """The sum of the squared pixels, from the spectrum (5.9)."""
    return float(np.sum(np.abs(spectrum) ** 2) / spectrum.size)  # (5.9)


def move(spectrum, a, b):
    """The spectrum of the image moved down by a and right by b pixels, with wrap-around (5.10)."""
    return wave(spectrum.shape, -a / spectrum.shape[0], -b / spectrum.shape[1]) * spectrum  # (5.10)


# %% tags=["aside"]
# @title What proofs (5.7), (5.9) and (5.10) compare with
def opposite_weights(image):
    return opposite(dft(image))


def numpy_opposite_weights(image):
    return np.fft.fft2(image)[np.ix_(*(-np.arange(n) for n in image.shape))]


def energy_by_spectrum(image):
    return energy(dft(image))


def energy_by_pixels(image):
    return float(np.sum(image**2))


def moved_spectrum(image, a, b):
    return move(dft(image), a, b)


def numpy_moved_spectrum(image, a, b):
    return np.fft.fft2(np.roll(image, (a, b), axis=(0, 1)))


def images_to_try(count):
    for _ in range(count):
        yield (rng.normal(size=rng.integers(1, 12, 2)),)


def moves(count):
    for (image,) in images_to_try(count):
        yield image, *(int(n) for n in rng.integers(-9, 10, 2))


# %%
prove("5.6", dft, np.fft.fft2, cases=images_to_try(100))
prove("5.7", opposite_weights, numpy_opposite_weights, cases=images_to_try(100))
prove("5.8", inverse_dft, np.fft.ifft2, cases=images_to_try(100))
prove("5.9", energy_by_spectrum, energy_by_pixels, cases=images_to_try(100), name="energy")
prove("5.10", moved_spectrum, numpy_moved_spectrum, cases=moves(100), name="shift theorem")


# %% [markdown]
# Spectra are drawn as logarithms of magnitudes, with frequency 0 in the middle:


# %%
def log_magnitudes(image):
    """Logarithm, to base 10, of the magnitudes of the spectrum of image (H, W), with frequency 0 in the middle."""
    return np.log10(np.abs(np.fft.fftshift(np.fft.fft2(image))) + 0.01)


# %% tags=["aside"]
# @title Draws figure 5.5
cifar = data.cifar10()
photos = cifar.x_test[: budget(quick=1000, full=10000, least=200)].astype("float32") / 255
grey = photos.mean(axis=-1)
photo = photos[cifar.y_test[: len(photos)] == 7][1]
to_transform = {
    "image": photo.mean(axis=-1),
    "its 5 × 5 mean": ndimage.convolve(photo.mean(axis=-1), MEAN, mode="wrap"),
    "$q, r = 0, 8$": 0.5 + 0.5 * wave((32, 32), 0, 8 / 32).real,
    "$q, r = 5, 6$": 0.5 + 0.5 * wave((32, 32), 5 / 32, 6 / 32).real,
}
figure, axes = plt.subplots(2, 4, figsize=(7, 3.8))
for (above, below), (name, image) in zip(axes.T, to_transform.items()):
    draw(above, image, name)
    plots.draw_image(below, log_magnitudes(image), limits=(-2, 3))
axes[0, 0].set_ylabel("image")
axes[1, 0].set_ylabel("log magnitude")
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 5.5. Images, and the magnitudes of their spectra from 0.01 (black) to 1000 (white). The mean darkens lines
# where (5.3) is 0. A wave is two opposite points (5.7) beside the mean; they turn with it.*
#
# Put an image together, its lowest frequencies first:


# %%
def radius(height, width):
    """The frequency of each wave of a DFT, in whatever direction, in cycles per pixel: (height, width)."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))


def keep(images, mask):
    """Only those waves of images (n, H, W) or (n, H, W, C) for which mask (H, W) is true."""
    mask = mask.reshape(*mask.shape, *[1] * (images.ndim - 3))
    kept = np.fft.ifft2(np.fft.fft2(images, axes=(1, 2)) * mask, axes=(1, 2))
    return kept.real.astype("float32")


# %% tags=["aside"]
# @title Draws figure 5.6
cuts = [0.0, 0.05, 0.1, 0.2, 0.8]
figure, axes = plt.subplots(2, len(cuts), figsize=(8, 3.6))
for (above, below), cut in zip(axes.T, cuts):
    mask = radius(32, 32) <= cut
    draw(above, keep(photo[None], mask)[0], f"{mask.sum()} wave{'s' * int(mask.sum() > 1)}")
    draw(below, 0.5 + keep(photo[None], ~mask)[0])
axes[0, 0].set_ylabel("their sum")
axes[1, 0].set_ylabel("all others")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.6. Above: an image from its lowest 1, 9, 37 ... waves, to all 1024. Below: the sum of the waves that are
# not used yet, on a grey ground.*
#
# A few waves give the large shapes and colours; the outlines are in the rest. Is an image in the magnitudes of its
# waves or in their phases? To find out, give one the phases of another (Oppenheim & Lim, 1981).


# %%
def lowest_share(images, share=0.1):
    """The part of the energy, without that of the mean, that is in the lowest `share` of the waves."""
    energies = np.mean(np.abs(np.fft.fft2(images)) ** 2, axis=0).ravel()
    ordered = energies[np.argsort(radius(*images.shape[1:]).ravel(), kind="stable")][1:]
    return ordered[: round(share * len(ordered))].sum() / ordered.sum()


def swap(magnitudes_of, phases_of):
    """Images with the magnitudes of one batch (n, H, W) and the phases of another."""
    magnitudes, phases = np.abs(np.fft.fft2(magnitudes_of)), np.angle(np.fft.fft2(phases_of))
    return np.fft.ifft2(magnitudes * np.exp(1j * phases)).real


def swapped_correlations(images):
    """Each image with the phases of the one before it: its mean correlation coefficient with that one, and with the
    image of its magnitudes."""
    others = np.roll(images, 1, axis=0)
    centred = [x - x.mean(axis=(1, 2), keepdims=True) for x in (swap(images, others), others, images)]
    mixed, others, own = (x / np.linalg.norm(x, axis=(1, 2), keepdims=True) for x in centred)
    return float(np.sum(mixed * others) / len(images)), float(np.sum(mixed * own) / len(images))


# %% tags=["aside"]
# @title How the energy is spread over the frequencies
def energy_curve(images):
    """Middles of bands of frequency, and the mean energy of a wave in each over that of all waves."""
    energies = np.mean(np.abs(np.fft.fft2(images - images.mean())) ** 2, axis=0)
    edges, frequency = np.linspace(0.5, 16.5, 17) / 32, radius(*images.shape[1:])
    means = [energies[(frequency >= a) & (frequency < b)].mean() for a, b in zip(edges, edges[1:])]
    return (edges[1:] + edges[:-1]) / 2, np.array(means) / energies.mean()


def slope(images):
    """The exponent of the frequency in the straight line through `energy_curve` up to 0.2 cycles per pixel."""
    frequency, energies = energy_curve(images)
    low = frequency < 0.2
    return np.polyfit(np.log(frequency[low]), np.log(energies[low]), 1)[0]


# %% tags=["aside"]
# @title Draws figure 5.7
mnist = data.mnist()
digits, digit_labels = mnist.x_test[:1000].astype("float32") / 255, mnist.y_test[:1000]
noise = rng.normal(size=(200, 32, 32))

figure = plt.figure(figsize=(8.4, 3.6))
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
axis = left.subplots()
for (name, group), marker in zip({cifar.name: grey, "MNIST": digits, "white noise": noise}.items(), "os^"):
    label = f"{name}: slope −{-slope(group):.1f} up to 0.2" if name == cifar.name else name
    axis.loglog(*energy_curve(group), marker=marker, markersize=4, label=label)
axis.loglog([0.03, 0.5], [50, 50 * (0.03 / 0.5) ** 2], ":", color="black", linewidth=1, label="slope −2")
axis.set(xlabel="frequency (cycles/pixel)", ylabel="energy of a wave / mean of all")
axis.set_xticks([0.03, 0.1, 0.3, 0.5], ["0.03", "0.1", "0.3", "0.5"])
axis.minorticks_off()
axis.legend(fontsize=8)
left.subplots_adjust(0.2, 0.16, 0.97, 0.95)
one, two = grey[cifar.y_test[: len(grey)] == 7][1], grey[cifar.y_test[: len(grey)] == 0][0]
mixed = [swap(one, two), swap(two, one)]
titles = ["A", "B", "magnitudes of A,\nphases of B", "magnitudes of B,\nphases of A"]
for axis, image, title in zip(right.subplots(2, 2).ravel(), [one, two, *mixed], titles):
    plots.draw_image(axis, image, title)
right.subplots_adjust(0.02, 0.02, 0.98, 0.92, hspace=0.42, wspace=0.05)
plt.show()

# %% [markdown]
# *Figure 5.7. Left: the energy of a wave against its frequency, both axes logarithmic. Right: two images, and two that
# mix the magnitudes of one with the phases of the other.*
#
# The controls: the same images with their pixels shuffled, in one order for all; and waves under a soft window.


# %%
def shuffle_pixels(images):
    """Images (n, H, W) or (n, H, W, C) with their pixels in another order, the same for all of them."""
    n, height, width = images.shape[:3]
    order = rng.permutation(height * width)
    return images.reshape(n, height * width, *images.shape[3:])[:, order].reshape(images.shape)


def phases_decide(images):
    """Whether a mixed image is like the one with its phases, and unlike the one with its magnitudes."""
    with_phases, with_magnitudes = swapped_correlations(images)
    return with_phases > 0.7 and with_magnitudes < 0.1


# %%
claim(
    "5.1",
    "the lowest tenth of the waves holds more than two thirds of the energy, in grey images and in digits",
    min(lowest_share(grey), lowest_share(digits)) > 2 / 3,
    control=min(lowest_share(shuffle_pixels(grey)), lowest_share(shuffle_pixels(digits))) > 2 / 3,
)

# %%
window = np.outer(gaussian(4, 16)[:32], gaussian(4, 16)[:32])
wavelets = np.stack([window * wave((32, 32), *rng.integers(2, 15, 2) / 32).real for _ in range(200)])
claim(
    "5.2",
    "less their means, images with the phases of others correlate on average above 0.7 with those, below 0.1 with "
    "their own",
    phases_decide(grey),
    control=phases_decide(wavelets),
)

# %% [markdown]
# Is this a secret of photographs? No: by (5.9) the first correlation is $\sum\lvert\hat A\rvert\lvert\hat B\rvert$
# over the root of $\sum\lvert\hat A\rvert^2\sum\lvert\hat B\rvert^2$: how alike the two *magnitudes* are. Those of
# white noise are random, and give $\pi/4\approx0.79$; those of two wavelets lie apart. Field (1987) measured that the
# energy of photographs falls off about as $1/\xi^2$. These small ones are a little steeper up to 0.2 cycles per pixel,
# and steeper still above. A few waves hold most of the energy, and by (5.10) it does not say *where* anything is.
#
# ## Convolution is a product
#
# Every image is a sum of waves (5.8), and a kernel multiplies each of them by a number (5.1). So any convolution is,
# wave by wave, *one multiplication*. That is the **convolution theorem**. It holds for **circular convolution**, in
# which windows wrap round at the edges; the kernel is padded with zeros to the size of the image:
#
# $$ \widehat{I * K}(q, r) = \hat I(q, r)\; \hat K(q, r) \tag{5.11} $$
#
# Layers compute cross-correlation. There the kernel is turned, and $\hat K$ becomes its complex conjugate (for a real
# kernel that is (5.2), counted from its first corner, at $\xi_u=q/H$ and $\xi_v=r/W$):
#
# $$ \widehat{I \star K}(q, r) = \hat I(q, r)\; \overline{\hat K(q, r)} \tag{5.12} $$
#
# Real images do not wrap round. Either pad with zeros, onto which the wrapped part falls: the whole convolution of $n$
# with $k$ pixels is $n+k-1$ long. With $\mathcal{F}_M$ for "pad each axis to $M$ pixels, then transform":
#
# $$ I * K = \mathcal{F}_M^{-1}\bigl\{ \mathcal{F}_M\{I\} \cdot \mathcal{F}_M\{K\} \bigr\}, \quad
#    M \ge n + k - 1 \tag{5.13} $$
#
# Or cut off the windows that wrap. This gives a `Conv2D` layer; channels are added up wave by wave:
#
# $$ \begin{gathered} F(u, v, m) = \mathcal{F}^{-1}\Bigl\{ \sum_{c}
#    \hat I_c\; \overline{\hat K_{c,m}} \Bigr\}(u, v) + b(m), \\
#    0 \le u \le H - k_h, \quad 0 \le v \le W - k_w \end{gathered} \tag{5.14} $$


# %% tags=["aside"]
# @title Refuses a kernel that is larger than the image
def must_fit(image, kernel):
    """np.fft.fft2(kernel, shape) would cut a larger kernel off without a word."""
    for axis, (n, k) in enumerate(zip(image.shape[:2], kernel.shape[:2])):
        if k > n:
            raise ValueError(f"axis {axis}: the kernel has {k} pixels and the image only {n}")


# %%
def wrapped_convolve(image, kernel):
    """Circular convolution of image (H, W) (5.11): (H, W). fft2(kernel, shape) pads the kernel with zeros."""
    must_fit(image, kernel)
    return np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(kernel, image.shape)).real  # (5.11)


def wrapped_correlate(image, kernel):
    """Circular cross-correlation (5.12): (H, W); the window of output (u, v) begins at pixel (u, v)."""
    must_fit(image, kernel)
    return np.fft.ifft2(np.fft.fft2(image) * np.conj(np.fft.fft2(kernel, image.shape))).real  # (5.12)


def full_convolve(image, kernel):
    """Convolution with zeros around the image (5.13): (H + kh - 1, W + kw - 1)."""
    shape = [n + k - 1 for n, k in zip(image.shape, kernel.shape)]
    return np.fft.ifft2(np.fft.fft2(image, shape) * np.fft.fft2(kernel, shape)).real  # (5.13)


def conv2d_fft(x, kernel, bias):
    """A Conv2D layer without padding (5.14): x (H, W, C), kernel (kh, kw, C, N), bias (N,) -> (Ho, Wo, N)."""
    must_fit(x, kernel)
    spectra, kernels = np.fft.fft2(x, axes=(0, 1)), np.fft.fft2(kernel, x.shape[:2], axes=(0, 1))
    products = np.einsum("qrc,qrcm->qrm", spectra, np.conj(kernels))
    rows, columns = (n - k + 1 for n, k in zip(x.shape, kernel.shape[:2]))
    return np.fft.ifft2(products, axes=(0, 1)).real[:rows, :columns] + bias  # (5.14)


# %% tags=["aside"]
# @title What proofs (5.11) to (5.14) compare with
def scipy_wrapped(image, kernel):
    full = signal.convolve2d(image, kernel, mode="full", boundary="wrap")
    return full[: image.shape[0], : image.shape[1]]


def keras_wrapped(image, kernel):
    wrapped = np.pad(image, [(0, k - 1) for k in kernel.shape], mode="wrap")
    return keras.ops.conv(wrapped[None, ..., None], kernel[..., None, None])[0, ..., 0]


def scipy_full(image, kernel):
    return signal.convolve2d(image, kernel, mode="full")


def keras_layer(x, kernel, bias):
    layer = layers.Conv2D(kernel.shape[-1], kernel.shape[:2])
    layer.build((None, *x.shape))
    layer.set_weights([kernel, bias])
    return layer(x[None])[0]


def whole(*shape):
    """Random whole numbers from -5 to 5, as float32, which adds and multiplies them without rounding."""
    return rng.integers(-5, 6, shape).astype("float32")


def pairs(count):
    for _ in range(count):
        yield whole(*rng.integers(6, 14, 2)), whole(*rng.integers(1, 7, 2))


def layer_cases(count):
    for image, kernel in pairs(count):
        channels, filters = rng.integers(1, 5, 2)
        yield whole(*image.shape, channels), whole(*kernel.shape, channels, filters), whole(filters)


# %%
prove("5.11", wrapped_convolve, scipy_wrapped, cases=pairs(100), atol=1e-4)
prove("5.12", wrapped_correlate, keras_wrapped, cases=pairs(100), atol=1e-4)
prove("5.13", full_convolve, scipy_full, cases=pairs(100), atol=1e-4)
prove("5.14", conv2d_fft, keras_layer, cases=layer_cases(100), atol=1e-4)

# %% [markdown]
# **Question 5.b.** A row of 32 pixels is convolved with a kernel of 5, with zeros outside. To how many pixels, at
# least, must both be padded so that nothing wraps round?

# %%
ask(
    "5.b",
    36,
    why="32 + 5 - 1: the kernel's last number can lie on the row while its first hangs four pixels over the end.",
    hint="How long is the whole result, with every position at which kernel and row overlap? See (5.13).",
)

# %% [markdown]
# ## Is that faster?
#
# By (5.6) a row takes $n$ weights of $n$ products each: nothing is won. But half of the work is done twice. Split the
# row into its even and its odd pixels and transform each half. Both results repeat after $n/2$, where the factor that
# joins them only changes its sign. For $0\le q<n/2$:
#
# $$ \begin{aligned} \hat x(q) &= \hat x_\text{even}(q) + e^{-2\pi\mathrm{i}q/n}\, \hat x_\text{odd}(q) \\
#    \hat x\bigl(q + \tfrac n2\bigr) &= \hat x_\text{even}(q) - e^{-2\pi\mathrm{i}q/n}\, \hat x_\text{odd}(q)
#    \end{aligned} \tag{5.15} $$
#
# Split the halves again, down to single pixels, and you have the **fast Fourier transform**, FFT for short (Cooley &
# Tukey, 1965). For $n$ a power of two it has $\log_2 n$ levels of $n/2$ complex products. An image has $n$ rows and
# $n$ columns; a convolution by (5.12) takes three FFTs and one product for each wave. The size of the kernel does not
# occur:
#
# $$ \begin{aligned} \text{FFT of a row:} &\quad \tfrac n2 \log_2 n \\
#    \text{convolution, direct:} &\quad (n - k + 1)^2\, k^2 \\
#    \text{convolution by FFT:} &\quad 3\, n^2 \log_2 n + n^2 \end{aligned} \tag{5.16} $$


# %%
def fft(x):
    """The fast Fourier transform of x (n,), n a power of two, in halves (5.15)."""
    if len(x) == 1:
        return x
    even, odd = fft(x[::2]), fft(x[1::2])
    turned = np.exp(-2j * np.pi * np.arange(len(odd)) / len(x)) * odd
    return np.concatenate([even + turned, even - turned])  # (5.15)


def products(n, k):
    """Products (5.16) for n a power of two: of an FFT of n numbers (complex ones, of four real ones each), and of a
    convolution of (n, n) pixels by (k, k), direct and by FFT (complex)."""
    levels = n.bit_length() - 1
    return n * levels // 2, (n - k + 1) ** 2 * k**2, 3 * n**2 * levels + n**2  # (5.16)


# %% tags=["aside"]
# @title What proofs (5.15) and (5.16) compare with
class Counting:
    """A number that counts the products that it and its descendants go through."""

    products = 0

    def __add__(self, other):
        return self

    __sub__ = __add__

    def __rmul__(self, other):
        Counting.products += 1
        return self

    __mul__ = __rmul__


def count(program, *shape):
    Counting.products = 0
    program(np.full(shape, Counting(), dtype=object))
    return Counting.products


def fft2(x):
    return np.stack([fft(column) for column in np.stack([fft(row) for row in x]).T])


def counted_products(n, k):
    ones = np.ones((1, n, n, 1), "float32"), np.ones((k, k, 1, 1), "float32")
    direct = int(keras.ops.sum(keras.ops.conv(*ones)))  # each product adds 1
    return count(fft, n), direct, 3 * count(fft2, n, n) + count(lambda x: x.ravel() * 1.0, n, n)


def rows_of_powers(count):
    return ((rng.normal(size=2 ** int(rng.integers(0, 9))),) for _ in range(count))


# %%
prove("5.15", fft, np.fft.fft, cases=rows_of_powers(50))
prove("5.16", products, counted_products, cases=((n, k) for n in (4, 8, 16, 32, 64) for k in (1, 2, 3)))

# %% [markdown]
# A product is not a unit of time. So measure, in processor time of all cores together: one image of 128 × 128 pixels,
# SciPy's direct sum and Keras's tuned one against (5.12) by NumPy's FFT.


# %% tags=["aside"]
# @title Measures times
def milliseconds(function, repeats):
    """The least processor time, of all cores together, of `repeats` calls."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return 1000 * min(times)


def time_kernel(image, k):
    """Milliseconds for one convolution of an image by k × k: a dict from name to time."""
    kernel = rng.normal(size=(k, k)).astype("float32")
    with keras.device("cpu"):
        tensors = [keras.ops.convert_to_tensor(x) for x in (image[None, ..., None], kernel[..., None, None])]
        return {
            "direct (SciPy)": milliseconds(lambda: signal.correlate2d(image, kernel, mode="valid"), 4),
            "FFT (NumPy)": milliseconds(lambda: wrapped_correlate(image, kernel), 10),
            "direct (Keras)": milliseconds(lambda: keras.ops.convert_to_numpy(keras.ops.conv(*tensors)), 10),
        }


def speed_up(timings, rival):
    """By how much the FFT is faster than a rival: a dict from kernel size to the ratio of their times."""
    return {k: times[rival] / times["FFT (NumPy)"] for k, times in timings.items()}


def ahead_from(ratios):
    """The kernel size from which on the FFT is always faster, None where there is none."""
    return next((k for k in ratios if all(ratio > 1 for later, ratio in ratios.items() if later >= k)), None)


# %% tags=["aside"]
# @title Draws figure 5.8
sizes = [1, 3, 5, 7, 9, 11, 15, 25, 41]
noise_image = rng.normal(size=(128, 128)).astype("float32")
timings = {k: time_kernel(noise_image, k) for k in sizes}
over_scipy, over_keras = (speed_up(timings, f"direct ({name})") for name in ("SciPy", "Keras"))
by_count = next(k for k in range(1, 129) if products(128, k)[1] > 4 * products(128, k)[2])
print(f"of k = {', '.join(map(str, sizes))} the FFT is ahead of SciPy from {ahead_from(over_scipy)} on,", end=" ")
print(f"of Keras from {ahead_from(over_keras)} on; by the count (5.16), from {by_count} on")
figure, axis = plt.subplots()
curves = {name: [times[name] for times in timings.values()] for name in timings[1]}
plots.draw_curves(axis, curves, "kernel size $k$ (pixels)", "processor time (ms)", x=sizes)
axis.set(xscale="log", yscale="log")
axis.set_xticks(sizes, sizes)
axis.xaxis.minorticks_off()
plt.show()

# %% [markdown]
# *Figure 5.8. Time for one convolution, both axes logarithmic. Only for the FFT the kernel's size makes no difference.*

# %%
claim(
    "5.3",
    "with a kernel of 41 × 41 on 128 × 128 pixels the FFT takes less than a twentieth of the processor time of SciPy's "
    "direct sum, and less than a third of Keras's",
    over_scipy[41] > 20 and over_keras[41] > 3,
    control=over_scipy[3] > 20 and over_keras[3] > 3,
)

# %% [markdown]
# SciPy's plain loop is overtaken early, Keras's code about where (5.16) says. So why does your network not use the FFT?
# At 3 × 3 it is slower than both, and each kernel's spectrum is as large as the image. With large kernels, or where one
# transform serves many images and channels, it pays (Mathieu et al., 2014).
#
# ## What a stride does
#
# Back to the false rings. Keep every $s$-th pixel of a wave. From one to the next it advances by $s\xi$ cycles, and
# whole cycles cannot be seen. So the kept pixels *are* those of a wave of another frequency, its alias:
#
# $$ \xi' = s\xi - \bigl\lfloor s\xi + \tfrac12 \bigr\rfloor \in \bigl[-\tfrac12, \tfrac12\bigr)
#    \;\text{ cycles per kept pixel} \tag{5.17} $$
#
# This is **aliasing**. With $s=4$, a wave of $\xi=0.27$ becomes $1.08-1=0.08$: a high frequency turns into a low one.
# For a whole row $x$ of $n$ pixels, write $x_{\downarrow s}$ for every $s$-th of them. Each wave $q$ of its spectrum
# is the mean of $s$ waves of $x$ that look alike after the stride (the copies of (5.4)!):
#
# $$ \widehat{x_{\downarrow s}}(q) = \frac1s \sum_{m=0}^{s-1} \hat x\Bigl(q + m\,\frac ns\Bigr) \tag{5.18} $$
#
# If only one of the $s$ is not 0, nothing is mixed and nothing lost. That is the idea of the **sampling theorem**
# (Shannon, 1949). The **Nyquist frequency** is half a cycle per kept pixel, $1/(2s)$ per pixel. A row with no
# frequency there or above can be had back, in full:
#
# $$ \begin{gathered} \hat x(q) = 0 \text{ for } |q| \ge \frac{n}{2s} \;\Rightarrow\;
#    x(t) = \sum_{u} x_{\downarrow s}(u)\, S(t - su), \\
#    S(t) = \frac{s}{n} \sum_{|q| < n/2s} e^{2\pi\mathrm{i}qt/n} \end{gathered} \tag{5.19} $$


# %%
def alias(xi, stride):
    """The frequency (5.17), in cycles per kept pixel, of a wave of xi cycles per pixel after a stride."""
    return stride * xi - np.floor(stride * xi + 0.5)  # (5.17)


def folded(row, stride):
    """The spectrum (5.18) of every stride-th pixel of row (n,), n a multiple of the stride."""
    return np.fft.fft(row).reshape(stride, -1).mean(axis=0)  # (5.18)


def rebuild(samples, stride):
    """All pixels of a row from every stride-th (5.19), if it has no frequency of 1 / (2 stride) or above."""
    n, half = len(samples) * stride, (len(samples) - 1) // 2
    steps = np.subtract.outer(np.arange(n), stride * np.arange(len(samples)))  # t - su
    waves = np.exp(2j * np.pi * np.multiply.outer(steps, np.arange(-half, half + 1)) / n)
    return waves.sum(axis=-1).real / len(samples) @ samples  # (5.19)


# %% tags=["aside"]
# @title What proofs (5.17) to (5.19) compare with
def strongest(xi, stride):
    """Take every stride-th pixel of a wave, and ask NumPy's FFT for the frequency of what is left."""
    left = np.exp(2j * np.pi * xi * np.arange(64 * stride))[::stride]
    return float(np.fft.fftfreq(64)[np.argmax(np.abs(np.fft.fft(left)))])


def numpy_strided(row, stride):
    return np.fft.fft(row[::stride])


def rebuilt(row, stride):
    return rebuild(row[::stride], stride)


def itself(row, stride):
    return row


def low_row(samples, stride):
    """A random row (n,) whose frequencies all lie below 1 / (2 stride)."""
    spectrum = np.zeros(samples * stride // 2 + 1, complex)
    spectrum[: (samples + 1) // 2] = rng.normal(size=((samples + 1) // 2, 2)) @ [1, 1j]
    return np.fft.irfft(spectrum, samples * stride)


def strides(count):
    return ((int(rng.integers(1, 6)), int(rng.integers(3, 20))) for _ in range(count))


def waves_to_stride(count):
    return ((int(rng.integers(-32 * s, 32 * s)) / (64 * s), s) for s, _ in strides(count))


# %%
prove("5.17", alias, strongest, cases=waves_to_stride(200))
prove("5.18", folded, numpy_strided, cases=((rng.normal(size=s * m), s) for s, m in strides(100)))
prove("5.19", rebuilt, itself, cases=((low_row(m, s), s) for s, m in strides(100)), name="sampling theorem")

# %% [markdown]
# **Question 5.c.** A stride of 2 meets a wave of $\xi=0.4$. Which frequency do the kept pixels have, in cycles per
# kept pixel and with its sign?

# %%
ask(
    "5.c",
    -0.2,
    why="2 · 0.4 is 0.8 of a cycle ahead, which looks like 0.2 of a cycle back.",
    hint="By (5.17): how many cycles does the wave advance in two pixels, and which whole number is nearest?",
)

# %% [markdown]
# By (5.17) a stride of 4 must show a false centre wherever $\xi_u$ and $\xi_v$ both are multiples of 1/4. And the
# theorem names the cure, **anti-aliasing**: use a low-pass filter *before* the stride, so that little is left at the
# Nyquist frequency, here 1/8, and above.

# %% tags=["aside"]
# @title Draws figure 5.9
pooled_plate = plate.reshape(30, 4, 30, 4).mean(axis=(1, 3))
soft = ndimage.gaussian_filter(plate, 2.2, mode="mirror")
figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.8))
draw(axes[0], plate[::4, ::4], "stride of 4")
draw(axes[1], pooled_plate, "4 × 4 average pooling")
draw(axes[2], soft[::4, ::4], "Gaussian, then stride of 4")
centres = np.array([-0.25, 0, 0.25]) / (2 * HIGHEST) * 30 + 15
for x, y in [(x, y) for x in centres for y in centres if (x, y) != (15, 15)]:
    axes[0].plot(x, y, "+", color=plots.COLOURS[5], markersize=11, markeredgewidth=2)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.9. Left: crosses mark where (5.17) expects false centres. Middle: average pooling makes
# them weaker. Right: after a Gaussian they are all but gone, and so are the true rings above 1/8, which
# 30 × 30 pixels cannot hold.*
#
# ## Pooling that moves with its input
#
# With a stride of 2, moving the input by two pixels moves the output by one (3.14). What happens at a move by *one*
# pixel? The output ought to move by half a pixel, which (5.10) can do: $T_{1/2}$ turns each wave by half a step. Waves
# below the Nyquist frequency, $1/4$, obey. A wave above it turns up as its alias, with the wrong sign. Add this up by
# (5.9), with $n/2$ odd so that no wave lies exactly at $1/4$, and let $x_\text{high}$ be the part of $x$ above $1/4$:
#
# $$ \bigl\| (T_1 x)_{\downarrow 2} - T_{1/2}(x_{\downarrow 2}) \bigr\|^2 = 2\, \| x_\text{high} \|^2 \tag{5.20} $$
#
# This **equivariance error** of a stride of 2 is aliasing and nothing else. Max pooling is a maximum at every pixel,
# and then a stride, for which (5.20) holds.


# %%
def shift_error(row):
    """The right side of (5.20) for row (n,), n / 2 odd; for several rows (n, ...), their sum."""
    high = np.abs(np.fft.fftfreq(len(row))) > 0.25
    return float(2 * np.sum(np.abs(np.fft.fft(row, axis=0)[high]) ** 2) / len(row))  # (5.20)


# %% tags=["aside"]
# @title What proof (5.20) compares with
def scipy_shift_error(row):
    half_moved = np.fft.ifft(ndimage.fourier_shift(np.fft.fft(row[::2]), 0.5)).real
    return float(np.sum((np.roll(row, 1)[::2] - half_moved) ** 2))


# %%
prove("5.20", shift_error, scipy_shift_error, cases=((rng.normal(size=2 * m),) for m in range(1, 100, 2)))

# %% [markdown]
# Have images, and feature maps, enough above $1/4$ for this to matter? First a small network learns 24 kernels of 7 × 7
# on colour images, each less its mean colour. An L2 penalty (under Adam that is not weight decay: chapter 02) lets
# weights fade that training has no use for.


# %%
def train_first_layer(images, labels):
    """Train a small CNN on images (n, 32, 32, 3): its first kernels (7, 7, 3, 24) before and after."""
    first = layers.Conv2D(24, 7, strides=2, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.02))
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            first,
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy")
    at_first = first.get_weights()[0]
    network.fit(images, labels, batch_size=64, epochs=budget(quick=8, full=20, least=1), verbose=0)
    return at_first, first.get_weights()[0]


def less_their_mean(images):
    """Images (n, H, W, C), each less its own mean colour."""
    return images - images.mean(axis=(1, 2), keepdims=True)


# %%
x_train = less_their_mean(cifar.x_train[: budget(quick=4000, full=50000, least=500)].astype("float32") / 255)
y_train = cifar.y_train[: len(x_train)]
random_kernels, learned_kernels = train_first_layer(x_train, y_train)

# %% [markdown]
# Then blur *before* the stride, by up to 5 pixels, and, as the control, *after* it, by Gaussians of many widths. A blur
# costs detail, so measure the variance that is left too. Images wrap round here.

# %%
BLURS = {1: np.array([1.0]), 2: np.array([1, 1]) / 2, 3: np.array([1, 2, 1]) / 4, 5: np.array([1, 4, 6, 4, 1]) / 16}
WIDTHS = (0.5, 0.7, 1.0, 1.4, 1.8, 2.5)  # standard deviations, in kept pixels


def stride(x):
    return x[:, ::2, ::2]


def blur_first(x, k):
    """x (n, H, W, C) blurred by the k weights of BLURS along height and width, then strided."""
    return stride(ndimage.convolve1d(ndimage.convolve1d(x, BLURS[k], axis=1, mode="wrap"), BLURS[k], 2, mode="wrap"))


def blur_afterwards(x, sigma):
    return ndimage.gaussian_filter(stride(x), (0, sigma, sigma, 0), mode="wrap")


def maximum(x):
    """The largest of each 2 × 2 window, at every pixel: max pooling before its stride."""
    return ndimage.maximum_filter(x, (1, 2, 2, 1), mode="wrap")


# %%
def half_moved(y):
    """y (n, H, W, C) moved to the right by half a pixel, by (5.10)."""
    turn = np.exp(-1j * np.pi * np.fft.fftfreq(y.shape[2]))[:, None]
    return np.fft.ifft(np.fft.fft(y, axis=2) * turn, axis=2).real


def error_and_variance(x, pool, setting):
    """The variance that pooling x (n, H, W, C) leaves, and the equivariance error: the mean squared difference between
    "move by one pixel, pool" and "pool, move by half a pixel" over that variance."""
    pooled, moved = pool(x, setting), pool(np.roll(x, 1, axis=2), setting)
    variance = np.var(pooled, axis=(1, 2)).mean()
    return np.mean((moved - half_moved(pooled)) ** 2) / variance, variance


# %%
crops = photos[:100, 1:31, 1:31]  # 30 pixels: half of it is odd
wrapped = np.pad(less_their_mean(crops), [(0, 0), (3, 3), (3, 3), (0, 0)], mode="wrap")
features = np.maximum(keras.ops.convert_to_numpy(keras.ops.conv(wrapped, learned_kernels)), 0)
inputs = {"images": crops, "feature maps": features}
inputs |= {f"maximum of {name}": maximum(x) for name, x in inputs.items()}
before = {name: np.array([error_and_variance(x, blur_first, k) for k in BLURS]) for name, x in inputs.items()}
after = {name: np.array([error_and_variance(x, blur_afterwards, s) for s in WIDTHS]) for name, x in inputs.items()}

# %% tags=["aside"]
# @title Draws figure 5.10
figure = plt.figure(figsize=(8.8, 3.6))
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.5])
crop = photo[None, 1:31, 1:31]
for row, (k, name) in zip(left.subplots(2, 3), {1: "stride", 3: "blur 3, stride"}.items()):
    one, two = blur_first(np.roll(crop, 1, axis=2), k), half_moved(blur_first(crop, k))
    for axis, image, title in zip(row, (one, two, 0.5 + one - two), ("move, pool", "pool, move ½", "difference")):
        draw(axis, image[0], title if k == 1 else "")
        axis.title.set_fontsize(9)
    row[0].set_ylabel(name, fontsize=9)
left.subplots_adjust(0.06, 0.02, 0.98, 0.9, wspace=0.06, hspace=0.06)
for axis, name in zip(right.subplots(1, 2, sharey=True), ("images", "feature maps")):
    for kind, colour, marker in ((name, 0, "o"), (f"maximum of {name}", 5, "s")):
        plain, style = before[kind][0, 1], {"color": plots.COLOURS[colour], "marker": marker, "markersize": 6}
        label = "max pooling" if "max" in kind else "stride"
        axis.plot(before[kind][:, 1] / plain, before[kind][:, 0], "-", label=f"{label}, blur before", **style)
        behind = np.concatenate([before[kind][:1], after[kind]])
        axis.plot(behind[:, 1] / plain, behind[:, 0], ":", mfc="white", label=f"{label}, blur after", **style)
        unblurred = inputs[kind][:, ::2]
        foreseen = shift_error(np.moveaxis(unblurred, 2, 0)) / (unblurred.size / 2) / plain  # 15 outputs of 30 pixels
        axis.plot(1, foreseen, "+", color="black", markersize=13, label="by (5.20)" if "max" in kind else None)
    axis.set(yscale="log", ylim=(5e-5, 0.3), xlabel="variance left (stride: 1)", title=name)
right.axes[0].set_ylabel("equivariance error")
right.axes[0].legend(fontsize=7, loc="lower left")
right.subplots_adjust(0.13, 0.16, 0.98, 0.9, wspace=0.08)
plt.show()

# %% [markdown]
# *Figure 5.10. Left: an image moved by a pixel and then pooled, against pooled and then moved by half a pixel. Right:
# error and variance for a hundred images and for their 24 feature maps; each line begins without a blur, at the right.
# The crosses are (5.20).*


# %%
def detail_kept(ways, plain):
    """Which of the ways, rows of (error, variance), leave less than an eighth of the plain stride's error and more than
    three quarters of its variance."""
    return (ways[:, 0] < plain[0] / 8) & (ways[:, 1] > 0.75 * plain[1])


# %%
claim(
    "5.4",
    "a blur of 3 before a stride of 2, or between the maximum and the stride of max pooling, leaves less than an "
    "eighth of the equivariance error and more than three quarters of the variance",
    all(detail_kept(ways[2:3], ways[0]).all() for ways in before.values()),
    control=any(detail_kept(after[name], ways[0]).any() for name, ways in before.items()),
)

# %% [markdown]
# A blur after the stride lowers the error too. But it cannot tell an alias from a true wave, and takes both. Azulay &
# Weiss (2019) show how often networks change their answer when the image moves by a pixel. Zhang (2019) put blurs
# before the strides of large networks, which became steadier and, in most cases, more accurate. You write that layer in
# exercise 5.5.
#
# ## A look inside: which frequencies does a network use?
#
# Train three small networks on 4,000 digits, and three on digits *without the lowest tenth* of their waves (the mean
# brightness always stays). Then remove waves from the test digits, the lowest first or the highest first, counted by
# number and by energy.


# %%
def mask_without(images, share, lowest, by_energy=False):
    """Which waves (H, W) of images (n, H, W) are kept where this share of them, or of their energy, is removed: the
    lowest, or else the highest. The mean stays."""
    energies = np.mean(np.abs(np.fft.fft2(images)) ** 2, axis=0).ravel()
    weights = energies if by_energy else np.ones(energies.size)
    order = np.argsort(radius(*images.shape[1:]).ravel(), kind="stable")[1:]
    order = order if lowest else order[::-1]
    removed = order[np.cumsum(weights[order]) <= share * weights[order].sum()]
    return ~np.isin(np.arange(weights.size), removed).reshape(images.shape[1:])


def accuracies(models, images, labels):
    """The accuracy of each model on images (n, 28, 28)."""
    return np.array([np.mean(predict(model, images[..., None]).argmax(axis=1) == labels) for model in models])


# %%
def train_classifier(images, labels):
    """A small CNN, trained on images (n, 28, 28)."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(12, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images[..., None], labels, batch_size=64, epochs=4, verbose=0)
    return model


# %%
train_digits = mnist.x_train[: budget(quick=4000, full=4000, least=500)].astype("float32") / 255
train_labels = mnist.y_train[: len(train_digits)]
without_low = keep(train_digits, mask_without(train_digits, 0.1, lowest=True))
on_whole = [train_classifier(train_digits, train_labels) for _ in range(3)]
on_high = [train_classifier(without_low, train_labels) for _ in range(3)]


# %% tags=["aside"]
# @title Draws figure 5.11
figure = plt.figure(figsize=(8.8, 3.6))
left, right = figure.subfigures(1, 2, width_ratios=[1, 2.3])
samples = [int(np.argmax(digit_labels == label)) for label in (4, 8)]
for column, lowest in zip(left.subplots(2, 2).T, (True, False)):
    for axis, image in zip(
        column, keep(digits[samples], mask_without(digits, lowest_share(digits), lowest, by_energy=True))
    ):
        draw(axis, image)
    column[0].set_title("lowest removed" if lowest else "highest removed", fontsize=8)
left.subplots_adjust(0.03, 0.1, 0.99, 0.85, wspace=0.06, hspace=0.06)
shares = [0, 0.1, 0.3, 0.5, 0.7, 0.8]
lines = {
    "whole digits; lowest removed": (on_whole, True),
    "whole digits; highest removed": (on_whole, False),
    "no lowest tenth; lowest removed": (on_high, True),
}
for axis, by_energy in zip(right.subplots(1, 2, sharey=True), (False, True)):
    curves = {}
    for name, (models, lowest) in lines.items():
        masks = [mask_without(digits, share, lowest, by_energy) for share in shares]
        curves[name] = np.transpose([accuracies(models, keep(digits, mask), digit_labels) for mask in masks])
    plots.draw_curves(axis, curves, f"share of the {'energy' if by_energy else 'waves'} removed", "", x=shares)
    axis.set(ylim=(0, 1.02))
    axis.get_legend().remove()
right.axes[0].set_ylabel("accuracy on 1,000 test digits")
right.axes[1].legend(fontsize=7, title="trained on; tested with", title_fontsize=7, loc="lower left")
right.subplots_adjust(0.1, 0.16, 0.98, 0.95, wspace=0.08)
plt.show()

# %% [markdown]
# *Figure 5.11. Left: digits without the lowest tenth of the waves, or the highest of the same energy. Right: the
# accuracy as waves are removed; each line is the mean of three networks, the band goes from the worst to the best.*


# %%
def more_from_high(models, kept):
    """How much more accuracy the models lose, on average, where only the waves of the mask `kept` are left than without
    the lowest tenth."""
    masks = mask_without(digits, 0.1, lowest=True), kept
    without_low, without_high = (accuracies(models, keep(digits, mask), digit_labels) for mask in masks)
    return float(np.mean(without_low - without_high))


# %%
same_energy = mask_without(digits, lowest_share(digits), lowest=False, by_energy=True)
same_number = mask_without(digits, 0.1, lowest=False)
claim(
    "5.5",
    "CNNs trained on 4,000 digits lose 0.1 more accuracy without the highest waves than without the lowest tenth, "
    "where both hold the same energy",
    more_from_high(on_whole, same_energy) > 0.1,
    control=more_from_high(on_whole, same_number) > 0.1,
)

# %% [markdown]
# By number, the lowest waves matter far more: without their tenth, most of the accuracy is gone, without the highest
# tenth nothing. But that tenth holds more than two thirds of the energy (claim 5.1). Without the highest waves of the
# same energy even more is lost: they leave a blob, the lowest leave an outline, which you can read too. (At smaller
# equal energies neither is always ahead.) And networks trained without the lowest tenth do nearly as well. What a
# network uses says as much about its training data as about networks.
#
# And first layers? Call a kernel band-pass if its response to grey light has its peak
# neither among the lowest frequencies ($\le0.05$ cycles per pixel) nor among the highest ($\ge0.35$). This band has
# 38 % of all frequencies: about as many random kernels pass by chance, and after training most. Edge detectors, found
# for the task? The gradient of a kernel is a sum of patches, each times an error signal (3.19). So a kernel gets little
# of a wave that the images lack, and images less their mean lack frequency 0 and have little of the highest. If that is
# all, blurred noise with labels at random will do.


# %%
def grey_responses(kernels):
    """Magnitude of the response of kernels (k, k, C, N) to grey light, at 33 × 33 frequencies from -1/2 to 1/2."""
    grid = np.meshgrid(*2 * [np.linspace(-0.5, 0.5, 33)], indexing="ij")
    return np.stack([np.abs(response(kernel, *grid)) for kernel in kernels.sum(axis=2).transpose(2, 0, 1)], axis=-1)


def peaks(kernels):
    """The frequency, in cycles per pixel, to which each kernel responds most: (N,)."""
    grid = np.hypot(*np.meshgrid(*2 * [np.linspace(-0.5, 0.5, 33)])).ravel()
    return grid[grey_responses(kernels).reshape(-1, kernels.shape[-1]).argmax(axis=0)]


def band_pass_share(kernels):
    return float(np.mean((peaks(kernels) > 0.05) & (peaks(kernels) < 0.35)))


# %%
noise_images = ndimage.gaussian_filter(rng.normal(size=x_train.shape).astype("float32"), (0, 1, 1, 0), mode="wrap")
noise_images = less_their_mean(noise_images) * (x_train.std() / noise_images.std())
_, from_noise = train_first_layer(noise_images, rng.permutation(y_train))
_, from_shuffled = train_first_layer(shuffle_pixels(x_train), y_train)

# %% tags=["aside"]
# @title Draws figure 5.12
order = np.argsort(peaks(learned_kernels), kind="stable")[::2]
answers = grey_responses(learned_kernels)
figure, axes = plt.subplots(2, 12, figsize=(9, 2))
for (above, below), m in zip(axes.T, order):
    kernel = learned_kernels[..., m]
    draw(above, 0.5 + kernel / (2 * np.abs(kernel).max()), f"{peaks(learned_kernels)[m]:.2f}")
    draw(below, answers[..., m] / answers[..., m].max())
axes[0, 0].set_ylabel("kernel")
axes[1, 0].set_ylabel("response")
figure.subplots_adjust(0.03, 0.01, 0.99, 0.88, wspace=0.08, hspace=0.08)
plt.show()
trainings = {
    "before training": random_kernels,
    "after training": learned_kernels,
    "after, on blurred noise": from_noise,
    "after, pixels shuffled": from_shuffled,
}
figure, axis = plt.subplots(figsize=(6.5, 1.7))
shares = {name: band_pass_share(kernels) for name, kernels in trainings.items()}
plots.draw_bars(axis, shares, "share of band-pass kernels", highlight=["after training"])
axis.set(xlim=(0, 1))
plt.show()

# %% [markdown]
# *Figure 5.12. Above: every second learned kernel, with the frequency to which it responds most, and its response to
# grey light from black (none) to white, frequency 0 in the middle. Below: how many kernels are band-pass.*

# %%
claim(
    "5.6",
    "after training on images less their mean, or on blurred noise with labels at random, more than 0.65 of the first "
    "layer's kernels are band-pass",
    min(band_pass_share(learned_kernels), band_pass_share(from_noise)) > 0.65,
    control=band_pass_share(from_shuffled) > 0.65,
)

# %% [markdown]
# It does: band-pass kernels need no edges, only inputs without the other waves. Some have two clean spots opposite each
# other, waves of one direction, like Sobel; most do not.
#
# ## Debug it
#
# "Convolution by FFT is one line", says the web. Try an image, and a single white pixel near a corner.


# %%
def one_liner(image, kernel):
    return np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(kernel, image.shape)).real


# %% tags=["aside"]
# @title Draws figure 5.13
disc = (np.hypot(*np.mgrid[-3:4, -3:4]) < 3.2).astype(float)
spot = np.zeros((32, 32))
spot[30, 5] = 1
figure, axes = plt.subplots(2, 3, figsize=(6, 4.2))
for row, image, kernel in zip(axes, (photo.mean(axis=-1), spot), (disc / disc.sum(), disc)):
    draw(row[0], image, "input")
    draw(row[1], signal.convolve2d(image, kernel, mode="same"), "convolved, same size")
    draw(row[2], one_liner(image, kernel), "the one-liner")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.13. Above: an image, blurred by a disc. Below: a white pixel.*
#
# What are the two mistakes? Read them off the lower row before you go on.
#
# The disc stands too far down and to the right: the origin of the kernel is its first pixel, not its middle. And what
# ought to leave the image comes in on the other side, since nothing was padded. Exercise 5.3 avoids both. So send in a
# single white pixel, *so near the edge* that part of the answer leaves.
#
# ## This run

# %%
record(
    fft_speed_up_at_41=over_keras[41],
    energy_slope=slope(grey),
    phase_correlation=swapped_correlations(grey)[0],
    phase_correlation_of_noise=swapped_correlations(noise)[0],
    error_of_stride=before["images"][0, 0],
    error_with_blur_3=before["images"][2, 0],
    lost_without_lowest_tenth=-more_from_high(on_whole, same_number),
    lost_more_at_equal_energy=more_from_high(on_whole, same_energy),
    band_pass_share=band_pass_share(learned_kernels),
    band_pass_share_from_noise=band_pass_share(from_noise),
)

# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use.
#
# **Exercise 5.1 ★** In films the wheels of a coach turn slowly, or backwards. A camera is a stride in time.


# %%
# Exercise 5.1
def filmed_turns(spokes, turns, frames):
    """The revolutions per second that a filmed wheel seems to make: the fewest that explain
    the film.

    spokes: number of spokes, all alike, at equal angles. turns: true revolutions per second,
    negative for backwards. frames: images per second. Returns a float; where forwards and
    backwards explain it equally well, the negative.
    Example: filmed_turns(1, 25, 24) is 1.0, and filmed_turns(1, 23, 24) is -1.0.
    """
    ### BEGIN SOLUTION
    cycles = turns * spokes / frames  # of the pattern, which repeats at every spoke, per image
    return float(alias(cycles, 1) * frames / spokes)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("5.1")
ex.hints(
    "How far does the pattern of spokes move from one image of the film to the next?",
    "Moved by a whole spoke, the wheel looks the same. Count in spokes per image, and look at (5.17).",
    "Find the alias in spokes per image, at stride 1; then turn it back into revolutions per second.",
)
ex.equivalent(
    "'alias(1, cycles)' for 'alias(cycles, 1)' in 'return float(alias(cycles, 1) * frames / spokes)'",
    "stride and frequency are only multiplied",
)


@ex.cases
def _(rng):
    yield from [(1, 25, 24), (1, 23, 24), (4, 6, 24), (1, 12, 24), (1, -12, 24), (4, 3, 24), (4, -9, 24), (8, 0, 25)]
    yield from [(1, 0.5, 24), (12, -0.25, 30), (5, 100.5, 25), (5, 3, 24), (5, 2.2, 24), (5, -2.2, 24), (7, -1.5, 24)]
    for _ in range(12):
        spokes, frames = int(rng.integers(1, 13)), int(rng.choice([24, 25, 30]))
        # not near a tie, where the last digit of a float would decide
        cycles = int(rng.integers(-6, 7)) + float(rng.uniform(-0.49, 0.49))
        yield spokes, round(cycles * frames / spokes, 3), frames


@ex.oracle
def _(spokes, turns, frames):
    # Whatever differs by a whole number of spokes per image looks alike: try many, keep the slowest.
    looks_alike = turns + np.arange(-2000, 2001) * frames / spokes
    slowest = np.abs(looks_alike).min()
    return float(looks_alike[np.abs(looks_alike) <= slowest + 1e-9].min())


def _fold(cycles):
    return cycles - np.floor(cycles + 0.5)


@ex.wrong
def rounded(spokes, turns, frames):
    """Right but for ties: `round` takes a half to the even number, here it is always to go up."""
    cycles = turns * spokes / frames
    return float((cycles - np.round(cycles)) * frames / spokes)


@ex.wrong
def forwards_at_a_tie(spokes, turns, frames):
    """Right but for ties: where forwards and backwards explain the film equally well, the negative is asked for."""
    cycles = turns * spokes / frames
    return float((cycles - np.ceil(cycles - 0.5)) * frames / spokes)


@ex.wrong
def one_spoke(spokes, turns, frames):
    """Right for a single spoke. With more, the wheel looks the same again after less than a whole turn."""
    return float(_fold(turns / frames) * frames)


@ex.wrong
def always_forwards(spokes, turns, frames):
    """You keep the remainder, which is never negative. A wheel that turns most of a spoke ahead seems to turn back."""
    return float((turns * spokes / frames % 1) * frames / spokes)


@ex.wrong
def per_image(spokes, turns, frames):
    """That is how far the pattern seems to move per image, in spokes; revolutions per second are asked for."""
    return float(_fold(turns * spokes / frames))


@ex.wrong
def without_direction(spokes, turns, frames):
    """The speed is right, but it has a sign: the wheel may seem to turn backwards."""
    return float(abs(_fold(turns * spokes / frames)) * frames / spokes)


@ex.wrong
def spokes_per_second(spokes, turns, frames):
    """That is how many spokes seem to pass in a second. A revolution is as many spokes as the wheel has."""
    return float(_fold(turns * spokes / frames) * frames)


@ex.wrong
def cut_towards_zero(spokes, turns, frames):
    """Right for wheels that turn forwards. `int` and `fmod` cut towards 0; for negative numbers the whole number below
    is meant, as `np.floor` gives."""
    cycles = turns * spokes / frames
    return float((cycles - np.trunc(cycles + 0.5)) * frames / spokes)


@ex.wrong
def silenced(spokes, turns, frames):
    """What is too fast for the camera does not vanish: it shows as something slower."""
    return float(turns if abs(turns * spokes / frames) <= 0.5 else 0.0)


@ex.right
def by_stepping(spokes, turns, frames):
    step, half = frames / spokes, frames / spokes / 2
    while turns >= half:
        turns -= step
    while turns < -half:
        turns += step
    return float(turns)


# %%
check("5.1", filmed_turns)

# %% [markdown]
# **Exercise 5.2 ★★** The response of a whole stack of convolutions, dilated ones among them, without running it.


# %%
# Exercise 5.2
def stack_response(kernels, dilations, xi):
    """The frequency response of several cross-correlations (3.1) of a row, one after the
    other, without stride or bias.

    kernels: list of rows of numbers, each of odd length; their origin is their middle.
    dilations: list of whole numbers >= 1, as many: the numbers of a kernel stand so many
    pixels apart. xi: cycles per pixel. Returns a complex number.
    Raises ValueError where a kernel has an even length, or the two lists differ in length.
    Example: stack_response([[1, 0, -1]], [1], 0.25) is -2j, and with the dilation 2 it is 0.
    """
    ### BEGIN SOLUTION
    if len(kernels) != len(dilations):
        raise ValueError(f"there are {len(kernels)} kernels and {len(dilations)} dilations")
    product = 1
    for kernel, dilation in zip(kernels, dilations):
        if len(kernel) % 2 == 0:
            raise ValueError(f"axis 0: a kernel's length must be odd, and it is {len(kernel)}")
        product = product * response(np.array([kernel]), 0, dilation * xi)
    return complex(product)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import freqz

ex = exercise("5.2")
ex.hints(
    "What does one kernel do to a wave? And the next kernel to what comes out?",
    "`response` takes kernels of two axes, so make the row one of them. Which frequency does a dilated kernel meet?",
    "The responses are multiplied. With the dilation d, each is taken at d times the frequency.",
)
ex.equivalent(
    "'1' for '0' in 'product = product * response(np.array([kernel]), 0, dilat...'",
    "a kernel of a single row answers alike at every frequency downwards",
)
ex.equivalent(
    "'-1' for '0' in 'product = product * response(np.array([kernel]), 0, dilat...'",
    "a kernel of a single row answers alike at every frequency downwards",
)


@ex.cases
def _(rng):
    yield [[1, 0, -1]], [1], 0.25
    yield [[1, 0, -1]], [2], 0.25
    yield [], [], 0.3
    yield [[0.5], [1, 2, 1]], [3, 1], 0.5
    yield [[1, 2, 4], [1, 0, 3, 0, 1]], [2, 3], 0.0
    yield [[1, 2, 4], [3, 1, 2]], [1, 2], 0.75
    yield [[1.0, 2.0]], [1], 0.1
    yield [[1.0], [1.0, 2.0]], [1, 1], 0.1
    yield [[1, 2, 1], [1], [1, 1, 1, 1]], [1, 2, 1], 0.2
    yield [[1.0, 2.0, 1.0], [1.0]], [1], 0.1
    yield [[1.0]], [1, 2], 0.1
    yield [], [1], 0.1
    for _ in range(12):
        depth = int(rng.integers(1, 4))
        rows = [[round(float(w), 2) for w in rng.normal(size=2 * int(rng.integers(0, 3)) + 1)] for _ in range(depth)]
        yield (
            rows,
            [int(d) for d in rng.integers(1, 4, depth)],
            round(float(rng.uniform(-0.5, 0.5)), 3),
        )


@ex.oracle
def _(kernels, dilations, xi):
    if len(kernels) != len(dilations) or any(len(kernel) % 2 == 0 for kernel in kernels):
        raise ValueError("lengths")
    whole = np.ones(1)  # one kernel that does what all of them do; freqz gives the response of its convolution
    for kernel, dilation in zip(kernels, dilations):
        spread = np.zeros((len(kernel) - 1) * dilation + 1)
        spread[::dilation] = kernel
        whole = np.convolve(whole, spread)
    angle = 2 * np.pi * xi
    found = np.conj(freqz(whole, worN=[angle])[1][0]) * np.exp(-1j * angle * (len(whole) // 2))
    return complex(np.round(found, 12) + 0)  # a 0 is shown as 0


def _one(kernel, xi, middle, sign=1):
    at = np.arange(len(kernel)) - (len(kernel) // 2 if middle else 0)
    return np.sum(np.asarray(kernel) * np.exp(sign * 2j * np.pi * xi * at))


def _refuse(kernels, dilations):
    if len(kernels) != len(dilations) or any(len(kernel) % 2 == 0 for kernel in kernels):
        raise ValueError


def _product(kernels, dilations, factor):
    _refuse(kernels, dilations)
    return complex(np.prod([factor(kernel, dilation) for kernel, dilation in zip(kernels, dilations)]))


@ex.wrong
def only_the_first(kernels, dilations, xi):
    """The numbers are right; but every kernel must have an odd length, not the first one only."""
    if len(kernels) != len(dilations) or kernels and len(kernels[0]) % 2 == 0:
        raise ValueError
    return complex(np.prod([_one(kernel, d * xi, True) for kernel, d in zip(kernels, dilations)]))


@ex.wrong
def lists_that_differ(kernels, dilations, xi):
    """The numbers are right; but two lists of different lengths must be refused: `zip` stops at the shorter one."""
    if any(len(kernel) % 2 == 0 for kernel in kernels):
        raise ValueError
    return complex(np.prod([_one(kernel, d * xi, True) for kernel, d in zip(kernels, dilations)]))


@ex.wrong
def added(kernels, dilations, xi):
    """One layer after the other multiplies the wave once more; you add the responses up."""
    _refuse(kernels, dilations)
    return complex(sum(_one(kernel, d * xi, True) for kernel, d in zip(kernels, dilations)))


@ex.wrong
def without_dilation(kernels, dilations, xi):
    """Right where all dilations are 1. A dilated kernel meets the wave at every d-th pixel."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, xi, True))


@ex.wrong
def divided(kernels, dilations, xi):
    """Between two numbers of a dilated kernel the wave goes on d times as far, not a d-th of the way."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, xi / d, True))


@ex.wrong
def from_the_start(kernels, dilations, xi):
    """The size of the response is right and its angle is not: the origin of a kernel is its middle."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, d * xi, False))


@ex.wrong
def conjugated(kernels, dilations, xi):
    """That is the response of the turned kernels: the sign in the exponent is that of cross-correlation, (5.2)."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, d * xi, True, -1))


@ex.wrong
def size_only(kernels, dilations, xi):
    """That is the size of the response. A response has an angle too, and for symmetric kernels at least a sign."""
    return _product(kernels, dilations, lambda kernel, d: abs(_one(kernel, d * xi, True)))


@ex.wrong
def never_refuses(kernels, dilations, xi):
    """The numbers are right; but refuse, with a ValueError, kernels of even length and lists of different lengths."""
    return complex(np.prod([_one(kernel, d * xi, True) for kernel, d in zip(kernels, dilations)]))


@ex.right
def by_running_it(kernels, dilations, xi):
    _refuse(kernels, dilations)
    reach = sum(len(kernel) // 2 * d for kernel, d in zip(kernels, dilations))
    row = np.exp(2j * np.pi * xi * np.arange(-reach, reach + 1))
    for kernel, d in zip(kernels, dilations):
        size = len(row) - (len(kernel) - 1) * d
        row = sum(weight * row[i * d : i * d + size] for i, weight in enumerate(kernel))
    return complex(row.item())


# %%
check("5.2", stack_response)

# %% [markdown]
# **Exercise 5.3 ★★** Cross-correlation by FFT, with the right padding and the right cut.


# %%
# Exercise 5.3
def fft_correlate(image, kernel, mode):
    """Cross-correlation (3.1) of an image, by FFT.

    image (H, W), kernel (kh, kw): arrays of floats. mode: "valid", only windows that lie in
    the image: an array (H - kh + 1, W - kw + 1); "full", every window that touches it, zeros
    outside: (H + kh - 1, W + kw - 1); "same", as Conv2D of stride 1 pads: (H, W), with
    (k - 1) // 2 zeros before each axis and the other k - 1 - (k - 1) // 2 after it.
    Raises ValueError for another mode, and in mode "valid" where the kernel is larger than the
    image along an axis.
    Example: for image [[1, 2, 3]] and kernel [[0, 1]], "valid" gives [[2, 3]], "same" gives
    [[2, 3, 0]] and "full" gives [[1, 2, 3, 0]].
    """
    ### BEGIN SOLUTION
    if mode not in ("valid", "same", "full"):
        raise ValueError(f'mode must be "valid", "same" or "full", and it is {mode!r}')
    whole_of_it = full_convolve(image, kernel[::-1, ::-1])
    if mode == "full":
        return whole_of_it
    (height, width), (kh, kw) = image.shape, kernel.shape
    if mode == "same":
        return whole_of_it[kh // 2 : kh // 2 + height, kw // 2 : kw // 2 + width]
    must_fit(image, kernel)
    return whole_of_it[kh - 1 : height, kw - 1 : width]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import correlate2d

ex = exercise("5.3")
ex.hints(
    'Begin with "full": which function of the lesson gives every position of a kernel, and which way round is it?',
    'A kernel turned by 180° makes cross-correlation of convolution. The other two modes are parts of "full".',
    '"full" begins k - 1 windows before the image. "valid" begins k - 1 later, "same" as many as it pads fewer.',
)
ex.equivalent(
    "'full_convolve(kernel[::-1, ::-1], image)' for 'full_convolve(image, kernel[::-1, ::-1])' "
    "in 'whole_of_it = full_convolve(image, kernel[::-1, ::-1])'",
    "convolution with zeros outside is commutative",
)
ex.equivalent(
    "by_rolling: '(kh - 1) / 2' for '(kh - 1) // 2' in 'return np.roll(around, ((kh - 1) // 2, (kw - 1) // 2), ax...'",
    "np.roll truncates",
)
ex.equivalent(
    "by_rolling: '(kw - 1) / 2' for '(kw - 1) // 2' in 'return np.roll(around, ((kh - 1) // 2, (kw - 1) // 2), ax...'",
    "np.roll truncates",
)


@ex.cases
def _(rng):
    def numbers(*shape):
        return rng.integers(-9, 10, shape) / 4

    row = np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 1.0]])
    for mode in ("valid", "same", "full", "wrap", "Valid", ""):
        yield *row, mode
    yield numbers(4, 5), numbers(5, 2), "valid"
    yield numbers(4, 5), numbers(5, 5), "valid"
    yield numbers(4, 5), numbers(2, 6), "valid"
    yield numbers(4, 5), numbers(4, 6), "valid"
    yield numbers(4, 5), numbers(4, 5), "valid"
    yield numbers(2, 3), numbers(3, 5), "valid"
    yield numbers(2, 2), numbers(3, 3), "valid"
    yield numbers(3, 2), numbers(5, 4), "full"
    yield numbers(3, 2), numbers(4, 5), "same"
    yield numbers(4, 5), numbers(2, 4), "same"
    yield numbers(4, 5), numbers(4, 1), "same"
    yield numbers(5, 6), numbers(5, 4), "same"
    yield numbers(6, 5), numbers(3, 5), "same"
    for count in range(12):
        kernel = rng.integers(1, 6, 2)
        yield numbers(*(kernel + rng.integers(0, 4, 2))), numbers(*kernel), ["valid", "full", "same"][count % 3]


@ex.oracle
def _(image, kernel, mode):
    if mode not in ("valid", "same", "full") or mode == "valid" and np.any(np.greater(kernel.shape, image.shape)):
        raise ValueError("mode or size")
    if mode == "same":
        sides = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in kernel.shape]
        return correlate2d(np.pad(image, sides), kernel, mode="valid")
    return correlate2d(image, kernel, mode=mode)


def _refuse(image, kernel, mode):
    if mode not in ("valid", "same", "full") or mode == "valid" and np.any(np.greater(kernel.shape, image.shape)):
        raise ValueError


def _wrapped(image, kernel, shape):
    return np.fft.ifft2(np.fft.fft2(image, shape) * np.conj(np.fft.fft2(kernel, shape))).real


def _lengths(image, kernel):
    return [n + k - 1 for n, k in zip(image.shape, kernel.shape)]


def _cut(full, image, kernel, mode):
    if mode == "full":
        return full
    first = [k // 2 if mode == "same" else k - 1 for k in kernel.shape]
    size = [n if mode == "same" else n - k + 1 for n, k in zip(image.shape, kernel.shape)]
    return full[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]


@ex.wrong
def larger_along_both(image, kernel, mode):
    """For "valid" a kernel must be refused where it is larger along one axis; you wait until it is along both."""
    if mode not in ("valid", "same", "full") or mode == "valid" and np.all(np.greater(kernel.shape, image.shape)):
        raise ValueError
    return _cut(correlate2d(image, kernel, mode="full"), image, kernel, mode)


@ex.wrong
def always_fits(image, kernel, mode):
    """Right where the kernel fits. A larger one is to be refused in mode "valid" only; the others have room for it."""
    _refuse(image, kernel, mode)
    if np.any(np.greater(kernel.shape, image.shape)):
        raise ValueError
    return _cut(correlate2d(image, kernel, mode="full"), image, kernel, mode)


@ex.wrong
def unpadded(image, kernel, mode):
    """ "valid" is right. In the other modes, what falls off one side comes in again on the other: pad to n + k - 1."""
    _refuse(image, kernel, mode)
    around = _wrapped(image, kernel, [max(n, k) for n, k in zip(image.shape, kernel.shape)])
    rows, columns = _lengths(image, kernel)
    full = np.pad(around, [(k - 1, k - 1) for k in kernel.shape], mode="wrap")[:rows, :columns]
    return _cut(full, image, kernel, mode)


@ex.wrong
def not_turned(image, kernel, mode):
    """The kernel is turned by 180°: the plain product of two transforms is convolution (5.11), not (5.12)."""
    _refuse(image, kernel, mode)
    shape = _lengths(image, kernel)
    return _cut(np.fft.ifft2(np.fft.fft2(image, shape) * np.fft.fft2(kernel, shape)).real, image, kernel, mode)


@ex.wrong
def not_rolled(image, kernel, mode):
    """ "valid" is right. In the other modes, the windows that begin before the image come first; after a conjugate they
    stand at the far end of the array."""
    _refuse(image, kernel, mode)
    around = _wrapped(image, kernel, _lengths(image, kernel))
    sizes = {"full": around.shape, "same": image.shape}
    rows, columns = sizes.get(mode, [n - k + 1 for n, k in zip(image.shape, kernel.shape)])
    return around[:rows, :columns]


@ex.wrong
def cut_at_the_corner(image, kernel, mode):
    """ "full" is right. For the others cut at both ends: the first windows of "full" begin before the image."""
    _refuse(image, kernel, mode)
    full = correlate2d(image, kernel, mode="full")
    rows, columns = _cut(full, image, kernel, mode).shape
    return full[:rows, :columns]


@ex.wrong
def not_cut(image, kernel, mode):
    """You return every window in all modes; "valid" and "same" want only some of them."""
    _refuse(image, kernel, mode)
    return correlate2d(image, kernel, mode="full")


@ex.wrong
def more_before(image, kernel, mode):
    """Right but for "same" with kernels of an even size: the odd zero goes after the image, as in (3.5)."""
    _refuse(image, kernel, mode)
    if mode == "same":
        sides = [(k // 2, k - 1 - k // 2) for k in kernel.shape]
        return correlate2d(np.pad(image, sides), kernel, mode="valid")
    return correlate2d(image, kernel, mode=mode)


@ex.wrong
def absolute(image, kernel, mode):
    """Take the real part, not the absolute value: a cross-correlation may be negative."""
    _refuse(image, kernel, mode)
    return np.abs(_cut(correlate2d(image, kernel, mode="full"), image, kernel, mode))


@ex.wrong
def any_mode(image, kernel, mode):
    """What you return is right; but another mode must raise ValueError."""
    if mode == "valid" and np.any(np.greater(kernel.shape, image.shape)):
        raise ValueError
    return _cut(correlate2d(image, kernel, mode="full"), image, kernel, mode)


@ex.wrong
def any_size(image, kernel, mode):
    """What you return is right; but for "valid" a kernel that is larger than the image, along either axis, must raise
    ValueError."""
    if mode not in ("valid", "same", "full"):
        raise ValueError
    return _cut(correlate2d(image, kernel, mode="full"), image, kernel, mode)


@ex.right
def by_rolling(image, kernel, mode):
    _refuse(image, kernel, mode)
    (height, width), (kh, kw) = image.shape, kernel.shape
    around = _wrapped(image, kernel, (height + kh, width + kw))
    if mode == "valid":
        return around[: height - kh + 1, : width - kw + 1]
    if mode == "same":
        return np.roll(around, ((kh - 1) // 2, (kw - 1) // 2), axis=(0, 1))[:height, :width]
    return np.roll(around, (kh - 1, kw - 1), axis=(0, 1))[:-1, :-1]


# %%
check("5.3", fft_correlate)

# %% [markdown]
# **Exercise 5.4 ★★** A hybrid image shows one image near by and another from afar (Oliva et al., 2006).


# %%
# Exercise 5.4
def hybrid(near, far, sigma):
    """The fine detail of one image upon the large shapes of another.

    near, far (H, W) or (H, W, C), of one shape: arrays of floats, each channel by itself.
    sigma: in pixels, > 0. Of the wave (xi_u, xi_v), both in cycles per pixel, the output takes
    the share exp(-2 pi^2 sigma^2 (xi_u^2 + xi_v^2)) from `far`, and the rest from `near`.
    Returns an array of floats, the shape of the images.
    Raises ValueError where the two shapes differ, or have neither 2 nor 3 axes.
    Example: hybrid(image, image, 2.0) is the image. Where `near` is 0, the output is `far`
    after a Gaussian blur; where `far` is 0, it is `near` less its own blur.
    """
    ### BEGIN SOLUTION
    if near.shape != far.shape or near.ndim not in (2, 3):
        raise ValueError(f"near and far must have one shape of 2 or 3 axes; they have {near.shape} and {far.shape}")
    share = np.exp(-2 * (np.pi * sigma * radius(*near.shape[:2])) ** 2)
    share = share if near.ndim == 2 else share[..., None]
    spectrum, other = (np.fft.fft2(image, axes=(0, 1)) for image in (near, far))
    return np.fft.ifft2((1 - share) * spectrum + share * other, axes=(0, 1)).real
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.ndimage import fourier_gaussian

ex = exercise("5.4")
ex.hints(
    "Mix the two spectra, wave by wave, and transform back. Which index has which frequency?",
    "`radius` knows the frequency of each index. Of a colour image the first two axes are transformed, not the last.",
    "Make the shares of `far` from the frequencies, give them a last axis for colour; `near` has 1 less the share.",
)


@ex.cases
def _(rng):
    def numbers(*shape):
        return rng.integers(-9, 10, shape).astype(float)

    def two(*shape):
        return numbers(*shape), numbers(*shape)

    yield *two(6, 6), 1.0
    yield numbers(6, 9), np.zeros((6, 9)), 0.5
    yield np.zeros((9, 6)), numbers(9, 6), 0.5
    yield *two(8, 4), 0.8
    yield *two(4, 8, 2), 0.6
    yield *two(5, 7, 1), 1.5
    yield *two(5, 6, 3), 0.4
    yield *two(1, 9), 0.7
    yield *two(3, 3), 5.0
    yield numbers(4, 4), numbers(4, 1), 1.0
    yield numbers(1, 4), numbers(4, 4), 1.0
    yield numbers(1, 4), numbers(4, 1), 1.0
    yield numbers(4, 4, 3), numbers(4, 4, 1), 1.0
    yield numbers(4, 4), numbers(4, 4, 4), 1.0
    yield *two(7), 1.0
    yield *two(4, 4, 2, 2), 1.0
    yield *two(1, 4, 4, 3), 1.0
    for count in range(10):
        shape = (*rng.integers(4, 9, 2), *([2] if count % 2 else []))
        yield *two(*shape), round(float(rng.uniform(0.3, 1.5)), 2)


@ex.oracle
def _(near, far, sigma):
    if near.shape != far.shape or near.ndim not in (2, 3):
        raise ValueError("shapes")
    blurred = far - near
    # Along each axis a matrix of cosines, and no FFT: the share of a slanting wave is the product of two.
    for axis in (0, 1):
        n = near.shape[axis]
        q = np.arange(n)
        q = np.minimum(q, n - q)
        turns = np.subtract.outer(np.arange(n), np.arange(n)) / n
        weights = np.exp(-2 * (np.pi * sigma * q / n) ** 2)
        matrix = (weights * np.cos(2 * np.pi * turns[..., None] * q)).mean(axis=-1)
        blurred = np.moveaxis(np.tensordot(matrix, blurred, axes=(1, axis)), 0, axis)
    return near + blurred


def _refuse(near, far):
    if near.shape != far.shape or near.ndim not in (2, 3):
        raise ValueError


def _share(shape, sigma, factor=2.0):
    down, right = (np.fft.fftfreq(n) for n in shape[:2])
    return np.exp(-factor * (np.pi * sigma) ** 2 * (down[:, None] ** 2 + right**2))


def _mixed(near, far, share, rest=None, axes=(0, 1)):
    share, rest = (one if near.ndim == 2 else one[..., None] for one in (share, 1 - share if rest is None else rest))
    return np.fft.ifft2(rest * np.fft.fft2(near, axes=axes) + share * np.fft.fft2(far, axes=axes), axes=axes).real


@ex.wrong
def exchanged(near, far, sigma):
    """Right where both images are the same. You take the large shapes of `near`, and the fine detail of `far`."""
    _refuse(near, far)
    return _mixed(far, near, _share(near.shape, sigma))


@ex.wrong
def last_axes(near, far, sigma):
    """Right for grey images. fft2 transforms the last two axes unless told otherwise; the last one is channels."""
    _refuse(near, far)
    return _mixed(near, far, _share(near.shape, sigma), axes=(-2, -1))


@ex.wrong
def no_negative_frequencies(near, far, sigma):
    """Indices beyond the middle are negative frequencies: q and q - n are the same wave, so q = n - 1 is low."""
    _refuse(near, far)
    down, right = (np.arange(n) / n for n in near.shape[:2])
    return _mixed(near, far, np.exp(-2 * (np.pi * sigma) ** 2 * (down[:, None] ** 2 + right**2)))


@ex.wrong
def not_shifted_back(near, far, sigma):
    """Your shares have frequency 0 in the middle, and fft2 puts it at index 0: shift one of the two."""
    _refuse(near, far)
    return _mixed(near, far, np.fft.fftshift(_share(near.shape, sigma)))


@ex.wrong
def one_size(near, far, sigma):
    """Right for square images. An axis with n pixels has the frequencies q / n, its own n."""
    _refuse(near, far)
    size = near.shape[0]
    down, right = (np.fft.fftfreq(n) * n / size for n in near.shape[:2])
    return _mixed(near, far, np.exp(-2 * (np.pi * sigma) ** 2 * (down[:, None] ** 2 + right**2)))


@ex.wrong
def width_of_the_response(near, far, sigma):
    """You make sigma the width of the response. It is that of the kernel, and the wider it is, the fewer waves pass."""
    _refuse(near, far)
    return _mixed(near, far, np.exp(-(np.hypot(*np.ix_(*map(np.fft.fftfreq, near.shape[:2]))) ** 2) / (2 * sigma**2)))


@ex.wrong
def not_an_angle(near, far, sigma):
    """The frequency is in cycles: pi stands in the exponent too, squared."""
    _refuse(near, far)
    return _mixed(near, far, _share(near.shape, sigma / np.pi))


@ex.wrong
def pi_not_squared(near, far, sigma):
    """pi is to be squared in the exponent, as sigma and the frequencies are."""
    _refuse(near, far)
    return _mixed(near, far, _share(near.shape, sigma / np.sqrt(np.pi)))


@ex.wrong
def both_whole(near, far, sigma):
    """`near` keeps its large shapes as well: of each wave it gives only what `far` does not."""
    _refuse(near, far)
    share = _share(near.shape, sigma)
    return _mixed(near, far, share, np.ones_like(share))


@ex.wrong
def far_whole(near, far, sigma):
    """`far` keeps its fine detail as well: of each wave it gives its share only."""
    _refuse(near, far)
    share = _share(near.shape, sigma)
    return _mixed(near, far, np.ones_like(share), 1 - share)


@ex.wrong
def halves(near, far, sigma):
    """Right up to a factor of 2: the two shares of a wave add up to 1, so there is no mean to take."""
    _refuse(near, far)
    return _mixed(near, far, _share(near.shape, sigma)) / 2


@ex.wrong
def absolute(near, far, sigma):
    """Take the real part: the absolute value makes all negative pixels positive."""
    _refuse(near, far)
    return np.abs(_mixed(near, far, _share(near.shape, sigma)))


@ex.wrong
def cut_off(near, far, sigma):
    """You cut values off at 0 and 1; the output may lie outside."""
    _refuse(near, far)
    return np.clip(_mixed(near, far, _share(near.shape, sigma)), 0, 1)


@ex.wrong
def refuses_colour(near, far, sigma):
    """Grey images come out right. One with channels has three axes, and is to be mixed channel by channel."""
    if near.shape != far.shape or near.ndim != 2:
        raise ValueError
    return _mixed(near, far, _share(near.shape, sigma))


@ex.wrong
def any_axes(near, far, sigma):
    """Images come out right; but what has one axis, or four, must be refused with a ValueError."""
    if near.shape != far.shape:
        raise ValueError
    return _mixed(near, far, _share(near.shape, sigma)) if near.ndim in (2, 3) else near


@ex.wrong
def any_shape(near, far, sigma):
    """Images of one shape come out right; two shapes must be refused with a ValueError, where NumPy repeats pixels."""
    if near.ndim not in (2, 3):
        raise ValueError
    grey = near.ndim == far.ndim == 2
    near, far = np.broadcast_arrays(*(x if x.ndim == 3 else x[..., None] for x in (near, far)))
    mixed = _mixed(near, far, _share(near.shape, sigma))
    return mixed[..., 0] if grey else mixed


@ex.right
def by_scipy(near, far, sigma):
    if near.shape != far.shape:
        raise ValueError("two shapes")
    if near.ndim not in (2, 3):
        raise ValueError("axes")
    widths = (sigma, sigma, 0)[: near.ndim]
    spectrum = fourier_gaussian(np.fft.fftn(far - near, axes=(0, 1)), widths)
    return near + np.fft.ifftn(spectrum, axes=(0, 1)).real


# %%
check("5.4", hybrid)

# %% [markdown]
# **Exercise 5.5 ★★★** Anti-aliased pooling (Zhang, 2019) as a Keras layer.


# %%
# Exercise 5.5
class BlurPool2D(keras.layers.Layer):
    """Anti-aliased pooling: each channel is blurred by the weights 1/4, 1/2, 1/4 along height and
    width, then every stride-th row and column is kept, from the first on.

    BlurPool2D(stride=2): a whole number. Raises ValueError on making it where stride is below 1.
    It has no weights.
    Around the image lies its mirror image, without the edge pixel itself twice: a row a, b, c
    goes on b, a, b, c, b.
    Called on images (batch, H, W, C), with H and W >= 2: a tensor (batch, ceil(H / stride),
    ceil(W / stride), C). It is to work in a `keras.Model` too. `get_config` gives what that of
    every layer gives, and "stride" besides.
    Example: at stride 1, rows of 0, 4, 0, 0 become rows of 2, 2, 1, 0.
    """

    def __init__(self, stride=2, **options):
        super().__init__(**options)
        ### BEGIN SOLUTION
        if stride < 1:
            raise ValueError(f"the stride must be at least 1, and it is {stride}")
        self.stride = stride
        ### END SOLUTION

    def call(self, images):
        ### BEGIN SOLUTION
        x = keras.ops.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
        x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
        x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
        return x[:, :: self.stride, :: self.stride]
        ### END SOLUTION

    def get_config(self):
        ### BEGIN SOLUTION
        return {**super().get_config(), "stride": self.stride}
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from scipy.ndimage import correlate1d

ex = exercise("5.5", rtol=1e-4, atol=1e-4)
ex.hints(
    "`__init__` keeps the stride, `call` computes with `keras.ops`. There are no weights, so no `build`.",
    'Pad height and width by one pixel with mode="reflect"; then a blur is a sum of three slices along each axis.',
    "Blur along height, blur along width, then keep every stride-th. `get_config` adds the stride to the parent's.",
)
ex.equivalent(
    "by_a_depthwise_convolution: its result of whole numbers for truth values in 'def get_config(self):'",
    "the entries of every layer are only to be there",
)
ex.equivalent(
    "its result of whole numbers for truth values in 'def get_config(self):'",
    "the entries of every layer are only to be there",
)


@ex.cases
def _(rng):
    yield np.array([0.0, 4.0, 0.0, 0.0] * 2).reshape(1, 2, 4, 1), {"stride": 1}
    yield rng.integers(-9, 10, (1, 5, 6, 1)).astype(float), {}
    yield rng.integers(-9, 10, (2, 4, 3, 2)).astype(float), {}
    yield rng.integers(-9, 10, (1, 2, 2, 3)).astype(float), {"stride": 3}
    for stride in (0, -1, -2):
        yield np.ones((1, 3, 3, 1)), {"stride": stride}
    for _ in range(9):
        images = rng.integers(-9, 10, (*rng.integers(1, 3, 1), *rng.integers(2, 8, 2), rng.integers(1, 4)))
        yield images.astype(float), {"stride": int(rng.integers(1, 4))}


ex.shown_as("""
layer = BlurPool2D(**options)
inputs = keras.Input(images.shape[1:])
keras.Model(inputs, layer(inputs))(images)
""")


@ex.drive
def used(answer, images, options):
    layer = answer(**options)
    if options.get("stride", 1) < 1:
        return "a layer was made"
    images = images.astype("float32")
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    config = layer.get_config()
    return {
        "output": keras.ops.convert_to_numpy(model(images)),
        "shape in a model": tuple(model.output_shape),
        "number of weights": len(layer.weights),
        "stride in get_config": config.get("stride"),
        "entries of every layer in get_config": {"name", "trainable", "dtype"} <= set(config),
    }


@ex.oracle
def _(images, options):
    stride = options.get("stride", 2)
    if stride < 1:
        raise ValueError("stride")
    x = images
    for axis in (1, 2):
        x = correlate1d(x, [0.25, 0.5, 0.25], axis=axis, mode="mirror")
    x = x[:, ::stride, ::stride]
    return {
        "output": x,
        "shape in a model": (None, *x.shape[1:]),
        "number of weights": 0,
        "stride in get_config": stride,
        "entries of every layer in get_config": True,
    }


class _Base(keras.layers.Layer):
    mode, axes, weights_of_it, first = "reflect", (1, 2), (0.25, 0.5, 0.25), 0

    def __init__(self, stride=2, **options):
        super().__init__(**options)
        if stride < 1:
            raise ValueError("stride")
        self.stride = stride

    def blurred(self, x):
        for axis in self.axes:
            x = keras.ops.pad(x, [(1, 1) if n == axis else (0, 0) for n in range(4)], mode=self.mode)
            size = x.shape[axis] - 2
            parts = [keras.ops.take(x, np.arange(size) + i, axis=axis) for i in range(3)]
            x = sum(weight * part for weight, part in zip(self.weights_of_it, parts))
        return x

    def call(self, images):
        return self.blurred(images)[:, self.first :: self.stride, self.first :: self.stride]

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@ex.wrong
class stride_first(_Base):
    """First blur, then stride. What the stride has folded, no blur can tell apart any more."""

    mode = "symmetric"  # what is left after the stride may be a single pixel, which has no mirror image of its own

    def call(self, images):
        return self.blurred(images[:, :: self.stride, :: self.stride])


@ex.wrong
class zeros_outside(_Base):
    """The inside is right, the edge too dark: around the image lies its mirror image, not zeros."""

    mode = "constant"


@ex.wrong
class padded_by_the_stride(_Base):
    """The inside is right. padding="same" puts zeros outside, and with a stride it moves the windows as well: pad with
    the mirror image yourself, and let the convolution pad nothing."""

    def call(self, images):
        kernel = np.repeat(np.outer([1, 2, 1], [1, 2, 1])[..., None, None] / 16, images.shape[-1], axis=2)
        kernel = kernel.astype("float32")
        return keras.ops.depthwise_conv(images, kernel, strides=self.stride, padding="same")


@ex.wrong
class by_numpy(_Base):
    """NumPy pads arrays of numbers. In a `keras.Model` the images have no numbers yet: compute with `keras.ops`."""

    def call(self, images):
        images = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
        return images[:, :: self.stride, :: self.stride]


@ex.wrong
class edge_twice(_Base):
    """The inside is right; the mirror repeats the edge pixel. A row a, b, c goes on with b, not with a second c."""

    mode = "symmetric"


@ex.wrong
class one_axis(_Base):
    """Blurred along the height only; the stride goes along both axes, and so must the blur."""

    axes = (1,)


@ex.wrong
class not_normalised(_Base):
    """Sixteen times too bright: the weights of a blur sum to 1, along each axis."""

    weights_of_it = (1, 2, 1)


@ex.wrong
class plain_mean(_Base):
    """The weights are 1/4, 1/2, 1/4; you take the mean of three, which lets a negative of the finest wave pass."""

    weights_of_it = (1 / 3, 1 / 3, 1 / 3)


@ex.wrong
class from_the_second(_Base):
    """The blur is right; then keep rows and columns 0, s, 2s, ..., from the first on. You begin with number 1."""

    first = 1


@ex.wrong
class channels_too(_Base):
    """You blur over the channels as well; they are no neighbours."""

    def call(self, images):
        x = keras.ops.pad(self.blurred(images), [(0, 0), (0, 0), (0, 0), (1, 1)])
        x = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
        return x[:, :: self.stride, :: self.stride]


@ex.wrong
class any_stride(_Base):
    """The layer is right, but a stride below 1 has to be refused with a ValueError when the layer is made."""

    def __init__(self, stride=2, **options):
        keras.layers.Layer.__init__(self, **options)
        self.stride = stride


@ex.wrong
class always_two(_Base):
    """Right for a stride of 2, which is the default; `call` has to use the stride that was given."""

    def call(self, images):
        return self.blurred(images)[:, ::2, ::2]


@ex.wrong
class forgets_its_stride(_Base):
    """The output is right. `get_config` must hold the stride too, or a model that is saved and loaded forgets it."""

    def get_config(self):
        return keras.layers.Layer.get_config(self)


@ex.wrong
class forgets_the_rest(_Base):
    """The output is right. `get_config` must also hold all that `super().get_config()` gives: name, dtype, and more."""

    def get_config(self):
        return {"stride": self.stride}


@ex.right
class by_a_depthwise_convolution(keras.layers.Layer):
    def __init__(self, stride=2, **options):
        super().__init__(**options)
        if stride <= 0:
            raise ValueError("a stride is at least 1")
        self.step = stride

    def call(self, images):
        row = np.array([1, 2, 1]) / 4
        kernel = np.repeat(np.outer(row, row)[..., None, None], images.shape[-1], axis=2).astype("float32")
        for axis in (1, 2):
            size = images.shape[axis]
            images = keras.ops.take(images, [1, *range(size), size - 2], axis=axis)
        return keras.ops.depthwise_conv(images, kernel, strides=self.step)

    def get_config(self):
        config = super().get_config()
        config["stride"] = self.step
        return config


# %%
check("5.5", BlurPool2D)

# %% [markdown]
# **Exercise 5.6 ★★★** The sampling theorem at work: make a row finer without making anything up.


# %%
# Exercise 5.6
def finer(row, factor):
    """The row with `factor` times as many pixels, and no frequency that the row does not have.

    row (n,): array of floats, taken to repeat. factor: whole number >= 1. Returns an array
    (n * factor,); its pixels 0, factor, 2 * factor, ... are those of the row. For even n, the
    wave at n / 2 goes half to each of its two signs.
    Raises ValueError where the row has not exactly one axis.
    Example: finer(np.array([1.0, -1.0]), 2) is [1, 0, -1, 0].
    """
    ### BEGIN SOLUTION
    if row.ndim != 1:
        raise ValueError(f"the row must have 1 axis, and it has {row.ndim}: shape {row.shape}")
    n = len(row)
    spectrum = np.zeros(n * factor, complex)
    for q, weight in enumerate(np.fft.fft(row)):
        spectrum[q if 2 * q < n else q - n] = weight
    return factor * np.fft.ifft(spectrum).real  # the real part shares the wave at n / 2 between its two signs
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import resample

ex = exercise("5.6")
ex.hints(
    "What is the spectrum of the finer row? No frequency is new, so most of it is 0.",
    "Put each weight of the row at the same frequency in a longer spectrum: negative ones stand at its end.",
    "Transform, move the weights, transform back, times the factor. The real part shares the wave at n / 2.",
)
ex.equivalent(
    "'2 * q <= n' for '2 * q < n' in 'spectrum[q if 2 * q < n else q - n] = weight'",
    "the real part shares the wave at n / 2 between its two signs, at whichever it stands",
)


@ex.cases
def _(rng):
    yield np.array([1.0, -1.0]), 2
    yield np.array([3.0]), 4
    yield np.array([0.0, 1.0, 0.0]), 3
    yield rng.integers(-9, 10, 5).astype(float), 1
    yield rng.integers(-9, 10, 6).astype(float), 1
    yield np.array([3.0, -2.0, 5.0, 1.0]), 1
    yield np.array([1.0, -1.0]), 1
    yield rng.integers(-9, 10, (3, 4)).astype(float), 2
    yield rng.integers(-9, 10, (1, 4)).astype(float), 2
    yield np.array(2.0), 2
    for n in range(2, 14):
        yield rng.integers(-9, 10, n).astype(float), int(rng.integers(2, 5))


@ex.oracle
def _(row, factor):
    if row.ndim != 1:
        raise ValueError("axes")
    return resample(row, len(row) * factor)


def _refuse(row):
    if row.ndim != 1:
        raise ValueError


def _from_half(row, factor, share):
    n = len(row)
    half = np.fft.rfft(row)
    if n % 2 == 0:
        half[-1] = half[-1] * share
    return np.fft.irfft(half, n * factor) * factor


@ex.wrong
def too_dark(row, factor):
    """Every value is too small by the factor: (5.8) divides by the number of pixels, and there are more of them now."""
    _refuse(row)
    return _from_half(row, factor, 0.5 if factor > 1 else 1.0) / factor


@ex.wrong
def not_halved(row, factor):
    """Odd rows are right. In even ones the wave at n / 2 counts twice, once for each sign."""
    _refuse(row)
    return _from_half(row, factor, 1.0)


@ex.wrong
def dropped(row, factor):
    """Odd rows are right. In even ones the wave at n / 2 is lost, as in `rebuild`, which is for rows without it."""
    _refuse(row)
    return _from_half(row, factor, 0.0)


@ex.wrong
def always_halved(row, factor):
    """Right but for a factor of 1: there both halves of the wave at n / 2 are one wave again."""
    _refuse(row)
    return _from_half(row, factor, 0.5)


@ex.wrong
def zeros_at_the_end(row, factor):
    """The zeros belong into the middle of the spectrum, between the positive and the negative frequencies."""
    _refuse(row)
    spectrum = np.concatenate([np.fft.fft(row), np.zeros(len(row) * (factor - 1))])
    return factor * np.fft.ifft(spectrum).real


@ex.wrong
def straight_lines(row, factor):
    """You draw straight lines between the pixels; their corners are frequencies that the row does not have."""
    _refuse(row)
    return np.interp(np.arange(len(row) * factor) / factor, np.arange(len(row) + 1), np.append(row, row[0]))


@ex.wrong
def steps(row, factor):
    """You repeat each pixel; the steps are frequencies that the row does not have."""
    _refuse(row)
    return np.repeat(row, factor)


@ex.wrong
def zeros_between(row, factor):
    """Zeros between the pixels keep all copies of the spectrum; only those nearest to frequency 0 may stay."""
    _refuse(row)
    result = np.zeros(len(row) * factor)
    result[::factor] = row
    return result


@ex.wrong
def refuses_nothing(row, factor):
    """Rows come out right; but what has not exactly one axis must be refused, with a ValueError."""
    return resample(row, len(np.atleast_1d(row)) * factor) if row.ndim else np.repeat(row, factor)


@ex.right
def by_kernels(row, factor):
    _refuse(row)
    n = len(row)
    t = np.subtract.outer(np.arange(n * factor) / factor, np.arange(n)) / n  # in periods of the whole row
    total = np.ones(t.shape)
    for q in range(1, (n + 1) // 2):
        total += 2 * np.cos(2 * np.pi * q * t)
    if n % 2 == 0:
        total += np.cos(np.pi * n * t)
    return total @ row / n


# %%
check("5.6", finer)

# %% [markdown]
# **Exercise 5.7 ★★★** Debug it: "to deblur, divide by the kernel's spectrum". But noise explodes where that is small,
# and the image comes out in the wrong place. Do it by least squares.


# %%
# Exercise 5.7
def deblurred(image, kernel, strength):
    """The image x that makes sum((x * kernel - image) ** 2) + strength * sum(x ** 2) least,
    where x * kernel is circular convolution with the kernel's middle on the pixel computed.

    image (H, W), kernel (kh, kw): arrays of floats, the kernel's sizes odd and no larger than
    the image's. strength: > 0. Returns an array of floats (H, W).
    Example: for kernel [[2.0]] and strength 1.0 it is 0.4 * image.
    """
    ### BEGIN SOLUTION
    spectrum = move(np.fft.fft2(kernel, image.shape), *(-(k // 2) for k in kernel.shape))
    sharp = np.conj(spectrum) * np.fft.fft2(image) / (np.abs(spectrum) ** 2 + strength)
    return np.fft.ifft2(sharp).real
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.ndimage import convolve

ex = exercise("5.7", start="from_the_web")
ex.hints(
    "By (5.9) and (5.11) each wave can be solved for by itself. What is to be least for one wave?",
    "There are two mistakes: the kernel's origin is its first pixel, and nothing keeps the division in bounds.",
    "Least squares for one wave: the conjugate of the kernel's weight, over its squared magnitude plus the strength.",
)


@ex.cases
def _(rng):
    def numbers(*shape):
        return rng.integers(-9, 10, shape) / 4

    yield np.array([[1.0, 2.0, 3.0]]), np.array([[2.0]]), 1.0
    yield numbers(4, 4), np.array([[-1.0]]), 0.5
    yield numbers(5, 7), numbers(5, 7), 0.3
    yield numbers(6, 3), np.array([[1.0], [2.0], [4.0], [1.0], [3.0]]) / 4, 0.2
    yield numbers(3, 6), np.array([[1.0, 3.0, 0.5, 2.0, 1.0]]) / 4, 0.25
    yield numbers(4, 6), np.array([[1.0, 2.0, 4.0]]) / 8, 2.5
    for _ in range(12):
        kernel = 2 * rng.integers(0, 3, 2) + 1
        yield numbers(*(kernel + rng.integers(0, 4, 2))), numbers(*kernel), round(float(rng.uniform(0.1, 3)), 2)


@ex.oracle
def _(image, kernel, strength):
    units = np.eye(image.size).reshape(-1, *image.shape)
    blur = np.stack([convolve(unit, kernel, mode="wrap").ravel() for unit in units], axis=1)
    least = np.linalg.solve(blur.T @ blur + strength * np.eye(image.size), blur.T @ image.ravel())
    return least.reshape(image.shape)


def _spectrum(image, kernel, sign=-1):
    room = np.pad(kernel, [(0, n - k) for n, k in zip(image.shape, kernel.shape)])
    return np.fft.fft2(np.roll(room, [sign * (k // 2) for k in kernel.shape], axis=(0, 1)))


def _divided(image, above, below):
    return np.fft.ifft2(np.fft.fft2(image) * above / below).real


@ex.wrong
def from_the_web(image, kernel, strength):
    """You divide by the kernel's spectrum: `strength`, which keeps the division in bounds, is not used; and the
    kernel's origin is its first pixel, not its middle."""
    return np.fft.ifft2(np.fft.fft2(image) / np.fft.fft2(kernel, image.shape)).real


@ex.wrong
def undamped(image, kernel, strength):
    """The image stands where it should. But noise still explodes: `strength` is not used."""
    spectrum = _spectrum(image, kernel)
    return _divided(image, np.conj(spectrum), np.abs(spectrum) ** 2)


@ex.wrong
def from_the_corner(image, kernel, strength):
    """Right for kernels of one pixel. With larger ones the image is moved: the kernel's origin is its middle."""
    spectrum = np.fft.fft2(kernel, image.shape)
    return _divided(image, np.conj(spectrum), np.abs(spectrum) ** 2 + strength)


@ex.wrong
def moved_the_other_way(image, kernel, strength):
    """The kernel is moved down and to the right; its middle belongs on pixel (0, 0), so move it up and to the left."""
    spectrum = _spectrum(image, kernel, 1)
    return _divided(image, np.conj(spectrum), np.abs(spectrum) ** 2 + strength)


@ex.wrong
def no_conjugate(image, kernel, strength):
    """Right where the kernel is symmetric. It turns the phase of a wave, and you turn it further in place of back: the
    numerator needs the conjugate."""
    spectrum = _spectrum(image, kernel)
    return _divided(image, spectrum, np.abs(spectrum) ** 2 + strength)


@ex.wrong
def added_to_the_spectrum(image, kernel, strength):
    """You add the strength to the kernel's weight, which may be negative: add it to the squared magnitude."""
    return _divided(image, 1, _spectrum(image, kernel) + strength)


@ex.wrong
def strength_squared(image, kernel, strength):
    """The strength is not squared: the second sum is times `strength`, and not times its square."""
    spectrum = _spectrum(image, kernel)
    return _divided(image, np.conj(spectrum), np.abs(spectrum) ** 2 + strength**2)


@ex.wrong
def strength_by_pixels(image, kernel, strength):
    """The number of pixels does not matter: by (5.9) both sums have the same factor."""
    spectrum = _spectrum(image, kernel)
    return _divided(image, np.conj(spectrum), np.abs(spectrum) ** 2 + strength * image.size)


@ex.wrong
def absolute(image, kernel, strength):
    """Take the real part: the absolute value makes all negative pixels positive."""
    spectrum = _spectrum(image, kernel)
    return np.abs(_divided(image, np.conj(spectrum), np.abs(spectrum) ** 2 + strength))


@ex.right
def by_least_squares(image, kernel, strength):
    pixels, middle = image.size, [k // 2 for k in kernel.shape]
    blur = np.zeros((pixels, *image.shape))
    for n, unit in enumerate(np.eye(pixels)):
        for place, weight in np.ndenumerate(kernel):
            blur[n] += weight * np.roll(unit.reshape(image.shape), np.subtract(place, middle), axis=(0, 1))
    stacked = np.concatenate([blur.reshape(pixels, pixels).T, np.sqrt(strength) * np.eye(pixels)])
    return np.linalg.lstsq(stacked, np.append(image, np.zeros(pixels)))[0].reshape(image.shape)


# %%
check("5.7", deblurred)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | a wave through a kernel | the same wave, times its frequency response | (5.1) |
# | frequency response | $R_K(\xi_u,\xi_v)=\sum_{i,j} K(i,j)\,e^{2\pi\mathrm{i}(\xi_u i+\xi_v j)}$ | (5.2) |
# | mean; Gaussian | $\sin(\pi k\xi) / (k\sin\pi\xi)$; about $e^{-2\pi^2\sigma_K^2\xi^2}$ | (5.3), (5.4) |
# | Sobel | $4\,\mathrm{i}\sin(2\pi\xi_v)\,(1+\cos 2\pi\xi_u)$ | (5.5) |
# | DFT | $\hat I=\sum I\,e^{-2\pi\mathrm{i}(qu/H+rv/W)}$; real $I$: $\hat I(-q,-r)=\overline{\hat I}$ | (5.6), (5.7) |
# | and back | the same with $+$, over $HW$ | (5.8) |
# | energy; a move | $\sum I^2=\frac1{HW}\sum \lvert\hat I\rvert^2$; phases turn, magnitudes stay | (5.9), (5.10) |
# | convolution theorem | $\hat I \cdot \hat K$ for $*$; $\hat I \cdot \overline{\hat K}$ for $\star$ | (5.11), (5.12) |
# | no wrap-around | pad to $n+k-1$, or cut to the first $n-k+1$ | (5.13), (5.14) |
# | FFT | halves; $\frac n2 \log_2 n$ products; a convolution costs the same for every $k$ | (5.15), (5.16) |
# | alias | $\xi'=s\xi-\lfloor s\xi+\frac12 \rfloor$ | (5.17) |
# | a stride | the spectrum is folded; nothing at $1/(2s)$ or above: nothing lost | (5.18), (5.19) |
# | equivariance error of stride 2 | $2\,\lVert x_\text{high} \rVert^2$ | (5.20) |
#
# ## References
#
# - Azulay, Weiss, *Why do deep convolutional networks generalize so poorly to small image transformations?*, 2019.
# - Cooley, Tukey, *An algorithm for the machine calculation of complex Fourier series*, 1965.
# - Field, *Relations between the statistics of natural images and the response properties of cortical cells*, 1987.
# - Mathieu, Henaff, LeCun, *Fast training of convolutional networks through FFTs*, 2014, arXiv:1312.5851.
# - Oliva, Torralba, Schyns, *Hybrid images*, 2006.
# - Oppenheim, Lim, *The importance of phase in signals*, 1981.
# - Shannon, *Communication in the presence of noise*, 1949.
# - Zhang, *Making convolutional networks shift-invariant again*, 2019, arXiv:1904.11486.
