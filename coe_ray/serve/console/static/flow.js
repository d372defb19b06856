// The story of one answer: question → neighbours → label → leaderboard row → answer, and where the time went.

import { bar, strip, whisker, wilson } from "./charts.js";
import { announce, el, folded } from "./dom.js";
import { duration, interval, number, percent, t } from "./words.js";

const LONG_QUESTION = 600;
const LONG_NEIGHBOUR = 150;
const UNKNOWN = "unknown";

/** The steps of a flow; before anything was asked, what each of them will be. */
export function steps(flow) {
  if (!flow) return STEPS.map((name) => step(name, "rest", null, el("p", { class: "note" }, t(`flow.${name}.rest`))));
  const decision = flow.decision;
  return [
    step("question", "done", null, question(flow)),
    step("neighbours", reached(flow, decision), stage(flow, "retrieve"), decision && neighbours(decision)),
    step("label-step", reached(flow, decision), stage(flow, "classify"), decision && label(decision)),
    step("row", reached(flow, decision), stage(flow, "route"), decision && row(decision)),
    step("answer", answerState(flow), flow.seconds && duration(flow.seconds), answer(flow)),
    flow.clock && step("times", "done", duration(flow.clock), times(flow)),
  ];
}

const STEPS = ["question", "neighbours", "label-step", "row", "answer"];

function step(name, state, time, ...content) {
  const heading = el("div", { class: "step-head" }, el("h2", {}, t(`flow.${name}`)), time && el("p", { class: "time" }, time));
  return el("li", { class: `step ${state}`, "data-step": name }, heading, content);
}

/** A step that waits for the decision: going on, or not reached. */
function reached(flow, decision) {
  if (decision) return "done";
  return flow.phase === "deciding" ? "going" : "rest";
}

function answerState(flow) {
  if (flow.error) return "broken";
  if (flow.phase === "done") return "done";
  return flow.phase === "answering" ? "going" : "rest";
}

function stage(flow, name) {
  const seconds = flow.stages?.[name];
  return seconds === undefined ? null : duration(seconds);
}

function question(flow) {
  const options = flow.question.split("\n").filter((line) => /^\s*\(?[A-JＡ-Ｊ][.):：、．)]\s*\S/.test(line)).length;
  return [
    flow.question.length > LONG_QUESTION ? folded(flow.question, LONG_QUESTION) : el("p", { class: "text" }, flow.question),
    el("p", { class: "note" }, options > 1 ? t("flow.options", { count: options }) : t("flow.no-options")),
  ];
}

function neighbours(decision) {
  if (!decision.neighbours.length) return el("p", { class: "note" }, t("flow.no-neighbours"));
  const listed = decision.neighbours.map((near) =>
    el(
      "li",
      {},
      el(
        "p",
        { class: "near" },
        el("span", { class: "value", title: t("flow.similarity") }, number(near.similarity, 2, 2)),
        bar(near.similarity),
        el("span", { class: near.task === decision.task ? "task same" : "task" }, near.task),
      ),
      folded(near.question, LONG_NEIGHBOUR),
    ),
  );
  return el("ol", { class: "neighbours" }, listed);
}

function label(decision) {
  const { classifier } = decision;
  return [
    el("p", { class: "named" }, decision.task),
    el(
      "p",
      { class: "near" },
      el("span", { class: "value" }, number(decision.confidence, 2, 2)),
      bar(decision.confidence),
      el("span", { class: "soft", title: t("flow.confidence.note") }, t("flow.confidence")),
    ),
    el("p", { class: "note" }, t(`flow.by.${classifier.by}`), " ", decision.cached && t("flow.cached")),
    classifier.raw &&
      el(
        "p",
        { class: "note" },
        `${t("flow.said")} `,
        el("code", {}, classifier.raw),
        classifier.rule && `, ${t("flow.rule", { rule: classifier.rule })}`,
      ),
    decision.task === UNKNOWN && el("p", { class: "note" }, t("flow.unknown")),
  ];
}

