"""The clauses: what a batch norm must do, numbered. Data and no code; `conformance` holds a judge for each active one.

Ids are never reused. A published version gains no new deciding clause: new ones enter as provisional, doubtful ones
become disputed, and both are reported without deciding.
"""

from __future__ import annotations

from difflib import get_close_matches

from bnspec.spec.clause import Clause, Level, Status
from bnspec.spec.clause_tables.bad_input import BAD_INPUT
from bnspec.spec.clause_tables.claims import CLAIMS
from bnspec.spec.clause_tables.distributed import DISTRIBUTED
from bnspec.spec.clause_tables.evaluation import EVALUATION
from bnspec.spec.clause_tables.forward import FORWARD
from bnspec.spec.clause_tables.gradients import GRADIENTS
from bnspec.spec.clause_tables.layout import LAYOUT
from bnspec.spec.clause_tables.numerics import NUMERICS
from bnspec.spec.clause_tables.running import RUNNING
from bnspec.spec.clause_tables.state import STATE

__all__ = [
    "CLAUSES",
    "FAMILIES",
    "LEVELS",
    "NOTATION",
    "SPEC_VERSION",
    "SPEC_VERSIONS",
    "Clause",
    "Level",
    "Status",
    "UnknownClause",
    "find_clause",
    "read_version",
]

SPEC_VERSIONS = ("1.0",)
SPEC_VERSION = SPEC_VERSIONS[-1]


def read_version(text: str) -> tuple[int, ...]:
    """A version of the specification, such as 1.0, to compare. Raises ValueError for what is none."""
    return tuple(int(part) for part in text.split("."))


LEVELS: dict[Level, str] = {
    "MUST": "decides the verdict",
    "SHOULD": "is reported, and decides where the strict verdict is asked for",
    "GRADE": "is measured: a letter or a number",
}

FAMILIES: dict[str, str] = {
    "F": "Forward, training",
    "R": "Running statistics",
    "E": "Evaluation",
    "G": "Gradients",
    "N": "Numerics",
    "L": "Layout and shape",
    "B": "Bad input",
    "S": "State and life cycle",
    "D": "Synchronised batch norm",
    "C": "Claims about a network",
}

NOTATION = """\
x has shape (N, C, D1, ..., Dk), k >= 0, with the channel on axis 1. All that follows is per channel.

  m            N D1 ... Dk, the number of values in a channel
  mu, s2       mean and biased variance of the batch: sum x / m, sum (x - mu)^2 / m
  K            m where the dialect normalises with the biased variance, m - 1 where with the unbiased
  v            s2 m/K, the variance that normalises
  eps          the constant inside the root, eps > 0
  r            1/sqrt(v + eps)
  xh           (x - mu) r
  delta        eps/(v + eps), so that v r^2 = 1 - delta
  gamma, beta  scale and shift; y = gamma xh + beta
  g            dL/dy, the upstream gradient; dx, d_gamma, d_beta are dL/dx, dL/dgamma, dL/dbeta
  rm, rv       running mean and running variance
  a            weight of the new batch in rm and rv: momentum or 1 - momentum, as the dialect says
  b            what s2 is multiplied by before it is stored: m/(m-1), or 1 where the dialect stores the biased variance
  e_q          the derived bound of a quantity q: e_y, e_dx, e_dgamma, e_dbeta, e_rm, e_rv

It follows that sum xh = 0 and sum xh^2 = K (1 - delta).
'Leaves' and 'the same bits' mean bit for bit; every other equality is meant within the bound that decides the clause.
"""

CLAUSES: dict[str, Clause] = {
    clause.id: clause
    for family in (
        FORWARD,
        RUNNING,
        EVALUATION,
        GRADIENTS,
        NUMERICS,
        LAYOUT,
        BAD_INPUT,
        STATE,
        DISTRIBUTED,
        CLAIMS,
    )
    for clause in family
}


class UnknownClause(ValueError):
    """No clause has this id; the message names close ones and how to list all."""


def find_clause(name: str) -> Clause:
    """The clause of an id such as F1, in either case of letter. Raises UnknownClause."""
    wanted = name.strip().upper()
    if wanted in CLAUSES:
        return CLAUSES[wanted]
    close = get_close_matches(wanted, CLAUSES, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"ids are a family ({', '.join(FAMILIES)}) and a number;"
    raise UnknownClause(f"there is no clause {name!r}: {hint} `bnspec spec` lists all")
