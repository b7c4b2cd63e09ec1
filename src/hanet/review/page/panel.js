// The panel beside the maps: queues, the current item, the list, progress, and what is saved.

import { QUEUES, isTile } from "./review.js";
import { get } from "./server.js";

const ROW_PX = 40;
const TITLES = { found: "Found", missed: "Missed?", blank: "Blank", suggested: "Suggested", sample: "Sample", drawn: "Drawn" };
const QUESTIONS = {
  found: "Is this a change of a building?",
  missed: "Below the threshold: is it a change after all?",
  blank: "Nothing was found in this tile. Accept if a change was missed in it, reject if there is none.",
  suggested: "In a suggested tile: is this a change of a building?",
  sample: "Drawn at random for the estimates. Decide every one of them.",
  drawn: "Drawn by hand: what the detection did not find, and the parts of corrections.",
};
const TILE_QUESTION = "Is everything that changed in this tile outlined? Draw what is missing (W), "
  + "then accept. Reject or unsure: its ground stays unknown.";
const EMPTY = {
  suggested: "No tiles are suggested yet: end this command, and run “hanet suggest”.",
  sample: "No sample yet: draw one below under “Sample and estimates”.",
  drawn: "Nothing is drawn yet. Draw a missing building with W.",
};

const find = (id) => document.getElementById(id);

/** The unit of areas: of the ground where it is known what a pixel measures, else pixels. */
export const areaUnit = ({ grid }) => (grid.units === "m2" ? "m²" : "px");

/** An area in words. */
export function areaWords(area, unit) {
  if (area === null || area === undefined) return "";
  const digits = area < 10 ? 1 : 0;
  const number = area.toLocaleString("en", { maximumFractionDigits: digits });
  return `${number} ${unit}`;
}

/** Longer than somebody stays who only passes by. */
const ASK_AFTER_MS = 150;

/** An item with its outline, which a correction changes. */
const keyOf = (item) => `${item.id} ${item.area_m2}`;

/** Shows a review; `go(id)` and `open(queue)` are called for clicks. */
export class Panel {
  #review;
  #saving;
  #unit;
  #tabs = new Map();
  #scheduled = false;
  #asking;
  /** What the weights say of items, by `keyOf`. */
  #kinds = new Map();

