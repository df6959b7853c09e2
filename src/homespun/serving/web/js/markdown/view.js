// Shows markdown that is still being written: what has not changed stays in the page as it is.

import { copyText, h, icon } from "../dom.js";
import { parseBlocks } from "./blocks.js";
import { appendInline, appendText } from "./inline.js";

const MOST_CHARACTERS = 200_000; // beyond, text is shown as it is

export class MarkdownView {
  /**
   * @param {HTMLElement} parent  filled by this view alone
   * @param {Object} words        `image`, `copy`, `copied`, `code`: what the page says around a text
   */
  constructor(parent, words) {
    this.parent = parent;
    this.words = words;
    this.sources = [];
  }

  /** Show `text`, of which what was shown before is usually the beginning. */
  show(text) {
    if (text.length > MOST_CHARACTERS) {
      this.sources = [];
      const plain = h("pre", { class: "plain", dir: "auto" });
      appendText(plain, text);
      this.parent.replaceChildren(plain);
      return;
    }
    const lines = text.replaceAll("\r\n", "\n").replaceAll("\0", "\ufffd").split("\n");
    const blocks = parseBlocks(lines);
    const sources = blocks.map(({ from, lines: count }) => lines.slice(from, from + count).join("\n"));
    let same = 0;
    while (same < sources.length && same < this.sources.length && sources[same] === this.sources[same]) same += 1;
    // A block's meaning may change with the end of the text alone (a fence that closes).
    same = Math.min(same, Math.max(0, sources.length - 1));
    while (this.parent.childNodes.length > same) this.parent.lastChild.remove();
    for (const block of blocks.slice(same)) this.parent.append(this.build(block));
    this.sources = sources;
  }

  inline(element, text) {
    element.dir = "auto"; // each block has the direction of its first letter, and turns no other
    appendInline(element, text, this.words);
    return element;
  }

  build(block) {
    switch (block.kind) {
      case "heading":
        // The page has headings 1 and 2 of its own.
        return this.inline(h(`h${Math.min(block.level + 2, 6)}`), block.text);
      case "rule":
        return h("hr");
      case "code":
        return this.buildCode(block);
      case "quote":
        return h("blockquote", {}, ...block.blocks.map((inner) => this.build(inner)));
      case "list":
        return this.buildList(block);
      case "table":
        return this.buildTable(block);
      default:
        return this.inline(h("p"), block.text);
    }
  }

  buildCode({ language, text }) {
    const code = h("code");
    appendText(code, text);
    const label = h("span", { class: "code-copy-label", text: this.words.copy });
    const button = h("button", { type: "button", class: "code-copy" }, icon("copy"), label);
    button.addEventListener("click", async () => {
      if (!(await copyText(text))) return;
      label.textContent = this.words.copied;
      setTimeout(() => (label.textContent = this.words.copy), 2000);
    });
    const name = language || this.words.code;
    return h(
      "figure",
      { class: "code" },
      h("figcaption", {}, h("span", { text: name }), button),
      h("pre", { tabindex: "0", role: "group", "aria-label": name, dir: "ltr" }, code),
    );
  }

  buildList({ ordered, start, isLoose, items }) {
    const list = h(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null });
    for (const blocks of items) {
      const item = h("li");
      for (const block of blocks) {
        if (block.kind === "paragraph" && !isLoose) this.inline(item.appendChild(h("div")), taskText(block.text));
        else item.append(this.build(block));
      }
      list.append(item);
    }
    return list;
  }

  buildTable({ head, align, rows }) {
    const cell = (tag, text, column) =>
      this.inline(h(tag, { class: align[column] ? `align-${align[column]}` : null, scope: tag === "th" ? "col" : null }), text);
    const row = (tag, texts) => h("tr", {}, ...texts.map((text, column) => cell(tag, text, column)));
    const table = h("table", {}, h("thead", {}, row("th", head)), h("tbody", {}, ...rows.map((texts) => row("td", texts))));
    return h("div", { class: "table", tabindex: "0", role: "group", "aria-label": head.join(", ").slice(0, 80) }, table);
  }
}

const taskText = (text) => text.replace(/^\[ \] /, "☐ ").replace(/^\[[xX]\] /, "☑ ");
