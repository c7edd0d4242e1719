# %% [raw]
# title: Wasserstein GAN
# part: IV. Generating
# minutes: 150
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - multi-layer perceptron
#   - gradient descent
#   - backpropagation
#   - gradient checking
#   - Adam
#   - batch normalisation
#   - cross-correlation and convolution
#   - transposed convolution
#   - training, validation and test data
#   - Kullback-Leibler divergence
#   - adversarial game
#   - optimal discriminator
#   - Jensen-Shannon divergence
#   - non-saturating loss
#   - DCGAN
#   - Fréchet distance
#   - mode coverage
# teaches:
#   - optimal transport
#   - Wasserstein distance
#   - Kantorovich-Rubinstein duality
#   - Lipschitz constraint
#   - weight clipping
#   - gradient penalty
#   - spectral normalisation
# data: [MNIST]
# sources:
#   - "McShane, Extension of range of functions, 1934"
#   - "Kantorovich, On the translocation of masses, 1942"
#   - "Birkhoff, Three observations on linear algebra, 1946"
#   - "Kantorovich & Rubinstein, On a space of completely additive functions, 1958"
#   - "Villani, Optimal transport: old and new, 2009"
#   - "Goodfellow et al., Generative adversarial nets, 2014"
#   - "Arjovsky & Bottou, Towards principled methods for training generative adversarial networks, 2017"
#   - "Arjovsky, Chintala & Bottou, Wasserstein generative adversarial networks, 2017"
#   - "Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville, Improved training of Wasserstein GANs, 2017"
#   - "Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter, GANs trained by a two time-scale update rule, 2017"
#   - "Metz, Poole, Pfau & Sohl-Dickstein, Unrolled generative adversarial networks, 2017"
#   - "Miyato, Kataoka, Koyama & Yoshida, Spectral normalization for generative adversarial networks, 2018"
#   - "Lucic, Kurach, Michalski, Bousquet & Gelly, Are GANs created equal?, 2018"
#   - "Stanczuk, Etmann, Kreusser & Schönlieb, Wasserstein GANs work because they fail, 2021"

# %% [markdown]
# Blue is a heap of real data, orange what a generator makes of its noise. The generator learns by being told how far
# off it is. A GAN (Goodfellow et al., 2014) tells it by the Jensen-Shannon divergence (JSD), the number above each of
# the first three pictures.

# %%
import itertools
import textwrap
import time

from course import budget, check, claim, data, gradient, plots, prove, record, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import optimize, stats
from scipy.spatial.distance import cdist, jensenshannon

rng = start("18")  # seeds everything from COURSE_SEED and sets the style of the figures
BLUE, ORANGE, GREEN, PINK = plots.COLOURS[:4]

# %%
figure, axes = plt.subplots(1, 4, figsize=(9.5, 2.5), width_ratios=[1, 1, 1, 1.5])
for axis, apart in zip(axes, (4, 2, 0.5)):
    axis.bar(0, 1, 1, align="edge", color=BLUE, label="real, $p$")
    axis.bar(apart, 1, 1, align="edge", fc="none", ec=ORANGE, lw=2, hatch="///", label="generated, $q$")
    axis.set(xlim=(-0.5, 5.5), ylim=(0, 1.9), yticks=[], xlabel="$x$")
    axis.set_title(f"JSD = {min(apart, 1) * np.log(2):.3f}")
axes[0].legend(fontsize=8, loc="upper left", ncols=2, columnspacing=1, handlelength=1.2)
apart = np.linspace(0, 5, 101)
axes[3].plot(apart, np.minimum(apart, 1) * np.log(2), label="JSD")
axes[3].plot(apart, apart, label="what you would say")
axes[3].set(xlabel="distance of the heaps", ylabel="how far off")
axes[3].legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.1. Left: three generators, each a box of width 1, at a distance of 4, 2 and 0.5 from the real box, and the
# Jensen-Shannon divergence of the two. Right: that divergence against the distance; and what common sense would want.*
#
# The second generator is nearer to the truth than the first, and the divergence does not see it. It cannot tell a step
# in the right direction from a step in the wrong one until the two heaps touch; its curve is flat, and what is flat
# has no slope to follow. Two questions:
#
# **Is there a distance between two heaps that says how far? And can a network measure it?**
#
# ## What you will be able to do
#
# - compute the Wasserstein distance of two heaps exactly: as a plan, as a pairing, and on a line by sorting;
# - explain why the same number is the best score that a function with slope at most 1 can reach, and train a network
#   to reach it;
# - keep a network's slope in bounds in three ways (clipping, gradient penalty, spectral normalisation), and say what
#   each of them costs;
# - train a GAN, a WGAN with clipping and a WGAN with gradient penalty on equal terms, and read their losses;
# - recognise a penalty that takes its norm over the batch, an $\varepsilon$ from the wrong distribution and a wrong
#   sign, from what they do.
#
# ## Where the divergence goes blind
#
# As in chapter 17, $p$ is the density of the real data and $q$ that of what the generator makes. Where the two have no
# place in common, their mixture $m = (p + q)/2$ is $p/2$ wherever $p$ lives, so $\log (p/m) = \log 2$ there, and the
# same goes for $q$. Both halves of the JSD are then constant:
#
# $$ p(x)\, q(x) = 0 \text{ everywhere} \quad \Rightarrow \quad \mathrm{JSD}(p \,\|\, q)
#    = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m) = \log 2 \tag{18.1} $$
#
# whatever the distance. The best discriminator is 1 on the one heap, 0 on the other, and flat on both. Is that a freak
# case? Digits fill 784 dimensions no more than a thread fills a room; so does what a generator makes of a few numbers
# of noise. Two such thin sets almost never overlap to an extent that counts (Arjovsky & Bottou, 2017). At the start of
# training the blind case is the normal one.


# %%
def divergence_when_apart(p, q):
    """The Jensen-Shannon divergence (18.1) of distributions p, q (n,) that share no place; refuses others."""
    if shared := int(np.sum((p > 0) & (q > 0))):
        raise ValueError(f"p and q share {shared} of {len(p)} places; (18.1) holds where they share none")
    return np.log(2)  # (18.1)


def scipy_divergence(p, q):
    return jensenshannon(p, q) ** 2


def separate_heaps(count):
    for _ in range(count):
        n = int(rng.integers(2, 20))
        owner = rng.permutation(n) < rng.integers(1, n)
        heights = rng.uniform(0.1, 1, n)
        yield heights * owner / np.sum(heights * owner), heights * ~owner / np.sum(heights * ~owner)


# %%
prove("18.1", divergence_when_apart, scipy_divergence, cases=separate_heaps(100))

# %% [markdown]
# ## Move the earth
#
# Take the heaps as heaps. How much work is it to shovel one into the shape of the other? Work is mass times distance.
# On a line, let the real data lie half at 0 and half at 2, the generated ones a quarter at 1 and three quarters at 3.
# From 0, move $\frac14$ to 1 and $\frac14$ to 3; from 2, move $\frac12$ to 3. The work is $\frac14 \cdot 1 + \frac14
# \cdot 3 + \frac12 \cdot 1 = \frac32$, and you will not do it with less.
#
# In general, a **plan** $\pi$ says how much goes from each place $x_i$ of the one heap to each place $y_j$ of the
# other. All of $p_i$ has to leave $x_i$, and $q_j$ has to arrive at $y_j$. The work of the cheapest plan is the
# **Wasserstein distance** $W_1$, also known as the earth mover's distance (Kantorovich, 1942):
#
# $$ W_1(p, q) = \min_{\pi \ge 0} \sum_{i,j} \pi_{ij} \, \|x_i - y_j\|
#    \qquad \text{with} \quad \sum_j \pi_{ij} = p_i, \quad \sum_i \pi_{ij} = q_j \tag{18.2} $$
#
# A linear function, linear conditions: that is a *linear program*, and SciPy solves it. If both heaps are samples of
# $N$ points with equal weights, some cheapest plan never divides a point (Birkhoff, 1946), and what remains is to find
# the best *pairing*, a permutation $s$:
#
# $$ W_1 = \min_{s} \frac1N \sum_{i=1}^{N} \|x_i - y_{s(i)}\| \tag{18.3} $$


# %%
def refuse_other_sizes(x, wanted, axis, name):
    """Raise ValueError, naming the axis and both sizes, where x has another size than `wanted` along the axis."""
    if x.ndim <= axis or x.shape[axis] != wanted:
        size = x.shape[axis] if x.ndim > axis else "no"
        raise ValueError(f"{name} has size {size} along axis {axis}, where {wanted} is needed: its shape is {x.shape}")


def cheapest_plan(p, q, distances):
    """W1 and the cheapest plan (18.2): p (n,) and q (m,), both of sum 1, distances (n, m) -> number, (n, m)."""
    n, m = len(p), len(q)
    if not np.isclose(np.sum(p), np.sum(q)):
        raise ValueError(f"p sums to {np.sum(p):.4g} and q to {np.sum(q):.4g}: what leaves has to arrive")
    refuse_other_sizes(distances, n, 0, "distances")
    refuse_other_sizes(distances, m, 1, "distances")
    leaving, arriving = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    conditions = np.vstack([leaving, arriving])
    found = optimize.linprog(distances.ravel(), A_eq=conditions, b_eq=np.concatenate([p, q]))  # (18.2)
    return found.fun, found.x.reshape(n, m)


def best_pairing(x, y):
    """For samples x, y (N, dimensions): W1 (18.3), and for every row of x the number of its partner in y."""
    refuse_other_sizes(y, len(x), 0, "the second sample")
    refuse_other_sizes(y, x.shape[1], 1, "the second sample")
    distances = cdist(x, y)
    rows, partners = optimize.linear_sum_assignment(distances)
    return distances[rows, partners].mean(), partners  # (18.3)


def w1_by_plan(x, y, p, q):
    return cheapest_plan(p, q, cdist(x, y))[0]


def scipy_w1(x, y, p, q):
    return stats.wasserstein_distance_nd(x, y, p, q)


def w1_by_pairing(x, y):
    return best_pairing(x, y)[0]


def w1_by_trying_all(x, y):
    orders = itertools.permutations(range(len(y)))
    return min(np.linalg.norm(x - y[list(order)], axis=1).mean() for order in orders)


def weights_of(n):
    weights = rng.uniform(0.1, 1, n)
    return weights / weights.sum()


def weighted_heaps(count, dimensions=2):
    for _ in range(count):
        n, m = (int(k) for k in rng.integers(2, 7, 2))
        yield rng.normal(size=(n, dimensions)), rng.normal(size=(m, dimensions)) + 1, weights_of(n), weights_of(m)


def small_samples(count):
    for _ in range(count):
        yield rng.normal(size=(5, 3)), rng.normal(size=(5, 3))


# %%
prove("18.2", w1_by_plan, scipy_w1, cases=weighted_heaps(60))
prove("18.3", w1_by_pairing, w1_by_trying_all, cases=small_samples(60))

# %%
heap, moved = rng.normal(size=(24, 2)), rng.normal(size=(24, 2)) * [0.4, 1.2] + [2.5, 1]
partners = {"any pairing": np.arange(24), "the best pairing": best_pairing(heap, moved)[1]}
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharex=True, sharey=True)
for axis, (name, partner) in zip(axes, partners.items()):
    for a, b in zip(heap, moved[partner]):
        axis.plot(*np.transpose([a, b]), "-", color="#999999", lw=0.9)
    axis.scatter(*heap.T, color=BLUE, s=22, zorder=3, label="real")
    axis.scatter(*moved.T, color=ORANGE, marker="^", s=26, zorder=3, label="generated")
    length = np.linalg.norm(heap - moved[partner], axis=1).mean()
    axis.set(xlabel="$x_1$", title=f"{name}: mean way {length:.2f}", aspect="equal")
axes[0].set_ylabel("$x_2$")
axes[0].legend(fontsize=8, loc="lower left")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.2. Two samples of 24 points, paired as they come and in the best way. In the best one no two ways cross:
# exchanging the partners would shorten both together. Its mean length is $W_1$.*
#
# On a line you need no program at all. Ways that cross can be uncrossed there too, so the smallest goes to the
# smallest, the second to the second; or, counted from the other side: through every place $t$ has to be carried what
# lies too much on one side of it, the difference of the two distribution functions $F(t)$, the share of the data up to
# $t$:
#
# $$ W_1 = \frac1N \sum_{i=1}^{N} |x_{(i)} - y_{(i)}| = \int |F_p(t) - F_q(t)| \, dt
#    \qquad \text{on a line, } x_{(1)} \le x_{(2)} \le \dots \tag{18.4} $$


# %%
def w1_on_a_line(x, y):
    """W1 (18.4) of two samples (N,) of one size."""
    refuse_other_sizes(y, len(x), 0, "the second sample")
    return np.abs(np.sort(x) - np.sort(y)).mean()  # (18.4)


def scipy_w1_on_a_line(x, y):
    return stats.wasserstein_distance(x, y)


def numbers_on_a_line(count):
    for _ in range(count):
        n = int(rng.integers(1, 50))
        yield rng.normal(size=n), 3 * rng.normal(size=n) + rng.normal()


# %%
prove("18.4", w1_on_a_line, scipy_w1_on_a_line, cases=numbers_on_a_line(200))

# %% [markdown]
# **Try it.** Redraw Figure 18.1 for two boxes of different widths. Does $W_1$ reach 0 anywhere?
#
# ## The same number, seen by a judge
#
# A plan for sixty thousand digits and all that a generator might make: nobody can write that down. But a linear program
# has a second face. Let a **critic** be any function $f$ that gives every place a score, under one condition, that its
# score never changes by more than the distance: $|f(x) - f(y)| \le \|x - y\|$ for all $x$ and $y$. Such an $f$ is
# called **1-Lipschitz**. Now take *any* plan and *any* such critic:
#
# $$ \mathbb{E}_{x \sim p}[f(x)] - \mathbb{E}_{y \sim q}[f(y)] = \sum_{i,j} \pi_{ij} \bigl(f(x_i) - f(y_j)\bigr)
#    \;\le\; \sum_{i,j} \pi_{ij} \|x_i - y_j\| $$
#
# What a critic can say in favour of the real data is never more than the work of a plan. So the best critic says at
# most $W_1$. It says exactly that (Kantorovich & Rubinstein, 1958; Villani, 2009, chapter 5):
#
# $$ W_1(p, q) = \max_{f \text{ is 1-Lipschitz}} \; \mathbb{E}_{x \sim p}[f(x)] - \mathbb{E}_{y \sim q}[f(y)]
#    \tag{18.5} $$
#
# Only the scores at the points of the two samples count, and scores that keep the condition there can always be
# extended to the whole space (McShane, 1934). So again it is a linear program. On a line its solution can be read off.
# Integrate by parts, and the difference of the means is $\int f'(t)\, (F_q(t) - F_p(t))\, dt$. With $|f'| \le 1$ you
# make it largest by letting $f$ rise wherever more of $q$ than of $p$ lies to the left, and fall elsewhere:
#
# $$ f^{*\prime}(t) = \operatorname{sign}\bigl( F_q(t) - F_p(t) \bigr) \tag{18.6} $$


# %%
def best_scores(x, y, p, q):
    """The best critic (18.5) by linear programming: points x (n, d), y (m, d), weights p (n,), q (m,).

    Returns W1 and the scores (n + m,) at the points of x, then of y.
    """
    points = np.concatenate([x, y])
    pairs = list(itertools.permutations(range(len(points)), 2))
    conditions = np.array([np.eye(len(points))[i] - np.eye(len(points))[j] for i, j in pairs])
    ways = cdist(points, points)[tuple(np.transpose(pairs))]
    found = optimize.linprog(np.concatenate([-p, q]), A_ub=conditions, b_ub=ways, bounds=(None, None))  # (18.5)
    return -found.fun, found.x


def w1_by_critic(x, y, p, q):
    return best_scores(x, y, p, q)[0]


