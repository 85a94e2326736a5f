"""The chapter "measured" of `docs/bounds.md`, written from what was measured."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch

from bnspec.spec.formats import PRECISIONS
from tests.bounds.channels import EVALUATION, TRAINING
from tests.bounds.climbing import CLIMBERS
from tests.bounds.layers import RIGHT, serving
from tests.bounds.relations import CONSEQUENCES, RELATIONS
from tests.bounds.tally import Spread, Tally

TITLE = "## measured"
WORDS = {"biased": "variance", "running_mean": "running mean", "running_var": "running variance"}
QUANTITIES = (*TRAINING, *(f"evaluation: {each}" for each in EVALUATION))


@dataclass(frozen=True)
class Measured:
    """What the three parts of a run found, and the command that ran them."""

    channels: Tally
    climbing: Tally
    relations: Tally
    command: str

    @property
    def beyond(self) -> list[str]:
        return self.channels.beyond + self.climbing.beyond + self.relations.beyond


def render_number(ratio: float) -> str:
    if ratio < 0:
        return "-"
    return f"{ratio:.2g}" if ratio < 0.1 else f"{ratio:.3f}"


def render_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def render_spread(tally: Tally, precision: str, judged: str, quantity: str) -> list[str]:
    """Largest, 99.9 % and median of all layers together, and the layer that came nearest."""
    spreads, worst = tally.select(precision, None, judged, quantity), tally.worst(precision, None, judged, quantity)
    if worst is None:
        return ["-", "-"]
    together = Spread()
    for spread in spreads.values():
        together.join(spread)
    numbers = together.largest, together.quantile(0.999), together.quantile(0.5)
    return [" / ".join(map(render_number, numbers)), worst[0][1].removesuffix(" in evaluation")]


def render_precisions(tally: Tally) -> Iterator[str]:
    """One table a precision, one row a quantity."""
    for precision in PRECISIONS:
        yield f"{precision}, {tally.inputs.get(precision, 0):,} channel inputs:"
        yield ""
        yield from render_table(
            ("quantity", "own class", "nearest", "class any", "nearest"),
            (
                [
                    WORDS.get(q, q),
                    *render_spread(tally, precision, "own", q),
                    *render_spread(tally, precision, "any", q),
                ]
                for q in QUANTITIES
            ),
        )


def render_worst(tally: Tally, *key: str | None) -> str:
    """The largest ratio of a layer, and of what."""
    worst = tally.worst(*key)
    return "-" if worst is None else f"{render_number(worst[1].largest)} {WORDS.get(worst[0][3], worst[0][3])}"


def render_layers(tally: Tally, names: Iterable[str], judged: str) -> Iterator[str]:
    """One table, one row a layer, one column a precision."""
    rows = (
        [name, RIGHT[name].algorithm, *(
            render_worst(tally, p, name, judged, None) if name in serving(p) else "-" for p in PRECISIONS
        )] for name in names
    )  # fmt: skip
    yield from render_table(("implementation", "class", *PRECISIONS), rows)


def render_relations(tally: Tally) -> Iterator[str]:
    rows = []
    for clause in RELATIONS + CONSEQUENCES:
        worst = tally.worst(None, None, "relation", clause)
        if worst is not None:
            (dtype, target, *_), spread = worst
            layer = target.replace("bnspec.mutants.", "").replace(":", ".")
            rows.append([clause, render_number(spread.largest), dtype, layer, spread.where.split(" --case ")[-1]])
    yield from render_table(("clause", "largest", "dtype", "layer", "case"), rows)


def render_stable(m: Measured) -> str:
    """How much of its bound the variance took in class stable."""
    ratios = [
        spread.largest
        for tally in (m.channels, m.climbing)
        for key, spread in tally.select(None, None, "own", "biased").items()
        if RIGHT[key[1]].algorithm == "stable"
    ]
    return render_number(max(ratios, default=-1.0))


def paragraph(text: str) -> str:
    """One line, and an empty one."""
    return " ".join(text.split()) + "\n"


def render_chapter(m: Measured, when: date) -> str:
    """The chapter, in Markdown, its title first."""
    drawn, climbed = (sum(tally.inputs.values()) for tally in (m.channels, m.climbing))
    verdict = "No ratio exceeded 1" if not m.beyond else f"**{len(m.beyond)} ratios exceeded 1**"
    versions = f"Python {platform.python_version()}, NumPy {np.__version__} and torch {torch.__version__}"
    judgements = m.relations.inputs.get("relations", 0)
    parts = [
        TITLE + "\n",
        paragraph(f"""
            Measured on {when.day} {when:%B %Y} with {versions} on CPU; subject to chance in the last digits. To
            repeat it, in about a quarter of an hour on one core:
        """),
        f"    {m.command}\n",
        paragraph(f"""
            {verdict}, over {drawn:,} channel inputs, each fed to those of {len(RIGHT)} right implementations that
            serve its precision, {climbed:,} cases of the search below, and {judgements:,} judgements of relations.
            The command exits with 1 where one does, and names the case.
        """),
        paragraph("""
            A channel input is m values and gradients, parameters and buffers: m from 2 to 2000, eps 0 and from
            1e-12 to 1, kappa to 1e6 and to 1/u; constants, equal numbers, spreads of one ulp, outliers, mixtures,
            ramps, cancelling pairs; scales from 1e-25 to the end of the domain. Forwards are folded or not, rstd is
            a quotient, a power or exp(-log/2), backwards are plain, folded to a dy + b x + c, or the paper's. In
            mixed precision all is computed in float32 and rounded once; throughout, statistics are rounded once or
            at every step, and the rest at every step. Per channel the largest ratio of error to bound is kept.
            Cells are largest / 99.9 % / median over channels and implementations, under each implementation's
            **own** class and under class any, and the implementation that came nearest.
        """),
        *render_precisions(m.channels),
        paragraph("The largest of each implementation under its own class, and of which quantity of training:"),
        *render_layers(m.channels, RIGHT, "own"),
        paragraph("""
            **Climbing.** Populations that change values, scale, offset, repetitions, order, last bits, gradients,
            gamma, beta, eps and m, and keep what takes a larger share of the bound, each channel for one quantity:
        """),
        *render_layers(m.climbing, CLIMBERS, "own"),
        paragraph("""
            **Relations.** The largest ratio of each clause, over torch.nn and the right layers of the museum,
            profile smoke at several seeds, in every dtype that they promise:
        """),
        *render_relations(m.relations),
        paragraph(f"""
            In class stable, whose 2.5 is empirical, the variance took {render_stable(m)} of its bound at most.
            Ratios near 1 belong to a variance clamped at zero, at the end of the interval of rstd, and to single
            roundings to a narrow format, whose bound is attained. A debiased average took 0.13 of its bound at
            most, for rho from 0.5 to 0.9999 and its first 20 batches (`tests/test_bounds_running.py`); without the
            term for debiasing it was off by 5.8 bounds at 0.999 and by 91 at 0.9999. In the other direction each of
            seventeen structural mistakes is more than ten bounds off, class any, in every one of twenty batches
            made to show structure (`tests/test_bounds_structure.py`), and a variance without its last value, sums
            in half precision, and bounds that are too tight are found by this very run
            (`tests/test_bounds_at_length.py`).
        """),
    ]  # fmt: skip
    return "\n".join(parts)


def replace_chapter(page: Path, chapter: str) -> None:
    """Put the chapter in the place of the old one, the last of the page."""
    before, _, _ = page.read_text(encoding="utf-8").partition(TITLE + "\n")
    page.write_text(before + chapter, encoding="utf-8")
