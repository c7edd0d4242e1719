# %% [raw]
# title: Neurons and backpropagation
# part: I. Learning machines
# minutes: 180
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
# terms:
#   - term: parameter
#     means: a number of a model that training changes
#     zh: 参数
#     symbol: '$\theta$'
#   - term: mini-batch
#     means: the examples that are used for one step of training
#     zh: 小批量
#   - term: neuron
#     means: a weighted sum of inputs and a bias, passed through an activation function; also called a unit
#     zh: 神经元
#   - term: activation function
#     means: the nonlinearity that a neuron applies to its weighted sum
#     zh: 激活函数
#     symbol: '$f$'
#   - term: sigmoid
#     means: the activation function from 0 to 1, also called logistic function
#     zh: S型函数
#     symbol: '$\sigma$'
#   - term: ReLU
#     means: rectified linear unit, the activation function that replaces negative values by 0
#     zh: 修正线性单元
#   - term: central difference
#     means: an estimate of a derivative from two values, one on each side
#     zh: 中心差分
#   - term: layer
#     means: neurons that look at the same inputs
#     zh: 层
#   - term: multi-layer perceptron
#     means: a network of dense layers with nonlinear activation functions between them
#     zh: 多层感知机
#   - term: hidden layer
#     means: a layer between input and output
#     zh: 隐藏层
#   - term: forward pass
#     means: computing a network's outputs from its inputs, layer by layer
#     zh: 前向传播
#   - term: logit
#     means: an output of the last layer before softmax, any real number
#     zh: 对数几率
#   - term: softmax
#     means: the function that turns logits into probabilities
#     zh: 归一化指数函数
#   - term: ground truth
#     means: the right answer to an example, as the data give it
#     zh: 真实标签
#   - term: one-hot
#     means: of a vector that is 1 at one class and 0 at all others
#     zh: 独热编码
#   - term: cross-entropy
#     means: minus the logarithm of the probability that was given to the true class
#     zh: 交叉熵
#   - term: empirical risk
#     means: the mean loss over a data set
#     zh: 经验风险
#   - term: partial derivative
#     means: how fast a function grows with one of its arguments, the others held fixed
#     zh: 偏导数
#   - term: gradient
#     means: all partial derivatives of a function, in the shape of its argument
#     zh: 梯度
#   - term: gradient descent
#     means: repeated small steps against the gradient of the loss
#     zh: 梯度下降
#   - term: learning rate
#     means: the factor of the gradient in a step of gradient descent
#     zh: 学习率
#     symbol: '$\alpha$'
#   - term: backward pass
#     means: computing all derivatives of the loss, from the last layer to the first
#     zh: 反向传播过程
#   - term: backpropagation
#     means: the chain rule applied layer by layer, from the loss back to every parameter
#     zh: 反向传播
#   - term: error signal
#     means: the derivative of an example's loss with respect to a layer's pre-activations
#     zh: 误差信号
#     symbol: '$\delta_l$'
#   - term: automatic differentiation
#     means: derivatives that a library computes from a program, without a formula
#     zh: 自动微分
#   - term: gradient check
#     means: comparing a gradient with central differences
#     zh: 梯度检验
#   - term: epoch
#     means: one pass through all training examples
#     zh: 训练轮次
# symbols:
#   '$x$': 'an input: a vector, or a batch (`x`, of shape (batch, height, width, channels) for images)'
#   '$y$': 'the ground truth: a one-hot vector, or 0 or 1 (`y`)'
#   '$\hat{y}$': 'predicted probabilities'
#   '$w$': 'weights of one neuron'
#   '$\mathbf{W}$': 'weights of a dense layer, a matrix with a row for each unit'
#   '$b$': 'bias'
#   '$z$': 'pre-activation (`z`)'
#   '$h$': 'activation, hidden features (`h`)'
#   '$\Lambda$': 'number of layers of a dense network'
#   '$\ell$': 'loss of one example'
#   '$L$': 'mean loss over the examples (`loss`)'
#   '$\mathcal{D}$': 'data set: pairs of an input and its ground truth'
#   '$\nabla_\theta L$': 'gradient of $L$ with respect to $\theta$ (`gradient(f, x)`)'
#   '$\odot$': 'product element by element (`*`)'
# sources:
#   - "Rosenblatt, The perceptron, 1958"
#   - "Linnainmaa, Taylor expansion of the accumulated rounding error, 1976"
#   - "Rumelhart, Hinton & Williams, Learning representations by back-propagating errors, 1986"
#   - "Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990"
#   - "LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998"
#   - "Goodfellow, Bengio & Courville, Deep learning, chapter 6, 2016"

# %% [markdown]
# You read the digits in the top row at a glance, and you cannot say how. Try to write it down as a program: what,
# exactly, makes a four a four, in any handwriting? Below the digits stands what a model predicts that was never given
# such a rule.

# %% tags=["aside"]
# @title Imports and settings
import time
from itertools import pairwise

from course import ask, budget, check, claim, data, gradient, plots, prove, record, seed, start, sweep

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


def as_rows(digits):
    """Images (count, 28, 28) of bytes as rows (count, 784) of floats from 0 (black) to 1 (white)."""
    return digits.reshape(-1, 784).astype("float32") / 255


# %% tags=["aside"]
# @title Loads the digits and draws figure 1.1
mnist = data.mnist()
pool, pool_labels = as_rows(mnist.x_train), mnist.y_train
pool = pool[: budget(quick=12_000, full=60_000, least=600)]
held = len(pool) // 6  # digits that are never trained on: learning rates are chosen with them
validation_images, validation_labels = pool[:held], pool_labels[:held]
images, labels = pool[held:], pool_labels[held : len(pool)]
test_images, test_labels = as_rows(mnist.x_test), mnist.y_test
one_of_each = [np.flatnonzero(test_labels == digit)[2] for digit in range(10)]

first_model = keras.Sequential(
    [keras.Input((784,)), keras.layers.Dense(100, activation="relu"), keras.layers.Dense(10, activation="softmax")]
)
first_model.compile(keras.optimizers.SGD(learning_rate=0.1), loss="sparse_categorical_crossentropy")
predictions = {}
for step in range(1001):
    if step in (0, 3, 30, 300, 1000):
        probabilities = ops.convert_to_numpy(first_model(test_images[one_of_each]))
        predictions[f"after {32 * step:,} digits"] = probabilities.argmax(axis=1)
    some = rng.integers(len(images), size=32)
    first_model.train_on_batch(images[some], labels[some])

figure, axes = plt.subplots(len(predictions) + 1, 10, figsize=(8, 0.72 * len(predictions) + 0.9))
for digit, column in enumerate(axes.T):
    plots.draw_image(column[0], mnist.x_test[one_of_each[digit]])
    for axis, row in zip(column[1:], predictions.values()):
        right = row[digit] == digit
        axis.set_facecolor(BLUE if right else "white")
        axis.text(0.5, 0.5, row[digit], ha="center", va="center", size=15, color="white" if right else "#8a5a00")
        plots.frame(axis)
for axis, name in zip(axes[1:, 0], predictions):
    axis.set_ylabel(name, rotation=0, ha="right", va="center")
figure.tight_layout(pad=0.3)
plt.show()

# %% [markdown]
# *Figure 1.1. Ten test digits, which the model never trains on, and its prediction for each while it learns. Blue:
# correct.*
#
# The model holds 79,510 numbers, its **parameters**, random at first. It is shown images of digits with their labels, a
# **mini-batch** of 32 at a time, and after each it changes a little the parameters that had a part in its answers. That
# leaves one question, whose answer is behind every network in this course:
#
# **When the model misreads a digit, how does it know which way to change each of its numbers?**
#
# ## What you will be able to do
#
# - compute a neuron, a layer and a whole network by hand and in NumPy;
# - turn outputs into probabilities, and say what a wrong answer costs;
# - follow one error backwards through a network to every number behind it;
# - train a network on digits in NumPy and in Keras, and show that both do the same;
# - check any gradient that somebody hands you, and find a mistake that raises no error.
#
# Of calculus you need slopes, the quotient rule and the chain rule; of matrices, the product.
#
# ## One neuron
#
# A **neuron** weighs evidence. It multiplies every input $x_j$ by a *weight* $w_j$, adds everything up, adds a *bias*
# $b$, and passes the sum through an **activation function** $f$ (Rosenblatt, 1958; his $f$ was a step):
#
# $$ z = w \cdot x + b = \sum_j w_j x_j + b, \qquad h = f(z) \tag{1.1} $$
#
# Take $w = (1, 2)$, $b = -2$ and the input $x = (1, 2)$. Then $z = 1 \cdot 1 + 2 \cdot 2 - 2 = 3$. The classical $f$,
# the **sigmoid** $\sigma(z) = 1/(1 + e^{-z})$, turns that into a number between 0 and 1, here 0.953: "yes, rather
# surely".


# %%
def neuron(x, w, b, f):
    """One neuron (1.1): x and w arrays (n,), b a number, f a function of one number. Returns h, a number."""
    return f(np.dot(w, x) + b)  # (1.1)


# %% tags=["aside"]
# @title What draws functions of two numbers
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
    plots.frame(axis, title)


# %% tags=["aside"]
# @title Draws figure 1.2
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
# *Figure 1.2. The output of a sigmoid neuron for every input of two numbers: blue 1, yellow 0, black line 0.5. The
# arrow has the direction of $w$; the dot is the input of the example.*
#
# The border $w \cdot x + b = 0$ is a straight line at right angles to $w$. Multiply $w$ and $b$ by 3, and it gets
# sharper; change $b$ alone, and it moves. **One neuron cuts its inputs in two by a straight line**, and $w$ says which
# side is yes.
#
# ## How steep is it?
#
# The sigmoid answers between 0 and 1, the *hyperbolic tangent* between $-1$ and $1$, and the rectified linear unit,
# **ReLU**, passes what is positive and nothing else:
#
# $$ \begin{gathered} \sigma(z) = \frac{1}{1 + e^{-z}}, \qquad \tanh(z) = \frac{e^z - e^{-z}}{e^z + e^{-z}}, \\
#    \operatorname{ReLU}(z) = \max(z, 0) \end{gathered} \tag{1.2} $$
#
# Training will ask for their derivatives. For the first two, the quotient rule gives them in terms of the function's
# own value:
#
# $$ \begin{gathered} \sigma'(z) = \sigma(z)\,\bigl(1 - \sigma(z)\bigr), \qquad \tanh'(z) = 1 - \tanh^2(z), \\
#    \operatorname{ReLU}'(z) = 1 \text{ if } z > 0, \quad 0 \text{ if } z < 0 \end{gathered} \tag{1.3} $$
#
# At its corner $z = 0$ the ReLU has no derivative; programs take 0 there. If you doubt a derivative, go a small step
# $\varepsilon$ to either side, and take the **central difference**:
#
# $$ f'(z) \approx \frac{f(z + \varepsilon) - f(z - \varepsilon)}{2\varepsilon} \tag{1.4} $$


# %%
def sigmoid(z):
    """The logistic sigmoid, for an array of any shape."""
    return 1 / (1 + np.exp(-z))


def relu(z):
    """The rectified linear unit, for an array of any shape."""
    return np.maximum(z, 0)


ACTIVATIONS = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": relu, "linear": lambda z: z}  # (1.2)
DERIVATIVES = {
    "sigmoid": lambda z: sigmoid(z) * (1 - sigmoid(z)),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "relu": lambda z: np.heaviside(z, 0.0),  # (1.3)
    "linear": lambda z: np.ones_like(z),  # no activation function at all
}


def central_difference(f, z, epsilon=1e-5):
    """The derivative of f at z from both sides (1.4); z a number, or an array for an f that takes arrays."""
    return (f(z + epsilon) - f(z - epsilon)) / (2 * epsilon)  # (1.4)


# %% tags=["aside"]
# @title Draws figure 1.3
z = np.linspace(-4, 4, 401)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.6))
for axis, (name, f), top in zip(axes, ACTIVATIONS.items(), (1.1, 1.1, 4)):
    axis.plot(z, f(z), label="$f(z)$")
    axis.plot(z, DERIVATIVES[name](z), label="$f'(z)$")
    axis.set(title=name, xlabel="$z$", ylim=(-top if name == "tanh" else -0.1, top))
    axis.axhline(0, color="#aaaaaa", linewidth=0.5, zorder=0)
axes[0].legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.3. Three activation functions and their derivatives. Far from 0 the first two are flat: there, a little more
# or less $z$ changes almost nothing.*
#
# You need not trust these lines. Each numbered equation is tried against an independent judge: here Keras, SciPy and
# NumPy's polynomials, whose derivatives are exact; (1.3) is judged by (1.4).


# %% tags=["aside"]
# @title What proofs (1.1) to (1.4) compare with
NAMES = ["sigmoid", "tanh", "relu"]
TRUSTED = {"sigmoid": special.expit, "tanh": np.tanh, "relu": lambda z: (z + np.abs(z)) / 2}


def activation(name, z):
    return ACTIVATIONS[name](z)


def keras_activation(name, z):
    return keras.activations.get(name)(ops.convert_to_tensor(z.astype("float32")))


def derivative(name, z):
    return DERIVATIVES[name](z)


def difference_of_trusted(name, z):
    return central_difference(TRUSTED[name], z)


def difference_of_polynomial(coefficients, z):
    return central_difference(np.polynomial.Polynomial(coefficients), z)


def derivative_of_polynomial(coefficients, z):
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


def polynomials(count):
    for z in rng.normal(size=count):
        yield rng.normal(size=5), float(z)


