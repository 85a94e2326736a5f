"""Batch norm layers that are vouched for, and the seed's class as it was: subjects of the suite, code to learn from.

Each implementation file stands alone: it needs NumPy or torch, and nothing of this package. Start with
`numpy_batchnorm` for the formulas, go on to `torch_batchnorm` for the same layer under autograd, and read
`seed_batchnorm` for what can be wrong with one that trains well.
"""

from __future__ import annotations

REFERENCES: dict[str, str] = {
    "numpy": "bnspec.reference.numpy_batchnorm:BatchNorm",
    "torch": "bnspec.reference.torch_batchnorm:BatchNorm1d",
    "seed": "bnspec.reference.seed_batchnorm:BatchNorm1d",
}
