"""Draw the figures of docs/why-it-works.md: what the experiments of clauses C1 and C3 to C6 see of reference:torch.

    python examples/claims/draw.py            writes into docs/claims
    python examples/claims/draw.py FOLDER

Needs bnspec[docs]. What is measured is printed, figure by figure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from bnspec.conformance.acting import Stage
from bnspec.conformance.experiments.descent import act_descent
from bnspec.conformance.experiments.digits import make_layers, train
from bnspec.conformance.experiments.jacobian import act_jacobian
from bnspec.conformance.experiments.jitter import POPULATIONS, act_jitter
from bnspec.conformance.experiments.widths import GAINS, act_widths
from bnspec.conformance.judges.claims import change_of, fall_of
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from bnspec.api import make_subject
from bnspec.cases.case import Case
from bnspec.engine.plan import Request
from bnspec.layers.target import load_target

SUBJECT = make_subject(load_target("reference:torch").obj, Request(), {}, "reference:torch")[0]
COLOURS = ("#0b6e99", "#c8553d", "#588157", "#8a6fa8", "#b08900")


def stage(experiment: str, *shape: int, **decisions: bool) -> Stage:
    """Where an experiment is acted out: with reference:torch in float64, on the CPU."""
    return Stage(SUBJECT, Case(experiment, "float64", shape, 1e-5, 0.1, **decisions), "cpu")  # type: ignore[arg-type]  # names of fields


def draw_widths() -> Figure:
    """C1: deviations of what enters tanh, layer by layer."""
    record = act_widths(stage("widths", 256, 32, fresh=True))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
    for gain, colour in zip(GAINS, COLOURS, strict=True):
        with_layers = [link.y.std() for link in record.links[gain]]
        layers = range(1, 1 + len(with_layers))
        left.semilogy(layers, record.bare[gain], "o-", color=colour, label=f"gain {gain:g}")
        right.semilogy(layers, with_layers, "o-", color=colour)
        print(f"widths: gain {gain:g}, last layer: {record.bare[gain][-1]:.2g} without, {with_layers[-1]:.4f} with")
    left.set(title="without batch norm", xlabel="layer", ylabel="width of the pre-activations")
    right.set(title="with batch norm", xlabel="layer")
    left.minorticks_off()  # hundreds of them, each an element of the file
    right.minorticks_off()
    left.legend(fontsize=7)
    return figure


def draw_moved() -> Figure:
    """C3: mean and width of four channels on their way."""
    record = act_descent(stage("descent", 64, 4))
    figure, axes = plt.subplots(1, 2, figsize=(8, 3))
    for place, (axis, values, target) in enumerate(
        zip(axes, (record.means, record.widths), (record.mean, record.width), strict=True)
    ):
        for channel, colour in enumerate(COLOURS[:4]):
            axis.plot(values[:25, channel], color=colour)
            axis.axhline(target[channel], color=colour, linestyle=":")
        axis.set(title=("mean of y", "width of y")[place], xlabel="step of gradient descent")
    off = max(np.abs(record.means[-1] - record.mean).max(), np.abs(record.widths[-1] - record.width).max())
    print(f"moved: {off:.1e} from the targets after {len(record.means) - 1} steps")
    return figure


def draw_coupled() -> Figure:
    """C4: dy_i/dx_j of eight examples."""
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3))
    for axis, mode in zip(axes, ("training", "evaluation"), strict=True):
        record = act_jacobian(stage("jacobian", 8, 1, training=mode == "training"))
        rows = np.array([played.gradients.get().x[:, 0] for _, played in record.rows])  # type: ignore[index]  # x was asked for
        reach = np.abs(rows).max()
        axis.pcolormesh(rows[::-1], cmap="RdBu", vmin=-reach, vmax=reach, edgecolors="white")
        axis.set(title=mode, xlabel="j", ylabel="i", xticks=[], yticks=[], aspect="equal")
        off = np.abs(rows[~np.eye(len(rows), dtype=bool)]) / np.abs(np.diag(rows)).mean()
        print(f"coupled: {mode}, off the diagonal {off.min():.2g} to {off.max():.2g} of it")
    return figure


def draw_jitter() -> Figure:
    """C5: the variance of one output over random batches, by place and distribution, and by batch size."""
    record = act_jitter(stage("jitter", 512, 15))
    assert record.start.gamma is not None
    gamma, grid = record.start.gamma, np.linspace(-2, 2.5, 50)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    sizes = sorted(record.outputs)
    scaled = np.array([m * record.outputs[m].var(axis=0, ddof=1) / gamma**2 for m in sizes])
    for number, (population, colour) in enumerate(zip(POPULATIONS, COLOURS, strict=False)):
        left.plot(grid, 1 + grid * population.skew + grid**2 * (population.kurtosis - 1) / 4, color=colour)
        for values in scaled[:, number::3]:
            left.plot(record.places[number::3], values, "o", color=colour, markersize=3)
        left.plot([], [], "o-", color=colour, label=population.name)
        right.loglog(sizes, (scaled[:, number::3] / np.array(sizes)[:, None]).mean(axis=1), "o-", color=colour)
    left.set(title="m Var(y)/gamma^2", xlabel="place of the example, in deviations")
    right.set(title="Var(y)/gamma^2, mean of the places", xlabel="m")
    right.set_xticks(sizes, [str(m) for m in sizes])
    right.minorticks_off()
    left.legend(fontsize=7)
    slope = np.polyfit(np.log(sizes), np.log(scaled / np.array(sizes)[:, None]).mean(axis=1), 1)[0]
    print(f"jitter: slope {slope:.3f} in log m")
    return figure


def draw_digits() -> Figure:
    """C6: losses of a network at three gains."""
    digits = stage("digits", 64, 16)
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
    for axis, gain in zip(axes, (0.1, 1.0, 10.0), strict=True):
        for name, layers, colour in (("with", make_layers(digits), COLOURS[0]), ("without", [], COLOURS[1])):
            run = train(digits, gain, layers)
            axis.plot(run.losses, color=colour, label=f"{name} batch norm")
            print(
                f"digits: gain {gain:g}, {name}: {fall_of(run):.2f} of the loss left,"
                f" change of the gradient in a step {change_of(run):.2g} of it"
            )
        axis.set(title=f"gain {gain:g}", xlabel="step", ylim=(0, None))
    axes[0].set_ylabel("loss")
    axes[0].legend(fontsize=7)
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "widths": draw_widths,
    "moved": draw_moved,
    "coupled": draw_coupled,
    "jitter": draw_jitter,
    "digits": draw_digits,
}


def main() -> None:
    """Draw every figure."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "docs" / "claims"
    mpl.use("svg")
    # Text stays text, ids hang on nothing but the figure, and no date is written: the same numbers give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bnspec", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        figure = draw()
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
