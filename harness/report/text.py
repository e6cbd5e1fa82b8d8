"""Text from outside (names, reasons, variables), made fit to be shown."""

import unicodedata

# What turns the direction of writing, or hides, or breaks a line: shown by its number, never obeyed.
_OBEYED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""The text on one line, with every character that would command a terminal or a page shown instead.

    >>> visible("two\nlines"), visible("a\x1b[2J"), visible("a\u202eb"), visible("naïve 模型")
    ('two lines', 'a\\x1b[2J', 'a\\u202eb', 'naïve 模型')
    """
    flat = " ".join(text.split()) if not text.isprintable() else text
    if flat.isprintable() and not any(unicodedata.category(one) in _OBEYED for one in flat):
        return flat
    return "".join(repr(one)[1:-1] if _is_obeyed(one) else one for one in flat)


def shortened(text: str, most: int) -> str:
    """The text with its middle left out where it is longer: names differ at both ends.

    >>> shortened("a-very-long-name-of-a-case", 14)
    'a-very…-a-case'
    """
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def _is_obeyed(one: str) -> bool:
    return unicodedata.category(one) in _OBEYED or not one.isprintable()
