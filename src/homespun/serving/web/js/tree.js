// A conversation is a tree of messages: editing or asking again adds a sibling, nothing is lost.
//
// conversation: {id, title, created, updated, system, nodes: {id: node}, roots: [id], chosen: {parent id or "": child id},
//               told: when the title or the system prompt last was changed}
// node: {id, parent, role, content, children: [id], created} and, for answers, {model, settings, finish, usage,
//       tokens, seconds, error, compare, left: earliest messages that did not fit, beyond: into the
//       "window" or what the "server" takes, changed: when any of that last was}

export const newId = () =>
  // randomUUID is there on https and this machine only.
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export function newConversation() {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, system: "", nodes: {}, roots: [], chosen: {} };
}

/** Add a message below `parent` (null at the beginning), and go there. */
export function addNode(conversation, parent, fields) {
  const node = { id: newId(), parent, children: [], created: Date.now(), content: "", ...fields };
  conversation.nodes[node.id] = node;
  siblingsUnder(conversation, parent).push(node.id);
  conversation.chosen[parent ?? ""] = node.id;
  conversation.updated = node.created;
  return node;
}

function siblingsUnder(conversation, parent) {
  return parent === null ? conversation.roots : conversation.nodes[parent].children;
}

export function siblings(conversation, node) {
  return siblingsUnder(conversation, node.parent).map((id) => conversation.nodes[id]);
}

const changedAt = (node) => node.changed ?? node.created;

/**
 * Take into `conversation` what another window has kept of it. Messages are only ever added, so both windows come to
 * have those of both; of a message that both have, the later state counts. Where one is stays.
 *
 * @returns {boolean} whether `other` lacks something that is here
 */
export function join(conversation, other) {
  let hasMore = false;
  for (const node of Object.values(other.nodes)) {
    const own = conversation.nodes[node.id];
    if (!own) conversation.nodes[node.id] = { ...node, children: [...node.children] };
    else if (changedAt(node) > changedAt(own)) Object.assign(own, node, { children: own.children });
  }
  for (const node of Object.values(conversation.nodes)) {
    const theirs = other.nodes[node.id];
    if (!theirs || changedAt(node) > changedAt(theirs)) hasMore = true;
    if (theirs) addMissing(node.children, theirs.children);
  }
  addMissing(conversation.roots, other.roots);
  conversation.chosen = { ...other.chosen, ...conversation.chosen };
  if ((other.told ?? 0) > (conversation.told ?? 0)) {
    const { title, system, told } = other;
    Object.assign(conversation, { title, system, told });
  }
  conversation.updated = Math.max(conversation.updated, other.updated);
  return hasMore;
}

function addMissing(ids, more) {
  for (const id of more) if (!ids.includes(id)) ids.push(id);
}

/** The messages from the beginning to where one is, in order. */
export function path(conversation) {
  const found = [];
  let parent = null;
  for (;;) {
    const ids = siblingsUnder(conversation, parent);
    if (!ids.length) return found;
    const chosen = conversation.chosen[parent ?? ""];
    const id = ids.includes(chosen) ? chosen : ids.at(-1);
    found.push(conversation.nodes[id]);
    parent = id;
  }
}

/** The messages up to and with `node`. */
export function pathTo(conversation, node) {
  const found = [];
  for (let at = node; at; at = at.parent === null ? null : conversation.nodes[at.parent]) found.unshift(at);
  return found;
}

export function choose(conversation, node) {
  conversation.chosen[node.parent ?? ""] = node.id;
}

/** Go to the sibling `step` places on, around at the ends. */
export function chooseSibling(conversation, node, step) {
  const all = siblings(conversation, node);
  const place = all.findIndex((other) => other.id === node.id);
  const next = all[(place + step + all.length) % all.length];
  choose(conversation, next);
  return next;
}

/** What is sent to the server: roles and texts, empty answers left out. */
export function messagesFor(conversation, nodes) {
  const messages = nodes.filter((node) => node.content !== "").map(({ role, content }) => ({ role, content }));
  const system = conversation.system.trim();
  return system ? [{ role: "system", content: system }, ...messages] : messages;
}

/** A title from a first message: its first line, cut between words. */
export function titleFrom(text) {
  const line = text.trim().split("\n")[0].trim();
  const letters = [...line]; // of which rare Chinese ones and emoji are two units each
  if (letters.length <= 48) return line;
  const cut = letters.slice(0, 48).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > 24 ? cut.slice(0, space) : cut}…`;
}
