import { randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { onArrival } from "../os/arrivals.ts";
import { createReceivingSocket, receiveDatagram } from "../os/datagram.ts";
import { parseNotification } from "./notification.ts";

/** What one process told. */
export interface Told {
  readonly pid: number;
  readonly fields: ReadonlyMap<string, string>;
  /** The receiver's to close. */
  readonly descriptors: readonly number[];
}

/** Where a front tells how it is, or gives its descriptors to another: a unix datagram socket with an abstract name, which leaves no file behind. */
export class NotifySocket {
  /** For $NOTIFY_SOCKET. */
  readonly name: string;
  readonly #fd: number;
  readonly #told: (told: Told) => void;
  readonly #unwatch: () => void;

  /** Calls `told` for each notification; what isn't one, or came cut, is dropped. */
  constructor(told: (told: Told) => void) {
    // Nobody binds a name that can't be guessed before.
    const path = `\0skink-notify-${randomBytes(12).toString("hex")}`;
    this.name = `@${path.slice(1)}`;
    this.#told = told;
    this.#fd = createReceivingSocket(path);
    this.#unwatch = onArrival(this.#fd, () => this.receive());
  }

  /** Takes everything that has arrived. */
  receive(): void {
    for (let datagram = receiveDatagram(this.#fd); datagram !== undefined; datagram = receiveDatagram(this.#fd)) {
      const { bytes, descriptors, pid, truncated } = datagram;
      const fields = truncated ? undefined : parseNotification(bytes);
      if (fields !== undefined) this.#told({ pid, fields, descriptors });
      else for (const fd of descriptors) closeSync(fd);
    }
  }

  close(): void {
    this.#unwatch();
    closeSync(this.#fd);
  }
}