def best_critic_on_a_line(x, y):
    """f* (18.6) for samples x, y (N,): the places (2 N,) in ascending order, and the score at each."""
    places = np.sort(np.concatenate([x, y]))
    F_p, F_q = (np.searchsorted(np.sort(sample), places[:-1], side="right") / len(sample) for sample in (x, y))
    slopes = np.sign(F_q - F_p)  # (18.6)
    return places, np.concatenate([[0], np.cumsum(slopes * np.diff(places))])


def lead_of_the_best(x, y):
    places, scores = best_critic_on_a_line(x, y)
    return np.interp(x, places, scores).mean() - np.interp(y, places, scores).mean()


# %%
prove("18.5", w1_by_critic, scipy_w1, cases=weighted_heaps(60))
prove("18.6", lead_of_the_best, scipy_w1_on_a_line, cases=numbers_on_a_line(100))

# %%
TWO_HEAPS = np.concatenate([stats.norm.ppf((np.arange(128) + 0.5) / 128, place, 0.3) for place in (-2, 2)])
ONE_HEAP = stats.norm.ppf((np.arange(256) + 0.5) / 256, 0.7, 0.4)


def draw_heaps(axis, bottom, height):
    """Draw the two heaps on a line as small histograms that stand on `bottom`; real ones filled."""
    for sample, colour, hatch in ((TWO_HEAPS, BLUE, None), (ONE_HEAP, ORANGE, "////")):
        counts, edges = np.histogram(sample, 24, (-3.5, 3.5))
        seen = counts > 0
        fill = {"color": colour} if hatch is None else {"fc": "none", "ec": colour, "hatch": hatch}
        heights, widths = height * counts[seen] / 80, np.diff(edges)[seen]
        axis.bar(edges[:-1][seen], heights, widths, bottom, align="edge", **fill)


# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2))
places, scores = best_critic_on_a_line(TWO_HEAPS, ONE_HEAP)
for sample, colour, name in ((TWO_HEAPS, BLUE, "$F_p$, real"), (ONE_HEAP, ORANGE, "$F_q$, generated")):
    share = np.searchsorted(np.sort(sample), places, side="right") / len(sample)
    axes[0].plot(places, share, color=colour, label=name)
    before = share if name.startswith("$F_p") else before
axes[0].fill_between(places, before, share, color="#dddddd", label="area = $W_1$")
axes[0].set(xlabel="$t$", ylabel="share of the data up to $t$")
axes[0].legend(fontsize=8)
axes[1].plot(places, scores - scores.min(), color="black", label="best critic $f^*$")
draw_heaps(axes[1], bottom=-2, height=1.6)
axes[1].set(xlabel="$x$", ylabel="score", ylim=(-2.1, 4))
axes[1].legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.3. Two heaps of real data and one of generated data on a line. Left: their distribution functions; the
# grey area between them is $W_1$ (18.4). Right: the best critic (18.6), and below it the heaps, real ones filled. The
# critic falls where generated earth has to go left and rises where it has to go right, each with steepness 1.*
#
# Look at the right picture as a generator would. Wherever one of its points lies, the critic has a slope, the same at
# every distance, and it points to where the earth is wanted. This is what the JSD did not have.

# %% [markdown]
# ## A game without logarithms
#
# Let the critic be a network $f$ and the generated data be $G(z)$, and (18.5) becomes a game, the **Wasserstein GAN**
# (Arjovsky, Chintala & Bottou, 2017): the critic tries to reach the maximum, the generator to make it small. Of the
# generator's loss only the second mean matters:
#
# $$ L_\text{critic} = \mathbb{E}_z[f(G(z))] - \mathbb{E}_x[f(x)], \qquad
#    L_\text{generator} = -\,\mathbb{E}_z[f(G(z))] \tag{18.7} $$
#
# Mind the signs: both *lower* their loss. The critic's is minus its lead, so $-L_\text{critic}$ is its estimate of
# $W_1$. There is no sigmoid at its end and no logarithm in its loss: a score is any number.


# %%
def refuse_unless_scores(scores, name):
    """Raise ValueError where scores are not (batch,) or (batch, 1)."""
    shape = tuple(scores.shape)
    if len(shape) not in (1, 2) or len(shape) == 2 and shape[1] not in (1, None):
        raise ValueError(f"{name} have the shape {shape}: one score each is needed, (batch,) or (batch, 1)")


def critic_loss(real_scores, fake_scores):
    """The critic's loss (18.7), without what keeps its slope in bounds: scores (batch, 1) each -> number."""
    refuse_unless_scores(real_scores, "the real scores")
    refuse_unless_scores(fake_scores, "the generated scores")
    return ops.mean(fake_scores) - ops.mean(real_scores)  # (18.7)


def generator_loss(fake_scores):
    """The generator's loss (18.7): scores (batch, 1) -> number."""
    refuse_unless_scores(fake_scores, "the generated scores")
    return -ops.mean(fake_scores)


def both_losses(x, generated, places, heights):
    """(18.7) for the critic that joins the given heights (k,) at the places (k,) by straight lines."""
    real, fake = (np.interp(sample, places, heights).astype("float32") for sample in (x, generated))
    return critic_loss(real, fake), generator_loss(fake)


def both_by_integration(x, generated, places, heights):
    """The same by parts: a mean of scores is the height at the right end, less the area of slope times share."""
    means = []
    for sample in (x, generated):
        edges = np.unique(np.concatenate([places, sample]))
        share = np.searchsorted(np.sort(sample), edges[:-1], side="right") / len(sample)
        means.append(heights[-1] - share @ np.diff(np.interp(edges, places, heights)))
    return means[1] - means[0], -means[1]


def bent_critics(count):
    for x, generated in numbers_on_a_line(count):
        places = np.linspace(-15, 15, 7)
        yield x, generated, places, rng.normal(size=7)


# %%
prove("18.7", both_losses, both_by_integration, cases=bent_critics(100), rtol=1e-4, atol=1e-5)

# %% [markdown]
# In code the two players are two compiled models that share two networks. Each trains its own and only reads the
# other. Keras asks a model for its `trainable_variables` when it takes a step; answering with one network's is all
# that freezing the other one needs, on every backend. (To set `opponent.trainable = False`, as one often sees, turns a
# switch on a network that *both* players share.) Each `call` names `training`, though it never uses it: Keras passes
# the mode on to the networks inside only if it does. Without it, whatever differs in training (batch normalisation,
# spectral normalisation, dropout) would be in test mode, and no error would tell. What a player tells is the loss of
# its batch, without the running mean that Keras would keep and set back before every batch (chapter 17).
#
# The third input of the critic, $\varepsilon$, and its `penalty` are for later; until then `penalty_weight` is 0.


# %%
class Player(keras.Model):
    """One side of the game: trains the weights of `mine`, and only reads those of `opponent`."""

    def __init__(self, mine, opponent):
        super().__init__()
        self.mine, self.opponent = mine, opponent

    def compile(self, optimizer, **options):
        super().compile(optimizer, **options)
        optimizer.build(self.trainable_variables)  # else TensorFlow traces the step twice

    @property
    def trainable_variables(self):
        return self.mine.trainable_variables

    @property
    def trainable_weights(self):
        return self.mine.trainable_weights

    @property
    def non_trainable_variables(self):
        trained = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in trained]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {"loss": ops.stop_gradient(self.compute_loss(x, y, y_pred))}  # what `train_on_batch` tells

    def reset_metrics(self):
        """Nothing is kept from batch to batch."""


class Judge(Player):
    """A discriminator: trained by (real, noise, epsilon) to tell real from generated; epsilon is not used."""

    def call(self, inputs, training=None):
        real, noise, _ = inputs
        fake = ops.stop_gradient(self.opponent(noise))
        scores = self.mine(ops.concatenate([real, fake], axis=0))  # in one go: there is no batch normalisation
        count = ops.shape(real)[0]
        return scores[:count], scores[count:], fake

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        real_scores, fake_scores, _ = y_pred  # logits
        return ops.mean(ops.softplus(-real_scores)) + ops.mean(ops.softplus(fake_scores))


class Critic(Judge):
    """A critic: trained by (real, noise, epsilon) to score real above generated, with a penalty on its slopes."""

    def __init__(self, mine, opponent, penalty_weight=0.0):
        super().__init__(mine, opponent)
        if not penalty_weight >= 0:
            raise ValueError(f"penalty_weight is {penalty_weight}: a negative one rewards steep slopes; take 10, or 0")
        self.penalty_weight = penalty_weight

    def penalty(self, real, fake, epsilon):
        return gradient_penalty(self.mine, points_between(real, fake, epsilon))

    def call(self, inputs, training=None):
        real_scores, fake_scores, fake = super().call(inputs, training)
        if training and self.penalty_weight:
            return real_scores, fake_scores, self.penalty(inputs[0], fake, inputs[2])
        return real_scores, fake_scores, ops.zeros(())

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        real_scores, fake_scores, penalty = y_pred
        return critic_loss(real_scores, fake_scores) + self.penalty_weight * penalty


class Generator(Player):
    """A generator, trained by noise. logistic: with the non-saturating loss of a GAN; else with (18.7)."""

    def __init__(self, mine, opponent, logistic):
        super().__init__(mine, opponent)
        self.logistic = logistic

    def call(self, noise, training=None):
        return self.opponent(self.mine(noise))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.softplus(-y_pred)) if self.logistic else generator_loss(y_pred)


# %% [markdown]
# ## How to keep a slope in bounds
#
# Without its condition the maximum in (18.5) is infinite: double all weights of the last layer, and the lead doubles.
# So how steep is a network? Activations such as ReLU, LeakyReLU and tanh have slopes of at most 1. A matrix $W_l$
# stretches no vector by more than its largest singular value $\sigma(W_l)$, its *spectral norm*. What passes all
# layers is stretched by at most the product:
#
# $$ |f(x) - f(y)| \le K\, \|x - y\| \qquad \text{with} \quad K = \prod_l \sigma(W_l) \tag{18.8} $$
#
# The first idea was to keep all weights small. After every step, **clip** each to the range from $-c$ to $c$. A matrix
# with $n$ rows and $m$ columns then has a bounded spectral norm, and so $K$ is bounded:
#
# $$ |W_{ij}| \le c \quad \Rightarrow \quad \sigma(W) \le c \sqrt{n m}, \qquad
#    \text{with equality exactly if } W = c\, a b^\mathsf{T},\; a_i, b_j \in \{-1, 1\} \tag{18.9} $$
#
# (The squared singular values add up to the sum of the squared weights, which is at most $c^2 n m$.)
#
# Look at what this does. It does not make the critic 1-Lipschitz but $K$-Lipschitz, with a $K$ that nobody chose and
# that is a power of $c$: the lead estimates some multiple of $W_1$. And a critic that wants to be as steep as it may
# has to go to where (18.9) is an equality: *all* weights at $\pm c$, and all columns alike up to their signs. A matrix
# like that has rank 1. Clipping pays for slope with everything else that the matrix could have expressed.


# %%
def lipschitz_bound(matrices):
    """K of (18.8) for a network of these matrices (inputs, outputs), with activations of slope at most 1."""
    return np.prod([np.linalg.norm(W, 2) for W in matrices])  # (18.8)


def bounded_slopes(matrices, x, y):
    """The slopes of a network between the points x and y (N, n), none above K."""
    return np.minimum(slopes_in_keras(matrices, x, y), lipschitz_bound(matrices))


def slopes_in_keras(matrices, x, y):
    h = ops.convert_to_tensor(np.stack([x, y]))
    for W in matrices[:-1]:
        h = ops.leaky_relu(ops.matmul(h, W), 0.2)
    scores = ops.convert_to_numpy(ops.matmul(h, matrices[-1]))[..., 0]
    return np.abs(scores[0] - scores[1]) / np.linalg.norm(x - y, axis=-1)


def largest_norm_when_clipped(n, m, c):
    """The largest spectral norm of an n by m matrix with entries between -c and c (18.9)."""
    return c * np.sqrt(n * m)  # (18.9)


def norm_at_the_corner(n, m, c):
    """The same by climbing: from random matrices, move every entry to the sign that the singular vectors ask for. The
    largest spectral norm on any of the ways."""
    best = 0
    for _ in range(20):
        W = rng.uniform(-c, c, (n, m))
        for _ in range(4):
            u, singular, v = np.linalg.svd(W)
            best = max(best, singular[0])
            W = c * np.sign(np.outer(u[:, 0], v[0]))
    return best


class Clip(keras.constraints.Constraint):
    """Keeps every weight between -c and c; Keras applies it after each step."""

    def __init__(self, c):
        if not c > 0:
            raise ValueError(f"c is {c}: the weights are clipped to the range from -c to c, so it must be positive")
        self.c = c

    def __call__(self, w):
        return ops.clip(w, -self.c, self.c)


def normal(*shape):
    """Standard normal numbers, float32."""
    return rng.normal(size=shape).astype("float32")


def networks_and_points(count):
    for _ in range(count):
        yield [normal(3, 8), normal(8, 8), normal(8, 1)], normal(50, 3), normal(50, 3)


def clipped_sizes(count):
    for _ in range(count):
        yield *(int(k) for k in rng.integers(1, 8, 2)), float(rng.uniform(0.01, 2))


# %%
prove("18.8", bounded_slopes, slopes_in_keras, cases=networks_and_points(100), rtol=1e-4)
prove("18.9", largest_norm_when_clipped, norm_at_the_corner, cases=clipped_sizes(40))

# %% [markdown]
# The second idea is to *measure* the slope, and to make the critic pay where it is wrong. The slope of $f$ at a point
# is the length of its gradient, $\|\nabla_x f\|$; on a convex region, 1-Lipschitz means that it is at most 1
# everywhere. Everywhere cannot be checked, but some places matter more. In Figure 18.3 the best critic rises with
# slope exactly 1 along the ways that generated earth has to go, and this holds in any number of dimensions: between a
# generated point and its partner in the best plan, $f^*$ has slope 1 in the direction of the way (Gulrajani et al.,
# 2017, proposition 1). Nobody knows the partners; so take any pair, and a random place on the line between:
#
# $$ P(f) = \mathbb{E}\Bigl[ \bigl( \|\nabla_{\hat x} f(\hat x)\| - 1 \bigr)^2 \Bigr], \qquad
#    \hat x = \varepsilon x + (1 - \varepsilon)\, G(z), \quad \varepsilon \sim \mathcal U(0, 1) \tag{18.10} $$
#
# Add $\lambda P$ to the critic's loss, with $\lambda = 10$ as in the paper: this is **WGAN-GP**. Three details are
# easily got wrong. Each example has its *own* $\varepsilon$, one for all of its pixels. It is *uniform*; from a normal
# distribution, two of three points would lie outside the line. And the norm is that of *one example's* gradient, over
# all its axes but the first, not over the batch. To get all gradients of a batch at once, take that of the sum of the
# scores: each example appears in one of them only. (With batch normalisation in the critic it would not; so there is
# none in it.)


# %%
def points_between(real, fake, epsilon):
    """The places of (18.10): real and fake (batch, ...) of one shape, epsilon (batch, 1, ...) with as many axes."""
    wanted = (real.shape[0], *(1 for _ in real.shape[1:]))
    for name, x, shape in (("fake", fake, tuple(real.shape)), ("epsilon", epsilon, wanted)):
        if len(x.shape) != len(shape):
            raise ValueError(f"{name} has {len(x.shape)} axes, where {len(shape)} are needed: {tuple(x.shape)}")
        for axis, (size, needed) in enumerate(zip(x.shape, shape)):
            if None not in (size, needed) and size != needed:
                raise ValueError(f"{name} has size {size} along axis {axis}, where {needed} is needed")
    real, fake, epsilon = (ops.convert_to_tensor(x) for x in (real, fake, epsilon))
    return epsilon * real + (1 - epsilon) * fake


def slopes_of(critic, x):
    """The length of the critic's gradient at each example: x (batch, ...) -> (batch,)."""
    gradients = gradient(lambda at: ops.sum(critic(at)), x)
    squares = ops.sum(ops.square(gradients), axis=list(range(1, len(x.shape))))
    return ops.sqrt(squares + 1e-12)  # at 0 the root has no derivative


