"""Wrong torch layers that show under odd layouts and bad input. Each overrides a step or two of a right one."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_inputs.py)

from __future__ import annotations

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm


# ---- not finite
class NanSwallowed(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return super().statistics(values.nan_to_num())


class OneHotProduct(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return super().statistics(torch.eye(len(values), dtype=values.dtype, device=values.device) @ values)
