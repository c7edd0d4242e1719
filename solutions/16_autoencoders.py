# %% [raw]
# title: Autoencoders
# part: IV. Generating
# minutes: 155
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - softmax and cross-entropy
#   - Adam
#   - output size, stride, padding and dilation
#   - transposed convolution
#   - training, validation and test data
#   - callbacks
#   - calibration
# teaches:
#   - autoencoder
#   - principal component analysis
#   - denoising autoencoder
#   - Kullback-Leibler divergence
#   - evidence lower bound
#   - reparameterisation
#   - variational autoencoder
#   - inception score and coverage
#   - vector quantisation
#   - straight-through gradient
#   - perplexity
# data: [MNIST]
# terms:
#   - term: principal component analysis
#     means: keeping the directions in which the data vary most; PCA for short
#     zh: 主成分分析
#   - term: autoencoder
#     means: an encoder and a decoder, trained together to reproduce their input
#     zh: 自编码器
#   - term: encoder
#     means: the network that makes a code of an image
#     zh: 编码器
#   - term: code
#     means: the few numbers that an encoder keeps of an image; also called latent vector
#     symbol: '$\mathbf{z}$'
#     zh: 编码（隐向量）
#   - term: decoder
#     means: the network that makes an image of a code
#     zh: 解码器
#   - term: reconstruction
#     means: what the decoder makes of the code of an image
#     symbol: '$\hat{x}$'
#     zh: 重构
#   - term: covariance matrix
#     means: the mean products of the deviations from the mean, for each pair of inputs
#     symbol: '$\Sigma$'
#     zh: 协方差矩阵
#   - term: principal angle
#     means: one of the angles between two subspaces; all are 0 where the subspaces are equal
#     symbol: '$\theta_i$'
#     zh: 主角
#   - term: denoising autoencoder
#     means: an autoencoder that is shown noisy images and must reproduce the clean ones
#     zh: 去噪自编码器
#   - term: prior
#     means: the distribution from which codes are drawn to make new images
#     zh: 先验分布
#   - term: Kullback-Leibler divergence
#     means: how far one distribution is from another; never negative, and 0 only for equal ones
#     symbol: '$\mathrm{KL}$'
#     zh: KL散度
#   - term: evidence lower bound
#     means: a lower bound on the log-probability of an image, which a VAE raises; ELBO for short
#     zh: 证据下界
#   - term: variational autoencoder
#     means: an autoencoder trained to raise the evidence lower bound; VAE for short
#     zh: 变分自编码器
#   - term: score function estimator
#     means: a gradient through a random draw that weighs the gradient of the log-probability by what the draw gave
#     zh: 得分函数估计
#   - term: baseline
#     means: a number subtracted from what a draw gave, to make an estimate vary less
#     zh: 基线
#   - term: reparameterisation
#     means: writing a random draw as a function of its parameters and of noise that does not depend on them
#     zh: 重参数化
#   - term: inception score
#     means: how sure a classifier is of each made image, and how evenly the images fall into its classes
#     symbol: '$\mathrm{IS}$'
#     zh: Inception分数
#   - term: coverage
#     means: the share of real images that have a made one among their nearest neighbours
#     zh: 覆盖率
#   - term: codebook
#     means: the list of vectors from which a VQ-VAE chooses
#     zh: 码本
#   - term: vector quantisation
#     means: replacing a vector by the nearest one of a list
#     zh: 向量量化
#   - term: straight-through gradient
#     means: the gradient of the output, handed to the input as if nothing lay between them
#     zh: 直通梯度
#   - term: commitment loss
#     means: the part of a VQ-VAE's loss that moves the encoder's outputs to the codes
#     zh: 承诺损失
#   - term: codebook collapse
#     means: most codes of a codebook are never chosen
#     zh: 码本坍塌
#   - term: perplexity
#     means: how many equally frequent choices would be as hard to guess
#     zh: 困惑度
#   - term: posterior collapse
#     means: the code of a VAE says nothing about the image any more
#     zh: 后验坍塌
# symbols:
#   '$\operatorname{Enc}$': 'the encoder, from an image to its code'
#   '$\operatorname{Dec}$': 'the decoder, from a code to an image'
#   '$d_z$': 'length of a code: how many numbers it has'
#   '$n_x$': 'number of pixels of an image'
#   '$\lambda_i$': 'an eigenvalue of the covariance matrix, the largest first'
#   '$\mathbf{u}_i$': 'the eigenvector of the covariance matrix that belongs to $\lambda_i$, of length 1'
#   '$x_\tau$': 'an image with noise of standard deviation $\tau$'
#   '$\varepsilon$': 'standard normal numbers (`epsilon`)'
#   '$p(\cdot)$': 'a probability density'
#   '$q_\phi$': 'the distribution of codes that the encoder gives for one image, with the outputs $\phi$'
#   '$\boldsymbol{\mu}$': 'means of the numbers of a code (`mean`)'
#   '$\boldsymbol{\sigma}$': 'standard deviations of the numbers of a code'
#   '$\sigma_x$': 'standard deviation of a pixel around what the decoder draws'
#   '$\beta_\mathrm{KL}$': 'weight of the KL term in the loss of a VAE (`beta`)'
#   '$e_j$': 'a code of the codebook'
#   '$\mathbf{z}_q$': 'what the decoder of a VQ-VAE is given'
#   '$\operatorname{sg}$': '`stop_gradient`: passes values on, and no gradient'
#   '$\omega$': 'weight of the commitment loss (`weight`)'
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
#   - "Kingma et al., Improved variational inference with inverse autoregressive flow, 2016"
#   - "Salimans et al., Improved techniques for training GANs, 2016"
#   - "Van den Oord, Vinyals & Kavukcuoglu, Neural discrete representation learning, 2017"
#   - "Song & Ermon, Generative modeling by estimating gradients of the data distribution, 2019"
#   - "Dhariwal et al., Jukebox: a generative model for music, 2020"
#   - "Ghosh, Sajjadi, Vergari, Black & Schölkopf, From variational to deterministic autoencoders, 2020"
#   - "Naeem, Oh, Uh, Choi & Yoo, Reliable fidelity and diversity metrics for generative models, 2020"
#   - "Mentzer, Minnen, Agustsson & Tschannen, Finite scalar quantization: VQ-VAE made simple, 2024"

# %% [markdown]
# Each digit in the top row has 196 pixels. The row below was drawn from 32 numbers about each digit, and from nothing
# else. For the third row nobody looked at a digit at all: the 32 numbers were made up, at random, each as large as such
# numbers usually are.

# %% tags=["aside"]
# @title Imports and settings
from course import ask, at_once, budget, check, claim, data, gradient, plots, predict, prove, record, seed, start, sweep

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import integrate, linalg, special, stats
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

rng = start("16")  # seeds everything from COURSE_SEED and sets the style of the figures
CODE = 32  # how many numbers a code has
STEPS = budget(quick=2000, full=20_000, least=80)  # of every training that is compared with another
PARTS = budget(quick=1, full=10)  # a long training draws its images in parts, to save memory


# %% tags=["aside"]
# @title Loads the digits and draws figure 16.1
def halved(x):
    """uint8 images (count, 28, 28) -> means of 2 x 2 pixels, (count, 14, 14, 1), from 0 (black) to 1 (white)."""
    return (x.reshape(len(x), 14, 2, 14, 2).mean(axis=(2, 4))[..., None] / 255).astype("float32")


mnist = data.mnist()
count = budget(quick=10_000, full=59_000, least=1000)
images, labels = halved(mnist.x_train[:-1000][:count]), mnist.y_train[:-1000][:count]
held = halved(mnist.x_train[-1000:])  # held back, to choose settings by
tests, test_labels = halved(mnist.x_test[:1000]), mnist.y_test[:1000]

pca = PCA(CODE, svd_solver="covariance_eigh").fit(images.reshape(len(images), -1))
pca_redrawn = pca.inverse_transform(pca.transform(tests.reshape(len(tests), -1))).reshape(tests.shape)
pca_made = pca.inverse_transform(np.sqrt(pca.explained_variance_) * rng.normal(size=(1000, CODE)))
pca_made = pca_made.clip(0, 1).reshape(-1, 14, 14, 1).astype("float32")
plots.show_rows(
    {"digits": tests[:12], "redrawn from\n32 numbers": pca_redrawn[:12], "32 numbers\nmade up": pca_made[:12]}
)

# %% [markdown]
# *Figure 16.1. Test digits, halved to 14 × 14; the same, redrawn from 32 numbers each by principal component analysis;
# and what it draws from 32 random numbers.*
#
# The second row can be read, though it is smeared. Most of the third cannot: each of the numbers could have come from a
# digit, all together come from none.
#
# **How few numbers are enough to draw a digit? And can they be chosen such that numbers you make up draw one too?**
#
# ## What you will be able to do
#
# - build an autoencoder, and say what its linear version computes before you train it;
# - train one to take noise away, and say what the best guess is;
# - derive the evidence lower bound, and train a VAE with every sum and every mean in its place;
# - send a gradient through a random draw, and through a choice that has no gradient;
# - measure made-up images, and know what fools the measure.
#
# ## Squeeze, and compare
#
# An **autoencoder** is two networks. The **encoder** makes of an image $x$ with $n_x$ pixels a **code**
# $\mathbf{z}=\operatorname{Enc}(x)$ of $d_z$ numbers. The **decoder** makes of the code an image $\hat
# x=\operatorname{Dec}(\mathbf{z})$, the **reconstruction**. The target is the input, so nobody has to label anything.
# What is learned is what to write down, as $d_z$ is much less than $n_x$. The loss of one image is the squared distance
# between what went in and what came out:
#
# $$ \ell(x) = \bigl\| x - \operatorname{Dec}(\operatorname{Enc}(x)) \bigr\|^2
#    = \sum_{i=1}^{n_x} (x_i - \hat x_i)^2 \tag{16.1} $$
#
# It is a *sum* over the pixels. The loss $L$ of a batch is the *mean* over its images. Much will hang on the
# difference.


# %%
def refuse_unless_alike(x, other, name):
    """Raise ValueError where `other` has not the shape of x."""
    if len(x.shape) != len(other.shape) or any(a != b for a, b in zip(x.shape, other.shape) if None not in (a, b)):
        raise ValueError(f"{name} has the shape {tuple(other.shape)}, not {tuple(x.shape)}")


def squared_error(x, reconstruction):
    """The loss of each image (16.1): x and reconstruction (batch, ...) of one shape -> (batch,)."""
    refuse_unless_alike(x, reconstruction, "the reconstruction")
    return ops.sum(ops.square(x - reconstruction), axis=list(range(1, len(x.shape))))  # (16.1)


# %% tags=["aside"]
# @title What proof (16.1) compares with
def keras_squared_error(x, reconstruction):
    flat = x.reshape(len(x), -1), reconstruction.reshape(len(x), -1)
    return flat[0].shape[1] * ops.convert_to_numpy(keras.losses.mean_squared_error(*flat))


def normal(*shape, scale=1.0):
    """Random normal numbers, float32."""
    return (scale * rng.normal(size=shape)).astype("float32")


