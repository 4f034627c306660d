import { Fifo } from "../block/fifo.ts";
import { overlaps } from "../block/geometry.ts";
import { Operation } from "./operation.ts";
import type { Piece } from "./piece-map.ts";
import type { Shadow } from "./shadow.ts";

/**
 * The order of operations (P3). Requests that conflict take effect in the order of arrival, never two at once; a
 * replay comes before every request that it conflicts with, but for those with the driver already. What waits for
 * nobody is ready; replays are ready first.
 */
export class Schedule {
  readonly #shadow: Shadow;
  /** Requests that are not answered, but for flushes; in no order. */
  #requests: Operation[] = [];
  readonly #ready = new Fifo<Operation>();
  /** Those of which a part has been issued, and not the last: in turns with the others, since they may be long. */
  readonly #begun = new Fifo<Operation>();
  #freshNext = true;
  readonly #readyReplays = new Fifo<Operation>();
  #replays = 0;

  constructor(shadow: Shadow) {
    this.#shadow = shadow;
  }

  get requests(): readonly Operation[] {
    return this.#requests;
  }

  /** Replays that are not done. */
  get replays(): number {
    return this.#replays;
  }

  /** Whether a writer that is not answered touches the range. */
  hasWriter(offset: number, length: number, except?: Operation): boolean {
    return this.#requests.some(
      (request) => request.writer && request !== except && overlaps(request.offset, request.length, offset, length),
    );
  }

  /** Takes a request without an order, while there is no driver: `rebuild` will find its place. */
  park(request: Operation): void {
    request.activeIndex = this.#requests.push(request) - 1;
  }

  /** Takes a request behind all that it conflicts with. */
  add(request: Operation): void {
    for (const other of this.#requests) if (request.conflictsWith(other)) request.waitFor(other);
    this.#orderAgainstReplays(request);
    this.park(request);
    this.enqueue(request);
  }

  /** Takes the replays of `pieces`. */
  addReplays(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      const replay = this.#makeReplay(piece);
      for (const request of this.#requests) if (replay.conflictsWith(request)) orderPair(request, replay);
      this.enqueue(replay);
    }
  }

  /** The operation is over, and those that waited for it may be ready. */
  done(operation: Operation): void {
    if (operation.piece !== undefined) this.#replays--;
    else this.#remove(operation);
    operation.over = true;
    for (const waiter of operation.waiters) {
      waiter.blockers--;
      this.enqueue(waiter);
    }
    operation.waiters = [];
  }

  /** Puts it into the queue of what can be issued, if it can. */
  enqueue(operation: Operation): void {
    if (operation.blockers > 0 || operation.queued || operation.allIssued) return;
    operation.queued = true;
    if (operation.piece !== undefined) this.#readyReplays.push(operation);
    else (operation.issued ? this.#begun : this.#ready).push(operation);
  }

  /**
   * The next operation to issue a part of, to be `taken` then. With `startsRequests` off no request is begun, only
   * replays and what was begun before.
   */
  next(startsRequests: boolean): Operation | undefined {
    const replay = head(this.#readyReplays);
    if (replay !== undefined) return replay;
    const begun = head(this.#begun);
    const fresh = startsRequests ? head(this.#ready) : undefined;
    return this.#freshNext ? (fresh ?? begun) : (begun ?? fresh);
  }

  /** What has completed is to be issued once more, in its place: it stays with the driver, as far as the order is concerned. */
  again(operation: Operation): void {
    const { generation } = operation;
    operation.reset();
    operation.issued = true;
    operation.generation = generation;
    this.enqueue(operation);
  }

  /** The driver gets another chance to take the pieces that it refused: a flush can't be honest without them. */
  retryRefused(): void {
    const inFlight = this.#requests.filter((request) => request.issued && request.writer);
    const retried = [...this.#shadow.pieces].filter(
      // The replay would wait for the writer, and that, with FUA, for this very flush. It takes the piece's place anyway.
      (piece) =>
        piece.refused !== 0 &&
        !piece.withheld &&
        !inFlight.some((writer) => overlaps(writer.offset, writer.length, piece.offset, piece.length)),
    );
    for (const piece of retried) this.#shadow.retry(piece);
    this.addReplays(retried);
  }

  /** What `next` returned is not issued now: whoever took it out sees to it. */
  takeOut(operation: Operation): void {
    const queue = operation.piece !== undefined ? this.#readyReplays : operation.issued ? this.#begun : this.#ready;
    queue.shift();
    operation.queued = false;
  }

  /** A part of what `next` returned has been issued. What has more to issue goes behind the others that have. */
  taken(operation: Operation): void {
    const fresh = this.#ready.peek() === operation;
    const queue = operation.piece === undefined ? (fresh ? this.#ready : this.#begun) : this.#readyReplays;
    queue.shift();
    operation.queued = false;
    this.#freshNext = !fresh;
    this.enqueue(operation);
  }

  /**
   * Finds every operation's place anew, after a loss: each unexecuted piece gets a replay, what is with the driver
   * stays there, and the rest waits for what came before it.
   */
  rebuild(): void {
    this.#ready.clear();
    this.#begun.clear();
    this.#readyReplays.clear();
    this.#replays = 0;
    for (const request of this.#requests) unlink(request);
    const replays: Operation[] = [];
    for (const piece of this.#shadow.pieces) {
      if (piece.refused !== 0) continue;
      if (piece.replay?.issued === true) {
        unlink(piece.replay);
        this.#replays++;
        replays.push(piece.replay);
      } else if (!this.#shadow.isExecuted(piece)) {
        replays.push(this.#makeReplay(piece));
      }
    }
    this.#requests.sort((a, b) => a.sequence - b.sequence);
    for (const [index, request] of this.#requests.entries()) {
      request.activeIndex = index;
      this.#orderAgainstReplays(request);
      if (request.issued) continue;
      for (let earlier = 0; earlier < index; earlier++) {
        const other = this.#requests[earlier] as Operation;
        if (request.conflictsWith(other)) request.waitFor(other);
      }
    }
    for (const request of this.#requests) this.enqueue(request);
    for (const replay of replays) this.enqueue(replay);
  }

  /** The incarnation is lost: no operation is with a driver, and none has an order until `rebuild`. */
  lose(): void {
    this.#ready.clear();
    this.#begun.clear();
    this.#readyReplays.clear();
    this.#replays = 0;
    for (const request of this.#requests) {
      unlink(request);
      // What waits for the home alone has been executed, and is in the shadow.
      if (!request.keeping) request.reset();
    }
  }

  #makeReplay(piece: Piece): Operation {
    const replay = Operation.forReplay(piece);
    piece.replay = replay;
    this.#replays++;
    return replay;
  }

  #orderAgainstReplays(request: Operation): void {
    if (this.#replays === 0) return;
    for (const piece of this.#shadow.overlapping(request.offset, request.length)) {
      if (piece.replay !== undefined) orderPair(request, piece.replay);
    }
  }

  #remove(request: Operation): void {
    const last = this.#requests.pop() as Operation;
    if (last !== request) {
      this.#requests[request.activeIndex] = last;
      last.activeIndex = request.activeIndex;
    }
    request.activeIndex = -1;
  }
}

/** The first operation that can be issued. Others may have been ordered behind a replay, have failed, or have been refused. */
function head(queue: Fifo<Operation>): Operation | undefined {
  for (;;) {
    const first = queue.peek();
    if (first === undefined || (first.blockers === 0 && !first.allIssued)) return first;
    queue.shift();
    first.queued = false;
  }
}

/** A request with the driver goes first, since it can't be called back; any other one comes after the replay. */
function orderPair(request: Operation, replay: Operation): void {
  if (request.issued) replay.waitFor(request);
  else request.waitFor(replay);
}

function unlink(operation: Operation): void {
  operation.blockers = 0;
  operation.waiters = [];
  operation.queued = false;
}
