import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripTypes } from "../mutation/strip.ts";
import type { CodeFault } from "../plan.ts";
import { withMark } from "./reached.ts";

/** The JavaScript of the fault's file with the fault in it, for {@link loadChanged}. Throws if that can't be read or parsed. */
export function changedCode({ file, start, end, replacement }: CodeFault): string {
  const text = readFileSync(fileURLToPath(file), "utf8");
  const changed = `${text.slice(0, start)}${replacement}${text.slice(end)}`;
  // What is stripped becomes blanks: positions stay what they were.
  return withMark(stripTypes(file, changed), start, start + replacement.length);
}
