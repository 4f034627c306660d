import { readSync } from "node:fs";
import type { Socket } from "node:net";
import { ring as ringDoorbell } from "../os/doorbell.ts";
import { type FrontMessage, MAX_CONTROL_LINE_BYTES } from "./control.ts";
import { LineReader } from "./lines.ts";
import { listen } from "./listen.ts";

/** Bytes read at once of what an ended host has said. */
const REST_BYTES = 4096;
const ignore = () => {};

export interface HostListener {
  /** A line of the host's; `undefined` where it is longer than a message may be. */
  line(line: string | undefined): void;
  /** The front's doorbell rang so many times. */
  rung(times: number): void;
}

/** The two sockets between the front and a host: one for control messages, one that is a doorbell for both. */
export class HostChannel {
  readonly #listener: HostListener;
  readonly #lines = new LineReader(MAX_CONTROL_LINE_BYTES);
  readonly #control: Socket;
  readonly #controlFd: number;
  readonly #doorbell: Socket;
  readonly #doorbellFd: number;

  /** Takes over the descriptors. */
  constructor(controlFd: number, doorbellFd: number, listener: HostListener) {
    this.#listener = listener;
    this.#controlFd = controlFd;
    // That a host has ended is learned from its process.
    this.#control = listen(controlFd, (bytes) => this.#receive(bytes), ignore);
    this.#doorbellFd = doorbellFd;
    this.#doorbell = listen(doorbellFd, (bytes) => listener.rung(bytes.length), ignore);
  }

  /** Nothing happens where the host is gone. */
  send(message: FrontMessage): void {
    if (!this.#control.destroyed) this.#control.write(`${JSON.stringify(message)}\n`);
  }

  /** Rings the host's doorbell. */
  wake(): void {
    // Of a destroyed socket, the descriptor's number may be another connection's by now.
    if (!this.#doorbell.destroyed) ringDoorbell(this.#doorbellFd);
  }

  /** Hears what a host that has ended said before. */
  hearRest(): void {
    const bytes = Buffer.alloc(REST_BYTES);
    for (let heard = 0; heard <= MAX_CONTROL_LINE_BYTES && !this.#control.destroyed; ) {
      let count: number;
      try {
        count = readSync(this.#controlFd, bytes);
      } catch {
        return;
      }
      if (count === 0) return;
      heard += count;
      this.#receive(bytes.subarray(0, count));
    }
  }

  close(): void {
    this.#control.destroy();
    this.#doorbell.destroy();
  }

  #receive(bytes: Uint8Array): void {
    const lines = this.#lines.push(bytes);
    if (lines === undefined) this.#listener.line(undefined);
    else for (const line of lines) this.#listener.line(line);
  }
}
