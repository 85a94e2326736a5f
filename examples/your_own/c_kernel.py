"""A kernel in C behind ctypes: bnspec certify examples/your_own/c_kernel.py:BatchNorm"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

FOLDER = tempfile.TemporaryDirectory()  # kept as long as the library is used
LIBRARY = Path(FOLDER.name, "batch_norm.so")
SOURCE = Path(__file__).with_name("batch_norm.c")
subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", LIBRARY, SOURCE, "-lm"], check=True)
KERNEL = ctypes.CDLL(str(LIBRARY)).batch_norm
KERNEL.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_size_t] * 3 + [ctypes.c_float] * 2 + [ctypes.c_int]


class BatchNorm:
    """What the kernel needs, in the shape of a NumPy layer; the kernel has no backward."""

    bnspec_ranks, bnspec_dtypes, bnspec_without = (2, 3, 4, 5), ("float32",), ("gradients",)

    def __init__(self, num_features, momentum=0.1, eps=1e-5):
        self.momentum, self.eps, self.training = momentum, eps, True
        self.gamma, self.running_var = (np.ones(num_features, np.float32) for _ in range(2))
        self.beta, self.running_mean = (np.zeros(num_features, np.float32) for _ in range(2))

    def forward(self, x):
        channels = len(self.gamma)
        if x.dtype != np.float32 or x.ndim < 2 or x.shape[1] != channels or (self.training and x.size == channels):
            raise ValueError(f"a float32 batch (N, {channels}, ...) of more than one value is wanted, not {x.shape}")
        x = np.ascontiguousarray(x)
        y, d = np.empty_like(x), int(np.prod(x.shape[2:]))
        arrays = (x, y, self.gamma, self.beta, self.running_mean, self.running_var)
        held = [np.ascontiguousarray(a) for a in arrays]  # a buffer may have been replaced by a strided one
        KERNEL(*(a.ctypes.data for a in held), len(x), channels, d, self.momentum, self.eps, self.training)
        for own, array in zip(arrays[4:], held[4:], strict=True):
            own[...] = array
        return held[1]
