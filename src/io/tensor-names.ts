// Names of tensors without what wrappers around a model put into them: compilers (`_orig_mod.`), parallel training
// (`module.`), sharding and checkpointing, and PEFT (`base_model.model.`), which may stand there several times.

/** What PEFT puts before the path of a module. */
export const PREFIX = "base_model.model.";

const WRAPPERS: ReadonlySet<string> = new Set([
  "_orig_mod",
  "module",
  "_fsdp_wrapped_module",
  "_checkpoint_wrapped_module",
]);
const WRAPPED = new RegExp(`(^|\\.)(${[...WRAPPERS].join("|")})\\.`);

/** The name without the parts of wrappers, and without PEFT's prefix. */
export function bareName(name: string): string {
  let bare = WRAPPED.test(name)
    ? name
        .split(".")
        .filter((part) => !WRAPPERS.has(part))
        .join(".")
    : name;
  while (bare.startsWith(PREFIX)) bare = bare.slice(PREFIX.length);
  return bare;
}

/** A remark on a name that a wrapper has marked; null for one as it should be. */
export function wrapperOf(name: string): string | null {
  const found = WRAPPED.exec(name)?.[2];
  if (found !== undefined) return `${found}.`;
  return name.startsWith(`${PREFIX}${PREFIX}`) ? PREFIX : null;
}