# %%
prove("1.1", one_neuron, keras_neuron, cases=neurons(60), rtol=1e-4)
prove("1.2", activation, keras_activation, cases=numbers_away_from_zero(60))
prove("1.3", derivative, difference_of_trusted, cases=numbers_away_from_zero(300))
prove("1.4", difference_of_polynomial, derivative_of_polynomial, cases=polynomials(300))

# %% [markdown]
# **Question 1.a.** A ReLU neuron has the weights $w = (2, -1)$ and the bias $b = 1$. What is its output $h$ for the
# input $x = (1, 4)$?

# %%
ask(
    "1.a",
    0,
    why="z = 2 · 1 − 1 · 4 + 1 = −1, and ReLU turns what is negative into 0.",
    hint="First z by (1.1), then ReLU by (1.2).",
)

# %% [markdown]
# ## Many neurons: layers
#
# One straight line is not much. Take points in the plane, some on an island, others in a ring around it: every line
# leaves both kinds on one side. But four neurons draw four lines, and a fifth can look at what the four have said.


# %% tags=["aside"]
# @title What makes and draws the island
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


# %% tags=["aside"]
# @title Draws figure 1.4
points, kinds = island(160, rng)
lines = 6 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])  # the weights of four neurons; all have the bias 8
said = special.expit(plane() @ lines.T + 8)
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
# *Figure 1.4. Left: one line leaves dots and crosses on one side. Middle: four neurons, each with its own line; the
# bluer, the more of them say yes. Right: a fifth neuron says yes where all four do.*
#
# Neurons that look at the same inputs form a **layer**. Write the weights of each neuron as one row of a matrix
# $\mathbf{W}$, and the layer is (1.1) for all rows at once. What comes out goes into the next layer. With $h_0 = x$ and
# $\Lambda$ layers:
#
# $$ z_l = \mathbf{W}_l\, h_{l-1} + b_l, \qquad h_l = f(z_l), \qquad l = 1, \dots, \Lambda \tag{1.5} $$
#
# This is a **multi-layer perceptron**; a layer between input and output is a **hidden layer**, and computing layer
# after layer is the **forward pass**. Keras calls such a layer `Dense`, a neuron a unit, and stores
# $\mathbf{W}^\mathsf{T}$. In code a whole mini-batch passes at once, an example in each row of `h`. The last layer has
# no activation function; its outputs are the **logits**.
#
# Would layers do without $f$? No. Put one into the next, and multiply out:
#
# $$ \begin{aligned} & \mathbf{W}_2\,(\mathbf{W}_1 x + b_1) + b_2 \\
#    ={} & (\mathbf{W}_2 \mathbf{W}_1)\, x + (\mathbf{W}_2\, b_1 + b_2) \end{aligned} \tag{1.6} $$
#
# That is one layer again, with the matrix $\mathbf{W}_2 \mathbf{W}_1$. However many you stack, each output is still one
# straight cut. It is the nonlinearity that makes depth worth having.


# %%
def dense(h, W, b):
    """The pre-activations z of a layer (1.5): h (batch, inputs), W (units, inputs), b (units,) -> (batch, units)."""
    return h @ W.T + b  # (1.5)


def forward(network, x, f="relu"):
    """A batch x (batch, inputs) through a network, a list of (W, b). Returns two lists with an entry for each layer:
    what goes in (batch, inputs) and the pre-activations (batch, units), of which the last are the logits."""
    hs, zs = [x], []
    for W, b in network:
        zs.append(dense(hs[-1], W, b))
        hs.append(ACTIVATIONS[f](zs[-1]))
    return hs[:-1], zs


def merge(first, second):
    """The one layer (W, b) that does what two layers without activation function do (1.6)."""
    (W1, b1), (W2, b2) = first, second
    return W2 @ W1, W2 @ b1 + b2  # (1.6)


def new_network(sizes, rng, dtype="float64"):
    """A list of (W, b) with random weights; sizes: how many inputs, then units in each layer."""
    layers = [(rng.normal(size=(n, inputs)) / np.sqrt(inputs), np.zeros(n)) for inputs, n in pairwise(sizes)]
    return [(W.astype(dtype), b.astype(dtype)) for W, b in layers]


# %% tags=["aside"]
# @title What proofs (1.5) and (1.6) compare with
def pre_activations(network, x, f):
    return forward(network, x, f)[1]


def keras_pre_activations(network, x, f):
    h, found = x.astype("float32"), []
    for W, b in network:
        layer = keras.layers.Dense(len(b))
        layer.build((None, W.shape[1]))
        layer.set_weights([W.T, b])
        found.append(layer(h))
        h = keras.activations.get(f)(found[-1])
    return found


def merged(network, x):
    return dense(x, *merge(*network))


def keras_linear(network, x):
    return keras_pre_activations(network, x, "linear")[-1]


ARCHITECTURES = [[3, 2], [1, 5, 3], [4, 2, 6], [2, 3, 4, 5]]  # units of each layer, inputs first


def random_network(sizes):
    return [(W, rng.normal(size=len(b))) for W, b in new_network(sizes, rng)]


def networks(count):
    """Random (network, batch, activation function)."""
    for i in range(count):
        sizes = ARCHITECTURES[i % 4]
        yield random_network(sizes), rng.normal(size=(1 + i % 2 * 3, sizes[0])), NAMES[i % 3]


def pairs_of_layers(count):
    for i in range(count):
        sizes = ARCHITECTURES[1 + i % 2]
        yield random_network(sizes), rng.normal(size=(4, sizes[0]))


# %%
prove("1.5", pre_activations, keras_pre_activations, cases=networks(60), rtol=1e-4, atol=1e-5)
prove("1.6", merged, keras_linear, cases=pairs_of_layers(60), rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Question 1.b.** The hidden layer of Figure 1.1 has 100 units, and 784 pixels go into it. What is the shape of its
# $\mathbf{W}$? Answer with a tuple.

# %%
ask(
    "1.b",
    (100, 784),
    why="With 100 biases, and 10 · 100 + 10 numbers in the last layer, that makes the 79,510.",
    hint="A row for each unit, a column for each input. (Keras stores the transpose.)",
)

# %% [markdown]
# ## What does a wrong answer cost?
#
# Ten classes, ten units in the last layer, ten logits $z$. To say *how sure* the network is, make them positive, by
# $e^z$, and divide by their sum, so that they add up to 1. This is the **softmax** (Bridle, 1990):
#
# $$ \hat{y}_i = \frac{e^{z_i}}{\sum_j e^{z_j}} \tag{1.7} $$
#
# The logits $(2, 1, 0)$ become $(0.665, 0.245, 0.090)$: one more in a logit is $e \approx 2.72$ times the probability.
# Only differences count. Add $a$ to all logits, and every term above and below is multiplied by $e^a$, which cancels:
#
# $$ \operatorname{softmax}(z + a) = \operatorname{softmax}(z) \tag{1.8} $$
#
# This is useful: a logit of 1000 makes $e^{1000}$ overflow. With $a = -\max_j z_j$ no exponent is positive, and nothing
# can.
#
# Now the cost. Write the **ground truth** as a **one-hot** vector $y$: 1 at the true class, 0 elsewhere. The less
# probability you gave to the true class, the more you pay. The **cross-entropy** is
#
# $$ \ell = -\sum_i y_i \log \hat{y}_i = -\log \hat{y}_\text{true} \tag{1.9} $$
#
# Certainty costs 0, half sure of the truth $\log 2 \approx 0.69$, an even guess among ten classes $\log 10 \approx
# 2.30$: remember this one, for with small random weights a classifier of ten classes begins near it. To be sure of
# something false costs without limit.
#
# For two classes one unit is enough. Divide (1.7) by $e^{z_1}$ above and below: $\hat{y}_1 = \sigma(z_1 - z_0)$. So let
# $z$ be that difference, $\hat{y} = \sigma(z)$, and $y$ be 0 or 1. Then (1.9) reads
#
# $$ \ell = -\,y \log \hat{y} - (1 - y) \log (1 - \hat{y}) \tag{1.10} $$
#
# Over a data set $\mathcal{D}$ we take the mean, the **empirical risk**, a function of all parameters $\theta$:
#
# $$ L(\theta) = \frac{1}{|\mathcal{D}|} \sum_{(x,\, y) \in \mathcal{D}} \ell(x, y;\, \theta) \tag{1.11} $$
#
# Training means to look for $\theta^* = \operatorname{argmin}_\theta L(\theta)$.


# %%
def naive_softmax(z):
    """Softmax over the last axis as in (1.7)."""
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)  # (1.7)


def softmax(z):
    """Softmax over the last axis; the shift (1.8) keeps every exponent at 0 or below."""
    return naive_softmax(z - z.max(axis=-1, keepdims=True))  # (1.8)


def cross_entropy(probabilities, y):
    """The loss of each example (1.9): probabilities and one-hot truths y, both (batch, classes)."""
    return -np.sum(y * np.log(probabilities), axis=-1)  # (1.9)


def binary_cross_entropy(z, y):
    """The loss of a sigmoid unit with the pre-activation z where the truth y is 0 or 1 (1.10)."""
    return -y * np.log(sigmoid(z)) - (1 - y) * np.log(1 - sigmoid(z))  # (1.10)


def risk(network, x, y, f="relu"):
    """The mean loss (1.11) of a network on examples x (batch, inputs) with truths y (batch, classes)."""
    return np.mean(cross_entropy(softmax(forward(network, x, f)[1][-1]), y))  # (1.11)


# %% tags=["aside"]
# @title What proofs (1.7) to (1.11) compare with
def one_hot(labels, classes):
    """Truths (batch, classes) from labels (batch,): in each row a 1 at the label."""
    return np.eye(classes)[labels]


def softmax_of_shifted(z, a):
    return softmax(z + a)


def scipy_softmax(z, a=0.0):
    return special.softmax(z, axis=-1)


def keras_cross_entropy(probabilities, y):
    return keras.losses.categorical_crossentropy(ops.convert_to_tensor(y), ops.convert_to_tensor(probabilities))


def keras_two_classes(z, y):
    logits = ops.stack([ops.zeros(len(z)), ops.convert_to_tensor(z.astype("float32"))], axis=1)
    return keras.losses.sparse_categorical_crossentropy(ops.convert_to_tensor(y), logits, from_logits=True)


def keras_risk(network, x, y, f):
    """The same network, with the same weights, as a compiled Keras model that evaluates itself."""
    layers = [keras.layers.Dense(len(b), activation=f) for _, b in network[:-1]]
    layers.append(keras.layers.Dense(len(network[-1][1]), activation="softmax"))
    model = keras.Sequential([keras.Input((network[0][0].shape[1],)), *layers])
    model.set_weights([value for W, b in network for value in (W.T, b)])
    model.compile(loss="categorical_crossentropy", run_eagerly=True)
    return model.evaluate(x, y, verbose=0)


def tables_of_logits(count, scale):
    for _ in range(count):
        yield scale * rng.normal(size=rng.integers(2, 6, 2))


def shifted_tables(count):
    for z in tables_of_logits(count, 1000):
        yield z, float(z[0, 0])


def truths(batch, classes):
    return one_hot(rng.integers(classes, size=batch), classes)


def predictions_with_truths(count):
    for z in tables_of_logits(count, 1):
        yield softmax(z), truths(*z.shape)


def units_with_truths(count):
    for _ in range(count):
        yield 3 * rng.normal(size=6), rng.integers(2, size=6)


def networks_with_truths(count):
    """Random (network, batch, truths, activation function)."""
    for network, x, f in networks(count):
        yield network, x, truths(len(x), len(network[-1][1])), f


# %% [markdown]
# The judge of (1.10) is Keras's loss of *two* classes with the logits 0 and $z$.

# %%
prove("1.7", naive_softmax, scipy_softmax, cases=tables_of_logits(200, 3))
prove("1.8", softmax_of_shifted, scipy_softmax, cases=shifted_tables(200))
prove("1.9", cross_entropy, keras_cross_entropy, cases=predictions_with_truths(100))
prove("1.10", binary_cross_entropy, keras_two_classes, cases=units_with_truths(100), rtol=1e-4)
prove("1.11", risk, keras_risk, cases=networks_with_truths(12), rtol=1e-4)

# %% [markdown]
# **Question 1.c.** Every logit of a network is multiplied by 2. What becomes of the probability of its predicted class?
# (No two logits are equal.)

# %%
ask(
    "1.c",
    "higher",
    choices=("higher", "the same", "lower"),
    why="Only differences count, and they have doubled: (2, 1, 0) gave 0.665, and (4, 2, 0) gives 0.867.",
    hint="Softmax ignores what is added to all logits. What does a factor do to their differences?",
)

# %% [markdown]
# ## Which way is down?
#
# You stand on a hillside in fog and want to go down. You feel the slope under your feet and step against it. In a
# network there are as many directions as parameters. The slope in one of them, all others held fixed, is a **partial
# derivative**; all together they form the **gradient** $\nabla_\theta L$, and **gradient descent** repeats
#
# $$ \theta \leftarrow \theta - \alpha\, \nabla_\theta L(\theta) \tag{1.12} $$
#
# The **learning rate** $\alpha$ says how far to go. A sigmoid neuron with a single weight shows what it decides:


# %%
def descend(network, gradients, rate):
    """One step of gradient descent (1.12); gradients: a list of (dL/dW, dL/db) with the shapes of the network's."""
    return [(W - rate * dW, b - rate * db) for (W, b), (dW, db) in zip(network, gradients)]  # (1.12)


def loss_of_weight(w):
    """The mean loss of a neuron z = w x without bias on six examples."""
    x, y = np.array([-2.0, -1.5, -1.0, 1.0, 1.5, 2.0]), np.array([0, 1, 0, 1, 0, 1])
    return np.mean(binary_cross_entropy(w * x, y))


