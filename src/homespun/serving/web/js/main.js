// The page as a whole: what is open, what runs, and what happens when something is pressed.

import { fillAnswer, requestFor, settingsOf } from "./answer.js";
import { api } from "./api.js";
import { defaultSides, drawPair, saveChoice, showSides } from "./compare.js";
import { buildControls } from "./controls.js";
import { Counter } from "./counter.js";
import { announce, byId, h } from "./dom.js";
import { errorInWords, errorSentence } from "./errors.js";
import { currentLanguage, otherLanguage, preferredLanguage, setLanguage, t } from "./i18n.js";
import { listenToKeys, showShortcuts } from "./keys.js";
import { Link } from "./link.js";
import { Models } from "./models.js";
import { Panels } from "./panels.js";
import { Shelf } from "./shelf.js";
import { keyring, Preferences, Store } from "./store.js";
import { addNode, choose, chooseSibling, join, messagesFor, newConversation, path, pathTo, titleFrom } from "./tree.js";
import { Turns } from "./turns.js";
import { showWhy } from "./why.js";

const SAVE_EVERY = 1500; // milliseconds, while an answer is written
const LONGEST_READ_OUT = 1500; // characters of an answer that a screen reader is given at its end
const THEMES = ["auto", "light", "dark"];

class Page {
  constructor(store) {
    this.store = store;
    this.preferences = new Preferences();
    this.conversations = new Map();
    this.current = newConversation();
    this.running = new Map(); // node id: {controller, conversation}
    this.models = new Models();
    this.settings = this.preferences.get("settings", {});
    this.sides = this.preferences.get("sides", null);
    this.isComparing = false;
    this.whyTokens = null;
    this.removed = new Set(); // ids; an answer that still ends does not bring its conversation back
    this.link = new Link(() => this.connect());
    this.counter = new Counter(byId("count"));
    this.panels = new Panels((name) => this.fillPane(name));
    this.shelf = new Shelf(byId("conversations"), {
      open: (id) => this.open(id),
      rename: (conversation, title) => this.rename(conversation, title),
      remove: (conversation) => this.remove(conversation),
      add: (conversations) => this.add(conversations),
      all: () => [...this.conversations.values()],
      fail: (key, detail) => this.tell(t(key), detail),
    });
    this.turns = new Turns(byId("turns"), {
      regenerate: (node) => this.regenerate(node),
      retry: (node) => this.regenerate(node),
      edit: (node, text) => this.ask(text, node.parent),
      step: (node, by) => this.step(node, by),
      judge: (pair, choice) => this.judge(pair, choice),
      why: (node, tokens) => this.why(tokens),
      usual: (model) => this.models.configFor(model).defaults,
      isRunning: (node) => this.running.has(node.id),
      onScroll: (isAtEnd) => (byId("latest").hidden = isAtEnd || !path(this.current).length),
    });
  }

  async start() {
    this.speak(this.preferences.get("language", preferredLanguage()));
    this.setTheme(this.preferences.get("theme", "auto"));
    this.listen();
    for (const conversation of await this.store.all()) this.conversations.set(conversation.id, conversation);
    byId("store-note").hidden = this.store.isKept;
    this.store.onChange((id) => this.reload(id));
    const last = this.conversations.get(this.preferences.get("open", ""));
    this.open(last?.id ?? null, { focus: true });
    await this.connect();
  }

  /** Learn what the server has. Asked again after it was away, or with another key. */
  async connect() {
    try {
      const config = await api.config();
      this.models = new Models(await api.models(), config);
    } catch (error) {
      this.meet(error);
      return;
    }
    this.showBanner(null);
    const picker = byId("model");
    const { names } = this.models;
    picker.replaceChildren(...names.map((name) => h("option", { value: name, text: name })));
    const wanted = this.preferences.get("model", "");
    picker.value = names.includes(wanted) ? wanted : (names[0] ?? "");
    this.fillPanes();
    this.recount();
  }

  get model() {
    return byId("model").value;
  }

  // ---- what is shown

  speak(name) {
    setLanguage(name);
    this.refresh();
    this.fillPanes();
    if (this.link.isLost) this.link.showBanner();
    this.recount();
  }

