// What the models of the server take. Some write one text from another: they read the last message and nothing else.

import { messagesFor } from "./tree.js";

export const NO_CONFIG = { fields: [], defaults: {}, most_alternatives: 0, keeps_preferences: false };

export class Models {
  /**
   * @param {Object[]} listed  as /v1/models has them
   * @param {Object} config  what the page may ask the server for
   */
  constructor(listed = [], config = NO_CONFIG) {
    this.config = config;
    this.names = listed.filter((model) => model.can_chat !== false).map(({ id }) => id);
    this.rewriting = new Set(listed.filter((model) => model.rewrites).map(({ id }) => id));
  }

  /** Whether the server has told of them. */
  get areKnown() {
    return this.config !== NO_CONFIG;
  }

  /** Whether it writes one text from another. */
  rewrites(name) {
    return this.rewriting.has(name);
  }

  /** What it may be asked for. Those that rewrite search as they were taught where nothing is set. */
  configFor(name) {
    if (!this.rewrites(name)) return this.config;
    const fields = this.config.rewriting_fields ?? [];
    return { ...this.config, fields, defaults: {}, most_alternatives: 0, searches: true };
  }

  /** What it is sent of a conversation. */
  messagesFor(name, conversation, nodes) {
    return this.read(name, messagesFor(conversation, nodes));
  }

  /** What it reads of these messages. */
  read(name, messages) {
    return this.rewrites(name) ? messages.filter(({ role }) => role === "user").slice(-1) : messages;
  }
}