def gradient_penalty(critic, x):
    """P (18.10) at the points x (batch, ...)."""
    return ops.mean(ops.square(slopes_of(critic, x) - 1))  # (18.10)


# %% [markdown]
# The oracle knows nothing of automatic differentiation. It is a small critic in NumPy with 64-bit numbers,
# $f(x) = v \cdot \tanh(Wx + b)$, and gets its gradient by central differences.


# %%
WIDTH = 6  # of the critic in the proofs


def tiny_critic():
    hidden = layers.Dense(WIDTH, activation="tanh")
    return keras.Sequential([keras.Input((2, 3)), layers.Flatten(), hidden, layers.Dense(1, use_bias=False)])


def tiny_scores(x, W, b, v):
    """The same in NumPy: x (..., 2, 3) -> (...)."""
    return (np.tanh(x.reshape(*x.shape[:-2], 6) @ W + b) @ v)[..., 0]


def differences(f, x, step):
    """The derivative of f (number or array) by each entry of x, by central differences, stacked along axis 0."""
    moves = step * np.eye(x.size).reshape(-1, *x.shape)
    return np.stack([(f(x + move) - f(x - move)) / (2 * step) for move in moves])


def tiny_penalty(real, fake, epsilon, W, b, v):
    slopes = []
    for one, other, e in zip(real.astype(float), fake.astype(float), epsilon.ravel().astype(float)):
        between = other + e * (one - other)
        slopes.append(np.linalg.norm(differences(lambda x: tiny_scores(x, W, b, v), between, 1e-5)))
    return np.mean((np.array(slopes) - 1) ** 2)


def penalty_in_keras(real, fake, epsilon, W, b, v):
    tensors = [ops.convert_to_tensor(array) for array in (W, b, v)]

    def critic(x):
        return ops.matmul(ops.tanh(ops.matmul(ops.reshape(x, (-1, 6)), tensors[0]) + tensors[1]), tensors[2])

    return gradient_penalty(critic, ops.convert_to_tensor(points_between(real, fake, epsilon)))


def tiny_batches(count):
    for _ in range(count):
        epsilon = rng.uniform(size=(4, 1, 1)).astype("float32")
        yield normal(4, 2, 3), normal(4, 2, 3), epsilon, normal(6, WIDTH), normal(WIDTH), normal(WIDTH, 1)


# %%
prove("18.10", penalty_in_keras, tiny_penalty, cases=tiny_batches(60), rtol=1e-3, atol=1e-4)

# %% [markdown]
# A penalty is a price, and a price can be paid. How steep is the critic that finds the best balance? Let the real
# point lie at 0 and the generated one at a distance of $W_1$, and let the slope be $s$ along the way. The critic's
# lead is $s W_1$, the price $\lambda (s-1)^2$, and the loss $-s W_1 + \lambda (s - 1)^2$ is least at
#
# $$ s = 1 + \frac{W_1}{2 \lambda} \tag{18.11} $$
#
# So its lead is too large by the factor $s$, with $\lambda = 10$ and $W_1 = 2$ by a tenth. The penalty does not make
# the critic 1-Lipschitz either, only nearly so. There is a simple remedy when you want to *know* $W_1$: divide the
# lead by the steepest slope. What is left is a lower bound, by (18.5), whatever the critic is.
#
# One more thing has to work. The critic's step needs the derivative of the penalty by the weights, and the penalty
# holds a derivative by the input: a derivative of a derivative. With $g = \nabla_{\hat x} f(\hat x) \ne 0$:
#
# $$ \frac{\partial P}{\partial \theta} = \mathbb{E}\left[ 2 \,\bigl(\|g\| - 1\bigr)\,
#    \frac{g \cdot \partial g / \partial \theta}{\|g\|} \right] \tag{18.12} $$
#
# `gradient` can be differentiated again, so the compiled player does that by itself. The proof lets it: one step of
# plain gradient descent with $\alpha = 1$ moves the weights by minus the derivative of the loss, and the oracle gets
# that from differences of the NumPy critic, of its loss with the penalty and $\lambda = 10$.


# %%
def best_slope(distance, penalty_weight):
    """The slope (18.11) at which lead and penalty are in balance."""
    return 1 + distance / (2 * penalty_weight)  # (18.11)


def best_slope_by_search(distance, penalty_weight):
    """The same for a critic that may have another slope in each of eight parts of the way, by minimisation."""

    def loss(slopes):
        return -distance * slopes.mean() + penalty_weight * np.mean((slopes - 1) ** 2)

    return optimize.minimize(loss, np.zeros(8)).x.mean()


def distances_and_weights(count):
    for _ in range(count):
        yield float(rng.uniform(0.1, 5)), float(rng.uniform(0.5, 20))


STEPPER = {}  # the compiled player of the proof: compiling it for every case would take long


def step_of_the_player(real, fake, epsilon, W, b, v):
    """How one step of the compiled critic moves W, b and v, with the sign turned: the derivative (18.12)."""
    if not STEPPER:
        critic = tiny_critic()
        passing = keras.Sequential([keras.Input((2, 3)), layers.Identity()])
        STEPPER["player"] = Critic(critic, passing, penalty_weight=10.0)
        # Eagerly, one operation after the other: in a graph, TensorFlow on a CPU may read a weight after its update.
        STEPPER["player"].compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    player = STEPPER["player"]
    player.mine.set_weights([W, b, v])
    player.train_on_batch((real, fake, epsilon))  # (18.12)
    return [before - after for before, after in zip((W, b, v), player.mine.get_weights())]


def step_by_differences(real, fake, epsilon, W, b, v):
    def loss(weights):
        W, b, v = weights[:-2].reshape(6, WIDTH), weights[-2], weights[-1][:, None]
        lead = tiny_scores(real.astype(float), W, b, v).mean() - tiny_scores(fake.astype(float), W, b, v).mean()
        return 10 * tiny_penalty(real, fake, epsilon, W, b, v) - lead

    by_all = differences(loss, np.concatenate([W, b[None], v.T]).astype(float), 1e-4).reshape(-1, WIDTH)
    return [by_all[:-2], by_all[-2], by_all[-1][:, None]]


# %%
prove("18.11", best_slope, best_slope_by_search, cases=distances_and_weights(100), rtol=1e-3)
prove("18.12", step_of_the_player, step_by_differences, cases=tiny_batches(12), rtol=2e-3, atol=5e-3)

# %% [markdown]
# The third idea needs neither clipping nor a penalty: divide every matrix by its spectral norm, and (18.8) gives
# $K \le 1$, for certain and everywhere. Its price is that the product is only a bound, and a critic under it may be
# flatter than it had to be. **Spectral normalisation** (Miyato et al., 2018) finds $\sigma$ by the power method, which
# you met with linear autoencoders: start with any vector $u$, and go through the matrix and back,
#
# $$ v \leftarrow \frac{W^\mathsf{T} u}{\|W^\mathsf{T} u\|}, \qquad u \leftarrow \frac{W v}{\|W v\|}, \qquad
#    \sigma(W) \approx u^\mathsf{T} W v \tag{18.13} $$
#
# $$ W_\text{SN} = \frac{W}{\sigma(W)} \tag{18.14} $$
#
# A training step changes $W$ a little, so one round a step is enough if $u$ is kept. A kernel of a convolution is
# taken as a matrix with one column for each output channel. Its spectral norm is then not quite that of the
# convolution, whose windows overlap, but serves in practice.


# %%
def spectral_norm(W, u, rounds):
    """The largest singular value of W (..., outputs) by power iteration (18.13) from u (outputs,); returns it and u."""
    W = W.reshape(-1, W.shape[-1]).T  # one row for each output, as in the formula
    for _ in range(rounds):
        v = W.T @ u
        v = v / np.linalg.norm(v)
        u = W @ v
        u = u / np.linalg.norm(u)
    return u @ W @ v, u  # (18.13)


def sigma_by_rounds(W, u):
    return spectral_norm(W, u, rounds=400)[0]


def sigma_by_svd(W, u):
    return np.linalg.svd(W.reshape(-1, W.shape[-1]), compute_uv=False)[0]


def normalised(W, u):
    return W / spectral_norm(W, u, rounds=400)[0]  # (18.14)


def keras_normalised(W, u):
    """What Keras's layer makes of the kernel when it runs in training."""
    these = keras.initializers.Constant(W)
    layer = keras.layers.Dense(W.shape[-1], use_bias=False, kernel_initializer=these)
    wrapped = keras.layers.SpectralNormalization(layer, power_iterations=40)
    wrapped(np.zeros((1, len(W)), "float32"), training=True)
    return ops.convert_to_numpy(layer.kernel)


def kernels(count):
    for n in range(count):
        shape = (4, 4, 2, 6) if n % 2 else tuple(int(k) for k in rng.integers(2, 9, 2))
        yield rng.normal(size=shape), rng.normal(size=shape[-1])


def gapped_matrices(count):
    """Matrices (5, 4) with singular values 3, 1.5, 1 and 0.5, so that few rounds are enough."""
    for _ in range(count):
        left, right = (np.linalg.qr(rng.normal(size=(n, 4)))[0] for n in (5, 4))
        yield (left * [3, 1.5, 1, 0.5] @ right.T).astype("float32"), normal(4)


# %%
prove("18.13", sigma_by_rounds, sigma_by_svd, cases=kernels(100), rtol=1e-3)
prove("18.14", normalised, keras_normalised, cases=gapped_matrices(12), rtol=1e-4)

# %% [markdown]
# **Try it.** Which of the three ways could you use on a critic whose activation is $x^2$?
#
# ## Does a network reach it?
#
# Put the three to work where the answer is known: on the fixed heaps of Figure 18.3, so the player's opponent just
# passes on what it gets. The same small network four times, the same number of steps. One precaution: a critic whose
# slope is 1 and should be $-1$ has to pass through 0, where the penalty has a peak, and may be stuck before it. So the
# first half of its steps has a small $\lambda$.


# %%
def mlp(inputs, outputs, hidden, constraint=None):
    """Dense layers of the given widths with ReLU between; constraint: kept by all weights and biases."""
    kept = {"kernel_constraint": constraint, "bias_constraint": constraint}
    stack = [layers.Dense(width, activation="relu", **kept) for width in hidden]
    return keras.Sequential([keras.Input((inputs,)), *stack, layers.Dense(outputs, **kept)])


def spectral_mlp(inputs, hidden):
    """A critic with spectral normalisation in every layer."""
    stack = [layers.Dense(width, activation="relu") for width in hidden]
    wrapped = [layers.SpectralNormalization(layer, power_iterations=2) for layer in (*stack, layers.Dense(1))]
    return keras.Sequential([keras.Input((inputs,)), *wrapped])


def refuse_if_lost(loss, who, last):
    """Raise FloatingPointError where a player's loss is no longer a finite number."""
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the {who}'s loss is {loss}, and the last finite one was {last:.4g}. If it ran away from 0 step by step, "
            "look for a wrong sign, or a critic without a bound on its slope; if it jumped, take a smaller learning "
            "rate. The weights are spoilt: build both networks anew."
        )


def take_a_step(player, inputs, who, last=0.0):
    loss = float(player.train_on_batch(inputs))
    refuse_if_lost(loss, who, last)
    return loss


def shares(batch, axes):
    """Uniform numbers for (18.10), one for each example: (batch, 1, ...) with so many axes."""
    return rng.uniform(size=(batch, *[1] * (axes - 1))).astype("float32")


def train_alone(player, optimizer, real, fake, steps, batch=128):
    """Train a judge or critic between two fixed samples (N, ...), whose `opponent` passes on what it gets."""
    player.compile(optimizer)
    loss = 0.0
    for _ in range(steps):
        rows = rng.integers(len(real), size=(2, batch))
        loss = take_a_step(player, (real[rows[0]], fake[rows[1]], shares(batch, real.ndim)), "critic", loss)
    return player.mine


def passing(*shape):
    """A network that passes on what it gets."""
    return keras.Sequential([keras.Input(shape), layers.Identity()])


def scores_of(network, x):
    """What a network makes of x (batch, ...), as an array."""
    return ops.convert_to_numpy(network(ops.convert_to_tensor(x)))


def for_penalty(rate):
    return keras.optimizers.Adam(rate, beta_1=0.5, beta_2=0.9)


