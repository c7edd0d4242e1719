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
# terms:
#   - term: generator
#     means: a network that makes an example, such as an image, of random numbers
#     zh: 生成器
#   - term: discriminator
#     means: a network that says how probable it is that an example is real and not generated
#     zh: 判别器
#   - term: generative adversarial network
#     means: a generator and a discriminator that are trained against each other; GAN for short
#     zh: 生成对抗网络
#   - term: value function
#     means: what one player of a game raises and the other one lowers
#     symbol: '$V(D, G)$'
#     zh: 价值函数
#   - term: optimal discriminator
#     means: the discriminator that raises the value function as far as it goes, for a given generator
#     symbol: '$D^*$'
#     zh: 最优判别器
#   - term: Jensen-Shannon divergence
#     means: the mean Kullback-Leibler divergence of two distributions from their mixture
#     symbol: '$\mathrm{JSD}$'
#     zh: JS散度
#   - term: saturating loss
#     means: the generator's loss as it stands in the value function, whose slope fades where D is sure
#     zh: 饱和损失
#   - term: non-saturating loss
#     means: the generator's loss in practice, minus the logarithm of D, whose slope does not fade where D is sure
#     zh: 非饱和损失
#   - term: mode
#     means: a region of high density of a distribution
#     zh: 众数（模式）
#   - term: mode collapse
#     means: a generator's samples cover few modes of the data
#     zh: 模式坍塌
#   - term: LeakyReLU
#     means: ReLU that multiplies negative values by a small slope instead of replacing them by 0
#     zh: 带泄漏的ReLU
#   - term: DCGAN
#     means: a GAN of strided and transposed convolutions by the guidelines of Radford, Metz and Chintala
#     zh: 深度卷积生成对抗网络
#   - term: Fréchet distance
#     means: the least mean squared distance over which one normal distribution is moved to become another
#     symbol: '$\mathrm{FD}$'
#     zh: 弗雷歇距离
#   - term: memorisation
#     means: a generator draws training examples again, instead of new ones
#     zh: 记忆训练样本
# symbols:
#   '$p_\text{data}$': 'distribution of the real examples'
#   '$p_G$': 'distribution of what the generator makes'
#   '$a(x)$': 'the logit that the discriminator gives to $x$'
#   '$D(x)$': 'the probability that the discriminator gives to $x$ being real'
# sources:
#   - "Dowson & Landau, The Fréchet distance between multivariate normal distributions, 1982"
#   - "Lin, Divergence measures based on the Shannon entropy, 1991"
#   - "Maas, Hannun & Ng, Rectifier nonlinearities improve neural network acoustic models, 2013"
#   - "Goodfellow et al., Generative adversarial nets, 2014"
#   - "Radford, Metz & Chintala, Unsupervised representation learning with DCGAN, 2016"
#   - "Salimans et al., Improved techniques for training GANs, 2016"
#   - "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017"
#   - "Mao et al., Least squares generative adversarial networks, 2017"
#   - "Metz, Poole, Pfau & Sohl-Dickstein, Unrolled generative adversarial networks, 2017"
#   - "Karras, Aila, Laine & Lehtinen, Progressive growing of GANs, 2018"
#   - "Lucic, Kurach, Michalski, Gelly & Bousquet, Are GANs created equal?, 2018"
#   - "Mescheder, Geiger & Nowozin, Which training methods for GANs do actually converge?, 2018"
#   - "Webster, Rabin, Simon & Jurie, Detecting overfitting of deep generative networks via latent recovery, 2019"
#   - "Chong & Forsyth, Effectively unbiased FID and Inception score and where to find them, 2020"

# %% [markdown]
# Below are six sevens that somebody wrote and, at the right, their mean. By the squared error no single image is a
# better guess at all six, so the mean is what a decoder draws that cannot know which of the six is meant. And yet you
# see at once that nobody wrote it.

# %% tags=["aside"]
# @title Imports and settings
import logging
import textwrap
import warnings

from course import ask, at_once, budget, check, claim, data, gradient, plots, predict, prove, record, seed, start, sweep

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import linalg, optimize, stats
from scipy.cluster.vq import kmeans2
from scipy.spatial import distance
from scipy.special import expit

rng = start("17")  # seeds everything from COURSE_SEED and sets the style of the figures
REAL, MADE, JUDGE = plots.COLOURS[1], plots.COLOURS[0], plots.COLOURS[5]  # data, generator, discriminator


def as_input(digits):
    """Digits (count, 28, 28) in uint8, at half their size in a black frame: (count, 16, 16, 1) from -1 to 1."""
    small = digits.reshape(len(digits), 14, 2, 14, 2).mean(axis=(2, 4)) / 127.5 - 1
    return np.pad(small, [(0, 0), (1, 1), (1, 1)], constant_values=-1).astype("float32")[..., None]


# %% tags=["aside"]
# @title Draws figure 17.1
logging.getLogger("tensorflow").setLevel("ERROR")  # it would warn that many small players are compiled
mnist = data.mnist()
unseen_count = min(len(mnist.x_train) // 4, 10_000)  # training digits that no generator is trained on
count = budget(quick=10_000, full=50_000, least=2000)
images = as_input(mnist.x_train[:-unseen_count][:count])
labels = mnist.y_train[: len(images)]
unseen = as_input(mnist.x_train[-unseen_count:])
tests = as_input(mnist.x_test[:1000])  # looked at once, in figure 17.11

sevens = mnist.x_train[: len(images)][labels == 7][:400] / 255
gaps = distance.cdist(sevens.reshape(len(sevens), -1), sevens.reshape(len(sevens), -1))
middle = np.sort(gaps, axis=1)[:, 100].argmin()  # the seven with the closest company
six = sevens[gaps[middle].argsort()[:120:20]]  # the closest to it, and every twentieth after
plots.show_rows({"six sevens,\nand their mean": [*six, six.mean(axis=0)]}, width=7)

# %% [markdown]
# *Figure 17.1. Six training digits, and at the right their mean, grey where they differ.*
#
# What gives it away is the soft grey, which pens do not leave. Let a second network find out what is wrong, again and
# again, and let its gradient tell the first one what to change. So:
#
# **Can one network learn to see what gives generated images away, and another one to give nothing away? What does the
# second one learn then, and what can go wrong?**
#
# ## What you will be able to do
#
# - write down the game of a GAN, and say what its best discriminator computes;
# - build two Keras models that take turns, and say which numbers each turn moves;
# - choose the generator's loss by its gradient, and tell lost modes from modes that were never found;
# - train a DCGAN, and judge its images by measures, knowing what each of them lets through.
#
# ## A game for two

# %% tags=["aside"]
# @title Draws figure 17.2
blocks = {
    "noise": (0, 0, r"noise $\mathbf{z}$"),
    "G": (1, 0, "generator $G$", 0),
    "fake": (2, 0, r"generated $G(\mathbf{z})$", 0),
    "real": (2, 1, "real $x$", 1),
    "D": (3, 0.5, "discriminator $D$", 5),
    "answer": (4, 0.5, "probability\nof being real"),
}
arrows = [("noise", "G"), ("G", "fake"), ("fake", "D"), ("real", "D"), ("D", "answer")]
figure, axis = plt.subplots(figsize=(8.5, 2.0))
plots.draw_blocks(axis, blocks, arrows)
figure.tight_layout(pad=0.1)
plt.show()

# %% [markdown]
# *Figure 17.2. A generative adversarial network. In D's turn the discriminator learns to answer 1 to real images and 0
# to generated ones. In G's turn the gradient goes back through the discriminator to the generator.*
#
# The **generator** $G$ makes an image $G(\mathbf{z})$ of random numbers $\mathbf{z}$, the noise. The **discriminator**
# $D$ gives any image a probability that it is real. Both together are a **generative adversarial network**, GAN for
# short (Goodfellow et al., 2014). Let $p_\text{data}$ be the distribution of the real images. $D$ wants the **value
# function** to be large, and $G$ wants it to be small:
#
# $$ \begin{aligned} \min_G \max_D V(D, G) = {}& \mathbb{E}_{x}[\log D(x)] \\
#    & + \mathbb{E}_{\mathbf{z}}[\log(1 - D(G(\mathbf{z})))] \end{aligned} \tag{17.1} $$
#
# with $x$ drawn from $p_\text{data}$. If $D$ gives 0.9 to all real images and 0.2 to all generated ones, then
# $V = \log 0.9 + \log 0.8 \approx -0.33$.
#
# The network puts out a logit $a$, with $D = \sigma(a)$. The logarithms go into $\operatorname{softplus}(a) =
# \log(1 + e^a)$, which stays finite where $\log \sigma(a)$, computed in two steps, does not: $-\log D =
# \operatorname{softplus}(-a)$ and $-\log(1 - D) = \operatorname{softplus}(a)$. With means over a mini-batch, the
# discriminator's loss is
#
# $$ \begin{aligned} L_D = -V = {}& \underset{x}{\operatorname{mean}} \operatorname{softplus}(-a(x)) \\
#    & + \underset{\mathbf{z}}{\operatorname{mean}} \operatorname{softplus}(a(G(\mathbf{z})))
#    \end{aligned} \tag{17.2} $$
#
# It is binary cross-entropy twice, with label 1 for real and 0 for generated. Mind the minus: $D$ *raises* $V$,
# optimisers *lower* a loss.


# %% tags=["aside"]
# @title Refuses shapes that would broadcast, and images that differ in more than content
def refuse_unless_logits(logits, name):
    """Raise ValueError unless there is one logit an image: shape (batch,) or (batch, 1)."""
    shape = tuple(logits.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise ValueError(f"{name} have shape {shape}, where (batch,) or (batch, 1) is needed: one logit an image")


def refuse_unless_alike(real, fake):
    """Raise ValueError, naming both shapes, unless they are one, the batch apart."""
    if tuple(real.shape[1:]) != tuple(fake.shape[1:]):
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise ValueError(f"real and generated images have shapes {shapes}: D must not see that difference")


# %%
def value(d_real, d_fake):
    """The value of the game (17.1) for the probabilities that D gives to real and to generated images."""
    return np.mean(np.log(d_real)) + np.mean(np.log(1 - d_fake))  # (17.1)


def discriminator_loss(real, fake):
    """L_D (17.2), a scalar, of two arrays of logits, (batch,) or (batch, 1); the batches may differ."""
    refuse_unless_logits(real, "the logits of real images")
    refuse_unless_logits(fake, "the logits of generated images")
    return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))  # (17.2)


# %% tags=["aside"]
# @title What proofs (17.1) and (17.2) compare with
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


def two_probabilities(count):
    for real, fake in two_batches(count):
        yield expit(real), expit(fake)


# %%
prove("17.1", value, bernoulli_value, cases=two_probabilities(100), rtol=1e-4)
prove("17.2", discriminator_loss, two_cross_entropies, cases=two_batches(100), rtol=1e-4)

# %% [markdown]
# **Question 17.a.** $D$ has no idea and answers one half to every image. What is its loss $L_D$? Two decimals.

# %%
ask(
    "17.a",
    1.39,
    why="V is twice the logarithm of one half, so the loss is 2 log 2 = log 4.",
    hint="Put D = 1/2 into both terms of (17.1), then mind the minus of (17.2).",
)

# %% [markdown]
# ## What would the best discriminator say?
#
# Hold $G$ as it is. Its images have some distribution $p_G$. Half of what $D$ sees is real, so by Bayes' rule
# the probability that $x$ is real is that of the **optimal discriminator**:
#
# $$ D^*(x) = \frac{p_\text{data}(x)}{p_\text{data}(x) + p_G(x)} \tag{17.3} $$
#
# It maximises $V$: at a single $x$, $D$ chooses one number, which contributes $p_\text{data} \log D + p_G \log(1 - D)$.
# Where both are positive, the derivative $p_\text{data}/D - p_G/(1-D)$ falls throughout, and is 0 at (17.3). Where both
# are 0, $D$ may say what it likes.
#
# What is the game worth against this $D^*$? Compare both distributions with their mixture $p_\text{mix} = \frac12
# (p_\text{data} + p_G)$. The mean of the two Kullback-Leibler divergences of chapter 16 is the **Jensen-Shannon
# divergence** (Lin, 1991):
#
# $$ \begin{aligned} \mathrm{JSD}(p_\text{data} \,\|\, p_G)
#    = {}& \tfrac12 \mathrm{KL}(p_\text{data} \,\|\, p_\text{mix}) \\
#    & + \tfrac12 \mathrm{KL}(p_G \,\|\, p_\text{mix}) \end{aligned} \tag{17.4} $$
#
# Put (17.3) into (17.1). Since $p_\text{data} / (p_\text{data} + p_G) = \frac12\, p_\text{data} / p_\text{mix}$, two
# factors $\frac12$ come out of the logarithms, and what remains is
#
# $$ \max_D V(D, G) = -\log 4 + 2\, \mathrm{JSD}(p_\text{data} \,\|\, p_G) \tag{17.5} $$
#
# A divergence is 0 only where both distributions are equal. So against $D^*$, $G$ does best, and gets $-\log 4$,
# if and only if its images are distributed like the real ones. *That* is what it is asked to learn: not to copy
# images, but to draw from their distribution. The theorem assumes that $D$ is optimal and that $G$ can make
# any $p_G$. The rest of this chapter is about what happens when neither is true.


