/**
 * A client that means no good, in a process of its own: `node hostile-client.ts ATTACK SOCKET DEVICE`. It says "under way"
 * once the attack has taken hold, and goes on until it is killed. It is as impolite as it can be but for the processor, of
 * which it takes what nobody else wants: what is measured is the server, not the machine's scheduler.
 */
import { connect, type Socket } from "node:net";
import { constants, setPriority } from "node:os";
import { encodeClientFlags } from "../src/nbd/wire/greeting.ts";
import { encodeInfoRequest, encodeOption } from "../src/nbd/wire/options.ts";
import { COMMAND, OPTION } from "../src/nbd/wire/protocol.ts";
import { encodeRequest, REQUEST_BYTES } from "../src/nbd/wire/requests.ts";
import { viewOf } from "../src/nbd/wire/view.ts";

const ATTACKS = {
  "small reads": smallReads,
  "large writes": largeWrites,
  deafness: () => deaf(MIB),
  "deafness to large replies": () => deaf(LARGEST_BYTES),
  slowness: slow,
  connections: connectForEver,
};

export type Attack = keyof typeof ATTACKS;

const MIB = 1 << 20;
/** What one request may be for. */
const LARGEST_BYTES = 32 * MIB;
const REQUESTS_AT_ONCE = 256;
/** Of connections of which all but a few of a server's places are taken. */
const MANY = 60;
/** More than a server has places. */
const TOO_MANY = 128;
const SLOW_MS = 1000;

const FLAGS = encodeClientFlags({ fixedNewstyle: true, noZeroes: true });
const [attack = "", path = "", device = ""] = process.argv.slice(2);
const CHOICE = encodeOption(OPTION.GO, encodeInfoRequest({ name: device, wanted: [] }));

let isUnderWay = false;
setPriority(constants.priority.PRIORITY_LOW);
ATTACKS[attack as Attack]();

/** Asks for 4 KiB at full speed, and reads the replies. */
function smallReads(): void {
  const socket = open(FLAGS, CHOICE);
  socket.on("data", underWay);
  keepWriting(socket, requests(COMMAND.READ, REQUESTS_AT_ONCE, 4096));
}

/** Writes 1 MiB at full speed. */
function largeWrites(): void {
  const socket = open(FLAGS, CHOICE);
  socket.on("data", underWay);
  keepWriting(socket, Buffer.concat([requests(COMMAND.WRITE, 1, MIB), Buffer.alloc(MIB, 0x5a)]));
}

/** Asks for all that it gets, on many connections, and takes nothing of it. Comes again when it is cut off. */
function deaf(length: number): void {
  let stuck = 0;
  const start = (): void => {
    const socket = open(FLAGS, CHOICE);
    socket.pause();
    socket.on("close", start);
    keepWriting(socket, requests(COMMAND.READ, 1, length), () => {
      if (++stuck === MANY) underWay();
    });
  };
  for (let index = 0; index < MANY; index++) start();
}

/** Says a byte a second: of the handshake on one connection, of the data of a write on another. */
function slow(): void {
  drip(open(), Buffer.concat([FLAGS, CHOICE]));
  const writer = open(FLAGS, CHOICE, requests(COMMAND.WRITE, 1, MIB));
  writer.once("data", underWay);
  drip(writer, Buffer.alloc(MIB));
}

/** Connects again and again, and says nothing. */
function connectForEver(): void {
  let connected = 0;
  const start = (): void => {
    const socket = open();
    socket.resume();
    socket.on("connect", () => {
      if (++connected === TOO_MANY) underWay();
    });
    socket.on("close", start);
  };
  for (let index = 0; index < TOO_MANY; index++) start();
}

function open(...pieces: readonly Uint8Array[]): Socket {
  const socket = connect({ path });
  socket.on("error", () => {});
  for (const piece of pieces) socket.write(piece);
  return socket;
}

/** `count` requests for `length` bytes each, one after the other on the disk. */
function requests(type: number, count: number, length: number): Buffer {
  const bytes = Buffer.alloc(count * REQUEST_BYTES);
  const view = viewOf(bytes);
  for (let index = 0; index < count; index++) {
    const header = { type, flags: 0, cookieHigh: 0, cookieLow: index, offset: (index * length) % (16 * MIB), length };
    encodeRequest(view, index * REQUEST_BYTES, header);
  }
  return bytes;
}

/** Writes the same bytes for ever, as fast as they are taken. `full`: for a second none were. */
function keepWriting(socket: Socket, bytes: Uint8Array, full: () => void = () => {}): void {
  let written = 0;
  let seen = -1;
  const write = (): void => {
    do written++;
    while (socket.write(bytes) && !socket.destroyed);
    socket.once("drain", write);
  };
  write();
  const watch = setInterval(() => {
    if (written === seen) {
      clearInterval(watch);
      full();
    }
    seen = written;
  }, SLOW_MS);
}

function drip(socket: Socket, bytes: Uint8Array): void {
  let at = 0;
  const timer = setInterval(() => {
    if (at < bytes.length && !socket.destroyed) socket.write(bytes.subarray(at, ++at));
    else clearInterval(timer);
  }, SLOW_MS);
}

function underWay(): void {
  if (!isUnderWay) process.stdout.write("under way\n");
  isUnderWay = true;
}
