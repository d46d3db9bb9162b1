// Files over HTTP. Which files a model lacks is found by asking: a store says 404 or 410, and Amazon's says 403 to
// whoever may not list it. So a refusal counts as a missing file, and its reason is told if the file is required.
import { LowrankError } from "../core/error.ts";
import { messageOf } from "../core/realm.ts";
import { withoutSecrets } from "../core/secrets.ts";

const MISSING = [403, 404, 410];

/** The bytes that a server answers with, or why it has none. */
export type Answer = { readonly bytes: Uint8Array } | { readonly missing: string };

/**
 * Asks for a file. A name and a password in the address are sent as they are for HTTP's basic authentication.
 * @throws LowrankError that names the address, without its query and user, when the server cannot be reached or fails
 */
export async function fetchFile(url: URL): Promise<Answer> {
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
    if (missing === null) return { bytes: new Uint8Array(await response.arrayBuffer()) };
    await response.body?.cancel();
    return { missing };
  } catch (error) {
    throw failed(reasonOf(error), error);
  }
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
