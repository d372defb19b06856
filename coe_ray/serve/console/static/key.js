// The API key: asked for once in a tab, where the endpoint has keys.

import { byId } from "./dom.js";
import { Gone, isKnown, key } from "./endpoint.js";
import { t } from "./words.js";

const FIT = /^[\x21-\x7e]{1,256}$/; // what can stand in a header

let asking = null; // one dialog for all that wait for a key

/** Resolves to whether there is a key that the endpoint knows. */
export function wantKey() {
  asking ??= new Promise((resolve) => {
    byId("key-wrong").textContent = key.get() ? t("key.unknown") : "";
    key.forget();
    open(resolve);
  }).finally(() => (asking = null));
  return asking;
}

/** Asks for another key than the one in use. */
export function changeKey() {
  asking ??= new Promise((resolve) => {
    byId("key-wrong").textContent = "";
    open(resolve);
  }).finally(() => (asking = null));
  return asking;
}

function open(resolve) {
  const [dialog, field] = [byId("key-dialog"), byId("key")];
  const close = (known) => {
    field.value = "";
    dialog.onclose = null;
    dialog.close();
    resolve(known);
  };
  byId("key-form").onsubmit = async (event) => {
    event.preventDefault();
    if (await isTaken(field.value.trim())) close(true);
  };
  byId("key-later").onclick = () => close(false);
  dialog.onclose = () => close(false); // the Escape key
  dialog.showModal();
  field.focus();
}

async function isTaken(value) {
  const wrong = byId("key-wrong");
  wrong.textContent = "";
  try {
    if (FIT.test(value) && (await isKnown(value))) {
      key.set(value);
      return true;
    }
    wrong.textContent = value ? t("key.unknown") : t("key.empty");
  } catch (error) {
    if (!(error instanceof Gone)) throw error;
    wrong.textContent = t("gone.title");
  }
  byId("key").select();
  return false;
}
