import assert from "node:assert/strict";
import { closeSync, fstatSync } from "node:fs";
import { test } from "node:test";
import { createMemfd } from "../os/memfd.ts";
import type { DriverRef } from "../shadow/ports.ts";
import { KeptCode } from "./kept-code.ts";

const DRIVER = { kind: "driver" };
const BYTES = 4096;
/** More than are kept. */
const MANY = 20;

/** This process is the host that leaves code. */
function leave(code: KeptCode, driver: DriverRef): number {
  const fd = createMemfd("skink-code", BYTES);
  code.opened(driver, process.pid, { fd, bytes: BYTES });
  closeSync(fd);
  return code.of(driver).file?.fd ?? -1;
}

function withCode(body: (code: KeptCode) => void): () => void {
  return () => {
    const code = new KeptCode();
    try {
      body(code);
    } finally {
      code.close();
    }
  };
}

test(
  "a driver that could not open does without what was left, but for a pinned one",
  withCode((code) => {
    const left = leave(code, DRIVER);
    code.openFailed(DRIVER);
    assert.deepEqual(code.of(DRIVER), { file: undefined, pinned: false });
    assert.throws(() => fstatSync(left), /EBADF/);
    const again = leave(code, DRIVER);
    code.pin(DRIVER);
    code.openFailed(DRIVER);
    assert.deepEqual(code.of(DRIVER), { file: { fd: again, bytes: BYTES }, pinned: true });
  }),
);

test(
  "a host that runs what it was given leaves that, and what another one leaves takes its place",
  withCode((code) => {
    const first = leave(code, DRIVER);
    code.opened(DRIVER, process.pid, undefined);
    assert.equal(code.of(DRIVER).file?.fd, first);
    code.pin(DRIVER);
    const second = leave(code, DRIVER);
    assert.deepEqual(code.of(DRIVER), { file: { fd: second, bytes: BYTES }, pinned: true });
    assert.throws(() => fstatSync(first), /EBADF/);
  }),
);

test(
  "of many drivers those that opened last are remembered",
  withCode((code) => {
    leave(code, DRIVER);
    const others = Array.from({ length: MANY }, (_, index) => ({ kind: `driver ${index}` }));
    for (const other of others) {
      leave(code, other);
      code.opened(DRIVER, process.pid, undefined);
    }
    assert.notEqual(code.of(DRIVER).file, undefined);
    assert.notEqual(code.of(others.at(-1) as DriverRef).file, undefined);
    assert.equal(code.of(others[0] as DriverRef).file, undefined);
  }),
);
