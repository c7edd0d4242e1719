# %% [raw]
# title: Contrastive learning
# part: V. Learning with fewer labels
# minutes: 150
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - softmax and cross-entropy
#   - Adam
#   - batch normalisation
#   - cross-correlation and convolution
#   - output size, stride, padding and dilation
#   - channels
#   - translation equivariance
#   - invariance against equivariance
#   - training, validation and test data
#   - early stopping
#   - callbacks
#   - accuracy and its standard error
#   - Kullback-Leibler divergence
#   - evidence lower bound
#   - self-supervised learning
#   - pretext task
#   - conditional entropy as the floor of a loss
#   - shortcuts
#   - linear probe
#   - comparing with few labels
# teaches:
#   - contrastive learning
#   - augmentations as a definition of sameness
#   - random resized crop
#   - mutual information
#   - InfoNCE and its bound on information
#   - NT-Xent and SimCLR
#   - temperature and hard negatives
#   - projection head
#   - alignment and uniformity
#   - t-SNE
# data: [MNIST, CIFAR-10]
# sources:
#   - "Hadsell, Chopra & LeCun, Dimensionality reduction by learning an invariant mapping, 2006"
#   - "Van der Maaten & Hinton, Visualizing data using t-SNE, 2008"
#   - "Wattenberg, Viégas & Johnson, How to use t-SNE effectively, 2016"
#   - "Van den Oord, Li & Vinyals, Representation learning with contrastive predictive coding, 2018"
#   - "Wu, Xiong, Yu & Lin, Unsupervised feature learning via non-parametric instance discrimination, 2018"
#   - "Poole, Ozair, van den Oord, Alemi & Tucker, On variational bounds of mutual information, 2019"
#   - "Chen, Kornblith, Norouzi & Hinton, A simple framework for contrastive learning of visual representations, 2020"
#   - "He, Fan, Wu, Xie & Girshick, Momentum contrast for unsupervised visual representation learning, 2020"
#   - "McAllester & Stratos, Formal limitations on the measurement of mutual information, 2020"
#   - "Tian et al., What makes for good views for contrastive learning?, 2020"
#   - "Tschannen, Djolonga, Rubenstein, Gelly & Lucic, On mutual information maximization, 2020"
#   - "Wang & Isola, Understanding contrastive representation learning, 2020"
#   - "Wang & Liu, Understanding the behaviour of contrastive loss, 2021"

# %% [markdown]
# Eight digits were cut up, each of them twice, and the sixteen cuttings shuffled. Which one was cut from the same digit
# as the first?

# %%
from course import at_once, budget, check, claim, data, gradient, plots, predict, prove, record, rewinder, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import integrate, ndimage, spatial, special, stats
from sklearn.linear_model import Ridge
from sklearn.manifold import TSNE
from sklearn.metrics.pairwise import paired_euclidean_distances

rng = start("21")  # seeds everything from COURSE_SEED and sets the style of the figures
DIGITS = np.arange(10)


def as_input(images):
    """uint8 images (n, h, w) or (n, h, w, 3) as a network wants them: float32 (n, h, w, C), from 0 to 1."""
    return (images[..., None] if images.ndim == 3 else images).astype("float32") / 255


def as_array(x):
    return ops.convert_to_numpy(x)


def draw_grid(axis, rows, gap=1):
    """Draw rows of pictures (h, w, C) from 0 to 1, in a grid with grey gaps."""
    border = [(gap, gap), (gap, gap), (0, 0)]
    lines = [np.concatenate([np.pad(p, border, constant_values=0.45) for p in row], axis=1) for row in rows]
    axis.imshow(np.squeeze(np.concatenate(lines)).clip(0, 1), vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


# %% [markdown]
# Two small layers do the cutting. What looks long in them comes down to one matrix; the next section derives it.


# %%
def sampling_matrix(first, length, n):
    """The matrices (batch, n, n) that stretch a window of n pixels in a row over all n (21.1).

    first, length (batch,): where the window begins, and how long it is, in pixels. A window of negative length is
    read backwards.
    """
    place = first[:, None] + (ops.arange(n, dtype="float32") + 0.5) * length[:, None] / n - 0.5
    place = ops.clip(place, 0, n - 1)
    return ops.relu(1 - ops.abs(place[..., None] - ops.arange(n, dtype="float32")))


def crop(x, box):
    """The windows `box` of pictures x (batch, rows, columns, C), each stretched to the size of the picture (21.1).

    box (batch, 4): top, left, height, width, in pixels.
    """
    if len(x.shape) != 4:
        raise ValueError(f"x has {len(x.shape)} axes; it must have 4: batch, rows, columns, channels")
    if len(box.shape) != 2 or box.shape[1] != 4:
        raise ValueError(f"box has the shape {tuple(box.shape)}; axis 1 must be 4: top, left, height, width")
    if None not in (x.shape[0], box.shape[0]) and x.shape[0] != box.shape[0]:
        raise ValueError(f"axis 0 of box has size {box.shape[0]}, and there are {x.shape[0]} pictures")
    x, box = ops.convert_to_tensor(x), ops.convert_to_tensor(box)
    R = sampling_matrix(box[:, 0], box[:, 2], x.shape[1])
    C = sampling_matrix(box[:, 1], box[:, 3], x.shape[2])
    planes = ops.transpose(x, (0, 3, 1, 2))
    planes = ops.matmul(ops.matmul(R[:, None], planes), ops.transpose(C, (0, 2, 1))[:, None])  # (21.1)
    return ops.transpose(planes, (0, 2, 3, 1))


class RandomCrop(layers.Layer):
    """A random window of each picture, stretched to the full size; mirrored in half of the cases where flip is True.

    smallest: the least share of the picture's area, above 0 and up to 1. The window's sides are in a proportion from
    3:4 to 4:3 before the edges of the picture limit them.
    """

    def __init__(self, smallest=0.3, flip=False):
        super().__init__()
        if not 0 < smallest <= 1:
            raise ValueError(f"smallest is {smallest}; a share of the area is above 0 and at most 1")
        self.smallest, self.flip, self.draws = smallest, flip, keras.random.SeedGenerator(seed())

    def call(self, x):
        chance = keras.random.uniform((5, ops.shape(x)[0]), seed=self.draws)
        area, stretch = self.smallest + (1 - self.smallest) * chance[0], (4 / 3) ** (2 * chance[1] - 1)
        height, width = ops.minimum(ops.sqrt(area * stretch), 1), ops.minimum(ops.sqrt(area / stretch), 1)
        top, left = chance[2] * (1 - height), chance[3] * (1 - width)
        if self.flip:
            mirrored = chance[4] < 0.5
            left, width = ops.where(mirrored, left + width, left), ops.where(mirrored, -width, width)
        rows, columns = x.shape[1], x.shape[2]
        return crop(x, ops.stack([top * rows, left * columns, height * rows, width * columns], axis=1))


class RandomLight(layers.Layer):
    """Pictures dimmed by a random factor from `darkest` to 1, one for each, and with normal noise on every pixel."""

    def __init__(self, darkest=0.5, noise=0.1):
        super().__init__()
        self.darkest, self.noise, self.draws = darkest, noise, keras.random.SeedGenerator(seed() + 1)

    def call(self, x):
        light = keras.random.uniform((ops.shape(x)[0], 1, 1, 1), self.darkest, 1, seed=self.draws)
        return light * x + self.noise * keras.random.normal(ops.shape(x), seed=self.draws)


# %%
mnist = data.mnist()
images = as_input(mnist.x_train[: budget(quick=4000, full=60_000, least=1000)])
labels = mnist.y_train[: len(images)]
tests = as_input(mnist.x_test[: budget(quick=2000, full=10_000, least=1000)])
test_labels = mnist.y_test[: len(tests)]

views = keras.Sequential([RandomCrop(), RandomLight()])
cuttings = as_array(views(np.concatenate([tests[:8], tests[:8]])))
order = np.concatenate([[0], 1 + rng.permutation(15)])
answer = int(np.flatnonzero(order == 8)[0])
figure, axis = plt.subplots(figsize=(8, 2.1))
draw_grid(axis, [cuttings[order[:8]], cuttings[order[8:]]])
plt.show()
print(f"row {1 + answer // 8}, number {1 + answer % 8} from the left")

# %% [markdown]
# *Figure 21.1. Two random windows from each of eight test digits, each stretched, dimmed and made noisy at random. The
# answer is printed below it.*
#
# To find it you looked through the size, the place, the light and the noise, at what stayed: a stroke, its bend, its
# slant. Nobody had to tell you which digit it is. So ask a network the same question, again and again:
#
# **Which of these belongs to that one? How much can be learned from this question alone, how would you know how much,
# and who decides what "belongs" means?**
#
# Learning what to put close together and what to keep apart is called **contrastive learning** (Hadsell et al., 2006);
# two random versions of one picture are its two **views**. Like rotation, it is a pretext. Unlike rotation, it has as
# many classes as there are pictures.
#
# ## What you will be able to do
#
# - cut a random window out of a picture with two matrices, on any backend;
# - derive the InfoNCE loss from the question "which is the partner?", and say how much information it can prove;
# - write NT-Xent with every mask, mean and partner in its place, and know its value when nothing has been learned;
# - say which negatives are pushed hardest, and what the temperature does about it;
# - train SimCLR in small, judge it fairly, and measure alignment and uniformity;
# - find out, by experiment, what crop, temperature and batch size do, and what they do not.
#
# In this chapter, as in the papers on the subject, $h$ are the features that one wants and $z$ is what the loss
# compares; $\tau$ is the temperature, and $N$ the number of pictures in a batch.
#
# ## A window, stretched, is two matrices
#
# Take a row of $n = 4$ pixels and look at the window from 1 to 3 only, stretched over all four. Count as rulers do:
# pixel 0 covers the stretch from 0 to 1, and its centre is at ½. The new pixels are half as wide as the old ones; their
# centres lie at 1¼, 1¾, 2¼ and 2¾ on the ruler. That is ¾, 1¼, 1¾ and 2¼ counted from the centre of pixel 0. The first
# lies between the pixels 0 and 1, and is mixed from them in the proportion ¼ to ¾.
#
# In general, a window that begins at $t$ and is $a$ pixels long puts new pixel $u$ at the place $s_u$, and the weights
# fall linearly with the distance to it. For a picture, do it for the rows, then for the columns:
#
# $$ Y = R\, X\, C^\mathsf{T}, \qquad R_{ui} = \max(0,\, 1 - |s_u - i|), \qquad
#    s_u = t + \bigl(u + \tfrac12\bigr) \tfrac an - \tfrac12 \tag{21.1} $$
#
# with $C$ the same for the columns, and $s_u$ moved to 0 or to $n - 1$ where it lies beyond the outermost centres. A
# random $t$ and $a$ for each picture make a **random resized crop**. Whatever is linear in the pixels is a matrix;
# this one costs less than the first layer of the network below, and a negative $a$ mirrors the picture for free.


# %%
def scipy_crop(x, box):
    """Every new pixel by SciPy's linear interpolation."""
    (rows, columns), found = x.shape[1:3], np.zeros(x.shape)
    for b, (top, left, height, width) in enumerate(box):
        u = top + (np.arange(rows) + 0.5) * height / rows - 0.5
        v = left + (np.arange(columns) + 0.5) * width / columns - 0.5
        places = np.meshgrid(u, v, indexing="ij")
        for c in range(x.shape[3]):
            found[b, :, :, c] = ndimage.map_coordinates(x[b, :, :, c].astype(float), places, order=1, mode="nearest")
    return found


def boxes_and_pictures(count):
    for i in range(count):
        batch, rows, columns, channels = [(3, 6, 8, 2), (2, 5, 5, 1)][i % 2]
        begin, end = np.sort(rng.uniform(0, 1, size=(2, batch, 2)), axis=0) * [rows, columns]
        box = np.concatenate([begin, end - begin], axis=1)
        if i % 3 == 0:
            box[:, 1], box[:, 3] = box[:, 1] + box[:, 3], -box[:, 3]  # mirrored
        yield rng.normal(size=(batch, rows, columns, channels)).astype("float32"), box.astype("float32")


# %%
prove("21.1", crop, scipy_crop, cases=boxes_and_pictures(60), rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Try it.** Two random windows may have nothing in common. With `RandomCrop(0.05)`, how often do you find a pair in
# Figure 21.1 that nobody could match?
#
# ## Which one is the partner?
#
# Make the question exact. A pair $(x, y)$ comes from a joint distribution $p(x, y)$: two views of one picture. You are
# shown $x$ and $N$ candidates $y_1, \dots, y_N$. One of them, at a place $j$ drawn by lot, is the partner of $x$, drawn
# from $p(y \mid x)$; the others are **negatives**, partners of somebody else, drawn from $p(y)$. Which place is it?
# Bayes' rule: place $k$ is as probable as what you see would be if it were $k$, that is
# $p(y_k \mid x) \prod_{m \ne k} p(y_m)$. Divide by the product of all $p(y_m)$, and one ratio for each candidate is
# left:
#
# $$ P(j = k \mid x, y_1, \dots, y_N) = \frac{r(x, y_k)}{\sum_{m=1}^{N} r(x, y_m)}, \qquad
#    r(x, y) = \frac{p(x, y)}{p(x)\, p(y)} \tag{21.2} $$
#
# That is a softmax of $\log r$. So let a network give a score $s(x, y)$ to each pair, and train it as a classifier
# with $N$ classes, the places. In a batch of $N$ pairs every $x_i$ asks once, and the partners of the others serve as
# its negatives. The cross-entropy of these answers is the **InfoNCE** loss (Van den Oord et al., 2018):
#
# $$ L = -\frac1N \sum_{i=1}^{N} \log \frac{e^{s(x_i, y_i)}}{\sum_{k=1}^{N} e^{s(x_i, y_k)}} \tag{21.3} $$
#
# Nobody has to model $p(x)$, or draw a picture. By (21.2) the best score is $\log r$, up to a constant that may depend
# on $x$.


# %%
def probability_of_places(joint, x, shown):
    """The probability of every place for the partner (21.2). joint (A, B): p(x, y); x: row; shown (N,): columns."""
    ratio = joint / np.outer(joint.sum(axis=1), joint.sum(axis=0))
    return ratio[x, shown] / ratio[x, shown].sum()  # (21.2)


def info_nce(scores):
    """The loss (21.3) of scores (N, N): row i asks, column k is a candidate, and i is the partner of i."""
    if len(scores.shape) != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"scores has the shape {tuple(scores.shape)}: axis 0 and axis 1 must have one size")
    return ops.mean(ops.logsumexp(scores, axis=1) - ops.diagonal(scores))  # (21.3)


def places_by_counting(joint, x, shown):
    """The same from the probabilities of all that could have been seen."""
    p_x, p_y = joint.sum(axis=1), joint.sum(axis=0)
    together = []
    for partner in range(len(shown)):
        conditional = [joint[x, y] / p_x[x] if k == partner else p_y[y] for k, y in enumerate(shown)]
        together.append(p_x[x] * np.prod(conditional) / len(shown))
    return np.array(together) / sum(together)


def keras_cross_entropy(scores):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(len(scores)), scores)


def tables(count):
    for _ in range(count):
        joint = rng.dirichlet(np.ones(12)).reshape(3, 4)
        yield joint, int(rng.integers(3)), rng.integers(4, size=rng.integers(2, 6))


def square_scores(count):
    for i in range(count):
        yield (5 * rng.normal(size=(4 + i % 3, 4 + i % 3))).astype("float32")


# %%
prove("21.2", probability_of_places, places_by_counting, cases=tables(200))
prove("21.3", info_nce, keras_cross_entropy, cases=square_scores(60), rtol=1e-4)

# %% [markdown]
# ## How much can the question teach?
#
# What two things tell about each other is their **mutual information**: how far the joint distribution is from one
# without any connection, $I(x; y) = \mathrm{KL}\bigl(p(x, y) \,\|\, p(x)\, p(y)\bigr) = \mathbb{E}[\log r(x, y)]$. It
# is 0 for independent things only. A low loss should mean much information, and the exact statement is an identity.
# Let the partner be at place 1; then (21.2) says
# $\log r(x, y_1) = \log N + \log P(j = 1) + \log \frac1N \sum_m r(x, y_m)$. On the left the mean is $I$. On the right,
# the mean of $\log P(j = 1)$ is minus the loss of the best classifier, and $\frac1N \sum_m r(x, y_m)$ is how probable
# what is shown is, divided by what it would be without any partner. Let $\hat P$ be the classifier's softmax, $P$ the
# true probabilities (21.2), and $Q$ the distribution of all that is shown ($x$ and the candidates, with the partner at
# any place). Averaged over what is shown:
#
# $$ I(x; y) = \underbrace{\log N - L}_{\text{measured}} + \underbrace{\mathbb{E}_Q\, \mathrm{KL}(P \,\|\,
#    \hat P)}_{\text{bad scores}} + \underbrace{\mathrm{KL}\Bigl(Q \,\Big\|\, p(x) \textstyle\prod_k
#    p(y_k)\Bigr)}_{\text{too few candidates}} \;\ge\; \log N - L \tag{21.4} $$
#
# The shape is that of the evidence lower bound (chapter 16): what can be measured, and gaps that are never negative.
# Whatever the scores, $\log N - L$ never claims more than there is (Van den Oord et al., 2018; Poole et al., 2019).
# Here $L$ stands for its expected value; that of a single batch scatters around it. With the best scores,
# $\hat P = P$, the loss is its floor, a conditional entropy as in chapter 20. The other side of the coin: $L$ cannot be
# negative, so no network whatever can prove more than $\log N$.
#
# A case where all is known: $x$ and $y$ are standard normal numbers with correlation $\rho$, in $d$ independent copies.
#
# $$ \log r(x, y) = -\frac d2 \log(1 - \rho^2) + \sum_{j=1}^{d} \frac{2 \rho\, x_j y_j - \rho^2 (x_j^2 + y_j^2)}{2
#    (1 - \rho^2)}, \qquad I(x; y) = -\frac d2 \log(1 - \rho^2) \tag{21.5} $$
#
# One number each with $\rho = 0.8$: $-\frac12 \log 0.36 \approx 0.51$ nats.


