import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { badCredentials, readCredential } from "./files.ts";

/** A certificate and its key, PEM as in the files. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** What a folder of certificates holds, PEM as in the files. */
export interface Certificates {
  /** Certificates of those whose signature counts. */
  readonly ca: string | undefined;
  /** What they have revoked. */
  readonly crl: string | undefined;
  readonly identity: Identity | undefined;
}

/** Which end of a connection the identity is for: it names the files. */
export type Side = "server" | "client";

/**
 * Reads a folder of certificates, with the names that nbdkit, QEMU and libnbd give them:
 *
 *   ca-cert.pem          who signs the certificates of the other side
 *   ca-crl.pem           what they have revoked
 *   server-cert.pem      a server's certificate, with those between it and the CA behind it
 *   server-key.pem       its key
 *   client-cert.pem, client-key.pem      likewise
 *
 * What isn't there is left out. Throws `bad-credentials` where a file can't be read, is no PEM, where certificate and key
 * don't belong together, or it is not the certificate's time.
 */
export function loadCertificates(folder: string, side: Side): Certificates {
  const ca = readCredential(join(folder, "ca-cert.pem"));
  const crl = readCredential(join(folder, "ca-crl.pem"));
  if (ca !== undefined) parseCertificate(join(folder, "ca-cert.pem"), ca);
  if (crl !== undefined) checkCrl(join(folder, "ca-crl.pem"), crl);
  return { ca, crl, identity: loadIdentity(folder, side) };
}

/** The error for a file that a folder of certificates should have. */
export function missing(folder: string, file: string, what: string): Error {
  return badCredentials(join(folder, file), "it is not there", what);
}

function loadIdentity(folder: string, side: Side): Identity | undefined {
  const files = { cert: join(folder, `${side}-cert.pem`), key: join(folder, `${side}-key.pem`) };
  const [cert, key] = [readCredential(files.cert), readCredential(files.key)];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined) throw missing(folder, `${side}-cert.pem`, `the certificate of ${side}-key.pem`);
  if (key === undefined) throw missing(folder, `${side}-key.pem`, `the key of ${side}-cert.pem`);
  const certificate = parseCertificate(files.cert, cert);
  const { validFromDate, validToDate } = certificate;
  const now = Date.now();
  if (now > validToDate.getTime())
    throw badCredentials(files.cert, `it was valid until ${iso(validToDate)}`, "one of today");
  if (now < validFromDate.getTime())
    throw badCredentials(files.cert, `it is valid from ${iso(validFromDate)}`, "one of today");
  if (!certificate.checkPrivateKey(parseKey(files.key, key))) {
    throw badCredentials(files.key, `it does not belong to ${side}-cert.pem`, "the key of that certificate");
  }
  return { cert, key };
}

function parseCertificate(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw badCredentials(file, "it holds no certificate", "one in PEM");
  }
}

function parseKey(file: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    // Node says so of a key that asks for its passphrase.
    const isEncrypted = (error as NodeJS.ErrnoException).code === "ERR_MISSING_PASSPHRASE";
    throw badCredentials(
      file,
      isEncrypted ? "it has a passphrase" : "it holds no key",
      "a private key in PEM, without one",
    );
  }
}

function checkCrl(file: string, pem: string): void {
  try {
    createSecureContext({ crl: pem });
  } catch {
    throw badCredentials(file, "it holds no list of revoked certificates", "one in PEM");
  }
}

function iso(date: Date): string {
  return date.toISOString();
}
