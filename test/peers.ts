import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** What a test may need that neither npm nor a plain user account brings. */
export type Peer = keyof typeof PEERS;

/**
 * For a test's `skip`: false where all of `needed` are there, else a reason that names what is missing.
 *
 *     test("fio verifies under kills", { skip: peer("fio") }, …)
 *
 * The test runner lists what was left out, and fails on it where SKINK_REQUIRE_PEERS is 1.
 */
export function peer(...needed: Peer[]): string | false {
  const missing = needed.filter((name) => !PEERS[name].found());
  if (missing.length === 0) return false;
  return `needs ${missing.map((name) => `${name} (${PEERS[name].from})`).join(", ")}`;
}

const PEERS = {
  fio: program("fio", "fio"),
  nbdinfo: program("nbdinfo", "libnbd-bin"),
  nbdcopy: program("nbdcopy", "libnbd-bin"),
  nbddump: program("nbddump", "libnbd-bin"),
  nbdfuse: program("nbdfuse", "libnbd-bin"),
  nbdsh: program("nbdsh", "python3-libnbd"),
  "qemu-img": program("qemu-img", "qemu-utils"),
  "qemu-io": program("qemu-io", "qemu-utils"),
  "qemu-nbd": program("qemu-nbd", "qemu-utils"),
  nbdkit: program("nbdkit", "nbdkit"),
  "nbd-client": program("nbd-client", "nbd-client"),
  "nbd-server": program("nbd-server", "nbd-server"),
  unshare: program("unshare", "util-linux"),
  certtool: program("certtool", "gnutls-bin"),
  psktool: program("psktool", "gnutls-bin"),
  fusermount3: program("fusermount3", "fuse3"),
  "mkfs.ext4": program("mkfs.ext4", "e2fsprogs"),
  e2fsck: program("e2fsck", "e2fsprogs"),
  "systemd-socket-activate": program("systemd-socket-activate", "systemd"),
  "systemd-analyze": program("systemd-analyze", "systemd"),
  fuse: { from: "a usable /dev/fuse", found: () => usable("/dev/fuse", constants.R_OK | constants.W_OK) },
  root: { from: "run as root", found: () => process.getuid?.() === 0 },
  loop: { from: "loop devices, as root", found: () => usable("/dev/loop-control", constants.R_OK | constants.W_OK) },
};

function program(name: string, debianPackage: string): { from: string; found: () => boolean } {
  return { from: `Debian package ${debianPackage}`, found: () => searchPath().some((dir) => usable(join(dir, name))) };
}

/** mkfs and its like are installed where a plain user's PATH does not look. */
function searchPath(): string[] {
  return [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"].filter((dir) => dir !== "");
}

function usable(path: string, mode: number = constants.X_OK): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
