import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { nbdCheck } from "../src/crashes/testing-check.ts";
import { FLUSH, type Said, write } from "../src/crashes/testing-history.ts";
import { writeLog } from "../src/crashes/testing-log.ts";
import { type Peer, peer } from "./peers.ts";
import { type Ended, ended, inScene, type Scene, SKINK } from "./scene.ts";
import { serve } from "./serve.ts";
import { until } from "./until.ts";

const FUSE: readonly Peer[] = ["fuse", "nbdfuse", "fusermount3"];
const DISKS: readonly Peer[] = [...FUSE, "root", "loop", "mkfs.ext4", "e2fsck"];
const RUN_TIMEOUT_MS = 300_000;
const RECORD_TIMEOUT_MS = 100_000;
const START_TIMEOUT_MS = 60_000;
const CLEAN_TIMEOUT_MS = 20_000;

/** The second write says that the first one is there. */
const WRONG_ORDER: readonly Said[] = [
  write(0, 8),
  FLUSH,
  { mark: "made" },
  write(16, 24),
  write(8, 9),
  FLUSH,
  { mark: "said" },
];
const IN_ORDER: readonly Said[] = [
  write(0, 8),
  FLUSH,
  { mark: "made" },
  write(16, 24),
  FLUSH,
  write(8, 9),
  FLUSH,
  { mark: "said" },
];
/** Sector 8 has something only if sector 19 has. */
const ORDER_CHECK = nbdCheck("at(8) === 0 || at(19) !== 0");

const REPAIR_AND_CHECK = "e2fsck -y -E journal_only {device} >/dev/null; e2fsck -fn {device}";

function crashes(scene: Scene, ...args: string[]): Promise<Ended> {
  return scene.run(process.execPath, [SKINK, "crashes", scene.path("log"), ...args], RUN_TIMEOUT_MS);
}

test("writes in the right order pass in every state", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), IN_ORDER);
    const { code, stdout, stderr } = await crashes(scene, "--from", "made", "--check", ORDER_CHECK, "--atomic", "1K");
    assert.deepEqual([code, stderr], [0, ""], stdout);
    // The second write has four pieces, the last one is after it: 16 states, one more, and that one after the last mark.
    assert.match(stdout, /^passed: 18 states of 3 crash points \(all there are\); /);
  }));

test("writes without a flush in between are caught, with the smallest state and a command that brings it back", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), WRONG_ORDER);
    const { code, stdout } = await crashes(scene, "--check", ORDER_CHECK, "--states", "60", "--timeout", "300");
    assert.equal(code, 1);
    assert.match(stdout, /^FAILED: /);
    assert.match(stdout, / --timeout 300 --check /);
    assert.match(stdout, /^the smallest state that fails: 6-3\/3$/m);
    assert.match(
      stdout,
      /^ {4}entry 3: write of 4096 bytes at 8192, after mark "made"; torn: 512 bytes of it, from byte 1536 on$/m,
    );
    const [, again = ""] = /^see it again:\n {2}skink (.*)$/m.exec(stdout) ?? [];
    const repeated = await scene.run("sh", ["-c", `${process.execPath} ${SKINK} ${again}`]);
    assert.deepEqual([repeated.code, repeated.stdout.trimEnd()], [1, "FAILED: state 6-3/3, exit code 1"]);
  }));

test("a state is served, and written into an image, as it is checked", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), WRONG_ORDER);
    const image = scene.path("image");
    const written = await crashes(scene, "--state", "6-3/3", "--write", image);
    assert.equal(written.code, 0, written.stderr);
    const bytes = readFileSync(image);
    assert.deepEqual(
      [18, 19, 20].map((sector) => bytes[sector * 512]),
      [4, 0, 4],
    );
    const server = scene.spawn(process.execPath, [SKINK, "crashes", scene.path("log"), "--state", "6-3/3", "--serve"]);
    const done = ended(server);
    let said = "";
    server.stdout?.on("data", (text: string) => {
      said += text;
    });
    const uri = await until("a state to be served", START_TIMEOUT_MS, () => /^ready 6-3\/3 (\S+)\n$/.exec(said)?.[1]);
    const { code } = await scene.run("sh", ["-c", ORDER_CHECK.replace("{uri}", `'${uri}'`)]);
    assert.equal(code, 1);
    server.kill("SIGINT");
    assert.equal((await done).code, 0);
  }));

