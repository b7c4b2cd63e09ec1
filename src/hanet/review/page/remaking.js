// Other footprints from the kept probability: sliders, progress, and decisions that now disagree.

import { areaUnit } from "./panel.js";
import { Failed, get, post } from "./server.js";

const LOOK_MS = 300;
const find = (id) => document.getElementById(id);

/** Prepares the sliders; `tell(error)` is called with what went wrong. */
export function prepareRemaking(review, { tell, go }) {
  const unit = areaUnit(review.facts);
  const show = () => {
    find("threshold-value").textContent = Number(find("threshold").value).toFixed(2);
    find("smallest-value").textContent = `${shortest(find("smallest").value)} ${unit}`;
  };
  const set = () => {
    const { threshold } = review.facts;
    find("threshold").min = Math.min(0.2, threshold);
    find("threshold").max = Math.max(0.95, threshold);
    find("threshold").value = threshold;
    const smallest = review.facts.min_area_m2 ?? 0;
    find("smallest").max = Math.max(200, 4 * smallest);
    find("smallest").value = smallest;
    show();
  };
  for (const id of ["threshold", "smallest"]) find(id).addEventListener("input", show);
  find("remake").addEventListener("click", async () => {
    find("remake").disabled = true;
    try {
      await remake(review, go);
    } catch (error) {
      find("remake-told").textContent = `${error.message}. ${error.hint ?? ""}`;
      tell(error);
    } finally {
      find("remake").disabled = false;
      find("remake-progress").hidden = true;
    }
  });
  review.addEventListener("remade", set);
  set();
  if (review.facts.conflicts.length) showConflicts(review, go);
}

async function remake(review, go) {
  const progress = find("remake-progress");
  find("conflicts").replaceChildren();
  find("remake-told").textContent = "";
  progress.removeAttribute("value");
  progress.hidden = false;
  await post("/api/remake", wanted(review.facts));
  const work = await finished((now) => {
    progress.value = now.share;
    find("remake-told").textContent = now.stage;
  });
  if (work.error) throw new Failed(work.error, work.hint);
  await review.reload();
  showConflicts(review, go);
  find("remake-told").scrollIntoView({ block: "nearest" });
}

const shortest = (text) => String(Number(Number(text).toFixed(1)));

/** What the sliders say, rounded as shown; what was not moved stays as it is to the last digit. */
function wanted({ threshold, min_area_m2: smallest }) {
  const moved = (id, digits, old) => {
    const value = Number(find(id).value);
    return Math.abs(value - old) < 1e-9 ? old : Number(value.toFixed(digits));
  };
  return {
    threshold: moved("threshold", 2, threshold),
    min_area_m2: moved("smallest", 0, smallest ?? 0),
  };
}

/** What the last remake could not simply take over, also of an earlier day. */
function showConflicts(review, go) {
  const { conflicts } = review.facts;
  const { total } = review.progress.found;
  const many = conflicts.length === 1 ? "One decision does" : `${conflicts.length} decisions do`;
  find("remake-told").textContent = conflicts.length
    ? `${total} footprints. ${many} not fit the new ones; kept as decided:`
    : `${total} footprints. All decisions fit them.`;
  find("conflicts").replaceChildren(...conflicts.map((conflict) => conflictRow(conflict, review, go)));
}

async function finished(show) {
  for (;;) {
    const work = await get("/api/work");
    show(work);
    if (work.done) return work;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function conflictRow({ kept, new: remade, why }, review, go) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.textContent = kept;
  button.disabled = !review.items.has(kept);
  button.addEventListener("click", () => go(kept));
  row.append(button, ` ${why}`, remade.length ? ` (${remade.join(", ")})` : "");
  return row;
}
