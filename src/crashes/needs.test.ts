import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fillIn, formNeeded } from "./needs.ts";

test("only what a command mentions is set up", () => {
  for (const [command, form] of [
    ["true", "uri"],
    ["nbdcopy {uri} -", "uri"],
    ["e2fsck -fn {device}", "device"],
    ['e2fsck -fn "$SKINK_DEVICE"', "device"],
    ["fsck {loop}; cat {device}", "loop"],
    ["ls {mount}", "mount"],
    ["ls $SKINK_MOUNT/x", "mount"],
    ["ls $SKINK_MOUNTS {mounts}", "uri"],
  ] as const) {
    assert.equal(formNeeded(command), form, command);
  }
});

test("a placeholder is one word to the shell, whatever it stands for", () => {
  for (const uri of [
    "a b",
    "it's",
    "$HOME",
    "`id`",
    "a;b&c",
    "nbd+unix:///x?socket=/tmp/y",
    '"',
    "\\",
    "*",
    "$&$1",
    "-n",
  ]) {
    assert.equal(execFileSync("sh", ["-c", fillIn("printf '<%s>' {uri}", { uri })], { encoding: "utf8" }), `<${uri}>`);
  }
});

test("what isn't set up stays as it is", () => {
  assert.equal(fillIn("{device} {other} {uri}", { uri: "x" }), "{device} {other} x");
});
