// One question of a run: its text, every answer, and the prompts as they were sent.

import { byId, el, facts, put } from "./dom.js";
import { read } from "./endpoint.js";
import { asQuery, outcome } from "./run.js";
import { duration, number, t } from "./words.js";

const LETTERS = "ABCDEFGHIJ";
const CLASSIFIER = "classifier";

let detail = null;
let at = null;

export async function open(signal, [run, , question], query) {
  at = { run, question, query };
  detail = null;
  back();
  put(byId("row-whole"), el("p", { class: "note" }, t("loading")));
  detail = await read(`v1/runs/${encodeURIComponent(run)}/rows/${encodeURIComponent(question)}`, { signal });
  draw();
}

export function draw() {
  if (!at) return;
  back();
  if (!detail) return;
  put(byId("row-whole"), questionSection(detail.question), named(detail), answers(detail.answers), prompts(detail.prompts));
}

function back() {
  const link = byId("row-back");
  link.textContent = t("row.back", { run: at.run });
  link.href = `#/runs/${encodeURIComponent(at.run)}${asQuery(at.query)}`;
}

function questionSection(question) {
  const options = question.options.map((option, index) => {
    const isRight = LETTERS[index] === question.answer;
    const mark = isRight && el("span", { class: "outcome correct" }, ` ✓ ${t("row.right")}`);
    return el("li", { class: isRight ? "right" : "" }, el("span", { class: "letter" }, `${LETTERS[index]}.`), el("span", {}, option, mark));
  });
  return el("section", { class: "asked" }, el("p", { class: "text" }, question.text), options.length > 0 && el("ol", { class: "options" }, options));
}

function named({ question, classification }) {
  return facts(
    [
      [t("row.task"), question.task],
      [t("row.label"), classification?.task],
      [t("row.confidence"), classification && number(classification.confidence, 2, 2)],
      [t("row.said"), classification?.raw && el("code", {}, classification.raw)],
      [t("row.language"), t(`language.${question.language}`)],
      [t("row.id"), el("code", {}, question.id)],
    ],
    "made",
  );
}

function answers(listed) {
  const each = listed.map((row) =>
    el(
      "li",
      {},
      el("h3", {}, row.system === "coe" ? t("rows.by", { system: "CoE", expert: row.expert ?? "–" }) : row.system, " ", outcome(row.outcome)),
      el("p", { class: "soft small" }, details(row)),
      row.text ? el("pre", {}, row.text) : row.error ? null : el("p", { class: "note" }, t("row.silent")),
      row.error && el("p", { class: "wrong" }, `${row.error}: ${row.message ?? ""}`),
    ),
  );
  const content = each.length ? el("ol", { class: "answers" }, each) : el("p", { class: "note" }, t("row.no-answers"));
  return el("section", { "aria-labelledby": "answers" }, el("h2", { id: "answers" }, t("row.answers")), content);
}

function details(row) {
  const tokens = { input: number(row.prompt_tokens ?? 0), output: number(row.completion_tokens ?? 0) };
  const parts = [
    row.letter ? t("row.letter", { letter: row.letter }) : t("row.no-letter"),
    row.rule && t("row.rule", { rule: row.rule }),
    row.finish_reason === "length" && t("row.cut"),
    row.seconds !== null && duration(row.seconds),
    row.completion_tokens && t("row.tokens", tokens),
    row.attempts > 1 && t("row.attempts", { count: number(row.attempts) }),
  ];
  return parts.filter(Boolean).join(" · ");
}

function prompts(listed) {
  const each = listed.map((prompt) => el("li", {}, el("details", {}, el("summary", {}, title(prompt)), prompt.messages.map(message))));
  const content = each.length ? el("ol", { class: "prompts" }, each) : el("p", { class: "note" }, t("row.no-prompts"));
  return el("section", { "aria-labelledby": "prompts" }, el("h2", { id: "prompts" }, t("row.prompts")), content);
}

function title(prompt) {
  const systems = prompt.systems.map((name) => (name === CLASSIFIER ? t("row.classifier") : name)).join(", ");
  const models = prompt.models.length ? t("row.models", { models: prompt.models.join(", ") }) : null;
  const rest = [systems ? models : null, t(prompt.sent ? "row.sent" : "row.remade")].filter(Boolean).join(" · ");
  return [el("strong", {}, systems || models || "–"), " ", el("span", { class: "soft small" }, rest)];
}

function message({ role, content }) {
  return [el("p", { class: "role" }, t(`row.role.${role}`)), el("pre", {}, content)];
}
