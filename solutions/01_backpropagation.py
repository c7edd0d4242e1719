# %% [raw]
# title: Neurons and backpropagation
# part: I. Learning machines
# minutes: 120
# needs: [Python, NumPy, school calculus]
# teaches:
#   - the neuron
#   - activation functions
#   - multi-layer perceptron
#   - softmax and cross-entropy
#   - empirical risk
#   - gradient descent
#   - backpropagation
#   - gradient checking
# data: [MNIST]
# symbols:
#   '$x$': 'an input: a vector, or a batch (`x`, of shape (batch, height, width, channels) for images)'
#   '$y$': 'the true label or target (`y`)'
#   '$p$': 'the predicted probabilities (`p`)'
#   '$w$': 'weights, as a vector'
#   '$W$': 'weights, as a matrix'
#   '$b$': 'bias'
#   '$\theta$': 'all parameters of a model (`model.trainable_variables`)'
#   '$z$': 'pre-activation (`z`)'
#   '$h$': 'activation, hidden features (`h`)'
#   '$f$': 'activation function (`f`)'
#   '$\sigma$': 'the logistic sigmoid (`keras.ops.sigmoid`)'
#   '$\ell$': 'loss of one example'
#   '$L$': 'mean loss over the examples (`loss`)'
#   '$\alpha$': 'learning rate (`learning_rate`)'
#   '$\nabla_\theta L$': 'gradient of $L$ with respect to $\theta$ (`gradient(f, x)`)'
#   '$\odot$': 'product element by element (`*`)'
# sources:
#   - "Rosenblatt, The perceptron, 1958"
#   - "Linnainmaa, Taylor expansion of the accumulated rounding error, 1976"
#   - "Rumelhart, Hinton & Williams, Learning representations by back-propagating errors, 1986"
#   - "Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990"
#   - "LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998"
#   - "Griewank & Walther, Evaluating derivatives, 2008"
#   - "Goodfellow, Bengio & Courville, Deep learning, chapter 6, 2016"

# %% [markdown]
# You read the digits in the top row at a glance, and you cannot say how. Try to write it down as a program: what,
# exactly, makes a four a four, in any handwriting? Below the digits is what a machine takes them for that was never
# given such a rule.

# %%
import time
from itertools import pairwise

from course import budget, check, claim, data, gradient, plots, prove, record, start

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle
from scipy import special
from scipy.optimize import minimize

rng = start("01")  # seeds everything from COURSE_SEED and sets the style of the figures
BLUE, ORANGE, GREEN = plots.COLOURS[:3]
LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", ["#fff3d6", "#dfe3e6", "#4f8fc0"])


def frame(axis, title=""):
    """Take the ticks off and draw a thin frame around."""
    axis.set(xticks=[], yticks=[])
    axis.set_title(title)
    axis.spines[:].set(visible=True, color="#aaaaaa", linewidth=0.5)


def as_rows(pictures):
    """Pictures (count, 28, 28) of bytes as rows (count, 784) of floats from 0 (paper) to 1 (ink)."""
    return pictures.reshape(-1, 784).astype("float32") / 255


def draw_guesses(pictures, labels, guesses):
    """A row of pictures, and below it a row of guesses for each entry of the dict `guesses`: right ones on blue."""
    figure, axes = plt.subplots(len(guesses) + 1, len(labels), figsize=(8, 0.72 * len(guesses) + 0.9))
    for column, (picture, label) in enumerate(zip(pictures, labels)):
        axes[0, column].imshow(picture, cmap="Greys")
        frame(axes[0, column])
        for axis, row in zip(axes[1:, column], guesses.values()):
            right = row[column] == label
            axis.set_facecolor(BLUE if right else "white")
            axis.text(0.5, 0.5, row[column], ha="center", va="center", size=15, color="white" if right else "#8a5a00")
            frame(axis)
    for axis, name in zip(axes[1:, 0], guesses):
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    plt.show()


# %%
mnist = data.mnist()
count = budget(quick=10000, full=60000, least=500)
images, labels = as_rows(mnist.x_train[:count]), mnist.y_train[:count]
test_images, test_labels = as_rows(mnist.x_test), mnist.y_test
one_of_each = [np.flatnonzero(test_labels == digit)[2] for digit in range(10)]

machine = keras.Sequential(
    [keras.Input((784,)), keras.layers.Dense(100, activation="relu"), keras.layers.Dense(10, activation="softmax")]
)
machine.compile(keras.optimizers.SGD(learning_rate=0.1), loss="sparse_categorical_crossentropy")
guesses = {}
for step in range(1001):
    if step in (0, 3, 30, 300, 1000):
        scores = ops.convert_to_numpy(machine(test_images[one_of_each]))
        guesses[f"after {32 * step:,} digits"] = scores.argmax(axis=1)
    some = rng.integers(len(images), size=32)
    machine.train_on_batch(images[some], labels[some])
draw_guesses(mnist.x_test[one_of_each], range(10), guesses)

# %% [markdown]
# *Figure 1.1. Ten digits that the machine never trains on, and what it takes them for while it learns, 32 digits at a
# time. Blue: right.*
#
# No line of that cell says what a four looks like. The machine holds 79,510 numbers, random at first. It is shown
# digits together with their names, and each time every one of the 79,510 is changed a little. That is all. It leaves
# one question, and its answer is behind every network in this course:
#
# **When the machine reads a digit wrongly, how does each of its numbers know which way to change?**
#
# Keras is a sealed box here. By the end of the chapter you will have built the same machine in some forty lines of
# NumPy, and it will agree with the box step by step.
#
# ## What you will be able to do
#
# - compute a neuron, a layer and a whole network by hand and in NumPy;
# - turn scores into probabilities, and say what a wrong answer costs;
# - follow one mistake backwards through a network, number by number, to everything that had a part in it;
# - train a network from scratch on digits, watch it learn, and say what its hidden units are for;
# - check any gradient that somebody hands you, and find a mistake that raises no error.
#
# You need Python, NumPy and school calculus: the slope of a curve and the chain rule. Of matrices, the product is
# enough.
#
# ## One neuron
#
# A neuron is the smallest machine that weighs evidence. It multiplies every input $x_j$ by a weight $w_j$, adds
# everything up, adds a bias $b$, and bends the sum by an **activation function** $f$ (Rosenblatt, 1958; his $f$ was a
# step):
#
# $$ z = w \cdot x + b = \sum_j w_j x_j + b, \qquad h = f(z) \tag{1.1} $$
#
# Take $w = (1, 2)$, $b = -2$ and the input $x = (1, 2)$. Then $z = 1 \cdot 1 + 2 \cdot 2 - 2 = 3$. The classical $f$,
# the sigmoid $\sigma(z) = 1/(1 + e^{-z})$, makes of it a number between 0 and 1, here 0.953: "yes, rather surely". What
# does the neuron say to all the other inputs?


# %%
def neuron(x, w, b, f):
    """One neuron (1.1): x and w arrays (n,), b a number, f a function of one number. Returns h, a number."""
    if np.shape(x) != np.shape(w):
        raise ValueError(f"axis 0 of x and of w must have the same size, not {len(x)} and {len(w)}")
    return f(np.dot(w, x) + b)  # (1.1)


def plane(side=2.5, points=101):
    """A grid over the square from -side to side: an array (points * points, 2), row by row from the bottom."""
    line = np.linspace(-side, side, points)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def draw_plane(axis, values, title="", bounds=(0, 1), border=None, side=2.5):
    """Draw values (points * points,) on the grid of `plane`, blue where high; border: a value to draw a line at."""
    square = np.reshape(values, 2 * [int(np.sqrt(np.size(values)))])
    extent = (-side, side, -side, side)
    axis.imshow(square, cmap=LOW_TO_HIGH, origin="lower", extent=extent, vmin=bounds[0], vmax=bounds[1])
    if border is not None and square.min() < border < square.max():
        axis.contour(square, [border], colors="black", extent=extent, linewidths=1.5)
    frame(axis, title)


# %%
figure, axes = plt.subplots(1, 3, figsize=(8, 3.1))
for axis, (w, b) in zip(axes, [((1, 2), -2), ((3, 6), -6), ((1, 2), 2)]):
    draw_plane(axis, special.expit(plane() @ w + b), f"$w = {w}$, $b = {b}$", border=0.5)
    foot = -b * np.array(w) / np.dot(w, w)
    axis.annotate("", foot + np.array(w) / np.hypot(*w), foot, arrowprops={"arrowstyle": "-|>", "lw": 2})
    axis.plot(1, 2, "o", color="black")
    axis.set(xlabel="$x_1$", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
axes[0].set_ylabel("$x_2$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.2. What a sigmoid neuron answers to every input of two numbers: blue 1, yellow 0, black line 0.5. The arrow
# has the direction of $w$; the dot is the input of the example.*
#
# The border $w \cdot x + b = 0$ is a straight line across the direction of $w$. Longer weights make it sharper, the
# bias moves it. **One neuron divides the world by a straight cut**, and $w$ says which way is yes.
#
# ## How steep is it?
#
# Three activation functions will take you far. The *sigmoid* answers between 0 and 1, the *hyperbolic tangent* between
# $-1$ and $1$, and the *rectified linear unit* lets what is positive pass and nothing else:
#
# $$ \sigma(z) = \frac{1}{1 + e^{-z}}, \qquad \tanh(z) = \frac{e^z - e^{-z}}{e^z + e^{-z}}, \qquad
#    \operatorname{ReLU}(z) = \max(z, 0) \tag{1.2} $$
#
# Learning will ask one thing of them: if $z$ goes up a little, by how much does $f(z)$ go up? The quotient rule gives
# slopes that can be had from the function's own value:
#
# $$ \sigma'(z) = \sigma(z)\,\bigl(1 - \sigma(z)\bigr), \qquad \tanh'(z) = 1 - \tanh^2(z), \qquad
#    \operatorname{ReLU}'(z) = \begin{cases} 1 & z > 0 \\ 0 & z < 0 \end{cases} \tag{1.3} $$
#
# At its corner $z = 0$ the ReLU has no slope; programs take 0 there. And if you doubt a slope, you can always *ask* the
# function: go a small step $\varepsilon$ to either side, and see.
#
# $$ f'(z) \approx \frac{f(z + \varepsilon) - f(z - \varepsilon)}{2\varepsilon} \tag{1.4} $$


# %%
def sigmoid(z):
    """The logistic sigmoid, for an array of any shape."""
    return 1 / (1 + np.exp(-z))


def relu(z):
    """The rectified linear unit, for an array of any shape."""
    return np.maximum(z, 0)


def identity(z):
    """No activation function at all."""
    return z


ACTIVATIONS = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": relu, "linear": identity}  # (1.2)
SLOPES = {
    "sigmoid": lambda z: sigmoid(z) * (1 - sigmoid(z)),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "relu": lambda z: np.heaviside(z, 0.0),  # (1.3)
    "linear": lambda z: np.ones_like(z),
}


def nudge(f, z, epsilon=1e-5):
    """The slope of f at z by small steps to both sides (1.4); z a number, or an array for an f that takes arrays."""
    return (f(z + epsilon) - f(z - epsilon)) / (2 * epsilon)  # (1.4)


# %%
z = np.linspace(-4, 4, 401)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.6))
for axis, (name, f), top in zip(axes, ACTIVATIONS.items(), (1.1, 1.1, 4)):
    axis.plot(z, f(z), label="$f(z)$")
    axis.plot(z, SLOPES[name](z), label="$f'(z)$")
    axis.set(title=name, xlabel="$z$", ylim=(-top if name == "tanh" else -0.1, top))
    axis.axhline(0, color="#aaaaaa", linewidth=0.5, zorder=0)
