# %% [raw]
# title: Generative adversarial networks
# part: IV. Generating
# minutes: 150
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - multi-layer perceptron
#   - softmax and cross-entropy
#   - gradient descent
#   - backpropagation
#   - Adam
#   - batch normalisation
#   - output size, stride, padding and dilation
#   - transposed convolution
#   - training, validation and test data
#   - Kullback-Leibler divergence
#   - variational autoencoder
# teaches:
#   - adversarial game
#   - optimal discriminator
#   - Jensen-Shannon divergence
#   - non-saturating loss
#   - two compiled models that take turns
#   - mode collapse
#   - mode coverage
#   - DCGAN
#   - Fréchet distance
#   - memorisation check
# data: [MNIST]
# sources:
#   - "Dowson & Landau, The Fréchet distance between multivariate normal distributions, 1982"
#   - "Lin, Divergence measures based on the Shannon entropy, 1991"
#   - "Goodfellow et al., Generative adversarial nets, 2014"
#   - "Radford, Metz & Chintala, Unsupervised representation learning with DCGAN, 2016"
#   - "Salimans et al., Improved techniques for training GANs, 2016"
#   - "Arjovsky & Bottou, Towards principled methods for training generative adversarial networks, 2017"
#   - "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017"
#   - "Metz, Poole, Pfau & Sohl-Dickstein, Unrolled generative adversarial networks, 2017"
#   - "Mescheder, Geiger & Nowozin, Which training methods for GANs do actually converge?, 2018"
#   - "Webster, Rabin, Simon & Jurie, Detecting overfitting of deep generative networks via latent recovery, 2019"
#   - "Chong & Forsyth, Effectively unbiased FID and Inception score and where to find them, 2020"

# %% [markdown]
# Below are six sevens that somebody wrote, and, at the right, their mean. By the squared error no single picture is a
# better guess at all six, so the mean is what a decoder draws that cannot know which of the six is meant. And yet you
# see at once that nobody wrote it.

# %%
import textwrap
import warnings

from course import budget, check, claim, data, gradient, plots, predict, prove, record, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import linalg, optimize, stats
from scipy.spatial import distance
from scipy.special import expit

rng = start("17")  # seeds everything from COURSE_SEED and sets the style of the figures
REAL, MADE = plots.COLOURS[1], plots.COLOURS[0]  # the colours of data and generator in all figures


def draw_rows(rows, width=8.0):
    """Draw pictures (28, 28) from -1 (black) to 1 (white); rows: dict from a name to the row's pictures."""
    longest = max(len(pictures) for pictures in rows.values())
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, len(rows) * 0.92 * width / longest), squeeze=False)
    for axis, (name, pictures) in zip(axes[:, 0], rows.items()):
        framed = [np.pad(np.reshape(picture, (28, 28)), 1, constant_values=-0.1) for picture in pictures]
        axis.imshow(np.concatenate(framed, axis=1), vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    plt.show()


def nearest_pictures(pictures, among):
    """For each of `pictures` (n, ...) the nearest of `among` (m, ...): number and Euclidean distance."""
    if pictures.shape[1:] != among.shape[1:]:
        raise ValueError(f"pictures {pictures.shape[1:]} cannot be compared with pictures {among.shape[1:]}")
    a, b = pictures.reshape(len(pictures), -1), among.reshape(len(among), -1)
    squared = np.square(a).sum(axis=1)[:, None] - 2 * a @ b.T + np.square(b).sum(axis=1)
    chosen = squared.argmin(axis=1)
    return chosen, np.sqrt(np.square(a - b[chosen]).sum(axis=1))


# %%
mnist = data.mnist()
images = mnist.x_train[: budget(quick=10_000, full=60_000, least=2000), ..., None].astype("float32") / 127.5 - 1
labels = mnist.y_train[: len(images)]  # the pictures run from -1 (black) to 1 (white)
tests = mnist.x_test[: budget(quick=1_000, full=10_000, least=500), ..., None].astype("float32") / 127.5 - 1
test_labels = mnist.y_test[: len(tests)]

sevens = images[labels == 7][:400]
gaps = distance.cdist(sevens.reshape(len(sevens), -1), sevens.reshape(len(sevens), -1))
middle = np.sort(gaps, axis=1)[:, 100].argmin()  # the seven with the closest company
six = sevens[gaps[middle].argsort()[:120:20]]  # the closest to it, and every twentieth after
draw_rows({"six sevens,\nand their mean": [*six, six.mean(axis=0)]}, width=7)

# %% [markdown]
# *Figure 17.1. Six training digits, and at the right their mean, grey where they differ.*
#
# What gives it away is not an error in any one pixel. It is the soft grey, which pens do not leave. You could write a
# loss against grey, and the next picture would be wrong in another way. Rather let a second network find out
# what is wrong, again and again, and let its gradient tell the first one what to change. So:
#
# **Can a network learn to see what gives made-up pictures away, and a second one to give nothing away? What does the
# second one then learn, and what can go wrong?**
#
# ## What you will be able to do
#
# - write down the game of a generative adversarial network, and say what its best discriminator computes;
# - build two compiled Keras models that take turns, each training its own network only;
# - choose the generator's loss by its gradient;
# - read the game from its film: chasing, circling, and lost modes;
# - train a DCGAN, and measure it by Fréchet distance, coverage and a search for copies;
# - recognise four broken GAN loops by their symptoms.
#
# ## A game for two
#
# The **generator** $G$ draws: from random numbers $z$, as many as you like, it makes a picture $G(z)$. The
# **discriminator** $D$ judges: it gives any picture a probability that it is real. Let the real pictures have the
# distribution $p$. Then $D$ wants the **value** of the game to be large, and $G$ wants it to be small (Goodfellow et
# al., 2014):
#
# $$ \min_G \max_D V(D, G), \qquad V(D, G) = \mathbb{E}_{x \sim p}[\log D(x)]
#    + \mathbb{E}_{z}[\log(1 - D(G(z)))] \tag{17.1} $$
#
# If $D$ gives 0.9 to real pictures and 0.2 to made-up ones, then $V = \log 0.9 + \log 0.8 \approx -0.33$. If it
# has no idea and always says one half, $V = 2 \log \frac12 = -\log 4 \approx -1.39$. More than 0 is not to be had.
#
# As usual the network puts out a logit, $a$, with $D = \sigma(a)$, and the logarithms go into
# $\operatorname{softplus}(a) = \log(1 + e^a)$, which stays finite where $\log \sigma(a)$, computed in two steps, does
# not: $-\log D = \operatorname{softplus}(-a)$ and $-\log(1 - D) = \operatorname{softplus}(a)$. Let the means over one
# batch of real pictures and one of made-up ones stand for the two expectations, and the discriminator's loss is
#
# $$ L_D = \underset{x}{\operatorname{mean}} \operatorname{softplus}\bigl(-a(x)\bigr)
#    + \underset{z}{\operatorname{mean}} \operatorname{softplus}\bigl(a(G(z))\bigr) = -V \tag{17.2} $$
#
# It is binary cross-entropy, twice, with label 1 for real and 0 for made-up. Mind the minus: $D$ *raises* $V$,
# optimisers *lower* a loss.


# %%
def refuse_unless_logits(logits, name):
    """Raise ValueError unless there is one logit a picture: shape (batch,) or (batch, 1)."""
    shape = tuple(logits.shape)
    if len(shape) not in (1, 2):
        needed = f"1 or 2 are needed: (batch,) or (batch, 1), not {shape}"
        raise ValueError(f"{name} have {len(shape)} axes, where {needed}")
    if len(shape) == 2 and shape[1] != 1:
        needed = "1 is needed: one logit a picture"
        raise ValueError(f"{name} have size {shape[1]} along axis 1, where {needed}")


def refuse_unless_alike(real, fake):
    """Raise ValueError, naming axis and sizes, unless both have one shape, the batch apart."""
    both = "real and made-up pictures have"
    if len(real.shape) != len(fake.shape):
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise ValueError(f"{both} {len(real.shape)} and {len(fake.shape)} axes: {shapes}")
    for axis in range(1, len(real.shape)):
        if real.shape[axis] != fake.shape[axis]:
            sizes = f"size {real.shape[axis]} and {fake.shape[axis]} along axis {axis}"
            raise ValueError(f"{both} {sizes}; the discriminator must not see that difference")


def value(d_real, d_fake):
    """The value of the game (17.1) for the probabilities that D gives to real and made-up pictures."""
    if not all(0 <= np.min(d) <= np.max(d) <= 1 for d in (d_real, d_fake)):
        raise ValueError("probabilities lie from 0 to 1: are these logits? Then take minus the discriminator_loss")
    return np.mean(np.log(d_real)) + np.mean(np.log(1 - d_fake))  # (17.1)


def discriminator_loss(real, fake):
    """L_D (17.2), a scalar, of two arrays of logits, (batch,) or (batch, 1); the batches may differ."""
    refuse_unless_logits(real, "the logits of real pictures")
    refuse_unless_logits(fake, "the logits of made-up pictures")
    return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))  # (17.2)


def bernoulli_value(d_real, d_fake):
    return stats.bernoulli.logpmf(1, d_real).mean() + stats.bernoulli.logpmf(0, d_fake).mean()


def two_cross_entropies(real, fake):
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return entropy(np.ones_like(real), real) + entropy(np.zeros_like(fake), fake)


def logits(*shape):
    """Random logits, float32."""
    return (4 * rng.normal(size=shape)).astype("float32")


def two_batches(count):
    for _ in range(count):
        yield logits(6, 1), logits(9, 1)


# %%
prove("17.1", value, bernoulli_value, cases=((expit(a), expit(b)) for a, b in two_batches(100)), rtol=1e-4)
prove("17.2", discriminator_loss, two_cross_entropies, cases=two_batches(100), rtol=1e-4)

# %% [markdown]
# ## What would the best judge say?
#
# Hold $G$ still. Its pictures then have some distribution $q$, and a judge who knows both $p$ and $q$ and sees $x$ can
# do no better than Bayes' rule: half of what is brought before him is real, so the probability that this one is real
# is
#
# $$ D^*(x) = \frac{p(x)}{p(x) + q(x)} \tag{17.3} $$
#
# Here is why it maximises $V$. At each single $x$, $D$ has to choose one number $d$, and what it contributes is
# $p \log d + q \log(1 - d)$, with the derivative $p/d - q/(1-d)$, which is 0 at $d = p/(p+q)$ and falls throughout.
# (Where neither $p$ nor $q$ has any probability, $D$ may say what it likes. Remember that.)
#
# What is the game worth against this judge? Put (17.3) into (17.1), compare both distributions with their mixture
# $m = \frac12(p + q)$, and call the mean of the two Kullback-Leibler divergences of chapter 16 the **Jensen-Shannon
# divergence** (Lin, 1991):
#
# $$ \mathrm{JSD}(p \,\|\, q) = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m) \tag{17.4} $$
#
# Since $p / (p + q) = \frac12\, p / m$, two factors $\frac12$ come out of the logarithms, and what remains is
#
# $$ \max_D V(D, G) = V(D^*, G) = -\log 4 + 2\, \mathrm{JSD}(p \,\|\, q) \tag{17.5} $$
#
# A divergence is 0 only where $p = q$. So against the best judge $G$ does best, and gets $-\log 4$, if and only if its
# pictures are distributed like the real ones. *That* is what it learns: not to copy pictures, but to draw from their
# distribution. The theorem assumes that $D$ is the best one at every moment and that $G$ can make any $q$; the rest
# of this chapter is about what happens when neither is true.
#
# In the proof $p$ and $q$ are random distributions over six things (and equal in every fifth case), and SciPy climbs
# $V$ without being told (17.3).


# %%
def best_judge(p, q):
    """D* (17.3) at each point: p, q are densities or probabilities there."""
    return p / (p + q)  # (17.3)


def jensen_shannon(p, q):
    """JSD (17.4) in nats: p, q are arrays of positive probabilities that sum to 1."""
    if np.shape(p) != np.shape(q):
        raise ValueError(f"p and q are not of one shape: {np.shape(p)} and {np.shape(q)}")
    if not (np.min(p) > 0 and np.min(q) > 0 and np.allclose([np.sum(p), np.sum(q)], 1)):
        raise ValueError("p and q must be positive, and each must sum to 1")
    m = (p + q) / 2
    return 0.5 * np.sum(p * np.log(p / m)) + 0.5 * np.sum(q * np.log(q / m))  # (17.4)


def best_value(p, q):
    """The largest value of the game for given p and q (17.5)."""
    return -np.log(4) + 2 * jensen_shannon(p, q)  # (17.5)


def climb(p, q):
    """The logits at which V is largest, and that V, found numerically from random logits."""

    def downhill(a):
        d = expit(a)
        return -p @ np.log(d) - q @ np.log(1 - d), q * d - p * (1 - d)

    found = optimize.minimize(downhill, rng.normal(size=len(p)), jac=True, options={"gtol": 1e-9})
    return found.x, -found.fun


def climbed_judge(p, q):
    return expit(climb(p, q)[0])


def climbed_value(p, q):
    return climb(p, q)[1]


def scipy_jensen_shannon(p, q):
    return distance.jensenshannon(p, q) ** 2  # SciPy's is the root of the divergence


def distributions(count):
    for n in range(count):
        p, q = rng.dirichlet(np.full(6, 2.0), size=2) * 0.9 + 0.1 / 6
        yield p, p if n % 5 == 4 else q


# %%
prove("17.3", best_judge, climbed_judge, cases=distributions(60), rtol=1e-4)
prove("17.4", jensen_shannon, scipy_jensen_shannon, cases=distributions(100))
prove("17.5", best_value, climbed_value, cases=distributions(60))

# %% [markdown]
# ## Two players who take turns
#
# In Keras the game is two models, compiled each with its own optimiser, that share two networks. The discriminator's
# player trains $D$ on real and made-up pictures; the generator's player trains $G$ through $D$. Both need both
# networks to compute their loss, and each may move one of them only. Keras asks a model for its `trainable_variables`
# whenever it takes a step, on every backend; so a player answers with the weights of its own network, and calls all
# others, the opponent's too, not trainable. The loss needs no labels, so it overrides `compute_loss`. And it tells the
# loss of its batch as it is: the running mean that Keras would keep, and set back to 0 before every batch, takes a
# good part of a small network's step.


