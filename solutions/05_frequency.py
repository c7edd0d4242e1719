# %% [raw]
# title: Convolution and frequency
# part: II. Convolution
# minutes: 120
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
# symbols:
#   '$*$': 'convolution (`convolve`)'
# sources:
#   - "Shannon, Communication in the presence of noise, 1949"
#   - "Cooley & Tukey, An algorithm for the machine calculation of complex Fourier series, 1965"
#   - "Oppenheim & Lim, The importance of phase in signals, 1981"
#   - "Field, Relations between the statistics of natural images and the response properties of cortical cells, 1987"
#   - "Mathieu, Henaff & LeCun, Fast training of convolutional networks through FFTs, 2014"
#   - "Lavin & Gray, Fast algorithms for convolutional neural networks, 2016"
#   - "Azulay & Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?, 2019"
#   - "Zhang, Making convolutional networks shift-invariant again, 2019"
#   - "Yin et al., A Fourier perspective on model robustness in computer vision, 2019"

# %% [markdown]
# On the left is a pattern of rings that grow finer from the middle outwards. The two pictures beside it come from it by
# things that layers do all day: an average over 5 × 5 pixels, and a stride.

# %%
import time

from course import budget, check, claim, data, plots, prove, record, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import ndimage, signal

rng = start("05")  # seeds everything from COURSE_SEED and sets the style of the figures
SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
MEAN = np.full((5, 5), 1 / 25)
HIGHEST = 0.4  # cycles per pixel, where the rings below meet the middle of an edge


def rings(n):
    """A zone plate (n, n), from 0 to 1: rings whose frequency grows in proportion to the distance from the middle."""
    u = np.arange(n) - n // 2
    distance = np.hypot(u[:, None], u)
    frequency = 2 * HIGHEST * distance / n
    contrast = np.clip((0.45 - frequency) / 0.05, 0, 1)  # fades out where the rings would be too fine to draw
    return 0.5 + 0.5 * contrast * np.cos(np.pi * frequency * distance)


