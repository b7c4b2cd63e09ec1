// The random sample, and what it says about all: rates and counts with their intervals.

import { get } from "./server.js";

const find = (id) => document.getElementById(id);

/** What is estimated: its key, its words, and whether it is a share. */
const ROWS = [
  ["precision", "Precision", true],
  ["recall", "Recall", true],
  ["buildings", "Changed buildings", false],
  ["area", "Changed area", false],
];

/** Prepares dialog and panel; `tell(error)` is called with what the server refused. */
export function prepareSampling(review, { tell }) {
  const dialog = find("sample-dialog");
  find("sample-button").addEventListener("click", () => dialog.showModal());
  find("sample-cancel").addEventListener("click", () => dialog.close());
  find("sample-form").addEventListener("submit", async () => {
    try {
      await review.sample(Number(find("sample-count").value), Number(find("sample-seed").value));
    } catch (error) {
      tell(error);
    }
  });
  const refresh = async () => {
    if (!find("sampling").open) return;
    if (review.progress.sample.total === 0) return find("estimates").replaceChildren();
    try {
      find("estimates").replaceChildren(...told(await get("/api/estimates")));
    } catch (error) {
      find("estimates").textContent = `${error.message}. ${error.hint ?? ""}`;
    }
  };
  find("sampling").addEventListener("toggle", refresh);
  review.addEventListener("progress", refresh);
}

function told(estimates) {
  if (!estimates) return []; // of a sample that was drawn before the footprints were remade
  const rows = ROWS.map(([key, words, isShare]) => {
    const unit = key === "area" ? `, ${{ m2: "m²" }[estimates.unit] ?? estimates.unit}` : "";
    return row(words + unit, estimates[key], (value) => numberWords(value, isShare));
  });
  return [table(rows), list("", estimates.notes), list("This assumes:", estimates.assumptions)];
}

function numberWords(value, isShare) {
  if (isShare) return `${(100 * value).toFixed(1)} %`;
  return Math.round(value).toLocaleString("en");
}

function row(words, estimate, written) {
  if (!estimate) return [words, "–", "not known yet"];
  const { value, low, high, if_unsure: unsure } = estimate;
  const range = `${written(low)} to ${written(high)}`;
  const open = unsure ? ` (${written(unsure[0])} to ${written(unsure[1])} by the unsure ones)` : "";
  return [words, written(value), range + open];
}

function table(rows) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const words of ["", "Estimate", "95 % interval"]) {
    const cell = document.createElement("th");
    cell.textContent = words;
    head.append(cell);
  }
  const body = made.createTBody();
  for (const cells of rows) {
    const line = body.insertRow();
    for (const text of cells) line.insertCell().textContent = text;
  }
  return made;
}

function list(title, lines) {
  const part = document.createElement("div");
  if (!lines.length) return part;
  const heading = document.createElement("p");
  heading.className = "soft";
  heading.textContent = title;
  const items = document.createElement("ul");
  items.append(...lines.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  part.append(heading, items);
  return part;
}
