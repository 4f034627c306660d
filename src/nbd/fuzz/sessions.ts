import fc from "fast-check";
import { encodeClientFlags } from "../wire/greeting.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from "../wire/options.ts";
import { ALLOCATION_CONTEXT, COMMAND, COMMAND_FLAG, OPTION } from "../wire/protocol.ts";
import { EXTENDED_REQUEST_BYTES, encodeExtendedRequest, encodeRequest, REQUEST_BYTES } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import { DISK_BYTES, type Surroundings } from "./world.ts";

/** A client's side of a session, a buffer a message: flags, options, requests with their data. */
export type Messages = readonly Buffer[];

const BLOCK = 512;
const NO_DATA = new Uint8Array(0);
const MAX_COMMANDS = 24;

const greeting = Buffer.from(encodeClientFlags({ fixedNewstyle: true, noZeroes: true }));
const go = option(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] }));
const allocation = option(
  OPTION.SET_META_CONTEXT,
  encodeMetaContextRequest({ name: "disk", queries: [ALLOCATION_CONTEXT] }),
);

function option(number: number, data: Uint8Array): Buffer {
  return Buffer.from(encodeOption(number, data));
}

/** How a client that means it comes to its export, and whether its headers are extended then. */
const OPENINGS: readonly { readonly messages: Messages; readonly extended: boolean }[] = [
  { messages: [greeting, go], extended: false },
  { messages: [greeting, option(OPTION.EXPORT_NAME, Buffer.from("disk"))], extended: false },
  { messages: [greeting, option(OPTION.STRUCTURED_REPLY, NO_DATA), allocation, go], extended: false },
  { messages: [greeting, option(OPTION.EXTENDED_HEADERS, NO_DATA), allocation, go], extended: true },
];

/** Options as they should be, as they should not be, and such as nobody knows. */
const anyOption: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof(fc.constantFrom(...Object.values(OPTION)), fc.nat(20)),
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom<Uint8Array>(
        NO_DATA,
        Buffer.from("disk"),
        encodeInfoRequest({ name: "disk", wanted: [1, 2, 3] }),
        encodeMetaContextRequest({ name: "disk", queries: [ALLOCATION_CONTEXT] }),
        encodeMetaContextRequest({ name: "", queries: ["base:", "qemu:dirty-bitmap:x"] }),
      ),
    ),
  )
  .map(([number, data]) => option(number, data));

interface Drawn {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly cookieHigh: number;
}

const mostly = <Value>(common: fc.Arbitrary<Value>, rare: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 5, arbitrary: common }, { weight: 1, arbitrary: rare });

const rarely = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const blocks = (most: number) => fc.nat(most / BLOCK).map((count) => count * BLOCK);
const EDGES = [1, BLOCK - 1, DISK_BYTES - BLOCK, DISK_BYTES, DISK_BYTES + BLOCK, 32 << 20, 2 ** 31, 2 ** 32 - 1];
const WIDE_EDGES = [...EDGES, 2 ** 32, 2 ** 32 + BLOCK, 2 ** 52, 2 ** 53 - 1];

/** Most commands are about so many bytes at the most. */
const MOST_COMMON_BYTES = 16 << 10;
/** High words of cookies. With the first few a client's numbers still tell all cookies apart. */
const COOKIES = [0, 1, 0x1f_ffff, 0xffff_ffff];
const EXACT_COOKIES = COOKIES.slice(0, 3);

const command = (extended: boolean, cookies: readonly number[] = COOKIES): fc.Arbitrary<Drawn> =>
  fc.record({
    type: mostly(
      fc.constantFrom(...Object.values(COMMAND).filter((type) => type !== COMMAND.DISC)),
      fc.integer({ min: 9, max: 0xffff }),
    ),
    flags: mostly(fc.constant(0), fc.nat(0x3f)),
    offset: mostly(blocks(DISK_BYTES), fc.constantFrom(...WIDE_EDGES)),
    length: mostly(blocks(MOST_COMMON_BYTES), fc.constantFrom(...(extended ? WIDE_EDGES : EDGES))),
    cookieHigh: fc.constantFrom(...cookies),
  });

const MAX_WRITE_BYTES = DISK_BYTES + BLOCK;

/** The message of a command; the low word of its cookie tells it from the others. */
function encodeCommand(drawn: Drawn, cookieLow: number, extended: boolean): Buffer {
  const { type } = drawn;
  // Longer data than the disk has would only make the cases slow; that it is refused is a test of its own.
  const length = type === COMMAND.WRITE ? Math.min(drawn.length, MAX_WRITE_BYTES) : drawn.length;
  const flags = extended && type === COMMAND.WRITE ? drawn.flags | COMMAND_FLAG.PAYLOAD_LEN : drawn.flags;
  const announced = extended ? (flags & COMMAND_FLAG.PAYLOAD_LEN) !== 0 : type === COMMAND.WRITE;
  const data = announced ? Math.min(length, MAX_WRITE_BYTES) : 0;
  const headerBytes = extended ? EXTENDED_REQUEST_BYTES : REQUEST_BYTES;
  const bytes = Buffer.alloc(headerBytes + data, cookieLow);
  const header = { ...drawn, flags, length: announced ? data : length, cookieLow };
  if (extended) encodeExtendedRequest(viewOf(bytes), 0, header);
  else encodeRequest(viewOf(bytes), 0, header);
  return bytes;
}