# %% tags=["aside"]
# @title Draws figure 1.5
w = np.linspace(-3, 6, 200)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.7), sharey=True)
for axis, (rate, name) in zip(axes, [(0.2, "too small"), (1.5, "about right"), (8, "too large")]):
    path = [-2.5]
    for _ in range(8):
        path.append(path[-1] - rate * central_difference(loss_of_weight, path[-1]))
    axis.plot(w, [loss_of_weight(value) for value in w], color="#999999")
    axis.plot(path, [loss_of_weight(value) for value in path], "o--", color=BLUE, linewidth=1, markersize=4)
    axis.set(title=f"$\\alpha = {rate}$: {name}", xlabel="weight $w$")
axes[0].set_ylabel("mean loss $L$")
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.5. Eight steps of gradient descent on the same curve, from the left, at three learning rates: crawling,
# arriving, leaping from side to side.*


# %% tags=["aside"]
# @title What proof (1.12) compares with
def descend_flat(theta, derivatives, rate):
    return descend([(theta, np.zeros(1))], [(derivatives, np.zeros(1))], rate)[0][0]


def keras_descend(theta, derivatives, rate):
    variable = keras.Variable(theta.astype("float32"))
    keras.optimizers.SGD(learning_rate=rate).apply([ops.convert_to_tensor(derivatives.astype("float32"))], [variable])
    return variable.value


def steps_downhill(count):
    for _ in range(count):
        yield rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), float(rng.random())


# %%
prove("1.12", descend_flat, keras_descend, cases=steps_downhill(50), rtol=1e-4, atol=1e-5)

# %% [markdown]
# So we need the gradient. We know one way: change each parameter a little, by (1.4), and look at the loss. For the
# model of Figure 1.1 that takes $2 \cdot 79{,}510$ forward passes for a single step. There is a way that needs *one*.
#
# ## Sending the error back
#
# Here is a network small enough to do by hand: two inputs, three ReLU units, two classes. The input is $(1, 2)$, and
# the true class is the upper one.

# %%
SMALL = [
    (np.array([[2.0, 1.0], [-1.0, 1.0], [1.0, -2.0]]), np.array([-1.0, 0.0, 1.0])),
    (np.array([[1.0, -2.0, 1.0], [-1.0, 3.0, 2.0]]), np.array([0.0, 1.0])),
]
SMALL_X, SMALL_Y = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])
hs, zs = forward(SMALL, SMALL_X)


# %% tags=["aside"]
# @title What draws a small network with its numbers
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


# %% tags=["aside"]
# @title Draws figure 1.6
given = [f"$x$ = {minus(value)}" for value in SMALL_X[0]]
nodes = [
    given,
    [f"$z$ = {minus(z)}\n$h$ = {minus(h)}" for z, h in zip(zs[0][0], hs[1][0])],
    [f"$z$ = {minus(z)}\n$\\hat{{y}}$ = {minus(p)}" for z, p in zip(zs[1][0], softmax(zs[1])[0])],
]
figure, axis = plt.subplots(figsize=(7.6, 3.7))
draw_network(axis, nodes, [W for W, _ in SMALL], "forward pass, with the weights on the lines")
plt.show()

# %% [markdown]
# *Figure 1.6. Forward. Each unit adds up what comes in, times the weight on the line, plus its bias (hidden:
# $-1, 0, 1$ from top to bottom; output: $0, 1$). The top unit: $2 \cdot 1 + 1 \cdot 2 - 1 = 3$.*
#
# The logits are equal, so the network says fifty-fifty, and the loss is $\log 2$. Which way should each unit's sum
# move? Its **error signal** says how fast the loss grows with that sum:
#
# $$ \delta_l = \frac{\partial \ell}{\partial z_l} $$
#
# a vector with an entry for each unit of layer $l$. **At the last layer**, put (1.7) into (1.9):
# $\ell = -z_\text{true} + \log \sum_j e^{z_j}$. Its derivative along $z_i$ is $e^{z_i}/\sum_j e^{z_j}$, which is
# $\hat{y}_i$, and at the true class there is $-1$ in addition:
#
# $$ \delta_\Lambda = \hat{y} - y \tag{1.13} $$
#
# What was predicted, minus what was true. Here that is $(0.5, 0.5) - (1, 0) = (-0.5, 0.5)$: the upper logit should
# rise, the lower fall.
#
# **One layer back.** Move the sum $z$ of the middle hidden unit a little. Its $h$ moves $f'(z)$ times as much. That
# moves the upper logit by $-2$ and the lower by $3$ times as much, and for *those* we know what it does to the loss.
# The effects add up: $(-2) \cdot (-0.5) + 3 \cdot 0.5 = 2.5$. The error signal has come back along the very lines on
# which the activation went forward. The lines out of unit $i$ are column $i$ of $\mathbf{W}_{l+1}$, hence the
# transpose:
#
# $$ \delta_l = \bigl(\mathbf{W}_{l+1}^\mathsf{T}\, \delta_{l+1}\bigr) \odot f'(z_l) \tag{1.14} $$
#
# The bottom unit would get $1 \cdot (-0.5) + 2 \cdot 0.5 = 0.5$. But its sum is negative, the derivative of ReLU is 0
# there, and so is its error signal.
#
# **Question 1.d.** And the top hidden unit: what is its $\delta$?

# %%
ask(
    "1.d",
    -1,
    why="1 · (−0.5) + (−1) · 0.5 = −1, and its sum, 3, is positive, where ReLU has the derivative 1.",
    hint="Follow its two lines in Figure 1.6 to the logits, whose error signals are −0.5 and 0.5.",
)

# %% [markdown]
# **And the weights?** A weight multiplies $h$ on its way into $z$, so it moves $z$ by $h$ times its own change; a bias
# moves it by the change itself. So the derivative along a weight is the error signal of the unit it leads to, times the
# activation that it carried:
#
# $$ \frac{\partial \ell}{\partial \mathbf{W}_l} = \delta_l\, h_{l-1}^\mathsf{T}, \qquad
#    \frac{\partial \ell}{\partial b_l} = \delta_l \tag{1.15} $$
#
# This is **backpropagation**: one forward pass, one **backward pass**, and we know for every parameter which way to
# change it. The idea is older than its fame (Linnainmaa, 1976; Rumelhart, Hinton and Williams, 1986).


# %%
def error_signals(network, zs, y, f="relu"):
    """The deltas of all layers, a list of arrays (batch, units): (1.13) for the last, then (1.14) back to the first.

    zs: the pre-activations from `forward`; y: truths (batch, classes).
    """
    deltas = [softmax(zs[-1]) - y]  # (1.13)
    for (W, _), z in zip(network[:0:-1], zs[-2::-1]):
        deltas.append(deltas[-1] @ W * DERIVATIVES[f](z))  # (1.14)
    return deltas[::-1]


def gradients_from(deltas, hs):
    """The gradient of the mean loss: a list of (dL/dW, dL/db), the mean over the batch of (1.15)."""
    return [(delta.T @ h / len(h), delta.mean(axis=0)) for delta, h in zip(deltas, hs)]  # (1.15)


def backpropagation(network, x, y, f="relu"):
    """A forward pass, a backward pass, and the gradient of the mean loss on x with truths y."""
    hs, zs = forward(network, x, f)
    return gradients_from(error_signals(network, zs, y, f), hs)


# %% tags=["aside"]
# @title Draws figure 1.7
deltas = error_signals(SMALL, zs, SMALL_Y)
hidden, output = ([f"$\\delta$ = {minus(value)}" for value in delta[0]] for delta in deltas)
(_, _), (W2, _) = SMALL
sums = [" + ".join(f"({minus(w)})({minus(d)})" for w, d in zip(column, deltas[1][0])) for column in W2.T]
notes = [
    (1, i, f"[{text}] · {minus(slope)}  = ") for i, (text, slope) in enumerate(zip(sums, DERIVATIVES["relu"](zs[0][0])))
]
figure, axes = plt.subplots(2, 1, figsize=(7.6, 7.2))
draw_network(axes[0], [[], hidden, output], [np.zeros((3, 0)), W2], "backward pass: error signals", ORANGE, True, notes)
hidden = [f"{text}\n$h$ = {minus(h)}" for text, h in zip(hidden, hs[1][0])]
on_lines = [dW for dW, _ in gradients_from(deltas, hs)]
draw_network(axes[1], [given, hidden, output], on_lines, "the derivative of the loss along every weight", GREEN)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.7. Top: $\delta$ flows from right to left, (1.14): in brackets what comes back along the two lines, then the
# unit's own derivative. Bottom: on each line the derivative of the loss along that weight, (1.15): the $\delta$ where
# the line ends, times the activation where it begins.*
#
# Recompute two or three of these numbers by hand; it is the best five minutes you can spend on this subject. Then take
# one small step against the gradient. The loss falls:

# %%
better = descend(SMALL, backpropagation(SMALL, SMALL_X, SMALL_Y), rate=0.01)
print(f"loss before: {risk(SMALL, SMALL_X, SMALL_Y):.4f}   after one step: {risk(better, SMALL_X, SMALL_Y):.4f}")


# %% tags=["aside"]
# @title What proofs (1.13) to (1.15) compare with
def float32(*values):
    return [ops.convert_to_tensor(value, "float32") for value in values]


def keras_loss_from(z, rest, y, f):
    """The summed loss as a function of the pre-activations z of some layer; rest: the layers (W, b) above it."""
    for layer in rest:
        W, b = float32(*layer)
        z = ops.matmul(keras.activations.get(f)(z), ops.transpose(W)) + b
    return -ops.sum(float32(y)[0] * ops.log_softmax(z, axis=-1))


def all_deltas(network, x, y, f):
    return error_signals(network, forward(network, x, f)[1], y, f)


def last_delta(network, x, y, f):
    return all_deltas(network, x, y, f)[-1]


def automatic_deltas(network, x, y, f):
    found = []
    for above, z in enumerate(keras_pre_activations(network, x, f), start=1):
        found.append(gradient(lambda z, rest=network[above:]: keras_loss_from(z, rest, y, f), z))
    return found


def automatic_last_delta(network, x, y, f):
    return automatic_deltas(network, x, y, f)[-1]


def automatic_gradients(network, x, y, f):
    """The derivative of the mean loss with respect to each W and b, one at a time, the others held fixed."""

    def loss(value, at, kind):
        layers = [list(layer) for layer in network]
        layers[at][kind] = value
        W, b, first = float32(*layers[0], x)
        return keras_loss_from(ops.matmul(first, ops.transpose(W)) + b, layers[1:], y, f) / len(x)

    found = [[], []]  # with respect to the W and to the b
    for at, kind in np.ndindex(len(network), 2):
        start = network[at][kind].astype("float32")
        found[kind].append(gradient(lambda value, at=at, kind=kind: loss(value, at, kind), start))
    return list(zip(*found))


# %% [markdown]
# Each line of the derivation has its proof, one intermediate at a time. The judge is **automatic differentiation**: the
# course's `gradient(f, x)` hands $f$ to TensorFlow, JAX or PyTorch, whichever Keras runs on.

# %%
prove("1.13", last_delta, automatic_last_delta, cases=networks_with_truths(36), rtol=1e-4, atol=1e-5)
prove("1.14", all_deltas, automatic_deltas, cases=networks_with_truths(36), rtol=1e-4, atol=1e-5)
prove("1.15", backpropagation, automatic_gradients, cases=networks_with_truths(36), rtol=1e-4, atol=1e-5)

# %% [markdown]
# What has been saved? Central differences run the network twice for each parameter. The backward pass takes at most two
# matrix products a layer where the forward pass takes one, and gives all derivatives together.  The control is a
# network with two parameters, where there is little to save.


# %% tags=["aside"]
# @title Measures the two ways to a gradient
def by_central_differences(network, x, y, f="relu", epsilon=1e-5):
    """The gradient of `risk` by (1.4), number by number, in the form of `gradients_from`."""
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


def speed_up(sizes):
    """How many times as fast backpropagation is as central differences on a network of these sizes and 20 examples."""
    network, x, y = new_network(sizes, rng), rng.normal(size=(20, sizes[0])), truths(20, sizes[-1])
    slow = least_seconds(lambda: by_central_differences(network, x, y), 2)
    fast = least_seconds(lambda: backpropagation(network, x, y), 20)
    parameters = sum(W.size + b.size for W, b in network)
    print(f"{parameters:,} parameters: {1e3 * slow:.2f} ms by central differences, {1e3 * fast:.2f} ms back")
    return slow / fast


# %%
faster = {"1,230 parameters": speed_up([50, 20, 10]), "two parameters": speed_up([1, 1])}

# %%
claim(
    "1.1",
    "backpropagation is at least 100 times as fast as central differences for a network of 1,230 parameters",
    faster["1,230 parameters"] > 100,
    control=faster["two parameters"] > 100,
)

# %% [markdown]
# Central differences stay useful: to compare a gradient that somebody derived with them is a **gradient check**. It is
# made in float64, with $\epsilon$ near $10^{-5}$ and a few examples. Here is one of ours, and of one without the $f'$
# of (1.14):


# %%
def relative_difference(one, other):
    one, other = (np.concatenate([part.ravel() for layer in found for part in layer]) for found in (one, other))
    return np.linalg.norm(one - other) / np.linalg.norm(other)


network, x, y = new_network([5, 4, 3], rng), rng.normal(size=(4, 5)), truths(4, 3)
(hs, zs), trusted = forward(network, x), by_central_differences(network, x, y)
for f in ("relu", "linear"):
    found = gradients_from(error_signals(network, zs, y, f), hs)
    print(f"relative difference {relative_difference(found, trusted):.0e}")

