"""The acts of a random life of a layer. A case holds them as words, and a person reads them as a script."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from bnspec.cases.case import Case


@dataclass(frozen=True)
class Act:
    """One act: what it does in words ({n} examples), the abilities it needs, and how often it is drawn.

    It `leaves` so many passes waiting for their backwards, more or less, and `needs_waiting` so many before; None
    leaves none. `first` is the first block that has it.
    """

    name: str
    words: str
    needs: tuple[str, ...] = ()
    weight: int = 1
    needs_waiting: int = 0
    leaves: int | None = 0
    first: int = 0

    @property
    def is_sized(self) -> bool:
        return "{n}" in self.words


_WAITING = ("gradients", "reentrance")

ACTS: dict[str, Act] = {
    act.name: act
    for act in (
        Act("train", "a training batch of {n}, and its backward", weight=4),
        Act("evaluate", "an evaluation of {n}, and its backward", ("evaluation",), 4),
        Act("train_unrecorded", "a training batch of {n}, with recording off"),
        Act("evaluate_unrecorded", "an evaluation of {n}, with recording off", ("evaluation",)),
        Act("train_frozen", "a training batch of {n}, gamma and beta frozen", ("gradients", "gradient_subsets")),
        Act("keep", "a training batch of {n}, whose backward waits", _WAITING, 3, leaves=1),
        Act("keep_evaluation", "an evaluation of {n}, whose backward waits", (*_WAITING, "evaluation"), leaves=1),
        Act("answer_first", "the backward that has waited longest", _WAITING, 2, needs_waiting=1, leaves=-1),
        Act("answer_last", "the backward that began to wait last", _WAITING, 2, needs_waiting=1, leaves=-1),
        Act("answer_both", "one backward of the sum of the last two that wait", _WAITING, 2, 2, -2),
        Act("again", "the batch of the last training pass again, the same object", _WAITING),
        Act("recompute", "a training batch of {n}, recomputed in its backward", (*_WAITING, "recomputation"), first=1),
        Act("write_parameters", "other values are written to gamma and beta", ("affine",)),
        Act("write_buffers", "other values are written to the running statistics"),
        Act("switch_to_training", "a switch to training", ("switches",)),
        Act("switch_to_evaluation", "a switch to evaluation", ("switches",)),
        Act("retune", "eps and momentum are set to others", ("retunes",), leaves=None),
        Act("average", "momentum is set to None", ("retunes", "cumulative", "counter"), leaves=None),
        Act("restore", "it is saved, and another layer restored from that takes its place", ("saves",)),
        Act("restore_nothing", "it is restored from an empty save", ("saves",)),
        Act("restore_parameters", "another layer, given its gamma and beta alone, takes its place", ("saves",)),
        Act("restore_older", "another layer, given a save without a counter, takes its place", ("saves",)),
        Act("copy", "a copy takes its place", ("copies",)),
        Act("travel", "a copy that went through bytes takes its place", ("copies",)),
        Act("convert", "it is converted to the other dtype", ("converts",), leaves=None),
        Act("reset", "it is reset", ("resets",)),
        Act("refuse", "a batch of one value a channel, which it refuses", ("refuses_one_value",)),
    )
}


def split(written: str) -> tuple[str, int]:
    """The act and the number of examples that a case holds as one word, "train3". Raises ValueError."""
    found = re.fullmatch(r"([a-z_]+?)(\d*)", written)
    if found is None or found[1] not in ACTS or ACTS[found[1]].is_sized != bool(found[2]):
        raise ValueError(f"{written!r} is no act of a history")
    return found[1], int(found[2] or 0)


def keep_possible(acts: Iterable[str], abilities: Collection[str]) -> tuple[str, ...]:
    """The acts that a subject can be put through, each where enough passes wait for it."""
    possible, waiting = [], 0
    for written in acts:
        act = ACTS[split(written)[0]]
        if waiting < act.needs_waiting or not set(act.needs) <= set(abilities):
            continue
        waiting = 0 if act.leaves is None else waiting + act.leaves
        possible.append(written)
    return tuple(possible)


def tell_history(case: Case) -> Iterator[str]:
    """The history of a case as a script, one numbered line an act."""
    for place, written in enumerate(case.acts, 1):
        name, size = split(written)
        examples = "1 example" if size == 1 else f"{size} examples"
        yield f"{place:2}. {ACTS[name].words.format(n=examples)}"