# %%
class Player(keras.Model):
    """One side of the game: trains the weights of `mine` and only reads those of `opponent`."""

    def __init__(self, mine, opponent):
        super().__init__()
        self.mine, self.opponent = mine, opponent

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


class DiscriminatorPlayer(Player):
    """Trains a discriminator on batches of (real pictures, noise)."""

    def call(self, inputs, training=False):
        real, noise = inputs
        fake = ops.stop_gradient(self.opponent(noise, training=training))
        refuse_unless_alike(real, fake)
        return self.mine(real, training=training), self.mine(fake, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        real, fake = y_pred
        return discriminator_loss(real, fake)


class GeneratorPlayer(Player):
    """Trains a generator on batches of noise; loss: of the logits that its pictures are given."""

    def __init__(self, mine, opponent, loss):
        super().__init__(mine, opponent)
        self.of_logits = loss

    def call(self, noise, training=False):
        return self.opponent(self.mine(noise, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.of_logits(y_pred)


# %% [markdown]
# `stop_gradient` saves $D$'s player the way back through $G$. In $D$'s turn real and made-up pictures pass $D$ in two
# batches, which will matter once it normalises batches.
#
# What the generator's loss is comes next. First the loop. It deals out fresh noise to each turn, and stops as soon
# as a loss is no longer a number.


# %%
def compiled(player, rate):
    """A player with an Adam of its own, with the settings of the DCGAN paper but for the rate."""
    player.compile(keras.optimizers.Adam(rate, beta_1=0.5))
    player.optimizer.build(player.trainable_variables)  # else TensorFlow traces the step twice
    return player


def noise_for(generator, count, rng):
    """Standard normal numbers (count, as many as the generator takes)."""
    return rng.normal(size=(count, generator.input_shape[-1])).astype("float32")


def refuse_unless_finite(loss, who, turn):
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the loss of {who} is {loss} in round {turn}. If D's loss was below 0 before, its sign is wrong; if the "
            "logarithm of a sigmoid is computed in two steps, use the softplus of the logit; else take a smaller "
            "learning rate. The weights are spoilt: build both networks anew."
        )


def play(d_player, g_player, draw_real, rounds, rng, batch=64, d_turns=1, look=None, looks=()):
    """Let the two take turns. draw_real(n): n real pictures. d_turns: turns of D before each of G's.
    look(round) is called before the rounds in `looks`.

    Returns the losses (rounds, 2) of D and G. Raises FloatingPointError where one of them is not finite.
    """
    generator, losses = d_player.opponent, np.zeros((rounds, 2))
    for turn in range(rounds + 1):
        if look and turn in looks:
            look(turn)
        if turn == rounds:
            return losses
        for _ in range(d_turns):
            losses[turn, 0] = d_player.train_on_batch((draw_real(batch), noise_for(generator, batch, rng)))
            refuse_unless_finite(losses[turn, 0], "D", turn)
        losses[turn, 1] = g_player.train_on_batch(noise_for(generator, batch, rng))
        refuse_unless_finite(losses[turn, 1], "G", turn)


# %% [markdown]
# ## Does it find the best judge?
#
# On a line everything can be known. Let the real "pictures" be single numbers from $\mathcal N(3, 0.5^2)$, and the
# generator a single neuron, $G(z) = wz + b$: then $q$ is $\mathcal N(b, w^2)$, and $D^*$ has a formula at
# every moment. The discriminator is a small network that knows nothing of bell curves. Hold $G$ still and train $D$.


# %%
LINE = stats.norm(3, 0.5)  # the real distribution on the line


def line_generator():
    """A neuron that makes of a standard normal number a normal number: mean 0 and deviation 1 at first."""
    return keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])


def dense_discriminator(inputs, width=32):
    hidden = [layers.Dense(width, activation="tanh"), layers.Dense(width, activation="tanh")]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(1)])


def made_on_line(generator):
    """The distribution of what a `line_generator` makes."""
    w, b = (float(ops.convert_to_numpy(weight).item()) for weight in generator.weights)
    return stats.norm(b, abs(w))


def judged(discriminator, x):
    """D(x), outside training: a probability for each row of x."""
    return expit(predict(discriminator, np.asarray(x, "float32"))[:, 0])


def draw_line(count):
    return LINE.rvs((count, 1), random_state=rng).astype("float32")


# %%
line_g, line_d = line_generator(), dense_discriminator(1)
line_g.layers[0].bias.assign([1.2])
before = line_g.get_weights()
judge = compiled(DiscriminatorPlayer(line_d, line_g), 0.005)
for _ in range(400):
    judge.train_on_batch((draw_line(256), noise_for(line_g, 256, rng)))

x = np.linspace(-3, 6, 500)
p, q = LINE.pdf(x), made_on_line(line_g).pdf(x)
seen = np.concatenate([draw_line(2000), predict(line_g, noise_for(line_g, 2000, rng))])
ideal = best_judge(LINE.pdf(seen[:, 0]), made_on_line(line_g).pdf(seen[:, 0]))
off_judge = np.abs(judged(line_d, seen) - ideal).mean()
reached = value(judged(line_d, seen[:2000]), judged(line_d, seen[2000:]))
print(f"D is off D* by {off_judge:.3f} in the mean; V is {reached:.3f}, V(D*) {value(ideal[:2000], ideal[2000:]):.3f}")

figure, axis = plt.subplots(figsize=(7, 2.8))
axis.fill_between(x, p, color=REAL, alpha=0.45, lw=0, label="real, $p$")
axis.fill_between(x, q, color=MADE, alpha=0.45, lw=0, label="made, $q$")
axis.plot(x, best_judge(p, q), "--", color="black", label="$D^* = p/(p+q)$")
axis.plot(x, judged(line_d, x[:, None]), "-", color=plots.COLOURS[5], label="$D$, trained")
axis.set(xlabel="$x$", ylabel="density, probability", ylim=(0, 1.02))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
after = line_g.get_weights()

# %% [markdown]
# *Figure 17.2. What is real, what is made, and what the two judges say: the best one and the trained one.*

# %%
claim(
    "17.1",
    "with the generator held still, the trained discriminator is off the best one by less than 0.05 in the mean",
    off_judge < 0.05,
)

# %%
claim(
    "17.2",
    "while the discriminator's player trains, the generator keeps every weight, to the last bit",
    all(np.array_equal(old, new) for old, new in zip(before, after)),
)

# %% [markdown]
# Look at the far right of the figure. $D^*$ falls again there, since the wider bell has the longer tail; $D$, which was
# hardly shown anything so far out, says what it likes. Where it has seen data it agrees with (17.3); a generator that
# leaves this region gets arbitrary advice.
#
# How *not* to freeze the opponent: a recipe found often says `discriminator.compile(...)`, then
# `discriminator.trainable = False`, then compile a model of both. It trusts that `compile` remembers what was
# trainable. Keras 3 looks when it takes a step, finds one switch for both players, and so

# %%
switched_d, switched_g = dense_discriminator(1), line_generator()
switched_d.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
switched_d.trainable = False
both = keras.Sequential([switched_g, switched_d])
both.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
before = switched_d.get_weights()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Keras warns: "The model does not have any trainable weights."
    for _ in range(5):
        switched_d.train_on_batch(draw_line(64), np.ones((64, 1)))
moved = [np.abs(new - old).max() for old, new in zip(before, switched_d.get_weights())]
print(f"five steps later, no weight of D has moved by more than {max(moved)}")

# %% [markdown]
# the discriminator is never trained, and all you get is a warning among many lines. A generator that beats a judge who
# never learns is no feat.
#
# ## A gradient that fades
#
# Now $G$'s turn. Its part of (17.1) is $\log(1 - D(G(z)))$, to be made small. Goodfellow et al. name this loss in the
# theory and use another one in practice: make $\log D(G(z))$ large. In logits:
#
# $$ \ell_\text{sat} = \log(1 - D) = -\operatorname{softplus}(a), \qquad
#    \ell_\text{ns} = -\log D = \operatorname{softplus}(-a) \tag{17.6} $$
#
# Both fall as $D$ gets more convinced, so what is the difference? Differentiate with respect to the logit:
#
# $$ \frac{\partial \ell_\text{sat}}{\partial a} = -D, \qquad
#    \frac{\partial \ell_\text{ns}}{\partial a} = -(1 - D) \tag{17.7} $$
#
# From $a$ the chain rule goes on to the picture and to $G$'s weights, and that part is the same for both. At the start
# $D$ soon sees through everything, $D(G(z)) = 0.01$, say: then the first loss, called **saturating**, pulls with 0.01
# and the second, **non-saturating**, with 0.99. Both pull each picture in the same direction. But the first pulls
# hardest at pictures that are convincing already, and lets go of those that need it.


# %%
def saturating(logits):
    """The generator's loss in theory (17.6), mean over the batch: logits (batch,) or (batch, 1)."""
    refuse_unless_logits(logits, "the logits of made-up pictures")
    return -ops.mean(ops.softplus(logits))  # (17.6)


def non_saturating(logits):
    """The generator's loss in practice (17.6), mean over the batch."""
    refuse_unless_logits(logits, "the logits of made-up pictures")
    return ops.mean(ops.softplus(-logits))  # (17.6)


def both_losses(a):
    return saturating(a), non_saturating(a)


def by_cross_entropy(a):
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return -entropy(np.zeros_like(a), a), entropy(np.ones_like(a), a)


def slopes(a):
    """The derivatives of both losses of single pictures with respect to their logits (17.7), an array."""
    return -expit(a), -(1 - expit(a))  # (17.7)


def slopes_by_autodiff(a):
    return [gradient(lambda at, loss=loss: len(a) * loss(at), a) for loss in (saturating, non_saturating)]


# %%
prove("17.6", both_losses, by_cross_entropy, cases=((logits(8, 1),) for _ in range(100)), rtol=1e-4)
prove("17.7", slopes, slopes_by_autodiff, cases=((logits(8),) for _ in range(60)), rtol=1e-3, atol=1e-6)

# %% [markdown]
# That is the slope at the logit. What arrives at the weights? Hold $G$ still again, at $\mathcal N(0, 0.5^2)$, which is
# far from the data, and train $D$ on and on. Now and then, measure the gradient of both losses with respect to $w$
# and $b$.


# %%
def pull(discriminator, loss, w, b, z):
    """The length of the gradient of a generator's loss with respect to (w, b), where G(z) = wz + b."""
    z, weights = ops.convert_to_tensor(z), np.array([w, b], "float32")
    by_weights = gradient(lambda at: loss(discriminator(at[0] * z + at[1])), weights)
    return np.linalg.norm(ops.convert_to_numpy(by_weights))


# %%
still_g, sure_d = line_generator(), dense_discriminator(1)
still_g.layers[0].kernel.assign([[0.5]])
judge, z = compiled(DiscriminatorPlayer(sure_d, still_g), 0.005), noise_for(still_g, 1000, rng)
fooled, pulls = [], []
for step in range(321):
    if step in (0, 5, 10, 20, 40, 80, 160, 320):
        fooled.append(judged(sure_d, predict(still_g, z)).mean())
        pulls.append([pull(sure_d, loss, 0.5, 0.0, z) for loss in (saturating, non_saturating)])
    judge.train_on_batch((draw_line(256), noise_for(still_g, 256, rng)))
fooled, pulls = np.array(fooled), np.array(pulls)

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
d = np.linspace(0.001, 0.999, 400)
in_theory = np.abs(slopes(np.log(d / (1 - d))))
for n, (name, line, marker) in enumerate((("saturating", "-", "o"), ("non-saturating", "--", "s"))):
    axes[0].plot(d, in_theory[n], line, color=plots.COLOURS[n], label=name)
    axes[1].plot(fooled, pulls[:, n], line, marker=marker, ms=4, color=plots.COLOURS[n])
axes[0].set(xlabel="$D(G(z))$", ylabel="size of the slope at the logit")
axes[1].set(xlabel="mean of $D(G(z))$ while $D$ is trained", ylabel="length of $G$'s gradient")
axes[1].set(xscale="log", yscale="log")
axes[1].invert_xaxis()
axes[0].legend()
figure.tight_layout()
plt.show()
print(f"at the end the mean D(G(z)) is {fooled[-1]:.1e}, the gradients are {pulls[-1, 0]:.1e} and {pulls[-1, 1]:.1e}")

# %% [markdown]
# *Figure 17.3. Left: (17.7), without the sign. Right: the gradient that reaches the two weights of a generator,
# measured, while the discriminator grows surer that its samples are made up; both axes are logarithmic.*

# %%
claim(
    "17.3",
    "where the discriminator is sure, the saturating loss pulls less than a tenth as hard",
    pulls[-1, 0] < 0.1 * pulls[-1, 1],
)

# %% [markdown]
# So a good judge makes a bad teacher, if the loss is the saturating one. (And the other one? Its gradients can be large
# and unsteady, Arjovsky & Bottou, 2017. Chapter 18 changes the game instead.) From here on, $G$ uses $\ell_\text{ns}$.
#
# ## The game on a line
#
# Let both play, from $G$'s first state $\mathcal N(0, 1)$, and film it.

# %%
film_g, film_d, film, path = line_generator(), dense_discriminator(1), {}, {}
rounds = 600
frames = (np.linspace(0, 1, 10) ** 1.5 * rounds).astype(int)


def shoot(turn):
    made = made_on_line(film_g)
    path[turn] = made.mean(), made.std()
    if turn in frames:
        film[turn] = made, judged(film_d, x[:, None])


players = (
    compiled(DiscriminatorPlayer(film_d, film_g), 0.01),
    compiled(GeneratorPlayer(film_g, film_d, non_saturating), 0.01),
)
play(*players, draw_line, rounds, rng, batch=128, look=shoot, looks=range(rounds + 1))

figure, axes = plt.subplots(2, 5, figsize=(9, 3.3), sharex=True, sharey=True)
for axis, turn in zip(axes.flat, frames):
    made, landscape = film[turn]
    axis.fill_between(x, LINE.pdf(x), color=REAL, alpha=0.45, lw=0)
    sample = made.rvs(1000, random_state=int(turn))
    axis.hist(sample, np.linspace(-3, 6, 46), density=True, color=MADE, alpha=0.6)
    axis.plot(x, landscape, "-", color=plots.COLOURS[5])
    axis.set(title=f"round {turn}", ylim=(0, 1.1), yticks=[0, 0.5, 1])
for axis in axes[1]:
    axis.set_xlabel("$x$")
