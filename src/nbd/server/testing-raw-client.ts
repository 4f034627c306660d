import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { GEOMETRY } from "../../shadow/testing.ts";
import { encodeClientFlags, GREETING_BYTES } from "../wire/greeting.ts";
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption, OPTION_HEADER_BYTES } from "../wire/options.ts";
import { COMMAND, COMMAND_FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { EXTENDED_REQUEST_BYTES, encodeExtendedRequest, encodeRequest, REQUEST_BYTES } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import type { NbdServer, NbdServerOptions } from "./server.ts";
import { FakeDevice } from "./testing.ts";
import { serve } from "./testing-server.ts";

export const KIB = 1024;
export const MIB = KIB * KIB;
const MAX_MESSAGE_BYTES = 4096;
/** Of an option's reply without data. */
export const ERROR_BYTES = 20;
export const NO_DATA = new Uint8Array(0);
export const FLAGS = encodeClientFlags({ fixedNewstyle: true, noZeroes: true });

/** Says that it is larger than what it keeps. */
export class HugeDevice extends FakeDevice {
  override readonly geometry = { ...GEOMETRY, size: 2 ** 40 };
}

export interface Bench {
  readonly device: FakeDevice;
  readonly server: NbdServer;
  readonly path: string;
  /** A good client, which has been there all the time and a new one too, gets what it asks for. */
  provesWell(): Promise<void>;
  /** A client sends these bytes and is gone. */
  sendAndGo(bytes: Uint8Array): Promise<void>;
  isEmptyOfConnections(): Promise<void>;
  /** Waits until the good client is the only one, and nothing of the others is left. */
  isEmpty(): Promise<void>;
}

/** A good client of it is there from the beginning. */
export async function openBench(
  context: TestContext,
  options: Partial<NbdServerOptions> = {},
  device = new FakeDevice({ size: MIB }),
): Promise<Bench> {
  const { server, path } = await serve(context, device, options);
  const good = await Client.connect({ path });
  await good.choose();
  const isEmptyOfConnections = async (): Promise<void> => {
    while (server.connections > 1) await turn();
  };
  return {
    device,
    server,
    path,
    isEmptyOfConnections,
    provesWell: async () => {
      await good.readsAndWrites();
      const other = await Client.connect({ path });
      await other.choose();
      await other.readsAndWrites();
      other.destroy();
    },
    sendAndGo: async (bytes) => {
      const socket = connect({ path });
      socket.on("error", () => {});
      socket.write(bytes, () => socket.destroy());
      await once(socket, "close");
    },
    isEmpty: async () => {
      await isEmptyOfConnections();
      assert.equal(device.admitted + device.reads.usedBytes + device.writes.usedBytes, 0);
    },
  };
}

/** A client that sends bytes of its own. */
export class Client {
  readonly #socket: Socket;
  #came = Buffer.alloc(0);
  #isClosed = false;

  static async connect({ path }: { readonly path: string }): Promise<Client> {
    const socket = connect({ path });
    await once(socket, "connect");
    return new Client(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      this.#came = Buffer.concat([this.#came, bytes]);
    });
    socket.on("close", () => {
      this.#isClosed = true;
    });
  }

  send(...pieces: readonly Uint8Array[]): void {
    this.#socket.write(Buffer.concat(pieces));
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async read(count: number): Promise<Buffer> {
    while (this.#came.length < count) {
      assert(!this.#isClosed, "the server has closed the connection");
      await turn();
    }
    const bytes = this.#came.subarray(0, count);
    this.#came = this.#came.subarray(count);
    return bytes;
  }

  async closed(): Promise<void> {
    while (!this.#isClosed) await turn();
  }

  /** The error that an option is answered with, whose message is of a decent length. The greeting is skipped. */
  async errorOf(option: number): Promise<number> {
    let header = await this.read(ERROR_BYTES);
    if (header.subarray(0, 8).toString() === "NBDMAGIC")
      header = Buffer.concat([header.subarray(GREETING_BYTES), await this.read(GREETING_BYTES)]);
    assert.equal(header.readUInt32BE(8), option);
    const length = header.readUInt32BE(16);
    assert(length <= MAX_MESSAGE_BYTES);
    const message = await this.read(length);
    assert(!message.includes("nnnn"), "the error repeats the name");
    return header.readUInt32BE(12);
  }

  /** Comes to the export, with these options before it. */
  async choose(...options: readonly number[]): Promise<void> {
    this.send(...handshake(...options));
    const end = Buffer.from([0, 0, 0, OPTION.GO, 0, 0, 0, OPTION_REPLY.ACK, 0, 0, 0, 0]);
    while (!this.#came.includes(end)) {
      assert(!this.#isClosed, "the server has closed the connection");
      await turn();
    }
    this.#came = this.#came.subarray(this.#came.indexOf(end) + end.length);
  }

  async simpleError(): Promise<number> {
    return (await this.read(16)).readUInt32BE(4);
  }

  /** Of a reply with extended headers. */
  async chunkError(): Promise<number> {
    const header = await this.read(EXTENDED_REQUEST_BYTES);
    const body = await this.read(Number(header.readBigUInt64BE(24)));
    return body.length === 0 ? 0 : body.readUInt32BE(0);
  }

  async readsAndWrites(): Promise<void> {
    const data = Buffer.alloc(512, 0xa5);
    this.send(request({ type: COMMAND.WRITE, offset: 4096, length: 512, data }));
    assert.equal(await this.simpleError(), 0);
    this.send(request({ type: COMMAND.READ, offset: 4096, length: 512 }));
    assert.equal(await this.simpleError(), 0);
    assert((await this.read(512)).equals(data));
  }
}

/** What a client says until it has chosen "disk". */
export function handshake(...options: readonly number[]): Uint8Array[] {
  const select = encodeMetaContextRequest({ name: "disk", queries: ["base:allocation"] });
  return [
    FLAGS,
    ...options.map((option) => encodeOption(option, option === OPTION.SET_META_CONTEXT ? select : NO_DATA)),
    encodeOption(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] })),
  ];
}

export function optionHeader(option: number, length: number): Buffer {
  const bytes = Buffer.from(encodeOption(option, NO_DATA));
  bytes.writeUInt32BE(length, OPTION_HEADER_BYTES - 4);
  return bytes;
}

interface Wanted {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly cookie?: number;
  readonly extended?: boolean;
  readonly data?: Uint8Array;
}

export function request({
  type,
  flags = 0,
  offset = 0,
  length = 0,
  cookie = 0,
  extended = false,
  data = NO_DATA,
}: Wanted): Buffer {
  const payload = extended && type === COMMAND.WRITE ? COMMAND_FLAG.PAYLOAD_LEN : 0;
  const header = { type, flags: flags | payload, offset, length, cookieHigh: 0, cookieLow: cookie };
  const bytes = Buffer.alloc(extended ? EXTENDED_REQUEST_BYTES : REQUEST_BYTES);
  if (extended) encodeExtendedRequest(viewOf(bytes), 0, header);
  else encodeRequest(viewOf(bytes), 0, header);
  return Buffer.concat([bytes, data]);
}

/** Lets the event loop go on to its next events. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