axes[0].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.3. Three activation functions and their slopes. Far from 0 the first two are flat: there, a little more or
# less $z$ changes nothing.*
#
# You need not trust any of these lines: each numbered equation is tried on many cases against something that is not
# this chapter's code. The neuron and the activations are held against Keras, the slopes against (1.4) applied to
# SciPy's functions, and (1.4) itself against polynomials, whose slopes NumPy knows exactly.

# %%
NAMES = ["sigmoid", "tanh", "relu"]
TRUSTED = {"sigmoid": special.expit, "tanh": np.tanh, "relu": lambda z: (z + np.abs(z)) / 2}


def activation(name, z):
    return ACTIVATIONS[name](z)


def keras_activation(name, z):
    return keras.activations.get(name)(ops.convert_to_tensor(z.astype("float32")))


def slope(name, z):
    return SLOPES[name](z)


def slope_by_nudging(name, z):
    return nudge(TRUSTED[name], z)


def nudged_polynomial(coefficients, z):
    return nudge(np.polynomial.Polynomial(coefficients), z)


def exact_slope_of_polynomial(coefficients, z):
    return np.polynomial.Polynomial(coefficients).deriv()(z)


def one_neuron(x, w, b, name):
    return neuron(x, w, b, ACTIVATIONS[name])


def keras_neuron(x, w, b, name):
    layer = keras.layers.Dense(1, activation=name)
    layer.build((None, len(x)))
    layer.set_weights([w[:, None], np.reshape(b, 1)])
    return layer(x[None].astype("float32"))[0, 0]


def neurons(count):
    for i in range(count):
        n = int(rng.integers(1, 8))
        yield rng.normal(size=n), rng.normal(size=n), float(rng.normal()), NAMES[i % 3]


def numbers_away_from_zero(count):
    for i in range(count):
        yield NAMES[i % 3], rng.choice([-1, 1], 8) * rng.uniform(0.01, 6, 8)


prove("1.1", one_neuron, keras_neuron, cases=neurons(60), rtol=1e-4)
prove("1.2", activation, keras_activation, cases=numbers_away_from_zero(60))
prove("1.3", slope, slope_by_nudging, cases=numbers_away_from_zero(300))
prove(
    "1.4",
    nudged_polynomial,
    exact_slope_of_polynomial,
    cases=((rng.normal(size=5), float(z)) for z in rng.normal(size=300)),
)

# %% [markdown]
# **Try it.** Where is $\sigma$ steepest, and how steep? Read it off (1.3), then ask `nudge`.
#
# ## Many neurons: layers
#
# A straight cut is not much. Take points in the plane, some inside a ring of others: whichever way you cut, both kinds
# are on both sides. But four neurons make four cuts, and a fifth neuron can look at what the four have said.


# %%
def island(count, rng):
    """Points (count, 2) and labels (count,): 1 on an island of radius 1, 0 on a ring around it."""
    labels = rng.integers(2, size=count)
    radius = np.where(labels == 1, np.sqrt(rng.random(count)), rng.uniform(1.6, 2.4, count))
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), labels


def draw_points(axis, x, labels, size=9):
    """Draw labelled points: dots for 1, crosses for 0."""
    axis.scatter(*x[labels == 1].T, s=size, marker="o", color="#08306b")
    axis.scatter(*x[labels == 0].T, s=size, marker="x", color="#7f3b08", linewidths=0.9)


# %%
points, kinds = island(160, rng)
cuts = 6 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])  # the weights of four neurons; all have the bias 8
said = special.expit(plane() @ cuts.T + 8)
answer = special.expit(12 * (said.sum(axis=1) - 3.5))
figure, axes = plt.subplots(1, 3, figsize=(8, 3))
draw_plane(axes[0], said[:, 0], "one neuron", border=0.5)
draw_plane(axes[1], said.sum(axis=1), "four neurons, added up", bounds=(2, 4))
draw_plane(axes[2], answer, "a fifth looks at the four", border=0.5)
for axis in axes:
    draw_points(axis, points, kinds)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.4. Left: one cut leaves dots and crosses on one side. Middle: four neurons, each with a cut of its own; the
# bluer, the more of them say yes. Right: a fifth neuron says yes where all four do.*
#
# Neurons that look at the same inputs form a **layer**. Write the weights of each neuron as one row of a matrix $W$,
# and the layer is (1.1) for all rows at once. What comes out goes into the next layer, and so on. With $h_0 = x$:
#
# $$ z_l = W_l\, h_{l-1} + b_l, \qquad h_l = f(z_l) \qquad l = 1, 2, \dots, \Lambda \tag{1.5} $$
#
# A network of such layers is called a **multi-layer perceptron**; the layers between input and output are *hidden*.
# $W_l$ has one row for each neuron of layer $l$ and one column for each of layer $l - 1$. In code a whole batch of
# examples passes at once, one in each row of `h`; hence the transpose below. The last layer is left unbent: what is
# done with its sums, the **scores**, comes next.
#
# Would layers do without $f$? No. Put one layer without activation into the next, and multiply out:
#
# $$ W_2\,(W_1 x + b_1) + b_2 = (W_2 W_1)\, x + (W_2\, b_1 + b_2) \tag{1.6} $$
#
# That is one layer again, with the matrix $W_2 W_1$. However many you stack, each output is still a single straight
# cut. The bend is what makes depth worth having.


# %%
def dense(h, W, b):
    """The sums z of a layer (1.5): h (batch, inputs), W (units, inputs), b (units,) -> (batch, units)."""
    if h.shape[-1] != W.shape[1]:
        raise ValueError(f"axis 1 of h and of W must have the same size, not {h.shape[-1]} and {W.shape[1]}")
    return h @ W.T + b  # (1.5)


def forward(network, x, f="relu"):
    """A batch x (batch, inputs) through a network, a list of (W, b). Returns two lists with an entry for each layer:
    what goes in (batch, inputs) and the sums (batch, units). The last sums, the scores, are not bent by f."""
    hs, zs = [x], []
    for W, b in network:
        zs.append(dense(hs[-1], W, b))
        hs.append(ACTIVATIONS[f](zs[-1]))
    return hs[:-1], zs


def new_network(sizes, rng, dtype="float64"):
    """A list of (W, b) with random weights; sizes: how many inputs, then units in each layer."""
    layers = [(rng.normal(size=(n, inputs)) / np.sqrt(inputs), np.zeros(n)) for inputs, n in pairwise(sizes)]
    return [(W.astype(dtype), b.astype(dtype)) for W, b in layers]


def merge(first, second):
    """The one layer (W, b) that does what two layers without activation do (1.6)."""
    (W1, b1), (W2, b2) = first, second
    return W2 @ W1, W2 @ b1 + b2  # (1.6)


# %%
def layer_sums(network, x, f):
    return forward(network, x, f)[1]


def keras_layer_sums(network, x, f):
    h, sums = x.astype("float32"), []
    for W, b in network:
        layer = keras.layers.Dense(len(b))
        layer.build((None, W.shape[1]))
        layer.set_weights([W.T, b])
        sums.append(layer(h))
        h = keras.activations.get(f)(sums[-1])
    return sums


def merged(network, x):
    return dense(x, *merge(*network))


def keras_linear(network, x):
    return keras_layer_sums(network, x, "linear")[-1]


ARCHITECTURES = [[3, 2], [1, 5, 3], [4, 2, 6], [2, 3, 4, 5]]  # units of each layer, inputs first


def random_network(sizes):
    return [(W, rng.normal(size=len(b))) for W, b in new_network(sizes, rng)]


def networks(count):
    """Random (network, batch, activation)."""
    for i in range(count):
        sizes = ARCHITECTURES[i % 4]
        yield random_network(sizes), rng.normal(size=(1 + i % 2 * 3, sizes[0])), NAMES[i % 3]


def pairs_of_layers(count):
    for i in range(count):
        sizes = ARCHITECTURES[1 + i % 2]
        yield random_network(sizes), rng.normal(size=(4, sizes[0]))


prove("1.5", layer_sums, keras_layer_sums, cases=networks(60), rtol=1e-4, atol=1e-5)
prove("1.6", merged, keras_linear, cases=pairs_of_layers(60), rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Try it.** Move the island: which numbers of Figure 1.4 have to change so that it lies around $(1, 1)$?
#
# ## What does a wrong answer cost?
#
# Ten classes, ten neurons in the last layer, ten scores $z$. To say *how sure* the network is, make them positive, by
# $e^z$, and divide by their sum, so that they add up to 1. This is the **softmax** (Bridle, 1990):
#
# $$ p_i = \frac{e^{z_i}}{\sum_j e^{z_j}} \tag{1.7} $$
#
# Scores $(2, 1, 0)$ become $(0.665, 0.245, 0.090)$: one more point of score is $e \approx 2.72$ times the probability.
# Only differences count. Add $c$ to all scores, and every term above and below is multiplied by $e^c$, which cancels:
#
# $$ \operatorname{softmax}(z + c) = \operatorname{softmax}(z) \tag{1.8} $$
#
# This is more than a remark. A score of 1000 makes $e^{1000}$ overflow. With $c = -\max_j z_j$ no exponent is positive,
# and nothing can.
#
# Now the cost. Write the truth as a vector $y$ with a 1 at the right class $t$ and 0 elsewhere. If you gave the truth
# the probability 1, you pay nothing; the less you gave it, the more you pay. The **cross-entropy** is
#
# $$ \ell = -\sum_i y_i \log p_i = -\log p_t \tag{1.9} $$
#
# Half sure of the truth costs $\log 2 \approx 0.69$, guessing evenly among ten classes $\log 10 \approx 2.30$: a number
# to remember, for it is about where every network begins. To be sure of something false costs without limit.
#
# For two classes one neuron is enough. Divide (1.7) by $e^{z_1}$ above and below: $p_1 = \sigma(z_1 - z_0)$. So let $z$
# be that difference, $p = \sigma(z)$, and $t$ be 0 or 1. Then (1.9) reads
#
# $$ \ell = -\,t \log p - (1 - t) \log (1 - p) \tag{1.10} $$
#
# Over $N$ examples we take the mean, the **empirical risk**, as a function of all numbers $\theta$ in the network:
#
# $$ L(\theta) = \frac{1}{N} \sum_{n=1}^{N} \ell\bigl(x^{(n)}, y^{(n)}; \theta\bigr) \tag{1.11} $$
#
# Learning means to look for $\theta^* = \operatorname{argmin}_\theta L(\theta)$.


# %%
def naive_softmax(z):
    """Softmax over the last axis as in (1.7)."""
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)  # (1.7)


def softmax(z):
    """Softmax over the last axis; the shift (1.8) keeps every exponent at 0 or below."""
    return naive_softmax(z - z.max(axis=-1, keepdims=True))  # (1.8)


def cross_entropy(p, y):
    """The loss of each example (1.9): probabilities p and truths y (batch, classes), a 1 in each row of y."""
    for axis, sizes in enumerate(zip(p.shape, y.shape)):
        if sizes[0] != sizes[1]:
            raise ValueError(f"axis {axis} of p and of y must have the same size, not {sizes[0]} and {sizes[1]}")
    return -np.sum(y * np.log(p), axis=-1)  # (1.9)


