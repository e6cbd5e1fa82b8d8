"""Base against candidate: on a simulated device whose truth is known, and the sides with real git and real interpreters."""

import itertools
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import psutil
import pytest
import torch

from harness import Cost, Unsupported, store
from harness.ab import run, trial
from harness.ab.run import Options
from harness.ab.sides import CollectedCase, Collection, SideSetup, collect_on, probed, sides
from harness.ab.worktree import PREFIX, commit_of, merge_base, packages_in, suites_in, worktree
from harness.errors import UsageError
from harness.measure.pickling import pack_workload
from harness.measure.pool import Launch
from harness.records import Reading
from harness.records.noise import KindNoise, NoiseProfile
from harness.records.trial import Trial
from harness.workload import Call, Workload
from tests import made_up, simulated
from tests.conftest import decoded
from tests.simulated import InProcess, Simulated

Plumbline = Callable[..., tuple[int, str, str]]

CHANCE = random.Random(7)


@dataclass(frozen=True)
class Made(Workload):
    """Work of so many times 40 µs; `spread` is what processes differ by for good."""

    amount: float
    spread: float = 0.0
    trouble: str = ""
    every_third: float = 0.0
    work: str = "100"

    def cost(self) -> Cost:
        return Cost(flops=int(self.work), bytes_read=4, bytes_written=4, memory_bytes=0)

    def prepare(self, device: torch.device) -> Call:
        if self.trouble.startswith("needs"):
            raise Unsupported(self.trouble)
        if self.trouble:
            raise RuntimeError(self.trouble)
        pace = 40e-6 * self.amount * math.exp(CHANCE.gauss(0.0, self.spread))
        output = torch.ones(1)

        calls = itertools.count()

        def call() -> torch.Tensor:
            simulated.CURRENT.submit(pace * (1.0 + (self.every_third if next(calls) % 3 == 0 else 0.0)))
            return output

        return call


@dataclass(frozen=True)
class Sized(Made):
    """The same with a size to tell."""

    size: int = 7


def collected(name: str, made: Made) -> CollectedCase:
    """As it is collected, but for its name, and its amount, which no size tells of."""
    case = made.describe("made")
    sizes = {size: value for size, value in case.sizes.items() if size == "size"}
    return CollectedCase(msgspec.structs.replace(case, id=name, sizes=sizes), *pack_workload(made))


Collected = dict[str, Made]


@pytest.fixture
def compared(machine: Simulated, monkeypatch: pytest.MonkeyPatch, plumbline: Plumbline) -> Plumbline:
    """Runs `plumbline ab` on two collections of made-up work."""
    monkeypatch.setattr(trial, "WorkerProcess", lambda _: InProcess())
    monkeypatch.setattr(run, "_alike", lambda *_: False)
    monkeypatch.setattr(store, "new_id", lambda _: "20260102T030405Z-nogit-0a1b2c3d4e")  # it seeds the order
    CHANCE.seed(7)

    def command(base: Collected, candidate: Collected, *options: object) -> tuple[int, str, str]:
        workloads = {"base": base, "candidate": candidate}
        monkeypatch.setattr(
            run,
            "collect_on",
            lambda side, _: {name: collected(name, work) for name, work in workloads[side.name].items()},
        )
        return plumbline("ab", "--device", "simulated", *options)

    return command


def the_trial() -> Trial:
    (path,) = (store.DEFAULT_RESULTS / store.TRIALS).glob("*.json")
    return msgspec.json.decode(path.read_bytes(), type=Trial)


def test_the_same_twice_is_equivalent(compared: Plumbline) -> None:
    work = {"one": Made(100, 0.003), "two": Made(500, 0.003)}
    status, output, errors = compared(work, work)
    assert status == 0
    assert "PASS: 2 equivalent" in output
    assert "pair 10 of 10" in errors
    assert [len(case.pairs) for case in the_trial().cases] == [10, 10]
    assert the_trial().finished_at is not None


