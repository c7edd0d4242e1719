# %% [raw]
# title: Autoencoders
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
#   - dropout
#   - output size, stride, padding and dilation
#   - transposed convolution
#   - training, validation and test data
#   - early stopping
#   - callbacks
# teaches:
#   - autoencoder
#   - principal component analysis
#   - denoising autoencoder
#   - Kullback-Leibler divergence
#   - evidence lower bound
#   - reparameterisation
#   - variational autoencoder
#   - vector quantisation
#   - straight-through gradient
#   - perplexity
# data: [MNIST]
# sources:
#   - "Eckart & Young, The approximation of one matrix by another of lower rank, 1936"
#   - "Baldi & Hornik, Neural networks and principal component analysis, 1989"
#   - "Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning, 1992"
#   - "Tipping & Bishop, Probabilistic principal component analysis, 1999"
#   - "Hinton & Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006"
#   - "Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008"
#   - "Efron, Tweedie's formula and selection bias, 2011"
#   - "Bengio, Léonard & Courville, Estimating or propagating gradients through stochastic neurons, 2013"
#   - "Kingma & Welling, Auto-encoding variational Bayes, 2014"
#   - "Rezende, Mohamed & Wierstra, Stochastic backpropagation and approximate inference, 2014"
#   - "Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, 2016"
#   - "Higgins et al., beta-VAE, 2017"
#   - "Van den Oord, Vinyals & Kavukcuoglu, Neural discrete representation learning, 2017"
#   - "Song & Ermon, Generative modeling by estimating gradients of the data distribution, 2019"
#   - "Dhariwal et al., Jukebox: a generative model for music, 2020"
#   - "Ghosh, Sajjadi, Vergari, Black & Schölkopf, From variational to deterministic autoencoders, 2020"

# %% [markdown]
# Each digit in the top row has 784 pixels. Somebody wrote down 32 numbers about it and threw the digit away; the row
# below was drawn from those numbers alone. For the third row nobody looked at a digit at all: the 32 numbers were
# made up, at random, each as large as such numbers usually are.

# %%
from course import at_once, budget, check, claim, data, gradient, plots, predict, prove, record, seed, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import integrate, linalg, stats
from scipy.spatial import KDTree, Voronoi, voronoi_plot_2d
from sklearn.decomposition import PCA

rng = start("16")  # seeds everything from COURSE_SEED and sets the style of the figures
CODE = 32  # how many numbers may be written down about a digit


def draw_rows(rows, width=8.0):
    """Draw pictures (28, 28) from 0 (black) to 1 (white), one row for each entry of a dict from name to pictures."""
    longest = max(len(pictures) for pictures in rows.values())
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, len(rows) * 0.92 * width / longest), squeeze=False)
    for axis, (name, pictures) in zip(axes[:, 0], rows.items()):
        framed = [np.pad(np.reshape(picture, (28, 28)), 1, constant_values=0.45) for picture in pictures]
        axis.imshow(np.concatenate(framed, axis=1), vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    plt.show()


# %%
mnist = data.mnist()
images = mnist.x_train[: budget(quick=10_000, full=60_000, least=500), ..., None]
images = images.astype("float32") / 255  # 0 black to 1 white
labels = mnist.y_train[: len(images)]
tests = mnist.x_test[: budget(quick=2_000, full=10_000, least=500), ..., None].astype("float32") / 255
test_labels = mnist.y_test[: len(tests)]

pca = PCA(CODE, svd_solver="covariance_eigh").fit(images.reshape(len(images), -1))
written = pca.transform(tests.reshape(len(tests), -1))
made_up = np.sqrt(pca.explained_variance_) * rng.normal(size=(10, CODE))
draw_rows(
    {
        "digits": tests[:10],
        "redrawn from\n32 numbers": pca.inverse_transform(written[:10]),
        "32 numbers\nmade up": pca.inverse_transform(made_up),
    }
)

# %% [markdown]
# *Figure 16.1. Test digits; the same, redrawn from 32 numbers each by principal component analysis, which you will
# meet below; and pictures drawn from 32 random numbers.*
#
# The second row can be read, though it is smeared. Most of the third cannot: each of the numbers could have come from
# a digit, all together come from none. Two questions, then:
#
# **How few numbers are enough to draw a digit? And can they be chosen such that numbers you make up draw one too?**
#
# ## What you will be able to do
#
# - build an autoencoder, and say what its linear version computes before you train it;
# - train it to take noise away, and say what the best guess at the clean picture is;
# - derive the evidence lower bound, and train a variational autoencoder with every sum and every mean in its place;
# - send a gradient through a random draw, and through a choice that has no gradient;
# - build a VQ-VAE, and see to it that its codebook does not die;
# - recognise a KL term that is a mean, and a loss with the wrong sign, from what they do to the pictures.
#
# ## Squeeze, and compare
#
# An **autoencoder** is two networks. The **encoder** $E$ makes of a picture $x$ with $n$ pixels a **code** $z = E(x)$
# of $k$ numbers. The **decoder** $D$ makes of the code a picture $\hat x = D(z)$, the **reconstruction**. The target
# is the input, so nobody has to label anything. What is learned is what to write down, as $k$ is much less than $n$.
# (In this chapter, as in the papers it follows, $z$ is a code; $k$ is its length, and $\sigma$ a standard
# deviation.)
#
# The loss of one picture is the squared distance between what went in and what came out:
#
# $$ \ell(x) = \bigl\| x - D(E(x)) \bigr\|^2 = \sum_{i=1}^{n} (x_i - \hat x_i)^2 \tag{16.1} $$
#
# It is a *sum* over the pixels. The loss $L$ of a batch is the *mean* over its pictures. Keep the two apart; much
# will hang on it.


# %%
def refuse_unless_alike(x, other, name):
    """Raise ValueError, naming the axis and the two sizes, where `other` has not the shape of x."""
    if len(x.shape) != len(other.shape):
        shapes = f"{tuple(other.shape)}, not {tuple(x.shape)}"
        raise ValueError(f"{name} has {len(other.shape)} axes, where {len(x.shape)} are needed: its shape is {shapes}")
    for axis, (wanted, size) in enumerate(zip(x.shape, other.shape)):
        if None not in (wanted, size) and wanted != size:
            raise ValueError(f"{name} has size {size} along axis {axis}, where {wanted} is needed")


def squared_error(x, reconstruction):
    """The loss of each picture (16.1): x and reconstruction (batch, ...) of one shape -> (batch,)."""
    refuse_unless_alike(x, reconstruction, "the reconstruction")
    return ops.sum(ops.square(x - reconstruction), axis=list(range(1, len(x.shape))))  # (16.1)


def keras_squared_error(x, reconstruction):
    flat = x.reshape(len(x), -1), reconstruction.reshape(len(x), -1)
    return flat[0].shape[1] * ops.convert_to_numpy(keras.losses.mean_squared_error(*flat))


def normal(*shape, scale=1.0):
    """Random normal numbers, float32."""
    return (scale * rng.normal(size=shape)).astype("float32")


def picture_pairs(count):
    for shape in [(5, 4, 4, 1), (3, 9), (2, 6, 5)]:
        for _ in range(count // 3):
            yield normal(*shape), normal(*shape)


# %%
prove("16.1", squared_error, keras_squared_error, cases=picture_pairs(60), rtol=1e-4)

# %% [markdown]
# Why does it look at the shapes first? Because subtraction does not. Twenty-eight pictures (28, 28, 28, 1) minus
# their reconstructions (28, 28, 28), one axis short, is no error for NumPy or Keras: both **broadcast** it to (28,
# 28, 28, 28), every picture minus parts of every other. Such a loss can fall and teach nothing. Ask the function
# instead:

# %%
try:
    squared_error(np.zeros((28, 28, 28, 1)), np.zeros((28, 28, 28)))
except ValueError as error:
    print(error)

# %% [markdown]
# ## What can it do without bending?
#
# Take all activations out. Encoder and decoder are then two matrices, $z = A x$ and $\hat x = B z$, with $A$ of shape
# $k \times n$ and $B$ of shape $n \times k$. Let the data be **centred** (subtract the mean picture), and let
# $C = \frac1N \sum_x x x^\mathsf{T}$ be their covariance, with eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ and
# eigenvectors $u_1, u_2, \dots$ of length 1. **Principal component analysis** (PCA) keeps the $k$ directions of
# largest variance and drops the rest. No pair of matrices can do better, and the best pair loses just what PCA drops
# (Eckart & Young, 1936):
#
# $$ \min_{A, B}\; \frac1N \sum_{x} \| x - B A x \|^2 = \sum_{i > k} \lambda_i \tag{16.2} $$
#
# If $\lambda_k > \lambda_{k+1}$, so that it is clear which directions are the $k$ largest, then the pictures that the
# best decoder can draw form exactly PCA's subspace. To say so with numbers, measure the **principal angles**
# $\theta_i$ between two subspaces: the smallest angle between a direction of one and a direction of the other, then
# the same among what is perpendicular to those, and so on. All $k$ are 0 only if the subspaces are equal:
#
# $$ \operatorname{span}(B) = \operatorname{span}(u_1, \dots, u_k): \qquad \theta_1 = \dots = \theta_k = 0 \tag{16.3} $$
#
# The *matrices* are not PCA's. With any invertible $M$, the pair $(M^{-1} A,\; B M)$ draws the same pictures.
#
# To reach the minimum, take turns: the best $A$ for a fixed $B$ is a least-squares problem, and so is the best $B$
# for a fixed $A$. This loss has no bad valleys to be caught in: if the eigenvalues are positive and all different,
# what is not the minimum is a saddle (Baldi & Hornik, 1989).


# %%
def covariance_of(x):
    """C (n, n) of centred data x (N, n)."""
    if np.abs(x.mean(axis=0)).max() > 1e-6 * np.abs(x).max():
        raise ValueError("the data are not centred: subtract their mean along axis 0 first")
    return x.T @ x / len(x)


def linear_autoencoder(C, k, rounds):
    """Encoder A (k, n) and decoder B (n, k) for data of covariance C (n, n), each fitted in turn to the other."""
    if not 1 <= k <= len(C):
        raise ValueError(f"k is {k}; a code of data with {len(C)} numbers has 1 to {len(C)}")
    B = np.random.default_rng(seed()).normal(size=(len(C), k))
    for _ in range(rounds):
        A = np.linalg.solve(B.T @ B, B.T)  # the best encoder for this decoder
        B = C @ A.T @ np.linalg.inv(A @ C @ A.T)  # the best decoder for this encoder
    return np.linalg.solve(B.T @ B, B.T), B


def linear_loss(x, k):
    A, B = linear_autoencoder(covariance_of(x), k, rounds=300)
    return np.square(x - x @ A.T @ B.T).sum(axis=1).mean()  # (16.2)


def dropped_variance(x, k):
    return np.square(PCA().fit(x).singular_values_[k:]).sum() / len(x)


def angles_to_pca(x, k):
    _, B = linear_autoencoder(covariance_of(x), k, rounds=300)
    return linalg.subspace_angles(B, PCA(k).fit(x).components_.T)  # (16.3)


def no_angles(x, k):
    return np.zeros(k)


def centred_data(count):
    """Random centred data whose variances fall from direction to direction by a factor of 0.3 to 0.7."""
    for _ in range(count):
        n = int(rng.integers(3, 10))
        basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
        scores = rng.normal(size=(40, n))
        scores = np.linalg.qr(scores - scores.mean(axis=0))[0]  # columns of mean 0, perpendicular to each other
        variances = np.cumprod(rng.uniform(0.3, 0.7, n))
        yield scores * np.sqrt(40 * variances) @ basis.T, int(rng.integers(1, n))


# %%
prove("16.2", linear_loss, dropped_variance, cases=centred_data(60))
prove("16.3", angles_to_pca, no_angles, cases=centred_data(60))

# %% [markdown]
# Put the two steps of a round into one, and the columns of the new $B$ are $C$ times the old ones, mixed among
# themselves. So every round multiplies the subspace by $C$ once more, stretching it most along $u_1$, then $u_2$:
# this is the **power method**, and the largest angle shrinks by $\lambda_{k+1} / \lambda_k$ in the long run.

# %%
plane = rng.normal(size=(300, 2)) * [2, 1.2] @ [[0.8, 0.6], [-0.6, 0.8]]
plane -= plane.mean(axis=0)
of_plane, of_digits = covariance_of(plane), np.cov(images.reshape(len(images), -1).T)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.3), width_ratios=[1, 1.35])
axes[0].scatter(*plane.T, s=4, color="#aaaaaa")
for rounds, line in zip((0, 1, 4), (":", "--", "-")):
    direction = linear_autoencoder(of_plane, 1, rounds)[1][:, 0]
    direction *= 5 / np.linalg.norm(direction)
    ends = np.stack([-direction, direction])
    axes[0].plot(*ends.T, line, color=plots.COLOURS[0], label=f"{rounds} round{'s' * (rounds != 1)}")
axes[0].set(aspect="equal", xlim=(-6, 6), ylim=(-6, 6), xlabel="$x_1$", ylabel="$x_2$")
axes[0].legend(fontsize=8, loc="lower left")
tried = [0, 2, 4, 8, 12, 18, 24]
for k, line in zip((1, 2, 3), ("-", "--", ":")):
    largest = [linalg.subspace_angles(linear_autoencoder(of_digits, k, r)[1], pca.components_[:k].T)[0] for r in tried]
    ratio = pca.explained_variance_[k] / pca.explained_variance_[k - 1]
    axes[1].plot(tried, np.degrees(largest), line, marker="o", ms=4, label=f"$k={k}$, ratio {ratio:.2f}")
axes[1].set(xlabel="rounds", ylabel="largest angle to PCA, degrees", yscale="log")
axes[1].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 16.2. Left: points in the plane, and the line that a linear autoencoder with $k = 1$ can draw on, after some
# rounds: it turns into the long direction. Right: the same on the digits for three $k$, on a logarithmic scale. The
# closer the ratio $\lambda_{k+1}/\lambda_k$ is to 1, the longer it takes.*
#
# So you know what a linear autoencoder will find before you train one: the second row of Figure 16.1. To beat that
# row, the network must bend.
#
# ## Let it bend
#
# The digits do not fill a flat subspace: tilt one slowly, and its 784 numbers move along a curve. A decoder with
# activations can draw curved sets (Hinton & Salakhutdinov, 2006). Build two pairs with 32 numbers in the middle: one
# of dense layers, one of convolutions with stride 2 and, on the way back, transposed ones.


