import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { DriverOutput } from "../../link/output.ts";
import { killGroup } from "../../link/process-group.ts";
import { MARK } from "../../link/process-mark.ts";
import type { Recovery } from "../plan.ts";

/** For so long QEMU's client looks for its server before requests fail. Seconds. */
const QEMU_RECONNECT_S = 60;
/** … and the retry filter, with a second between two attempts: it has whole seconds, and no 0. */
const RETRIES = 60;
const RETRY_DELAY_S = 1;
/** Connections of clients. */
const MAX_CLIENTS = 16;

/** The command of a relay, which reconnects where its clients would not, and holds nothing back itself. */
function commandOf(recovery: Exclude<Recovery, "client">, listen: string, server: string, name: string): string[] {
  switch (recovery) {
    case "nbdkit-retry": {
      const retry = [`retries=${RETRIES}`, `retry-delay=${RETRY_DELAY_S}`, "retry-exponential=no"];
      return ["nbdkit", "-f", "-U", listen, "--filter=retry", "nbd", `socket=${server}`, `export=${name}`, ...retry];
    }
    case "qemu-reconnect": {
      const target = `driver=nbd,server.type=unix,server.path=${comma(server)},export=${comma(name)}`;
      const image = `${target},reconnect-delay=${QEMU_RECONNECT_S}`;
      return ["qemu-nbd", "--persistent", `--shared=${MAX_CLIENTS}`, "-k", listen, "--image-opts", image];
    }
  }
}

/** The program that such a relay is; `undefined` where the load reconnects by itself. */
export function relayProgram(recovery: Recovery): string | undefined {
  return recovery === "client" ? undefined : commandOf(recovery, "", "", "")[0];
}

/** A program between the load and a server that dies. */
export class Relay {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #isWanted = true;

  /**
   * `listen`: the path of its socket; `server`: that of the server's, which listens; `mark`: in its environment. `output` takes a
   * line that it printed, `ended` its end where nobody asked for it, in one line.
   */
  constructor(
    recovery: Exclude<Recovery, "client">,
    { listen, server, name, mark }: { listen: string; server: string; name: string; mark: string },
    { output, ended }: { output(line: string): void; ended(how: string): void },
  ) {
    const [program = "", ...args] = commandOf(recovery, listen, server, name);
    const child = spawn(program, args, {
      detached: true,
      env: { ...process.env, [MARK]: mark },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    const lines = new DriverOutput(output);
    for (const pipe of [child.stdout, child.stderr]) if (pipe) lines.read(pipe);
    this.#exited = child.pid === undefined ? Promise.resolve() : once(child, "exit");
    child.once("error", ({ message }) => ended(`it could not be started: ${message}`));
    child.once("exit", (code, signal) => {
      if (this.#isWanted) ended(code === null ? `killed by ${signal}` : `exit code ${code}`);
    });
  }

  get pid(): number | undefined {
    return this.#child.exitCode === null && this.#child.signalCode === null ? this.#child.pid : undefined;
  }

  /** By force: it holds nothing back. Resolves when it is gone. */
  async end(): Promise<void> {
    this.#isWanted = false;
    const { pid } = this;
    if (pid !== undefined) killGroup(pid);
    await this.#exited;
  }
}

/** A value among QEMU's options, where a comma would end it. */
function comma(value: string): string {
  return value.replaceAll(",", ",,");
}