# %%
def optimal_discriminator(p_data, p_g):
    """D* (17.3) at each point: densities or probabilities there."""
    return p_data / (p_data + p_g)  # (17.3)


def jensen_shannon(p_data, p_g):
    """JSD (17.4) in nats of two arrays of positive probabilities that sum to 1."""
    p_mix = (p_data + p_g) / 2
    return 0.5 * np.sum(p_data * np.log(p_data / p_mix)) + 0.5 * np.sum(p_g * np.log(p_g / p_mix))  # (17.4)


def best_value(p_data, p_g):
    """The largest value of the game (17.5)."""
    return -np.log(4) + 2 * jensen_shannon(p_data, p_g)  # (17.5)


# %% tags=["aside"]
# @title What proofs (17.3) to (17.5) compare with
def climb(p_data, p_g):
    """The logits at which V is largest, and that V, found numerically from random logits."""

    def downhill(a):
        d = expit(a)
        return -p_data @ np.log(d) - p_g @ np.log(1 - d), p_g * d - p_data * (1 - d)

    found = optimize.minimize(downhill, rng.normal(size=len(p_data)), jac=True, options={"gtol": 1e-9})
    return found.x, -found.fun


def climbed_discriminator(p_data, p_g):
    return expit(climb(p_data, p_g)[0])


def climbed_value(p_data, p_g):
    return climb(p_data, p_g)[1]


def scipy_jensen_shannon(p_data, p_g):
    return distance.jensenshannon(p_data, p_g) ** 2  # SciPy's is the root of the divergence


def distributions(count):
    """Two random distributions over six things, equal in every fifth case."""
    for n in range(count):
        p, q = rng.dirichlet(np.full(6, 2.0), size=2) * 0.9 + 0.1 / 6
        yield p, p if n % 5 == 4 else q


# %%
prove("17.3", optimal_discriminator, climbed_discriminator, cases=distributions(60), rtol=1e-4)
prove("17.4", jensen_shannon, scipy_jensen_shannon, cases=distributions(100))
prove("17.5", best_value, climbed_value, cases=distributions(60))

# %% [markdown]
# ## Two models that take turns
#
# In Keras the game is two models that share two networks, each compiled with its own optimiser. Each needs both
# networks for its loss, and trains one. What a step trains are the model's `trainable_variables`, so a player answers
# with the weights of its own network. The loss needs no labels, so it is written in `compute_loss`.


# %%
class Player(keras.Model):
    """One side of the game: trains the weights of `mine`, and not those of `opponent`."""

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


# %% tags=["aside"]
# @title Lets a player tell the loss of each batch, not a running mean
class QuickPlayer(Player):
    """A Player that reports a batch's loss as it is; Keras's running mean takes a good part of a small step."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {"loss": ops.stop_gradient(self.compute_loss(x, y, y_pred))}

    def reset_metrics(self):
        """Nothing is kept from batch to batch."""


# %%
class DiscriminatorPlayer(QuickPlayer):
    """Trains a discriminator on batches of (real images, noise)."""

    def call(self, inputs, training=False):
        real, noise = inputs
        fake = ops.stop_gradient(self.opponent(noise, training=training))  # saves the way back through G
        refuse_unless_alike(real, fake)
        return self.mine(real, training=training), self.mine(fake, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return discriminator_loss(*y_pred)


class GeneratorPlayer(QuickPlayer):
    """Trains a generator on batches of noise; loss: of the logits that its images get."""

    def __init__(self, mine, opponent, loss):
        super().__init__(mine, opponent)
        self.of_logits = loss

    def call(self, noise, training=False):
        return self.opponent(self.mine(noise, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.of_logits(y_pred)


# %% [markdown]
# A recipe found often compiles `discriminator`, sets `discriminator.trainable = False`, and compiles a model of both.
# In Keras 3 this is one switch for both players, on TensorFlow read when a player's step is first built: a $D$ that has
# taken no step before is never trained.

# %% tags=["aside"]
# @title Tries that recipe
for first in (False, True):
    switched = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    switched.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns: "The model does not have any trainable weights."
        if first:
            switched.train_on_batch(np.ones((8, 1)), np.ones((8, 1)))
        switched.trainable = False
        together = keras.Sequential([keras.Input((1,)), layers.Dense(1), switched])
        together.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
        before = switched.get_weights()
        switched.train_on_batch(np.ones((8, 1)), np.ones((8, 1)))
    moved = max(np.abs(new - old).max() for old, new in zip(before, switched.get_weights()))
    print(f"{'a' if first else 'no'} step of D before the switch: afterwards its weights move by {moved:.2g}")

# %% [markdown]
# Now the loop. It stops as soon as a loss is no longer a number.


# %%
def compiled(player, rate):
    """A player with an Adam of its own, with the settings of the DCGAN paper but for the rate."""
    player.compile(keras.optimizers.Adam(rate, beta_1=0.5))
    player.optimizer.build(player.trainable_variables)  # else TensorFlow traces the step twice
    return player


def noise_for(generator, count, rng):
    """Standard normal numbers (count, as many as the generator takes)."""
    return rng.normal(size=(count, generator.input_shape[-1])).astype("float32")


def play(d_player, g_player, draw_real, rounds, rng, batch=64, d_turns=1, look=None, looks=()):
    """Let the two take turns. draw_real(n): n real images. d_turns: turns of D before each of G's.
    look(round) is called before the rounds in `looks`. Returns the losses (rounds, 2) of D and G."""
    generator, losses = d_player.opponent, np.zeros((rounds, 2))
    for turn in range(rounds + 1):
        if look and turn in looks:
            look(turn)
        if turn < rounds:
            for _ in range(d_turns):
                losses[turn, 0] = d_player.train_on_batch((draw_real(batch), noise_for(generator, batch, rng)))
            losses[turn, 1] = g_player.train_on_batch(noise_for(generator, batch, rng))
            refuse_unless_finite(losses[turn], turn)
    return losses


# %% tags=["aside"]
# @title Stops a game that has broken down
def refuse_unless_finite(losses, turn):
    for who, loss in zip("DG", losses):
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss of {who} is {loss} in round {turn}. If D's loss was below 0 before, its sign is wrong; if "
                "the logarithm of a sigmoid is computed in two steps, use the softplus of the logit; else take a "
                "smaller learning rate. The weights are spoilt: build both networks anew."
            )


# %% [markdown]
# ## Does it find the optimal discriminator?
#
# On a line everything is known. Let the real examples be single numbers from $\mathcal N(3, 0.5^2)$, and the
# generator a single neuron, $G(z) = wz + b$. Then $p_G$ is $\mathcal N(b, w^2)$, and $D^*$ has a formula at every
# moment. The discriminator is a small dense network. Hold $G$ and train $D$.


# %%
LINE = stats.norm(3, 0.5)  # the real distribution on the line


def line_generator():
    """A neuron that makes of a standard normal number a normal number: mean 0 and deviation 1 at first."""
    return keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])


def dense_discriminator(inputs, width=32):
    hidden = [layers.Dense(width, activation="tanh"), layers.Dense(width, activation="tanh")]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(1)])


# %% tags=["aside"]
# @title Samples on the line, and what a discriminator says of them
def draw_line(count):
    return LINE.rvs((count, 1), random_state=rng).astype("float32")


def made_on_line(generator):
    """The distribution of what a `line_generator` makes."""
    w, b = (float(ops.convert_to_numpy(weight).item()) for weight in generator.weights)
    return stats.norm(b, abs(w))


def judged(discriminator, x):
    """D(x), outside training: a probability for each row of x."""
    return expit(predict(discriminator, np.asarray(x, "float32"))[:, 0])


def distance_to_optimum(discriminator, generator, count=2000):
    """The mean difference of D from D* over real and generated samples."""
    x = np.concatenate([draw_line(count), predict(generator, noise_for(generator, count, rng))])
    ideal = optimal_discriminator(LINE.pdf(x[:, 0]), made_on_line(generator).pdf(x[:, 0]))
    return np.abs(judged(discriminator, x) - ideal).mean()


# %%
line_g, line_d = line_generator(), dense_discriminator(1)
line_g.layers[0].bias.assign([1.2])
off_untrained = distance_to_optimum(line_d, line_g)
player = compiled(DiscriminatorPlayer(line_d, line_g), 0.005)
for _ in range(400):
    player.train_on_batch((draw_line(256), noise_for(line_g, 256, rng)))
off_trained = distance_to_optimum(line_d, line_g)
print(f"mean difference of D from D*: {off_untrained:.3f} untrained, {off_trained:.3f} trained")

# %% tags=["aside"]
# @title Draws figure 17.3
x = np.linspace(-3, 6, 500)
p_data, p_g = LINE.pdf(x), made_on_line(line_g).pdf(x)
figure, axis = plt.subplots(figsize=(7, 2.8))
axis.fill_between(x, p_data, color=REAL, alpha=0.45, lw=0, label=r"real, $p_\mathrm{data}$")
axis.fill_between(x, p_g, color=MADE, alpha=0.45, lw=0, label="generated, $p_G$")
axis.plot(x, optimal_discriminator(p_data, p_g), "--", color="black", label="$D^*$ (17.3)")
axis.plot(x, judged(line_d, x[:, None]), "-", color=JUDGE, label="$D$, trained")
axis.set(xlabel="$x$", ylabel="density, probability", ylim=(0, 1.02))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# *Figure 17.3. The two distributions, and what the optimal and the trained discriminator say.*

# %%
claim(
    "17.1",
    "with the generator held, the trained discriminator differs from the optimal one by less than 0.05 in the mean",
    off_trained < 0.05,
    control=off_untrained < 0.05,
)

# %% [markdown]
# Where $D$ has seen data it agrees with (17.3). At the far right $D^*$ falls again, since the wider distribution has
# the longer tail. $D$ was shown hardly anything there, and says what it likes.
#
# ## A gradient that fades
#
# Now $G$'s turn. Its part of (17.1) is $\log(1 - D(G(\mathbf{z})))$, to be made small. Goodfellow et al. use this loss
# in the theory and another one in practice: make $\log D(G(\mathbf{z}))$ large. In logits:
#
# $$ \begin{aligned} \ell_\text{sat} &= \log(1 - D) = -\operatorname{softplus}(a), \\
#    \ell_\text{ns} &= -\log D = \operatorname{softplus}(-a) \end{aligned} \tag{17.6} $$
#
# Both fall as $D$ gets more convinced. Differentiate with respect to the logit:
#
# $$ \frac{\partial \ell_\text{sat}}{\partial a} = -D, \qquad
#    \frac{\partial \ell_\text{ns}}{\partial a} = -(1 - D) \tag{17.7} $$
#
# From $a$ the chain rule goes on to the image and to $G$'s weights, and that part is the same for both. Early in
# training $D$ often rejects all that is generated, with $D(G(\mathbf{z})) = 0.01$, say. There the slope of the first,
# the **saturating loss**, is 0.01, and that of the second, the **non-saturating loss**, 0.99.


# %%
def saturating(logits):
    """The generator's loss in theory (17.6), mean over the batch: logits (batch,) or (batch, 1)."""
    refuse_unless_logits(logits, "the logits of generated images")
    return -ops.mean(ops.softplus(logits))  # (17.6)


def non_saturating(logits):
    """The generator's loss in practice (17.6), mean over the batch."""
    refuse_unless_logits(logits, "the logits of generated images")
    return ops.mean(ops.softplus(-logits))  # (17.6)


def slopes(a):
    """The derivatives of both losses of single images with respect to their logits (17.7), two arrays."""
    return -expit(a), -(1 - expit(a))  # (17.7)


# %% tags=["aside"]
# @title What proofs (17.6) and (17.7) compare with
def both_losses(a):
    return saturating(a), non_saturating(a)


def by_cross_entropy(a):
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return -entropy(np.zeros_like(a), a), entropy(np.ones_like(a), a)


def slopes_by_autodiff(a):
    return [gradient(lambda at, loss=loss: len(a) * loss(at), a) for loss in (saturating, non_saturating)]


def columns_of_logits(count):
    for _ in range(count):
        yield logits(8, 1)


def rows_of_logits(count):
    for _ in range(count):
        yield logits(8)


# %%
prove("17.6", both_losses, by_cross_entropy, cases=columns_of_logits(100), rtol=1e-4)
prove("17.7", slopes, slopes_by_autodiff, cases=rows_of_logits(60), rtol=1e-3, atol=1e-6)

