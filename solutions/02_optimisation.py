# %% [raw]
# title: Optimisation and regularisation
# part: I. Learning machines
# minutes: 150
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
# symbols:
#   '$\mathbb{E}$': 'expectation (`mean`)'
#   '$\mathrm{Var}$': 'variance (`var`)'
# sources:
#   - "Robbins & Monro, A stochastic approximation method, 1951"
#   - "Polyak, Some methods of speeding up the convergence of iteration methods, 1964"
#   - "Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983"
#   - "Krogh & Hertz, A simple weight decay can improve generalization, 1992"
#   - "Prechelt, Early stopping - but when?, 1998"
#   - "Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010"
#   - "Tieleman & Hinton, Lecture 6.5 - RMSProp, 2012"
#   - "Sutskever, Martens, Dahl & Hinton, On the importance of initialization and momentum in deep learning, 2013"
#   - "Dauphin et al., Identifying and attacking the saddle point problem, 2014"
#   - "Srivastava et al., Dropout, 2014"
#   - "Kingma & Ba, Adam: a method for stochastic optimization, 2015"
#   - "He, Zhang, Ren & Sun, Delving deep into rectifiers, 2015"
#   - "Ioffe & Szegedy, Batch normalization, 2015"
#   - "Goodfellow, Bengio & Courville, Deep learning, chapters 7 and 8, 2016"
#   - "Santurkar, Tsipras, Ilyas & Madry, How does batch normalization help optimization?, 2018"
#   - "Loshchilov & Hutter, Decoupled weight decay regularization, 2019"

# %% [markdown]
# Three machines learn to read digits. All three are built of the layers of chapter 01, and in all three every gradient
# is right. Watch them.

# %%
from collections import defaultdict
from itertools import product

from course import at_once, budget, check, claim, data, gradient, plots, prove, record, rewinder, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy import integrate, optimize, signal, special, stats

rng = start("02")  # seeds everything from COURSE_SEED and sets the style of the figures
BLUE, ORANGE, GREEN = plots.COLOURS[:3]
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def as_rows(pictures):
    """Pictures (count, 28, 28) of bytes as rows (count, 784) of floats from 0 (paper) to 1 (ink)."""
    return pictures.reshape(-1, 784).astype("float32") / 255


def network(hidden, activation="relu", weights="he_normal", normalise=False, dropout=0.0):
    """A perceptron for rows (count, 784) that puts out ten scores.

    hidden: units of each hidden layer. weights: how they are drawn at the start. What a good choice of them is, and
    what `normalise` and `dropout` do, this chapter tells.
    """
    net = keras.Sequential([keras.Input((784,)), layers.Dropout(0.4 * dropout)])
    for units in hidden:
        net.add(layers.Dense(units, kernel_initializer=weights))
        if normalise:
            net.add(layers.BatchNormalization(momentum=0.9))
        net.add(layers.Activation(activation))
        net.add(layers.Dropout(dropout))
    net.add(layers.Dense(10, kernel_initializer=weights))
    return net


# %%
mnist = data.mnist()
pool = np.concatenate([as_rows(mnist.x_train), as_rows(mnist.x_test)])
names = np.concatenate([mnist.y_train, mnist.y_test])
count = budget(quick=2500, full=10000, least=500)
images, labels = pool[:2000], names[:2000]  # to learn from
checks, check_labels = pool[2000:2500], names[2000:2500]  # to choose by
unseen, true_labels = pool[2500:][-count:], names[2500:][-count:]  # to judge by

losses = {}
for name, net, rate in [
    ("ten layers of sigmoids", network([100] * 10, "sigmoid", "glorot_normal"), 0.1),
    ("a large learning rate", network([100]), 4.0),
]:
    net.compile(keras.optimizers.SGD(rate), LOSS)
    batches = rng.integers(len(images), size=(200, 32))
    losses[name] = [float(net.train_on_batch(images[batch], labels[batch])) for batch in batches]
crammer = network([128, 128])
crammer.compile(keras.optimizers.Adam(0.003), LOSS)
known = images[:1000], labels[:1000]
log = crammer.fit(*known, validation_data=(unseen, true_labels), validation_batch_size=2500, epochs=16, verbose=0)

figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
for axis, (name, values) in zip(axes, losses.items()):
    axis.plot(values, linewidth=1)
    axis.axhline(np.log(10), color="black", linestyle=":", linewidth=1)
    axis.set(title=name, xlabel="step", ylim=(0, 8))
axes[2].plot(log.history["loss"], label="the 1,000 digits it learns from")
axes[2].plot(log.history["val_loss"], label="digits it never saw")
axes[2].set(title="a thousand digits", xlabel="epoch", ylim=(0, 1.2))
axes[2].legend(fontsize=8)
axes[0].set_ylabel("mean loss")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.1. Three ways to fail with the right gradient. Left: nothing happens; the dotted line, $\log 10$, is
# guessing. Middle: too much happens. Right: on the digits that it learns from the loss falls to nothing, on all others
# it stops falling after a few epochs.*
#
# The gradient says which way is down *here*. It does not say how far to go, it does not always arrive, and it knows
# nothing of other digits. So:
#
# **What does it take, besides the right gradient, for a machine to learn, and to learn more than its examples?**
#
# The first half of the answer is **optimisation**, the second **regularisation**.
#
# ## What you will be able to do
#
# - say from the curvature of a loss how large a learning rate may be, and tell a minimum from a saddle;
# - write momentum, Nesterov's method, RMSProp and Adam so that they agree with Keras step by step;
# - choose the first weights of a deep network so that signals pass through it, and normalise where you cannot choose;
# - name what a network has learned by heart, and set weight decay, dropout and early stopping against it, knowing when
#   each helps, and when it harms;
# - find out that a network is being asked in the wrong mode.
#
# ## A gradient from a few examples
#
# Chapter 01 took each step from a batch. Let $\nabla \ell_n$ be the gradient of the loss of example $n$, and draw $B$
# examples from $N$, each time anew from all of them. **Stochastic gradient descent** (Robbins and Monro, 1951) is
#
# $$ g = \frac{1}{B} \sum_{n \in \text{batch}} \nabla_\theta \ell_n(\theta), \qquad
#    \theta \leftarrow \theta - \alpha\, g \tag{2.1} $$
#
# Is a few examples' gradient a good one? Take four examples whose slopes are $1, 2, 3$ and $6$. The true slope is their
# mean, 3. A batch of one says 1, 2, 3 or 6: right on average, with the variance $\frac14 (4 + 1 + 0 + 9) = 3.5$. A
# batch of $B$ is a mean of $B$ such draws, so the variance is $B$ times smaller:
#
# $$ \mathbb{E}[g] = \nabla_\theta L, \qquad \mathrm{Var}[g] = \frac{1}{B}\, \mathrm{Var}[\nabla \ell_n] \tag{2.2} $$
#
# A hundred times the work makes the error, the root of the variance, only ten times smaller. Hence many rough steps
# rather than few exact ones.


# %%
def example_slopes(W, x, y):
    """The slope of each example's loss for a network without hidden layer, by (1.13) and (1.15).

    W (classes, inputs), x (count, inputs), y (count, classes) -> (count, classes, inputs).
    """
    if len(x) != len(y):
        raise ValueError(f"axis 0 of x and of y must have the same size, not {len(x)} and {len(y)}")
    return (special.softmax(x @ W.T, axis=1) - y)[:, :, None] * x[:, None]


def descend(theta, slope, memory, rate):
    """A step of gradient descent. Like all the steps below, it returns the new theta and what it has to remember."""
    return theta - rate * slope, memory  # (2.1)


def batch_statistics(slopes, size):
    """Mean and variance of the gradient from a random batch; slopes: of all examples, (count, n)."""
    return slopes.mean(axis=0), slopes.var(axis=0) / size  # (2.2)


# %% [markdown]
# The judge of (2.1) is automatic differentiation, then a step of `keras.optimizers.SGD`; that of (2.2) goes through
# every batch there is.


# %%
def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def keras_walk(optimizer, theta, slopes):
    """Where a Keras optimiser has gone after each of the slopes (steps, n) that it is handed."""
    variable, path = keras.Variable(np.asarray(theta, "float32")), []
    for slope in slopes:
        optimizer.apply([tensor(slope)], [variable])
        path.append(ops.convert_to_numpy(variable.value).copy())
    return np.array(path)


def step_on_batch(W, x, y, batch, rate):
    return descend(W, example_slopes(W, x, y)[batch].mean(axis=0), {}, rate)[0]


def keras_step_on_batch(W, x, y, batch, rate):
    def loss(weights):
        scores = ops.matmul(tensor(x[batch]), ops.transpose(weights))
        return ops.mean(keras.losses.categorical_crossentropy(tensor(y[batch]), scores, from_logits=True))

    slope = ops.convert_to_numpy(gradient(loss, W.astype("float32")))
    return keras_walk(keras.optimizers.SGD(rate), W, [slope])[-1]


def statistics_of_all_batches(slopes, size):
    found = np.array([np.mean(batch, axis=0) for batch in product(slopes, repeat=size)])
    return found.mean(axis=0), found.var(axis=0)


def digit_like(count):
    for _ in range(count):
        yield (
            rng.normal(size=(3, 5)),
            rng.normal(size=(8, 5)),
            np.eye(3)[rng.integers(3, size=8)],
            rng.integers(8, size=4),
            float(rng.random()),
        )


prove("2.1", step_on_batch, keras_step_on_batch, cases=digit_like(40), rtol=1e-4, atol=1e-5)
prove(
    "2.2",
    batch_statistics,
    statistics_of_all_batches,
    cases=((rng.normal(size=(n, 2)), size) for n in (2, 3, 5) for size in (1, 2, 4)),
)

# %% [markdown]
# ## How far may a step go?
#
# Near the bottom of a valley every smooth loss looks like a bowl. Along one direction, $L = \frac12 \kappa \theta^2$,
# where $\kappa$ is the **curvature**: how fast the slope, $\kappa\theta$, changes. A step takes $\theta$ to
# $\theta - \alpha\kappa\theta$. So it *multiplies* $\theta$ by $1 - \alpha\kappa$, every time. With
# $\alpha\kappa = 0.1$ the distance shrinks by a tenth; with $1$ you are there at once; with $1.9$ you leap across, and
# come closer by a tenth; with $2.1$ you go farther away each time.
#
# With several directions the bowl is $L = \tfrac12 \theta^\mathsf{T} H \theta$, with $\theta$ counted from its bottom,
# and there are several curvatures: the **eigenvalues** $\kappa_i$ of the matrix of second derivatives, the Hessian $H$.
# Along its eigenvectors $q_i$, which are at right angles to each other, $H q_i = \kappa_i q_i$: the slope has the
# direction of the displacement. So each direction minds its own business:
#
# $$ \theta^{(t)} = \sum_i (1 - \alpha\kappa_i)^t\, \bigl(q_i \cdot \theta^{(0)}\bigr)\, q_i \tag{2.3} $$
#
# They share a single $\alpha$, however. In a valley, where all $\kappa_i > 0$, it has to be below $2/\kappa_{\max}$, or
# the steepest direction explodes, and then the flattest one crawls. The best compromise makes both extremes equally
# slow, $1 - \alpha\kappa_{\min} = -(1 - \alpha\kappa_{\max})$:
#
# $$ \alpha^* = \frac{2}{\kappa_{\min} + \kappa_{\max}}, \qquad
#    \max_i\, |1 - \alpha^* \kappa_i| = \frac{c - 1}{c + 1}, \quad c = \frac{\kappa_{\max}}{\kappa_{\min}} \tag{2.4} $$
#
# The ratio $c$ is the *condition number*. A round bowl has $c = 1$ and is done in one step; in a **ravine**, say
# $c = 20$, even the best step leaves $19/21$, and it takes 24 of them to come ten times closer.


# %%
def in_a_bowl(H, theta, rate, steps):
    """Where gradient descent on the loss theta . H theta / 2 is after some steps (2.3); H symmetric (n, n)."""
    curvatures, directions = np.linalg.eigh(H)
    return directions @ ((1 - rate * curvatures) ** steps * (directions.T @ theta))  # (2.3)


def best_rate(lowest, highest):
    """The best learning rate between two curvatures, and what each step leaves of the distance (2.4)."""
    c = highest / lowest
    return 2 / (lowest + highest), (c - 1) / (c + 1)  # (2.4)


# %%
def keras_in_a_bowl(H, theta, rate, steps):
    optimizer, variable = keras.optimizers.SGD(rate), keras.Variable(theta.astype("float32"))
    for _ in range(steps):
        slope = gradient(lambda value: ops.sum(value * ops.matmul(tensor(H), value)) / 2, variable.value)
        optimizer.apply([slope], [variable])
    return variable.value


def searched_rate(lowest, highest):
    left = optimize.minimize_scalar(
        lambda rate: max(abs(1 - rate * lowest), abs(1 - rate * highest)), bounds=(0, 2 / lowest), method="bounded"
    )
    return left.x, left.fun


def bowls(count):
    for _ in range(count):
        directions = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        H = directions @ np.diag(rng.uniform(-0.5, 4, 3)) @ directions.T
        yield H, rng.normal(size=3), float(rng.uniform(0.05, 0.5)), 8


def pairs_of_curvatures(count):
    for _ in range(count):
        lowest = float(rng.uniform(0.5, 2))
        yield lowest, lowest * float(rng.uniform(1.5, 20))


prove("2.3", in_a_bowl, keras_in_a_bowl, cases=bowls(30), rtol=1e-3, atol=1e-4)
prove("2.4", best_rate, searched_rate, cases=pairs_of_curvatures(50), rtol=1e-3)

# %%
ravine, here = np.diag([1.0, 20.0]), np.array([-9.0, 1.6])
x, y = np.meshgrid(np.linspace(-10, 4, 141), np.linspace(-2.2, 2.2, 89))
figure, axes = plt.subplots(1, 3, figsize=(9, 2.5), sharey=True)
for axis, (rate, name) in zip(axes, [(0.02, "crawls"), (best_rate(1, 20)[0], "the best"), (0.1015, "explodes")]):
    path = np.array([in_a_bowl(ravine, here, rate, steps) for steps in range(20)])
    axis.contour(x, y, x**2 + 20 * y**2, levels=10, colors="#bbbbbb", linewidths=0.7)
    axis.plot(*path.T, "o-", color=BLUE, markersize=3, linewidth=1)
    axis.plot(0, 0, "x", color="black")
    axis.set(title=f"$\\alpha = {rate:.3g}$: {name}", xlabel="$\\theta_1$", xlim=(-10, 4), ylim=(-2.2, 2.2))
