import { readFileSync } from "node:fs";
import { SkinkError } from "../../block/errors.ts";

/** The text of a file, `undefined` where there is none. Throws `bad-credentials` where it can't be read. */
export function readCredential(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw badCredentials(file, code, "a file to read");
  }
}

/** Neither `is` nor `wanted` may say what a key is, and what Node says of one is not told on. */
export function badCredentials(file: string, is: string, wanted: string): SkinkError {
  return new SkinkError("bad-credentials", `Cannot use ${file} for TLS: ${is}, ${wanted} was wanted`);
}

/** What was asked for makes no sense. `act`: "serve" or "connect". */
export function badTls(act: string, is: string, wanted: string): SkinkError {
  return new SkinkError("bad-tls", `Cannot ${act} with TLS: ${is}, ${wanted} was wanted`);
}
