"""Makes docs/reference/ from the code: verbs and options, Python names, experiment keys, models and
weights, data sets.

Run: python docs/scripts/reference.py [--check]
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from docstrings import as_markdown, plain, summary
from pages import DOCS, ROOT, experiment_files, table, write_or_check
from typer.models import ArgumentInfo

import hanet
from hanet import errors
from hanet.cli import app
from hanet.datasets.published import KNOWN_DATASETS, PER_DATE_STATISTICS
from hanet.models import MODELS, create
from hanet.training import losses, sampling, strong_views
from hanet.training.augmentation import AUGMENTATIONS
from hanet.training.experiment import Experiment
from hanet.training.losses import LOSSES
from hanet.training.strong_views import STRONG_VIEWS
from hanet.weights.catalogue import SUFFIXES, Entry

MADE = "<!-- Made by docs/scripts/reference.py from the code; edit the code, then: make pages -->\n"
"""Comes at the end, because a page's title must come first."""


def verbs() -> str:
    """Every verb with its arguments and options, read from the functions' own annotations."""
    parts = ["# Verbs\n", f"{app.info.help}\n"]
    parts.append(
        "Errors are one line with a hint under it and exit code 2; logs go to stderr, data to "
        "stdout. Every verb also takes `--progress json`, which [tells programs](progress.md) what "
        "happens.\n"
    )
    for command in app.registered_commands:
        assert command.callback is not None
        arguments, options = parameters(command.callback)
        usage = " ".join(["hanet", str(command.name), *arguments, "[OPTIONS]"])
        parts += [
            f"## hanet {command.name}\n",
            f"{summary(command.callback)}\n",
            f"```text\n{usage}\n```\n",
        ]
        if arguments:
            parts.append(
                table(
                    ["argument", "meaning"],
                    [[f"`{name}`", text] for name, text in arguments.items()],
                )
            )
        if options:
            parts.append(
                table(
                    ["option", "meaning"], [[f"`{name}`", text] for name, text in options.items()]
                )
            )
    return "\n".join(parts)