test("a check knows its state's name and the last mark before it", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), IN_ORDER);
    const check = 'echo "$SKINK_STATE <$SKINK_MARK>"; test "$SKINK_MARK" = made -o "$SKINK_MARK" = said';
    assert.equal((await crashes(scene, "--check", check, "--from", "made")).code, 0);
    const { code, stdout } = await crashes(scene, "--check", check, "--jobs", "1");
    assert.equal(code, 1);
    assert.match(stdout, /^ {4}\| 2 <>$/m);
    const before = await crashes(scene, "--check", 'test -z "$SKINK_MARK"', "--to", "made");
    assert.equal(before.code, 0, before.stdout);
  }));

for (const [what, args, says] of [
  ["a check that there isn't", ["--check", "no-such-program {uri}"], /^Cannot run the check: .*not found, .*\n$/],
  [
    "a mark that there isn't",
    ["--check", "true", "--from", "x"],
    /^Cannot check .*: it has no mark "x", .*"made".*\n$/,
  ],
  [
    "a span without crash points",
    ["--check", "true", "--from", "said", "--to", "made"],
    /^Cannot check .*: there is no crash point between --from and --to, one was wanted\n$/,
  ],
  ["a state that there isn't", ["--check", "true", "--state", "99"], /^Cannot use the state 99: .*\n$/],
  ["no check", [], /^Cannot check .*: there is no --check, a command was wanted\n$/],
  ["a base that there isn't", ["--check", "true", "--base", "nowhere"], /^Cannot read the base nowhere: .*\n$/],
  [
    "a size that is too small",
    ["--check", "true", "--size", "4K"],
    /^Cannot check .*: it writes up to byte 12288 .*\n$/,
  ],
  [
    "an image that is there",
    ["--state", "2", "--write", "log"],
    /^Cannot write the image log: it is there already, .*\n$/,
  ],
] as const) {
  test(`${what} is bad usage, and said in one line`, () =>
    inScene(async (scene) => {
      writeLog(scene.path("log"), WRONG_ORDER);
      const { code, stdout, stderr } = await crashes(scene, ...args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, says);
    }));
}

test("writes that failed are said to be in no state", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), [write(0), FLUSH, { mark: "skink: write failed, EIO, offset=0 length=512" }]);
    const { code, stderr } = await crashes(scene, "--check", "true");
    assert.equal(code, 0);
    assert.match(stderr, /: 1 write failed; what it may have left is in no state\n$/);
  }));

test("what a check leaves behind in a session of its own is gone before another one begins", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), IN_ORDER);
    const left = scene.path("left");
    // A zombie has no program any more.
    const check = [
      `for pid in $(cat ${left}.*); do test -e /proc/$pid/exe && exit 1; done`,
      `setsid -f sh -c 'echo $$ >${left}.new; mv ${left}.new ${left}.$SKINK_STATE; exec sleep 1000'`,
      `until test -e ${left}.$SKINK_STATE; do sleep 0.01; done`,
    ].join("; ");
    const { code, stdout } = await crashes(scene, "--check", check, "--jobs", "1", "--atomic", "all");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^passed: [5-9] states /);
  }));

test("a check that doesn't end is ended, with all that it has started, and is a failure", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), IN_ORDER);
    const args = ["--state", "2", "--timeout", "1", "--check", "sleep 1000 & sleep 1000"];
    const { code, stdout } = await crashes(scene, ...args);
    assert.deepEqual([code, stdout], [1, "FAILED: state 2, it did not end within 1 s\n"]);
  }));

test(
  "what a check leaves behind in a session of its own doesn't keep its state mounted",
  { skip: peer(...DISKS) },
  () =>
    inScene(async (scene) => {
      const image = scene.path("base");
      await scene.need("mkfs.ext4", ["-q", image, "4M"]);
      writeLog(scene.path("log"), [write(0), FLUSH]);
      const begun = scene.path("begun");
      const check = `cd {mount} && setsid -f sh -c 'touch ${begun}; sleep 1000'; until test -e ${begun}; do sleep 0.01; done`;
      const { code, stdout } = await crashes(scene, "--state", "0", "--base", image, "--check", check);
      assert.deepEqual([code, stdout], [0, "passed: state 0, exit code 0\n"]);
    }),
);

