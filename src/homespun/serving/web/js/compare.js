// Compare: two models or two settings answer the same question, without names and in random order.

import { api } from "./api.js";
import { requestFor, settingsOf } from "./answer.js";
import { buildControls } from "./controls.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { messagesFor, newId, pathTo } from "./tree.js";

const SCHEMA = 1; // of the records that the server keeps

/** Two sides that differ: another model where there is one, else a freer choice of words. */
export function defaultSides(models, model, settings, usual) {
  const other = models.find((name) => name !== model);
  const second = { ...settings };
  if (!other) second.temperature = Math.min((settings.temperature ?? usual.temperature ?? 0) + 0.5, 2);
  return [
    { model, settings: { ...settings } },
    { model: other ?? model, settings: second },
  ];
}

export const areSame = ([one, other]) =>
  one.model === other.model &&
  JSON.stringify(Object.entries(one.settings).sort()) === JSON.stringify(Object.entries(other.settings).sort());

/** Fill the panel in which the two sides are chosen, of `models`. */
export function showSides(parent, { sides, models, onChange }) {
  const forms = sides.map((side, place) => {
    const picker = h("select", { "aria-label": t("model") }, ...models.names.map((name) => h("option", { value: name, text: name })));
    picker.value = side.model;
    const changed = () => {
      onChange();
      warn();
    };
    const controls = h("div");
    const build = () =>
      buildControls(controls, { config: models.configFor(side.model), values: side.settings, onChange: changed });
    picker.addEventListener("change", () => {
      side.model = picker.value;
      build();
      changed();
    });
    build();
    return h(
      "fieldset",
      { class: "side" },
      h("legend", { text: t(place === 0 ? "side_one" : "side_two") }),
      picker,
      h("details", { open: place === 1 && sides[0].model === sides[1].model }, h("summary", { text: t("sampling") }), controls),
    );
  });
  const warning = h("p", { class: "warning", role: "status" });
  const warn = () => (warning.textContent = areSame(sides) ? t("sides_same") : "");
  warn();
  parent.replaceChildren(
    h("h2", { class: "pane-title", text: t("compare") }),
    h("p", { text: t("compare_text") }),
    h("p", { class: "note", text: t(models.config.keeps_preferences ? "compare_kept" : "compare_not_kept") }),
    ...forms,
    warning,
  );
}

/** What two answers of a pair are asked with, of `models`: which side stands left is drawn by chance. */
export function drawPair(sides, messages, models) {
  const isSwapped = crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 1;
  const order = isSwapped ? [sides[1], sides[0]] : sides;
  const pair = newId();
  return order.map(({ model, settings }, place) => {
    const body = requestFor({ model, messages: models.read(model, messages), settings, config: models.configFor(model) });
    const compare = { pair, side: place === 0 ? "left" : "right", choice: null };
    return { body, fields: { role: "assistant", model, settings: settingsOf(body), compare } };
  });
}

/** Send a person's choice to the server. */
export async function saveChoice(conversation, [left, right], choice, { language, models }) {
  const before = conversation.nodes[left.parent];
  const asked = messagesFor(conversation, pathTo(conversation, before));
  // What neither of them read is no part of what they were asked.
  asked.splice(asked[0].role === "system" ? 1 : 0, Math.min(left.left ?? 0, right.left ?? 0));
  const answer = (node) => ({
    model: node.model,
    settings: node.settings,
    text: node.content,
    finish_reason: node.finish,
  });
  await api.savePreference({
    schema_version: SCHEMA,
    prompt: models.rewrites(right.model) ? models.read(left.model, asked) : asked,
    left: answer(left),
    right: answer(right),
    choice,
    language,
  });
}