def test_five_percent_more_work_is_a_regression_and_five_less_an_improvement(compared: Plumbline) -> None:
    base = {"slower": Made(100, 0.003), "faster": Made(100, 0.003), "same": Made(100, 0.003)}
    candidate = {**base, "slower": Made(105, 0.003), "faster": Made(95, 0.003)}
    status, output, _ = compared(base, candidate, "--json", "out.json")
    assert status == 1
    content = decoded(Path("out.json").read_text())
    decisions = {case["case"]: case for case in content["cases"]}
    assert "nothing was decided" not in content["verdict"]
    assert {name: case["decision"] for name, case in decisions.items()} == {
        "slower": "regressed",
        "faster": "improved",
        "same": "equivalent",
    }
    assert decisions["slower"]["ratio"] == pytest.approx(1.05, abs=0.005)
    assert decisions["slower"]["low"] < 1.05 < decisions["slower"]["high"]
    assert [name for name, case in decisions.items() if case["fails"]] == ["slower"]
    assert content["failed"]
    assert "FAIL: 1 regressed, 1 improved, 1 equivalent" in output
    assert output.index("slower: regressed: +") < output.index("Cases")


def test_what_is_undecided_is_measured_again_once(compared: Plumbline) -> None:
    work = {"uneven": Made(100, 0.03), "even": Made(100, 0.002)}
    status, output, errors = compared(work, work)
    assert status == 0
    assert "1 of 2 cases are undecided and are measured again" in errors
    assert {case.case.id: len(case.pairs) for case in the_trial().cases} == {"uneven": 20, "even": 10}
    assert "1 informational" in output
    assert "minimum detectable change with 20 pairs: " in output


def test_once_is_once(compared: Plumbline) -> None:
    work = {"uneven": Made(100, 0.03)}
    status, _, errors = compared(work, work, "--once", "--pairs", 8)
    assert status == 0
    assert "undecided" not in errors
    assert len(the_trial().cases[0].pairs) == 8


def test_a_noisy_case_is_informational_until_the_loss_is_beyond_its_noise(compared: Plumbline) -> None:
    base = {"noisy": Made(100, 0.05), "lost": Made(100, 0.05)}
    status, output, _ = compared(
        base, {"noisy": Made(106, 0.05), "lost": Made(150, 0.05)}, "--json", "out.json"
    )
    cases = {case["case"]: case for case in decoded(Path("out.json").read_text())["cases"]}
    assert cases["noisy"]["decision"] == "regressed"
    assert not cases["noisy"]["gates"]
    assert cases["noisy"]["detectable"] > cases["noisy"]["threshold"]
    assert cases["lost"]["gates"]
    assert status == 1
    assert "1 informational" in output


def test_a_case_that_is_gone_fails_and_a_new_one_does_not(compared: Plumbline) -> None:
    status, output, _ = compared({"old": Made(100), "both": Made(100)}, {"both": Made(100), "new": Made(100)})
    assert status == 1
    assert "old: missing: the candidate has no such case" in output
    assert "new, without a base: new" in output
    assert "a renamed case" in output
    status, output, _ = compared({"both": Made(100)}, {"both": Made(100), "new": Made(100)})
    assert status == 0


def test_the_first_suite_of_a_project_passes_and_the_last_that_is_gone_fails(compared: Plumbline) -> None:
    status, output, _ = compared({}, {"new": Made(100)}, "--junit", "out.xml")
    assert status == 0
    assert "PASS: 1 new" in output
    assert Path("out.xml").exists()
    status, output, _ = compared({"old": Made(100)}, {})
    assert status == 1
    assert "FAIL: 1 missing" in output
    assert "a renamed case" not in output
    status, _, errors = compared({}, {})
    assert status == 2
    assert "no workload exists on either side" in errors