test("--all names every state that fails, and --json says it for machines", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), WRONG_ORDER);
    const { code, stdout } = await crashes(scene, "--all", "--json", "--atomic", "all", "--check", ORDER_CHECK);
    assert.equal(code, 1);
    const report = JSON.parse(stdout);
    assert.deepEqual([report.format, report.exhaustive, report.checked], ["skink-crashes-1", true, 7]);
    assert.deepEqual(
      report.failures.map(({ state, mark }: { state: string; mark: string }) => [state, mark]),
      [["6-3", "made"]],
    );
    assert.equal(report.smallest.state, "6-3");
    assert.deepEqual(report.smallest.missing[0].missing, [{ offset: 8192, length: 4096 }]);
  }));

for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
  test(`${signal} in the middle of a check leaves nothing behind`, { skip: peer(...DISKS) }, () =>
    inScene(async (scene) => {
      const image = scene.path("base");
      await scene.need("mkfs.ext4", ["-q", image, "4M"]);
      writeLog(scene.path("log"), [write(0), FLUSH]);
      const begun = scene.path("begun");
      // It holds on to the mount, and to a process that leaves its group.
      const check = `cd {mount} && basename {loop} >${begun}.new && mv ${begun}.new ${begun} && setsid sleep 1000`;
      const args = ["--state", "0", "--base", image, "--check", check];
      const child = scene.spawn(process.execPath, [SKINK, "crashes", scene.path("log"), ...args]);
      const done = ended(child);
      await until("the check to begin", START_TIMEOUT_MS, () => existsSync(begun) || undefined);
      child.kill(signal);
      const { code } = await done;
      assert.equal(code, signal === "SIGKILL" ? null : 1);
      await until(
        "its folder to be gone",
        CLEAN_TIMEOUT_MS,
        () => readdirSync(scene.path("tmp")).length === 0 || undefined,
      );
      assert.deepEqual(await scene.leftovers(CLEAN_TIMEOUT_MS), []);
      await until(
        "its loop device to be gone",
        CLEAN_TIMEOUT_MS,
        () => !isOurs(readFileSync(begun, "utf8").trim()) || undefined,
      );
    }),
  );
}

test("what is interrupted says how far it came", () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), IN_ORDER);
    const begun = scene.path("begun");
    const check = `test -e ${begun} && : >${begun}2 && sleep 1000; : >${begun}`;
    const args = ["--jobs", "1", "--check", check];
    const child = scene.spawn(process.execPath, [SKINK, "crashes", scene.path("log"), ...args]);
    const done = ended(child);
    await until("the second check to begin", START_TIMEOUT_MS, () => existsSync(`${begun}2`) || undefined);
    child.kill("SIGINT");
    const { code, stderr } = await done;
    assert.equal(code, 1);
    assert.match(stderr, /^Cannot finish: a signal came, .* \(1 of \d+ states checked, 0 failed\)$/m);
  }));

test(
  "no state is seen through a cache of another one: file, loop device and mount are each state's own",
  { skip: peer(...DISKS) },
  () =>
    inScene(async (scene) => {
      const image = scene.path("base");
      await scene.need("mkfs.ext4", ["-q", image, "4M"]);
      // Behind the first superblock, in a block that is free.
      writeLog(scene.path("log"), [write(7000), FLUSH, write(7001), FLUSH, write(7000), FLUSH]);
      const sector = (path: string, at: number): string =>
        `$(dd if=${path} bs=512 skip=${at} count=1 status=none | od -An -tu1 -N1 | tr -d ' ')`;
      const content = (path: string): string => `${sector(path, 7000)},${sector(path, 7001)}`;
      const check = [
        `case $SKINK_STATE in 2+) w=0,0;; 2) w=1,0;; 4) w=1,3;; 6) w=5,3;; *) exit 9;; esac`,
        `test "${content("{device}")}" = "$w" && test "${content("{loop}")}" = "$w"`,
        "test ! -e {mount}/seen && echo x >{mount}/seen && sync {mount}/seen",
      ]
        .join(" && ")
        .replace("esac &&", "esac;");
      for (const jobs of ["1", "3"]) {
        const { code, stdout } = await crashes(scene, "--base", image, "--jobs", jobs, "--check", check);
        assert.equal(code, 0, stdout);
        assert.match(stdout, /^passed: 4 states /);
      }
    }),
);