def image_pairs(count):
    for shape in [(5, 4, 4, 1), (3, 9), (2, 6, 5)]:
        for _ in range(count // 3):
            yield normal(*shape), normal(*shape)


# %%
prove("16.1", squared_error, keras_squared_error, cases=image_pairs(60), rtol=1e-4)

# %% [markdown]
# It looks at the shapes first: subtraction does not. Images (14, 14, 14, 1) minus reconstructions (14, 14, 14)
# broadcast to (14, 14, 14, 14), every image minus parts of every other. Such a loss can fall and teach nothing.
#
# ## What can it do without nonlinearities?
#
# Take all activation functions out. Encoder and decoder are then two matrices, $\mathbf{z}=\mathbf{A}x$ and $\hat
# x=\mathbf{B}\mathbf{z}$. Let the data be centred, and let $\Sigma$ be their **covariance matrix**, the mean of $x
# x^\mathsf{T}$, with eigenvalues $\lambda_1\ge\lambda_2\ge\dots$ and eigenvectors $\mathbf{u}_i$ of length 1.
# **Principal component analysis** (PCA) keeps the $d_z$ directions of largest variance and drops the rest. No pair of
# matrices does better (Eckart & Young, 1936):
#
# $$ \min_{\mathbf{A},\, \mathbf{B}}\; \frac{1}{|\mathcal{D}|} \sum_{x} \| x - \mathbf{B} \mathbf{A} x \|^2
#    = \sum_{i > d_z} \lambda_i \tag{16.2} $$
#
# If $\lambda_{d_z}>\lambda_{d_z+1}$, the images that the best decoder can draw form exactly PCA's subspace. To say so
# with numbers, measure the **principal angles** $\theta_i$ between two subspaces: the smallest angle between a
# direction of one and a direction of the other, then the same among what is perpendicular to those, and so on.
#
# $$ \operatorname{span}(\mathbf{B}) = \operatorname{span}(\mathbf{u}_1, \dots, \mathbf{u}_{d_z}):
#    \quad \theta_1 = \dots = \theta_{d_z} = 0 \tag{16.3} $$
#
# To reach the minimum, take turns: for a fixed $\mathbf{B}$ the best $\mathbf{A}$ is a least-squares problem, and so is
# the best $\mathbf{B}$ for a fixed $\mathbf{A}$. If $\Sigma$ is invertible and its eigenvalues differ, every critical
# point but the global minimum is a saddle (Baldi & Hornik, 1989), and a random start does not end in one.


# %%
def linear_autoencoder(covariance, size, rounds):
    """Encoder A (size, n) and decoder B (n, size) for centred data with this covariance (n, n), fitted in turn."""
    B = np.random.default_rng(seed()).normal(size=(len(covariance), size))
    for _ in range(rounds):
        A = np.linalg.solve(B.T @ B, B.T)  # the best encoder for this decoder
        B = covariance @ A.T @ np.linalg.inv(A @ covariance @ A.T)  # the best decoder for this encoder
    return np.linalg.solve(B.T @ B, B.T), B


# %% tags=["aside"]
# @title What proofs (16.2) and (16.3) compare with
def linear_loss(x, size):
    A, B = linear_autoencoder(x.T @ x / len(x), size, rounds=300)
    return np.square(x - x @ A.T @ B.T).sum(axis=1).mean()  # (16.2)


def dropped_variance(x, size):
    return np.square(PCA().fit(x).singular_values_[size:]).sum() / len(x)


def angles_to_pca(x, size):
    _, B = linear_autoencoder(x.T @ x / len(x), size, rounds=300)
    return linalg.subspace_angles(B, PCA(size).fit(x).components_.T)  # (16.3)


def no_angles(x, size):
    return np.zeros(size)


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

# %% tags=["aside"]
# @title Draws figure 16.2
plane = rng.normal(size=(300, 2)) * [2, 1.2] @ [[0.8, 0.6], [-0.6, 0.8]]
plane -= plane.mean(axis=0)
covariance = np.cov(images.reshape(len(images), -1).T)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.3), width_ratios=[1, 1.35])
axes[0].scatter(*plane.T, s=4, color="#aaaaaa")
for rounds, line in zip((0, 1, 4), (":", "--", "-")):
    direction = linear_autoencoder(np.cov(plane.T), 1, rounds)[1][:, 0]
    direction *= 5 / np.linalg.norm(direction)
    ends = np.stack([-direction, direction])
    axes[0].plot(*ends.T, line, color=plots.COLOURS[0], label=f"{rounds} round{'s' * (rounds != 1)}")
axes[0].set(aspect="equal", xlim=(-6, 6), ylim=(-6, 6), xlabel="$x_1$", ylabel="$x_2$")
axes[0].legend(fontsize=8, loc="lower left")
tried, curves = [0, 2, 4, 8, 12, 18, 24], {}
for size in (1, 2, 3):
    found = [linear_autoencoder(covariance, size, rounds)[1] for rounds in tried]
    ratio = pca.explained_variance_[size] / pca.explained_variance_[size - 1]
    angles = [linalg.subspace_angles(B, pca.components_[:size].T)[0] for B in found]
    curves[f"$d_z={size}$, ratio {ratio:.2f}"] = np.degrees(angles)
plots.draw_curves(axes[1], curves, "rounds", "largest angle to PCA, degrees", x=tried)
axes[1].set(yscale="log")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 16.2. Left: points in the plane, and the line that a linear autoencoder with $d_z=1$ can draw on, after some
# rounds. Right: the largest principal angle to PCA on the digits; the legend gives $\lambda_{d_z+1}/\lambda_{d_z}$.*
#
# Each round multiplies the subspace by $\Sigma$, which stretches it most along $\mathbf{u}_1$, then $\mathbf{u}_2$. In
# the long run the tangent of the largest angle is multiplied by $\lambda_{d_z+1}/\lambda_{d_z}$ in every round. So you
# know what a linear autoencoder finds: the second row of Figure 16.1.
#
# ## Let it bend
#
# The digits do not fill a flat subspace: tilt one slowly, and its 196 numbers move along a curve. A decoder with
# activation functions can draw curved sets (Hinton & Salakhutdinov, 2006).


# %%
def encoder(outputs, activation="relu"):
    hidden = [layers.Dense(units, activation) for units in (256, 128)]
    return keras.Sequential([keras.Input((14, 14, 1)), layers.Flatten(), *hidden, layers.Dense(outputs)])


def decoder(inputs, activation="relu", last="sigmoid"):
    hidden = [layers.Dense(units, activation) for units in (128, 256)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(196, last), layers.Reshape((14, 14, 1))])


# %% [markdown]
# Why does the decoder end in a sigmoid, instead of handing out logits? It depends on the loss. Ours compares *pixels*,
# most of them black: with a sigmoid any large negative number draws black, without one the decoder must hit 0 exactly.
# Keras's `BinaryCrossentropy(from_logits=True)` applies the sigmoid
# itself, so with that loss the decoder must *not*.


