"""Reads the software: system, torch build, loaded libraries, torch's settings."""

import hashlib
import importlib.metadata
import platform
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import threadpoolctl
import torch

from harness.measure.environment.kernel import Gaps, fields
from harness.measure.privacy import Redactor
from harness.records.environment import Numerics, Software, ThreadPool, Torch

# Packages that bring kernels or change which one runs; those named nvidia-* as well.
_PACKAGES = {
    "accelerate",
    "bitsandbytes",
    "deepspeed",
    "flash-attn",
    "intel-openmp",
    "intel-extension-for-pytorch",
    "jax",
    "mkl",
    "msgspec",
    "numpy",
    "onnxruntime",
    "pandas",
    "psutil",
    "pytest",
    "pytest-benchmark",
    "safetensors",
    "scipy",
    "tensorflow",
    "threadpoolctl",
    "tokenizers",
    "torch",
    "torchao",
    "torchaudio",
    "torchvision",
    "transformer-engine",
    "transformers",
    "triton",
    "vllm",
    "xformers",
}
_NO_CUDA = "this torch is built without it"


def read_software(root: Path, environment: Mapping[str, str], redactor: Redactor, gaps: Gaps) -> Software:
    """System, Python, torch, thread pools, packages, and the variables that change results."""
    packages = _installed_packages()
    listing = "\n".join(f"{name}=={version}" for name, version in sorted(packages.items()))
    return Software(
        operating_system=gaps.known("operating_system", _operating_system(root), "no os-release file"),
        kernel=gaps.known("kernel", platform.release() or None, "the system does not report"),
        libc=gaps.known("libc", " ".join(platform.libc_ver()).strip() or None, "not glibc"),
        python=platform.python_version(),
        python_implementation=platform.python_implementation(),
        torch=_read_torch(gaps.under("torch")),
        thread_pools=_read_thread_pools(gaps),
        packages={name: version for name, version in packages.items() if _matters(name)},
        packages_hash=hashlib.sha256(listing.encode()).hexdigest()[:16],
        environment_variables=redactor.variables(environment),
    )


def read_numerics(gaps: Gaps) -> Numerics:
    """The settings of torch in force now; only getters that do not warn (torch 2.9 deprecated `allow_tf32`)."""
    backends: Any = torch.backends  # half of it is made by metaclasses no type checker follows
    matmul = backends.cuda.matmul
    enabled = {
        "flash": backends.cuda.flash_sdp_enabled(),
        "memory-efficient": backends.cuda.mem_efficient_sdp_enabled(),
        "cudnn": backends.cuda.cudnn_sdp_enabled(),
        "math": backends.cuda.math_sdp_enabled(),
    }
    return Numerics(
        default_dtype=str(torch.get_default_dtype()).removeprefix("torch."),
        float32_matmul_precision=_float32_matmul_precision(gaps),
        cuda_matmul_precision=matmul.fp32_precision,
        cudnn_convolution_precision=backends.cudnn.conv.fp32_precision,
        cudnn_rnn_precision=backends.cudnn.rnn.fp32_precision,
        mkldnn_matmul_precision=backends.mkldnn.matmul.fp32_precision,
        mkldnn_convolution_precision=backends.mkldnn.conv.fp32_precision,
        fp16_reduced_precision_reduction=matmul.allow_fp16_reduced_precision_reduction,
        bf16_reduced_precision_reduction=matmul.allow_bf16_reduced_precision_reduction,
        fp16_accumulation=matmul.allow_fp16_accumulation,
        cudnn_benchmark=backends.cudnn.benchmark,
        cudnn_deterministic=backends.cudnn.deterministic,
        deterministic_algorithms=torch.are_deterministic_algorithms_enabled(),
        mkldnn_enabled=bool(backends.mkldnn.enabled),
        attention_backends=tuple(name for name, on in enabled.items() if on),
    )


def _operating_system(root: Path) -> str | None:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return fields(root / "etc/os-release", "=").get("PRETTY_NAME", "").strip("\"'") or None


