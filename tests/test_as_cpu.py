"""The script that runs a command as on another CPU."""

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "as_cpu"
CPUINFO = Path("/proc/cpuinfo")

pytestmark = pytest.mark.skipif(not CPUINFO.exists(), reason="it hides instructions in /proc/cpuinfo")


def as_cpu(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("instructions", "onednn", "mkl", "hidden"),
    [
        ("sse", "SSE41", "SSE4_2", r"avx\w*|fma|amx_\w+"),
        ("avx2", "AVX2", "AVX2", r"avx512\w*|avx_\w+|amx_\w+"),
        ("avx512", "AVX512_CORE", "AVX512", r"avx512_\w+|avx_\w+|amx_\w+"),
    ],
)
def test_a_command_sees_fewer_instructions(instructions: str, onednn: str, mkl: str, hidden: str) -> None:
    found = as_cpu(
        instructions, "sh", "-c", f"echo $ONEDNN_MAX_CPU_ISA $MKL_ENABLE_INSTRUCTIONS; cat {CPUINFO}"
    )
    limits, _, cpuinfo = found.stdout.partition("\n")

    assert found.returncode == 0
    assert limits == f"{onednn} {mkl}"
    lists = re.compile(rf"(?m)^flags\s*:.*\s({hidden})(\s|$)")
    assert not lists.search(cpuinfo) or "no mount namespace" in found.stderr
    processors = re.compile(r"(?m)^processor.*")
    assert processors.findall(cpuinfo) == processors.findall(CPUINFO.read_text())


def test_the_status_is_that_of_the_command() -> None:
    assert as_cpu("sse", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("arguments", [(), ("sse",), ("mmx", "true")])
def test_wrong_arguments_get_the_usage(arguments: tuple[str, ...]) -> None:
    found = as_cpu(*arguments)

    assert found.returncode == 2
    assert found.stderr == "usage: .ci/as_cpu sse|avx2|avx512 COMMAND...\n"
