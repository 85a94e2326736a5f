"""Layers for the command line and the plugin: one right, one wrong, and two that cannot be made."""

from __future__ import annotations

import os
import signal

from torch import Tensor, nn

NOTHING = None


class Right(nn.BatchNorm1d):
    """torch's own layer under another name, without its arguments beyond these."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)


class Wrong(Right):
    """Every output is a little off: F1 and E1 refuse it, the running statistics are right."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's own name)
        return super().forward(input) * 1.01


class RaisesWhenMade(nn.BatchNorm1d):
    def __init__(self, num_features: int) -> None:
        raise RuntimeError("no kernel\nfor this machine")


class RaisesOnForward(Right):
    """Constructed and called in a known way, it raises where m is odd: a finding, never wrong usage."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's own name)
        if input.numel() // input.shape[1] % 2:
            raise RuntimeError("odd batches are not supported")
        return super().forward(input)


class DiesOnLongBatches(Right):
    """Ends its process where m passes sixty, as a kernel does that writes past its end."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's own name)
        if input.numel() // input.shape[1] > 60:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(input)
