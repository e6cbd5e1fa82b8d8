"""Whole models and their inputs: from maintained libraries with random weights, or the user's own."""

from harness.models.own import load
from harness.models.subject import Subject
from harness.models.training import forward, training
from harness.models.zoo import ARCHITECTURES, build, decoding

__all__ = ["ARCHITECTURES", "Subject", "build", "decoding", "forward", "load", "training"]
