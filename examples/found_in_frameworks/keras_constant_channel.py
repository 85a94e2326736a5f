"""N2: keras: E[x^2] - E[x]^2 is rounded below -eps where a channel is constant (backends torch and numpy)."""

import keras
import numpy as np

x = np.full((7, 1), 1000.1, np.float32)
y = keras.layers.BatchNormalization(epsilon=1e-5)(x, training=True)
print("backend", keras.config.backend())
print("got", keras.ops.convert_to_numpy(y).ravel().tolist(), "wanted", [0.0] * 7)
