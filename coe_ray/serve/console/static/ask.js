// Asking: first the decision alone, to be shown while the answer is on its way; then the answer, as it comes.

import { announce, byId, el, put } from "./dom.js";
import { ask, events, Gone, Refused } from "./endpoint.js";
import { steps } from "./flow.js";
import { language, number, t } from "./words.js";

const DRAFT = "coe-draft";

let flow = null; // what is shown; see flow.js
let stopping = null; // stops the request under way
let examples = {};

export async function start() {
  const [field, form] = [byId("question"), byId("composer")];
  field.value = sessionStorage.getItem(DRAFT) ?? "";
  field.addEventListener("input", () => sessionStorage.setItem(DRAFT, field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submitQuestion(field.value.trim());
  });
  byId("stop").addEventListener("click", () => stopping?.abort());
  examples = await (await fetch("console/examples.json")).json();
  draw();
}

/** In whatever language is chosen now. */
export function draw() {
  put(byId("flow"), steps(flow));
  const listed = (examples[language()] ?? []).map((each) => el("li", {}, example(each)));
  put(byId("examples"), listed);
  byId("send").textContent = flow?.error ? t("ask.again") : t("ask.send");
}

function example({ task, question, options }) {
  const text = [question, ...options.map((option, index) => `${"ABCDEFGHIJ"[index]}. ${option}`)].join("\n");
  const take = () => {
    byId("question").value = text;
    sessionStorage.setItem(DRAFT, text);
    byId("question").focus();
  };
  return el("button", { type: "button", on: { click: take } }, el("span", { class: "task" }, task), el("span", {}, question));
}

async function submitQuestion(question) {
  if (!question) {
    announce(t("ask.empty"));
    byId("question").focus();
    return;
  }
  stopping?.abort();
  const mine = (stopping = new AbortController());
  flow = { question, phase: "deciding", answer: "", stages: {} };
  busy(true);
  intoView(byId("flow"));
  announce(t("ask.deciding"));
  try {
    await answered(flow, mine.signal);
  } catch (error) {
    broken(flow, error, mine);
  }
  if (stopping !== mine) return; // another question took its place
  busy(false);
}

/** On a narrow screen the story is below the examples. */
function intoView(element) {
  if (element.getBoundingClientRect().top > 0.7 * window.innerHeight) element.scrollIntoView({ block: "start" });
}

function busy(isSo) {
  byId("stop").hidden = !isSo;
  byId("send").disabled = isSo;
  draw();
}

async function answered(shown, signal) {
  const began = performance.now();
  const messages = [{ role: "user", content: shown.question }];
  const decided = await (await ask("v1/route", { body: { messages }, signal })).json();
  take(shown, decided);
  announce(t("ask.decided", { task: decided.task, confidence: number(decided.confidence, 2, 2), expert: decided.expert }));
  shown.phase = "answering";
  redraw(shown);
  await spoken(shown, messages, signal);
  shown.clock = (performance.now() - began) / 1000;
  shown.phase = "done";
  redraw(shown);
  announce(t("ask.done", { expert: shown.expert, answer: shown.answer }));
}

/** The answer. The decision is not made again: the endpoint remembers it for some minutes. */
async function spoken(shown, messages, signal) {
  const began = performance.now();
  const since = () => (performance.now() - began) / 1000;
  const response = await ask("v1/chat/completions", { body: { model: "coe", messages, stream: true }, signal });
  shown.expert = decodeURIComponent(response.headers.get("x-coe-expert") ?? "");
  redraw(shown);
  for await (const event of events(response)) {
    if (event.error) throw new Refused(200, event.error.message, event.error.code);
    const text = event.choices?.[0]?.delta?.content;
    if (text) {
      shown.first ??= since();
      say(shown, text);
    }
    if (event.coe) take(shown, event.coe);
    shown.usage = event.usage ?? shown.usage;
  }
  shown.seconds = since();
  shown.first ??= shown.seconds;
}

/** What is known of the route; the stages of a cached decision are those of the time when it was made. */
function take(shown, decision) {
  shown.stages = { ...shown.stages, ...decision.stages };
  shown.decision = { ...decision, cached: decision.cached && (shown.decision?.cached ?? true) };
  shown.expert = decision.expert;
}

/** More words, without drawing the whole story anew. */
function say(shown, text) {
  shown.answer += text;
  const place = shown === flow && byId("answer");
  if (place) place.append(text);
  else redraw(shown);
}

function redraw(shown) {
  if (shown === flow) put(byId("flow"), steps(flow));
}

function broken(shown, error, mine) {
  shown.phase = "failed";
  shown.error = errorText(shown, error);
  if (shown === flow) announce(shown.error());
  if (error instanceof Gone || error instanceof Refused || mine.signal.aborted) return;
  throw error;
}

/** As a function, so that it is shown in the language of the moment. */
function errorText(shown, error) {
  if (error.name === "AbortError") return () => t("ask.stopped");
  if (error instanceof Gone) return () => t("ask.gone");
  const values = { message: error.message };
  return () => t(shown.answer ? "ask.broken" : "ask.failed", values);
}