axes[0].set_ylabel("$\\theta_2$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.2. Nineteen steps of gradient descent in a ravine, $\kappa = 1$ along it and $20$ across (contours; the
# cross is the bottom). What the floor would need as a rate, the walls do not bear.*
#
# **Try it.** With $\alpha$ just below $2/\kappa_{\max}$, which of the two directions is the slower one?
#
# ## Where the slope is zero
#
# Descent stops where the gradient is zero, at a **critical point**. Is that a valley? Near such a point $\theta^*$ the
# loss has no linear part, and the curvatures decide:
#
# $$ L(\theta^* + \varepsilon q_i) \approx L(\theta^*) + \tfrac12 \kappa_i\, \varepsilon^2 \tag{2.5} $$
#
# If all eigenvalues of the Hessian are positive, every direction leads up: a **minimum**. If all are negative, a
# maximum. If there are both, a **saddle**: a mountain pass, up to the left and right, down ahead and behind. (Where
# some are 0 and the others agree, second derivatives cannot tell.) And by (2.3) descent *leaves* a saddle, for along a
# negative $\kappa$ the factor $1 - \alpha\kappa$ is above 1. But what it multiplies is your distance from the ridge:
# begin close to it, and you stay long. (Dauphin et al., 2014, argue that in many dimensions saddles are the common
# case.)


# %%
def hessian(slope_at, theta, epsilon=1e-4):
    """The second derivatives (n, n) at theta, from a function that gives the gradient (n,), by small steps (1.4)."""
    steps = epsilon * np.eye(len(theta))
    return np.array([(slope_at(theta + step) - slope_at(theta - step)) / (2 * epsilon) for step in steps])


def kind_of(H):
    """The kind of a critical point with the Hessian H, no curvature 0: "minimum", "maximum" or "saddle" (2.5)."""
    curvatures = np.linalg.eigvalsh(H)
    if np.any(np.isclose(curvatures, 0)):
        raise ValueError(f"every curvature must be positive or negative, and these are {curvatures}")
    if curvatures.min() > 0:  # (2.5)
        return "minimum"
    return "maximum" if curvatures.max() < 0 else "saddle"


def height(theta):
    """The loss of a landscape with a bent ravine, two valleys and a pass between them; theta (2,) or (2, ...)."""
    x, y = theta
    return x**4 / 8 - x**2 / 4 - 0.06 * x + 5 * (y - 0.35 * np.sin(1.5 * x)) ** 2


def slope_of_height(theta):
    """Its gradient (2,)."""
    x, y = theta
    across = 10 * (y - 0.35 * np.sin(1.5 * x))
    return np.array([x**3 / 2 - x / 2 - 0.06 - across * 0.525 * np.cos(1.5 * x), across])


# %% [markdown]
# The judge of (2.5) knows nothing of eigenvalues: it takes a small step in each of two thousand directions, and looks
# how far up and how far down they lead.


# %%
def by_curvature(A, b):
    """The critical point of v . A v / 2 + (b . v)^3 at 0: its kind, lowest and highest rise, over epsilon squared."""
    H = hessian(lambda v: A @ v + 3 * (b @ v) ** 2 * b, np.zeros(len(b)))
    curvatures = np.linalg.eigvalsh(H)
    return kind_of(H), curvatures.min() / 2, curvatures.max() / 2  # (2.5)


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


prove("2.5", by_curvature, by_looking_round, cases=critical_points(100), name="critical point", rtol=0.05, atol=0.05)

# %% [markdown]
# Now a landscape that has it all: a bent ravine, and along its floor a shallow valley, a pass and a deep valley.

# %%
grid = np.stack(np.meshgrid(np.linspace(-2.3, 2.3, 231), np.linspace(-1.1, 1.1, 111)))
flat = [optimize.root(slope_of_height, guess).x for guess in ((-1, -0.3), (0, 0), (1, 0.3))]
shallow, saddle, deep = flat


def draw_map(axis, title=""):
    """Draw the landscape: lines of equal height, a filled dot in each valley, a cross on the pass."""
    levels = np.min(height(grid)) + np.linspace(0, 2.6, 22) ** 2
    axis.contour(*grid, height(grid), levels=levels, colors="#bbbbbb", linewidths=0.7, linestyles="-")
    axis.plot(*np.transpose([shallow, deep]), "o", color="black", markersize=4, zorder=5)
    axis.plot(*saddle, "x", color="black", markersize=6, zorder=5)
    axis.set(title=title, xlabel="$\\theta_1$", ylabel="$\\theta_2$", xlim=(-2.3, 2.3), ylim=(-1.1, 1.1))


figure, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[1.25, 1])
draw_map(axes[0], "from above")
for point in flat:
    curvatures, directions = np.linalg.eigh(hessian(slope_of_height, point))
    for curvature, way in zip(curvatures, directions.T):
        colour, reach = (ORANGE if curvature < 0 else BLUE), 0.14 + 0.015 * abs(curvature)
        axes[0].plot(*np.transpose([point - reach * way, point + reach * way]), "-", color=colour, linewidth=2.5)
    values = ", ".join(f"{value:.2g}".replace("-", "−") for value in curvatures)
    kind = kind_of(hessian(slope_of_height, point))
    axes[0].text(point[0], -0.98, f"{kind}\n{values}", ha="center", fontsize=9, backgroundcolor="white")
