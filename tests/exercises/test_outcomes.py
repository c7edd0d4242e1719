"""What is kept of an exception that an answer raised."""

import pytest

from course.exercises.outcomes import Outcome, Raised, is_open


def raised(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return Raised.of(error)
    raise AssertionError("it raised nothing")


@pytest.fixture(scope="module")
def layers():
    import keras

    class Inner(keras.layers.Layer):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def call(self, x):
            raise self.error

    class Outer(Inner):
        def call(self, x):
            return Inner(self.error)(x)

    return Inner, Outer


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("message", ["", "stride is 0", "two\nlines", "Arguments received by nobody"])
def test_keras_puts_words_around_what_a_layer_raises_and_they_are_taken_off(layers, depth, message):
    import numpy as np

    found = raised(layers[depth](ValueError(message)), np.ones((1, 2), "float32"))
    assert found.names[0] == "ValueError" and found.message == (message.splitlines() or [""])[0]
    assert found.unnamed(["0"]) == ([] if "0" in message else ["0"])


@pytest.mark.parametrize("depth", [0, 1])
def test_a_layer_that_is_not_begun_is_open(layers, depth):
    import numpy as np

    x = np.ones((1, 2), "float32")
    assert is_open([Outcome(raised=raised(layers[depth](NotImplementedError()), x))])
    assert not is_open([Outcome(raised=raised(layers[depth](NotImplementedError("no padding yet")), x))])