# %%
def train(model, inputs, targets, steps, loss=squared_error, rounds=PARTS, between=None):
    """Train for `steps` batches of 64 random images with Adam, the learning rate falling to 0; `between` is called
    after each of the rounds."""
    decay = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(decay), loss, steps_per_execution=at_once(10))
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice
    draws = np.random.default_rng(seed())
    for _ in range(rounds):
        chosen = draws.integers(len(inputs), size=64 * (steps // rounds))
        model.fit(inputs[chosen], targets[chosen], 64, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
        if between:
            between()
    return model


def error_of(images, drawn):
    """The mean over images of their squared error (16.1)."""
    return float(ops.mean(squared_error(images, drawn)))


# %%
def trained_pair(size, activation="relu", last="sigmoid"):
    """An encoder and a decoder, trained together to redraw the training digits."""
    pair = encoder(size, activation), decoder(size, activation, last)
    train(keras.Sequential([*pair]), images, images, STEPS)
    return pair


FEW = 8  # numbers in a short code
pairs, redrawn, errors = {}, {}, {}
for size in (FEW, CODE):
    kept = pca.transform(tests.reshape(len(tests), -1))[:, :size] @ pca.components_[:size] + pca.mean_
    redrawn["PCA", size] = kept.reshape(tests.shape).astype("float32")
    for name, activation in {"sigmoid only": None, "autoencoder": "relu"}.items():
        encode, decode = pairs[name, size] = trained_pair(size, activation)
        redrawn[name, size] = predict(decode, predict(encode, tests))
for (name, size), drawn in redrawn.items():
    errors[name, size] = error_of(tests, drawn)
    print(f"{name:12} {size:2} numbers: {errors[name, size]:.2f} squared error per test digit")

# %% tags=["aside"]
# @title Draws figure 16.3
worst = np.argsort(np.square(tests - redrawn["autoencoder", FEW]).sum(axis=(1, 2, 3)))[-4:]
shown = [*range(8), *worst]
rows = {name: drawn[shown].clip(0, 1) for (name, size), drawn in redrawn.items() if size == FEW}
plots.show_rows({"test digits": tests[shown]} | rows)

# %% [markdown]
# *Figure 16.3. Twelve test digits, and what is left of them after 8 numbers. The last four are those that the
# autoencoder draws worst.*

# %%
claim(
    "16.1",
    "with 8 numbers an autoencoder redraws new digits with less than 70 % of the squared error of PCA",
    errors["autoencoder", FEW] < 0.7 * errors["PCA", FEW],
    control=errors["sigmoid only", FEW] < 0.7 * errors["PCA", FEW],
)

# %% [markdown]
# The control is trained alike, with the sigmoid as its only nonlinearity. With 32 numbers it does as well as the
# autoencoder: the whole gain over PCA is the sigmoid's.
#
# ## Take the noise away
#
# A narrow middle is one way to make copying impossible. Another is to spoil the input and to ask for the clean image: a
# **denoising autoencoder** (Vincent et al., 2008). It is shown $x_\tau=x+\tau\varepsilon$, with fresh standard normal
# numbers $\varepsilon$ every time. Many digits could have become this $x_\tau$. The guess with the least expected
# squared error is their mean, each weighted by how probable it is, $\mathbb{E}[x\mid x_\tau]$. For Gaussian noise it
# follows from $p(x_\tau)$ alone, the density of the noisy images (Tweedie's formula; Efron, 2011):
#
# $$ \mathbb{E}[x \mid x_\tau] = x_\tau + \tau^2\, \nabla_{x_\tau} \log p(x_\tau) \tag{16.4} $$
#
# The best guess lies where the log density of noisy images grows fastest. So whoever learns to take noise away learns
# this gradient. (Many small steps along it turn noise into images: the idea of diffusion models; Song & Ermon, 2019.)
#
# To try the formula, let the world hold a few images only. Then the weights of the mean are a softmax:


# %%
def expected_clean(noisy, pool, tau):
    """E[x | noisy] where x is any of the images pool (N, n), equally probable, and noisy (n,) = x + tau epsilon."""
    scores = -np.square(noisy - pool).sum(axis=1) / (2 * tau**2)
    weights = np.exp(scores - scores.max())
    return weights @ pool / weights.sum()  # (16.4)


# %% tags=["aside"]
# @title What proof (16.4) compares with
def uphill_on_the_density(noisy, pool, tau):
    pool = ops.convert_to_tensor(pool)

    def log_density(at):  # but for a constant, which has no gradient
        return ops.logsumexp(-ops.sum(ops.square(at - pool), axis=1) / (2 * tau**2))

    return noisy + tau**2 * ops.convert_to_numpy(gradient(log_density, noisy))


def noisy_worlds(count):
    for _ in range(count):
        pool, tau = normal(6, 4), float(rng.uniform(0.3, 1.5))
        yield pool[0] + normal(4, scale=tau), pool, tau


# %%
prove("16.4", expected_clean, uphill_on_the_density, cases=noisy_worlds(60), rtol=1e-3, atol=1e-4)

# %% [markdown]
# The same network gets one more layer at its front, which adds noise during training. Its rival is the best *linear*
# map, $\Sigma(\Sigma+\tau^2\mathrm{Id})^{-1}$ on centred images, which needs no training.

# %%
TAU = 0.5
plain_encoder, plain_decoder = pairs["autoencoder", CODE]
denoiser = keras.Sequential([layers.GaussianNoise(TAU, seed=seed()), encoder(CODE), decoder(CODE)])
train(denoiser, images, images, STEPS)
noisy = tests + normal(*tests.shape, scale=TAU)
best_linear = covariance @ np.linalg.inv(covariance + TAU**2 * np.eye(196))
linear_guess = pca.mean_ + (noisy.reshape(-1, 196) - pca.mean_) @ best_linear.T
cleaned = {
    "best linear": linear_guess.reshape(tests.shape).astype("float32"),
    "trained on clean": predict(plain_decoder, predict(plain_encoder, noisy)),
    "denoising": predict(denoiser, noisy),
}
left = {name: error_of(tests, drawn) for name, drawn in cleaned.items()}
print(f"squared error, noisy: {error_of(tests, noisy):.1f}; " + ", ".join(f"{n}: {e:.2f}" for n, e in left.items()))

# %% tags=["aside"]
# @title Draws figure 16.4
rows = {"noisy": noisy} | cleaned
plots.show_rows({name: drawn[:12].clip(0, 1) for name, drawn in rows.items()})

# %% [markdown]
# *Figure 16.4. Noisy test digits (shown cut off at black and white), and three guesses at the clean
# ones.*

# %%
claim(
    "16.2",
    "a denoising autoencoder leaves at least 5 % less squared error than the best linear map",
    left["denoising"] < 0.95 * left["best linear"],
    control=left["trained on clean"] < 0.95 * left["best linear"],
)

# %% [markdown]
# Where a noisy digit might be two different ones, the best answer is a mean of both, grey where they differ. A squared
# error never asks for a *sharp* guess.
#
# ## Which numbers may you make up?
#
# Back to the third row of Figure 16.1. The encoder was free to put the digits wherever it liked; between those places
# nobody told the decoder what to draw. To make up codes you must say from which distribution, so let *that* be part of
# the model. A digit comes about like this: draw a code from the **prior** $p(\mathbf{z})$, which is $d_z$ independent
# standard normal numbers. Then draw the pixels around the decoder's image:
# $x\mid\mathbf{z}\sim\mathcal{N}(\operatorname{Dec}(\mathbf{z}),\,\sigma_x^2\,\mathrm{Id})$.
#
# Training should make the digits we have probable: $\log p(x)$ large. But $p(x)$ is an integral over all codes, of
# which almost all draw something unlike $x$, and you cannot find the few that matter, $p(\mathbf{z}\mid x)$. So let an
# encoder guess them: for each $x$ a distribution $q_\phi(\mathbf{z})$. How far a distribution $q$ is from another, $p$,
# is measured by the **Kullback-Leibler divergence** $\mathrm{KL}(q\,\|\,p)=\mathbb{E}_{q}[\log q(\mathbf{z})-\log
# p(\mathbf{z})]$. It is never negative, and 0 only where both are equal.
#
# Bayes' rule says $\log p(x)=\log p(x\mid\mathbf{z})+\log p(\mathbf{z})-\log p(\mathbf{z}\mid x)$ for every
# $\mathbf{z}$. Add and subtract $\log q_\phi(\mathbf{z})$ and take the mean over $\mathbf{z}\sim q_\phi$:
#
# $$ \begin{aligned} \log p(x) = {} & \underbrace{\mathbb{E}_{q_\phi}[\log p(x \mid \mathbf{z})]
#    - \mathrm{KL}\bigl(q_\phi \,\|\, p(\mathbf{z})\bigr)}_{\text{ELBO}} \\
#    & + \mathrm{KL}\bigl(q_\phi \,\|\, p(\mathbf{z} \mid x)\bigr) \end{aligned} \tag{16.5} $$
#
# The last term cannot be computed, but it is not negative. So the others are never above $\log p(x)$: the **evidence
# lower bound**, ELBO. Raise it, and either the digits become more probable or the guess $q_\phi$ gets nearer to the
# truth. For $q_\phi$ take independent normal numbers, with means $\boldsymbol{\mu}$ and standard deviations
# $\boldsymbol{\sigma}$ that the encoder puts out. Then:
#
# $$ \mathrm{KL}\bigl(q_\phi \,\|\, p(\mathbf{z})\bigr)
#    = \frac12 \sum_{j=1}^{d_z} \bigl( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2 \bigr) \tag{16.6} $$
#
# A *sum* over the numbers of the code. With $\mu_j=1$, $\sigma_j=\frac12$ a number costs
# $\frac12(1+\frac14-1+2\log2)\approx0.82$. With $\mu_j=0$, $\sigma_j=1$ it costs nothing, and says nothing about $x$.
# So the KL term is the price of what is written down (in *nats*, of $1/\log2\approx1.44$ bits).

# %% [markdown]
# The first part of the ELBO is the reconstruction. Write out the normal density around $\hat
# x=\operatorname{Dec}(\mathbf{z})$, with $\beta_\mathrm{KL}=2\sigma_x^2$. For a draw $\mathbf{z}$ from $q_\phi$:
#
# $$ \begin{aligned} -\log p(x \mid \mathbf{z}) + \mathrm{KL} = {} & \frac{1}{\beta_\mathrm{KL}} \bigl(
#    \|x - \hat x\|^2 + \beta_\mathrm{KL}\, \mathrm{KL} \bigr) \\
#    & + \frac{n_x}{2} \log(\pi \beta_\mathrm{KL}) \end{aligned} \tag{16.7} $$
#
# The mean over $q_\phi$ is the ELBO with its sign turned. But for constants it is the squared error of (16.1) plus
# $\beta_\mathrm{KL}$ times the KL, two sums: the **variational autoencoder**, or VAE (Kingma & Welling, 2014; Rezende
# et al., 2014). The weight says how far off, $\sigma_x=\sqrt{\beta_\mathrm{KL}/2}$, a pixel may be. A small one asks
# for exact pixels, a large one for a cheap code.


# %%
def gaussian_kl(mean, log_variance):
    """KL from N(mean, variance) to the standard normal (16.6), for each item: both (batch, d) -> (batch,)."""
    refuse_unless_alike(mean, log_variance, "log_variance")
    terms = ops.square(mean) + ops.exp(log_variance) - 1 - log_variance
    return 0.5 * ops.sum(terms, axis=-1)  # (16.6)


def negative_elbo(x, reconstruction, mean, log_variance, beta):
    """The right side of (16.7) for each item: x, reconstruction (batch, n_x); mean, log_variance (batch, d)."""
    total = squared_error(x, reconstruction) + beta * gaussian_kl(mean, log_variance)
    return total / beta + x.shape[1] / 2 * np.log(np.pi * beta)  # (16.7)


# %% [markdown]
# For (16.5) you need a decoder for which *everything* is known. A linear one will do: then $p(x)$ and $p(\mathbf{z}\mid
# x)$ are normal (probabilistic PCA; Tipping & Bishop, 1999).


# %% tags=["aside"]
# @title What proofs (16.5) to (16.7) compare with
def elbo_and_gap(x, W, b, s, mean, log_variance):
    """The right side of (16.5) for the decoder Wz + b: x, b (n,); W (n, d); q is normal with mean and variance (d,)."""
    variance, (n, size) = np.exp(log_variance), W.shape
    distance = np.square(x - W @ mean - b).sum() + np.square(W).sum(axis=0) @ variance  # its mean over q
    fit = -n / 2 * np.log(2 * np.pi * s**2) - distance / (2 * s**2)
    price = float(gaussian_kl(mean[None], log_variance[None])[0])
    precision = np.eye(size) + W.T @ W / s**2  # p(z | x) is normal, with this inverse covariance
    off = np.linalg.solve(precision, W.T @ (x - b) / s**2) - mean
    gap = np.diag(precision) @ variance + off @ precision @ off - size
    gap = 0.5 * (gap - np.linalg.slogdet(precision)[1] - log_variance.sum())
    return fit - price + gap  # (16.5)


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
        n, size = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        yield rng.normal(size=n), rng.normal(size=(n, size)), rng.normal(size=n), rng.uniform(0.3, 2), *normal(2, size)


def codes_of(count):
    for _ in range(count):
        mean, log_variance = normal(2, 3, 4)
        yield mean, log_variance


def drawn_images(count):
    for mean, log_variance in codes_of(count):
        yield *normal(2, 3, 20), mean, log_variance, float(rng.uniform(0.1, 2))


# %%
prove("16.5", elbo_and_gap, scipy_log_evidence, cases=linear_worlds(100), rtol=1e-4, atol=1e-4)
prove("16.6", gaussian_kl, integrated_kl, cases=codes_of(60), rtol=1e-4, atol=1e-5)
prove("16.7", negative_elbo, scipy_negative_elbo, cases=drawn_images(40), rtol=1e-4, atol=1e-3)

# %% [markdown]
# ## A gradient through a random draw
#
# The reconstruction needs a draw $\mathbf{z}\sim q_\phi$, and the encoder's outputs
# $\phi=(\boldsymbol{\mu},\boldsymbol{\sigma})$ decide how it falls. How does the mean of a function $f(\mathbf{z})$
# change with $\phi$? The **score function estimator** (Williams, 1992) makes good draws more probable: it weighs the
# gradient of $\log q_\phi$ by what each draw gave. **Reparameterisation** moves the chance out of the way: draw
# $\varepsilon$ from a standard normal, which does not depend on $\phi$, and *compute*
# $\mathbf{z}=\boldsymbol{\mu}+\boldsymbol{\sigma}\odot\varepsilon$. Now the chain rule goes through, if $f$ has a
# derivative. In the mean both say the same:
#
# $$ \begin{aligned} \nabla_\phi\, \mathbb{E}_{\mathbf{z} \sim q_\phi}[f(\mathbf{z})]
#    &= \mathbb{E}_{\varepsilon}\bigl[\nabla_\phi f(\boldsymbol{\mu} + \boldsymbol{\sigma} \odot \varepsilon)\bigr] \\
#    &= \mathbb{E}_{\mathbf{z} \sim q_\phi}\bigl[f(\mathbf{z})\, \nabla_\phi \log q_\phi(\mathbf{z})\bigr]
#    \end{aligned} \tag{16.8} $$


# %%
def reparameterised(mean, log_variance, epsilon):
    """The draws z = mean + sigma * epsilon; epsilon standard normal, of the shape of mean or with axes before it."""
    refuse_unless_alike(mean, log_variance, "log_variance")
    return mean + ops.exp(0.5 * log_variance) * epsilon


# %% [markdown]
# The proof takes for $f$ sine waves, whose mean is known, and computes both expectations by quadrature.

# %% tags=["aside"]
# @title What proof (16.8) compares with
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
# Why does everybody take the first line? Because training sees single draws. Let $q_\phi$ be a standard normal and
# $f(\mathbf{z})=\sum_j(z_j-1)^2$. The derivative of the mean by $\mu_1$ is $-2$. A single draw gives $2(z_1-1)$ by the
# chain rule, and $f(\mathbf{z})\,z_1$ by the score, where the other numbers of the code shake the estimate, too.
# Subtracting a **baseline** from $f$ leaves the mean as it is, and helps. We try the best constant one, and one that
# reads the other numbers of the code.

# %%
sizes = [1, 2, 4, 8, 16, 32]
spread = {"score": [], "constant baseline": [], "baseline from the others": [], "reparameterisation": []}
for size in sizes:
    z = rng.normal(size=(20_000, size))
    f = np.square(z - 1).sum(axis=1)
    best = np.mean(f * z[:, 0] ** 2) / np.mean(z[:, 0] ** 2)
    others = f - np.square(z[:, 0] - 1) + 4  # 4 is the best constant for what is left of f
    scores = f * z[:, 0], (f - best) * z[:, 0], (f - others) * z[:, 0]
    for name, estimates in zip(spread, (*scores, 2 * (z[:, 0] - 1))):
        spread[name].append(estimates.std())

# %% tags=["aside"]
# @title Draws figure 16.5
figure, axis = plt.subplots(figsize=(6, 3))
plots.draw_curves(axis, spread, "numbers in the code, $d_z$", "standard deviation", x=sizes)
axis.set(xscale="log", yscale="log")
axis.set_xticks(sizes, [str(size) for size in sizes])
axis.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
axis.minorticks_off()
plt.show()

# %% [markdown]
# *Figure 16.5. The standard deviation of single estimates of a derivative that is $-2$, over 20,000 draws each.*
# %%
times = np.divide(spread["constant baseline"], spread["reparameterisation"])
claim(
    "16.3",
    "for 32 numbers and this f the score with its best constant baseline scatters over 5 times as much as "
    "reparameterisation",
    times[sizes.index(32)] > 5,
    control=times[sizes.index(1)] > 5,
)

# %% [markdown]
# **Question 16.a.** The code is rounded to whole numbers before $f$ sees it. Which of the two still gives the gradient
# of the mean?

# %%
ask(
    "16.a",
    "the score",
    choices=("the score", "reparameterisation", "both"),
    why="Rounding has the derivative 0 almost everywhere, so the chain rule says 0. The score needs only values.",
    hint="What is the derivative of a step function where it has one?",
)

# %% [markdown]
# Now the layer. It takes the encoder's outputs, twice as many as the code has numbers, as means and log-variances (any
# real number is one), draws, and *adds the price to the loss* with `add_loss`.


# %%
class GaussianCode(layers.Layer):
    """Draws a code and adds beta times its KL (16.6) to the loss: (batch, 2 d) -> (batch, d).

    The first d inputs are means, the others log-variances. Outside training the means pass, without noise.
    """

    def __init__(self, beta, **settings):
        super().__init__(**settings)
        self.beta = beta
        self.noise = keras.random.SeedGenerator(seed())  # keeps its place on every backend, in JAX too

    def price(self, mean, log_variance):
        return self.beta * ops.mean(gaussian_kl(mean, log_variance))  # a mean over the batch, of sums over the code

    def call(self, inputs, training=False):
        mean, log_variance = ops.split(inputs, 2, axis=-1)
        self.add_loss(self.price(mean, log_variance))
        if not training:
            return mean
        return reparameterised(mean, log_variance, keras.random.normal(ops.shape(mean), seed=self.noise))


def variational(middle, size=CODE, last="sigmoid"):
    """An encoder, a decoder, and the two with the layer `middle` between them."""
    parts = encoder(2 * size), decoder(size, last=last)
    return *parts, keras.Sequential([parts[0], middle, parts[1]])


# %% tags=["aside"]
# @title Defines what is printed of a VAE
def drawn_codes(encoder, x):
    """A draw from what the encoder of a VAE says of each image."""
    mean, log_variance = np.split(predict(encoder, x), 2, axis=-1)
    return mean + np.exp(log_variance / 2) * normal(*mean.shape)


def prices(encoder, x):
    """The mean KL of each number of the code: (d,), in nats."""
    mean, log_variance = np.split(predict(encoder, x), 2, axis=-1)
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).mean(axis=0)


# %%
BETA = 0.2  # a pixel may be off by about the root of 0.1
vae_encoder, vae_decoder, vae = variational(GaussianCode(BETA))
train(vae, images, images, STEPS)
price = prices(vae_encoder, tests)
print(f"squared error {error_of(tests, predict(vae, tests)):.2f}, KL {price.sum():.1f} nats", end="")
print(f", of {np.sum(price > 0.05)} of the {CODE} numbers; the others cost less than 0.05 each")

# %% [markdown]
# The VAE redraws worse than the plain autoencoder: it writes down less, with a shaking hand. Most of its numbers say
# nothing. What did that buy?
#
# **Try it.** Let `beta` rise to 0.2 over the first half of the training. How many numbers speak now?
#
# ## How good are made-up images?
#
# Let a classifier look at them. Its confidence alone is no measure: it can be sure of nonsense. Three measures look at
# the whole set. The **inception score** (Salimans et al., 2016) asks that the classifier is sure of each image $g$, and
# unsure of all together:
#
# $$ \mathrm{IS} = \exp\Bigl( \mathbb{E}_{g}\bigl[ \mathrm{KL}\bigl( \hat y(g) \,\|\, \mathbb{E}_{g'}[\hat y(g')]
#    \bigr) \bigr] \Bigr) \tag{16.9} $$
#
# It goes from 1 to the number of classes. **Coverage** and *density* (Naeem et al., 2020) compare features $h$, the
# classifier's last hidden layer. Around each real image lies a ball that reaches to its fifth nearest real neighbour.
# Which share of the balls holds a made-up image? And in how many does a made-up image lie, divided by five?
#
# $$ \begin{aligned} \text{coverage} &= \frac{1}{|\mathcal{D}|} \sum_{x \in \mathcal{D}}
#    \mathbf{1}\bigl[\, \min_g \| h(x) - h(g) \| < r(x) \bigr], \\
#    \text{density} &= \mathbb{E}_g\Bigl[\, \frac15 \sum_{x \in \mathcal{D}}
#    \mathbf{1}\bigl[ \| h(x) - h(g) \| < r(x) \bigr] \Bigr], \\
#    r(x) &= \text{distance of } h(x) \text{ to its fifth neighbour} \end{aligned} \tag{16.10} $$
#
# Coverage does not mind what else there is; density minds only that.


# %%
def inception_score(probabilities):
    """The inception score (16.9) of predicted probabilities (count, classes)."""
    ratios = np.log(probabilities + 1e-20) - np.log(probabilities.mean(axis=0) + 1e-20)
    return np.exp(np.sum(probabilities * ratios, axis=1).mean())  # (16.9)


def coverage_and_density(real, made):
    """Coverage and density (16.10) of made features (count, d) among real ones."""
    radius = np.sort(cdist(real, real), axis=1)[:, 5]  # the first is the image itself
    inside = cdist(real, made) < radius[:, None]
    return inside.any(axis=1).mean(), inside.sum(axis=0).mean() / 5  # (16.10)


# %% tags=["aside"]
# @title What proofs (16.9) and (16.10) compare with
def scipy_inception_score(probabilities):
    """By entropies: of all images together, less the mean of each one's."""
    return np.exp(stats.entropy(probabilities.mean(axis=0)) - stats.entropy(probabilities, axis=1).mean())


def by_trees(real, made):
    radius, tree = KDTree(real).query(real, k=6)[0][:, -1], KDTree(made)
    inside = tree.query_ball_point(real, radius, return_length=True)
    return np.mean(tree.query(real)[0] < radius), inside.sum() / (5 * len(made))


def predicted_classes(count):
    for _ in range(count):
        yield (rng.dirichlet(rng.uniform(0.05, 2) * np.ones(rng.integers(2, 11)), size=20),)


def two_clouds(count):
    for _ in range(count):
        yield rng.normal(size=(30, 3)), rng.uniform(0.2, 2) * rng.normal(size=(25, 3))


# %%
prove("16.9", inception_score, scipy_inception_score, cases=predicted_classes(100))
prove("16.10", coverage_and_density, by_trees, cases=two_clouds(100))

# %% [markdown]
# **Question 16.b.** A decoder draws only fours and nines, equally often, and the classifier is quite sure of each. What
# is the inception score?

# %%
ask(
    "16.b",
    2,
    why="It is the exponential of log 2: two classes in use.",
    hint="What is the KL from (1, 0) to (1/2, 1/2)?",
)

# %% tags=["aside"]
# @title Trains the classifier
reader = keras.Sequential(
    [
        keras.Input((14, 14, 1)),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(32, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3, seed=seed()),
        layers.Dense(64, activation="relu"),
        layers.Dense(10),
    ]
)
train(reader, images, labels, STEPS // 2, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
features = keras.Sequential(reader.layers[:-1])
correct = np.mean(predict(reader, tests).argmax(axis=1) == test_labels)
print(f"the classifier reads {correct:.1%} of the test digits")


# %% tags=["aside"]
# @title Defines how both measures are taken
def judged(made, real=None):
    """Inception score, coverage and density of made-up images, beside the images `real` or the test digits."""
    real = tests if real is None else real
    probabilities = special.softmax(predict(reader, made), axis=-1)
    return inception_score(probabilities), *coverage_and_density(predict(features, real), predict(features, made))


def all_below(measure, share):
    """Whether every set of fakes gets less than this share of what digits get."""
    return max(measure[name] for name in fakes) < share * measure["digits"]


# %% [markdown]
# Before you use a measure, try to fool it: with 1,000 images each that deserve a bad mark, beside training digits,
# which the test digits do not contain. The function `judged` takes the marks.

# %% tags=["aside"]
# @title Makes images that a measure must not like
pixels = images[:1000].reshape(1000, 196)
fakes = {
    "noise": rng.uniform(size=(1000, 14, 14, 1)),
    "shades of grey": rng.uniform(size=(1000, 1, 1, 1)) * np.ones((1, 14, 14, 1)),
    "pixels shuffled": rng.permuted(pixels, axis=0).reshape(-1, 14, 14, 1),
    "one mean digit": np.repeat(images[labels == 3].mean(axis=0)[None], 1000, axis=0),
    "ten digits": np.repeat([images[labels == digit][0] for digit in range(10)], 100, axis=0),
}
fakes = {name: made.astype("float32") for name, made in fakes.items()}

# %% tags=["aside"]
# @title Takes all their marks
mixed = {
    "one tenth digits": np.concatenate([images[:100], fakes["noise"][100:]]),
    "two at once": (images[:1000] + images[1000:2000]) / 2,
    "digits, moved": np.roll(images[:1000], 1, axis=2),
}
tried = fakes | mixed | {"digits": images[:1000]}
marks = {name: judged(made) for name, made in tried.items()}
for name, (score, covered, dense) in marks.items():
    print(f"{name:16} inception score {score:4.1f}   coverage {covered:.2f}   density {dense:.2f}")
covers, density = ({name: mark[place] for name, mark in marks.items()} for place in (1, 2))

# %% [markdown]
# Ten digits, repeated, fool the inception score and density; coverage sees them. Noise with a tenth of digits in it
# keeps nearly half the coverage, and two digits at once fool all in part. None notices copies of
# training images: chapter 17 looks for those.
# %%
claim(
    "16.4",
    "noise, grey, shuffled pixels, a mean digit and ten digits repeated each cover less than a third of what digits do",
    all_below(covers, 1 / 3),
    control=all_below(density, 1 / 3),
)

# %% [markdown]
# ## What did the prior buy?
#
# The plain decoder needs codes, too. Their scale is not the prior's. So fit a density to the codes of all training
# digits: one normal distribution with full covariance, or a mixture of ten, of which one is chosen at random for each
# code (Ghosh et al., 2020). Sweep the length of the code for all, and the weight of the KL, on
# held-back digits, with equal steps.


# %%
def fitted_codes(codes, count, parts=1):
    """Codes drawn from a mixture of normal distributions with full covariances that is fitted to `codes`."""
    mixture = GaussianMixture(parts, reg_covar=1e-3, tol=0.02, random_state=seed()).fit(codes.astype(float))
    return rng.permutation(mixture.sample(count)[0]).astype("float32")


# %% tags=["aside"]
# @title Defines what the sweep measures
def held_back_marks(size, beta, last="sigmoid", parts=0):
    """For `course measure --sweep`: the marks of made-up images, mean of two networks. Beta 0 is a plain decoder; with
    `parts` the codes come from a fitted mixture."""
    marks = []
    for start_at in (0, 1):
        keras.utils.set_random_seed(seed() + start_at)
        if beta:
            writer, made_by, model = variational(GaussianCode(beta), size, last)
            train(model, images, images, STEPS)
            codes = np.random.default_rng(start_at).normal(size=(1000, size)).astype("float32")
            if parts:
                codes = fitted_codes(drawn_codes(writer, images), 1000, parts)
        else:
            writer, made_by = trained_pair(size, last=last)
            codes = fitted_codes(predict(writer, images), 1000, parts or 1)
        marks.append(judged(predict(made_by, codes), held))
    return dict(zip(("inception_score", "coverage"), np.mean(marks, axis=0)))


# %% tags=["aside"]
# @title Shows the sweep and draws figure 16.6
SIZES, BETAS = (2, 4, 6, 8, 16, 32), (0, 0.1, 0.2, 0.4)
settings = [{"size": size, "beta": beta} for beta in BETAS for size in SIZES]
settings += [{"size": CODE, "beta": beta, "last": "linear"} for beta in (0, 0.1, 0.2)]
mixtures = [{"size": size, "beta": 0, "parts": 10} for size in SIZES]
mixtures = sweep("16.5, mixtures", [*mixtures, {"size": CODE, "beta": 0.2, "parts": 10}], held_back_marks)
table = sweep("16.5", settings, held_back_marks)

figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.3))
for axis, mark in zip(axes, ("coverage", "inception_score")):
    curves = {}
    for beta in BETAS:
        found = {row["size"]: row[mark] for row in table if row["beta"] == beta and "last" not in row}
        name = rf"VAE, $\beta_\mathrm{{KL}} = {beta}$" if beta else "plain, one normal"
        curves[name] = [found.get(size, np.nan) for size in SIZES]
    found = {row["size"]: row[mark] for row in mixtures if not row["beta"]}
    curves["plain, mixture of ten"] = [found.get(size, np.nan) for size in SIZES]
    plots.draw_curves(axis, curves, "numbers in the code, $d_z$", mark.replace("_", " "), x=SIZES)
    axis.set(xscale="log")
    axis.set_xticks(SIZES, SIZES)
    axis.minorticks_off()
axes[1].get_legend().remove()
figure.tight_layout()
plt.show()
for row in table:
    if "last" in row:
        print(f"without the sigmoid, code of {row['size']}, beta {row['beta']}: coverage {row['coverage']:.2f}")
print(
    *(f"VAE, code of {row['size']}, mixture of ten: coverage {row['coverage']:.2f}" for row in mixtures if row["beta"])
)

# %% [markdown]
# *Figure 16.6. Made-up images, marked on held-back digits, against the length of the code (mean of two networks).*
#
# From one normal distribution the plain decoder makes up worse images the more numbers it has beyond four. From a
# mixture of ten it beats the VAE at every length. A mixture fitted to the VAE's own codes helps there, too. This
# training of the VAE leaves numbers silent. Now look at test digits, once:

# %%
standard = normal(1000, CODE)
sampled = {"PCA": pca_made, "plain, 32,\nprior": predict(plain_decoder, standard)}
for size, parts in ((CODE, 1), (CODE, 10), (FEW, 10)):
    encode, decode = pairs["autoencoder", size]
    name = f"plain, {size},\n" + ("one normal" if parts == 1 else "mixture")
    sampled[name] = predict(decode, fitted_codes(predict(encode, images), 1000, parts))
sampled["VAE, 32,\nprior"] = predict(vae_decoder, standard)
scores = {name: judged(made) for name, made in sampled.items()}
for name, (score, *others) in scores.items():
    print(
        "{:22} inception score {:4.1f}   coverage {:.2f}   density {:.2f}".format(
            " ".join(name.split()), score, *others
        )
    )
_, from_prior, from_one, _, at_best, of_vae = (covered for _, covered, _ in scores.values())

# %% tags=["aside"]
# @title Draws figure 16.7
plots.show_rows({name: made[:12] for name, made in sampled.items()}, width=8.6)

# %% [markdown]
# *Figure 16.7. The first twelve images that each decoder makes of random codes; none was picked.*

# %%
claim(
    "16.5",
    "with 32 numbers the VAE's images, from the prior, cover over 15 points more of the test digits than a plain "
    "decoder's from one fitted normal distribution, and fewer than those of 8 numbers from a mixture of ten",
    from_one + 0.15 < of_vae < at_best,
    control=from_one + 0.15 < from_prior < at_best,
)

# %% [markdown]
# The control draws the plain decoder's codes from the prior, which nothing has taught it to expect. So a mixture fitted
# to short codes makes the better images, by all three marks. What the VAE has is a bound on $\log p(x)$, and a place to
# draw from before anybody has seen a code. Its images are smooth, because what it draws is again a mean, over all that
# the code leaves open. Chapter 17 takes up that point.
#
# ## A map of digits
#
# Give a VAE a code of two numbers, and all it knows lies in a plane. Cut the prior into pieces of equal probability,
# and let the decoder draw the middle of each:

# %%
map_encoder, map_decoder, map_vae = variational(GaussianCode(0.05), size=2)
train(map_vae, images, images, STEPS)
places = predict(map_encoder, tests)[:, :2]  # the means
at = stats.norm.ppf((np.arange(14) + 0.5) / 14)  # as many standard normal numbers lie between any two of them
plane = np.stack(np.meshgrid(at, at[::-1]), axis=-1).reshape(-1, 2).astype("float32")
drawn = predict(map_decoder, plane).reshape(14, 14, 14, 14)  # row, column, and the pixels of the image there

# %% tags=["aside"]
# @title Draws figure 16.8
figure, axes = plt.subplots(1, 2, figsize=(9.2, 4.5))
for digit in range(10):
    style = {"marker": f"${digit}$", "color": plots.COLOURS[digit % 7], "linewidths": 0.2, "s": 16}
    axes[0].scatter(*places[test_labels == digit].T, **style)
axes[0].set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
axes[1].imshow(drawn.transpose(0, 2, 1, 3).reshape(196, 196), vmin=0, vmax=1)
marks_at = 14 * np.arange(14)[[0, 3, 10, 13]] + 6.5
names_at = [f"{value:.1f}".replace("-", "−") for value in at[[0, 3, 10, 13]]]
axes[1].set(
    xticks=marks_at, xticklabels=names_at, yticks=marks_at, yticklabels=names_at[::-1], xlabel="$z_1$", ylabel="$z_2$"
)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 16.8. Left: 1,000 test digits, each drawn as the numeral of its class at the means of its code. Right: what
# the decoder draws in the same plane, up to ±1.8; many digits lie farther out.*
#
# The KL term has pulled the digits to 0 and to the scale of the prior. Each digit is not a point here but a small
# cloud, all over which the decoder has been made to draw something sensible.
#
# ## A list of codes
#
# Let the encoder, at every place of a small grid, choose one of the vectors $e_1,e_2,\dots$ of a **codebook**. Its
# output $\mathbf{z}$ at that place is replaced by the nearest one:
#
# $$ \begin{aligned} e(\mathbf{z}) = e_j, \qquad j &= \arg\min_i \| \mathbf{z} - e_i \|^2 \\
#    &= \arg\min_i \bigl( \|e_i\|^2 - 2\, e_i \cdot \mathbf{z} \bigr) \end{aligned} \tag{16.11} $$
#
# This is **vector quantisation**, and the model a VQ-VAE (van den Oord et al., 2017). On a 3 × 3 grid a digit becomes
# nine choices.
#
# **Question 16.c.** How many bits are nine choices among 64 codes?

# %%
ask("16.c", 54, why="A choice among 64 is 6 bits, and 9 · 6 = 54.", hint="How many bits tell 64 things apart?")

# %% [markdown]
# Move $\mathbf{z}$ a little, and $e(\mathbf{z})$ does not move at all; its derivative is 0 wherever it exists. The way
# out is bold: on the way back, pretend that nothing had been replaced. Write $\operatorname{sg}$ for `stop_gradient`,
# which passes values on but lets no gradient through, and hand the decoder
#
# $$ \mathbf{z}_q = \mathbf{z} + \operatorname{sg}\bigl(e(\mathbf{z}) - \mathbf{z}\bigr), \quad
#    \text{so that} \quad \frac{\partial \ell}{\partial \mathbf{z}} := \frac{\partial \ell}{\partial \mathbf{z}_q}
#    \tag{16.12} $$
#
# Its value is $e(\mathbf{z})$, its gradient that of $\mathbf{z}$: the **straight-through gradient** (Bengio et al.,
# 2013). It is not the true one, but a good hint while both are near each other. Two more terms see to that: one moves
# the codes to the encoder's outputs, the other, the **commitment loss** with a weight $\omega$, the outputs to the
# codes:
#
# $$ \begin{aligned} \ell = \|x - \operatorname{Dec}(\mathbf{z}_q)\|^2 + \sum_{\text{places}} \Bigl(
#    & \| \operatorname{sg}(\mathbf{z}) - e(\mathbf{z}) \|^2 \\
#    & + \omega\, \| \mathbf{z} - \operatorname{sg}(e(\mathbf{z})) \|^2 \Bigr) \end{aligned} \tag{16.13} $$


# %%
def nearest(z, codes):
    """The number of the nearest code (16.11): z (..., width), codes (count, width) -> whole numbers (...)."""
    products = ops.matmul(z, ops.transpose(codes))
    return ops.argmin(ops.sum(ops.square(codes), axis=-1) - 2 * products, axis=-1)  # (16.11)


def let_through(z, quantised):
    """The values of `quantised`, and the gradient of z (16.12)."""
    return z + ops.stop_gradient(quantised - z)  # (16.12)


def code_loss(z, quantised, weight):
    """The two last terms of (16.13) for each item: z, quantised (batch, ..., width) -> (batch,)."""
    to_codes = squared_error(ops.stop_gradient(z), quantised)
    return to_codes + weight * squared_error(z, ops.stop_gradient(quantised))  # (16.13)


# %% tags=["aside"]
# @title What proofs (16.11) to (16.13) compare with
def nearest_by_tree(z, codes):
    return KDTree(codes).query(z)[1]


def encoder_gradient(z, codes, weights):
    """The gradient that reaches z through (16.12), for a loss that is a weighted sum of squares and sines."""
    chosen = ops.take(codes, nearest(z, codes), axis=0)
    return gradient(lambda z: waves_of(let_through(z, chosen), weights), z)


def gradient_at_the_code(z, codes, weights):
    return gradient(lambda at: waves_of(at, weights), codes[nearest_by_tree(z, codes)])


def waves_of(z, weights):
    return ops.sum(ops.convert_to_tensor(weights) * (ops.square(z) + ops.sin(z)))


def code_gradients(z, codes, weight):
    """The value and both gradients of the last two terms of (16.13), by automatic differentiation."""

    def total(z, codes):
        return ops.sum(code_loss(z, ops.take(codes, nearest(z, codes), axis=0), weight))

    z, codes = ops.convert_to_tensor(z), ops.convert_to_tensor(codes)
    by_z, by_codes = gradient(lambda at: total(at, codes), z), gradient(lambda at: total(z, at), codes)
    return float(total(z, codes)), by_z, by_codes


def code_gradients_by_hand(z, codes, weight):
    value, by_z, by_codes = 0.0, np.zeros_like(z), np.zeros_like(codes)
    for i, j in enumerate(nearest_by_tree(z, codes)):
        off = z[i] - codes[j]
        value += (1 + weight) * off @ off
        by_z[i] = 2 * weight * off
        by_codes[j] -= 2 * off
    return float(value), by_z, by_codes


def books(count):
    for _ in range(count):
        yield normal(12, 3), normal(5, 3)


def weighted_books(count):
    for book in books(count):
        yield *book, normal(12, 3)


def committed_books(count):
    for book in books(count):
        yield *book, 0.25


# %%
prove("16.11", nearest, nearest_by_tree, cases=books(100))
prove("16.12", encoder_gradient, gradient_at_the_code, cases=weighted_books(40), rtol=1e-4)
prove("16.13", code_gradients, code_gradients_by_hand, cases=committed_books(40), rtol=1e-3, atol=1e-4)

# %% [markdown]
# A code that no $\mathbf{z}$ chooses gets no gradient. Unless the encoder's outputs happen to move towards it, it stays
# unused: **codebook collapse**. To watch for it, count how often each code is chosen, and from these shares $\pi_j$
# compute the **perplexity**, the number of codes that, used equally often, would be as hard to guess:
#
# $$ \text{perplexity} = \exp\Bigl( -\sum_{j} \pi_j \log \pi_j \Bigr) \tag{16.14} $$


# %%
def perplexity(chosen, count):
    """The perplexity (16.14) of choices, an array of whole numbers from 0 to count - 1."""
    share = np.bincount(np.ravel(chosen), minlength=count) / np.size(chosen)
    return np.exp(-np.sum(share[share > 0] * np.log(share[share > 0])))  # (16.14)


# %% tags=["aside"]
# @title What proof (16.14) compares with
def scipy_perplexity(chosen, count):
    return np.exp(stats.entropy([np.sum(chosen == j) for j in range(count)]))


def choices(count):
    for _ in range(count):
        codes = int(rng.integers(2, 30))
        yield rng.integers(rng.integers(1, codes + 1), size=50), codes


# %%
prove("16.14", perplexity, scipy_perplexity, cases=choices(100))

# %% [markdown]
# A cure is the restart: after every round of training, put each unused code onto a random output of the encoder (as in
# Dhariwal et al., 2020). The twin has none; both begin with codes on such outputs.


# %%
class Codebook(layers.Layer):
    """Replaces every vector by the nearest of `count` codes and adds (16.13) to the loss: (..., width) as it was."""

    def __init__(self, count, width, weight=0.25, **settings):
        super().__init__(**settings)
        self.weight = weight
        small = keras.initializers.RandomUniform(-1 / count, 1 / count, seed=seed())
        self.codes = self.add_weight(shape=(count, width), initializer=small, name="codes")

    def call(self, z):
        quantised = ops.take(self.codes, nearest(z, self.codes), axis=0)
        self.add_loss(ops.mean(code_loss(z, quantised, self.weight)))
        return let_through(z, quantised)


COUNT, WIDTH = 64, 8  # of the codebook: how many codes, and how many numbers each


def grid_encoder(width):
    halve = [layers.Conv2D(16, 4, 2, "same", activation="relu"), layers.Conv2D(32, 3, 2, activation="relu")]
    return keras.Sequential([keras.Input((14, 14, 1)), *halve, layers.Conv2D(width, 1)])  # 14 -> 7 -> 3


def grid_decoder(width):
    double = layers.Conv2DTranspose(32, 3, 2, activation="relu")
    last = layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid")
    return keras.Sequential([keras.Input((3, 3, width)), double, last])  # 3 -> 7 -> 14


def chosen_codes(network, book, x):
    """Which code stands at each place of the codes of images x: (count, 3, 3)."""
    return ops.convert_to_numpy(nearest(ops.convert_to_tensor(predict(network, x)), book.codes))


# %%
def train_with_codebook(restart, rounds=8):
    """Train a VQ-VAE; returns encoder, codebook and decoder, and the perplexity before and after each round."""
    network, book, back, history = grid_encoder(WIDTH), Codebook(COUNT, WIDTH), grid_decoder(WIDTH), []

    def random_outputs():  # of the encoder, one for each code
        return rng.permutation(predict(network, images[:500]).reshape(-1, WIDTH))[:COUNT]

    def between():
        chosen = chosen_codes(network, book, images[:500])
        history.append(perplexity(chosen, COUNT))
        if restart and len(history) <= rounds:
            unused = np.bincount(chosen.ravel(), minlength=COUNT) == 0
            book.codes.assign(np.where(unused[:, None], random_outputs(), ops.convert_to_numpy(book.codes)))

    book.codes.assign(random_outputs())
    between()
    whole = keras.Sequential([network, book, back])
    train(whole, images, images, STEPS // 2, rounds=rounds, between=between)
    return network, book, back, history


# %% tags=["aside"]
# @title Defines what is looked at
def redrawn_by_choices(network, book, back, history):
    """What the decoder makes of the choices for the test digits, the choices, and their perplexity."""
    chosen = chosen_codes(network, book, tests)
    return predict(back, ops.convert_to_numpy(book.codes)[chosen]), chosen, perplexity(chosen, COUNT)


# %%
vq = {"untrained": train_with_codebook(False, rounds=0), "no restarts": train_with_codebook(False)}
vq["restarts"] = train_with_codebook(True)
vq_redrawn, chosen, used, lost = {}, {}, {}, {}
for name, parts in vq.items():
    vq_redrawn[name], chosen[name], used[name] = redrawn_by_choices(*parts)
    lost[name] = error_of(tests, vq_redrawn[name])
    print(f"{name:11} perplexity {used[name]:4.1f} of {COUNT}, squared error {lost[name]:.2f}")
mean_digit = np.broadcast_to(images.mean(axis=0), tests.shape)
print(f"all black {error_of(tests, 0 * tests):.2f}, the mean digit {error_of(tests, mean_digit):.2f}")

# %% tags=["aside"]
# @title Draws figure 16.9
figure = plt.figure(figsize=(8.5, 4))
rows = [["curve", *(f"{row}{column}" for column in range(4))] for row in range(4)]
curve, *small = figure.subplot_mosaic(rows, width_ratios=[3.2, 1, 1, 1, 1]).values()
curves = {name: vq[name][-1] for name in ("restarts", "no restarts")}
plots.draw_curves(curve, curves, "round of training", "perplexity")
curve.set(ylim=(0, COUNT))
four = tests[:4], chosen["restarts"][:4], vq_redrawn["restarts"][:4], vq_redrawn["no restarts"][:4]
for row, pictures in enumerate(four):
    for axis, one in zip(small[4 * row : 4 * row + 4], pictures):
        if row == 1:  # the numbers of the codes
            axis.imshow(np.ones((3, 3)), cmap="gray", vmin=0, vmax=1)
            for (i, j), code in np.ndenumerate(one):
                axis.text(j, i, str(code), ha="center", va="center", fontsize=7)
        else:
            axis.imshow(np.squeeze(one), cmap="gray", vmin=0, vmax=1)
        plots.frame(axis)
    small[4 * row].set_ylabel(("digits", "choices", "restarts", "no restarts")[row])
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 16.9. Left: perplexity; 1 is before training. Right: four test digits; the nine choices that the VQ-VAE with
# restarts writes down for each; what its decoder reads out of them; and what its twin draws.*

# %%
good = {name: used[name] > COUNT / 2 and lost[name] < error_of(tests, mean_digit) for name in vq}
claim(
    "16.6",
    "with restarts the choices on new digits have a perplexity of over 32, and redraw them with less squared error "
    "than the mean digit",
    good["restarts"],
    control=good["untrained"] or good["no restarts"],
)

# %% [markdown]
# An untrained encoder has a high perplexity, too: read it beside the error. The twin trained without a warning, and
# writes with few codes. A VQ-VAE alone makes nothing up: its decoder wants nine choices that go together, and a second
# model has to learn which do (van den Oord et al., 2017).
#
# ## Debug it
#
# Three snippets of a kind common on the web. All run without an error.


# %%
class MeanPrice(GaussianCode):
    def price(self, mean, log_variance):
        return self.beta * -0.5 * ops.mean(1 + log_variance - ops.square(mean) - ops.exp(log_variance))


class WrongSign(GaussianCode):
    def price(self, mean, log_variance):
        return -super().price(mean, log_variance)


# %%
snippets = {"snippet A": variational(MeanPrice(BETA)), "snippet B": variational(GaussianCode(BETA))}
train(snippets["snippet A"][2], images, images, STEPS)
train(snippets["snippet B"][2], images, images, STEPS, loss="mean_squared_error")  # that of Keras
snippet_c = variational(WrongSign(BETA))[2]
train(snippet_c, images, images, STEPS // 4, loss=lambda x, drawn: -squared_error(x, drawn))
patients = {"as it should be": (vae_encoder, vae_decoder, vae)} | snippets
symptoms, invented = {}, {}
for name, (first, second, _) in patients.items():
    invented[name] = predict(second, standard)
    error = error_of(tests, predict(second, drawn_codes(first, tests)))
    symptoms[name] = error, prices(first, tests).sum(), judged(invented[name])[1]
    print("{:15} squared error {:5.2f}   KL {:5.1f} nats   coverage {:.2f}".format(name, *symptoms[name]))
(right_error, right_kl, right_covers), (a_error, a_kl, a_covers), (b_error, b_kl, b_covers) = symptoms.values()

# %% tags=["aside"]
# @title Draws figure 16.10
plots.show_rows({name: made[:12] for name, made in invented.items()})

# %% [markdown]
# *Figure 16.10. What three decoders make of codes from the prior.*
#
# The squared errors are those at drawn codes, as in training. Snippet A takes the mean over the numbers of the code
# where (16.6) has the sum. That is the right loss with $\beta_\mathrm{KL}/32$. The reconstructions get better, the code
# costs more and leaves the prior, and the made-up images get worse. Snippet B takes the mean over the *pixels* where
# (16.1) has the sum: the right loss with $196\,\beta_\mathrm{KL}$. Now nothing is worth its price. The encoder puts out
# $\boldsymbol{\mu}=0$ and $\boldsymbol{\sigma}=1$ for every digit, and the decoder draws one blurred image for all:
# **posterior collapse**. The habit to keep: **a mean over the batch, and sums over everything else.**
#
# Snippet C has the wrong sign. The ELBO is to be *raised* and optimisers *lower* their loss, so there must be one
# minus. With none, nothing bounds the KL: the numbers soon overflow, and `TerminateOnNaN` ends the run.

# %%
claim(
    "16.7",
    "the KL as a mean: a smaller squared error, and images that cover over 15 points less of the test digits",
    a_error < right_error and a_covers < right_covers - 0.15,
    control=b_error < right_error and b_covers < right_covers - 0.15,
)

# %%
claim(
    "16.8",
    "the error as a mean: a code that costs under a tenth of the right one's nats, and images that cover under 5 %",
    b_kl < 0.1 * right_kl and b_covers < 0.05,
    control=a_kl < 0.1 * right_kl and a_covers < 0.05,
)

# %% [markdown]
# ## This run

# %%
record(
    squared_error_pca_8=errors["PCA", FEW],
    squared_error_autoencoder_8=errors["autoencoder", FEW],
    coverage_of_plain_samples=at_best,
    coverage_of_vae_samples=of_vae,
    vq_perplexity=used["restarts"],
)


# %% [markdown]
# ## Exercises
#
# Plain NumPy is enough but for exercise 16.3. The functions of the lesson are yours to use.
#
# **Exercise 16.1 ★** In some models the prior is learned, too, and is any normal distribution. What does a code cost
# then?


# %%
# Exercise 16.1
def code_price(mean, log_variance, prior_mean, prior_log_variance):
    """KL from N(mean, variance) to the prior N(prior_mean, prior_variance), for each item of a
    batch. The numbers of a code are independent under both.

    mean, log_variance: arrays (batch, d). prior_mean, prior_log_variance: arrays (d,), the same
    for all items. The logarithms are natural ones, of variances.
    Returns an array (batch,), in nats. Raises ValueError where mean and log_variance have
    different shapes, and where one of the prior's arrays has another shape than (d,).
    Example: code_price(np.array([[3.0, 0.0]]), np.zeros((1, 2)), np.array([1.0, 0.0]),
    np.zeros(2)) is [2.0].
    """
    ### BEGIN SOLUTION
    if mean.shape != log_variance.shape:
        raise ValueError(f"mean has the shape {mean.shape} and log_variance {log_variance.shape}")
    for part in (prior_mean, prior_log_variance):
        if part.shape != mean.shape[1:]:
            raise ValueError(f"the prior has the shape {part.shape}, and a code {mean.shape[1:]}")
    off = mean - prior_mean
    squares = (np.exp(log_variance) + off**2) / np.exp(prior_log_variance)
    return 0.5 * (squares - 1 - log_variance + prior_log_variance).sum(axis=1)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.stats import norm

ex = exercise("16.1")
ex.hints(
    "What is the price where the code is exactly the prior? It must come out of your formula as 0.",
    "A divergence does not change when both distributions are moved and scaled alike.",
    "Move and scale so that the prior becomes the standard normal; then (16.6) says the price of the moved code.",
)
ex.equivalent("'prior_mean - mean' for 'mean - prior_mean' in 'off = mean - prior_mean'", "only its square counts")
ex.equivalent(
    "by_moving: 'prior_mean - mean' for 'mean - prior_mean' in 'off = mean - prior_mean'", "only its square counts"
)


@ex.cases
def _(rng):
    def case(batch, d):
        return *rng.normal(size=(2, batch, d)), *rng.normal(size=(2, d))

    yield np.array([[3.0, 0.0]]), np.zeros((1, 2)), np.array([1.0, 0.0]), np.zeros(2)
    yield np.ones((2, 3)), -np.ones((2, 3)), np.ones(3), -np.ones(3)
    yield case(1, 1)
    yield case(3, 3)
    for _ in range(16):
        yield case(*(int(n) for n in rng.integers(2, 7, 2)))
    mean, log_variance, prior_mean, prior_log_variance = case(4, 3)
    yield mean, log_variance[:, :1], prior_mean, prior_log_variance
    yield mean, log_variance[0], prior_mean, prior_log_variance
    yield mean, log_variance.T, prior_mean, prior_log_variance
    yield mean, log_variance, prior_mean[:1], prior_log_variance
    yield mean, log_variance, prior_mean, prior_log_variance[:1]
    yield mean, log_variance, prior_mean[None], prior_log_variance
    yield mean, log_variance, prior_mean, prior_log_variance[None]
    yield mean, log_variance, mean, prior_log_variance
    yield mean, log_variance, prior_mean, log_variance
    yield mean, log_variance, prior_mean[:1], prior_log_variance[:1]
    yield mean, log_variance, prior_mean[None], prior_log_variance[None]
    mean, log_variance, prior_mean, prior_log_variance = case(1, 4)  # equal sizes, other shapes
    yield mean, log_variance.T, prior_mean, prior_log_variance
    yield mean, log_variance[0], prior_mean, prior_log_variance
    yield mean, log_variance[0], mean[0, 0] + prior_mean, prior_log_variance
    mean, log_variance, prior_mean, prior_log_variance = case(3, 3)
    yield mean, log_variance, prior_mean[:, None], prior_log_variance
    yield mean, log_variance, prior_mean, prior_log_variance[:, None]


@ex.oracle
def _(mean, log_variance, prior_mean, prior_log_variance):
    # Cross-entropy minus entropy, number by number.
    if mean.shape != log_variance.shape or {prior_mean.shape, prior_log_variance.shape} != {mean.shape[1:]}:
        raise ValueError("the shapes do not belong together")
    prices = np.zeros(mean.shape)
    for place in np.ndindex(mean.shape):
        q = norm(mean[place], np.exp(log_variance[place] / 2))
        p_mean, p_variance = prior_mean[place[1]], np.exp(prior_log_variance[place[1]])
        cross = (np.log(2 * np.pi * p_variance) + (q.var() + (q.mean() - p_mean) ** 2) / p_variance) / 2
        prices[place] = cross - q.entropy()
    return prices.sum(axis=1)


def _refuse(mean, log_variance, prior_mean, prior_log_variance):
    if mean.shape != log_variance.shape or prior_mean.shape != mean.shape[1:]:
        raise ValueError
    if prior_log_variance.shape != mean.shape[1:]:
        raise ValueError


def _terms(mean, log_variance, prior_mean, prior_log_variance):
    _refuse(mean, log_variance, prior_mean, prior_log_variance)
    squares = (np.exp(log_variance) + (mean - prior_mean) ** 2) / np.exp(prior_log_variance)
    return 0.5 * (squares - 1 - log_variance + prior_log_variance)


@ex.wrong
def standard_prior(mean, log_variance, prior_mean, prior_log_variance):
    """This is the price against the standard normal, (16.6). The prior has a mean and a variance of its own."""
    _refuse(mean, log_variance, prior_mean, prior_log_variance)
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)


@ex.wrong
def the_other_way_round(mean, log_variance, prior_mean, prior_log_variance):
    """This is the divergence from the prior to the code's distribution; asked for is the other direction. A divergence
    is not symmetric."""
    _refuse(mean, log_variance, prior_mean, prior_log_variance)
    squares = (np.exp(prior_log_variance) + (mean - prior_mean) ** 2) / np.exp(log_variance)
    return 0.5 * (squares - 1 + log_variance - prior_log_variance).sum(axis=1)


@ex.wrong
def mean_not_scaled(mean, log_variance, prior_mean, prior_log_variance):
    """The distance of the means counts in the prior's units: its square is divided by the prior's variance, too."""
    _refuse(mean, log_variance, prior_mean, prior_log_variance)
    ratio = np.exp(log_variance - prior_log_variance)
    return 0.5 * (ratio + (mean - prior_mean) ** 2 - 1 - log_variance + prior_log_variance).sum(axis=1)


@ex.wrong
def no_logarithm_of_the_prior(mean, log_variance, prior_mean, prior_log_variance):
    """A code that is the prior costs nothing, and yours costs something: the logarithm is that of the two variances'
    ratio."""
    return (_terms(mean, log_variance, prior_mean, prior_log_variance) - prior_log_variance / 2).sum(axis=1)


@ex.wrong
def mean_over_the_code(mean, log_variance, prior_mean, prior_log_variance):
    """You took the mean over the numbers of the code. Each of them has its price, and the prices add up."""
    return _terms(mean, log_variance, prior_mean, prior_log_variance).mean(axis=1)


@ex.wrong
def sum_over_the_batch(mean, log_variance, prior_mean, prior_log_variance):
    """You added up over the batch and kept the numbers of the code apart; it is the other way round."""
    return _terms(mean, log_variance, prior_mean, prior_log_variance).sum(axis=0)


@ex.wrong
def elbo_sign(mean, log_variance, prior_mean, prior_log_variance):
    """This is minus the KL, as it stands in the ELBO. A divergence is never negative."""
    return -_terms(mean, log_variance, prior_mean, prior_log_variance).sum(axis=1)


@ex.wrong
def half_forgotten(mean, log_variance, prior_mean, prior_log_variance):
    """Every term is right, and the factor one half before the sum is missing."""
    return 2 * _terms(mean, log_variance, prior_mean, prior_log_variance).sum(axis=1)


@ex.wrong
def deviation_for_variance(mean, log_variance, prior_mean, prior_log_variance):
    """You read the logarithms as those of standard deviations. They are those of variances, which are twice as much."""
    return _terms(mean, 2 * log_variance, prior_mean, 2 * prior_log_variance).sum(axis=1)


@ex.wrong
def one_number(mean, log_variance, prior_mean, prior_log_variance):
    """You added up over the batch too. Every item has a price of its own: sum over the numbers of the code alone."""
    return _terms(mean, log_variance, prior_mean, prior_log_variance).sum()


@ex.wrong
def broadcasts(mean, log_variance, prior_mean, prior_log_variance):
    """Right where the shapes belong together. Where they do not, NumPy broadcasts silently; refuse them with a
    ValueError."""
    squares = (np.exp(log_variance) + (mean - prior_mean) ** 2) / np.exp(prior_log_variance)
    return 0.5 * (squares - 1 - log_variance + prior_log_variance).sum(axis=1)


@ex.right
def by_moving(mean, log_variance, prior_mean, prior_log_variance):
    if np.shape(mean) != np.shape(log_variance):
        raise ValueError("these do not belong together")
    if not np.shape(prior_mean) == np.shape(prior_log_variance) == (mean.shape[1],):
        raise ValueError("not a prior for such codes")
    off = mean - prior_mean
    moved = off * np.exp(-0.5 * prior_log_variance)
    scaled = log_variance - prior_log_variance
    return 0.5 * np.array([one @ one + np.exp(s).sum() - s.sum() - len(s) for one, s in zip(moved, scaled)])


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
ex.hints(
    "The standard deviation is the exponential of half the logarithm of the variance.",
    "With epsilon held fast, z is an ordinary function of two numbers.",
    "Write the draw as mean + exp(log_variance / 2) * epsilon, and differentiate by each of the two.",
)


@ex.cases
def _(rng):
    yield np.array([1.0]), np.array([0.0]), np.array([2.0])
    for _ in range(20):
        shape = tuple(int(n) for n in rng.integers(1, 5, 2))
        yield rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape)
    for shapes in [
        ((4, 3), (4, 3), (3,)),
        ((4, 3), (4, 1), (4, 3)),
        ((4, 1), (4, 3), (4, 3)),
        ((4, 3), (4, 3), (4, 1)),
        ((2, 6), (2, 6), (2, 6, 1)),
        ((6,), (6, 1), (6,)),
        ((2, 6), (6, 2), (6, 2)),
    ]:
        yield tuple(rng.normal(size=shape) for shape in shapes)


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
    z = mean + sigma * epsilon
    return z, mean * 0 + 1, (z - mean) / 2


# %%
check("16.2", draw_code)

# %% [markdown]
# **Exercise 16.3 ★★** A list of codes needs no codebook: squash each number and round it (Mentzer et al., 2024). Write
# the layer. The check looks at what comes out, and at the gradient that goes through.


# %%
# Exercise 16.3
class RoundedCode(keras.layers.Layer):
    """Rounds every number of a code to one of a few values; a layer without weights.

    levels: how many values, a whole number of at least 2. They go from -1 to 1 in equal steps:
    with 2 levels they are -1 and 1, with 3 levels -1, 0 and 1.
    Called with a float tensor z of any shape: y = tanh(z), and each y is replaced by the
    nearest of the values. Returns a tensor of the shape of z. The gradient is that of y, as if
    nothing had been rounded: it passes through tanh. It also works in a functional model, does
    the same in training and outside, and adds nothing to the loss.
    Example: RoundedCode(3) makes of [[0.2, 1.0, -5.0]] the numbers [[0, 1, -1]].
    """

    def __init__(self, levels, **settings):
        super().__init__(**settings)
        self.levels = levels

    def call(self, z):
        ### BEGIN SOLUTION
        y = ops.tanh(z)
        step = 2 / (self.levels - 1)
        rounded = ops.round((y + 1) / step) * step - 1
        return y + ops.stop_gradient(rounded - y)
        ### END SOLUTION


# %% tags=["grading"]
from course import gradient
from course.exercises import exercise

import keras
import numpy as np
from keras import ops

ex = exercise("16.3", rtol=1e-4, atol=1e-4)
ex.hints(
    "Forget the gradient first. Which whole numbers do you get if you stretch -1 to 1 to the length levels - 1?",
    "`ops.round` rounds to whole numbers: move and stretch y, round, then undo both.",
    "(16.12) with y in the place of z: the value of the rounded number, the gradient of y.",
)


ex.equivalent(
    "'1 - self.levels' for 'self.levels - 1' in 'step = 2 / (self.levels - 1)'",
    "the values lie alike on both sides of 0",
)
for change, why in [
    (
        "'np.linspace(1, -1, levels)' for 'np.linspace(-1, 1, levels)' in "
        "'self.values = np.linspace(-1, 1, levels).astype('float32')'",
        "the same values in another order",
    ),
    (
        "'self.values - ops.expand_dims(y, -1)' for 'ops.expand_dims(y, -1) - self.values' in "
        "'away = ops.square(ops.expand_dims(y, -1) - self.values)'",
        "a square",
    ),
    (
        "'chosen' for 'ops.stop_gradient(chosen)' in 'return ops.stop_gradient(chosen) + (y - ops.stop_gradient...'",
        "a choice of constants has no gradient",
    ),
]:
    ex.equivalent(f"by_distances: {change}", why)


@ex.cases
def _(rng):
    def case(levels, *shape):
        step = 2 / (levels - 1)  # no number near the middle between two values, where rounding would decide
        y = rng.integers(0, levels, shape) * step - 1 + rng.uniform(-0.42, 0.42, shape) * step
        return np.round(np.arctanh(y.clip(-0.99, 0.99)), 4).astype("float32"), levels, rng.integers(1, 5, shape)

    yield np.array([[0.2, 1.0, -5.0]], "float32"), 3, np.ones((1, 3), int)
    yield np.array([[0.2, -0.3], [7.0, -6.0]], "float32"), 2, np.array([[1, 2], [3, 4]])
    yield np.array([[0.3, -0.3, 0.75, -0.75, 2.0, -2.0]], "float32"), 4, np.arange(1, 7)[None]
    for levels in (2, 3, 4, 5, 6, 7, 8):
        yield case(levels, 3, levels)
    yield case(5, 4)
    yield case(4, 2, 3, 3, 2)
    yield case(3, 1, 1)


ex.shown_as("layer = RoundedCode(levels)\nlayer(z)")


@ex.drive
def used(answer, z, levels, weights):
    layer = answer(levels)
    z = ops.convert_to_tensor(z.astype("float32"))
    layer.build(tuple(z.shape))
    layer.call(z)  # as it is: around what `call` raises, Keras puts words of its own
    drawn, trained = layer(z), layer(z, training=True)
    added = len(layer.losses)
    symbolic = layer(keras.Input(tuple(z.shape)[1:]))

    def weighted(at):
        return ops.sum(layer(at) * weights.astype("float32"))

    return {
        "output": ops.convert_to_numpy(drawn),
        "output in training": ops.convert_to_numpy(trained),
        "number of losses added": added,
        "shape in a functional model": tuple(symbolic.shape)[1:],
        "number of weights": len(layer.weights),
        "gradient of a weighted sum of the output": ops.convert_to_numpy(gradient(weighted, z)),
    }


@ex.oracle
def _(z, levels, weights):
    y, values = np.tanh(z.astype(float)), np.linspace(-1, 1, levels)
    rounded = values[np.abs(y[..., None] - values).argmin(axis=-1)].astype("float32")
    return {
        "output": rounded,
        "output in training": rounded,
        "number of losses added": 0,
        "shape in a functional model": z.shape[1:],
        "number of weights": 0,
        "gradient of a weighted sum of the output": (weights * (1 - y**2)).astype("float32"),
    }


class _Base(keras.layers.Layer):
    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def rounded(self, y):
        step = 2 / (self.levels - 1)
        return ops.round((y + 1) / step) * step - 1

    def call(self, z):
        y = ops.tanh(z)
        return y + ops.stop_gradient(self.rounded(y) - y)


@ex.wrong
class bare_rounding(_Base):
    """The values are right, and no gradient goes through: rounding has the derivative 0 almost everywhere. On the way
    back, y has to stand in for the rounded number."""

    def call(self, z):
        return self.rounded(ops.tanh(z))


@ex.wrong
class around_tanh(_Base):
    """The values are right. Your gradient goes around tanh as well as around the rounding: only the rounding is to be
    skipped on the way back."""

    def call(self, z):
        return z + ops.stop_gradient(self.rounded(ops.tanh(z)) - z)


@ex.wrong
class no_rounding(_Base):
    """The gradient is right, but you put out y itself: its value has to be the nearest of the levels."""

    def call(self, z):
        return ops.tanh(z)


@ex.wrong
class no_tanh(_Base):
    """You round z itself, cut off at -1 and 1. The numbers go through tanh first."""

    def call(self, z):
        return z + ops.stop_gradient(self.rounded(ops.clip(z, -1, 1)) - z)


@ex.wrong
class odd_levels_only(_Base):
    """Right for an odd number of levels. With an even one, 0 is not among the values: move y so that it begins at 0
    before you round."""

    def rounded(self, y):
        half = (self.levels - 1) / 2
        return ops.round(y * half) / half


@ex.wrong
class one_step_too_many(_Base):
    """Your steps are too short: between `levels` values there are levels - 1 steps."""

    def rounded(self, y):
        return ops.round((y + 1) / 2 * self.levels) / self.levels * 2 - 1


@ex.wrong
class numbers_of_levels(_Base):
    """You put out the number of the level, 0, 1, 2 and so on. The values go from -1 to 1."""

    def rounded(self, y):
        return ops.round((y + 1) / 2 * (self.levels - 1))


@ex.wrong
class cut_off(_Base):
    """You take the next value below. The nearest one may lie above."""

    def rounded(self, y):
        step = 2 / (self.levels - 1)
        return ops.floor((y + 1) / step) * step - 1


@ex.wrong
class difference_turned(_Base):
    """The gradient is right. The value moves away from the level: the difference has the wrong sign."""

    def call(self, z):
        y = ops.tanh(z)
        return y + ops.stop_gradient(y - self.rounded(y))


@ex.right
class by_distances(keras.layers.Layer):
    def __init__(self, levels):
        super().__init__()
        self.values = np.linspace(-1, 1, levels).astype("float32")

    def call(self, z):
        y = ops.tanh(z)
        away = ops.square(ops.expand_dims(y, -1) - self.values)
        chosen = ops.take(ops.convert_to_tensor(self.values), ops.argmin(away, axis=-1))
        return ops.stop_gradient(chosen) + (y - ops.stop_gradient(y))


# %%
check("16.3", RoundedCode)

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
ex.hints(
    "Make the table of all distances first, a row for each vector of z. Its smallest entries say two things.",
    "Which code a vector chooses is the argmin of its row; how badly it is served, the minimum.",
    "Sort the vectors by their minimum, the largest first, and hand them out to the codes that nobody chose.",
)
ex.equivalent(
    "'codes - z[:, None]' for 'z[:, None] - codes' in 'distances = np.linalg.norm(z[:, None] - codes, axis=-1)'",
    "a distance is the same both ways",
)


@ex.cases
def _(rng):
    yield np.array([[0.0], [9.0]]), np.array([[1.0], [2.0], [3.0]])
    yield np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[-2.0, 1.0], [-2.0, -1.0], [3.0, 0.5]])
    for n in range(20):
        count, width = int(rng.integers(3, 8)), int(rng.integers(1, 4))
        codes = rng.normal(size=(count, width))
        codes[: n % 3 + 1] += 20  # far from everything: unused
        yield codes[rng.permutation(count)], rng.normal(size=(int(rng.integers(count, 20)), width))
    for width in (1, 2, 3):  # as many vectors as codes
        yield (
            np.concatenate([rng.normal(size=(3, width)), 20 + rng.normal(size=(1, width))]),
            rng.normal(size=(4, width)),
        )
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
    moved = choice.T @ z
    moved[counts > 0] /= counts[counts > 0][:, None]
    worst = np.argsort(squared.min(axis=1))[::-1]
    moved[counts == 0] = z[worst[: int(np.sum(counts == 0))]]
    return moved