/** A session that means well, but for what its commands ask. */
export const wellFormed: fc.Arbitrary<Messages> = sessions(COOKIES);
/** The same, as a client could have made it that counts its requests by numbers. */
export const countable: fc.Arbitrary<Messages> = sessions(EXACT_COOKIES);

function sessions(cookies: readonly number[]): fc.Arbitrary<Messages> {
  return fc
    .constantFrom(...OPENINGS)
    .chain(({ messages, extended }) =>
      fc
        .tuple(fc.array(anyOption, { maxLength: 3 }), fc.array(command(extended, cookies), { maxLength: MAX_COMMANDS }))
        .map(([options, commands]) => [
          ...messages.slice(0, 1),
          ...options.filter(isHarmless),
          ...messages.slice(1),
          ...commands.map((drawn, index) => encodeCommand(drawn, index, extended)),
        ]),
    );
}

/** Options that change what is agreed on; the last one fails, and takes what was selected with it. */
const AGREEMENTS = {
  structured: option(OPTION.STRUCTURED_REPLY, NO_DATA),
  extended: option(OPTION.EXTENDED_HEADERS, NO_DATA),
  allocation,
  unknown: option(OPTION.SET_META_CONTEXT, encodeMetaContextRequest({ name: "none", queries: [ALLOCATION_CONTEXT] })),
  tls: option(OPTION.STARTTLS, NO_DATA),
};

/** A client that agrees on this and that, and starts TLS in between. */
export const haggling: fc.Arbitrary<Messages> = fc
  .array(fc.constantFrom(...(Object.keys(AGREEMENTS) as (keyof typeof AGREEMENTS)[])), { maxLength: 6 })
  .chain((names) => {
    const secured = names.slice(names.indexOf("tls") + 1);
    const extended = secured.includes("extended");
    return fc
      .array(command(extended), { maxLength: 6 })
      .map((commands) => [
        greeting,
        ...names.map((name) => AGREEMENTS[name]),
        go,
        ...commands.map((drawn, index) => encodeCommand(drawn, index, extended)),
      ]);
  });

/** Nothing that changes what is agreed on, or ends the handshake. */
function isHarmless(bytes: Buffer): boolean {
  const harmless: readonly number[] = [OPTION.LIST, OPTION.INFO, OPTION.LIST_META_CONTEXT];
  const number = bytes.readUInt32BE(8);
  return harmless.includes(number) || number > OPTION.EXTENDED_HEADERS || number === 4;
}

/** Options in any order, and perhaps commands behind them. */
export const anyOptions: fc.Arbitrary<Messages> = fc
  .tuple(fc.nat(3), fc.array(anyOption, { maxLength: 34 }), fc.array(command(false), { maxLength: 3 }))
  .map(([flags, options, commands]) => [
    Buffer.from([0, 0, 0, flags]),
    ...options,
    ...commands.map((drawn, index) => encodeCommand(drawn, index, false)),
  ]);

export const surroundings: fc.Arbitrary<Surroundings> = fc.record({
  pieces: fc.array(fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 << 10 })), {
    minLength: 1,
    maxLength: 6,
  }),
  depth: fc.integer({ min: 1, max: 8 }),
  prompt: fc.boolean(),
  reads: fc.boolean(),
  tls: mostly<Surroundings["tls"]>(fc.constant("off"), fc.constantFrom("on", "required")),
  limits: fc.record({
    inFlightRequests: fc.integer({ min: 1, max: 8 }),
    inFlightBytes: fc.constantFrom(BLOCK, 16 << 10, 1 << 20),
  }),
  choices: fc.array(fc.nat(255), { minLength: 1, maxLength: 16 }),
  shutdownAt: rarely(fc.nat(60)),
  deathAt: rarely(fc.nat(60)),
});

/** A client of whom there is enough to fill every queue: large reads, one after the other, and a bit of everything else. */
export const greedy: fc.Arbitrary<Messages> = fc.constantFrom(...OPENINGS).chain(({ messages, extended }) =>
  fc.tuple(fc.array(command(extended), { maxLength: 4 }), fc.integer({ min: 60, max: 120 })).map(([others, count]) => {
    const read = { type: COMMAND.READ, flags: 0, offset: 0, length: DISK_BYTES, cookieHigh: 0 };
    const commands = [...others, ...Array.from({ length: count }, () => read)];
    return [...messages, ...commands.map((drawn, index) => encodeCommand(drawn, index, extended))];
  }),
);