def binary_cross_entropy(z, t):
    """The loss of a sigmoid neuron with the sum z where the truth t is 0 or 1 (1.10)."""
    p = sigmoid(z)
    return -t * np.log(p) - (1 - t) * np.log(1 - p)  # (1.10)


def risk(network, x, y, f="relu"):
    """The mean loss (1.11) of a network on examples x (batch, inputs) with truths y (batch, classes)."""
    return np.mean(cross_entropy(softmax(forward(network, x, f)[1][-1]), y))  # (1.11)


def one_hot(labels, classes):
    """Truths (batch, classes) from labels (batch,): in each row a 1 at the label."""
    return np.eye(classes)[labels]


# %% [markdown]
# SciPy and Keras judge. For (1.10) the judge is the loss of *two* classes with the scores 0 and $z$; for (1.11) it is a
# compiled Keras model that evaluates itself.


# %%
def softmax_of_shifted(z, c):
    return softmax(z + c)


def scipy_softmax(z, c=0.0):
    return special.softmax(z, axis=-1)


def keras_cross_entropy(p, y):
    return keras.losses.categorical_crossentropy(ops.convert_to_tensor(y), ops.convert_to_tensor(p))


def keras_two_classes(z, t):
    scores = ops.stack([ops.zeros(len(z)), ops.convert_to_tensor(z.astype("float32"))], axis=1)
    return keras.losses.sparse_categorical_crossentropy(ops.convert_to_tensor(t), scores, from_logits=True)


def in_keras(network, f="relu"):
    """The same network, with the same weights, as a Keras model that puts out probabilities."""
    layers = [keras.layers.Dense(len(b), activation=f) for _, b in network[:-1]]
    layers.append(keras.layers.Dense(len(network[-1][1]), activation="softmax"))
    model = keras.Sequential([keras.Input((network[0][0].shape[1],)), *layers])
    model.set_weights([value for W, b in network for value in (W.T, b)])
    return model


def keras_risk(network, x, y, f):
    model = in_keras(network, f)
    model.compile(loss="categorical_crossentropy", run_eagerly=True)
    return model.evaluate(x, y, verbose=0)


def score_tables(count, scale):
    for _ in range(count):
        yield scale * rng.normal(size=rng.integers(2, 6, 2))


def truths(batch, classes):
    return one_hot(rng.integers(classes, size=batch), classes)


def neurons_with_truths(count):
    for _ in range(count):
        yield 3 * rng.normal(size=6), rng.integers(2, size=6)


def networks_with_truths(count):
    """Random (network, batch, truths, activation)."""
    for network, x, f in networks(count):
        yield network, x, truths(len(x), len(network[-1][1])), f


prove("1.7", naive_softmax, scipy_softmax, cases=score_tables(200, 3))
prove("1.8", softmax_of_shifted, scipy_softmax, cases=((z, float(z[0, 0])) for z in score_tables(200, 1000)))
prove("1.9", cross_entropy, keras_cross_entropy, cases=((softmax(z), truths(*z.shape)) for z in score_tables(100, 1)))
prove("1.10", binary_cross_entropy, keras_two_classes, cases=neurons_with_truths(100), rtol=1e-4)
prove("1.11", risk, keras_risk, cases=networks_with_truths(12), rtol=1e-4)

# %% [markdown]
# ## Which way is down?
#
# You stand on a hillside in fog and want to go down. You feel the slope under your feet and take a step against it, in
# proportion to how steep it is. In a network there are as many directions as numbers in $\theta$; the slopes in all of
# them form the **gradient** $\nabla_\theta L$, and **gradient descent** repeats
#
# $$ \theta \leftarrow \theta - \alpha\, \nabla_\theta L(\theta) \tag{1.12} $$
#
# The learning rate $\alpha$ says how far to go. A sigmoid neuron with a single weight shows what it decides:


# %%
def descend(network, gradients, rate):
    """One step of gradient descent (1.12); gradients: a list of (dL/dW, dL/db) with the shapes of the network's."""
    return [(W - rate * dW, b - rate * db) for (W, b), (dW, db) in zip(network, gradients)]  # (1.12)


def loss_of_weight(w):
    """The mean loss of a neuron z = w x without bias on six examples."""
    x, t = np.array([-2.0, -1.5, -1.0, 1.0, 1.5, 2.0]), np.array([0, 1, 0, 1, 0, 1])
    return np.mean(binary_cross_entropy(w * x, t))


# %%
w = np.linspace(-3, 6, 200)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.7), sharey=True)
for axis, (rate, name) in zip(axes, [(0.2, "too small"), (1.5, "about right"), (8, "too large")]):
    path = [-2.5]
    for _ in range(8):
        path.append(path[-1] - rate * nudge(loss_of_weight, path[-1]))
    axis.plot(w, [loss_of_weight(value) for value in w], color="#999999")
    axis.plot(path, [loss_of_weight(value) for value in path], "o--", color=BLUE, linewidth=1, markersize=4)
    axis.set(title=f"$\\alpha = {rate}$: {name}", xlabel="weight $w$")
axes[0].set_ylabel("mean loss $L$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.5. Eight steps of gradient descent on the same curve, from the left, at three learning rates: crawling,
# arriving, leaping from side to side.*
#
# So we need the gradient. We know one way already: nudge each number of $\theta$ by (1.4) and look at the loss. For the
# machine of Figure 1.1 that means running it $2 \cdot 79{,}510$ times for a single step. The gradient would be right,
# and the machine would never be finished. There must be a way to ask the network *once*.


# %%
def descend_flat(theta, slopes, rate):
    return descend([(theta, np.zeros(1))], [(slopes, np.zeros(1))], rate)[0][0]


def keras_descend(theta, slopes, rate):
    variable = keras.Variable(theta.astype("float32"))
    keras.optimizers.SGD(learning_rate=rate).apply([ops.convert_to_tensor(slopes.astype("float32"))], [variable])
    return variable.value


prove(
    "1.12",
    descend_flat,
    keras_descend,
    cases=((rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), float(rng.random())) for _ in range(50)),
    rtol=1e-4,
    atol=1e-5,
)

# %% [markdown]
# ## Sending the blame back
#
# Here is a network small enough to do by hand: two inputs, three ReLU units, two classes. The input is $(1, 2)$, and
# the truth is the upper class. First, forward, from left to right.

# %%
SMALL = [
    (np.array([[2.0, 1.0], [-1.0, 1.0], [1.0, -2.0]]), np.array([-1.0, 0.0, 1.0])),
    (np.array([[1.0, -2.0, 1.0], [-1.0, 3.0, 2.0]]), np.array([0.0, 1.0])),
]
SMALL_X, SMALL_Y = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])


def draw_network(axis, columns, edges, title, colour=BLUE, backward=False, notes=()):
    """Draw a small network with its numbers.

    columns: for each layer a list of texts, one in each node. edges: for each pair of neighbouring layers an array
    (units, inputs) of numbers to write on the lines; thicker where larger. notes: (layer, unit, text) left of a node.
    """
    places = [[(3.2 * i, 1.15 * ((len(c) - 1) / 2 - j)) for j in range(len(c))] for i, c in enumerate(columns)]
    for left, right, numbers in zip(places, places[1:], edges):
        for (unit, source), number in np.ndenumerate(numbers):
            a, b = np.array(left[source]), np.array(right[unit])
            gap = 0.42 * (b - a) / np.hypot(*(b - a))
            tip, tail = (a + gap, b - gap) if backward else (b - gap, a + gap)
            width, shade = 0.6 + 0.5 * min(abs(number), 4), colour if number else "#cccccc"
            axis.annotate("", tip, tail, arrowprops={"arrowstyle": "-|>", "color": shade, "lw": width})
            box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
            axis.text(*(a + 0.25 * (b - a)), minus(number), ha="center", va="center", size=9, bbox=box)
    for column, texts in zip(places, columns):
        for place, text in zip(column, texts):
            axis.add_patch(Circle(place, 0.42, fc="white", ec=colour, lw=1.5))
            axis.text(*place, text, ha="center", va="center", size=9)
    for layer, unit, text in notes:
        x, y = places[layer][unit]
        axis.text(x - 0.55, y, text, ha="right", va="center", size=9)
    axis.set(xlim=(-0.6, 7), ylim=(-1.75, 1.75), aspect="equal")
    axis.axis("off")
    axis.set_title(title)


def minus(number):
    """A number as a short text, with a true minus sign."""
    return f"{number + 0:g}".replace("-", "−")


# %%
hs, zs = forward(SMALL, SMALL_X)
given = [f"$x$ = {minus(value)}" for value in SMALL_X[0]]
nodes = [
    given,
    [f"$z$ = {minus(z)}\n$h$ = {minus(h)}" for z, h in zip(zs[0][0], hs[1][0])],
    [f"$z$ = {minus(z)}\n$p$ = {minus(p)}" for z, p in zip(zs[1][0], softmax(zs[1])[0])],
]
figure, axis = plt.subplots(figsize=(7.6, 3.7))
draw_network(axis, nodes, [W for W, _ in SMALL], "forward, with the weights on the lines")
plt.show()

# %% [markdown]
# *Figure 1.6. Forward. Each unit adds up what comes in, times the number on the line, plus its bias (hidden: $-1, 0, 1$
# from top to bottom; output: $0, 1$). The top unit: $2 \cdot 1 + 1 \cdot 2 - 1 = 3$.*
#
# The scores are equal, so the network says fifty-fifty, and the truth, the upper class, costs it $\log 2$. Who is to
# blame, and by how much? Give each unit one number for that: how fast the loss grows when the unit's sum grows,
#
# $$ \delta_l = \frac{\partial \ell}{\partial z_l} $$
#
# a vector with an entry for each unit of layer $l$. **At the last layer**, put (1.7) into (1.9):
# $\ell = -z_t + \log \sum_j e^{z_j}$. Its slope along $z_i$ is $e^{z_i}/\sum_j e^{z_j}$, which is $p_i$, and at $i = t$
# there is $-1$ in addition:
#
# $$ \delta_\Lambda = p - y \tag{1.13} $$
#
# What you said, minus what was true. Here that is $(0.5, 0.5) - (1, 0) = (-0.5, 0.5)$: the upper score should go up,
# the lower down.
#
# **One layer back.** Nudge the sum $z$ of the middle hidden unit. Its $h$ moves $f'(z)$ times as much. That moves the
# upper score by $-2$ and the lower by $3$ times as much, and we know already what *those* are to blame for. The effects
# add up: $(-2) \cdot (-0.5) + 3 \cdot 0.5 = 2.5$. The blame has come back along the very lines on which the signal
# went. In general the lines out of unit $i$ are column $i$ of $W_{l+1}$, hence the transpose:
#
# $$ \delta_l = \bigl(W_{l+1}^\mathsf{T}\, \delta_{l+1}\bigr) \odot f'(z_l) \tag{1.14} $$
#
# The bottom unit would get $1 \cdot (-0.5) + 2 \cdot 0.5 = 0.5$. But its sum is negative, its ReLU lets nothing pass,
# its slope is 0, and so is its share in the blame.
#
# **And the weights?** A weight multiplies $h$ on its way into $z$, so it moves $z$ by $h$ times its nudge; a bias moves
# it by the nudge itself. The slope along a weight is the blame of the unit it leads to, times the signal that it
# carried:
#
# $$ \frac{\partial \ell}{\partial W_l} = \delta_l\, h_{l-1}^\mathsf{T}, \qquad
#    \frac{\partial \ell}{\partial b_l} = \delta_l \tag{1.15} $$
#
# This is **backpropagation**: one way forward, one way back, and every number in the network knows which way to change.
# The idea is older than its fame (Linnainmaa, 1976; Rumelhart, Hinton and Williams, 1986).


