export function foundSystems(): Readonly<Record<string, string>> {
  return {};
}
