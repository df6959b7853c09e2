// "Why this word?": what else the model held likely where it wrote a token.

import { h } from "./dom.js";
import { currentLanguage, t } from "./i18n.js";
import { percent, probability, visible } from "./tokens.js";

/** Show in `parent` the alternatives of `tokens`; usually one, several where a character has several. */
export function showWhy(parent, tokens) {
  if (!tokens?.length) {
    parent.replaceChildren(h("p", { class: "note", text: t("why_empty") }));
    return;
  }
  const parts = tokens.map(buildToken);
  if (tokens.length > 1) parts.unshift(h("p", { class: "note", text: t("why_several", { count: tokens.length }) }));
  parent.replaceChildren(h("h2", { class: "pane-title", text: t("why") }), ...parts, h("p", { class: "note", text: t("why_note") }));
}

function buildToken(token) {
  const language = currentLanguage();
  const rank = token.top_logprobs.findIndex((other) => isSame(other, token)) + 1;
  const rows = token.top_logprobs.map((other) => ({ ...other, isChosen: isSame(other, token) }));
  if (rank === 0) rows.push({ ...token, isChosen: true });
  const told = rows.reduce((sum, row) => sum + probability(row), 0);
  const sentence = t(rank === 1 ? "why_first" : rank > 1 ? "why_rank" : "why_beyond", {
    share: percent(probability(token), language),
    rank,
    count: token.top_logprobs.length,
  });
  const list = h("ol", { class: "bars" }, ...rows.map((row) => buildBar(visible(row), probability(row), row.isChosen)));
  if (told < 0.9995) list.append(buildBar(t("all_others"), 1 - told, false, "others"));
  return h("div", { class: "why-token" }, h("p", {}, h("code", { class: "chosen", dir: "auto", text: visible(token) }), ` ${sentence}`), list);
}

const isSame = (one, other) =>
  one.token === other.token && String(one.bytes ?? "") === String(other.bytes ?? "") && Math.abs(one.logprob - other.logprob) < 1e-6;

function buildBar(name, share, isChosen, extra = "") {
  const fill = h("span", { class: "bar-fill" });
  fill.style.inlineSize = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return h(
    "li",
    { class: `bar-row ${isChosen ? "is-chosen" : ""} ${extra}`.trim() },
    h("bdi", { class: "bar-name", text: name }),
    h("span", { class: "bar-track", "aria-hidden": "true" }, fill),
    h("span", { class: "bar-share", text: percent(share, currentLanguage()) }),
    isChosen ? h("span", { class: "hidden", text: t("was_chosen") }) : null,
  );
}
