// What the page asks of its server, in OpenAI's words.

import { keyring } from "./store.js";

/** An answer that is an error. `kind` is the page's word for it, `detail` the server's own sentence. */
export class ApiError extends Error {
  constructor(kind, { detail = "", status = 0, retryAfter = null } = {}) {
    super(detail || kind);
    this.kind = kind;
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const SENDABLE = /^[ -~]*$/;
const KINDS = { 401: "key", 403: "refused", 404: "missing", 413: "large", 429: "busy", 503: "busy", 507: "full" };

function kindOf(status, error) {
  const told = `${error?.code ?? ""} ${error?.type ?? ""}`;
  if (/context_length|window|too_long|too_many_messages|too_many_objects/.test(told)) return "window";
  return KINDS[status] ?? (status >= 500 ? "server" : "invalid");
}

async function errorFrom(response) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // A proxy's page perhaps: the status says enough.
  }
  const retryAfter = Number.parseInt(response.headers.get("retry-after"), 10);
  return new ApiError(kindOf(response.status, error), {
    detail: typeof error?.message === "string" ? error.message : "",
    status: response.status,
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : null,
  });
}

let mostBytes = Infinity; // of a request's body, as the server says

/** The text of a request, or null where it is more than the server takes. */
function textOf(body) {
  const text = JSON.stringify(body);
  return new Blob([text]).size > mostBytes ? null : text;
}

/** Whether `body` is more than the server takes. */
export const isTooLarge = (body) => textOf(body) === null;

async function send(address, { body, signal } = {}) {
  const text = body === undefined ? undefined : textOf(body);
  // Not sent: a connection that ends while much is still on its way is told from a server that is gone by nothing.
  if (text === null) throw new ApiError("large");
  const headers = {};
  const key = keyring.get();
  // No header can hold another: asking would fail as if nobody were there.
  if (!SENDABLE.test(key)) throw new ApiError("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: text,
      signal,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("offline");
  }
  if (!response.ok) throw await errorFrom(response);
  return response;
}

const json = async (address, options) => (await send(address, options)).json();

export const api = {
  async config() {
    const told = await json("page/config");
    mostBytes = told.most_body_bytes ?? Infinity;
    return told;
  },
  models: async () => (await json("v1/models")).data,
  /** The tokens that a conversation takes: `{count, max_model_len}`. */
  count: (model, messages, signal) => json("tokenize", { body: { model, messages }, signal }),
  savePreference: (record) => json("page/preferences", { body: record }),
  /** Whether the server answers at all. */
  async isThere() {
    try {
      await fetch("health", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      return true;
    } catch {
      return false;
    }
  },
};

/**
 * Stream an answer. Yields the chunks of OpenAI's `chat.completion.chunk`.
 * @throws {ApiError} also where the stream breaks off ("cut")
 */
export async function* streamChat(body, signal) {
  const response = await send("v1/chat/completions", { body, signal });
  let isDone = false;
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") {
        isDone = true; // and read on to the end, so that the connection can be used again
        continue;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) {
        throw new ApiError(kindOf(chunk.error.status ?? 500, chunk.error), { detail: chunk.error.message ?? "" });
      }
      yield chunk;
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw new ApiError("cut");
  }
  if (!isDone) throw new ApiError("cut");
}

/** The data of server-sent events (WHATWG HTML, 9.2.6); comments and other fields are left out. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?=.)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        } else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
