// Whether bytes are UTF-8, and bytes that a decoder takes.

import { isShared } from "./realm.ts";

/** So many bytes at a time are checked. */
const CHUNK = 1 << 16;

/** Whether all bytes are UTF-8; nothing is kept. */
export function isUtf8(bytes: Uint8Array): boolean {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (let at = 0; at < bytes.length; at += CHUNK) {
      decoder.decode(decodable(bytes.subarray(at, at + CHUNK)), { stream: true });
    }
    decoder.decode();
    return true;
  } catch {
    return false;
  }
}

/** Browsers refuse to decode a view of shared memory: copy it. */
export function decodable(bytes: Uint8Array): Uint8Array {
  return isShared(bytes.buffer) ? new Uint8Array(bytes) : bytes;
}
