"""The sample files beside this one, loaded as targets, and the message with which a target is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnspec.layers.target import TargetError, load_target


def load_samples(name: str, attribute: str) -> Any:
    """The module that one of the files beside this one becomes as a target."""
    obj = load_target(f"{Path(__file__).parent / 'targets' / name}:{attribute}").obj
    return sys.modules[obj.__module__]


RIGHT = load_samples("right_layers.py", "PlainTorch")


def refusal(load: Callable[[], object]) -> str:
    """The message of a TargetError, which must be one line."""
    with pytest.raises(TargetError) as raised:
        load()
    message = str(raised.value)
    assert message == " ".join(message.split())
    return message
