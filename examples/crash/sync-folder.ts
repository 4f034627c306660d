import { closeSync, fsyncSync, openSync } from "node:fs";

/** Makes the names in a folder durable: that of a new file, that a file has got, that it has gone. */
export function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