  setTheme(name) {
    this.theme = name;
    document.documentElement.dataset.theme = name;
    const label = `${t("theme")}: ${t(`theme_${name}`)}`;
    byId("theme").setAttribute("aria-label", label);
    byId("theme").title = label;
  }

  refresh() {
    this.shelf.show(this.conversations.values(), this.current.id);
    this.turns.show(this.current);
    this.refreshButtons();
    document.title = this.current.title ? `${this.current.title} · Homespun` : "Homespun";
  }

  refreshButtons() {
    const isRunning = this.runsHere();
    const hadFocus = document.activeElement === byId("send") || document.activeElement === byId("stop");
    byId("send").hidden = isRunning;
    byId("stop").hidden = !isRunning;
    if (hadFocus) byId(isRunning ? "stop" : "send").focus();
    byId("comparing").setAttribute("aria-pressed", String(this.isComparing));
  }

  fillPanes() {
    this.fillPane("settings");
    this.fillPane("compare");
    showWhy(byId("pane-why"), this.whyTokens);
  }

  fillPane(name) {
    if (name === "settings") {
      const rewrites = this.models.rewrites(this.model);
      byId("system").value = this.current.system;
      byId("system-field").hidden = rewrites;
      byId("rewrites-note").hidden = !rewrites;
      const onChange = () => this.preferences.set("settings", this.settings);
      const config = this.models.configFor(this.model);
      buildControls(byId("sampling"), { config, values: this.settings, onChange });
      byId("about").textContent = config.version ? `Homespun ${config.version}` : "";
    } else if (name === "compare" && this.models.names.length) {
      const onChange = () => this.preferences.set("sides", this.sides);
      showSides(byId("pane-compare"), { sides: this.chosenSides(), models: this.models, onChange });
    }
  }

  chosenSides() {
    const { names } = this.models;
    const isKnown = this.sides?.length === 2 && this.sides.every((side) => names.includes(side.model));
    if (!isKnown) {
      this.sides = defaultSides(names, this.model, this.settings, this.models.configFor(this.model).defaults);
    }
    return this.sides;
  }

  recount() {
    this.counter.soon(() => {
      const draft = byId("draft").value;
      const messages = messagesFor(this.current, path(this.current));
      if (draft.trim()) messages.push({ role: "user", content: draft });
      return { model: this.model, messages: this.models.read(this.model, messages) };
    });
  }

  showBanner(elements) {
    byId("banner").hidden = !elements;
    byId("banner").replaceChildren(...(elements ?? []));
  }

  /** Tell of something that went wrong outside of an answer. */
  tell(sentence, detail = "") {
    const close = h("button", { type: "button", class: "quiet-button", text: t("close"), on: { click: () => this.showBanner(null) } });
    this.showBanner([h("span", { text: detail ? `${sentence} (${detail})` : sentence }), close]);
  }

  /** Deal with an error of the server that has no answer to be shown in. */
  meet(error) {
    if (error.kind === "offline") this.link.lose();
    else if (error.kind === "key") this.askForKey({ isWrong: keyring.get() !== "" });
    else this.tell(errorSentence(error), error.detail ?? "");
  }

  // ---- conversations

  open(id, { focus = false } = {}) {
    this.current = this.conversations.get(id) ?? newConversation();
    this.preferences.set("open", id ?? "");
    this.turns.inTokens.clear();
    this.turns.isAtEnd = true;
    this.refresh();
    this.fillPane("settings");
    this.panels.closeShelf();
    this.recount();
    if (focus || id === null) byId("draft").focus();
  }

  /** Another window has changed a conversation. */
  async reload(id) {
    const kept = await this.store.get(id);
    const own = this.conversations.get(id);
    const isBusy = [...this.running.values()].some(({ conversation }) => conversation.id === id);
    if (isBusy && !kept) return;
    if (own && kept) {
      // Both may have asked or answered at the same time: nothing of either is lost.
      const before = Object.keys(own.nodes).length;
      if (join(own, kept) && !isBusy) this.save(own); // else what runs here is saved at its end
      if (isBusy && Object.keys(own.nodes).length === before) return;
    } else if (kept) this.conversations.set(id, kept);
    else this.conversations.delete(id);
    if (this.current.id === id && !kept) this.current = newConversation();
    const system = byId("system");
    if (this.current.id === id && document.activeElement !== system) system.value = this.current.system;
    if (!this.turns.parent.querySelector(".editor")) this.refresh();
  }