def train_penalised(critic, real, fake, steps):
    """Train a critic with penalty, the first half of the steps with a small weight on the penalty."""
    full = critic.penalty_weight
    for weight in (0.03 * full, full):
        critic.penalty_weight = weight  # `train_alone` compiles anew, and so sees it
        network = train_alone(critic, for_penalty(2e-3), real, fake, steps // 2)
    return network


LINE = np.linspace(-3.5, 3.5, 1401, dtype="float32")[:, None]


def lead_and_slope(network, real, fake):
    """The lead of a critic on a line between samples (N, 1), and its steepest slope anywhere between -3.5 and 3.5."""
    lead = scores_of(network, real).mean() - scores_of(network, fake).mean()
    return lead, np.abs(np.diff(scores_of(network, LINE)[:, 0]) / np.diff(LINE[:, 0])).max()


# %%
real, fake = (heap.astype("float32")[:, None] for heap in (TWO_HEAPS, ONE_HEAP))
exact = stats.wasserstein_distance(TWO_HEAPS, ONE_HEAP)
steps, hidden = budget(quick=400, full=2000, least=20), (64, 64)
judge = train_alone(Judge(mlp(1, 1, hidden), passing(1)), keras.optimizers.Adam(2e-3), real, fake, steps)
clipped = Critic(mlp(1, 1, hidden, Clip(0.1)), passing(1))
clipped = train_alone(clipped, keras.optimizers.RMSprop(5e-3), real, fake, steps)
penalised = train_penalised(Critic(mlp(1, 1, hidden), passing(1), 10.0), real, fake, steps)
spectral = train_alone(Critic(spectral_mlp(1, hidden), passing(1)), for_penalty(5e-3), real, fake, steps)
on_the_line = {"discriminator": judge, "clipped": clipped, "penalised": penalised, "spectral": spectral}
reached = {}
print(f"exact W1 {exact:.3f}")
for name, network in on_the_line.items():
    lead, steepest = lead_and_slope(network, real, fake)
    reached[name] = lead / steepest / exact
    if name != "discriminator":
        print(f"{name:10} lead {lead:.3f}, steepest slope {steepest:.3f}, so W1 is at least {lead / steepest:.3f}")

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
line = LINE[(LINE[:, 0] > places[0]) & (LINE[:, 0] < places[-1])]  # beyond the data, f* may be anything
best = np.interp(line[:, 0], places, scores - scores.min())
for axis, (name, network) in zip(axes, on_the_line.items()):
    drawn = scores_of(network, line)[:, 0]
    if name == "discriminator":
        axis.plot(line[:, 0], 1 / (1 + np.exp(-drawn)), color="black", ls="-", lw=1.4)
        draw_heaps(axis, bottom=-0.6, height=0.45)
        axis.set(ylim=(-0.65, 1.3), yticks=[0, 0.5, 1], ylabel="probability of real")
    else:
        axis.plot(line[:, 0], best, color="#999999", lw=3, ls="-", label="$f^*$")
        axis.plot(line[:, 0], drawn - np.mean(drawn - best), color="black", ls="-", lw=1.4, label="trained")
        draw_heaps(axis, bottom=-2, height=1.4)
        axis.set(ylim=(-2.1, 4), ylabel="score")
    axis.set(title=name, xlabel="$x$")
axes[2].legend(fontsize=8, loc="upper right")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.4. What four judges have learned of the same heaps (below, real ones filled): a discriminator, and critics
# with clipping ($c = 0.1$), a gradient penalty ($\lambda = 10$) and spectral normalisation, these three beside the
# best critic $f^*$ (grey).*
#
# The discriminator does its job so well that it is flat over most of the data: it stands at 0 or 1. The penalised
# critic lies on $f^*$, a little too steep, as (18.11) leads you to expect. The clipped critic has the right shape, with
# its corners cut, and a height that $c$ has chosen; the one under spectral normalisation keeps its promise and falls
# short of what it may do. How far each may be trusted, you can say without knowing $f^*$: lead over steepest slope is
# a lower bound of $W_1$.

# %%
claim(
    "18.1",
    "lead over steepest slope: the penalised critic reaches nine tenths of the exact W1, and no critic more than all",
    reached["penalised"] > 0.9 and max(reached.values()) < 1.001,
)

# %% [markdown]
# Now move the heaps apart, and ask each judge the generator's question: how strongly am I told where to go? For a
# discriminator that is the slope of $\log(1 - D)$, which the game of chapter 17 has the generator lower. (The
# non-saturating loss of practice multiplies it by $(1 - D)/D$. That cures the vanishing, and costs the meaning: what is
# then followed is no longer the divergence.)

# %%
apart = [0.5, 1, 2, 4]
estimates, slopes_at = [], {"discriminator": [], "penalised": []}
mover = Critic(mlp(1, 1, hidden), passing(1), 10.0)
doubter = Judge(mlp(1, 1, hidden), passing(1))
for distance in apart:
    moved = fake - distance
    critic = train_alone(mover, for_penalty(2e-3), fake, moved, steps // 2)
    lead, steepest = lead_and_slope(critic, fake, moved)
    estimates.append(lead)
    slopes_at["penalised"].append(ops.convert_to_numpy(slopes_of(critic, moved)).mean())
    network = train_alone(doubter, keras.optimizers.Adam(2e-3), fake, moved, steps // 2)
    probability = 1 / (1 + np.exp(-scores_of(network, moved)[:, 0]))
    slopes_at["discriminator"].append((probability * ops.convert_to_numpy(slopes_of(network, moved))).mean())

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
axes[0].plot(apart, apart, "-", color="#999999", lw=3, label="exact $W_1$")
axes[0].plot(apart, [best_slope(d, 10) * d for d in apart], ":", color="black", label="$s\\, W_1$ by (18.11)")
axes[0].plot(apart, estimates, "o", ls="", color=BLUE, label="critic's lead")
axes[0].set(xlabel="distance of the heaps", ylabel="how far off")
for (name, values), marker, colour in zip(slopes_at.items(), "so", (ORANGE, BLUE)):
    axes[1].plot(apart, values, marker=marker, color=colour, label=name)
axes[1].set(xlabel="distance of the heaps", ylabel="mean slope at generated points", yscale="log")
for axis in axes:
    axis.legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.5. One heap, and the same again at a distance of 0.5 to 4. Left: the lead of a critic with penalty, beside
# the exact $W_1$ and what (18.11) predicts. Right, on a logarithmic scale: the mean slope that the generated points
# feel, of the critic's score and of $\log(1-D)$.*

# %%
claim(
    "18.2",
    "with the heaps farthest apart, generated points feel over 100 times the slope in the critic as in log(1 - D)",
    slopes_at["penalised"][-1] > 100 * slopes_at["discriminator"][-1],
)

# %% [markdown]
# And the clipped critic? Look at what (18.9) said it would have to do.

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), width_ratios=[1, 1, 1.15])
matrices = {"clipped": clipped.get_weights()[2], "penalised": penalised.get_weights()[2]}
for axis, (name, matrix), colour in zip(axes, matrices.items(), (GREEN, BLUE)):
    axis.hist(matrix.ravel(), 41, color=colour)
    axis.set(title=name, xlabel="weight of the second layer", ylabel="weights of 4,096")
at_the_wall = np.mean(np.abs(matrices["clipped"]) > 0.099)
print(f"{at_the_wall:.0%} of the clipped critic's weights in this layer lie within a hundredth of c")
tried, steepest = [0.01, 0.1, 1.0], []
for c in tried:
    network = Critic(mlp(1, 1, hidden, Clip(c)), passing(1))
    network = train_alone(network, keras.optimizers.RMSprop(c / 20), real, fake, steps // 2)
    steepest.append(lead_and_slope(network, real, fake)[1])
axes[2].plot(tried, steepest, "-o", color=GREEN, label="steepest slope")
axes[2].axhline(1, color="#999999", lw=1)
axes[2].set(xscale="log", yscale="log", xlabel="$c$", ylabel="steepest slope", title="clipped at $c$")
axes[2].set_xticks(tried, [str(c) for c in tried])
axes[2].minorticks_off()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.6. Left and middle: the weights of the middle layer of the clipped critic and of the penalised one of
# Figure 18.4. Right: how steep a clipped critic gets, against $c$, both axes logarithmic (grey: slope 1).*
#
# The clipped weights have gone to the walls. And the slope that comes out depends on $c$ as its third power, for there
# are three layers: change $c$ by ten, and the slope changes by a thousand. With more layers it is worse. This is what
# the generator gets as its gradient: with a $c$ a little too small it vanishes, a little too large and it explodes.
# (Adam, which divides a gradient by its usual size, hides some of that.) The authors of WGAN called weight clipping "a
# clearly terrible way to enforce a Lipschitz constraint" (Arjovsky et al., 2017).

# %%
claim(
    "18.3",
    "most of the clipped weights lie at the wall, and ten times the c makes a critic over a hundred times as steep",
    at_the_wall > 0.5 and steepest[2] > 100 * steepest[1] and steepest[1] > 100 * steepest[0],
)

# %% [markdown]
# ## Four on a ring
#
# Eight heaps on a circle, the problem on which chapter 17 saw a GAN lose modes (after Metz et al., 2017). All
# contestants get the same networks, 50 steps of the judge to begin with, the same number of generator updates, and
# the optimiser of their paper (the GAN that of DCGAN); learning rates were chosen for each:
#
# - **GAN**: one step of the discriminator for each of the generator, Adam with $\beta_1 = 0.5$;
# - **GAN, 5 steps**: five steps of the discriminator for each, as many as the critics get: this is *equal work*;
# - **WGAN, clipped**: five steps of a critic clipped at $c = 0.05$, RMSprop, which is Adam without its first mean (with
#   a momentum it may get unstable, says the paper);
# - **WGAN-GP**: five steps with penalty, $\lambda = 1$, Adam with $\beta_1 = 0$, $\beta_2 = 0.9$.
#
# Why five? The lead is an estimate of $W_1$ only if the critic is near its best, so it should be kept there. A GAN's
# discriminator must *not* be too good, or the generator learns little. Here, the better the critic the better its
# gradient.


# %%
CENTRES = 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
RING_SHAPE = {"noise": 4, "hidden": (64, 64, 64), "c": 0.05, "penalty_weight": 1.0}


def draw_ring(count):
    """Points (count, 2) of eight normal distributions of standard deviation 0.05 on a circle of radius 2."""
    return (CENTRES[rng.integers(8, size=count)] + 0.05 * rng.normal(size=(count, 2))).astype("float32")


def modes_covered(points):
    """How many of the eight heaps have within 0.3 of their centre at least a quarter of their share of the points."""
    distances = cdist(points, CENTRES)
    at = distances.argmin(axis=1)[distances.min(axis=1) < 0.3]
    return int(np.sum(np.bincount(at, minlength=8) >= len(points) / 32))


METHODS = {"GAN": 1, "GAN, 5 steps": 5, "WGAN, clipped": 5, "WGAN-GP": 5}  # steps of the judge for each update


def two_players(method, judge, generator, rates, penalty_weight):
    """The compiled players of one of METHODS; rates: of the judge and of the generator."""
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    logistic = method.startswith("GAN")
    first = Judge(judge, generator) if logistic else Critic(judge, generator, penalty_weight)
    second = Generator(generator, judge, logistic)
    for player, rate in zip((first, second), rates):
        if logistic:
            optimizer = keras.optimizers.Adam(rate, beta_1=0.5)
        elif method == "WGAN-GP":
            optimizer = keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.9)
        else:
            optimizer = keras.optimizers.RMSprop(rate)
        player.compile(optimizer)
    return first, second


def noise_of(count, size):
    return rng.normal(size=(count, size)).astype("float32")


def play(first, second, draw, noise, updates, steps, every, batch=64, warm_up=50):
    """Let two players take turns, `steps` of the first for each of the second; a generator function, which hands over
    to whoever looks on, with the number of updates so far, at the start and every `every` updates.

    draw: gives so many real examples. noise: how many numbers the generator gets. warm_up: steps of the first before
    the second's first.
    """
    loss = other = 0.0
    for update in range(updates + 1):
        for _ in range(steps if update else warm_up):
            real = draw(batch)
            inputs = real, noise_of(batch, noise), shares(batch, real.ndim)
            loss = take_a_step(first, inputs, "judge", loss)
        if update % every == 0:
            yield update
        other = take_a_step(second, noise_of(batch, noise), "generator", other)


def losses_on(method, judge, real, fake):
    """The losses of judge (without penalty) and generator on fresh examples."""
    real_scores, fake_scores = scores_of(judge, real), scores_of(judge, fake)
    if method.startswith("GAN"):
        first = np.logaddexp(0, -real_scores).mean() + np.logaddexp(0, fake_scores).mean()
        return first, np.logaddexp(0, -fake_scores).mean()
    return fake_scores.mean() - real_scores.mean(), -fake_scores.mean()


def rank_correlation(one, other):
    return stats.spearmanr(one, other).statistic


# %%
updates = budget(quick=720, full=4800, least=24)
RATES = {"GAN": (1e-3, 1e-3), "GAN, 5 steps": (1e-3, 1e-3), "WGAN, clipped": (3e-4, 3e-4), "WGAN-GP": (1e-3, 1e-3)}
shape, every = RING_SHAPE, updates // 24
same_noise, fresh_ring = noise_of(512, shape["noise"]), draw_ring(512)
on_the_ring = {}
for method, judge_steps in METHODS.items():
    keras.utils.set_random_seed(seed())  # the same initial networks for all
    judge = mlp(2, 1, shape["hidden"], Clip(shape["c"]) if method == "WGAN, clipped" else None)
    generator = mlp(shape["noise"], 2, shape["hidden"])
    first, second = two_players(method, judge, generator, RATES[method], shape["penalty_weight"])
    seen = {"points": [], "update": [], "W1": [], "modes": [], "judge": [], "generator": []}

    began = time.perf_counter()
    for update in play(first, second, draw_ring, shape["noise"], updates, judge_steps, every):
        points = scores_of(generator, same_noise)
        new = points, update, best_pairing(fresh_ring, points)[0], modes_covered(points)
        for values, value in zip(seen.values(), (*new, *losses_on(method, judge, fresh_ring, points))):
            values.append(value)
    seen["seconds"], seen["judge_network"] = time.perf_counter() - began, judge
    on_the_ring[method] = seen
floor = best_pairing(fresh_ring, draw_ring(512))[0]
print(f"W1 of two samples of the ring itself: {floor:.2f}")
for method, seen in on_the_ring.items():
    last = np.mean(seen["W1"][-5:])
    print(f"{method:14} {seen['seconds']:5.1f} s   modes {seen['modes'][-5:]}   W1, mean of the last five {last:.2f}")

# %%
shown = [0, 2, 6, 12, 24]
figure, axes = plt.subplots(4, 5, figsize=(9, 7.4), sharex=True, sharey=True)
grid = np.linspace(-3.2, 3.2, 81, dtype="float32")
field = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
for row, (method, seen) in zip(axes, on_the_ring.items()):
    for axis, at in zip(row, shown):
        if at == shown[-1]:
            levels = scores_of(seen["judge_network"], field).reshape(81, 81)
            axis.contour(grid, grid, levels, 12, colors="#888888", linewidths=0.7, linestyles="solid")
        axis.scatter(*CENTRES.T, s=60, facecolors="none", edgecolors=BLUE, lw=1.2)
        axis.scatter(*seen["points"][at].T, s=2, color=ORANGE)
        axis.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[], yticks=[], aspect="equal")
        axis.set_title(f"{seen['modes'][at]} modes", fontsize=9)
    row[0].set_ylabel(method)
for axis, at in zip(axes[-1], shown):
    axis.set_xlabel(f"{on_the_ring['GAN']['update'][at]} updates")
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 18.7. What four generators make of the same 512 points of noise (orange), against the eight heaps (blue
# circles), after the same numbers of updates. In the last column the lines of equal score of each judge.*

# %%
claim(
    "18.4",
    "at equal work WGAN-GP ends with all eight modes, the GAN and the clipped WGAN with six at most",
    np.median(on_the_ring["WGAN-GP"]["modes"][-5:]) == 8
    and all(max(on_the_ring[method]["modes"][-5:]) <= 6 for method in ("GAN, 5 steps", "WGAN, clipped")),
)

# %% [markdown]
# With five steps for one, the GAN has settled on a few heaps. With a single step, how many it finds depends on the
# seed. WGAN-GP gets the ring first as a whole and then pulls it tight, heap by heap; what is left between the heaps is
# what a continuous generator must leave there. Look at its lines in the last column: they are nearly evenly spaced, as
# they have to be where the slope is near 1, and from all over the plane they lead to the ring. Clipping fails here: its
# critic has to bend around eight places, and (18.9) told us what clipping leaves of a critic.
#
# The seconds printed above are the price of five steps for one. What the second derivative adds, you see from WGAN-GP
# beside the GAN with five steps.
#
# ## A loss that means something
#
# A GAN's losses are the score of a game. When both players get better, the score need not move. The critic's loss is
# minus an estimate of a distance. So does it follow the quality? On the ring you can ask, for $W_1$ of 512 against 512
# points can be computed exactly, by (18.3).

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2))
for axis, method in zip(axes, ("GAN", "WGAN, clipped", "WGAN-GP")):
    seen = on_the_ring[method]
    axis.plot(seen["update"], seen["W1"], "-", color="#999999", lw=3, label="exact $W_1$")
    if method == "GAN":
        axis.plot(seen["update"], seen["judge"], "-o", ms=3, color=BLUE, label="discriminator's loss")
        axis.plot(seen["update"], seen["generator"], "--s", ms=3, color=ORANGE, label="generator's loss")
    else:
        axis.plot(seen["update"], -np.array(seen["judge"]), "-o", ms=3, color=BLUE, label="critic's lead")
    agree = rank_correlation(-np.array(seen["judge"]), seen["W1"])
    axis.set(xlabel="updates of the generator", title=f"{method}: rank correlation {agree:.2f}")
    axis.axhline(0, color="#999999", lw=0.8, ls="-")
    axis.legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.8. Exact $W_1$ between generated and real points over training (grey), and the losses that one would
# watch. The rank correlation is that of $W_1$ with the lead, or with minus the discriminator's loss: how well the judge
# can tell the two apart. It would be 1 if one always rose and fell with the other.*

# %%
ring_gp, ring_gan = on_the_ring["WGAN-GP"], on_the_ring["GAN"]
claim(
    "18.5",
    "on the ring the lead of WGAN-GP's critic rises and falls with the exact W1, and neither loss of the GAN does so",
    rank_correlation(-np.array(ring_gp["judge"]), ring_gp["W1"]) > 0.4
    and rank_correlation(-np.array(ring_gan["judge"]), ring_gan["W1"]) < 0.2
    and rank_correlation(ring_gan["generator"], ring_gan["W1"]) < 0.2,
)

# %% [markdown]
# ## Digits
#
# Now pictures. The networks are a small DCGAN without batch normalisation, for all alike (DCGAN's own recipe has it in
# both, so you do not see the GAN at its best). The rules are those of the ring: the same initial weights, the same
# number of generator updates; here $c = 0.03$ and $\lambda = 10$. Quality is the Fréchet distance of chapter 17 (Heusel
# et al., 2017), here between 1,000 test digits and 1,000 generated ones, in 32 features of a small digit classifier.


# %%
def digit_generator(noise, channels):
    small = [layers.Dense(7 * 7 * 2 * channels, activation="relu"), layers.Reshape((7, 7, 2 * channels))]
    double = layers.Conv2DTranspose(channels, 4, 2, "same", activation="relu")  # 7 -> 14
    last = layers.Conv2DTranspose(1, 4, 2, "same", activation="tanh")  # 14 -> 28
    return keras.Sequential([keras.Input((noise,)), *small, double, last])


