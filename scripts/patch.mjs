// Says one file as a patch of another; assembly/decompress.ts states the format and applies it.

// A piece of the base shorter than this is cheaper written out.
const SHORTEST = 8;
// How many places that begin alike are tried.
const TRIES = 64;

/** A patch that makes `target` of `base`. */
export function makePatch(base, target) {
  const places = new Map();
  const key = (bytes, at) => bytes.toString("latin1", at, at + SHORTEST);
  for (let at = 0; at + SHORTEST <= base.length; at++) {
    const known = places.get(key(base, at));
    if (known === undefined) places.set(key(base, at), [at]);
    else if (known.length < TRIES) known.push(at);
  }
  const patch = [];
  const number = (value) => {
    for (let rest = value; ; rest >>>= 7) {
      patch.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
      if (rest < 0x80) return;
    }
  };
  number(target.length);
  let written = 0;
  let from = 0;
  const step = (until, piece, length) => {
    number(until - written);
    patch.push(...target.subarray(written, until));
    const move = piece - from;
    number(move < 0 ? -2 * move - 1 : 2 * move);
    number(length);
    from = piece + length;
    written = until + length;
  };
  for (let at = 0; at < target.length; ) {
    // What comes where the last piece ended, after as many new bytes as old ones, is tried first.
    const likely = from + (at - written);
    let best = { place: 0, length: 0 };
    for (const place of [likely, ...(places.get(key(target, at)) ?? [])]) {
      let length = 0;
      while (target[at + length] !== undefined && target[at + length] === base[place + length]) {
        length++;
      }
      if (length > best.length) best = { place, length };
    }
    if (best.length < SHORTEST) at++;
    else {
      step(at, best.place, best.length);
      at = written;
    }
  }
  step(target.length, from, 0);
  return Buffer.from(patch);
}
