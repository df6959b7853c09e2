// Shortcuts. With Alt, so that they work while one writes; the letter is the key's place, as Alt changes what it types.

import { byId, h } from "./dom.js";
import { t } from "./i18n.js";

const SHORTCUTS = [
  ["Enter", "key_send"],
  ["Shift+Enter", "key_newline"],
  ["Esc", "key_stop"],
  ["/", "key_draft"],
  ["Alt+N", "key_new"],
  ["Alt+M", "key_model"],
  ["Alt+S", "key_settings"],
  ["Alt+C", "key_compare"],
  ["Alt+R", "key_regenerate"],
  ["Alt+E", "key_edit"],
  ["?", "key_shortcuts"],
];

export function showShortcuts() {
  const rows = SHORTCUTS.flatMap(([keys, words]) => [
    h("dt", {}, ...keys.split("+").flatMap((key, place) => [place ? "+" : null, h("kbd", { text: key })])),
    h("dd", { text: t(words) }),
  ]);
  byId("shortcuts").replaceChildren(...rows);
  byId("shortcuts-dialog").showModal();
}

const isWriting = (element) => element.matches("input, textarea, select") || element.isContentEditable;

export function listenToKeys(page) {
  const last = (selector) => [...byId("turns").querySelectorAll(selector)].at(-1)?.click();
  const withAlt = {
    KeyN: () => page.open(null),
    KeyM: () => byId("model").focus(),
    KeyS: () => byId("open-panel").click(),
    KeyC: () => page.toggleComparing(),
    KeyR: () => last(".regenerate"),
    KeyE: () => last(".edit"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (page.panels.closeOverlay() || page.stop()) event.preventDefault();
      return;
    }
    if (event.altKey && !event.ctrlKey && !event.metaKey && event.code in withAlt) {
      event.preventDefault();
      withAlt[event.code]();
    } else if (!event.altKey && !event.ctrlKey && !event.metaKey && !isWriting(event.target)) {
      if (event.key === "/") {
        event.preventDefault();
        byId("draft").focus();
      } else if (event.key === "?") showShortcuts();
    }
  });
}
