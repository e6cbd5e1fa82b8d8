"""The plan: every count, memory and time of one question, each with what was assumed."""

from dataclasses import replace

import msgspec

from harness.errors import UsageError
from harness.plan import budget, communication, conventions, time, work
from harness.plan import memory as cache
from harness.plan import work as energy
from harness.plan.activations import FORMULA, Way
from harness.plan.fits import Fit, Use, fewest_devices, largest_batch, longest_context
from harness.plan.memory import Memory, fullest, inference_memory
from harness.plan.question import TOKENS_PER_PARAMETER, Question
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


def plan(asked: Question, *, tokens_given: bool = True, optimizations: bool = True) -> Plan:
    """The answer.

    Raises:
        UsageError: the layout, the recipe or a size cannot be.
    """
    need = fullest(asked.model, asked.recipe, asked.layout, asked.lengths)
    flops = counted(asked)
    taken = trained(asked, flops)
    found = Plan(
        model=asked.model.name,
        source=asked.model.source,
        batch=asked.lengths.batch,
        sequence=asked.lengths.source,
        tokens=asked.tokens,
        devices=asked.layout.devices,
        parameters=parameters(asked.model),
        flops=flops,
        memory=_training_memory(asked, need),
        kv_cache=cached(asked),
        inference=_inference(asked),
        communication=_communication(asked),
        time=taken,
        mfu=taken.mfu if taken else None,
        fits=_room(asked),
        optimizations=_optimizations(asked) if optimizations else (),
        compute_optimal_tokens=None
        if asked.samples
        else budget.for_size(asked.model.active_parameters).tokens,
        assumptions=_assumptions(asked, need, taken, tokens_given=tokens_given),
    )
    return priced(found, asked)


def priced(found: Plan, asked: Question) -> Plan:
    """The plan with energy and price, where watts and a price are given and a time is known."""
    if found.time is None:
        return found
    device_seconds = found.time.device_hours * HOUR
    return msgspec.structs.replace(
        found,
        energy_joules=None if asked.watts is None else energy.joules(asked.watts, device_seconds),
        cost=None if asked.price is None else energy.cost(asked.price, device_seconds),
    )


def parameters(model: Architecture) -> ParameterCount:
    """How many there are, and of what."""
    components: dict[str, int] = {}
    for part in model.parts:
        if part.parameters:
            components[part.component] = components.get(part.component, 0) + part.count * part.parameters
    return ParameterCount(model.parameters, model.active_parameters, model.embedding_parameters, components)


def counted(asked: Question) -> FlopCount:
    """The FLOPs of the batch, and of all tokens by as many batches as they fill."""
    done = work.forward(asked.model, asked.lengths)
    batches = asked.tokens / asked.tokens_per_batch
    again = _computed_again(asked, done)
    each = asked.model.tokens or 1 if asked.samples else 1
    beside = conventions.beside(asked.model, int(asked.tokens * each), asked.lengths.source)
    return FlopCount(
        forward_per_token=done.flops / asked.tokens_per_batch,
        forward_per_token_dense=done.flops_dense / asked.tokens_per_batch,
        forward=done.flops,
        forward_dense=done.flops_dense,
        train_total=work.TRAINING * done.flops * batches,
        train_total_dense=work.TRAINING * done.flops_dense * batches,
        hardware_total=(work.TRAINING * done.flops + again) * batches,
        components=done.exact,
        beside={one.name: one.total for one in beside},
    )


def _computed_again(asked: Question, done: work.Work) -> int:
    """What a backward pass computes once more: attention's core, or all but the head."""
    kind = asked.layout.recompute
    core = done.exact.get(work.CORE, 0)
    if kind is Recompute.FULL:
        return done.flops - done.exact.get(time.HEAD, 0)
    if kind is Recompute.SELECTIVE:
        return core
    # Fused attention computes queries times keys once more, and not the product with the values (Dao et al. 2022, arXiv 2205.14135).
    return core // 2 if asked.layout.flash else 0


def trained(asked: Question, flops: FlopCount) -> TimeNeed | None:
    """The time of all tokens on the device that is named; None where none is."""
    if asked.device is None:
        return None
    layout = asked.layout
    rate = time.assumed(asked.device, asked.dtype, asked.rate)
    idle = time.bubble(layout.pipeline, _passes(asked), layout.interleave) if layout.microbatch else 0.0
    run = time.train(
        flops.train_total, asked.tokens, layout.devices, rate, hardware_flops=flops.hardware_total, idle=idle
    )
    return TimeNeed(
        seconds=run.seconds,
        low=run.low,
        high=run.high,
        tokens_per_second=run.tokens_per_second,
        device_hours=run.device_seconds / HOUR,
        step_seconds=run.seconds * asked.tokens_per_batch / asked.tokens,
        mfu=run.mfu,
        hfu=run.hfu,
        mfu_dense=run.mfu * flops.train_total_dense / flops.train_total,
        on=asked.device.name,
    )


