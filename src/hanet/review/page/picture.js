// Brightness and contrast of each date, and how strongly the probability covers them.

const find = (id) => document.getElementById(id);

/** Connects the sliders with the maps. */
export function preparePicture(maps) {
  const form = find("picture");
  const apply = () => {
    for (const date of ["before", "after"]) {
      const [brightness, contrast] = ["brightness", "contrast"].map((what) =>
        Number(find(`${date}-${what}`).value),
      );
      maps.adjust(date, brightness, contrast);
    }
    maps.setOpacity(Number(find("opacity").value));
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply)); // after the sliders have moved
  form.addEventListener("submit", (event) => event.preventDefault());
  find("opacity").addEventListener("input", () => {
    if (!maps.probability) maps.toggleProbability();
  });
  apply();
}
