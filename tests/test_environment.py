"""What the machine is: complete, with a reason for every gap, comparable, and without secrets."""

import getpass
import os
import platform
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import torch

from harness.measure.environment.capture import Sources, capture, read_code
from harness.measure.environment.host import parse_cpu_list
from harness.measure.environment.kernel import Gaps
from harness.measure.environment.software import read_numerics
from harness.measure.privacy import Redactor
from harness.records.environment import Difference, Environment
from harness.records.machine import Accelerator

pytestmark = pytest.mark.instructions

NOBODY = Redactor(home="/nowhere", user="", host="")
GPU = Accelerator(name="NVIDIA H200", index=0, torch_index=0, mig_enabled=False)


@pytest.fixture(scope="module")
def here() -> Environment:
    return capture("cpu")


def changed(record: Any, **changes: Any) -> Any:
    """The record with some fields changed; `processor__model=1` reaches one level down."""
    for path, value in changes.items():
        part, _, field = path.partition("__")
        new = msgspec.structs.replace(getattr(record, part), **{field: value}) if field else value
        record = msgspec.structs.replace(record, **{part: new})
    return record


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple) and value:
        for position, part in enumerate(value):
            yield from leaves(part, f"{path}.{position}")
    else:
        yield path, value


# --- the capture -----------------------------------------------------------------------------------


def test_a_capture_is_quick() -> None:
    start = time.perf_counter()
    capture("cpu")
    assert time.perf_counter() - start < 2.0


def test_every_gap_has_its_reason_and_every_reason_its_gap(here: Environment) -> None:
    facts = dict(leaves(msgspec.to_builtins(msgspec.structs.replace(here, unavailable={}))))
    gaps = {path for path, value in facts.items() if value is None}
    explained = {path for path in gaps if any(f"{path}.".startswith(f"{r}.") for r in here.unavailable)}
    assert gaps == explained
    assert all(not value for path, value in facts.items() if path in here.unavailable)
    assert all(here.unavailable.values())


def test_it_survives_json(here: Environment) -> None:
    assert msgspec.json.decode(msgspec.json.encode(here), type=Environment) == here


def test_it_agrees_with_other_sources(here: Environment) -> None:
    assert here.processor.logical_cpus == psutil.cpu_count()
    assert here.processor.architecture == platform.machine()
    assert here.memory.total_bytes == psutil.virtual_memory().total
    assert here.memory.swap_bytes == psutil.swap_memory().total
    assert here.software.torch.version == torch.__version__
    assert here.software.packages["torch"] == torch.__version__
    assert here.software.torch.cpu_capability in torch.__config__.show()
    assert here.limits.intraop_threads == torch.get_num_threads()
    assert here.limits.usable_physical_cores <= (psutil.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        assert set(parse_cpu_list(here.limits.affinity or "")) >= os.sched_getaffinity(0)
    assert here.state.uptime_seconds == pytest.approx(time.time() - psutil.boot_time(), abs=60)
    assert here.state.captured_at.endswith("+00:00")
    assert len(here.host.id) == 16


def test_two_captures_agree(here: Environment) -> None:
    again = capture("cpu", Sources(arguments=("another", "command")))
    assert again.differences(here) == ()
    assert again.fingerprint == here.fingerprint


def test_a_capture_for_the_cpu_starts_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        pytest.fail("asking torch for devices starts CUDA")

    monkeypatch.setattr(torch.cuda, "is_available", fail)
    capture("cpu")
    capture(None)


def test_no_name_and_no_secret_is_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home" / "adalovelace"
    work = home / "work"
    work.mkdir(parents=True)
    monkeypatch.setattr(socket, "gethostname", lambda: "analytical-engine.example.org")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "adalovelace")
    monkeypatch.setenv("HOME", str(home))
    assert getpass.getuser() == "adalovelace"
    git(work, "init", "-q", "-b", "adalovelace/engine")
    sources = Sources(
        directory=work,
        arguments=(
            f"{home}/.venv/bin/plumbline",
            "--hf-token",
            "planted-1",
            f"--out={work}/results",
            "--note=on analytical-engine by adalovelace",
            "--api_key=planted-2",
            "https://user:planted-3@example.org",
        ),
        variables={
            "OMP_NUM_THREADS": "4",
            "TORCH_HOME": f"{home}/.cache",
            "TORCH_TOKEN": "planted-4",
            "NCCL_AUTH": "planted-5",
            "CUDA_PROXY": "http://u:planted-6@10.0.0.1:80",
            "AWS_SECRET": "planted-7",
            "LD_PRELOAD": f"{home}/lib/libjemalloc.so.2",
        },
    )
    environment = capture("cpu", sources)
    text = msgspec.json.encode(environment).decode()
    for private in ("planted", "adalovelace", "analytical", "10.0.0.1", str(tmp_path)):
        assert private not in text
    assert environment.code.command[0] == "plumbline"
    assert environment.code.command[3] == "--out=~/work/results"
    assert environment.code.branch == "<user>/engine"
    assert environment.memory.preloads == ("libjemalloc.so.2",)
    assert environment.software.environment_variables == {
        "LD_PRELOAD": "~/lib/libjemalloc.so.2",
        "OMP_NUM_THREADS": "4",
        "TORCH_HOME": "~/.cache",
    }


def test_this_machine_and_person_are_not_named(here: Environment) -> None:
    text = msgspec.json.encode(here).decode()
    names = [socket.gethostname(), getpass.getuser(), Path.home().as_posix()]
    # Short names ("vm", "root") are parts of common words; longer ones may not appear anywhere.
    assert not [name for name in names if len(name) > 5 and name in text]


