"""Family S: state and life cycle."""

from __future__ import annotations

from bnspec.spec.clause import RARE, Clause

BUFFERS = ("running_statistics",)

STATE: tuple[Clause, ...] = (
    Clause(
        id="S1",
        title="save and restore is the identity",
        statement="A layer restored from what another saved, by itself or as a part of a model, has its gamma, beta,"
        " rm, rv and counter, and evaluates with them, whatever it did before; saving changes nothing, nor does"
        " restoring an empty state; restoring gamma and beta alone leaves the rest; training the restored layer leaves"
        " the other.",
        why="The state is these five; whatever is not saved, or is changed on the way, is lost.",
        source="pytorch/pytorch#110361, pytorch/pytorch#8481, facebookresearch/detectron2#3160, torch/nn#609",
        bound="bit for bit; e_y of the evaluation",
        status="active",
        needs=("running_statistics", "saves"),
        informative=RARE,
    ),
    Clause(
        id="S2",
        title="copies are independent",
        statement="A copy made after a training pass, or one that went through bytes where that is possible, has the"
        " state of its original and its mode, and trains with its own state; writing to either or training it leaves"
        " the other.",
        why="A copy that shares a buffer is a second name, not a second layer.",
        source="first principles; measured: a buffer that holds a graph cannot be copied",
        bound="bit for bit; e_y, e_rm, e_rv, e_dx, e_dgamma, e_dbeta of the copy's own pass",
        status="active",
        needs=("running_statistics", "copies"),
        informative=RARE,
    ),
    Clause(
        id="S3",
        title="a conversion moves everything",
        statement="After a conversion to another dtype, parameters and buffers all have it, each value rounded once,"
        " the counter is as it was, and F1, R2 and E1 hold there.",
        why="One tensor left behind is a mixture that fails later, or is silently converted in each call.",
        source="NVIDIA/apex#133, apple/coreai-torch#54, open-mmlab/mmengine#1624",
        bound="values rounded to nearest in the new dtype; then e_y, e_rm, e_rv",
        status="active",
        needs=("running_statistics", "converts"),
        informative=RARE,
    ),
    Clause(
        id="S4",
        title="modes and freezing mean what they say",
        statement="After any sequence of switches, with or without calls in between, a layer in training does F1 and R2"
        " and one in evaluation, which is how layers are frozen, E1 and E4; a switch itself changes no parameter and no"
        " buffer, nor does it matter which parameters need a gradient.",
        why="The mode is one fact about the layer, not a history of calls.",
        source="mlcommons/algorithmic-efficiency#783, pgniewko/gt-pyg#112, tianweiy/CenterPoint#168,"
        " keras-team/keras#9522",
        bound="e_y, e_rm, e_rv; bit for bit where nothing may change",
        status="active",
        needs=("running_statistics", "evaluation"),
        informative=RARE,
    ),
    Clause(
        id="S5",
        title="random histories agree with the model",
        statement="In a random sequence of passes, backwards that wait, writes, switches, new eps and momentum, saves,"
        " copies, conversions, resets and refused input, output, gradients, state and counter of each step are those"
        " of a model that follows the formulas from the state before it; outputs that were handed out and layers that"
        " were replaced stay as they were.",
        why="Each clause looks at one act; faults that need three in a row show in a state machine. All that a layer"
        " may remember is its state, so the state before a step is all that the step may depend on.",
        source="first principles; keras-team/keras#8794, pytorch/pytorch#110361",
        bound="bit for bit where nothing is computed; e_y, e_rm, e_rv, e_dx, e_dgamma, e_dbeta of each step, their sums"
        " where passes are added up",
        status="active",
        needs=("running_statistics", "loadable"),
        informative=RARE,
        restates=("F1", "R2", "R11", "R12", "E1", "E4", "E8", "G1", "G2", "G8", "S1", "S2", "S3", "S4", "S6", "S8"),
    ),
    Clause(
        id="S6",
        title="one layer, used twice",
        statement="A layer used twice in a step makes two updates, one after the other, and the backwards none. Where"
        " recomputation (activation checkpointing) is promised, the forward that runs again in the backward makes a"
        " second update, and y and the gradients are those of F1 and G1.",
        why="R7: one update a training forward. A recomputed forward is a second one: torch runs it to the end unless"
        " told to stop early, which leaves open whether the update is among what runs.",
        source="keras-team/keras#8794, Tencent/YOLO-Master#262, facebookresearch/fairscale#1035",
        bound="e_rm and e_rv of two steps, bit for bit over the backwards; e_y, e_dx, e_dgamma, e_dbeta",
        status="active",
        needs=("running_statistics", "gradients", "reentrance", "loadable"),
        informative=RARE,
    ),
    Clause(
        id="S7",
        title="the process is left alone",
        statement="Making, training, differentiating and evaluating a layer leave the state that it shares with its"
        " process: random numbers of Python, NumPy and the framework, its default dtype, threads and gradient mode, the"
        " working directory, the treatment of warnings and of floating-point errors.",
        why="F1, E1 and G1 are functions of input and state: nothing else is to be written, nor drawn. Whatever is"
        " changed shows in another layer, far from its cause.",
        source="first principles",
        bound="equal or not",
        level="SHOULD",
        status="provisional",
        informative=(1, 4, 32),
    ),
    Clause(
        id="S8",
        title="eps and momentum set later",
        statement="Where eps and momentum are attributes that the layer documents, every pass after they were set goes"
        " by the new ones: F1, R2, R4 (momentum None), E1, G1 and G2.",
        why="Networks are tuned after they are built: eps and momentum of all their batch norms are set in a loop, and"
        " stochastic weight averaging sets momentum to None before it passes the data once more.",
        source="torch.optim.swa_utils.update_bn; torch.nn.BatchNorm2d, attributes",
        bound="those of the clauses that it names",
        status="active",
        needs=("running_statistics", "evaluation", "retunes", "loadable"),
        informative=RARE,
    ),
)
