// Names of files that are on their way: `lowrank-<host>-<process>-<realm><random>.tmp`. They are of one length,
// whatever the file is called in the end, and say whose they are, so that what a killed process left behind can
// be told from what another process is writing at this moment.

/** What is known of the process that made a temporary file. */
export type OwnerState = "gone" | "alive" | "unknown";

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

function ownerState(name: string, changed: number | undefined): OwnerState {
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

function processState(id: number): OwnerState {
  if (!mayAsk("run")) return "unknown";
  try {
    // Signal 0 only asks.
    if (globalThis.process?.kill?.(id, 0) !== true) return "unknown";
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ESRCH") return "gone";
    if (code !== "EPERM") return "unknown";
  }
  // A process that has ended is still listed until its parent has asked for it.
  return /^[ZXx]$/.test(fieldsOf(id)[0] ?? "") ? "gone" : "alive";
}

/** When a process began, in milliseconds since 1970; null where the system does not say. */
function startOf(id: number): number | null {
  const { process } = globalThis;
  if (id === process?.pid) return Date.now() - (process.uptime?.() ?? 0) * 1000;
  const ticks = Number(fieldsOf(id)[19] ?? Number.NaN);
  const up = Number(readSystem("/proc/uptime")?.split(" ", 1)[0] ?? Number.NaN);
  // Linux counts hundredths of a second since it was started; the sum is off by a few of them.
  const start = Date.now() - up * 1000 + ticks * 10 - 1000;
  return Number.isFinite(start) ? start : null;
}

/** What Linux says of a process, from its state on (proc(5), field 3); empty on other systems. */
function fieldsOf(id: number): readonly string[] {
  const text = readSystem(`/proc/${id}/stat`);
  return text === null ? [] : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function readSystem(path: string): string | null {
  try {
    if (!mayAsk("read")) return null;
    return globalThis.process?.getBuiltinModule?.("node:fs")?.readFileSync(path, "latin1") ?? null;
  } catch {
    return null;
  }
}

function randomWord(): string {
  return word(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0);
}

/** Seven letters for the machine, and for the container: numbers of processes say something within one alone. */
function hostWord(): string {
  if (host !== "") return host;
  let hash = 0x811c9dc5;
  for (const letter of hostName())
    hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  host = word(hash >>> 0);
  return host;
}

function hostName(): string {
  const node = globalThis.process?.getBuiltinModule;
  // Systems other than Linux have no namespaces.
  const ask = (question: () => string | undefined): string => {
    try {
      return question() ?? "";
    } catch {
      return "";
    }
  };
  const name = ask(() => (mayAsk("sys") ? node?.("node:os").hostname() : ""));
  const link = "/proc/self/ns/pid";
  return `${name} ${ask(() => (mayAsk("read") ? node?.("node:fs").readlinkSync(link) : ""))}`;
}

/** Whether the system may be asked; Deno would stop the program and ask its user first. */
function mayAsk(name: "read" | "run" | "sys"): boolean {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  return Deno === undefined || Deno.permissions.querySync({ name }).state === "granted";
}

interface DenoPermissions {
  readonly permissions: { querySync(asked: { name: string }): { readonly state: string } };
}

const word = (value: number): string => value.toString(36).padStart(7, "0");
