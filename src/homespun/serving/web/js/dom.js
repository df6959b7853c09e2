// Elements are built from plain values: text is text, and nothing is ever read as HTML.

/**
 * Make an element.
 * @param {string} tag
 * @param {Object} props  `class`, `text`, `on: {event: handler}`, `data: {name: value}`; the rest
 *                        are attributes, where null and false leave one out and true sets it empty.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

// Line drawings on a grid of 24, all in the colour of the text around them.
const SHAPES = {
  again: "M4 12a8 8 0 1 1 2.5 5.8M4 19v-5h5",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  done: "M5 13l5 5 9-11",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  why: "M12 17v.1M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon, and says its name to those who do not see it. */
export function iconButton(name, label, onClick, props = {}) {
  const { class: extra = "", ...rest } = props;
  return h(
    "button",
    {
      type: "button",
      class: `icon-button ${extra}`.trim(),
      "aria-label": label,
      title: label,
      on: { click: onClick },
      ...rest,
    },
    icon(name),
  );
}

/** Copy text; true where it worked. Pages that are not on https or this machine have no clipboard API. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed: the older way may be.
    }
  }
  const area = h("textarea", { class: "hidden", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    before?.focus();
  }
}

export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

let announcer = null;

/** Have a screen reader say something when it has finished what it is saying. */
export function announce(text) {
  announcer ??= byId("announcer");
  announcer.textContent = "";
  requestAnimationFrame(() => (announcer.textContent = text));
}