floor = np.linspace(-1.9, 1.9, 200)
axes[1].plot(floor, height((floor, 0.35 * np.sin(1.5 * floor))))
axes[1].plot([shallow[0], deep[0]], [height(shallow), height(deep)], "o", color="black", markersize=4)
axes[1].plot(saddle[0], height(saddle), "x", color="black")
axes[1].set(title="along the floor of the ravine", xlabel="$\\theta_1$", ylabel="loss")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.3. Left: the landscape and its three critical points, each with its eigenvectors (blue: up to both sides,
# orange: down) and eigenvalues. Right: a section along the floor.*
#
# ## Memory: momentum
#
# A ball in a ravine does not zigzag. It is heavy: pushes to the left and right cancel, and the pushes along the floor
# add up. **Momentum** (Polyak, 1964) gives the parameters a velocity $v$, which keeps a part $\mu$ of itself in every
# step:
#
# $$ v \leftarrow \mu v - \alpha g, \qquad \theta \leftarrow \theta + v \tag{2.6} $$
#
# On a steady slope $g$ with $\mu = 0.9$ the velocities are $-\alpha g$, then $-1.9\,\alpha g$, then $-2.71\,\alpha g$:
# a geometric series, whose end is ten times the first step:
#
# $$ v_t = -\alpha g \left(1 + \mu + \dots + \mu^{t-1}\right) = -\alpha g\, \frac{1 - \mu^t}{1 - \mu} \tag{2.7} $$
#
# **Nesterov's** variant (1983; Sutskever et al., 2013) looks before it leaps. The velocity will carry you to
# $\theta + \mu v$ anyway, so take the slope *there*:
#
# $$ v \leftarrow \mu v - \alpha \nabla L(\theta + \mu v), \qquad \theta \leftarrow \theta + v \tag{2.8} $$
#
# A library is handed the slope at the parameters that it holds. So Keras holds the place that is looked at,
# $\varphi = \theta + \mu v$. Put that into (2.8), and with $g = \nabla L(\varphi)$ you get
#
# $$ v \leftarrow \mu v - \alpha g, \qquad \varphi \leftarrow \varphi + \mu v - \alpha g \tag{2.9} $$


# %%
def momentum(theta, slope, memory, rate, mu=0.9):
    """A step of gradient descent with momentum (2.6)."""
    v = mu * memory.get("v", 0.0) - rate * slope
    return theta + v, {"v": v}  # (2.6)


def velocity(slope, rate, mu, steps):
    """The velocity after some steps on a steady slope (2.7)."""
    return -rate * slope * (1 - mu**steps) / (1 - mu)  # (2.7)


def look_ahead(slope_at, theta, v, rate, mu=0.9):
    """A step of Nesterov's method as in the books (2.8); slope_at: a function. Returns the new theta and v."""
    v = mu * v - rate * slope_at(theta + mu * v)
    return theta + v, v  # (2.8)


def nesterov(theta, slope, memory, rate, mu=0.9):
    """The same as in Keras (2.9); theta is the place that is looked at."""
    v = mu * memory.get("v", 0.0) - rate * slope
    return theta + mu * v - rate * slope, {"v": v}  # (2.9)


def walk(step, slope_at, theta, steps, **settings):
    """The path (steps + 1, n) that a step function takes from theta; slope_at: the gradient as a function of theta."""
    path, memory = [np.asarray(theta, float)], {}
    for _ in range(steps):
        theta, memory = step(path[-1], slope_at(path[-1]), memory, **settings)
        if not np.all(np.abs(theta) < 1e9):
            raise ValueError(
                f"step {len(path)} leads out of all bounds, theta to {np.abs(theta).max():.3g}: lower the rate"
            )
        path.append(theta)
    return np.array(path)


# %% [markdown]
# Each optimiser is handed the same random slopes as the one in `keras.optimizers`, and must stand in the same place
# after every step; for (2.8) both walk through a bowl.


# %%
def follow(step, theta, slopes, **settings):
    """The path (steps, n) that a step function takes when it is handed these slopes (steps, n)."""
    handed = iter(slopes)
    return walk(step, lambda _: next(handed), theta, len(slopes), **settings)[1:]


def momentum_path(theta, slopes, rate, mu):
    return follow(momentum, theta, slopes, rate=rate, mu=mu)


def keras_momentum_path(theta, slopes, rate, mu):
    return keras_walk(keras.optimizers.SGD(rate, momentum=mu), theta, slopes)


def keras_velocity(slope, rate, mu, steps):
    path = keras_walk(keras.optimizers.SGD(rate, momentum=mu), [0.0], [[slope]] * steps)[:, 0]
    return path[-1] - (path[-2] if steps > 1 else 0)


def looking_ahead(H, theta, rate, mu):
    path, v = [], np.zeros(len(theta))
    for _ in range(6):
        theta, v = look_ahead(lambda place: H @ place, theta, v, rate, mu)
        path.append(theta + mu * v)
    return np.array(path)


def keras_nesterov(H, theta, rate, mu):
    optimizer = keras.optimizers.SGD(rate, momentum=mu, nesterov=True)
    variable, path = keras.Variable(theta.astype("float32")), []
    for _ in range(6):
        optimizer.apply([ops.matmul(tensor(H), variable.value)], [variable])
        path.append(ops.convert_to_numpy(variable.value).copy())
    return np.array(path)


def nesterov_path(theta, slopes, rate, mu):
    return follow(nesterov, theta, slopes, rate=rate, mu=mu)


def keras_nesterov_path(theta, slopes, rate, mu):
    return keras_walk(keras.optimizers.SGD(rate, momentum=mu, nesterov=True), theta, slopes)


def slopes_and_rates(count):
    """Random (theta, slopes, rate, another number below 1); the slopes are of very different sizes."""
    for _ in range(count):
        sizes = 10 ** rng.uniform(-3, 2, 4)
        yield rng.normal(size=4), rng.normal(size=(6, 4)) * sizes, float(10 ** rng.uniform(-3, 0)), float(rng.random())


def bowls_and_rates(count):
    for H, theta, rate, _ in bowls(count):
        yield H, theta, rate / 4, float(rng.random())


prove("2.6", momentum_path, keras_momentum_path, cases=slopes_and_rates(20), rtol=1e-4, atol=1e-5)
prove(
    "2.7", velocity, keras_velocity, cases=((-2.0, 0.1, mu, t) for mu in (0.0, 0.5, 0.9) for t in (1, 2, 5)), rtol=1e-4
)
prove("2.8", looking_ahead, keras_nesterov, cases=bowls_and_rates(20), rtol=1e-3, atol=1e-4)
prove("2.9", nesterov_path, keras_nesterov_path, cases=slopes_and_rates(20), rtol=1e-4, atol=1e-5)

# %% [markdown]
# ## A step size for each number
#
# Momentum gives one speed to all. But a pixel in the corner sends its weights a slope once in a while, one in the
# middle in every batch. **RMSProp** (Tieleman and Hinton, 2012) divides each slope by its usual size, the root of a
# running mean of its squares ($\varepsilon$ is tiny, and prevents a division by 0; powers and roots are taken number by
# number):
#
# $$ s \leftarrow \rho s + (1 - \rho)\, g^2, \qquad \theta \leftarrow \theta - \alpha\, \frac{g}{\sqrt{s + \varepsilon}}
#    \tag{2.10} $$
#
# Such a running mean starts at 0, and it takes time to forget that. With $\beta = 0.9$ the first is $m_1 = 0.1\, g$, a
# tenth of what it should be. Written out,
#
# $$ m_t = (1 - \beta) \sum_{i=1}^{t} \beta^{t-i} g_i, \qquad \text{with weights that add up to } 1 - \beta^t
#    \tag{2.11} $$
#
# so divide by $1 - \beta^t$. **Adam** (Kingma and Ba, 2015) is momentum and RMSProp, both corrected:
#
# $$ \begin{aligned} m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad s \leftarrow \beta_2 s + (1 - \beta_2)\, g^2 \\
#    \theta &\leftarrow \theta - \alpha\, \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\; \frac{m}{\sqrt{s} + \varepsilon}
#    \end{aligned} \tag{2.12} $$
#
# The first step is then $-\alpha$ times the sign of $g$, whatever its size (if it is not as tiny as $\varepsilon$).
# Without the correction, with $\beta_1 = 0.9$ and $\beta_2 = 0.999$, it would be $0.1/\sqrt{0.001} = 3.16$ times as
# long. (The paper's first form corrects $s$ *before* it adds $\varepsilon$; Keras uses its second one, which is (2.12).
# And mind the place of $\varepsilon$: inside the root in (2.10), outside in (2.12).)


# %%
def rmsprop(theta, slope, memory, rate, rho=0.9, epsilon=1e-7):
    """A step of RMSProp (2.10)."""
    s = rho * memory.get("s", 0.0) + (1 - rho) * slope**2
    return theta - rate * slope / np.sqrt(s + epsilon), {"s": s}  # (2.10)


def running_mean(values, beta):
    """The running mean of values (steps, n) after the last one, and the sum of its weights (2.11)."""
    steps = len(values)
    weights = (1 - beta) * beta ** np.arange(steps)[::-1]
    return weights @ values, 1 - beta**steps  # (2.11)


def adam(theta, slope, memory, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """A step of Adam (2.12)."""
    t = memory.get("t", 0) + 1
    m = beta_1 * memory.get("m", 0.0) + (1 - beta_1) * slope
    s = beta_2 * memory.get("s", 0.0) + (1 - beta_2) * slope**2
    rate = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return theta - rate * m / (np.sqrt(s) + epsilon), {"m": m, "s": s, "t": t}  # (2.12)


# %% [markdown]
# The judge of (2.11) is SciPy's filter for signals; what it makes of ones is the sum of the weights.


# %%
def rmsprop_path(theta, slopes, rate, rho):
    return follow(rmsprop, theta, slopes, rate=rate, rho=rho, epsilon=1e-3)


def keras_rmsprop_path(theta, slopes, rate, rho):
    return keras_walk(keras.optimizers.RMSprop(rate, rho=rho, epsilon=1e-3), theta, slopes)


def filtered(values, beta):
    with_ones = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    smooth = signal.lfilter([1 - beta], [1, -beta], with_ones, axis=0)[-1]
    return smooth[:-1], smooth[-1]


def adam_path(theta, slopes, rate, beta):
    return follow(adam, theta, slopes, rate=rate, beta_1=beta, epsilon=1e-3)


def keras_adam_path(theta, slopes, rate, beta):
    return keras_walk(keras.optimizers.Adam(rate, beta_1=beta, epsilon=1e-3), theta, slopes)


prove("2.10", rmsprop_path, keras_rmsprop_path, cases=slopes_and_rates(20), rtol=1e-3, atol=1e-4)
prove("2.11", running_mean, filtered, cases=((slopes, beta) for _, slopes, _, beta in slopes_and_rates(50)))
prove("2.12", adam_path, keras_adam_path, cases=slopes_and_rates(20), rtol=1e-3, atol=1e-4)

# %% [markdown]
# Let all five loose on the landscape, at the same learning rate, from two places: high on the wall at the left, and a
# hundredth beside the pass.

# %%
RUNNERS = {"descent": descend, "momentum": momentum, "Nesterov": nesterov, "RMSProp": rmsprop, "Adam": adam}
wall, brink = np.array([-1.9, 0.6]), saddle + [0.01, 0.0]
paths = {}
for name, step in RUNNERS.items():
    paths[name] = [walk(step, slope_of_height, at, 200, rate=0.05) for at in (wall, brink)]
figure, axes = plt.subplots(2, 3, figsize=(9.6, 5))
for axis, (name, (first, second)) in zip(axes.flat, paths.items()):
    draw_map(axis, name)
    axis.plot(*first.T, "o-", color=BLUE, markersize=2, linewidth=1)
    axis.plot(*second.T, "s--", color=ORANGE, markersize=2, linewidth=1)
    axis.plot(*np.transpose([wall, brink]), "*", color="black", markersize=8)
    axis.label_outer()
for name, (_, second) in paths.items():
    axes[1, 2].plot(height(second.T), label=name)
axes[1, 2].set(title="from beside the pass", xlabel="step", ylabel="loss")
axes[1, 2].legend(fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.4. Five optimisers from two starts (stars; orange: beside the pass), 200 steps of rate 0.05 each. Descent
# slides down the wall, then creeps along the floor; momentum and Nesterov are heavy enough to roll through the shallow
# valley and over the pass; RMSProp and Adam take steps as long on the floor as on the wall. Last: the loss from the
# second start. All others are long gone when descent begins to notice the way down.*
#
# How long does one sit on the pass? Put plain descent and momentum still closer to it, a hundred times at random and at
# three learning rates, and count the steps until they are a quarter away.


# %%
def steps_to_leave(step, places, rate):
    """Steps until walks from places (2, count) near the pass are a quarter away from it along the floor: (count,)."""
    path = walk(step, slope_of_height, places, 3000, rate=rate)
    away = np.abs(path[:, 0] - saddle[0]) > 0.25
    return np.where(away.any(axis=0), away.argmax(axis=0), np.inf)


# %%
beside = np.repeat(saddle[:, None], 100, axis=1)
beside[0] += rng.choice([-1, 1], 100) * rng.uniform(0.0005, 0.001, 100)
always_fewer = []
for rate in (0.01, 0.03, 0.05):
    without, with_it = (steps_to_leave(step, beside, rate) for step in (descend, momentum))
    print(f"rate {rate}: {np.median(without):.0f} steps without momentum, {np.median(with_it):.0f} with it (median)")
    always_fewer.append(np.all(with_it < without))

# %%
claim("2.1", "momentum leaves the saddle in fewer steps than plain descent, from every start", all(always_fewer))

# %% [markdown]
# So momentum is worth having. Is it always better? Look at a third start, on the wall at the *right*, above the deep
# valley.

# %%
right_wall = np.array([1.9, -0.6])
ends = {
    name: [walk(RUNNERS[name], slope_of_height, at, 300, rate=0.05)[-1] for at in (wall, right_wall)]
    for name in ("descent", "momentum")
}
for name, (from_left, from_right) in ends.items():
    print(f"{name}: from the left a loss of {height(from_left):.3f}, from the right {height(from_right):.3f}")

# %%
stays, rolls = ends["descent"], ends["momentum"]
claim(
    "2.2",
    "plain descent ends in the valley it starts above; momentum crosses the pass, into the deep valley and out of it",
    np.allclose(stays, [shallow, deep], atol=0.01) and np.allclose(rolls, [deep, shallow], atol=0.01),
)

# %% [markdown]
# What carries it over a hump carries it out of a good place, too. No optimiser knows which valley is deep.
#
# **Try it.** Find a rate at which Adam crosses the pass from the left. Then give gradient descent noise: add
# `rng.normal(size=2)` to the slope, and see where it ends in ten tries.
#
# ## Does the signal arrive?
#
# Now the machine on the left of Figure 2.1, which did not even begin. Follow signal and blame through its layers at the
# start, when the biases are 0 and the weights random numbers with mean 0 and one variance, independent of each other
# and of what comes in. A sum $z$ of $n$ terms $w_j h_j$ then has mean 0, and the variances of its terms add up:
#
# $$ \mathrm{Var}[z] = n\, \mathrm{Var}[w]\, \mathbb{E}[h^2] \tag{2.13} $$
#
# Mind the last factor. It is not $\mathrm{Var}[h]$, unless $h$ has mean 0, and what comes out of a ReLU has not. It is
# the **second moment**, and for that the ReLU has a simple answer. If $z$ is as often $a$ as $-a$, half of its squares
# survive:
#
# $$ \mathbb{E}\bigl[\operatorname{ReLU}(z)^2\bigr] = \tfrac12\, \mathrm{Var}[z] \tag{2.14} $$
#
# Put one into the other, and each layer multiplies the variance by one and the same factor. Weights drawn symmetrically
# about 0 make $z$ symmetric, so with $n$ units in every layer
#
# $$ \mathrm{Var}[z_l] = \left( \frac{n \mathrm{Var}[w]}{2} \right)^{l-1} \mathrm{Var}[z_1] \tag{2.15} $$
#
# With $\mathrm{Var}[w] = 1/n$, chapter 01's choice, the factor is a half: in layer 20 two millionths are left. With
# $4/n$ it is two: half a million times too much. Only $\mathrm{Var}[w] = 2/n$ keeps it: the initialisation of **He** et
# al. (2015).
#
# The blame goes the same way back. With (1.14), if the weights into the next layer are independent of the blame that
# comes through them (which at the start is nearly so),
#
# $$ \mathbb{E}[\delta_l^2] = n_{l+1} \mathrm{Var}[w]\; \mathbb{E}\bigl[f'(z_l)^2\bigr]\; \mathbb{E}[\delta_{l+1}^2]
#    \tag{2.16} $$
#
# For ReLU, $f'$ is 1 for half of the units, so the factor is $n_{l+1} \mathrm{Var}[w]/2$: He's choice again, with the
# number of outputs in place of the inputs. For tanh near 0, $f' \approx 1$, and one would like $\mathrm{Var}[w] = 1/n$
# for both numbers. **Glorot** and Bengio (2010) take the mean of the two numbers:
#
# $$ \mathrm{Var}[w] = \frac{2}{n_\text{in} + n_\text{out}} \quad \text{(Glorot, the default in Keras)}, \qquad
#    \mathrm{Var}[w] = \frac{2}{n_\text{in}} \quad \text{(He)} \tag{2.17} $$
#
# And the sigmoid? Its slope is at most $1/4$, so with $n \mathrm{Var}[w] = 1$ the blame (the root of its mean square)
# shrinks at least fourfold in every layer: after ten of them, less than a millionth is left. This is what became of
# $\delta$ on the left of Figure 2.1.


# %%
def variance_of_sum(inputs, weight_variance, second_moment):
    """The variance of a unit's sum (2.13); second_moment: the mean of the squares of what comes in."""
    return inputs * weight_variance * second_moment  # (2.13)


def after_relu(variance):
    """The second moment after a ReLU of a symmetric z with this variance (2.14)."""
    return variance / 2  # (2.14)


def growth(units, weight_variance, depth):
    """Var[z] in the last of `depth` ReLU layers of equal width, over that in the first (2.15)."""
    return (units * weight_variance / 2) ** (depth - 1)  # (2.15)


def blame_before(units_above, weight_variance, slope_squared, blame_squared):
    """The mean square of the blame one layer further back (2.16)."""
    return units_above * weight_variance * slope_squared * blame_squared  # (2.16)


def weight_variances(inputs, outputs):
    """The variances of a weight by Glorot and by He (2.17)."""
    return 2 / (inputs + outputs), 2 / inputs  # (2.17)


# %% [markdown]
# Are these averages exact? Let the weights be $+a$ or $-a$, and go through *every* choice of signs. Two units in each
# of twenty layers make $2^{80}$ networks for (2.15); those that lead to the same activations are counted
# together. (2.16) is judged by automatic differentiation through every $W_{l+1}$, (2.17) by what Keras draws.


# %%
def variance_by_all_signs(a, h):
    """The variance of w . h over all w of entries a or -a and over the rows of h (count, n), equally likely."""
    sums = [np.dot(signs, row) for signs in product((-a, a), repeat=h.shape[1]) for row in h]
    return np.var(sums)


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


SLOPES = {"relu": lambda z: np.heaviside(z, 0.0), "tanh": lambda z: 1 / np.cosh(z) ** 2}  # (1.3)


def our_blame(a, z, upstream, f):
    return blame_before(len(upstream), a**2, np.mean(SLOPES[f](z) ** 2), np.mean(upstream**2))


def blame_by_all_signs(a, z, upstream, f):
    """The mean square of the gradient at z of upstream . W f(z), over all W with entries a or -a."""
    choices = np.array(list(product((-a, a), repeat=len(z) * len(upstream))))
    W = tensor(choices.reshape(-1, len(upstream), len(z)))

    def loss(sums):
        h = keras.activations.get(f)(sums)
        return ops.sum(ops.einsum("wuz,wz,u->w", W, h, tensor(upstream)))

    found = gradient(loss, np.repeat(z[None].astype("float32"), len(choices), axis=0))
    return np.mean(ops.convert_to_numpy(found) ** 2)


def keras_weight_variances(inputs, outputs):
    kinds = (keras.initializers.GlorotNormal, keras.initializers.HeNormal)
    drawn = [kind(seed=int(rng.integers(2**31)))((inputs, outputs)) for kind in kinds]
    return [np.var(ops.convert_to_numpy(weights)) for weights in drawn]


def signed_inputs(count):
    for a in rng.uniform(0.1, 2, count):
        yield float(a), rng.normal(size=(3, 4))


def signed_layers(count):
    for i in range(count):
        z, upstream = rng.normal(size=3), rng.normal(size=2)
        yield float(rng.uniform(0.2, 2)), z, upstream, ["relu", "tanh"][i % 2]


DISTRIBUTIONS = ("norm", "laplace", "logistic", "cosine")
DEEP_CASES = [(variance, depth, x) for variance in (0.25, 1.0, 4.0) for depth in (2, 5, 20) for x in ((1, 3), (2, 5))]
SHAPES = [(784, 100), (100, 784), (300, 300)]

prove("2.13", our_variance, variance_by_all_signs, cases=signed_inputs(50), name="variance of a sum")
prove("2.14", half_of, integrated, cases=product(DISTRIBUTIONS, (0.5, 1.0, 3.0)), name="half after ReLU")
prove("2.15", our_growth, growth_by_all_signs, cases=DEEP_CASES, name="growth through ReLU layers")
prove("2.16", our_blame, blame_by_all_signs, cases=signed_layers(30), name="blame one layer back", rtol=1e-3)
prove("2.17", weight_variances, keras_weight_variances, cases=SHAPES, rtol=0.05)  # of thousands of draws

# %% [markdown]
# An average over all networks says little if single ones scatter. So send real digits through twenty layers of 200
# units, five networks of each kind.


# %%
def through(x, depth, units, variance, f):
    """The mean square of the sums in each layer, and of the blame in each layer if it is 1 on average at the top.

    x: inputs (count, n). variance: of the weights, times the number of inputs. f: "relu", "tanh" or "sigmoid".
    """
    bend = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": special.expit}[f]
    slope = SLOPES.get(f, lambda z: special.expit(z) * special.expit(-z))
    h, matrices, sums = x, [], []
    for _ in range(depth):
        matrices.append(rng.normal(size=(units, h.shape[1])) * np.sqrt(variance / h.shape[1]))
        sums.append(h @ matrices[-1].T)
        h = bend(sums[-1])
    blames = [rng.normal(size=sums[-1].shape)]
    for W, z in zip(matrices[:0:-1], sums[-2::-1]):
        blames.append(blames[-1] @ W * slope(z))
    return [[np.mean(values**2) for values in series] for series in (sums, blames[::-1])]


# %%
depths = np.arange(1, 21)
kinds = {"1/n": 1.0, "2/n (He)": 2.0, "4/n": 4.0}
pairs = [("sigmoid", 1.0), ("tanh", 1.0), ("relu", 1.0), ("relu", 2.0), ("relu", 4.0)]
sent = {(f, v): [through(images[:50], 20, 200, v, f) for _ in range(5)] for f, v in pairs}
forward = {name: [there for there, _ in sent["relu", v]] for name, v in kinds.items()}
backward = {f"{f}, {v:.0f}/n": [back for _, back in sent[f, v]] for f, v in pairs[:4]}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3))
for (name, runs), variance, colour in zip(forward.items(), kinds.values(), plots.COLOURS):
    predicted = np.mean([run[0] for run in runs]) * growth(200, variance / 200, depths)
    axes[0].plot(depths, np.transpose(runs), "-", color=colour, linewidth=0.8, alpha=0.7)
    axes[0].plot(depths, predicted, ":", color="black", linewidth=1.2)
    axes[0].text(20.4, predicted[-1], f"${name[:3]}$" + name[3:], va="center")
for (name, runs), line, colour in zip(backward.items(), plots.LINES, plots.COLOURS):
    axes[1].plot(depths, np.exp(np.mean(np.log(runs), axis=0)), linestyle=line, color=colour, label=name)
axes[0].set(title="forward: the signal", xlabel="layer", ylabel="mean square of $z$", xlim=(0, 25), yscale="log")
axes[1].set(title="backward: the blame", xlabel="layer", ylabel="mean square of $\\delta$", yscale="log")
axes[1].legend(title="activation, $\\mathrm{Var}[w]$", fontsize=8)
for axis in axes:
    axis.set_xticks([1, 5, 10, 15, 20])
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.5. Digits on their way through twenty random layers. Left: ReLU, five networks of each kind, dotted (2.15).
# Right: the blame on its way back, from 1 at layer 20, the typical (geometric) mean of five networks.*

# %%
at_the_end = {name: np.mean([run[-1] / run[0] for run in runs]) for name, runs in forward.items()}
kept = at_the_end["2/n (He)"]
claim(
    "2.3",
    "He's weights keep the signal through 20 ReLU layers, half and twice their variance lose it or blow it up",
    1 / 5 < kept < 5 and at_the_end["1/n"] < 1e-4 and at_the_end["4/n"] > 1e4,
)

# %% [markdown]
# Does it matter for learning? Ten hidden layers of ReLU, weights of He's variance, a hundredth of it and a hundred
# times as much. The badly begun may try four learning rates, from a thousandth to thirty; He's has one.

# %%
epochs = budget(quick=5, full=10, least=2)  # on 2,000 digits
tiny_to_absurd = (0.001, 0.03, 1.0, 30.0)
rates, by_scale = {0.02: tiny_to_absurd, 2.0: (0.05,), 200.0: tiny_to_absurd}, defaultdict(list)
for variance, choices in rates.items():
    net = network([100] * 10, weights=keras.initializers.VarianceScaling(variance, "fan_in", "untruncated_normal"))
    net.compile(keras.optimizers.SGD(), LOSS, metrics=["accuracy"], steps_per_execution=at_once(20))
    beginning = net.get_weights()
    for rate in choices:
        net.set_weights(beginning)
        net.optimizer.learning_rate = rate
        net.fit(images, labels, batch_size=50, epochs=epochs, verbose=0)
        by_scale[variance].append(net.evaluate(unseen, true_labels, batch_size=2500, verbose=0)[1])
    print(f"Var[w] = {variance:g}/n: accuracy " + ", ".join(f"{share:.2f}" for share in by_scale[variance]))

# %%
claim(
    "2.4",
    "a bad scale of the first weights stops a network of ten hidden layers that He's trains, at any of four rates",
    max(by_scale[0.02] + by_scale[200.0]) < 0.3 < 0.5 < by_scale[2.0][0],
)

# %% [markdown]
# ## Normalise instead of hoping
#
# He's weights are right at the first step. After that training moves them, and nothing keeps the sums in range. **Batch
# normalisation** (Ioffe and Szegedy, 2015) keeps them by force. For each unit, take mean and variance of its sum over
# the batch (the variance is the plain mean of the squared distances from the mean), and normalise; then let the network
# choose another scale $\gamma$ and offset $\beta$ if it needs them:
#
# $$ \hat z = \frac{z - \mathbb{E}_B[z]}{\sqrt{\mathrm{Var}_B[z] + \varepsilon}}, \qquad h = f(\gamma \hat z + \beta)
#    \tag{2.18} $$
#
# A unit with the sums $1, 3, 5, 7$ in a batch of four has mean 4 and variance 5, and hands on
# $-1.34, -0.45, 0.45, 1.34$. What a digit gets depends on its company. In training that is bearable; when somebody asks
# for *one* digit, there is no company. So the layer keeps running means, as in (2.11) but begun at 0 and 1 and not
# corrected, and when it is asked and not trained, it uses those in place of the batch's:
#
# $$ \bar m \leftarrow \rho\, \bar m + (1 - \rho)\, \mathbb{E}_B[z], \qquad
#    \bar s \leftarrow \rho\, \bar s + (1 - \rho)\, \mathrm{Var}_B[z], \qquad
#    \hat z = \frac{z - \bar m}{\sqrt{\bar s + \varepsilon}} \tag{2.19} $$
#
# These two numbers for each unit are learned without any gradient. In Keras, $\rho$ is the layer's `momentum` (another
# momentum than (2.6)), and 0.99 if you do not say otherwise: after 100 batches more than a third of a running mean is
# still its start. That is why `network` above says 0.9.


# %%
def normalise(z, gamma, beta, epsilon=1e-3):
    """Batch normalisation in training (2.18), without f: z (batch, units), gamma and beta (units,)."""
    if not z.shape[-1] == len(gamma) == len(beta):
        raise ValueError(
            f"axis 1 of z, gamma and beta must have one size, not {z.shape[-1]}, {len(gamma)} and {len(beta)}"
        )
    return gamma * (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + epsilon) + beta  # (2.18)


def remember(batches, rho):
    """The running mean and variance (units,) after some batches (count, batch, units), as in (2.19)."""
    mean, variance = np.zeros(batches.shape[-1]), np.ones(batches.shape[-1])
    for z in batches:
        mean = rho * mean + (1 - rho) * z.mean(axis=0)
        variance = rho * variance + (1 - rho) * z.var(axis=0)  # (2.19)
    return mean, variance


# %%
def keras_normalise(z, gamma, beta):
    layer = keras.layers.BatchNormalization()
    layer.build(z.shape)
    layer.set_weights([gamma, beta, np.zeros(len(beta)), np.ones(len(beta))])
    return layer(z.astype("float32"), training=True)


def after_training(batches, z, rho):
    mean, variance = remember(batches, rho)
    return mean, variance, (z - mean) / np.sqrt(variance + 1e-3)


def keras_after_training(batches, z, rho):
    layer = keras.layers.BatchNormalization(momentum=rho)
    layer.build(z.shape)
    for batch in batches:
        layer(batch.astype("float32"), training=True)
    return layer.moving_mean, layer.moving_variance, layer(z.astype("float32"), training=False)


def batches_of_sums(count):
    for _ in range(count):
        scale, shift = rng.uniform(0.5, 3, 4), rng.normal(size=4)
        yield shift + scale * rng.normal(size=(5, 8, 4)), rng.normal(size=(3, 4)), float(rng.uniform(0.5, 0.99))


prove(
    "2.18",
    normalise,
    keras_normalise,
    cases=((batches[0], rng.normal(size=4), rng.normal(size=4)) for batches, _, _ in batches_of_sums(30)),
    rtol=1e-3,
    atol=1e-4,
)
prove("2.19", after_training, keras_after_training, cases=batches_of_sums(20), rtol=1e-3, atol=1e-4)

# %% [markdown]
# What do you gain? Multiply all weights of the layer by 10: mean and deviation grow alike, and but for $\varepsilon$
# (2.18) puts out the same. Weights that have grown too large do no harm any more. Take a network of four hidden layers,
# He's weights, with and without normalisation, and try learning rates from too small to absurd.

# %%
rates = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
curves = {}
for name, normalised in {"plain": False, "batch normalisation": True}.items():
    net = network([100] * 4, normalise=normalised)
    net.compile(keras.optimizers.SGD(), LOSS, metrics=["accuracy"], steps_per_execution=at_once(20))
    beginning, curves[name] = net.get_weights(), []
    for rate in rates:
        net.set_weights(beginning)
        net.optimizer.learning_rate = rate
        net.fit(images, labels, batch_size=50, epochs=epochs - 1, verbose=0)
        curves[name].append(net.evaluate(unseen, true_labels, batch_size=2500, verbose=0)[1])
figure, axis = plt.subplots(figsize=(7, 3))
for (name, values), marker in zip(curves.items(), "os"):
    axis.plot(rates, values, marker=marker, label=name)
axis.axhline(0.1, color="black", linestyle=":", linewidth=1)
axis.set(xlabel="learning rate", ylabel="accuracy on unseen digits", xscale="log", ylim=(0, 1))
axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# *Figure 2.6. The same network after the same few epochs, at seven learning rates. The dotted line is guessing.*

# %%
broken = rates.index(3.0)
claim(
    "2.5",
    "batch normalisation bears a learning rate that breaks the plain network",
    curves["plain"][broken] < 0.5 < 0.8 < curves["batch normalisation"][broken],
)

# %% [markdown]
# (Ioffe and Szegedy's own explanation of why it helps is disputed; Santurkar et al., 2018. Chapters 04 and 07 build on
# it.)
#
# **Try it.** Use `normalise` on a batch of a single digit. What comes out, whatever goes in?
#
# ## Learned by heart
#
# Now the right of Figure 2.1. A thousand digits, and a network of 118,282 numbers: it can tell them apart by accidents,
# a speck here, a gap there, that are true of these thousand and of nothing else. That is **overfitting**, and you see
# it only on digits that were not learned from. So there are three kinds from now on: digits to learn from;
# **validation** digits to choose by (in the code, `checks`); and unseen ones to judge by at the very end.
#
# To bend sharply around single examples a network needs large weights. So let weights cost something. The **L2
# penalty** adds the sum of their squares to the loss, and with it a term to the slope that pulls every weight towards
# 0:
#
# $$ L_\lambda = L + \frac{\lambda}{2} \sum_i \theta_i^2, \qquad \nabla L_\lambda = \nabla L + \lambda \theta
#    \tag{2.20} $$
#
# Put that into plain descent. What comes out can be read another way: first let every weight **decay** by the factor
# $1 - \alpha\lambda$, then make the step that you would have made without a penalty (Krogh and Hertz, 1992):
#
# $$ \theta \leftarrow \theta - \alpha\,(g + \lambda \theta) = (1 - \alpha \lambda)\, \theta - \alpha g \tag{2.21} $$
#
# With $\alpha = 0.1$ and $\lambda = 0.01$ a weight that nothing speaks for loses a thousandth of itself in each step,
# and is down to $0.999^{1000} \approx 37\,\%$ after a thousand steps.


# %%
def penalty_slope(theta, strength):
    """What an L2 penalty adds to the slope (2.20)."""
    return strength * theta  # (2.20)


def decay(theta, rate, strength):
    """The weights after decaying for one step; the step without penalty is to follow, with the old slope (2.21)."""
    return (1 - rate * strength) * theta  # (2.21)


# %% [markdown]
# Keras has both, as a regulariser and as an optimiser's `weight_decay`; the regulariser leaves out the half, so its
# number is $\lambda/2$. The first proof differentiates it. In the second we walk by both sides of (2.21), and Keras
# lets weights decay.


# %%
def keras_penalty_slope(theta, strength):
    return gradient(keras.regularizers.L2(strength / 2), theta.astype("float32"))


def both_paths(theta, slopes, rate, strength):
    penalised, decayed = [theta], [theta]
    for slope in slopes:
        penalised.append(descend(penalised[-1], slope + penalty_slope(penalised[-1], strength), {}, rate)[0])
        decayed.append(descend(decay(decayed[-1], rate, strength), slope, {}, rate)[0])
    return np.array(penalised[1:]), np.array(decayed[1:])


def keras_decaying_path(theta, slopes, rate, strength):
    path = keras_walk(keras.optimizers.SGD(rate, weight_decay=strength), theta, slopes)
    return path, path


prove("2.20", penalty_slope, keras_penalty_slope, cases=((rng.normal(size=(4, 3)), float(c)) for c in rng.random(50)))
prove(
    "2.21",
    both_paths,
    keras_decaying_path,
    cases=slopes_and_rates(20),
    name="penalty as decay",
    rtol=1e-4,
    atol=1e-5,
)

# %% [markdown]
# For plain descent the two are the same. For Adam they are not. Take a *quiet* weight, whose slopes are noise of size
# 0.1, and a *loud* one with noise of size 10; neither is needed, so the penalty should take both to 0. Let 500 of each
# begin at 1.

# %%
RATE, STRENGTH = 0.01, 0.2
walks = {}
for name, inside in {"penalty in the loss": True, "decay beside the step": False}.items():
    theta, memory, means = np.ones((2, 500)), {}, []
    for _ in range(300):
        noise = rng.normal(size=theta.shape) * [[0.1], [10.0]]
        if inside:
            theta, memory = adam(theta, noise + penalty_slope(theta, STRENGTH), memory, RATE)
        else:
            theta, memory = adam(decay(theta, RATE, STRENGTH), noise, memory, RATE)
        means.append(theta.mean(axis=1))
    walks[name] = np.array(means)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.7), sharey=True)
