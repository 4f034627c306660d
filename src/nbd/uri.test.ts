import assert from "node:assert/strict";
import { test } from "node:test";
import { formatUri, parseUri } from "./uri.ts";

test("a URI names a socket or a host, and an export", () => {
  assert.deepEqual(parseUri("nbd+unix:///disk?socket=/run/x.sock"), { address: { path: "/run/x.sock" }, name: "disk" });
  assert.deepEqual(parseUri("nbd://localhost"), { address: { host: "localhost", port: 10809 }, name: "" });
  assert.deepEqual(parseUri("nbd://[::1]:9/a%20b"), { address: { host: "::1", port: 9 }, name: "a b" });
});

test("what is formatted parses to the same", () => {
  for (const target of [
    { address: { path: "/run/a b&c/x.sock" }, name: "disk/1 é" },
    { address: { host: "::1", port: 10809 }, name: "" },
  ])
    assert.deepEqual(parseUri(formatUri(target)), target);
});

test("what is no NBD URI is refused with the reason", () => {
  for (const text of ["disk", "http://x/", "nbd+unix:///x", "nbd:///x", "nbd://h/%ff"])
    assert.throws(() => parseUri(text), { code: "bad-uri" }, text);
});