# %% [markdown]
# Below $10^{-7}$ be content, above $10^{-2}$ look for the mistake. (At a corner of ReLU the two may differ.)
#

# ## The whole machine
#
# `new_network`, `forward`, `softmax`, `error_signals`, `gradients_from`, `descend`: what is missing is the loop. It
# does not use all examples for each step, but a mini-batch of some, drawn anew each time: their mean loss is an
# unbiased estimate of (1.11), and much cheaper.


# %%
def train(network, x, y, rng, f="relu", rate=0.1, steps=1000, watch=None):
    """Gradient descent on random mini-batches of 32; returns a network. watch: called with (step, network)."""
    for step in range(steps):
        if watch:
            watch(step, network)
        some = rng.integers(len(x), size=32)
        network = descend(network, backpropagation(network, x[some], y[some], f), rate)
    return network


def accuracy(network, x, labels, f="relu"):
    """The share of examples whose highest logit is that of the true class."""
    return float(np.mean(forward(network, x, f)[1][-1].argmax(axis=1) == labels))


# %% [markdown]
# In Keras you name the layers, the loss and the optimiser; its backward pass is automatic differentiation. `fit` then
# runs the loop. This is the model of Figure 1.1:


# %%
def keras_classifier(loss, learning_rate=0.1):
    """A multi-layer perceptron for digits, compiled with a loss: 784 inputs, 100 ReLU units, 10 probabilities."""
    hidden = keras.layers.Dense(100, activation="relu")
    output = keras.layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((784,)), hidden, output])
    model.compile(keras.optimizers.SGD(learning_rate), loss=loss, metrics=["accuracy"])
    return model


# %% [markdown]
# Give Keras's model and ours the same random weights and the same twenty mini-batches. The control forgets one factor,
# the $f'$ of (1.14).

# %%
theirs = keras_classifier("categorical_crossentropy")
ours = careless = new_network([784, 100, 10], rng)
theirs.set_weights([value for W, b in ours for value in (W.T, b)])
truth = one_hot(labels, 10).astype("float32")
losses = []  # a row for each step: Keras, ours, careless
for some in rng.integers(len(images), size=(20, 64)):
    x, y = images[some], truth[some]
    losses.append([float(theirs.train_on_batch(x, y)[0]), risk(ours, x, y), risk(careless, x, y)])
    ours = descend(ours, backpropagation(ours, x, y), 0.1)
    hs, zs = forward(careless, x)
    careless = descend(careless, gradients_from(error_signals(careless, zs, y, "linear"), hs), 0.1)
apart = np.abs(np.array(losses)[:, 1:] - np.array(losses)[:, :1]).max(axis=0)  # of ours and of careless

# %%
claim(
    "1.2",
    "for 20 steps the losses of NumPy and Keras differ by less than 0.0001",
    apart[0] < 1e-4,
    control=apart[1] < 1e-4,
)

# %% [markdown]
# ## Watch it learn
#
# In Figure 1.4 a person drew the four lines around the island. Now let a network with four hidden tanh units find them
# from random weights, five times over. Look inside the first one while it learns.

# %%
points, kinds = island(300, rng)
stages = [0, 30, 100, 300, 2000]
film = {}


def watch(step, network):
    if step in stages:
        film.setdefault(step, network)  # the first network only


def island_accuracies(f):
    """The accuracy of five networks with four hidden units, each from its own random weights."""
    found = []
    for _ in range(5):
        network = new_network([2, 4, 2], rng)
        network = train(network, points, one_hot(kinds, 2), rng, f, rate=0.5, steps=2001, watch=watch)
        found.append(accuracy(network, points, kinds, f))
    return found


curved, straight = island_accuracies("tanh"), island_accuracies("linear")

# %% tags=["aside"]
# @title Draws figure 1.8
figure, axes = plt.subplots(5, len(stages), figsize=(8.4, 8.6))
for column, step in zip(axes.T, stages):
    hs, zs = forward(film[step], plane(), "tanh")
    draw_plane(column[0], softmax(zs[-1])[:, 1], f"step {step:,}", border=0.5)
    draw_points(column[0], points, kinds, size=4)
    for axis, h in zip(column[1:], hs[1].T):
        draw_plane(axis, h, bounds=(-1, 1), border=0)
for axis, name in zip(axes[:, 0], ["the network's output", *(f"hidden unit {i}" for i in range(1, 5))]):
    axis.set_ylabel(name)
figure.tight_layout(pad=0.4)
plt.show()

# %% [markdown]
# *Figure 1.8. One network at five moments of its training. Top: the probability of "island" (blue high), its border at
# one half, and the points. Below: the output of each hidden unit ($-1$ yellow, $1$ blue), with the line where it is
# 0.*
#
# At first all lines pass through the centre, for the biases begin at 0. Then they turn and shift, each driven by its
# own $\delta$, until together they fence the island in. Nobody told any of them which side to take.

# %%
claim(
    "1.3",
    "from each of five random starts, four tanh units classify more than 97 % of the island's points correctly",
    min(curved) > 0.97,
    control=max(straight) > 0.97,
)

# %% [markdown]
# The control is five networks of the same size without activation function, for which (1.6) leaves one straight line.
#
# **Try it.** How few hidden units can enclose the island?
#
# ## Back to the digits
#
# What does the hidden layer buy on real digits (MNIST: LeCun et al., 1998)? *Softmax regression* has no hidden layer:
# ten units look straight at the pixels. The second model has a hidden layer of 100 ReLU units. The third has two
# hidden layers of 100, but no activation function. All see equally many mini-batches, and each gets the learning rate
# that suits it best. A rate must not be chosen by the test digits, or these no longer test it; so we choose by digits
# that were held back from training for this.

# %%
MODELS = {
    "softmax regression": ([784, 10], "linear"),
    "one hidden layer, ReLU": ([784, 100, 10], "relu"),
    "two hidden layers, no activation": ([784, 100, 100, 10], "linear"),
}
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
STEPS = budget(quick=2500, full=20_000, least=50)