test("a check can write to {device} as it likes, some bytes as well", { skip: peer(...DISKS) }, () =>
  inScene(async (scene) => {
    const image = scene.path("base");
    await scene.need("mkfs.ext4", ["-q", image, "4M"]);
    writeLog(scene.path("log"), [write(7000), FLUSH]);
    // It writes no more of the superblock than what is new in it.
    const check = "tune2fs -L here {device} && dumpe2fs -h {device} | grep '^Filesystem volume name: *here$'";
    const { code, stdout } = await crashes(scene, "--state", "2", "--base", image, "--check", check);
    assert.equal(code, 0, stdout);
  }),
);

test("a file system that can't be mounted is a state that fails", { skip: peer(...DISKS) }, () =>
  inScene(async (scene) => {
    writeLog(scene.path("log"), [write(0, 4096), FLUSH]);
    const { code, stdout } = await crashes(scene, "--state", "0", "--check", "ls {mount}");
    assert.equal(code, 1);
    assert.match(stdout, /FAILED: state 0, it can't be mounted\n$/);
  }),
);

test(
  "ext4 survives power cuts of an honest disk, and not those of one that swallows flushes",
  { skip: peer(...DISKS) },
  () =>
    inScene(async (scene) => {
      await recordExt4(scene);
      // Its superblock has 1 KiB, which it writes in place as it is unmounted: where half of it is new, it is damaged.
      const args = ["--from", "ready", "--atomic", "4K", "--states", "60", "--check", REPAIR_AND_CHECK];
      const honest = await crashes(scene, ...args);
      assert.equal(honest.code, 0, honest.stdout);
      const lying = await crashes(scene, ...args, "--lying-flushes");
      assert.equal(lying.code, 1);
      assert.match(lying.stdout, /^FAILED: .*, of a disk that swallows flushes; /);
    }),
);

test("files that were synced are there after a power cut", { skip: peer(...DISKS) }, () =>
  inScene(async (scene) => {
    await recordExt4(scene);
    const check =
      'for n in $(seq 1 $(echo "$SKINK_MARK" | tr -dc 0-9)); do test "$(cat {mount}/$n)" = "text $n" || exit 1; done';
    const args = ["--from", "file 1", "--atomic", "1K", "--states", "30"];
    const { code, stdout } = await crashes(scene, ...args, "--check", check);
    assert.equal(code, 0, stdout);
  }),
);

/** Whether a loop device, which others may have taken since, still has the file of a check, be it one without a name. */
function isOurs(loop: string): boolean {
  const backing = `/sys/block/${loop}/loop/backing_file`;
  return existsSync(backing) && /^\/$|skink-crashes-/.test(readFileSync(backing, "utf8").trim());
}

/** A file system in which three files are made, one after the other; each is synced before its mark is set. */
async function recordExt4(scene: Scene): Promise<void> {
  const front = await serve(scene, "memory:16M", {
    command: "record",
    args: ["--name", "disk", "--log", scene.path("log")],
  });
  const mark = `${process.execPath} ${SKINK} mark disk --control ${front.control}`;
  const script = `
    touch disk; mkdir root
    nbdfuse -P ready disk '${front.uri}' &
    while ! test -s ready; do sleep 0.05; done
    mkfs.ext4 -q disk
    mount -o loop disk root
    sync root
    ${mark} ready
    for n in 1 2 3; do
      echo "text $n" >root/$n; sync root/$n; sync root
      ${mark} "file $n"
    done
    umount root
    while ! fusermount3 -u disk; do sleep 0.05; done
    wait`;
  scene.defer(() => scene.run("sh", ["-c", "umount root; fusermount3 -uz disk"]));
  await scene.need("sh", ["-euxc", script], RECORD_TIMEOUT_MS);
  await front.stop();
}