# %% [markdown]
# That is the slope at the logit. What arrives at the weights? Hold $G$ again, at $\mathcal N(0, 0.5^2)$, far from the
# data, and train $D$ on and on. Now and then, measure the gradient of both losses with respect to $w$ and $b$.


# %% tags=["aside"]
# @title Measures the gradient at the generator's weights
def gradient_length(discriminator, loss, w, b, z):
    """The length of the gradient of a generator's loss with respect to (w, b), where G(z) = wz + b."""
    z, weights = ops.convert_to_tensor(z), np.array([w, b], "float32")
    by_weights = gradient(lambda at: loss(discriminator(at[0] * z + at[1])), weights)
    return np.linalg.norm(ops.convert_to_numpy(by_weights))


# %%
held_g, sure_d = line_generator(), dense_discriminator(1)
held_g.layers[0].kernel.assign([[0.5]])
player, z = compiled(DiscriminatorPlayer(sure_d, held_g), 0.005), noise_for(held_g, 1000, rng)
fooled, lengths = [], []
for step in range(321):
    if step in (0, 5, 10, 20, 40, 80, 160, 320):
        fooled.append(judged(sure_d, predict(held_g, z)).mean())
        lengths.append([gradient_length(sure_d, loss, 0.5, 0.0, z) for loss in (saturating, non_saturating)])
    player.train_on_batch((draw_line(256), noise_for(held_g, 256, rng)))
fooled, lengths = np.array(fooled), np.array(lengths)
print(f"at the end the mean D(G(z)) is {fooled[-1]:.1e}, the gradients are {lengths[-1, 0]:.1e}, {lengths[-1, 1]:.1e}")

# %% tags=["aside"]
# @title Draws figure 17.4
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
d = np.linspace(0.001, 0.999, 400)
in_theory = np.abs(slopes(np.log(d / (1 - d))))
for n, (name, line, marker) in enumerate((("saturating", "-", "o"), ("non-saturating", "--", "s"))):
    axes[0].plot(d, in_theory[n], line, color=plots.COLOURS[n], label=name)
    axes[1].plot(fooled, lengths[:, n], line, marker=marker, ms=4, color=plots.COLOURS[n])
axes[0].set(xlabel="$D(G(z))$", ylabel="size of the slope at the logit")
axes[1].set(xlabel="mean of $D(G(z))$ while $D$ is trained", ylabel="length of $G$'s gradient")
axes[1].set(xscale="log", yscale="log")
axes[1].invert_xaxis()
axes[0].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.4. Left: (17.7), without the sign. Right: the gradient at the two weights of a generator, while the
# discriminator gets surer that its samples are generated.*

# %%
claim(
    "17.2",
    "where the discriminator is sure, the saturating loss has a gradient of less than a tenth of the other one's",
    lengths[-1, 0] < 0.1 * lengths[-1, 1],
    control=lengths[0, 0] < 0.1 * lengths[0, 1],  # before D was trained
)

# %% [markdown]
# From here on, $G$ uses $\ell_\text{ns}$.
#
# **Question 17.b.** Of two generated images one has $D = 0.9$ and the other one $D = 0.1$. How many times as hard does
# the non-saturating loss pull at the logit of the second as at that of the first?

# %%
ask("17.b", 9, why="The slopes are 1 - 0.1 = 0.9 and 1 - 0.9 = 0.1.", hint="Put both values of D into (17.7).")

# %% [markdown]
# ## The game on a line
#
# Let both play, from $G$'s first distribution $\mathcal N(0, 1)$, and film it. The control is a game in which $D$ has
# no turns and stays as it was drawn.


# %%
def line_game(d_turns, rounds=600):
    """Play on the line. Returns for every fifth round the distribution that G makes, and what D says from -3 to 6."""
    g, d, film = line_generator(), dense_discriminator(1), []
    players = DiscriminatorPlayer(d, g), GeneratorPlayer(g, d, non_saturating)

    def look(turn):
        film.append((made_on_line(g), judged(d, np.linspace(-3, 6, 500)[:, None])))

    players = [compiled(player, 0.01) for player in players]
    play(*players, draw_line, rounds, rng, batch=128, d_turns=d_turns, look=look, looks=range(0, rounds + 1, 5))
    return film


# %% tags=["aside"]
# @title Measures how far from the data a game ends
def off_target(film):
    """Over the last quarter of a game: the larger error of the mean of G's means and deviations."""
    late = [(made.mean(), made.std()) for made, _ in film[-len(film) // 4 :]]
    return np.abs(np.mean(late, axis=0) - [LINE.mean(), LINE.std()]).max()


# %%
film, without_d = line_game(d_turns=1), line_game(d_turns=0)
print(f"largest error of mean and deviation: {off_target(film):.2f}, without D's turns {off_target(without_d):.2f}")

# %% tags=["aside"]
# @title Draws figure 17.5
frames = (np.linspace(0, 1, 10) ** 1.5 * (len(film) - 1)).astype(int)  # of the looks, one in five rounds
figure, axes = plt.subplots(2, 5, figsize=(9, 3.3), sharex=True, sharey=True)
for axis, turn in zip(axes.flat, frames):
    made, answers = film[turn]
    axis.fill_between(x, LINE.pdf(x), color=REAL, alpha=0.45, lw=0)
    axis.fill_between(x, made.pdf(x), color=MADE, alpha=0.45, lw=0)
    axis.plot(x, answers, "-", color=JUDGE)
    axis.set(title=f"round {5 * turn}", ylim=(0, 1.1), yticks=[0, 0.5, 1])
for axis in axes[1]:
    axis.set_xlabel("$x$")
for axis in axes[:, 0]:
    axis.set_ylabel("$D(x)$, density")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.5. The game as a film: the real density (orange), that of the generator (blue), and what the discriminator
# answers (line).*
#
# A sample is pulled by $(1 - D)$ times the slope of the logit $a(x)$. That slope is larger at the right than at the
# left, where it later turns negative, so the distribution gets wide before it moves. Where both distributions agree,
# $D$ is near one half.

# %%
claim(
    "17.3",
    "on the line the generator finds the data: its mean and its deviation, over the last quarter, to within 0.15",
    off_target(film) < 0.15,
    control=off_target(without_d) < 0.15,
)

# %% [markdown]
# ## Why it may circle
#
# A single player who follows a gradient goes downhill. Two who pull at the same value need not arrive at all. The
# smallest example is $V = \theta\psi$, with one number each: $\min_\theta \max_\psi \theta\psi$. Its only resting point
# is $(0, 0)$. With learning rate $\alpha$, moving both *at once* gives $(\theta - \alpha\psi,\; \psi + \alpha\theta)$.
# *Taking turns*, the second player answers the first one's new move, $\psi + \alpha(\theta - \alpha\psi)$. Then, in
# each round,
#
# $$ \begin{aligned} \text{at once:}\quad & \theta^2 + \psi^2 \;\to\; (1 + \alpha^2)(\theta^2 + \psi^2), \\
#    \text{in turns:}\quad & \theta^2 + \psi^2 - \alpha\,\theta\psi \text{ stays as it is} \end{aligned} \tag{17.8} $$
#
# At once, the two spiral outwards, whatever the rate. In turns they run round an ellipse (for $\alpha < 2$), and never
# arrive. The game on the line arrives: its $D$ is nonlinear, its densities overlap, and it has Adam. (Mescheder et al.,
# 2018, prove which ways of training GANs converge.)


# %%
def after_rounds(theta, psi, rate, rounds):
    """What (17.8) says: theta^2 + psi^2 after so many rounds at once; and the quantity that turns keep."""
    squares = theta**2 + psi**2
    return (1 + rate**2) ** rounds * squares, squares - rate * theta * psi  # (17.8)


# %% tags=["aside"]
# @title What proof (17.8) compares with
def at_once_matrix(rate):
    return np.array([[1, -rate], [rate, 1]])


def in_turns_matrix(rate):
    return np.array([[1, 0], [rate, 1]]) @ np.array([[1, -rate], [0, 1]])


def played_rounds(theta, psi, rate, rounds):
    """The same two numbers, from playing: a round is a matrix."""
    matrices = at_once_matrix(rate), in_turns_matrix(rate)
    a, b = (np.linalg.matrix_power(matrix, rounds) @ [theta, psi] for matrix in matrices)
    return a @ a, b @ b - rate * b[0] * b[1]


def starting_points(count):
    for _ in range(count):
        yield *rng.normal(size=2), float(rng.uniform(0.01, 1)), int(rng.integers(1, 30))


# %%
prove("17.8", after_rounds, played_rounds, cases=starting_points(100))

# %% tags=["aside"]
# @title Draws figure 17.6
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2))
for name, matrix, style in (("at once", at_once_matrix(0.2), "-o"), ("in turns", in_turns_matrix(0.2), "--s")):
    steps = np.array([np.linalg.matrix_power(matrix, n) @ [1, 0] for n in range(48)])
    axes[0].plot(*steps.T, style, ms=3, lw=1, label=name)
axes[0].plot(0, 0, "x", color="black", ms=8)
axes[0].set(xlabel=r"$\theta$", ylabel=r"$\psi$", aspect="equal")
axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
path = np.array([(made.mean(), made.std()) for made, _ in film])
axes[1].plot(*path.T, "-", color=MADE, lw=1.2)
axes[1].scatter(*path[frames].T, c=np.arange(10), cmap="Greys", vmin=-4, ec="black", s=28, zorder=3)
axes[1].plot(3, 0.5, "x", color="black", ms=8, zorder=4)
axes[1].set(xlabel="mean of $G$'s samples", ylabel="their deviation")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.6. Left: the game $\theta\psi$ with $\alpha = 0.2$, 48 rounds from $(1, 0)$. Right: the path of the
# generator on the line; the dots are the frames of Figure 17.5, from light to dark. Crosses mark where the games would
# rest.*
#
# ## Eight modes on a ring
#
# Now let the data be points in the plane, in eight tight clusters on a ring of radius 2, with a standard deviation of
# 0.02 (Metz et al., 2017). Such a region of high density is a **mode**. Call a mode *covered* while at least 2 % of the
# samples lie within some radius of its centre; a fair share would be 12.5 %. Within 0.3, points spread evenly along the
# ring would cover all eight; so the games are judged at 0.1.
#
# Should $D$ have more turns than $G$, to stay near the optimal one? And which learning rate is best? Each setting of
# the sweep plays three games, each of 2,400 steps by $D$ and $G$ together, and counts the modes at the end, within 0.3.


# %% tags=["aside"]
# @title Draws samples of the ring, and builds its networks
MESH = np.stack(np.meshgrid(*[np.linspace(-3, 3, 41)] * 2), axis=-1)
SPREAD = 0.02  # standard deviation of a mode in each direction
LOOKS = 50  # so often a game is looked at


def draw_ring(count):
    which = rng.integers(8, size=count)
    return (CENTRES[which] + SPREAD * rng.normal(size=(count, 2))).astype("float32")


def relu_network(inputs, outputs, width=64):
    hidden = [layers.Dense(width, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])


# %%
ANGLES = np.arange(8) * np.pi / 4
CENTRES = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def covers(points, radius):
    """Which modes the points (count, 2) cover: (8,), True or False."""
    return (np.linalg.norm(points[:, None] - CENTRES, axis=-1) <= radius).mean(axis=0) >= 0.02


