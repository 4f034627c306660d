/** Both ends: older versions have no cipher left that is safe. */
export const MIN_TLS_VERSION = "TLSv1.2";

/*
 * In TLS 1.3 a pre-shared key from outside goes with SHA-256 alone, so the suites with that come first: a server that chose
 * another one would fall back to its certificate.
 */
const TLS_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];
const TLS_1_3_SHA384 = ["TLS_AES_256_GCM_SHA384"];
const TLS_1_2 = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
];
/** Those with forward secrecy first. */
const TLS_1_2_PSK = [
  "ECDHE-PSK-CHACHA20-POLY1305",
  "ECDHE-PSK-AES128-CBC-SHA256",
  "PSK-AES128-GCM-SHA256",
  "PSK-AES256-GCM-SHA384",
];

/** Where the two know each other by certificates. */
export const X509_CIPHERS = [...TLS_1_3, ...TLS_1_3_SHA384, ...TLS_1_2].join(":");
/** … by pre-shared keys. */
export const PSK_CIPHERS = [...TLS_1_3, ...TLS_1_2_PSK].join(":");
/** A server that takes both. Keys first: a client that offers them has no use for a certificate. */
export const X509_AND_PSK_CIPHERS = [...TLS_1_3, ...TLS_1_3_SHA384, ...TLS_1_2_PSK, ...TLS_1_2].join(":");
