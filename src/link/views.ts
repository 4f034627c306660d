const VIEW_SHIFT = 12;

/** The views of an arena that were handed out last: of those that begin with a page, one for each. */
export class Views {
  readonly #memory: Uint8Array;
  readonly #cache: (Uint8Array | undefined)[];

  constructor(memory: Uint8Array) {
    this.#memory = memory;
    this.#cache = new Array(memory.byteLength >>> VIEW_SHIFT);
  }

  /** `length` bytes from `address` on. */
  at(address: number, length: number): Uint8Array {
    const page = address >>> VIEW_SHIFT;
    // What is left of a cut piece begins anywhere; its view must not pass for the page's.
    if (page << VIEW_SHIFT !== address) return this.#memory.subarray(address, address + length);
    const cached = this.#cache[page];
    // One whose buffer the driver has transferred has no length any more, and is made anew, in vain.
    if (cached !== undefined && cached.byteLength === length) return cached;
    const view = this.#memory.subarray(address, address + length);
    this.#cache[page] = view;
    return view;
  }
}
