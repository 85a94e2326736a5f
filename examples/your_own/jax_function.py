"""A batch norm as a function of JAX arrays, which returns y and the new running statistics."""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames="training")
def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """x is (N, C, ...); the variance that is stored is unbiased, as in torch."""
    axes, shape, m = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2), x.size // max(x.shape[1], 1)
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.shape[1:2] != running_mean.shape or (training and m == 1):
        raise ValueError(f"no batch of {running_mean.size} channels: {x.shape} of {x.dtype}")
    mean, var = running_mean, running_var
    if training and m:
        mean, var = x.mean(axes), x.var(axes)
        running_mean = running_mean + momentum * (mean - running_mean)
        running_var = running_var + momentum * (var * m / (m - 1) - running_var)
    scale = gamma * jax.lax.rsqrt(var + eps)
    y = (x - mean.reshape(shape)) * scale.reshape(shape) + beta.reshape(shape)
    return y, {"running_mean": running_mean, "running_var": running_var}
