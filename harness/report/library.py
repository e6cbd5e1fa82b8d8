"""The library that draws the charts (Vega, Vega-Lite and Vega-Embed, BSD-3-Clause), as one script.

vl-convert carries it. Putting it together takes a second or two, so the result is kept in the user's cache
under the versions it is of.
"""

import contextlib
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path

import vl_convert

from harness.errors import StorageError
from harness.store import write_whole


@cache
def chart_library() -> str:
    """The script; it sets `window.vegaEmbed`."""
    kept = _folder() / f"{_versions()}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with contextlib.suppress(OSError, StorageError):  # without a cache it is only slower
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, script.encode())
    return script


def _versions() -> str:
    return "-".join(
        (
            f"vega-{vl_convert.get_vega_version()}",
            f"lite-{vl_convert.get_vegalite_versions()[-1]}",
            f"embed-{vl_convert.get_vega_embed_version()}",
            f"by-{version('vl-convert-python')}",
        )
    )


def _folder() -> Path:
    """Where the user's programs keep what can be made again."""
    told = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(told) if told else Path.home() / ".cache") / "plumbline"
