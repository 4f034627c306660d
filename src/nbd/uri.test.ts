import assert from "node:assert/strict";
import { test } from "node:test";
import { describeAddress, formatUri, parseUri, type Target } from "./uri.ts";

test("a URI names a socket or a host, and an export", () => {
  const targets: [string, Target][] = [
    ["nbd+unix:///disk?socket=/run/x.sock", { address: { path: "/run/x.sock" }, name: "disk" }],
    ["nbd+unix:/disk?socket=x.sock", { address: { path: "x.sock" }, name: "disk" }],
    ["nbd+unix:?socket=x.sock", { address: { path: "x.sock" }, name: "" }],
    ["nbd+unix:///?socket=%00/abstract", { address: { path: "\0/abstract" }, name: "" }],
    ["nbd+unix:///?socket=/a+b%26c", { address: { path: "/a+b&c" }, name: "" }],
    ["nbd://localhost", { address: { host: "localhost", port: 10809 }, name: "" }],
    ["NBD://localhost:/", { address: { host: "localhost", port: 10809 }, name: "" }],
    ["nbd://localhost?", { address: { host: "localhost", port: 10809 }, name: "" }],
    ["nbd://[::1]:9/a%20b", { address: { host: "::1", port: 9 }, name: "a b" }],
    ["nbd://h//disk", { address: { host: "h", port: 10809 }, name: "/disk" }],
    // An export's name is no path: nothing in it is resolved.
    ["nbd://h/../x@y:z", { address: { host: "h", port: 10809 }, name: "../x@y:z" }],
  ];
  for (const [text, target] of targets) assert.deepEqual(parseUri(text), target, text);
});

test("a URI with TLS says how", () => {
  assert.deepEqual(parseUri("nbds://h/").tls, {});
  assert.deepEqual(parseUri("nbds://alice@h/?tls-psk-file=/k").tls, { username: "alice", pskFile: "/k" });
  assert.deepEqual(parseUri("nbds+unix://a%40b@/x?socket=s").tls, { username: "a@b" });
  const all =
    "tls-type=x509&tls-certificates=/pki&tls-hostname=disk.example&tls-verify-peer=0&tls-username=bob&socket=/s";
  assert.deepEqual(parseUri(`nbds+unix:///disk?${all}`), {
    address: { path: "/s" },
    name: "disk",
    tls: { type: "x509", certificates: "/pki", hostname: "disk.example", verifyPeer: false, username: "bob" },
  });
});

test("what is formatted parses to the same", () => {
  const targets: Target[] = [
    { address: { path: "/run/a b&c+d#e?/x.sock" }, name: "disk/1 é" },
    { address: { path: "\0abstract" }, name: "" },
    { address: { host: "::1", port: 10809 }, name: "" },
    { address: { host: "h", port: 1 }, name: "x", tls: {} },
    {
      address: { path: "/s" },
      name: "?",
      tls: { type: "psk", pskFile: "/a=b&c", certificates: "c", hostname: "h", verifyPeer: true, username: "ü:@" },
      extra: { connections: "4", settle: "" },
    },
  ];
  for (const target of targets) {
    assert.deepEqual(parseUri(formatUri(target), ["connections", "settle"]), target, formatUri(target));
  }
});

test("parameters that somebody else asked for are handed on", () => {
  const { extra } = parseUri("nbd://h/x?connections=4&settle=1%2B1", ["connections", "settle", "exclusive"]);
  assert.deepEqual(extra, { connections: "4", settle: "1+1" });
});

test("what is no NBD URI is refused with the reason, in one line", () => {
  const cases: [string, string][] = [
    ["disk", "it is not a URI"],
    ["", "it is not a URI"],
    ["http://x/", "its scheme is http"],
    ["nbd+vsock://2:10809/", "its scheme is nbd+vsock"],
    ["nbd+ssh://h/", "its scheme is nbd+ssh"],
    ["nbd+unix:///x", "it names no socket"],
    ["nbd+unix://x?socket=/s", "it names a host beside a socket"],
    ["nbd:///x", "it names no host"],
    ["nbd://h/?socket=/s", "it names a socket beside a host"],
    ["nbd://h:0/", "its port is 0"],
    ["nbd://h:65536/", "its port is 65536"],
    ["nbd://h:1e3/", "its port is 1e3"],
    ["nbd://h/%ff", '"%ff" in it is not UTF-8'],
    ["nbd://h/a%00b", "its name has a zero byte"],
    ["nbd+unix:///?socket=/a%00b", "its socket's path has a zero byte"],
    ["nbd://h/x#y", "it has a fragment"],
    ["nbd://h/?sokcet=/s", 'nothing is known of its parameter "sokcet"'],
    ["nbd://h/?connections=2", 'nothing is known of its parameter "connections"'],
    ["nbd+unix:///?socket=/a&socket=/b", "it has socket twice"],
    ["nbds://h/?tls-type=anon", "its tls-type is anon"],
    ["nbds://h/?tls-type=ssl", "its tls-type is ssl"],
    ["nbds://h/?tls-verify-peer=yes", "its tls-verify-peer is yes"],
    ["nbds://alice:secret@h/", "it has a password"],
    ["a\nb:", "it is not a URI"],
    ["nbds://alice@h/?tls-username=bob", "it names two users"],
    ["nbd://h/?tls-certificates=/pki", "nbd is without TLS"],
    ["nbd://alice@h/", "nbd is without TLS"],
  ];
  for (const [text, reason] of cases) {
    assert.throws(
      () => parseUri(text),
      ({ code, message }: Error & { code: string }) =>
        code === "bad-uri" && message.includes(`: ${reason}`) && !/\n|secret/.test(message),
      `${text} should be refused since ${reason}`,
    );
  }
});

test("an abstract socket can be read in a message", () => {
  assert.equal(describeAddress({ path: "\0skink" }), "socket @skink");
});
