// Addresses of the web may hold secrets: a name and a password before the host, a token in the query. They are used to
// ask, and are neither printed nor written down.

const ADDRESS = /\bhttps?:\/\/[^\s"<>`]+/gi;

/** The text with the user, the query and the fragment of each web address in it left out. */
export function withoutSecrets(text: string): string {
  return text.replace(ADDRESS, (address) => {
    const bare = address.replace(/^(https?:\/\/)[^/?#]*@/i, "$1");
    const end = bare.search(/[?#]/);
    // What ends a sentence is kept.
    return end < 0 ? bare : bare.slice(0, end) + (/[.,:;)\]]*$/.exec(bare.slice(end))?.[0] ?? "");
  });
}
