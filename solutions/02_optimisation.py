# %% [raw]
# title: Optimisation and regularisation
# part: I. Learning machines
# minutes: 170
# needs:
#   - Python
#   - NumPy
#   - school calculus
#   - activation functions
#   - multi-layer perceptron
#   - softmax and cross-entropy
#   - empirical risk
#   - gradient descent
#   - backpropagation
# teaches:
#   - stochastic gradient descent
#   - curvature, saddles and local minima
#   - momentum
#   - Adam
#   - initialisation
#   - batch normalisation
#   - overfitting and validation
#   - weight decay
#   - dropout
#   - early stopping
# data: [MNIST]
# terms:
#   - term: optimisation
#     means: making the loss on the training examples small
#     zh: 优化
#   - term: regularisation
#     means: whatever is done so that a model does better on examples that it was not trained on
#     zh: 正则化
#   - term: stochastic gradient descent
#     means: gradient descent with the gradient of a random mini-batch; SGD for short
#     zh: 随机梯度下降
#   - term: curvature
#     means: how fast the slope of the loss changes along a direction; an eigenvalue of the Hessian
#     zh: 曲率
#     symbol: '$\kappa$'
#   - term: Hessian
#     means: the matrix of second derivatives of the loss
#     zh: 黑塞矩阵
#     symbol: '$\mathbf{H}$'
#   - term: eigenvalue
#     means: the factor by which a matrix stretches a vector whose direction it keeps, its eigenvector
#     zh: 特征值
#   - term: ravine
#     means: a region of the loss that is steep across and nearly flat along
#     zh: 沟壑
#   - term: condition number
#     means: the largest curvature divided by the smallest
#     zh: 条件数
#   - term: critical point
#     means: where the gradient is zero
#     zh: 临界点
#   - term: saddle
#     means: a critical point with curvatures of both signs
#     zh: 鞍点
#   - term: momentum
#     means: descent with a velocity that remembers earlier gradients
#     zh: 动量
#   - term: effective rate
#     means: the learning rate as the parameters feel it; with momentum, the rate over 1 minus its coefficient
#     zh: 有效学习率
#   - term: RMSProp
#     means: descent in which each gradient is divided by the root of a running mean of its squares
#     zh: 均方根传播
#   - term: Adam
#     means: momentum and RMSProp together, with bias-corrected running means
#     zh: 自适应矩估计
#   - term: initialisation
#     means: how the weights are drawn before training
#     zh: 初始化
#   - term: vanishing gradient
#     means: an error signal that shrinks from layer to layer on its way back
#     zh: 梯度消失
#   - term: exploding gradient
#     means: an error signal that grows from layer to layer on its way back
#     zh: 梯度爆炸
#   - term: gradient clipping
#     means: a gradient longer than a bound is shortened to it
#     zh: 梯度裁剪
#   - term: batch normalisation
#     means: a layer that normalises each unit by mean and variance of the mini-batch, then scales and shifts it
#     zh: 批量归一化
#   - term: inference
#     means: using a model that is not being trained
#     zh: 推理
#   - term: generalisation
#     means: doing well on examples that were not trained on
#     zh: 泛化
#   - term: overfitting
#     means: learning what holds for the training examples only
#     zh: 过拟合
#   - term: validation set
#     means: examples kept out of training to choose hyperparameters by
#     zh: 验证集
#   - term: hyperparameter
#     means: a number that training does not change, such as the learning rate
#     zh: 超参数
#   - term: L2 penalty
#     means: a multiple of the sum of squared weights, added to the loss
#     zh: L2惩罚
#   - term: weight decay
#     means: all weights shrink by a fixed factor in each step
#     zh: 权重衰减
#   - term: dropout
#     means: in training, units are set to 0 at random
#     zh: 随机失活
#   - term: early stopping
#     means: ending training where the loss on the validation set stops falling
#     zh: 早停
# symbols:
#   '$\mathbb{E}$': 'expectation (`mean`)'
#   '$\mathrm{Var}$': 'variance (`var`)'
#   '$B$': 'number of examples in a mini-batch'
#   '$g$': 'gradient of a mini-batch'
#   '$u_i$': 'eigenvector of the Hessian, of length 1'
#   '$v$': 'velocity (`v`)'
#   '$\mu$': 'momentum coefficient (`mu`)'
#   '$\rho$': 'what a running mean keeps of itself in a step (`rho`)'
#   '$\bar{g}$': 'running mean of gradients; a bar is a running mean'
#   '$\beta_1$': 'what the running mean of gradients keeps, in Adam (`beta_1`)'
#   '$\beta_2$': 'what the running mean of squared gradients keeps, in Adam (`beta_2`)'
#   '$n_\text{in}$': 'number of inputs of a unit (fan in)'
#   '$n_\text{out}$': 'number of units that an input goes to (fan out)'
#   '$\hat{z}$': 'normalised pre-activation (`z_hat`)'
#   '$\gamma$': 'scale of a normalisation (`gamma`)'
#   '$\beta$': 'shift of a normalisation (`beta`)'
#   '$\lambda$': 'strength of a penalty or of weight decay (`strength`)'
#   '$q$': 'dropout rate: the probability that a unit is dropped (`share`)'
# sources:
#   - "Robbins & Monro, A stochastic approximation method, 1951"
#   - "Polyak, Some methods of speeding up the convergence of iteration methods, 1964"
#   - "Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983"
#   - "Krogh & Hertz, A simple weight decay can improve generalization, 1992"
#   - "Prechelt, Early stopping - but when?, 1998"
#   - "Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010"
#   - "Tieleman & Hinton, Lecture 6.5 - RMSProp, 2012"
#   - "Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks, 2013"
#   - "Sutskever, Martens, Dahl & Hinton, On the importance of initialization and momentum in deep learning, 2013"
#   - "Dauphin et al., Identifying and attacking the saddle point problem, 2014"
#   - "Srivastava et al., Dropout, 2014"
#   - "Kingma & Ba, Adam: a method for stochastic optimization, 2015"
#   - "He, Zhang, Ren & Sun, Delving deep into rectifiers, 2015"
#   - "Ioffe & Szegedy, Batch normalization, 2015"
#   - "Goodfellow, Bengio & Courville, Deep learning, chapters 7 and 8, 2016"
#   - "Arpit et al., A closer look at memorization in deep networks, 2017"
#   - "van Laarhoven, L2 regularization versus batch and weight normalization, 2017"
#   - "Santurkar, Tsipras, Ilyas & Madry, How does batch normalization help optimization?, 2018"
#   - "Loshchilov & Hutter, Decoupled weight decay regularization, 2019"

# %% [markdown]
# Three networks learn to classify digits. They are built of chapter 01's layers, and every gradient is exact:

# %% tags=["aside"]
# @title Imports and settings
from collections import defaultdict
from functools import cache
from itertools import product

from course import (
    ask,
    at_once,
    budget,
    check,
    claim,
    data,
    gradient,
    plots,
    predict,
    prove,
    record,
    rewinder,
    seed,
    start,
    sweep,
)

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import integrate, optimize, special, stats

rng = start("02")  # seeds everything from COURSE_SEED and sets the style of the figures
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RUNS = budget(quick=2, full=5)


# %% tags=["aside"]
# @title A perceptron, and what renews it for another training
def as_rows(images):
    """Images (count, 28, 28) of bytes as rows (count, 784) of floats from 0 (black) to 1 (white)."""
    return images.reshape(-1, 784).astype("float32") / 255


def perceptron(hidden, activation="relu", scale=2.0):
    """A multi-layer perceptron for rows (batch, 784) with ten logits; the weights begin with Var[w] = scale /
    inputs."""
    net = keras.Sequential([keras.Input((784,))])
    for units in [*hidden, 10]:
        drawn = keras.initializers.VarianceScaling(scale, "fan_in", "untruncated_normal")
        net.add(layers.Dense(units, kernel_initializer=drawn))
        net.add(layers.Activation(activation))
    net.pop()  # the last layer puts out logits
    return net


def renewable(make, optimizer):
    """A function that gives a network of `make`, compiled, with new random weights and a fresh optimiser each time.

    It is always the same network: to compile it takes longer than to train it, and is done once. The function takes a
    learning rate, or none for the optimiser's own."""
    net = make()
    net.compile(optimizer, LOSS, steps_per_execution=at_once(20))
    optimizer.build(net.trainable_variables)
    rewind = rewinder(net)

    def renew(rate=None):
        rewind()
        net.set_weights(make().get_weights())
        if rate is not None:
            net.optimizer.learning_rate = rate
        return net

    return renew


def three_runs(renew, count=2000, **more):
    """The histories of three trainings on the first `count` digits."""
    epochs, digits = budget(quick=8, full=30, least=2), (images[:count], labels[:count])
    return [renew().fit(*digits, batch_size=50, epochs=epochs, verbose=0, **more).history for _ in range(3)]


def accuracy(net, x, y):
    """The share of inputs that a network classifies correctly, in inference."""
    return float(np.mean(predict(net, x).argmax(axis=1) == y))


# %% tags=["aside"]
# @title Loads the digits
mnist = data.mnist()
pixels, truth = np.concatenate([mnist.x_train, mnist.x_test]), np.concatenate([mnist.y_train, mnist.y_test])
held_back = budget(quick=2500, full=10000, least=500)
images, labels = as_rows(pixels[:2000]), truth[:2000]  # to train on
validation = as_rows(pixels[2000:2500]), truth[2000:2500]  # to choose by
test = as_rows(pixels[2500:][-held_back:]), truth[2500:][-held_back:]  # to judge by

# %% tags=["aside"]
# @title Draws figure 2.1
stuck = three_runs(renewable(lambda: perceptron([100] * 10, "sigmoid", 1.0), keras.optimizers.SGD(0.1)))
thrown = three_runs(renewable(lambda: perceptron([100]), keras.optimizers.SGD(4.0)))
crammed = renewable(lambda: perceptron([128, 128]), keras.optimizers.Adam(0.003))
histories = three_runs(crammed, 1000, validation_data=validation)
curves = [{"training loss": [history["loss"] for history in found]} for found in (stuck, thrown)]
curves.append(
    {"training loss": [h["loss"] for h in histories], "loss on other digits": [h["val_loss"] for h in histories]}
)

