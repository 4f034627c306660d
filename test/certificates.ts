import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What a certificate is for, in certtool's words. */
const PURPOSES = {
  ca: "ca\ncert_signing_key\ncrl_signing_key",
  server: "tls_www_server\nsigning_key\ndns_name = localhost\nip_address = 127.0.0.1",
  client: "tls_www_client\nsigning_key",
};

/**
 * Makes a folder of certificates for tests, of a server at localhost and a client, both signed by a CA of their own, with the
 * file names that servers and clients look for. Needs certtool.
 */
export function makeCertificates(folder: string): string {
  mkdirSync(folder);
  makeKey(folder, "ca");
  certtool(["--generate-self-signed"], folder, "ca", "ca-cert.pem");
  for (const name of ["server", "client"] as const) {
    makeKey(folder, name);
    sign(folder, name, "expiration_days = 2");
  }
  return folder;
}

/** A folder with some files of another one. */
export function pickCertificates(from: string, folder: string, files: readonly string[]): string {
  mkdirSync(folder);
  for (const file of files) copyFileSync(join(from, file), join(folder, file));
  return folder;
}

/** Replaces the server's certificate by one that has run out. */
export function expireServer(folder: string): void {
  sign(folder, "server", 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2020-02-01 00:00:00"');
}

/** Has the CA revoke the client's certificate. */
export function revokeClient(folder: string): void {
  const client = ["--load-certificate", join(folder, "client-cert.pem")];
  certtool(["--generate-crl", ...signer(folder), ...client], folder, "crl", "ca-crl.pem");
}

function makeKey(folder: string, name: string): void {
  run([
    "--generate-privkey",
    "--key-type",
    "ecdsa",
    "--curve",
    "secp256r1",
    "--outfile",
    join(folder, `${name}-key.pem`),
  ]);
}

function sign(folder: string, name: "server" | "client", times: string): void {
  certtool(["--generate-certificate", ...signer(folder)], folder, name, `${name}-cert.pem`, times);
}

function signer(folder: string): string[] {
  return ["--load-ca-certificate", join(folder, "ca-cert.pem"), "--load-ca-privkey", join(folder, "ca-key.pem")];
}

function certtool(
  args: readonly string[],
  folder: string,
  name: keyof typeof PURPOSES | "crl",
  out: string,
  times = "expiration_days = 2",
): void {
  const template = join(folder, `${name}.template`);
  const text =
    name === "crl" ? "crl_next_update = 2\ncrl_number = 1" : `cn = test ${name}\n${PURPOSES[name]}\n${times}`;
  writeFileSync(template, `${text}\n`);
  const key = name === "crl" ? [] : ["--load-privkey", join(folder, `${name}-key.pem`)];
  run([...args, ...key, "--template", template, "--outfile", join(folder, out)]);
}

function run(args: readonly string[]): void {
  const { status, stderr, error } = spawnSync("certtool", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`certtool ${args.join(" ")} ended with ${status}: ${error?.message ?? stderr}`);
}
