"""Family B: bad and degenerate input. Enumerated rather than drawn, and run in a process of its own."""

from __future__ import annotations

from bnspec.spec.clause import ENUMERATED, Clause

BAD_INPUT: tuple[Clause, ...] = (
    Clause(
        id="B1",
        title="a wrong number of channels is refused",
        statement="x with more channels than the layer, with fewer, or with one is refused: no silent broadcast.",
        why="With one channel every parameter broadcasts against x, and the output has C channels that nobody gave.",
        source="FluxML/Flux.jl#1430; measured: torch.native_batch_norm reads out of bounds",
        bound="an exception",
        status="active",
        informative=ENUMERATED,
    ),
    Clause(
        id="B2",
        title="a wrong rank is refused",
        statement="x of a single axis is refused; x of another rank than those promised is refused, or normalised as"
        " F1 and E1 say.",
        why="Elsewhere axis 1 is no channel axis, or there is none.",
        source="pytorch/pytorch#105458",
        bound="an exception",
        status="active",
        informative=ENUMERATED,
    ),
    Clause(
        id="B3",
        title="integer, complex and mixed dtypes",
        statement="Integer input is refused or converted to the right answer; complex input is refused"
        " or normalised by the mean of |x - mu|^2; another dtype of x than that of the parameters is refused or"
        " converted. Nothing is truncated to integers, unless the dialect says so.",
        why="The normalised values are not integers; and (x - mu)^2 of complex numbers is no squared distance.",
        source="measured: a reference evaluator that returns int64; NVIDIA/apex#133",
        bound="an exception, or e_y of the converted input",
        status="active",
        informative=ENUMERATED,
    ),
    Clause(
        id="B4",
        title="one value per channel",
        statement="In training, m = 1 is refused, or gives what the dialect says (y = beta, y = x, or the formula as it"
        " stands); in evaluation it is ordinary input (E1).",
        why="With m = 1 the deviation is 0 and the unbiased variance 0/0: nothing can be learnt from the batch.",
        source="pytorch/pytorch#1381, tensorflow/tensorflow#34062, torch/nn#1271",
        bound="an exception, or e_y of what the dialect says; e_y of E1 in evaluation",
        status="active",
        informative=ENUMERATED,
    ),
    Clause(
        id="B5",
        title="an empty batch",
        statement="In training, m = 0 is refused, or returns an empty output and leaves the buffers where the dialect"
        " says so; where its implementation spoils them, B10 has that. In evaluation the output of no"
        " examples is empty, and examples without positions may be refused.",
        why="The mean of nothing is 0/0; averaged into rm and rv it never leaves again.",
        source="pytorch/pytorch#12013, pytorch/pytorch#120882",
        bound="an exception, or shapes and bits",
        status="active",
        informative=ENUMERATED,
    ),
    Clause(
        id="B6",
        title="running statistics stay finite",
        statement='No finite input that is accepted, with m >= 2 and inside the domain of chapter "domain", turns a'
        " running statistic into NaN or infinity.",
        why="mu and b s2 are finite there, and R2 is a convex combination: |rm'| <= max(|rm|, |mu|).",
        source="facebookresearch/SparseConvNet#190, tensorflow/tensorflow#14353",
        bound="finite or not",
        status="active",
        needs=("running_statistics",),
    ),
    Clause(
        id="B7",
        title="a refusal leaves the state",
        statement="Input that was refused leaves rm, rv, gamma and beta.",
        why="A caller who catches the exception goes on with the layer: a half-made update would stay in it.",
        source="first principles; compare torch/nn#1271",
        bound="bit for bit",
        status="active",
        needs=("running_statistics",),
        informative=ENUMERATED,
    ),
    Clause(
        id="B8",
        title="a refusal is an exception",
        statement="Where this family asks for a refusal it is an exception, of whatever kind; not a crash and not a"
        " silent result; and no call of it ends the process, or does not return.",
        why="A program can go on after an exception only, and only an exception is noticed.",
        source="pytorch/pytorch#120882, pytorch/pytorch#105458",
        bound="an exception",
        status="active",
        informative=ENUMERATED,
    ),
    Clause(
        id="B9",
        title="a refusal is not counted",
        statement="Input that was refused leaves the counter too.",
        why="The plain average divides by the counter (R4): a batch that was counted and not averaged makes every later"
        " average wrong.",
        source="measured: torch.nn.BatchNorm* counts the batch it refuses; hence SHOULD",
        bound="equal integers",
        level="SHOULD",
        status="active",
        needs=("running_statistics", "counter"),
        informative=ENUMERATED,
    ),
    Clause(
        id="B10",
        title="an empty batch spoils nothing",
        statement="Where an empty training batch is accepted, the running statistics stay finite.",
        why="As B5: what is NaN once is NaN for ever. A clause of its own because dialects that shipped spoil them.",
        source="tensorflow/tensorflow#14353; measured: most frameworks but torch, hence SHOULD",
        bound="finite or not",
        level="SHOULD",
        status="active",
        needs=("running_statistics",),
        informative=ENUMERATED,
    ),
)
