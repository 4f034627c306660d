import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseHostMessage } from "./control.ts";

const OPENED = {
  type: "opened",
  info: {
    geometry: { size: 4096, blockSize: 512, readOnly: false, fua: false, trim: true, zero: false, extents: true },
    identity: "x",
    discards: false,
  },
  kept: [{ name: "a", fd: 20, bytes: 100 }],
  code: { fd: 21, bytes: 5 },
};

const OTHERS = [
  { type: "ready" },
  { type: "stale" },
  { type: "openFailed", message: "m" },
  ...["exception", "rejection", "close"].map((cause) => ({ type: "dying", cause, message: "m" })),
];

test("messages are read as they were written", () => {
  assert.deepEqual(parseHostMessage(JSON.stringify(OPENED)), OPENED);
  for (const message of OTHERS) assert.deepEqual(parseHostMessage(JSON.stringify(message)), message);
});

test("a message with any field missing or of another type is none", () => {
  const paths = [
    ["type"],
    ["info"],
    ["kept"],
    ...["geometry", "discards"].map((field) => ["info", field]),
    ...Object.keys(OPENED.info.geometry).map((field) => ["info", "geometry", field]),
    ...["name", "fd", "bytes"].map((field) => ["kept", "0", field]),
    ["code", "fd"],
    ["code", "bytes"],
  ];
  for (const path of paths) {
    for (const rubbish of [undefined, null, -1, 1.5, {}, [[]]]) {
      const message = structuredClone(OPENED) as unknown as Record<string, unknown>;
      let parent = message;
      for (const step of path.slice(0, -1)) parent = parent[step] as Record<string, unknown>;
      parent[path.at(-1) as string] = rubbish;
      assert.equal(parseHostMessage(JSON.stringify(message)), undefined, `${path.join(".")} = ${rubbish}`);
    }
  }
});

test("last words are of a known kind", () => {
  for (const cause of [undefined, "boredom", 7]) {
    assert.equal(parseHostMessage(JSON.stringify({ type: "dying", cause, message: "m" })), undefined);
  }
});

test("no line whatever makes the parser throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      parseHostMessage(line);
    }),
  );
});