def digit_judge(channels, constraint=None):
    kept = {"kernel_constraint": constraint, "bias_constraint": constraint}
    halve = []
    for filters in (channels, 2 * channels):  # 28 -> 14 -> 7
        halve += [layers.Conv2D(filters, 4, 2, "same", **kept), layers.LeakyReLU(0.2)]
    return keras.Sequential([keras.Input((28, 28, 1)), *halve, layers.Flatten(), layers.Dense(1, **kept)])


def digit_reader():
    """A small digit classifier, and the part of it that gives 32 features."""
    convolve = [layers.Conv2D(filters, 5, 2, activation="relu") for filters in (16, 32)]
    features = keras.Sequential(
        [keras.Input((28, 28, 1)), *convolve, layers.Flatten(), layers.Dense(32, activation="relu")]
    )
    return keras.Sequential([features, layers.Dense(10)]), features


def frechet_distance(one, other):
    """Between normal distributions fitted to features (N, k) and (M, k)."""
    C, D = np.cov(one.T), np.cov(other.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(C @ D).real, 0)).sum()  # the trace of the root of C D
    return np.square(one.mean(axis=0) - other.mean(axis=0)).sum() + np.trace(C) + np.trace(D) - 2 * roots


def draw_rows(rows, width=9.0):
    """Draw pictures (28, 28, 1) from -1 (black) to 1 (white), one row for each entry of a dict."""
    longest = max(len(pictures) for pictures in rows.values())
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, len(rows) * 0.9 * width / longest), squeeze=False)
    for axis, (name, pictures) in zip(axes[:, 0], rows.items()):
        framed = [np.pad(np.reshape(picture, (28, 28)), 1, constant_values=-0.2) for picture in pictures]
        axis.imshow(np.concatenate(framed, axis=1), vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    plt.show()


# %%
mnist = data.mnist()
digits = mnist.x_train[: budget(quick=10_000, full=60_000, least=4000), ..., None].astype("float32") / 127.5 - 1
tests = mnist.x_test[:1000, ..., None].astype("float32") / 127.5 - 1
reader, features = digit_reader()
reader.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
reader.fit(digits[:4000], mnist.y_train[:4000], 64, epochs=4, verbose=0)
of_tests = scores_of(features, tests)
floor = frechet_distance(scores_of(features, digits[:1000]), of_tests)
print(f"Fréchet distance of training digits from test digits: {floor:.1f}")


def draw_digits(count):
    return digits[rng.integers(len(digits), size=count)]


# %%
updates, channels, noise = budget(quick=240, full=5000, least=20), budget(quick=16, full=64), 32
DIGIT_RATES = {
    "GAN": (5e-4, 5e-4),
    "GAN, 5 steps": (5e-4, 5e-4),
    "WGAN, clipped": (1e-3, 1e-3),
    "WGAN-GP": (1e-3, 1e-3),
}
fixed, on_digits = noise_of(1000, noise), {}
for method, judge_steps in METHODS.items():
    keras.utils.set_random_seed(seed())
    judge = digit_judge(channels, Clip(0.03) if method == "WGAN, clipped" else None)
    generator = digit_generator(noise, channels)
    first, second = two_players(method, judge, generator, DIGIT_RATES[method], 10.0)
    seen = {"update": [], "distance": [], "judge": [], "generator": [], "pictures": []}

    began = time.perf_counter()
    for update in play(first, second, draw_digits, noise, updates, judge_steps, updates // 10, batch=32):
        pictures = scores_of(generator, fixed)
        distance = frechet_distance(scores_of(features, pictures), of_tests)
        for values, value in zip(
            seen.values(), (update, distance, *losses_on(method, judge, tests, pictures), pictures)
        ):
            values.append(value)
    seen["seconds"], seen["judge_network"] = time.perf_counter() - began, judge
    on_digits[method] = seen
    first_distance, last_distance = seen["distance"][0], seen["distance"][-1]
    print(f"{method:14} {seen['seconds']:5.1f} s   Fréchet distance {first_distance:.0f} -> {last_distance:.0f}")

# %%
draw_rows({"test digits": tests[:12]} | {method: seen["pictures"][-1][:12] for method, seen in on_digits.items()})

# %% [markdown]
# *Figure 18.9. Test digits, and the first twelve pictures of each generator after the same number of updates; none was
# picked.*

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
markers = dict(zip(METHODS, "s^Do"))
for (method, seen), colour in zip(on_digits.items(), (ORANGE, PINK, GREEN, BLUE)):
    axes[0].plot(seen["update"], seen["distance"], marker=markers[method], ms=4, color=colour, label=method)
axes[0].axhline(floor, color="#999999", lw=1)
axes[0].set(xlabel="updates of the generator", ylabel="Fréchet distance", yscale="log")
for method, colour in (("GAN", ORANGE), ("WGAN-GP", BLUE)):
    seen = on_digits[method]
    readings = -np.array(seen["judge"])
    readings = (readings - readings.min()) / np.ptp(readings)
    axes[1].plot(seen["distance"], readings, marker=markers[method], ms=4, color=colour, label=method)
axes[1].set(xlabel="Fréchet distance", ylabel="how well the judge can tell, 0 to 1", xscale="log")
axes[1].set_xticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
axes[1].minorticks_off()
for axis in axes:
    axis.legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 18.10. Left: Fréchet distance of the generated digits from test digits over training (logarithmic; the grey
# line is that of training digits). Right: the same distance against what the judge's loss says, minus the
# discriminator's loss or the critic's lead on test digits, from its smallest (0) to its largest value (1). On the
# whole, time runs from right to left. A reading that follows quality falls on the way.*

# %%
digit_gp, digit_gan = on_digits["WGAN-GP"], on_digits["GAN"]
claim(
    "18.6",
    "on digits, without batch normalisation, WGAN-GP comes nearer than both GANs, and its lead falls with distance",
    digit_gp["distance"][-1] < 0.7 * min(digit_gan["distance"][-1], on_digits["GAN, 5 steps"]["distance"][-1])
    and rank_correlation(-np.array(digit_gp["judge"]), digit_gp["distance"]) > 0.8,
)

# %% [markdown]
# Be careful what you conclude. With batch normalisation a GAN makes digits too, as chapter 17 showed; and a large
# comparison found no loss that was consistently better than the non-saturating one, once each was tuned enough (Lucic
# et al., 2018). What the penalty promises is that less has to be tuned (Gulrajani et al., 2017). Nor does the critic
# measure $W_1$ between digits and pictures:

# %%
flat_tests, flat_digits, flat_made = (x[:500].reshape(500, -1) for x in (tests, digits, digit_gp["pictures"][-1]))
print(f"W1 in pixels, of 500 test digits and 500 training digits: {best_pairing(flat_tests, flat_digits)[0]:.1f}")
print(f"of 500 test digits and 500 pictures of WGAN-GP: {best_pairing(flat_tests, flat_made)[0]:.1f}")
print(f"lead of its critic: {-digit_gp['judge'][-1]:.1f}")

# %% [markdown]
# Two samples of *real* digits are almost as far apart by $W_1$ as real and made ones: in 784 dimensions 500 points lie
# far from each other, and an exact $W_1$ of samples mostly measures that. The critic's lead is much smaller: a network
# that was trained on other digits does not single out these 500. It has been argued that the method works *because* it
# does not reach what it aims at (Stanczuk et al., 2021).
#
# Which of its pictures does the critic itself believe in?

# %%
pictures = digit_gp["pictures"][-1]
order = np.argsort(scores_of(digit_gp["judge_network"], pictures)[:, 0])
draw_rows({"highest scores": pictures[order[::-1][:12]], "lowest scores": pictures[order[:12]]})

# %% [markdown]
# *Figure 18.11. Of a thousand pictures of the WGAN-GP generator those that its critic scores highest and lowest.*

# %% [markdown]
# ## Debug it
#
# Three plausible ways to write the penalty or the loss. Each runs without a warning. Put them in the place of the
# right one, on the heaps of Figure 18.4, where you know what should come out.


# %%
class OneNorm(Critic):  # snippet A
    def penalty(self, real, fake, epsilon):
        between = points_between(real, fake, epsilon)
        gradients = gradient(lambda at: ops.sum(self.mine(at)), between)
        norm = ops.sqrt(ops.sum(ops.square(gradients)))
        return ops.square(norm - 1)


class NormalShares(Critic):  # snippet B
    def __init__(self, mine, opponent, penalty_weight):
        super().__init__(mine, opponent, penalty_weight)
        self.draws = keras.random.SeedGenerator(seed())

    def penalty(self, real, fake, epsilon):
        epsilon = keras.random.normal(ops.shape(epsilon), seed=self.draws)
        return gradient_penalty(self.mine, points_between(real, fake, epsilon))


class WrongSign(Critic):  # snippet C
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        real_scores, fake_scores, penalty = y_pred
        return ops.mean(real_scores) - ops.mean(fake_scores) + self.penalty_weight * penalty


# %%
steps = budget(quick=400, full=2000, least=20)
patients = {"as it should be": Critic, "snippet A": OneNorm, "snippet B": NormalShares, "snippet C": WrongSign}
symptoms = {}
print(f"{'':16} exact W1 {exact:.3f}")
for name, kind in patients.items():
    network = train_penalised(kind(mlp(1, 1, (64, 64)), passing(1), 10.0), real, fake, steps)
    symptoms[name] = lead_and_slope(network, real, fake)
    print("{:16} lead {:6.3f}   steepest slope {:.3f}".format(name, *symptoms[name]))

# %% [markdown]
# Before you read on: which snippet would you not have noticed?
#
# Snippet A takes one norm of all gradients of the batch. That norm is about $\sqrt{B}$ times the slope of one example
# for a batch of $B = 128$, and the penalty pulls *it* to 1. So the critic's slope, and with it the generator's
# gradient and the estimate, is eleven times too small; and it depends on the batch size. Snippet C has the wrong sign
# in the lead, while its penalty is right: its critic prefers what is generated, by just as much, and a generator that
# trusts it keeps *away* from the data; on the ring, below, it stays in the middle. (With both players' signs turned,
# all is well again: the sign is a convention, as long as both hold to it.)
#
# Snippet B draws its $\varepsilon$ from a normal distribution. Nothing is to be seen. Two of three places at which it
# looks lie outside the line, where nobody asked, so it is held to its slope where it does not matter and less where it
# does. Here all lie on the same line, and no harm is done. It is the kind of mistake that never shows itself; only
# reading the formula helps, or exercise 18.3.

# %%
outside = 1 - (stats.norm.cdf(1) - stats.norm.cdf(0))
print(f"of normal shares {outside:.0%} lie outside the line")
keras.utils.set_random_seed(seed())
misled, astray = mlp(2, 1, shape["hidden"]), mlp(shape["noise"], 2, shape["hidden"])
first, second = WrongSign(misled, astray, 1.0), Generator(astray, misled, logistic=False)
for player in (first, second):
    player.compile(keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.9))
flight = []
for update in play(first, second, draw_ring, shape["noise"], 60, 5, 20):
    flight.append(best_pairing(fresh_ring, scores_of(astray, same_noise))[0])
    print(f"snippet C on the ring, after {update:2} updates: W1 {flight[-1]:.1f}")

# %%
claim(
    "18.7",
    "one norm for the batch: under a fifth of the slope; wrong sign: a negative lead, a generator no nearer",
    symptoms["snippet A"][1] < 0.2 * symptoms["as it should be"][1]
    and symptoms["snippet C"][0] < 0
    and flight[-1] > 0.9 * flight[0],
)

# %% [markdown]
# And if there is no bound on the slope at all, because the penalty has been forgotten? Then the critic's loss has no
# minimum, and a run ends like this:

# %%
try:
    boundless = Critic(mlp(1, 1, (64, 64)), passing(1), penalty_weight=0.0)
    train_alone(boundless, keras.optimizers.SGD(0.5), real, fake, 400)
except FloatingPointError as error:
    print(textwrap.fill(str(error), 100))

# %% [markdown]
# ## This run

# %%
record(
    w1_on_the_ring_gan=np.mean(on_the_ring["GAN"]["W1"][-5:]),
    w1_on_the_ring_wgan_gp=np.mean(on_the_ring["WGAN-GP"]["W1"][-5:]),
    frechet_distance_gan=on_digits["GAN"]["distance"][-1],
    frechet_distance_wgan_gp=on_digits["WGAN-GP"]["distance"][-1],
)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. Plain NumPy is enough but for exercise 18.4, which
# needs `keras.ops`. The functions of the lesson are yours to use; but write 18.4 without its `slopes_of` and
# `gradient_penalty`.
#
# **Exercise 18.1 ★** How much work is it on a line? Unlike in (18.4), the samples may have different sizes; a point of
# a sample of $N$ weighs $1/N$.


# %%
# Exercise 18.1
def work_on_a_line(x, y):
    """W1 of two samples on a line, exactly, as the area between their distribution functions.

    x (N,), y (M,): arrays of floats in any order, N and M >= 1, not necessarily equal.
    Returns a number.
    Example: work_on_a_line(np.array([0.0, 2.0]), np.array([1.0, 3.0, 3.0, 3.0])) is 1.5.
    """
    ### BEGIN SOLUTION
    places = np.sort(np.concatenate([x, y]))
    share_x = np.searchsorted(np.sort(x), places[:-1], side="right") / len(x)
    share_y = np.searchsorted(np.sort(y), places[:-1], side="right") / len(y)
    return np.sum(np.abs(share_x - share_y) * np.diff(places))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.stats import wasserstein_distance

ex = exercise("18.1")


@ex.cases
def _(rng):
    yield np.array([0.0, 2.0]), np.array([1.0, 3.0, 3.0, 3.0])
    yield np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])
    for n in range(20):
        sizes = rng.integers(2, 12, 2) if n % 2 else [int(rng.integers(3, 12))] * 2
        yield rng.normal(size=sizes[0]), rng.normal(size=sizes[1]) * rng.uniform(0.5, 3) + rng.normal()


@ex.oracle
def _(x, y):
    return wasserstein_distance(x, y)


def _areas(x, y, size=np.abs):
    places = np.sort(np.concatenate([x, y]))
    shares = [np.searchsorted(np.sort(sample), places[:-1], side="right") / len(sample) for sample in (x, y)]
    return size(shares[0] - shares[1]), np.diff(places)


@ex.wrong
def difference_of_means(x, y):
    """Where the one function is above and where it is below the other has been set off: that is the difference of the
    means. Work does not cancel, so each piece counts with its size."""
    heights, widths = _areas(x, y)
    return abs(np.mean(x) - np.mean(y))


@ex.wrong
def squared(x, y):
    """You squared the difference of the two distribution functions. (18.4) has its absolute value."""
    heights, widths = _areas(x, y)
    return np.sum(heights**2 * widths)


@ex.wrong
def largest_gap(x, y):
    """This is the largest difference of the two functions, which knows nothing of the way; asked for is the area."""
    return np.max(_areas(x, y)[0])


@ex.wrong
def counts_for_shares(x, y):
    """You compared how many points lie to the left. With samples of different sizes it is the *share* that counts."""
    places = np.sort(np.concatenate([x, y]))
    counts = [np.searchsorted(np.sort(sample), places[:-1], side="right") for sample in (x, y)]
    return np.sum(np.abs(counts[0] - counts[1]) * np.diff(places))


@ex.wrong
def widths_forgotten(x, y):
    """The heights are right. Each has to be multiplied by the width of its interval before they are added up."""
    return np.sum(_areas(x, y)[0])


@ex.wrong
def one_too_late(x, y):
    """The share of an interval is that at its left end; you took the one at its right end."""
    places = np.sort(np.concatenate([x, y]))
    shares = [np.searchsorted(np.sort(sample), places[1:], side="right") / len(sample) for sample in (x, y)]
    return np.sum(np.abs(shares[0] - shares[1]) * np.diff(places))


@ex.wrong
def shortest_of_both(x, y):
    """Right where both samples have one size. Where they differ, the points that you left out weigh something too."""
    size = min(len(x), len(y))
    return np.abs(np.sort(x)[:size] - np.sort(y)[:size]).mean()


