// Small drawings: bars, intervals and strips. Each says nothing that its text does not say, too.

import { el, svg } from "./dom.js";

const Z = 1.959964; // of the normal distribution, for 95 %

/** Wilson's 95 % interval; `null` where nothing was counted. */
export function wilson(correct, total) {
  if (!total) return null;
  const [share, z2] = [correct / total, (Z * Z) / total];
  const middle = (share + z2 / 2) / (1 + z2);
  const half = (Z / (1 + z2)) * Math.sqrt((share * (1 - share) + z2 / 4) / total);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** A share of 1 as a bar. */
export function bar(share, kind = "") {
  return el("span", { class: `bar ${kind}`, "aria-hidden": "true", vars: { "--share": clamped(share) } }, el("span"));
}

/** An accuracy with its interval on a line from 0 to 1. */
export function whisker(accuracy, ends) {
  const at = (share) => `${100 * clamped(share)}%`;
  return svg(
    "svg",
    { class: "whisker", "aria-hidden": "true", height: 16 },
    svg("line", { class: "axis", x1: "0", y1: 8, x2: "100%", y2: 8 }),
    ends && svg("line", { class: "range", x1: at(ends[0]), y1: 8, x2: at(ends[1]), y2: 8 }),
    svg("circle", { class: "dot", cx: at(accuracy), cy: 8, r: 4 }),
  );
}

/** What parts of a time went where: `parts` are [kind, seconds]. */
export function strip(parts) {
  const part = ([kind, seconds]) => el("span", { class: `part ${kind}`, vars: { "--grow": seconds } });
  return el("div", { class: "strip", "aria-hidden": "true" }, parts.map(part));
}

/** The last values of something that changes, the latest at the right. */
export function sparkline(values, width = 240, height = 40) {
  if (values.length < 2) return null;
  const top = Math.max(...values, 1e-9);
  const step = width / (values.length - 1);
  const point = (value, index) => `${(index * step).toFixed(1)},${(height - 2 - (height - 4) * (value / top)).toFixed(1)}`;
  return svg(
    "svg",
    { class: "sparkline", "aria-hidden": "true", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" },
    svg("polyline", { points: values.map(point).join(" ") }),
  );
}

const clamped = (share) => Math.min(1, Math.max(0, share ?? 0));
