// The page's words in the language of its reader.

import { STRINGS } from "./strings.js";

let language = "en";

export const languages = Object.keys(STRINGS);
export const currentLanguage = () => language;
export const otherLanguage = () => languages.find((name) => name !== language);

/** The language a browser asks for, as far as the page speaks it. */
export function preferredLanguage() {
  const wanted = (navigator.languages ?? [navigator.language]).map((name) => name.slice(0, 2).toLowerCase());
  return wanted.find((name) => languages.includes(name)) ?? "en";
}

/** The words under `key`, with `{name}` replaced. */
export function t(key, values = {}) {
  const words = STRINGS[language][key];
  if (words === undefined) throw new Error(`no words for ${key}`);
  return words.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

export const number = (value) => new Intl.NumberFormat(language).format(value);

/** Speak `name`, in all elements of the page that carry a key. */
export function setLanguage(name) {
  language = languages.includes(name) ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = t(element.dataset.placeholder);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(element.dataset.label));
    if (element.matches("button")) element.title = t(element.dataset.label);
  }
}