# %%
def dense_encoder(outputs):
    hidden = [layers.Flatten(), layers.Dense(256, activation="relu")]
    return keras.Sequential([keras.Input((28, 28, 1)), *hidden, layers.Dense(outputs)])


def dense_decoder(inputs):
    hidden = [layers.Dense(256, activation="relu"), layers.Dense(784, activation="sigmoid")]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Reshape((28, 28, 1))])


def conv_encoder(outputs):
    halve = [layers.Conv2D(filters, 4, 2, "same", activation="relu") for filters in (8, 16)]  # 28 -> 14 -> 7
    return keras.Sequential([keras.Input((28, 28, 1)), *halve, layers.Flatten(), layers.Dense(outputs)])


def conv_decoder(inputs):
    small = [layers.Dense(7 * 7 * 16, activation="relu"), layers.Reshape((7, 7, 16))]
    double = layers.Conv2DTranspose(8, 4, 2, "same", activation="relu")
    return keras.Sequential([keras.Input((inputs,)), *small, double, layers.Conv2DTranspose(1, 4, 2, "same")])


# %% [markdown]
# One routine trains every model of this chapter. A loss that is no longer a number spoils all weights, so the run may
# as well stop. Keras's `TerminateOnNaN` does that; the callback below also says what to try.


# %%
class StopWhereLost(keras.callbacks.Callback):
    """Ends a training run with a FloatingPointError as soon as it hears of a loss that is infinite or not a number."""

    def on_train_begin(self, logs=None):
        self.finite = "never"

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} (last finite value: {self.finite}), and the weights are spoilt.\n"
                "If it was falling below 0, look for a wrong sign; if it was growing, take a smaller rate;\n"
                "if it jumped, look for a log or an exp of something unbounded. Then build the model anew."
            )
        self.finite = f"{loss:.4g}"


PARTS = budget(quick=1, full=20)  # a long run draws its pictures in parts, to save memory


