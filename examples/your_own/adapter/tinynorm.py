"""A framework of its own kind: no layer, statistics go in and come out, channel last, momentum weighs the old."""

import numpy as np


def normalise(x, scale, offset, mean, var, train, decay=0.9, epsilon=1e-5):
    """y and the new statistics."""
    if x.dtype.kind != "f" or x.ndim < 2 or x.shape[-1] != len(scale):
        raise ValueError(f"a floating-point batch (..., {len(scale)}) is wanted, not {x.dtype} {x.shape}")
    axes = tuple(range(x.ndim - 1))
    batch_mean, batch_var = (x.mean(axes), x.var(axes)) if train else (mean, var)
    y = (x - batch_mean) / np.sqrt(batch_var + epsilon) * scale + offset
    if train:
        mean, var = decay * mean + (1 - decay) * batch_mean, decay * var + (1 - decay) * batch_var
    return y.astype(x.dtype), mean, var