for axis in axes[:, 0]:
    axis.set_ylabel("$D(x)$, density")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.4. The game as a film: the real density (orange), a histogram of the generator's samples (blue), and the
# discriminator's landscape $D(x)$ (line).*
#
# Follow it. $D$ raises a slope between the samples and the data. Samples on the slope slide to the right; those far to
# the left stand on flat ground and are left behind, so the heap gets wide before it moves. When it straddles the data,
# $D$ lowers its opinion on both sides, and squeezes it. Where samples and data agree, the landscape is level, at one
# half.

# %%
path = np.array(list(path.values()))
late = path[-rounds // 4 :]
print("G ends at mean {:.2f} and deviation {:.2f}; the data have 3 and 0.5".format(*path[-1]))

# %%
claim(
    "17.4",
    "on the line, the generator finds the data: over the last quarter its mean and deviation are right to within 0.4",
    np.abs(late.mean(axis=0) - [3, 0.5]).max() < 0.4,
)

# %% [markdown]
# ## Why it may circle
#
# A single player who follows a gradient goes downhill. Two who pull at the same value need not arrive at all. The
# smallest example is $\min_u \max_v uv$, whose only resting point is $(0, 0)$. With learning rate $\alpha$, moving both
# *at once* gives $(u - \alpha v,\; v + \alpha u)$; *taking turns*, the second player answers the first one's new move,
# $v + \alpha (u - \alpha v)$. Then, in each round,
#
# $$ \text{at once:} \quad r^2 \to (1 + \alpha^2)\, r^2 \text{ with } r^2 = u^2 + v^2, \qquad
#    \text{in turns:} \quad u^2 + v^2 - \alpha u v \text{ stays as it is} \tag{17.8} $$
#
# At once, the two spiral outwards, whatever the rate. In turns they run round on an ellipse (for $\alpha < 2$), and
# never arrive. Neither is a fault of an optimiser; the game has no downhill. (Near the end of a GAN the situation is
# much the same; Mescheder et al., 2018, prove which ways of training converge there.)


# %%
def after_rounds(u, v, rate, rounds):
    """What (17.8) says: r squared after so many rounds at once; and the quantity that turns keep."""
    return (1 + rate**2) ** rounds * (u**2 + v**2), u**2 + v**2 - rate * u * v  # (17.8)


def played_rounds(u, v, rate, rounds):
    """The same two numbers, from playing: a round is a matrix."""
    at_once = np.array([[1, -rate], [rate, 1]])
    in_turns = np.array([[1, 0], [rate, 1]]) @ np.array([[1, -rate], [0, 1]])
    a, b = (np.linalg.matrix_power(matrix, rounds) @ [u, v] for matrix in (at_once, in_turns))
    return a @ a, b @ b - rate * b[0] * b[1]


def starts(count):
    for _ in range(count):
        yield *rng.normal(size=2), float(rng.uniform(0.01, 1)), int(rng.integers(1, 30))


# %%
prove("17.8", after_rounds, played_rounds, cases=starts(100))

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2))
rate = 0.2
for name, matrix, style in (
    ("at once", np.array([[1, -rate], [rate, 1]]), "-o"),
    ("in turns", np.array([[1, -rate], [rate, 1 - rate**2]]), "--s"),
):
    steps = np.array([np.linalg.matrix_power(matrix, n) @ [1, 0] for n in range(48)])
    axes[0].plot(*steps.T, style, ms=3, lw=1, label=name)
axes[0].plot(0, 0, "x", color="black", ms=8)
axes[0].set(xlabel="$u$", ylabel="$v$", aspect="equal")
axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes[1].plot(*path.T, "-", color=MADE, lw=1.2)
axes[1].scatter(*path[frames].T, c=np.arange(10), cmap="Greys", vmin=-4, ec="black", s=28, zorder=3)
axes[1].plot(3, 0.5, "x", color="black", ms=8, zorder=4)
axes[1].set(xlabel="mean of $G$'s samples", ylabel="their deviation")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.5. Left: the game $uv$ with $\alpha = 0.2$, 48 rounds from $(1, 0)$. Right: the path of the generator on
# the line, which is no straight one; the dots are the frames of Figure 17.4, from light to dark. A cross marks where
# each game would rest.*
#
# **Try it.** Give $D$'s player ten times the rate of $G$'s (Heusel et al., 2017, argue for two rates), then the other
# way round. Film both.
#
# ## Eight modes on a ring
#
# A bell is easy. Now let the data be points in the plane, in eight tight clusters on a ring of radius 2, with a
# standard deviation of 0.02 (Metz et al., 2017). The word for such a region of high density is **mode**. Call a mode
# *covered* while at least 2 % of the samples lie within 0.3 of its centre; a fair share would be 12.5 %. To keep $D$
# near the best judge, let it have five turns for each of $G$'s. Much hangs on the start, so play three games.


# %%
ANGLES = np.arange(8) * np.pi / 4
CENTRES = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
SPREAD = 0.02  # standard deviation of a mode in each direction


def draw_ring(count):
    which = rng.integers(8, size=count)
    return (CENTRES[which] + SPREAD * rng.normal(size=(count, 2))).astype("float32")


def relu_network(inputs, outputs, width=64):
    hidden = [layers.Dense(width, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])


def ring_shares(points):
    """The share of the points (count, 2) that are at most 0.3 away from each of the centres: (8,)."""
    return (np.linalg.norm(points[:, None] - CENTRES, axis=-1) <= 0.3).mean(axis=0)


# %%
looks = range(0, 501, 10)
mesh = np.stack(np.meshgrid(*[np.linspace(-3, 3, 41)] * 2), axis=-1)


def ring_game():
    """Play on the ring from a new start: for each look, 1000 samples (1000, 2) and D's landscape (41, 41)."""
    g, d, film = relu_network(4, 2), relu_network(2, 1), {}
    noise = noise_for(g, 1000, rng)

    def shoot(turn):
        film[turn] = predict(g, noise), judged(d, mesh.reshape(-1, 2)).reshape(41, 41)

    players = (
        compiled(DiscriminatorPlayer(d, g), 1e-3),
        compiled(GeneratorPlayer(g, d, non_saturating), 1e-3),
    )
    play(*players, draw_ring, looks[-1], rng, batch=128, d_turns=5, look=shoot, looks=looks)
    return film


ring_films = [ring_game() for _ in range(3)]
covered = np.array([[np.sum(ring_shares(film[turn][0]) >= 0.02) for turn in looks] for film in ring_films])
settled = covered[:, len(looks) // 2 :]

# %%
figure, axes = plt.subplots(2, 5, figsize=(9, 4.2), sharex=True, sharey=True)
for axis, n in zip(axes.flat, (0, 1, 2, 4, 7, 12, 20, 30, 40, 50)):
    points, landscape = ring_films[0][looks[n]]
    axis.imshow(landscape, extent=(-3, 3, -3, 3), origin="lower", vmin=0, vmax=1, interpolation="bilinear")
    axis.plot(*CENTRES.T, "o", mfc="none", mec=REAL, ms=9, mew=1.5)
    axis.plot(*points[:400].T, ".", color=plots.COLOURS[4], ms=2.5)
    axis.set(title=f"round {looks[n]}: {covered[0, n]}", xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
figure.tight_layout(pad=0.5)
plt.show()
for number, modes in enumerate(covered, start=1):
    print(f"game {number}, modes covered, every 50 rounds:", *modes[::5])

# %% [markdown]
# *Figure 17.6. The first of three games on the ring: real modes (orange circles), samples (blue dots) and $D$'s
# landscape (black 0, white 1); both axes run from $-3$ to $3$. The number after the colon says how many of the eight
# modes are covered.*

# %%
claim(
    "17.5",
    "the plain GAN loses modes: in most of three games fewer than eight are covered for most of the second half",
    np.sum((settled < 8).mean(axis=1) > 0.5) >= 2,
)

# %% [markdown]
# Look at the last frames. The white spots are modes without samples; $D$ knows them well. Why does $G$ not go there?
# Its loss asks of each sample, by itself, whether it convinces $D$, and moves it up the slope where it stands. The
# white spots have slopes, but short ones, and no sample stands there; the land around is flat. Nothing in the loss
# says that eight samples on eight modes are better than eight on four. It is (17.5) that says so, and it speaks of the
# best $D$ at every moment, of a $G$ that can make any $q$, and of all of $q$ at once. This is **mode collapse**, and
# it is the reason for chapter 18.
#
# **Try it.** Play 2,000 rounds with one turn of $D$ instead of five. Does that save the modes?
#
# ## DCGAN: the digits
#
# Earlier attempts at larger GANs of convolutional layers had failed, write Radford, Metz and Chintala (2016), and give
# guidelines under which they train: strided convolutions instead of pooling, transposed ones in $G$; batch
# normalisation in both, except at $G$'s output and $D$'s input; ReLU in $G$ with tanh at its end, LeakyReLU (slope
# 0.2) in $D$; no dense layers in between; weights from $\mathcal N(0, 0.02^2)$; Adam with $\beta_1 = 0.5$ (and a
# learning rate of 0.0002; the quick run is so short that it gets ten times that). Here they are for 28 × 28 pixels, in
# small.


# %%
def around_zero():
    return keras.initializers.RandomNormal(0.0, 0.02, seed=int(rng.integers(2**31)))


def dcgan_generator(channels=16, numbers=64):
    """Noise (batch, numbers) -> pictures (batch, 28, 28, 1) from -1 to 1, by way of 7 x 7 and 14 x 14."""
    up = {"kernel_size": 4, "strides": 2, "padding": "same"}
    return keras.Sequential(
        [
            keras.Input((numbers,)),
            layers.Dense(7 * 7 * 2 * channels, use_bias=False, kernel_initializer=around_zero()),
            layers.Reshape((7, 7, 2 * channels)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(channels, **up, use_bias=False, kernel_initializer=around_zero()),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(1, **up, activation="tanh", kernel_initializer=around_zero()),
        ]
    )


def dcgan_discriminator(channels=16):
    """Pictures (batch, 28, 28, 1) -> logits (batch, 1)."""
    down = {"kernel_size": 4, "strides": 2, "padding": "same"}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(channels, **down, kernel_initializer=around_zero()),
            layers.LeakyReLU(0.2),
            layers.Conv2D(2 * channels, **down, use_bias=False, kernel_initializer=around_zero()),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, kernel_initializer=around_zero()),
        ]
    )


# %% [markdown]
# How good are its pictures? You can look at ten of them, and be deceived: by ten, by your kindness, and by a generator
# that copies. So measure three things, all of them over the training.
#
# **Quality and variety together.** Train a classifier on the digits and take the 32 numbers of its last hidden layer as
# **features** of a picture: they say what kind of strokes it has, and little of where each pixel lies. Describe all
# features of a set of pictures by their mean $\mu$ and covariance $\Sigma$, as if they were normally distributed, and
# measure how far the two normal distributions, real and made-up, are apart. The **Fréchet distance** is the least
# mean squared distance over which the one must be moved to become the other (Dowson & Landau, 1982):
#
# $$ d^2 = \|\mu_1 - \mu_2\|^2
#    + \operatorname{tr}\Bigl(\Sigma_1 + \Sigma_2 - 2 \bigl(\Sigma_1 \Sigma_2\bigr)^{1/2}\Bigr) \tag{17.9} $$
#
# In one dimension this is $(\mu_1 - \mu_2)^2 + (\sigma_1 - \sigma_2)^2$: too little variety counts as well as a wrong
# mean. With the features of the Inception network it is the *FID* of the literature (Heusel et al., 2017); ours come
# from another network, and the numbers cannot be compared. (The literature calls $d^2$ the distance, and so do we.) Its
# estimate gets smaller with more pictures (Chong & Forsyth, 2020), so compare only sets of one size: here, as many
# made-up pictures as test digits. The eigenvalues of $\Sigma_1 \Sigma_2$ are those of the symmetric $S \Sigma_2 S$ with
# $S = \Sigma_1^{1/2}$, which are safer to take roots of.


