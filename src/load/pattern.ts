/**
 * - `random`: reads and writes of up to 64 sectors anywhere.
 * - `sequential`: writes one after another, each read back some way behind; from the start again at the end.
 * - `overlapping`: most requests in a few hot sectors, many at a time.
 * - `flush-heavy`: a flush or a FUA write every few requests.
 */
export const LOAD_PATTERNS = ["random", "sequential", "overlapping", "flush-heavy"] as const;
export type LoadPattern = (typeof LOAD_PATTERNS)[number];
