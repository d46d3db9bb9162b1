// Names of files that are on their way: `lowrank-<host>-<process>-<realm><random>.tmp`. They are of one length,
// whatever the file is called in the end, and say whose they are, so that what a killed process left behind can
// be told from what another process is writing at this moment.

import { hostName, type ProcessState, processNamespace, processState, startOf } from "./process.ts";

const FORM = /^lowrank-([0-9a-z]{7})-(\d{1,10})-([0-9a-z]{7})[0-9a-z]{7}\.tmp$/;

// A process that says nothing for so long about a file is taken to be gone where it cannot be asked.
const SILENCE_MS = 600_000;

let realm = "";
let host = "";

/** The plain name of a temporary file or directory; no other is called so. */
export function temporaryName(): string {
  if (realm === "") realm = randomWord();
  return `lowrank-${hostWord()}-${globalThis.process?.pid ?? 0}-${realm}${randomWord()}.tmp`;
}

/** Whether `temporaryName` gave this name, here or in another process. */
export function isTemporaryName(name: string): boolean {
  return FORM.test(name);
}

/**
 * The file for which version 0.1.0 made this temporary one, `<file>.<random>.tmp`; null if it did not make it.
 */
export function temporaryFor(name: string): string | null {
  return /^(.+)\.[0-9a-z]{14}\.tmp$/.exec(name)?.[1] ?? null;
}

/**
 * Whether nobody writes this temporary file any more.
 * @param changed when it was last written, in milliseconds since 1970
 */
export function isLeftover(name: string, changed: number | undefined): boolean {
  const state = ownerState(name, changed);
  if (state !== "unknown") return state === "gone";
  return changed !== undefined && Date.now() - changed > SILENCE_MS;
}

function ownerState(name: string, changed: number | undefined): ProcessState {
  const [, host, id, owner] = FORM.exec(name) ?? [];
  if (host !== hostWord() || id === undefined || id === "0") return "unknown";
  // Files are written in one go: whoever asks is not writing.
  if (Number(id) === globalThis.process?.pid && owner === realm) return "gone";
  const state = processState(Number(id));
  // The number may be another process's by now, which began after the file was written.
  const started = startOf(Number(id));
  const isReused = changed !== undefined && started !== null && changed < started;
  if (state === "alive" && isReused) return "gone";
  // Of another thread of this process nothing more can be said.
  return Number(id) === globalThis.process?.pid ? "unknown" : state;
}

function randomWord(): string {
  return word(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0);
}

/** Seven letters for the machine, and for the container: numbers of processes say something within one alone. */
function hostWord(): string {
  if (host !== "") return host;
  let hash = 0x811c9dc5;
  // Systems other than Linux have no namespaces.
  for (const letter of `${hostName()} ${processNamespace() ?? ""}`)
    hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  host = word(hash >>> 0);
  return host;
}

const word = (value: number): string => value.toString(36).padStart(7, "0");
