"""What a model needs, said before anything ran."""

from harness.records.base import Record
from harness.records.case import Cost
from harness.records.costmodel import Estimate
from harness.records.result import Prediction
from harness.records.trace import Trace


class Pass(Record, frozen=True):
    """An inference pass or a training step: its cost, its trace, and the roofline's lower bound on its time, and the time expected by the calibrated cost model."""

    cost: Cost
    trace: Trace
    prediction: Prediction = Prediction()
    estimate: Estimate | None = None


class Forecast(Record, frozen=True):
    """A model in inference and, if anything in it can be trained, in training; `run` is where the ceilings of this machine are from, None if there are none."""

    model: str
    device: str
    threads: int
    optimizer: str
    dtype: str
    items: dict[str, int]
    forward: Pass
    train: Pass | None
    run: str | None = None
    calibrated_in: str | None = None
