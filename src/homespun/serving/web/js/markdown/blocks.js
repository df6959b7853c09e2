// Text in lines to a list of blocks: paragraphs, headings, lists, quotes, tables, code.
//
// A block is a plain object. Whatever is not markdown that we know is a paragraph, HTML included.

const MOST_DEPTH = 12; // lists and quotes inside each other; deeper ones are read as paragraphs
const MOST_COLUMNS = 40;
const FENCE = /^( {0,3})(`{3,}|~{3,}(?!~))([^`\n]*)$/; // all tildes or none: there is one way to read it
const MARKER = /^( *)([-*+]|\d{1,9}[.)])(?:( +)|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+|$)/;

const isBlank = (line) => line.trim() === "";
const indentOf = (line) => line.length - line.trimStart().length;

/** @returns {Object[]} blocks, each with the number of lines it takes as `lines` */
export function parseBlocks(lines, depth = 0) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const block = readBlock(lines, at, depth);
    block.from = at;
    at += block.lines;
    blocks.push(block);
  }
  return blocks;
}

function readBlock(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return readFence(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) {
    const text = line.slice(heading[0].length).trimEnd();
    return { kind: "heading", level: heading[1].length, text: withoutHashes(text), lines: 1 };
  }
  if (RULE.test(line)) return { kind: "rule", lines: 1 };
  if (depth < MOST_DEPTH) {
    if (isQuote(line)) return readQuote(lines, at, depth);
    if (MARKER.test(line)) return readList(lines, at, depth);
  }
  const table = readTable(lines, at);
  if (table) return table;
  if (line.startsWith("    ") || line.startsWith("\t")) return readIndented(lines, at);
  return readParagraph(lines, at, depth);
}

function withoutHashes(text) {
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  return end === text.length || text[end - 1] !== " " ? text : text.slice(0, end).trimEnd();
}

function readFence(lines, at, [, indent, fence, info]) {
  const body = [];
  let next = at + 1;
  for (; next < lines.length; next += 1) {
    const line = lines[next].trim();
    if (line.length >= fence.length && line === fence[0].repeat(line.length)) break;
    body.push(lines[next].slice(Math.min(indent.length, indentOf(lines[next]))));
  }
  const language = info.trim().split(/\s/)[0].slice(0, 40);
  // Without its end it goes on to the end of the text: the rest is still to come.
  return { kind: "code", language, text: body.join("\n"), lines: Math.min(next + 1, lines.length) - at };
}

function readIndented(lines, at) {
  const body = [];
  let next = at;
  for (; next < lines.length; next += 1) {
    const line = lines[next];
    if (isBlank(line)) body.push("");
    else if (line.startsWith("    ")) body.push(line.slice(4));
    else if (line.startsWith("\t")) body.push(line.slice(1));
    else break;
  }
  return { kind: "code", language: "", text: body.join("\n").trimEnd(), lines: next - at };
}

const isQuote = (line) => /^ {0,3}>/.test(line);

function readQuote(lines, at, depth) {
  const body = [];
  let next = at;
  for (; next < lines.length && isQuote(lines[next]); next += 1) {
    body.push(lines[next].replace(/^ {0,3}> ?/, ""));
  }
  return { kind: "quote", blocks: parseBlocks(body, depth + 1), lines: next - at };
}

/** Items with the same sort of marker. What is indented further than the marker belongs to its item. */
function readList(lines, at, depth) {
  const [, margin, first] = MARKER.exec(lines[at]);
  const ordered = /\d/.test(first);
  const items = [];
  let isLoose = false;
  let next = at;
  while (next < lines.length) {
    const match = MARKER.exec(lines[next]);
    if (!match || match[1].length > margin.length + 1 || RULE.test(lines[next])) break;
    if (match[1].length < margin.length) break;
    if (/\d/.test(match[2]) !== ordered || match[2].at(-1) !== first.at(-1)) break;
    const width = match[1].length + match[2].length + Math.min(match[3]?.length ?? 1, 4);
    const body = [lines[next].slice(Math.min(width, lines[next].length))];
    next += 1;
    for (; next < lines.length; next += 1) {
      const line = lines[next];
      if (isBlank(line)) {
        body.push("");
        continue;
      }
      const isInside = indentOf(line) > margin.length;
      const isLazy = !isBlank(lines[next - 1]) && !startsBlock(line);
      if (!isInside && !isLazy) break;
      body.push(line.slice(Math.min(indentOf(line), width)));
    }
    while (body.length && isBlank(body.at(-1))) body.pop();
    if (isBlank(lines[next - 1]) && next < lines.length && MARKER.test(lines[next])) isLoose = true;
    items.push(body);
  }
  return {
    kind: "list",
    ordered,
    start: ordered ? Number.parseInt(first, 10) : 1,
    isLoose,
    items: items.map((body) => parseBlocks(body, depth + 1)),
    lines: next - at,
  };
}

const startsBlock = (line) =>
  FENCE.test(line) || HEADING.test(line) || RULE.test(line) || isQuote(line) || MARKER.test(line);

function cells(line) {
  const found = [];
  let cell = "";
  const inner = line.trim();
  for (let i = 0; i < inner.length; i += 1) {
    if (inner[i] === "\\" && inner[i + 1] === "|") {
      cell += "|";
      i += 1;
    } else if (inner[i] === "|") {
      if (i > 0) found.push(cell.trim());
      cell = "";
    } else cell += inner[i];
  }
  if (cell.trim()) found.push(cell.trim());
  return found;
}

function readTable(lines, at) {
  if (at + 1 >= lines.length || !lines[at].includes("|") || !/^[\s|:-]+$/.test(lines[at + 1])) return null;
  const head = cells(lines[at]);
  const rules = cells(lines[at + 1]);
  const isRule = rules.every((cell) => /^:?-+:?$/.test(cell));
  if (!isRule || head.length !== rules.length || head.length > MOST_COLUMNS) return null;
  const align = rules.map((rule) => {
    if (rule.startsWith(":") && rule.endsWith(":")) return "center";
    return rule.endsWith(":") ? "right" : "";
  });
  const rows = [];
  let next = at + 2;
  for (; next < lines.length && lines[next].includes("|") && !isBlank(lines[next]); next += 1) {
    const row = cells(lines[next]);
    rows.push(head.map((_, column) => row[column] ?? ""));
  }
  return { kind: "table", head, align, rows, lines: next - at };
}

function readParagraph(lines, at, depth) {
  const body = [lines[at].trim()];
  let next = at + 1;
  for (; next < lines.length && !isBlank(lines[next]); next += 1) {
    if (depth < MOST_DEPTH ? startsBlock(lines[next]) : FENCE.test(lines[next])) break;
    if (readTable(lines, next)) break;
    body.push(lines[next].trim());
  }
  return { kind: "paragraph", text: body.join("\n"), lines: next - at };
}