# %%
check("16.4", revive)

# %% [markdown]
# **Exercise 16.5 ★★★** The ELBO is the expectation of $\log w_i$ with the weight $w_i=p(x, \mathbf{z}_i) /
# q_\phi(\mathbf{z}_i)$ of a draw. Take the logarithm of the mean weight of several draws instead: in expectation it is
# a lower bound, too, and with more draws never a looser one (Burda et al., 2016). The weights themselves fit into
# no float.


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
ex.hints(
    "The first bound is easy. For the second, what becomes of a logarithm if you take a factor out of the mean?",
    "exp of a large number overflows, exp of a very negative one is 0. Which weight of an item can be made 1?",
    "Subtract each item's largest log w before the exponential, and add it again after the logarithm.",
)


@ex.cases
def _(rng):
    yield np.zeros((2, 1)), np.array([[0.0], [-np.log(3)]])
    yield np.full((4, 3), -5000.0), rng.normal(size=(4, 3))
    for n in range(18):
        shape = tuple(int(n) for n in rng.integers(2, 7, 2))
        yield 2 * rng.normal(size=shape) + [0, -3000, 2000][n % 3], rng.normal(size=shape)
    for _ in range(4):  # items of one batch that are far apart
        yield 2 * rng.normal(size=(5, 3)) + 1500 * rng.permutation([-2, 0, 2]), rng.normal(size=(5, 3))
    for _ in range(3):  # draws of one item that are far apart
        log_joint = rng.normal(size=(4, 3)) + 1000 * rng.permuted([[-3, 0, 1, 4]] * 3, axis=1).T
        yield log_joint, rng.normal(size=(4, 3))
    for size in (3000, -3000, 9000, -9000):  # of log q, which need not be near 0
        log_q = size + rng.normal(size=(4, 3))
        yield log_q + rng.choice([-2000, 2000]) + 2 * rng.normal(size=(4, 3)), log_q
    for _ in range(3):  # log q far apart in the draws of one item, with the weights near each other and far apart
        log_q = rng.normal(size=(4, 3)) + 3000 * rng.permuted([[-3, -1, 1, 3]] * 3, axis=1).T
        yield log_q + 2000 + 2 * rng.normal(size=(4, 3)), log_q
        yield 1500 + rng.normal(size=(4, 3)), log_q
    yield rng.normal(size=(4, 3)), rng.normal(size=(3, 4))
    yield rng.normal(size=(1, 4)), rng.normal(size=(4, 1))
    yield rng.normal(size=(1, 4)), rng.normal(size=4)
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 1))
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
def by_the_mean(log_joint, log_q):
    """Right where the draws of an item are near each other. What you take out is not the largest of them, and a draw
    far above it still overflows: take the largest value out."""
    log_w = _logs(log_joint, log_q)
    with np.errstate(over="ignore"):
        return log_w.mean(axis=0), log_w.mean(axis=0) + np.log(np.exp(log_w - log_w.mean(axis=0)).mean(axis=0))


