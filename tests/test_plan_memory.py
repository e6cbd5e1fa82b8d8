"""Memory of a plan: published tables, what modules of transformers really keep, and what must hold of any layout."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from harness.errors import UsageError
from harness.plan import memory as cache
from harness.plan.activations import Way
from harness.plan.fits import Use, fewest_devices, largest_batch, longest_context
from harness.plan.memory import Memory, fullest, inference_memory, memory, parameters
from harness.plan.parallelism import check_layout, check_recipe
from harness.plan.work import Lengths
from harness.records.architecture import (
    OPTIMIZERS,
    PRECISIONS,
    Architecture,
    Cache,
    Core,
    Layout,
    Parts,
    Per,
    Recipe,
    Recompute,
)

GIB = 2**30
GPT_VOCABULARY = 51_200


def decoder(  # noqa: PLR0913
    layers: int,
    hidden: int,
    heads: int,
    vocabulary: int,
    *,
    kv_heads: int | None = None,
    head_width: int | None = None,
    intermediate: int | None = None,
    gated: bool = False,
    bias: bool = True,
    tied: bool = True,
    positions: int = 0,
    family: str = "gpt2",
    experts: int = 0,
    chosen: int = 0,
    causal: bool = True,
) -> Architecture:
    """One as a configuration is read; norms are two vectors with biases, one without."""
    shared, width = kv_heads or heads, head_width or hidden // heads
    inner = intermediate or 4 * hidden
    extra = int(bias)

    def linear(component: str, inputs: int, outputs: int) -> Parts:
        return Parts(component, layers, inputs * outputs + extra * outputs, 2 * inputs * outputs)

    products = (2 + gated) * hidden * inner
    block = products + extra * ((1 + gated) * inner + hidden)
    parts = [
        Parts("embedding", 1, vocabulary * hidden, embedding=True),
        linear("attention", hidden, heads * width),
        linear("attention", hidden, 2 * shared * width),
        linear("attention", heads * width, hidden),
        Parts("norms", 2 * layers + 1, (1 + extra) * hidden),
        Parts("head", 1, 0 if tied else vocabulary * hidden, 2 * vocabulary * hidden),
    ]
    if positions:
        parts.append(Parts("positions", 1, positions * hidden, embedding=True))
    if experts:
        parts.append(linear("router", hidden, experts))
        parts.append(Parts("experts", layers, experts * block, 2 * chosen * products, active=chosen * block))
    else:
        parts.append(Parts("feed-forward", layers, block, 2 * products))
    return Architecture(
        name="made up",
        family=family,
        parts=tuple(parts),
        cores=(Core(layers, heads, width, width, causal=causal),),
        caches=(Cache(layers, 2 * shared * width),) if causal else (),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=shared,
        head_width=width,
        intermediate=inner,
        gated=gated,
        vocabulary=vocabulary,
        tied=tied,
        experts=experts,
        experts_per_token=chosen,
    )


def llama(
    layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int
) -> Architecture:
    return decoder(
        layers, hidden, heads, vocabulary,
        kv_heads=kv_heads, intermediate=intermediate, gated=True, bias=False, tied=False, family="llama",
    )  # fmt: skip


def gpt(layers: int, hidden: int, heads: int) -> Architecture:
    return decoder(layers, hidden, heads, GPT_VOCABULARY, positions=2048)


LLAMA_70B = llama(80, 8192, 64, 8, 28_672, 32_000)
MEGATRON = Recipe("megatron", "adam", dropout=True)

# Sizes and layouts of Korthikanti et al. 2022, table 3: model, micro-batch, layout.
SIZES = {
    "22B": (gpt(48, 6144, 64), 4, Layout(tensor=8)),
    "175B": (gpt(96, 12_288, 96), 1, Layout(tensor=8, pipeline=8, interleave=3)),
    "530B": (gpt(105, 20_480, 128), 1, Layout(tensor=8, pipeline=35, interleave=3)),
    "1T": (gpt(128, 25_600, 160), 1, Layout(tensor=8, pipeline=64)),
}


def published(size: str, way: Way = Way.PUBLISHED, stage: int = 0, **changed: Any) -> Memory:
    model, batch, layout = SIZES[size]
    over = msgspec.structs.replace(layout, **changed)
    return memory(model, MEGATRON, over, Lengths(batch, 2048), way, stage)


@pytest.mark.parametrize(
    ("size", "gibibytes"),
    # R165, R168, R171 of the reference cases; 22B from the same figure
    [("22B", 59.25), ("175B", 66.84375), ("530B", 114.0234375), ("1T", 131.25)],
)
def test_activations_with_tensor_parallelism(size: str, gibibytes: float) -> None:
    """The figure is of layers alone: the mask of the embedding's dropout, the last norm and the logits are kept apart."""
    assert published(size).activations == pytest.approx(gibibytes * GIB, rel=1e-4)


@pytest.mark.parametrize(
    ("size", "gibibytes"),
    # R166, R169, R172; 22B by the formula, 34 s b h L / t
    [("22B", 9.5625), ("175B", 12.3515625), ("530B", 23.076171875), ("1T", 26.5625)],
)
def test_activations_with_sequence_parallelism_and_selective_recomputation(
    size: str, gibibytes: float
) -> None:
    need = published(size, sequence_parallel=True, recompute=Recompute.SELECTIVE)
    assert need.activations == pytest.approx(gibibytes * GIB, rel=5e-3)