def train(model, inputs, targets, steps, loss=squared_error, rounds=PARTS, between=None):
    """Train for `steps` batches of 64 random pictures with Adam, the learning rate falling to 0.

    rounds: in how many parts; `between` is called after each.
    """
    if len(inputs) != len(targets):
        raise ValueError(f"axis 0 has size {len(inputs)} in the inputs and {len(targets)} in the targets")
    if steps < rounds:
        raise ValueError(f"{steps} steps cannot be made in {rounds} rounds: at least one step a round is needed")
    falling = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(falling), loss, steps_per_execution=at_once(10))
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice
    draws = np.random.default_rng(seed())
    for _ in range(rounds):
        chosen = draws.integers(len(inputs), size=64 * (steps // rounds))
        model.fit(inputs[chosen], targets[chosen], 64, verbose=0, callbacks=[StopWhereLost()])
        if between:
            between()
    return model


# %%
steps = budget(quick=500, full=10_000, least=80)
dense = train(keras.Sequential([dense_encoder(CODE), dense_decoder(CODE)]), images, images, steps)
conv = train(keras.Sequential([conv_encoder(CODE), conv_decoder(CODE)]), images, images, steps)
redrawn = {  # `predict` asks a model outside training, some pictures at a time, and gives an array
    "PCA": pca.inverse_transform(written).reshape(tests.shape).astype("float32"),
    "dense": predict(dense, tests),
    "convolutional": predict(conv, tests),
}
errors = {name: ops.convert_to_numpy(squared_error(tests, pictures)) for name, pictures in redrawn.items()}
for name, error in errors.items():
    print(f"{name:13} {error.mean():6.2f} squared error per test digit")
shown = [*range(7), *np.argsort(errors["dense"])[-3:]]
draw_rows({"test digits": tests[shown]} | {name: pictures[shown] for name, pictures in redrawn.items()})

# %% [markdown]
# *Figure 16.3. Ten test digits, and what is left of them after 32 numbers. The last three are those that the dense
# autoencoder draws worst.*

# %%
claim(
    "16.1",
    "with 32 numbers a digit both autoencoders redraw new digits better than PCA with 32",
    max(errors["dense"].mean(), errors["convolutional"].mean()) < 0.95 * errors["PCA"].mean(),
)

# %% [markdown]
# All three saw the same training digits and were judged on digits that none of them saw.
#
# **Try it.** Let `CODE` be 784. The autoencoder could now copy its input, and learn nothing of digits. Does it?
#
# ## Take the noise away
#
# A narrow middle is one way to make copying impossible. Another is to spoil the input and to ask for the clean picture
# (Vincent et al., 2008). Here the network is shown $\tilde x = x + \sigma \varepsilon$, with fresh standard normal
# numbers $\varepsilon$ every time. What is the best answer? Many digits could have become this $\tilde x$, and
# the guess with the least squared error, on average, is their mean, each weighted by how probable it is:
# $\mathbb{E}[x \mid \tilde x]$. For Gaussian noise there is a formula for it that does not mention $x$ at all, with
# $p_\sigma$ the density of the noisy pictures (Tweedie's formula; Efron, 2011):
#
# $$ \mathbb{E}[x \mid \tilde x] = \tilde x + \sigma^2\, \nabla_{\tilde x} \log p_\sigma(\tilde x) \tag{16.4} $$
#
# The arrow from a noisy picture to the best clean guess points where noisy pictures get more probable fastest.
# Whoever learns to take noise away has learned which way the data lie. (A picture made of nothing but noise, and many
# small steps along such arrows: that is the idea of diffusion models; Song & Ermon, 2019.)
#
# To try the formula, let the world hold a few pictures only. Then the weights of the mean are a softmax:


# %%
def expected_clean(noisy, pictures, sigma):
    """E[x | noisy] where x is any of the pictures (N, n), all equally probable, and noisy (n,) = x + sigma noise."""
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; a standard deviation of noise must be positive")
    refuse_unless_alike(noisy, pictures[0], "a picture")
    scores = -np.square(noisy - pictures).sum(axis=1) / (2 * sigma**2)
    weights = np.exp(scores - scores.max())
    return weights @ pictures / weights.sum()  # (16.4)


def uphill_on_the_density(noisy, pictures, sigma):
    pictures = ops.convert_to_tensor(pictures)

    def log_density(at):  # but for a constant, which has no gradient
        return ops.logsumexp(-ops.sum(ops.square(at - pictures), axis=1) / (2 * sigma**2))

    return noisy + sigma**2 * ops.convert_to_numpy(gradient(log_density, noisy))


def noisy_worlds(count):
    for _ in range(count):
        pictures, sigma = normal(6, 4), float(rng.uniform(0.3, 1.5))
        yield pictures[0] + normal(4, scale=sigma), pictures, sigma


# %%
prove("16.4", expected_clean, uphill_on_the_density, cases=noisy_worlds(60), rtol=1e-3, atol=1e-4)

# %% [markdown]
# The same dense network, with one layer more at its front, which adds noise while it is trained:

# %%
SIGMA = 0.75
denoiser = keras.Sequential([layers.GaussianNoise(SIGMA, seed=seed()), dense_encoder(CODE), dense_decoder(CODE)])
train(denoiser, images, images, steps)
noisy = tests + normal(*tests.shape, scale=SIGMA)
cleaned = {"plain": predict(dense, noisy), "denoising": predict(denoiser, noisy)}
left = {name: float(ops.mean(squared_error(tests, pictures))) for name, pictures in cleaned.items()}
print("squared error: noisy {:.0f}, plain {:.1f}, denoising {:.1f}".format(784 * SIGMA**2, *left.values()))
draw_rows({"noisy": noisy[:10].clip(0, 1), "plain": cleaned["plain"][:10], "denoising": cleaned["denoising"][:10]})

# %% [markdown]
# *Figure 16.4. Noisy test digits (cut off below black and above white for the eye only), and what the two make of
# them: the network that was trained on clean digits and its twin that was trained on noisy ones.*

# %%
claim(
    "16.2",
    "trained on noise, the same network takes more of it away",
    left["denoising"] < 0.85 * left["plain"],
)

# %% [markdown]
# Where a noisy digit might be two different ones, the best answer is a mean of both, and the strokes on which they
# differ are grey. A squared error never asks for a *sharp* guess.
#
# ## Which numbers may you make up?
#
# Back to the third row of Figure 16.1. The encoder was free to put the digits wherever it liked; between and around
# those places the decoder has never been told to draw anything. To make up codes you must say from which
# distribution, so let *that* be part of the model, from the start. The story is this: a digit comes about by drawing
# a code from the **prior** $p(z)$, $k$ independent standard normal numbers, and then drawing the pixels around the
# decoder's picture, with a standard deviation $s$:
#
# $$ z \sim \mathcal N(0, I), \qquad x \mid z \;\sim\; \mathcal N\bigl(D(z),\; s^2 I\bigr) $$
#
# Training should make the digits we have probable: $\log p(x)$ large, where $p(x) = \int p(x \mid z)\, p(z)\, dz$
# runs over all codes, of which almost all draw something unlike $x$. You cannot compute that integral, nor find the
# few codes that matter, $p(z \mid x)$. So let an encoder guess them: for each $x$ a distribution $q(z)$. To measure
# how far a distribution $q$ is from another, $p$, take the **Kullback-Leibler divergence**
# $\mathrm{KL}(q \,\|\, p) = \mathbb{E}_{z \sim q}[\log q(z) - \log p(z)]$. It is never negative, and 0 only where
# both are equal (because $\log u \le u - 1$; put $u = p/q$).
#
# Now, for *every* $q$, take the mean over $z \sim q$ of an identity that holds for every single $z$,
# $\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x)$, which is Bayes' rule. Add and subtract $\log q(z)$:
#
# $$ \log p(x) = \underbrace{\mathbb{E}_{q}[\log p(x \mid z)] - \mathrm{KL}\bigl(q \,\|\, p(z)\bigr)}_{\text{ELBO}}
#    \; + \; \mathrm{KL}\bigl(q \,\|\, p(z \mid x)\bigr) \tag{16.5} $$
#
# The last term cannot be computed, but it is not negative. So the others are never above $\log p(x)$: the **evidence
# lower bound**, ELBO. Raise it, and either the digits become more probable or the guess $q$ gets nearer to the truth.
# For $q$ take independent normal numbers, with means $\mu$ and standard deviations $\sigma$ that the encoder puts
# out. Then its second part has a closed form:
#
# $$ \mathrm{KL}\bigl(\mathcal N(\mu, \operatorname{diag} \sigma^2) \,\|\, \mathcal N(0, I)\bigr)
#    = \frac12 \sum_{j=1}^{k} \bigl( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2 \bigr) \tag{16.6} $$
#
# A *sum* over the numbers of the code. With $\mu = 1$, $\sigma = \frac12$ a single number costs
# $\frac12 (1 + \frac14 - 1 + 2 \log 2) \approx 0.82$. With $\mu = 0$, $\sigma = 1$ it costs nothing, and says nothing
# about $x$. So the KL term is the price of what is written down (in *nats*; one nat is $1/\log 2 \approx 1.44$ bits).
#
# The first part is the reconstruction. Write out the normal density around $\hat x = D(z)$, and $\beta$ for $2 s^2$.
# For a draw $z$ from $q$ you get this, whose mean over $q$ is the ELBO with its sign turned:
#
# $$ -\log p(x \mid z) + \mathrm{KL} = \frac{1}{\beta} \Bigl( \underbrace{\|x - \hat x\|^2}_{\text{a sum}} + \beta
#    \underbrace{\mathrm{KL}}_{\text{a sum}} \Bigr) + \frac n2 \log(\pi \beta) \tag{16.7} $$
#
# For a fixed $\beta$ that is, but for constants, the squared error of (16.1) plus $\beta$ times the KL: this is the
# **variational autoencoder**, or VAE (Kingma & Welling, 2014; Rezende et al., 2014). And $\beta$ is no mere knob: it
# says how far off, $s = \sqrt{\beta/2}$, you allow a pixel to be. A small $\beta$ asks for exact pixels and lets the
# code cost what it may; a large one asks for a cheap code. (Higgins et al., 2017, turn it up to make the numbers of
# the code independent.)


# %%
def gaussian_kl(mean, log_variance):
    """KL from N(mean, variance) to the standard normal (16.6), for each item: both (batch, k) -> (batch,)."""
    refuse_unless_alike(mean, log_variance, "log_variance")
    terms = ops.square(mean) + ops.exp(log_variance) - 1 - log_variance
    return 0.5 * ops.sum(terms, axis=-1)  # (16.6)


def negative_elbo(x, reconstruction, mean, log_variance, beta):
    """The right side of (16.7) for each item: x, reconstruction (batch, n); mean, log_variance (batch, k)."""
    if not beta > 0:
        raise ValueError(f"beta is {beta}; it is twice the variance of a pixel (16.7), so it must be positive")
    total = squared_error(x, reconstruction) + beta * gaussian_kl(mean, log_variance)
    return total / beta + x.shape[1] / 2 * np.log(np.pi * beta)  # (16.7)


# %% [markdown]
# For (16.5) you need a decoder for which *everything* is known, and a linear one will do, $D(z) = Wz + b$: then
# $p(x)$ is normal with mean $b$ and covariance $W W^\mathsf{T} + s^2 I$ (probabilistic PCA; Tipping & Bishop, 1999),
# and $p(z \mid x)$ is normal too. For (16.6) and (16.7) the oracle integrates numerically, and adds up SciPy's log
# densities pixel by pixel.


# %%
def elbo_and_gap(x, W, b, s, mean, log_variance):
    """The right side of (16.5) for the decoder Wz + b: x, b (n,); W (n, k); q is normal with mean and variance (k,)."""
    variance, (n, k) = np.exp(log_variance), W.shape
    distance = np.square(x - W @ mean - b).sum() + np.square(W).sum(axis=0) @ variance  # its mean over q
    reconstruction = -n / 2 * np.log(2 * np.pi * s**2) - distance / (2 * s**2)
    price = float(gaussian_kl(mean[None], log_variance[None])[0])
    precision = np.eye(k) + W.T @ W / s**2  # p(z | x) is normal, with this inverse covariance
    off = np.linalg.solve(precision, W.T @ (x - b) / s**2) - mean
    gap = np.diag(precision) @ variance + off @ precision @ off - k
    gap = 0.5 * (gap - np.linalg.slogdet(precision)[1] - log_variance.sum())
    return reconstruction - price + gap  # (16.5)


def scipy_log_evidence(x, W, b, s, mean, log_variance):
    return stats.multivariate_normal(b, W @ W.T + s**2 * np.eye(len(x))).logpdf(x)


def integrated_kl(mean, log_variance):
    sigma = np.exp(log_variance / 2)
    z = mean + sigma * np.linspace(-12, 12, 2001)[:, None, None]
    log_q, log_p = stats.norm.logpdf(z, mean, sigma), stats.norm.logpdf(z)
    return integrate.trapezoid(np.exp(log_q) * (log_q - log_p), z, axis=0).sum(axis=-1)


def scipy_negative_elbo(x, reconstruction, mean, log_variance, beta):
    log_density = stats.norm.logpdf(x, reconstruction, np.sqrt(beta / 2)).sum(axis=1)
    return integrated_kl(mean, log_variance) - log_density


def linear_worlds(count):
    for _ in range(count):
        n, k = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        yield rng.normal(size=n), rng.normal(size=(n, k)), rng.normal(size=n), rng.uniform(0.3, 2), *normal(2, k)


def codes_of(count):
    for _ in range(count):
        mean, log_variance = normal(2, 3, 4)
        yield mean, log_variance


def drawn_pictures(count):
    for mean, log_variance in codes_of(count):
        yield *normal(2, 3, 20), mean, log_variance, float(rng.uniform(0.1, 2))


# %%
prove("16.5", elbo_and_gap, scipy_log_evidence, cases=linear_worlds(100), rtol=1e-4, atol=1e-4)
prove("16.6", gaussian_kl, integrated_kl, cases=codes_of(100), rtol=1e-4, atol=1e-5)
prove("16.7", negative_elbo, scipy_negative_elbo, cases=drawn_pictures(60), rtol=1e-4, atol=1e-3)

# %% [markdown]
# ## A gradient through a random draw
#
# The reconstruction needs a draw $z \sim q$, and the encoder's outputs $\phi = (\mu, \sigma)$ decide how it falls.
# How does a mean over draws, of any function $f$ of $z$, change with $\phi$? There are two ways to ask. The first has
# been known for long (Williams, 1992): good draws should become more probable, so weigh the gradient of
# $\log q_\phi$, the *score*, by what each draw brought. The second moves the chance out of the way: draw
# $\varepsilon$ from a standard normal, which knows of no $\phi$, and *compute* $z = \mu + \sigma \odot \varepsilon$.
# Then $f$ is an ordinary function of $\phi$, and the chain rule goes through. This is **reparameterisation**. It
# needs an $f$ with a derivative, the other way does not; in the mean both say the same:
#
# $$ \nabla_\phi\, \mathbb{E}_{z \sim q_\phi}[f(z)]
#    = \mathbb{E}_{\varepsilon}\bigl[\nabla_\phi f(\mu + \sigma \odot \varepsilon)\bigr]
#    = \mathbb{E}_{z \sim q_\phi}\bigl[f(z)\, \nabla_\phi \log q_\phi(z)\bigr] \tag{16.8} $$
#
# Means can be computed without any luck here: Gauss-Hermite quadrature replaces the mean over a normal number by a
# weighted sum over 40 well-chosen points. In the proof, $f$ is a random sum of waves $\sin(w \cdot z + a)$ over a code
# of two numbers. The mean of a wave is $e^{-\frac12 \sum_j w_j^2 \sigma_j^2} \sin(w \cdot \mu + a)$, so the left side
# can be had by hand, and both ways are held against it.


# %%
def reparameterised(mean, log_variance, epsilon):
    """The draws z = mean + sigma * epsilon; epsilon standard normal, of the shape of mean or with axes before it."""
    refuse_unless_alike(mean, log_variance, "log_variance")
    return mean + ops.exp(0.5 * log_variance) * epsilon


POINTS, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
NODES = np.stack(np.meshgrid(POINTS, POINTS), axis=-1).reshape(-1, 2).astype("float32")
NODE_WEIGHTS = (np.outer(WEIGHTS, WEIGHTS).ravel() / WEIGHTS.sum() ** 2).astype("float32")


def gradient_by_chain_rule(mean, log_variance, waves, phases):
    """The middle of (16.8) by automatic differentiation: two rows, by the means and by the log-variances."""
    epsilon, weights, phases = (ops.convert_to_tensor(array) for array in (NODES, NODE_WEIGHTS, phases))

    def expected(parameters):
        z = reparameterised(parameters[0], parameters[1], epsilon)
        f = ops.sum(ops.sin(ops.matmul(z, waves) + phases), axis=-1)
        return ops.sum(weights * f)

    return gradient(expected, np.stack([mean, log_variance]))  # (16.8)


def gradient_by_score(mean, log_variance, waves, phases):
    """The right side of (16.8), with the derivatives of log q by hand."""
    z = mean + np.exp(log_variance / 2) * NODES.astype(float)
    f = NODE_WEIGHTS * np.sin(z @ waves + phases).sum(axis=-1)
    standard = np.square(z - mean) / np.exp(log_variance)
    return np.stack([f @ ((z - mean) / np.exp(log_variance)), f @ (0.5 * (standard - 1))])


def both_ways(mean, log_variance, waves, phases):
    return [way(mean, log_variance, waves, phases) for way in (gradient_by_chain_rule, gradient_by_score)]


def gradient_of_the_mean(mean, log_variance, waves, phases):
    """The left side of (16.8), twice: the closed form of the mean, its derivatives by hand."""
    variance, angles = np.exp(log_variance.astype(float)), mean @ waves + phases
    damping = np.exp(-0.5 * variance @ waves**2)
    by_log_variance = -0.5 * variance * (waves**2 @ (damping * np.sin(angles)))
    return 2 * [np.stack([waves @ (damping * np.cos(angles)), by_log_variance])]


def waves_over_codes(count):
    for _ in range(count):
        mean, log_variance = normal(2, 2, scale=0.7)
        yield mean, log_variance, normal(2, 3).clip(-2, 2), normal(3)


# %%
prove("16.8", both_ways, gradient_of_the_mean, cases=waves_over_codes(60), rtol=1e-3, atol=2e-4)

# %% [markdown]
# If both are right in the mean, why does everybody take the second? Because training sees single draws. Let $q$ be a
# standard normal over $k$ numbers and $f(z) = \sum_j (z_j - 1)^2$. The derivative of the mean by $\mu_1$ is $-2$. A
# single draw gives $2 (z_1 - 1)$ by the chain rule, and $f(z)\, z_1$ by the other way, where all of $f$, the other
# $k-1$ numbers too, shakes the estimate of one.

# %%
sizes, spread = [1, 2, 4, 8, 16, 32], {"chain rule": [], "score": []}
for k in sizes:
    z = rng.normal(size=(20_000, k))
    single = {"chain rule": 2 * (z[:, 0] - 1), "score": np.square(z - 1).sum(axis=1) * z[:, 0]}
    for name, estimates in single.items():
        spread[name].append(estimates.std())
figure, axes = plt.subplots(1, 2, figsize=(8, 3))
bins = np.linspace(-200, 200, 81)
axes[0].hist(single["score"], bins, color=plots.COLOURS[1], label="score")
axes[0].hist(single["chain rule"], bins, color=plots.COLOURS[0], label="chain rule")
axes[0].axvline(-2, color="black", lw=1, label="true derivative")
axes[0].set(xlabel="estimate from one draw, $k = 32$", ylabel="draws of 20,000", yscale="log")
for (name, values), marker, colour in zip(spread.items(), "os", plots.COLOURS):
    axes[1].plot(sizes, values, marker=marker, color=colour, label=name)
axes[1].set(xlabel="numbers in the code, $k$", ylabel="standard deviation", xscale="log", yscale="log")
axes[1].set_xticks(sizes, [str(k) for k in sizes])
axes[1].set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
axes[1].minorticks_off()
for axis in axes:
    axis.legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 16.5. Left: how single draws estimate one derivative in 32 dimensions (logarithmic vertical scale). Right:
# the standard deviation of such estimates, against the size of the code.*

# %%
claim(
    "16.3",
    "with 32 numbers in the code, a single draw by the chain rule scatters at least tenfold less than by the score",
    spread["score"][-1] > 10 * spread["chain rule"][-1],
)

# %% [markdown]
# **Try it.** Subtract the mean of $f$ from $f$ before you multiply by the score (a *baseline*; the mean of the
# estimate stays as it was). How much of the gap does that close?
#
# Now the layer. It takes the encoder's outputs, twice as many as the code has numbers, as means and log-variances
# (any real number is a valid log-variance), draws, and *adds the price to the loss* with `add_loss`. That is all that
# makes an autoencoder variational: encoder and decoder stay as they are.


# %%
class GaussianCode(layers.Layer):
    """Draws a code and adds beta times its KL (16.6) to the loss: (batch, 2 k) -> (batch, k).

    The first k inputs are means, the others log-variances. Outside training the means pass, without noise.
    """

    def __init__(self, beta, **settings):
        super().__init__(**settings)
        if not beta > 0:
            raise ValueError(f"beta is {beta}; it is twice the variance of a pixel (16.7), so it must be positive")
        self.beta = beta
        self.noise = keras.random.SeedGenerator(seed())  # keeps its place on every backend, in JAX too

    def build(self, shape):
        if shape[-1] % 2:
            raise ValueError(f"axis -1 has size {shape[-1]}; it must be even: as many means as log-variances")

    def price(self, mean, log_variance):
        return self.beta * ops.mean(gaussian_kl(mean, log_variance))  # a mean over the batch, of sums over the code

    def call(self, inputs, training=False):
        mean, log_variance = ops.split(inputs, 2, axis=-1)
        self.add_loss(self.price(mean, log_variance))
        if not training:
            return mean
        return reparameterised(mean, log_variance, keras.random.normal(ops.shape(mean), seed=self.noise))


def variational(beta, k=CODE):
    """An encoder, a decoder, and the two with a GaussianCode between them."""
    encoder, decoder = dense_encoder(2 * k), dense_decoder(k)
    return encoder, decoder, keras.Sequential([encoder, GaussianCode(beta), decoder])


def price_of(encoder, x):
    """The mean KL of each number of the code: (k,), in nats."""
    mean, log_variance = np.split(predict(encoder, x), 2, axis=-1)
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).mean(axis=0)


# %%
BETA = 0.3  # a pixel may be off by about sqrt(0.15)
vae_encoder, vae_decoder, vae = variational(BETA)
train(vae, images, images, steps)
vae_error = float(ops.mean(squared_error(tests, predict(vae, tests))))
prices = price_of(vae_encoder, tests)
print(f"squared error {vae_error:.1f}, KL {prices.sum():.1f} nats, in {np.sum(prices > 0.05)} of {CODE} numbers")

# %% [markdown]
# The VAE redraws digits worse than the plain autoencoder did: it writes down less, and with a shaking hand. What did
# it buy? To judge made-up pictures without falling in love with a few of them, train a classifier on the digits and
# ask how sure it is. The plain decoder gets its codes in two ways: *standard* normal numbers, the very same that the
# VAE gets; and, as if one may look at the codes of all training digits first, normal numbers *fitted* to them, with
# their mean and full covariance. PCA is the third row of Figure 16.1.

# %%
reader = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 5, strides=2, activation="relu"),
        layers.Conv2D(32, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3, seed=seed()),
        layers.Dense(10),
    ]
)
train(reader, images, labels, steps // 2, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def confidence(pictures):
    """The probability that the reader gives to its answer, for each picture, and the answer."""
    p = ops.convert_to_numpy(ops.softmax(predict(reader, pictures)))
    return p.max(axis=1), p.argmax(axis=1)


made = budget(quick=1000, full=10_000, least=500)
plain_encoder, plain_decoder = dense.layers
codes = predict(plain_encoder, images)
fitted = rng.multivariate_normal(codes.mean(axis=0), np.cov(codes.T), made).astype("float32")
standard = normal(made, CODE)
sampled = {
    "PCA": pca.inverse_transform(np.sqrt(pca.explained_variance_) * standard).clip(0, 1).reshape(-1, 28, 28, 1),
    "plain, standard": predict(plain_decoder, standard),
    "plain, fitted": predict(plain_decoder, fitted),
    "variational": predict(vae_decoder, standard),
}
sure = {name: confidence(pictures)[0] for name, pictures in sampled.items()}
sure["test digits"], read = confidence(tests)
print(f"the reader reads {(read == test_labels).mean():.1%} of the test digits")
for name, values in sure.items():
    print(f"{name:16} mean confidence {values.mean():.3f}, above 0.9 in {(values > 0.9).mean():.0%}")
draw_rows({name: pictures[:12] for name, pictures in sampled.items()})

# %% [markdown]
# *Figure 16.6. The first twelve pictures that each decoder makes of random codes; none was picked. All rows but the
# third get the same random numbers.*

# %%
claim(
    "16.4",
    "from standard normal numbers, the VAE makes up pictures that are read more confidently than the plain decoder's",
    sure["variational"].mean() > sure["plain, standard"].mean() + 0.05,
)

# %% [markdown]
# That is the merit of a prior: you know where to draw from before you have seen a single code. Do not make more of
# it. A plain decoder with a distribution *fitted to its codes afterwards* is a respectable rival (compare the lines
# above); Ghosh et al. (2020) make a method of it. What the VAE alone has is a bound on $\log p(x)$. Nor is confidence
# quality: a classifier can be quite sure of nonsense, as of PCA's blobs. And all samples of the VAE are smooth,
# because the decoder's picture is again a mean, over everything that the code leaves open. Chapter 17 takes up that
# point.
#
# ## A book of codes
#
# Real numbers are a generous kind of code; you write with 26 letters. So let the encoder, at every place of a small
# grid, choose one of $K$ vectors $e_1, \dots, e_K$ from a **codebook** that encoder and decoder share. Its output $z$
# at that place is replaced by the nearest one:
#
# $$ Q(z) = e_j, \qquad j = \arg\min_i \| z - e_i \|^2
#    = \arg\min_i \bigl( \|e_i\|^2 - 2\, e_i \cdot z \bigr) \tag{16.9} $$
#
# This is **vector quantisation**, and the model a **VQ-VAE** (van den Oord et al., 2017). On a 7 × 7 grid with
# $K = 64$ a digit becomes 49 letters of 6 bits: 294 bits, where 32 numbers in float32 take 1,024.
#
# Learning it looks hopeless. Move $z$ a little, and $Q(z)$ does not move at all; its derivative is 0 wherever it
# exists. The way out is bold: on the way back, pretend that nothing had been replaced. Write $\operatorname{sg}$ for
# `stop_gradient`, which passes values on but lets no gradient through, and hand the decoder
#
# $$ z_q = z + \operatorname{sg}\bigl(Q(z) - z\bigr), \qquad \text{so that} \quad
#    \frac{\partial \ell}{\partial z} := \frac{\partial \ell}{\partial z_q} \tag{16.10} $$
#
# Its value is $Q(z)$, its gradient that of $z$: the **straight-through** gradient (Bengio et al., 2013). It is not
# the true one, but a good hint while $z$ and $Q(z)$ are near each other. Two more terms see to that, one that moves
# the codes to the encoder's outputs, and one, the **commitment loss** with a weight $\gamma$ (the paper's $\beta$),
# that moves the outputs to the codes:
#
# $$ \ell = \|x - D(z_q)\|^2 + \sum_{\text{places}} \Bigl( \| \operatorname{sg}(z) - Q(z) \|^2
#    + \gamma\, \| z - \operatorname{sg}(Q(z)) \|^2 \Bigr) \tag{16.11} $$
#
# By the first of them, a code's gradient is $2 \sum (e_j - z)$ over all $z$ that chose it. It vanishes where $e_j$ is
# their mean, so the codes do what is called $k$-means clustering.


# %%
def nearest(z, codes):
    """The number of the nearest code (16.9): z (..., width), codes (K, width) -> whole numbers (...)."""
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError(f"z has size {z.shape[-1]} along its last axis, and a code has {codes.shape[-1]} numbers")
    products = ops.matmul(z, ops.transpose(codes))
    return ops.argmin(ops.sum(ops.square(codes), axis=-1) - 2 * products, axis=-1)  # (16.9)


def let_through(z, quantised):
    """The values of `quantised`, and the gradient of z (16.10)."""
    return z + ops.stop_gradient(quantised - z)  # (16.10)


def code_loss(z, quantised, gamma):
    """The two last terms of (16.11) for each item: z, quantised (batch, ..., width) -> (batch,)."""
    to_codes = squared_error(ops.stop_gradient(z), quantised)
    return to_codes + gamma * squared_error(z, ops.stop_gradient(quantised))  # (16.11)


def nearest_by_tree(z, codes):
    return KDTree(codes).query(z)[1]


def encoder_gradient(z, codes, weights):
    """The gradient that reaches z through (16.10), for a loss that is a weighted sum of squares and sines."""
    chosen = ops.take(codes, nearest(z, codes), axis=0)
    return gradient(lambda z: waves_of(let_through(z, chosen), weights), z)


def gradient_at_the_code(z, codes, weights):
    return gradient(lambda at: waves_of(at, weights), codes[nearest_by_tree(z, codes)])


def waves_of(z, weights):
    return ops.sum(ops.convert_to_tensor(weights) * (ops.square(z) + ops.sin(z)))


def code_gradients(z, codes, gamma):
    """The value and both gradients of the last two terms of (16.11), by automatic differentiation."""

    def total(z, codes):
        return ops.sum(code_loss(z, ops.take(codes, nearest(z, codes), axis=0), gamma))

    z, codes = ops.convert_to_tensor(z), ops.convert_to_tensor(codes)
    by_z, by_codes = gradient(lambda at: total(at, codes), z), gradient(lambda at: total(z, at), codes)
    return float(total(z, codes)), by_z, by_codes


def code_gradients_by_hand(z, codes, gamma):
    chosen = nearest_by_tree(z, codes)
    value, by_z, by_codes = 0.0, np.zeros_like(z), np.zeros_like(codes)
    for i, j in enumerate(chosen):
        off = z[i] - codes[j]
        value += (1 + gamma) * off @ off
        by_z[i] = 2 * gamma * off
        by_codes[j] -= 2 * off
    return float(value), by_z, by_codes


def books(count):
    for _ in range(count):
        yield normal(12, 3), normal(5, 3)


# %%
prove("16.9", nearest, nearest_by_tree, cases=books(100))
prove("16.10", encoder_gradient, gradient_at_the_code, cases=((*book, normal(12, 3)) for book in books(40)), rtol=1e-4)
prove(
    "16.11", code_gradients, code_gradients_by_hand, cases=((*book, 0.25) for book in books(40)), rtol=1e-3, atol=1e-4
)

# %% [markdown]
# One thing goes wrong so often that it has a name. A code that is nearest to no $z$ gets no gradient, so it stays
# where it is, unused, for ever: the codebook **collapses**. To watch for it, count how often each code is chosen, and
# from these shares $p_j$ compute the **perplexity**. It is the number of codes that, used equally often, would be as
# hard to guess:
#
# $$ \text{perplexity} = \exp\Bigl( -\sum_{j=1}^{K} p_j \log p_j \Bigr) \tag{16.12} $$


# %%
def perplexity(chosen, count):
    """The perplexity (16.12) of choices, an array of at least one whole number from 0 to count - 1."""
    if not np.size(chosen):
        raise ValueError("nothing was chosen: the shares of no choices are not defined")
    if np.min(chosen) < 0 or np.max(chosen) >= count:
        raise ValueError(f"choices go from {np.min(chosen)} to {np.max(chosen)}; {count} codes have 0 to {count - 1}")
    p = np.bincount(np.ravel(chosen), minlength=count) / np.size(chosen)
    return np.exp(-np.sum(p[p > 0] * np.log(p[p > 0])))  # (16.12)


def scipy_perplexity(chosen, count):
    return np.exp(stats.entropy([np.sum(chosen == j) for j in range(count)]))


def choices(count):
    for _ in range(count):
        codes = int(rng.integers(2, 30))
        yield rng.integers(rng.integers(1, codes + 1), size=50), codes


# %%
prove("16.12", perplexity, scipy_perplexity, cases=choices(100))

# %% [markdown]
# There are two cures, used together below: begin with codes where the encoder's outputs are, and after every round of
# training put each code that was not chosen onto a random output (as in Dhariwal et al., 2020). One codebook gets
# this care. Its twin gets a start that is common on the web, small random numbers, and none.


# %%
class Codebook(layers.Layer):
    """Replaces every vector by the nearest of `count` codes and adds (16.11) to the loss: (..., width) as it was."""

    def __init__(self, count, width, gamma=0.25, **settings):
        super().__init__(**settings)
        if count < 1 or not gamma >= 0:
            raise ValueError(
                f"count is {count} and gamma {gamma}; a book has at least 1 code, and gamma is not negative"
            )
        self.gamma = gamma
        small = keras.initializers.RandomUniform(-1 / count, 1 / count, seed=seed())
        self.codes = self.add_weight(shape=(count, width), initializer=small, name="codes")

    def call(self, z):
        quantised = ops.take(self.codes, nearest(z, self.codes), axis=0)
        self.add_loss(ops.mean(code_loss(z, quantised, self.gamma)))
        return let_through(z, quantised)

    def choices(self, z):
        return ops.convert_to_numpy(nearest(ops.convert_to_tensor(z), self.codes))


def restart_unused(book, z, rng):
    """Put every code that none of the vectors z (..., width) chooses onto one of them, at random."""
    codes, z = ops.convert_to_numpy(book.codes).copy(), z.reshape(-1, z.shape[-1])
    unused = np.bincount(book.choices(z), minlength=len(codes)) == 0
    codes[unused] = z[rng.integers(len(z), size=unused.sum())]
    book.codes.assign(codes)


def train_with_book(encoder, book, decoder, x, steps, rng, care=True, rounds=6):
    """Train the three as one model; returns the perplexity after each round, on the first 500 pictures of x."""
    some, history, (count, width) = x[:500], [], book.codes.shape

    def between():
        z = predict(encoder, some)
        history.append(perplexity(book.choices(z), count))
        if care and len(history) < rounds:
            restart_unused(book, z, rng)

    if care:
        book.codes.assign(rng.permutation(predict(encoder, some).reshape(-1, width))[:count])
    train(keras.Sequential([encoder, book, decoder]), x, x, steps, rounds=rounds, between=between)
    return history


def grid_encoder(width):
    halve = [layers.Conv2D(filters, 4, 2, "same", activation="relu") for filters in (16, 32)]  # 28 -> 14 -> 7
    return keras.Sequential([keras.Input((28, 28, 1)), *halve, layers.Conv2D(width, 1)])


def grid_decoder(width):
    double = layers.Conv2DTranspose(32, 4, 2, "same", activation="relu")
    last = layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid")
    return keras.Sequential([keras.Input((7, 7, width)), double, last])


# %%
K, WIDTH = 64, 8
grid, grid_book, from_grid = grid_encoder(WIDTH), Codebook(K, WIDTH), grid_decoder(WIDTH)
lost_grid, lost_book, from_lost = grid_encoder(WIDTH), Codebook(K, WIDTH), grid_decoder(WIDTH)
lively = train_with_book(grid, grid_book, from_grid, images, steps // 2, rng)
dying = train_with_book(lost_grid, lost_book, from_lost, images, steps // 2, rng, care=False)
letters, lost_letters = grid_book.choices(predict(grid, tests)), lost_book.choices(predict(lost_grid, tests))
used, lost_used = len(np.unique(letters)) / K, len(np.unique(lost_letters)) / K
vq_pictures = predict(from_grid, ops.convert_to_numpy(grid_book.codes)[letters])
lost_pictures = predict(from_lost, ops.convert_to_numpy(lost_book.codes)[lost_letters])
vq_error, lost_error = (float(ops.mean(squared_error(tests, drawn))) for drawn in (vq_pictures, lost_pictures))
print(f"with care: {used:.0%} of the codes used, squared error {vq_error:.1f}")
print(f"without:   {lost_used:.0%} of the codes used, squared error {lost_error:.1f}")

# %%
figure = plt.figure(figsize=(8.5, 4))
rows = [["curve", *(f"{row}{column}" for column in range(4))] for row in range(4)]
curve, *small = figure.subplot_mosaic(rows, width_ratios=[3.2, 1, 1, 1, 1]).values()
for history, name, marker in ((lively, "with care", "o"), (dying, "without", "s")):
    curve.plot(range(1, len(history) + 1), history, marker=marker, label=name)
curve.set(xlabel="round of training", ylabel=f"perplexity, of at most {K}", ylim=(0, K))
curve.legend()
for row, pictures in enumerate((tests[:4], letters[:4], vq_pictures[:4], lost_pictures[:4])):
    for axis, picture in zip(small[4 * row : 4 * row + 4], pictures):
        axis.imshow(np.squeeze(picture), cmap="cividis" if row == 1 else "gray", vmin=0, vmax=K - 1 if row == 1 else 1)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    small[4 * row].set_ylabel(("digits", "letters", "with care", "without")[row])
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 16.7. Left: how many codes are in use while training, measured by perplexity. Right: four test digits, the
# 49 letters that the cared-for VQ-VAE writes about each (a shade for a letter; the order of the shades means
# nothing), what its decoder reads out of them, and what its twin draws.*

# %%
claim("16.5", "with care, the VQ-VAE uses most of its codes on new digits", used > 0.75 and lively[-1] > K / 3)

# %%
claim("16.6", "without care, the same training leaves the perplexity far lower", dying[-1] < 0.7 * lively[-1])

# %% [markdown]
# The twin trained without an error or a warning, and its digits can be read. It pays for 64 codes and writes with a
# few: only a count of codes says so.
#
# A VQ-VAE alone makes nothing up: its decoder wants 49 letters that go together, and a second model has to learn to
# spell (in van den Oord et al., 2017, one that predicts letter after letter).
#
# ## Three spaces, side by side
#
# Plain, variational, quantised: only the layer in the middle differs. To *see* the difference, give each of the three
# a code of only two numbers, the same dense layers, digits and number of steps, and draw where they put the same test
# digits. No projection is needed: what you see is all there is.

# %%
spaces = {"plain": (dense_encoder(2), dense_decoder(2))}
train(keras.Sequential([*spaces["plain"]]), images, images, steps)
*spaces["variational"], flat_vae = variational(BETA, k=2)
train(flat_vae, images, images, steps)
spaces["quantised"] = dense_encoder(2), dense_decoder(2)
flat_book = Codebook(K, 2)
train_with_book(spaces["quantised"][0], flat_book, spaces["quantised"][1], images, steps, rng)
flat_codes = ops.convert_to_numpy(flat_book.codes)


def place(name, x):
    """Where a space puts pictures: (batch, 2). In the quantised one, on the nearest code."""
    z = predict(spaces[name][0], x)[:, :2]  # the variational encoder's log-variances come after its means
    return snapped(name, z)


def snapped(name, z):
    return flat_codes[flat_book.choices(z)] if name == "quantised" else z


for name, (_, decoder) in spaces.items():
    z = place(name, tests)
    error = float(ops.mean(squared_error(tests, predict(decoder, z))))
    print(
        "{:12} mean {:5.1f} {:5.1f}   deviation {:4.1f} {:4.1f}   ".format(name, *z.mean(axis=0), *z.std(axis=0)),
        end="",
    )
    print(f"squared error {error:.1f}")

# %%
ends = tests[[np.flatnonzero(test_labels == digit)[0] for digit in (1, 0)]]
paths = {name: np.linspace(*place(name, ends), 14, dtype="float32") for name in spaces}
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.5))
for axis, (name, path) in zip(axes, paths.items()):
    z, of = place(name, tests[:1000]), test_labels[:1000]
    sizes = np.full(len(z), 14.0)
    if name == "quantised":
        voronoi_plot_2d(Voronoi(flat_codes), axis, show_points=False, show_vertices=False, line_colors="#aaaaaa")
        chosen = flat_book.choices(z)
        inhabited = np.unique(chosen)
        z, sizes = flat_codes[inhabited], 14 + 3.0 * np.bincount(chosen)[inhabited]
        of = np.array([np.bincount(of[chosen == j]).argmax() for j in inhabited])
    for digit in range(10):
        style = {"marker": f"${digit}$", "color": plots.COLOURS[digit % 7], "linewidths": 0.2}
        axis.scatter(*z[of == digit].T, s=sizes[of == digit], **style)
    axis.plot(*path.T, "-o", color="black", ms=2.5, lw=1)
    low, high = z.min(axis=0), z.max(axis=0)
    margin = (0.12 if name == "quantised" else 0.06) * (high - low)  # room for the largest numeral
    axis.set(title=name, xlabel="$z_1$")
    axis.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axis.set_ylim(low[1] - margin[1], high[1] + margin[1])
axes[0].set_ylabel("$z_2$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 16.8. A thousand test digits in three spaces of two numbers, each drawn as the numeral of its class, and a
# straight path from a one to a zero (black). In the quantised space all digits sit on the codes; a numeral is the
# most common class there, its area grows with the number of digits, and the thin lines bound the region of each
# code.*
#
# **Plain.** The encoder puts the digits wherever that helps the decoder. Look at the scale of the axes: nobody asked
# for a centre at 0 or for any particular width, and beyond the digits the decoder was never told what to draw.
# **Variational.** The KL term pulls all digits towards 0 and to the scale of the prior. And a digit is not a point here
# but a small cloud, all over which the decoder has been made to draw something sensible.
# **Quantised.** There is no space left, only a list of places: the decoder is never asked for more than 64 pictures.
#
# Now walk the black path in thirteen equal steps, and let the decoder draw what it passes.

# %%
walks = {name: predict(spaces[name][1], snapped(name, path)) for name, path in paths.items()}
leaps = {name: np.sqrt(np.square(np.diff(walk, axis=0)).sum(axis=(1, 2, 3))) for name, walk in walks.items()}
for name, leap in leaps.items():
    print(
        f"{name:12} {np.sum(leap > 1e-3) + 1:2} different pictures,",
        f"the largest leap {leap.max() / leap.sum():.0%} of the way",
    )
draw_rows(walks)

# %% [markdown]
# *Figure 16.9. The same walk, from the same one to the same zero, through the three spaces.*
#
# The first two change at every step. The last stands still, then leaps: a straight line crosses only so many regions.
# Whether you can name the digit half-way depends on which country the line happens to cross. And all three pay for
# having two numbers only: what they draw is softer than Figure 16.3.
#
# **Try it.** Walk from a four to a nine, from a six to an eight. Which pairs are neighbours in all three spaces?
#
# ## Debug it
#
# Two snippets of a kind that is common on the web. Both run without an error or a warning. First look at what they
# do.


# %%
class MeanPrice(GaussianCode):
    def price(self, mean, log_variance):
        kl = -0.5 * ops.mean(1 + log_variance - ops.square(mean) - ops.exp(log_variance))
        return self.beta * kl


def with_middle(middle):
    encoder, decoder = dense_encoder(2 * CODE), dense_decoder(CODE)
    return encoder, decoder, keras.Sequential([encoder, middle, decoder])


# %%
first, second = with_middle(MeanPrice(BETA)), with_middle(GaussianCode(BETA))
train(first[2], images, images, steps)  # snippet A: the KL of MeanPrice
train(second[2], images, images, steps // 4, loss="mean_squared_error")  # snippet B: a loss that Keras knows by name
patients = {"as it should be": (vae_encoder, vae_decoder, vae), "snippet A": first, "snippet B": second}
symptoms, invented = {}, {}
for name, (encoder, decoder, model) in patients.items():
    error = float(ops.mean(squared_error(tests, predict(model, tests))))
    invented[name] = predict(decoder, normal(made, CODE))
    symptoms[name] = error, price_of(encoder, tests).sum(), confidence(invented[name])[0].mean()
    print("{:16} squared error {:5.1f}   KL {:6.1f} nats   confidence {:.3f}".format(name, *symptoms[name]))
draw_rows({name: pictures[:12] for name, pictures in invented.items()})

# %% [markdown]
# *Figure 16.10. What three decoders make of codes from the prior.*
#
# Before you read on: which of them would you have published, going by the squared error alone?
#
# Snippet A takes the mean over the numbers of the code where (16.6) has the sum. That is the right loss with
# $\beta/32$ instead of $\beta$. The reconstructions get better, the code costs more and leaves the prior, and what
# you make up is worse. Snippet B takes the mean over the *pixels* where (16.1) has the sum, and leaves the KL a sum:
# the right loss with $784\,\beta$. Now nothing is worth its price. The encoder writes nothing down, $\mu = 0$ and
# $\sigma = 1$ for every digit, and the decoder draws one blurred picture for all of them. This is called **posterior
# collapse**. The habit to keep: **a mean over the batch, and sums over everything else.**

# %%
(right_error, right_kl, right_sure), (a_error, a_kl, a_sure), (_, b_kl, _) = symptoms.values()
claim(
    "16.7",
    "KL as a mean: better reconstructions, less convincing inventions; error as a mean: the code falls silent",
    a_error < right_error and a_kl > right_kl and a_sure < right_sure and b_kl < 0.05 * right_kl,
)

# %% [markdown]
# The second kind of mistake is in the sign. The ELBO is to be *raised* and optimisers *lower* their loss, so there
# must be one minus; two of them, or none, and the decoder is trained to make the error as large as it can.

# %%
uphill = keras.Sequential([dense_encoder(CODE), dense_decoder(CODE)])
train(uphill, images, images, 80, loss=lambda x, reconstruction: -squared_error(x, reconstruction))
draw_rows({"digits": tests[:12], "uphill": predict(uphill, tests[:12])})

# %% [markdown]
# *Figure 16.11. Test digits, and what an autoencoder makes of them after a few steps of maximising the error.*
#
# A sigmoid bounds what the decoder can do wrong. It paints white where most digits are black, its sigmoids are
# saturated after a few steps, and the gradient that could tell one digit from another is gone. (An earlier sign was a
# loss below 0, which no squared error has.) The KL has no such bound. Turn its sign as well:


# %%
class WrongSign(GaussianCode):
    def price(self, mean, log_variance):
        return -super().price(mean, log_variance)


try:
    train(with_middle(WrongSign(BETA))[2], images, images, steps, loss=lambda x, r: -squared_error(x, r))
except FloatingPointError as error:
    print(error)

# %% [markdown]
# The VAE with both signs turned runs away until its numbers overflow, and `StopWhereLost` ends the run.
#
# ## This run

# %%
record(
    squared_error_pca=errors["PCA"].mean(),
    squared_error_autoencoder=errors["dense"].mean(),
    confidence_of_vae_samples=sure["variational"].mean(),
    vq_perplexity=lively[-1],
)

# %% [markdown]
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. Plain NumPy is enough but for exercise 16.3, which
# needs `keras.ops`. The functions of the lesson are yours to use.
#
# **Exercise 16.1 ★** The price of a code, in NumPy. A code that is the prior costs nothing.


# %%
# Exercise 16.1
def code_price(mean, log_variance):
    """KL from N(mean, variance) to the standard normal distribution, for each item of a batch.

    mean, log_variance: arrays (batch, k); log_variance is the natural logarithm of the
    variance.
    Returns an array (batch,), in nats. Raises ValueError where the two shapes differ.
    Example: code_price(np.array([[3.0, 0.0]]), np.zeros((1, 2))) is [4.5].
    """
    ### BEGIN SOLUTION
    if mean.shape != log_variance.shape:
        raise ValueError(f"mean has the shape {mean.shape} and log_variance {log_variance.shape}")
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=-1)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.stats import norm

ex = exercise("16.1")


@ex.cases
def _(rng):
    yield np.array([[3.0, 0.0]]), np.zeros((1, 2))
    yield np.zeros((3, 4)), np.zeros((3, 4))
    for _ in range(20):
        shape = tuple(int(n) for n in rng.integers(2, 7, 2))
        yield rng.normal(size=shape), rng.normal(size=shape)
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 1))
    yield rng.normal(size=(4, 3)), rng.normal(size=3)