# %%
def blame(network, zs, y, f="relu"):
    """The deltas of all layers, a list of arrays (batch, units): (1.13) for the last, then (1.14) back to the first.

    zs: the sums from `forward`; y: truths (batch, classes).
    """
    if zs[-1].shape != y.shape:
        raise ValueError(f"y must have the shape of the scores, (batch, classes) = {zs[-1].shape}, not {y.shape}")
    deltas = [softmax(zs[-1]) - y]  # (1.13)
    for (W, _), z in zip(network[:0:-1], zs[-2::-1]):
        deltas.append(deltas[-1] @ W * SLOPES[f](z))  # (1.14)
    return deltas[::-1]


def slopes_from(deltas, hs):
    """The gradient of the mean loss: a list of (dL/dW, dL/db), the mean over the batch of (1.15)."""
    return [(delta.T @ h / len(h), delta.mean(axis=0)) for delta, h in zip(deltas, hs)]  # (1.15)


# %%
deltas = blame(SMALL, zs, SMALL_Y)
hidden, output = ([f"$\\delta$ = {minus(value)}" for value in delta[0]] for delta in deltas)
(_, _), (W2, _) = SMALL
sums = [" + ".join(f"({minus(w)})({minus(d)})" for w, d in zip(column, deltas[1][0])) for column in W2.T]
notes = [
    (1, i, f"[{text}] · {minus(slope)}  = ") for i, (text, slope) in enumerate(zip(sums, SLOPES["relu"](zs[0][0])))
]
figure, axes = plt.subplots(2, 1, figsize=(7.6, 7.2))
draw_network(axes[0], [[], hidden, output], [np.zeros((3, 0)), W2], "backward: the blame", ORANGE, True, notes)
hidden = [f"{text}\n$h$ = {minus(h)}" for text, h in zip(hidden, hs[1][0])]
gradients = [dW for dW, _ in slopes_from(deltas, hs)]
draw_network(axes[1], [given, hidden, output], gradients, "the slope of the loss along every weight", GREEN)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.7. Top: $\delta$ flows from right to left, (1.14): in brackets what comes back along the two lines, then the
# unit's own slope. Bottom: on each line the slope of the loss along that weight, (1.15): the $\delta$ where the line
# ends, times the signal where it begins. Lines into and out of the silent unit get 0.*
#
# Recompute two or three of these numbers by hand; it is the best five minutes you can spend on this subject. Then let
# the network take one small step against its gradient, and see whether it was told the truth:

# %%
better = descend(SMALL, slopes_from(deltas, hs), rate=0.01)
print(f"loss before: {risk(SMALL, SMALL_X, SMALL_Y):.4f}   after one step: {risk(better, SMALL_X, SMALL_Y):.4f}")

# %% [markdown]
# Each line of the derivation has its proof, one intermediate at a time. The judge is automatic differentiation: the
# course's `gradient(f, x)` hands $f$ to TensorFlow, JAX or PyTorch, whichever Keras runs on. For $\delta_l$ the network
# is cut at $z_l$, and the judge is given the rest of it as a function of $z_l$.


# %%
def float32(*values):
    return [ops.convert_to_tensor(value, "float32") for value in values]


def keras_loss_from(z, rest, y, f):
    """The summed loss as a function of the sums z of some layer; rest: the layers (W, b) above it."""
    for layer in rest:
        W, b = float32(*layer)
        z = ops.matmul(keras.activations.get(f)(z), ops.transpose(W)) + b
    return -ops.sum(float32(y)[0] * ops.log_softmax(z, axis=-1))


def last_delta(network, x, y, f):
    return blame(network, forward(network, x, f)[1], y, f)[-1]


def all_deltas(network, x, y, f):
    return blame(network, forward(network, x, f)[1], y, f)


def all_slopes(network, x, y, f):
    hs, zs = forward(network, x, f)
    return slopes_from(blame(network, zs, y, f), hs)


def automatic_deltas(network, x, y, f):
    found = []
    for above, z in enumerate(keras_layer_sums(network, x, f), start=1):
        found.append(gradient(lambda z, rest=network[above:]: keras_loss_from(z, rest, y, f), z))
    return found


def automatic_last_delta(network, x, y, f):
    return automatic_deltas(network, x, y, f)[-1]


def automatic_slopes(network, x, y, f):
    """The derivative of the mean loss with respect to each W and b, one at a time, the others held fixed."""

    def loss(value, at, kind):
        layers = [list(layer) for layer in network]
        layers[at][kind] = value
        W, b, first = float32(*layers[0], x)
        return keras_loss_from(ops.matmul(first, ops.transpose(W)) + b, layers[1:], y, f) / len(x)

    slopes = [[], []]  # of the W and of the b
    for at, kind in np.ndindex(len(network), 2):
        start = network[at][kind].astype("float32")
        slopes[kind].append(gradient(lambda value, at=at, kind=kind: loss(value, at, kind), start))
    return list(zip(*slopes))


prove("1.13", last_delta, automatic_last_delta, cases=networks_with_truths(36), rtol=1e-4, atol=1e-5)
prove("1.14", all_deltas, automatic_deltas, cases=networks_with_truths(36), rtol=1e-4, atol=1e-5)
prove("1.15", all_slopes, automatic_slopes, cases=networks_with_truths(36), rtol=1e-4, atol=1e-5)

# %% [markdown]
# And what has been saved? Nudging runs the network twice for each of its numbers. The way back takes two matrix
# products for each layer where the way forward takes one, and gives all slopes together. (That the gradient of any
# program with one number as its result costs no more than a small multiple of the program itself is the *cheap gradient
# principle*; Griewank and Walther, 2008.)


# %%
def by_trying(network, x, y, f="relu", epsilon=1e-5):
    """The gradient of `risk` by (1.4), number by number, in the form of `slopes_from`."""
    found = []
    for layer in network:
        for value in layer:
            found.append(np.zeros_like(value))
            for place in np.ndindex(value.shape):
                kept, losses = value[place], []
                for shifted in (kept + epsilon, kept - epsilon):
                    value[place] = shifted
                    losses.append(risk(network, x, y, f))
                value[place] = kept
                found[-1][place] = (losses[0] - losses[1]) / (2 * epsilon)
    return list(zip(found[::2], found[1::2]))


def least_seconds(function, repeats):
    """The least wall time of several calls: what else the machine does can only make a call longer."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


# %%
middling, some_x, some_y = new_network([50, 20, 10], rng), rng.normal(size=(20, 50)), truths(20, 10)
trying = least_seconds(lambda: by_trying(middling, some_x, some_y), 1)
going_back = least_seconds(lambda: all_slopes(middling, some_x, some_y, "relu"), 20)
speed_up = trying / going_back
numbers = sum(W.size + b.size for W, b in middling)
print(f"{numbers:,} numbers: {1e3 * trying:.0f} ms by trying each, {1e3 * going_back:.2f} ms by backpropagation")

# %%
claim("1.1", "backpropagation is at least a hundred times as fast as trying each of 1,230 numbers", speed_up > 100)

# %% [markdown]
# **Try it.** Print `by_trying(SMALL, SMALL_X, SMALL_Y)` beside Figure 1.7. Then set the bias of the bottom hidden unit
# to 3.5, and predict its $\delta$ before you look.
#
# ## The machine, unsealed
#
# `new_network`, `dense`, `forward`, `softmax`, `blame`, `slopes_from`, `descend`: that is a learning machine. What is
# missing is the loop. It does not use all examples for each step, but a **batch** of some, drawn anew each time: their
# mean loss is a fair estimate of (1.11), and much cheaper.


# %%
def train(network, x, y, f="relu", rate=0.1, steps=1000, batch=32, watch=None):
    """Gradient descent on random batches; returns the trained network. watch: called with (step, network)."""
    for step in range(steps):
        if watch:
            watch(step, network)
        some = rng.integers(len(x), size=batch)
        hs, zs = forward(network, x[some], f)
        network = descend(network, slopes_from(blame(network, zs, y[some], f), hs), rate)
    return network


def accuracy(network, x, labels, f="relu"):
    """The share of examples whose highest score is that of the right class."""
    return float(np.mean(forward(network, x, f)[1][-1].argmax(axis=1) == labels))


# %% [markdown]
# Take the machine of Figure 1.1 and this one, give both the same random weights and the same twenty batches, and let
# them go.

# %%
ours = new_network([784, 100, 10], rng)
theirs = in_keras(ours)
theirs.compile(keras.optimizers.SGD(learning_rate=0.1), loss="categorical_crossentropy")
truth = one_hot(labels, 10).astype("float32")
curves = {"ours": [], "Keras": []}
for batch in rng.integers(len(images), size=(20, 64)):
    x, y = images[batch], truth[batch]
    curves["ours"].append(risk(ours, x, y))
    curves["Keras"].append(float(theirs.train_on_batch(x, y)))
    ours = descend(ours, all_slopes(ours, x, y, "relu"), 0.1)
apart = np.max(np.abs(np.subtract(curves["ours"], curves["Keras"])))
print(f"from {curves['ours'][0]:.3f} to {curves['ours'][-1]:.3f}; never further apart than {apart:.1e}")

# %%
claim("1.2", "NumPy and Keras follow the same loss curve for 20 steps", len(curves["ours"]) == 20 and apart < 1e-4)

# %% [markdown]
# The box is open. It holds nothing that you have not seen.
#
# ## Watch it learn
#
# In Figure 1.4 the four cuts around the island were placed by a person. Now let a network with four hidden units (tanh)
# find them, from random weights, and look inside at every stage.

# %%
points, kinds = island(300, rng)
stages = [0, 30, 100, 300, 2000]
film = {}
islander = train(
    new_network([2, 4, 2], rng),
    points,
    one_hot(kinds, 2),
    f="tanh",
    rate=0.5,
    steps=max(stages) + 1,
    watch=lambda step, network: film.update({step: network}) if step in stages else None,
)
figure, axes = plt.subplots(5, len(stages), figsize=(8.4, 8.6))
for column, step in zip(axes.T, stages):
    hs, zs = forward(film[step], plane(), "tanh")
    draw_plane(column[0], softmax(zs[-1])[:, 1], f"step {step:,}", border=0.5)
    draw_points(column[0], points, kinds, size=4)
    for axis, h in zip(column[1:], hs[1].T):
        draw_plane(axis, h, bounds=(-1, 1), border=0)
for axis, name in zip(axes[:, 0], ["the network's answer", *(f"hidden unit {i}" for i in range(1, 5))]):
    axis.set_ylabel(name)
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 1.8. One network at five moments of its training. Top: the probability of "island" (blue high), its border at
# one half, and the points. Below: what each hidden unit answers ($-1$ yellow, $1$ blue), with its cut.*
#
# Read the columns from left to right. At first the cuts lie anyhow, and the answer is vague. Then the units turn and
# slide, each pushed by its own $\delta$, until together they fence the island in. Nobody told any of them which side to
# take. Each was told only, again and again, how its own sum should change.

# %%
directions = [(np.cos(angle), np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 120, endpoint=False)]
offsets = np.linspace(-2.4, 2.4, 61)
best_cut = max(np.mean((points @ way > offset) == kinds) for way in directions for offset in offsets)
island_accuracy = accuracy(islander, points, kinds, "tanh")
print(f"right: {island_accuracy:.1%} with four hidden units, {best_cut:.1%} with the best of 7,320 single cuts")

# %%
claim(
    "1.3", "four hidden units find the island, which no single cut separates", island_accuracy > 0.95 > 0.85 > best_cut
)

# %% [markdown]
# **Try it.** How few hidden units can enclose the island? Train with three, and with two. Then build with (1.6) what a
# network of four hidden units *without* activation could draw at best.
#
# ## Back to the digits
#
# What does the hidden layer buy on real digits? Three machines read MNIST (LeCun et al., 1998). *Softmax regression*
# has no hidden layer: ten neurons look straight at the pixels. The second has a hidden layer of 100 ReLU units. The
# third has two hidden layers of 100, but no activation function. All see equally many batches of the same digits; the
# first and the third may choose the best of three learning rates on the test digits, an advantage that the second one
# does not get.

# %%
CONTESTANTS = {
    "softmax regression": ([784, 10], "linear", (0.05, 0.1, 0.3)),
    "one hidden layer, ReLU": ([784, 100, 10], "relu", (0.2,)),
    "two hidden layers, no activation": ([784, 100, 100, 10], "linear", (0.01, 0.02, 0.03)),
}
STEPS = budget(quick=2500, full=20000, least=50)

trained, reached, histories = {}, {}, {}
for name, (sizes, f, rates) in CONTESTANTS.items():
    for rate in rates:
        history = {}

        def watch(step, network, f=f, history=history):
            if step % (STEPS // 25) == 0:
                history[step] = accuracy(network, test_images[:1000], test_labels[:1000], f)

        first = new_network(sizes, rng, "float32")
        last = train(first, images, truth, f, rate, STEPS + 1, watch=watch)
        got = accuracy(last, test_images, test_labels, f)
        if got > reached.get(name, 0):
            trained[name], reached[name], histories[name] = (first, last), got, history
regression, perceptron, unbent = reached.values()

figure, axis = plt.subplots(figsize=(7, 3.2))
for (name, history), marker in zip(histories.items(), "osD"):
    axis.plot(history.keys(), history.values(), marker=marker, markersize=3.5, label=f"{name}: {reached[name]:.1%}")
axis.set(xlabel="steps", ylabel="accuracy on 1,000 test digits", ylim=(0.7, 1))
axis.legend(title="on all test digits, at the end")
plt.show()

# %% [markdown]
# *Figure 1.9. Three machines learn to read. The one with a bend in it passes the two that have none.*

# %%
claim("1.4", "a hidden layer beats softmax regression on MNIST", perceptron > regression + 0.01)

# %%
single, stack = trained["softmax regression"][1], trained["two hidden layers, no activation"][1]
folded = [merge(merge(*stack[:2]), stack[2])]
rank = np.linalg.matrix_rank
read_by_folded, read_by_stack = (forward(net, test_images, "linear")[1][-1].argmax(axis=1) for net in (folded, stack))
agreement = np.mean(read_by_folded == read_by_stack)

# %%
claim(
    "1.5",
    "without an activation three layers are one: the same rank, and no better accuracy",
    rank(folded[0][0]) == rank(single[0][0]) == 10
    and agreement > 0.998
    and unbent < min(regression + 0.015, perceptron - 0.01),
)

# %% [markdown]
# The three unbent layers hold eleven times the numbers of the single one. Yet (1.6) folds them into one matrix of the
# same size, $10 \times 784$, that reads the digits alike, and it has the same **rank**, ten: the number of independent
# directions in which pixels can move the scores. "No better" allows for 1.5 percentage points, for a thousand test
# digits, the fewest that you may have, cannot tell finer.
#
# ## A look inside
#
# Each hidden unit has 784 weights, one for each pixel, so they can be drawn as a picture. And backpropagation need not
# stop at the first layer: one more step of (1.14), without $f'$, gives $W_1^\mathsf{T} \delta_1$, the blame of every
# *pixel*.


# %%
def pixel_blame(network, x, y):
    """The gradient of each example's loss with respect to its inputs, (batch, inputs)."""
    return blame(network, forward(network, x)[1], y)[0] @ network[0][0]