@ex.wrong
def unsorted_pairs(x, y):
    """You paired the points in the order in which they came. The cheapest plan looks at where they lie."""
    size = min(len(x), len(y))
    return np.abs(x[:size] - y[:size]).mean()


@ex.wrong
def share_before(x, y):
    """You took the share of the points that lie *before* each place, without those at it. On the interval that begins
    there, they count."""
    places = np.sort(np.concatenate([x, y]))
    shares = [np.searchsorted(np.sort(sample), places[:-1], side="left") / len(sample) for sample in (x, y)]
    return np.sum(np.abs(shares[0] - shares[1]) * np.diff(places))


@ex.wrong
def joined_by_slopes(x, y):
    """You joined the shares by sloping lines, as the trapezium rule does. Between two points of the data a distribution
    function is constant."""
    places = np.sort(np.concatenate([x, y]))
    shares = [np.searchsorted(np.sort(sample), places, side="right") / len(sample) for sample in (x, y)]
    return np.trapezoid(np.abs(shares[0] - shares[1]), places)


@ex.wrong
def signed_area(x, y):
    """Where one function lies below the other, its area counts as well: take the absolute value of each difference."""
    heights, widths = _areas(x, y, size=lambda gap: gap)
    return np.sum(heights * widths)


@ex.wrong
def all_pairs(x, y):
    """This is the mean distance of all pairs, as if every point went to all places. The cheapest plan is shorter."""
    return np.abs(x[:, None] - y).mean()


@ex.wrong
def equal_sizes_only(x, y):
    """Right where both samples have one size. (18.4) pairs only those; for others, use its area between the two
    distribution functions."""
    if len(x) != len(y):
        raise ValueError("not of one size")
    return np.abs(np.sort(x) - np.sort(y)).mean()


@ex.right
def by_quantiles(x, y):
    levels = np.unique(np.concatenate([np.arange(1, len(x) + 1) / len(x), np.arange(1, len(y) + 1) / len(y)]).round(12))
    middles = levels - np.diff(levels, prepend=0) / 2
    ways = [np.sort(sample)[(middles * len(sample)).astype(int)] for sample in (x, y)]
    return float(np.abs(ways[0] - ways[1]) @ np.diff(levels, prepend=0))


# %%
check("18.1", work_on_a_line)

# %% [markdown]
# **Exercise 18.2 ★** The two losses of the game, from the scores.


# %%
# Exercise 18.2
def wasserstein_losses(real_scores, fake_scores):
    """The losses (18.7) of the critic and of the generator, both of which are to be lowered.

    real_scores, fake_scores: arrays (batch,) or (batch, 1), the two batches not necessarily of
    one size.
    Returns two numbers: the critic's loss without any penalty, and the generator's.
    Raises ValueError where scores have another shape, such as (batch, 10).
    Example: wasserstein_losses(np.array([3.0, 1.0]), np.array([-1.0])) is (-3.0, 1.0).
    """
    ### BEGIN SOLUTION
    for scores in (real_scores, fake_scores):
        if scores.ndim != 1 and not (scores.ndim == 2 and scores.shape[1] == 1):
            raise ValueError(f"scores have the shape {scores.shape}; needed is size 1 along axis 1, or no axis 1")
    return np.mean(fake_scores) - np.mean(real_scores), -np.mean(fake_scores)
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("18.2")


@ex.cases
def _(rng):
    yield np.array([3.0, 1.0]), np.array([-1.0])
    for n in range(16):
        real, fake = (rng.normal(size=int(rng.integers(2, 9))) + shift for shift in rng.permutation([1, -1]))
        yield (real[:, None], fake[:, None]) if n % 2 else (real, fake)
    yield rng.normal(size=(4, 10)), rng.normal(size=4)
    yield rng.normal(size=(4, 1)), rng.normal(size=(4, 10))


@ex.oracle
def _(real_scores, fake_scores):
    if any(len(set(map(np.size, scores))) > 1 or np.size(scores[0]) != 1 for scores in (real_scores, fake_scores)):
        raise ValueError("more than one score for each example")
    real, fake = (math.fsum(np.ravel(s).tolist()) / len(s) for s in (real_scores, fake_scores))
    return fake - real, -fake


def _means(real_scores, fake_scores):
    for scores in (real_scores, fake_scores):
        if scores.ndim > 2 or scores.ndim == 2 and scores.shape[1] != 1:
            raise ValueError
    return np.mean(real_scores), np.mean(fake_scores)


@ex.wrong
def critic_upside_down(real_scores, fake_scores):
    """The critic's loss has the wrong sign. What you have is its lead, which it wants to raise; a loss is lowered."""
    real, fake = _means(real_scores, fake_scores)
    return real - fake, -fake


@ex.wrong
def generator_upside_down(real_scores, fake_scores):
    """The critic's loss is right. The generator wants high scores for what it makes, so its loss falls when they
    rise."""
    real, fake = _means(real_scores, fake_scores)
    return fake - real, fake


@ex.wrong
def both_upside_down(real_scores, fake_scores):
    """Both signs are wrong: each player would be working for the other."""
    real, fake = _means(real_scores, fake_scores)
    return real - fake, fake


@ex.wrong
def with_logarithms(real_scores, fake_scores):
    """These are the losses of a GAN with logits. Here a score is not a logit: no sigmoid and no logarithm."""
    _means(real_scores, fake_scores)
    return np.logaddexp(0, -real_scores).mean() + np.logaddexp(0, fake_scores).mean(), np.logaddexp(
        0, -fake_scores
    ).mean()


@ex.wrong
def sums(real_scores, fake_scores):
    """You added the scores up. (18.7) has means, so that the loss does not depend on the size of the batch."""
    _means(real_scores, fake_scores)
    return np.sum(fake_scores) - np.sum(real_scores), -np.sum(fake_scores)


@ex.wrong
def least_squares(real_scores, fake_scores):
    """You pull the scores to 1 and 0 by squares, which is another kind of GAN. A critic's scores have no targets; only
    their means count."""
    _means(real_scores, fake_scores)
    return np.mean((real_scores - 1) ** 2) + np.mean(fake_scores**2), np.mean((fake_scores - 1) ** 2)


@ex.wrong
def generator_sees_real(real_scores, fake_scores):
    """The generator's loss is minus the critic's here. Its gradient is the same, but (18.7) leaves the real scores
    out, which the generator cannot change."""
    real, fake = _means(real_scores, fake_scores)
    return fake - real, real - fake


@ex.wrong
def takes_any_shape(real_scores, fake_scores):
    """Right for one score each. A critic with ten outputs has to be refused with a ValueError."""
    return np.mean(fake_scores) - np.mean(real_scores), -np.mean(fake_scores)


@ex.wrong
def columns_only(real_scores, fake_scores):
    """Scores without a second axis, (batch,), are to be taken as well as (batch, 1)."""
    if {scores.shape[1:] for scores in (real_scores, fake_scores)} != {(1,)}:
        raise ValueError
    return np.mean(fake_scores) - np.mean(real_scores), -np.mean(fake_scores)


@ex.wrong
def one_size_only(real_scores, fake_scores):
    """The two batches need not be of one size: take each mean by itself before you subtract."""
    real, fake = _means(real_scores, fake_scores)
    if len(real_scores) != len(fake_scores):
        raise ValueError
    return fake - real, -fake


@ex.wrong
def players_exchanged(real_scores, fake_scores):
    """The two losses are right, in the wrong order: the critic's comes first."""
    real, fake = _means(real_scores, fake_scores)
    return -fake, fake - real


@ex.right
def by_sums_and_sizes(real_scores, fake_scores):
    totals = []
    for scores in (real_scores, fake_scores):
        if scores.size != len(scores):
            raise ValueError("not one score for each")
        totals.append(scores.reshape(-1).sum() / scores.size)
    return -(totals[0] - totals[1]), 0 - totals[1]


# %%
check("18.2", wasserstein_losses)

# %% [markdown]
# **Exercise 18.3 ★★** Draw the places where the penalty looks. The check does not know your draws; it looks at where
# they lie. (If you mix in the share $\varepsilon$ of the generated picture instead of the real one, that is as good:
# why?)


# %%
# Exercise 18.3
def places_for_the_penalty(real, fake, rng):
    """A random place on the line from each generated example to the real one in the same
    position of the batch (18.10).

    real, fake (batch, ...): arrays of floats of one shape. rng: a numpy.random.Generator.
    Every example gets its own number, uniform between 0 and 1, the same for all its pixels.
    Returns an array of the shape of real; the arguments stay as they are. Raises ValueError
    where the two shapes differ.
    Example: for real = np.ones((2, 3)), fake = np.zeros((2, 3)) and rng =
    np.random.default_rng(0) it might be [[0.64, 0.64, 0.64], [0.27, 0.27, 0.27]].
    """
    ### BEGIN SOLUTION
    if real.shape != fake.shape:
        raise ValueError(f"real has the shape {real.shape} and fake {fake.shape}")
    epsilon = rng.uniform(size=(len(real),) + (1,) * (real.ndim - 1))
    return epsilon * real + (1 - epsilon) * fake
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.stats import kstest

ex = exercise("18.3")


@ex.cases
def _(rng):
    for shape in [
        (1000, 3),
        (1000, 1),
        (1000, 2, 2, 1),
        (1000, 4),
        (1000, 3, 2),
        (1000, 2),
        (1000, 2, 3, 1),
        (1000, 5),
    ]:
        real, fake = rng.normal(size=(2, *(shape[1:])))
        yield shape, real, fake, int(rng.integers(2**31))
    yield (4, 3), rng.normal(size=3), rng.normal(size=(4, 1)), 0
    yield (4, 3), rng.normal(size=3), rng.normal(size=(3, 3)), 0
    yield (4, 3), rng.normal(size=3), rng.normal(size=(1, 3)), 0


ex.shown_as("""
made = fake if np.ndim(fake) == len(shape) else np.broadcast_to(fake, shape)
places_for_the_penalty(np.broadcast_to(real, shape), made, np.random.default_rng(seed))
""")


def _filled(shape, real, fake):
    """All real examples are alike, and so are all generated ones: so the mixing shares can be read off."""
    return np.broadcast_to(real, shape).copy(), np.broadcast_to(fake, shape).copy() if fake.ndim < len(shape) else fake


@ex.drive
def twice(answer, shape, real, fake, seed):
    given = _filled(shape, real, fake)
    places = answer(*given, np.random.default_rng(seed))
    others = answer(*_filled(shape, real, fake), np.random.default_rng(seed + 1))
    untouched = all(map(np.array_equal, given, _filled(shape, real, fake)))
    return {"places": places, "others": others[:9], "untouched": untouched}


@ex.measure
def where_they_lie(given, shape, real, fake, seed):
    places, (real, fake) = np.asarray(given["places"]), _filled(shape, real, fake)
    if places.shape != tuple(shape):
        return {"shape": tuple(int(size) for size in places.shape)}
    shares = ((places - fake) / (real - fake)).reshape(len(places), -1)
    first = shares[:, 0]
    outside = (shares < -1e-4) | (shares > 1 + 1e-4)
    return {
        "shape": tuple(int(size) for size in places.shape),
        "drawn": not np.allclose(places[:9], given["others"]),
        "tenths of all places that lie outside the line": int(round(10 * outside.mean())),
        "one share for all pixels of an example": bool(np.allclose(shares, first[:, None], atol=1e-4)),
        "every example has its own": bool(len(np.unique(first.round(9))) > 0.9 * len(first)),
        "uniform": bool(kstest(first, "uniform").statistic < 0.08),
        "arguments untouched": bool(given["untouched"]),
    }


@ex.oracle
def _(shape, real, fake, seed):
    if fake.ndim == len(shape):
        raise ValueError("the shapes differ")
    return {
        "shape": tuple(shape),
        "drawn": True,
        "tenths of all places that lie outside the line": 0,
        "one share for all pixels of an example": True,
        "every example has its own": True,
        "uniform": True,
        "arguments untouched": True,
    }


def _mixed(real, fake, epsilon):
    if real.shape != fake.shape:
        raise ValueError
    return epsilon * real + (1 - epsilon) * fake


def _column(real):
    return (len(real),) + (1,) * (real.ndim - 1)


@ex.wrong
def normal_share(real, fake, rng):
    """Your shares come from a normal distribution: two of three places lie beyond one of the two examples. They are to
    be uniform."""
    return _mixed(real, fake, rng.normal(size=_column(real)))


@ex.wrong
def one_for_the_batch(real, fake, rng):
    """There is one share for the whole batch. Every example needs its own, or the batch looks at one cut only."""
    return _mixed(real, fake, rng.uniform())


@ex.wrong
def one_for_every_pixel(real, fake, rng):
    """Every pixel has a share of its own. Such a place lies in the box between the two examples, not on the line."""
    return _mixed(real, fake, rng.uniform(size=real.shape))


@ex.wrong
def signed_share(real, fake, rng):
    """Your shares run from -1 to 1; half of the places lie beyond the generated example."""
    return _mixed(real, fake, rng.uniform(-1, 1, size=_column(real)))


@ex.wrong
def half_way(real, fake, rng):
    """All your places lie half-way. The critic would be held to the slope 1 there and nowhere else on the line."""
    return _mixed(real, fake, 0.5)


@ex.wrong
def clipped_normal(real, fake, rng):
    """On the line, but not uniform: the shares have to be spread evenly from 0 to 1. (Clipping a normal number, for
    one, piles up most of the places at the two ends.)"""
    return _mixed(real, fake, np.clip(rng.normal(size=_column(real)), 0, 1) + 1e-5 * rng.uniform(size=_column(real)))


@ex.wrong
def shares_do_not_add_up(real, fake, rng):
    """You scaled the difference of the two examples, but did not start from one of them: add it to the generated
    one."""
    _mixed(real, fake, 0)
    return rng.uniform(size=_column(real)) * (real - fake)


@ex.wrong
def beyond_the_real(real, fake, rng):
    """You start at one example and step away from the other: from the real one, the way to the generated one is fake -
    real."""
    _mixed(real, fake, 0)
    return real + rng.uniform(size=_column(real)) * (real - fake)


@ex.wrong
def drawn_twice(real, fake, rng):
    """The two shares of an example have to add up to 1, and you drew each by itself. Draw once, and keep the number."""
    _mixed(real, fake, 0)
    return rng.uniform(size=_column(real)) * real + (1 - rng.uniform(size=_column(real))) * fake


@ex.wrong
def own_generator(real, fake, rng):
    """Your places are the same in every call. Draw from the generator that you are given, `rng`."""
    return _mixed(real, fake, np.random.default_rng(0).uniform(size=_column(real)))


@ex.wrong
def changes_real(real, fake, rng):
    """The places are right, but the arrays that you were given have changed. Make new ones."""
    places = _mixed(real, fake, rng.uniform(size=_column(real)))
    real[:] = places
    return real


@ex.wrong
def two_axes_of_shares(real, fake, rng):
    """Right for examples with one axis. For pictures, the shares need as many axes as the batch, all but the first of
    size 1."""
    return _mixed(real, fake, rng.uniform(size=(len(real), 1)))


@ex.wrong
def one_axis_of_shares(real, fake, rng):
    """Shares of shape (batch,) go along the *last* axis of the examples. They need as many axes as the batch, all but
    the first of size 1."""
    return _mixed(real, fake, rng.uniform(size=len(real)))


@ex.wrong
def broadcasts(real, fake, rng):
    """Right where the shapes agree. Where they differ, refuse with a ValueError before NumPy broadcasts them."""
    try:
        epsilon = rng.uniform(size=_column(real))
        return epsilon * real + (1 - epsilon) * fake
    except ValueError:
        return real


@ex.right
def from_the_real_side(real, fake, rng):
    if np.shape(real) != np.shape(fake):
        raise ValueError("not alike")
    return np.stack([r + (f - r) * rng.random() for r, f in zip(real, fake)])


# %%
check("18.3", places_for_the_penalty)

# %% [markdown]
# **Exercise 18.4 ★★★** The penalty itself, on any critic. The check also differentiates what you return by a weight of
# the critic.


