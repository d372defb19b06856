// Markdown as elements. markdown-it only reads it: elements are made here, of known kinds, and text stays text.

import { copyButton, el, scrolling } from "./dom.js";
import { t } from "./words.js";
import MarkdownIt from "./vendor/markdown-it.js";

const LONGEST = 200000; // characters; what is longer is shown as it is
const TAGS = new Set(["p", "ul", "ol", "li", "blockquote", "strong", "em", "s", "thead", "tbody", "tr", "th", "td"]);

const reader = new MarkdownIt({ html: false, linkify: true });
reader.linkify.set({ fuzzyLink: false, fuzzyEmail: false }); // README.md is no address

const drawn = new WeakMap(); // place → the sources of the blocks in it

/** Shows a text that grows: the blocks that are as they were stay, with their focus and selection. */
export function drawMarkdown(place, text) {
  const blocks = text.length > LONGEST ? [{ source: text, make: () => el("p", { class: "text" }, text) }] : split(text);
  const known = drawn.get(place) ?? [];
  const isSame = (block, number) => block.source === known[number];
  const end = blocks.findIndex((block, number) => !isSame(block, number));
  const kept = end < 0 ? blocks.length : end;
  while (place.childNodes.length > kept) place.lastChild.remove();
  place.append(...blocks.slice(kept).map((block) => block.make()));
  drawn.set(place, blocks.map((block) => block.source));
}

/** The outermost blocks of a text, one element each. */
function split(text) {
  const lines = text.split("\n");
  const blocks = [];
  let tokens = [];
  let depth = 0;
  for (const token of reader.parse(text, {})) {
    tokens.push(token);
    depth += token.nesting;
    if (depth) continue;
    const mine = tokens;
    blocks.push({ source: lines.slice(...mine[0].map).join("\n"), make: () => elements(mine) });
    tokens = [];
  }
  return blocks;
}

function elements(tokens) {
  const open = [document.createDocumentFragment()];
  for (const token of tokens) {
    if (token.nesting < 0) open.pop();
    else if (token.nesting > 0) open.push(begun(token, open.at(-1)));
    else open.at(-1).append(leaf(token));
  }
  return open[0];
}

/** The element that a token opens: where what follows goes. */
function begun(token, parent) {
  if (token.hidden) return parent; // a paragraph in a tight list
  const element = opened(token);
  parent.append(token.tag === "table" ? scrolling(t("answer.table"), element) : element);
  return element;
}

function opened(token) {
  if (token.tag === "a") return link(token.attrGet("href"));
  if (token.tag === "table") return el("table", { class: "plain" });
  // One level for all: an answer is a part of this page, whose outline it does not know.
  if (/^h\d$/.test(token.tag)) return el("h3", { class: `heading-${token.tag[1]}` });
  const side = /right|center/.exec(token.attrGet("style") ?? "")?.[0];
  return el(TAGS.has(token.tag) ? token.tag : "span", { class: side, start: token.attrGet("start") });
}

function leaf(token) {
  if (token.type === "inline") return elements(token.children);
  if (token.type === "fence" || token.type === "code_block") return code(token);
  if (token.type === "code_inline") return el("code", {}, token.content);
  if (token.type === "softbreak" || token.type === "hardbreak") return el("br");
  if (token.type === "hr") return el("hr");
  if (token.type === "image") return image(token);
  return document.createTextNode(token.content);
}

function code(token) {
  const text = token.content.replace(/\n$/, "");
  const head = el("div", { class: "code-head" }, el("span", {}, token.info.trim().split(/\s/, 1)[0]), copyButton(text, t("answer.copy-code")));
  return el("div", { class: "code" }, head, el("pre", {}, el("code", {}, text)));
}

/** Followed by a click only. A relative one would be an address of this page: it stays text. */
function link(href) {
  if (!/^(https?:\/\/|mailto:)/i.test(href)) return el("span");
  return el("a", { href, title: href, target: "_blank", rel: "noopener noreferrer" });
}

/** Never loaded: it would tell another host that the answer was read. */
function image(token) {
  const place = link(token.attrGet("src"));
  place.append(token.content || token.attrGet("src"));
  return place;
}
