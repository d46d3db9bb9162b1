// What a path holds: facts in words, and the same as data.

import { describe } from "../adapters/method.ts";
import { FormatError, UsageError } from "../core/error.ts";
import { type Gate, readParts } from "../core/file-parts.ts";
import { kindOfPath, parentOf } from "../core/files.ts";
import { foreignName } from "../core/foreign.ts";
import { type PathLike, placeOf } from "../core/location.ts";
import { withCurrent } from "../core/pending.ts";
import { withoutSecrets } from "../core/secrets.ts";
import { type FileSource, openSource, readRequired, refusePickle } from "../io/directory.ts";
import { parseModelConfig } from "../io/huggingface-config.ts";
import { EMBEDDED_MODEL, openPackaged } from "../io/packaged.ts";
import { ofFile, parsePeftConfig } from "../io/peft-config.ts";
import { HeaderGate } from "../io/safetensors.ts";
import type { FileTensor, SafetensorsHeader } from "../io/safetensors-header.ts";
import { askFor, partsOfResponse } from "../io/web.ts";
import { readWeights, type Weights } from "../io/weights.ts";
import { bytes, plural, whole } from "./format.ts";
import { shapesByModule } from "./inspectedTargets.ts";
import { headsText, lastName } from "./summary.ts";
import { type TensorEntry, tensorEntries } from "./tensorTable.ts";

/** What was found; `facts` are rows for readers. */
export interface Inspection {
  readonly kind: "model" | "adapter" | "safetensors" | "checkpoint";
  readonly path: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly facts: readonly (readonly [string, string])[];
  /** The config, as lowrank reads it; null for a file alone. */
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly TensorEntry[];
  readonly warnings: readonly string[];
}

const STATE_MAGIC = "LOWRANK1";
const STATE_HEADER = 16;
/** The most names or numbers of a kind that are listed. */
const LISTED = 20;
/** The most letters of a name or a value that are shown. */
const LONGEST = 200;

/**
 * Looks at a directory or a file; without a path at the embedded model.
 * @throws UsageError for a place that holds nothing of the kind, FormatError for a file that breaks its rules
 */
export async function inspect(path: string | undefined): Promise<Inspection> {
  if (path === undefined) {
    return inspectModel(
      await openPackaged(EMBEDDED_MODEL, "config.json", "Name a directory instead."),
      EMBEDDED_MODEL,
    );
  }
  const place = placeOf(path, "PATH");
  if ("web" in place) {
    const isFile = place.web.pathname.endsWith(".safetensors");
    return isFile ? inspectAddress(place.web) : inspectDirectory(place.web);
  }
  const kind = kindOfPath(place.path);
  if (kind === null) {
    throw new UsageError(`There is no file or directory ${JSON.stringify(place.path)}.`);
  }
  if (kind === "directory") return inspectDirectory(place.path);
  const name = place.path.slice(place.path.lastIndexOf("/") + 1);
  if (name === "config.json" || name === "adapter_config.json")
    return inspectDirectory(parentOf(place.path));
  const gate = new FileGate(place.path);
  withCurrent(place.path, (path) => readParts(path, gate.pass, false));
  return inspectFile(place.path, gate);
}

async function inspectAddress(url: URL): Promise<Inspection> {
  const name = withoutSecrets(url.href);
  const gate = new FileGate(name);
  const answer = await askFor(url, (response) => partsOfResponse(response, gate.pass, false));
  if ("bytes" in answer) return inspectFile(name, gate);
  throw new UsageError(`There is no file ${JSON.stringify(name)}: ${answer.missing}.`);
}

async function inspectDirectory(location: PathLike): Promise<Inspection> {
  const source = openSource(location);
  const path = typeof location === "string" ? location : source.name.replace(/\/+$/, "");
  if ((await source.read("adapter_config.json")) !== null) return inspectAdapter(source, path);
  if ((await source.read("config.json")) !== null) return inspectModel(source, path);
  const names = source.list() ?? [];
  const other = names.find((name) => foreignName(name) !== null);
  if (other !== undefined) {
    throw new UsageError(`${JSON.stringify(`${path}/${other}`)} ${foreignName(other)}`);
  }
  const inner = names.find((name) => /^(adapter|merged|model)$/.test(name));
  const alone = names.find((name) => name.endsWith(".safetensors"));
  const hint = inner ?? alone;
  throw new UsageError(
    `${JSON.stringify(path)} holds neither config.json nor adapter_config.json. ` +
      (hint === undefined
        ? "Name the directory of a model or an adapter, or a .safetensors file."
        : `Did you mean ${path.replace(/\/+$/, "")}/${hint}?`),
  );
}

function common({
  metadata,
  tensors,
}: Weights<FileTensor>): Pick<Inspection, "parameters" | "bytes" | "metadata" | "tensors"> {
  const entries = tensorEntries(tensors);
  return {
    tensors: entries,
    metadata: Object.fromEntries(metadata),
    parameters: entries.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    bytes: entries.reduce((sum, entry) => sum + entry.bytes, 0),
  };
}

function storedAs({
  tensors,
  bytes: size,
}: {
  readonly tensors: readonly TensorEntry[];
  readonly bytes: number;
}): string {
  const dtypes = [...new Set(tensors.map(({ dtype }) => dtype))];
  return `${dtypes.join(", ") || "nothing"}, ${bytes(size)} in ${plural(tensors.length, "tensor")}`;
}

