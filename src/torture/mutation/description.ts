import type { Change } from "./change.ts";

/** Around the change so much is shown of what it is a part of, and of the change itself so much. Code units. */
const MAX_CONTEXT = 24;
const MAX_CHANGED = 60;

/** One line for people: `at < end → at <= end`. `shown`: what may be shown around the change. */
export function describeChange(
  text: string,
  { start, end, replacement }: Change,
  shown: { readonly start: number; readonly end: number },
): string {
  const before = tail(text.slice(Math.min(shown.start, start), start));
  const after = head(text.slice(end, Math.max(shown.end, end)));
  const show = (changed: string): string => oneLine(before + middleCut(oneLine(changed)) + after) || "nothing";
  return `${show(text.slice(start, end))} → ${show(replacement)}`;
}

function tail(text: string): string {
  const line = oneLine(text);
  return line.length > MAX_CONTEXT ? `…${line.slice(-MAX_CONTEXT)}` : line;
}

function head(text: string): string {
  const line = oneLine(text);
  return line.length > MAX_CONTEXT ? `${line.slice(0, MAX_CONTEXT)}…` : line;
}

function middleCut(text: string): string {
  if (text.length <= MAX_CHANGED) return text;
  return `${text.slice(0, MAX_CHANGED / 2)}…${text.slice(-MAX_CHANGED / 2)}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}