@pytest.mark.parametrize(
    ("size", "gibibytes"),
    [("175B", 45.5625), ("530B", 31.640625), ("1T", 32.958984375)],  # R167, R170, R173
)
def test_states_of_megatron(size: str, gibibytes: float) -> None:
    """The figure is 18 bytes of 12 h^2 L / (t p) parameters: a stage between the first and the last, without biases and norms.

    The first stage has the embeddings as well, which for 175B are 3.8 % more.
    """
    assert published(size, stage=1).states == pytest.approx(gibibytes * GIB, rel=1e-3)
    model, _, layout = SIZES[size]
    embeddings = 18 * model.hidden * (GPT_VOCABULARY / layout.tensor + 2048)
    assert published(size).states - published(size, stage=1).states == pytest.approx(embeddings, rel=1e-4)


def test_megatrons_states_without_a_pipeline() -> None:
    """22B: the layers' 45.5625 GiB of the formula, and the embeddings, which no stage is without."""
    layers = 18 * 12 * 6144**2 * 48 / 8
    embeddings = 18 * 6144 * (GPT_VOCABULARY / 8 + 2048)
    assert layers == 45.5625 * GIB
    assert published("22B").states == pytest.approx(layers + embeddings, rel=1.5e-3)


def test_what_embedding_and_head_keep() -> None:
    """4 s b h (1 + V / h) bytes where there is one stage, and a byte an element of the embedding's mask for each micro-batch in flight (section 4.3)."""
    stream = 2048 * 4 * 6144
    alone = published("22B", sequence_parallel=True)
    assert alone.ends + alone.logits == (4 * stream * (1 + GPT_VOCABULARY / 6144) + stream) / 8
    first = published("530B", sequence_parallel=True)
    assert (first.ends, first.logits) == (2048 * 20_480 * 35 / 8, 0)
    last = published("530B", stage=34)
    assert last.logits == 4 * 2048 * GPT_VOCABULARY / 8


@pytest.mark.parametrize(
    ("recompute", "sequence", "factor"),
    [
        (Recompute.NONE, False, 10 + 24 / 8 + 5 * 64 * 2048 / (6144 * 8)),
        (Recompute.NONE, True, 34 / 8 + 5 * 64 * 2048 / (6144 * 8)),
        (Recompute.SELECTIVE, False, 10 + 24 / 8),
        (Recompute.SELECTIVE, True, 34 / 8),
        (Recompute.FULL, False, 2),
        (Recompute.FULL, True, 2),
    ],
)
def test_the_published_table_of_techniques(recompute: Recompute, sequence: bool, factor: float) -> None:
    """Table 2 of the paper."""
    need = published("22B", recompute=recompute, sequence_parallel=sequence)
    assert need.activations == pytest.approx(2048 * 4 * 6144 * 48 * factor)


def test_one_device_keeps_thirty_four_bytes() -> None:
    model, batch, _ = SIZES["22B"]
    need = memory(model, MEGATRON, Layout(), Lengths(batch, 2048))
    assert need.activations == 2048 * 4 * 48 * (34 * 6144 + 5 * 64 * 2048)


def test_without_dropout_masks_are_gone_and_probabilities_are_kept_once() -> None:
    model, batch, _ = SIZES["22B"]
    lengths = Lengths(batch, 2048)
    stored = memory(model, Recipe("mixed"), Layout(), lengths)
    fused = memory(model, Recipe("mixed"), Layout(flash=True), lengths)
    single = memory(model, Recipe("float32"), Layout(flash=True), lengths)
    assert stored.activations == 2048 * 4 * 48 * (32 * 6144 + 2 * 64 * 2048)
    assert fused.activations == 2048 * 4 * 48 * 32 * 6144
    assert single.activations == 2 * (fused.activations or 0)


@pytest.mark.parametrize(
    ("zero", "gigabytes", "digits"),
    [(0, 120, 0), (1, 31.4, 1), (2, 16.6, 1), (3, 1.9, 1)],  # R178 to R181: ZeRO, figure 1
)
def test_zero(zero: int, gigabytes: float, digits: int) -> None:
    """7.5 billion parameters over 64 replicas; GB are 10^9 bytes."""
    assert round(states(7_500_000_000, zero, 64) / 1e9, digits) == gigabytes


@pytest.mark.parametrize(
    ("billions", "replicas", "sizes"),
    # ZeRO (1910.02054), table 1: optimizer, and gradients, and parameters shared out
    [
        (7.5, 4, (52.5, 41.3, 30)),
        (7.5, 1024, (30.1, 15.1, 0.12)),
        (128, 64, (536, 284, 32)),
        (1000, 1024, (4011, 2013, 15.6)),
    ],
)
def test_zeros_table(billions: float, replicas: int, sizes: tuple[float, ...]) -> None:
    found = [states(int(billions * 1e9), zero, replicas) / 1e9 for zero in (1, 2, 3)]
    assert found == pytest.approx(list(sizes), rel=5e-3, abs=0.05)


def states(count: int, zero: int, replicas: int) -> int:
    model = Architecture("of one part", "made up", (Parts("attention", 1, count),), layers=1)
    return memory(
        model, Recipe("mixed", "adam"), Layout(data=replicas, zero=zero), Lengths(replicas, 1)
    ).states


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (llama(32, 4096, 32, 32, 11_008, 32_000), 524_288),  # R194: Llama-2-7B
        (llama(80, 8192, 64, 8, 28_672, 128_256), 327_680),  # R198: Llama-3-70B
        (llama(126, 16_384, 128, 8, 53_248, 128_256), 516_096),  # R199: Llama-3.1-405B
        (gpt(96, 12_288, 96), 4_718_592),  # R200: GPT-3 175B
    ],
)
def test_keys_and_values_of_a_token(model: Architecture, size: int) -> None:
    assert cache.bytes_per_token(model) == cache.bytes_per_token(model, "float16") == size
    assert cache.bytes_per_token(model, "float32") == 2 * size
    assert cache.bytes_of(model, 3, 1000) == 3000 * size
    assert cache.on_device(model, Lengths(16, 1000), Layout(tensor=8, data=2)) == 1000 * size


