import { strict as assert } from "node:assert";
import { NbdClient } from "../src/nbd/index.ts";
import type { Scene } from "./scene.ts";
import { within } from "./until.ts";

const BLOCK_BYTES = 4096;
/** One in so many rounds of a lane ends with a flush. */
const FLUSH_EVERY = 16;
const REPLY_TIMEOUT_MS = 60_000;

/** So many requests in flight, all the time: each lane writes a block of its own, and reads it back. */
export class Lanes {
  readonly #client: NbdClient;
  readonly #done: Promise<unknown>;
  #isOver = false;

  static async start(scene: Scene, uri: string, depth: number): Promise<Lanes> {
    const client = await NbdClient.connect(uri);
    scene.defer(() => client.destroy());
    return new Lanes(client, depth);
  }

  private constructor(client: NbdClient, depth: number) {
    this.#client = client;
    this.#done = Promise.all(Array.from({ length: depth }, (_, lane) => this.#run(lane * BLOCK_BYTES)));
    // Who waits for `stop` learns of a failure.
    this.#done.catch(() => {});
  }

  /** Rejects where a request has failed, or read something else than was written. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await within("the replies to what is in flight", REPLY_TIMEOUT_MS, this.#done);
    await this.#client.close();
  }

  async #run(offset: number): Promise<void> {
    for (let round = 1; !this.#isOver; round++) {
      const data = new Uint8Array(BLOCK_BYTES).fill(round);
      await this.#client.write(offset, data);
      if (round % FLUSH_EVERY === 0) await this.#client.flush();
      assert.deepEqual(await this.#client.read(offset, BLOCK_BYTES), data);
    }
  }
}