# %%
def moments(features):
    """Mean (k,) and covariance (k, k) of features (count, k) of at least two pictures."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"a covariance needs features (count, k) with a count of 2 or more, not {features.shape}")
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(mean_1, covariance_1, mean_2, covariance_2):
    """d^2 (17.9) for two normal distributions, given by their means (k,) and covariances (k, k)."""
    if np.shape(mean_1) != np.shape(mean_2):
        sizes = f"{len(mean_1)} and {len(mean_2)}"
        raise ValueError(f"along axis 0 the means have sizes {sizes}: not the same features")
    for covariance in (covariance_1, covariance_2):
        if np.shape(covariance) != 2 * np.shape(mean_1):
            raise ValueError(f"covariance {np.shape(covariance)}, where the means need {2 * np.shape(mean_1)}")
    values, vectors = np.linalg.eigh(covariance_1)
    S = vectors * np.sqrt(values.clip(0)) @ vectors.T
    roots = np.sqrt(np.linalg.eigvalsh(S @ covariance_2 @ S).clip(0))
    spread = np.trace(covariance_1) + np.trace(covariance_2) - 2 * roots.sum()
    return np.square(mean_1 - mean_2).sum() + spread  # (17.9)


def scipy_frechet(mean_1, covariance_1, mean_2, covariance_2):
    root = linalg.sqrtm(covariance_1 @ covariance_2).real
    return np.sum((mean_1 - mean_2) ** 2) + np.trace(covariance_1 + covariance_2 - 2 * root)


def two_normals(count):
    for _ in range(count):
        k = int(rng.integers(2, 9))
        first, second = (rng.normal(size=(3 * k, k)) @ rng.normal(size=(k, k)) for _ in range(2))
        yield *moments(first), *moments(second + rng.normal(size=k))


# %%
prove("17.9", frechet_distance, scipy_frechet, cases=two_normals(100), rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Variety alone.** Let the classifier read the pictures, and call a digit *covered* if at least 1 % of all pictures
# are read as that digit with a confidence of 0.9 or more.
#
# **Copies.** For each made-up picture find the nearest training digit, pixel by pixel. A generator that has learned
# the training set by heart would be near at 0. But how near is too near? Ask the *test* digits, which are new
# for certain: their distances to the nearest training digit are what honest pictures have.

# %%
reader = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 5, strides=2, activation="relu"),
        layers.Conv2D(32, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3, seed=seed()),
        layers.Dense(32, activation="relu"),
        layers.Dense(10),
    ]
)
reader.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
chosen = rng.integers(len(images), size=64 * budget(quick=500, full=5000, least=10))
reader.fit(images[chosen], labels[chosen], batch_size=64, verbose=0)
features = keras.Model(reader.inputs[0], reader.layers[-2].output)
read = predict(reader, tests).argmax(axis=1)
real_moments = moments(predict(features, images))
floor = frechet_distance(*moments(predict(features, tests)), *real_moments)
own = nearest_pictures(tests, images)[1]
print(
    f"of the test digits the classifier reads {(read == test_labels).mean():.1%} right; "
    f"their Fréchet distance: {floor:.2f}"
)


# %%
def digit_shares(pictures):
    """The share of the pictures that are read as each digit with a confidence of at least 0.9: (10,)."""
    p = ops.convert_to_numpy(ops.softmax(predict(reader, pictures)))
    return np.bincount(p.argmax(axis=1)[p.max(axis=1) >= 0.9], minlength=10) / len(pictures)


def draw_digits(count):
    return images[rng.integers(len(images), size=count)]


channels = budget(quick=16, full=64)
gan_g, gan_d = dcgan_generator(channels), dcgan_discriminator(channels)
rounds, rate = budget(quick=1200, full=12_000, least=40), budget(quick=2e-3, full=2e-4)
looks = [int(rounds * share) for share in (0, 0.03, 0.06, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1)]
fixed, album, measured = noise_for(gan_g, len(tests), rng), {}, []


def look_at_digits(turn):
    pictures = predict(gan_g, fixed)
    album[turn] = pictures[:12]
    distance_to_real = frechet_distance(*moments(predict(features, pictures)), *real_moments)
    near = nearest_pictures(pictures[:500], images)[1]
    measured.append((distance_to_real, (digit_shares(pictures) >= 0.01).sum(), *np.quantile(near, [0.01, 0.5])))


players = (
    compiled(DiscriminatorPlayer(gan_d, gan_g), rate),
    compiled(GeneratorPlayer(gan_g, gan_d, non_saturating), rate),
)
losses = play(*players, draw_digits, rounds, rng, look=look_at_digits, looks=looks)
frechet, digits, nearest_1, nearest_50 = np.array(measured).T
print(f"Fréchet distance {frechet[0]:.0f} at first, {frechet[-1]:.1f} in the end; {digits[-1]:.0f} digits covered")
made_digits = predict(gan_g, fixed)
_, to_training = nearest_pictures(made_digits, images)
copied = (to_training < np.quantile(own, 0.01)).mean()
print(f"nearer to a training digit than 99 % of the test digits are: {copied:.1%} of the made-up ones")

# %%
draw_rows(
    {f"round {turn}": album[turn] for turn in [looks[n] for n in (0, 1, 2, 4, 6, 9)]} | {"real digits": images[:12]}
)

# %% [markdown]
# *Figure 17.7. The same twelve draws of noise, as pictures by the generator at six moments of its training, and twelve
# real digits. None was picked.*

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 2.7))
axes[0].plot(looks, frechet, "-o", ms=4, color=MADE)
axes[0].axhline(floor, color="black", ls="--", lw=1)
axes[0].text(rounds, floor * 1.15, "test digits", ha="right")
axes[0].set(yscale="log", ylabel="Fréchet distance, squared")
axes[1].step(looks, digits, "-o", where="post", ms=4, color=MADE)
axes[1].set(ylabel="digits covered", ylim=(0, 10.5), yticks=[0, 5, 10])
axes[2].plot(looks, nearest_50, "-o", ms=4, color=MADE, label="median")
axes[2].plot(looks, nearest_1, "--s", ms=4, color=plots.COLOURS[4], label="nearest 1 %")
typical, closest = np.quantile(own, [0.5, 0.01])
for level, name, va in ((typical, "test digits, median", "bottom"), (closest, "test digits, nearest 1 %", "top")):
    axes[2].axhline(level, color="black", ls=":", lw=1)
    axes[2].text(rounds, level, name, ha="right", va=va, fontsize=7)
axes[2].set(ylabel="distance to training digit", ylim=(0, None))
axes[2].legend(fontsize=8)
smooth = losses[: len(losses) // 20 * 20].reshape(-1, 20, 2).mean(axis=1)
for values, name, style in zip(smooth.T, ("$D$", "$G$"), ("-", "--")):
    axes[3].plot(np.arange(len(smooth)) * 20 + 10, values, style, label=name)
axes[3].set(ylabel="loss", ylim=(0, None))
axes[3].legend(fontsize=8)
for axis in axes:
    axis.set_xlabel("round")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.8. Four looks at the same training: Fréchet distance (dashed: that of the test digits), digits covered,
# distance to the nearest training digit (dotted: the same two quantiles for test digits), and the two losses.*
#
# Read the last panel first, as everybody does, and see how little it says: once the start is over neither loss falls
# any more, and the pictures still get better. Each is measured against an opponent that gets better too.

# %%
claim(
    "17.6",
    "the Fréchet distance to the digits falls at least fivefold from the first pictures",
    frechet[-1] < frechet[0] / 5,
)

# %%
claim(
    "17.7",
    "in the end at least eight of the ten digits appear: each with confidence 0.9 in at least 1 % of the pictures",
    digits[-1] >= 8,
)

# %%
claim(
    "17.8",
    "it does not copy: under 5 % of its pictures are nearer to a training digit than 99 % of the test digits are",
    copied < 0.05,
)

# %% [markdown]
# Mostly all ten digits appear; now and then one is missing in the end, as modes of the ring were. Few copies is what
# you hope for; see for yourself what the nearest looks like.

# %%
p = ops.convert_to_numpy(ops.softmax(predict(reader, made_digits)))
order = p.max(axis=1).argsort()
groups = {"closest to a copy": to_training.argsort()[:12], "least readable": order[:12]}
rows = {}
for name, group in groups.items():
    rows[name] = made_digits[group]
    chosen, _ = nearest_pictures(made_digits[group], images)
    rows[f"nearest{' ' * len(rows)}\ntraining digit"] = images[chosen]
draw_rows(rows)

# %% [markdown]
# *Figure 17.9. First row: of all made-up digits those that lie nearest to a training digit, with that digit below.
# Third row: the failures, those that the classifier is least sure about, again with the nearest training digit.*
#
# The nearest are thin strokes, ones above all: a stroke has little room to be new. Nor does the check see everything.
# A copy that is moved by two pixels is far off, pixel by pixel; better checks search in $G$ itself for the noise that
# draws a given training picture (Webster et al., 2019). The third row shows what the mean hides: strokes that belong
# to no digit, or to two. $G$ maps a connected cloud of noise to ten kinds of digits, so between the kinds there must
# be something.
#
# That is also the pleasant side. Walk from one $z$ to another, and every picture on the way is a try at a digit.

# %%
clearest = {digit: fixed[p[:, digit].argmax()] for digit in range(10)}
draw_rows(
    {
        f"from {a} to {b}": predict(gan_g, np.linspace(clearest[a], clearest[b], 12).astype("float32"))
        for a, b in ((1, 7), (7, 9), (9, 0))
    }
)

# %% [markdown]
# *Figure 17.10. Straight walks through the noise, from the draw whose picture the classifier reads most surely as the
# one digit to that of the other.*
#
# Compare with the walks of chapter 16: half-way between two digits you see strokes that move, break and join, and less
# of the softness of a mean. What you have given up is the way back. The GAN has no encoder, no code for a given digit,
# no $\log p(x)$ and not even a bound.
#
# ## Debug it
#
# Four loops of a kind that you will meet on the web, beside one that is right. Each has two small dense networks and is
# to learn to draw zeros, which is soon done. Keras accepts them all. A good doctor looks at the patient first, so pass
# over the next two cells for now, and look at the symptoms below them: what each generator draws after the same number
# of rounds, the last losses, and by how much the weights of $G$ have moved. Then come back and find the fault.


# %%
class EndOfA(layers.Layer):
    def call(self, pictures):
        return ops.sign(pictures)  # every pixel is -1 or 1


class DiscriminatorOfC(DiscriminatorPlayer):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        d_real, d_fake = (ops.sigmoid(logits) for logits in y_pred)
        return ops.mean(ops.log(d_real)) + ops.mean(ops.log(1 - d_fake))


class GeneratorOfD(GeneratorPlayer):
    @property
    def trainable_variables(self):
        return self.opponent.trainable_variables

    @property
    def trainable_weights(self):
        return self.opponent.trainable_weights


def pocket_generator(end="tanh", *more):
    hidden = [layers.Dense(128), layers.LeakyReLU(0.2), layers.Dense(784, activation=end)]
    return keras.Sequential([keras.Input((32,)), *hidden, layers.Reshape((28, 28, 1)), *more])


def pocket_discriminator():
    hidden = [layers.Flatten(), layers.Dense(128), layers.LeakyReLU(0.2)]
    return keras.Sequential([keras.Input((28, 28, 1)), *hidden, layers.Dense(1)])


# %%
loops = {
    "right": (pocket_generator(), DiscriminatorPlayer, GeneratorPlayer),
    "loop A": (pocket_generator("tanh", EndOfA()), DiscriminatorPlayer, GeneratorPlayer),
    "loop B": (pocket_generator("softmax"), DiscriminatorPlayer, GeneratorPlayer),
    "loop C": (pocket_generator(), DiscriminatorOfC, GeneratorPlayer),
    "loop D": (pocket_generator(), DiscriminatorPlayer, GeneratorOfD),
}
zeros = images[labels == 0]


def draw_zeros(count):
    return zeros[rng.integers(len(zeros), size=count)]


symptoms, wards, message = {}, {}, ""
for name, (g, d_role, g_role) in loops.items():
    d, before = pocket_discriminator(), g.get_weights()
    players = compiled(d_role(d, g), 2e-3), compiled(g_role(g, d, non_saturating), 2e-3)
    try:
        last = play(*players, draw_zeros, 400, rng)[-1]
    except FloatingPointError as error:
        last, message = (np.nan, np.nan), str(error)
    wards[name] = predict(g, noise_for(g, 12, rng))
    moved = max(np.abs(new - old).max() for old, new in zip(before, g.get_weights()))
    symptoms[name] = moved
    print(f"{name:7} losses of D {last[0]:8.2g}, of G {last[1]:8.2g}; a weight of G moved by {moved:.2g} at most")
draw_rows(wards)
print(textwrap.fill(message, 92))

# %% [markdown]
# *Figure 17.11. Twelve pictures from each generator after the same number of rounds (loop C: when it stopped).*
#
# Take a guess at each, then find it in the code, before you read on.
#
# **A: pictures made black and white before $D$ sees them.** It looks harmless; digits *are* black and white. But
# thresholding is flat wherever it is not a jump, its derivative is 0, and $G$ gets no gradient at all: none of its
# weights moves. (Chapter 16 met the same wall with its codebook.) Hand $D$ what $G$ puts out; round for the eye only.
#
# **B: a softmax at the end of $G$.** Softmax makes 784 numbers that sum to 1. No pixel can be black, which is $-1$, and
# a white one uses up all there is. Pixels are not classes: take tanh, and data from $-1$ to $1$.
#
# **C: the sign of $D$'s loss.** $V$ itself is handed to an optimiser, which lowers it: $D$ learns to be wrong. Its loss
# is below 0 from the first step, which no cross-entropy ever is, and has no lower end, so the logits run off until a
# logarithm of 0 stops the run with a sentence on what to try.
#
# **D: the gradient of the wrong player.** In $G$'s turn the weights of $D$ are trained: $D$ is told to believe in one
# turn and to doubt in the next. The losses look like a game, even as if $G$ were winning, and $G$ has not moved at all.
# Always check that $G$'s weights move in $G$'s turn, and no others.

# %%
claim(
    "17.9",
    "A and D leave the generator as it was, to the last bit; B has no dark pixel; C runs away until it is stopped",
    symptoms["loop A"] == symptoms["loop D"] == 0 < symptoms["right"] and wards["loop B"].min() >= 0 and message != "",
)

# %% [markdown]
# ## This run

# %%
record(
    frechet_distance=frechet[-1],
    frechet_distance_of_test_digits=floor,
    digits_covered=digits[-1],
    ring_modes_covered=settled.mean(),
)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. Plain NumPy is enough but for exercises 17.3 and 17.7,
# which need Keras. The functions of the lesson are yours to use.
#
# **Exercise 17.1 ★** The discriminator's loss in NumPy, with a trick that came soon after the first GANs: ask it for a
# little less certainty about real pictures (one-sided label smoothing; Salimans et al., 2016). Logits may be large.


# %%
# Exercise 17.1
def smoothed_loss(real, fake, target):
    """The discriminator's loss, with `target` instead of 1 as the label of real pictures.

    real (n,), fake (m,): arrays of logits, anywhere between -10,000 and 10,000; n and m may
    differ. target: the label of real pictures, above 0 and at most 1; that of made-up ones
    stays 0.
    Returns a number: the mean cross-entropy over the real pictures plus that over the made-up
    ones, where label t and probability D have the cross-entropy -t log D - (1 - t) log(1 - D).
    Raises ValueError for a target outside of (0, 1].
    Example: smoothed_loss(np.zeros(2), np.zeros(5), 0.9) is log 4, 1.3863.
    """
    ### BEGIN SOLUTION
    if not 0 < target <= 1:
        raise ValueError(f"the target is {target}; it must be above 0 and at most 1")
    of_real = target * np.logaddexp(0, -real) + (1 - target) * np.logaddexp(0, real)
    return of_real.mean() + np.logaddexp(0, fake).mean()
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("17.1")


@ex.cases
def _(rng):
    yield np.zeros(2), np.zeros(5), 0.9
    yield np.array([5000.0, -20.0]), np.array([-5000.0, 3000.0, 1.0]), 0.9
    yield np.array([900.0, 1.0]), np.array([800.0, -900.0]), 0.8
    for n in range(18):
        target = 1.0 if n % 3 == 0 else float(rng.uniform(0.6, 0.95))
        yield 3 * rng.normal(size=rng.integers(2, 6)), 3 * rng.normal(size=rng.integers(6, 9)), target
    yield rng.normal(size=3), rng.normal(size=3), 1.2
    yield rng.normal(size=3), rng.normal(size=3), 0.0


@ex.oracle
def _(real, fake, target):
    # Number by number, with the larger part of each logit taken out by hand.
    if not 0 < target <= 1:
        raise ValueError("no label")

    def minus_log_of_sigmoid(a):
        return math.log1p(math.exp(-a)) if a >= 0 else -a + math.log1p(math.exp(a))

    total = 0.0
    for a in real.tolist():
        total += (target * minus_log_of_sigmoid(a) + (1 - target) * minus_log_of_sigmoid(-a)) / len(real)
    return total + sum(minus_log_of_sigmoid(-a) for a in fake.tolist()) / len(fake)


def _sp(a):
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


def _refuse(target):
    if not 0 < target <= 1:
        raise ValueError


_CUT = np.log(1e7)  # the logit of a probability that is clipped 1e-7 below 1


def _real(real, target):
    return target * _sp(-real) + (1 - target) * _sp(real)


@ex.wrong
def naive(real, fake, target):
    """Right for moderate logits. For large ones the exponential overflows or the logarithm meets a 0: compute
    log(1 + exp(a)) in a form that cannot."""
    _refuse(target)
    with np.errstate(all="ignore"):
        d_real, d_fake = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
        of_real = target * np.log(d_real) + (1 - target) * np.log(1 - d_real)
        return -of_real.mean() - np.log(1 - d_fake).mean()


@ex.wrong
def wrong_sign(real, fake, target):
    """This is the value of the game, which the discriminator raises. A loss is lowered, so it has the other sign."""
    _refuse(target)
    return -_real(real, target).mean() - _sp(fake).mean()


@ex.wrong
def labels_exchanged(real, fake, target):
    """You reward the discriminator for calling real pictures made-up, and made-up ones real."""
    _refuse(target)
    return _real(-real, target).mean() + _sp(-fake).mean()


@ex.wrong
def not_smoothed(real, fake, target):
    """Right where the target is 1. Elsewhere the second part of the cross-entropy of real pictures is missing."""
    _refuse(target)
    return target * _sp(-real).mean() + _sp(fake).mean()


@ex.wrong
def target_ignored(real, fake, target):
    """Right where the target is 1. Elsewhere you go on as if it were."""
    _refuse(target)
    return _sp(-real).mean() + _sp(fake).mean()


@ex.wrong
def both_smoothed(real, fake, target):
    """The made-up pictures have been smoothed too. The smoothing is one-sided: their label stays 0."""
    _refuse(target)
    return _real(real, target).mean() + _real(-fake, target).mean()


@ex.wrong
def one_mean(real, fake, target):
    """You took one mean over all pictures. Each of the two parts is a mean of its own, and they are added."""
    _refuse(target)
    return np.concatenate([_real(real, target), _sp(fake)]).mean()


@ex.wrong
def accepts_anything(real, fake, target):
    """Right for a valid target. For others, a ValueError is asked for."""
    return _real(real, target).mean() + _sp(fake).mean()


@ex.wrong
def sums(real, fake, target):
    """You added up over the pictures. Each of the two parts is a mean over its own batch."""
    _refuse(target)
    return _real(real, target).sum() + _sp(fake).sum()


@ex.wrong
def halved(real, fake, target):
    """The two means are added; you have half of their sum, or their mean."""
    _refuse(target)
    return (_real(real, target).mean() + _sp(fake).mean()) / 2


@ex.wrong
def one_loss_a_picture(real, fake, target):
    """The mean over the real pictures is missing: you return an array with one loss for each of them."""
    _refuse(target)
    return _real(real, target) + _sp(fake).mean()


@ex.wrong
def refuses_one(real, fake, target):
    """You refuse a target of 1, which is allowed: it is the loss without smoothing."""
    if not 0 < target < 1:
        raise ValueError
    return _real(real, target).mean() + _sp(fake).mean()


@ex.wrong
def clipped(real, fake, target):
    """Right for moderate logits. Clipping the probability keeps the logarithm finite, but makes it wrong for large
    logits: take log(1 + exp(a)) of the logit in a form that neither overflows nor is cut off."""
    _refuse(target)
    return _real(real.clip(-_CUT, _CUT), target).mean() + _sp(fake.clip(-_CUT, _CUT)).mean()


@ex.right
def by_the_logit_itself(real, fake, target):
    if target <= 0 or target > 1:
        raise ValueError("no such label")
    return np.mean(np.logaddexp(real, 0) - target * real) + np.mean(np.logaddexp(fake, 0))


# %%
check("17.1", smoothed_loss)

# %% [markdown]
# **Exercise 17.2 ★★** Both losses of the generator for a batch, and how each single logit moves them.


# %%
# Exercise 17.2
def generator_pulls(logits):
    """The generator's two losses for a batch, each with its gradient with respect to the logits.

    logits (n,): array of floats between -10,000 and 10,000, the discriminator's for n made-up
    pictures. The losses are means over the batch.
    Returns a dict with the keys "saturating" and "non-saturating"; each value is a tuple: the
    loss, a number, and its gradient, an array (n,).
    Example: for logits [0, 0] both losses have the gradient [-0.25, -0.25]; the losses are
    -log 2 and log 2.
    """
    ### BEGIN SOLUTION
    n = len(logits)
    small = np.exp(-np.abs(logits))  # never overflows
    d = np.where(logits >= 0, 1, small) / (1 + small)
    one_minus_d = np.where(logits >= 0, small, 1) / (1 + small)
    return {
        "saturating": (-np.logaddexp(0, logits).mean(), -d / n),
        "non-saturating": (np.logaddexp(0, -logits).mean(), -one_minus_d / n),
    }
    ### END SOLUTION


# %% tags=["grading"]
from decimal import Decimal, localcontext

from course.exercises import exercise

import numpy as np

ex = exercise("17.2", atol=1e-9)


@ex.cases
def _(rng):
    yield np.zeros(2)
    yield np.array([2000.0, -3000.0, 0.5])
    yield np.array([-1000.0, 800.0, 1000.0, 2.0])
    for _ in range(18):
        yield 3 * rng.normal(size=rng.integers(3, 9))


@ex.oracle
def _(logits):
    # Differences of the losses, one logit at a time, with sixty digits.
    with localcontext() as context:
        context.prec, step = 60, Decimal("1e-20")
        wide = [Decimal(a) for a in logits.tolist()]

        def softplus(a):
            return max(a, Decimal(0)) + (1 + (-abs(a)).exp()).ln()

        def by_differences(loss):
            slope = [(loss(a + step) - loss(a - step)) / (2 * step) / len(wide) for a in wide]
            return float(sum(map(loss, wide)) / len(wide)), np.array(slope, float)

        return {
            "saturating": by_differences(lambda a: -softplus(a)),
            "non-saturating": by_differences(lambda a: softplus(-a)),
        }


def _both(logits, sat=1.0, ns=1.0):
    """The right answer, with factors at the two gradients."""
    small = np.exp(-np.abs(logits))
    d = np.where(logits >= 0, 1, small) / (1 + small)
    rest = np.where(logits >= 0, small, 1) / (1 + small)
    n = len(logits)
    return {
        "saturating": (-np.logaddexp(0, logits).mean(), -sat * d / n),
        "non-saturating": (np.logaddexp(0, -logits).mean(), -ns * rest / n),
    }


@ex.wrong
def mean_forgotten(logits):
    """The losses are right. They are means over the batch, and a single logit moves a mean by less."""
    return _both(logits, len(logits), len(logits))


@ex.wrong
def uphill(logits):
    """The losses are right, and both gradients have the wrong sign. A larger logit means a more convincing picture, so
    it makes either loss smaller."""
    return _both(logits, -1, -1)


@ex.wrong
def exchanged(logits):
    """The losses are right, and the gradients have been exchanged. Which of them fades where the discriminator is
    sure?"""
    right = _both(logits)
    (a, by_a), (b, by_b) = right["saturating"], right["non-saturating"]
    return {"saturating": (a, by_b), "non-saturating": (b, by_a)}


@ex.wrong
def names_exchanged(logits):
    """Everything is there, under the wrong names: the saturating loss is the one that the value of the game
    contains."""
    right = _both(logits)
    return {"saturating": right["non-saturating"], "non-saturating": right["saturating"]}


@ex.wrong
def naive(logits):
    """Right for moderate logits. For large ones an exponential overflows, or a logarithm meets a 0."""
    with np.errstate(all="ignore"):
        d, n = 1 / (1 + np.exp(-logits)), len(logits)
        return {
            "saturating": (np.log(1 - d).mean(), -d / n),
            "non-saturating": (-np.log(d).mean(), -(1 - d) / n),
        }


@ex.wrong
def by_probability(logits):
    """The losses are right. The gradients are those by the probability D; asked for are those by the logit, so one more
    factor comes from the chain rule."""
    right, n = _both(logits), len(logits)
    with np.errstate(all="ignore"):
        d = 1 / (1 + np.exp(-logits))
        return {
            "saturating": (right["saturating"][0], -1 / (1 - d) / n),
            "non-saturating": (right["non-saturating"][0], -1 / d / n),
        }


@ex.wrong
def extra_factor(logits):
    """The losses are right, and the chain rule has been applied once too often: the factor D (1 - D) of the sigmoid has
    cancelled a denominator already."""
    small = np.exp(-np.abs(logits))
    d = np.where(logits >= 0, 1, small) / (1 + small)
    return _both(logits, 1 - d, d)


@ex.wrong
def minus_the_value(logits):
    """The non-saturating loss is not minus the saturating one: that would make the generator help the judge."""
    loss, slope = _both(logits)["saturating"]
    return {"saturating": (loss, slope), "non-saturating": (-loss, -slope)}


@ex.wrong
def sums(logits):
    """Losses and gradients are those of the sum over the batch. The losses are means."""
    n = len(logits)
    return {name: (n * loss, n * slope) for name, (loss, slope) in _both(logits).items()}


@ex.wrong
def one_slope(logits):
    """The losses are right. The gradient has one number for each logit; you averaged them into one."""
    return {name: (loss, slope.sum()) for name, (loss, slope) in _both(logits).items()}


@ex.wrong
def loss_of_each(logits):
    """You return the loss of each picture; the loss of a batch is their mean, one number."""
    right = _both(logits)
    return {
        "saturating": (-np.logaddexp(0, logits), right["saturating"][1]),
        "non-saturating": (np.logaddexp(0, -logits), right["non-saturating"][1]),
    }


@ex.wrong
def saturating_sign(logits):
    """The non-saturating half is right. The saturating loss is log(1 - D), never above 0; yours is minus that, which is
    the discriminator's loss of made-up pictures."""
    right = _both(logits)
    loss, slope = right["saturating"]
    return {**right, "saturating": (-loss, -slope)}


