// What is reviewed: items, queues, which one is current, and what has been decided. No page here.

import { get } from "./server.js";

/** Queues in the order of their tabs. */
export const QUEUES = ["found", "missed", "blank", "suggested", "sample", "drawn"];
const POLL_MS = 2000;
const PACE_OF = 20; // decisions that the seconds per decision are taken from
const PAUSE_S = 60; // a longer time between two decisions was a pause

const isDrawn = ({ source }) => source === "drawn";
/** Whether an item is a square of ground, which has no outline to correct. */
export const isTile = ({ source }) => source === "blank" || source === "tile";
const queueOf = ({ source }) => (source === "tile" ? "suggested" : source);
const reaches = ([x0, y0, x1, y1], [a0, b0, a1, b1]) => x0 < a1 && a0 < x1 && y0 < b1 && b0 < y1;

/** The middle of numbers; NaN of none. */
function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * The state of the review as this page knows it.
 *
 * Events: `items` (what a list shows changed), `current` (another item, or none), `shapes` (outlines
 * changed; `detail` is what the server answered), `progress`, `remade` (all items are other ones).
 */
export class Review extends EventTarget {
  items = new Map();
  queue = "found";
  order = "doubt";
  seed = 1;
  filter = { status: "", smallest: 0, largest: Infinity, least: 0, most: 1 };
  current = null;
  selected = new Set();
  #orders = new Map(QUEUES.map((queue) => [queue, []]));
  #visible = null;
  #times = [];
  #saving;

  /** `facts`: what `/api/review` answered; `saving`: sends what is decided. */
  constructor(facts, saving) {
    super();
    this.facts = facts;
    this.last = facts.last;
    this.progress = facts.progress;
    this.#saving = saving;
    saving.addEventListener("change", () => this.#tell("items"));
  }

  #tell(name, detail) {
    if (name === "items") this.#visible = null;
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // -- reading

  /** An item with what is decided but not yet saved; undefined if there is none. */
  item(id) {
    const item = this.items.get(id);
    const unsaved = this.#saving.unsaved.get(id);
    return item && unsaved ? { ...item, ...unsaved } : item;
  }

  /** Ids of the queue in order, those that the filters let through. */
  get visible() {
    this.#visible ??= this.#ids().filter((id) => id === this.current || this.#passes(this.item(id)));
    return this.#visible;
  }

  /** Drawn items that nobody has decided about: parts of what was split or merged. */
  get openParts() {
    return this.#ids("drawn").filter((id) => this.item(id).status === "unreviewed").length;
  }

  /** How many items the queue has, whatever the filters. */
  get size() {
    return this.#ids().length;
  }

  #ids(queue = this.queue) {
    return this.#orders.get(queue).filter((id) => this.items.has(id));
  }

