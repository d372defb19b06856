// Requests to the endpoint: with the key, and with a clear error where it refuses or is gone.

import { byId } from "./dom.js";
import { t } from "./words.js";

const KEY = "coe-key";
const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 15;

/** A refusal of the endpoint: `status` and the error object's message. */
export class Refused extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** It did not answer at all. */
export class Gone extends Error {}

let gone = null; // the promise of its return, while it is away
let askKey = async () => false;

/** Who can ask for a key: a function that resolves to whether there is a new one. */
export function onKeyWanted(ask) {
  askKey = ask;
}

/** The key lives as long as this tab. */
export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** The response to a request. Raises `Refused`, `Gone`, or an AbortError. Paths are relative to the page. */
export async function ask(path, { body, signal } = {}) {
  const response = await sent(path, body, signal, key.get());
  if (response.status === 401 && (await askKey())) return ask(path, { body, signal });
  if (response.ok) return response;
  throw await refusal(response);
}

/** The response to a GET. It is repeated by itself when the endpoint is back. */
export async function read(path, { signal } = {}) {
  for (;;) {
    try {
      return await (await ask(path, { signal })).json();
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      await gone;
      signal?.throwIfAborted();
    }
  }
}

/** Whether a key is known there. Raises `Gone`. */
export async function isKnown(value) {
  return (await sent("v1/models", undefined, undefined, value)).status !== 401;
}

/** What /healthz tells. Raises `Gone`. */
export async function health() {
  return (await sent("healthz")).json();
}

/** Server-sent events as the objects that they hold. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await received(reader);
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue; // between two events, or a sign of life
      const data = line.slice("data:".length).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

async function received(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : lost();
  }
}

async function sent(path, body, signal, value) {
  const headers = new Headers(value ? { authorization: `Bearer ${value}` } : {});
  const given = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  if (body !== undefined) headers.set("content-type", "application/json");
  try {
    const response = await fetch(path, { ...given, headers, signal, cache: "no-store" });
    if (response.status < 500 || isOurs(response)) return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  throw lost();
}

// A proxy before the endpoint answers in plain text or HTML while the endpoint is away.
const isOurs = (response) => (response.headers.get("content-type") ?? "").startsWith("application/json");

async function refusal(response) {
  const content = await response.json().catch(() => ({}));
  return new Refused(response.status, content.error?.message ?? response.statusText, content.error?.code);
}

/** Begins to look for the endpoint, where nobody does yet. */
function lost() {
  gone ??= returned().then(() => {
    gone = null;
    byId("gone").hidden = true;
    window.dispatchEvent(new Event("endpoint-back"));
  });
  return new Gone();
}

async function returned() {
  byId("gone").hidden = false;
  window.dispatchEvent(new Event("endpoint-gone"));
  for (let wait = FIRST_WAIT_S; ; wait = Math.min(2 * wait, LONGEST_WAIT_S)) {
    await waited(wait);
    byId("gone-when").textContent = t("gone.trying");
    if (await answers()) return;
  }
}

/** Not over `sent`, which would look for it once more. */
async function answers() {
  try {
    const response = await fetch("healthz", { cache: "no-store" });
    return response.ok && isOurs(response);
  } catch {
    return false;
  }
}

/** Counts down, until somebody is impatient. */
function waited(seconds) {
  return new Promise((resolve) => {
    let left = seconds;
    const tell = () => (byId("gone-when").textContent = t("gone.in", { seconds: left }));
    const over = () => {
      clearInterval(clock);
      byId("try-now").removeEventListener("click", over);
      resolve();
    };
    const clock = setInterval(() => (--left > 0 ? tell() : over()), 1000);
    byId("try-now").addEventListener("click", over);
    tell();
  });
}