def draw_signed(axis, values):
    """Draw 784 values as a picture: white 0, purple positive, orange negative, each picture at its own scale."""
    axis.imshow(values.reshape(28, 28), cmap="PuOr", vmin=-np.abs(values).max(), vmax=np.abs(values).max())
    frame(axis)


# %%
first, last = trained["one hidden layer, ReLU"]
probabilities = softmax(forward(last, test_images)[1][-1])
taken_for = probabilities.argmax(axis=1)
wrong = np.flatnonzero(taken_for != test_labels)
worst = wrong[np.argsort(-probabilities[wrong, taken_for[wrong]])][:8]
to_blame = pixel_blame(last, test_images[worst], one_hot(test_labels[worst], 10))
figure, axes = plt.subplots(4, 8, figsize=(8, 4.6))
for i, column in enumerate(axes.T):
    draw_signed(column[0], last[0][0][i])
    draw_signed(column[1], last[0][0][i] - first[0][0][i])
    column[2].imshow(test_images[worst[i]].reshape(28, 28), cmap="Greys")
    frame(column[2], f"{test_labels[worst[i]]}, read as {taken_for[worst[i]]}")
    column[2].title.set_fontsize(9)
    draw_signed(column[3], -to_blame[i])
for axis, name in zip(axes[:, 0], ["weights", "learned", "mistakes", "more / less ink"]):
    axis.set_ylabel(name)
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 1.10. Row 1: the weights of eight hidden units; purple: ink here excites the unit, orange: it silences it. Row
# 2: what learning has added to the random start. Row 3: the mistakes that the machine was surest of. Row 4: where more
# ink (purple) and less ink (orange) would lower the loss.*
#
# By (1.15) what is added to a unit's weights is a sum of training digits, each times minus the unit's $\delta$: hence
# the ghosts of strokes in row 2. A pixel that never has ink adds nothing, so the weights in the corners are still the
# random numbers of the start, which also speckle row 4. That row shows what the machine would have needed to see. Some
# mistakes you may forgive. With others you see how little a hundred templates of strokes know: a stroke one pixel
# further to the right meets other weights.
#
# ## Debug it
#
# A network from the web. Its last layer has a softmax, as it should. Its loss was copied from another page, where
# models put out scores. No error, no warning, and it does learn something.


# %%
def loss_from_the_web(label, output):
    return -ops.sum(ops.one_hot(ops.cast(label, "int32"), 10) * ops.log_softmax(output), axis=-1)


def reader(loss):
    """The machine of Figure 1.1, compiled with this loss."""
    model = keras.Sequential(
        [keras.Input((784,)), keras.layers.Dense(100, activation="relu"), keras.layers.Dense(10, activation="softmax")]
    )
    model.compile(keras.optimizers.SGD(learning_rate=0.1), loss=loss, metrics=["sparse_categorical_accuracy"])
    return model


# %%
suspects = {"from the web": loss_from_the_web, "as it should be": "sparse_categorical_crossentropy"}
logs = {
    name: reader(loss).fit(images, labels, epochs=budget(quick=4, full=5, least=1), verbose=0).history
    for name, loss in suspects.items()
}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.9))
for name, log in logs.items():
    epochs = range(1, len(log["loss"]) + 1)
    axes[0].plot(epochs, log["loss"], marker="o", label=name)
    axes[1].plot(epochs, log["sparse_categorical_accuracy"], marker="o", label=name)
axes[0].set(xlabel="epoch (once through all digits)", ylabel="mean loss", ylim=(0, 2.4), xticks=epochs)
axes[1].set(xlabel="epoch (once through all digits)", ylabel="accuracy in training", ylim=(0, 1), xticks=epochs)
axes[1].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.11. The same machine, trained on the same digits with two losses.*
#
# What is wrong, and would a gradient check find it? Think before you read on.
#
# `log_softmax` expects scores and is given probabilities: **softmax is applied twice**. The second one sees numbers
# between 0 and 1. However sure the network is, the right class can lead the others by 1 at most, and with
# $\ell = \log \sum_j e^{p_j - p_t}$, where every exponent is at least $-1$, the loss has a floor. For $K$ classes:
#
# $$ \ell_\text{twice} = -\log\, \operatorname{softmax}(p)_t \ge \log\left(1 + \frac{K - 1}{e}\right) \tag{1.16} $$
#
# For ten classes that is $1.461$. With ten classes, suspect this mistake wherever a loss settles a little above it. No
# gradient check finds it, for the gradient is right; it is the gradient of the wrong function. Keras has the same trap,
# `activation="softmax"` together with `from_logits=True` (on TensorFlow it notices, warns, and goes back to the
# scores). The habit to keep: **know what the loss should be at the start, $\log K$, and that it should be able to reach
# 0**; train on ten examples only, and see whether it does.


# %%
def floor_of_twice(classes):
    """The least cross-entropy that softmax applied twice can reach (1.16)."""
    return np.log(1 + (classes - 1) / np.e)  # (1.16)


def searched_floor(classes):
    """The same by SciPy's search over all probabilities p of the first softmax."""
    found = minimize(
        lambda p: special.logsumexp(p) - p[0],
        np.full(classes, 1 / classes),
        bounds=[(0, 1)] * classes,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
    )
    return found.fun


prove("1.16", floor_of_twice, searched_floor, cases=range(2, 31))

# %%
twice, once = logs.values()
claim(
    "1.6",
    "with softmax applied twice the loss stays above its floor, and the machine learns more slowly",
    min(twice["loss"]) > floor_of_twice(10)
    and twice["sparse_categorical_accuracy"][-1] < once["sparse_categorical_accuracy"][-1] - 0.02,
)

# %% [markdown]
# ## This run, and what is next

# %%
record(
    hidden_layer_accuracy=perceptron,
    softmax_regression_accuracy=regression,
    no_activation_accuracy=unbent,
    backpropagation_speed_up=speed_up,
)

# %% [markdown]
# You have a machine that learns. It is also fragile. (1.14) multiplies the blame by $W^\mathsf{T}$ and by a slope at
# every layer, and the sigmoid's slope is at most $1/4$: what is left of $\delta$ after ten layers? The learning rates
# above were tried out by hand. And nothing yet keeps a large network from learning its examples by heart. All that is
# the next chapter. The one after it takes up the stroke that stands one pixel further to the right.
#
# ## Exercises
#
# Fill in a function, run its cell, then run the check below it. A failed check names the input, what came out and what
# was expected. NumPy is enough, and the functions of the lesson are yours to use.
#
# **Exercise 1.1 ★** *Exclusive or* is 1 where exactly one of two inputs is high. No single cut does it: "yes" for
# $(0,1)$ and $(1,0)$ needs $w_1 + b > 0$ and $w_2 + b > 0$, "no" for $(0,0)$ and $(1,1)$ needs $b < 0$ and
# $w_1 + w_2 + b < 0$, and the first two add up to $w_1 + w_2 + 2b > 0$, the last two to the opposite. Two hidden units
# can. Find their weights by hand, first for inputs 0 and 1.