for axis, (name, means) in zip(axes, walks.items()):
    axis.plot(means[:, 0], label="quiet weights")
    axis.plot(means[:, 1], label="loud weights")
    axis.plot((1 - RATE * STRENGTH) ** np.arange(300), ":", color="black", label="$(1 - \\alpha\\lambda)^t$")
    axis.set(title=f"Adam, {name}", xlabel="step", ylim=(-0.1, 1.1))
axes[0].set_ylabel("mean weight")
axes[1].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.7. Left: inside the loss the penalty is divided by each weight's usual slope, like everything that Adam is
# handed: the quiet weights lose all, the loud ones hardly anything. Right: beside the step both decay as (2.21) says
# (the dotted line).*

# %%
(quiet_in, loud_in), (quiet_by, loud_by) = (means[-1] for means in walks.values())
claim(
    "2.6",
    "with Adam a penalty in the loss spares the loud weights, decay beside the step treats all alike",
    loud_in - quiet_in > 0.6 and abs(loud_by - quiet_by) < 0.1,
)

# %% [markdown]
# Decay beside Adam's step is called **AdamW** (Loshchilov and Hutter, 2019), and is what you will write in exercise
# 2.2.
#
# ## A lottery for units
#
# A network that crams relies on conspiracies: this unit corrects that one, for that one digit. **Dropout** (Srivastava
# et al., 2014) makes conspiracies useless. In every training step each unit is struck out with probability $r$, anew
# for each example. The survivors are divided by $1 - r$, so that the next layer receives the same on average:
#
# $$ \tilde h = \frac{k \odot h}{1 - r}, \qquad k_i = 1 \text{ with probability } 1 - r, \text{ else } 0 \tag{2.22} $$
#
# With $r = 1/4$, a unit of $h = 3$ becomes $4$ in three of four steps and $0$ in the fourth: $3$ on average. The
# variance, and so the noise that dropout puts in, follows in the same way: $\mathbb{E}[\tilde h^2] = h^2/(1 - r)$,
# minus $h^2$.
#
# $$ \mathbb{E}[\tilde h] = h, \qquad \mathrm{Var}[\tilde h] = \frac{r}{1 - r}\, h^2 \tag{2.23} $$
#
# When the network is asked and not trained, nothing is struck out and nothing divided: the average is taken care of.
# (This is *inverted* dropout, as in Keras. The paper divided nothing in training and multiplied the weights by $1 - r$
# afterwards.)


# %%
def strike_out(h, kept, share):
    """Inverted dropout (2.22): h and kept, of ones and zeros, both (batch, units); share: r, struck out on average."""
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, not {share}")
    if np.shape(h) != np.shape(kept):
        raise ValueError(f"h and kept must have one shape, not {np.shape(h)} and {np.shape(kept)}")
    return kept * h / (1 - share)  # (2.22)


def dropout_statistics(h, share):
    """Mean and variance of what comes out (2.23)."""
    return h, share / (1 - share) * h**2  # (2.23)


# %%
def struck_like_keras(h, share):
    """Dropout with the choice that Keras makes on numbers other than 0."""
    kept = ops.convert_to_numpy(keras.layers.Dropout(share, seed=1)(tensor(h), training=True)) != 0
    return strike_out(h, kept, share)


def keras_dropout(h, share):
    return keras.layers.Dropout(share, seed=1)(tensor(h), training=True)


def all_ways_to_strike(h, share):
    """Mean and variance over every choice of survivors, each with its probability."""
    ways = np.array(list(product((0, 1), repeat=len(h))))
    chances = np.prod(np.where(ways, 1 - share, share), axis=1)
    out = np.where(ways, h / (1 - share), 0)
    mean = chances @ out
    return mean, chances @ (out - mean) ** 2


def shares_to_strike(*shape):
    for share in rng.uniform(0.1, 0.9, 30):
        yield rng.normal(size=shape), float(share)


prove("2.22", struck_like_keras, keras_dropout, cases=shares_to_strike(4, 6), name="inverted dropout", rtol=1e-4)
prove("2.23", dropout_statistics, all_ways_to_strike, cases=shares_to_strike(5))

# %% [markdown]
# The third remedy needs no equation. Watch the loss on the validation digits; when it has not improved for some epochs
# (the *patience*), stop, and go back to the weights of the best epoch. In Keras this is the callback `EarlyStopping`.
# **Early stopping** (Prechelt, 1998) is said to work because cramming takes time: by (2.3) descent first goes far along
# the directions of high curvature, which many examples share, and comes last to the accidents. (For a bowl one can show
# that stopping after some steps does to each direction nearly what a penalty of a certain strength does; Goodfellow et
# al., 2016, section 7.8.)
#
# ## Which of them helps when?
#
# Ask by experiment. Four situations: a hundred labelled digits; a thousand; a thousand of which 40 % have been given a
# random label; and a thousand for a network with so few units that it can hardly cram. In each, four contestants get
# the same digits, the same first weights and 400 steps of Adam: the plain network, one with weight decay
# ($\lambda = 3$, $\alpha = 0.003$), one with dropout (half of the units and, as its authors advise for inputs, fewer of
# the pixels: a fifth), and the plain one stopped early. The strengths are the same throughout. Early stopping gets what
# the others do not: 500 validation digits, with right labels.


