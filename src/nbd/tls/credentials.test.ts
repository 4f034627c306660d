import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { expireServer, makeCertificates, pickCertificates, revokeClient } from "../../../test/certificates.ts";
import { peer } from "../../../test/peers.ts";
import { loadCertificates } from "./certificates.ts";
import { loadClientTls } from "./client-tls.ts";
import { loadPsk } from "./psk.ts";
import { loadServerTls } from "./server-tls.ts";

const KEY = "00112233445566778899aabbccddeeff";
const HOST = { host: "localhost", port: 1 };
const scratch = mkdtempSync(join(tmpdir(), "skink-tls-"));
after(() => rmSync(scratch, { recursive: true }));
const withCertificates = { skip: peer("certtool") };

function file(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

/** Fails unless `act` throws an error of that code whose one line has all of `parts`, and no key. */
function refused(act: () => unknown, code: string, ...parts: readonly string[]): void {
  assert.throws(act, (error: Error & { code: string }) => {
    assert.equal(error.code, code);
    for (const part of parts) assert.ok(error.message.includes(part), `${error.message}\ndoesn't say\n${part}`);
    assert.doesNotMatch(error.message, /\n|33445566|-----BEGIN/);
    return true;
  });
}

test("a file of keys is read as psktool writes it", () => {
  const keys = loadPsk(file("good.psk", `alice:${KEY}\nbob:${KEY.toUpperCase()}ff\r\n\n`));
  assert.deepEqual([...keys.keys()], ["alice", "bob"]);
  assert.equal(keys.get("alice")?.toString("hex"), KEY);
  assert.equal(keys.get("bob")?.length, 17);
});

test("a bad file of keys is refused with its line, which isn't shown", () => {
  const cases: [string, string][] = [
    ["", "it has no keys"],
    [`alice:${KEY}\n${KEY}`, "line 2 has no user before a colon"],
    [`:${KEY}`, "line 1 has no user before a colon"],
    [`alice:${KEY}0`, "line 1 has no key of hexadecimal bytes"],
    [`alice:${KEY}xy`, "line 1 has no key of hexadecimal bytes"],
    ["alice:", "line 1 has no key of hexadecimal bytes"],
    [`alice:${KEY.repeat(40)}`, "line 1 has a key of more than 512 bytes"],
    [`alice:${KEY}\nalice:${KEY}`, "line 2 has the user of an earlier one"],
  ];
  for (const [text, reason] of cases) {
    const path = file("bad.psk", text);
    refused(() => loadPsk(path), "bad-credentials", path, reason, "was wanted");
  }
  refused(() => loadPsk(join(scratch, "none.psk")), "bad-credentials", "none.psk", "it is not there");
  refused(() => loadPsk(scratch), "bad-credentials", "EISDIR");
});

test("a client's key is that of its user, by default the user of the process", () => {
  const { username } = userInfo();
  const pskFile = file("users.psk", `alice:${KEY}\n${username}:${KEY}\n`);
  const identity = (name?: string): unknown => {
    const tls = name === undefined ? { pskFile } : { pskFile, username: name };
    return loadClientTls(tls, HOST).pskCallback?.("")?.identity;
  };
  assert.equal(identity("alice"), "alice");
  assert.equal(identity(), username);
  refused(() => identity("carol"), "bad-credentials", pskFile, "it has no key of carol");
});

test("TLS that makes no sense is refused with the reason", () => {
  refused(() => loadServerTls({ mode: "on" }), "bad-tls", "there is neither a folder of certificates nor a file");
  const psk = file("some.psk", `alice:${KEY}\n`);
  refused(() => loadServerTls({ mode: "on", psk, verifyPeer: true }), "bad-tls", "there is no folder of certificates");
  refused(() => loadClientTls({ type: "psk" }, HOST), "bad-tls", "no file of keys is named");
});

test("a folder of certificates is read, for a server and for a client", withCertificates, () => {
  const folder = makeCertificates(join(scratch, "good"));
  const { options } = loadServerTls({ mode: "required", certificates: folder });
  assert.equal(options.cert, readFileSync(join(folder, "server-cert.pem"), "utf8"));
  assert.equal(options.requestCert, undefined);
  assert.equal(loadServerTls({ mode: "on", certificates: folder, verifyPeer: true }).options.requestCert, true);
  assert.equal(
    loadClientTls({ certificates: folder }, HOST).cert,
    readFileSync(join(folder, "client-cert.pem"), "utf8"),
  );
  revokeClient(folder);
  assert.match(loadCertificates(folder, "server").crl ?? "", /X509 CRL/);
});

test(
  "a client needs no certificate of its own, and without a folder trusts what the system trusts",
  withCertificates,
  () => {
    const folder = makeCertificates(join(scratch, "whole"));
    const ca = pickCertificates(folder, join(scratch, "ca-alone"), ["ca-cert.pem"]);
    assert.equal(loadClientTls({ certificates: ca }, HOST).cert, undefined);
    assert.equal(loadClientTls({}, HOST).ca, undefined);
    const none = pickCertificates(folder, join(scratch, "none"), []);
    refused(() => loadClientTls({ certificates: none }, HOST), "bad-credentials", "ca-cert.pem", "it is not there");
    assert.equal(loadClientTls({ certificates: none, verifyPeer: false }, HOST).rejectUnauthorized, false);
  },
);

test(
  "a bad file in a folder of certificates is named, with what is wrong and what was wanted",
  withCertificates,
  () => {
    const good = makeCertificates(join(scratch, "source"));
    const other = makeCertificates(join(scratch, "other"));
    const serve = (certificates: string) => (): unknown =>
      loadServerTls({ mode: "on", certificates, verifyPeer: true });
    const all = ["ca-cert.pem", "server-cert.pem", "server-key.pem"];
    let count = 0;
    const without = (missing: string): string =>
      pickCertificates(
        good,
        join(scratch, `bad-${++count}`),
        all.filter((name) => name !== missing),
      );
    const garbled = (name: string, text: string): string => {
      const folder = pickCertificates(good, join(scratch, `bad-${++count}`), all);
      writeFileSync(join(folder, name), text);
      return folder;
    };

    for (const name of all) refused(serve(without(name)), "bad-credentials", `/${name} `, "it is not there");
    refused(serve(join(scratch, "nowhere")), "bad-credentials", "nowhere/server-cert.pem", "it is not there");
    refused(serve(garbled("server-cert.pem", "x")), "bad-credentials", "server-cert.pem", "it holds no certificate");
    refused(serve(garbled("ca-cert.pem", "")), "bad-credentials", "ca-cert.pem", "it holds no certificate");
    const cutKey = readFileSync(join(good, "server-key.pem"), "utf8").slice(0, -80);
    refused(serve(garbled("server-key.pem", cutKey)), "bad-credentials", "server-key.pem", "it holds no key");
    refused(serve(garbled("ca-crl.pem", "x")), "bad-credentials", "ca-crl.pem", "it holds no list of revoked");
    const otherKey = readFileSync(join(other, "server-key.pem"), "utf8");
    refused(serve(garbled("server-key.pem", otherKey)), "bad-credentials", "server-key.pem", "it does not belong to");
    expireServer(other);
    refused(serve(other), "bad-credentials", "server-cert.pem", "it was valid until 2020-02-01");
  },
);

test("a file that can't be read is an error, not a missing one", () => {
  const folder = join(scratch, "folder");
  mkdirSync(join(folder, "server-cert.pem"), { recursive: true });
  refused(() => loadServerTls({ mode: "on", certificates: folder }), "bad-credentials", "server-cert.pem", "EISDIR");
});
