// The picture of a report: two dates under one view that zooms and moves, a swipe, outlines, and
// what ties cards and table to it. Without this script the page shows both dates beside each other.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("facts").textContent);
  const stage = byId("stage"), canvas = byId("canvas"), context = canvas.getContext("2d");
  const handle = byId("handle"), ruler = byId("ruler"), chosen = byId("chosen");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  if (!context) return;
  document.documentElement.classList.add("js");

  // ---- what there is to draw -------------------------------------------------------------------
  // Coordinates of the world are those of the outlines: pixels of the grid, made square on the
  // ground.
  const [stretchX, stretchY] = facts.stretch;
  const whole = { before: byId("picture-before"), after: byId("picture-after") };
  const cells = JSON.parse(byId("cells").textContent).map((cell) => {
    const [row, column, height, width] = cell.window;
    return {
      x: column * stretchX, y: row * stretchY, width: width * stretchX, height: height * stretchY,
      before: cell.before, after: cell.after, images: {},
    };
  });
  // by the class of an outline, as report.css has them
  const COLOURS = {
    c0: "#ffe08a", c1: "#ff9a4d", c2: "#ff4d4d",
    "k-built": "#3ddc74", "k-demolished": "#ff4d4d", "k-unclear": "#ffc53d",
  };
  const items = [...document.querySelectorAll("#outlines path")].map((path) => {
    const line = path.getAttribute("d");
    const numbers = line.match(/-?[\d.]+/g).map(Number);
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (let i = 0; i < numbers.length; i += 2) {
      left = Math.min(left, numbers[i]); right = Math.max(right, numbers[i]);
      top = Math.min(top, numbers[i + 1]); bottom = Math.max(bottom, numbers[i + 1]);
    }
    const colour = COLOURS[path.getAttribute("class")];
    return { id: path.id.slice(1), shape: new Path2D(line), left, top, right, bottom, colour };
  });
  const byNumber = new Map(items.map((item) => [item.id, item]));
  const rows = new Map(
    [...document.querySelectorAll("#footprints tbody tr")].map((row) => [row.dataset.id, row]));

  // ---- the view ---------------------------------------------------------------------------------
  // x, y: what lies in the upper left corner; k: CSS pixels to a unit of the world.
  let view = { x: 0, y: 0, k: 1 }, at = 50, selected = null, asked = false, moving = 0;
  let size = { width: 1, height: 1 };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
  const wholeView = () => {
    const k = Math.min(size.width / facts.width, size.height / facts.height);
    return { k, x: (facts.width - size.width / k) / 2, y: (facts.height - size.height / k) / 2 };
  };
  const isWhole = () => view.k <= wholeView().k * 1.001;
  const kept = (wanted) => {
    const least = wholeView().k, k = clamp(wanted.k, least, Math.max(24, 4 * least));
    const axis = (start, length, shown) => shown >= length
      ? (length - shown) / 2 : clamp(start, 0, length - shown);
    return {
      k, x: axis(wanted.x, facts.width, size.width / k), y: axis(wanted.y, facts.height, size.height / k),
    };
  };
  const setView = (wanted) => {
    view = kept(wanted);
    stage.classList.toggle("is-whole", isWhole());
    draw();
  };
  const zoomAt = (x, y, factor) => {
    const least = wholeView().k, k = clamp(view.k * factor, least, Math.max(24, 4 * least));
    setView({ k, x: view.x + x / view.k - x / k, y: view.y + y / view.k - y / k });
  };
  const glideTo = (wanted) => {
    const goal = kept(wanted), from = { ...view }, begun = performance.now(), turn = ++moving;
    if (calm.matches || document.hidden) return setView(goal);
    const middle = (v) => [v.x + size.width / v.k / 2, v.y + size.height / v.k / 2];
    const [x0, y0] = middle(from), [x1, y1] = middle(goal);
    const step = (now) => {
      if (turn !== moving) return;
      const share = clamp((now - begun) / 320, 0, 1), ease = share * share * (3 - 2 * share);
      const k = from.k * (goal.k / from.k) ** ease;
      // the middle moves with the scale, so that the goal does not rush through the view
      const way = Math.abs(goal.k - from.k) < 1e-9 ? ease : (1 / from.k - 1 / k) / (1 / from.k - 1 / goal.k);
      const x = x0 + (x1 - x0) * way, y = y0 + (y1 - y0) * way;
      setView(share < 1 ? { k, x: x - size.width / k / 2, y: y - size.height / k / 2 } : goal);
      if (share < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  };
  const around = (item) => {
    const width = item.right - item.left, height = item.bottom - item.top;
    const k = Math.min(0.36 * size.width / width, 0.36 * size.height / height, 5);
    return {
      k, x: (item.left + item.right - size.width / k) / 2, y: (item.top + item.bottom - size.height / k) / 2,
    };
  };

  // ---- drawing ----------------------------------------------------------------------------------
  const recent = [];
  const imageOf = (cell, date) => {
    let image = cell.images[date];
    if (!image) {
      image = cell.images[date] = new Image();
      image.onload = draw;
      image.src = "data:image/jpeg;base64," + cell[date];
      recent.push([cell, date]);
      if (recent.length > 400) { // what was looked at long ago gives its memory back
        const [old, which] = recent.shift();
        delete old.images[which];
      }
    }
    return image.complete && image.naturalWidth ? image : null;
  };
  const inView = (box) => box.x < view.x + size.width / view.k && box.x + box.width > view.x
    && box.y < view.y + size.height / view.k && box.y + box.height > view.y;
  const drawDate = (date, ratio) => {
    context.imageSmoothingEnabled = view.k * ratio < 8;
    context.imageSmoothingQuality = "high";
    if (whole[date].complete && whole[date].naturalWidth) {
      context.drawImage(whole[date], 0, 0, facts.width, facts.height);
    }
    if (view.k * ratio * facts.scale < 1.05) return; // the whole is as fine as the screen
    for (const cell of cells) {
      const image = inView(cell) ? imageOf(cell, date) : null;
      // a hair wider, so that no seam shows between cells
      if (image) context.drawImage(image, cell.x, cell.y, cell.width + 0.6 / view.k, cell.height + 0.6 / view.k);
    }
  };
  const visible = () => items.filter((item) => inView({
    x: item.left, y: item.top, width: item.right - item.left, height: item.bottom - item.top }));
  const drawOutlines = (shown) => {
    context.lineJoin = "round";
    if (shown.length < 1200) {
      context.strokeStyle = "rgba(0,0,0,.6)";
      context.lineWidth = 3.6 / view.k;
      for (const item of shown) context.stroke(item.shape);
    }
    for (const colour of new Set(Object.values(COLOURS))) {
      context.strokeStyle = colour;
      context.lineWidth = (shown.length < 1200 ? 1.8 : 1) / view.k;
      for (const item of shown) if (item.colour === colour) context.stroke(item.shape);
    }
    if (selected && byId("show").checked) {
      for (const [colour, width] of [["rgba(0,0,0,.8)", 7], ["#fff", 4.5], [selected.colour, 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = width / view.k;
        context.stroke(selected.shape);
      }
    }
  };
  const drawNumbers = (shown, ratio) => {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "bottom";
    const taken = [];
    const order = selected ? [selected, ...shown.filter((item) => item !== selected)] : shown;
    for (const item of order.slice(0, 600)) {
      const width = 7 * item.id.length + 6;
      const x = clamp(((item.left + item.right) / 2 - view.x) * view.k, width / 2, size.width - width / 2);
      const y = clamp((item.top - view.y) * view.k - 3, 16, size.height - 2);
      // footprints that are small in view leave room around their numbers
      const free = Math.max(item.right - item.left, item.bottom - item.top) * view.k < 24 && item !== selected ? 18 : 0;
      const box = [x - width / 2 - free, y - 15 - free, x + width / 2 + free, y + 1 + free];
      if (taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
      taken.push(box);
      if (taken.length > 250) break;
      context.lineWidth = 3.5;
      context.strokeStyle = "rgba(0,0,0,.75)";
      context.strokeText(item.id, x, y);
      context.fillStyle = item === selected ? "#fff" : item.colour;
      context.fillText(item.id, x, y);
    }
  };
  const drawRuler = () => {
    const unit = facts.metres || 1, goal = Math.min(140, 0.3 * size.width) / view.k * unit;
    const power = 10 ** Math.floor(Math.log10(goal));
    const length = Math.max(...[1, 2, 5].map((step) => step * power).filter((step) => step <= goal));
    const text = !facts.metres ? `${length} px` : length >= 1000 ? `${length / 1000} km` : `${+length.toPrecision(3)} m`;
    ruler.textContent = text;
    ruler.style.width = `${length / unit * view.k}px`;
  };
  const paint = () => {
    asked = false;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(size.width * ratio), height = Math.round(size.height * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const k = view.k * ratio, border = at / 100 * width;
    for (const [date, from, to] of [["before", 0, border], ["after", border, width]]) {
      if (to <= from) continue;
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.beginPath();
      context.rect(from, 0, to - from, height);
      context.clip();
      context.setTransform(k, 0, 0, k, -view.x * k, -view.y * k);
      drawDate(date, ratio);
      context.restore();
    }
    if (byId("show").checked) {
      context.setTransform(k, 0, 0, k, -view.x * k, -view.y * k);
      const shown = visible();
      drawOutlines(shown);
      if (byId("numbers").checked) drawNumbers(shown, ratio);
    }
    drawRuler();
    stage.dataset.view = [view.x, view.y, view.k].map((value) => value.toFixed(3)).join(" ");
  };
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(paint);
  }

  // ---- the swipe --------------------------------------------------------------------------------
  const setSwipe = (value) => {
    at = clamp(value, 0, 100);
    stage.style.setProperty("--at", `${at}%`);
    handle.setAttribute("aria-valuenow", Math.round(at));
    byId("show-before").setAttribute("aria-pressed", at === 100);
    byId("show-after").setAttribute("aria-pressed", at === 0);
    byId("show-both").setAttribute("aria-pressed", at > 0 && at < 100);
    byId("tag-before").classList.toggle("off", at < 8);
    byId("tag-after").classList.toggle("off", at > 92);
    draw();
  };
  const swipeTo = (event) => {
    const box = stage.getBoundingClientRect();
    setSwipe(100 * (event.clientX - box.left) / box.width);
  };
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 }[event.key];
    const end = { Home: 0, End: 100 }[event.key];
    if (step === undefined && end === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    setSwipe(end ?? at + step);
  });
  byId("show-before").addEventListener("click", () => setSwipe(100));
  byId("show-both").addEventListener("click", () => setSwipe(50));
  byId("show-after").addEventListener("click", () => setSwipe(0));

  // ---- pointers: the stage holds each of them until it is let go ---------------------------------
  const pointers = new Map();
  let action = null, travelled = 0;
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    moving++; // whoever takes hold of the picture stops it
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size > 1) {
      action = "pinch";
    } else {
      travelled = 0;
      action = event.target.closest(".handle") ? "swipe" : isWhole() ? "maybe-swipe" : "pan";
      if (action === "swipe") handle.focus({ preventScroll: true });
      else stage.focus({ preventScroll: true });
    }
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = place(event), pinch = action === "pinch" ? spread() : null;
    pointers.set(event.pointerId, now);
    travelled += Math.hypot(now.x - before.x, now.y - before.y);
    if (action === "swipe" || (action === "maybe-swipe" && travelled > 4)) {
      swipeTo(event);
    } else if (action === "pan") {
      setView({ ...view, x: view.x - (now.x - before.x) / view.k, y: view.y - (now.y - before.y) / view.k });
    } else if (pinch && pointers.size === 2) {
      const after = spread();
      setView({ ...view, x: view.x - (after.x - pinch.x) / view.k, y: view.y - (after.y - pinch.y) / view.k });
      zoomAt(after.x, after.y, after.distance / pinch.distance);
    }
  });
  const release = (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    pointers.delete(event.pointerId);
    if (pointers.size) {
      action = pointers.size > 1 ? "pinch" : isWhole() ? null : "pan";
      travelled = Infinity;
      return;
    }
    if (event.type === "pointerup" && travelled <= 4 && action !== "swipe" && action !== null) {
      const item = found(last, event.pointerType === "touch" ? 22 : 10);
      if (item) choose(item.id);
    }
    action = null;
  };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  stage.addEventListener("wheel", (event) => {
    const away = event.deltaY > 0;
    if (away && isWhole()) return; // the page scrolls on
    event.preventDefault();
    moving++;
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
    const { x, y } = place(event);
    zoomAt(x, y, Math.exp(-clamp(pixels, -240, 240) * (event.ctrlKey ? 0.01 : 0.0018)));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => {
    if (event.target.closest("button, .handle") || found(place(event), 10)) return;
    const { x, y } = place(event);
    zoomAt(x, y, 2);
  });
  const found = ({ x, y }, reach) => {
    if (!byId("show").checked) return null;
    const worldX = x / view.k + view.x, worldY = y / view.k + view.y;
    let best = null, least = reach / view.k;
    context.setTransform(1, 0, 0, 1, 0, 0);
    for (const item of items) {
      const far = Math.hypot(
        Math.max(item.left - worldX, 0, worldX - item.right), Math.max(item.top - worldY, 0, worldY - item.bottom));
      if (far > least) continue;
      if (far === 0 && context.isPointInPath(item.shape, worldX, worldY, "evenodd")) return item;
      if (far < least || !best) { best = item; least = far; }
    }
    return best;
  };

  // ---- one footprint at a time -------------------------------------------------------------------
  const headings = [...document.querySelectorAll("#footprints thead th")].map((head) => head.textContent);
  const describe = (row) => [...row.cells].map((cell, index) => {
    const text = cell.textContent.trim();
    const [name, unit] = headings[index].split(", ");
    return index === 0 ? `#${text}` : text && `${name} ${text}${unit ? ` ${unit}` : ""}`;
  }).filter(Boolean).join(" · ");
  const forget = () => {
    document.querySelectorAll(".is-chosen").forEach((element) => element.classList.remove("is-chosen"));
    selected = null;
  };
  const choose = (id, { from = "stage" } = {}) => {
    const item = byNumber.get(String(id));
    if (!item) {
      chosen.textContent = `There is no footprint ${id} on this page.`;
      return;
    }
    forget();
    selected = item;
    document.querySelectorAll(`[data-id="${item.id}"]`).forEach((element) => element.classList.add("is-chosen"));
    const row = rows.get(item.id), list = byId("list");
    if (row) {
      chosen.textContent = describe(row);
      if (from !== "list") list.scrollTop = row.offsetTop - list.clientHeight / 2;
    }
    const goal = kept(around(item));
    // both dates of it, where it is not at the edge of the pair too; one date alone stays alone
    if (at > 0 && at < 100) setSwipe(100 * ((item.left + item.right) / 2 - goal.x) * goal.k / size.width);
    if (from !== "stage") {
      byId("viewer").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
      stage.focus({ preventScroll: true });
    }
    glideTo(goal);
    try { history.replaceState(null, "", `#f${item.id}`); } catch { /* pages without an address */ }
  };
  const walk = (step) => {
    const order = rows.size ? [...byId("footprints").tBodies[0].rows].map((row) => row.dataset.id) : [];
    if (!order.length) return;
    const index = selected ? order.indexOf(selected.id) + step : step > 0 ? 0 : order.length - 1;
    choose(order[(index + order.length) % order.length]);
  };
  document.addEventListener("click", (event) => {
    const owner = event.target.closest("[data-id]");
    if (owner && !getSelection().toString()) choose(owner.dataset.id, { from: owner.closest("#list") ? "list" : "card" });
  });
  byId("goto").addEventListener("keydown", (event) => {
    if (event.key === "Enter") choose(byId("goto").value.replace(/\D/g, ""));
  });
  byId("next").addEventListener("click", () => walk(1));
  byId("previous").addEventListener("click", () => walk(-1));

  // ---- keys and buttons ---------------------------------------------------------------------------
  const zoomBy = (factor) => {
    const x = size.width / 2, y = size.height / 2, k = view.k * factor;
    glideTo({ k, x: view.x + x / view.k - x / k, y: view.y + y / view.k - y / k });
  };
  const pan = (x, y) => setView({ ...view, x: view.x + x * size.width / view.k, y: view.y + y * size.height / view.k });
  const KEYS = {
    "+": () => zoomBy(1.6), "=": () => zoomBy(1.6), "-": () => zoomBy(1 / 1.6), "_": () => zoomBy(1 / 1.6),
    "0": () => glideTo(wholeView()), Home: () => glideTo(wholeView()),
    ArrowLeft: () => pan(-0.12, 0), ArrowRight: () => pan(0.12, 0), ArrowUp: () => pan(0, -0.12), ArrowDown: () => pan(0, 0.12),
    ",": () => setSwipe(at - 4), ".": () => setSwipe(at + 4),
    b: () => setSwipe(100), a: () => setSwipe(0), s: () => setSwipe(50),
    n: () => walk(1), p: () => walk(-1), o: () => byId("show").click(),
    Escape: () => { forget(); chosen.textContent = ""; draw(); },
  };
  stage.addEventListener("keydown", (event) => {
    const act = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    const isArrow = event.key.startsWith("Arrow");
    if (!act || event.ctrlKey || event.metaKey || event.altKey || (isArrow && isWhole())) return;
    event.preventDefault();
    moving++;
    act();
  });
  byId("in").addEventListener("click", () => zoomBy(1.8));
  byId("out").addEventListener("click", () => zoomBy(1 / 1.8));
  byId("fit").addEventListener("click", () => glideTo(wholeView()));
  byId("show").addEventListener("change", draw);
  byId("numbers").addEventListener("change", draw);

  // ---- the table sorts by its headings ------------------------------------------------------------
  const table = byId("footprints");
  const sortBy = (head) => {
    const body = table.tBodies[0], column = head.cellIndex, isNumber = head.classList.contains("n");
    // numbers the largest first, but for the number of the footprint; texts from A
    const first = isNumber && column > 0 ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    table.querySelectorAll("th[aria-sort]").forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[column].textContent.trim();
      return { row, key: isNumber ? Number(text.replace(/,/g, "")) : text, isEmpty: text === "" };
    });
    keyed.sort((a, b) => a.isEmpty - b.isEmpty
      || sign * (isNumber ? a.key - b.key : a.key.localeCompare(b.key)));
    body.append(...keyed.map((each) => each.row));
    byId("list").scrollTop = 0;
  };
  if (table) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (head) sortBy(head);
    });
    if (table.tBodies[0].rows.length <= 25) byId("cut").remove();
  } else {
    byId("cut").remove();
  }

  // ---- begin --------------------------------------------------------------------------------------
  const measured = () => {
    const wasWhole = isWhole(), x = view.x + size.width / view.k / 2, y = view.y + size.height / view.k / 2;
    size = { width: Math.max(1, stage.clientWidth), height: Math.max(1, stage.clientHeight) };
    setView(wasWhole || !isFinite(x) ? wholeView() : { k: view.k, x: x - size.width / view.k / 2, y: y - size.height / view.k / 2 });
  };
  stage.style.setProperty("--shape", facts.width / facts.height);
  size = { width: Math.max(1, stage.clientWidth), height: Math.max(1, stage.clientHeight) };
  setView(wholeView());
  setSwipe(50);
  new ResizeObserver(measured).observe(stage);
  for (const image of Object.values(whole)) image.decode().then(draw, draw);
  const asWished = () => { const match = /^#f(\d+)$/.exec(location.hash); if (match) choose(match[1], { from: "address" }); };
  addEventListener("hashchange", asWished);
  asWished();
})();