  constructor(review, saving, { open }) {
    this.#review = review;
    this.#saving = saving;
    this.#unit = areaUnit(review.facts);
    find("filter-unit").textContent = `, ${this.#unit}`;
    for (const queue of QUEUES) find("queues").append(this.#tab(queue, open));
    find("list").addEventListener("scroll", () => this.#rows());
    find("list").addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by) return;
      review.step(by);
      event.preventDefault(); // else the list scrolls, and the view moves
    });
    find("list").addEventListener("click", (event) => {
      const row = event.target.closest("[data-id]");
      if (!row) return;
      if (event.shiftKey) review.toggle(row.dataset.id);
      else review.go(row.dataset.id);
    });
    for (const name of ["items", "progress", "remade"]) {
      review.addEventListener(name, () => this.#schedule());
    }
    review.addEventListener("current", () => {
      this.#reveal();
      find("comment").value = this.#now?.comment ?? "";
    });
    saving.addEventListener("change", () => this.#saved());
    new ResizeObserver(() => this.#rows()).observe(find("list"));
    this.#filters();
    this.show();
    this.#saved();
  }

  get #now() {
    return this.#review.current && this.#review.item(this.#review.current);
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.show();
    });
  }

  /** Draws everything anew. */
  show() {
    this.#progress();
    this.#card();
    this.#rows();
  }

  // -- queues and progress

  #tab(queue, open) {
    const button = document.createElement("button");
    button.setAttribute("role", "tab");
    button.dataset.queue = queue;
    button.append(TITLES[queue], document.createElement("span"));
    button.addEventListener("click", () => open(queue));
    this.#tabs.set(queue, button);
    return button;
  }

  #progress() {
    const { progress, queue, facts } = this.#review;
    for (const [name, button] of this.#tabs) {
      const count = progress[name];
      const open = name === "drawn" ? this.#review.openParts : 0;
      const words = open ? `${count - open}/${count}` : count.total === undefined ? `${count}`
        : `${count.reviewed}/${count.total}`;
      button.lastChild.textContent = words;
      button.setAttribute("aria-selected", name === queue);
    }
    const counts = progress[queue];
    const isCounted = typeof counts !== "number";
    const { total, reviewed, accepted, rejected, unsure } = isCounted ? counts : progress.found;
    find("reviewed").textContent = `${reviewed} of ${total}`;
    find("counts").textContent =
      `${isCounted ? TITLES[queue].toLowerCase().replace("?", "") : "found"}: ` +
      `${accepted} accepted, ${rejected} rejected, ${unsure} unsure`;
    const bar = find("bar");
    for (const [at, share] of [accepted, rejected, unsure].entries()) {
      bar.style.setProperty(`--part-${at}`, `${total ? (100 * share) / total : 0}%`);
    }
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", reviewed);
    const { pace } = this.#review;
    find("pace").textContent = pace ? `· ${pace.toFixed(1)} s each` : "";
    for (const name of ["undo", "redo"]) {
      document.querySelector(`[data-command="${name}"]`).disabled = !facts[`can_${name}`];
    }
    document.title = `${reviewed}/${total} · ${facts.title} · hanet review`;
  }

  // -- the current item

  #card() {
    const { queue, selected, visible } = this.#review;
    const now = this.#now;
    const question = now?.source === "tile" ? TILE_QUESTION : QUESTIONS[queue];
    find("question").textContent = !visible.length && EMPTY[queue] ? EMPTY[queue] : question;
    find("reason").textContent = now?.reason ? `Suggested: ${now.reason}.` : "";
    find("name").textContent = now?.id ?? "–";
    const said = now && this.#kinds.get(keyOf(now));
    const facts = now
      ? [now.probability === null ? "" : `probability ${now.probability.toFixed(2)}`,
         areaWords(now.area_m2, this.#unit), now.kind || (said && `${said}, say the weights`),
         now.stratum && `stratum ${now.stratum}`]
      : [];
    if (selected.size > 1) facts.push(`${selected.size} selected`);
    find("facts").textContent = facts.filter(Boolean).join(" · ");
    find("status").textContent = now?.status ?? "";
    find("status").dataset.status = now?.status ?? "";
    for (const kind of ["built", "demolished", "rebuilt", "other"]) {
      const button = document.querySelector(`[data-command="${kind}"]`);
      button.setAttribute("aria-pressed", now?.kind === kind);
    }
    for (const status of ["accept", "reject", "unsure"]) {
      const button = document.querySelector(`[data-command="${status}"]`);
      button.setAttribute("aria-pressed", Boolean(now?.status.startsWith(status)));
      button.disabled = !now;
    }
    document.querySelector('[data-command="merge"]').disabled = selected.size < 2;
    for (const correction of ["edit", "split"]) {
      const button = document.querySelector(`[data-command="${correction}"]`);
      button.disabled = !now || isTile(now); // a tile has no outline to correct
    }
    find("order").disabled = queue === "sample" || queue === "suggested";
    if (document.activeElement !== find("comment")) find("comment").value = now?.comment ?? "";
    document.body.dataset.current = now?.id ?? "";
    this.#askKind(now);
  }

  /** Asks for the kind that an item without one gets if it is accepted. */
  #askKind(now) {
    clearTimeout(this.#asking);
    if (!this.#review.facts.tells_kinds || !now || now.kind || isTile(now)) return;
    if (this.#kinds.has(keyOf(now))) return;
    this.#asking = setTimeout(async () => {
      try {
        this.#kinds.set(keyOf(now), (await get("/api/kind", { id: now.id })).kind);
        this.#schedule();
      } catch {
        // it is asked again; that the server is gone is said where decisions are saved
      }
    }, ASK_AFTER_MS);
  }

  // -- the list: only the rows in view are in the page

  #reveal() {
    const at = this.#review.visible.indexOf(this.#review.current);
    const list = find("list");
    const top = at * ROW_PX;
    if (top < list.scrollTop || top + 2 * ROW_PX > list.scrollTop + list.clientHeight) {
      list.scrollTop = top - list.clientHeight / 3;
    }
    this.#rows();
  }

  #rows() {
    const { visible, selected, current } = this.#review;
    const list = find("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - 3);
    const count = Math.ceil(list.clientHeight / ROW_PX) + 6;
    find("rows").style.height = `${visible.length * ROW_PX}px`;
    find("rows").replaceChildren(...visible.slice(first, first + count).map((id, at) => {
      const row = this.#row(this.#review.item(id));
      row.style.top = `${(first + at) * ROW_PX}px`;
      row.setAttribute("aria-selected", id === current);
      row.classList.toggle("selected", selected.has(id));
      row.setAttribute("aria-posinset", first + at + 1);
      row.setAttribute("aria-setsize", visible.length);
      return row;
    }));
    list.setAttribute("aria-activedescendant", current ? `row-${current}` : "");
    const all = this.#review.size;
    find("shown").textContent =
      visible.length === all ? `${all} in this queue` : `${visible.length} of ${all} shown`;
  }

  #row(item) {
    const row = document.createElement("div");
    row.setAttribute("role", "option");
    row.id = `row-${item.id}`;
    row.dataset.id = item.id;
    row.dataset.status = item.status;
    const probability = item.probability === null ? "" : item.probability.toFixed(2);
    const words = [item.id, probability, areaWords(item.area_m2, this.#unit), item.kind];
    const cells = words.map((text) => {
      const cell = document.createElement("span");
      cell.textContent = text;
      return cell;
    });
    const mark = document.createElement("span");
    mark.className = "status";
    mark.dataset.status = item.status;
    mark.textContent = this.#saving.unsaved.get(item.id)?.status ? "unsaved" : item.status;
    row.append(...cells, mark);
    if (item.comment) row.title = item.comment;
    return row;
  }

  // -- filters

  #filters() {
    const number = (id, empty) => (find(id).value === "" ? empty : Number(find(id).value));
    const read = () => this.#review.setFilter({
      status: find("filter-status").value,
      smallest: number("filter-smallest", 0),
      largest: number("filter-largest", Infinity),
      least: number("filter-least", 0),
      most: number("filter-most", 1),
    });
    for (const input of document.querySelectorAll(".filters [id^=filter]")) {
      input.addEventListener("input", read);
    }
    find("filter-status").addEventListener("change", () => find("filter-status").blur());
    find("order").addEventListener("change", async () => {
      this.#review.order = find("order").value;
      find("order").blur(); // so that keys decide again
      await Promise.all(QUEUES.map((queue) => this.#review.load(queue)));
      this.#reveal();
    });
  }

  // -- what is saved

  #saved() {
    const { pending, trouble, savedAt } = this.#saving;
    const told = find("saved");
    told.dataset.state = trouble ? "trouble" : pending.length ? "saving" : "saved";
    const time = savedAt?.toLocaleTimeString("en-GB");
    if (trouble) told.textContent = `${pending.length} not saved`;
    else if (pending.length) told.textContent = `Saving ${pending.length}…`;
    else told.textContent = time ? `Saved ${time}` : "All saved";
    document.body.dataset.unsaved = pending.length;
  }
}
