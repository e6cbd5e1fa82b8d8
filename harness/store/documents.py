"""Single documents: the noise profile of a host from a self-test, and trials.

results/noise/<host>-<device>.json   the latest result of `plumbline selftest`
results/trials/<UTC time>-<commit or "nogit">-<random>.json   a trial of `plumbline ab`, replaced after each pair
"""

import contextlib
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.records.base import Record
from harness.records.noise import NoiseProfile
from harness.records.trial import Trial
from harness.store.runs import write_whole

NOISE, TRIALS = "noise", "trials"


def put_profile(results: Path, profile: NoiseProfile) -> Path:
    """Stores a noise profile, in place of an earlier one of the same host and device.

    Raises:
        UsageError: the folder cannot be written.
        StorageError: the file cannot be written; the previous file is unchanged.
    """
    return _put(_profile_path(results, profile.host, profile.device), profile)


def profile(results: Path, host: str, device: str) -> NoiseProfile | None:
    """The noise profile of a host; None where there is none or it cannot be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(_profile_path(results, host, device).read_bytes(), type=NoiseProfile)
    return None


def put_trial(results: Path, trial: Trial) -> Path:
    """Stores the current state of a trial.

    Raises:
        UsageError: the folder cannot be written.
        StorageError: the file cannot be written; the previous file is unchanged.
    """
    return _put(results / TRIALS / f"{trial.id}.json", trial)


def _profile_path(results: Path, host: str, device: str) -> Path:
    return results / NOISE / f"{host}-{device.replace(':', '')}.json"


def _put(path: Path, record: Record) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write results under {path.parent.parent}: {error.strerror}") from error
    write_whole(path, msgspec.json.format(msgspec.json.encode(record), indent=1))
    return path
