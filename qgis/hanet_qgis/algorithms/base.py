# SPDX-License-Identifier: GPL-2.0-or-later
"""What the algorithms share: their face in the toolbox, their options, and how a run ends."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import ClassVar

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtGui import QIcon

from hanet_qgis.command import StoppedError, run

ICON = str(Path(__file__).parents[1] / "icon.svg")


class HanetAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that is one verb of the command.

    Attributes:
        NAME: As scripts name it.
        TITLE: As the toolbox names it.
        HELP: What it does, beside its parameters.
        OPTIONS: Names of parameters with the options of the command that they become.
    """

    NAME = TITLE = HELP = ""
    OPTIONS: ClassVar[dict] = {}

    def name(self) -> str:
        """As scripts name it."""
        return self.NAME

    def displayName(self) -> str:
        """As the toolbox names it."""
        return self.TITLE

    def shortHelpString(self) -> str:
        """Beside the parameters: what the algorithm does, then each parameter's help."""
        return self.HELP

    def icon(self) -> QIcon:
        """That of the provider."""
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        """The same as a file."""
        return ICON

    def createInstance(self) -> HanetAlgorithm:
        """Called by Processing for each run."""
        return type(self)()

    def prepareAlgorithm(self, parameters, context, feedback) -> bool:
        """The part that reads layers, which belong to the main thread."""
        self.words = self.prepared(parameters, context, feedback)
        return True

    def prepared(self, parameters, context, feedback) -> list:
        """The words that layers become, before those of the options."""
        return []

    def processAlgorithm(self, parameters, context, feedback) -> dict:
        """Runs the command; where the user stops it, what it made goes."""
        try:
            return self.work(parameters, context, feedback)
        except StoppedError:
            feedback.pushInfo("Stopped; nothing is left of it.")
            return {}

    def work(self, parameters, context, feedback) -> dict:
        """The outputs."""
        raise NotImplementedError

    def add(self, parameter, text: str, *, advanced: bool = False) -> None:
        """Adds a parameter with its help; advanced ones are folded away."""
        parameter.setHelp(text)
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
        self.addParameter(parameter)

    def add_number(self, name: str, title: str, text: str, *, most=None, **more) -> None:
        """A number that may be left empty; not negative."""
        parameter = QgsProcessingParameterNumber(
            name, title, QgsProcessingParameterNumber.Double, None, True, 0.0
        )
        if most is not None:
            parameter.setMaximum(most)
        self.add(parameter, text, **more)

    def add_text(self, name: str, title: str, text: str, *, default=None, **more) -> None:
        """A text that may be left empty."""
        self.add(QgsProcessingParameterString(name, title, default, False, True), text, **more)

    def add_flag(self, name: str, title: str, text: str, *, default=False, **more) -> None:
        """A box to tick."""
        self.add(QgsProcessingParameterBoolean(name, title, default), text, **more)

    def add_choice(
        self, name: str, title: str, text: str, choices, *, several=False, **more
    ) -> None:
        """One of several words, or some; it may be left empty."""
        parameter = QgsProcessingParameterEnum(
            name, title, list(choices), several, None, True, usesStaticStrings=True
        )
        self.add(parameter, text, **more)

    def add_more(self, example: str) -> None:
        """Whatever else the command takes."""
        text = f"Options of the command that have no field here, for example {example}"
        self.add_text("MORE", "More options", text, advanced=True)

    def options(self, parameters, context) -> list:
        """The options that the user gave: what is left empty is the command's own affair."""
        words = []
        for name, option in self.OPTIONS.items():
            definition = self.parameterDefinition(name)
            if parameters.get(name) in (None, "", []):
                continue
            if definition.type() == "number":
                word = f"{self.parameterAsDouble(parameters, name, context):.15g}"
            elif definition.type() == "enum":
                word = ",".join(self.parameterAsEnumStrings(parameters, name, context))
            else:
                word = self.parameterAsString(parameters, name, context).strip()
            words += [option, word] if word else []
        if self.parameterDefinition("MORE") is not None:
            words += shlex.split(self.parameterAsString(parameters, "MORE", context) or "")
        return words

    def run_into(self, folder: str, words, feedback) -> list:
        """Runs the command that fills a folder.

        Where it is stopped it leaves nothing there: a folder that was not there or was empty is so
        again; into one that held something the command moves whole files only, and clears up after
        itself.

        Returns:
            The results of the contract.
        """
        was_empty = not names_in(folder)
        missing = _missing(Path(folder))
        try:
            return run(words, feedback)
        except StoppedError:
            for path in names_in(folder) if was_empty else ():
                _remove(path)
            for path in missing:
                if path.is_dir() and not names_in(path):
                    path.rmdir()
            raise

    def folder(self, parameters, name: str, context) -> str:
        """The folder of a parameter.

        Raises:
            QgsProcessingException: There is a file of its name.
        """
        path = self.parameterAsString(parameters, name, context)
        if Path(path).is_file():
            raise QgsProcessingException(f"{path} is a file.\nHint: choose a folder.")
        return path


def files_of(results, kind: str) -> list:
    """Paths of the files of a kind, in the order of the results."""
    return [
        file["path"]
        for result in results
        for file in result.get("files", ())
        if file.get("kind") == kind
    ]


def figure(results, name: str):
    """A figure of the last result that has it; None where none has."""
    found = [result[name] for result in results if name in result]
    return found[-1] if found else None


def names_in(folder) -> list:
    """What a folder holds; nothing where it is not there."""
    return list(Path(folder).iterdir()) if Path(folder).is_dir() else []


def _missing(folder: Path) -> list:
    """The folder and those above it that are not there, the deepest first."""
    return [path for path in (folder, *folder.parents) if not path.is_dir()]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
