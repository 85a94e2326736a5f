"""The museum as a page: every layer, what is wrong with it, which clauses refuse it, and what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.spec.clauses import CLAUSES

if TYPE_CHECKING:
    from bnspec.selftest import Trial

SHOWN = 8
"""Most clauses that a row of the page names."""


def render_page(trials: Sequence[Trial], profile: str, seed: int) -> str:
    """Markdown, with one table of wrong layers, one of right ones and one of clauses."""
    return "\n".join(_render(trials, profile, seed)) + "\n"


def _render(trials: Sequence[Trial], profile: str, seed: int) -> Iterator[str]:
    wrong = [trial for trial in trials if isinstance(trial.layer, Mutant)]
    right = [trial for trial in trials if isinstance(trial.layer, RightLayer)]
    survivors, alarms = ([t.layer.id for t in group if t.is_off] for group in (wrong, right))
    yield "# The museum: what the suite says of layers that are known to be wrong, and of right ones\n"
    yield f"Written by `bnspec selftest --profile {profile} --seed {seed} --page FILE`, and not by hand.\n"
    yield (
        f"{len(wrong) - len(survivors)} of {len(wrong)} wrong layers are refused"
        f" (survivors: {', '.join(survivors) or 'none'});"
        f" {len(right) - len(alarms)} of {len(right)} right ones conform"
        f" (false alarms: {', '.join(alarms) or 'none'})."
        f" {sum(t.diagnosis is not None for t in wrong)} of {len(wrong)} wrong layers are told what is wrong with them,"
        " in the words of the last column.\n"
    )
    yield "## Wrong layers\n"
    yield "In bold the clauses by which a layer must be refused, whatever others say.\n"
    yield "| layer | what is wrong | where it comes from | refused by | what is said of it |\n|---|---|---|---|---|"
    for trial in wrong:
        layer = trial.layer
        assert isinstance(layer, Mutant)
        yield _row(layer.id, layer.what_is_wrong, layer.source, _name_clauses(trial, layer), say(trial))
    yield "\n## Right layers\n"
    yield "| layer | by what road | |\n|---|---|---|"
    for trial in right:
        layer = trial.layer
        assert isinstance(layer, RightLayer)
        yield _row(layer.id, layer.how, trial.report.verdict)
    yield "\n## Clauses\n"
    yield "How many wrong layers each refuses, and how many no other clause does.\n"
    yield "| clause | | refuses | alone |\n|---|---|---|---|"
    kills = Counter(clause for trial in wrong for clause in trial.failed)
    alone = Counter(trial.failed[0] for trial in wrong if len(trial.failed) == 1)
    for clause in CLAUSES.values():
        if clause.status != "planned":
            yield _row(clause.id, clause.title, str(kills[clause.id]), str(alone[clause.id]))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _name_clauses(trial: Trial, layer: Mutant) -> str:
    """Those that must refuse it first."""
    failed = sorted(trial.failed, key=lambda clause: clause not in layer.clauses)
    named = [f"**{clause}**" if clause in layer.clauses else clause for clause in failed[:SHOWN]]
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return " ".join(named) + more


def say(trial: Trial) -> str:
    """The sentence of a certificate that says what is wrong; where none does, what most failures look like, beside the
    first failure's own words, as what is said besides."""
    if trial.diagnosis is not None:
        return trial.diagnosis
    return f"not said; {_say_most(trial)}"


def _say_most(trial: Trial) -> str:
    if trial.report.notes:
        return trial.report.notes[0]
    failures = [clause for clause in trial.report.clauses if clause.id in trial.failed]
    if not failures:
        return "nothing"
    looks = Counter(clause.looks for clause in failures if clause.looks)
    first = (failures[0].why or "").split(": got")[0]
    return f"{first}: {looks.most_common(1)[0][0]}" if looks else f"{first} is off"
