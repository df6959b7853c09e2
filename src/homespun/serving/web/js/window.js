// What of a conversation a model can read: its window may be small, and the earliest messages have to go, as in `homespun chat`.

import { api } from "./api.js";

const SHARE_FOR_ANSWER = 4; // one part in so many of the window is kept free, at most

/** Where each turn begins: at a question, after which come answers. */
function turnsIn(messages) {
  return messages.flatMap(({ role }, place) => (role === "user" ? [place] : []));
}

/**
 * The messages of a request that fit, and how many of the earliest did not. The system prompt and the last question always stay:
 * where they alone are too long, the server says so.
 */
export async function withinWindow({ model, messages, max_tokens: most = Infinity }, signal) {
  const starts = turnsIn(messages);
  if (starts.length < 2) return { messages, left: 0 };
  const without = (turns) => [...messages.slice(0, starts[0]), ...messages.slice(starts[turns])];
  const fits = async (turns) => {
    try {
      const { count, max_model_len: window } = await api.count(model, without(turns), signal);
      return !window || count + Math.max(1, Math.min(most, Math.floor(window / SHARE_FOR_ANSWER))) <= window;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return error.kind !== "window"; // too many messages are that as well; what else is wrong is told by the answer itself
    }
  };
  if (await fits(0)) return { messages, left: 0 };
  let [few, enough] = [0, starts.length - 1];
  while (enough - few > 1) {
    const middle = (few + enough) >> 1;
    if (await fits(middle)) enough = middle;
    else few = middle;
  }
  return { messages: without(enough), left: starts[enough] - starts[0] };
}