def fitted(model, rate, run):
    """A network before and after training, and its accuracy on 500 held-back digits at 25 steps on the way.

    run: a number that the weights and the mini-batches are drawn from.
    """
    (sizes, f), rng, history = MODELS[model], np.random.default_rng([seed(), run]), []

    def watch(step, network):
        if step % (STEPS // 25) == 0:
            history.append(accuracy(network, validation_images[:500], validation_labels[:500], f))

    first = new_network(sizes, rng, "float32")
    return first, train(first, images, truth, rng, f, rate, STEPS, watch), history


def held_back_accuracy(model, rate):
    with np.errstate(all="ignore"):  # where the learning rate is much too high, the weights overflow
        return accuracy(fitted(model, rate, 0)[1], validation_images, validation_labels, MODELS[model][1])


# %%
table = sweep("1.4", {"model": list(MODELS), "rate": RATES}, held_back_accuracy)
best = dict.fromkeys(MODELS, 0.1) | {r["model"]: r["rate"] for r in sorted(table, key=lambda r: r["value"])}
runs = {name: [fitted(name, best[name], run) for run in (1, 2, 3)] for name in MODELS}
reached = {
    name: [accuracy(last, test_images, test_labels, MODELS[name][1]) for _, last, _ in found]
    for name, found in runs.items()
}
regression, perceptron, linear = (np.mean(values) for values in reached.values())

# %% tags=["aside"]
# @title Draws figure 1.9
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.3))
swept = {name: [row["value"] for row in table if row["model"] == name] or [np.nan] * len(RATES) for name in MODELS}
plots.draw_curves(axes[0], swept, "learning rate", "accuracy, held-back digits", x=RATES)
axes[0].set(xscale="log", ylim=(0.8, 1))
axes[0].legend(fontsize=7, loc="lower left")
steps = [step for step in range(STEPS) if step % (STEPS // 25) == 0]
curves = {f"{name}: {np.mean(reached[name]):.1%}": [history for *_, history in runs[name]] for name in MODELS}
plots.draw_curves(axes[1], curves, "step", "accuracy, held-back digits", x=steps)
axes[1].set(ylim=(0.7, 1))
axes[1].legend(fontsize=8, title="on the test digits, at the end", title_fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.9. Left: seven learning rates for each model, one run each (a recorded sweep). Right: three runs at the best
# rate, mean and spread.*

# %%
claim(
    "1.4",
    "a hidden layer of 100 ReLU units classifies over 2 points more of the test digits correctly than softmax "
    "regression, both at the best of seven learning rates, as means of three runs",
    perceptron > regression + 0.02,
    control=linear > regression + 0.02,
)


# %%
def fold(network):
    """All layers of a network merged into one by (1.6), as if it had no activation function."""
    while len(network) > 1:
        network = [merge(*network[:2]), *network[2:]]
    return network


def predict_digits(network, f):
    return forward(network, test_images, f)[1][-1].argmax(axis=1)


def is_one_layer(name):
    """Whether a model's three networks, folded, predict alike and end as softmax regression does."""
    same = [np.mean(predict_digits(fold(n), "linear") == predict_digits(n, MODELS[name][1])) for _, n, _ in runs[name]]
    return min(same) > 0.998 and abs(np.mean(reached[name]) - regression) < 0.01


claim(
    "1.5",
    "three layers without activation fold into one, with the same prediction for 99.8 % of the test digits, "
    "and end within 1 point of softmax regression",
    is_one_layer("two hidden layers, no activation"),
    control=is_one_layer("one hidden layer, ReLU"),
)

# %% [markdown]
# The three linear layers hold eleven times the parameters of the single one. Yet (1.6) folds them into one matrix of
# the same size, $10 \times 784$. No such matrix has a higher **rank** than 10: so many independent directions there are
# in which pixels can move the logits.
#
# ## A look inside
#
# Each hidden unit has 784 weights, one for each pixel: an image. And backpropagation need not stop at the first layer:
# one more step of (1.14), without $f'$, gives $\mathbf{W}_1^\mathsf{T} \delta_1$, the derivative of the loss along
# every *pixel*.


# %%
def input_gradient(network, x, y):
    """The gradient of each example's loss with respect to its inputs, (batch, inputs)."""
    return error_signals(network, forward(network, x)[1], y)[0] @ network[0][0]


first, last, _ = runs["one hidden layer, ReLU"][0]
probabilities = softmax(forward(last, test_images)[1][-1])
predicted = probabilities.argmax(axis=1)
wrong = np.flatnonzero(predicted != test_labels)
surest = wrong[np.argsort(-probabilities[wrong, predicted[wrong]])][:8]
wanted = -input_gradient(last, test_images[surest], one_hot(test_labels[surest], 10))

# %% tags=["aside"]
# @title Draws figure 1.10
figure, axes = plt.subplots(4, 8, figsize=(8, 4.6))
(before, _), (after, _) = first[0], last[0]
for i, column in enumerate(axes.T):
    plots.draw_image(column[0], after[i].reshape(28, 28), signed=True)
    plots.draw_image(column[1], (after[i] - before[i]).reshape(28, 28), signed=True)
    plots.draw_image(column[2], test_images[surest[i]].reshape(28, 28))
    column[2].set_title(f"{test_labels[surest[i]]}, read as {predicted[surest[i]]}", fontsize=9)
    plots.draw_image(column[3], wanted[i].reshape(28, 28), signed=True)
for axis, name in zip(axes[:, 0], ["weights", "learned", "mistakes", "wanted"]):
    axis.set_ylabel(name)
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# *Figure 1.10. Row 1: the weights of eight hidden units, purple positive, orange negative. Row 2: what training added
# to the random start. Row 3: the mistakes that the network was surest of. Row 4: where a brighter pixel (purple) and a
# darker one (orange) would lower the loss.*
#
# By (1.15) what is added to a unit's weights is a sum of training digits, each times minus the unit's $\delta$: hence
# the ghosts of strokes in row 2. A pixel that is black in all of them adds nothing.

# %%
black = images.max(axis=0) == 0  # in every training digit: 784 truth values
claim(
    "1.6",
    "the weights of pixels that are black in all training digits are still exactly those of the random start",
    np.array_equal(after[:, black], before[:, black]),
    control=np.array_equal(after[:, ~black], before[:, ~black]),
)

# %% [markdown]
# These random numbers also speckle row 4. A hundred templates of strokes know nothing of places: a stroke further to
# the right meets other weights. Move every test digit by two pixels:

# %%
moved = np.roll(test_images.reshape(-1, 28, 28), 2, axis=2).reshape(len(test_images), 784)
print(f"accuracy {accuracy(last, test_images, test_labels):.2f}, moved {accuracy(last, moved, test_labels):.2f}")

# %% [markdown]
#
# ## Debug it
#
# A model from the web. Its last layer has a softmax, as it should. Its loss was copied from another page, where models
# put out logits. No error, no warning, and it does learn something.


# %%
def loss_from_the_web(labels, output):
    return -ops.sum(ops.one_hot(ops.cast(labels, "int32"), 10) * ops.log_softmax(output), axis=-1)


suspects = {
    "as it should be": ("sparse_categorical_crossentropy", 0.1),
    "from the web": (loss_from_the_web, 0.1),
    "from the web, ten times the rate": (loss_from_the_web, 1.0),
}
epochs = budget(quick=5, full=10, least=1)
logs = {
    name: keras_classifier(*settings).fit(images, labels, epochs=epochs, verbose=0).history
    for name, settings in suspects.items()
}

# %% tags=["aside"]
# @title Draws figure 1.11
figure, axes = plt.subplots(1, 2, figsize=(8, 3))
floor = {"floor of softmax twice": np.log(1 + 9 / np.e)}
for axis, key, label, levels in [(axes[0], "loss", "mean loss", floor), (axes[1], "accuracy", "training accuracy", {})]:
    plots.draw_curves(axis, {name: log[key] for name, log in logs.items()}, "epoch", label, levels=levels)
axes[0].set(ylim=(0, 2.4))
axes[1].set(ylim=(0, 1))
axes[0].get_legend().remove()
figure.tight_layout()
plt.show()

# %% [markdown]
# *Figure 1.11. The model of Figure 1.1, trained with two losses; an **epoch** is one pass through all training digits.*
#
# What is wrong, and would a gradient check find it? Think before you read on.
#
# `log_softmax` expects logits and is given probabilities: **softmax is applied twice**. The second one sees numbers
# between 0 and 1. However sure the network is, the true class leads each other one by 1 at most, so in
# $\ell = \log \sum_j e^{\hat{y}_j - \hat{y}_\text{true}}$ every exponent is at least $-1$, and the loss has a floor:
#
# $$ \begin{aligned} \ell_\text{twice} &= -\log\, \operatorname{softmax}(\hat{y})_\text{true} \\
#    &\ge \log\left(1 + \frac{\text{classes} - 1}{e}\right) \end{aligned} \tag{1.16} $$
#
# For ten classes that is $1.461$. No gradient check finds the mistake, for the gradient is right; it is the gradient of
# the wrong function. Nor need the accuracy find it: with equal logits the gradient is ten times smaller, and ten times
# the learning rate often makes up for that; where not, a class stays unlearned, for where the network is sure and
# wrong, the first softmax is flat and passes hardly any error signal. In Keras the same trap is `activation="softmax"`
# together with `from_logits=True` . The habit to keep:
# **train on ten examples only, and see whether the loss reaches 0**. (At the start both lie near $\log 10$.)


# %%
def floor_of_twice(classes):
    """The least cross-entropy that softmax applied twice can reach (1.16)."""
    return np.log(1 + (classes - 1) / np.e)  # (1.16)


# %% tags=["aside"]
# @title What proof (1.16) compares with
def searched_floor(classes):
    """The same by SciPy's search over all probabilities p of the first softmax."""
    found = minimize(
        lambda p: special.logsumexp(p) - p[0],
        np.full(classes, 1 / classes),
        bounds=[(0, 1)] * classes,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
    )
    return found.fun


# %%
prove("1.16", floor_of_twice, searched_floor, cases=range(2, 31))


# %%
def hides(log):
    """Whether a training ends with a good accuracy, and no epoch's loss below the floor of ten classes."""
    return log["accuracy"][-1] > 0.75 and min(log["loss"]) > floor_of_twice(10)


claim(
    "1.7",
    "with softmax twice, at ten times the learning rate, more than 75 % of the training digits are classified "
    "correctly, and the loss stays above 1.46",
    hides(logs["from the web, ten times the rate"]),
    control=hides(logs["as it should be"]),
)

# %% [markdown]
# ## This run, and what is next

# %%
record(
    hidden_layer_accuracy=perceptron,
    softmax_regression_accuracy=regression,
    no_activation_accuracy=linear,
    backpropagation_speed_up=faster["1,230 parameters"],
    accuracy_on_moved_digits=accuracy(last, moved, test_labels),
)

# %% [markdown]
# You have a model that learns. It is also fragile. (1.14) multiplies the error signal by $\mathbf{W}^\mathsf{T}$ and by
# a derivative at every layer, and the sigmoid's is at most $1/4$: what is left of $\delta$ after ten layers? The
# learning rate had to be searched for. And nothing yet keeps a large network from learning its examples by heart. That
# is chapter 2. Chapter 3 takes up the digits that have moved.
#
# ## Exercises
#
# The functions of the lesson are yours to use.
#
# **Exercise 1.1 ★** *Exclusive or* is 1 where exactly one of two inputs is high. No single neuron computes it: write
# down the four inequalities that $w_1$, $w_2$ and $b$ would have to satisfy, and add them up. Two hidden units can.
# Find their weights by hand, first for inputs 0 and 1.


# %%
# Exercise 1.1
def xor_weights(low, high):
    """Weights of a network with two ReLU units and one output that computes exclusive or.

    low, high: the two values that an input can have, floats with low < high. Returns
    (W, b, v, c): W (2, 2), b (2,), v (2,) and a number c, such that v . relu(W x + b) + c is 1
    where exactly one of the inputs x is high, and 0 where none or both are.
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
from course.exercises import exercise

import numpy as np

ex = exercise("1.1")
ex.hints(
    "Begin with inputs 0 and 1. What does a ReLU unit with the weights 1, 1 and the bias 0 say to the four inputs?",
    "A second unit, with another bias, can be silent everywhere but where both inputs are high.",
    "For other values, scale and shift: (x - low) / (high - low) is 0 or 1. The shift goes into the biases.",
)


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


@ex.measure
def at_the_corners(given, low, high):
    parts = [np.asarray(part) for part in given]
    shapes = [part.shape for part in parts]
    found = {"shapes of W, b, v, c": shapes}
    if any(part.dtype.kind not in "iuf" for part in parts):
        return "weights that are no real numbers"
    fits = shapes == [(2, 2), (2,), (2,), ()]
    W, b, v, c = parts if fits else 4 * [None]
    for inputs in [(low, low), (low, high), (high, low), (high, high)]:
        found[f"output for {inputs}"] = float(v @ np.maximum(W @ inputs + b, 0) + c) if fits else None
    return found


@ex.oracle
def _(low, high):
    found = {"shapes of W, b, v, c": [(2, 2), (2,), (2,), ()]}
    for first in (low, high):
        for second in (low, high):
            found[f"output for {(first, second)}"] = float(first != second)
    return found


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
    return _counting(0.0, high - low, (0, 1), (1, -2))


@ex.wrong
def without_kinks(low, high):
    """Neither unit is ever silent on these inputs, so the network is linear: the best that one can do is 0.5
    everywhere. The bias of one unit has to silence it somewhere."""
    return np.zeros((2, 2)), np.ones(2), np.full(2, 0.25), 0.0


@ex.wrong
def a_row_for_c(low, high):
    """c is a single number, and not an array with one number in it."""
    return _counting(low, high, (0, 1), (1, -2), np.zeros(1))


@ex.right
def by_differences(low, high):
    W = np.array([[1.0, -1.0], [-1.0, 1.0]]) / (high - low)
    return W, np.zeros(2), np.ones(2), 0.0


ex.equivalent(
    "by_differences: 'low - high' for 'high - low' in 'W = np.array([[1.0, -1.0], [-1.0, 1.0]]) / (high - low)'",
    "the two units change places",
)


@ex.right
def of_lists(low, high):
    s = 1 / (high - low)
    return [[-s, -s], [-s, -s]], [2 * high * s, 2 * high * s - 1], [1.0, -2.0], np.float64(0)


# %%
check("1.1", xor_weights)

# %% [markdown]
# **Exercise 1.2 ★★** `cross_entropy(softmax(z), y)` breaks where it matters most, at a confident mistake: with the
# logits $(0, 800)$ and the truth 0, $\hat{y}_\text{true}$ is rounded to 0, and its logarithm is infinite. Go straight
# from logits to the loss. (What is $\log$ of (1.7)?)


# %%
# Exercise 1.2
def loss_from_logits(z, labels):
    """The cross-entropy of each example, computed from its logits without overflow or
    underflow.

    z: logits, floats (batch, classes), of any size. labels: whole numbers (batch,), each from
    0 to classes - 1. Neither is changed. Returns floats (batch,).
    Raises ValueError where labels does not have the shape (batch,), with a message that names
    the shapes of z and labels; and where a label is no class, with a message that names it.
    Example: loss_from_logits(np.array([[0.0, 800.0]]), np.array([0])) is [800.].
    """
    ### BEGIN SOLUTION
    batch, classes = z.shape
    if labels.shape != (batch,):
        raise ValueError(f"labels must have the shape (batch,) where z has {z.shape}, and its shape is {labels.shape}")
    for label in labels:
        if not 0 <= label < classes:
            raise ValueError(f"there is no class {label}: labels go from 0 to {classes - 1}")
    shifted = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(batch), labels]
    ### END SOLUTION


# %% tags=["grading"]
import math
import re

from course.exercises import exercise

import numpy as np

ex = exercise("1.2")
ex.hints(
    "Write down the logarithm of the fraction (1.7), and simplify it on paper.",
    "It is the true class's logit minus the logarithm of a sum. That sum still overflows: subtract something by (1.8).",
    "With m the largest logit of the row, log of the sum is m + log(sum of exp(z - m)), which neither overflows nor is "
    "a logarithm of 0.",
)


@ex.cases
def _(rng):
    yield np.array([[0.0, 800.0]]), np.array([0])
    yield np.array([[2.0, 1.0, 0.0]]), np.array([1])
    yield np.zeros((3, 10)), np.array([0, 9, 4])
    yield np.array([[5000.0, 4999.0], [-5000.0, -4999.0]]), np.array([0, 0])
    yield np.array([[2.0, -1.0], [0.5, 3.0]], "float32"), np.array([1, 1])
    yield np.array([[0.0, -900.0], [700.0, 0.0]]), np.array([1, 1])
    for scale in (1, 3, 300, 1e4):
        for _ in range(4):
            batch, classes = (int(n) for n in rng.integers(2, 6, 2))
            yield rng.integers(-99, 100, (batch, classes)) / 100 * scale, rng.integers(classes, size=batch)
    z = rng.integers(-9, 10, (3, 4)) / 2
    yield z, np.array([1])  # NumPy would stretch it over the rows
    yield z, np.array([[1], [0], [2]])
    yield z[:2, :2], np.array([[1], [0]])
    yield z, np.array([0, 3])
    yield z, np.array([0, 1, 2, 3])
    yield z[:2, :3], np.array([-1, 0])
    yield z[:2, :3], np.array([0, 3])
    yield z, np.array([0, 1, 4])
    yield z, np.array([3, -2, 0])


ex.shown_as("loss_from_logits(z, labels)")


@ex.drive
def asked(answer, z, labels):
    before = z.copy(), labels.copy()
    try:
        losses = answer(z, labels)
    except ValueError as error:
        fits = labels.shape == z.shape[:1]
        wanted = [n for n in labels.tolist() if not 0 <= n < z.shape[1]] if fits else [*z.shape, *labels.shape]
        missing = [str(n) for n in wanted if str(n) not in re.findall(r"-?\d+", str(error))]
        if missing:
            return f"a ValueError whose message does not name {', '.join(missing)}: {str(error)!r}"
        raise
    if not (np.array_equal(before[0], z) and np.array_equal(before[1], labels)):
        return "losses, but z or labels is not as it was"
    return losses


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
    if labels.shape != z.shape[:1]:
        raise ValueError(f"{z.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= z.shape[1]:
        raise ValueError(f"labels are from {labels.min()} to {labels.max()}")


def _picked(values, labels):
    return values[np.arange(len(labels)), labels]


def _log_sum(z, shift):
    return shift + np.log(np.exp(z - shift).sum(axis=1, keepdims=True))


def _losses(z, labels):
    return _picked(_log_sum(z, z.max(axis=1, keepdims=True)) - z, labels)


@ex.wrong
def overflowing(z, labels):
    """The exponential of a large logit overflows. Only differences of logits count: subtract something first (1.8)."""
    _refuse(z, labels)
    return -np.log(_picked(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), labels))


@ex.wrong
def sum_overflows(z, labels):
    """The formula is right, and the sum of exponentials in it still overflows: take the largest logit out of it."""
    _refuse(z, labels)
    return _picked(np.log(np.exp(z).sum(axis=1, keepdims=True)) - z, labels)


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
    logit, the higher it has to be."""
    _refuse(z, labels)
    exps = np.exp(z - z.max(axis=1, keepdims=True))
    return -np.log(np.clip(_picked(exps / exps.sum(axis=1, keepdims=True), labels), 1e-7, 1))


@ex.wrong
def tiny_number_added(z, labels):
    """A tiny number added to the probability hides the infinity, but the loss of a confident mistake is wrong: the
    farther off the logit, the higher it has to be."""
    _refuse(z, labels)
    exps = np.exp(z - z.max(axis=1, keepdims=True))
    return -np.log(_picked(exps / exps.sum(axis=1, keepdims=True), labels) + 1e-12)


@ex.wrong
def one_shift_for_all(z, labels):
    """The largest logit of the whole batch is subtracted from every row; a row with much lower logits then underflows.
    Each example needs its own shift."""
    _refuse(z, labels)
    return _picked(_log_sum(z, z.max()) - z, labels)


@ex.wrong
def shift_forgotten(z, labels):
    """The largest logit was subtracted in one term, but not in the other: it has to cancel."""
    _refuse(z, labels)
    return _losses(z, labels) - z.max(axis=1)


@ex.wrong
def averaged(z, labels):
    """This is the mean over the batch; one loss for each example is wanted."""
    _refuse(z, labels)
    return np.mean(_losses(z, labels))


@ex.wrong
def surprise_in_bits(z, labels):
    """The logarithm to base 2 gives the loss in bits; the cross-entropy of (1.9) uses the natural one."""
    _refuse(z, labels)
    return _losses(z, labels) / np.log(2)


@ex.wrong
def negative(z, labels):
    """The sign: a loss is minus the logarithm of a probability, which is never negative."""
    _refuse(z, labels)
    return -_losses(z, labels)


@ex.wrong
def too_high_only(z, labels):
    """A label can also be too low: NumPy takes -1 for the last class."""
    if labels.shape != z.shape[:1]:
        raise ValueError(f"{z.shape} and {labels.shape}")
    if labels.max() >= z.shape[1]:
        raise ValueError(f"there is no class {labels.max()}")
    return _losses(z, labels)


@ex.wrong
def length_only(z, labels):
    """You compare lengths. Labels of the shape (batch, 1) have the right length, and NumPy makes a table of them."""
    if len(labels) != len(z):
        raise ValueError(f"{z.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= z.shape[1]:
        raise ValueError(f"labels are from {labels.min()} to {labels.max()}")
    return _losses(z, labels)


@ex.wrong
def never_refuses(z, labels):
    """The losses are right, but labels that do not fit must be refused. NumPy does not: it stretches a single label
    over all rows, and takes -1 for the last class."""
    return _losses(z, labels)


@ex.wrong
def says_nothing(z, labels):
    """You refuse what has to be refused, but the message must say what is wrong: the two shapes, or the label."""
    if labels.shape != z.shape[:1] or labels.min() < 0 or labels.max() >= z.shape[1]:
        raise ValueError("labels do not fit")
    return _losses(z, labels)


@ex.wrong
def in_place(z, labels):
    """The losses are right, but z is not what it was: `z -= ...` changes the caller's array."""
    _refuse(z, labels)
    losses = _losses(z, labels)
    z -= z.max(axis=1, keepdims=True)
    return losses


@ex.right
def by_logaddexp(z, labels):
    _refuse(z, labels)
    return np.logaddexp.reduce(z, axis=1) - np.diagonal(z[:, labels])


@ex.right
def row_by_row(z, labels):
    if z.shape[:1] != labels.shape:
        raise ValueError(f"one label for each row is needed: z {z.shape}, labels {labels.shape}")
    losses = []
    for row, label in zip(z, labels):
        if label not in range(len(row)):
            raise ValueError(f"label {label}")
        losses.append(math.log(sum(math.exp(v - max(row)) for v in row)) + float(max(row)) - float(row[label]))
    return losses


# %%
check("1.2", loss_from_logits)

# %% [markdown]
# **Exercise 1.3 ★★** Frameworks are built from layers that know their own backward pass: given how the loss changes
# with what comes *out*, $\partial L / \partial h_l$, each says how it changes with what goes *in* and with its own
# parameters. Write one.


# %%
# Exercise 1.3
def layer_backward(h, W, b, activation, upstream):
    """The backward pass of one layer f(h W^T + b).

    h: what went in, floats (batch, inputs). W (units, inputs), b (units,). activation:
    "sigmoid", "tanh" or "relu", whose derivative at 0 is 0. upstream: the derivative of L with
    respect to what came out, (batch, units); if L is a mean over the batch, that is in it
    already. Returns a tuple of the derivatives of L with respect to h (batch, inputs), W and
    b. The arguments stay as they are.
    Raises ValueError where upstream does not have the shape (batch, units); the message names
    both shapes.
    Example: with h = [[1, 2]], W = [[3, 1]], b = [-4], "relu" and upstream [[10]], z is 1, and
    the result is ([[30, 10]], [[10, 20]], [10]).
    """
    ### BEGIN SOLUTION
    z = dense(h, W, b)
    if upstream.shape != z.shape:
        raise ValueError(f"upstream must have the shape (batch, units) = {z.shape}, not {upstream.shape}")
    delta = upstream * DERIVATIVES[activation](z)
    return delta @ W, delta.T @ h, delta.sum(axis=0)
    ### END SOLUTION


# %% tags=["grading"]
import re

from course.exercises import exercise

import numpy as np

ex = exercise("1.3")
ex.hints(
    "Compute z again first. Then find delta, the derivative of L with respect to z: one step back from `upstream`.",
    "From delta the three results follow as in (1.14) and (1.15). Write the shapes down: only one product fits.",
    "delta is upstream times f'(z), element by element. W and b take part in every example: their derivatives add up.",
)
FUNCTIONS = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
}


@ex.cases
def _(rng):
    def some(*shape):
        return rng.integers(-9, 10, shape) / 4

    yield np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]]), np.array([-4.0]), "relu", np.array([[10.0]])
    yield np.array([[1.0], [2.0], [3.0]]), np.array([[1.0]]), np.array([-2.0]), "relu", np.array([[5.0], [7.0], [4.0]])
    yield np.array([[1.0, 1.0]]), np.array([[1.0, -1.0], [2.0, 1.0]]), np.zeros(2), "relu", np.array([[3.0, -2.0]])
    for activation in FUNCTIONS:
        yield some(3, 2), some(3, 2), some(3), activation, some(3, 3)  # no shape tells W from its transpose
    for i in range(18):
        batch, inputs, units = (int(n) for n in rng.integers(2, 6, 3))
        yield some(batch, inputs), some(units, inputs), some(units), list(FUNCTIONS)[i % 3], some(batch, units)
    for shape in [(1, 3), (4, 1), (3,), (3, 4), (4, 2), (1, 4, 3)]:
        yield some(4, 2), some(3, 2), some(3), "tanh", some(*shape)
    yield some(2, 3), some(3, 3), some(3), "relu", some(2, 1)