figure, axes = plt.subplots(1, 3, figsize=(9.6, 3))
names = "ten layers of sigmoids", "a learning rate of 4", "1,000 training digits"
for axis, found, name, top in zip(axes, curves, names, (5, 5, 0.8)):
    levels = {"guessing": np.log(10)} if top == 5 else None
    plots.draw_curves(axis, found, "epoch", "mean loss" if axis is axes[0] else "", name, levels=levels)
    axis.set_ylim(0, top)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.1. Three ways to fail with the right gradient; mean and range of three runs. Left: nothing happens (dotted:
# guessing). Middle: the steps are too long. Right: on other digits the loss stops falling.*
#
# The gradient says which way is down *here*. It does not say how far to go, may not reach the first layers, and knows
# nothing of other digits. So:
#
# **What does a network need, besides the right gradient, to learn, and to learn more than its examples?**
#
# The first half of the answer is **optimisation**, the second **regularisation**.
#
# ## What you will be able to do
#
# - say from the curvature how large a learning rate may be, and tell a minimum from a saddle;
# - write momentum, Nesterov's method, RMSProp and Adam, step by step as in Keras;
# - initialise a deep network, and normalise its layers;
# - use weight decay, dropout and early stopping, and know when they help;
# - notice a network in the wrong mode.
#
# ## A gradient from a few examples
#
# Let $\nabla_\theta \ell_i$ be the gradient of the loss of example $i$. Draw a mini-batch of $B$ examples at random,
# each from all of them. **Stochastic gradient descent**, or SGD (Robbins and Monro, 1951), is
#
# $$ g = \frac{1}{B} \sum_{i \in \text{batch}} \nabla_\theta\, \ell_i(\theta), \qquad
#    \theta \leftarrow \theta - \alpha\, g \tag{2.1} $$
#
# Take four examples whose derivatives are 1, 2, 3 and 6. The true gradient is their mean, 3. A mini-batch of one is
# right on average, with the variance $\frac14(4+1+0+9)=3.5$. One of $B$ is a mean of $B$ such draws, so its variance is
# $B$ times smaller:
#
# $$ \mathbb{E}[g] = \nabla_\theta L, \qquad \mathrm{Var}[g] = \frac{1}{B}\, \mathrm{Var}[\nabla_\theta\, \ell_i]
#    \tag{2.2} $$
#
# The typical error of $g$ is the root of that: a hundred times the work makes it ten times smaller. Hence many rough
# steps rather than few exact ones.


# %%
def descend(theta, g, memory, rate):
    """A step of (stochastic) gradient descent. Like all steps below, it returns the new theta and its memory."""
    return theta - rate * g, memory  # (2.1)


def batch_statistics(gradients, size):
    """Mean and variance of the gradient of a random mini-batch; gradients: of all examples, (count, numbers)."""
    return gradients.mean(axis=0), gradients.var(axis=0) / size  # (2.2)


# %% tags=["aside"]
# @title What proofs (2.1) and (2.2) compare with
def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def keras_walk(optimizer, theta, gradients):
    """Where a Keras optimiser has gone after each of the gradients (steps, n) that it is handed."""
    variable, path = keras.Variable(np.asarray(theta, "float32")), []
    for g in gradients:
        optimizer.apply([tensor(g)], [variable])
        path.append(ops.convert_to_numpy(variable.value).copy())
    return np.array(path)


def step_on_batch(W, x, y, batch, rate):
    """A step of softmax regression, whose gradient is (1.13) and (1.15); W (classes, inputs)."""
    delta = special.softmax(x @ W.T, axis=1) - y
    return descend(W, (delta[:, :, None] * x[:, None])[batch].mean(axis=0), {}, rate)[0]


def keras_step_on_batch(W, x, y, batch, rate):
    def loss(weights):
        logits = ops.matmul(tensor(x[batch]), ops.transpose(weights))
        return ops.mean(keras.losses.categorical_crossentropy(tensor(y[batch]), logits, from_logits=True))

    g = ops.convert_to_numpy(gradient(loss, W.astype("float32")))
    return keras_walk(keras.optimizers.SGD(rate), W, [g])[-1]


def statistics_of_all_batches(gradients, size):
    """The same by going through every mini-batch there is."""
    found = np.array([np.mean(batch, axis=0) for batch in product(gradients, repeat=size)])
    return found.mean(axis=0), found.var(axis=0)


def examples_and_batches(count):
    for _ in range(count):
        x, y, batch = rng.normal(size=(8, 5)), np.eye(3)[rng.integers(3, size=8)], rng.integers(8, size=4)
        yield rng.normal(size=(3, 5)), x, y, batch, float(rng.random())


def examples_and_sizes():
    return ((rng.normal(size=(n, 2)), size) for n in (2, 3, 5) for size in (1, 2, 4))


# %%
prove("2.1", step_on_batch, keras_step_on_batch, cases=examples_and_batches(40), rtol=1e-4, atol=1e-5)
prove("2.2", batch_statistics, statistics_of_all_batches, cases=examples_and_sizes())

# %% [markdown]
# **Question 2.a.** With mini-batches of 32, the gradient of a weight has a standard deviation of 0.6. How large must a
# mini-batch be for a standard deviation of 0.3?

# %%
ask(
    "2.a",
    128,
    why="Half the standard deviation is a quarter of the variance: by (2.2), four times as many examples.",
    hint="(2.2) is about the variance, which is the square of the standard deviation.",
)

# %% [markdown]
# ## How far may a step go?
#
# Near a minimum where no **curvature** $\kappa$ is 0, a smooth loss looks like a bowl. Along one direction it is
# $L=\frac12\kappa\theta^2$: the slope, $\kappa\theta$, changes at the rate $\kappa$. A step takes $\theta$ to
# $\theta-\alpha\kappa\theta$, so it *multiplies* $\theta$ by $1-\alpha\kappa$. With $\alpha\kappa=0.1$ the distance
# shrinks by a tenth; with 1 you arrive at once; with 1.9 you jump across, and come closer by a tenth; with 2.1 you go
# farther away each time.
#
# With several parameters the bowl is $L=\frac12\theta^\mathsf{T}\mathbf{H}\theta$, with $\theta$ counted from its
# bottom. $\mathbf{H}$ is the **Hessian**, the matrix of second derivatives. Along its eigenvectors $u_i$, which are at
# right angles, the gradient points along the displacement: $\mathbf{H}u_i=\kappa_iu_i$. The **eigenvalues** $\kappa_i$
# are the curvatures, and each direction goes its own way:
#
# $$ \theta^{(t)} = \sum_i (1 - \alpha\kappa_i)^t\, \bigl(u_i \cdot \theta^{(0)}\bigr)\, u_i \tag{2.3} $$
#
# They share a single $\alpha$, however. If all $\kappa_i$ are positive, descent converges exactly if no factor reaches
# 1 in size, which the steepest direction decides:
#
# $$ 0 < \alpha < \frac{2}{\kappa_{\max}} \tag{2.4} $$
#
# Then the flattest direction is slow. The best compromise makes both extremes equally slow,
# $1-\alpha\kappa_{\min}=-(1-\alpha\kappa_{\max})$:
#
# $$ \begin{gathered} \alpha^* = \frac{2}{\kappa_{\min} + \kappa_{\max}}, \\
#    \max_i\, |1 - \alpha^* \kappa_i| = \frac{\kappa_{\max} - \kappa_{\min}}{\kappa_{\max} + \kappa_{\min}}
#    \end{gathered}
#    \tag{2.5} $$
#
# What counts is $\kappa_{\max}/\kappa_{\min}$, the **condition number**. A round bowl has 1 and takes one step. In a
# **ravine** with 20, even the best step leaves $19/21$ of the distance.


# %%
def in_a_bowl(H, theta, rate, steps):
    """Where gradient descent on theta . H theta / 2 is after some steps (2.3); H symmetric (n, n)."""
    curvatures, directions = np.linalg.eigh(H)
    return directions @ ((1 - rate * curvatures) ** steps * (directions.T @ theta))  # (2.3)


def rate_limit(H):
    """The learning rate below which descent converges in a bowl (2.4)."""
    return 2 / np.linalg.eigvalsh(H).max()  # (2.4)


def best_rate(lowest, highest):
    """The best learning rate between two curvatures, and what a step leaves of the distance (2.5)."""
    return 2 / (lowest + highest), (highest - lowest) / (highest + lowest)  # (2.5)


# %% tags=["aside"]
# @title What proofs (2.3) to (2.5) compare with
def keras_in_a_bowl(H, theta, rate, steps):
    optimizer, variable = keras.optimizers.SGD(rate), keras.Variable(theta.astype("float32"))
    for _ in range(steps):
        g = gradient(lambda value: ops.sum(value * ops.matmul(tensor(H), value)) / 2, variable.value)
        optimizer.apply([g], [variable])
    return variable.value


def searched_limit(H):
    """The rate at which a step, a matrix, begins to lengthen some vector, found by halving an interval."""
    return optimize.bisect(lambda rate: np.linalg.norm(np.eye(len(H)) - rate * H, 2) - 1, 1e-3, 100, xtol=1e-9)


def searched_rate(lowest, highest):
    left = optimize.minimize_scalar(
        lambda rate: max(abs(1 - rate * lowest), abs(1 - rate * highest)), bounds=(0, 2 / lowest), method="bounded"
    )
    return left.x, left.fun


def hessians(count, lowest, highest):
    for _ in range(count):
        directions = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        yield directions @ np.diag(rng.uniform(lowest, highest, 3)) @ directions.T


def bowls(count):
    for H in hessians(count, -0.5, 4):
        yield H, rng.normal(size=3), float(rng.uniform(0.05, 0.5)), 8


def pairs_of_curvatures(count):
    for _ in range(count):
        lowest = float(rng.uniform(0.5, 2))
        yield lowest, lowest * float(rng.uniform(1.5, 20))


# %%
prove("2.3", in_a_bowl, keras_in_a_bowl, cases=bowls(30), rtol=1e-3, atol=1e-4)
prove("2.4", rate_limit, searched_limit, cases=hessians(50, 0.1, 4))
prove("2.5", best_rate, searched_rate, cases=pairs_of_curvatures(50), rtol=1e-3)

# %% tags=["aside"]
# @title Draws figure 2.2
ravine, here = np.diag([1.0, 20.0]), np.array([-9.0, 1.6])
x, y = np.meshgrid(np.linspace(-10, 4, 141), np.linspace(-2.2, 2.2, 89))
figure, axes = plt.subplots(1, 3, figsize=(9, 2.5), sharey=True)
for axis, (rate, name) in zip(axes, [(0.02, "slow"), (best_rate(1, 20)[0], "the best"), (0.1015, "diverges")]):
    path = np.array([in_a_bowl(ravine, here, rate, steps) for steps in range(20)])
    axis.contour(x, y, x**2 + 20 * y**2, levels=10, colors="#bbbbbb", linewidths=0.7, linestyles="-")
    axis.plot(*path.T, "o-", color=plots.COLOURS[0], markersize=3, linewidth=1)
    axis.plot(0, 0, "x", color="black")
    axis.set(title=f"$\\alpha = {rate:.3g}$: {name}", xlabel="$\\theta_1$", xlim=(-10, 4), ylim=(-2.2, 2.2))
axes[0].set_ylabel("$\\theta_2$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.2. Nineteen steps of gradient descent in a ravine, with curvature 1 along it and 20 across (lines of equal
# loss; the cross is the minimum).*
#
# **Question 2.b.** At a minimum the curvatures are 0.5, 2 and 8. Below which learning rate does descent converge?

# %%
ask(
    "2.b",
    0.25,
    why="By (2.4) the steepest direction decides: 2 / 8. In the flattest one, 4 would still have converged.",
    hint="Which of the three directions is the first to diverge when the rate grows?",
)

# %% [markdown]
# ## Where the gradient is zero
#
# Descent stops where the gradient is zero, at a **critical point** $\theta^*$. There the loss has no linear part, and
# along each eigenvector the curvature decides:
#
# $$ L(\theta^* + \varepsilon u_i) \approx L(\theta^*) + \tfrac12 \kappa_i\, \varepsilon^2 \tag{2.6} $$
#
# If all eigenvalues are positive, every direction leads up: a minimum. If all are negative, a maximum. If there are
# both, a **saddle**, like a mountain pass. (If some are 0 and all others agree, second derivatives cannot tell.) By
# (2.3) descent *leaves* a saddle, for along a negative $\kappa$ the factor $1-\alpha\kappa$ is above 1. But it
# multiplies the distance: begin close, and you stay long. In many dimensions saddles are far more common than minima of
# high loss, argue Dauphin et al. (2014).


# %%
def kind_of(H):
    """The kind of a critical point by its Hessian, if no curvature is 0: "minimum", "maximum" or "saddle" (2.6)."""
    curvatures = np.linalg.eigvalsh(H)
    if curvatures.min() > 0:  # (2.6)
        return "minimum"
    return "maximum" if curvatures.max() < 0 else "saddle"


# %% tags=["aside"]
# @title What proof (2.6) compares with: small steps in 2,000 directions
def by_curvature(A, b):
    """The critical point of v . A v / 2 + (b . v)^3 at 0: its kind, lowest and highest rise, over epsilon squared."""
    curvatures = np.linalg.eigvalsh(A)
    return kind_of(A), curvatures.min() / 2, curvatures.max() / 2


def by_looking_round(A, b, epsilon=1e-5):
    around = rng.normal(size=(2000, len(b)))
    around *= epsilon / np.linalg.norm(around, axis=1, keepdims=True)
    rises = (np.sum(around @ A * around, axis=1) / 2 + (around @ b) ** 3) / epsilon**2
    kind = "minimum" if rises.min() > 0 else "maximum" if rises.max() < 0 else "saddle"
    return kind, rises.min(), rises.max()


def critical_points(count):
    for _ in range(count):
        n = int(rng.integers(2, 4))
        directions = np.linalg.qr(rng.normal(size=(n, n)))[0]
        curvatures = rng.uniform(0.5, 3, n) * (rng.choice([-1, 1], n) if rng.random() < 0.5 else rng.choice([-1, 1]))
        yield directions @ np.diag(curvatures) @ directions.T, rng.normal(size=n)


# %%
prove("2.6", by_curvature, by_looking_round, cases=critical_points(100), name="critical point", rtol=0.05, atol=0.05)


# %% tags=["aside"]
# @title The landscape, and what draws it
def height(theta):
    """The loss of the landscape; theta (2,) or (2, ...)."""
    x, y = theta
    return x**4 / 8 - x**2 / 4 - 0.06 * x + 5 * (y - 0.35 * np.sin(1.5 * x)) ** 2


def height_gradient(theta):
    x, y = theta
    across = 10 * (y - 0.35 * np.sin(1.5 * x))
    return np.array([x**3 / 2 - x / 2 - 0.06 - across * 0.525 * np.cos(1.5 * x), across])


def numerical_hessian(theta, epsilon=1e-4):
    """The second derivatives of the landscape at theta, by central differences (1.4)."""
    steps = epsilon * np.eye(2)
    return np.array([(height_gradient(theta + s) - height_gradient(theta - s)) / (2 * epsilon) for s in steps])


def draw_map(axis, title=""):
    """Draw the landscape: lines of equal height, a filled dot in each minimum, a cross on the saddle."""
    levels = np.min(height(grid)) + np.linspace(0, 2.6, 22) ** 2
    axis.contour(*grid, height(grid), levels=levels, colors="#bbbbbb", linewidths=0.7, linestyles="-")
    axis.plot(*np.transpose([shallow, deep]), "o", color="black", markersize=4, zorder=5)
    axis.plot(*saddle, "x", color="black", markersize=6, zorder=5)
    axis.set(title=title, xlabel="$\\theta_1$", ylabel="$\\theta_2$", xlim=(-2.3, 2.3), ylim=(-1.1, 1.1))


# %% tags=["aside"]
# @title Finds the critical points and draws figure 2.3
grid = np.stack(np.meshgrid(np.linspace(-2.3, 2.3, 231), np.linspace(-1.1, 1.1, 111)))
flat = [optimize.root(height_gradient, guess).x for guess in ((-1, -0.3), (0, 0), (1, 0.3))]
shallow, saddle, deep = flat

figure, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[1.25, 1])
draw_map(axes[0], "from above")
for point in flat:
    curvatures, directions = np.linalg.eigh(numerical_hessian(point))
    for curvature, way in zip(curvatures, directions.T):
        colour, line, reach = (plots.COLOURS[1], "--", 0.2) if curvature < 0 else (plots.COLOURS[0], "-", 0.2)
        reach += 0.012 * abs(curvature)
        axes[0].plot(*np.transpose([point - reach * way, point + reach * way]), line, color=colour, linewidth=2.5)
    values = ", ".join(f"{value:.2g}".replace("-", "−") for value in curvatures)
    kind = kind_of(numerical_hessian(point))
    axes[0].text(point[0], -0.98, f"{kind}\n{values}", ha="center", fontsize=9, backgroundcolor="white")
floor = np.linspace(-1.9, 1.9, 200)
axes[1].plot(floor, height((floor, 0.35 * np.sin(1.5 * floor))))
axes[1].plot([shallow[0], deep[0]], [height(shallow), height(deep)], "o", color="black", markersize=4)
axes[1].plot(saddle[0], height(saddle), "x", color="black")
axes[1].set(title="along the floor of the ravine", xlabel="$\\theta_1$", ylabel="loss")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.3. Left: a landscape with a bent ravine, and its three critical points, each with its eigenvectors (blue: up
# to both sides, orange and dashed: down) and eigenvalues. Right: the loss along the floor.*
#
# ## Momentum
#
# Let a heavy ball roll: in time, pushes to the left and right cancel, pushes along the floor add up.
# **Momentum** (Polyak, 1964) gives the parameters a velocity $v$, of which each step keeps a part $\mu$:
#
# $$ v \leftarrow \mu v - \alpha g, \qquad \theta \leftarrow \theta + v \tag{2.7} $$
#
# On a steady gradient $g$ with $\mu=0.9$ the velocities are $-\alpha g$, then $-1.9\,\alpha g$, then
# $-2.71\,\alpha g$: a geometric series,
#
# $$ v_t = -\alpha g \left(1 + \mu + \dots + \mu^{t-1}\right) = -\alpha g\, \frac{1 - \mu^t}{1 - \mu} \tag{2.8} $$
#
# which ends at ten times the first step. So $\alpha/(1-\mu)$ is the **effective rate**: at equal $\alpha$, momentum
# goes further than plain descent. **Nesterov's** variant (1983; Sutskever et al., 2013) looks ahead. The velocity will
# carry you to $\theta+\mu v$ anyway, so take the gradient *there*:
#
# $$ v \leftarrow \mu v - \alpha \nabla L(\theta + \mu v), \qquad \theta \leftarrow \theta + v \tag{2.9} $$
#
# (Keras holds $\theta+\mu v$, which the proof compares.)


# %%
def momentum(theta, g, memory, rate, mu=0.9):
    """A step of gradient descent with momentum (2.7)."""
    v = mu * memory.get("v", 0.0) - rate * g
    return theta + v, {"v": v}  # (2.7)


def velocity(g, rate, mu, steps):
    """The velocity after some steps on a steady gradient (2.8)."""
    return -rate * g * (1 - mu**steps) / (1 - mu)  # (2.8)


def nesterov(gradient_at, theta, v, rate, mu=0.9):
    """A step of Nesterov's method (2.9); gradient_at: a function. Returns the new theta and v."""
    v = mu * v - rate * gradient_at(theta + mu * v)
    return theta + v, v  # (2.9)


def walk(step, gradient_at, theta, steps, **settings):
    """The path (steps + 1, ...) that a step function takes from theta; gradient_at: the gradient as a function."""
    path, memory = [np.asarray(theta, float)], {}
    for _ in range(steps):
        theta, memory = step(path[-1], gradient_at(path[-1]), memory, **settings)
        path.append(theta)
    return np.array(path)


# %% tags=["aside"]
# @title What proofs (2.7) to (2.9) compare with
def follow(step, theta, gradients, **settings):
    """The path (steps, n) that a step function takes when it is handed these gradients (steps, n)."""
    handed = iter(gradients)
    return walk(step, lambda _: next(handed), theta, len(gradients), **settings)[1:]


def momentum_path(theta, gradients, rate, mu):
    return follow(momentum, theta, gradients, rate=rate, mu=mu)


def keras_momentum_path(theta, gradients, rate, mu):
    return keras_walk(keras.optimizers.SGD(rate, momentum=mu), theta, gradients)


def keras_velocity(g, rate, mu, steps):
    path = keras_walk(keras.optimizers.SGD(rate, momentum=mu), [0.0], [[g]] * steps)[:, 0]
    return path[-1] - (path[-2] if steps > 1 else 0)


def nesterov_path(H, theta, rate, mu):
    path, v = [], np.zeros(len(theta))
    for _ in range(6):
        theta, v = nesterov(lambda place: H @ place, theta, v, rate, mu)
        path.append(theta + mu * v)
    return np.array(path)


def keras_nesterov_path(H, theta, rate, mu):
    optimizer = keras.optimizers.SGD(rate, momentum=mu, nesterov=True)
    variable, path = keras.Variable(theta.astype("float32")), []
    for _ in range(6):
        optimizer.apply([ops.matmul(tensor(H), variable.value)], [variable])
        path.append(ops.convert_to_numpy(variable.value).copy())
    return np.array(path)


def gradients_and_rates(count):
    """Random (theta, gradients, rate, another number below 1); the gradients are of very different sizes."""
    for _ in range(count):
        sizes = 10 ** rng.uniform(-3, 2, 4)
        yield rng.normal(size=4), rng.normal(size=(6, 4)) * sizes, float(10 ** rng.uniform(-3, 0)), float(rng.random())


def bowls_and_rates(count):
    for H, theta, rate, _ in bowls(count):
        yield H, theta, rate / 4, float(rng.random())


def steady_gradients():
    return ((-2.0, 0.1, mu, steps) for mu in (0.0, 0.5, 0.9) for steps in (1, 2, 5))


# %%
prove("2.7", momentum_path, keras_momentum_path, cases=gradients_and_rates(20), rtol=1e-4, atol=1e-5)
prove("2.8", velocity, keras_velocity, cases=steady_gradients(), rtol=1e-4)
prove("2.9", nesterov_path, keras_nesterov_path, cases=bowls_and_rates(20), rtol=1e-3, atol=1e-4)

# %% [markdown]
# Is momentum more than a larger rate? In a bowl it is: in the long run, at the best $\alpha$ and $\mu$, a step leaves
# $(\sqrt{\kappa_{\max}}-\sqrt{\kappa_{\min}})/(\sqrt{\kappa_{\max}}+\sqrt{\kappa_{\min}})$ of the distance, (2.5) with
# roots, and the best $\mu$ is the square of that (Polyak, 1964). At a condition number of 100 it is $9/11$ in place of
# $99/101$. Try 20 coefficients, each at its best of 60 rates, and count the steps until you stay a thousand times
# closer to the minimum.


# %%
def steps_until_it_stays(good):
    """From which step on a condition holds for good: good (steps + 1, ...) -> (...), infinite where it never does."""
    bad = ~good
    last = np.where(bad.any(axis=0), len(bad) - bad[::-1].argmax(axis=0), 0)
    return np.where(bad[-1], np.inf, last)


def steps_in_ravine(condition, mu):
    """Steps to come a thousand times closer to the bottom of a ravine, for each coefficient at its best of 60 rates."""
    curvatures, rates = np.array([1.0, condition])[:, None, None], np.geomspace(0.2, 4, 60) / condition
    with np.errstate(all="ignore"):  # where the rate is too high, the numbers overflow
        start = np.ones((2, len(mu), len(rates)))
        path = walk(momentum, lambda theta: curvatures * theta, start, 1600, rate=rates, mu=mu[:, None])
        return steps_until_it_stays(np.linalg.norm(path, axis=1) < np.sqrt(2) / 1000).min(axis=1)


# %%
conditions, coefficients = (6, 12, 25, 50, 100, 200, 400), np.linspace(0, 0.95, 20)
needed = {condition: steps_in_ravine(condition, coefficients) for condition in conditions}
plain, tuned = ({condition: pick(steps) for condition, steps in needed.items()} for pick in (lambda s: s[0], np.min))

# %% tags=["aside"]
# @title Draws figure 2.4
figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.1), width_ratios=[1, 1, 1.4])
x, y = np.meshgrid(np.linspace(-1.1, 0.6, 121), np.linspace(-1.2, 1.2, 89))
roots = best_rate(1, 10)  # of the curvatures 1 and 100
for axis, rate, mu in zip(axes, (best_rate(1, 100)[0], roots[0] ** 2), (0, roots[1] ** 2)):
    path = walk(momentum, lambda theta: np.array([1.0, 100.0]) * theta, [-1.0, 0.3], 60, rate=rate, mu=mu)
    axis.contour(x, y, x**2 + 100 * y**2, levels=10, colors="#bbbbbb", linewidths=0.7, linestyles="-")
    axis.plot(*path.T, "o-", color=plots.COLOURS[mu > 0], markersize=2, linewidth=0.8)
    axis.plot(0, 0, "x", color="black", markersize=7)
    name = f"$\\mu = {mu:.2g}$" if mu else "plain"
    axis.set(title=f"{name}, $\\alpha = {rate:.2g}$", xlabel="$\\theta_1$", xlim=(-1.1, 0.6), ylim=(-1.2, 1.2))
axes[0].set_ylabel("$\\theta_2$")
at_09 = [steps[np.isclose(coefficients, 0.9)][0] for steps in needed.values()]
curves = {"plain": [*plain.values()], "best $\\mu$": [*tuned.values()], "$\\mu = 0.9$": at_09}
plots.draw_curves(axes[2], curves, "condition number", "steps", x=conditions)
for power in (1, 0.5):
    left = [best_rate(1, condition**power)[1] for condition in conditions]
    axes[2].plot(conditions, -np.log(1000) / np.log(left), ":", color="black", linewidth=1)
axes[2].set(xscale="log", yscale="log", title="at the best rate")
axes[2].set_xticks(conditions, conditions)
axes[2].minorticks_off()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.4. Left and middle: 60 steps in a ravine of condition number 100, at the best rate and coefficient. Right:
# the steps needed; dotted, by (2.5), with curvatures and with their roots.*
#
# Plain descent needs steps in proportion to the condition number, momentum in proportion to its *root*, if $\mu$ fits
# the ravine. 0.9 would fit a condition number of about 1,400; in these ravines the heavy ball rolls past the minimum
# and back, and in the widest three it loses to plain descent.

# %%
claim(
    "2.1",
    "from condition number 25 to 400, the steps of momentum grow less than 6-fold, at the best of 20 coefficients and "
    "60 rates for each",
    tuned[400] < 6 * tuned[25],
    control=plain[400] < 6 * plain[25],
)

# %% [markdown]
# ## A rate for each parameter
#
# Momentum gives all parameters one rate. But a pixel near the corner is rarely bright, so its weights rarely get a
# gradient. **RMSProp** (Tieleman and Hinton, 2012) divides each gradient by its usual size, the root of a running mean
# of its squares. (A bar is a running mean, powers and roots are taken element by element, and $\varepsilon$ prevents a
# division by 0.)
#
# $$ \begin{aligned} \overline{g^2} &\leftarrow \rho\, \overline{g^2} + (1 - \rho)\, g^2, \\
#    \theta &\leftarrow \theta - \alpha\, \frac{g}{\sqrt{\overline{g^2} + \varepsilon}} \end{aligned} \tag{2.10} $$
#
# A running mean that starts at 0 is too small at first: the weights of its $t$ terms add up to $1-\rho^t$, not to 1. So
# divide by that. **Adam** (Kingma and Ba, 2015) is momentum and RMSProp, both corrected:
#
# $$ \begin{aligned} \bar g &\leftarrow \beta_1 \bar g + (1 - \beta_1)\, g, \qquad
#    \overline{g^2} \leftarrow \beta_2\, \overline{g^2} + (1 - \beta_2)\, g^2, \\
#    \theta &\leftarrow \theta - \alpha\, \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\;
#    \frac{\bar g}{\sqrt{\overline{g^2}} + \varepsilon} \end{aligned} \tag{2.11} $$
#
# The first step is then $-\alpha$ times the sign of $g$, if $g$ is far above $\varepsilon$. Without the correction it
# would be $0.1/\sqrt{0.001}=3.16$ times as long, with the usual $\beta_1=0.9$ and $\beta_2=0.999$.


# %%
def rmsprop(theta, g, memory, rate, rho=0.9, epsilon=1e-7):
    """A step of RMSProp (2.10)."""
    square = rho * memory.get("square", 0.0) + (1 - rho) * g**2
    return theta - rate * g / np.sqrt(square + epsilon), {"square": square}  # (2.10)


