// Corrections on the map: move and delete vertices, draw a new building, split one by a line.

import {
  CircleStyle, Draw, Feature, Fill, Modify, MultiPoint, Stroke, Style, VectorLayer, VectorSource,
  altKeyOnly, singleClick,
} from "./vendor/ol.js";

const HINTS = {
  edit: "Drag vertices or edges. Alt-click or Delete removes a vertex. Enter or Esc ends.",
  draw: "Click the corners; double-click or Enter closes. Backspace removes the last one. Esc cancels.",
  split: "Click on both sides of the footprint; double-click or Enter cuts. Esc cancels.",
};
const ACCENT = "#ff8df2";
const LINE = new Style({
  stroke: new Stroke({ color: ACCENT, width: 2.5 }),
  fill: new Fill({ color: "rgba(255, 141, 242, 0.12)" }),
  image: dot(5),
});

function dot(radius) {
  return new CircleStyle({
    radius, fill: new Fill({ color: ACCENT }), stroke: new Stroke({ color: "#1c2024", width: 1 }),
  });
}

const DEPTH = { LineString: 0, Polygon: 1, MultiPolygon: 2 }; // of the lists of vertices

function vertices(feature) {
  const geometry = feature.getGeometry();
  return new MultiPoint(geometry.getCoordinates().flat(DEPTH[geometry.getType()]));
}

/** What is being corrected. Events: `change` (`detail`: a hint in words, or null when it is over). */
export class Editing extends EventTarget {
  /** `edit`, `draw`, `split`, or null. */
  mode = null;
  #maps;
  #outlines;
  #interactions = [];
  #source = new VectorSource({ wrapX: false });
  #finish = null;
  #pointer = null;

  constructor(maps, outlines) {
    super();
    this.#maps = maps;
    this.#outlines = outlines;
    maps.addEventListener("pointer", ({ detail }) => {
      this.#pointer = detail ?? this.#pointer;
    });
    const style = [LINE, new Style({ image: dot(4), geometry: vertices })];
    for (const map of maps.both) {
      map.addLayer(new VectorLayer({
        source: this.#source, style, className: "layer-editing", zIndex: 10, updateWhileInteracting: true,
      }));
    }
  }

  #begin(mode, make) {
    this.stop();
    this.mode = mode;
    for (const map of this.#maps.both) {
      for (const interaction of make(map)) {
        map.addInteraction(interaction);
        this.#interactions.push([map, interaction]);
      }
    }
    this.dispatchEvent(new CustomEvent("change", { detail: HINTS[mode] }));
  }

  /** Ends what is going on and drops what was not finished. */
  stop() {
    if (!this.mode) return;
    for (const [map, interaction] of this.#interactions) map.removeInteraction(interaction);
    this.#interactions = [];
    this.#source.clear(true);
    this.#finish = null;
    this.mode = null;
    this.dispatchEvent(new CustomEvent("change", { detail: null }));
  }

  /**
   * Moves the vertices of an item. `save(geometry)` gets GeoJSON in pixel coordinates after each
   * drag; if it throws, the outline goes back to what it was.
   */
  edit(id, save) {
    const shape = this.#outlines.feature(id);
    if (!shape) return;
    const copy = new Feature(shape.getGeometry().clone());
    this.#begin("edit", (map) => {
      const modify = new Modify({
        source: this.#source, style: LINE,
        deleteCondition: (event) => altKeyOnly(event) && singleClick(event),
      });
      modify.on("modifyend", () => this.#keep(copy, shape, save));
      return [modify];
    });
    this.#source.addFeature(copy);
  }

  async #keep(copy, shape, save) {
    const before = shape.getGeometry().clone();
    try {
      await save(this.#outlines.json(copy.getGeometry()));
    } catch {
      copy.setGeometry(before);
    }
  }

  /** Draws a polygon; `save(geometry)` gets it as GeoJSON in pixel coordinates. */
  draw(save) {
    this.#sketch("draw", "Polygon", save);
  }

  /** Draws the line that an item is split by. */
  split(save) {
    this.#sketch("split", "LineString", save);
  }

  #sketch(mode, type, save) {
    this.#begin(mode, (map) => {
      const draw = new Draw({ type, style: LINE, stopClick: true });
      draw.on("drawstart", ({ feature }) => {
        this.#finish = draw;
        this.#source.addFeature(feature); // so that the other map shows it too
      });
      draw.on("drawabort", () => this.#source.clear(true));
      draw.on("drawend", ({ feature }) => {
        const geometry = this.#outlines.json(feature.getGeometry());
        queueMicrotask(() => this.stop()); // not within the interaction that is removed
        save(geometry);
      });
      return [draw];
    });
  }

  /** A key that means something here; true if it did. */
  key(name) {
    if (!this.mode) return false;
    if (name === "Escape") this.stop();
    else if (name === "Enter") this.finish();
    else if (name === "Backspace" && this.#finish) this.#finish.removeLastPoint();
    else if ((name === "Delete" || name === "Backspace") && this.mode === "edit") this.#removeVertex();
    else return false;
    return true;
  }

  /** Ends what is going on and keeps it: closes what is drawn, cuts along the line. */
  finish() {
    if (this.mode === "edit") this.stop();
    else this.#finish?.finishDrawing();
  }

  #removeVertex() {
    for (const [, interaction] of this.#interactions) {
      if (interaction instanceof Modify && interaction.removePoint(this.#pointer)) return;
    }
  }
}
