"""B3: haiku takes complex input and divides by the root of E[x^2] - E[x]^2, which is no variance of it, nor real."""

import haiku as hk
import jax
import numpy as np

x = np.array([[1 + 1j], [-1 - 1j], [1 - 1j], [-1 + 1j]], np.complex64)  # mean 0, mean of |x|^2 2, mean of x^2 0
run = hk.transform_with_state(lambda x: hk.BatchNorm(False, False, 0.9)(x, is_training=True))
_, state = run.init(jax.random.key(0), x)
y, _ = run.apply({}, state, None, x)
print("got", np.abs(np.asarray(y)).ravel().tolist(), "wanted", [1.0] * 4, "or an error")