# %%
# Exercise 1.1
def xor_weights(low, high):
    """Weights of a network with two ReLU units and one output that computes exclusive or.

    low, high: the two values that an input can have, floats with low < high. Returns
    (W, b, v, c): arrays W (2, 2), b (2,), v (2,) and a number c, such that v . relu(W x + b) +
    c is 1 where exactly one of the inputs x is high, and 0 where none or both are.
    Example: for the weights of xor_weights(0.0, 1.0), x = (1, 0) gives 1 and x = (1, 1) gives
    0.
    """
    ### BEGIN SOLUTION
    scale = 1 / (high - low)  # (x - low) * scale is 0 or 1
    W = np.full((2, 2), scale)
    b = np.array([0.0, -1.0]) - 2 * low * scale  # the first unit counts high inputs, the second those beyond one
    return W, b, np.array([1.0, -2.0]), 0.0
    ### END SOLUTION


# %% tags=["grading"]
from course.comparing import plain
from course.exercises import exercise

import numpy as np

ex = exercise("1.1")


@ex.cases
def _(rng):
    yield from [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (1.0, 2.0), (-3.0, -1.0), (0.0, 0.5)]
    for _ in range(10):
        low = float(rng.normal())
        yield low, low + float(rng.uniform(0.2, 5))


ex.shown_as("""
W, b, v, c = xor_weights(low, high)
np.maximum([[low, low], [low, high], [high, low], [high, high]] @ np.transpose(W) + b, 0) @ v + c
""")


@ex.drive
def at_the_corners(answer, low, high):
    W, b, v, c = plain(tuple(answer(low, high)))  # tensors as arrays
    shapes = [np.shape(value) for value in (W, b, v, c)]
    if shapes != [(2, 2), (2,), (2,), ()]:
        raise ValueError(f"the shapes of W, b, v, c must be (2, 2), (2,), (2,), (), not {shapes}")
    corners = np.array([(low, low), (low, high), (high, low), (high, high)])
    return np.maximum(corners @ np.transpose(W) + b, 0) @ v + c


@ex.oracle
def _(low, high):
    return np.array([float(first != second) for first in (low, high) for second in (low, high)])


def _counting(low, high, thresholds, v, c=0.0):
    scale = 1 / (high - low)
    return np.full((2, 2), scale), -np.array(thresholds) - 2 * low * scale, np.array(v, float), c


@ex.wrong
def or_gate(low, high):
    """Your network computes OR: where both inputs are high it gives 1 as well. More has to be taken away there."""
    return _counting(low, high, (0, 1), (1, -1))


@ex.wrong
def and_gate(low, high):
    """Your network computes AND: it gives 1 only where both inputs are high. Where exactly one is, it has to give 1."""
    return _counting(low, high, (0, 1), (0, 1))


@ex.wrong
def counts(low, high):
    """Your network counts the high inputs, and gives 2 where both are. What does the other unit do about it?"""
    return _counting(low, high, (0, 1), (1, 0))


@ex.wrong
def exchanged(low, high):
    """0 and 1 are exchanged: your network gives 1 where both inputs are equal."""
    return _counting(low, high, (0, 1), (-1, 2), 1.0)


@ex.wrong
def zeros_and_ones_only(low, high):
    """Right for inputs 0 and 1. Other values have to be brought to 0 and 1 first: by W and b, there is nothing else."""
    return _counting(0.0, 1.0, (0, 1), (1, -2))


@ex.wrong
def not_shifted(low, high):
    """The inputs are scaled by their distance, but not shifted: where `low` is not 0, the biases must allow for it."""
    return (*_counting(0.0, high - low, (0, 1), (1, -2)),)


@ex.wrong
def without_kinks(low, high):
    """Neither unit is ever silent on these inputs, so the network is one straight cut: the best that one can do is 0.5
    everywhere. The bias of one unit has to silence it somewhere."""
    return np.zeros((2, 2)), np.ones(2), np.full(2, 0.25), 0.0


@ex.right
def by_differences(low, high):
    W = np.array([[1.0, -1.0], [-1.0, 1.0]]) / (high - low)
    return W, np.zeros(2), np.ones(2), 0.0


# %%
check("1.1", xor_weights)

# %% [markdown]
# **Exercise 1.2 ★★** `cross_entropy(softmax(z), y)` breaks where it matters most, at a confident mistake: with the
# scores $(0, 800)$ and the truth 0, $p_t$ is rounded to 0, and its logarithm is infinite. Go straight from scores to
# the loss. (What is $\log$ of (1.7)?)


# %%
# Exercise 1.2
def loss_from_scores(z, labels):
    """The cross-entropy of each example, computed from its scores without overflow or
    underflow.

    z: scores, floats (batch, classes), of any size. labels: whole numbers (batch,), each from
    0 to classes - 1.
    Returns an array (batch,). Raises ValueError where there is not one label for each row of
    z, or where a label is no class; the message names the sizes.
    Example: loss_from_scores(np.array([[0.0, 800.0]]), np.array([0])) is [800.].
    """
    ### BEGIN SOLUTION
    batch, classes = z.shape
    if labels.shape != (batch,):
        raise ValueError(f"axis 0 of z and of labels must have the same size, not {batch} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, not {labels.min()} to {labels.max()}")
    shifted = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(batch), labels]
    ### END SOLUTION


# %% tags=["grading"]
import math

from course.exercises import exercise

import numpy as np

ex = exercise("1.2")


@ex.cases
def _(rng):
    yield np.array([[0.0, 800.0]]), np.array([0])
    yield np.array([[2.0, 1.0, 0.0]]), np.array([1])
    yield np.zeros((3, 10)), np.array([0, 9, 4])
    yield np.array([[5000.0, 4999.0], [-5000.0, -4999.0]]), np.array([0, 0])
    for scale in (1, 3, 300, 1e4):
        for _ in range(4):
            batch, classes = (int(n) for n in rng.integers(2, 6, 2))
            yield rng.normal(size=(batch, classes)) * scale, rng.integers(classes, size=batch)
    yield rng.normal(size=(3, 4)), np.array([1])
    yield rng.normal(size=(3, 4)), np.array([[1], [0], [2]])
    yield rng.normal(size=(2, 3)), np.array([-1, 0])
    yield rng.normal(size=(2, 3)), np.array([0, 3])


@ex.oracle
def _(z, labels):
    if labels.shape != z.shape[:1] or not all(label in range(z.shape[1]) for label in labels.tolist()):
        raise ValueError("labels do not fit")
    return np.array(
        [
            max(row) + math.log(math.fsum(math.exp(v - max(row)) for v in row)) - row[t]
            for row, t in zip(z.tolist(), labels)
        ]
    )


def _refuse(z, labels):
    if labels.shape != z.shape[:1] or labels.min() < 0 or labels.max() >= z.shape[1]:
        raise ValueError("labels do not fit")


def _picked(values, labels):
    return values[np.arange(len(labels)), labels]


def _log_sum(z, shift):
    return shift + np.log(np.exp(z - shift).sum(axis=1, keepdims=True))


@ex.wrong
def overflowing(z, labels):
    """The exponential of a large score overflows. Only differences of scores count: subtract something first (1.8)."""
    _refuse(z, labels)
    return -np.log(_picked(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), labels))


@ex.wrong
def softmax_then_log(z, labels):
    """The softmax is stable now, but a small probability is still rounded to 0 before its logarithm is taken. Take the
    logarithm on paper first: what is left of the fraction?"""
    _refuse(z, labels)
    exps = np.exp(z - z.max(axis=1, keepdims=True))
    return -np.log(_picked(exps / exps.sum(axis=1, keepdims=True), labels))


@ex.wrong
def clipped(z, labels):
    """Clipping the probabilities hides the infinity, but the loss of a confident mistake is wrong: the farther off the
    score, the higher it has to be."""
    _refuse(z, labels)
    exps = np.exp(z - z.max(axis=1, keepdims=True))
    return -np.log(np.clip(_picked(exps / exps.sum(axis=1, keepdims=True), labels), 1e-7, 1))


@ex.wrong
def one_shift_for_all(z, labels):
    """The largest score of the whole batch is subtracted from every row; a row with much lower scores then underflows.
    Each example needs its own shift."""
    _refuse(z, labels)
    return _picked(_log_sum(z, z.max()) - z, labels)


@ex.wrong
def shift_forgotten(z, labels):
    """The largest score was subtracted in one term, but not in the other: it has to cancel."""
    _refuse(z, labels)
    return _picked(_log_sum(z, z.max(axis=1, keepdims=True)) - z, labels) - z.max(axis=1)


@ex.wrong
def averaged(z, labels):
    """This is the mean over the batch; one loss for each example is wanted."""
    _refuse(z, labels)
    return np.mean(_picked(_log_sum(z, z.max(axis=1, keepdims=True)) - z, labels))


@ex.wrong
def surprise_in_bits(z, labels):
    """The logarithm to base 2 gives the loss in bits; the cross-entropy of (1.9) uses the natural one."""
    _refuse(z, labels)
    return _picked(_log_sum(z, z.max(axis=1, keepdims=True)) - z, labels) / np.log(2)


@ex.wrong
def never_refuses(z, labels):
    """The losses are right, but labels that do not fit must be refused. NumPy does not: it stretches a single label
    over all rows, and takes -1 for the last class."""
    return _picked(_log_sum(z, z.max(axis=1, keepdims=True)) - z, labels)


@ex.right
def by_logaddexp(z, labels):
    _refuse(z, labels)
    return np.logaddexp.reduce(z, axis=1) - np.take_along_axis(z, labels[:, None], axis=1)[:, 0]


# %%
check("1.2", loss_from_scores)

# %% [markdown]
# **Exercise 1.3 ★★** Frameworks are built from layers that know their own way back: given how the loss changes with
# what comes *out*, $\partial L / \partial h_l$, each says how it changes with what goes *in* and with its own numbers.
# Write one.


# %%
# Exercise 1.3
def layer_backward(h, W, b, activation, upstream):
    """The way back through one layer f(h W^T + b).

    h: what went in, floats (batch, inputs). W (units, inputs), b (units,). activation:
    "sigmoid", "tanh" or "relu". upstream: the derivative of L with respect to what came out,
    (batch, units); if L is a mean over the batch, that is in it already. Returns a tuple of
    the derivatives of L with respect to h (batch, inputs), W and b.
    Raises ValueError where upstream does not have the shape (batch, units); the message names
    both shapes.
    Example: with h = [[1, 2]], W = [[3, 1]], b = [-4], "relu" and upstream [[10]], z is 1, and
    the result is ([[30, 10]], [[10, 20]], [10]).
    """
    ### BEGIN SOLUTION
    z = dense(h, W, b)
    if upstream.shape != z.shape:
        raise ValueError(f"upstream must have the shape (batch, units) = {z.shape}, not {upstream.shape}")
    delta = upstream * SLOPES[activation](z)
    return delta @ W, delta.T @ h, delta.sum(axis=0)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("1.3")
BENDS = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
}


@ex.cases
def _(rng):
    yield np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]]), np.array([-4.0]), "relu", np.array([[10.0]])
    for i in range(21):
        batch, inputs, units = (int(n) for n in rng.integers(2, 6, 3))
        h, W, b = rng.normal(size=(batch, inputs)), rng.normal(size=(units, inputs)), rng.normal(size=units)
        yield h, W, b, list(BENDS)[i % 3], rng.normal(size=(batch, units))
    for shape in [(1, 3), (4, 1), (3,)]:
        yield rng.normal(size=(4, 2)), rng.normal(size=(3, 2)), rng.normal(size=3), "tanh", rng.normal(size=shape)