# --- what may be compared --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"processor__model_name": "Another CPU"},
        {"processor__isa": ("avx2",)},
        {"limits__usable_physical_cores": 64},
        {"memory__total_bytes": 2**45},
        {"limits__memory_limit_bytes": 2**20},
        {"device_name": "cuda", "accelerators": (GPU,)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_machine_has_another_fingerprint(here: Environment, change: dict[str, Any]) -> None:
    assert changed(here, **change).fingerprint != here.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"state__uptime_seconds": 1.0},
        {"software__kernel": "7.0"},
        {"processor__governor": "powersave"},
        {"accelerators": (GPU,)},
        {"host__id": "f" * 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_only_explains_a_difference_leaves_the_fingerprint(
    here: Environment, change: dict[str, Any]
) -> None:
    assert changed(here, **change).fingerprint == here.fingerprint


def test_main_memory_counts_by_size_class(here: Environment) -> None:
    whole = changed(here, memory__total_bytes=32 * 2**30)
    less_what_the_kernel_keeps = changed(here, memory__total_bytes=int(30.9 * 2**30))
    half = changed(here, memory__total_bytes=16 * 2**30)
    assert whole.fingerprint == less_what_the_kernel_keeps.fingerprint != half.fingerprint


def test_a_run_is_for_the_gpus_it_names(here: Environment) -> None:
    cards = (
        changed(GPU, torch_index=1),
        changed(GPU, name="NVIDIA L4", index=1, torch_index=0),
        changed(GPU, name="hidden", index=2, torch_index=None),
    )
    on = {
        name: changed(here, accelerators=cards, device_name=name) for name in ("cpu", "cuda", "cuda:0", None)
    }
    assert on["cpu"].devices == ()
    assert on["cuda"].devices == cards[:2]
    assert on["cuda:0"].devices == (cards[1],)
    assert on[None].fingerprint == on["cuda"].fingerprint != on["cuda:0"].fingerprint


def test_differences_name_field_and_both_values(here: Environment) -> None:
    other = changed(
        here,
        processor__governor="powersave",
        processor__isa=("avx2", "fma"),
        limits__intraop_threads=7,
        accelerators=(GPU,),
        code__command=("another",),
        memory__available_bytes=1,
        state__captured_at="never",
        unavailable={"x": "y"},
    )
    this = changed(here, processor__governor=None, processor__isa=("avx2",), limits__intraop_threads=2)
    found = {difference.field: difference for difference in this.differences(other)}
    assert found["processor.governor"] == Difference(field="processor.governor", this=None, other="powersave")
    assert found["processor.isa"] == Difference(field="processor.isa", this="avx2", other="avx2, fma")
    assert found["limits.intraop_threads"].other == 7
    assert found["accelerators.0.name"] == Difference(
        field="accelerators.0.name", this=None, other="NVIDIA H200"
    )
    assert [name for name in found if not name.startswith("accelerators.")] == [
        "processor.isa",
        "processor.governor",
        "limits.intraop_threads",
    ]


def test_what_changes_by_itself_is_no_difference(here: Environment) -> None:
    this = changed(here, accelerators=(changed(GPU, pcie_width=8, other_processes=0),))
    other = changed(here, accelerators=(changed(GPU, pcie_width=16, other_processes=3),))
    assert this.differences(other) == ()
    total = this.memory.total_bytes
    assert total is not None
    assert this.differences(changed(this, memory__total_bytes=total + 2**20)) == ()
    assert this.differences(changed(this, memory__total_bytes=2 * total)) != ()


# --- its parts -------------------------------------------------------------------------------------


def git(directory: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    command = ["git", "-C", str(directory), *who, *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    gaps = Gaps()
    assert read_code(tmp_path, ["x"], NOBODY, gaps).commit is None
    assert gaps.reasons["commit"].startswith("nogit")

    git(tmp_path, "init", "-q", "-b", "trunk")
    gaps = Gaps()
    unborn = read_code(tmp_path, ["x"], NOBODY, gaps)
    assert (unborn.commit, unborn.branch, unborn.dirty) == (None, "trunk", None)
    assert gaps.reasons["commit"] == "the branch has no commit yet"

    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    (tmp_path / "untracked").write_text("harmless")
    clean = read_code(tmp_path, ["x"], NOBODY, Gaps())
    assert (clean.commit, clean.dirty, clean.diff_hash) == (git(tmp_path, "rev-parse", "HEAD"), False, None)

    hashes = set()
    for text in ("two", "three"):
        (tmp_path / "file").write_text(text)
        dirty = read_code(tmp_path, ["x"], NOBODY, Gaps())
        assert dirty.dirty is True
        hashes.add(dirty.diff_hash)
    assert len(hashes) == 2
    assert None not in hashes

    git(tmp_path, "checkout", "-q", "--detach")
    gaps = Gaps()
    assert read_code(tmp_path, ["x"], NOBODY, gaps).branch is None
    assert gaps.reasons["branch"] == "HEAD is detached"


def test_without_git_the_code_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gaps = Gaps()
    assert read_code(tmp_path, [], NOBODY, gaps).dirty is None
    assert gaps.reasons["dirty"] == "git is not installed"


def test_numerics_follow_torch() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert read_numerics(Gaps()).float32_matmul_precision == "high"
        assert read_numerics(Gaps()).cuda_matmul_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
    assert read_numerics(Gaps()).float32_matmul_precision == before


def test_a_power_cap_is_a_ratio_of_the_default() -> None:
    assert GPU.power_cap is None
    capped = changed(GPU, power_limit_default_watts=420.0, power_limit_enforced_watts=230.0)
    assert capped.power_cap == pytest.approx(0.5476, abs=1e-4)