def test_a_window_and_a_latent() -> None:
    model = llama(4, 64, 8, 8, 128, 100)
    half = msgspec.structs.replace(model, caches=(Cache(2, 128, window=10), Cache(2, 128)))
    assert cache.bytes_per_token(half, "int8") == 4 * 128
    assert cache.bytes_of(half, 1, 100, "int8") == 2 * 128 * 110
    latent = msgspec.structs.replace(model, caches=(Cache(4, 24),))
    assert cache.bytes_per_token(latent, "int4") == 48
    whole = cache.on_device(latent, Lengths(1, 10), Layout())
    assert cache.on_device(latent, Lengths(1, 10), Layout(tensor=8)) == whole


def test_a_decoder_keeps_its_own_tokens_and_once_those_of_the_source() -> None:
    model = encoder_decoder(3, 160, 5, 24, 448, WORDS)
    assert cache.bytes_per_token(model) == 2 * 3 * 2 * 5 * 24
    assert cache.bytes_of(model, 2, 5, source=7) == 2 * (7 + 5) * cache.bytes_per_token(model)
    alone = cache.on_device(model, Lengths(2, 7, 5), Layout(data=2, tensor=5))
    assert 10 * alone == cache.bytes_of(model, 2, 5, source=7)


def test_inference_of_llama_2_70b() -> None:
    need = inference_memory(LLAMA_70B, Lengths(1, 4096))
    assert LLAMA_70B.parameters == 68_976_648_192
    assert (need.parameters, need.states) == (137_953_296_384, 137_953_296_384)
    assert need.cache == 4096 * 327_680
    assert inference_memory(LLAMA_70B, Lengths(1, 4096), dtype="int4").parameters * 4 == need.parameters
    split = inference_memory(LLAMA_70B, Lengths(1, 4096), Layout(tensor=8, flash=True))
    assert split.parameters == pytest.approx(need.parameters / 8, rel=1e-3)
    assert split.cache * 8 == need.cache


# What implementations keep, bfloat16 and fused attention unless a row says otherwise.


def layer(model: Architecture, *, flash: bool = True, precision: str = "bfloat16") -> float:
    need = memory(model, Recipe(precision), Layout(flash=flash), Lengths(2, 256), Way.IMPLEMENTATION)
    assert need.activations is not None
    return need.activations / (256 * 2 * 256)


@pytest.mark.parametrize(
    ("family", "inner", "gated", "kept"),
    # R250, R252, R253
    [("bert", 1024, False, 32.1), ("gpt2", 1024, False, 56.1), ("llama", 688, True, 45.6)],
)
def test_a_layer_of_an_implementation(family: str, inner: int, gated: bool, kept: float) -> None:
    model = decoder(1, 256, 4, 512, intermediate=inner, gated=gated, family=family)
    assert layer(model) == pytest.approx(kept, abs=0.06)


@pytest.mark.parametrize(
    ("family", "flash", "precision", "kept"),
    # as measured for this project with torch 2.13 and transformers 5.23
    [
        ("gpt2", False, "bfloat16", 64.0),
        ("bert", False, "bfloat16", 40.0),
        ("llama", False, "bfloat16", 69.5),
        ("gpt2", True, "float32", 112.1),
        ("bert", True, "float32", 64.1),
        ("llama", True, "float32", 83.1),
        ("gpt2", False, "float32", 128.1),
        ("bert", False, "float32", 80.1),
        ("llama", False, "float32", 99.0),
    ],
)
def test_a_layer_in_another_dtype_or_with_attention_that_is_not_fused(
    family: str, flash: bool, precision: str, kept: float
) -> None:
    gated = family == "llama"
    model = decoder(1, 256, 4, 512, intermediate=688 if gated else 1024, gated=gated, family=family)
    assert layer(model, flash=flash, precision=precision) == pytest.approx(kept, rel=0.005)


Built = tuple[Any, Architecture, dict[str, Any]]
ROWS, LENGTH, WORDS = 2, 96, 300


def library() -> Any:
    return pytest.importorskip("transformers")


def from_transformers(name: str, kind: str, attention: str = "sdpa", **sizes: Any) -> Any:
    made = getattr(library(), name + "Config")(attn_implementation=attention, **sizes)
    return getattr(library(), name + kind)(made)


def small_llama(name: str, layers: int, attention: str, **more: Any) -> Any:
    return from_transformers(
        name, "ForCausalLM", attention, vocab_size=WORDS, hidden_size=192, num_hidden_layers=layers,
        num_attention_heads=6, num_key_value_heads=2, intermediate_size=320, use_cache=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, **more,
    )  # fmt: skip


def gated_like(family: str, layers: int, **more: Any) -> Architecture:
    return decoder(
        layers, 192, 6, WORDS,
        kv_heads=2, intermediate=320, gated=True, bias=False, family=family, **more,
    )  # fmt: skip


def plain_like(family: str, layers: int, **more: Any) -> Architecture:
    return decoder(layers, 160, 5, WORDS, intermediate=448, family=family, **more)