def parameters(verb: Callable[..., Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Arguments and options of a verb, each as it is written on the command line, with its help."""
    arguments, options = {}, {}
    hints = get_type_hints(verb, include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        kind, info = get_args(hints[name])
        required = parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            arguments[name.upper() if required else f"[{name.upper()}]"] = info.help or ""
            continue
        if info.hidden:
            continue
        flag = f"--{name.replace('_', '-')}"
        # typer takes the first argument of Option(...) for a default until it builds the command
        names = [
            text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str)
        ]
        shown = "/".join(names) or (f"{flag}/--no-{flag[2:]}" if kind is bool else flag)
        value = "" if bool in (kind, *get_args(kind)) else f" {_value(kind)}"
        options[shown.replace("/", " / ") + value] = (info.help or "") + (
            " Required." if required else ""
        )
    return arguments, options


def _value(kind: Any) -> str:
    names = {int: "NUMBER", float: "NUMBER", Path: "PATH", str: "TEXT"}
    parts = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    return names.get(parts[0], "TEXT")


def python_names() -> str:
    """Every name of ``hanet.__all__``, and the classes that they take and give."""
    parts = ["# Python\n", f"{plain(inspect.getdoc(hanet) or '')}\n"]
    companions: dict[str, type] = {}
    for name in hanet.__all__:
        value = getattr(hanet, name)
        if not callable(value):
            parts += [
                f"## `hanet.{name}`\n",
                f"A {type(value).__name__}, the version of the package.\n"
                if name == "__version__"
                else f"A {type(value).__name__}.\n",
            ]
            continue
        parts += [
            f"## `hanet.{name}`\n",
            _signature(f"hanet.{name}", value),
            as_markdown(value) + "\n",
        ]
        companions |= _companions(value)
    parts.append("## Classes that these take and give\n")
    for name, value in sorted(companions.items()):
        parts += [
            f"### {name}\n",
            _signature(f"{value.__module__}.{name}", value),
            as_markdown(value) + "\n",
        ]
        parts.append("".join(_member(name, key, member) for key, member in _public_members(value)))
    parts += ["## Errors\n", f"```text\n{inspect.getdoc(errors)}\n```\n"]
    return "\n".join(parts)


def _signature(shown: str, value: Any) -> str:
    """The signature as code, one line or one parameter a line; annotations as in the source."""
    signature = inspect.signature(value)
    parts, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{star}{parameter.name}: {parameter.annotation}{default}")
    end = "" if inspect.isclass(value) else f" -> {signature.return_annotation}"
    line = f"{shown}({', '.join(parts)}){end}"
    if len(line) > 100:
        line = f"{shown}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"
    return f"```python\n{line}\n```\n"


def _companions(value: Any) -> dict[str, type]:
    """Classes of ours that a function's annotations or docstring name."""
    module = inspect.getmodule(value)
    text = f"{_signature('', value)} {inspect.getdoc(value)}"
    words = {word.rpartition(".")[2] for word in re.findall(r"[\w.]+", text)}
    found = {word: getattr(module, word, None) for word in words}
    return {
        word: known
        for word, known in found.items()
        if inspect.isclass(known)
        and known.__module__.startswith("hanet.")
        and not issubclass(known, Exception)
    }


def _public_members(value: type) -> list[tuple[str, Any]]:
    own = [(key, member) for key, member in vars(value).items() if not key.startswith("_")]
    return [
        (key, member)
        for key, member in own
        if inspect.isfunction(member) or isinstance(member, property)
    ]


def _member(owner: str, key: str, member: Any) -> str:
    call = "" if isinstance(member, property) else "()"
    return f"- `{owner}.{key}{call}`: {summary(member)}\n"


def experiments() -> str:
    """Every key of an experiment, the named alternatives, and the files of the project."""
    keys = [
        [f"`{key}`", f"`{Experiment.__annotations__[key]}`", "required" if field.is_required() else f"`{field.default!r}`", field.description or ""]
        for key, field in Experiment.model_fields.items()
    ]  # fmt: skip
    files = []
    for path in experiment_files():
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        length = (
            f"{values['epochs']} epochs"
            if "epochs" in values
            else f"{values['iterations']:,} iterations"
        )
        link = f"[{path.stem}](../../{path.relative_to(ROOT).as_posix()})"
        files.append(
            [link, values["model"], values.get("pfbs", "normal"), length, values.get("aims_at", "")]
        )
    return "\n".join(
        [
            "# Experiments\n",
            "An experiment is one flat TOML file that shows everything that matters; an unknown "
            "key is an error. "
            "`hanet train FILE --data DIR --out RUN --set KEY=VALUE` replaces single keys.\n",
            "## Files\n",
            table(["file", "network", "PFBS", "length", "aims at"], files),
            "## Keys\n",
            table(["key", "type", "default", "meaning"], keys),
            "## PFBS\n",
            f"{summary(sampling)}\n",
            table(
                ["schedule", "meaning"],
                [
                    ["`normal`", "The whole set in every epoch."],
                    ["`fixed-X`", summary(sampling.fixed)],
                    ["`linear-Y`", summary(sampling.linear)],
                    ["`fixed-X-linear-Y`", summary(sampling.fixed_linear)],
                ],
            ),
            "## Losses\n",
            _named(LOSSES, losses),
            "## Augmentations\n",
            _named(AUGMENTATIONS, None),
            "## Strong views of pairs without labels\n",
            _named(STRONG_VIEWS, strong_views),
        ]
    )


def _named(entries: dict[str, Any], module: ModuleType | None) -> str:
    rows = [[f"`{name}`", summary(value)] for name, value in entries.items()]
    source = (
        re.search(r"Sources?: (.*)", inspect.getdoc(module) or "", re.DOTALL) if module else None
    )
    return table(["name", "meaning"], rows) + (
        f"\nSources: {' '.join(source[1].split())}\n" if source else ""
    )


def models() -> str:
    """Every network, and every set of weights that comes with the project."""
    parts = ["# Networks and weights\n", "## Networks\n"]
    parts.append(
        "`forward(before, after) -> logits`: (B, C, H, W) twice to (B, 2, H, W). See "
        "`hanet.create`.\n"
    )
    for name, network in MODELS.items():
        count = sum(parameter.numel() for parameter in create(name).parameters())
        parts += [f"### {name}\n", _signature(f"hanet.models.{network.__name__}", network)]
        parts.append(as_markdown(network) + "\n")
        parts.append(
            f"{count:,} parameters at the defaults; pads to a multiple of {network.divisor}, "
            f"takes {network.min_size_px} "
            f"pixels or more a side. {network.paper}\n"
        )
    rows = []
    for path in [
        path
        for folder in ("src/hanet/weights/shipped", "weights")
        for path in sorted((ROOT / folder).iterdir())
        if path.suffix in SUFFIXES
    ]:
        metadata = Entry(path.stem, path).metadata()
        card = DOCS / "models" / f"{metadata.name}.md"
        name = f"[{metadata.name}](../models/{card.name})" if card.is_file() else metadata.name
        rows.append(
            [
                name,
                f"`{path.relative_to(ROOT).as_posix()}`",
                metadata.model,
                f"{metadata.gsd_m:g}",
                f"{metadata.threshold:.3f}",
                metadata.licence,
            ]
        )
    parts += ["## Weights\n", "`hanet models` lists what is installed, with scores.\n"]
    parts.append(table(["name", "file", "network", "m a pixel", "threshold", "terms"], rows))
    return "\n".join(parts)


def datasets() -> str:
    """Every data set that the package knows, from its table."""
    parts = [
        "# Data sets\n",
        "A data set is a folder `SPLIT/{A,B,label}`: before, after, and what changed (0 and 255, "
        "or 0 and 1), matched by the stems of the "
        "file names. [Prepare and check data](../guides/data.md) explains how to make one; "
        "`hanet datasets` lists the table below.\n",
        "## Named statistics\n",
        "Of values in 0-1, band by band, for `statistics` in an experiment.\n",
        table(
            ["name", "mean before", "deviation before", "mean after", "deviation after"],
            [
                [f"`{name}`", *(" ".join(f"{value:.4f}" for value in part) for part in statistics)]
                for name, statistics in PER_DATE_STATISTICS.items()
            ],
        ),
    ]
    for entry in KNOWN_DATASETS.values():
        facts = [
            ("changes", entry.about),
            ("metres a pixel", "not stated" if entry.gsd_m is None else " to ".join(f"{v:g}" for v in dict.fromkeys(entry.gsd_m))),
            ("release", entry.scenes),
            ("folders", f"`{entry.folders}`"),
            *((f"tiles of 256, {split}", str(count)) for split, count in entry.tiles.items()),
            ("of those tiles", entry.tiles_note),
            ("terms", entry.licence or "not stated where we looked: ask its authors"),
            ("weights trained on it", entry.weights_terms),
            ("cite", entry.citation),
            ("get it", f"<{entry.homepage}>"),
        ]  # fmt: skip
        parts += [
            f"\n## {entry.title}\n",
            table([f"`{entry.key}`", ""], [[name, text] for name, text in facts if text]),
        ]
    return "\n".join(parts)


def main() -> None:
    """Writes or checks all pages."""
    makers = {
        "verbs": verbs,
        "python": python_names,
        "experiments": experiments,
        "models": models,
        "datasets": datasets,
    }
    texts: dict[Path, str] = {
        DOCS / "reference" / f"{name}.md": f"{maker()}\n{MADE}" for name, maker in makers.items()
    }
    write_or_check(texts, command="make pages")


if __name__ == "__main__":
    main()
