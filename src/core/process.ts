// What the system says of processes: whether one still runs, when it began, where its number
// counts.

/** What is known of a process. */
export type ProcessState = "gone" | "alive" | "unknown";

export function processState(id: number): ProcessState {
  if (!mayAsk("run")) return "unknown";
  try {
    // Signal 0 only asks.
    if (globalThis.process?.kill?.(id, 0) !== true) return "unknown";
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ESRCH") return "gone";
    // A runtime may deny the question; a system says EPERM of a process that is another user's.
    if (code !== "EPERM") return "unknown";
  }
  // A process that has ended is still listed until its parent has asked for it.
  return /^[ZXx]$/.test(fieldsOf(id)[0] ?? "") ? "gone" : "alive";
}

/** When a process began, in ticks since the system was started; null where that is not said. */
export function startTicks(id: number): string | null {
  return fieldsOf(id)[19] ?? null;
}

/** When a process began, in milliseconds since 1970; null where the system does not say. */
export function startOf(id: number): number | null {
  const { process } = globalThis;
  if (id === process?.pid) return Date.now() - (process.uptime?.() ?? 0) * 1000;
  const ticks = Number(startTicks(id) ?? Number.NaN);
  const uptime = ask("read", () => files()?.readFileSync("/proc/uptime", "latin1"));
  const up = Number(uptime?.split(" ", 1)[0] ?? Number.NaN);
  // Linux counts hundredths of a second since it was started; the sum is off by a few of them.
  const start = Date.now() - up * 1000 + ticks * 10 - 1000;
  return Number.isFinite(start) ? start : null;
}

/** The machine's name; empty where it is not said. */
export function hostName(): string {
  return ask("sys", () => globalThis.process?.getBuiltinModule?.("node:os").hostname()) ?? "";
}

/** Where numbers of processes count: containers have their own. Null where that is not said. */
export function processNamespace(): string | null {
  return ask("read", () => files()?.readlinkSync("/proc/self/ns/pid"));
}

/** What Linux says of a process, from its state on (proc(5), field 3); empty on other systems. */
function fieldsOf(id: number): readonly string[] {
  const text = ask("read", () => files()?.readFileSync(`/proc/${id}/stat`, "latin1"));
  // The name in brackets may hold anything.
  return text === null ? [] : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

const files = () => globalThis.process?.getBuiltinModule?.("node:fs");

/** What the system says; null if it does not, or the runtime denies it. */
function ask(permission: Permission, question: () => string | undefined): string | null {
  try {
    return mayAsk(permission) ? (question() ?? null) : null;
  } catch {
    return null;
  }
}

type Permission = "read" | "run" | "sys";

/** Whether the system may be asked; Deno would stop the program and ask its user first. */
function mayAsk(name: Permission): boolean {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  return Deno === undefined || Deno.permissions.querySync({ name }).state === "granted";
}

interface DenoPermissions {
  readonly permissions: { querySync(asked: { name: string }): { readonly state: string } };
}