# %%
def shown_together(joint, places):
    """The probability (A, B, ..., B) of x and of every candidate, the partner at place 1."""
    table = joint
    for _ in range(places - 1):
        table = table[..., None] * joint.sum(axis=0)
    return table


def divergence(p, q):
    return np.sum(p * (np.log(p) - np.log(q)))


def information_in_parts(joint, scores, places):
    """The right side of (21.4) for p(x, y) = joint (A, B) and any scores (A, B), by adding up all that can happen."""
    partner_at = [np.moveaxis(shown_together(joint, places), 1, 1 + k) for k in range(places)]
    Q = sum(partner_at) / places
    P = np.stack(partner_at) / (places * Q)
    spread = [np.expand_dims(scores, [1 + m for m in range(places) if m != k]) for k in range(places)]
    hat = special.softmax(np.stack(np.broadcast_arrays(*spread)), axis=0)
    L = -np.sum(partner_at[0] * np.log(hat[0]))
    independent = np.broadcast_to(joint.sum(axis=1).reshape(-1, *[1] * places), Q.shape).copy()
    for k in range(places):
        independent *= joint.sum(axis=0).reshape(-1, *[1] * (places - 1 - k))
    return np.log(places) - L + divergence(Q * P, Q * hat) + divergence(Q, independent)  # (21.4)


def log_ratio(x, y, rho):
    """log r (21.5) for each row of x and y (n, d)."""
    parts = 2 * rho * x * y - rho**2 * (x**2 + y**2)
    return gaussian_information(rho, x.shape[-1]) + np.sum(parts, axis=-1) / (2 * (1 - rho**2))  # (21.5)


def gaussian_information(rho, d):
    return -d / 2 * np.log(1 - rho**2)


# %% [markdown]
# In the proof of (21.4) the oracle knows no candidates: for a random table it takes entropies with SciPy, and for
# Gaussians on a fine grid it is (21.5), so that the information is known beforehand. The scores are good ones spoilt at
# random. (21.5) itself is held against SciPy's normal densities.


# %%
GRID = np.linspace(-5.5, 5.5, 31)


def gaussian_table(rho):
    """Two standard normal numbers of correlation rho on a grid: p(x, y), (31, 31)."""
    at = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1)
    density = stats.multivariate_normal(cov=[[1, rho], [rho, 1]]).pdf(at)
    return density / density.sum()


def parts_of_world(joint, rho, scores, places):
    return information_in_parts(joint, scores, places)


def known_information(joint, rho, scores, places):
    if rho is not None:
        return gaussian_information(rho, 1)
    return stats.entropy(joint.sum(axis=1)) + stats.entropy(joint.sum(axis=0)) - stats.entropy(joint.ravel())


def worlds(count):
    for i in range(count):
        rho = float(rng.uniform(-0.8, 0.8)) if i % 2 else None
        joint = rng.dirichlet(np.ones(12)).reshape(3, 4) if rho is None else gaussian_table(rho)
        best = np.log(joint / np.outer(joint.sum(axis=1), joint.sum(axis=0)))
        places = int(rng.integers(2, 5)) if rho is None else 2
        yield joint, rho, best.clip(-20, 20) + rng.normal(size=joint.shape), places


def ratio_and_information(x, y, rho):
    return log_ratio(x, y, rho), gaussian_information(rho, x.shape[1])


def scipy_ratio_and_information(x, y, rho):
    both = stats.multivariate_normal(cov=[[1, rho], [rho, 1]])
    logs = both.logpdf(np.stack([x, y], axis=-1)) - stats.norm.logpdf(x) - stats.norm.logpdf(y)
    return logs.sum(axis=1), x.shape[1] * (2 * stats.norm.entropy() - both.entropy())


def gaussian_pairs(count):
    for _ in range(count):
        n, d = (int(v) for v in rng.integers(2, 6, 2))
        yield rng.normal(size=(n, d)), rng.normal(size=(n, d)), float(rng.uniform(-0.95, 0.95))


# %%
prove("21.4", parts_of_world, known_information, cases=worlds(100), name="the bound and its two gaps")
prove("21.5", ratio_and_information, scipy_ratio_and_information, cases=gaussian_pairs(100))

# %% [markdown]
# Now let the information grow, in ten dimensions, and measure $\log N - L$ with the *best* scores there are. If the
# bound falls short, it is for want of candidates only.

# %%
DIMENSIONS = 10
truth, candidates = np.linspace(0.25, 8, 9), [4, 16, 64, 256]
measured = {}
for places in candidates:
    measured[places] = []
    for information in truth:
        rho, losses = np.sqrt(1 - np.exp(-2 * information / DIMENSIONS)), []
        for _ in range(4096 // places):
            x, noise = rng.normal(size=(2, places, DIMENSIONS))
            y = rho * x + np.sqrt(1 - rho**2) * noise
            scores = log_ratio(x[:, None], y[None], rho)
            losses.append(np.mean(special.logsumexp(scores, axis=1) - np.diag(scores)))
        measured[places].append(np.log(places) - np.mean(losses))

figure, axis = plt.subplots(figsize=(7, 3.4))
axis.plot(truth, truth, color="black", linestyle="-", lw=1, label="the truth")
for (places, values), marker, colour in zip(measured.items(), "os^D", plots.COLOURS):
    axis.plot(truth, values, marker=marker, markersize=4, color=colour, label=f"N = {places}")
    axis.axhline(np.log(places), color=colour, linestyle=":", lw=1)
axis.set(xlabel="information in a pair, nats", ylabel="proved: $\\log N - L$, nats", ylim=(0, 8))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 21.2. What InfoNCE proves about Gaussian pairs of known information, with the best scores, for four numbers
# of candidates. Dotted: $\log N$ of the same colour.*

# %%
few, many = np.array(measured[4]), np.array(measured[256])
claim(
    "21.1",
    "with the best scores the bound is tight where log N is far above the information, and stays below log N elsewhere",
    all(np.max(values) < np.log(places) for places, values in measured.items())
    and np.abs(many - truth)[truth < 1.5].max() < 0.1
    and truth[-1] - many[-1] > 2
    and truth[-1] - few[-1] > 6,
)

# %% [markdown]
# So a large batch makes a *certificate* better, up to its logarithm. This is a matter of principle: from a sample of
# $N$, no method that assumes nothing about the distribution gives a reliable lower bound much above $\log N$
# (McAllester & Stratos, 2020). Whether it makes *features* better is another question, which (21.4) does not answer: a
# feature that gives the picture's number in a list has all the information one can wish for, and is useless. You will
# see both by experiment.
#
# ## A batch asks 2N questions
#
# SimCLR (Chen et al., 2020) takes $N$ pictures, makes two views of each, and lets *every* view ask. The rows
# $z_0, \dots, z_{2N-1}$ are what a network makes of them, first one view of each picture, then the other, so that the
# partner of row $i$ is row $j(i) = (i + N) \bmod 2N$. The score is the **cosine** of the angle between two rows,
# divided by a **temperature** $\tau > 0$:
#
# $$ \ell_i = -\log \frac{\exp(s_{i, j(i)} / \tau)}{\sum_{k \ne i} \exp(s_{ik} / \tau)}, \qquad
#    s_{ik} = \frac{z_i \cdot z_k}{\|z_i\|\, \|z_k\|} \tag{21.6} $$
#
# The sum runs over all rows but one: a row is its own best match, and would win every time. So $2N - 1$ candidates are
# left, one partner and $2N - 2$ negatives. The loss of the batch, called **NT-Xent** (normalised temperature-scaled
# cross-entropy), is the mean over all $2N$ rows:
#
# $$ L = \frac{1}{2N} \sum_{i=0}^{2N-1} \ell_i \tag{21.7} $$
#
# which is a cross-entropy with $2N - 1$ classes. If the network gives the same $z$ to all pictures, every candidate has
# the same score, and whatever the temperature,
#
# $$ z_0 = z_1 = \dots = z_{2N-1} \quad\Longrightarrow\quad L = \log(2N - 1) \tag{21.8} $$
#
# For two pictures: four rows, three candidates, $\log 3 \approx 1.10$. This is the value of **collapse**, and a loss
# that stays there has learned nothing. (It belongs to the mask of (21.6). Forget the mask, and it is $\log 2N$.)


# %%
MASKED = -1e9  # a score so low that its share of a softmax is 0


def refuse_unless_pairs(z, temperature):
    """Raise ValueError unless z can hold pairs of rows and the temperature is positive."""
    if len(z.shape) != 2:
        raise ValueError(f"z has {len(z.shape)} axes; it must have 2: views, numbers of each")
    if z.shape[0] is not None and (z.shape[0] % 2 or z.shape[0] < 2):
        raise ValueError(f"axis 0 of z has size {z.shape[0]}: views come in pairs, so it must be even and at least 2")
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}: cosines are divided by it, and it must be positive")


def cosines(z):
    """The cosines (m, m) between all rows of z (m, d)."""
    unit = ops.normalize(z, axis=1)
    return ops.matmul(unit, ops.transpose(unit))


