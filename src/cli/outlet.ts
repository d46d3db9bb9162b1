// A stream of the process that may fail under way: its reader goes away (`lowrank inspect | head`), its terminal closes,
// or the disk behind it is full. That comes as an event some time after the write, or is thrown by it.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Output } from "./terminal.ts";

/** Takes text until the stream fails; what is written from then on is dropped. */
export class Outlet implements Output {
  readonly #stream: NodeJS.WriteStream;
  readonly #onFailure: (failure: OutputFailure) => void;
  #failure: OutputFailure | null = null;

  constructor(stream: NodeJS.WriteStream, onFailure: (failure: OutputFailure) => void = () => {}) {
    this.#stream = stream;
    this.#onFailure = onFailure;
    stream.on("error", (error) => this.#fail(error));
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true;
  }

  get columns(): number {
    return this.#stream.columns;
  }

  /** What the stream failed with; null while it takes what is written. */
  get failure(): OutputFailure | null {
    return this.#failure;
  }

  write(text: string): void {
    if (this.#failure !== null) return;
    try {
      this.#stream.write(text);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Waits until all that was written is out, or has failed. */
  async flush(): Promise<void> {
    if (this.#failure !== null) return;
    await new Promise<void>((resolve) => this.#stream.write("", () => resolve()));
    // The event of a failure follows the end of its write.
    await nextTurn();
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (this.#failure !== null) return;
    this.#failure = describe(error, this.isTTY);
    this.#onFailure(this.#failure);
  }
}

/** Why a stream takes no more. */
export interface OutputFailure {
  /** Nobody reads any more, which is no error. */
  readonly isClosed: boolean;
  /** A sentence without its full stop. */
  readonly message: string;
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the quota of the disk is used up"],
  ["EFBIG", "the file is too large for the file system"],
  ["EIO", "the device reports an error"],
]);

function describe(
  { code = "", message }: NodeJS.ErrnoException,
  isTerminal: boolean,
): OutputFailure {
  // A terminal that has closed reports EIO.
  const isClosed =
    ["EPIPE", "EOF", "ECONNRESET", "ERR_STREAM_DESTROYED"].includes(code) ||
    (isTerminal && code === "EIO");
  if (isClosed) return { isClosed, message: "Standard output was closed" };
  return {
    isClosed,
    message: `Could not write to standard output: ${REASONS.get(code) ?? message}`,
  };
}
