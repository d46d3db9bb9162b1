// What a value is, whichever realm made it: a test environment such as jsdom, a vm context or a frame has classes of its
// own, of which `instanceof` knows nothing. Slots and tags are the same everywhere.

const typedArrayName = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get as (this: unknown) => string | undefined;

/** The class of a typed array, such as "Float32Array" (of a Buffer "Uint8Array"); undefined for anything else. */
export function typedArrayOf(value: unknown): string | undefined {
  return typedArrayName.call(value);
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** Whether a buffer is shared between threads. */
export function isShared(buffer: ArrayBufferLike): boolean {
  return tagOf(buffer) === "SharedArrayBuffer";
}

/** The bytes that a Uint8Array, a Buffer or an ArrayBuffer holds, as a Uint8Array of this realm; null for others. */
export function bytesOf(value: unknown): Uint8Array | null {
  if (typedArrayOf(value) === "Uint8Array") {
    const view = value as Uint8Array;
    if (view.constructor === Uint8Array) return view;
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }
  const isBuffer = ["ArrayBuffer", "SharedArrayBuffer"].includes(tagOf(value));
  return isBuffer ? new Uint8Array(value as ArrayBuffer) : null;
}

/** Whether a value is a Map. */
export function isMap(value: unknown): value is ReadonlyMap<unknown, unknown> {
  return tagOf(value) === "Map";
}

/** The address of a URL object; undefined for anything else. */
export function hrefOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { href, protocol } = value as { readonly href?: unknown; readonly protocol?: unknown };
  return typeof href === "string" && typeof protocol === "string" ? href : undefined;
}

/** What an error says. */
export function messageOf(error: unknown): string {
  const message = (error as { readonly message?: unknown } | null | undefined)?.message;
  return typeof message === "string" ? message : String(error);
}
