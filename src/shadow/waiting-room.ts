import { SLOT_CLASSES, slotClassOf } from "../block/memory.ts";
import type { Request } from "../block/request.ts";
import { EXTENTS_SLOT_BYTES } from "./ports.ts";

/**
 * Where connections wait for memory, in the order of asking. Whoever is called back and still finds no room for
 * its first request keeps its place at the head, so that a large request is not starved by small ones; whoever got
 * something and wants more goes to the end, so that nobody is starved by a greedy one.
 */
export class WaitingRoom {
  #queue: (() => void)[] = [];
  #serving = false;
  #progress = false;
  #stuck = false;

  get length(): number {
    return this.#queue.length;
  }

  /** Whether a newcomer has to queue: somebody waits, and it isn't their turn right now. */
  get closed(): boolean {
    return this.#queue.length > 0 && !this.#serving;
  }

  /** Somebody was given room. */
  admitted(): void {
    this.#progress = true;
  }

  ask(callback: () => void): () => void {
    if (this.#serving && !this.#progress) {
      this.#queue.unshift(callback);
      this.#stuck = true;
    } else {
      this.#queue.push(callback);
    }
    return () => {
      this.#queue = this.#queue.filter((waiting) => waiting !== callback);
    };
  }

  /** Calls back those who wait, until one finds no room. */
  serve(): void {
    for (let turns = this.#queue.length; turns > 0; turns--) {
      const callback = this.#queue.shift();
      if (callback === undefined) return;
      this.#serving = true;
      this.#progress = false;
      this.#stuck = false;
      callback();
      this.#serving = false;
      if (this.#stuck) return;
    }
  }
}

/**
 * Where requests of one direction wait: those that want slots of different sizes apart, so that none waits behind a larger
 * one although its own memory is free.
 */
export class WaitingRooms {
  readonly #rooms = Array.from({ length: SLOT_CLASSES }, () => new WaitingRoom());

  get length(): number {
    return this.#rooms.reduce((total, room) => total + room.length, 0);
  }

  /** The one for `request`. */
  of({ kind, length }: Request): WaitingRoom {
    const bytes = kind === "extents" ? EXTENTS_SLOT_BYTES : kind === "read" || kind === "write" ? length : 0;
    return this.#rooms[slotClassOf(bytes)] as WaitingRoom;
  }

  /** The largest first: the small ones may take larger slots where they find none of their own. */
  serve(): void {
    for (const room of this.#rooms.toReversed()) room.serve();
  }
}
