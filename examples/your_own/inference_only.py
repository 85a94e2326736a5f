"""A layer that only infers.

bnspec certify examples/your_own/inference_only.py:Frozen --dialect timm-frozen --without gradients
"""

import numpy as np


class Frozen:
    """Normalises by statistics that were learned elsewhere, whatever its mode, and stores nothing."""

    bnspec_ranks = (4,)

    def __init__(self, num_features, eps=1e-5, dtype=np.float32):
        self.eps, self.training = eps, False
        self.gamma, self.running_var = np.ones(num_features, dtype), np.ones(num_features, dtype)
        self.beta, self.running_mean = np.zeros(num_features, dtype), np.zeros(num_features, dtype)

    def forward(self, x):
        if x.dtype.kind != "f" or x.ndim != 4 or x.shape[1] != len(self.gamma):
            raise ValueError(f"a floating-point batch (N, {len(self.gamma)}, H, W) is wanted, not {x.dtype} {x.shape}")
        scale = self.gamma / np.sqrt(self.running_var + self.eps)
        centred = x - self.running_mean[:, None, None]
        return (centred * scale[:, None, None] + self.beta[:, None, None]).astype(x.dtype)
