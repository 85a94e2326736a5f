"""A small tanh network on scikit-learn's handwritten digits, trained with layers under test and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bnspec.layers.protocol import ALL, State

from ..acting import Stage
from .networks import Normaliser, differentiate_network, run_network
from .states import initial_state, keep_offered

Floats = NDArray[np.float64]
GAINS = (0.1, 10.0)
"""Deviations of the weights of a hidden layer at the start, in units of 1/sqrt(inputs)."""
DEPTH, STEPS, RATE, CLASSES = 5, 60, 1.0, 10
PROBED = 5
"""Every so many steps the gradient is taken again at the end of the step, on the same batch."""
LEAST_WIDTH = 16
"""With fewer units a layer the network learns little, with layers under test or without."""


@dataclass(frozen=True)
class Training:
    """One run: the loss at each step, and the change of the gradient of all weights over the length of the gradient,
    |g(end of step) - g| / |g|, at the probed ones. Shorter where the loss was not finite any more."""

    losses: Floats
    changes: Floats


@dataclass(frozen=True)
class DigitsRecord:
    """By gain: the run with layers, and the same without."""

    stage: Stage
    layered: dict[float, Training]
    bare: dict[float, Training]


def act_digits(stage: Stage) -> DigitsRecord:
    """Train at each gain by plain gradient descent, of all weights and of gamma and beta."""
    return DigitsRecord(
        stage,
        {gain: train(stage, gain, make_layers(stage)) for gain in GAINS},
        {gain: train(stage, gain, []) for gain in GAINS},
    )


@cache
def load_digits() -> tuple[Floats, NDArray[np.int64]]:
    """1797 images of 8 x 8 as columns (64, 1797), each pixel centred, of variance 1 on the whole; and their labels."""
    from sklearn import datasets  # an extra, wanted by this experiment alone

    images, labels = datasets.load_digits(return_X_y=True)
    centred = (images - images.mean(axis=0)).T
    return centred / centred.std(), labels


def make_layers(stage: Stage) -> list[Normaliser]:
    """New layers, one a hidden layer."""
    start = keep_offered(stage, initial_state(stage))
    return [Normaliser(stage, stage.subject.make_layer(stage.case, stage.device), start) for _ in range(DEPTH)]


def train(stage: Stage, gain: float, layers: Sequence[Normaliser]) -> Training:
    """Descend the cross entropy; weights and batches are the same whatever the layers."""
    case, random = stage.case, stage.case.random("weights")
    images, labels = load_digits()
    sizes = [len(images), *[case.channels] * DEPTH]
    weights = [gain * random.standard_normal((n, k)) / np.sqrt(k) for k, n in pairwise(sizes)]
    weights.append(random.standard_normal((CLASSES, case.channels)) / np.sqrt(case.channels))
    losses, changes = list[float](), list[float]()
    for step in range(STEPS):
        chosen = random.randint(0, images.shape[1], case.count)
        loss, slopes, moved = _differentiate(weights, layers, images[:, chosen], labels[chosen])
        losses.append(loss)
        if not np.isfinite(loss):
            break
        weights, layers = [w - RATE * slope for w, slope in zip(weights, slopes, strict=True)], moved
        if step % PROBED == 0:
            _, after, _ = _differentiate(weights, layers, images[:, chosen], labels[chosen])
            changes.append(_compare(slopes, after))
    return Training(np.array(losses), np.array(changes))


def _differentiate(
    weights: Sequence[Floats], layers: Sequence[Normaliser], x: Floats, labels: NDArray[np.int64]
) -> tuple[float, list[Floats], list[Normaliser]]:
    """The mean cross entropy of a batch, its gradient by each weight matrix, and the layers a step further."""
    trace = run_network(weights[:-1], x, layers, grad=ALL)
    logits, m = weights[-1] @ trace.top, x.shape[1]
    logits = logits - logits.max(axis=0)
    log_share = logits - np.log(np.exp(logits).sum(axis=0))
    slope = np.exp(log_share)
    slope[labels, np.arange(m)] -= 1
    slope = slope / m
    slopes = differentiate_network(weights[:-1], trace, weights[-1].T @ slope)
    moved = [
        replace(layer, start=_step(layer.start, link.gradients.gamma, link.gradients.beta))
        for layer, link in zip(layers, slopes.links, strict=True)
        if link.gradients is not None
    ]
    loss = float(-log_share[labels, np.arange(m)].mean())
    return loss, [*slopes.weights, slope @ trace.top.T], moved


def _step(state: State, dgamma: Floats | None, dbeta: Floats | None) -> State:
    """A state with gamma and beta a step further, where they are there and their gradients came."""
    gamma, beta = state.gamma, state.beta
    if gamma is not None and dgamma is not None and dgamma.size == gamma.size:
        gamma = (gamma - RATE * dgamma.reshape(gamma.shape)).astype(gamma.dtype)
    if beta is not None and dbeta is not None and dbeta.size == beta.size:
        beta = (beta - RATE * dbeta.reshape(beta.shape)).astype(beta.dtype)
    return replace(state, gamma=gamma, beta=beta)


def _compare(before: Sequence[Floats], after: Sequence[Floats]) -> float:
    one, other = (np.concatenate([slope.ravel() for slope in slopes]) for slopes in (before, after))
    with np.errstate(all="ignore"):
        return float(np.linalg.norm(other - one) / np.linalg.norm(one))