@ex.oracle
def _(mean, log_variance):
    # Cross-entropy minus entropy, number by number.
    if mean.shape != log_variance.shape:
        raise ValueError("the shapes differ")
    prices = np.zeros(mean.shape)
    for place in np.ndindex(mean.shape):
        q = norm(mean[place], np.exp(log_variance[place] / 2))
        prices[place] = (np.log(2 * np.pi) + q.var() + q.mean() ** 2) / 2 - q.entropy()
    return prices.sum(axis=1)


def _terms(mean, log_variance):
    if mean.shape != log_variance.shape:
        raise ValueError
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)


@ex.wrong
def mean_over_the_code(mean, log_variance):
    """You took the mean over the numbers of the code. Each of them has its price, and the prices add up."""
    return _terms(mean, log_variance).mean(axis=1)


@ex.wrong
def mean_over_the_batch(mean, log_variance):
    """The mean over the batch is for the loss, later. Here every item has a price of its own."""
    return _terms(mean, log_variance).sum(axis=1).mean()


@ex.wrong
def sum_over_the_batch(mean, log_variance):
    """You added up over the batch and kept the numbers of the code apart; it is the other way round."""
    return _terms(mean, log_variance).sum(axis=0)


@ex.wrong
def elbo_sign(mean, log_variance):
    """This is minus the KL, as it stands in the ELBO. A divergence is never negative."""
    return -_terms(mean, log_variance).sum(axis=1)


