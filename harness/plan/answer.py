"""The plan: every count, memory and time of one question, each with its assumptions."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from harness.errors import UsageError
from harness.plan import budget, memory, parallelism, time, work
from harness.plan.activations import FORMULA, Way
from harness.plan.fits import Use, fewest_devices, largest_batch, longest_context
from harness.plan.memory import Memory, fullest, inference_memory
from harness.plan.options import TOKENS_PER_PARAMETER, Question
from harness.records.architecture import PRECISIONS, Architecture, Layout, Recompute
from harness.records.plan import (
    CacheNeed,
    FlopCount,
    InferenceNeed,
    MemoryNeed,
    Optimization,
    ParameterCount,
    Plan,
    Room,
    TimeNeed,
    TrafficNeed,
)

HOUR = 3600.0


def plan(question: Question) -> Plan:
    """The answer to a question.

    Raises:
        UsageError: the layout, the recipe or a size is not possible.
    """
    model, lengths = question.model, question.lengths
    need = fullest(model, question.recipe, question.layout, lengths)
    flops = flops_of(question)
    training = time_of(question, flops)
    answer = Plan(
        model=model.name,
        source=model.source,
        batch=lengths.batch,
        sequence=lengths.source,
        tokens=question.tokens,
        devices=question.layout.devices,
        parameters=parameters_of(model),
        flops=flops,
        memory=_training_memory(question, need),
        kv_cache=cache_of(question),
        inference=_inference(question),
        communication=_traffic(question),
        time=training,
        mfu=training.mfu if training else None,
        fits=_room(question),
        optimizations=tuple(_optimizations(question)),
        compute_optimal_tokens=None if question.samples else budget.for_size(model.active_parameters).tokens,
        assumptions=_assumptions(question, need),
    )
    return priced(answer, question)


def priced(answer: Plan, question: Question) -> Plan:
    """The plan with energy and price, where watts and a price are given and a time is known."""
    if answer.time is None:
        return answer
    seconds = answer.time.device_hours * HOUR
    return msgspec.structs.replace(
        answer,
        energy_joules=None if question.watts is None else work.joules(question.watts, seconds),
        cost=None if question.price is None else work.cost(question.price, seconds),
    )


def parameters_of(model: Architecture) -> ParameterCount:
    """The parameters of a model, in all and by component."""
    components: dict[str, int] = {}
    for part in model.parts:
        if part.parameters:
            components[part.component] = components.get(part.component, 0) + part.count * part.parameters
    return ParameterCount(model.parameters, model.active_parameters, model.embedding_parameters, components)


def flops_of(question: Question) -> FlopCount:
    """The FLOPs of the batch, and of all tokens by as many batches as they fill."""
    model, per_batch = question.model, question.tokens_per_batch
    forward = work.forward(model, question.lengths)
    batches = question.tokens / per_batch
    tokens = int(question.tokens * ((model.tokens or 1) if question.samples else 1))
    return FlopCount(
        forward_per_token=forward.flops / per_batch,
        forward_per_token_dense=forward.flops_dense / per_batch,
        forward=forward.flops,
        forward_dense=forward.flops_dense,
        train_total=work.TRAINING * forward.flops * batches,
        train_total_dense=work.TRAINING * forward.flops_dense * batches,
        hardware_total=(work.TRAINING * forward.flops + _recomputed(question.layout, forward)) * batches,
        components=forward.exact,
        conventions={
            convention.name: convention.total
            for convention in work.conventions(model, tokens, question.lengths.source)
        },
    )


def _recomputed(layout: Layout, forward: work.Work) -> int:
    """The FLOPs that a backward pass repeats: attention's core, or all but the head."""
    core = forward.exact.get(work.CORE, 0)
    if layout.recompute is Recompute.FULL:
        return forward.flops - forward.exact.get(work.HEAD, 0)
    if layout.recompute is Recompute.SELECTIVE:
        return core
    # Fused attention repeats queries times keys, but not the product with the values (Dao et al. 2022, arXiv 2205.14135).
    return core // 2 if layout.flash else 0


def time_of(question: Question, flops: FlopCount) -> TimeNeed | None:
    """The training time on the named device; None where none is named."""
    if question.device is None:
        return None
    layout = question.layout
    rate = time.assumed(question.device, question.dtype, question.mfu)
    idle = time.bubble(layout.pipeline, question.passes, layout.interleave) if layout.microbatch else 0.0
    run = time.train(
        flops.train_total,
        question.tokens,
        layout.devices,
        rate,
        hardware_flops=flops.hardware_total,
        idle=idle,
    )
    return TimeNeed(
        seconds=run.seconds,
        low=run.low,
        high=run.high,
        tokens_per_second=run.tokens_per_second,
        device_hours=run.device_seconds / HOUR,
        step_seconds=run.seconds * question.tokens_per_batch / question.tokens,
        mfu=run.mfu,
        hfu=run.hfu,
        mfu_dense=run.mfu * flops.train_total_dense / flops.train_total,
        on=question.device.name,
    )


