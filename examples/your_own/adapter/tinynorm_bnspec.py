"""The adapter: makes of tinynorm.normalise a NumPy layer, with the channel on axis 1."""

import numpy as np


class Layer:
    """What normalise goes by, held by one object."""

    bnspec_dialect, bnspec_channel_axis, bnspec_without = "flax", -1, ("gradients",)
    bnspec_ranks, bnspec_dtypes, training = (2, 3, 4, 5), ("float32", "float64"), True

    def __init__(self, channels, decay=0.9, epsilon=1e-5, dtype=np.float32):
        self.gamma, self.running_var = np.ones(channels, dtype), np.ones(channels, dtype)
        self.beta, self.running_mean = np.zeros(channels, dtype), np.zeros(channels, dtype)
        self.settings = decay, epsilon

    def forward(self, x):
        from tinynorm import normalise

        last, held = (
            np.moveaxis(x, 1, -1) if x.ndim > 1 else x,
            (self.gamma, self.beta, self.running_mean, self.running_var),
        )
        y, self.running_mean, self.running_var = normalise(last, *held, self.training, *self.settings)
        return np.moveaxis(y, -1, 1)


def adapt(obj):
    """None where the object is none of ours, so that other adapters are asked."""
    return Layer if getattr(obj, "__module__", "") == "tinynorm" and obj.__name__ == "normalise" else None
