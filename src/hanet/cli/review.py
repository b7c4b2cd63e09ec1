"""``hanet review``: a page on which a person looks at what was found, and decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("review")(review)


def review(
    out: Annotated[Path, typer.Argument(help="Folder of a finished hanet detect.")],
    reviewer: Annotated[
        str | None,
        typer.Option(
            help="Reviewer's name, recorded with each decision (default: your user name)."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            help="First draw a random sample of this many places, to estimate rates and counts."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of --sample.")] = 1,
    before: Annotated[
        str | None, typer.Option(help="Path of the before image, if it was moved.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Path of the after image, if it was moved.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the page (default: any free one).")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address only; open no browser.")
    ] = False,
) -> None:
    """Review the footprints on a page in the browser.

    Shows both dates side by side and every footprint in a queue that you work through with keys.
    Saves each decision in OUT/review at once. Only this machine can reach the page; Ctrl-C ends it.
    """
    from contextlib import ExitStack

    from hanet.cli.console import print_result, print_warning, stdout
    from hanet.cli.events import events
    from hanet.cli.progress import stage_progress
    from hanet.review.server import opened, until_stopped, user_name

    with ExitStack() as stack:
        with stage_progress() as progress:
            server = stack.enter_context(
                opened(
                    out,
                    reviewer=user_name() if reviewer is None else reviewer,
                    given={"before": before, "after": after},
                    port=port or 0,
                    progress=progress,
                    warn=print_warning,
                )
            )
        if sample is not None:
            server.draw_sample(sample, seed=seed)
        stop = stack.enter_context(until_stopped())
        stdout.print(f"{out}: {_standing(server.review.progress())}", markup=False, soft_wrap=True)
        stdout.print(f"open {server.address}", markup=False, soft_wrap=True)
        stdout.print("Ctrl-C ends it; every decision is saved when it is made")
        events.say("ready", address=server.address)
        if not no_browser:
            _open_browser(server.address, server.port)
        server.serve(stop)
        print_result(
            f"ended: {_standing(server.review.progress())}; all of it is saved in {out / 'review'}",
            {out / "review": "review"},
            unlisted=True,
        )


def _standing(progress: dict[str, Any]) -> str:
    """Where a review stands, on one line."""
    found = progress["found"]
    counts = [f"{found[status]} {status}" for status in ("accepted", "rejected", "unsure")]
    words = f"{found['reviewed']} of {found['total']} footprints reviewed ({', '.join(counts)})"
    others = [
        f"{progress[queue]['reviewed']} {words}"
        for queue, words in (
            ("missed", "places that may be missed"),
            ("blank", "blank tiles"),
            ("suggested", "suggested tiles"),
        )
        if progress[queue]["reviewed"]
    ]
    if progress["drawn"]:
        others.append(f"{progress['drawn']} drawn")
    return ", ".join([words, *others])


def _open_browser(address: str, port: int) -> None:
    """Opens the page where a browser with windows can be expected; one in the terminal would take
    it from us."""
    import os
    import sys
    import threading
    import webbrowser

    from hanet.cli.console import print_note

    windows = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if windows:  # it may take seconds, and must not keep the page waiting
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    elif os.environ.get("SSH_CONNECTION"):
        print_note(
            f"from your own machine: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE, then open the "
            "address there"
        )