def _training_memory(question: Question, need: Memory) -> MemoryNeed:
    fused = msgspec.structs.replace(question.layout, flash=True)
    counted = fullest(question.model, question.recipe, fused, question.lengths, Way.IMPLEMENTATION)
    return MemoryNeed(
        parameters=need.parameters,
        gradients=need.gradients,
        optimizer=need.optimizer,
        activations=need.activations,
        ends=need.ends,
        logits=need.logits,
        temporaries=need.temporaries,
        total=need.total,
        activations_by_implementation=counted.activations,
    )


def _stored(question: Question) -> str:
    """The dtype of weights and keys at inference."""
    return question.dtype if question.dtype in memory.ELEMENTS else "bfloat16"


def cache_of(question: Question) -> CacheNeed:
    """Keys and values of inference, in the dtype of the question."""
    model, lengths, dtype = question.model, question.lengths, _stored(question)
    tokens = lengths.target or lengths.source
    return CacheNeed(
        memory.bytes_per_token(model, dtype),
        memory.bytes_of(model, lengths.batch, tokens, dtype, lengths.source),
    )


def _inference(question: Question) -> InferenceNeed:
    given, lengths, dtype = question.layout, question.lengths, _stored(question)
    layout = Layout(tensor=given.tensor, pipeline=given.pipeline, data=given.data, flash=True)
    need = inference_memory(question.model, lengths, layout, dtype).total
    device, model = question.device, question.model
    if device is None or not model.cores or not model.caches:
        return InferenceNeed(need)
    speed = time.Speed(layout.tensor * device.peak(question.dtype), layout.tensor * device.bytes_per_second)
    size = float(memory.ELEMENTS[dtype])
    batch = max(1, lengths.batch // layout.data)
    source = lengths.source if lengths.target else 0

    def decode(samples: int) -> time.Demand:
        context = lengths.target or lengths.source
        return time.decode(model, samples, context, weight=size, cache=size, source=source)

    first = time.prefill(model, batch, lengths.source, weight=size, cache=size).on(speed)
    further = decode(batch).on(speed)
    return InferenceNeed(
        need, first.seconds, further.seconds, further.bound, time.turning_batch(decode, speed)
    )


def _traffic(question: Question) -> TrafficNeed:
    model, layout, lengths, passes = question.model, question.layout, question.lengths, question.passes
    sizes = PRECISIONS[question.recipe.precision]
    tokens = (lengths.source + lengths.target) * max(1, lengths.batch // (layout.data * passes))
    data = parallelism.data_parallel(
        model.parameters / (layout.tensor * layout.pipeline),
        layout.data,
        stage=layout.zero,
        element=sizes.gradients,
        weight=sizes.weights,
        passes=passes,
    )
    tensor = parallelism.tensor_parallel(
        tokens,
        model.hidden,
        max(1, model.layers // layout.pipeline),
        layout.tensor,
        element=sizes.compute,
        gathered_again=layout.recompute is Recompute.FULL,
    ).times(passes)
    pipeline = parallelism.pipeline(
        tokens, model.hidden, passes, stages=layout.pipeline, chunks=layout.interleave, element=sizes.compute
    )
    link = question.link
    seconds = None if link is None else (data + tensor + pipeline).seconds(link)
    return TrafficNeed(data.sent, tensor.sent, pipeline.sent, seconds)


def _room(question: Question) -> Room | None:
    """What fits, where a device's memory is known."""
    capacity = question.capacity
    if capacity is None:
        return None
    use = Use(question.model, question.recipe, question.lengths, question.layout)
    batch, context = largest_batch(use, capacity), longest_context(use, capacity)
    devices = fewest_devices(use, capacity)
    reasons = {"largest_batch": batch.reason, "longest_context": context.reason}
    reasons["fewest_devices"] = devices.reason
    if devices.layout is not None and devices.value:
        laid = devices.layout
        reasons["fewest_devices"] = f"tensor {laid.tensor} x pipeline {laid.pipeline} x data {laid.data}"
    return Room(
        batch.value,
        context.value,
        devices.value,
        reasons={name: reason for name, reason in reasons.items() if reason},
    )


def _optimizations(question: Question) -> Iterator[Optimization]:
    """The effect of single changes on memory and time, after the question as it is."""
    for name, changed in {"as asked": question, **_layout_changes(question), **_changes(question)}.items():
        yield _optimization(name, changed, question)


def _layout_changes(question: Question) -> dict[str, Question]:
    layout = question.layout
    changes: dict[str, dict[str, object]] = {
        f"recompute {kind.value}": {"recompute": kind} for kind in Recompute if kind is not layout.recompute
    }
    if not layout.flash:
        changes["flash attention"] = {"flash": True}
    if layout.data > 1:
        changes |= {f"ZeRO {stage}": {"zero": stage} for stage in (1, 2, 3) if stage != layout.zero}
    return {
        name: replace(question, layout=msgspec.structs.replace(layout, **change))
        for name, change in changes.items()
    }


def _changes(question: Question) -> dict[str, Question]:
    layout, lengths = question.layout, question.lengths
    twice = replace(lengths, batch=2 * lengths.batch)
    doubled = msgspec.structs.replace(layout, devices=2 * layout.devices, data=2 * layout.data)
    narrow = question.dtype not in {"float32", "tf32"}
    dtype, precision = ("float32", "float32") if narrow else ("bfloat16", "mixed")
    recipe = msgspec.structs.replace(question.recipe, precision=precision)
    return {
        "twice the devices and the batch, as replicas": replace(question, layout=doubled, lengths=twice),
        "twice the batch": replace(question, lengths=twice),
        dtype: replace(question, dtype=dtype, recipe=recipe),
    }


def _optimization(name: str, changed: Question, question: Question) -> Optimization:
    """The hardware keeps its rate, so that recomputation costs its FLOPs."""
    try:
        need = fullest(changed.model, changed.recipe, changed.layout, changed.lengths).total
        if changed.layout.flash and not question.layout.flash:
            reason = "faster where memory binds attention; FLOPs do not predict how much"
            return Optimization(name, need, None, reason)
        before, after = flops_of(question), flops_of(changed)
        timed = question if changed.dtype == question.dtype else replace(changed, mfu=None)
        training = time_of(timed, before)
    except UsageError as error:
        return Optimization(name, None, None, str(error))
    if training is None:
        return Optimization(name, need, None)
    more = after.hardware_total / before.hardware_total * question.layout.devices / changed.layout.devices
    return Optimization(name, need, training.seconds * more)


def _assumptions(question: Question, need: Memory) -> dict[str, tuple[str, ...]]:
    source, link = question.model.source, question.link
    known = need.activations is not None
    return {
        "parameters": (f"From {source}.",) if source else (),
        "flops": tuple(_flop_assumptions(question)),
        "memory": (
            *need.assumptions,
            *([f"activations_by_implementation: what the modules of transformers keep. {_HEADLINE}"] * known),
        ),
        "kv_cache": (f"Keys and values in {_stored(question)}.",),
        "inference": (
            "Times are lower bounds: weights and cache are read once, FLOPs run at the peak, overheads are left out.",
        ),
        "communication": (
            f"Bytes one device sends in a step; ring collectives. {parallelism.ZERO}.",
            f"Link: {link.source}; nothing hides behind compute." if link else "No time: no --link is given.",
        ),
        **_time_assumptions(question),
    }


_HEADLINE = f"The headline is {FORMULA}."


def _flop_assumptions(question: Question) -> Iterator[str]:
    lengths, context = question.lengths, question.model.context
    if question.samples:
        yield f"A batch of {lengths.batch} samples."
    else:
        target = f" of source and {lengths.target} of target" if lengths.target else ""
        yield f"A batch of {lengths.batch} x {lengths.source} tokens{target}."
    yield "Matrix FLOPs alone, a multiply-add being two; masks are honoured, dense ignores them. Training is three forward passes."
    if not question.tokens_given:
        unit = "samples" if question.samples else "tokens"
        yield f"{question.tokens:.3g} {unit}: {TOKENS_PER_PARAMETER} for each active parameter, as --tokens is not given."
    if question.layout.recompute is not Recompute.NONE:
        yield f"Recomputation ({question.layout.recompute.value}) counts in hardware_total alone."
    if context is not None and max(lengths.source, lengths.target) > context:
        yield f"The model is made for sequences of up to {context} tokens."


def _time_assumptions(question: Question) -> dict[str, tuple[str, ...]]:
    device = question.device
    if device is None:
        return {"time": ("No time: --on names no device and no run of this machine.",)}
    rate = time.assumed(device, question.dtype, question.mfu)
    return {
        "time": (
            rate.source,
            device.source,
            *([device.taken] if device.taken else []),
            "Communication is included only as far as published utilisations include it.",
        ),
        "mfu": (
            f"Of the peak of {device.name} in {question.dtype}, without sparsity: {rate.peak:.4g} FLOP/s.",
            "Exact FLOPs, also where the MFU is stated; mfu_dense ignores the mask, as most published MFU does.",
        ),
    }