def ring_game(rate, d_turns, steps=2400):
    """Play on the ring from a new start: for each look 1000 samples (1000, 2), and what D says on the mesh (41, 41)."""
    g, d, film = relu_network(4, 2), relu_network(2, 1), []
    noise, rounds = noise_for(g, 1000, rng), steps // (1 + d_turns)

    def look(turn):
        film.append((predict(g, noise), judged(d, MESH.reshape(-1, 2)).reshape(41, 41)))

    players = DiscriminatorPlayer(d, g), GeneratorPlayer(g, d, non_saturating)
    players = [compiled(player, rate) for player in players]
    looks = range(0, rounds + 1, rounds // LOOKS)
    play(*players, draw_ring, rounds, rng, batch=128, d_turns=d_turns, look=look, looks=looks)
    return film


# %% tags=["aside"]
# @title Sweeps the learning rate and the turns of D
def covered_over_time(film, radius=0.1):
    """Which modes each look's samples cover: (looks, 8)."""
    return np.array([covers(points, radius) for points, _ in film])


def modes_at_the_end(rate, d_turns):
    """For `course measure --sweep`: the modes covered over the last ten looks, a mean over three games."""
    keras.utils.set_random_seed(seed())
    rng.bit_generator.state = np.random.default_rng(seed()).bit_generator.state
    return np.mean([covered_over_time(ring_game(rate, d_turns), 0.3)[-10:].sum(axis=1).mean() for _ in range(3)])


RATES = (3e-4, 1e-3, 3e-3, 1e-2)

# %% tags=["aside"]
# @title Shows the best setting of the sweep
table = sweep("17.4", {"rate": RATES, "d_turns": (1, 5)}, modes_at_the_end)
best = max(table, key=lambda row: row["value"], default={"rate": 3e-3, "d_turns": 1})
print(f"best setting: rate {best['rate']}, turns of D for each of G's: {best['d_turns']}")

# %%
SETTINGS = {"five turns of D": (1e-3, 5), "best setting": (best["rate"], best["d_turns"])}
ring_films = {name: [ring_game(*setting) for _ in range(3)] for name, setting in SETTINGS.items()}

# %% tags=["aside"]
# @title Counts modes: at the end, never found (covered for five looks), and found and lost
covered = {name: np.array([covered_over_time(film) for film in films]) for name, films in ring_films.items()}
at_the_end = {name: over_time[:, -10:].sum(axis=2).mean() for name, over_time in covered.items()}
for name, over_time in covered.items():
    runs = np.lib.stride_tricks.sliding_window_view(over_time, 5, axis=1)  # (games, looks - 4, modes, 5)
    found, at_last = runs.all(axis=-1).any(axis=1), over_time[:, -5:].any(axis=1)  # (games, modes)
    near = np.mean([distance.cdist(film[-1][0], CENTRES).min(axis=1) <= 0.1 for film in ring_films[name]])
    print(f"{name}: {at_the_end[name]:.1f} of 8 modes at the end, a mean over three games", end="; ")
    print(f"never found {np.sum(~found)}, found and lost {np.sum(found & ~at_last)}, of 24; near a mode {near:.0%}")
turned = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
circle = 2 * np.stack([np.cos(turned), np.sin(turned)], axis=1)
print(f"points spread evenly: {covers(circle, 0.3).sum()} modes within 0.3, {covers(circle, 0.1).sum()} within 0.1")

# %% tags=["aside"]
# @title Draws figure 17.7
figure, axes = plt.subplots(2, 5, figsize=(9, 4.2), sharex=True, sharey=True)
for row, (name, films) in zip(axes, ring_films.items()):
    for axis, n in zip(row, (0, 5, 10, 25, LOOKS)):
        points, answers = films[0][n]
        axis.imshow(answers, extent=(-3, 3, -3, 3), origin="lower", vmin=0, vmax=1, interpolation="bilinear")
        axis.plot(*CENTRES.T, "o", mfc="none", mec=REAL, ms=9, mew=1.5)
        axis.plot(*points[:400].T, ".", color=plots.COLOURS[4], ms=2.5)
        axis.set(title=f"look {n}: {covers(points, 0.1).sum()}", xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
    row[0].set_ylabel(name)
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 17.7. A game of each setting: real modes (orange circles), generated samples (blue dots) and what $D$ answers
# (black 0, white 1); both axes run from $-3$ to $3$. The number after the colon is that of the modes covered.*

# %% tags=["aside"]
# @title Draws figure 17.8
figure, axes = plt.subplots(2, 4, figsize=(10, 3.6), width_ratios=[1.5, 1, 1, 1])
curves = {
    f"{d_turns} turn{'s' * (d_turns > 1)} of D": [row["value"] for row in table if row["d_turns"] == d_turns]
    for d_turns in (1, 5)
}
grid = axes[0, 0].get_gridspec()
for axis in axes[:, 0]:
    axis.remove()
wide = figure.add_subplot(grid[:, 0])
if table:
    plots.draw_curves(wide, curves, "learning rate", "modes at the end, within 0.3", x=RATES)
wide.set(xscale="log", ylim=(0, 8.4))
for row, (name, over_time) in zip(axes[:, 1:], covered.items()):
    for number, (axis, game) in enumerate(zip(row, over_time), start=1):
        axis.imshow(game.T, cmap="Greys", vmin=0, vmax=1.3, aspect="auto", interpolation="nearest")
        axis.set(yticks=[], xticks=[0, 25, 50], title=f"{name}, {number}")
for axis in axes[1, 1:]:
    axis.set_xlabel("look")
axes[0, 1].set_ylabel("mode")
axes[1, 1].set_ylabel("mode")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.8. Left: the sweep. Right: three games of each of two settings; a row is one of the eight modes, dark while
# it is covered. A mode counts as found once it is covered at five looks in a row, and as lost if later it is at none of
# the last five.*

# %%
claim(
    "17.4",
    "at a rate of 0.001 and five turns of D, at most four of eight modes are covered within 0.1 at the end, in the mean",  # noqa: E501
    at_the_end["five turns of D"] <= 4,
    control=at_the_end["best setting"] <= 4,
)

# %% [markdown]
# This is **mode collapse**. The counts tell the modes that were lost from those that were never found, which cannot be
# lost. $G$'s loss asks of each sample by itself whether it convinces $D$. Nothing in it says that eight samples on
# eight modes are better than eight on four. It is (17.5) that says so, and it speaks of the whole of $p_G$. Nor did
# more turns of $D$ help here: at the three larger rates five turns cover fewer modes than one. At the smallest neither
# comes far in so few steps. What a GAN does depends on its settings (Lucic et al., 2018). Chapter 18 changes the game.
#
# ## DCGAN: the digits
#
# Radford, Metz and Chintala (2016) give guidelines under which larger GANs of convolutional layers train; a GAN that
# follows them is called **DCGAN**:
#
# - strided convolutions in $D$ and transposed ones in $G$ instead of pooling, and no dense layers in between;
# - batch normalisation in both, except at $G$'s output and $D$'s input;
# - in $G$ ReLU, with tanh at the end, for images from $-1$ to $1$;
# - in $D$ **LeakyReLU** (Maas et al., 2013): $f(z) = z$ for $z > 0$ and $0.2 z$ for the rest, so that a negative
#   pre-activation still passes a gradient back to $G$;
# - weights from $\mathcal N(0, 0.02^2)$, and Adam with $\beta_1 = 0.5$ and a learning rate of 0.0002. (The quick run is
#   short, so it begins at ten times that, and lets the rate fall to a tenth.)
#
# Here they are for digits of 14 × 14 pixels in a black frame of one pixel, by way of 4 × 4 and 8 × 8.


# %% tags=["aside"]
# @title Draws the first weights
def around_zero():
    return keras.initializers.RandomNormal(0.0, 0.02, seed=int(rng.integers(2**31)))


# %%
def dcgan_generator(channels, numbers=32):
    """Noise (batch, numbers) -> images (batch, 16, 16, 1) from -1 to 1."""
    up = {"kernel_size": 4, "strides": 2, "padding": "same"}
    return keras.Sequential(
        [
            keras.Input((numbers,)),
            layers.Dense(4 * 4 * 2 * channels, use_bias=False, kernel_initializer=around_zero()),
            layers.Reshape((4, 4, 2 * channels)),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2DTranspose(channels, **up, use_bias=False, kernel_initializer=around_zero()),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2DTranspose(1, **up, activation="tanh", kernel_initializer=around_zero()),
        ]
    )


# %%
def dcgan_discriminator(channels):
    """Images (batch, 16, 16, 1) -> logits (batch, 1)."""
    down = {"kernel_size": 4, "strides": 2, "padding": "same"}
    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(channels, **down, kernel_initializer=around_zero()),
            layers.LeakyReLU(0.2),
            layers.Conv2D(2 * channels, **down, use_bias=False, kernel_initializer=around_zero()),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, kernel_initializer=around_zero()),
        ]
    )


# %% [markdown]
# ## What exactly is held still?
#
# In $D$'s turn $G$ must not learn, and the reverse. But look at a batch normalisation. Its scale and shift are trained,
# like kernels and biases. Its running mean and variance are not: the layer moves them whenever it is called in training
# mode, as both networks are in both turns. Take one step and look. The control is a player that answers with all
# weights.


# %%
def largest_changes(player, batch):
    """After one step of training, the largest change of a number in each of three groups."""
    groups = {
        "own weights": player.mine.trainable_variables,
        "opponent's weights": player.opponent.trainable_variables,
        "opponent's running statistics": player.opponent.non_trainable_variables,
    }
    before = {name: [np.array(ops.convert_to_numpy(v)) for v in group] for name, group in groups.items()}
    player.train_on_batch(batch)
    return {
        name: max(np.abs(ops.convert_to_numpy(v) - old).max() for v, old in zip(group, before[name]))
        for name, group in groups.items()
    }


# %% tags=["aside"]
# @title A player that forgets to hold its opponent
class Forgetful(GeneratorPlayer):
    """Trains whatever can be trained, as a `keras.Model` does by itself."""

    trainable_variables = keras.Model.trainable_variables
    trainable_weights = keras.Model.trainable_weights
    non_trainable_variables = keras.Model.non_trainable_variables


# %%
CHANNELS = budget(quick=24, full=64)
gan_g, gan_d = dcgan_generator(CHANNELS), dcgan_discriminator(CHANNELS)
z = noise_for(gan_g, 64, rng)
turns = {
    "D's turn": (DiscriminatorPlayer(gan_d, gan_g), (images[:64], z)),
    "G's turn": (GeneratorPlayer(gan_g, gan_d, non_saturating), z),
    "forgetful": (Forgetful(gan_g, gan_d, non_saturating), z),
}
changes = {}
for turn, (player, batch) in turns.items():
    compiled(player, 2e-4).run_eagerly = True  # one step is not worth a compilation
    changes[turn] = largest_changes(player, batch)
    print(f"{turn:>9}:", ", ".join(f"{name} {number:.1g}" for name, number in changes[turn].items()))


# %% tags=["aside"]
# @title What claim 17.5 asks of a turn
def only_own_weights(change):
    """Whether a turn moved its own weights, none of the opponent's, and the opponent's running statistics."""
    return change["own weights"] > 0 == change["opponent's weights"] < change["opponent's running statistics"]


# %%
claim(
    "17.5",
    "in a turn the opponent's trained weights stay the same to the last bit, while its running statistics move",
    only_own_weights(changes["D's turn"]) and only_own_weights(changes["G's turn"]),
    control=only_own_weights(changes["forgetful"]),
)

# %% [markdown]
# The running statistics do no harm: nothing reads them while the two train. But $D$'s mix real and generated batches.
#
# **Question 17.c.** A generator has two batch normalisations, of 48 and 24 channels. How many of their numbers change
# in $D$'s turn?

# %%
ask(
    "17.c",
    144,
    why="A running mean and a running variance for each of 72 channels; scale and shift stay.",
    hint="Of the four numbers that a channel has, which two are not trained?",
)

# %% [markdown]
# ## How good are the images?
#
# Ask of every measure what copies, a few good images repeated, or a simpler model would get.
#
# **Fréchet distance.** A classifier, the reader, has learned the ten digits and an eleventh class, "none", for which it
# was shown noise, grey images, two digits on top of each other, and digits cut into four parts and put together
# wrongly. The 32 numbers of its last hidden layer are the features of an image. Describe those of a set of images by
# their mean $\mu_i$ and covariance $\Sigma_i$, as if they were normally distributed. The **Fréchet distance** of two
# normal distributions (Dowson & Landau, 1982) is the least mean squared distance over which the one must be moved to
# become the other:
#
# $$ \begin{aligned} \mathrm{FD} = {}& \|\mu_1 - \mu_2\|^2 \\
#    & + \operatorname{tr}\Bigl(\Sigma_1 + \Sigma_2 - 2 \bigl(\Sigma_1 \Sigma_2\bigr)^{1/2}\Bigr) \end{aligned}
#    \tag{17.9} $$
#
# In one dimension this is $(\mu_1 - \mu_2)^2 + (\sigma_1 - \sigma_2)^2$: too little variety counts as well as a wrong
# mean. With features of the Inception network it is the *FID* of the literature (Heusel et al., 2017). It gets smaller
# with more images (Chong & Forsyth, 2020), so compare sets of one size, here 1,000.


# %%
def moments(features):
    """Mean (k,) and covariance (k, k) of features (count, k)."""
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(mean_1, covariance_1, mean_2, covariance_2):
    """FD (17.9) of two normal distributions, given by their means (k,) and covariances (k, k)."""
    values, vectors = np.linalg.eigh(covariance_1)
    S = vectors * np.sqrt(values.clip(0)) @ vectors.T  # the root of the first covariance, which is symmetric
    roots = np.sqrt(np.linalg.eigvalsh(S @ covariance_2 @ S).clip(0))  # their squares are those of the product
    spread = np.trace(covariance_1) + np.trace(covariance_2) - 2 * roots.sum()
    return np.square(mean_1 - mean_2).sum() + spread  # (17.9)


# %% tags=["aside"]
# @title What proof (17.9) compares with
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