def losses_from(s, temperature):
    """The loss of each row (21.6) from cosines s (2N, 2N)."""
    rows = ops.shape(s)[0]
    partner = (ops.arange(rows) + rows // 2) % rows
    scores = s / temperature
    others = ops.where(ops.eye(rows, dtype="bool"), MASKED, scores)
    return ops.logsumexp(others, axis=1) - ops.take_along_axis(scores, partner[:, None], axis=1)[:, 0]  # (21.6)


def nt_xent(z, temperature):
    """The loss (21.7) of views z (2N, d); row i and row i + N are views of one picture."""
    refuse_unless_pairs(z, temperature)
    return ops.mean(losses_from(cosines(z), temperature))  # (21.7)


def collapse_value(pictures):
    return np.log(2 * pictures - 1)  # (21.8)


def losses_of(z, temperature):
    return losses_from(cosines(z), temperature)


def losses_by_loop(z, temperature):
    """One row at a time, one candidate at a time."""
    found, half = [], len(z) // 2
    for i, anchor in enumerate(z):
        scores = {k: (1 - spatial.distance.cosine(anchor, z[k])) / temperature for k in range(len(z)) if k != i}
        partner = i + half if i < half else i - half
        found.append(special.logsumexp(list(scores.values())) - scores[partner])
    return np.array(found)


def keras_nt_xent(z, temperature):
    """Keras's cross-entropy with 2N - 1 classes: the column of the row itself is cut out."""
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    off_diagonal = ~np.eye(len(z), dtype=bool)
    scores = (unit @ unit.T / temperature)[off_diagonal].reshape(len(z), -1)
    places = np.concatenate([np.arange(len(z) // 2 - 1, len(z) - 1), np.arange(len(z) // 2)])
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(places, scores)


def loss_of_copies(pictures):
    return losses_by_loop(np.ones((2 * pictures, 3)), 0.37).mean()


def batches_of_views(count):
    for i in range(count):
        yield rng.normal(size=([2, 6, 8][i % 3], 5)).astype("float32"), float(rng.uniform(0.1, 2))


# %%
prove("21.6", losses_of, losses_by_loop, cases=batches_of_views(60), rtol=1e-4, atol=1e-4)
prove("21.7", nt_xent, keras_nt_xent, cases=batches_of_views(60), rtol=1e-4, atol=1e-4)
prove("21.8", collapse_value, loss_of_copies, cases=range(1, 30))

# %% [markdown]
# Three things that it refuses:

# %%
for z, temperature in [(np.ones((7, 4)), 0.2), (np.ones((8, 4)), 0.0), (np.ones((8, 4, 4)), 0.2)]:
    try:
        nt_xent(z, temperature)
    except ValueError as error:
        print(error)

# %% [markdown]
# One thing to keep in mind: (21.4) asks for negatives that are independent of each other. Those of NT-Xent come in
# pairs, both views of every other picture. That does no harm to training. For a certificate take (21.3), with other
# views as candidates only.
#
# **Try it.** Cosines are at most 1 and at least $-1$. What is the least that NT-Xent can be, for $N = 64$ and
# $\tau = 1$? Would you see a network that solves the pretext perfectly in its loss?
#
# ## Which negatives are pushed?
#
# Differentiate (21.6) as any softmax cross-entropy. Let $p_{ik}$ be the share of candidate $k$ in the softmax of row
# $i$, with $p_{ii} = 0$. Then
#
# $$ \frac{\partial \ell_i}{\partial s_{ik}} = \frac{p_{ik} - [k = j(i)]}{\tau}, \qquad
#    p_{ik} = \frac{e^{s_{ik}/\tau}}{\sum_{m \ne i} e^{s_{im}/\tau}} \tag{21.9} $$
#
# The partner is pulled as hard as all negatives together are pushed. How is the push divided among them? In proportion
# to $e^{s/\tau}$: of two negatives, the one whose cosine is greater by 0.1 is pushed $e^{0.1/\tau}$ times as hard.
# That is 1.1 times for $\tau = 1$ and 7.4 times for $\tau = 0.05$. A low temperature looks at the **hard negatives**
# only, those that are mistaken for the partner.


# %%
def pushes(s, temperature):
    """The derivative (21.9) of each row's loss by each cosine in its row: s (2N, 2N) -> (2N, 2N)."""
    rows = len(s)
    p = special.softmax(np.where(np.eye(rows, dtype=bool), -np.inf, s / temperature), axis=1)
    is_partner = np.roll(np.eye(rows), rows // 2, axis=1)
    return (p - is_partner) / temperature  # (21.9)


def pushes_by_autodiff(s, temperature):
    return gradient(lambda s: ops.sum(losses_from(s, temperature)), s)


def tables_of_cosines(count):
    for i in range(count):
        rows = [2, 6, 8][i % 3]
        yield rng.uniform(-1, 1, size=(rows, rows)).astype("float32"), float(rng.uniform(0.1, 2))


# %%
prove("21.9", pushes, pushes_by_autodiff, cases=tables_of_cosines(60), rtol=1e-4, atol=1e-4)

# %% [markdown]
# ## Close together, and far apart
#
# The two forces can be measured one by one (Wang & Isola, 2020). With all $z$ of length 1, **alignment** is the mean
# squared distance of partners; smaller is better, and 0 is reached by collapse. **Uniformity** says how evenly the
# points are spread over the sphere; smaller is better, and collapse gives 0, the worst value:
#
# $$ A = \frac1N \sum_{i=0}^{N-1} \|z_i - z_{i+N}\|^2 \tag{21.10} $$
# $$ U = \log\; \frac{1}{\binom{m}{2}} \sum_{i < k} e^{-2 \|z_i - z_k\|^2}, \qquad
#    i, k \text{ among } m \text{ different pictures} \tag{21.11} $$
#
# What is the best $U$ in $d$ dimensions? No distribution on the sphere beats the uniform one (Wang & Isola, 2020). For
# it, two random points have $\|u - v\|^2 = 2 - 2c$ with a cosine $c$ of density in proportion to
# $(1 - c^2)^{(d-3)/2}$, and the mean of $e^{4c}$ is a function that SciPy knows as `hyp0f1`:
#
# $$ U^* = -4 + \log\, {}_0F_1\bigl(; \tfrac d2; 4\bigr) \tag{21.12} $$
#
# It is a mean over many points. A few can do better: two opposite ones have $U = -8$.


# %%
def alignment(a, b):
    """The mean squared distance (21.10) of the rows of a and b (n, d), once all have length 1."""
    if a.shape != b.shape:
        raise ValueError(f"the views have the shapes {a.shape} and {b.shape}; every row needs its partner")
    a, b = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (a, b))
    return np.mean(np.sum((a - b) ** 2, axis=1))  # (21.10)


def uniformity(z):
    """How evenly the rows of z (m, d), brought to length 1, lie on the sphere (21.11)."""
    if len(z) < 2:
        raise ValueError(f"axis 0 of z has size {len(z)}; a pair needs two rows")
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    c = (unit @ unit.T)[np.triu_indices(len(z), 1)]
    return special.logsumexp(4 * c - 4) - np.log(len(c))  # (21.11)


def best_uniformity(d):
    return np.log(special.hyp0f1(d / 2, 4)) - 4  # (21.12)


def alignment_by_sklearn(a, b):
    a, b = (part / np.sqrt(np.einsum("nd,nd->n", part, part))[:, None] for part in (a, b))
    return np.mean(paired_euclidean_distances(a, b) ** 2)


def uniformity_by_scipy(z):
    unit = [row / np.sqrt(row @ row) for row in z]
    return np.log(np.mean(np.exp(-2 * spatial.distance.pdist(unit, "sqeuclidean"))))


def best_uniformity_by_integration(d):
    top = integrate.quad(lambda c: np.exp(4 * c - 4) * (1 - c * c) ** ((d - 3) / 2), -1, 1)[0]
    return np.log(top / integrate.quad(lambda c: (1 - c * c) ** ((d - 3) / 2), -1, 1)[0])


def clouds(count, together=1):
    for _ in range(count):
        n, d = (int(v) for v in rng.integers(2, 9, 2))
        yield tuple(rng.normal(size=(together, n, d)))


# %%
prove("21.10", alignment, alignment_by_sklearn, cases=clouds(100, together=2))
prove("21.11", uniformity, uniformity_by_scipy, cases=clouds(100))
prove("21.12", best_uniformity, best_uniformity_by_integration, cases=range(3, 60))

# %% [markdown]
# ## SimCLR in small
#
# Between the features $h$ and the loss stands a small network, the **projection head**, which is thrown away after
# training: $h$ = `encoder(x)` is what one keeps, $z$ = `head(h)` is what is compared (Chen et al., 2020; you will see
# what for). The model makes the views itself, and the loss needs no labels, so `compute_loss` is all there is to
# override, and `fit` does the rest on every backend.


# %%
FEATURES, PROJECTED = 64, 32
TEMPERATURE, PAIRS = 0.2, 64


def new_encoder(shape):
    """From pictures of this shape to their 64 features."""
    inputs = h = keras.Input(shape)
    for filters, kernel in [(16, 5), (32, 3), (64, 3)]:
        h = layers.Conv2D(filters, kernel, 2, "same", use_bias=False)(h)
        h = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))
    return keras.Model(inputs, layers.Dense(FEATURES)(layers.Flatten()(h)))


def new_head():
    return keras.Sequential(
        [keras.Input((FEATURES,)), layers.ReLU(), layers.Dense(64, activation="relu"), layers.Dense(PROJECTED)]
    )


class SimCLR(keras.Model):
    """An encoder, a head and random views, trained by NT-Xent. Its input is a batch of pictures (N, h, w, C), its
    output the projections (2N, d) of two views of each."""

    def __init__(self, encoder, views, temperature=TEMPERATURE, loss_of_views=nt_xent):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"the temperature is {temperature}: cosines are divided by it, and it must be positive")
        self.encoder, self.views, self.head = encoder, views, new_head()
        self.temperature, self.loss_of_views = temperature, loss_of_views

    def call(self, x, training=None):
        both = self.views(ops.concatenate([x, x]))
        return self.head(self.encoder(both, training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.loss_of_views(y_pred, self.temperature)


class StopWhereLost(keras.callbacks.Callback):
    """Ends a training run with a FloatingPointError where its loss is infinite or not a number."""

    def on_train_batch_end(self, batch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"the loss is {logs['loss']}: try a higher temperature or a smaller learning rate. The weights are "
                "spoilt; build the model anew."
            )


def contrast(x, views, epochs, pairs=PAIRS, temperature=TEMPERATURE, loss_of_views=nt_xent):
    """A trained model, and its loss after every epoch. Pictures that do not fill a batch are left out."""
    if len(x) < pairs:
        raise ValueError(f"a batch has {pairs} pairs, and there are only {len(x)} pictures")
    if not np.isfinite(x).all():
        raise ValueError(f"picture {np.argwhere(~np.isfinite(x))[0, 0]} has a pixel that is not a number, or infinite")
    x = x[: len(x) // pairs * pairs]
    model = SimCLR(new_encoder(x.shape[1:]), views, temperature, loss_of_views)
    decay = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(x) // pairs)
    model.compile(keras.optimizers.Adam(decay), steps_per_execution=at_once(10))
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice
    history = model.fit(x, batch_size=pairs, epochs=epochs, verbose=0, callbacks=[StopWhereLost()])
    return model, history.history["loss"]


# %%
spoilt = images[:PAIRS].copy()
spoilt[10, 14, 14] = np.nan
for x, temperature in [(images[:20], TEMPERATURE), (spoilt, TEMPERATURE), (images[:PAIRS], 1e-40)]:
    try:
        contrast(x, views, epochs=1, temperature=temperature)
    except (ValueError, FloatingPointError) as error:
        print(error)

# %% [markdown]
# One pixel that is not a number would spoil all weights, so it is refused beforehand. A run that breaks down, as with a
# temperature so low that the scores overflow, ends at once. Now in earnest.

# %%
epochs = budget(quick=5, full=20, least=1)
model, losses = contrast(images, views, epochs)

# %% [markdown]
# Judge it as in chapter 20: frozen features, each number scaled to mean 0 and variance 1 over the unlabelled pictures,
# and a linear probe with one penalty for all. Every rival gets the same draws of labels. The rivals are the pixels; the
# same network untrained (its batch normalisation has seen the pictures), both its features and the 1,024 numbers below
# them, whichever is better; and the same network trained from scratch on the labels alone, once on the pictures as they
# are, and once on random views like those of its rival, for somebody who knows what a good view is may use it there as
# well.


# %%
PENALTY = 2e-3


def one_hot(y, classes=10):
    """The rows of the unit matrix for labels y; raises ValueError where a label is out of range."""
    if np.min(y) < 0 or np.max(y) >= classes:
        raise ValueError(f"labels run from {np.min(y)} to {np.max(y)}; they must be from 0 to {classes - 1}")
    return np.eye(classes)[y]


def scaled(known, new):
    """Features with mean 0 and variance 1 over the known ones, divided by the root of their number."""
    centre, spread = known.mean(axis=0), (known.std(axis=0) + 1e-3) * np.sqrt(known.shape[1])
    return (known - centre) / spread, (new - centre) / spread


def read_by(features, y, chosen):
    """The classes that a linear probe, fitted to the chosen items, reads in the new ones."""
    known, new = features
    if len(known) != len(y):
        raise ValueError(f"axis 0 of the features has size {len(known)}, and there are {len(y)} labels")
    probe = Ridge(alpha=len(chosen) * PENALTY).fit(known[chosen], one_hot(y[chosen]))
    return probe.predict(new).argmax(axis=1)


def accuracies(features, y, draws, new_y):
    """The accuracy of the probe for each draw of labels."""
    return np.array([np.mean(read_by(features, y, chosen) == new_y) for chosen in draws])


def draw(y, count, rng):
    """Positions of `count` items of each class, drawn at random."""
    return np.concatenate([rng.permutation(np.flatnonzero(y == label))[:count] for label in np.unique(y)])


def from_scratch(x, y, new, new_y, draws, views, steps):
    """The accuracies of a network trained anew on the labels of each draw alone, on random views of the pictures."""
    answers = [new_encoder(x.shape[1:]), layers.ReLU(), layers.Dense(10)]
    classifier = keras.Sequential([keras.Input(x.shape[1:]), views, *answers])
    decay = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(decay), cross_entropy, steps_per_execution=at_once(10))
    classifier.optimizer.build(classifier.trainable_variables)
    rewind, found = rewinder(classifier), []  # back to these weights and a fresh optimiser
    for chosen in draws:
        rewind()
        seen = np.concatenate([rng.permutation(chosen) for _ in range(steps // 2)])  # half of them in a step
        classifier.fit(x[seen], y[seen], len(chosen) // 2, verbose=0, callbacks=[StopWhereLost()])
        found.append(np.mean(predict(keras.Sequential(answers), new).argmax(axis=1) == new_y))
    return np.array(found)


# %%
def features_of(encoder):
    """What an encoder makes of the digits outside training, scaled for the probe: (known, new)."""
    return scaled(predict(encoder, images), predict(encoder, tests))


untrained = new_encoder(images.shape[1:])
for i in range(0, min(len(images), 10_000), 250):
    untrained(images[i : i + 250], training=True)  # moves the running means of batch normalisation, and no weight
maps = keras.Model(untrained.input, untrained.layers[-2].output)
each = max(4, round(budget(quick=0.01, full=0.001) * len(images) / 10))  # so many of each digit
draws = [draw(labels, each, rng) for _ in range(20)]
rivals = {
    "contrastive": features_of(model.encoder),
    "untrained": features_of(untrained),
    "untrained, below": features_of(maps),
    "pixels": scaled(images.reshape(len(images), -1), tests.reshape(len(tests), -1)),
}
read = {name: accuracies(features, labels, draws, test_labels) for name, features in rivals.items()}
steps = budget(quick=300, full=1500, least=10)
nothing = keras.Sequential([layers.Identity()])
scratch = {
    "from scratch": from_scratch(images, labels, tests, test_labels, draws[:3], nothing, steps),
    "from scratch, views": from_scratch(images, labels, tests, test_labels, draws[:3], views, steps),
}
print(f"{10 * each} labels:")
for name, values in (read | scratch).items():
    print(f"{name:20} {values.mean():.1%} ± {stats.sem(values):.1%} over {len(values)} draws")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), width_ratios=[1, 1.25])
axes[0].plot(range(1, len(losses) + 1), losses, marker="o", markersize=4, label="NT-Xent")
axes[0].axhline(collapse_value(PAIRS), color="black", linestyle=":", label="collapse, $\\log 127$")
axes[0].set(xlabel="epoch", ylabel="loss", ylim=(0, 5.2))
axes[0].legend(fontsize=8)
bars = [*(read | scratch).items()][::-1]
colours = [plots.COLOURS[0] if name == "contrastive" else "#bbbbbb" for name, _ in bars]
means, spreads = [v.mean() for _, v in bars], [v.std() for _, v in bars]
axes[1].barh(range(len(bars)), means, color=colours, xerr=spreads, capsize=2)
axes[1].set(yticks=range(len(bars)), yticklabels=[name for name, _ in bars], xlim=(0, 1))
axes[1].set_xlabel(f"test digits read rightly, {10 * each} labels")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 21.3. Left: the loss (the mean over each epoch), with the value of collapse. Right: what is read with 1 % of
# the labels; the bars end at the mean, the whiskers are a standard deviation over the draws (in print: ±, the standard
# error of the mean).*

# %%
claim(
    "21.2",
    "with 1 % of the labels or fewer, a probe reads more in contrastive features than in untrained ones or in pixels",
    read["contrastive"].mean() > max(read[name].mean() for name in [*rivals][1:]) + 0.05,
)

# %%
claim(
    "21.3",
    "with 1 % of the labels or fewer, it beats training the same network from scratch on the labelled pictures",
    read["contrastive"][:3].mean() > scratch["from scratch"].mean() + 0.05,
)

# %% [markdown]
# The claim leaves the last bar out, and on purpose. Random views of the labelled pictures are most of what training
# from scratch was lacking. They are knowledge about digits, put in by hand, and both methods can use it. With pictures
# of so simple a kind, what is left to contrastive learning, for its unlabelled digits, is a small lead or none, and not
# the same in every run. Beware of comparisons in which only one side gets the views.
#
# ## What do you call the same?
#
# The views say what does *not* matter, and nothing else in the method does. Two experiments, with equal training for
# all. First, leave the crop out: views are dimmed and noisy as before, but every stroke stays where it
# is. Second, make the views say something false. Half turns change a six into a nine; let every view be turned with
# probability one half. The network is then told that a picture is the same as its half turn. Where is the difference
# lost? Let a linear probe on many pictures tell from $h$, and from $z$, whether a digit stands upright or not, and let
# the nearest training digit by the cosine tell the class.


# %%
class RandomHalfTurn(layers.Layer):
    """Pictures turned by 180° with probability one half, each by itself."""

    def __init__(self):
        super().__init__()
        self.draws = keras.random.SeedGenerator(seed() + 2)

    def call(self, x):
        upright = keras.random.uniform((ops.shape(x)[0], 1, 1, 1), seed=self.draws) < 0.5
        return ops.where(upright, x, ops.flip(x, axis=(1, 2)))


def nearest(known, new, count=1):
    """The positions of the `count` known items with the largest cosine, nearest first: (len(new), count)."""
    known, new = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (known, new))
    return np.argsort(-(new @ known.T), axis=1)[:, :count]


# %%
trained = {
    "crop, light": (model, losses),
    "light only": contrast(images, keras.Sequential([RandomLight()]), epochs),
    "crop, light, half turns": contrast(images, keras.Sequential([views, RandomHalfTurn()]), epochs),
}
seen, is_turned = images[:10_000], np.repeat([0, 1], 1000)
six_or_nine = np.isin(test_labels, [6, 9])


def with_half_turns(x):
    return np.concatenate([x[:1000], np.rot90(x[:1000], 2, axes=(1, 2))])


last_loss, told, mixed_up = {}, {}, {}
for name, (one, falling) in trained.items():
    last_loss[name] = falling[-1]
    read[name] = accuracies(features_of(one.encoder), labels, draws, test_labels)
    print(f"{name:24} loss {last_loss[name]:.2f}, {read[name].mean():.1%} read in h with 1 % of the labels")
    for space, network in [("h", one.encoder), ("z", keras.Sequential([one.encoder, one.head]))]:
        known, new = scaled(predict(network, with_half_turns(images)), predict(network, with_half_turns(tests)))
        guess = Ridge(alpha=len(known) * PENALTY).fit(known, is_turned).predict(new) > 0.5
        told[name, space] = np.mean(guess == is_turned)
        guess = labels[nearest(predict(network, seen), predict(network, tests))[:, 0]]
        mixed_up[name, space] = np.mean(guess[six_or_nine] == 15 - test_labels[six_or_nine])
uncropped = trained["light only"][0]

figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.6), sharey=True)
rows = np.arange(3)
axes[0].barh(rows, last_loss.values(), color=plots.COLOURS[0])
axes[0].axvline(collapse_value(PAIRS), color="black", linestyle=":")
axes[0].set(yticks=rows, yticklabels=list(last_loss), xlabel="loss at the end")
axes[1].barh(rows, [read[name].mean() for name in last_loss], color=plots.COLOURS[0])
axes[1].axvline(read["untrained, below"].mean(), color="black", linestyle=":")
axes[1].set(xlabel="digits read in $h$, 1 % of labels", xlim=(0, 1))
for space, shift, colour in [("h", -0.2, plots.COLOURS[0]), ("z", 0.2, plots.COLOURS[1])]:
    axes[2].barh(rows + shift, [told[name, space] for name in last_loss], 0.38, color=colour, label=f"${space}$")
axes[2].axvline(0.5, color="black", linestyle=":")
axes[2].set(xlabel="told: upright or half turn?", xlim=(0, 1.25), xticks=[0, 0.5, 1])
axes[2].legend(loc="center right", fontsize=9)
axes[0].invert_yaxis()
figure.tight_layout()
plt.show()
for space in "hz":
    pair = [mixed_up[name, space] for name in ("crop, light", "crop, light, half turns")]
    print(f"{space}: six taken for nine or nine for six: {pair[0]:.1%}, and {pair[1]:.1%} if views were turned")

# %% [markdown]
# *Figure 21.4. Three kinds of views. Left: the loss at the end (dotted: collapse). Middle: what a probe reads in $h$
# (dotted: untrained). Right: how often a probe tells an upright digit from its half turn (dotted: by chance).*

# %%
claim(
    "21.4",
    "without the crop the loss is lower and the probe reads less",
    last_loss["light only"] < last_loss["crop, light"] - 0.3
    and read["light only"].mean() < read["crop, light"].mean() - 0.05,
)

# %% [markdown]
# This claim is the one to remember. A lower loss is not better features; it may be an easier question. Without the
# crop it is enough to compare pixels where they stand: a **shortcut**. Losses compare networks that were asked the
# *same* question, no others.

# %%
claim(
    "21.5",
    "trained to overlook half turns, the features still tell them, far better than the projections do",
    told["crop, light, half turns", "h"] > told["crop, light, half turns", "z"] + 0.1,
)

# %% [markdown]
# That is what the head is for. The loss drives out of $z$ whatever the views change, whether it was needed or not, and
# sixes and nines pay for it, as the printed lines say. Between $h$ and $z$ there are layers that can do the forgetting,
# so $h$ need not (Chen et al., 2020, found the same on photographs, for turns and for colour). Which views are good
# depends on the question that you will ask later: they should keep what it needs, and change all the rest (Tian et al.,
# 2020).
#
# **Try it.** Let the views mirror digits, `RandomCrop(flip=True)`. Which pairs of digits should come closer in $z$?
#
# ## Temperature, and the size of a batch
#
# Equation (21.9) says what to expect of the temperature. Three networks, equal but for $\tau$:

# %%
by_temperature = {
    0.05: contrast(images, views, epochs, temperature=0.05)[0],
    TEMPERATURE: model,
    1.0: contrast(images, views, epochs, temperature=1.0)[0],
}


def projector(one):
    """From pictures to z, without random views."""
    return keras.Sequential([one.encoder, one.head])


def geometry(network, x):
    """Alignment of two views of pictures x, and uniformity of the pictures as they are."""
    pair = [predict(network, as_array(views(x))) for _ in range(2)]
    return alignment(*pair), uniformity(predict(network, x))


some = tests[:1000]
s = as_array(cosines(predict(projector(model), as_array(views(np.concatenate([some[:128], some[:128]]))))))
found, colours = {}, dict(zip(by_temperature, plots.COLOURS))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for (temperature, one), line, marker in zip(by_temperature.items(), ("-", "--", ":"), "os^"):
    colour, name = colours[temperature], f"$\\tau$ = {temperature:g}"
    shares = pushes(s, temperature).clip(0)  # the partner's is negative
    shares = np.sort(shares / shares.sum(axis=1, keepdims=True), axis=1)[:, ::-1].cumsum(axis=1).mean(axis=0)
    axes[0].plot(range(1, 255), shares[:254], line, color=colour, label=name)
    a, u = found[temperature] = geometry(projector(one), some)
    reads = accuracies(features_of(one.encoder), labels, draws, test_labels).mean()
    axes[1].plot(a, u, marker, color=colour, markersize=9, label=f"{name}: {reads:.0%} read")
axes[0].set(xscale="log", xlabel="so many of the hardest negatives, of 254", ylabel="their share of the push")
axes[0].set_xticks([1, 3, 10, 30, 100, 254], ["1", "3", "10", "30", "100", "254"])
axes[0].minorticks_off()
axes[0].legend(fontsize=9, handlelength=3)
axes[1].legend(fontsize=9)
axes[1].axhline(best_uniformity(PROJECTED), color="black", linestyle=":", lw=1)
axes[1].set(xlabel="alignment of views, $A$", ylabel="uniformity, $U$", ylim=(None, -1))
axes[1].margins(x=0.3)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 21.5. Left: how much of the push goes to the hardest negatives, for the cosines of one trained network and
# three temperatures. Right: three networks trained with these temperatures, in the plane of alignment and uniformity
# of $z$ (lower is better in both; dotted: the best possible $U$), and what a probe reads in $h$ with 1 % of the
# labels.*

# %%
claim(
    "21.6",
    "trained at temperature 1, the projections of different digits are less evenly spread",
    found[1.0][1] > found[TEMPERATURE][1] + 0.2,
)

# %% [markdown]
# A high temperature hardly cares which negative is near; to pull the partner is then the cheaper way down. A low one
# pushes only what is nearly mistaken for the partner: once the partner leads by a few $\tau$, its share is close to
# 1, and nothing asks the points to spread any further. And it has its own price: the hardest negatives are often digits
# of the same class, and pushing these apart tears classes up (Wang & Liu, 2021). What is *read* in the end differs by a
# few per cent, as the numbers in the figure say, and which temperature reads best changes from seed to seed. At this
# size the temperature is no knob to lose sleep over; on other data it may be.
#
# And the batch? (21.4) promises a better certificate with more candidates, not better features. Compare at equal
# numbers of *pictures seen*, where a small batch makes more steps, and at equal numbers of *steps*, where it sees fewer
# pictures.


# %%
def proved(one, x, places):
    """log N - L, with a view of each picture x as the question and other views as candidates, N at a time. The views
    are those that the network was trained on."""
    pair, losses = [predict(projector(one), as_array(one.views(x))) for _ in range(2)], []
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in pair)
    for i in range(0, len(x) - places + 1, places):
        scores = a[i : i + places] @ b[i : i + places].T / one.temperature
        losses.append(np.mean(special.logsumexp(scores, axis=1) - np.diag(scores)))
    return np.log(places) - np.mean(losses)


# %%
in_steps = epochs * (len(images) // PAIRS)
rounds = -(-16 * in_steps // len(images))
by_batch = {
    "64 pairs": model,
    "16 pairs, as many pictures": contrast(images, views, epochs, 16)[0],
    "16 pairs, as many steps": contrast(images[: 16 * in_steps // rounds], views, rounds, 16)[0],
    "256 pairs, as many pictures": contrast(images, views, epochs, 256)[0],
}
read_from = {name: accuracies(features_of(one.encoder), labels, draws, test_labels) for name, one in by_batch.items()}
places = [2, 8, 32, 128, 512]
certificates = {name: [proved(one, some, n) for n in places] for name, one in by_batch.items()}
without = proved(uncropped, some, 128)
print(f"128 candidates prove {certificates['64 pairs'][3]:.2f} nats; about views without the crop {without:.2f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
axes[0].plot(places, np.log(places), color="black", linestyle=":")
axes[0].text(40, 4, "$\\log N$", ha="right")
for (name, values), marker, colour, line in zip(certificates.items(), "os^D", plots.COLOURS, plots.LINES):
    axes[0].plot(places, values, marker=marker, color=colour, linestyle=line, markersize=4, label=name)
axes[0].set(xscale="log", xlabel="candidates $N$", ylabel="proved: $\\log N - L$, nats", ylim=(0, 4.5))
axes[0].set_xticks(places, [str(n) for n in places])
axes[0].minorticks_off()
axes[0].legend(fontsize=7.5, loc="lower right", labelspacing=0.2, borderpad=0)
means, spreads = [v.mean() for v in read_from.values()], [v.std() for v in read_from.values()]
axes[1].barh(range(4), means, xerr=spreads, capsize=2)
axes[1].axvline(read["untrained, below"].mean(), color="black", linestyle=":")
axes[1].set(yticks=range(4), yticklabels=list(read_from), xlim=(0, 1))
axes[1].set_xlabel("read with 1 % of the labels")
axes[1].invert_yaxis()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 21.6. Left: the information between two views of unseen digits that each network proves, against the number
# of candidates at the test. Right: what a probe reads in their features (dotted: the untrained network).*

# %%
with_64, with_16 = certificates["64 pairs"], certificates["16 pairs, as many pictures"]
claim(
    "21.7",
    "up to 128, more candidates prove more, and a network trained on 16 pairs proves more with 512 than with 8",
    with_64[0] < with_64[1] < with_64[2] < with_64[3] and with_16[4] > with_16[1] + 0.3,
)

# %%
enough, too_few = (f"16 pairs, as many {what}" for what in ("pictures", "steps"))
claim(
    "21.8",
    "with as many steps, batches of 16 pairs prove less; with as many pictures they read about as well, or better",
    certificates[too_few][3] < with_64[3] - 0.1 and read_from[enough].mean() > read_from["64 pairs"].mean() - 0.08,
)

# %%
claim(
    "21.9",
    "about its own views the network without the crop proves more, and it is read worse",
    without > certificates["64 pairs"][3] + 0.3 and read["light only"].mean() < read_from["64 pairs"].mean() - 0.05,
)

# %% [markdown]
# More candidates need not prove more for ever: the first gap of (21.4), that of bad scores, grows with them.
#
# You will read that contrastive learning needs large batches. In Chen et al. (2020) they help most where training is
# short, and the gap closes as it gets longer; He et al. (2020) keep negatives of earlier batches in a queue instead. At
# the size of this chapter what counts is how many pictures are seen, and in how many steps. That says nothing about
# ImageNet: with a thousand classes, a small batch may hold few hard negatives. Nor does more proved
# information mean better features, as the last claim says (Tschannen et al., 2020, make this point at length).
#
# ## Photographs have colours
#
# Two windows of one photograph share its colours, and the sea is blue in both. A partner could be found by the mean
# colour alone. So SimCLR changes the colours of views too, at random. Here a random gain and level for every channel
# do it, and one view in five, on average, becomes grey. Without training anything, count how often the nearest mean
# colour is the partner's.


# %%
class RandomColour(layers.Layer):
    """Colour pictures with a random gain and level for each channel, then grey with probability one fifth."""

    def __init__(self, strength=0.4):
        super().__init__()
        self.strength, self.draws = strength, keras.random.SeedGenerator(seed() + 3)

    def call(self, x):
        one_each = (ops.shape(x)[0], 1, 1, x.shape[-1])
        gain = keras.random.uniform(one_each, 1 - self.strength, 1 + self.strength, seed=self.draws)
        level = keras.random.uniform(one_each, -self.strength / 3, self.strength / 3, seed=self.draws)
        grey = keras.random.uniform((ops.shape(x)[0], 1, 1, 1), seed=self.draws) < 0.2
        x = ops.clip(gain * x + level, 0, 1)
        return ops.where(grey, ops.mean(x, axis=-1, keepdims=True), x)


# %%
photos = data.cifar10()
count = budget(quick=3000, full=50_000, least=500)
photo_train, photo_labels = as_input(photos.x_train[:count]), photos.y_train[:count]
photo_test = as_input(photos.x_test[: budget(quick=1000, full=10_000, least=1000)])
of_photo = photos.y_test[: len(photo_test)]
kinds = {
    "crop": keras.Sequential([RandomCrop(0.2, flip=True)]),
    "crop and colour": keras.Sequential([RandomCrop(0.2, flip=True), RandomColour()]),
}
by_colour = {}
for name, kind in kinds.items():
    mean_colours = [as_array(kind(photo_test)).mean(axis=(1, 2)) for _ in range(2)]
    hits = []
    for i in range(0, 896, 128):
        distances = spatial.distance.cdist(*(part[i : i + 128] for part in mean_colours))
        hits.append(distances.argmin(axis=1) == np.arange(128))
    by_colour[name] = np.mean(hits)
    print(f"{name}: the partner has the nearest mean colour of 128 in {by_colour[name]:.1%} (by chance 0.8%)")

figure, axis = plt.subplots(figsize=(7, 4))
pairs = [as_array(kinds[name](photo_test[:8])) for name in kinds for _ in range(2)]
draw_grid(axis, [photo_test[:8], *pairs])
axis.set(yticks=17 + 34 * np.arange(5))
axis.set_yticklabels(["photograph", "cropped", "again", "colours too", "again"])
axis.tick_params(length=0)
plt.show()

# %% [markdown]
# *Figure 21.7. Colour pictures, two cropped views of each, and two with changed colours.*

# %%
claim(
    "21.10",
    "the mean colour finds many partners among cropped views, and far fewer after the colours are changed",
    by_colour["crop"] > 0.08 and by_colour["crop and colour"] < 0.5 * by_colour["crop"],
)

# %%
photo_draws = [draw(photo_labels, 20, rng) for _ in range(6)]
plain = new_encoder(photo_train.shape[1:])
for i in range(0, min(len(photo_train), 10_000), 250):
    plain(photo_train[i : i + 250], training=True)
below = keras.Model(plain.input, plain.layers[-2].output)
photo_encoders = {"untrained": plain, "untrained, below": below}
for name, kind in kinds.items():
    photo_encoders[name] = contrast(photo_train, kind, budget(quick=4, full=40, least=1))[0].encoder
for name, encoder in photo_encoders.items():
    features = scaled(predict(encoder, photo_train), predict(encoder, photo_test))
    values = accuracies(features, photo_labels, photo_draws, of_photo)
    print(f"{photos.name}, {name:16} {values.mean():.1%} ± {stats.sem(values):.1%} read, 20 labels of each class")

# %% [markdown]
# These lines are a measurement, and no claim. On pictures in colour, a network as small as this, trained for so short a
# time, gains little or nothing over an untrained one, whatever the views; to change the colours may even lose what it
# gains, for colours do tell something about classes. Chen et al. (2020) trained far larger networks for hundreds of
# epochs. There, crop and colour *together* were much better than either alone, and the reason they gave is the shortcut
# that you have just counted.
#
# ## A look inside
#
# First the geometry of the projections, which the loss asks for. The rivals are an untrained network with an untrained
# head, and the network whose views were not cropped. All are asked about the same kind of views. Alignment by itself is
# cheap: put everything into one place. So set it beside the mean squared distance of strangers.


# %%
def distance_of_strangers(z):
    """The mean squared distance between the rows of z (m, d), brought to length 1."""
    return np.mean(spatial.distance.pdist(z / np.linalg.norm(z, axis=1, keepdims=True), "sqeuclidean"))


# %%
networks = {
    "untrained": keras.Sequential([untrained, new_head()]),
    "without the crop": projector(uncropped),
    "contrastive": projector(model),
}
shape_of = {name: geometry(network, some) for name, network in networks.items()}
strangers = {name: distance_of_strangers(predict(network, some)) for name, network in networks.items()}
relative = {name: shape_of[name][0] / strangers[name] for name in networks}
figure, axis = plt.subplots(figsize=(6.5, 3))
for (name, (a, u)), marker, colour in zip(shape_of.items(), "os^", plots.COLOURS):
    axis.plot(a, u, marker, color=colour, markersize=9)
    axis.annotate(f"{name}\n{relative[name]:.2f} of strangers", (a, u), xytext=(9, -4), textcoords="offset points")
axis.axhline(best_uniformity(PROJECTED), color="black", linestyle=":", lw=1)
axis.set(xlabel="alignment of views, $A$", ylabel="uniformity, $U$", xlim=(0, 2.5), ylim=(-4.1, 0.1))
plt.show()

# %% [markdown]
# *Figure 21.8. Three networks in the plane of alignment and uniformity of $z$; lower is better in both (dotted: the
# best $U$ there is). The numbers are $A$ divided by the mean squared distance of two different pictures.*

# %%
claim(
    "21.11",
    "against the untrained network uniformity improves, and partners are closer compared with strangers",
    shape_of["contrastive"][1] < shape_of["untrained"][1] - 0.5
    and relative["contrastive"] < 0.7 * relative["untrained"],
)

# %% [markdown]
# The untrained network is aligned because it puts everything close together; the one without the crop spreads its
# digits as evenly as one may wish, and partners too. Only both measures together mean something. Now the features, in
# a picture.

# %%
encoders = {"untrained": untrained, "contrastive": model.encoder}
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4))
for axis, name in zip(axes, ["untrained", "contrastive"]):
    features = predict(encoders[name], some[:400])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    flatten = TSNE(2, init="pca", perplexity=25, method="exact", max_iter=400, random_state=seed())
    flat = flatten.fit_transform(features)
    for digit in DIGITS:
        for u, v in flat[test_labels[:400] == digit]:
            axis.text(u, v, digit, fontsize=7, ha="center", va="center", color=plots.COLOURS[digit % 7])
    axis.set(xlim=np.array([-1.05, 1.05]) * np.abs(flat[:, 0]).max(), xticks=[], yticks=[], title=name)
    axis.set_ylim(np.array([-1.05, 1.05]) * np.abs(flat[:, 1]).max())
    axis.spines[:].set(visible=True, color="#aaaaaa")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 21.9. Four hundred test digits, drawn as their numerals, where t-SNE puts their features: untrained, and after
# contrastive learning. No label was used; colours repeat after seven.*
#
# **t-SNE** (Van der Maaten & Hinton, 2008) lays points in the plane such that close neighbours stay close. Sizes of
# clusters and distances between them mean little in it (Wattenberg et al., 2016), and the axes nothing; ask it only who
# is whose neighbour.

# %%
known, new = predict(model.encoder, seen), predict(model.encoder, some)
near = nearest(known, new, 5)
agrees = labels[near[:, 0]] == test_labels[:1000]
before = labels[nearest(predict(untrained, seen), predict(untrained, some))[:, 0]] == test_labels[:1000]
print(f"the nearest neighbour has the same digit in {agrees.mean():.1%} of the cases; untrained {before.mean():.1%}")
fine = [np.flatnonzero(agrees & (test_labels[:1000] == digit))[0] for digit in (2, 4, 8)]
queries = [*fine, *np.flatnonzero(~agrees)[:6]]
figure, axis = plt.subplots(figsize=(7, 4.7))
draw_grid(axis, [some[queries], *(seen[near[queries, n]] for n in range(5))])
axis.axhline(29.5, color=plots.COLOURS[1], lw=2)
axis.axvline(3 * 30 - 0.5, color=plots.COLOURS[1], lw=2)
axis.set(xticks=[45, 180], xticklabels=["the nearest agrees", "the nearest disagrees"])
axis.set(yticks=[15, 105], yticklabels=["query", "nearest"])
axis.tick_params(length=0)
plt.show()

# %% [markdown]
# *Figure 21.10. Top row: test digits. Below each, its five nearest training digits by the cosine of $h$, the nearest
# first. Left: the first two, four and eight whose nearest neighbour has the same digit. Right: the first six digits
# whose nearest neighbour has not.*

# %%
claim(
    "21.12", "the nearest neighbour has the same digit more often than untrained", agrees.mean() > before.mean() + 0.03
)

# %% [markdown]
# Look at the failures. What the views keep is there: slant, loops, the way a stroke ends. What only a label could tell
# is missing. The loss had the opposite order, even: to it, two fours are negatives, and it pushed them apart. They are
# neighbours all the same, most likely because two cropped fours are harder to tell apart than a four and a seven.
#
# ## Debug it
#
# Two snippets of a kind that is found on the web. Snippet A leaves out two lines of NT-Xent. Snippet B is a correct
# NT-Xent that is fed by somebody who lines up the views in another order, both of the first picture, both of the
# second, and so on.


# %%
def web_loss(z, temperature):
    """Snippet A."""
    scores = ops.matmul(z, ops.transpose(z)) / temperature
    rows = ops.shape(z)[0]
    partner = (ops.arange(rows) + rows // 2) % rows
    return ops.mean(keras.losses.sparse_categorical_crossentropy(partner, scores, from_logits=True))


def web_order(z, temperature):
    """Snippet B: what the loss makes of views in the order 0, 0, 1, 1, 2, 2, ..."""
    rows = ops.shape(z)[0]
    order = ops.reshape(ops.transpose(ops.reshape(ops.arange(rows), (2, -1))), (-1,))
    return nt_xent(ops.take(z, order, axis=0), temperature)


# %%
bugs = {"right": nt_xent, "A": web_loss, "B": web_order}
short = max(1, epochs // 2)
symptoms = {}
for name, loss_of_views in bugs.items():
    one, falling = contrast(images, views, short, loss_of_views=loss_of_views)
    h, z = predict(one.encoder, some), predict(projector(one), some)
    values = accuracies(features_of(one.encoder), labels, draws, test_labels)
    symptoms[name] = falling[-1], values.mean()
    print(
        f"{name:5} loss {falling[-1]:.2f}, length of z {np.linalg.norm(z, axis=1).mean():.1f},",
        f"uniformity of z {uniformity(z):.2f}, of h {uniformity(h):.2f}, {values.mean():.1%} read",
    )
collapsed = np.ones((2 * PAIRS, PROJECTED), "float32")
scattered = rng.normal(size=(2 * PAIRS, PROJECTED)).astype("float32")
perfect = np.tile(np.eye(PROJECTED, dtype="float32"), (2, 1))
print(f"log 127 is {collapse_value(PAIRS):.4f}")
for name, loss_of_views in bugs.items():
    tests_of_loss = [(collapsed, 0.2), (scattered, 0.2), (10 * scattered, 0.2), (perfect, 0.05)]
    tried = [float(loss_of_views(z, temperature)) for z, temperature in tests_of_loss]
    print("{:5} all equal {:.4f}; at random {:.2f}; ten times as long {:.2f}; perfect {:.2f}".format(name, *tried))

# %%
claim(
    "21.13",
    "with either snippet the loss falls far less than the right one in the same time, and the probe reads less",
    all(symptoms[bug][0] > symptoms["right"][0] + 0.5 for bug in "AB")
    and all(symptoms[bug][1] < symptoms["right"][1] - 0.05 for bug in "AB"),
)

# %% [markdown]
# **A.** Its loss falls little below $\log 128$, the value of equal rows. Two tests tell why, and need no training.
# *All rows equal* has to give $\log(2N - 1)$, and the snippet gives $\log 2N$: the row itself is among its own
# candidates. *Ten times as long* must change nothing, and here it changes everything: without dividing by the lengths,
# the score is no cosine. The two mistakes make each other worse. A row's product with itself is the square of its
# length; a partner that is no longer than the row cannot beat that. Asked to win against itself, the network does the
# next best: it makes all rows short, so that no score is far from another. Look at the printed length.
#
# **B.** The loss is right and the order is not. `concatenate([x, x])` puts the partner $N$ rows away, `repeat(x, 2)`
# puts it next door. Now row $i$ is pulled towards a view of *another* picture, and its true partner is among its
# negatives, the hardest of all. What the two views have in common must not be used, and the way left is to make
# everything equal: the loss is that of collapse, and the uniformity of $z$ near 0. Both tests of A would pass this
# snippet. The test to keep is a third, with rows in the order of *your* views: **partners equal and all others
# perpendicular must give a loss of nearly 0 for a small $\tau$.**
#
# ## This run

# %%
record(
    probe_contrastive=read["contrastive"].mean(),
    probe_untrained=max(read["untrained"].mean(), read["untrained, below"].mean()),
    from_scratch=max(values.mean() for values in scratch.values()),
    nearest_neighbour_agrees=agrees.mean(),
)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. Plain NumPy is enough, and the functions of the lesson
# are yours to use. $2N$ rows are always ordered as in (21.6): row $i$ and row $i + N$ are views of one picture.
#
# **Exercise 21.1 ★** Who is who in a batch: the mask of self-similarity, the partners and the negatives.


# %%
# Exercise 21.1
def roles_in_batch(rows):
    """For every row of a batch of views the partner, and which rows are its negatives.

    rows: whole number, twice the number of pictures; row i and row i + rows / 2 are partners.
    Returns two arrays: the partners' positions (rows,), whole numbers, and a boolean array
    (rows, rows) that is True at [i, k] where row k is a negative of row i: neither row i
    itself nor its partner.
    Raises ValueError where rows is odd or less than 2.
    Example: roles_in_batch(2) is ([1, 0], [[False, False], [False, False]]).
    """
    ### BEGIN SOLUTION
    if rows < 2 or rows % 2:
        raise ValueError(f"{rows} rows: views come in pairs, so there must be an even number of them, 2 or more")
    partner = (np.arange(rows) + rows // 2) % rows
    negative = ~np.eye(rows, dtype=bool)
    negative[np.arange(rows), partner] = False
    return partner, negative
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("21.1")


@ex.cases
def _(rng):
    for rows in (2, 4, 6, 8, 10, 16):
        yield (rows,)
    for _ in range(6):
        yield (2 * int(rng.integers(9, 30)),)
    for rows in (3, 7, 0, -2):
        yield (rows,)


@ex.oracle
def _(rows):
    if rows % 2 or rows < 2:
        raise ValueError("no pairs")
    pictures = list(range(rows // 2)) * 2  # which picture a row is a view of
    partner = [[k for k in range(rows) if k != i and pictures[k] == pictures[i]][0] for i in range(rows)]
    return np.array(partner), np.array([[a != b for b in pictures] for a in pictures])


def _roles(rows, partner, strict=True):
    if strict and (rows < 2 or rows % 2):
        raise ValueError
    negative = ~np.eye(max(rows, 0), dtype=bool)
    negative[np.arange(rows), partner] = False
    return partner, negative


@ex.wrong
def only_self_masked(rows):
    """The partner is still among the negatives. It is one of the candidates, but no negative: both have to go, the row
    itself and its partner."""
    partner = _roles(rows, (np.arange(rows) + rows // 2) % rows)[0] if rows % 2 == 0 else _roles(rows, 0)
    return partner, ~np.eye(rows, dtype=bool)


@ex.wrong
def only_partner_masked(rows):
    """Every row is its own negative here: the diagonal has to be False as well."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    return partner, negative | np.eye(rows, dtype=bool)


@ex.wrong
def next_door(rows):
    """You pair rows 0 and 1, 2 and 3, and so on. Here first views come first: the partner is half the batch away."""
    return _roles(rows, np.arange(rows) ^ 1) if rows % 2 == 0 else _roles(rows, 0)


@ex.wrong
def mirrored(rows):
    """You count the second half backwards: the first row's partner is the last. It is the first of the second half."""
    return _roles(rows, np.arange(rows)[::-1])


@ex.wrong
def positions_as_floats(rows):
    """The positions are the right numbers, but as floats; an array is indexed by whole numbers."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    return partner.astype(float), negative


@ex.wrong
def beyond_the_batch(rows):
    """Rows of the second half get a partner beyond the end of the batch: their partners are in the first half."""
    _, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    return np.arange(rows) + rows // 2, negative


@ex.wrong
def one_way_mask(rows):
    """The mask knows the pairs one way only: where row k is the partner of row i, row i is the partner of row k."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    half = np.arange(rows // 2)
    negative[half + rows // 2, half] = True
    return partner, negative


@ex.wrong
def other_half_only(rows):
    """You left out the rows of the same half. Both views of every other picture are negatives."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    first = np.arange(rows) < rows // 2
    return partner, negative & (first[:, None] != first)


@ex.wrong
def same_half_only(rows):
    """You left out the rows of the other half. Both views of every other picture are negatives."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    first = np.arange(rows) < rows // 2
    return partner, negative & (first[:, None] == first)


@ex.wrong
def first_half_asks(rows):
    """These are the partners of the first half only. Every row has one."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    return partner[: rows // 2], negative


@ex.wrong
def rows_for_pictures(rows):
    """You took the argument for the number of pictures. It is the number of rows, which is twice that."""
    _roles(rows, 0)
    return _roles(2 * rows, (np.arange(2 * rows) + rows) % (2 * rows))


@ex.wrong
def exchanged(rows):
    """The two results are exchanged: first the positions, then the mask."""
    return _roles(rows, (np.arange(rows) + rows // 2) % rows)[::-1]


@ex.wrong
def places_without_self(rows):
    """These are places among the candidates once the row itself is cut out. Asked for are positions in the batch."""
    _, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    half = rows // 2
    return np.concatenate([np.arange(half) + half - 1, np.arange(half)]), negative


@ex.wrong
def candidates_inverted(rows):
    """The mask is the wrong way round: it is True for the row and its partner, and False for the negatives."""
    partner, negative = _roles(rows, (np.arange(rows) + rows // 2) % rows)
    return partner, ~negative


@ex.wrong
def odd_accepted(rows):
    """Right for whole pairs. With an odd number of rows, or none, somebody has no partner: refuse."""
    rows = max(rows, 0)
    return _roles(rows, (np.arange(rows) + rows // 2) % max(rows, 1), strict=False)


@ex.right
def by_blocks(rows):
    if rows not in range(2, rows + 1, 2):
        raise ValueError("pairs, please")
    half = rows // 2
    block = 1 - np.eye(half)
    return np.roll(np.arange(rows), half), np.kron(np.ones((2, 2)), block) > 0


# %%
check("21.1", roles_in_batch)

# %% [markdown]
# **Exercise 21.2 ★** InfoNCE, in NumPy, and for any number of candidates: there may be more negatives than questions,
# as with a queue. The scores may be large.


# %%
# Exercise 21.2
def info_nce_of(scores):
    """The InfoNCE loss: the mean cross-entropy of finding the partner of every question.

    scores: array (N, M) with M >= N. Row i is a question, column k a candidate; the partner
    of question i is candidate i. Scores may be anywhere between -10,000 and 10,000.
    Returns a number. Raises ValueError where there are fewer candidates than questions.
    Example: info_nce_of(np.zeros((2, 5))) is log 5 = 1.6094.
    """
    ### BEGIN SOLUTION
    questions, candidates = scores.shape
    if candidates < questions:
        raise ValueError(f"axis 1 has size {candidates}, less than axis 0 with {questions}")
    largest = scores.max(axis=1)
    log_sums = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
    return np.mean(log_sums - np.diagonal(scores))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.special import log_softmax

ex = exercise("21.2")


@ex.cases
def _(rng):
    yield (np.zeros((2, 5)),)
    for i in range(20):
        questions = int(rng.integers(2, 6))
        scores = rng.normal(size=(questions, questions + int(rng.integers(0, 4)))) * rng.uniform(0.5, 4)
        yield (scores + [0, 3000, -3000][i % 3],)
    for _ in range(6):
        yield (rng.uniform(-9000, 9000, size=(4, 1)) + rng.normal(size=(4, 6)) * [[1], [1], [100], [1000]],)
    yield (rng.normal(size=(4, 3)),)
    yield (rng.normal(size=(2, 1)),)


@ex.oracle
def _(scores):
    if len(scores[0]) < len(scores):
        raise ValueError("too few candidates")
    return -sum(log_softmax(row)[i] for i, row in enumerate(scores)) / len(scores)


def _checked(scores):
    if scores.shape[1] < scores.shape[0]:
        raise ValueError


def _log_sum(scores, axis=1):
    largest = scores.max(axis=axis)
    return largest + np.log(np.exp(scores - np.expand_dims(largest, axis)).sum(axis=axis))


@ex.wrong
def overflows(scores):
    """Right for moderate scores. For others the exponential is infinite or 0: take each row's largest out first."""
    _checked(scores)
    with np.errstate(all="ignore"):
        return np.mean(np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores))


@ex.wrong
def one_largest_for_all(scores):
    """You took one largest score out of the whole table. Rows far below it are left with exponentials of 0: take out
    each row's own."""
    _checked(scores)
    moved = scores - scores.max()
    with np.errstate(all="ignore"):
        return np.mean(np.log(np.exp(moved).sum(axis=1)) - np.diagonal(moved))


@ex.wrong
def logarithm_of_a_share(scores):
    """A partner far behind has the share 0 as a float, and log 0 is infinite. Take the logarithm before it comes to
    that: log of the sum, minus the partner's score."""
    _checked(scores)
    with np.errstate(all="ignore"):
        return -np.mean(np.log(np.diagonal(np.exp(scores - _log_sum(scores)[:, None]))))


@ex.wrong
def share_propped_up(scores):
    """A small number added to the share keeps log from being infinite, and caps the loss. Work with the log of the sum
    instead."""
    _checked(scores)
    return -np.mean(np.log(np.diagonal(np.exp(scores - _log_sum(scores)[:, None])) + 1e-8))


@ex.wrong
def largest_not_put_back(scores):
    """You took each row's largest score out of the exponentials, and did not add it again after the logarithm."""
    _checked(scores)
    largest = scores.max(axis=1)
    return np.mean(_log_sum(scores) - largest - np.diagonal(scores))


@ex.wrong
def one_for_each_question(scores):
    """This is one loss for each question. The loss is their mean, one number."""
    _checked(scores)
    return _log_sum(scores) - np.diagonal(scores)


@ex.wrong
def log_of_the_mean(scores):
    """You took the logarithm of the mean share. The loss is the mean of the logarithms."""
    _checked(scores)
    with np.errstate(all="ignore"):
        return -np.log(np.mean(np.exp(np.diagonal(scores) - _log_sum(scores))))


@ex.wrong
def whole_table(scores):
    """One sum over the whole table. Every question has its own candidates, so sum along its row."""
    _checked(scores)
    return np.logaddexp.reduce(scores.ravel()) - np.mean(np.diagonal(scores))


@ex.wrong
def divided_by_candidates(scores):
    """You divided by the number of candidates. The mean is over the questions."""
    _checked(scores)
    return np.sum(_log_sum(scores) - np.diagonal(scores)) / scores.shape[1]


@ex.wrong
def in_bits(scores):
    """This is in bits. The cross-entropy has the natural logarithm."""
    _checked(scores)
    return np.mean(_log_sum(scores) - np.diagonal(scores)) / np.log(2)


@ex.wrong
def square_only(scores):
    """You refuse more candidates than questions, which are allowed. Refuse fewer."""
    if scores.shape[0] != scores.shape[1]:
        raise ValueError
    return np.mean(_log_sum(scores) - np.diagonal(scores))


@ex.wrong
def wrong_axis(scores):
    """The softmax runs over the wrong axis: a question, that is a row, has to choose among its candidates."""
    _checked(scores)
    return np.mean(_log_sum(scores, axis=0)[: len(scores)] - np.diagonal(scores))


@ex.wrong
def negatives_only(scores):
    """The partner is missing from the sum. It is one of the candidates; without it the loss has no lower bound."""
    _checked(scores)
    rest = scores.copy()
    np.fill_diagonal(rest, -1e9)
    return np.mean(_log_sum(rest) - np.diagonal(scores))


@ex.wrong
def sum_over_questions(scores):
    """You added up over the questions; the loss is their mean."""
    _checked(scores)
    return np.sum(_log_sum(scores) - np.diagonal(scores))


@ex.wrong
def sign_turned(scores):
    """The sign is turned round: this is the mean log-probability of the partner, and the loss is minus that."""
    _checked(scores)
    return np.mean(np.diagonal(scores) - _log_sum(scores))


@ex.wrong
def mean_in_the_softmax(scores):
    """You took the mean of the exponentials, so the loss is too low by the logarithm of the number of candidates."""
    _checked(scores)
    return np.mean(_log_sum(scores) - np.log(scores.shape[1]) - np.diagonal(scores))


@ex.wrong
def square_part(scores):
    """You use the first N candidates only. The further ones are negatives too, for every question."""
    _checked(scores)
    square = scores[:, : len(scores)]
    return np.mean(_log_sum(square) - np.diagonal(square))


@ex.wrong
def any_shape(scores):
    """Right where every question has its candidate. Where axis 1 is shorter than axis 0, refuse."""
    rows = min(scores.shape)
    return np.mean(_log_sum(scores)[:rows] - np.diagonal(scores))


@ex.right
def by_logaddexp(scores):
    questions, candidates = np.shape(scores)
    if questions > candidates:
        raise ValueError("some questions have no partner")
    behind = np.logaddexp.reduce(scores, axis=1) - scores[range(questions), range(questions)]
    return behind.sum() / questions


# %%
check("21.2", info_nce_of)

# %% [markdown]
# **Exercise 21.3 ★★** NT-Xent for two arrays of views as a network delivers them, of any length. It must not matter
# which of the two comes first.


# %%
# Exercise 21.3
def nt_xent_symmetric(a, b, temperature):
    """The loss (21.7) of N pictures, of which row i of a and row i of b are two views.

    a, b: arrays (N, d), not normalised. temperature: number > 0.
    Returns a number. Raises ValueError where the two shapes differ, or where the temperature
    is not positive.
    Example: with a = b = [[1, 0], [0, 2]] and temperature 1 every row has scores 1, 0 and 0,
    and the loss is log(e + 2) - 1 = 0.5514.
    """
    ### BEGIN SOLUTION
    if a.shape != b.shape:
        raise ValueError(f"the views have the shapes {a.shape} and {b.shape}")
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}; it must be positive")
    z = np.concatenate([a, b])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    scores = z @ z.T / temperature
    np.fill_diagonal(scores, -np.inf)
    largest = scores.max(axis=1, keepdims=True)
    log_sums = largest[:, 0] + np.log(np.exp(scores - largest).sum(axis=1))
    rows = np.arange(len(z))
    return np.mean(log_sums - scores[rows, (rows + len(a)) % len(z)])
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("21.3")


@ex.cases
def _(rng):
    yield np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 2.0]]), 1.0
    for _ in range(20):
        shape = int(rng.integers(2, 6)), int(rng.integers(2, 5))
        scale = rng.uniform(0.5, 3, size=(2, shape[0], 1))
        yield *(scale * rng.normal(size=(2, *shape))), float(rng.uniform(0.1, 2))
    yield rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), 0.5
    yield rng.normal(size=(3, 2)), rng.normal(size=(5, 2)), 0.5
    yield rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), 0.0
    yield rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), -0.5


@ex.oracle
def _(a, b, temperature):
    if temperature <= 0 or a.shape != b.shape:
        raise ValueError("cannot be used")
    rows = [("a", i, v) for i, v in enumerate(a.tolist())] + [("b", i, v) for i, v in enumerate(b.tolist())]
    total = 0.0
    for side, i, v in rows:
        above = below = 0.0
        for other, k, w in rows:
            if (other, k) != (side, i):
                weight = math.exp(sum(p * q for p, q in zip(v, w)) / (math.hypot(*v) * math.hypot(*w)) / temperature)
                below += weight
                above += weight if k == i else 0.0
        total -= math.log(above / below)
    return total / len(rows)


def _loss(a, b, temperature, unit=True, rows="both", mask="self", strict=True, partner=None):
    if a.shape != b.shape or (strict and not temperature > 0):
        raise ValueError
    z = np.concatenate([a, b])
    if unit:
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
    n = len(a)
    scores = z @ z.T / temperature
    partner = (np.arange(2 * n) + n) % (2 * n) if partner is None else partner
    positive = scores[np.arange(2 * n), partner].copy()
    if mask != "none":
        np.fill_diagonal(scores, 0 if mask == "zero" else -np.inf)
    if mask == "both":
        scores[np.arange(2 * n), partner] = -np.inf
    if mask == "other view":
        scores = np.block([[np.full((n, n), -np.inf), scores[:n, n:]], [scores[n:, :n], np.full((n, n), -np.inf)]])
    losses = np.logaddexp.reduce(scores, axis=1) - positive
    return {"both": losses.mean(), "first": losses[:n].mean(), "sum": losses.sum(), "pairs": losses.sum() / n}[rows]


@ex.wrong
def not_normalised(a, b, temperature):
    """You compare products, not cosines: bring every row to length 1 first."""
    return _loss(a, b, temperature, unit=False)


@ex.wrong
def self_unmasked(a, b, temperature):
    """A row is among its own candidates, where it always fits best. Leave it out of its sum."""
    return _loss(a, b, temperature, mask="none")


@ex.wrong
def masked_with_zero(a, b, temperature):
    """A score of 0 is no mask: its exponential is 1, and the row itself is still counted. It has to drop out of the
    sum."""
    return _loss(a, b, temperature, mask="zero")


@ex.wrong
def one_direction(a, b, temperature):
    """Only the rows of a ask. The rows of b have to ask as well; the mean is over all 2N."""
    return _loss(a, b, temperature, rows="first")


@ex.wrong
def partner_not_in_sum(a, b, temperature):
    """The partner is missing from the sum of the candidates. Only the row itself is left out."""
    return _loss(a, b, temperature, mask="both")


@ex.wrong
def other_view_only(a, b, temperature):
    """Your candidates are the N rows of the other array. In NT-Xent the other rows of the same array count too: 2N - 1
    candidates in all."""
    return _loss(a, b, temperature, mask="other view")


@ex.wrong
def multiplied(a, b, temperature):
    """You multiplied by the temperature; the cosines are divided by it."""
    if not temperature > 0:
        raise ValueError
    return _loss(a, b, 1 / temperature)


@ex.wrong
def divided_by_n(a, b, temperature):
    """There are 2N questions, not N: your sum is right, and is divided by half of what it should be."""
    return _loss(a, b, temperature, rows="pairs")


@ex.wrong
def summed(a, b, temperature):
    """You added up over the 2N rows; the loss is their mean."""
    return _loss(a, b, temperature, rows="sum")


@ex.wrong
def rows_not_columns(a, b, temperature):
    """You divided every column by its length. It is the rows that are vectors."""
    z = np.concatenate([a, b]) if a.shape == b.shape else np.ones((2, 2))
    lengths = np.linalg.norm(z, axis=0)
    return _loss(a / lengths, b / lengths, temperature, unit=False)


@ex.wrong
def one_length_for_all(a, b, temperature):
    """You divided by the length of a whole array. Every row has a length of its own."""
    length = np.linalg.norm(np.concatenate([a, b]))
    return _loss(a / length, b / length, temperature, unit=False)


@ex.wrong
def squared_lengths(a, b, temperature):
    """You divided by the squares of the lengths: the square root is missing."""
    a, b = (v / (v**2).sum(axis=1, keepdims=True) for v in (a, b))
    return _loss(a, b, temperature, unit=False)


@ex.wrong
def next_door(a, b, temperature):
    """You take rows 0 and 1, 2 and 3, and so on for partners. After joining a and b the partner is N rows away."""
    return _loss(a, b, temperature, partner=np.arange(2 * len(a)) ^ 1)


@ex.wrong
def interleaved(a, b, temperature):
    """You joined the views in the order a, b, a, b, ..., and then took the row N further for the partner. Join all of a
    and then all of b, or take the neighbour."""
    if a.shape != b.shape:
        raise ValueError
    z = np.stack([a, b], axis=1).reshape(-1, a.shape[1])
    return _loss(z[: len(a)], z[len(a) :], temperature)


@ex.wrong
def side_by_side(a, b, temperature):
    """You joined a and b along axis 1, which makes one long row of the two views of a picture. They are two rows: join
    them along axis 0."""
    if a.shape != b.shape or not temperature > 0:
        raise ValueError
    z = np.concatenate([a, b], axis=1)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    scores, rows = z @ z.T / temperature, np.arange(len(z))
    np.fill_diagonal(scores, -np.inf)
    return np.mean(np.logaddexp.reduce(scores, axis=1) - scores[rows, (rows + len(z) // 2) % len(z)])


@ex.wrong
def counted_backwards(a, b, temperature):
    """You count the second half backwards: the partner of the first row is the first row of b, not the last."""
    return _loss(a, b, temperature, partner=np.arange(2 * len(a))[::-1])


@ex.wrong
def temperature_outside(a, b, temperature):
    """You divided the exponential by the temperature, which cancels out. Divide the cosine, inside it."""
    if not temperature > 0:
        raise ValueError
    return _loss(a, b, 1.0)


@ex.wrong
def any_shapes(a, b, temperature):
    """Right for two arrays of one shape. Where the shapes differ, some rows have no partner: refuse."""
    if not temperature > 0:
        raise ValueError
    z = np.concatenate([a, b])
    half = len(z) // 2
    return _loss(z[:half], z[half : 2 * half], temperature)


@ex.wrong
def cut_to_the_shorter(a, b, temperature):
    """Right for two arrays of one shape. Where one is longer, you leave its further rows out: refuse instead."""
    rows = min(len(a), len(b))
    return _loss(a[:rows], b[:rows], temperature)


@ex.wrong
def any_temperature(a, b, temperature):
    """Right for a positive temperature. With one that is 0 or less, the order of the candidates would be turned round,
    or lost: refuse."""
    with np.errstate(all="ignore"):
        return _loss(a, b, temperature, strict=False)


@ex.right
def by_four_blocks(a, b, temperature):
    if np.shape(a) != np.shape(b):
        raise ValueError("shapes")
    if temperature <= 0:
        raise ValueError("temperature")
    a, b = (v / np.sqrt((v * v).sum(axis=1, keepdims=True)) for v in (a, b))
    across = np.exp(a @ b.T / temperature)
    within = [np.exp(v @ v.T / temperature) * (1 - np.eye(len(v))) for v in (a, b)]
    first = np.diag(across) / (across.sum(axis=1) + within[0].sum(axis=1))
    second = np.diag(across) / (across.sum(axis=0) + within[1].sum(axis=1))
    return -(np.log(first).mean() + np.log(second).mean()) / 2


# %%
check("21.3", nt_xent_symmetric)

# %% [markdown]
# **Exercise 21.4 ★** Uniformity, with the sharpness of the kernel as an argument (the 2 of the exponent in (21.11)).


# %%
# Exercise 21.4
def uniformity_of(z, t=2.0):
    """log of the mean of exp(-t |z_i - z_k|^2) over all pairs i < k of different rows.

    z: array (m, d), not normalised: bring every row to length 1 first. t: number > 0.
    Returns a number. Raises ValueError where there are fewer than two rows.
    Example: uniformity_of(np.array([[3.0, 0.0], [0.0, 1.0]])) is -4: the squared distance is
    2.
    """
    ### BEGIN SOLUTION
    if len(z) < 2:
        raise ValueError(f"axis 0 has size {len(z)}; a pair needs two rows")
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    squared = ((z[:, None] - z[None]) ** 2).sum(axis=-1)
    return np.log(np.mean(np.exp(-t * squared[np.triu_indices(len(z), 1)])))
    ### END SOLUTION


# %% tags=["grading"]
from itertools import combinations

from course.exercises import exercise

import numpy as np
from scipy.spatial.distance import pdist

ex = exercise("21.4")


@ex.cases
def _(rng):
    yield np.array([[3.0, 0.0], [0.0, 1.0]]), 2.0
    for _ in range(20):
        shape = int(rng.integers(3, 8)), int(rng.integers(2, 6))
        yield rng.uniform(0.3, 3, size=(shape[0], 1)) * rng.normal(size=shape), float(rng.uniform(0.5, 3))
    yield np.ones((1, 3)), 2.0
    yield np.array([[3.0, 4.0]]), 1.0


@ex.oracle
def _(z, t):
    if len(z) < 2:
        raise ValueError("no pair")
    total = 0.0
    for a, b in combinations(z, 2):
        cosine = a.dot(b) / np.sqrt(a.dot(a) * b.dot(b))
        total += np.exp(-2 * t * (1 - cosine))
    return np.log(2 * total / (len(z) * (len(z) - 1)))


def _spread(z, t, unit=True, power=2):
    if len(z) < 2:
        raise ValueError
    z = z / np.linalg.norm(z, axis=1, keepdims=True) if unit else z
    return -t * pdist(z) ** power


@ex.wrong
def not_normalised(z, t=2.0):
    """The rows have to be brought to length 1 first: only their directions count."""
    return np.log(np.mean(np.exp(_spread(z, t, unit=False))))


@ex.wrong
def distance_not_squared(z, t=2.0):
    """The distance has to be squared."""
    return np.log(np.mean(np.exp(_spread(z, t, power=1))))


@ex.wrong
def self_pairs(z, t=2.0):
    """You count every row as a pair with itself, at distance 0. Only different rows are pairs."""
    values = np.exp(_spread(z, t))
    return np.log((2 * values.sum() + len(z)) / len(z) ** 2)


@ex.wrong
def mean_of_logs(z, t=2.0):
    """The logarithm comes after the mean. The mean of logarithms is only the mean squared distance, times -t."""
    return np.mean(_spread(z, t))


@ex.wrong
def summed(z, t=2.0):
    """You took the sum over the pairs; with their mean, the value does not depend on how many rows there are."""
    return np.log(np.sum(np.exp(_spread(z, t))))


@ex.wrong
def sign_lost(z, t=2.0):
    """The exponent is positive here, so far pairs count most. Near ones should."""
    return np.log(np.mean(np.exp(-_spread(z, t))))


@ex.wrong
def t_fixed(z, t=2.0):
    """You always take t = 2; it is an argument."""
    return np.log(np.mean(np.exp(_spread(z, 2.0))))


@ex.wrong
def divided_by_all_pairs(z, t=2.0):
    """Your sum leaves the pairs of a row with itself out, and you divide by m squared, which counts them in."""
    values = np.exp(_spread(z, t))
    return np.log(2 * values.sum() / len(z) ** 2)


@ex.wrong
def counted_twice(z, t=2.0):
    """Your mean is twice what it should be. With the pairs i < k only, it is their sum over their number."""
    return np.log(2 * np.mean(np.exp(_spread(z, t))))


@ex.wrong
def diagonal_once(z, t=2.0):
    """You count every row once as a pair with itself, at distance 0: the pairs begin above the diagonal."""
    values = np.exp(_spread(z, t))
    return np.log((values.sum() + len(z)) / (len(values) + len(z)))


@ex.wrong
def half_the_square(z, t=2.0):
    """1 minus the cosine is half the squared distance of two rows of length 1."""
    return np.log(np.mean(np.exp(_spread(z, t) / 2)))


@ex.wrong
def divided_by_t(z, t=2.0):
    """You divided by t; the squared distance is multiplied by it."""
    return np.log(np.mean(np.exp(_spread(z, 1 / t))))


@ex.wrong
def mean_over_coordinates(z, t=2.0):
    """The squared distance is a sum over the coordinates, and you took their mean."""
    return np.log(np.mean(np.exp(_spread(z, t) / z.shape[1])))


@ex.wrong
def columns_normalised(z, t=2.0):
    """You divided every column by its length. It is the rows that are vectors."""
    return np.log(np.mean(np.exp(_spread(z / np.linalg.norm(z, axis=0), t, unit=False))))


@ex.wrong
def one_length_for_all(z, t=2.0):
    """You divided by the length of the whole array. Every row has a length of its own."""
    return np.log(np.mean(np.exp(_spread(z / np.linalg.norm(z), t, unit=False))))


@ex.wrong
def other_base(z, t=2.0):
    """This is the logarithm to base 2. The natural one is asked for."""
    return np.log2(np.mean(np.exp(_spread(z, t))))


@ex.wrong
def one_row_accepted(z, t=2.0):
    """Right for two rows and more. With one row there is no pair, and the mean of nothing is no number: refuse."""
    return np.log(np.mean(np.exp(_spread(z, t)))) if len(z) > 1 else np.nan


@ex.wrong
def log_forgotten(z, t=2.0):
    """The logarithm at the end is missing."""
    return np.mean(np.exp(_spread(z, t)))


@ex.right
def by_cosines(z, t=2.0):
    m = len(z)
    if m <= 1:
        raise ValueError("one row")
    unit = z / np.sqrt(np.einsum("md,md->m", z, z))[:, None]
    kernel = np.exp(2 * t * (unit @ unit.T - 1))
    return np.log((kernel.sum() - np.trace(kernel)) / (m * m - m))


# %%
check("21.4", uniformity_of)

# %% [markdown]
# **Exercise 21.5 ★★** How many *bits* does a table of scores prove? Every batch of pairs gives two bounds by (21.4):
# the $x$ ask and the $y$ are candidates, or the other way round.


# %%
# Exercise 21.5
def information_proved(scores):
    """Two lower bounds on the mutual information of x and y, in bits, from scores of N pairs.

    scores: array (N, N); [i, k] is the score of x_i with y_k, and x_i and y_i belong together.
    Returns (bound where each x asks, bound where each y asks), two numbers; a bit is log 2
    nats. Raises ValueError where scores is not square.
    Example: for np.zeros((8, 8)) both are 0; for 1000 * np.eye(8) both are 3.
    """
    ### BEGIN SOLUTION
    if scores.shape[0] != scores.shape[1]:
        raise ValueError(f"axis 0 has size {scores.shape[0]} and axis 1 {scores.shape[1]}: every x has one y")
    bounds = []
    for asked in (scores, scores.T):
        log_sums = np.logaddexp.reduce(asked, axis=1)
        loss = np.mean(log_sums - np.diagonal(asked))
        bounds.append((np.log(len(scores)) - loss) / np.log(2))
    return tuple(bounds)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.special import softmax

ex = exercise("21.5")


@ex.cases
def _(rng):
    yield (np.zeros((8, 8)),)
    yield (1000 * np.eye(8),)
    for _ in range(20):
        places = int(rng.integers(2, 9))
        yield (rng.normal(size=(places, places)) + rng.uniform(-2, 4) * np.eye(places),)
    yield (rng.normal(size=(5, 5)) + 3000,)
    yield (rng.normal(size=(3, 4)),)
    yield (rng.normal(size=(4, 3)),)


@ex.oracle
def _(scores):
    if len(set(scores.shape)) > 1:
        raise ValueError("not square")
    shares = [softmax(scores, axis=axis).diagonal() for axis in (1, 0)]
    return tuple(float(np.mean(np.log2(len(scores) * share))) for share in shares)


_BIT = np.log(2)


def _bounds(scores, loss=np.mean, places=None, unit=_BIT):
    if scores.shape[0] != scores.shape[1]:
        raise ValueError
    places = len(scores) if places is None else places
    losses = [np.logaddexp.reduce(s, axis=1) - np.diagonal(s) for s in (scores, scores.T)]
    return tuple((np.log(places) - loss(one)) / unit for one in losses)


@ex.wrong
def nats(scores):
    """These are nats. A bit is log 2 nats, so there are more bits than nats."""
    return _bounds(scores, unit=1.0)


@ex.wrong
def wrong_way(scores):
    """You multiplied by log 2 to get bits; a bit is the smaller unit, so divide."""
    return _bounds(scores, unit=1 / np.log(2))


@ex.wrong
def exchanged(scores):
    """The two bounds are exchanged: where an x asks, the softmax runs along its row."""
    return _bounds(scores)[::-1]


@ex.wrong
def one_way_twice(scores):
    """Both numbers come from the rows. Where the y ask, the softmax runs along the columns."""
    return _bounds(scores)[:1] * 2


@ex.wrong
def loss_left_in_nats(scores):
    """The logarithm of N is in bits, and the loss still in nats: divide both by log 2."""
    return tuple(np.log2(len(scores)) + bound for bound in _bounds(scores, places=1, unit=1.0))


@ex.wrong
def candidates_left_in_nats(scores):
    """The loss is in bits, and the logarithm of N still in nats: divide both by log 2."""
    return tuple(np.log(len(scores)) + bound for bound in _bounds(scores, places=1))


@ex.wrong
def powers_of_two(scores):
    """You raised 2 to the scores. They are scores for e: only the result is turned into bits."""
    return _bounds(scores * _BIT)


@ex.wrong
def one_mean(scores):
    """This is one number, the mean of both bounds. Return the two."""
    return float(np.mean(_bounds(scores)))


@ex.wrong
def turned_round(scores):
    """The sign is turned round: it is the logarithm of N minus the loss."""
    return tuple(-bound for bound in _bounds(scores))


@ex.wrong
def the_better_one_twice(scores):
    """You return the larger bound twice. Return both, the x asking first."""
    return (max(_bounds(scores)),) * 2


@ex.wrong
def overflows(scores):
    """Right for moderate scores. For large ones the exponential is infinite: take each row's largest out first, or use
    a logarithm of a sum that does."""
    if scores.shape[0] != scores.shape[1]:
        raise ValueError
    with np.errstate(all="ignore"):
        losses = [np.mean(np.log(np.exp(s).sum(axis=1)) - np.diagonal(s)) for s in (scores, scores.T)]
    return tuple((np.log(len(scores)) - loss) / _BIT for loss in losses)


@ex.wrong
def not_square_accepted(scores):
    """Right for as many x as y. Where the table is not square, somebody has no partner: refuse."""
    size = min(scores.shape)
    return _bounds(scores[:size, :size])


@ex.wrong
def loss_only(scores):
    """This is minus the loss, without the logarithm of N: scores that know nothing have to give 0."""
    return _bounds(scores, places=1)


@ex.wrong
def partner_not_counted(scores):
    """You took N - 1 candidates. The partner is one too: there are N."""
    return _bounds(scores, places=len(scores) - 1)


@ex.wrong
def summed(scores):
    """The loss is a mean over the N questions; you added them up."""
    return _bounds(scores, loss=np.sum)


@ex.wrong
def clipped_at_zero(scores):
    """You replace negative values by 0. The information is never negative, but the estimate may be, when scores are
    bad, and hiding that makes it too good on average."""
    return tuple(max(bound, 0.0) for bound in _bounds(scores))


@ex.right
def by_probabilities(scores):
    rows, columns = scores.shape
    if rows - columns:
        raise ValueError("x and y must be equally many")
    found = []
    for axis in (1, 0):
        moved = scores - scores.max(axis=axis, keepdims=True)
        log_p = moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True))
        found.append(float(np.log2(rows) + np.trace(log_p) / rows / np.log(2)))
    return found[0], found[1]


# %%
check("21.5", information_proved)

# %% [markdown]
# **Exercise 21.6 ★★** The vote of exercise 20.6 counts near and less near neighbours alike. For contrastive features
# it is usual to weigh them by a softmax, with a temperature of its own (Wu et al., 2018). The results are
# probabilities.


# %%
# Exercise 21.6
def weighted_neighbours(features, labels, new, k, temperature, classes):
    """The probability of every class for new items, from their k nearest labelled items.

    features (m, d), labels (m,): whole numbers from 0 to classes - 1. new (n, d). k: whole
    number from 1 to m. temperature: number > 0. Near means a large cosine c; each of the k
    nearest has a weight in proportion to exp(c / temperature), and a class has the sum of its
    members' weights. The weights of the k add up to 1.
    Returns an array (n, classes). Raises ValueError where a label is out of range, or where
    there are not as many labels as features.
    Example: weighted_neighbours(np.eye(2), np.array([0, 2]), np.array([[1.0, 1.0]]), 2, 0.1,
    3) is [[0.5, 0, 0.5]].
    """
    ### BEGIN SOLUTION
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; there are {classes} classes")
    if len(features) != len(labels):
        raise ValueError(f"axis 0 of features has size {len(features)}, and that of labels {len(labels)}")
    known = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = new / np.linalg.norm(new, axis=1, keepdims=True) @ known.T
    near = np.argsort(-cosines, axis=1)[:, :k]
    c = np.take_along_axis(cosines, near, axis=1)
    weights = np.exp((c - c[:, :1]) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("nk,nkc->nc", weights, np.eye(classes)[labels[near]])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.spatial.distance import cdist

ex = exercise("21.6")


@ex.cases
def _(rng):
    yield np.eye(2), np.array([0, 2]), np.array([[1.0, 1.0]]), 2, 0.1, 3
    for i in range(20):
        m, n, classes = int(rng.integers(5, 12)), int(rng.integers(2, 6)), int(rng.integers(2, 5))
        scale = rng.uniform(0.3, 3, size=(m, 1))
        labels = rng.integers(classes, size=m)
        new = rng.uniform(0.5, 2, size=(n, 1)) * rng.normal(size=(n, 3))
        temperature = 0.001 if i % 5 == 4 else float(rng.uniform(0.1, 1))
        yield scale * rng.normal(size=(m, 3)), labels, new, int(rng.integers(2, 5)), temperature, classes
    yield rng.normal(size=(4, 3)), np.array([0, 1, 2, 3]), rng.normal(size=(2, 3)), 2, 0.5, 3
    yield rng.normal(size=(4, 3)), np.array([0, 1, -1, 2]), rng.normal(size=(2, 3)), 2, 0.5, 3
    yield rng.normal(size=(4, 3)), np.array([0, 1, 2, 1, 0, 2]), rng.normal(size=(2, 3)), 2, 0.5, 3
    yield rng.normal(size=(3, 3)), np.array([0, 1, 2, 0]), rng.normal(size=(2, 3)), 1, 0.5, 3
    yield rng.normal(size=(4, 3)), np.array([3, 1, 0, 2]), rng.normal(size=(2, 3)), 2, 0.5, 3


@ex.oracle
def _(features, labels, new, k, temperature, classes):
    if not set(labels.tolist()) <= set(range(classes)):
        raise ValueError("no such class")
    if len(labels) != len(features):
        raise ValueError("every feature needs its label")
    found = np.zeros((len(new), classes))
    for row, distances in zip(found, cdist(new, features, "cosine")):
        nearest = sorted(range(len(labels)), key=lambda i: distances[i])[:k]
        for i in nearest:
            # its share, one over the sum of the ratios
            row[labels[i]] += 1 / sum(np.exp(min((distances[i] - distances[j]) / temperature, 700)) for j in nearest)
    return found


def _scores(closeness, labels, k, temperature, classes, weigh=True, strict=True, whole=False, largest=True, share=True):
    if strict and (labels.min() < 0 or labels.max() >= classes or closeness.shape[1] != len(labels)):
        raise ValueError
    near = np.argsort(-closeness if largest else closeness, axis=1)[:, : closeness.shape[1] if whole else k]
    c = np.take_along_axis(closeness, near, axis=1)
    weights = np.exp((c - c.max(axis=1, keepdims=True)) / temperature) if weigh else np.ones_like(c)
    weights /= weights.sum(axis=1, keepdims=True) if share else 1
    return np.einsum("nk,nkc->nc", weights, np.eye(classes)[labels[near] % classes])


def _cosines(features, new):
    return 1 - cdist(new, features, "cosine")


@ex.wrong
def equal_votes(features, labels, new, k, temperature, classes):
    """All k neighbours have equal votes here. Nearer ones have to weigh more, by the exponential of their cosine."""
    return _scores(_cosines(features, new), labels, k, temperature, classes, weigh=False)


@ex.wrong
def weights_not_shares(features, labels, new, k, temperature, classes):
    """These are weights, not probabilities: divide those of the k neighbours by their sum."""
    return _scores(_cosines(features, new), labels, k, temperature, classes, share=False)


@ex.wrong
def all_items(features, labels, new, k, temperature, classes):
    """Every labelled item has a vote here; only the k nearest have."""
    return _scores(_cosines(features, new), labels, k, temperature, classes, whole=True)


@ex.wrong
def farthest(features, labels, new, k, temperature, classes):
    """You took the k items with the smallest cosines: a large cosine means near."""
    return _scores(_cosines(features, new), labels, k, temperature, classes, largest=False)


@ex.wrong
def by_product(features, labels, new, k, temperature, classes):
    """Products depend on the lengths of the rows. A cosine needs both divided by their lengths."""
    return _scores(new @ features.T, labels, k, temperature, classes)


@ex.wrong
def new_not_normalised(features, labels, new, k, temperature, classes):
    """The length of a new item changes no order, but it changes the weights: normalise the new items as well."""
    known = features / np.linalg.norm(features, axis=1, keepdims=True)
    return _scores(new @ known.T, labels, k, temperature, classes)


@ex.wrong
def times_temperature(features, labels, new, k, temperature, classes):
    """The cosines are divided by the temperature, not multiplied."""
    return _scores(_cosines(features, new), labels, k, 1 / temperature, classes)


@ex.wrong
def overflows(features, labels, new, k, temperature, classes):
    """Right at a moderate temperature. At a small one the exponential overflows: subtract the largest cosine first."""
    if labels.min() < 0 or labels.max() >= classes or len(features) != len(labels):
        raise ValueError
    cosines = _cosines(features, new)
    near = np.argsort(-cosines, axis=1)[:, :k]
    with np.errstate(all="ignore"):
        weights = np.exp(np.take_along_axis(cosines, near, axis=1) / temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("nk,nkc->nc", weights, np.eye(classes)[labels[near]])


@ex.wrong
def any_label(features, labels, new, k, temperature, classes):
    """Right for good labels. A label of -1 is the last class for NumPy's indexing; refuse what is out of range."""
    if len(features) != len(labels):
        raise ValueError
    return _scores(_cosines(features, new), labels, k, temperature, classes, strict=False)


@ex.wrong
def any_number_of_labels(features, labels, new, k, temperature, classes):
    """Right where every item has its label. With more labels than items, some belong to nobody: refuse."""
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError
    return _scores(_cosines(features, new), labels, k, temperature, classes, strict=False)


@ex.wrong
def last_written_wins(features, labels, new, k, temperature, classes):
    """Adding with `+=` at an array of positions counts a position once, even where it comes twice: the votes of two
    neighbours of one class have to add up."""
    _scores(_cosines(features, new), labels, k, temperature, classes)
    cosines, found = _cosines(features, new), np.zeros((len(new), classes))
    for row, c in zip(found, cosines):
        near = np.argsort(-c)[:k]
        weights = np.exp((c[near] - c[near[0]]) / temperature)
        row[labels[near]] += weights / weights.sum()
    return found


@ex.wrong
def softmax_over_all(features, labels, new, k, temperature, classes):
    """You took the softmax over all items, and then the k nearest: their weights do not add up to 1. Choose first."""
    cosines = _cosines(features, new)
    share = _scores(cosines, labels, k, temperature, classes, share=False)
    return share / np.exp((cosines - cosines.max(axis=1, keepdims=True)) / temperature).sum(axis=1, keepdims=True)


@ex.wrong
def softmax_twice(features, labels, new, k, temperature, classes):
    """These are probabilities already, and you put them through another softmax."""
    votes = np.exp(_scores(_cosines(features, new), labels, k, temperature, classes))
    return votes / votes.sum(axis=1, keepdims=True)


@ex.wrong
def class_not_probabilities(features, labels, new, k, temperature, classes):
    """This is the most probable class. Asked for is the probability of every class."""
    return _scores(_cosines(features, new), labels, k, temperature, classes).argmax(axis=1)


@ex.wrong
def nearest_skipped(features, labels, new, k, temperature, classes):
    """You left the nearest out, as if the item itself were among the labelled ones. It is not: the items are new."""
    cosines = _cosines(features, new)
    _scores(cosines, labels, k, temperature, classes)
    np.put_along_axis(cosines, cosines.argmax(axis=1)[:, None], -np.inf, axis=1)
    return _scores(cosines, labels, min(k, len(labels) - 1), temperature, classes)


@ex.wrong
def one_too_many(features, labels, new, k, temperature, classes):
    """You took k + 1 neighbours."""
    return _scores(_cosines(features, new), labels, k + 1, temperature, classes)


@ex.wrong
def by_distance(features, labels, new, k, temperature, classes):
    """You compare distances. Near means a large cosine here, whatever the lengths of the rows."""
    return _scores(-cdist(new, features), labels, k, temperature, classes)


@ex.wrong
def weights_linear(features, labels, new, k, temperature, classes):
    """The weights are in proportion to the cosines here, without the exponential: then the temperature does nothing,
    and a negative cosine makes a negative vote."""
    cosines = _cosines(features, new)
    _scores(cosines, labels, k, temperature, classes)
    near = np.argsort(-cosines, axis=1)[:, :k]
    c = np.take_along_axis(cosines, near, axis=1)
    return np.einsum("nk,nkc->nc", c / c.sum(axis=1, keepdims=True), np.eye(classes)[labels[near]])


@ex.wrong
def far_weighs_more(features, labels, new, k, temperature, classes):
    """The right neighbours, but the farther ones weigh more: the sign in the exponential is turned round."""
    cosines = _cosines(features, new)
    _scores(cosines, labels, k, temperature, classes)
    near = np.argsort(-cosines, axis=1)[:, :k]
    c = np.take_along_axis(cosines, near, axis=1)
    weights = np.exp((c.min(axis=1, keepdims=True) - c) / temperature)
    return np.einsum("nk,nkc->nc", weights / weights.sum(axis=1, keepdims=True), np.eye(classes)[labels[near]])


@ex.wrong
def columns_normalised(features, labels, new, k, temperature, classes):
    """You divided every column by its length. It is the rows that are vectors."""
    known, new = (part / np.linalg.norm(part, axis=0) for part in (features, new))
    return _scores(new @ known.T, labels, k, temperature, classes)


@ex.wrong
def one_label_too_many(features, labels, new, k, temperature, classes):
    """Right for good labels. They run from 0 to classes - 1: refuse `classes` itself and what is above it."""
    if labels.min() < 0 or len(features) != len(labels):
        raise ValueError
    found = _scores(_cosines(features, new), labels, k, temperature, max(classes, labels.max() + 1))
    return found[:, :classes]


@ex.right
def by_partition(features, labels, new, k, temperature, classes):
    if np.any((labels < 0) | (labels > classes - 1)):
        raise ValueError("labels")
    unit = [part / np.sqrt((part**2).sum(axis=1))[:, None] for part in (features, new)]
    logits = unit[1] @ unit[0].T / temperature
    bar = np.sort(logits, axis=1)[:, [-k]]
    logits = np.where(logits >= bar, logits - logits.max(axis=1, keepdims=True), -np.inf)
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True) @ (labels[:, None] == np.arange(classes))


# %%
check("21.6", weighted_neighbours)

# %% [markdown]
# **Exercise 21.7 ★★★** By (21.9) and the chain rule, write the gradient of InfoNCE by the vectors themselves, by hand.


# %%
# Exercise 21.7
def info_nce_gradient(a, b, temperature):
    """The derivatives of the loss (21.3) with scores a_i . b_k / temperature.

    a: the questions, b: the candidates, arrays (N, d), taken as they are, not normalised; b_i
    is the partner of a_i. temperature: number > 0.
    Returns two arrays (N, d): the derivative by a and that by b. Raises ValueError where the
    two shapes differ, or where the temperature is not positive.
    Example: for a = b = [[1], [-1]] and temperature 1 every question gives its partner the
    share 1 / (1 + e^-2) = 0.8808, and the result is ([[-0.1192], [0.1192]], [[-0.1192],
    [0.1192]]).
    """
    ### BEGIN SOLUTION
    if a.shape != b.shape:
        raise ValueError(f"the shapes are {a.shape} and {b.shape}; every question needs its partner")
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}; it must be positive")
    scores = a @ b.T / temperature
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    by_scores = (shares - np.eye(len(a))) / (len(a) * temperature)
    return by_scores @ b, by_scores.T @ a
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("21.7")


@ex.cases
def _(rng):
    yield np.array([[1.0], [-1.0]]), np.array([[1.0], [-1.0]]), 1.0
    for _ in range(20):
        shape = int(rng.integers(2, 6)), int(rng.integers(1, 5))
        yield *rng.normal(size=(2, *shape)), float(rng.uniform(0.2, 2))
    yield rng.normal(size=(1, 2)), rng.normal(size=(3, 2)), 0.5
    yield rng.normal(size=(1, 3)), rng.normal(size=(2, 3)), 0.5
    yield rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), -0.5
    yield rng.normal(size=(2, 2)), rng.normal(size=(2, 2)), 0.0


@ex.oracle
def _(a, b, temperature):
    if a.shape != b.shape or temperature <= 0:
        raise ValueError("no loss")

    # The loss itself, one number at a time, by a step in the imaginary direction.
    def loss(a, b):
        scores = a @ b.T / temperature
        return np.mean(np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores))

    found = [np.zeros(a.shape), np.zeros(b.shape)]
    for which, place in [(w, p) for w in (0, 1) for p in np.ndindex(a.shape)]:
        moved = [a.astype(complex), b.astype(complex)]
        moved[which][place] += 1e-30j
        found[which][place] = loss(*moved).imag / 1e-30
    return tuple(found)


def _shares(scores, axis=1):
    shares = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return shares / shares.sum(axis=axis, keepdims=True)


@ex.wrong
def any_shapes(a, b, temperature):
    """Right where every question has its partner. With another number of candidates than of questions, NumPy may repeat
    an array without a word: refuse."""
    if not temperature > 0:
        raise ValueError
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / (len(a) * temperature)
    return G @ b, G.T @ a


@ex.wrong
def temperature_once(a, b, temperature):
    """The scores are divided by the temperature, so one more division comes out of the derivative."""
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / len(a)
    return G @ b, G.T @ a


@ex.wrong
def sum_for_mean(a, b, temperature):
    """The loss is a mean over the N questions; your derivative is that of their sum."""
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / temperature
    return G @ b, G.T @ a


@ex.wrong
def uphill(a, b, temperature):
    """Every sign is turned round: this is the way downhill, and the gradient points uphill."""
    G = (np.eye(len(a)) - _shares(a @ b.T / temperature)) / (len(a) * temperature)
    return G @ b, G.T @ a


@ex.wrong
def partner_forgotten(a, b, temperature):
    """Here all candidates are pushed, the partner too. It is pulled as well: subtract 1 at its place."""
    G = _shares(a @ b.T / temperature) / (len(a) * temperature)
    return G @ b, G.T @ a


@ex.wrong
def not_transposed(a, b, temperature):
    """The derivative by a is right. For b_k the sum runs over the questions, along a column of the table."""
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / (len(a) * temperature)
    return G @ b, G @ a


@ex.wrong
def candidates_ask(a, b, temperature):
    """The softmax runs down the columns, as if the candidates asked. The a ask, so every row adds up to 1."""
    G = (_shares(a @ b.T / temperature, axis=0) - np.eye(len(a))) / (len(a) * temperature)
    return G @ b, G.T @ a


@ex.wrong
def own_vectors(a, b, temperature):
    """The derivative of a . b by a is b, not a: the two are exchanged."""
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / (len(a) * temperature)
    return G @ a, G.T @ b


@ex.wrong
def candidates_held_fixed(a, b, temperature):
    """The derivative by b has only the pull of its own question. Every other question pushes it, as a negative."""
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / (len(a) * temperature)
    return G @ b, np.diagonal(G)[:, None] * a


def _by_scores(a, b, temperature):
    if a.shape != b.shape or not temperature > 0:
        raise ValueError
    return (_shares(a @ b.T / temperature) - np.eye(len(a))) / (len(a) * temperature)


@ex.wrong
def transposed_the_other(a, b, temperature):
    """You transposed the table for the derivative by a, and not for that by b. For a_i the sum runs over candidates,
    along row i; for b_k over questions, along column k."""
    G = _by_scores(a, b, temperature)
    return G.T @ b, G @ a


@ex.wrong
def exchanged(a, b, temperature):
    """The two results are exchanged: first the derivative by a, then that by b."""
    G = _by_scores(a, b, temperature)
    return G.T @ a, G @ b


@ex.wrong
def each_asks_for_itself(a, b, temperature):
    """The derivative by a is right. That by b belongs to another loss, in which the b ask and the a are candidates."""
    return _by_scores(a, b, temperature) @ b, _by_scores(b, a, temperature) @ a


@ex.wrong
def both_ask(a, b, temperature):
    """This is the gradient of a symmetric loss, in which the b ask too. In (21.3) only the a do."""
    G = (_by_scores(a, b, temperature) + _by_scores(b, a, temperature).T) / 2
    return G @ b, G.T @ a


@ex.wrong
def normalised(a, b, temperature):
    """You brought the rows to length 1. They are to be taken as they are: the scores are products, not cosines."""
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    G = _by_scores(a, b, temperature)
    return G @ b, G.T @ a


@ex.wrong
def temperature_missing_in_the_shares(a, b, temperature):
    """The shares are those of the scores, and the scores are divided by the temperature before the softmax."""
    G = _by_scores(a, b, 1.0 if temperature > 0 else temperature) / temperature
    return G @ b, G.T @ a


@ex.wrong
def no_temperature(a, b, temperature):
    """There is no temperature in your derivative: it divides the scores before the softmax, and once more after it."""
    G = _by_scores(a, b, 1.0 if temperature > 0 else temperature)
    return G @ b, G.T @ a


@ex.wrong
def partner_masked(a, b, temperature):
    """You left the diagonal out of the softmax. Here it holds the partners, which are candidates; there is no row that
    meets itself."""
    _by_scores(a, b, temperature)
    scores = a @ b.T / temperature
    np.fill_diagonal(scores, -1e9)
    G = (_shares(scores) - np.eye(len(a))) / (len(a) * temperature)
    return G @ b, G.T @ a


@ex.wrong
def pull_only(a, b, temperature):
    """This is the pull of the partners only. The candidates are pushed as well, each by its share."""
    _by_scores(a, b, temperature)
    return -b / (len(a) * temperature), -a / (len(a) * temperature)


@ex.wrong
def half_of_it(a, b, temperature):
    """The loss (21.3) is a mean over N questions, not over 2N."""
    G = _by_scores(a, b, temperature) / 2
    return G @ b, G.T @ a


@ex.wrong
def by_small_steps(a, b, temperature):
    """Differences of the loss over small steps come near, but not near enough. Write the derivative itself."""
    _by_scores(a, b, temperature)

    def loss(a, b):
        scores = a @ b.T / temperature
        return np.mean(np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores))

    found = [np.zeros(a.shape), np.zeros(b.shape)]
    for which, place in [(w, p) for w in (0, 1) for p in np.ndindex(a.shape)]:
        moved = [a.copy(), b.copy()]
        moved[which][place] += 1e-4
        found[which][place] = (loss(*moved) - loss(a, b)) / 1e-4
    return tuple(found)


@ex.wrong
def only_by_a(a, b, temperature):
    """This is the derivative by a only. Return two arrays, that by b as well."""
    return _by_scores(a, b, temperature) @ b


@ex.wrong
def any_temperature(a, b, temperature):
    """Right for a positive temperature. A negative one would pull the negatives: refuse."""
    if a.shape != b.shape:
        raise ValueError
    G = (_shares(a @ b.T / temperature) - np.eye(len(a))) / (len(a) * temperature)
    return G @ b, G.T @ a


@ex.right
def one_question_at_a_time(a, b, temperature):
    if a.shape != b.shape or temperature <= 0:
        raise ValueError("pairs, and a positive temperature, please")
    by_a, by_b = np.zeros(a.shape), np.zeros(b.shape)
    for i, question in enumerate(a):
        logits = b @ question / temperature
        p = np.exp(logits - np.logaddexp.reduce(logits))
        p[i] -= 1
        by_a[i] = p @ b
        by_b += np.outer(p, question)
    scale = temperature * len(a)
    return by_a / scale, by_b / scale


# %%
check("21.7", info_nce_gradient)

# %% [markdown]
# **Exercise 21.8 ★★** Repair snippet A of "Debug it", here in NumPy. Two lines are missing.


# %%
# Exercise 21.8
def loss_from_the_web(z, temperature):
    """The loss NT-Xent (21.7) of a batch of views.

    z: array (2N, d), not normalised; row i and row i + N are views of one picture.
    temperature: number > 0. Returns a number.
    Example: for the rows [2, 0], [0, 1], [1, 0], [0, 3] and temperature 1 it is
    log(e + 2) - 1 = 0.5514.
    """
    ### BEGIN SOLUTION
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    scores = z @ z.T / temperature
    np.fill_diagonal(scores, -np.inf)
    rows = np.arange(len(z))
    partner = (rows + len(z) // 2) % len(z)
    log_sums = np.logaddexp.reduce(scores, axis=1)
    return np.mean(log_sums - scores[rows, partner])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.spatial.distance import pdist, squareform

ex = exercise("21.8", start="as_printed")


@ex.cases
def _(rng):
    yield np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]]), 1.0
    yield np.ones((6, 2)), 0.3
    for _ in range(20):
        rows, d = 2 * int(rng.integers(2, 5)), int(rng.integers(2, 5))
        yield rng.uniform(0.5, 2, size=(rows, 1)) * rng.normal(size=(rows, d)), float(rng.uniform(0.2, 2))


