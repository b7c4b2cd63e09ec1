// The review page: puts the parts together and gives keys and buttons their meaning.

import { commandOf, showKeys } from "./commands.js";
import { Editing } from "./editing.js";
import { Maps } from "./maps.js";
import { Outlines } from "./outlines.js";
import { Panel } from "./panel.js";
import { preparePicture } from "./picture.js";
import { prepareRemaking } from "./remaking.js";
import { QUEUES, Review, isTile } from "./review.js";
import { prepareSampling } from "./sampling.js";
import { Saving } from "./saving.js";
import { get } from "./server.js";
import { prepareSurroundings } from "./surroundings.js";

const find = (id) => document.getElementById(id);
const STATUS = { accept: "accepted", reject: "rejected", unsure: "unsure" };
const THEN = {
  found: " Next: what may have been missed (M).",
  suggested: " Next: end this command and run “hanet adapt”, or “hanet suggest” for more.",
};
const PANS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Problems in view, by what they are about; each stays until it is over or put away. */
const problems = new Map();

function tell(about, words) {
  if (words) problems.set(about, words);
  else if (!problems.delete(about)) return;
  const banner = find("banner");
  banner.hidden = problems.size === 0;
  banner.replaceChildren(...[...problems].map(([key, text]) => {
    const line = document.createElement("p");
    const close = document.createElement("button");
    close.textContent = "×";
    close.ariaLabel = "dismiss this message";
    close.addEventListener("click", () => tell(key, null));
    line.append(text, close);
    return line;
  }));
}

function wordsOf(error) {
  return error.hint ? `${error.message}. ${error.hint}.` : `${error.message}.`;
}

function say(words) {
  find("live").textContent = words;
}

async function start() {
  showKeys();
  let facts;
  try {
    facts = await get("/api/review");
  } catch (error) {
    tell("start", wordsOf(error));
    return;
  }
  const saving = new Saving(`hanet review ${facts.title}`, () => review.last);
  const review = new Review(facts, saving);
  find("title").textContent = facts.title;
  const maps = new Maps(facts);
  const outlines = new Outlines(maps, review);
  const editing = new Editing(maps, outlines);
  const page = new Page({ review, saving, maps, outlines, editing });
  new Panel(review, saving, { open: (queue) => page.open(queue) });
  preparePicture(maps);
  prepareSurroundings(maps, facts);
  prepareRemaking(review, { tell: (error) => tell("remake", wordsOf(error)), go: (id) => review.go(id) });
  prepareSampling(review, { tell: (error) => tell("sample", wordsOf(error)) });
  for (const [at, warning] of facts.warnings.entries()) tell(`warning ${at}`, warning);
  await page.begin();
  window.hanetReview = { review, saving, maps, outlines, editing }; // for the console and the tests
  document.body.dataset.ready = "";
}

class Page {
  #parts;
  #peeking = false;
  #commented = null; // the item whose comment is being typed

  constructor(parts) {
    this.#parts = parts;
    const { review, saving, maps, outlines, editing } = parts;
    saving.addEventListener("change", () => this.#showTrouble());
    review.addEventListener("current", () => this.#look());
    maps.addEventListener("mode", () => this.#press());
    outlines.addEventListener("loaded", ({ detail: isCut }) => {
      find("note").textContent = isCut ? "Zoom in to see all outlines" : "";
    });
    editing.addEventListener("change", ({ detail: hint }) => {
      find("mode-hint").hidden = !hint;
      find("mode-hint").firstElementChild.textContent = hint ?? "";
      find("mode-buttons").hidden = !hint;
      // each corner that was moved is saved already: Undo takes it back, Cancel would not
      find("mode-buttons").lastElementChild.hidden = editing.mode === "edit";
      if (hint) find("maps").scrollIntoView({ block: "nearest" }); // on a phone the button is below
      this.#press();
    });
    for (const map of maps.both) map.on("singleclick", (event) => this.#click(map, event));
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-command]");
      if (!button) return;
      if (event.detail > 0) button.blur(); // clicked: Enter and the space bar are not meant for it
      this.#do(button.dataset.command, {});
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keyup", (event) => {
      if (event.key === " ") this.#peek(false);
    });
    find("comment").addEventListener("keydown", (event) => this.#commentKey(event));
    find("comment").addEventListener("focus", () => {
      this.#commented = review.current;
    });
    find("comment").addEventListener("blur", () => this.#saveComment());
    window.addEventListener("beforeunload", (event) => {
      if (saving.pending.length) event.preventDefault();
    });
    this.#press();
  }

  /** Loads the first queue, then the others, and saves what an earlier page could not. */
  async begin() {
    const { review, saving } = this.#parts;
    await review.load("found");
    review.start("found");
    for (const { ids, set } of saving.takeLeftOver()) this.#try(review.decide(set, ids));
    let wasAway = false;
    review.poll((error) => {
      tell("server", error && !saving.trouble ? this.#away(error) : null);
      if (wasAway && !error) this.#back();
      wasAway = Boolean(error);
    });
    await Promise.all(QUEUES.slice(1).map((queue) => review.load(queue)));
  }

  #back() {
    this.#parts.maps.refresh();
    this.#parts.outlines.again();
  }

  #away(error) {
    return error.isForeign
      ? "Another server runs here now: open the address that it printed."
      : `${error.message}. Is “hanet review” still running?`;
  }

  #showTrouble() {
    const { trouble, pending } = this.#parts.saving;
    if (!trouble) return tell("unsaved", null);
    const many = pending.length === 1 ? "One change is" : `${pending.length} changes are`;
    const reason = trouble.isForeign ? this.#away(trouble) : wordsOf(trouble);
    tell("unsaved", `${many} not saved. ${reason} Kept here and sent again every two seconds: leave this page open.`);
  }

  /** The answer to a write; what went wrong is told until the next one. */
  async #try(promise) {
    tell("action", null);
    try {
      return await promise;
    } catch (error) {
      tell("action", `Not done: ${wordsOf(error)}`);
      await this.#parts.review.reload().catch(() => {}); // if that fails, the poll says why
      return undefined;
    }
  }

