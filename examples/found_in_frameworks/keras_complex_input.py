"""B3: keras takes complex input and drops the imaginary part, without an error."""

import keras
import numpy as np

x = np.array([[1 + 1j], [1 - 1j]], np.complex64)  # what tells the values apart is imaginary
y = keras.layers.BatchNormalization(epsilon=1e-5)(x, training=True)
print("got", keras.ops.convert_to_numpy(y).ravel().tolist(), "wanted", [1j, -1j], "or an error")
