"""The formulas of `docs/bounds.md` a second time, in plain numbers and one channel at a time.

Written from the page and not from `bnspec/spec`, so that `tests/test_bounds_by_the_page.py` notices a change of either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bnspec.spec.bounds import Rounding
from bnspec.spec.formats import FLOAT32, Format

Numbers = Sequence[float]


def unit(f: Format) -> float:
    return math.ldexp(1.0, -f.precision)


def subnormal(f: Format) -> float:
    return math.ldexp(1.0, f.emin - (f.precision - 1))


def largest(f: Format) -> float:
    return math.ldexp(math.ldexp(1.0, f.precision) - 1, f.emax - (f.precision - 1))


def underflow(f: Format, r: Rounding) -> float:
    return math.ldexp(1.0, f.emin) if r.flushes else subnormal(f)


def rounded_to(f: Format, r: Rounding) -> tuple[float, float]:
    """u' and w' of a format, if it is narrower than the arithmetic."""
    return (unit(f), subnormal(f)) if f.precision < r.arithmetic.precision else (0.0, 0.0)


def choose_formats(storage: Format, parameters: Format, flushes: bool) -> Rounding:
    arithmetic = FLOAT32 if storage.precision < FLOAT32.precision else storage
    narrow = min(arithmetic, parameters, key=lambda f: f.precision)
    return Rounding(arithmetic, narrow, storage, parameters, narrow, storage, flushes)


def acc(n: float, f: Format) -> float:
    nu = n * unit(f)
    return nu / (1 - nu) if nu < 0.5 else math.inf


def store(error: float, exact: float, f: Format, r: Rounding) -> float:
    u_f, w_f = rounded_to(f, r)
    error += u_f * (abs(exact) + error) + w_f
    return error if abs(exact) + error < largest(f) else math.inf


def sizes(values: Numbers) -> list[float]:
    return [abs(value) for value in values]


def mean(values: Numbers) -> float:
    return sum(values) / len(values)


def dot(a: Numbers, b: Numbers) -> float:
    return sum(p * q for p, q in zip(a, b, strict=True))


def and_mean(values: Numbers) -> list[float]:
    """Each with the mean of all: what centring adds up, or makes of errors."""
    common = mean(values)
    return [value + common for value in values]


def mean_and_variance(
    x: Numbers, mu: float, s2: float, running: float, algorithm: str, r: Rounding
) -> tuple[float, float]:
    """e_mu and e_s2."""
    if algorithm == "any":
        ways = (("textbook", r), ("shifted", replace(r, forward=r.arithmetic)))
        e_mus, e_s2s = zip(*(mean_and_variance(x, mu, s2, running, *way) for way in ways), strict=True)
        return max(e_mus), max(e_s2s)
    m, A, mu, w = len(x), mean(sizes(x)), abs(mu), underflow(r.arithmetic, r)
    (u_f, w_f), (u_kept, w_kept) = rounded_to(r.forward, r), rounded_to(r.kept, r)
    K = max(*sizes(x), running) if algorithm == "shifted" else 0.0
    far = max(*sizes(x), K)
    if m * (far * far) >= largest(r.forward) / 8:
        return math.inf, math.inf
    e_mu = acc(m + 4 + 2 * math.log(m), r.arithmetic) * (A + K) + 2 * w
    if algorithm in ("stable", "shifted"):
        e_mu += m / 4 * w
    e_mu += 2 * u_kept * (mu + e_mu) + 2 * u_kept * (A + K if u_f else A) + 4 * w_kept
    q = acc(m + 5, r.arithmetic) + 7 * u_f
    e_s2 = q * s2 + 1.1 * e_mu * e_mu + 2 * w
    e_s2 += q * mu * mu + 2 * mu * e_mu if algorithm == "textbook" else q * e_mu * e_mu
    if algorithm in ("stable", "shifted"):
        e_s2 += 2.5 * e_mu * math.sqrt(s2)
    if algorithm == "shifted":
        e_s2 += q * (s2 + (K + mu) * (K + mu)) + 2 * (K + mu) * q * (A + K)
    if u_kept:
        e_s2 += u_kept * (s2 + e_s2) + w_kept + w_f
    return e_mu, e_s2


@dataclass(frozen=True)
class Errors:
    """e_mu, e_s2, e_r, and R."""

    mu: float
    s2: float
    r: float
    R: float


def rstd(e_mu: float, e_s2: float, v: float, m_over_K: float, eps: float, r: Rounding) -> Errors:
    u, (u_f, w_f), (u_kept, w_kept) = unit(r.arithmetic), rounded_to(r.forward, r), rounded_to(r.kept, r)
    e_v = m_over_K * e_s2 + (2 * u * v if m_over_K != 1 else 0)
    low = max(v + eps - e_v, eps * (1 - 4 * u)) * (1 - 2 * u_f) - 2 * w_f
    high = (v + eps + e_v) * (1 + 2 * u_f) + 2 * w_f
    if low <= 0:
        return Errors(e_mu, e_s2, math.inf, math.inf)
    exact = 1 / math.sqrt(v + eps)
    e_r = max(1 / math.sqrt(low) - exact, exact - 1 / math.sqrt(high))
    e_r += acc(6 + abs(math.log(low)) / 2, r.forward) / math.sqrt(low)
    e_r += u_kept * (exact + e_r) + w_kept
    return Errors(e_mu, e_s2, e_r, exact + e_r if exact + e_r < largest(r.kept) else math.inf)


@dataclass(frozen=True)
class Channel:
    """x, mu, r, d, gamma and beta, and what follows from them at once."""

    x: Numbers
    mu: float
    r: float
    d: Numbers
    gamma: float
    beta: float

    @property
    def xhat(self) -> list[float]:
        return [abs(d) * self.r for d in self.d]

    def is_clamped(self, e: Errors) -> bool:
        return e.s2 >= dot(self.d, self.d) / len(self.d)

    def from_statistics(self, e: Errors) -> list[float]:
        return [abs(d) * e.r + e.mu * e.R for d in self.d]

    def e_xhat(self, e: Errors, r: Rounding) -> list[float]:
        rounded = [acc(8, r.backward) * e.R * (abs(x) + abs(self.mu) + e.mu) for x in self.x]
        return [a + b for a, b in zip(self.from_statistics(e), rounded, strict=True)]


def output(c: Channel, y: Numbers, e: Errors, r: Rounding) -> list[float]:
    gamma, beta, M, R, f = abs(c.gamma), abs(c.beta), abs(c.mu) + e.mu, e.R, r.forward
    w, u_kept, (u_out, w_out) = underflow(f, r), rounded_to(r.kept, r)[0], rounded_to(r.output, r)
    errors = []
    for x, d, xhat, e_xhat, exact in zip(sizes(c.x), sizes(c.d), c.xhat, c.from_statistics(e), y, strict=True):
        error = gamma * (e_xhat + acc(5, f) * R * (x + M)) + acc(3, f) * beta
        error += 4 * w * (1 + gamma * (1 + R) + x + M)
        if u_kept:
            error += u_kept * (gamma * R * (d + 2 * M) + beta)
        if r.output.precision < f.precision:
            error += gamma * (u_out * (xhat + e_xhat) + w_out)
        held = max(gamma, 1) * R * max(x + M, 1) + beta
        errors.append(store(error, exact, r.output, r) if held < largest(f) / 2 else math.inf)
    return errors


def blend(
    old: float, new: float, result: float, e_old: float, e_new: float, a: float, debiased: float, r: Rounding
) -> float:
    u_kept, _ = rounded_to(r.kept, r)
    coarse = r.kept if u_kept else r.arithmetic
    size = abs(old) + e_old + (abs(new) + e_new if a != 0 else 0)
    error = abs(1 - a) * e_old + a * e_new + acc(6, coarse) * (a + abs(1 - a)) * size + 2 * underflow(r.arithmetic, r)
    return store(error + 2 * u_kept * a * size + acc(debiased, coarse) * size, result, r.parameters, r)


def debiasing(rho: float, k: int) -> float:
    return (2 * k + 3) * rho**k / (1 - rho**k) if rho < 1 else math.inf


@dataclass(frozen=True)
class Gradients:
    """Errors by x, by gamma, and by beta or, at second order, by g."""

    x: Numbers
    gamma: float
    last: float | Numbers


def gradients(
    c: Channel, g: Numbers, dx: Numbers, dgamma: float, dbeta: float, e: Errors, K: int | None, r: Rounding
) -> Gradients:
    m, R, M, gamma, f = len(g), e.R, abs(c.mu) + e.mu, abs(c.gamma), r.arithmetic
    G, X = sum(sizes(g)), dot(sizes(g), sizes(c.x))
    u_b, w = rounded_to(r.backward, r)[0], underflow(r.backward, r)
    e_beta = acc(m, f) * G + u_b * abs(dbeta) + (2 * m * underflow(f, r) if r.flushes else 0)
    e_gamma = R * ((acc(m + 6, f) + 6 * u_b) * (X + M * G) + e.mu * G)
    e_gamma += abs(dot(g, c.d)) * e.r + 4 * w * ((1 + R) * m + G)
    T, e_x = evaluated(c, g, e, r) if K is None else trained(c, g, dx, dgamma, dbeta, e_gamma, e, K, r)
    cubed = max(R, 1) ** 3 * max(G, 1) * max(max(sizes(c.x)) + M, 1) ** 2 * max(gamma, 1)
    safe = cubed < largest(r.forward) / 8 and max(X + M * G, G, R * max(T)) < largest(r.backward) / 8
    unsafe = 0.0 if safe else math.inf
    by_x = [store(error + unsafe, exact, r.output, r) for error, exact in zip(e_x, dx, strict=True)]
    return Gradients(by_x, store(e_gamma + unsafe, dgamma, r.parameters, r), store(e_beta, dbeta, r.parameters, r))


def evaluated(c: Channel, g: Numbers, e: Errors, r: Rounding) -> tuple[list[float], list[float]]:
    """T and e_dx."""
    gamma, u_kept, w = abs(c.gamma), rounded_to(r.kept, r)[0], underflow(r.backward, r)
    scale = acc(4, r.backward) * gamma * e.R + gamma * e.r + 2 * u_kept * gamma * e.R
    return sizes(g), [scale * one + 2 * w * (1 + gamma + e.R + one) for one in sizes(g)]


def trained(
    c: Channel, g: Numbers, dx: Numbers, dgamma: float, dbeta: float, e_gamma: float, e: Errors, K: int, r: Rounding
) -> tuple[list[float], list[float]]:
    """T and e_dx."""
    m, R, M, gamma, f = len(g), e.R, abs(c.mu) + e.mu, abs(c.gamma), r.arithmetic
    u_b, u_kept, w = rounded_to(r.backward, r)[0], rounded_to(r.kept, r)[0], underflow(r.backward, r)
    G, X, h, e_h = sum(sizes(g)), dot(sizes(g), sizes(c.x)), abs(dgamma) / K, e_gamma / K
    e_gbar = acc(m + 2, f) * G / m + 2 * u_b * (G + abs(dbeta)) / m
    T = [one + abs(dbeta) / m + xhat * h for one, xhat in zip(sizes(g), c.xhat, strict=True)]
    errors = []
    for x, xhat, e_xhat, t, exact in zip(sizes(c.x), c.xhat, c.e_xhat(e, r), T, sizes(dx), strict=True):
        inner = e_gbar + xhat * e_h + h * e_xhat + e_xhat * e_h + (acc(m + 4, f) + 4 * u_b) * h * m / K
        inner += xhat * h if c.is_clamped(e) else 0
        error = gamma * R * (inner + (acc(8, r.backward) + 2 * u_kept) * (t + inner))
        error += e.r * exact / c.r if gamma else 0
        errors.append(error + 8 * w * (1 + gamma) * (1 + X + (1 + M) * G) * (1 + R) ** 3 * (1 + x + M))
    return T, errors


@dataclass(frozen=True)
class Upstream:
    """A gradient or a direction, its dgamma, and the errors of that and of its dx."""

    values: Numbers
    dgamma: float
    e_gamma: float
    e_x: Numbers


def pushed(
    u: Upstream, a: float, b: float, c: Channel, y: Numbers, e: Errors, K: int | None, r: Rounding
) -> list[float]:
    e_y, scale, S = output(replace(c, gamma=a, beta=b), y, e, r), abs(c.gamma) * c.r, sizes(u.values)
    if K is not None:
        S = [one + xhat * abs(u.dgamma) / K for one, xhat in zip(and_mean(S), c.xhat, strict=True)]
    added_up = [abs(a) * xhat + abs(b) + scale * one for one, xhat in zip(S, c.xhat, strict=True)]
    return [p + q + acc(4, r.arithmetic) * size for p, q, size in zip(u.e_x, e_y, added_up, strict=True)]


def second_order(
    g: Upstream, u: Upstream, a: float, b: float, c: Channel, y: Numbers, e: Errors, K: int | None, r: Rounding
) -> Gradients:
    by_x, by_gamma = evaluated_twice(g, u, a, e, r) if K is None else trained_twice(g, u, a, c, e, K, r)
    most = (1 + e.R) ** 5 * (1 + sum(sizes(g.values))) * (1 + sum(sizes(u.values)))
    most *= (1 + max(sizes(c.x)) + abs(c.mu)) ** 3 * (1 + abs(a) + abs(c.gamma))
    lost = 32 * underflow(r.arithmetic, r) * most if most < largest(r.arithmetic) / 8 else math.inf
    return Gradients([error + lost for error in by_x], by_gamma + lost, pushed(u, a, b, c, y, e, K, r))


def evaluated_twice(g: Upstream, u: Upstream, a: float, e: Errors, r: Rounding) -> tuple[list[float], float]:
    n, six = acc(len(g.values) + 12, r.arithmetic), acc(6, r.arithmetic)
    by_x = [abs(a) * (six * e.R + e.r) * one for one in sizes(g.values)]
    return by_x, (n * e.R + e.r) * dot(sizes(g.values), sizes(u.values))


def trained_twice(
    g: Upstream, u: Upstream, a: float, c: Channel, e: Errors, K: int, r: Rounding
) -> tuple[list[float], float]:
    n, a, gamma, R, places = acc(len(c.x) + 12, r.arithmetic), abs(a), abs(c.gamma), e.R, range(len(c.x))
    xhat, e_xhat, clamped = c.xhat, c.e_xhat(e, r), float(c.is_clamped(e))
    h, q, e_h, e_q = abs(g.dgamma) / K, abs(u.dgamma) / K, g.e_gamma / K, u.e_gamma / K
    G, U = and_mean(sizes(g.values)), and_mean(sizes(u.values))

    def project(raw: Numbers, hq: float, e_hq: float) -> tuple[list[float], list[float]]:
        size = [raw[i] + xhat[i] * hq for i in places]
        error = [n * size[i] + e_xhat[i] * (hq + e_hq) + xhat[i] * e_hq + clamped * xhat[i] * hq for i in places]
        return size, and_mean(error)

    (W, e_w), (S, e_s) = project(G, h, e_h), project(U, q, e_q)
    P = dot(G, U) / K + 3 * q * h
    e_p = n * (dot(G, U) / K + q * h) + (dot(sizes(u.values), e_w) + dot(sizes(g.values), e_s)) / K
    e_p += 3 * (q * e_h + h * e_q + e_q * e_h)
    Z = [q * W[i] + h * S[i] + xhat[i] * P for i in places]
    of_q = [e_q * W[i] + (q + e_q) * e_w[i] for i in places]
    of_h = [e_h * S[i] + (h + e_h) * e_s[i] for i in places]
    of_p = [e_xhat[i] * (P + e_p) + xhat[i] * e_p for i in places]
    inner = and_mean([of_q[i] + of_h[i] + of_p[i] + (n + clamped) * Z[i] for i in places])
    of_a = [R * e_w[i] + e.r * W[i] + n * R * W[i] for i in places]
    of_gamma = [R**2 * inner[i] + 2 * R * e.r * Z[i] + n * R**2 * Z[i] for i in places]
    by_x = [a * of_a[i] + gamma * of_gamma[i] for i in places]
    return by_x, R * K * e_p + e.r * K * P + clamped * R * K * q * h


def through(e_g: Numbers, c: Channel, e: Errors, K: int | None, r: Rounding) -> Gradients:
    H = [xhat + error for xhat, error in zip(c.xhat, c.e_xhat(e, r), strict=True)]
    common, along = (0.0, 0.0) if K is None else (mean(e_g), dot(H, e_g) / K)
    by_x = [1.1 * abs(c.gamma) * e.R * (one + common + hat * along) for one, hat in zip(e_g, H, strict=True)]
    return Gradients(by_x, 1.1 * dot(H, e_g), 1.1 * sum(e_g))
