"""Layers of timm and torchvision, beside a torch that torchvision's compiled operators do not fit: they need none."""

from __future__ import annotations

from functools import partial

import torch

_operators = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch leaves it untyped
for _name in ("nms", "qnms"):  # registered for when it is imported
    _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]  # torch leaves it untyped

from timm.layers import BatchNormAct2d, FrozenBatchNormAct2d  # noqa: E402  # after the operator
from torchvision.ops import FrozenBatchNorm2d  # noqa: E402  # as above

TimmPlain = partial(BatchNormAct2d, apply_act=False)
TimmFrozen = partial(FrozenBatchNormAct2d, apply_act=False)
Torchvision = FrozenBatchNorm2d