def plain(name: str, kind: str, attention: str, layers: int, **more: Any) -> Any:
    """Those whose fields are called as BERT's."""
    return from_transformers(
        name, kind, attention, vocab_size=WORDS, hidden_size=160, num_hidden_layers=layers,
        num_attention_heads=5, intermediate_size=448, **more,
    )  # fmt: skip


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

# By family: the module and what its configuration says, of so many layers.
FAMILIES: dict[str, Callable[[int, str], tuple[Any, Architecture]]] = {
    "gpt2": lambda n, attention: (
        from_transformers(
            "GPT2", "LMHeadModel", attention, vocab_size=WORDS, n_embd=160, n_layer=n, n_head=5, n_inner=448,
            resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0, use_cache=False, bos_token_id=1, eos_token_id=2,
        ),
        plain_like("gpt2", n, positions=1024),
    ),
    "bert": lambda n, attention: (
        plain("Bert", "ForMaskedLM", attention, n, **NO_DROPOUT),
        plain_like("bert", n, causal=False),
    ),
    "roberta": lambda n, attention: (
        plain("Roberta", "ForMaskedLM", attention, n, **NO_DROPOUT),
        plain_like("roberta", n, causal=False),
    ),
    "opt": lambda n, attention: (
        from_transformers(
            "OPT", "ForCausalLM", attention, vocab_size=WORDS, hidden_size=160, word_embed_proj_dim=160, ffn_dim=448,
            num_hidden_layers=n, num_attention_heads=5, dropout=0.0, attention_dropout=0.0, use_cache=False,
        ),
        plain_like("opt", n),
    ),
    "bloom": lambda n, attention: (
        from_transformers(
            "Bloom", "ForCausalLM", "eager", vocab_size=WORDS, hidden_size=160, n_layer=n, n_head=5,
            hidden_dropout=0.0, attention_dropout=0.0, use_cache=False,
        ),
        decoder(n, 160, 5, WORDS, family="bloom"),
    ),
    "gpt_neox": lambda n, attention: (
        plain("GPTNeoX", "ForCausalLM", attention, n, use_cache=False, bos_token_id=1, eos_token_id=2),
        plain_like("gpt_neox", n),
    ),
    "llama": lambda n, attention: (small_llama("Llama", n, attention), gated_like("llama", n)),
    "mistral": lambda n, attention: (small_llama("Mistral", n, attention), gated_like("mistral", n)),
    "qwen2": lambda n, attention: (small_llama("Qwen2", n, attention), gated_like("qwen2", n)),
    "qwen3": lambda n, attention: (
        small_llama("Qwen3", n, attention, head_dim=40),
        gated_like("qwen3", n, head_width=40),
    ),
    "gemma": lambda n, attention: (
        small_llama("Gemma", n, attention, head_dim=40),
        gated_like("gemma", n, head_width=40),
    ),
    "phi3": lambda n, attention: (
        small_llama("Phi3", n, attention, resid_pdrop=0.0, embd_pdrop=0.0),
        gated_like("phi3", n),
    ),
    "mixtral": lambda n, attention: (
        small_llama("Mixtral", n, attention, num_local_experts=4, num_experts_per_tok=2),
        gated_like("mixtral", n, experts=4, chosen=2),
    ),
    "qwen3_moe": lambda n, attention: (
        small_llama(
            "Qwen3Moe", n, attention, head_dim=40, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=320
        ),
        gated_like("qwen3_moe", n, head_width=40, experts=4, chosen=2),
    ),
}  # fmt: skip

# Those that are close to others: in one dtype.
OTHERS: dict[str, Callable[[int], tuple[Any, Architecture]]] = {
    "phi": lambda n: (
        plain("Phi", "ForCausalLM", "sdpa", n, use_cache=False, bos_token_id=1, eos_token_id=2),
        plain_like("phi", n),
    ),
    "gpt_neo": lambda n: (
        from_transformers(
            "GPTNeo", "ForCausalLM", "eager", vocab_size=WORDS, hidden_size=160, num_layers=n, num_heads=5, intermediate_size=448,
            attention_types=[[["global"], n]], resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0, use_cache=False,
            bos_token_id=1, eos_token_id=2,
        ),
        plain_like("gpt_neo", n),
    ),
    "gptj": lambda n: (
        from_transformers(
            "GPTJ", "ForCausalLM", "eager", vocab_size=WORDS, n_embd=160, n_layer=n, n_head=5, n_inner=448, rotary_dim=16,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, bos_token_id=1, eos_token_id=2,
        ),
        plain_like("gptj", n),
    ),
    "mpt": lambda n: (
        from_transformers(
            "Mpt", "ForCausalLM", "eager", vocab_size=WORDS, d_model=192, n_layers=n, n_heads=6, max_seq_len=LENGTH, use_cache=False
        ),
        decoder(n, 192, 6, WORDS, family="mpt"),
    ),
    "stablelm": lambda n: (small_llama("StableLm", n, "sdpa"), gated_like("stablelm", n)),
    "olmo": lambda n: (small_llama("Olmo", n, "sdpa"), gated_like("olmo", n)),
    "cohere": lambda n: (small_llama("Cohere", n, "sdpa"), gated_like("cohere", n)),
    "olmoe": lambda n: (
        small_llama("Olmoe", n, "sdpa", num_experts=4, num_experts_per_tok=2),
        gated_like("olmoe", n, experts=4, chosen=2),
    ),
    "gemma2": lambda n: (
        small_llama("Gemma2", n, "eager", head_dim=40, final_logit_softcapping=None),
        gated_like("gemma2", n, head_width=40),
    ),
}  # fmt: skip