# %%
# Exercise 18.4
def penalty_of(critic, x):
    """The gradient penalty P (18.10) of a critic at given places.

    critic: a function from a tensor (batch, ...) to scores (batch, 1). x: tensor (batch, ...).
    Use keras.ops, and gradient(f, x) from the lesson's first cell.
    Returns a scalar tensor, the mean over the batch, which can be differentiated again; its
    derivative is finite where the gradient at some of the places is 0, too.
    Example: for the critic lambda x: 3 * ops.sum(x, axis=1, keepdims=True) and any x of shape
    (batch, 1) it is (3 - 1)**2 = 4.
    """
    ### BEGIN SOLUTION
    gradients = gradient(lambda at: ops.sum(critic(at)), x)
    flat = ops.reshape(gradients, (x.shape[0], -1))
    return ops.mean(ops.square(ops.sqrt(ops.sum(ops.square(flat), axis=1) + 1e-12) - 1))
    ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import numpy as np
from keras import ops

ex = exercise("18.4", rtol=1e-3, atol=1e-4)


@ex.cases
def _(rng):
    yield np.ones((2, 1), "float32"), np.array([[3.0]], "float32"), np.zeros((1, 1), "float32"), 1.0
    for n in range(7):
        shape = [(5, 3), (4, 2, 3, 1)][n % 2]
        size = int(np.prod(shape[1:]))
        arrays = (rng.normal(size=s).astype("float32") for s in (shape, (size, 1), (size, 1)))
        yield *arrays, float(rng.uniform(0.5, 2))
    yield rng.normal(size=(3, 2)).astype("float32"), *np.zeros((2, 2, 1), "float32"), 1.5  # flat everywhere
    yield np.ones((2, 1), "float32"), *np.zeros((2, 1, 1), "float32"), 0.5


ex.shown_as("""
flat = lambda at: keras.ops.reshape(at, (len(x), -1))
critic = lambda at: scale * (keras.ops.matmul(flat(at), linear) + keras.ops.matmul(keras.ops.sin(flat(at)), wave))
penalty_of(critic, keras.ops.convert_to_tensor(x))
""")


@ex.drive
def value_and_derivative(answer, x, linear, wave, scale):
    """The critic's score is scale * (x . linear + sum of sin(x) times wave); it is differentiated by the scale."""
    x, linear, wave = (ops.convert_to_tensor(array) for array in (x, linear, wave))

    def penalty(scale):
        def critic(at):
            flat = ops.reshape(at, (at.shape[0], -1))
            return scale * (ops.matmul(flat, linear) + ops.matmul(ops.sin(flat), wave))

        return answer(critic, x) + 0 * scale

    scale = ops.convert_to_tensor(np.float32(scale))
    return {
        "value": ops.convert_to_numpy(penalty(scale)),
        "derivative by a weight": ops.convert_to_numpy(gradient(penalty, scale)),
    }


@ex.oracle
def _(x, linear, wave, scale):
    lengths = []
    for example in x.astype(float).reshape(len(x), -1):
        lengths.append(np.sqrt(sum((a + b * np.cos(t)) ** 2 for a, b, t in zip(linear[:, 0], wave[:, 0], example))))
    lengths = np.array(lengths)
    return {
        "value": np.float32(np.mean((scale * lengths - 1) ** 2)),
        "derivative by a weight": np.float32(np.mean(2 * (scale * lengths - 1) * lengths)),
    }


def _gradients(critic, x, reduce=ops.sum):
    return gradient(lambda at: reduce(critic(at)), x)


def _lengths(gradients, axes):
    return ops.sqrt(ops.sum(ops.square(gradients), axis=axes) + 1e-12)


def _all_but_first(x):
    return list(range(1, len(x.shape)))


@ex.wrong
def norm_over_the_batch(critic, x):
    """You took one norm of the gradients of the whole batch. Each example has a slope of its own, so the norm runs over
    all axes but the first."""
    return ops.square(_lengths(_gradients(critic, x), None) - 1)


@ex.wrong
def gradient_of_the_mean(critic, x):
    """You differentiated the mean of the scores: every slope is too small by the size of the batch."""
    return ops.mean(ops.square(_lengths(_gradients(critic, x, ops.mean), _all_but_first(x)) - 1))


@ex.wrong
def norm_without_root(critic, x):
    """This compares the *squared* length of the gradient with 1; the root is missing."""
    return ops.mean(ops.square(ops.sum(ops.square(_gradients(critic, x)), axis=_all_but_first(x)) - 1))


@ex.wrong
def penalty_not_squared(critic, x):
    """The slopes are right. Their distance from 1 has to be squared, or slopes below 1 are rewarded."""
    return ops.mean(_lengths(_gradients(critic, x), _all_but_first(x)) - 1)


@ex.wrong
def pulled_to_zero(critic, x):
    """You penalise every slope, by its square. The best critic has the slope 1, not 0: subtract 1 first."""
    return ops.mean(ops.sum(ops.square(_gradients(critic, x)), axis=_all_but_first(x)))


@ex.wrong
def only_too_steep(critic, x):
    """You penalise slopes above 1 only. There are good reasons for this one-sided penalty, but (18.10) asks for the
    other: a slope that is too small costs as well."""
    return ops.mean(ops.square(ops.relu(_lengths(_gradients(critic, x), _all_but_first(x)) - 1)))


@ex.wrong
def last_axis(critic, x):
    """The norm runs over the last axis only. For pictures all axes but the first belong to one example."""
    return ops.mean(ops.square(_lengths(_gradients(critic, x), -1) - 1))


@ex.wrong
def stopped(critic, x):
    """The value is right, but its derivative by the critic's weights is 0: the gradient has been cut off, or turned
    into a plain array. Then the critic never learns of its penalty."""
    return ops.stop_gradient(ops.mean(ops.square(_lengths(_gradients(critic, x), _all_but_first(x)) - 1)))


@ex.wrong
def second_axis(critic, x):
    """The norm runs over axis 1 only. For pictures all axes but the first belong to one example."""
    return ops.mean(ops.square(_lengths(_gradients(critic, x), 1) - 1))


@ex.wrong
def first_axis(critic, x):
    """The norm runs over the batch. It belongs to one example: over all axes but the first."""
    return ops.mean(ops.square(_lengths(_gradients(critic, x), 0) - 1))


@ex.wrong
def mean_slope(critic, x):
    """You took the mean of the slopes before the square. Each example pays for its own slope, so that one that is too
    steep and one that is too flat do not set each other off."""
    return ops.square(ops.mean(_lengths(_gradients(critic, x), _all_but_first(x))) - 1)


@ex.wrong
def mean_of_squares(critic, x):
    """Below the root stands the mean of the squares. The length of a gradient is the root of their sum."""
    squares = ops.mean(ops.square(_gradients(critic, x)), axis=_all_but_first(x))
    return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1))


@ex.wrong
def sum_of_sizes(critic, x):
    """You added up the absolute values of the gradient. Its length is the root of the sum of the squares."""
    return ops.mean(ops.square(ops.sum(ops.abs(_gradients(critic, x)), axis=_all_but_first(x)) - 1))


@ex.wrong
def with_weight(critic, x):
    """That is lambda P with lambda = 10. Asked for is P alone."""
    return 10 * ops.mean(ops.square(_lengths(_gradients(critic, x), _all_but_first(x)) - 1))


@ex.wrong
def scores_not_added(critic, x):
    """`gradient` needs a scalar: add up the scores of the batch before you differentiate, and return one number, the
    mean of the penalties."""
    return ops.mean(ops.square(_lengths(gradient(critic, x), _all_but_first(x)) - 1))


@ex.wrong
def root_at_zero(critic, x):
    """Right wherever the critic has a slope. Where its gradient is 0 the root has no derivative, and NaN comes out:
    add a tiny number below the root."""
    squares = ops.sum(ops.square(_gradients(critic, x)), axis=_all_but_first(x))
    return ops.mean(ops.square(ops.sqrt(squares) - 1))


@ex.wrong
def sum_over_the_batch(critic, x):
    """The penalties are right; take their mean over the batch, not their sum."""
    return ops.sum(ops.square(_lengths(_gradients(critic, x), _all_but_first(x)) - 1))


@ex.right
def expanded(critic, x):
    g = gradient(lambda at: ops.sum(critic(at)[:, 0]), x)
    squares = ops.sum(ops.reshape(g * g, (g.shape[0], -1)), axis=-1)
    return 1.0 + ops.mean(squares - 2 * ops.sqrt(ops.maximum(squares, 1e-12)))


# %%
check("18.4", penalty_of)

# %% [markdown]
# **Exercise 18.5 ★★** Spectral normalisation of one matrix, as a layer does it in one training step.


# %%
# Exercise 18.5
def normalise_spectrally(W, u, rounds):
    """W divided by its spectral norm, estimated by power iteration (18.13).

    W (inputs, outputs): array of floats. u (outputs,): the vector kept from the last step, not
    0. rounds: whole number >= 1. A round: v = W u divided by its length, then u = W^T v divided
    by its length; the estimate is v . (W u) with the last v and u.
    Returns the normalised matrix and the new u. (W u is not 0 in any case of the check.)
    Raises ValueError where u has not one number for each output, or rounds is below 1.
    Example: normalise_spectrally(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0]), 1)
    is ([[1, 0], [0, 0.5]], [1, 0]).
    """
    ### BEGIN SOLUTION
    if u.shape != (W.shape[1],):
        raise ValueError(f"u has the shape {u.shape}, and W has {W.shape[1]} outputs")
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; it must be at least 1")
    for _ in range(rounds):
        v = W @ u
        v = v / np.linalg.norm(v)
        u = W.T @ v
        u = u / np.linalg.norm(u)
    return W / (v @ W @ u), u
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("18.5", rtol=1e-5, atol=1e-7)


@ex.cases
def _(rng):
    yield np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0]), 1
    for n in range(18):
        inputs, outputs = (int(k) for k in rng.integers(2, 7, 2))
        yield rng.normal(size=(inputs, outputs)), 3 * rng.normal(size=outputs), [1, 2, 3, 50][n % 4]
    yield rng.normal(size=(3, 4)), rng.normal(size=3), 2
    yield rng.normal(size=(3, 4)), rng.normal(size=4), 0
    yield rng.normal(size=(2, 2)), rng.normal(size=2), -1


@ex.oracle
def _(W, u, rounds):
    # A round multiplies the part of u along each right singular vector by the square of its singular value.
    if u.shape != (W.shape[1],) or rounds < 1:
        raise ValueError("not to be had")
    _, singular, right = np.linalg.svd(W, full_matrices=True)
    singular = np.pad(singular, (0, W.shape[1] - len(singular)))
    parts = right @ u
    before = parts * (singular / singular[0]) ** (2 * (rounds - 1))
    after = before * singular**2
    v = before * singular
    estimate = (v / np.linalg.norm(v)) @ (singular * after / np.linalg.norm(after))
    return W / estimate, right.T @ after / np.linalg.norm(after)


def _refuse(W, u, rounds):
    if u.shape != (W.shape[1],) or rounds < 1:
        raise ValueError


def _unit(x):
    return x / np.linalg.norm(x)


@ex.wrong
def frobenius(W, u, rounds):
    """You divided by the root of the sum of all squares. That is at least as large as the spectral norm, and makes the
    matrix too small."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        u = _unit(W.T @ _unit(W @ u))
    return W / np.linalg.norm(W), u


@ex.wrong
def sides_exchanged(W, u, rounds):
    """The two halves of a round are exchanged: u has one number for each output, so W comes first, W^T second."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = _unit(W.T @ u)
        u = _unit(W @ v)
    return W / (u @ W @ v), u


@ex.wrong
def one_way(W, u, rounds):
    """The matrix is right, but the u that you return is the old one: keep the new one for the next step."""
    _refuse(W, u, rounds)
    start = u
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ u), start


@ex.wrong
def exact_norm(W, u, rounds):
    """You divided by the exact spectral norm. Asked for is the estimate after so many rounds: a layer cannot afford
    the exact one in every step."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        u = _unit(W.T @ _unit(W @ u))
    return W / np.linalg.norm(W, 2), u


@ex.wrong
def last_but_one(W, u, rounds):
    """Your estimate joins the new v with the u from before: v . (W u) takes the last of both."""
    _refuse(W, u, rounds)
    u = _unit(u)
    for _ in range(rounds):
        before, v = u, _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ before), u


@ex.wrong
def keeps_v(W, u, rounds):
    """The matrix is right; return u, which has one number for each output, not v."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ u), v


@ex.wrong
def exchanged_results(W, u, rounds):
    """Both results are right, in the wrong order: the matrix comes first."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return u, W / (v @ W @ u)


@ex.wrong
def always_one_round(W, u, rounds):
    """You made one round, whatever `rounds` says."""
    _refuse(W, u, rounds)
    v = _unit(W @ u)
    u = _unit(W.T @ v)
    return W / (v @ W @ u), u


@ex.wrong
def one_round_too_many(W, u, rounds):
    """You made one round too many."""
    _refuse(W, u, rounds)
    for _ in range(rounds + 1):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ u), u


@ex.wrong
def u_never_shortened(W, u, rounds):
    """Only v has been divided by its length; u has to be as well, or the estimate is the square of the norm."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = _unit(W @ u)
        u = W.T @ v
    return W / (v @ W @ u), u


@ex.wrong
def one_round_too_few(W, u, rounds):
    """You stopped one round early."""
    _refuse(W, u, rounds)
    u = _unit(u)
    for _ in range(rounds - 1):
        u = _unit(W.T @ _unit(W @ u))
    return W / (_unit(W @ u) @ W @ u), u


@ex.wrong
def never_shortened(W, u, rounds):
    """The direction is right, but the vectors have never been divided by their lengths, so the estimate grows with
    every round."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = W @ u
        u = W.T @ v
    return W / (v @ W @ u), u


@ex.wrong
def squared_norm(W, u, rounds):
    """You divided by the *square* of the spectral norm: one way through the matrix and back counts it twice."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ u) ** 2, u


@ex.wrong
def multiplied(W, u, rounds):
    """You multiplied by the spectral norm instead of dividing by it."""
    _refuse(W, u, rounds)
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W * (v @ W @ u), u


@ex.wrong
def round_taken_for_granted(W, u, rounds):
    """Right where there is a round. Without one there is no v: refuse `rounds` below 1 with a ValueError, before the
    loop."""
    if u.shape != (W.shape[1],):
        raise ValueError
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ u), u


@ex.wrong
def takes_no_round(W, u, rounds):
    """Right where it can be done. But `rounds` below 1 has to be refused with a ValueError."""
    if u.shape != (W.shape[1],):
        raise ValueError
    v = _unit(W @ u)
    for _ in range(rounds):
        v = _unit(W @ u)
        u = _unit(W.T @ v)
    return W / (v @ W @ u), u


@ex.right
def by_matrix_power(W, u, rounds):
    if len(u) != W.shape[1] or rounds <= 0:
        raise ValueError("no")
    squared = W.T @ W
    u = u / np.linalg.norm(u)
    for _ in range(rounds - 1):
        u = squared @ u
        u = u / np.linalg.norm(u)
    v = W @ u / np.linalg.norm(W @ u)
    last = v @ W
    sigma = np.sqrt(last @ last)
    return W / sigma, last / sigma


# %%
check("18.5", normalise_spectrally)

# %% [markdown]
# **Exercise 18.6 ★** Clip the weights of a critic, and count how many of them have gone to the wall.


# %%
# Exercise 18.6
def clip_all(weights, c):
    """Weight clipping: all weights of a critic brought to the range from -c to c.

    weights: a list of arrays of any shapes. c: a number > 0.
    Returns a list of new arrays of the same shapes, and the share of all their numbers that lie
    at -c or c afterwards. The arguments stay as they are.
    Raises ValueError where c is not positive.
    Example: clip_all([np.array([0.5, -3.0]), np.array([[2.0, 0.0]])], 1.0) is
    ([[0.5, -1.0], [[1.0, 0.0]]], 0.5).
    """
    ### BEGIN SOLUTION
    if not c > 0:
        raise ValueError(f"c is {c}; it must be positive")
    clipped = [np.clip(w, -c, c) for w in weights]
    at_the_wall = sum(np.sum(np.abs(w) == c) for w in clipped)
    return clipped, at_the_wall / sum(w.size for w in clipped)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("18.6")


