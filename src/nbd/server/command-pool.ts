import type { Payload } from "../../block/memory.ts";
import type { Requester, RequestKind } from "../../block/request.ts";
import type { ReceivedRequest } from "../wire/requests.ts";
import { Command } from "./command.ts";

const MAX_SPARE_COMMANDS = 128;

/** The commands of one connection: they come back when their replies have been sent, and are used again. */
export class CommandPool {
  readonly #requester: Requester;
  readonly #reads: { release(payload: Payload): void };
  readonly #spare: Command[] = [];

  /** `reads`: where the payload of a read goes when it has been sent. */
  constructor(requester: Requester, reads: { release(payload: Payload): void }) {
    this.#requester = requester;
    this.#reads = reads;
  }

  take(kind: RequestKind, header: Readonly<ReceivedRequest>, incoming: number): Command {
    const command = this.#spare.pop() ?? new Command(this.#requester, (sent) => this.#sent(sent));
    command.set(kind, header, incoming);
    return command;
  }

  /** The transport has done with a part of the reply, or the writer with the whole. */
  #sent(command: Command): void {
    if (--command.sends > 0) return;
    if (command.kind === "read" && command.payload !== undefined) this.#reads.release(command.payload);
    command.payload = undefined;
    command.extents = undefined;
    if (this.#spare.length < MAX_SPARE_COMMANDS) this.#spare.push(command);
  }
}