@ex.wrong
def clipped(logits):
    """Right for moderate logits. Clipping the probability keeps the logarithm finite, but makes it wrong for large
    logits."""
    cut = np.log(1e7)
    return _both(logits.clip(-cut, cut))


@ex.right
def by_logarithms(logits):
    n, positive = len(logits), np.mean(np.logaddexp(logits, 0))
    d, rest = np.exp(-np.logaddexp(0, -logits)), np.exp(-np.logaddexp(0, logits))
    return {"saturating": (-positive, -d / n), "non-saturating": (positive - np.mean(logits), -rest / n)}


# %%
check("17.2", generator_pulls)

# %% [markdown]
# **Exercise 17.3 ★★★** A generator by the DCGAN guidelines for any table of shapes. The check counts its weights in
# their order, sets them to numbers of its own, and looks at the pictures that come out.


# %%
# Exercise 17.3
def generator_from_table(numbers, table):
    """A DCGAN generator as a keras.Sequential model.

    numbers: how many random numbers it takes. table: list of two or more (height, width,
    channels). The first entry is the shape that a dense layer's outputs are given; each further
    one has twice the height and width, and is made by a transposed convolution with a kernel of
    4 x 4, stride 2 and padding "same". After the dense layer (given its shape) and after each
    convolution but the last: batch normalisation, then ReLU, and no bias in the layer before,
    as the normalisation takes it away. After the last one, which has a bias: tanh.
    Returns a model from (batch, numbers) to (batch, *table[-1]).
    Raises ValueError where an entry has not twice the height and width of the one before.
    Example: generator_from_table(10, [(2, 2, 8), (4, 4, 4), (8, 8, 1)]) has 921 weights that
    are trained and 24 that are not.
    """
    ### BEGIN SOLUTION
    for (height, width, _), (new_height, new_width, _) in zip(table, table[1:]):
        if (new_height, new_width) != (2 * height, 2 * width):
            raise ValueError(f"{height} x {width} becomes {2 * height} x {2 * width}, not {new_height} x {new_width}")
    stack = [keras.Input((numbers,)), layers.Dense(int(np.prod(table[0])), use_bias=False), layers.Reshape(table[0])]
    for *_, channels in table[1:-1]:
        stack += [layers.BatchNormalization(), layers.ReLU()]
        stack.append(layers.Conv2DTranspose(channels, 4, 2, "same", use_bias=False))
    stack += [layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*stack, layers.Conv2DTranspose(table[-1][-1], 4, 2, "same", activation="tanh")])
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np
from keras import layers

ex = exercise("17.3", rtol=1e-3, atol=1e-4)


def _numbers(n, shape):
    """The n-th array of weights: positive, so that it may be a variance too, and of mean 0.02."""
    return np.random.default_rng(n).uniform(0.0, 0.04, shape) * (1 + 40 * (len(shape) == 1))


def _signs(shape):
    return (-1.0) ** np.indices(shape).sum(axis=0) if len(shape) > 1 else 1.0