def adam(theta, g, memory, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """A step of Adam (2.11)."""
    t = memory.get("t", 0) + 1
    mean = beta_1 * memory.get("mean", 0.0) + (1 - beta_1) * g
    square = beta_2 * memory.get("square", 0.0) + (1 - beta_2) * g**2
    rate = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return theta - rate * mean / (np.sqrt(square) + epsilon), {"mean": mean, "square": square, "t": t}  # (2.11)


# %% tags=["aside"]
# @title What proofs (2.10) and (2.11) compare with
def rmsprop_path(theta, gradients, rate, rho):
    return follow(rmsprop, theta, gradients, rate=rate, rho=rho, epsilon=1e-3)


def keras_rmsprop_path(theta, gradients, rate, rho):
    return keras_walk(keras.optimizers.RMSprop(rate, rho=rho, epsilon=1e-3), theta, gradients)


def adam_path(theta, gradients, rate, beta):
    return follow(adam, theta, gradients, rate=rate, beta_1=beta, epsilon=1e-3)


def keras_adam_path(theta, gradients, rate, beta):
    return keras_walk(keras.optimizers.Adam(rate, beta_1=beta, epsilon=1e-3), theta, gradients)


# %%
prove("2.10", rmsprop_path, keras_rmsprop_path, cases=gradients_and_rates(20), rtol=1e-3, atol=1e-4)
prove("2.11", adam_path, keras_adam_path, cases=gradients_and_rates(20), rtol=1e-3, atol=1e-4)

# %% [markdown]
# In Keras all of these are ready for `compile`; what `fit` then calls is `apply`.


# %%
def keras_optimizers(rate):
    """The five optimisers of Keras, with the same learning rate."""
    return {
        "plain": keras.optimizers.SGD(rate),
        "momentum": keras.optimizers.SGD(rate, momentum=0.9),
        "Nesterov": keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        "RMSProp": keras.optimizers.RMSprop(rate, rho=0.9),
        "Adam": keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.999),
    }


def keras_path(optimizer, gradient_at, theta, steps):
    """The path (steps + 1, ...) of a Keras optimiser from theta; gradient_at: the gradient as a function."""
    variable, path = keras.Variable(theta, dtype="float32"), [theta]
    for _ in range(steps):
        optimizer.apply([ops.convert_to_tensor(gradient_at(path[-1]), "float32")], [variable])
        path.append(ops.convert_to_numpy(variable.value).copy())
    return np.array(path)


# %% [markdown]
# Now the landscape. Each starts a hundredth beside the saddle, at the best rate that converges *across* the ravine, as
# (2.4) demands of plain descent: beyond it, one may bounce out of the saddle by luck.


# %% tags=["aside"]
# @title The same five on many rates at once, and what counts their steps
def nesterov_in_keras(theta, g, memory, rate, mu=0.9):
    """Nesterov's method as Keras writes it, which holds theta + mu v: as a step for `walk`."""
    v = mu * memory.get("v", 0.0) - rate * g
    return theta + mu * v - rate * g, {"v": v}


STEPS = {"plain": descend, "momentum": momentum, "Nesterov": nesterov_in_keras, "RMSProp": rmsprop, "Adam": adam}


def loss_on(path):
    """The loss along a path (steps + 1, 2, ...)."""
    return height(np.moveaxis(path, 1, 0))


def rates_that_converge(name):
    """Those of 100 rates that bring an optimiser closer to the bottom of a bowl as steep as the saddle is across."""
    rates, steepest = np.linspace(0.005, 0.5, 100), np.linalg.eigvalsh(numerical_hessian(saddle)).max()
    with np.errstate(all="ignore"):
        ends = walk(STEPS[name], lambda theta: steepest * theta, np.ones(100), 300, rate=rates)[-1]
    return rates[np.abs(ends) < 1]


def steps_below(name, places, rates, loss):
    """Steps until the loss stays below a number: places (2, starts) and rates (rates,) -> (starts, rates)."""
    start = np.repeat(places[:, :, None], len(rates), axis=2)
    return steps_until_it_stays(loss_on(walk(STEPS[name], height_gradient, start, 400, rate=rates)) < loss)


# %% tags=["aside"]
# @title Finds the best rates and draws figure 2.5
beside = saddle + [0.01, 0.0]
figure, axes = plt.subplots(2, 3, figsize=(9.6, 5))
for axis, name in zip(axes.flat, STEPS):
    rates = rates_that_converge(name)
    steps = steps_below(name, beside[:, None], rates, height(deep) + 0.01)[0]
    rate = float(rates[steps.argmin()])
    path = keras_path(keras_optimizers(rate)[name], height_gradient, beside, 120)
    draw_map(axis, f"{name}, $\\alpha={rate:.2g}$: {steps.min():.0f} steps")
    axis.plot(*path.T, "o-", color=plots.COLOURS[0], markersize=2, linewidth=1)
    axis.plot(*beside, "*", color="black", markersize=8)
    axis.label_outer()
    axes[1, 2].plot(loss_on(path), label=name)
axes[1, 2].set(title="the five runs", xlabel="step", ylabel="loss", ylim=(-0.22, 0.3))
axes[1, 2].legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.5. Keras's optimisers from beside the saddle (star); above each path, the steps until it stays near the deep
# minimum. Last: the loss.*
#
# Across, momentum bears higher rates (exercise 2.1 will show it), and along the floor the effective rate is ten times
# higher still. Put it and plain descent closer to the saddle, and count the steps until they have left it for good.

# %% tags=["aside"]
# @title Starts both from 20 places, at each of their rates
near = saddle[:, None] + np.outer([1, 0], rng.choice([-1, 1], 20) * rng.uniform(0.0005, 0.001, 20))
left, best_rates = {}, {}
for name in ("plain", "momentum"):
    rates = rates_that_converge(name)
    steps = steps_below(name, near, rates, height(saddle) - 0.03)
    left[name], best_rates[name] = steps[:, steps.mean(axis=0).argmin()], rates[steps.mean(axis=0).argmin()]
same_effective = steps_below("momentum", near, best_rates["plain"] * np.array([0.1]), height(saddle) - 0.03)[:, 0]

# %%
claim(
    "2.2",
    "from each of 20 places, momentum of 0.9 leaves the saddle in less than 0.3 times the steps of plain descent, each "
    "at the best of its rates that converge across the ravine",
    np.all(left["momentum"] < 0.3 * left["plain"]),
    control=np.any(same_effective < 0.3 * left["plain"]),
)

# %% [markdown]
# ## Does the signal arrive?
#
# Now the network on the left of Figure 2.1. How its first weights are drawn is called **initialisation**: let the
# biases be 0 and the weights random, with mean 0 and one variance, independent of each other and of what comes in. A
# pre-activation $z$ is then a sum of $n_\text{in}$ terms $w_jh_j$ with mean 0, whose variances add up:
#
# $$ \mathrm{Var}[z] = n_\text{in}\, \mathrm{Var}[w]\, \mathbb{E}[h^2] \tag{2.12} $$
#
# The last factor is $\mathrm{Var}[h]$ only if $h$ has mean 0, and what comes out of a ReLU has not. But if $z$ is
# symmetric, as often $a$ as $-a$, half of its squares survive a ReLU:
#
# $$ \mathbb{E}\bigl[\operatorname{ReLU}(z)^2\bigr] = \tfrac12\, \mathrm{Var}[z] \tag{2.13} $$
#
# Symmetric weights make $z$ symmetric. So with $n_\text{in}$ units in every layer,
#
# $$ \mathrm{Var}[z_l] = \left( \tfrac12\, n_\text{in} \mathrm{Var}[w] \right)^{l-1} \mathrm{Var}[z_1] \tag{2.14} $$
#
# With $\mathrm{Var}[w]=1/n_\text{in}$ the factor is a half: in layer 20, two millionths are left. With $4/n_\text{in}$
# it is two: half a million times too much. Only $2/n_\text{in}$ keeps the variance, the choice of He et al. (2015).
# Glorot and Bengio (2010), who thought of tanh, divide by the mean of a layer's two sizes:
#
# $$ \begin{aligned} \text{He:} \quad & \mathrm{Var}[w] = \frac{2}{n_\text{in}}, \\
#    \text{Glorot (Keras's default):} \quad & \mathrm{Var}[w] = \frac{2}{n_\text{in} + n_\text{out}} \end{aligned}
#    \tag{2.15} $$
#
# Why both sizes? The error signal goes the other way. By (1.14), if the weights are independent of the error signal
# that comes through them (at the start they nearly are),
#
# $$ \mathbb{E}[\delta_l^2] = n_\text{out} \mathrm{Var}[w]\; \mathbb{E}\bigl[f'(z_l)^2\bigr]\;
#    \mathbb{E}[\delta_{l+1}^2]
#    \tag{2.16} $$
#
# where $n_\text{out}$ counts the units of layer $l+1$. For ReLU, $f'$ is 1 for half of the units: He's choice again,
# with outputs for inputs. For tanh near 0, $f'\approx1$, and one would like $1/n$ for both. For the sigmoid $f'$ is at
# most $1/4$: with $n_\text{out}\mathrm{Var}[w]=1$, the typical $\delta$ shrinks at least fourfold in every layer, to
# less than a millionth after ten. This is a **vanishing gradient**; a factor above 1 gives an **exploding gradient**.


# %%
def variance_of_sum(inputs, weight_variance, second_moment):
    """The variance of a pre-activation (2.12); second_moment: the mean square of what comes in."""
    return inputs * weight_variance * second_moment  # (2.12)


def after_relu(variance):
    """The second moment after a ReLU of a symmetric z with this variance (2.13)."""
    return variance / 2  # (2.13)


def growth(units, weight_variance, depth):
    """Var[z] in the last of `depth` ReLU layers of equal width, over that in the first (2.14)."""
    return (units * weight_variance / 2) ** (depth - 1)  # (2.14)


def weight_variances(inputs, outputs):
    """The variances of a weight by He and by Glorot (2.15)."""
    return 2 / inputs, 2 / (inputs + outputs)  # (2.15)


def error_before(units_above, weight_variance, derivative_squared, error_squared):
    """The mean square of the error signal one layer further back (2.16)."""
    return units_above * weight_variance * derivative_squared * error_squared  # (2.16)


# %% [markdown]
# The proofs let the weights be $\pm a$ and go through *every* choice of signs: for (2.14), $2^{80}$ networks.


# %% tags=["aside"]
# @title What proofs (2.12) to (2.16) compare with
def variance_by_all_signs(a, h):
    """The variance of w . h over all w of entries a or -a and over the rows of h (count, n), equally likely."""
    return np.var([np.dot(signs, row) for signs in product((-a, a), repeat=h.shape[1]) for row in h])


def our_variance(a, h):
    return variance_of_sum(h.shape[1], a**2, np.mean(h**2))


def half_of(name, scale):
    return after_relu(getattr(stats, name)(scale=scale).var())


def integrated(name, scale):
    density = getattr(stats, name)(scale=scale).pdf
    return integrate.quad(lambda z: z**2 * density(z), 0, 40 * scale, points=[scale], limit=200)[0]


def growth_by_all_signs(weight_variance, depth, x):
    """Var[z] in layer `depth` over that in layer 1, over all networks with len(x) units in each layer."""
    a = np.sqrt(weight_variance)
    every_choice = np.array(list(product((-a, a), repeat=len(x) ** 2))).reshape(-1, len(x), len(x))
    chances, squares = {x: 1.0}, []
    for _ in range(depth):
        after, total = defaultdict(float), 0.0
        for h, chance in chances.items():
            sums = every_choice @ np.array(h)
            total += chance * np.mean(sums[:, 0] ** 2)
            for merged in map(tuple, np.maximum(sums, 0).tolist()):
                after[merged] += chance / len(every_choice)
        chances = after
        squares.append(total)
    return squares[-1] / squares[0]


def our_growth(weight_variance, depth, x):
    return growth(len(x), weight_variance, depth)


DERIVATIVES = {"relu": lambda z: np.heaviside(z, 0.0), "tanh": lambda z: 1 / np.cosh(z) ** 2}  # (1.3)


def our_error(a, z, upstream, f):
    return error_before(len(upstream), a**2, np.mean(DERIVATIVES[f](z) ** 2), np.mean(upstream**2))


def error_by_all_signs(a, z, upstream, f):
    """The mean square of the gradient at z of upstream . W f(z), over all W with entries a or -a."""
    choices = np.array(list(product((-a, a), repeat=len(z) * len(upstream))))
    W = tensor(choices.reshape(-1, len(upstream), len(z)))

    def loss(sums):
        return ops.sum(ops.einsum("wuz,wz,u->w", W, keras.activations.get(f)(sums), tensor(upstream)))

    found = gradient(loss, np.repeat(z[None].astype("float32"), len(choices), axis=0))
    return np.mean(ops.convert_to_numpy(found) ** 2)


def keras_weight_variances(inputs, outputs):
    kinds = (keras.initializers.HeNormal, keras.initializers.GlorotNormal)
    drawn = [kind(seed=int(rng.integers(2**31)))((inputs, outputs)) for kind in kinds]
    return [np.var(ops.convert_to_numpy(weights)) for weights in drawn]


def signed_inputs(count):
    for a in rng.uniform(0.1, 2, count):
        yield float(a), rng.normal(size=(3, 4))


def signed_layers(count):
    for i in range(count):
        yield float(rng.uniform(0.2, 2)), rng.normal(size=3), rng.normal(size=2), ["relu", "tanh"][i % 2]


DISTRIBUTIONS = list(product(("norm", "laplace", "logistic", "cosine"), (0.5, 1.0, 3.0)))
DEEP_CASES = [(variance, depth, x) for variance in (0.25, 1.0, 4.0) for depth in (2, 5, 20) for x in ((1, 3), (2, 5))]
SHAPES = [(784, 100), (100, 784), (300, 300)]

# %%
prove("2.12", our_variance, variance_by_all_signs, cases=signed_inputs(50), name="variance of a sum")
prove("2.13", half_of, integrated, cases=DISTRIBUTIONS, name="half after ReLU")
prove("2.14", our_growth, growth_by_all_signs, cases=DEEP_CASES, name="growth through ReLU layers")
prove("2.15", weight_variances, keras_weight_variances, cases=SHAPES, rtol=0.05)  # of thousands of draws
prove("2.16", our_error, error_by_all_signs, cases=signed_layers(30), name="error signal one layer back", rtol=1e-3)


# %% tags=["aside"]
# @title What sends digits through layers
def through(x, depth, units, variance, f):
    """The mean square of z in each layer, and of the error signal in each layer if it is 1 on average at the top.

    x: inputs (count, n). variance: of the weights, times the number of inputs. f: "relu", "tanh" or "sigmoid".
    """
    activation = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": special.expit}[f]
    derivative = DERIVATIVES.get(f, lambda z: special.expit(z) * special.expit(-z))
    h, matrices, sums = x, [], []
    for _ in range(depth):
        matrices.append(rng.normal(size=(units, h.shape[1])) * np.sqrt(variance / h.shape[1]))
        sums.append(h @ matrices[-1].T)
        h = activation(sums[-1])
    errors = [rng.normal(size=sums[-1].shape)]
    for W, z in zip(matrices[:0:-1], sums[-2::-1]):
        errors.append(errors[-1] @ W * derivative(z))
    return [[np.mean(values**2) for values in series] for series in (sums, errors[::-1])]


# %% tags=["aside"]
# @title Sends digits through twenty layers and draws figure 2.6
depths = np.arange(1, 21)
settings = [("sigmoid", 1.0), ("tanh", 1.0), ("relu", 1.0), ("relu", 2.0), ("relu", 4.0)]
sent = {setting: [through(images[:50], 20, 200, setting[1], setting[0]) for _ in range(5)] for setting in settings}
signal_kept = {scale: [there[-1] / there[0] for there, _ in sent["relu", scale]] for scale in (1.0, 2.0, 4.0)}

figure, axes = plt.subplots(1, 2, figsize=(9, 3.3))
for (f, scale), colour in zip(settings[2:], plots.COLOURS):
    runs = [there for there, _ in sent[f, scale]]
    predicted = np.mean([run[0] for run in runs]) * growth(200, scale / 200, depths)
    axes[0].plot(depths, np.transpose(runs), "-", color=colour, linewidth=0.8, alpha=0.7)
    axes[0].plot(depths, predicted, ":", color="black", linewidth=1.2)
    axes[0].text(20.4, predicted[-1], f"${scale:.0f}/n$" + " (He)" * (scale == 2), va="center")
for (f, scale), line, colour in zip(settings[:4], plots.LINES, plots.COLOURS):
    typical = np.exp(np.mean([np.log(back) for _, back in sent[f, scale]], axis=0))
    axes[1].plot(depths, typical, linestyle=line, color=colour, label=f"{f}, ${scale:.0f}/n$")
axes[0].set(title="forward: the signal", xlabel="layer", ylabel="mean square of $z$", xlim=(0, 26), yscale="log")
axes[1].set(title="backward: the error signal", xlabel="layer", ylabel="mean square of $\\delta$", yscale="log")
axes[1].legend(title="activation, $\\mathrm{Var}[w]$", fontsize=8)
for axis in axes:
    axis.set_xticks([1, 5, 10, 15, 20])
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.6. Digits on their way through twenty random layers of $n=200$ units. Left: ReLU, five networks of each
# kind; dotted, (2.14). Right: the error signal on its way back, from 1 at layer 20, the geometric mean of five.*


# %% tags=["aside"]
# @title What claim 2.3 measures
def is_kept(scale):
    """Whether all five networks keep the mean square of z within a factor of 20 over 19 layers."""
    return all(1 / 20 < share < 20 for share in signal_kept[scale])


# %%
claim(
    "2.3",
    "through 20 ReLU layers each of five networks with He's variance keeps the mean square of z within a factor of 20; "
    "with half or twice that variance it changes over 1,000-fold in each",
    is_kept(2.0) and min(signal_kept[4.0]) > 1000 and max(signal_kept[1.0]) < 1 / 1000,
    control=is_kept(1.0) or is_kept(4.0),
)

# %% [markdown]
# ## Normalise instead of hoping
#
# He's weights are right at first. Then training moves them. **Batch normalisation** (Ioffe and Szegedy, 2015)
# keeps the signal in range by force. For each unit, take mean and variance of its pre-activation over the mini-batch,
# normalise, and let the network learn a scale $\gamma$ and a shift $\beta$:
#
# $$ \hat z = \frac{z - \mathbb{E}_B[z]}{\sqrt{\mathrm{Var}_B[z] + \varepsilon}}, \qquad h = f(\gamma \hat z + \beta)
#    \tag{2.17} $$
#
# Pre-activations of 1, 3, 5, 7 in a mini-batch of four have mean 4 and variance 5 (the plain mean of the squared
# distances), and become $-1.34,-0.45,0.45,1.34$.
#
# **Which axes?** After a dense layer, (batch, units), each unit is normalised over axis 0. From chapter 03 on, a layer
# may put out an image for each unit: (batch, height, width, units). All its places use the same weights, so they share
# statistics: mean and variance run over *all axes but the last*, and each unit has one mean, variance, $\gamma$ and
# $\beta$ (in Keras `axis=-1`, the default).
#
# What an example gets depends on the others in its mini-batch. In **inference**, when the network is used and not
# trained, there may be no others. For it the layer keeps running means, begun at 0 and 1 and not corrected:
#
# $$ \begin{gathered} \bar z \leftarrow \rho\, \bar z + (1 - \rho)\, \mathbb{E}_B[z], \qquad
#    \bar\nu \leftarrow \rho\, \bar\nu + (1 - \rho)\, \mathrm{Var}_B[z], \\
#    \hat z = \frac{z - \bar z}{\sqrt{\bar\nu + \varepsilon}} \end{gathered} \tag{2.18} $$
#
# In Keras $\rho$ is called `momentum` and is 0.99 by default: after 100 steps, more than a third of a running mean is
# still its start. In short trainings say 0.9.


