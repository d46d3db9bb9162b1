// The `post_processor` of a tokenizer.json: which tokens stand before and after a text, such as <|begin_of_text|>.
// Only the template for a single text is read; ByteLevel concerns offsets and changes no id.
import { asComponent, asFields, asId, asList, type Component, fail } from "./jsonFields.ts";

/** Ids put before and after a text. */
export interface Template {
  readonly prefixIds: readonly number[];
  readonly suffixIds: readonly number[];
}

type Specials = ReadonlyMap<string, readonly number[]>;

function readSpecials(value: unknown): Specials {
  const specials = new Map<string, readonly number[]>();
  for (const [name, entry] of Object.entries(
    asFields(value ?? {}, "post_processor.special_tokens"),
  )) {
    const where = `post_processor.special_tokens.${name}`;
    const ids = asList(asFields<"ids">(entry, where).ids, `${where}.ids`);
    specials.set(
      name,
      ids.map((id) => asId(id, name)),
    );
  }
  return specials;
}

function readSingle(component: Component): Template {
  const specials = readSpecials(component.special_tokens);
  const prefixIds: number[] = [];
  const suffixIds: number[] = [];
  let ids = prefixIds;
  for (const item of asList(component.single, "post_processor.single")) {
    const { Sequence, SpecialToken } = asFields<"Sequence" | "SpecialToken">(
      item,
      "a template item",
    );
    if (Sequence !== undefined) {
      ids = suffixIds;
      continue;
    }
    const { id } = asFields<"id">(SpecialToken, "post_processor.single.SpecialToken");
    ids.push(...(specials.get(String(id)) ?? fail(`the template names ${id}, which has no ids.`)));
  }
  return { prefixIds, suffixIds };
}

/** Reads a `post_processor`. @throws FormatError that names the component if it is another one */
export function readTemplate(value: unknown): Template {
  if (value === null || value === undefined) return { prefixIds: [], suffixIds: [] };
  const component = asComponent(value, "post_processor");
  if (component.type === "ByteLevel") return { prefixIds: [], suffixIds: [] };
  if (component.type === "TemplateProcessing") return readSingle(component);
  if (component.type !== "Sequence") {
    fail(
      `the post-processor ${component.type} is not supported; expected ByteLevel, ` +
        "TemplateProcessing or a Sequence of them.",
    );
  }
  const members = asList(component.processors, "post_processor.processors").map(readTemplate);
  return {
    prefixIds: members.toReversed().flatMap((member) => member.prefixIds),
    suffixIds: members.flatMap((member) => member.suffixIds),
  };
}

/** The `post_processor` that puts these ids around a text; `names` are the contents of the tokens. */
export function writeTemplate(
  template: Partial<Template>,
  names: ReadonlyMap<number, string>,
): Component | null {
  const { prefixIds = [], suffixIds = [] } = template;
  if (prefixIds.length + suffixIds.length === 0) return null;
  const name = (id: number) => names.get(id) ?? String(id);
  const special = (id: number) => ({ SpecialToken: { id: name(id), type_id: 0 } });
  const around = (sequence: string) => [
    ...prefixIds.map(special),
    { Sequence: { id: sequence, type_id: 0 } },
    ...suffixIds.map(special),
  ];
  const used = [...new Set([...prefixIds, ...suffixIds])];
  return {
    type: "TemplateProcessing",
    single: around("A"),
    pair: [...around("A"), ...around("B")],
    special_tokens: Object.fromEntries(
      used.map((id) => [name(id), { id: name(id), ids: [id], tokens: [name(id)] }]),
    ),
  } as Component;
}
