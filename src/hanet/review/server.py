"""The review of one folder on a page in the browser: everything is opened, answered, and closed."""

from __future__ import annotations

import getpass
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from hanet.destination import check_folder
from hanet.review.answers import Desk
from hanet.review.display import Display
from hanet.review.inputs import DateName, check_inputs
from hanet.review.review import Review
from hanet.review.reviewed_run import read_run
from hanet.review.run_images import find_images
from hanet.review.tiles import Tiles
from hanet.review.web import Answer, LocalServer, Question
from hanet.types import Progress

PAGES = Path(__file__).with_name("page")
"""The page and what it loads."""

LOOKS_PER_S = 10
"""How often the server looks whether it shall end."""

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that end it: Ctrl-C, what stops a service, a terminal that is closed."""


class ReviewServer:
    """A review with its tiles and its page; made by :func:`opened`.

    Attributes:
        review: What is decided.
        address: What to open in a browser; it holds the token.
        port: Where it listens.
    """

    def __init__(self, review: Review, web: LocalServer) -> None:
        self.review, self._web = review, web
        self.address, self.port = web.address, web.port

    def draw_sample(self, count: int, *, seed: int) -> None:
        """Draws a random sample, unless the last one was drawn with the same numbers.

        Raises:
            InputError: A number is out of range.
            OutputError: It cannot be saved.
        """
        last = self.review.sample
        if last is None or (last["count"], last["seed"]) != (count, seed):
            self.review.make_sample(count, seed=seed)

    def serve(self, stop: threading.Event) -> None:
        """Answers until the event is set."""
        thread = threading.Thread(
            target=self._web.serve_forever, kwargs={"poll_interval": 1 / LOOKS_PER_S}, daemon=True
        )
        thread.start()
        try:
            while not stop.wait(1 / LOOKS_PER_S):
                pass
        finally:
            self._web.shutdown()
            thread.join()


@contextmanager
def opened(
    out: Path,
    *,
    reviewer: str,
    given: dict[DateName, str | None],
    port: int,
    progress: Progress,
    warn: Callable[[str], None],
) -> Iterator[ReviewServer]:
    """The server of a result folder, for the time of a ``with``.

    Args:
        out: The folder of a finished ``hanet detect``.
        reviewer: Name of the person, written beside each decision.
        given: Where the images lie now; None looks where the run found them.
        port: Of the page; 0 takes a free one.
        progress: Called with the stage and the share done while footprints are found and pictures
            made, which is done once.
        warn: Called with what the person must know.

    Raises:
        HanetError: The folder holds no finished run or another process reviews it, the port is
            taken, an image is missing.
    """
    warnings: list[str] = []

    def tell(message: str) -> None:
        warnings.append(message)
        warn(message)

    with ExitStack() as stack:
        web = LocalServer(port, pages=PAGES, answers=_not_yet)
        stack.callback(web.server_close)
        check_folder(out, "the folder of the run")
        check_inputs(out, read_run(out), given=given)  # before footprints are looked for
        review = stack.enter_context(Review.open(out, reviewer=reviewer, progress=progress))
        inputs, rules = find_images(out, review.manifest, review.grid, given=given, warn=tell)
        tiles = stack.enter_context(
            Tiles(
                Display.of(review.grid),
                inputs,
                rules,
                out / "probability.tif",
                pictures=out / "review",
                progress=progress,
            )
        )
        desk = stack.enter_context(Desk(review, tiles, inputs=inputs, warnings=warnings))
        web.answers = desk.answer
        yield ReviewServer(review, web)


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C, by SIGTERM, and when the terminal is closed."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is Python's
        stop.set()

    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    # what is ignored stays ignored: nohup asks to outlive the terminal
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, end) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def user_name() -> str:
    """What the person is called on this machine; ``reviewer`` where nobody knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user: in a container, on Windows
        return "reviewer"


def _not_yet(question: Question) -> Answer:
    raise AssertionError(f"nothing is served before it is opened: {question.path}")