@ex.wrong
def by_the_first_draw(log_joint, log_q):
    """Right where the draws of an item are near each other. What you take out is not the largest of them, and a draw
    far above it still overflows: take the largest value out."""
    log_w = _logs(log_joint, log_q)
    with np.errstate(over="ignore", divide="ignore"):
        return log_w.mean(axis=0), log_w[0] + np.log(np.exp(log_w - log_w[0]).mean(axis=0))


@ex.wrong
def by_the_largest_joint(log_joint, log_q):
    """Right where log q is near 0. Elsewhere an exponential is 0 or infinite: subtract log q first, and take the
    largest value of the difference out."""
    log_w, largest = _logs(log_joint, log_q), log_joint.max(axis=0)
    with np.errstate(over="ignore", divide="ignore"):
        return log_w.mean(axis=0), largest + np.log(np.exp(log_w - largest).mean(axis=0))


@ex.wrong
def divided_by_q(log_joint, log_q):
    """Right where log q is near 0. Elsewhere an exponential is 0 or infinite: subtract log q first, and take the
    largest value of the difference out."""
    log_w, largest = _logs(log_joint, log_q), log_joint.max(axis=0)
    with np.errstate(all="ignore"):
        return log_w.mean(axis=0), largest + np.log((np.exp(log_joint - largest) / np.exp(log_q)).mean(axis=0))


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
    return np.sum(log_w, axis=0) / len(log_w), np.logaddexp.reduce(log_w) - np.log(len(log_w))


