"""Pages that we write beside results: a template of a wing, in one common style.

They open without network. The report of a detection (``hanet.detection.report``) has a script and
a style of its own.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template


def fill_page(wing: str, name: str, **values: object) -> str:
    """The page as text.

    Args:
        wing: Package that holds the template, as ``"hanet.review"``.
        name: Its file there; ``$style`` stands where the common style goes.
        values: For its other ``$names``; text must be escaped for HTML already.

    Raises:
        KeyError: The template has a name without a value.
    """
    template = Template((files(wing) / name).read_text(encoding="utf-8"))
    style = (files("hanet") / "page.css").read_text(encoding="utf-8")
    return template.substitute(values, style=style)
