// The random sample, and what it says about all: rates and counts with their intervals.

import { get } from "./server.js";

const find = (id) => document.getElementById(id);

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
  const isShown = () => find("sampling").open && review.progress.sample.total > 0;
  const refresh = async () => {
    if (!isShown()) return;
    try {
      show(await get("/api/estimates"));
    } catch (error) {
      find("estimates").textContent = `${error.message}. ${error.hint ?? ""}`;
    }
  };
  find("sampling").addEventListener("toggle", refresh);
  review.addEventListener("progress", refresh);
}

function show(estimates) {
  find("estimates").textContent = JSON.stringify(estimates);
}
