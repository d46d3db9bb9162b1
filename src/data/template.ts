// The `post_processor` of a tokenizer.json: which tokens stand before and after a text, such as <|begin_of_text|>.
// Only the template for a single text is read; ByteLevel concerns offsets and says that nothing is put around a text.
// A file without a post-processor does not say what is.
import { asComponent, asFields, asId, asList, bare, type Component, fail } from "./jsonFields.ts";

/** Ids put before and after a text; undefined where the file does not say. */
export interface Template {
  readonly prefixIds: readonly number[] | undefined;
  readonly suffixIds: readonly number[] | undefined;
}

const NONE: Template = { prefixIds: [], suffixIds: [] };
// More tokens around a text than any template has.
const MOST_IDS = 64;

type Specials = ReadonlyMap<string, readonly number[]>;

function readSpecials(value: unknown): Specials {
  const specials = new Map<string, readonly number[]>();
  for (const [name, entry] of Object.entries(
    asFields(value ?? {}, "post_processor.special_tokens"),
  )) {
    const where = `post_processor.special_tokens.${bare(name)}`;
    const ids = asList(asFields<"ids">(entry, where).ids, `${where}.ids`);
    specials.set(
      name,
      ids.map((id) => asId(id, bare(name))),
    );
  }
  return specials;
}

function readSingle(component: Component): Template {
  const specials = readSpecials(component.special_tokens);
  const prefixIds: number[] = [];
  const suffixIds: number[] = [];
  let ids = prefixIds;
  let texts = 0;
  for (const item of asList(component.single, "post_processor.single")) {
    const { Sequence, SpecialToken } = asFields<"Sequence" | "SpecialToken">(
      item,
      "a template item",
    );
    if (Sequence !== undefined) {
      ids = suffixIds;
      texts++;
      continue;
    }
    const { id } = asFields<"id">(SpecialToken, "post_processor.single.SpecialToken");
    const name = typeof id === "string" ? id : fail("a template names a token that is no text.");
    const added = specials.get(name) ?? fail(`the template names ${bare(name)}, which has no ids.`);
    if (ids.length + added.length > MOST_IDS) {
      fail(`the template puts more than ${MOST_IDS} tokens around a text.`);
    }
    for (const one of added) ids.push(one);
  }
  if (texts !== 1) fail(`the template holds the text ${texts} times; expected once, as $A.`);
  return { prefixIds, suffixIds };
}

/** Reads a `post_processor`. @throws FormatError that names the component if it is another one */
export function readTemplate(value: unknown): Template {
  if (value === null || value === undefined) {
    return { prefixIds: undefined, suffixIds: undefined };
  }
  const component = asComponent(value, "post_processor");
  if (component.type === "ByteLevel") return NONE;
  if (component.type === "TemplateProcessing") return readSingle(component);
  if (component.type !== "Sequence") {
    fail(
      `the post-processor ${bare(component.type)} is not supported; expected ByteLevel, ` +
        "TemplateProcessing or a Sequence of them.",
    );
  }
  const members = asList(component.processors, "post_processor.processors").map(readTemplate);
  const prefixIds = members.toReversed().flatMap((member) => member.prefixIds ?? []);
  const suffixIds = members.flatMap((member) => member.suffixIds ?? []);
  if (prefixIds.length + suffixIds.length > MOST_IDS) {
    fail(`the post-processors put more than ${MOST_IDS} tokens around a text.`);
  }
  return { prefixIds, suffixIds };
}

/** The `post_processor` that puts these ids around a text, null if it is not said; `names` are the tokens' contents. */
export function writeTemplate(
  template: Partial<Template>,
  names: ReadonlyMap<number, string>,
): Component | null {
  const { prefixIds, suffixIds = [] } = template;
  if (prefixIds === undefined && suffixIds.length === 0) return null;
  const name = (id: number) => names.get(id) ?? String(id);
  const special = (id: number) => ({ SpecialToken: { id: name(id), type_id: 0 } });
  const around = (sequence: string) => [
    ...(prefixIds ?? []).map(special),
    { Sequence: { id: sequence, type_id: 0 } },
    ...suffixIds.map(special),
  ];
  const used = [...new Set([...(prefixIds ?? []), ...suffixIds])];
  return {
    type: "TemplateProcessing",
    single: around("A"),
    pair: [...around("A"), ...around("B")],
    special_tokens: Object.fromEntries(
      used.map((id) => [name(id), { id: name(id), ids: [id], tokens: [name(id)] }]),
    ),
  } as Component;
}
