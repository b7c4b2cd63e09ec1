// Outlines of footprints over both maps, coloured by status, loaded for what is in view.

import {
  Feature, GeoJSON, Stroke, Style, VectorLayer, VectorSource, buffer, containsExtent, fromExtent,
} from "./vendor/ol.js";
import { isTile } from "./review.js";
import { get } from "./server.js";

const MOST = 5000; // outlines in one answer
const WAIT_MS = 60; // until the view has come to rest
const CLICK_PX = 5; // from an outline, for a click to mean it
const LOOKS = {
  unreviewed: { color: "#ffd23f" },
  accepted: { color: "#3ddc84" },
  rejected: { color: "#ff5964", lineDash: [9, 5] },
  unsure: { color: "#5cc8ff", lineDash: [4, 4] },
};
const CASING = "rgba(0, 0, 0, 0.55)";

const styles = new Map();

function styleOf(status, role) {
  const key = `${status} ${role}`;
  if (!styles.has(key)) {
    const width = role === "current" ? 3.4 : 1.8;
    const casing = { current: "#ffffff", selected: "#ff8df2", other: CASING }[role];
    styles.set(key, [
      new Style({ stroke: new Stroke({ color: casing, width: width + (role === "other" ? 1.8 : 3.2) }) }),
      new Style({ stroke: new Stroke({ ...LOOKS[status], width, lineCap: "butt" }) }),
    ]);
  }
  return styles.get(key);
}

/** The outlines of both maps. Events: `loaded` (`detail`: whether there are more than are drawn). */
export class Outlines extends EventTarget {
  hidden = false;
  #maps;
  #review;
  #format = new GeoJSON();
  #source = new VectorSource({ wrapX: false });
  #layers;
  #covered = null;
  #timer = null;
  #asked = 0;

  constructor(maps, review) {
    super();
    this.#maps = maps;
    this.#review = review;
    const style = (feature) => this.#style(feature.getId());
    this.#layers = maps.both.map((map) => {
      const layer = new VectorLayer({
        source: this.#source, style, className: "layer-outlines", updateWhileInteracting: true,
      });
      map.addLayer(layer);
      return layer;
    });
    for (const map of maps.both) map.on("moveend", () => this.#load());
    review.addEventListener("items", () => this.redraw());
    review.addEventListener("current", () => {
      this.#addTiles();
      this.redraw();
    });
    review.addEventListener("shapes", ({ detail }) => this.#take(detail));
    review.addEventListener("remade", () => this.again());
  }

  #style(id) {
    const item = this.#review.item(id);
    if (!item) return undefined;
    const role = this.#role(id);
    const { queue, tile } = this.#review;
    if (role === "other" && item.source === "tile" && id !== tile) return undefined;
    const isPlace = item.source === "missed" || item.source === "blank";
    // what may be missed in a suggested tile is shown: one key there says that it was
    const isElsewhere = queue !== "missed" && queue !== "suggested" && item.status !== "accepted";
    if (role === "other" && isPlace && (isElsewhere || item.source === "blank")) return undefined;
    return styleOf(item.status, role);
  }

  #role(id) {
    if (this.#review.selected.has(id)) return "selected";
    return id === this.#review.current ? "current" : "other";
  }

  redraw() {
    for (const layer of this.#layers) layer.changed();
  }

  /** Shows or hides all outlines. */
  hide(hidden) {
    this.hidden = hidden;
    for (const layer of this.#layers) layer.setVisible(!hidden);
  }

  // -- loading

  #load() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), WAIT_MS);
  }

  async #ask() {
    const extent = this.#maps.view.calculateExtent(this.#maps.left.getSize());
    if (this.#covered && containsExtent(this.#covered, extent)) return;
    const wide = buffer(extent, 0.5 * (extent[2] - extent[0]));
    const [x0, y1] = this.#maps.toPixel([wide[0], wide[1]]);
    const [x1, y0] = this.#maps.toPixel([wide[2], wide[3]]);
    const number = ++this.#asked;
    let features;
    try {
      ({ features } = await get("/api/shapes", { box: [x0, y0, x1, y1].join(","), limit: MOST }));
    } catch {
      return; // the banner says that the server is away; the next move of the view asks again
    }
    if (number !== this.#asked) return;
    const isCut = features.length >= MOST;
    this.#source.clear(true);
    this.#source.addFeatures(features.map((feature) => this.#feature(feature)));
    this.#addTiles();
    this.#covered = isCut ? null : wide;
    this.dispatchEvent(new CustomEvent("loaded", { detail: isCut }));
  }

  /** Tiles are no shapes; the current one, and the one that is worked on, are drawn from their
   *  boxes. */
  #addTiles() {
    for (const id of [this.#review.current, this.#review.tile]) {
      const item = this.#review.item(id);
      if (!item || !isTile(item) || this.#source.getFeatureById(id)) continue;
      const feature = new Feature(fromExtent(this.#maps.extentOf(item.box)));
      feature.setId(id);
      this.#source.addFeature(feature);
    }
  }

  /** Asks for what is in view again. */
  again() {
    this.#covered = null;
    this.#load();
  }

  #feature({ id, geometry }) {
    const feature = new Feature(this.geometry(geometry));
    feature.setId(id);
    return feature;
  }

  #take({ changed, removed }) {
    for (const id of removed) {
      const feature = this.#source.getFeatureById(id);
      if (feature) this.#source.removeFeature(feature);
    }
    for (const { id, geometry } of changed) {
      const feature = this.#source.getFeatureById(id);
      if (!geometry) continue;
      if (feature) feature.setGeometry(this.geometry(geometry));
      else this.#source.addFeature(this.#feature({ id, geometry }));
    }
    this.redraw();
  }

  // -- geometry

  /** A geometry on the map from GeoJSON in pixel coordinates. */
  geometry(json) {
    const [sx, sy] = this.#maps.stretch;
    const geometry = this.#format.readGeometry(json);
    geometry.applyTransform(scaled(sx, -sy));
    return geometry;
  }

  /** GeoJSON in pixel coordinates from a geometry on the map. */
  json(geometry) {
    const [sx, sy] = this.#maps.stretch;
    const copy = geometry.clone();
    copy.applyTransform(scaled(1 / sx, -1 / sy));
    return this.#format.writeGeometryObject(copy, { decimals: 3 });
  }

  /** The feature of an item; null if it is not loaded. */
  feature(id) {
    return this.#source.getFeatureById(id);
  }

  /** Id of the visible item at a screen pixel of a map, the smallest of several; null for none. */
  at(map, pixel) {
    if (this.hidden) return null;
    const place = map.getCoordinateFromPixel(pixel);
    const near = buffer([...place, ...place], CLICK_PX * this.#maps.view.getResolution());
    const found = this.#source.getFeaturesInExtent(near).filter(
      (feature) => this.#style(feature.getId()) && feature.getGeometry().intersectsExtent(near),
    );
    const sizes = found.map((feature) => [feature.getGeometry().getArea(), feature.getId()]);
    return sizes.sort(([one], [other]) => one - other)[0]?.[1] ?? null;
  }
}

function scaled(x, y) {
  return (input, output, dimension) => {
    for (let at = 0; at < input.length; at += dimension) {
      output[at] = input[at] * x;
      output[at + 1] = input[at + 1] * y;
    }
    return output;
  };
}
