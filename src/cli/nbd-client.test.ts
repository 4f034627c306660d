import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseUri } from "../nbd/uri.ts";
import { type Attachment, attachArguments } from "./nbd-client.ts";

const DISK: Attachment = {
  target: parseUri("nbd+unix:///disk?socket=/run/disk.sock"),
  minimumBlockSize: 512,
  canMultiConn: true,
  connections: 1,
};

function argumentsFor(changes: Partial<Attachment>): string[] {
  return attachArguments("attach disk to /dev/nbd0", { ...DISK, ...changes }, "/dev/nbd0");
}

function argumentsOf(uri: string): string[] {
  return argumentsFor({ target: parseUri(uri) });
}

function optionOf(args: readonly string[], option: string): string | undefined {
  const index = args.indexOf(option);
  return index < 0 ? undefined : args[index + 1];
}

test("a unix socket comes first, then the device, then the options: as docs/attach.md shows", () => {
  const wanted = "-unix /run/disk.sock /dev/nbd0 -name disk -block-size 512 -connections 1 -timeout 86400 -persist";
  assert.equal(argumentsFor({}).join(" "), wanted);
  const page = readFileSync(new URL("../../docs/attach.md", import.meta.url), "utf8");
  assert.ok(page.includes(`\n    nbd-client ${wanted}\n`));
});

test("a host comes with its port, also the default one and in IPv6", () => {
  assert.deepEqual(argumentsOf("nbd://localhost/disk").slice(0, 3), ["localhost", "10809", "/dev/nbd0"]);
  assert.deepEqual(argumentsOf("nbd://[::1]:9/disk").slice(0, 3), ["::1", "9", "/dev/nbd0"]);
});

test("the export is named as it is, the default one by an empty name", () => {
  assert.equal(optionOf(argumentsOf("nbd://h/a%20b=-c"), "-name"), "a b=-c");
  assert.equal(optionOf(argumentsOf("nbd://h"), "-name"), "");
});

for (const [minimumBlockSize, wanted] of [
  [1, "512"],
  [512, "512"],
  [1024, "1024"],
  [2048, "2048"],
  [4096, "4096"],
] as const) {
  test(`for blocks of ${minimumBlockSize} bytes the kernel's are ${wanted}`, () => {
    assert.equal(optionOf(argumentsFor({ minimumBlockSize }), "-block-size"), wanted);
  });
}

test("blocks that are larger than the kernel's are refused", () => {
  assert.throws(() => argumentsFor({ minimumBlockSize: 8192 }), {
    code: "cannot-attach",
    message: "Cannot attach disk to /dev/nbd0: its blocks have 8192 bytes, at most 4096 was wanted",
  });
});

test("several connections are made only where the server allows them", () => {
  assert.equal(optionOf(argumentsFor({ connections: 4 }), "-connections"), "4");
  assert.throws(() => argumentsFor({ connections: 4, canMultiConn: false }), { code: "cannot-attach" });
  assert.equal(optionOf(argumentsFor({ canMultiConn: false }), "-connections"), "1");
});

test("sockets that nbd-client can't name are refused", () => {
  for (const path of ["/run/a%3Db.sock", "%00abstract"]) {
    assert.throws(() => argumentsOf(`nbd+unix:///disk?socket=${path}`), { code: "cannot-attach" }, path);
  }
});

test("over TLS the server's certificate is checked: against the folder's authority, and the host's name", () => {
  const folder = "tls-certificates=/etc/pki";
  const tcp = argumentsOf(`nbds://example.org/disk?${folder}`);
  assert.equal(optionOf(tcp, "-cacertfile"), "/etc/pki/ca-cert.pem");
  assert.equal(optionOf(tcp, "-tlshostname"), "example.org");
  const unix = argumentsOf(`nbds+unix:///disk?socket=/run/x&${folder}`);
  assert.equal(optionOf(unix, "-tlshostname"), "localhost");
  const named = argumentsOf(`nbds+unix:///disk?socket=/run/x&${folder}&tls-hostname=other`);
  assert.equal(optionOf(named, "-tlshostname"), "other");
});

test("over TLS the client shows a certificate where the folder has one", () => {
  const folder = mkdtempSync(join(tmpdir(), "skink-pki-"));
  try {
    const uri = `nbds://h/disk?tls-certificates=${folder}`;
    assert.equal(optionOf(argumentsOf(uri), "-certfile"), undefined);
    writeFileSync(join(folder, "client-cert.pem"), "");
    assert.equal(optionOf(argumentsOf(uri), "-certfile"), join(folder, "client-cert.pem"));
    assert.equal(optionOf(argumentsOf(uri), "-keyfile"), join(folder, "client-key.pem"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("TLS without certificates is refused: nbd-client would take any server", () => {
  for (const uri of ["nbds://h/disk", "nbds://h/disk?tls-psk-file=/etc/keys"]) {
    assert.throws(() => argumentsOf(uri), { code: "cannot-attach" }, uri);
  }
});
