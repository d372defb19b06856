// Elements out of plain data. Text only ever becomes a text node: nothing that a model or a client wrote is HTML here.

import { t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element: `on` has listeners, `vars` custom properties for the style sheet, all else are attributes. */
export function el(name, given = {}, ...children) {
  return filled(document.createElement(name), given, children);
}

/** The same for a drawing. */
export function svg(name, given = {}, ...children) {
  return filled(document.createElementNS(SVG, name), given, children);
}

function filled(element, { on = {}, vars = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [name, value] of Object.entries(vars)) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Puts children in the place of those that are there. */
export function put(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
}

/** Tells who cannot see it what has happened. */
export function announce(text) {
  byId("live").textContent = text;
}

/** A table that may be wider than the page: it scrolls by itself, by the keyboard, too. */
export function scrolling(label, table) {
  return el("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, table);
}

/** A table whose rows become cards on a narrow screen; the roles keep it a table there. `head` are texts. */
export function cards(caption, head, rows) {
  const columns = head.map((text) => el("th", { scope: "col", role: "columnheader" }, text));
  const body = rows.map((cells) =>
    el(
      "tr",
      { role: "row" },
      cells.map((cell, number) => {
        const inside = [el("span", { class: "name", "aria-hidden": "true" }, head[number]), el("span", {}, cell)];
        return number === 0 ? el("th", { scope: "row", role: "rowheader" }, inside) : el("td", { role: "cell" }, inside);
      }),
    ),
  );
  return el(
    "table",
    { class: "cards", role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, columns)),
    el("tbody", { role: "rowgroup" }, body),
  );
}

/** Terms with their values. */
export function facts(pairs, kind = "facts") {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: kind },
    shown.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))),
  );
}

/** A choice of one; `options` are [value, text]. */
export function choice(id, label, options, chosen, onChange) {
  const listed = options.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  const select = el("select", { id, on: { change: () => onChange(select.value) } }, listed);
  return el("div", { class: "choice" }, el("label", { for: id }, label), select);
}

/** A text whose first line, as far as it goes, stands for it until somebody wants the rest. */
export function folded(text, length) {
  const [line] = text.split("\n", 1);
  if (line === text && text.length <= length) return el("p", { class: "text" }, text);
  const isCut = line.length > length;
  const beginning = isCut ? `${line.slice(0, length).trimEnd()} …` : line;
  const rest = isCut ? text : text.slice(line.length + 1);
  return el("details", { class: isCut ? "folded cut" : "folded" }, el("summary", {}, beginning), el("p", { class: "text" }, rest));
}

/** A button that copies a text. */
export function copyButton(text, label) {
  const copy = async () => announce((await copied(text)) ? t("copy.done") : t("copy.failed"));
  return el("button", { type: "button", class: "quiet", "aria-label": label, on: { click: copy } }, t("copy"));
}

/** Whether a text is in the clipboard now. Over plain HTTP browsers have only the old way. */
export async function copied(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false, // it is forbidden here
    );
  }
  const focused = document.activeElement;
  const field = el("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isDone;
}