  async save(conversation) {
    if (this.removed.has(conversation.id)) return;
    this.conversations.set(conversation.id, conversation);
    const isSaved = await this.store.save(conversation);
    if (!isSaved && this.store.isKept) this.tell(t("error_store"));
  }

  rename(conversation, title) {
    Object.assign(conversation, { title, told: Date.now() });
    this.save(conversation);
    this.refresh();
  }

  remove(conversation) {
    this.removed.add(conversation.id);
    this.stop(conversation);
    this.conversations.delete(conversation.id);
    this.store.remove(conversation.id);
    if (conversation.id === this.current.id) this.open(null);
    else {
      this.refresh();
      byId("new-conversation").focus(); // the button that was pressed is gone
    }
  }

  add(conversations) {
    for (const conversation of conversations) this.save(conversation);
    if (conversations.length) this.open(conversations[0].id);
    announce(t("imported", { count: conversations.length }));
  }

  // ---- asking and answering

  runsHere(conversation = this.current) {
    return [...this.running.values()].some((run) => run.conversation === conversation);
  }

  send() {
    const text = byId("draft").value;
    if (!text.trim() || this.runsHere()) return;
    // What models there are is known once the server has told: it was away, or wanted a key.
    if (!this.model) return this.models.areKnown ? this.tell(t("no_model")) : this.connect();
    const last = path(this.current).at(-1);
    if (last && this.turns.openPair(last)) return this.tell(t("judge_first"));
    byId("draft").value = "";
    return this.ask(text, last?.id ?? null);
  }

  /** Add a question below `parent` and answer it. */
  ask(text, parent) {
    if (this.runsHere()) return;
    const conversation = this.current;
    if (!conversation.title) Object.assign(conversation, { title: titleFrom(text), told: Date.now() });
    const question = addNode(conversation, parent, { role: "user", content: text });
    this.preferences.set("open", conversation.id);
    this.turns.isAtEnd = true;
    if (this.isComparing) this.answerTwice(conversation, question);
    else this.answer(conversation, question);
  }

  regenerate(node) {
    if (this.runsHere()) return;
    this.answer(this.current, this.current.nodes[node.parent]);
  }

  step(node, by) {
    if (this.runsHere()) return;
    const next = chooseSibling(this.current, node, by);
    this.save(this.current);
    this.turns.isAtEnd = false;
    this.turns.show(this.current);
    this.recount();
    const side = by < 0 ? ".before" : ".after";
    byId("turns").querySelector(`[data-id="${next.id}"] ${side}`)?.focus();
  }

  async answer(conversation, question) {
    const { model, settings } = this;
    const messages = this.models.messagesFor(model, conversation, pathTo(conversation, question));
    const body = requestFor({ model, messages, settings, config: this.models.configFor(model) });
    const node = addNode(conversation, question.id, { role: "assistant", model, settings: settingsOf(body) });
    await this.run(conversation, [{ node, body }]);
  }

  async answerTwice(conversation, question) {
    const messages = messagesFor(conversation, pathTo(conversation, question));
    const jobs = drawPair(this.chosenSides(), messages, this.models).map(({ body, fields }) => ({
      body,
      node: addNode(conversation, question.id, fields),
    }));
    await this.run(conversation, jobs);
  }

  /** Fill answers at the same time, and keep them. */
  async run(conversation, jobs) {
    const controller = new AbortController();
    for (const { node } of jobs) this.running.set(node.id, { controller, conversation });
    this.refresh();
    // What was pressed to ask may be gone: who works by keyboard is not sent back to the top.
    if (document.activeElement === document.body) byId("stop").focus();
    announce(t("answer_begins"));
    let saved = performance.now();
    await Promise.all(
      jobs.map(async ({ node, body }) => {
        const onChange = () => {
          node.changed = Date.now();
          this.turns.update(node);
          if (performance.now() - saved > SAVE_EVERY) {
            saved = performance.now();
            this.save(conversation);
          }
        };
        try {
          await fillAnswer(node, body, { signal: controller.signal, onChange });
        } finally {
          this.running.delete(node.id);
          node.changed = Date.now();
          this.turns.update(node);
        }
      }),
    );
    conversation.updated = Date.now();
    await this.save(conversation);
    this.finished(conversation, jobs.map(({ node }) => node));
  }