# %%
def normalise(z, gamma, beta, epsilon=1e-3):
    """Batch normalisation in training (2.17), without f: z (batch, units) or (batch, height, width, units)."""
    axes = tuple(range(z.ndim - 1))  # all but the last
    z_hat = (z - z.mean(axes)) / np.sqrt(z.var(axes) + epsilon)  # (2.17)
    return gamma * z_hat + beta


def running_statistics(batches, rho):
    """The running mean and variance (units,) after some mini-batches (count, batch, units), as in (2.18)."""
    mean, variance = np.zeros(batches.shape[-1]), np.ones(batches.shape[-1])
    for z in batches:
        mean = rho * mean + (1 - rho) * z.mean(axis=0)
        variance = rho * variance + (1 - rho) * z.var(axis=0)  # (2.18)
    return mean, variance


# %% tags=["aside"]
# @title What proofs (2.17) and (2.18) compare with
def keras_normalise(z, gamma, beta):
    layer = layers.BatchNormalization()
    layer.build(z.shape)
    layer.set_weights([gamma, beta, np.zeros(len(beta)), np.ones(len(beta))])
    return layer(z.astype("float32"), training=True)


def in_inference(batches, z, rho):
    mean, variance = running_statistics(batches, rho)
    return mean, variance, (z - mean) / np.sqrt(variance + 1e-3)


def keras_in_inference(batches, z, rho):
    layer = layers.BatchNormalization(momentum=rho)
    layer.build(z.shape)
    for batch in batches:
        layer(batch.astype("float32"), training=True)
    return layer.moving_mean, layer.moving_variance, layer(z.astype("float32"), training=False)


def batches_of_sums(count):
    for _ in range(count):
        scale, shift = rng.uniform(0.5, 3, 4), rng.normal(size=4)
        yield shift + scale * rng.normal(size=(5, 8, 4)), rng.normal(size=(3, 4)), float(rng.uniform(0.5, 0.99))


def sums_of_two_shapes(count):
    for i in range(count):
        z = rng.uniform(0.5, 3, 4) * rng.normal(size=[(8, 4), (3, 2, 5, 4)][i % 2])
        yield z, rng.normal(size=4), rng.normal(size=4)


# %%
prove("2.17", normalise, keras_normalise, cases=sums_of_two_shapes(30), rtol=1e-3, atol=1e-4)
prove("2.18", in_inference, keras_in_inference, cases=batches_of_sums(20), rtol=1e-3, atol=1e-4)

# %% [markdown]
# **Question 2.c.** A layer puts out an array of shape (64, 28, 28, 16), and `BatchNormalization()` follows. What is the
# shape of $\gamma$?

# %%
ask(
    "2.c",
    (16,),
    why="Mean and variance run over the axes 0, 1 and 2. Each of the 16 units has one scale and one shift.",
    hint="One scale for each unit, wherever in the image: which axis counts the units?",
)

# %% [markdown]
# In a network it stands between the dense layer and the activation function:


# %%
def network(hidden, scale=2.0, normalise=False, dropout=0.0):
    """A multi-layer perceptron for digits as rows (batch, 784); Var[w] = scale / inputs, and 2.0 is He's."""
    net = keras.Sequential([keras.Input((784,))])
    for units in hidden:
        drawn = keras.initializers.VarianceScaling(scale, "fan_in", "untruncated_normal")
        net.add(layers.Dense(units, kernel_initializer=drawn))
        if normalise:
            net.add(layers.BatchNormalization(momentum=0.9))
        net.add(layers.Activation("relu"))
        net.add(layers.Dropout(dropout))  # of which later
    net.add(layers.Dense(10))
    return net


# %% [markdown]
# Try it on ten hidden layers and 2,000 digits: He's variance and a hundredth of it, with and without normalisation, at
# ten learning rates. A rival is **gradient clipping** (Pascanu et al., 2013): a gradient longer than 0.3 is shortened
# to 0.3.

# %%
LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
KINDS = [(2.0, "none"), (2.0, "clipping"), (2.0, "normalised"), (0.02, "none"), (0.02, "normalised")]
EPOCHS = budget(quick=6, full=12, least=2)


@cache
def deep_network(scale, remedy):
    """A function that gives such a network, compiled, with new random weights each time."""
    optimizer = keras.optimizers.SGD(global_clipnorm=0.3 if remedy == "clipping" else None)
    return renewable(lambda: network([100] * 10, scale, normalise=remedy == "normalised"), optimizer)


def deep_accuracy(scale, remedy, rate, run=0, digits=None):
    """Accuracy after a training, on the validation set or on other digits; run: a number that all chance rests on."""
    keras.utils.set_random_seed(100 * seed() + run)
    net = deep_network(scale, remedy)(rate)
    net.fit(images, labels, batch_size=50, epochs=EPOCHS, verbose=0)
    return accuracy(net, *(digits or validation))


def on_test_digits(scale, remedy, rate):
    return [deep_accuracy(scale, remedy, rate, run, test) for run in range(1, RUNS + 1)]


# %%
choices = [{"scale": scale, "remedy": name, "rate": rate} for scale, name in KINDS for rate in LEARNING_RATES]
deep = sweep("2.4", choices, deep_accuracy)
best = dict.fromkeys(KINDS, 0.03)
best |= {(row["scale"], row["remedy"]): row["rate"] for row in sorted(deep, key=lambda row: row["value"])}

# %% tags=["aside"]
# @title Draws figure 2.7
figure, axis = plt.subplots(figsize=(9, 3.2))
curves = {}
for scale, remedy in KINDS:
    name = ("He's variance" if scale == 2 else "a hundredth of it") + f", {remedy}" * (remedy != "none")
    found = [row["value"] for row in deep if (row["scale"], row["remedy"]) == (scale, remedy)]
    curves[name] = found or [np.nan] * len(LEARNING_RATES)
levels = {"guessing": 0.1}
plots.draw_curves(axis, curves, "learning rate", "accuracy, validation set", x=LEARNING_RATES, levels=levels)
axis.set(xscale="log", ylim=(0, 1))
axis.set_xticks(LEARNING_RATES, [f"{rate:g}" for rate in LEARNING_RATES])
axis.minorticks_off()
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.7. Ten hidden layers after a short training at ten learning rates, one run each (a recorded sweep).*


# %% tags=["aside"]
# @title What claims 2.4 and 2.5 measure
def is_stuck(scale, remedy):
    """Whether at the best of ten rates, in each run, less than 20 % of the test digits are classified correctly."""
    return max(on_test_digits(scale, remedy, best[scale, remedy])) < 0.2


def tolerates(remedy):
    """Whether He's weights reach 60 % of the test digits at a learning rate of 1, in each run."""
    return min(on_test_digits(2.0, remedy, 1.0)) > 0.6


# %%
claim(
    "2.4",
    "ten hidden layers with a hundredth of He's variance stay below 20 % of the test digits, at the best of ten rates",
    is_stuck(0.02, "none"),
    control=is_stuck(2.0, "none") or is_stuck(0.02, "normalised"),
)

# %%
claim(
    "2.5",
    "at a learning rate of 1, ten hidden layers with He's variance pass 60 % of the test digits if they are "
    "normalised, and also if the gradient is clipped",
    tolerates("normalised") and tolerates("clipping"),
    control=tolerates("none"),
)

# %% [markdown]
# With too small a start the plain network never leaves guessing. He's weights train, at a few rates. Clipping tolerates
# higher ones, as normalisation does. But it lengthens no vanishing gradient; normalisation forgives the start, too.
#
# Yet the start is felt: in Figure 2.7 the small weights, normalised, learn at 0.001 about as well as He's at 0.1.
# Multiply all weights $w$ of a layer by $c$. But for $\varepsilon$, (2.17) puts out the same, so the derivative is $c$
# times smaller, and relative to the weights a step is $c^2$ times shorter. The effective rate of a normalised layer is
# $\alpha/\lVert w\rVert^2$ (van Laarhoven, 2017): for a hundredth of the variance, a hundred times higher.
#
# *Why* it helps is disputed. Ioffe and Szegedy wanted to keep the distribution of each layer's inputs from shifting
# while the layers below learn. Santurkar et al. (2018) made it shift by noise behind the normalisation, and trained
# nearly as fast. They find instead that the gradient changes less along a step, so that longer steps still go down.
#
# ## Overfitting
#
# Now the right of Figure 2.1. A network of 118,282 parameters can tell a thousand digits apart by accidents that hold
# for no others. That is **overfitting**, the failure of **generalisation**. It shows on digits that were not trained
# on: on a **validation set**, by which **hyperparameters** (learning rate, widths, strengths) are chosen, and on a test
# set, which judges at the end.
#
# One remedy: weights cost something. The **L2 penalty** adds their squares to the loss, and to the gradient a term that
# pulls every weight towards 0:
#
# $$ L_\lambda = L + \frac{\lambda}{2} \sum_i \theta_i^2, \qquad
#    \nabla_\theta L_\lambda = \nabla_\theta L + \lambda \theta \tag{2.19} $$
#
# For plain descent that is **weight decay** (Krogh and Hertz, 1992): let every weight shrink by a factor, then make the
# step that you would have made without a penalty.
#
# $$ \theta \leftarrow \theta - \alpha\,(g + \lambda \theta) = (1 - \alpha \lambda)\, \theta - \alpha g \tag{2.20} $$
#
# With $\alpha=0.1$ and $\lambda=0.01$, a weight without gradient has $0.999^{1000}\approx37\,\%$ left after 1,000
# steps.


# %%
def penalty_gradient(theta, strength):
    """What an L2 penalty adds to the gradient (2.19)."""
    return strength * theta  # (2.19)


def decay(theta, rate, strength):
    """The weights after decaying for one step; the step without a penalty follows, with the old gradient (2.20)."""
    return (1 - rate * strength) * theta  # (2.20)


def penalised_layer(units, strength):
    """A dense layer with an L2 penalty. Keras leaves out the half of (2.19), so its number is half of lambda."""
    return layers.Dense(units, kernel_regularizer=keras.regularizers.L2(strength / 2))


def decaying_sgd(rate, strength):
    """Plain descent with weight decay (2.20); AdamW takes the same argument."""
    return keras.optimizers.SGD(rate, weight_decay=strength)


# %% tags=["aside"]
# @title What proofs (2.19) and (2.20) compare with
def keras_penalty_gradient(theta, strength):
    layer = penalised_layer(theta.shape[1], strength)
    layer.build((None, theta.shape[0]))
    return gradient(layer.kernel_regularizer, theta.astype("float32"))


def both_paths(theta, gradients, rate, strength):
    penalised, decayed = [theta], [theta]
    for g in gradients:
        penalised.append(descend(penalised[-1], g + penalty_gradient(penalised[-1], strength), {}, rate)[0])
        decayed.append(descend(decay(decayed[-1], rate, strength), g, {}, rate)[0])
    return np.array(penalised[1:]), np.array(decayed[1:])


def keras_decaying_path(theta, gradients, rate, strength):
    path = keras_walk(decaying_sgd(rate, strength), theta, gradients)
    return path, path


def weights_and_strengths(count):
    return ((rng.normal(size=(4, 3)), float(strength)) for strength in rng.random(count))


# %%
prove("2.19", penalty_gradient, keras_penalty_gradient, cases=weights_and_strengths(50))
prove("2.20", both_paths, keras_decaying_path, cases=gradients_and_rates(20), rtol=1e-4, atol=1e-5)

# %% [markdown]
# For Adam the two are not the same. Take 500 *quiet* weights whose gradients are noise of size 0.1, and 500 *loud* ones
# with noise of size 10. None is needed, so all should go to 0 alike.

# %%
RATE, STRENGTH = 0.01, 0.2
means = {}  # the mean of the quiet and of the loud weights, after each step
for name in ("penalty in the loss", "decay beside the step"):
    theta, memory, means[name] = np.ones((2, 500)), {}, []
    for _ in range(300):
        g = rng.normal(size=theta.shape) * [[0.1], [10.0]]
        if name == "penalty in the loss":
            theta, memory = adam(theta, g + penalty_gradient(theta, STRENGTH), memory, RATE)
        else:
            theta, memory = adam(decay(theta, RATE, STRENGTH), g, memory, RATE)
        means[name].append(theta.mean(axis=1))

# %% tags=["aside"]
# @title Draws figure 2.8
figure, axes = plt.subplots(1, 2, figsize=(8, 2.7), sharey=True)
for axis, (name, values) in zip(axes, means.items()):
    quiet, loud = np.transpose(values)
    axis.plot(quiet, label="quiet weights")
    axis.plot(loud, label="loud weights")
    axis.plot((1 - RATE * STRENGTH) ** np.arange(300), ":", color="black", label="$(1 - \\alpha\\lambda)^t$")
    axis.set(title=f"Adam, {name}", xlabel="step", ylim=(-0.1, 1.1))
axes[0].set_ylabel("mean weight")
axes[1].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.8. Left: a penalty in the loss is divided by each weight's usual gradient. The quiet weights lose all, the
# loud ones hardly anything. Right: beside the step, both decay as (2.20) says (dotted).*


# %% tags=["aside"]
# @title What claim 2.6 measures
def is_spared(name):
    """Whether the loud weights end over 0.7 above the quiet ones."""
    quiet, loud = means[name][-1]
    return loud - quiet > 0.7


# %%
claim(
    "2.6",
    "after 300 steps of Adam with a penalty in the loss, the loud weights stand over 0.7 above the quiet ones",
    is_spared("penalty in the loss"),
    control=is_spared("decay beside the step"),
)

# %% [markdown]
# Decay beside Adam's step is AdamW (Loshchilov and Hutter, 2019). You will write it in exercise 2.2.
#
# ## Dropout and early stopping
#
# **Dropout** (Srivastava et al., 2014) makes units unreliable, so that none can count on another. In each training step
# each unit is set to 0 with probability $q$, anew for each example, and the others are divided by $1-q$, so that the
# next layer gets the same on average. With a mask $M$ of zeros and ones:
#
# $$ \tilde h = \frac{M \odot h}{1 - q}, \qquad M_i = 1 \text{ with probability } 1 - q, \text{ else } 0 \tag{2.21} $$
#
# With $q=1/4$, a unit of $h=3$ becomes 4 in three of four steps and 0 in the fourth: 3 on average. As
# $\mathbb{E}[\tilde h^2]=h^2/(1-q)$, the noise that it adds is this minus $h^2$:
#
# $$ \mathbb{E}[\tilde h] = h, \qquad \mathrm{Var}[\tilde h] = \frac{q}{1 - q}\, h^2 \tag{2.22} $$
#
# In inference nothing is dropped and nothing divided. (The paper multiplied the weights by $1-q$ after training
# instead; this is *inverted* dropout.)


# %%
def drop(h, kept, share):
    """Inverted dropout (2.21): h and kept, of ones and zeros, both (batch, units); share: q, dropped on average."""
    return kept * h / (1 - share)  # (2.21)


def dropout_statistics(h, share):
    """Mean and variance of what comes out (2.22)."""
    return h, share / (1 - share) * h**2  # (2.22)


# %% tags=["aside"]
# @title What proofs (2.21) and (2.22) compare with
def drop_like_keras(h, share):
    """Dropout with the choice that Keras makes on numbers other than 0."""
    return drop(h, ops.convert_to_numpy(keras_dropout(h, share)) != 0, share)


def keras_dropout(h, share):
    return layers.Dropout(share, seed=1)(tensor(h), training=True)


def statistics_of_all_masks(h, share):
    """Mean and variance over every choice of survivors, each with its probability."""
    masks = np.array(list(product((0, 1), repeat=len(h))))
    chances = np.prod(np.where(masks, 1 - share, share), axis=1)
    out = np.where(masks, h / (1 - share), 0)
    mean = chances @ out
    return mean, chances @ (out - mean) ** 2


def units_and_shares(*shape):
    for share in rng.uniform(0.1, 0.9, 30):
        yield rng.normal(size=shape), float(share)


# %%
prove("2.21", drop_like_keras, keras_dropout, cases=units_and_shares(4, 6), name="inverted dropout", rtol=1e-4)
prove("2.22", dropout_statistics, statistics_of_all_masks, cases=units_and_shares(5))

# %% [markdown]
# **Early stopping** (Prechelt, 1998) needs no equation: watch the loss on the validation set, stop when it has not
# fallen for some epochs (the *patience*), and go back to the best weights.
#
# ## Which of them helps, and when?
#
# Take a thousand digits, with the right labels and with 40 % of them drawn anew at random, one hidden layer and 800
# steps of Adam at a rate of 0.003: enough to fit even random labels. Each regulariser gets the strength that suits it
# best on the validation set. A rival is no regulariser at all, but a smaller rate.

# %%
STRENGTHS = {
    "none": (0.0,),
    "small rate": (0.0001, 0.0003, 0.001),
    "early stopping": (0.0,),
    "weight decay": (0.3, 1.0, 3.0, 10.0, 30.0),
    "dropout": (0.1, 0.3, 0.5, 0.7, 0.9),
}
NOISE = {"right labels": 0.0, "40 % random": 0.4}  # the share of labels that are drawn anew


@cache
def regularised(method, strength):
    dropout = strength if method == "dropout" else 0.0
    rate = strength if method == "small rate" else 0.003
    optimizer = keras.optimizers.AdamW(rate, weight_decay=strength if method == "weight decay" else 0.0)
    return renewable(lambda: network([100], dropout=dropout), optimizer)


# %%
def trained(method, strength, noise, run, epochs=40):
    """A network trained on 1,000 digits, and which share of their labels it fits; all chance rests on run."""
    keras.utils.set_random_seed(100 * seed() + run)
    draw = np.random.default_rng([seed(), run])
    some = draw.choice(len(images), 1000, replace=False)
    given = np.where(draw.random(1000) < noise, draw.integers(10, size=1000), labels[some])
    stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)  # it watches val_loss
    options = {"callbacks": [stop], "validation_data": validation} if method == "early stopping" else {}
    net = regularised(method, strength)()
    net.fit(images[some], given, batch_size=50, epochs=epochs, verbose=0, **options)
    return net, accuracy(net, images[some], given)


def validated(method, strength, noise, epochs):
    net, fitted = trained(method, strength, noise, 0, epochs)
    return {"value": accuracy(net, *validation), "fitted": fitted}