ex.shown_as("layer_backward(h, W, b, activation, upstream)")


@ex.drive
def asked(answer, h, W, b, activation, upstream):
    before = [part.copy() for part in (h, W, b, upstream)]
    try:
        found = answer(h, W, b, activation, upstream)
    except ValueError as error:
        sizes = {str(n) for n in (len(h), len(b), *upstream.shape)}
        missing = sorted(sizes - set(re.findall(r"\d+", str(error))))
        if missing and upstream.shape != (len(h), len(b)):
            return f"a ValueError whose message does not name both shapes: {str(error)!r}"
        raise
    if not all(map(np.array_equal, before, (h, W, b, upstream))):
        return "derivatives, but an argument is not as it was"
    return found


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
            out = FUNCTIONS[activation](parts[0] @ parts[1].T + parts[2])
            slopes[place] = np.sum(upstream * out).imag / 1e-30
        found.append(slopes)
    return tuple(found)


def _slope(activation, z):
    h = FUNCTIONS[activation](z)
    return {"sigmoid": h * (1 - h), "tanh": 1 - h**2, "relu": (z > 0) * 1.0}[activation]


def _back(h, W, b, activation, upstream):
    z = h @ W.T + b
    if upstream.shape != z.shape:
        raise ValueError(f"{upstream.shape} instead of {z.shape}")
    return upstream * _slope(activation, z)


@ex.wrong
def slope_forgotten(h, W, b, activation, upstream):
    """The derivative of the activation function is missing: `upstream` is about what comes out of f, not about z."""
    _back(h, W, b, activation, upstream)
    return upstream @ W, upstream.T @ h, upstream.sum(axis=0)


@ex.wrong
def slope_of_the_output(h, W, b, activation, upstream):
    """The derivative has to be taken at z, before the activation function; you took it at what comes out. (With ReLU,
    nobody notices.)"""
    _back(h, W, b, activation, upstream)
    delta = upstream * _slope(activation, FUNCTIONS[activation](h @ W.T + b))
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def half_forgotten(h, W, b, activation, upstream):
    """The derivatives of W and b are right. On the way to h the derivative of the activation function was forgotten:
    the error signal goes back through f as well."""
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
def one_at_the_corner(h, W, b, activation, upstream):
    """The derivative of ReLU at 0 is to be 0; yours is 1."""
    delta = _back(h, W, b, activation, upstream)
    if activation == "relu":
        delta = upstream * (h @ W.T + b >= 0)
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def length_only(h, W, b, activation, upstream):
    """You compare the lengths. The number of columns counts too, and the number of axes."""
    z = h @ W.T + b
    if len(upstream) != len(z):
        raise ValueError(f"{upstream.shape} instead of {z.shape}")
    delta = upstream * _slope(activation, z)
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def never_refuses(h, W, b, activation, upstream):
    """The derivatives are right. But an `upstream` of another shape must be refused: NumPy stretches it silently."""
    delta = upstream * _slope(activation, h @ W.T + b)
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def says_nothing(h, W, b, activation, upstream):
    """You refuse what has to be refused, but the message must name both shapes: the one there is, and the right one."""
    if upstream.shape != (len(h), len(b)):
        raise ValueError
    delta = _back(h, W, b, activation, upstream)
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.wrong
def in_place(h, W, b, activation, upstream):
    """The derivatives are right, but `upstream` is not what it was: `*=` changes the caller's array."""
    delta = _back(h, W, b, activation, upstream)
    upstream *= _slope(activation, h @ W.T + b)
    return delta @ W, delta.T @ h, delta.sum(axis=0)


@ex.right
def by_outer_products(h, W, b, activation, upstream):
    if np.shape(upstream) != (h.shape[0], W.shape[0]):
        raise ValueError(f"shape {np.shape(upstream)} is not ({h.shape[0]}, {W.shape[0]})")
    dh, dW, db, z = np.zeros(h.shape), np.zeros(W.shape), np.zeros(b.shape), h @ W.T + b
    for n in range(len(h)):
        for unit in range(len(b)):
            delta = upstream[n, unit] * float(_slope(activation, z[n, unit]))
            dh[n] += delta * W[unit]
            dW[unit] += delta * h[n]
            db[unit] += delta
    return dh, dW, db


# %%
check("1.3", layer_backward)

# %% [markdown]
# **Exercise 1.4 ★★** The tool of a gradient check: (1.4), for a function of a whole array.


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
    slopes = np.empty(x.shape)
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
ex.hints(
    "`np.ndindex(x.shape)` runs through all places of an array of any shape.",
    "At each place, call f twice: with this one entry larger, and with it smaller. All others stay as they are.",
    "Whole numbers cannot hold a small step. Make an array of zeros with epsilon at one place, and add it to x.",
)


@ex.cases
def _(rng):
    def quadratic(n):
        return rng.integers(-40, 41, (n, n)).astype(float), rng.integers(-3, 4, n).astype(float)

    yield np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0.0, 3.0]), 0.0, np.array([2.0, 5.0]), 1e-4
    yield *quadratic(1), 2.0, np.array([1.5]), 0.5
    yield *quadratic(4), 3.0, rng.integers(-4, 5, (2, 2)), 0.25
    yield *quadratic(6), 1.0, rng.integers(-4, 5, (3, 2)), 2.0
    yield *quadratic(3), -5.0, rng.integers(-9, 10, 3) / 4, 1e-2
    shapes = [(1,), (4,), (2, 3), (3, 1), (2, 2, 2), (3, 2)]
    for i in range(18):
        shape = shapes[i % 6]
        x = rng.integers(-9, 10, shape) / 4 if i % 3 else rng.integers(-4, 5, shape)
        cubic, epsilon = float(rng.integers(1, 5)), [1e-4, 0.5, 1e-3, 0.125][i % 4]
        yield *quadratic(int(np.prod(shape))), cubic, x, epsilon


ex.shown_as(
    "numerical_gradient(lambda v: np.ravel(v) @ A @ np.ravel(v) + b @ np.ravel(v) + c * np.sum(v**3), x, epsilon)"
)


@ex.drive
def asked(answer, A, b, c, x, epsilon):
    before, steps = x.copy(), []

    def f(v):  # v . A v + b . v + c (v_1 ** 3 + v_2 ** 3 + ...)
        if np.shape(v) != np.shape(before):
            raise ValueError(f"f takes arrays of shape {np.shape(before)}, and was given one of shape {np.shape(v)}")
        steps.append(float(np.max(np.abs(v - before))))
        flat = np.ravel(v).astype(float)
        return float(flat @ A @ flat + b @ flat + c * np.sum(flat**3))

    slopes = answer(f, x) if epsilon == 1e-4 else answer(f, x, epsilon=epsilon)
    largest = float(max(steps, default=0.0))
    return {"gradient": slopes, "x afterwards": x, "largest step / epsilon": largest / epsilon}


@ex.oracle
def _(A, b, c, x, epsilon):
    flat = np.ravel(x).astype(float)
    exact = (A + A.T) @ flat + b + c * (3 * flat**2 + epsilon**2)  # central differences of a cubic
    return {"gradient": exact.reshape(x.shape), "x afterwards": x, "largest step / epsilon": 1.0}


def _entries(f, x, difference, epsilon):
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = epsilon
        slopes[place] = difference(f, x, step) / epsilon
    return slopes


def _central(f, x, step):
    return (f(x + step) - f(x - step)) / 2


@ex.wrong
def one_sided(f, x, epsilon=1e-4):
    """You stepped to one side only: on a curve that leaves an error in proportion to epsilon. Step to both sides."""
    return _entries(f, x, lambda f, x, step: f(x + step) - f(x), epsilon)


@ex.wrong
def not_halved(f, x, epsilon=1e-4):
    """All derivatives are twice what they should be: from one side to the other it is two steps."""
    return _entries(f, x, lambda f, x, step: f(x + step) - f(x - step), epsilon)


@ex.wrong
def half_a_step(f, x, epsilon=1e-4):
    """You step by half of epsilon to either side; epsilon is the step to either side, not from one to the other."""
    return _entries(f, x, lambda f, x, step: f(x + step / 2) - f(x - step / 2), epsilon)


@ex.wrong
def epsilon_ignored(f, x, epsilon=1e-4):
    """The step is always the same, whatever `epsilon` says."""
    return _entries(f, x, _central, 1e-4)


@ex.wrong
def all_at_once(f, x, epsilon=1e-4):
    """Every entry moved at once, so you get one number, the sum of all derivatives. Move one entry, leave the
    others."""
    step = np.full(x.shape, epsilon)
    return np.full(x.shape, (f(x + step) - f(x - step)) / (2 * epsilon))


