"""Family S and its kin in E and R: what must stay, move or come back between the passes of a layer."""

from __future__ import annotations

from dataclasses import replace

from bnspec.layers.protocol import State, as_dtype

from ..compare import VACUOUS, Judgement, compare_bits, differs, worst_of
from ..expected import begin_buffers, update_buffers
from ..experiments.life_record import Call, LifeRecord, Step
from ..experiments.states import initial_state
from .forward import judge_output
from .gradients import judge_gradients
from .running import judge_buffers

PARAMETERS = ("gamma", "beta")
BUFFERS = ("running_mean", "running_var")
ARRAYS = (*PARAMETERS, *BUFFERS)


def judge_same(observed: State, wanted: State, when: str) -> Judgement:
    """Every array bit for bit, and the same count."""
    return worst_of(
        judge_arrays(observed, wanted, ARRAYS, when),
        differs(f"number of batches {when}", observed.batches, wanted.batches),
    )


def judge_arrays(observed: State, wanted: State, names: tuple[str, ...], when: str) -> Judgement:
    """These arrays bit for bit."""
    return worst_of(*(compare_bits(f"{n} {when}", getattr(observed, n), getattr(wanted, n)) for n in names))


def judge_call(call: Call, when: str) -> Judgement:
    """A training pass by F1 and R2, an evaluation by E1 and E4, from the state before it; its dtype is its stage's."""
    expected = call.expected
    if expected is None:
        return VACUOUS
    stage, after = call.stage, call.played.after_backward.get()
    checks = [
        judge_output(call.played, expected, call.batch.x.shape, f"y {when}"),
        differs(f"dtype of y {when}", call.played.forward.get().describe().dtype, stage.case.dtype),
    ]
    if not call.training:
        return worst_of(*checks, judge_same(after, call.before, f"{when} in evaluation"))
    begun = begin_buffers(stage.terms, call.before)
    buffers = update_buffers(begun, expected, stage.case.momentum, call.count)
    checks.append(judge_buffers(after, buffers, stage, f"a batch {when}"))
    return worst_of(*checks, judge_arrays(after, call.before, PARAMETERS, f"{when} in training"))


def judge_s1(record: LifeRecord) -> Judgement:
    """What was saved is what is restored, and no memory is shared; a save and a restore of nothing change nothing."""
    assert record.saving is not None
    saving = record.saving.get()
    return worst_of(
        judge_same(saving.after, saving.before, "after a save"),
        judge_same(saving.took, saving.before, "after a restore"),
        judge_same(saving.untouched, saving.took, "after a restore of nothing"),
        judge_same(saving.left, saving.after, "after what was restored from it was trained"),
        VACUOUS
        if saving.partial is None
        else judge_same(
            saving.partial,
            replace(saving.other, gamma=saving.left.gamma, beta=saving.left.beta),
            "after a restore of gamma and beta alone",
        ),
        VACUOUS if saving.evaluated is None else judge_call(saving.evaluated, "after a restore"),
    )


def judge_s2(record: LifeRecord) -> Judgement:
    """A copy has the state of its original and is trained by itself; so is the original."""
    assert record.copying is not None
    copying = record.copying.get()
    call, stage = copying.trained, record.stage
    checks = [
        judge_same(copying.made, copying.before, "of a copy"),
        VACUOUS if copying.travelled is None else judge_same(copying.travelled, copying.before, "of a pickled copy"),
        VACUOUS
        if copying.evaluated is None
        else judge_call(copying.evaluated, "of a copy, in the mode of its original"),
        judge_same(copying.left, copying.before, "after a copy was trained"),
        judge_same(copying.kept, call.played.after_backward.get(), "of a copy after its original was trained"),
    ]
    if stage.case.momentum is not None:  # a plain average may have a counter that cannot be written
        checks.append(judge_call(call, "of a copy"))
    expected = call.expected
    if expected is not None and stage.subject.offers("gradients"):
        gradients, (exact, bound) = call.played.gradients.get(), expected.differentiate(call.batch.dy)
        shape, telling = call.batch.x.shape, expected.informative
        checks.append(judge_gradients(gradients, exact, bound, stage, shape, telling, when=" of a copy"))
    return worst_of(*checks)


def judge_s3(record: LifeRecord) -> Judgement:
    """Everything is in the new dtype, rounded once; then F1, R2 and E1 hold in it."""
    assert record.converting is not None
    converting = record.converting.get()
    dtype = as_dtype(converting.calls[0].stage.case.dtype)
    rounded = {
        name: None if (array := getattr(converting.before, name)) is None else array.astype(dtype)
        for name in (*PARAMETERS, *BUFFERS)
    }
    wanted = replace(converting.before, **rounded)
    calls = [judge_call(call, "after a conversion") for call in converting.calls]
    return worst_of(judge_same(converting.after, wanted, "after a conversion"), *calls)


def judge_s8(record: LifeRecord) -> Judgement:
    """F1, R2, E1, R4 and the gradients, by the eps and the momentum that were set last."""
    assert record.retuning is not None
    checks = []
    for call in record.retuning.get().calls:
        checks.append(judge_call(call, "after eps and momentum were set"))
        gradients, expected = call.played.gradients.get(), call.expected
        if gradients.x is not None and expected is not None:
            exact, bound = expected.differentiate(call.batch.dy)
            checks.append(
                judge_gradients(gradients, exact, bound, call.stage, call.batch.x.shape, expected.informative,
                                when=" after eps and momentum were set")
            )  # fmt: skip
    return worst_of(*checks)


def judge_s4(record: LifeRecord) -> Judgement:
    """A switch changes nothing, and each call is that of its mode."""
    checks = []
    for step in _steps(record):
        checks.append(judge_same(step.call.before, step.left, "after a switch of modes"))
        checks.append(judge_call(step.call, "after switches of modes"))
    return worst_of(*checks)


def _steps(record: LifeRecord) -> tuple[Step, ...]:
    assert record.steps is not None
    return record.steps.get()


def judge_e8(record: LifeRecord) -> Judgement:
    """Each output of a sequence of calls, read again at its end."""
    return worst_of(
        *(
            compare_bits("an output after later calls", step.y_later.get(), step.call.played.y.get())
            for step in _steps(record)
        )
    )


def judge_r11(record: LifeRecord) -> Judgement:
    """One for each call in training, none for the others, where there are any."""
    if record.steps is None:
        return VACUOUS
    return worst_of(
        *(
            differs(
                f"number of batches after {'a training batch' if step.call.training else 'an evaluation'}",
                step.call.played.after_forward.get().batches,
                step.call.count + step.call.training,
            )
            for step in _steps(record)
        )
    )


def judge_r9(record: LifeRecord) -> Judgement:
    """Layers are as they were before another one was trained."""
    assert record.neighbours is not None
    return worst_of(*(judge_same(each.after, each.before, f"of {each.which}") for each in record.neighbours.get()))


def judge_r12(record: LifeRecord) -> Judgement:
    """Buffers and counter are initial, the parameters as they were, and a batch is averaged in as the first one."""
    assert record.resetting is not None
    resetting, stage = record.resetting.get(), record.stage
    before, after = resetting.before, resetting.after
    wanted = replace(initial_state(stage), gamma=before.gamma, beta=before.beta)
    checks = [
        judge_arrays(after, wanted, (*PARAMETERS, *BUFFERS), "after a reset"),
        judge_call(resetting.trained, "after a reset"),
        VACUOUS if resetting.evaluated is None else judge_call(resetting.evaluated, "after a reset"),
    ]
    if after.batches is not None:
        checks.append(differs("number of batches after a reset", after.batches, 0))
    return worst_of(*checks)
