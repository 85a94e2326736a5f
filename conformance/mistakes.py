"""Known mistakes, as formulas: what a wrong layer would have answered, by mode and quantity."""

from __future__ import annotations

from collections.abc import Callable

from bnspec.spec.equations import blend
from bnspec.spec.precision import Number

from .exact import Exact

Formula = Callable[[Exact], Number]

IN_TRAINING: dict[str, dict[str, Formula]] = {
    "running_var": {
        "the biased variance were stored: it is the wanted one times (m-1)/m": lambda e: blend(e.rv, e.s2, e.a),
        "the unbiased variance were stored": lambda e: blend(e.rv, e.s2 * e.m / (e.m - 1), e.a),
        "N/(N-1), of examples alone, stood for m/(m-1)": lambda e: blend(e.rv, e.s2 * e.bessel_of_examples, e.a),
        "eps had leaked into the stored variance": lambda e: blend(e.rv, e.stored + e.eps, e.a),
        "the standard deviation were stored": lambda e: blend(e.rv, e.sqrt(e.stored), e.a),
        "1/sqrt(variance + eps) were stored": lambda e: blend(e.rv, e.r, e.a),
        "the root of the sum of variance and eps were stored": lambda e: blend(e.rv, e.sqrt(e.stored + e.eps), e.a),
        "momentum weighed the other statistic": lambda e: blend(e.stored, e.rv, e.a),
        "it were never updated": lambda e: e.rv,
        "the mean of squares were stored": lambda e: blend(e.rv, e.second_moment, e.a),
        "the variance were taken about the running mean": lambda e: blend(
            e.rv, (e.about_running_mean * e.m / (e.m - 1)), e.a
        ),
        "momentum were squared": lambda e: blend(e.rv, e.stored, e.a * e.a),
        "momentum were 0.01, whatever was given": lambda e: blend(e.rv, e.stored, e.number(0.01)),
        "momentum were 0.9, whatever was given": lambda e: blend(e.rv, e.stored, e.number(0.9)),
        "it were the other buffer": lambda e: blend(e.rm, e.mu, e.a),
        "the correction m/(m-1) were applied twice": lambda e: blend(e.rv, e.stored * e.m / (e.m - 1), e.a),
        "it were updated twice": lambda e: blend(blend(e.rv, e.stored, e.a), e.stored, e.a),
        "the batch replaced it, whatever momentum is": lambda e: e.stored,
        "momentum were 0.1, whatever was given": lambda e: blend(e.rv, e.stored, e.number(0.1)),
        "the old value did not decay": lambda e: e.rv + e.stored * e.a,
        "momentum were rounded to bfloat16": lambda e: blend(e.rv, e.stored, e.rounded(e.a, "bfloat16")),
        "momentum were rounded to float16": lambda e: blend(e.rv, e.stored, e.rounded(e.a, "float16")),
        "one batch too many were counted": lambda e: blend(e.rv, e.stored, e.a / (e.a + 1)),
        "one batch too few were counted": lambda e: blend(e.rv, e.stored, e.a / (1 - e.a)),
    },
    "running_mean": {
        "momentum weighed the other statistic": lambda e: blend(e.mu, e.rm, e.a),
        "it were never updated": lambda e: e.rm,
        "momentum were squared": lambda e: blend(e.rm, e.mu, e.a * e.a),
        "momentum were 0.01, whatever was given": lambda e: blend(e.rm, e.mu, e.number(0.01)),
        "momentum were 0.9, whatever was given": lambda e: blend(e.rm, e.mu, e.number(0.9)),
        "it were the other buffer": lambda e: blend(e.rv, e.stored, e.a),
        "the mean had the other sign": lambda e: blend(e.rm, -e.mu, e.a),
        "it were updated twice": lambda e: blend(blend(e.rm, e.mu, e.a), e.mu, e.a),
        "the batch replaced it, whatever momentum is": lambda e: e.mu,
        "momentum were 0.1, whatever was given": lambda e: blend(e.rm, e.mu, e.number(0.1)),
        "the old value did not decay": lambda e: e.rm + e.mu * e.a,
        "momentum were rounded to bfloat16": lambda e: blend(e.rm, e.mu, e.rounded(e.a, "bfloat16")),
        "momentum were rounded to float16": lambda e: blend(e.rm, e.mu, e.rounded(e.a, "float16")),
        "one batch too many were counted": lambda e: blend(e.rm, e.mu, e.a / (e.a + 1)),
        "one batch too few were counted": lambda e: blend(e.rm, e.mu, e.a / (1 - e.a)),
    },
    "y": {
        "the unbiased variance normalised": lambda e: e.by(e.sqrt(e.s2 * e.m / (e.m - 1) + e.eps)),
        "the biased variance normalised": lambda e: e.by(e.sqrt(e.s2 + e.eps)),
        "eps were added outside the root": lambda e: e.by(e.sqrt(e.v) + e.eps),
        "eps were left out": lambda e: e.by(e.sqrt(e.v)),
        "eps were added twice": lambda e: e.by(e.sqrt(e.v + e.eps * 2)),
        "eps were squared": lambda e: e.by(e.sqrt(e.v + e.eps * e.eps)),
        "eps were 1e-5, whatever was given": lambda e: e.by(e.sqrt(e.v + 1e-5)),
        "eps were rounded to float16": lambda e: e.by(e.sqrt(e.v + e.rounded(e.eps, "float16"))),
        "eps were rounded to bfloat16": lambda e: e.by(e.sqrt(e.v + e.rounded(e.eps, "bfloat16"))),
        "the root were forgotten": lambda e: e.by(e.v + e.eps),
        "a square stood for the root": lambda e: e.by((e.v + e.eps) * (e.v + e.eps)),
        "the larger of variance and eps stood for their sum": lambda e: e.by(e.sqrt(e.floored)),
        "gamma were left out": lambda e: e.xh + e.beta[:, None],
        "beta were left out": lambda e: e.xh * e.gamma[:, None],
        "beta were added before the scale": lambda e: (e.xh + e.beta[:, None]) * e.gamma[:, None],
        "the scale were 1 + gamma": lambda e: e.scale(e.xh) + e.xh,
        "the scale were the absolute value of gamma": lambda e: e.xh * abs(e.gamma)[:, None] + e.beta[:, None],
        "the first gamma scaled every channel": lambda e: e.xh * e.gamma[0] + e.beta[:, None],
        "the first beta shifted every channel": lambda e: e.xh * e.gamma[:, None] + e.beta[0],
        "the running statistics normalised in training": lambda e: e.scale(
            (e.x - e.rm[:, None]) / e.sqrt(e.rv + e.eps)[:, None]
        ),
        "the running statistics, just updated, normalised in training": lambda e: e.scale(
            (e.x - blend(e.rm, e.mu, e.a)[:, None]) / e.sqrt(blend(e.rv, e.stored, e.a) + e.eps)[:, None]
        ),
        "the variance were taken about the running mean": lambda e: e.by(e.sqrt(e.about_running_mean + e.eps)),
        "the mean were not taken off before squaring": lambda e: e.by(e.sqrt(e.second_moment + e.eps)),
        "the mean were not taken off": lambda e: e.scale(e.x * e.r[:, None]),
        "beta were taken off": lambda e: e.xh * e.gamma[:, None] - e.beta[:, None],
        "gamma and beta were left out": lambda e: e.xh,
        "it were the input": lambda e: e.x,
        "it were nothing": lambda e: e.x * 0,
        "mean and variance were of all channels together": lambda e: e.by_all_channels(),
        "mean and variance were of each example alone": lambda e: e.by_examples(),
    },
    "dx": {
        "gamma were left out": lambda e: e.dx(),
        "mean and variance were constants": lambda e: e.dx(mean=0.0, var=0.0) * e.gamma[:, None],
        "the mean were a constant": lambda e: e.dx(mean=0.0) * e.gamma[:, None],
        "the variance were a constant": lambda e: e.dx(var=0.0) * e.gamma[:, None],
        "eps were left out": lambda e: e.dx(rstd=1 / e.sqrt(e.v), xh=e.d / e.sqrt(e.v)[:, None]) * e.gamma[:, None],
        "eps were left out of the scale": lambda e: e.dx(rstd=1 / e.sqrt(e.v)) * e.gamma[:, None],
        "1/sqrt(. + eps) were taken of 1/sqrt(variance + eps)": lambda e: (
            e.dx(rstd=1 / e.sqrt(e.r + e.eps), xh=e.d / e.sqrt(e.r + e.eps)[:, None]) * e.gamma[:, None]
        ),
        "1/sqrt(. + eps) were taken of 1/sqrt(variance + eps) for the scale": lambda e: (
            e.dx(rstd=1 / e.sqrt(e.r + e.eps)) * e.gamma[:, None]
        ),
        "the term of the variance had the other sign": lambda e: e.dx(var=-1.0) * e.gamma[:, None],
        "the term of the variance were halved": lambda e: e.dx(var=0.5) * e.gamma[:, None],
        "the projection on xhat left eps out": lambda e: e.dx(xh=e.d / e.sqrt(e.v)[:, None]) * e.gamma[:, None],
        "the mean of dy were divided by N alone": lambda e: e.dx(mean=e.m / e.examples) * e.gamma[:, None],
        "sums stood for means": lambda e: e.dx(mean=e.m, var=e.m) * e.gamma[:, None],
        "rstd were squared": lambda e: e.dx() * (e.gamma * e.r)[:, None],
        "the absolute value of gamma were taken": lambda e: e.dx() * abs(e.gamma)[:, None],
        "rstd were left out": lambda e: e.dx() * (e.gamma / e.r)[:, None],
        "the divisor of the variance were m - 1": lambda e: e.dx(var=e.m / (e.m - 1)) * e.gamma[:, None],
        "gamma were applied twice": lambda e: e.dx() * (e.gamma * e.gamma)[:, None],
        "the running statistics had normalised": lambda e: e.g * (e.gamma / e.sqrt(e.rv + e.eps))[:, None],
        "it had the other sign": lambda e: -e.dx() * e.gamma[:, None],
        "it were doubled": lambda e: e.dx() * e.gamma[:, None] * 2,
        "it were halved": lambda e: e.dx() * e.gamma[:, None] / 2,
        "it were nothing": lambda e: e.x * 0,
        "it were dy": lambda e: e.g,
    },
    "dgamma": {
        "x stood for xhat": lambda e: (e.g * e.x).sum(axis=1),
        "the deviation, without rstd, stood for xhat": lambda e: (e.g * e.d).sum(axis=1),
        "y stood for xhat": lambda e: (e.g * e.scale(e.xh)).sum(axis=1),
        "it were a mean instead of a sum": lambda e: (e.g * e.xh).sum(axis=1) / e.m,
        "it were multiplied by gamma": lambda e: (e.g * e.xh).sum(axis=1) * e.gamma,
        "eps were left out": lambda e: (e.g * e.d).sum(axis=1) / e.sqrt(e.v),
        "it were doubled": lambda e: (e.g * e.xh).sum(axis=1) * 2,
        "it were nothing": lambda e: e.gamma * 0,
        "it had the other sign": lambda e: -(e.g * e.xh).sum(axis=1),
        "the running statistics had normalised": lambda e: (
            (e.g * (e.x - e.rm[:, None])).sum(axis=1) / e.sqrt(e.rv + e.eps)
        ),
    },
    "dbeta": {
        "it were doubled": lambda e: e.g.sum(axis=1) * 2,
        "it were nothing": lambda e: e.gamma * 0,
        "it were the sum of dx": lambda e: (e.dx() * e.gamma[:, None]).sum(axis=1),
        "it had the other sign": lambda e: -e.g.sum(axis=1),
        "it were a mean instead of a sum": lambda e: e.g.sum(axis=1) / e.m,
        "it were multiplied by gamma": lambda e: e.g.sum(axis=1) * e.gamma,
    },
}
"""By quantity: how the sentence that begins "it looks as if" goes on, and the formula that it stands for."""


