"""N2: haiku: E[x^2] - E[x]^2 is rounded below -eps where a channel is constant, and nothing keeps it from that."""

import haiku as hk
import jax
import numpy as np

x = np.full((9, 1), 1000.1, np.float32)
run = hk.transform_with_state(lambda x: hk.BatchNorm(True, True, 0.9)(x, is_training=True))
parameters, state = run.init(jax.random.key(0), x)
y, _ = run.apply(parameters, state, None, x)
print("got", np.asarray(y).ravel().tolist(), "wanted", [0.0] * 9)
