// What of a conversation a model can read: its window may be small, or the conversation larger than the server takes, and the
// earliest messages have to go, as in `homespun chat`.

import { api, isTooLarge } from "./api.js";

const SHARE_FOR_ANSWER = 4; // one part in so many of the window is kept free, at most

/** Where each turn begins: at a question, after which come answers. */
function turnsIn(messages) {
  return messages.flatMap(({ role }, place) => (role === "user" ? [place] : []));
}

/**
 * The messages of a request that fit, how many of the earliest did not, and what they were too much for: the model's "window" or
 * the "server". The system prompt and the last question always stay: where they alone are too long, that is an error.
 */
export async function withinWindow(body, signal) {
  const { model, messages, max_tokens: most = Infinity } = body;
  const starts = turnsIn(messages);
  if (starts.length < 2) return { messages, left: 0, beyond: "" };
  const without = (turns) => [...messages.slice(0, starts[0]), ...messages.slice(starts[turns])];
  /** What it is too much for without that many turns; "" where it fits. */
  const excess = async (turns) => {
    const rest = without(turns);
    if (isTooLarge({ ...body, messages: rest })) return "server";
    try {
      const { count, max_model_len: window } = await api.count(model, rest, signal);
      const fits = !window || count + Math.max(1, Math.min(most, Math.floor(window / SHARE_FOR_ANSWER))) <= window;
      return fits ? "" : "window";
    } catch (error) {
      if (error.name === "AbortError") throw error;
      // Too many messages are that as well; what else is wrong is told by the answer itself.
      return { window: "window", large: "server" }[error.kind] ?? "";
    }
  };
  let beyond = await excess(0);
  if (!beyond) return { messages, left: 0, beyond };
  let [few, enough] = [0, starts.length - 1];
  while (enough - few > 1) {
    const middle = (few + enough) >> 1;
    const found = await excess(middle);
    if (!found) enough = middle;
    else [few, beyond] = [middle, found];
  }
  return { messages: without(enough), left: starts[enough] - starts[0], beyond };
}
