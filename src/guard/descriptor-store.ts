import { closeSync, fstatSync } from "node:fs";

/** What a front with several hundred devices needs. Each one is a descriptor of the guard, too. */
export const MAX_STORED_DESCRIPTORS = 512;

export interface StoredDescriptor {
  readonly name: string;
  readonly fd: number;
}

/** The descriptors that outlive the front, in the order in which they came. */
export class DescriptorStore {
  #stored: StoredDescriptor[];
  readonly #given: ReadonlySet<StoredDescriptor>;

  /** Takes over `stored`. */
  constructor(stored: readonly StoredDescriptor[] = []) {
    this.#stored = [...stored];
    this.#given = new Set(stored);
  }

  get all(): readonly StoredDescriptor[] {
    return this.#stored;
  }

  /** Whether there is any that was not there from the beginning. */
  get hasNew(): boolean {
    return this.#stored.some((stored) => !this.#given.has(stored));
  }

  /** Takes over `fd`. False where there is no room, and then it is closed. A file that is stored already isn't stored twice. */
  add(name: string, fd: number): boolean {
    const known = this.#stored.some((other) => other.name === name && isSameFile(other.fd, fd));
    const hasRoom = this.#stored.length < MAX_STORED_DESCRIPTORS;
    if (known || !hasRoom) closeSync(fd);
    else this.#stored.push({ name, fd });
    return known || hasRoom;
  }

  /** Closes all of that name. */
  remove(name: string): void {
    for (const stored of this.#stored) if (stored.name === name) closeSync(stored.fd);
    this.#stored = this.#stored.filter((stored) => stored.name !== name);
  }

  close(): void {
    for (const { fd } of this.#stored.splice(0)) closeSync(fd);
  }
}

function isSameFile(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one), fstatSync(other)];
  return a.dev === b.dev && a.ino === b.ino;
}
