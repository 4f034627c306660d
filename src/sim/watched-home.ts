import type { Request } from "../block/request.ts";
import type { Home, HomeObserver, KnownStore } from "../shadow/home.ts";
import type { Piece } from "../shadow/piece-map.ts";
import type { MarkWatcher } from "./mark-watcher.ts";

/** A home that is watched: what has been put, and whether the front dies in the middle of a change. */
export class WatchedHome implements Home {
  readonly #home: Home;
  readonly #marks: MarkWatcher;

  constructor(home: Home, marks: MarkWatcher) {
    this.#home = home;
    this.#marks = marks;
  }

  get durable(): boolean {
    return this.#home.durable;
  }

  get immediate(): boolean {
    return this.#home.immediate;
  }

  get fullness(): number {
    return this.#home.fullness;
  }

  observe(observer: HomeObserver): void {
    this.#home.observe(observer);
  }

  restored(piece: Piece): void {
    this.#home.restored?.(piece);
  }

  admit(request: Request): boolean {
    return this.#home.admit(request);
  }

  leave(request: Request): void {
    this.#home.leave(request);
  }

  put(piece: Piece): void {
    this.#home.put(piece);
    this.#marks.puts();
    if (this.immediate) this.#marks.kept();
  }

  cut(piece: Piece, rest: Piece | undefined): void {
    this.#change(() => this.#home.cut(piece, rest));
  }

  drop(piece: Piece): void {
    this.#change(() => this.#home.drop(piece));
  }

  released(): void {
    this.#home.released();
  }

  kept(done: (failed: boolean) => void): void {
    this.#home.kept((failed) => {
      this.#marks.kept();
      done(failed);
    });
  }

  sync(done: (failed: boolean) => void): void {
    this.#home.sync(done);
  }

  remember(store: KnownStore): void {
    this.#home.remember(store);
  }

  spent(): void {
    this.#home.spent?.();
  }

  #change(change: () => void): void {
    try {
      change();
    } catch (thrown) {
      this.#marks.diedAtHome();
      throw thrown;
    }
  }
}