@ex.cases
def _(rng):
    yield [np.array([0.5, -3.0]), np.array([[2.0, 0.0]])], 1.0
    for _ in range(16):
        shapes = [tuple(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 4)))) for _ in range(3)]
        yield [rng.normal(size=shape) for shape in shapes] + [rng.normal(size=7)], float(rng.uniform(0.3, 1.5))
    yield [np.array([0.75, 0.75, -0.75, 0.5, 0.1]), np.array([[-2.0]])], 0.75  # three lie at the wall from the start
    yield [np.array([[1.5, -1.5, 0.2]]), np.array([4.0])], 1.5
    yield [np.ones(2)], 0.0
    yield [np.ones(2)], -0.5


@ex.oracle
def _(weights, c):
    if c <= 0:
        raise ValueError("c must be positive")
    clipped, walls, total = [], 0, 0
    for w in weights:
        new = np.array(w)
        for place in np.ndindex(w.shape):
            total += 1
            if abs(w[place]) >= c:
                new[place] = c if w[place] > 0 else -c
                walls += 1
        clipped.append(new)
    return clipped, walls / total


def _refuse(c):
    if not c > 0:
        raise ValueError


def _share(arrays, c):
    return np.mean(np.abs(np.concatenate([w.ravel() for w in arrays])) >= c - 1e-12)


@ex.wrong
def only_above(weights, c):
    """You clipped what is too large, and left what is too far below 0."""
    _refuse(c)
    clipped = [np.minimum(w, c) for w in weights]
    return clipped, np.mean(np.concatenate([w.ravel() for w in clipped]) == c)


@ex.wrong
def from_zero(weights, c):
    """You clipped to the range from 0 to c: all negative weights are gone."""
    _refuse(c)
    clipped = [np.clip(w, 0, c) for w in weights]
    return clipped, _share(clipped, c)


@ex.wrong
def scaled_down(weights, c):
    """You scaled every array until its largest weight fits. Clipping leaves the weights alone that are small enough."""
    _refuse(c)
    clipped = [w * min(1, c / np.abs(w).max()) for w in weights]
    return clipped, _share(clipped, c)


@ex.wrong
def by_length(weights, c):
    """You limited the length of every array as a vector, as one does with gradients. Here every weight is clipped by
    itself."""
    _refuse(c)
    clipped = [w * min(1, c / np.linalg.norm(w)) for w in weights]
    return clipped, _share(clipped, c)


@ex.wrong
def in_place(weights, c):
    """The values are right, but the arrays that you were given have changed. Make new ones."""
    _refuse(c)
    for w in weights:
        np.clip(w, -c, c, out=w)
    return weights, _share(weights, c)


@ex.wrong
def share_inside(weights, c):
    """The weights are right; the share is that of the weights *between* the walls."""
    _refuse(c)
    clipped = [np.clip(w, -c, c) for w in weights]
    return clipped, 1 - _share(clipped, c)


@ex.wrong
def mean_of_shares(weights, c):
    """The weights are right. The share is over all numbers together; you averaged the shares of the arrays, as if they
    were of one size."""
    _refuse(c)
    clipped = [np.clip(w, -c, c) for w in weights]
    return clipped, np.mean([np.mean(np.abs(w) == c) for w in clipped])


@ex.wrong
def count_for_share(weights, c):
    """The weights are right. You counted those at the wall; divide by how many numbers there are in all arrays."""
    _refuse(c)
    clipped = [np.clip(w, -c, c) for w in weights]
    return clipped, sum(np.sum(np.abs(w) == c) for w in clipped)


@ex.wrong
def counts_one_wall(weights, c):
    """The weights are right. You counted those at c only; there is a second wall at -c."""
    _refuse(c)
    clipped = [np.clip(w, -c, c) for w in weights]
    return clipped, sum(np.sum(w == c) for w in clipped) / sum(w.size for w in clipped)


@ex.wrong
def by_number_of_arrays(weights, c):
    """The weights are right. You divided by how many arrays there are; divide by how many numbers they hold."""
    _refuse(c)
    clipped = [np.clip(w, -c, c) for w in weights]
    return clipped, sum(np.sum(np.abs(w) == c) for w in clipped) / len(clipped)


@ex.wrong
def by_rows(weights, c):
    """The weights are right. `len` counts the rows of an array; divide by how many numbers there are."""
    _refuse(c)
    clipped = [np.clip(w, -c, c) for w in weights]
    return clipped, sum(np.sum(np.abs(w) == c) for w in clipped) / sum(len(w) for w in clipped)


@ex.wrong
def set_to_zero(weights, c):
    """A weight beyond the wall goes to the wall, not to 0."""
    _refuse(c)
    clipped = [np.where(np.abs(w) > c, 0, w) for w in weights]
    return clipped, _share(clipped, c)


@ex.wrong
def all_to_the_upper_wall(weights, c):
    """A weight below -c goes to -c; yours goes to c."""
    _refuse(c)
    clipped = [np.where(np.abs(w) > c, c, w) for w in weights]
    return clipped, _share(clipped, c)


@ex.wrong
def takes_any_bound(weights, c):
    """Right for a positive c. Any other has to be refused with a ValueError."""
    clipped = [np.clip(w, -abs(c), abs(c)) for w in weights]
    return clipped, _share(clipped, abs(c))


@ex.wrong
def moved_ones(weights, c):
    """You count the weights that had to be moved. One that lay at c or -c from the start lies there afterwards too."""
    if c <= 0:
        raise ValueError("c must be positive")
    moved = sum(np.sum(np.abs(w) > c) for w in weights)
    return [np.clip(w, -c, c) for w in weights], moved / sum(w.size for w in weights)


@ex.right
def by_median(weights, c):
    if c <= 0:
        raise ValueError("a range needs a positive width")
    flat = np.concatenate([w.reshape(-1) for w in weights])
    outside = np.abs(flat) >= c
    flat = np.where(outside, c * np.sign(flat), flat)
    pieces = np.split(flat, np.cumsum([w.size for w in weights])[:-1])
    return [piece.reshape(w.shape) for piece, w in zip(pieces, weights)], outside.mean()


# %%
check("18.6", clip_all)

# %% [markdown]
# **Exercise 18.7 ★★** Repair the loss of "Debug it". The scores and the gradients have been computed for you; three
# things are wrong with what is made of them.


# %%
# Exercise 18.7
def critic_loss_from_the_web(real_scores, fake_scores, gradients, penalty_weight):
    """The critic's loss with gradient penalty, (18.7) plus penalty_weight times (18.10).

    real_scores, fake_scores: arrays (batch, 1). gradients (batch, ...): the critic's gradient
    at each of the places between. penalty_weight: a number >= 0.
    Returns a number, which the critic is to lower.
    Example: for real_scores = [[2]], fake_scores = [[1]], gradients = [[3, 4]] and
    penalty_weight = 10 it is 1 - 2 + 10 * (5 - 1)**2 = 159.
    """
    ### BEGIN SOLUTION
    lead = np.mean(real_scores) - np.mean(fake_scores)
    slopes = np.sqrt(np.sum(gradients**2, axis=tuple(range(1, gradients.ndim))))
    return penalty_weight * np.mean((slopes - 1) ** 2) - lead
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("18.7", start="as_found")


@ex.cases
def _(rng):
    yield np.array([[2.0]]), np.array([[1.0]]), np.array([[3.0, 4.0]]), 10.0
    for n in range(16):
        shape = [(5, 3), (4, 3, 2, 1), (3, 2, 2)][n % 3]
        real, fake = rng.normal(size=(2, shape[0], 1))
        yield real, fake - 1, rng.normal(size=shape), float(rng.uniform(0.5, 10))


@ex.oracle
def _(real_scores, fake_scores, gradients, penalty_weight):
    total = 0.0
    for real, fake, g in zip(real_scores[:, 0], fake_scores[:, 0], gradients):
        total += fake - real + penalty_weight * (math.hypot(*np.ravel(g)) - 1) ** 2
    return total / len(real_scores)


def _loss(real_scores, fake_scores, gradients, penalty_weight, lead=-1, price=1, axes="all but the first"):
    axes = tuple(range(1, gradients.ndim)) if axes == "all but the first" else axes
    slopes = np.sqrt(np.sum(gradients**2, axis=axes))
    ahead = np.mean(real_scores) - np.mean(fake_scores)
    return lead * ahead + price * penalty_weight * np.mean((slopes - 1) ** 2)


@ex.wrong
def as_found(real_scores, fake_scores, gradients, penalty_weight):
    """Ask of each part what the critic would do to lower it: is the lead to shrink? are slopes far from 1 to be
    rewarded? And of which examples does the norm take the gradients together?"""
    lead = np.mean(real_scores) - np.mean(fake_scores)
    slope = np.sqrt(np.sum(gradients**2))
    return lead - penalty_weight * (slope - 1) ** 2


@ex.wrong
def lead_repaired(real_scores, fake_scores, gradients, penalty_weight):
    """The lead has the right sign now. The penalty is still subtracted, and its norm is still taken over the batch."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, price=-1, axes=None)


@ex.wrong
def norm_repaired(real_scores, fake_scores, gradients, penalty_weight):
    """The norm is each example's own now. Both signs are still wrong."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, lead=1, price=-1)


@ex.wrong
def price_repaired(real_scores, fake_scores, gradients, penalty_weight):
    """The penalty is a price now. But the critic still lowers its lead, and the norm is still over the batch."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, lead=1, axes=None)


@ex.wrong
def norm_left(real_scores, fake_scores, gradients, penalty_weight):
    """Both signs are right. What is left is the norm: one for each example, over all its axes."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, axes=None)


@ex.wrong
def lead_left(real_scores, fake_scores, gradients, penalty_weight):
    """The penalty is right. What is left is the sign of the lead: the critic lowers this loss, and so its lead."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, lead=1)


@ex.wrong
def price_left(real_scores, fake_scores, gradients, penalty_weight):
    """Lead and norm are right. What is left is the sign of the penalty: subtracted, it rewards any slope but 1."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, price=-1)


@ex.wrong
def price_added_up(real_scores, fake_scores, gradients, penalty_weight):
    """Signs and norm are right. The penalty is the mean over the batch, not the sum."""
    batch = len(gradients)
    return _loss(real_scores, fake_scores, gradients, batch * penalty_weight)


@ex.wrong
def weight_forgotten(real_scores, fake_scores, gradients, penalty_weight):
    """Signs and norm are right. The penalty has to be multiplied by penalty_weight."""
    return _loss(real_scores, fake_scores, gradients, 1)


@ex.wrong
def not_squared(real_scores, fake_scores, gradients, penalty_weight):
    """Signs and norm are right. The distance of the slope from 1 has lost its square."""
    slopes = np.linalg.norm(gradients.reshape(len(gradients), -1), axis=1)
    return np.mean(fake_scores) - np.mean(real_scores) + penalty_weight * np.mean(np.abs(slopes - 1))


@ex.wrong
def second_axis(real_scores, fake_scores, gradients, penalty_weight):
    """Right where an example has one axis. A picture has several, and all of them belong to its one norm."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, axes=1)


@ex.wrong
def first_axis(real_scores, fake_scores, gradients, penalty_weight):
    """Your norm runs over the batch, axis 0. It is one for each example, over all the other axes."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, axes=0)


@ex.wrong
def mean_slope(real_scores, fake_scores, gradients, penalty_weight):
    """Each example pays for its own slope: take the square of its distance from 1 first, then the mean. One slope that
    is too steep and one that is too flat must not set each other off."""
    slopes = np.linalg.norm(gradients.reshape(len(gradients), -1), axis=1)
    return np.mean(fake_scores) - np.mean(real_scores) + penalty_weight * (np.mean(slopes) - 1) ** 2


@ex.wrong
def last_axis(real_scores, fake_scores, gradients, penalty_weight):
    """Right where an example has one axis. A picture has several, and all of them belong to its one norm."""
    return _loss(real_scores, fake_scores, gradients, penalty_weight, axes=-1)


@ex.right
def by_flattening(real_scores, fake_scores, gradients, penalty_weight):
    rows = gradients.reshape(gradients.shape[0], -1)
    squares = np.einsum("bi,bi->b", rows, rows)
    price = 1 + np.mean(squares - 2 * squares**0.5)
    return float(np.sum(fake_scores - real_scores)) / len(rows) + penalty_weight * price


# %%
check("18.7", critic_loss_from_the_web)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | heaps that share no place | $\mathrm{JSD} = \log 2$, whatever their distance | (18.1) |
# | Wasserstein distance | the least work $\sum_{ij} \pi_{ij} \|x_i - y_j\|$ of a plan | (18.2) |
# | of two samples | the best pairing, $\min_s \frac1N \sum_i \|x_i - y_{s(i)}\|$ | (18.3) |
# | on a line | sort and pair; the area between $F_p$ and $F_q$ | (18.4) |
# | as a judge sees it | $\max \mathbb{E}_p[f] - \mathbb{E}_q[f]$ over all 1-Lipschitz $f$ | (18.5) |
# | best critic on a line | $f^{*\prime} = \operatorname{sign}(F_q - F_p)$ | (18.6) |
# | losses | critic $\mathbb{E}[f(G(z))] - \mathbb{E}[f(x)]$, generator $-\mathbb{E}[f(G(z))]$ | (18.7) |
# | a network's slope | at most $\prod_l \sigma(W_l)$ | (18.8) |
# | clipping | $\sigma(W) \le c\sqrt{nm}$, reached by rank 1 only | (18.9) |
# | gradient penalty | $\mathbb{E}[(\|\nabla f(\hat x)\| - 1)^2]$ on random places between pairs, uniform | (18.10) |
# | what it does not forbid | slope $1 + W_1 / (2\lambda)$ | (18.11) |
# | its derivative | $2\,\mathbb{E}[(\|g\| - 1)\, g \cdot \partial_\theta g / \|g\|]$ | (18.12) |
# | spectral normalisation | power iteration for $\sigma$; $W / \sigma(W)$ | (18.13), (18.14) |
#
# ## References
#
# - M. Arjovsky and L. Bottou, *Towards principled methods for training generative adversarial networks*, 2017,
#   arXiv:1701.04862.
# - M. Arjovsky, S. Chintala and L. Bottou, *Wasserstein generative adversarial networks*, 2017, arXiv:1701.07875.
# - G. Birkhoff, *Three observations on linear algebra* (in Spanish), 1946.
# - I. Goodfellow et al., *Generative adversarial nets*, 2014, arXiv:1406.2661.
# - I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin and A. Courville, *Improved training of Wasserstein GANs*, 2017,
#   arXiv:1704.00028.
# - M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter, *GANs trained by a two time-scale update rule
#   converge to a local Nash equilibrium*, 2017, arXiv:1706.08500.
# - L. Kantorovich, *On the translocation of masses* (in Russian), 1942.
# - L. Kantorovich and G. Rubinstein, *On a space of completely additive functions* (in Russian), 1958.
# - M. Lucic, K. Kurach, M. Michalski, O. Bousquet and S. Gelly, *Are GANs created equal? A large-scale study*, 2018,
#   arXiv:1711.10337.
# - E. J. McShane, *Extension of range of functions*, 1934.
# - L. Metz, B. Poole, D. Pfau and J. Sohl-Dickstein, *Unrolled generative adversarial networks*, 2017,
#   arXiv:1611.02163.
# - T. Miyato, T. Kataoka, M. Koyama and Y. Yoshida, *Spectral normalization for generative adversarial networks*, 2018,
#   arXiv:1802.05957.
# - J. Stanczuk, C. Etmann, L. M. Kreusser and C.-B. Schönlieb, *Wasserstein GANs work because they fail (to approximate
#   the Wasserstein distance)*, 2021, arXiv:2103.01678.
# - C. Villani, *Optimal transport: old and new*, 2009.
