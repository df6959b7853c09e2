// The conversation as one sees it: a turn for every message on the way to where one is.

import { settingsInWords } from "./controls.js";
import { copyText, h, iconButton } from "./dom.js";
import { errorInWords } from "./errors.js";
import { number, t } from "./i18n.js";
import { MarkdownView } from "./markdown/view.js";
import { path, siblings } from "./tree.js";
import { doubt, pieces } from "./tokens.js";

const SLOW = 25; // milliseconds for showing what is new
const NEAR_END = 80; // pixels from the end at which the page goes along with what is written

export class Turns {
  /**
   * @param {HTMLElement} parent
   * @param {Object} actions  `regenerate(node)`, `edit(node, text)`, `step(node, by)`, `judge(nodes, choice)`,
   *                          `why(node, tokens)`, `isRunning(node)`, `retry(node)`, `usual(model)` settings
   */
  constructor(parent, actions) {
    this.parent = parent;
    this.actions = actions;
    this.shown = new Map(); // node id: {element, update}
    this.inTokens = new Set(); // ids of answers that are shown token by token
    this.isAtEnd = true;
    parent.addEventListener("scroll", () => {
      this.isAtEnd = parent.scrollHeight - parent.scrollTop - parent.clientHeight < NEAR_END;
      actions.onScroll?.(this.isAtEnd);
    });
  }

  words() {
    return { image: t("image"), copy: t("copy"), copied: t("copied"), code: t("code") };
  }

  /** Show `conversation` anew. */
  show(conversation) {
    this.conversation = conversation;
    this.shown.clear();
    const nodes = path(conversation);
    if (!nodes.length) this.parent.replaceChildren(this.buildWelcome());
    else {
      const elements = nodes.map((node) => {
        const pair = this.openPair(node);
        return pair ? this.buildPair(pair) : this.buildTurn(node);
      });
      this.parent.replaceChildren(...elements);
    }
    this.follow();
  }

  /** Both answers where `node` is one of two that wait for a judgement; left first. */
  openPair(node) {
    if (!node.compare || node.compare.choice) return null;
    const both = siblings(this.conversation, node).filter((other) => other.compare?.pair === node.compare.pair);
    if (both.length !== 2) return null;
    return both.sort((one, other) => one.compare.side.localeCompare(other.compare.side)); // left < right
  }

  /** Show what has changed in `node`, at the next frame at the latest. */
  update(node) {
    const view = this.shown.get(node.id);
    if (!view || view.isDue) return;
    view.isDue = true;
    const show = () => {
      view.isDue = false;
      if (this.shown.get(node.id) !== view) return;
      const begun = performance.now();
      view.update();
      this.follow();
      view.took = performance.now() - begun;
    };
    // What takes long to show is shown less often: the page goes on answering to its reader.
    if (view.took > SLOW) setTimeout(show, view.took * 4);
    else requestAnimationFrame(show);
  }

  follow() {
    if (this.isAtEnd) this.toEnd();
  }

  toEnd() {
    this.parent.scrollTop = this.parent.scrollHeight;
    this.isAtEnd = true;
  }

  buildWelcome() {
    return h("div", { class: "welcome" }, h("h1", { text: t("welcome") }), h("p", { text: t("welcome_text") }));
  }

  buildTurn(node) {
    return node.role === "user" ? this.buildQuestion(node) : this.buildAnswer(node);
  }

  buildQuestion(node) {
    const text = h("div", { class: "question-text", dir: "auto", text: node.content });
    const element = h("article", { class: "turn question", "aria-label": t("you_wrote"), data: { id: node.id } }, text);
    const edit = iconButton("edit", t("edit"), () => this.openEditor(element, node), { class: "edit" });
    element.append(h("div", { class: "actions" }, this.buildSwitcher(node), this.buildCopy(node), edit));
    return element;
  }

