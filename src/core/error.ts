// The errors that lowrank throws on purpose. A message is a sentence: what was wrong, what was found,
// what was expected, what to do. Anything else that escapes the library is a bug in it.

import { escapeControls } from "./controls.ts";
import { withoutSecrets } from "./secrets.ts";

/** The base of every error that lowrank throws on purpose. */
export class LowrankError extends Error {
  override name = "LowrankError";

  /** A message may quote what a stranger's file says, whose control characters are escaped, and name addresses. */
  constructor(message: string, options?: ErrorOptions) {
    super(escapeControls(withoutSecrets(message)), options);
  }
}

/** Shapes or dtypes that do not fit together; the message names all of them. */
export class ShapeError extends LowrankError {
  override name = "ShapeError";
}

/** A tensor was used after its scope had closed, after `dispose()`, or after its engine was closed. */
export class ReleasedError extends LowrankError {
  override name = "ReleasedError";
}

/** The engine's memory cannot grow as far as asked; it stays usable. */
export class MemoryError extends LowrankError {
  override name = "MemoryError";
}

/** A file or its contents break the rules of its format; nothing of it was used. */
export class FormatError extends LowrankError {
  override name = "FormatError";
}

/** An option or argument that makes no sense, or a call at the wrong time. */
export class UsageError extends LowrankError {
  override name = "UsageError";
}