def really_kept(module: Any, inputs: dict[str, Any], dtype: str) -> int:
    """Bytes of what a forward pass saves, each storage once, without what the module owns."""
    import torch

    module = module.to(getattr(torch, dtype)).train()
    owned = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    found: dict[int, Any] = {}

    def seen(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        result = module(**inputs)
    assert result is not None
    return sum(storage.nbytes() for storage in found.values())


def words() -> dict[str, Any]:
    import torch

    ids = torch.randint(3, WORDS, (ROWS, LENGTH))
    return {"input_ids": ids, "labels": ids}


@pytest.mark.parametrize(
    ("dtype", "attention"), [("bfloat16", "sdpa"), ("float32", "sdpa"), ("bfloat16", "eager")]
)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore")
def test_what_a_module_keeps(family: str, dtype: str, attention: str) -> None:
    """Of a small model as a whole: layers, ends, and logarithms of the loss; the logits themselves are not saved, but live."""
    module, model = FAMILIES[family](3, attention)
    flash = attention == "sdpa"
    need = memory(model, Recipe(dtype), Layout(flash=flash), Lengths(ROWS, LENGTH), Way.IMPLEMENTATION)
    assert need.activations is not None
    logits = ROWS * LENGTH * WORDS * Recipe(dtype).bytes.compute
    expected = need.activations + need.ends + need.logits - logits
    assert expected == pytest.approx(really_kept(module, words(), dtype), rel=0.02)


@pytest.mark.parametrize("family", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_what_a_module_of_another_family_keeps(family: str) -> None:
    module, model = OTHERS[family](3)
    need = memory(model, Recipe("bfloat16"), Layout(flash=True), Lengths(ROWS, LENGTH), Way.IMPLEMENTATION)
    assert need.activations is not None
    expected = need.activations + need.ends + need.logits - 2 * ROWS * LENGTH * WORDS
    assert expected == pytest.approx(really_kept(module, words(), "bfloat16"), rel=0.02)


@pytest.mark.parametrize(
    ("dtype", "attention"), [("bfloat16", "sdpa"), ("float32", "sdpa"), ("bfloat16", "eager")]
)
def test_what_a_vision_transformer_keeps(dtype: str, attention: str) -> None:
    import torch

    module = from_transformers(
        "ViT", "ForImageClassification", attention, hidden_size=160, num_hidden_layers=3, num_attention_heads=5,
        intermediate_size=448, image_size=32, patch_size=4, **NO_DROPOUT,
    )  # fmt: skip
    pixels = torch.randn(ROWS, 3, 32, 32, dtype=getattr(torch, dtype))
    kept = really_kept(module, {"pixel_values": pixels}, dtype)
    model = plain_like("vit", 3, causal=False)
    parts = tuple(part for part in model.parts if part.component != "head")
    need = memory(
        msgspec.structs.replace(model, parts=parts, tokens=65),
        Recipe(dtype), Layout(flash=attention == "sdpa"), Lengths(ROWS, 65), Way.IMPLEMENTATION,
    )  # fmt: skip
    assert need.activations is not None
    assert need.activations + need.ends == pytest.approx(kept, rel=0.02)


def encoder_decoder(
    layers: int, hidden: int, heads: int, width: int, inner: int, vocabulary: int
) -> Architecture:
    """T5's: relative positions, a plain feed-forward block with ReLU."""
    block = Parts("feed-forward", layers, 2 * hidden * inner, 4 * hidden * inner)
    return Architecture(
        name="made up",
        family="t5",
        parts=(
            Parts("embedding", 1, vocabulary * hidden, embedding=True),
            Parts("attention", 4 * layers, hidden * heads * width, 2 * hidden * heads * width),
            Parts(
                "attention", 8 * layers, hidden * heads * width, 2 * hidden * heads * width, per=Per.TARGET
            ),
            block,
            msgspec.structs.replace(block, per=Per.TARGET),
            Parts("head", 1, 0, 2 * hidden * vocabulary, per=Per.TARGET),
        ),
        cores=(
            Core(layers, heads, width, width, causal=False),
            Core(layers, heads, width, width, causal=True, queries=Per.TARGET, keys=Per.TARGET),
            Core(layers, heads, width, width, causal=False, queries=Per.TARGET),
        ),
        caches=(
            Cache(layers, 2 * heads * width, of=Per.TARGET),
            Cache(layers, 2 * heads * width, of=Per.SOURCE),
        ),
        layers=2 * layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_width=width,
        intermediate=inner,
        vocabulary=vocabulary,
        tied=True,
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_layers_of_an_encoder_and_decoder_keep(dtype: str) -> None:
    """Of two layers more of each. What is kept once (the table of relative positions, as wide as its tokens squared) is not said."""
    import torch

    ids = torch.randint(3, WORDS, (ROWS, LENGTH))
    inputs = {"input_ids": ids, "labels": ids[:, :40].contiguous()}

    def kept(layers: int) -> int:
        module = from_transformers(
            "T5", "ForConditionalGeneration", vocab_size=WORDS, d_model=160, d_kv=24, d_ff=448, num_heads=5, num_layers=layers,
            num_decoder_layers=layers, dropout_rate=0.0, use_cache=False, decoder_start_token_id=0, pad_token_id=0,
        )  # fmt: skip
        return really_kept(module, inputs, dtype)

    def counted(layers: int) -> int:
        model = encoder_decoder(layers, 160, 5, 24, 448, WORDS)
        lengths = Lengths(ROWS, LENGTH, 40)
        need = memory(model, Recipe(dtype), Layout(flash=True), lengths, Way.IMPLEMENTATION)
        return need.activations or 0

    assert counted(3) - counted(1) == pytest.approx(kept(3) - kept(1), rel=0.02)


@pytest.mark.parametrize("family", ["gpt2", "bert", "opt", "llama", "gpt_neox", "qwen3"])
@pytest.mark.filterwarnings("ignore")
def test_what_a_module_keeps_under_autocast(family: str) -> None:
    """On a CPU; the cast weights are kept as well, and are said among the temporaries."""
    import torch

    module, model = FAMILIES[family](3, "sdpa")
    with torch.autocast("cpu", torch.bfloat16):
        kept = really_kept(module, words(), "float32")
    recipe = Recipe("autocast")
    need = memory(model, recipe, Layout(flash=True), Lengths(ROWS, LENGTH), Way.IMPLEMENTATION)
    assert need.activations is not None
    logits, gradient = 2 * ROWS * LENGTH * WORDS, 4 * ROWS * LENGTH * WORDS
    expected = need.activations + need.ends + need.logits - logits + need.temporaries - gradient
    positions = 160 * 1024 * 2 if family == "gpt2" else 0  # looked up as they are
    assert expected - positions == pytest.approx(kept, rel=0.02)


def test_a_family_that_is_not_known_is_taken_for_the_closest() -> None:
    for gated, like in ((False, "bert"), (True, "llama")):
        known, other = (decoder(2, 64, 4, 100, gated=gated, family=family) for family in (like, "other"))
        assert layer(known) == layer(other)
        need = memory(other, Recipe(), Layout(), Lengths(1, 8), Way.IMPLEMENTATION)
        assert any("are assumed to keep the same tensors as" in line for line in need.assumptions)


CONVOLUTIONS = Architecture(
    "of convolutions", "resnet", (Parts("convolutions", 1, 1000, 10**6, per=Per.SAMPLE),)
)


def test_a_convolutional_network_has_no_formula() -> None:
    need = memory(CONVOLUTIONS, Recipe("float32", "sgd"), Layout(), Lengths(4, 1))
    assert (need.activations, need.states, need.total) == (None, 8000, 8000)
    assert any(line.startswith("Activations are not known") for line in need.assumptions)
    use = Use(CONVOLUTIONS, Recipe(), Lengths(4, 1), Layout())
    for ask in (largest_batch, longest_context, fewest_devices):
        assert (ask(use, 10**12).value, "not known" in ask(use, 10**12).reason) == (None, True)


# What must hold whatever the sizes.

SMALL = decoder(8, 256, 8, 1000, positions=64, kv_heads=8)
RECIPES = [Recipe(precision, optimizer) for precision in PRECISIONS for optimizer in OPTIMIZERS]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.precision}-{recipe.optimizer}")
def test_shares_of_zero_make_up_the_whole(recipe: Recipe) -> None:
    lengths = Lengths(24, 64)
    whole = memory(SMALL, recipe, Layout(data=1), lengths).states
    assert whole == SMALL.parameters * recipe.per_parameter
    for replicas in (2, 3, 24):
        by_stage = [
            memory(SMALL, recipe, Layout(data=replicas, zero=zero), lengths).states for zero in range(4)
        ]
        assert 0 <= replicas * by_stage[3] - whole < 3 * replicas
        assert by_stage[0] == whole
        assert all(more >= fewer for more, fewer in pairwise(by_stage))


def test_stages_make_up_the_whole() -> None:
    """A tied head is one table more where the last stage is not the first."""
    whole = parameters(SMALL, Layout())
    assert whole == SMALL.parameters
    parts = sum(parameters(SMALL, Layout(pipeline=8), stage) for stage in range(8))
    assert 0 <= parts - whole - 1000 * 256 < 8
    untied = decoder(8, 256, 8, 1000, tied=False)
    parts = sum(parameters(untied, Layout(pipeline=4), stage) for stage in range(4))
    assert 0 <= parts - untied.parameters < 4


def test_tensor_parallelism_splits_all_but_norms_positions_and_some_biases() -> None:
    split = parameters(SMALL, Layout(tensor=8))
    assert SMALL.parameters / 8 < split < SMALL.parameters / 8 + 256 * (64 + 2 * 17 + 5 * 8)
    mixture = decoder(4, 256, 8, 1000, experts=8, chosen=2, bias=False)
    routers = 4 * 256 * 8
    norms = 9 * 256
    assert (
        parameters(mixture, Layout(tensor=8)) == (mixture.parameters - routers - norms) // 8 + routers + norms
    )


LAYOUTS = [
    [Layout(tensor=t) for t in (1, 2, 4, 8)],
    [Layout(tensor=t, sequence_parallel=t > 1) for t in (1, 2, 4, 8)],
    [Layout(pipeline=p) for p in (1, 2, 4, 8)],
    [Layout(pipeline=p, microbatch=1) for p in (1, 2, 4, 8)],
    *[[Layout(data=d, zero=zero) for d in (1, 2, 4, 8, 16)] for zero in range(4)],
    [Layout(data=d, tensor=2, pipeline=2, zero=3, microbatch=1) for d in (1, 2, 4)],
]


@pytest.mark.parametrize("layouts", LAYOUTS)
@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("recompute", Recompute)
def test_more_devices_never_need_more_of_each(layouts: list[Layout], way: Way, recompute: Recompute) -> None:
    needs = [
        fullest(
            SMALL, MEGATRON, msgspec.structs.replace(layout, recompute=recompute), Lengths(16, 64), way
        ).total
        for layout in layouts
    ]
    assert all(more >= fewer for more, fewer in pairwise(needs))


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("layout", [Layout(), Layout(tensor=2, pipeline=4, interleave=2, microbatch=1)])
def test_a_larger_batch_or_a_longer_sample_never_needs_less(way: Way, layout: Layout) -> None:
    by_batch = [memory(SMALL, MEGATRON, layout, Lengths(n, 64), way).total for n in range(1, 12)]
    by_length = [memory(SMALL, MEGATRON, layout, Lengths(8, n), way).total for n in range(1, 64)]
    for needs in (by_batch, by_length):
        assert all(fewer <= more for fewer, more in pairwise(needs))
    reading = [inference_memory(SMALL, Lengths(n, 64)).total for n in range(1, 12)]
    assert all(fewer < more for fewer, more in pairwise(reading))


def test_each_technique_saves() -> None:
    lengths, recipe = Lengths(8, 512), Recipe(dropout=True)
    kept = [memory(SMALL, recipe, Layout(recompute=how), lengths).activations or 0 for how in Recompute]
    assert kept[0] > kept[1] > kept[2]
    fused = memory(SMALL, recipe, Layout(flash=True), lengths)
    assert fused.activations == kept[1]
    whole = memory(SMALL, recipe, Layout(recompute=Recompute.FULL), lengths)
    assert whole.temporaries == kept[0] // 8  # one layer is there while it is computed again


def test_grouped_heads_gates_and_experts() -> None:
    """By the formula: narrower keys and values; four inner tensors with a gate; those of each expert a token is sent to."""

    def kept(model: Architecture) -> int:
        return memory(model, Recipe(), Layout(flash=True), Lengths(1, 1)).activations or 0

    assert kept(decoder(2, 64, 8, 100)) - kept(decoder(2, 64, 8, 100, kv_heads=1)) == 2 * 2 * 2 * (64 - 8)
    assert kept(decoder(2, 64, 8, 100, gated=True)) - kept(decoder(2, 64, 8, 100)) == 2 * 2 * 2 * 256
    one = kept(decoder(2, 64, 8, 100))
    two = kept(decoder(2, 64, 8, 100, experts=8, chosen=2))
    assert two - one == 2 * 2 * (2 * 256 + 2 * 2 * 64)


def test_micro_batches_in_flight() -> None:
    """No more than the batch has, and no more than there are stages."""
    layers = [
        memory(SMALL, Recipe(), Layout(pipeline=4, microbatch=1), Lengths(batch, 64)).activations or 0
        for batch in (1, 2, 3, 4, 5, 100)
    ]
    once = layers[0]
    assert layers == [once, 2 * once, 3 * once, 4 * once, 4 * once, 4 * once]
    full = memory(SMALL, Recipe(), Layout(pipeline=4), Lengths(1, 64))
    assert full.activations == layers[-1]


def test_the_peak_has_gradients_or_activations() -> None:
    need = memory(SMALL, Recipe("float32"), Layout(), Lengths(1, 4))
    assert need.peak == need.states
    need = memory(SMALL, Recipe("float32"), Layout(), Lengths(512, 64))
    assert need.peak == need.total - need.gradients


USES = [
    Use(SMALL, Recipe("float32", "adam"), Lengths(1, 64), Layout(flash=True)),
    Use(SMALL, Recipe("mixed", dropout=True), Lengths(4, 64), Layout(devices=8, tensor=2, data=4, zero=3)),
    Use(SMALL, Recipe("autocast"), Lengths(8, 64), Layout(pipeline=2, microbatch=2), Way.IMPLEMENTATION),
    Use(SMALL, None, Lengths(1, 64), Layout(flash=True)),
    Use(SMALL, None, Lengths(1, 64), Layout(tensor=2), dtype="int8"),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("spare", [1.0, 1.3, 20.0])
def test_the_largest_batch_is_the_largest(use: Use, spare: float) -> None:
    capacity = int(spare * replace(use, lengths=Lengths(8, 64)).memory().total)
    found = largest_batch(use, capacity)
    if found.value is None:
        assert use.layout.pipeline > 1  # what is in flight there does not grow for ever
        assert "does not grow" in found.reason
        return
    unit = use.layout.data * (use.layout.microbatch or 1)
    assert found.value % unit == 0
    assert found.memory is not None
    assert found.memory.total <= capacity
    assert found.memory == replace(use, lengths=Lengths(found.value, 64)).memory()
    assert replace(use, lengths=Lengths(found.value + unit, 64)).memory().total > capacity


@pytest.mark.parametrize("use", USES)
def test_the_longest_context_is_the_longest(use: Use) -> None:
    batch = use.lengths.batch
    capacity = int(1.5 * use.memory().total)
    found = longest_context(use, capacity)
    assert found.value is not None
    assert replace(use, lengths=Lengths(batch, found.value)).memory().total <= capacity
    assert replace(use, lengths=Lengths(batch, found.value + 1)).memory().total > capacity


def test_positions_that_end_are_said() -> None:
    model = msgspec.structs.replace(SMALL, context=64)
    found = longest_context(Use(model, Recipe(), Lengths(1, 8), Layout()), 10**11)
    assert found.value is not None
    assert found.value > 64
    assert found.reason == "memory allows it, but the model's positions end at 64"
    image = msgspec.structs.replace(SMALL, tokens=197)
    found = longest_context(Use(image, Recipe(), Lengths(1, 197), Layout()), 10**11)
    assert (found.value, "always has 197 tokens" in found.reason) == (None, True)


def test_nothing_fits_and_why() -> None:
    use = Use(LLAMA_70B, Recipe(), Lengths(1, 4096), Layout(flash=True))
    found = largest_batch(use, 80 * GIB)
    assert found.value is None
    assert found.reason.startswith("one sample on each replica needs 1.")
    assert found.reason.endswith("TiB, and there are 80.0 GiB")
    assert longest_context(use, 80 * GIB).value is None
    few = fewest_devices(use, GIB)
    assert few.value is None
    assert few.reason.startswith("no layout of up to 65536 devices fits: the leanest needs ")


def test_the_fewest_devices() -> None:
    """Llama-2-70B: weights on two devices of 80 GiB, training on more; one fewer does not do in any layout."""
    serving = fewest_devices(Use(LLAMA_70B, None, Lengths(1, 4096), Layout(flash=True)), 80 * GIB)
    assert serving.value == 2
    training = Use(LLAMA_70B, Recipe(), Lengths(64, 4096), Layout(flash=True, zero=3, microbatch=1))
    found = fewest_devices(training, 80 * GIB)
    assert found.value is not None
    assert found.layout is not None
    assert found.memory is not None
    assert found.value == found.layout.devices > 69e9 * 16 / (80 * GIB)
    assert found.memory.total <= 80 * GIB
    assert fewest_devices(training, 80 * GIB, most=found.value - 1).value is None
    assert fewest_devices(training, 60 * GIB).value >= found.value  # type: ignore[operator]


# What is refused.


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout(devices=0), "devices 0: 1 or more"),
        (Layout(devices=-8), "devices -8: 1 or more"),
        (Layout(tensor=0), "devices 0: 1 or more"),
        (Layout(devices=8, tensor=-1), "tensor -1: 1 or more"),
        (Layout(devices=8, pipeline=0), "pipeline 0: 1 or more"),
        (Layout(interleave=0), "interleave 0: 1 or more"),
        (Layout(microbatch=0), "microbatch 0: 1 or more"),
        (Layout(devices=8, data=0), "data 0: 1 or more"),
        (Layout(zero=4), "zero 4: 0, 1, 2 or 3"),
        (Layout(zero=-1), "zero -1: 0, 1, 2 or 3"),
        (Layout(devices=6, tensor=4), "devices 6: a multiple of tensor 4 x pipeline 1 = 4"),
        (Layout(devices=8, data=3, tensor=2), "devices 8: data 3 x tensor 2 x pipeline 1 = 6"),
        (Layout(sequence_parallel=True), "sequence_parallel: needs tensor parallelism, 2 or more"),
        (Layout(tensor=3), "tensor 3: a divisor of heads 8"),
        (Layout(tensor=4), "tensor 4: a divisor of kv_heads 2"),
        (Layout(pipeline=9), "pipeline 9: no more stages than layers, 8"),
        (Layout(pipeline=3), "pipeline 3 x interleave 1 = 3: a divisor of layers 8"),
        (Layout(pipeline=4, interleave=4), "pipeline 4 x interleave 4 = 16: a divisor of layers 8"),
        (Layout(interleave=2), "interleave 2: 1 without a pipeline of 2 stages or more"),
        (Layout(data=5), "batch 8: a multiple of data 5 = 5"),
        (Layout(data=2, microbatch=3), "batch 8: a multiple of data 2 x microbatch 3 = 6"),
    ],
)
def test_an_impossible_layout_is_refused(layout: Layout, message: str) -> None:
    model = decoder(8, 256, 8, 1000, kv_heads=2)
    with pytest.raises(UsageError) as refused:
        check_layout(model, layout, Lengths(8, 64))
    assert str(refused.value) == message