# %%
check("16.5", two_bounds)

# %% [markdown]
# **Exercise 16.6 ★★** Debug it. With *free bits* (Kingma et al., 2016) a number that costs less than `free` nats, on
# average over the batch, costs `free` all the same, so that nothing is gained by silencing it. This version contains
# snippet A's mistake.


# %%
# Exercise 16.6
def loss_from_the_web(x, reconstruction, mean, log_variance, beta, free):
    """The loss of a VAE with free bits for one batch: the mean over its items of the squared
    error, plus beta times the sum over the numbers of the code of their prices.

    x, reconstruction: arrays (batch, pixels). mean, log_variance: arrays (batch, d). beta: a
    number > 0. free: a number >= 0, in nats.
    The price of a number of the code is its KL (16.6), averaged over the batch, and at least
    `free`. Returns a number.
    Example: with x = [[1, 1]], reconstruction = [[0, 0]], mean = [[2, 0]], log_variance =
    [[0, 0]], beta = 0.5 and free = 1 it is 2 + 0.5 * (2 + 1) = 3.5.
    """
    ### BEGIN SOLUTION
    error = np.sum((x - reconstruction) ** 2, axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)
    price = np.maximum(kl.mean(axis=0), free)
    return np.mean(error) + beta * np.sum(price)
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("16.6", start="mean_price")
ex.hints(
    "Compute the example by hand, step by step, beside the code. Where do you part ways?",
    "There are three means in the code. Which of them is not over the batch?",
    "A mean over the batch, and sums over everything else: pixels and numbers of the code.",
)
ex.equivalent(
    "'reconstruction - x' for 'x - reconstruction' in 'error = np.sum((x - reconstruction) ** 2, axis=1)'", "a square"
)
ex.equivalent(
    "by_products: 'p >= free' for 'p > free' in 'return float(off @ off) / len(x) + beta * sum((float(p) i...'",
    "both are the same there",
)
ex.equivalent(
    "by_products: 'reconstruction - x' for 'x - reconstruction' in 'off = (x - reconstruction).ravel()'", "a square"
)


