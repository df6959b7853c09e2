// How many tokens the conversation takes of the model's window, draft included.

import { api } from "./api.js";
import { number, t } from "./i18n.js";

const PAUSE = 350; // milliseconds without a change before it is counted
const FULL = 0.85; // share of the window from which one is warned

/** Whether there are earlier turns, which can be left out. */
const hasMore = (messages) => messages.filter(({ role }) => role === "user").length > 1;

export class Counter {
  constructor(element) {
    this.element = element;
    this.isOff = false;
  }

  /** Count anew soon; `ask()` gives `{model, messages}`. */
  soon(ask) {
    if (this.isOff) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.count(ask()), PAUSE);
  }

  async count({ model, messages }) {
    this.running?.abort();
    if (!model || !messages.length) return this.show(null);
    this.running = new AbortController();
    try {
      this.show(await api.count(model, messages, this.running.signal), hasMore(messages));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.kind === "missing") this.isOff = true; // a server that does not count
      this.show(null);
      if (error.kind === "window") this.tooLong(hasMore(messages));
      if (error.kind === "large") this.tooLarge(hasMore(messages));
    }
  }

  /** Longer than the window: the server does not even count it. */
  tooLong(canLeaveOut) {
    this.element.classList.add(canLeaveOut ? "near" : "over");
    this.element.textContent = t(canLeaveOut ? "count_leaves_out" : "count_too_long");
  }

  /** More than the server takes, whatever the window. */
  tooLarge(canLeaveOut) {
    this.element.classList.add(canLeaveOut ? "near" : "over");
    this.element.textContent = t(canLeaveOut ? "count_leaves_out_large" : "count_too_large");
  }

  show(answer, canLeaveOut = false) {
    if (answer?.max_model_len && answer.count >= answer.max_model_len && canLeaveOut) {
      this.element.classList.remove("over");
      return this.tooLong(true);
    }
    const window = answer?.max_model_len;
    this.element.classList.toggle("near", Boolean(window) && answer.count > window * FULL);
    this.element.classList.toggle("over", Boolean(window) && answer.count >= window);
    if (!answer) this.element.textContent = "";
    else if (!window) this.element.textContent = t("num_tokens", { count: number(answer.count) });
    else {
      const key = answer.count >= window ? "count_over" : "count_of";
      this.element.textContent = t(key, { count: number(answer.count), window: number(window) });
    }
  }
}
