/** A fault to be put into a copy of the core: the checker has to find it. */
export interface Mutation {
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

const ENGINE = "shadow/engine.ts";
const SHADOW = "shadow/shadow.ts";
const SCHEDULE = "shadow/schedule.ts";
const FLUSHER = "shadow/flusher.ts";
const TRIAL = "shadow/trial.ts";
const ADMISSION = "shadow/admission.ts";
const STORE_CHECK = "shadow/store-check.ts";

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "a piece is forgotten on a restart",
    file: SHADOW,
    find: "  lose(): void {\n    this.invalidate();",
    replace: `  lose(): void {
    let forgotten = false;
    this.#pieces.release((piece) => {
      if (forgotten) return false;
      forgotten = true;
      this.#drop(piece);
      return true;
    });
    this.invalidate();`,
  },
  {
    name: "a piece is released on its acknowledgement",
    file: ENGINE,
    find: "this.#shadow.acknowledge(operation, durable)",
    replace: "this.#shadow.acknowledge(operation, true)",
  },
  {
    name: "pieces are released at the flush of an older epoch",
    file: ENGINE,
    find: "    this.#flusher.lose();\n",
    replace: `    if (this.#flusher.inFlight !== undefined) this.#shadow.release(this.#flusher.inFlight.mark);
    this.#flusher.lose();\n`,
  },
  {
    name: "a FUA range is kept as a piece",
    file: SHADOW,
    find: "const pieces = durable && !this.#inEscrow ? [] : this.#piecesOf(writer, durable);",
    replace: "const pieces = this.#piecesOf(writer, durable);",
  },
  {
    name: "older pieces under a FUA range are not cut",
    file: SHADOW,
    find: "const remainders = this.#pieces.cut(writer.offset, writer.length,",
    replace: "const remainders = this.#pieces.cut(writer.offset, durable ? 0 : writer.length,",
  },
  {
    name: "older pieces are not cut",
    file: SHADOW,
    find: "const remainders = this.#pieces.cut(writer.offset, writer.length,",
    replace: "const remainders = this.#pieces.cut(writer.offset, 0,",
  },
  {
    name: "a flush is submitted with a superseded piece's obligation forgotten",
    file: SCHEDULE,
    find: "} else if (!this.#shadow.isExecuted(piece)) {",
    replace: `} else if (
        !this.#shadow.isExecuted(piece) &&
        !this.#requests.some(
          (newer) =>
            newer.kind === "write" &&
            newer.offset <= piece.offset &&
            piece.offset + piece.length <= newer.offset + newer.length,
        )
      ) {`,
  },
  {
    name: "a flush is submitted while a replay is missing",
    file: ENGINE,
    find: "return this.#flusher.wanted && this.#schedule.replays === 0;",
    replace: "return this.#flusher.wanted;",
  },
  {
    name: "two flushes are in flight",
    file: FLUSHER,
    find: "return this.#inFlight === undefined && (this.#waiters.length > 0 || this.#ownWanted);",
    replace: "return this.#waiters.length > 0 || this.#ownWanted;",
  },
  {
    name: "the flush after a failed one is believed",
    file: ENGINE,
    find: "      this.#syncFailed();\n      for (const waiter of flush.waiters)",
    replace: "      for (const waiter of flush.waiters)",
  },
  {
    name: "a flush is believed although a FUA write failed while it was in flight",
    file: ENGINE,
    find: "} else if (flush.generation !== this.#shadow.generation) {",
    replace: "} else if (flush.generation < 0) {",
  },
  {
    name: "a piece that was executed after the flush was submitted is released by it",
    file: SHADOW,
    find: "if (!this.isExecuted(piece) || piece.completedAt > mark) return false;",
    replace: "if (!this.isExecuted(piece)) return false;",
  },
  {
    name: "a refused write cuts an older piece",
    file: ENGINE,
    find: "    this.counters.refusedWrites++;\n",
    replace: "    this.counters.refusedWrites++;\n    this.#shadow.acknowledge(operation, true);\n",
  },
  {
    name: "a refused acknowledged piece is dropped",
    file: ENGINE,
    find: "return this.#shadow.refuse(piece, replay.errno);",
    replace: "return this.#shadow.executed(piece, replay.generation);",
  },
  {
    name: "a read of a refused piece is served by the driver",
    file: ENGINE,
    find: "payload !== undefined && this.#shadow.overlay(offset, length, payload)",
    replace: "payload === undefined",
  },
  {
    name: "a replay does not wait for what it conflicts with",
    file: SCHEDULE,
    find: "  if (request.issued) replay.waitFor(request);\n  else request.waitFor(replay);",
    replace: "  if (!request.issued) request.waitFor(replay);",
  },
  {
    name: "a request does not wait for an older one that it conflicts with",
    file: SCHEDULE,
    find: "for (const other of this.#requests) if (request.conflictsWith(other)) request.waitFor(other);",
    replace: "",
  },
  {
    name: "a FUA write is acknowledged before it is flushed",
    file: ENGINE,
    find: "if (this.#submissions?.makesDurable(operation) === true) return",
    replace: "if (request.length > 0) return",
  },
  {
    name: "a request of the recovery is answered twice",
    file: ENGINE,
    find: "    if (operation.reissued) this.#reissued--;\n",
    replace: `    if (operation.reissued) {
      this.#reissued--;
      request.requester.reply(request, errno);
    }\n`,
  },
  {
    name: "the buffered write of a dead connection is resumed when there is room",
    file: "nbd/server/transmission.ts",
    find: `    if (this.#transport.hungUp()) {
      this.#drop();
      return;
    }
    this.#inBatch = true;`,
    replace: "    this.#inBatch = true;",
  },
  {
    name: "the buffered write of a dead connection is resumed when the replies have gone",
    file: "nbd/server/transmission.ts",
    find: `    if (this.#transport.hungUp()) {
      this.#drop();
      return;
    }
    this.#input = "header";`,
    replace: `    this.#input = "header";`,
  },
  {
    name: "the next incarnation starts before the last one is reaped",
    file: "supervisor/supervisor.ts",
    find: "    this.#ports.incarnations.kill(epoch);\n",
    replace: `    this.#ports.incarnations.kill(epoch);
    this.#ports.device.reaped();
    this.#next(reason);\n`,
  },
  {
    name: "a completion of an older epoch is taken",
    file: ENGINE,
    find: "if (epoch !== this.#submissions?.epoch) {",
    replace: "if (this.#submissions === undefined) {",
  },
  {
    name: "the want of a core is held against a driver",
    file: "supervisor/examination.ts",
    find: "inFlight.now += elapsedMs - this.#suspect(inFlight.now + elapsedMs, oldest, progressed, elapsedMs);",
    replace: `this.#suspect(inFlight.now + elapsedMs, oldest, progressed, elapsedMs);
    inFlight.now += elapsedMs;`,
  },
  {
    name: "the judge never judges",
    file: "supervisor/judge.ts",
    find: "if (verdict !== undefined && !isLate) {",
    replace: "if (verdict !== undefined && isLate) {",
  },
  {
    name: "one death alone convicts",
    file: TRIAL,
    find: "const CONVICTING_DEATHS = 2;",
    replace: "const CONVICTING_DEATHS = 1;",
  },
  {
    name: "suspects are never tried alone",
    file: TRIAL,
    find: "if (operation === undefined || operation.issued || !isSuspect(operation.charges)) return operation;",
    replace: "return operation;",
  },
  {
    name: "a flush is submitted beside a suspect that is tried",
    file: TRIAL,
    find: "    if (this.#current !== undefined) return false;\n",
    replace: "",
  },
  {
    name: "a convicted piece is forgotten",
    file: ENGINE,
    find: "else this.#shadow.withhold(piece, ERRNO.EIO);",
    replace: "else this.#shadow.acknowledge(operation, true);",
  },
  {
    name: "a convicted piece is offered to the driver at each flush",
    file: SCHEDULE,
    find: "        !piece.withheld &&\n",
    replace: "",
  },
  {
    name: "those who wait for room are not called when a flush has made some",
    file: ADMISSION,
    find: "    this.#stallTimer = undefined;\n    this.serveSoon();\n  }\n\n  dispose",
    replace: "    this.#stallTimer = undefined;\n  }\n\n  dispose",
  },
  {
    name: "a FUA write waits for ever for flushes that kill",
    file: ENGINE,
    find: "      for (const writer of written) {",
    replace: "      for (const writer of []) {",
  },
  {
    name: "a block of which incarnations die is read of each one",
    file: STORE_CHECK,
    find: "deaths < SUSPICIOUS_DEATHS",
    replace: "deaths >= 0",
  },
  {
    name: "a newcomer has no escrow",
    file: "supervisor/succession.ts",
    find: "      device.doubt();\n",
    replace: "",
  },
  {
    name: "a newcomer's flushes are believed at once",
    file: SHADOW,
    find: "return !this.#inEscrow && this.#leave(piece);",
    replace: "return this.#leave(piece);",
  },
  {
    name: "nothing is replayed to another driver",
    file: ENGINE,
    find: "    this.#shadow.invalidate();\n    this.#rebuild();",
    replace: `    this.#shadow.invalidate();
    const { kind } = this.#identity.knowledge(0);
    if (kind !== (this.lastKind ??= kind)) {
      for (const piece of this.#shadow.pieces) this.#shadow.executed(piece, this.#shadow.generation);
    }
    this.lastKind = kind;
    this.#rebuild();`,
  },
  {
    name: "a lie is served",
    file: "shadow/verifier.ts",
    find: "    if (first === undefined) {",
    replace: "    if (first === undefined || offset >= 0) {",
  },
  {
    name: "the digests of a refused write are kept",
    file: ENGINE,
    find: "    if (errno !== 0 && operation.writer && operation.everIssued) this.#verifier?.failed(request);\n",
    replace: "",
  },
  {
    name: "what a refused write may have left is learned from reads",
    file: "shadow/digests.ts",
    find: "    this.#table.fill(first, count, UNSPECIFIED);",
    replace: "    this.#table.fill(first, count, UNKNOWN);",
  },
];
