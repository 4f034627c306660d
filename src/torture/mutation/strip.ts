import { stripTypeScriptTypes } from "node:module";

const HAS_TYPES = /\.m?ts$/;

/**
 * The JavaScript of a module: types are blanked out as Node does it when it loads the file, so that every position stays what it
 * was. `url` tells by its ending whether there are types. Throws a SyntaxError for what Node would not load either.
 */
export function stripTypes(url: string, text: string): string {
  return HAS_TYPES.test(url) ? withoutWarning(() => stripTypeScriptTypes(text, { mode: "strip" })) : text;
}

/** Node says once in a process that the function is experimental. Users of a campaign can't do anything about it. */
function withoutWarning<Result>(act: () => Result): Result {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (!String(warning).includes("stripTypeScriptTypes")) Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  try {
    return act();
  } finally {
    process.emitWarning = emitWarning;
  }
}
