/**
 * Where a misdirected request goes: next door, where the load has very likely been too, rather than far away. Bytes. `undefined`
 * where the device has no place for it.
 */
export function elsewhere(offset: number, length: number, size: number): number | undefined {
  if (offset + 2 * length <= size) return offset + length;
  return offset >= length ? offset - length : undefined;
}
