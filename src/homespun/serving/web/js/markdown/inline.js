// The inside of a paragraph: emphasis, code, links, line breaks.
//
// One pass over the text makes a flat list of pieces; pairs of delimiters found on the way mark
// where an element opens and closes. Every step is linear in the length of the text, also for
// texts that were written to be slow.

const PUNCTUATION = /[\p{P}\p{S}]/u;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const MOST_OPEN = 24; // elements inside each other; what is deeper is shown without
const MOST_CHARACTERS = 20_000; // of a paragraph that is looked at; a longer one is plain text
const BARE_URL = /https?:\/\/[^\s<>"'`\u3000-\u303f\uff00-\uffef]{1,2000}/y;
const ANGLE_URL = /<(https?:\/\/[^\s<>]{1,2000})>/y;
const DESTINATION =
  /\(\s{0,9}(<[^<>\n]{0,2000}>|[^\s()<>]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500}){0,4})(?:\s{1,9}(?:"[^"]{0,500}"|'[^']{0,500}'))?\s{0,9}\)/y;

/** The address where `text` is one of the web's own; null for every other scheme and for nonsense. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    if (url.protocol !== "http:" && url.protocol !== "https:") return null;
    if (url.username || url.password) return null; // "https://bank.example@evil.example"
    return url.href;
  } catch {
    return null;
  }
}

function sticky(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Where runs of backticks stand, by their length. */
function codeRuns(text) {
  const runs = new Map();
  for (const match of text.matchAll(/`+/g)) {
    const length = match[0].length;
    if (!runs.has(length)) runs.set(length, []);
    runs.get(length).push(match.index);
  }
  return runs;
}

class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.pieces = [];
    this.delimiters = []; // pieces that may open or close emphasis
    this.brackets = []; // "[" that may begin a link
    this.runs = codeRuns(text);
  }

  push(kind, value = "") {
    const piece = { kind, value };
    this.pieces.push(piece);
    return piece;
  }

  scan() {
    const { text } = this;
    let from = 0;
    const flush = () => {
      if (this.at > from) this.push("text", text.slice(from, this.at));
    };
    const special = /[\\`*_~[\]!<\nh]/g;
    while (this.at < text.length) {
      special.lastIndex = this.at;
      const next = special.exec(text);
      if (!next) break;
      this.at = next.index;
      const read = this.reader(text[this.at]);
      if (!read) {
        this.at += 1;
        continue;
      }
      flush();
      read();
      from = this.at;
    }
    this.at = text.length;
    flush();
    pairEmphasis(this.delimiters, 0);
    return this.pieces;
  }

  /** What reads the thing that begins here; null where it is a character like others. */
  reader(char) {
    const { text, at } = this;
    switch (char) {
      case "\\":
        if (text[at + 1] === "\n") return () => this.take(2, "break");
        return ESCAPABLE.test(text[at + 1] ?? "") ? () => this.take(2, "text", text[at + 1]) : null;
      case "`":
        return () => this.readCode();
      case "*":
      case "_":
      case "~":
        return () => this.readDelimiters(char);
      case "[":
        return () => this.openBracket(1, false);
      case "!":
        return text[at + 1] === "[" ? () => this.openBracket(2, true) : null;
      case "]":
        return this.brackets.length ? () => this.closeBracket() : null;
      case "<": {
        const match = sticky(ANGLE_URL, text, at);
        return match ? () => this.readAddress(match[0].length, match[1]) : null;
      }
      case "\n":
        return () => this.take(1, "break");
      default: {
        if (/[a-z0-9]/i.test(text[at - 1] ?? "")) return null; // inside a word
        const match = sticky(BARE_URL, text, at);
        if (!match) return null;
        let address = match[0].replace(/[.,:;!?*_~]{1,20}$/, "");
        if (!address.includes("(")) address = address.replace(/[\])]{1,5}[.,:;!?]{0,3}$/, "");
        return () => this.readAddress(address.length, address);
      }
    }
  }

  take(length, kind, value = "") {
    this.push(kind, value);
    this.at += length;
  }

  readCode() {
    const { text, at } = this;
    let length = 1;
    while (text[at + length] === "`") length += 1;
    const places = this.runs.get(length);
    while (places.length && places[0] <= at) places.shift();
    if (!places.length) return this.take(length, "text", "`".repeat(length));
    const end = places[0];
    let code = text.slice(at + length, end).replaceAll("\n", " ");
    if (code.length > 2 && code.startsWith(" ") && code.endsWith(" ")) code = code.slice(1, -1);
    this.push("code", code);
    this.at = end + length;
  }

  readDelimiters(char) {
    const { text, at } = this;
    let length = 1;
    while (text[at + length] === char) length += 1;
    const before = text[at - 1] ?? " ";
    const after = text[at + length] ?? " ";
    const piece = this.push("delimiter", char);
    this.at += length;
    const opens = !/\s/.test(after);
    const closes = !/\s/.test(before);
    Object.assign(piece, { length, full: length, opening: [], closing: [] });
    // Inside a word an underscore is an underscore; "~" alone is a tilde.
    piece.opens = opens && (char !== "_" || !closes || PUNCTUATION.test(before));
    piece.closes = closes && (char !== "_" || !opens || PUNCTUATION.test(after));
    if (char === "~" && length !== 2) piece.opens = piece.closes = false;
    if (piece.opens || piece.closes) this.delimiters.push(piece);
  }

  readAddress(length, address) {
    const href = safeAddress(address);
    if (!href) return this.take(length, "text", this.text.slice(this.at, this.at + length));
    this.push("open", "a").href = href;
    this.push("text", address);
    this.push("close");
    this.at += length;
  }

  openBracket(length, isImage) {
    const piece = this.push("text", this.text.slice(this.at, this.at + length));
    this.brackets.push({ piece, isImage, bottom: this.delimiters.length });
    this.at += length;
  }

  closeBracket() {
    const { piece, isImage, bottom } = this.brackets.pop();
    const match = sticky(DESTINATION, this.text, this.at + 1);
    if (!match) return this.take(1, "text", "]");
    const target = match[1].startsWith("<") ? match[1].slice(1, -1) : match[1];
    const href = safeAddress(target);
    pairEmphasis(this.delimiters, bottom);
    this.delimiters.length = bottom;
    if (href) {
      // Pictures are not fetched: one sees where they would come from, and may go there.
      Object.assign(piece, { kind: "open", value: "a", href, isImage });
      this.push("close");
      this.brackets.length = 0; // no links inside links
    } else {
      piece.value = isImage ? "" : piece.value;
      this.push("text", isImage ? "" : `]${match[0]}`);
    }
    this.at += 1 + match[0].length;
  }
}

