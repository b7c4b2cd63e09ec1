"""Texts of options as values."""

from __future__ import annotations

from hanet.errors import SettingsError


def numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Whole numbers of a comma-separated list; None stays None."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{option} {text!r} is no list of whole numbers", hint=f"for example {option} 1,2,3"
        ) from error


def names(text: str | None) -> tuple[str, ...] | None:
    """Words of a comma-separated list, each once; None stays None."""
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def reals(text: str | None, option: str, *, count: int, example: str) -> tuple[float, ...] | None:
    """Exactly ``count`` real numbers of a comma-separated list; None stays None."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise SettingsError(
            f"{option} {text!r} is not {count} numbers", hint=f"for example {option} {example}"
        )
    return values


def gsd(text: str | None) -> float | str | None:
    """Metres, or "native"; None stays None."""
    if text is None or text == "native":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise SettingsError(
            f"--gsd {text!r} is no number", hint="metres a pixel, or native"
        ) from error