def _read_torch(gaps: Gaps) -> Torch:
    config, unknown_reason = torch.__config__.show(), "torch.__config__ does not report"
    parallel = torch.__config__.parallel_info()
    return Torch(
        version=str(torch.__version__),
        git_version=gaps.known("git_version", torch.version.git_version, "torch does not report"),
        config_hash=hashlib.sha256(config.encode()).hexdigest()[:16],
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        parallel_backend=gaps.known(
            "parallel_backend", _first(r"ATen parallel backend: (.+)", parallel), unknown_reason
        ),
        blas=gaps.known("blas", blas_of(config), unknown_reason),
        onednn=gaps.known("onednn", _first(r"(?:MKL-DNN|oneDNN) v([\d.]+)", config), unknown_reason),
        openmp=gaps.known("openmp", _first(r"OpenMP (\d{6})", config), unknown_reason),
        cuda_runtime=gaps.known("cuda_runtime", torch.version.cuda, _NO_CUDA),
        cudnn=_cudnn_version(gaps),
        nccl=gaps.known("nccl", _nccl_version(), _NO_CUDA),
        hip=gaps.known("hip", torch.version.hip, _NO_CUDA),
    )


def blas_of(config: str) -> str | None:
    r"""The BLAS in the text of `torch.__config__.show()`, with its version where it has one there.

    >>> blas_of("- oneAPI Math Kernel Library Version 2024.2-Product Build 1\n- BLAS_INFO=mkl, CUDA=0")
    'mkl 2024.2'
    >>> blas_of("- Build settings: BLAS_INFO=open, USE_MKL=OFF")
    'open'
    """
    name = _first(r"BLAS_INFO=(\w+)", config)
    version = _first(r"Math Kernel Library Version ([\d.]+)", config) if name == "mkl" else None
    return f"{name} {version}" if version else name


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].strip() if match else None


def _cudnn_version(gaps: Gaps) -> int | None:
    cudnn: Any = torch.backends.cudnn
    try:
        return gaps.known("cudnn", cudnn.version(), _NO_CUDA)
    except RuntimeError:  # torch refuses a library older than the one it was built with
        return gaps.known("cudnn", None, "this torch refuses the installed cuDNN")


def _nccl_version() -> str | None:
    if not (torch.distributed.is_available() and torch.distributed.is_nccl_available()):
        return None
    nccl: Any = torch.cuda.nccl
    return ".".join(map(str, nccl.version()))


def _float32_matmul_precision(gaps: Gaps) -> str | None:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        reason = "torch refuses: set both by set_float32_matmul_precision and by fp32_precision"
        return gaps.known("float32_matmul_precision", None, reason)


def _read_thread_pools(gaps: Gaps) -> tuple[ThreadPool, ...]:
    with warnings.catch_warnings():
        # It warns of two OpenMP libraries in one process; both are in the list.
        warnings.simplefilter("ignore", RuntimeWarning)
        loaded = threadpoolctl.threadpool_info()
    pools = [
        ThreadPool(
            user_api=library["user_api"],
            internal_api=library["internal_api"],
            # The name alone: the path may show a home directory.
            library=Path(library["filepath"]).name,
            version=library["version"],
            threads=library["num_threads"],
            threading_layer=library.get("threading_layer"),
            architecture=library.get("architecture"),
        )
        for library in loaded
    ]
    pools.sort(key=lambda pool: (pool.user_api, pool.library))
    for position, pool in enumerate(pools):
        for field in ("version", "threading_layer", "architecture"):
            gaps.known(
                f"thread_pools.{position}.{field}", getattr(pool, field), "the library does not report"
            )
    return tuple(pools)


def _installed_packages() -> dict[str, str]:
    """Version by normalised name (PEP 503); of two on the path the first, which Python imports."""
    packages: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        metadata = distribution.metadata
        if "Name" in metadata and "Version" in metadata:  # a broken installation has neither
            name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
            packages.setdefault(name, metadata["Version"])
    return packages


def _matters(name: str) -> bool:
    return name in _PACKAGES or name.startswith("nvidia-")
