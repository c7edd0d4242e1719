"""One derivative for all three backends."""


def gradient(f, x):
    """The gradient of the scalar function `f` at `x`, a tensor of the shape of `x`.

    f: maps a tensor to a scalar tensor, by `keras.ops` or Keras layers. x: array or tensor of floats, any shape.
    Works on the TensorFlow, JAX and PyTorch backends, and inside an outer `gradient` (second derivatives).
    Raises ValueError where f(x) is not a scalar.
    """
    import keras

    def scalar(x):
        y = keras.ops.convert_to_tensor(f(x))
        if tuple(y.shape) not in ((), (1,)):
            raise ValueError(f"gradient needs a scalar, and f(x) has shape {tuple(y.shape)}: sum or average it first")
        return keras.ops.reshape(y, ())

    x = keras.ops.convert_to_tensor(x)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = scalar(x)
        return tape.gradient(y, x, unconnected_gradients="zero")
    if backend == "jax":
        import jax

        return jax.grad(scalar)(x)
    if backend == "torch":
        import torch

        if not x.requires_grad:
            x = x.detach().requires_grad_()
        (g,) = torch.autograd.grad(scalar(x), x, create_graph=True, materialize_grads=True)
        return g
    raise RuntimeError(f"gradient knows the backends tensorflow, jax and torch, not {backend!r}")
