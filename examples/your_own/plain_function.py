"""A plain function of NumPy arrays: bnspec certify examples/your_own/plain_function.py:batch_norm"""

import numpy as np


def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """y; in training the running statistics are updated in place."""
    if x.dtype.kind != "f" or x.ndim < 2 or x.shape[1] != len(gamma):
        raise ValueError(f"a floating-point batch (N, {len(gamma)}, ...) is wanted, not {x.dtype} {x.shape}")
    axes, shape, m = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2)), x.size // len(gamma)
    mean, var = running_mean, running_var
    if training and m:
        if m == 1:
            raise ValueError("one value per channel has no variance")
        mean, var = x.mean(axes), x.var(axes)
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * m / (m - 1) - running_var)
    rstd = 1 / np.sqrt(var + eps)
    y = (x - mean.reshape(shape)) * (gamma * rstd).reshape(shape) + beta.reshape(shape)
    return y.astype(x.dtype)
