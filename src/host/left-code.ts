import { closeSync, writeSync } from "node:fs";
import { MAX_CODE_BYTES, type MadeFile } from "../link/control.ts";
import { createMemfd } from "../os/memfd.ts";

/** The code that this host has loaded. */
export interface LoadedCode {
  /** Whether a file of the driver is another one now than when it was loaded. Never of a pinned one. */
  changed(): boolean;
  /** The JavaScript for the next host, if it differs from what this one was given. */
  left(): string | undefined;
}

/** What this host leaves for the next one, in a memory file. */
export class LeftCode {
  readonly #code: LoadedCode;
  #text: string | undefined;
  #file: MadeFile | undefined;

  constructor(code: LoadedCode) {
    this.#code = code;
  }

  /** Of what has been loaded by now. The caller of the last call closes it. Takes a millisecond where something has come in since. */
  file(): MadeFile | undefined {
    const text = this.#code.left();
    if (text === this.#text) return this.#file;
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#text = text;
    this.#file = text === undefined ? undefined : makeFile(text);
    return this.#file;
  }
}

/** Too much of it is none: what an earlier host has left is not what runs any more. */
function makeFile(text: string): MadeFile {
  const whole = Buffer.from(text);
  const content = whole.byteLength > MAX_CODE_BYTES ? Buffer.from("{}") : whole;
  const fd = createMemfd("skink-code", content.byteLength);
  writeSync(fd, content, 0, content.byteLength, 0);
  return { fd, bytes: content.byteLength };
}