def draw(axis, picture, title="", signed=False, bound=None):
    """Draw a picture in grey or colour from 0 to `bound` (1 if not given); signed: 0 white, above purple, below orange,
    from -bound to bound (the largest value if not given)."""
    bound = bound or (np.abs(picture).max() or 1 if signed else 1)
    low = -bound if signed else 0
    axis.imshow(
        np.clip(picture, low, bound) / bound,
        cmap="PuOr" if signed else "gray",
        vmin=low / bound,
        vmax=1,
    )
    axis.set(xticks=[], yticks=[])
    axis.set_title(title)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def draw_row(pictures, size=2.4, **options):
    """Draw named pictures side by side, so large that no screen pixel is skipped: that would draw false rings."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(len(pictures) * size * 1.06, size * 1.15))
    for axis, (title, picture) in zip(axes, pictures.items()):
        draw(axis, picture, title, **options)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.88, wspace=0.06)
    plt.show()


# %%
plate = rings(120)
mean_of_5 = signal.correlate2d(plate - 0.5, MEAN, mode="same")
draw_row(
    {
        "rings": plate,
        "5 × 5 mean (contrast × 2)": 0.5 + 2 * mean_of_5,
        "every 4th pixel": plate[::4, ::4],
    }
)

# %% [markdown]
# *Figure 5.1. Left: rings that are finest towards the edges. Middle: the same blurred by a mean over 5 × 5 pixels; the
# rings vanish, and further out they come back with black and white exchanged. Right: every 4th pixel of every 4th row;
# there are centres now where the picture has none.*
#
# Nobody asked for either. A blur should take fine detail away, and it returned a negative of it. A stride should throw
# pixels away, and it drew eight new sets of rings. An average pooling layer does both.
#
# **What does a convolution do to detail of each size, and what does a stride do to detail that is too fine for it?**
#
# ## What you will be able to do
#
# - say what a kernel does to every wave, by one formula, and read a blur, an edge finder and a learned kernel by it;
# - take a photograph apart into waves and put it together again;
# - compute a convolution as a product, pad it rightly, and say when that is faster;
# - predict which false pattern a stride draws, and prove that it is all that a stride costs in equivariance;
# - measure which frequencies a trained network listens to, and compare frequencies fairly.
#
# ## Send a wave through a kernel
#
# The middle of the frame above shows broad rings, its edges fine ones. So ask about one fineness at a time. A wave of
# **frequency** $\mu$ goes up and down $\mu$ times per pixel: $\mu = 1/12$ is one period in twelve pixels, and
# $\mu = 1/2$ is black, white, black, white, the finest there is. Take the mean of three neighbours:

# %%
figure, axes = plt.subplots(1, 3, figsize=(8, 2.5), sharey=True)
u = np.arange(13)
for axis, period in zip(axes, (12, 3, 2)):
    before = np.cos(2 * np.pi * np.arange(-1, 14) / period)
    fine = np.linspace(0, 12, 400)
    axis.plot(fine, np.cos(2 * np.pi * fine / period), color="#bbbbbb", linewidth=1, linestyle="-")
    axis.plot(u, before[1:-1], "o", markersize=4, label="wave")
    axis.plot(
        u,
        np.convolve(before, np.ones(3) / 3, "valid"),
        "s",
        markersize=6,
        mfc="none",
        label="mean of three",
    )
    factor = (1 + 2 * np.cos(2 * np.pi / period)) / 3
    axis.set(
        title=f"$\\mu = 1/{period}$: times {factor:.2f}".replace("-", "−"),
        xlabel="pixel",
        xticks=range(0, 13, 4),
    )
axes[0].set_ylabel("brightness, less its mean")
axes[0].legend(loc="upper center", fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.2. Three waves (dots, on the curve they are taken from) and the mean of three neighbours (squares). The
# squares lie on the same wave, multiplied by one number.*
#
# On the right, every window holds $-1, 1, -1$ or $1, -1, 1$: the mean is a third of the middle pixel, *with the
# opposite sign*. There is the negative of Figure 5.1. In the middle, each window is one whole period, and nothing is
# left. On the left, nearly all is.
#
# It is no accident that a wave comes out as the same wave. Write it with the complex exponential,
# $e^{\mathrm{i}\varphi} = \cos\varphi + \mathrm{i}\sin\varphi$, which carries a cosine and a sine at once
# ($\mathrm{i}$, upright, is the imaginary unit; $i$ still counts rows of the kernel). For a picture, $\mu$ counts
# cycles per pixel downwards and $\nu$ to the right. Moving a wave by $(i, j)$ multiplies it by a constant, so a sum of
# moved waves, which is what (3.1) is, is the wave times a sum of constants:
#
# $$ E_{\mu\nu} \star K = R_K(\mu, \nu)\; E_{\mu\nu}, \qquad
#    E_{\mu\nu}(u, v) = e^{2\pi\mathrm{i}(\mu u + \nu v)} \tag{5.1} $$
#
# $$ R_K(\mu, \nu) = \sum_{i} \sum_{j} K(i, j)\, e^{2\pi\mathrm{i}(\mu i + \nu j)} \tag{5.2} $$
#
# $R_K$ is the kernel's **frequency response**: its size $|R_K|$ says by how much the wave grows, its angle by how much
# it moves. Let $i$ and $j$ count from the kernel's middle, and a symmetric kernel has a real response: it moves
# nothing, but it may turn the sign.


# %%
def wave(shape, mu, nu):
    """The complex wave of (5.1) on pixels (H, W), with mu cycles per pixel downwards and nu to the right."""
    u, v = np.ogrid[: shape[0], : shape[1]]
    return np.exp(2j * np.pi * (mu * u + nu * v))


def response(kernel, mu, nu, centred=True):
    """Frequency response (5.2) of kernel (kh, kw) at mu, nu: numbers or arrays of one shape, in cycles per pixel.
    centred: whether i and j count from the kernel's middle (odd sizes), else from its first row and column."""
    i, j = (np.arange(k) - (k // 2 if centred else 0) for k in np.shape(kernel))
    rows, columns = (np.exp(2j * np.pi * np.multiply.outer(f, at)) for f, at in [(mu, i), (nu, j)])
    return np.einsum("...i,ij,...j->...", rows, kernel, columns)  # (5.2)


def wave_through(kernel, mu, nu):
    """A wave of 12 × 12 pixels after the kernel, by its response, where the kernel fits."""
    size = [12 - k + 1 for k in kernel.shape]
    return response(kernel, mu, nu, centred=False) * wave(size, mu, nu)  # (5.1)


# %% [markdown]
# The oracle of (5.1) is Keras, which is sent the cosine and the sine as two pictures; that of (5.2) is SciPy's
# `freqz`, made for sound filters, on rows and then on columns.


# %%
def keras_wave_through(kernel, mu, nu):
    picture = wave((12, 12), mu, nu)
    parts = np.stack([picture.real, picture.imag])[..., None].astype("float32")
    real, imaginary = ops.convert_to_numpy(ops.conv(parts, kernel[..., None, None].astype("float32")))[..., 0]
    return real + 1j * imaginary


def scipy_response(kernel, mu, nu):
    along_rows = [signal.freqz(row, worN=[2 * np.pi * nu])[1][0] for row in kernel]
    return np.conj(signal.freqz(along_rows, worN=[2 * np.pi * mu])[1][0])  # freqz counts against the wave


def from_the_corner(kernel, mu, nu):
    return response(kernel, mu, nu, centred=False)


def kernels_and_waves(count):
    for _ in range(count):
        yield rng.normal(size=rng.integers(1, 7, 2)), *(float(f) for f in rng.uniform(-0.5, 0.5, 2))


prove("5.1", wave_through, keras_wave_through, cases=kernels_and_waves(100), rtol=1e-4, atol=1e-4)
prove("5.2", from_the_corner, scipy_response, cases=kernels_and_waves(200), name="frequency response")

# %% [markdown]
# ## Four kernels, read by frequency
#
# For kernels of a simple form the sum (5.2) can be done by hand, once and for all. The mean of $k$ neighbours ($k$ odd)
# is a geometric series:
#
# $$ R_\text{mean}(\mu) = \frac{\sin \pi k \mu}{k \sin \pi \mu}, \qquad R_\text{mean}(0) = 1 \tag{5.3} $$
#
# It is 0 at $\mu = 1/k$ and negative from there to $2/k$. A Gaussian, $K(i) = e^{-i^2/2\sigma^2} / (\sigma\sqrt{2\pi})$
# for all whole $i$, has a response without any negative part, Gaussian too, and the narrower the wider the blur:
#
# $$ R_\text{Gauss}(\mu) = \sum_{m=-\infty}^{\infty} e^{-2\pi^2\sigma^2(\mu - m)^2} \approx e^{-2\pi^2\sigma^2\mu^2}
#    \quad \text{for } \sigma \ge 1,\; |\mu| \le \tfrac12 \tag{5.4} $$
#
# (to within 0.01). Why are there copies of the curve at all whole $m$? Because the kernel knows the Gaussian at whole
# pixels only. Remember them; they come back as the false rings. Sobel's kernel is a difference along the rows, $e^{+} -
# e^{-}$, and a blur along the columns, $1 + 2 + 1$:
#
# $$ R_\text{Sobel}(\mu, \nu) = 4\,\mathrm{i}\, \sin(2\pi\nu)\, \bigl(1 + \cos 2\pi\mu\bigr) \tag{5.5} $$
#
# It is silent on what is flat, as you know, and equally silent on the finest columns, $\nu = 1/2$: the two pixels that
# it compares are then alike.


# %%
def mean_response(k, mu):
    """Response (5.3) of the mean of k neighbours, k odd, at mu cycles per pixel."""
    return 1.0 if mu % 1 == 0 else np.sin(np.pi * k * mu) / (k * np.sin(np.pi * mu))  # (5.3)


def gaussian_response(sigma, mu):
    """Response (5.4) of a Gaussian of standard deviation sigma pixels, taken at whole pixels."""
    return np.exp(-2 * (np.pi * sigma * (mu - np.arange(-20, 21))) ** 2).sum()  # (5.4)


def sobel_response(mu, nu):
    """Response (5.5) of Sobel's kernel for upright edges, centred."""
    return 4j * np.sin(2 * np.pi * nu) * (1 + np.cos(2 * np.pi * mu))  # (5.5)


def gaussian(sigma, radius):
    """Gaussian weights (2 radius + 1,), as in (5.4)."""
    return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


# %%
def centred_freqz(weights, mu):
    """SciPy's response of a symmetric row of weights, its origin moved to the middle."""
    angle = 2 * np.pi * mu
    return float((signal.freqz(weights, worN=[angle])[1][0] * np.exp(1j * angle * (len(weights) // 2))).real)


def scipy_mean(k, mu):
    return centred_freqz(np.ones(k) / k, mu)


def scipy_gaussian(sigma, mu):
    return centred_freqz(gaussian(sigma, 60), mu)


def scipy_sobel(mu, nu):
    """Ask scipy.ndimage's own Sobel filter, at a pixel far from the edge of a wave."""
    parts = [ndimage.sobel(part, axis=1) for part in (wave((9, 9), mu, nu).real, wave((9, 9), mu, nu).imag)]
    return (parts[0] + 1j * parts[1])[4, 4] / wave((9, 9), mu, nu)[4, 4]


def frequencies(count):
    return (float(f) for f in rng.uniform(-0.5, 0.5, count))


prove(
    "5.3",
    mean_response,
    scipy_mean,
    cases=((k, mu) for k in (1, 3, 5, 9) for mu in [0.0, 0.5, *frequencies(20)]),
)
prove(
    "5.4",
    gaussian_response,
    scipy_gaussian,
    cases=((s, mu) for s in (0.5, 1.0, 3.0) for mu in frequencies(30)),
)
prove("5.5", sobel_response, scipy_sobel, cases=zip(frequencies(100), frequencies(100)))

# %% [markdown]
# Now the rings earn their keep. Their frequency grows with the distance from the middle, downwards as $\mu$ and to the
# right as $\nu$. So the picture holds every wave up to 0.4 cycles per pixel, each at the place that the plane of $(\mu,
# \nu)$ gives it, and a filtered picture of rings is very nearly a *photograph of the filter's response*:

# %%
blur = np.outer(gaussian(1, 3), gaussian(1, 3))
laplace = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
named = {"5 × 5 mean": MEAN, "Gaussian, $\\sigma = 1$": blur, "Sobel": SOBEL, "Laplace": laplace}
figure, axes = plt.subplots(2, 4, figsize=(8.4, 4.5))
grid = HIGHEST * (np.arange(80) + 0.5 - 40) / 40
for (above, below), (name, kernel) in zip(axes.T, named.items()):
    values = response(kernel, *np.meshgrid(grid, grid, indexing="ij"))
    values = values.imag if name == "Sobel" else values.real
    top = np.abs(values).max()
    edges = (-HIGHEST, HIGHEST, HIGHEST, -HIGHEST)
    above.imshow(values, cmap="PuOr", vmin=-top, vmax=top, extent=edges)
    above.contour(grid, grid, values, levels=[0.0], colors="black", linewidths=0.8)
    above.set(xticks=[-0.2, 0, 0.2], yticks=[-0.2, 0, 0.2])
    above.set_title(f"{name}: {values.min():.2g} to {values.max():.2g}".replace("-", "−"), fontsize=9)
    draw(below, signal.correlate2d(plate - 0.5, kernel, mode="same"), signed=True, bound=top / 2)
for axis in axes[0, 1:]:
    axis.set(xticklabels=[], yticklabels=[])
axes[0, 0].set(ylabel="$\\mu$ (down, cycles/pixel)", xlabel="$\\nu$ (right)")
axes[1, 0].set_ylabel("the rings, filtered")
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 5.3. Above: responses by (5.2), purple positive, orange negative, the black line zero; of Sobel the imaginary
# part. Below: the rings of Figure 5.1 through each kernel. Where the response is pale the rings are gone, and across
# the black line of the mean they change their sign.*
#
# Half of the opening question is answered. A mean passes what is broad and rejects what is fine (it is **low-pass**),
# but through its side windows a negative of fine detail slips back in. A Gaussian is low-pass without side windows. The
# Laplace kernel is **high-pass**; Sobel, silent at both ends of $\nu$, is **band-pass** in that direction.
#
# **Try it.** Which kernel of 3 numbers erases the period 2 and keeps flat patches? Check it with `response`.
#
# ## A photograph is a sum of waves
#
# Waves are easy. Photographs are what we have. The way from one to the other is a change of basis: $n$ pixels are $n$
# numbers, and so are the weights of the $n$ waves that go up and down a whole number of times along the row. For a
# picture of $H \times W$ pixels, the weight of the wave with $q$ periods downwards and $r$ to the right is the
# **discrete Fourier transform**, DFT for short:
#
# $$ \hat I(q, r) = \sum_{u=0}^{H-1} \sum_{v=0}^{W-1} I(u, v)\, e^{-2\pi\mathrm{i}(qu/H + rv/W)} \tag{5.6} $$
#
# and the picture is the sum of its waves:
#
# $$ I(u, v) = \frac{1}{HW} \sum_{q=0}^{H-1} \sum_{r=0}^{W-1}
#    \hat I(q, r)\, e^{2\pi\mathrm{i}(qu/H + rv/W)} \tag{5.7} $$
#
# The wave $q$ has the frequency $\mu = q/H$. A whole cycle per pixel is no change at all, so $q$ and $q - H$ are the
# same wave, and every $q > H/2$ is better read as the negative $q - H$ (`np.fft.fftfreq` does). No information is lost,
# and no **energy**, the sum of the squared pixels, either. Moving a picture turns the angles of $\hat I$ and leaves
# their sizes alone; what leaves on one side is to come back on the other, as in (3.14):
#
# $$ \sum_{u,v} I(u, v)^2 = \frac{1}{HW} \sum_{q,r} \bigl|\hat I(q, r)\bigr|^2 \tag{5.8} $$
#
# $$ \widehat{T_{a,b} I}\,(q, r) = e^{-2\pi\mathrm{i}(qa/H + rb/W)}\; \hat I(q, r) \tag{5.9} $$


# %%
def dft(image):
    """The discrete Fourier transform (5.6) of image (H, W): complex (H, W)."""
    down, right = (np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in image.shape)
    return down @ image @ right  # (5.6)


def inverse_dft(spectrum):
    """The picture (H, W), complex, of a spectrum (5.7): the same sum, with the other sign in the exponent."""
    return np.conj(dft(np.conj(spectrum))) / spectrum.size  # (5.7)


def energy(spectrum):
    """The sum of the squared pixels, from the spectrum (5.8)."""
    return float(np.sum(np.abs(spectrum) ** 2) / spectrum.size)  # (5.8)


def move(spectrum, a, b):
    """The spectrum of the picture moved down by a and right by b pixels, with wrap-around (5.9)."""
    return wave(spectrum.shape, -a / spectrum.shape[0], -b / spectrum.shape[1]) * spectrum  # (5.9)


# %%
def pictures(count):
    for _ in range(count):
        yield (rng.normal(size=rng.integers(1, 12, 2)),)


def moves(count):
    for (picture,) in pictures(count):
        yield picture, *(int(n) for n in rng.integers(-9, 10, 2))


prove("5.6", dft, np.fft.fft2, cases=pictures(100))
prove("5.7", inverse_dft, np.fft.ifft2, cases=pictures(100))
prove(
    "5.8",
    lambda x: energy(dft(x)),
    lambda x: float(np.sum(x * x)),
    cases=pictures(100),
    name="energy",
)
prove(
    "5.9",
    lambda x, a, b: move(dft(x), a, b),
    lambda x, a, b: np.fft.fft2(np.roll(x, (a, b), axis=(0, 1))),
    cases=moves(100),
    name="shift theorem",
)

# %% [markdown]
# Put a photograph together, its broadest waves first:

# %%
cifar = data.cifar10()
photos = cifar.x_test[: budget(quick=1000, full=10000, least=200)].astype("float32") / 255
grey = photos.mean(axis=-1)


def radius(height, width):
    """The frequency of each wave of a DFT, in cycles per pixel in whatever direction: (height, width)."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))


def keep(pictures, mask):
    """Only those waves of pictures (n, H, W) or (n, H, W, C) for which mask (H, W) is true."""
    mask = mask.reshape(*mask.shape, *[1] * (pictures.ndim - 3))
    kept = np.fft.ifft2(np.fft.fft2(pictures, axes=(1, 2)) * mask, axes=(1, 2))
    return kept.real.astype("float32")


photo = photos[cifar.y_test[: len(photos)] == 7][1]
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
# *Figure 5.4. Above: a picture from its broadest 1, 9, 37 ... waves, to all 1024. Below: the sum of the waves that are
# not used yet, on a grey ground.*
#
# A few waves give the large shapes and colours; all the outlines are in the rest. Does that hold for most pictures?
# Two questions to all of them: how is the energy spread over the frequencies, and does it matter at all, or is the
# picture in the *angles* of $\hat I$, its **phases**? For the second, give a picture the phases of another
# (Oppenheim & Lim, 1981).

# %%
mnist = data.mnist()
digits, digit_labels = mnist.x_test[:1000].astype("float32") / 255, mnist.y_test[:1000]


def mean_energy(pictures):
    """The mean energy of each wave over pictures (n, H, W), and the frequency of each wave."""
    return np.mean(np.abs(np.fft.fft2(pictures)) ** 2, axis=0), radius(*pictures.shape[1:])


def lowest_share(pictures, share):
    """The share of the energy, without that of the mean, in the given share of the waves, the broadest first."""
    energies, frequency = mean_energy(pictures)
    ordered = energies.ravel()[np.argsort(frequency.ravel(), kind="stable")][1:]
    return ordered[: round(share * len(ordered))].sum() / ordered.sum()


def swap(sizes_from, phases_from):
    """Pictures with the sizes |Î| of one batch (n, H, W) and the phases of another."""
    sizes, angles = np.abs(np.fft.fft2(sizes_from)), np.angle(np.fft.fft2(phases_from))
    return np.fft.ifft2(sizes * np.exp(1j * angles)).real


def likeness(one, other):
    """The correlation coefficient of each picture with its partner: 1 for alike, 0 for unrelated."""
    one, other = ((x - x.mean(axis=(1, 2), keepdims=True)).reshape(len(x), -1) for x in (one, other))
    return np.sum(one * other, axis=1) / np.sqrt(np.sum(one**2, axis=1) * np.sum(other**2, axis=1))


mixed = swap(grey, np.roll(grey, 1, axis=0))
like_phases, like_sizes = (
    likeness(mixed, np.roll(grey, 1, axis=0)).mean(),
    likeness(mixed, grey).mean(),
)

# %%
figure = plt.figure(figsize=(8.4, 3.6))
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
axis = left.subplots()
noise = rng.normal(size=(200, 32, 32))
for (name, group), marker in zip({cifar.name: grey, "MNIST": digits, "white noise": noise}.items(), "os^"):
    energies, frequency = mean_energy(group - group.mean())
    bands = np.linspace(0.5, 16.5, 17) / 32
    means = [energies[(frequency >= a) & (frequency < b)].mean() for a, b in zip(bands, bands[1:])]
    axis.loglog(
        (bands[1:] + bands[:-1]) / 2,
        np.array(means) / energies.mean(),
        marker=marker,
        markersize=4,
        label=name,
    )
axis.set(xlabel="frequency (cycles/pixel)", ylabel="energy of a wave / mean of all")
axis.loglog([0.03, 0.5], [50, 50 * (0.03 / 0.5) ** 2], ":", color="black", linewidth=1, label="$1/\\mu^2$")
axis.set_xticks([0.03, 0.1, 0.3, 0.5], ["0.03", "0.1", "0.3", "0.5"])
axis.minorticks_off()
axis.legend()
left.subplots_adjust(0.2, 0.16, 0.97, 0.95)
one, two = grey[cifar.y_test[: len(grey)] == 7][1], grey[cifar.y_test[: len(grey)] == 8][0]
swapped = [swap(*pair) for pair in [(one, two), (two, one)]]
corners = right.subplots(2, 2)
for axis, picture, title in zip(
    corners.ravel(),
    [one, two, *swapped],
    ["A", "B", "sizes of A,\nphases of B", "sizes of B,\nphases of A"],
):
    draw(axis, picture, title)
right.subplots_adjust(0.02, 0.02, 0.98, 0.92, hspace=0.42, wspace=0.05)
plt.show()

# %% [markdown]
# *Figure 5.5. Left: the energy of a wave against its frequency, both axes logarithmic; white noise spreads it evenly.
# Right: two pictures, and two with the sizes of one and the phases of the other. They look like the one that gave the
# phases.*

# %%
shares = [lowest_share(group, 0.1) for group in (grey, digits)]
claim(
    "5.1",
    "the broadest tenth of the waves holds most of the energy, of pictures and of digits",
    min(shares) > 2 / 3,
)

# %%
claim(
    "5.2",
    "a picture with exchanged phases looks like the one that gave the phases",
    like_phases > like_sizes + 0.3,
)

# %% [markdown]
# In photographs the energy falls off about as $1/\mu^2$, the dotted line (Field, 1987). But energy counts contrast, not
# meaning. Keep both in mind: a few waves hold most of it, and where things are is, by (5.9), not in it at all.
#
# ## Convolution is a product
#
# Every picture is a sum of waves (5.7), and a kernel multiplies each of them by a number (5.1). So a convolution of any
# picture is, wave by wave, *one multiplication*. That is the **convolution theorem**. With the kernel padded by zeros
# to the size of the picture, and windows that wrap round:
#
# $$ \widehat{I * K}(q, r) = \hat I(q, r)\; \hat K(q, r) \tag{5.10} $$
#
# The layers of this course compute cross-correlation, which turns the kernel; that conjugates $\hat K$ (it is (5.2)
# again: $\overline{\hat K(q, r)} = R_K(q/H, r/W)$, for a real kernel and from its first corner):
#
# $$ \widehat{I \star K}(q, r) = \hat I(q, r)\; \overline{\hat K(q, r)} \tag{5.11} $$
#
# Real pictures do not wrap round. Two remedies. Either give the wrapped part zeros to fall on: the whole convolution of
# $n$ with $k$ pixels is $n + k - 1$ long, and with at least that many nothing meets its own tail:
#
# $$ I * K = \mathcal{F}^{-1}\bigl\{ \mathcal{F}_M\{I\} \cdot \mathcal{F}_M\{K\} \bigr\}, \qquad
#    M \ge n + k - 1 \text{ along each axis} \tag{5.12} $$
#
# where $\mathcal{F}_M$ pads to $M$ pixels and transforms. Or notice that the windows of (3.1) that lie inside the
# picture never wrap, and cut off the others. That is a whole `Conv2D` layer, channels added up among the waves:
#
# $$ F(\cdot, \cdot, m) = \mathcal{F}^{-1}\Bigl\{ \sum_{c}
#    \hat I(\cdot, \cdot, c)\; \overline{\hat K(\cdot, \cdot, c, m)} \Bigr\} + b(m),
#    \quad \text{its first } n - k + 1 \text{ rows and columns} \tag{5.13} $$


# %%
def must_fit(image, kernel):
    """Refuse a kernel that is larger than the picture."""
    for axis, (n, k) in enumerate(zip(image.shape[:2], kernel.shape[:2])):
        if k > n:
            raise ValueError(f"axis {axis}: the kernel has {k} pixels and the picture only {n}")


def wrapped_convolve(image, kernel):
    """Convolution of image (H, W) with wrap-around (5.10): (H, W). fft2(kernel, shape) pads the kernel with zeros."""
    must_fit(image, kernel)
    return np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(kernel, image.shape)).real  # (5.10)


def wrapped_correlate(image, kernel):
    """Cross-correlation with wrap-around (5.11): (H, W); output (u, v) has its window begin at pixel (u, v)."""
    must_fit(image, kernel)
    return np.fft.ifft2(np.fft.fft2(image) * np.conj(np.fft.fft2(kernel, image.shape))).real  # (5.11)


def full_convolve(image, kernel):
    """Convolution with zeros around the picture (5.12): (H + kh - 1, W + kw - 1)."""
    shape = [n + k - 1 for n, k in zip(image.shape, kernel.shape)]
    return np.fft.ifft2(np.fft.fft2(image, shape) * np.fft.fft2(kernel, shape)).real  # (5.12)


def conv2d_fft(x, kernel, bias):
    """A Conv2D layer without padding (5.13): x (H, W, C), kernel (kh, kw, C, N), bias (N,) -> (Ho, Wo, N)."""
    must_fit(x, kernel)
    if x.shape[2] != kernel.shape[2]:
        raise ValueError(f"axis 2: the picture has {x.shape[2]} channels and the kernel {kernel.shape[2]}")
    spectra, kernels = np.fft.fft2(x, axes=(0, 1)), np.fft.fft2(kernel, x.shape[:2], axes=(0, 1))
    products = np.einsum("qrc,qrcm->qrm", spectra, np.conj(kernels))
    rows, columns = (n - k + 1 for n, k in zip(x.shape[:2], kernel.shape))
    return np.fft.ifft2(products, axes=(0, 1)).real[:rows, :columns] + bias  # (5.13)


# %%
def scipy_wrapped(image, kernel):
    full = signal.convolve2d(image, kernel, mode="full", boundary="wrap")
    return full[: image.shape[0], : image.shape[1]]


def keras_wrapped(image, kernel):
    wrapped = np.pad(image, [(0, k - 1) for k in kernel.shape], mode="wrap")
    return ops.conv(wrapped[None, ..., None], kernel[..., None, None])[0, ..., 0]


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


def scipy_full(image, kernel):
    return signal.convolve2d(image, kernel, mode="full")


prove("5.10", wrapped_convolve, scipy_wrapped, cases=pairs(100), atol=1e-4)
prove("5.11", wrapped_correlate, keras_wrapped, cases=pairs(100), atol=1e-4)
prove("5.12", full_convolve, scipy_full, cases=pairs(100), atol=1e-4)
prove("5.13", conv2d_fft, keras_layer, cases=layer_cases(100), atol=1e-4)

# %% [markdown]
# **Try it.** A product can be undone: divide by $\hat K$. Blur `grey[0]` with a Gaussian and get it back. Then round
# the blurred picture to 8 bits before you divide. Which waves went wrong, and what was $|\hat K|$ there?
#
# ## Is that faster?
#
# By (5.6) a row takes $n$ weights of $n$ products each: nothing is won. But half of a DFT's work is done twice. Split
# the row into its even and its odd pixels and transform each half, $P$ and $Q$. Both repeat after $n/2$, and the wave
# that joins them changes its sign there, so each product serves two outputs:
#
# $$ \hat x(q) = P(q) + e^{-2\pi\mathrm{i}q/n} Q(q), \qquad
#    \hat x\bigl(q + \tfrac n2\bigr) = P(q) - e^{-2\pi\mathrm{i}q/n} Q(q), \qquad 0 \le q < \tfrac n2 \tag{5.14} $$
#
# Split the halves again, down to single pixels, and you have the **fast Fourier transform** (Cooley & Tukey, 1965). At
# each of the $\log_2 n$ levels it takes $n/2$ products, those by 1 included, for $n$ a power of two:
#
# $$ \text{products of an FFT} = \frac{n}{2} \log_2 n \tag{5.15} $$
#
# A picture of $n \times n$ is $n$ rows and $n$ columns: $n^2 \log_2 n$. A convolution by (5.11) takes three of these
# and one product for each wave. The kernel's size does not occur at all:
#
# $$ \text{direct: } (n - k + 1)^2\, k^2 \qquad \text{FFT: } 3\, n^2 \log_2 n + n^2 \tag{5.16} $$
#
# (The FFT's products are complex, each four real ones.) How do you count the products of a program? Give it numbers
# that count.


# %%
def fft(x):
    """The fast Fourier transform of x (n,), n a power of two, in halves (5.14)."""
    if len(x) & (len(x) - 1) or not len(x):
        raise ValueError(f"axis 0: the size must be a power of two such as 8, and it is {len(x)}")
    if len(x) == 1:
        return x
    even, odd = fft(x[::2]), fft(x[1::2])
    turned = np.exp(-2j * np.pi * np.arange(len(odd)) / len(x)) * odd
    return np.concatenate([even + turned, even - turned])  # (5.14)


def fft_products(n):
    """Complex products of an FFT of n numbers, n a power of two (5.15)."""
    return n * (n.bit_length() - 1) // 2  # (5.15)


def conv_products(n, k):
    """Products of one convolution of (n, n) pixels by (k, k): direct and by FFT (5.16)."""
    return (n - k + 1) ** 2 * k**2, 3 * n**2 * (n.bit_length() - 1) + n**2  # (5.16)


# %%
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


def counted_conv(n, k):
    direct = ops.conv(np.ones((1, n, n, 1), "float32"), np.ones((k, k, 1, 1), "float32"))  # each product adds 1
    product = count(lambda x: x.ravel() * 1.0, n, n)
    return int(ops.sum(direct)), 3 * count(fft2, n, n) + product


prove(
    "5.14",
    fft,
    np.fft.fft,
    cases=((rng.normal(size=2 ** int(rng.integers(0, 9))),) for _ in range(50)),
)
prove("5.15", fft_products, lambda n: count(fft, n), cases=(2**m for m in range(11)))
prove("5.16", conv_products, counted_conv, cases=((n, k) for n in (4, 8, 16, 32) for k in (1, 2, 3)))

# %% [markdown]
# Counting is one thing, time another. One picture of 128 × 128 pixels, kernels of growing size, on one core: SciPy's
# loops, and (5.11) by NumPy's FFT. Keras, on whatever it runs on, is drawn beside them.


# %%
def milliseconds(function, repeats):
    """The least wall time of `repeats` calls: what else the machine does can only make a call longer."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


sizes = [1, 3, 5, 9, 15, 25, 41]
picture = rng.normal(size=(128, 128)).astype("float32")
batch = ops.convert_to_tensor(picture[None, ..., None])
timings = {"direct (SciPy)": [], "FFT (NumPy)": [], "direct (Keras)": []}
for k in sizes:
    kernel = rng.normal(size=(k, k)).astype("float32")
    weights = ops.convert_to_tensor(kernel[..., None, None])
    timings["direct (SciPy)"].append(milliseconds(lambda K=kernel: signal.correlate2d(picture, K, mode="valid"), 3))
    timings["FFT (NumPy)"].append(milliseconds(lambda K=kernel: wrapped_correlate(picture, K), 8))
    timings["direct (Keras)"].append(milliseconds(lambda K=weights: ops.convert_to_numpy(ops.conv(batch, K)), 8))
ratio = np.divide(timings["direct (SciPy)"], timings["FFT (NumPy)"])
crossing = next(k for i, k in enumerate(sizes) if (ratio[i:] > 1).all())
by_count = next(k for k in range(1, 129) if np.dot(conv_products(128, k), [1, -4]) > 0)
print(
    f"on this machine the FFT is faster from k = {crossing} of {sizes} on; by the count of (5.16), from k = {by_count}"
)
plots.show_curves(timings, "kernel size $k$ (pixels)", "milliseconds", x=[str(k) for k in sizes], log_y=True)

# %% [markdown]
# *Figure 5.6. Time for one convolution, on a logarithmic scale. The direct ways get slower as the kernel grows; the
# FFT does not know its size.*

# %%
claim(
    "5.3",
    "from some kernel size on the FFT is faster, and at last at least threefold",
    ratio[-1] > 3,
)

# %% [markdown]
# So why does your network not use it? Its kernels are 3 × 3, where there is little to gain; its direct code is tuned
# better than SciPy's loops; and each kernel's spectrum is as large as the picture. With large kernels, or where one
# transform serves many images and channels, it pays (Mathieu et al., 2014). For 3 × 3 there is a relative that saves
# products on small tiles (Lavin & Gray, 2016).
#
# ## What a stride does
#
# Back to the false rings. Take every $s$-th pixel of a wave. What is left advances $s\mu$ cycles from one sample to the
# next, and whole cycles cannot be seen. So it *is*, sample for sample, the wave of another frequency, its **alias**:
#
# $$ \mu' = s\mu - \bigl\lfloor s\mu + \tfrac12 \bigr\rfloor \in \bigl[-\tfrac12, \tfrac12\bigr)
#    \quad \text{cycles per output pixel} \tag{5.17} $$
#
# With $s = 4$, a wave of $\mu = 0.27$ becomes $1.08 - 1 = 0.08$: fine turns broad. For a whole row of $n$ pixels, each
# output wave $q$ is the mean of $s$ input waves that look alike (the copies of (5.4)!):
#
# $$ y(u) = x(su): \qquad \hat y(q) = \frac1s \sum_{m=0}^{s-1} \hat x\Bigl(q + m\,\frac ns\Bigr) \tag{5.18} $$
#
# If only one of the $s$ is not 0, nothing is mixed and nothing lost. That is the **sampling theorem** (Shannon, 1949):
# a row without any frequency of $1/(2s)$ or above can be had back, in full, from every $s$-th pixel.
#
# $$ \hat x(q) = 0 \text{ for } |q| \ge \frac{n}{2s} \quad\Rightarrow\quad
#    x(t) = \sum_{u} x(su)\, D(t - su), \qquad D(t) = \frac{s}{n} \sum_{|q| < n/2s} e^{2\pi\mathrm{i}qt/n} \tag{5.19} $$


# %%
def alias(mu, stride):
    """The frequency (5.17), in cycles per output pixel, of a wave of mu cycles per pixel after a stride."""
    return stride * mu - np.floor(stride * mu + 0.5)  # (5.17)


def folded(row, stride):
    """The spectrum (5.18) of every stride-th pixel of row (n,), n a multiple of the stride."""
    return np.fft.fft(row).reshape(stride, -1).mean(axis=0)  # (5.18)


def rebuild(samples, stride):
    """All pixels of a row from every stride-th (5.19), if it has no frequency of 1 / (2 stride) or above."""
    n = len(samples) * stride
    q = np.arange(-((len(samples) - 1) // 2), (len(samples) - 1) // 2 + 1)
    steps = np.subtract.outer(np.arange(n), stride * np.arange(len(samples)))  # t - su
    return np.exp(2j * np.pi * np.multiply.outer(steps, q) / n).sum(axis=-1).real / len(samples) @ samples  # (5.19)


# %%
def loudest(mu, stride):
    """Take every stride-th pixel of a wave, and ask NumPy's FFT for the frequency of what is left."""
    left = np.exp(2j * np.pi * mu * np.arange(64 * stride))[::stride]
    return float(np.fft.fftfreq(64)[np.argmax(np.abs(np.fft.fft(left)))])


def broad_row(samples, stride):
    """A random row (n,) whose frequencies all lie below 1 / (2 stride)."""
    n = samples * stride
    spectrum = np.zeros(n // 2 + 1, complex)
    spectrum[: (samples + 1) // 2] = rng.normal(size=((samples + 1) // 2, 2)) @ [1, 1j]
    return np.fft.irfft(spectrum, n)


def strides(count):
    return ((int(rng.integers(1, 6)), int(rng.integers(3, 20))) for _ in range(count))


def waves(count):
    return ((int(rng.integers(-32 * s, 32 * s)) / (64 * s), s) for s, _ in strides(count))


prove("5.17", alias, loudest, cases=waves(200))
prove(
    "5.18",
    folded,
    lambda row, stride: np.fft.fft(row[::stride]),
    cases=((rng.normal(size=s * m), s) for s, m in strides(100)),
    name="a stride folds the spectrum",
)
prove(
    "5.19",
    lambda row, stride: rebuild(row[::stride], stride),
    lambda row, stride: row,
    cases=((broad_row(m, s), s) for s, m in strides(100)),
    name="sampling theorem",
)

# %% [markdown]
# By (5.17) the stride of 4 must show a false centre wherever $\mu$ and $\nu$ both are multiples of 1/4. And the theorem
# names the cure: **blur before you stride**, so that little is left at 1/8 and above.

# %%
pooled = plate.reshape(30, 4, 30, 4).mean(axis=(1, 3))
soft = ndimage.gaussian_filter(plate, 2.2, mode="nearest")
figure, axes = plt.subplots(1, 3, figsize=(7.8, 2.8))
draw(axes[0], plate[::4, ::4], "stride of 4")
draw(axes[1], pooled, "4 × 4 average pooling")
draw(axes[2], soft[::4, ::4], "Gaussian, then stride of 4")
centres = np.array([-0.25, 0, 0.25]) / (2 * HIGHEST) * 30 + 15
for x in centres:
    for y in centres:
        if (x, y) != (15, 15):
            axes[0].plot(x, y, "+", color=plots.COLOURS[5], markersize=11, markeredgewidth=2)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.7. The rings with a stride of 4. Left: crosses mark where (5.17) expects false centres. Middle: average
# pooling, a mean and then a stride, makes them weaker. Right: after a Gaussian they are all but gone, and so are the
# true rings beyond 1/8, which 30 × 30 pixels cannot hold.*
#
# ## Steadier pooling
#
# Chapter 3 promised that moving the input moves the output, and with a stride kept the promise only for whole strides
# (3.14). What happens at a move by one pixel and a stride of 2? The output ought to move by half a pixel, which (5.9)
# can do: $T_{1/2}$ turns each wave by half a step. Waves below $1/4$ obey. For a wave above, the alias is turned by
# half a step *plus half a circle*: it comes with the wrong sign. Adding this up by (5.8), with $n/2$ odd so that no
# wave lies exactly at $1/4$:
#
# $$ \bigl\| (T_1 x)_{\downarrow 2} - T_{1/2}(x_{\downarrow 2}) \bigr\|^2 = 2\, \| x_\text{high} \|^2 \tag{5.20} $$
#
# where $\downarrow 2$ takes every second pixel and $x_\text{high}$ is the part of $x$ above $1/4$ cycles per pixel. So
# what a stride of 2 costs in equivariance is aliasing, all of it, and nothing else. Max pooling is a maximum at every
# pixel, then a stride: the same holds for its second half, and the corners that a maximum and a ReLU make add to
# $x_\text{high}$.


# %%
def shift_error(row):
    """The right side of (5.20) for row (n,), n / 2 odd."""
    high = np.abs(np.fft.fftfreq(len(row))) > 0.25
    return float(2 * np.sum(np.abs(np.fft.fft(row)[high]) ** 2) / len(row))  # (5.20)


def scipy_shift_error(row):
    half_moved = np.fft.ifft(ndimage.fourier_shift(np.fft.fft(row[::2]), 0.5)).real
    return float(np.sum((np.roll(row, 1)[::2] - half_moved) ** 2))


prove(
    "5.20",
    shift_error,
    scipy_shift_error,
    cases=((rng.normal(size=2 * m),) for m in range(1, 100, 2)),
)

# %% [markdown]
# Do pictures have enough above $1/4$ for this to matter? And feature maps? First a small network has to learn some
# kernels: 24 of 7 × 7 as the first layer, on colour pictures, each less its mean colour. The L2 penalty lets weights
# fade that training has no use for.


# %%
def less_their_mean(pictures):
    """Pictures (n, H, W, C), each less its own mean colour."""
    return pictures - pictures.mean(axis=(1, 2), keepdims=True)


x_train = less_their_mean(cifar.x_train[: budget(quick=4000, full=50000, least=500)].astype("float32") / 255)
y_train = cifar.y_train[: len(x_train)]
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
random_kernels = first.get_weights()[0]
network.fit(x_train, y_train, batch_size=64, epochs=budget(quick=8, full=20, least=1), verbose=0)
learned_kernels = first.get_weights()[0]

# %%
BINOMIAL = {3: np.array([1, 2, 1]) / 4, 5: np.array([1, 4, 6, 4, 1]) / 16}


def blurred(x, weights):
    """x (n, H, W, C), wrapped round, blurred along both axes by a row of weights."""
    return ndimage.convolve1d(ndimage.convolve1d(x, weights, axis=1, mode="wrap"), weights, axis=2, mode="wrap")


def maximum(x):
    """The largest of each 2 × 2 window, wrapped round, at every pixel: max pooling before its stride."""
    return ndimage.maximum_filter(x, (1, 2, 2, 1), mode="wrap")


BEFORE_THE_STRIDE = {
    "nothing": lambda x: x,
    "mean 2": lambda x: blurred(x, np.array([0.5, 0.5])),
    "blur 3": lambda x: blurred(x, BINOMIAL[3]),
    "blur 5": lambda x: blurred(x, BINOMIAL[5]),
    "max 2": maximum,
    "max 2, blur 3": lambda x: blurred(maximum(x), BINOMIAL[3]),
}


def half_moved(y):
    """y (n, H, W, C) moved to the right by half a pixel, by (5.9)."""
    turn = np.exp(-1j * np.pi * np.fft.fftfreq(y.shape[2]))[:, None]
    return np.fft.ifft(np.fft.fft(y, axis=2) * turn, axis=2).real


def unsteadiness(x, before):
    """Mean squared difference between "move by a pixel, then pool" and "pool, then move by half a pixel", over the
    variance of what the pooling leaves."""
    pooled, moved = (before(z)[:, ::2, ::2] for z in (x, np.roll(x, 1, axis=2)))
    return np.mean((moved - half_moved(pooled)) ** 2) / np.var(pooled, axis=(1, 2)).mean()


crops = photos[:100, 1:31, 1:31]  # 30 pixels: half of it is odd
crop = photo[None, 1:31, 1:31]
wrapped = np.pad(less_their_mean(crops), [(0, 0), (3, 3), (3, 3), (0, 0)], mode="wrap")
features = np.maximum(ops.convert_to_numpy(ops.conv(wrapped, learned_kernels)), 0)
errors = {name: [unsteadiness(x, f) for x in (crops, features)] for name, f in BEFORE_THE_STRIDE.items()}

# %%
figure = plt.figure(figsize=(8.6, 3.4))
left, right = figure.subfigures(1, 2, width_ratios=[1.25, 1])
rows = left.subplots(2, 3)
for row, name in zip(rows, ("nothing", "blur 3")):
    before = BEFORE_THE_STRIDE[name]
    one, two = before(np.roll(crop, 1, axis=2))[:, ::2, ::2], half_moved(before(crop)[:, ::2, ::2])
    for axis, picture, title in zip(row, (one, two, 0.5 + one - two), ("move, stride", "stride, move ½", "difference")):
        draw(axis, picture[0], title if name == "nothing" else "")
    row[0].set_ylabel("no blur" if name == "nothing" else "blur 3 first")
left.subplots_adjust(0.05, 0.02, 0.98, 0.9, wspace=0.06, hspace=0.06)
axis = right.subplots()
for k, (group, marker) in enumerate([("pictures", "o"), ("feature maps", "s")]):
    axis.plot([error[k] for error in errors.values()], range(6), marker, markersize=7, label=group)
axis.set(xscale="log", yticks=range(6), xlabel="unsteadiness (logarithmic)")
axis.set_yticklabels(errors)
axis.grid(axis="both", color="#dddddd", linewidth=0.6)
axis.invert_yaxis()
axis.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, fontsize=9)
right.subplots_adjust(0.32, 0.16, 0.97, 0.9)
plt.show()

# %% [markdown]
# *Figure 5.8. Left: a picture moved by a pixel and then pooled, against pooled and then moved by half a pixel; what
# differs is aliasing. Right: the mean squared difference over the variance that is left, for a hundred pictures and for
# their 24 feature maps, by what comes before the stride of 2.*

# %%
falling = np.array([errors[name] for name in ("nothing", "mean 2", "blur 3", "blur 5")])
claim(
    "5.4",
    "each wider blur before the stride leaves a steadier output",
    (falling[1:] < 0.9 * falling[:-1]).all(),
)

# %%
gain = np.divide(errors["max 2"], errors["max 2, blur 3"])
claim(
    "5.5",
    "max pooling too is steadier with a blur between its maximum and its stride",
    gain.min() > 1.5,
)

# %% [markdown]
# The unsteadiness is measured against what is left, so a blur does not win by greying everything out; yet it *does*
# take detail that the network may want, and a wider one takes more. Zhang (2019) put blurs before the strides of large
# networks, which became steadier under shifts and more accurate; Azulay & Weiss (2019) show how often a network without
# them changes its mind when the picture moves by a pixel.
#
# **Try it.** Pictures are wrapped round here. What would the seam add? Put `crops[:, :, ::-1]` behind `crops` along
# axis 2 and cut to 58 columns.
#
# ## Which frequencies does a network need?
#
# Train a small network on digits. Then take waves away from the test pictures, the broadest first or the finest first,
# always leaving the mean brightness.

# %%
lessons = budget(quick=4000, full=60000, least=500)
reader = keras.Sequential(
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
reader.compile("adam", "sparse_categorical_crossentropy")
reader.fit(
    mnist.x_train[:lessons, ..., None].astype("float32") / 255,
    mnist.y_train[:lessons],
    batch_size=64,
    epochs=4,
    verbose=0,
)


def accuracy(pictures):
    """The share of the test digits that the network reads rightly from these pictures of them."""
    return float(np.mean(reader.predict(pictures[..., None], batch_size=500, verbose=0).argmax(axis=1) == digit_labels))


# %%
energies, frequency = mean_energy(digits)
broadest = np.argsort(frequency.ravel(), kind="stable")[1:]  # the order of the waves, without the mean
share_of_energy = energies.ravel()[broadest] / energies.ravel()[broadest].sum()


def without(removed):
    """The test digits without the waves of these numbers in `broadest`."""
    mask = np.ones(28 * 28, bool)
    mask[broadest[removed]] = False
    return keep(digits, mask.reshape(28, 28))


def losses(share, of_energy):
    """Which waves to remove: a share of their number, or of their energy; the broadest, and the finest."""
    weights = share_of_energy if of_energy else np.full(len(broadest), 1 / len(broadest))
    return np.cumsum(weights) <= share, np.cumsum(weights[::-1])[::-1] <= share


shares = [0.1, 0.3, 0.5, 0.7, 0.9]
results = {}
for of_energy in (False, True):
    for share in shares:
        results[of_energy, share] = [accuracy(without(removed)) for removed in losses(share, of_energy)]
full = accuracy(digits)

# %%
figure = plt.figure(figsize=(8.6, 3.4))
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.6])
rows = left.subplots(2, 3)
samples = [0, int(np.argmax(digit_labels == 4)), int(np.argmax(digit_labels == 8))]
for row, removed, label in zip(
    rows, (losses(0.1, False)[0], losses(0.7, False)[1]), ("broadest 10 % lost", "finest 70 % lost")
):
    for axis, picture in zip(row, without(removed)[samples]):
        draw(axis, picture)
    row[0].set_ylabel(label, fontsize=9)
left.subplots_adjust(0.1, 0.05, 0.98, 0.95, wspace=0.06, hspace=0.06)
axes = right.subplots(1, 2, sharey=True)
for axis, of_energy in zip(axes, (False, True)):
    for name, marker, values in zip(
        ("broadest lost", "finest lost"), "os", zip(*(results[of_energy, s] for s in shares))
    ):
        axis.plot([0, *shares], [full, *values], marker=marker, markersize=5, label=name)
    axis.set(xlabel=f"share of the {'energy' if of_energy else 'waves'} removed", ylim=(0, 1))
axes[0].set_ylabel("accuracy on the test digits")
axes[0].legend(loc="center left", fontsize=9)
right.subplots_adjust(0.13, 0.16, 0.98, 0.95, wspace=0.08)
plt.show()

# %% [markdown]
# *Figure 5.9. Left: three digits without the broadest tenth of their waves, and without the finest seven tenths. Right:
# the accuracy when waves are removed, counted by their number and by the energy that they hold.*

# %%
lost_low, lost_high = results[False, 0.1][0], results[False, 0.7][1]
claim(
    "5.6",
    "on digits a CNN loses more from the broadest tenth of the waves than from the finest seven tenths",
    full - lost_low > full - lost_high + 0.2,
)

# %% [markdown]
# Two warnings. First, look at the upper three digits. *You* still read them, and the network hardly does: nothing in
# its training ever asked it to do without the broad waves. Second, are digits then "low-frequency"? By claim 5.1 that
# tenth *is* most of the picture. Count by energy instead, and compare the panel on the right:

# %%
by_number, by_energy = (np.mean([abs(np.subtract(*results[key, share])) for share in shares]) for key in (False, True))
claim(
    "5.7",
    "at equal energy the two losses are closer than at equal numbers",
    by_energy < 0.6 * by_number,
)

# %% [markdown]
# The honest sentence is: *this network needs the waves in which the energy is.* "Low frequencies matter more" is as
# much a statement about digits as about networks. On photographs, networks are often hurt by noise at high frequencies,
# where photographs hold hardly any energy (Yin et al., 2019).
#
# ## A look inside: what first layers listen to
#
# What did the 24 kernels on colour pictures become? Look at them as pictures and by their response, to grey light (the
# three channels alike) and see where each listens most. A kernel whose peak lies neither at the very broadest
# ($< 0.05$) nor at the finest ($> 0.35$ cycles per pixel) is called band-pass here.


# %%
def grey_responses(kernels):
    """Size of the response of kernels (k, k, C, N) to grey light, at 33 × 33 frequencies from -1/2 to 1/2."""
    grid = np.meshgrid(*2 * [np.linspace(-0.5, 0.5, 33)], indexing="ij")
    return np.stack(
        [np.abs(response(kernel, *grid)) for kernel in kernels.sum(axis=2).transpose(2, 0, 1)],
        axis=-1,
    )


def peaks(kernels):
    """The frequency, in cycles per pixel, to which each kernel responds most: (N,)."""
    grid = np.hypot(*np.meshgrid(*2 * [np.linspace(-0.5, 0.5, 33)])).ravel()
    return grid[grey_responses(kernels).reshape(-1, kernels.shape[-1]).argmax(axis=0)]


def band_pass_share(kernels):
    return float(np.mean((peaks(kernels) > 0.05) & (peaks(kernels) < 0.35)))


order = np.argsort(peaks(learned_kernels), kind="stable")[::2]
answers = grey_responses(learned_kernels)
figure, axes = plt.subplots(2, 12, figsize=(9, 2))
for (above, below), m in zip(axes.T, order):
    draw(
        above,
        0.5 + learned_kernels[..., m] / (2 * np.abs(learned_kernels[..., m]).max()),
        f"{peaks(learned_kernels)[m]:.2f}",
    )
    draw(below, answers[..., m] / answers[..., m].max())
axes[0, 0].set_ylabel("kernel")
axes[1, 0].set_ylabel("response")
figure.subplots_adjust(0.03, 0.01, 0.99, 0.88, wspace=0.08, hspace=0.08)
plt.show()

# %% [markdown]
# *Figure 5.10. Every second learned kernel, ordered by the frequency to which it responds most (above it, in cycles per
# pixel), and its response to grey light from black (none) to white (most); flat patches are in the middle of the
# square, the finest waves at its edge.*

# %%
claim(
    "5.8",
    "most first-layer kernels are band-pass after training, and more of them than before",
    band_pass_share(learned_kernels) > max(0.5, band_pass_share(random_kernels)),
)

# %% [markdown]
# Two white spots opposite each other are waves of one direction: an edge finder like Sobel, found by training. A spot
# in the middle means that the kernel is low-pass: often a blob of one colour. The kernels of chapter 3 kept the noise
# of their start; here L2 fades what training does not hold, and ragged responses are what is left of the start.
#
# ## Debug it
#
# "Convolution by FFT is one line", says the web, and gives the line below. Blur a picture with it, and a single white
# pixel near a corner.


# %%
def one_liner(image, kernel):
    return np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(kernel, image.shape)).real


disc = (np.hypot(*np.mgrid[-3:4, -3:4]) < 3.2).astype(float)
spot = np.zeros((32, 32))
spot[28, 5] = 1
figure, axes = plt.subplots(2, 3, figsize=(6, 4.2))
for row, picture, kernel in zip(axes, (photo.mean(axis=-1), spot), (disc / disc.sum(), disc)):
    draw(row[0], picture, "input")
    draw(row[1], signal.convolve2d(picture, kernel, mode="same"), "convolved, same size")
    draw(row[2], one_liner(picture, kernel), "the one-liner")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 5.11. Above: a picture, blurred by a disc (the dark frame in the middle comes from the zeros outside). Below:
# one white pixel near a corner.*
#
# What are the two mistakes? Read them off the lower row before you go on.
#
# The disc stands too far down and to the right: the kernel's origin is its first pixel, not its middle. And what ought
# to fall off the edge comes in again on the other side, since nothing was padded. In a picture both are easy to miss.
# The repair is exercise 5.7. The habit to keep is that of chapter 3, with one word more: send in a single white pixel,
# *near the edge*.
#
# ## This run

# %%
record(
    fft_speed_up_at_41=ratio[-1],
    unsteadiness_without_blur=errors["nothing"][0],
    unsteadiness_with_blur=errors["blur 3"][0],
    band_pass_share=band_pass_share(learned_kernels),
)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. A failed check names the input, what came out and what
# was expected. Plain Python and NumPy are enough, and the functions of the lesson are yours to use.
#
# **Exercise 5.1 ★** In films the wheels of a coach turn slowly, or backwards. A camera is a stride in time.


# %%
# Exercise 5.1
def filmed_turns(spokes, turns, frames):
    """The revolutions per second that a filmed wheel seems to make: the fewest that explain
    the film.

    spokes: number of spokes, all alike, at equal angles. turns: true revolutions per second,
    negative for backwards. frames: pictures per second. Returns a float; where forwards and
    backwards explain it equally well, the negative.
    Example: filmed_turns(1, 25, 24) is 1.0, and filmed_turns(1, 23, 24) is -1.0.
    """
    ### BEGIN SOLUTION
    cycles = turns * spokes / frames  # of the pattern, which repeats at every spoke, per picture
    return float(alias(cycles, 1) * frames / spokes)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("5.1")


@ex.cases
def _(rng):
    yield from [(1, 25, 24), (1, 23, 24), (4, 6, 24), (4, 3, 24), (1, 12, 24), (8, 0, 25)]
    for _ in range(24):
        spokes, frames = int(rng.integers(1, 13)), int(rng.choice([24, 25, 30]))
        # not near a tie, where the last digit of a float would decide
        cycles = int(rng.integers(-6, 7)) + float(rng.uniform(-0.49, 0.49))
        yield spokes, round(cycles * frames / spokes, 3), frames


@ex.oracle
def _(spokes, turns, frames):
    # Whatever differs by a whole number of spokes per picture looks alike: try many, keep the slowest.
    looks_alike = turns + np.arange(-2000, 2001) * frames / spokes
    slowest = np.abs(looks_alike).min()
    return float(looks_alike[np.abs(looks_alike) <= slowest + 1e-9].min())


def _fold(cycles):
    return cycles - np.floor(cycles + 0.5)


@ex.wrong
def one_spoke(spokes, turns, frames):
    """Right for a single spoke. With more, the wheel looks the same again after less than a whole turn."""
    return float(_fold(turns / frames) * frames)


@ex.wrong
def always_forwards(spokes, turns, frames):
    """You keep the remainder, which is never negative. A wheel that turns most of a spoke ahead seems to turn back."""
    return float((turns * spokes / frames % 1) * frames / spokes)


@ex.wrong
def per_picture(spokes, turns, frames):
    """That is how far the pattern seems to move per picture, in spokes; revolutions per second are asked for."""
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
def stack_response(kernels, dilations, mu):
    """The frequency response of several cross-correlations (3.1) of a row, one after the
    other, without stride or bias.

    kernels: list of rows of numbers, each of odd length; their origin is their middle.
    dilations: list of whole numbers >= 1, as many: the numbers of a kernel stand so many
    pixels apart. mu: cycles per pixel. Returns a complex number.
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
        product = product * response(np.array([kernel]), 0, dilation * mu)
    return complex(product)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import freqz

ex = exercise("5.2")


@ex.cases
def _(rng):
    yield [[1, 0, -1]], [1], 0.25
    yield [[1, 0, -1]], [2], 0.25
    yield [[1.0, 2.0]], [1], 0.1
    yield [[1.0, 2.0, 1.0], [1.0]], [1], 0.1
    yield [], [], 0.3
    for _ in range(20):
        depth = int(rng.integers(1, 4))
        rows = [[round(float(w), 2) for w in rng.normal(size=2 * int(rng.integers(0, 3)) + 1)] for _ in range(depth)]
        yield (
            rows,
            [int(d) for d in rng.integers(1, 4, depth)],
            round(float(rng.uniform(-0.5, 0.5)), 3),
        )


@ex.oracle
def _(kernels, dilations, mu):
    if len(kernels) != len(dilations) or any(len(kernel) % 2 == 0 for kernel in kernels):
        raise ValueError("lengths")
    whole = np.ones(1)  # one kernel that does what all of them do; freqz gives the response of its convolution
    for kernel, dilation in zip(kernels, dilations):
        spread = np.zeros((len(kernel) - 1) * dilation + 1)
        spread[::dilation] = kernel
        whole = np.convolve(whole, spread)
    angle = 2 * np.pi * mu
    return complex(np.conj(freqz(whole, worN=[angle])[1][0]) * np.exp(-1j * angle * (len(whole) // 2)))


def _one(kernel, mu, middle, sign=1):
    at = np.arange(len(kernel)) - (len(kernel) // 2 if middle else 0)
    return np.sum(np.asarray(kernel) * np.exp(sign * 2j * np.pi * mu * at))


def _refuse(kernels, dilations):
    if len(kernels) != len(dilations) or any(len(kernel) % 2 == 0 for kernel in kernels):
        raise ValueError


def _product(kernels, dilations, factor):
    _refuse(kernels, dilations)
    return complex(np.prod([factor(kernel, dilation) for kernel, dilation in zip(kernels, dilations)]))


@ex.wrong
def added(kernels, dilations, mu):
    """One layer after the other multiplies the wave once more; you add the responses up."""
    _refuse(kernels, dilations)
    return complex(sum(_one(kernel, d * mu, True) for kernel, d in zip(kernels, dilations)))


@ex.wrong
def without_dilation(kernels, dilations, mu):
    """Right where all dilations are 1. A dilated kernel meets the wave at every d-th pixel."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, mu, True))


@ex.wrong
def divided(kernels, dilations, mu):
    """Between two numbers of a dilated kernel the wave goes on d times as far, not a d-th of the way."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, mu / d, True))


@ex.wrong
def from_the_start(kernels, dilations, mu):
    """The size of the response is right and its angle is not: the origin of a kernel is its middle."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, d * mu, False))


@ex.wrong
def conjugated(kernels, dilations, mu):
    """That is the response of the turned kernels: the sign in the exponent is that of cross-correlation, (5.2)."""
    return _product(kernels, dilations, lambda kernel, d: _one(kernel, d * mu, True, -1))


@ex.wrong
def size_only(kernels, dilations, mu):
    """That is the size of the response. A response has an angle too, and for symmetric kernels at least a sign."""
    return _product(kernels, dilations, lambda kernel, d: abs(_one(kernel, d * mu, True)))


@ex.wrong
def never_refuses(kernels, dilations, mu):
    """The numbers are right; but refuse, with a ValueError, kernels of even length and lists of different lengths."""
    return complex(np.prod([_one(kernel, d * mu, True) for kernel, d in zip(kernels, dilations)]))


@ex.right
def by_running_it(kernels, dilations, mu):
    _refuse(kernels, dilations)
    reach = sum(len(kernel) // 2 * d for kernel, d in zip(kernels, dilations))
    row = np.exp(2j * np.pi * mu * np.arange(-reach, reach + 1))
    for kernel, d in zip(kernels, dilations):
        size = len(row) - (len(kernel) - 1) * d
        row = sum(weight * row[i * d : i * d + size] for i, weight in enumerate(kernel))
    return complex(row[0])


# %%
check("5.2", stack_response)

# %% [markdown]
# **Exercise 5.3 ★★** Cross-correlation by FFT, with the right padding and the right cut.


# %%
# Exercise 5.3
def fft_correlate(image, kernel, mode):
    """Cross-correlation (3.1) of a picture, by FFT.

    image (H, W), kernel (kh, kw): arrays of floats. mode: "valid", only windows that lie in
    the picture: an array (H - kh + 1, W - kw + 1); or "full", every window that touches it,
    zeros outside: (H + kh - 1, W + kw - 1).
    Raises ValueError for another mode, and in mode "valid" where the kernel is larger than the
    picture along an axis.
    Example: for image [[1, 2, 3]] and kernel [[0, 1]], "valid" gives [[2, 3]] and "full" gives
    [[1, 2, 3, 0]].
    """
    ### BEGIN SOLUTION
    if mode not in ("valid", "full"):
        raise ValueError(f'mode must be "valid" or "full", and it is {mode!r}')
    whole_of_it = full_convolve(image, kernel[::-1, ::-1])
    if mode == "full":
        return whole_of_it
    must_fit(image, kernel)
    (height, width), (kh, kw) = image.shape, kernel.shape
    return whole_of_it[kh - 1 : height, kw - 1 : width]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import correlate2d

ex = exercise("5.3")


@ex.cases
def _(rng):
    row = np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 1.0]])
    yield *row, "valid"
    yield *row, "full"
    yield *row, "same"
    yield rng.normal(size=(4, 5)), rng.normal(size=(5, 2)), "valid"
    yield rng.normal(size=(4, 5)), rng.normal(size=(2, 6)), "valid"
    yield rng.normal(size=(3, 2)), rng.normal(size=(5, 4)), "full"
    for count in range(20):
        kernel = rng.integers(1, 6, 2)
        yield (
            rng.normal(size=kernel + rng.integers(0, 6, 2)),
            rng.normal(size=kernel),
            ["valid", "full"][count % 2],
        )


@ex.oracle
def _(image, kernel, mode):
    if mode not in ("valid", "full") or mode == "valid" and np.any(np.greater(kernel.shape, image.shape)):
        raise ValueError("mode or size")
    return correlate2d(image, kernel, mode=mode)


def _refuse(image, kernel, mode):
    if mode not in ("valid", "full") or mode == "valid" and np.any(np.greater(kernel.shape, image.shape)):
        raise ValueError


def _wrapped(image, kernel, shape):
    return np.fft.ifft2(np.fft.fft2(image, shape) * np.conj(np.fft.fft2(kernel, shape))).real


def _lengths(image, kernel):
    return [n + k - 1 for n, k in zip(image.shape, kernel.shape)]


def _cut(full, image, kernel, mode):
    if mode == "full":
        return full
    return full[kernel.shape[0] - 1 : image.shape[0], kernel.shape[1] - 1 : image.shape[1]]


@ex.wrong
def unpadded(image, kernel, mode):
    """ "valid" is right. In "full", what falls off one side comes in again on the other: pad to n + k - 1."""
    _refuse(image, kernel, mode)
    shape = [max(n, k) for n, k in zip(image.shape, kernel.shape)]
    around = _wrapped(image, kernel, shape)
    if mode == "valid":
        return around[: image.shape[0] - kernel.shape[0] + 1, : image.shape[1] - kernel.shape[1] + 1]
    rows, columns = _lengths(image, kernel)
    return np.pad(around, [(k - 1, 0) for k in kernel.shape], mode="wrap")[:rows, :columns]


@ex.wrong
def not_turned(image, kernel, mode):
    """The kernel is turned by 180°: the plain product of two transforms is convolution (5.10), not (5.11)."""
    _refuse(image, kernel, mode)
    shape = _lengths(image, kernel)
    return _cut(
        np.fft.ifft2(np.fft.fft2(image, shape) * np.fft.fft2(kernel, shape)).real,
        image,
        kernel,
        mode,
    )


@ex.wrong
def not_rolled(image, kernel, mode):
    """ "valid" is right. In "full", the windows that begin before the picture come first; after a conjugate they stand
    at the far end of the array."""
    _refuse(image, kernel, mode)
    around = _wrapped(image, kernel, _lengths(image, kernel))
    if mode == "valid":
        return around[: image.shape[0] - kernel.shape[0] + 1, : image.shape[1] - kernel.shape[1] + 1]
    return around


@ex.wrong
def cut_at_the_corner(image, kernel, mode):
    """ "full" is right. For "valid" cut at both ends: the first k - 1 windows of "full" begin before the picture."""
    _refuse(image, kernel, mode)
    full = correlate2d(image, kernel, mode="full")
    if mode == "full":
        return full
    return full[: image.shape[0] - kernel.shape[0] + 1, : image.shape[1] - kernel.shape[1] + 1]


@ex.wrong
def not_cut(image, kernel, mode):
    """You return every window in both modes; "valid" wants only those that lie wholly in the picture."""
    _refuse(image, kernel, mode)
    return correlate2d(image, kernel, mode="full")


@ex.wrong
def sizes_only(image, kernel, mode):
    """Take the real part, not the absolute value: a cross-correlation may be negative."""
    _refuse(image, kernel, mode)
    return np.abs(correlate2d(image, kernel, mode=mode))


@ex.wrong
def never_refuses(image, kernel, mode):
    """What you return is right; but another mode, or a kernel that is too large for "valid", must raise ValueError."""
    return _cut(correlate2d(image, kernel, mode="full"), image, kernel, mode)


@ex.right
def by_rolling(image, kernel, mode):
    _refuse(image, kernel, mode)
    (height, width), (kh, kw) = image.shape, kernel.shape
    around = _wrapped(image, kernel, (height + kh, width + kw))
    if mode == "valid":
        return around[: height - kh + 1, : width - kw + 1]
    return np.roll(around, (kh - 1, kw - 1), axis=(0, 1))[:-1, :-1]


# %%
check("5.3", fft_correlate)

# %% [markdown]
# **Exercise 5.4 ★★** Keep one band of frequencies of a picture, grey or in colour, square or not.


# %%
# Exercise 5.4
def band_of(image, low, high):
    """The waves of a picture whose frequency, in whatever direction, is at least `low` and
    below `high`.

    image (H, W) or (H, W, C): array of floats, each channel by itself. low, high: cycles per
    pixel; the frequency of the wave (mu, nu) is sqrt(mu^2 + nu^2). Returns an array of floats,
    the shape of the image.
    Raises ValueError where the image has neither 2 nor 3 axes.
    Example: band_of(image, 0, 1) is the image; band_of(image, 0.01, 1) is the image less its
    mean, up to 100 pixels.
    """
    ### BEGIN SOLUTION
    if image.ndim not in (2, 3):
        raise ValueError(f"the image must have 2 or 3 axes, and it has {image.ndim}: shape {image.shape}")
    frequency = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
    mask = (frequency >= low) & (frequency < high)
    mask = mask if image.ndim == 2 else mask[..., None]
    return np.fft.ifft2(np.fft.fft2(image, axes=(0, 1)) * mask, axes=(0, 1)).real
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("5.4")


@ex.cases
def _(rng):
    yield rng.normal(size=(6, 6)), 0.0, 1.0
    yield rng.normal(size=(6, 9)), 0.01, 1.0
    yield rng.normal(size=(8, 8)), 0.125, 0.25
    yield rng.normal(size=(8, 8, 3)), 0.0, 0.125
    yield rng.normal(size=7), 0.0, 0.2
    yield rng.normal(size=(1, 7, 6, 3)), 0.0, 0.2
    for count in range(18):
        low = float(rng.uniform(0, 0.3))
        shape = (*rng.integers(5, 12, 2), *([3] if count % 2 else []))
        yield rng.normal(size=shape), low, low + float(rng.uniform(0.1, 0.3))


@ex.oracle
def _(image, low, high):
    if image.ndim not in (2, 3):
        raise ValueError("axes")
    # Wave by wave, with the frequency of each index written out, and no FFT.
    (height, width), flat = image.shape[:2], image.reshape(*image.shape[:2], -1)
    u, v = np.mgrid[:height, :width]
    result = np.zeros(flat.shape)
    for q in range(height):
        for r in range(width):
            mu, nu = min(q, height - q) / height, min(r, width - r) / width
            if low <= np.sqrt(mu**2 + nu**2) < high:
                wave = np.exp(2j * np.pi * (q * u / height + r * v / width))
                weight = np.tensordot(np.conj(wave), flat, axes=2) / (height * width)
                result += (wave[..., None] * weight).real
    return result.reshape(image.shape)


def _filtered(image, mask, axes=(0, 1)):
    if image.ndim not in (2, 3):
        raise ValueError
    mask = mask if image.ndim == 2 else mask[..., None]
    return np.fft.ifft2(np.fft.fft2(image, axes=axes) * mask, axes=axes).real


def _band(down, right, low, high):
    frequency = np.hypot(down[:, None], right)
    return (frequency >= low) & (frequency < high)


def _frequencies(image):
    return [np.fft.fftfreq(n) for n in image.shape[:2]] if image.ndim > 1 else [np.zeros(1)] * 2


@ex.wrong
def last_axes(image, low, high):
    """Right for grey pictures. fft2 transforms the last two axes unless told otherwise; the last one is channels."""
    return _filtered(image, _band(*_frequencies(image), low, high), axes=(-2, -1))


@ex.wrong
def no_negative_frequencies(image, low, high):
    """Indices beyond the middle are negative frequencies: q and q - n are the same wave, so q = n - 1 is broad."""
    positive = [np.arange(n) / n for n in image.shape[:2]] if image.ndim > 1 else [np.zeros(1)] * 2
    return _filtered(image, _band(*positive, low, high))


@ex.wrong
def not_shifted_back(image, low, high):
    """Your mask has frequency 0 in the middle, and fft2 puts it at index 0: shift one of the two."""
    return _filtered(image, np.fft.fftshift(_band(*_frequencies(image), low, high)))


@ex.wrong
def one_size(image, low, high):
    """Right for square pictures. An axis with n pixels has the frequencies q / n, its own n."""
    size = image.shape[0]
    indices = [np.fft.fftfreq(n) * n / size for n in image.shape[:2]] if image.ndim > 1 else [np.zeros(1)] * 2
    return _filtered(image, _band(*indices, low, high))


@ex.wrong
def square_band(image, low, high):
    """You take the larger of the two frequencies; that of a slanting wave is the square root of mu^2 + nu^2."""
    down, right = (np.abs(f) for f in _frequencies(image))
    frequency = np.maximum(down[:, None], right)
    return _filtered(image, (frequency >= low) & (frequency < high))


@ex.wrong
def both_ends(image, low, high):
    """A wave whose frequency is exactly `high` does not belong to the band, one of exactly `low` does."""
    frequency = np.hypot(*np.ix_(*_frequencies(image)))
    return _filtered(image, (frequency >= low) & (frequency <= high))


@ex.wrong
def sizes_only(image, low, high):
    """The absolute value turns what is negative round. A band without the mean is negative at half of the pixels."""
    return np.abs(_filtered(image, _band(*_frequencies(image), low, high)))


@ex.wrong
def refuses_colour(image, low, high):
    """Grey pictures come out right. One with channels has three axes, and is to be filtered channel by channel."""
    if image.ndim != 2:
        raise ValueError
    return _filtered(image, _band(*_frequencies(image), low, high))


@ex.right
def by_matrices(image, low, high):
    if image.ndim not in (2, 3):
        raise ValueError(f"{image.ndim} axes")
    channels = image[..., None] if image.ndim == 2 else image
    down, right = (np.fft.fft(np.eye(n)) for n in channels.shape[:2])
    spectra = np.einsum("qu,uvc,vr->qrc", down, channels, right)
    f, g = ((np.arange(n) + n // 2) % n - n // 2 for n in channels.shape[:2])
    squares = (f[:, None] / len(f)) ** 2 + (g / len(g)) ** 2
    spectra[~((squares >= low**2) & (squares < high**2))] = 0
    back = np.einsum("uq,qrc,rv->uvc", np.conj(down), spectra, np.conj(right)).real / squares.size
    return back.reshape(image.shape)


# %%
check("5.4", band_of)

# %% [markdown]
# **Exercise 5.5 ★★** Anti-aliased pooling, as Zhang (2019) puts it before each stride: a layer in NumPy.


# %%
# Exercise 5.5
def blur_pool(x, stride):
    """Blur by the weights 1/4, 1/2, 1/4 along rows and columns, then keep every stride-th
    pixel, from the first on.

    x (H, W, C): array of floats. stride: whole number >= 1, for both axes. Around the picture
    lies its mirror image, without the edge pixel itself twice: a row a, b, c goes on b, a, b,
    c, b.
    Returns an array (ceil(H / stride), ceil(W / stride), C). Raises ValueError where H or W is
    below 2.
    Example: a row of columns 0, 4, 0, 0 becomes, at stride 1, the row 2, 2, 1, 0.
    """
    ### BEGIN SOLUTION
    for axis in (0, 1):
        if x.shape[axis] < 2:
            raise ValueError(f"axis {axis}: a mirror needs at least 2 pixels, and there is {x.shape[axis]}")
    x = np.pad(x, [(1, 1), (1, 1), (0, 0)], mode="reflect")
    x = (x[:-2] + 2 * x[1:-1] + x[2:]) / 4
    x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
    return x[::stride, ::stride]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.ndimage import correlate1d

ex = exercise("5.5")


@ex.cases
def _(rng):
    yield np.array([[[0.0], [4.0], [0.0], [0.0]]] * 2), 1
    yield np.ones((3, 3, 1)), 2
    yield rng.normal(size=(1, 4, 2)), 2
    yield rng.normal(size=(4, 1, 2)), 1
    for _ in range(22):
        yield (
            rng.normal(size=(*rng.integers(2, 9, 2), int(rng.integers(1, 4)))),
            int(rng.integers(1, 4)),
        )


@ex.oracle
def _(x, stride):
    if min(x.shape[:2]) < 2:
        raise ValueError("no mirror")
    for axis in (0, 1):
        x = correlate1d(x, [0.25, 0.5, 0.25], axis=axis, mode="mirror")
    return x[::stride, ::stride]


def _blur(x, mode="reflect", axes=(0, 1), weights=(0.25, 0.5, 0.25)):
    if min(x.shape[:2]) < 2:
        raise ValueError
    for axis in axes:
        y = np.moveaxis(x, axis, 0)
        y = np.pad(y, [(1, 1), *[(0, 0)] * (y.ndim - 1)], mode=mode)
        y = weights[0] * y[:-2] + weights[1] * y[1:-1] + weights[2] * y[2:]
        x = np.moveaxis(y, 0, axis)
    return x


@ex.wrong
def stride_first(x, stride):
    """First blur, then stride. What has been folded by the stride, no blur can tell apart any more."""
    if min(x.shape[:2]) < 2:
        raise ValueError
    small = x[::stride, ::stride]
    padded = (
        np.pad(small, [(1, 1), (1, 1), (0, 0)], mode="reflect")
        if min(small.shape[:2]) > 1
        else np.pad(small, [(1, 1), (1, 1), (0, 0)], mode="edge")
    )
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


@ex.wrong
def zeros_outside(x, stride):
    """The inside is right, the edge too dark: around the picture lies its mirror image, not zeros."""
    return _blur(x, "constant")[::stride, ::stride]


@ex.wrong
def edge_twice(x, stride):
    """The inside is right; the mirror repeats the edge pixel. A row a, b, c goes on with b, not with a second c."""
    return _blur(x, "symmetric")[::stride, ::stride]


@ex.wrong
def rows_only(x, stride):
    """Blurred along one axis only; the stride goes along both, and so must the blur."""
    return _blur(x, axes=(0,))[::stride, ::stride]


@ex.wrong
def not_normalised(x, stride):
    """Sixteen times too bright: the weights of a blur sum to 1, along each axis."""
    return _blur(x, weights=(1, 2, 1))[::stride, ::stride]


@ex.wrong
def channels_too(x, stride):
    """You blur over the channels as well; they are no neighbours."""
    if min(x.shape[:2]) < 2:
        raise ValueError
    y = _blur(x)
    padded = np.pad(y, [(0, 0), (0, 0), (1, 1)], mode="reflect" if y.shape[2] > 1 else "edge")
    return ((padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]) / 4)[::stride, ::stride]


@ex.wrong
def plain_mean(x, stride):
    """The weights are 1/4, 1/2, 1/4; you take the mean of three, which lets a negative of the finest wave pass."""
    return _blur(x, weights=(1 / 3, 1 / 3, 1 / 3))[::stride, ::stride]


@ex.wrong
def from_the_second(x, stride):
    """The blur is right; then keep the pixels 0, s, 2s, ..., from the first on."""
    return _blur(x)[stride - 1 :: stride, stride - 1 :: stride]


@ex.right
def pixel_by_pixel(x, stride):
    height, width, channels = x.shape
    if height < 2 or width < 2:
        raise ValueError("too small for a mirror")

    def at(index, size):
        return -index if index < 0 else 2 * size - 2 - index if index >= size else index

    output = np.zeros((-(-height // stride), -(-width // stride), channels))
    for u, v in np.ndindex(output.shape[:2]):
        for i, a in zip((-1, 0, 1), (1, 2, 1)):
            for j, b in zip((-1, 0, 1), (1, 2, 1)):
                output[u, v] += a * b / 16 * x[at(u * stride + i, height), at(v * stride + j, width)]
    return output


# %%
check("5.5", blur_pool)

# %% [markdown]
# **Exercise 5.6 ★★★** The sampling theorem at work: make a row finer without making anything up. Mind the wave at $n/2$
# of an even row: it is its own negative frequency, and in the finer row the two are different waves.


# %%
# Exercise 5.6
def finer(row, factor):
    """The row with `factor` times as many pixels, and no frequency that the row does not have.

    row (n,): array of floats, taken to repeat. factor: whole number >= 1. Returns an array
    (n * factor,); its pixels 0, factor, 2 * factor, ... are those of the row. For even n, the
    wave at n / 2 goes half to each of its two signs.
    Raises ValueError where the row has more than one axis.
    Example: finer(np.array([1.0, -1.0]), 2) is [1, 0, -1, 0].
    """
    ### BEGIN SOLUTION
    if row.ndim != 1:
        raise ValueError(f"the row must have 1 axis, and it has {row.ndim}: shape {row.shape}")
    n = len(row)
    spectrum = np.zeros(n * factor, complex)
    for q in range(n):
        weight = np.sum(row * np.exp(-2j * np.pi * q * np.arange(n) / n))
        if 2 * q == n:
            spectrum[q] += weight / 2
            spectrum[-q] += weight / 2
        else:
            spectrum[q if 2 * q < n else q - n] += weight
    return factor * np.fft.ifft(spectrum).real
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.signal import resample

ex = exercise("5.6")


@ex.cases
def _(rng):
    yield np.array([1.0, -1.0]), 2
    yield np.array([3.0]), 4
    yield rng.normal(size=5), 1
    yield rng.normal(size=6), 1
    yield rng.normal(size=(3, 4)), 2
    yield np.array([[1.0, 3.0, 2.0, 0.0]]), 2
    for n in range(2, 18):
        yield rng.normal(size=n), int(rng.integers(2, 5))


@ex.oracle
def _(row, factor):
    if row.ndim != 1:
        raise ValueError("axes")
    return resample(row, len(row) * factor)


def _refuse(row):
    if row.ndim != 1:
        raise ValueError


def _from_half(row, factor, halve=1.0):
    n = len(row)
    half = np.fft.rfft(row)
    if n % 2 == 0 and factor > 1:
        half[-1] = half[-1] * halve
    return np.fft.irfft(half, n * factor) * factor


@ex.wrong
def too_dark(row, factor):
    """Every value is too small by the factor: (5.7) divides by the number of pixels, and there are more of them now."""
    _refuse(row)
    return _from_half(row, factor, 0.5) / factor


@ex.wrong
def not_halved(row, factor):
    """Odd rows are right. In even ones the wave at n / 2 counts twice, once for each sign."""
    _refuse(row)
    return _from_half(row, factor, 1.0)


@ex.wrong
def dropped(row, factor):
    """Odd rows are right. In even ones the wave at n / 2 is lost."""
    _refuse(row)
    return _from_half(row, factor, 0.0) if factor > 1 else row


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
    """Rows come out right; but what has more than one axis must be refused, with a ValueError."""
    return resample(row, row.shape[0] * factor)


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
# **Exercise 5.7 ★★** Repair the one-liner of "Debug it": convolution with zeros outside the picture, of the picture's
# size, the kernel's middle on the pixel that is computed.


# %%
# Exercise 5.7
def convolved_by_fft(image, kernel):
    """Convolution of a picture with zeros around it, by FFT; the output has the picture's
    size.

    image (H, W), kernel (kh, kw): arrays of floats, the kernel's sizes odd and no larger than
    the picture's.
    Returns an array (H, W): output (u, v) has the kernel's middle on pixel (u, v), and the
    kernel turned as in (3.2).
    Example: for image [[0, 1, 0, 0]] and kernel [[1, 2, 3]] the output is [[1, 2, 3, 0]].
    """
    ### BEGIN SOLUTION
    shape = [n + k - 1 for n, k in zip(image.shape, kernel.shape)]
    full = np.fft.ifft2(np.fft.fft2(image, shape) * np.fft.fft2(kernel, shape)).real
    top, left = (k // 2 for k in kernel.shape)
    return full[top : top + image.shape[0], left : left + image.shape[1]]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.ndimage import convolve

ex = exercise("5.7", start="from_the_web")


@ex.cases
def _(rng):
    yield np.array([[0.0, 1.0, 0.0, 0.0]]), np.array([[1.0, 2.0, 3.0]])
    yield rng.normal(size=(4, 4)), np.array([[2.0]])
    yield rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    for _ in range(20):
        kernel = 2 * rng.integers(0, 3, 2) + 1
        yield rng.normal(size=kernel + rng.integers(0, 6, 2)), rng.normal(size=kernel)


@ex.oracle
def _(image, kernel):
    return convolve(image, kernel, mode="constant")


@ex.wrong
def from_the_web(image, kernel):
    """Nothing is padded, so what leaves on one side comes in on the other; and the kernel's origin is its first pixel,
    so the picture moves down and to the right."""
    return np.fft.ifft2(np.fft.fft2(image) * np.fft.fft2(kernel, image.shape)).real


def _padded(image, kernel, shape, top, left):
    full = np.fft.ifft2(np.fft.fft2(image, shape) * np.fft.fft2(kernel, shape)).real
    return np.roll(full, (-top, -left), axis=(0, 1))[: image.shape[0], : image.shape[1]]


@ex.wrong
def padded_only(image, kernel):
    """Nothing wraps round any more. The picture still stands too far down and to the right: cut its middle out."""
    return _padded(image, kernel, np.add(image.shape, kernel.shape) - 1, 0, 0)


@ex.wrong
def moved_only(image, kernel):
    """The picture stands where it should. What leaves on one side still comes in on the other: pad both with zeros."""
    return _padded(image, kernel, image.shape, *(k // 2 for k in kernel.shape))


@ex.wrong
def cut_at_the_end(image, kernel):
    """You cut off the whole surplus at the top and left; half of it lies at the other end."""
    return _padded(image, kernel, np.add(image.shape, kernel.shape) - 1, *(k - 1 for k in kernel.shape))


@ex.wrong
def turned(image, kernel):
    """Place and edges are right, but the kernel is turned: with a conjugate it is cross-correlation."""
    return convolve(image, kernel[::-1, ::-1], mode="constant")


@ex.wrong
def one_axis(image, kernel):
    """One axis is repaired. The columns still wrap round: pad along both axes."""
    shape = (image.shape[0] + kernel.shape[0] - 1, image.shape[1])
    return _padded(image, kernel, shape, *(k // 2 for k in kernel.shape))


@ex.wrong
def sizes_only(image, kernel):
    """Place and edges are right; but you take the absolute value where the real part is meant."""
    return np.abs(convolve(image, kernel, mode="constant"))


@ex.right
def with_half_the_zeros(image, kernel):
    top, left = (k // 2 for k in kernel.shape)
    padded = np.pad(image, [(top, top), (left, left)])
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel, padded.shape)
    return np.fft.irfft2(spectrum, padded.shape)[2 * top :, 2 * left :]


# %%
check("5.7", convolved_by_fft)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | a wave through a kernel | the same wave, times $R_K(\mu, \nu)$ | (5.1) |
# | frequency response | $R_K(\mu, \nu) = \sum_{i,j} K(i,j)\, e^{2\pi\mathrm{i}(\mu i + \nu j)}$ | (5.2) |
# | mean; Gaussian | $\sin(\pi k\mu) / (k\sin\pi\mu)$; about $e^{-2\pi^2\sigma^2\mu^2}$ | (5.3), (5.4) |
# | Sobel | $4\,\mathrm{i}\sin(2\pi\nu)\,(1 + \cos 2\pi\mu)$ | (5.5) |
# | DFT; and back | $\hat I = \sum I\, e^{-2\pi\mathrm{i}(qu/H + rv/W)}$; the same with $+$, over $HW$ | (5.6), (5.7) |
# | energy; a move | $\sum I^2 = \frac1{HW}\sum \lvert\hat I\rvert^2$; phases turn, sizes stay | (5.8), (5.9) |
# | convolution theorem | $\hat I \cdot \hat K$ for $*$; $\hat I \cdot \overline{\hat K}$ for $\star$ | (5.10), (5.11) |
# | no wrap-around | pad to $n + k - 1$, or cut to the first $n - k + 1$ | (5.12), (5.13) |
# | FFT | halves; $\frac n2 \log_2 n$ products; a convolution costs the same for every $k$ | (5.14)–(5.16) |
# | alias | $\mu' = s\mu - \lfloor s\mu + \frac12 \rfloor$ | (5.17) |
# | a stride | folds the spectrum: the mean of $s$ parts | (5.18) |
# | sampling theorem | nothing at $1/(2s)$ or above: nothing lost | (5.19) |
# | shift error of stride 2 | $2\,\lVert x_\text{high} \rVert^2$ | (5.20) |
#
# ## References
#
# - A. Azulay and Y. Weiss, *Why do deep convolutional networks generalize so poorly to small image transformations?*,
#   2019, Journal of Machine Learning Research 20.
# - J. W. Cooley and J. W. Tukey, *An algorithm for the machine calculation of complex Fourier series*, 1965,
#   Mathematics of Computation 19.
# - D. J. Field, *Relations between the statistics of natural images and the response properties of cortical cells*,
#   1987, Journal of the Optical Society of America A 4.
# - A. Lavin and S. Gray, *Fast algorithms for convolutional neural networks*, 2016, CVPR.
# - M. Mathieu, M. Henaff and Y. LeCun, *Fast training of convolutional networks through FFTs*, 2014, ICLR.
# - A. V. Oppenheim and J. S. Lim, *The importance of phase in signals*, 1981, Proceedings of the IEEE 69.
# - C. E. Shannon, *Communication in the presence of noise*, 1949, Proceedings of the IRE 37.
# - D. Yin, R. Gontijo Lopes, J. Shlens, E. D. Cubuk and J. Gilmer, *A Fourier perspective on model robustness in
#   computer vision*, 2019, NeurIPS.
# - R. Zhang, *Making convolutional networks shift-invariant again*, 2019, ICML.