  #passes({ status, area_m2, probability }, withStatus = true) {
    const { filter } = this;
    if (withStatus && filter.status && status !== filter.status) return false;
    if (area_m2 !== null && (area_m2 < filter.smallest || area_m2 > filter.largest)) return false;
    return probability === null || (probability >= filter.least && probability <= filter.most);
  }

  /** Seconds between two decisions, the middle one of the newest; NaN before the third. */
  get pace() {
    const steps = this.#times.slice(1).map((time, at) => (time - this.#times[at]) / 1000);
    const worked = steps.filter((seconds) => seconds < PAUSE_S).slice(-PACE_OF);
    return worked.length < 2 ? NaN : median(worked);
  }

  // -- loading

  /** Asks for a queue's items, in the order that is set. */
  async load(queue) {
    // a sample is looked at in the order of its draw: who stops early has seen something of all
    const order = queue === "sample" ? "random" : this.order;
    const { items } = await get("/api/items", { queue, order, seed: this.seed });
    for (const item of items) this.items.set(item.id, item);
    this.#orders.set(queue, items.map(({ id }) => id));
    this.#tell("items");
  }

  /** Asks for everything again. */
  async reload() {
    const [facts] = await Promise.all([get("/api/review"), this.#loadAll()]);
    this.facts = facts;
    this.last = Math.max(this.last, facts.last);
    this.#progressed(facts);
    this.#tell("remade");
    if (!this.items.has(this.current)) this.start();
  }

  async #loadAll() {
    const before = [...this.items.keys()];
    const answers = await Promise.all(QUEUES.map((queue) => this.#read(queue)));
    const there = new Set(answers.flat());
    for (const id of before) if (!there.has(id)) this.items.delete(id);
  }

  async #read(queue) {
    await this.load(queue);
    return this.#orders.get(queue);
  }

  /** Every two seconds what other tabs have decided. */
  async poll(told) {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      try {
        const answer = await get("/api/since", { n: this.last });
        told(null);
        const news = answer.last > this.last;
        this.last = Math.max(this.last, answer.last);
        if (news) await this.apply(answer);
      } catch (error) {
        told(error);
      }
    }
  }

  /** Takes in what a write, or another tab, changed; loads all again where that is no list. */
  async apply(answer) {
    if (answer.whole) return this.reload();
    if (answer.last === this.last + 1) this.last = answer.last; // else the poll brings what is between
    for (const item of answer.changed) this.#take(item, answer.removed);
    for (const id of answer.removed) {
      this.items.delete(id);
      this.selected.delete(id);
    }
    this.#progressed(answer);
    this.#tell("items");
    this.#tell("shapes", answer);
    if (this.current && !this.items.has(this.current)) this.start();
    return undefined;
  }

  #take({ geometry: _, ...item }, replaced) {
    const isNew = ![...this.#orders.values()].some((ids) => ids.includes(item.id));
    this.items.set(item.id, item);
    if (!isNew) return;
    this.#orders.get(queueOf(item)).push(item.id);
    for (const [queue, ids] of this.#orders) {
      // parts come where the whole was, so that they are decided next
      const at = ids.findLastIndex((id) => replaced.includes(id));
      if (at >= 0 && queue !== queueOf(item)) ids.splice(at + 1, 0, item.id);
    }
  }

  #progressed({ progress, can_undo, can_redo }) {
    this.progress = progress;
    Object.assign(this.facts, { can_undo, can_redo });
    this.#tell("progress");
  }

  // -- moving

  /** Makes an item current, in its own queue if it is not in this one. */
  go(id) {
    if (id !== null && !this.#orders.get(this.queue).includes(id) && !this.#joinTile(id)) {
      this.queue = queueOf(this.items.get(id));
    }
    this.current = id;
    this.#tell("items");
    this.#tell("current");
  }

  /** The suggested tile that is being worked on: the current one, or the one that the current item
   *  stands before; null in other queues. */
  get tile() {
    if (this.queue !== "suggested" || !this.current) return null;
    const ids = this.#ids();
    const isTile = (id) => this.items.get(id).source === "tile";
    return ids.slice(ids.indexOf(this.current)).find(isTile) ?? null;
  }

  /** Footprints that stand before a tile and that nobody has decided about. */
  openIn(tile) {
    const ids = this.#ids("suggested").slice(0, this.#ids("suggested").indexOf(tile));
    const first = ids.findLastIndex((id) => this.items.get(id).source === "tile") + 1;
    const isOpen = ({ source, status }) => source !== "missed" && status === "unreviewed";
    return ids.slice(first).filter((id) => isOpen(this.item(id)));
  }

  /** Takes what is clicked in the tile at hand into its queue, before the tile; true if it did. */
  #joinTile(id) {
    const { tile } = this;
    const item = this.items.get(id);
    if (!tile || item.source === "blank" || !reaches(item.box, this.items.get(tile).box)) return false;
    const ids = this.#orders.get("suggested");
    ids.splice(ids.indexOf(tile), 0, id);
    return true;
  }

  /** The first unreviewed one of the queue, or its first one. */
  start(queue = this.queue) {
    this.queue = queue;
    this.current = null;
    this.#visible = null;
    this.go(this.unreviewedAfter(null) ?? this.visible[0] ?? null);
  }

  /** The next (1) or previous (-1) one that the filters let through. */
  step(by) {
    const { visible } = this;
    if (!visible.length) return;
    const at = visible.indexOf(this.current);
    this.go(visible[(at + by + visible.length) % visible.length]);
  }

  /** The next unreviewed one behind an item of the queue, from the start again after the end. */
  unreviewedAfter(id) {
    const ids = this.#ids();
    const at = ids.indexOf(id) + 1;
    const isNext = (other) => {
      const item = this.item(other);
      return other !== id && item.status === "unreviewed" && this.#passes(item, false);
    };
    return [...ids.slice(at), ...ids.slice(0, at)].find(isNext) ?? null;
  }

  /** Filters of the list, all or some. */
  setFilter(filter) {
    Object.assign(this.filter, filter);
    this.#tell("items");
  }

  // -- writing; each gives the server's answer, and throws what the server refused

  async #write(route, body) {
    const answer = await this.#saving.save(route, body);
    await this.apply(answer);
    return answer;
  }

  /** Sets status, kind or comment of the selected ones, or of the current one. */
  decide(set, ids = this.chosen) {
    const written = this.#write("decide", { ids, set });
    if (set.status) this.#times.push(Date.now());
    return written;
  }

  /** What a decision is about: the selected ones, or the current one. */
  get chosen() {
    return this.selected.size ? [...this.selected] : this.current ? [this.current] : [];
  }

  /** Undoes or redoes; what it changed becomes current. */
  async travel(route) {
    const answer = await this.#write(route, {});
    if (answer.changed.length) this.go(answer.changed[0].id);
  }

  /** The id of a building that the detection missed; geometry in pixel coordinates. */
  async draw(geometry) {
    const { changed } = await this.#write("draw", { geometry, set: { status: "accepted" } });
    return changed[0].id;
  }

  /** Gives an item another outline, in pixel coordinates. */
  reshape(id, geometry) {
    return this.#write("reshape", { id, geometry });
  }

  /** Cuts an item in two; its first part becomes current. */
  async split(id, line) {
    const { changed } = await this.#write("split", { id, line });
    this.go(changed.find(isDrawn).id);
  }

  /** Joins items; what they became is current. */
  async merge(ids) {
    const { changed } = await this.#write("merge", { ids });
    this.selected.clear();
    this.go(changed.find(isDrawn).id);
  }

  /** Draws a random sample and opens its queue. */
  async sample(count, seed) {
    await this.#write("sample", { count, seed });
    await this.load("sample");
    this.start("sample");
  }

  /** Adds an item to the selection or takes it out. */
  toggle(id) {
    if (!this.selected.delete(id)) this.selected.add(id);
    if (this.selected.size === 1 && this.current && !this.selected.has(this.current)) {
      this.selected.add(this.current); // a first shift-click means: this one too
    }
    this.#tell("items");
  }

  /** Selects nothing. */
  clearSelection() {
    this.selected.clear();
    this.#tell("items");
  }
}