def _passes(asked: Question) -> int:
    """The micro-batches of a replica in a step."""
    replica = max(1, asked.lengths.batch // asked.layout.data)
    return max(1, replica // (asked.layout.microbatch or replica))


def _training_memory(asked: Question, need: Memory) -> MemoryNeed:
    fused = msgspec.structs.replace(asked.layout, flash=True)
    counted = fullest(asked.model, asked.recipe, fused, asked.lengths, Way.IMPLEMENTATION).activations
    return MemoryNeed(
        parameters=need.parameters,
        gradients=need.gradients,
        optimizer=need.optimizer,
        activations=need.activations,
        ends=need.ends,
        logits=need.logits,
        temporaries=need.temporaries,
        total=need.total,
        activations_by_implementation=counted,
    )


def _stored(asked: Question) -> str:
    """What weights and keys are kept in at inference."""
    return asked.dtype if asked.dtype in cache.ELEMENTS else "bfloat16"


def cached(asked: Question) -> CacheNeed:
    """Keys and values of inference, as the question's dtype stores them."""
    kept = _stored(asked)
    lengths = asked.lengths
    tokens = lengths.target or lengths.source
    return CacheNeed(
        cache.bytes_per_token(asked.model, kept),
        cache.bytes_of(asked.model, lengths.batch, tokens, kept, lengths.source),
    )


def _inference(asked: Question) -> InferenceNeed:
    model, lengths, kept = asked.model, asked.lengths, _stored(asked)
    layout = Layout(
        tensor=asked.layout.tensor, pipeline=asked.layout.pipeline, data=asked.layout.data, flash=True
    )
    batch = max(1, lengths.batch // layout.data)
    need = inference_memory(model, lengths, layout, kept)
    if asked.device is None or not model.cores or not model.caches or asked.device.bytes_per_second is None:
        return InferenceNeed(need.total)
    size = float(cache.ELEMENTS[kept])
    fraction = layout.tensor
    speed = time.Speed(fraction * asked.device.peak(asked.dtype), fraction * asked.device.bytes_per_second)
    context = lengths.target or lengths.source
    source = lengths.source if lengths.target else 0
    read = time.prefill(model, batch, lengths.source, weight=size, cache=size).on(speed)
    written = time.decode(model, batch, context, weight=size, cache=size, source=source).on(speed)
    turning = time.turning_batch(
        lambda many: time.decode(model, many, context, weight=size, cache=size, source=source), speed
    )
    return InferenceNeed(need.total, read.seconds, written.seconds, written.bound, turning)


def _communication(asked: Question) -> TrafficNeed:
    model, layout, lengths = asked.model, asked.layout, asked.lengths
    sizes, passes = PRECISIONS[asked.recipe.precision], _passes(asked)
    own = model.parameters / (layout.tensor * layout.pipeline)
    tokens = (lengths.source + lengths.target) * max(1, lengths.batch // (layout.data * passes))
    layers = max(1, model.layers // layout.pipeline)
    data = communication.data_parallel(
        own, layout.data, stage=layout.zero, element=sizes.gradients, weight=sizes.weights, passes=passes
    )
    tensor = communication.tensor_parallel(
        tokens,
        model.hidden,
        layers,
        layout.tensor,
        element=sizes.compute,
        gathered_again=layout.recompute is Recompute.FULL,
    ).times(passes)
    pipe = communication.pipeline(
        tokens,
        model.hidden,
        passes,
        stages=layout.pipeline,
        chunks=layout.interleave,
        element=sizes.compute,
    )
    seconds = None if asked.link is None else (data + tensor + pipe).seconds(asked.link)
    return TrafficNeed(data.sent, tensor.sent, pipe.sent, seconds)


def _room(asked: Question) -> Room | None:
    """What fits, where a device's memory is known."""
    capacity = asked.capacity
    if capacity is None:
        return None
    use = Use(asked.model, asked.recipe, asked.lengths, asked.layout)
    found: dict[str, Fit] = {
        "largest_batch": largest_batch(use, capacity),
        "longest_context": longest_context(use, capacity),
        "fewest_devices": fewest_devices(use, capacity),
    }
    values = {name: fit.value for name, fit in found.items()}
    reasons = {name: fit.reason for name, fit in found.items() if fit.reason}
    laid = found["fewest_devices"].layout
    if laid is not None and found["fewest_devices"].value:
        reasons["fewest_devices"] = f"tensor {laid.tensor} x pipeline {laid.pipeline} x data {laid.data}"
    return Room(**values, reasons=reasons)


def _optimizations(asked: Question) -> tuple[Optimization, ...]:
    """What one change makes of memory and time, beside the question as it is."""
    layout = asked.layout
    changes: dict[str, Layout] = {"as asked": layout}
    for kind in Recompute:
        if kind is not layout.recompute:
            changes[f"recompute {kind.value}"] = msgspec.structs.replace(layout, recompute=kind)
    if not layout.flash:
        changes["flash attention"] = msgspec.structs.replace(layout, flash=True)
    for stage in range(1, 4):
        if layout.data > 1 and stage != layout.zero:
            changes[f"ZeRO {stage}"] = msgspec.structs.replace(layout, zero=stage)
    asking = {name: replace(asked, layout=changed) for name, changed in changes.items()}
    twice = replace(asked.lengths, batch=2 * asked.lengths.batch)
    doubled = msgspec.structs.replace(layout, devices=2 * layout.devices, data=2 * layout.data)
    asking["twice the devices and the batch, as replicas"] = replace(asked, layout=doubled, lengths=twice)
    asking["twice the batch"] = replace(asked, lengths=twice)
    other = "bfloat16" if asked.dtype in {"float32", "tf32"} else "float32"
    precision = "mixed" if other == "bfloat16" else "float32"
    changed = msgspec.structs.replace(asked.recipe, precision=precision)
    asking[other] = replace(asked, dtype=other, recipe=changed)
    return tuple(_optimization(name, one, asked) for name, one in asking.items())


def _optimization(name: str, changed: Question, asked: Question) -> Optimization:
    """Time at the same rate of the hardware as asked: what is computed again then costs what it costs."""
    try:
        need = fullest(changed.model, changed.recipe, changed.layout, changed.lengths)
        if changed.layout.flash and not asked.layout.flash:
            return Optimization(
                name, need.total, None, "faster where memory binds attention, which no count tells"
            )
        before, after = counted(asked), counted(changed)
        taken = trained(replace(changed, rate=None) if changed.dtype != asked.dtype else asked, before)
    except UsageError as error:
        return Optimization(name, None, None, str(error))
    if taken is None:
        return Optimization(name, need.total, None)
    more = after.hardware_total / before.hardware_total * asked.layout.devices / changed.layout.devices
    return Optimization(name, need.total, taken.seconds * more)


def _assumptions(
    asked: Question, need: Memory, taken: TimeNeed | None, *, tokens_given: bool
) -> dict[str, tuple[str, ...]]:
    unit = "samples" if asked.samples else "tokens"
    lengths = asked.lengths
    shape = f"A batch of {lengths.batch} x {lengths.source} tokens" + (
        f" of source and {lengths.target} of target." if lengths.target else "."
    )
    flops = [
        shape if not asked.samples else f"A batch of {lengths.batch} samples.",
        "A multiply-add is two FLOPs; matrix FLOPs alone, masks honoured; dense ignores them. Training is three forward passes.",
    ]
    if not tokens_given:
        flops.append(
            f"{asked.tokens:.3g} {unit}: {TOKENS_PER_PARAMETER} for each active parameter, as none are given."
        )
    if asked.layout.recompute is not Recompute.NONE:
        flops.append(
            f"What is computed again ({asked.layout.recompute.value}) counts in hardware_total alone."
        )
    told: dict[str, tuple[str, ...]] = {
        "parameters": (f"From {asked.model.source}.",) if asked.model.source else (),
        "flops": tuple(flops),
        "memory": need.assumptions,
        "kv_cache": (f"Keys and values in {_stored(asked)}.",),
        "inference": (
            "Weights once, the cache once, FLOPs at the peak: bounds that no run beats, overheads left out.",
        ),
        "communication": (
            "Bytes one device sends in a step; ring collectives. " + communication.ZERO + ".",
            "No time: no link is stated."
            if asked.link is None
            else f"Link: {asked.link.source}; nothing hides behind compute.",
        ),
    }
    if asked.model.context is not None and max(lengths.source, lengths.target) > asked.model.context:
        told["flops"] = (
            *told["flops"],
            f"The model is made for sequences of up to {asked.model.context} tokens.",
        )
    if need.activations is not None:
        told["memory"] = (
            *told["memory"],
            f"activations_by_implementation: what transformers' modules keep; the headline is {FORMULA}.",
        )
    if taken is not None and asked.device is not None:
        rate = time.assumed(asked.device, asked.dtype, asked.rate)
        told["time"] = (
            rate.source,
            asked.device.source,
            *([asked.device.taken] if asked.device.taken else []),
            "Communication is in none of this beyond what published utilisations hold of it.",
        )
        told["mfu"] = (
            f"Of the peak of {asked.device.name} in {asked.dtype}, without sparsity: {rate.peak:.4g} FLOP/s.",
            "Exact FLOPs; mfu_dense is of those that ignore the mask, as most published MFU is. A stated MFU is of exact ones.",
        )
    else:
        told["time"] = ("No time: no device is named, and no run of this machine (--on).",)
    return told