@ex.wrong
def not_put_back(f, x, epsilon=1e-4):
    """An entry has to be put back before the next one is moved: x is changed afterwards, and later derivatives are
    taken at another place."""
    if x.dtype.kind != "f":
        return _entries(f, x, _central, epsilon)
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
def cut_off_results(f, x, epsilon=1e-4):
    """Right for floats. Where x holds whole numbers, `np.zeros_like(x)` does too, and cuts the derivatives off."""
    return _entries(f, x, _central, epsilon).astype(x.dtype)


@ex.wrong
def flattened(f, x, epsilon=1e-4):
    """The derivatives are right, but the shape is lost: a gradient has the shape of what it is the gradient of."""
    return _entries(f, x, _central, epsilon).ravel()


@ex.right
def by_the_identity_matrix(f, x, epsilon=1e-4):
    steps = np.eye(x.size).reshape(x.size, *x.shape) * epsilon
    return np.array([f(x + step) / 2 - f(x - step) / 2 for step in steps]).reshape(x.shape) / epsilon


@ex.right
def on_a_copy(f, x, epsilon=1e-4):
    copy, found = np.array(x, float), []
    for place, value in np.ndenumerate(x):
        copy[place] = value + epsilon
        above = f(copy)
        copy[place] = value - epsilon
        found.append((above - f(copy)) / (epsilon + epsilon))
        copy[place] = value
    return np.reshape(found, x.shape)


# %%
check("1.4", numerical_gradient)

# %% [markdown]
# **Exercise 1.5 ★★★** A whole backward pass, without help: a network of two layers that answers one question with yes
# or no. It has a single output, a sigmoid, and the loss (1.10). Derive the $\delta$ of the output first; it is as
# simple as (1.13). Then check yourself with your answer to 1.4 before you run the check.


# %%
# Exercise 1.5
def two_layer_gradients(x, y, W1, b1, w2, b2):
    """All gradients of the mean binary cross-entropy of the probabilities
    sigmoid(w2 . tanh(W1 x + b1) + b2).

    x: inputs, floats (batch, inputs). y: truths 0 or 1, (batch,). W1 (units, inputs), b1
    (units,), w2 (units,), b2: a number. The arguments stay as they are.
    Returns a dict with the keys "W1", "b1", "w2", "b2": the derivatives of the mean loss, each
    shaped like the parameter. Raises ValueError where y does not have the shape (batch,); the
    message names the shapes of x and y.
    Example: with x = [[1, 2]], y = [1], W1 = [[0, 0]], b1 = [0], w2 = [4], b2 = 0, the
    probability is 0.5, and the result is {"W1": [[-2, -4]], "b1": [-2], "w2": [0], "b2": -0.5}.
    """
    ### BEGIN SOLUTION
    if y.shape != x.shape[:1]:
        raise ValueError(f"y must have the shape (batch,) where x has {x.shape}, not {y.shape}")
    h = np.tanh(dense(x, W1, b1))
    delta2 = (sigmoid(h @ w2 + b2) - y) / len(x)  # (batch,)
    delta1 = np.outer(delta2, w2) * (1 - h**2)  # (batch, units)
    return {"W1": delta1.T @ x, "b1": delta1.sum(axis=0), "w2": delta2 @ h, "b2": delta2.sum()}
    ### END SOLUTION


# %% tags=["grading"]
import re

from course.exercises import exercise

import numpy as np

ex = exercise("1.5")
ex.hints(
    "The forward pass first; keep h. The delta of the output is the prediction minus the truth, one number an example.",
    "A mean over the batch: divide the delta of the output by the number of examples, once, and then add up.",
    "The delta of the hidden layer is (1.14), where W has a single row: an outer product, times 1 - h ** 2.",
)
KEYS = ("W1", "b1", "w2", "b2")


@ex.cases
def _(rng):
    def some(*shape):
        return rng.integers(-9, 10, shape) / 4

    yield np.array([[1.0, 2.0]]), np.array([1]), np.zeros((1, 2)), np.zeros(1), np.array([4.0]), 0.0
    yield some(3, 2), np.array([1.0, 0.0, 1.0]), some(2, 2), some(2), some(2), -0.5
    yield some(2, 2), np.array([0, 0]), some(2, 2), some(2), some(2), 0.25
    for _ in range(18):
        batch, inputs, units = (int(n) for n in rng.integers(2, 6, 3))
        y = rng.integers(2, size=batch)
        yield some(batch, inputs), y, some(units, inputs), some(units), some(units), float(some())
    for shape in [(4, 1), (1,), (1, 4), (3,), (5,)]:
        yield some(4, 2), rng.integers(2, size=shape), some(3, 2), some(3), some(3), 0.5
    yield some(2, 2), np.array([[0], [1]]), some(3, 2), some(3), some(3), 0.0


ex.shown_as("two_layer_gradients(x, y, W1, b1, w2, b2)")


@ex.drive
def asked(answer, x, y, W1, b1, w2, b2):
    before = [part.copy() for part in (x, y, W1, b1, w2)]
    try:
        found = answer(x, y, W1, b1, w2, b2)
    except ValueError as error:
        missing = {str(n) for n in (*x.shape, *y.shape)} - set(re.findall(r"\d+", str(error)))
        if missing and y.shape != x.shape[:1]:
            return f"a ValueError whose message does not name the shapes of x and y: {str(error)!r}"
        raise
    if not all(map(np.array_equal, before, (x, y, W1, b1, w2))):
        return "gradients, but an argument is not as it was"
    return found


@ex.oracle
def _(x, y, W1, b1, w2, b2):
    # The loss itself, one parameter at a time, by a step in the imaginary direction.
    parameters = W1, b1, w2, b2
    if y.shape != (len(x),):
        raise ValueError("y does not fit")
    found = {}
    for at, key in enumerate(KEYS):
        slopes = np.zeros(np.shape(parameters[at]))
        for place in np.ndindex(slopes.shape):
            W1, b1, w2, b2 = moved = [np.array(value, complex) for value in parameters]
            moved[at][place] += 1e-30j
            z = np.tanh(x @ W1.T + b1) @ w2 + b2
            slopes[place] = np.mean(np.log(1 + np.exp(z)) - y * z).imag / 1e-30
        found[key] = slopes if slopes.shape else float(slopes)
    return found


def _gradients(x, y, W1, b1, w2, b2, last=None, first=None, mean=True, refuse=True):
    if refuse and y.shape != (len(x),):
        raise ValueError(f"{x.shape} and {y.shape}")
    h = np.tanh(x @ W1.T + b1)
    p = 1 / (1 + np.exp(-(h @ w2 + b2)))
    delta2 = (last(p, y) if last else p - y) / (len(x) if mean else 1)
    delta1 = first(delta2, w2, h) if first else np.outer(delta2, w2) * (1 - h**2)
    return {"W1": delta1.T @ x, "b1": delta1.sum(axis=0), "w2": delta2 @ h, "b2": delta2.sum()}


@ex.wrong
def sum_not_mean(x, y, W1, b1, w2, b2):
    """These are the gradients of the sum of the losses; divide by the number of examples for those of the mean."""
    return _gradients(x, y, W1, b1, w2, b2, mean=False)


@ex.wrong
def uphill(x, y, W1, b1, w2, b2):
    """All signs are reversed: the delta of the output is what was predicted minus what was true."""
    return _gradients(x, y, W1, b1, w2, b2, last=lambda p, y: y - p)


@ex.wrong
def squared_error_habit(x, y, W1, b1, w2, b2):
    """The delta of the output has the derivative of the sigmoid in it. That belongs to the squared error; with the
    cross-entropy it cancels against the derivative of the logarithm."""
    return _gradients(x, y, W1, b1, w2, b2, last=lambda p, y: (p - y) * p * (1 - p))


@ex.wrong
def loss_by_p(x, y, W1, b1, w2, b2):
    """This is the derivative of the loss by the probability. One more step back, through the sigmoid, and you have the
    delta."""
    return _gradients(x, y, W1, b1, w2, b2, last=lambda p, y: (p - y) / (p * (1 - p)))


@ex.wrong
def slope_forgotten(x, y, W1, b1, w2, b2):
    """The gradients of w2 and b2 are right. In the hidden layer the derivative of tanh is missing."""
    return _gradients(x, y, W1, b1, w2, b2, first=lambda delta, w2, h: np.outer(delta, w2))


@ex.wrong
def slope_of_the_output(x, y, W1, b1, w2, b2):
    """The derivative of tanh is 1 - tanh(z)^2, and h is tanh(z) already: you took tanh once more."""
    return _gradients(x, y, W1, b1, w2, b2, first=lambda delta, w2, h: np.outer(delta, w2) * (1 - np.tanh(h) ** 2))


@ex.wrong
def sigmoid_slope(x, y, W1, b1, w2, b2):
    """h (1 - h) is the derivative of a sigmoid; the hidden units are tanh."""
    return _gradients(x, y, W1, b1, w2, b2, first=lambda delta, w2, h: np.outer(delta, w2) * h * (1 - h))


@ex.wrong
def weights_forgotten(x, y, W1, b1, w2, b2):
    """The error signal goes back along the lines on which the activation went forward, so each unit's share is
    multiplied by its weight in w2."""
    return _gradients(x, y, W1, b1, w2, b2, first=lambda delta, w2, h: delta[:, None] * (1 - h**2))


@ex.wrong
def length_only(x, y, W1, b1, w2, b2):
    """You compare lengths. A column (batch, 1) has the right length too, and NumPy makes a table of it."""
    if len(y) != len(x):
        raise ValueError(f"{x.shape} and {y.shape}")
    return _gradients(x, np.resize(y, len(x)), W1, b1, w2, b2)


@ex.wrong
def never_refuses(x, y, W1, b1, w2, b2):
    """The gradients are right, but a y of another shape must be refused: minus a column, NumPy makes a whole table of
    the probabilities, and no error."""
    if y.shape == (len(x),):
        return _gradients(x, y, W1, b1, w2, b2)
    return _gradients(x, np.resize(y, len(x)), W1, b1, w2, b2)


@ex.wrong
def says_nothing(x, y, W1, b1, w2, b2):
    """You refuse what has to be refused, but the message must name the shapes of x and y."""
    if y.shape != x.shape[:1]:
        raise ValueError("wrong shape")
    return _gradients(x, y, W1, b1, w2, b2)


@ex.right
def example_by_example(x, y, W1, b1, w2, b2):
    if np.ndim(y) != 1 or len(y) != len(x):
        raise ValueError(f"{np.shape(y)} does not go with {np.shape(x)}")
    total = {key: np.zeros(np.shape(value)) for key, value in zip(KEYS, (W1, b1, w2, b2))}
    for row, truth in zip(x, y):
        z = W1 @ row + b1
        logit = float(np.sum(w2 * np.tanh(z)) + b2)
        delta = 1 / (1 + np.exp(-logit)) - truth
        back = delta * w2 / np.cosh(z) ** 2
        for key, value in zip(KEYS, (np.outer(back, row), back, delta * np.tanh(z), delta)):
            total[key] = total[key] + value / len(x)
    return total


# %%
check("1.5", two_layer_gradients)

# %% [markdown]
# **Exercise 1.6 ★★** Debug it: softmax applied twice once more, this time in NumPy and with the gradient written by
# hand. The function is to take logits; its author wanted to be careful about overflow, and careful twice. Repair it.