def test_a_call_that_is_slow_now_and_then_is_no_less_slow(compared: Plumbline) -> None:
    """Two of three calls are as fast as ever: the fastest and the middle sample know nothing."""
    status, output, _ = compared({"a": Made(100)}, {"a": Made(100, every_third=1.0)}, "--json", "out.json")
    assert status == 1
    (case,) = decoded(Path("out.json").read_text())["cases"]
    assert (case["decision"], case["reading"]) == ("regressed", "mean")
    assert case["ratio"] == pytest.approx(1.4, abs=0.02)  # four of ten samples
    assert "some calls take longer: the mean of all samples shows it" in output


def test_what_the_candidate_cannot_do_here_any_more_fails(compared: Plumbline) -> None:
    lacking = Made(100, trouble="needs more memory")
    status, output, _ = compared({"a": Made(100), "b": Made(100)}, {"a": lacking, "b": Made(100)})
    assert status == 1
    assert "a: missing: candidate: needs more memory" in output
    status, output, _ = compared({"a": lacking, "b": Made(100)}, {"a": lacking, "b": Made(100)})
    assert status == 0
    assert "a: base: needs more memory" in output


def test_other_work_under_one_name_is_not_timed_against_each_other(compared: Plumbline) -> None:
    status, output, _ = compared({"a": Made(100)}, {"a": Sized(200)})
    assert status == 0
    assert "different work under the same name: sizes is" in output
    assert "PASS (nothing was decided)" in output


def test_too_few_pairs_to_single_one_case_out_are_refused(compared: Plumbline) -> None:
    many = {f"case{k}": Made(100) for k in range(30)}
    status, _, errors = compared(many, many, "--pairs", 6, "--once")
    assert status == 2
    assert "6 pairs cannot single out one of 30 cases: give --pairs 11, or fewer cases" in errors


def test_a_candidate_that_breaks_fails_and_one_that_was_broken_before_does_not(compared: Plumbline) -> None:
    broken = Made(100, trouble="it broke\nbadly")
    status, output, _ = compared({"a": Made(100), "b": Made(100)}, {"a": broken, "b": Made(100)})
    assert status == 1
    assert "a: missing: candidate: RuntimeError: it broke badly" in output
    status, output, _ = compared({"a": broken, "b": Made(100)}, {"a": broken, "b": Made(100)})
    assert status == 0
    status, output, _ = compared({"a": broken, "b": Made(100)}, {"a": Made(100), "b": Made(100)})
    assert status == 0


def test_more_work_fails_though_no_time_was_lost(compared: Plumbline) -> None:
    status, output, _ = compared({"a": Made(100)}, {"a": Made(100, work="110")})
    assert status == 1
    assert "FLOPs from 100 to 110 (+10.00%)" in output
    status, output, _ = compared({"a": Made(100)}, {"a": Made(100, work="90")})
    assert status == 0


@pytest.mark.parametrize(("side", "expected"), [("candidate", 1), ("base", 0)])
def test_a_case_that_ends_its_process_costs_only_itself(
    compared: Plumbline, monkeypatch: pytest.MonkeyPatch, side: str, expected: int
) -> None:
    monkeypatch.setattr(
        trial, "WorkerProcess", lambda launch: InProcess(lose="deadly" if launch.variables else None)
    )
    work = {"deadly": Made(100), "fine": Made(100)}
    status, output, _ = compared(work, work, f"--{side}-set", "DEADLY=1")
    assert status == expected
    assert f"{side}: it ends its process: the worker process was killed by SIGSEGV" in output
    cases = {case.case.id: case for case in the_trial().cases}
    assert len(cases["fine"].pairs) == 10
    assert cases["deadly"].pairs == ()


