import { constants } from "node:crypto";
import type { TlsOptions } from "node:tls";
import { loadCertificates, missing } from "./certificates.ts";
import { MIN_TLS_VERSION, PSK_CIPHERS, X509_AND_PSK_CIPHERS, X509_CIPHERS } from "./ciphers.ts";
import { badTls } from "./files.ts";
import { loadPsk } from "./psk.ts";

/** TLS as an operator asks for it. */
export interface TlsSettings {
  /** `on`: for clients that ask for it. `required`: for all. */
  readonly mode: "on" | "required";
  /** A folder of certificates: see `loadCertificates`. */
  readonly certificates?: string | undefined;
  /** A file of pre-shared keys: see `loadPsk`. */
  readonly psk?: string | undefined;
  /** Clients need a certificate signed by the CA in the folder, or a pre-shared key. */
  readonly verifyPeer?: boolean | undefined;
}

/** What a server needs for TLS: everything is read and checked. */
export interface ServerTls {
  readonly mode: "on" | "required";
  readonly verifyPeer: boolean;
  readonly options: TlsOptions;
}

/** Reads what `settings` name. Throws `bad-tls` where they make no sense, `bad-credentials` where a file is no good. */
export function loadServerTls(settings: TlsSettings): ServerTls {
  const { mode, certificates: folder, psk, verifyPeer = false } = settings;
  if (folder === undefined && psk === undefined) {
    const is = "there is neither a folder of certificates nor a file of pre-shared keys";
    throw badTls("serve", is, "one of them, or both,");
  }
  if (verifyPeer && folder === undefined) {
    const is = "certificates of clients are to be verified, and there is no folder of certificates";
    throw badTls("serve", is, "one with ca-cert.pem");
  }
  const keys = psk === undefined ? undefined : loadPsk(psk);
  return {
    mode,
    verifyPeer,
    options: {
      minVersion: MIN_TLS_VERSION,
      honorCipherOrder: true,
      // Who may begin anew in the middle can burden a server at will. Connections are too few to resume anything.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
      ciphers: keys === undefined ? X509_CIPHERS : folder === undefined ? PSK_CIPHERS : X509_AND_PSK_CIPHERS,
      ...(folder === undefined ? {} : x509Options(folder, verifyPeer)),
      // A client with a key shows no certificate: that it has either is seen to after the handshake.
      rejectUnauthorized: verifyPeer && keys === undefined,
      ...(keys === undefined ? {} : { pskCallback: (_, user) => keys.get(user) ?? null }),
    },
  };
}

function x509Options(folder: string, verifyPeer: boolean): TlsOptions {
  const { identity, ca, crl } = loadCertificates(folder, "server");
  if (identity === undefined) throw missing(folder, "server-cert.pem", "the server's certificate");
  if (!verifyPeer) return { ...identity };
  if (ca === undefined) throw missing(folder, "ca-cert.pem", "the certificate of who signs those of clients");
  return { ...identity, ca, ...(crl === undefined ? {} : { crl }), requestCert: true };
}
