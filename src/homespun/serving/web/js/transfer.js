// Conversations as a file, out and in. What comes in is taken apart and checked: it may be anyone's.

import { newId } from "./tree.js";

export const FORMAT = "homespun-conversations";
const SCHEMA = 1;
const MOST_BYTES = 64_000_000;
const MOST_NODES = 20_000;
const ROLES = new Set(["user", "assistant"]);

export function exportText(conversations) {
  const file = { format: FORMAT, schema: SCHEMA, exported: new Date().toISOString(), conversations };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * @returns {Object[]} conversations with new ids, so that nothing here is replaced
 * @throws {Error} where the text is not such a file
 */
export function importText(text) {
  if (text.length > MOST_BYTES) throw new Error("too large");
  const file = JSON.parse(text);
  if (file?.format !== FORMAT) throw new Error("not a file of conversations");
  if (file.schema !== SCHEMA) throw new Error(`schema ${file.schema} is not known here`);
  if (!Array.isArray(file.conversations)) throw new Error("no conversations");
  return file.conversations.map(readConversation);
}

const textOr = (value, other) => (typeof value === "string" ? value : other);
const numberOr = (value, other) => (Number.isFinite(value) ? value : other);
const idsIn = (value) => (Array.isArray(value) ? value.map(String) : []);

function readConversation(raw) {
  if (typeof raw !== "object" || raw === null) throw new Error("not a conversation");
  const source = new Map(Object.entries(raw.nodes ?? {}));
  if (source.size > MOST_NODES) throw new Error("too many messages");
  const conversation = {
    id: newId(),
    title: textOr(raw.title, "").slice(0, 200),
    created: numberOr(raw.created, Date.now()),
    updated: numberOr(raw.updated, Date.now()),
    system: textOr(raw.system, ""),
    nodes: {},
    roots: [],
    chosen: {},
  };
  // From the roots down: what hangs in a circle is never reached, and what is reached once is done.
  const queue = idsIn(raw.roots).map((id) => [id, null]);
  const seen = new Set();
  while (queue.length) {
    const [id, parent] = queue.shift();
    const node = source.get(id);
    if (!node || seen.has(id)) continue;
    seen.add(id);
    if (!ROLES.has(node.role)) throw new Error(`a message with the role ${String(node.role).slice(0, 40)}`);
    const copy = readNode(node, parent);
    conversation.nodes[copy.id] = copy;
    (parent === null ? conversation.roots : conversation.nodes[parent].children).push(copy.id);
    if (raw.chosen?.[node.parent ?? ""] === id) conversation.chosen[parent ?? ""] = copy.id;
    for (const child of idsIn(node.children)) queue.push([child, copy.id]);
  }
  return conversation;
}

function readNode(node, parent) {
  const copy = {
    id: newId(),
    parent,
    children: [],
    role: node.role,
    content: textOr(node.content, ""),
    created: numberOr(node.created, Date.now()),
  };
  if (node.role !== "assistant") return copy;
  copy.model = textOr(node.model, "").slice(0, 200);
  copy.finish = textOr(node.finish, "stop").slice(0, 40);
  copy.settings = readNumbers(node.settings);
  if (node.usage) copy.usage = readNumbers(node.usage);
  if (Number.isFinite(node.left)) copy.left = node.left;
  if (node.beyond === "server") copy.beyond = node.beyond;
  if (Number.isFinite(node.seconds)) copy.seconds = node.seconds;
  if (Array.isArray(node.tokens)) copy.tokens = node.tokens.map(readToken);
  return copy;
}

function readNumbers(raw) {
  return Object.fromEntries(Object.entries(raw ?? {}).filter(([, value]) => Number.isFinite(value)));
}

function readToken(raw) {
  const one = (token) => ({
    token: textOr(token?.token, ""),
    logprob: numberOr(token?.logprob, -100),
    bytes: Array.isArray(token?.bytes) ? token.bytes.filter((byte) => Number.isInteger(byte)) : null,
  });
  return { ...one(raw), top_logprobs: Array.isArray(raw?.top_logprobs) ? raw.top_logprobs.map(one) : [] };
}