function row(decision) {
  const failed = new Map(decision.tried.map((each) => [each.expert, each]));
  const [first, second] = decision.row;
  const listed = decision.row.map((standing, place) =>
    el("li", { class: standing.expert === decision.expert ? "chosen" : "" }, standingOf(decision, standing, place, failed)),
  );
  return [
    decision.task === UNKNOWN && el("p", { class: "note" }, t("flow.average")),
    el("ol", { class: "standings" }, listed),
    second && el("p", { class: "note" }, lead(decision, first, second)),
    failed.size > 0 && tried(decision),
  ];
}

function standingOf(decision, standing, place, failed) {
  const ends = wilson(standing.correct, standing.total);
  const marks = [
    place === 0 && el("span", { class: "mark" }, `▲ ${t("flow.winner")}`),
    place === 1 && el("span", { class: "mark plain" }, t("flow.runner-up")),
    failed.has(standing.expert) && el("span", { class: "mark bad" }, `✕ ${failed.get(standing.expert).error}`),
    failed.size > 0 && standing.expert === decision.expert && el("span", { class: "mark" }, t("flow.answers")),
  ];
  const counted = standing.total > 0 && t("flow.of", { correct: number(standing.correct), total: number(standing.total) });
  return [
    el("p", { class: "who" }, el("strong", {}, standing.expert), marks),
    el("p", { class: "how" }, el("span", { class: "value" }, percent(standing.accuracy)), whisker(standing.accuracy, ends)),
    el("p", { class: "soft small" }, [ends && interval(ends), counted].filter(Boolean).join(" · ")),
  ];
}

function lead(decision, first, second) {
  if (decision.margin === 0) return t("flow.tie", { first: first.expert, second: second.expert });
  return t("flow.margin", { first: first.expert, points: number(100 * decision.margin, 1) });
}

function tried(decision) {
  const failed = decision.tried.map((each) =>
    el("li", {}, t("flow.tried.one", { expert: each.expert, error: each.error, time: duration(each.seconds) })),
  );
  return el(
    "div",
    { class: "tried" },
    el("h3", {}, t("flow.tried")),
    el("ul", {}, failed),
    el("p", {}, t("flow.failover", { expert: decision.expert })),
  );
}

function answer(flow) {
  return [
    flow.expert && el("p", { class: "note" }, t("flow.by", { expert: flow.expert })),
    flow.phase === "answering" && !flow.answer && el("p", { class: "note waiting" }, t("flow.waiting")),
    flow.answer && el("div", { class: "answer", id: "answer" }, flow.answer),
    flow.error && el("p", { class: "wrong", id: "flow-error" }, flow.error()),
    flow.phase === "done" && el("p", { class: "said" }, spoken(flow), copy(flow)),
  ];
}

function spoken(flow) {
  const count = flow.usage?.completion_tokens;
  const streamed = flow.seconds - flow.first;
  const parts = [count && t("flow.tokens", { count: number(count) })];
  if (count > 1 && streamed > 0.05) parts.push(t("flow.speed", { rate: number((count - 1) / streamed, 1) }));
  return el("span", { class: "soft small" }, parts.filter(Boolean).join(" · "));
}

function copy(flow) {
  if (!navigator.clipboard) return null; // not over plain HTTP
  const copied = async () => {
    await navigator.clipboard.writeText(flow.answer);
    announce(t("flow.copied"));
  };
  return el("button", { type: "button", class: "quiet", on: { click: copied } }, t("flow.copy"));
}

/** The server's stages, the client's clock for the rest of the answer, and what is between them. */
function times(flow) {
  const { retrieve = 0, classify = 0, route = 0, expert = 0 } = flow.stages;
  const streamed = Math.max(0, flow.seconds - flow.first);
  const rest = Math.max(0, flow.clock - retrieve - classify - route - expert - streamed);
  const parts = Object.entries({ retrieve, classify, route, expert, stream: streamed, rest }).filter(([, seconds]) => seconds > 0);
  const listed = parts.map(([kind, seconds]) =>
    el("li", {}, el("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), `${t(`time.${kind}`)} `, el("span", { class: "value" }, duration(seconds))),
  );
  return [strip(parts), el("ul", { class: "legend" }, listed)];
}