@ex.oracle
def _(h, W, b, activation, upstream):
    # One number at a time, by a step in the imaginary direction, which has no rounding error to speak of.
    if upstream.shape != (len(h), len(b)):
        raise ValueError("upstream does not fit")
    found = []
    for at, value in enumerate((h, W, b)):
        slopes = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            parts = [part.astype(complex) for part in (h, W, b)]
            parts[at][place] += 1e-30j
            out = BENDS[activation](parts[0] @ parts[1].T + parts[2])
            slopes[place] = np.sum(upstream * out).imag / 1e-30
        found.append(slopes)
    return tuple(found)


def _slope(activation, z):
    h = BENDS[activation](z)
    return {"sigmoid": h * (1 - h), "tanh": 1 - h**2, "relu": (z > 0) * 1.0}[activation]


def _back(h, W, b, activation, upstream):
    z = h @ W.T + b
    if upstream.shape != z.shape:
        raise ValueError("upstream does not fit")
    return upstream * _slope(activation, z)


@ex.wrong
def slope_forgotten(h, W, b, activation, upstream):
    """The slope of the activation function is missing: `upstream` is about what comes out of f, not about z."""
    _back(h, W, b, activation, upstream)
    return upstream @ W, upstream.T @ h, upstream.sum(axis=0)


@ex.wrong
def slope_of_the_output(h, W, b, activation, upstream):
    """The slope has to be taken at z, before the activation; you took it at what comes out. (With ReLU, nobody
    notices.)"""
    _back(h, W, b, activation, upstream)
    delta = upstream * _slope(activation, BENDS[activation](h @ W.T + b))
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def half_forgotten(h, W, b, activation, upstream):
    """The derivatives of W and b are right. On the way to h the slope of the activation was forgotten: the blame goes
    back through f as well."""
    delta = _back(h, W, b, activation, upstream)
    return upstream @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def averaged(h, W, b, activation, upstream):
    """The derivatives of W and b are divided by the batch. If L is a mean, that is in `upstream` already: add up."""
    delta = _back(h, W, b, activation, upstream)
    return delta @ W, delta.T @ h / len(h), delta.mean(axis=0)


@ex.wrong
def averaged_bias(h, W, b, activation, upstream):
    """The bias takes part in every example of the batch, and its derivatives add up, as those of W do; you took their
    mean."""
    delta = _back(h, W, b, activation, upstream)
    return delta @ W, delta.T @ h, delta.mean(axis=0)


@ex.wrong
def bias_for_each(h, W, b, activation, upstream):
    """There is one bias for each unit, whatever the batch, so its derivative has the shape (units,)."""
    delta = _back(h, W, b, activation, upstream)
    return delta @ W, delta.T @ h, delta


@ex.wrong
def transposed(h, W, b, activation, upstream):
    """The derivative with respect to W is transposed: it has W's own shape, (units, inputs)."""
    delta = _back(h, W, b, activation, upstream)
    return delta @ W, h.T @ delta, delta.sum(axis=0)


@ex.wrong
def never_refuses(h, W, b, activation, upstream):
    """The derivatives are right. But an `upstream` of another shape must be refused: NumPy stretches it silently."""
    delta = upstream * _slope(activation, h @ W.T + b)
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.right
def by_outer_products(h, W, b, activation, upstream):
    if np.shape(upstream) != (h.shape[0], W.shape[0]):
        raise ValueError("axes")
    dh, dW, db = np.zeros(h.shape), np.zeros(W.shape), np.zeros(b.shape)
    for n in range(len(h)):
        for unit in range(len(b)):
            delta = upstream[n, unit] * float(_slope(activation, W[unit] @ h[n] + b[unit]))
            dh[n] += delta * W[unit]
            dW[unit] += delta * h[n]
            db[unit] += delta
    return dh, dW, db


# %%
check("1.3", layer_backward)

# %% [markdown]
# **Exercise 1.4 ★★** The tool with which you check every gradient from now on: (1.4), for a function of a whole array.


# %%
# Exercise 1.4
def numerical_gradient(f, x, epsilon=1e-4):
    """The gradient of f at x by central differences, entry by entry.

    f: takes an array of floats of the shape of x and returns a number. x: array of floats or
    of whole numbers, of any shape; it must be the same afterwards. epsilon: the step to either
    side. Returns an array of floats, shaped like x.
    Example: numerical_gradient(lambda v: v[0] ** 2 + 3 * v[1],
    np.array([2.0, 5.0])) is [4., 3.], but for rounding.
    """
    ### BEGIN SOLUTION
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = epsilon
        slopes[place] = (f(x + step) - f(x - step)) / (2 * epsilon)
    return slopes
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("1.4")


@ex.cases
def _(rng):
    yield np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0.0, 3.0]), np.array([2.0, 5.0])
    shapes = [(1,), (4,), (2, 3), (3, 1), (2, 2, 2), (3, 2)]
    for i in range(18):
        shape = shapes[i % 6]
        n = int(np.prod(shape))
        x = rng.normal(size=shape) if i % 3 else rng.integers(-4, 5, shape)
        yield 30 * rng.normal(size=(n, n)), rng.normal(size=n), x


def quadratic(A, b, shape):
    """The function v . A v + b . v of an array of this shape, for which central differences have no error."""

    def f(v):
        if np.shape(v) != shape:
            raise ValueError(f"f takes arrays of shape {shape}, and was given one of shape {np.shape(v)}")
        flat = np.ravel(v).astype(float)
        return float(flat @ A @ flat + b @ flat)

    return f


ex.shown_as("numerical_gradient(lambda v: np.ravel(v) @ A @ np.ravel(v) + b @ np.ravel(v), x)")


@ex.drive
def asked(answer, A, b, x):
    slopes = answer(quadratic(A, b, x.shape), x)
    return {"gradient": slopes, "x afterwards": x}


@ex.oracle
def _(A, b, x):
    return {"gradient": ((A + A.T) @ x.ravel() + b).reshape(x.shape), "x afterwards": x}


def _entries(f, x, difference):
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-4
        slopes[place] = difference(f, x, step) / 1e-4
    return slopes


@ex.wrong
def one_sided(f, x, epsilon=1e-4):
    """You stepped to one side only: on a curve that leaves an error in proportion to epsilon. Step to both sides."""
    return _entries(f, x, lambda f, x, step: f(x + step) - f(x))


@ex.wrong
def not_halved(f, x, epsilon=1e-4):
    """All slopes are twice what they should be: from one side to the other it is two steps."""
    return _entries(f, x, lambda f, x, step: f(x + step) - f(x - step))


@ex.wrong
def all_at_once(f, x, epsilon=1e-4):
    """Every entry moved at once, so you get one number, the sum of all slopes. Move one entry, leave the others."""
    step = np.full(x.shape, epsilon)
    return np.full(x.shape, (f(x + step) - f(x - step)) / (2 * epsilon))


@ex.wrong
def not_put_back(f, x, epsilon=1e-4):
    """An entry has to be put back before the next one is moved: x is changed afterwards, and later slopes are taken at
    another place."""
    if x.dtype.kind != "f":
        return _entries(f, x, lambda f, x, step: (f(x + step) - f(x - step)) / 2)
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        x[place] += epsilon
        above = f(x)
        x[place] -= 2 * epsilon
        slopes[place] = (above - f(x)) / (2 * epsilon)
    return slopes


@ex.wrong
def truncated(f, x, epsilon=1e-4):
    """Right for floats. An array of whole numbers cannot hold a small step: it is cut off to 0. Step on a copy of
    floats."""
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        kept, values = x[place], []
        for moved in (kept + epsilon, kept - epsilon):
            x[place] = moved
            values.append(f(x))
        x[place] = kept
        slopes[place] = (values[0] - values[1]) / (2 * epsilon)
    return slopes


@ex.wrong
def flattened(f, x, epsilon=1e-4):
    """The slopes are right, but the shape is lost: a gradient has the shape of what it is the gradient of."""
    return _entries(f, x, lambda f, x, step: (f(x + step) - f(x - step)) / 2).ravel()


@ex.right
def by_the_identity_matrix(f, x, epsilon=1e-4):
    steps = np.eye(x.size).reshape(-1, *x.shape) * epsilon
    return np.array([f(x + step) / 2 - f(x - step) / 2 for step in steps]).reshape(x.shape) / epsilon


# %%
check("1.4", numerical_gradient)

# %% [markdown]
# **Exercise 1.5 ★★★** The whole way back, without help: a network of two layers that answers one question with yes or
# no. It has a single output, a sigmoid, and the loss (1.10). Derive the $\delta$ of the output first; it is as simple
# as (1.13). Then check yourself with your answer to 1.4 before you run the check.


# %%
# Exercise 1.5
def two_layer_gradients(x, t, W1, b1, w2, b2):
    """All gradients of the mean binary cross-entropy of p =
    sigmoid(w2 . tanh(W1 x + b1) + b2).

    x: inputs (batch, inputs). t: truths 0 or 1, (batch,). W1 (units, inputs), b1 (units,), w2
    (units,), b2: a number.
    Returns a dict with the keys "W1", "b1", "w2", "b2": the derivatives of the mean loss, each
    shaped like the parameter. Raises ValueError where t does not have the shape (batch,); the
    message names both shapes.
    Example: with x = [[1, 2]], t = [1], W1 = [[0, 0]], b1 = [0], w2 = [4], b2 = 0, p is 0.5,
    and the result is {"W1": [[-2, -4]], "b1": [-2], "w2": [0], "b2": -0.5}.
    """
    ### BEGIN SOLUTION
    if t.shape != x.shape[:1]:
        raise ValueError(f"t must have the shape (batch,) = {x.shape[:1]}, not {t.shape}")
    h = np.tanh(dense(x, W1, b1))
    p = sigmoid(h @ w2 + b2)
    delta2 = (p - t) / len(x)  # (batch,)
    delta1 = np.outer(delta2, w2) * (1 - h**2)  # (batch, units)
    return {"W1": delta1.T @ x, "b1": delta1.sum(axis=0), "w2": delta2 @ h, "b2": delta2.sum()}
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np

ex = exercise("1.5")
KEYS = ("W1", "b1", "w2", "b2")


@ex.cases
def _(rng):
    yield np.array([[1.0, 2.0]]), np.array([1]), np.zeros((1, 2)), np.zeros(1), np.array([4.0]), 0.0
    for _ in range(20):
        batch, inputs, units = (int(n) for n in rng.integers(2, 6, 3))
        x, t = rng.normal(size=(batch, inputs)), rng.integers(2, size=batch)
        yield (
            x,
            t,
            rng.normal(size=(units, inputs)),
            rng.normal(size=units),
            rng.normal(size=units),
            float(rng.normal()),
        )
    for shape in [(4, 1), (1,), (1, 4)]:
        t = rng.integers(2, size=shape)
        yield rng.normal(size=(4, 2)), t, rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=3), 0.5


@ex.oracle
def _(x, t, W1, b1, w2, b2):
    # The loss itself, one parameter at a time, by a step in the imaginary direction.
    parameters = W1, b1, w2, b2
    if t.shape != (len(x),):
        raise ValueError("t does not fit")
    found = {}
    for at, key in enumerate(KEYS):
        slopes = np.zeros(np.shape(parameters[at]))
        for place in np.ndindex(slopes.shape):
            W1, b1, w2, b2 = moved = [np.array(value, complex) for value in parameters]
            moved[at][place] += 1e-30j
            z = np.tanh(x @ W1.T + b1) @ w2 + b2
            slopes[place] = np.mean(np.log(1 + np.exp(z)) - t * z).imag / 1e-30
        found[key] = slopes if slopes.shape else float(slopes)
    return found


