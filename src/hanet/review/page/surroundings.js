// What stands around the image: dates, scale bar, north arrow, coordinates under the pointer.

import { get } from "./server.js";

const LONGEST_PX = 130;
const REST_MS = 90;
const find = (id) => document.getElementById(id);

/** Keeps all of it up to date with the maps. */
export function prepareSurroundings(maps, { grid, dates }) {
  showDates(maps, dates);
  maps.addEventListener("mode", () => showDates(maps, dates));
  maps.addEventListener("moved", () => showScale(maps));
  showScale(maps);
  showNorth(grid);
  let timer = null;
  maps.addEventListener("pointer", ({ detail }) => {
    clearTimeout(timer);
    if (!detail) return;
    const [column, row] = maps.toPixel(detail);
    const isInside = column >= 0 && row >= 0 && column < grid.width && row < grid.height;
    if (!isInside) return void (find("coordinates").textContent = "outside of the image");
    showPlace(column, row, grid);
    timer = setTimeout(() => showLongitude(column, row, grid), REST_MS);
  });
}

/** Parts of a label; what is in the span is left out where there is no room. */
function dateWords(which, { name, date }) {
  const rest = document.createElement("span");
  rest.textContent = date ? ` · ${name}` : ` · date not known · ${name}`;
  return [date ? `${which} · ${date}` : which, rest];
}

function showDates(maps, { before, after }) {
  const isBefore = maps.mode !== "blink" || maps.date === "before";
  const left = isBefore ? dateWords("Before", before) : dateWords("After", after);
  find("left-date").replaceChildren(...left);
  find("left-end-date").replaceChildren(...dateWords("After", after));
  find("left-end-date").hidden = maps.mode !== "swipe";
  find("right-date").replaceChildren(...dateWords("After", after));
}

/** The longest of 1, 2 and 5 times a power of ten that is not longer than `longest`. */
function roundLength(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  return [5, 2, 1].find((step) => step * power <= longest) * power;
}

function showScale(maps) {
  const perPixel = maps.view.getResolution() * (maps.metresPerPixel ?? 1);
  const length = roundLength(LONGEST_PX * perPixel);
  const isLong = maps.metresPerPixel && length >= 1000;
  const unit = maps.metresPerPixel ? (isLong ? "km" : "m") : "px";
  find("scale").style.width = `${length / perPixel}px`;
  find("scale").firstElementChild.textContent = `${isLong ? length / 1000 : length} ${unit}`;
}

function showNorth({ crs, transform: [a, b, , d, e], stretch: [sx, sy] }) {
  if (!crs) return;
  const determinant = a * e - b * d;
  const right = (-b / determinant) * sx; // where (0, 1) of the CRS points to on the screen
  const down = (a / determinant) * sy;
  find("north").hidden = false;
  const degrees = (Math.atan2(right, -down) * 180) / Math.PI;
  find("north").style.transform = `rotate(${degrees}deg)`;
  find("north").ariaLabel = `north is ${Math.round(degrees)} degrees clockwise of up`;
}

function showPlace(column, row, { crs, transform: [a, b, c, d, e, f] }) {
  const words = [`column ${Math.floor(column)}, row ${Math.floor(row)}`];
  if (crs) {
    const digits = Math.abs(a) + Math.abs(b) < 0.001 ? 6 : 1;
    const x = a * column + b * row + c;
    const y = d * column + e * row + f;
    words.push(`${x.toFixed(digits)}, ${y.toFixed(digits)} (${crs})`);
  }
  find("coordinates").textContent = words.join(" · ");
}

async function showLongitude(column, row, grid) {
  if (!grid.crs) return;
  try {
    const { lon, lat } = await get("/api/where", { x: column, y: row });
    if (lon === null) return;
    const north = `${Math.abs(lat).toFixed(6)}° ${lat < 0 ? "S" : "N"}`;
    const east = `${Math.abs(lon).toFixed(6)}° ${lon < 0 ? "W" : "E"}`;
    find("coordinates").append(` · ${north}, ${east}`);
  } catch {
    // the banner says it if the server is away; coordinates come with the next move
  }
}
