import { isIP } from "node:net";
import { userInfo } from "node:os";
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Address, TlsParameters } from "../uri.ts";
import { loadCertificates, missing } from "./certificates.ts";
import { MIN_TLS_VERSION, PSK_CIPHERS, X509_CIPHERS } from "./ciphers.ts";
import { badCredentials, badTls } from "./files.ts";
import { loadPsk } from "./psk.ts";

/**
 * What a client needs for TLS with `address`: options for `tls.connect`, to which the socket is to be added. Reads and checks
 * the files that `parameters` name. With certificates the server's has to be signed by ca-cert.pem
 * of their folder, or where there is none by a CA that the system trusts, and to be for the host; over a unix socket there is
 * no host but the one in the parameters. With pre-shared keys it is the key that proves the server.
 * Throws `bad-tls` where the parameters make no sense, `bad-credentials` where a file is no good.
 */
export function loadClientTls(parameters: TlsParameters, address: Address): ConnectionOptions {
  const { certificates, pskFile, type = pskFile === undefined ? "x509" : "psk" } = parameters;
  if (type === "x509") return x509Options(certificates, parameters, address);
  if (pskFile === undefined) throw badTls("connect", "the type is psk and no file of keys is named", "tls-psk-file");
  return pskOptions(pskFile, parameters);
}

function x509Options(
  folder: string | undefined,
  { hostname, verifyPeer = true }: TlsParameters,
  address: Address,
): ConnectionOptions {
  const { ca, crl, identity } = folder === undefined ? {} : loadCertificates(folder, "client");
  if (folder !== undefined && verifyPeer && ca === undefined) {
    throw missing(folder, "ca-cert.pem", "the certificate of who signs the server's");
  }
  const host = hostname ?? ("path" in address ? undefined : address.host);
  return {
    ...identity,
    ...(ca === undefined ? {} : { ca }),
    ...(crl === undefined ? {} : { crl }),
    // An address is no server's name, and Node warns of one.
    ...(host === undefined || isIP(host) !== 0 ? {} : { servername: host }),
    minVersion: MIN_TLS_VERSION,
    ciphers: X509_CIPHERS,
    rejectUnauthorized: verifyPeer,
    checkServerIdentity: (_, certificate) => (host === undefined ? undefined : checkServerIdentity(host, certificate)),
  };
}

function pskOptions(file: string, { username = userInfo().username }: TlsParameters): ConnectionOptions {
  const psk = loadPsk(file).get(username);
  if (psk === undefined) throw badCredentials(file, `it has no key of ${username}`, "the user to be one of the file's");
  return {
    minVersion: MIN_TLS_VERSION,
    ciphers: PSK_CIPHERS,
    pskCallback: () => ({ psk, identity: username }),
    // A server may leave the key aside and show a certificate: none will do.
    ca: [],
    checkServerIdentity: refuseCertificate,
  };
}

function refuseCertificate(_host: string, certificate: PeerCertificate): Error | undefined {
  if (Object.keys(certificate).length === 0) return undefined;
  return badTls("connect", "the server showed a certificate", "the pre-shared key");
}
