// Names of files that are on their way: `lowrank-<host>-<process>-<realm><random>.tmp`. They are of one length,
// whatever the file is called in the end, and say whose they are, so that what a killed process left behind can
// be told from what another process is writing at this moment.

/** What is known of the process that made a temporary file. */
export type OwnerState = "gone" | "alive" | "unknown";

const FORM = /^lowrank-([0-9a-z]{7})-(\d{1,10})-([0-9a-z]{7})[0-9a-z]{7}\.tmp$/;

// A process that says nothing for so long about a file is taken to be gone where it cannot be asked.
const SILENCE_MS = 600_000;

let realm = "";

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

function ownerState(name: string, changed: number | undefined): OwnerState {
  const [, host, id, owner] = FORM.exec(name) ?? [];
  if (host !== hostWord() || id === undefined || id === "0") return "unknown";
  if (Number(id) !== globalThis.process?.pid) return processState(Number(id));
  // Files are written in one go: whoever asks is not writing.
  if (owner === realm) return "gone";
  // Another thread of this process, or one that had its number before.
  const started = Date.now() - (globalThis.process.uptime?.() ?? 0) * 1000;
  return changed !== undefined && changed < started ? "gone" : "unknown";
}

function processState(id: number): OwnerState {
  try {
    // Signal 0 only asks.
    return globalThis.process?.kill?.(id, 0) === true ? "alive" : "unknown";
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ESRCH") return "gone";
    return code === "EPERM" ? "alive" : "unknown";
  }
}

function randomWord(): string {
  return word(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0);
}

/** Seven letters for the machine: numbers of processes say something on their own machine alone. */
function hostWord(): string {
  let hash = 0x811c9dc5;
  for (const letter of hostName())
    hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return word(hash >>> 0);
}

function hostName(): string {
  try {
    return globalThis.process?.getBuiltinModule?.("node:os")?.hostname() ?? "";
  } catch {
    // Deno without --allow-sys.
    return "";
  }
}

const word = (value: number): string => value.toString(36).padStart(7, "0");
