import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createSocketPair, ring } from "./doorbell.ts";
import { punchHole, seekData, seekHole, zeroRange } from "./holes.ts";
import { lockExclusive } from "./lock.ts";
import { addSeals, createMemfd, getSeals, SEAL_FUTURE_WRITE, SEALED_SIZE } from "./memfd.ts";
import { mapShared } from "./mmap.ts";
import { hungUp, readerHasGone } from "./poll.ts";
import { readNoWait } from "./read-now.ts";

test("a memfd cannot be resized, and two mappings of it show the same bytes", () => {
  const fd = createMemfd("test", 8192);
  try {
    const writable = mapShared(fd, 8192, "write");
    assert.equal(getSeals(fd), SEALED_SIZE);
    addSeals(fd, SEAL_FUTURE_WRITE);
    assert.throws(() => ftruncateSync(fd, 0), { code: "EPERM" });
    assert.throws(() => mapShared(fd, 8192, "write"), { code: "EPERM" });
    const readable = mapShared(fd, 8192, "read");
    new Uint8Array(writable.buffer)[5000] = 7;
    assert.equal(new Uint8Array(readable.buffer)[5000], 7);
    writable.unmap();
    readable.unmap();
  } finally {
    closeSync(fd);
  }
});

test("seals are asked of memfds alone", () => {
  const fd = openSync("/dev/null", "r");
  try {
    assert.throws(() => getSeals(fd), { code: "EINVAL" });
  } finally {
    closeSync(fd);
  }
});

test("a hang-up is seen in spite of unread bytes", () => {
  const [a, b] = createSocketPair();
  ring(b);
  assert.equal(hungUp(a), false);
  closeSync(b);
  assert.equal(hungUp(a), true);
  const heard = Buffer.alloc(4);
  assert.equal(readSync(a, heard), 1);
  closeSync(a);
});

test("it is seen that nobody reads any more, and who only writes no more still reads", async () => {
  const [a, b] = createSocketPair();
  const peer = new Socket({ fd: b, allowHalfOpen: true });
  await new Promise<void>((resolve) => peer.end(resolve));
  const halfClosed = [hungUp(a), readerHasGone(a)];
  const closed = once(peer, "close");
  peer.destroy();
  await closed;
  assert.deepEqual(halfClosed, [true, false]);
  assert.equal(readerHasGone(a), true);
  closeSync(a);
});

test("ringing a doorbell that nobody hears neither blocks nor fails", () => {
  const [a, b] = createSocketPair();
  for (let i = 0; i < 5000; i++) ring(a);
  closeSync(b);
  ring(a);
  closeSync(a);
});

test("two open files never hold the exclusive lock at once", () => {
  inFile((path, fd) => {
    const other = openSync(path, "r+");
    assert.equal(lockExclusive(fd), true);
    assert.equal(lockExclusive(other), false);
    closeSync(other);
  });
});

test("holes are punched and found, and reads that need no disk happen at once", () => {
  inFile((_path, fd) => {
    ftruncateSync(fd, 1 << 20);
    assert.equal(seekData(fd, 0), undefined);
    assert.equal(seekHole(fd, 0), 0);
    writeSync(fd, Buffer.alloc(65536, 1), 0, 65536, 131072);
    assert.equal(seekData(fd, 0), 131072);
    assert.equal(seekHole(fd, 131072), 131072 + 65536);
    const into = Buffer.alloc(4096);
    const now = readNoWait(fd, into, 131072);
    if (now !== undefined) assert.deepEqual([now, into[4095]], [4096, 1]);
    punchHole(fd, 131072, 65536);
    assert.equal(seekData(fd, 0), undefined);
    writeSync(fd, Buffer.alloc(65536, 1), 0, 65536, 0);
    try {
      zeroRange(fd, 0, 4096);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "EOPNOTSUPP");
      return;
    }
    readSync(fd, into, 0, 4096, 0);
    assert.equal(into[0], 0);
  });
});

function inFile(body: (path: string, fd: number) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "skink-os-"));
  const path = join(folder, "file");
  const fd = openSync(path, "w+");
  try {
    body(path, fd);
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
}
