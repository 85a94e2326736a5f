"""A pair of functions as courses have them: bnspec certify examples/your_own/forward_and_backward.py:BatchNorm"""

import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    """y and a cache; the mode, eps, momentum and the running statistics are in the dictionary."""
    if x.dtype.kind != "f" or x.ndim != 2 or x.shape[1] != len(gamma):
        raise ValueError(f"a floating-point batch (N, {len(gamma)}) is wanted, not {x.dtype} {x.shape}")
    training, eps, momentum = bn_param["mode"] == "train", bn_param["eps"], bn_param["momentum"]
    mean, var = bn_param["running_mean"], bn_param["running_var"]
    if training and len(x):
        mean, var = x.mean(axis=0), x.var(axis=0)
        bn_param["running_mean"] = momentum * bn_param["running_mean"] + (1 - momentum) * mean
        bn_param["running_var"] = momentum * bn_param["running_var"] + (1 - momentum) * var
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mean) * rstd
    return (gamma * xhat + beta).astype(x.dtype), (xhat, rstd, gamma, training)


def batchnorm_backward(dy, cache):
    """dx, dgamma, dbeta."""
    xhat, rstd, gamma, training = cache
    dgamma, dbeta = (dy * xhat).sum(axis=0), dy.sum(axis=0)
    if training and len(dy):
        dy = dy - dbeta / len(dy) - xhat * dgamma / len(dy)
    return gamma * rstd * dy, dgamma, dbeta


class BatchNorm:
    """What bnspec is given: the arrays of one layer, and the two functions."""

    bnspec_dialect = "keras"

    def __init__(self, num_features, momentum=0.9, eps=1e-5, dtype=np.float64):
        self.gamma, self.beta = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.running_mean, self.running_var = np.zeros(num_features, dtype), np.ones(num_features, dtype)
        self.momentum, self.eps, self.training = momentum, eps, True

    def __call__(self, x):
        names = ("running_mean", "running_var", "momentum", "eps")
        bn_param = {name: getattr(self, name) for name in names} | {"mode": "train" if self.training else "test"}
        y, self.cache = batchnorm_forward(x, self.gamma, self.beta, bn_param)
        self.running_mean, self.running_var = bn_param["running_mean"], bn_param["running_var"]
        return y

    def backward(self, dy):
        """dx, dgamma, dbeta."""
        return batchnorm_backward(dy, self.cache)