  // -- moving

  open(queue) {
    const { review } = this.#parts;
    review.clearSelection();
    review.start(queue);
  }

  #look() {
    const { review, maps, editing } = this.#parts;
    editing.stop();
    const item = review.current && review.item(review.current);
    if (!item) return;
    maps.zoomTo(item.box);
    const next = review.unreviewedAfter(review.current);
    if (next) maps.prefetch(review.item(next).box);
    say(`${item.id}, ${item.status}`);
  }

  #click(map, event) {
    const { review, outlines, editing } = this.#parts;
    if (editing.mode) return;
    const id = outlines.at(map, event.pixel);
    if (!id) return;
    if (event.originalEvent.shiftKey) review.toggle(id);
    else {
      review.clearSelection();
      review.go(id);
    }
  }

  // -- keys

  #key(event) {
    const { editing } = this.#parts;
    if (document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches("input:not([type=range]), select, textarea");
    if (isTyping) {
      if (["Escape", "Enter"].includes(event.key)) event.target.blur();
      return;
    }
    if (editing.key(event.key)) return event.preventDefault();
    if (event.defaultPrevented) return;
    const isSliding = event.target.matches("input[type=range]") && event.key in PANS;
    if (isSliding) return;
    const isPressing = event.target.matches("button, summary") && ["Enter", " "].includes(event.key);
    if (isPressing) return;
    const command = commandOf(event);
    if (!command || (event.repeat && command !== "pan")) return;
    event.preventDefault();
    this.#do(command, event);
  }

  #commentKey(event) {
    if (!["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Escape") find("comment").value = this.#commentOf(this.#commented);
    find("comment").blur();
  }

  #commentOf(id) {
    return this.#parts.review.items.get(id)?.comment ?? "";
  }

  /** What was typed is saved however the field is left, for the item that it was typed for. */
  #saveComment() {
    const id = this.#commented;
    const comment = find("comment").value.trim();
    this.#commented = null;
    if (id && comment !== this.#commentOf(id)) this.#try(this.#parts.review.decide({ comment }, [id]));
  }

  #do(name, event) {
    const { review, maps, outlines, editing } = this.#parts;
    const commands = {
      next: () => review.step(1),
      previous: () => review.step(-1),
      unreviewed: () => review.go(review.unreviewedAfter(review.current) ?? review.current),
      missed: () => this.open(review.queue === "missed" ? "found" : "missed"),
      queue: () => this.open(QUEUES[(QUEUES.indexOf(review.queue) + 1) % QUEUES.length]),
      undo: () => this.#try(review.travel("undo")),
      redo: () => this.#try(review.travel("redo")),
      comment: () => find("comment").focus(),
      zoomitem: () => this.#look(),
      zoomall: () => maps.whole(),
      zoomin: () => maps.zoom(1),
      zoomout: () => maps.zoom(-1),
      pan: () => maps.pan(...PANS[event.key]),
      blink: () => maps.blink(),
      autoblink: () => maps.toggleAutoBlink(),
      peek: () => this.#peek(true),
      swipe: () => maps.set("swipe"),
      side: () => maps.set("side"),
      outlines: () => outlines.hide(!outlines.hidden),
      probability: () => maps.toggleProbability(),
      picture: () => {
        find("picture").hidden = !find("picture").hidden;
      },
      edit: () => this.#edit(),
      split: () => this.#split(),
      merge: () => this.#merge(),
      draw: () => editing.draw((geometry) => this.#draw(geometry)),
      finish: () => editing.finish(),
      cancel: () => (editing.mode ? editing.stop() : review.clearSelection()),
      help: () => find("help").showModal(),
    };
    if (name in STATUS) this.#decide(STATUS[name]);
    else if (name in commands) commands[name]();
    else this.#kind(name);
    this.#press();
  }

  /** While held: the other date where one date is shown, else the image without outlines. */
  #peek(isHeld) {
    const { maps, outlines } = this.#parts;
    if (isHeld === this.#peeking) return;
    this.#peeking = isHeld;
    if (maps.mode === "blink") maps.blink();
    else outlines.hide(!outlines.hidden);
    this.#press();
  }

  // -- decisions and corrections

  #decide(status) {
    const { review } = this.#parts;
    const ids = review.chosen;
    if (!ids.length) return;
    if (status === "accepted" && this.#isOpen(ids)) return;
    this.#try(review.decide({ status }, ids));
    review.clearSelection();
    const next = review.unreviewedAfter(review.current);
    if (next) review.go(next);
    else this.#finished();
    const done = ids.length > 1 ? `${ids.length} items` : ids[0];
    say(next ? `${done} ${status}, now ${next}` : `${done} ${status}, none left in this queue`);
  }

  /** Whether a tile among these is not complete; goes to the first footprint that it lacks. */
  #isOpen(ids) {
    const { review } = this.#parts;
    const tile = ids.length === 1 && review.item(ids[0]).source === "tile" ? ids[0] : null;
    const open = tile ? review.openIn(tile) : [];
    if (!open.length) return false;
    review.go(open[0]);
    const many = open.length === 1 ? "One footprint" : `${open.length} footprints`;
    this.#hint(`${many} in ${tile} must be decided first: accept, reject or unsure.`);
    return true;
  }

  #finished() {
    const { review } = this.#parts;
    const parts = review.openParts ? " Parts that you made are still open: see Drawn." : "";
    const then = THEN[review.queue] ?? "";
    this.#hint(`All of this queue is reviewed.${parts || then}`);
  }

  /** Words over the image until another item is current. */
  #hint(words) {
    find("mode-hint").firstElementChild.textContent = words;
    find("mode-hint").hidden = false;
    this.#parts.review.addEventListener("current", () => {
      find("mode-hint").hidden = !this.#parts.editing.mode;
    }, { once: true });
  }

  #kind(kind) {
    const { review } = this.#parts;
    if (!review.current) return;
    const isSame = review.item(review.current).kind === kind;
    this.#try(review.decide({ kind: isSame ? "" : kind }));
  }

  #edit() {
    const { review, editing } = this.#parts;
    if (editing.mode === "edit") return editing.stop();
    const id = review.current;
    if (!id || isTile(review.item(id))) return;
    editing.edit(id, async (geometry) => {
      tell("action", null);
      try {
        await review.reshape(id, geometry);
      } catch (error) {
        tell("action", `Not done: ${wordsOf(error)}`);
        throw error;
      }
    });
  }

  #split() {
    const { review, editing } = this.#parts;
    const id = review.current;
    if (id && !isTile(review.item(id))) editing.split((line) => this.#try(review.split(id, line)));
  }

  async #draw(geometry) {
    const id = await this.#try(this.#parts.review.draw(geometry));
    if (id) this.#hint(`${id} is drawn and accepted. Click it to give it a kind or a comment.`);
  }

  #merge() {
    const { review } = this.#parts;
    if (review.selected.size > 1) this.#try(review.merge([...review.selected]));
    else tell("action", "Select two or more to merge: shift-click them.");
  }

  /** Shows on the buttons what is on. */
  #press() {
    const { maps, outlines, editing } = this.#parts;
    const on = {
      side: maps.mode === "side", swipe: maps.mode === "swipe", blink: maps.mode === "blink",
      autoblink: maps.blinksItself, outlines: !outlines.hidden, probability: maps.probability,
      picture: !find("picture").hidden, edit: editing.mode === "edit", split: editing.mode === "split",
      draw: editing.mode === "draw",
    };
    for (const [name, isOn] of Object.entries(on)) {
      for (const button of document.querySelectorAll(`[data-command="${name}"]`)) {
        button.setAttribute("aria-pressed", isOn);
      }
    }
  }
}

start();
