import { strict as assert } from "node:assert";
import { closeSync } from "node:fs";
import { test } from "node:test";
import { createMemfd } from "../os/memfd.ts";
import { mapShared } from "../os/mmap.ts";
import { checksum } from "./checksum.ts";

test("the checksum is CRC32C, by its check values", () => {
  assert.equal(checksum(Buffer.from("123456789")), 0xe3069283);
  // RFC 3720, appendix B.4.
  assert.equal(checksum(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(checksum(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(checksum(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
});

test("in shared memory it is what it is elsewhere, up to the last byte of the mapping", () => {
  const bytes = 16384;
  const fd = createMemfd("skink-checksum-test", bytes);
  const mapping = mapShared(fd, bytes, "write");
  const shared = new Uint8Array(mapping.buffer);
  for (let i = 0; i < bytes; i++) shared[i] = i * 31 + (i >> 8);
  for (const [from, until] of [
    [0, 4096],
    [4096, 8192],
    [bytes - 512, bytes],
    [3, 1000],
  ] as const) {
    assert.equal(checksum(shared.subarray(from, until)), checksum(Uint8Array.from(shared.subarray(from, until))));
  }
  mapping.unmap();
  closeSync(fd);
});
