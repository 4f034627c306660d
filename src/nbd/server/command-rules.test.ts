import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { decodeInfo } from "../wire/option-replies.ts";
import { COMMAND, COMMAND_FLAG, OPTION } from "../wire/protocol.ts";
import { FakeDevice, feed } from "./testing.ts";
import { chosen, command, errorOf, greeted, infoRequest, read, write } from "./testing-client.ts";

const { FUA, DF, REQ_ONE, NO_HOLE, FAST_ZERO, PAYLOAD_LEN } = COMMAND_FLAG;
const MIB = 1 << 20;

test("rule 14: block sizes are advertised, and payloads are taken up to 32 MiB, what has none beyond that", () => {
  const { ask } = greeted();
  const sizes = ask(OPTION.GO, infoRequest("disk"))
    .slice(0, -1)
    .map(({ data }) => decodeInfo(data));
  assert.deepEqual(sizes[1], { kind: "blockSize", minimum: 512, preferred: 4096, maximum: 32 * MIB });

  const device = new FakeDevice({ size: 64 * MIB });
  const { say } = chosen({ device });
  assert.equal(errorOf(say(read(0, 32 * MIB, DF))), 0);
  assert.equal(errorOf(say(write(0, new Uint8Array(32 * MIB)))), 0);
  assert.equal(errorOf(say(read(0, 32 * MIB + 512))), ERRNO.EINVAL);
  for (const type of [COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.CACHE, COMMAND.BLOCK_STATUS])
    assert.equal(errorOf(say(command(type, 0, 64 * MIB))), 0);
  assert.equal(device.log.length, 6);
});

test("rule 15: a refused write of up to 64 MiB is read and answered, a longer one ends the connection", () => {
  const { session, say, transport } = chosen();
  const said = say(write(0, new Uint8Array(33 * MIB)));
  assert.equal(errorOf(said), ERRNO.EINVAL);
  assert.equal(errorOf(say(read(0, 512))), 0);
  feed(session, transport, command(COMMAND.WRITE, 0, 65 * MIB));
  assert.equal(transport.state, "destroyed");
});

test("rule 16: offsets and lengths near 2^32, 2^53 and 2^64 are compared without overflow", () => {
  const { say, device } = chosen();
  const { size } = device.geometry;
  for (const [offset, length] of [
    [0xffff_fe00, 512],
    [size - 512, 0xffff_fe00],
    [0, 0xffff_fe00],
    [Number.MAX_SAFE_INTEGER - 511, 512],
    [2 ** 53, 0xffff_fe00],
  ] as const) {
    assert.equal(errorOf(say(command(COMMAND.TRIM, offset, length))), ERRNO.EINVAL);
    assert.equal(errorOf(say(command(COMMAND.WRITE_ZEROES, offset, length))), ERRNO.ENOSPC);
  }
  for (const offset of ["ffffffffffffffff", "fffffffffffffe00", "8000000000000000", "0020000000000001"]) {
    const bytes = read(0, 512);
    bytes.write(offset, 16, "hex");
    assert.equal(errorOf(say(bytes)), ERRNO.EINVAL, offset);
  }
  assert.deepEqual(device.log, []);
});

test("rule 17: each refusal has its error and keeps the connection", () => {
  const { say, transport, device } = chosen();
  const { size } = device.geometry;
  const data = new Uint8Array(512);
  const cases: [string, Buffer, number][] = [
    ["unknown command", command(99, 0, 0), ERRNO.EINVAL],
    ["unknown flag", read(0, 512, 1 << 15), ERRNO.EINVAL],
    ["DF on a write", write(0, data, DF), ERRNO.EINVAL],
    ["NO_HOLE on a trim", command(COMMAND.TRIM, 0, 512, NO_HOLE), ERRNO.EINVAL],
    ["REQ_ONE on a read", read(0, 512, REQ_ONE), ERRNO.EINVAL],
    ["FAST_ZERO on a flush", command(COMMAND.FLUSH, 0, 0, FAST_ZERO), ERRNO.EINVAL],
    ["a flush of a range", command(COMMAND.FLUSH, 0, 512), ERRNO.EINVAL],
    ["unaligned offset", read(1, 512), ERRNO.EINVAL],
    ["unaligned length", write(0, new Uint8Array(511)), ERRNO.EINVAL],
    ["read past the end", read(size, 512), ERRNO.EINVAL],
    ["write past the end", write(size - 512, new Uint8Array(1024)), ERRNO.ENOSPC],
    ["zero past the end", command(COMMAND.WRITE_ZEROES, size, 512), ERRNO.ENOSPC],
    ["trim past the end", command(COMMAND.TRIM, size, 512), ERRNO.EINVAL],
    ["cache past the end", command(COMMAND.CACHE, size, 512), ERRNO.EINVAL],
    ["status past the end", command(COMMAND.BLOCK_STATUS, size, 512), ERRNO.EINVAL],
    ["status of nothing", command(COMMAND.BLOCK_STATUS, 0, 0), ERRNO.EINVAL],
    ["PAYLOAD_LEN with compact headers", read(0, 512, PAYLOAD_LEN), ERRNO.EINVAL],
    ["PAYLOAD_LEN on a compact write", write(0, data, PAYLOAD_LEN), ERRNO.EINVAL],
  ];
  for (const [name, bytes, errno] of cases) assert.equal(errorOf(say(bytes)), errno, name);
  assert.equal(transport.state, "open");
  assert.deepEqual(device.log, []);
});

test("rule 17: writers are refused on a read-only device with EPERM, after their data", () => {
  const { say } = chosen({ device: new FakeDevice({ readOnly: true }) });
  assert.equal(errorOf(say(write(0, new Uint8Array(512)))), ERRNO.EPERM);
  assert.equal(errorOf(say(command(COMMAND.WRITE_ZEROES, 0, 512))), ERRNO.EPERM);
  assert.equal(errorOf(say(command(COMMAND.TRIM, 0, 512))), ERRNO.EPERM);
  assert.equal(errorOf(say(read(0, 512, FUA))), ERRNO.EINVAL);
  assert.equal(errorOf(say(read(0, 512))), 0);
});

test("rule 17: FUA is taken on every command, and length zero never disconnects", () => {
  const { say, transport } = chosen();
  assert.equal(errorOf(say(read(0, 512, FUA))), 0);
  assert.equal(errorOf(say(command(COMMAND.FLUSH, 0, 0, FUA))), 0);
  for (const type of [COMMAND.CACHE, COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.BLOCK_STATUS])
    assert.equal(errorOf(say(command(type, 0, 512, FUA))), 0);
  assert.equal(errorOf(say(write(0, new Uint8Array(512), FUA))), 0);
  assert.equal(errorOf(say(command(COMMAND.RESIZE, 1 << 20, 0, FUA))), 0);
  for (const type of [COMMAND.READ, COMMAND.WRITE, COMMAND.TRIM, COMMAND.WRITE_ZEROES, COMMAND.CACHE])
    assert.equal(errorOf(say(command(type, 0, 0))), 0);
  assert.equal(errorOf(say(command(COMMAND.BLOCK_STATUS, 0, 0))), ERRNO.EINVAL);
  assert.equal(transport.state, "open");
});

test("rule 17: what a device can't do, and did not advertise, is EINVAL", () => {
  const { say } = chosen({ device: new FakeDevice({ trim: false }) });
  assert.equal(errorOf(say(command(COMMAND.TRIM, 0, 512))), ERRNO.EINVAL);
});

test("rule 18: a bad request magic ends the connection", () => {
  const { say, transport } = chosen();
  say(new Uint8Array(28));
  assert.equal(transport.state, "destroyed");
});
