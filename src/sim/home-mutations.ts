import type { Mutation } from "./mutations.ts";

const ENGINE = "shadow/engine.ts";
const SHADOW = "shadow/shadow.ts";
const SHM_HOME = "home/shm/shm-home.ts";
const SHM_TAKE_UP = "home/shm/take-up.ts";
const DISK_LOG = "home/log/disk-log.ts";
const RECOVERY = "home/log/recovery.ts";

/** Faults in what the core tells a home, in the ledger and in the log: the checker has to find them when fronts die. */
export const HOME_MUTATIONS: readonly Mutation[] = [
  {
    name: "older pieces are cut before the newer one is in the home",
    file: SHADOW,
    find: `    for (const piece of pieces) home.put(piece);
    const remainders = this.#pieces.cut(writer.offset, writer.length, this.#gone, this.#shrunk);
`,
    replace: `    const remainders = this.#pieces.cut(writer.offset, writer.length, this.#gone, this.#shrunk);
    for (const piece of pieces) home.put(piece);
`,
  },
  {
    name: "what remains of the front before is forgotten",
    file: ENGINE,
    find: "    this.#shadow.restore(remains?.pieces ?? []);\n",
    replace: "    this.#shadow.restore((remains?.pieces ?? []).slice(1));\n",
  },
  {
    name: "a writer is answered before the home keeps it",
    file: ENGINE,
    find: "if (home.immediate && !isSynced) return this.#finish(operation, 0);",
    replace: "if (!isSynced) return this.#finish(operation, 0);",
  },
  {
    name: "a reader is told of what the home does not keep yet",
    file: ENGINE,
    find: "    operation.keeping = true;\n",
    replace: "    operation.keeping = true;\n    this.#schedule.done(operation);\n",
  },
  {
    name: "a FUA write is answered before it is synced",
    file: ENGINE,
    find: "    if (isSynced) home.sync(done);\n    else home.kept(done);",
    replace: "    home.kept(done);",
  },
  {
    name: "a flush is answered before the home has synced",
    file: ENGINE,
    find: "    this.#home.sync((failed) => {",
    replace: "    this.#home.kept((failed) => {",
  },
  {
    name: "a FUA write goes past a durable home",
    file: ENGINE,
    find: "if (!request.fua || this.#home.durable) return this.#acknowledge(operation, false);",
    replace: "if (!request.fua || this.#home.durable) return this.#acknowledge(operation, request.fua);",
  },
  {
    name: "the entry of a piece that is cut is freed before those of its parts are there",
    file: SHM_HOME,
    find: `    piece.note = ledger.write(sequence, piece, addressOf(piece));
    if (rest !== undefined) rest.note = ledger.write(sequence, rest, addressOf(rest));
    ledger.clear(whole);
`,
    replace: `    ledger.clear(whole);
    piece.note = ledger.write(sequence, piece, addressOf(piece));
    if (rest !== undefined) rest.note = ledger.write(sequence, rest, addressOf(rest));
`,
  },
  {
    name: "the entry of a piece that is gone is not freed",
    file: SHM_HOME,
    find: "    this.#ledger.clear(piece.note);\n",
    replace: "",
  },
  {
    name: "the data of a piece is taken from the start of its slot",
    file: SHM_TAKE_UP,
    find: "start: address - slot.address }",
    replace: "start: 0 }",
  },
  {
    name: "the log says of what is put that it is kept",
    file: DISK_LOG,
    find: "this.#wait(this.#keepers, this.#written, done);",
    replace: "this.#wait(this.#keepers, this.#records.last, done);",
  },
  {
    name: "the log says of what is written that it is durable",
    file: DISK_LOG,
    find: "this.#wait(this.#syncers, this.#synced, done);",
    replace: "this.#wait(this.#syncers, this.#written, done);",
  },
  {
    name: "both headers are written to the same place",
    file: DISK_LOG,
    find: "(sequence % 2) * HEADER_BYTES",
    replace: "(sequence - sequence) * HEADER_BYTES",
  },
  {
    name: "records are written before the header that announces them is durable",
    file: DISK_LOG,
    find: "else if (this.#mayWrite) this.#writeRecords();",
    replace: "else if (this.#store !== undefined) this.#writeRecords();",
  },
  {
    name: "a torn record is taken for a whole one",
    file: RECOVERY,
    find: 'return ["torn-data"];',
    replace: 'return ["next", record];',
  },
  {
    name: "an older lap's record is taken for the next one",
    file: RECOVERY,
    find: `  if (place.position < next.position) return ["old-lap"];
`,
    replace: "",
  },
];