/** Match closing with opening delimiters from `bottom` on, the innermost first (CommonMark 0.31, "process emphasis"). */
function pairEmphasis(delimiters, bottom) {
  const openers = [];
  const lowest = new Map(); // below this place in `openers` there is none for such a closer
  for (const closer of delimiters.slice(bottom)) {
    while (closer.closes && closer.length) {
      const kind = `${closer.value}${closer.opens}${closer.full % 3}`;
      let place = openers.length - 1;
      while (place >= (lowest.get(kind) ?? 0) && !fits(openers[place], closer)) place -= 1;
      if (place < (lowest.get(kind) ?? 0)) {
        lowest.set(kind, openers.length);
        break;
      }
      const opener = openers[place];
      const used = opener.length >= 2 && closer.length >= 2 ? 2 : 1;
      const tag = closer.value === "~" ? "s" : used === 2 ? "strong" : "em";
      opener.length -= used;
      closer.length -= used;
      opener.opening.unshift(tag);
      closer.closing.push(tag);
      openers.length = opener.length ? place + 1 : place;
      for (const [key, value] of lowest) lowest.set(key, Math.min(value, openers.length));
    }
    if (closer.opens && closer.length) openers.push(closer);
  }
}

function fits(opener, closer) {
  if (opener.value !== closer.value) return false;
  if (!(opener.closes || closer.opens)) return true;
  return (opener.full + closer.full) % 3 !== 0 || (opener.full % 3 === 0 && closer.full % 3 === 0);
}

// Marks that turn the direction of what follows around, so that text reads as something else
// ("Trojan Source", CVE-2021-42574). They are shown.
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Append `text` to `parent`, with marks that would reorder it made visible. */
export function appendText(parent, text) {
  let from = 0;
  for (const match of text.matchAll(TURNS)) {
    if (match.index > from) parent.append(text.slice(from, match.index));
    const mark = document.createElement("span");
    mark.className = "turn-mark";
    mark.textContent = `U+${match[0].codePointAt(0).toString(16).toUpperCase()}`;
    parent.append(mark);
    from = match.index + 1;
  }
  if (from < text.length) parent.append(text.slice(from));
}

/** Append the inside of a paragraph to `parent`. */
export function appendInline(parent, text, words) {
  if (text.length > MOST_CHARACTERS) return appendText(parent, text);
  const stack = [parent];
  const top = () => stack[Math.min(stack.length, MOST_OPEN) - 1];
  const open = (element) => {
    if (stack.length < MOST_OPEN) top().append(element);
    stack.push(element);
  };
  for (const piece of new Scanner(text).scan()) {
    if (piece.kind === "text") appendText(top(), piece.value);
    else if (piece.kind === "break") top().append(document.createElement("br"));
    else if (piece.kind === "code") {
      const code = document.createElement("code");
      appendText(code, piece.value);
      top().append(code);
    } else if (piece.kind === "open") {
      const link = document.createElement("a");
      link.href = piece.href;
      link.rel = "noopener noreferrer nofollow";
      link.target = "_blank";
      link.title = piece.href;
      if (piece.isImage) link.append(`${words.image}: `);
      open(link);
    } else if (piece.kind === "close") stack.pop();
    else {
      piece.closing.forEach(() => stack.pop());
      if (piece.length) appendText(top(), piece.value.repeat(piece.length));
      piece.opening.forEach((tag) => open(document.createElement(tag)));
    }
  }
}
