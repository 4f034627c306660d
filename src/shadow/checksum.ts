import { crc32c } from "@node-rs/crc32";

/**
 * CRC32C of `bytes`, which are looked at during the call alone: 0 to 2³² − 1. The one checksum of the core. It tells
 * contents apart that a driver mixes up, loses or damages, all but one in 2³²; against malice it is nothing.
 */
export function checksum(bytes: Uint8Array): number {
  return crc32c(bytes);
}
