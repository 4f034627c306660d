import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { createSocketPair } from "../os/doorbell.ts";

/**
 * Has `send` pass a descriptor on to another process, and resolves with what that one writes there before it closes it, which the kernel
 * does where it never came; undefined after `timeoutMs`. Throws what `send` throws.
 */
export function ask(send: (fd: number) => void, timeoutMs: number): Promise<string | undefined> {
  const [ours, theirs] = createSocketPair();
  try {
    send(theirs);
  } catch (error) {
    closeSync(ours);
    throw error;
  } finally {
    closeSync(theirs);
  }
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let text = "";
  const socket = new Socket({ fd: ours, readable: true, writable: false });
  const timer = setTimeout(() => {
    resolve(undefined);
    socket.destroy();
  }, timeoutMs);
  socket.setEncoding("latin1").on("data", (part: string) => {
    text += part;
  });
  // What came before an error is the answer.
  socket.on("error", () => {});
  socket.on("close", () => {
    clearTimeout(timer);
    resolve(text);
  });
  return promise;
}