def _from_training(quantity: str, *sentences: str) -> dict[str, Formula]:
    """Formulas that stand for the same in evaluation, where v, d and xh are by the running statistics."""
    return {sentence: IN_TRAINING[quantity][sentence] for sentence in sentences}


IN_EVALUATION: dict[str, dict[str, Formula]] = {
    "y": {
        "the batch's own statistics normalised": lambda e: e.by_batch(),
        "running_var were multiplied by m/(m-1)": lambda e: e.by(e.sqrt(e.v * e.m / (e.m - 1) + e.eps)),
        "running_var were multiplied by (m-1)/m": lambda e: e.by(e.sqrt(e.v * (e.m - 1) / e.m + e.eps)),
        "the mean were not taken off": lambda e: e.scale(e.x * e.r[:, None]),
    }
    | _from_training(
        "y", "eps were added outside the root", "eps were left out", "eps were added twice", "eps were squared",
        "eps were 1e-5, whatever was given", "the root were forgotten",
        "the larger of variance and eps stood for their sum", "gamma were left out", "beta were left out",
        "beta were added before the scale", "the scale were 1 + gamma", "the scale were the absolute value of gamma",
    ),
    "dx": {
        "gamma were left out": lambda e: e.g * e.r[:, None],
        "rstd were left out": lambda e: e.g * e.gamma[:, None],
        "rstd were squared": lambda e: e.g * (e.gamma * e.r * e.r)[:, None],
        "mean and variance were those of the batch, and depended on x": lambda e: e.dx_by_batch(),
        "the deviation of the batch divided": lambda e: e.g * (e.gamma / e.sqrt(e.s2 + e.eps))[:, None],
        "the running statistics depended on x": lambda e: e.dx() * e.gamma[:, None],
        "eps were left out": lambda e: e.g * (e.gamma / e.sqrt(e.v))[:, None],
        "it were nothing": lambda e: e.g * 0,
    },
    "dgamma": {
        "the batch's own statistics normalised": lambda e: (
            e.g * (e.x - e.mu[:, None])).sum(axis=1) / e.sqrt(e.s2 + e.eps),
        "it were nothing": lambda e: e.gamma * 0,
    }
    | _from_training(
        "dgamma", "x stood for xhat", "the deviation, without rstd, stood for xhat", "y stood for xhat",
        "it were a mean instead of a sum", "it were multiplied by gamma", "eps were left out",
    ),
    "dbeta": {"it were nothing": lambda e: e.gamma * 0}
    | _from_training("dbeta", "it were a mean instead of a sum", "it were multiplied by gamma"),
    "running_mean": {},
    "running_var": {},
}  # fmt: skip
"""The same of an evaluation."""