  finished(conversation, nodes) {
    this.shelf.show(this.conversations.values(), this.current.id);
    if (conversation === this.current) {
      this.refreshButtons();
      this.recount();
      for (const node of nodes) this.turns.update(node);
    }
    const failed = nodes.find((node) => node.error);
    if (failed?.error.kind === "offline") this.link.lose();
    else if (failed?.error.kind === "key") this.askForKey({ isWrong: keyring.get() !== "" });
    if (failed) announce(errorSentence(failed.error));
    else if (nodes.length === 1) announce(`${t("answer_done")} ${nodes[0].content.slice(0, LONGEST_READ_OUT)}`);
    else announce(t("pair_done"));
  }

  stop(conversation = this.current) {
    const runs = [...this.running.values()].filter((run) => run.conversation === conversation);
    for (const { controller } of runs) controller.abort();
    return runs.length > 0;
  }

  async judge(pair, choice) {
    if (choice === "skipped") this.stop();
    else if (this.models.config.keeps_preferences) {
      try {
        await saveChoice(this.current, pair, choice, { language: currentLanguage(), models: this.models });
      } catch (error) {
        this.meet(error);
        return;
      }
    }
    for (const node of pair) Object.assign(node, { compare: { ...node.compare, choice }, changed: Date.now() });
    choose(this.current, choice === "right" ? pair[1] : pair[0]);
    await this.save(this.current);
    this.turns.show(this.current);
    const isSaved = choice !== "skipped" && this.models.config.keeps_preferences;
    announce(t(isSaved ? "choice_saved" : "choice_taken"));
    byId("draft").focus();
  }

  why(tokens) {
    this.whyTokens = tokens;
    showWhy(byId("pane-why"), tokens);
    this.panels.open("why", { focus: false });
  }

  toggleComparing() {
    this.isComparing = !this.isComparing;
    this.refreshButtons();
    if (this.isComparing) {
      this.chosenSides();
      this.panels.open("compare", { focus: false });
    }
    announce(t(this.isComparing ? "comparing_on" : "comparing_off"));
  }

  /** `isWrong`: there was one, and the server does not know it. */
  async askForKey({ isWrong = false } = {}) {
    const dialog = byId("key-dialog");
    if (dialog.open) return;
    byId("key").value = keyring.get();
    byId("key-wrong").hidden = !isWrong;
    dialog.returnValue = "cancel";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "ok") return;
    keyring.set(byId("key").value.trim());
    byId("key").value = "";
    await this.connect();
  }

  // ---- what is pressed

  listen() {
    const draft = byId("draft");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    draft.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a word; Safari tells it by the code 229 alone.
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
      event.preventDefault();
      this.send();
    });
    const growsAlone = CSS.supports("field-sizing", "content");
    draft.addEventListener("input", () => {
      if (!growsAlone) draft.rows = Math.min(draft.value.split("\n").length, 12);
      this.recount();
    });
    byId("stop").addEventListener("click", () => this.stop());
    byId("latest").addEventListener("click", () => this.turns.toEnd());
    byId("comparing").addEventListener("click", () => this.toggleComparing());
    byId("new-conversation").addEventListener("click", () => this.open(null));
    byId("language").addEventListener("click", () => {
      this.preferences.set("language", otherLanguage());
      this.speak(otherLanguage());
      this.setTheme(this.theme);
    });
    byId("theme").addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length];
      this.preferences.set("theme", next);
      this.setTheme(next);
      announce(t(`theme_${next}`));
    });
    byId("model").addEventListener("change", () => {
      this.preferences.set("model", this.model);
      this.fillPane("settings");
      this.recount();
    });
    byId("system").addEventListener("input", () => {
      Object.assign(this.current, { system: byId("system").value, told: Date.now() });
      if (this.conversations.has(this.current.id)) this.save(this.current);
      this.recount();
    });
    byId("reset-sampling").addEventListener("click", () => {
      this.settings = {};
      this.preferences.set("settings", {});
      this.fillPane("settings");
    });
    byId("enter-key").addEventListener("click", () => this.askForKey());
    byId("show-shortcuts").addEventListener("click", () => showShortcuts());
    listenToKeys(this);
  }
}

new Page(await Store.open()).start();
