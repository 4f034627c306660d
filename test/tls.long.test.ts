/** TLS with the clients that people have: GnuTLS in libnbd and QEMU. */
import { strict as assert } from "node:assert";
import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { makeCertificates, pickCertificates } from "./certificates.ts";
import { Killer } from "./killer.ts";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene, type Scene } from "./scene.ts";
import { type Front, serve } from "./serve.ts";

const SIZE = 16 << 20;
const WANTED_KILLS = 5;
const KILL_AFTER_LIVE_MS = 100;
/** Without TLS 1.3, and whatever key exchange a key may come with. */
const OLD_PSK = "NORMAL:-VERS-TLS1.3:+ECDHE-PSK:+DHE-PSK:+PSK";

/** Where a front listens for the tests: both ways that clients come. */
const WAYS = [
  { way: "a unix socket", listener: undefined },
  { way: "TCP", listener: ["--port", "0"] },
] as const;

/** A front with TLS, serving a file of SIZE bytes as "disk". */
function serveSecurely(scene: Scene, tls: readonly string[], listener?: readonly string[]): Promise<Front> {
  const args = ["--name", "disk", ...tls, ...(listener ?? [])];
  return serve(scene, `file:${scene.path("disk.img")}?size=${SIZE}`, { args, ownListener: listener !== undefined });
}

