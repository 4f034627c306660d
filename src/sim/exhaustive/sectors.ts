import { SECTOR_BYTES } from "../../home/log/format.ts";

/** What a sector of a disk may hold. The same bytes are the same object. */
export interface Sector {
  /** That of zeroes is 0. */
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** Every content that was seen, once: equal disks are equal lists of numbers. */
export class Sectors {
  readonly zeroes: Sector;
  readonly #parent: Sectors | undefined;
  readonly #known = new Map<string, Sector>();
  #next: number;

  /** `parent`: knows some already, and is not told of others. */
  constructor(parent?: Sectors) {
    this.#parent = parent;
    this.#next = parent === undefined ? 0 : parent.#next;
    this.zeroes = parent?.zeroes ?? this.of(new Uint8Array(SECTOR_BYTES));
  }

  /** `bytes`: borrowed. */
  of(bytes: Uint8Array): Sector {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    const known = this.#find(text);
    if (known !== undefined) return known;
    const sector = { number: this.#next++, bytes: bytes.slice() };
    this.#known.set(text, sector);
    return sector;
  }

  #find(text: string): Sector | undefined {
    const known = this.#known.get(text);
    return known === undefined && this.#parent !== undefined ? this.#parent.#find(text) : known;
  }
}