  openEditor(element, node) {
    const area = h("textarea", { class: "editor", dir: "auto", "aria-label": t("edit_label"), rows: "3" });
    area.value = node.content;
    const close = () => {
      this.show(this.conversation);
      this.parent.querySelector(`[data-id="${node.id}"] .edit`)?.focus();
    };
    const save = () => (area.value.trim() && area.value !== node.content ? this.actions.edit(node, area.value) : close());
    area.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      } else if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        save();
      }
    });
    element.replaceChildren(
      area,
      h("p", { class: "note", text: t("edit_note") }),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "quiet-button", text: t("cancel"), on: { click: close } }),
        h("button", { type: "button", class: "button primary", text: t("send"), on: { click: save } }),
      ),
    );
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  buildAnswer(node, { blindName = null } = {}) {
    const name = blindName ?? node.model ?? t("model");
    const body = h("div", { class: "answer-text" });
    const state = h("div", { class: "state" });
    const foot = h("div", { class: "actions" });
    const element = h(
      "article",
      { class: "turn answer", "aria-label": t("answer_of", { name }), data: { id: node.id } },
      h("div", { class: "who", dir: "auto", text: name }),
      body,
      state,
      foot,
    );
    const markdown = new MarkdownView(body, this.words());
    let wasRunning = null;
    const update = () => {
      const isRunning = this.actions.isRunning(node);
      if (!this.inTokens.has(node.id) || isRunning) markdown.show(node.content);
      if (isRunning === wasRunning) return;
      wasRunning = isRunning;
      element.classList.toggle("running", isRunning);
      element.setAttribute("aria-busy", String(isRunning));
      state.replaceChildren(...(isRunning ? [] : this.buildState(node)));
      const isBlind = blindName !== null;
      foot.replaceChildren(...(isRunning || isBlind ? [] : this.buildAnswerActions(node, body)));
      if (!isRunning && this.inTokens.has(node.id)) this.showTokens(node, body);
    };
    this.shown.set(node.id, { element, update });
    update();
    return element;
  }

  buildState(node) {
    const notes = { length: "ended_by_length", stopped: "ended_by_you", content_filter: "ended_by_filter" };
    if (node.finish === "error" && node.error) {
      const again = h("button", { type: "button", class: "quiet-button", text: t("try_again"), on: { click: () => this.actions.retry(node) } });
      return [h("div", { class: "failure" }, ...errorInWords(node.error), node.compare && !node.compare.choice ? null : again)];
    }
    if (node.finish === null) return [h("p", { class: "note", text: t("ended_by_closing") })];
    const note = notes[node.finish];
    const found = note ? [h("p", { class: "note", text: t(note) })] : [];
    if (node.left) {
      const key = node.beyond === "server" ? "left_out_large" : "left_out";
      found.push(h("p", { class: "note", text: t(key, { count: number(node.left) }) }));
    }
    if (node.finish === "stop" && node.content === "") found.push(h("p", { class: "note", text: t("said_nothing") }));
    return found;
  }

  buildAnswerActions(node, body) {
    const isShowing = this.inTokens.has(node.id);
    const why = node.tokens?.length
      ? iconButton("why", t("why"), () => this.toggleTokens(node), { "aria-pressed": String(isShowing), class: "why" })
      : null;
    const again = iconButton("again", t("regenerate"), () => this.actions.regenerate(node), { class: "regenerate" });
    return [this.buildSwitcher(node), this.buildCopy(node), again, why, this.buildFigures(node)].filter(Boolean);
  }

  /** What an answer took: tokens, speed, settings. */
  buildFigures(node) {
    const tokens = node.usage?.completion_tokens ?? node.tokens?.length;
    const parts = [];
    if (tokens) {
      parts.push(t("num_tokens", { count: number(tokens) }));
      if (node.seconds > 0) parts.push(t("speed", { rate: number(Math.round(tokens / node.seconds)) }));
    }
    const settings = settingsInWords(node.settings, this.actions.usual(node.model));
    if (settings) parts.push(settings);
    if (node.settings?.seed !== undefined) parts.push(t("seed_was", { seed: node.settings.seed }));
    if (node.compare?.choice) parts.push(t(`judged_${node.compare.choice}_${node.compare.side}`));
    return h("span", { class: "figures", text: parts.join(" · ") });
  }

  buildCopy(node) {
    const button = iconButton("copy", t("copy"), async () => {
      if (!(await copyText(node.content))) return;
      const done = iconButton("done", t("copied"), () => {});
      button.replaceWith(done);
      done.focus();
      setTimeout(() => {
        const hadFocus = document.activeElement === done;
        done.replaceWith(button);
        if (hadFocus) button.focus();
      }, 1500);
    });
    return button;
  }

  buildSwitcher(node) {
    const all = siblings(this.conversation, node);
    if (all.length < 2) return null;
    const place = all.findIndex((other) => other.id === node.id) + 1;
    const go = (by) => () => this.actions.step(node, by);
    return h(
      "span",
      { class: "switcher", role: "group", "aria-label": t("versions") },
      iconButton("left", t("version_before"), go(-1), { class: "before" }),
      h("span", { class: "place", text: `${place} / ${all.length}` }),
      iconButton("right", t("version_after"), go(1), { class: "after" }),
    );
  }

  toggleTokens(node) {
    if (!this.inTokens.delete(node.id)) this.inTokens.add(node.id);
    this.show(this.conversation);
    const element = this.parent.querySelector(`[data-id="${node.id}"]`);
    const target = this.inTokens.has(node.id) ? ".token" : ".why";
    element?.querySelector(target)?.focus();
  }

  /** The answer as its tokens, shaded by doubt: one stop for Tab, arrows go from token to token. */
  showTokens(node, body) {
    const buttons = pieces(node.tokens).map((piece, place) =>
      h("span", {
        class: `token doubt-${Math.max(...piece.tokens.map(doubt))}`,
        role: "button",
        tabindex: place === 0 ? "0" : "-1",
        text: piece.text,
        "aria-label": piece.text.trim() === "" ? t("blank_token") : null,
        on: { click: (event) => pick(event.currentTarget) },
      }),
    );
    const found = pieces(node.tokens);
    const pick = (button) => {
      body.querySelector(".token.picked")?.classList.remove("picked");
      button.classList.add("picked");
      move(button);
      this.actions.why(node, found[buttons.indexOf(button)].tokens);
    };
    const move = (button) => {
      for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
      button.focus({ preventScroll: true });
    };
    const text = h("div", { class: "tokens", dir: "auto", role: "group", "aria-label": t("tokens_label") }, ...buttons);
    text.addEventListener("keydown", (event) => {
      const place = buttons.indexOf(document.activeElement);
      if (place < 0) return;
      const to = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: buttons.length - 1 };
      if (event.key === "Enter" || event.key === " ") pick(buttons[place]);
      else if (event.key in to) pick(buttons[Math.min(Math.max(to[event.key], 0), buttons.length - 1)]);
      else return;
      event.preventDefault();
    });
    body.replaceChildren(h("p", { class: "note", text: t("tokens_note") }), text);
  }

  /** Two answers beside each other, without their names, and what a person may say of them. */
  buildPair(pair) {
    const columns = pair.map((node) => this.buildAnswer(node, { blindName: t(node.compare.side) }));
    const isDone = () => pair.every((node) => !this.actions.isRunning(node) && node.finish !== "error" && node.finish !== null);
    const votes = ["left", "tie", "both_bad", "right"].map((choice) =>
      h("button", { type: "button", class: "button vote", text: t(`vote_${choice}`), data: { choice }, on: { click: () => this.actions.judge(pair, choice) } }),
    );
    const skip = h("button", { type: "button", class: "quiet-button", text: t("vote_skip"), data: { choice: "skip" }, on: { click: () => this.actions.judge(pair, "skipped") } });
    const ballot = h(
      "div",
      { class: "ballot", role: "group", "aria-label": t("which_is_better") },
      h("p", { class: "ballot-question", text: t("which_is_better") }),
      h("div", { class: "votes" }, ...votes),
      skip,
    );
    const refresh = () => votes.forEach((vote) => (vote.disabled = !isDone()));
    for (const node of pair) {
      const view = this.shown.get(node.id);
      const before = view.update;
      view.update = () => {
        before();
        refresh();
      };
    }
    refresh();
    return h("div", { class: "pair" }, h("div", { class: "columns" }, ...columns), ballot);
  }
}
