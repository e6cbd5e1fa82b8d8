"""The fields of a configuration. An error is one line with the file, the field, what is wrong and what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.errors import UsageError

# Above any model, so that a slip of a digit is refused before anything is counted.
MOST = 1_000_000_000
MOST_LAYERS = 10_000
# The characters of a wrong value that are shown.
SHOWN = 60


@dataclass(frozen=True)
class Fields:
    """The fields of one configuration and their file; `complete` is False where missing fields have defaults by design."""

    values: Mapping[str, Any]
    where: str
    complete: bool = True

    def fault(self, text: str) -> UsageError:
        """An error of this configuration, on one line."""
        return UsageError(f"{self.where}: {' '.join(text.split())}")

    def has(self, *names: str) -> bool:
        """Whether one of these fields has a value that is not null."""
        return any(self.values.get(name) is not None for name in names)

    def size(self, *names: str, usual: int, most: int = MOST) -> int:
        """A required size, under one of its names; `usual` is the default of the family, for a configuration that relies on defaults."""
        if self.has(*names):
            return self._whole(names, 1, most)
        null = any(name in self.values for name in names)
        if not self.complete and not null:
            return usual
        also = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
        state = "is null" if null else "is missing"
        raise self.fault(f"{names[0]}{also} {state}; a whole number from 1 is needed, such as {usual}")

    def number(self, *names: str, default: int, least: int = 1, most: int = MOST) -> int:
        """A size with a default; a null stands for the default too."""
        return self._whole(names, least, most) if self.has(*names) else default

    def option(self, *names: str, default: int | None = None, least: int = 1) -> int | None:
        """A size that may be null; a null gives None, a missing field the default."""
        if self.has(*names):
            return self._whole(names, least, MOST)
        return None if any(name in self.values for name in names) else default

    def flag(self, name: str, *, default: bool) -> bool:
        """A field that is true or false."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def word(self, name: str, default: str, allowed: tuple[str, ...] = ()) -> str:
        """A word, one of those allowed."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise self.wrong(name, value, f"one of {', '.join(allowed)}" if allowed else "a word")
        return value

    def rows(self, name: str) -> list[Any]:
        """A list; empty where the field is missing."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.wrong(name, value, "a list")
        return list(value)

    def sizes(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of sizes, one for each stage."""
        given = self.rows(name)
        valid = all(_is_whole(value) and 1 <= value <= MOST for value in given)
        if not valid or (name in self.values and not given):
            raise self.wrong(name, given, "a list of whole numbers from 1")
        return tuple(given) or default

    def square(self, name: str, default: int) -> tuple[int, int]:
        """Height and width: one number for both, or a list of the two."""
        value = self.values.get(name)
        if not isinstance(value, list | tuple):
            side = self.number(name, default=default)
            return side, side
        sides = self.sizes(name, ())
        if len(sides) != 2:
            raise self.wrong(name, value, "a whole number, or a list of two")
        return sides[0], sides[1]

    def inner(self, name: str) -> "Fields":
        """A nested configuration; empty where it is left out."""
        value = self.values.get(name)
        if value is None:
            return Fields({}, f"{self.where}, {name}", complete=False)
        if not isinstance(value, dict):
            raise self.wrong(name, value, "an object")
        return Fields(value, f"{self.where}, {name}", complete=False)

    def labels(self, default: int = 2) -> int:
        """The number of classes, from `id2label` or `num_labels`."""
        names = self.values.get("id2label")
        if names is None:
            return self.number("num_labels", default=default)
        if not isinstance(names, dict | list) or not names:
            raise self.wrong("id2label", names, "an object of the classes' names")
        if self.has("num_labels") and self.number("num_labels", default=default) != len(names):
            raise self.fault(
                f"num_labels is {self.values['num_labels']}, but id2label names {len(names)} classes"
            )
        return len(names)

    def divides(self, name: str, value: int, by_name: str, by: int) -> int:
        """A size divided by another, which must leave no rest."""
        if value % by:
            raise self.fault(f"{name} {value} is not divisible by {by_name} {by}")
        return value // by

    def wrong(self, name: str, value: object, allowed: str) -> UsageError:
        """The error of a value that is not allowed."""
        shown = repr(value) if not isinstance(value, str) else f'"{value}"'
        if len(shown) > SHOWN:
            shown = shown[:SHOWN] + " ..."
        return self.fault(f"{name} is {shown}; {allowed} is needed")

    def _whole(self, names: tuple[str, ...], least: int, most: int) -> int:
        name = next(name for name in names if self.values.get(name) is not None)
        value = self.values[name]
        if not _is_whole(value):
            raise self.wrong(name, value, f"a whole number from {least}")
        number = int(value)
        if not least <= number <= most:
            raise self.wrong(name, value, f"a whole number from {least} to {most}")
        return number


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Head(StrEnum):
    """The purpose of a model's last layers."""

    NONE = "the base model"
    LANGUAGE = "a language model's"
    MASKED = "a masked language model's"
    PRETRAINING = "pre-training's"
    SEQUENCE = "classes of a sequence"
    TOKENS = "classes of tokens"
    IMAGE = "classes of an image"
    TAUGHT = "classes of an image, and a teacher's"


# The ends of the names of transformers' classes, longer ones first.
ENDINGS = (
    ("ForImageClassificationWithTeacher", Head.TAUGHT),
    ("ForImageClassification", Head.IMAGE),
    ("ForConditionalGeneration", Head.LANGUAGE),
    ("ForSequenceClassification", Head.SEQUENCE),
    ("ForTokenClassification", Head.TOKENS),
    ("ForQuestionAnswering", Head.TOKENS),
    ("ForPreTraining", Head.PRETRAINING),
    ("ForMaskedLM", Head.MASKED),
    ("ForCausalLM", Head.LANGUAGE),
    ("LMHeadModel", Head.LANGUAGE),
    ("Model", Head.NONE),
)


def head(fields: Fields, usual: Head, *others: Head) -> Head:
    """The head by `architectures`, of those that a family has; the usual one where the field is left out."""
    names = fields.rows("architectures")
    if not names:
        return usual
    allowed = (usual, *others)
    for ending, kind in ENDINGS:
        if isinstance(names[0], str) and names[0].endswith(ending):
            if kind in allowed:
                return kind
            break
    known = ", ".join(f"...{ending}" for ending, kind in ENDINGS if kind in allowed)
    raise fields.wrong("architectures", names[0], f"a class whose head is known here ({known})")