# %%
class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the best epoch on the validation digits: early stopping that is patient to the end."""

    def on_train_begin(self, logs=None):
        self.lowest = np.inf

    def on_epoch_end(self, epoch, logs=None):
        loss = float(LOSS(check_labels, self.model(checks, training=False)))
        if loss < self.lowest:
            self.lowest, self.weights = loss, self.model.get_weights()


def judged(net):
    """Loss and accuracy of a network on the unseen digits."""
    scores = ops.convert_to_numpy(net(unseen, training=False))
    return float(LOSS(true_labels, scores)), np.mean(scores.argmax(axis=1) == true_labels)


# %%
SITUATIONS = {  # labelled digits, the share of them with a random label, units in the hidden layer
    "100 labels": (100, 0.0, 100),
    "1,000 labels": (1000, 0.0, 100),
    "1,000 labels, 40 % random": (1000, 0.4, 100),
    "1,000 labels, 8 units": (1000, 0.0, 8),
}
CONTESTANTS = {"plain": (0.0, 0.0), "weight decay": (3.0, 0.0), "dropout": (0.0, 0.5)}  # strength, share struck out
repeats = budget(quick=2, full=5, least=1)
draws = {}  # what all contestants are given, by situation and repeat: digits, labels, first weights
for name, (size, random_share, units) in SITUATIONS.items():
    for repeat in range(repeats):
        some = rng.choice(len(images), size, replace=False)
        given = np.where(rng.random(size) < random_share, rng.integers(10, size=size), labels[some])
        draws[name, repeat] = images[some], given, network([units]).get_weights()

# %%
reached, learned = {}, {}  # (loss, accuracy) by contestant, situation and repeat; weights likewise
for units in (100, 8):
    for contestant, (strength, share) in CONTESTANTS.items():
        net = network([units], dropout=share)
        optimizer = keras.optimizers.AdamW(0.003, weight_decay=strength)
        net.compile(optimizer, LOSS, steps_per_execution=at_once(40))
        optimizer.build(net.trainable_variables)
        rewind = rewinder(net)  # back to an optimiser that has seen nothing
        for (name, repeat), (x, y, weights) in draws.items():
            if SITUATIONS[name][2] == units:
                rewind()
                net.set_weights(weights)
                keeper, times = KeepBest(), 2000 // len(x)  # an epoch shows 2,000 digits, some of them again and again
                x, y = np.tile(x, (times, 1)), np.tile(y, times)
                net.fit(x, y, batch_size=50, epochs=10, callbacks=[keeper] * (contestant == "plain"), verbose=0)
                learned[contestant, name, repeat] = net.get_weights()
                reached[contestant, name, repeat] = judged(net)
                if contestant == "plain":
                    net.set_weights(keeper.weights)
                    reached["early stopping", name, repeat] = judged(net)

# %%
everyone = [*CONTESTANTS, "early stopping"]
results = {}  # (loss, accuracy), the mean of the repeats
for contestant, name in product(everyone, SITUATIONS):
    results[contestant, name] = np.mean([reached[contestant, name, repeat] for repeat in range(repeats)], axis=0)

figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=True)
places = np.arange(len(SITUATIONS))
for which, (axis, factor) in enumerate(zip(axes, (1, 100))):
    axis.axvline(0, color="black", linewidth=0.8)
    for contestant, marker, colour, shift in zip(everyone[1:], "sDo", plots.COLOURS, (-0.22, 0, 0.22)):
        gains = [factor * (results[contestant, name] - results["plain", name])[which] for name in SITUATIONS]
        axis.hlines(places + shift, 0, gains, color=colour, linewidth=1.5, linestyle="-")
        axis.plot(gains, places + shift, marker, color=colour, label=contestant, markersize=5, linestyle="none")
plain = [results["plain", name] for name in SITUATIONS]
axes[0].set_yticks(
    places, [f"{name}\n(plain: {loss:.2f}, {share:.1%})" for name, (loss, share) in zip(SITUATIONS, plain)]
)
axes[0].invert_yaxis()
axes[0].set(title="loss: left is better", xlabel="loss on unseen digits, minus that of plain")
axes[1].set(title="accuracy: right is better", xlabel="percentage points more than plain")
axes[0].legend(loc="upper right", fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 2.8. What each regulariser adds to the plain network, whose own loss and accuracy stand at the left, in four
# situations.*

# %%
clean, noisy, small = ("1,000 labels", "1,000 labels, 40 % random", "1,000 labels, 8 units")
gained = {(who, name): results[who, name][1] - results["plain", name][1] for who, name in product(everyone, SITUATIONS)}

# %%
claim(
    "2.7",
    "where many of a thousand labels are random, weight decay, dropout and early stopping all raise the accuracy",
    min(gained[contestant, noisy] for contestant in everyone[1:]) > 0.03,
)

# %%
claim(
    "2.8",
    "with a thousand right labels none of the three gains three points",
    max(gained[contestant, clean] for contestant in everyone) < 0.03,
)

# %%
claim(
    "2.9",
    "dropout raises the loss of a network of few units",
    results["dropout", small][0] > results["plain", small][0] + 0.1,
)

# %% [markdown]
# To learn a random label, a network has to learn that one digit by heart. Decay makes this dear, dropout makes it hard,
# and early stopping leaves before it happens, for what many digits agree on is learned first. With right labels there
# is little to repair: what a digit has in common with its kind and what is its own pull the same way. And in a network
# of eight units there is nothing to spare: strike out half of them, and what is left cannot learn what it should. **To
# regularise is to bet that something in the examples is not to be believed; where all of it is, there is little to
# win.**
#
# Look at the left picture too, before you call two networks equally good. And compare the first two rows: ten
# times the digits do more than any of the three.
#
# **Try it.** Give the plain network the 500 validation digits to learn from as well. Was early stopping worth its
# price?
#
# ## Look inside: what decay wipes away
#
# Chapter 01 found random numbers in the corners of its hidden units, where no digit ever has ink: no slope reaches
# them, so nothing ever changes them. Look again, at the first units of the three networks that learned from a thousand
# digits.

# %%
seen = draws[clean, 0][0]
figure, axes = plt.subplots(3, 9, figsize=(9, 3.3))
for row, contestant in zip(axes, CONTESTANTS):
    for axis, weights in zip(row, learned[contestant, clean, 0][0].T):
        axis.imshow(weights.reshape(28, 28), cmap="PuOr", vmin=-0.25, vmax=0.25)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(contestant)
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 2.9. The weights of nine hidden units in three networks that began alike; purple positive, orange negative,
# white 0, one scale for all.*

# %%
never_inked = seen.max(axis=0) == 0
left = {name: np.std(learned[name, clean, 0][0][never_inked]) for name in CONTESTANTS}
begun = np.std(draws[clean, 0][2][0][never_inked])
print("size of the weights of pixels that never had ink, of what it was at the start:")
print(", ".join(f"{name} {size / begun:.0%}" for name, size in left.items()))

# %% [markdown]
# The plain network carries the noise of its first day for ever. With decay, whatever the digits do not speak for fades
# at the pace of (2.21), now and then a whole unit, and what remains is smoother. Dropout wipes nothing away.
#
# ## Debug it
#
# The function below was copied from a training loop to the place where a finished network is asked. The network has
# batch normalisation and dropout. No error, no warning.


# %%
def answers(model, x, together):
    """What the model reads in x, asked a number of digits at a time."""
    scores = [model(x[i : i + together], training=True) for i in range(0, len(x), together)]
    return np.concatenate([ops.convert_to_numpy(part) for part in scores]).argmax(axis=1)


# %%
finished = network([100, 100], normalise=True, dropout=0.3)
finished.compile(keras.optimizers.Adam(0.003), LOSS)
finished.fit(images, labels, batch_size=50, epochs=budget(quick=6, full=20, least=1), verbose=0)
asked, wanted = unseen[:128], true_labels[:128]
as_trained = finished.get_weights()
should_be = np.mean(ops.convert_to_numpy(finished(asked)).argmax(axis=1) == wanted)

sizes, shares, twice = [1, 2, 4, 8, 16, 32, 128], [], []
for size in sizes:
    finished.set_weights(as_trained)
    first, second = (answers(finished, asked, size) for _ in range(2))
    shares.append(np.mean(first == wanted))
    twice.append(np.mean(first == second))
finished.set_weights(as_trained)

figure, axis = plt.subplots(figsize=(6.8, 2.9))
axis.axhline(should_be, color=GREEN, linestyle="-", linewidth=1.2, label="right, as it should be")
axis.plot(sizes, shares, "o-", label="right, as copied")
axis.plot(sizes, twice, "s--", label="the same answer when asked again")
axis.axhline(0.1, color="black", linestyle=":", linewidth=1, label="guessing")
axis.set(xlabel="digits asked together", ylabel="share of 128 digits", xscale="log", ylim=(0, 1.02))
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# *Figure 2.10. One network, the same 128 digits, asked by the copied function one at a time, two at a time, and so on.*
#
# In a crowd it reads well, alone it guesses, and asked twice it contradicts itself. Think before you read on.
#
# `training=True` leaves both layers in their training mode. Dropout goes on striking out units, hence the
# contradictions. Batch normalisation takes mean and variance of whatever company a digit has; of a single digit the
# mean is the digit itself, so $\hat z = 0$, whatever it is. And there is a third effect that nobody sees: (2.19) goes
# on as well, so that *asking changes the network*. `predict`, `evaluate` and a plain call `model(x)` use the right
# mode; loops of your own must. The habit to keep: **ask the same question twice, and once in other company: the answers
# must agree.**

# %%
claim(
    "2.10",
    "asked in training mode a good network contradicts itself, and guesses when it is asked about one digit",
    shares[0] < 0.3 < 0.75 < should_be and max(twice) < 0.99,
)

# %% [markdown]
# ## This run, and what is next

# %%
record(
    accuracy_plain=results["plain", clean][1],
    accuracy_random_labels=results["plain", noisy][1],
    accuracy_random_labels_decay=results["weight decay", noisy][1],
    accuracy_random_labels_dropout=results["dropout", noisy][1],
)

# %% [markdown]
# The machine of chapter 01 can be deep now, finds its way, and can be kept from learning by heart. But look at what it
# sees: 784 numbers in no order. Exchange any two pixels in all digits, and nothing in this chapter or the last would
# change. That a stroke one pixel further to the right is the same stroke, a dense layer has to learn anew for every
# place. What a layer looks like that knows it from the start is the next chapter.

# %% [markdown]
# ## Exercises
#
# Fill in a function or class, run its cell, then the check below it. NumPy is enough, and the functions of the lesson
# are yours to use.
#
# **Exercise 2.1 ★** You have the Hessian at a critical point. What is it, and how large may a learning rate be there?
# Where a curvature is 0 and the others agree, second derivatives cannot tell.


# %%
# Exercise 2.1
def judge_point(H):
    """The kind of a critical point, and the bound on the learning rate of plain descent there.

    H: the Hessian, a symmetric array (n, n). A curvature between -1e-9 and 1e-9 counts as 0.
    Returns a tuple: "saddle" where there are positive and negative curvatures; else
    "undecided" where there is a 0; else "minimum" or "maximum"; and, at a minimum, the number
    that the learning rate has to stay below for descent to come closer in every direction;
    elsewhere 0.0. Raises ValueError where H is not square or not symmetric.
    Example: judge_point(np.diag([1.0, 4.0])) is ("minimum", 0.5).
    """
    ### BEGIN SOLUTION
    if H.ndim != 2 or H.shape[0] != H.shape[1]:
        raise ValueError(f"H must be square, and its shape is {H.shape}")
    if not np.allclose(H, H.T):
        raise ValueError("H must be symmetric")
    curvatures = np.linalg.eigvalsh(H)
    up, down = np.any(curvatures > 1e-9), np.any(curvatures < -1e-9)
    if up and down:
        return "saddle", 0.0
    if np.any(np.abs(curvatures) <= 1e-9):
        return "undecided", 0.0
    return ("minimum", 2 / curvatures.max()) if up else ("maximum", 0.0)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.linalg import eigvalsh

ex = exercise("2.1")


@ex.cases
def _(rng):
    yield np.diag([1.0, 4.0])
    yield np.array([[0.0, 1.0], [1.0, 0.0]])
    yield np.array([[1.0, 3.0], [3.0, 1.0]])
    yield np.diag([-2.0, -1.0, 3.0])
    yield np.array([[1.0, 2.0], [0.0, 1.0]])
    yield np.ones((2, 3))
    yield np.array([[5.0]])
    kinds = [[1, 2, 3], [-1, -2, -3], [1, -2], [-1, -2, 3], [0, 2, 1], [0, -1], [0, 1, -1], [4, 1], [1, 1, 5, 2]]
    for signs in kinds * 2:
        directions = np.linalg.qr(rng.normal(size=(len(signs), len(signs))))[0]
        H = directions @ np.diag(np.array(signs) * rng.uniform(0.3, 2)) @ directions.T
        yield (H + H.T) / 2


@ex.oracle
def _(H):
    if H.shape[0] != H.shape[1] or np.abs(H - H.T).max() > 1e-9:
        raise ValueError("not a Hessian")
    signs = {int(np.sign(np.round(value, 9))) for value in eigvalsh(H)}
    if {1, -1} <= signs:
        return "saddle", 0.0
    if 0 in signs:
        return "undecided", 0.0
    return ("minimum", float(2 / np.linalg.norm(H, 2))) if 1 in signs else ("maximum", 0.0)


def _judged(H, values=None, rate=lambda k: 2 / k.max(), refuse=True):
    if refuse and (H.shape[0] != H.shape[1] or not np.allclose(H, H.T)):
        raise ValueError("not a Hessian")
    k = np.linalg.eigvalsh(H) if values is None else values
    if k.max() > 1e-9 and k.min() < -1e-9:
        return "saddle", 0.0
    if np.abs(k).min() <= 1e-9:
        return "undecided", 0.0
    return ("minimum", float(rate(k))) if k.min() > 0 else ("maximum", 0.0)


@ex.wrong
def zero_spoils_all(H):
    """A curvature of 0 leaves it open whether a point is a valley. Where there is a way up and a way down besides, it
    is a saddle for certain."""
    kind, rate = _judged(H)
    return ("undecided", 0.0) if np.abs(np.linalg.eigvalsh(H)).min() <= 1e-9 else (kind, rate)


@ex.wrong
def by_diagonal(H):
    """The entries on the diagonal are the curvatures along the axes only. Between the axes the loss may bend the other
    way: ask the eigenvalues."""
    if H.shape[0] != H.shape[1] or not np.allclose(H, H.T):
        raise ValueError
    return _judged(H, np.diag(H))


@ex.wrong
def by_determinant(H):
    """The sign of the determinant tells two curvatures apart, no more. With three of them, two negative ones make a
    positive product: look at each curvature's sign."""
    kind, rate = _judged(H)
    product = np.linalg.det(H)
    if abs(product) < 1e-9:
        return "undecided", 0.0
    if product < 0:
        return "saddle", 0.0
    return ("minimum", float(2 / np.linalg.eigvalsh(H).max())) if H[0, 0] > 0 else ("maximum", 0.0)


@ex.wrong
def arrives_at_once(H):
    """The kinds are right. Your rate is the one that reaches the bottom of the steepest direction in one step; descent
    still comes closer up to twice that."""
    return _judged(H, rate=lambda k: 1 / k.max())


@ex.wrong
def bound_of_the_floor(H):
    """The kinds are right. Your bound is that of the flattest direction; the steepest one explodes long before."""
    return _judged(H, rate=lambda k: 2 / k.min())


@ex.wrong
def best_compromise(H):
    """The kinds are right. Your rate is the best one, (2.4); asked is how large it may be, before the steepest
    direction explodes."""
    return _judged(H, rate=lambda k: 2 / (k.max() + k.min()))


@ex.wrong
def rate_elsewhere(H):
    """The kinds are right. A bound on the rate belongs to a minimum only: at a saddle or a maximum descent leaves at
    any rate, so it is 0.0."""
    kind, rate = _judged(H)
    k = np.linalg.eigvalsh(H)
    return kind, float(2 / (k.max() if kind == "saddle" else np.abs(k).max())) if kind != "undecided" else rate


@ex.wrong
def exchanged(H):
    """Minimum and maximum are exchanged. Where the curvature is positive, the loss goes up to both sides: you are at
    the bottom."""
    return _judged(-H)


@ex.wrong
def zero_taken_for_up(H):
    """A curvature of 0 is taken for a positive or negative one. It says nothing: the third derivatives decide, and you
    have not got them."""
    kind, rate = _judged(H)
    if kind != "undecided":
        return kind, rate
    k = np.linalg.eigvalsh(H)
    return ("minimum", float(2 / k.max())) if k.max() > 1e-9 else ("maximum", 0.0)


@ex.wrong
def never_refuses(H):
    """The judgements are right, but a matrix that is not square and symmetric is no Hessian, and must be refused."""
    if H.shape[0] != H.shape[1]:
        return "undecided", 0.0
    return _judged(H, refuse=False)


@ex.right
def by_counting_signs(H):
    if np.shape(H) != np.shape(np.transpose(H)) or np.any(abs(H - H.T) > 1e-8):
        raise ValueError("a Hessian is symmetric")
    values = sorted(float(value.real) for value in np.linalg.eigvals(H))
    ups, downs = sum(value > 1e-9 for value in values), sum(value < -1e-9 for value in values)
    if ups * downs:
        return "saddle", 0.0
    if ups + downs < len(values):
        return "undecided", 0.0
    return ("minimum", 2 / values[-1]) if ups else ("maximum", 0.0)


# %%
check("2.1", judge_point)

# %% [markdown]
# **Exercise 2.2 ★★** AdamW, as it stands in the papers: first correct both running means by (2.11), then divide,
# $\hat m / (\sqrt{\hat s} + \varepsilon)$; and let the weights decay beside the step, as in (2.21). Where does
# $\varepsilon$ stand, compared with (2.12)?


