"""The class of the variance's algorithm, by clause N1, under the conventions that were found."""

from __future__ import annotations

from dataclasses import replace

from bnspec.engine.blocks import Block, run_block
from bnspec.engine.judging import experiments
from bnspec.engine.subject import Subject
from bnspec.identification.answers import Answer
from bnspec.identification.bench import Bench
from bnspec.spec.dialects import Dialect
from bnspec.spec.stability import LETTERS

CLAUSE, EXPERIMENT = "N1", "sweep"
WORDS = {
    "A": "two passes, or one in wider arithmetic or shifted",
    "B": "one pass with a running mean, or merged parts",
    "C": "one pass over squares",
}


def probe_algorithm(bench: Bench, dialect: Dialect, *, averages: bool) -> Answer:
    """The letter that the running variance shows; y where there is none, or nobody knows how it `averages`.

    What each of the three shows is told beside it: a y that is folded may lose more than its variance.
    """
    promises = bench.implementation.promises
    dtype = "float32" if "float32" in promises.dtypes else promises.dtypes[0]
    if dialect.training_statistics != "batch":
        return Answer("algorithm", needs="a variance of the batch that normalises")
    subject = Subject(bench.implementation, dialect, replace(promises, algorithm=None))
    block = Block(EXPERIMENT, dtype, bench.structure.device, experiments()[EXPERIMENT].first)
    tally = run_block(subject, block, 0, (CLAUSE,)).tallies.get(CLAUSE)
    measures = {} if tally is None else {q: m for q, m in tally.measures.items() if averages or q != "running_var"}
    shown = measures.get("running_var") or measures.get("y")
    if shown is None:
        raised = "" if tally is None or tally.finding is None else f": it {tally.finding.got}"
        return Answer("algorithm", needs=f"batches that come back whatever their mean{raised}")
    letter = LETTERS[int(shown.worth[0])]
    seen = ", ".join(f"{quantity} {m.words}" for quantity, m in measures.items())
    return Answer("algorithm", f"{letter}: {WORDS[letter]}", seen)