/** The URI that the front says, for a client that brings credentials and knows the server by a name of its certificate. */
function withCredentials(uri: string, user: string, parameters: string): string {
  assert.match(uri, /^nbds(\+unix)?:\/\//);
  const named = uri.replace("//127.0.0.1:", "//localhost:").replace("://", `://${user}`);
  return `${named}${named.includes("?") ? "&" : "?"}${parameters}`;
}

async function makeKeys(scene: Scene): Promise<string> {
  for (const user of ["alice", "qemu"]) await scene.need("psktool", ["-u", user, "-p", scene.path("keys.psk")]);
  return scene.path("keys.psk");
}

/** Copies an image in and out; it must be the same. */
async function copyThereAndBack(scene: Scene, uri: string): Promise<void> {
  const image = randomFillSync(Buffer.alloc(SIZE));
  const from = scene.write("in.img", image);
  await scene.need("nbdcopy", ["--flush", from, uri]);
  await scene.need("nbdcopy", [uri, scene.path("out.img")]);
  assert.ok(image.equals(readFileSync(scene.path("out.img"))), "the copy differs from the image");
}

for (const { way, listener } of WAYS) {
  test(`nbdinfo and nbdcopy come by certificate over ${way}`, { skip: peer("nbdinfo", "nbdcopy", "certtool") }, () =>
    inScene(async (scene) => {
      const pki = makeCertificates(scene.path("pki"));
      const front = await serveSecurely(scene, ["--tls-certificates", pki], listener);
      const uri = withCredentials(front.uri, "", `tls-certificates=${pki}`);
      assert.match(await scene.need("nbdinfo", [uri]), /protocol: newstyle-fixed with TLS/);
      await copyThereAndBack(scene, uri);
      await front.stop();
    }),
  );

  test(`nbdinfo and nbdcopy come by pre-shared key over ${way}`, { skip: peer("nbdinfo", "nbdcopy", "psktool") }, () =>
    inScene(async (scene) => {
      const keys = await makeKeys(scene);
      const front = await serveSecurely(scene, ["--tls-psk", keys], listener);
      const uri = withCredentials(front.uri, "alice@", `tls-psk-file=${keys}`);
      assert.match(await scene.need("nbdinfo", [uri]), /protocol: newstyle-fixed with TLS/);
      await copyThereAndBack(scene, uri);

      const mallory = uri.replace("alice@", "mallory@");
      assert.notEqual((await scene.run("nbdinfo", ["--size", mallory])).code, 0, "an unknown user got in");
      await front.stop();
    }),
  );
}

test(
  "qemu-img comes by certificate and by key, with TLS 1.3 and 1.2",
  { skip: peer("qemu-img", "certtool", "psktool") },
  () =>
    inScene(async (scene) => {
      const pki = makeCertificates(scene.path("pki"));
      const keys = await makeKeys(scene);
      const front = await serveSecurely(
        scene,
        ["--tls-certificates", pki, "--tls-psk", keys, "--tls-verify-peer"],
        ["--port", "0"],
      );
      const { port } = new URL(front.uri);
      const image = scene.write("in.img", randomFillSync(Buffer.alloc(SIZE)));
      const disk = `driver=nbd,host=localhost,port=${port},export=disk,tls-creds=tls`;
      for (const credentials of [
        `tls-creds-x509,id=tls,dir=${pki},endpoint=client`,
        `tls-creds-x509,id=tls,dir=${pki},endpoint=client,priority=NORMAL:-VERS-TLS1.3`,
        `tls-creds-psk,id=tls,dir=${scene.folder},endpoint=client,username=qemu`,
        `tls-creds-psk,id=tls,dir=${scene.folder},endpoint=client,username=qemu,priority=${OLD_PSK}`,
      ]) {
        const object = ["--object", credentials];
        const info = await scene.need("qemu-img", ["info", ...object, "--output=json", "--image-opts", disk]);
        assert.equal((JSON.parse(info) as { "virtual-size": number })["virtual-size"], SIZE);
        await scene.need("qemu-img", ["convert", ...object, "-n", "-f", "raw", "--target-image-opts", image, disk]);
        await scene.need("qemu-img", ["compare", ...object, "--image-opts", `driver=file,filename=${image}`, disk]);
      }
      await front.stop();
    }),
);

test(
  "clients without a certificate get in unless certificates are verified",
  { skip: peer("nbdinfo", "certtool") },
  () =>
    inScene(async (scene) => {
      const pki = makeCertificates(scene.path("pki"));
      const known = `tls-certificates=${pki}`;
      const unknown = `tls-certificates=${pickCertificates(pki, scene.path("ca"), ["ca-cert.pem"])}`;
      const open = await serveSecurely(scene, ["--tls-certificates", pki]);
      await scene.need("nbdinfo", ["--size", withCredentials(open.uri, "", unknown)]);
      await open.stop();

      const closed = await serveSecurely(scene, ["--tls-certificates", pki, "--tls-verify-peer"]);
      await scene.need("nbdinfo", ["--size", withCredentials(closed.uri, "", known)]);
      assert.notEqual((await scene.run("nbdinfo", ["--size", withCredentials(closed.uri, "", unknown)])).code, 0);
      assert.match((await closed.stop()).stderr, /its TLS handshake failed/);
    }),
);

test(
  "where TLS is required plain clients are refused, where it is on they are served",
  { skip: peer("nbdinfo", "psktool") },
  () =>
    inScene(async (scene) => {
      const keys = await makeKeys(scene);
      const required = await serveSecurely(scene, ["--tls-psk", keys]);
      const secure = withCredentials(required.uri, "alice@", `tls-psk-file=${keys}`);
      const plain = required.uri.replace("nbds", "nbd");
      assert.equal((await required.device()).uri, required.uri);
      assert.notEqual((await scene.run("nbdinfo", ["--size", plain])).code, 0, "a plain client got in");
      assert.notEqual((await scene.run("nbdinfo", ["--list", plain])).code, 0, "a plain client got a list");
      await scene.need("nbdinfo", ["--size", secure]);
      await required.stop();

      const on = await serveSecurely(scene, ["--tls", "on", "--tls-psk", keys]);
      assert.equal(on.uri, plain);
      await scene.need("nbdinfo", ["--size", plain]);
      await scene.need("nbdinfo", ["--size", secure]);
      await on.stop();

      const off = await serveSecurely(scene, ["--tls", "off", "--tls-psk", keys]);
      assert.notEqual((await scene.run("nbdinfo", ["--size", secure])).code, 0);
      await off.stop();
    }),
);

test("nbd-client lists by certificate", { skip: peer("nbd-client", "certtool") }, () =>
  inScene(async (scene) => {
    const pki = makeCertificates(scene.path("pki"));
    const front = await serveSecurely(scene, ["--tls-certificates", pki, "--tls-verify-peer"], ["--port", "0"]);
    const server = [
      "localhost",
      new URL(front.uri).port,
      "-tlshostname",
      "localhost",
      "-cacertfile",
      `${pki}/ca-cert.pem`,
    ];
    const client = ["-certfile", `${pki}/client-cert.pem`, "-keyfile", `${pki}/client-key.pem`];
    assert.match(await scene.need("nbd-client", ["-l", ...server, ...client]), /^disk$/m);
    await front.stop();
  }),
);

test(
  "a configuration file says where certificates and keys are, from its own folder",
  { skip: peer("nbdinfo", "psktool") },
  () =>
    inScene(async (scene) => {
      const keys = await makeKeys(scene);
      const config = "devices:\n  - { name: disk, spec: memory:1M }\nlisten: { socket: nbd }\ntls: { psk: keys.psk }\n";
      const front = await serve(scene, scene.write("skink.yaml", config), { ownListener: true });
      await scene.need("nbdinfo", ["--size", withCredentials(front.uri, "alice@", `tls-psk-file=${keys}`)]);
      await front.stop();
    }),
);

test("nbdcopy over TLS copies unchanged while drivers are killed", { skip: peer("nbdcopy", "psktool") }, () =>
  inScene(async (scene) => {
    const keys = await makeKeys(scene);
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=${SIZE}`, { args: ["--tls-psk", keys] });
    const killer = new Killer(front, KILL_AFTER_LIVE_MS);
    do await copyThereAndBack(scene, withCredentials(front.uri, "alice@", `tls-psk-file=${keys}`));
    while (killer.kills < WANTED_KILLS);
    await killer.stop();
    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }),
);

test("credentials that are no good are one line, before anything runs", () =>
  inScene(async (scene) => {
    const cases: [string[], number, RegExp][] = [
      [
        ["--tls", "on"],
        2,
        /^Cannot serve with TLS: there is neither a folder of certificates nor a file of pre-shared keys/,
      ],
      [["--tls-psk", "none.psk"], 1, /^Cannot use \S*\/none\.psk for TLS: it is not there, /],
      [["--tls-certificates", "none"], 1, /^Cannot use \S*\/none\/server-cert\.pem for TLS: it is not there, /],
      [["--tls-psk", scene.write("bad.psk", "alice:secret\n"), "--tls-verify-peer"], 2, /^Cannot serve with TLS: /],
      [
        ["--tls-psk", scene.write("bad.psk", "alice:secret\n")],
        1,
        /bad\.psk for TLS: line 1 has no key of hexadecimal/,
      ],
    ];
    for (const [args, code, said] of cases) {
      const ended = await scene.skink("serve", "memory:1M", "--control", scene.path("control"), ...args);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, said);
      assert.doesNotMatch(ended.stderr, /secret|\n./);
      assert.equal(ended.stdout, "");
    }
  }));