# %%
# Exercise 1.6
def loss_and_delta(z, labels):
    """The mean cross-entropy of logits, and its gradient with respect to them.

    z: logits (batch, classes), of any size. labels: whole numbers (batch,). Neither is
    changed. Returns the mean loss, a number, and its gradient with respect to z, (batch,
    classes).
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
ex.hints(
    "Name each line: which of them holds logits, which probabilities, which logarithms of probabilities?",
    "`log_p` is a logarithm of a softmax. Of what? It should be of the logits.",
    "Take the line out that makes probabilities of the logits, and let what follows start from the logits.",
)


@ex.cases
def _(rng):
    yield np.zeros((1, 2)), np.array([0])
    yield np.array([[1000.0, 0.0, 999.0]]), np.array([2])
    yield np.array([[0.0, 900.0], [-900.0, 0.0]]), np.array([0, 1])
    yield np.array([[-800.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), np.array([0, 2])
    for _ in range(18):
        batch, classes = (int(n) for n in rng.integers(2, 6, 2))
        z = rng.integers(-99, 100, (batch, classes)) / 50 * float(rng.choice([1, 5]))
        yield z, rng.integers(classes, size=batch)


ex.shown_as("loss_and_delta(z, labels)")


@ex.drive
def asked(answer, z, labels):
    before = z.copy(), labels.copy()
    found = answer(z, labels)
    if not (np.array_equal(before[0], z) and np.array_equal(before[1], labels)):
        return "z or labels is not as it was"
    return found


@ex.oracle
def _(z, labels):
    truth = np.eye(z.shape[1])[labels]
    return float(np.mean(logsumexp(z, axis=1) - np.sum(z * truth, axis=1))), (softmax(z, axis=1) - truth) / len(z)


@ex.wrong
def softmax_twice(z, labels):
    """Softmax is still applied twice: the logarithm is taken of a softmax of probabilities, not of logits."""
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
    """The loss is right now. The delta is still that of the doubled softmax: it needs the same probabilities as the
    loss."""
    delta = softmax(softmax(z, axis=1), axis=1)
    delta[np.arange(len(z)), labels] -= 1
    return _both(z, labels, delta=delta / len(z))


@ex.wrong
def loss_still_twice(z, labels):
    """The delta is right now. The loss still takes the softmax of a softmax."""
    return _both(z, labels, log_p=np.log(softmax(softmax(z, axis=1), axis=1)))


@ex.wrong
def shift_lost(z, labels):
    """One softmax is left, and it overflows: with it you have thrown out the subtraction of the largest logit."""
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    delta = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    delta[np.arange(len(z)), labels] -= 1
    return _both(z, labels, log_p, delta / len(z))


@ex.wrong
def log_of_rounded(z, labels):
    """One softmax is left, but its probabilities are rounded before the logarithm is taken, and a confident mistake
    costs infinity. Keep log_p, and let it start from the logits."""
    return _both(z, labels, log_p=np.log(softmax(z, axis=1)))


@ex.wrong
def no_softmax(z, labels):
    """Now no softmax is left: subtracting the largest logit alone does not make probabilities."""
    shifted = z - z.max(axis=1, keepdims=True)
    delta = np.exp(shifted)
    delta[np.arange(len(z)), labels] -= 1
    return _both(z, labels, shifted, delta / len(z))


@ex.wrong
def mean_forgotten(z, labels):
    """The loss is a mean over the batch, so its gradient has to be divided by the number of examples."""
    return _both(z, labels, delta=softmax(z, axis=1) - np.eye(z.shape[1])[labels])


@ex.wrong
def through_the_first_softmax(z, labels):
    """You mended the gradient of the doubled softmax, but the doubled softmax itself is the mistake."""
    p = softmax(z, axis=1)
    inner = softmax(p, axis=1) - np.eye(z.shape[1])[labels]
    delta = p * (inner - np.sum(p * inner, axis=1, keepdims=True))
    return _both(z, labels, np.log(softmax(p, axis=1)), delta / len(z))


@ex.right
def row_by_row(z, labels):
    losses, slopes = [], []
    for row, label in zip(z, labels):
        total = np.logaddexp.reduce(row)
        losses.append(total - row[label])
        slopes.append([np.exp(logit - total) - (i == label) for i, logit in enumerate(row)])
    return sum(losses) / len(losses), np.array(slopes) / len(slopes)


# %%
check("1.6", loss_and_delta)

# %% [markdown]
# **Exercise 1.7 ★★** Now in Keras, with the trap of "Debug it" avoided: a classifier of any depth that puts out logits,
# and a loss that knows it.


# %%
# Exercise 1.7
def make_classifier(inputs, hidden, classes, learning_rate=0.1):
    """A compiled Keras model: a multi-layer perceptron that puts out logits.

    inputs: how many numbers an example has. hidden: list of the units of each hidden layer, in
    order, perhaps empty, which stays as it is; they are Dense layers with tanh. classes: at
    least 2; the last layer is Dense and puts out a logit for each, without activation function.
    It is compiled with plain gradient descent (SGD) of this learning rate, and as its loss
    with the cross-entropy of its logits and of labels that are whole numbers (batch,).
    Raises ValueError where classes is less than 2.
    Example: make_classifier(4, [5], 3).count_params() is 43.
    """
    ### BEGIN SOLUTION
    if classes < 2:
        raise ValueError(f"there must be at least two classes, and there are {classes}")
    layers = [keras.layers.Dense(units, activation="tanh") for units in hidden]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(classes)])
    model.compile(
        keras.optimizers.SGD(learning_rate), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model
    ### END SOLUTION


# %% tags=["grading"]
from course.exercises import exercise

import keras
import numpy as np

ex = exercise("1.7", rtol=1e-3, atol=1e-4)
ex.hints(
    "Begin with a list of layers: a Dense layer with tanh for each number in `hidden`, then the last one.",
    'The name "sparse_categorical_crossentropy" stands for a loss that expects probabilities. Look for its class.',
    "`keras.losses.SparseCategoricalCrossentropy` has an argument that says it gets logits.",
)


@ex.cases
def _(rng):
    def network(*sizes):
        return [
            value
            for inputs, units in zip(sizes, sizes[1:])
            for value in (rng.integers(-6, 7, (inputs, units)) / 4, rng.integers(-4, 5, units) / 4)
        ]

    def case(sizes, rate):
        x, labels = rng.integers(-4, 5, (6, sizes[0])) / 2, rng.integers(sizes[-1], size=6)
        return sizes[0], list(sizes[1:-1]), sizes[-1], rate, network(*sizes), x, labels

    yield case((4, 5, 3), 0.1)
    yield case((3, 2), 0.5)
    yield case((2, 3, 4, 2), 0.05)
    yield case((1, 2, 2), 1.0)
    yield 3, [2], 1, 0.1, [], np.zeros((1, 3)), np.zeros(1, int)
    yield 3, [], 0, 0.5, [], np.zeros((1, 3)), np.zeros(1, int)
    for _ in range(4):
        yield case(tuple(int(n) for n in rng.integers(2, 6, rng.integers(2, 5))), float(rng.choice([0.2, 0.4])))


ex.shown_as(
    "model = make_classifier(inputs, hidden, classes, rate)\n"
    "model.set_weights(weights)\n"
    "model.train_on_batch(x, labels)"
)


@ex.drive
def used(answer, inputs, hidden, classes, rate, weights, x, labels):
    asked = list(hidden)
    model = answer(inputs, asked, classes) if rate == 0.1 else answer(inputs, asked, classes, learning_rate=rate)
    shapes = [tuple(int(n) for n in weight.shape) for weight in model.trainable_weights]
    if asked != list(hidden):
        return "a model, but the list `hidden` is not as it was"
    found = {"shapes of the weights": shapes, "output": None, "loss of a step": None, "weights after two": None}
    if shapes != [np.shape(value) for value in weights]:
        return found
    model.set_weights([value.astype("float32") for value in weights])
    model.run_eagerly = True
    x = x.astype("float32")
    found["output"] = model(x)
    found["loss of a step"] = float(np.ravel(model.train_on_batch(x, labels))[0])
    model.train_on_batch(x, labels)
    found["weights after two"] = model.get_weights()
    return found


@ex.oracle
def _(inputs, hidden, classes, rate, weights, x, labels):
    if classes < 2:
        raise ValueError("classes")

    def output(weights):
        h = x
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2]):
            h = np.tanh(h @ kernel + bias)
        return h @ weights[-2] + weights[-1]

    def loss(weights):
        z = output(weights)
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(z)), labels])

    def step(weights):
        after = []
        for at, value in enumerate(weights):
            slopes = np.zeros(value.shape)
            for place in np.ndindex(value.shape):
                moved = [part.astype(complex) for part in weights]
                moved[at][place] += 1e-30j
                slopes[place] = loss(moved).imag / 1e-30
            after.append(value - rate * slopes)
        return after

    return {
        "shapes of the weights": [value.shape for value in weights],
        "output": output(weights),
        "loss of a step": float(loss(weights)),
        "weights after two": step(step(weights)),
    }


def _model(inputs, hidden, classes, rate, activation="tanh", last=None, loss=None, optimiser=None):
    if classes < 2:
        raise ValueError("classes")
    layers = [keras.layers.Dense(units, activation) for units in hidden]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(classes, last)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
    model.compile((optimiser or keras.optimizers.SGD)(rate), loss)
    return model


@ex.wrong
def softmax_within(inputs, hidden, classes, learning_rate=0.1):
    """The output is made of probabilities: the last layer has a softmax. It is to put out logits."""
    return _model(inputs, hidden, classes, learning_rate, last="softmax", loss="sparse_categorical_crossentropy")


@ex.wrong
def softmax_twice(inputs, hidden, classes, learning_rate=0.1):
    """This is the model of "Debug it": softmax in the last layer, and once more in the loss."""

    def loss(labels, output):
        chosen = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(labels, (-1,)), "int32"), classes)
        return -keras.ops.sum(chosen * keras.ops.log_softmax(output), axis=-1)

    return _model(inputs, hidden, classes, learning_rate, last="softmax", loss=loss)


@ex.wrong
def no_softmax_at_all(inputs, hidden, classes, learning_rate=0.1):
    """The output is right. But the loss takes the logits for probabilities: tell it what it gets."""
    return _model(inputs, hidden, classes, learning_rate, loss="sparse_categorical_crossentropy")


@ex.wrong
def with_momentum(inputs, hidden, classes, learning_rate=0.1):
    """The first step is right, the second is not: plain gradient descent has no momentum."""
    return _model(
        inputs, hidden, classes, learning_rate, optimiser=lambda rate: keras.optimizers.SGD(rate, momentum=0.9)
    )


@ex.wrong
def relu_units(inputs, hidden, classes, learning_rate=0.1):
    """The hidden layers have ReLU; asked for is tanh."""
    return _model(inputs, hidden, classes, learning_rate, activation="relu")


@ex.wrong
def linear_units(inputs, hidden, classes, learning_rate=0.1):
    """The hidden layers have no activation function, so by (1.6) they are worth nothing."""
    return _model(inputs, hidden, classes, learning_rate, activation=None)


@ex.wrong
def tanh_at_the_end(inputs, hidden, classes, learning_rate=0.1):
    """The last layer has an activation function too, so that no logit can leave the interval from -1 to 1."""
    return _model(inputs, hidden, classes, learning_rate, last="tanh")


@ex.wrong
def without_input(inputs, hidden, classes, learning_rate=0.1):
    """Your model has no weights yet, for nothing tells it how many numbers come in: keras.Input does."""
    if classes < 2:
        raise ValueError("classes")
    model = keras.Sequential([*(keras.layers.Dense(units, "tanh") for units in hidden), keras.layers.Dense(classes)])
    model.compile(keras.optimizers.SGD(learning_rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@ex.wrong
def rate_ignored(inputs, hidden, classes, learning_rate=0.1):
    """Output and loss are right, and the step has the wrong size: `learning_rate` is not used."""
    return _model(inputs, hidden, classes, 0.01)


@ex.wrong
def adam(inputs, hidden, classes, learning_rate=0.1):
    """Output and loss are right, but the optimiser is not plain gradient descent: (1.12) is called SGD in Keras."""
    return _model(inputs, hidden, classes, learning_rate, optimiser=keras.optimizers.Adam)


@ex.wrong
def first_hidden_only(inputs, hidden, classes, learning_rate=0.1):
    """`hidden` is a list: there is one hidden layer for each number in it, and none where it is empty."""
    return _model(inputs, (hidden or [classes])[:1], classes, learning_rate)


@ex.wrong
def in_place(inputs, hidden, classes, learning_rate=0.1):
    """The model is right, but the caller's list `hidden` is longer or shorter than it was: work on a copy."""
    model = _model(inputs, hidden, classes, learning_rate)
    hidden.append(classes)
    return model


@ex.wrong
def never_refuses(inputs, hidden, classes, learning_rate=0.1):
    """The model is right, but fewer than two classes have to be refused with a ValueError. Dense accepts one unit, and
    for 0 it raises an error of its own, or none."""
    model = _model(inputs, hidden, max(classes, 2), learning_rate)
    return model if classes >= 2 else _model(inputs, hidden, 2, learning_rate)


@ex.right
def functional(inputs, hidden, classes, learning_rate=0.1):
    if classes <= 1:
        raise ValueError("one class needs no classifier")
    x = h = keras.Input((inputs,))
    for units in hidden:
        h = keras.layers.Activation("tanh")(keras.layers.Dense(units)(h))
    model = keras.Model(x, keras.layers.Dense(classes)(h))
    optimiser = keras.optimizers.SGD(learning_rate=learning_rate)
    model.compile(
        optimizer=optimiser,
        loss=lambda labels, z: keras.losses.sparse_categorical_crossentropy(labels, z, from_logits=True),
    )
    return model


# %%
check("1.7", make_classifier)

# %% [markdown]
# ## Summary card
#
# | what | in one line | number |
# |---|---|---|
# | neuron | $h=f(w\cdot x+b)$ | (1.1) |
# | activation functions | $\sigma$, $\tanh$, ReLU | (1.2) |
# | their derivatives | $\sigma(1-\sigma)$, $1-\tanh^2$, 1 or 0 | (1.3) |
# | central difference | $\bigl(f(z+\varepsilon)-f(z-\varepsilon)\bigr)/2\varepsilon$ | (1.4) |
# | layer | $z_l=\mathbf{W}_lh_{l-1}+b_l$, $h_l=f(z_l)$ | (1.5) |
# | without activation | two layers are one: $\mathbf{W}_2\mathbf{W}_1$ | (1.6) |
# | softmax | $\hat{y}_i=e^{z_i}/\sum_je^{z_j}$; a common shift changes nothing | (1.7), (1.8) |
# | cross-entropy | $-\log\hat{y}_\text{true}$; two classes: $-y\log\hat{y}-(1-y)\log(1-\hat{y})$ | (1.9), (1.10) |
# | empirical risk | $L(\theta)$, the mean loss | (1.11) |
# | gradient descent | $\theta\leftarrow\theta-\alpha\nabla_\theta L$ | (1.12) |
# | error signal, last layer | $\delta_\Lambda=\hat{y}-y$ | (1.13) |
# | one layer back | $\delta_l=(\mathbf{W}_{l+1}^\mathsf{T}\delta_{l+1})\odot f'(z_l)$ | (1.14) |
# | gradients | $\delta_lh_{l-1}^\mathsf{T}$ and $\delta_l$ | (1.15) |
# | softmax twice | the loss stays above $\log(1+(\text{classes}-1)/e)$ | (1.16) |
#
# ## References
#
# - Bridle, *Probabilistic interpretation of feedforward classification network outputs*, 1990.
# - Goodfellow, Bengio, Courville, *Deep learning*, 2016, chapter 6.
# - LeCun, Bottou, Bengio, Haffner, *Gradient-based learning applied to document recognition*, 1998.
# - Linnainmaa, *Taylor expansion of the accumulated rounding error*, 1976.
# - Rosenblatt, *The perceptron*, 1958.
# - Rumelhart, Hinton, Williams, *Learning representations by back-propagating errors*, 1986.
