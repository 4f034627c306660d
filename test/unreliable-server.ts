import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { realClock } from "../src/front/clock.ts";
import { NbdServer } from "../src/nbd/server/server.ts";
import { FakeDevice, oneExport } from "../src/nbd/server/testing.ts";
import type { Scene } from "./scene.ts";

/**
 * An NBD server whose export "disk" is sound, and whose connections are not: what a client of it says passes through
 * hands that can cut it off, or put something else in.
 */
export class UnreliableServer {
  readonly path: string;
  readonly #sockets = new Set<Socket>();

  /** Listens at a socket of the scene's, for as long as that lasts. */
  static async listen(scene: Scene, size: number): Promise<UnreliableServer> {
    const sound = new NbdServer({
      exports: oneExport(new FakeDevice({ size })),
      clock: realClock,
      hungUp: () => false,
    });
    const behind = scene.path("sound.sock");
    await sound.listen({ path: behind });
    scene.defer(() => sound.close(0));
    const server = new UnreliableServer(scene.path("unreliable.sock"));
    const listener = createServer((socket) => server.#meet(socket, behind)).listen(server.path);
    scene.defer(() => {
      listener.close();
      server.hangUp();
    });
    await once(listener, "listening");
    return server;
  }

  private constructor(path: string) {
    this.path = path;
  }

  /** Closes the connections that there are. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Says something senseless on all of them. */
  talkRubbish(): void {
    for (const socket of this.#sockets) socket.write(Buffer.alloc(64, "rubbish"));
  }

  #meet(socket: Socket, behind: string): void {
    const other = connect(behind);
    this.#sockets.add(socket);
    for (const [one, peer] of [
      [socket, other],
      [other, socket],
    ] as const) {
      one.on("error", () => {});
      one.on("close", () => peer.destroy());
      one.pipe(peer);
    }
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