@ex.cases
def _(rng):
    yield 10, [[2, 2, 8], [4, 4, 4], [8, 8, 1]], rng.normal(size=(2, 10))
    yield 3, [[2, 2, 2], [4, 4, 1]], rng.normal(size=(2, 3))
    for n in range(3):
        (height, width), numbers = rng.integers(1, 4, 2), int(rng.integers(2, 6))
        stages = range(2 + n // 2)
        table = [[int(height) * 2**i, int(width) * 2**i, int(rng.integers(2, 5))] for i in stages]
        yield numbers, table, rng.normal(size=(2, numbers))
    yield 3, [[2, 2, 2], [4, 5, 1]], rng.normal(size=(2, 3))
    yield 3, [[2, 2, 2], [5, 4, 1]], rng.normal(size=(2, 3))
    yield 3, [[2, 2, 2], [2, 2, 1]], rng.normal(size=(2, 3))
    yield 3, [[2, 2, 2], [6, 6, 1]], rng.normal(size=(2, 3))
    yield 3, [[1, 3, 2], [2, 5, 1]], rng.normal(size=(2, 3))
    yield 3, [[3, 1, 2], [5, 2, 1]], rng.normal(size=(2, 3))


ex.shown_as("generator_from_table(numbers, [tuple(entry) for entry in table]).summary()")


@ex.drive
def _(answer, numbers, table, z):
    model = answer(numbers, [tuple(entry) for entry in table])
    if model is None:
        return None
    shapes = [tuple(int(n) for n in weight.shape) for weight in model.weights]
    for n, weight in enumerate(model.weights):
        weight.assign((_numbers(n, weight.shape) * _signs(weight.shape)).astype("float32"))
    pictures = keras.ops.convert_to_numpy(model(z.astype("float32"), training=False))
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return {"weights": shapes, "trained": trained, "pictures": pictures}


@ex.oracle
def _(numbers, table, z):
    # Every layer by hand; a transposed convolution as stamps, of which one row and column come off at each edge.
    for (height, width, _), (new_height, new_width, _) in zip(table, table[1:]):
        if (new_height, new_width) != (2 * height, 2 * width):
            raise ValueError("not twice the size")
    shapes, trained = [], 0

    def weight(*shape):
        nonlocal trained
        shapes.append(shape)
        trained += int(np.prod(shape))
        return _numbers(len(shapes) - 1, shape) * _signs(shape)

    def normalised(x):
        nonlocal trained
        gamma, beta, mean, variance = (weight(x.shape[-1]) for _ in range(4))
        trained -= 2 * x.shape[-1]
        return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, 0)

    x = (z @ weight(numbers, int(np.prod(table[0])))).reshape(len(z), *table[0])
    for *_, channels in table[1:]:
        x = normalised(x)
        kernel = weight(4, 4, channels, x.shape[-1])
        larger = np.zeros((len(z), 2 * x.shape[1] + 2, 2 * x.shape[2] + 2, channels))
        for u, v in np.ndindex(x.shape[1:3]):
            larger[:, 2 * u : 2 * u + 4, 2 * v : 2 * v + 4] += np.einsum("bm,ijcm->bijc", x[:, u, v], kernel)
        x = larger[:, 1:-1, 1:-1]
    return {
        "weights": [*shapes, (x.shape[-1],)],
        "trained": trained + x.shape[-1],
        "pictures": np.tanh(x + _numbers(len(shapes), (x.shape[-1],))),
    }


def _refuse(table):
    for (height, width, _), (new_height, new_width, _) in zip(table, table[1:]):
        if (new_height, new_width) != (2 * height, 2 * width):
            raise ValueError


def _build(
    numbers,
    table,
    end="tanh",
    bias=False,
    dense_bias=None,
    last_bias=True,
    kernel=4,
    norm=True,
    before=True,
    first=True,
    last=False,
    flat=False,
    check=True,
    relu=layers.ReLU,
):
    if check:
        _refuse(table)

    def pair():
        layers_of_it = [layers.BatchNormalization(), relu()] if norm else [relu()]
        return layers_of_it if before else layers_of_it[::-1]

    shape = [layers.Reshape(table[0])]
    stack = [
        keras.Input((numbers,)),
        layers.Dense(int(np.prod(table[0])), use_bias=bias if dense_bias is None else dense_bias),
    ]
    stack += pair() + shape if flat else shape
    for n, (*_, channels) in enumerate(table[1:]):
        if n or first and not flat:
            stack += pair()
        final = n == len(table) - 2
        settings = {"use_bias": last_bias if final else bias, "activation": end if final and not last else None}
        stack.append(layers.Conv2DTranspose(channels, kernel, 2, "same", **settings))
    if last:
        stack += [layers.BatchNormalization(), layers.Activation(end)]
    return keras.Sequential(stack)


@ex.wrong
def sigmoid_end(numbers, table):
    """The pictures end between 0 and 1, by a sigmoid. The data run from -1 to 1, and so must they."""
    return _build(numbers, table, end="sigmoid")


@ex.wrong
def no_end(numbers, table):
    """The last layer has no activation, so pixels may have any value."""
    return _build(numbers, table, end=None)


@ex.wrong
def softmax_end(numbers, table):
    """A softmax makes probabilities of classes, here across the channels of each pixel. A pixel is no class."""
    return _build(numbers, table, end="softmax")


@ex.wrong
def needless_biases(numbers, table):
    """A bias before a batch normalisation is taken away again with the mean: leave it out there."""
    return _build(numbers, table, bias=True)


@ex.wrong
def leaky(numbers, table):
    """That is the discriminator's activation: LeakyReLU belongs there, and the generator has ReLU."""
    return _build(numbers, table, relu=lambda: layers.LeakyReLU(0.2))


@ex.wrong
def normalised_output(numbers, table):
    """The output has been normalised as well; the guidelines except it, so that the pictures keep their own mean and
    contrast."""
    return _build(numbers, table, last=True)


@ex.wrong
def normalised_output_without_bias(numbers, table):
    """The output has been normalised as well, and has lost its bias to that; the guidelines except it, so that the
    pictures keep their own mean and contrast."""
    return _build(numbers, table, last=True, last_bias=False)


@ex.wrong
def normalised_after(numbers, table):
    """The layers are all there, but the ReLU comes before the normalisation instead of after it."""
    return _build(numbers, table, before=False)


@ex.wrong
def normalised_flat(numbers, table):
    """You normalise the dense layer's outputs before they have a shape: then each single number has its own mean, where
    each channel should have one."""
    return _build(numbers, table, flat=True)


@ex.wrong
def five_by_five(numbers, table):
    """The kernels have another size than 4 x 4, which is a multiple of the stride, so that all pixels get the same
    number of products."""
    return _build(numbers, table, kernel=5)


@ex.wrong
def three_by_three(numbers, table):
    """The kernels are 3 x 3, as is usual elsewhere. With a stride of 2 some pixels then get more products than others;
    asked for is 4 x 4."""
    return _build(numbers, table, kernel=3)


@ex.wrong
def dense_bias(numbers, table):
    """The convolutions are right. The dense layer has a bias, which the batch normalisation behind it takes away
    again."""
    return _build(numbers, table, dense_bias=True)


@ex.wrong
def convolution_biases(numbers, table):
    """The dense layer is right. The convolutions before a batch normalisation have biases, which it takes away."""
    return _build(numbers, table, bias=True, dense_bias=False)


@ex.wrong
def last_without_bias(numbers, table):
    """No normalisation follows the last convolution, so it keeps its bias; yours has none."""
    return _build(numbers, table, last_bias=False)


@ex.wrong
def not_normalised(numbers, table):
    """Batch normalisation is missing: it stands before each ReLU."""
    return _build(numbers, table, norm=False)


@ex.wrong
def dense_as_it_is(numbers, table):
    """The dense layer's output goes straight into the first convolution. It is normalised and passes a ReLU like the
    others."""
    return _build(numbers, table, first=False)


@ex.wrong
def height_only(numbers, table):
    """Right for the heights. Each width, too, must be twice the one before, or a ValueError is asked for."""
    if any(large[0] != 2 * small[0] for small, large in zip(table, table[1:])):
        raise ValueError
    return _build(numbers, table, check=False)


@ex.wrong
def width_only(numbers, table):
    """Right for the widths. Each height, too, must be twice the one before, or a ValueError is asked for."""
    if any(large[1] != 2 * small[1] for small, large in zip(table, table[1:])):
        raise ValueError
    return _build(numbers, table, check=False)


@ex.wrong
def table_unchecked(numbers, table):
    """Right for a table that can be had. Where an entry is not twice as high and wide, a ValueError is asked for."""
    return _build(numbers, table, check=False)


@ex.right
def by_functions(numbers, table):
    for small, large in zip(table, table[1:]):
        if [2 * n for n in small[:2]] != list(large[:2]):
            raise ValueError(f"{large} does not follow {small}")
    noise = x = keras.Input((numbers,))
    x = layers.Dense(table[0][0] * table[0][1] * table[0][2], use_bias=False)(x)
    x = layers.Reshape(table[0])(x)
    for n in range(1, len(table)):
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.Conv2DTranspose(table[n][2], (4, 4), (2, 2), padding="same", use_bias=n == len(table) - 1)(x)
    return keras.Model(noise, layers.Activation("tanh")(x))


# %%
check("17.3", generator_from_table)

# %% [markdown]
# **Exercise 17.4 ★★** Which modes are covered, and how many samples are anywhere near one? (Both are needed: samples
# strewn everywhere cover all modes.)


# %%
# Exercise 17.4
def mode_report(samples, centres, radius, least):
    """Coverage of the modes of a distribution in the plane, or in any number of dimensions.

    samples (n, d), centres (m, d): arrays. A sample belongs to its nearest centre, if that is
    at most `radius` away, and else to none. A mode is covered if at least the share `least` of
    all n samples belongs to it.
    Returns two numbers: how many modes are covered (a whole number), and the share of samples
    that belong to any mode.
    Raises ValueError where samples and centres have different sizes d along axis 1, naming both.
    Example: with samples [[0, 0], [0, 1], [5, 5], [9, 9]], centres [[0, 0], [9, 9], [20, 0]],
    radius 1 and least 0.5 it is (1, 0.75).
    """
    ### BEGIN SOLUTION
    if samples.shape[1] != centres.shape[1]:
        raise ValueError(f"along axis 1 samples have size {samples.shape[1]} and centres {centres.shape[1]}")
    gaps = np.linalg.norm(samples[:, None] - centres, axis=-1)  # (n, m)
    near, inside = gaps.argmin(axis=1), gaps.min(axis=1) <= radius
    counts = np.bincount(near[inside], minlength=len(centres))
    return int(np.sum(counts >= least * len(samples))), inside.mean()
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.spatial import KDTree

ex = exercise("17.4")


@ex.cases
def _(rng):
    yield np.array([[0.0, 0], [0, 1], [5, 5], [9, 9]]), np.array([[0.0, 0], [9, 9], [20, 0]]), 1.0, 0.5
    yield np.array([[0.0, 0], [0, 2], [5, 5], [9, 9]]), np.array([[0.0, 0], [9, 9]]), 2.0, 0.25
    for n in range(22):
        m, d = (int(i) for i in rng.integers((3, 1), (7, 4)))
        centres = np.round(6 * rng.uniform(-1, 1, (m, d)), 1)
        centres[:, 0] = rng.permutation(121)[:m] / 10 - 6  # no two alike
        which = rng.integers(0, m - 1, size=40)  # nobody goes to the last
        spread = [0.5, 1.5][n % 2]
        samples = centres[which] + spread * rng.normal(size=(40, d))
        yield samples, centres, float(rng.uniform(0.6, 2.5)), [0.05, 0.125, 0.25][n % 3]
    yield rng.normal(size=(6, 1)), rng.normal(size=(3, 2)), 1.0, 0.1
    yield rng.normal(size=(6, 3)), rng.normal(size=(2, 1)), 1.0, 0.1


@ex.oracle
def _(samples, centres, radius, least):
    # A tree finds the nearest centre; then counted in whole samples, one by one.
    if np.shape(samples)[1] != np.shape(centres)[1]:
        raise ValueError("not in one space")
    gaps, near = KDTree(centres).query(samples)
    belong = [int(i) for gap, i in zip(gaps, near) if gap <= radius]
    covered = [i for i in range(len(centres)) if belong.count(i) / len(samples) >= least]
    return len(covered), len(belong) / len(samples)


def _gaps(samples, centres):
    return np.linalg.norm(samples[:, None] - centres, axis=-1)


def _report(gaps, radius, least, of=None):
    near, inside = gaps.argmin(axis=1), gaps.min(axis=1) <= radius
    counts = np.bincount(near[inside], minlength=gaps.shape[1])
    return int(np.sum(counts >= least * (len(gaps) if of is None else of))), inside.mean()


@ex.wrong
def count_as_float(samples, centres, radius, least):
    """The numbers are right. The first one counts modes, so it must be a whole number: yours is a float."""
    covered, good = _report(_gaps(samples, centres), radius, least)
    return float(covered), good


@ex.wrong
def dimensions_unchecked(samples, centres, radius, least):
    """Right where samples and centres lie in one space. NumPy stretches an axis of size 1 to fit and says nothing:
    compare the sizes along axis 1 yourself, and raise ValueError where they differ."""
    return _report(_gaps(samples, centres), radius, least)


@ex.wrong
def flags(samples, centres, radius, least):
    """The first number is how many modes are covered; you return one answer for each mode. Count them."""
    gaps = _gaps(samples, centres)
    counts = np.bincount(gaps.argmin(axis=1)[gaps.min(axis=1) <= radius], minlength=len(centres))
    return counts >= least * len(samples), (gaps.min(axis=1) <= radius).mean()


@ex.wrong
def city_blocks(samples, centres, radius, least):
    """You added up absolute differences. Distance is the root of the sum of their squares."""
    return _report(np.abs(samples[:, None] - centres).sum(axis=-1), radius, least)


@ex.wrong
def share_of_the_covered(samples, centres, radius, least):
    """The first number is right. The second counts the samples of every mode, of those too that are not covered."""
    gaps = _gaps(samples, centres)
    shares = np.bincount(gaps.argmin(axis=1)[gaps.min(axis=1) <= radius], minlength=len(centres)) / len(samples)
    return int(np.sum(shares >= least)), shares[shares >= least].sum()


@ex.wrong
def squared_distance(samples, centres, radius, least):
    """You compare squared distances with a radius that is not squared."""
    return _report(_gaps(samples, centres) ** 2, radius, least)


@ex.wrong
def counted_twice(samples, centres, radius, least):
    """A sample that lies within the radius of several centres belongs to the nearest of them only; yours counts for
    each."""
    near = _gaps(samples, centres) <= radius
    return int(np.sum(near.mean(axis=0) >= least)), near.any(axis=1).mean()


@ex.wrong
def no_radius(samples, centres, radius, least):
    """The radius is not used for the modes: samples that are far from every centre belong to none."""
    gaps = _gaps(samples, centres)
    counts = np.bincount(gaps.argmin(axis=1), minlength=len(centres))
    return int(np.sum(counts >= least * len(samples))), (gaps.min(axis=1) <= radius).mean()


@ex.wrong
def any_sample(samples, centres, radius, least):
    """One sample is enough for you to call a mode covered; asked for is at least a given share of all samples."""
    gaps = _gaps(samples, centres)
    inside = gaps.min(axis=1) <= radius
    return len(np.unique(gaps.argmin(axis=1)[inside])), inside.mean()


