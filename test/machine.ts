import { mkdirSync } from "node:fs";
import { type Ended, type Scene, SKINK } from "./scene.ts";

/** Numbers of the kernel's drivers. */
const NBD_MAJOR = 43;
const LOOP_MAJOR = 7;

/** What `skink` finds of the kernel's nbd driver, whatever the kernel of the tests has. */
export interface Machine {
  /** "a module": `modprobe` has still to load it. */
  readonly driver: boolean | "a module";
  /** What there is in /dev, by name; a loop device under the name of another. None if left out. */
  readonly devices?: Readonly<Record<string, "block" | "file" | `/dev/loop${number}`>>;
  /** Those of them that are attached. None if left out. */
  readonly attached?: readonly string[];
  /**
   * Its `nbd-client`: one that writes its arguments to `arguments` in the scene, a line each, if left out; "real", the
   * installed one, cut off from the network and from the kernel's nbd driver.
   */
  readonly client?: "fails" | "none" | "real";
}

/** Runs `skink` to its end on such a machine, as root: its own /dev, /sys/module and /sys/block hide the real ones. */
export function skinkOn(scene: Scene, machine: Machine, ...args: string[]): Promise<Ended> {
  const bin = scene.path("bin");
  mkdirSync(bin, { recursive: true });
  const script = [
    "for folder in /dev /sys/module /sys/block; do mount -t tmpfs none $folder; done",
    "mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9",
    ...(machine.driver === true ? ["mkdir /sys/module/nbd"] : []),
    ...Object.entries(machine.devices ?? {}).map(([name, what]) => make(`/dev/${name}`, what)),
    ...(machine.attached ?? []).map((name) => `mkdir /sys/block/${name} && echo 1 > /sys/block/${name}/pid`),
    ...program(`${bin}/modprobe`, machine.driver === "a module" ? "/bin/mkdir /sys/module/nbd" : "exit 1"),
    ...client(scene, machine.client),
    // Nothing else is found: neither the real nbd-client nor the real modprobe.
    `export PATH=${bin}`,
    'exec "$@"',
  ];
  const apart = machine.client === "real" ? ["--mount", "--net"] : ["--mount"];
  return scene.run("unshare", [...apart, "sh", "-euc", script.join("\n"), "sh", process.execPath, SKINK, ...args]);
}

/** The lines of a script that make the client. */
function client(scene: Scene, kind: Machine["client"]): string[] {
  const path = scene.path("bin/nbd-client");
  switch (kind) {
    case undefined:
      return program(path, `printf '%s\\n' "$@" > ${scene.path("arguments")}`);
    case "fails":
      return program(path, "echo 'Error: no luck\n\nExiting.' >&2; exit 1");
    case "none":
      return [];
    case "real":
      return [`ln -s "$(command -v nbd-client)" ${path}`];
  }
}

function make(path: string, what: string): string {
  if (what === "file") return `touch ${path}`;
  if (what === "block") return `mknod ${path} b ${NBD_MAJOR} 0`;
  return `mknod ${path} b ${LOOP_MAJOR} ${what.slice("/dev/loop".length)}`;
}

/** Likewise a program with this body. */
function program(path: string, body: string): string[] {
  return [`cat > ${path} <<'END'`, "#!/bin/sh", body, "END", `chmod +x ${path}`];
}