def test_impossible_lengths_and_recipes_are_refused() -> None:
    for lengths, message in (
        (Lengths(0, 8), "batch 0: 1 or more"),
        (Lengths(1, -8), "sequence -8: 1 or more"),
        (Lengths(1, 8, -1), "target -1: 0 or more"),
    ):
        with pytest.raises(UsageError, match=message):
            memory(SMALL, Recipe(), Layout(), lengths)
    with pytest.raises(UsageError, match="precision 'fp3': one of float32, tf32, mixed"):
        check_recipe(Recipe("fp3"))
    with pytest.raises(UsageError, match="optimizer 'magic': one of sgd, momentum"):
        check_recipe(Recipe(optimizer="magic"))
    with pytest.raises(UsageError, match="tensor 2: 1, as of convolutions has no heads to split"):
        check_layout(CONVOLUTIONS, Layout(tensor=2))
    with pytest.raises(UsageError, match="pipeline 2: no more stages than layers, 0"):
        check_layout(CONVOLUTIONS, Layout(pipeline=2))


def test_what_is_assumed_is_said() -> None:
    layout = Layout(tensor=2, pipeline=2, data=2, zero=1, recompute=Recompute.FULL)
    lines = memory(SMALL, Recipe("autocast", dropout=True), layout, Lengths(2, 8)).assumptions
    for words_of in (
        "4 bytes a parameter",
        "2205.05198",
        "Dropout keeps",
        "Autocast keeps",
        "ZeRO 1",
        "split 2 ways",
        "pipeline is full",
    ):
        assert any(words_of in line for line in lines), words_of
