// What was decided and is not yet on the server's disk: one after the other, never lost in silence.

import { Failed, Refused, Unreachable, get, post } from "./server.js";

const RETRY_MS = 2000;
const REPEATABLE = new Set(["decide", "reshape"]); // twice gives the same as once

/**
 * Sends writes in the order in which they were made.
 *
 * Events: `change` (something was queued, saved or failed). A write that the server refuses rejects
 * its promise; one that does not get through stays in `pending` and is sent again until it does.
 * Decisions in `pending` outlive a reload of the page.
 */
export class Saving extends EventTarget {
  /** Writes without an answer, oldest first. */
  pending = [];
  /** Why the oldest one is still here, in words; null while all goes well. */
  trouble = null;
  savedAt = null;
  /** What is decided but not saved, by id of the item. */
  unsaved = new Map();
  #sending = false;
  #store;
  #last;

  /** `store`: name under which decisions outlive a reload; `last()`: newest record known here. */
  constructor(store, last) {
    super();
    this.#store = store;
    this.#last = last;
  }

  /** The answer of the server once the write is on its disk. */
  save(route, body) {
    return new Promise((resolve, reject) => {
      this.pending.push({ route, body, resolve, reject });
      this.#changed();
      this.#send();
    });
  }

  /** Decisions that were not saved when the page was left, to be saved now. */
  takeLeftOver() {
    const left = JSON.parse(sessionStorage.getItem(this.#store) ?? "[]");
    sessionStorage.removeItem(this.#store);
    return left;
  }

  #changed() {
    const writes = this.pending.filter(({ route }) => route === "decide");
    const decisions = writes.map(({ body }) => body);
    this.unsaved.clear();
    for (const { ids, set } of decisions) {
      for (const id of ids) this.unsaved.set(id, { ...this.unsaved.get(id), ...set });
    }
    if (decisions.length) sessionStorage.setItem(this.#store, JSON.stringify(decisions));
    else sessionStorage.removeItem(this.#store);
    this.dispatchEvent(new Event("change"));
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    while (this.pending.length) {
      const write = this.pending[0];
      try {
        const answer = await post(`/api/${write.route}`, write.body);
        this.#done(() => write.resolve(answer));
        this.savedAt = new Date();
      } catch (error) {
        if (error instanceof Refused && !error.isForeign) this.#done(() => write.reject(error));
        else await this.#wait(write, error);
      }
      this.#changed();
    }
    this.#sending = false;
  }

  #done(tell) {
    this.pending.shift();
    this.trouble = null;
    tell();
  }

  async #wait(write, error) {
    this.trouble = error;
    this.#changed();
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    if (!(error instanceof Unreachable) || REPEATABLE.has(write.route)) return;
    // Whether it was done is not known, and doing it twice would be wrong: look first.
    let review;
    try {
      review = await get("/api/review");
    } catch {
      return this.#wait(write, error);
    }
    if (review.last > this.#last()) {
      const words = `The connection broke while “${write.route}” was sent, and the journal has new entries`;
      this.#done(() => write.reject(new Failed(words, "Check whether it was done")));
    }
  }
}
