/** The same, and before it how one comes to it. */
export function explained(how: string, error: unknown): Error {
  return new Error(`${how}: ${error instanceof Error ? error.message : error}`);
}
