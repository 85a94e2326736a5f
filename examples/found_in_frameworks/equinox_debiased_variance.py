"""R2: equinox, mode="batch": the debiased variance starts at 1, so that 0.99/(1 - 0.99) is added after one batch."""

import equinox as eqx
import jax
import numpy as np

layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(1, axis_name="n", mode="batch")  # momentum 0.99
x = np.array([[-1.0], [1.0]], np.float32)  # mean 0, variance 1
over_batch = {"axis_name": "n", "in_axes": (0, None), "out_axes": (0, None)}
trained, state = jax.vmap(layer, **over_batch)(x, state)
evaluated, _ = jax.vmap(eqx.nn.inference_mode(layer), **over_batch)(x, state)
print("got", np.asarray(evaluated).ravel().tolist(), "wanted", np.asarray(trained).ravel().tolist())
