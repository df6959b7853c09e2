// What opens at the sides: the shelf of conversations, and the panel with its three tabs.

import { byId } from "./dom.js";

const TABS = ["settings", "why", "compare"];
const isNarrow = () => window.matchMedia("(max-width: 64rem)").matches;

export class Panels {
  constructor(onTab) {
    this.onTab = onTab;
    this.opener = null;
    byId("open-panel").addEventListener("click", () => (this.isOpen ? this.close() : this.open("settings")));
    byId("close-panel").addEventListener("click", () => this.close());
    byId("open-shelf").addEventListener("click", () => this.toggleShelf());
    byId("close-shelf").addEventListener("click", () => this.closeShelf());
    byId("veil").addEventListener("click", () => this.closeOverlay());
    for (const name of TABS) byId(`tab-${name}`).addEventListener("click", () => this.open(name));
    byId("panel").querySelector("[role=tablist]").addEventListener("keydown", (event) => this.moveTab(event));
    window.addEventListener("resize", () => this.refresh());
    this.refresh();
  }

  get isOpen() {
    return !byId("panel").hidden;
  }

  get shelfIsOver() {
    return document.body.classList.contains("shelf-open");
  }

  /** Open the panel at a tab. Focus goes there only where the panel covers the page. */
  open(name, { focus = isNarrow() } = {}) {
    if (!this.isOpen) this.opener = document.activeElement;
    byId("panel").hidden = false;
    for (const other of TABS) {
      const isChosen = other === name;
      byId(`tab-${other}`).setAttribute("aria-selected", String(isChosen));
      byId(`tab-${other}`).tabIndex = isChosen ? 0 : -1;
      byId(`pane-${other}`).hidden = !isChosen;
    }
    if (focus) byId(`tab-${name}`).focus();
    this.refresh();
    this.onTab(name);
  }

  close() {
    const hadFocus = byId("panel").contains(document.activeElement);
    byId("panel").hidden = true;
    this.refresh();
    if (hadFocus) (this.opener?.isConnected ? this.opener : byId("draft")).focus();
  }

  moveTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const place = TABS.findIndex((name) => byId(`tab-${name}`) === document.activeElement);
    if (!step || place < 0) return;
    event.preventDefault();
    this.open(TABS[(place + step + TABS.length) % TABS.length], { focus: true });
  }

  /** On a wide page the shelf folds away; on a narrow one it lies over the page. */
  toggleShelf() {
    if (!isNarrow()) document.body.classList.toggle("shelf-folded");
    else {
      document.body.classList.add("shelf-open");
      byId("close-shelf").focus();
    }
    this.refresh();
  }

  closeShelf() {
    if (!this.shelfIsOver) return;
    document.body.classList.remove("shelf-open");
    this.refresh();
    byId("open-shelf").focus();
  }

  /** Close what lies over the page; false where nothing did. */
  closeOverlay() {
    if (this.shelfIsOver) this.closeShelf();
    else if (this.isOpen && isNarrow()) this.close();
    else return false;
    return true;
  }

  refresh() {
    const isOver = isNarrow() && (this.isOpen || this.shelfIsOver);
    byId("veil").hidden = !isOver;
    byId("open-panel").setAttribute("aria-expanded", String(this.isOpen));
    const isFolded = document.body.classList.contains("shelf-folded");
    byId("open-shelf").setAttribute("aria-expanded", String(isNarrow() ? this.shelfIsOver : !isFolded));
    // What lies beneath is not reached by Tab or a screen reader.
    document.querySelector(".middle").inert = isOver;
    byId("shelf").inert = isNarrow() && !this.shelfIsOver;
    byId("panel").inert = isNarrow() && this.shelfIsOver;
  }
}
