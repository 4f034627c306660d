import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO } from "../../block/errors.ts";
import { COMMAND, COMMAND_FLAG } from "../wire/protocol.ts";
import { FakeDevice } from "./testing.ts";
import { chosen, command, errorOf, extended, withPayload } from "./testing-client.ts";

const { FUA, NO_HOLE } = COMMAND_FLAG;

/** A client of a device that then grows to twice its size. */
function grown(geometry: Partial<FakeDevice["geometry"]> = {}, replies: "structured" | "extended" = "structured") {
  const device = new FakeDevice(geometry);
  const { size } = device.geometry;
  const client = chosen({ device, replies });
  device.geometry = { ...device.geometry, size: 2 * size };
  return { ...client, size };
}

const resize = (size: number, flags = 0, length = 0) => command(COMMAND.RESIZE, size, length, flags);

test("a device that has grown shows its new end to a client that asks for it by RESIZE", () => {
  const { say, size, device } = grown();
  device.extents = [{ length: 512, hole: false, zero: false }];
  const past = [
    command(COMMAND.TRIM, size, 512),
    command(COMMAND.WRITE_ZEROES, size, 512),
    command(COMMAND.BLOCK_STATUS, size, 512),
  ];
  assert.deepEqual(
    past.map((request) => errorOf(say(request))),
    [ERRNO.EINVAL, ERRNO.ENOSPC, ERRNO.EINVAL],
  );
  device.held = true;
  assert.equal(errorOf(say(resize(size + 4096))), 0);
  for (const request of past) assert.deepEqual(say(request).replies, []);
  assert.equal(errorOf(say(command(COMMAND.TRIM, size + 4096, 512))), ERRNO.EINVAL);
  assert.equal(errorOf(say(resize(2 * size, FUA))), 0);
  assert.deepEqual(say(command(COMMAND.TRIM, size + 4096, 512)).replies, []);
});

test("RESIZE to the size that a client has succeeds, whatever the device has", () => {
  const { say, size } = grown();
  assert.equal(errorOf(say(resize(size))), 0);
  assert.equal(errorOf(say(command(COMMAND.TRIM, size, 512))), ERRNO.EINVAL);
});

test("each RESIZE that can't be is refused with its error, and changes nothing", () => {
  const { say, size, transport } = grown();
  const cases: [string, Buffer, number][] = [
    ["more than the device has", resize(2 * size + 512), ERRNO.ENOSPC],
    ["less than the client has", resize(size - 512), ERRNO.EPERM],
    ["to nothing", resize(0), ERRNO.EPERM],
    ["not whole blocks", resize(size + 1), ERRNO.EINVAL],
    ["a length", resize(size + 512, 0, 512), ERRNO.EINVAL],
    ["a flag of another command", resize(size + 512, NO_HOLE), ERRNO.EINVAL],
    ["near 2^64", resize(size).fill(0xff, 16, 22), ERRNO.ENOSPC],
  ];
  for (const [name, request, errno] of cases) assert.equal(errorOf(say(request)), errno, name);
  assert.equal(errorOf(say(command(COMMAND.TRIM, size, 512))), ERRNO.EINVAL);
  assert.equal(transport.state, "open");
});

test("a read-only device refuses RESIZE with EPERM", () => {
  const { say, size } = grown({ readOnly: true });
  assert.equal(errorOf(say(resize(size))), ERRNO.EPERM);
});

test("a RESIZE with a payload is refused after it, with extended headers", () => {
  const { say, size } = grown({}, "extended");
  const replies = say(
    Buffer.concat([
      withPayload(COMMAND.RESIZE, size + 512, new Uint8Array(100)),
      extended(COMMAND.RESIZE, size + 512, 0),
    ]),
  ).replies;
  assert.deepEqual(
    replies.map(({ error }) => error),
    [ERRNO.EINVAL, 0],
  );
  assert.equal(replies[1]?.offset, BigInt(size + 512));
});
