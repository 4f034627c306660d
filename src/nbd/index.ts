/** The NBD client: `skink/nbd`. */
export type { Extent } from "../block/request.ts";
export { NbdClient, type NbdClientOptions } from "./client/client.ts";
export { NbdRequestError } from "./client/errors.ts";
export type { ListedExport } from "./client/handshake.ts";
export { type Address, formatUri, parseUri, type Target } from "./uri.ts";
