import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect } from "node:net";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

const LISTEN_TIMEOUT_MS = 5000;

/** A server that somebody else runs: the test. It listens at the same socket each time. */
export class RemoteServer {
  readonly socket: string;
  readonly #scene: Scene;
  readonly #command: readonly string[];
  #child: ChildProcess | undefined;

  /** `command`: a program that takes -U SOCKET behind its name, as nbdkit does, and its arguments. */
  constructor(scene: Scene, command: readonly string[]) {
    this.#scene = scene;
    this.#command = command;
    this.socket = scene.path("remote.sock");
    scene.defer(() => rmSync(this.socket, { force: true }));
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  get runs(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const [program = "", ...args] = this.#command;
    rmSync(this.socket, { force: true });
    const child = this.#scene.spawn(program, ["-U", this.socket, ...args], { stdio: "ignore" });
    this.#child = child;
    await until(`${program} to listen`, LISTEN_TIMEOUT_MS, async () => {
      if (!this.runs) throw new Error(`${program} has ended`);
      return (await listens(this.socket)) ? true : undefined;
    });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.runs) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}

/** Whether somebody accepts connections at that socket; its file is there before that. */
export async function listens(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
