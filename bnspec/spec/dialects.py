"""What right implementations legitimately disagree about: one row an implementation, data and no code.

Each row was measured or read (`source` says which); `bnspec.spec.equations` honours the fields. No row holds the weight
of the new batch: it is momentum or 1 - momentum, and 1 - 0.9 in float64 is not 0.1, so whoever judges forms it in the
arithmetic of the exact values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

Variance = Literal["biased", "unbiased"]
InitialByEps = Literal["1 - eps"]


@dataclass(frozen=True)
class Dialect:
    """The conventions of one implementation.

    Field names are the ones that a failure names when a subject follows another dialect; see `FIELDS` for what each
    decides in words. Values that do not speak for themselves:

    average: debiased is hidden/(1 - rho**k), which forgets the zero it starts from; first copied, the first batch
    replaces the initial values. training_statistics: running are the buffers, updated by this batch first, or frozen
    where nothing is stored. initial_mean, initial_var: 0 and 1 where the caller owns the buffers; 1 - eps is by the
    layer's own eps. buffer_shape: none without buffers. low_precision_output: as x, the dtype of x; promoted, the wider
    of x and parameters; policy, what the framework's policy says. constants: native is the precision of the
    computation. one_value: zeros is y = beta; x is y = x; as is, the formula as it falls, NaN included. empty_batch: an
    empty output, buffers untouched or NaN. integer_input: convert gives a floating-point y, truncate integers. None as
    a default: there is none.
    """

    name: str
    implementation: str
    normalises_with: Variance
    stores: Variance | Literal["nothing"]
    momentum_weighs: Literal["new", "old"]
    momentum_default: float | None
    momentum_none: Literal["cumulative", "refused", "not offered", "untried"]
    average: Literal["plain", "debiased", "first copied"]
    training_statistics: Literal["batch", "running"]
    initial_mean: float
    initial_var: float | InitialByEps
    buffer_shape: str
    channel_axis: int
    ranks: tuple[int, ...]
    low_precision_output: Literal["as x", "promoted", "float32", "policy", "refuse", "untried"]
    constants: Literal["native", "float32"]
    one_value: Literal["refuse", "zeros", "x", "as is", "untried"]
    empty_batch: Literal["refuse", "untouched", "nan", "untried"]
    eval_without_statistics: Literal["batch", "refuse", "not offered", "untried"]
    integer_input: Literal["refuse", "convert", "truncate", "untried"]
    eps_default: float | None
    source: str


FIELDS: dict[str, str] = {
    "name": "the name of the dialect",
    "implementation": "the implementation it describes",
    "normalises_with": "the variance that normalises",
    "stores": "the variance that is stored",
    "momentum_weighs": "the statistic that momentum weighs",
    "momentum_default": "the default of momentum",
    "momentum_none": "what momentum=None means",
    "average": "the kind of running average",
    "training_statistics": "the statistics that training normalises with",
    "initial_mean": "the initial running mean",
    "initial_var": "the initial running variance",
    "buffer_shape": "the shape of the buffers",
    "channel_axis": "the channel axis",
    "ranks": "the ranks that are accepted",
    "low_precision_output": "the dtype of the output for low-precision input",
    "constants": "the format in which eps and momentum are kept",
    "one_value": "what one value per channel does in training",
    "empty_batch": "what an empty training batch does",
    "eval_without_statistics": "evaluation without running statistics",
    "integer_input": "what integer input does",
    "eps_default": "the default of eps",
    "source": "where the row comes from",
}

RANKS_1_TO_6 = (1, 2, 3, 4, 5, 6)
RANKS_2_TO_6 = (2, 3, 4, 5, 6)

# A table is read by rows: each stays in a few lines.
# fmt: off
TORCH = Dialect(
    name="torch", implementation="torch.nn.BatchNorm1d, BatchNorm2d, BatchNorm3d", normalises_with="biased",
    stores="unbiased", momentum_weighs="new", momentum_default=0.1, momentum_none="cumulative", average="plain",
    training_statistics="batch", initial_mean=0.0, initial_var=1.0, buffer_shape="(C,)", channel_axis=1,
    ranks=(2, 3, 4, 5), low_precision_output="as x", constants="native", one_value="refuse", empty_batch="untouched",
    eval_without_statistics="batch", integer_input="refuse", eps_default=1e-5,
    source="measured with torch 2.13.0 (CPU); an empty or refused batch is counted in num_batches_tracked",
)
NATIVE = replace(
    TORCH, name="torch-native", implementation="torch.native_batch_norm", momentum_default=None,
    momentum_none="refused", ranks=RANKS_2_TO_6, one_value="as is", empty_batch="refuse",
    eval_without_statistics="not offered", eps_default=None,
    source="measured with torch 2.13.0 (CPU); the buffers are the caller's; a wrong number of channels reads out of"
    " bounds, and evaluation without buffers crashes",
)
TIMM = replace(
    TORCH, name="timm", implementation="timm.layers.BatchNormAct2d", ranks=(4,), low_precision_output="untried",
    integer_input="untried",
    source="measured with timm 1.0.31 on torch 2.13.0; one value and empty batches as inherited, not rerun",
)
FROZEN = replace(
    TIMM, name="timm-frozen", implementation="timm.layers.FrozenBatchNormAct2d", stores="nothing",
    momentum_default=None, momentum_none="not offered", training_statistics="running", one_value="untried",
    empty_batch="untried", eval_without_statistics="not offered",
    source="measured with timm 1.0.31 on torch 2.13.0; normalises_with is without effect: no batch variance is formed",
)
FLAX = replace(
    TORCH, name="flax", implementation="flax.linen.BatchNorm", stores="biased", momentum_weighs="old",
    momentum_default=0.99, momentum_none="untried", channel_axis=-1, ranks=RANKS_1_TO_6,
    low_precision_output="promoted", one_value="zeros", empty_batch="nan", eval_without_statistics="not offered",
    integer_input="convert",
    source="measured with flax 0.12.8 (jax 0.10.2); the output is that of x and parameters unless dtype is given;"
    " rank 1 has m = 1",
)
EQUINOX = replace(
    FLAX, name="equinox-ema", implementation='equinox.nn.BatchNorm, mode="ema"', average="first copied",
    training_statistics="running", initial_var=0.0, channel_axis=1, ranks=RANKS_2_TO_6, low_precision_output="refuse",
    integer_input="convert",
    source="measured with equinox 0.13.8 (jax 0.10.2); the buffers start uninitialised, zeros were seen; axis 1 of a"
    " batch, as it is mapped over single examples",
)
KERAS = replace(
    FLAX, name="keras", implementation="keras.layers.BatchNormalization, torch backend", ranks=RANKS_2_TO_6,
    low_precision_output="policy", eps_default=1e-3,
    source="measured with keras 3.15.1; a float64 layer computes in float32 on this backend",
)
ONNX = replace(
    TORCH, name="onnx", implementation="onnx ReferenceEvaluator, BatchNormalization", stores="biased",
    momentum_weighs="old", momentum_default=0.9, momentum_none="untried", ranks=RANKS_2_TO_6, constants="float32",
    one_value="zeros", empty_batch="nan", eval_without_statistics="not offered", integer_input="truncate",
    source="measured with onnx 1.23.2; the buffers are inputs, eps and momentum float32 attributes",
)

ROWS: tuple[Dialect, ...] = (
    TORCH,
    replace(
        TORCH, name="torch-functional", implementation="torch.nn.functional.batch_norm", momentum_none="refused",
        ranks=RANKS_2_TO_6, eval_without_statistics="refuse",
        source="measured with torch 2.13.0 (CPU); the buffers are the caller's and change in place",
    ),
    NATIVE,
    replace(
        NATIVE, name="torch-batch-norm", implementation="torch.batch_norm", empty_batch="untouched",
        eval_without_statistics="refuse",
        source="measured with torch 2.13.0 (CPU); what torch.nn.functional.batch_norm calls once it has checked sizes",
    ),
    replace(
        NATIVE, name="torch-decomposition", implementation="torch._decomp.decompositions.native_batch_norm_helper",
        low_precision_output="untried", one_value="refuse", empty_batch="nan", eval_without_statistics="refuse",
        source="measured with torch 2.13.0 (CPU); pure: the new buffers are returned; one value divides by zero",
    ),
    replace(
        TORCH, name="torch-compiled", implementation="torch.compile of torch.nn.BatchNorm1d, 2d, 3d, inductor",
        low_precision_output="untried",
        source="measured with torch 2.13.0 (CPU); refuses one value and integers when it traces",
    ),
    replace(
        TORCH, name="torch-sync", implementation="torch.nn.SyncBatchNorm", ranks=RANKS_2_TO_6,
        low_precision_output="untried",
        source="measured with torch 2.13.0 (CPU), one process without a group",
    ),
    replace(
        TORCH, name="torch-functional-replacement", implementation="torch.func.replace_all_batch_norm_modules_",
        stores="nothing", momentum_default=None, momentum_none="not offered", buffer_shape="none",
        low_precision_output="untried",
        source="measured with torch 2.13.0 (CPU); buffers are removed, eps is the module's, 1e-5 by default",
    ),
    TIMM,
    FROZEN,
    replace(
        TIMM, name="timm-split", implementation="timm.layers.SplitBatchNorm2d", one_value="untried",
        empty_batch="untried", eval_without_statistics="untried",
        source="measured with timm 1.0.31 on torch 2.13.0; each of num_splits parts is normalised by itself and the"
        " first alone is stored, which no field expresses; edges untried",
    ),
    FLAX,
    replace(
        FLAX, name="flax-nnx", implementation="flax.nnx.BatchNorm", low_precision_output="float32",
        source="measured with flax 0.12.8 (jax 0.10.2); statistics stay float32 whatever param_dtype",
    ),
    replace(
        FLAX, name="haiku", implementation="haiku.BatchNorm", momentum_default=None, average="debiased",
        initial_var=0.0, buffer_shape="(1, ..., 1, C)", ranks=RANKS_2_TO_6,
        source="measured with haiku 0.0.17 (jax 0.10.2); decay_rate has no default; reductions in low precision",
    ),
    EQUINOX,
    replace(
        EQUINOX, name="equinox-batch", implementation='equinox.nn.BatchNorm, mode="batch"', average="debiased",
        training_statistics="batch", initial_var=1.0, low_precision_output="promoted",
        source="measured with equinox 0.13.8 (jax 0.10.2); debiased when evaluated; initial values are of the hidden"
        " average",
    ),
    replace(
        FLAX, name="jax-standardize", implementation="jax.nn.standardize", stores="nothing", momentum_default=None,
        momentum_none="not offered", buffer_shape="none", low_precision_output="as x", empty_batch="untried",
        source="measured with jax 0.10.2; a function without state or modes, whose axis names what is summed over",
    ),
    KERAS,
    replace(
        KERAS, name="keras-jax", implementation="keras.layers.BatchNormalization, jax backend", ranks=RANKS_1_TO_6,
    ),
    replace(
        KERAS, name="keras-tensorflow", implementation="keras.layers.BatchNormalization, tensorflow backend",
        ranks=RANKS_1_TO_6,
        source="measured with keras 3.15.1 (tensorflow 2.21.0)",
    ),
    replace(
        KERAS, name="keras-numpy", implementation="keras.layers.BatchNormalization, numpy backend", ranks=RANKS_1_TO_6,
        source="measured with keras 3.15.1; no gradients; a float64 layer computes in float32 on this backend",
    ),
    replace(
        FLAX, name="tensorflow-fused", implementation="tf.raw_ops.FusedBatchNormV3", stores="unbiased",
        momentum_weighs="new", momentum_default=1.0, ranks=(4, 5), low_precision_output="as x", integer_input="refuse",
        eps_default=1e-4,
        source="measured with tensorflow 2.21.0 (CPU); pure: the new buffers are returned; m - 1 is clamped to 1",
    ),
    replace(
        TORCH, name="paddle", implementation="paddle.nn.BatchNorm1D, BatchNorm2D, BatchNorm3D", stores="biased",
        momentum_weighs="old", momentum_default=0.9, momentum_none="untried", low_precision_output="refuse",
        constants="float32", one_value="x", eval_without_statistics="not offered",
        source="measured with paddle 3.3.1 (CPU), which has no low-precision kernel there",
    ),
    replace(
        TORCH, name="mlx", implementation="mlx.nn.BatchNorm", momentum_none="untried", channel_axis=-1, ranks=(2, 3, 4),
        low_precision_output="promoted", empty_batch="nan", eval_without_statistics="untried", integer_input="convert",
        source="measured with mlx 0.32.4 (CPU); releases before ml-explore/mlx#3817 stored the biased variance",
    ),
    replace(
        TORCH, name="tinygrad", implementation="tinygrad.nn.BatchNorm", momentum_none="untried", ranks=RANKS_2_TO_6,
        low_precision_output="promoted", empty_batch="nan", eval_without_statistics="untried", integer_input="convert",
        source="measured with tinygrad 0.14.0 (CPU device); one value divides by zero",
    ),
    replace(
        TORCH, name="chainer", implementation="chainer.links.BatchNormalization", momentum_weighs="old",
        momentum_default=0.9, momentum_none="untried", ranks=RANKS_2_TO_6, one_value="zeros", empty_batch="nan",
        eval_without_statistics="not offered", eps_default=2e-5,
        source="measured with chainer 7.8.1; finetune=True is the cumulative average",
    ),
    ONNX,
    replace(
        ONNX, name="onnxruntime", implementation="onnxruntime, BatchNormalization with training_mode=1",
        integer_input="refuse",
        source="measured with onnxruntime 1.32.0 (CPU), float16 included, bfloat16 untried",
    ),
    replace(
        FROZEN, name="onnx-inference", implementation="onnxruntime, BatchNormalization without training_mode",
        ranks=RANKS_2_TO_6, constants="float32", eps_default=1e-5,
        source="measured with onnxruntime 1.32.0 (CPU); of an exported model, which does not train",
    ),
    replace(
        TORCH, name="d2l", implementation="Dive into Deep Learning, BatchNorm from scratch (PyTorch)", stores="biased",
        momentum_default=0.9, momentum_none="not offered", buffer_shape="(1, C, 1, ..., 1)", ranks=(2, 4),
        low_precision_output="untried", one_value="zeros", empty_batch="nan", eval_without_statistics="not offered",
        source="measured on the text of d2l-ai/d2l-en, typed anew; other editions weigh the old statistic",
    ),
    replace(
        TORCH, name="makemore",
        implementation="the BatchNorm1d of the makemore lectures, which this project started from",
        normalises_with="unbiased", momentum_none="refused", channel_axis=-1, ranks=(2,),
        low_precision_output="promoted", one_value="as is", empty_batch="nan", eval_without_statistics="not offered",
        source="measured with torch 2.13.0 (CPU); its axis is the last, which is axis 1 in rank 2; its buffers"
        " turn (1, C) with the first batch, a defect and no convention",
    ),
    replace(
        FROZEN, name="torchvision-frozen", implementation="torchvision.ops.FrozenBatchNorm2d", eps_default=0.0,
        source="read, not run: an old commit, without eps",
    ),
    replace(
        FROZEN, name="detectron2-frozen", implementation="detectron2.layers.FrozenBatchNorm2d", initial_var="1 - eps",
        source="read, not run: rv starts at 1 - eps, so that a new layer is the identity",
    ),
    replace(
        TIMM, name="detectron2-sync", implementation="detectron2.layers.NaiveSyncBatchNorm", stores="biased",
        one_value="untried", empty_batch="untried", eval_without_statistics="untried",
        source="read, not run: the synchronised path; in one process it is torch's, which stores the unbiased",
    ),
)
# fmt: on

DIALECTS: dict[str, Dialect] = {row.name: row for row in ROWS}


def is_frozen(dialect: Dialect) -> bool:
    """Does training normalise with the running statistics and leave them?"""
    return dialect.training_statistics == "running" and dialect.stores == "nothing"


def may_average(dialect: Dialect) -> bool:
    """Can momentum=None mean anything but the plain average, of a layer that takes it? Where others refuse it, no."""
    return dialect.momentum_none in ("cumulative", "refused")


def find_initial_var(dialect: Dialect, eps: float) -> float:
    """The running variance of a new layer of this eps."""
    return 1.0 - eps if isinstance(dialect.initial_var, str) else dialect.initial_var


class UnknownDialect(ValueError):
    """No dialect has this name; the message names close ones and how to list all."""


def find_dialect(name: str) -> Dialect:
    """The dialect of a name such as torch. Raises UnknownDialect."""
    if name in DIALECTS:
        return DIALECTS[name]
    close = get_close_matches(name.lower(), DIALECTS, n=3)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    listing = "python -c 'from bnspec.spec.dialects import DIALECTS; print(*DIALECTS)'"
    raise UnknownDialect(f"there is no dialect {name!r}: {hint}All names: {listing}")


def neighbours(field: str, value: object) -> list[str]:
    """Names of the dialects that have `value` in `field`. Raises ValueError where there is no such field."""
    if field not in FIELDS:
        close = get_close_matches(field, FIELDS, n=3) or list(FIELDS)
        raise ValueError(f"a dialect has no field {field!r}: did you mean one of {', '.join(close)}?")
    return [name for name, row in DIALECTS.items() if getattr(row, field) == value]