# %%
settings = [
    {"method": method, "strength": strength, "noise": noise, "epochs": 40}
    for noise in NOISE.values()
    for method, strengths in STRENGTHS.items()
    for strength in strengths
]
longer = {"method": "small rate", "strength": 0.0003, "noise": 0.4, "epochs": 200}
table = sweep("2.7", [*settings, longer], validated)[: len(settings)]
best = {(m, noise): strengths[len(strengths) // 2] for m, strengths in STRENGTHS.items() for noise in NOISE.values()}
best |= {(row["method"], row["noise"]): row["strength"] for row in sorted(table, key=lambda row: row["value"])}

reached, fitted, first_layers = defaultdict(list), defaultdict(list), {}
for (method, noise), strength in best.items():
    for run in range(1, RUNS + 1):
        net, share = trained(method, strength, noise, run)
        reached[method, noise].append(accuracy(net, *test))
        fitted[method, noise].append(share)
        first_layers[method, noise] = net.get_weights()[0]

# %% tags=["aside"]
# @title Draws figure 2.9
figure, axes = plt.subplots(1, 2, figsize=(9.2, 2.6))
for axis, (name, noise) in zip(axes, NOISE.items()):
    bars = {method: [100 * share for share in reached[method, noise]] for method in STRENGTHS}
    plots.draw_bars(axis, bars, "accuracy on test digits (%)", f"1,000 digits, {name}")
    axis.set(xlim=(60, 114), xticks=range(60, 101, 10))
    for row, (method, values) in enumerate(bars.items()):
        strength = f"{best[method, noise]:g}: " if best[method, noise] else ""
        axis.text(114, row, f"{strength}{np.mean(values):.1f}", ha="right", va="center", fontsize=8)
axes[1].set_yticklabels([])
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.9. Accuracy on test digits, mean of the runs (circles), each at its best strength of a recorded sweep
# (before the mean).*


# %% tags=["aside"]
# @title What claim 2.7 measures
def errors_spared(noise):
    """Which share of the errors of no regulariser each of them spares, as means of the runs."""
    errors = {method: 1 - np.mean(reached[method, noise]) for method in STRENGTHS}
    return [1 - errors[method] / errors["none"] for method in STRENGTHS if method != "none"]


# %%
claim(
    "2.7",
    "with 40 % random labels weight decay, dropout, early stopping and a small rate each spare over a fifth of the "
    "errors of a network that fits over 95 % of its labels",
    min(fitted["none", 0.4]) > 0.95 and min(errors_spared(0.4)) > 0.2,
    control=max(errors_spared(0.0)) > 0.2,
)

# %% [markdown]
# To fit a random label, a network has to learn that one digit by heart. Decay and dropout make that hard, and early
# stopping leaves before it happens, for what many digits agree on is learned first (Arpit et al., 2017). The small rate
# is early stopping in disguise: at 0.0003, after 4,000 steps in place of 800, it had fitted over 99 % of the labels and
# fallen from 79 to 64 % of the validation set (recorded sweep). With right labels there is less to repair, and none of
# the four gains much.
#
# ## A look inside: what decay wipes away
#
# In chapter 01 the weights of always black pixels stayed random, for no gradient reaches them. Here:

# %% tags=["aside"]
# @title Draws figure 2.10
shown = ("none", "weight decay", "dropout")
figure, axes = plt.subplots(3, 9, figsize=(9, 3.3))
for row, method in zip(axes, shown):
    for axis, weights in zip(row, first_layers[method, 0.0].T):
        plots.draw_image(axis, weights.reshape(28, 28), signed=True, limits=0.25)
    black = first_layers[method, 0.0][images.max(axis=0) == 0]  # weights of pixels that are always black
    row[0].set_ylabel(f"{method}\n{black.std() / np.sqrt(2 / 784):.0%}")
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 2.10. The weights of nine hidden units of each network; purple positive, orange negative, white 0. Left: the
# spread of those of always black pixels, as a share of the initial one.*
#
# Without decay the random start stays. With it, what no digit speaks for fades at the pace of (2.20).
#
# ## Debug it
#
# This function was copied from a training loop to where a finished network, with batch normalisation and dropout, is
# used. Nothing warns.


# %%
def predictions(model, x, together):
    """What the model predicts for x, a number of digits at a time."""
    logits = [model(x[i : i + together], training=True) for i in range(0, len(x), together)]
    return np.concatenate([ops.convert_to_numpy(part) for part in logits]).argmax(axis=1)


# %%
finished = network([100, 100], normalise=True, dropout=0.3)
finished.compile(keras.optimizers.Adam(0.003), LOSS)
finished.fit(images, labels, batch_size=50, epochs=budget(quick=6, full=20, least=1), verbose=0)

# %% tags=["aside"]
# @title Draws figure 2.11
some, wanted = test[0][:128], test[1][:128]
as_trained, right = finished.get_weights(), accuracy(finished, some, wanted)
sizes, shares, twice = [1, 2, 4, 8, 16, 32, 128], [], []
for size in sizes:
    finished.set_weights(as_trained)
    first, second = (predictions(finished, some, size) for _ in range(2))
    shares.append(np.mean(first == wanted))
    twice.append(np.mean(first == second))
finished.set_weights(as_trained)

figure, axis = plt.subplots(figsize=(6.8, 2.9))
curves = {"correct, as copied": shares, "the same prediction when asked again": twice}
levels = {"correct, in inference mode": right, "guessing": 0.1}
plots.draw_curves(axis, curves, "digits at a time", "share of 128 digits", x=sizes, levels=levels)
axis.set(xscale="log", ylim=(0, 1.05))
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
plt.show()

# %% [markdown]
# *Figure 2.11. One network and the same 128 digits, given to the copied function one at a time, two at a time, and so
# on.*
#
# With many digits at a time it is nearly right, with one it guesses, and asked twice it contradicts itself.
#
# `training=True` leaves both layers in training mode. Dropout goes on dropping units. Batch normalisation takes mean
# and variance of what is there; a single digit is its own mean, so $\hat z=0$, whatever it is. And unseen, the running
# means of (2.18) go on moving: *asking changes the network*. `predict`, `evaluate` and a plain call `model(x)` use
# inference mode. The habit to keep: **ask twice, and once with other examples beside it: the answers must agree.**


# %% tags=["aside"]
# @title What claim 2.8 measures
def is_broken(one_at_a_time, again):
    """Whether less than 30 % of the digits are classified correctly, and some differently when asked again."""
    return one_at_a_time < 0.3 and again < 1


# %%
claim(
    "2.8",
    "in training mode, a network that classifies over 75 % of the digits correctly gets less than 30 % of them, given "
    "one at a time, and contradicts itself",
    right > 0.75 and is_broken(shares[0], max(twice)),
    control=is_broken(right, np.mean(predict(finished, some).argmax(1) == predict(finished, some).argmax(1))),
)

# %% [markdown]
# ## This run, and what is next

# %%
record(
    accuracy_none=np.mean(reached["none", 0.0]),
    accuracy_random_labels=np.mean(reached["none", 0.4]),
    accuracy_random_labels_decay=np.mean(reached["weight decay", 0.4]),
    accuracy_random_labels_small_rate=np.mean(reached["small rate", 0.4]),
    accuracy_random_labels_dropout=np.mean(reached["dropout", 0.4]),
    accuracy_random_labels_early_stopping=np.mean(reached["early stopping", 0.4]),
)

# %% [markdown]
# To all these networks a digit is 784 numbers in no order: exchange two pixels in all digits, and nothing would change.
# Chapter 03 makes a layer that knows which pixels are neighbours.

# %% [markdown]
# ## Exercises
#
# **Exercise 2.1 ★★** How fast is momentum in a bowl? In a direction of curvature $\kappa$, a step (2.7) makes of
# $\theta$ and $v$ two weighted sums of both: a 2 × 2 matrix. In the long run each step multiplies the distance by the
# largest absolute value of its eigenvalues, which may be complex.


# %%
# Exercise 2.1
def momentum_factor(curvatures, rate, mu):
    """By which factor each step of momentum (2.7) multiplies the distance from the bottom of a
    bowl, in the long run and in the slowest direction.

    curvatures: those of the bowl, a list or array of floats, at least one. rate: the learning
    rate. mu: the momentum coefficient, at least 0 and below 1. Returns a float: below 1 where
    momentum converges.
    Example: momentum_factor([1.0, 4.0], 0.25, 0.0) is 0.75, as for plain descent.
    """
    ### BEGIN SOLUTION
    factors = []
    for kappa in curvatures:
        step = np.array([[1 - rate * kappa, mu], [-rate * kappa, mu]])  # takes (theta, v) to their next values
        factors.append(np.abs(np.linalg.eigvals(step)).max())
    return float(max(factors))
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("2.1")
ex.hints(
    "Write the new velocity as a weighted sum of theta and v. Put that into theta + v, and sort by theta and v.",
    "The first row of the matrix makes the new theta, the second the new v. Then ask `np.linalg.eigvals`.",
    "The size of a complex number is its absolute value. Of the two take the larger, of all directions the slowest.",
)


@ex.cases
def _(rng):
    yield [1.0, 4.0], 0.25, 0.0
    yield [1.0, 4.0], 0.25, 0.5
    yield [1.0, 4.0], 0.75, 0.25
    yield [0.5], 0.25, 0.9
    yield np.array([2.0, 100.0]), 0.03, 0.9
    yield np.array([2.0, 100.0, 3.0]), 0.02, 0.0
    yield [0.0, 1.0], 0.5, 0.5
    yield [-1.0, 2.0], 0.125, 0.5
    yield [3.0, 0.01, 5.0], 0.25, 0.8
    for _ in range(20):
        curvatures = rng.integers(1, 400, rng.integers(1, 5)) / 20
        yield curvatures, float(rng.choice([0.01, 0.03, 0.07, 0.11, 0.31])), float(rng.choice([0.1, 0.5, 0.8, 0.9]))


@ex.oracle
def _(curvatures, rate, mu):
    roots = [np.roots([1, rate * kappa - 1 - mu, mu]) for kappa in curvatures]  # of the characteristic polynomial
    return float(max(abs(root) for pair in roots for root in pair))


def _factor(curvatures, matrix, size=np.abs, of_both=np.max, of_all=max):
    return float(of_all([of_both(size(np.linalg.eigvals(np.array(matrix(kappa))))) for kappa in curvatures]))


def _step(rate, mu):
    return lambda kappa: [[1 - rate * kappa, mu], [-rate * kappa, mu]]


@ex.wrong
def without_momentum(curvatures, rate, mu):
    """This is plain descent, (2.3): right where mu is 0. With momentum the velocity is part of the state, too."""
    return float(np.abs(1 - rate * np.asarray(curvatures)).max())


@ex.wrong
def effective_rate(curvatures, rate, mu):
    """This is plain descent at the effective rate, which is what a *steady* gradient feels. In a bowl it is not steady:
    follow theta and v together."""
    return float(np.abs(1 - rate / (1 - mu) * np.asarray(curvatures)).max())


@ex.wrong
def real_parts(curvatures, rate, mu):
    """Where momentum swings, the eigenvalues are complex. Their size is the absolute value, of which the real part is
    only a part."""
    return _factor(curvatures, _step(rate, mu), size=lambda values: np.abs(np.real(values)))


@ex.wrong
def always_swinging(curvatures, rate, mu):
    """The root of mu is the answer only where the eigenvalues are complex. In a direction that is too flat, or too
    steep, they are real."""
    return float(np.sqrt(mu))


@ex.wrong
def fastest_direction(curvatures, rate, mu):
    """The slowest direction decides: the one with the largest factor."""
    return _factor(curvatures, _step(rate, mu), of_all=min)


@ex.wrong
def smaller_eigenvalue(curvatures, rate, mu):
    """A matrix has two eigenvalues. In the long run the larger one is left."""
    return _factor(curvatures, _step(rate, mu), of_both=np.min)


@ex.wrong
def steepest_only(curvatures, rate, mu):
    """The steepest direction is not always the slowest one: look at all of them."""
    return _factor([max(curvatures)], _step(rate, mu))


@ex.wrong
def old_velocity(curvatures, rate, mu):
    """In (2.7) the parameters move by the *new* velocity, in which the gradient of this step already is."""
    return _factor(curvatures, lambda kappa: [[1, mu], [-rate * kappa, mu]])


@ex.wrong
def uphill(curvatures, rate, mu):
    """Your velocity goes uphill: in (2.7) the gradient is subtracted."""
    return _factor(curvatures, lambda kappa: [[1 + rate * kappa, mu], [rate * kappa, mu]])


@ex.right
def by_roots(curvatures, rate, mu):
    worst = 0.0
    for kappa in curvatures:
        pair = np.roots([1.0, rate * kappa - mu - 1, mu])  # of the characteristic polynomial
        worst = max(worst, np.abs(pair).max())
    return float(worst)


ex.equivalent(
    "by_roots: '1 - (rate * kappa - mu)' for 'rate * kappa - mu - 1' in "
    "'pair = np.roots([1.0, rate * kappa - mu - 1, mu])'",
    "both roots change their sign, and none its size",
)


# %%
check("2.1", momentum_factor)

# %% [markdown]
# **Exercise 2.2 ★★** AdamW, as in the paper: divide both running means by the sums of their weights, *then* add
# $\varepsilon$ to the root (in (2.11) it comes before), and let the weights decay beside the step.


# %%
# Exercise 2.2
def adamw(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """Where AdamW has gone after a number of given gradients.

    theta: parameters, floats (n,). gradients: the gradient at each step, floats (steps, n). rate:
    the learning rate. beta_1, beta_2: what the running means of the gradient and of its square
    keep in a step. epsilon: added to the root of the corrected mean square. strength: of the decoupled
    weight decay. Returns an array (n,). Raises ValueError where axis 1 of gradients does not have
    the size of theta; the message names both sizes.
    Source: Loshchilov & Hutter, Decoupled weight decay regularization, 2019, algorithm 2. (The
    paper also has a multiplier eta of the whole step: here eta is the rate, and its alpha 1.)
    Example: adamw(np.array([1.0]), np.array([[-3.0]]), rate=0.1, strength=0.5) is [1.05], but
    for epsilon.
    """
    ### BEGIN SOLUTION
    if gradients.shape[1] != len(theta):
        raise ValueError(
            f"axis 1 of gradients and axis 0 of theta must be equal, not {gradients.shape[1]} and {len(theta)}"
        )
    mean, square = np.zeros(len(theta)), np.zeros(len(theta))
    for t, g in enumerate(gradients, start=1):
        mean = beta_1 * mean + (1 - beta_1) * g
        square = beta_2 * square + (1 - beta_2) * g**2
        step = (mean / (1 - beta_1**t)) / (np.sqrt(square / (1 - beta_2**t)) + epsilon)
        theta = (1 - rate * strength) * theta - rate * step
    return theta
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import numpy as np

ex = exercise("2.2")
ex.hints(
    "Begin with `adam` of the lesson: which of its lines change?",
    "After t steps the weights of a running mean add up to 1 - beta^t. Divide first, then take the root.",
    "Each step is two things: the old weights times (1 - rate * strength), minus the rate times the corrected step.",
)


@ex.cases
def _(rng):
    yield np.array([1.0]), np.array([[-3.0]]), 0.1, 0.9, 0.999, 1e-8, 0.5
    yield np.array([1.0, -2.0]), np.array([[1.0, -4.0], [-2.0, 1.0], [0.5, 2.0]]), 0.25
    yield np.array([1.0, -2.0]), np.array([[5.0, 0.01]]), 0.1, 0.5
    yield np.array([3.0, 1.0]), np.array([[1.0, 2.0], [2.0, -1.0]]), 0.1, 0.9, 0.5
    yield np.array([1.0, 2.0]), np.array([[1e-8, -2e-8]]), 0.5
    yield np.array([4.0]), np.zeros((3, 1)), 0.1, 0.9, 0.999, 1e-8, 0.2
    yield np.array([4.0, 1.0]), np.array([[2.0, -1.0], [1.0, 1.0], [-3.0, 2.0]]), 0.1, 0.9, 0.999, 1e-8, 0.25
    for _ in range(16):
        n, steps = (int(size) for size in rng.integers(2, 5, 2))
        gradients = rng.integers(1, 9, (steps, n)) * rng.choice([-1, 1], (steps, n)) * rng.choice([0.1, 1.0, 10.0], n)
        betas = float(rng.choice([0.5, 0.9])), float(rng.choice([0.9, 0.99, 0.999]))
        rate, strength = float(rng.choice([0.05, 0.1, 0.3])), float(rng.choice([0.0, 0.5, 1.0]))
        yield rng.integers(-8, 9, n) / 4, gradients, rate, *betas, 0.1, strength
    yield np.array([1.0, 2.0, 3.0]), np.ones((4, 1)), 0.1
    yield np.array([1.0]), np.ones((4, 3)), 0.1, 0.9, 0.99, 0.1, 0.5
    yield np.array([1.0, 2.0]), np.ones((5, 3)), 0.1, 0.9, 0.99, 0.1, 0.5


@ex.oracle
def _(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    if gradients.shape[1:] != theta.shape:
        raise naming(ValueError, gradients.shape[1], len(theta))
    for t in range(1, len(gradients) + 1):
        ages = np.arange(t)[::-1]
        mean = np.average(gradients[:t], axis=0, weights=beta_1**ages)
        square = np.average(gradients[:t] ** 2, axis=0, weights=beta_2**ages)
        theta = theta - rate * mean / (np.sqrt(square) + epsilon) - rate * strength * theta
    return theta


def _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, divide=None, **change):
    if gradients.shape[1] != len(theta) and not change.get("careless"):
        raise ValueError(f"gradients of {gradients.shape[1]} do not fit theta of {len(theta)}")
    m = s = 0
    for t, g in enumerate(gradients, start=1):
        if change.get("inside"):
            g = g + strength * theta
        m = beta_1 * m + (1 - beta_1) * g
        s = beta_2 * s + (1 - beta_2) * (g if change.get("unsquared") else g**2)
        c1, c2 = 1 - beta_1**t, 1 - beta_2**t
        if change.get("in_place"):
            m, s = m / c1, s / c2
            c1 = c2 = 1
        step = divide(m, s, c1, c2) if divide else (m / c1) / (np.sqrt(s / c2) + epsilon)
        pull = 0 if change.get("inside") else strength * (theta - rate * step if change.get("after") else theta)
        if change.get("rateless"):
            pull = pull / rate
        theta = theta - rate * step - rate * pull
    return theta


@ex.wrong
def uncorrected(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The running means begin at 0 and have not been corrected for it: the first steps come out far too long. Divide
    each by the sum of its weights, 1 - beta^t."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / (s**0.5 + epsilon))


@ex.wrong
def half_corrected(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The mean of the gradients is corrected, the mean of their squares is not: it begins at 0 as well."""
    return _adamw(
        theta, gradients, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a / (s**0.5 + epsilon)
    )


@ex.wrong
def other_half_corrected(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The mean of the squares is corrected, the mean of the gradients is not: it begins at 0 as well."""
    return _adamw(
        theta, gradients, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / ((s / b) ** 0.5 + epsilon)
    )


@ex.wrong
def corrected_as_at_first(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The first step is right. All others are corrected as if they were the first: the weights add up to 1 - beta^t,
    not to 1 - beta."""

    def divide(m, s, a, b):
        return m / (1 - beta_1) / ((s / (1 - beta_2)) ** 0.5 + epsilon)

    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, divide)


@ex.wrong
def counted_from_two(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """In the corrections t is one too large: at the first step, t is 1."""

    def divide(m, s, a, b):
        return m / (1 - beta_1 * (1 - a)) / ((s / (1 - beta_2 * (1 - b))) ** 0.5 + epsilon)

    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, divide)


@ex.wrong
def new_not_weighted(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The new gradient and its square come in whole. In a running mean they have the weights 1 - beta_1 and 1 -
    beta_2."""

    def divide(m, s, a, b):
        return m / (1 - beta_1) / a / ((s / (1 - beta_2) / b) ** 0.5 + epsilon)

    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, divide)


@ex.wrong
def betas_exchanged(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The betas are exchanged: beta_1 belongs to the gradients, beta_2 to their squares."""
    return _adamw(theta, gradients, rate, beta_2, beta_1, epsilon, strength)


@ex.wrong
def unsquared(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The second running mean is one of gradients, and a root of it need not exist. Square them first."""
    with np.errstate(invalid="ignore"):
        return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, unsquared=True)


@ex.wrong
def uphill(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """You walk uphill: the step is taken away from theta, not added to it."""
    return _adamw(theta, -gradients, rate, beta_1, beta_2, epsilon, strength)


@ex.wrong
def no_decay(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """This is Adam, and right where the strength is 0. The decay of the weights, (2.20), is missing."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, 0.0)


@ex.wrong
def grows(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The weights grow where they should decay: a sign is wrong."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, -strength)


@ex.wrong
def decay_after_the_step(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The decay takes its share of the new step, too. In (2.20) it is the old weights that decay."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, after=True)


@ex.wrong
def as_in_keras(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """This is Keras's form, (2.11), in which epsilon is added before the mean square is corrected. Here it comes
    after."""
    return _adamw(
        theta,
        gradients,
        rate,
        beta_1,
        beta_2,
        epsilon,
        strength,
        lambda m, s, a, b: m / a * b**0.5 / (s**0.5 + epsilon),
    )


@ex.wrong
def epsilon_inside(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """Epsilon stands under the root, as in RMSProp (2.10). In Adam it is added to the root."""
    return _adamw(
        theta, gradients, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a / (s / b + epsilon) ** 0.5
    )


@ex.wrong
def without_root(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The gradient is divided by its mean square. Divide by the root of it, or the step has the wrong size."""
    return _adamw(
        theta, gradients, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a / (s / b + epsilon)
    )


@ex.wrong
def corrected_in_memory(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The first step is right. Then the corrected means are kept as the memory, and corrected once more: keep the raw
    ones, and correct a copy."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, in_place=True)


@ex.wrong
def penalty_in_the_slope(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The decay went into the gradient, and through Adam's division with it: that is Adam with an L2 penalty, the left
    of Figure 2.8. It belongs beside the step."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, inside=True)


@ex.wrong
def decay_without_rate(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The weights decay by the strength alone; by (2.20) it is the strength times the learning rate."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, rateless=True)


@ex.wrong
def never_refuses(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The steps are right, but gradients of another size than theta must be refused: NumPy stretches the shorter
    one."""
    return _adamw(theta, gradients, rate, beta_1, beta_2, epsilon, strength, careless=True)


@ex.right
def number_by_number(theta, gradients, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    if np.shape(gradients)[1] != np.size(theta):
        raise ValueError(f"{np.shape(gradients)[1]} gradients for {np.size(theta)} parameters")
    ends = []
    for value, column in zip(theta.tolist(), gradients.T.tolist()):
        m = s = total_1 = total_2 = 0.0
        for g in column:
            m, total_1 = beta_1 * m + g, beta_1 * total_1 + 1
            s, total_2 = beta_2 * s + g * g, beta_2 * total_2 + 1
            value *= 1 - rate * strength
            value -= rate * (m / total_1) / ((s / total_2) ** 0.5 + epsilon)
        ends.append(value)
    return np.array(ends)


# %%
check("2.2", adamw)

# %% [markdown]
# **Exercise 2.3 ★★** Dropout, forward and backward.


# %%
# Exercise 2.3
def dropout_both_ways(h, upstream, draws, share, training):
    """Inverted dropout, forward and backward.

    h: what comes in, floats (batch, units). upstream: the derivative of the loss with respect
    to what goes out, same shape. draws: random numbers from 0 to 1, same shape; a unit is
    dropped where its draw is below `share`. training: True or False; where False, nothing
    is dropped. Returns a tuple: what goes out, and the derivative of the loss with respect
    to h. Raises ValueError where share is not at least 0 and below 1, or where the three
    arrays do not have one shape.
    Example: with h = [[2, 6]], upstream = [[1, 1]], draws = [[0.1, 0.7]], share = 0.5 and
    training, it is ([[0, 12]], [[0, 2]]).
    """
    ### BEGIN SOLUTION
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, not {share}")
    if not h.shape == upstream.shape == draws.shape:
        raise ValueError(f"h, upstream and draws must have one shape, not {h.shape}, {upstream.shape}, {draws.shape}")
    factor = (draws >= share) / (1 - share) if training else np.ones(h.shape)
    return factor * h, factor * upstream
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("2.3")
ex.hints(
    "Write down what a single number h becomes, kept or dropped, and differentiate that.",
    "Each number is multiplied by a factor that does not depend on it: 0, 1 / (1 - share), or 1 in inference.",
    "Make an array of these factors once. It multiplies h in one direction and upstream in the other.",
)


@ex.cases
def _(rng):
    def whole(*shape):
        return rng.integers(1, 20, shape) * rng.choice([-1, 1], shape) / 4

    def draws(*shape):
        return rng.integers(0, 100, shape) / 100

    yield np.array([[2.0, 6.0]]), np.array([[1.0, 1.0]]), np.array([[0.1, 0.7]]), 0.5, True
    yield np.array([[2.0, 6.0]]), np.array([[1.0, 1.0]]), np.array([[0.1, 0.7]]), 0.5, False
    yield np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 6.0]]), np.array([[0.25, 0.2, 0.3]]), 0.25, True
    yield np.array([[3.0, 2.0]]), np.array([[-4.0, 5.0]]), np.array([[0.75, 0.9]]), 0.75, True
    yield np.array([[1.0, -2.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 0.5]]), 0.0, True
    yield np.array([[1.0, -2.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 0.5]]), 0.0, False
    for i in range(16):
        shape = tuple(int(n) for n in rng.integers(2, 5, 2))
        share = 0.0 if i == 7 else float(rng.choice([0.155, 0.255, 0.405, 0.605, 0.805]))
        h = whole(*shape)
        yield np.maximum(h, 0) if i % 2 else h, whole(*shape), draws(*shape), share, bool(i % 3)
    for share in (1.0, -0.25, 1.5):
        yield whole(2, 3), whole(2, 3), draws(2, 3), share, True
    yield whole(2, 3), whole(2, 3), draws(2, 3), 1.5, False
    yield whole(2, 3), whole(2, 3), draws(2, 3), 1.0, False
    for training in (True, False):
        yield whole(4, 3), whole(4, 3), draws(1, 3), 0.5, training
        yield whole(4, 3), whole(4, 1), draws(4, 3), 0.5, training
        yield whole(1, 3), whole(4, 3), draws(4, 3), 0.5, training
        yield whole(4, 3), whole(1, 4, 3), draws(4, 3), 0.5, training
        yield whole(1, 4, 3), whole(4, 3), draws(4, 3), 0.5, training


@ex.oracle
def _(h, upstream, draws, share, training):
    if share < 0 or share >= 1 or len({h.shape, upstream.shape, draws.shape}) > 1:
        raise ValueError("refused")
    out, back = h.copy(), upstream.copy()
    if training:
        for place, draw in np.ndenumerate(draws):
            out[place] = 0.0 if draw < share else h[place] / (1 - share)
            back[place] = 0.0 if draw < share else upstream[place] / (1 - share)
    return out, back


def _refuse(h, upstream, draws, share):
    if not 0 <= share < 1 or h.shape != upstream.shape or h.shape != draws.shape:
        raise ValueError("refused")


def _factors(h, upstream, draws, share, training, there=None, back=None, asked=1.0):
    _refuse(h, upstream, draws, share)
    kept = (draws >= share) * 1.0
    right = kept / (1 - share)
    if not training:
        return asked * h, asked * upstream
    there = right if there is None else there(kept)
    return there * h, (there if back is None else back(kept)) * upstream


@ex.wrong
def not_divided(h, upstream, draws, share, training):
    """Units are dropped, and the survivors are left as they are: on average less goes out than comes in. Make up for
    it."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept)


@ex.wrong
def made_up_twice(h, upstream, draws, share, training):
    """The survivors are divided in training, and everything is multiplied once more in inference. Once is
    enough."""
    return _factors(h, upstream, draws, share, training, asked=1 - share)


@ex.wrong
def multiplied_when_asked(h, upstream, draws, share, training):
    """This is the dropout of the paper, which divides nothing in training and multiplies in inference. The inverted
    form does nothing in inference."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept, asked=1 - share)


@ex.wrong
def never_off(h, upstream, draws, share, training):
    """Units are dropped even when the network is not being trained: `training` is not looked at."""
    return _factors(h, upstream, draws, share, True)


@ex.wrong
def divided_by_the_share(h, upstream, draws, share, training):
    """The survivors are divided by the share that is dropped. It has to be the share that survives."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept / share if share else kept)


@ex.wrong
def exchanged(h, upstream, draws, share, training):
    """What is kept and what is dropped are exchanged: a unit is dropped where its draw is *below* the share."""
    return _factors(h, upstream, draws, share, training, lambda kept: (1 - kept) / (1 - share))


@ex.wrong
def back_through_all(h, upstream, draws, share, training):
    """The forward pass is right. In the backward pass a unit that was dropped had no part in the loss, so no derivative
    reaches it."""
    return _factors(
        h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: np.ones(k.shape) / (1 - share)
    )


@ex.wrong
def back_untouched(h, upstream, draws, share, training):
    """The forward pass is right, and the derivative goes back as if there were no dropout. It passes through what its
    number passed through: dropped or divided."""
    return _factors(h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: np.ones(k.shape))


@ex.wrong
def back_divided_twice(h, upstream, draws, share, training):
    """The forward pass is right. In the backward pass the survivors are divided twice; once is enough."""
    return _factors(h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: k / (1 - share) ** 2)


@ex.wrong
def back_by_what_came_out(h, upstream, draws, share, training):
    """The forward pass is right. In the backward pass you ask what came out, and a 0 that went in looks like a unit
    struck out: ask the draws."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back * (out != 0) if training else back


@ex.wrong
def back_like_relu(h, upstream, draws, share, training):
    """The forward pass is right. In the backward pass you let through what is positive, as a ReLU does. Dropout asks
    the draws, not the sign."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back * (out > 0) if training else back


@ex.wrong
def back_times_h(h, upstream, draws, share, training):
    """The forward pass is right. The derivative of factor * h with respect to h is the factor, without h."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back * h if training else back


@ex.wrong
def results_exchanged(h, upstream, draws, share, training):
    """The numbers are right, in the wrong order: first what goes out, then the derivative."""
    return _factors(h, upstream, draws, share, training)[::-1]


@ex.wrong
def only_the_way_out(h, upstream, draws, share, training):
    """Only what goes out is returned. The derivative with respect to h is asked for, too: a tuple of both."""
    return _factors(h, upstream, draws, share, training)[0]


@ex.wrong
def multiplied(h, upstream, draws, share, training):
    """The survivors are multiplied by the share that survives, which makes them smaller still: divide."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept * (1 - share))


@ex.wrong
def signal_multiplied_when_asked(h, upstream, draws, share, training):
    """When the network is asked, the signal is multiplied once more. Inverted dropout has made up for the missing units
    in training already."""
    out, back = _factors(h, upstream, draws, share, training)
    return out if training else (1 - share) * out, back


@ex.wrong
def no_way_back_when_asked(h, upstream, draws, share, training):
    """Where nothing is dropped, the derivative passes unchanged. You stop it."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back if training else 0 * back


@ex.wrong
def ties_struck_out(h, upstream, draws, share, training):
    """A draw that equals the share is not *below* it: this unit stays."""
    return _factors(h, upstream, np.where(draws == share, -1.0, draws), share, training)


@ex.wrong
def refuses_zero(h, upstream, draws, share, training):
    """A share of 0 is allowed: then nothing is dropped."""
    if share == 0:
        raise ValueError
    return _factors(h, upstream, draws, share, training)


@ex.wrong
def back_undivided(h, upstream, draws, share, training):
    """The forward pass is right. What divided the signal divides the derivative, too."""
    return _factors(h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: k)


@ex.wrong
def one_lot_for_all(h, upstream, draws, share, training):
    """The whole batch uses the draws of its first example. Every example has its own."""
    _refuse(h, upstream, draws, share)
    return _factors(h, upstream, np.repeat(draws[:1], len(h), axis=0), share, training)


@ex.wrong
def refuses_in_training_only(h, upstream, draws, share, training):
    """What must be refused in training must be refused in inference, too: check before you look at
    `training`."""
    return _factors(h, upstream, draws, share, training) if training else (1.0 * h, 1.0 * upstream)


@ex.wrong
def never_refuses(h, upstream, draws, share, training):
    """The numbers are right, but a share that leaves nobody, or more than all, must be refused, and so must arrays of
    different shapes, which NumPy would stretch."""
    factor = (draws >= share) / (1 - share if share != 1 else 1) if training else np.ones(h.shape)
    return factor * h, factor * upstream


@ex.right
def by_where(h, upstream, draws, share, training):
    if not (share >= 0 and share < 1) or np.shape(h) != np.shape(draws) or np.shape(upstream) != np.shape(draws):
        raise ValueError("share or shapes")
    if not training:
        return np.array(h), np.array(upstream)
    return tuple(np.where(draws < share, 0.0, values / (1.0 - share)) for values in (h, upstream))


# %%
check("2.3", dropout_both_ways)

# %% [markdown]
# **Exercise 2.4 ★★** A Keras layer with a memory: batch normalisation for dense layers and for images, which knows its
# mode.


# %%
# Exercise 2.4
class RunningNorm(keras.layers.Layer):
    """Batch normalisation, (2.17) and (2.18), with gamma = 1 and beta = 0.

    RunningNorm(rho=0.9, epsilon=1e-3): rho is what the running statistics keep in a step.
    Its weights, which no gradient changes: `mean` (units,), begun at 0, and `variance`
    (units,), begun at 1, in this order, made in `build`.
    Called on z (batch, units) or (batch, height, width, units), and on `training`, False if
    it is not given: a tensor like z. In training z is normalised by its own mean and variance
    over all axes but the last, and moves the running ones (the variance is the mean square of
    the distances from the mean). Otherwise it is normalised by the running ones, which stay.
    It works in `fit`, too, where gradients go back through the mini-batch's mean and variance.
    Example: norm = RunningNorm(); norm(np.array([[1.0], [3.0]]), training=True) is about
    [[-1], [1]], and norm.mean is then [0.2].
    """

    def __init__(self, rho=0.9, epsilon=1e-3):
        super().__init__()
        ### BEGIN SOLUTION
        self.rho, self.epsilon = rho, epsilon
        ### END SOLUTION

    def build(self, input_shape):
        ### BEGIN SOLUTION
        units = input_shape[-1]
        self.mean = self.add_weight(name="mean", shape=(units,), initializer="zeros", trainable=False)
        self.variance = self.add_weight(name="variance", shape=(units,), initializer="ones", trainable=False)
        ### END SOLUTION

    def call(self, z, training=False):
        ### BEGIN SOLUTION
        mean, variance = self.mean, self.variance
        if training:
            axes = list(range(len(z.shape) - 1))
            mean, variance = keras.ops.mean(z, axis=axes), keras.ops.var(z, axis=axes)
            self.mean.assign(self.rho * self.mean + (1 - self.rho) * mean)
            self.variance.assign(self.rho * self.variance + (1 - self.rho) * variance)
        return (z - mean) / keras.ops.sqrt(variance + self.epsilon)
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np

ex = exercise("2.4", rtol=1e-3, atol=1e-4)
ex.hints(
    "`build` makes two weights with `self.add_weight`, which takes a shape, an initializer and `trainable`.",
    "In `call`, first decide which mean and variance normalise. Only in training do the running ones move.",
    "`self.mean.assign(...)` changes a weight. The axes are all but the last: range(len(z.shape) - 1).",
)


@ex.cases
def _(rng):
    def batches(count, *shape):
        shift, scale = rng.integers(-8, 9, shape[-1]) / 4, rng.integers(1, 5, shape[-1]) / 2
        return [shift + scale * rng.integers(-6, 7, shape) / 4 for _ in range(count)]

    yield 0.9, 1e-3, [np.array([[1.0], [3.0]])], [True], False
    yield 0.9, 1e-3, [np.array([[1.0, 3.0], [2.0, 5.0]])], [None], False
    yield 0.9, 1e-3, [np.array([[0.0, 0.03125], [0.0625, 0.0]])] * 2, [True, None], False
    yield 0.5, 0.25, [np.array([[4.0]]), np.array([[4.0]])], [True, False], False
    yield 0.75, 0.25, batches(3, 4, 2), [True, True, None], True
    yield 0.9, 1e-3, batches(2, 2, 2, 3, 2), [True, False], True
    yield 0.5, 0.25, batches(3, 2, 3, 2, 1), [False, True, None], False
    yield 0.0, 0.25, batches(2, 3, 2), [True, False], True
    for i in range(6):
        shape = tuple(int(n) for n in rng.integers(2, 5, 2 if i % 2 else 4))
        modes = [True, *([True, False, None][i] for i in rng.integers(3, size=rng.integers(1, 3))), None]
        small = float(rng.choice([0.1, 0.5]))
        yield float(rng.choice([0.7, 0.9])), small, batches(len(modes), *shape), modes, False


ex.shown_as("""
norm = RunningNorm(rho, epsilon)
for z, training in zip(batches, modes):
    print(norm(z) if training is None else norm(z, training=training), norm.mean, norm.get_weights())
if in_model:
    units = batches[0].shape[-1]
    first = keras.layers.Dense(units, use_bias=False, kernel_initializer="identity")
    model = keras.Sequential([keras.Input(batches[0].shape[1:]), first, RunningNorm(rho, epsilon)])
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    print(model.train_on_batch(batches[0], batches[-1]), model.get_weights())
""")


@ex.drive
def put_to_use(answer, rho, epsilon, batches, modes, in_model):
    def numbers(values):
        return [keras.ops.convert_to_numpy(one) for one in values]

    given = {name: value for name, value, usual in (("rho", rho, 0.9), ("epsilon", epsilon, 1e-3)) if value != usual}
    batches = [z.astype("float32") for z in batches]
    layer, steps = answer(**given), []
    shape = layer(keras.Input(batches[0].shape[1:])).shape  # as within a model
    for z, training in zip(map(keras.ops.convert_to_tensor, batches), modes):
        out = layer(z) if training is None else layer(z, training=training)
        out, mean, variance = numbers((out, layer.mean, layer.variance))
        steps.append({"output": out, "mean": mean, "variance": variance, "get_weights": numbers(layer.get_weights())})
    found = {
        "shape in a model": tuple(shape),
        "shapes of all weights": [tuple(int(n) for n in one.shape) for one in layer.weights],
        "of those trained": [tuple(int(n) for n in one.shape) for one in layer.trainable_weights],
        "calls": steps,
    }
    if in_model:  # a dense layer of the identity, and one step of plain descent
        first = keras.layers.Dense(batches[0].shape[-1], use_bias=False, kernel_initializer="identity")
        model = keras.Sequential([keras.Input(batches[0].shape[1:]), first, answer(**given)])
        model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
        loss = float(model.train_on_batch(batches[0], batches[-1]))
        found["after train_on_batch"] = {"loss": loss, "get_weights": numbers(model.get_weights())}
    return found


@ex.oracle
def _(rho, epsilon, batches, modes, in_model):
    units = batches[0].shape[-1]
    mean, variance, steps = np.zeros(units), np.ones(units), []

    def moved(z):
        rows = z.reshape(-1, units)
        own = rows.sum(axis=0) / len(rows)
        spread = (rows**2).sum(axis=0) / len(rows) - own**2
        return own, spread, mean + (1 - rho) * (own - mean), rho * variance + (1 - rho) * spread

    after = moved(batches[0])[2:]
    for z, training in zip(batches, modes):
        used = mean, variance
        if training:
            *used, mean, variance = moved(z)
        out = (z - used[0]) / np.hypot(np.sqrt(used[1]), epsilon**0.5)
        steps.append({"output": out, "mean": mean, "variance": variance, "get_weights": [mean, variance]})
    found = {
        "shape in a model": (None, *batches[0].shape[1:]),
        "shapes of all weights": [(units,), (units,)],
        "of those trained": [],
        "calls": steps,
    }
    if in_model:

        def loss_of(kernel):  # the slopes by steps in the imaginary direction
            rows = batches[0].reshape(-1, units) @ kernel
            off = rows - rows.mean(axis=0)
            return np.mean((off / np.sqrt((off**2).mean(axis=0) + epsilon) - batches[-1].reshape(-1, units)) ** 2)

        kernel = np.eye(units, dtype=complex)
        for place in np.ndindex(units, units):
            bump = np.zeros((units, units), complex)
            bump[place] = 1e-30j
            kernel[place] -= loss_of(np.eye(units) + bump).imag / 1e-30
        found["after train_on_batch"] = {
            "loss": float(loss_of(np.eye(units))),
            "get_weights": [kernel.real, *after],
        }
    return found


class _Norm(keras.layers.Layer):
    first_variance, trained, swapped = "ones", False, False
    held_fixed = variance_first = replaces = False
    own_in_inference = running_in_training = moves_in_inference = moves_first = outside = False
    axes_of = staticmethod(lambda z: list(range(len(z.shape) - 1)))

    def __init__(self, rho=0.9, epsilon=1e-3):
        super().__init__()
        self.rho, self.epsilon = rho, epsilon

    def build(self, input_shape):
        begun = {"mean": "zeros", "variance": self.first_variance}
        for name in sorted(begun, reverse=self.variance_first):
            setattr(
                self, name, self.add_weight(shape=input_shape[-1:], initializer=begun[name], trainable=self.trained)
            )

    def variance_of(self, z):
        return keras.ops.var(z, axis=self.axes_of(z))

    def kept(self, own):
        return own

    def call(self, z, training=False):
        own = keras.ops.mean(z, axis=self.axes_of(z)), self.variance_of(z)
        if self.held_fixed:
            own = [keras.ops.stop_gradient(one) for one in own]
        use_own = not self.running_in_training if training else self.own_in_inference
        used = own if use_own else [keras.ops.copy(keras.ops.convert_to_tensor(w)) for w in (self.mean, self.variance)]
        if training or self.moves_in_inference:
            keep = 1 - self.rho if self.swapped else self.rho
            for name, new in zip(("mean", "variance"), self.kept(own)):
                new = keep * getattr(self, name) + (1 - keep) * new
                setattr(self, name, new) if self.replaces else getattr(self, name).assign(new)
        if self.moves_first and (self.moves_in_inference or training):
            used = self.mean, self.variance
        if self.outside:
            return (z - used[0]) / (keras.ops.sqrt(used[1]) + self.epsilon)
        return (z - used[0]) / keras.ops.sqrt(used[1] + self.epsilon)


@ex.wrong
class OwnInInference(_Norm):
    """In inference the layer still uses the statistics of the mini-batch, so the output for one example depends on the
    others. That is what the running ones are for."""

    own_in_inference = True


@ex.wrong
class RunningInTraining(_Norm):
    """In training the layer normalises with the running statistics. Training uses the mini-batch's own; the running
    ones only move."""

    running_in_training = True


@ex.wrong
class RunningAfterTheStep(_Norm):
    """In training you move the running statistics and then normalise with them. Training uses the mini-batch's own; the
    running ones are for inference."""

    running_in_training = moves_first = True


@ex.wrong
class MovesInInference(_Norm):
    """The running statistics move in inference too: test data must not change the network."""

    moves_in_inference = True


@ex.wrong
class IgnoresTheMode(_Norm):
    """The layer does the same in training and in inference: `training` is not looked at."""

    own_in_inference = moves_in_inference = True


@ex.wrong
class TrainsByDefault(_Norm):
    """A call without `training` trains: it is normalised by its own mean and variance and moves the running ones. Where
    `training` is not given, it is False."""

    def call(self, z, training=True):
        return super().call(z, training)


@ex.wrong
class GivenIsTrue(_Norm):
    """With training=False the layer trains: it only asks whether `training` was given, not what it is."""

    def call(self, z, training=None):
        return super().call(z, training is not None)


@ex.wrong
class HeldFixed(_Norm):
    """In a model the gradient takes the mini-batch's mean and variance for constants, as it does where NumPy computes
    them. Every z of the batch moves both: compute them with keras.ops, and let the gradient pass."""

    held_fixed = True


@ex.wrong
class VarianceFirst(_Norm):
    """`get_weights` gives the variance first. The weights stand in the order in which `build` makes them: mean, then
    variance."""

    variance_first = True


@ex.wrong
class Replaces(_Norm):
    """`self.mean = ...` puts a tensor in the place of the weight, which then stays what it was. A weight is changed by
    its `assign`."""

    replaces = True


@ex.wrong
class Swapped(_Norm):
    """rho is the part of the old value that is kept, and 1 - rho the weight of the new one. (PyTorch has it the other
    way round.)"""

    swapped = True


@ex.wrong
class BeginsAtZero(_Norm):
    """The running variance begins at 0. It has to begin at 1, so that a layer that has seen nothing changes next to
    nothing."""

    first_variance = "zeros"


@ex.wrong
class EpsilonOutside(_Norm):
    """Epsilon is added to the root; in (2.17) it is added to the variance, under the root."""

    outside = True


@ex.wrong
class BatchAxisOnly(_Norm):
    """Right for dense layers. For images, mean and variance run over height and width as well: over all axes but the
    last."""

    axes_of = staticmethod(lambda z: 0)

    def kept(self, own):
        return [keras.ops.mean(one, axis=list(range(len(one.shape) - 1))) if len(one.shape) > 1 else one for one in own]


@ex.wrong
class OneForAll(_Norm):
    """Mean and variance are taken over everything at once. Each unit has its own: leave out the last axis."""

    axes_of = staticmethod(lambda z: list(range(len(z.shape))))


@ex.wrong
class Unbiased(_Norm):
    """The variance that is kept is divided by one less than the number of values, as in PyTorch; here, as in Keras, it
    is the plain mean of the squares."""

    def call(self, z, training=False):
        self.count = float(np.prod([n or 2 for n in z.shape[:-1]]))
        return super().call(z, training)

    def kept(self, own):
        return own[0], own[1] * self.count / max(self.count - 1, 1)


@ex.wrong
class KeepsDeviations(_Norm):
    """The running mean is taken of the standard deviations. Take it of the variances, and the root only to
    normalise."""

    def kept(self, own):
        return own[0], keras.ops.sqrt(own[1])


@ex.wrong
class Trained(_Norm):
    """Mean and variance must not be changed by gradients: `add_weight` has an argument for that."""

    trained = True


@ex.right
class ByMoments(keras.layers.Layer):
    def __init__(self, rho=0.9, epsilon=1e-3):
        super().__init__()
        self.keep, self.small = rho, epsilon

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[-1:], initializer=keras.initializers.Zeros(), trainable=False)
        self.variance = self.add_weight(shape=shape[-1:], initializer=keras.initializers.Ones(), trainable=False)

    def call(self, z, training=False):
        if not training:
            return (z - self.mean) * keras.ops.rsqrt(self.variance + self.small)
        own, spread = keras.ops.moments(z, axes=tuple(range(z.ndim))[:-1])
        for weight, new in ((self.mean, own), (self.variance, spread)):
            weight.assign_add((new - weight) * (1 - self.keep))
        return (z - own) * keras.ops.rsqrt(spread + self.small)


# %%
check("2.4", RunningNorm)

# %% [markdown]
# **Exercise 2.5 ★★★** The backward pass of batch normalisation: how much comes back along each of *three* ways from a
# pre-activation to the loss?


# %%
# Exercise 2.5
def three_ways_back(z, gamma, upstream, epsilon=1e-3):
    """The derivative of the loss with respect to z, along each of the ways on which batch
    normalisation in training, gamma * (z - mean) / sqrt(variance + epsilon) + beta, depends on it.

    z: pre-activations (batch, units). gamma (units,). upstream: the derivative of the loss with
    respect to what comes out, (batch, units). Returns a tuple of three arrays (batch, units): the
    derivative along the direct way, with mean and variance held fixed; through the mean alone;
    and through the variance alone. Their sum is the whole derivative. Raises ValueError where
    upstream does not have the shape of z; the message names both shapes.
    Example: with z = [[1], [3]], gamma = [1], upstream = [[1], [0]] and epsilon = 0, it is
    ([[1], [0]], [[-0.5], [-0.5]], [[-0.5], [0.5]]).
    """
    ### BEGIN SOLUTION
    if upstream.shape != z.shape:
        raise ValueError(f"upstream must have the shape of z, {z.shape}, not {upstream.shape}")
    root = np.sqrt(z.var(axis=0) + epsilon)
    z_hat = (z - z.mean(axis=0)) / root
    direct = gamma / root * upstream
    through_mean = np.ones(z.shape) * -direct.mean(axis=0)
    through_variance = -z_hat * (direct * z_hat).mean(axis=0)
    return direct, through_mean, through_variance
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise, naming

import numpy as np

ex = exercise("2.5")
ex.hints(
    "Write z_hat for the normalised z. The direct way is the one of a dense layer: what multiplies a single z?",
    "A single z moves the mean by one in the batch size and the variance by 2 (z - mean) over it, for all outputs.",
    "With d for the direct way: through the mean, minus d's mean over the batch; through the variance, minus z_hat "
    "times the mean of d * z_hat.",
)


@ex.cases
def _(rng):
    def whole(*shape):
        return rng.integers(-12, 13, shape) / 4

    def case(batch, units):
        z = whole(batch, units)
        z[:2] = np.arange(units) / 4 + np.array([[1.0], [-0.75]])  # no unit is constant
        return z, rng.integers(1, 9, units) / 4 * rng.choice([-1, 1], units), whole(batch, units)

    yield np.array([[1.0], [3.0]]), np.array([1.0]), np.array([[1.0], [0.0]]), 0.0
    yield np.array([[1.0], [2.0], [6.0]]), np.array([2.0]), np.ones((3, 1)), 0.1
    yield np.array([[0.0], [0.03125], [0.0625]]), np.array([2.0]), np.array([[1.0], [-2.0], [0.5]])
    yield case(4, 2)
    for _ in range(16):
        yield *case(*(int(n) for n in rng.integers(2, 6, 2))), float(rng.choice([1e-3, 0.2, 0.5]))
    for shape in ((1, 3), (3,), (4, 1), (1, 4, 3), (5, 3)):
        yield whole(4, 3), whole(3), whole(*shape), 0.1


@ex.oracle
def _(z, gamma, upstream, epsilon=1e-3):
    # One number at a time, by a step in the imaginary direction, which has no rounding error to speak of.
    if upstream.shape != z.shape:
        raise naming(ValueError, *z.shape, *upstream.shape)
    found = tuple(np.zeros(z.shape) for _ in range(3))
    for way, slopes in enumerate(found):
        for place in np.ndindex(z.shape):
            parts = [z.astype(complex) for _ in found]  # the z of the direct way, of the mean and of the variance
            parts[way][place] += 1e-30j
            mean, variance = parts[1].mean(axis=0), (parts[2] ** 2).mean(axis=0) - parts[2].mean(axis=0) ** 2
            out = gamma * (parts[0] - mean) / np.sqrt(variance + epsilon)
            slopes[place] = np.sum(upstream * out).imag / 1e-30
    return found


def _ways(z, gamma, upstream, epsilon, root=None, mean=np.mean, through_variance=None, axis=0):
    if upstream.shape != z.shape:
        raise ValueError(f"{upstream.shape} does not fit {z.shape}")
    root = root(z) if root else np.sqrt(z.var(axis=axis, keepdims=True) + epsilon)
    z_hat = (z - z.mean(axis=axis, keepdims=True)) / root
    direct = gamma / root * upstream
    pulled = mean(direct * z_hat, axis=axis, keepdims=True)
    by_variance = through_variance(z_hat, pulled) if through_variance else -z_hat * pulled
    return direct, -mean(direct, axis=axis, keepdims=True) * np.ones(z.shape), by_variance * np.ones(z.shape)


@ex.wrong
def sums_for_means(z, gamma, upstream, epsilon=1e-3):
    """The three ways are there, but a single z has only its share, one in the size of the batch, in mean and variance:
    take means over the batch, not sums."""
    return _ways(z, gamma, upstream, epsilon, mean=np.sum)


@ex.wrong
def gamma_forgotten(z, gamma, upstream, epsilon=1e-3):
    """Gamma is missing: everything went out through this factor, and comes back through it."""
    return _ways(z, np.ones(gamma.shape), upstream, epsilon)


@ex.wrong
def gamma_in_the_direct_way_only(z, gamma, upstream, epsilon=1e-3):
    """The direct way is right. Through mean and variance, too, everything comes back through gamma."""
    direct, *others = _ways(z, gamma, upstream, epsilon)
    return direct, *_ways(z, np.ones(gamma.shape), upstream, epsilon)[1:]


@ex.wrong
def mean_with_the_wrong_sign(z, gamma, upstream, epsilon=1e-3):
    """The way through the mean has the wrong sign: a larger mean makes the outputs smaller."""
    direct, by_mean, by_variance = _ways(z, gamma, upstream, epsilon)
    return direct, -by_mean, by_variance


@ex.wrong
def variance_with_the_wrong_sign(z, gamma, upstream, epsilon=1e-3):
    """The way through the variance has the wrong sign: a larger variance brings the outputs closer to 0."""
    return _ways(z, gamma, upstream, epsilon, through_variance=lambda z_hat, pulled: z_hat * pulled)


@ex.wrong
def variance_alike_for_all(z, gamma, upstream, epsilon=1e-3):
    """Your way through the variance is the same for all examples. How much one moves the variance depends on how far it
    is from the mean: a factor is missing."""
    return _ways(z, gamma, upstream, epsilon, through_variance=lambda z_hat, pulled: -pulled)


@ex.wrong
def variance_without_the_half(z, gamma, upstream, epsilon=1e-3):
    """The way through the variance is twice too large: the root brings a factor of one half, which cancels the 2 of the
    square."""
    return _ways(z, gamma, upstream, epsilon, through_variance=lambda z_hat, pulled: -2 * z_hat * pulled)


@ex.wrong
def root_forgotten(z, gamma, upstream, epsilon=1e-3):
    """The root of the variance is missing: z was divided by it on its way out, and so is each derivative."""
    root = np.sqrt(z.var(axis=0) + epsilon)
    return tuple(root * way for way in _ways(z, gamma, upstream, epsilon))


@ex.wrong
def variance_for_root(z, gamma, upstream, epsilon=1e-3):
    """You divide by the variance. Divide by its root."""
    return _ways(z, gamma, upstream, epsilon, root=lambda z: z.var(axis=0) + epsilon)


@ex.wrong
def epsilon_forgotten(z, gamma, upstream, epsilon=1e-3):
    """Epsilon is missing, or has another value than the one that is handed over."""
    return _ways(z, gamma, upstream, epsilon, root=lambda z: z.std(axis=0))


@ex.wrong
def epsilon_outside(z, gamma, upstream, epsilon=1e-3):
    """Epsilon is added to the root; in (2.17) it is added to the variance, under the root."""
    return _ways(z, gamma, upstream, epsilon, root=lambda z: z.std(axis=0) + epsilon)


@ex.wrong
def unbiased(z, gamma, upstream, epsilon=1e-3):
    """The variance is divided by one less than the batch. Batch normalisation takes the plain mean of the squares."""
    return _ways(z, gamma, upstream, epsilon, root=lambda z: np.sqrt(z.var(axis=0, ddof=1) + epsilon))


@ex.wrong
def over_the_units(z, gamma, upstream, epsilon=1e-3):
    """Means are taken over the units of each example (axis 1). The statistics belong to a unit and are taken over the
    batch."""
    return _ways(z, gamma, upstream, epsilon, axis=1)


@ex.wrong
def added_up(z, gamma, upstream, epsilon=1e-3):
    """This is the whole derivative. Asked for is what comes back along each of the three ways, as a tuple."""
    return sum(_ways(z, gamma, upstream, epsilon))


@ex.wrong
def each_with_the_direct_way(z, gamma, upstream, epsilon=1e-3):
    """The second and the third array hold the direct way as well. Give each way alone."""
    direct, by_mean, by_variance = _ways(z, gamma, upstream, epsilon)
    return direct, direct + by_mean, direct + by_variance


@ex.wrong
def exchanged(z, gamma, upstream, epsilon=1e-3):
    """The three ways are right, in another order: the direct one, through the mean, through the variance."""
    direct, by_mean, by_variance = _ways(z, gamma, upstream, epsilon)
    return direct, by_variance, by_mean


@ex.wrong
def one_mean_for_the_batch(z, gamma, upstream, epsilon=1e-3):
    """What comes back through the mean is the same for every example of the batch, but each gets it: the array has the
    shape of z."""
    direct, by_mean, by_variance = _ways(z, gamma, upstream, epsilon)
    return direct, by_mean[0], by_variance


@ex.wrong
def never_refuses(z, gamma, upstream, epsilon=1e-3):
    """The derivatives are right, but an `upstream` of another shape must be refused: NumPy stretches it silently."""
    root = np.sqrt(z.var(axis=0) + epsilon)
    z_hat = (z - z.mean(axis=0)) / root
    direct = gamma / root * upstream
    return direct, np.ones(z.shape) * -direct.mean(axis=0), -z_hat * (direct * z_hat).mean(axis=0)


@ex.right
def step_by_step(z, gamma, upstream, epsilon=1e-3):
    if np.shape(upstream) != np.shape(z):
        raise ValueError(f"shapes {np.shape(upstream)} and {np.shape(z)}")
    count = z.shape[0]
    off = z - z.sum(axis=0) / count
    inverse = ((off * off).sum(axis=0) / count + epsilon) ** -0.5
    to_hat = upstream * gamma
    to_mean = -(to_hat * inverse).sum(axis=0)
    to_variance = (to_hat * off).sum(axis=0) * -0.5 * inverse**3
    return to_hat * inverse, np.repeat(to_mean[None] / count, count, axis=0), to_variance * 2 * off / count


for name in (
    "'z.mean(axis=0) - z' for 'z - z.mean(axis=0)' in 'z_hat = (z - z.mean(axis=0)) / root'",
    "step_by_step: 'z.sum(axis=0) / count - z' for 'z - z.sum(axis=0) / count' in 'off = z - z.sum(axis=0) / count'",
):
    ex.equivalent(name, "it comes in twice, and two signs cancel")


# %%
check("2.5", three_ways_back)

# %% [markdown]
# **Exercise 2.6 ★★** A Keras callback. On a small validation set the loss jumps, and Keras's `EarlyStopping` takes a
# lucky epoch for the best. Yours watches a running mean instead, corrected as in (2.11).


# %%
# Exercise 2.6
class StopSmoothly(keras.callbacks.Callback):
    """Early stopping that watches a running mean of the validation loss.

    StopSmoothly(patience, rho=0.5): patience is a whole number of epochs, 1 or more; rho, at
    least 0 and below 1, is what the running mean keeps in an epoch.
    At the end of each epoch, counted from 0, the running mean takes in logs["val_loss"], a
    number, and is divided by the sum of its weights. The epoch is an improvement if the result
    is below that of all epochs before; the first always is. Where `patience` epochs in a row,
    this one included, brought no improvement, model.stop_training becomes True.
    At the end of training the model gets back the weights that it had at the end of the last
    improvement. That epoch's number is kept as `best_epoch`, the watched value as `best`.
    A second training with the same callback begins anew.
    Example: with StopSmoothly(1, rho=0.5) and the losses 1, 0, 1, the watched values are 1,
    0.333, 0.714; training stops after epoch 2, best_epoch is 1, and best is 0.333.
    """

    def __init__(self, patience, rho=0.5):
        super().__init__()
        ### BEGIN SOLUTION
        self.patience, self.rho = patience, rho
        ### END SOLUTION

    def on_train_begin(self, logs=None):
        ### BEGIN SOLUTION
        self.mean, self.best = 0.0, np.inf
        ### END SOLUTION

    def on_epoch_end(self, epoch, logs=None):
        ### BEGIN SOLUTION
        self.mean = self.rho * self.mean + (1 - self.rho) * logs["val_loss"]
        watched = self.mean / (1 - self.rho ** (epoch + 1))
        if watched < self.best:
            self.best, self.best_epoch, self.best_weights = watched, epoch, self.model.get_weights()
        elif epoch - self.best_epoch >= self.patience:
            self.model.stop_training = True
        ### END SOLUTION

    def on_train_end(self, logs=None):
        ### BEGIN SOLUTION
        self.model.set_weights(self.best_weights)
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np

ex = exercise("2.6")
ex.hints(
    "Which of the four methods is called when? What must be forgotten when a second training begins?",
    "After epoch number `epoch`, the weights of a running mean that began at 0 add up to 1 - rho ** (epoch + 1).",
    "Keep the lowest value, its epoch and `self.model.get_weights()`. The epochs since then tell when to stop.",
)


@ex.cases
def _(rng):
    yield 1, 0.5, [[1.0, 0.0, 1.0, 0.0]]
    yield 2, 0.5, [[4.0, 1.0, 0.0, 1.0, 2.0]]
    yield 2, 0.0, [[0.5, 0.4, 0.45, 0.43, 0.1]]
    yield 2, 0.0, [[0.5, 0.6, 0.55, 0.3, 0.2]]
    yield 2, 0.0, [[2.0, 2.0, 2.0, 1.0]]
    yield 1, 0.0, [[0.5, 0.25, 0.25, 0.125]]
    yield 1, 0.0, [[0.5, 0.4996, 0.4992, 0.75]]
    yield 1, 0.0, [[2.0, 1.9999, 1.99985, 2.5], [1.0, 0.999999, 0.9999985, 2.0]]
    yield 2, 0.5, [[1.0, 0.9995, 0.999, 1.5, 2.0, 2.5]]
    yield 5, 0.5, [[3.0, 2.0, 1.0]]
    yield 3, 0.5, [[4.0]]
    yield 2, 0.5, [[1.0, 0.8, 0.9, 0.95, 0.97], [5.0, 4.0, 4.5, 6.0, 7.0]]
    yield 1, 0.75, [[0.5, 0.75], [9.0, 8.0, 7.0, 8.5, 9.5]]
    yield 3, 0.9, [[1.0, 0.5, 1.25, 0.5, 1.5, 0.75, 2.0, 2.5]]
    for _ in range(14):
        trainings = []
        for _ in range(int(rng.integers(1, 3))):
            t = np.arange(int(rng.integers(5, 12)))
            trainings.append(np.round(np.exp(-t / 4) + 0.06 * t + 0.15 * rng.normal(size=len(t)) + 0.5, 3).tolist())
        yield int(rng.integers(1, 4)), float(rng.choice([0.0, 0.3, 0.5, 0.8])), trainings


ex.shown_as("""
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
callback = StopSmoothly(patience, rho)
callback.set_model(model)
for losses in trainings:
    model.stop_training = False
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.set_weights([np.full((1, 1), epoch + 1.0)])
        callback.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "val_loss": loss})
        if model.stop_training:
            break
    callback.on_train_end()
    print("epochs", epoch + 1, "best epoch", callback.best_epoch, callback.best, "weight", model.get_weights())
""")


@ex.drive
def training(answer, patience, rho, trainings):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback, found = answer(patience) if rho == 0.5 else answer(patience, rho=rho), []
    callback.set_model(model)
    for losses in trainings:
        model.stop_training = False
        callback.on_train_begin()
        for epoch, loss in enumerate(losses):
            model.set_weights([np.full((1, 1), epoch + 1.0)])
            callback.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "val_loss": loss})
            if model.stop_training:
                break
        callback.on_train_end()
        weight = float(model.get_weights()[0][0, 0])
        best = {"best epoch": callback.best_epoch, "best value": callback.best}
        found.append({"epochs": epoch + 1, **best, "weight": weight})
    return found


@ex.oracle
def _(patience, rho, trainings):
    found = []
    for losses in trainings:
        watched, best = [], 0
        for epoch in range(len(losses)):
            ages = np.arange(epoch + 1)[::-1]
            watched.append(losses[epoch] if rho == 0 else float(np.average(losses[: epoch + 1], weights=rho**ages)))
            best = int(np.argmin(watched))
            if epoch - best == patience:
                break
        found.append({"epochs": epoch + 1, "best epoch": best, "best value": watched[best], "weight": best + 1.0})
    return found


class _Stopper(keras.callbacks.Callback):
    late, first, restores, corrects, resets, forgets, key = 0, 0, True, True, True, True, "val_loss"

    def __init__(self, patience, rho=0.5):
        super().__init__()
        self.patience, self.rho, self.begun = patience, rho, False

    def on_train_begin(self, logs=None):
        if self.forgets or not self.begun:
            self.begun, self.mean, self.best, self.waited, self.previous = True, 0.0, np.inf, 0, np.inf

    def watched(self, epoch, loss):
        self.mean = self.rho * self.mean + (1 - self.rho) * loss
        return self.mean / (1 - self.rho ** (epoch + 1)) if self.corrects else self.mean

    def improves(self, value):
        return value < self.best

    def on_epoch_end(self, epoch, logs=None):
        value = self.watched(epoch, logs[self.key])
        better = epoch == 0 and self.forgets or self.improves(value)
        if better:
            self.best, self.best_epoch = value, epoch + self.first
            self.waited = 0 if self.resets else self.waited
        else:
            self.waited += 1
        if better or not self.restores:
            self.best_weights = self.model.get_weights()
        self.previous = value
        if self.waited >= self.patience + self.late:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.model.set_weights(self.best_weights)


@ex.wrong
class Unsmoothed(_Stopper):
    """You watch the loss of the single epoch, as Keras does. Asked for is its running mean."""

    def watched(self, epoch, loss):
        return loss


@ex.wrong
class Uncorrected(_Stopper):
    """The running mean begins at 0, and at first it is too small: divide it by the sum of its weights."""

    corrects = False


@ex.wrong
class CorrectedInMemory(_Stopper):
    """The corrected mean is kept as the memory, and corrected once more: keep the raw one, and correct a copy."""

    def watched(self, epoch, loss):
        self.mean = super().watched(epoch, loss)
        return self.mean


@ex.wrong
class Exchanged(_Stopper):
    """rho is what the running mean keeps, and 1 - rho the weight of the new loss. Yours are exchanged."""

    def __init__(self, patience, rho=0.5):
        super().__init__(patience, 1 - rho)

    def watched(self, epoch, loss):
        self.mean = self.rho * self.mean + (1 - self.rho) * loss
        total = 1 - self.rho ** (epoch + 1)
        return self.mean / total if total else loss


@ex.wrong
class TrainingLoss(_Stopper):
    """You watch the loss on the training digits, which keeps falling. The validation loss is logs["val_loss"]."""

    key = "loss"


@ex.wrong
class ComparesWithThePrevious(_Stopper):
    """An epoch is compared with the one before it. Compare with the best so far: after a bad epoch, a less bad one is
    no improvement."""

    def improves(self, value):
        return value < self.previous


@ex.wrong
class OneTooLate(_Stopper):
    """You stop one epoch too late: with patience 2, the second epoch in a row without improvement is the last."""

    late = 1


@ex.wrong
class OneTooEarly(_Stopper):
    """You stop one epoch too early: the best epoch does not count as one without improvement."""

    late = -1


@ex.wrong
class NeverResets(_Stopper):
    """You count all epochs without improvement. Patience is about epochs in a row: an improvement begins the count
    anew."""

    resets = False


@ex.wrong
class EqualCounts(_Stopper):
    """A value that only equals the lowest so far is no improvement."""

    def improves(self, value):
        return value <= self.best


@ex.wrong
class ByAMargin(_Stopper):
    """A small improvement does not count in yours. Any value below the lowest so far is one, by however little."""

    def improves(self, value):
        return value < self.best - 1e-3


@ex.wrong
class HigherIsBetter(_Stopper):
    """You wait for the loss to go up. Lower is better."""

    def improves(self, value):
        return value > self.best


@ex.wrong
class CountsFromOne(_Stopper):
    """best_epoch is one too large: the first epoch has the number 0."""

    first = 1


@ex.wrong
class KeepsTheLast(_Stopper):
    """The model ends with the weights of the last epoch, not with those of the last improvement."""

    restores = False


@ex.wrong
class NeverForgets(_Stopper):
    """Right for one training. A second one with the same callback still remembers the first: begin anew in
    `on_train_begin`."""

    forgets = False


@ex.right
class FromTheDiary(keras.callbacks.Callback):
    def __init__(self, patience, rho=0.5):
        super().__init__()
        self.wait, self.keep = patience, rho

    def on_train_begin(self, *_):
        self.losses, self.values, self.weights = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.insert(0, logs["val_loss"])
        total = sum(self.keep**age for age in range(len(self.losses)))
        self.values.append(sum(self.keep**age * loss for age, loss in enumerate(self.losses)) / total)
        self.weights.append(self.model.get_weights())
        self.best = min(self.values)
        self.best_epoch = self.values.index(self.best)
        if epoch - self.best_epoch == self.wait:
            self.model.stop_training = True

    def on_train_end(self, *_):
        self.model.set_weights(self.weights[self.best_epoch])


for name in ("on_train_begin", "on_train_end"):
    for what in ("its default", "the first one"):
        ex.equivalent(f"logs is always {what} in 'def {name}(self, logs=None):'", "its logs are not looked at")
for name in ("nothing in 'super().__init__()'", "FromTheDiary: nothing in 'super().__init__()'"):
    ex.equivalent(name, "what it sets up, `set_model` and `set_params` set up too")

# %%
check("2.6", StopSmoothly)

# %% [markdown]
# **Exercise 2.7 ★★** Debug it: the mistake of the section above, in NumPy.


# %%
# Exercise 2.7
def classify_in_inference(x, first, norm, last, share):
    """The logits of a trained network: dense, batch normalisation, ReLU, dropout, dense.

    x: inputs (batch, inputs), a batch of any size from 1 on. first: W (units, inputs) and b
    (units,). norm: gamma, beta, running mean and running variance, each (units,); epsilon is
    1e-3. last: W (classes, units) and b (classes,). share: of the units that inverted dropout
    dropped in training. Returns an array (batch, classes). What an input gets must not
    depend on the other inputs, nor on chance.
    Example: with norm = (1, 0, 0, 0.999), each repeated for all units, it is relu(x W1^T + b1)
    W2^T + b2.
    """
    ### BEGIN SOLUTION
    gamma, beta, mean, variance = norm
    z = x @ first[0].T + first[1]
    z_hat = (z - mean) / np.sqrt(variance + 1e-3)
    h = np.maximum(gamma * z_hat + beta, 0)
    return h @ last[0].T + last[1]
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("2.7", start="left_in_training")
ex.hints(
    "Two layers behave differently in training and in inference. What does each do in inference?",
    "Which of the arguments does the broken function never use?",
    "Normalise with the running mean and variance, and leave h as it is: inverted dropout made up for it in training.",
)


@ex.cases
def _(rng):
    def whole(*shape):
        return rng.integers(1, 13, shape) * rng.choice([-1, 1], shape) / 4

    for batch in (1, 2, 5, 1, 4, 8) * 2:
        inputs, units, classes = (int(n) for n in rng.integers(2, 5, 3))
        positive = rng.integers(2, 9, (2, units)) / 4
        norm = positive[0], whole(units), whole(units), positive[1]
        first, last = (whole(units, inputs), whole(units)), (whole(classes, units), whole(classes))
        yield whole(batch, inputs), first, norm, last, float(rng.choice([0.2, 0.5, 0.6]))
    norm = np.ones(2), np.zeros(2), np.zeros(2), np.array([0.015625, 0.0])  # here epsilon counts
    for x in (np.array([[0.25, -0.5]]), np.array([[0.5, 0.25], [0.125, 1.0]])):
        yield x, (np.eye(2), np.array([0.25, 0.5])), norm, (np.eye(2), np.zeros(2)), 0.5


@ex.oracle
def _(x, first, norm, last, share):
    logits = []
    for row in x:
        h = 0.0
        for weights, bias, gamma, beta, mean, variance, out in zip(*first, *norm, last[0].T):
            z = float(np.dot(weights, row)) + bias
            h = h + max(gamma * (z - mean) / (variance + 1e-3) ** 0.5 + beta, 0.0) * out
        logits.append(h + last[1])
    return np.array(logits)


@ex.wrong
def left_in_training(x, first, norm, last, share):
    """The network is still in training mode: the batch's own mean and variance, and units dropped at
    random. Which of the numbers that it is given does the function not use?"""
    gamma, beta, mean, variance = norm
    z = x @ first[0].T + first[1]
    z_hat = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
    h = np.maximum(gamma * z_hat + beta, 0)
    kept = np.random.default_rng(0).random(h.shape) >= share
    h = kept * h / (1 - share)
    return h @ last[0].T + last[1]


def _classify(x, first, norm, last, share, batch=False, dropping=False, factor=1.0, root=np.sqrt):
    gamma, beta, mean, variance = norm
    z = x @ first[0].T + first[1]
    if batch in (True, "mean"):
        mean = z.mean(axis=0)
    if batch in (True, "variance"):
        variance = z.var(axis=0)
    h = np.maximum(gamma * (z - mean) / root(variance + 1e-3) + beta, 0)
    if dropping:
        h = (np.random.default_rng(0).random(h.shape) >= share) * h / (1 - share)
    return (h * factor) @ last[0].T + last[1]


@ex.wrong
def still_drops(x, first, norm, last, share):
    """The normalisation is right now. Dropout is still on: the output depends on chance."""
    return _classify(x, first, norm, last, share, dropping=True)


@ex.wrong
def still_the_batch(x, first, norm, last, share):
    """Dropout is off now. The normalisation still uses mean and variance of this batch, so what an input gets depends
    on the others, and one that comes alone is turned into nothing."""
    return _classify(x, first, norm, last, share, batch=True)


@ex.wrong
def still_own_mean(x, first, norm, last, share):
    """Dropout is off, and the running variance is used. The mean is still that of this batch."""
    return _classify(x, first, norm, last, share, batch="mean")


@ex.wrong
def still_own_variance(x, first, norm, last, share):
    """Dropout is off, and the running mean is used. The variance is still that of this batch."""
    return _classify(x, first, norm, last, share, batch="variance")


@ex.wrong
def epsilon_lost(x, first, norm, last, share):
    """Now the running statistics are used. On the way epsilon was lost, which is added to the variance under the
    root."""
    return _classify(x, first, norm, last, share, root=lambda value: np.sqrt(value - 1e-3))


@ex.wrong
def epsilon_outside(x, first, norm, last, share):
    """Now the running statistics are used. Epsilon is added to the root; it belongs to the variance, under the root."""
    return _classify(x, first, norm, last, share, root=lambda value: np.sqrt(value - 1e-3) + 1e-3)


@ex.wrong
def made_up_once_more(x, first, norm, last, share):
    """Dropout is off, and what is left is multiplied by the share of survivors. Inverted dropout has made up for the
    missing units in training already."""
    return _classify(x, first, norm, last, share, factor=1 - share)


@ex.wrong
def divided_without_dropout(x, first, norm, last, share):
    """Nothing is dropped any more, and yet everything is divided as if it were."""
    return _classify(x, first, norm, last, share, factor=1 / (1 - share))


@ex.wrong
def root_lost(x, first, norm, last, share):
    """Now the running statistics are used, but the running variance is a variance: z is divided by its root."""
    return _classify(x, first, norm, last, share, root=lambda value: value)


@ex.wrong
def norm_thrown_out(x, first, norm, last, share):
    """With the batch's statistics you have thrown out the whole normalisation. The weights were learned with it: use
    the running mean and variance in their place."""
    return np.maximum(norm[0] * (x @ first[0].T + first[1]) + norm[1], 0) @ last[0].T + last[1]


@ex.right
def folded(x, first, norm, last, share):
    gamma, beta, mean, variance = norm
    scale = gamma / np.sqrt(variance + 1e-3)
    W, b = first[0] * scale[:, None], (first[1] - mean) * scale + beta
    return np.maximum(np.einsum("bi,ui->bu", x, W) + b, 0) @ np.transpose(last[0]) + last[1]


for name in (
    "share is always the first one in 'def classify_in_inference(x, first, norm, last, share):'",
    "folded: share is always the first one in 'def folded(x, first, norm, last, share):'",
):
    ex.equivalent(name, "in inference the dropout rate plays no part")


# %%
check("2.7", classify_in_inference)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | SGD | $\theta\leftarrow\theta-\alpha g$; $\mathbb{E}[g]=\nabla_\theta L$, variance as $1/B$ | (2.1), (2.2) |
# | in a bowl | factors $1-\alpha\kappa_i$; limit $2/\kappa_{\max}$; best (2.5) | (2.3) to (2.5) |
# | critical point | signs of the Hessian's eigenvalues | (2.6) |
# | momentum | $v\leftarrow\mu v-\alpha g$; roots of the curvatures in (2.5) | (2.7) to (2.9) |
# | RMSProp, Adam | $g/\sqrt{\overline{g^2}+\varepsilon}$; with $\bar g$, corrected | (2.10), (2.11) |
# | variance | $n_\text{in}\mathrm{Var}[w]\,\mathbb{E}[h^2]$; He: $\mathrm{Var}[w]=2/n_\text{in}$ | (2.12) to (2.15) |
# | error signal | $n_\text{out}\mathrm{Var}[w]\,\mathbb{E}[f'^2]$ | (2.16) |
# | batch normalisation | mini-batch in training, running means in inference | (2.17), (2.18) |
# | L2 penalty | $\lambda\theta$ in the gradient; for SGD $(1-\alpha\lambda)\theta$ | (2.19), (2.20) |
# | dropout | $M\odot h/(1-q)$; mean $h$, variance $h^2q/(1-q)$ | (2.21), (2.22) |
#
# ## References
#
# - Goodfellow, Bengio, Courville, *Deep learning*, 2016, chapters 7 and 8.
# - SGD: Robbins, Monro, 1951. Saddles: Dauphin et al., 2014. Momentum: Polyak, 1964; Nesterov, 1983; Sutskever et al.,
#   2013. RMSProp: Tieleman, Hinton, 2012. Adam: Kingma, Ba, 2015.
# - Initialisation: Glorot, Bengio, 2010; He et al., 2015. Gradient clipping: Pascanu et al., 2013.
# - Batch normalisation: Ioffe, Szegedy, 2015; van Laarhoven, 2017; Santurkar et al., 2018.
# - Weight decay: Krogh, Hertz, 1992; Loshchilov, Hutter, 2019.
# - Dropout: Srivastava et al., 2014. Early stopping: Prechelt, 1998. Random labels: Arpit et al., 2017.
