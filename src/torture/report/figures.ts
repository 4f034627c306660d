/** "1,234", "12", "0.42": whole numbers as they are, others with about two digits that matter, and a dash where there is none. */
export function figure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const digits = value >= 9.95 || Number.isInteger(value) ? 0 : value >= 0.995 ? 1 : 2;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** "1 trial", "2 trials". */
export function counted(count: number, noun: string): string {
  return `${figure(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** What a driver or a server said, as one line that does nothing to a terminal. */
export function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ").trim();
}
