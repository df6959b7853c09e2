// What went wrong, in plain words, and beneath it the server's own sentence.

import { h } from "./dom.js";
import { number, t } from "./i18n.js";

const KINDS = new Set(["offline", "cut", "key", "refused", "missing", "large", "busy", "full", "server", "invalid", "window"]);

export function errorSentence({ kind, retryAfter }) {
  const sentence = t(KINDS.has(kind) ? `error_${kind}` : "error_page");
  return kind === "busy" && retryAfter ? `${sentence} ${t("retry_after", { seconds: number(retryAfter) })}` : sentence;
}

/** Elements that tell of an error. */
export function errorInWords(error) {
  const detail = error.detail ? h("p", { class: "detail", dir: "auto" }, h("span", { text: `${t("server_says")} ` }), error.detail) : null;
  return [h("p", { text: errorSentence(error) }), detail].filter(Boolean);
}
