import { closeSync, writeSync } from "node:fs";
import { createSocketPair } from "../os/doorbell.ts";
import { addSeals, createMemfd, SEAL_FUTURE_WRITE } from "../os/memfd.ts";
import { type Mapping, mapShared } from "../os/mmap.ts";
import { ringBytes } from "./ring.ts";

export interface Rings {
  readonly front: Mapping;
  readonly host: Mapping;
  readonly frontFd: number;
  readonly hostFd: number;
}

/** What a start is made of. The descriptors are closed once the host has them. */
export class Parts {
  readonly #open = new Set<number>();
  readonly #mappings: Mapping[] = [];

  rings(depth: number): Rings {
    const bytes = ringBytes(depth);
    const frontFd = this.#add(createMemfd("skink-submissions", bytes.front));
    const hostFd = this.#add(createMemfd("skink-completions", bytes.host));
    const front = mapShared(frontFd, bytes.front, "write");
    this.#mappings.push(front);
    addSeals(frontFd, SEAL_FUTURE_WRITE);
    const host = mapShared(hostFd, bytes.host, "read");
    this.#mappings.push(host);
    return { front, host, frontFd, hostFd };
  }

  unmap(): void {
    for (const mapping of this.#mappings) mapping.unmap();
  }

  pair(): [number, number] {
    const [a, b] = createSocketPair();
    return [this.#add(a), this.#add(b)];
  }

  file(content: Uint8Array): number {
    const fd = this.#add(createMemfd("skink-boot", content.byteLength));
    writeSync(fd, content, 0, content.byteLength, 0);
    return fd;
  }

  keep(fd: number): number {
    this.#open.delete(fd);
    return fd;
  }

  close(): void {
    for (const fd of this.#open) closeSync(fd);
  }

  #add(fd: number): number {
    this.#open.add(fd);
    return fd;
  }
}