@ex.wrong
def variance_for_log(mean, log_variance):
    """The second argument is the logarithm of the variance; you used it as the variance itself."""
    _terms(mean, log_variance)
    return 0.5 * (mean**2 + log_variance - 1 - np.log(np.abs(log_variance) + 1e-12)).sum(axis=1)


@ex.wrong
def deviation_for_variance(mean, log_variance):
    """You read the second argument as the logarithm of the standard deviation. It is that of the variance, which is
    twice as much."""
    _terms(mean, log_variance)
    return 0.5 * (mean**2 + np.exp(2 * log_variance) - 1 - 2 * log_variance).sum(axis=1)


@ex.wrong
def half_forgotten(mean, log_variance):
    """Every term is right, and the factor one half before the sum is missing."""
    return 2 * _terms(mean, log_variance).sum(axis=1)


@ex.wrong
def deviation_for_variance_inside(mean, log_variance):
    """One term is off: the exponential of half the logarithm is the standard deviation, and the formula has its
    square, the variance."""
    return (_terms(mean, log_variance) + 0.5 * (np.exp(log_variance / 2) - np.exp(log_variance))).sum(axis=1)


@ex.wrong
def sign_of_the_logarithm(mean, log_variance):
    """The logarithm of the variance is subtracted: a narrow distribution says much and costs much."""
    return (_terms(mean, log_variance) + log_variance).sum(axis=1)


@ex.wrong
def one_forgotten(mean, log_variance):
    """A code that is the prior costs nothing, and yours costs something for mean 0 and log-variance 0: a constant is
    missing from each term."""
    return (_terms(mean, log_variance) + 0.5).sum(axis=1)


@ex.wrong
def mean_not_squared(mean, log_variance):
    """The mean enters as its square: to the left of 0 it is as far from the prior as to the right."""
    return (_terms(mean, log_variance) + 0.5 * (mean - mean**2)).sum(axis=1)


@ex.wrong
def the_other_way_round(mean, log_variance):
    """This is the divergence from the standard normal to N(mean, variance); asked for is the other direction. A
    divergence is not symmetric."""
    _terms(mean, log_variance)
    return 0.5 * ((1 + mean**2) / np.exp(log_variance) - 1 + log_variance).sum(axis=1)


@ex.wrong
def one_number(mean, log_variance):
    """You added up over the batch too. Every item has a price of its own: sum over the numbers of the code alone."""
    return _terms(mean, log_variance).sum()


@ex.wrong
def broadcasts(mean, log_variance):
    """Right where the shapes agree. Where they differ, NumPy broadcasts silently; refuse them with a ValueError."""
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)


@ex.right
def by_einsum(mean, log_variance):
    if np.shape(mean) != np.shape(log_variance):
        raise ValueError("these do not belong together")
    sigma = np.exp(log_variance / 2)
    squares = np.einsum("bk,bk->b", mean, mean) + np.einsum("bk,bk->b", sigma, sigma)
    return squares / 2 - np.log(sigma).sum(axis=1) - mean.shape[1] / 2


# %%
check("16.1", code_price)

# %% [markdown]
# **Exercise 16.2 ★** Draw a code, and say how it moves when the encoder's outputs do.


# %%
# Exercise 16.2
def draw_code(mean, log_variance, epsilon):
    """A draw from N(mean, variance) by reparameterisation, with its derivatives, element by
    element.

    mean, log_variance, epsilon: arrays of one shape; epsilon holds standard normal numbers.
    Returns three arrays of that shape: the draw z, its derivative by mean, its derivative by
    log_variance. Raises ValueError where the shapes differ.
    Example: draw_code(np.array([1.0]), np.array([0.0]), np.array([2.0])) is
    ([3.0], [1.0], [1.0]).
    """
    ### BEGIN SOLUTION
    if not mean.shape == log_variance.shape == epsilon.shape:
        raise ValueError(f"the shapes {mean.shape}, {log_variance.shape} and {epsilon.shape} differ")
    noise = np.exp(0.5 * log_variance) * epsilon
    return mean + noise, np.ones_like(mean), 0.5 * noise
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("16.2")


@ex.cases
def _(rng):
    yield np.array([1.0]), np.array([0.0]), np.array([2.0])
    for _ in range(20):
        shape = tuple(int(n) for n in rng.integers(1, 5, 2))
        yield rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape)
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=3)
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 1)), rng.normal(size=(4, 3))


@ex.oracle
def _(mean, log_variance, epsilon):
    if not mean.shape == log_variance.shape == epsilon.shape:
        raise ValueError("the shapes differ")

    # A step in the imaginary direction gives the derivatives without a difference.
    def z(m, v):
        return m + np.sqrt(np.exp(v)) * epsilon

    by_mean, by_log_variance = z(mean + 1e-30j, log_variance), z(mean, log_variance + 1e-30j)
    return z(mean, log_variance), by_mean.imag / 1e-30, by_log_variance.imag / 1e-30


