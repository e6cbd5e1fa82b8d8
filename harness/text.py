"""Text from outside (names, reasons, variables), made fit to be shown."""


def visible(text: str) -> str:
    r"""The text on one line, with every character that would command a terminal or a page shown instead.

    >>> visible("two\nlines"), visible("a\x1b[2J"), visible("a\u202eb"), visible("naïve 模型")
    ('two lines', 'a\\x1b[2J', 'a\\u202eb', 'naïve 模型')
    """
    flat = text if text.isprintable() else " ".join(text.split())
    return flat if flat.isprintable() else "".join(_shown(one) for one in flat)


def _shown(one: str) -> str:
    """What turns the direction of writing, or hides, or breaks a line: shown by its number, never obeyed."""
    return one if one.isprintable() else repr(one)[1:-1]


def shortened(text: str, most: int) -> str:
    """The text with its middle left out where it is longer: names differ at both ends.

    >>> shortened("a-very-long-name-of-a-case", 14)
    'a-very…-a-case'
    """
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
