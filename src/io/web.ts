// Files over HTTP. Which files a model lacks is found by asking: a store says 404 or 410, and Amazon's says 403 to
// whoever may not list it. So a refusal counts as a missing file, and its reason is told if the file is required.
import { LowrankError } from "../core/error.ts";
import { type FileParts, type Gate, partsOf } from "../core/file-parts.ts";
import { messageOf } from "../core/realm.ts";
import { withoutSecrets } from "../core/secrets.ts";

const MISSING = [403, 404, 410];

/** What was made of a server's answer, or why it has none. */
export type Answer<T> = { readonly bytes: T } | { readonly missing: string };

/** Asks for the bytes of a file, as `askFor` does. */
export function fetchFile(url: URL): Promise<Answer<Uint8Array>> {
  return askFor(url, wholeOf);
}

/**
 * Asks for a file. A name and a password in the address are sent as they are for HTTP's basic authentication.
 * @param receive what is made of the answer
 * @throws LowrankError that names the address, without its query and user, when the server cannot be reached or fails
 */
export async function askFor<T>(
  url: URL,
  receive: (response: Response) => Promise<T>,
): Promise<Answer<T>> {
  const failed = (reason: string, cause?: unknown) =>
    new LowrankError(`Could not fetch ${withoutSecrets(url.href)}: ${reason}.`, { cause });
  let response: Response;
  try {
    const { address, headers } = request(url);
    response = await fetch(address, { headers });
  } catch (error) {
    throw failed(reasonOf(error), error);
  }
  const missing = whyMissing(response, failed);
  try {
    if (missing === null) return { bytes: await receive(response) };
    await response.body?.cancel();
    return { missing };
  } catch (error) {
    throw error instanceof LowrankError ? error : failed(reasonOf(error), error);
  }
}

/** All bytes of an answer. */
export async function wholeOf(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

/** An answer in two parts: what its gate refuses is not fetched to its end. */
export async function partsOfResponse(
  response: Response,
  gate: Gate,
  wantsRest: boolean,
): Promise<FileParts> {
  const { body, headers } = response;
  const length = headers.get("content-length");
  // The length of a packed answer is not that of the file.
  const isPlain = length !== null && headers.get("content-encoding") === null;
  const size = isPlain ? Number(length) : Number.POSITIVE_INFINITY;
  const stream = body?.getReader();
  let received: Uint8Array[] = [];
  let count = 0;
  const receive = async (wanted: number): Promise<void> => {
    while (count < wanted) {
      const { done, value } = (await stream?.read()) ?? { done: true };
      if (done || value === undefined) break;
      received.push(value);
      count += value.length;
    }
    received = [joined(received, count)];
  };
  try {
    let head: Uint8Array = new Uint8Array(0);
    for (let wanted = gate(head, size); wanted > head.length; wanted = gate(head, size)) {
      await receive(wanted);
      // The answer is shorter than was said: the gate has a sentence for that.
      if (count < wanted) return partsOf(received[0]!, gate, wantsRest);
      head = received[0]!.subarray(0, wanted);
    }
    if (!wantsRest) return { head, rest: null };
    await receive(Number.POSITIVE_INFINITY);
    return partsOf(received[0]!, gate, true);
  } finally {
    // A stream that has ended takes no notice.
    await stream?.cancel();
  }
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Why there is no such file; null when there is one. Throws what `failed` makes when that remains unknown. */
function whyMissing(response: Response, failed: (reason: string) => LowrankError): string | null {
  const { status, statusText, ok, headers } = response;
  const answer = `the server answers ${`${status} ${statusText}`.trim()}`;
  if (MISSING.includes(status)) return answer;
  if (status === 401) {
    throw failed(
      `${answer}: it wants a name and a password. Give them in the address before the host, as ` +
        "name:password@host, or fetch the files yourself and name their directory",
    );
  }
  if (!ok) throw failed(answer);
  // Servers of web apps answer a missing file with the app's start page, others a stranger with a login.
  const isPage = headers.get("content-type")?.startsWith("text/html") === true;
  return isPage ? "the server answers with a page of HTML, a start page or a login" : null;
}

function request(url: URL): { address: string; headers: Record<string, string> } {
  const { username, password } = url;
  if (username === "" && password === "") return { address: url.href, headers: {} };
  // `fetch` refuses an address that names a user.
  const bare = new URL(url.href);
  bare.username = "";
  bare.password = "";
  const words = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(words)));
  return { address: bare.href, headers: { authorization: `Basic ${encoded}` } };
}

/** Node says "fetch failed", and why in the cause. */
function reasonOf(error: unknown): string {
  const { cause } = error as { readonly cause?: unknown };
  const deeper = cause === undefined ? "" : messageOf(cause);
  return deeper === "" ? messageOf(error) : `${messageOf(error)} (${deeper})`;
}