def _noise(mean, log_variance, epsilon):
    if not mean.shape == log_variance.shape == epsilon.shape:
        raise ValueError
    return np.exp(log_variance / 2) * epsilon


@ex.wrong
def variance_for_deviation(mean, log_variance, epsilon):
    """The noise is scaled by the standard deviation; you scaled it by the variance."""
    noise = np.exp(log_variance / 2) * _noise(mean, log_variance, epsilon)
    return mean + noise, np.ones_like(mean), noise


@ex.wrong
def variance_for_deviation_with_half(mean, log_variance, epsilon):
    """The noise is scaled by the standard deviation; you scaled it by the variance."""
    noise = np.exp(log_variance / 2) * _noise(mean, log_variance, epsilon)
    return mean + noise, np.ones_like(mean), 0.5 * noise


@ex.wrong
def logarithm_as_deviation(mean, log_variance, epsilon):
    """You multiplied the noise by the logarithm of the variance. Half of it, and an exponential, come first."""
    _noise(mean, log_variance, epsilon)
    return mean + log_variance * epsilon, np.ones_like(mean), epsilon


@ex.wrong
def derivative_by_sigma(mean, log_variance, epsilon):
    """The draw is right. The last derivative is that by the standard deviation; asked for is that by the logarithm of
    the variance, so one more factor comes from the chain rule."""
    return mean + _noise(mean, log_variance, epsilon), np.ones_like(mean), epsilon


@ex.wrong
def half_forgotten(mean, log_variance, epsilon):
    """The draw is right. In the last derivative the factor from the exponent is missing."""
    noise = _noise(mean, log_variance, epsilon)
    return mean + noise, np.ones_like(mean), noise


@ex.wrong
def no_way_through(mean, log_variance, epsilon):
    """The draw is right, but your derivatives say that it does not depend on the encoder. With epsilon held fast, it
    does: that is the point of drawing in this way."""
    return mean + _noise(mean, log_variance, epsilon), np.zeros_like(mean), np.zeros_like(mean)


@ex.wrong
def scaled_mean(mean, log_variance, epsilon):
    """You scaled the mean along with the noise. First scale, then move."""
    _noise(mean, log_variance, epsilon)
    sigma = np.exp(log_variance / 2)
    return (mean + epsilon) * sigma, sigma, 0.5 * (mean + epsilon) * sigma


@ex.wrong
def deviation_lost(mean, log_variance, epsilon):
    """The draw is right. The derivative of an exponential is that exponential again: in the last one it is missing."""
    return mean + _noise(mean, log_variance, epsilon), np.ones_like(mean), epsilon / 2


@ex.wrong
def noise_lost(mean, log_variance, epsilon):
    """The draw is right. In the last derivative epsilon is missing: the deviation is multiplied by it."""
    _noise(mean, log_variance, epsilon)
    sigma = np.exp(log_variance / 2)
    return mean + sigma * epsilon, np.ones_like(mean), sigma / 2


@ex.wrong
def derivative_by_variance(mean, log_variance, epsilon):
    """The draw is right. The last derivative is that by the variance; asked for is that by its logarithm."""
    noise = _noise(mean, log_variance, epsilon)
    return mean + noise, np.ones_like(mean), noise / (2 * np.exp(log_variance))


@ex.wrong
def mean_in_the_derivative(mean, log_variance, epsilon):
    """The draw is right. In the last derivative the mean has no part: it does not depend on the log-variance."""
    noise = _noise(mean, log_variance, epsilon)
    return mean + noise, np.ones_like(mean), (mean + noise) / 2


@ex.wrong
def derivatives_exchanged(mean, log_variance, epsilon):
    """All three are right, in the wrong order: the draw, its derivative by mean, then that by log_variance."""
    noise = _noise(mean, log_variance, epsilon)
    return mean + noise, noise / 2, np.ones_like(mean)


@ex.wrong
def broadcasts(mean, log_variance, epsilon):
    """Right where the shapes agree. Where they differ, NumPy broadcasts silently, and several codes share one noise;
    refuse them with a ValueError."""
    noise = np.exp(log_variance / 2) * epsilon
    return mean + noise, np.ones_like(mean), noise / 2


@ex.right
def by_powers(mean, log_variance, epsilon):
    if len({np.shape(mean), np.shape(log_variance), np.shape(epsilon)}) > 1:
        raise ValueError("three arrays of one shape are needed")
    sigma = np.e ** (np.asarray(log_variance) / 2)
    z = np.add(mean, np.multiply(sigma, epsilon))
    return z, mean * 0 + 1, (z - mean) / 2


# %%
check("16.2", draw_code)

# %% [markdown]
# **Exercise 16.3 ★★** The middle of a VQ-VAE in one function. The check looks at what comes out, and at the gradients
# that reach the encoder and the codebook through it.


# %%
# Exercise 16.3
def quantise(z, codes):
    """Replace every vector by its nearest code, with the straight-through gradient (16.10).

    z: tensor (..., width). codes: tensor (K, width). Use keras.ops. Returns a tensor of the
    shape of z. The gradient of the result reaches z as if nothing had been replaced, and does
    not reach the codes at all.
    Raises ValueError where the last axes of z and codes have different sizes.
    Example: for z = [[0.9, 0.2]] and codes = [[0, 0], [1, 0]] the result is [[1, 0]].
    """
    ### BEGIN SOLUTION
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError(f"z holds vectors of {z.shape[-1]} numbers and the codebook of {codes.shape[-1]}")
    distances = ops.sum(ops.square(ops.expand_dims(z, -2) - codes), axis=-1)  # (..., K)
    chosen = ops.take(codes, ops.argmin(distances, axis=-1), axis=0)
    return z + ops.stop_gradient(chosen - z)
    ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import numpy as np
from keras import ops
from scipy.spatial import KDTree

ex = exercise("16.3", rtol=1e-4, atol=1e-4)


@ex.cases
def _(rng):
    yield np.array([[0.9, 0.2]], "float32"), np.array([[0, 0], [1, 0]], "float32"), np.ones((1, 2), "float32")
    for n in range(9):
        shape = [(5, 3), (2, 2, 2, 3)][n % 2]
        z, weights = (rng.normal(size=shape).astype("float32") for _ in range(2))
        yield z, (2 * rng.normal(size=(6, 3))).astype("float32"), weights
    yield (
        rng.normal(size=(5, 3)).astype("float32"),
        rng.normal(size=(3, 2)).astype("float32"),
        np.ones((5, 3), "float32"),
    )
    yield (
        rng.normal(size=(5, 3)).astype("float32"),
        rng.normal(size=(3, 1)).astype("float32"),
        np.ones((5, 3), "float32"),
    )


ex.shown_as("""
given, book = keras.ops.convert_to_tensor(z), keras.ops.convert_to_tensor(codes)
quantise(given, book), gradient(lambda at: keras.ops.sum(weights * quantise(at, book)), given)
""")


@ex.drive
def values_and_gradients(answer, z, codes, weights):
    z, codes, weights = (ops.convert_to_tensor(array) for array in (z, codes, weights))

    def loss(at, book):  # the zeros keep both in the picture where an answer uses only one of them
        return ops.sum(weights * answer(at, book)) + 0 * (ops.sum(at) + ops.sum(book))

    return {
        "value": ops.convert_to_numpy(answer(z, codes)),
        "gradient of z": ops.convert_to_numpy(gradient(lambda at: loss(at, codes), z)),
        "gradient of codes": ops.convert_to_numpy(gradient(lambda book: loss(z, book), codes)),
    }


@ex.oracle
def _(z, codes, weights):
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError("the widths differ")
    chosen = codes[KDTree(codes).query(z)[1]]
    return {"value": chosen, "gradient of z": weights, "gradient of codes": np.zeros_like(codes)}


def _chosen(z, codes, scores=None):
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError
    distances = ops.sum(ops.square(ops.expand_dims(z, -2) - codes), axis=-1)
    return ops.take(codes, ops.argmin(scores(distances) if scores else distances, axis=-1), axis=0)


@ex.wrong
def bare_lookup(z, codes):
    """The values are right. But the choice of a code has no gradient, so nothing reaches the encoder, and the codes
    get a gradient that they should not: on the way back, z has to stand in for its code."""
    return _chosen(z, codes)


@ex.wrong
def stopped_altogether(z, codes):
    """The values are right, and no gradient reaches anything. Only the difference to z is to be stopped, not z."""
    return ops.stop_gradient(_chosen(z, codes))


@ex.wrong
def codes_not_stopped(z, codes):
    """Values and the encoder's gradient are right. But the codes get a gradient as well. They have a loss of their
    own, so this one has to be stopped."""
    return z + _chosen(z, codes) - ops.stop_gradient(z)


@ex.wrong
def difference_turned(z, codes):
    """The gradient is right, the value is z moved *away* from its code: the difference has the wrong sign."""
    return z + ops.stop_gradient(z - _chosen(z, codes))


@ex.wrong
def no_replacement(z, codes):
    """The gradient is right, but the decoder sees z itself: the value has to be the nearest code."""
    _chosen(z, codes)
    return z + 0 * ops.sum(codes)


@ex.wrong
def farthest(z, codes):
    """You chose the code that is farthest away."""
    return z + ops.stop_gradient(_chosen(z, codes, lambda distances: -distances) - z)


@ex.wrong
def largest_product(z, codes):
    """You chose the code with the largest product with z. Long codes win that way; the nearest is another matter."""
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError
    chosen = ops.take(codes, ops.argmax(ops.matmul(z, ops.transpose(codes)), axis=-1), axis=0)
    return z + ops.stop_gradient(chosen - z)


@ex.wrong
def half_the_product(z, codes):
    """You left out a factor: multiplied out, the squared distance has the product twice, as in (16.9)."""
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError
    scores = ops.sum(ops.square(codes), axis=-1) - ops.matmul(z, ops.transpose(codes))
    chosen = ops.take(codes, ops.argmin(scores, axis=-1), axis=0)
    return z + ops.stop_gradient(chosen - z)


@ex.wrong
def city_block(z, codes):
    """You chose by the sum of the absolute differences; the nearest code is the one with the least sum of squares."""
    if z.shape[-1] != codes.shape[-1]:
        raise ValueError
    distances = ops.sum(ops.abs(ops.expand_dims(z, -2) - codes), axis=-1)
    chosen = ops.take(codes, ops.argmin(distances, axis=-1), axis=0)
    return z + ops.stop_gradient(chosen - z)


@ex.wrong
def roles_exchanged(z, codes):
    """You exchanged the two: the value is that of z and the gradient goes to the codes. It is the other way round."""
    chosen = _chosen(z, codes)
    return chosen + ops.stop_gradient(z - chosen)


@ex.wrong
def takes_anything(z, codes):
    """Right where the widths agree. Where they differ, the difference broadcasts or fails with an error of its own;
    compare the last axes first, and refuse with a ValueError."""
    distances = ops.sum(ops.square(ops.expand_dims(z, -2) - codes), axis=-1)
    chosen = ops.take(codes, ops.argmin(distances, axis=-1), axis=0)
    return z + ops.stop_gradient(chosen - z)


@ex.right
def by_one_hot(z, codes):
    if int(z.shape[-1]) != int(codes.shape[-1]):
        raise ValueError("a code of another width")
    scores = ops.matmul(z, ops.transpose(codes)) - 0.5 * ops.sum(codes * codes, axis=1)
    choice = ops.one_hot(ops.argmax(scores, axis=-1), codes.shape[0])
    fixed = ops.stop_gradient(ops.matmul(choice, codes))
    return fixed + (z - ops.stop_gradient(z))


# %%
check("16.3", quantise)

# %% [markdown]
# **Exercise 16.4 ★★★** Keep a codebook alive without any gradient: one step of $k$-means for the codes that are in
# use, and a new start for the others, where they are needed most.


# %%
# Exercise 16.4
def revive(codes, z):
    """New codes after one step: used ones become means, unused ones move to the vectors that
    are served worst.

    codes (K, width), z (m, width): arrays of floats, m >= K. A code is used if it is the
    nearest to some vector of z; it moves to the mean of all vectors that it is nearest to. The
    unused codes, in the order of their numbers, move to the vectors with the largest distance
    to their nearest code, the farthest first. All distances are those to the given codes,
    before anything moves. Returns an array (K, width); the arguments stay as they are.
    Raises ValueError where the widths of codes and z differ, and where m < K.
    Example: revive(np.array([[0.0], [9.0]]),
    np.array([[1.0], [2.0], [3.0]])) is [[2.0], [3.0]].
    """
    ### BEGIN SOLUTION
    if codes.shape[1] != z.shape[1]:
        raise ValueError(f"axis 1 has size {codes.shape[1]} in codes and {z.shape[1]} in z")
    if len(z) < len(codes):
        raise ValueError(f"{len(z)} vectors are too few for {len(codes)} codes")
    distances = np.linalg.norm(z[:, None] - codes, axis=-1)  # (m, K)
    chosen, farthest_first = distances.argmin(axis=1), iter(np.argsort(-distances.min(axis=1)))
    moved = np.empty(codes.shape)
    for j in range(len(codes)):
        moved[j] = z[chosen == j].mean(axis=0) if np.any(chosen == j) else z[next(farthest_first)]
    return moved
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.spatial import KDTree

ex = exercise("16.4")


@ex.cases
def _(rng):
    yield np.array([[0.0], [9.0]]), np.array([[1.0], [2.0], [3.0]])
    yield np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[-2.0, 1.0], [-2.0, -1.0], [3.0, 0.5]])
    for n in range(20):
        count, width = int(rng.integers(3, 8)), int(rng.integers(1, 4))
        codes = rng.normal(size=(count, width))
        codes[: n % 3 + 1] += 20  # far from everything: unused
        yield codes[rng.permutation(count)], rng.normal(size=(int(rng.integers(count, 20)), width))
    yield rng.normal(size=(3, 2)), rng.normal(size=(5, 1))
    yield rng.normal(size=(4, 2)), rng.normal(size=(3, 2))


