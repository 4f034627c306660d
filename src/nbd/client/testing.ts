import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { realClock } from "../../front/clock.ts";
import { NbdServer, type NbdServerOptions } from "../server/server.ts";
import { FakeDevice, oneExport } from "../server/testing.ts";
import { encodeGreeting } from "../wire/greeting.ts";
import { encodeInfo, encodeOptionReply } from "../wire/option-replies.ts";
import { decodeOptionHeader, OPTION_HEADER_BYTES } from "../wire/options.ts";
import { FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { encodeSimpleReply, SIMPLE_REPLY_BYTES } from "../wire/replies.ts";
import { decodeRequest, newRequestHeader, REQUEST_BYTES, type RequestHeader } from "../wire/requests.ts";
import { viewOf } from "../wire/view.ts";
import { NbdClient } from "./client.ts";
import type { NbdClientOptions, NbdTarget } from "./options.ts";

export const KIB = 1024;
export const MIB = KIB * KIB;

/** The path of a socket in a folder that goes with the test. */
export function socketPath(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "skink-nbd-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "nbd.sock");
}

/** A device that is served at a path, by servers that come and go. */
export class Place {
  readonly device: FakeDevice;
  readonly target: NbdTarget;
  readonly #path: string;
  readonly #context: TestContext;
  #server: NbdServer | undefined;

  constructor(context: TestContext, device = new FakeDevice({ size: 64 * MIB })) {
    this.#context = context;
    this.device = device;
    this.#path = socketPath(context);
    this.target = { address: { path: this.#path }, name: "disk" };
    context.after(() => this.stop());
  }

  /** Serves `device`: the place's own one, if left out. */
  async serve(device = this.device, options: Partial<NbdServerOptions> = {}): Promise<void> {
    const exports = oneExport(device);
    this.#server = new NbdServer({ exports, clock: realClock, hungUp: () => false, ...options });
    await this.#server.listen({ path: this.#path });
  }

  /** Ends the server as a kill does: connections are cut off, requests have no replies. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close(0);
    // What the device has in hand is nobody's any more.
    this.device.held = false;
    this.device.answerAll();
  }

  /** Ends it as it should be: no new requests, and a reply for each that it has. */
  async shutDown(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  async connect(options: NbdClientOptions = {}): Promise<NbdClient> {
    const client = await NbdClient.connect(this.target, options);
    this.#context.after(() => client.destroy());
    return client;
  }
}

export async function served(context: TestContext, device?: FakeDevice): Promise<Place> {
  const place = new Place(context, device);
  await place.serve();
  return place;
}

/** A server that says what the test wants. `talk` gets each of its sockets. */
export async function scripted(context: TestContext, talk: (socket: Socket) => void): Promise<NbdTarget> {
  const path = socketPath(context);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    talk(socket);
  });
  server.listen(path);
  await once(server, "listening");
  context.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return { address: { path } };
}

/** How a scripted server answers options: in full, or not at all. */
export type Answers = (option: number, data: Buffer) => Uint8Array | undefined;

/** After these the bytes are no options any more. */
const ENDS_OPTIONS: readonly number[] = [OPTION.GO, OPTION.EXPORT_NAME, OPTION.STARTTLS];

/** Does a handshake on a socket up to a GO, EXPORT_NAME or STARTTLS that isn't refused, then gives what comes to `transmit`. */
export function haggleAsServer(socket: Socket, answers: Answers, transmit: (bytes: Buffer) => void = () => {}): void {
  let staged: Buffer = Buffer.alloc(0);
  let state: "flags" | "options" | "over" = "flags";
  socket.write(encodeGreeting());
  socket.on("data", (bytes: Buffer) => {
    if (state === "over") return transmit(bytes);
    staged = Buffer.concat([staged, bytes]);
    if (state === "flags" && staged.length >= 4) {
      staged = staged.subarray(4);
      state = "options";
    }
    while (state === "options" && staged.length >= OPTION_HEADER_BYTES) {
      const header = decodeOptionHeader(viewOf(staged), 0);
      assert(header !== undefined);
      const end = OPTION_HEADER_BYTES + header.length;
      if (staged.length < end) return;
      const answer = answers(header.option, staged.subarray(OPTION_HEADER_BYTES, end));
      staged = staged.subarray(end);
      if (answer === undefined) continue;
      socket.write(answer);
      if (ENDS_OPTIONS.includes(header.option) && !isRefusal(header.option, answer)) state = "over";
    }
  });
}

/** The answers of a server that knows GO and nothing else: 1 MiB, simple replies. */
export function plainAnswers(option: number): Uint8Array {
  if (option !== OPTION.GO) return encodeOptionReply(option, OPTION_REPLY.ERR_UNSUP);
  return Buffer.concat([
    encodeInfo(option, { kind: "export", size: MIB, flags: FLAG.HAS_FLAGS | FLAG.FLUSH }),
    encodeOptionReply(option, OPTION_REPLY.ACK),
  ]);
}

/** The simple reply to the request at the start of `request`, and its data. */
export function simpleReply(request: Buffer, error: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const reply = Buffer.alloc(SIMPLE_REPLY_BYTES);
  encodeSimpleReply(viewOf(reply), { cookieHigh: request.readUInt32BE(8), cookieLow: request.readUInt32BE(12) }, error);
  return Buffer.concat([reply, data]);
}

/** The requests in `bytes`, none of them with data. */
export function requestsIn(bytes: Buffer): { readonly bytes: Buffer; readonly header: RequestHeader }[] {
  assert.equal(bytes.length % REQUEST_BYTES, 0);
  return Array.from({ length: bytes.length / REQUEST_BYTES }, (_, index) => {
    const header = newRequestHeader();
    const request = bytes.subarray(index * REQUEST_BYTES, (index + 1) * REQUEST_BYTES);
    assert(decodeRequest(viewOf(request), 0, header));
    return { bytes: request, header };
  });
}

function isRefusal(option: number, answer: Uint8Array): boolean {
  return option !== OPTION.EXPORT_NAME && viewOf(answer).getUint32(12) >= 0x8000_0000;
}