@ex.cases
def _(rng):
    def case(batch, pixels, d, free):
        scale = rng.uniform(0.1, 2, d)  # some numbers cost more than `free`, others less
        mean, log_variance = scale * rng.normal(size=(2, batch, d))
        return *rng.normal(size=(2, batch, pixels)), mean, log_variance, float(rng.uniform(0.1, 3)), free

    yield np.ones((1, 2)), np.zeros((1, 2)), np.array([[2.0, 0.0]]), np.zeros((1, 2)), 0.5, 1
    yield case(3, 4, 5, 0)
    yield case(3, 4, 5, 100.0)
    yield case(1, 1, 1, 0.5)
    for _ in range(20):
        batch, pixels, d = (int(n) for n in rng.integers(2, 8, 3))
        yield case(batch, pixels, d, float(rng.uniform(0.1, 1.5)))


@ex.oracle
def _(x, reconstruction, mean, log_variance, beta, free):
    total, batch = 0.0, len(x)
    for b in range(batch):
        for i in range(x.shape[1]):
            total += (x[b, i] - reconstruction[b, i]) ** 2 / batch
    for j in range(mean.shape[1]):
        price = 0.0
        for b in range(batch):
            sigma = math.exp(log_variance[b, j] / 2)
            price += (mean[b, j] ** 2 / 2 + (sigma**2 - 1) / 2 - math.log(sigma)) / batch
        total += beta * (price if price > free else free)
    return total