@ex.oracle
def _(codes, z):
    if codes.shape[1] != z.shape[1] or len(z) < len(codes):
        raise ValueError("they do not belong together")
    far, chosen = KDTree(codes).query(z)
    groups, waiting, moved = {}, sorted(range(len(z)), key=lambda i: far[i]), []
    for vector, j in zip(z.tolist(), chosen.tolist()):
        groups.setdefault(j, []).append(vector)
    for j in range(len(codes)):
        moved.append(np.mean(groups[j], axis=0) if j in groups else z[waiting.pop()])
    return np.array(moved)


def _distances(codes, z):
    if codes.shape[1] != z.shape[1] or len(z) < len(codes):
        raise ValueError
    return np.linalg.norm(z[:, None] - codes, axis=-1)


def _revive(
    codes, z, centre=lambda group: group.mean(axis=0), order=lambda far: np.argsort(-far), same=False, dead=True
):
    distances = _distances(codes, z)
    chosen, row = distances.argmin(axis=1), order(distances.min(axis=1))
    moved, taken = codes.copy(), 0
    for j in range(len(codes)):
        if np.any(chosen == j):
            moved[j] = centre(z[chosen == j]) if centre else codes[j]
        elif dead:
            moved[j] = z[row[0 if same else taken]]
            taken += 1
    return moved


@ex.wrong
def dead_stay_dead(codes, z):
    """The used codes are right. The unused ones have stayed where they were, and will never be chosen."""
    return _revive(codes, z, dead=False)


@ex.wrong
def best_served_first(codes, z):
    """You moved the unused codes to the vectors that have a code close by already; take the worst served ones."""
    return _revive(codes, z, order=np.argsort)


@ex.wrong
def all_to_one_place(codes, z):
    """All unused codes have gone to the same vector, where only one of them can be of use. Each takes the next one."""
    return _revive(codes, z, same=True)


@ex.wrong
def sums(codes, z):
    """A used code moves to the mean of its vectors; you moved it to their sum."""
    return _revive(codes, z, centre=lambda group: group.sum(axis=0))


@ex.wrong
def half_way(codes, z):
    """Only one of the vectors of each used code decides where it goes. All of them do, through their mean."""
    return _revive(codes, z, centre=lambda group: group[0])


@ex.wrong
def distances_after_the_move(codes, z):
    """The used codes are right. For the unused ones you measured the distances to codes that had moved already; they
    are to be measured before anything moves."""
    moved = _revive(codes, z, dead=False)
    used = np.unique(np.linalg.norm(z[:, None] - codes, axis=-1).argmin(axis=1))
    far = np.linalg.norm(z[:, None] - moved[used], axis=-1).min(axis=1)
    dead = np.setdiff1d(np.arange(len(codes)), used)
    moved[dead] = z[np.argsort(-far)[: len(dead)]]
    return moved


@ex.wrong
def not_a_number(codes, z):
    """The mean of no vectors is not a number: look after the unused codes before you divide by their count."""
    nearest = _distances(codes, z).argmin(axis=1)
    choice = (nearest[:, None] == np.arange(len(codes))).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return choice.T @ z / choice.sum(axis=0)[:, None]


@ex.wrong
def nearest_vector_of_each_code(codes, z):
    """Each of your codes looks for its nearest vector. It is the other way round: each vector chooses its nearest
    code, and some codes are chosen by none. Mind the axis of the argmin."""
    return z[_distances(codes, z).argmin(axis=0)]


@ex.wrong
def used_stay(codes, z):
    """The unused codes are right. The used ones have stayed where they were; each moves to the mean of its
    vectors."""
    return _revive(codes, z, centre=None)


@ex.wrong
def mean_over_all_axes(codes, z):
    """A used code moves to one vector's worth of means: you took the mean over the numbers of the vectors as well."""
    return _revive(codes, z, centre=np.mean)


@ex.wrong
def far_from_all(codes, z):
    """The used codes are right. You ranked the vectors by their distances to all codes together; what counts is the
    distance to the nearest one, because that code serves them."""
    return _revive(codes, z, order=lambda far: np.argsort(-_distances(codes, z).sum(axis=1)))


@ex.wrong
def last_first(codes, z):
    """The vectors are right and the codes are, but not who gets which: the unused code with the smallest number takes
    the farthest vector."""
    moved = _revive(codes, z)
    dead = np.setdiff1d(np.arange(len(codes)), _distances(codes, z).argmin(axis=1))
    moved[dead] = moved[dead[::-1]]
    return moved


@ex.wrong
def writes_into_codes(codes, z):
    """You wrote into the array that you were given. Whoever calls you may need it again: work on a copy."""
    codes[:] = _revive(codes, z)
    return codes


@ex.wrong
def takes_anything(codes, z):
    """Right for what belongs together. Vectors of another width broadcast silently, and fewer vectors than codes may
    not be enough: refuse both with a ValueError."""
    distances = np.linalg.norm(z[:, None] - codes, axis=-1)
    chosen, row = distances.argmin(axis=1), iter(np.argsort(-distances.min(axis=1)))
    moved = [z[chosen == j].mean(axis=0) if np.any(chosen == j) else z[next(row)] for j in range(len(codes))]
    return np.array(moved)


@ex.right
def by_matrices(codes, z):
    if len(codes) > len(z):
        raise ValueError("too few vectors")
    squared = (z**2).sum(axis=1)[:, None] + (codes**2).sum(axis=1) - 2 * z @ codes.T
    choice = np.eye(len(codes))[squared.argmin(axis=1)]
    counts = choice.sum(axis=0)
    moved = choice.T @ z / np.maximum(counts, 1)[:, None]
    worst = np.argsort(squared.min(axis=1))[::-1]
    moved[counts == 0] = z[worst[: int(np.sum(counts == 0))]]
    return moved


# %%
check("16.4", revive)

# %% [markdown]
# **Exercise 16.5 ★★★** The ELBO is a mean of $\log w_s$ with $w_s = p(x, z_s) / q(z_s)$. Take the logarithm of the
# mean instead of the mean of the logarithms, and you have a tighter bound, which nears $\log p(x)$ as the number $S$
# of draws grows (Burda et al., 2016): $\log \frac1S \sum_s w_s$. The weights themselves are far too small or too
# large for a float.


# %%
# Exercise 16.5
def two_bounds(log_joint, log_q):
    """The ELBO and the importance-weighted bound of each item, from S draws of z.

    log_joint: log p(x, z_s), array (S, batch). log_q: log q(z_s), array (S, batch). The values
    may be anywhere between -10,000 and 10,000.
    Returns two arrays (batch,): the mean of log w, and the logarithm of the mean of w, where w
    = p / q. Raises ValueError where the two shapes differ.
    Example: for log_joint = [[0], [0]] and log_q = [[0], [-log 3]] the weights are 1 and 3,
    and the bounds are [0.5493] and [0.6931]: half of log 3, and log 2.
    """
    ### BEGIN SOLUTION
    if log_joint.shape != log_q.shape:
        raise ValueError(f"log_joint has the shape {log_joint.shape} and log_q {log_q.shape}")
    log_w = log_joint - log_q
    largest = log_w.max(axis=0)
    return log_w.mean(axis=0), largest + np.log(np.exp(log_w - largest).mean(axis=0))
    ### END SOLUTION


# %% tags=["grading"]
from decimal import Decimal

from course.exercises import exercise

import numpy as np

ex = exercise("16.5")


@ex.cases
def _(rng):
    yield np.zeros((2, 1)), np.array([[0.0], [-np.log(3)]])
    yield np.full((4, 3), -5000.0), rng.normal(size=(4, 3))
    for n in range(18):
        shape = tuple(int(n) for n in rng.integers(2, 7, 2))
        yield 2 * rng.normal(size=shape) + [0, -3000, 2000][n % 3], rng.normal(size=shape)
    for _ in range(4):  # items of one batch that are far apart
        yield 2 * rng.normal(size=(5, 3)) + 1500 * rng.permutation([-2, 0, 2]), rng.normal(size=(5, 3))
    yield rng.normal(size=(4, 3)), rng.normal(size=3)
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 1))


@ex.oracle
def _(log_joint, log_q):
    if log_joint.shape != log_q.shape:
        raise ValueError("the shapes differ")
    # In decimal numbers, which have room for any exponent.
    bounds = []
    for joint, q in zip(log_joint.T.tolist(), log_q.T.tolist()):
        logs = [Decimal(a) - Decimal(b) for a, b in zip(joint, q)]
        weights = [value.exp() for value in logs]
        bounds.append((float(sum(logs) / len(logs)), float((sum(weights) / len(weights)).ln())))
    return tuple(np.array(bounds).T)


def _logs(log_joint, log_q):
    if log_joint.shape != log_q.shape:
        raise ValueError
    return log_joint - log_q


def _log_mean(log_w, axis=0):
    largest = log_w.max(axis=axis, keepdims=True)
    return np.squeeze(largest, axis) + np.log(np.exp(log_w - largest).mean(axis=axis))


@ex.wrong
def naive(log_joint, log_q):
    """Right for moderate values. For others the exponential is 0 or infinite: take the largest value out first."""
    log_w = _logs(log_joint, log_q)
    with np.errstate(over="ignore", divide="ignore"):
        return log_w.mean(axis=0), np.log(np.exp(log_w).mean(axis=0))


@ex.wrong
def sum_of_weights(log_joint, log_q):
    """The second bound is too high by the logarithm of S: it is a mean of the weights, not their sum."""
    log_w = _logs(log_joint, log_q)
    return log_w.mean(axis=0), _log_mean(log_w) + np.log(len(log_w))


@ex.wrong
def over_the_batch(log_joint, log_q):
    """The mean is over the draws, axis 0, and every item of the batch keeps its own bounds."""
    log_w = _logs(log_joint, log_q)
    return log_w.mean(axis=1), _log_mean(log_w, axis=1)


@ex.wrong
def upside_down(log_joint, log_q):
    """The weights are upside down: p is divided by q."""
    log_w = -_logs(log_joint, log_q)
    return log_w.mean(axis=0), _log_mean(log_w)


@ex.wrong
def without_q(log_joint, log_q):
    """You left q out. Draws that q makes often must count for less, so each is divided by its q."""
    _logs(log_joint, log_q)
    return log_joint.mean(axis=0), _log_mean(log_joint)


@ex.wrong
def elbo_twice(log_joint, log_q):
    """The first bound is right, and the second is the same again: the logarithm comes after the mean there."""
    log_w = _logs(log_joint, log_q)
    return log_w.mean(axis=0), log_w.mean(axis=0)


@ex.wrong
def best_draw(log_joint, log_q):
    """The second bound is the largest weight alone. It dominates the mean, but the others count as well."""
    log_w = _logs(log_joint, log_q)
    return log_w.mean(axis=0), log_w.max(axis=0)


@ex.wrong
def largest_of_all(log_joint, log_q):
    """Right where the items are of one size. You took one largest value out of the whole batch, and the weights of an
    item far below it are all 0: each item needs its own largest value."""
    log_w = _logs(log_joint, log_q)
    with np.errstate(divide="ignore"):
        return log_w.mean(axis=0), log_w.max() + np.log(np.exp(log_w - log_w.max()).mean(axis=0))


@ex.wrong
def largest_not_put_back(log_joint, log_q):
    """You took the largest value out of the exponential, rightly, but did not put it back after the logarithm."""
    log_w = _logs(log_joint, log_q)
    return log_w.mean(axis=0), _log_mean(log_w) - log_w.max(axis=0)


@ex.wrong
def small_constant(log_joint, log_q):
    """A small constant inside the logarithm keeps it finite, and makes it wrong: where all weights are smaller still,
    only the constant is left. Take the largest value out first."""
    log_w = _logs(log_joint, log_q)
    with np.errstate(over="ignore"):
        return log_w.mean(axis=0), np.log(np.exp(log_w).mean(axis=0) + 1e-12)


@ex.wrong
def means_apart(log_joint, log_q):
    """You divided the mean of p by the mean of q. The second bound is the mean of the ratios: divide first."""
    log_w = _logs(log_joint, log_q)
    return log_w.mean(axis=0), _log_mean(log_joint) - _log_mean(log_q)


@ex.wrong
def sum_of_logarithms(log_joint, log_q):
    """The second bound is right; the first is a mean over the draws, and you took their sum."""
    log_w = _logs(log_joint, log_q)
    return log_w.sum(axis=0), _log_mean(log_w)


@ex.wrong
def multiplied(log_joint, log_q):
    """You added the logarithms, which multiplies p and q. The weight is p divided by q."""
    log_w = _logs(log_joint, -log_q)
    return log_w.mean(axis=0), _log_mean(log_w)


@ex.wrong
def exchanged(log_joint, log_q):
    """Both bounds are right, in the wrong order: the ELBO comes first."""
    log_w = _logs(log_joint, log_q)
    return _log_mean(log_w), log_w.mean(axis=0)


@ex.wrong
def broadcasts(log_joint, log_q):
    """Right where the shapes agree. Where they differ, NumPy broadcasts silently; refuse them with a ValueError."""
    log_w = log_joint - log_q
    return log_w.mean(axis=0), _log_mean(log_w)


@ex.right
def by_logaddexp(log_joint, log_q):
    if np.shape(log_joint) != np.shape(log_q):
        raise ValueError("one log q for each log p, please")
    log_w = np.subtract(log_joint, log_q)
    return np.sum(log_w, axis=0) / len(log_w), np.logaddexp.reduce(log_w, axis=0) - np.log(len(log_w))


# %%
check("16.5", two_bounds)

# %% [markdown]
# **Exercise 16.6 ★★** Repair the loss of snippet A. It is to be what (16.7) says the VAE minimises, without the
# constants: squared error plus $\beta$ times the KL, the mean over the batch.


# %%
# Exercise 16.6
def loss_from_the_web(x, reconstruction, mean, log_variance, beta):
    """The loss of a VAE for one batch: the mean over its items of squared error + beta * KL.

    x, reconstruction: arrays (batch, pixels). mean, log_variance: arrays (batch, k). beta: a
    number > 0.
    Returns a number.
    Example: with x = [[1, 1]], reconstruction = [[0, 0]], mean = [[2, 2]], log_variance =
    [[0, 0]] and beta = 0.5 it is 2 + 0.5 * 4 = 4.
    """
    ### BEGIN SOLUTION
    error = np.sum((x - reconstruction) ** 2, axis=1)
    kl = -0.5 * np.sum(1 + log_variance - mean**2 - np.exp(log_variance), axis=1)
    return np.mean(error + beta * kl)
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("16.6", start="mean_price")


