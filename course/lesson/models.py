"""What several chapters do with a finished model."""

import numpy as np


def predict(model, x, size=500):
    """What a model makes of `x`, outside training, as an array: its outputs (N, ...) for inputs x (N, ...).

    model: a Keras model or layer with one input and one output; its noise layers rest. It is asked `size` rows at a
    time and called directly: Keras's own `predict` compiles a function for every model, which pays off only where a
    model is asked often. Raises ValueError where x has no rows, or size is less than 1.
    """
    import keras

    if len(x) == 0:
        raise ValueError(f"x has no rows: its shape is {np.shape(x)}")
    if size < 1:
        raise ValueError(f"size is {size}: the model must be asked 1 row at a time or more")
    parts = [model(x[i : i + size], training=False) for i in range(0, len(x), size)]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])


def rewinder(model):
    """A function that gives a compiled model back the weights and the state of the optimiser that it has now.

    To train it again and again from there takes a fraction of the time of building and compiling it anew. Layers that
    draw random numbers (dropout) go on drawing new ones. Raises ValueError where the optimiser is missing or not built,
    and when the model has got another one since.
    """
    import keras

    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.built:
        raise ValueError("compile the model first, and call model.optimizer.build(model.trainable_variables)")
    variables = [*model.weights, *optimizer.variables]
    values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]

    def rewind():
        if model.optimizer is not optimizer:
            raise ValueError("the model has been compiled with another optimiser since: make a new rewinder")
        for variable, value in zip(variables, values):
            variable.assign(value)

    return rewind