# %%
# Exercise 2.2
def adamw(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """Where AdamW has gone after a number of given slopes.

    theta: parameters, floats (n,). slopes: the gradient at each step, floats (steps, n). rate:
    the learning rate. beta_1, beta_2: what the running means of the slope and of its square
    keep. epsilon: added to the root of the corrected mean square. strength: of the decoupled
    weight decay. Returns an array (n,). Raises ValueError where axis 1 of slopes does not have
    the size of theta; the message names both sizes.
    Source: Loshchilov & Hutter, Decoupled weight decay regularization, 2019, algorithm 2. (The
    paper also has a multiplier eta of the whole step: here eta is the rate, and its alpha 1.)
    Example: adamw(np.array([1.0]), np.array([[-3.0]]), rate=0.1, strength=0.5) is [1.05], but
    for epsilon.
    """
    ### BEGIN SOLUTION
    if slopes.shape[1] != len(theta):
        raise ValueError(f"axis 1 of slopes and axis 0 of theta must be equal, not {slopes.shape[1]} and {len(theta)}")
    m, s = np.zeros(len(theta)), np.zeros(len(theta))
    for t, slope in enumerate(slopes, start=1):
        m = beta_1 * m + (1 - beta_1) * slope
        s = beta_2 * s + (1 - beta_2) * slope**2
        step = (m / (1 - beta_1**t)) / (np.sqrt(s / (1 - beta_2**t)) + epsilon)
        theta = decay(theta, rate, strength) - rate * step
    return theta
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("2.2")


@ex.cases
def _(rng):
    yield np.array([1.0]), np.array([[-3.0]]), 0.1, 0.9, 0.999, 1e-8, 0.5
    yield np.array([1.0, -2.0]), np.array([[5.0, 0.01]]), 0.1, 0.9, 0.999, 1e-8, 0.0
    yield np.array([4.0]), np.zeros((3, 1)), 0.1, 0.9, 0.999, 1e-8, 0.2
    for _ in range(20):
        n, steps = (int(size) for size in rng.integers(2, 6, 2))
        slopes = rng.normal(size=(steps, n)) * 10 ** rng.uniform(-1, 1, n)
        betas = float(rng.choice([0.5, 0.9])), float(rng.choice([0.9, 0.99, 0.999]))
        yield rng.normal(size=n), slopes, float(rng.uniform(0.01, 0.3)), *betas, 0.1, float(rng.choice([0.0, 0.5, 1.0]))
    yield rng.normal(size=3), rng.normal(size=(4, 1)), 0.1, 0.9, 0.99, 0.1, 0.5
    yield rng.normal(size=1), rng.normal(size=(4, 3)), 0.1, 0.9, 0.99, 0.1, 0.5


@ex.oracle
def _(theta, slopes, rate, beta_1, beta_2, epsilon, strength):
    if slopes.shape[1:] != theta.shape:
        raise ValueError("slopes do not fit")
    for t in range(1, len(slopes) + 1):
        ages = np.arange(t)[::-1]
        mean = np.average(slopes[:t], axis=0, weights=beta_1**ages)
        square = np.average(slopes[:t] ** 2, axis=0, weights=beta_2**ages)
        theta = theta - rate * mean / (np.sqrt(square) + epsilon) - rate * strength * theta
    return theta


def _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, divide=None, **change):
    if slopes.shape[1] != len(theta) and not change.get("careless"):
        raise ValueError("slopes do not fit")
    m = s = 0
    for t, g in enumerate(slopes, start=1):
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
def uncorrected(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The running means begin at 0 and have not been corrected for it: the first steps come out far too long. Divide
    each by the sum of its weights (2.11)."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / (s**0.5 + epsilon))


@ex.wrong
def half_corrected(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The mean of the slopes is corrected, the mean of their squares is not: it begins at 0 as well."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a / (s**0.5 + epsilon))


@ex.wrong
def other_half_corrected(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The mean of the squares is corrected, the mean of the slopes is not: it begins at 0 as well."""
    return _adamw(
        theta, slopes, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / ((s / b) ** 0.5 + epsilon)
    )


@ex.wrong
def corrected_as_at_first(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The first step is right. All others are corrected as if they were the first: the weights add up to 1 - beta^t
    (2.11), not to 1 - beta."""

    def divide(m, s, a, b):
        return m / (1 - beta_1) / ((s / (1 - beta_2)) ** 0.5 + epsilon)

    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, divide)


@ex.wrong
def counted_from_two(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """In the corrections t is one too large: at the first step, t is 1."""

    def divide(m, s, a, b):
        return m / (1 - beta_1 * (1 - a)) / ((s / (1 - beta_2 * (1 - b))) ** 0.5 + epsilon)

    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, divide)


@ex.wrong
def new_not_weighted(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The new slope and its square come in whole. In a running mean they have the weights 1 - beta_1 and 1 - beta_2."""

    def divide(m, s, a, b):
        return m / (1 - beta_1) / a / ((s / (1 - beta_2) / b) ** 0.5 + epsilon)

    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, divide)


@ex.wrong
def betas_exchanged(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The betas are exchanged: beta_1 belongs to the slopes, beta_2 to their squares."""
    return _adamw(theta, slopes, rate, beta_2, beta_1, epsilon, strength)


@ex.wrong
def unsquared(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The second running mean is one of slopes, and a root of it need not exist. Square them first."""
    with np.errstate(invalid="ignore"):
        return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, unsquared=True)


@ex.wrong
def uphill(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """You walk uphill: the step is taken away from theta, not added to it."""
    return _adamw(theta, -slopes, rate, beta_1, beta_2, epsilon, strength)


@ex.wrong
def no_decay(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """This is Adam, and right where the strength is 0. The decay of the weights, (2.21), is missing."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, 0.0)


@ex.wrong
def grows(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The weights grow where they should decay: a sign is wrong."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, -strength)


@ex.wrong
def decay_after_the_step(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The decay takes its share of the new step, too. In (2.21) it is the old weights that decay."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, after=True)


@ex.wrong
def as_in_keras(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """This is Keras's form, (2.12), in which epsilon is added before the mean square is corrected. Here it comes
    after."""
    return _adamw(
        theta, slopes, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a * b**0.5 / (s**0.5 + epsilon)
    )


@ex.wrong
def epsilon_inside(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """Epsilon stands under the root, as in RMSProp (2.10). In Adam it is added to the root."""
    return _adamw(
        theta, slopes, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a / (s / b + epsilon) ** 0.5
    )


@ex.wrong
def without_root(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The slope is divided by its mean square. Divide by the root of it, or the step has the wrong size."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, lambda m, s, a, b: m / a / (s / b + epsilon))


@ex.wrong
def corrected_in_memory(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The first step is right. Then the corrected means are kept as the memory, and corrected once more: keep the raw
    ones, and correct a copy."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, in_place=True)


@ex.wrong
def penalty_in_the_slope(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The decay went into the slope, and through Adam's division with it: that is Adam with an L2 penalty, the left
    of Figure 2.7. It belongs beside the step."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, inside=True)


@ex.wrong
def decay_without_rate(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The weights decay by the strength alone; by (2.21) it is the strength times the learning rate."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, rateless=True)


@ex.wrong
def never_refuses(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    """The steps are right, but slopes of another size than theta must be refused: NumPy stretches the shorter one."""
    return _adamw(theta, slopes, rate, beta_1, beta_2, epsilon, strength, careless=True)


@ex.right
def number_by_number(theta, slopes, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, strength=0.0):
    if np.shape(slopes)[1] != np.size(theta):
        raise ValueError("axis 1 of slopes")
    ends = []
    for value, column in zip(theta.tolist(), slopes.T.tolist()):
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
# **Exercise 2.3 ★★** Dropout both ways. On the way back each number passes through what it passed through on the way
# forward.


# %%
# Exercise 2.3
def dropout_both_ways(h, upstream, draws, share, training):
    """Inverted dropout, forward and backward.

    h: what comes in, floats (batch, units). upstream: the derivative of the loss with respect
    to what goes out, same shape. draws: random numbers from 0 to 1, same shape; a unit is
    struck out where its draw is below `share`. training: True or False; where False, nothing
    is struck out. Returns a tuple: what goes out, and the derivative of the loss with respect
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


@ex.cases
def _(rng):
    yield np.array([[2.0, 6.0]]), np.array([[1.0, 1.0]]), np.array([[0.1, 0.7]]), 0.5, True
    yield np.array([[2.0, 6.0]]), np.array([[1.0, 1.0]]), np.array([[0.1, 0.7]]), 0.5, False
    yield np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 6.0]]), np.array([[0.25, 0.2, 0.3]]), 0.25, True
    yield np.array([[1.0, -2.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 0.5]]), 0.0, True
    for i in range(20):
        shape = tuple(int(n) for n in rng.integers(2, 6, 2))
        share = 0.0 if i == 7 else float(rng.uniform(0.15, 0.85))
        h = rng.normal(size=shape)
        yield np.maximum(h, 0) if i % 2 else h, rng.normal(size=shape), rng.random(shape), share, bool(i % 3)
    for share in (1.0, -0.25, 1.5):
        yield rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.random((2, 3)), share, True
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.random((1, 3)), 0.5, True
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 1)), rng.random((4, 3)), 0.5, True
    yield rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.random((2, 3)), 1.5, False
    yield rng.normal(size=(4, 3)), rng.normal(size=(4, 1)), rng.random((4, 3)), 0.5, False


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
    """Units are struck out, and the survivors are left as they are: on average less goes out than comes in. Make up for
    it."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept)


@ex.wrong
def made_up_twice(h, upstream, draws, share, training):
    """The survivors are divided in training, and everything is multiplied once more when the network is asked. Once is
    enough."""
    return _factors(h, upstream, draws, share, training, asked=1 - share)


@ex.wrong
def multiplied_when_asked(h, upstream, draws, share, training):
    """This is the dropout of the paper, which divides nothing in training and multiplies when asked. The inverted form
    leaves the network alone when it is asked."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept, asked=1 - share)


@ex.wrong
def never_off(h, upstream, draws, share, training):
    """Units are struck out even when the network is not being trained: `training` is not looked at."""
    return _factors(h, upstream, draws, share, True)


@ex.wrong
def divided_by_the_share(h, upstream, draws, share, training):
    """The survivors are divided by the share that is struck out. It has to be the share that survives."""
    return _factors(h, upstream, draws, share, training, lambda kept: kept / share if share else kept)


@ex.wrong
def exchanged(h, upstream, draws, share, training):
    """Survivors and victims are exchanged: a unit goes where its draw is *below* the share."""
    return _factors(h, upstream, draws, share, training, lambda kept: (1 - kept) / (1 - share))


@ex.wrong
def back_through_all(h, upstream, draws, share, training):
    """The way forward is right. On the way back a unit that was struck out had no part in the loss, so no slope reaches
    it."""
    return _factors(
        h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: np.ones(k.shape) / (1 - share)
    )


@ex.wrong
def back_untouched(h, upstream, draws, share, training):
    """The way forward is right, and the slope goes back as if there were no dropout. It passes through what its number
    passed through: struck out or divided."""
    return _factors(h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: np.ones(k.shape))


@ex.wrong
def back_divided_twice(h, upstream, draws, share, training):
    """The way forward is right. On the way back the survivors are divided twice; once is enough."""
    return _factors(h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: k / (1 - share) ** 2)


@ex.wrong
def back_by_what_came_out(h, upstream, draws, share, training):
    """The way forward is right. On the way back you ask what came out, and a 0 that went in looks like a unit struck
    out: ask the draws."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back * (out != 0) if training else back


@ex.wrong
def back_like_relu(h, upstream, draws, share, training):
    """The way forward is right. On the way back you let through what is positive, as a ReLU does. Dropout asks the
    draws, not the sign."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back * (out > 0) if training else back


@ex.wrong
def back_times_h(h, upstream, draws, share, training):
    """The way forward is right. The derivative of factor * h with respect to h is the factor, without h."""
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
    """Where nothing is struck out, the slope passes unchanged. You stop it."""
    out, back = _factors(h, upstream, draws, share, training)
    return out, back if training else 0 * back


@ex.wrong
def ties_struck_out(h, upstream, draws, share, training):
    """A draw that equals the share is not *below* it: this unit stays."""
    return _factors(h, upstream, np.where(draws == share, -1.0, draws), share, training)


@ex.wrong
def refuses_zero(h, upstream, draws, share, training):
    """A share of 0 is allowed: then nobody is struck out."""
    if share == 0:
        raise ValueError
    return _factors(h, upstream, draws, share, training)


@ex.wrong
def back_undivided(h, upstream, draws, share, training):
    """The way forward is right. What divided the signal divides the slope, too."""
    return _factors(h, upstream, draws, share, training, lambda k: k / (1 - share), lambda k: k)


@ex.wrong
def one_lot_for_all(h, upstream, draws, share, training):
    """The whole batch uses the draws of its first example. Every example has its own."""
    _refuse(h, upstream, draws, share)
    return _factors(h, upstream, np.repeat(draws[:1], len(h), axis=0), share, training)


@ex.wrong
def refuses_in_training_only(h, upstream, draws, share, training):
    """What must be refused in training must be refused when the network is asked, too: check before you look at
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
        return h * 1.0, upstream * 1.0
    return tuple(np.where(draws < share, 0.0, values / (1.0 - share)) for values in (h, upstream))


# %%
check("2.3", dropout_both_ways)

# %% [markdown]
# **Exercise 2.4 ★★** A layer with a memory: batch normalisation that knows whether it is trained or asked.


# %%
# Exercise 2.4
class RunningNorm:
    """Batch normalisation with running statistics, (2.18) and (2.19), with gamma = 1 and beta
    = 0.

    RunningNorm(units, rho=0.9, epsilon=1e-3): running mean 0 and running variance 1 for each
    unit, kept as attributes `mean` and `variance`, arrays (units,). rho: what they keep in
    each training step. Calling it with (z, training), z floats (batch, units), returns an
    array like z: normalised with the batch's own statistics in training, with the running ones
    otherwise. Training, and only training, moves the running ones, by the batch's mean and
    variance (the mean square of the distances from the mean). Raises ValueError where axis 1
    of z does not have the size `units`; the message names both sizes.
    Example: norm = RunningNorm(1); norm(np.array([[1.0], [3.0]]), True) is about [[-1], [1]],
    and norm.mean is [0.2].
    """

    def __init__(self, units, rho=0.9, epsilon=1e-3):
        ### BEGIN SOLUTION
        self.mean, self.variance = np.zeros(units), np.ones(units)
        self.rho, self.epsilon = rho, epsilon
        ### END SOLUTION

    def __call__(self, z, training):
        ### BEGIN SOLUTION
        if z.shape[1] != len(self.mean):
            raise ValueError(f"axis 1 of z must have the size {len(self.mean)}, not {z.shape[1]}")
        mean, variance = (z.mean(axis=0), z.var(axis=0)) if training else (self.mean, self.variance)
        if training:
            self.mean = self.rho * self.mean + (1 - self.rho) * mean
            self.variance = self.rho * self.variance + (1 - self.rho) * variance
        return (z - mean) / np.sqrt(variance + self.epsilon)
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.stats import zscore

ex = exercise("2.4")


@ex.cases
def _(rng):
    yield 1, 0.9, 1e-3, [np.array([[1.0], [3.0]])], [True]
    yield 2, 0.9, 1e-3, [np.array([[1.0, 3.0], [2.0, 5.0]])], [False]
    yield 1, 0.5, 0.1, [np.array([[4.0]])], [True]
    for _ in range(18):
        units, count = int(rng.integers(2, 5)), int(rng.integers(2, 6))
        scale, shift = rng.uniform(0.3, 4, units), 3 * rng.normal(size=units)
        batches = [shift + scale * rng.normal(size=(int(rng.integers(2, 7)), units)) for _ in range(count)]
        modes = [bool(rng.random() < 0.7) for _ in range(count)]
        yield units, float(rng.choice([0.7, 0.9])), 0.1, batches, modes
    yield 3, 0.9, 0.1, [rng.normal(size=(4, 1))], [True]
    yield 1, 0.9, 0.1, [rng.normal(size=(4, 3))], [False]


ex.shown_as("""
norm = RunningNorm(units, rho, epsilon)
[norm(z, training) for z, training in zip(batches, modes)], norm.mean, norm.variance
""")


@ex.drive
def put_to_use(answer, units, rho, epsilon, batches, modes):
    layer = answer(units, rho, epsilon)
    out = [np.array(layer(z, training)) for z, training in zip(batches, modes)]
    return {"outputs": out, "mean": layer.mean, "variance": layer.variance}


@ex.oracle
def _(units, rho, epsilon, batches, modes):
    mean, variance, out = np.zeros(units), np.ones(units), []
    for z, training in zip(batches, modes):
        if z.shape[1] != units:
            raise ValueError("units")
        if training:
            spread = np.std(z, axis=0)
            ideal = zscore(z, axis=0) if len(z) > 1 else np.zeros(z.shape)
            out.append(ideal * spread / np.hypot(spread, epsilon**0.5))
            mean, variance = mean + (1 - rho) * (np.sum(z, 0) / len(z) - mean), rho * variance + (1 - rho) * spread**2
        else:
            out.append((z - mean) / (variance + epsilon) ** 0.5)
    return {"outputs": out, "mean": mean, "variance": variance}


class _Norm:
    var_of, first_variance, adds = staticmethod(lambda z: z.var(axis=0)), 1.0, "inside"
    use_running_in_training = use_batch_when_asked = moves_when_asked = exchanged_rho = careless = False
    kept_of, root = None, staticmethod(np.sqrt)

    def __init__(self, units, rho=0.9, epsilon=1e-3):
        self.mean, self.variance = np.zeros(units), np.full(units, self.first_variance)
        self.rho, self.epsilon = 1 - rho if self.exchanged_rho else rho, epsilon

    def __call__(self, z, training):
        if z.shape[1] != len(self.mean) and not self.careless:
            raise ValueError("units")
        batch = z.mean(axis=0), self.var_of(z)
        own = not self.use_running_in_training if training else self.use_batch_when_asked
        used = batch if own else (self.mean, self.variance)
        if training or self.moves_when_asked:
            kept = batch[0], self.kept_of(z) if self.kept_of else batch[1]
            self.mean, self.variance = (
                self.rho * old + (1 - self.rho) * new for old, new in zip((self.mean, self.variance), kept)
            )
        if self.adds == "outside":
            return (z - used[0]) / (np.sqrt(used[1]) + self.epsilon)
        with np.errstate(invalid="ignore"):
            return (z - used[0]) / self.root(used[1] + (0 if self.adds == "nowhere" else self.epsilon))


@ex.wrong
class BatchWhenAsked(_Norm):
    """When it is asked, the layer still uses the statistics of the batch, so the answer to one example depends on the
    others. That is what the running ones are for."""

    use_batch_when_asked = True


@ex.wrong
class RunningInTraining(_Norm):
    """In training the layer normalises with the running statistics. Training uses the batch's own; the running ones are
    only kept up to date."""

    use_running_in_training = True


@ex.wrong
class RunningAfterTheStep(_Norm):
    """In training you move the running statistics and then normalise with them. Training uses the batch's own; the
    running ones wait until the layer is asked."""

    def __call__(self, z, training):
        if z.shape[1] != len(self.mean):
            raise ValueError("units")
        if training:
            self.mean = self.rho * self.mean + (1 - self.rho) * z.mean(axis=0)
            self.variance = self.rho * self.variance + (1 - self.rho) * z.var(axis=0)
        return (z - self.mean) / np.sqrt(self.variance + self.epsilon)


@ex.wrong
class MovesWhenAsked(_Norm):
    """The running statistics move even when the layer is only asked: test data must not change the network."""

    moves_when_asked = True


@ex.wrong
class ExchangedRho(_Norm):
    """rho is the part of the old value that is kept, and 1 - rho the weight of the new one. (PyTorch has it the other
    way round.)"""

    exchanged_rho = True


@ex.wrong
class Unbiased(_Norm):
    """The variance is divided by one less than the batch. Here, as in Keras, it is the plain mean of the squares."""

    var_of = staticmethod(lambda z: z.var(axis=0, ddof=min(1, len(z) - 1)))


@ex.wrong
class BeginsAtZero(_Norm):
    """The running variance begins at 0. It has to begin at 1, so that a layer that has seen nothing changes nothing, or
    hardly."""

    first_variance = 0.0


@ex.wrong
class EpsilonOutside(_Norm):
    """Epsilon is added to the root; in (2.18) it is added to the variance, under the root."""

    adds = "outside"


@ex.wrong
class KeepsDeviations(_Norm):
    """The running mean is taken of the standard deviations. Take it of the variances, and the root only to
    normalise."""

    kept_of = staticmethod(lambda z: z.std(axis=0))


@ex.wrong
class KeepsUnbiased(_Norm):
    """The batch is normalised rightly. The variance that is kept is divided by one less than the batch, as PyTorch
    does; here, as in Keras, it is the plain mean of the squares."""

    kept_of = staticmethod(lambda z: z.var(axis=0, ddof=min(1, len(z) - 1)))


@ex.wrong
class ForgetsTheVariance(_Norm):
    """The running mean moves, the running variance stays at 1. Both have to move."""

    def __call__(self, z, training):
        out = super().__call__(z, training)
        self.variance = np.ones(len(self.mean))
        return out


@ex.wrong
class NoMemory(_Norm):
    """The running statistics are those of the last batch. Keep the part rho of the old ones."""

    def __init__(self, units, rho=0.9, epsilon=1e-3):
        super().__init__(units, 0.0, epsilon)


@ex.wrong
class FirstBatchSets(_Norm):
    """The first batch sets the running statistics. They begin at 0 and 1, and the first batch moves them like any
    other."""

    def __call__(self, z, training):
        out = super().__call__(z, training)
        if training and not hasattr(self, "begun"):
            self.begun, self.mean, self.variance = True, z.mean(axis=0), z.var(axis=0)
        return out


@ex.wrong
class IgnoresTheMode(_Norm):
    """The layer does the same whether it is trained or asked: `training` is not looked at."""

    use_batch_when_asked = moves_when_asked = True


@ex.wrong
class MovesThenAnswers(_Norm):
    """When it is only asked, the layer first moves the running statistics by the batch, and then uses them. Only
    training moves them: test data must not change the network."""

    def __call__(self, z, training):
        if training:
            return super().__call__(z, training)
        super().__call__(z, True)
        return (z - self.mean) / np.sqrt(self.variance + self.epsilon)


@ex.wrong
class EpsilonForgotten(_Norm):
    """Epsilon is missing. A batch of one has the variance 0, and nothing may be divided by that."""

    adds = "nowhere"


@ex.wrong
class RootForgotten(_Norm):
    """The sums are divided by the variance. Divide by its root."""

    root = staticmethod(lambda value: value)


@ex.wrong
class OverTheUnits(_Norm):
    """In training, mean and variance are taken over the units of each example (axis 1). They belong to a unit and are
    taken over the batch."""

    def __init__(self, units, rho=0.9, epsilon=1e-3):
        super().__init__(units, rho, epsilon)
        self.units = units

    def __call__(self, z, training):
        if z.shape[1] != self.units:
            raise ValueError("units")
        if not training:
            return (z - self.mean) / np.sqrt(self.variance + self.epsilon)
        mean, variance = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True)
        self.mean = self.rho * self.mean + (1 - self.rho) * mean
        self.variance = self.rho * self.variance + (1 - self.rho) * variance
        return (z - mean) / np.sqrt(variance + self.epsilon)


@ex.wrong
class OneForAll(_Norm):
    """Mean and variance are taken over the whole batch with all its units. Each unit has its own: axis 0 only."""

    def __call__(self, z, training):
        if z.shape[1] != len(self.mean):
            raise ValueError("units")
        mean, variance = (z.mean(), z.var()) if training else (self.mean, self.variance)
        if training:
            self.mean = self.rho * self.mean + (1 - self.rho) * mean
            self.variance = self.rho * self.variance + (1 - self.rho) * variance
        return (z - mean) / np.sqrt(variance + self.epsilon)


@ex.wrong
class NeverRefuses(_Norm):
    """The numbers are right, but a batch with another number of units must be refused: NumPy stretches it silently."""

    careless = True


@ex.right
class ByMoments:
    def __init__(self, units, rho=0.9, epsilon=1e-3):
        self.state, self.keep, self.epsilon = np.array([np.zeros(units), np.ones(units)]), rho, epsilon

    mean = property(lambda self: self.state[0])
    variance = property(lambda self: self.state[1])

    def __call__(self, z, training):
        if z.shape[-1] != self.state.shape[1]:
            raise ValueError("axis 1")
        use = self.state
        if training:
            first = z.sum(axis=0) / len(z)
            use = np.array([first, ((z - first) ** 2).sum(axis=0) / len(z)])
            self.state = self.state + (use - self.state) * (1 - self.keep)
        return (z - use[0]) * (use[1] + self.epsilon) ** -0.5


# %%
check("2.4", RunningNorm)

# %% [markdown]
# **Exercise 2.5 ★★★** The way back through batch normalisation. Every example of a batch moves the mean and the
# variance, and through them the output of all the others. Nudge one sum, and follow *three* ways to the loss.


# %%
# Exercise 2.5
def normalise_backward(z, gamma, upstream, epsilon=1e-3):
    """The way back through gamma * (z - mean) / sqrt(variance + epsilon) + beta, in training
    (2.18).

    z: sums (batch, units). gamma (units,). upstream: the derivative of the loss with respect
    to what comes out, (batch, units). Returns a tuple: the derivatives with respect to z
    (batch, units), gamma and beta (units,). Raises ValueError where upstream does not have the
    shape of z; the message names both shapes.
    Example: where all examples of a batch have the same upstream, the derivative with respect
    to z is 0, for adding the same to all sums of a unit changes nothing.
    """
    ### BEGIN SOLUTION
    if upstream.shape != z.shape:
        raise ValueError(f"upstream must have the shape of z, {z.shape}, not {upstream.shape}")
    root = np.sqrt(z.var(axis=0) + epsilon)
    z_hat = (z - z.mean(axis=0)) / root
    through_mean = upstream.mean(axis=0)
    through_variance = z_hat * (upstream * z_hat).mean(axis=0)
    slope = gamma / root * (upstream - through_mean - through_variance)
    return slope, (upstream * z_hat).sum(axis=0), upstream.sum(axis=0)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("2.5")


@ex.cases
def _(rng):
    yield np.array([[1.0], [3.0]]), np.array([1.0]), np.array([[1.0], [0.0]]), 0.1
    yield np.array([[1.0], [2.0], [6.0]]), np.array([2.0]), np.ones((3, 1)), 0.1
    for _ in range(20):
        batch, units = (int(n) for n in rng.integers(2, 6, 2))
        z = rng.normal(size=units) + rng.uniform(0.5, 2, units) * rng.normal(size=(batch, units))
        yield z, rng.normal(size=units), rng.normal(size=(batch, units)), float(rng.choice([1e-3, 0.2]))
    yield rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(1, 3)), 0.1
    yield rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3), 0.1


@ex.oracle
def _(z, gamma, upstream, epsilon):
    # One number at a time, by a step in the imaginary direction, which has no rounding error to speak of.
    if upstream.shape != z.shape:
        raise ValueError("upstream does not fit")
    found = []
    for at, value in enumerate((z, gamma, np.zeros(gamma.shape))):
        slopes = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            parts = [z.astype(complex), gamma.astype(complex), np.zeros(gamma.shape, complex)]
            parts[at][place] += 1e-30j
            off = parts[0] - parts[0].mean(axis=0)
            out = parts[1] * off / np.sqrt((off**2).mean(axis=0) + epsilon) + parts[2]
            slopes[place] = np.sum(upstream * out).imag / 1e-30
        found.append(slopes)
    return tuple(found)


def _back(z, gamma, upstream, epsilon, slope=None, gammas=None, mean=False, root=None):
    if upstream.shape != z.shape:
        raise ValueError("upstream does not fit")
    root = root(z) if root else np.sqrt(z.var(axis=0) + epsilon)
    z_hat = (z - z.mean(axis=0)) / root
    average = (lambda values: values.mean(axis=0)) if mean else (lambda values: values.sum(axis=0))
    right = upstream - upstream.mean(axis=0) - z_hat * (upstream * z_hat).mean(axis=0)
    inner = slope(upstream, z_hat) if slope else right
    return gamma / root * inner, average(upstream * (gammas(z, root) if gammas else z_hat)), average(upstream)


@ex.wrong
def statistics_held_fixed(z, gamma, upstream, epsilon=1e-3):
    """You took mean and variance for constants. Every z of the batch moves both of them, and with them all outputs of
    its unit."""
    return _back(z, gamma, upstream, epsilon, lambda u, z_hat: u)


@ex.wrong
def variance_held_fixed(z, gamma, upstream, epsilon=1e-3):
    """The way through the mean is there. The way through the variance is missing: a z that goes away from the mean also
    shrinks all others."""
    return _back(z, gamma, upstream, epsilon, lambda u, z_hat: u - u.mean(axis=0))


@ex.wrong
def mean_held_fixed(z, gamma, upstream, epsilon=1e-3):
    """The way through the variance is there. The way through the mean is missing: a z that goes up pulls the mean up,
    and all others go down."""
    return _back(z, gamma, upstream, epsilon, lambda u, z_hat: u - z_hat * (u * z_hat).mean(axis=0))


@ex.wrong
def sums_for_means(z, gamma, upstream, epsilon=1e-3):
    """The three ways are there, but a single z has only its share, one in the size of the batch, in mean and variance:
    take means over the batch, not sums."""
    return _back(z, gamma, upstream, epsilon, lambda u, z_hat: u - u.sum(axis=0) - z_hat * (u * z_hat).sum(axis=0))


@ex.wrong
def gamma_forgotten(z, gamma, upstream, epsilon=1e-3):
    """The derivative with respect to z lacks the factor gamma, through which everything went."""
    slope, *others = _back(z, np.ones(gamma.shape), upstream, epsilon)
    return slope, *others


@ex.wrong
def variance_with_the_wrong_sign(z, gamma, upstream, epsilon=1e-3):
    """The three ways are there. The one through the variance has the wrong sign: a larger variance makes the outputs
    smaller."""
    return _back(z, gamma, upstream, epsilon, lambda u, z_hat: u - u.mean(axis=0) + z_hat * (u * z_hat).mean(axis=0))


@ex.wrong
def variance_alike_for_all(z, gamma, upstream, epsilon=1e-3):
    """The way through the variance is the same for all examples. How much one moves the variance depends on how far it
    is from the mean: a factor is missing."""
    return _back(z, gamma, upstream, epsilon, lambda u, z_hat: u - u.mean(axis=0) - (u * z_hat).mean(axis=0))


@ex.wrong
def root_forgotten(z, gamma, upstream, epsilon=1e-3):
    """The three ways are there. But z came in through a division by the root of the variance, and its derivative is
    divided, too."""
    slope, *others = _back(z, gamma, upstream, epsilon)
    return slope * np.sqrt(z.var(axis=0) + epsilon), *others


@ex.wrong
def variance_for_root(z, gamma, upstream, epsilon=1e-3):
    """You divide by the variance. Divide by its root."""
    return _back(z, gamma, upstream, epsilon, root=lambda z: z.var(axis=0) + epsilon)


@ex.wrong
def epsilon_forgotten(z, gamma, upstream, epsilon=1e-3):
    """Epsilon is missing, or has another value than the one that is handed over."""
    return _back(z, gamma, upstream, epsilon, root=lambda z: z.std(axis=0))


@ex.wrong
def epsilon_outside(z, gamma, upstream, epsilon=1e-3):
    """Epsilon is added to the root; in (2.18) it is added to the variance, under the root."""
    return _back(z, gamma, upstream, epsilon, root=lambda z: z.std(axis=0) + epsilon)


@ex.wrong
def unbiased(z, gamma, upstream, epsilon=1e-3):
    """The variance is divided by one less than the batch. Batch normalisation takes the plain mean of the squares."""
    return _back(z, gamma, upstream, epsilon, root=lambda z: np.sqrt(z.var(axis=0, ddof=1) + epsilon))


@ex.wrong
def over_the_units(z, gamma, upstream, epsilon=1e-3):
    """Means and sums are taken over the units of each example (axis 1). The statistics belong to a unit and are taken
    over the batch."""
    if upstream.shape != z.shape:
        raise ValueError("upstream does not fit")
    root = np.sqrt(z.var(axis=1, keepdims=True) + epsilon)
    z_hat, back = (z - z.mean(axis=1, keepdims=True)) / root, upstream * gamma
    slope = back - back.mean(axis=1, keepdims=True) - z_hat * (back * z_hat).mean(axis=1, keepdims=True)
    return slope / root, (upstream * z_hat).sum(axis=0), upstream.sum(axis=0)


@ex.wrong
def gamma_everywhere(z, gamma, upstream, epsilon=1e-3):
    """The derivative with respect to z is right. Those of gamma and beta carry a factor gamma: nothing on the way from
    either to the output is multiplied by it."""
    slope, *others = _back(z, gamma, upstream, epsilon)
    return slope, *(gamma * other for other in others)


@ex.wrong
def gamma_and_beta_exchanged(z, gamma, upstream, epsilon=1e-3):
    """The derivatives of gamma and beta are exchanged: z, then gamma, then beta."""
    slope, by_gamma, by_beta = _back(z, gamma, upstream, epsilon)
    return slope, by_beta, by_gamma


@ex.wrong
def not_added_up(z, gamma, upstream, epsilon=1e-3):
    """Gamma and beta are one number for each unit, used by the whole batch: add up their derivatives over it."""
    z_hat = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + epsilon)
    return _back(z, gamma, upstream, epsilon)[0], upstream * z_hat, upstream


@ex.wrong
def only_z(z, gamma, upstream, epsilon=1e-3):
    """Only the derivative with respect to z is returned. Those of gamma and beta are asked for, too."""
    return _back(z, gamma, upstream, epsilon)[0]


@ex.wrong
def centred_z_for_gamma(z, gamma, upstream, epsilon=1e-3):
    """Gamma multiplies the normalised sums. You used sums whose mean is taken off and which are not divided yet."""
    return _back(z, gamma, upstream, epsilon, gammas=lambda z, root: z - z.mean(axis=0))


@ex.wrong
def raw_z_for_gamma(z, gamma, upstream, epsilon=1e-3):
    """Gamma multiplies the normalised sums, so these are in its derivative, not the raw ones."""
    return _back(z, gamma, upstream, epsilon, gammas=lambda z, root: z)


@ex.wrong
def averaged(z, gamma, upstream, epsilon=1e-3):
    """The derivatives of gamma and beta are divided by the batch. If the loss is a mean, that is in `upstream` already:
    add up."""
    return _back(z, gamma, upstream, epsilon, mean=True)


@ex.wrong
def never_refuses(z, gamma, upstream, epsilon=1e-3):
    """The derivatives are right, but an `upstream` of another shape must be refused: NumPy stretches it silently."""
    return _back(z, gamma, np.broadcast_to(upstream, z.shape), epsilon)


@ex.right
def step_by_step(z, gamma, upstream, epsilon=1e-3):
    if np.shape(upstream) != np.shape(z):
        raise ValueError("shapes")
    count = z.shape[0]
    off = z - z.sum(axis=0) / count
    variance = np.einsum("bu,bu->u", off, off) / count
    inverse = (variance + epsilon) ** -0.5
    to_hat = upstream * gamma
    to_variance = np.einsum("bu,bu->u", to_hat, off) * -0.5 * inverse**3
    to_off = to_hat * inverse + to_variance * 2 * off / count
    return to_off - to_off.sum(axis=0) / count, np.einsum("bu,bu->u", upstream, off) * inverse, np.sum(upstream, axis=0)


# %%
check("2.5", normalise_backward)

# %% [markdown]
# **Exercise 2.6 ★★** Early stopping. After each epoch the training loop shows your object the validation loss and the
# weights, and asks whether to stop. Training goes on *in the same array*: what does that mean for the best weights?


# %%
# Exercise 2.6
class EarlyStopper:
    """Says when to stop training, and keeps the best weights.

    EarlyStopper(patience, min_delta=0.0): patience, a whole number of epochs, 1 or more. The
    first epoch is an improvement; a later one is where its loss lies below that of the last
    improvement by more than min_delta. A loss that is NaN never is.
    update(loss, weights) is called after each epoch with the validation loss and an array of
    weights that later epochs change in place. It returns True where `patience` epochs in a
    row, this one included, brought no improvement, else False. The first loss is a number.
    Afterwards `best_weights` holds the weights of the last improvement, and `best_epoch` its
    number, counted from 0.
    Example: with patience 2 and the losses 0.5, 0.4, 0.45, 0.43, update returns False, False,
    False, True, and best_epoch is 1.
    """

    def __init__(self, patience, min_delta=0.0):
        ### BEGIN SOLUTION
        self.patience, self.min_delta = patience, min_delta
        self.epoch, self.waited, self.best_loss = -1, 0, np.inf
        ### END SOLUTION

    def update(self, loss, weights):
        ### BEGIN SOLUTION
        self.epoch += 1
        if self.epoch == 0 or loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_weights, self.best_epoch, self.waited = loss, weights.copy(), self.epoch, 0
        else:
            self.waited += 1
        return self.waited >= self.patience
        ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("2.6")


@ex.cases
def _(rng):
    yield [0.5, 0.4, 0.45, 0.43, 0.1], 2, 0.0
    yield [0.5, 0.6, 0.55, 0.52, 0.51], 2, 0.0
    yield [1.0, 0.96, 0.92, 0.88, 0.84, 0.8], 2, 0.05
    yield [1.0, 1.02, 0.97, 1.0, 0.9, 0.95], 3, 0.05
    yield [0.5, 0.25, 0.125, 0.25], 1, 0.125
    yield [0.9, 0.8, float("nan"), 0.7, 0.75, 0.76, 0.74], 3, 0.0
    yield [0.9, 0.8, float("nan"), 0.85, 0.9, 0.95, 0.7], 2, 0.0
    yield [1.0, float("nan"), float("nan"), 0.9, 0.95], 2, 0.0
    yield [1.0, 0.96, 0.98, 0.92, 0.96, 0.95], 3, 0.05
    yield [0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.62, 0.61], 3, 0.0
    yield [3.0, 2.0, 1.0], 5, 0.0
    yield [2.0, 2.0, 2.0, 2.0], 2, 0.0
    for _ in range(20):
        count = int(rng.integers(6, 16))
        losses = np.round(np.exp(-np.arange(count) / 5) + 0.05 * np.arange(count) + 0.15 * rng.normal(size=count), 3)
        # No two losses of three digits lie 0.0505 apart: a tie would be decided by the rounding of the subtraction.
        yield losses.tolist(), int(rng.integers(1, 4)), float(rng.choice([0.0, 0.0505]))


ex.shown_as("""
stopper, weights = EarlyStopper(patience, min_delta), np.zeros(2)
for epoch, loss in enumerate(losses):
    weights += [1.0, 10.0 * (epoch + 1)]
    print(stopper.update(loss, weights), stopper.best_epoch, stopper.best_weights)
""")


@ex.drive
def training(answer, losses, patience, min_delta):
    stopper, weights, said = answer(patience, min_delta), np.zeros(2), []
    for epoch, loss in enumerate(losses):
        weights += [1.0, 10.0 * (epoch + 1)]
        said.append(bool(stopper.update(loss, weights)))
        if said[-1]:
            break
    weights[:] = -1.0
    return {"said": said, "best epoch": int(stopper.best_epoch), "best weights": np.array(stopper.best_weights)}


@ex.oracle
def _(losses, patience, min_delta):
    best, improved = losses[0], [0]
    for epoch, loss in enumerate(losses[1:], start=1):
        if best - loss > min_delta:
            best = loss
            improved.append(epoch)
        if epoch - improved[-1] == patience:
            break
    last = epoch if len(losses) > 1 else 0
    stopped = last - improved[-1] >= patience
    weights = np.array([improved[-1] + 1.0, 5.0 * (improved[-1] + 1) * (improved[-1] + 2)])
    return {"said": [False] * last + [stopped], "best epoch": improved[-1], "best weights": weights}


class _Stopper:
    late, first, copies, restores, resets, creeps = 0, 0, True, True, True, False

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.epoch, self.waited, self.best_loss, self.previous = -1, 0, np.inf, np.inf

    def improves(self, loss):
        return loss < self.best_loss - self.min_delta

    def update(self, loss, weights):
        self.epoch += 1
        better = self.epoch == 0 or self.improves(loss)
        if better:
            self.best_loss, self.best_epoch = loss, self.epoch + self.first
            self.waited = 0 if self.resets or self.epoch == 0 else self.waited
        else:
            self.waited += 1
        if better or not self.restores:
            self.best_weights = weights.copy() if self.copies else weights
        if self.creeps and loss < self.best_loss:
            self.best_loss = loss
        self.previous = loss
        return self.waited >= self.patience + self.late


@ex.wrong
class BarCreeps(_Stopper):
    """A loss that is only a little better is no improvement, and yet it lowers your bar. Small steps that add up to
    more than min_delta are then missed: the bar stays at the last improvement."""

    creeps = True


@ex.wrong
class ComparesWithThePrevious(_Stopper):
    """An epoch is compared with the one before it. Compare with the best so far: after a bad epoch, a less bad one is
    no improvement."""

    def improves(self, loss):
        return loss < self.previous - self.min_delta


@ex.wrong
class OneTooLate(_Stopper):
    """You stop one epoch too late: with patience 2, the second epoch in a row without improvement is the last."""

    late = 1


@ex.wrong
class OneTooEarly(_Stopper):
    """You stop one epoch too early: the epoch of the best loss does not count as one without improvement."""

    late = -1


@ex.wrong
class NeverResets(_Stopper):
    """You count all epochs without improvement. Patience is about epochs in a row: an improvement begins the count
    anew."""

    resets = False


@ex.wrong
class NoMinDelta(_Stopper):
    """Every tiny step down counts as an improvement: min_delta is not used."""

    def improves(self, loss):
        return loss < self.best_loss


@ex.wrong
class MinDeltaReversed(_Stopper):
    """min_delta is used with the wrong sign: losses that are a little *worse* than the best count as improvements."""

    def improves(self, loss):
        return loss < self.best_loss + self.min_delta if self.min_delta else loss < self.best_loss


@ex.wrong
class EqualCounts(_Stopper):
    """A loss that is below the best by exactly min_delta, or equal to it where min_delta is 0, is no improvement."""

    def improves(self, loss):
        return loss <= self.best_loss - self.min_delta


@ex.wrong
class HigherIsBetter(_Stopper):
    """You wait for the loss to go up. This is a loss and no accuracy: lower is better."""

    def improves(self, loss):
        return loss > self.best_loss + self.min_delta


@ex.wrong
class AnyChangeCounts(_Stopper):
    """A loss that is far *above* the best counts as an improvement, too: the distance alone does not say on which side
    it is."""

    def improves(self, loss):
        return abs(loss - self.best_loss) > self.min_delta


@ex.wrong
class SaysWhenToGoOn(_Stopper):
    """The answer is turned round: True means stop."""

    def update(self, loss, weights):
        return not super().update(loss, weights)


@ex.wrong
class CountsFromOne(_Stopper):
    """best_epoch is one too large: the first epoch has the number 0."""

    first = 1


@ex.wrong
class NamesTheLast(_Stopper):
    """best_epoch is the number of the epoch that was looked at last. It has to be that of the last improvement."""

    def update(self, loss, weights):
        stop = super().update(loss, weights)
        self.best_epoch = self.epoch
        return stop


@ex.wrong
class KeepsTheLast(_Stopper):
    """You hand back the weights of the last epoch, which is `patience` epochs after the best one."""

    restores = False


@ex.wrong
class NotCopied(_Stopper):
    """You kept the array itself, and training goes on in it: by the time you look, it holds other weights. Keep a
    copy."""

    copies = False


@ex.wrong
class TakesNaN(_Stopper):
    """A loss that is NaN passes for an improvement. Every comparison with NaN is false: turn yours round."""

    def improves(self, loss):
        return not loss >= self.best_loss - self.min_delta


@ex.right
class FromTheDiary:
    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta, self.diary, self.bars = patience, min_delta, [], []

    def update(self, loss, weights):
        self.diary.append(np.array(weights))
        epoch = len(self.diary) - 1
        if not self.bars or self.bars[-1][1] - loss > self.min_delta:
            self.bars.append((epoch, loss))
        self.best_epoch = self.bars[-1][0]
        self.best_weights = self.diary[self.best_epoch]
        return epoch - self.best_epoch >= self.patience


# %%
check("2.6", EarlyStopper)

# %% [markdown]
# **Exercise 2.7 ★★** Debug it: the mistake of the section above, in NumPy. This function is to *ask* a trained network,
# and its author has copied the training step. Repair it.


# %%
# Exercise 2.7
def ask(x, first, norm, last, share):
    """The scores of a trained network: dense, batch normalisation, ReLU, dropout, dense.

    x: inputs (batch, inputs), a batch of any size from 1 on. first: W (units, inputs) and b
    (units,). norm: gamma, beta, running mean and running variance, each (units,); epsilon is
    1e-3. last: W (classes, units) and b (classes,). share: of the units that inverted dropout
    struck out in training. Returns an array (batch, classes). What an input gets must not
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


@ex.cases
def _(rng):
    for batch in (1, 2, 5, 1, 4, 8) * 3:
        inputs, units, classes = (int(n) for n in rng.integers(2, 6, 3))
        first = rng.normal(size=(units, inputs)), rng.normal(size=units)
        norm = rng.uniform(0.5, 2, units), rng.normal(size=units), rng.normal(size=units), rng.uniform(0.3, 4, units)
        last = rng.normal(size=(classes, units)), rng.normal(size=classes)
        yield rng.normal(size=(batch, inputs)), first, norm, last, float(rng.uniform(0.2, 0.6))


@ex.oracle
def _(x, first, norm, last, share):
    scores = []
    for row in x:
        h = 0.0
        for weights, bias, gamma, beta, mean, variance, out in zip(*first, *norm, last[0].T):
            z = float(np.dot(weights, row)) + bias
            h = h + max(gamma * (z - mean) / (variance + 1e-3) ** 0.5 + beta, 0.0) * out
        scores.append(h + last[1])
    return np.array(scores)


@ex.wrong
def left_in_training(x, first, norm, last, share):
    """The network is still asked as if it were trained: the batch's own mean and variance, and units struck out at
    random. Which of the numbers that it is given does the function not use?"""
    gamma, beta, mean, variance = norm
    z = x @ first[0].T + first[1]
    z_hat = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
    h = np.maximum(gamma * z_hat + beta, 0)
    kept = np.random.default_rng(0).random(h.shape) >= share
    h = kept * h / (1 - share)
    return h @ last[0].T + last[1]


def _ask(x, first, norm, last, share, batch=False, strike=False, factor=1.0, root=np.sqrt):
    gamma, beta, mean, variance = norm
    z = x @ first[0].T + first[1]
    if batch in (True, "mean"):
        mean = z.mean(axis=0)
    if batch in (True, "variance"):
        variance = z.var(axis=0)
    h = np.maximum(gamma * (z - mean) / root(variance + 1e-3) + beta, 0)
    if strike:
        h = (np.random.default_rng(0).random(h.shape) >= share) * h / (1 - share)
    return (h * factor) @ last[0].T + last[1]


@ex.wrong
def still_strikes(x, first, norm, last, share):
    """The normalisation is right now. Dropout is still on: the answer is a lottery."""
    return _ask(x, first, norm, last, share, strike=True)


@ex.wrong
def still_in_company(x, first, norm, last, share):
    """Dropout is off now. The normalisation still uses mean and variance of this batch, so what an input gets depends
    on its company, and one that comes alone is turned into nothing."""
    return _ask(x, first, norm, last, share, batch=True)


@ex.wrong
def still_own_mean(x, first, norm, last, share):
    """Dropout is off, and the running variance is used. The mean is still that of this batch."""
    return _ask(x, first, norm, last, share, batch="mean")


@ex.wrong
def still_own_variance(x, first, norm, last, share):
    """Dropout is off, and the running mean is used. The variance is still that of this batch."""
    return _ask(x, first, norm, last, share, batch="variance")


@ex.wrong
def epsilon_lost(x, first, norm, last, share):
    """Now the running statistics are used. On the way epsilon was lost, which is added to the variance under the
    root."""
    return _ask(x, first, norm, last, share, root=lambda value: np.sqrt(value - 1e-3))


@ex.wrong
def epsilon_outside(x, first, norm, last, share):
    """Now the running statistics are used. Epsilon is added to the root; it belongs to the variance, under the root."""
    return _ask(x, first, norm, last, share, root=lambda value: np.sqrt(value - 1e-3) + 1e-3)


@ex.wrong
def made_up_once_more(x, first, norm, last, share):
    """Dropout is off, and what is left is multiplied by the share of survivors. Inverted dropout has made up for the
    missing units in training already."""
    return _ask(x, first, norm, last, share, factor=1 - share)


@ex.wrong
def divided_without_dropout(x, first, norm, last, share):
    """Nothing is struck out any more, and yet everything is divided as if it were."""
    return _ask(x, first, norm, last, share, factor=1 / (1 - share))


@ex.wrong
def root_lost(x, first, norm, last, share):
    """Now the running statistics are used, but the running variance is a variance: the sums are divided by its root."""
    return _ask(x, first, norm, last, share, root=lambda value: value)


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
    return np.clip(np.einsum("bi,ui->bu", x, W) + b, 0, None) @ np.transpose(last[0]) + last[1]


# %%
check("2.7", ask)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | stochastic gradient descent | $\theta \leftarrow \theta - \alpha g$, $g$ the mean slope of a batch | (2.1) |
# | its noise | $\mathbb{E}[g] = \nabla L$, $\mathrm{Var}[g]$ falls as $1/B$ | (2.2) |
# | descent in a bowl | each direction is multiplied by $1 - \alpha\kappa_i$ | (2.3) |
# | best rate | $2/(\kappa_{\min} + \kappa_{\max})$, leaves $(c-1)/(c+1)$ | (2.4) |
# | kind of a critical point | the signs of the Hessian's eigenvalues | (2.5) |
# | momentum | $v \leftarrow \mu v - \alpha g$, up to $1/(1-\mu)$ times as fast | (2.6), (2.7) |
# | Nesterov | the slope at $\theta + \mu v$; Keras holds that place | (2.8), (2.9) |
# | RMSProp | $g/\sqrt{s + \varepsilon}$ | (2.10) |
# | a running mean begins at 0 | divide by $1 - \beta^t$ | (2.11) |
# | Adam | both, corrected | (2.12) |
# | variance of a sum | $n\, \mathrm{Var}[w]\, \mathbb{E}[h^2]$ | (2.13) |
# | through ReLU | half of it; through $l$ layers $(n \mathrm{Var}[w]/2)^{l-1}$ | (2.14), (2.15) |
# | blame, back | $n_{l+1} \mathrm{Var}[w]\, \mathbb{E}[f'^2]$ | (2.16) |
# | Glorot, He | $2/(n_\text{in} + n_\text{out})$, $2/n_\text{in}$ | (2.17) |
# | batch normalisation | the batch's statistics in training, running ones when asked | (2.18), (2.19) |
# | L2 penalty, decay | $\lambda\theta$ in the slope; $(1 - \alpha\lambda)\theta$; the same for SGD | (2.20), (2.21) |
# | dropout | $k \odot h/(1 - r)$; mean $h$, variance $h^2 r/(1 - r)$ | (2.22), (2.23) |
#
# ## References
#
# - Y. Dauphin, R. Pascanu, C. Gulcehre, K. Cho, S. Ganguli and Y. Bengio, *Identifying and attacking the saddle point
#   problem in high-dimensional non-convex optimization*, 2014.
# - X. Glorot and Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep learning*, 2016, chapters 7 and 8.
# - K. He, X. Zhang, S. Ren and J. Sun, *Delving deep into rectifiers: surpassing human-level performance on ImageNet
#   classification*, 2015.
# - S. Ioffe and C. Szegedy, *Batch normalization: accelerating deep network training by reducing internal covariate
#   shift*, 2015.
# - D. Kingma and J. Ba, *Adam: a method for stochastic optimization*, 2015.
# - A. Krogh and J. Hertz, *A simple weight decay can improve generalization*, 1992.
# - I. Loshchilov and F. Hutter, *Decoupled weight decay regularization*, 2019.
# - Y. Nesterov, *A method of solving a convex programming problem with convergence rate O(1/k²)*, 1983.
# - B. Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964.
# - L. Prechelt, *Early stopping - but when?*, 1998.
# - H. Robbins and S. Monro, *A stochastic approximation method*, 1951.
# - S. Santurkar, D. Tsipras, A. Ilyas and A. Madry, *How does batch normalization help optimization?*, 2018.
# - N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, *Dropout: a simple way to prevent neural
#   networks from overfitting*, 2014.
# - I. Sutskever, J. Martens, G. Dahl and G. Hinton, *On the importance of initialization and momentum in deep
#   learning*, 2013.
# - T. Tieleman and G. Hinton, *Lecture 6.5 - RMSProp: divide the gradient by a running average of its recent
#   magnitude*, 2012.