@ex.cases
def _(rng):
    yield np.ones((1, 2)), np.zeros((1, 2)), 2 * np.ones((1, 2)), np.zeros((1, 2)), 0.5
    for _ in range(20):
        batch, pixels, k = (int(n) for n in rng.integers(2, 8, 3))
        yield *rng.normal(size=(2, batch, pixels)), *rng.normal(size=(2, batch, k)), float(rng.uniform(0.1, 3))


@ex.oracle
def _(x, reconstruction, mean, log_variance, beta):
    total = 0.0
    for b in range(len(x)):
        for i in range(x.shape[1]):
            total += (x[b, i] - reconstruction[b, i]) ** 2
        for j in range(mean.shape[1]):
            sigma = math.exp(log_variance[b, j] / 2)
            total += beta * (mean[b, j] ** 2 / 2 + (sigma**2 - 1) / 2 - math.log(sigma))
    return total / len(x)


def _parts(x, reconstruction, mean, log_variance):
    return (x - reconstruction) ** 2, -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance))


@ex.wrong
def mean_price(x, reconstruction, mean, log_variance, beta):
    """The squared error is a sum over the pixels, but the KL is a mean over the numbers of the code: with k of them it
    counts k times too little."""
    error = np.sum((x - reconstruction) ** 2, axis=1)
    kl = -0.5 * np.mean(1 + log_variance - mean**2 - np.exp(log_variance), axis=1)
    return np.mean(error + beta * kl)


@ex.wrong
def mean_error(x, reconstruction, mean, log_variance, beta):
    """Now the KL is a sum, and the squared error is a mean over the pixels: this is snippet B, whose code falls
    silent."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.mean(axis=1) + beta * kl.sum(axis=1))


@ex.wrong
def means_everywhere(x, reconstruction, mean, log_variance, beta):
    """Both are means now, over the pixels and over the numbers of the code. That is not the sum of the two sums but
    for a factor: the two sizes differ, and so do the factors."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.mean() + beta * kl.mean()


@ex.wrong
def sum_over_the_batch(x, reconstruction, mean, log_variance, beta):
    """Sums over pixels and code, good; but the items of the batch are averaged, not added up."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum() + beta * kl.sum()


@ex.wrong
def mixed_batch(x, reconstruction, mean, log_variance, beta):
    """The KL is added up over the batch while the error is averaged over it: its weight grows with the batch."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * kl.sum()


@ex.wrong
def reward_for_the_code(x, reconstruction, mean, log_variance, beta):
    """The KL has the wrong sign: it is a price, so it makes the loss larger."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.sum(axis=1) - beta * kl.sum(axis=1))


@ex.wrong
def unweighted(x, reconstruction, mean, log_variance, beta):
    """Sums and mean are right; beta has been forgotten."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.sum(axis=1) + kl.sum(axis=1))


@ex.wrong
def maximised_error(x, reconstruction, mean, log_variance, beta):
    """The squared error has the wrong sign: whoever lowers this loss makes the error as large as possible."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(-error.sum(axis=1) + beta * kl.sum(axis=1))


@ex.wrong
def weighted_error(x, reconstruction, mean, log_variance, beta):
    """Sums and mean are right; beta is at the wrong term. It is the price of the code."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(beta * error.sum(axis=1) + kl.sum(axis=1))


@ex.wrong
def divided_by_beta(x, reconstruction, mean, log_variance, beta):
    """Right but for a factor: you kept the 1 / beta of (16.7), which is one of its constants."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.sum(axis=1) / beta + kl.sum(axis=1))


@ex.wrong
def half_lost(x, reconstruction, mean, log_variance, beta):
    """Sums and mean are right, but the KL counts twice: its factor one half has been lost."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.sum(axis=1) + 2 * beta * kl.sum(axis=1))


@ex.wrong
def code_by_batch(x, reconstruction, mean, log_variance, beta):
    """The KL is added up along axis 0, the batch, and averaged over the numbers of the code: it is the other way
    round."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.sum(axis=1)) + beta * np.mean(kl.sum(axis=0))


@ex.wrong
def wrong_size(x, reconstruction, mean, log_variance, beta):
    """You made the mean a sum by a factor, and took the wrong one: the KL has as many terms as the code has numbers,
    not as the picture has pixels."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return np.mean(error.sum(axis=1) + beta * x.shape[1] * kl.mean(axis=1))


@ex.right
def by_products(x, reconstruction, mean, log_variance, beta):
    off = (x - reconstruction).ravel()
    squares = mean.ravel() @ mean.ravel() + np.exp(log_variance).sum() - log_variance.sum() - mean.size
    return float(off @ off + beta / 2 * squares) / len(x)


# %%
check("16.6", loss_from_the_web)

# %% [markdown]
# **Exercise 16.7 ★★** This decoder is a single dense layer without activation, and somebody trains it by hand. Its
# error grows with every step. Repair the step.


# %%
# Exercise 16.7
def decoder_step(W, b, z, x, rate):
    """One step of gradient descent for the decoder z W + b, on the mean over the batch of the
    squared error (16.1).

    W (k, pixels), b (pixels,): the decoder. z (batch, k): codes. x (batch, pixels): pictures.
    rate: the learning rate.
    Returns the new W and b; the arguments stay as they are.
    Example: with W = [[0]], b = [0], z = [[1]], x = [[1]] and rate = 0.25 the result is
    ([[0.5]], [0.5]).
    """
    ### BEGIN SOLUTION
    off = z @ W + b - x
    by_W = 2 * z.T @ off / len(x)
    by_b = 2 * off.mean(axis=0)
    return W - rate * by_W, b - rate * by_b
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("16.7", start="uphill")


@ex.cases
def _(rng):
    yield np.zeros((1, 1)), np.zeros(1), np.ones((1, 1)), np.ones((1, 1)), 0.25
    for _ in range(20):
        batch, k, pixels = (int(n) for n in rng.integers(2, 6, 3))
        W, b = rng.normal(size=(k, pixels)), rng.normal(size=pixels)
        yield W, b, rng.normal(size=(batch, k)), rng.normal(size=(batch, pixels)), float(rng.uniform(0.05, 0.5))


@ex.oracle
def _(W, b, z, x, rate):
    # The loss itself, one parameter at a time, by a step in the imaginary direction.
    def loss(W, b):
        return np.mean(np.sum((x - z @ W - b) ** 2, axis=1))

    new_W, new_b = np.array(W, float), np.array(b, float)
    for place in np.ndindex(W.shape):
        moved = W.astype(complex)
        moved[place] += 1e-30j
        new_W[place] -= rate * loss(moved, b).imag / 1e-30
    for place in np.ndindex(b.shape):
        moved = b.astype(complex)
        moved[place] += 1e-30j
        new_b[place] -= rate * loss(W, moved).imag / 1e-30
    return new_W, new_b


def _step(W, b, z, x, rate, for_W=1.0, for_b=1.0):
    off = z @ W + b - x
    return W - for_W * 2 * rate * z.T @ off / len(x), b - for_b * 2 * rate * off.mean(axis=0)


@ex.wrong
def uphill(W, b, z, x, rate):
    """Both parameters move along the gradient of the error, so the error grows. Say for one number which sign the
    difference has when the picture drawn is too bright, and which way the bias then has to go."""
    off = x - (z @ W + b)
    by_W = 2 * z.T @ off / len(x)
    by_b = 2 * off.mean(axis=0)
    return W - rate * by_W, b - rate * by_b


@ex.wrong
def bias_still_uphill(W, b, z, x, rate):
    """W is repaired, and b still moves uphill."""
    return _step(W, b, z, x, rate, for_b=-1)


@ex.wrong
def weights_still_uphill(W, b, z, x, rate):
    """b is repaired, and W still moves uphill."""
    return _step(W, b, z, x, rate, for_W=-1)


@ex.wrong
def two_lost(W, b, z, x, rate):
    """The direction is right. The step is half as long as it should be: a square has a factor 2 in its derivative."""
    return _step(W, b, z, x, rate, 0.5, 0.5)


@ex.wrong
def mean_over_pixels(W, b, z, x, rate):
    """The direction is right, and the step is too short: (16.1) is a sum over the pixels, and you took their mean."""
    return _step(W, b, z, x, rate, 1 / len(b), 1 / len(b))


@ex.wrong
def sum_over_the_batch(W, b, z, x, rate):
    """The direction is right, and the step is too long: the loss is the mean over the batch."""
    return _step(W, b, z, x, rate, len(x), len(x))


@ex.wrong
def weights_summed(W, b, z, x, rate):
    """b is right. The step of W is too long: the loss is the mean over the batch, and z.T @ off is a sum over it."""
    return _step(W, b, z, x, rate, for_W=len(x))


@ex.wrong
def bias_summed(W, b, z, x, rate):
    """W is right. The step of b is too long: you added up over the batch, and the loss is the mean."""
    return _step(W, b, z, x, rate, for_b=len(x))


@ex.wrong
def one_bias_for_all(W, b, z, x, rate):
    """W is right. You took the mean over the pixels as well, so every pixel's bias moves alike; each has its own."""
    off = z @ W + b - x
    return _step(W, b, z, x, rate)[0], b - 2 * rate * off.mean()


@ex.wrong
def bias_after_weights(W, b, z, x, rate):
    """W is right. The step of b was computed with the new W; one step of gradient descent takes both gradients at the
    same place."""
    moved, _ = _step(W, b, z, x, rate)
    return moved, _step(moved, b, z, x, rate)[1]


@ex.wrong
def gradients_returned(W, b, z, x, rate):
    """These are the two gradients, and they are right. Asked for are W and b after the step."""
    off = z @ W + b - x
    return 2 * z.T @ off / len(x), 2 * off.mean(axis=0)


@ex.wrong
def rate_forgotten(W, b, z, x, rate):
    """The direction is right; the learning rate has been forgotten."""
    return _step(W, b, z, x, 1)


@ex.wrong
def writes_into_arguments(W, b, z, x, rate):
    """You wrote into the arrays that you were given (W -= ... does). Make new ones: W = W - ..."""
    W[:], b[:] = _step(W, b, z, x, rate)
    return W, b


@ex.right
def by_one_matrix(W, b, z, x, rate):
    longer = np.hstack([z, np.ones((len(z), 1))])
    both = np.vstack([W, b])
    both = both + 2 * rate / len(x) * longer.T @ (x - longer @ both)
    return both[:-1], both[-1]


# %%
check("16.7", decoder_step)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | autoencoder | $\|x - D(E(x))\|^2$, a sum over the pixels | (16.1) |
# | linear, at best | loses $\sum_{i>k} \lambda_i$; PCA's subspace if $\lambda_k > \lambda_{k+1}$ | (16.2), (16.3) |
# | denoising | $\mathbb{E}[x \mid \tilde x] = \tilde x + \sigma^2 \nabla \log p_\sigma(\tilde x)$ | (16.4) |
# | evidence | $\log p(x) = \text{ELBO} + \mathrm{KL}(q \,\Vert\, p(z \mid x))$ | (16.5) |
# | price of a code | $\frac12 \sum_j (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2)$, a sum | (16.6) |
# | VAE | $\|x - \hat x\|^2 + \beta\, \mathrm{KL}$, with $\beta = 2 s^2$; mean over the batch only | (16.7) |
# | reparameterisation | $z = \mu + \sigma \odot \varepsilon$, $\varepsilon \sim \mathcal N(0, I)$ | (16.8) |
# | vector quantisation | $Q(z) = e_j$ with $j = \arg\min_i \|z - e_i\|^2$ | (16.9) |
# | straight through | $z_q = z + \operatorname{sg}(Q(z) - z)$ | (16.10) |
# | VQ-VAE | error $+ \|\operatorname{sg}(z) - Q(z)\|^2 + \gamma \|z - \operatorname{sg}(Q(z))\|^2$ | (16.11) |
# | codes in use | perplexity $\exp(-\sum_j p_j \log p_j)$ | (16.12) |
#
# ## References
#
# - P. Baldi and K. Hornik, *Neural networks and principal component analysis: learning from examples without local
#   minima*, 1989.
# - Y. Bengio, N. Léonard and A. Courville, *Estimating or propagating gradients through stochastic neurons for
#   conditional computation*, 2013, arXiv:1308.3432.
# - Y. Burda, R. Grosse and R. Salakhutdinov, *Importance weighted autoencoders*, 2016, arXiv:1509.00519.
# - P. Dhariwal et al., *Jukebox: a generative model for music*, 2020, arXiv:2005.00341.
# - C. Eckart and G. Young, *The approximation of one matrix by another of lower rank*, 1936.
# - B. Efron, *Tweedie's formula and selection bias*, 2011.
# - P. Ghosh, M. Sajjadi, A. Vergari, M. Black and B. Schölkopf, *From variational to deterministic autoencoders*, 2020,
#   arXiv:1903.12436.
# - I. Higgins et al., *beta-VAE: learning basic visual concepts with a constrained variational framework*, 2017.
# - G. Hinton and R. Salakhutdinov, *Reducing the dimensionality of data with neural networks*, 2006.
# - D. Kingma and M. Welling, *Auto-encoding variational Bayes*, 2014, arXiv:1312.6114.
# - A. van den Oord, O. Vinyals and K. Kavukcuoglu, *Neural discrete representation learning*, 2017, arXiv:1711.00937.
# - D. Rezende, S. Mohamed and D. Wierstra, *Stochastic backpropagation and approximate inference in deep generative
#   models*, 2014, arXiv:1401.4082.
# - Y. Song and S. Ermon, *Generative modeling by estimating gradients of the data distribution*, 2019,
#   arXiv:1907.05600.
# - M. Tipping and C. Bishop, *Probabilistic principal component analysis*, 1999.
# - P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, *Extracting and composing robust features with denoising
#   autoencoders*, 2008.
# - R. Williams, *Simple statistical gradient-following algorithms for connectionist reinforcement learning*, 1992.