def _gradients(x, t, W1, b1, w2, b2, last=None, first=None, mean=True):
    if t.shape != (len(x),):
        raise ValueError("t does not fit")
    h = np.tanh(x @ W1.T + b1)
    p = 1 / (1 + np.exp(-(h @ w2 + b2)))
    delta2 = (last(p, t) if last else p - t) / (len(x) if mean else 1)
    delta1 = first(delta2, w2, h) if first else np.outer(delta2, w2) * (1 - h**2)
    return {"W1": delta1.T @ x, "b1": delta1.sum(axis=0), "w2": delta2 @ h, "b2": delta2.sum()}


@ex.wrong
def sum_not_mean(x, t, W1, b1, w2, b2):
    """These are the gradients of the sum of the losses; divide by the number of examples for those of the mean."""
    return _gradients(x, t, W1, b1, w2, b2, mean=False)


@ex.wrong
def uphill(x, t, W1, b1, w2, b2):
    """All signs are reversed: the delta of the output is what was said minus what was true."""
    return _gradients(x, t, W1, b1, w2, b2, last=lambda p, t: t - p)


@ex.wrong
def squared_error_habit(x, t, W1, b1, w2, b2):
    """The delta of the output has the slope of the sigmoid in it. That belongs to the squared error; with the
    cross-entropy it cancels against the derivative of the logarithm."""
    return _gradients(x, t, W1, b1, w2, b2, last=lambda p, t: (p - t) * p * (1 - p))


@ex.wrong
def loss_by_p(x, t, W1, b1, w2, b2):
    """This is the derivative of the loss by p. One more step back, through the sigmoid, and you have the delta."""
    return _gradients(x, t, W1, b1, w2, b2, last=lambda p, t: (p - t) / (p * (1 - p)))


@ex.wrong
def slope_forgotten(x, t, W1, b1, w2, b2):
    """The gradients of w2 and b2 are right. In the hidden layer the slope of tanh is missing."""
    return _gradients(x, t, W1, b1, w2, b2, first=lambda delta, w2, h: np.outer(delta, w2))


@ex.wrong
def slope_of_the_output(x, t, W1, b1, w2, b2):
    """The slope of tanh is 1 - tanh(z)^2, and h is tanh(z) already: you took tanh once more."""
    return _gradients(x, t, W1, b1, w2, b2, first=lambda delta, w2, h: np.outer(delta, w2) * (1 - np.tanh(h) ** 2))


@ex.wrong
def sigmoid_slope(x, t, W1, b1, w2, b2):
    """h (1 - h) is the slope of a sigmoid; the hidden units are tanh."""
    return _gradients(x, t, W1, b1, w2, b2, first=lambda delta, w2, h: np.outer(delta, w2) * h * (1 - h))


@ex.wrong
def weights_forgotten(x, t, W1, b1, w2, b2):
    """The blame goes back along the lines on which the signal went, so each unit's share is multiplied by its weight
    in w2."""
    return _gradients(x, t, W1, b1, w2, b2, first=lambda delta, w2, h: delta[:, None] * (1 - h**2))


@ex.wrong
def never_refuses(x, t, W1, b1, w2, b2):
    """The gradients are right, but a t of another shape must be refused: minus a column, NumPy makes a whole table of
    p, and no error."""
    if t.shape == (len(x),):
        return _gradients(x, t, W1, b1, w2, b2)
    p = 1 / (1 + np.exp(-(np.tanh(x @ W1.T + b1) @ w2 + b2)))
    return {"W1": np.zeros(W1.shape), "b1": np.zeros(b1.shape), "w2": np.zeros(w2.shape), "b2": np.mean(p - t)}


@ex.right
def example_by_example(x, t, W1, b1, w2, b2):
    if np.ndim(t) != 1 or len(t) != len(x):
        raise ValueError("t and x")
    total = {key: np.zeros(np.shape(value)) for key, value in zip(KEYS, (W1, b1, w2, b2))}
    for row, truth in zip(x, t):
        z = W1 @ row + b1
        score = float(np.sum(w2 * np.tanh(z)) + b2)
        delta = 1 / (1 + np.exp(-score)) - truth
        back = delta * w2 / np.cosh(z) ** 2
        for key, value in zip(KEYS, (np.outer(back, row), back, delta * np.tanh(z), delta)):
            total[key] = total[key] + value / len(x)
    return total


# %%
check("1.5", two_layer_gradients)

# %% [markdown]
# **Exercise 1.6 ★★** Debug it: softmax applied twice once more, this time in NumPy and with the gradient written by
# hand. The function is to take scores; its author wanted to be careful about overflow, and careful twice. Repair it.


# %%
# Exercise 1.6
def loss_and_delta(z, labels):
    """The mean cross-entropy of scores, and its gradient with respect to them.

    z: scores (batch, classes), of any size. labels: whole numbers (batch,). Returns the mean
    loss, a number, and its gradient with respect to z, (batch, classes).
    Example: loss_and_delta(np.zeros((1, 2)), np.array([0])) is (0.6931..., [[-0.5, 0.5]]).
    """
    ### BEGIN SOLUTION
    n = np.arange(len(labels))
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[n, labels].mean()
    delta = np.exp(log_p)
    delta[n, labels] -= 1
    return loss, delta / len(labels)
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import numpy as np
from scipy.special import logsumexp, softmax

ex = exercise("1.6", start="softmax_twice")


@ex.cases
def _(rng):
    yield np.zeros((1, 2)), np.array([0])
    yield np.array([[1000.0, 0.0, 999.0]]), np.array([2])
    yield np.array([[0.0, 900.0], [-900.0, 0.0]]), np.array([0, 1])
    yield np.array([[-800.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), np.array([0, 2])
    for _ in range(18):
        batch, classes = (int(n) for n in rng.integers(2, 6, 2))
        yield rng.normal(size=(batch, classes)) * float(rng.choice([1, 5])), rng.integers(classes, size=batch)


@ex.oracle
def _(z, labels):
    truth = np.eye(z.shape[1])[labels]
    return float(np.mean(logsumexp(z, axis=1) - np.sum(z * truth, axis=1))), (softmax(z, axis=1) - truth) / len(z)


@ex.wrong
def softmax_twice(z, labels):
    """Softmax is still applied twice: the logarithm is taken of a softmax of probabilities, not of scores."""
    n = np.arange(len(labels))
    shifted = z - z.max(axis=1, keepdims=True)
    output = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    shifted = output - output.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[n, labels].mean()
    delta = np.exp(log_p)
    delta[n, labels] -= 1
    return loss, delta / len(labels)


def _both(z, labels, log_p=None, delta=None):
    n = np.arange(len(labels))
    right = z - logsumexp(z, axis=1, keepdims=True)
    log_p = right if log_p is None else log_p
    if delta is None:
        delta = np.exp(right)
        delta[n, labels] -= 1
        delta = delta / len(z)
    return -log_p[n, labels].mean(), delta


@ex.wrong
def delta_still_twice(z, labels):
    """The loss is right now. The delta is still that of the doubled softmax: it needs the same p as the loss."""
    delta = softmax(softmax(z, axis=1), axis=1)
    delta[np.arange(len(z)), labels] -= 1
    return _both(z, labels, delta=delta / len(z))


@ex.wrong
def loss_still_twice(z, labels):
    """The delta is right now. The loss still takes the softmax of a softmax."""
    return _both(z, labels, log_p=np.log(softmax(softmax(z, axis=1), axis=1)))


@ex.wrong
def shift_lost(z, labels):
    """One softmax is left, and it overflows: with it you have thrown out the subtraction of the largest score."""
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    delta = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    delta[np.arange(len(z)), labels] -= 1
    return _both(z, labels, log_p, delta / len(z))


@ex.wrong
def log_of_rounded(z, labels):
    """One softmax is left, but its probabilities are rounded before the logarithm is taken, and a confident mistake
    costs infinity. Keep log_p, and let it start from the scores."""
    return _both(z, labels, log_p=np.log(softmax(z, axis=1)))


@ex.wrong
def no_softmax(z, labels):
    """Now no softmax is left: subtracting the largest score alone does not make probabilities."""
    shifted = z - z.max(axis=1, keepdims=True)
    delta = np.exp(shifted)
    delta[np.arange(len(z)), labels] -= 1
    return _both(z, labels, shifted, delta / len(z))


@ex.wrong
def mean_forgotten(z, labels):
    """The loss is a mean over the batch, so its gradient has to be divided by the number of examples."""
    return _both(z, labels, delta=softmax(z, axis=1) - np.eye(z.shape[1])[labels])


@ex.right
def row_by_row(z, labels):
    losses, slopes = [], []
    for row, label in zip(z, labels):
        total = np.logaddexp.reduce(row)
        losses.append(total - row[label])
        slopes.append([np.exp(score - total) - (i == label) for i, score in enumerate(row)])
    return sum(losses) / len(losses), np.array(slopes) / len(slopes)


# %%
check("1.6", loss_and_delta)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | neuron | $h = f(w \cdot x + b)$ | (1.1) |
# | activations | $\sigma$, $\tanh$, ReLU | (1.2) |
# | their slopes | $\sigma(1 - \sigma)$, $1 - \tanh^2$, 1 or 0 | (1.3) |
# | any slope, by asking | $\bigl(f(z + \varepsilon) - f(z - \varepsilon)\bigr)/2\varepsilon$ | (1.4) |
# | layer | $z_l = W_l h_{l-1} + b_l$, $h_l = f(z_l)$ | (1.5) |
# | without activation | two layers are one: $W_2 W_1$ | (1.6) |
# | softmax | $p_i = e^{z_i}/\sum_j e^{z_j}$; a common shift changes nothing | (1.7), (1.8) |
# | cross-entropy | $-\log p_t$; two classes: $-t \log p - (1-t) \log(1-p)$ | (1.9), (1.10) |
# | empirical risk | $L(\theta)$, the mean loss | (1.11) |
# | gradient descent | $\theta \leftarrow \theta - \alpha \nabla_\theta L$ | (1.12) |
# | blame, last layer | $\delta_\Lambda = p - y$ | (1.13) |
# | blame, one layer back | $\delta_l = (W_{l+1}^\mathsf{T} \delta_{l+1}) \odot f'(z_l)$ | (1.14) |
# | slopes of the weights | $\delta_l\, h_{l-1}^\mathsf{T}$ and $\delta_l$ | (1.15) |
# | softmax twice | the loss stays above $\log(1 + (K-1)/e)$ | (1.16) |
#
# ## References
#
# - J. Bridle, *Probabilistic interpretation of feedforward classification network outputs, with relationships to
#   statistical pattern recognition*, 1990.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep learning*, 2016, chapter 6.
# - A. Griewank and A. Walther, *Evaluating derivatives*, 2nd edition, 2008.
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-based learning applied to document recognition*, 1998.
# - S. Linnainmaa, *Taylor expansion of the accumulated rounding error*, 1976.
# - F. Rosenblatt, *The perceptron: a probabilistic model for information storage and organization in the brain*, 1958.
# - D. Rumelhart, G. Hinton and R. Williams, *Learning representations by back-propagating errors*, 1986.
