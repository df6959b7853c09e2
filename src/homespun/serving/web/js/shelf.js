// The list of conversations: open, rename, delete, export.

import { byId, download, h, iconButton } from "./dom.js";
import { t } from "./i18n.js";
import { exportText, importText } from "./transfer.js";

export class Shelf {
  /**
   * @param {HTMLElement} list
   * @param {Object} actions  `open(id)`, `rename(conversation, title)`, `remove(conversation)`,
   *                          `add(conversations)`, `all()`, `fail(key, detail)`
   */
  constructor(list, actions) {
    this.list = list;
    this.actions = actions;
    byId("export-all").addEventListener("click", () => this.save(actions.all(), "homespun"));
    byId("import").addEventListener("click", () => byId("import-file").click());
    byId("import-file").addEventListener("change", (event) => this.load(event.target));
  }

  show(conversations, currentId) {
    const sorted = [...conversations].sort((one, other) => other.updated - one.updated);
    this.list.replaceChildren(...sorted.map((conversation) => this.buildEntry(conversation, conversation.id === currentId)));
  }

  buildEntry(conversation, isCurrent) {
    const title = conversation.title || t("untitled");
    const open = h("button", {
      type: "button",
      class: "entry-title",
      dir: "auto",
      text: title,
      "aria-current": isCurrent ? "true" : null,
      on: { click: () => this.actions.open(conversation.id) },
    });
    const entry = h("li", { class: `entry ${isCurrent ? "is-current" : ""}`.trim(), data: { id: conversation.id } }, open);
    entry.append(
      iconButton("edit", t("rename_it", { title }), () => this.openRename(entry, conversation), { class: "rename" }),
      iconButton("save", t("export_it", { title }), () => this.save([conversation], conversation.title), { class: "export" }),
      iconButton("bin", t("delete_it", { title }), () => this.askToRemove(conversation, title), { class: "delete" }),
    );
    return entry;
  }

  openRename(entry, conversation) {
    const field = h("input", { class: "rename-field", dir: "auto", maxlength: "200", "aria-label": t("rename") });
    field.value = conversation.title;
    let isDone = false;
    const finish = (keep) => {
      if (isDone) return;
      isDone = true;
      this.actions.rename(conversation, keep ? field.value.trim() || conversation.title : conversation.title);
      this.list.querySelector(`[data-id="${conversation.id}"] .entry-title`)?.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") finish(false);
      if (event.key === "Enter" || event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
      }
    });
    field.addEventListener("blur", () => finish(true));
    entry.replaceChildren(field);
    field.focus();
    field.select();
  }

  async askToRemove(conversation, title) {
    const dialog = byId("delete-dialog");
    byId("delete-text").textContent = t("delete_text", { title });
    dialog.returnValue = "cancel";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue === "ok") this.actions.remove(conversation);
  }

  save(conversations, name) {
    const safe = name.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40) || "homespun";
    download(`${safe}.json`, exportText(conversations));
  }

  async load(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      this.actions.add(importText(await file.text()));
    } catch (error) {
      this.actions.fail("error_import", error.message);
    }
  }
}
