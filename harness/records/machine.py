"""The parts of a machine: processor, memory, limits on them, accelerators, and which machine it is."""

from harness.records.base import Record


class CacheLevel(Record, frozen=True):
    """The data or unified caches of one level.

    `bytes` is the size of one instance (the smallest, where cores differ), `instances` how many of
    them this process's CPUs see, `shared_by` how many logical CPUs share one. In a virtual machine
    the last level is the host's, of which the guest owns no fixed part.
    """

    level: int
    kind: str
    bytes: int
    instances: int
    shared_by: int | None = None


class NumaNode(Record, frozen=True):
    """One memory node: its logical CPUs as a list ("0-15,32-47") and its memory."""

    cpus: str
    memory_bytes: int | None


class Processor(Record, frozen=True):
    """The CPU. Family, model and stepping on Arm are architecture, part and revision.

    `base_hertz`, `min_hertz` and `max_hertz` are the hardware's, `limit_hertz` is the cap in force
    (`scaling_max_freq`). `mitigations` are the kernel's words by vulnerability, those that do not
    affect this processor left out.
    """

    architecture: str
    vendor: str | None
    model_name: str | None
    family: int | None
    model: int | None
    stepping: int | None
    microcode: str | None
    sockets: int | None
    physical_cores: int | None
    logical_cpus: int | None
    simultaneous_multithreading: bool | None
    numa_nodes: tuple[NumaNode, ...]
    caches: tuple[CacheLevel, ...]
    isa: tuple[str, ...]
    governor: str | None
    frequency_driver: str | None
    boost: bool | None
    base_hertz: float | None
    min_hertz: float | None
    max_hertz: float | None
    limit_hertz: float | None
    clock_source: str | None
    isolated_cpus: str | None
    hypervisor: bool | None
    hypervisor_vendor: str | None
    mitigations: dict[str, str]


class Memory(Record, frozen=True):
    """Main memory. `preloads` are file names from LD_PRELOAD, `allocators` those found in the process."""

    total_bytes: int | None
    available_bytes: int | None
    swap_bytes: int | None
    page_bytes: int
    transparent_huge_pages: str | None
    transparent_huge_page_defrag: str | None
    huge_pages: int | None
    huge_page_bytes: int | None
    overcommit_mode: int | None
    preloads: tuple[str, ...]
    allocators: tuple[str, ...]


class Limits(Record, frozen=True):
    """What of the machine this process may use, and how many threads torch uses.

    `affinity` and `cpuset` are lists of logical CPUs ("0-3,8"); `cpu_quota` is in CPUs, and the
    tightest of all enclosing control groups, as is `memory_limit_bytes`.
    """

    affinity: str | None
    cgroup_version: int | None
    cpu_quota: float | None
    cpuset: str | None
    memory_limit_bytes: int | None
    usable_physical_cores: int
    intraop_threads: int
    interop_threads: int
    openmp_wait_policy: str | None
    nice: int | None


class Accelerator(Record, frozen=True):
    """One GPU, as its driver and torch describe it.

    `index` counts as NVML does, `torch_index` as torch does (None: torch was not asked or does not
    see it). `pcie_generation` and `pcie_width` are those of the moment: an idle link slows down.
    In a container `other_processes` may count this process too: the driver reports the host's ids.
    """

    name: str | None
    index: int | None = None
    torch_index: int | None = None
    uuid_hash: str | None = None
    driver_version: str | None = None
    vbios_version: str | None = None
    compute_capability: str | None = None
    multiprocessors: int | None = None
    l2_cache_bytes: int | None = None
    memory_bytes: int | None = None
    ecc_enabled: bool | None = None
    ecc_uncorrected_errors: int | None = None
    mig_enabled: bool | None = None
    persistence: bool | None = None
    compute_mode: str | None = None
    power_limit_watts: float | None = None
    power_limit_default_watts: float | None = None
    power_limit_min_watts: float | None = None
    power_limit_max_watts: float | None = None
    power_limit_enforced_watts: float | None = None
    sm_clock_max_hertz: float | None = None
    memory_clock_max_hertz: float | None = None
    sm_clock_application_hertz: float | None = None
    memory_clock_application_hertz: float | None = None
    pcie_generation: int | None = None
    pcie_generation_max: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    numa_node: int | None = None
    other_processes: int | None = None

    @property
    def power_cap(self) -> float | None:
        """The limit in force as a ratio of the default one: below 1 someone has capped this GPU."""
        if self.power_limit_enforced_watts is None or not self.power_limit_default_watts:
            return None
        return self.power_limit_enforced_watts / self.power_limit_default_watts


class Host(Record, frozen=True):
    """Which machine, without its name.

    `id` is a salted hash of what `id_source` names; `platform` is vendor and product of the machine
    or cloud instance; `container` names the container runtime.
    """

    id: str
    id_source: str
    platform: str | None
    container: str | None