@ex.oracle
def _(z, temperature):
    weights = np.exp((1 - squareform(pdist(z, "cosine"))) / temperature)
    total, half = 0.0, len(z) // 2
    for i in range(len(z)):
        below = sum(weights[i, k] for k in range(len(z)) if k != i)
        total -= np.log(weights[i, i - half] / below)  # a negative index counts from the end
    return total / len(z)


def _loss(z, temperature, unit=True, masked=-np.inf):
    if unit:
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
    scores = z @ z.T / temperature
    rows = np.arange(len(z))
    positive = scores[rows, (rows + len(z) // 2) % len(z)].copy()
    if masked is not None:
        np.fill_diagonal(scores, masked)
    return np.mean(np.logaddexp.reduce(scores, axis=1) - positive)


@ex.wrong
def as_printed(z, temperature):
    """The rows have not been brought to length 1, so the scores are no cosines; and every row is among its own
    candidates."""
    scores = z @ z.T / temperature
    rows = np.arange(len(z))
    partner = (rows + len(z) // 2) % len(z)
    log_sums = np.logaddexp.reduce(scores, axis=1)
    return np.mean(log_sums - scores[rows, partner])


@ex.wrong
def still_unmasked(z, temperature):
    """The scores are cosines now. Every row is still among its own candidates."""
    return _loss(z, temperature, masked=None)


@ex.wrong
def still_unnormalised(z, temperature):
    """The row itself is left out now. The scores are still products of vectors of any length."""
    return _loss(z, temperature, unit=False)


@ex.wrong
def zeros_on_the_diagonal(z, temperature):
    """A score of 0 is no mask: its exponential is 1, and the row is still counted. It has to drop out of the sum."""
    return _loss(z, temperature, masked=0.0)


@ex.wrong
def columns_normalised(z, temperature):
    """You divided every column by its length. It is the rows that are vectors."""
    return _loss(z / np.linalg.norm(z, axis=0), temperature, unit=False)


@ex.wrong
def one_length_for_all(z, temperature):
    """You divided by the length of the whole array. Every row has a length of its own."""
    return _loss(z / np.linalg.norm(z), temperature, unit=False)


@ex.wrong
def squared_lengths(z, temperature):
    """You divided by the squares of the lengths: the square root is missing."""
    return _loss(z / (z**2).sum(axis=1, keepdims=True), temperature, unit=False)


@ex.wrong
def columns_normalised_only(z, temperature):
    """Every row is still among its own candidates; and you divided every column by its length, not every row."""
    return _loss(z / np.linalg.norm(z, axis=0), temperature, unit=False, masked=None)


def _with_partner_masked(z, temperature, itself=True):
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    scores = z @ z.T / temperature
    rows = np.arange(len(z))
    partner = (rows + len(z) // 2) % len(z)
    positive = scores[rows, partner].copy()
    scores[rows, partner] = -np.inf
    if not itself:
        np.fill_diagonal(scores, -np.inf)
    return np.mean(np.logaddexp.reduce(scores, axis=1) - positive)


@ex.wrong
def partner_masked(z, temperature):
    """You left the partner out of the sum, not the row itself. The partner is a candidate."""
    return _with_partner_masked(z, temperature)


@ex.wrong
def both_masked(z, temperature):
    """The partner is missing from the sum of the candidates. Only the row itself is left out."""
    return _with_partner_masked(z, temperature, itself=False)


@ex.wrong
def one_subtracted(z, temperature):
    """You subtracted the unit matrix from the scores. That makes a row's score with itself smaller, but it is still
    counted: it has to drop out of the sum."""
    return _loss(z, temperature, masked=1 / temperature - 1)


@ex.wrong
def least_cosine(z, temperature):
    """A cosine of -1 is the least there is, and still no mask: the row is counted as its own opposite. It has to drop
    out of the sum."""
    return _loss(z, temperature, masked=-1 / temperature)


@ex.wrong
def scores_normalised(z, temperature):
    """You divided the rows of the scores by their lengths. It is the rows of z that have to be brought to length 1,
    before the products."""
    scores = z @ z.T / temperature
    scores = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    rows = np.arange(len(z))
    np.fill_diagonal(scores, -np.inf)
    return np.mean(np.logaddexp.reduce(scores, axis=1) - scores[rows, (rows + len(z) // 2) % len(z)])


@ex.wrong
def summed(z, temperature):
    """You added up over the rows; the loss is their mean."""
    return _loss(z, temperature) * len(z)


@ex.wrong
def nothing_filled(z, temperature):
    """If you assign what `np.fill_diagonal` returns: that is None, for it changes the array in place."""
    raise TypeError("None is no array of scores")


@ex.right
def by_cutting_out(z, temperature):
    lengths = np.sqrt(np.einsum("nd,nd->n", z, z))
    cosines = z @ z.T / np.outer(lengths, lengths)
    losses = []
    for i, row in enumerate(cosines):
        exponentials = np.exp(np.delete(row, i) / temperature)
        losses.append(np.log(exponentials.sum()) - row[(i + len(z) // 2) % len(z)] / temperature)
    return sum(losses) / len(losses)


# %%
check("21.8", loss_from_the_web)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | a window, stretched | $Y = R\,X\,C^\mathsf{T}$, $R_{ui} = \max(0, 1 - \lvert s_u - i\rvert)$ | (21.1) |
# | which is the partner? | $P(j = k) = r(x, y_k) / \sum_m r(x, y_m)$ | (21.2) |
# | InfoNCE | the cross-entropy of that classification, mean over the questions | (21.3) |
# | the bound | $I = \log N - L$ + two gaps $\ge 0$; never proves more than $\log N$ | (21.4) |
# | Gaussians | $I = -\frac d2 \log(1 - \rho^2)$ | (21.5) |
# | NT-Xent | cosines over $\tau$; all rows but itself; mean over $2N$ rows | (21.6), (21.7) |
# | collapse | $L = \log(2N - 1)$ | (21.8) |
# | the push | $(p_{ik} - [k = j(i)]) / \tau$ | (21.9) |
# | alignment | mean $\lVert z_i - z_{i+N}\rVert^2$ of partners | (21.10) |
# | uniformity | $\log$ of the mean $e^{-2 \lVert z_i - z_k\rVert^2}$ | (21.11) |
# | at best | $-4 + \log {}_0F_1(; \frac d2; 4)$ | (21.12) |
#
# Views say what does not matter. A lower loss is better for the same question only. Keep $h$, throw $z$ away.
#
# ## References
#
# - T. Chen, S. Kornblith, M. Norouzi and G. Hinton, *A simple framework for contrastive learning of visual
#   representations*, 2020, arXiv:2002.05709.
# - R. Hadsell, S. Chopra and Y. LeCun, *Dimensionality reduction by learning an invariant mapping*, 2006, CVPR.
# - K. He, H. Fan, Y. Wu, S. Xie and R. Girshick, *Momentum contrast for unsupervised visual representation learning*,
#   2020, arXiv:1911.05722.
# - L. van der Maaten and G. Hinton, *Visualizing data using t-SNE*, 2008, Journal of Machine Learning Research.
# - D. McAllester and K. Stratos, *Formal limitations on the measurement of mutual information*, 2020, arXiv:1811.04251.
# - A. van den Oord, Y. Li and O. Vinyals, *Representation learning with contrastive predictive coding*, 2018,
#   arXiv:1807.03748.
# - B. Poole, S. Ozair, A. van den Oord, A. Alemi and G. Tucker, *On variational bounds of mutual information*, 2019,
#   arXiv:1905.06922.
# - Y. Tian, C. Sun, B. Poole, D. Krishnan, C. Schmid and P. Isola, *What makes for good views for contrastive
#   learning?*, 2020, arXiv:2005.10243.
# - M. Tschannen, J. Djolonga, P. Rubenstein, S. Gelly and M. Lucic, *On mutual information maximization for
#   representation learning*, 2020, arXiv:1907.13625.
# - F. Wang and H. Liu, *Understanding the behaviour of contrastive loss*, 2021, arXiv:2012.09740.
# - T. Wang and P. Isola, *Understanding contrastive representation learning through alignment and uniformity on the
#   hypersphere*, 2020, arXiv:2005.10242.
# - M. Wattenberg, F. Viégas and I. Johnson, *How to use t-SNE effectively*, 2016, Distill.
# - Z. Wu, Y. Xiong, S. Yu and D. Lin, *Unsupervised feature learning via non-parametric instance discrimination*, 2018,
#   arXiv:1805.01978.