def test_a_round_in_which_the_card_slowed_one_side_down_does_not_count(
    compared: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HotCard:
        """Slows down in one burst of 20."""

        reads = 0

        def read(self, at: float) -> Reading:
            self.reads += 1
            hot = ("hw_thermal_slowdown", "gpu_idle") if self.reads % 20 == 0 else ("gpu_idle",)
            return Reading(at, throttle_reasons=hot)

    card = HotCard()
    monkeypatch.setattr(trial, "card_of", lambda _: card)
    status, output, _ = compared({"a": Made(100)}, {"a": Made(100)})
    assert status == 0
    assert "20 rounds were dropped: the GPU throttled in one burst" in output
    assert {len(pair.base) for pair in the_trial().cases[0].pairs} == {16}


def test_a_lost_process_is_replaced_and_its_case_measured_again(
    compared: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[InProcess] = []

    def _start(_: Launch) -> InProcess:
        started.append(InProcess(lose="one" if len(started) == 2 else None))
        return started[-1]

    monkeypatch.setattr(trial, "WorkerProcess", _start)
    work = {"one": Made(100)}
    status, output, _ = compared(work, work)
    assert status == 0
    assert len(started) == 22
    assert "processes lost: 1" in output


def test_what_was_measured_before_an_interruption_is_kept(
    compared: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    def stop(began: float, done: int, pairs: int) -> str:
        notes.append("pair")
        if len(notes) == 3:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(run, "progress", stop)
    status, _, _ = compared({"a": Made(100)}, {"a": Made(100)})
    assert status == 130
    assert len(the_trial().cases[0].pairs) == 3
    assert the_trial().finished_at is None


def test_the_noise_of_a_self_test_widens_the_threshold(compared: Plumbline) -> None:
    uneven = tuple(0.05 * (-1) ** k for k in range(12))
    kind = KindNoise("compute", "made", 2, 1e-3, 0.05, uneven, uneven, ())
    profile = NoiseProfile(
        schema_version=store.SCHEMA_VERSION,
        host=made_up.environment().host.id,
        device="simulated",
        threads=2,
        machine="",
        torch="",
        taken_at="",
        seconds=0.0,
        kinds=(kind,),
        timer=(),
        mark_seconds=0.0,
        sample_seconds=0.0,
    )
    # 2.201 standard deviations of 12 readings over the root of ten.
    expected = math.expm1(2.201 * 0.05 * math.sqrt(12 / 11) / math.sqrt(10))
    assert profile.noise_of_pairs(10, 2) == pytest.approx(expected, rel=1e-3)
    assert profile.noise_of_pairs(10, 1) == 0.0
    store.put_profile(store.DEFAULT_RESULTS, profile)
    status, output, _ = compared({"a": Made(100)}, {"a": Made(103)})
    assert status == 0
    assert "1 equivalent" in output
    assert "no self-test" not in output


def test_the_forms_for_ci_agree(compared: Plumbline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    base = {"slow, 1:1": Made(100), "same": Made(100), "gone": Made(100), "unsure": Made(100, 0.06)}
    candidate = {"slow, 1:1": Made(110), "same": Made(100), "unsure": Made(100, 0.06)}
    status, output, _ = compared(base, candidate, "--junit", "out.xml", "--markdown", "out.md", "--json")
    assert status == 1
    content = decoded(output)
    suite = ET.parse("out.xml").getroot().find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert suite.attrib | {"name": ""} == {
        "name": "",
        "tests": "4",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    failing = {test.attrib["name"] for test in suite if test.find("failure") is not None}
    assert failing == {"slow, 1:1", "gone"}
    assert content["verdict"].startswith("FAIL: 1 regressed")
    assert summary.read_text() == Path("out.md").read_text()
    assert content["verdict"] in summary.read_text()


def test_annotations_are_escaped_as_github_wants_them(
    compared: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    _, output, _ = compared({"slow, 1:1": Made(100)}, {"slow, 1:1": Made(110)})
    (error,) = [line for line in output.splitlines() if line.startswith("::error")]
    assert error.startswith("::error title=slow%2C 1%3A1::regressed: +10")
    assert "::notice title=plumbline::FAIL: 1 regressed" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", 5], "--pairs 5: out of range; give a number from 6 to 200"),
        (["--threshold", "no"], "--threshold"),
        (["--base-set", "threads"], "settings are KEY=VALUE, such as threads=1"),
        (["--base-set", "speed=9"], "a setting is threads=N, device=NAME, or an environment variable"),
        (["--base-set", "device=cuda:99"], "no device 'cuda:99' here"),
        (["--base-set", "PYTHONPATH=/old"], "has no effect on a worker: give --base-python or --base-rev"),
        (["--base-set", "OMP_NUM_THREADS=1"], "has no effect on a worker: give threads=N"),
        (["--install", "true"], "--install prepares the checkout of --base-rev: give both"),
        (["--base-python", "/no/python"], "/no/python does not run: give the path of a Python"),
        (["--base-rev", "main"], "a base revision needs a git checkout"),
        (["--json", "nowhere/out.json"], "there is no folder nowhere"),
        (["no_suite"], "unknown suite 'no_suite'"),
    ],
)
def test_bad_input_gets_one_line(
    machine: Simulated, plumbline: Plumbline, options: list[object], message: str
) -> None:
    status, output, errors = plumbline("ab", "--device", "simulated", *options)
    assert status == 2
    assert message in errors
    assert output == ""
    assert "Traceback" not in errors


def test_an_interpreter_without_what_a_worker_needs_is_refused(tmp_path: Path) -> None:
    # An interpreter without its installed packages.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(UsageError, match=r"has no torch, msgspec, .*: install torch-plumbline there"):
        probed(str(bare))
    assert any(path.endswith("site-packages") for path in probed(sys.executable))


def git(folder: Path, *arguments: str) -> str:
    options = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", str(folder), *options, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of a branch that left main two commits ago, in which main went on."""
    folder = tmp_path / "repository"
    (folder / "pkg").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in (("one", "1"), ("two", "2")):
        (folder / "pkg" / "part.py").write_text(f"LEVEL = {text}\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", name)
    git(folder, "checkout", "-qb", "change")
    (folder / "pkg" / "part.py").write_text("LEVEL = 3\n")
    git(folder, "commit", "-qam", "three")
    git(folder, "checkout", "-q", "main")
    (folder / "pkg" / "part.py").write_text("LEVEL = 4\n")
    git(folder, "commit", "-qam", "four")
    git(folder, "checkout", "-q", "change")
    monkeypatch.chdir(folder)
    return folder


def worktrees(repository: Path) -> list[str]:
    return [line for line in git(repository, "worktree", "list").splitlines() if PREFIX in line]


def test_a_base_revision_is_checked_out_and_always_removed(repository: Path) -> None:
    with sides(Options(base_rev="main"), "cpu", 1) as (base, candidate):
        here = repository / "pkg" / "part.py"
        assert base.place(here).read_text() == "LEVEL = 4\n"
        assert candidate.place(here).read_text() == "LEVEL = 3\n"
        assert base.launch.directory is not None
        assert base.launch.path[0] == str(base.checkout)
        assert base.launch.directory == base.checkout
        assert str(repository) not in base.launch.path
        assert worktrees(repository)
    assert not worktrees(repository)
    kept = base.checkout
    assert kept is not None
    assert not kept.parent.exists()
    with pytest.raises(KeyboardInterrupt), sides(Options(base_rev="main"), "cpu", 1):
        raise KeyboardInterrupt
    assert not worktrees(repository)


def test_what_is_installed_in_the_checkout_but_is_no_part_of_it_stays_where_it_is(repository: Path) -> None:
    installed = repository / ".venv" / "lib"
    installed.mkdir(parents=True)
    side = SideSetup("base", Launch(path=(str(installed), str(repository))), "cpu", 1, root=repository)
    from harness.ab.sides import _own_checkout_first

    with worktree(repository, commit_of(repository, "main")) as there:
        path = _own_checkout_first(replace(side, checkout=there), there).launch.path
    assert path == (str(there), str(installed))


def test_the_base_of_a_gate_is_where_the_branch_left(repository: Path) -> None:
    left = merge_base(repository, "main")
    assert git(repository, "show", f"{left}:pkg/part.py") == "LEVEL = 2"
    with pytest.raises(
        UsageError, match="no revision 'nowhere' in this repository: give a branch, a tag or a commit"
    ):
        merge_base(repository, "nowhere")
    with pytest.raises(UsageError, match="no revision '--help'"):
        commit_of(repository, "--help")


def test_a_branch_that_is_only_at_origin_is_found(repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--branch", "change", str(repository), str(clone))
    assert commit_of(clone, "main") == commit_of(repository, "main")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow))
    with pytest.raises(UsageError, match="this clone is shallow: fetch the history"):
        commit_of(shallow, "main")
    git(
        tmp_path,
        "clone",
        "-q",
        "--depth",
        "1",
        "--no-single-branch",
        f"file://{repository}",
        str(tmp_path / "both"),
    )
    with pytest.raises(UsageError, match=r"share no commit; this clone is shallow"):
        merge_base(tmp_path / "both", "main")


def test_the_merge_base_of_an_old_branch_is_that_at_origin(repository: Path, tmp_path: Path) -> None:
    left = merge_base(repository, "main")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--branch", "change", str(repository), str(clone))
    stale = git(clone, "rev-list", "--max-parents=0", "HEAD").strip()
    git(clone, "branch", "--no-track", "main", stale)
    assert stale != left
    assert merge_base(clone, "main") == left
    assert merge_base(clone, "HEAD~1") == git(clone, "rev-parse", "HEAD~1")  # origin has a HEAD, too
    git(clone, "tag", "change", stale)
    assert merge_base(clone, "refs/tags/change") == stale
    git(clone, "branch", "--force", "main", "HEAD~0")  # one that is ahead of origin's is
    assert merge_base(clone, "main") == git(clone, "rev-parse", "HEAD").strip()


def test_a_worktree_that_a_killed_process_left_is_swept(repository: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f"{PREFIX}{gone.pid}-abc" / "repository"
    git(repository, "worktree", "add", "--detach", str(left), "main")
    assert len(worktrees(repository)) == 1
    with worktree(repository, commit_of(repository, "main")):
        (only,) = worktrees(repository)
        assert str(left) not in only
    assert not left.parent.exists()


def test_the_suites_of_a_checkout_are_what_a_gate_takes(repository: Path) -> None:
    (repository / "bench").mkdir()
    (repository / "bench" / "speed.py").write_text(SUITE)
    (repository / "pkg" / "other.py").write_text("from harness import Sweep\n")
    (repository / ".gitignore").write_text("ignored/\n")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "speed.py").write_text(SUITE)
    assert suites_in(repository) == [repository / "bench" / "speed.py"]
    asked = run.collection_of(Options(base_rev="main", of_checkout=True))
    assert asked.suites == (str(repository / "bench" / "speed.py"),)
    assert asked.expression == ""
    usual = run.collection_of(Options(base_rev="main"))
    assert usual.only == run.USUAL_CASES
    assert {Path(suite).stem for suite in usual.suites} == {"attention", "conv", "matmul", "train_step"}


def test_a_folder_of_suites_is_collected_on_each_side(repository: Path) -> None:
    (repository / "bench").mkdir()
    for name in ("first", "second"):
        (repository / "bench" / f"{name}.py").write_text(SUITE.replace("import pkg.work", ""))
    collection = run.collection_of(Options(suites=("bench",)))
    assert collection.suites == (str(repository / "bench"),)
    (repository / "bench" / "second.py").unlink()
    side = SideSetup("base", Launch(), "cpu", 1)
    assert set(collect_on(side, msgspec.structs.replace(collection, expression="32"))) == {"mine-n32"}
    assert collect_on(side, Collection((str(repository / "pkg"),), (), "", "quick")) == {}


def test_packages_of_a_checkout_are_known_wherever_they_lie(repository: Path) -> None:
    (repository / "sub" / "src" / "deep").mkdir(parents=True)
    (repository / "sub" / "src" / "deep" / "__init__.py").write_text("")
    (repository / "sub" / "src" / "deep" / "inner").mkdir()
    (repository / "sub" / "src" / "deep" / "inner" / "__init__.py").write_text("")
    (repository / "sub" / "src" / "deep" / "code.py").write_text("")  # a name of the standard library's, too
    (repository / "single.py").write_text("")
    git(repository, "add", "-A")
    assert packages_in(repository) == {"deep", "single"}


def test_a_base_that_does_not_install_is_reported_and_removed(repository: Path) -> None:
    wanted = Options(base_rev="main", install="echo before; echo it has no wheel >&2; exit 3")
    with (
        pytest.raises(UsageError, match=r"main does not install: .* ended with status 3: ") as error,
        sides(wanted, "cpu", 1),
    ):
        pass
    assert "\n" not in str(error.value)
    assert not worktrees(repository)


def test_the_environment_an_install_leaves_behind_is_the_bases(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.ab.sides.probed", lambda python: ["/lib of", python])
    made = f"mkdir -p .venv/bin && ln -s {sys.executable} .venv/bin/python"
    with sides(Options(base_rev="main", install=made), "cpu", 1) as (base, candidate):
        assert base.launch.python == f"{base.checkout}/.venv/bin/python"
        assert base.launch.path[:1] == (str(base.checkout),)
        assert base.launch.path[-2:] == ("/lib of", base.launch.python)
        assert candidate.launch.python == sys.executable


SUITE = """
from dataclasses import dataclass
import pytest, torch
from harness import Sweep, Workload
import pkg.work


@dataclass(frozen=True)
class Mine(Workload):
    n: int

    def prepare(self, device):
        a = torch.randn(self.n, self.n)
        return lambda: pkg.work.work(a)


WORKLOADS = Sweep(quick=[Mine(32)])


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_mine(workload, bench):
    bench(workload)
"""


@pytest.mark.worker
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_leaves_nothing_behind(
    repository: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    marker = tmp_path / "begun"
    install = f"touch {marker}; sleep 60"
    command = [sys.executable, "-m", "harness.cli", "gate", "matmul", "--base", "main", "--install", install]
    process = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not marker.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert worktrees(repository)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not worktrees(repository)
    sleeping = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"]]
    assert not any(str(marker) in " ".join(line) for line in sleeping)


@pytest.mark.slow
@pytest.mark.worker
def test_a_slower_commit_does_not_pass_the_gate(repository: Path, tmp_path: Path) -> None:
    """Real processes, a real worktree: the loss is threefold, so no machine hides it. Three pairs decide no time, and the work is exact."""
    git(repository, "checkout", "-q", "main")
    (repository / "suite.py").write_text(SUITE)
    (repository / "pkg" / "work.py").write_text("def work(a):\n    return a @ a\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "work")
    git(repository, "checkout", "-qb", "slower")
    (repository / "pkg" / "work.py").write_text("def work(a):\n    return a @ a @ a @ a @ a @ a @ a\n")
    out = tmp_path / "out.json"
    fewer = (
        "import harness.ab.run as run; from harness.cli import main;"
        "run.LEAST_PAIRS, run.least_pairs = 3, lambda _: 3; main()"
    )
    options = ["gate", "--base", "main", "--pairs", "3", "--once", "--threads", "1"]
    command = [
        sys.executable,
        "-c",
        fewer,
        *options,
        "--json",
        str(out),
        "--results",
        str(tmp_path / "results"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 1, done.stderr
    content = decoded(out.read_text())
    (case,) = content["cases"]
    assert case["ratio"] > 2
    assert {one["metric"]: one["candidate"] / one["base"] for one in case["work_grew"]} == {
        "FLOPs": 6.0,
        "kernels": 6.0,
        "peak memory": 1.5,  # one buffer more than operand and result
    }
    assert content["base"].startswith("base (main, ")
    commit = git(repository, "rev-parse", "--short=8", "HEAD")
    assert content["candidate"] == f"candidate ({commit} with changes)"
    assert [path.name.split("-")[1] for path in (tmp_path / "results" / "trials").iterdir()] == [commit]
    assert not worktrees(repository)
