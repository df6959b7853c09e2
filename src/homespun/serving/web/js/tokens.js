// Tokens of an answer as pieces that can be shown: bytes that are no whole character wait for the rest.

const encoder = new TextEncoder();

const bytesOf = ({ token, bytes }) => (bytes ? Uint8Array.from(bytes) : encoder.encode(token));

/** How many of `bytes` are whole characters of UTF-8 from the beginning. */
function isWhole(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** @returns {{text: string, tokens: Object[]}[]} runs of tokens that make whole characters together */
export function pieces(tokens) {
  const found = [];
  let waiting = [];
  let bytes = [];
  const flush = () => {
    if (waiting.length) found.push({ text: new TextDecoder().decode(Uint8Array.from(bytes)), tokens: waiting });
    waiting = [];
    bytes = [];
  };
  for (const token of tokens) {
    waiting.push(token);
    bytes.push(...bytesOf(token));
    // A character has four bytes at most; what is no text after as many more never will be.
    if (isWhole(Uint8Array.from(bytes)) || waiting.length > 8) flush();
  }
  flush();
  return found;
}

const NAMES = { "\n": "⏎", "\t": "⇥", "\u3000": "␣" }; // the last stands before Chinese paragraphs

/** A token's text with its spaces and line ends visible; bytes that are no text as numbers. */
export function visible(token) {
  const bytes = bytesOf(token);
  if (!isWhole(bytes)) return [...bytes].map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
  const text = new TextDecoder().decode(bytes);
  if (text === "") return "∅";
  return text.replace(/^ /, "␣").replace(/ $/, "␣").replace(/[\n\t\u3000]/g, (char) => NAMES[char]);
}

export const probability = (token) => Math.exp(token.logprob);

/** "42%", "3.1%", "< 0.1%" */
export function percent(share, language) {
  if (share < 0.001) return "< 0.1%";
  const digits = share < 0.1 || share > 0.99 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(share);
}

/** 0 sure … 4 a wild guess: how much a token is shaded. */
export function doubt(token) {
  const share = probability(token);
  return [0.8, 0.5, 0.2, 0.05].filter((bound) => share < bound).length;
}
