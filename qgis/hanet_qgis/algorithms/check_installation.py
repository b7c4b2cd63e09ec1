# SPDX-License-Identifier: GPL-2.0-or-later
"""Check installation: whether the command is there and fits, and else how to get it."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputString

from hanet_qgis.command import INSTALL, UPGRADE, WHERE, found_command, run, version_of

from .base import HanetAlgorithm


class CheckInstallation(HanetAlgorithm):
    """``hanet --version`` and ``hanet models``."""

    NAME = "check_installation"
    TITLE = "Check installation"
    HELP = (
        "Says whether the hanet command is there, which one it is, and which weights it has; where "
        "it is missing or too old, the command that installs it.\n\n"
        f"To install, in a terminal: {INSTALL}\n"
        f"To update: {UPGRADE}\n"
        f"Elsewhere than on PATH: {WHERE}"
    )

    def initAlgorithm(self, configuration=None) -> None:
        """Called by Processing."""
        self.addOutput(QgsProcessingOutputString("COMMAND", "Path of the command"))
        self.addOutput(QgsProcessingOutputString("VERSION", "Version of the command"))

    def work(self, parameters, context, feedback) -> dict:
        """Everything that the other algorithms need of the command, tried once."""
        command = found_command()
        feedback.pushInfo(f"Command: {command}")
        version = version_of(command)
        feedback.pushInfo(f"Version: {version}")
        run(["models"], feedback, is_shown=True)
        feedback.pushInfo("All is well: this plugin works with this hanet.")
        return {"COMMAND": command, "VERSION": version.partition(" ")[2]}
