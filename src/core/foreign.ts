// Files of other kinds, told by their first bytes. A reader that cannot make sense of a file asks here what it is instead,
// so that the error names the cause and not its first symptom.

/** So many bytes tell. */
export const BEGINNING = 64;

/** What is known of a safetensors file before its header: the beginning may be cut off there. */
const SHORTEST = 8;

interface Kind {
  /** How such files begin, a character a byte and in small letters. */
  readonly starts: readonly string[];
  readonly is: string;
  readonly advice: string;
}

const LFS = ["version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"];

// The opcodes with which a pickle of protocol 2 to 5 goes on, as Python and PyTorch write it.
const PICKLES = ["\u0002", "\u0003", "\u0004", "\u0005"].flatMap((protocol) =>
  [..."}](cxk\u008a\u0095"].map((opcode) => `\u0080${protocol}${opcode}`),
);

const KINDS: readonly Kind[] = [
  {
    starts: ["gguf"],
    is: "a GGUF file, which cannot be read yet",
    advice: "Take the safetensors files of the model that it was made from.",
  },
  {
    starts: LFS,
    is: "a Git LFS pointer, not the file itself",
    advice: "Run git lfs pull in the clone that it lies in, or fetch the file again.",
  },
  {
    starts: ["pk\u0003\u0004", "pk\u0005\u0006"],
    is: "a zip archive, as a PyTorch checkpoint or a .docx is one",
    advice: "Unpack it; convert a checkpoint to safetensors.",
  },
  {
    starts: PICKLES,
    is: "a Python pickle, which can run code when it is read",
    advice: "Convert it to safetensors.",
  },
  { starts: ["\u001f\u008b\u0008"], is: "a gzip archive", advice: "Unpack it." },
  { starts: ["(\u00b5/\u00fd"], is: "a Zstandard archive", advice: "Unpack it." },
  { starts: ["\u0089hdf\r\n"], is: "an HDF5 file", advice: "Convert it to safetensors." },
  { starts: ["%pdf-"], is: "a PDF", advice: "Take its text." },
  {
    starts: ["<!doctype", "<html", "<head", "<?xml"],
    is: "a page of HTML or XML, such as an error or a login, not the file itself",
    advice: "Fetch the file again.",
  },
];

/** What a file is that begins with these bytes, as a sentence that follows its name; null where nothing tells. */
export function foreignKind(bytes: Uint8Array): string | null {
  const start = startOf(bytes).toLowerCase();
  const begins = (prefix: string): boolean =>
    start.startsWith(prefix) || (start.length === SHORTEST && prefix.startsWith(start));
  const found = KINDS.find(({ starts }) => starts.some(begins));
  return found === undefined ? null : `is ${found.is}. ${found.advice}`;
}

/** The same of a file of which only the name is known. */
export function foreignName(name: string): string | null {
  return /\.gguf$/i.test(name) ? foreignKind(Uint8Array.of(0x47, 0x47, 0x55, 0x46)) : null;
}

/** Whether this is a Git LFS pointer, which is text like any other. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  // Most texts are known by their first letter.
  return bytes[0] === 0x76 && LFS.some((prefix) => startOf(bytes).startsWith(prefix));
}

/** The beginning, a character a byte, without white space before a page. */
function startOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, BEGINNING)).replace(/^\s+(?=<)/, "");
}
