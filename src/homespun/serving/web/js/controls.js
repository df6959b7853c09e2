// The controls of sampling: those that the server takes, each empty until a person sets it.

import { h } from "./dom.js";
import { number, t } from "./i18n.js";

// What a slider or a field may say. The server has the last word.
const CONTROLS = [
  { name: "temperature", min: 0, max: 2, step: 0.05 },
  { name: "top_p", min: 0.01, max: 1, step: 0.01 },
  { name: "top_k", min: 0, max: null, step: 1 },
  { name: "min_p", min: 0, max: 0.99, step: 0.01 },
  { name: "max_tokens", min: 1, max: null, step: 1 },
  { name: "seed", min: 0, max: null, step: 1 },
  { name: "repetition_penalty", min: 0.5, max: 2, step: 0.05 },
  { name: "frequency_penalty", min: -2, max: 2, step: 0.1 },
  { name: "presence_penalty", min: -2, max: 2, step: 0.1 },
];

/** Fill `parent` with controls for `values`, which they change; empty means the usual setting. */
export function buildControls(parent, { config, values, onChange }) {
  const rows = CONTROLS.filter(({ name }) => config.fields.includes(name)).map((control) =>
    buildControl(control, config.defaults[control.name], values, onChange),
  );
  parent.replaceChildren(...rows);
}

function buildControl({ name, min, max, step }, standard, values, onChange) {
  const field = h("input", {
    type: "number", min, max, step, inputmode: "decimal", name,
    placeholder: name === "seed" ? t("random") : standard === undefined ? t("standard") : number(standard),
  });
  const slider = max === null ? null : h("input", { type: "range", min, max, step, tabindex: "-1", "aria-hidden": "true" });
  const show = () => {
    const value = values[name];
    field.value = value ?? "";
    if (slider) slider.value = value ?? standard ?? min;
    slider?.classList.toggle("unset", value === undefined);
  };
  const take = (text) => {
    const value = Number(text);
    if (text === "" || !Number.isFinite(value)) delete values[name];
    else values[name] = Math.min(Math.max(step === 1 ? Math.round(value) : value, min), max ?? Number.MAX_SAFE_INTEGER);
    onChange();
  };
  field.addEventListener("change", () => {
    take(field.value);
    show();
  });
  slider?.addEventListener("input", () => {
    take(slider.value);
    field.value = slider.value;
    slider.classList.remove("unset");
  });
  show();
  const words = h("span", { class: "control-words" }, h("span", { text: t(name) }), h("small", { text: t(`${name}_hint`) }));
  return h("label", { class: "control" }, words, field, slider); // a label names its first field
}

/** Those settings in a few words that are not the usual ones, for under an answer. */
export function settingsInWords(settings, usual) {
  return CONTROLS.filter(({ name }) => settings?.[name] !== undefined && settings[name] !== usual[name] && name !== "seed")
    .map(({ name }) => `${t(name)} ${number(settings[name])}`)
    .join(" · ");
}