@ex.wrong
def share_of_the_good(samples, centres, radius, least):
    """The share that a mode needs is one of all samples, not of those alone that belong to some mode."""
    gaps = _gaps(samples, centres)
    return _report(gaps, radius, least, of=np.sum(gaps.min(axis=1) <= radius))


@ex.wrong
def share_of_modes(samples, centres, radius, least):
    """The first number is how many modes are covered, a whole number, not which share of them."""
    covered, good = _report(_gaps(samples, centres), radius, least)
    return covered / len(centres), good


@ex.wrong
def count_of_samples(samples, centres, radius, least):
    """The second number is a share of the samples, not their number."""
    covered, good = _report(_gaps(samples, centres), radius, least)
    return covered, int(round(good * len(samples)))


@ex.wrong
def open_disc(samples, centres, radius, least):
    """A sample whose distance is just the radius belongs to the mode; yours has to be nearer."""
    gaps = _gaps(samples, centres)
    return _report(np.where(gaps == radius, np.inf, gaps), radius, least)


@ex.wrong
def more_than_least(samples, centres, radius, least):
    """A share of just `least` is enough to cover a mode; you ask for more than that."""
    gaps = _gaps(samples, centres)
    return _report(gaps, radius, least, of=len(gaps) * (1 + 1e-9))


@ex.wrong
def strictly_inside(samples, centres, radius, least):
    """Right but at the edges: a sample whose distance is just the radius belongs to the mode, and a share of just
    `least` is enough."""
    gaps = _gaps(samples, centres)
    inside = gaps.min(axis=1) < radius
    counts = np.bincount(gaps.argmin(axis=1)[inside], minlength=len(centres))
    return int(np.sum(counts > least * len(samples))), inside.mean()


@ex.right
def by_one_hot(samples, centres, radius, least):
    squared = ((samples**2).sum(1)[:, None] - 2 * samples @ centres.T + (centres**2).sum(1)).clip(0)
    belongs = (squared == squared.min(axis=1, keepdims=True)) & (np.sqrt(squared) <= radius + 1e-9)
    return int((belongs.mean(axis=0) + 1e-12 >= least).sum()), float(belongs.sum() / len(samples))


# %%
check("17.4", mode_report)

# %% [markdown]
# **Exercise 17.5 ★★** The search for copies, on pictures as they come from a file: bytes. (What is 3 − 5 in bytes?)


# %%
# Exercise 17.5
def nearest_training_pictures(made, training, at_once):
    """For each made-up picture the nearest training picture.

    made (n, height, width), training (m, height, width): arrays of uint8, from 0 to 255.
    at_once: a whole number >= 1; work through the training pictures that many at a time, so
    that there is never an array with n * m * height * width numbers.
    Returns two arrays (n,): the number of the nearest training picture (whole numbers; the
    first one of several equally near), and the Euclidean distance to it, with pixels counted
    from 0 to 1.
    Raises ValueError where the pictures differ in height (axis 1) or width (axis 2), naming the
    axis and the two sizes.
    Example: made = [[[0]], [[255]]], training = [[[51]], [[255]]] and at_once = 1 give
    ([0, 1], [0.2, 0]).
    """
    ### BEGIN SOLUTION
    for axis in (1, 2):
        if made.shape[axis] != training.shape[axis]:
            raise ValueError(f"pictures have sizes {made.shape[axis]} and {training.shape[axis]} along axis {axis}")
    made = made.reshape(len(made), -1) / 255  # floats
    best, nearest = np.full(len(made), np.inf), np.zeros(len(made), int)
    for begin in range(0, len(training), at_once):
        part = training[begin : begin + at_once]
        part = part.reshape(len(part), -1) / 255
        gaps = np.linalg.norm(made[:, None] - part, axis=-1)
        closer = gaps.min(axis=1) < best
        nearest[closer] = begin + gaps.argmin(axis=1)[closer]
        best = np.minimum(best, gaps.min(axis=1))
    return nearest, best
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("17.5", atol=1e-5)


@ex.cases
def _(rng):
    yield np.array([[[0]], [[255]]], np.uint8), np.array([[[51]], [[255]]], np.uint8), 1
    for n in range(20):
        height, width = (int(i) for i in rng.integers(2, 5, 2))
        made = rng.integers(0, 256, (int(rng.integers(2, 7)), height, width), dtype=np.uint8)
        training = rng.integers(0, 256, (int(rng.integers(7, 15)), height, width), dtype=np.uint8)
        training[4] = training[1]
        if n % 2:
            made[0] = training[1]  # a copy, of two equal ones
        else:
            made[0] = 255 - training[5]
        yield made, training, int(rng.integers(1, 6))
    for one, other in (((2, 3), (3, 2)), ((2, 3), (1, 3)), ((2, 1), (2, 3)), ((1, 4), (2, 2))):
        made, training = (rng.integers(0, 256, (4, *shape), dtype=np.uint8) for shape in (one, other))
        yield made, training, 3


@ex.oracle
def _(made, training, at_once):
    # In Python's whole numbers, which know no largest one.
    if [len(made[0]), len(made[0][0])] != [len(training[0]), len(training[0][0])]:
        raise ValueError("pictures of two sizes")
    nearest, distances = [], []
    for picture in made.tolist():
        squared = []
        for other in training.tolist():
            pairs = zip(sum(picture, []), sum(other, []))
            squared.append(sum((a - b) ** 2 for a, b in pairs))
        nearest.append(squared.index(min(squared)))
        distances.append(min(squared) ** 0.5 / 255)
    return np.array(nearest), np.array(distances)


def _flat(pictures):
    return pictures.reshape(len(pictures), -1) / 255


def _all_gaps(made, training):
    return np.linalg.norm(_flat(made)[:, None] - _flat(training), axis=-1)


@ex.wrong
def numbers_as_floats(made, training, at_once):
    """The values are right. The numbers of the pictures must be whole numbers, so that they can be used as indices;
    yours are floats."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1).astype(float), gaps.min(axis=1)


@ex.wrong
def sizes_unchecked(made, training, at_once):
    """Right for pictures of one size. NumPy stretches an axis of size 1 to fit and says nothing: compare height and
    width yourself, and raise ValueError where they differ."""
    gaps = np.sqrt(((made[:, None] / 255 - training / 255) ** 2).sum(axis=(2, 3)))
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def sizes_flattened_away(made, training, at_once):
    """Right for pictures of one size. Flattened pictures have no height and width, so that 2 x 3 passes for 3 x 2:
    compare both before you flatten, and raise ValueError where they differ."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def order_of_results(made, training, at_once):
    """The right arrays in the wrong order: first the numbers of the pictures, then the distances."""
    gaps = _all_gaps(made, training)
    return gaps.min(axis=1), gaps.argmin(axis=1)


@ex.wrong
def counted_from_one(made, training, at_once):
    """The distances are right. The first training picture has the number 0."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1) + 1, gaps.min(axis=1)


@ex.wrong
def number_of_the_part(made, training, at_once):
    """The distances are right. You return the number of the part in which the nearest picture lies, not its own."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1) // at_once, gaps.min(axis=1)


