"""`plumbline plan`: what a person asks, what a program reads, and what is refused in one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import store
from harness.report import terminal
from tests.conftest import decoded

Command = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]
GIB = 2**30
DAY = 86_400
RUNS = Path(__file__).parents[1] / "results" / "reference"
CALIBRATED, BARE = RUNS / "epyc-2-cores-cpu", RUNS / "xeon-2-cores-cpu"
# NVIDIA's dense peaks of bfloat16.
A100, H100 = 312e12, 989.4e12

LLAMA = 6_738_415_616
LLAMA_LAYERS, LLAMA_WIDTH, LLAMA_LENGTH, LLAMA_HEAD = 32, 4096, 4096, 32_000 * 4096
# Weights of attention, of feed-forward blocks with a gate, and of the head.
LLAMA_MATRICES = LLAMA_LAYERS * (4 * LLAMA_WIDTH**2 + 3 * LLAMA_WIDTH * 11_008) + LLAMA_HEAD
SMALL = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128, "vocab_size": 256, "max_position_embeddings": 64,
}  # fmt: skip
# Table and head, four square matrices and three of the gated block in each layer, five norms.
SMALL_PARAMETERS = 2 * 256 * 64 + 2 * (4 * 64**2 + 3 * 64 * 128) + 5 * 64


@pytest.fixture
def ask(plumbline: Command) -> Ask:
    """The plan as a program reads it."""

    def asked(*arguments: object) -> dict[str, Any]:
        status, output, errors = plumbline("plan", *arguments, "--json")
        assert (status, errors) == (0, "")
        found: dict[str, Any] = decoded(output)
        return found

    return asked


def written(folder: Path, fields: object = SMALL) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(fields))
    return path


def states(plan: dict[str, Any]) -> tuple[int, int, int]:
    memory = plan["memory"]
    return memory["parameters"], memory["gradients"], memory["optimizer"]


def one_line(found: tuple[int, str, str], *texts: str) -> None:
    status, output, errors = found
    assert (status, output) == (2, "")
    assert errors.startswith("plumbline: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    for text in texts:
        assert text in errors


# What a program reads


@pytest.mark.parametrize("model", ["llama-2-7b", "bert-base", "t5-small", "vit-b/16", "resnet-50"])
def test_keys_and_their_types(ask: Ask, model: str) -> None:
    found = ask(model, "--on", "H100")

    wholes = {
        "parameters": ("total", "active", "embedding"),
        "flops": ("forward", "forward_dense"),
        "memory": ("parameters", "gradients", "optimizer", "total"),
        "kv_cache": ("bytes_per_token",),
    }
    numbers = {
        "flops": ("forward_per_token", "train_total", "train_total_dense"),
        "time": ("seconds", "low", "high"),
    }
    for group, keys in wholes.items():
        assert all(type(found[group][key]) is int for key in keys)
    for group, keys in numbers.items():
        assert all(type(found[group][key]) is float for key in keys)
    known = type(found["memory"]["activations"])
    assert known is (type(None) if model == "resnet-50" else int)
    assert 0.0 < found["mfu"] == found["time"]["mfu"] < 1.0
    assert found["time"]["low"] < found["time"]["seconds"] < found["time"]["high"]
    for key in ("parameters", "flops", "memory", "kv_cache", "time", "mfu"):
        assert found["assumptions"][key]
        assert all(text.strip() for text in found["assumptions"][key])


def test_without_a_place_there_is_no_time_and_that_is_said(ask: Ask) -> None:
    found = ask("llama-2-7b")

    assert (found["time"], found["mfu"], found["fits"]) == (None, None, None)
    assert "--on" in found["assumptions"]["time"][0]
    assert all(found["assumptions"][key] for key in ("parameters", "flops", "memory", "kv_cache"))


def test_llama_by_hand(ask: Ask) -> None:
    found = ask("llama-2-7b", "--tokens", "2T", "--seq", LLAMA_LENGTH)

    linear = 2 * LLAMA_MATRICES * LLAMA_LENGTH
    dense = linear + 4 * LLAMA_LAYERS * LLAMA_WIDTH * LLAMA_LENGTH**2
    exact = linear + 4 * LLAMA_LAYERS * LLAMA_WIDTH * LLAMA_LENGTH * (LLAMA_LENGTH + 1) // 2
    flops = found["flops"]
    assert (flops["forward"], flops["forward_dense"]) == (exact, dense)
    assert flops["forward_per_token"] == pytest.approx(exact / LLAMA_LENGTH, rel=1e-12)
    assert flops["train_total"] == pytest.approx(3 * exact * 2e12 / LLAMA_LENGTH, rel=1e-12)
    assert flops["train_total_dense"] == pytest.approx(3 * dense * 2e12 / LLAMA_LENGTH, rel=1e-12)
    assert flops["conventions"]["6ND"] == pytest.approx(6 * LLAMA * 2e12, rel=1e-12)
    assert found["tokens"] == 2e12
    parameters = found["parameters"]
    assert (parameters["total"], parameters["active"]) == (LLAMA, LLAMA)
    assert parameters["embedding"] == 32_000 * LLAMA_WIDTH
    assert sum(parameters["components"].values()) == LLAMA
    assert sum(flops["components"].values()) == exact
    assert found["kv_cache"] == {"bytes_per_token": 524_288, "total": 524_288 * LLAMA_LENGTH}
    assert states(found) == (2 * LLAMA, 2 * LLAMA, 12 * LLAMA)


def test_memory_adds_up(ask: Ask) -> None:
    memory = ask("llama-2-7b", "--batch", 3)["memory"]

    parts = ("parameters", "gradients", "optimizer", "activations", "ends", "logits", "temporaries")
    assert memory["total"] == sum(memory[part] for part in parts)


BERT = 12 * 12 * 768**2
GPT2 = BERT + 50_257 * 768
VIT_TOKENS = 197


@pytest.mark.parametrize(
    ("model", "length", "total", "dense", "cache"),
    [
        ("gpt2", 1024, 124_439_808, 2 * GPT2 * 1024 + 4 * 12 * 768 * 1024**2, 2 * 12 * 768 * 2),
        # The pooler reads one token of a sample.
        ("bert-base", 512, 109_482_240, 2 * BERT * 512 + 4 * 12 * 768 * 512**2 + 2 * 768**2, 0),
        ("t5-small", 512, 60_506_624, None, 2 * 6 * 512 * 2),
        (
            "vit-b/16", VIT_TOKENS, 86_567_656,
            2 * 196 * 768**2 + 2 * BERT * VIT_TOKENS + 4 * 12 * 768 * VIT_TOKENS**2 + 2 * 768 * 1000, 0,
        ),
        ("resnet-50", None, 25_557_032, 2 * 4_089_184_256, 0),
        ("mixtral-8x7b", 4096, 46_702_792_704, None, 2 * 32 * 8 * 128 * 2),
    ],
)  # fmt: skip
def test_models_by_hand(
    ask: Ask, model: str, length: int | None, total: int, dense: int | None, cache: int
) -> None:
    found = ask(model, *(() if length is None else ("--seq", length)))

    assert found["parameters"]["total"] == total
    assert sum(found["parameters"]["components"].values()) == total
    assert found["kv_cache"]["bytes_per_token"] == cache
    if dense is not None:
        assert found["flops"]["forward_dense"] == dense
    assert found["flops"]["forward"] <= found["flops"]["forward_dense"]


def test_of_experts_two_work_on_a_token(ask: Ask) -> None:
    found = ask("mixtral-8x7b")["parameters"]

    idle = 32 * 6 * 3 * 4096 * 14_336
    assert found["active"] == found["total"] - idle == 12_879_925_248


def test_t5_has_a_source_and_a_target(ask: Ask) -> None:
    found = ask("t5-small", "--seq", 512, "--target-seq", 128)

    width, inner = 512, 2048
    encoder = 6 * (4 * width**2 + 2 * width * inner)
    own = 6 * (4 * width**2 + 2 * width * inner + 2 * width**2) + 32_128 * width
    linear = 2 * (encoder * 512 + own * 128 + 6 * 2 * width**2 * 512)  # keys and values of the source
    core = 4 * 6 * width * (512**2 + 128**2 + 512 * 128)
    assert found["flops"]["forward_dense"] == linear + core
    # Of the target its own keys and values, of the source those of cross-attention.
    assert found["kv_cache"]["total"] == 2 * 2 * 6 * width * (128 + 512)
    assert found["flops"]["forward_per_token"] == pytest.approx(found["flops"]["forward"] / 640)


def test_a_file_a_folder_and_a_folder_named_like_a_model(ask: Ask, tmp_path: Path) -> None:
    path = written(tmp_path / "mine")
    written(tmp_path / "gpt2")
    (tmp_path / "bert-base").mkdir()

    by_file, by_folder = ask(path), ask(path.parent)
    assert by_file == by_folder
    assert by_file["model"] == "mine"
    assert by_file["parameters"]["total"] == SMALL_PARAMETERS
    assert str(path) in by_file["assumptions"]["parameters"][0]
    assert (
        ask("gpt2")["parameters"]["total"] == SMALL_PARAMETERS
    )  # what lies here comes before what is bundled
    assert ask("bert-base")["parameters"]["total"] == 109_482_240  # but not where there is no configuration


# Options


@pytest.mark.parametrize(
    ("text", "tokens"), [("1.4T", 1.4e12), ("300B", 3e11), ("1e9", 1e9), ("2_000_000", 2e6), ("512", 512.0)]
)
def test_tokens(ask: Ask, text: str, tokens: float) -> None:
    found = ask("gpt2", "--tokens", text)

    assert found["tokens"] == tokens
    per_token = found["flops"]["forward_per_token"]
    assert found["flops"]["train_total"] == pytest.approx(3 * per_token * tokens)


def test_twenty_tokens_a_parameter_where_none_are_given(ask: Ask) -> None:
    found = ask("gpt2")

    assert found["tokens"] == 20 * 124_439_808
    assert any("20 for each active parameter" in text for text in found["assumptions"]["flops"])
    assert not any("20 for each" in text for text in ask("gpt2", "--tokens", "1B")["assumptions"]["flops"])


def test_batch_and_sequence(ask: Ask) -> None:
    one, four = ask("gpt2", "--seq", 256), ask("gpt2", "--seq", 256, "--batch", 4)

    assert (four["batch"], four["sequence"]) == (4, 256)
    assert four["flops"]["forward"] == 4 * one["flops"]["forward"]
    assert four["memory"]["activations"] == 4 * one["memory"]["activations"]
    assert four["flops"]["train_total"] == pytest.approx(one["flops"]["train_total"])
    assert states(one) == states(four)


@pytest.mark.parametrize(
    ("options", "each"),
    [
        (("--dtype", "float32"), (4, 4, 8)),
        (("--dtype", "tf32"), (4, 4, 8)),
        (("--dtype", "bfloat16"), (2, 2, 12)),
        (("--dtype", "float16"), (2, 2, 12)),
        (("--states", "megatron"), (2, 4, 12)),
        (("--states", "autocast"), (4, 4, 8)),
        (("--states", "bfloat16"), (2, 2, 4)),
        (("--optimizer", "sgd"), (2, 2, 4)),
        (("--optimizer", "momentum"), (2, 2, 8)),
        (("--optimizer", "sgd", "--dtype", "float32"), (4, 4, 0)),
        (("--optimizer", "adam8bit"), (2, 2, 6)),
    ],
)
def test_states_of_a_parameter(ask: Ask, options: tuple[str, ...], each: tuple[int, int, int]) -> None:
    assert states(ask("llama-2-7b", *options)) == tuple(size * LLAMA for size in each)


def test_keys_and_values_have_the_dtype_of_the_products(ask: Ask) -> None:
    assert ask("llama-2-7b", "--dtype", "float32")["kv_cache"]["bytes_per_token"] == 2 * 524_288


def test_what_is_computed_again_is_hardware_and_saves_memory(ask: Ask) -> None:
    found = {
        kind: ask("llama-2-7b", "--tokens", "1T", "--recompute", kind)
        for kind in ("none", "selective", "full")
    }

    kept = [plan["memory"]["activations"] for plan in found.values()]
    assert kept[0] > kept[1] > kept[2] >= LLAMA_LAYERS * LLAMA_LENGTH * LLAMA_WIDTH * 2
    assert len({plan["flops"]["train_total"] for plan in found.values()}) == 1
    forward, parts = found["none"]["flops"]["forward"], found["none"]["flops"]["components"]
    again = {
        "none": 0,
        "selective": parts["attention core"],
        "full": forward - 2 * LLAMA_HEAD * LLAMA_LENGTH,
    }
    for kind, plan in found.items():
        whole = (3 * forward + again[kind]) * 1e12 / LLAMA_LENGTH
        assert plan["flops"]["hardware_total"] == pytest.approx(whole, rel=1e-12)


def test_dropout_and_flash_by_the_published_formula(ask: Ask) -> None:
    """Korthikanti et al. 2022, equation 1: s b h (34 + 5 a s / h) bytes a layer."""
    layers, width, heads, length = 96, 12_288, 96, 2048
    lines = layers * length * width

    found = ask("gpt-3-175b", "--dropout", "--seq", length)["memory"]["activations"]
    assert found == lines * 34 + layers * 5 * heads * length**2
    fused = ask("gpt-3-175b", "--dropout", "--flash", "--seq", length)["memory"]["activations"]
    assert fused == lines * 34
    assert ask("gpt-3-175b", "--seq", length)["memory"]["activations"] < found


@pytest.mark.parametrize(("zero", "published"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_zero_as_published_for_seven_and_a_half_billion(ask: Ask, zero: int, published: float) -> None:
    found = ask("megatron-7.5b", "--data", 64, "--batch", 64, "--zero", zero)

    total = found["parameters"]["total"]
    assert found["devices"] == 64
    assert sum(states(found)) / total * 7.5 == pytest.approx(published, rel=0.02)
    split = {
        0: (2, 2, 12), 1: (2, 2, 12 / 64), 2: (2, 2 / 64, 12 / 64), 3: (2 / 64, 2 / 64, 12 / 64),
    }[zero]  # fmt: skip
    assert states(found) == pytest.approx([size * total for size in split])


def test_layouts(ask: Ask) -> None:
    whole = ask("llama-2-7b", "--batch", 8)
    shared = ask("llama-2-7b", "--batch", 8, "--tensor", 4, "--pipeline", 2)
    both = ask("llama-2-7b", "--batch", 8, "--devices", 32, "--tensor", 4, "--pipeline", 2)
    stated = ask("llama-2-7b", "--batch", 8, "--data", 4, "--tensor", 4, "--pipeline", 2)

    assert [plan["devices"] for plan in (whole, shared, both, stated)] == [1, 8, 32, 32]
    assert both == stated
    assert sum(states(shared)) == pytest.approx(sum(states(whole)) / 8, rel=0.05)
    assert sum(states(shared)) > sum(states(whole)) / 8  # norms are whole, ends are not even
    assert shared["flops"] == whole["flops"]
    parallel = ask("llama-2-7b", "--batch", 8, "--tensor", 4, "--sequence-parallel")["memory"]["activations"]
    assert parallel == whole["memory"]["activations"] / 4
    assert parallel < ask("llama-2-7b", "--batch", 8, "--tensor", 4)["memory"]["activations"]


@pytest.mark.parametrize(
    ("name", "known", "peak"),
    [
        ("A100", "A100 SXM4 80GB", A100),
        ("A100 80GB", "A100 SXM4 80GB", A100),
        ("H100", "H100 SXM5 80GB", H100),
    ],
)
def test_time_on_a_device(ask: Ask, name: str, known: str, peak: float) -> None:
    options = ("llama-2-7b", "--tokens", "1T", "--devices", 8, "--batch", 8, "--on", name)
    stated, usual = ask(*options, "--mfu", "40%"), ask(*options)

    time = stated["time"]
    seconds = stated["flops"]["train_total"] / (8 * peak * 0.4)
    assert time["seconds"] == pytest.approx(seconds, rel=1e-3)
    assert time["low"] == time["seconds"] == time["high"]
    assert (stated["mfu"], time["on"]) == (pytest.approx(0.4), known)
    assert time["device_hours"] == pytest.approx(8 * time["seconds"] / 3600)
    assert time["tokens_per_second"] == pytest.approx(1e12 / time["seconds"])
    assert time["step_seconds"] == pytest.approx(time["seconds"] * 8 * LLAMA_LENGTH / 1e12)
    time = usual["time"]
    assert time["low"] < time["seconds"] < time["high"]
    assert time["seconds"] == pytest.approx(
        usual["flops"]["train_total"] / (8 * peak * usual["mfu"]), rel=1e-3
    )


def test_inference_on_a_device_is_bound_by_what_it_reads(ask: Ask) -> None:
    found = ask("llama-2-7b", "--on", "A100", "--seq", 128)["inference"]

    read = 2 * LLAMA_MATRICES + 524_288 * 128
    assert found["decode_bound"] == "memory"
    assert found["decode_seconds"] == pytest.approx(read / 2039e9, rel=2e-3)
    assert found["prefill_seconds"] > 2 * (LLAMA_MATRICES - LLAMA_HEAD) * 128 / A100 * 0.999
    assert found["memory"] > 2 * LLAMA


def test_energy_and_price(ask: Ask) -> None:
    found = ask("llama-2-7b", "--on", "H100", "--watts", 700, "--price", "2.5/h")

    hours = found["time"]["device_hours"]
    assert found["energy_joules"] == pytest.approx(700 * hours * 3600)
    assert found["cost"] == pytest.approx(2.5 * hours)


def test_a_link_gives_traffic_its_time(ask: Ask) -> None:
    options = ("llama-2-7b", "--data", 4, "--batch", 4)
    silent, stated = ask(*options)["communication"], ask(*options, "--link", "5e-6,25e9")["communication"]

    sent = 2 * 3 / 4 * 2 * LLAMA  # a ring sends gradients there and back, of 2 bytes each
    assert silent["seconds"] is None
    assert silent["data"] == stated["data"] == pytest.approx(sent)
    assert stated["seconds"] == pytest.approx(sent / 25e9, rel=1e-3)
    assert stated["seconds"] > sent / 25e9


SPREAD = (
    "llama-2-7b",
    "--devices",
    8,
    "--data",
    8,
    "--zero",
    3,
    "--flash",
    "--memory",
    "64Gi",
    "--seq",
    2048,
)


def test_what_fits_fits_and_one_more_does_not(ask: Ask) -> None:
    fits = ask(*SPREAD, "--batch", 8)["fits"]

    most = fits["largest_batch"]
    assert most % 8 == 0
    assert ask(*SPREAD, "--batch", most)["memory"]["total"] <= 64 * GIB
    assert ask(*SPREAD, "--batch", most + 8)["memory"]["total"] > 64 * GIB
    longest = fits["longest_context"]
    lengthened = (*SPREAD[:-2], "--batch", 8, "--seq")
    assert ask(*lengthened, longest)["memory"]["total"] <= 64 * GIB
    assert ask(*lengthened, longest + 1)["memory"]["total"] > 64 * GIB


def test_the_memory_of_a_device_is_known_and_may_be_stated(ask: Ask) -> None:
    options = ("gpt2", "--flash", "--on", "A100")
    known, less = ask(*options)["fits"], ask(*options, "--memory", "40Gi")["fits"]

    assert 0 < less["largest_batch"] < known["largest_batch"]
    assert known["fewest_devices"] == 1
    assert known["largest_batch"] == ask("gpt2", "--flash", "--memory", "80Gi")["fits"]["largest_batch"]


def test_where_nothing_fits_it_says_why(ask: Ask) -> None:
    fits = ask("gpt-3-175b", "--on", "A100")["fits"]

    assert fits["largest_batch"] is None
    assert "80.0 GiB" in fits["reasons"]["largest_batch"]
    assert fits["fewest_devices"] > 8


def test_optimizations_are_what_the_options_make(ask: Ask) -> None:
    optimizations = {one["name"]: one for one in ask("llama-2-7b")["optimizations"]}

    assert optimizations["as asked"]["memory"] == ask("llama-2-7b")["memory"]["total"]
    for name, options in {
        "recompute full": ("--recompute", "full"), "recompute selective": ("--recompute", "selective"),
        "flash attention": ("--flash",),
    }.items():  # fmt: skip
        assert optimizations[name]["memory"] == ask("llama-2-7b", *options)["memory"]["total"]


# Without a model


def test_a_budget(ask: Ask) -> None:
    optima = {one["approach"]: one for one in ask("--budget", "5.76e23")["optima"]}

    first = optima["approach-1"]
    assert first["parameters"] == pytest.approx(67e9, rel=0.02)  # Hoffmann et al. 2022: Gopher's budget
    assert first["tokens"] == pytest.approx(1.4e12, rel=0.02)
    for one in optima.values():
        assert 6 * one["parameters"] * one["tokens"] == pytest.approx(5.76e23)
        assert one["tokens_per_parameter"] == pytest.approx(one["tokens"] / one["parameters"])
        assert one["loss"] > 1.69
        assert one["source"]
    assert first["extrapolated"] is True


def test_days_on_devices(ask: Ask, plumbline: Command) -> None:
    options = ("--days", 30, "--on", "H100", "--devices", 8)
    found = ask(*options, "--mfu", 0.4)["optima"]

    assert found[0]["flops"] == pytest.approx(30 * DAY * 8 * H100 * 0.4, rel=1e-3)
    assert found[0]["parameters"] == pytest.approx(8.2e9, rel=0.02)
    assert {one["flops"] for one in ask(*options)["optima"]} != {found[0]["flops"]}
    status, output, errors = plumbline("plan", *options)
    assert (status, errors) == (0, "")
    assert "approach-1" in output
    assert "Hoffmann et al. 2022" in output


# Demand curves


@pytest.mark.parametrize(
    ("over", "grows"),
    [
        ("size", "parameters"),
        ("tokens", "train_total"),
        ("sequence", "kv_cache"),
        ("batch", "memory"),
        ("devices", "tokens_per_second"),
    ],
)
def test_sweeps(ask: Ask, plumbline: Command, over: str, grows: str) -> None:
    options = ("llama-2-7b", "--on", "H100", "--sweep", over)
    found = ask(*options, "--points", 4)

    assert found["plan"] == ask("llama-2-7b", "--on", "H100")
    assert found["sweep"]["over"] == over
    points = found["sweep"]["points"]
    assert len(points) == 4
    values, heights = [point["value"] for point in points], [point[grows] for point in points]
    assert values == sorted(set(values))
    assert heights == sorted(set(heights))
    assert not any(point["reason"] for point in points)
    assert len(ask(*options)["sweep"]["points"]) == 9
    status, output, errors = plumbline("plan", *options, "--points", 4)
    assert (status, errors) == (0, "")
    assert f"Llama-2-7B over {over}" in output
    assert "Exponents over" in output


def test_the_page_of_a_sweep(plumbline: Command, tmp_path: Path) -> None:
    options = ("gpt2", "--on", "A100", "--sweep", "sequence", "--points", 3)
    status, output, errors = plumbline("plan", *options, "--html", "curves.html", "--json")

    assert status == 0
    assert "sweep" in decoded(output)
    assert errors == "wrote curves.html\n"
    page = (tmp_path / "curves.html").read_text()
    assert "GPT-2 over sequence" in page
    assert "<svg" in page


# What a person reads


@pytest.mark.parametrize("width", [80, 200])
def test_every_component_is_shown(
    plumbline: Command, monkeypatch: pytest.MonkeyPatch, ask: Ask, width: int
) -> None:
    options = (
        "mixtral-8x7b", "--on", "H100", "--devices", 64, "--tensor", 8, "--data", 8, "--batch", 64,
        "--zero", 1, "--watts", 700, "--price", "2/h", "--link", "5e-6,450e9", "--recompute", "selective",
    )  # fmt: skip
    monkeypatch.setattr(terminal, "screen", lambda: Console(file=sys.stdout, width=width))
    status, output, errors = plumbline("plan", *options)

    assert (status, errors) == (0, "")
    assert max(map(len, output.splitlines())) <= width
    found = ask(*options)
    for name, count in found["parameters"]["components"].items():
        line = next(line for line in output.splitlines() if line.strip().startswith(f"{name} "))
        assert f"{count:,}" in line
    for part in ("parameters", "gradients", "optimizer", "activations", "logits", "total"):
        assert f"{found['memory'][part]:,}" in output
    for text in (
        "attention core", "active for a token", "12,879,925,248", "KV cache, a token", "prefill, at least",
        "by 6ND", "with recomputation", "MFU", "HFU", "device-hours", "kWh", "price", "largest batch",
        "longest sequence", "fewest devices", "recompute full", "ZeRO 3", "H100 SXM5 80GB", "without overlap",
    ):  # fmt: skip
        assert text in output
    words = " ".join(output.split())
    for several in found["assumptions"].values():
        assert all(" ".join(text.split()) in words for text in several)


def test_json_stands_alone_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['plumbline', 'plan', 'llama-2-7b', '--json']\n"
        "from harness.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'scipy', 'altair', 'pandas'} & sys.modules.keys()\n"
        "sys.stderr.write(','.join(sorted(heavy)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stderr == ""
    assert decoded(ended.stdout)["parameters"]["total"] == LLAMA


# What cannot be

L = "llama-2-7b"
BAD: list[tuple[tuple[object, ...], str]] = [
    (("no-such-model",), "no-such-model"),
    (("llama-2-8b",), "Llama-2-7B"),
    ((L, "--tensor", 3), "tensor 3"),
    ((L, "--tensor", 0), "--tensor 0"),
    (("llama-2-70b", "--tensor", 16), "kv_heads 8"),
    (("resnet-50", "--tensor", 2), "tensor 2"),
    ((L, "--pipeline", 33), "pipeline 33"),
    ((L, "--pipeline", 64, "--devices", 64), "layers, 32"),
    ((L, "--pipeline", 5), "pipeline 5"),
    ((L, "--pipeline", -1), "--pipeline -1"),
    ((L, "--interleave", 2), "interleave 2"),
    ((L, "--pipeline", 2, "--interleave", 3), "interleave 3"),
    ((L, "--sequence-parallel"), "sequence_parallel"),
    ((L, "--devices", 8, "--tensor", 2, "--data", 2), "devices 8"),
    ((L, "--devices", 7, "--tensor", 2), "devices 7"),
    ((L, "--devices", 0), "--devices 0"),
    ((L, "--data", 0), "--data 0"),
    ((L, "--data", 2, "--batch", 3), "batch 3"),
    ((L, "--batch", 4, "--microbatch", 3), "microbatch 3"),
    ((L, "--microbatch", 0), "--microbatch 0"),
    ((L, "--zero", 4), "zero 4"),
    ((L, "--zero", -1), "zero -1"),
    ((L, "--zero", "x"), "--zero"),
    ((L, "--batch", 0), "--batch 0"),
    ((L, "--batch", -1), "--batch -1"),
    ((L, "--batch", 1.5), "--batch"),
    ((L, "--batch", "9" * 400), "--batch"),
    ((L, "--seq", 0), "--seq 0"),
    ((L, "--seq", -5), "--seq -5"),
    ((L, "--seq", "9" * 200), "--seq"),
    (("vit-b/16", "--seq", 10), "--seq 10"),
    (("t5-small", "--target-seq", 0), "--target-seq 0"),
    (("t5-small", "--target-seq", -3), "--target-seq -3"),
    ((L, "--target-seq", 8), "--target-seq 8"),
    ((L, "--tokens", "0"), "--tokens 0:"),
    ((L, "--tokens", "-1"), "--tokens -1:"),
    ((L, "--tokens", "0.5"), "--tokens 0.5:"),
    ((L, "--tokens", "abc"), "--tokens abc:"),
    ((L, "--tokens", "1.4X"), "--tokens 1.4X:"),
    ((L, "--tokens", "nan"), "--tokens nan:"),
    ((L, "--tokens", ""), "--tokens ''"),
    ((L, "--dtype", "nonsense"), "--dtype 'nonsense'"),
    ((L, "--states", "nonsense"), "--states 'nonsense'"),
    ((L, "--dtype", "float32", "--states", "megatron"), "--states megatron"),
    ((L, "--optimizer", "nonsense"), "--optimizer 'nonsense'"),
    ((L, "--recompute", "nonsense"), "--recompute 'nonsense'"),
    ((L, "--on", "nonsense"), "--on 'nonsense'"),
    ((L, "--on", "RTX"), "--on 'RTX'"),
    ((L, "--on", ""), "--on ''"),
    ((L, "--on", "latest"), "no run"),
    ((L, "--on", "./nowhere"), "./nowhere"),
    ((L, "--on", "H100", "--mfu", "0"), "--mfu 0:"),
    ((L, "--on", "H100", "--mfu", "1.5"), "--mfu 1.5:"),
    ((L, "--on", "H100", "--mfu", "x"), "--mfu x:"),
    ((L, "--on", "H100", "--mfu", "0.9", "--recompute", "full"), "MFU 0.9"),
    ((L, "--mfu", "0.4"), "--mfu 0.4"),
    ((L, "--memory", "x"), "--memory x:"),
    ((L, "--memory", "0"), "--memory 0:"),
    ((L, "--link", "x"), "--link 'x'"),
    ((L, "--link", "1"), "--link '1'"),
    ((L, "--link", "1,2,3"), "--link '1,2,3'"),
    ((L, "--link", "-1,5"), "--link '-1,5'"),
    ((L, "--link", "0,0"), "--link '0,0'"),
    ((L, "--link", "nan,1"), "--link 'nan,1'"),
    ((L, "--link", "1,inf"), "--link '1,inf'"),
    ((L, "--on", "H100", "--price", "x"), "--price x:"),
    ((L, "--on", "H100", "--price", "0/h"), "--price 0/h:"),
    ((L, "--price", "2/h"), "--price 2/h"),
    ((L, "--on", "H100", "--watts", "0"), "--watts 0:"),
    ((L, "--watts", "400"), "--watts 400"),
    ((L, "--sweep", "nonsense"), "--sweep"),
    ((L, "--sweep", "size", "--points", 1), "points 1"),
    ((L, "--sweep", "size", "--points", -1), "points -1"),
    ((L, "--sweep", "size", "--points", "x"), "--points"),
    (("resnet-50", "--sweep", "size"), "--sweep"),
    (("vit-b/16", "--sweep", "sequence"), "--sweep"),
    ((L, "--html", "x.html"), "--html"),
    ((L, "--sweep", "size", "--html", "nowhere/x.html"), "--html nowhere/x.html"),
    ((L, "--sweep", "size", "--html", "."), "--html ."),
    ((L, "--budget", "1e21"), "--budget"),
    ((L, "--days", 3), "--days"),
    ((), "--budget"),
    (("--budget", "0"), "--budget 0:"),
    (("--budget", "x"), "--budget x:"),
    (("--budget", "1e21", "--days", 3), "--budget"),
    (("--budget", "1e21", "--sweep", "size"), "--sweep"),
    (("--budget", "1e21", "--html", "x.html"), "--html"),
    (("--days", 3), "--on"),
    (("--days", 0, "--on", "H100"), "--days 0:"),
    (("--days", 3, "--on", "nonsense"), "--on 'nonsense'"),
    (("--days", 3, "--on", "H100", "--devices", 0), "--devices 0"),
    (("--days", 3, "--on", "H100", "--devices", -4), "--devices -4"),
    (("--days", 3, "--on", "H100", "--devices", "9" * 400), "--devices"),
    (("--days", 3, "--on", "H100", "--mfu", 2), "--mfu 2:"),
    (("--days", 3, "--on", "H100", "--dtype", "nonsense"), "--dtype 'nonsense'"),
    ((L, "extra"), "extra"),
    ((L, "--nonsense", 3), "--nonsense"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=[" ".join(map(str, args))[:60] for args, _ in BAD]
)
def test_what_cannot_be_is_one_line(plumbline: Command, arguments: tuple[object, ...], message: str) -> None:
    one_line(plumbline("plan", *arguments), message)
    one_line(plumbline("plan", *arguments, "--json"), message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "model_type"),
        ({"model_type": "nonsense"}, "nonsense"),
        ({"model_type": "llama", "hidden_size": 64}, "config.json"),
        (SMALL | {"hidden_size": 0}, "hidden_size"),
        (SMALL | {"num_hidden_layers": -2}, "num_hidden_layers"),
        (SMALL | {"hidden_size": 65}, "hidden_size"),
        (SMALL | {"num_key_value_heads": 3}, "num_key_value_heads"),
        (SMALL | {"vocab_size": "many"}, "vocab_size"),
        ({key: SMALL[key] for key in SMALL if key != "intermediate_size"}, "intermediate_size"),
        ([], "an object"),
    ],
)
def test_a_configuration_that_cannot_be_names_its_field(
    plumbline: Command, tmp_path: Path, fields: object, message: str
) -> None:
    one_line(plumbline("plan", written(tmp_path / "mine", fields), "--json"), "config.json", message)


def test_a_configuration_that_is_none(plumbline: Command, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": ')
    one_line(plumbline("plan", path), "config.json", "JSON")
    (tmp_path / "empty").mkdir()
    one_line(plumbline("plan", tmp_path / "empty"), "config.json")


# On the machine of a run


def test_a_run_that_calibrated_nothing(plumbline: Command, tmp_path: Path) -> None:
    path = written(tmp_path / "mine")
    one_line(plumbline("plan", path, "--on", BARE, "--json"), "has no cost model", "plumbline calibrate")


def test_a_run_knows_one_machine_and_no_stated_fraction(plumbline: Command, tmp_path: Path) -> None:
    path = written(tmp_path / "mine")
    one_line(plumbline("plan", path, "--on", CALIBRATED, "--devices", 2, "--batch", 2), "--devices 2")
    one_line(plumbline("plan", path, "--on", CALIBRATED, "--mfu", 0.4), "--mfu 0.4")


def test_time_by_the_laws_of_a_run(ask: Ask, tmp_path: Path) -> None:
    """Takes some seconds: torch and transformers are loaded, and a step is traced."""
    pytest.importorskip("transformers")
    path = written(tmp_path / "mine")

    found = ask(path, "--dtype", "float32", "--tokens", "64k", "--on", CALIBRATED, "--price", "1/h")

    time = found["time"]
    run = json.loads((CALIBRATED / "run.json").read_text())["id"]
    assert time["on"] == f"run {run}"
    assert 0.0 < time["low"] < time["seconds"] < time["high"]
    assert time["seconds"] == pytest.approx(1000 * time["step_seconds"])  # of 64 tokens each
    assert found["mfu"] == time["mfu"]
    assert 0.0 < found["mfu"] < 1.0
    assert found["cost"] == pytest.approx(time["device_hours"])
    assert f"by the cost model of {run}" in found["assumptions"]["time"][0]
    assert found["assumptions"]["mfu"]


def test_the_largest_model_that_trains_here_in_so_many_days(plumbline: Command) -> None:
    """At the best rate that a training step of a run reached: 6 N D fills the days."""
    rates = [
        result.flops_per_second or 0.0
        for result in store.read(CALIBRATED).measured
        if result.case.family == "train"
    ]

    status, output, errors = plumbline("plan", "--days", "30", "--on", str(CALIBRATED), "--json")

    assert (status, errors) == (0, "")
    for load in json.loads(output)["optima"]:
        assert 6 * load["parameters"] * load["tokens"] == pytest.approx(30 * 86400 * max(rates), rel=1e-6)
    assert plumbline("plan", "--days", "30", "--on", str(CALIBRATED), "--mfu", "0.4")[0] == 2
