"""What stands on top of a model, by the name of its class in `architectures`."""

from enum import StrEnum

from harness.plan.families.fields import Fields


class Head(StrEnum):
    """What a model's last layers are for."""

    NONE = "the base model"
    LANGUAGE = "a language model's"
    MASKED = "a masked language model's"
    PRETRAINING = "pre-training's"
    SEQUENCE = "classes of a sequence"
    TOKENS = "classes of tokens"
    IMAGE = "classes of an image"
    TAUGHT = "classes of an image, and a teacher's"


# How the names of transformers' classes end, longer ones first.
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
    """Which of those a family has; the usual one where `architectures` is left out."""
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