@ex.wrong
def first_part(made, training, at_once):
    """Only the first part of the training pictures is looked at: go on to the others."""
    gaps = _all_gaps(made, training[:at_once])
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def rest_dropped(made, training, at_once):
    """Right where at_once divides the number of training pictures. Elsewhere the last part is shorter, and you leave it
    out."""
    gaps = _all_gaps(made, training[: max(len(training) // at_once, 1) * at_once])
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def minus_one_to_one(made, training, at_once):
    """The nearest are right. The distances count pixels from -1 to 1, as the lesson's do; asked for is from 0 to 1."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1), 2 * gaps.min(axis=1)


@ex.wrong
def by_256(made, training, at_once):
    """The nearest are right. A byte ends at 255, so that is what white is divided by, not 256."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1), gaps.min(axis=1) * 255 / 256


@ex.wrong
def black_or_white(made, training, at_once):
    """A whole-number division by 255 leaves only black and white; use / instead of //."""
    gaps = np.linalg.norm((_flat(made) // 1)[:, None] - _flat(training) // 1, axis=-1)
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def squares_in_bytes(made, training, at_once):
    """You subtract and square in bytes, whose results are bytes again: 3 - 5 is 254, and 16 * 16 is 0. Divide by 255
    first, so that the pixels are floats."""
    squares = (made[:, None] - training) ** 2
    gaps = np.sqrt(squares.reshape(len(made), len(training), -1).sum(axis=-1)) / 255
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def in_sixteen_bits(made, training, at_once):
    """The differences are right, but their squares reach 65,025, more than an int16 holds. Take floats."""
    made, training = (pictures.reshape(len(pictures), -1).astype(np.int16) for pictures in (made, training))
    best, nearest = np.full(len(made), np.inf), np.zeros(len(made), int)
    for begin in range(0, len(training), at_once):
        with np.errstate(invalid="ignore"):
            gaps = np.sqrt(((made[:, None] - training[begin : begin + at_once]) ** 2).sum(axis=-1)) / 255
        closer = gaps.min(axis=1) < best
        nearest[closer], best[closer] = begin + gaps.argmin(axis=1)[closer], gaps.min(axis=1)[closer]
    return nearest, best


@ex.wrong
def in_bytes(made, training, at_once):
    """The difference of two bytes is a byte: 3 - 5 is 254. Make the pictures floats before you subtract."""
    gaps = np.sqrt(((made[:, None] - training) / 255.0) ** 2).reshape(len(made), len(training), -1)
    gaps = np.sqrt((gaps**2).sum(axis=-1))
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def bytes_all_through(made, training, at_once):
    """You subtract bytes, whose differences are bytes again (3 - 5 is 254), and count pixels from 0 to 255. Divide by
    255 first, and both are cured."""
    gaps = np.linalg.norm((made[:, None] - training).reshape(len(made), len(training), -1), axis=-1)
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def squared(made, training, at_once):
    """The nearest are right. The distances are squared; take the root."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1), gaps.min(axis=1) ** 2


@ex.wrong
def in_grey_levels(made, training, at_once):
    """The nearest are right. The distances count pixels from 0 to 255, not from 0 to 1."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1), gaps.min(axis=1) * 255


@ex.wrong
def per_pixel(made, training, at_once):
    """The nearest are right. The distance is the root of the sum over the pixels; you have the root of their mean."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1), gaps.min(axis=1) / np.sqrt(made[0].size)


@ex.wrong
def city_blocks(made, training, at_once):
    """You added up absolute differences. The Euclidean distance squares them, and takes a root at the end."""
    gaps = np.abs(_flat(made)[:, None] - _flat(training)).sum(axis=-1)
    return gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def number_in_the_part(made, training, at_once):
    """The distances are right. The numbers count from the start of each part; add where the part began."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=1) % at_once, gaps.min(axis=1)


@ex.wrong
def last_part(made, training, at_once):
    """Only the last part of the training pictures decides: keep what was best so far."""
    begin = (len(training) - 1) // at_once * at_once
    gaps = _all_gaps(made, training[begin:])
    return begin + gaps.argmin(axis=1), gaps.min(axis=1)


@ex.wrong
def other_way_round(made, training, at_once):
    """You found the nearest made-up picture for each training picture; it is the other way round."""
    gaps = _all_gaps(made, training)
    return gaps.argmin(axis=0), gaps.min(axis=0)


@ex.wrong
def last_of_equals(made, training, at_once):
    """Right but where two training pictures are equally near: the first one counts, so a later one must be nearer, not
    as near."""
    gaps = _all_gaps(made, training)
    return len(training) - 1 - gaps[:, ::-1].argmin(axis=1), gaps.min(axis=1)


@ex.right
def by_products(made, training, at_once):
    if made.shape[1:] != training.shape[1:]:
        raise ValueError(f"{made.shape[1:]} and {training.shape[1:]}")
    a, b = (pictures.reshape(len(pictures), -1).astype(np.int64) for pictures in (made, training))
    columns = []
    for begin in range(0, len(b), at_once):
        part = b[begin : begin + at_once]
        columns.append((a**2).sum(1)[:, None] - 2 * a @ part.T + (part**2).sum(1))
    table = np.concatenate(columns, axis=1)
    return table.argmin(axis=1), np.sqrt(table.min(axis=1)) / 255


# %%
check("17.5", nearest_training_pictures)

# %% [markdown]
# **Exercise 17.6 ★★★** Repair a round of the smallest GAN there is: $D(x) = \sigma(wx + c)$, $G(z) = z + b$, gradients
# by hand. As it stands, its discriminator gets worse from round to round, and so does its generator.


# %%
# Exercise 17.6
def one_round(w, c, b, x, z, rate):
    """One round of the game by gradient descent: first D's turn, then G's turn against the new D.

    w, c: the discriminator's weights, D(x) = sigmoid(w x + c). b: the generator's weight, G(z) =
    z + b. x (n,): real numbers. z (m,): noise. rate: the learning rate of both.
    D lowers L_D (17.2), G lowers its non-saturating loss, mean over the batch (17.6).
    Returns the new w, c and b.
    Example: one_round(0, 0, 0, np.array([2.0]), np.array([0.0]), 1) is (1, 0, 0.5).
    """
    ### BEGIN SOLUTION
    made = z + b
    d_real, d_made = 1 / (1 + np.exp(-(w * x + c))), 1 / (1 + np.exp(-(w * made + c)))
    by_w = -np.mean((1 - d_real) * x) + np.mean(d_made * made)
    by_c = -np.mean(1 - d_real) + np.mean(d_made)
    w, c = w - rate * by_w, c - rate * by_c
    d_made = 1 / (1 + np.exp(-(w * made + c)))
    by_b = -np.mean((1 - d_made) * w)
    return w, c, b - rate * by_b
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("17.6", start="uphill_and_half_way", atol=1e-7)


@ex.cases
def _(rng):
    yield 0.0, 0.0, 0.0, np.array([2.0]), np.array([0.0]), 1.0
    for _ in range(20):
        n, m = (int(i) for i in rng.integers((2, 6), (5, 9)))
        w, c, b = (float(i) for i in rng.normal(size=3))
        yield w, c, b, rng.normal(size=n) + 2, rng.normal(size=m), float(rng.uniform(0.1, 1))


@ex.oracle
def _(w, c, b, x, z, rate):
    # The losses themselves, by steps in the imaginary direction.
    h = 1e-30

    def of_d(w, c):
        return -np.log(1 / (1 + np.exp(-w * x - c))).mean() - np.log(1 - 1 / (1 + np.exp(-w * (z + b) - c))).mean()

    def of_g(b):
        return -np.log(1 / (1 + np.exp(-w * (z + b) - c))).mean()

    by_w, by_c = of_d(w + h * 1j, c).imag / h, of_d(w, c + h * 1j).imag / h
    w, c = w - rate * by_w, c - rate * by_c
    return float(w), float(c), float(b - rate * of_g(b + h * 1j).imag / h)


def _round(w, c, b, x, z, rate, d_sign=1, g_slope=lambda d, w: -np.mean((1 - d) * w), old=False, mean=np.mean):
    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    made = z + b
    d_real, d_made = sigmoid(w * x + c), sigmoid(w * made + c)
    new_w = w - d_sign * rate * (mean(d_made * made) - mean((1 - d_real) * x))
    new_c = c - d_sign * rate * (mean(d_made) - mean(1 - d_real))
    w_seen, c_seen = (w, c) if old else (new_w, new_c)
    return new_w, new_c, b - rate * g_slope(sigmoid(w_seen * made + c_seen), w_seen)


@ex.wrong
def uphill_and_half_way(w, c, b, x, z, rate):
    """Two mistakes. The discriminator's weights move up their loss. And the generator's gradient stops at the logit:
    from there it has to go on through the discriminator to the number that was made."""
    made = z + b
    d_real, d_made = 1 / (1 + np.exp(-(w * x + c))), 1 / (1 + np.exp(-(w * made + c)))
    by_w = np.mean((1 - d_real) * x) - np.mean(d_made * made)
    by_c = np.mean(1 - d_real) - np.mean(d_made)
    w, c = w - rate * by_w, c - rate * by_c
    d_made = 1 / (1 + np.exp(-(w * made + c)))
    by_b = -np.mean(1 - d_made)
    return w, c, b - rate * by_b


@ex.wrong
def still_uphill(w, c, b, x, z, rate):
    """The generator's turn is repaired. The discriminator's weights still move up their loss."""
    return _round(w, c, b, x, z, rate, d_sign=-1)


@ex.wrong
def still_half_way(w, c, b, x, z, rate):
    """The discriminator's turn is repaired. The generator's gradient still stops at the logit: a logit changes by w
    where the number made changes by 1."""
    return _round(w, c, b, x, z, rate, g_slope=lambda d, w: -np.mean(1 - d))


@ex.wrong
def generator_uphill(w, c, b, x, z, rate):
    """The discriminator's turn is right. The generator now moves so as to be found out."""
    return _round(w, c, b, x, z, rate, g_slope=lambda d, w: np.mean((1 - d) * w))


@ex.wrong
def saturating_loss(w, c, b, x, z, rate):
    """Right directions; but the generator's gradient is that of the saturating loss."""
    return _round(w, c, b, x, z, rate, g_slope=lambda d, w: -np.mean(d * w))


@ex.wrong
def at_once(w, c, b, x, z, rate):
    """Both gradients are right, but the generator plays against the old discriminator: it comes second, and meets the
    new one."""
    return _round(w, c, b, x, z, rate, old=True)


@ex.wrong
def sums(w, c, b, x, z, rate):
    """The directions are right, and the steps too long: each part of the losses is a mean over its batch."""
    return _round(w, c, b, x, z, rate, g_slope=lambda d, w: -np.sum((1 - d) * w), mean=np.sum)


@ex.wrong
def wrong_weights(w, c, b, x, z, rate):
    """In the generator's turn its gradient is given to the discriminator's bias; the generator stays where it is."""
    new_w, new_c, new_b = _round(w, c, b, x, z, rate)
    return new_w, new_c + new_b - b, b


@ex.wrong
def old_opinion(w, c, b, x, z, rate):
    """The generator uses the new w, but what D said before its turn: the probabilities of the numbers made have to be
    computed again, with the new w and c."""
    d_old = 1 / (1 + np.exp(-(w * (z + b) + c)))
    return _round(w, c, b, x, z, rate, g_slope=lambda d, w: -np.mean((1 - d_old) * w))


@ex.wrong
def bias_still_uphill(w, c, b, x, z, rate):
    """The discriminator's w is repaired. Its bias c still moves up the loss."""
    new_w, new_c = _round(w, c, b, x, z, rate)[0], _round(w, c, b, x, z, rate, d_sign=-1)[1]
    d_made = 1 / (1 + np.exp(-(new_w * (z + b) + new_c)))
    return new_w, new_c, b + rate * new_w * np.mean(1 - d_made)


@ex.wrong
def made_up_sign(w, c, b, x, z, rate):
    """In the discriminator's turn one half is right. The other raises D where numbers were made up: the two means of
    its gradient have opposite signs, one for D - 1 on real numbers and one for D on made-up ones."""
    made = z + b
    d_real, d_made = 1 / (1 + np.exp(-(w * x + c))), 1 / (1 + np.exp(-(w * made + c)))
    w, c = (
        w + rate * (np.mean((1 - d_real) * x) + np.mean(d_made * made)),
        c + rate * (np.mean(1 - d_real) + np.mean(d_made)),
    )
    d_made = 1 / (1 + np.exp(-(w * made + c)))
    return w, c, b + rate * w * np.mean(1 - d_made)


@ex.wrong
def noise_for_the_made(w, c, b, x, z, rate):
    """The discriminator's gradient multiplies by the number that it judged. That is z + b, not the noise alone."""
    d_real, d_made = 1 / (1 + np.exp(-(w * x + c))), 1 / (1 + np.exp(-(w * (z + b) + c)))
    w, c = (
        w + rate * (np.mean((1 - d_real) * x) - np.mean(d_made * z)),
        c + rate * (np.mean(1 - d_real) - np.mean(d_made)),
    )
    d_made = 1 / (1 + np.exp(-(w * (z + b) + c)))
    return w, c, b + rate * w * np.mean(1 - d_made)


@ex.wrong
def times_the_noise(w, c, b, x, z, rate):
    """The discriminator's turn is right. In the generator's, z + b changes by 1 where b does: there is no factor z."""
    return _round(w, c, b, x, z, rate, g_slope=lambda d, w: -np.mean((1 - d) * w * z))


@ex.right
def by_residuals(w, c, b, x, z, rate):
    points = np.concatenate([x, z + b])
    labels = np.concatenate([np.ones(len(x)), np.zeros(len(z))])
    weights = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(z), 1 / len(z))])
    off = weights * ((1 + np.tanh((w * points + c) / 2)) / 2 - labels)  # probability minus label, as in chapter 1
    w, c = w - rate * off @ points, c - rate * off.sum()
    surprise = (1 - np.tanh((w * (z + b) + c) / 2)) / 2
    return w, c, b + rate * w * surprise.sum() / len(z)


# %%
check("17.6", one_round)

# %% [markdown]
# **Exercise 17.7 ★★** Repair a generator's last line, which puts loops A and B into one: probabilities, then black and
# white. The check looks at the pictures, and at the gradient that passes through.


# %%
# Exercise 17.7
def last_line(outputs):
    """Make pictures, pixels from -1 to 1, of the numbers that a generator's last layer puts out.

    outputs: tensor (batch, pixels), any real numbers, one for each pixel. Use keras.ops.
    Returns a tensor of the same shape, each pixel by itself: by the hyperbolic tangent, so that
    0 gives a middle grey of 0, and the gradient passes everywhere.
    Example: for [[0, 10, -10]] it is [[0, 1, -1]], rounded to six digits.
    """
    ### BEGIN SOLUTION
    return ops.tanh(outputs)
    ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import numpy as np
from keras import ops

ex = exercise("17.7", rtol=1e-3, atol=1e-5, start="both_mistakes")


@ex.cases
def _(rng):
    yield np.array([[0.0, 10.0, -10.0]]), np.ones((1, 3))
    yield np.zeros((2, 2)), np.ones((2, 2))
    for n in range(14):
        shape = (4, 5) if n % 2 else (3, 2)
        yield 1.5 * rng.normal(size=shape), rng.normal(size=shape)


ex.shown_as("""
given, times = keras.ops.cast(outputs, "float32"), keras.ops.cast(weights, "float32")
last_line(given), gradient(lambda at: keras.ops.sum(times * last_line(at)), given)
""")


@ex.drive
def _(answer, outputs, weights):
    outputs, weights = outputs.astype("float32"), ops.convert_to_tensor(weights.astype("float32"))
    pictures = answer(ops.convert_to_tensor(outputs))
    slope = gradient(lambda at: ops.sum(weights * ops.cast(answer(at), "float32")), outputs)
    return {"pictures": ops.cast(pictures, "float32"), "gradient": slope}


@ex.oracle
def _(outputs, weights):
    # Through the exponential function, in double precision.
    squared = np.exp(-2 * np.abs(outputs))
    return {
        "pictures": np.sign(outputs) * (1 - squared) / (1 + squared),
        "gradient": weights * 4 * squared / (1 + squared) ** 2,
    }


@ex.wrong
def both_mistakes(outputs):
    """Two mistakes. A softmax shares one unit of white among all pixels, and rounding lets no gradient through. Each
    pixel is a number by itself, and the discriminator has to see it as it is."""
    pixels = ops.softmax(outputs)
    return ops.round(pixels)


@ex.wrong
def still_softmax(outputs):
    """The rounding is gone. The softmax still shares one unit of white among all pixels of a picture."""
    return ops.softmax(outputs)


@ex.wrong
def still_rounded(outputs):
    """Each pixel is by itself now, from -1 to 1. But it is still rounded, and no gradient passes."""
    return ops.round(ops.tanh(outputs))


@ex.wrong
def from_zero(outputs):
    """Each pixel is by itself and the gradient passes. But a sigmoid goes from 0 to 1, and the data start at -1."""
    return ops.sigmoid(outputs)


@ex.wrong
def black_and_white(outputs):
    """Each pixel is by itself now, from -1 to 1. But it is still thresholded, and no gradient passes."""
    return ops.sign(outputs)


@ex.wrong
def straight_through(outputs):
    """The gradient passes, since you lead it around the rounding. But the pictures are still rounded: the discriminator
    would tell them from the data by that alone."""
    pixels = ops.tanh(outputs)
    return pixels + ops.stop_gradient(ops.round(pixels) - pixels)


@ex.wrong
def tanh_of_softmax(outputs):
    """The tanh belongs there. The softmax before it does not: it shares one unit among all pixels of a picture, and
    none of them can be dark."""
    return ops.tanh(ops.softmax(outputs))


@ex.wrong
def stretched_softmax(outputs):
    """The pictures now start at -1, but the softmax still shares one unit of white among all pixels of a picture."""
    return 2 * ops.softmax(outputs) - 1


@ex.wrong
def stretched_sigmoid(outputs):
    """The pictures go from -1 to 1, but not by the hyperbolic tangent: tanh(a) is 2 sigmoid(2 a) - 1, and you left out
    the factor inside."""
    return 2 * ops.sigmoid(outputs) - 1


@ex.wrong
def as_bytes(outputs):
    """The activation is right, but pixels from 0 to 255 are for files. The data that the discriminator knows go from -1
    to 1."""
    return 127.5 * (ops.tanh(outputs) + 1)


@ex.wrong
def cut_off(outputs):
    """The pictures go from -1 to 1, but are cut off there: where a number lies beyond, no gradient passes any more."""
    return ops.clip(outputs, -1.0, 1.0)


@ex.wrong
def stopped(outputs):
    """The pictures are right, but you stop the gradient at them: this is for the discriminator's turn."""
    return ops.stop_gradient(ops.tanh(outputs))


@ex.right
def by_sigmoid(outputs):
    return 2.0 * ops.sigmoid(2.0 * outputs) - 1.0


# %%
check("17.7", last_line)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | the game | $\min_G \max_D\; \mathbb{E}_x[\log D(x)] + \mathbb{E}_z[\log(1 - D(G(z)))]$ | (17.1) |
# | D's loss | mean softplus$(-a)$ of real ones + mean softplus$(a)$ of made-up ones | (17.2) |
# | the best judge | $D^* = p / (p + q)$ | (17.3) |
# | what $G$ then lowers | $-\log 4 + 2\,\mathrm{JSD}(p \,\Vert\, q)$, least at $p = q$ | (17.4), (17.5) |
# | G's losses | saturating $-\operatorname{softplus}(a)$, non-saturating $\operatorname{softplus}(-a)$ | (17.6) |
# | their slopes | $-D$ fades where $D$ is sure; $-(1 - D)$ does not | (17.7) |
# | no downhill | at once $r^2$ grows by $1 + \alpha^2$; in turns $u^2 + v^2 - \alpha uv$ stays | (17.8) |
# | Fréchet | $\|\mu_1 - \mu_2\|^2 + \operatorname{tr}(\Sigma_1 + \Sigma_2 - 2(\Sigma_1 \Sigma_2)^{1/2})$ | (17.9) |
#
# ## References
#
# - M. Arjovsky and L. Bottou, *Towards principled methods for training generative adversarial networks*, 2017,
#   arXiv:1701.04862.
# - M. Chong and D. Forsyth, *Effectively unbiased FID and Inception score and where to find them*, 2020,
#   arXiv:1911.07023.
# - D. Dowson and B. Landau, *The Fréchet distance between multivariate normal distributions*, 1982.
# - I. Goodfellow et al., *Generative adversarial nets*, 2014, arXiv:1406.2661.
# - M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter, *GANs trained by a two time-scale update rule
#   converge to a local Nash equilibrium*, 2017, arXiv:1706.08500.
# - J. Lin, *Divergence measures based on the Shannon entropy*, 1991.
# - L. Mescheder, A. Geiger and S. Nowozin, *Which training methods for GANs do actually converge?*, 2018,
#   arXiv:1801.04406.
# - L. Metz, B. Poole, D. Pfau and J. Sohl-Dickstein, *Unrolled generative adversarial networks*, 2017,
#   arXiv:1611.02163.
# - A. Radford, L. Metz and S. Chintala, *Unsupervised representation learning with deep convolutional generative
#   adversarial networks*, 2016, arXiv:1511.06434.
# - T. Salimans et al., *Improved techniques for training GANs*, 2016, arXiv:1606.03498.
# - R. Webster, J. Rabin, L. Simon and F. Jurie, *Detecting overfitting of deep generative networks via latent
#   recovery*, 2019, arXiv:1901.03396.
