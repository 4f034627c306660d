import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { libc } from "../os/libc.ts";
import { createMemfd } from "../os/memfd.ts";
import { findKept, isKeptName, keptFileName, keptNameOf, MAX_KEPT_NAME_CHARS } from "./keeping.ts";
import { KeptRegions, type Shelf } from "./kept.ts";

/** Long, or with characters that paths, lists of names and /proc treat in ways of their own. */
const ODD_NAMES = [
  "a b",
  "a/b",
  "a:b",
  "",
  " (deleted)",
  "a\nb",
  "ü",
  "😀",
  "%2f",
  "..",
  "x".repeat(MAX_KEPT_NAME_CHARS),
];

test("regions come back from the shelf under their names, however odd", (context) => {
  const shelf = new FakeShelf(context);
  const first = new KeptRegions(shelf);
  for (const [index, name] of ODD_NAMES.entries()) take(context, first, name, 4096 * (index + 1));
  assert.equal(shelf.fds.length, ODD_NAMES.length);
  const next = new KeptRegions(shelf);
  const found = next.list().map(({ name, bytes }) => ({ name, bytes }));
  assert.deepEqual(
    found,
    ODD_NAMES.map((name, index) => ({ name, bytes: 4096 * (index + 1) })),
  );
  const [one, same] = [first.list(), next.list()].map((files) => files.map(({ fd }) => fstatSync(fd).ino));
  assert.deepEqual(one, same);
});

test("what was never a region, or can be resized, is none; and the shelf's descriptors stay as they are", (context) => {
  const shelf = new FakeShelf(context);
  shelf.fds.push(
    createMemfd("skink-writes", 4096),
    createMemfd("skink-kept-%zz", 4096),
    openSync("/proc/self/status", "r"),
    unsealed("skink-kept-soft"),
    createMemfd(keptFileName("disk"), 4096),
  );
  const regions = new KeptRegions(shelf);
  assert.deepEqual(
    regions.list().map(({ name }) => name),
    ["disk"],
  );
  for (const fd of shelf.fds) assert.doesNotThrow(() => fstatSync(fd));
});

test("of two regions with one name the older one counts", (context) => {
  const shelf = new FakeShelf(context);
  shelf.fds.push(createMemfd(keptFileName("disk"), 4096), createMemfd(keptFileName("disk"), 8192));
  const [only, ...others] = new KeptRegions(shelf).list();
  assert.equal(only?.bytes, 4096);
  assert.deepEqual(others, []);
});

test("a region that is there already is neither taken nor put on the shelf", (context) => {
  const shelf = new FakeShelf(context);
  const regions = new KeptRegions(shelf);
  take(context, regions, "disk", 4096);
  assert.throws(() => take(context, regions, "disk", 4096), /there is a region "disk" already/);
  assert.equal(shelf.fds.length, 1);
});

test("a name that doesn't fit into that of its memory is refused", () => {
  for (const name of [
    "x".repeat(MAX_KEPT_NAME_CHARS + 1),
    "ü".repeat(MAX_KEPT_NAME_CHARS / 6 + 1),
    "\ud800",
    7,
    undefined,
  ]) {
    assert.equal(isKeptName(name), false);
    assert.throws(() => findKept(new Map(), name as string, 4096), { code: "EINVAL", message: /percent-encoded/ });
  }
  assert.equal(keptNameOf(keptFileName("a/b ü")), "a/b ü");
  assert.equal(keptNameOf("skink-writes"), undefined);
});

/** What a service manager does. */
class FakeShelf implements Shelf {
  readonly fds: number[] = [];

  constructor(context: TestContext) {
    context.after(() => {
      for (const fd of this.fds) closeSync(fd);
    });
  }

  take(): readonly number[] {
    return this.fds;
  }

  put(fd: number): void {
    this.fds.push(openSync(`/proc/self/fd/${fd}`, "r+"));
  }
}

/** As from a host, which is this process. */
function take(context: TestContext, regions: KeptRegions, name: string, bytes: number): void {
  const fd = createMemfd(keptFileName(name), bytes);
  context.after(() => closeSync(fd));
  regions.take(process.pid, [{ name, fd, bytes }]);
}

/** Memory that anybody may resize. */
function unsealed(name: string): number {
  const create: (name: string, flags: number) => number = libc.func("int memfd_create(const char *, unsigned int)");
  return create(name, 0);
}
