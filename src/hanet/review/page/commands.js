// Everything that can be done, with its key and its words: buttons, keys and the help are made
// from this table.

/**
 * Rows of [group, commands]; a command is [name, keys, words]. A key is what `KeyboardEvent.key`
 * gives, with `Shift+` before it where the shift key counts; the first one is shown on the button.
 */
export const COMMANDS = [
  ["Decide", [
    ["accept", ["a"], "accept: it is a change"],
    ["reject", ["r"], "reject: it is not a change"],
    ["unsure", ["u"], "unsure"],
    ["undo", ["z", "Control+z"], "undo"],
    ["redo", ["Shift+Z", "Control+y", "Control+Shift+Z"], "redo"],
    ["comment", ["c"], "write a comment"],
  ]],
  ["Kind of change", [
    ["built", ["1"], "built"],
    ["demolished", ["2"], "demolished"],
    ["rebuilt", ["3"], "rebuilt"],
    ["other", ["4"], "other"],
  ]],
  ["Move", [
    ["next", ["n", "j"], "next"],
    ["previous", ["p", "k"], "previous"],
    ["unreviewed", ["Enter"], "next unreviewed one"],
    ["missed", ["m"], "queue of places that may have been missed, and back"],
    ["queue", ["q"], "next queue"],
    ["zoomitem", ["f"], "zoom to it"],
    ["zoomall", ["0"], "whole image"],
    ["zoomin", ["+", "="], "zoom in"],
    ["zoomout", ["-"], "zoom out"],
    ["pan", ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "move the view"],
  ]],
  ["Look", [
    ["blink", ["b"], "blink: the other date"],
    ["autoblink", ["Shift+B"], "blink by itself"],
    ["peek", [" "], "hold: the other date (blink) or no outlines"],
    ["swipe", ["s"], "swipe"],
    ["side", ["d"], "side by side"],
    ["outlines", ["h"], "hide or show outlines"],
    ["probability", ["o"], "probability"],
    ["picture", ["i"], "brightness and contrast"],
  ]],
  ["Correct", [
    ["edit", ["e"], "move vertices of the outline"],
    ["split", ["x"], "split by a line"],
    ["merge", ["g"], "merge the selected ones (shift-click selects)"],
    ["draw", ["w"], "draw a missing building"],
    ["cancel", ["Escape"], "end or cancel"],
    ["help", ["?"], "these keys"],
  ]],
];

const SHOWN = {
  " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc",
  Enter: "Enter", Shift: "⇧", Control: "Ctrl ", "-": "−",
};

/** How a key is written on buttons and in the help. */
export function keyName(key) {
  const parts = key === "+" ? [key] : key.split("+");
  return parts.map((part) => SHOWN[part] ?? part.toUpperCase()).join("");
}

const byKey = new Map(
  COMMANDS.flatMap(([, rows]) => rows.flatMap(([name, keys]) => keys.map((key) => [key, name]))),
);

/** The name of the command that a key press means; undefined for none. */
export function commandOf({ key, shiftKey, ctrlKey, metaKey, altKey }) {
  if (altKey) return undefined;
  const isLetter = /^[a-z]$/i.test(key);
  const shift = shiftKey && isLetter ? "Shift+" : "";
  const name = isLetter ? (shiftKey ? key.toUpperCase() : key.toLowerCase()) : key;
  return byKey.get(`${ctrlKey || metaKey ? "Control+" : ""}${shift}${name}`);
}

/** Writes keys onto the buttons and fills the help. */
export function showKeys() {
  for (const [, rows] of COMMANDS) {
    for (const [name, keys, words] of rows) {
      for (const button of document.querySelectorAll(`[data-command="${name}"]`)) {
        button.title = `${words} (${keys.map(keyName).join(", ")})`;
        const key = document.createElement("kbd");
        key.textContent = keyName(keys[0]);
        if (!button.ariaLabel) button.append(" ", key);
        button.setAttribute("aria-keyshortcuts", keys[0]);
      }
    }
  }
  document.getElementById("key-list").replaceChildren(...COMMANDS.map(groupOf));
}

function groupOf([title, rows]) {
  const section = document.createElement("section");
  const heading = document.createElement("h3");
  heading.textContent = title;
  const list = document.createElement("dl");
  for (const [, keys, words] of rows) {
    const term = document.createElement("dt");
    term.append(...keys.filter((key) => !key.startsWith("Control")).map((key) => {
      const written = document.createElement("kbd");
      written.textContent = keyName(key);
      return written;
    }));
    const told = document.createElement("dd");
    told.textContent = words;
    list.append(term, told);
  }
  section.append(heading, list);
  return section;
}