function listed(items: readonly (string | number)[]): string {
  const shown = items.slice(0, LISTED).join(", ");
  return items.length > LISTED ? `${shown} and ${items.length - LISTED} more` : shown;
}

function metadataFact(metadata: Readonly<Record<string, string>>): [string, string][] {
  const pairs = Object.entries(metadata).filter(([key]) => key !== "format");
  if (pairs.length === 0) return [];
  const lines = pairs
    .slice(0, LISTED)
    .map(([key, value]) => `${key.slice(0, LONGEST)}: ${value.slice(0, LONGEST)}`);
  if (pairs.length > LISTED) lines.push(`and ${pairs.length - LISTED} more`);
  return [["Metadata", lines.join("\n")]];
}

async function inspectModel(source: FileSource, path: string): Promise<Inspection> {
  const { config, warnings } = parseModelConfig(
    await readRequired(source, "config.json"),
    `${path}/config.json`,
  );
  const found = common(await readWeights(source, "model", { data: false }));
  const hasTokenizer = (await source.read("tokenizer.json")) !== null;
  const norm = config.norm === "rms" ? "RMS norm" : "layer norm";
  const positions =
    config.positions === "rope"
      ? `rotary positions (theta ${config.ropeTheta})`
      : "learned positions";
  const mlp = `${config.gated ? "gated " : ""}${config.activation}`;
  return {
    kind: "model",
    path,
    ...found,
    config: { ...config },
    warnings,
    facts: [
      ["Model", `${path}, ${config.modelType}`],
      ["Parameters", `${whole(found.parameters)}, stored as ${storedAs(found)}`],
      [
        "Blocks",
        `${plural(config.layers, "layer")} of width ${config.hiddenSize}, ${headsText(config)} of width ${config.headDim}, MLP of ${config.intermediateSize}`,
      ],
      [
        "Parts",
        `${norm}, ${positions}, ${mlp}, ${config.tieWordEmbeddings ? "tied" : "untied"} head`,
      ],
      [
        "Tokens",
        `${whole(config.vocabSize)}, at most ${whole(config.maxPositions)} at a time; ${hasTokenizer ? "tokenizer.json is there" : "no tokenizer.json"}`,
      ],
      ...metadataFact(found.metadata),
    ],
  };
}

async function inspectAdapter(source: FileSource, path: string): Promise<Inspection> {
  const file = `${path}/adapter_config.json`;
  const { config, warnings } = parsePeftConfig(
    await readRequired(source, "adapter_config.json"),
    file,
  );
  const found = common(await readWeights(source, "adapter_model", { data: false }));
  const { method } = config;
  const shapes = shapesByModule(found.tensors, method);
  const described = ofFile(
    method,
    () => describe(method, config.config, shapes),
    (message) => `${file}: ${message}`,
  );
  const names = [...new Set([...shapes.keys()].map(lastName))];
  const options = Object.fromEntries(
    Object.entries(config.config).map(([name, value]) => [
      name,
      value instanceof Map ? Object.fromEntries(value) : value,
    ]),
  );
  return {
    kind: "adapter",
    path,
    ...found,
    config: {
      ...options,
      baseModel: config.baseModelNameOrPath,
      targets: [...described.modules].map(([module, fields]) => ({ path: module, ...fields })),
    },
    warnings,
    facts: [
      ["Adapter", `${path}, ${described.method}`],
      ["Base", config.baseModelNameOrPath?.slice(0, LONGEST) ?? "not said"],
      [described.label, described.details],
      ["Targets", `${plural(shapes.size, "layer")}: ${listed(names)}`],
      ["Parameters", `${whole(found.parameters)}, stored as ${storedAs(found)}`],
      ...metadataFact(found.metadata),
    ],
  };
}

/** Of a file alone only the header is read. */
class FileGate {
  isState = false;
  readonly #path: string;
  #gate: HeaderGate | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  readonly pass: Gate = (head, size) => {
    const magic = STATE_MAGIC.length;
    if (head.length < magic && head.length < size) return Math.min(magic, size);
    this.isState = String.fromCharCode(...head.subarray(0, magic)) === STATE_MAGIC;
    if (!this.isState) refusePickle(this.#path);
    this.#gate ??= new HeaderGate(this.#path, this.isState ? STATE_HEADER : 0);
    return this.#gate.pass(head, size);
  };

  get header(): SafetensorsHeader {
    if (this.#gate === null) throw new FormatError(`${this.#path} ended while it was read.`);
    return this.#gate.header;
  }
}

function inspectFile(path: string, { isState, header }: FileGate): Inspection {
  const found = common(header);
  const step = found.metadata["step"];
  if (isState && step === undefined)
    throw new FormatError(`${path} is a training state without a step.`);
  return {
    kind: isState ? "checkpoint" : "safetensors",
    path,
    ...found,
    config: null,
    warnings: [],
    facts: [
      ["File", `${path}, ${isState ? `a training state after step ${step}` : "safetensors"}`],
      ["Numbers", `${whole(found.parameters)}, stored as ${storedAs(found)}`],
      ...(isState ? [] : metadataFact(found.metadata)),
    ],
  };
}
