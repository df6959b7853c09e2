// Whether the server is there: after a failure it is asked again and again, ever more slowly.

import { api } from "./api.js";
import { byId, h } from "./dom.js";
import { t } from "./i18n.js";

const FIRST_WAIT = 2000; // milliseconds
const LONGEST_WAIT = 30_000;

export class Link {
  /** @param {Function} onBack  called when the server answers again */
  constructor(onBack) {
    this.onBack = onBack;
    this.isLost = false;
    window.addEventListener("online", () => this.isLost && this.ask());
    document.addEventListener("visibilitychange", () => this.isLost && !document.hidden && this.ask());
  }

  /** A request found nobody there. */
  lose() {
    if (this.isLost) return;
    this.isLost = true;
    this.wait = FIRST_WAIT;
    this.showBanner();
    this.later();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  async ask() {
    clearTimeout(this.timer);
    if (!(await api.isThere())) return this.later();
    if (!this.isLost) return undefined;
    this.isLost = false;
    byId("banner").hidden = true;
    return this.onBack();
  }

  showBanner() {
    const again = h("button", { type: "button", class: "quiet-button", text: t("try_again"), on: { click: () => this.ask() } });
    byId("banner").replaceChildren(h("span", { text: t("error_offline") }), again);
    byId("banner").hidden = false;
  }
}