def _parts(x, reconstruction, mean, log_variance):
    return (x - reconstruction) ** 2, -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance))


@ex.wrong
def mean_price(x, reconstruction, mean, log_variance, beta, free):
    """The squared error is a sum over the pixels, but the prices are averaged over the numbers of the code: with d of
    them they count d times too little."""
    error = np.sum((x - reconstruction) ** 2, axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)
    price = np.maximum(kl.mean(axis=0), free)
    return np.mean(error) + beta * np.mean(price)


@ex.wrong
def mean_error(x, reconstruction, mean, log_variance, beta, free):
    """Now the prices are added up, and the squared error is a mean over the pixels: this is snippet B."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.mean() + beta * np.maximum(kl.mean(axis=0), free).sum()


@ex.wrong
def free_for_each_item(x, reconstruction, mean, log_variance, beta, free):
    """You compare with `free` item by item. The price of a number is its mean over the batch, and only that is
    compared."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * np.maximum(kl, free).mean(axis=0).sum()


@ex.wrong
def free_for_the_whole_code(x, reconstruction, mean, log_variance, beta, free):
    """You compare the price of the whole code with `free`. Every number of the code has its own price."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * max(kl.sum(axis=1).mean(), free)


@ex.wrong
def no_free_bits(x, reconstruction, mean, log_variance, beta, free):
    """This is the loss without free bits: a number that costs less than `free` costs `free`."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * kl.mean(axis=0).sum()


@ex.wrong
def at_most(x, reconstruction, mean, log_variance, beta, free):
    """Your prices are at most `free`. They are to be at least `free`."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * np.minimum(kl.mean(axis=0), free).sum()


@ex.wrong
def free_subtracted(x, reconstruction, mean, log_variance, beta, free):
    """You charge only what a number costs above `free`. The gradient is the same, but the loss that is asked for
    contains `free`."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * np.maximum(kl.mean(axis=0) - free, 0).sum()


@ex.wrong
def sum_over_the_batch(x, reconstruction, mean, log_variance, beta, free):
    """The prices are right. The squared errors of the batch are averaged, not added up."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum() + beta * np.maximum(kl.mean(axis=0), free).sum()


@ex.wrong
def prices_over_the_batch(x, reconstruction, mean, log_variance, beta, free):
    """The KL is added up over the batch while the error is averaged over it: its weight grows with the batch."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * np.maximum(kl.sum(axis=0), free).sum()


@ex.wrong
def reward_for_the_code(x, reconstruction, mean, log_variance, beta, free):
    """The prices have the wrong sign: they make the loss larger."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() - beta * np.maximum(kl.mean(axis=0), free).sum()


@ex.wrong
def unweighted(x, reconstruction, mean, log_variance, beta, free):
    """Sums and means are right; beta has been forgotten."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + np.maximum(kl.mean(axis=0), free).sum()


@ex.wrong
def half_lost(x, reconstruction, mean, log_variance, beta, free):
    """Sums and means are right, but the KL counts twice: its factor one half has been lost."""
    error, kl = _parts(x, reconstruction, mean, log_variance)
    return error.sum(axis=1).mean() + beta * np.maximum(2 * kl.mean(axis=0), free).sum()


@ex.right
def by_products(x, reconstruction, mean, log_variance, beta, free):
    off = (x - reconstruction).ravel()
    squares = np.einsum("bd,bd->d", mean, mean) + (np.exp(log_variance) - log_variance).sum(axis=0)
    price = squares / (2 * len(x)) - 0.5
    return float(off @ off) / len(x) + beta * sum(float(p) if p > free else float(free) for p in price)


# %%
check("16.6", loss_from_the_web)

# %% [markdown]
# **Exercise 16.7 ★★** Debug it. This decoder is a single dense layer, and somebody trains it by hand. Its error grows
# with every step.


# %%
# Exercise 16.7
def decoder_step(W, b, z, x, rate):
    """One step of gradient descent for the decoder z W + b, on the mean over the batch of the
    squared error (16.1).

    W (k, pixels), b (pixels,): the decoder. z (batch, k): codes. x (batch, pixels): images.
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
ex.hints(
    "Take the example: the image is 1, what is drawn is 0. Which way has the bias to go, and which way does it go?",
    "The gradient of a squared difference by what is drawn is twice (drawn - true).",
    "Descent subtracts the gradient; here the difference has one sign too many.",
)


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
    difference has when the image drawn is too bright, and which way the bias then has to go."""
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
# |what|in one line|number|
# |---|---|---|
# |autoencoder|$\|x-\operatorname{Dec}(\operatorname{Enc}(x))\|^2$, a sum over the pixels|(16.1)|
# |linear, at best|loses $\sum_{i>d_z}\lambda_i$ and finds PCA's subspace|(16.2), (16.3)|
# |denoising|$\mathbb{E}[x\mid x_\tau]=x_\tau+\tau^2\nabla\log p(x_\tau)$|(16.4)|
# |evidence|$\log p(x)=\text{ELBO}+\mathrm{KL}(q_\phi\,\Vert\,p(\mathbf{z}\mid x))$|(16.5)|
# |price of a code|$\frac12\sum_j(\mu_j^2+\sigma_j^2-1-\log\sigma_j^2)$|(16.6)|
# |VAE|$\|x-\hat x\|^2+\beta_\mathrm{KL}\,\mathrm{KL}$|(16.7)|
# |reparameterisation|$\mathbf{z}=\boldsymbol{\mu}+\boldsymbol{\sigma}\odot\varepsilon$|(16.8)|
# |inception score|$\exp\mathbb{E}\,\mathrm{KL}(\hat y(g)\,\Vert\,\mathbb{E}\,\hat y)$|(16.9)|
# |coverage|share of real images near a made one|(16.10)|
# |vector quantisation|$e(\mathbf{z})=e_j$ with $j=\arg\min_i\|\mathbf{z}-e_i\|^2$|(16.11)|
# |straight through|$\mathbf{z}_q=\mathbf{z}+\operatorname{sg}(e(\mathbf{z})-\mathbf{z})$|(16.12)|
# |VQ-VAE|loss $+\|\operatorname{sg}(\mathbf{z})-e(\mathbf{z})\|^2+\omega\|\mathbf{z}-\operatorname{sg}(e)\|^2$|(16.13)|
# |codes in use|perplexity $\exp(-\sum_j\pi_j\log\pi_j)$|(16.14)|
#
# ## References
#
# - Baldi & Hornik, *Neural networks and principal component analysis*, 1989.
# - Bengio, Léonard & Courville, *Estimating gradients through stochastic neurons*, 2013.
# - Burda, Grosse & Salakhutdinov, *Importance weighted autoencoders*, 2016.
# - Dhariwal et al., *Jukebox*, 2020.
# - Eckart & Young, *Approximation of one matrix by another*, 1936.
# - Efron, *Tweedie's formula and selection bias*, 2011.
# - Ghosh et al., *From variational to deterministic autoencoders*, 2020.
# - Hinton & Salakhutdinov, *Reducing the dimensionality of data*, 2006.
# - Kingma & Welling, *Auto-encoding variational Bayes*, 2014.
# - Kingma et al., *Inverse autoregressive flow*, 2016.
# - Mentzer et al., *Finite scalar quantization*, 2024.
# - Naeem et al., *Reliable fidelity and diversity metrics*, 2020.
# - van den Oord, Vinyals & Kavukcuoglu, *Neural discrete representation learning*, 2017.
# - Rezende, Mohamed & Wierstra, *Stochastic backpropagation*, 2014.
# - Salimans et al., *Improved techniques for training GANs*, 2016.
# - Song & Ermon, *Generative modeling by estimating gradients*, 2019.
# - Tipping & Bishop, *Probabilistic principal component analysis*, 1999.
# - Vincent et al., *Extracting and composing robust features*, 2008.
# - Williams, *Statistical gradient-following algorithms*, 1992.
