// One answer: the request that asks for it, and the message it fills.

import { streamChat } from "./api.js";
import { withinWindow } from "./window.js";

const MOST_TOKENS_KEPT = 4000; // alternatives of longer answers are not kept: they would fill the browser's store
const DRAWS = ["temperature", "top_p", "top_k", "min_p"];

/** What is asked for: all settings, so that an answer can be had again, and alternatives where there are any. */
export function requestFor({ model, messages, settings, config }) {
  const body = { model, messages, stream: true };
  const takes = (name) => config.fields.includes(name);
  const wanted = { ...config.defaults, ...settings };
  for (const [name, value] of Object.entries(wanted)) if (takes(name)) body[name] = value;
  // A search comes to the same whatever the seed.
  const isDrawn = !config.searches || DRAWS.some((name) => body[name] !== undefined);
  if (takes("seed") && body.seed === undefined && isDrawn) body.seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
  if (takes("stream_options")) body.stream_options = { include_usage: true };
  if (takes("logprobs") && config.most_alternatives > 0) {
    body.logprobs = true;
    body.top_logprobs = config.most_alternatives;
  }
  return body;
}

/** The settings of a request that a person can set. */
export function settingsOf(body) {
  const { model, messages, stream, stream_options, logprobs, top_logprobs, ...settings } = body;
  return settings;
}

/**
 * Fill `node` with what the server answers to `body`; `onChange` is called after each piece.
 * The earliest messages are left out where the model's window cannot hold them or the server takes no more; `left` says how many,
 * `beyond` which of the two it was.
 * The node ends with a `finish`: "stop", "length", "stopped" by the person, or "error" with the `error`.
 */
export async function fillAnswer(node, body, { signal, onChange }) {
  const begun = performance.now();
  Object.assign(node, { finish: null, error: null, tokens: [], usage: null, left: 0, beyond: "" });
  try {
    const { messages, left, beyond } = await withinWindow(body, signal);
    Object.assign(node, { left, beyond });
    for await (const chunk of streamChat({ ...body, messages }, signal)) {
      node.firstAfter ??= performance.now() - begun;
      takeChunk(node, chunk);
      onChange();
    }
    node.finish ??= "stop";
  } catch (error) {
    if (error.name === "AbortError") node.finish = "stopped";
    else {
      node.finish = "error";
      node.error = { kind: error.kind ?? "page", detail: error.detail ?? "", retryAfter: error.retryAfter ?? null };
      if (!error.kind) throw error; // a mistake of this page's own
    }
  } finally {
    node.seconds = (performance.now() - begun) / 1000;
    onChange();
  }
}

function takeChunk(node, chunk) {
  if (chunk.usage) node.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const thought = choice.delta?.reasoning_content ?? "";
  const said = choice.delta?.content ?? "";
  if (thought) {
    node.content += (node.thinks ? "" : "<think>\n") + thought; // as the model wrote it
    node.thinks = true;
  }
  if (said) {
    node.content += (node.thinks ? "\n</think>\n\n" : "") + said;
    node.thinks = false;
  }
  const tokens = choice.logprobs?.content ?? [];
  if (node.tokens && node.tokens.length + tokens.length <= MOST_TOKENS_KEPT) node.tokens.push(...tokens);
  else node.tokens = null;
  if (choice.finish_reason) node.finish = choice.finish_reason;
}
