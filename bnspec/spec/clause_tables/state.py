"""Family S: state and life cycle."""

from __future__ import annotations

from bnspec.spec.clause import RARE, Clause

BUFFERS = ("running_statistics",)

STATE: tuple[Clause, ...] = (
    Clause(
        id="S1",
        title="save and restore is the identity",
        statement="A layer restored from what another saved has its gamma, beta, rm, rv and counter; restoring an empty"
        " state changes nothing.",
        why="The state is these five; whatever is not saved, or is changed on the way, is lost.",
        source="pytorch/pytorch#110361, pytorch/pytorch#8481, facebookresearch/detectron2#3160, torch/nn#609",
        bound="bit for bit",
        needs=BUFFERS,
        informative=RARE,
    ),
    Clause(
        id="S2",
        title="copies are independent",
        statement="A copy has the state of its original, and training either leaves the other.",
        why="A copy that shares a buffer is a second name, not a second layer.",
        source="first principles; measured: a buffer that holds a graph cannot be copied",
        bound="bit for bit",
        needs=BUFFERS,
        informative=RARE,
    ),
    Clause(
        id="S3",
        title="a conversion moves everything",
        statement="After a conversion to a dtype or device, parameters and buffers are all there, each rounded once,"
        " and F1, R2 and E1 hold with them.",
        why="One tensor left behind is a mixture that fails later, or is silently converted in each call.",
        source="NVIDIA/apex#133, apple/coreai-torch#54, open-mmlab/mmengine#1624",
        bound="values rounded to nearest in the new dtype; then e_y, e_rm, e_rv",
        needs=BUFFERS,
        informative=RARE,
    ),
    Clause(
        id="S4",
        title="modes and freezing mean what they say",
        statement="After any sequence of switches, a layer in training does F1 and R2, a layer in evaluation E1 and E4,"
        " and a frozen one leaves its buffers until it is thawed; switching twice is switching once.",
        why="The mode is one fact about the layer, not a history of calls.",
        source="mlcommons/algorithmic-efficiency#783, pgniewko/gt-pyg#112, tianweiy/CenterPoint#168,"
        " keras-team/keras#9522",
        bound="e_y, e_rm, e_rv; bit for bit where nothing may change",
        needs=("running_statistics", "evaluation"),
    ),
    Clause(
        id="S5",
        title="random histories agree with the model",
        statement="After every step of a random sequence of all the acts of this specification, output and state are"
        " those of a model that follows the formulas.",
        why="Each clause looks at one act; faults that need three in a row show in a state machine.",
        source="first principles",
        bound="the bounds of each step, added up along the history as in R3",
        needs=BUFFERS,
    ),
    Clause(
        id="S6",
        title="one layer, used twice",
        statement="A layer used twice in a step makes two updates, one after the other; under recomputation (activation"
        " checkpointing) it makes the number of updates that the framework documents.",
        why="R7: one update a training forward. A recomputed forward is a second one unless it is told apart.",
        source="keras-team/keras#8794, Tencent/YOLO-Master#262, facebookresearch/fairscale#1035",
        bound="e_rm and e_rv of two steps",
        needs=BUFFERS,
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
)
