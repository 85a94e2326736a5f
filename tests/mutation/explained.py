"""The changes that nobody notices, and why nobody should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.mutation.mutations import Mutation


@dataclass(frozen=True)
class Explained:
    """Survivors of a line. `afters` are the changed lines, any where empty."""

    file: str
    before: str
    why: str
    afters: tuple[str, ...] = ()

    def speaks_of(self, mutation: Mutation) -> bool:
        """Whether this explains a survivor."""
        same = (self.file, self.before) == (mutation.file, mutation.before)
        return same and (not self.afters or mutation.after in self.afters)


NUMPY, TORCH = "reference/numpy_batchnorm.py", "reference/torch_batchnorm.py"
EMPTY = "training = self.training and m > 0  # no values, no statistics: an empty batch passes as in evaluation"
ROWS = "return np.ascontiguousarray(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), dtype)"

SPEC = "bnspec/spec"
FROZEN = "@dataclass(frozen=True)"
UNFROZEN = ("clause", "dialects", "equations", "formats", "measure", "precision", "second_order", "stability")
JOINED = "if quantity not in joined or measure.worth < joined[quantity].worth:"
CLOSE = "close = get_close_matches("
CENTRED = "centred = np.where(gamma > 0, np.abs(dx) / np.where(scale > 0, scale, 1.0), 0.0)"
LOW = "low, high = np.where(low > 0, low, np.nan), (total + e_var) * (1 + 2 * stepwise) + 2 * underflow"
OF_FLOAT32 = "return FLOAT32 if storage.precision < FLOAT32.precision else storage"
OFF = "if abs(g - w) > unit * s:"
LEFT = "return [Fraction(float(h)) + Fraction(float(low_)) for h, low_ in zip(high, low, strict=True)]"
COMPARED = "for g, w, s in zip(leave(got), wanted, size or [abs(w) for w in wanted], strict=True):"
SPLITTER = "_SPLITTER = 2.0**27 + 1.0"
NEGATIVE = "negative = self.high < 0"
ONE_COLUMN = "return np.asarray(e_x), np.asarray(e_gamma[:, 0])"
CORRECTION = "correction = np.where(positive, rest.high / np.where(positive, 2.0 * root, 1.0), 0.0)"
TWICE = "twice = q > (ONE_PASS + TWO_PASSES) / 2 if slope is None else slope + 2 * q > MIDWAY"
NUMBERS = "numbers = [[0.1, 1e16, -3.0, 7e-9], [2.5, -0.3, 1e-8, 1.0]]"

EXPLAINED: tuple[Explained, ...] = (
    *(
        Explained(
            file, EMPTY, "the same: m is never negative, and one value a channel was refused before",
            (EMPTY.replace("> 0", "> 1"), EMPTY.replace("> 0", "!= 0")),
        )
        for file in (NUMPY, TORCH)
    ),
    Explained(
        NUMPY, ROWS, "the same: NumPy takes any negative length for the one that is left",
        (ROWS.replace("-1", "- 2"), ROWS.replace("-1", "~1")),
    ),
    Explained(
        TORCH, "m = x.numel() // self.dim", "the same: it divides without rest, and counts as a float too",
        ("m = x.numel() / self.dim",),
    ),
    *(
        Explained(
            f"{SPEC}/{file}.py", FROZEN, "the same: nobody writes to one, and the type checker would tell who does",
            ("@dataclass(frozen=False)",),
        )
        for file in UNFROZEN
    ),
    *(
        Explained(f"{SPEC}/{file}.py", f"{CLOSE}{names}, n=3{rest}", "words: how many close names a message offers",
                  tuple(f"{CLOSE}{names}, n= {n}{rest}" for n in (2, 4)))
        for file, names, rest in (
            ("clauses", "wanted, CLAUSES", ", cutoff=0.5)"),
            ("dialects", "name.lower(), DIALECTS", ")"),
            ("dialects", "field, FIELDS", ") or list(FIELDS)"),
        )
    ),
    Explained(
        f"{SPEC}/measure.py", JOINED, "the same: of two that are worth as much either may stand",
        (JOINED.replace("<", "<="),),
    ),
    Explained(
        f"{SPEC}/formats.py", OF_FLOAT32, "the same: the other branch gives float32 for float32 too",
        (OF_FLOAT32.replace("<", "<="),),
    ),
    Explained(f"{SPEC}/precision.py", NUMBERS, "the same: other numbers try an arithmetic as well"),
    Explained(
        f"{SPEC}/precision.py", "one = arithmetic.array(np.ones(2))", "the same: one is divided by either number",
        ("one = arithmetic.array(np.ones( 1))",),
    ),
    Explained(
        f"{SPEC}/precision.py", "unit = Fraction(16, 2**arithmetic.bits)",
        "a margin: what is sound is off by far less, what is broken by far more",
    ),
    Explained(
        f"{SPEC}/precision.py", OFF, "the same: nothing is off by the margin to its last bit", (OFF.replace(">", ">="),)
    ),
    *(
        Explained(f"{SPEC}/precision.py", line, "the same: there are as many of each", (line.replace("True", "False"),))
        for line in (LEFT, COMPARED)
    ),
    Explained(
        f"{SPEC}/double_double.py", SPLITTER, "the same: these too split 53 bits into halves whose products are exact",
        tuple(SPLITTER.replace("+ 1.0", other) for other in ("+ 2.0", "+ 0.0", "- 1.0")),
    ),
    Explained(
        f"{SPEC}/double_double.py", NEGATIVE, "the same: zero is its own opposite", (NEGATIVE.replace("<", "<="),)
    ),
    *(
        Explained(f"{SPEC}/{file}.py", line, "the same: there is one column", (line.replace("0]", "-1]"),))
        for file, line in (("double_double", "return rest[:, 0]"), ("second_order_bounds", ONE_COLUMN))
    ),
    Explained(
        f"{SPEC}/double_double.py", CORRECTION, "the same: what is not positive is not divided",
        (CORRECTION.replace("1.0)", "2.0)"), CORRECTION.replace("1.0)", "0.0)")),
    ),
    Explained(
        f"{SPEC}/stability.py", TWICE, "the same: in the middle between two classes neither is the truer",
        (TWICE.replace("q > (", "q >= ("), TWICE.replace("> MIDWAY", ">= MIDWAY")),
    ),
    *(
        Explained(
            f"{SPEC}/bounds.py", f"{line} < arithmetic.precision else arithmetic",
            "the same: as precise means the same",
            (f"{line} <= arithmetic.precision else arithmetic",),
        )
        for line in ("kept = parameters if parameters.precision", "backward = storage if storage.precision")
    ),
    Explained(f"{SPEC}/bounds.py", LOW, "the same: the root of what is not above zero ends in infinity"),
    Explained(
        f"{SPEC}/bounds.py", CENTRED, "the same: it is multiplied by gamma = 0, or dx is 0, as gamma r underflows"
    ),
)  # fmt: skip
