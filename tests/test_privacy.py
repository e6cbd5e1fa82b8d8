"""Nothing personal and nothing secret is kept: planted names and credentials must be gone."""

import hashlib
import socket
from pathlib import Path

import pytest

from harness.measure.privacy import REMOVED, Redactor, container, host_id, platform_name
from harness.records.base import salted_hash

REDACTOR = Redactor(home="/data/home/ada", user="ada", host="lovelace.example.org")
MACHINE_ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data/home/ada/runs", "~/runs"),
        ("/data/home/ada", "~"),
        ("/data/home/adamant/runs", "~/runs"),
        ("see file:///home/grace/x", "see file://~/x"),
        ("https://ada:hun@ter2@example.org", f"https://{REMOVED}@example.org"),
        ("--out=/home/grace/x:/Users/grace/y", "--out=~/x:~/y"),
        ("/scratch/ada/x", "/scratch/<user>/x"),
        ("Adagio of ada_b", "Adagio of <user>_b"),
        ("node lovelace, lovelace.example.org", "node <host>, <host>"),
        ("tcp://10.1.2.3:29500", "tcp://<address>:29500"),
        ("fe80::1ff:fe23:4567:890a and 02:42:ac:11:00:02", "<address> and <address>"),
        ("2001:db8:0:0:0:0:2:1", "<address>"),
        ("https://ada:hunter2@example.org/x", f"https://{REMOVED}@example.org/x"),
        ("curl -H 'Authorization: Bearer abc.def'", f"curl -H 'Authorization: {REMOVED} {REMOVED}'"),
        ('{"api_key": "s3cr3t", "size": 4}', f'{{"api_key": "{REMOVED}", "size": 4}}'),
        ("hf_abcdefghijklmnop", REMOVED),
        ("GPU-8f6d2c1a-aaaa-bbbb-cccc-123456789abc", "<gpu>"),
    ],
)
def test_a_text_loses_what_is_private(text: str, expected: str) -> None:
    assert REDACTOR.text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "matmul-float32-m4096",
        "{0:4:2},{8}:4:2",
        "0-30:2",
        "expandable_segments:True",
        "tests/a.py::test_b",
        "12:30:00",
    ],
)
def test_a_text_keeps_what_explains_a_result(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_a_home_that_is_the_root_directory_hides_nothing() -> None:
    assert Redactor(home="/", user="", host="").text("/opt/models") == "/opt/models"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ()),
        (("/data/home/ada/.venv/bin/plumbline", "env"), ("plumbline", "env")),
        (("/usr/lib/site-packages/pytest/__main__.py", "-k", "matmul"), ("pytest", "-k", "matmul")),
        (("x", "--hf-token", "abc", "--size", "4"), ("x", "--hf-token", REMOVED, "--size", "4")),
        (("x", "--password=a b", "-v"), ("x", f"--password={REMOVED}", "-v")),
        (("x", "WANDB_API_KEY=abc"), ("x", f"WANDB_API_KEY={REMOVED}")),
        (("x", "--tokens", "--auth", "abc"), ("x", "--tokens", REMOVED, "abc")),
    ],
)
def test_a_command_line_keeps_no_secret(arguments: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert REDACTOR.command(arguments) == expected


def test_environment_variables_are_kept_by_allow_list() -> None:
    kept = {
        "OMP_NUM_THREADS": "8",
        "GOMP_SPINCOUNT": "10000",
        "KMP_AFFINITY": "granularity=fine,compact,1,0",
        "MKL_DEBUG_CPU_TYPE": "5",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "NVIDIA_TF32_OVERRIDE": "0",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "LD_PRELOAD": "/usr/lib/libjemalloc.so.2",
        "THP_MEM_ALLOC_ENABLE": "1",
    }
    dropped = {
        "PATH": "/bin",
        "HOME": "/data/home/ada",
        "HF_TOKEN": "x",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "TORCH_HUB_TOKEN": "x",
        "NCCL_SECRET": "x",
        "PYTORCH_password": "x",
        "CUDA_AUTH_FILE": "x",
        "OMP_KEY": "x",
        "TORCH_INDEX": "https://ada:hunter2@example.org/simple",
        "TORCH_CONFIG": "token=abc",
        "MKL_THING": "ghp_abcdefghijklmnopqrst",
    }
    assert REDACTOR.variables(kept | dropped) == kept


def test_variables_that_are_kept_are_cleaned() -> None:
    variables = {
        "TORCH_HOME": "/data/home/ada/.cache/torch",
        "CUDA_VISIBLE_DEVICES": "GPU-8f6d2c1a-aaaa-bbbb-cccc-123456789abc",
        "NCCL_COMM_ID": "10.0.0.7:29500",
    }
    assert REDACTOR.variables(variables) == {
        "CUDA_VISIBLE_DEVICES": "<gpu>",
        "NCCL_COMM_ID": "<address>:29500",
        "TORCH_HOME": "~/.cache/torch",
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_host_is_known_by_the_first_fact_there_is(tmp_path: Path) -> None:
    by_name, source = host_id(tmp_path)
    assert (by_name, source) == (salted_hash(f"host name\n{socket.gethostname()}"), "host name")

    for card, address in (("docker0", "02:42:ac:11:00:02"), ("eth0", "3c:ec:ef:00:11:22")):
        _write(tmp_path / "sys/class/net" / card / "address", f"{address}\n")
        (tmp_path / "sys/class/net" / card / "device").mkdir()
    assert host_id(tmp_path) == (salted_hash("network card\n3c:ec:ef:00:11:22"), "network card")

    _write(tmp_path / "sys/class/dmi/id/product_uuid", "AB-CD\n")
    assert host_id(tmp_path) == (salted_hash("board id\nAB-CD"), "board id")

    _write(tmp_path / "etc/machine-id", "uninitialized\n")
    assert host_id(tmp_path)[1] == "board id"

    _write(tmp_path / "etc/machine-id", f"{MACHINE_ID}\n")
    assert host_id(tmp_path) == (salted_hash(f"machine id\n{MACHINE_ID}"), "machine id")


def test_gpus_tell_machines_of_one_image_apart_in_any_order(tmp_path: Path) -> None:
    _write(tmp_path / "etc/machine-id", f"{MACHINE_ID}\n")
    plain, one, two = (host_id(tmp_path, gpus)[0] for gpus in ((), ("GPU-a",), ("GPU-b",)))
    assert len({plain, one, two}) == 3
    assert host_id(tmp_path, ("GPU-a", "GPU-b")) == host_id(tmp_path, ("GPU-b", "GPU-a"))
    assert host_id(tmp_path, ("GPU-a",))[1] == "machine id and GPUs"


def test_the_hash_is_salted() -> None:
    assert salted_hash(MACHINE_ID) != hashlib.sha256(MACHINE_ID.encode()).hexdigest()[:16]
    assert len(salted_hash(MACHINE_ID)) == 16


def test_platform_and_container_are_read(tmp_path: Path) -> None:
    assert platform_name(tmp_path) is None
    assert container(tmp_path) is None
    _write(tmp_path / "sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    _write(tmp_path / "sys/class/dmi/id/product_name", "m7i.2xlarge\n")
    _write(tmp_path / "proc/self/cgroup", "0::/kubepods/besteffort/pod1\n")
    assert platform_name(tmp_path) == "Amazon EC2 m7i.2xlarge"
    assert container(tmp_path) == "kubepods"
    _write(tmp_path / ".dockerenv", "")
    assert container(tmp_path) == "docker"
