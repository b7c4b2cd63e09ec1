"""``hanet review`` killed while decisions are sent to it, and on a disk that fills up.

What is sent is chosen once, against an undisturbed server: decisions, drawings, other outlines,
cuts, joins, undo and redo, a sample, a remake. Journal, page and files after each step are kept.
A killed server must be at the step that was acknowledged last, or at the one that was being
answered; a second server goes on from there and must end where the undisturbed one did.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaigns.ended_runs import SIGNALS, TIME_OF_START, contents, wrong_end
from campaigns.review_steps import (
    SIZE_PX,
    STEPS,
    FaultError,
    Step,
    answered,
    next_step,
    page,
    send_all,
)
from command_server import Command, CommandServer
from hanet.review.review import Review
from hanet.synthetic.scene import render_scene
from review_pages import Client

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)")

LIVE = {"review/lock"}
"""There while a server is at work, and gone afterwards."""


@dataclass
class Undisturbed:
    """A review from its first question to its last.

    Args:
        base: The folder that it begins with.
        steps: What was sent, all of it acknowledged.
        lines: Lines of the journal before the first step, and after each.
        pages: What the page shows then.
        files: Names of all files then.
        journal: Lines of the journal at the end, without times.
        delivered: What ``hanet deliver`` makes of the end.
        start_seconds: Until the server has printed its address.
        seconds: For all steps.
    """

    base: Path
    steps: list[Step] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    pages: list[Any] = field(default_factory=list)
    files: list[set[str]] = field(default_factory=list)
    journal: list[bytes] = field(default_factory=list)
    delivered: dict[str, str] = field(default_factory=dict)
    start_seconds: float = 0.0
    seconds: float = 0.0


class ReviewKills:
    """Kills and full disks of ``hanet review``.

    Args:
        server: Starts the processes.
        folder: For runs; its ``difference.onnx`` detects.
        draw: Moments, signals and what is sent.
    """

    VERB = "review"

    def __init__(self, server: CommandServer, folder: Path, draw: random.Random) -> None:
        self._server, self._folder, self._draw = server, folder, draw
        self._out = folder / "review-out"
        self._acknowledged = self._refused = self._running_then = self._answering_then = 0
        self._undisturbed = [self._reference(base) for base in self._bases()]

    def killed(self, moments: int) -> dict[str, Any]:
        """So many kills; every fourth while the server starts, the others between the first
        question and the last."""
        faults: list[dict[str, Any]] = []
        for number in range(moments):
            whole = self._undisturbed[number % len(self._undisturbed)]
            sent = SIGNALS[number % len(SIGNALS)]
            while_starting = number % 4 == 3
            seconds = whole.start_seconds if while_starting else whole.seconds
            moment = self._draw.uniform(0, seconds)
            shutil.copytree(whole.base, self._out)
            try:
                self._killed_once(whole, sent, moment, while_starting=while_starting)
            except FaultError as fault:
                faults.append(
                    {
                        "number": number,
                        "signal": sent.name,
                        "while_starting": while_starting,
                        "share": moment / seconds,
                        "fault": str(fault),
                    }
                )
            shutil.rmtree(self._out)
        return {
            "verb": self.VERB,
            "kills": moments,
            "while_running": self._running_then,
            "while_answering": self._answering_then,
            "undisturbed_seconds": max(w.start_seconds + w.seconds for w in self._undisturbed),
            "files": max(len(whole.files[-1]) for whole in self._undisturbed),
            "acknowledged": self._acknowledged,
            "faults": faults,
        }

    def filled(self, disk: Path, *, sizes: int) -> dict[str, Any]:
        """A disk that fills before the server starts, and one that fills while it answers: what is
        refused is refused in words and leaves no trace, and with room it goes on."""
        free = shutil.disk_usage(disk).free
        out, earlier = disk / "out", self._out
        self._out = out
        faults, needed = [], 0
        for number in range(sizes):
            whole = self._undisturbed[number // 2 % len(self._undisturbed)]
            before_start = number % 2 == 0
            grown = _size(whole.base.parent / f"{whole.base.name}-end") - _size(whole.base)
            needed = max(needed, _size(whole.base) + grown)
            room = round(grown * (number + 1) / sizes * (1.2 if before_start else 0.6))
            shutil.copytree(whole.base, out)
            try:
                self._filled_once(whole, disk / "ballast", room, before_start=before_start)
            except FaultError as fault:
                faults.append({"room": room, "before_start": before_start, "fault": str(fault)})
            for path in disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            assert shutil.disk_usage(disk).free == free
        self._out = earlier
        return {
            "verb": self.VERB,
            "sizes": sizes,
            "needs_bytes": needed,
            "refused": self._refused,
            "faults": faults,
        }

    # -- the undisturbed review

    def _bases(self) -> list[Path]:
        """A finished run that nobody has looked at, and one that was reviewed before."""
        scene, found = self._folder / "review-scene", self._folder / "review-found"
        render_scene(scene, size=SIZE_PX, seed=3)
        words = ["--weights", self._folder / "difference.onnx", "--threads", 1]
        self._run("detect", scene / "before.tif", scene / "after.tif", "--out", found, *words)
        reviewed = self._folder / "review-reviewed"
        shutil.copytree(found, reviewed)
        with Review.open(reviewed, reviewer="anna") as review:
            ids = [item.id for item in review.items("found")]
            review.decide(ids[::2], {"status": "accepted"})
            review.decide(ids[1::2], {"status": "rejected"})
        return [found, reviewed]

    def _reference(self, base: Path) -> Undisturbed:
        whole = Undisturbed(base)
        shutil.copytree(base, self._out)
        _, client = self._started()
        self._keep(whole, client)
        chosen = random.Random(self._draw.random())
        while len(whole.steps) < STEPS:
            step = next_step(client, chosen, number=len(whole.steps))
            if answered(client, step)[0] in (200, 202):
                whole.steps.append(step)
                self._keep(whole, client)
        self._ended(client)
        whole.journal = self._journal()
        whole.delivered = self._delivered()
        shutil.copytree(self._out, base.parent / f"{base.name}-end")
        shutil.rmtree(self._out)
        self._time(whole)
        return whole

    def _keep(self, whole: Undisturbed, client: Client) -> None:
        whole.lines.append(len(self._journal()))
        whole.pages.append(page(client))
        whole.files.append(set(contents(self._out)) - LIVE)

    def _time(self, whole: Undisturbed) -> None:
        """The same once more without looking, which must give the same."""
        shutil.copytree(whole.base, self._out)
        begun = time.perf_counter()
        _, client = self._started()
        whole.start_seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        for step in whole.steps:
            assert answered(client, step)[0] in (200, 202)
        whole.seconds = time.perf_counter() - begun
        assert page(client) == whole.pages[-1]
        self._ended(client)
        assert self._journal() == whole.journal
        shutil.rmtree(self._out)

    # -- one kill

    def _killed_once(
        self,
        whole: Undisturbed,
        sent: signal.Signals,
        moment: float,
        *,
        while_starting: bool,
    ) -> None:
        command = self._command()

        def kill() -> None:
            time.sleep(moment)
            self._running_then += _is_running(command.pid)
            os.kill(command.pid, sent)

        killer = threading.Thread(target=kill)
        if while_starting:
            killer.start()
        client = self._client(command)
        if not while_starting:
            if client is None:
                raise FaultError(f"a server does not start: {command.output[-400:]}")
            killer.start()
        done, is_waiting = -1, True
        if client is not None:
            done, is_waiting = send_all(client, whole.steps)
        self._acknowledged += max(done, 0)
        self._answering_then += client is not None and is_waiting
        killer.join()
        fault = wrong_end(command, command.wait(), sent)
        if fault:
            raise FaultError(fault)
        reached = self._check_journal(whole, done, done + is_waiting, sent)
        if sent != signal.SIGKILL:
            self._check_files(whole, reached)
        if self._draw.random() < 0.5:  # before another server has put anything right
            self._check_delivery(whole, reached)
        self._go_on(whole, reached)

    def _check_journal(
        self, whole: Undisturbed, least: int, most: int, sent: signal.Signals | None
    ) -> int:
        """The step at which the journal stands, of those between which it may stand; -1 before the
        review was begun."""
        found = self._journal()
        lines = [line for line in found if line.endswith(b"\n")]
        if lines != whole.journal[: len(lines)]:
            raise FaultError(f"the journal holds others than were sent: {found[-1][:200]!r}")
        rest = found[len(lines) :]
        if rest and not (sent == signal.SIGKILL and whole.journal[len(lines)].startswith(rest[0])):
            raise FaultError(f"half a record: {rest[0][:200]!r}")
        known = [0, *whole.lines] if least < 0 else whole.lines
        if len(lines) not in known:
            raise FaultError(f"{len(lines)} lines are at no step")
        # where the review was begun before, 0 lines are not possible and the start adds none
        reached = max(n for n, lines_then in enumerate(known) if lines_then == len(lines))
        reached -= least < 0
        if not least <= reached <= most:
            raise FaultError(f"{least} to {most} steps were acknowledged, {reached} are there")
        return reached

    def _check_files(self, whole: Undisturbed, reached: int) -> None:
        """Nothing but what the undisturbed review has, or had a step ago."""
        names = set(contents(self._out))
        folders = {p.name for p in (self._out / "review").rglob("*") if p.is_dir()}
        allowed = whole.files[max(reached, 0)] | whole.files[min(reached + 1, STEPS)]
        if names - allowed or folders:
            raise FaultError(f"left over: {sorted(names - allowed)} {sorted(folders)}")

    def _check_delivery(self, whole: Undisturbed, reached: int) -> None:
        delivered = self._delivered()
        if reached == STEPS and delivered != whole.delivered:
            raise FaultError("deliver: other than undisturbed")
        if reached < 0 and delivered:
            raise FaultError("deliver: delivers what nobody has reviewed")

    def _go_on(self, whole: Undisturbed, reached: int) -> None:
        """A second server shows what was reached, and ends where the undisturbed one did."""
        command, client = self._started()
        now = max(reached, 0)
        if page(client) != whole.pages[now]:
            raise FaultError(f"the second server does not show step {now}")
        for step in whole.steps[now:]:
            status, content = answered(client, step)
            if status not in (200, 202):
                raise FaultError(f"the second server refuses {step.path}: {content!r}")
        if page(client) != whole.pages[-1]:
            raise FaultError("the second server ends with another page")
        self._ended(client, command)
        if self._journal() != whole.journal:
            raise FaultError("the second server ends with another journal")
        names = set(contents(self._out))
        folders = {p.name for p in (self._out / "review").rglob("*") if p.is_dir()}
        if names != whole.files[-1] or folders:
            differ = sorted(names ^ whole.files[-1])
            raise FaultError(f"the second server leaves others: {differ} {sorted(folders)}")
        self._check_delivery(whole, STEPS)

    # -- one full disk

    def _filled_once(
        self, whole: Undisturbed, ballast: Path, room: int, *, before_start: bool
    ) -> None:
        def fill() -> None:
            left = shutil.disk_usage(ballast.parent).free - room
            with ballast.open("wb") as file:
                file.write(bytes(max(0, left)))

        if before_start:
            fill()
        command = self._command()
        client = self._client(command)
        if client is None:
            fault = wrong_end(command, command.wait(), None)
            if fault or "hint:" not in command.output:
                raise FaultError(fault or f"it ends without words: {command.output[-300:]}")
            self._refused += 1
            ballast.unlink(missing_ok=True)  # or the disk is too small for this review
            reached = self._check_journal(whole, -1, 0, None)
            return self._go_on(whole, reached)
        if not before_start:
            fill()
        done = 0
        for step in whole.steps:
            status, content = answered(client, step)
            if status not in (200, 202):
                self._check_refusal(status, content)
                break
            done += 1
        if page(client) != whole.pages[done]:
            raise FaultError(f"after a refusal the page does not show step {done}")
        self._check_journal(whole, done, done, None)
        ballast.unlink()
        for step in whole.steps[done : done + 3]:  # the same server goes on
            status, content = answered(client, step)
            if status not in (200, 202):
                raise FaultError(f"with room again, {step.path} is refused: {content!r}")
            done += 1
        self._ended(client, command)
        return self._go_on(whole, self._check_journal(whole, done, done, None))

    def _check_refusal(self, status: int, content: bytes) -> None:
        self._refused += 1
        words = json.loads(content)
        if status != 503 or not words.get("error") or not words.get("hint"):
            raise FaultError(f"refused without words: {status} {content[:300]!r}")

    # -- processes

    def _command(self) -> Command:
        scene = self._folder / "review-scene"  # on a small disk it is not beside the run
        images = ["--before", scene / "before.tif", "--after", scene / "after.tif"]
        words = ["review", self._out, "--no-browser", "--reviewer", "anna", *images]
        return self._server.start(*words)

    def _client(self, command: Command) -> Client | None:
        """Asks the server as soon as it has printed its address; None where it ends before."""
        while True:
            has_ended = self._server.ask(ended=command.pid)
            found = ADDRESS.search(command.output)
            if found and "Ctrl-C ends it" in command.output:
                return Client(int(found[1]), found[2])
            if has_ended:
                return None
            time.sleep(0.005)

    def _started(self) -> tuple[Command, Client]:
        command = self._command()
        client = self._client(command)
        if client is None:
            raise FaultError(f"a server does not start: {command.output[-400:]}")
        self._running = command
        return command, client

    def _ended(self, client: Client, command: Command | None = None) -> None:
        """Ends a server in order."""
        command = command or self._running
        command.send(signal.SIGTERM)
        code = command.wait()
        if code != 0 or "Traceback" in command.output:
            raise FaultError(f"SIGTERM ends it with {code}: {command.output[-400:]}")
        with suppress(OSError):
            client.ask("GET", "/api/review")
            raise FaultError("it still answers after its end")

    def _run(self, *words: object) -> Command:
        command = self._server.start(*words)
        code = command.wait()
        assert code == 0, command.output
        return command

    def _delivered(self) -> dict[str, str]:
        """What ``hanet deliver`` makes of a copy; nothing where nobody has reviewed yet."""
        copy = self._out.parent / "review-copy"
        shutil.copytree(self._out, copy)
        words = ["deliver", copy, "--status", "all", "--format", "geojson", "--format", "csv"]
        command = self._server.start(*words)
        code = command.wait()
        made = contents(copy / "delivery", frozenset({"delivery.html"}))
        shutil.rmtree(copy)
        if code == 2 and "has not been reviewed yet" in command.output:
            return {}
        if code != 0 or "Traceback" in command.output or not made:
            raise FaultError(f"deliver ends with {code}: {command.output[-400:]}")
        return made

    def _journal(self) -> list[bytes]:
        """Lines without their times; the last may lack its end."""
        path = self._out / "review" / "journal.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return TIME_OF_START.sub(b"", content).splitlines(keepends=True)


def _is_running(pid: int) -> bool:
    """Whether it has not ended; who has and was not waited for is a zombie."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