# %% tags=["aside"]
# @title Trains the reader
def no_digits(count):
    """Images that show no digit: noise, grey, two digits at half strength each, and digits with exchanged quarters."""
    a, b = images[rng.integers(len(images), size=(2, count // 4))]
    noise, grey = rng.uniform(-1, 1, a.shape), np.broadcast_to(rng.uniform(-1, 1, (len(a), 1, 1, 1)), a.shape)
    return np.concatenate([noise, grey, (a + b) / 2, np.roll(a, (8, 8), axis=(1, 2))]).astype("float32")


def small_classifier():
    down = {"kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}
    body = [layers.Conv2D(16, **down), layers.Conv2D(32, **down), layers.Flatten(), layers.Dropout(0.3, seed=seed())]
    return keras.Sequential([keras.Input((16, 16, 1)), *body, layers.Dense(32, activation="relu"), layers.Dense(11)])


reader = small_classifier()
reader.compile(
    keras.optimizers.Adam(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    steps_per_execution=at_once(10),
)
nothing = no_digits(len(images) // 2)
both = np.concatenate([images, nothing]), np.concatenate([labels, np.full(len(nothing), 10)])
reader.fit(*both, batch_size=50, epochs=budget(quick=80_000 // len(images), full=10, least=1), verbose=0)
feature_model = keras.Model(reader.inputs[0], reader.layers[-2].output)
of_training = moments(predict(feature_model, images))
right = predict(reader, unseen[:1000]).argmax(axis=1) == mnist.y_train[-unseen_count:][:1000]
print(f"the reader classifies {right.mean():.1%} of unseen digits correctly")


# %% tags=["aside"]
# @title Asks the reader
def probabilities(images):
    """What the reader says: (count, 11); the last column is "none"."""
    return ops.convert_to_numpy(ops.softmax(predict(reader, images)))


def distance_to_training(images):
    return frechet_distance(*moments(predict(feature_model, images)), *of_training)


def shares_of_digits(images):
    """The share of the images that is read as each digit with a confidence of at least 0.9: (10,)."""
    p = probabilities(images)
    return np.bincount(p.argmax(axis=1)[p.max(axis=1) >= 0.9], minlength=11)[:10] / len(images)


# %% [markdown]
# **Digits.** Call an image *read* if the reader sees a digit with a confidence of at least 0.9, and a digit *covered*
# if at least 1 % of all images are read as it.
#
# **Memorisation.** A generator may just draw training examples again, moved by a pixel perhaps, so try all nine shifts.
# How near is too near? An image's *ratio* is its distance to the nearest training digit over that to the nearest digit
# that no generator was trained on: near 0 for a copy, near 1 for something new, if both sets are equally large. Count
# those below 0.7.
#
# **Variety.** The *variety* of a set is the median distance from an image to the nearest other one, over that among as
# many test digits.


# %%
def nearest(images, among):
    """For each image the nearest of `among`, over all shifts of up to a pixel: number and Euclidean distance."""
    b, tables = among.reshape(len(among), -1), []
    for shift in np.ndindex(3, 3):
        a = np.roll(images, np.array(shift) - 1, axis=(1, 2)).reshape(len(images), -1)
        tables.append(np.square(a).sum(axis=1)[:, None] - 2 * a @ b.T + np.square(b).sum(axis=1))
    squared = np.min(tables, axis=0)
    return squared.argmin(axis=1), np.sqrt(squared.min(axis=1).clip(1e-6))


def ratios(some):
    """For each of the images: distance to the nearest training digit over that to the nearest unseen digit."""
    return nearest(some, images)[1] / nearest(some, unseen)[1]


def gap(some):
    """The median distance from an image to the nearest other one of the set."""
    gaps = distance.squareform(distance.pdist(some.reshape(len(some), -1)))
    return np.median(np.where(np.eye(len(some)), np.inf, gaps).min(axis=1))


# %% [markdown]
# Now let them play.


# %% tags=["aside"]
# @title Plays with digits
def play_digits(rounds, rate, looks):
    """Train the DCGAN. Returns the losses, and a dict from each look to the generator's images of the same noise."""
    album, noise = {}, noise_for(gan_g, 1000, rng)
    falling = keras.optimizers.schedules.CosineDecay(rate, rounds, alpha=0.1)
    players = DiscriminatorPlayer(gan_d, gan_g), GeneratorPlayer(gan_g, gan_d, non_saturating)
    players = [compiled(player, falling) for player in players]

    def draw_digits(count):
        return images[rng.integers(len(images), size=count)]

    def look(turn):
        album[turn] = predict(gan_g, noise)

    return play(*players, draw_digits, rounds, rng, look=look, looks=looks), album, noise


# %%
rounds, rate = budget(quick=2500, full=20_000, least=40), budget(quick=2e-3, full=2e-4)
looks = [int(rounds * share) for share in (0, 0.03, 0.06, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1)]
losses, album, noise = play_digits(rounds, rate, looks)
made_digits = album[rounds]

# %% tags=["aside"]
# @title Draws figure 17.9
rows = {f"round {turn}": album[turn][:14] for turn in [looks[n] for n in (0, 1, 2, 4, 9)]}
rows["the same round"] = album[rounds][14:28]
plots.show_rows(rows | {"real digits": images[:14]}, limits=(-1, 1), width=8.5)

# %% [markdown]
# *Figure 17.9. The same fourteen draws of noise at five moments of the training, fourteen more at the end, and real
# digits. None was picked.*

# %% tags=["aside"]
# @title Draws figure 17.10
covered_digits = [np.sum(shares_of_digits(some) >= 0.01) for some in album.values()]
frechet = [distance_to_training(some) for some in album.values()]
floor = distance_to_training(unseen[:1000])
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7))
plots.draw_curves(axes[0], {"DCGAN": frechet}, "round", "Fréchet distance", x=looks, levels={"unseen digits": floor})
axes[0].set(yscale="log")
plots.draw_curves(axes[1], {"DCGAN": covered_digits}, "round", "digits covered", x=looks)
axes[1].set(ylim=(0, 10.5), yticks=[0, 5, 10])
smooth = losses[: max(len(losses) // 25, 1) * 25].reshape(-1, min(25, len(losses)), 2).mean(axis=1)
middle = (np.arange(len(smooth)) + 0.5) * 25
plots.draw_curves(axes[2], {"$D$": smooth[:, 0], "$G$": smooth[:, 1]}, "round", "loss", x=middle)
axes[2].set(ylim=(0, None))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.10. Three looks at the same training: the Fréchet distance to the training digits (dotted: that of unseen
# digits), the digits covered, and the two losses.*
#
# Neither loss shows that the images get better: each is measured against an opponent that
# gets better too.
#
# Now judge the last images beside test digits and two rivals without a network: draws from the normal distribution of
# the pixels, and from sixty, one for each cluster of training digits, both sharpened by a tanh until the Fréchet
# distance is least. Four more sets should fail: the DCGAN's with 30 % training digits, training digits made thicker,
# left halves of digits on right halves of others, and thirty generated digits repeated.

# %% tags=["aside"]
# @title Makes the sets to compare
extra = np.random.default_rng(seed())  # of these sets alone
picked = images[extra.integers(len(images), size=1000)]
flat = images.reshape(len(images), -1)


def sharpened(pixels):
    """Images (1000, 16, 16, 1) of tanh(gain (pixels + shift)), for the gain and shift of least Fréchet distance."""
    settings = [(gain, shift) for gain in (1, 2, 3, 4, 6) for shift in (0, 0.1, 0.2)]
    tried = [np.tanh(gain * (pixels + shift)).reshape(-1, 16, 16, 1).astype("float32") for gain, shift in settings]
    return min(tried, key=distance_to_training)


def draw_clusters(clusters=60, axes=8):
    """1000 draws from a normal distribution for each cluster of training digits, along its principal axes."""
    some, drawn = flat[:6000].astype("float64"), np.empty((1000, 256))
    which = kmeans2(some, clusters, iter=8, minit="++", rng=extra)[1]
    wanted = which[extra.integers(len(some), size=1000)]
    for n in np.unique(wanted):
        middle = some[which == n].mean(axis=0)
        _, size, direction = np.linalg.svd(some[which == n] - middle, full_matrices=False)
        steps = extra.normal(size=(np.sum(wanted == n), len(size[:axes]))) * size[:axes] / np.sqrt(np.sum(which == n))
        drawn[wanted == n] = middle + steps @ direction[:axes]
    return drawn


normal = extra.multivariate_normal(flat.mean(axis=0), np.cov(flat, rowvar=False), 1000, method="eigh")
copied = np.where((np.arange(1000) % 10 < 3)[:, None, None, None], np.roll(picked, 1, axis=1), made_digits)
thicker = np.maximum(picked, np.roll(picked, 1, axis=1))
halves = np.concatenate([unseen[:1000, :, :8], np.roll(unseen[:1000], 1, axis=0)[:, :, 8:]], axis=2)
clearest = probabilities(made_digits)[:, :10].argsort(axis=0)[-3:].ravel()  # three of each digit
sets = {
    "test digits": tests,
    "DCGAN": made_digits,
    "normal, sharpened": sharpened(normal),
    "clusters, sharpened": sharpened(draw_clusters()),
    "30 % copied": copied,
    "training, thicker": np.maximum(thicker, np.roll(thicker, 1, axis=2)),
    "half and half": halves,
    "thirty, repeated": np.resize(made_digits[clearest], made_digits.shape),
}

# %%
fd = {name: distance_to_training(some) for name, some in sets.items()}
shares = {name: shares_of_digits(some) for name, some in sets.items()}
read = {name: share.sum() for name, share in shares.items()}
copies = {name: np.mean(ratios(some[:300]) < 0.7) for name, some in sets.items()}
variety = {name: gap(some) / gap(tests) for name, some in sets.items()}
for name in sets:
    measures = f"FD {fd[name]:5.1f}, read {read[name]:.2f}, ratio below 0.7 {copies[name]:.2f}"
    print(f"{name:>19}: {measures}, variety {variety[name]:.2f}, digits {np.sum(shares[name] >= 0.01)}")

# %% tags=["aside"]
# @title Draws figure 17.11
plots.show_rows({name: some[:14] for name, some in sets.items()}, limits=(-1, 1), width=8.5)
figure, axes = plt.subplots(1, 4, figsize=(10, 3), sharey=True)
labels_of = {
    "Fréchet distance": fd,
    "share that is read": read,
    "share of ratios below 0.7": copies,
    "variety": variety,
}
for axis, (label, bars) in zip(axes, labels_of.items()):
    plots.draw_bars(axis, {name: [number] for name, number in bars.items()}, label, highlight=["DCGAN"])
axes[0].invert_yaxis()  # four panels that share an axis have turned it four times
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 17.11. Eight sets of 1,000 images, and four measures; good images are like the test digits in each.*
#
# At this size the sharpened clusters compete with the DCGAN. And no measure is enough: thirty digits repeated are read,
# thicker training digits have hardly any low ratio, and many of the two halves are read.

# %%
claim(
    "17.6",
    "by Fréchet distance the DCGAN is at least twice as close to the digits as the best sharpened normal distribution",
    fd["DCGAN"] < fd["normal, sharpened"] / 2,
    control=frechet[0] < fd["normal, sharpened"] / 2,  # the untrained generator
)


# %% tags=["aside"]
# @title What claim 17.7 asks of a set of images
def covers_with_variety(name):
    """Whether each of eight digits is 1 % or more of a set, and its variety at least 0.5."""
    return np.sum(shares[name] >= 0.01) >= 8 and variety[name] >= 0.5


# %%
claim(
    "17.7",
    "at least eight of the ten digits are covered, with at least half the variety of test digits",
    covers_with_variety("DCGAN"),
    control=covers_with_variety("thirty, repeated"),
)

# %%
claim(
    "17.8",
    "the images are no copies: the share with a ratio below 0.7 is at most 0.1 above that of test digits",
    copies["DCGAN"] <= copies["test digits"] + 0.1,
    control=copies["30 % copied"] <= copies["test digits"] + 0.1,
)

# %% [markdown]
# See what the reader rejects, and what comes nearest to a copy.

# %% tags=["aside"]
# @title Draws figure 17.12
p = probabilities(made_digits)
order = ratios(made_digits[:300]).argsort()[:14], p[:, :10].max(axis=1).argsort()[:14]
rows = {}
for name, group in zip(("lowest ratio", "least readable"), order):
    rows[name] = made_digits[group]
    rows["nearest" + " " * len(rows) + "\ntraining digit"] = images[nearest(made_digits[group], images)[0]]
plots.show_rows(rows, limits=(-1, 1), width=8.5)

# %% [markdown]
# *Figure 17.12. First row: the generated digits with the lowest ratios, with the nearest training digit below each.
# Third row: those that the reader is least sure about, again with the nearest training digit.*
#
# Better checks for copies search in $G$ itself for the noise that draws a given training image (Webster et al., 2019).
# The third row shows strokes that belong to no digit, or to two. $G$ is continuous and maps a connected cloud of noise
# to ten kinds of digits, so between the kinds there must be something.
#
# ## Debug it
#
# Four loops of a kind that you will meet on the web, beside one that is right. Each has two small dense networks and is
# to learn to draw zeros. Look at the symptoms first, below the next two cells.


# %%
class EndOfA(layers.Layer):
    def call(self, images):
        return ops.sign(images)  # every pixel is -1 or 1


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


# %% tags=["aside"]
# @title Two small dense networks, and what a loop shows
def pocket_generator(end="tanh", *more):
    hidden = [layers.Dense(128), layers.LeakyReLU(0.2), layers.Dense(256, activation=end)]
    return keras.Sequential([keras.Input((32,)), *hidden, layers.Reshape((16, 16, 1)), *more])


def pocket_discriminator():
    hidden = [layers.Flatten(), layers.Dense(128), layers.LeakyReLU(0.2)]
    return keras.Sequential([keras.Input((16, 16, 1)), *hidden, layers.Dense(1)])


def draw_zeros(count):
    zeros = images[labels == 0]
    return zeros[rng.integers(len(zeros), size=count)]


def symptoms_of(g, d_role, g_role):
    """Fourteen images, the last losses, the largest change of a weight of G, and why the loop stopped, if it did."""
    d, before, message = pocket_discriminator(), g.get_weights(), ""
    players = compiled(d_role(d, g), 2e-3), compiled(g_role(g, d, non_saturating), 2e-3)
    try:
        last = play(*players, draw_zeros, 300, rng)[-1]
    except FloatingPointError as error:
        last, message = (np.nan, np.nan), str(error)
    moved = max(np.abs(new - old).max() for old, new in zip(before, g.get_weights()))
    return predict(g, noise_for(g, 14, rng)), last, moved, message


# %%
loops = {
    "right": (pocket_generator(), DiscriminatorPlayer, GeneratorPlayer),
    "loop A": (pocket_generator("tanh", EndOfA()), DiscriminatorPlayer, GeneratorPlayer),
    "loop B": (pocket_generator("softmax"), DiscriminatorPlayer, GeneratorPlayer),
    "loop C": (pocket_generator(), DiscriminatorOfC, GeneratorPlayer),
    "loop D": (pocket_generator(), DiscriminatorPlayer, GeneratorOfD),
}
drawn, last, moved, stopped = {}, {}, {}, {}
for name, loop in loops.items():
    drawn[name], last[name], moved[name], stopped[name] = symptoms_of(*loop)

# %% tags=["aside"]
# @title Draws figure 17.13
for name in loops:
    of_d, of_g = last[name]
    print(f"{name:7} losses of D {of_d:8.2g}, of G {of_g:8.2g}; a weight of G moved by {moved[name]:.2g} at most")
plots.show_rows(drawn, limits=(-1, 1), width=8.5)
print(textwrap.fill(stopped["loop C"], 92))

# %% [markdown]
# *Figure 17.13. Fourteen images from each generator after the same number of rounds. Loop C stopped early; its weights,
# and its pixels, are no numbers any more.*
#
# **A: images made black and white before $D$ sees them.** The derivative of a threshold is 0, so $G$ gets no gradient,
# and none of its weights moves.
#
# **B: a softmax at the end of $G$.** Softmax makes 256 numbers that sum to 1, so no pixel can be black, which is $-1$.
# Pixels are not classes: take tanh, and data from $-1$ to $1$.
#
# **C: the sign of $D$'s loss.** $V$ itself is handed to an optimiser, which lowers it. The loss is below 0 from the
# first step, which no cross-entropy ever is, and the logits run off until a logarithm of 0 stops the run.
#
# **D: the gradient of the wrong player.** In $G$'s turn the weights of $D$ are trained, and $G$ has not moved at all.
# Check that $G$'s trained weights move in $G$'s turn, and no others.


# %% tags=["aside"]
# @title What claim 17.9 asks of each loop
def has_symptom(fault, name):
    """Whether a loop shows what fault A, B, C or D does."""
    if fault in "AD":
        return moved[name] == 0
    return drawn[name].min() >= 0 if fault == "B" else stopped[name] != ""


# %%
claim(
    "17.9",
    "A and D leave the generator as it was, to the last bit; B has no dark pixel; C runs away until it is stopped",
    all(has_symptom(fault, f"loop {fault}") for fault in "ABCD"),
    control=any(has_symptom(fault, "right") for fault in "ABCD"),
)

# %% [markdown]
# ## This run

# %%
record(
    frechet_distance=fd["DCGAN"],
    frechet_distance_of_test_digits=fd["test digits"],
    share_that_is_read=read["DCGAN"],
    share_of_test_digits_that_is_read=read["test digits"],
    share_of_ratios_below_seven_tenths=copies["DCGAN"],
    variety=variety["DCGAN"],
    digits_covered=np.sum(shares["DCGAN"] >= 0.01),
    ring_modes_with_five_turns=at_the_end["five turns of D"],
    ring_modes_at_the_best_setting=at_the_end["best setting"],
)

# %% [markdown]
# ## Exercises
#
# The functions of the lesson are yours to use.
#
# **Exercise 17.1 ★** The discriminator's loss in NumPy, with one-sided label smoothing: a little less certainty about
# real images (Salimans et al., 2016). Logits may be large.


# %%
# Exercise 17.1
def smoothed_loss(real, fake, target):
    """The discriminator's loss, with `target` instead of 1 as the label of real images.

    real (n,), fake (m,): arrays of logits, anywhere between -10,000 and 10,000; n and m may
    differ. target: the label of real images, above 0 and at most 1; that of generated ones
    stays 0.
    Returns a number: the mean cross-entropy over the real images plus that over the generated
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
ex.hints(
    "Write the cross-entropy of one image with label t, then put in log D and log(1 - D) as functions of the logit.",
    "Both logarithms are a softplus of the logit or of its negative, up to the sign. NumPy's `logaddexp(0, a)` is one.",
    "Real images: t softplus(-a) + (1 - t) softplus(a). Generated ones: softplus(a). A mean of each, then the sum.",
)


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
    """You reward the discriminator for calling real images generated, and generated ones real."""
    _refuse(target)
    return _real(-real, target).mean() + _sp(-fake).mean()


@ex.wrong
def not_smoothed(real, fake, target):
    """Right where the target is 1. Elsewhere the second part of the cross-entropy of real images is missing."""
    _refuse(target)
    return target * _sp(-real).mean() + _sp(fake).mean()


@ex.wrong
def target_ignored(real, fake, target):
    """Right where the target is 1. Elsewhere you go on as if it were."""
    _refuse(target)
    return _sp(-real).mean() + _sp(fake).mean()


@ex.wrong
def both_smoothed(real, fake, target):
    """The generated images have been smoothed too. The smoothing is one-sided: their label stays 0."""
    _refuse(target)
    return _real(real, target).mean() + _real(-fake, target).mean()


@ex.wrong
def one_mean(real, fake, target):
    """You took one mean over all images. Each of the two parts is a mean of its own, and they are added."""
    _refuse(target)
    return np.concatenate([_real(real, target), _sp(fake)]).mean()


@ex.wrong
def accepts_anything(real, fake, target):
    """Right for a valid target. For others, a ValueError is asked for."""
    return _real(real, target).mean() + _sp(fake).mean()


@ex.wrong
def sums(real, fake, target):
    """You added up over the images. Each of the two parts is a mean over its own batch."""
    _refuse(target)
    return _real(real, target).sum() + _sp(fake).sum()


@ex.wrong
def halved(real, fake, target):
    """The two means are added; you have half of their sum, or their mean."""
    _refuse(target)
    return (_real(real, target).mean() + _sp(fake).mean()) / 2


@ex.wrong
def one_loss_a_image(real, fake, target):
    """The mean over the real images is missing: you return an array with one loss for each of them."""
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
# **Exercise 17.2 ★★** Another loss for the game, least squares (Mao et al., 2017), and how each output moves it.


# %%
# Exercise 17.2
def least_squares_game(real, fake, high):
    """The two losses of a least squares GAN, each with its gradients.

    real (n,), fake (m,): arrays of floats, what the discriminator puts out, without a sigmoid,
    for n real and m generated images; n and m may differ. high: a number above 0.
    D is to put out `high` for real images and 0 for generated ones: its loss is half the mean
    squared difference over the real images plus half that over the generated ones. G wants
    `high` for its images: its loss is half the mean squared difference of `fake` from `high`.
    Returns a dict: "D" is a tuple of D's loss, its gradient with respect to `real` (n,), and
    that with respect to `fake` (m,); "G" is a tuple of G's loss and its gradient with respect
    to `fake` (m,).
    Example: least_squares_game(np.array([1.0, 0.0]), np.array([0.5]), 1) has at "D" the loss
    0.375 and the gradients [0, -0.5] and [0.5], at "G" the loss 0.125 and the gradient [-0.5].
    """
    ### BEGIN SOLUTION
    off_real, off_fake = real - high, fake - high
    return {
        "D": ((np.mean(off_real**2) + np.mean(fake**2)) / 2, off_real / len(real), fake / len(fake)),
        "G": (np.mean(off_fake**2) / 2, off_fake / len(fake)),
    }
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("17.2", atol=1e-9)
ex.hints(
    "Write each loss as a sum over single images. Which of its terms does one output stand in?",
    "Half a squared difference has the difference as its derivative. What does the mean over n images do to it?",
    "For D: (real - high) / n and fake / m. For G: (fake - high) / m.",
)


@ex.cases
def _(rng):
    yield np.array([1.0, 0.0]), np.array([0.5]), 1.0
    yield np.array([2.0]), np.array([-1.0, 3.0, 0.5]), 0.5
    yield np.array([-40.0, 30.0, 2.0]), np.array([50.0, -20.0]), 3.0
    for n in range(18):
        n_real, n_fake = (int(count) for count in rng.integers((2, 6), (6, 9)))
        high = 1.0 if n % 3 == 0 else float(rng.uniform(0.3, 3))
        yield 2 * rng.normal(size=n_real), 2 * rng.normal(size=n_fake), high


@ex.oracle
def _(real, fake, high):
    # The losses by Python's sums, and the gradients by a step in the imaginary direction, one output at a time.
    h, real, fake = 1e-30, list(map(float, real)), list(map(float, fake))

    def half(outputs, wanted):
        return sum((a - wanted) * (a - wanted) for a in outputs) / len(outputs) / 2

    def by_outputs(outputs, wanted):
        moved = [[a + h * 1j * (i == j) for j, a in enumerate(outputs)] for i in range(len(outputs))]
        return np.array([half(some, wanted).imag / h for some in moved])

    of_d = half(real, high) + half(fake, 0.0), by_outputs(real, high), by_outputs(fake, 0.0)
    return {"D": of_d, "G": (half(fake, high), by_outputs(fake, high))}


def _game(real, fake, high, low=0.0, wanted=None, scale=1.0, slope=1.0, slope_of_fake=1.0, summed=False):
    """The right answer, with changes."""
    wanted = high if wanted is None else wanted
    n, m = (1, 1) if summed else (len(real), len(fake))
    of_d = np.sum((real - high) ** 2) / n + np.sum((fake - low) ** 2) / m
    return {
        "D": (
            scale * of_d / 2,
            scale * slope * (real - high) / n,
            scale * slope * slope_of_fake * (fake - low) / m,
        ),
        "G": (scale * np.sum((fake - wanted) ** 2) / m / 2, scale * slope * (fake - wanted) / m),
    }


@ex.wrong
def mean_forgotten(real, fake, high):
    """The losses are right. They are means over a batch, and a single output moves a mean by less."""
    right, sums = _game(real, fake, high), _game(real, fake, high, summed=True)
    return {who: (right[who][0], *sums[who][1:]) for who in right}


@ex.wrong
def not_halved(real, fake, high):
    """Everything is twice as large as it should be: each mean of squares is halved."""
    return _game(real, fake, high, scale=2.0)


@ex.wrong
def slopes_not_halved(real, fake, high):
    """The losses are right, and the gradients twice too large: the derivative of a square has a factor 2, which the
    half takes away."""
    return _game(real, fake, high, slope=2.0)


@ex.wrong
def losses_not_halved(real, fake, high):
    """The gradients are right. Each loss is half of a mean of squares, yours is twice that."""
    right = _game(real, fake, high)
    return {who: (2 * right[who][0], *right[who][1:]) for who in right}


@ex.wrong
def uphill(real, fake, high):
    """The losses are right, and all gradients have the wrong sign: a loss grows where an output moves away from what
    is wanted of it."""
    return _game(real, fake, high, slope=-1.0)


@ex.wrong
def high_ignored(real, fake, high):
    """Right where `high` is 1. Elsewhere you go on as if it were."""
    return _game(real, fake, 1.0)


@ex.wrong
def generator_gives_in(real, fake, high):
    """D's part is right. G is to lower the distance of its outputs from `high`; yours wants them at 0, as D does."""
    return _game(real, fake, high, wanted=0.0)


@ex.wrong
def zero_sum(real, fake, high):
    """D's part is right. This game is not a single value with two signs: G has squares of its own, those of the
    differences from `high`."""
    right = _game(real, fake, high)
    return {**right, "G": (-np.mean(fake**2) / 2, -fake / len(fake))}


@ex.wrong
def minus_one(real, fake, high):
    """You ask D for minus `high` at generated images. Asked for is 0."""
    return _game(real, fake, high, low=-high)


@ex.wrong
def sums(real, fake, high):
    """Losses and gradients are those of sums over the images. The losses are means."""
    return _game(real, fake, high, summed=True)


@ex.wrong
def one_mean(real, fake, high):
    """G's part is right. D's loss is a mean over the real images plus one over the generated ones; you took one mean
    over all images."""
    count = len(real) + len(fake)
    loss = (np.sum((real - high) ** 2) + np.sum(fake**2)) / count / 2
    return {**_game(real, fake, high), "D": (loss, (real - high) / count, fake / count)}


@ex.wrong
def with_a_sigmoid(real, fake, high):
    """The outputs are compared as they are: there is no sigmoid in this game."""
    return _game(1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake)), high)


@ex.wrong
def away(real, fake, high):
    """The gradient of D's loss with respect to `fake` has the wrong sign: this loss grows where an output for a
    generated image moves away from 0."""
    return _game(real, fake, high, slope_of_fake=-1.0)


@ex.wrong
def one_slope(real, fake, high):
    """The losses are right. Each gradient has one number for each output; you added them up into one."""
    return {who: (loss, *(slope.sum() for slope in slopes)) for who, (loss, *slopes) in _game(real, fake, high).items()}


@ex.right
def by_moments(real, fake, high):
    def half_square(outputs, wanted):
        loss = outputs @ outputs / outputs.size / 2 - wanted * outputs.mean() + wanted**2 / 2
        return loss, np.array([(a - wanted) / outputs.size for a in outputs])

    (of_real, by_real), (of_fake, by_fake) = half_square(real, high), half_square(fake, 0)
    return {"D": (of_real + of_fake, by_real, by_fake), "G": half_square(fake, high)}


# %%
check("17.2", least_squares_game)

# %% [markdown]
# **Exercise 17.3 ★★★** A generator by the DCGAN guidelines for any table of shapes. The check sets its weights, in
# their order, to numbers of its own.


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
ex.hints(
    "Which layers stand between two rows of the table, and which of them has the channels of the second row?",
    "Batch normalisation and ReLU stand *before* each transposed convolution, so also before the first one.",
    "Dense, Reshape; then for each further row BatchNormalization, ReLU, Conv2DTranspose; the last with bias, tanh.",
)


def _numbers(n, shape):
    """The n-th array of weights: positive, so that it may be a variance too, and of mean 0.02."""
    return np.random.default_rng(n).uniform(0.0, 0.04, shape) * (1 + 40 * (len(shape) == 1))


def _signs(shape):
    return (-1.0) ** np.indices(shape).sum(axis=0) if len(shape) > 1 else 1.0


@ex.cases
def _(rng):
    def z(numbers):
        return rng.normal(size=(2, numbers))

    yield 10, [[2, 2, 8], [4, 4, 4], [8, 8, 1]], z(10)
    yield 3, [[2, 2, 2], [4, 4, 1]], z(3)
    yield 2, [[1, 3, 2], [2, 6, 3]], z(2)
    yield 2, [[3, 1, 3], [6, 2, 5], [12, 4, 2]], z(2)
    yield 3, [[1, 1, 2], [2, 2, 3], [4, 4, 5], [8, 8, 1]], z(3)
    for n in range(2):
        (height, width), numbers = rng.integers(1, 4, 2), int(rng.integers(2, 6))
        channels = [int(rng.choice([2, 3, 5])) for _ in range(2 + n)]
        table = [[int(height) * 2**i, int(width) * 2**i, count] for i, count in enumerate(channels)]
        yield numbers, table, z(numbers)
    yield 3, [[2, 2, 2], [4, 5, 1]], z(3)
    yield 3, [[2, 2, 2], [5, 4, 1]], z(3)
    yield 3, [[2, 2, 2], [2, 2, 1]], z(3)
    yield 3, [[2, 2, 2], [6, 6, 1]], z(3)
    yield 3, [[1, 3, 2], [2, 5, 1]], z(3)
    yield 3, [[3, 1, 2], [5, 2, 1]], z(3)
    yield 3, [[2, 2, 2], [5, 4, 2], [10, 8, 1]], z(3)  # only the first step is bad
    yield 3, [[2, 2, 2], [4, 5, 2], [8, 10, 1]], z(3)
    yield 3, [[2, 2, 2], [4, 4, 2], [8, 9, 1]], z(3)  # only the last
    yield 3, [[2, 2, 2], [4, 4, 2], [9, 8, 1]], z(3)
    yield 3, [[1, 1, 2], [2, 2, 2], [4, 5, 2], [8, 10, 1]], z(3)  # only the middle
    yield 3, [[1, 1, 2], [2, 2, 2], [5, 4, 2], [10, 8, 1]], z(3)
    yield 3, [[2, 2, 2], [4, 5, 2], [8, 8, 1]], z(3)  # the first and the last fit
    yield 3, [[2, 2, 2], [5, 4, 2], [8, 8, 1]], z(3)
    yield 3, [[2, 2, 2], [8, 2, 1]], z(3)  # the areas fit
    yield 3, [[2, 2, 2], [2, 8, 1]], z(3)


ex.shown_as("generator_from_table(numbers, [tuple(entry) for entry in table]).summary()")


@ex.drive
def _(answer, numbers, table, z):
    given = [tuple(entry) for entry in table]
    model = answer(numbers, given)
    if model is None:
        return None
    shapes = [tuple(int(n) for n in weight.shape) for weight in model.weights]
    for n, weight in enumerate(model.weights):
        weight.assign((_numbers(n, weight.shape) * _signs(weight.shape)).astype("float32"))
    images = keras.ops.convert_to_numpy(model(z.astype("float32"), training=False))
    in_training = keras.ops.convert_to_numpy(model(z.astype("float32"), training=True))
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return {
        "weights": shapes,
        "trained": trained,
        "images": images,
        "images with training=True": in_training,
        "the table afterwards": given,
    }


@ex.oracle
def _(numbers, table, z):
    # Every layer by hand; a transposed convolution as stamps, of which one row and column come off at each edge.
    for (height, width, _), (new_height, new_width, _) in zip(table, table[1:]):
        if (new_height, new_width) != (2 * height, 2 * width):
            raise ValueError("not twice the size")

    def images(training):
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
            if training:
                mean = x.mean(axis=(0, 1, 2))
                variance = ((x - mean) ** 2).mean(axis=(0, 1, 2))
            return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, 0)

        x = (z @ weight(numbers, int(np.prod(table[0])))).reshape(len(z), *table[0])
        for *_, channels in table[1:]:
            x = normalised(x)
            kernel = weight(4, 4, channels, x.shape[-1])
            larger = np.zeros((len(z), 2 * x.shape[1] + 2, 2 * x.shape[2] + 2, channels))
            for u, v in np.ndindex(x.shape[1:3]):
                larger[:, 2 * u : 2 * u + 4, 2 * v : 2 * v + 4] += np.einsum("bm,ijcm->bijc", x[:, u, v], kernel)
            x = larger[:, 1:-1, 1:-1]
        return np.tanh(x + weight(x.shape[-1])), shapes, trained

    outside, shapes, trained = images(training=False)
    return {
        "weights": shapes,
        "trained": trained,
        "images": outside,
        "images with training=True": images(training=True)[0],
        "the table afterwards": [tuple(entry) for entry in table],
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
    drop=0.0,
):
    if check:
        _refuse(table)

    def pair():
        layers_of_it = [layers.BatchNormalization(), relu()] if norm else [relu()]
        layers_of_it += [layers.Dropout(drop, seed=1)] if drop else []
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
    """The images end between 0 and 1, by a sigmoid. The data run from -1 to 1, and so must they."""
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
    """The output has been normalised as well; the guidelines except it, so that the images keep their own mean and
    contrast."""
    return _build(numbers, table, last=True)


@ex.wrong
def normalised_output_without_bias(numbers, table):
    """The output has been normalised as well, and has lost its bias to that; the guidelines except it, so that the
    images keep their own mean and contrast."""
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


@ex.wrong
def ends_only(numbers, table):
    """Right where only the last entry is wrong. Compare each entry with the one before it: the last one may fit where
    one between does not."""
    times = 2 ** (len(table) - 1)
    if [times * n for n in table[0][:2]] != list(table[-1][:2]):
        raise ValueError
    return _build(numbers, table, check=False)


@ex.wrong
def areas_only(numbers, table):
    """Four times the area is not enough: height and width are each twice those of the entry before."""
    if any(large[0] * large[1] != 4 * small[0] * small[1] for small, large in zip(table, table[1:])):
        raise ValueError
    return _build(numbers, table, check=False)


@ex.wrong
def with_dropout(numbers, table):
    """Right outside training. In training something sets outputs to 0, which the docstring does not ask for."""
    return _build(numbers, table, drop=0.5)


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
# **Exercise 17.4 ★★** Which modes are covered, and which share of the samples is near any of them?


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
    gaps = distance.cdist(samples, centres)  # (n, m)
    near, inside = gaps.argmin(axis=1), gaps.min(axis=1) <= radius
    shares = np.bincount(near[inside], minlength=len(centres)) / len(samples)
    return int(np.sum(shares >= least)), inside.mean()
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise, naming

import numpy as np

ex = exercise("17.4")
ex.hints(
    "First a table of all distances, a row for each sample. Which entry of a row decides where the sample belongs?",
    "`argmin` names the nearest centre, `min` says how far it is. Count only samples that are near enough.",
    "Count the samples of each centre (`np.bincount` with `minlength`), divide by n, and compare with `least`.",
)


@ex.cases
def _(rng):
    yield np.array([[0.0, 0], [0, 1], [5, 5], [9, 9]]), np.array([[0.0, 0], [9, 9], [20, 0]]), 1.0, 0.5
    yield np.array([[0.0, 0], [0, 2], [5, 5], [9, 9]]), np.array([[0.0, 0], [9, 9]]), 2.0, 0.25
    yield np.array([[0.0], [0], [5], [5], [5], [9], [9]]), np.array([[0.0], [5], [9]]), 1.0, 0.3  # 0.3 of 7 is 2.1
    yield np.array([[0.0], [1], [5], [5], [5], [5], [9]]), np.array([[0.0], [5], [9]]), 1.0, 0.2  # 0.2 of 7 is 1.4
    yield np.array([[0.0, 1], [3, 3]]), np.array([[0.0, 0], [9, 9], [-5, 1]]), 1.5, 0.0  # nobody is enough
    yield np.array([[4.0, 0], [1, 0]]), np.array([[0.0, 0], [5, 0]]), 9.0, 0.5  # in the radius of both
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
    yield rng.normal(size=(6, 4)), rng.normal(size=(2, 3)), 1.0, 0.1


@ex.oracle
def _(samples, centres, radius, least):
    # Sample by sample, in Python's own numbers.
    if np.shape(samples)[1] != np.shape(centres)[1]:
        raise naming(ValueError, np.shape(samples)[1], np.shape(centres)[1])
    rows = [[math.dist(sample, centre) for centre in centres] for sample in samples]
    belong = [row.index(min(row)) for row in rows if min(row) <= radius]
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


@ex.wrong
def silent(samples, centres, radius, least):
    """The numbers are right. The ValueError has to name both sizes along axis 1, of samples and of centres."""
    if samples.shape[1] != centres.shape[1]:
        raise ValueError("not in one space")
    return _report(_gaps(samples, centres), radius, least)


@ex.right
def mode_by_mode(samples, centres, radius, least):
    (n, d), (m, other) = samples.shape, centres.shape
    if d != other:
        raise ValueError(f"{d} and {other} numbers")
    gaps = np.sqrt(np.sum([np.subtract.outer(samples[:, i], centres[:, i]) ** 2 for i in range(d)], axis=0))
    near, gaps = gaps.argmin(axis=1), gaps.min(axis=1)
    belongs = np.stack([(near == i) & (gaps <= radius) for i in range(m)])  # (m, n)
    return int(sum(row.sum() / n >= least for row in belongs)), belongs.any(axis=0).mean()


# %%
check("17.4", mode_report)

# %% [markdown]
# **Exercise 17.5 ★★** A discriminator that sees one image at a time cannot notice that all images of a batch are alike.
# Write the layer that shows it (Karras et al., 2018).


# %%
# Exercise 17.5
class MinibatchDeviation(keras.layers.Layer):
    """Adds a channel that says how much the images of a batch differ; a layer without weights.

    epsilon: a number above 0, added to each variance before the root is taken, so that a batch
    of equal images has a gradient too.
    Called on x (batch, h, w, C): gives (batch, h, w, C + 1), which are the channels of x and,
    behind them, one that holds the same number everywhere. The number: at each place of each
    channel take the variance over the batch (the mean squared difference from the mean), add
    epsilon, take the root; then take the mean over all places and channels. The layer also works
    in a functional model.
    Raises ValueError where x has not four axes.
    Example: for the two images [[[3]]] and [[[5]]], and an epsilon near 0, it gives
    [[[3, 1]]] and [[[5, 1]]].
    """

    def __init__(self, epsilon=1e-8, **options):
        super().__init__(**options)
        self.epsilon = epsilon

    def call(self, x):
        ### BEGIN SOLUTION
        if len(x.shape) != 4:
            raise ValueError(f"x has {len(x.shape)} axes, not 4: {x.shape}")
        deviation = ops.mean(ops.sqrt(ops.var(x, axis=0) + self.epsilon))
        return ops.concatenate([x, ops.ones_like(x[..., :1]) * deviation], axis=-1)
        ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import keras
import numpy as np
from keras import ops

ex = exercise("17.5", rtol=1e-4, atol=1e-5)
ex.hints(
    "Two steps: one number for the whole batch, then a channel that is filled with it.",
    "`ops.var(x, axis=0)` is the variance at each place of each channel. When is the mean taken, and when the root?",
    "Take the mean of the roots of variance + epsilon, multiply it by `ops.ones_like(x[..., :1])`, and concatenate.",
)


@ex.cases
def _(rng):
    def case(shape, epsilon, spread=1.0):
        weights = rng.normal(size=(*shape[:-1], shape[-1] + 1))
        return spread * rng.normal(size=shape) + 2, {"epsilon": epsilon}, weights

    yield np.array([3.0, 5.0]).reshape(2, 1, 1, 1), {}, np.ones((2, 1, 1, 2))
    yield np.ones((4, 1, 2, 1)), {}, rng.normal(size=(4, 1, 2, 2))  # all images alike
    yield np.ones((3, 2, 2, 2)), {"epsilon": 0.25}, rng.normal(size=(3, 2, 2, 3))
    yield case((1, 3, 2, 2), 0.04)
    yield case((2, 1, 1, 1), 2.0)
    yield case((5, 2, 2, 1), 0.5)
    yield case((3, 1, 4, 3), 1e-3, spread=4.0)
    for n in range(4):
        batch, h, w, channels = (int(v) for v in rng.integers((2, 1, 1, 1), (6, 4, 4, 4)))
        yield case((batch, h, w, channels), [1e-2, 0.3][n % 2])
    yield rng.normal(size=(3, 4)), {}, np.ones(1)
    yield rng.normal(size=(3, 4, 2)), {}, np.ones(1)
    yield rng.normal(size=(2, 1, 2, 2, 3)), {}, np.ones(1)


ex.shown_as("layer = MinibatchDeviation(**options)\nlayer(x.astype('float32'))")


@ex.drive
def used(answer, x, options, weights):
    layer = answer(**options)
    x = x.astype("float32")
    layer.call(ops.convert_to_tensor(x))  # as it is: around what `call` raises, Keras puts words of its own
    if x.ndim != 4:
        layer(x)
        return "an output"
    try:
        symbolic = tuple(layer(keras.Input(x.shape[1:])).shape)
    except Exception:  # named in what is compared: the call that a failed check shows works
        symbolic = ("fails",)

    def weighted(at):
        return ops.sum(layer(at) * weights.astype("float32"))

    return {
        "output": ops.convert_to_numpy(layer(ops.convert_to_tensor(x))),
        "shape in a functional model": symbolic,
        "number of weights": len(layer.weights),
        "gradient of a weighted sum of the output": ops.convert_to_numpy(gradient(weighted, x)),
    }


@ex.oracle
def _(x, options, weights):
    # By hand, with the derivative of the root in double precision.
    if np.ndim(x) != 4:
        raise ValueError("not images")
    centred = x - x.mean(axis=0)
    deviations = np.sqrt((centred**2).mean(axis=0) + options.get("epsilon", 1e-8))
    channel = np.full((*x.shape[:-1], 1), deviations.mean())
    by_number = weights[..., -1].sum() * centred / (len(x) * deviations * deviations.size)
    return {
        "output": np.concatenate([x, channel], axis=-1).astype("float32"),
        "shape in a functional model": (None, *x.shape[1:-1], x.shape[-1] + 1),
        "number of weights": 0,
        "gradient of a weighted sum of the output": (weights[..., :-1] + by_number).astype("float32"),
    }


class _Base(keras.layers.Layer):
    def __init__(self, epsilon=1e-8, **options):
        super().__init__(**options)
        self.epsilon = epsilon

    def number(self, x):
        return ops.mean(ops.sqrt(ops.var(x, axis=0) + self.epsilon))

    def refuse(self, x):
        if len(x.shape) != 4:
            raise ValueError("not images")

    def call(self, x):
        self.refuse(x)
        return ops.concatenate([x, ops.ones_like(x[..., :1]) * self.number(x)], axis=-1)


@ex.wrong
class sample_variance(_Base):
    """You divide by one less than the number of images. The variance asked for is a mean: divide by their number."""

    def number(self, x):
        n = max(x.shape[0] or 2, 2)
        return ops.mean(ops.sqrt(ops.var(x, axis=0) * n / (n - 1) + self.epsilon))


@ex.wrong
class root_of_the_mean(_Base):
    """You took the mean of the variances and then the root. First the root at each place, then the mean."""

    def number(self, x):
        return ops.sqrt(ops.mean(ops.var(x, axis=0) + self.epsilon))


@ex.wrong
class of_all_numbers(_Base):
    """You took the deviation of all numbers together, so a single image with bright and dark pixels seems varied. Take
    the variance over the batch, at each place by itself."""

    def number(self, x):
        return ops.sqrt(ops.var(x) + self.epsilon)


@ex.wrong
class within_each_image(_Base):
    """You took the variance over the places of each image. It has to be over the batch, axis 0."""

    def number(self, x):
        return ops.mean(ops.sqrt(ops.var(x, axis=(1, 2)) + self.epsilon))


@ex.wrong
class epsilon_after_the_root(_Base):
    """You added epsilon to the deviation. It belongs to the variance, under the root."""

    def number(self, x):
        return ops.mean(ops.sqrt(ops.var(x, axis=0) + 1e-12) + self.epsilon)


@ex.wrong
class epsilon_ignored(_Base):
    """You use an epsilon of your own. Take the one that the layer was made with."""

    def number(self, x):
        return ops.mean(ops.sqrt(ops.var(x, axis=0) + 1e-8))


@ex.wrong
class no_mean(_Base):
    """Your new channel differs from place to place. It holds one number, a mean over all places and channels."""

    def call(self, x):
        self.refuse(x)
        deviations = ops.mean(ops.sqrt(ops.var(x, axis=0, keepdims=True) + self.epsilon), axis=-1, keepdims=True)
        return ops.concatenate([x, ops.ones_like(x[..., :1]) * deviations], axis=-1)


@ex.wrong
class channel_for_each(_Base):
    """You add a channel for each channel of x. Asked for is a single one."""

    def call(self, x):
        self.refuse(x)
        return ops.concatenate([x, ops.ones_like(x) * self.number(x)], axis=-1)


@ex.wrong
class in_front(_Base):
    """The new channel stands before those of x. It belongs behind them."""

    def call(self, x):
        return ops.roll(super().call(x), 1, axis=-1)


@ex.wrong
class variance(_Base):
    """You left out the root: the number is a mean of standard deviations, not of variances."""

    def number(self, x):
        return ops.mean(ops.var(x, axis=0) + self.epsilon)


@ex.wrong
class gradient_stopped(_Base):
    """The output is right. But no gradient passes through the new channel, so the generator cannot learn from it."""

    def number(self, x):
        return ops.stop_gradient(super().number(x))


@ex.wrong
class any_axes(_Base):
    """Right for images. Where x has not four axes, a ValueError is asked for."""

    def refuse(self, x):
        """Nothing is refused."""


@ex.wrong
class fixed_batch(_Base):
    """Right for arrays. In a functional model, `layer(keras.Input((h, w, C)))`, the size of the batch is not known: it
    is None in x.shape. Make the new channel of x itself, as `ops.ones_like` does."""

    def call(self, x):
        self.refuse(x)
        batch, height, width, _ = x.shape
        return ops.concatenate([x, ops.ones((batch, height, width, 1)) * self.number(x)], axis=-1)


@ex.right
class by_padding(keras.layers.Layer):
    def __init__(self, epsilon=1e-8, **options):
        super().__init__(**options)
        self.offset = epsilon

    def call(self, images):
        _, _, _, channels = images.shape  # raises a ValueError where there are more or fewer
        _, variance = ops.moments(images, axes=[0])
        last = np.arange(channels + 1) == channels
        wider = ops.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))
        return wider + ops.cast(last, "float32") * ops.mean(ops.power(variance + self.offset, 0.5))


# %%
check("17.5", MinibatchDeviation)

# %% [markdown]
# **Exercise 17.6 ★★★** Repair a round of the smallest GAN there is: $D(x) = \sigma(wx + c)$, $G(z) = z + b$, gradients
# by hand. As it stands, both networks get worse.


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
ex.hints(
    "Play one round by hand from w = c = b = 0 with x = 2 and z = 0. Which of the new numbers should be larger?",
    "The derivative of a cross-entropy with respect to the logit is the probability minus the label.",
    "For w: mean of (D - 1) x over real numbers plus mean of D made over generated ones. For b: -(1 - D) times w.",
)


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
    """In the discriminator's turn one half is right. The other raises D where numbers were generated: the two means of
    its gradient have opposite signs, one for D - 1 on real numbers and one for D on generated ones."""
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
    w, c = w - rate * np.sum(off * points), c - rate * np.sum(off)
    surprise = (1 - np.tanh((w * (z + b) + c) / 2)) / 2
    return w, c, b + rate * w * surprise.sum() / len(z)


# %%
check("17.6", one_round)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | the game | $\min_G \max_D\; \mathbb{E}_x[\log D(x)] + \mathbb{E}_\mathbf{z}[\log(1 - D(G(\mathbf{z})))]$ | (17.1) |
# | D's loss | mean softplus$(-a)$ of real + mean softplus$(a)$ of generated | (17.2) |
# | the best discriminator | $D^* = p_\text{data} / (p_\text{data} + p_G)$ | (17.3) |
# | what $G$ then lowers | $-\log 4 + 2\,\mathrm{JSD}$, least at $p_G = p_\text{data}$ | (17.4), (17.5) |
# | G's losses | saturating $-\operatorname{softplus}(a)$, non-saturating $\operatorname{softplus}(-a)$ | (17.6) |
# | their slopes | $-D$ fades where $D$ is sure; $-(1 - D)$ does not | (17.7) |
# | no downhill | at once $\theta^2 + \psi^2$ grows; in turns $\theta^2 + \psi^2 - \alpha\theta\psi$ stays | (17.8) |
# | FD | $\Vert\mu_1 - \mu_2\Vert^2 + \operatorname{tr}(\Sigma_1 + \Sigma_2 - 2(\Sigma_1 \Sigma_2)^{1/2})$ | (17.9) |
#
# ## References
#
# - Chong and Forsyth, *Effectively unbiased FID and Inception score and where to find them*, 2020.
# - Dowson and Landau, *The Fréchet distance between multivariate normal distributions*, 1982.
# - Goodfellow et al., *Generative adversarial nets*, 2014, arXiv:1406.2661.
# - Heusel et al., *GANs trained by a two time-scale update rule converge to a local Nash equilibrium*, 2017.
# - Karras et al., *Progressive growing of GANs*, 2018.
# - Lin, *Divergence measures based on the Shannon entropy*, 1991.
# - Lucic et al., *Are GANs created equal?*, 2018.
# - Maas, Hannun and Ng, *Rectifier nonlinearities improve neural network acoustic models*, 2013.
# - Mao et al., *Least squares generative adversarial networks*, 2017.
# - Mescheder, Geiger and Nowozin, *Which training methods for GANs do actually converge?*, 2018.
# - Metz et al., *Unrolled generative adversarial networks*, 2017.
# - Radford, Metz and Chintala, *Unsupervised representation learning with DCGAN*, 2016, arXiv:1511.06434.
# - Salimans et al., *Improved techniques for training GANs*, 2016.
# - Webster et al., *Detecting overfitting of deep generative networks via latent recovery*, 2019.
