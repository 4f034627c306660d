import { libc } from "./libc.ts";

const exit: (code: number) => void = libc.func("void _exit(int code)");

/**
 * Ends this process at once, with all its threads; nothing is flushed, no handler runs. An orderly end of Node first
 * waits for its helper threads, and now and then for ever.
 */
export function exitNow(code: number): never {
  exit(code);
  throw new Error("the process survived its end");
}
