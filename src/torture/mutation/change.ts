/** `replacement` takes the place of the text from `start` to `end`, in UTF-16 code units. */
export interface Change {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

/**
 * The text with the fault in it. `text` is the one that the fault was made for; throws a RangeError if it is too short to be. Apart from
 * the rest, since this is all that a driver's process needs.
 */
export function applyMutant(text: string, { start, end, replacement }: Change): string {
  if (end > text.length) throw new RangeError(`There is no position ${end} in a text of ${text.length}`);
  return text.slice(0, start) + replacement + text.slice(end);
}
