// The two maps: both dates and the probability in display pixels, and the ways to show them.
//
// A map coordinate is a pixel of the display grid with y negated: pixels there are square on the
// ground, `stretch` times those of the result's grid.

import {
  Map as OpenLayersMap, Projection, TileGrid, TileImage, TileLayer, View, buffer, defaultInteractions,
  getCenter,
} from "./vendor/ol.js";
import { tileAddress } from "./server.js";

const CLOSEST = 1 / 12; // display pixels per screen pixel
const CONTEXT_M = 18; // ground around an item, at least
const CONTEXT_PX = 30; // the same where metres are not known
const AUTO_BLINK_MS = 700;

/** Both maps, their layers and the mode. Events: `mode`, `moved`, `pointer` (`detail`: coordinate). */
export class Maps extends EventTarget {
  mode = "side";
  /** The date that blinking shows. */
  date = "after";
  probability = false;
  #blinking = null;
  #pane = document.getElementById("maps");
  #swipe = document.getElementById("swipe");

  constructor({ display, grid }) {
    super();
    this.stretch = grid.stretch;
    this.metresPerPixel = grid.metres_per_px;
    const { width, height, tile, levels } = display;
    this.extent = [0, -height, width, 0];
    this.projection = new Projection({ code: "display-pixels", units: "pixels", extent: this.extent });
    this.#grid = new TileGrid({
      extent: this.extent,
      origin: [0, 0],
      tileSize: tile,
      resolutions: Array.from({ length: levels }, (_, z) => 2 ** (levels - 1 - z)),
    });
    this.view = new View({
      projection: this.projection,
      center: getCenter(this.extent),
      resolution: Math.max(width, height) / 600,
      minResolution: CLOSEST,
      maxResolution: Math.max(2, Math.max(width, height) / 150),
      extent: buffer(this.extent, Math.max(width, height) / 2),
      constrainOnlyCenter: true,
      enableRotation: false,
    });
    this.left = this.#map("left", ["before", "after"]);
    this.right = this.#map("right", ["after"]);
    for (const what of ["change:resolution", "change:center"]) {
      this.view.on(what, () => this.dispatchEvent(new Event("moved")));
    }
    for (const map of this.both) this.#listen(map);
    this.#listenToSwipe();
    this.set(matchMedia("(max-width: 700px)").matches ? "swipe" : "side");
    this.whole();
  }

  #grid;

  get both() {
    return [this.left, this.right];
  }

  #map(target, dates) {
    const { projection } = this;
    const layers = [...dates, "probability"].map((name) => {
      const source = new TileImage({
        projection,
        tileGrid: this.#grid,
        tileUrlFunction: (tile) => tileAddress(name, tile),
        transition: 0,
        wrapX: false,
      });
      return new TileLayer({
        source, className: `layer-${name}`, preload: 1, properties: { name },
        extent: this.extent, // the last tiles reach beyond the images
      });
    });
    const interactions = defaultInteractions({
      altShiftDragRotate: false, doubleClickZoom: false, keyboard: false, pinchRotate: false,
      shiftDragZoom: false,
    });
    return new OpenLayersMap({ target, view: this.view, layers, controls: [], interactions });
  }

  #layer(map, name) {
    return map.getAllLayers().find((layer) => layer.get("name") === name);
  }

  // -- modes

  /** Side by side (`side`), `swipe` or `blink`. */
  set(mode) {
    this.mode = mode;
    if (mode !== "blink") this.stopBlinking();
    this.#show();
  }

  /** Blinks: the first call shows the other way of looking, each further one the other date. */
  blink() {
    if (this.mode !== "blink") this.set("blink");
    else {
      this.date = this.date === "after" ? "before" : "after";
      this.#show();
    }
  }

  /** Starts or stops blinking by itself. */
  toggleAutoBlink() {
    if (this.#blinking) return this.stopBlinking();
    if (this.mode !== "blink") this.set("blink");
    this.#blinking = setInterval(() => this.blink(), AUTO_BLINK_MS);
    this.dispatchEvent(new Event("mode"));
  }

  stopBlinking() {
    clearInterval(this.#blinking);
    this.#blinking = null;
    this.dispatchEvent(new Event("mode"));
  }

  get blinksItself() {
    return this.#blinking !== null;
  }

  toggleProbability() {
    this.probability = !this.probability;
    this.#show();
  }

  #show() {
    Object.assign(this.#pane.dataset, { mode: this.mode, date: this.date });
    this.#swipe.hidden = this.mode !== "swipe";
    this.#layer(this.left, "before").setVisible(true);
    this.#layer(this.left, "after").setVisible(this.mode !== "side");
    for (const map of this.both) this.#layer(map, "probability").setVisible(this.probability);
    const isSide = this.mode === "side";
    if (isSide !== Boolean(this.right.getTarget())) this.right.setTarget(isSide ? "right" : undefined);
    for (const map of isSide ? [this.right, this.left] : [this.left]) map.updateSize();
    this.dispatchEvent(new Event("mode"));
  }

  /** Brightness and contrast of a date, 1 as it is. */
  adjust(date, brightness, contrast) {
    const isPlain = brightness === 1 && contrast === 1;
    const filter = isPlain ? "none" : `brightness(${brightness}) contrast(${contrast})`;
    this.#pane.style.setProperty(`--${date}-filter`, filter);
  }

  /** Opacity of the probability, 0 to 1. */
  setOpacity(opacity) {
    for (const map of this.both) this.#layer(map, "probability").setOpacity(opacity);
  }

  #listenToSwipe() {
    const { style } = this.#pane;
    const put = (percent) => {
      const at = Math.min(100, Math.max(0, percent));
      style.setProperty("--swipe", `${at}%`);
      this.#swipe.setAttribute("aria-valuenow", Math.round(at));
    };
    const follow = ({ clientX }) => {
      const { left, width } = this.#swipe.parentElement.getBoundingClientRect();
      put((100 * (clientX - left)) / width);
    };
    this.#swipe.addEventListener("pointerdown", (event) => {
      this.#swipe.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    this.#swipe.addEventListener("pointermove", (event) => {
      if (this.#swipe.hasPointerCapture(event.pointerId)) follow(event);
    });
    this.#swipe.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (!by) return;
      put(Number(this.#swipe.getAttribute("aria-valuenow")) + by);
      event.preventDefault();
      event.stopPropagation();
    });
    put(50);
  }

  /** Asks again for tiles that did not come while the server was away. */
  refresh() {
    for (const layer of this.both.flatMap((map) => map.getAllLayers())) {
      if (layer instanceof TileLayer) layer.getSource().refresh();
    }
  }

  // -- pointer

  #listen(map) {
    const other = map === this.left ? this.right : this.left;
    const cross = (where) => where.getViewport().closest(".pane")?.querySelector(".crosshair");
    map.on("pointermove", ({ coordinate }) => {
      this.dispatchEvent(new CustomEvent("pointer", { detail: coordinate }));
      if (this.mode !== "side") return;
      const mark = cross(other);
      const pixel = other.getPixelFromCoordinate(coordinate);
      if (!mark || !pixel) return;
      mark.hidden = false;
      mark.style.transform = `translate(${pixel[0]}px, ${pixel[1]}px)`;
      cross(map).hidden = true;
    });
    map.getViewport().addEventListener("pointerleave", () => {
      for (const mark of document.querySelectorAll(".crosshair")) mark.hidden = true;
      this.dispatchEvent(new CustomEvent("pointer", { detail: null }));
    });
  }

  // -- places

  /** Map coordinate of a pixel of the result's grid. */
  toMap([column, row]) {
    return [column * this.stretch[0], -row * this.stretch[1]];
  }

  /** Pixel (column, row) of the result's grid at a map coordinate. */
  toPixel([x, y]) {
    return [x / this.stretch[0], -y / this.stretch[1]];
  }

  /** Extent on the map of a box [x0, y0, x1, y1] of the result's grid. */
  extentOf([x0, y0, x1, y1]) {
    const [left, top] = this.toMap([x0, y0]);
    const [right, bottom] = this.toMap([x1, y1]);
    return [left, bottom, right, top];
  }

  #context(box) {
    const extent = this.extentOf(box);
    const size = Math.max(extent[2] - extent[0], extent[3] - extent[1]);
    const least = this.metresPerPixel ? CONTEXT_M / this.metresPerPixel : CONTEXT_PX;
    return buffer(extent, Math.max(0.6 * size, least));
  }

  /** Shows a box of the result's grid with some ground around it. */
  zoomTo(box) {
    this.view.fit(this.#context(box), { size: this.left.getSize() });
  }

  whole() {
    this.view.fit(this.extent, { size: this.left.getSize(), padding: [12, 12, 12, 12] });
  }

  /** Zooms in (by > 0) or out around the middle. */
  zoom(by) {
    this.view.adjustZoom(by);
  }

  /** Moves the view by shares of its width and height. */
  pan(right, down) {
    const [width, height] = this.left.getSize();
    const step = 0.2 * this.view.getResolution();
    this.view.adjustCenter([right * width * step, -down * height * step]);
  }

  /** Asks for the tiles of a box that will be looked at next, so that they are in the cache. */
  prefetch(box) {
    const extent = this.#context(box);
    const [width, height] = this.left.getSize() ?? [600, 600];
    const fit = Math.max((extent[2] - extent[0]) / width, (extent[3] - extent[1]) / height, CLOSEST);
    const [x, y] = getCenter(extent);
    const shown = [x - (fit * width) / 2, y - (fit * height) / 2, x + (fit * width) / 2, y + (fit * height) / 2];
    const z = this.#grid.getZForResolution(fit);
    this.#grid.forEachTileCoord(shown, z, (tile) => {
      if (!this.#grid.getFullTileRange(z).contains(tile)) return;
      for (const date of ["before", "after"]) new Image().src = tileAddress(date, tile);
    });
  }
}
